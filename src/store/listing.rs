//! The vendor's job list, remembered: candidates for calls in doubt, credits, how late the list is,
//! and the audit of what no row claims.

use super::intents::{OpenIntent, PAID_LANE};
use super::ledger;
use super::settings;
use super::writer::{Tx, Write};
use super::{Result, Store, StoreError};
use crate::domain::ids::Millis;
use crate::domain::reconcile::SKEW;
use crate::domain::reconcile::lag::{Appearance, Lag};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use std::collections::HashSet;

/// The setting that holds what is known about the list's lag.
pub const LAG: &str = "listing.lag";
/// The setting that holds the last complete listing.
pub const LAST: &str = "listing.last";
/// The setting that says that others use the account too, and since which jobs.
pub const SHARED: &str = "account.shared";
/// A training's own entry in the list is made within this time of its trigger: the longest that
/// the call can take (ms).
const ENTRY_WITHIN: Millis = 150_000;
/// So many entries are compared with what is stored at a time.
const COMPARED: usize = 1_000;
/// So many trainings without an entry show that the vendor does not list them.
const UNLISTED: i64 = 3;

/// One entry of the vendor's job list.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// The vendor's id.
    pub remote_id: String,
    /// The vendor's creation time.
    pub created_at: Option<Millis>,
    /// The vendor's word.
    pub status: String,
    /// What it cost.
    pub credits: Option<f64>,
}

/// The last complete listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastListing {
    /// When, by the vendor's clock.
    pub at: Millis,
    /// How far back it reached.
    pub start: Millis,
    /// How many entries it had; one at the border of two windows comes twice.
    pub jobs: u64,
    /// Until when everything has been listed, without a gap.
    pub covered: Millis,
}

/// Remembers a complete listing.
pub struct SaveListing {
    /// Those of its entries that bring something new ([`Store::new_in_listing`]).
    pub jobs: Vec<Listed>,
    /// How many entries it had in all.
    pub listed: u64,
    /// How far back it was asked for (vendor's clock).
    pub start: Millis,
    /// When it was read (vendor's clock).
    pub at: Millis,
    /// How long a call may stay unfound (ms); so late may its job still come to light.
    pub settle: Millis,
}

/// A job of the vendor's that no row claims.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub struct Stranger {
    /// The vendor's id.
    pub remote_id: String,
    /// What it cost, as far as the vendor says.
    pub credits: Option<f64>,
    /// The call that it may be a duplicate of: its row's id.
    pub subject: Option<String>,
}

/// What a listing brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListingNews {
    /// How many entries had never been seen.
    pub new: u64,
    /// Never seen, claimed by no row, and no call of ours can have made them: somebody else's.
    pub foreign: Vec<Stranger>,
    /// Never seen, claimed by no row, and made when a call of ours went out that was then given up
    /// or taken for absent.
    pub duplicates: Vec<Stranger>,
}

/// A job that was listed for the first time.
#[derive(FromRow)]
struct Fresh {
    created_at: Option<Millis>,
    /// The vendor's clock when the call went out of the row that claims it.
    sent_at: Option<Millis>,
}

/// A job of which nobody knows yet whose it is.
#[derive(FromRow)]
struct Unplaced {
    remote_id: String,
    created_at: Option<Millis>,
    credits: Option<f64>,
    /// Whether a call that went out before it was listed is still open.
    open: bool,
}

impl Write for SaveListing {
    type Output = ListingNews;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<ListingNews>> {
        Box::pin(async move {
            let before: i64 = sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM listed_jobs")
                .fetch_one(tx.conn().await?)
                .await?;
            // What was there before our first paid call is history: no candidate, no proof.
            let history: bool =
                sqlx::query_scalar("SELECT NOT EXISTS (SELECT 1 FROM intents WHERE lane = $1)")
                    .bind(PAID_LANE)
                    .fetch_one(tx.conn().await?)
                    .await?;
            let entries = serde_json::to_string(&self.jobs)
                .map_err(|error| StoreError::Refused(error.to_string()))?;
            upsert(tx, &entries, history).await?;
            ledger::settle_credits(tx, &entries).await?;
            let fresh = fresh(tx, before).await?;
            if !history {
                self.learn_lag(tx, &fresh).await?;
            }
            let mut news = ListingNews { new: fresh.len() as u64, ..ListingNews::default() };
            for job in unplaced(tx).await? {
                self.place(tx, job, &mut news).await?;
            }
            if !news.foreign.is_empty() {
                let ids: Vec<&str> =
                    news.foreign.iter().map(|job| job.remote_id.as_str()).collect();
                let value = serde_json::json!({ "because_of": ids });
                settings::put(tx, SHARED, &value).await?;
            }
            let before: Option<LastListing> = settings::read(tx, LAST).await?;
            // A gap that this one does not close stays open for the sweep.
            let covered = match before {
                Some(last) if self.start > last.covered => last.covered,
                Some(last) => last.covered.max(self.at),
                None => self.at,
            };
            let (at, start, jobs) = (self.at, self.start, self.listed);
            let last = LastListing { at, start, jobs, covered };
            settings::put(tx, LAST, &serde_json::json!(last)).await?;
            Ok(news)
        })
    }
}

