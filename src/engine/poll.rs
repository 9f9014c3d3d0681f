//! What the vendor says of something it works on, and what that means for the row.
//!
//! Only a look that found something new comes here ([`super::looks`]); one that failed in passing is
//! simply repeated at the next point of the grid.

use super::{Engine, Result};
use crate::domain::duration::Took;
use crate::domain::event::{Event, Reason};
use crate::domain::failure::Failure;
use crate::domain::ids::{Id, Millis};
use crate::domain::schedule;
use crate::domain::work::{Kind, Work};
use crate::store::apply::{Facts, NewOutput, Observe};
use crate::store::doubt::NoteEcho;
use crate::vendor::{
    DownloadState, DownloadStatus, JobStatus, ModelStatus, RemoteJob, RemoteModel,
};

/// `success` without media is read again for this many poll intervals, a minute by default, before
/// it counts (vendor-api.md 2.14). The time must have passed and the reads must have happened: a
/// clock that was set forward ends nothing.
pub(super) const MEDIA_MAY_LAG: u32 = 12;
/// What such a job's row says meanwhile.
const NO_MEDIA_YET: &str = "the vendor says success but lists no image or video yet";
/// What a row says whose id the vendor answers 404 for.
const NOT_KNOWN: &str = "the vendor says that it does not know it";
/// A video file that is not ready after this many looks, ten minutes by default, is asked for again
/// (vendor-api.md U26).
const PREPARE_STALLS: i64 = 300;

/// The vendor's word for a model's state, in lower case.
pub(super) fn model_word(status: &ModelStatus) -> String {
    match status {
        ModelStatus::New => "new",
        ModelStatus::Training => "training",
        ModelStatus::Ready => "ready",
        ModelStatus::Deleted => "deleted",
        ModelStatus::Failed => "failed",
        ModelStatus::Other(word) => word,
    }
    .to_owned()
}

/// Whether a training of the model has begun (or is over).
pub(super) fn is_past_new(status: &ModelStatus) -> bool {
    match status {
        ModelStatus::New | ModelStatus::Deleted => false,
        ModelStatus::Training | ModelStatus::Ready | ModelStatus::Failed => true,
        ModelStatus::Other(word) => !word.is_empty(),
    }
}

/// Whether a job is at work as documented.
pub(super) fn job_goes_on(status: &JobStatus) -> bool {
    matches!(status, JobStatus::Created | JobStatus::Queued | JobStatus::Running)
}

/// Whether a training is at work as documented.
pub(super) fn training_goes_on(status: &ModelStatus) -> bool {
    matches!(status, ModelStatus::New | ModelStatus::Training)
}

/// Whether the preparation of a video's file has taken too long.
pub(super) fn prepare_stalls(time: Millis, timing: &schedule::Timing) -> bool {
    time > PREPARE_STALLS * timing.poll_download
}

/// Whether the vendor's word for a preparation means that it failed.
pub(super) fn is_prepare_error(word: &str) -> bool {
    matches!(word, "error" | "errored" | "failed")
}

