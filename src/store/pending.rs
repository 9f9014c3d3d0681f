//! What a batch of writes has put off: one statement per kind of row, however many rows there are.
//!
//! A statement costs a hand-over to the driver's thread, which is dearer than the row. So inserts
//! and updates that nothing of the batch has to read from the file are collected as JSON and
//! carried out together, by `INSERT ... SELECT ... FROM jsonb_each($1)` and
//! `UPDATE ... FROM jsonb_each($1)`, all of them in one hand-over.

use super::rows::Parts;
use super::{Result, StoreError, table};
use crate::domain::ids::Id;
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

    /// The rows as text, and how many there are; afterwards there are none.
    fn take(&mut self) -> Result<(String, u64)> {
        let Self { mut json, count } = std::mem::take(self);
        json.push(b']');
        let json = String::from_utf8(json)
            .map_err(|error| StoreError::Refused(format!("a row cannot be stored: {error}")))?;
        Ok((json, count))
    }
}

/// Statements that go to the driver as one, each with rows of its own.
#[derive(Default)]
struct Script {
    sql: String,
    rows: Vec<String>,
    /// How many rows all of them have to touch.
    wanted: u64,
}

impl Script {
    /// Adds a statement whose only parameter, `$1`, is these rows; nothing when there are none.
    fn add(&mut self, statement: &str, rows: &mut Rows) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let (json, count) = rows.take()?;
        self.rows.push(json);
        self.wanted += count;
        self.sql.push_str(&statement.replace("$1", &format!("${}", self.rows.len())));
        self.sql.push_str(";\n");
        Ok(())
    }

    async fn run(self, conn: &mut SqliteConnection) -> Result<u64> {
        if self.rows.is_empty() {
            return Ok(0);
        }
        let mut query = sqlx::query(AssertSqlSafe(self.sql));
        for rows in self.rows {
            query = query.bind(rows);
        }
        Ok(query.execute(conn).await?.rows_affected())
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
    pub(super) lifecycles: BTreeMap<(Kind, Parts), Rows>,
    /// Changes that the vendor has taken.
    pub(super) taken_over: Rows,
    /// The vendor's words.
    pub(super) statuses: BTreeMap<(Kind, Id), String>,
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
    FROM jsonb_each($1)";

const CHANGES: &str = "INSERT INTO changes (id, state, due_at, waiting_for, created_at, \
    updated_at, model_id, action, fields, target_kind, target) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 4, \
    value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9 FROM jsonb_each($1)";

const OUTPUTS: &str = "INSERT INTO outputs (id, state, due_at, remote_id, created_at, updated_at, \
    job_id, position, media, remote_url) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 4, \
    value ->> 5, value ->> 6, value ->> 7, value ->> 8 FROM jsonb_each($1)";

const INTENTS: &str = "INSERT INTO intents (seq, kind, subject, attempt, lane, boot, \
    request_hash, request, vendor_time, listed_seq, expects, opened_at, listed_from, opened_uptime) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, \
    value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, \
    value ->> 13 FROM jsonb_each($1)";

const SETTLED: &str = "UPDATE intents SET settled_at = v.at, outcome = v.outcome, \
    evidence = v.evidence, lane_free_at = coalesce(intents.lane_free_at, v.at) FROM (SELECT value ->> 0 AS seq, value ->> 1 AS at, \
    value ->> 2 AS outcome, value ->> 3 AS evidence FROM jsonb_each($1)) v \
    WHERE intents.seq = v.seq";

const FILES: &str = "UPDATE outputs SET path = v.path, sha256 = v.sha256, bytes = v.bytes, \
    media_type = v.media_type FROM (SELECT value ->> 0 AS id, value ->> 1 AS path, \
    value ->> 2 AS sha256, value ->> 3 AS bytes, value ->> 4 AS media_type FROM jsonb_each($1)) v \
    WHERE outputs.id = v.id";

/// Two changes of one model are never under way at once, so each model meets one row.
const TAKEN_OVER: &str = "UPDATE models SET name = json_extract(c.fields, '$.name'), \
    age = json_extract(c.fields, '$.age'), gender = json_extract(c.fields, '$.gender'), \
    ethnicity = json_extract(c.fields, '$.ethnicity'), \
    eye_color = json_extract(c.fields, '$.eye_color') \
    FROM changes c WHERE c.id IN (SELECT value ->> 0 FROM jsonb_each($1)) \
    AND c.action = 'update' AND models.id = c.model_id";

const CHAIN: &str = "INSERT INTO chain (seq, at, intent, what, note, digest, head) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, \
    value ->> 6 FROM jsonb_each($1)";

const REPLIES: &str = "INSERT INTO replies (scope, key, request_hash, status, body, created_at) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 \
    FROM jsonb_each($1)";

const EVENTS: &str = "INSERT INTO events (at, kind, subject, version, from_state, to_state, \
    cause, actor, detail) SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, \
    value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8 FROM jsonb_each($1)";

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
            && self.statuses.is_empty()
    }

    /// Carries out everything that was put off.
    ///
    /// # Errors
    /// A database error, or [`StoreError::Corrupt`] when an update does not meet its rows.
    pub(super) async fn carry_out(&mut self, conn: &mut SqliteConnection) -> Result<()> {
        let mut script = Script::default();
        script.add(JOBS, &mut self.jobs)?;
        script.add(CHANGES, &mut self.changes)?;
        script.add(OUTPUTS, &mut self.outputs)?;
        script.add(INTENTS, &mut self.intents)?;
        script.add(SETTLED, &mut self.settled)?;
        script.add(FILES, &mut self.files)?;
        for ((kind, parts), rows) in &mut self.lifecycles {
            script.add(&lifecycles(*kind, *parts), rows)?;
        }
        let mut words: BTreeMap<Kind, Rows> = BTreeMap::new();
        for ((kind, id), word) in std::mem::take(&mut self.statuses) {
            words.entry(kind).or_default().push(&(id, word))?;
        }
        for (kind, rows) in &mut words {
            script.add(&statuses(*kind), rows)?;
        }
        script.add(CHAIN, &mut self.chain)?;
        script.add(REPLIES, &mut self.replies)?;
        script.add(EVENTS, &mut self.events)?;
        let wanted = script.wanted;
        let met = script.run(conn).await?;
        if met != wanted {
            return Err(StoreError::Corrupt {
                table: "events",
                row: "the newest ones".to_owned(),
                problem: format!(
                    "{met} rows changed where exactly {wanted} should have: something else \
                     changed them in the same moment"
                ),
            });
        }
        // Only updates touch a model, so how many these meet is not known beforehand.
        let mut script = Script::default();
        script.add(TAKEN_OVER, &mut self.taken_over)?;
        script.run(conn).await.map(drop)
    }
}

