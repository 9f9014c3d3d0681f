//! `GET /jobs/{id}`: one job as its owner sees it.

use super::job::{FOR_EVER, Job, Work};
use super::{Caller, World};
use crate::simulator::clock::Wall;
use crate::simulator::fault::Value as Given;
use crate::simulator::fault_table::Kind;
use crate::simulator::op::Op;
use crate::simulator::reply::Refusal;
use serde_json::{Value, json};

/// The outputs that a reading shows.
struct Shown {
    images: Vec<String>,
    videos: Vec<String>,
    /// Some are left out, so that an empty list is shown rather than none.
    hidden: bool,
}

impl World {
    /// The place of the job with this id, in whatever form a reply has shown it.
    pub(super) fn job_index(&self, id: &str) -> Option<usize> {
        let plain = id.to_ascii_lowercase();
        let plain = plain.strip_prefix("api_").unwrap_or(&plain);
        let known = self.job_ids.get(id).or_else(|| self.job_ids.get(plain));
        known.or_else(|| self.job_ids.get(&format!("job_{plain}"))).copied()
    }

    /// A job's id in the form of this reply.
    pub(crate) fn job_id_shown(&mut self, id: &str, op: Op) -> String {
        match self.strike(Kind::JobIdForm, op).as_ref().map(Given::word) {
            Some("upper") => id.to_ascii_uppercase(),
            Some("prefix") => format!("api_{id}"),
            Some(_) => id.trim_start_matches("job_").to_owned(),
            None => id.to_owned(),
        }
    }

    fn model_id_shown(&mut self, id: &str, op: Op) -> String {
        match self.strike(Kind::ModelIdForm, op).as_ref().map(Given::word) {
            Some("upper") => id.to_ascii_uppercase(),
            Some("prefix") => format!("mdl_{id}"),
            Some(_) => id.replace('-', ""),
            None => id.to_owned(),
        }
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
        if job.is_over() {
            job.told_at.get_or_insert(wall);
            job.read_at.get_or_insert(wall);
        }
        let shown = job.shown(wall);
        let (id, status, created) = (job.id.clone(), job.status(now).to_owned(), job.created_at);
        let error = job.error().map(str::to_owned);
        let model =
            (job.order.trained || self.args.public_model_ids).then(|| job.order.model.clone());
        let makes_videos = matches!(job.order.work, Work::Videos);
        let mut record = json!({
            "jobId": self.job_id_shown(&id, caller.op),
            "status": self.spelled(&status, caller.op),
        });
        self.date(&mut record, caller.op, created, None);
        if let Some(model) = model {
            record["modelId"] = self.model_id_shown(&model, caller.op).into();
        }
        if let Some(error) = error {
            record["error"] = error.into();
        }
        if !shown.images.is_empty() || (shown.hidden && !makes_videos) {
            let images = shown.images.iter().map(|id| self.image_json(caller, id)).collect();
            record["images"] = self.garbled(caller, images);
        }
        if !shown.videos.is_empty() || (shown.hidden && makes_videos) {
            let videos = shown.videos.iter().map(|id| self.video_json(caller, id)).collect();
            record["videos"] = self.garbled(caller, videos);
        }
        Ok(record)
    }

    /// The outputs as this reply shows them: one of them twice, or without their ids.
    fn garbled(&mut self, caller: &Caller, mut outputs: Vec<Value>) -> Value {
        if let Some(first) = outputs.first().cloned()
            && let Some(how) = self.strike(Kind::MediaTwice, caller.op)
        {
            match outputs.last_mut().filter(|_| how.word() == "instead") {
                Some(last) => *last = first,
                None => outputs.push(first),
            }
        }
        if self.strike(Kind::MediaNoIds, caller.op).is_some() {
            for output in outputs.iter_mut().filter_map(Value::as_object_mut) {
                output.remove("id");
            }
        }
        outputs.into()
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

impl Job {
    /// What a reading shows of its outputs; one more that shows none, if that is counted.
    fn shown(&mut self, now: Wall) -> Shown {
        let hidden = self.is_over() && self.empty_reads > 0;
        if hidden && self.empty_reads != FOR_EVER {
            self.empty_reads -= 1;
        }
        let (mut images, mut videos) = (self.images.clone(), self.videos.clone());
        let late = self.media_late.zip(self.finished_at);
        let late = late.is_some_and(|(late, ended)| now < ended.saturating_add(late));
        for outputs in [&mut images, &mut videos] {
            match (hidden, late) {
                (true, _) => outputs.clear(),
                (false, true) => outputs.truncate(outputs.len() / 2),
                (false, false) => {}
            }
        }
        Shown { images, videos, hidden: hidden || late }
    }
}
