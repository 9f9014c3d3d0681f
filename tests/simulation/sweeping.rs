//! Sweeps over the whole list: parked calls are looked for, and every job that no row claims gets its
//! place.

use crate::book::{Listed, MEMORY, Outcome};
use crate::bugs::Bug;
use crate::daemon::{Event, Sim};
use crate::dice::About;
use crate::looking::Shown;
use crate::sending::AHEAD;
use crate::vendor::Maker;
use judging::clocks::{self, Clocks};
use judging::fit::{Candidate, Effect, Ground};
use judging::going_back::{self, Found, Order};
use judging::placing::{self, Bought, Makers, Place};
use judging::verdict::{Other, Standing};
use judging::witness::Window;
use judging::{DAY, HOUR, Millis};

impl Sim {
    pub(crate) fn sweep(&mut self) {
        let parked = self.parked();
        let widening = self.clocks().widening();
        let since = self.book.covered.map_or(self.now, |covered| covered - HOUR);
        let mut start = since.min(self.now - DAY) + widening;
        // Wide only for those whom a job accepted later could bear witness.
        for at in &parked {
            let call = &self.book.calls[*at].call;
            let later = self.book.accepted.last();
            if later.is_some_and(|job| job.accepted_at > call.span.ended_at) {
                start = start.min(call.listed_from.unwrap_or(start));
            }
        }
        let window = Window { start, end: Some(self.now + AHEAD) };
        let Some(shown) = self.read_list(&window) else {
            parked.into_iter().for_each(|at| self.look_failed(at));
            return;
        };
        for at in parked {
            self.sweep_for(at, &shown);
        }
        self.read_ours();
        self.place_all();
    }

    fn parked(&self) -> Vec<usize> {
        let parked = |at: &usize| self.book.calls[*at].outcome == Outcome::Parked;
        self.calls_lately().filter(parked).collect()
    }

    fn sweep_for(&mut self, at: usize, shown: &Shown) {
        let looked = self.judge(at, shown);
        self.carry_out(at, looked);
    }

    /// Records of our running jobs, which teach what ids look like.
    fn read_ours(&mut self) {
        let lately = self.calls_lately();
        for at in lately {
            let about = &self.book.calls[at];
            let Some(id) = &about.remote else { continue };
            if self.book.listed(id).is_none_or(|job| job.record.is_some()) {
                continue;
            }
            let Some(record) = self.vendor.record(id, self.now).filter(|record| record.ended)
            else {
                continue;
            };
            let Effect::Job(expected) = &about.call.effect else { continue };
            if expected.model.is_some() && self.book.was_accepted(id) {
                match record.model == expected.model {
                    true => self.book.models.same += 1,
                    false => self.book.models.other += 1,
                }
            }
            let id = id.clone();
            self.book.note_record(&id, Some(record));
        }
    }

    /// Gives every job that nobody knows anything of its place, as far as its record tells.
    pub(crate) fn place_all(&mut self) {
        if self.has(Bug::NothingPlaced) || self.paused || self.unchecked {
            return;
        }
        let patience = self.now - self.times.least();
        let lately = self.book.listed.partition_point(|job| job.first_seen < self.now - MEMORY);
        let unplaced: Vec<usize> = (lately..self.book.listed.len())
            .filter(|at| {
                let job = &self.book.listed[*at];
                !job.history && !job.gap && self.book.is_nobodys(job)
            })
            .collect();
        for at in unplaced {
            let ended = |job: &Listed| job.record.as_ref().is_some_and(|record| record.ended);
            if !ended(&self.book.listed[at]) {
                self.truth.requests += 1;
                let id = self.book.listed[at].id.clone();
                let record = self.vendor.record(&id, self.now);
                self.book.note_record(&id, record);
            }
            let place = self.place_of(at);
            let job = &self.book.listed[at];
            // Running without media it may still turn out to be something else.
            let early = matches!(place, Place::Duplicate(_) | Place::Entry(_))
                && !ended(job)
                && job.first_seen > patience;
            if !early {
                self.placed(at, place);
            }
        }
    }