impl SaveListing {
    /// Measures how late the list shows what was surely accepted.
    async fn learn_lag(&self, tx: &mut Tx<'_>, fresh: &[Fresh]) -> Result<()> {
        let last: Option<LastListing> = settings::read(tx, LAST).await?;
        let known: Lag = settings::read(tx, LAG).await?.unwrap_or_default();
        let mut lag = known;
        for job in fresh {
            let (Some(created_at), Some(sent_at)) = (job.created_at, job.sent_at) else { continue };
            // A listing that did not reach back to it cannot have missed it.
            let missed_at = last.filter(|last| last.start <= created_at).map(|last| last.at);
            lag.learn(&Appearance { created_at, listed_at: self.at, missed_at, sent_at });
        }
        if lag != known {
            settings::put(tx, LAG, &serde_json::json!(lag)).await?;
        }
        Ok(())
    }

    /// Finds out what a job is that no row claims.
    async fn place(&self, tx: &mut Tx<'_>, job: Unplaced, news: &mut ListingNews) -> Result<()> {
        let skew = SKEW + settings::read::<Lag>(tx, LAG).await?.unwrap_or_default().skew;
        if let Some((intent, subject)) = self.late(tx, &job, skew).await? {
            super::intents::reserve(tx, intent, std::slice::from_ref(&job.remote_id)).await?;
            let (remote_id, credits) = (job.remote_id, job.credits);
            news.duplicates.push(Stranger { remote_id, credits, subject: Some(subject) });
            return Ok(());
        }
        // It is a candidate: the resolver says what it is, or a later listing does.
        if job.open {
            return Ok(());
        }
        if !self.is_an_entry(tx, &job, skew).await? {
            sqlx::query("UPDATE listed_jobs SET foreign_since = $1 WHERE remote_id = $2")
                .bind(tx.now)
                .bind(&job.remote_id)
                .execute(tx.conn().await?)
                .await?;
            let (remote_id, credits) = (job.remote_id, job.credits);
            news.foreign.push(Stranger { remote_id, credits, subject: None });
        }
        Ok(())
    }

    /// The newest call that was given up, parked or taken for absent, and in whose time the job was
    /// made: the vendor may have it after all. Its time lasts a settle time, and as long as it has
    /// not been sent again; at least an hour, because a job taken for a stranger's would end all
    /// automatic adoption.
    async fn late(
        &self,
        tx: &mut Tx<'_>,
        job: &Unplaced,
        skew: Millis,
    ) -> Result<Option<(i64, String)>> {
        let Some(created_at) = job.created_at else { return Ok(None) };
        Ok(sqlx::query_as(
            "SELECT i.seq, i.subject FROM intents i JOIN ledger l ON l.intent = i.seq \
             WHERE l.outcome IN ('absent','parked') AND i.kind = 'job' \
             AND $1 >= i.vendor_time - $2 \
             AND ($1 <= coalesce(i.doubt_vendor, i.vendor_time) + max($3, 3600000) OR EXISTS \
               (SELECT 1 FROM jobs w WHERE w.id = i.subject AND w.state = 'queued')) \
             AND NOT EXISTS (SELECT 1 FROM intents o WHERE o.lane = i.lane \
               AND o.settled_at IS NULL AND o.vendor_time - $2 <= $1) \
             ORDER BY i.seq DESC LIMIT 1",
        )
        .bind(created_at)
        .bind(skew)
        .bind(self.settle)
        .fetch_optional(tx.conn().await?)
        .await?)
    }

