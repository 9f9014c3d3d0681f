//! Rows as people and programs see them.

use super::super::{Result, Store, StoreError, rows, table};
use super::detail::{Detail, OutputFile, absolute, detail, own_columns};
use super::{Noun, Time};
use crate::domain::ids::{Id, Millis};
use crate::domain::work::Kind;
use serde::Serialize;
use sqlx::{AssertSqlSafe, FromRow};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;

/// Which rows to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only these states; all of them when empty.
    pub states: Vec<String>,
    /// Only what belongs to this model.
    pub model: Option<Id>,
    /// At most this many, newest first; 0 means all.
    pub limit: u32,
}

/// What people look for first: their own duties, then what moves, then what only waits.
const RANK: &str = "CASE WHEN state = 'attention' THEN 0 WHEN finished_at IS NOT NULL THEN 3 \
     WHEN state = 'waiting' THEN 2 ELSE 1 END";

/// The same order for rows at hand.
fn rank(state: &str) -> u8 {
    match state {
        "attention" => 0,
        "succeeded" | "failed" | "cancelled" => 3,
        "waiting" => 2,
        _ => 1,
    }
}

/// One row, whatever its kind. Serializes as the JSON object that every interface shows.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Item {
    /// Our id.
    pub id: Id,
    /// What it is.
    pub kind: Noun,
    /// Where it stands; `darkroom help formatting` lists the words.
    pub state: String,
    /// The vendor's id, once known.
    pub remote_id: Option<String>,
    /// Why it failed or waits for a person.
    pub error: Option<String>,
    /// The same as one word for programs.
    pub error_class: Option<String>,
    /// When it was asked for.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
    /// When something is done about it next; empty when something else wakes it.
    pub due_at: Option<Time>,
    /// When it ended.
    pub finished_at: Option<Time>,
    /// How people call it.
    pub label: String,
    /// One sentence: why it is not done yet and what happens next.
    pub why: String,
    /// Something noteworthy while it goes on.
    pub flag: Option<String>,
    /// The last soft failure.
    pub note: Option<String>,
    /// Calls that may have had an effect.
    pub attempt: i64,
    /// When the vendor took it.
    pub accepted_at: Option<Time>,
    /// When its end was asked for.
    pub cancel_requested_at: Option<Time>,
    /// The row that this one tries again.
    pub retry_of: Option<String>,
    /// The row that tries this one again.
    pub retried_by: Option<String>,
    /// How often it has changed; a verdict may name it. A run has none.
    pub version: Option<i64>,
    /// What only this kind has.
    #[serde(flatten)]
    pub detail: Detail,
}

impl Item {
    /// Whether nothing can happen any more.
    pub fn is_finished(&self) -> bool {
        self.finished_at.is_some()
    }

    /// The files that it brought home, of a job, an output or a run.
    pub fn files(&self) -> Vec<&Path> {
        match &self.detail {
            Detail::Job { outputs, .. } | Detail::Run { outputs, .. } => {
                outputs.iter().map(|file| file.path.as_path()).collect()
            }
            Detail::Output { path, .. } => path.as_deref().into_iter().collect(),
            _ => Vec::new(),
        }
    }
}

#[derive(FromRow)]
struct Base {
    id: String,
    state: String,
    remote_id: Option<String>,
    error: Option<String>,
    error_class: Option<String>,
    created_at: Millis,
    updated_at: Millis,
    next_at: Option<Millis>,
    finished_at: Option<Millis>,
    label: String,
    why: Option<String>,
    flag: Option<String>,
    note: Option<String>,
    attempt: i64,
    accepted_at: Option<Millis>,
    cancel_requested_at: Option<Millis>,
    retry_of: Option<String>,
    retried_by: Option<String>,
    version: i64,
}

impl Store {
    /// One row.
    ///
    /// # Errors
    /// A database error, or no such row.
    pub async fn item(&self, noun: Noun, id: Id) -> Result<Item> {
        let found = match noun {
            Noun::Work(kind) => self.items(kind, &[id]).await?,
            Noun::Run => self.runs(&[id]).await?,
        };
        found.into_iter().next().ok_or_else(|| StoreError::NotFound(noun.as_str(), id.to_string()))
    }

    /// Rows of one kind, newest first.
    ///
    /// # Errors
    /// A database error.
    pub async fn list(&self, noun: Noun, filter: &Filter) -> Result<Vec<Item>> {
        let Noun::Work(kind) = noun else {
            return self.list_runs(filter).await;
        };
        let of_model = match kind {
            Kind::Model => "id = $2",
            Kind::Output => "job_id IN (SELECT id FROM jobs WHERE model_id = $2)",
            _ => "model_id = $2",
        };
        let sql = format!(
            "SELECT id FROM {} WHERE ($1 = '[]' OR state IN (SELECT value FROM json_each($1))) \
             AND ($2 IS NULL OR {of_model}) ORDER BY id DESC LIMIT $3",
            table(kind)
        );
        let ids: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(json_list(&filter.states))
            .bind(filter.model.map(|id| id.to_string()))
            .bind(sql_limit(filter.limit))
            .fetch_all(self.readers())
            .await?;
        let ids = ids.iter().map(|id| rows::id(id, table(kind))).collect::<Result<Vec<_>>>()?;
        self.items(kind, &ids).await
    }

