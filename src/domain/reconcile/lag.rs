//! How late the vendor's job list is: learnt from jobs that were surely accepted, and the settle
//! time that follows from it (design section 4, "Resolving", step 3). Times are Unix milliseconds
//! by the vendor's clock.

use crate::domain::ids::Millis;
use serde::{Deserialize, Serialize};

const SECOND: Millis = 1_000;
const MINUTE: Millis = 60 * SECOND;
/// Below this nothing is ever taken for absent, however prompt the list seems.
const LEAST: Millis = 5 * MINUTE;
/// While too little is known.
const UNTRIED: Millis = 15 * MINUTE;
/// Longer than this a call holds up its lane for no list in the world.
const MOST: Millis = 60 * MINUTE;
/// So many measurements count as knowing.
const ENOUGH: u32 = 50;
/// Times the largest lag seen.
const MARGIN: Millis = 20;
/// A first listing later than this after a job's creation says nothing about the list's lag.
const PROMPT: Millis = 10 * SECOND;
/// The vendor may cut its times to whole seconds.
const ROUNDING: Millis = SECOND;

/// What has been measured so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lag {
    /// Jobs whose first appearance was measured.
    pub samples: u32,
    /// The longest that a job was missing from the list after its creation (ms).
    pub largest: Millis,
    /// How far the vendor's creation times have been seen before its own `Date` (ms).
    #[serde(default)]
    pub skew: Millis,
}

/// The first appearance of one accepted job in a complete listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appearance {
    /// When the vendor made it.
    pub created_at: Millis,
    /// When the listing was read that shows it.
    pub listed_at: Millis,
    /// When the listing before that was read, which does not show it.
    pub missed_at: Option<Millis>,
    /// The vendor's clock just before its call went out.
    pub sent_at: Millis,
}

impl Lag {
    /// Learns from one job.
    pub fn learn(&mut self, seen: &Appearance) {
        // A creation before the call went out is the vendor's clock contradicting itself.
        self.skew = self.skew.max((seen.sent_at - seen.created_at).clamp(0, MOST));
        let missing = seen.listed_at - seen.created_at;
        let missed = seen.missed_at.filter(|at| *at > seen.created_at + ROUNDING);
        let lag = match missed {
            // It was missing at least until then, and at most until now. Hours between two
            // listings are not the list's fault, hence the second bound.
            Some(at) => missing.min(2 * (at - seen.created_at) + PROMPT),
            None if missing <= PROMPT => 0,
            None => return,
        };
        self.samples = self.samples.saturating_add(1);
        self.largest = self.largest.max(lag);
    }

    /// Whether the next accepted job is worth a listing of its own.
    pub fn is_untried(&self) -> bool {
        self.samples < ENOUGH
    }

    /// How long a paid call may stay unfound before it counts as absent: the automatic settle
    /// time (ms).
    pub fn settle(&self) -> Millis {
        let least = if self.is_untried() { UNTRIED } else { LEAST };
        self.largest.saturating_mul(MARGIN).clamp(least, MOST)
    }
}

/// One complete look at the vendor: when, by both clocks (Unix ms), and in which boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the vendor's clock.
    pub vendor: Millis,
    /// By ours.
    pub local: Millis,
    /// The boot that looked.
    pub boot: Option<i64>,
}

/// The clocks agree if they differ by no more than this (ms).
const AGREES: Millis = 1_500;

/// How much of the time between two complete looks counts towards the settle time: what both
/// clocks agree on, and at most `longest` (ms). A clock that was set proves nothing about the
/// vendor, nor does time in which nobody looked: the daemon was down, or the vendor was.
pub fn credited(last: &Moment, now: &Moment, longest: Millis) -> Millis {
    // The vendor tells its time in whole seconds, so two short looks may seem to lie at one moment.
    (now.vendor - last.vendor + AGREES).min(now.local - last.local).clamp(0, longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(created_at: Millis, missed_at: Option<Millis>, listed_at: Millis) -> Appearance {
        Appearance { created_at, listed_at, missed_at, sent_at: created_at }
    }

    #[test]
    fn the_settle_time_follows_the_largest_lag_seen() {
        let mut lag = Lag::default();
        assert_eq!(lag.settle(), UNTRIED);
        for _ in 0..ENOUGH {
            lag.learn(&seen(0, None, 2 * SECOND));
        }
        assert_eq!((lag.samples, lag.settle()), (ENOUGH, LEAST));
        lag.learn(&seen(0, Some(20 * SECOND), 25 * SECOND));
        assert_eq!((lag.largest, lag.settle()), (25 * SECOND, 500 * SECOND));
        lag.learn(&seen(0, Some(10 * MINUTE), 12 * MINUTE));
        assert_eq!(lag.settle(), MOST);
    }

    #[test]
    fn a_listing_that_came_late_by_itself_measures_nothing() {
        let mut lag = Lag::default();
        lag.learn(&seen(0, None, 10 * MINUTE));
        lag.learn(&seen(60 * MINUTE, Some(30 * MINUTE), 80 * MINUTE));
        assert_eq!(lag, Lag::default());
        // Missed once right after its creation, then nobody looked for hours.
        lag.learn(&seen(0, Some(3 * SECOND), 600 * MINUTE));
        assert_eq!((lag.samples, lag.largest), (1, 6 * SECOND + PROMPT));
    }

    #[test]
    fn creation_before_the_call_is_skew() {
        let mut lag = Lag::default();
        lag.learn(&Appearance { sent_at: 7_000, ..seen(0, None, 8_000) });
        assert_eq!(lag.skew, 7_000);
        lag.learn(&Appearance { sent_at: 0, ..seen(9_000, None, 9_500) });
        assert_eq!(lag.skew, 7_000);
    }

    #[test]
    fn time_counts_only_as_far_as_both_clocks_agree() {
        let at = |vendor, local, boot| Moment { vendor, local, boot: Some(boot) };
        let credited = |last: &Moment, now: &Moment| credited(last, now, 90_000);
        let last = at(1_000, 50_000, 1);
        assert_eq!(credited(&last, &at(31_000, 80_000, 1)), 30_000);
        assert_eq!(credited(&last, &at(1_000, 50_500, 1)), 500, "whole seconds");
        assert_eq!(credited(&last, &at(31_000, 86_400_000, 1)), 31_500, "ours went ahead");
        assert_eq!(credited(&last, &at(31_000, 20_000, 1)), 0, "ours went back");
        assert_eq!(credited(&last, &at(-1_000, 80_000, 1)), 0, "theirs went back");
        let day = 86_400_000;
        assert_eq!(credited(&last, &at(day, day + 50_000, 1)), 90_000, "both jumped");
        assert_eq!(credited(&last, &at(day, day + 49_000, 2)), 90_000, "we were down");
    }

    proptest! {
        #[test]
        fn more_knowledge_of_lag_never_shortens_below_the_margin(
            all in prop::collection::vec((0i64..1 << 40, 0i64..1 << 22, 0i64..1 << 22), 0..80)
        ) {
            let mut lag = Lag::default();
            for (created, missed, more) in all {
                let before = lag;
                lag.learn(&seen(created, Some(created + missed), created + missed + more));
                prop_assert!(lag.largest >= before.largest && lag.samples >= before.samples);
                prop_assert!((LEAST..=MOST).contains(&lag.settle()));
                prop_assert!(lag.settle() >= (lag.largest * MARGIN).min(MOST));
            }
        }
    }
}
