//! Listening and serving.

use super::{Shared, router};
use tokio::net::TcpListener;

/// Answers requests until the daemon stops.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(listener: TcpListener, app: Shared) -> std::io::Result<()> {
    let stop = app.stop.clone();
    axum::serve(listener, router(app)).with_graceful_shutdown(stop.cancelled_owned()).await
}
