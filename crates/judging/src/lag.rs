//! How late the vendor's list is, what it lacks, and how far it reaches back: learnt from jobs that
//! were surely accepted.

use crate::times::Times;
use crate::{DAY, HOUR, Millis};
use serde::{Deserialize, Serialize};

/// So many measured jobs count as knowing.
const ENOUGH: u32 = 50;
/// Times the longest lag, once enough is known.
const MARGIN: Millis = 6;
/// The same before.
const MARGIN_UNTRIED: Millis = 12;
/// A list reaches back so far in any case.
const LEAST_REACH: Millis = 20 * HOUR;
/// So many whole lists that show newer jobs must miss one before it counts as taken off.
const READINGS: u32 = 5;

/// What has been measured of the list's lag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lag {
    /// Jobs whose first appearance was seen.
    pub samples: u32,
    /// The newest day (since the epoch, ours) with a lag.
    day: i64,
    /// The longest of that day and of the one before (ms).
    longest: [Millis; 2],
    /// A job that the vendor made long after its call, if there ever was one.
    pub late_effect: Option<String>,
}

impl Lag {
    /// A job of ours was shown for the first time.
    pub fn shown(&mut self) {
        self.samples = self.samples.saturating_add(1).min(ENOUGH);
    }

    /// A whole list that should have shown a job of ours did not, `age` after its acceptance.
    pub fn missed(&mut self, age: Millis, now: Millis) {
        self.turn(now);
        self.longest[0] = self.longest[0].max(age);
    }

    fn turn(&mut self, now: Millis) {
        let day = now.div_euclid(DAY);
        // A clock that went back forgets nothing.
        if day > self.day {
            let before = if day == self.day + 1 { self.longest[0] } else { 0 };
            self.longest = [0, before];
            self.day = day;
        }
    }

    /// The longest lag of two days (ms).
    pub fn longest(&self, now: Millis) -> Millis {
        let mut at_now = self.clone();
        at_now.turn(now);
        at_now.longest[0].max(at_now.longest[1])
    }

    /// Whether the next accepted job is worth a list of its own.
    pub fn is_untried(&self) -> bool {
        self.samples < ENOUGH
    }

    /// How long a call stays unfound at least before it is absent (ms), and why so long.
    pub fn settle(&self, times: &Times, now: Millis) -> Settle {
        let late = self.late_effect.is_some();
        let least = if late { times.least_if_late() } else { times.least() };
        let longest = self.longest(now);
        let margin = if self.is_untried() { MARGIN_UNTRIED } else { MARGIN };
        let by_lag = longest.saturating_mul(margin).min(times.most());
        let why = if by_lag > least {
            Why::Lag { longest, margin }
        } else if late {
            Why::LateEffects
        } else {
            Why::Least
        };
        Settle { millis: by_lag.max(least), why }
    }
}

/// A settle time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settle {
    /// How long (ms).
    pub millis: Millis,
    /// Why so long.
    pub why: Why,
}

/// Why a settle time is as long as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is the least there is.
    Least,
    /// The vendor was seen to carry a call out late.
    LateEffects,
    /// The list was seen to be so late.
    Lag {
        /// The longest lag of two days (ms).
        longest: Millis,
        /// How many times that.
        margin: Millis,
    },
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Least => f.write_str("the least there is"),
            Self::LateEffects => f.write_str("the vendor has carried out a call late before"),
            Self::Lag { longest, margin } => {
                let seconds = longest / 1000;
                write!(f, "{margin} times the {seconds} s that the vendor's list was late by")
            }
        }
    }
}

/// How far back the list has been seen to reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// The greatest age at which it showed a job (ms).
    pub shown: Millis,
    /// The smallest age at which a job was taken off (ms).
    pub taken_off: Option<Millis>,
}

impl Reach {
    /// A call older than this may have a job that the list shows no more (ms).
    pub fn within(&self) -> Millis {
        self.shown.max(LEAST_REACH).min(self.taken_off.unwrap_or(Millis::MAX))
    }
}

/// A job that whole lists should have shown and did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// When we knew that the vendor had it (ours).
    pub accepted_at: Millis,
    /// Whether a list showed it before.
    pub ever_shown: bool,
    /// When a whole list missed it first (ours).
    pub since: Millis,
    /// How many whole lists that showed newer jobs have missed it.
    pub readings: u32,
}

impl Missing {
    /// How old the job was when a whole list missed it first (ms): had it been taken off by then, the
    /// list reaches no further.
    pub fn age(&self) -> Millis {
        self.since - self.accepted_at
    }
}

