//! One schedule: the world it happens in, and the scheduler that decides what happens next.

use super::bugs::Bug;
use super::check::{Check, Checker};
use super::daemon::{Daemon, Task};
use super::db::{Db, Row, row_id};
use super::plan::{Fault, HOUR, Limits, MINUTE, Plan, Regime, SECOND};
use super::vendor::{JobToBe, Vendor};
use crate::domain::event::Event;
use crate::domain::ids::Millis;
use crate::domain::reconcile::lag::Lag;
use crate::domain::reconcile::{Effect, Media};
use crate::domain::schedule::Timing;
use crate::domain::work::{Kind, State, Work};

/// When every schedule begins, by the vendor's clock.
const START: Millis = 1_700_000_000_000;
/// Steps after the storm within which everything must have come to its end.
const PATIENCE: u32 = 4_000;

/// The world of one schedule.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) vendor: Vendor,
    pub(super) db: Db,
    /// None: dead.
    pub(super) daemon: Option<Daemon>,
    /// Our wall clock minus true time.
    pub(super) clock_off: Millis,
    pub(super) boot_at: Millis,
    pub(super) checks: Checker,
    pub(super) step: u32,
    trace: Option<Vec<String>>,
}

/// What became of a schedule.
pub(super) struct Outcome {
    pub(super) regime: Regime,
    pub(super) broken: Vec<(Check, String)>,
    pub(super) trace: Vec<String>,
    pub(super) stormy_steps: u32,
    pub(super) seen: super::check::Seen,
}

/// Runs one schedule from its beginning to its end.
pub(super) fn run(seed: u64, bug: Option<Bug>, limits: Limits, traced: bool) -> Outcome {
    let mut world = World::new(Plan::new(seed, bug, limits), traced);
    while world.plan.is_stormy(world.step) {
        world.one_step();
    }
    let stormy_steps = world.step;
    world.calm_down();
    Outcome {
        regime: world.plan.regime,
        stormy_steps,
        broken: world.checks.broken,
        trace: world.trace.unwrap_or_default(),
        seen: world.checks.seen,
    }
}

impl World {
    fn new(plan: Plan, traced: bool) -> Self {
        let clock_off = plan.clock_wrong_by;
        let rows = plan.orders.iter().enumerate().map(|(at, order)| {
            let kind = match order.effect {
                Effect::Training => Kind::Training,
                Effect::Job(_) => Kind::Job,
            };
            let due = START + clock_off + order.after;
            Row {
                work: Work::new(row_id(at), kind, State::Queued { due }),
                hash: order.hash,
                effect: order.effect.clone(),
                model: order.model,
                outputs: Vec::new(),
            }
        });
        let db = Db {
            rows: rows.collect(),
            intents: Vec::new(),
            listed: Vec::new(),
            lag: Lag { samples: plan.measured.0, largest: plan.measured.1, skew: 0 },
            shared: plan.regime == Regime::Shared,
            last: None,
            covered: None,
            boots: 0,
            sent: 0,
            accepted: 0,
            newest_event_at: START + clock_off,
            timing: Timing { relist: plan.relist, ..Timing::default() },
            bug: plan.bug,
        };
        let vendor = Vendor {
            now: START - 10 * MINUTE,
            lists_trainings: plan.lists_trainings,
            trains_once: plan.trains_once,
            keeps: plan.keeps,
            ..Vendor::default()
        };
        let checks = Checker::new(db.rows.len());
        let trace = traced.then(Vec::new);
        let mut world = Self {
            plan,
            vendor,
            db,
            daemon: None,
            clock_off,
            boot_at: START,
            checks,
            step: 0,
            trace,
        };
        // Two jobs from before our time: history.
        for _ in 0..2 {
            let job = world.a_job_of_somebody();
            world.vendor.make(None, &JobToBe { lag: 0, ..job }, false);
        }
        world.vendor.advance(START, false);
        world.say(|w| format!("{:?}: {:?}", w.plan.regime, w.plan.orders));
        world
    }

    /// Our wall clock.
    pub(super) fn now(&self) -> Millis {
        self.vendor.now + self.clock_off
    }

