//! The daemon: boot, the loop, and its tasks, each cut into steps between which it may die.
//!
//! | here | in the daemon |
//! |---|---|
//! | [`World::boot`] | `app.rs`: `Recover`, `probe_key`; `engine/due.rs`: `Engine::run` |
//! | [`World::round`] | `engine/due.rs`: `Loop::round`, `start_looks`, `start_sends`, `start_paid` |
//! | [`World::carry`] | `engine/perform.rs`, one step at a time |
//! | `sending.rs`, `looking.rs` beside this | `engine/send.rs`; `engine/resolve.rs`, `resolve/paid.rs`, `sweep.rs` |
//!
//! Not modelled: pauses, limits on running rows, the breaker, models, uploads, changes, and files
//! (an output arrives by itself once it is due).

use super::check::Check;
use super::db::{Facts, Intent};
use super::looking::{Look, Page};
use super::plan::{Fault, HOUR, MINUTE, SECOND};
use super::world::World;
use crate::domain::event::Event;
use crate::domain::ids::Millis;
use crate::domain::schedule;
use crate::domain::work::State;
use std::collections::BTreeMap;

/// `CLOCK_SET` of `src/engine/due.rs`.
const CLOCK_SET: Millis = 5_000;
/// `[sweep] every`.
const SWEEP_EVERY: Millis = 10 * MINUTE;
/// `AFTER_ERROR` of `src/engine/due.rs`.
pub(super) const AFTER_ERROR: Millis = SECOND;

/// What the daemon holds in memory.
#[derive(Debug, Default)]
pub(super) struct Daemon {
    pub(super) boot: i64,
    /// The last `Date` and when it came, by a clock that nobody sets.
    pub(super) dated: Option<(Millis, Millis)>,
    pub(super) listed_at: Option<Millis>,
    /// The lock `Engine::listing`.
    pub(super) listing: bool,
    pub(super) tasks: Vec<Task>,
    /// How many listed jobs each row's last look before resending knew.
    pub(super) last_looks: BTreeMap<usize, usize>,
    watch: BTreeMap<usize, Millis>,
    clocks: (Millis, Millis),
    swept_at: Millis,
}

/// One task, about to take its next step.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) row: Option<usize>,
    pub(super) ready_at: Millis,
    /// Where the vendor's own time stood when it began.
    pub(super) began: Millis,
    pub(super) step: Step,
}

/// The next step of a task: all of it happens at once, up to the next wait.
#[derive(Debug)]
pub(super) enum Step {
    /// The ping at boot.
    Probe,
    /// The recurring sweep, or one that measures the list's lag.
    Sweep,
    Swept(Page),
    /// The beginning of `Engine::send`.
    Send,
    /// `training_obstacle`.
    Obstacle,
    /// `spending_obstacle`: a list that is fresh enough.
    Fresh,
    Listed(Page),
    /// `start`: the intent, then the call.
    Start,
    /// The intent is stored.
    Go,
    /// A call that went out before its intent (a planted bug).
    Late(usize, Option<Event>),
    /// The call is out; none: its reply is lost.
    Reply(usize, Option<Event>),
    /// `settle`.
    Settle(Event),
    /// A 409 on a training: what does its model say?
    Conflict(Event),
    /// `resolve`, or the look before resending.
    Look(Box<Look>),
    Poll,
    Fetch,
    /// An error: the row is left alone for a second.
    Rest,
}

impl World {
    pub(super) fn boot(&mut self) {
        self.db.boots += 1;
        let (now, boot) = (self.now(), self.db.boots);
        let went_back = self.db.newest_event_at > now + CLOCK_SET;
        let recovered = self.db.recover(now);
        for &row in &recovered {
            self.doubt_begins(row);
        }
        self.daemon = Some(Daemon {
            boot,
            clocks: (now, self.vendor.now),
            swept_at: now,
            ..Daemon::default()
        });
        self.start_watching(went_back);
        self.spawn(None, Step::Probe);
        self.say(|_| format!("boot {boot}; out: {recovered:?}; our clock went back: {went_back}"));
    }

