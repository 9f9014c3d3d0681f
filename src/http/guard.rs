//! Who may come in, decided before anything else is looked at, and the same for every path,
//! whether something is served there or not. In this order; the first refusal is the answer:
//!
//! 1. The `Host` header names this daemon (else 403). Not 421: that invites a browser to try again.
//! 2. `Origin` is absent or this very site, and `Sec-Fetch-Site` is absent, `none` or
//!    `same-origin` (else 403). `same-site` is refused, since all ports of localhost are one site.
//! 3. `Authorization: Bearer TOKEN` holds one of the three tokens (else 401). Below `/media/` the
//!    handler checks a signature instead.
//! 4. The method is not TRACE or CONNECT (else 405). OPTIONS has no answer of its own either, so
//!    no other site is ever allowed in by CORS.
//! 5. A body is JSON, or multipart on a path for uploads, and is not compressed (else 415).
//! 6. A body is no longer than [`body::JSON_CAP`] or [`body::UPLOAD_CAP`] (else 413, also in the
//!    middle of a body that did not say how long it is).
//! 7. After the route is found: the token's scope is enough for it (else 403), see [`scoped`].
//! 8. Where work is ordered: the queue has room (else 429), see [`queue::admit`].
//!
//! Whatever answers, a panic included, answers in the form of its area ([`Area`]) and carries the
//! headers that keep a browser from doing anything with it.

pub mod body;
mod form;
pub(in crate::http) mod hosts;
pub mod queue;
mod turns;

use super::Shared;
use super::extract;
use super::refusal::{Area, Refusal};
pub use super::token::Scope;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use body::{Broken, Guarded, JSON_CAP, UPLOAD_CAP};
use futures_util::FutureExt;
use hosts::AllowList;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use turns::Turns;

/// What a body may be; the same words everywhere.
const FORMS: &str = "send the body as JSON, with Content-Type: application/json (a photo as \
     multipart/form-data, where one is taken)";

/// Who asks, as the guard found out; handlers take it as an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What the token allows.
    pub scope: Scope,
    /// The word for events: `gateway` or `api`.
    pub actor: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        let area = extract::area(&parts.uri, &parts.extensions);
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| form::finished(no_token().answer(area), area, &parts.method))
    }
}

/// The word for events of a request that came through the guard.
pub fn actor_of(extensions: &Extensions) -> &str {
    extensions.get::<Caller>().map_or("api", |caller| caller.actor.as_str())
}

struct Door {
    app: Shared,
    hosts: AllowList,
    turns: Turns,
}

/// Puts the checks that do not depend on the route in front of everything.
pub fn guarded(routes: Router<Shared>, app: Shared) -> Router<Shared> {
    let daemon = &app.config.daemon;
    let hosts = AllowList::new(app.listen, &daemon.allowed_hosts, &daemon.public_url);
    let door = Arc::new(Door { app: app.clone(), hosts, turns: Turns::default() });
    // As a fallback of an empty router, so that nothing is matched before the checks.
    Router::new()
        .fallback_service(routes.with_state(app))
        // The guard's own caps count, also for uploads.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(door, enter))
}

/// These routes need this scope.
pub fn scoped(routes: Router<Shared>, scope: Scope) -> Router<Shared> {
    if !routes.has_routes() {
        return routes;
    }
    routes.route_layer(middleware::from_fn(move |request, next| needing(scope, request, next)))
}

async fn needing(scope: Scope, request: Request, next: Next) -> Response {
    let area = extract::area(request.uri(), request.extensions());
    match request.extensions().get::<Caller>() {
        Some(caller) if caller.scope >= scope => next.run(request).await,
        Some(caller) => too_small(caller.scope, scope).answer(area),
        None => no_token().answer(area),
    }
}

