//! Exit codes of `wait`, with rows moved as the daemon would.

use super::*;
use crate::cli::context::GlobalArgs;
use crate::config::{Config, Env, Paths};
use crate::domain::catalogue::Catalogue;
use crate::domain::event::Event;
use crate::store::report::tests::{Bench, id};
use crate::store::settings::{ClearPause, SetPause, Switch};

fn context(bench: &Bench) -> Context {
    Context {
        config: Config::default(),
        paths: Paths::new(bench.dir.path()),
        env: Env::default(),
        global: GlobalArgs::default(),
        catalogue: Catalogue::default(),
    }
}

async fn verdict(bench: &Bench, subjects: &[(Noun, Id)]) -> Snapshot {
    Target::new(subjects.to_vec()).look(&bench.store).await.unwrap()
}

async fn pause(bench: &Bench, switch: Switch, by: &str) {
    let (reason, by) = ("the vendor refused the key".to_owned(), by.to_owned());
    let write = SetPause { switch, reason, by };
    bench.store.writer().write(write).await.unwrap();
}

const JOB: Noun = Noun::Work(Kind::Job);

#[tokio::test]
async fn every_end_has_its_code() {
    let bench = Bench::new().await;
    let [done, failed, cancelled, parked, queued] = [
        bench.job(None).await,
        bench.job(None).await,
        bench.job(None).await,
        bench.job(None).await,
        bench.job(None).await,
    ];
    bench.finish_job(done, "job_1").await;
    bench.fail(Kind::Job, failed).await;
    bench.event(Kind::Job, cancelled, Event::CancelRequested).await;
    bench.park(Kind::Job, parked).await;
    let code = async |ids: &[Id]| {
        let subjects: Vec<(Noun, Id)> = ids.iter().map(|id| (JOB, *id)).collect();
        verdict(&bench, &subjects).await.verdict().code()
    };
    assert_eq!(code(&[done]).await, 0);
    assert_eq!(code(&[done, failed]).await, 3);
    assert_eq!(code(&[cancelled]).await, 3);
    assert_eq!(code(&[parked]).await, 4);
    // A person can still save the whole: that is the more useful news.
    assert_eq!(code(&[parked, failed]).await, 4);
    assert_eq!(code(&[queued]).await, 5);
    // As long as something goes on by itself, waiting goes on.
    assert_eq!(code(&[queued, parked, failed]).await, 5);
}

#[tokio::test]
async fn a_refused_key_needs_a_person_but_a_persons_pause_does_not() {
    let bench = Bench::new().await;
    let job = bench.job(None).await;
    let look = async || verdict(&bench, &[(JOB, job)]).await;
    pause(&bench, Switch::Spending, "cli").await;
    assert_eq!(look().await.verdict(), Verdict::Running);
    let (switch, only_by) = (Switch::Spending, None);
    let clear = ClearPause { switch, only_by };
    bench.store.writer().write(clear).await.unwrap();
    pause(&bench, Switch::Spending, "daemon").await;
    let paused = look().await;
    assert_eq!(paused.verdict().code(), 4);
    assert_eq!(paused.reasons(), ["spending is paused: the vendor refused the key"]);
}

#[tokio::test]
async fn running_work_goes_on_while_only_spending_is_paused() {
    let bench = Bench::new().await;
    let job = bench.job(None).await;
    bench.accept(Kind::Job, job, "job_1").await;
    let look = async || verdict(&bench, &[(JOB, job)]).await.verdict();
    pause(&bench, Switch::Spending, "daemon").await;
    assert_eq!(look().await, Verdict::Running);
    pause(&bench, Switch::Watching, "daemon").await;
    assert_eq!(look().await, Verdict::Person);
}

