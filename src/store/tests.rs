//! The schema defends itself, the writer keeps neighbours apart, consequences are carried out.

use super::apply::{Apply, Facts, FileArrived, NewOutput, StoredFile};
use super::cancel::Cancel;
use super::intents::{NewIntent, Recover, StartSend};
use super::open::{daemon_is_running, lock_for_daemon};
use super::retry::{Retried, Retry};
use super::settings::Boot;
use super::submit::{Key, NewJob, NewModel, NewTraining, NewUpload, Submission};
use super::{Store, StoreError};
use crate::clock::{ManualClock, new_id};
use crate::domain::event::{Event, Reason};
use crate::domain::failure::{Failure, FailureClass};
use crate::domain::ids::Id;
use crate::domain::request::*;
use crate::domain::schedule::Timing;
use crate::domain::work::{Kind, State, Work};
use std::sync::Arc;

const NOW: i64 = 1_800_000_000_000;

pub(super) struct Bench {
    pub(super) store: Store,
    pub(super) boot: i64,
    _folder: tempfile::TempDir,
}

impl Bench {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(NOW));
        let store = Store::open(folder.path(), clock, Timing::default()).await.unwrap();
        let boot = store.writer().write(Boot { version: "test", settings: vec![] }).await.unwrap();
        Self { store, boot, _folder: folder }
    }

    pub(super) async fn apply(&self, kind: Kind, id: Id, event: Event) -> Result<Work, StoreError> {
        self.apply_with(kind, id, event, Facts::default()).await
    }

    pub(super) async fn apply_with(
        &self,
        kind: Kind,
        id: Id,
        event: Event,
        facts: Facts,
    ) -> Result<Work, StoreError> {
        let timing = Timing::default();
        let actor = "test".to_owned();
        self.store.writer().write(Apply { kind, id, event, facts, actor, timing }).await
    }

    pub(super) async fn send(&self, kind: Kind, id: Id, lane: &str) -> Result<Work, StoreError> {
        let intent = NewIntent {
            lane: lane.to_owned(),
            boot: self.boot,
            request_hash: "h".to_owned(),
            request: serde_json::json!({}),
            vendor_time: NOW,
            expects: serde_json::json!({}),
            looked_seq: None,
            listed_from: None,
            opened_uptime: 0,
        };
        let timing = Timing::default();
        self.store.writer().write(StartSend { kind, id, intent, timing }).await
    }

    pub(super) async fn accept(&self, kind: Kind, id: Id, remote_id: &str) {
        self.send(kind, id, &format!("{kind}{id}")).await.unwrap();
        let remote_id = remote_id.to_owned();
        self.apply(kind, id, Event::Accepted { remote_id }).await.unwrap();
    }

    async fn state(&self, kind: Kind, id: Id) -> &'static str {
        self.store.load(kind, id).await.unwrap().work.state.as_str()
    }

    /// A statement by hand, as a careless person would.
    pub(super) async fn by_hand(&self, sql: &str) -> Result<(), String> {
        let path = super::open::db_path(self.store.data_dir());
        let mut conn = super::open::writing_connection(&path).await.unwrap();
        let done = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut conn).await;
        done.map(drop).map_err(|error| error.to_string())
    }
}

pub(super) fn image(prompt: &str) -> JobRequest {
    JobRequest::Image(ImageRequest {
        model: ModelRef::Public("nanobanana".into()),
        prompt: Some(prompt.into()),
        num_images: None,
        width: None,
        height: None,
        seed: None,
        preset: None,
        aspect_ratio: None,
        input_image: None,
        references: Vec::new(),
        extra: serde_json::Map::new(),
    })
}

fn job(id: Id, request: JobRequest) -> NewJob {
    NewJob { id, request, step: None }
}

/// One image job; answers its id.
pub(super) async fn one_job(bench: &Bench) -> Id {
    let id = new_id();
    let mut submission = Submission::new(("job", id), "test");
    submission.jobs.push(job(id, image("p")));
    bench.store.writer().write(submission).await.unwrap();
    id
}

struct Family {
    model: Id,
    uploads: Vec<Id>,
    training: Id,
    job: Id,
    upscale: Id,
}

