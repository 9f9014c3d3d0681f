//! The vendor's job list, remembered: candidates for calls in doubt, credits, how late the list is,
//! what it lacks, and the audit of what no row claims.

use super::doubt::{UNPLACED, record_text};
use super::ledger;
use super::settings;
use super::writer::{Tx, Write};
use super::{Result, Store, StoreError};
use crate::domain::ids::Millis;
use futures_util::future::BoxFuture;
use judging::fit::Record;
use judging::lag::{self, Lag, Missing, Reach, Says};
use judging::missing::Missed;
use judging::placing::Place;
use judging::times::Times;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use std::collections::HashSet;

/// The setting that holds what is known about the list's lag.
pub const LAG: &str = "listing.lag";
/// The setting that holds how far back the list has been seen to reach.
pub const REACH: &str = "listing.reach";
/// The setting that holds the last whole list.
pub const LAST: &str = "listing.last";
/// The setting that holds where the first whole list began (vendor's time).
pub const BASELINE: &str = "listing.baseline";
/// The setting that says how the vendor wants the end of a list put.
pub const END: &str = "listing.end";
/// The setting of how late a model's status follows its training's trigger.
pub(super) const DELAY: &str = "training.delay";
/// The setting that holds what records have shown about the ids of models.
pub const MODEL_IDS: &str = "models.ids";
/// The setting that says that others use the account too, and since which jobs.
pub const SHARED: &str = "account.shared";
/// So many entries are compared with what is stored at a time.
const COMPARED: usize = 1_000;
/// The reach is stored anew when it has grown by this much.
const REACH_STEP: Millis = judging::HOUR;

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

/// The last whole list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastListing {
    /// When it began (ours).
    pub at: Millis,
    /// From when on it was asked for (vendor's).
    pub start: Millis,
    /// How many entries it had; one at the border of two windows comes twice.
    pub jobs: u64,
    /// Until when (ours) everything has been listed, without a gap.
    pub covered: Millis,
    /// What of ours a list has to begin before to leave no gap (ours): `start` by our clock.
    pub since: Millis,
}

/// What a whole list said about our own jobs.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// How many of them it showed for the first time.
    pub first_shown: u32,
    /// What it should have shown and did not.
    pub missed: Vec<Missed>,
    /// The longest time since an acceptance, in this boot, of one that it missed (ms).
    pub lag: Option<Millis>,
    /// What earlier lists showed inside its window, whosever, and it does not.
    pub gone: Vec<Missed>,
    /// Those of them that somebody has deleted, as the list shows older ones.
    pub deleted: HashSet<String>,
    /// What had been missing and is shown again.
    pub again: Vec<String>,
    /// The greatest age of one that it showed (ms): of others nobody knows how old they are.
    pub oldest: Option<Millis>,
}

/// The setting that says that the list before a paid call cannot be read.
pub const UNREADABLE: &str = "list.unreadable";

/// Why nothing can be bought: the list before a paid call cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// Since when (ours).
    pub since: Millis,
    /// What is wrong with it.
    pub why: String,
    /// Whether it has lasted so long that a person is asked.
    pub asked: bool,
}

/// Notes that the list cannot be read, or that it can again.
pub struct Readable(pub Option<Unreadable>);

impl Write for Readable {
    type Output = ();

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            match &self.0 {
                Some(note) => settings::put(tx, UNREADABLE, &serde_json::json!(note)).await,
                None => settings::remove(tx, UNREADABLE).await.map(drop),
            }
        })
    }
}

/// Remembers a whole list.
pub struct SaveListing {
    /// Those of its entries that bring something new ([`Store::new_in_listing`]).
    pub jobs: Vec<Listed>,
    /// How many entries it had in all.
    pub listed: u64,
    /// From when on it was asked for (vendor's).
    pub start: Millis,
    /// The same by our clock, as far as the two are known.
    pub since: Millis,
    /// When it began (ours).
    pub began_at: Millis,
    /// What it said about our own jobs.
    pub heard: Heard,
    /// The times in force.
    pub times: Times,
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

impl Stranger {
    /// With what it cost.
    pub fn named(&self) -> String {
        super::verdict::named(&self.remote_id, self.credits)
    }
}

/// What placing jobs brought to light.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListingNews {
    /// No call of ours can have made them: somebody else's.
    pub foreign: Vec<Stranger>,
    /// Perhaps bought twice.
    pub duplicates: Vec<Stranger>,
}

