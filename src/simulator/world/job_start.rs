//! How jobs begin: ordered by a caller, by somebody else, or beside a training.

use super::job::{End, FOR_EVER, Job, Order, Work};
use super::ledger::What;
use super::{Caller, UserId, World};
use crate::simulator::clock::{Progress, Wall, millis_of, progress_of};
use crate::simulator::fault::Value as Given;
use crate::simulator::fault_table::Kind;
use crate::simulator::op::Op;
use crate::simulator::reply::Refusal;
use std::cmp::Reverse;

impl World {
    /// Starts a paid job and returns its id and effect.
    pub(crate) fn submit(
        &mut self,
        caller: &Caller,
        order: Order,
    ) -> Result<(String, u64), Refusal> {
        let active = self.users.get(caller.user).map_or(0, |user| user.active_jobs);
        if active >= self.args.max_active_jobs {
            let message = "Too many active jobs, wait for some to finish";
            return Err(Refusal::too_many(message, self.args.retry_after));
        }
        let twin = self.strike(Kind::ForeignTwin, caller.op).map(|_| order.clone());
        let at = self.clock.wall();
        let index = self.add_job(caller.user, caller.op, order, at);
        let Some(job) = self.jobs.get(index) else {
            return Err(Refusal::unknown("Job"));
        };
        let mut effect = self.effect(caller, What::Job, &job.id);
        effect.model_id = Some(job.order.model.to_string());
        effect.request = Some(job.order.request.clone());
        effect.credits = job.credits;
        let (id, seq) = (job.id.clone(), self.ledger.record(effect));
        if let Some(twin) = twin {
            self.add_foreign(caller.user, twin, at, Some(&id));
        }
        Ok((id, seq))
    }

    /// Shows a training in the job list; it ends there as it does on the model.
    pub(super) fn list_training(
        &mut self,
        caller: &Caller,
        model: &str,
        length: Progress,
        done_at: Progress,
        succeeds: bool,
    ) {
        let order = Order {
            work: Work::Training,
            model: model.into(),
            trained: true,
            outputs: 0,
            request: "null".into(),
            time: None,
        };
        let index = self.add_job(caller.user, caller.op, order, self.clock.wall());
        if let Some(job) = self.jobs.get_mut(index) {
            job.length = length;
            job.done_at = done_at;
            if !succeeds {
                job.end = End::Failed(Some("The training failed".to_owned()));
            }
        }
        self.due.push(Reverse((done_at, index)));
    }

    /// `op` is what made it, `at` when.
    pub(super) fn add_job(&mut self, owner: UserId, op: Op, order: Order, at: Wall) -> usize {
        let given = self.args.job_time.filter(|_| !matches!(order.work, Work::Training));
        let given = order.time.or(given);
        let (low, high) = given.map_or_else(|| order.work.seconds(), |span| span.seconds);
        let seconds = self.dice().between(low, high);
        let length = self.clock.scaled(seconds);
        let born = self.clock.progress();
        let mut job = Job {
            owner,
            id: self.new_id("job"),
            made_at: at,
            created_at: at.saturating_add(self.birth_skew(op)),
            listed_at: self.clock.wall(),
            unlisted_at: Wall::MAX,
            forgotten_at: Wall::MAX,
            finished_at: None,
            told_at: None,
            read_at: None,
            born,
            length,
            done_at: born.saturating_add(length),
            credits: order.work.credits() * order.outputs,
            order,
            end: End::Done("success".to_owned()),
            running: "running".to_owned(),
            stuck: None,
            missing_reads: 0,
            empty_reads: 0,
            media_late: None,
            forced: None,
            images: Vec::new(),
            videos: Vec::new(),
        };
        self.afflict_listing(&mut job, op);
        if !matches!(job.order.work, Work::Training) {
            self.afflict(&mut job, op);
        }
        let index = self.jobs.len();
        let counts = !matches!(job.order.work, Work::Training);
        if let Some(user) = self.users.get_mut(owner) {
            user.jobs.insert((at, index));
            user.active_jobs += usize::from(counts);
        }
        if job.stuck.is_none() && counts {
            self.due.push(Reverse((job.done_at, index)));
        }
        self.job_ids.insert(job.id.clone(), index);
        self.jobs.push(job);
        index
    }

    /// Decides at birth when the list shows a job.
    fn afflict_listing(&mut self, job: &mut Job, op: Op) {
        let mut strike = |kind| self.faults.strike(kind, op);
        if let Some(lag) = strike(Kind::ListLag) {
            job.listed_at = job.listed_at.saturating_add(millis_of(lag.time()));
        }
        if strike(Kind::ListLacks).is_some() {
            job.listed_at = Wall::MAX;
        }
        if let Some(time) = strike(Kind::OffList) {
            job.unlisted_at = job.made_at.saturating_add(millis_of(time.time()));
        }
        if let Some(time) = strike(Kind::Forgotten) {
            job.forgotten_at = job.made_at.saturating_add(millis_of(time.time()));
            job.unlisted_at = job.unlisted_at.min(job.forgotten_at);
        }
    }

    /// Decides at birth what will go wrong with a job.
    fn afflict(&mut self, job: &mut Job, op: Op) {
        let mut strike = |kind| self.faults.strike(kind, op);
        if let Some(time) = strike(Kind::JobTime) {
            job.length = progress_of(time.time());
            job.done_at = job.born.saturating_add(job.length);
        }
        if let Some(Given::Text(word)) = strike(Kind::JobStuck) {
            job.stuck = Some(word);
            job.done_at = Progress::MAX;
        }
        if let Some(Given::Text(word)) = strike(Kind::OddStatus) {
            job.running = word;
        }
        if let Some(Given::Text(word)) = strike(Kind::OddEnd) {
            job.end = End::Done(word);
        }
        if let Some(Given::Text(word)) = strike(Kind::BareEnd) {
            job.end = End::Bare(word);
        }
        if let Some(time) = strike(Kind::MediaLate) {
            job.media_late = Some(millis_of(time.time()));
        }
        if let Some(Given::Text(error)) = strike(Kind::JobFailed) {
            job.end = End::Failed(Some(error));
        }
        if strike(Kind::JobFailedSilent).is_some() {
            job.end = End::Failed(None);
        }
        if let Some(reads) = strike(Kind::EmptySuccess) {
            job.empty_reads = reads.number().unwrap_or(FOR_EVER);
        }
        if let Some(reads) = strike(Kind::Job404) {
            job.missing_reads = reads.number().unwrap_or(FOR_EVER);
        }
        if let Some(fewer) = strike(Kind::Fewer) {
            job.order.outputs = job.order.outputs.saturating_sub(fewer.number().unwrap_or(1));
        }
    }
}
