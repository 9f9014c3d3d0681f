//! A request that changes something: its body, and the key that makes it safe to send twice.

use super::answer::{Problem, stored};
use crate::domain::catalogue::{did_you_mean, nearest};
use crate::http::extract::is_json;
use crate::http::guard::body::{JSON_CAP, collect};
use crate::http::refusal::{Area, Refusal};
use crate::http::{App, Shared};
use crate::service::keys;
use crate::store::idempotency::{Keyed, Once, RequestKey, StoredReply};
use crate::store::writer::Write;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Whose keys these are.
const SCOPE: &str = "api";

/// A request with a JSON body, or none. One that came before under the same key is answered from
/// the store before its handler sees it.
pub(super) struct Asked {
    /// An object.
    pub(super) body: Value,
    /// The key, if there is one.
    pub(super) key: Option<RequestKey>,
}

impl FromRequest<Shared> for Asked {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Shared) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let bytes =
            collect(body, JSON_CAP).await.map_err(|refusal| refusal.answer(Area::Native))?;
        let body = match bytes.is_empty() {
            true => Value::Object(Map::new()),
            false if !is_json(&parts.headers) => return Err(not_json().answer(Area::Native)),
            false => crate::http::extract::read::<Value>(&bytes)
                .map_err(|refusal| refusal.answer(Area::Native))?,
        };
        if !body.is_object() {
            let refusal = Refusal::invalid("the body is no JSON object; send one");
            return Err(refusal.answer(Area::Native));
        }
        let named = key_name(&parts.headers).map_err(IntoResponse::into_response)?;
        let key = match named {
            Some(name) => {
                let asked = operation(&parts.method, &parts.uri);
                let key =
                    RequestKey { scope: SCOPE, key: name, request_hash: keys::hash(&asked, &body) };
                replay(app, &key).await?;
                Some(key)
            }
            None => None,
        };
        Ok(Self { body, key })
    }
}

fn not_json() -> Refusal {
    let message = "the body is not declared as JSON; send Content-Type: application/json";
    Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
}

/// What a key is for: not only the body, also what is done with it.
pub(super) fn operation(method: &axum::http::Method, uri: &Uri) -> String {
    format!("{method} {}", uri.path())
}

/// The text of the key.
pub(super) fn key_name(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all("idempotency-key").iter();
    let Some(first) = given.next() else { return Ok(None) };
    let text = first.to_str().ok().filter(|text| keys::is_key(text));
    match (text, given.next()) {
        (Some(text), None) => Ok(Some(text.to_owned())),
        _ => {
            let mut refusal = Refusal::invalid(format!(
                "the Idempotency-Key is none: send one header with 1 to {} characters of ASCII",
                keys::MAX_KEY_CHARS
            ));
            refusal.errors.push(("Idempotency-Key".to_owned(), "it is no key".to_owned()));
            Err(refusal.into())
        }
    }
}

/// A key under this name for a request of this hash.
pub(super) fn key_of(name: String, request_hash: String) -> RequestKey {
    RequestKey { scope: SCOPE, key: name, request_hash }
}

/// Ends with the stored answer, or with a refusal, if the key was used before.
pub(super) async fn replay(app: &App, key: &RequestKey) -> Result<(), Response> {
    let known = app.store.reply_to(SCOPE, &key.key).await;
    match known.map_err(|error| Problem::from(error).into_response())? {
        None => Ok(()),
        Some((hash, reply)) if hash == key.request_hash => Err(stored(reply, true)),
        Some(_) => Err(taken().into_response()),
    }
}

fn taken() -> Problem {
    let message = "the Idempotency-Key was used before for another request; take a new one";
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message).into()
}

/// Carries out a write, once per key, and answers what `reply` makes of it.
pub(super) async fn once<W>(
    app: &App,
    key: Option<RequestKey>,
    write: W,
    reply: impl Fn(&W::Output) -> StoredReply + Send + Sync + Clone + 'static,
) -> Result<Response, Problem>
where
    W: Write + Sync,
    W::Output: Sync,
{
    let again = reply.clone();
    let once = Once { key, write, reply: Box::new(move |done| Some(again(done))) };
    let done = app.store.writer().write(once).await?;
    app.engine.wake();
    match done {
        Keyed::Fresh(done) => Ok(stored(reply(&done), false)),
        Keyed::Known(known) => Ok(stored(known, true)),
        Keyed::Taken => Err(taken()),
    }
}

/// A body as this type; a refusal names the field, and the one that was meant.
pub(super) fn typed<T: DeserializeOwned>(body: &Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(body).map_err(|error| {
        let path = error.path().to_string();
        let text = error.inner().to_string();
        let (field, what) = told(&path, &text);
        let message = match field.as_str() {
            "" => format!("the body is not as it should be: {what}"),
            field => format!("`{field}` in the body is wrong: {what}"),
        };
        let mut refusal = Refusal::invalid(message);
        if !field.is_empty() {
            refusal.errors.push((field, what));
        }
        refusal.into()
    })
}

/// The field and the sentence for what serde says about a path.
fn told(path: &str, text: &str) -> (String, String) {
    let path = if path == "." { "" } else { path };
    let quoted: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
    if let Some((name, known)) = quoted.split_first()
        && text.starts_with("unknown field")
    {
        // The path ends with the name itself.
        let field = if path.ends_with(name) { path.to_owned() } else { (*name).to_owned() };
        let meant = did_you_mean(nearest(name, known.iter().copied()));
        let what = match meant.as_str() {
            "" if known.is_empty() => "there are no fields here".to_owned(),
            "" => format!("there is no such field; there are {}", known.join(", ")),
            meant => format!("there is no such field{meant}"),
        };
        return (field, what);
    }
    if let Some(name) = quoted.first()
        && text.starts_with("missing field")
    {
        let field = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
        return (field, "it is missing".to_owned());
    }
    (path.to_owned(), text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        #[allow(dead_code, reason = "only its name counts")]
        prompt: String,
        #[serde(default)]
        #[allow(dead_code, reason = "only its name counts")]
        num_images: Option<u32>,
    }

    fn refused(body: Value) -> (String, Vec<(String, String)>) {
        let problem = typed::<Wanted>(&body).unwrap_err().0;
        (problem.message, problem.errors)
    }

    #[test]
    fn the_field_that_was_meant_is_named() {
        let (message, errors) = refused(json!({ "prompt": "x", "numImages": 2 }));
        assert_eq!(
            message,
            "`numImages` in the body is wrong: there is no such field; did you mean `num_images`?"
        );
        assert_eq!(errors[0].0, "numImages");
        assert_eq!(refused(json!({})).1[0], ("prompt".to_owned(), "it is missing".to_owned()));
        assert_eq!(refused(json!({ "prompt": "x", "num_images": -1 })).1[0].0, "num_images");
        let (message, _) = refused(json!({ "prompt": "x", "colour": 1 }));
        assert!(message.contains("there are prompt, num_images"), "{message}");
    }
}
