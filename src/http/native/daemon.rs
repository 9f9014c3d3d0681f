//! The daemon itself: what it is, how it is, its pauses, the book of paid calls.

use super::answer::{Answer, Problem, json};
use super::asked::{Asked, once, typed};
use crate::engine::due::STALLED;
use crate::files::disk::free_bytes;
use crate::http::openapi::{Op, Routes};
use crate::http::refusal::Refusal;
use crate::http::{App, Shared};
use crate::store::idempotency::StoredReply;
use crate::store::report::{SpendProof, Time, UnclaimedJob};
use crate::store::settings::{ClearPause, Pause, Pauses, SetPause, Switch};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json as object};
use std::time::Instant;
use utoipa::ToSchema;
use utoipa::openapi::HttpMethod;

/// What runs here.
#[derive(Debug, Serialize, ToSchema)]
struct Info {
    /// The program's version.
    version: &'static str,
    /// The version of the SQLite that is built in.
    sqlite_version: String,
    /// The number of this start of the daemon.
    boot: Option<i64>,
    /// When it was started.
    started_at: Option<Time>,
    /// For how many seconds it has been running.
    #[schema(minimum = 0)]
    uptime_seconds: u64,
    /// The address that it listens on.
    listen: String,
    /// Where database, photos and files are.
    data_dir: String,
}

/// Why something is paused.
#[derive(Debug, Serialize, ToSchema)]
struct PauseInfo {
    /// One sentence.
    reason: String,
    /// Who did it.
    by: String,
    /// Since when.
    at: Time,
}

/// What is paused.
#[derive(Debug, Serialize, ToSchema)]
struct PausesInfo {
    /// New calls that have an effect.
    spending: Option<PauseInfo>,
    /// Polls, downloads and looks at calls in doubt.
    watching: Option<PauseInfo>,
}

impl From<Pauses> for PausesInfo {
    fn from(pauses: Pauses) -> Self {
        let told =
            |pause: Pause| PauseInfo { reason: pause.reason, by: pause.by, at: Time(pause.at) };
        Self { spending: pauses.spending.map(told), watching: pauses.watching.map(told) }
    }
}

/// How the vendor is doing.
#[derive(Debug, Serialize, ToSchema)]
struct VendorHealth {
    /// `ok` or `unreachable`: then the breaker is open, and it is asked less and less often.
    state: &'static str,
    /// Since when.
    since: Time,
    /// What went wrong last.
    problem: Option<String>,
    /// Whether the account is known to be ours.
    account: &'static str,
}

/// How the disk and the database are doing.
#[derive(Debug, Serialize, ToSchema)]
struct StorageHealth {
    /// `ok`, or why nothing can be stored.
    database: String,
    /// Bytes that may still be written beside the database.
    #[schema(minimum = 0)]
    free_bytes: Option<u64>,
}

/// How everything is.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// Whether work is accepted and carried out.
    ready: bool,
    /// The vendor.
    vendor: VendorHealth,
    /// `ok` or `stalled`.
    engine: &'static str,
    /// Why nothing may be sent at all; null when there is no quarantine.
    #[schema(value_type = Option<Object>)]
    quarantine: Option<Value>,
    /// What is paused.
    pauses: PausesInfo,
    /// Disk and database.
    storage: StorageHealth,
    /// How many things wait for a person (`/v1/attention`).
    attention: i64,
    /// How many rows of each kind are in each state.
    #[schema(value_type = Object)]
    counts: Map<String, Value>,
}

/// What paid calls came to.
#[derive(Debug, Serialize, ToSchema)]
struct Ledger {
    /// The two sides of the book.
    spend: SpendProof,
    /// Whether they agree.
    balances: bool,
    /// Jobs at the vendor that no row claims, newest first.
    unclaimed: Vec<UnclaimedJob>,
}

/// What the vendor offers for `preset`.
#[derive(Debug, Serialize, ToSchema)]
struct PresetsInfo {
    /// As the vendor gave them; its schema is not documented.
    items: Vec<Value>,
    /// When they were seen: at most an hour ago while the vendor answers.
    seen_at: Time,
}

/// What to pause or go on with.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SwitchName {
    /// New calls that have an effect.
    Spending,
    /// Polls, downloads and looks at calls in doubt.
    Watching,
}

impl SwitchName {
    fn switch(self) -> Switch {
        match self {
            Self::Spending => Switch::Spending,
            Self::Watching => Switch::Watching,
        }
    }
}

/// A pause.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PauseBody {
    /// What to stop.
    switch: SwitchName,
    /// Why, for whoever wonders.
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// The end of a pause.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ResumeBody {
    /// What to go on with.
    switch: SwitchName,
}

/// What became of a switch.
#[derive(Debug, Serialize, ToSchema)]
struct Switched {
    /// Which one.
    switch: SwitchName,
    /// `paused`, `already_paused`, `resumed` or `already_running`.
    status: &'static str,
}

async fn info(app: Shared, started: Instant) -> Answer {
    let boot = app.store.newest_boot().await?;
    json(Info {
        version: env!("CARGO_PKG_VERSION"),
        sqlite_version: app.store.sqlite_version().await?,
        boot: boot.map(|boot| boot.seq),
        started_at: boot.map(|boot| Time(boot.started_at)),
        uptime_seconds: started.elapsed().as_secs(),
        listen: app.listen.to_string(),
        data_dir: app.store.data_dir().display().to_string(),
    })
}

