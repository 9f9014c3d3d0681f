//! `GET /jobs`: the window asked for, and a page of it.

use super::reading::Reading;
use super::{Caller, World};
use crate::simulator::clock::Wall;
use crate::simulator::reply::Refusal;
use serde_json::{Value, json};
use std::ops::Bound;

const DAY: Wall = 24 * 3600 * 1000;

/// A checked query of the job list; both bounds are inclusive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Window {
    pub(crate) start: Wall,
    pub(crate) end: Wall,
    /// The last entry of the previous page.
    pub(crate) after: Option<(Wall, usize)>,
    /// The number of this page, from 1.
    pub(crate) page: Wall,
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
        Ok(Self { start, end, after: None, page: 1 })
    }

    /// The token of the page that begins after this place.
    pub(super) fn token(self, last: (Wall, usize)) -> String {
        let next = self.page.saturating_add(1);
        let text = format!("{}:{}:{}:{}:{next}", self.start, self.end, last.0, last.1);
        hex::encode(text)
    }

    fn from_token(token: &str) -> Option<Self> {
        let text = String::from_utf8(hex::decode(token).ok()?).ok()?;
        let mut parts = text.split(':').map(str::parse::<Wall>);
        let mut next = || parts.next()?.ok();
        let (start, end, at, index) = (next()?, next()?, next()?, next()?);
        let after = Some((at, usize::try_from(index).ok()?));
        Some(Self { start, end, after, page: next().unwrap_or(2) })
    }
}

fn instant(name: &str, text: &str) -> Result<Wall, Refusal> {
    let parsed = chrono::DateTime::parse_from_rfc3339(text);
    let wrong = |_| Refusal::invalid(format!("{name} must be an RFC3339 timestamp"));
    Ok(parsed.map_err(wrong)?.timestamp_millis())
}

impl World {
    /// The reply to `GET /jobs`, the envelope included. `token` is the one that the caller sent.
    pub(crate) fn jobs_page(
        &mut self,
        caller: &Caller,
        window: Window,
        skew: Wall,
        token: Option<&str>,
    ) -> Value {
        let now = self.clock.progress();
        let reading = self.reading(caller, skew);
        let (mut page, more) = self.page(caller, window, &reading);
        let next = page.last().filter(|_| more).map(|last| window.token(*last));
        let next = self.next_token(caller, window, token, next);
        self.mangle(caller, &mut page);
        let entries = page.iter().map(|at| self.entry(caller, at.1, now)).collect::<Vec<_>>();
        self.envelope(caller, entries, next)
    }

    /// The places of the entries of one page, and whether more follow.
    fn page(
        &self,
        caller: &Caller,
        window: Window,
        reading: &Reading,
    ) -> (Vec<(Wall, usize)>, bool) {
        let mut page = Vec::with_capacity(self.args.page_size);
        // The window is by the filter's clock, the places are by the vendor's own.
        let low = (window.start.saturating_sub(reading.skew), 0);
        let high = match window.after {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included((window.end.saturating_sub(reading.skew), usize::MAX)),
        };
        // A forged token may put the upper bound below the lower one, which a range would not take.
        if window.after.is_some_and(|after| after < low) {
            return (page, false);
        }
        for at in self.places(caller.user, reading, (Bound::Included(low), high)) {
            let listed = self.jobs.get(at.1).is_some_and(|job| reading.shows(job));
            if !listed || reading.headless.is_some_and(|newest| at >= newest) {
                continue;
            }
            if page.len() == self.args.page_size {
                return (page, true);
            }
            page.push(at);
        }
        (page, false)
    }

    fn entry(&mut self, caller: &Caller, index: usize, now: i64) -> Value {
        let Some(job) = self.jobs.get(index) else {
            return Value::Null;
        };
        let mut entry = json!({
            "jobId": job.id, "status": job.status(now), "credits": job.credits,
        });
        let id = job.id.clone();
        if let Some(error) = job.error() {
            entry["errorMessage"] = error.into();
        }
        let (status, over) = (job.status(now).to_owned(), job.is_over());
        let (created, updated) = (job.created_at, job.updated_at(now));
        entry["jobId"] = self.job_id_shown(&id, caller.op).into();
        self.date(&mut entry, caller.op, created, Some(updated));
        entry["status"] = self.spelled(&status, caller.op).into();
        let wall = self.clock.wall();
        if let Some(job) = self.jobs.get_mut(index).filter(|_| over) {
            job.told_at.get_or_insert(wall);
        }
        entry
    }
}
