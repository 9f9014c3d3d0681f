//! Looking for jobs and trainings: what costs credits is never sent again on a guess.

use super::ended::EndedJobs;
use super::{Engine, Result, Seen, expected};
use crate::config::Auto;
use crate::domain::ids::{Millis, RemoteJobId, RemoteModelId};
use crate::domain::reconcile::lag::Moment;
use crate::domain::reconcile::{
    self, Candidate, Doubt, Effect, Expected, Fit, Media, SKEW, Sight, Verdict,
};
use crate::domain::work::Kind;
use crate::engine::poll::MEDIA_MAY_LAG;
use crate::store::intents::OpenIntent;
use crate::store::listing::{SHARED, Unclaimed};
use crate::vendor::{JobStatus, ModelStatus, RemoteJob};
use serde_json::{Value, json};
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

/// The vendor's own default window (vendor-api.md 2.15): so far the list reaches back in any case.
const REACH: Millis = 24 * 60 * 60 * 1000;

/// How often a look asks for one record before it counts as failed.
const TRIES: u32 = 3;
/// Between two of them.
const TRY_AGAIN: Duration = Duration::from_millis(250);

impl Engine {
    pub(super) async fn look_for_training(&self, open: &OpenIntent, judged: bool) -> Result<Seen> {
        let model = RemoteModelId(expected(open, "model").unwrap_or_default());
        let status = self.call(self.client.get_model(&model)).await?.value.status;
        let word = super::super::poll::model_word(&status);
        let evidence = json!({ "model": model.as_str(), "model_status": word });
        let (again, at) = (self.timing().relist, self.moment());
        if super::super::poll::is_past_new(&status) {
            let why = format!("the model's status is {word:?}");
            let verdict = Verdict::Adopt { remote_id: model.0, why };
            return Ok(Seen {
                verdict,
                evidence,
                at,
                listed_seq: None,
                settled: false,
                healthy: 0,
                again,
            });
        }
        if status == ModelStatus::Deleted {
            let why = "the training's model has been deleted since".to_owned();
            let verdict = Verdict::Park { why, candidates: Vec::new() };
            return Ok(Seen {
                verdict,
                evidence,
                at,
                listed_seq: None,
                settled: false,
                healthy: 0,
                again,
            });
        }
        // Still `new`. A job that could be the training forbids "absent".
        let mut seen = self.look_at_list(open, judged).await?;
        if let (Some(all), Some(more)) = (seen.evidence.as_object_mut(), evidence.as_object()) {
            all.extend(more.clone());
        }
        Ok(seen)
    }

    pub(super) async fn look_for_job(&self, open: &OpenIntent, judged: bool) -> Result<Seen> {
        self.look_at_list(open, judged).await
    }

    /// A complete, new listing, what of it could be this call's, and what that proves.
    ///
    /// `judged`: the call has been taken for absent, and this is the look before it is sent again.
    /// The settle time that it was given then is enough, should a longer one be known by now: these
    /// looks add nothing to it, so it would be waited for in vain.
    async fn look_at_list(&self, open: &OpenIntent, judged: bool) -> Result<Seen> {
        let skew = SKEW + self.store.lag().await?.skew;
        self.know_the_time().await?;
        // The look is as old as the question for the list, however long the rest of it takes.
        let at = self.moment();
        let (unclaimed, listed_seq, reaches_back) =
            self.unclaimed_since(open, open.vendor_time - skew).await?;
        let longest = self.longest_gap(self.timing().relist);
        let mine = doubt(open, &at, longest, reaches_back);
        let to_doubt = |other: &OpenIntent| doubt(other, &at, longest, reaches_back);
        let others = self.store.other_paid_doubts(open.seq).await?;
        let videos = for_a_video(&mine) || others.iter().map(to_doubt).any(|it| for_a_video(&it));
        let mut candidates = Vec::new();
        for job in &unclaimed {
            candidates.push(self.evidence(job, videos).await?);
        }
        let settle = self.settle_time().await?;
        // In a database that went back, a new job may be that of a call which it has forgotten.
        let lost = self.store.may_have_forgotten(open.seq).await?;
        let sight = Sight {
            vendor_now: at.vendor,
            exclusive: !lost && self.account_is_exclusive().await?,
            trainings: self.store.trainings_that_may_show(open, settle).await?,
            skew,
            settle: if judged { settle.min(mine.healthy) } else { settle },
            relist: self.timing().relist,
        };
        let shown = candidates.iter().zip(&unclaimed).map(|(job, listed)| {
            json!({
                "remote_id": job.remote_id, "created_at": job.created_at,
                "status": listed.status, "credits": listed.credits, "model": job.model,
                "media": job.media, "outputs": job.outputs,
                "fit": match reconcile::fit(&mine, job, skew) {
                    Fit::Fits => "could be it".to_owned(),
                    Fit::Odd(what) => format!("could be it, but {what}"),
                    Fit::Conflict(what) => format!("cannot be it: {what}"),
                },
            })
        });
        let evidence = json!({
            "candidates": shown.collect::<Vec<Value>>(), "exclusive": sight.exclusive,
            "settle_ms": settle, "healthy_ms": mine.healthy, "vendor_now": sight.vendor_now,
        });
        let healthy = mine.healthy;
        let mut doubts = vec![mine];
        // Read last: what came into doubt meanwhile may explain a job of the list as well.
        doubts.extend(self.store.other_paid_doubts(open.seq).await?.iter().map(to_doubt));
        let verdict = match reconcile::judge(&doubts, &candidates, &sight).swap_remove(0) {
            Verdict::Absent { why } if lost => Verdict::Park {
                why: format!("{why}, but this database has been in quarantine since"),
                candidates: Vec::new(),
            },
            // Nothing is taken over by what was read a while ago.
            Verdict::Adopt { remote_id, .. }
                if self.ended().lasting(&remote_id, videos).is_some() =>
            {
                self.ended().forget(&remote_id);
                let why = format!("the job {remote_id} is read once more before it is taken over");
                Verdict::Wait { why, empty: false }
            }
            verdict => verdict,
        };
        Ok(Seen {
            verdict,
            evidence,
            at,
            listed_seq,
            settled: healthy >= settle,
            healthy,
            again: self.timing().relist,
        })
    }

