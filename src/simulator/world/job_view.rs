//! `GET /jobs/{id}`: one job as its owner sees it.

use super::job::{FOR_EVER, Work};
use super::{Caller, World};
use crate::simulator::clock::Wall;
use crate::simulator::reply::Refusal;
use serde_json::{Value, json};

impl World {
    /// The place of the job with this id.
    pub(super) fn job_index(&self, id: &str) -> Option<usize> {
        self.job_ids.get(id).copied()
    }

    /// A job record; reading it is what `empty-success` and `job-404` count.
    pub(crate) fn job_json(&mut self, caller: &Caller, id: &str) -> Result<Value, Refusal> {
        let (now, wall) = (self.clock.progress(), self.clock.wall());
        let index = self.job_index(id);
        let job = index.and_then(|index| self.jobs.get_mut(index));
        let job = job.filter(|job| job.owner == caller.user && wall < job.forgotten_at);
        let job = job.ok_or_else(|| Refusal::unknown("Job"))?;
        if job.missing_reads > 0 {
            if job.missing_reads != FOR_EVER {
                job.missing_reads -= 1;
            }
            return Err(Refusal::unknown("Job"));
        }
        let over = job.is_over();
        if over {
            job.told_at.get_or_insert(wall);
            job.read_at.get_or_insert(wall);
        }
        let hidden = over && job.empty_reads > 0;
        if hidden && job.empty_reads != FOR_EVER {
            job.empty_reads -= 1;
        }
        let (status, created) = (job.status(now).to_owned(), job.created_at);
        let error = job.error().map(str::to_owned);
        let model =
            (job.order.trained || self.args.public_model_ids).then(|| job.order.model.clone());
        let makes_videos = matches!(job.order.work, Work::Videos);
        let (images, videos) = match hidden {
            true => (Vec::new(), Vec::new()),
            false => (job.images.clone(), job.videos.clone()),
        };
        let mut record = json!({ "jobId": id, "status": self.spelled(&status, caller.op) });
        self.date(&mut record, caller.op, created, None);
        if let Some(model) = model {
            record["modelId"] = (*model).into();
        }
        if let Some(error) = error {
            record["error"] = error.into();
        }
        if !images.is_empty() || (hidden && !makes_videos) {
            record["images"] = images.iter().map(|id| self.image_json(caller, id)).collect();
        }
        if !videos.is_empty() || (hidden && makes_videos) {
            record["videos"] = videos.iter().map(|id| self.video_json(caller, id)).collect();
        }
        Ok(record)
    }

    /// Takes a job off the list now, or off the vendor's memory altogether; false when there is no
    /// such job.
    pub(crate) fn unlist(&mut self, id: &str, forget: bool) -> bool {
        let now = self.clock.wall();
        let index = self.job_index(id);
        let Some(job) = index.and_then(|index| self.jobs.get_mut(index)) else {
            return false;
        };
        job.unlisted_at = now;
        if forget {
            job.forgotten_at = now;
        }
        true
    }

    /// Lists a job, whatever kept it out; false when there is no such job.
    pub(crate) fn relist(&mut self, id: &str) -> bool {
        let now = self.clock.wall();
        let index = self.job_index(id);
        let Some(job) = index.and_then(|index| self.jobs.get_mut(index)) else {
            return false;
        };
        job.listed_at = job.listed_at.min(now);
        (job.unlisted_at, job.forgotten_at) = (Wall::MAX, Wall::MAX);
        true
    }
}