/// A model, two photos, a training, a job on the model, and an upscale of the job's picture.
async fn family(bench: &Bench) -> Family {
    let (model, training, first, second) = (new_id(), new_id(), new_id(), new_id());
    let uploads = vec![new_id(), new_id()];
    let mut submission = Submission::new(("model", model), "test");
    submission.models.push(NewModel {
        id: model,
        name: "Ann".into(),
        identity: Some(Identity {
            name: "Ann".into(),
            age: 30,
            gender: Gender::Female,
            ethnicity: None,
            eye_color: None,
        }),
        import: None,
    });
    for (n, id) in uploads.iter().enumerate() {
        submission.uploads.push(NewUpload {
            id: *id,
            model,
            purpose: UploadPurpose::Training,
            file_name: format!("{n}.jpg"),
            sha256: format!("{n}"),
            bytes: 1,
            media_type: "image/jpeg".into(),
        });
    }
    submission.training = Some(NewTraining { id: training, model });
    let JobRequest::Image(mut request) = image("p") else { unreachable!() };
    request.model = ModelRef::Trained(model);
    submission.jobs.push(job(first, JobRequest::Image(request)));
    let picture = MediaRef::JobOutput { job: first, index: 0 };
    submission.jobs.push(job(second, JobRequest::Upscale(UpscaleRequest { image: picture })));
    bench.store.writer().write(submission).await.unwrap();
    Family { model, uploads, training, job: first, upscale: second }
}

fn refused() -> Event {
    Event::CallFailed {
        failure: Failure {
            class: FailureClass::RefusedForGood,
            message: "too blurry".into(),
            http_status: Some(400),
            reply: None,
            retry_after: None,
        },
    }
}

#[tokio::test]
async fn a_row_that_nobody_would_wake_is_unrepresentable() {
    let bench = Bench::new().await;
    one_job(&bench).await;
    for (sql, check) in [
        ("UPDATE jobs SET due_at = NULL", "jobs_something_wakes_it"),
        ("UPDATE jobs SET state = 'waiting', due_at = NULL", "jobs_something_wakes_it"),
        ("UPDATE jobs SET state = 'running'", "jobs_something_wakes_it"),
        ("UPDATE jobs SET state = 'collecting'", "jobs_something_wakes_it"),
        ("UPDATE jobs SET state = 'in_doubt'", "jobs_"),
        ("UPDATE jobs SET state = 'attention', due_at = NULL", "jobs_something_wakes_it"),
        ("UPDATE jobs SET state = 'succeeded', due_at = NULL", "jobs_finished_iff_terminal"),
        ("UPDATE jobs SET finished_at = 1", "jobs_finished_iff_terminal"),
        ("UPDATE jobs SET state = 'lost'", "jobs_"),
        ("UPDATE jobs SET state='failed', due_at=NULL, finished_at=1", "jobs_failed_for_a_reason"),
        ("UPDATE jobs SET error = 'x'", "jobs_error_has_a_class"),
        ("UPDATE jobs SET request = 'no json'", "jobs_request_is_json"),
        ("UPDATE events SET cause = 'x'", "append-only"),
        ("DELETE FROM events", "append-only"),
    ] {
        let said = bench.by_hand(sql).await.expect_err(sql);
        assert!(said.contains(check), "{sql}: {said}");
    }
}

#[tokio::test]
async fn one_lane_carries_one_call() {
    let bench = Bench::new().await;
    let (one, two) = (one_job(&bench).await, one_job(&bench).await);
    bench.send(Kind::Job, one, "paid").await.unwrap();
    let taken = bench.send(Kind::Job, two, "paid").await.unwrap_err();
    assert!(matches!(taken, StoreError::Refused(_)), "{taken}");
    assert_eq!(bench.state(Kind::Job, two).await, "queued");
    bench.apply(Kind::Job, one, Event::Accepted { remote_id: "job_1".into() }).await.unwrap();
    bench.send(Kind::Job, two, "paid").await.unwrap();
    let again = bench.apply(Kind::Job, two, Event::Accepted { remote_id: "job_1".into() }).await;
    assert!(again.is_err(), "two rows cannot claim one job of the vendor's");
    assert_eq!(bench.state(Kind::Job, two).await, "submitting", "and nothing was half-stored");
}

