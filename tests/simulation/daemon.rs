//! The daemon and its world, event by event. Nothing here decides about money: that is the crate
//! `judging`, which is driven as the engine drives it.

use crate::book::{Book, Doubt, MEMORY, Outcome, State};
use crate::bugs::Bug;
use crate::dice::Dice;
use crate::oracle::Truth;
use crate::orders::{self, Order};
use crate::trouble::{Usage, Ways, World};
use crate::vendor::Vendor;
use judging::clocks::Clocks;
use judging::times::Times;
use judging::{DAY, HOUR, MINUTE, Millis, SECOND};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What a call comes back with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reply {
    Accepted(String),
    Refused,
    Lost,
}

/// What happens next. The daemon's own events name its boot: a dead daemon does nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    Order(usize),
    Turn {
        boot: u32,
    },
    Reply {
        boot: u32,
        call: usize,
        reply: Reply,
    },
    Look {
        boot: u32,
        call: usize,
        nth: u32,
    },
    Sweep {
        boot: u32,
        again: bool,
    },
    Start {
        boot: u32,
    },
    Person {
        row: usize,
    },
    Release {
        boot: u32,
    },
    /// The list that tells whether the database was put back.
    Check {
        boot: u32,
    },
    Snapshot,
    PutBack,
}

/// How much of a run is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Orders after this are left out.
    pub(crate) until: Millis,
    /// Whether the story is written down.
    pub(crate) story: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { until: Millis::MAX, story: false }
    }
}

/// A run.
pub(crate) struct Sim {
    pub(crate) now: Millis,
    pub(crate) dice: Dice,
    pub(crate) usage: Usage,
    pub(crate) bug: Option<Bug>,
    pub(crate) times: Times,
    pub(crate) vendor: Vendor,
    pub(crate) book: Book,
    snapshot: Option<Book>,
    pub(crate) boot: u32,
    pub(crate) up: bool,
    pub(crate) lane: Option<usize>,
    /// Spending is paused until somebody releases it.
    pub(crate) paused: bool,
    /// Whether the database was put back is not known yet.
    pub(crate) unchecked: bool,
    /// When it was started.
    pub(crate) started: Millis,
    /// The newest listed job and until when everything was listed, as it was at the start: what any
    /// list shows first after that is new.
    pub(crate) known_at_start: (i64, Option<Millis>),
    pub(crate) truth: Truth,
    pub(crate) orders: Vec<Order>,
    pub(crate) calls_made: u64,
    pub(crate) been_away: bool,
    events: BinaryHeap<Reverse<(Millis, u64, Event)>>,
    scheduled: u64,
    story: Option<Vec<String>>,
}

/// Models of ours.
const MODELS: [&str; 3] = ["m0", "m1", "m2"];
/// Between two sweeps.
const SWEEP: Millis = 10 * MINUTE;

/// Runs one seed of a world to its end.
pub(crate) fn run(world: &World, seed: u64, bug: Option<Bug>, limits: Limits) -> Sim {
    let mut sim = Sim::new(world, seed, bug, limits);
    sim.run();
    sim
}

impl Sim {
    fn new(world: &World, seed: u64, bug: Option<Bug>, limits: Limits) -> Self {
        let dice = Dice::new(seed);
        let ways = Ways::of(&world.troubles);
        let orders = orders::all(world.usage, &ways, &dice, limits.until);
        let mut vendor = Vendor::new(ways, world.usage, dice);
        orders::twins(&mut vendor, &orders, &dice);
        let mut sim = Self {
            now: 0,
            dice,
            usage: world.usage,
            bug,
            times: Times::auto(30 * SECOND),
            vendor,
            book: Book::new(&MODELS),
            snapshot: None,
            boot: 0,
            up: false,
            lane: None,
            paused: false,
            unchecked: false,
            known_at_start: (0, None),
            started: 0,
            truth: Truth::default(),
            orders,
            calls_made: 0,
            been_away: false,
            events: BinaryHeap::new(),
            scheduled: 0,
            story: limits.story.then(Vec::new),
        };
        for at in 0..sim.orders.len() {
            sim.at(sim.orders[at].at, Event::Order(at));
        }
        if let Some(back) = sim.vendor.ways.put_back {
            let taken = orders::snapshot_at(&dice);
            sim.at(taken, Event::Snapshot);
            sim.at(taken + back, Event::PutBack);
        }
        sim.at(0, Event::Start { boot: 0 });
        sim
    }

