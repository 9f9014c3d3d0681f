//! What the store refuses so that nothing is bought twice. Each guard here has a mutant in
//! `tests/mutants` that takes it out, and a test that fails then.

use super::StoreError;
use super::answers::Whose;
use super::apply::Facts;
use super::intents::{Look, Moment, NewIntent, StartSend};
use super::listing::{Heard, SaveListing};
use super::quarantine::{Release, SetQuarantine};
use super::settings::{SetPause, Switch};
use super::tests::{Bench, one_job};
use super::verdict_tests::PAID;
use crate::domain::event::Event;
use crate::domain::ids::Id;
use crate::domain::quarantine::{Class, Facts as Numbers, Quarantine};
use crate::domain::schedule::Timing;
use crate::domain::work::{Kind, Work};
use judging::missing::Missed;
use judging::times::Times;
use judging::{HOUR, MINUTE};

impl Bench {
    /// Sends again what was looked for when the list's newest job was `seen`.
    async fn send_after_look(&self, id: Id, seen: i64) -> Result<Work, StoreError> {
        let intent = NewIntent {
            lane: PAID.to_owned(),
            boot: self.boot,
            request_hash: "h".to_owned(),
            request: serde_json::json!({}),
            vendor_time: self.store.now(),
            expects: serde_json::json!({}),
            looked_seq: Some(seen),
            listed_from: None,
            opened_uptime: 0,
        };
        let (kind, timing) = (Kind::Job, Timing::default());
        self.store.writer().write(StartSend { kind, id, intent, timing }).await
    }

    /// Stores that the job is absent, as a look says that knew the list up to `seen`.
    async fn absent_by(&self, id: Id, seen: i64, parked_of: Option<i64>) -> Result<(), StoreError> {
        let look = Look::Whole {
            at: Moment { at: self.store.now(), uptime: 0, boot: self.boot },
            looking: HOUR,
            pause: MINUTE,
            ripe: true,
            fresh: true,
            opens_lane: false,
            asked: None,
            listed_seq: Some(seen),
        };
        let facts = Facts { look: Some(look), parked_of, ..Facts::default() };
        let event = Event::Absent { note: "two whole lists".to_owned() };
        self.apply_with(Kind::Job, id, event, facts).await.map(drop)
    }

    async fn close(&self) {
        let (reason, facts, class) = ("an old copy".to_owned(), Numbers::default(), Class::Behind);
        let quarantine = Quarantine { reason, class, at: 1, facts, beneath: None };
        self.store.writer().write(SetQuarantine { quarantine }).await.unwrap();
    }

    async fn release(&self) {
        let (by, timing) = ("me".to_owned(), Timing::default());
        let release = Release { by, reason: None, listed: true, settling: None, timing };
        self.store.writer().write(release).await.unwrap();
    }