#[tokio::test]
async fn a_refused_write_takes_nothing_of_its_neighbours_with_it() {
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    let writes = (0..64).map(|n| {
        let bench = &bench;
        async move {
            if n % 2 == 0 {
                one_job(bench).await;
                true
            } else {
                bench.apply(Kind::Job, id, Event::Fetched).await.is_ok()
            }
        }
    });
    let done = futures_util::future::join_all(writes).await;
    assert_eq!(done.iter().filter(|ok| **ok).count(), 32);
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM jobs")
        .fetch_one(bench.store.readers())
        .await
        .unwrap();
    assert_eq!(count, 33);
}

#[tokio::test]
async fn the_same_key_is_the_same_work() {
    let bench = Bench::new().await;
    let submit = |hash: &'static str| {
        let id = new_id();
        let mut submission = Submission::new(("job", id), "test");
        submission.key = Some(Key { key: "k".into(), request_hash: hash.into() });
        submission.jobs.push(job(id, image("p")));
        bench.store.writer().write(submission)
    };
    let first = submit("a").await.unwrap();
    let again = submit("a").await.unwrap();
    assert_eq!((again.subject, again.existed), (first.subject, true));
    assert!(matches!(submit("b").await, Err(StoreError::Refused(_))));
}

#[tokio::test]
async fn what_waits_starts_when_everything_before_it_is_there() {
    let bench = Bench::new().await;
    let family = family(&bench).await;
    assert_eq!(bench.state(Kind::Upload, family.uploads[0]).await, "waiting");
    bench.accept(Kind::Model, family.model, "m").await;
    assert_eq!(bench.state(Kind::Upload, family.uploads[0]).await, "queued");
    bench.accept(Kind::Upload, family.uploads[0], "u0").await;
    assert_eq!(bench.state(Kind::Training, family.training).await, "waiting");
    bench.accept(Kind::Upload, family.uploads[1], "u1").await;
    assert_eq!(bench.state(Kind::Training, family.training).await, "queued");
    bench.accept(Kind::Training, family.training, "m").await;
    let done = Event::VendorDone { outputs: 0 };
    bench.apply(Kind::Training, family.training, done).await.unwrap();
    assert_eq!(bench.state(Kind::Job, family.job).await, "queued");
    bench.accept(Kind::Job, family.job, "j").await;
    let output = new_id();
    let outputs = vec![NewOutput { id: output, video: false, remote_id: "i".into(), url: None }];
    let facts = Facts { outputs, ..Facts::default() };
    let done = Event::VendorDone { outputs: 1 };
    bench.apply_with(Kind::Job, family.job, done, facts).await.unwrap();
    // The upscale needs the picture's remote id only, not its file.
    assert_eq!(bench.state(Kind::Job, family.upscale).await, "queued");
    assert_eq!(bench.state(Kind::Job, family.job).await, "collecting");
    let file = StoredFile {
        path: "outputs/x.png".into(),
        sha256: "0".into(),
        bytes: 1,
        media_type: "image/png".into(),
    };
    let timing = Timing::default();
    bench.store.writer().write(FileArrived { id: output, file, timing }).await.unwrap();
    assert_eq!(bench.state(Kind::Job, family.job).await, "succeeded");
}

