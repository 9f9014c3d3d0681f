//! A person's word about calls in doubt and about jobs that no row claims.

use super::StoreError;
use super::answers::{Answer, Answered, Became, NotThis, Whose};
use super::apply::Facts;
use super::listing::{Heard, Listed, PlaceJobs, SHARED, SaveListing};
use super::report::Duty;
use super::retry::{Retried, Retry};
use super::tests::{Bench, one_job};
use super::verdict::Resolve;
use crate::clock::new_id;
use crate::domain::event::{Event, Reason};
use crate::domain::ids::Id;
use crate::domain::schedule::Timing;
use crate::domain::work::{Kind, Work};
use judging::placing::Place;
use judging::times::Times;

pub(super) const PAID: &str = "paid";

impl Bench {
    pub(super) async fn lose(&self, id: Id) {
        self.send(Kind::Job, id, PAID).await.unwrap();
        self.unknown(id).await.unwrap();
    }

    pub(super) async fn unknown(&self, id: Id) -> Result<Work, StoreError> {
        self.apply(Kind::Job, id, Event::OutcomeUnknown { note: "lost".into() }).await
    }

    pub(super) async fn absent(&self, id: Id) -> Result<Work, StoreError> {
        self.apply(Kind::Job, id, Event::Absent { note: "not there".into() }).await
    }

    pub(super) async fn park(&self, id: Id, candidates: &[&str]) -> Result<Work, StoreError> {
        let reserve = candidates.iter().map(|id| (*id).to_owned()).collect();
        let facts = Facts { reserve, ..Facts::default() };
        let event = Event::NeedsPerson { reason: Reason::Undecidable, message: "which?".into() };
        self.apply_with(Kind::Job, id, event, facts).await
    }

    pub(super) async fn list(&self, remote_id: &str) {
        let jobs = vec![Listed {
            remote_id: remote_id.to_owned(),
            created_at: Some(1),
            status: "success".to_owned(),
            credits: Some(4.0),
        }];
        let (heard, times) = (Heard::default(), Times::auto(1));
        let list = SaveListing { jobs, listed: 1, start: 0, since: 0, began_at: 1, heard, times };
        self.store.writer().write(list).await.unwrap();
    }

    pub(super) async fn place(&self, remote_id: &str, place: Place) {
        let placed = vec![(remote_id.to_owned(), place)];
        self.store.writer().write(PlaceJobs { placed }).await.unwrap();
    }

    pub(super) async fn resolve(&self, id: Id, event: Event) -> Result<Work, StoreError> {
        self.resolve_at(id, event, None).await
    }

    pub(super) async fn resolve_at(
        &self,
        id: Id,
        event: Event,
        version: Option<i64>,
    ) -> Result<Work, StoreError> {
        let (kind, actor, timing) = (Kind::Job, "me".to_owned(), Timing::default());
        let write = Resolve { kind, id, event, version, actor, timing };
        self.store.writer().write(write).await
    }

    pub(super) async fn adopt(&self, id: Id, remote_id: &str) -> Result<Work, StoreError> {
        let event = Event::Adopt { remote_id: remote_id.to_owned(), by: "me".into() };
        self.resolve(id, event).await
    }

    pub(super) async fn resubmit(&self, id: Id) -> Result<Work, StoreError> {
        self.resolve(id, Event::Resubmit { by: "me".into() }).await
    }

    pub(super) async fn abandon(&self, id: Id) -> Result<Work, StoreError> {
        self.resolve(id, Event::Abandon { by: "me".into() }).await
    }

    pub(super) async fn answer(
        &self,
        remote_id: &str,
        whose: Whose,
    ) -> Result<Answered, StoreError> {
        let (remote_id, actor, timing) = (remote_id.to_owned(), "me".into(), Timing::default());
        let write = Answer { remote_id, whose, by: "me: seen".into(), actor, timing };
        self.store.writer().write(write).await
    }

