//! Statuses that no documentation has, work that the vendor never finishes, and what a person may say
//! about it meanwhile.

use super::bench_tests::Bench;
use crate::clock::new_id;
use crate::domain::event::Event;
use crate::domain::ids::{Id, Millis, RemoteJobId, RemoteModelId};
use crate::domain::work::Kind;
use crate::store::retry::Retry;
use crate::store::verdict::Resolve;
use judging::{DAY, HOUR, MINUTE, SECOND};

impl Bench {
    /// A job that the vendor has, which says this of it and shows no media.
    async fn running(&self, word: &'static str) -> Id {
        let id = self.picture().await;
        self.step(Kind::Job, id).await;
        {
            let mut vendor = self.vendor();
            (vendor.word, vendor.bare) = (word, true);
        }
        id
    }

    /// Looks at it as often as every `every` for `time`, like the timer; and every ten minutes like a
    /// sweep. What it is then.
    async fn watched(&self, kind: Kind, id: Id, every: Millis, time: Millis) -> &'static str {
        let (mut since, until) = (0, self.engine.now() + time);
        while self.engine.now() < until {
            self.clock.advance(every);
            since += every;
            self.see(kind, id).await;
            if since >= 10 * MINUTE {
                since = 0;
                self.engine.look_at_stalled().await;
            }
        }
        self.row(kind, id).await.state.as_str()
    }

    /// One look of the timer, which looks at nothing but what runs.
    async fn see(&self, kind: Kind, id: Id) {
        let work = self.row(kind, id).await;
        if work.state.as_str() != "running" {
            return;
        }
        let remote = work.remote_id.clone().unwrap();
        let client = &self.engine.client;
        if kind == Kind::Job {
            let job = client.get_job(&RemoteJobId(remote)).await.unwrap().value;
            self.engine.job_seen(&work, &job, None).await.unwrap();
        } else {
            let model = client.get_model(&RemoteModelId(remote)).await.unwrap().value;
            self.engine.training_seen(&work, &model, None).await.unwrap();
        }
    }

    async fn error(&self, kind: Kind, id: Id) -> (&'static str, String) {
        let error = self.row(kind, id).await.error.unwrap();
        (error.reason.as_str(), error.message)
    }

    async fn say(&self, id: Id, event: Event) -> Result<(), String> {
        let (actor, timing) = ("me".to_owned(), *self.engine.store.timing());
        let verdict = Resolve { kind: Kind::Job, id, event, version: None, actor, timing };
        let said = self.engine.store.writer().write(verdict).await;
        said.map(drop).map_err(|error| error.to_string())
    }
}

#[tokio::test]
async fn a_word_that_ends_counts_when_it_was_said_for_a_minute() {
    for word in ["canceled", "Failure", "timed_out", "rejected_by_moderation"] {
        let bench = Bench::new().await;
        let id = bench.running(word).await;
        assert_eq!(bench.watched(Kind::Job, id, 5 * SECOND, MINUTE).await, "running", "{word}");
        let heard = word.to_lowercase();
        assert!(bench.note(id).await.contains(&heard));
        assert_eq!(bench.watched(Kind::Job, id, 5 * SECOND, 5 * SECOND).await, "failed", "{word}");
        let (reason, why) = bench.error(Kind::Job, id).await;
        assert!(reason == "vendor_failed" && why.contains(&heard), "{reason}: {why}");
        let events = bench.engine.store.events(&[id], 0).await.unwrap();
        let last = serde_json::to_string(events.last().unwrap()).unwrap();
        assert!(last.contains("RemoteJob"), "the reply is kept: {last}");
    }
}

#[tokio::test]
async fn one_reading_of_such_a_word_ends_nothing() {
    let bench = Bench::new().await;
    let id = bench.running("canceled").await;
    for _ in 0..5 {
        bench.vendor().word = "canceled";
        bench.watched(Kind::Job, id, 5 * SECOND, 55 * SECOND).await;
        bench.vendor().word = "running";
        assert_eq!(bench.watched(Kind::Job, id, 5 * SECOND, 5 * SECOND).await, "running");
        assert_eq!(bench.note(id).await, "");
    }
}

