//! Our own API.

use super::Shared;
use axum::Router;

/// The routes below `/v1`.
pub fn router() -> Router<Shared> {
    Router::new()
}
