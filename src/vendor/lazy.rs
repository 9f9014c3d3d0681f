//! HTTP clients made at their first use. Reading the system's certificates takes some ten
//! milliseconds of processor time and leaves a megabyte behind: what only speaks to the simulator
//! never does it, and no start waits for a client that is not needed yet.

use super::transport::{BuildError, http_error};
use reqwest::ClientBuilder;
use tokio::sync::OnceCell;

/// Makes the settings of a client; they were checked when this was.
type Settings = Box<dyn Fn() -> Result<ClientBuilder, BuildError> + Send + Sync>;

/// A client that is made when it is asked for.
pub(super) struct Lazy {
    settings: Settings,
    made: OnceCell<reqwest::Client>,
}

impl Lazy {
    /// Checks the settings; reads no certificates.
    pub(super) fn new(
        settings: impl Fn() -> Result<ClientBuilder, BuildError> + Send + Sync + 'static,
    ) -> Result<Self, BuildError> {
        // What does not depend on the machine's certificates shows now, at the start.
        without_roots(settings()?).build().map_err(http_error)?;
        Ok(Self { settings: Box::new(settings), made: OnceCell::new() })
    }

    /// The client. A failure is tried again at the next call.
    pub(super) async fn get(&self) -> Result<&reqwest::Client, BuildError> {
        let make = || async {
            let settings = (self.settings)()?;
            let made = tokio::task::spawn_blocking(move || settings.build().map_err(http_error));
            made.await.map_err(|error| BuildError::Http(error.to_string()))?
        };
        self.made.get_or_try_init(make).await
    }
}

/// For clients that never speak TLS.
pub(super) fn without_roots(builder: ClientBuilder) -> ClientBuilder {
    builder.tls_certs_only([])
}