#[tokio::test]
async fn media_settle_what_no_word_does() {
    for word in ["baked", "canceled", "failed"] {
        let bench = Bench::new().await;
        let id = bench.running(word).await;
        bench.vendor().bare = false;
        assert_eq!(bench.watched(Kind::Job, id, 5 * SECOND, MINUTE).await, "running", "{word}");
        bench.watched(Kind::Job, id, 5 * SECOND, 5 * SECOND).await;
        assert_eq!(bench.state(id).await, "collecting", "{word}");
    }
}

#[tokio::test]
async fn an_unknown_word_is_watched_for_an_hour_and_then_asked_about_and_watched() {
    let bench = Bench::new().await;
    let id = bench.running("simmering").await;
    assert_eq!(bench.watched(Kind::Job, id, 5 * SECOND, 59 * MINUTE).await, "running");
    assert_eq!(bench.watched(Kind::Job, id, 5 * SECOND, 2 * MINUTE).await, "attention");
    let (reason, why) = bench.error(Kind::Job, id).await;
    assert!(reason == "stalled" && why.contains("simmering"), "{why}");
    let asked = bench.engine.store.asked_about(id).await.unwrap();
    assert_eq!(asked, [why]);
    // Its slot is free, and it stays a person's as long as nothing clear is said.
    assert!(bench.engine.store.runs_fewer_than(Kind::Job, 1).await.unwrap());
    assert_eq!(bench.watched(Kind::Job, id, MINUTE, 3 * HOUR).await, "attention");
    bench.vendor().word = "running";
    assert_eq!(bench.watched(Kind::Job, id, MINUTE, 10 * MINUTE).await, "running");
    bench.vendor().word = "simmering";
    assert_eq!(bench.watched(Kind::Job, id, MINUTE, 62 * MINUTE).await, "attention");
    {
        let mut vendor = bench.vendor();
        (vendor.word, vendor.bare) = ("", false);
    }
    bench.watched(Kind::Job, id, MINUTE, 10 * MINUTE).await;
    assert_eq!(bench.state(id).await, "collecting");
    assert_eq!(bench.vendor().paid_calls(), 1);
}

#[tokio::test]
async fn a_word_for_a_training_is_watched_for_six_hours() {
    let bench = Bench::new().await;
    let id = bench.training().await;
    bench.vendor().model = "new";
    bench.step(Kind::Training, id).await;
    bench.vendor().model = "polishing";
    let every = 5 * MINUTE;
    assert_eq!(bench.watched(Kind::Training, id, every, 6 * HOUR - every).await, "running");
    assert_eq!(bench.watched(Kind::Training, id, every, 2 * every).await, "attention");
    assert_eq!(bench.error(Kind::Training, id).await.0, "stalled");
    bench.vendor().model = "ready";
    assert_eq!(bench.watched(Kind::Training, id, every, 2 * every).await, "succeeded");
}

#[tokio::test]
async fn a_training_ends_with_a_word_that_ends() {
    let bench = Bench::new().await;
    let id = bench.training().await;
    bench.vendor().model = "new";
    bench.step(Kind::Training, id).await;
    bench.vendor().model = "canceled";
    assert_eq!(bench.watched(Kind::Training, id, 5 * MINUTE, 5 * MINUTE).await, "running");
    assert_eq!(bench.watched(Kind::Training, id, 5 * MINUTE, 5 * MINUTE).await, "failed");
}

