//! Our own API: what the command line can do with work, as JSON over HTTP.
//!
//! - [`lists`]: lists, rows, their events and stories; [`content`]: the files
//! - [`events`]: everything that happens, as pages and as a stream
//! - [`models`], [`upload`], [`jobs`]: new work; [`receipt`]: what whoever ordered it gets back
//! - [`control`]: cancel, retry, resolve
//! - [`daemon`]: health, pauses, the book
//! - [`asked`], [`params`], [`answer`]: what a request brings, and how it is answered

mod answer;
mod asked;
mod content;
mod control;
mod daemon;
mod events;
mod jobs;
mod lists;
mod models;
mod params;
mod receipt;
mod upload;

use super::Shared;
use super::guard::{Scope, scoped};
use super::openapi::{Op, anything, finish};
use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::routing::get;
use std::sync::{Arc, OnceLock};
use utoipa::openapi::HttpMethod;
use utoipa_axum::router::OpenApiRouter;

/// The routes below `/v1`.
pub fn router() -> Router<Shared> {
    // Its own description is part of it, so that the text is there only after all routes are.
    let text = Arc::new(OnceLock::new());
    let looking = lists::routes()
        .merge(content::looking())
        .merge(events::routes())
        .merge(daemon::looking())
        .merge(description(text.clone()));
    let ordering = models::ordering()
        .merge(upload::ordering())
        .merge(jobs::ordering())
        .merge(control::ordering());
    let deciding = models::deciding().merge(control::deciding()).merge(daemon::deciding());
    let (looking, looks) = looking.split_for_parts();
    let (ordering, orders) = ordering.split_for_parts();
    let (deciding, decisions) = deciding.split_for_parts();
    let parts = vec![(Scope::Read, looks), (Scope::Submit, orders), (Scope::Admin, decisions)];
    let _ = text.set(Bytes::from(finish(parts).to_string()));
    scoped(looking, Scope::Read)
        .merge(scoped(ordering, Scope::Submit))
        .merge(scoped(deciding, Scope::Admin))
}

fn description(text: Arc<OnceLock<Bytes>>) -> OpenApiRouter<Shared> {
    let itself = Op::new("openapi", "daemon", "This description, as OpenAPI 3.1.").answers_with(
        200,
        "The description.",
        anything(),
    );
    let served = get(move || async move {
        let text = text.get().cloned().unwrap_or_default();
        ([(header::CONTENT_TYPE, "application/json")], text)
    });
    OpenApiRouter::new().routes(itself.at(HttpMethod::Get, "/v1/openapi.json", served))
}
