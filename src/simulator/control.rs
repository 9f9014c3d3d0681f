//! The control plane under `/_sim`: for tests and demonstrations, without a key.

use super::clock::{millis_of, parse_duration};
use super::fault::Fault;
use super::reply::{Outcome, Refusal, Reply};
use super::sim::Sim;
use super::world::foreign::Asked;
use super::world::job::Order;
use super::world::{UserId, World};
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// All of `/_sim`.
pub(crate) fn router(sim: Arc<Sim>) -> Router {
    Router::new()
        .route("/_sim/ledger", get(ledger))
        .route("/_sim/requests", get(requests))
        .route("/_sim/finished", get(finished))
        .route("/_sim/faults", get(faults).post(add_faults).delete(remove_faults))
        .route("/_sim/foreign", post(foreign))
        .route("/_sim/foreign-model", post(foreign_model))
        .route("/_sim/finish", post(|sim| order(sim, World::finish_all)))
        .route("/_sim/hold", post(|sim| order(sim, |world| world.clock.hold())))
        .route("/_sim/release", post(|sim| order(sim, |world| world.clock.release())))
        .route("/_sim/down", post(|sim| order(sim, |world| world.down = true)))
        .route("/_sim/up", post(|sim| order(sim, |world| world.down = false)))
        .route("/_sim/reset", post(|sim| order(sim, reset)))
        .route("/_sim/model/{id}/status", post(force_model))
        .route("/_sim/job/{id}", post(force_job))
        .route("/_sim/job/{id}/unlist", post(unlist))
        .route("/_sim/job/{id}/relist", post(relist))
        .with_state(sim)
}

async fn order(State(sim): State<Arc<Sim>>, act: impl FnOnce(&mut World)) -> Reply {
    let mut world = sim.world();
    act(&mut world);
    Reply::bare(json!({ "held": world.clock.is_held(), "down": world.down }))
}

fn reset(world: &mut World) {
    *world = World::new(world.args.clone());
}

/// What part of a report is wanted.
#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    since: u64,
    op: Option<String>,
    effects: Option<bool>,
}

async fn ledger(State(sim): State<Arc<Sim>>, Query(part): Query<Part>) -> Json<Value> {
    Json(sim.world().ledger_report(part.since, part.effects.unwrap_or(true)))
}

async fn requests(State(sim): State<Arc<Sim>>, Query(part): Query<Part>) -> Json<Value> {
    Json(sim.world().calls.report(part.since, part.op.as_deref()))
}

async fn finished(State(sim): State<Arc<Sim>>, Query(part): Query<Part>) -> Json<Value> {
    let since = usize::try_from(part.since).unwrap_or(usize::MAX);
    Json(sim.world().finished_report(since))
}

async fn faults(State(sim): State<Arc<Sim>>) -> Json<Value> {
    Json(sim.world().faults.report())
}

async fn add_faults(State(sim): State<Arc<Sim>>, body: Bytes) -> Outcome {
    let specs = texts(&body)?;
    // All or none, so that a typo leaves nothing half-armed.
    let parsed: Result<Vec<Fault>, String> = specs.iter().map(|spec| spec.parse()).collect();
    let parsed = parsed.map_err(Refusal::invalid)?;
    let mut world = sim.world();
    parsed.into_iter().for_each(|fault| world.faults.add(fault));
    Ok(Reply::bare(world.faults.report()))
}

async fn remove_faults(State(sim): State<Arc<Sim>>, body: Bytes) -> Outcome {
    let mut world = sim.world();
    match body.is_empty() {
        true => world.faults.clear(),
        false => world.faults.remove(&texts(&body)?).map_err(Refusal::invalid)?,
    }
    Ok(Reply::bare(world.faults.report()))
}

fn texts(body: &Bytes) -> Result<Vec<String>, Refusal> {
    let wrong = |_| Refusal::invalid("expected a JSON array of fault specs");
    serde_json::from_slice(body).map_err(wrong)
}

/// The body of `POST /_sim/foreign`; all fields may be left out.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Foreign {
    key: Option<String>,
    count: Option<usize>,
    kind: Option<String>,
    time: Option<String>,
    size: Option<u32>,
    model: Option<String>,
    age: Option<String>,
    every: Option<String>,
}

