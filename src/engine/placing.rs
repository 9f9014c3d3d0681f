//! Finding out whose the jobs are that no row claims: reads what their records say, and has
//! [`judging::placing`] decide.

use super::lists::goes_for_all;
use super::{Engine, EngineError, Result};
use crate::store::doubt::Unclaimed;
use crate::store::listing::{ListingNews, PlaceJobs, SaveRecord, Stranger};
use judging::DAY;
use judging::fit::Ground;
use judging::placing::{Makers, Place, Taken, place};

/// Records that are read after one list at most; the rest follows after the next.
const AT_ONCE: usize = 64;
/// Calls of so long may have made a job.
const WITHIN: i64 = 7 * DAY;

impl Engine {
    /// Places every job that no row claims, as far as its record can be read.
    ///
    /// # Errors
    /// When the database or the vendor does not answer; the rest is placed after the next list.
    pub(super) async fn place_unclaimed(&self) -> Result<()> {
        // What came to light may be this account's own: first it is compared, and if that closes the
        // database, a person says whose it is.
        if !self.is_compared() || self.store.quarantine().await?.is_some() {
            return Ok(());
        }
        let jobs = self.store.unplaced().await?;
        if jobs.is_empty() {
            return Ok(());
        }
        let ours = self.store.our_jobs(self.now() - WITHIN).await?;
        let clocks = ours.clocks(self.now());
        let without = self.store.calls_without_a_job(None, self.now() - WITHIN).await?;
        let mut taken = self.store.duplicates().await?;
        let mut trainings = self.store.trainings_without_an_entry().await?;
        let models = self.store.model_ids(None).await?;
        let ruled_out = self.store.ruled_out().await?;
        let patience = self.now() - self.times().least();
        let (mut placed, mut read) = (Vec::new(), 0);
        for mut job in jobs {
            if !job.candidate().has_ended() && read < AT_ONCE {
                read += 1;
                match self.read_record(&mut job).await {
                    // What cannot be read now is placed another time, and keeps nothing else from it.
                    Err(EngineError::Vendor(failure)) if !goes_for_all(&failure) => continue,
                    read => read?,
                }
            }
            let bought = match job.created_at {
                Some(at) => self.store.bought_around(at).await?,
                None => Vec::new(),
            };
            let said =
                |intent: i64| ruled_out.iter().any(|(i, id)| *i == intent && *id == job.remote_id);
            let possible: Vec<_> =
                without.iter().filter(|other| !said(other.call.intent)).cloned().collect();
            let makers = Makers {
                without: &possible,
                taken: &taken,
                bought: &bought,
                trainings: &trainings,
            };
            let ground = Ground { accepted: &ours.heard, clocks: &clocks, models: &models };
            let is = place(&job.candidate(), job.is_read(), &makers, &ground, self.now());
            match is {
                // What a stranger's job shows counts against taking over: so it is read first.
                Place::Candidate | Place::Unread => continue,
                Place::Foreign if !job.is_read() => continue,
                // Running without media it may still turn out to be something else.
                Place::Entry(_) | Place::Duplicate(_)
                    if !job.candidate().has_ended() && job.first_seen_at > patience =>
                {
                    continue;
                }
                Place::Duplicate(intent) => {
                    taken.push(Taken { intent, job: job.candidate() });
                }
                Place::Entry(intent) => trainings.retain(|training| training.intent != intent),
                Place::Foreign => {}
            }
            placed.push((job.remote_id, is));
        }
        if !placed.is_empty() {
            report(&self.store.writer().write(PlaceJobs { placed }).await?);
        }
        Ok(())
    }

    /// Asks the vendor for a listed job's record and stores what it says.
    pub(super) async fn read_record(&self, job: &mut Unclaimed) -> Result<()> {
        let record = self.record_of(job).await?;
        let text = serde_json::to_string(&record).ok();
        // Most of the time it says what it said before: nothing for the writer, whom all wait for.
        if job.record != text {
            let remote_id = job.remote_id.clone();
            self.store.writer().write(SaveRecord { remote_id, record }).await?;
            job.record = text;
        }
        Ok(())
    }
}

fn report(news: &ListingNews) {
    let names = |strangers: &[Stranger]| {
        strangers.iter().map(Stranger::named).collect::<Vec<_>>().join(", ")
    };
    if !news.foreign.is_empty() {
        tracing::warn!(
            "the vendor lists jobs that this database does not know, so others use the account: {}",
            names(&news.foreign)
        );
    }
    if !news.duplicates.is_empty() {
        tracing::error!(
            "the vendor has jobs that may have been bought twice (`darkroom ledger`): {}",
            names(&news.duplicates)
        );
    }
}