    pub(super) async fn not_this(&self, id: Id, remote_id: &str) -> Result<Answered, StoreError> {
        let (remote_id, actor) = (remote_id.to_owned(), "me".to_owned());
        let (kind, version, timing) = (Kind::Job, None, Timing::default());
        let write = NotThis { kind, id, remote_id, version, by: actor.clone(), actor, timing };
        self.store.writer().write(write).await
    }

    pub(super) async fn retry(&self, id: Id, resubmit: bool) -> Result<Retried, StoreError> {
        let (kind, actor, timing) = (Kind::Job, "me".to_owned(), Timing::default());
        let write = Retry { kind, id, resubmit, actor, new_id, timing };
        self.store.writer().write(write).await
    }

    pub(super) async fn one(&self, sql: &str) -> Option<String> {
        let sql = sqlx::AssertSqlSafe(format!("SELECT CAST(({sql}) AS TEXT)"));
        sqlx::query_scalar(sql).fetch_one(self.store.readers()).await.unwrap()
    }

    /// Every call with what it came to, in order; the book must balance.
    pub(super) async fn book(&self) -> String {
        let proof = self.store.spend_proof().await.unwrap();
        assert!(proof.balances(), "{proof:?}");
        let sql = "SELECT group_concat(outcome || coalesce('=' || remote_id, ''), ' ') FROM \
                   (SELECT * FROM ledger ORDER BY intent)";
        self.one(sql).await.unwrap_or_default()
    }

    pub(super) async fn what(&self, remote_id: &str) -> String {
        let sql = format!("SELECT what FROM unclaimed WHERE remote_id = '{remote_id}'");
        self.one(&sql).await.unwrap_or_default()
    }