impl Engine {
    /// What the vendor's record of its model means for a training.
    pub(super) async fn training_seen(
        &self,
        work: &Work,
        reply: &RemoteModel,
        took: Option<Took>,
    ) -> Result<()> {
        let (status, evidence) = (reply.status.clone(), clip(reply));
        let word = model_word(&status);
        if is_past_new(&status) {
            self.status_followed(work.id).await;
        }
        let before = self.store.training_status(work.id).await?;
        let facts = Facts {
            remote_status: Some(word.clone()),
            model_status: Some(word.clone()),
            ..Facts::default()
        };
        let event = match status {
            ModelStatus::Ready => Some(Event::VendorDone { outputs: 0 }),
            ModelStatus::Failed => Some(Event::VendorFailed {
                message: "the vendor says that the training failed".to_owned(),
                no_output: false,
                reply: evidence,
            }),
            ModelStatus::Deleted => Some(Event::VendorFailed {
                message: "the model was deleted at the vendor while it was in training".to_owned(),
                no_output: false,
                reply: evidence,
            }),
            ModelStatus::New if before.as_deref().is_some_and(|word| word != "new") => {
                Some(Event::NeedsPerson {
                    reason: Reason::FellBack,
                    message: "the vendor's model fell back from training to `new`; whether the \
                              training was paid is for you to check there"
                        .to_owned(),
                })
            }
            _ => None,
        };
        if let Some(event) = event {
            // A model that fell back keeps the word it fell from: looking again must see it again.
            let fell_back = matches!(event, Event::NeedsPerson { .. });
            let took = took.filter(|_| matches!(event, Event::VendorDone { .. }));
            let facts = if fell_back { Facts::default() } else { Facts { took, ..facts } };
            return self.apply_with(Kind::Training, work.id, event, facts).await.map(drop);
        }
        if before.as_deref() != Some(word.as_str()) {
            self.observe(work.kind, work.id, &word).await?;
        }
        if matches!(status, ModelStatus::Other(_)) {
            return self.training_unclear(work, reply, &word).await;
        }
        self.understood(work.id);
        self.going_on(work, training_flag(work, self.now(), self.timing())).await
    }

    /// What the vendor's record means for a job.
    pub(super) async fn job_seen(
        &self,
        work: &Work,
        job: &RemoteJob,
        took: Option<Took>,
    ) -> Result<()> {
        if let Some(model) = job.model_id.as_ref().filter(|_| !job_goes_on(&job.status)) {
            self.note_echo(work.id, model.as_str()).await;
        }
        match &job.status {
            JobStatus::Success => return self.job_succeeded(work, job, took).await,
            // A file that is there is paid for, whatever the vendor calls it.
            JobStatus::Failed if job.images.is_empty() && job.videos.is_empty() => {
                let reason = job.error.as_deref().unwrap_or("it gave no reason");
                let message = format!("the vendor says that the job failed: {reason}");
                let event = Event::VendorFailed { message, no_output: false, reply: clip(job) };
                let facts = Facts { remote_status: Some("failed".to_owned()), ..Facts::default() };
                return self.apply_with(Kind::Job, work.id, event, facts).await.map(drop);
            }
            JobStatus::Created | JobStatus::Queued | JobStatus::Running => {}
            JobStatus::Failed | JobStatus::Other(_) => return self.job_unclear(work, job).await,
        }
        self.understood(work.id);
        let word = job_word(&job.status);
        if self.store.job_status(work.id).await?.as_deref() != Some(word.as_str()) {
            self.observe(work.kind, work.id, &word).await?;
        }
        self.going_on(work, None).await
    }

    /// Whether a job of a trained model shows the very id that we had sent: only where ids come back
    /// as they were sent does another one mean another model. Losing a note costs nothing but time.
    async fn note_echo(&self, job: Id, shown: &str) {
        let noted = async {
            let Some(sent) = self.store.sent_model(job).await? else { return Ok(()) };
            let same = sent == shown;
            // Most jobs have nothing new to say.
            if !self.store.echoes().await?.is_news(job, same) {
                return Ok(());
            }
            self.store.writer().write(NoteEcho { job, same }).await.map(drop)
        };
        if let Err(error) = noted.await {
            tracing::debug!("what a job says of its model is not noted: {error}");
        }
    }

    pub(super) async fn job_succeeded(
        &self,
        work: &Work,
        job: &RemoteJob,
        took: Option<Took>,
    ) -> Result<()> {
        let images = job.images.iter().map(|image| NewOutput {
            id: crate::clock::new_id(),
            video: false,
            remote_id: image.id.0.clone(),
            url: image.url.clone(),
        });
        let videos = job.videos.iter().map(|video| NewOutput {
            id: crate::clock::new_id(),
            video: true,
            remote_id: video.id.0.clone(),
            url: video.url.clone(),
        });
        let outputs: Vec<NewOutput> = images.chain(videos).collect();
        let remote_status = Some(job_word(&job.status));
        let Ok(count @ 1..) = u32::try_from(outputs.len()) else {
            return self.success_without_media(work, job).await;
        };
        // After a success that brought nothing at first, nobody knows when it ended.
        let took = took.filter(|_| work.trouble_since.is_none());
        let facts = Facts { remote_status, outputs, took, ..Facts::default() };
        let event = Event::VendorDone { outputs: count };
        self.apply_with(Kind::Job, work.id, event, facts).await.map(drop)
    }

