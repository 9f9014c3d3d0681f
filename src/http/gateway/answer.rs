//! The vendor's envelope, and replies that are given once per Idempotency-Key.

use super::super::App;
use super::super::refusal::{Area, Refusal};
use crate::domain::catalogue::{did_you_mean, nearest};
use crate::service::keys::{MAX_KEY_CHARS, hash, is_key};
use crate::service::{ServiceError, shown};
use crate::store::StoreError;
use crate::store::idempotency::{Answer, Keyed, Once, RequestKey, StoredReply};
use crate::store::writer::Write;
use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What every handler of the gateway returns.
pub(super) type Outcome = Result<Response, Nok>;

/// A refusal in the vendor's envelope.
#[derive(Debug)]
pub(super) struct Nok(pub(super) Refusal);

impl IntoResponse for Nok {
    fn into_response(self) -> Response {
        self.0.answer(Area::Gateway)
    }
}

impl From<Refusal> for Nok {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl From<ServiceError> for Nok {
    fn from(error: ServiceError) -> Self {
        Self(error.into())
    }
}

impl From<StoreError> for Nok {
    fn from(error: StoreError) -> Self {
        Self(error.into())
    }
}

/// The envelope of a good answer (vendor-api.md 1.1).
pub(super) fn ok(result: Value) -> Response {
    Json(envelope(result)).into_response()
}

pub(super) fn envelope(result: Value) -> Value {
    json!({ "result": result, "status": "OK" })
}

/// A reply that will be given again under the same key.
pub(super) fn reply(result: Value) -> StoredReply {
    StoredReply { status: 200, body: envelope(result) }
}

/// The request's key; `what` is method and path, `request` what was asked for.
pub(super) fn key_of(
    headers: &HeaderMap,
    what: &str,
    request: &Value,
) -> Result<Option<RequestKey>, Nok> {
    let mut given = headers.get_all("idempotency-key").iter();
    let Some(value) = given.next() else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| is_key(key) && given.next().is_none());
    let Some(key) = key else {
        return Err(Refusal::invalid(format!(
            "Idempotency-Key must be one header of 1 to {MAX_KEY_CHARS} printable characters"
        ))
        .into());
    };
    let request_hash = hash(what, request);
    Ok(Some(RequestKey { scope: "gateway", key: key.to_owned(), request_hash }))
}

/// What the same request was answered before. Asked before anything is checked: a reply stays the
/// same when the world has moved on.
pub(super) async fn earlier(app: &App, key: Option<&RequestKey>) -> Result<Option<Response>, Nok> {
    Ok(earlier_body(app, key).await?.map(replayed))
}

/// The same, before it becomes a response.
pub(super) async fn earlier_body(
    app: &App,
    key: Option<&RequestKey>,
) -> Result<Option<StoredReply>, Nok> {
    let Some(key) = key else { return Ok(None) };
    match app.store.reply_to(key.scope, &key.key).await? {
        None => Ok(None),
        Some((hash, reply)) if hash == key.request_hash => Ok(Some(reply)),
        Some(_) => Err(taken(&key.key)),
    }
}

/// A stored reply, marked as one.
pub(super) fn replayed(reply: StoredReply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    let mut response = (status, Json(reply.body)).into_response();
    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    response
}

fn taken(key: &str) -> Nok {
    Refusal::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        format!(
            "the Idempotency-Key {} was used before for another request: take a new one, or send \
             the same request again",
            shown(key)
        ),
    )
    .into()
}

/// What became of a write.
pub(super) enum Done<T> {
    /// It happened now; what it came to, and the reply that is stored under the key.
    Now(T),
    /// It happened before, and this was answered.
    Before(StoredReply),
}

/// Does `write` at most once per key, and wakes the daemon.
pub(super) async fn once<W>(
    app: &App,
    key: Option<RequestKey>,
    write: W,
    reply: Answer<W::Output>,
) -> Result<Done<W::Output>, Nok>
where
    W: Write + Sync,
    W::Output: Sync,
{
    let name = key.as_ref().map(|key| key.key.clone()).unwrap_or_default();
    match app.store.writer().write(Once { key, write, reply }).await? {
        Keyed::Fresh(output) => {
            app.engine.wake();
            Ok(Done::Now(output))
        }
        Keyed::Known(reply) => Ok(Done::Before(reply)),
        Keyed::Taken => Err(taken(&name)),
    }
}

/// The same for a write whose answer is known beforehand.
pub(super) async fn once_told<W>(
    app: &App,
    key: Option<RequestKey>,
    write: W,
    told: StoredReply,
) -> Outcome
where
    W: Write + Sync,
    W::Output: Sync,
{
    let stored = told.clone();
    match once(app, key, write, Box::new(move |_| Some(stored.clone()))).await? {
        Done::Now(_) => Ok(Json(told.body).into_response()),
        Done::Before(reply) => Ok(replayed(reply)),
    }
}

