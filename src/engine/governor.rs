//! Treating the vendor gently: requests per second, slowing down after a 429, and a breaker that
//! stops asking while nobody answers.

use crate::clock::Clock;
use crate::domain::failure::{Failure, FailureClass};
use crate::domain::ids::Millis;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Calls in a row without any HTTP answer that open the breaker.
const OPENS_AFTER: u32 = 3;
/// First wait of the open breaker; doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Longest wait of the open breaker: how late an outage's end is noticed.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A 429 halves the rate; it comes back by a tenth of the full rate per this time.
const RECOVERY: Duration = Duration::from_secs(30);

/// How the vendor is doing, as a person would say it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Health {
    /// `ok` or `unreachable`.
    pub state: &'static str,
    /// Since when.
    pub since: Millis,
    /// What went wrong last.
    pub problem: Option<String>,
}

struct Inner {
    /// When the next request may go out.
    next_slot: Instant,
    /// Share of the full rate, 0 < share <= 1.
    share: f64,
    slowed_at: Instant,
    silent: u32,
    closed_until: Option<Instant>,
    wait: Duration,
    health: Health,
}

/// Shared by everything that calls the vendor.
pub struct Governor {
    per_second: f64,
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
    /// Held by the one patient request that has its turn coming.
    patient: tokio::sync::Mutex<()>,
    /// The same for reads of what is known to have ended.
    early: tokio::sync::Mutex<()>,
}

/// A wait shorter than this is not worth keeping other patient requests behind it: a timer is no
/// finer than a millisecond, and thousands of turns a second may be allowed.
const SHORT: Duration = Duration::from_millis(5);

impl Governor {
    /// A governor that lets `per_second` requests through.
    pub fn new(per_second: u32, clock: Arc<dyn Clock>) -> Self {
        let now = Instant::now();
        let health = Health { state: "ok", since: clock.now(), problem: None };
        Self {
            per_second: f64::from(per_second.max(1)),
            clock,
            inner: Mutex::new(Inner {
                next_slot: now,
                share: 1.0,
                slowed_at: now,
                silent: 0,
                closed_until: None,
                wait: FIRST_WAIT,
                health,
            }),
            patient: tokio::sync::Mutex::new(()),
            early: tokio::sync::Mutex::new(()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for this request's turn.
    pub async fn turn(&self) {
        tokio::time::sleep_until(self.reserve()).await;
    }

    /// Waits for the turn of a request that can wait, a poll. Only one of these has a turn reserved
    /// at a time, so that any other request waits for one poll at most, however many there are.
    pub async fn patient_turn(&self) {
        self.queued(&self.patient).await;
    }

    /// The same for the read of something that is known to have ended: polls do not delay it, and
    /// many of them delay nothing else.
    pub async fn early_turn(&self) {
        self.queued(&self.early).await;
    }

    async fn queued(&self, line: &tokio::sync::Mutex<()>) {
        let at = {
            let _first = line.lock().await;
            let at = self.reserve();
            if at.saturating_duration_since(Instant::now()) > SHORT {
                tokio::time::sleep_until(at).await;
            }
            at
        };
        tokio::time::sleep_until(at).await;
    }

    /// Takes the next free turn.
    fn reserve(&self) -> Instant {
        let mut inner = self.lock();
        let now = Instant::now();
        let recovered =
            now.duration_since(inner.slowed_at).as_secs_f64() / RECOVERY.as_secs_f64() / 10.0;
        let share = (inner.share + recovered).min(1.0);
        let gap = Duration::from_secs_f64(1.0 / (self.per_second * share));
        let at = inner.next_slot.max(now);
        inner.next_slot = at + gap;
        at
    }

    /// Whether the last call brought no answer: then one look at a time is enough to find out.
    pub fn is_unsure(&self) -> bool {
        self.lock().silent > 0
    }

    /// While the breaker is open: until when nothing should be tried.
    pub fn closed_until(&self) -> Option<Instant> {
        self.lock().closed_until.filter(|until| *until > Instant::now())
    }

    /// How the vendor is doing.
    pub fn health(&self) -> Health {
        self.lock().health.clone()
    }

    /// Learns from a call's result. Answers the new health when it has changed.
    pub fn note<T>(&self, result: &Result<T, Failure>) -> Option<Health> {
        let mut inner = self.lock();
        let answered = match result {
            Ok(_) => true,
            Err(failure) => failure.http_status.is_some(),
        };
        if let Err(failure) = result
            && failure.class == FailureClass::RefusedForNow
            && failure.http_status == Some(429)
        {
            inner.share = (inner.share / 2.0).max(0.05);
            inner.slowed_at = Instant::now();
        }
        if answered {
            inner.silent = 0;
            inner.wait = FIRST_WAIT;
            inner.closed_until = None;
            return self.turned(&mut inner, "ok", None);
        }
        inner.silent = inner.silent.saturating_add(1);
        if inner.silent < OPENS_AFTER {
            return None;
        }
        inner.closed_until = Some(Instant::now() + inner.wait);
        inner.wait = (inner.wait * 2).min(LONGEST_WAIT);
        let problem = result.as_ref().err().map(|failure| failure.message.clone());
        self.turned(&mut inner, "unreachable", problem)
    }

    fn turned(
        &self,
        inner: &mut Inner,
        state: &'static str,
        problem: Option<String>,
    ) -> Option<Health> {
        if inner.health.state == state {
            return None;
        }
        inner.health = Health { state, since: self.clock.now(), problem };
        Some(inner.health.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn silence() -> Result<(), Failure> {
        Err(Failure {
            class: FailureClass::NotSent,
            message: "refused".into(),
            http_status: None,
            reply: None,
            retry_after: None,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn the_breaker_opens_on_silence_and_closes_on_any_answer() {
        let governor = Governor::new(10, Arc::new(ManualClock::new(7)));
        assert!(governor.note(&silence()).is_none());
        assert!(governor.note(&silence()).is_none());
        let health = governor.note(&silence()).unwrap();
        assert_eq!(health.state, "unreachable");
        assert!(governor.closed_until().is_some());
        tokio::time::advance(FIRST_WAIT).await;
        assert!(governor.closed_until().is_none(), "one try is allowed");
        assert_eq!(governor.note(&Ok(())).unwrap().state, "ok");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_does_not_wait_behind_a_queue_of_polls() {
        let governor = Arc::new(Governor::new(10, Arc::new(ManualClock::new(7))));
        let start = Instant::now();
        let polls: Vec<_> = (0..50)
            .map(|_| {
                let governor = governor.clone();
                tokio::spawn(async move { governor.patient_turn().await })
            })
            .collect();
        tokio::task::yield_now().await;
        governor.turn().await;
        assert!(start.elapsed() <= Duration::from_millis(201), "{:?}", start.elapsed());
        for poll in polls {
            poll.await.unwrap();
        }
        assert_eq!(start.elapsed().as_millis() / 100, 50, "and the limit holds for all of them");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_spread_and_a_429_halves_the_rate() {
        let governor = Governor::new(10, Arc::new(ManualClock::new(7)));
        let start = Instant::now();
        for _ in 0..5 {
            governor.turn().await;
        }
        assert_eq!(start.elapsed().as_millis() / 100, 4);
        let mut slow = silence().unwrap_err();
        (slow.class, slow.http_status) = (FailureClass::RefusedForNow, Some(429));
        governor.note::<()>(&Err(slow));
        governor.turn().await;
        let before = Instant::now();
        governor.turn().await;
        assert!(before.elapsed() >= Duration::from_millis(190));
    }
}