    /// Whether it is the entry of one of our trainings: the docs contradict themselves on whether
    /// there are such (vendor-api.md C3).
    async fn is_an_entry(&self, tx: &mut Tx<'_>, job: &Unplaced, skew: Millis) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE listed_jobs SET training = (SELECT t.id FROM trainings t \
               JOIN intents i ON i.subject = t.id \
               WHERE t.accepted_at IS NOT NULL AND t.retry_of IS NULL \
               AND coalesce($1, i.vendor_time) BETWEEN i.vendor_time - $2 AND i.vendor_time + $3 \
               AND t.accepted_at > $4 - $5 \
               AND NOT EXISTS (SELECT 1 FROM listed_jobs o WHERE o.training = t.id) \
               ORDER BY i.seq DESC LIMIT 1) WHERE remote_id = $6",
        )
        .bind(job.created_at)
        .bind(skew)
        .bind(ENTRY_WITHIN)
        .bind(tx.now)
        .bind(self.settle.max(ENTRY_WITHIN))
        .bind(&job.remote_id)
        .execute(tx.conn().await?)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        Ok(sqlx::query_scalar("SELECT training IS NOT NULL FROM listed_jobs WHERE remote_id = $1")
            .bind(&job.remote_id)
            .fetch_one(tx.conn().await?)
            .await?)
    }
}

async fn upsert(tx: &mut Tx<'_>, entries: &str, history: bool) -> Result<()> {
    sqlx::query(
        "INSERT INTO listed_jobs (remote_id, first_seen_at, created_at, status, credits, history) \
         SELECT json_extract(value, '$.remote_id'), $1, json_extract(value, '$.created_at'), \
         json_extract(value, '$.status'), json_extract(value, '$.credits'), $2 \
         FROM json_each($3) WHERE true \
         ON CONFLICT (remote_id) DO UPDATE SET status = excluded.status, \
         credits = excluded.credits \
         WHERE status IS NOT excluded.status OR credits IS NOT excluded.credits",
    )
    .bind(tx.now)
    .bind(history)
    .bind(entries)
    .execute(tx.conn().await?)
    .await?;
    Ok(())
}

async fn fresh(tx: &mut Tx<'_>, before: i64) -> Result<Vec<Fresh>> {
    Ok(sqlx::query_as(
        "SELECT l.created_at, \
         (SELECT i.vendor_time FROM intents i WHERE i.subject = j.id AND i.outcome IN ('accepted','found','adopt') \
          ORDER BY i.seq DESC LIMIT 1) AS sent_at \
         FROM listed_jobs l LEFT JOIN jobs j ON j.remote_id = l.remote_id AND j.retry_of IS NULL \
         WHERE l.seq > $1 ORDER BY l.seq",
    )
    .bind(before)
    .fetch_all(tx.conn().await?)
    .await?)
}

async fn unplaced(tx: &mut Tx<'_>) -> Result<Vec<Unplaced>> {
    sqlx::query(
        "UPDATE listed_jobs SET claimed_by = j.id FROM jobs j \
         WHERE j.remote_id = listed_jobs.remote_id AND history = 0 AND reserved_by IS NULL \
         AND training IS NULL AND claimed_by IS NULL AND foreign_since IS NULL",
    )
    .execute(tx.conn().await?)
    .await?;
    Ok(sqlx::query_as(
        "SELECT remote_id, created_at, credits, EXISTS (SELECT 1 FROM intents i \
           WHERE i.lane = $1 AND i.settled_at IS NULL AND i.listed_seq < l.seq) AS open \
         FROM listed_jobs l WHERE history = 0 AND reserved_by IS NULL AND training IS NULL \
         AND claimed_by IS NULL AND foreign_since IS NULL ORDER BY seq",
    )
    .bind(PAID_LANE)
    .fetch_all(tx.conn().await?)
    .await?)
}

/// A listed job that may be a call's.
#[derive(Clone, Debug, FromRow)]
pub struct Unclaimed {
    /// The vendor's id.
    pub remote_id: String,
    /// The vendor's creation time.
    pub created_at: Option<Millis>,
    /// The vendor's word for its state.
    pub status: String,
    /// What it cost.
    pub credits: Option<f64>,
}

/// Totals of the vendor's jobs that no row claims.
#[derive(Clone, Debug, Default, PartialEq, Serialize, FromRow)]
pub struct UnclaimedTotals {
    /// How many.
    pub jobs: i64,
    /// What they cost, as far as the vendor says.
    pub credits: f64,
    /// How many of them may be duplicates of ours.
    pub duplicates: i64,
}