    /// A whole list that said this.
    async fn hears(&self, heard: Heard) {
        let times = Times::auto(30_000);
        let jobs = Vec::new();
        let list = SaveListing { jobs, listed: 0, start: 0, since: 0, began_at: 1, heard, times };
        self.store.writer().write(list).await.unwrap();
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>, words: &str) {
    match result {
        Err(StoreError::Refused(said)) if said.contains(words) => {}
        other => panic!("not refused with {words:?}: {other:?}"),
    }
}

#[tokio::test]
async fn absence_is_refused_when_the_list_has_grown_since_the_look() {
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    bench.lose(id).await;
    bench.list("seen").await;
    let seen = bench.store.newest_listed().await.unwrap();
    bench.list("came in between").await;
    refused(bench.absent_by(id, seen, None).await, "grown since the look");
    assert_eq!((bench.is(id).await, bench.book().await.as_str()), ("in_doubt", "open"));
    bench.absent_by(id, seen + 1, None).await.unwrap();
    assert_eq!((bench.is(id).await, bench.book().await.as_str()), ("queued", "absent"));
}

#[tokio::test]
async fn absence_of_a_parked_call_is_refused_when_the_list_has_grown_since_the_look() {
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    bench.lose(id).await;
    bench.park(id, &[]).await.unwrap();
    bench.list("seen").await;
    let seen = bench.store.newest_listed().await.unwrap();
    bench.list("came in between").await;
    refused(bench.absent_by(id, seen, Some(1)).await, "grown since the look");
    assert_eq!((bench.is(id).await, bench.book().await.as_str()), ("attention", "parked"));
    bench.absent_by(id, seen + 1, Some(1)).await.unwrap();
    assert_eq!((bench.is(id).await, bench.book().await.as_str()), ("queued", "absent"));
}

#[tokio::test]
async fn a_job_that_came_to_light_on_the_way_stops_sending_again() {
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    bench.lose(id).await;
    bench.list("known").await;
    bench.absent(id).await.unwrap();
    let seen = bench.store.newest_listed().await.unwrap();
    bench.list("late").await;
    refused(bench.send_after_look(id, seen).await, "late meanwhile, which may be it");
    assert_eq!((bench.is(id).await, bench.book().await.as_str()), ("queued", "absent"));
    // A person says that it is somebody else's: then it stops nothing.
    bench.answer("late", Whose::NotOurs).await.unwrap();
    bench.send_after_look(id, seen).await.unwrap();
    assert_eq!((bench.is(id).await, bench.book().await.as_str()), ("submitting", "absent open"));
}

#[tokio::test]
async fn spending_that_was_paused_on_the_way_stays_paused() {
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    let (switch, by) = (Switch::Spending, "me".to_owned());
    let pause = SetPause { switch, reason: "too dear".to_owned(), by };
    bench.store.writer().write(pause).await.unwrap();
    refused(bench.send(Kind::Job, id, PAID).await, "spending is paused");
    assert_eq!((bench.is(id).await, bench.book().await.as_str()), ("queued", ""));
}

#[tokio::test]
async fn a_database_that_was_closed_on_the_way_sends_nothing() {
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    bench.close().await;
    refused(bench.send(Kind::Job, id, PAID).await, "in quarantine: an old copy");
    assert_eq!((bench.is(id).await, bench.book().await.as_str()), ("queued", ""));
    bench.release().await;
    bench.send(Kind::Job, id, PAID).await.unwrap();
}

#[tokio::test]
async fn after_a_released_quarantine_calls_from_before_may_have_been_forgotten() {
    let bench = Bench::new().await;
    let (before, after) = (one_job(&bench).await, one_job(&bench).await);
    bench.lose(before).await;
    let forgets = async |intent| bench.store.may_have_forgotten(intent).await.unwrap();
    assert!(!forgets(1).await, "nothing has happened");
    bench.close().await;
    assert!(forgets(1).await, "it is closed");
    bench.release().await;
    assert!(forgets(1).await, "the file that was put back may not know what came after the call");
    bench.absent(before).await.unwrap();
    bench.lose(after).await;
    assert!(!forgets(2).await, "it went out after the release");
    assert!(forgets(1).await);
}

#[tokio::test]
async fn what_a_person_has_said_not_to_be_it_is_not_found() {
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    bench.lose(id).await;
    for remote in ["not this", "not ours", "unanswered"] {
        bench.list(remote).await;
    }
    bench.not_this(id, "not this").await.unwrap();
    bench.answer("not ours", Whose::NotOurs).await.unwrap();
    let found =
        |remote: &str| Event::Found { remote_id: remote.into(), note: "an old look".into() };
    for remote in ["not this", "not ours"] {
        refused(bench.apply(Kind::Job, id, found(remote)).await, "is not it");
        assert_eq!((bench.is(id).await, bench.book().await.as_str()), ("in_doubt", "open"));
    }
    bench.apply(Kind::Job, id, found("unanswered")).await.unwrap();
    assert_eq!(bench.book().await, "accepted=unanswered");
}

#[tokio::test]
async fn what_lists_show_of_their_lag_and_reach_is_learnt() {
    let bench = Bench::new().await;
    let now = bench.store.now();
    let known = async || bench.store.known().await.unwrap();
    bench.hears(Heard { lag: Some(9 * MINUTE), first_shown: 2, ..Heard::default() }).await;
    assert_eq!((known().await.lag.longest(now), known().await.lag.samples), (9 * MINUTE, 2));
    bench.hears(Heard { lag: Some(MINUTE), ..Heard::default() }).await;
    assert_eq!(known().await.lag.longest(now), 9 * MINUTE, "the longest counts");
    bench.hears(Heard { oldest: Some(30 * HOUR), ..Heard::default() }).await;
    assert_eq!(known().await.reach.within(), 30 * HOUR);
    bench.hears(Heard { oldest: Some(25 * HOUR), ..Heard::default() }).await;
    assert_eq!(known().await.reach.within(), 30 * HOUR, "the farthest counts");
    let missed = |remote: &str, age, ever_shown| Missed {
        remote_id: remote.to_owned(),
        accepted_at: now - age,
        ever_shown,
        newer_shown: true,
        age,
    };
    // What a list missed a while ago, and five lists since.
    bench.hears(Heard { missed: vec![missed("old", 3 * HOUR, true)], ..Heard::default() }).await;
    bench.by_hand("UPDATE missing SET since = since - 3600000, readings = 4").await.unwrap();
    assert_eq!(known().await.reach.within(), 30 * HOUR);
    bench.hears(Heard { missed: vec![missed("old", 5 * HOUR, true)], ..Heard::default() }).await;
    assert_eq!(known().await.reach.within(), 4 * HOUR, "as old as it was when it was missed first");
    assert_eq!(known().await.lacks, None);
    bench.hears(Heard { missed: vec![missed("never", HOUR, false)], ..Heard::default() }).await;
    assert_eq!(known().await.lacks.as_deref(), Some("never"));
}