async fn foreign(State(sim): State<Arc<Sim>>, body: Bytes) -> Outcome {
    let asked: Foreign = parse_or_default(&body)?;
    let videos = match asked.kind.as_deref() {
        None | Some("image") => false,
        Some("video") => true,
        Some(_) => return Err(Refusal::invalid("kind must be image or video")),
    };
    let time = asked.time.as_deref().map(str::parse).transpose().map_err(Refusal::invalid)?;
    let (age, every) = (millis(asked.age.as_deref())?, millis(asked.every.as_deref())?);
    let size = asked.size.unwrap_or(1024).clamp(1, 4096);
    let mut world = sim.world();
    let owner = owner(&mut world, asked.key)?;
    let mut like = None;
    let mut order = Order::foreign(videos, size, time);
    match asked.model {
        Some(same) if same == "same" => {
            let newest = world.newest_order(owner);
            let (id, newest) =
                newest.ok_or_else(|| Refusal::invalid("there is no job to be the same as"))?;
            like = Some(id);
            order = Order { time: time.or(newest.time), ..newest };
        }
        // Whatever it is, it is shown: only an order knows a public model from a trained one.
        Some(model) => (order.model, order.trained) = (model.into(), true),
        None => {}
    }
    let count = asked.count.unwrap_or(1).min(1_000_000);
    let ids = world.foreign(owner, &Asked { order, count, age, every, like });
    Ok(Reply::bare(json!({ "jobs": ids })))
}

fn millis(text: Option<&str>) -> Result<i64, Refusal> {
    let time = text.map(parse_duration).transpose().map_err(Refusal::invalid)?;
    Ok(time.map_or(0, millis_of))
}

fn owner(world: &mut World, key: Option<String>) -> Result<UserId, Refusal> {
    match key {
        Some(key) => Ok(world.user(&key)),
        None if world.users.len() == 1 => Ok(0),
        None => Err(Refusal::invalid("key is required unless exactly one has been used")),
    }
}

/// The body of `POST /_sim/foreign-model`; all fields may be left out.
#[derive(Deserialize, Default)]
#[serde(default)]
struct ForeignModel {
    key: Option<String>,
    name: Option<String>,
    status: Option<String>,
}

async fn foreign_model(State(sim): State<Arc<Sim>>, body: Bytes) -> Outcome {
    let asked: ForeignModel = parse_or_default(&body)?;
    let mut world = sim.world();
    let owner = owner(&mut world, asked.key)?;
    let name = asked.name.as_deref().unwrap_or("Somebody");
    let id = world.foreign_model(owner, name, asked.status.as_deref().unwrap_or("new"));
    Ok(Reply::bare(json!({ "id": id })))
}

/// The body of `POST /_sim/job/{id}/unlist`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Unlist {
    forget: bool,
}

async fn unlist(State(sim): State<Arc<Sim>>, Path(id): Path<String>, body: Bytes) -> Outcome {
    let asked: Unlist = parse_or_default(&body)?;
    match sim.world().unlist(&id, asked.forget) {
        true => Ok(Reply::bare(json!({ "id": id }))),
        false => Err(Refusal::unknown("Job")),
    }
}

async fn relist(State(sim): State<Arc<Sim>>, Path(id): Path<String>) -> Outcome {
    match sim.world().relist(&id) {
        true => Ok(Reply::bare(json!({ "id": id }))),
        false => Err(Refusal::unknown("Job")),
    }
}

/// The body of the two that force a state; without a status, or with null, nature takes over again.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Force {
    status: Option<String>,
    error: Option<String>,
}

async fn force_model(State(sim): State<Arc<Sim>>, Path(id): Path<String>, body: Bytes) -> Outcome {
    let asked: Force = parse_or_default(&body)?;
    match sim.world().force_model(&id, asked.status) {
        true => Ok(Reply::bare(json!({ "id": id }))),
        false => Err(Refusal::unknown("Model")),
    }
}

async fn force_job(State(sim): State<Arc<Sim>>, Path(id): Path<String>, body: Bytes) -> Outcome {
    let asked: Force = parse_or_default(&body)?;
    match sim.world().force_job(&id, asked.status.as_deref(), asked.error.as_deref()) {
        true => Ok(Reply::bare(json!({ "id": id }))),
        false => Err(Refusal::unknown("Job")),
    }
}

fn parse_or_default<T: Default + for<'a> Deserialize<'a>>(body: &Bytes) -> Result<T, Refusal> {
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|why| Refusal::invalid(why.to_string()))
}
