//! What a batch of writes has put off: one statement per kind of row, however many rows there are.
//!
//! A statement costs a hand-over to the driver's thread, which is dearer than the row. So inserts
//! and updates that nothing of the batch has to read from the file are collected as JSON and
//! carried out together, by `INSERT ... SELECT ... FROM json_each(?)` and
//! `UPDATE ... FROM json_each(?)`.

use super::{Result, StoreError, table};
use crate::domain::work::Kind;
use serde::Serialize;
use sqlx::{AssertSqlSafe, SqliteConnection};
use std::collections::BTreeMap;

/// Rows of one shape, as the JSON array that a statement reads.
#[derive(Debug, Default)]
pub(super) struct Rows {
    json: Vec<u8>,
    count: u64,
}

impl Rows {
    pub(super) fn push<T: Serialize>(&mut self, row: &T) -> Result<()> {
        self.json.push(if self.count == 0 { b'[' } else { b',' });
        serde_json::to_writer(&mut self.json, row)
            .map_err(|error| StoreError::Refused(format!("a row cannot be stored: {error}")))?;
        self.count += 1;
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Runs `sql`, whose only parameter these rows are, and answers how many rows it touched
    /// besides how many there were; nothing when there are none.
    async fn run(&mut self, conn: &mut SqliteConnection, sql: &str) -> Result<Option<(u64, u64)>> {
        if self.is_empty() {
            return Ok(None);
        }
        let Self { mut json, count } = std::mem::take(self);
        json.push(b']');
        let json = String::from_utf8(json)
            .map_err(|error| StoreError::Refused(format!("a row cannot be stored: {error}")))?;
        let done = sqlx::query(AssertSqlSafe(sql)).bind(json).execute(conn).await?;
        Ok(Some((done.rows_affected(), count)))
    }
}

/// Everything put off, in the order in which it is carried out: what others refer to comes first.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// New rows of `jobs`.
    pub(super) jobs: Rows,
    /// New rows of `changes`.
    pub(super) changes: Rows,
    /// New rows of `outputs`.
    pub(super) outputs: Rows,
    /// Calls about to go out.
    pub(super) intents: Rows,
    /// Calls whose outcome is known.
    pub(super) settled: Rows,
    /// Files of outputs, before the event that needs them.
    pub(super) files: Rows,
    /// Changed lifecycles.
    pub(super) lifecycles: BTreeMap<Kind, Rows>,
    /// Changes that the vendor has taken.
    pub(super) taken_over: Rows,
    /// The vendor's words.
    pub(super) statuses: BTreeMap<Kind, Rows>,
    /// Entries of the chain.
    pub(super) chain: Rows,
    /// Stored replies.
    pub(super) replies: Rows,
    /// Events.
    pub(super) events: Rows,
}

const JOBS: &str = "INSERT INTO jobs (id, state, due_at, waiting_for, created_at, updated_at, \
    type, model_id, model_name, request, prompt, run_id, step) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 4, \
    value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11 \
    FROM json_each($1)";

const CHANGES: &str = "INSERT INTO changes (id, state, due_at, waiting_for, created_at, \
    updated_at, model_id, action, fields, target_kind, target) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 4, \
    value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9 FROM json_each($1)";

const OUTPUTS: &str = "INSERT INTO outputs (id, state, due_at, remote_id, created_at, updated_at, \
    job_id, position, media, remote_url) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 4, \
    value ->> 5, value ->> 6, value ->> 7, value ->> 8 FROM json_each($1)";

const INTENTS: &str = "INSERT INTO intents (seq, kind, subject, attempt, lane, boot, \
    request_hash, request, vendor_time, listed_seq, expects, opened_at, dated) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, \
    value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12 \
    FROM json_each($1)";

const SETTLED: &str = "UPDATE intents SET settled_at = v.at, outcome = v.outcome, \
    evidence = v.evidence FROM (SELECT value ->> 0 AS seq, value ->> 1 AS at, \
    value ->> 2 AS outcome, value ->> 3 AS evidence FROM json_each($1)) v \
    WHERE intents.seq = v.seq";

const FILES: &str = "UPDATE outputs SET path = v.path, sha256 = v.sha256, bytes = v.bytes, \
    media_type = v.media_type FROM (SELECT value ->> 0 AS id, value ->> 1 AS path, \
    value ->> 2 AS sha256, value ->> 3 AS bytes, value ->> 4 AS media_type FROM json_each($1)) v \
    WHERE outputs.id = v.id";