    /// Adds a line to the trace, if there is one.
    pub(super) fn say(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.trace.is_none() {
            return;
        }
        let since = (self.vendor.now - START) as f64 / 1000.0;
        let text = format!("{:>4} {since:>10.1}s  {}", self.step, line(self));
        if let Some(trace) = &mut self.trace {
            trace.push(text);
        }
    }

    /// Notes a broken rule.
    pub(super) fn broke(&mut self, check: Check, what: String) {
        self.say(|_| format!("BROKEN {check:?}: {what}"));
        self.checks.note(check, what);
    }

    pub(super) fn strikes(&mut self, fault: Fault) -> bool {
        let struck = self.plan.strikes(fault, self.step);
        if struck {
            self.checks.seen.faults |= 1 << fault as u32;
        }
        struck
    }

    fn one_step(&mut self) {
        self.step += 1;
        self.trouble();
        if self.daemon.is_none() {
            self.vendor.advance(self.boot_at, false);
            self.boot();
            return;
        }
        self.round();
        self.run_a_task();
        self.check_step();
    }

    /// What happens to the daemon or around it, unasked.
    fn trouble(&mut self) {
        if self.daemon.is_some() && self.strikes(Fault::Crash) {
            self.crash();
        }
        if self.strikes(Fault::ClockBack) {
            self.jump(-1);
        }
        if self.strikes(Fault::ClockAhead) {
            self.jump(1);
        }
        // A laptop is closed: whatever was under way goes on hours later.
        if self.daemon.is_some() && self.strikes(Fault::Sleep) {
            let asleep = self.plan.order.between(MINUTE, 3 * HOUR);
            self.vendor.advance(self.vendor.now + asleep, false);
            self.say(|_| format!("the machine slept for {} s", asleep / SECOND));
        }
        if self.plan.outages > 0 && self.daemon.is_some() && self.strikes(Fault::Outage) {
            self.plan.outages -= 1;
            let lasts = self.plan.order.between(20 * SECOND, 40 * MINUTE);
            self.vendor.down_until = self.vendor.now + lasts;
            self.say(|_| format!("the vendor is down for {} s", lasts / SECOND));
        }
        if self.strikes(Fault::Foreign) {
            let job = self.a_job_of_somebody();
            let remote = self.vendor.make(None, &job, false);
            self.say(|w| format!("somebody else makes {:?}", w.vendor.job(&remote)));
        }
        if self.strikes(Fault::Cancel) {
            let row = self.plan.order.index(self.db.rows.len());
            let done = self.command(row, Event::CancelRequested);
            self.say(|_| format!("row {row}: cancel: {done}"));
        }
        if self.strikes(Fault::Person) {
            self.a_person_decides();
        }
    }

    fn crash(&mut self) {
        let down = match self.strikes(Fault::LongDeath) {
            true => self.plan.order.between(HOUR, 40 * HOUR),
            false if self.plan.order.one_in(2) => self.plan.order.between(1, 3 * SECOND),
            false => self.plan.order.between(SECOND, 10 * MINUTE),
        };
        self.daemon = None;
        self.checks.seen.crashes += 1;
        self.boot_at = self.vendor.now + down;
        self.say(|_| format!("the daemon dies for {} ms", down));
    }

    fn jump(&mut self, sign: i64) {
        let far = match self.plan.order.index(3) {
            0 => self.plan.order.between(SECOND, 30 * SECOND),
            1 => self.plan.order.between(MINUTE, HOUR),
            _ => self.plan.order.between(HOUR, 400 * 24 * HOUR),
        };
        self.clock_off += sign * far;
        self.checks.jumps += 1;
        self.say(|_| format!("our clock is set by {} s", sign * far / SECOND));
    }

    fn a_job_of_somebody(&mut self) -> JobToBe {
        let order = &mut self.plan.order;
        let hash = order.between(0, 4) as u8;
        JobToBe {
            hash: 100 + hash,
            trains: None,
            model: [Some("m0"), Some("m1"), Some("theirs"), None][hash as usize].map(str::to_owned),
            media: if order.one_in(2) { Media::Videos } else { Media::Images },
            outputs: order.between(1, 4) as u32,
            lag: if order.one_in(3) { order.between(0, 60 * SECOND) } else { 0 },
            skew: 0,
            lasts: order.between(SECOND, MINUTE),
            fails: order.one_in(10),
            unreadable_for: 0,
        }
    }