impl Store {
    /// The ids of those entries of a listing that are not stored as they are. Only those go to the
    /// writer, which everybody waits for: a list is mostly what it was ten minutes ago.
    ///
    /// # Errors
    /// A database error.
    pub async fn new_in_listing(&self, jobs: Vec<Listed>) -> Result<HashSet<String>> {
        let mut out = HashSet::new();
        for jobs in jobs.chunks(COMPARED) {
            let entries = serde_json::to_string(jobs)
                .map_err(|error| StoreError::Refused(error.to_string()))?;
            let new: Vec<String> = sqlx::query_scalar(
                "WITH listed AS (SELECT json_extract(value, '$.remote_id') AS remote_id, \
                   json_extract(value, '$.status') AS status, \
                   json_extract(value, '$.credits') AS credits FROM json_each($1)) \
                 SELECT e.remote_id FROM listed e \
                 LEFT JOIN listed_jobs l ON l.remote_id = e.remote_id \
                 WHERE l.seq IS NULL OR l.status IS NOT e.status OR l.credits IS NOT e.credits \
                 OR EXISTS (SELECT 1 FROM jobs j \
                            WHERE j.remote_id = e.remote_id AND j.credits IS NOT e.credits) \
                 OR EXISTS (SELECT 1 FROM ledger p \
                            WHERE p.remote_id = e.remote_id AND p.credits IS NOT e.credits)",
            )
            .bind(entries)
            .fetch_all(self.readers())
            .await?;
            out.extend(new);
        }
        Ok(out)
    }

    /// Jobs first listed after the intent that nobody claims and no other intent reserved.
    ///
    /// # Errors
    /// A database error.
    pub async fn unclaimed_jobs(&self, intent: &OpenIntent) -> Result<Vec<Unclaimed>> {
        Ok(sqlx::query_as(
            "SELECT remote_id, created_at, status, credits FROM listed_jobs l \
             WHERE seq > $1 AND history = 0 AND training IS NULL \
             AND (reserved_by IS NULL OR reserved_by = $2) \
             AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.remote_id = l.remote_id)",
        )
        .bind(intent.listed_seq)
        .bind(intent.seq)
        .fetch_all(self.readers())
        .await?)
    }

