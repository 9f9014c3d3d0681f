//! What must be true, told from the truth that only the simulation knows. Nothing of the code under
//! test is asked here.

use crate::book::{Book, Outcome};
use crate::daemon::Sim;
use crate::excuses::Unknowable;
use crate::vendor::{Job, Maker, Request, Vendor};
use judging::placing::Place;
use judging::{HOUR, MINUTE, Millis, SECOND};
use std::collections::{BTreeMap, BTreeSet};

/// A promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Check {
    /// Nothing is sent again while the vendor has, or will have, what it made the first time.
    BoughtTwice,
    /// Nothing is sent while the list shows what this row has made already.
    SentThoughShown,
    /// A row gets what its own request made.
    WrongAdoption,
    /// What was bought twice all the same comes to light as a possible duplicate.
    Hidden,
    /// Whatever our calls made is a row's or has a place, and every call has one outcome.
    Book,
    /// Every doubt ends, or a person knows of it after six hours.
    NeverEnds,
    /// A person's answer moves the row.
    Stranded,
    /// Without a person's word nothing is sent more than twice.
    SentTooOften,
    /// A world asks no more often than it should.
    AskedTooOften,
    /// Orders wait no longer than they should.
    LaneTooSlow,
    /// Doubts settle no later than they should.
    SettledLate,
}

/// How one doubt went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) began: Millis,
    pub(crate) asked: bool,
    pub(crate) settled: Option<Millis>,
    pub(crate) requests: u64,
    /// The database was put back before it ended.
    void: bool,
}

/// The book-keeping of the oracle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truth {
    pub(crate) broken: Vec<(Check, String)>,
    pub(crate) unknowable: BTreeMap<Unknowable, u32>,
    pub(crate) lines: BTreeMap<u64, Line>,
    pub(crate) waits: Vec<Millis>,
    pub(crate) calls: u64,
    pub(crate) requests: u64,
    pub(crate) alarms: u32,
    pub(crate) held_back: u32,
    pub(crate) found: u32,
    pub(crate) absent: u32,
    pub(crate) sent_at: BTreeMap<u64, Millis>,
    /// How often each row was sent since a person last spoke of it.
    sends: BTreeMap<usize, u32>,
    /// The settle time in force when a call was found absent, and when that was.
    pub(crate) absences: BTreeMap<u64, (Millis, Millis)>,
    /// Rows that were bought twice for reasons that nobody can know.
    twice: BTreeSet<usize>,
    /// The sends as they were when the state was saved.
    saved: BTreeMap<usize, u32>,
    /// Calls that a database which was put back has forgotten.
    pub(crate) forgotten: BTreeSet<u64>,
}

impl Truth {
    pub(crate) fn broke(&mut self, check: Check, what: String) {
        self.broken.push((check, what));
    }

    fn excused(&mut self, why: Unknowable) {
        *self.unknowable.entry(why).or_default() += 1;
    }

    /// The state is saved that will be put back.
    pub(crate) fn saved(&mut self) {
        self.saved.clone_from(&self.sends);
    }

    /// The database is put back.
    pub(crate) fn restored(&mut self, book: &Book) {
        let known: BTreeSet<u64> = book.calls.iter().map(|call| call.number).collect();
        let sent = self.sent_at.keys().copied();
        self.forgotten = sent.filter(|call| !known.contains(call)).collect();
        for call in &self.forgotten {
            if let Some(line) = self.lines.get_mut(call) {
                line.void = true;
            }
        }
        self.sends.clone_from(&self.saved);
    }

    pub(crate) fn sent(&mut self, waited: Option<Millis>) {
        self.calls += 1;
        self.waits.extend(waited);
    }

    pub(crate) fn doubt_begins(&mut self, call: u64, now: Millis) {
        let line = Line { began: now, asked: false, settled: None, requests: 0, void: false };
        self.lines.insert(call, line);
    }

    pub(crate) fn person_spoke(&mut self, row: usize) {
        self.sends.remove(&row);
    }

    pub(crate) fn asked(&mut self, call: u64) {
        if let Some(line) = self.lines.get_mut(&call) {
            line.asked = true;
        }
    }

    pub(crate) fn looked(&mut self, call: u64, requests: u64) {
        if let Some(line) = self.lines.get_mut(&call) {
            line.requests += requests;
        }
    }

    pub(crate) fn settled(&mut self, call: u64, now: Millis) {
        self.found += 1;
        self.ends(call, now);
    }

    fn ends(&mut self, call: u64, now: Millis) {
        if let Some(line) = self.lines.get_mut(&call) {
            line.settled.get_or_insert(now);
        }
    }

    pub(crate) fn absent(&mut self, call: u64, (settle, now): (Millis, Millis)) {
        self.absent += 1;
        self.absences.insert(call, (settle, now));
        self.ends(call, now);
    }

