//! What many runs of a world come to.

use crate::daemon::Sim;
use crate::excuses::Unknowable;
use crate::oracle::Check;
use judging::{MINUTE, Millis, SECOND};
use std::collections::BTreeMap;

/// The sums of a world.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) seeds: u64,
    pub(crate) calls: u64,
    pub(crate) doubts: u64,
    pub(crate) asked: u64,
    pub(crate) found: u64,
    pub(crate) absent: u64,
    pub(crate) alarms: u64,
    pub(crate) held_back: u64,
    pub(crate) requests: u64,
    pub(crate) settled: Vec<Millis>,
    pub(crate) waits: Vec<Millis>,
    pub(crate) unknowable: BTreeMap<Unknowable, u32>,
    /// How often each check broke, and the first seed in which it did.
    pub(crate) broken: BTreeMap<Check, (u32, u64)>,
}

impl Sums {
    pub(crate) fn add(&mut self, seed: u64, sim: &Sim) {
        let truth = &sim.truth;
        self.seeds += 1;
        self.calls += truth.calls;
        self.found += u64::from(truth.found);
        self.absent += u64::from(truth.absent);
        self.alarms += u64::from(truth.alarms);
        self.held_back += u64::from(truth.held_back);
        self.waits.extend(&truth.waits);
        for line in truth.lines.values() {
            self.doubts += 1;
            self.asked += u64::from(line.asked);
            self.requests += line.requests;
            if let Some(settled) = line.settled.filter(|_| !line.asked) {
                self.settled.push(settled - line.began);
            }
        }
        for (why, times) in &truth.unknowable {
            *self.unknowable.entry(*why).or_default() += times;
        }
        for (check, _) in &truth.broken {
            self.broken.entry(*check).or_insert((0, seed)).0 += 1;
        }
    }

    /// A person is asked in so many doubts of a thousand.
    pub(crate) fn asked_of_a_thousand(&self) -> u64 {
        1_000 * self.asked / self.doubts.max(1)
    }

    pub(crate) fn wait_p99(&self) -> Millis {
        quantile(&self.waits, 99)
    }

    /// What is wrong with the sums of an account used every day (the figures of the rules, and what
    /// chance adds in some hundreds of doubts).
    pub(crate) fn check_daily(&self) -> Option<Check> {
        let p95 = quantile(&self.settled, 95);
        match () {
            () if self.asked_of_a_thousand() > 30 => Some(Check::AskedTooOften),
            () if self.wait_p99() > 6 * MINUTE => Some(Check::LaneTooSlow),
            () if p95 > 65 * MINUTE => Some(Check::SettledLate),
            () => None,
        }
    }

    pub(crate) fn times(&self, check: Check) -> u32 {
        self.broken.get(&check).map_or(0, |(times, _)| *times)
    }

    /// One line of the table.
    pub(crate) fn line(&self, name: &str) -> String {
        let others: Vec<String> = self
            .broken
            .iter()
            .filter(|(check, _)| !matches!(check, Check::BoughtTwice | Check::WrongAdoption))
            .map(|(check, (times, seed))| format!("{check:?} {times} (seed {seed})"))
            .collect();
        let unknowable: Vec<String> =
            self.unknowable.iter().map(|(why, times)| format!("{why:?} {times}")).collect();
        let asked = self.asked_of_a_thousand();
        format!(
            "| {name} | {} | {} | {} | {}.{} | {} / {} | {} | {} | {} | {} |",
            self.doubts,
            self.times(Check::BoughtTwice),
            self.times(Check::WrongAdoption),
            asked / 10,
            asked % 10,
            told(quantile(&self.settled, 50)),
            told(quantile(&self.settled, 95)),
            told(self.wait_p99()),
            self.requests / self.doubts.max(1),
            unknowable.join(", "),
            others.join(", "),
        )
    }
}

/// The head of the table.
pub(crate) const HEAD: &str = "| world | doubts | bought twice | adopted wrongly | a person is asked, % | settled, median / p95 | lane p99 | requests per doubt | what no rule can know | other checks |\n|---|---|---|---|---|---|---|---|---|---|";

fn quantile(all: &[Millis], percent: usize) -> Millis {
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(0)
}

fn told(millis: Millis) -> String {
    match millis {
        0..MINUTE => format!("{} s", millis / SECOND),
        _ => format!("{} min", millis / MINUTE),
    }
}
