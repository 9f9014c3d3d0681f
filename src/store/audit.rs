//! What a check from outside reads: a connection of its own, read-only and short-lived.
//!
//! The drill looks at a file whose daemon has just been killed. A connection that stayed open
//! across the kill would keep SQLite's shared memory alive and spare the next daemon the recovery
//! of the write-ahead log; so each look opens the file and closes it again.

use super::Result;
use super::open::db_path;
use serde::Serialize;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, FromRow, SqliteConnection};
use std::path::Path;
use std::time::Duration;

/// How long a look waits for a writer that recovers the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// An open look at the file.
pub struct Audit {
    conn: SqliteConnection,
}

/// A call that was out: its intent is stored, its outcome is not.
#[derive(Clone, Debug, FromRow, Serialize, serde::Deserialize)]
pub struct OpenCall {
    /// The intent.
    pub intent: i64,
    /// The row's kind.
    pub kind: String,
    /// The row.
    pub subject: String,
}

/// A row that waits for a person.
#[derive(Clone, Debug, FromRow)]
pub struct Parked {
    /// The row's kind.
    pub kind: String,
    /// The row.
    pub id: String,
    /// The vendor's id, if it has one.
    pub remote_id: Option<String>,
    /// Why, as a word.
    pub error_class: Option<String>,
}

/// One call that was sent, or was about to be.
#[derive(Clone, Debug, Default, FromRow, Serialize)]
pub struct SentCall {
    /// The intent.
    pub seq: i64,
    /// The row.
    pub subject: String,
    /// When the intent was stored (Unix ms).
    pub opened_at: i64,
}

/// One row of any of the six tables, as far as a check from outside needs it.
#[derive(Clone, Debug, Default, FromRow, Serialize)]
pub struct AuditRow {
    /// The kind's word.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Its state's word.
    pub state: String,
    /// The vendor's id.
    pub remote_id: Option<String>,
    /// Why it failed or waits, as a word.
    pub error_class: Option<String>,
    /// A model's name, a photo's or output's hash, a job's prompt.
    pub about: Option<String>,
    /// The model of a photo or training, the job of an output.
    pub parent: Option<String>,
    /// A job's request in our words, as JSON.
    pub request: Option<String>,
    /// An output's file below the data directory.
    pub path: Option<String>,
    /// An output's place among those of its job.
    pub position: Option<i64>,
}

/// What became of the calls whose outcome was unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromRow, Serialize)]
pub struct Doubts {
    /// Calls sent or about to be sent.
    pub calls: i64,
    /// Calls whose outcome nobody knew, by a kill or a lost reply.
    pub in_doubt: i64,
    /// Found at the vendor and taken over.
    pub adopted: i64,
    /// Surely not there, and sent again.
    pub absent: i64,
    /// Left to a person.
    pub parked: i64,
    /// A person's verdicts: taken over.
    pub person_adopted: i64,
    /// A person's verdicts: sent again.
    pub person_resubmitted: i64,
}

