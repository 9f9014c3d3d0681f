//! The vendor's own API, served from our state.

use super::Shared;
use axum::Router;

/// The routes below `/api`.
pub fn router() -> Router<Shared> {
    Router::new()
}
