//! The vendor's own API, served from our state: a program written for the vendor works here with
//! another address and key (vendor-api.md sections 2 and 7).
//!
//! - [`answer`]: the envelope, and replies under an Idempotency-Key
//! - [`status`]: our states in the vendor's words
//! - [`records`]: rows as the vendor's records
//! - [`find`]: from ids, ours or the vendor's, to rows
//! - [`models`], [`images`], [`orders`], [`jobs`], [`videos`]: the paths

mod answer;
mod find;
mod images;
mod jobs;
mod models;
mod orders;
mod records;
mod status;
mod videos;

use super::Shared;
use super::guard::{Scope, scoped};
use super::refusal::{Area, Refusal};
use answer::{Nok, Outcome};
use axum::Json;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde_json::json;

/// Who acts, in events.
const ACTOR: &str = "gateway";

/// The routes below `/api`.
pub fn router() -> Router<Shared> {
    let read = Router::new()
        .route("/api/ping", get(ping))
        .route("/api/models", get(models::list))
        .route("/api/models/{id}", get(models::read))
        .route("/api/models/{id}/images", get(models::images))
        .route("/api/images/{id}", get(images::read))
        .route("/api/jobs", get(jobs::list))
        .route("/api/jobs/{id}", get(jobs::read))
        .route("/api/videos", get(videos::list))
        .route("/api/videos/{id}", get(videos::read))
        .route("/api/videos/{id}/create-download", get(videos::create_download))
        .route("/api/videos/{id}/download", get(videos::download))
        .route("/api/presets", get(presets));
    let submit = Router::new()
        .route("/api/models", post(models::create_or_update))
        // A GET that orders work: reading is not enough for it.
        .route("/api/models/{id}/train", get(models::train))
        .route("/api/images/upload", post(images::upload))
        .route("/api/images/generation", post(orders::generate_image))
        .route("/api/images/upscaling", post(orders::upscale))
        .route("/api/videos/generation", post(orders::generate_video));
    let admin = Router::new()
        .route("/api/models/{id}", delete(models::delete))
        .route("/api/images/{id}", delete(images::delete))
        .route("/api/videos/{id}", delete(videos::delete));
    scoped(read, Scope::Read)
        .merge(scoped(submit, Scope::Submit))
        .merge(scoped(admin, Scope::Admin))
        .layer(middleware::from_fn(demand_version))
}

/// The vendor demands the header on every request (vendor-api.md 1).
async fn demand_version(request: Request, next: Next) -> Response {
    let mut versions = request.headers().get_all("api-version").iter();
    if versions.next().is_some_and(|version| version == "1") && versions.next().is_none() {
        return next.run(request).await;
    }
    let message = "the header API-Version is missing or unknown: send API-Version: 1";
    Refusal::invalid(message).answer(Area::Gateway)
}

/// `GET /ping` (vendor-api.md 2.1).
async fn ping() -> Response {
    Json(json!({ "message": "pong!", "status": "OK" })).into_response()
}

/// `GET /presets` (vendor-api.md 2.21), as the vendor gave them, with their age in seconds.
async fn presets(State(app): State<Shared>) -> Outcome {
    let presets = app.engine.presets().await.map_err(|problem| {
        let message = format!("the presets are not known here yet, and {problem}; try again");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(30)
    })?;
    let age = (app.store.now() - presets.at).max(0) / 1000;
    let mut response = answer::ok(json!(presets.items));
    response.headers_mut().insert(header::AGE, HeaderValue::from(age));
    Ok(response)
}

/// A number of the query that counts pages or rows.
fn number(name: &str, given: Option<&str>, default: i64, most: i64) -> Result<i64, Nok> {
    let given = given.filter(|given| !given.is_empty());
    let number = given.map_or(Ok(default), str::parse);
    let number = number.ok().filter(|number| (1..=most).contains(number));
    number
        .ok_or_else(|| Refusal::invalid(format!("{name} must be a whole number from 1 on")).into())
}
