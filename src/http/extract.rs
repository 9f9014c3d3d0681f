//! What handlers take from a request. A refusal has the form of the request's area and names the
//! field, which axum's own extractors do not do.

use super::guard::body;
use super::refusal::{Area, Refusal};
use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, OriginalUri, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, StatusCode, Uri, header};
use axum::response::Response;
use serde::de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::HashSet;
use std::fmt;

/// A JSON body. Refused: not JSON (415), empty, malformed or of another shape (400), longer than
/// [`body::JSON_CAP`] (413).
#[derive(Debug)]
pub struct ApiJson<T>(pub T);

/// Parameters of the path. Refused with 400 when they do not fit.
#[derive(Debug)]
pub struct ApiPath<T>(pub T);

/// Parameters after the `?`. Refused with 400 when they do not fit.
#[derive(Debug)]
pub struct ApiQuery<T>(pub T);

/// The area of a request, also below a nested router.
pub fn area(uri: &Uri, extensions: &Extensions) -> Area {
    let original = extensions.get::<OriginalUri>().map(|original| original.0.path());
    Area::of(original.unwrap_or(uri.path()))
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for ApiJson<T> {
    type Rejection = Response;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Response> {
        let area = area(request.uri(), request.extensions());
        json(request).await.map(Self).map_err(|refusal| refusal.answer(area))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for ApiPath<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(of_path(&rejection).answer(area(&parts.uri, &parts.extensions))),
        }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(of_query(&rejection).answer(area(&parts.uri, &parts.extensions))),
        }
    }
}

/// Whether the headers say that the body is JSON.
pub fn is_json(headers: &HeaderMap) -> bool {
    body::media_type(headers).is_some_and(|name| name == "application/json")
}

async fn json<T: DeserializeOwned>(request: Request) -> Result<T, Refusal> {
    let declared = request.headers().contains_key(header::CONTENT_TYPE);
    let is_json = is_json(request.headers());
    let bytes = body::collect(request.into_body(), body::JSON_CAP).await?;
    if bytes.is_empty() {
        return Err(Refusal::invalid("the body is empty; send a JSON object"));
    }
    if !is_json {
        let said = if declared { "says that it is something else" } else { "has no Content-Type" };
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("the body {said}; send JSON with Content-Type: application/json"),
        ));
    }
    read(&bytes)
}

/// Reads a JSON text; the refusal names the field.
///
/// # Errors
/// [`Refusal`] with status 400.
pub fn read<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Refusal> {
    // A field that is there twice means two things; whichever counted, the other would be lost.
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let _: Unique = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        of_json(path.trim_end_matches('.'), error.inner())
    })?;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        of_json(path.trim_end_matches('.'), error.inner())
    })?;
    reader.end().map_err(|error| of_json("", &error))?;
    Ok(value)
}

/// Any JSON in which no object names a field twice.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
        while items.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Unique, A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = fields.next_key::<String>()? {
            fields.next_value::<Unique>()?;
            if let Some(name) = seen.replace(name) {
                let name: String = name.chars().take(60).collect();
                return Err(A::Error::custom(format_args!("it names `{name}` twice")));
            }
        }
        Ok(Unique)
    }
}

fn of_json(path: &str, error: &serde_json::Error) -> Refusal {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    if !error.is_data() {
        return Refusal::invalid(format!(
            "the body is not valid JSON: {what}, line {} column {}",
            error.line(),
            error.column()
        ));
    }
    misfit("the body", path, what)
}

fn misfit(place: &str, path: &str, what: &str) -> Refusal {
    if path.is_empty() || path == "?" {
        return Refusal::invalid(format!("{place} is not as it should be: {what}"));
    }
    let mut refusal = Refusal::invalid(format!("`{path}` in {place} is wrong: {what}"));
    refusal.errors.push((path.to_owned(), what.to_owned()));
    refusal
}

fn of_path(rejection: &PathRejection) -> Refusal {
    match rejection {
        PathRejection::FailedToDeserializePathParams(error) => {
            let text = error.body_text();
            let what = text.strip_prefix("Invalid URL: ").unwrap_or(&text);
            Refusal::new(error.status(), format!("the address is not as it should be: {what}"))
        }
        other => {
            tracing::error!("a route and its handler disagree: {other}");
            Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the daemon could not answer; its log says why",
            )
        }
    }
}

fn of_query(rejection: &QueryRejection) -> Refusal {
    let text = rejection.body_text();
    let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
    // "limit: invalid digit found in string"; a sentence about the whole names no field first.
    match text.split_once(": ") {
        Some((path, what)) if path.chars().all(|c| c.is_alphanumeric() || "_-.[]".contains(c)) => {
            misfit("the query", path, what)
        }
        _ => misfit("the query", "", text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        #[allow(dead_code, reason = "only its type counts")]
        limit: u32,
        #[serde(default)]
        #[allow(dead_code, reason = "only its type counts")]
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[allow(dead_code, reason = "only its type counts")]
        size: u8,
    }

    fn refused(text: &'static str) -> Refusal {
        read::<Wanted>(&Bytes::from_static(text.as_bytes())).unwrap_err()
    }

    #[test]
    fn a_field_is_there_once() {
        let read =
            |text: &'static str| read::<serde_json::Value>(&Bytes::from_static(text.as_bytes()));
        assert!(read(r#"{"a": [{"b": 1, "c": null}, {"b": -2.5}], "b": "x", "c": true}"#).is_ok());
        let refusal = read(r#"{"a": 1, "b": {"c": 1, "c": 1}}"#).unwrap_err();
        assert!(refusal.message.contains("`c` twice"), "{}", refusal.message);
        assert!(read(r#"{"a": 1, "a": 2}"#).unwrap_err().message.contains("`a` twice"));
    }

    #[test]
    fn the_field_is_named() {
        let deep = refused(r#"{"limit": 1, "inner": [{"size": 1}, {"size": 300}]}"#);
        assert_eq!(deep.errors[0].0, "inner[1].size");
        assert!(deep.message.starts_with("`inner[1].size` in the body is wrong: invalid value"));
        let unknown = refused(r#"{"limit": 1, "limmit": 2}"#);
        assert!(unknown.message.contains("unknown field `limmit`"), "{}", unknown.message);
        assert_eq!(refused("{}").message, "the body is not as it should be: missing field `limit`");
        assert!(refused("{").message.contains("not valid JSON"));
        assert!(refused(r#"{"limit": 1} x"#).message.contains("trailing characters, line 1"));
    }

    #[test]
    fn a_query_names_its_field() {
        let uri: Uri = "/v1/items?limit=many".parse().unwrap();
        let refusal = of_query(&Query::<Wanted>::try_from_uri(&uri).unwrap_err());
        assert_eq!(refusal.errors[0].0, "limit");
        let uri: Uri = "/v1/items?limit=1&colour=red".parse().unwrap();
        let refusal = of_query(&Query::<Wanted>::try_from_uri(&uri).unwrap_err());
        assert!(refusal.message.contains("`colour`"), "{}", refusal.message);
    }

    #[tokio::test]
    async fn the_form_is_the_areas() {
        for (path, content_type) in
            [("/api/jobs", "application/json"), ("/v1/items", "application/problem+json")]
        {
            let request = Request::post(path)
                .header("content-type", "application/json")
                .body(axum::body::Body::from("{"))
                .unwrap();
            let answer = ApiJson::<Wanted>::from_request(request, &()).await.unwrap_err();
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
            assert_eq!(answer.headers()[header::CONTENT_TYPE], content_type);
        }
    }
}
