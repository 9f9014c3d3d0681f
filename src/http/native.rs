//! Our own API: what the command line can do with work, as JSON over HTTP.
//!
//! - [`lists`]: lists, rows, their events and stories; [`content`]: the files
//! - [`events`]: everything that happens, as pages and as a stream
//! - [`models`], [`upload`], [`jobs`]: new work; [`receipt`]: what whoever ordered it gets back
//! - [`control`]: cancel, retry; [`resolve`]: verdicts
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
mod resolve;
mod upload;

use super::Shared;
use super::guard::{Scope, scoped};
use super::openapi::{Op, Routes, anything, finish};
use super::refusal::{Area, Refusal};
use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::OnceLock;
use utoipa::openapi::HttpMethod;

/// The routes below `/v1`.
pub fn router() -> Router<Shared> {
    let scopes = parts(Routes::served);
    scopes
        .into_iter()
        .fold(Router::new(), |all, (scope, routes)| all.merge(scoped(routes.into_router(), scope)))
}

/// All routes, by the scope that a token needs for them.
fn parts(begin: fn() -> Routes) -> [(Scope, Routes); 3] {
    let looking = daemon::looking(events::routes(content::looking(lists::routes(begin()))));
    let ordering = upload::ordering(models::ordering(begin()));
    let ordering = control::ordering(jobs::ordering(ordering));
    let deciding = daemon::deciding(resolve::deciding(models::deciding(begin())));
    [(Scope::Read, description(looking)), (Scope::Submit, ordering), (Scope::Admin, deciding)]
}

fn description(into: Routes) -> Routes {
    let itself = Op::new("openapi", "daemon", "This description, as OpenAPI 3.1.").answers_with(
        200,
        "The description.",
        anything(),
    );
    into.route(itself.at(HttpMethod::Get, "/v1/openapi.json", get(described)))
}

/// The document, put together when it is first asked for.
async fn described() -> impl IntoResponse {
    static TEXT: OnceLock<Bytes> = OnceLock::new();
    let text = tokio::task::spawn_blocking(|| {
        TEXT.get_or_init(|| {
            let parts = parts(Routes::described);
            let parts = parts.map(|(scope, routes)| (scope, routes.into_document()));
            Bytes::from(finish(parts).to_string())
        })
        .clone()
    });
    match text.await {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => {
            let problem = format!("the description could not be put together: {error}");
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, problem).answer(Area::Native)
        }
    }
}