#[tokio::test]
async fn a_model_is_done_when_its_training_is() {
    let bench = Bench::new().await;
    let person = bench.person("Anna").await;
    let mut target = Target::new(vec![(Noun::Work(Kind::Model), person.model)]);
    let first = target.look(&bench.store).await.unwrap();
    assert_eq!((first.items.len(), first.verdict()), (5, Verdict::Running));
    bench.accept(Kind::Model, person.model, "model_1").await;
    for upload in &person.uploads {
        bench.accept(Kind::Upload, *upload, &upload.to_string()).await;
    }
    let waiting = target.look(&bench.store).await.unwrap();
    assert_eq!((waiting.items.len(), waiting.verdict()), (5, Verdict::Running));
    bench.accept(Kind::Training, person.training, "model_1").await;
    let finished = Event::VendorDone { outputs: 0 };
    bench.event(Kind::Training, person.training, finished).await;
    let done = target.look(&bench.store).await.unwrap();
    assert_eq!((done.items.len(), done.verdict()), (5, Verdict::Done));
}

#[tokio::test]
async fn who_waits_for_a_parked_parent_needs_a_person_too() {
    let bench = Bench::new().await;
    let person = bench.person("Anna").await;
    bench.park(Kind::Model, person.model).await;
    let snapshot = verdict(&bench, &[(Noun::Work(Kind::Training), person.training)]).await;
    assert_eq!(snapshot.verdict(), Verdict::Person);
    assert!(snapshot.reasons()[0].contains("model Anna"));
}

#[tokio::test]
async fn a_parked_photo_does_not_hide_a_running_one() {
    let bench = Bench::new().await;
    let person = bench.person("Anna").await;
    bench.accept(Kind::Model, person.model, "model_1").await;
    bench.park(Kind::Upload, person.uploads[0]).await;
    let subjects = [(Noun::Work(Kind::Model), person.model)];
    assert_eq!(verdict(&bench, &subjects).await.verdict(), Verdict::Running);
    for upload in &person.uploads[1..] {
        bench.accept(Kind::Upload, *upload, &upload.to_string()).await;
    }
    assert_eq!(verdict(&bench, &subjects).await.verdict(), Verdict::Person);
}

#[tokio::test]
async fn waiting_wakes_when_the_work_is_done() {
    let bench = Bench::new().await;
    let context = context(&bench);
    let run = id();
    let job = bench.job(Some(run)).await;
    let mut target = Target::new(vec![(Noun::Run, run)]);
    let work = async {
        bench.accept(Kind::Job, job, "job_0").await;
        let (message, no_output) = ("too blurry".to_owned(), false);
        let failed = Event::VendorFailed { message, no_output, reply: String::new() };
        bench.event(Kind::Job, job, failed).await;
    };
    let (waited, ()) = tokio::join!(wait(&context, &bench.store, &mut target, None), work);
    let snapshot = waited.unwrap().unwrap();
    assert_eq!(finish(&snapshot), 3);
    assert!(snapshot.reasons()[0].ends_with("failed: too blurry"));
}

#[tokio::test]
async fn a_retried_row_is_followed_to_its_successor() {
    let bench = Bench::new().await;
    let job = bench.job(None).await;
    bench.fail(Kind::Job, job).await;
    let write = crate::store::retry::Retry {
        kind: Kind::Job,
        id: job,
        resubmit: false,
        actor: "cli".to_owned(),
        new_id: id,
        timing: *bench.store.timing(),
    };
    bench.store.writer().write(write).await.unwrap();
    let mut target = Target::new(vec![(JOB, job)]);
    let snapshot = target.look(&bench.store).await.unwrap();
    assert_eq!(snapshot.verdict(), Verdict::Running);
    assert_ne!(target.subjects()[0].1, job);
}

#[tokio::test]
async fn tail_without_wait_returns_at_once_and_with_a_deadline_answers_five() {
    let bench = Bench::new().await;
    let context = context(&bench);
    let job = bench.job(None).await;
    let mut args = TailArgs::default();
    let extra = Map::new();
    let code = tail(&context, &bench.store, ("job", job), extra.clone(), &args, true).await;
    assert_eq!(code.unwrap(), 0);
    args.wait = true;
    args.timeout = Some("1ms".to_owned());
    let code = tail(&context, &bench.store, ("job", job), extra.clone(), &args, true).await;
    assert_eq!(code.unwrap(), 5);
    args.timeout = Some("soon".to_owned());
    let code = tail(&context, &bench.store, ("job", job), extra, &args, true).await;
    assert_eq!(code.unwrap_err().code(), 2);
}
