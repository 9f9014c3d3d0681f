//! Health, readiness and metrics.

use super::Shared;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

/// The routes for operators.
pub fn router() -> Router<Shared> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz))
}

/// The process is alive.
async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// The daemon can do its work: the database takes writes and the loop runs. An unreachable vendor
/// is reported but does not make it unready: work is accepted all the same.
async fn readyz(State(app): State<Shared>) -> (StatusCode, Json<Value>) {
    let engine = &app.engine;
    let database = engine.check_database().await;
    let vendor = engine.health();
    let looked = engine.since_last_round();
    let ticking = looked < crate::engine::due::STALLED;
    let ready = database.is_ok() && ticking;
    // Work is accepted and watched in quarantine, so it does not make the daemon unready either.
    let quarantine = engine.quarantine().await.ok().flatten();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ready": ready,
        "database": database.map_or_else(|error| error.to_string(), |()| "ok".to_owned()),
        "engine": if ticking { "ok" } else { "stalled" },
        "vendor": vendor,
        "account": engine.account_word(),
        "quarantine": quarantine,
    });
    (status, Json(body))
}
