//! What others do with the same key: jobs and models that no call to this vendor asked for.

use super::job::{Order, Work};
use super::ledger::What;
use super::{Caller, UserId, World};
use crate::simulator::clock::{Span, Wall, millis_of};
use crate::simulator::fault_table::Kind;
use crate::simulator::op::Op;
use crate::simulator::world::image::Format;
use std::cmp::Reverse;

/// Foreign jobs that appear at once when nobody has looked for long.
const FOREIGN_AT_ONCE: usize = 1000;

/// Which foreign jobs are wanted; times in milliseconds.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) order: Order,
    pub(crate) count: usize,
    /// How long ago the first one was made, and how far apart they are.
    pub(crate) age: Wall,
    pub(crate) every: Wall,
    /// The job whose order they repeat.
    pub(crate) like: Option<String>,
}

impl Order {
    /// An order of somebody else for a picture of `size` by `size` pixels, or for a video.
    pub(crate) fn foreign(videos: bool, size: u32, time: Option<Span>) -> Self {
        Self {
            work: match videos {
                true => Work::Videos,
                false => Work::Images { width: size, height: size, format: Format::Jpeg },
            },
            model: if videos { "grok-imagine-1.5" } else { "nanobanana" }.into(),
            trained: false,
            outputs: 1,
            request: "null".into(),
            time,
        }
    }
}

impl World {
    /// Jobs of this key that something else started; their ids.
    pub(crate) fn foreign(&mut self, owner: UserId, asked: &Asked) -> Vec<String> {
        let now = self.clock.wall();
        let made = |number: usize| {
            let later = asked.every.saturating_mul(Wall::try_from(number).unwrap_or(Wall::MAX));
            now.saturating_sub(asked.age).saturating_add(later)
        };
        let like = asked.like.as_deref();
        let mut ids = Vec::with_capacity(asked.count);
        for number in 0..asked.count {
            let at = made(number).min(now);
            ids.push(self.add_foreign(owner, asked.order.clone(), at, like));
            self.backdate(now - at);
        }
        ids
    }

    /// Lets the newest job have come as far as one that was begun so many milliseconds ago.
    fn backdate(&mut self, by: Wall) {
        let Some(job) = self.jobs.last_mut().filter(|_| by > 0) else {
            return;
        };
        job.born = job.born.saturating_sub(by.saturating_mul(1000));
        if job.stuck.is_none() {
            job.done_at = job.born.saturating_add(job.length);
            self.due.push(Reverse((job.done_at, self.jobs.len() - 1)));
        }
    }

    /// Adds a job that somebody else started, without a call to this vendor. `like` is the job
    /// whose order it repeats.
    pub(super) fn add_foreign(
        &mut self,
        owner: UserId,
        order: Order,
        at: Wall,
        like: Option<&str>,
    ) -> String {
        let index = self.add_job(owner, Op::Foreign, order, at);
        let Some(job) = self.jobs.get(index) else {
            return String::new();
        };
        let id = job.id.clone();
        let mut effect = self.effect(&Caller::nobody(owner), What::ForeignJob, &id);
        effect.endpoint = None;
        effect.model_id = Some(job.order.model.to_string());
        effect.request = Some(job.order.request.clone());
        effect.like = like.map(str::to_owned);
        effect.credits = job.credits;
        self.ledger.record(effect);
        id
    }

    /// The id and the order of this user's newest job; a training is none.
    pub(crate) fn newest_order(&self, owner: UserId) -> Option<(String, Order)> {
        let jobs = self.jobs.iter().rev();
        let mut jobs =
            jobs.filter(|job| job.owner == owner && !matches!(job.order.work, Work::Training));
        jobs.next().map(|job| (job.id.clone(), job.order.clone()))
    }

    /// A model that somebody else made with this key; its id.
    pub(crate) fn foreign_model(&mut self, owner: UserId, name: &str, status: &str) -> String {
        let caller = Caller::nobody(owner);
        let id = self.add_model(&caller, name);
        if status != "new" {
            self.force_model(&id, Some(status.to_owned()));
        }
        let mut effect = self.effect(&caller, What::ForeignModel, &id);
        effect.endpoint = None;
        effect.name = Some(name.to_owned());
        self.ledger.record(effect);
        id
    }

    /// The `foreign` fault: a job at every interval, for every key that was ever used.
    pub(super) fn foreign_jobs_appear(&mut self) {
        let Some(every) = self.faults.peek(Kind::Foreign) else {
            self.next_foreign = None;
            return;
        };
        let every = millis_of(every.time()).max(1);
        let now = self.clock.wall();
        let mut due = self.next_foreign.unwrap_or(now + every);
        for _ in 0..FOREIGN_AT_ONCE {
            if due > now {
                break;
            }
            for owner in 0..self.users.len() {
                self.add_foreign(owner, Order::foreign(false, 1024, None), due, None);
            }
            due += every;
        }
        // What a long silence has piled up beyond that is skipped, not owed.
        self.next_foreign = Some(due.max(now - every));
    }
}
