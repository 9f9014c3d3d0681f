//! Our own API: everything that the command line can do, as JSON over HTTP.
//!
//! - [`lists`]: lists, rows, their events and stories
//! - [`events`]: everything that happens, as pages and as a stream
//! - [`daemon`]: health, pauses, the book

mod answer;
mod asked;
mod daemon;
mod events;
mod lists;
mod params;

use super::Shared;
use super::guard::{Scope, scoped};
use super::openapi::{Op, anything, finish};
use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::routing::get;
use utoipa::openapi::HttpMethod;
use utoipa_axum::router::OpenApiRouter;

/// The routes below `/v1`.
pub fn router() -> Router<Shared> {
    let looking = lists::routes().merge(events::routes()).merge(daemon::looking());
    let ordering = OpenApiRouter::new();
    let deciding = daemon::deciding();
    let (looking, mut document) = looking.split_for_parts();
    let (ordering, more) = ordering.split_for_parts();
    document.merge(more);
    let (deciding, more) = deciding.split_for_parts();
    document.merge(more);
    // Its own description is part of it, so that it is made before it is known.
    let itself = Op::new("openapi", "daemon", "This description, as OpenAPI 3.1.");
    let itself = itself.answers_with(200, "The description.", anything());
    let path = "/v1/openapi.json";
    let (_, described) = OpenApiRouter::<Shared>::new()
        .routes(itself.at(HttpMethod::Get, path, get(|| async {})))
        .split_for_parts();
    document.merge(described);
    let text = Bytes::from(finish(&document).to_string());
    let served = get(move || async move { ([(header::CONTENT_TYPE, "application/json")], text) });
    scoped(looking.route(path, served), Scope::Read)
        .merge(scoped(ordering, Scope::Submit))
        .merge(scoped(deciding, Scope::Admin))
}