impl Audit {
    /// Opens the file if there is one with a complete schema.
    ///
    /// # Errors
    /// A database error.
    pub async fn open(data_dir: &Path) -> Result<Option<Self>> {
        let path = db_path(data_dir);
        if !path.is_file() {
            return Ok(None);
        }
        let mut conn = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging()
            .connect()
            .await?;
        // A daemon or command may have been killed in the middle of making the schema.
        let made: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM sqlite_master WHERE name IN ('intents', 'listed_jobs', 'work')",
        )
        .fetch_one(&mut conn)
        .await?;
        if made < 3 {
            conn.close().await?;
            return Ok(None);
        }
        Ok(Some(Self { conn }))
    }

    /// Ends the look.
    ///
    /// # Errors
    /// A database error.
    pub async fn close(self) -> Result<()> {
        Ok(self.conn.close().await?)
    }

    /// The newest intent's number, 0 if there is none.
    ///
    /// # Errors
    /// A database error.
    pub async fn newest_intent(&mut self) -> Result<i64> {
        let sql = "SELECT coalesce(max(seq), 0) FROM intents";
        Ok(sqlx::query_scalar(sql).fetch_one(&mut self.conn).await?)
    }

    /// Calls that were out when the daemon ended and whose outcome matters: asking for a video's
    /// file and changing a model are harmless to repeat.
    ///
    /// # Errors
    /// A database error.
    pub async fn open_calls(&mut self) -> Result<Vec<OpenCall>> {
        Ok(sqlx::query_as(
            "SELECT i.seq AS intent, i.kind, i.subject FROM intents i \
             JOIN work w ON w.id = i.subject AND w.kind = i.kind \
             WHERE i.settled_at IS NULL AND w.state = 'submitting' \
             AND i.kind IN ('model', 'upload', 'training', 'job') ORDER BY i.seq",
        )
        .fetch_all(&mut self.conn)
        .await?)
    }

    /// How many rows are neither finished nor waiting for a person.
    ///
    /// # Errors
    /// A database error.
    pub async fn open_rows(&mut self) -> Result<i64> {
        let sql = "SELECT count(*) FROM work WHERE finished_at IS NULL AND state <> 'attention'";
        Ok(sqlx::query_scalar(sql).fetch_one(&mut self.conn).await?)
    }

    /// How many paid calls are still to be sent.
    ///
    /// # Errors
    /// A database error.
    pub async fn unsent_jobs(&mut self) -> Result<i64> {
        let sql = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'submitting', 'in_doubt')";
        Ok(sqlx::query_scalar(sql).fetch_one(&mut self.conn).await?)
    }

    /// Rows that wait for a person; a job whose output waits is left to that output.
    ///
    /// # Errors
    /// A database error.
    pub async fn parked(&mut self) -> Result<Vec<Parked>> {
        Ok(sqlx::query_as(
            "SELECT kind, id, remote_id, error_class FROM work WHERE state = 'attention' \
             AND NOT (kind = 'job' AND waiting_for > 0) \
             UNION ALL SELECT w.kind, w.id, w.remote_id, w.error_class FROM work w \
             JOIN intents i ON i.seq = w.intent \
             WHERE w.state = 'in_doubt' AND i.asked IS NOT NULL ORDER BY id",
        )
        .fetch_all(&mut self.conn)
        .await?)
    }

    /// Whether nothing is sent until a person releases the database.
    ///
    /// # Errors
    /// A database error.
    pub async fn is_quarantined(&mut self) -> Result<bool> {
        Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM settings WHERE name = 'quarantine')")
            .fetch_one(&mut self.conn)
            .await?)
    }

    /// Jobs at the vendor that may be this row's: the vendor's ids.
    ///
    /// # Errors
    /// A database error.
    pub async fn candidates(&mut self, subject: &str) -> Result<Vec<String>> {
        let sql = "SELECT l.remote_id FROM intents i \
             JOIN listed_jobs l ON l.reserved_by = i.seq OR l.duplicate_of = i.seq \
             WHERE i.subject = $1 AND l.claimed_by IS NULL AND l.answer IS NULL";
        Ok(sqlx::query_scalar(sql).bind(subject).fetch_all(&mut self.conn).await?)
    }

    /// Every row there is.
    ///
    /// # Errors
    /// A database error.
    pub async fn rows(&mut self) -> Result<Vec<AuditRow>> {
        const COMMON: &str = "id, state, remote_id, error_class";
        let sql = format!(
            "SELECT 'model' AS kind, {COMMON}, name AS about, NULL AS parent, NULL AS request, \
             NULL AS path, NULL AS position FROM models \
             UNION ALL SELECT 'upload', {COMMON}, sha256, model_id, NULL, NULL, NULL FROM uploads \
             UNION ALL SELECT 'training', {COMMON}, NULL, model_id, NULL, NULL, NULL \
             FROM trainings \
             UNION ALL SELECT 'job', {COMMON}, prompt, NULL, request, NULL, NULL FROM jobs \
             UNION ALL SELECT 'output', {COMMON}, sha256, job_id, NULL, path, position \
             FROM outputs \
             UNION ALL SELECT 'change', {COMMON}, action, target, NULL, NULL, NULL FROM changes \
             ORDER BY id"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_all(&mut self.conn).await?)
    }

    /// Who waited for whom: child, parent.
    ///
    /// # Errors
    /// A database error.
    pub async fn dependencies(&mut self) -> Result<Vec<(String, String)>> {
        let sql = "SELECT child, parent FROM dependencies";
        Ok(sqlx::query_as(sql).fetch_all(&mut self.conn).await?)
    }

    /// Every call, in order.
    ///
    /// # Errors
    /// A database error.
    pub async fn calls(&mut self) -> Result<Vec<SentCall>> {
        let sql = "SELECT seq, subject, opened_at FROM intents ORDER BY seq";
        Ok(sqlx::query_as(sql).fetch_all(&mut self.conn).await?)
    }

    /// Jobs that the vendor listed and no row claims: the vendor's ids.
    ///
    /// # Errors
    /// A database error.
    pub async fn unclaimed(&mut self) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar(
            "SELECT remote_id FROM unclaimed WHERE what <> 'training' ORDER BY remote_id",
        )
        .fetch_all(&mut self.conn)
        .await?)
    }

    /// What became of calls in doubt.
    ///
    /// # Errors
    /// A database error.
    pub async fn doubts(&mut self) -> Result<Doubts> {
        Ok(sqlx::query_as(
            "SELECT (SELECT count(*) FROM intents) AS calls, \
             count(*) FILTER (WHERE to_state = 'in_doubt' AND from_state = 'submitting') \
               AS in_doubt, \
             count(*) FILTER (WHERE cause = 'found') AS adopted, \
             count(*) FILTER (WHERE cause = 'absent' AND to_state <> 'attention') AS absent, \
             count(*) FILTER (WHERE from_state = 'in_doubt' AND to_state = 'attention') AS parked, \
             count(*) FILTER (WHERE cause = 'adopt') AS person_adopted, \
             count(*) FILTER (WHERE cause = 'resubmit') AS person_resubmitted FROM events",
        )
        .fetch_one(&mut self.conn)
        .await?)
    }
}
