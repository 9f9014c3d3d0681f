//! What must be true, told from the truth that only the simulation knows.

use super::db::SENDING;
use super::plan::{MINUTE, Regime, SECOND};
use super::world::World;
use crate::domain::event::Event;
use crate::domain::ids::Millis;
use crate::domain::work::State;

/// A rule of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Check {
    /// The vendor did once what was ordered once.
    BoughtTwice,
    /// A row holds what its own call made, or an identical one's.
    WrongAdoption,
    /// On an account that is known to be shared only a person adopts.
    AdoptedShared,
    /// Everything ends or asks a person, and success has its effect.
    Lost,
    /// Every effect is claimed, held by a parked call or reported.
    Hidden,
    /// Both sides of the book agree.
    Book,
    /// Absence needs the settle time of healthy looking and two complete lists.
    EarlyAbsence,
    /// Neither a crash loop nor a long death makes the settle time start anew.
    NeverEnds,
    /// Whatever lives has something that wakes it.
    NoWake,
    /// One paid call is open at a time.
    TwoOpen,
    /// A call goes out under its intent.
    NoIntent,
    /// What the list shows is not sent again.
    SentThoughListed,
}

/// How much a run has covered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) faults: u32,
    pub(super) crashes: u32,
    pub(super) calls: u32,
    pub(super) doubts: u32,
    pub(super) found: u32,
    pub(super) absent: u32,
    pub(super) parked: u32,
    pub(super) succeeded: u32,
    pub(super) twice: u32,
}

impl Seen {
    pub(super) fn add(&mut self, more: &Self) {
        self.faults |= more.faults;
        self.crashes += more.crashes;
        self.calls += more.calls;
        self.doubts += more.doubts;
        self.found += more.found;
        self.absent += more.absent;
        self.parked += more.parked;
        self.succeeded += more.succeeded;
        self.twice += more.twice;
    }
}

/// When a list was asked for, in truth, and how often our clock had been set by then.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Listed {
    pub(super) at: Millis,
    pub(super) jumps: u32,
}

/// The looks at one call, in true time.
#[derive(Clone, Debug, Default)]
struct Looks {
    sent: Millis,
    sent_jumps: u32,
    /// The last complete look, for the most and for the least that may count.
    last: (Millis, Millis),
    jumps: u32,
    boot: i64,
    failed: bool,
    most: Millis,
    least: Millis,
    /// Complete looks that found nothing: how many, and the first.
    empty: u32,
    first_empty: Option<Millis>,
    /// Looks after a jump: each may count a little more.
    odd: i64,
    /// The look that is about to be stored.
    half: bool,
    listed: Listed,
    finds_nothing: bool,
}

/// The book-keeping of the checks.
#[derive(Debug)]
pub(super) struct Checker {
    pub(super) broken: Vec<(Check, String)>,
    /// How often a person ordered each row once more.
    pub(super) ordered: Vec<usize>,
    /// How often our clock was set.
    pub(super) jumps: u32,
    pub(super) seen: Seen,
    /// When the last listed jobs were looked at one by one.
    pub(super) evidence_at: Millis,
    /// A complete list has shown somebody else's job while nothing of ours was open.
    known_shared: bool,
    looks: Vec<Looks>,
}

impl Checker {
    pub(super) fn new(rows: usize) -> Self {
        Self {
            broken: Vec::new(),
            ordered: vec![0; rows],
            jumps: 0,
            seen: Seen::default(),
            evidence_at: 0,
            known_shared: false,
            looks: Vec::new(),
        }
    }

    /// Keeps the first case of each rule.
    pub(super) fn note(&mut self, check: Check, what: String) {
        if self.broken.iter().all(|(known, _)| *known != check) {
            self.broken.push((check, what));
        }
    }

    fn of(&mut self, seq: i64) -> &mut Looks {
        &mut self.looks[seq as usize - 1]
    }

    pub(super) fn looking(&mut self, seq: i64, half: bool, empty: bool, listed: Listed) {
        let looks = self.of(seq);
        (looks.half, looks.finds_nothing, looks.listed) = (half, empty, listed);
    }
}

impl World {
    /// An intent is stored.
    pub(super) fn call_begins(&mut self, seq: i64) {
        let (sent, sent_jumps) = (self.vendor.now, self.checks.jumps);
        self.checks.looks.resize(seq as usize, Looks::default());
        *self.checks.of(seq) = Looks { sent, sent_jumps, ..Looks::default() };
        let row = self.db.intent(seq).row;
        let shown = self.vendor.jobs.iter().find(|job| {
            job.row == Some(row)
                && !job.is_entry
                && self.db.is_reported(&job.remote)
                && self.db.holder(&job.remote).is_none()
        });
        if let Some(job) = shown.filter(|_| self.checks.ordered[row] == 0) {
            let what = format!("row {row} is sent though {} has come to light", job.remote);
            self.broke(Check::SentThoughListed, what);
        }
        if self.db.open_intents().count() > 1 {
            self.broke(Check::TwoOpen, "two paid calls are open".to_owned());
        }
    }