#[tokio::test]
async fn a_failure_reaches_what_waits_and_a_retry_brings_all_of_it_back() {
    let bench = Bench::new().await;
    let family = family(&bench).await;
    bench.accept(Kind::Model, family.model, "m").await;
    bench.accept(Kind::Upload, family.uploads[0], "u0").await;
    bench.send(Kind::Upload, family.uploads[1], "l").await.unwrap();
    bench.apply(Kind::Upload, family.uploads[1], refused()).await.unwrap();
    for (kind, id) in
        [(Kind::Training, family.training), (Kind::Job, family.job), (Kind::Job, family.upscale)]
    {
        let work = bench.store.load(kind, id).await.unwrap().work;
        assert_eq!(work.state, State::Failed { at: NOW });
        let error = work.error.unwrap();
        assert_eq!(error.reason, Reason::Dependency);
        assert!(error.message.contains("photo 1.jpg") && error.message.contains("too blurry"));
    }
    let retry = Retry {
        kind: Kind::Job,
        id: family.upscale,
        resubmit: false,
        actor: "test".into(),
        new_id,
        timing: Timing::default(),
    };
    let Retried::Anew(rows) = bench.store.writer().write(retry).await.unwrap() else {
        panic!("not anew")
    };
    let kinds: Vec<Kind> = rows.iter().map(|row| row.0).collect();
    assert_eq!(kinds, [Kind::Upload, Kind::Training, Kind::Job, Kind::Job]);
    let newer = |old: Id| rows.iter().find(|row| row.1 == old).unwrap().2;
    assert_eq!(bench.state(Kind::Upload, newer(family.uploads[1])).await, "queued");
    assert_eq!(bench.state(Kind::Training, newer(family.training)).await, "waiting");
    let request = bench.store.job_request(newer(family.upscale)).await.unwrap();
    assert_eq!(request.jobs_referred_to(), [newer(family.job)]);
    bench.accept(Kind::Upload, newer(family.uploads[1]), "u1").await;
    assert_eq!(bench.state(Kind::Training, newer(family.training)).await, "queued");
}

#[tokio::test]
async fn retrying_what_was_paid_buys_nothing_unless_asked_to() {
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    bench.accept(Kind::Job, id, "j").await;
    let failed =
        Event::VendorFailed { message: "no media".into(), no_output: true, reply: String::new() };
    bench.apply(Kind::Job, id, failed).await.unwrap();
    let retry = |id, resubmit| Retry {
        kind: Kind::Job,
        id,
        resubmit,
        actor: "test".into(),
        new_id,
        timing: Timing::default(),
    };
    let Retried::Anew(rows) = bench.store.writer().write(retry(id, false)).await.unwrap() else {
        panic!("not anew")
    };
    let newer = rows[0].2;
    assert_eq!(bench.state(Kind::Job, newer).await, "running");
    let again = bench.store.writer().write(retry(id, true)).await.unwrap();
    assert_eq!(again, Retried::Already(newer));
}

#[tokio::test]
async fn cancelling_a_parent_cancels_what_waits_for_it() {
    let bench = Bench::new().await;
    let family = family(&bench).await;
    let rows = vec![(Kind::Model, family.model), (Kind::Upload, family.uploads[0])];
    let cancel = Cancel { rows, actor: "test".into(), timing: Timing::default() };
    bench.store.writer().write(cancel).await.unwrap();
    for (kind, id) in [
        (Kind::Model, family.model),
        (Kind::Upload, family.uploads[1]),
        (Kind::Training, family.training),
        (Kind::Job, family.upscale),
    ] {
        assert_eq!(bench.state(kind, id).await, "cancelled", "{kind}");
    }
}

#[tokio::test]
async fn after_a_crash_every_open_call_is_in_doubt() {
    let bench = Bench::new().await;
    let id = one_job(&bench).await;
    bench.send(Kind::Job, id, "paid").await.unwrap();
    let recovered = bench.store.writer().write(Recover { timing: Timing::default() }).await;
    assert_eq!(recovered.unwrap(), [(Kind::Job, id)]);
    assert_eq!(bench.state(Kind::Job, id).await, "in_doubt");
    let lanes = bench.store.open_lanes().await.unwrap();
    assert_eq!(lanes, ["paid"], "the lane stays closed until the doubt is settled");
}

#[tokio::test]
async fn a_second_daemon_is_kept_out_and_the_lock_goes_with_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    assert!(!daemon_is_running(folder.path()));
    let lock = lock_for_daemon(folder.path()).unwrap();
    assert!(daemon_is_running(folder.path()));
    assert!(matches!(lock_for_daemon(folder.path()), Err(StoreError::Locked(_))));
    drop(lock);
    assert!(!daemon_is_running(folder.path()));
}

/// Fills the database to a size that it may not exceed, as a full disk would end it.
struct Overflow;

impl super::writer::Write for Overflow {
    type Output = ();