/// Reads an object with these fields and no others. What is null, an empty text or an empty object
/// counts as left out, and 2.0 as 2: programs send such things, and mean nothing by them.
pub(super) fn shape<T: DeserializeOwned>(value: Value, fields: &[&str]) -> Result<T, Nok> {
    let Value::Object(mut object) = value else {
        return Err(Refusal::invalid("the body must be a JSON object").into());
    };
    object.retain(|_, value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    });
    for value in object.values_mut() {
        if let Some(whole) = value.as_f64().and_then(whole).filter(|_| value.is_f64()) {
            *value = json!(whole);
        }
    }
    let mut refusal = Refusal::invalid("");
    for name in object.keys().filter(|name| !fields.contains(&name.as_str())) {
        let meant = did_you_mean(nearest(name, fields.iter().copied()));
        let fault = format!("this call takes no such field{meant}");
        refusal.errors.push((shown(name).trim_matches('`').to_owned(), fault));
    }
    if let Some((name, fault)) = refusal.errors.first() {
        refusal.message = format!("{name}: {fault}");
        return Err(refusal.into());
    }
    serde_path_to_error::deserialize(Value::Object(object)).map_err(|error| {
        let path = error.path().to_string();
        let (field, what) = misfit(&path, &error.inner().to_string());
        let mut refusal = Refusal::invalid(format!("{field}: {what}"));
        refusal.errors.push((field, what));
        refusal.into()
    })
}

fn whole(number: f64) -> Option<i64> {
    // Beyond this, not every whole number has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "checked")]
    (number.fract() == 0.0 && number.abs() < EXACT).then_some(number as i64)
}

/// Which field does not fit, and how, without repeating what was sent: it may hold a signed link.
fn misfit(path: &str, problem: &str) -> (String, String) {
    let named = problem.split('`').nth(1).unwrap_or("the body").to_owned();
    if problem.starts_with("missing field") {
        let field = match path {
            "." | "?" => named,
            path => format!("{path}.{named}"),
        };
        return (field, "it is missing".to_owned());
    }
    let field = if matches!(path, "." | "?") { "the body".to_owned() } else { path.to_owned() };
    let what = match problem.rsplit_once("expected ").map(|(_, wanted)| wanted) {
        Some("u32") => "a whole number from 0 on is wanted",
        Some("i64") => "a whole number is wanted",
        Some("f64") => "a number is wanted",
        Some("a string") => "a text is wanted",
        Some("a sequence") => "a list is wanted",
        Some(wanted) if wanted.starts_with("struct") => "an object with `url` and `role` is wanted",
        _ if problem.starts_with("unknown field") => {
            return (field, format!("there is no `{named}`"));
        }
        _ => "it does not fit",
    };
    (field, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[expect(dead_code, reason = "only read")]
        url: String,
    }

    #[derive(Debug, Deserialize)]
    struct Body {
        name: String,
        count: Option<u32>,
        #[serde(default)]
        #[expect(dead_code, reason = "only read")]
        items: Vec<Inner>,
    }

    fn refused(value: Value) -> String {
        shape::<Body>(value, &["name", "count", "items"]).unwrap_err().0.message
    }

    #[test]
    fn a_misfit_is_named_and_not_repeated() {
        assert_eq!(refused(json!({})), "name: it is missing");
        assert_eq!(refused(json!({ "name": "" })), "name: it is missing");
        assert_eq!(refused(json!({ "name": 1 })), "name: a text is wanted");
        let wrong = json!({ "name": "a", "count": "2" });
        assert_eq!(refused(wrong), "count: a whole number from 0 on is wanted");
        assert!(refused(json!({ "name": "a", "count": -1 })).starts_with("count: a whole"));
        assert_eq!(refused(json!({ "name": "a", "items": [{}] })), "items[0].url: it is missing");
        let link = json!({ "name": "a", "items": ["http://x/?sig=secret"] });
        assert!(refused(link).starts_with("items[0]: an object"));
        assert!(refused(json!({ "name": "a", "cuont": 2 })).contains("did you mean `count`"));
        assert_eq!(refused(json!([])), "the body must be a JSON object");
    }

    #[test]
    fn what_programs_mean_nothing_by_counts_as_left_out() {
        let body = json!({ "name": "a", "count": 2.0, "items": [], "other": null, "more": {} });
        let body: Body = shape(body, &["name", "count", "items"]).unwrap();
        assert_eq!((body.name.as_str(), body.count), ("a", Some(2)));
    }
}
