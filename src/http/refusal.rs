//! What a refused request is told: the vendor's envelope under `/api`, problem details (RFC 9457)
//! everywhere else.

use crate::domain::validate::Problem;
use crate::service::ServiceError;
use crate::store::StoreError;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// A part of the address space with its own form of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// Below `/api`: the vendor's envelope (vendor-api.md 1.2).
    Gateway,
    /// Everywhere else: problem details.
    Native,
}

impl Area {
    /// The area of a path.
    pub fn of(path: &str) -> Self {
        if path == "/api" || path.starts_with("/api/") { Self::Gateway } else { Self::Native }
    }
}

/// Why a request is refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// One sentence for people: what is wrong, where, and what to do.
    pub message: String,
    /// Which fields are wrong: name, sentence.
    pub errors: Vec<(String, String)>,
    /// Seconds after which trying again makes sense.
    pub retry_after: Option<u64>,
}

impl Refusal {
    /// A refusal with this status and sentence.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), errors: Vec::new(), retry_after: None }
    }

    /// 400.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 409.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// The same with a time after which to try again, in seconds.
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The answer, in the form of its area.
    pub fn answer(self, area: Area) -> Response {
        let mut response = match area {
            Area::Gateway => self.envelope(),
            Area::Native => self.problem(),
        };
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    fn envelope(&self) -> Response {
        let details: Vec<String> =
            self.errors.iter().map(|(field, problem)| format!("{field}: {problem}")).collect();
        let err = match details.is_empty() {
            true => self.status.canonical_reason().unwrap_or("error").to_ascii_lowercase(),
            false => details.join("; "),
        };
        let body = json!({ "err": err, "message": self.message, "result": null, "status": "NOK" });
        (self.status, Json(body)).into_response()
    }

    fn problem(&self) -> Response {
        let mut body = Map::new();
        body.insert("type".to_owned(), json!("about:blank"));
        body.insert("title".to_owned(), json!(self.status.canonical_reason().unwrap_or("Error")));
        body.insert("status".to_owned(), json!(self.status.as_u16()));
        body.insert("detail".to_owned(), json!(self.message));
        if !self.errors.is_empty() {
            let errors: Vec<Value> = self
                .errors
                .iter()
                .map(|(field, problem)| json!({ "field": field, "message": problem }))
                .collect();
            body.insert("errors".to_owned(), Value::Array(errors));
        }
        let mut response = (self.status, Json(Value::Object(body))).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

impl From<ServiceError> for Refusal {
    fn from(error: ServiceError) -> Self {
        let message = error.to_string();
        match error {
            ServiceError::Invalid(problem) => Self::of_problems(vec![problem]),
            ServiceError::Several(problems) => Self::of_problems(problems.0),
            ServiceError::Unknown(problem) => {
                let errors = match problem.field.as_str() {
                    "" => Vec::new(),
                    field => vec![(field.to_owned(), problem.message.clone())],
                };
                Self { errors, ..Self::not_found(message) }
            }
            ServiceError::Conflict(_) => Self::conflict(message),
            ServiceError::Broken(_) => {
                tracing::error!("a request failed: {message}");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
            }
            ServiceError::Store(error) => error.into(),
        }
    }
}

impl Refusal {
    /// 400 with every problem.
    pub fn of_problems(problems: Vec<Problem>) -> Self {
        let message = match problems.as_slice() {
            [one] => match one.field.as_str() {
                "" => one.message.clone(),
                field => format!("{field}: {}", one.message),
            },
            several => {
                let all: Vec<String> =
                    several.iter().map(|one| format!("{}: {}", one.field, one.message)).collect();
                format!("{} things are wrong: {}", several.len(), all.join("; "))
            }
        };
        let errors = problems
            .into_iter()
            .filter(|problem| !problem.field.is_empty())
            .map(|problem| (problem.field, problem.message))
            .collect();
        Self { errors, ..Self::invalid(message) }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Refused(_) | StoreError::Illegal(_) => Self::conflict(error.to_string()),
            StoreError::NotFound(..) => Self::not_found(error.to_string()),
            StoreError::Full(_) => {
                let message = "the disk is full, so nothing was stored; make room and try again";
                Self::new(StatusCode::INSUFFICIENT_STORAGE, message).retry_after(30)
            }
            error if error.is_passing() || error.is_final() => {
                tracing::warn!("a request could not be stored: {error}");
                let message = "the database cannot be written right now; try again, with the same \
                               Idempotency-Key";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(2)
            }
            _ => {
                tracing::error!("a request failed: {error}");
                let message = "the daemon could not answer; its log says why";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
            }
        }
    }
}

/// The answer for a path that nothing is served under.
pub async fn no_such_path(uri: Uri) -> Response {
    let path: String = uri.path().chars().take(200).collect();
    Refusal::not_found(format!("there is nothing at {path}")).answer(Area::of(uri.path()))
}
