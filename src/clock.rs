//! Time as a dependency: the daemon asks a [`Clock`], tests turn a [`ManualClock`].

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Unix time in milliseconds, UTC.
pub type Millis = crate::domain::ids::Millis;

/// Where the current time comes from.
pub trait Clock: Send + Sync {
    /// The wall clock, Unix milliseconds UTC. It may jump in both directions: store it, show it,
    /// but measure with [`Clock::monotonic`].
    fn now(&self) -> Millis;

    /// Time since this clock was made; never runs backwards, and stands still while the machine
    /// sleeps.
    fn monotonic(&self) -> Duration;

    /// The same, with the time in which the machine slept.
    fn uptime(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Clone, Debug)]
pub struct SystemClock {
    started: Instant,
    since_boot: Duration,
}

/// Time since the machine was started, asleep or not.
fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl SystemClock {
    /// A clock whose monotonic time starts at zero now.
    pub fn new() -> Self {
        Self { started: Instant::now(), since_boot: since_boot() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => millis(since),
            // A machine that believes it is before 1970 has lost its clock battery.
            Err(before) => -millis(before.duration()),
        }
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn uptime(&self) -> Duration {
        since_boot().saturating_sub(self.since_boot)
    }
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct ManualClock {
    time: Mutex<(Millis, Duration)>,
}

impl ManualClock {
    /// A clock whose wall time is `now` (Unix milliseconds) and whose monotonic time is zero.
    pub fn new(now: Millis) -> Self {
        Self { time: Mutex::new((now, Duration::ZERO)) }
    }

    /// Lets `by` pass: both clocks move on.
    pub fn advance(&self, by: Duration) {
        let mut time = self.lock();
        time.0 = time.0.saturating_add(millis(by));
        time.1 = time.1.saturating_add(by);
    }

    /// Sets the wall clock to `now` (Unix milliseconds), as an administrator or NTP would. The
    /// monotonic clock does not notice.
    pub fn set(&self, now: Millis) {
        self.lock().0 = now;
    }

    fn lock(&self) -> MutexGuard<'_, (Millis, Duration)> {
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        self.lock().0
    }

    fn monotonic(&self) -> Duration {
        self.lock().1
    }

    fn uptime(&self) -> Duration {
        self.lock().1
    }
}

/// A duration in whole milliseconds, for arithmetic with [`Millis`].
pub fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

/// A new id of ours: UUIDv7, so that ids sort by creation.
pub fn new_id() -> crate::domain::ids::Id {
    crate::domain::ids::Id(uuid::Uuid::now_v7())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_clock_moves_only_when_told() {
        let clock = ManualClock::new(1_000);
        assert_eq!((clock.now(), clock.monotonic()), (1_000, Duration::ZERO));
        clock.advance(Duration::from_secs(2));
        assert_eq!((clock.now(), clock.monotonic()), (3_000, Duration::from_secs(2)));
        clock.set(500);
        assert_eq!((clock.now(), clock.monotonic()), (500, Duration::from_secs(2)));
    }

    #[test]
    fn system_clock_is_after_2024_and_monotonic() {
        let clock = SystemClock::new();
        assert!(clock.now() > 1_704_067_200_000);
        let first = clock.monotonic();
        assert!(clock.monotonic() >= first);
    }

    #[test]
    fn millis_saturates() {
        assert_eq!(millis(Duration::from_micros(1_999)), 1);
        assert_eq!(millis(Duration::MAX), Millis::MAX);
    }
}
