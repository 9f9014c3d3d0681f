//! A batch leaves the same file, and gives the same answers, as its writes one after the other.

use super::Store;
use super::apply::{Apply, Facts, FileArrived, NewOutput, Observe, StoredFile};
use super::cancel::Cancel;
use super::idempotency::{Once, RequestKey, StoredReply};
use super::intents::{NewIntent, PAID_LANE, StartSend};
use super::settings::{ClearPause, SetPause, Switch};
use super::submit::{Key, NewChange, NewJob, NewModel, NewTraining, NewUpload, Submission, Target};
use super::tests::{Bench, image};
use crate::domain::event::{Event, Reason};
use crate::domain::failure::{Failure, FailureClass};
use crate::domain::ids::Id;
use crate::domain::request::*;
use crate::domain::schedule::Timing;
use crate::domain::work::Kind;
use futures_util::future::join_all;
use serde_json::json;

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

/// Few enough of each kind that writes meet each other.
const EACH: u64 = 5;

fn id(kind: Kind, n: u64) -> Id {
    Id(uuid::Uuid::from_u128((u128::from(n) << 8) + kind as u128 + 1))
}

fn some(kind: Kind, dice: &mut Dice) -> Id {
    id(kind, dice.roll(EACH))
}

#[derive(Clone, Debug)]
enum Op {
    Submit(Submission),
    Once(u64, Submission),
    Send(Kind, Id, String),
    Apply(Kind, Id, Event, Box<Facts>),
    Arrive(Id),
    Observe(Kind, Id, String),
    Cancel(Kind, Id),
    Pause,
    Resume,
}

impl Op {
    async fn carry_out(&self, store: &Store) -> String {
        let timing = Timing::default();
        let actor = "test".to_owned();
        let writer = store.writer();
        match self.clone() {
            Op::Submit(submission) => text(writer.write(submission).await),
            Op::Once(key, write) => {
                let key = RequestKey {
                    scope: "api",
                    key: format!("key {key}"),
                    request_hash: format!("{:?}", write.subject),
                };
                let told = StoredReply { status: 202, body: json!({ "id": write.subject.1 }) };
                let reply = Box::new(move |_: &_| Some(told.clone()));
                text(writer.write(Once { key: Some(key), write, reply }).await)
            }
            Op::Send(kind, id, lane) => {
                let intent = NewIntent {
                    lane,
                    boot: 1,
                    request_hash: "h".to_owned(),
                    request: json!({ "quoted": "\"\u{1f600}\n" }),
                    vendor_time: 5,
                    expects: json!({}),
                    looked_seq: None,
                    listed_from: None,
                    opened_uptime: 0,
                };
                text(writer.write(StartSend { kind, id, intent, timing }).await)
            }
            Op::Apply(kind, id, event, facts) => {
                let facts = *facts;
                text(writer.write(Apply { kind, id, event, facts, actor, timing }).await)
            }
            Op::Arrive(id) => {
                let file = StoredFile {
                    path: format!("outputs/{id}.jpg"),
                    sha256: "ab".repeat(32),
                    bytes: 7,
                    media_type: "image/jpeg".to_owned(),
                };
                text(writer.write(FileArrived { id, file, timing }).await)
            }
            Op::Observe(kind, id, remote_status) => {
                text(writer.write(Observe { kind, id, remote_status, model: false }).await)
            }
            Op::Cancel(kind, id) => {
                text(writer.write(Cancel { rows: vec![(kind, id)], actor, timing }).await)
            }
            Op::Pause => {
                let (reason, by) = ("r".to_owned(), "b".to_owned());
                text(writer.write(SetPause { switch: Switch::Spending, reason, by }).await)
            }
            Op::Resume => {
                let lift = ClearPause { switch: Switch::Spending, only_by: None };
                text(writer.write(lift).await)
            }
        }
    }
}

fn text<T: std::fmt::Debug>(result: super::Result<T>) -> String {
    format!("{result:?}")
}

fn job(dice: &mut Dice, n: u64) -> Submission {
    let new = id(Kind::Job, n);
    let mut submission = Submission::new(("job", new), "test");
    let mut request = image("a \"quoted\" prompt");
    if let JobRequest::Image(image) = &mut request
        && dice.one_in(3)
    {
        image.model = ModelRef::Trained(some(Kind::Model, dice));
    }
    if dice.one_in(4) {
        request = JobRequest::Upscale(UpscaleRequest {
            image: MediaRef::JobOutput { job: some(Kind::Job, dice), index: 0 },
        });
    }
    submission.jobs.push(NewJob { id: new, request, step: None });
    if dice.one_in(5) {
        let request_hash = dice.roll(2).to_string();
        submission.key = Some(Key { key: dice.roll(2).to_string(), request_hash });
    }
    submission
}