    fn placed(&mut self, at: usize, place: Place) {
        let job = &mut self.book.listed[at];
        job.place = Some(place.clone());
        let id = job.id.clone();
        match place {
            Place::Foreign => {
                self.is_a_strangers(at);
                self.tell(|| format!("{id} is foreign"));
            }
            Place::Duplicate(intent) => {
                self.shows_its_model(at);
                let call = intent as usize - 1;
                // A job of a call that had been found absent: the vendor carried it out late.
                let absent = matches!(self.book.calls[call].outcome, Outcome::Absent { .. });
                if absent && !self.has(Bug::LateEffectsForgotten) {
                    self.book.lag.late_effect.get_or_insert_with(|| id.clone());
                }
                let number = self.book.calls[call].number;
                self.tell(|| format!("{id} may be a duplicate of call {number}"));
            }
            _ => {}
        }
    }

    fn is_a_strangers(&mut self, at: usize) {
        self.book.listed[at].place = Some(Place::Foreign);
        self.book.exclusive = false;
        self.shows_its_model(at);
    }

    /// What is not surely ours says which models others may use.
    fn shows_its_model(&mut self, at: usize) {
        let job = &self.book.listed[at];
        if let Some(model) = job.record.as_ref().and_then(|record| record.model.clone()) {
            self.book.models.strangers.insert(model);
        }
    }

    fn place_of(&self, at: usize) -> Place {
        let job = &self.book.listed[at];
        let candidate = self.book.candidate(job, false);
        let (clocks, models) = (self.clocks(), self.model_ids());
        let accepted = self.book.accepted_lately(self.now);
        let ground = Ground { accepted, clocks: &clocks, models: &models };
        let mut without = Vec::new();
        let mut bought = Vec::new();
        for at in self.calls_lately() {
            let about = &self.book.calls[at];
            if let Some(standing) = self.book.standing(at) {
                without.push(Other { call: about.call.clone(), standing });
            } else if let Some(id) = &about.remote {
                let created_at = self.book.listed(id).and_then(|job| job.created_at);
                bought.push(Bought { call: about.call.clone(), created_at, ruled_out: Vec::new() });
            }
        }
        if self.has(Bug::DuplicatesAreForeign) {
            without.clear();
            bought.clear();
        }
        let taken = self.book.taken();
        let makers = Makers { without: &without, taken: &taken, bought: &bought, trainings: &[] };
        placing::place(&candidate, job.record.is_some(), &makers, &ground, self.now)
    }

    /// Whether this job of that call was made long after it.
    pub(crate) fn learn_late_effect(&mut self, at: usize, id: &str) {
        if self.has(Bug::LateEffectsForgotten) {
            return;
        }
        let call = &self.book.calls[at].call;
        let created_at = self.book.listed(id).and_then(|job| job.created_at);
        let accepted = self.book.accepted_lately(self.now);
        let late = clocks::late_by(created_at, call.span, accepted, &self.clocks());
        if late.is_some_and(|late| late > judging::MINUTE) {
            self.book.lag.late_effect.get_or_insert_with(|| id.to_owned());
        }
    }

