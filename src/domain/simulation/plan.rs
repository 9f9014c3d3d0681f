//! What a schedule is made of, drawn from its seed: the world, the rows, and when what goes wrong.

use super::bugs::Bug;
use crate::domain::ids::Millis;
use crate::domain::reconcile::{Effect, Expected, Media};

pub(super) const SECOND: Millis = 1_000;
pub(super) const MINUTE: Millis = 60 * SECOND;
pub(super) const HOUR: Millis = 60 * MINUTE;

/// SplitMix64: small, and the same on every machine.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `from..to`; `from` if there is none.
    pub(super) fn between(&mut self, from: i64, to: i64) -> i64 {
        let drawn = self.next();
        if to <= from { from } else { from + (drawn % (to - from) as u64) as i64 }
    }

    pub(super) fn index(&mut self, len: usize) -> usize {
        self.between(0, len as i64) as usize
    }

    pub(super) fn one_in(&mut self, n: i64) -> bool {
        self.between(0, n) == 0
    }
}

/// Which assumptions a schedule keeps, and so which checks apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Regime {
    /// Nobody else uses the account; lag and late acceptance stay below the settle time.
    Sound,
    /// The same, and the daemon dies again and again before a settle time has passed.
    CrashLoop,
    /// The list may lag beyond the settle time: duplicates happen, and each must be shown.
    LateList,
    /// Others use the account, and it is configured so.
    Shared,
    /// Others use the account, and the daemon has to learn it.
    Learning,
}

impl Regime {
    const ALL: [Self; 8] = [
        Self::Sound,
        Self::Sound,
        Self::Sound,
        Self::Sound,
        Self::CrashLoop,
        Self::LateList,
        Self::Shared,
        Self::Learning,
    ];

    /// Whether nobody else uses the account, in truth.
    pub(super) fn is_exclusive(self) -> bool {
        !matches!(self, Self::Shared | Self::Learning)
    }

    /// Whether the list is as prompt as the settle time assumes.
    pub(super) fn is_prompt(self) -> bool {
        self != Self::LateList
    }
}

/// Everything that can go wrong, as bits so that a shrinker can switch them off one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Crash,
    LongDeath,
    LostReply,
    LostRequest,
    LateAccept,
    NotSent,
    Refused,
    ReadFails,
    PageFails,
    Outage,
    ClockBack,
    ClockAhead,
    Foreign,
    Cancel,
    Person,
    Lag,
    Unreadable,
    Odd,
    VendorFails,
    Dawdle,
    Sleep,
}

impl Fault {
    pub(super) const ALL: [Self; 21] = [
        Self::Crash,
        Self::LongDeath,
        Self::LostReply,
        Self::LostRequest,
        Self::LateAccept,
        Self::NotSent,
        Self::Refused,
        Self::ReadFails,
        Self::PageFails,
        Self::Outage,
        Self::ClockBack,
        Self::ClockAhead,
        Self::Foreign,
        Self::Cancel,
        Self::Person,
        Self::Lag,
        Self::Unreadable,
        Self::Odd,
        Self::VendorFails,
        Self::Dawdle,
        Self::Sleep,
    ];

    /// How often it strikes where it can, in a thousand.
    fn rate(self, regime: Regime) -> i64 {
        match self {
            Self::Crash if regime == Regime::CrashLoop => 45,
            Self::Crash => 12,
            Self::LongDeath if regime == Regime::LateList => 300,
            Self::LongDeath => 80,
            Self::LostReply => 350,
            Self::LostRequest => 250,
            Self::LateAccept => 250,
            Self::NotSent | Self::Refused => 40,
            Self::ReadFails => 25,
            Self::PageFails => 60,
            Self::Outage => 5,
            Self::ClockBack | Self::ClockAhead | Self::Sleep => 4,
            Self::Foreign if regime.is_exclusive() => 0,
            Self::Foreign => 20,
            Self::Cancel => 2,
            Self::Person => 40,
            Self::Lag => 400,
            Self::Unreadable => 60,
            Self::Odd => 150,
            Self::VendorFails => 60,
            Self::Dawdle => 150,
        }
    }
}

/// What may be left out of a schedule: the shrinker's hold on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Nothing goes wrong from this step on.
    pub(super) horizon: u32,
    /// Faults that never strike, as bits.
    pub(super) without: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { horizon: u32::MAX, without: 0 }
    }
}

