//! Trainings whose trigger's reply was lost, at vendors whose status follows late or never.

use super::bench_tests::{Bench, Deed};
use crate::domain::ids::{Id, Millis};
use crate::domain::work::{Kind, State};
use crate::store::doubt::NoteDelay;
use judging::{HOUR, MINUTE, SECOND};

/// Longer than any wait for a proof.
const LONG: Millis = 5 * HOUR;

impl Bench {
    /// It is known how late a model's status follows its trigger.
    async fn measured(&self, delay: Millis, samples: u32) {
        for _ in 0..samples {
            self.engine.store.writer().write(NoteDelay { delay }).await.unwrap();
        }
    }

    async fn lost_training(&self, deed: Deed) -> Id {
        let id = self.training().await;
        self.vendor().model = "new";
        self.vendor().deeds.push_back(deed);
        self.step(Kind::Training, id).await;
        assert_eq!(self.is(id).await, "in_doubt");
        id
    }

    async fn is(&self, id: Id) -> &'static str {
        self.row(Kind::Training, id).await.state.as_str()
    }

    /// Why a person is asked, if one is.
    async fn asked(&self, id: Id) -> Option<String> {
        match self.row(Kind::Training, id).await.state {
            State::InDoubt { intent, .. } => self.engine.store.intent(intent).await.unwrap().asked,
            _ => None,
        }
    }

    /// Carries it on for `time`; what it is then. The status follows after `delay`, if it does.
    async fn goes_on(&self, id: Id, time: Millis, delay: Option<Millis>) -> &'static str {
        let began = self.engine.now();
        while let State::InDoubt { due, .. } = self.row(Kind::Training, id).await.state {
            if due > began + time {
                break;
            }
            if delay.is_some_and(|delay| due >= began + delay) {
                self.vendor().model = "training";
            }
            self.step(Kind::Training, id).await;
        }
        self.is(id).await
    }
}

#[tokio::test]
async fn one_that_began_is_found_however_late_its_status_follows() {
    for delay in [0, 30 * SECOND, 20 * MINUTE, 3 * HOUR] {
        for known in [0, 3, 10] {
            let bench = Bench::new().await;
            bench.measured(delay, known).await;
            let id = bench.lost_training(Deed::LoseReply).await;
            assert_eq!(bench.goes_on(id, delay.min(HOUR) - 1, Some(delay)).await, "in_doubt");
            assert_eq!(bench.asked(id).await, None, "{known} x {delay}");
            assert_eq!(bench.goes_on(id, LONG, Some(delay)).await, "running", "{known} x {delay}");
            assert_eq!(bench.vendor().paid_calls(), 1, "{known} x {delay}");
        }
    }
}

#[tokio::test]
async fn one_that_never_began_is_sent_again_once_measurements_allow_it() {
    let bench = Bench::new().await;
    bench.measured(10 * SECOND, 3).await;
    let id = bench.lost_training(Deed::LoseRequest).await;
    assert_eq!(bench.goes_on(id, 59 * MINUTE, None).await, "in_doubt");
    assert_eq!(bench.asked(id).await, None, "it settles itself");
    assert_eq!(bench.goes_on(id, LONG, None).await, "queued");
    // Looked for once more, and lost again.
    bench.vendor().deeds.push_back(Deed::LoseRequest);
    bench.step(Kind::Training, id).await;
    assert_eq!((bench.is(id).await, bench.vendor().paid_calls()), ("in_doubt", 2));
    assert_eq!(bench.goes_on(id, LONG, None).await, "attention", "a second absence parks");
    assert_eq!(bench.vendor().paid_calls(), 2);
}

#[tokio::test]
async fn without_measurements_a_person_is_asked_and_the_looking_goes_on() {
    for (delay, samples) in [(10 * SECOND, 2), (7 * MINUTE, 3), (21 * MINUTE, 10)] {
        let bench = Bench::new().await;
        bench.measured(delay, samples).await;
        let id = bench.lost_training(Deed::LoseReply).await;
        assert_eq!(bench.goes_on(id, 58 * MINUTE, None).await, "in_doubt");
        assert_eq!(bench.asked(id).await, None);
        assert_eq!(bench.goes_on(id, LONG, None).await, "in_doubt", "nothing proves absence");
        let asked = bench.asked(id).await.unwrap();
        assert!(asked.contains("proves nothing"), "{asked}");
        // Whatever a person was asked, the status settles it.
        bench.vendor().model = "training";
        assert_eq!(bench.goes_on(id, LONG, None).await, "running");
        assert_eq!(bench.vendor().paid_calls(), 1);
    }
}

#[tokio::test]
async fn one_that_may_have_failed_while_nobody_looked_is_a_persons() {
    // The vendor began it, failed it and shows `new` again; nobody saw that.
    let bench = Bench::new().await;
    bench.measured(10 * SECOND, 30).await;
    let id = bench.lost_training(Deed::LoseReply).await;
    bench.goes_on(id, 20 * MINUTE, None).await;
    bench.clock.advance(30 * MINUTE);
    assert_eq!(bench.goes_on(id, LONG, None).await, "in_doubt");
    assert!(bench.asked(id).await.unwrap().contains("nobody read it"));
    // Nor is one sent again after such a hole.
    let other = Bench::new().await;
    other.measured(10 * SECOND, 30).await;
    let id = other.lost_training(Deed::LoseRequest).await;
    assert_eq!(other.goes_on(id, LONG, None).await, "queued");
    other.clock.advance(HOUR);
    other.step(Kind::Training, id).await;
    assert_eq!((other.is(id).await, other.vendor().paid_calls()), ("attention", 1));
}

#[tokio::test]
async fn a_job_that_may_be_its_entry_keeps_it_from_being_sent_again() {
    let bench = Bench::new().await;
    bench.measured(10 * SECOND, 30).await;
    let id = bench.lost_training(Deed::LoseReply).await;
    let now = bench.engine.now();
    bench.vendor().make("entry", now, "nothing");
    bench.engine.sweep().await;
    assert_eq!(bench.goes_on(id, LONG, None).await, "in_doubt");
    assert!(bench.asked(id).await.unwrap().contains("job entry may be"));
}
