//! The faults in force: which of them strike a given call, and with which value.

use super::clock::millis_of;
use super::fault::{Fault, Struck, Value};
use super::fault_table::{Kind, Phase};
use super::op::Op;
use super::rng::{self, Rng};
use serde_json::{Value as Json, json};
use std::time::{Duration, Instant};

/// All faults that were given and not removed, with how often each has struck.
#[derive(Debug)]
pub(crate) struct Faults {
    active: Vec<Active>,
    seed: u64,
    rng: Rng,
}

/// One strike.
#[derive(Debug)]
pub(crate) struct Hit {
    pub(crate) value: Value,
    /// When the fault began, in Unix milliseconds by this machine's clock.
    pub(crate) began: i64,
    /// Dice for what this strike decides at random.
    pub(crate) dice: Rng,
}

#[derive(Debug)]
struct Active {
    fault: Fault,
    seen: u64,
    struck: u64,
    added: Instant,
    /// The same in Unix milliseconds.
    added_at: i64,
    /// Dice of its own, so that what it draws disturbs no other fault.
    own: Rng,
}

impl Faults {
    /// These faults, with dice of their own so that other randomness cannot disturb them.
    pub(crate) fn new(faults: &[Fault], seed: u64) -> Self {
        let mut all = Self { active: Vec::new(), seed, rng: Rng::new(seed ^ 0xFA17) };
        faults.iter().cloned().for_each(|fault| all.add(fault));
        all
    }

    /// Adds one; its `from` and `for` count from now.
    pub(crate) fn add(&mut self, fault: Fault) {
        let twins = self.active.iter().filter(|each| each.fault.text == fault.text).count();
        let own = self.seed ^ rng::hash(fault.text.as_bytes()).wrapping_add(twins as u64);
        self.active.push(Active {
            fault,
            seen: 0,
            struck: 0,
            added: Instant::now(),
            added_at: chrono::Utc::now().timestamp_millis(),
            own: Rng::new(own),
        });
    }

    /// Removes all.
    pub(crate) fn clear(&mut self) {
        self.active.clear();
    }

    /// Removes those with these texts, or none of them if one is not there.
    pub(crate) fn remove(&mut self, texts: &[String]) -> Result<(), String> {
        let there = |text: &&String| self.active.iter().any(|each| each.fault.text == **text);
        if let Some(text) = texts.iter().find(|text| !there(text)) {
            return Err(format!("there is no fault `{text}`"));
        }
        self.active.retain(|each| !texts.contains(&each.fault.text));
        Ok(())
    }

    /// Whether a fault of this kind strikes now; the first that does is used up once.
    pub(crate) fn strike(&mut self, kind: Kind, op: Op) -> Option<Value> {
        self.hit(kind, op).map(|hit| hit.value)
    }

    /// The same, with all that can be known about the strike.
    pub(crate) fn hit(&mut self, kind: Kind, op: Op) -> Option<Hit> {
        let Self { active, rng, .. } = self;
        let mut matching = active.iter_mut().filter(|each| each.fault.kind == kind);
        matching.find_map(|each| each.hits(op, rng))
    }

    /// The sum of the offsets of all faults of this kind that strike now, in milliseconds.
    pub(crate) fn offset(&mut self, kind: Kind, op: Op) -> i64 {
        let Self { active, rng, .. } = self;
        let matching = active.iter_mut().filter(|each| each.fault.kind == kind);
        matching.filter_map(|each| each.hits(op, rng)).map(|hit| hit.value.offset()).sum()
    }

    /// The faults of this phase that strike this call, in the order they were given. The first one
    /// that settles the call is the last: what comes after it is kept for another call.
    pub(crate) fn strike_all(&mut self, phase: Phase, op: Op) -> Vec<Struck> {
        let Self { active, rng, .. } = self;
        let mut struck = Vec::new();
        for each in active.iter_mut().filter(|each| each.fault.kind.row().phase == phase) {
            if let Some(hit) = each.hits(op, rng) {
                struck.push(Struck { kind: each.fault.kind, value: hit.value });
                if each.fault.kind.settles() {
                    break;
                }
            }
        }
        struck
    }

    /// The value of the first fault of this kind in force, wherever it applies, without using it
    /// up.
    pub(crate) fn peek(&self, kind: Kind) -> Option<&Value> {
        let mut in_force =
            self.active.iter().filter(|each| each.fault.kind == kind && each.age().is_some());
        in_force.next().map(|each| &each.fault.value)
    }

    /// For `/_sim/faults`: each with how many calls it matched and how many it struck.
    pub(crate) fn report(&self) -> Json {
        let each = |active: &Active| {
            json!({ "fault": active.fault.text, "matched": active.seen, "struck": active.struck,
                "in_force": active.age().is_some() })
        };
        self.active.iter().map(each).collect()
    }
}

impl Active {
    /// How long it has been in force; none before it begins and after it has ended.
    fn age(&self) -> Option<Duration> {
        let age = self.added.elapsed().checked_sub(self.fault.from)?;
        self.fault.lasts.is_none_or(|lasts| age < lasts).then_some(age)
    }

    fn hits(&mut self, op: Op, rng: &mut Rng) -> Option<Hit> {
        if !self.fault.ops.contains(&op) || self.fault.times.is_some_and(|n| self.struck >= n) {
            return None;
        }
        self.age()?;
        self.seen += 1;
        if self.seen <= self.fault.skip {
            return None;
        }
        // Certain faults must not consume dice: adding one would reshuffle the others.
        let strikes = self.fault.probability >= 1.0 || rng.unit() < self.fault.probability;
        if !strikes {
            return None;
        }
        self.struck += 1;
        let mut dice = Rng::new(self.own.next());
        let value = self.fault.value.drawn(self.fault.kind.row().takes, &mut dice);
        let began = self.added_at.saturating_add(millis_of(self.fault.from));
        Some(Hit { value, began, dice })
    }
}
