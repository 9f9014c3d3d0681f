//! How long the vendor takes, learnt from what was seen, and when a new job is looked at first.
//!
//! A look says only "not done yet" or "done": a job ended somewhere between the last look that found
//! it unfinished and the one that found it done. What is kept is the earlier of the two, for the
//! last [`RECENT`] jobs of a kind and model. The first look comes at the earliest of them, a little
//! sooner when they differ much: a job that behaves like one of those is not done before that, so
//! no look that is left out could have found anything, and from there on the grid goes on as ever.
//!
//! *The ratchet.* If the first look finds the job done, nobody knows when it ended; taking the
//! look's own time would make every first look wait for the one before. So such a job counts as
//! having been unfinished one interval before the look, two intervals if the job before it was
//! found done at its first look too, then four: a vendor that has become faster is followed within
//! a handful of jobs, one that has not costs one look more.
//!
//! Jobs that fail teach nothing: a refusal within a second says nothing about those that succeed.

use super::ids::Millis;
use serde::{Deserialize, Serialize};

/// How many ends are remembered: an early one counts for so many jobs.
pub const RECENT: usize = 16;
/// With fewer nothing is left out.
const ENOUGH: usize = 4;
/// A first look is never placed further ahead: below what [`super::schedule::latest_due`] takes for
/// a clock that went back.
const LATEST: Millis = 30 * 60 * 1000;
/// Longer is a clock that was set, not a job.
const SENSIBLE: Millis = 7 * 24 * 60 * 60 * 1000;

/// One finished piece of work, in milliseconds since the vendor took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Took {
    /// The last look that found it unfinished; none when its first look found it done.
    pub unfinished: Option<Millis>,
    /// The look that found it done.
    pub done: Millis,
    /// The configured interval between two looks.
    pub interval: Millis,
}

/// What is known about the durations of one kind and model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// When each of the last ones was surely not done yet, oldest first (ms since acceptance).
    pub open: Vec<Millis>,
    /// How many in a row were found done at their first look.
    pub blind: u32,
}

impl Learned {
    /// Takes in one more end; one that makes no sense is left out.
    pub fn learn(&mut self, took: Took) {
        let sensible = 0..SENSIBLE;
        if !sensible.contains(&took.done) {
            return;
        }
        let open = match took.unfinished {
            Some(at) if (0..=took.done).contains(&at) => {
                self.blind = 0;
                at
            }
            Some(_) => return,
            None => {
                let back = took.interval.max(1).saturating_mul(1 << self.blind.min(16));
                self.blind = self.blind.saturating_add(1);
                took.done.saturating_sub(back).max(0)
            }
        };
        self.open.push(open);
        let surplus = self.open.len().saturating_sub(RECENT);
        self.open.drain(..surplus);
    }

    /// When the next one is looked at first (ms after its acceptance); 0: as if nothing were known.
    /// `interval`: between two looks, which is how little looks can tell.
    pub fn first_look(&self, interval: Millis) -> Millis {
        let (Some(least), Some(most)) = (self.open.iter().min(), self.open.iter().max()) else {
            return 0;
        };
        if self.open.len() < ENOUGH {
            return 0;
        }
        // Where the shortest of n differ by so much, the next one may be that much shorter.
        let spread = (most - least - interval).max(0)
            / Millis::try_from(self.open.len()).unwrap_or(1).max(1);
        (least - spread).clamp(0, LATEST)
    }
}