fn person(dice: &mut Dice) -> Submission {
    let n = dice.roll(EACH);
    let model = id(Kind::Model, n);
    let mut submission = Submission::new(("model", model), "test");
    let identity = Identity {
        name: "Ann".into(),
        age: 30,
        gender: Gender::Female,
        ethnicity: None,
        eye_color: None,
    };
    submission.models.push(NewModel {
        id: model,
        name: "Ann".into(),
        identity: Some(identity),
        import: None,
    });
    if dice.one_in(2) {
        submission.uploads.push(NewUpload {
            id: id(Kind::Upload, n),
            model,
            purpose: UploadPurpose::Training,
            file_name: "a.jpg".into(),
            sha256: "cd".repeat(32),
            bytes: 9,
            media_type: "image/jpeg".into(),
        });
        submission.training = Some(NewTraining { id: id(Kind::Training, n), model });
    }
    submission
}

fn change(dice: &mut Dice) -> Submission {
    let new = some(Kind::Change, dice);
    let target = match dice.one_in(3) {
        true => Target::Output(some(Kind::Output, dice), None),
        false => Target::Model(some(Kind::Model, dice)),
    };
    let fields = Identity {
        name: format!("Ann {}", dice.roll(9)),
        age: 31,
        gender: Gender::Female,
        ethnicity: None,
        eye_color: None,
    };
    let fields = Some(fields).filter(|_| matches!(target, Target::Model(_)));
    let mut submission = Submission::new(("change", new), "test");
    submission.changes.push(NewChange { id: new, target, fields });
    submission
}

fn event(dice: &mut Dice, kind: Kind) -> (Event, Facts) {
    let mut facts = Facts::default();
    let remote_id = format!("r{}", dice.roll(40));
    let event = match dice.roll(14) {
        0..=3 => Event::Accepted { remote_id },
        4 | 5 => {
            let classes = [
                FailureClass::NotSent,
                FailureClass::RefusedForGood,
                FailureClass::InsufficientCredits,
                FailureClass::Unknown,
            ];
            let class = classes[usize::try_from(dice.roll(4)).unwrap()];
            let message = "no".to_owned();
            Event::CallFailed {
                failure: Failure {
                    class,
                    message,
                    http_status: None,
                    reply: None,
                    retry_after: None,
                },
            }
        }
        6..=9 => {
            let outputs = if kind == Kind::Job { 1 + dice.roll(2) } else { 0 };
            let first = dice.roll(EACH);
            facts.remote_status = Some("success".to_owned());
            facts.outputs = (0..outputs)
                .map(|n| NewOutput {
                    id: id(Kind::Output, first + n),
                    video: dice.one_in(4),
                    remote_id: format!("o{n}"),
                    url: Some("https://cdn.example/1.jpg".to_owned()),
                })
                .collect();
            Event::VendorDone { outputs: u32::try_from(outputs).unwrap() }
        }
        10 => Event::VendorFailed {
            message: "it failed".to_owned(),
            no_output: false,
            reply: "{}".to_owned(),
        },
        11 => Event::OutcomeUnknown { note: "nobody answered".to_owned() },
        12 => Event::NeedsPerson { reason: Reason::Missing, message: "look".to_owned() },
        _ => Event::Found { remote_id, note: "seen".to_owned() },
    };
    (event, facts)
}

fn op(dice: &mut Dice) -> Op {
    let kinds = [Kind::Job, Kind::Job, Kind::Job, Kind::Model, Kind::Change, Kind::Training];
    let kind = kinds[usize::try_from(dice.roll(6)).unwrap()];
    let row = some(kind, dice);
    match dice.roll(40) {
        0..=5 => {
            let n = dice.roll(EACH);
            Op::Submit(job(dice, n))
        }
        6 | 7 => Op::Submit(person(dice)),
        8..=10 => Op::Submit(change(dice)),
        11 | 12 => {
            let (key, n) = (dice.roll(3), EACH + dice.roll(EACH));
            Op::Once(key, job(dice, n))
        }
        13..=20 => {
            let lane = match dice.roll(4) {
                0 => PAID_LANE.to_owned(),
                1 => format!("changes:{row}"),
                _ => format!("{kind}:{row}"),
            };
            Op::Send(kind, row, lane)
        }
        21..=31 => {
            let (event, facts) = event(dice, kind);
            Op::Apply(kind, row, event, Box::new(facts))
        }
        32..=34 => Op::Arrive(some(Kind::Output, dice)),
        35 => Op::Observe(Kind::Job, some(Kind::Job, dice), "running".to_owned()),
        36 | 37 => Op::Cancel(kind, row),
        38 if dice.one_in(3) => Op::Pause,
        _ => Op::Resume,
    }
}