/// The shape of these rows is [`super::rows::stored`].
const LIFECYCLE: &str = "SET state = v.state, due_at = v.due_at, waiting_for = v.waiting_for, \
    intent = v.intent, attempt = v.attempt, failures = v.failures, absences = v.absences, \
    version = v.version, remote_id = v.remote_id, accepted_at = v.accepted_at, \
    poll_anchor = v.poll_anchor, trouble_since = v.trouble_since, \
    cancel_requested_at = v.cancel_requested_at, flag = v.flag, note = v.note, error = v.error, \
    error_class = v.error_class, finished_at = v.finished_at, updated_at = v.updated_at \
    FROM (SELECT value ->> 0 AS id, value ->> 1 AS loaded, value ->> 2 AS version, \
    value ->> 3 AS state, value ->> 4 AS due_at, value ->> 5 AS waiting_for, \
    value ->> 6 AS intent, value ->> 7 AS attempt, value ->> 8 AS failures, \
    value ->> 9 AS absences, value ->> 10 AS remote_id, value ->> 11 AS accepted_at, \
    value ->> 12 AS poll_anchor, value ->> 13 AS trouble_since, \
    value ->> 14 AS cancel_requested_at, value ->> 15 AS flag, value ->> 16 AS note, \
    value ->> 17 AS error, value ->> 18 AS error_class, value ->> 19 AS finished_at, \
    value ->> 20 AS updated_at FROM json_each($1)) v";

/// Two changes of one model are never under way at once, so each model meets one row.
const TAKEN_OVER: &str = "UPDATE models SET name = json_extract(c.fields, '$.name'), \
    age = json_extract(c.fields, '$.age'), gender = json_extract(c.fields, '$.gender'), \
    ethnicity = json_extract(c.fields, '$.ethnicity'), \
    eye_color = json_extract(c.fields, '$.eye_color') \
    FROM changes c WHERE c.id IN (SELECT value ->> 0 FROM json_each($1)) \
    AND c.action = 'update' AND models.id = c.model_id";

const CHAIN: &str = "INSERT INTO chain (seq, at, intent, what, note, digest, head) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, \
    value ->> 6 FROM json_each($1)";

const REPLIES: &str = "INSERT INTO replies (scope, key, request_hash, status, body, created_at) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 \
    FROM json_each($1)";

const EVENTS: &str = "INSERT INTO events (at, kind, subject, version, from_state, to_state, \
    cause, actor, detail) SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, \
    value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8 FROM json_each($1)";

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        let rows = [
            &self.jobs,
            &self.changes,
            &self.outputs,
            &self.intents,
            &self.settled,
            &self.files,
            &self.taken_over,
            &self.chain,
            &self.replies,
            &self.events,
        ];
        rows.into_iter().all(Rows::is_empty)
            && self.lifecycles.values().all(Rows::is_empty)
            && self.statuses.values().all(Rows::is_empty)
    }

    /// Carries out everything that was put off.
    ///
    /// # Errors
    /// A database error, or [`StoreError::Corrupt`] when an update does not meet its rows.
    pub(super) async fn carry_out(&mut self, conn: &mut SqliteConnection) -> Result<()> {
        self.jobs.run(conn, JOBS).await?;
        self.changes.run(conn, CHANGES).await?;
        self.outputs.run(conn, OUTPUTS).await?;
        self.intents.run(conn, INTENTS).await?;
        all_met("intents", self.settled.run(conn, SETTLED).await?)?;
        all_met("outputs", self.files.run(conn, FILES).await?)?;
        for (kind, rows) in &mut self.lifecycles {
            all_met(table(*kind), rows.run(conn, &lifecycles(*kind)).await?)?;
        }
        self.taken_over.run(conn, TAKEN_OVER).await?;
        for (kind, rows) in &mut self.statuses {
            rows.run(conn, &statuses(*kind)).await?;
        }
        self.chain.run(conn, CHAIN).await?;
        self.replies.run(conn, REPLIES).await?;
        self.events.run(conn, EVENTS).await?;
        Ok(())
    }
}

fn lifecycles(kind: Kind) -> String {
    let table = table(kind);
    format!("UPDATE {table} {LIFECYCLE} WHERE {table}.id = v.id AND {table}.version = v.loaded")
}

fn statuses(kind: Kind) -> String {
    let table = table(kind);
    format!(
        "UPDATE {table} SET remote_status = v.word FROM (SELECT value ->> 0 AS id, \
         value ->> 1 AS word FROM json_each($1)) v WHERE {table}.id = v.id"
    )
}

/// Every row of an update must have met exactly one row of the table.
fn all_met(table: &'static str, done: Option<(u64, u64)>) -> Result<()> {
    match done {
        Some((met, wanted)) if met != wanted => Err(StoreError::Corrupt {
            table,
            row: format!("{wanted} rows"),
            problem: format!("{met} rows changed where exactly {wanted} should have"),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::Bench;

    #[tokio::test]
    async fn no_statement_reads_a_table_from_end_to_end() {
        let bench = Bench::new().await;
        let mut statements = vec![SETTLED.to_owned(), FILES.to_owned(), TAKEN_OVER.to_owned()];
        statements.extend(Kind::ALL.map(lifecycles));
        statements.extend([Kind::Model, Kind::Training, Kind::Job].map(statuses));
        for sql in statements {
            let plan: Vec<(i64, i64, i64, String)> =
                sqlx::query_as(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
                    .bind("[]")
                    .fetch_all(bench.store.readers())
                    .await
                    .unwrap();
            let scans = plan.iter().filter(|step| step.3.starts_with("SCAN"));
            let of_tables: Vec<_> = scans.filter(|step| !step.3.contains("json_each")).collect();
            assert!(of_tables.is_empty(), "{sql}\n{plan:?}");
        }
    }
}
