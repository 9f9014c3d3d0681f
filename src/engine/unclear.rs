//! What the vendor says of running work that no documentation explains, and work that it never
//! finishes: watched for a while, then a person is asked, and still watched, slowly, because a known
//! word or media settle it (evidence rule 14).

use super::poll::{MEDIA_MAY_LAG, clip, job_word};
use super::{Engine, Result};
use crate::domain::event::{Event, Reason};
use crate::domain::ids::{Id, Millis, RemoteJobId, RemoteModelId};
use crate::domain::word;
use crate::domain::work::{Kind, State, Work};
use crate::vendor::{RemoteJob, RemoteModel};
use std::collections::HashMap;
use std::sync::PoisonError;

/// An unknown word for a job is watched for so many poll intervals, an hour by default.
const JOB_LOOKS: Millis = 720;
/// And one for a training for so many of its own, six hours by default.
const TRAINING_LOOKS: Millis = 72;
/// A daemon that has been up for less than this share of a limit ends no waiting: the wall clock
/// may have been set.
const UP: Millis = 4;
/// What is remembered at most; with more, all of it is heard anew.
const KEPT: usize = 4_096;
/// How a note about an unknown word begins.
const UNKNOWN: &str = "the vendor's status ";
/// The same where there is none.
const NO_WORD: &str = "the vendor gives no status";

/// What this daemon has heard of rows that nobody understands.
#[derive(Debug, Default)]
pub(super) struct Unclear(HashMap<Id, Heard>);

/// What the vendor says of one row.
#[derive(Debug)]
struct Heard {
    said: String,
    /// Since when it says exactly this (ms since the daemon's start).
    same: Millis,
    /// Since when it says nothing clear.
    first: Millis,
}

/// For how long a row has been unclear to this daemon (ms).
#[derive(Clone, Copy, Debug)]
struct Lasts {
    /// In the very same words.
    same: Millis,
    /// At all.
    all: Millis,
}

impl Unclear {
    fn hear(&mut self, id: Id, said: String, at: Millis) -> Lasts {
        if self.0.len() >= KEPT && !self.0.contains_key(&id) {
            self.0.clear();
        }
        let heard =
            self.0.entry(id).or_insert_with(|| Heard { said: said.clone(), same: at, first: at });
        if heard.said != said {
            (heard.said, heard.same) = (said, at);
        }
        Lasts { same: at - heard.same, all: at - heard.first }
    }

    fn forget(&mut self, id: Id) {
        self.0.remove(&id);
    }
}

fn note_of(word: &str) -> String {
    match word {
        "" => NO_WORD.to_owned(),
        word => format!("{UNKNOWN}{word:?} is not a documented one"),
    }
}

fn is_unclear(note: Option<&str>) -> bool {
    note.is_some_and(|note| note.starts_with(UNKNOWN) || note == NO_WORD)
}

impl Engine {
    fn hear(&self, id: Id, said: String) -> Lasts {
        let at = self.uptime();
        self.unclear.lock().unwrap_or_else(PoisonError::into_inner).hear(id, said, at)
    }

    /// The vendor says something clear of the row.
    pub(super) fn understood(&self, id: Id) {
        self.unclear.lock().unwrap_or_else(PoisonError::into_inner).forget(id);
    }

    /// A minute, by default: what the vendor says for so long counts.
    fn lasting(&self) -> Millis {
        Millis::from(MEDIA_MAY_LAG) * self.timing().poll_job
    }

    /// For how long the vendor has said exactly this of a row, if that is long enough to count.
    pub(super) fn has_said_so(&self, id: Id, said: String) -> bool {
        self.hear(id, said).same >= self.lasting()
    }

    /// A job whose status is none that goes on: media settle it, then a word that ends, both only
    /// when the vendor has said the same for a minute; a person is asked after an hour.
    pub(super) async fn job_unclear(&self, work: &Work, job: &RemoteJob) -> Result<()> {
        let word = job_word(&job.status);
        let images = job.images.iter().map(|image| image.id.0.as_str());
        let media: Vec<&str> =
            images.chain(job.videos.iter().map(|video| video.id.0.as_str())).collect();
        let lasts = self.hear(work.id, format!("{word} {}", media.join(" ")));
        if self.store.job_status(work.id).await?.as_deref() != Some(word.as_str()) {
            self.observe_job(work.id, &word).await?;
        }
        if lasts.same >= self.lasting() && !media.is_empty() {
            return self.job_succeeded(work, job, None).await;
        }
        if lasts.same >= self.lasting() && word::ends(&word) {
            let reason = job.error.as_deref().unwrap_or("it gave no reason");
            let message = format!("the vendor says that the job is over ({word:?}): {reason}");
            return self.over(work, message, clip(job)).await;
        }
        let limit = JOB_LOOKS * self.timing().poll_job;
        self.stay_unclear(work, &word, lasts, limit).await
    }

    /// The same for a training, which is watched for six hours.
    pub(super) async fn training_unclear(
        &self,
        work: &Work,
        model: &RemoteModel,
        word: &str,
    ) -> Result<()> {
        let lasts = self.hear(work.id, word.to_owned());
        if lasts.same >= self.lasting() && word::ends(word) {
            let message = format!("the vendor says that the training is over ({word:?})");
            return self.over(work, message, clip(model)).await;
        }
        self.stay_unclear(work, word, lasts, TRAINING_LOOKS * self.timing().poll_training).await
    }