impl Write for SaveListing {
    /// How many entries had never been seen.
    type Output = u64;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let before: i64 = sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM listed_jobs")
                .fetch_one(tx.conn().await?)
                .await?;
            let history = self.history_before(tx).await?;
            let entries = serde_json::to_string(&self.jobs)
                .map_err(|error| StoreError::Refused(error.to_string()))?;
            upsert(tx, &entries, (self.start, history)).await?;
            ledger::settle_credits(tx, &entries).await?;
            claim(tx).await?;
            self.learn(tx).await?;
            let last: Option<LastListing> = settings::read(tx, LAST).await?;
            // A gap that this one does not close stays open for the sweep.
            let covered = match last {
                Some(last) if self.since > last.covered => last.covered,
                Some(last) => last.covered.max(self.began_at),
                None => self.began_at,
            };
            let (at, start, jobs, since) = (self.began_at, self.start, self.listed, self.since);
            let last = LastListing { at, start, jobs, covered, since };
            settings::put(tx, LAST, &serde_json::json!(last)).await?;
            Ok(sqlx::query_scalar("SELECT count(*) FROM listed_jobs WHERE seq > $1")
                .bind(before)
                .fetch_one(tx.conn().await?)
                .await?)
        })
    }
}

impl SaveListing {
    /// What was there before our first paid call, and what is older than the first whole list, is
    /// history: no candidate, no proof. Answers before which creation time (vendor's).
    async fn history_before(&self, tx: &mut Tx<'_>) -> Result<Millis> {
        let unspent: bool = sqlx::query_scalar("SELECT NOT EXISTS (SELECT 1 FROM ledger)")
            .fetch_one(tx.conn().await?)
            .await?;
        let baseline: Option<Millis> = settings::read(tx, BASELINE).await?;
        let start = baseline.map_or(self.start, |before| before.min(self.start));
        if baseline.is_none() || (unspent && baseline != Some(start)) {
            settings::put(tx, BASELINE, &serde_json::json!(start)).await?;
        }
        Ok(if unspent { Millis::MAX } else { baseline.unwrap_or(Millis::MIN) })
    }

    /// What the list says about itself, by what it shows of our own jobs.
    async fn learn(&self, tx: &mut Tx<'_>) -> Result<()> {
        let heard = &self.heard;
        if !heard.again.is_empty() {
            let again = serde_json::to_string(&heard.again)
                .map_err(|error| StoreError::Refused(error.to_string()))?;
            sqlx::query("DELETE FROM missing WHERE remote_id IN (SELECT value FROM json_each($1))")
                .bind(again)
                .execute(tx.conn().await?)
                .await?;
        }
        let mut taken_off = None::<Millis>;
        for missed in heard.missed.iter().chain(&heard.gone) {
            let (says, age) = self.note_missed(tx, missed).await?;
            if says == Says::TakenOff && !heard.deleted.contains(&missed.remote_id) {
                taken_off = Some(taken_off.map_or(age, |before| before.min(age)));
            }
        }
        let known: Lag = settings::read(tx, LAG).await?.unwrap_or_default();
        let mut lag = known.clone();
        (0..heard.first_shown).for_each(|_| lag.shown());
        if let Some(age) = heard.lag {
            lag.missed(age, tx.now);
        }
        if lag != known {
            settings::put(tx, LAG, &serde_json::json!(lag)).await?;
        }
        let known: Reach = settings::read(tx, REACH).await?.unwrap_or_default();
        let mut reach = known;
        if let Some(age) = heard.oldest.filter(|age| *age >= known.shown + REACH_STEP) {
            reach.shown = age;
        }
        if let Some(age) = taken_off {
            reach.taken_off = Some(known.taken_off.map_or(age, |before| before.min(age)));
        }
        if reach != known {
            settings::put(tx, REACH, &serde_json::json!(reach)).await?;
        }
        Ok(())
    }

