//! How much unfinished work there may be: a client that orders without end is told to wait instead
//! of filling the disk.

use crate::http::App;
use crate::http::refusal::Refusal;
use axum::http::StatusCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A count is good for this long, as long as there is room by it; what was admitted since is added
/// to it.
const FRESH: Duration = Duration::from_secs(10);
/// A full queue is counted again after this long: work may have ended since.
const FULL_FRESH: Duration = Duration::from_millis(250);
/// When trying again makes sense, in seconds.
const RETRY_AFTER: u64 = 30;

/// The unfinished rows as last counted.
#[derive(Debug, Default)]
pub struct Queue {
    counted: Mutex<Option<(Instant, u64)>>,
}

impl Queue {
    /// Whether the count says enough about `adding` more rows.
    fn is_fresh(&self, adding: u32, most: u32) -> bool {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.is_some_and(|(at, rows)| {
            let full = rows.saturating_add(u64::from(adding)) > u64::from(most);
            at.elapsed() < if full { FULL_FRESH } else { FRESH }
        })
    }

    fn set(&self, rows: u64) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        *counted = Some((Instant::now(), rows));
    }

    /// # Errors
    /// 429 when `adding` more would be more than `most`.
    fn take(&self, adding: u32, most: u32) -> Result<(), Refusal> {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, rows)) = counted.as_mut() else { return Ok(()) };
        let then = rows.saturating_add(u64::from(adding));
        if then > u64::from(most) {
            let message = format!(
                "{most} pieces of work are unfinished, which is as many as limits.queue allows; \
                 try again later"
            );
            let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, message);
            return Err(refusal.retry_after(RETRY_AFTER));
        }
        *rows = then;
        Ok(())
    }
}

/// Lets `adding` more rows in, if the queue has room for them. Called by every handler that orders
/// work, before it stores anything.
///
/// # Errors
/// 429 with `Retry-After` when there is no room; what the database says when it cannot be counted.
pub async fn admit(app: &App, adding: u32) -> Result<(), Refusal> {
    let most = app.config.limits.queue;
    if !app.queue.is_fresh(adding, most) {
        app.queue.set(app.store.unfinished(most).await?);
    }
    app.queue.take(adding, most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::config::{Config, Env, Flags};
    use crate::domain::catalogue::Catalogue;
    use crate::engine::Engine;
    use crate::http::token::Tokens;
    use crate::store::report::tests::Bench;
    use crate::vendor::{Client, ClientConfig, MediaClient, MediaConfig};
    use std::path::Path;
    use std::sync::Arc;
    use tokio_util::sync::CancellationToken;

    #[test]
    fn a_full_queue_says_when_to_come_back() {
        let queue = Queue::default();
        queue.set(8);
        assert!(queue.take(2, 10).is_ok());
        let refusal = queue.take(1, 10).unwrap_err();
        assert_eq!(refusal.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refusal.retry_after, Some(RETRY_AFTER));
        assert!(queue.take(0, 10).is_ok());
        assert!(queue.is_fresh(0, 10) && queue.is_fresh(1, 10));
        assert!(!Queue::default().is_fresh(1, 10));
    }

    /// Everything that handlers work with, on a database with one model, three photos and a
    /// training.
    async fn app(bench: &Bench, most: u32) -> App {
        bench.person("Somebody").await;
        let text = format!("[limits]\nqueue = {most}\n");
        let config =
            Config::from_text(Path::new("d.toml"), &text, &Flags::default(), &Env::default());
        let config = config.unwrap();
        let url: url::Url = "http://127.0.0.1:1/api".parse().unwrap();
        let key = secrecy::SecretString::from("a-key");
        let client = Client::new(&ClientConfig::new(url.clone(), key)).unwrap();
        let media = MediaClient::new(&MediaConfig::new(url)).unwrap();
        let clock = Arc::new(SystemClock::new());
        let engine = Engine::new(bench.store.clone(), client, media, config.clone(), 1, clock);
        App {
            engine: Arc::new(engine),
            store: bench.store.clone(),
            catalogue: Catalogue::default(),
            config,
            tokens: Tokens::load(bench.dir.path()).unwrap(),
            queue: Queue::default(),
            listen: "127.0.0.1:7878".parse().unwrap(),
            stop: CancellationToken::new(),
        }
    }

    #[tokio::test]
    async fn unfinished_rows_are_counted() {
        let bench = Bench::new().await;
        let app = app(&bench, 20).await;
        // Five rows; the four that wait for others have four things to wait for, or a few more.
        let counted = bench.store.unfinished(1000).await.unwrap();
        assert!((5..=10).contains(&counted), "{counted}");
        // Counting ends where it is too many anyway.
        assert_eq!(bench.store.unfinished(2).await.unwrap(), 3);
        assert!(admit(&app, 5).await.is_ok());
        let refusal = admit(&app, 20).await.unwrap_err();
        assert_eq!(refusal.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refusal.retry_after, Some(RETRY_AFTER));
    }
}
