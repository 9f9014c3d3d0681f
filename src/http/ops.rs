//! Health, readiness and metrics.

mod metrics;
mod page;
pub mod recorder;

use super::Shared;
use super::guard::{Scope, scoped};
use crate::store::listing::{UNREADABLE, Unreadable};
use crate::store::open::daemon_is_running;
use crate::store::report::Time;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

/// The routes for operators.
pub fn router() -> Router<Shared> {
    let routes = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics::metrics));
    scoped(routes, Scope::Read)
}

/// The process is alive.
async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// The daemon can do its work: the database takes writes, nobody else can take its lock, the loop
/// runs, and it has not been asked to stop. An unreachable vendor is reported but does not make it
/// unready: work is accepted all the same.
async fn readyz(State(app): State<Shared>) -> (StatusCode, Json<Value>) {
    let engine = &app.engine;
    let database = engine.check_database().await;
    // Whoever removes the file lets a second daemon in.
    let locked = daemon_is_running(app.store.data_dir());
    let looked = engine.since_last_round();
    let ticking = looked < crate::engine::due::STALLED;
    let stopping = app.stop.is_cancelled();
    let ready = database.is_ok() && locked && ticking && !stopping;
    // Work is accepted and watched in quarantine, so it does not make the daemon unready either.
    let quarantine = engine.quarantine().await.ok().flatten();
    // Nor does what waits for a person: it is only said.
    let reasons = app.store.attention_reasons().await.ok();
    let attention = reasons.as_ref().map(|reasons| reasons.values().sum::<i64>());
    // And that nothing can be bought as long as the vendor's list cannot be read.
    let unreadable: Option<Unreadable> = app.store.setting(UNREADABLE).await.ok().flatten();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let health = engine.health();
    let since = Time(health.since);
    let vendor = json!({ "state": health.state, "since": since, "problem": health.problem });
    let body = json!({
        "ready": ready,
        "database": database.map_or_else(|error| error.to_string(), |()| "ok".to_owned()),
        "lock": if locked { "ok" } else { "lost: darkroom.lock was removed or replaced" },
        "engine": if ticking { "ok" } else { "stalled" },
        "stopping": stopping,
        "vendor": vendor,
        "account": engine.account_word(),
        "quarantine": quarantine,
        "attention": attention,
        "reasons": reasons,
        "list": unreadable.map_or_else(|| "ok".to_owned(), |list| list.why),
    });
    (status, Json(body))
}
