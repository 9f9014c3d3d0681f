//! Lists in pages. A page is found by key (ids are in the order of their creation), so that it costs
//! the same wherever it is and does not move while rows are added.

use super::super::{Result, Store, rows, table};
use super::items::json_list;
use super::{Detail, EventRow, Item, Noun};
use crate::domain::ids::{Id, Millis};
use crate::domain::work::Kind;
use serde::Serialize;
use sqlx::AssertSqlSafe;

/// Which rows of a list, and which page of them.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only these states; all of them when empty.
    pub states: Vec<String>,
    /// Only what belongs to this model.
    pub model: Option<Id>,
    /// Only what belongs to this run.
    pub run: Option<Id>,
    /// Only jobs of this type.
    pub job_type: Option<String>,
    /// Only what was asked for at this time or later.
    pub since: Option<Millis>,
    /// Only what was asked for before this time.
    pub until: Option<Millis>,
    /// Only what is older than this row: the page after the one that ended with it.
    pub before: Option<Id>,
    /// At most this many, newest first.
    pub limit: u32,
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// Newest first.
    pub items: Vec<Item>,
    /// The last of them, if there are more.
    pub next: Option<Id>,
}

/// Which events, and which page of them.
#[derive(Clone, Debug, Default)]
pub struct WantedEvents {
    /// Only those of these rows.
    pub subjects: Option<Vec<Id>>,
    /// Only those of this kind of row.
    pub kind: Option<Kind>,
    /// Only those after this one.
    pub after: i64,
    /// At most this many, oldest first.
    pub limit: u32,
}

/// The start of a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BootRow {
    /// Its number.
    pub seq: i64,
    /// When, in Unix milliseconds.
    pub started_at: Millis,
}

/// Sorts after every id: ids are lower-case hex and dashes.
const AFTER_ALL: &str = "g";

/// Which rows belong to the model $2, and which to the run $3.
fn belongs(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Model => ("id = $2", "run_id = $3"),
        Kind::Upload => ("model_id = $2", "model_id IN (SELECT id FROM models WHERE run_id = $3)"),
        Kind::Training | Kind::Job => ("model_id = $2", "run_id = $3"),
        Kind::Output => (
            "job_id IN (SELECT id FROM jobs WHERE model_id = $2)",
            "job_id IN (SELECT id FROM jobs WHERE run_id = $3)",
        ),
        // A recipe changes no model.
        Kind::Change => ("model_id = $2", "$3 IS NULL"),
    }
}

impl Store {
    /// One page of a list.
    ///
    /// # Errors
    /// A database error.
    pub async fn page(&self, noun: Noun, wanted: &Wanted) -> Result<Page> {
        let sql = match noun {
            Noun::Work(kind) => page_of_work(kind),
            Noun::Run => page_of_runs(),
        };
        let ids: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(json_list(&wanted.states))
            .bind(wanted.model.map(|id| id.to_string()))
            .bind(wanted.run.map(|id| id.to_string()))
            .bind(wanted.before.map_or(AFTER_ALL.to_owned(), |id| id.to_string()))
            .bind(wanted.since)
            .bind(wanted.until)
            .bind(i64::from(wanted.limit) + 1)
            .bind(&wanted.job_type)
            .fetch_all(self.readers())
            .await?;
        let (ids, next) = cut(&ids, noun.plural(), wanted.limit)?;
        let items = match noun {
            Noun::Work(kind) => self.items(kind, &ids).await?,
            Noun::Run => self.runs_without_members(&ids).await?,
        };
        Ok(Page { items, next })
    }

    async fn runs_without_members(&self, ids: &[Id]) -> Result<Vec<Item>> {
        let mut items = self.runs(ids).await?;
        for item in &mut items {
            if let Detail::Run { members, .. } = &mut item.detail {
                *members = None;
            }
        }
        Ok(items)
    }

    /// One page of events.
    ///
    /// # Errors
    /// A database error.
    pub async fn events_page(&self, wanted: &WantedEvents) -> Result<Vec<EventRow>> {
        let of_subjects = match &wanted.subjects {
            Some(_) => "e.subject IN (SELECT value FROM json_each($2))",
            None => "$2 IS NULL",
        };
        let sql = format!(
            "{} WHERE e.seq > $1 AND {of_subjects} AND ($3 IS NULL OR e.kind = $3) \
             ORDER BY e.seq LIMIT $4",
            super::story::EVENTS
        );
        let found: Vec<super::story::RawEvent> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(wanted.after)
            .bind(wanted.subjects.as_deref().map(json_list))
            .bind(wanted.kind.map(Kind::as_str))
            .bind(i64::from(wanted.limit))
            .fetch_all(self.readers())
            .await?;
        Ok(found.into_iter().map(Into::into).collect())
    }

    /// The newest start of a daemon; `None` when none has ever run.
    ///
    /// # Errors
    /// A database error.
    pub async fn newest_boot(&self) -> Result<Option<BootRow>> {
        let found: Option<(i64, Millis)> =
            sqlx::query_as("SELECT seq, started_at FROM boots ORDER BY seq DESC LIMIT 1")
                .fetch_optional(self.readers())
                .await?;
        Ok(found.map(|(seq, started_at)| BootRow { seq, started_at }))
    }
}

/// The ids of a page of one more than `limit`, without that one.
fn cut(ids: &[String], table: &'static str, limit: u32) -> Result<(Vec<Id>, Option<Id>)> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let kept = ids.iter().take(limit).map(|id| rows::id(id, table)).collect::<Result<Vec<_>>>()?;
    let next = if ids.len() > limit { kept.last().copied() } else { None };
    Ok((kept, next))
}

fn page_of_work(kind: Kind) -> String {
    let (of_model, of_run) = belongs(kind);
    let of_type = if kind == Kind::Job { "type = $8" } else { "FALSE" };
    format!(
        "SELECT id FROM {} WHERE id < $4 \
         AND ($1 = '[]' OR state IN (SELECT value FROM json_each($1))) \
         AND ($2 IS NULL OR {of_model}) AND ($3 IS NULL OR {of_run}) \
         AND ($5 IS NULL OR created_at >= $5) AND ($6 IS NULL OR created_at < $6) \
         AND ($8 IS NULL OR {of_type}) ORDER BY id DESC LIMIT $7",
        table(kind)
    )
}

fn page_of_runs() -> String {
    "SELECT s.id FROM run_status s JOIN runs r ON r.id = s.id WHERE s.id < $4 \
     AND ($1 = '[]' OR s.state IN (SELECT value FROM json_each($1))) \
     AND ($2 IS NULL OR EXISTS (SELECT 1 FROM jobs j WHERE j.run_id = s.id AND j.model_id = $2)) \
     AND ($3 IS NULL OR s.id = $3) AND ($5 IS NULL OR r.created_at >= $5) \
     AND ($6 IS NULL OR r.created_at < $6) AND $8 IS NULL ORDER BY s.id DESC LIMIT $7"
        .to_owned()
}