    /// Notes that a job was missed once more; answers what that says of the list, if it is news, and
    /// how old the job was when it was missed first.
    async fn note_missed(&self, tx: &mut Tx<'_>, missed: &Missed) -> Result<(Says, Millis)> {
        let (since, readings, said): (Millis, i64, String) = sqlx::query_as(
            "INSERT INTO missing (remote_id, accepted_at, ever_shown, since, readings, says) \
             VALUES ($1, $2, $3, $4, $5, 'late') ON CONFLICT (remote_id) DO UPDATE \
             SET readings = readings + excluded.readings RETURNING since, readings, says",
        )
        .bind(&missed.remote_id)
        .bind(missed.accepted_at)
        .bind(missed.ever_shown)
        .bind(tx.now)
        .bind(missed.newer_shown)
        .fetch_one(tx.conn().await?)
        .await?;
        let missing = Missing {
            accepted_at: missed.accepted_at,
            ever_shown: missed.ever_shown,
            since,
            readings: u32::try_from(readings).unwrap_or(u32::MAX),
        };
        let says = lag::says(&missing, &self.times, tx.now);
        let word = match says {
            Says::Late => "late",
            Says::TakenOff => "taken_off",
            Says::Lacks => "lacks",
        };
        if said == word {
            return Ok((Says::Late, missing.age()));
        }
        sqlx::query("UPDATE missing SET says = $1 WHERE remote_id = $2")
            .bind(word)
            .bind(&missed.remote_id)
            .execute(tx.conn().await?)
            .await?;
        Ok((says, missing.age()))
    }
}

/// Stores what the vendor's own record says of a listed job.
pub struct SaveRecord {
    /// The vendor's id.
    pub remote_id: String,
    /// The record; none if the vendor lists the job and cannot show it.
    pub record: Option<Record>,
}

impl Write for SaveRecord {
    type Output = ();

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let text = record_text(self.record.as_ref())?;
            sqlx::query(
                "UPDATE listed_jobs SET record = $1 WHERE remote_id = $2 AND record IS NOT $1",
            )
            .bind(text)
            .bind(&self.remote_id)
            .execute(tx.conn().await?)
            .await?;
            Ok(())
        })
    }
}

/// Stores what jobs are that no row claims.
pub struct PlaceJobs {
    /// Each with what it is; only those that are something for good.
    pub placed: Vec<(String, Place)>,
}

impl Write for PlaceJobs {
    type Output = ListingNews;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<ListingNews>> {
        Box::pin(async move {
            let mut news = ListingNews::default();
            for (remote_id, place) in &self.placed {
                self.put(tx, remote_id, place, &mut news).await?;
            }
            if !news.foreign.is_empty() {
                note_strangers(tx, &news.foreign).await?;
            }
            if let Some(late) = self.late_effect(tx).await? {
                note_late_effect(tx, &late).await?;
            }
            Ok(news)
        })
    }
}

impl PlaceJobs {
    /// Still nobody's: meanwhile a reply may have come that claims it.
    async fn put(
        &self,
        tx: &mut Tx<'_>,
        remote_id: &str,
        place: &Place,
        news: &mut ListingNews,
    ) -> Result<()> {
        let (duplicate, training, foreign) = match place {
            Place::Duplicate(intent) => (Some(*intent), None, None),
            Place::Entry(intent) => (None, Some(*intent), None),
            Place::Foreign => (None, None, Some(tx.now)),
            Place::Candidate | Place::Unread => return Ok(()),
        };
        let sql = format!(
            "UPDATE listed_jobs AS l SET duplicate_of = $1, foreign_since = $2, \
             training = (SELECT subject FROM intents WHERE seq = $3) \
             WHERE l.remote_id = $4 AND {UNPLACED} RETURNING credits"
        );
        let placed: Option<Option<f64>> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(duplicate)
            .bind(foreign)
            .bind(training)
            .bind(remote_id)
            .fetch_optional(tx.conn().await?)
            .await?;
        let Some(credits) = placed else { return Ok(()) };
        let remote_id = remote_id.to_owned();
        match place {
            Place::Duplicate(intent) => {
                let subject = sqlx::query_scalar("SELECT subject FROM intents WHERE seq = $1")
                    .bind(intent)
                    .fetch_optional(tx.conn().await?)
                    .await?;
                news.duplicates.push(Stranger { remote_id, credits, subject });
            }
            Place::Foreign => news.foreign.push(Stranger { remote_id, credits, subject: None }),
            _ => {}
        }
        Ok(())
    }

