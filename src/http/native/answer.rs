//! How handlers of the native API answer.

use crate::http::refusal::{Area, Refusal};
use crate::service::ServiceError;
use crate::store::StoreError;
use crate::store::idempotency::StoredReply;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// A refusal on its way out as problem details.
#[derive(Debug)]
pub(super) struct Problem(pub(super) Refusal);

/// What handlers return.
pub(super) type Answer = Result<Response, Problem>;

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.0.answer(Area::Native)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self(error.into())
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        Self(error.into())
    }
}

/// A JSON answer.
pub(super) fn json<T: serde::Serialize>(value: T) -> Answer {
    Ok(Json(value).into_response())
}

/// An answer that is, or may have been, stored; `replayed` says that it comes from the store.
pub(super) fn stored(reply: StoredReply, replayed: bool) -> Response {
    let place = reply.body.get("href").and_then(Value::as_str).map(HeaderValue::from_str);
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    let mut response = (status, Json(reply.body)).into_response();
    let headers = response.headers_mut();
    if let Some(Ok(place)) = place
        && status == StatusCode::ACCEPTED
    {
        headers.insert(header::LOCATION, place);
    }
    if replayed {
        headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    response
}