async fn enter(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let area = Area::of(parts.uri.path());
    let part = form::part(parts.uri.path());
    let method = parts.method.clone();
    let response = match door.admit(&parts, area) {
        Err(refusal) => {
            let read = body::discard(body, &parts.headers).await;
            form::closing(refusal.answer(area), !read)
        }
        Ok((caller, cap)) => {
            if let Some(caller) = caller {
                parts.extensions.insert(caller);
            }
            parts.uri = super::tidy(parts.uri);
            let key = parts.headers.get("idempotency-key").map(|key| format!("{part} {key:?}"));
            let _turn = match key {
                Some(key) => Some(door.turns.take(key).await),
                None => None,
            };
            let (body, progress) = Guarded::wrap(body, cap);
            let request = Request::from_parts(parts, Body::new(body));
            let response = unharmed(area, next.run(request)).await;
            form::closing(response, !progress.is_finished())
        }
    };
    let response = form::finished(response, area, &method);
    let class = form::class(response.status());
    metrics::counter!("darkroom_http_requests_total", "area" => part, "status" => class)
        .increment(1);
    response
}

/// What the handler answers; 500 when it panics.
async fn unharmed(area: Area, answer: impl Future<Output = Response>) -> Response {
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let words = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
            tracing::error!("a request made its handler panic: {}", words.unwrap_or_default());
            let message = "the daemon could not answer; its log says why";
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message).answer(area)
        }
    }
}

impl Door {
    /// Who asks, and how many bytes the body may have.
    fn admit(&self, parts: &Parts, area: Area) -> Result<(Option<Caller>, u64), Refusal> {
        self.hosts
            .check(&parts.uri, &parts.headers)
            .map_err(|foreign| Refusal::new(StatusCode::FORBIDDEN, foreign.sentence()))?;
        let caller = self.caller(parts, area)?;
        if matches!(parts.method, Method::TRACE | Method::CONNECT) {
            let message = format!("{} is not answered anywhere here", parts.method);
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message));
        }
        let cap = cap_of(parts.uri.path(), &parts.headers)?;
        match content_length(&parts.headers) {
            Some(length) if length > cap => Err(Broken::TooLong(cap).refusal()),
            _ => Ok((caller, cap)),
        }
    }

    fn caller(&self, parts: &Parts, area: Area) -> Result<Option<Caller>, Refusal> {
        let mut given = parts.headers.get_all(header::AUTHORIZATION).iter();
        let actor = match area {
            Area::Gateway => "gateway",
            Area::Native => "api",
        };
        let scope = match (given.next(), given.next()) {
            (None, _) if signed(parts) => return Ok(None),
            (None, _) => return Err(no_token()),
            (Some(value), None) => bearer(value).and_then(|token| self.app.tokens.scope_of(token)),
            (Some(_), Some(_)) => None,
        };
        match scope {
            Some(scope) => Ok(Some(Caller { scope, actor: actor.to_owned() })),
            None => Err(wrong_token()),
        }
    }
}