    fn daemon_mut(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("a task of a dead daemon runs")
    }

    /// `Engine::vendor_now`.
    pub(super) fn vendor_now(&self) -> Millis {
        let dated = self.daemon.as_ref().and_then(|daemon| daemon.dated);
        dated.map_or(self.now(), |(date, at)| date + (self.vendor.now - at))
    }

    pub(super) fn is_dated(&self) -> bool {
        self.daemon.as_ref().is_some_and(|daemon| daemon.dated.is_some())
    }

    /// A reply came, whatever it says: it carries the vendor's clock.
    pub(super) fn note_date(&mut self) {
        let dated = Some((self.vendor.date(), self.vendor.now));
        self.daemon_mut().dated = dated;
    }

    /// A question to the vendor: whether it is answered.
    pub(super) fn answers(&mut self, fault: Fault) -> bool {
        if self.vendor.is_down() || self.strikes(fault) {
            return false;
        }
        self.note_date();
        true
    }

    pub(super) fn spawn(&mut self, row: Option<usize>, step: Step) {
        let now = self.vendor.now;
        let began = self.vendor.progress;
        self.daemon_mut().tasks.push(Task { row, ready_at: now, began, step });
    }

    /// The task goes on with `step` after a little while.
    pub(super) fn go_on(&mut self, task: &Task, step: Step) {
        let wait = match self.strikes(Fault::Dawdle) {
            true => self.plan.order.between(SECOND, 10 * SECOND),
            false => self.plan.order.between(0, 300),
        };
        self.go_on_at(task, step, self.vendor.now + wait);
    }

    pub(super) fn go_on_at(&mut self, task: &Task, step: Step, ready_at: Millis) {
        let (row, began) = (task.row, task.began);
        self.daemon_mut().tasks.push(Task { row, ready_at, began, step });
    }

    /// `Engine::apply_with`; a refusal is left to the caller.
    pub(super) fn apply(&mut self, row: usize, event: &Event, facts: &Facts) -> bool {
        let now = self.now();
        let before = self.db.work(row).state;
        let result = self.db.apply(row, event, facts, now);
        if result.is_ok() {
            self.check_event(row, event);
            let doubts = |state| matches!(state, State::InDoubt { .. });
            if doubts(self.db.work(row).state) && !doubts(before) {
                self.doubt_begins(row);
            }
        }
        self.say(|w| {
            let state = w.db.work(row).state;
            match result {
                Ok(()) => format!("row {row}: {}: {state:?}", brief(event)),
                Err(why) => format!("row {row}: {} is refused: {why:?}", brief(event)),
            }
        });
        result.is_ok()
    }

    fn start_watching(&mut self, went_back: bool) {
        let now = self.now();
        let latest = schedule::latest_due(now, went_back);
        self.db.clamp_due(latest, if went_back { now } else { latest });
        self.daemon_mut().watch.clear();
        for row in 0..self.db.rows.len() {
            self.schedule_look(row);
        }
    }

    fn schedule_look(&mut self, row: usize) {
        let (now, work) = (self.now(), self.db.work(row));
        let at = match work.state {
            State::Running { .. } => work.next_look(now, &self.db.timing),
            _ => None,
        };
        let watch = &mut self.daemon_mut().watch;
        match at {
            Some(at) => watch.insert(row, at),
            None => watch.remove(&row),
        };
    }