/// What a missing job says of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// It may just be late.
    Late,
    /// The vendor has taken it off: it bears no witness any more.
    TakenOff,
    /// The list never shows some jobs, so it proves no absence until a person has said otherwise.
    Lacks,
}

/// What a missing job says of the list at `now` (ours).
pub fn says(missing: &Missing, times: &Times, now: Millis) -> Says {
    match missing.ever_shown {
        false if now - missing.accepted_at >= times.an_hour() => Says::Lacks,
        true if missing.readings >= READINGS && now - missing.since >= times.an_hour() => {
            Says::TakenOff
        }
        _ => Says::Late,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MINUTE;

    fn times() -> Times {
        Times::auto(30_000)
    }

    #[test]
    fn the_settle_time_follows_the_longest_lag_of_two_days() {
        let mut lag = Lag::default();
        assert_eq!(lag.settle(&times(), 0), Settle { millis: 15 * MINUTE, why: Why::Least });
        lag.missed(2 * MINUTE, 5);
        lag.missed(MINUTE, 6);
        let why = Why::Lag { longest: 2 * MINUTE, margin: 12 };
        assert_eq!(lag.settle(&times(), 7), Settle { millis: 24 * MINUTE, why });
        assert!(why.to_string().contains("120 s"));
        (0..50).for_each(|_| lag.shown());
        assert!(!lag.is_untried());
        assert_eq!(lag.settle(&times(), 7).millis, 15 * MINUTE, "six times is less than the least");
        lag.missed(5 * MINUTE, DAY);
        assert_eq!(lag.longest(DAY), 5 * MINUTE);
        assert_eq!(lag.settle(&times(), DAY).millis, 30 * MINUTE);
        assert_eq!(lag.longest(2 * DAY - 1), 5 * MINUTE);
        assert_eq!(lag.longest(2 * DAY), 5 * MINUTE, "yesterday's still counts");
        assert_eq!(lag.longest(3 * DAY), 0);
        lag.missed(3 * HOUR, 3 * DAY);
        assert_eq!(lag.settle(&times(), 3 * DAY).millis, 6 * HOUR);
        lag.missed(1, 2 * DAY);
        assert_eq!(lag.longest(2 * DAY), 3 * HOUR, "a clock that went back forgets nothing");
    }

    #[test]
    fn a_day_turns_and_late_effects_double_the_least() {
        let mut lag = Lag::default();
        lag.missed(4 * MINUTE, DAY);
        lag.missed(3 * MINUTE, 2 * DAY);
        assert_eq!(lag.longest(2 * DAY), 4 * MINUTE);
        assert_eq!(lag.longest(3 * DAY), 3 * MINUTE);
        let late = Lag { late_effect: Some("j".to_owned()), ..Lag::default() };
        assert_eq!(late.settle(&times(), 0), Settle { millis: 30 * MINUTE, why: Why::LateEffects });
        let mut fixed = Lag::default();
        let quick = Times::fixed(2_000, 500);
        assert_eq!(fixed.settle(&quick, 0).millis, 2_000);
        fixed.missed(HOUR, 0);
        assert_eq!(fixed.settle(&quick, 0).millis, 48_000);
    }

    #[test]
    fn reach_lies_between_what_was_shown_and_what_was_taken_off() {
        let reach = |shown, taken_off| Reach { shown, taken_off }.within();
        assert_eq!(reach(0, None), 20 * HOUR);
        assert_eq!(reach(3 * DAY, None), 3 * DAY);
        assert_eq!(reach(3 * DAY, Some(HOUR)), HOUR);
    }

    #[test]
    fn a_missing_job_is_late_taken_off_or_lacking() {
        let of =
            |ever_shown, since, readings| Missing { accepted_at: 0, ever_shown, since, readings };
        let at = |missing, now| says(&missing, &times(), now);
        assert_eq!(at(of(false, 1, 1), HOUR - 1), Says::Late);
        assert_eq!(at(of(false, 1, 1), HOUR), Says::Lacks);
        assert_eq!(at(of(true, 1, 9), HOUR), Says::Late);
        assert_eq!(at(of(true, 0, 5), HOUR), Says::TakenOff);
        assert_eq!(at(of(true, 0, 4), 9 * HOUR), Says::Late);
        assert_eq!(
            of(true, HOUR, 5).age(),
            HOUR,
            "not how old it was when five lists had missed it"
        );
    }
}
