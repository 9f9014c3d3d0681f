//! The views are an interface: people, dashboards and scripts read them. Columns may be added at
//! the end of this list and of the view; none may go or be renamed.

use darkroom::clock::SystemClock;
use darkroom::domain::schedule::Timing;
use darkroom::store::Store;
use std::sync::Arc;

const VIEWS: &[(&str, &str)] = &[
    ("attention", "id kind label why reason remote_id since credits jobs subject since_ms"),
    (
        "change_status",
        "id action model state why fields next_at created_at updated_at finished_at error \
         target_kind target",
    ),
    ("clock", "now_ms training_ms job_ms download_ms"),
    (
        "job_status",
        "id type state why model prompt remote_id files credits step run_id next_at created_at \
         updated_at finished_at error",
    ),
    (
        "model_status",
        "id name state remote_status why remote_id photos training next_at created_at updated_at \
         finished_at error",
    ),
    ("named", "kind id label state error"),
    (
        "output_status",
        "id job_id number media state why path bytes media_type sha256 remote_id next_at \
         created_at updated_at finished_at error",
    ),
    ("run_members", "run_id kind id state step"),
    ("run_status", "id name state why done total created_at"),
    (
        "spend_proof",
        "paid_calls accepted refused not_sent absent parked open difference accepted_events \
         credits unclaimed unclaimed_credits possible_duplicates possible_duplicate_credits \
         bought_twice bought_twice_credits",
    ),
    ("timeline", "seq at kind subject from_state to_state cause actor note"),
    (
        "training_status",
        "id model state remote_status why model_id remote_id started_at minutes flag next_at \
         created_at updated_at finished_at error",
    ),
    (
        "unclaimed",
        "remote_id what status credits subject created_at first_seen_at answered_by answered_at",
    ),
    (
        "upload_status",
        "id file_name state why model purpose remote_id bytes media_type sha256 next_at \
         created_at updated_at finished_at error",
    ),
    ("why", "kind id label next_at why"),
    (
        "work",
        "kind id label model_id state due_at waiting_for intent attempt remote_id accepted_at \
         poll_anchor cancel_requested_at flag note error error_class created_at updated_at \
         finished_at retry_of retried_by next_at",
    ),
];

async fn store(dir: &tempfile::TempDir) -> Store {
    Store::open(dir.path(), Arc::new(SystemClock::new()), Timing::default()).await.unwrap()
}

#[tokio::test]
async fn columns_are_a_contract() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let names: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'view' ORDER BY name")
            .fetch_all(store.readers())
            .await
            .unwrap();
    let known: Vec<&str> = VIEWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, known);
    for (view, columns) in VIEWS {
        let found: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info($1)")
            .bind(view)
            .fetch_all(store.readers())
            .await
            .unwrap();
        let expected: Vec<&str> = columns.split_whitespace().collect();
        assert_eq!(found, expected, "view {view}");
    }
}

/// Every view runs, and looking one row up does not build the whole view: with many rows that
/// would take seconds.
#[tokio::test]
async fn lookups_use_the_primary_keys() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    for (view, columns) in VIEWS {
        let all = format!("SELECT * FROM {view}");
        sqlx::query(sqlx::AssertSqlSafe(all)).fetch_all(store.readers()).await.unwrap();
        let by_id = columns.split_whitespace().next() == Some("id");
        if !by_id || matches!(*view, "attention" | "run_status") {
            continue;
        }
        let plan = format!("EXPLAIN QUERY PLAN SELECT why FROM {view} WHERE id = 'x'");
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(sqlx::AssertSqlSafe(plan)).fetch_all(store.readers()).await.unwrap();
        for (_, _, _, step) in plan {
            let whole = ["MATERIALIZE named", "MATERIALIZE work", "MATERIALIZE why", "AUTOMATIC"];
            assert!(!whole.iter().any(|bad| step.contains(bad)), "{view}: {step}");
        }
    }
}