    /// The record may be ahead of its media: read it again for a while, then give up.
    async fn success_without_media(&self, work: &Work, job: &RemoteJob) -> Result<()> {
        let now = self.now();
        if work.is_stalled() {
            let lasts = self.has_said_so(work.id, NO_MEDIA_YET.to_owned());
            return if lasts { self.no_media(work, job).await } else { Ok(()) };
        }
        // Other trouble before this one (a job not found for a while) is over.
        let since = match work.note.as_deref() {
            Some(NO_MEDIA_YET) => work.trouble_since,
            Some(_) => {
                self.apply(Kind::Job, work.id, Event::Recovered).await?;
                None
            }
            None => None,
        };
        let lasts = since.is_some_and(|since| {
            let least = i64::from(MEDIA_MAY_LAG) * self.timing().poll_job;
            work.failures >= MEDIA_MAY_LAG && now - since >= least
        });
        if lasts {
            return self.no_media(work, job).await;
        }
        let until = now + self.timing().poll_job;
        let event = Event::LookFailed { until, note: NO_MEDIA_YET.to_owned() };
        self.apply(Kind::Job, work.id, event).await.map(drop)
    }

    async fn no_media(&self, work: &Work, job: &RemoteJob) -> Result<()> {
        let message = "the vendor says success and delivers no image or video; `darkroom retry` \
                       asks for them again, `--resubmit` buys again"
            .to_owned();
        let event = Event::VendorFailed { message, no_output: true, reply: clip(job) };
        self.apply(Kind::Job, work.id, event).await.map(drop)
    }

    /// What the state of a video's file means for its output.
    pub(super) async fn download_seen(&self, work: &Work, download: DownloadStatus) -> Result<()> {
        if let (DownloadState::Ready, Some(url)) = (&download.status, download.url) {
            let facts = Facts { url: Some(url), ..Facts::default() };
            let event = Event::VendorDone { outputs: 0 };
            return self.apply_with(Kind::Output, work.id, event, facts).await.map(drop);
        }
        if let DownloadState::Other(word) = &download.status
            && is_prepare_error(word)
        {
            let note = "the vendor failed to prepare the video's file".to_owned();
            return self.prepare_again(work, note).await;
        }
        let since = work.poll_anchor.unwrap_or_else(|| self.now());
        if prepare_stalls(self.now() - since, self.timing()) {
            let note = "preparing the video's file takes too long".to_owned();
            return self.prepare_again(work, note).await;
        }
        Ok(())
    }

    async fn prepare_again(&self, work: &Work, note: String) -> Result<()> {
        if let Some(event) = self.unfetched(work, &note) {
            return self.apply(Kind::Output, work.id, event).await.map(drop);
        }
        self.apply(Kind::Output, work.id, Event::PrepareAgain { note }).await.map(drop)
    }

    /// A model that a user takes over: the vendor knows it.
    pub(super) async fn import_seen(&self, work: &Work, model: &RemoteModel) -> Result<()> {
        let model_status = Some(model_word(&model.status));
        let facts = Facts { model_status, ..Facts::default() };
        let event = Event::VendorDone { outputs: 0 };
        self.apply_with(Kind::Model, work.id, event, facts).await.map(drop)
    }