    /// Reads the list from before the call on. Answers what no row claims, the newest listed
    /// job, and whether the list surely reaches back that far.
    async fn unclaimed_since(
        &self,
        open: &OpenIntent,
        since: Millis,
    ) -> Result<(Vec<Unclaimed>, Option<i64>, bool)> {
        let _one_at_a_time = self.listing.lock().await;
        let recent = self.vendor_now() - since <= REACH;
        // An older one that we know must show up too, or the list does not reach back to it.
        let witness = if recent { None } else { self.store.known_before(since).await? };
        // Without the vendor's clock the window is as wide as the vendor's own.
        let since = if open.dated { since } else { since - REACH };
        let start = witness.as_ref().map_or(since, |(_, at)| (*at).min(since));
        let witness = witness.as_ref().map(|(id, _)| id.as_str());
        let seen = self.list_since(start - SKEW, witness).await?;
        let listed_seq = Some(self.store.newest_listed().await?);
        Ok((self.store.unclaimed_jobs(open).await?, listed_seq, recent || seen))
    }

    /// What a listed job is, as far as the vendor tells. `videos`: a video is being looked for.
    async fn evidence(&self, job: &Unclaimed, videos: bool) -> Result<Candidate> {
        let known = self.ended().lasting(&job.remote_id, videos).cloned();
        if let Some(known) = known {
            return Ok(Candidate { created_at: job.created_at.or(known.created_at), ..known });
        }
        let remote_id = RemoteJobId(job.remote_id.clone());
        let mut tries = 0;
        let (record, asked) = loop {
            tries += 1;
            let asked = self.clock.monotonic();
            match self.call(self.client.get_job(&remote_id)).await {
                Ok(reply) => break (reply.value, asked),
                // Nothing more to be learnt of it: it stays a candidate that cannot be ruled out.
                Err(failure) if matches!(failure.http_status, Some(200 | 404)) => {
                    return Ok(unreadable(job));
                }
                // One bad answer among many would spoil the whole look.
                Err(failure) if tries < TRIES && failure.http_status >= Some(500) => {
                    tokio::time::sleep(TRY_AGAIN).await;
                }
                Err(failure) => return Err(failure.into()),
            }
        };
        let candidate = candidate(job, &record);
        if matches!(record.status, JobStatus::Success | JobStatus::Failed) {
            // As late as a poll of our own jobs expects their media.
            let lag = i64::from(MEDIA_MAY_LAG).saturating_mul(self.timing().poll_job);
            let lag = Duration::from_millis(u64::try_from(lag).unwrap_or(0));
            self.ended().note(&candidate, (asked, self.clock.monotonic()), lag);
        }
        Ok(candidate)
    }

    fn ended(&self) -> MutexGuard<'_, EndedJobs> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::engine) async fn account_is_exclusive(&self) -> Result<bool> {
        Ok(match self.config.account.exclusive {
            Auto::Set(exclusive) => exclusive,
            Auto::Auto => self.store.setting::<Value>(SHARED).await?.is_none(),
        })
    }
}

fn doubt(open: &OpenIntent, at: &Moment, longest: Millis, reaches_back: bool) -> Doubt {
    let unknown = Expected { model: None, media: Media::Images, count: None };
    Doubt {
        intent: open.seq,
        request_hash: open.request_hash.clone(),
        effect: if open.kind == Kind::Training.as_str() {
            Effect::Training
        } else {
            Effect::Job(serde_json::from_str(&open.expects).unwrap_or(unknown))
        },
        sent_at: open.vendor_time,
        dated: open.dated,
        healthy: open.healthy_at(at, longest),
        looked: open.looked_boot.is_some(),
        looks: u32::try_from(open.looks).unwrap_or(u32::MAX),
        first_look: open.first_look,
        reaches_back,
    }
}

fn for_a_video(doubt: &Doubt) -> bool {
    matches!(&doubt.effect, Effect::Job(expected) if expected.media == Media::Videos)
}

/// A job that the vendor lists and cannot show.
fn unreadable(job: &Unclaimed) -> Candidate {
    Candidate {
        remote_id: job.remote_id.clone(),
        created_at: job.created_at,
        model: None,
        media: None,
        outputs: 0,
        failed: false,
        unreadable: true,
    }
}

fn candidate(job: &Unclaimed, record: &RemoteJob) -> Candidate {
    let done =
        !matches!(record.status, JobStatus::Created | JobStatus::Queued | JobStatus::Running);
    let media = match (record.images.is_empty(), record.videos.is_empty()) {
        (_, false) => Some(Media::Videos),
        // A video on its way may have a still already.
        (false, true) if done => Some(Media::Images),
        _ => None,
    };
    Candidate {
        remote_id: job.remote_id.clone(),
        created_at: job.created_at.or(record.created_at),
        model: record.model_id.as_ref().map(|model| model.0.clone()),
        media,
        outputs: u32::try_from(record.images.len().max(record.videos.len())).unwrap_or(u32::MAX),
        failed: record.status == JobStatus::Failed,
        unreadable: false,
    }
}