async fn health(State(app): State<Shared>) -> Answer {
    let vendor = app.engine.health();
    let database = app.engine.check_database().await;
    let ticking = app.engine.since_last_round() < STALLED;
    let quarantine = app.store.quarantine().await?;
    let mut counts = Map::new();
    for (kind, state, number) in app.store.counts().await? {
        let of_kind = counts.entry(kind.as_str()).or_insert_with(|| object!({}));
        if let Some(of_kind) = of_kind.as_object_mut() {
            of_kind.insert(state, number.into());
        }
    }
    json(Health {
        ready: database.is_ok() && ticking,
        vendor: VendorHealth {
            state: vendor.state,
            since: Time(vendor.since),
            problem: vendor.problem,
            account: app.engine.account_word(),
        },
        engine: if ticking { "ok" } else { "stalled" },
        quarantine: quarantine.and_then(|quarantine| serde_json::to_value(quarantine).ok()),
        pauses: app.store.pauses().await?.into(),
        attention: app.store.attention_count().await?,
        storage: StorageHealth {
            database: database.map_or_else(|error| error.to_string(), |()| "ok".to_owned()),
            free_bytes: room(&app).await,
        },
        counts,
    })
}

async fn room(app: &App) -> Option<u64> {
    let folder = app.store.data_dir().to_owned();
    tokio::task::spawn_blocking(move || free_bytes(&folder).ok()).await.ok().flatten()
}

async fn pauses(State(app): State<Shared>) -> Answer {
    json(PausesInfo::from(app.store.pauses().await?))
}

async fn presets(State(app): State<Shared>) -> Answer {
    let presets = app.engine.presets().await.map_err(|problem| {
        let message = format!("the presets are not known here yet, and {problem}; try again");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(30)
    })?;
    json(PresetsInfo { items: presets.items, seen_at: Time(presets.at) })
}

async fn ledger(State(app): State<Shared>) -> Answer {
    let spend = app.store.spend_proof().await?;
    let balances = spend.balances();
    json(Ledger { spend, balances, unclaimed: app.store.unclaimed().await? })
}

async fn pause(State(app): State<Shared>, asked: Asked) -> Answer {
    let body: PauseBody = typed(&asked.body)?;
    let reason = body.reason.unwrap_or_else(|| "asked for through the API".to_owned());
    if reason.trim().is_empty() || reason.chars().count() > 500 {
        let message = "`reason` in the body is wrong: it is empty or longer than 500 characters";
        return Err(Refusal::invalid(message).into());
    }
    let was = is_paused(&app, body.switch).await?;
    let status = if was { "already_paused" } else { "paused" };
    let write = SetPause { switch: body.switch.switch(), reason, by: "api".to_owned() };
    let name = body.switch;
    once(&app, asked.key, write, move |()| switched(name, status)).await
}

async fn resume(State(app): State<Shared>, asked: Asked) -> Answer {
    let body: ResumeBody = typed(&asked.body)?;
    let write = ClearPause { switch: body.switch.switch(), only_by: None };
    let name = body.switch;
    let reply = move |was: &bool| switched(name, if *was { "resumed" } else { "already_running" });
    once(&app, asked.key, write, reply).await
}

async fn is_paused(app: &App, switch: SwitchName) -> Result<bool, Problem> {
    let pauses = app.store.pauses().await?;
    Ok(match switch {
        SwitchName::Spending => pauses.spending,
        SwitchName::Watching => pauses.watching,
    }
    .is_some())
}

fn switched(switch: SwitchName, status: &'static str) -> StoredReply {
    let body = serde_json::to_value(Switched { switch, status }).unwrap_or_default();
    StoredReply { status: 200, body }
}

/// The routes that only look.
pub(super) fn looking(into: Routes) -> Routes {
    let started = Instant::now();
    let told = move |State(app): State<Shared>| info(app, started);
    let about = Op::new("info", "daemon", "What runs here: versions, address, uptime.")
        .answers::<Info>(200, "What runs here.");
    let well = Op::new("health", "daemon", "How vendor, engine, disk and database are doing.")
        .answers::<Health>(200, "How everything is.");
    let paused = Op::new("pauses", "daemon", "What is paused, by whom and why.")
        .answers::<PausesInfo>(200, "What is paused.");
    let book = Op::new("ledger", "daemon", "What every paid call came to.")
        .answers::<Ledger>(200, "The book.");
    let offered = Op::new("presets", "daemon", "What the vendor offers for the field `preset`.")
        .answers::<PresetsInfo>(200, "The presets.");
    into.route(offered.at(HttpMethod::Get, "/v1/presets", get(presets)))
        .route(about.at(HttpMethod::Get, "/v1/info", get(told)))
        .route(well.at(HttpMethod::Get, "/v1/health", get(health)))
        .route(paused.at(HttpMethod::Get, "/v1/pauses", get(pauses)))
        .route(book.at(HttpMethod::Get, "/v1/ledger", get(ledger)))
}

/// The routes that pause and resume.
pub(super) fn deciding(into: Routes) -> Routes {
    let stop = Op::new("pause", "daemon", "Stop spending or watching; survives restarts.")
        .writes()
        .body::<PauseBody>(object!({ "switch": "spending", "reason": "end of the month" }))
        .answers::<Switched>(200, "It is paused.");
    let go_on = Op::new("resume", "daemon", "Go on with spending or watching.")
        .writes()
        .body::<ResumeBody>(object!({ "switch": "spending" }))
        .answers::<Switched>(200, "It goes on.");
    into.route(stop.at(HttpMethod::Post, "/v1/pause", post(pause))).route(go_on.at(
        HttpMethod::Post,
        "/v1/resume",
        post(resume),
    ))
}