    /// The vendor forgot an id it gave us, or could not answer.
    pub(super) async fn look_failed(&self, work: &Work, failure: &Failure) -> Result<()> {
        let undecided = self.account_is_undecided();
        match work.kind {
            // Perhaps it is another account that does not know it.
            _ if undecided => {}
            // Not prepared, or forgotten: asking for it again is harmless.
            Kind::Output if failure.http_status == Some(404) => {
                let note = format!("the vendor has no prepared file ({})", failure.message);
                return self.prepare_again(work, note).await;
            }
            Kind::Output => {
                if let Some(event) = self.unfetched(work, &failure.message) {
                    return self.apply(Kind::Output, work.id, event).await.map(drop);
                }
            }
            // What a user wants to take over does not exist.
            Kind::Model if failure.is_not_found() => {
                let remote_id = work.remote_id.as_deref().unwrap_or_default();
                let message = format!("the vendor knows no model {remote_id} for this key");
                let reply = failure.reply.clone().unwrap_or_default();
                let event = Event::VendorFailed { message, no_output: false, reply };
                return self.apply(Kind::Model, work.id, event).await.map(drop);
            }
            _ => {}
        }
        let (now, missing) = (self.now(), failure.is_not_found());
        let since = if missing && work.note.as_deref() != Some(NOT_KNOWN) {
            // Other trouble before this one does not count towards giving up.
            if work.trouble_since.is_some() {
                self.apply(work.kind, work.id, Event::Recovered).await?;
            }
            None
        } else {
            work.trouble_since
        };
        let limit = self.timing().give_up_after;
        let given_up = since.is_some_and(|at| now - at >= limit)
            && work.failures
                >= schedule::witnesses(limit, |tries| schedule::backoff_missing(work.id, tries));
        let event = if missing && given_up && !undecided {
            Event::NeedsPerson {
                reason: Reason::Missing,
                message: format!(
                    "the vendor has answered \"not found\" for its own id {} for {} hours; whether \
                     it was made is for you to check there, then `darkroom retry {}` looks again",
                    work.remote_id.as_deref().unwrap_or(""),
                    (now - since.unwrap_or(now)) / 3_600_000,
                    work.id
                ),
            }
        } else {
            let delay = if missing {
                schedule::backoff_missing(work.id, work.failures)
            } else {
                schedule::backoff(work.id, work.failures)
            };
            // Never earlier than the configured interval allows.
            let grid = work.next_look(now, self.timing()).unwrap_or(now);
            let note = if missing { NOT_KNOWN.to_owned() } else { failure.message.clone() };
            Event::LookFailed { until: grid.max(now + delay), note }
        };
        self.apply(work.kind, work.id, event).await.map(drop)
    }

    /// Still running: note a new flag, or that trouble is over; most looks write nothing.
    async fn going_on(&self, work: &Work, flag: Option<String>) -> Result<()> {
        if work.is_stalled() {
            return self.stalled_goes_on(work).await;
        }
        let mut known = work.flag.clone();
        if work.trouble_since.is_some() || (flag.is_none() && known.is_some()) {
            known = self.apply(work.kind, work.id, Event::Recovered).await?.flag;
        }
        match flag {
            Some(flag) if known.as_deref() != Some(flag.as_str()) => {
                self.apply(work.kind, work.id, Event::Flagged { flag }).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Stores the vendor's word for a job that goes on.
    pub(super) async fn observe_job(&self, id: Id, word: &str) -> Result<()> {
        self.observe(Kind::Job, id, word).await
    }

    async fn observe(&self, kind: Kind, id: Id, word: &str) -> Result<()> {
        let model = kind == Kind::Training;
        let observed = Observe { kind, id, remote_status: word.to_owned(), model };
        self.store.writer().write(observed).await?;
        Ok(())
    }
}

/// The vendor's record as it was understood, short enough to keep.
pub(super) fn clip(record: &impl std::fmt::Debug) -> String {
    format!("{record:?}").chars().take(2_000).collect()
}

pub(super) fn job_word(status: &JobStatus) -> String {
    match status {
        JobStatus::Created => "created",
        JobStatus::Queued => "queued",
        JobStatus::Running => "running",
        JobStatus::Success => "success",
        JobStatus::Failed => "failed",
        JobStatus::Other(word) => word,
    }
    .to_owned()
}

fn training_flag(work: &Work, now: i64, timing: &schedule::Timing) -> Option<String> {
    let slow = work.accepted_at.is_some_and(|at| now - at > timing.flag_training_after);
    let minutes = timing.flag_training_after / 60_000;
    slow.then(|| format!("slower than usual: it has run for more than {minutes} minutes"))
}