    fn run(&mut self) {
        let end = self.usage.lasts() + self.vendor.ways.away + 3 * DAY;
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if at > end {
                break;
            }
            self.now = at;
            let broken = self.truth.broken.len();
            self.happens(event);
            let broken = self.truth.broken[broken..].iter();
            let told: Vec<String> =
                broken.map(|(check, what)| format!("BROKEN {check:?}: {what}")).collect();
            told.into_iter().for_each(|line| self.tell(|| line));
        }
        self.check_end();
    }

    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    pub(crate) fn at(&mut self, at: Millis, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((at, self.scheduled, event)));
    }

    /// Writes down what happened, if somebody wants to read it.
    pub(crate) fn tell(&mut self, what: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            let (days, rest) = (self.now.div_euclid(DAY), self.now.rem_euclid(DAY));
            let (hours, rest) = (rest / HOUR, rest % HOUR);
            let (minutes, seconds) = (rest / MINUTE, rest % MINUTE / SECOND);
            story.push(format!("day {days} {hours:02}:{minutes:02}:{seconds:02} {}", what()));
        }
    }

    pub(crate) fn story(&self) -> &[String] {
        self.story.as_deref().unwrap_or_default()
    }

    fn happens(&mut self, event: Event) {
        let alive = |sim: &Self, boot| sim.up && sim.boot == boot;
        match event {
            Event::Order(nth) => self.order(nth),
            Event::Turn { boot } if alive(self, boot) => self.turn(),
            Event::Reply { boot, call, reply } if alive(self, boot) => self.reply(call, reply),
            Event::Look { boot, call, nth } if alive(self, boot) => self.look(call, nth),
            Event::Sweep { boot, again } if alive(self, boot) => {
                self.sweep();
                if again {
                    self.at(self.now + SWEEP, Event::Sweep { boot, again });
                }
            }
            Event::Start { boot } if !self.up && self.boot == boot => self.start(),
            Event::Person { row } => self.person(row),
            Event::Release { boot } if alive(self, boot) => self.release(),
            Event::Check { boot } if alive(self, boot) => {
                self.check_going_back();
                self.turn_soon();
            }
            Event::Snapshot => {
                self.truth.saved();
                self.snapshot = Some(self.book.clone());
            }
            Event::PutBack => self.restore(),
            _ => {}
        }
    }

    /// The daemon dies, and comes back after a while.
    pub(crate) fn die(&mut self, down: Millis) {
        self.tell(|| format!("the daemon dies, for {} min", down / MINUTE));
        self.up = false;
        self.boot += 1;
        self.lane = None;
        self.at(self.now + down, Event::Start { boot: self.boot });
    }

    fn restore(&mut self) {
        if let Some(book) = self.snapshot.take() {
            self.tell(|| "the database is put back".to_owned());
            self.truth.restored(&book);
            self.book = book;
            self.paused = false;
            self.die(5 * MINUTE);
        }
    }

    fn start(&mut self) {
        self.up = true;
        self.tell(|| "the daemon starts".to_owned());
        for at in 0..self.book.rows.len() {
            let row = &self.book.rows[at];
            let State::Out(call) = row.state else { continue };
            if self.has(Bug::OutIsQueued) {
                self.book.rows[at].state = State::Queued;
                self.book.calls[call].outcome = Outcome::GivenUp;
                continue;
            }
            let sent = self.book.calls[call].call.span.opened_at;
            self.begin_doubt(call, self.now.min(sent + MINUTE));
            self.lane = Some(call);
        }
        self.started = self.now;
        self.known_at_start = (self.book.newest_seen(), self.book.covered);
        self.check_going_back();
        for at in 0..self.book.calls.len() {
            if self.book.calls[at].outcome == Outcome::Open && self.lane != Some(at) {
                self.look_at(at, self.now);
            }
        }
        self.at(self.now, Event::Sweep { boot: self.boot, again: true });
        self.at(self.now, Event::Turn { boot: self.boot });
    }

    /// A call's outcome is unknown from `ended_at` on.
    pub(crate) fn begin_doubt(&mut self, call: usize, ended_at: Millis) {
        let about = &mut self.book.calls[call];
        about.call.span.ended_at = ended_at;
        about.outcome = Outcome::Open;
        about.doubt = Doubt::default();
        let (row, number) = (about.row, about.number);
        self.book.rows[row].state = State::InDoubt(call);
        self.truth.doubt_begins(number, self.now);
        let row = self.book.rows[row].number;
        self.tell(|| format!("row {row}: call {number} is in doubt"));
        self.look_at(call, self.now);
    }

    pub(crate) fn look_at(&mut self, call: usize, at: Millis) {
        let nth = self.book.calls[call].doubt.looks;
        self.at(at, Event::Look { boot: self.boot, call, nth });
    }

    pub(crate) fn clocks(&self) -> Clocks {
        let clocks = Clocks::measure(self.book.accepted_lately(self.now), self.now);
        match self.bug {
            Some(Bug::SpreadIgnored) => Clocks { spread: 0, ..clocks },
            _ => clocks,
        }
    }

    /// The calls of lately, by their place in the book.
    pub(crate) fn calls_lately(&self) -> std::ops::Range<usize> {
        let from =
            self.book.calls.partition_point(|call| call.call.span.opened_at < self.now - MEMORY);
        from..self.book.calls.len()
    }
}
