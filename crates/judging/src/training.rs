//! Whether a training has begun whose trigger's reply was lost. Its model's status tells, which may follow
//! the trigger late; the job list never does.

use crate::times::Times;
use crate::{MINUTE, Millis, SECOND};
use serde::{Deserialize, Serialize};

/// With fewer measurements nothing is said about the delay.
const ENOUGH: u32 = 3;
/// From so many on they are trusted more.
const PLENTY: u32 = 10;
/// So long after an accepted trigger its model is read, to measure the delay (ms).
pub const READS: [Millis; 5] = [2 * SECOND, 10 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE];

/// How late a model's status follows its accepted trigger, as far as that was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delay {
    /// Measurements.
    pub samples: u32,
    /// The longest of them (ms).
    pub longest: Millis,
}

impl Delay {
    /// With one more measurement (ms).
    #[must_use]
    pub fn and(self, delay: Millis) -> Self {
        Self { samples: self.samples.saturating_add(1), longest: self.longest.max(delay) }
    }

    /// Whether too few are known to say anything.
    pub fn is_untried(&self) -> bool {
        self.samples < ENOUGH
    }

    /// How long a model has to stay `new` until its training has surely not begun (ms): an hour at
    /// least. None if that is not known, or too long to be believed.
    pub fn settle(&self, times: &Times) -> Option<Millis> {
        let factor = match self.samples {
            ..ENOUGH => return None,
            ENOUGH..PLENTY => 20,
            PLENTY.. => 6,
        };
        let settle = self.longest.saturating_mul(factor).max(times.alone());
        (settle <= times.longest_for_a_training()).then_some(settle)
    }
}

/// What a read of the model says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing has begun.
    New,
    /// A training has begun, or is over.
    PastNew,
    /// The model is gone.
    Deleted,
}

/// A read of the model, and what is known beside it.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// What it says.
    pub status: Status,
    /// The vendor's word for that.
    pub word: &'a str,
    /// How long the vendor has been looked at (ms).
    pub looking: Millis,
    /// Whether nobody looked for so long that the training may have begun and failed meanwhile.
    pub hole: bool,
    /// A job that no row claims, and that may be the training's entry in the list.
    pub entry: Option<&'a str>,
}

/// What that proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has begun.
    Began {
        /// The proof.
        why: String,
    },
    /// It surely has not.
    Absent {
        /// The proof.
        why: String,
    },
    /// Nothing is proven yet.
    Wait {
        /// What was seen, and what is waited for.
        why: String,
        /// Whether waiting alone can prove that it has not begun.
        settles: bool,
    },
    /// Only a person can tell.
    Person {
        /// What was seen.
        why: String,
    },
}

/// Decides.
pub fn judge(reading: &Reading<'_>, delay: &Delay, times: &Times) -> Verdict {
    let Reading { status, word, looking, hole, entry } = *reading;
    match status {
        Status::New => {}
        Status::PastNew => {
            return Verdict::Began { why: format!("the model's status is {word:?}") };
        }
        Status::Deleted => {
            let why = "the training's model has been deleted since".to_owned();
            return Verdict::Person { why };
        }
    }
    let minutes = |millis: Millis| millis / MINUTE;
    let never = if let Some(job) = entry {
        format!(
            "the model is still {word}, but the vendor's job {job} may be this training's entry"
        )
    } else if hole {
        format!(
            "the model is {word}, but for more than ten minutes nobody read it, in which the training may \
             have begun and failed"
        )
    } else if delay.is_untried() {
        format!(
            "the model is still {word}, which proves nothing: how late its status follows has been \
             measured {} times, and {ENOUGH} are needed",
            delay.samples
        )
    } else if let Some(settle) = delay.settle(times) {
        if looking >= settle {
            let why = format!(
                "the model is still {word} after {} min, and its status was never seen to follow later \
                 than {} s",
                minutes(settle),
                delay.longest.div_euclid(SECOND) + 1
            );
            return Verdict::Absent { why };
        }
        let why = format!(
            "the model is still {word} after {} of {} min (its status has followed within {} s)",
            minutes(looking),
            minutes(settle),
            delay.longest.div_euclid(SECOND) + 1
        );
        return Verdict::Wait { why, settles: true };
    } else {
        format!(
            "the model is still {word}, which proves nothing: its status was seen to follow {} min late",
            minutes(delay.longest)
        )
    };
    Verdict::Wait { why: never, settles: false }
}

