//! The book of paid calls: whatever happens and is said in whatever order, both sides agree.

use super::StoreError;
use super::answers::Whose;
use super::retry::Retried;
use super::tests::{Bench, one_job};
use super::verdict_tests::PAID;
use crate::domain::event::Event;
use crate::domain::failure::{Failure, FailureClass};
use crate::domain::ids::Id;
use crate::domain::work::Kind;
use judging::placing::Place;
use proptest::prelude::*;

/// What may happen to two rows and three jobs at the vendor.
#[derive(Clone, Copy, Debug)]
enum Step {
    Send(usize),
    Accepted(usize),
    Refused(usize),
    Unknown(usize),
    Absent(usize),
    Park(usize, usize),
    Found(usize, usize),
    List(usize),
    Duplicate(usize, i64),
    Foreign(usize),
    Ours(usize),
    NotOurs(usize),
    NotThis(usize, usize),
    Adopt(usize, usize),
    Resubmit(usize),
    Abandon(usize),
    Retry(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let (row, job, call) = (|| 0usize..2, || 0usize..3, || 1i64..5);
    prop_oneof![
        4 => row().prop_map(Step::Send),
        1 => row().prop_map(Step::Accepted),
        1 => row().prop_map(Step::Refused),
        4 => row().prop_map(Step::Unknown),
        3 => row().prop_map(Step::Absent),
        2 => (row(), job()).prop_map(|(row, job)| Step::Park(row, job)),
        1 => (row(), job()).prop_map(|(row, job)| Step::Found(row, job)),
        3 => job().prop_map(Step::List),
        3 => (job(), call()).prop_map(|(job, call)| Step::Duplicate(job, call)),
        1 => job().prop_map(Step::Foreign),
        3 => job().prop_map(Step::Ours),
        1 => job().prop_map(Step::NotOurs),
        2 => (row(), job()).prop_map(|(row, job)| Step::NotThis(row, job)),
        2 => (row(), job()).prop_map(|(row, job)| Step::Adopt(row, job)),
        2 => row().prop_map(Step::Resubmit),
        1 => row().prop_map(Step::Abandon),
        1 => (row(), any::<bool>()).prop_map(|(row, resubmit)| Step::Retry(row, resubmit)),
    ]
}

async fn take(bench: &Bench, rows: &mut [Id; 2], step: Step) -> Result<(), StoreError> {
    let job = |n: usize| format!("r{n}");
    match step {
        Step::Send(row) => bench.send(Kind::Job, rows[row], PAID).await.map(drop),
        Step::Accepted(row) => {
            let event = Event::Accepted { remote_id: format!("a{}", rows[row]) };
            bench.apply(Kind::Job, rows[row], event).await.map(drop)
        }
        Step::Refused(row) => {
            let failure = Failure {
                class: FailureClass::RefusedForNow,
                message: "busy".into(),
                http_status: Some(503),
                reply: None,
                retry_after: None,
            };
            bench.apply(Kind::Job, rows[row], Event::CallFailed { failure }).await.map(drop)
        }
        Step::Unknown(row) => bench.unknown(rows[row]).await.map(drop),
        Step::Absent(row) => bench.absent(rows[row]).await.map(drop),
        Step::Park(row, n) => bench.park(rows[row], &[&job(n)]).await.map(drop),
        Step::Found(row, n) => {
            let event = Event::Found { remote_id: job(n), note: "listed".into() };
            bench.apply(Kind::Job, rows[row], event).await.map(drop)
        }
        Step::List(n) => {
            bench.list(&job(n)).await;
            Ok(())
        }
        Step::Duplicate(n, call) => {
            let known = format!("SELECT count(*) FROM intents WHERE seq = {call}");
            if bench.one(&known).await.as_deref() == Some("1") {
                bench.place(&job(n), Place::Duplicate(call)).await;
            }
            Ok(())
        }
        Step::Foreign(n) => {
            bench.place(&job(n), Place::Foreign).await;
            Ok(())
        }
        Step::Ours(n) => bench.answer(&job(n), Whose::Ours).await.map(drop),
        Step::NotOurs(n) => bench.answer(&job(n), Whose::NotOurs).await.map(drop),
        Step::NotThis(row, n) => bench.not_this(rows[row], &job(n)).await.map(drop),
        Step::Adopt(row, n) => bench.adopt(rows[row], &job(n)).await.map(drop),
        Step::Resubmit(row) => bench.resubmit(rows[row]).await.map(drop),
        Step::Abandon(row) => bench.abandon(rows[row]).await.map(drop),
        Step::Retry(row, resubmit) => {
            if let Retried::Anew(made) = bench.retry(rows[row], resubmit).await? {
                rows[row] = made[0].2;
            }
            Ok(())
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..Default::default() })]

    #[test]
    fn the_book_balances_whatever_is_said_in_whatever_order(
        steps in prop::collection::vec(step(), 1..50),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bench = Bench::new().await;
            let mut rows = [one_job(&bench).await, one_job(&bench).await];
            for step in steps {
                match take(&bench, &mut rows, step).await {
                    Ok(()) | Err(StoreError::Refused(_) | StoreError::Illegal(_)
                        | StoreError::NotFound(..)) => {}
                    // Found for one row what another one has: the index says so.
                    Err(error) if error.is_taken() => {}
                    Err(error) => panic!("{step:?}: {error}"),
                }
                bench.book().await;
                // No job is counted twice, and none is both a row's and a question.
                let twice = "SELECT count(*) - count(DISTINCT remote_id) FROM ledger \
                             WHERE remote_id IS NOT NULL";
                assert_eq!(bench.one(twice).await.as_deref(), Some("0"), "{step:?}");
                let both = "SELECT count(*) FROM attention a JOIN jobs j ON j.remote_id = a.id \
                            WHERE a.kind = 'listed'";
                assert_eq!(bench.one(both).await.as_deref(), Some("0"), "{step:?}");
                let open = "SELECT count(*) FROM intents i WHERE i.settled_at IS NULL AND NOT EXISTS \
                            (SELECT 1 FROM jobs j WHERE j.intent = i.seq)";
                assert_eq!(bench.one(open).await.as_deref(), Some("0"), "{step:?}");
            }
        });
    }
}