    /// Starts everything that is due.
    pub(super) fn round(&mut self) {
        let (now, steady) = (self.now(), self.vendor.now);
        let (wall, mono) = self.daemon_mut().clocks;
        let jump = (now - wall) - (steady - mono);
        if jump.abs() > CLOCK_SET {
            self.start_watching(jump < 0);
        }
        let daemon = self.daemon_mut();
        daemon.clocks = (now, steady);
        if now - daemon.swept_at >= SWEEP_EVERY || now < daemon.swept_at {
            daemon.swept_at = now;
            self.spawn(None, Step::Sweep);
        }
        for row in 0..self.db.rows.len() {
            if self.is_busy(row) {
                continue;
            }
            match self.db.work(row).state {
                // `find_orphans`: no task waits for the call any more.
                State::Submitting { .. } => {
                    let note = "the result of the call could not be stored".to_owned();
                    self.apply(row, &Event::OutcomeUnknown { note }, &Facts::default());
                }
                State::InDoubt { intent, due } if due <= now => {
                    let look = Look::resolve(self.db.intent(intent).clone());
                    self.spawn(Some(row), Step::Look(Box::new(look)));
                }
                State::Running { .. } => self.watch_row(row, now),
                State::Collecting { .. }
                    if self.db.rows[row].outputs.iter().any(|at| *at <= now) =>
                {
                    self.spawn(Some(row), Step::Fetch);
                }
                _ => {}
            }
        }
        self.start_paid(now);
        self.check_wakes();
    }

    fn watch_row(&mut self, row: usize, now: Millis) {
        match self.daemon_mut().watch.get(&row).copied() {
            // `follow_events`: whoever moved it.
            None => self.schedule_look(row),
            Some(at) if at <= now => {
                self.daemon_mut().watch.remove(&row);
                self.spawn(Some(row), Step::Poll);
            }
            Some(_) => {}
        }
    }

    /// The oldest paid call that is due, if nothing is open in the lane or on its way to it.
    fn start_paid(&mut self, now: Millis) {
        let width = if self.db.has(super::bugs::Bug::WidthTwo) { 2 } else { 1 };
        let sends = |task: &&Task| task.step.is_on_the_way();
        let sending = self.daemon_mut().tasks.iter().filter(sends).count();
        if !self.db.lane_is_free() || sending >= width {
            return;
        }
        let mut heads: Vec<usize> = Vec::new();
        for training in [true, false] {
            let due = |row: usize| match self.db.work(row).state {
                State::Queued { due } if due <= now && !self.is_busy(row) => Some((due, row)),
                _ => None,
            };
            let kind = |row: &usize| self.db.rows[*row].is_training() == training;
            heads.extend(
                (0..self.db.rows.len()).filter(kind).filter_map(due).min().map(|(_, row)| row),
            );
        }
        if let Some(row) = heads.into_iter().min() {
            self.spawn(Some(row), Step::Send);
        }
    }

    fn is_busy(&self, row: usize) -> bool {
        self.daemon.as_ref().is_some_and(|d| d.tasks.iter().any(|task| task.row == Some(row)))
    }

    /// True time of the next thing to do.
    pub(super) fn wakes_at(&self) -> Millis {
        let now = self.vendor.now;
        let Some(daemon) = &self.daemon else { return self.boot_at };
        let ours = |at: Millis| at - self.clock_off;
        let tasks = daemon.tasks.iter().map(|task| task.ready_at);
        let rows = (0..self.db.rows.len()).filter(|&row| !self.is_busy(row));
        let due = rows.filter_map(|row| self.due(row)).map(ours);
        let sweep = ours(daemon.swept_at + SWEEP_EVERY);
        let next = tasks.chain(due).chain([sweep]).filter(|at| *at > now).min();
        next.unwrap_or(now + MINUTE).clamp(now + 1, now + SWEEP_EVERY)
    }

    /// When something wakes the row, by our clock.
    pub(super) fn due(&self, row: usize) -> Option<Millis> {
        match self.db.work(row).state {
            State::Queued { due } | State::InDoubt { due, .. } => Some(due),
            State::Running { .. } => {
                self.daemon.as_ref().and_then(|daemon| daemon.watch.get(&row).copied())
            }
            State::Collecting { .. } => self.db.rows[row].outputs.iter().min().copied(),
            _ => None,
        }
    }

    /// A row that lives has something that wakes it, and soon enough.
    fn check_wakes(&mut self) {
        let latest = self.now() + 2 * schedule::HOURLY;
        for row in 0..self.db.rows.len() {
            if self.at_rest(row) || self.is_busy(row) {
                continue;
            }
            if self.due(row).is_none_or(|due| due > latest) {
                let state = self.db.work(row).state;
                self.broke(Check::NoWake, format!("nothing wakes row {row}, which is {state:?}"));
            }
        }
    }

