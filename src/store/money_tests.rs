//! What the store refuses so that nothing is bought twice. Each guard here has a mutant in
//! `tests/mutants` that takes it out, and a test that fails then.

use super::StoreError;
use super::answers::Whose;
use super::apply::Facts;
use super::intents::{Look, Moment, NewIntent, StartSend};
use super::listing::{Heard, SaveListing, SaveRecord};
use super::quarantine::{Release, SetQuarantine};
use super::settings::{SetPause, Switch};
use super::tests::{Bench, one_job};
use super::verdict_tests::PAID;
use crate::domain::event::Event;
use crate::domain::ids::Id;
use crate::domain::quarantine::{Class, Facts as Numbers, Quarantine};
use crate::domain::schedule::Timing;
use crate::domain::work::{Kind, Work};
use judging::fit::{Media, Record};
use judging::missing::Missed;
use judging::placing::Place;
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

    /// A look that knew the list up to `seen`.
    fn saw(&self, seen: i64) -> Look {
        Look::Whole {
            at: Moment { at: self.store.now(), uptime: 0, boot: self.boot },
            looking: HOUR,
            pause: MINUTE,
            ripe: true,
            fresh: true,
            opens_lane: false,
            asked: None,
            listed_seq: Some(seen),
            hole: false,
        }
    }

    /// Stores that the job is absent, as a look says that knew the list up to `seen`.
    async fn absent_by(&self, id: Id, seen: i64, parked_of: Option<i64>) -> Result<(), StoreError> {
        let facts = Facts { look: Some(self.saw(seen)), parked_of, ..Facts::default() };
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
async fn a_find_is_refused_when_the_list_has_grown_since_the_look() {
    let found = || Event::Found { remote_id: "seen".into(), note: "the only one".into() };
    // In doubt, parked, and at the last look before it is sent again.
    for at in ["in_doubt", "attention", "queued"] {
        let bench = Bench::new().await;
        let id = one_job(&bench).await;
        bench.lose(id).await;
        let facts = match at {
            "attention" => {
                bench.park(id, &[]).await.unwrap();
                Facts { parked_of: Some(1), ..Facts::default() }
            }
            "queued" => {
                bench.absent(id).await.unwrap();
                Facts { late_of: Some(1), ..Facts::default() }
            }
            _ => Facts { about: Some(1), ..Facts::default() },
        };
        bench.list("seen").await;
        let seen = bench.store.newest_listed().await.unwrap();
        bench.list("came in between").await;
        let look = |seen, facts: Facts| Facts { look: Some(bench.saw(seen)), ..facts };
        let old = bench.apply_with(Kind::Job, id, found(), look(seen, facts.clone())).await;
        refused(old, "grown since the look");
        assert_eq!(bench.is(id).await, at);
        bench.apply_with(Kind::Job, id, found(), look(seen + 1, facts)).await.unwrap();
        assert_eq!((bench.is(id).await, bench.book().await.as_str()), ("running", "accepted=seen"));
    }
}

#[tokio::test]
async fn a_found_job_bears_witness_as_one_of_the_time_of_its_call() {
    let bench = Bench::new().await;
    for (id, found) in [(one_job(&bench).await, false), (one_job(&bench).await, true)] {
        bench.send(Kind::Job, id, PAID).await.unwrap();
        // The reply takes an hour, or whoever waited for it died.
        for table in [
            "UPDATE intents SET opened_at = opened_at - 3600000 WHERE settled_at IS NULL",
            "UPDATE ledger SET opened_at = opened_at - 3600000 WHERE outcome = 'open'",
        ] {
            bench.by_hand(table).await.unwrap();
        }
        let event = if found {
            bench.unknown(id).await.unwrap();
            bench.list("found").await;
            Event::Found { remote_id: "found".into(), note: "the only one".into() }
        } else {
            Event::Accepted { remote_id: "heard".into() }
        };
        bench.apply(Kind::Job, id, event).await.unwrap();
    }
    let ours = bench.store.our_jobs(0).await.unwrap();
    let old = |id: &str| {
        let job = ours.all.iter().find(|job| job.remote_id == id).unwrap();
        (bench.store.now() - job.accepted_at + MINUTE) / HOUR
    };
    assert_eq!((old("heard"), old("found")), (0, 1), "nobody heard when it was taken");
    let heard: Vec<&str> = ours.heard.iter().map(|job| job.remote_id.as_str()).collect();
    assert_eq!(heard, ["heard"], "what nobody heard of tells no time");
}

#[tokio::test]
async fn what_several_waiting_rows_may_have_bought_is_not_settled_by_half_a_word() {
    let bench = Bench::new().await;
    let (one, other) = (one_job(&bench).await, one_job(&bench).await);
    bench.lose(one).await;
    bench.park(one, &[]).await.unwrap();
    bench.lose(other).await;
    bench.list("r1").await;
    bench.park(other, &["r1"]).await.unwrap();
    // Ours: but whose of the two?
    refused(bench.answer("r1", Whose::Ours).await, &format!("has bought, or {one}"));
    // And it is no reason to buy the first one's again that it is kept for the other.
    refused(bench.resubmit(one).await, "r1 (4 credits)");
    assert_eq!(bench.book().await, "parked parked");
    bench.not_this(one, "r1").await.unwrap();
    bench.answer("r1", Whose::Ours).await.unwrap();
    assert_eq!(
        (bench.is(other).await, bench.book().await.as_str()),
        ("running", "parked accepted=r1")
    );
    bench.resubmit(one).await.unwrap();
}

#[tokio::test]
async fn on_a_shared_account_a_possible_duplicate_may_be_a_strangers() {
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    bench.lose(id).await;
    bench.absent(id).await.unwrap();
    bench.list("late").await;
    let record = Some(Record {
        model: Some("m1".into()),
        media: Some(Media::Images),
        outputs: 1,
        ended: true,
        failed: false,
    });
    let save = SaveRecord { remote_id: "late".into(), record };
    bench.store.writer().write(save).await.unwrap();
    let shown =
        async |model| !bench.store.model_ids(Some(model)).await.unwrap().strangers.is_empty();
    assert!(!shown("m1").await);
    bench.place("late", Place::Duplicate(1)).await;
    assert!(shown("m1").await && !shown("m2").await);
    let taken = bench.store.duplicates().await.unwrap();
    assert_eq!((taken[0].intent, taken[0].job.remote_id.as_str()), (1, "late"));
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