/// A link to a file carries its own proof, which is checked where the file is served.
fn signed(parts: &Parts) -> bool {
    let reads = matches!(parts.method, Method::GET | Method::HEAD);
    reads && parts.uri.path().starts_with("/media/")
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn no_token() -> Refusal {
    Refusal::new(
        StatusCode::UNAUTHORIZED,
        "the request carries no token; send `Authorization: Bearer TOKEN` with the token that \
         `darkroom token` prints",
    )
}

fn wrong_token() -> Refusal {
    Refusal::new(
        StatusCode::UNAUTHORIZED,
        "the token is not one of this daemon's; `darkroom token` prints the right one (it must use \
         the daemon's data directory)",
    )
}

fn too_small(has: Scope, needs: Scope) -> Refusal {
    let message = format!(
        "this needs a token of scope {needs}, and this one's scope is {has}; `darkroom token \
         --scope {needs}` prints one"
    );
    Refusal::new(StatusCode::FORBIDDEN, message)
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether a body comes with the headers.
fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
        || content_length(headers).is_some_and(|length| length > 0)
}

/// How many bytes a body of this type may have on this path.
fn cap_of(path: &str, headers: &HeaderMap) -> Result<u64, Refusal> {
    if !has_body(headers) {
        return Ok(0);
    }
    let unsupported = |message: &str| Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(unsupported(
            "compressed bodies are not taken; send it without Content-Encoding",
        ));
    }
    let uploads = path.ends_with("/images/upload") || path.ends_with("/uploads");
    match body::media_type(headers).as_deref() {
        Some("application/json") if body::is_utf8(headers) => Ok(JSON_CAP),
        Some("application/json") => Err(unsupported("JSON is taken in UTF-8 only")),
        Some("multipart/form-data") if uploads => Ok(UPLOAD_CAP),
        _ if uploads => Err(unsupported(FORMS)),
        _ => Err(unsupported(FORMS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        for (area, form) in
            [(Area::Gateway, "application/json"), (Area::Native, "application/problem+json")]
        {
            let handler = async { panic!("a handler's mistake") };
            let answer = form::finished(unharmed(area, handler).await, area, &Method::GET);
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(answer.headers()[header::CONTENT_TYPE], form);
            assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        }
    }

    #[tokio::test]
    async fn a_scope_includes_the_smaller_ones() {
        use tower::ServiceExt;
        for (has, needs, status) in [
            (Some(Scope::Read), Scope::Read, 204),
            (Some(Scope::Read), Scope::Submit, 403),
            (Some(Scope::Submit), Scope::Submit, 204),
            (Some(Scope::Submit), Scope::Admin, 403),
            (Some(Scope::Admin), Scope::Read, 204),
            (Some(Scope::Admin), Scope::Admin, 204),
            (None, Scope::Read, 401),
        ] {
            let handler = axum::routing::post(|| async { StatusCode::NO_CONTENT });
            let scoped = middleware::from_fn(move |request, next| needing(needs, request, next));
            let routes: Router = Router::new().route("/v1/x", handler).route_layer(scoped);
            let mut request = Request::post("/v1/x").body(Body::empty()).unwrap();
            if let Some(scope) = has {
                request.extensions_mut().insert(Caller { scope, actor: "api".to_owned() });
            }
            let answer = routes.oneshot(request).await.unwrap();
            assert_eq!(answer.status(), status, "{has:?} {needs:?}");
            if status == 403 {
                let body = axum::body::to_bytes(answer.into_body(), 1000).await.unwrap();
                let body = String::from_utf8(body.to_vec()).unwrap();
                assert!(body.contains(&format!("darkroom token --scope {needs}")), "{body}");
            }
        }
    }

    #[test]
    fn bodies_by_path_and_type() {
        let cap = |path: &str, pairs: &[(&'static str, &'static str)]| {
            let headers: HeaderMap = pairs
                .iter()
                .map(|(name, value)| {
                    (name.parse::<header::HeaderName>().unwrap(), HeaderValue::from_static(value))
                })
                .collect();
            cap_of(path, &headers).map_err(|refusal| refusal.status.as_u16())
        };
        let length = ("content-length", "5");
        assert_eq!(cap("/v1/x", &[]), Ok(0));
        assert_eq!(cap("/v1/x", &[length]), Err(415));
        assert_eq!(cap("/v1/x", &[length, ("content-type", "text/plain")]), Err(415));
        assert_eq!(cap("/v1/x", &[("transfer-encoding", "chunked")]), Err(415));
        let json = ("content-type", "Application/JSON; charset=\"UTF-8\"");
        assert_eq!(cap("/v1/x", &[length, json]), Ok(JSON_CAP));
        let latin = ("content-type", "application/json; charset=latin1");
        assert_eq!(cap("/v1/x", &[length, latin]), Err(415));
        let packed = ("content-encoding", "gzip");
        assert_eq!(cap("/v1/x", &[length, json, packed]), Err(415));
        let form = ("content-type", "multipart/form-data; boundary=x");
        assert_eq!(cap("/v1/x", &[length, form]), Err(415));
        assert_eq!(cap("/api/models/1/images/upload", &[length, form]), Ok(UPLOAD_CAP));
        assert_eq!(cap("/v1/models/1/uploads", &[length, form]), Ok(UPLOAD_CAP));
        assert_eq!(cap("/v1/models/1/uploads", &[length, json]), Ok(JSON_CAP));
    }
}
