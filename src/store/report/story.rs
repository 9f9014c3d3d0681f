//! How a row came to where it is, and what stands in its way.

use super::super::{Result, Store, rows, table};
use super::items::json_list;
use super::{Counts, Noun, Time};
use crate::domain::ids::{Id, Millis};
use crate::domain::work::Kind;
use serde::Serialize;
use serde_json::Value;
use sqlx::{AssertSqlSafe, FromRow};

/// A stored fact about one row.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct EventRow {
    /// Its place in the order of everything that happened.
    pub seq: i64,
    /// When.
    pub at: Time,
    /// What kind of row.
    pub kind: String,
    /// Which row.
    pub subject: String,
    /// The state before; empty for the creation.
    pub from_state: Option<String>,
    /// The state after.
    pub to_state: String,
    /// What happened.
    pub cause: String,
    /// Who did it.
    pub actor: String,
    /// The gist as a sentence; may be empty.
    pub note: String,
    /// Everything that is known about it.
    pub detail: Value,
}

/// The record of a side-effecting call.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct IntentRow {
    /// Its number.
    pub seq: i64,
    /// When it was stored, just before the call went out.
    pub opened_at: Time,
    /// The call, without the key.
    pub request: Value,
    /// When its outcome became unknown.
    pub doubt_at: Option<Time>,
    /// Complete looks that found nothing.
    pub looks: i64,
    /// When it was settled.
    pub settled_at: Option<Time>,
    /// How.
    pub outcome: Option<String>,
    /// The proof.
    pub evidence: Option<Value>,
    /// Jobs at the vendor that may be it.
    pub candidates: Vec<String>,
}

/// Something that a row waits for, directly or through others.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Parent {
    /// What it is.
    pub kind: Noun,
    /// Which row.
    pub id: Id,
    /// 1 for what the row waits for itself, 2 for what those wait for ...
    pub depth: i64,
    /// How people call it.
    pub label: String,
    /// Where it stands.
    pub state: String,
    /// Why it is not done yet.
    pub why: String,
}

/// Events with their notes; what follows it chooses among them.
pub(super) const EVENTS: &str = "SELECT e.seq, e.at, e.kind, e.subject, e.from_state, e.to_state, \
     e.cause, e.actor, t.note, e.detail FROM events e JOIN timeline t ON t.seq = e.seq";

#[derive(FromRow)]
pub(super) struct RawEvent {
    seq: i64,
    at: Millis,
    kind: String,
    subject: String,
    from_state: Option<String>,
    to_state: String,
    cause: String,
    actor: String,
    note: String,
    detail: String,
}

impl From<RawEvent> for EventRow {
    fn from(raw: RawEvent) -> Self {
        Self {
            seq: raw.seq,
            at: Time(raw.at),
            kind: raw.kind,
            subject: raw.subject,
            from_state: raw.from_state,
            to_state: raw.to_state,
            cause: raw.cause,
            actor: raw.actor,
            note: raw.note,
            detail: json(raw.detail),
        }
    }
}

#[derive(FromRow)]
struct RawIntent {
    seq: i64,
    opened_at: Millis,
    request: String,
    doubt_at: Option<Millis>,
    looks: i64,
    settled_at: Option<Millis>,
    outcome: Option<String>,
    evidence: Option<String>,
}

