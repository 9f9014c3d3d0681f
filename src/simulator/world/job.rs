//! Jobs: from the trigger to their outputs.

use super::image::{Format, Picture};
use super::{UserId, World};
use crate::simulator::clock::{Progress, Span, Wall};
use crate::simulator::rng;
use serde_json::{Value, json};
use std::sync::Arc;

/// Shares of a job's time spent `created`, and until the end of `queued`.
const CREATED_UNTIL: f64 = 0.02;
const QUEUED_UNTIL: f64 = 0.10;

/// A number of reads that never runs out.
pub(super) const FOR_EVER: u64 = u64::MAX;

/// What a job makes.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    Images {
        width: u32,
        height: u32,
        format: Format,
    },
    Upscale {
        source: String,
        picture: Arc<Picture>,
        format: Format,
    },
    Videos,
    /// A training that shows up in the job list.
    Training,
}

impl Work {
    /// The range of its duration in simulated seconds (vendor-api.md section 4 for images).
    pub(super) fn seconds(&self) -> (f64, f64) {
        match self {
            Work::Images { .. } => (30.0, 90.0),
            Work::Upscale { .. } => (20.0, 40.0),
            Work::Videos => (90.0, 240.0),
            Work::Training => (1200.0, 1500.0),
        }
    }

    /// Credits per output: 10 for an image is reported from the field, the others are ours.
    pub(super) fn credits(&self) -> u64 {
        match self {
            Work::Images { .. } => 10,
            Work::Upscale { .. } => 5,
            Work::Videos => 50,
            Work::Training => 0,
        }
    }
}

/// A checked request for a job.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) work: Work,
    /// The model that the outputs belong to, trained or public.
    pub(crate) model: Arc<str>,
    pub(crate) trained: bool,
    pub(crate) outputs: u64,
    /// The request body, as JSON text.
    pub(crate) request: Arc<str>,
    /// How long it takes, if that was said.
    pub(crate) time: Option<Span>,
}

/// How a job will end.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// With outputs, under this word.
    Done(String),
    Failed(Option<String>),
    /// Without outputs, under a word that the documentation does not know.
    Bare(String),
}

/// One job of one user.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) owner: UserId,
    pub(crate) id: String,
    /// When it was made, by the vendor's own clock; the list is in this order.
    pub(crate) made_at: Wall,
    /// What it shows as `createdAt`: the same, unless another clock stamped it.
    pub(crate) created_at: Wall,
    /// It is in the list from the first until the second, and known by its id until the third.
    pub(crate) listed_at: Wall,
    pub(crate) unlisted_at: Wall,
    pub(super) forgotten_at: Wall,
    pub(super) finished_at: Option<Wall>,
    /// When a reply first said that it was over.
    pub(super) told_at: Option<Wall>,
    /// When the record itself was first read as ended.
    pub(super) read_at: Option<Wall>,
    pub(super) born: Progress,
    pub(super) length: Progress,
    pub(super) done_at: Progress,
    pub(super) order: Order,
    pub(crate) credits: u64,
    pub(super) end: End,
    /// The word in place of `running`.
    pub(super) running: String,
    /// The word that it never leaves.
    pub(super) stuck: Option<String>,
    /// Reads that still answer 404, and reads that still show no outputs.
    pub(super) missing_reads: u64,
    pub(super) empty_reads: u64,
    /// Only half of the outputs show until so long after the end.
    pub(super) media_late: Option<Wall>,
    pub(super) forced: Option<String>,
    pub(super) images: Vec<String>,
    pub(super) videos: Vec<String>,
}

impl Job {
    pub(super) fn is_over(&self) -> bool {
        self.finished_at.is_some()
    }

    /// The status as a plain word.
    pub(crate) fn status(&self, now: Progress) -> &str {
        if let Some(word) = &self.forced {
            return word;
        }
        if self.is_over() {
            return match &self.end {
                End::Done(word) | End::Bare(word) => word,
                End::Failed(_) => "failed",
            };
        }
        if let Some(word) = &self.stuck {
            return word;
        }
        match self.share(now) {
            share if share < CREATED_UNTIL => "created",
            share if share < QUEUED_UNTIL => "queued",
            _ => &self.running,
        }
    }

    /// The failure's text, if it failed with one.
    pub(crate) fn error(&self) -> Option<&str> {
        match &self.end {
            End::Failed(error) if self.is_over() => error.as_deref(),
            _ => None,
        }
    }

    /// When it last changed.
    pub(crate) fn updated_at(&self, now: Progress) -> Wall {
        if let Some(at) = self.finished_at {
            return at.saturating_add(self.created_at - self.made_at);
        }
        let phase = match self.share(now) {
            share if share < CREATED_UNTIL => 0.0,
            share if share < QUEUED_UNTIL => CREATED_UNTIL,
            _ => QUEUED_UNTIL,
        };
        self.created_at + (phase * self.length as f64 / 1000.0) as Wall
    }