    /// A call goes out. `began`: where the vendor's list stood when the row's turn came.
    pub(super) fn check_call(&mut self, row: usize, began: Millis) {
        self.checks.seen.calls += 1;
        if self.open_intent(row).is_none() {
            self.broke(Check::NoIntent, format!("row {row} is sent without an intent"));
        }
        let kept = self.vendor.now - self.vendor.keeps;
        let listed = self.vendor.jobs.iter().find(|job| {
            job.row == Some(row)
                && !job.is_entry
                && job.listed_from <= began
                && job.created_at >= kept + MINUTE
                && self.db.holder(&job.remote).is_none()
        });
        if let Some(job) = listed {
            let what = format!("row {row} is sent though the list shows its job {}", job.remote);
            self.broke(Check::SentThoughListed, what);
        }
    }

    pub(super) fn doubt_begins(&mut self, row: usize) {
        let Some(seq) = self.open_intent(row).map(|intent| intent.seq) else { return };
        self.checks.seen.doubts += 1;
        let (now, jumps) = (self.vendor.now, self.checks.jumps);
        let looks = self.checks.of(seq);
        let at_latest = looks.sent + SENDING;
        let begins = if looks.sent_jumps == jumps { now.min(at_latest) } else { at_latest };
        (looks.last, looks.jumps) = ((looks.sent, begins), looks.sent_jumps);
    }

    /// A look is about to be stored: what it counts, and whether it leaves the call in doubt; none:
    /// it failed.
    pub(super) fn looked(&mut self, seq: i64, complete: Option<(Millis, bool)>) {
        let boot = self.db.boots;
        let settle = self.settle_time();
        let looks = self.checks.of(seq);
        let Some((healthy, undecided)) = complete.filter(|_| !looks.half) else {
            looks.failed = true;
            return;
        };
        let Listed { at: now, jumps } = looks.listed;
        if !looks.failed {
            let gap = (now - looks.last.0, (now - looks.last.1).max(0));
            looks.most += gap.0;
            looks.odd += i64::from(looks.jumps != jumps);
            if looks.jumps == jumps {
                looks.least += if looks.boot == boot { gap.1.min(10 * MINUTE) } else { gap.1 };
            }
        }
        (looks.last, looks.jumps, looks.boot) = ((now, now), jumps, boot);
        looks.failed = false;
        if looks.finds_nothing {
            looks.empty += 1;
            looks.first_empty = looks.first_empty.or(Some(now));
        }
        let rounding = 2 * SECOND;
        let (most, least) = (looks.most + rounding + looks.odd * 2 * SECOND, looks.least);
        let (empty, nothing) = (looks.empty, looks.finds_nothing);
        if healthy > most {
            let what = format!("call {seq}: {healthy} ms count, of {most} at most");
            self.broke(Check::EarlyAbsence, what);
        }
        if undecided && nothing && empty > 3 && least >= settle + rounding {
            let what = format!("call {seq}: in doubt after {least} ms of healthy looking");
            self.broke(Check::NeverEnds, what);
        }
    }

    /// What is about to be stored as listed.
    pub(super) fn before_listing(&mut self, jobs: &[(String, Option<Millis>)]) {
        let ours = |ledger: &str| matches!(ledger, "open" | "absent" | "parked");
        let quiet = !self.db.intents.is_empty()
            && !self.db.intents.iter().any(|intent| ours(intent.ledger))
            && !self.db.rows.iter().any(|row| row.is_training() && row.work.accepted_at.is_some());
        let foreign = jobs.iter().any(|(remote, _)| {
            self.vendor.job(remote).is_some_and(|job| job.row.is_none())
                && self.db.listed.iter().all(|known| known.remote != *remote)
        });
        self.checks.known_shared |= quiet && foreign;
    }

    /// An event has been stored.
    pub(super) fn check_event(&mut self, row: usize, event: &Event) {
        match event {
            Event::Found { remote_id, .. } => {
                self.checks.seen.found += 1;
                if !self.db.rows[row].is_training() {
                    self.check_adoption(row, remote_id);
                }
            }
            Event::Absent { .. } => {
                self.checks.seen.absent += 1;
                self.check_absence(row);
            }
            Event::NeedsPerson { .. } => self.checks.seen.parked += 1,
            _ => {}
        }
    }

    fn check_adoption(&mut self, row: usize, remote: &str) {
        if self.checks.known_shared || self.plan.regime == Regime::Shared {
            let what = format!("row {row} adopts {remote} on an account known to be shared");
            self.broke(Check::AdoptedShared, what);
        }
        if let Some(why) = self.conflicts(row, remote) {
            self.broke(Check::WrongAdoption, format!("row {row} adopts {remote}, which {why}"));
        }
        let hash = self.db.rows[row].hash;
        let right = self.vendor.job(remote).is_some_and(|job| job.hash == hash && !job.is_entry);
        if !right && self.plan.regime.is_exclusive() {
            let what = format!("row {row} adopts {remote}, which no such call made");
            self.broke(Check::WrongAdoption, what);
        }
    }