/// Whether a person is asked, while the looking goes on: when absence cannot come by itself, or has not
/// come for two hours.
pub fn asks(settles: bool, looking: Millis, times: &Times) -> bool {
    looking >= times.longest_for_a_training() || !settles && looking >= times.alone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HOUR;

    const TIMES: fn() -> Times = || Times::auto(30 * SECOND);

    fn delays(samples: u32, longest: Millis) -> Delay {
        (0..samples).fold(Delay::default(), |delay, _| delay.and(longest))
    }

    fn new(looking: Millis) -> Reading<'static> {
        Reading { status: Status::New, word: "new", looking, hole: false, entry: None }
    }

    fn says(reading: &Reading<'_>, delay: Delay) -> Verdict {
        judge(reading, &delay, &TIMES())
    }

    fn waits(reading: &Reading<'_>, delay: Delay) -> (String, bool) {
        match says(reading, delay) {
            Verdict::Wait { why, settles } => (why, settles),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn absence_takes_measurements_and_an_hour_at_least() {
        let quick = delays(3, 10 * SECOND);
        assert_eq!(quick.settle(&TIMES()), Some(HOUR));
        assert!(waits(&new(HOUR - 1), quick).1);
        assert!(matches!(says(&new(HOUR), quick), Verdict::Absent { .. }));
        let (why, settles) = waits(&new(99 * HOUR), delays(2, 10 * SECOND));
        assert!(!settles && why.contains("measured 2 times"), "{why}");
        // Twenty times the longest, six times once ten are known, and never above two hours.
        let settle = |samples, longest| delays(samples, longest).settle(&TIMES());
        assert_eq!(settle(9, 5 * MINUTE), Some(100 * MINUTE));
        assert_eq!(settle(9, 6 * MINUTE), Some(2 * HOUR));
        assert_eq!(settle(9, 6 * MINUTE + 1), None);
        assert_eq!(settle(10, 6 * MINUTE + 1), Some(HOUR));
        assert_eq!(settle(10, 20 * MINUTE), Some(2 * HOUR));
        assert_eq!(settle(10, 20 * MINUTE + 1), None);
        let (why, settles) = waits(&new(99 * HOUR), delays(10, 3 * HOUR));
        assert!(!settles && why.contains("180 min late"), "{why}");
        assert_eq!(delays(4, SECOND).and(9).longest, SECOND, "the longest counts");
    }

    #[test]
    fn what_may_have_happened_unseen_is_never_absent() {
        let quick = delays(30, SECOND);
        let hole = Reading { hole: true, ..new(9 * HOUR) };
        let (why, settles) = waits(&hole, quick);
        assert!(!settles && why.contains("nobody read it"), "{why}");
        let entry = Reading { entry: Some("job_7"), ..new(9 * HOUR) };
        let (why, settles) = waits(&entry, quick);
        assert!(!settles && why.contains("job_7"), "{why}");
    }

    #[test]
    fn a_status_past_new_settles_it_whatever_else_is_known() {
        let began = Reading { status: Status::PastNew, word: "failed", ..new(0) };
        let all = Reading { hole: true, entry: Some("job_7"), ..began };
        for reading in [began, all] {
            assert!(matches!(says(&reading, Delay::default()), Verdict::Began { .. }));
        }
        let gone = Reading { status: Status::Deleted, word: "deleted", ..new(0) };
        assert!(matches!(says(&gone, delays(9, 0)), Verdict::Person { .. }));
    }

    #[test]
    fn a_person_is_asked_only_when_waiting_does_not_help() {
        let asks = |settles, looking| asks(settles, looking, &TIMES());
        assert!(!asks(false, HOUR - 1) && asks(false, HOUR));
        assert!(!asks(true, 2 * HOUR - 1) && asks(true, 2 * HOUR));
    }
}