    fn run<'a>(
        &'a self,
        tx: &'a mut super::writer::Tx<'_>,
    ) -> futures_util::future::BoxFuture<'a, super::Result<()>> {
        Box::pin(async move {
            let most: i64 =
                sqlx::query_scalar("PRAGMA page_count").fetch_one(tx.conn().await?).await?;
            let limit = format!("PRAGMA max_page_count = {most}");
            sqlx::query(sqlx::AssertSqlSafe(limit)).execute(tx.conn().await?).await?;
            sqlx::query(
                "INSERT INTO settings (name, value, updated_at) \
                 VALUES ('big', json_quote(hex(zeroblob(9000000))), 0)",
            )
            .execute(tx.conn().await?)
            .await?;
            Ok(())
        })
    }
}

#[tokio::test]
async fn no_room_rolls_back_the_batch_and_the_writer_goes_on() {
    let bench = Bench::new().await;
    let writer = bench.store.writer();
    let id = new_id();
    let mut submission = Submission::new(("job", id), "test");
    submission.jobs.push(job(id, image("p")));
    // In one batch, most likely; if not, the neighbour is stored, and says so.
    let (full, neighbour) = tokio::join!(writer.write(Overflow), writer.write(submission));
    let error = full.unwrap_err();
    assert!(matches!(error, StoreError::Full(_)), "{error}");
    assert!(error.is_passing() && !error.is_final());
    assert_eq!(writer.times_full(), 1);
    assert!(!writer.failed().is_cancelled());
    let stored = bench.store.load(Kind::Job, id).await.is_ok();
    assert_eq!(neighbour.is_ok(), stored);
    one_job(&bench).await;
}

#[tokio::test]
async fn after_a_failure_nothing_is_written_and_everybody_hears_why() {
    let bench = Bench::new().await;
    let writer = bench.store.writer();
    writer.fail("the disk is gone");
    let error = writer.write(super::writer::Nothing).await.unwrap_err();
    assert!(matches!(error, StoreError::Failed(_)) && error.is_final(), "{error}");
    assert!(error.to_string().contains("the disk is gone"));
    assert!(writer.failed().is_cancelled());
    // The first reason is the one that is told.
    writer.fail("something else");
    assert_eq!(writer.failure(), Some("the disk is gone"));
}

#[tokio::test]
async fn every_other_pause_takes_the_place_of_the_disks() {
    use super::settings::{BY_DAEMON, BY_DISK, BY_KEY_CHECK, ClearPause, SetPause, Switch};
    let bench = Bench::new().await;
    let set = async |by: &str| {
        let (switch, reason) = (Switch::Spending, format!("by {by}"));
        let pause = SetPause { switch, reason, by: by.to_owned() };
        bench.store.writer().write(pause).await.unwrap();
        bench.store.pauses().await.unwrap().spending.unwrap().by
    };
    assert_eq!(set(BY_DISK).await, BY_DISK);
    assert_eq!(set(BY_DAEMON).await, BY_DAEMON);
    assert_eq!(set(BY_DISK).await, BY_DAEMON);
    assert_eq!(set(BY_KEY_CHECK).await, BY_DAEMON);
    assert_eq!(set("ann").await, "ann");
    assert_eq!(set(BY_DISK).await, "ann");
    let lift = ClearPause { switch: Switch::Spending, only_by: Some(BY_DISK) };
    assert!(!bench.store.writer().write(lift).await.unwrap());
}

/// A writer that panics cannot store any more: the daemon hears of it and ends.
#[tokio::test]
async fn a_writer_that_panics_is_a_failed_one() {
    struct Panics;
    impl super::writer::Write for Panics {
        type Output = ();

        fn run<'a>(
            &'a self,
            _: &'a mut super::writer::Tx<'_>,
        ) -> futures_util::future::BoxFuture<'a, super::Result<()>> {
            Box::pin(async { panic!("on purpose") })
        }
    }
    let bench = Bench::new().await;
    let writer = bench.store.writer();
    assert!(writer.write(Panics).await.is_err());
    writer.failed().cancelled().await;
    assert_eq!(writer.failure(), Some("the writer panicked"));
}
