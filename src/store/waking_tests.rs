//! What the engine is woken by, asked of a real database.

use super::*;
use crate::domain::duration::Took;
use crate::domain::event::Event;
use crate::store::apply::Facts;
use crate::store::tests::{Bench, one_job};

fn everything() -> Room {
    Room {
        looks: 9,
        downloads: 9,
        prepares: 9,
        models: 9,
        uploads: 9,
        trainings: 9,
        jobs: 9,
        changes: 9,
    }
}

#[tokio::test]
async fn every_part_of_the_question_uses_an_index_of_its_own() {
    let bench = Bench::new().await;
    let sql = format!("EXPLAIN QUERY PLAN {}", due_sql());
    let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(0)
        .bind(1)
        .bind(1)
        .bind(1)
        .bind(1)
        .bind(1)
        .bind(1)
        .bind(1)
        .bind(1)
        .fetch_all(bench.store.readers())
        .await
        .unwrap();
    let scans = plan.iter().map(|step| step.3.as_str()).filter(|step| step.starts_with("SCAN"));
    // Partial indexes are scanned, they hold nothing else; a table never is.
    let tables: Vec<&str> = scans
        .filter(|step| {
            !step.contains("INDEX") && !step.contains("subquery") && !step.starts_with("SCAN (")
        })
        .collect();
    assert!(tables.is_empty(), "{tables:#?}");
}

#[tokio::test]
async fn what_is_due_comes_in_one_answer_up_to_its_room() {
    let bench = Bench::new().await;
    let jobs = [one_job(&bench).await, one_job(&bench).await];
    let due = bench.store.due(i64::MAX, &everything()).await.unwrap();
    assert_eq!((due.sends.len(), due.looks.len(), due.next), (2, 0, None));
    let none = bench.store.due(i64::MAX, &Room::default()).await.unwrap();
    assert!(none.sends.is_empty());
    assert!(bench.store.due(0, &everything()).await.unwrap().next.is_some_and(|at| at > 0));
    bench.send(Kind::Job, jobs[0], "paid").await.unwrap();
    let due = bench.store.due(i64::MAX, &everything()).await.unwrap();
    assert_eq!(due.submitting, vec![(Kind::Job, jobs[0])]);
    assert!(due.sends.is_empty(), "the lane is taken");
}

#[tokio::test]
async fn the_tail_of_events_names_what_runs_and_what_has_ended() {
    let bench = Bench::new().await;
    let job = one_job(&bench).await;
    let begun = bench.store.tail(0).await.unwrap();
    assert!(begun.touched.is_empty() && begun.newest > 0);
    bench.accept(Kind::Job, job, "r1").await;
    let tail = bench.store.tail(begun.newest).await.unwrap();
    assert_eq!(
        (tail.touched.as_slice(), tail.accepted.as_slice()),
        (&[(Kind::Job, job)][..], &[(Kind::Job, job)][..])
    );
    let row = bench.store.watched(&tail.touched).await.unwrap().remove(0);
    assert_eq!((row.remote_id.as_deref(), row.plain), (Some("r1"), true));
    let (page, next) = bench.store.running_page(Kind::Job, None, 1).await.unwrap();
    assert_eq!((page.len(), next), (1, Some(job)));
    assert!(bench.store.running_page(Kind::Job, next, 1).await.unwrap().0.is_empty());
    assert!(!bench.store.runs_fewer_than(Kind::Job, 1).await.unwrap());
    bench.apply(Kind::Job, job, Event::CancelRequested).await.unwrap();
    let tail = bench.store.tail(tail.newest).await.unwrap();
    assert_eq!((tail.touched.len(), tail.accepted.len()), (1, 0));
}

#[tokio::test]
async fn of_the_newest_jobs_that_run_one_that_is_due_is_found() {
    let bench = Bench::new().await;
    let overdue = async |after: Millis| {
        bench.store.overdue_job(bench.store.now() + after).await.unwrap().map(|row| row.row.1)
    };
    let (old, new) = (one_job(&bench).await, one_job(&bench).await);
    assert_eq!(overdue(Millis::from(u32::MAX)).await, None, "nothing runs");
    bench.accept(Kind::Job, old, "r1").await;
    bench.accept(Kind::Job, new, "r2").await;
    assert_eq!(overdue(0).await, None, "their first looks are an interval away");
    assert_eq!(overdue(60_000).await, Some(new));
    let failed = Event::Flagged { flag: "odd".to_owned() };
    bench.apply(Kind::Job, new, failed).await.unwrap();
    assert_eq!(overdue(600_000).await, Some(old), "the other one is in trouble");
}

#[tokio::test]
async fn durations_are_learnt_with_the_end_of_a_job() {
    let bench = Bench::new().await;
    let took = Took { unfinished: Some(25_000), done: 30_000, interval: 5_000 };
    for number in 0..4 {
        let job = one_job(&bench).await;
        assert_eq!(bench.store.first_look(Kind::Job, job).await.unwrap(), 0);
        bench.accept(Kind::Job, job, &format!("r{number}")).await;
        let event =
            Event::VendorFailed { message: "m".to_owned(), no_output: false, reply: String::new() };
        let facts = Facts { took: Some(took), ..Facts::default() };
        bench.apply_with(Kind::Job, job, event, facts).await.unwrap();
    }
    let job = one_job(&bench).await;
    assert_eq!(bench.store.first_look(Kind::Job, job).await.unwrap(), 25_000);
}
