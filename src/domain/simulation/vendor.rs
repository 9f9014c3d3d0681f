//! The vendor as the simulation knows it: what really happened, and what its list tells of it.

use super::plan::{MINUTE, SECOND};
use crate::domain::failure::FailureClass;
use crate::domain::ids::Millis;
use crate::domain::reconcile::Media;

/// A job, as the vendor has it.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) remote: String,
    /// The row whose call made it; none: somebody else's.
    pub(super) row: Option<usize>,
    /// Same number, same request.
    pub(super) hash: u8,
    pub(super) model: Option<String>,
    pub(super) media: Media,
    pub(super) outputs: u32,
    /// As the vendor tells it: whole seconds, and perhaps a little before its `Date`.
    pub(super) created_at: Millis,
    /// Its place in the vendor's own time, see [`Vendor::progress`].
    pub(super) listed_from: Millis,
    pub(super) done_at: Millis,
    pub(super) fails: bool,
    /// Until then the vendor lists it and cannot show it.
    pub(super) unreadable_until: Millis,
    /// The entry of a training.
    pub(super) is_entry: bool,
}

/// A call that has arrived, or is about to.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) row: usize,
    /// When it takes effect; none: never.
    pub(super) effect_at: Option<Millis>,
    /// What the vendor answers, once it has taken effect.
    pub(super) answer: Option<Answer>,
    pub(super) job: JobToBe,
}

/// What a call would make.
#[derive(Clone, Debug)]
pub(super) struct JobToBe {
    pub(super) hash: u8,
    /// The model that a training trains.
    pub(super) trains: Option<u8>,
    pub(super) model: Option<String>,
    pub(super) media: Media,
    pub(super) outputs: u32,
    pub(super) lag: Millis,
    pub(super) skew: Millis,
    pub(super) lasts: Millis,
    pub(super) fails: bool,
    pub(super) unreadable_for: Millis,
}

/// What a call brings back.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Accepted(String),
    Failed(FailureClass, Option<u16>),
}

/// What a model's status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ModelStatus {
    New,
    Training,
    Ready,
}

/// The vendor.
#[derive(Clone, Debug, Default)]
pub(super) struct Vendor {
    /// True time, which is the vendor's clock.
    pub(super) now: Millis,
    /// The time by which its list gets on: it stands still while the vendor is down.
    pub(super) progress: Millis,
    pub(super) down_until: Millis,
    pub(super) jobs: Vec<Job>,
    pub(super) calls: Vec<Call>,
    /// Trainings that took effect: model, row, when.
    pub(super) trained: Vec<(u8, usize, Millis)>,
    pub(super) lists_trainings: bool,
    pub(super) trains_once: bool,
    pub(super) keeps: Millis,
}

impl Vendor {
    pub(super) fn is_down(&self) -> bool {
        self.now < self.down_until
    }

    /// The `Date` header.
    pub(super) fn date(&self) -> Millis {
        self.now - self.now.rem_euclid(SECOND)
    }

    /// Lets time pass up to `to`. `watched`: whether a daemon lives that could notice an outage.
    pub(super) fn advance(&mut self, to: Millis, watched: bool) {
        while let Some(call) = self
            .calls
            .iter()
            .enumerate()
            .filter(|(_, call)| call.answer.is_none())
            .filter_map(|(at, call)| call.effect_at.filter(|when| *when <= to).map(|w| (w, at)))
            .min()
        {
            self.pass(call.0.max(self.now), watched);
            self.take(call.1);
        }
        self.pass(to, watched);
    }

    fn pass(&mut self, to: Millis, watched: bool) {
        let from = if watched { self.now.max(self.down_until.min(to)) } else { self.now };
        self.progress += (to - from).max(0);
        self.now = self.now.max(to);
    }

    /// The call takes effect.
    fn take(&mut self, at: usize) {
        let call = self.calls[at].clone();
        let answer = match call.job.trains {
            Some(model) => self.train(model, &call),
            None => Answer::Accepted(self.make(Some(call.row), &call.job, false)),
        };
        self.calls[at].answer = Some(answer);
    }

    fn train(&mut self, model: u8, call: &Call) -> Answer {
        let before = self.trained.iter().any(|(trained, _, _)| *trained == model);
        if before && self.trains_once {
            return Answer::Failed(FailureClass::RefusedForNow, Some(409));
        }
        self.trained.push((model, call.row, self.now));
        if self.lists_trainings {
            self.make(Some(call.row), &call.job, true);
        }
        Answer::Accepted(model_id(model))
    }

    pub(super) fn make(&mut self, row: Option<usize>, job: &JobToBe, is_entry: bool) -> String {
        let remote = format!("j{}", self.jobs.len());
        self.jobs.push(Job {
            remote: remote.clone(),
            row,
            hash: job.hash,
            model: job.model.clone(),
            media: job.media,
            outputs: job.outputs,
            created_at: (self.now - job.skew) - (self.now - job.skew).rem_euclid(SECOND),
            listed_from: self.progress + job.lag,
            done_at: self.now + job.lasts,
            fails: job.fails && !is_entry,
            unreadable_until: self.now + job.unreadable_for,
            is_entry,
        });
        remote
    }

    /// The list from `start` to `end`: places in `jobs`.
    pub(super) fn list(&self, start: Millis, end: Millis) -> Vec<usize> {
        let shows = |job: &Job| {
            job.listed_from <= self.progress
                && (start..=end).contains(&job.created_at)
                && job.created_at >= self.now - self.keeps
        };
        (0..self.jobs.len()).filter(|&at| shows(&self.jobs[at])).collect()
    }

    pub(super) fn job(&self, remote: &str) -> Option<&Job> {
        remote.get(1..).and_then(|n| n.parse::<usize>().ok()).and_then(|at| self.jobs.get(at))
    }

    pub(super) fn model_status(&self, model: u8) -> ModelStatus {
        match self.trained.iter().find(|(trained, _, _)| *trained == model) {
            None => ModelStatus::New,
            Some((_, _, at)) if self.now - at < 12 * MINUTE => ModelStatus::Training,
            Some(_) => ModelStatus::Ready,
        }
    }

    /// How often the vendor did what the row ordered.
    pub(super) fn effects_of(&self, row: usize) -> usize {
        let jobs = self.jobs.iter().filter(|job| job.row == Some(row) && !job.is_entry).count();
        jobs + self.trained.iter().filter(|(_, of, _)| *of == row).count()
    }

    /// Whether a call of the row may take effect still.
    pub(super) fn is_pending(&self, row: usize) -> bool {
        let waits = |call: &Call| call.answer.is_none() && call.effect_at.is_some();
        self.calls.iter().any(|call| call.row == row && waits(call))
    }
}

/// The vendor's id of a model.
pub(super) fn model_id(model: u8) -> String {
    format!("m{model}")
}
