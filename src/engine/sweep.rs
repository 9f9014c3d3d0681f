//! Reading the vendor's whole job list: the base of every verdict on a lost reply, the source of
//! credits, and the audit that reports what no row claims.

use super::{Engine, Result};
use crate::domain::ids::Millis;
use crate::store::intents::{Listed, SaveListing};
use std::sync::PoisonError;

/// How far back a listing reaches at least; the vendor's own default window (vendor-api.md 2.15).
const WINDOW: Millis = 24 * 60 * 60 * 1000;
/// The vendor's clock may be a little ahead of what it told us last.
const AHEAD: Millis = 5 * 60 * 1000;

impl Engine {
    /// Makes sure that a complete listing is at most `age` old, by the vendor's clock.
    ///
    /// # Errors
    /// When the list could not be read completely.
    pub(super) async fn listing_not_older_than(&self, age: Millis) -> Result<()> {
        let fresh = |at: Option<Millis>| at.is_some_and(|at| self.vendor_now() - at <= age);
        if fresh(self.listed_at()) {
            return Ok(());
        }
        let _one_at_a_time = self.listing.lock().await;
        if fresh(self.listed_at()) {
            return Ok(());
        }
        self.list_since(self.vendor_now() - WINDOW).await
    }

    fn listed_at(&self) -> Option<Millis> {
        *self.listed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the list from `start` on, completely, and remembers it.
    ///
    /// # Errors
    /// When any page of it could not be read: half a list proves nothing.
    pub(super) async fn list_since(&self, start: Millis) -> Result<()> {
        let end = self.vendor_now() + AHEAD;
        let reply = self.call(self.client.all_jobs(start, end)).await?;
        let at = reply.vendor_time.unwrap_or_else(|| self.vendor_now());
        let jobs = reply
            .value
            .into_iter()
            .map(|job| Listed {
                remote_id: job.job_id.0,
                created_at: job.created_at,
                status: format!("{:?}", job.status).to_lowercase(),
                credits: job.credits,
            })
            .collect();
        let news =
            self.store.writer().write(SaveListing { jobs, settle: self.timing().settle }).await?;
        if !news.foreign.is_empty() {
            tracing::warn!(
                jobs = ?news.foreign,
                "the vendor lists jobs that this database does not know, so others use the account"
            );
        }
        *self.listed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
        Ok(())
    }

    /// The recurring sweep.
    pub(super) async fn sweep(&self) {
        let _one_at_a_time = self.listing.lock().await;
        if let Err(error) = self.list_since(self.vendor_now() - WINDOW).await {
            tracing::warn!("the inventory sweep did not get through: {error}");
        }
    }
}