/// The shape of these rows is [`super::rows::Stored`].
fn lifecycles(kind: Kind, parts: Parts) -> String {
    let table = table(kind);
    let set: Vec<String> = parts.columns().map(|name| format!("{name} = v.{name}")).collect();
    let values: Vec<String> =
        (2..).zip(parts.columns()).map(|(n, name)| format!("value ->> {n} AS {name}")).collect();
    let (set, values) = (set.join(", "), values.join(", "));
    format!(
        "UPDATE {table} SET {set} FROM (SELECT value ->> 0 AS id, value ->> 1 AS loaded, {values} \
         FROM jsonb_each($1)) v WHERE {table}.id = v.id AND {table}.version = v.loaded"
    )
}

fn statuses(kind: Kind) -> String {
    let table = table(kind);
    format!(
        "UPDATE {table} SET remote_status = v.word FROM (SELECT value ->> 0 AS id, \
         value ->> 1 AS word FROM jsonb_each($1)) v WHERE {table}.id = v.id"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::Bench;

    #[tokio::test]
    async fn no_statement_reads_a_table_from_end_to_end() {
        let bench = Bench::new().await;
        let mut statements = vec![SETTLED.to_owned(), FILES.to_owned(), TAKEN_OVER.to_owned()];
        let each = |kind| Parts::ALL.map(|parts| lifecycles(kind, parts));
        statements.extend(Kind::ALL.into_iter().flat_map(each));
        statements.extend([Kind::Model, Kind::Training, Kind::Job].map(statuses));
        for sql in statements {
            let plan: Vec<(i64, i64, i64, String)> =
                sqlx::query_as(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
                    .bind("[]")
                    .fetch_all(bench.store.readers())
                    .await
                    .unwrap();
            let scans = plan.iter().filter(|step| step.3.starts_with("SCAN"));
            let of_tables: Vec<_> = scans.filter(|step| !step.3.contains("jsonb_each")).collect();
            assert!(of_tables.is_empty(), "{sql}\n{plan:?}");
        }
    }
}