    /// A job of a call that had been found absent: the vendor carried it out late.
    async fn late_effect(&self, tx: &mut Tx<'_>) -> Result<Option<String>> {
        for (remote_id, place) in &self.placed {
            let Place::Duplicate(intent) = place else { continue };
            let absent: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT 1 FROM ledger WHERE intent = $1 AND outcome = 'absent')",
            )
            .bind(intent)
            .fetch_one(tx.conn().await?)
            .await?;
            if absent {
                return Ok(Some(remote_id.clone()));
            }
        }
        Ok(None)
    }
}

/// The vendor was seen to carry a call out late: no call is absent as early as before.
pub(super) async fn note_late_effect(tx: &mut Tx<'_>, job: &str) -> Result<()> {
    let mut lag: Lag = settings::read(tx, LAG).await?.unwrap_or_default();
    if lag.late_effect.is_some() {
        return Ok(());
    }
    lag.late_effect = Some(job.to_owned());
    settings::put(tx, LAG, &serde_json::json!(lag)).await
}

/// Others use the account: nothing is taken over by itself any more on its time alone.
pub(super) async fn note_strangers(tx: &mut Tx<'_>, strangers: &[Stranger]) -> Result<()> {
    let ids: Vec<&str> = strangers.iter().map(|job| job.remote_id.as_str()).collect();
    settings::put(tx, SHARED, &serde_json::json!({ "because_of": ids })).await
}

/// A time outside of the window that was asked for is no time that the list goes by: such a job is
/// no history.
async fn upsert(
    tx: &mut Tx<'_>,
    entries: &str,
    (start, history_before): (Millis, Millis),
) -> Result<()> {
    sqlx::query(
        "INSERT INTO listed_jobs (remote_id, first_seen_at, created_at, status, credits, history) \
         SELECT json_extract(value, '$.remote_id'), $1, json_extract(value, '$.created_at'), \
         json_extract(value, '$.status'), json_extract(value, '$.credits'), \
         $2 = $4 OR coalesce(json_extract(value, '$.created_at') < $2 \
           AND json_extract(value, '$.created_at') >= $5, 0) \
         FROM json_each($3) WHERE true \
         ON CONFLICT (remote_id) DO UPDATE SET status = excluded.status, \
         credits = excluded.credits, created_at = coalesce(created_at, excluded.created_at) \
         WHERE status IS NOT excluded.status OR credits IS NOT excluded.credits",
    )
    .bind(tx.now)
    .bind(history_before)
    .bind(entries)
    .bind(Millis::MAX)
    .bind(start)
    .execute(tx.conn().await?)
    .await?;
    Ok(())
}

/// Notes which listed jobs a row has claimed meanwhile.
async fn claim(tx: &mut Tx<'_>) -> Result<()> {
    sqlx::query(
        "UPDATE listed_jobs SET claimed_by = j.id FROM jobs j \
         WHERE j.remote_id = listed_jobs.remote_id AND history = 0 AND duplicate_of IS NULL \
         AND training IS NULL AND claimed_by IS NULL AND foreign_since IS NULL AND answer IS NULL",
    )
    .execute(tx.conn().await?)
    .await?;
    Ok(())
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
            let listing = SaveListing {
                jobs,
                listed: 3,
                start: 0,
                since: 0,
                began_at: 10,
                heard: Heard::default(),
                times: Times::auto(1),
            };
            bench.store.writer().write(listing).await.unwrap()
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