/// The first look at something whose own kind and model are perhaps unknown: then half of what the
/// quickest of its kind's other models need.
pub fn first_look(own: Option<&Learned>, others: &[Learned], interval: Millis) -> Millis {
    match own {
        Some(own) if own.open.len() >= ENOUGH => own.first_look(interval),
        _ => {
            let known = others.iter().filter(|other| other.open.len() >= ENOUGH);
            known.map(|other| other.first_look(interval)).min().unwrap_or(0) / 2
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INTERVAL: Millis = 5_000;

    /// Looks at a job of this length as the engine does; answers the number of reads, the delay of
    /// the one that found it done, and what is learnt.
    fn watch(first: Millis, jitter: Millis, length: Millis) -> (u32, Millis, Took) {
        let mut at = first.max(INTERVAL) + jitter;
        let (mut reads, mut unfinished) = (1, None);
        while at < length {
            unfinished = Some(at);
            at += INTERVAL;
            reads += 1;
        }
        (reads, at - length, Took { unfinished, done: at, interval: INTERVAL })
    }

    proptest! {
        /// Jobs of one length: few reads once that is known, and never a longer delay than without.
        #[test]
        fn a_steady_job_takes_few_reads_and_is_noticed_as_soon(
            length in 6_000i64..600_000, jitters in prop::collection::vec(0..=INTERVAL / 10, 200),
        ) {
            let mut known = Learned::default();
            let mut reads = 0;
            for (n, jitter) in jitters.iter().enumerate() {
                let (asked, delay, took) = watch(known.first_look(INTERVAL), *jitter, length);
                prop_assert!(delay <= INTERVAL, "noticed {delay} ms late");
                known.learn(took);
                if n >= RECENT {
                    reads += asked;
                }
            }
            let jobs = u32::try_from(jitters.len() - RECENT).unwrap();
            prop_assert!(f64::from(reads) <= 2.5 * f64::from(jobs), "{reads} reads of {jobs} jobs");
        }

        /// Whatever was seen: a job that lasts as long as any of those recently seen unfinished at
        /// some time is not looked at first after that time.
        #[test]
        fn no_look_is_left_out_that_could_have_found_something(
            lengths in prop::collection::vec(0i64..300_000, 1..80),
        ) {
            let mut known = Learned::default();
            let mut seen = Vec::new();
            for length in lengths {
                let (_, _, took) = watch(known.first_look(INTERVAL), 0, length);
                known.learn(took);
                seen.push(took);
                let recent = &seen[seen.len().saturating_sub(RECENT)..];
                for open in recent.iter().filter_map(|took| took.unfinished) {
                    prop_assert!(known.first_look(INTERVAL) <= open);
                }
                prop_assert!(known.open.len() <= RECENT);
            }
        }

        /// A model that becomes faster is followed within a handful of jobs.
        #[test]
        fn a_faster_vendor_is_followed(before in 30_000i64..600_000, after in 1_000i64..20_000) {
            let mut known = Learned::default();
            for _ in 0..RECENT {
                known.learn(watch(known.first_look(INTERVAL), 0, before).2);
            }
            for _ in 0..8 {
                known.learn(watch(known.first_look(INTERVAL), 0, after).2);
            }
            let (_, delay, _) = watch(known.first_look(INTERVAL), 0, after);
            prop_assert!(delay <= INTERVAL, "still noticed {delay} ms late");
        }

        /// Clocks that were set, and garbage in the table, never lead to a time out of reach.
        #[test]
        fn nonsense_stays_harmless(
            open in prop::collection::vec(any::<i64>(), 0..40),
            unfinished in any::<Option<i64>>(), done in any::<i64>(), blind in any::<u32>(),
        ) {
            let kept = open.iter().map(|at| at.rem_euclid(SENSIBLE)).collect();
            let mut known = Learned { open: kept, blind };
            known.learn(Took { unfinished, done, interval: INTERVAL });
            prop_assert!((0..=LATEST).contains(&known.first_look(INTERVAL)));
        }
    }

    #[test]
    fn without_history_nothing_is_left_out() {
        let few = Learned { open: vec![30_000; 3], blind: 0 };
        let many = Learned { open: vec![30_000; 4], blind: 0 };
        assert_eq!((few.first_look(INTERVAL), many.first_look(INTERVAL)), (0, 30_000));
        assert_eq!(first_look(None, &[], INTERVAL), 0);
        assert_eq!(
            first_look(Some(&few), std::slice::from_ref(&many), INTERVAL),
            15_000,
            "half of the quickest other"
        );
        assert_eq!(first_look(Some(&many), &[few], INTERVAL), 30_000);
    }
}
