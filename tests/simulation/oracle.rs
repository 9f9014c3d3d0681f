//! What must be true, told from the truth that only the simulation knows. Nothing of the code under
//! test is asked here.

use crate::book::{Book, Outcome};
use crate::daemon::Sim;
use crate::vendor::{Job, Maker, Request, Vendor};
use judging::placing::Place;
use judging::{HOUR, MINUTE, Millis, SECOND};
use std::collections::{BTreeMap, BTreeSet};

/// A call stays unfound for so long at least, by the rules (rule 5); what a planted bug makes of the
/// settle time excuses nothing.
const LEAST: Millis = 15 * MINUTE;

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

/// What no rule can know (rule 5); counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unknowable {
    /// The effect came later than the settle time in force.
    LateEffect,
    /// The list stood still for more than an hour.
    LongFreeze,
    /// The first job that the list lacks.
    FirstLack,
    /// The double of a call less than ten seconds before.
    QuickDouble,
    /// A double delivered minutes later, while another call is in doubt.
    LateDouble,
    /// The first stranger there ever was.
    FirstStranger,
    /// The first stranger who ever used this model of ours.
    FirstOfModel,
    /// A database put back on a shared account.
    PutBackShared,
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
    sent_at: BTreeMap<u64, Millis>,
    /// How often each row was sent since a person last spoke of it.
    sends: BTreeMap<usize, u32>,
    /// The settle time in force when a call was found absent, and when that was.
    absences: BTreeMap<u64, (Millis, Millis)>,
    /// Rows that were bought twice for reasons that nobody can know.
    twice: BTreeSet<usize>,
    restored: bool,
}

impl Truth {
    pub(crate) fn broke(&mut self, check: Check, what: String) {
        self.broken.push((check, what));
    }

    fn excused(&mut self, why: Unknowable) {
        *self.unknowable.entry(why).or_default() += 1;
    }

    pub(crate) fn restored(&mut self) {
        self.restored = true;
        for line in self.lines.values_mut().filter(|line| line.settled.is_none()) {
            line.void = true;
        }
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
        if *sends > 2 && !self.restored {
            self.broke(Check::SentTooOften, format!("row {row} is sent a third time"));
        }
        let unclaimed = |job: &&Job| !book.claims.hold(&job.id);
        let ours = vendor.jobs.iter().filter(|job| job.is_of(row)).filter(unclaimed);
        for job in ours.collect::<Vec<_>>() {
            let Maker::Ours { call, .. } = job.maker else { continue };
            // A double that comes late is foreign by the rules, and makes the account a shared one.
            let shared = !vendor.ways.strangers.is_empty()
                || vendor.ways.doubled > 0.0 && vendor.ways.double_late > 2 * MINUTE;
            if self.restored && shared {
                self.excused(Unknowable::PutBackShared);
                continue;
            }
            if job.made_at <= now - 10 * SECOND && vendor.would_list(job, now - 10 * SECOND) {
                let what = format!("row {row} is sent again though the list shows {}", job.id);
                self.broke(Check::SentThoughShown, what);
            }
            if job.double {
                continue;
            }
            match self.excuse(vendor, book, (job, call)) {
                Some(why) => {
                    self.excused(why);
                    self.twice.insert(row);
                }
                None => {
                    let what = format!("row {row} is sent again though {} is its job", job.id);
                    self.broke(Check::BoughtTwice, what);
                }
            }
        }
    }

    fn excuse(&self, vendor: &Vendor, book: &Book, (job, call): (&Job, u64)) -> Option<Unknowable> {
        // What the database has forgotten and no list shows any more, nobody can know.
        if self.restored && (job.listed_at.is_none() || vendor.ways.reaches.is_some()) {
            return Some(Unknowable::FirstLack);
        }
        let (settle, absent_at) = *self.absences.get(&call)?;
        let sent_at = *self.sent_at.get(&call)?;
        if job.made_at - sent_at > settle.max(self.least(vendor, book, job, absent_at)) {
            return Some(Unknowable::LateEffect);
        }
        let hidden = !vendor.would_list(job, absent_at);
        if hidden && job.listed_at.is_some() && vendor.longest_freeze() > HOUR {
            return Some(Unknowable::LongFreeze);
        }
        // A lost page on which nobody else's job was known to be is lost without a sign.
        let on_page = |job: &Job| vendor.is_on_the_lost_page(job, absent_at);
        if on_page(job) {
            let sign = vendor.jobs.iter().any(|other| {
                let shown = book.listed(&other.id).is_some_and(|seen| seen.first_seen < absent_at);
                on_page(other) && (shown || book.was_accepted(&other.id))
            });
            return (!sign).then_some(Unknowable::FirstLack);
        }
        // Had the list lacked another accepted job for more than an hour, and a sweep, by then?
        let warned = vendor.jobs.iter().any(|other| {
            let known = book.claims.hold(&other.id) || book.was_accepted(&other.id);
            other.listed_at.is_none() && known && other.made_at < absent_at - HOUR - 15 * MINUTE
        });
        (job.listed_at.is_none() && !warned).then_some(Unknowable::FirstLack)
    }