    /// A row is about to be sent, `number` its next call.
    pub(crate) fn check_send(
        &mut self,
        vendor: &Vendor,
        book: &Book,
        (row, number, now): (usize, u64, Millis),
    ) {
        self.sent_at.insert(number, now);
        let sends = self.sends.entry(row).or_default();
        *sends += 1;
        if *sends > 2 {
            self.broke(Check::SentTooOften, format!("row {row} is sent a third time"));
        }
        let unclaimed = |job: &&Job| !book.claims.hold(&job.id);
        let ours = vendor.jobs.iter().filter(|job| job.is_of(row)).filter(unclaimed);
        for job in ours {
            let Maker::Ours { call, .. } = job.maker else { continue };
            let excuse = self.excuse(vendor, book, (job, call), now);
            let shown = vendor.would_list(job, now) && vendor.would_list(job, now - 10 * SECOND);
            if shown && excuse != Some(Unknowable::PutBackShared) {
                let what = format!("row {row} is sent again though the list shows {}", job.id);
                self.broke(Check::SentThoughShown, what);
            }
            if job.double {
                continue;
            }
            match excuse {
                Some(why) => {
                    self.excused(why);
                    // What the database has forgotten it cannot show as bought twice.
                    if !self.forgotten.contains(&call) {
                        self.twice.insert(row);
                    }
                }
                None => {
                    let what = format!("row {row} is sent again though {} is its job", job.id);
                    self.broke(Check::BoughtTwice, what);
                }
            }
        }
    }

    pub(crate) fn check_adoption(
        &mut self,
        vendor: &Vendor,
        book: &Book,
        (number, id): (u64, &str),
        Request { hash, model, .. }: &Request,
        (settle, now): (Millis, Millis),
    ) {
        if book.claims.hold(id) {
            self.broke(Check::WrongAdoption, format!("call {number} takes {id}, a row's"));
            return;
        }
        let Some(job) = vendor.job(id) else {
            self.broke(Check::WrongAdoption, format!("call {number} takes {id}, which is not"));
            return;
        };
        let excuse = match job.maker {
            Maker::Ours { .. } if job.request.hash == *hash => return,
            Maker::Ours { call, .. } => {
                let models = (&job.request.model, model);
                let another = matches!(models, (Some(theirs), Some(ours)) if theirs != ours);
                let another = another && !vendor.ways.other_ids;
                self.excuse_of_ours(job, (number, call), (settle, another))
            }
            Maker::Stranger => self.excuse_of_a_stranger(vendor, book, (job, number), now),
        };
        match excuse {
            Some(why) => self.excused(why),
            None => {
                let what = format!("call {number} takes {id}, which {:?} made", job.maker);
                self.broke(Check::WrongAdoption, what);
            }
        }
    }
}

impl Job {
    pub(crate) fn is_of(&self, row: usize) -> bool {
        matches!(self.maker, Maker::Ours { row: of, .. } if of == row)
    }
}

impl Sim {
    /// What must be true when all is over.
    pub(crate) fn check_end(&mut self) {
        let slack = 6 * HOUR + 20 * MINUTE + self.vendor.ways.away.max(self.vendor.ways.down);
        for (call, line) in self.truth.lines.clone() {
            let ended = line.settled.unwrap_or(self.now);
            if !line.asked && !line.void && ended - line.began > slack {
                let what = format!("call {call} is in doubt for hours, and nobody knows");
                self.truth.broke(Check::NeverEnds, what);
            }
        }
        self.check_places();
        self.check_outcomes();
    }

    /// Credits: what the vendor made for us is a row's, or is shown.
    fn check_places(&mut self) {
        for job in self.vendor.jobs.clone() {
            let Maker::Ours { row, .. } = job.maker else { continue };
            let Some(listed) = self.book.listed(&job.id) else { continue };
            let young = self.now - listed.first_seen < HOUR;
            // What a release has put aside is shown.
            let shown = listed.gap || listed.history;
            if self.book.claims.hold(&job.id) || shown || young {
                continue;
            }
            let what = format!("{} of row {row} is {:?}", job.id, listed.place);
            match listed.place {
                None | Some(Place::Unread) => self.truth.broke(Check::Book, what),
                // Twice bought is twice paid: a foreign job is nobody's loss.
                Some(Place::Foreign) if self.truth.twice.contains(&row) => {
                    self.truth.broke(Check::Hidden, what);
                }
                _ => {}
            }
        }
    }

    /// Calls: each row's claims and calls agree.
    fn check_outcomes(&mut self) {
        let mut held = BTreeSet::new();
        let mut broken = Vec::new();
        for call in &self.book.calls {
            let has = call.outcome == Outcome::Accepted;
            if has != call.remote.is_some() {
                broken.push(format!("call {} is {:?}", call.number, call.outcome));
            }
            if let Some(id) = &call.remote {
                if !held.insert(id) {
                    broken.push(format!("two calls hold {id}"));
                }
                if !self.book.claims.hold(id) {
                    broken.push(format!("no row claims {id}"));
                }
            }
            if call.outcome == Outcome::Out && self.up && self.lane.is_none() {
                broken.push(format!("call {} is out, and the lane is free", call.number));
            }
        }
        let forgotten = self.truth.forgotten.len();
        if self.truth.calls != (self.book.calls.len() + forgotten) as u64 {
            broken.push(format!("{} calls, {} noted", self.truth.calls, self.book.calls.len()));
        }
        broken.into_iter().for_each(|what| self.truth.broke(Check::Book, what));
    }
}