    /// How many trainings may still show up in the job list as a job first listed after this call:
    /// those that were sent within `settle` (ms) before it, and none once several have come and
    /// gone without an entry. How long the call has been waiting since changes nothing.
    ///
    /// # Errors
    /// A database error.
    pub async fn trainings_that_may_show(
        &self,
        open: &OpenIntent,
        settle: Millis,
    ) -> Result<usize> {
        let count: i64 = sqlx::query_scalar(
            "WITH sent AS (SELECT t.id, max(i.vendor_time) + $1 > $2 - $3 AS may_show, \
               t.accepted_at IS NOT NULL AS accepted, \
               EXISTS (SELECT 1 FROM listed_jobs l WHERE l.training = t.id) AS shown \
               FROM trainings t JOIN intents i ON i.subject = t.id \
               JOIN ledger b ON b.intent = i.seq \
               WHERE b.outcome IN ('accepted','parked','absent') GROUP BY t.id) \
             SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM listed_jobs WHERE training IS NOT NULL) \
               AND (SELECT count(*) FROM sent WHERE accepted AND NOT may_show) >= $4 THEN 0 \
             ELSE (SELECT count(*) FROM sent WHERE may_show AND NOT shown) END",
        )
        .bind(ENTRY_WITHIN)
        .bind(open.vendor_time)
        .bind(settle)
        .bind(UNLISTED)
        .fetch_one(self.readers())
        .await?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// What is known about how late the vendor's list is.
    ///
    /// # Errors
    /// A database error, or a stored value of another shape.
    pub async fn lag(&self) -> Result<Lag> {
        Ok(self.setting(LAG).await?.unwrap_or_default())
    }

    /// The newest known job made before `at` (vendor's clock): a list that shows it reaches back.
    ///
    /// # Errors
    /// A database error.
    pub async fn known_before(&self, at: Millis) -> Result<Option<(String, Millis)>> {
        Ok(sqlx::query_as(
            "SELECT remote_id, created_at FROM listed_jobs WHERE created_at < $1 \
             ORDER BY created_at DESC LIMIT 1",
        )
        .bind(at)
        .fetch_optional(self.readers())
        .await?)
    }

    /// Whether the database may not know all calls since this one: it is in quarantine, or was
    /// released from one after the call.
    ///
    /// # Errors
    /// A database error.
    pub async fn may_have_forgotten(&self, intent: i64) -> Result<bool> {
        if self.quarantine().await?.is_some() {
            return Ok(true);
        }
        Ok(sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM chain WHERE what = 'released' AND seq > \
             coalesce((SELECT min(seq) FROM chain WHERE intent = $1), 0))",
        )
        .bind(intent)
        .fetch_one(self.readers())
        .await?)
    }

    /// The newest listed job.
    ///
    /// # Errors
    /// A database error.
    pub async fn newest_listed(&self) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM listed_jobs")
            .fetch_one(self.readers())
            .await?)
    }

    /// Whether the list has shown this job.
    ///
    /// # Errors
    /// A database error.
    pub async fn was_listed(&self, remote_id: &str) -> Result<bool> {
        Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM listed_jobs WHERE remote_id = $1)")
            .bind(remote_id)
            .fetch_one(self.readers())
            .await?)
    }

    /// Totals of the vendor's jobs that no row claims.
    ///
    /// # Errors
    /// A database error.
    pub async fn unclaimed_totals(&self) -> Result<UnclaimedTotals> {
        Ok(sqlx::query_as(
            "SELECT count(*) AS jobs, coalesce(sum(credits), 0.0) AS credits, \
             coalesce(sum(what = 'possible_duplicate'), 0) AS duplicates FROM unclaimed \
             WHERE what IN ('possible_duplicate','foreign')",
        )
        .fetch_one(self.readers())
        .await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::work::Kind;
    use crate::store::tests::{Bench, one_job};

    fn entry(remote_id: &str, status: &str, credits: Option<f64>) -> Listed {
        let (remote_id, status) = (remote_id.to_owned(), status.to_owned());
        Listed { remote_id, created_at: Some(1), status, credits }
    }

    #[tokio::test]
    async fn only_what_a_listing_changes_goes_to_the_writer() {
        let bench = Bench::new().await;
        let new = async |jobs: &[Listed]| {
            let new = bench.store.new_in_listing(jobs.to_vec()).await.unwrap();
            let mut new: Vec<String> = new.into_iter().collect();
            new.sort_unstable();
            new
        };
        let save = async |jobs: &[Listed]| {
            let new = bench.store.new_in_listing(jobs.to_vec()).await.unwrap();
            let jobs = jobs.iter().filter(|job| new.contains(&job.remote_id)).cloned().collect();
            let (listed, start, at, settle) = (3, 0, 10, 1_000);
            let listing = SaveListing { jobs, listed, start, at, settle };
            bench.store.writer().write(listing).await.unwrap().new
        };
        // More than are compared at a time.
        let mut jobs: Vec<Listed> =
            (0..2_500).map(|n| entry(&format!("r{n}"), "running", None)).collect();
        assert_eq!(new(&jobs).await.len(), 2_500);
        assert_eq!(save(&jobs).await, 2_500);
        assert_eq!((new(&jobs).await.len(), save(&jobs).await), (0, 0));
        jobs[7].status = "success".to_owned();
        jobs[2_400].credits = Some(1.5);
        jobs.push(entry("r9999", "queued", None));
        assert_eq!(new(&jobs).await, ["r2400", "r7", "r9999"]);
        assert_eq!(save(&jobs).await, 1);
        assert_eq!(new(&jobs).await.len(), 0);
        // Ours now: what it cost has to be booked although the list says nothing new.
        let job = one_job(&bench).await;
        bench.accept(Kind::Job, job, "r2401").await;
        jobs[2_401].credits = Some(2.0);
        save(&jobs).await;
        let other = one_job(&bench).await;
        bench.accept(Kind::Job, other, "r2400").await;
        assert_eq!(new(&jobs).await, ["r2400"]);
        save(&jobs).await;
        let booked = "SELECT count(*) FROM jobs WHERE credits IN (1.5, 2.0)";
        let booked: i64 =
            sqlx::query_scalar(booked).fetch_one(bench.store.readers()).await.unwrap();
        assert_eq!((booked, new(&jobs).await.len()), (2, 0));
    }
}
