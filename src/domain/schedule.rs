//! When to look next: the poll grid, back-off and jitter. All durations are milliseconds.

use super::ids::{Id, Millis};

/// The configured durations that the rules need, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two looks at a training (vendor-api.md section 4: 5 minutes).
    pub poll_training: Millis,
    /// Between two looks at a job (vendor-api.md section 4: 5 seconds).
    pub poll_job: Millis,
    /// Between two looks at a video file being prepared.
    pub poll_download: Millis,
    /// How long a model or upload in doubt may stay unfound before it counts as absent.
    pub free_settle: Millis,
    /// Between two looks at a call in doubt.
    pub relist: Millis,
    /// A training running longer than this is flagged, and still watched.
    pub flag_training_after: Millis,
    /// How long an output may stay unfetched, or a known id unknown to the vendor.
    pub give_up_after: Millis,
    /// How long after its acceptance a row is looked at first, as its like have taught
    /// ([`super::duration`]); 0: one step of the grid.
    pub first_look: Millis,
    /// The grid that a row joins when it is accepted; none: one of its own.
    pub join: Option<Millis>,
}

impl Default for Timing {
    fn default() -> Self {
        const SECOND: Millis = 1_000;
        const MINUTE: Millis = 60 * SECOND;
        Self {
            poll_training: 5 * MINUTE,
            poll_job: 5 * SECOND,
            poll_download: 2 * SECOND,
            free_settle: 10 * SECOND,
            relist: 30 * SECOND,
            flag_training_after: 35 * MINUTE,
            give_up_after: 24 * 60 * MINUTE,
            first_look: 0,
            join: None,
        }
    }
}

/// First delay after a soft failure; doubles each time.
const BACKOFF_BASE: Millis = 1_000;
/// Longest delay between two tries of a call that keeps failing softly.
const BACKOFF_CAP: Millis = 5 * 60 * 1_000;
/// Longest delay between two looks at an id the vendor answers 404 for.
pub const HOURLY: Millis = 60 * 60 * 1_000;

/// The step of the poll grid: the interval and a hundredth of it, so that a look that was a little
/// late does not bring the next one sooner than an interval after it. The view `clock` does the
/// same.
pub fn step(interval: Millis) -> Millis {
    interval.max(1).saturating_add(interval / 100)
}

/// Anchor and first look of a row accepted at `now`, so that the first look is a point of the grid.
pub fn first_look(id: Id, now: Millis, interval: Millis, timing: &Timing) -> (Millis, Millis) {
    let (step, wait) = (step(interval), timing.first_look);
    if let Some(anchor) = timing.join.filter(|anchor| *anchor <= now) {
        return (anchor, grid_next(anchor, step, now.saturating_add(wait.max(1)) - 1));
    }
    let due = poll_anchor(id, now, interval).saturating_add(wait.max(step));
    (due - step, due)
}

/// The first point after `now` of the grid `anchor + k * interval`.
///
/// A restart therefore neither looks early nor loses its place. A clock that went back does not
/// strand the row either: the grid reaches back as far as it reaches ahead.
pub fn grid_next(anchor: Millis, interval: Millis, now: Millis) -> Millis {
    let interval = interval.max(1);
    let past = now.saturating_sub(anchor).rem_euclid(interval);
    now.saturating_add(interval - past)
}

/// A fixed offset in `0..span` from the row's id, so that rows accepted together spread out.
pub fn jitter(id: Id, span: Millis) -> Millis {
    if span <= 0 {
        return 0;
    }
    // The remainder is below `span`, which fits.
    (id.entropy() % span.unsigned_abs()).cast_signed()
}

/// The latest time that a row may sensibly wait for: anything later is a clock that went back.
///
/// `went_back`: whether that is known to have happened. Back-off ends after minutes; only an id
/// that the vendor does not know is left alone for an hour.
pub fn latest_due(now: Millis, went_back: bool) -> Millis {
    now.saturating_add(if went_back { 2 * BACKOFF_CAP } else { HOURLY + HOURLY / 5 })
}