#[tokio::test]
async fn what_the_vendor_never_finishes_is_asked_about_after_a_day_and_watched() {
    for kind in [Kind::Job, Kind::Training] {
        let bench = Bench::new().await;
        let id = match kind {
            Kind::Job => bench.running("running").await,
            _ => {
                let id = bench.training().await;
                bench.vendor().model = "new";
                bench.step(kind, id).await;
                bench.vendor().model = "training";
                id
            }
        };
        assert_eq!(bench.watched(kind, id, 5 * MINUTE, DAY - 10 * MINUTE).await, "running");
        assert_eq!(bench.watched(kind, id, 5 * MINUTE, HOUR).await, "attention");
        assert!(bench.error(kind, id).await.1.contains("more than 24 hours"));
        assert_eq!(bench.watched(kind, id, 5 * MINUTE, 5 * HOUR).await, "attention", "as it was");
        // Whoever wants to wait for it waits another day.
        let (actor, timing) = ("me".to_owned(), *bench.engine.store.timing());
        let retry = Retry { kind, id, resubmit: false, actor, new_id, timing };
        bench.engine.store.writer().write(retry).await.unwrap();
        assert_eq!(bench.watched(kind, id, 5 * MINUTE, 5 * HOUR).await, "running");
        assert_eq!(bench.watched(kind, id, 5 * MINUTE, 20 * HOUR).await, "attention");
        assert_eq!(bench.vendor().paid_calls(), 1);
    }
}

/// A wall clock that somebody sets ends no waiting.
#[tokio::test]
async fn a_clock_that_jumps_asks_nobody() {
    let bench = Bench::new().await;
    let id = bench.running("simmering").await;
    bench.watched(Kind::Job, id, 5 * SECOND, MINUTE).await;
    bench.clock.step_by(2 * DAY);
    bench.engine.now();
    bench.clock.step_by(0);
    assert_eq!(bench.watched(Kind::Job, id, 5 * SECOND, 11 * MINUTE).await, "running");
}

#[tokio::test]
async fn what_runs_may_be_given_up_and_is_fetched_all_the_same() {
    let bench = Bench::new().await;
    let id = bench.running("running").await;
    let by = || "me".to_owned();
    let said = bench.say(id, Event::Resubmit { by: by() }).await.unwrap_err();
    assert!(said.contains("does not accept"), "{said}");
    bench.say(id, Event::Abandon { by: by() }).await.unwrap();
    assert_eq!(
        (bench.state(id).await, bench.error(Kind::Job, id).await.0),
        ("failed", "abandoned")
    );
    assert!(bench.engine.store.runs_fewer_than(Kind::Job, 1).await.unwrap(), "its slot is free");
    let (actor, timing) = ("me".to_owned(), *bench.engine.store.timing());
    let retry = Retry { kind: Kind::Job, id, resubmit: false, actor, new_id, timing };
    bench.engine.store.writer().write(retry).await.unwrap();
    let again = bench.engine.store.running_since(Millis::MAX).await.unwrap();
    let [(Kind::Job, again)] = again.as_slice() else { panic!("{again:?}") };
    {
        let mut vendor = bench.vendor();
        (vendor.word, vendor.bare) = ("", false);
    }
    bench.watched(Kind::Job, *again, 5 * SECOND, 5 * SECOND).await;
    assert_eq!((bench.state(*again).await, bench.vendor().paid_calls()), ("collecting", 1));
}

/// What a row was taken for comes to light as what it is, and the book says what was bought.
#[tokio::test]
async fn what_runs_may_turn_out_to_be_another_job() {
    let bench = Bench::new().await;
    bench.bought().await;
    let id = bench.running("running").await;
    let has = bench.row(Kind::Job, id).await.remote_id.unwrap();
    let adopt = |id: &str| Event::Adopt { remote_id: id.to_owned(), by: "me".to_owned() };
    let now = bench.engine.now();
    bench.vendor().make("other", now, "images");
    let said = bench.say(id, adopt("other")).await.unwrap_err();
    assert!(said.contains("has never shown"), "{said}");
    bench.engine.sweep().await;
    let said = bench.say(id, adopt(&has)).await.unwrap_err();
    assert!(said.contains("already"), "{said}");
    bench.say(id, adopt("other")).await.unwrap();
    let work = bench.row(Kind::Job, id).await;
    assert_eq!((work.state.as_str(), work.remote_id.as_deref()), ("running", Some("other")));
    let proof = bench.engine.store.spend_proof().await.unwrap();
    assert!(proof.balances() && proof.accepted == 2, "{proof:?}");
    bench.engine.sweep().await;
    let unclaimed = bench.engine.store.unclaimed().await.unwrap();
    let [left] = unclaimed.as_slice() else { panic!("{unclaimed:?}") };
    assert_eq!(left.remote_id, has);
}