/// One row that a user ordered.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// Same number, same request.
    pub(super) hash: u8,
    /// What the call makes.
    pub(super) effect: Effect,
    /// The vendor's model: of a training, the one that is trained.
    pub(super) model: u8,
    /// When it is queued, after the start.
    pub(super) after: Millis,
}

/// One schedule.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) regime: Regime,
    pub(super) bug: Option<Bug>,
    /// Chooses what happens next.
    pub(super) order: Rng,
    faults: Rng,
    limits: Limits,
    /// Steps in which faults happen.
    pub(super) length: u32,
    /// `[doubt] settle`; none: automatic.
    pub(super) settle: Option<Millis>,
    /// What the daemon knows about the list's lag at first.
    pub(super) measured: (u32, Millis),
    pub(super) relist: Millis,
    /// Lag and late acceptance together stay below this.
    pub(super) latest: Millis,
    pub(super) lists_trainings: bool,
    /// The vendor refuses to train a model twice.
    pub(super) trains_once: bool,
    /// How long the vendor's list keeps a job.
    pub(super) keeps: Millis,
    /// The vendor says when its jobs were made, as documented. Without that, the entry of a training
    /// that no listing has covered yet can be taken for a later job.
    pub(super) dates: bool,
    pub(super) clock_wrong_by: Millis,
    pub(super) orders: Vec<Order>,
    /// How many more of the rare faults there may be.
    pub(super) outages: u32,
}

impl Plan {
    pub(super) fn new(seed: u64, bug: Option<Bug>, limits: Limits) -> Self {
        let mut order = Rng::new(seed);
        let faults = Rng::new(order.next());
        let regime = Regime::ALL[order.index(Regime::ALL.len())];
        let settle = if order.one_in(4) { None } else { Some(5 * MINUTE) };
        // A quarter of the account's settle time is for outages that no look falls into.
        let latest = match (regime, settle) {
            (Regime::LateList, _) => 40 * MINUTE,
            _ => 150 * SECOND,
        };
        let measured = if order.one_in(2) { (60, 0) } else { (0, 0) };
        let orders = draw_orders(&mut order);
        let has_training = orders.iter().any(|one| one.effect == Effect::Training);
        Self {
            regime,
            bug,
            faults,
            limits,
            length: order.between(60, 220) as u32,
            settle,
            measured,
            relist: if regime == Regime::LateList { 2 * MINUTE } else { 30 * SECOND },
            latest,
            lists_trainings: order.one_in(2),
            trains_once: order.one_in(2),
            keeps: if order.one_in(2) { 26 * HOUR } else { 1_000 * HOUR },
            dates: regime != Regime::Sound || has_training || !order.one_in(6),
            clock_wrong_by: match order.index(8) {
                0 => order.between(-HOUR, HOUR),
                // A machine whose clock has no battery.
                1 => -order.between(HOUR, 1_000 * 24 * HOUR),
                _ => 0,
            },
            orders,
            outages: 2,
            order,
        }
    }

    pub(super) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Whether a fault strikes at this step.
    pub(super) fn strikes(&mut self, fault: Fault, step: u32) -> bool {
        let drawn = self.faults.between(0, 1_000) < fault.rate(self.regime);
        drawn && self.is_stormy(step) && self.limits.without & (1 << fault as u32) == 0
    }

    /// Whether faults happen still.
    pub(super) fn is_stormy(&self, step: u32) -> bool {
        step < self.length.min(self.limits.horizon)
    }
}

fn draw_orders(order: &mut Rng) -> Vec<Order> {
    let trained = order.one_in(3);
    let count = order.between(1, 5);
    let mut orders = Vec::new();
    for n in 0..count {
        let within = if order.one_in(2) { 10 * SECOND } else { 20 * MINUTE };
        let after = order.between(0, within);
        if trained && n == 0 {
            let after = order.between(0, 5 * SECOND);
            orders.push(Order { hash: 200, effect: Effect::Training, model: 9, after });
            continue;
        }
        let hash = order.between(0, 4) as u8;
        let (model, media) = match hash {
            0 => (Some("m0".to_owned()), Media::Images),
            1 => (Some("m0".to_owned()), Media::Images),
            2 => (None, Media::Images),
            _ => (None, Media::Videos),
        };
        let count = [Some(2), None, None, Some(2)][usize::from(hash)];
        let effect = Effect::Job(Expected { model, media, count });
        orders.push(Order { hash, effect, model: hash, after });
    }
    orders
}