/// The grid's anchor for a row accepted at `accepted_at`: up to a tenth of the interval later.
pub fn poll_anchor(id: Id, accepted_at: Millis, interval: Millis) -> Millis {
    accepted_at.saturating_add(jitter(id, interval / 10))
}

/// Delay before try number `failures + 1`: 1 s, 2 s, 4 s ... 5 min, plus up to a quarter.
pub fn backoff(id: Id, failures: u32) -> Millis {
    let plain = BACKOFF_BASE.saturating_mul(1 << failures.min(16)).min(BACKOFF_CAP);
    plain + jitter(id, plain / 4)
}

/// Delay before the next look at an id the vendor does not know: 5 s doubling up to an hour.
pub fn backoff_missing(id: Id, failures: u32) -> Millis {
    let plain = (5 * BACKOFF_BASE).saturating_mul(1 << failures.min(16)).min(HOURLY);
    plain + jitter(id, plain / 10)
}

/// How many failed tries in a row a limit by elapsed time needs besides the time: as many as a
/// quarter of `time` brings when each waits `delay(tries before it)`.
///
/// The wall clock may have been set forward, and the daemon may not have run: time alone proves
/// nothing. A quarter, because tries take time themselves.
pub fn witnesses(time: Millis, delay: impl Fn(u32) -> Millis) -> u32 {
    let mut tries = 0;
    let mut passed: Millis = 0;
    while passed < time / 4 {
        passed = passed.saturating_add(delay(tries).max(BACKOFF_BASE));
        tries += 1;
    }
    tries.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(n: u128) -> Id {
        Id(uuid::Uuid::from_u128(n))
    }

    proptest! {
        #[test]
        fn grid_is_after_now_and_within_one_interval(anchor in 0i64..1 << 50, interval in 1i64..1 << 40, now in 0i64..1 << 50) {
            let next = grid_next(anchor, interval, now);
            prop_assert!(next > now);
            prop_assert!(next <= now + interval);
            prop_assert_eq!((next - anchor) % interval, 0);
        }

        #[test]
        fn backoff_grows_and_stays_bounded(n in any::<u128>(), failures in any::<u32>()) {
            let delay = backoff(id(n), failures);
            prop_assert!((BACKOFF_BASE..=BACKOFF_CAP + BACKOFF_CAP / 4).contains(&delay));
            prop_assert!(backoff_missing(id(n), failures) <= HOURLY + HOURLY / 10);
        }
    }

    proptest! {
        #[test]
        fn the_first_look_is_on_the_grid_and_not_before_its_time(
            n in any::<u128>(), wait in 0i64..1 << 22, interval in 1i64..1 << 20,
            join in prop::option::of(0i64..1 << 40),
        ) {
            let now = 1 << 40;
            let timing = Timing { first_look: wait, join, ..Timing::default() };
            let (anchor, due) = first_look(id(n), now, interval, &timing);
            prop_assert_eq!((due - anchor) % step(interval), 0);
            prop_assert!(due >= now + wait && due > now);
            prop_assert!(due <= now + wait.max(step(interval)) + step(interval));
            prop_assert!(join.is_none_or(|join| anchor == join));
        }
    }

    #[test]
    fn a_day_of_trouble_needs_hours_of_failed_tries() {
        let day = Timing::default().give_up_after;
        let hours = |tries: u32, delay: fn(Id, u32) -> Millis| {
            (0..tries).map(|n| delay(id(7), n)).sum::<Millis>() / HOURLY
        };
        for delay in [backoff, backoff_missing] {
            let tries = witnesses(day, |n| delay(id(7), n));
            assert!((6..8).contains(&hours(tries, delay)), "{tries} tries");
        }
        assert_eq!(witnesses(2_000, |n| backoff(id(7), n)), 1, "the first one of a short limit");
        assert_eq!(witnesses(0, |_| 0), 1);
    }

    #[test]
    fn a_restart_keeps_the_grid() {
        assert_eq!(grid_next(1_000, 300, 1_000), 1_300);
        assert_eq!(grid_next(1_000, 300, 1_299), 1_300);
        assert_eq!(grid_next(1_000, 300, 1_300), 1_600);
        assert_eq!(grid_next(1_000, 300, 500), 700, "the clock went back");
    }
}
