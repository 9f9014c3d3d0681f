//! The times in force. By default ("auto") they are the ones named here; a fixed settle time scales
//! them, which is also how tests run fast.

use crate::{HOUR, MINUTE, Millis};

/// The settle time by default.
const SETTLE: Millis = 15 * MINUTE;

/// The configured times (ms).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// What stands for the fifteen minutes.
    settle: Millis,
    /// Between the two lists that must agree.
    pub relist: Millis,
    fixed: bool,
}

impl Times {
    /// The times by default.
    pub fn auto(relist: Millis) -> Self {
        Self { settle: SETTLE, relist, fixed: false }
    }

    /// `settle` stands for the fifteen minutes and scales the rest.
    pub fn fixed(settle: Millis, relist: Millis) -> Self {
        Self { settle: settle.max(1), relist, fixed: true }
    }

    /// Whether somebody has fixed the settle time.
    pub fn are_fixed(&self) -> bool {
        self.fixed
    }

    /// A length that is `millis` by default, in scale.
    pub fn scaled(&self, millis: Millis) -> Millis {
        let scaled = i128::from(millis) * i128::from(self.settle) / i128::from(SETTLE);
        Millis::try_from(scaled).unwrap_or(Millis::MAX)
    }

    /// No call is absent sooner after it went out than this: 15 minutes.
    pub fn least(&self) -> Millis {
        self.settle
    }

    /// The same where the vendor's effects were ever seen to come late: 30 minutes.
    pub fn least_if_late(&self) -> Millis {
        2 * self.settle
    }

    /// No lag of the list prolongs the settle time beyond this: 6 hours.
    pub fn most(&self) -> Millis {
        24 * self.settle
    }

    /// Without a later job of ours to bear witness, a call is absent no sooner: 60 minutes.
    pub fn alone(&self) -> Millis {
        4 * self.settle
    }

    /// Two minutes (an eighth of a fixed settle time, at least one look): so long are whole looks
    /// without a candidate before the lane opens, and so long may candidates sort themselves out.
    pub fn quiet(&self) -> Millis {
        let eighth = if self.fixed { self.settle / 8 } else { 2 * MINUTE };
        eighth.max(self.relist.min(self.settle))
    }

    /// When the lane opens at the latest: 15 minutes.
    pub fn lane(&self) -> Millis {
        self.settle
    }

    /// When a person is told that proof does not come: 6 hours.
    pub fn stuck(&self) -> Millis {
        24 * self.settle
    }

    /// Longer than this no model's status is waited for to say that its training has not begun: 2
    /// hours.
    pub fn longest_for_a_training(&self) -> Millis {
        8 * self.settle
    }

    /// When nobody has read a training's model for so long, it may have begun and failed meanwhile: 10
    /// minutes.
    pub fn hole(&self) -> Millis {
        self.scaled(10 * MINUTE).max(self.relist.saturating_mul(3))
    }

    /// Between two reads of the model of a training in doubt: every five minutes in the end.
    pub fn pause_for_a_training(&self, age: Millis) -> Millis {
        self.pause(age.min(self.alone() - 1), 0)
    }

    /// Between two looks at a call that has been in doubt for `age` of looking, when the last look
    /// took `took`: close together at first, in the end every ten minutes, and never more than a
    /// fifth of the time spent on looking.
    pub fn pause(&self, age: Millis, took: Millis) -> Millis {
        let step = if age < self.quiet() {
            self.relist
        } else if age < self.settle {
            self.scaled(MINUTE)
        } else if age < self.alone() {
            self.scaled(5 * MINUTE)
        } else {
            self.scaled(10 * MINUTE)
        };
        step.max(self.relist).max(took.saturating_mul(4))
    }

    /// An hour, in scale: how long a job may be missing before its absence says something.
    pub fn an_hour(&self) -> Millis {
        self.scaled(HOUR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SECOND;

    #[test]
    fn by_default_they_are_the_times_of_the_rules() {
        let times = Times::auto(30 * SECOND);
        assert_eq!((times.least(), times.least_if_late()), (15 * MINUTE, 30 * MINUTE));
        assert_eq!((times.alone(), times.most(), times.stuck()), (HOUR, 6 * HOUR, 6 * HOUR));
        assert_eq!((times.quiet(), times.lane()), (2 * MINUTE, 15 * MINUTE));
        assert!(!times.are_fixed());
        let pauses = [0, 2, 15, 60].map(|minutes| times.pause(minutes * MINUTE, 0));
        assert_eq!(pauses, [30 * SECOND, MINUTE, 5 * MINUTE, 10 * MINUTE]);
        assert_eq!((times.longest_for_a_training(), times.hole()), (2 * HOUR, 10 * MINUTE));
        let pauses = [0, 15, 600].map(|minutes| times.pause_for_a_training(minutes * MINUTE));
        assert_eq!(pauses, [30 * SECOND, 5 * MINUTE, 5 * MINUTE]);
        assert_eq!(times.pause(0, 20 * SECOND), 80 * SECOND, "a long list is asked for less often");
    }

    #[test]
    fn a_fixed_one_scales_the_others() {
        let times = Times::fixed(16 * SECOND, SECOND);
        assert!(times.are_fixed());
        assert_eq!((times.least(), times.quiet(), times.lane()), (16_000, 2_000, 16_000));
        assert_eq!((times.alone(), times.stuck()), (64_000, 384_000));
        let short = Times::fixed(SECOND, SECOND);
        assert_eq!(short.quiet(), SECOND, "at least one look");
        assert_eq!(Times::fixed(400, SECOND).quiet(), 400);
        assert_eq!(short.an_hour(), 4_000);
        assert_eq!(short.hole(), 3 * SECOND, "more than two looks in any case");
        assert_eq!(Times::fixed(0, 0).least(), 1);
    }
}