/// The next step of a row that is under way, so that work gets somewhere.
async fn step(dice: &mut Dice, store: &Store) -> Op {
    let live: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT kind, id, state FROM work \
         WHERE state IN ('queued','submitting','running','collecting') ORDER BY id",
    )
    .fetch_all(store.readers())
    .await
    .unwrap();
    if live.is_empty() {
        return op(dice);
    }
    let row = usize::try_from(dice.roll(live.len() as u64)).unwrap();
    let (kind, id, state) = &live[row];
    let (kind, id) = (Kind::parse(kind).unwrap(), Id::parse(id).unwrap());
    let (mut event, mut facts) = (Event::Recovered, Facts::default());
    match state.as_str() {
        "queued" => return Op::Send(kind, id, format!("{kind}:{id}")),
        "submitting" => event = Event::Accepted { remote_id: format!("r{id}") },
        "collecting" => return Op::Arrive(id),
        _ => {
            while !matches!(event, Event::VendorDone { .. }) {
                (event, facts) = self::event(dice, kind);
            }
        }
    }
    Op::Apply(kind, id, event, Box::new(facts))
}

/// Everything that the file holds, table by table.
async fn dump(store: &Store) -> Vec<String> {
    let mut out = Vec::new();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%sqlx%' \
         AND name <> 'boots' ORDER BY name",
    )
    .fetch_all(store.readers())
    .await
    .unwrap();
    for table in tables {
        let columns: Vec<String> =
            sqlx::query_scalar("SELECT name FROM pragma_table_info($1) ORDER BY cid")
                .bind(&table)
                .fetch_all(store.readers())
                .await
                .unwrap();
        let sql = format!("SELECT json_array({}) FROM {table} ORDER BY 1", columns.join(", "));
        let rows: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(store.readers()).await.unwrap();
        out.extend(rows.into_iter().map(|row| format!("{table} {row}")));
    }
    out
}

#[tokio::test]
async fn a_batch_leaves_what_its_writes_would_leave_one_by_one() {
    let (mut kept, mut succeeded) = (0, 0);
    for seed in 1..=5_u64 {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        let (alone, together) = (Bench::new().await, Bench::new().await);
        for _ in 0..40 {
            let mut ops = Vec::new();
            for _ in 0..=dice.roll(12) {
                ops.push(match dice.one_in(2) {
                    true => step(&mut dice, &alone.store).await,
                    false => op(&mut dice),
                });
            }
            let mut expected = Vec::new();
            for op in &ops {
                expected.push(op.carry_out(&alone.store).await);
            }
            let answers = join_all(ops.iter().map(|op| op.carry_out(&together.store))).await;
            assert_eq!(answers, expected, "seed {seed}: {ops:#?}");
            kept += answers.iter().filter(|answer| answer.starts_with("Ok")).count();
        }
        let (left, right) = (dump(&alone.store).await, dump(&together.store).await);
        let differ = left.iter().zip(&right).find(|(left, right)| left != right);
        assert_eq!((differ, left.len()), (None, right.len()), "seed {seed}");
        succeeded += left.iter().filter(|row| row.contains("\"succeeded\"")).count();
    }
    // The dice reach far enough to show something.
    assert!(kept > 250 && succeeded > 25, "{kept} writes stood, {succeeded} rows speak of success");
}

#[tokio::test]
async fn a_dependency_damaged_by_hand_stops_only_its_own_parent() {
    let bench = Bench::new().await;
    let (a, b) = (id(Kind::Job, 1), id(Kind::Job, 2));
    let mut other = super::open::writing_connection(&super::open::db_path(bench.store.data_dir()))
        .await
        .unwrap();
    sqlx::query("INSERT INTO dependencies VALUES ('x', 'nonsense', $1, 'job', NULL)")
        .bind(a.to_string())
        .execute(&mut other)
        .await
        .unwrap();
    let put = |id| Apply {
        kind: Kind::Job,
        id,
        event: Event::Recovered,
        facts: Facts::default(),
        actor: "t".to_owned(),
        timing: Timing::default(),
    };
    let (_, b) =
        tokio::join!(bench.store.writer().write(put(a)), bench.store.writer().write(put(b)));
    let said = b.unwrap_err().to_string();
    assert!(!said.contains("nonsense"), "the neighbour got: {said}");
}

#[tokio::test]
async fn nul_survives_the_way_through_json() {
    let bench = Bench::new().await;
    let text: String = sqlx::query_scalar("SELECT hex(value ->> 0) FROM jsonb_each($1)")
        .bind(json!([["a\0b"]]).to_string())
        .fetch_one(bench.store.readers())
        .await
        .unwrap();
    assert_eq!(text, "610062");
}
