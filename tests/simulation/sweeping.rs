//! Sweeps over the whole list: parked calls are looked for, and every job that no row claims gets its
//! place.

use crate::book::{MEMORY, Outcome};
use crate::bugs::Bug;
use crate::daemon::{Event, Sim};
use crate::dice::About;
use crate::looking::Shown;
use crate::sending::AHEAD;
use judging::clocks;
use judging::fit::{self, Effect, Expected, Ground};
use judging::going_back::{self, Found};
use judging::placing::{self, Bought, Makers, Place};
use judging::verdict::Other;
use judging::witness::Window;
use judging::{DAY, HOUR, Millis};

impl Sim {
    pub(crate) fn sweep(&mut self) {
        let parked = self.parked();
        let mut start = self.now - DAY + self.clocks().widening();
        if let Some((at, _)) = self.book.last_list {
            start = start.min(at - HOUR);
        }
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
        self.carry_out(at, looked.verdict);
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

    /// Gives every job that no row claims its place.
    pub(crate) fn place_all(&mut self) {
        if self.has(Bug::NothingPlaced) {
            return;
        }
        let lately = self.book.listed.partition_point(|job| job.first_seen < self.now - MEMORY);
        let unplaced: Vec<usize> = (lately..self.book.listed.len())
            .filter(|at| {
                let job = &self.book.listed[*at];
                let placed = matches!(job.place, Some(Place::Duplicate(_) | Place::Foreign));
                !job.history && !placed && !self.book.claims.hold(&job.id)
            })
            .collect();
        for at in unplaced {
            let mut place = self.place_of(at);
            if place == Place::Unread {
                self.truth.requests += 1;
                let id = self.book.listed[at].id.clone();
                let record = self.vendor.record(&id, self.now);
                self.book.note_record(&id, record);
                place = self.place_of(at);
            }
            self.placed(at, place);
        }
    }

    fn placed(&mut self, at: usize, place: Place) {
        let job = &mut self.book.listed[at];
        job.place = Some(place.clone());
        let id = job.id.clone();
        match place {
            Place::Foreign => {
                self.book.exclusive = false;
                if let Some(model) = job.record.as_ref().and_then(|record| record.model.clone()) {
                    self.book.models.strangers.insert(model);
                }
                self.tell(|| format!("{id} is foreign"));
            }
            Place::Duplicate(intent) => {
                let call = intent as usize - 1;
                if matches!(self.book.calls[call].outcome, Outcome::Accepted) {
                    self.tell(|| format!("{id} may be a double"));
                } else {
                    self.tell(|| format!("{id} may be a duplicate"));
                    self.learn_late_effect(call, &id);
                }
            }
            _ => {}
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
            if let Some(standing) = about.outcome.standing() {
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
        let (seq, Some((last, _))) = self.known_at_start else { return };
        if self.has(Bug::GoingBackIgnored) {
            return;
        }
        // The list may be filtered by another clock than the one it shows: half a day and an hour.
        // And here a large offset is believed, unlike in a list that is to prove absence.
        let clocks = self.clocks();
        let offset = clocks.offset.map_or(clocks.widening(), |(least, _)| least.min(0));
        let start = last - 13 * HOUR + offset;
        let window = Window { start, end: Some(self.now + AHEAD) };
        // Until a whole list has been read nothing is sent.
        if self.read_list(&window).is_none() {
            self.unchecked = true;
            return self.at(self.now + self.times.relist, Event::Check { boot: self.boot });
        }
        let new: Vec<String> = self.book.unclaimed_since(seq).map(|job| job.id.clone()).collect();
        let age = |at: usize| self.now - self.book.calls[at].call.span.opened_at;
        let open = |at: &usize| self.book.calls[*at].outcome.standing().is_some();
        let found = Found {
            calls: self.calls_lately().filter(open).map(age).collect(),
            new: new.clone(),
            exclusive: self.book.exclusive,
            ..Found::default()
        };
        if let Some(surplus) = going_back::unexplained(&found) {
            self.tell(|| format!("{surplus} jobs are unexplained: nothing is sent"));
            (self.paused, self.put_back) = (true, new);
            self.truth.alarms += 1;
            let after = self.dice.between((HOUR, 8 * HOUR), About::PutBack, (self.boot.into(), 3));
            self.at(self.now + after, Event::Release { boot: self.boot });
        }
    }

    /// A person has looked at what could not be explained, and lets spending go on.
    pub(crate) fn release(&mut self) {
        if !self.paused {
            return;
        }
        self.paused = false;
        self.book.released_at = Some(self.now);
        let stranger = |id: &String| {
            self.vendor.job(id).is_some_and(|job| job.maker == crate::vendor::Maker::Stranger)
        };
        if self.put_back.iter().any(stranger) {
            self.book.exclusive = false;
        }
        self.tell(|| "spending is released".to_owned());
        self.turn_soon();
    }

    /// After a release an order that an unclaimed job fits is a person's.
    pub(crate) fn holds_back(&self, row: usize) -> bool {
        let Some(released) = self.book.released_at else { return false };
        let about = &self.book.rows[row];
        if self.now - released > DAY || about.cleared || about.last_call.is_some() {
            return false;
        }
        let request = &about.request;
        let effect = Effect::Job(Expected {
            model: request.model.clone(),
            media: request.media,
            count: Some(request.count),
        });
        let models = self.model_ids();
        let fits = |id: &Millis| {
            let job = &self.book.listed[*id as usize];
            fit::conflict(&effect, &self.book.candidate(job, false), &models).is_none()
        };
        let lately = self.book.listed.partition_point(|job| job.first_seen < self.now - 2 * DAY);
        (lately as Millis..self.book.newest_seen()).any(|at| {
            let job = &self.book.listed[at as usize];
            !job.history && !self.book.claims.hold(&job.id) && fits(&at)
        })
    }
}
