//! Signed links to files.

use super::Shared;
use axum::Router;

/// The routes below `/media`.
pub fn router() -> Router<Shared> {
    Router::new()
}