    /// What needs a person, what is live, then what ended last, across kinds. Photos and files are details of models and
    /// jobs: they appear only when they need a person.
    ///
    /// # Errors
    /// A database error.
    pub async fn overview(&self, limit: u32) -> Result<Vec<Item>> {
        let mut out = self.list_runs(&Filter { limit, ..Filter::default() }).await?;
        for kind in Kind::ALL {
            let only = match kind {
                Kind::Upload | Kind::Output => "state = 'attention'",
                _ => "retried_by IS NULL",
            };
            let sql = format!(
                "SELECT id FROM {} WHERE {only} \
                 ORDER BY {RANK}, updated_at DESC, id DESC LIMIT $1",
                table(kind)
            );
            let ids: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(sql_limit(limit))
                .fetch_all(self.readers())
                .await?;
            let ids = ids.iter().map(|id| rows::id(id, table(kind))).collect::<Result<Vec<_>>>()?;
            out.extend(self.items(kind, &ids).await?);
        }
        out.sort_by_key(|item| (rank(&item.state), Reverse(item.updated_at), Reverse(item.id)));
        if limit > 0 {
            out.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        Ok(out)
    }

    /// These rows, newest first; ids that are not there are left out.
    ///
    /// # Errors
    /// A database error.
    pub async fn items(&self, kind: Kind, ids: &[Id]) -> Result<Vec<Item>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT t.id, t.state, t.remote_id, t.error, t.error_class, t.created_at, \
             t.updated_at, y.next_at, t.finished_at, y.label, y.why, t.flag, t.note, t.attempt, \
             t.accepted_at, t.cancel_requested_at, t.retry_of, t.retried_by, t.version, {} \
             FROM {} t JOIN why y ON y.kind = '{kind}' AND y.id = t.id \
             WHERE t.id IN (SELECT value FROM json_each($1)) ORDER BY t.id DESC",
            own_columns(kind),
            table(kind)
        );
        let found =
            sqlx::query(AssertSqlSafe(sql)).bind(json_list(ids)).fetch_all(self.readers()).await?;
        let mut files = match kind {
            Kind::Job => self.output_files(ids).await?,
            _ => BTreeMap::new(),
        };
        found
            .iter()
            .map(|row| {
                let base = Base::from_row(row)?;
                let files = files.remove(&base.id).unwrap_or_default();
                let detail = detail(kind, row, files, self.data_dir())?;
                item(kind, base, detail)
            })
            .collect()
    }

    /// The files at home of these jobs, by job.
    async fn output_files(&self, jobs: &[Id]) -> Result<BTreeMap<String, Vec<OutputFile>>> {
        #[derive(FromRow)]
        struct Row {
            id: String,
            job_id: String,
            remote_id: Option<String>,
            path: String,
            sha256: String,
            bytes: i64,
            media_type: String,
        }
        let found: Vec<Row> = sqlx::query_as(
            "SELECT id, job_id, remote_id, path, sha256, bytes, media_type FROM outputs \
             WHERE job_id IN (SELECT value FROM json_each($1)) AND state = 'succeeded' \
             ORDER BY job_id, position",
        )
        .bind(json_list(jobs))
        .fetch_all(self.readers())
        .await?;
        let mut out: BTreeMap<String, Vec<OutputFile>> = BTreeMap::new();
        for row in found {
            out.entry(row.job_id.clone()).or_default().push(OutputFile {
                id: row.id,
                remote_id: row.remote_id,
                path: absolute(self.data_dir(), &row.path),
                sha256: row.sha256,
                bytes: row.bytes,
                media_type: row.media_type,
                job_id: row.job_id,
            });
        }
        Ok(out)
    }
}

pub(super) fn json_list<T: Serialize>(values: &[T]) -> String {
    serde_json::to_string(values).unwrap_or_else(|_| "[]".to_owned())
}

/// SQLite takes a negative limit as none.
pub(super) fn sql_limit(limit: u32) -> i64 {
    if limit == 0 { -1 } else { i64::from(limit) }
}

fn item(kind: Kind, base: Base, detail: Detail) -> Result<Item> {
    Ok(Item {
        id: rows::id(&base.id, table(kind))?,
        kind: Noun::Work(kind),
        state: base.state,
        remote_id: base.remote_id,
        error: base.error,
        error_class: base.error_class,
        created_at: Time(base.created_at),
        updated_at: Time(base.updated_at),
        due_at: base.next_at.map(Time),
        finished_at: base.finished_at.map(Time),
        label: base.label,
        why: base.why.unwrap_or_default(),
        flag: base.flag,
        note: base.note,
        attempt: base.attempt,
        accepted_at: base.accepted_at.map(Time),
        cancel_requested_at: base.cancel_requested_at.map(Time),
        retry_of: base.retry_of,
        retried_by: base.retried_by,
        version: Some(base.version),
        detail,
    })
}
