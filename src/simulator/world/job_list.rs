//! `GET /jobs`, and the jobs of others that turn up in it.

use super::job::{Job, Order, Work};
use super::{Caller, UserId, World};
use crate::simulator::clock::{Span, Wall, millis_of};
use crate::simulator::fault_table::Kind;
use crate::simulator::reply::Refusal;
use crate::simulator::world::image::Format;
use serde_json::{Value, json};

const DAY: Wall = 24 * 3600 * 1000;

/// Foreign jobs that appear at once when nobody has looked for long.
const FOREIGN_AT_ONCE: usize = 1000;

/// A checked query of the job list; both bounds are inclusive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Window {
    pub(crate) start: Wall,
    pub(crate) end: Wall,
    /// The last entry of the previous page.
    pub(crate) after: Option<(Wall, usize)>,
}

impl Window {
    /// The window asked for by `start`, `end` and `pageToken`. A token brings its own bounds, so
    /// that pages fit together even if the default window has moved on.
    pub(crate) fn parse(
        start: Option<&str>,
        end: Option<&str>,
        token: Option<&str>,
        now: Wall,
    ) -> Result<Self, Refusal> {
        if let Some(token) = token.filter(|token| !token.is_empty()) {
            return Self::from_token(token)
                .ok_or_else(|| Refusal::invalid("pageToken is not valid"));
        }
        let end = end.map(|text| instant("end", text)).transpose()?;
        let start = start.map(|text| instant("start", text)).transpose()?;
        let end = end.unwrap_or(now);
        let start = start.unwrap_or(end - DAY);
        if end < start {
            return Err(Refusal::invalid("end must not be before start"));
        }
        if end - start > 7 * DAY {
            return Err(Refusal::invalid("The time range must not exceed 7 days"));
        }
        Ok(Self { start, end, after: None })
    }

    fn token(self, last: (Wall, usize)) -> String {
        let text = format!("{}:{}:{}:{}", self.start, self.end, last.0, last.1);
        hex::encode(text)
    }

    fn from_token(token: &str) -> Option<Self> {
        let text = String::from_utf8(hex::decode(token).ok()?).ok()?;
        let mut parts = text.split(':').map(str::parse::<Wall>);
        let mut next = || parts.next()?.ok();
        let (start, end, at, index) = (next()?, next()?, next()?, next()?);
        Some(Self { start, end, after: Some((at, usize::try_from(index).ok()?)) })
    }
}

fn instant(name: &str, text: &str) -> Result<Wall, Refusal> {
    let parsed = chrono::DateTime::parse_from_rfc3339(text);
    let wrong = |_| Refusal::invalid(format!("{name} must be an RFC3339 timestamp"));
    Ok(parsed.map_err(wrong)?.timestamp_millis())
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
    /// One page of the job list, newest first.
    pub(crate) fn jobs_page(&mut self, caller: &Caller, window: Window) -> Value {
        let (progress, wall) = (self.clock.progress(), self.clock.wall());
        let low = (window.start, 0);
        let high = match window.after {
            Some(after) => std::ops::Bound::Excluded(after),
            None => std::ops::Bound::Included((window.end, usize::MAX)),
        };
        let mut page: Vec<(Wall, usize)> = Vec::with_capacity(self.args.page_size);
        let mut more = false;
        // A forged token may put the upper bound below the lower one, which a range would not take.
        let in_order = window.after.is_none_or(|after| after >= low);
        if let Some(user) = self.users.get(caller.user).filter(|_| in_order) {
            let range = (std::ops::Bound::Included(low), high);
            let listed = |job: &Job| job.listed_at <= wall;
            for at in user.jobs.range(range).rev() {
                if !self.jobs.get(at.1).is_some_and(listed) {
                    continue;
                }
                if page.len() == self.args.page_size {
                    more = true;
                    break;
                }
                page.push(*at);
            }
        }
        let next = page.last().filter(|_| more).map(|last| window.token(*last));
        let entries = page.iter().map(|at| self.entry(caller, at.1, progress)).collect::<Vec<_>>();
        json!({ "jobs": entries, "nextPageToken": next.unwrap_or_default() })
    }

    fn entry(&mut self, caller: &Caller, index: usize, now: i64) -> Value {
        let Some(job) = self.jobs.get(index) else {
            return Value::Null;
        };
        let mut entry = json!({
            "jobId": job.id, "status": job.status(now), "credits": job.credits,
            "createdAt": self.stamp(job.created_at), "updatedAt": self.stamp(job.updated_at(now)),
        });
        if let Some(error) = job.error() {
            entry["errorMessage"] = error.into();
        }
        let (status, over) = (job.status(now).to_owned(), job.is_over());
        entry["status"] = self.spelled(&status, caller.op).into();
        let wall = self.clock.wall();
        if let Some(job) = self.jobs.get_mut(index).filter(|_| over) {
            job.told_at.get_or_insert(wall);
        }
        entry
    }

    /// Jobs of this key that something else started, right now.
    pub(crate) fn foreign(
        &mut self,
        owner: UserId,
        count: usize,
        order: &Order,
        at: Wall,
    ) -> Vec<String> {
        (0..count).map(|_| self.add_foreign(owner, order.clone(), at)).collect()
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
                self.foreign(owner, 1, &Order::foreign(false, 1024, None), due);
            }
            due += every;
        }
        // What a long silence has piled up beyond that is skipped, not owed.
        self.next_foreign = Some(due.max(now - every));
    }
}
