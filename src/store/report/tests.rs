//! The read model against a real file, and the workbench that other tests share.

use super::*;
use crate::clock::SystemClock;
use crate::domain::event::{Event, Reason};
use crate::domain::ids::Id;
use crate::domain::request::{Gender, Identity, ImageRequest, JobRequest, ModelRef, UploadPurpose};
use crate::domain::schedule::Timing;
use crate::store::Store;
use crate::store::apply::{Apply, Facts, FileArrived, NewOutput, StoredFile};
use crate::store::intents::{NewIntent, StartSend};
use crate::store::settings::Boot;
use crate::store::submit::{NewJob, NewModel, NewRun, NewTraining, NewUpload, Submission};
use serde_json::json;
use std::sync::Arc;

pub(crate) fn id() -> Id {
    Id(uuid::Uuid::now_v7())
}

/// A database in a temporary folder, moved through the same writes as the daemon's.
pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Store,
    boot: i64,
}

/// What [`Bench::person`] makes.
pub(crate) struct Person {
    pub(crate) model: Id,
    pub(crate) uploads: Vec<Id>,
    pub(crate) training: Id,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(SystemClock::new());
        let store = Store::open(dir.path(), clock, Timing::default()).await.unwrap();
        let boot = store.writer().write(Boot { version: "test", settings: vec![] }).await.unwrap();
        Self { dir, store, boot }
    }

    pub(crate) async fn submit(&self, submission: Submission) {
        self.store.writer().write(submission).await.unwrap();
    }

    /// A model with photos and a training, all new.
    pub(crate) async fn person(&self, name: &str) -> Person {
        let (model, training) = (id(), id());
        let uploads: Vec<Id> = (0..3).map(|_| id()).collect();
        let mut new = Submission::new(("model", model), "cli");
        new.models.push(NewModel {
            id: model,
            name: name.to_owned(),
            identity: Some(Identity {
                name: name.to_owned(),
                age: 30,
                gender: Gender::Female,
                ethnicity: None,
                eye_color: None,
            }),
            import: None,
        });
        new.uploads = uploads
            .iter()
            .enumerate()
            .map(|(n, upload)| NewUpload {
                id: *upload,
                model,
                purpose: UploadPurpose::Training,
                file_name: format!("photo {n}.jpg"),
                sha256: "ab".repeat(32),
                bytes: 1000,
                media_type: "image/jpeg".to_owned(),
            })
            .collect();
        new.training = Some(NewTraining { id: training, model });
        self.submit(new).await;
        Person { model, uploads, training }
    }

    fn image(model: &str) -> JobRequest {
        JobRequest::Image(ImageRequest {
            model: ModelRef::Public(model.to_owned()),
            prompt: Some("a cat\ton a \u{1b}[31mmat".to_owned()),
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

    /// A job, in a run if there is one.
    pub(crate) async fn job(&self, run: Option<Id>) -> Id {
        let job = id();
        let mut new = Submission::new(("job", job), "cli");
        new.run = run.map(|id| NewRun { id, name: "creator".to_owned(), recipe: String::new() });
        new.jobs.push(NewJob {
            id: job,
            request: Self::image("flux"),
            step: run.map(|_| "hero".to_owned()),
        });
        self.submit(new).await;
        job
    }

    pub(crate) async fn apply(&self, kind: Kind, id: Id, event: Event, facts: Facts) {
        let write =
            Apply { kind, id, event, facts, actor: "daemon".to_owned(), timing: Timing::default() };
        self.store.writer().write(write).await.unwrap();
    }

    pub(crate) async fn event(&self, kind: Kind, id: Id, event: Event) {
        self.apply(kind, id, event, Facts::default()).await;
    }

    pub(crate) async fn send(&self, kind: Kind, id: Id) {
        let intent = NewIntent {
            lane: if kind.is_paid() { "paid".to_owned() } else { format!("test:{id}") },
            boot: self.boot,
            request_hash: String::new(),
            request: json!({ "path": "/somewhere" }),
            vendor_time: 0,
            expects: json!({}),
            looked_seq: None,
            listed_from: None,
            opened_uptime: 0,
        };
        let write = StartSend { kind, id, intent, timing: Timing::default() };
        self.store.writer().write(write).await.unwrap();
    }

    pub(crate) async fn accept(&self, kind: Kind, id: Id, remote: &str) {
        self.send(kind, id).await;
        let remote_id = remote.to_owned();
        self.event(kind, id, Event::Accepted { remote_id }).await;
    }

    /// Takes a job from the queue to its end, with one file.
    pub(crate) async fn finish_job(&self, job: Id, remote: &str) -> Id {
        self.accept(Kind::Job, job, remote).await;
        let output = id();
        let facts = Facts {
            outputs: vec![NewOutput {
                id: output,
                video: false,
                remote_id: format!("{remote}-image"),
                url: None,
            }],
            ..Facts::default()
        };
        self.apply(Kind::Job, job, Event::VendorDone { outputs: 1 }, facts).await;
        let write = FileArrived {
            id: output,
            file: StoredFile {
                path: format!("outputs/{output}.png"),
                sha256: "cd".repeat(32),
                bytes: 17,
                media_type: "image/png".to_owned(),
            },
            timing: Timing::default(),
        };
        self.store.writer().write(write).await.unwrap();
        output
    }

    /// Parks a job in doubt.
    pub(crate) async fn park(&self, kind: Kind, id: Id) {
        self.send(kind, id).await;
        let note = "the connection broke".to_owned();
        self.event(kind, id, Event::OutcomeUnknown { note }).await;
        let message = "two jobs at the vendor could be it".to_owned();
        let reason = Reason::Undecidable;
        self.event(kind, id, Event::NeedsPerson { reason, message }).await;
    }

    pub(crate) async fn fail(&self, kind: Kind, id: Id) {
        let message = "no such model".to_owned();
        self.event(kind, id, Event::Unsendable { message }).await;
    }
}

fn keys(value: &serde_json::Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

const COMMON: [&str; 20] = [
    "id",
    "kind",
    "state",
    "remote_id",
    "error",
    "error_class",
    "created_at",
    "updated_at",
    "due_at",
    "finished_at",
    "label",
    "why",
    "flag",
    "note",
    "attempt",
    "accepted_at",
    "cancel_requested_at",
    "retry_of",
    "retried_by",
    "version",
];

fn with(own: &[&'static str]) -> Vec<&'static str> {
    COMMON.iter().chain(own).copied().collect()
}

#[tokio::test]
async fn json_shapes_are_a_contract() {
    let bench = Bench::new().await;
    let person = bench.person("Anna").await;
    let run = id();
    let job = bench.job(Some(run)).await;
    let output = bench.finish_job(job, "job_1").await;
    let shape =
        async |noun, id| serde_json::to_value(bench.store.item(noun, id).await.unwrap()).unwrap();
    let model = shape(Noun::Work(Kind::Model), person.model).await;
    let own = [
        "name",
        "age",
        "gender",
        "ethnicity",
        "eye_color",
        "imported",
        "remote_status",
        "photos",
        "photos_total",
        "training_id",
        "training",
        "run_id",
    ];
    assert_eq!(keys(&model), with(&own));
    assert_eq!(model["training_id"], json!(person.training));
    assert_eq!(model["training"]["state"], "waiting");
    assert_eq!((&model["photos"], &model["photos_total"]), (&json!(0), &json!(3)));
    let upload = shape(Noun::Work(Kind::Upload), person.uploads[0]).await;
    let own = ["model_id", "purpose", "file_name", "sha256", "bytes", "media_type"];
    assert_eq!(keys(&upload), with(&own));
    let training = shape(Noun::Work(Kind::Training), person.training).await;
    assert_eq!(keys(&training), with(&["model_id", "model", "remote_status", "run_id"]));
    assert_eq!(training["due_at"], serde_json::Value::Null);
    let shown = shape(Noun::Work(Kind::Job), job).await;
    let own = [
        "type",
        "model_id",
        "model",
        "prompt",
        "request",
        "run_id",
        "step",
        "remote_status",
        "credits",
        "outputs_missing",
        "outputs",
    ];
    assert_eq!(keys(&shown), with(&own));
    let file = &shown["outputs"][0];
    let own = ["id", "remote_id", "path", "sha256", "bytes", "media_type", "job_id"];
    assert_eq!(keys(file), own);
    assert_eq!(file["id"], json!(output));
    let path = std::path::Path::new(file["path"].as_str().unwrap());
    assert!(path.is_absolute() && path.starts_with(bench.dir.path()));
    let shown = shape(Noun::Work(Kind::Output), output).await;
    let own = ["job_id", "number", "media", "path", "sha256", "bytes", "media_type"];
    assert_eq!(keys(&shown), with(&own));
    let shown = shape(Noun::Run, run).await;
    assert_eq!(keys(&shown), with(&["name", "done", "total", "members", "outputs"]));
    assert_eq!(shown["state"], "succeeded");
    assert_eq!(shown["members"][0]["id"], json!(job));
    assert_eq!(shown["outputs"][0]["id"], json!(output));
}

#[tokio::test]
async fn times_are_utc_with_milliseconds() {
    assert_eq!(Time(0).to_string(), "1970-01-01T00:00:00.000Z");
    assert_eq!(Time(1_700_000_000_123).to_string(), "2023-11-14T22:13:20.123Z");
    let bench = Bench::new().await;
    let job = bench.job(None).await;
    let item = bench.store.item(Noun::Work(Kind::Job), job).await.unwrap();
    assert_eq!(item.due_at, Some(item.created_at));
    assert_eq!(item.finished_at, None);
}

#[tokio::test]
async fn rows_are_found_by_what_people_type() {
    let bench = Bench::new().await;
    let person = bench.person("Anna").await;
    let job = bench.job(None).await;
    bench.accept(Kind::Job, job, "job_17").await;
    let model = Found::One(Noun::Work(Kind::Model), person.model);
    let found = async |text: &str| bench.store.find(text).await.unwrap();
    let full = person.model.to_string();
    assert_eq!(found(&full).await, model);
    assert_eq!(found(&full[..35]).await, model);
    assert_eq!(found(&full.to_uppercase()).await, model);
    assert_eq!(found(&full.replace('-', "")).await, model);
    assert_eq!(found(&format!(" {full}\n")).await, model);
    assert_eq!(found("Anna").await, model);
    assert_eq!(found("job_17").await, Found::One(Noun::Work(Kind::Job), job));
    for nothing in ["", "-", "job_18", "ffffffff", "%", "' OR 1=1 --"] {
        assert_eq!(found(nothing).await, Found::None, "{nothing:?}");
    }
    // Made in the same moment, they begin alike.
    let Found::Many(candidates) = found(&full[..4]).await else {
        panic!("{} should be ambiguous", &full[..4]);
    };
    assert_eq!(candidates.len(), 6);
    assert_eq!(candidates[0].label, "model Anna");
    let among = [Noun::Work(Kind::Training)];
    assert_eq!(
        bench.store.find_among(&full[..4], &among).await.unwrap(),
        Found::One(Noun::Work(Kind::Training), person.training)
    );
}

#[tokio::test]
async fn lists_filter_and_order() {
    let bench = Bench::new().await;
    let person = bench.person("Anna").await;
    let (first, second) = (bench.job(None).await, bench.job(None).await);
    bench.fail(Kind::Job, first).await;
    let jobs = Noun::Work(Kind::Job);
    let ids = |items: Vec<Item>| items.iter().map(|item| item.id).collect::<Vec<_>>();
    let list = async |filter: Filter| ids(bench.store.list(jobs, &filter).await.unwrap());
    assert_eq!(list(Filter::default()).await, [second, first]);
    let states = vec!["failed".to_owned()];
    assert_eq!(list(Filter { states, ..Filter::default() }).await, [first]);
    assert_eq!(list(Filter { limit: 1, ..Filter::default() }).await, [second]);
    let of = Filter { model: Some(person.model), ..Filter::default() };
    assert!(list(of.clone()).await.is_empty());
    let uploads = bench.store.list(Noun::Work(Kind::Upload), &of).await.unwrap();
    assert_eq!(uploads.len(), 3);
    // Live before ended; photos only when they need somebody.
    let overview = bench.store.overview(10).await.unwrap();
    assert_eq!(overview.len(), 4);
    assert_eq!(overview.last().unwrap().id, first);
    bench.park(Kind::Job, second).await;
    let parked = bench.store.attention().await.unwrap();
    let crate::store::report::Duty::Row(parked) = &parked[0] else { panic!("no row") };
    assert_eq!(parked.id, second);
    assert_eq!(parked.why, "needs a person: two jobs at the vendor could be it");
    let counts = bench.store.counts().await.unwrap();
    assert!(counts.contains(&(Kind::Upload, "waiting".to_owned(), 3)));
}

#[tokio::test]
async fn a_story_names_parents_calls_and_events() {
    let bench = Bench::new().await;
    let person = bench.person("Anna").await;
    let parents = bench.store.parents(person.training).await.unwrap();
    let depths: Vec<i64> = parents.iter().map(|parent| parent.depth).collect();
    assert_eq!(depths, [1, 1, 1, 1]);
    assert!(parents.iter().any(|parent| parent.id == person.model));
    let job = bench.job(None).await;
    bench.park(Kind::Job, job).await;
    let call = bench.store.last_intent(job).await.unwrap().unwrap();
    assert_eq!(call.outcome.as_deref(), Some("needs_person"));
    assert!(call.doubt_at.is_some());
    let events = bench.store.events(&[job], 0).await.unwrap();
    let causes: Vec<&str> = events.iter().map(|event| event.cause.as_str()).collect();
    assert_eq!(causes, ["created", "send_started", "outcome_unknown", "needs_person"]);
    let later = bench.store.events(&[job], events[2].seq).await.unwrap();
    assert_eq!(later.len(), 1);
    assert!(bench.store.check_integrity().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_watcher_sees_what_others_commit() {
    let bench = Bench::new().await;
    let mut watcher = bench.store.watcher().await.unwrap();
    let quiet = tokio::time::timeout(std::time::Duration::from_millis(600), watcher.changed());
    assert!(quiet.await.is_err(), "nothing changed");
    bench.job(None).await;
    watcher.changed().await.unwrap();
}

#[tokio::test]
async fn short_ids_name_one_row_only() {
    let bench = Bench::new().await;
    let person = bench.person("Anna").await;
    let mut ids = vec![person.model, person.training, bench.job(None).await];
    ids.extend(&person.uploads);
    let short = bench.store.short_ids(&ids).await.unwrap();
    assert_eq!(short.len(), 6);
    for (id, short) in short {
        assert!(short.len() >= 13 && id.to_string().starts_with(&short));
        let found = bench.store.find(&short).await.unwrap();
        assert!(matches!(found, Found::One(_, one) if one == id), "{short}: {found:?}");
    }
}