    /// At a start: whether the database was put back.
    pub(crate) fn check_going_back(&mut self) {
        self.unchecked = false;
        let (seq, Some(covered)) = self.known_at_start else { return };
        if self.has(Bug::GoingBackIgnored) {
            return;
        }
        let from = going_back::from(covered) + self.clocks().widening();
        let window = Window { start: from, end: Some(self.now + AHEAD) };
        // Until a whole list has been read nothing is sent.
        if self.read_list(&window).is_none() {
            self.unchecked = true;
            return self.at(self.now + self.times.relist, Event::Check { boot: self.boot });
        }
        let new: Vec<String> = self.book.listed[seq as usize..]
            .iter()
            .filter(|job| self.book.is_nobodys(job))
            .filter(|job| job.created_at.is_none_or(|at| at >= from))
            .map(|job| job.id.clone())
            .collect();
        let found = Found {
            calls: self.calls_that_explain(covered),
            new: new.clone(),
            exclusive: self.book.exclusive,
            ..Found::default()
        };
        if let Some(surplus) = going_back::unexplained(&found) {
            self.tell(|| format!("{surplus} jobs are unexplained: nothing is sent"));
            self.paused = true;
            self.mark_gap(&new);
            self.truth.alarms += 1;
            let after = self.dice.between((HOUR, 8 * HOUR), About::PutBack, (self.boot.into(), 3));
            self.at(self.now + after, Event::Release { boot: self.boot });
        }
    }

    /// How long before everything was listed each call without a job went out, but for those whose
    /// duplicate has come to light.
    fn calls_that_explain(&self, covered: Millis) -> Vec<Millis> {
        let taken = self.book.taken();
        let unknown = |intent| taken.iter().all(|taken| taken.intent != intent);
        let since = going_back::calls_since(covered);
        let explains = |at: &usize| {
            let call = &self.book.calls[*at].call;
            let open = self.book.standing(*at) == Some(Standing::Open);
            let young = open || call.span.opened_at > since;
            self.book.standing(*at).is_some() && young && unknown(call.intent)
        };
        let age = |at: usize| (covered - self.book.calls[at].call.span.opened_at).max(0);
        self.calls_lately().filter(explains).map(age).collect()
    }

    fn mark_gap(&mut self, ids: &[String]) {
        for id in ids {
            if let Some(at) = self.book.place_in_list(id) {
                self.book.listed[at].gap = true;
            }
        }
    }

    /// A person has looked at what could not be explained, and lets spending go on: as ours that was
    /// put back, or, if none of it is, as a stranger's.
    pub(crate) fn release(&mut self) {
        if !self.paused {
            return;
        }
        self.paused = false;
        self.book.released_at = Some(self.now);
        let nobodys = |at: &usize| {
            let job = &self.book.listed[*at];
            !job.history && self.book.is_nobodys(job)
        };
        let all: Vec<usize> = (0..self.book.listed.len()).filter(nobodys).collect();
        let ours = |at: &usize| {
            let maker = self.vendor.job(&self.book.listed[*at].id).map(|job| job.maker);
            maker.is_some_and(|maker| maker != Maker::Stranger)
        };
        let shared = !all.iter().any(ours);
        for at in all {
            match shared {
                true if self.book.listed[at].gap => self.is_a_strangers(at),
                true => {}
                false => self.book.listed[at].gap = true,
            }
        }
        self.tell(|| "spending is released".to_owned());
        self.turn_soon();
    }

    /// For a day after a release an order that a job of the gap fits is a person's.
    pub(crate) fn holds_back(&mut self, row: usize) -> bool {
        let Some(released) = self.book.released_at else { return false };
        if self.now - released > DAY || self.book.rows[row].cleared {
            return false;
        }
        let gap = |job: &&Listed| job.gap && self.book.is_nobodys(job);
        let ids: Vec<String> =
            self.book.listed.iter().filter(gap).map(|job| job.id.clone()).collect();
        for id in &ids {
            let record = self.vendor.record(id, self.now);
            self.book.note_record(id, record);
        }
        let jobs: Vec<Candidate> = ids
            .iter()
            .filter_map(|id| self.book.listed(id))
            .map(|job| self.book.candidate(job, false))
            .collect();
        let (clocks, models) = (Clocks::default(), self.model_ids());
        // Times cannot tell: the call that made them went out from another copy.
        let ground = Ground { accepted: &[], clocks: &clocks, models: &models };
        let order =
            Order { subject: row.to_string(), call: self.call_for(row), settled: Vec::new() };
        !going_back::plan(&[order], &jobs, &ground).park.is_empty()
    }
}
