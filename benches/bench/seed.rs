//! Rows that a measurement finds already there, by plain SQL: what put them there is not measured.

use crate::Result;
use darkroom::clock::{Clock as _, SystemClock};
use darkroom::domain::ids::Id;
use darkroom::domain::request::{ImageRequest, JobRequest, ModelRef};
use darkroom::domain::schedule::Timing;
use darkroom::store::Store;
use sqlx::{Connection, SqliteConnection};
use std::path::Path;
use std::sync::Arc;

/// A connection of our own; durability does not matter for what is made up.
pub(crate) async fn connect(data: &Path) -> Result<SqliteConnection> {
    let path = darkroom::store::open::db_path(data);
    let mut conn = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await?;
    sqlx::query("PRAGMA synchronous = OFF").execute(&mut conn).await?;
    Ok(conn)
}

/// Models that exist at the vendor; answers their ids.
pub(crate) async fn models(store: &Store, count: usize) -> Result<Vec<Id>> {
    let mut conn = connect(store.data_dir()).await?;
    sqlx::query(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $1) \
         INSERT INTO models (id, state, remote_id, accepted_at, created_at, updated_at, \
         finished_at, name, age, gender) \
         SELECT printf('00000000-0000-7000-8000-%012x', i), 'succeeded', 'm_' || i, $2, $2, $2, $2, \
         'Ada ' || i, 30, 'Female' FROM n",
    )
    .bind(i64::try_from(count)?)
    .bind(store.now())
    .execute(&mut conn)
    .await?;
    let ids: Vec<String> = sqlx::query_scalar("SELECT id FROM models").fetch_all(&mut conn).await?;
    conn.close().await?;
    Ok(ids.iter().filter_map(|id| Id::parse(id)).collect())
}

/// What rows of jobs are to be seeded with.
pub(crate) struct Jobs<'a> {
    /// Waiting here, due in an hour: later times are taken for a clock that was set.
    pub(crate) pending: usize,
    /// At the vendor, under these ids.
    pub(crate) running: &'a [String],
    /// Sweeps have seen those, as those of any daemon that has run for ten minutes.
    pub(crate) listed: bool,
}

/// Makes a data directory with these jobs.
pub(crate) fn jobs(data: &Path, jobs: &Jobs<'_>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let clock = Arc::new(SystemClock::new());
        let store = Store::open(data, clock, Timing::default()).await?;
        let now = store.now();
        let mut conn = connect(data).await?;
        pending(&mut conn, jobs.pending, now).await?;
        running(&mut conn, jobs.running, now).await?;
        if jobs.listed {
            listed(&mut conn, now).await?;
        }
        ended(&mut conn, now).await?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut conn).await?;
        conn.close().await?;
        store.close().await;
        Ok(())
    })
}

fn request() -> Result<String> {
    let request = JobRequest::Image(ImageRequest {
        model: ModelRef::Public("nanobanana".into()),
        prompt: Some("a lighthouse at dusk, long exposure, calm sea, soft light".into()),
        num_images: None,
        width: None,
        height: None,
        seed: None,
        preset: None,
        aspect_ratio: None,
        input_image: None,
        references: Vec::new(),
        extra: serde_json::Map::new(),
    });
    Ok(serde_json::to_string(&request)?)
}

async fn pending(conn: &mut SqliteConnection, count: usize, now: i64) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    sqlx::query(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $1) \
         INSERT INTO jobs (id, state, due_at, created_at, updated_at, type, model_name, request, \
         prompt) SELECT printf('00000000-0001-7000-8000-%012x', i), 'queued', \
         $2 + 3600000 + i % 60000, $2, $2, 'image', 'nanobanana', $3, 'a lighthouse' FROM n",
    )
    .bind(i64::try_from(count)?)
    .bind(now)
    .bind(request()?)
    .execute(conn)
    .await?;
    Ok(())
}

async fn running(conn: &mut SqliteConnection, ids: &[String], now: i64) -> Result<()> {
    sqlx::query(
        "INSERT INTO jobs (id, state, due_at, poll_anchor, accepted_at, attempt, remote_id, \
         created_at, updated_at, type, model_name, request, prompt, remote_status, credits) \
         SELECT printf('%08x-%04x-7000-8000-%012x', $2 >> 16, $2 & 65535, key * 2654435761 % 4294967296 * 65536 + key % 65536), \
         'running', $2, $2 + key % 5000, $2, 1, value, $2, $2, 'image', 'nanobanana', $3, \
         'a lighthouse', 'created', 10 FROM json_each($1)",
    )
    .bind(serde_json::to_string(ids)?)
    .bind(now)
    .bind(request()?)
    .execute(conn)
    .await?;
    Ok(())
}

/// What sweeps have seen of them, with the simulator's price.
async fn listed(conn: &mut SqliteConnection, now: i64) -> Result<()> {
    sqlx::query(
        "INSERT INTO listed_jobs (remote_id, first_seen_at, created_at, status, credits, \
         claimed_by) SELECT remote_id, $1, $1, remote_status, credits, id FROM jobs \
         WHERE state = 'running'",
    )
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Puts one more running job in, as another process would: its look is due so many ms from now.
pub(crate) fn arrive(data: &Path, remote_id: &str, due_in: i64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut conn = connect(data).await?;
        let id = darkroom::clock::new_id().to_string();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut conn).await?;
        let now = SystemClock::new().now();
        sqlx::query(
            "INSERT INTO jobs (id, state, due_at, poll_anchor, accepted_at, attempt, remote_id, \
             created_at, updated_at, type, model_name, request, prompt, remote_status) \
             VALUES ($1, 'running', $2, $2, $3, 1, $4, $3, $3, 'image', 'nanobanana', $5, \
             'a lighthouse', 'created')",
        )
        .bind(&id)
        .bind(now + due_in)
        .bind(now)
        .bind(remote_id)
        .bind(request()?)
        .execute(&mut conn)
        .await?;
        sqlx::query(
            "INSERT INTO events (at, kind, subject, version, to_state, cause, actor, detail) \
             VALUES ($1, 'job', $2, 1, 'running', 'created', 'bench', '{}')",
        )
        .bind(now)
        .bind(&id)
        .execute(&mut conn)
        .await?;
        sqlx::query("COMMIT").execute(&mut conn).await?;
        conn.close().await?;
        Ok(())
    })
}

/// The vendor's id of the one that has ended.
pub(crate) const ENDED: &str = "job_ended";

/// One that has ended, as there is in any database that is not new: the account is known by it.
async fn ended(conn: &mut SqliteConnection, now: i64) -> Result<()> {
    sqlx::query(
        "INSERT INTO jobs (id, state, accepted_at, finished_at, attempt, remote_id, created_at, \
         updated_at, type, model_name, request, prompt, remote_status) \
         VALUES ('00000000-0002-7000-8000-000000000000', 'succeeded', $1, $1, 1, $3, $1, \
         $1, 'image', 'nanobanana', $2, 'a lighthouse', 'completed')",
    )
    .bind(now)
    .bind(request()?)
    .bind(ENDED)
    .execute(conn)
    .await?;
    Ok(())
}

/// Runs one query on a data directory; each row's first two columns as numbers or texts.
pub(crate) fn rows(data: &Path, sql: &'static str) -> Result<Vec<(String, i64)>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut conn = connect(data).await?;
        let rows = sqlx::query_as(sql).fetch_all(&mut conn).await?;
        conn.close().await?;
        Ok(rows)
    })
}