    /// A command line: a transaction beside the daemon's.
    fn command(&mut self, row: usize, event: Event) -> bool {
        let now = self.now();
        self.db.apply(row, &event, &super::db::Facts::default(), now).is_ok()
    }

    /// A person who knows the truth settles a row that waits for one.
    fn a_person_decides(&mut self) {
        let waits = |w: &Self, row: usize| matches!(w.db.work(row).state, State::Attention { .. });
        let Some(row) = (0..self.db.rows.len()).find(|&row| waits(self, row)) else { return };
        let by = "a person".to_owned();
        if self.vendor.is_pending(row) || self.db.work(row).remote_id.is_some() {
            return;
        }
        let event = match self.what_is_there(row) {
            Some(remote_id) => Event::Adopt { remote_id, by },
            None if self.vendor.effects_of(row) > 0 => return,
            None if self.plan.order.one_in(4) => Event::Abandon { by },
            None => Event::Resubmit { by },
        };
        let resubmit = matches!(event, Event::Resubmit { .. });
        let done = self.command(row, event.clone());
        if done && resubmit {
            self.checks.ordered[row] += 1;
        }
        self.say(|_| format!("row {row}: a person decides: {event:?}: {done}"));
    }

    /// What the row's calls made and nobody claims, as a person would find it in the list.
    fn what_is_there(&self, row: usize) -> Option<String> {
        if self.db.rows[row].is_training() {
            let trained = self.vendor.trained.iter().any(|(_, of, _)| *of == row);
            return trained.then(|| super::vendor::model_id(self.db.rows[row].model));
        }
        let jobs = self.vendor.jobs.iter();
        let mut ours = jobs.filter(|job| job.row == Some(row)).map(|job| job.remote.clone());
        ours.find(|remote| self.db.is_reported(remote) && self.db.holder(remote).is_none())
    }

    /// Faults have stopped: everything must come to its end by itself.
    fn calm_down(&mut self) {
        self.say(|_| "calm".to_owned());
        self.vendor.down_until = self.vendor.down_until.min(self.vendor.now);
        let last = self.step + PATIENCE;
        while self.step < last && !self.is_over() {
            self.one_step();
        }
        if self.step >= last {
            let open: Vec<String> = (0..self.db.rows.len())
                .filter(|&row| !self.at_rest(row))
                .map(|row| format!("row {row} is {:?}", self.db.work(row).state))
                .collect();
            self.broke(Check::Lost, format!("it never comes to its end: {}", open.join(", ")));
        }
        // What the list still hides comes to light, and one last sweep sees it.
        let shown = self.vendor.jobs.iter().map(|job| job.listed_from).max().unwrap_or(0);
        let to = self.vendor.now + (shown - self.vendor.progress).max(0);
        self.vendor.advance(to + SECOND, true);
        self.sweep_at_the_end();
        self.check_end();
    }

    pub(super) fn at_rest(&self, row: usize) -> bool {
        let state = self.db.work(row).state;
        state.is_terminal() || matches!(state, State::Attention { .. })
    }

    fn is_over(&self) -> bool {
        let rows = 0..self.db.rows.len();
        rows.clone().all(|row| self.at_rest(row) && !self.vendor.is_pending(row))
            && self.daemon.as_ref().is_some_and(|daemon| daemon.tasks.is_empty())
    }

    fn run_a_task(&mut self) {
        if self.plan.order.one_in(4) {
            let to = self.vendor.now + self.plan.order.between(1, 2 * SECOND);
            self.vendor.advance(to, true);
        }
        let now = self.vendor.now;
        let Some(daemon) = &mut self.daemon else { return };
        let ready: Vec<usize> =
            (0..daemon.tasks.len()).filter(|&at| daemon.tasks[at].ready_at <= now).collect();
        if ready.is_empty() {
            let to = self.wakes_at();
            return self.vendor.advance(to, true);
        }
        let task: Task = daemon.tasks.swap_remove(ready[self.plan.order.index(ready.len())]);
        self.carry(task);
    }
}
