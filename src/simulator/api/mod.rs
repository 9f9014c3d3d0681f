//! The vendor's endpoints, as documented.

pub(crate) mod body;
pub(crate) mod images;
pub(crate) mod models;
pub(crate) mod orders;
pub(crate) mod videos;

use super::fault_table::Kind;
use super::gate::gate;
use super::media;
use super::reply::{Outcome, Refusal, Reply};
use super::sim::Sim;
use super::world::Caller;
use super::world::job_list::Window;
use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use axum::{Extension, Router, middleware};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// Preset tags; `editorial` is the documented one.
pub(crate) const PRESETS: &[(&str, &str)] = &[
    ("editorial", "Editorial"),
    ("studio", "Studio portrait"),
    ("street", "Street"),
    ("film", "Analogue film"),
    ("golden-hour", "Golden hour"),
];

/// All of `/api` and `/media`, behind the gate.
pub(crate) fn router(sim: Arc<Sim>) -> Router {
    Router::new()
        .route("/api/ping", get(ping))
        .route("/api/models", post(models::save).get(models::list))
        .route("/api/models/{id}", get(models::read).delete(models::delete))
        .route("/api/models/{id}/images", get(images::list))
        .route("/api/models/{id}/train", get(models::train))
        .route("/api/images/upload", post(images::upload))
        .route("/api/images/generation", post(orders::image))
        .route("/api/images/upscaling", post(orders::upscale))
        .route("/api/images/{id}", get(images::read).delete(images::delete))
        .route("/api/videos", get(videos::list))
        .route("/api/videos/generation", post(orders::video))
        .route("/api/videos/{id}", get(videos::read).delete(videos::delete))
        .route("/api/videos/{id}/create-download", get(videos::create_download))
        .route("/api/videos/{id}/download", get(videos::download))
        .route("/api/jobs", get(list_jobs))
        .route("/api/jobs/{id}", get(read_job))
        .route("/api/presets", get(list_presets))
        .route("/media/{*file}", get(media::fetch))
        .method_not_allowed_fallback(media::wrong_method)
        .fallback(media::nothing_here)
        // The upload endpoint enforces the documented limit itself, with the vendor's envelope.
        .layer(axum::extract::DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(sim.clone(), gate))
        .with_state(sim)
}

async fn ping() -> Outcome {
    Ok(Reply::bare(json!({ "message": "pong!", "status": "OK" })))
}

async fn list_presets() -> Outcome {
    let each = |(tag, name): &(&str, &str)| json!({ "id": tag, "tag": tag, "name": name });
    Ok(Reply::result(PRESETS.iter().map(each).collect::<Vec<_>>()))
}

async fn read_job(
    State(sim): State<Arc<Sim>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Outcome {
    Ok(Reply::result(sim.world().job_json(&caller, &id)?))
}

/// The query of the job list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobsQuery {
    start: Option<String>,
    end: Option<String>,
    page_token: Option<String>,
}

async fn list_jobs(
    State(sim): State<Arc<Sim>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<JobsQuery>,
) -> Outcome {
    let mut world = sim.world();
    let skew = world.faults.offset(Kind::FilterSkew, caller.op);
    let now = world.clock.wall().saturating_add(skew);
    let token = query.page_token.filter(|sent| !sent.is_empty());
    let known = token.as_deref().map(|sent| world.token_sent(sent));
    let window =
        Window::parse(query.start.as_deref(), query.end.as_deref(), known.as_deref(), now)?;
    let future = window.after.is_none() && window.end > now;
    if future && world.strike(Kind::NoFutureEnd, caller.op).is_some() {
        return Err(Refusal::invalid("end must not be in the future"));
    }
    Ok(Reply::bare(world.jobs_page(&caller, window, skew, token.as_deref())))
}