    fn check_absence(&mut self, row: usize) {
        let settle = self.settle_time();
        let absent = self.db.intents.iter().rev().find(|intent| intent.row == row);
        let Some(seq) = absent.map(|intent| intent.seq) else { return };
        let relist = self.plan.relist;
        let looks = self.checks.of(seq).clone();
        let most = looks.most + (2 + 2 * looks.odd) * SECOND;
        let apart =
            looks.first_empty.is_some_and(|first| looks.last.0 - first >= relist - 2 * SECOND);
        let shown = self.vendor.jobs.iter().any(|job| {
            let free = self
                .db
                .listed
                .iter()
                .any(|known| known.remote == job.remote && known.reserved_by.is_none());
            job.row == Some(row) && !job.is_entry && free && self.db.holder(&job.remote).is_none()
        });
        let told = match () {
            () if shown => "though the list has shown its job",
            () if looks.half => "on half a list",
            () if looks.empty < 2 => "after a single look",
            () if !apart => "after two looks at once",
            () if most < settle => "before the settle time",
            () => return,
        };
        self.broke(Check::EarlyAbsence, format!("row {row} is absent {told}: {looks:?}"));
    }

    pub(super) fn check_step(&mut self) {
        let open = self.db.rows.iter().filter(|row| row.work.state.intent().is_some()).count();
        if open != self.db.open_intents().count() {
            self.broke(
                Check::Book,
                format!("{open} calls are open in the rows, not in the intents"),
            );
        }
        let count = |word: &str| self.db.intents.iter().filter(|i| i.ledger == word).count();
        let words = ["accepted", "refused", "not_sent", "absent", "parked", "open"];
        let all: usize = words.iter().map(|word| count(word)).sum();
        let (sent, accepted) = (self.db.sent, self.db.accepted);
        if all != sent || count("accepted") != accepted {
            let what =
                format!("{sent} calls, {accepted} accepted by the events; the ledger: {all}");
            self.broke(Check::Book, what);
        }
    }

    pub(super) fn check_end(&mut self) {
        self.check_step();
        for row in 0..self.db.rows.len() {
            self.check_bought(row);
            self.check_success(row);
        }
        for at in 0..self.vendor.jobs.len() {
            self.check_shown(at);
        }
        for (model, row, _) in self.vendor.trained.clone() {
            let known = self.db.work(row).remote_id.is_some();
            if !known && !self.is_held(row) {
                self.broke(Check::Hidden, format!("nobody knows that model {model} was trained"));
            }
        }
    }

    fn check_bought(&mut self, row: usize) {
        let (effects, ordered) = (self.vendor.effects_of(row), 1 + self.checks.ordered[row]);
        if effects <= ordered {
            return;
        }
        self.checks.seen.twice += 1;
        if self.plan.regime.is_prompt() {
            let what = format!("row {row}: {effects} effects for {ordered} orders");
            self.broke(Check::BoughtTwice, what);
        }
    }

    fn check_success(&mut self, row: usize) {
        let work = self.db.work(row).clone();
        let Some(remote) = work.remote_id.clone() else {
            if matches!(work.state, State::Succeeded { .. }) {
                self.broke(Check::Lost, format!("row {row} has succeeded with nothing"));
            }
            return;
        };
        self.checks.seen.succeeded += u32::from(matches!(work.state, State::Succeeded { .. }));
        if self.db.rows[row].is_training() {
            if self.vendor.trained.iter().all(|(_, of, _)| *of != row) {
                self.broke(Check::Lost, format!("row {row} was never trained"));
            }
            return;
        }
        if self.vendor.job(&remote).is_none() {
            self.broke(Check::Lost, format!("row {row} has {remote}, which is not there"));
        }
        if self.db.holder(&remote) != Some(row) {
            self.broke(Check::WrongAdoption, format!("two rows hold {remote}"));
        }
    }

    /// What a call of ours made is claimed, held or reported.
    fn check_shown(&mut self, at: usize) {
        let job = self.vendor.jobs[at].clone();
        let Some(row) = job.row.filter(|_| !job.is_entry) else { return };
        let listed = self.db.listed.iter().find(|known| known.remote == job.remote);
        // A stranger's job adopted unknowingly leaves ours to be taken for anything; it is shown.
        let exclusive = self.plan.regime.is_exclusive();
        let shown = |entry: Option<usize>| entry.is_none() || !exclusive;
        let reported = listed.is_some_and(|known| !known.history && shown(known.training));
        // What the vendor itself has dropped from its list nobody can show.
        let dropped = job.created_at < self.vendor.now - self.vendor.keeps;
        let known = self.db.holder(&job.remote).is_some() || self.is_held(row);
        if !known && !reported && !dropped {
            self.broke(Check::Hidden, format!("nobody is told of {} of row {row}", job.remote));
        }
    }

    /// Whether the row's last call is held for a person.
    fn is_held(&self, row: usize) -> bool {
        let newest = self.db.intents.iter().rev().find(|intent| intent.row == row);
        newest.is_some_and(|intent| intent.ledger == "parked")
    }
}
