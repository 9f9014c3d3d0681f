//! How much unfinished work there may be: a client that orders without end is told to wait instead
//! of filling the disk.

use crate::http::App;
use crate::http::refusal::Refusal;
use axum::http::StatusCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A count is good for this long; what was admitted since is added to it.
const FRESH: Duration = Duration::from_millis(250);
/// When trying again makes sense, in seconds.
const RETRY_AFTER: u64 = 30;

/// The unfinished rows as last counted.
#[derive(Debug, Default)]
pub struct Queue {
    counted: Mutex<Option<(Instant, u64)>>,
}

impl Queue {
    fn fresh(&self) -> Option<u64> {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.filter(|(at, _)| at.elapsed() < FRESH).map(|(_, rows)| rows)
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
    if app.queue.fresh().is_none() {
        app.queue.set(app.store.unfinished(most).await?);
    }
    app.queue.take(adding, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_says_when_to_come_back() {
        let queue = Queue::default();
        queue.set(8);
        assert!(queue.take(2, 10).is_ok());
        let refusal = queue.take(1, 10).unwrap_err();
        assert_eq!(refusal.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refusal.retry_after, Some(RETRY_AFTER));
        assert!(queue.take(0, 10).is_ok());
        assert_eq!(queue.fresh(), Some(10));
    }
}