fn json(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

impl Store {
    /// What happened to these rows after the event `after`, oldest first.
    ///
    /// # Errors
    /// A database error.
    pub async fn events(&self, subjects: &[Id], after: i64) -> Result<Vec<EventRow>> {
        let sql = format!(
            "{EVENTS} WHERE e.subject IN (SELECT value FROM json_each($1)) AND e.seq > $2 \
             ORDER BY e.seq"
        );
        let found: Vec<RawEvent> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(json_list(subjects))
            .bind(after)
            .fetch_all(self.readers())
            .await?;
        Ok(found.into_iter().map(Into::into).collect())
    }

    /// The newest call of a row, with what may be it at the vendor.
    ///
    /// # Errors
    /// A database error.
    pub async fn last_intent(&self, subject: Id) -> Result<Option<IntentRow>> {
        let raw: Option<RawIntent> = sqlx::query_as(
            "SELECT seq, opened_at, request, doubt_at, looks, settled_at, outcome, evidence \
             FROM intents WHERE subject = $1 ORDER BY seq DESC LIMIT 1",
        )
        .bind(subject.to_string())
        .fetch_optional(self.readers())
        .await?;
        let Some(raw) = raw else { return Ok(None) };
        let candidates = sqlx::query_scalar(
            "SELECT remote_id FROM listed_jobs WHERE reserved_by = $1 ORDER BY seq",
        )
        .bind(raw.seq)
        .fetch_all(self.readers())
        .await?;
        Ok(Some(IntentRow {
            seq: raw.seq,
            opened_at: Time(raw.opened_at),
            request: json(raw.request),
            doubt_at: raw.doubt_at.map(Time),
            looks: raw.looks,
            settled_at: raw.settled_at.map(Time),
            outcome: raw.outcome,
            evidence: raw.evidence.map(json),
            candidates,
        }))
    }

    /// Everything unfinished that a row waits for, directly or through others, nearest first.
    ///
    /// # Errors
    /// A database error.
    pub async fn parents(&self, id: Id) -> Result<Vec<Parent>> {
        let found: Vec<(String, String, i64)> = sqlx::query_as(
            "WITH RECURSIVE up(kind, id, depth) AS ( \
               SELECT parent_kind, parent, 1 FROM dependencies \
                 WHERE child = $1 AND satisfied_at IS NULL \
               UNION \
               SELECT d.parent_kind, d.parent, up.depth + 1 FROM up \
                 JOIN dependencies d ON d.child = up.id AND d.satisfied_at IS NULL \
                 WHERE up.depth < 100) \
             SELECT kind, id, min(depth) FROM up GROUP BY kind, id ORDER BY 3, id",
        )
        .bind(id.to_string())
        .fetch_all(self.readers())
        .await?;
        let mut out = Vec::new();
        for kind in Kind::ALL {
            let ids = found
                .iter()
                .filter(|(word, _, _)| word == kind.as_str())
                .map(|(_, id, _)| rows::id(id, table(kind)))
                .collect::<Result<Vec<_>>>()?;
            for item in self.items(kind, &ids).await?.into_iter().rev() {
                let id = item.id.to_string();
                let depth = found.iter().find(|row| row.1 == id).map_or(1, |row| row.2);
                out.push(Parent {
                    kind: item.kind,
                    id: item.id,
                    depth,
                    label: item.label,
                    state: item.state,
                    why: item.why,
                });
            }
        }
        out.sort_by_key(|parent| parent.depth);
        Ok(out)
    }

    /// A model's newest training that was not tried again, and its unfinished uploads.
    ///
    /// # Errors
    /// A database error.
    pub async fn model_work(&self, model: Id) -> Result<Vec<(Kind, Id)>> {
        let mut out = vec![(Kind::Model, model)];
        let uploads: Vec<String> = sqlx::query_scalar(
            "SELECT id FROM uploads WHERE model_id = $1 AND finished_at IS NULL ORDER BY id",
        )
        .bind(model.to_string())
        .fetch_all(self.readers())
        .await?;
        for id in uploads {
            out.push((Kind::Upload, rows::id(&id, "uploads")?));
        }
        let training: Option<String> = sqlx::query_scalar(
            "SELECT id FROM trainings WHERE model_id = $1 AND retried_by IS NULL \
             ORDER BY id DESC LIMIT 1",
        )
        .bind(model.to_string())
        .fetch_optional(self.readers())
        .await?;
        if let Some(id) = training {
            out.push((Kind::Training, rows::id(&id, "trainings")?));
        }
        Ok(out)
    }

    /// How many rows of each kind are in each state.
    ///
    /// # Errors
    /// A database error.
    pub async fn counts(&self) -> Result<Counts> {
        let mut out = Counts::new();
        for kind in Kind::ALL {
            let sql = format!(
                "SELECT state, count(*) FROM {} GROUP BY state ORDER BY state",
                table(kind)
            );
            let found: Vec<(String, i64)> =
                sqlx::query_as(AssertSqlSafe(sql)).fetch_all(self.readers()).await?;
            out.extend(found.into_iter().map(|(state, n)| (kind, state, n)));
        }
        Ok(out)
    }

    /// How long our own finished trainings took, shortest first, from acceptance to success.
    ///
    /// # Errors
    /// A database error.
    pub async fn training_durations(&self) -> Result<Vec<Millis>> {
        Ok(sqlx::query_scalar(
            "SELECT finished_at - accepted_at FROM trainings WHERE state = 'succeeded' \
             AND accepted_at IS NOT NULL AND finished_at > accepted_at ORDER BY 1",
        )
        .fetch_all(self.readers())
        .await?)
    }

    /// What SQLite itself says about the file: one line per problem, none when it is sound.
    ///
    /// # Errors
    /// A database error.
    pub async fn check_integrity(&self) -> Result<Vec<String>> {
        let mut problems: Vec<String> =
            sqlx::query_scalar("PRAGMA quick_check(20)").fetch_all(self.readers()).await?;
        problems.retain(|line| line != "ok");
        let orphans: Vec<(String, Option<i64>, String, i64)> =
            sqlx::query_as("PRAGMA foreign_key_check").fetch_all(self.readers()).await?;
        problems.extend(orphans.into_iter().take(20).map(|(table, row, parent, _)| {
            format!(
                "{table} row {} refers to a row of {parent} that is not there",
                row.unwrap_or(0)
            )
        }));
        Ok(problems)
    }

    /// The version of the SQLite that is built in.
    ///
    /// # Errors
    /// A database error.
    pub async fn sqlite_version(&self) -> Result<String> {
        Ok(sqlx::query_scalar("SELECT sqlite_version()").fetch_one(self.readers()).await?)
    }
}