    pub(super) fn carry(&mut self, mut task: Task) {
        let step = std::mem::replace(&mut task.step, Step::Rest);
        match (step, task.row) {
            (Step::Probe, _) => {
                self.answers(Fault::ReadFails);
            }
            (Step::Sweep, _) => self.sweep(&task),
            (Step::Swept(page), _) => self.swept(page),
            (Step::Look(look), Some(row)) => self.look(&task, row, *look),
            (Step::Poll, Some(row)) => self.poll(row),
            (Step::Fetch, Some(row)) => self.fetch(row),
            (Step::Rest, _) => {}
            (step, Some(row)) => self.send_step(&task, row, step),
            (_, None) => {}
        }
        if let Some(row) = task.row
            && !self.is_busy(row)
        {
            self.schedule_look(row);
        }
    }

    /// `Engine::take_in` of `src/engine/looks.rs`.
    fn poll(&mut self, row: usize) {
        let State::Running { .. } = self.db.work(row).state else { return };
        if !self.answers(Fault::ReadFails) {
            return;
        }
        let now = self.vendor.now;
        let fails = Event::VendorFailed {
            message: "it failed".to_owned(),
            no_output: false,
            reply: String::new(),
        };
        let event = if self.db.rows[row].is_training() {
            let ready = self.vendor.model_status(self.db.rows[row].model)
                == super::vendor::ModelStatus::Ready;
            ready.then_some(Event::VendorDone { outputs: 0 })
        } else {
            let remote = self.db.work(row).remote_id.clone().unwrap_or_default();
            let ended = |at: Millis, entry: bool| at <= now || (entry && at - now < 99_999 * HOUR);
            match self.vendor.job(&remote).filter(|job| ended(job.done_at, job.is_entry)) {
                // The entry of a training, taken for a job: it never brings anything.
                Some(job) if job.is_entry => Some(fails),
                Some(job) if job.fails => Some(fails),
                Some(job) => Some(Event::VendorDone { outputs: job.outputs }),
                None => None,
            }
        };
        if let Some(event) = event {
            self.apply(row, &event, &Facts::default());
        }
    }

    fn fetch(&mut self, row: usize) {
        let now = self.now();
        let outputs = &mut self.db.rows[row].outputs;
        let Some(at) = outputs.iter().position(|due| *due <= now) else { return };
        outputs.remove(at);
        self.apply(row, &Event::OutputHome, &Facts::default());
    }

    /// The intent of a row whose call is out or in doubt.
    pub(super) fn open_intent(&self, row: usize) -> Option<&Intent> {
        self.db.work(row).state.intent().map(|seq| self.db.intent(seq))
    }
}

impl Step {
    /// Whether it is part of `Engine::send`.
    fn is_on_the_way(&self) -> bool {
        match self {
            Self::Look(look) => look.is_before_resending(),
            Self::Send
            | Self::Obstacle
            | Self::Fresh
            | Self::Listed(_)
            | Self::Start
            | Self::Go
            | Self::Late(..)
            | Self::Reply(..)
            | Self::Settle(_)
            | Self::Conflict(_) => true,
            _ => false,
        }
    }
}

/// An event, short enough for a line.
fn brief(event: &Event) -> String {
    match event {
        Event::CallFailed { failure } => format!("call_failed {}", failure.message),
        Event::LookAgain { note, .. }
        | Event::LookFailed { note, .. }
        | Event::Postponed { note, .. }
        | Event::Absent { note } => format!("{} ({note})", event.name()),
        Event::NeedsPerson { message, .. } => format!("needs_person ({message})"),
        Event::Found { remote_id, note } => format!("found {remote_id} ({note})"),
        Event::Accepted { remote_id } => format!("accepted {remote_id}"),
        _ => event.name().to_owned(),
    }
}