    /// Whether another call's job could not be told from this call's.
    fn excuse_of_ours(
        &self,
        job: &Job,
        (number, maker): (u64, u64),
        (settle, plainly_another): (Millis, bool),
    ) -> Option<Unknowable> {
        let sent = |call| self.sent_at.get(&call).copied().unwrap_or_default();
        let late = job.made_at - sent(maker);
        let quick = sent(number) - sent(maker) <= 15 * SECOND;
        let in_time = job.made_at >= sent(number) - 10 * SECOND;
        match job.double {
            // Another model of ours is another model, letter by letter.
            _ if plainly_another => None,
            true if quick => Some(Unknowable::QuickDouble),
            true if late > MINUTE && in_time => Some(Unknowable::LateDouble),
            false if late > settle.max(LEAST) && in_time => Some(Unknowable::LateEffect),
            _ => None,
        }
    }

    /// The least settle time: twice as long once an effect is known to have come late.
    fn least(&self, vendor: &Vendor, book: &Book, of: &Job, now: Millis) -> Millis {
        let late = vendor.jobs.iter().any(|job| {
            let Maker::Ours { call, .. } = job.maker else { return false };
            let sent = self.sent_at.get(&call).copied().unwrap_or(Millis::MAX);
            let settled = book.claims.hold(&job.id)
                && book.listed(&job.id).is_some_and(|seen| seen.first_seen < now - LEAST);
            job.id != of.id && !job.double && settled && job.made_at > sent + LEAST + MINUTE
        });
        if late { 2 * LEAST } else { LEAST }
    }

    pub(crate) fn check_adoption(
        &mut self,
        vendor: &Vendor,
        book: &Book,
        (number, id): (u64, &str),
        Request { hash, model, .. }: &Request,
        settle: Millis,
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
            Maker::Stranger => {
                // Each of these may have taken one stranger's job for its own duplicate (rule 8).
                let asked = self
                    .lines
                    .iter()
                    .filter(|(call, line)| line.asked || self.absences.contains_key(call));
                excuse_of_a_stranger(vendor, job, asked.count())
            }
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

/// Whether a stranger's job could not be told from ours.
fn excuse_of_a_stranger(vendor: &Vendor, job: &Job, explain: usize) -> Option<Unknowable> {
    let strangers = || vendor.jobs.iter().filter(|job| job.maker == Maker::Stranger);
    // What is made with one of ours may be no more than its double.
    let is_a_twin = |job: &Job| {
        vendor.jobs.iter().any(|ours| {
            ours.maker != Maker::Stranger
                && (ours.made_at - job.made_at).abs() <= 2 * MINUTE + 10 * SECOND
        })
    };
    let before = 0..job.made_at - HOUR;
    let earlier: Vec<&Job> =
        strangers().filter(|other| before.contains(&other.made_at) && !is_a_twin(other)).collect();
    let model = &job.request.model;
    match earlier.as_slice() {
        few if few.len() <= explain => Some(Unknowable::FirstStranger),
        // Rule 7 trusts a trained model of ours until a stranger's job has shown it.
        known if known.iter().all(|other| other.request.model != *model) => {
            model.as_ref().map(|_| Unknowable::FirstOfModel)
        }
        _ => None,
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
            if self.book.claims.hold(&job.id) || listed.history || young {
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
        if !self.truth.restored && self.truth.calls != self.book.calls.len() as u64 {
            broken.push(format!("{} calls, {} noted", self.truth.calls, self.book.calls.len()));
        }
        broken.into_iter().for_each(|what| self.truth.broke(Check::Book, what));
    }
}
