//! The vendor's two envelopes, and the third way to answer: hanging up.

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// A good answer.
#[derive(Debug)]
pub(crate) struct Reply {
    body: Value,
    effect: Option<u64>,
}

/// A refusal.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    message: String,
    retry_after: Option<u64>,
}

/// What a handler returns.
pub(crate) type Outcome = Result<Reply, Refusal>;

/// Marks a response that tells the number of the effect behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EffectSeq(pub(crate) u64);

/// Marks a response that must not be sent: the connection is closed instead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HangUp;

impl Reply {
    /// `{"result": ..., "status": "OK"}`.
    pub(crate) fn result(result: impl Into<Value>) -> Self {
        Self::bare(json!({ "result": result.into(), "status": "OK" }))
    }

    /// An answer with a shape of its own.
    pub(crate) fn bare(body: Value) -> Self {
        Self { body, effect: None }
    }

    /// Names the effect that this answers, so that the ledger learns whether it was told.
    pub(crate) fn of_effect(mut self, seq: Option<u64>) -> Self {
        self.effect = seq;
        self
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = Json(self.body).into_response();
        if let Some(seq) = self.effect {
            response.extensions_mut().insert(EffectSeq(seq));
        }
        response
    }
}

impl Refusal {
    /// A refusal with any status code.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after: None }
    }

    /// 400: the request is wrong.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404: nothing of this caller's has that id.
    pub(crate) fn unknown(kind: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{kind} not found"))
    }

    /// 429, with `Retry-After` when the vendor is in the mood.
    pub(crate) fn too_many(message: impl Into<String>, retry_after: Option<u64>) -> Self {
        Self { retry_after, ..Self::new(StatusCode::TOO_MANY_REQUESTS, message) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let err = self.status.canonical_reason().unwrap_or("error").to_lowercase();
        let mut response = (self.status, nok(&err, &self.message)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The error envelope.
pub(crate) fn nok(err: &str, message: &str) -> Json<Value> {
    Json(json!({ "err": err, "message": message, "result": null, "status": "NOK" }))
}

/// A response that closes the connection.
pub(crate) fn hang_up() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(HangUp);
    response
}
