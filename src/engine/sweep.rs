//! Reading the vendor's whole job list: the base of every verdict on a lost reply, the source of
//! credits, and the audit that reports what no row claims.

use super::{Engine, Result};
use crate::config::Auto;
use crate::domain::failure::Failure;
use crate::domain::ids::Millis;
use crate::store::listing::{LAST, LastListing, Listed, ListingNews, SaveListing, Stranger};
use crate::vendor::{FoundJobs, JobPage, JobPages, ListEnd, ListedJob, Reply};
use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How far back a listing reaches at least; the vendor's own default window (vendor-api.md 2.15).
const WINDOW: Millis = 24 * 60 * 60 * 1000;
/// A sweep after a long rest begins so much before the last listing, in case that one came too
/// early for what lagged.
const OVERLAP: Millis = 60 * 60 * 1000;
/// And never further back than this.
const FURTHEST: Millis = 30 * 24 * 60 * 60 * 1000;
/// Measuring the lag of one job needs no more than what is new.
const RECENT: Millis = 10 * 60 * 1000;
/// Once the list's lag is known, one acceptance in so many is measured still.
const ONE_IN: u64 = 10;
/// Listings after an acceptance until the job shows up, the pauses between them doubling from a
/// second.
const TRIES: u32 = 7;
/// How often in a row a page that came too soon (429) is asked for again.
const TOO_SOON: u32 = 3;

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
        self.know_the_time().await?;
        self.list_since(self.vendor_now() - WINDOW, None).await.map(drop)
    }

    fn listed_at(&self) -> Option<Millis> {
        *self.listed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next page of a list, in its turn. One that came too soon for the vendor is asked for
    /// again, more slowly.
    async fn next_page(&self, pages: &mut JobPages) -> Result<Reply<JobPage>, Failure> {
        let mut refused = 0;
        loop {
            match self.call(pages.next(&self.client)).await {
                Err(failure) if failure.http_status == Some(429) && refused < TOO_SOON => {
                    refused += 1;
                }
                page => return page,
            }
        }
    }

    /// Reads the list from `start` on, completely, and remembers it. Answers whether it shows the
    /// job `witness`.
    ///
    /// # Errors
    /// When any page of it could not be read: half a list proves nothing.
    pub(super) async fn list_since(&self, start: Millis, witness: Option<&str>) -> Result<bool> {
        let mut pages = JobPages::new(start, self.vendor_now(), ListEnd::Ahead);
        // Of a long list only what is not stored as it is stays in memory.
        let (mut listed, mut news, mut vendor_time) = (0, FoundJobs::default(), None);
        let mut seen = false;
        while !pages.is_over() {
            let page = self.next_page(&mut pages).await?;
            vendor_time = vendor_time.or(page.vendor_time);
            listed += page.value.jobs.len() as u64;
            let entries = page.value.jobs.iter().map(entry).collect();
            let new: HashSet<String> = self.store.new_in_listing(entries).await?;
            for job in page.value.jobs {
                seen |= witness == Some(job.job_id.as_str());
                // The last word of a list that shows a job twice counts.
                if new.contains(job.job_id.as_str()) || news.holds(&job) {
                    news.put(job);
                }
            }
        }
        let at = vendor_time.unwrap_or_else(|| self.vendor_now());
        let settle = self.settle_time().await?;
        let jobs = news.jobs.iter().map(entry).collect();
        let listing = SaveListing { jobs, listed, start, at, settle };
        let news = self.store.writer().write(listing).await?;
        report(&news);
        *self.listed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
        Ok(seen)
    }

    /// The recurring sweep: a day back, and further if nobody has looked for longer.
    pub(super) async fn sweep(&self) {
        if let Err(error) = self.know_the_time().await {
            tracing::warn!("the inventory sweep did not get through: {error}");
            return;
        }
        let now = self.vendor_now();
        let last: Option<LastListing> = self.store.setting(LAST).await.unwrap_or_default();
        let since = last.map_or(now, |last| last.covered - OVERLAP).max(now - FURTHEST);
        self.list_from(since.min(now - WINDOW)).await;
    }

    async fn list_from(&self, start: Millis) {
        let _one_at_a_time = self.listing.lock().await;
        if let Err(error) = self.list_since(start, None).await {
            tracing::warn!("the inventory sweep did not get through: {error}");
        }
    }

    /// After an acceptance: lists until the job shows up, to learn how late the vendor's list is.
    pub(super) async fn measure_lag(self: Arc<Self>, remote_id: String) {
        // A fixed settle time wants no measuring.
        if !matches!(self.config.doubt.settle, Auto::Auto) {
            return;
        }
        let worth_it = match self.store.lag().await {
            Ok(lag) => lag.is_untried() || one_in(&remote_id),
            Err(_) => false,
        };
        let mut pause = Duration::from_secs(1);
        for _ in 0..TRIES {
            if !worth_it || matches!(self.store.was_listed(&remote_id).await, Ok(true)) {
                return;
            }
            self.list_from(self.vendor_now() - RECENT).await;
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
}

fn entry(job: &ListedJob) -> Listed {
    Listed {
        remote_id: job.job_id.0.clone(),
        created_at: job.created_at,
        status: format!("{:?}", job.status).to_lowercase(),
        credits: job.credits,
    }
}

/// A share of all ids, spread evenly.
fn one_in(remote_id: &str) -> bool {
    remote_id.bytes().map(u64::from).sum::<u64>() % ONE_IN == 0
}

fn report(news: &ListingNews) {
    let names = |strangers: &[Stranger]| {
        let each = strangers.iter().map(|job| match job.credits {
            Some(credits) => format!("{} ({credits} credits)", job.remote_id),
            None => job.remote_id.clone(),
        });
        each.collect::<Vec<_>>().join(", ")
    };
    if !news.foreign.is_empty() {
        tracing::warn!(
            "the vendor lists jobs that this database does not know, so others use the account: {}",
            names(&news.foreign)
        );
    }
    if !news.duplicates.is_empty() {
        tracing::error!(
            "the vendor has jobs whose calls were taken for absent or given up, perhaps bought \
             twice (`darkroom ledger`): {}",
            names(&news.duplicates)
        );
    }
}
