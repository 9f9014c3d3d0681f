//! What a reading of the job list shows, leaves out and calls the rest: the lies of `GET /jobs`.

use super::job::Job;
use super::job_list::Window;
use super::{Caller, UserId, World};
use crate::simulator::clock::{Wall, millis_of};
use crate::simulator::fault_table::Kind;
use serde_json::{Value, json};
use std::ops::Bound;

/// A place in the list: a time, then the job's index.
type Place = (Wall, usize);

/// How one reading sees the list.
#[derive(Debug)]
pub(super) struct Reading {
    /// How far the clock is off that `start` and `end` are compared by.
    pub(super) skew: Wall,
    /// The list goes by the `createdAt` that is shown.
    by_created: bool,
    /// The moment whose list this is.
    view: Wall,
    /// Jobs made before this are beyond reach.
    oldest: Wall,
    /// The last of the newest entries that are left out.
    pub(super) headless: Option<Place>,
}

impl Reading {
    /// Whether this job is in the list at all.
    pub(super) fn shows(&self, job: &Job) -> bool {
        job.listed_at <= self.view && self.view < job.unlisted_at && job.made_at >= self.oldest
    }
}

impl World {
    /// What a reading by this caller is like right now.
    pub(super) fn reading(&mut self, caller: &Caller, skew: Wall) -> Reading {
        let now = self.clock.wall();
        let frozen = self.faults.hit(Kind::ListFrozen, caller.op);
        let reach = self.strike(Kind::ListReach, caller.op);
        let mut reading = Reading {
            skew,
            by_created: self.strike(Kind::FilterCreated, caller.op).is_some(),
            // What was listed in the very millisecond in which it froze came too late.
            view: frozen.map_or(now, |hit| self.clock.wall_of(hit.began).saturating_sub(1)),
            oldest: reach.map_or(Wall::MIN, |time| now.saturating_sub(millis_of(time.time()))),
            headless: None,
        };
        if let Some(newest) = self.strike(Kind::ListHeadless, caller.op) {
            let count = usize::try_from(newest.number().unwrap_or(1)).unwrap_or(usize::MAX);
            let all = (Bound::Unbounded, Bound::Unbounded);
            let shown = self.places(caller.user, &reading, all);
            let shown =
                shown.filter(|at| self.jobs.get(at.1).is_some_and(|job| reading.shows(job)));
            reading.headless = shown.take(count).last();
        }
        reading
    }

    /// The places of a user's jobs within these bounds, newest first, listed or not.
    pub(super) fn places(
        &self,
        user: UserId,
        reading: &Reading,
        bounds: (Bound<Place>, Bound<Place>),
    ) -> Box<dyn Iterator<Item = Place> + '_> {
        let Some(user) = self.users.get(user) else {
            return Box::new(std::iter::empty());
        };
        if !reading.by_created {
            return Box::new(user.jobs.range(bounds).rev().copied());
        }
        use std::ops::RangeBounds;
        let shown = |at: &Place| self.jobs.get(at.1).map(|job| (job.created_at, at.1));
        let mut places: Vec<Place> =
            user.jobs.iter().filter_map(shown).filter(|at| bounds.contains(at)).collect();
        places.sort_unstable();
        Box::new(places.into_iter().rev())
    }

    /// Drops entries of a page and shuffles the rest, where that is in force.
    pub(super) fn mangle(&mut self, caller: &Caller, page: &mut Vec<Place>) {
        if let Some(mut hit) = self.faults.hit(Kind::ListDrops, caller.op) {
            page.retain(|_| hit.dice.unit() >= hit.value.share());
        }
        if let Some(mut hit) = self.faults.hit(Kind::ListShuffled, caller.op) {
            for last in (1..page.len()).rev() {
                page.swap(last, hit.dice.between(0.0, last as f64 + 1.0) as usize);
            }
        }
    }

    /// The token that a page ends with, if the rest of the list is to be had at all.
    pub(super) fn next_token(
        &mut self,
        caller: &Caller,
        window: Window,
        sent: Option<&str>,
        next: Option<String>,
    ) -> Option<String> {
        if self.strike(Kind::ListLoops, caller.op).is_some() {
            // Even a list of one page loops: its token stands for the whole window.
            let whole = || window.token((Wall::MAX, 0));
            return sent.map(str::to_owned).or(next).or_else(|| Some(whole()));
        }
        let cut = self.strike(Kind::ListCut, caller.op);
        let pages = cut.map(|pages| pages.number().unwrap_or(1));
        next.filter(|_| pages.is_none_or(|pages| window.page.unsigned_abs() < pages))
    }

    /// The token behind what a caller sent: numbers stand for tokens given out before.
    pub(crate) fn token_sent(&self, sent: &str) -> String {
        let index = sent.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let token = index.and_then(|index| self.numbered_tokens.get(index));
        token.map_or(sent, String::as_str).to_owned()
    }

    /// The reply around the entries.
    pub(super) fn envelope(
        &mut self,
        caller: &Caller,
        entries: Vec<Value>,
        next: Option<String>,
    ) -> Value {
        let mut form = self.strike(Kind::ListEmpty, caller.op);
        if form.is_none() && entries.is_empty() && next.is_none() {
            form = self.strike(Kind::EmptyAs, caller.op);
        }
        if let Some(form) = form {
            return match form.word() {
                "null" => json!({ "result": { "jobs": null }, "status": "OK" }),
                "missing" => json!({ "result": {}, "status": "OK" }),
                "no-result" => json!({ "status": "OK" }),
                "null-result" => json!({ "result": null, "status": "OK" }),
                _ => json!({ "result": { "jobs": [] }, "status": "OK" }),
            };
        }
        let token = self.token_shown(caller, next);
        if self.strike(Kind::TokenBeside, caller.op).is_some() {
            return json!({ "result": { "jobs": entries }, "nextPageToken": token, "status": "OK" });
        }
        json!({ "result": { "jobs": entries, "nextPageToken": token }, "status": "OK" })
    }

    /// A token in the form of this reply; the last page has an empty one.
    fn token_shown(&mut self, caller: &Caller, next: Option<String>) -> Value {
        let Some(next) = next else {
            return "".into();
        };
        if self.strike(Kind::TokenNumber, caller.op).is_some() {
            self.numbered_tokens.push(next);
            return self.numbered_tokens.len().into();
        }
        match self.strike(Kind::TokenObject, caller.op) {
            Some(_) => json!({ "token": next }),
            None => next.into(),
        }
    }
}
