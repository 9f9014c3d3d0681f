//! A 401, and what it does not mean.

use super::bench_tests::Bench;
use crate::domain::ids::{Id, Millis};
use crate::domain::work::Kind;
use judging::{HOUR, MINUTE};

impl Bench {
    async fn is_paused(&self) -> bool {
        self.engine.store.pauses().await.unwrap().spending.is_some()
    }

    /// What the recurring task does each minute, for `time`; answers how often it asked.
    async fn minutes_pass(&self, time: Millis) -> u32 {
        let mut asked = 0;
        for _ in 0..time / MINUTE {
            self.clock.advance(MINUTE);
            if self.engine.key_is_due().await {
                self.engine.probe_key().await;
                asked += 1;
            }
        }
        asked
    }

    /// The order is sent as soon as spending is not paused.
    async fn goes_out(&self, id: Id) {
        assert!(!self.is_paused().await);
        self.clock.advance(HOUR);
        self.step(Kind::Job, id).await;
        assert_eq!(self.state(id).await, "running");
    }
}

#[tokio::test]
async fn one_is_no_refused_key() {
    let bench = Bench::new().await;
    bench.bought().await;
    let id = bench.picture().await;
    bench.when_asked("/generation", |vendor, _| vendor.refuses = 1);
    bench.step(Kind::Job, id).await;
    assert_eq!((bench.state(id).await, bench.is_paused().await), ("queued", false));
    assert!(bench.note(id).await.contains("the vendor takes the key"), "{}", bench.note(id).await);
    bench.goes_out(id).await;
    assert_eq!(bench.engine.store.spend_proof().await.unwrap().accepted, 2);
}

#[tokio::test]
async fn ten_in_a_row_heal_without_a_hand() {
    let bench = Bench::new().await;
    bench.bought().await;
    let id = bench.picture().await;
    bench.when_asked("/generation", |vendor, _| vendor.refuses = 10);
    bench.step(Kind::Job, id).await;
    assert_eq!((bench.state(id).await, bench.is_paused().await), ("queued", true));
    assert_eq!(bench.minutes_pass(HOUR).await, 9, "the call and its ping were two of the ten");
    bench.goes_out(id).await;
}

#[tokio::test]
async fn a_key_that_is_refused_pauses_and_fails_nothing() {
    let bench = Bench::new().await;
    bench.bought().await;
    let id = bench.picture().await;
    bench.when_asked("/generation", |vendor, _| vendor.refuses = u32::MAX);
    bench.step(Kind::Job, id).await;
    let asked = bench.minutes_pass(24 * HOUR).await;
    assert!((280..=290).contains(&asked), "less and less often: {asked}");
    assert_eq!((bench.state(id).await, bench.is_paused().await), ("queued", true));
    bench.vendor().refuses = 0;
    bench.minutes_pass(10 * MINUTE).await;
    bench.goes_out(id).await;
}