    async fn over(&self, work: &Work, message: String, reply: String) -> Result<()> {
        self.understood(work.id);
        let event = Event::VendorFailed { message, no_output: false, reply };
        self.apply(work.kind, work.id, event).await.map(drop)
    }

    async fn stay_unclear(
        &self,
        work: &Work,
        word: &str,
        lasts: Lasts,
        limit: Millis,
    ) -> Result<()> {
        if work.is_stalled() {
            return Ok(());
        }
        let (now, note) = (self.now(), note_of(word));
        if is_unclear(work.note.as_deref()) {
            let since = work.trouble_since.unwrap_or(now);
            if now - since < limit || lasts.all < limit / UP {
                return Ok(());
            }
            let message = format!(
                "{note}, and has not become one for {} minutes; it is looked at further, and a \
                 known word or a file settles it; {}",
                (now - since) / 60_000,
                ways_out(work)
            );
            let event = Event::NeedsPerson { reason: Reason::Stalled, message };
            return self.apply(work.kind, work.id, event).await.map(drop);
        }
        // Other trouble before this one is over.
        if work.trouble_since.is_some() {
            self.apply(work.kind, work.id, Event::Recovered).await?;
        }
        let until = work.next_look(now, self.timing()).unwrap_or(now);
        let event = Event::LookFailed { until, note };
        self.apply(work.kind, work.id, event).await.map(drop)
    }

    /// Asks a person about what the vendor has had for a day, and looks at what a person was asked
    /// about so. Once in every sweep.
    pub(super) async fn look_at_stalled(&self) {
        let looked = async {
            self.find_stalled().await?;
            for (kind, id) in self.store.stalled().await? {
                // One that cannot be read now keeps no other one from it.
                if let Err(error) = self.look_at_one_stalled(kind, id).await {
                    tracing::debug!(%kind, %id, "{kind} {id} is not looked at now: {error}");
                }
            }
            Ok::<_, super::EngineError>(())
        };
        if let Err(error) = looked.await {
            tracing::warn!("what the vendor does not finish is not looked at now: {error}");
        }
    }

    async fn find_stalled(&self) -> Result<()> {
        let limit = self.timing().give_up_after;
        if self.uptime() < limit / UP || self.account_is_undecided() {
            return Ok(());
        }
        for (kind, id) in self.store.running_since(self.now() - limit).await? {
            let work = self.store.load(kind, id).await?.work;
            if !matches!(work.state, State::Running { .. }) {
                continue;
            }
            let note = work.note.as_deref().map(|note| format!(" ({note})")).unwrap_or_default();
            let message = format!(
                "the vendor has had it for more than {} hours and says neither that it is done nor \
                 that it failed{note}; it is looked at further; {}",
                limit / 3_600_000,
                ways_out(&work)
            );
            let event = Event::NeedsPerson { reason: Reason::Stalled, message };
            self.apply(kind, id, event).await?;
        }
        Ok(())
    }

    async fn look_at_one_stalled(&self, kind: Kind, id: Id) -> Result<()> {
        let work = self.store.load(kind, id).await?.work;
        let Some(remote) = work.remote_id.clone().filter(|_| work.is_stalled()) else {
            return Ok(());
        };
        self.governor.patient_turn().await;
        self.note_question(kind).await;
        if kind == Kind::Job {
            let job = self.called(self.client.get_job(&RemoteJobId(remote))).await?.value;
            return self.job_seen(&work, &job, None).await;
        }
        let model = self.called(self.client.get_model(&RemoteModelId(remote))).await?.value;
        match kind {
            Kind::Training => self.training_seen(&work, &model, None).await,
            _ => self.import_seen(&work, &model).await,
        }
    }

    /// The vendor says of a stalled row what it says of one at work: that settles an unknown word, but
    /// not that it takes longer than a day.
    pub(super) async fn stalled_goes_on(&self, work: &Work) -> Result<()> {
        let begun = work.poll_anchor.max(work.accepted_at).unwrap_or_else(|| self.now());
        if self.now() - begun >= self.timing().give_up_after {
            return Ok(());
        }
        self.apply(work.kind, work.id, Event::Recovered).await.map(drop)
    }
}

/// What a person can do about it.
fn ways_out(work: &Work) -> String {
    let id = work.id;
    let adopt = match work.kind {
        Kind::Job => ", `--adopt REMOTE` takes another job of the vendor's for it",
        _ => "",
    };
    format!(
        "`darkroom retry {id}` waits for it as before, `darkroom resolve {id} --abandon` gives it \
         up{adopt}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_counts_from_when_it_was_first_said_so() {
        let (id, mut unclear) = (Id(uuid::Uuid::nil()), Unclear::default());
        let mut hear = |said: &str, at| {
            let lasts = unclear.hear(id, said.to_owned(), at);
            (lasts.same, lasts.all)
        };
        assert_eq!(hear("canceled", 5), (0, 0));
        assert_eq!(hear("canceled", 65), (60, 60));
        assert_eq!(hear("canceled job_1", 70), (0, 65), "other media are another thing said");
        unclear.forget(id);
        assert_eq!(unclear.hear(id, "canceled".to_owned(), 99).all, 0, "it was clear meanwhile");
    }

    #[test]
    fn it_stays_small() {
        let mut unclear = Unclear::default();
        for n in 0..3 * KEPT as u128 {
            unclear.hear(Id(uuid::Uuid::from_u128(n)), String::new(), 0);
            assert!(unclear.0.len() <= KEPT);
        }
    }
}
