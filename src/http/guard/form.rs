//! What every answer has in common: the form of its area, and the headers that keep a browser from
//! doing anything with it.

use crate::http::refusal::{Area, Refusal};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;

/// The part of the address space, as a label of the metrics.
pub(super) fn part(path: &str) -> &'static str {
    match path.split('/').nth(1) {
        Some("api") => "gateway",
        Some("v1") => "native",
        Some("media") => "media",
        Some("healthz" | "readyz" | "metrics") => "ops",
        _ => "other",
    }
}

/// The class of a status, as a label of the metrics.
pub(super) fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// The connection ends after this answer if a part of the request's body was left unread.
pub(super) fn closing(mut response: Response, unread: bool) -> Response {
    if unread {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The answer as it goes out.
pub(super) fn finished(response: Response, area: Area, method: &Method) -> Response {
    let mut response = in_form(response, area, method);
    let status = response.status();
    let headers = response.headers_mut();
    let always = [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
    ];
    for (name, value) in always {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let unless_set = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
    ];
    for (name, value) in unless_set {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// A refusal that did not come from us (a method that a route has no handler for, a file that is
/// not there) in the form of the area. Its headers stay.
fn in_form(response: Response, area: Area, method: &Method) -> Response {
    let status = response.status();
    let refused = status.is_client_error() || status.is_server_error();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let ours = kind.is_some_and(|kind| {
        kind.starts_with("application/json") || kind.starts_with("application/problem+json")
    });
    if !refused || ours {
        return response;
    }
    let allowed = response.headers().get(header::ALLOW).and_then(|allow| allow.to_str().ok());
    let message = match (status, allowed) {
        (StatusCode::METHOD_NOT_ALLOWED, Some(allowed)) => {
            format!("{method} is not answered here; allowed are {allowed}")
        }
        (StatusCode::NOT_FOUND, _) => "there is nothing here".to_owned(),
        _ => status.canonical_reason().unwrap_or("refused").to_ascii_lowercase(),
    };
    let (parts, _) = response.into_parts();
    let mut answer = Refusal::new(status, message).answer(area);
    for (name, value) in &parts.headers {
        if !matches!(*name, header::CONTENT_TYPE | header::CONTENT_LENGTH) {
            answer.headers_mut().append(name, value.clone());
        }
    }
    *answer.extensions_mut() = parts.extensions;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[tokio::test]
    async fn a_strange_refusal_gets_the_form() {
        let strange = Response::builder().status(405).header("allow", "GET,HEAD");
        let strange = strange.body(Body::from("plain")).unwrap();
        let answer = finished(strange, Area::Gateway, &Method::PUT);
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers()["allow"], "GET,HEAD");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let body = axum::body::to_bytes(answer.into_body(), 1000).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["status"], "NOK");
        assert_eq!(body["message"], "PUT is not answered here; allowed are GET,HEAD");
    }

    #[test]
    fn what_a_handler_says_of_caching_stays() {
        let own = Response::builder().header("cache-control", "max-age=60");
        let answer = finished(own.body(Body::empty()).unwrap(), Area::Native, &Method::GET);
        assert_eq!(answer.headers()["cache-control"], "max-age=60");
        assert_eq!(answer.headers()["content-security-policy"], "default-src 'none'; sandbox");
        assert!(!answer.headers().contains_key("connection"));
    }
}