    fn share(&self, now: Progress) -> f64 {
        (now - self.born) as f64 / self.length.max(1) as f64
    }
}

impl World {
    /// Ends a job now and makes the records of its outputs.
    pub(super) fn settle(&mut self, index: usize) {
        self.settle_at(index, self.clock.wall());
    }

    /// The same at a moment that has passed, with nobody looking.
    pub(super) fn settle_at(&mut self, index: usize, finished_at: Wall) {
        let Some(job) = self.jobs.get_mut(index).filter(|job| !job.is_over()) else {
            return;
        };
        job.finished_at = Some(finished_at);
        self.finished.push(index);
        let (owner, id, order) = (job.owner, job.id.clone(), job.order.clone());
        let fails = matches!(job.end, End::Failed(_) | End::Bare(_)) || job.empty_reads == FOR_EVER;
        if !matches!(order.work, Work::Training)
            && let Some(user) = self.users.get_mut(owner)
        {
            user.active_jobs = user.active_jobs.saturating_sub(1);
        }
        if fails {
            return;
        }
        let (mut images, mut videos) = (Vec::new(), Vec::new());
        for number in 0..order.outputs {
            match &order.work {
                Work::Images { width, height, format } => {
                    let text = format!("{}|{id}|{number}", order.request);
                    let seed = rng::hash(text.as_bytes());
                    let picture = Picture::Drawn { seed, width: *width, height: *height };
                    let model = order.model.clone();
                    images.push(self.add_image(owner, "output", model, picture.into(), *format));
                }
                Work::Upscale { source, picture, format } => {
                    let picture = Arc::new(Picture::Doubled(picture.clone()));
                    let model = order.model.clone();
                    let image = self.add_image(owner, "output", model, picture, *format);
                    if let Some(source) = self.images.get_mut(source) {
                        source.upscaled = Some(image.clone());
                        source.updated_at = finished_at;
                    }
                    images.push(image);
                }
                Work::Videos => {
                    videos.push(self.add_video(owner, id.clone(), order.model.clone()));
                }
                Work::Training => {}
            }
        }
        if let Some(job) = self.jobs.get_mut(index) {
            (job.images, job.videos) = (images, videos);
        }
    }

    /// The ledger, with what has become of each job and what it made.
    pub(crate) fn ledger_report(&self, since: u64, with_effects: bool) -> Value {
        let now = self.clock.progress();
        let mut report = self.ledger.report(since, with_effects);
        let effects = report.get_mut("effects").and_then(Value::as_array_mut);
        for effect in effects.into_iter().flatten() {
            let index = effect["id"].as_str().and_then(|id| self.job_ids.get(id));
            if let Some(job) = index.and_then(|index| self.jobs.get(*index)) {
                let (listed, unlisted) = (job.listed_at, job.unlisted_at);
                effect["created_at"] = job.created_at.into();
                effect["listed_at"] = (listed != Wall::MAX).then_some(listed).into();
                let forgotten = job.forgotten_at;
                effect["forgotten_at"] = (forgotten != Wall::MAX).then_some(forgotten).into();
                effect["unlisted_at"] = (unlisted != Wall::MAX).then_some(unlisted).into();
                effect["status"] = job.status(now).into();
                effect["outputs"] = job.images.iter().chain(&job.videos).cloned().collect();
            }
        }
        report
    }

    /// Jobs in the order in which they ended, without the first `since`.
    pub(crate) fn finished_report(&self, since: usize) -> Value {
        let ended = self.finished.iter().skip(since).filter_map(|index| self.jobs.get(*index));
        let each = |job: &Job| {
            json!({ "id": job.id, "at": job.finished_at, "told": job.told_at,
            "read": job.read_at })
        };
        json!({ "count": self.finished.len(), "jobs": ended.map(each).collect::<Vec<_>>() })
    }

    /// Ends all jobs and trainings under way, stuck ones included.
    pub(crate) fn finish_all(&mut self) {
        let now = self.clock.progress();
        self.models.values_mut().for_each(|model| model.finish(now));
        for index in 0..self.jobs.len() {
            self.settle(index);
        }
        self.finish_downloads();
    }

    /// Sets a job's state by hand: `success` and `failed` end it, any other word is just shown.
    pub(crate) fn force_job(
        &mut self,
        id: &str,
        status: Option<&str>,
        error: Option<&str>,
    ) -> bool {
        let Some(index) = self.job_index(id) else {
            return false;
        };
        let Some(job) = self.jobs.get_mut(index) else {
            return false;
        };
        job.forced = None;
        match status {
            Some("success") if !job.is_over() => job.end = End::Done("success".to_owned()),
            Some("failed") => job.end = End::Failed(error.map(str::to_owned)),
            other => {
                job.forced = other.map(str::to_owned);
                return true;
            }
        }
        self.settle(index);
        true
    }
}