    pub(super) async fn is(&self, id: Id) -> &'static str {
        self.store.load(Kind::Job, id).await.unwrap().work.state.as_str()
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>, words: &[&str]) {
    let said = match result.unwrap_err() {
        said @ (StoreError::Refused(_) | StoreError::NotFound(..)) => said.to_string(),
        other => panic!("{other:?}"),
    };
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

#[tokio::test]
async fn a_call_in_doubt_can_be_decided_by_a_person() {
    let bench = Bench::new().await;
    let (adopted, again, given_up) =
        (one_job(&bench).await, one_job(&bench).await, one_job(&bench).await);
    bench.lose(adopted).await;
    bench.list("r1").await;
    bench.adopt(adopted, "r1").await.unwrap();
    assert_eq!((bench.is(adopted).await, bench.book().await.as_str()), ("running", "accepted=r1"));
    let settled = "SELECT outcome FROM intents WHERE seq = 1";
    assert_eq!(bench.one(settled).await.as_deref(), Some("adopt"));

    bench.lose(again).await;
    bench.resubmit(again).await.unwrap();
    assert_eq!(
        (bench.is(again).await, bench.book().await.as_str()),
        ("queued", "accepted=r1 absent")
    );
    bench.send(Kind::Job, again, PAID).await.unwrap();
    bench.apply(Kind::Job, again, Event::Accepted { remote_id: "r2".into() }).await.unwrap();
    assert_eq!(bench.book().await, "accepted=r1 absent accepted=r2");

    bench.lose(given_up).await;
    bench.abandon(given_up).await.unwrap();
    assert_eq!(bench.is(given_up).await, "failed");
    assert_eq!(bench.book().await, "accepted=r1 absent accepted=r2 parked");
    refused(bench.retry(given_up, false).await, &["was never found out"]);
}

#[tokio::test]
async fn a_verdict_on_an_older_version_is_refused() {
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    bench.lose(id).await;
    let version = bench.store.load(Kind::Job, id).await.unwrap().version;
    let event = || Event::Resubmit { by: "me".into() };
    refused(bench.resolve_at(id, event(), Some(version - 1)).await, &["has moved", "look again"]);
    bench.resolve_at(id, event(), Some(version)).await.unwrap();
    refused(bench.resolve_at(id, event(), Some(version)).await, &["has moved"]);
}

/// What was ordered to be sent again is looked for no more: its late job is a possible duplicate.
#[tokio::test]
async fn the_late_job_of_a_call_that_was_resubmitted_is_adopted_by_nothing_but_a_word() {
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    bench.lose(id).await;
    bench.resubmit(id).await.unwrap();
    let others = bench.store.calls_without_a_job(None, 0).await.unwrap();
    let absent = judging::verdict::Standing::Absent { fresh: false };
    assert_eq!(others[0].standing, absent, "nobody looks for it any more");
    bench.list("late").await;
    let found = Event::Found { remote_id: "late".into(), note: "listed".into() };
    assert!(bench.apply(Kind::Job, id, found).await.is_err());
    bench.place("late", Place::Duplicate(1)).await;
    assert_eq!(bench.what("late").await, "possible_duplicate");
    // It is not sent yet, so it is not bought twice either.
    let done = bench.answer("late", Whose::Ours).await.unwrap();
    assert_eq!((done.became, done.in_events), (Became::Adopted, true));
    assert_eq!((bench.is(id).await, bench.book().await.as_str()), ("running", "accepted=late"));
    assert_eq!(bench.what("late").await, "");
}

#[tokio::test]
async fn what_an_older_call_bought_is_booked_as_bought_twice_and_overwrites_nothing() {
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    bench.lose(id).await;
    bench.absent(id).await.unwrap();
    bench.send(Kind::Job, id, PAID).await.unwrap();
    bench.apply(Kind::Job, id, Event::Accepted { remote_id: "second".into() }).await.unwrap();
    bench.list("first").await;
    bench.place("first", Place::Duplicate(1)).await;
    refused(bench.adopt(id, "first").await, &["has the vendor's second", "--ours first"]);
    let duty = bench.store.attention().await.unwrap().remove(0);
    let Duty::Other(duty) = duty else { panic!("a row: {duty:?}") };
    assert_eq!((duty.id.as_str(), duty.credits, duty.jobs), ("first", Some(4.0), 1));
    assert_eq!(duty.subject, Some(id.to_string()));
    for verb in ["4.0 credits", "--ours first", "--not-this first", "--not-ours first"] {
        assert!(duty.why.contains(verb), "{}", duty.why);
    }
    let done = bench.answer("first", Whose::Ours).await.unwrap();
    assert_eq!((done.became, done.in_events), (Became::BoughtTwice, true));
    assert_eq!(bench.book().await, "absent accepted=second");
    let proof = bench.store.spend_proof().await.unwrap();
    assert_eq!((proof.bought_twice, proof.bought_twice_credits), (1, 4.0));
    assert_eq!((proof.possible_duplicates, proof.unclaimed), (0, 0));
    let unclaimed = bench.store.unclaimed().await.unwrap().remove(0);
    assert_eq!(unclaimed.answered_by.as_deref(), Some("me: seen"));
    assert_eq!(
        (unclaimed.what.as_str(), unclaimed.subject),
        ("bought_twice", Some(id.to_string()))
    );
    assert_eq!(bench.store.attention_count().await.unwrap(), 0);
    let said = "SELECT actor || ' ' || (detail ->> '$.note') FROM events WHERE cause = 'answered'";
    assert_eq!(bench.one(said).await.as_deref(), Some("me first (4 credits) was bought twice"));
}

/// An illegal event is a refusal too.
fn illegal(error: StoreError) -> StoreError {
    StoreError::Refused(error.to_string())
}

/// The earlier call's job is found while the second call is in doubt: what that one bought, nobody
/// knows.
#[tokio::test]
async fn adopting_an_earlier_calls_job_leaves_the_later_call_unknown() {
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    bench.lose(id).await;
    bench.absent(id).await.unwrap();
    bench.lose(id).await;
    bench.list("first").await;
    bench.place("first", Place::Duplicate(1)).await;
    bench.answer("first", Whose::Ours).await.unwrap();
    assert_eq!(bench.book().await, "accepted=first parked");
    let open = "SELECT count(*) FROM intents WHERE settled_at IS NULL OR lane_free_at IS NULL";
    assert_eq!(bench.one(open).await.as_deref(), Some("0"));
}

#[tokio::test]
async fn nothing_is_bought_again_while_candidates_exist() {
    let bench = Bench::new().await;
    let (id, other) = (one_job(&bench).await, one_job(&bench).await);
    bench.lose(id).await;
    bench.list("r1").await;
    // Not even placed yet: the call is in doubt, so it may be its.
    refused(bench.resubmit(id).await, &["r1 (4 credits)", "--adopt", "--not-this"]);
    bench.park(id, &["r1"]).await.unwrap();
    refused(bench.resubmit(id).await, &["r1 (4 credits)"]);
    bench.lose(other).await;
    let named = format!("darkroom resolve {id} --not-this r1");
    refused(bench.adopt(other, "r1").await, &["the job", &named]);
    refused(bench.not_this(id, "r9").await, &["no job of the vendor's list", "r9"]);
    let done = bench.not_this(id, "r1").await.unwrap();
    assert_eq!((done.became, done.in_events), (Became::NotThis, true));
    let said = "SELECT by FROM not_this";
    assert_eq!(bench.one(said).await.as_deref(), Some("me"));
    bench.resubmit(id).await.unwrap();
    bench.adopt(other, "r1").await.unwrap();
    refused(bench.not_this(id, "r1").await, &["belongs to another row", &other.to_string()]);
    refused(bench.answer("r1", Whose::NotOurs).await, &["belongs to another row"]);
    assert_eq!(bench.book().await, "absent accepted=r1");
    // Given up with a candidate: a retry would buy it again.
    let third = one_job(&bench).await;
    bench.lose(third).await;
    bench.list("r3").await;
    bench.park(third, &["r3"]).await.unwrap();
    bench.abandon(third).await.unwrap();
    for resubmit in [false, true] {
        refused(bench.retry(third, resubmit).await, &["r3", "--ours", "--not-this"]);
    }
    let done = bench.not_this(third, "r3").await.unwrap();
    assert!(!done.in_events, "it has ended");
    bench.retry(third, true).await.unwrap();
}

#[tokio::test]
async fn what_is_said_not_to_be_it_is_looked_past_at_once_and_never_found() {
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    bench.lose(id).await;
    bench.list("r1").await;
    let later = Event::LookAgain { at: i64::MAX, note: "later".into() };
    bench.apply(Kind::Job, id, later).await.unwrap();
    bench.not_this(id, "r1").await.unwrap();
    let due = bench.store.load(Kind::Job, id).await.unwrap().work.state.due();
    assert_eq!(due, Some(bench.store.now()));
    let found = Event::Found { remote_id: "r1".into(), note: "an older look".into() };
    refused(bench.apply(Kind::Job, id, found).await, &["a person has said"]);
    // A look at a call that was settled meanwhile settles nothing.
    bench.resubmit(id).await.unwrap();
    let facts = Facts { about: Some(1), ..Facts::default() };
    let absent = Event::Absent { note: "an older look".into() };
    refused(bench.apply_with(Kind::Job, id, absent, facts).await, &["was settled"]);
    // The newer word counts.
    bench.adopt(id, "r1").await.unwrap();
    assert_eq!(bench.one("SELECT count(*) FROM not_this").await.as_deref(), Some("0"));
}

#[tokio::test]
async fn what_is_ruled_out_while_it_is_looked_for_is_kept_for_nobody() {
    let bench = Bench::new().await;
    let (one, other) = (one_job(&bench).await, one_job(&bench).await);
    bench.lose(one).await;
    bench.list("r1").await;
    bench.not_this(one, "r1").await.unwrap();
    // The look had begun before, and still names it.
    bench.park(one, &["r1"]).await.unwrap();
    assert_eq!(bench.one("SELECT count(reserved_by) FROM listed_jobs").await.as_deref(), Some("0"));
    bench.lose(other).await;
    bench.adopt(other, "r1").await.unwrap();
    bench.resubmit(one).await.unwrap();
    assert_eq!(bench.book().await, "absent accepted=r1");
}

#[tokio::test]
async fn jobs_of_others_are_one_question_until_it_is_answered() {
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    bench.lose(id).await;
    for remote in ["f1", "f2"] {
        bench.list(remote).await;
        bench.place(remote, Place::Foreign).await;
    }
    let duties = bench.store.attention().await.unwrap();
    let [Duty::Other(duty)] = duties.as_slice() else { panic!("{duties:?}") };
    assert_eq!((duty.id.as_str(), duty.jobs, duty.credits), ("foreign", 2, Some(8.0)));
    bench.by_hand("INSERT INTO settings VALUES ('account.exclusive', 'false', 0)").await.unwrap();
    assert_eq!(bench.store.attention_count().await.unwrap(), 0);
    bench
        .by_hand("UPDATE settings SET value = '\"auto\"' WHERE name = 'account.exclusive'")
        .await
        .unwrap();
    bench.by_hand("DELETE FROM settings WHERE name = 'account.shared'").await.unwrap();
    assert_eq!(bench.store.attention_count().await.unwrap(), 1);
    let done = bench.answer("f1", Whose::NotOurs).await.unwrap();
    assert_eq!((done.became, done.in_events), (Became::NotOurs, false));
    assert!(bench.store.setting::<serde_json::Value>(SHARED).await.unwrap().is_some());
    assert_eq!(bench.store.attention_count().await.unwrap(), 0);
    // One of them was ours after all.
    assert_eq!(bench.answer("f2", Whose::Ours).await.unwrap().became, Became::BoughtTwice);
    assert_eq!(bench.what("f2").await, "bought_twice");
    bench.book().await;
}

#[tokio::test]
async fn what_may_be_a_waiting_calls_is_not_booked_without_its_row() {
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    bench.lose(id).await;
    bench.list("r1").await;
    refused(bench.answer("r1", Whose::Ours).await, &[&id.to_string(), "--adopt r1"]);
    bench.park(id, &["r1"]).await.unwrap();
    assert_eq!(bench.answer("r1", Whose::Ours).await.unwrap().became, Became::Adopted);
    assert_eq!(bench.book().await, "accepted=r1");
}

/// The double of an accepted job that a person has ruled out is not held to be its double again.
#[tokio::test]
async fn what_is_not_the_double_of_an_accepted_job_is_placed_anew() {
    use judging::clocks::Clocks;
    use judging::fit::{Ground, ModelIds};
    use judging::placing::{Makers, place};
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    bench.send(Kind::Job, id, PAID).await.unwrap();
    bench.apply(Kind::Job, id, Event::Accepted { remote_id: "r1".into() }).await.unwrap();
    bench.list("r1").await;
    bench.list("double").await;
    let now = bench.store.now();
    let (clocks, models) = (Clocks::measure(&[], now), ModelIds::default());
    let placed = async || {
        let bought = bench.store.bought_around(1).await.unwrap();
        let makers = Makers { without: &[], taken: &[], bought: &bought, trainings: &[] };
        let ground = Ground { accepted: &[], clocks: &clocks, models: &models };
        let job = bench.store.unplaced().await.unwrap().remove(0).candidate();
        place(&job, true, &makers, &ground, now)
    };
    assert_eq!(placed().await, Place::Duplicate(1));
    bench.place("double", Place::Duplicate(1)).await;
    refused(bench.retry(id, true).await.map_err(illegal), &["goes on by itself"]);
    let done = bench.not_this(id, "double").await.unwrap();
    assert!(done.in_events, "it is running");
    assert_eq!(placed().await, Place::Foreign);
    assert_eq!(bench.book().await, "accepted=r1");
}
