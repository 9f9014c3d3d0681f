//! The listening side: who may come in, and what they find.
//!
//! - [`server`]: connections, time limits, caps
//! - [`guard`]: Host, Origin, token, scope, content type, before anything is looked at
//! - [`extract`]: what handlers take from a request
//! - [`refusal`]: what a refused request is told, in the form its area speaks
//! - [`gateway`]: the vendor's own API, served from our state, under `/api`
//! - [`native`]: our own API, under `/v1`
//! - [`openapi`]: the description of our own API
//! - [`media`]: signed links to files
//! - [`ops`]: health, readiness, metrics

pub mod extract;
pub mod gateway;
pub mod guard;
pub mod media;
pub mod native;
pub mod openapi;
pub mod ops;
pub mod refusal;
pub mod server;
pub mod token;

use crate::config::Config;
use crate::domain::catalogue::Catalogue;
use crate::engine::Engine;
use crate::store::Store;
use axum::Router;
use axum::http::Uri;
use std::net::SocketAddr;
use std::sync::Arc;
use token::Tokens;
use tokio_util::sync::CancellationToken;

/// What every handler works with.
pub struct App {
    /// The daemon's work.
    pub engine: Arc<Engine>,
    /// The database.
    pub store: Store,
    /// As loaded at the start.
    pub config: Config,
    /// The public models.
    pub catalogue: Catalogue,
    /// Who may do what.
    pub tokens: Tokens,
    /// How much unfinished work there is.
    pub queue: guard::queue::Queue,
    /// The address that is really listened on.
    pub listen: SocketAddr,
    /// Every stream ends when this is cancelled.
    pub stop: CancellationToken,
}

/// The state of every router.
pub type Shared = Arc<App>;

/// Everything that is served, behind the guard.
pub fn router(app: Shared) -> Router {
    let routes = Router::new()
        .merge(gateway::router())
        .merge(native::router())
        .merge(media::router())
        .merge(ops::router())
        .fallback(refusal::no_such_path);
    guard::guarded(routes, app.clone()).with_state(app)
}

/// Programs join a base URL that ends in a slash with paths that begin with one; below `/api` both
/// spellings mean the same.
fn tidy(uri: Uri) -> Uri {
    let path = uri.path();
    if !path.starts_with("/api/") && !path.starts_with("//") {
        return uri;
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let clean = format!("/{}", parts.join("/"));
    if clean == path || !clean.starts_with("/api") {
        return uri;
    }
    let target = match uri.query() {
        Some(query) => format!("{clean}?{query}"),
        None => clean,
    };
    target.parse().unwrap_or(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_too_many_are_passed_over_below_the_gateway() {
        let of = |text: &str| tidy(text.parse().unwrap()).to_string();
        assert_eq!(of("/api//models/"), "/api/models");
        assert_eq!(of("/api/jobs/?start=a//b"), "/api/jobs?start=a//b");
        for same in ["/api/models", "/v1/jobs/", "/media//x", "/"] {
            assert_eq!(of(same), same);
        }
    }
}
