//! What waits for a person: rows of ours, and jobs at the vendor that are none.

use super::super::{Result, Store, rows, table};
use super::{Item, Time};
use crate::domain::ids::{Id, Millis};
use crate::domain::work::Kind;
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::FromRow;
use std::collections::BTreeMap;

/// The words that stand where a row has its kind.
const NO_ROWS: [&str; 2] = ["listed", "daemon"];

/// Something that waits for a person.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Duty {
    /// A row: in attention, or in doubt and asked about.
    Row(Box<Item>),
    /// What is no row of ours.
    Other(Box<OtherDuty>),
}

/// A question about what the vendor lists, or about what holds everything up: it has the fields that
/// every row has.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct OtherDuty {
    /// The vendor's id of the job, `foreign` for all jobs of others together, or `list`; of what holds
    /// everything up: `quarantine`, `account`, `spending`, `watching` or `vendor`.
    pub id: String,
    /// `listed` (what the vendor lists, or lacks) or `daemon` (what holds everything up).
    pub kind: &'static str,
    /// `attention`.
    pub state: &'static str,
    /// The vendor's id of the job.
    pub remote_id: Option<String>,
    /// What is asked, and how it is answered.
    pub error: String,
    /// `possible_duplicate`, `foreign`, `lacks` or `unreadable`; `quarantine`, `account`, `key`,
    /// `credits`, `disk` or `unreachable`.
    pub error_class: String,
    /// Since when it is asked.
    pub created_at: Time,
    /// The same.
    pub updated_at: Time,
    /// Nothing is done about it by itself.
    pub due_at: Option<Time>,
    /// It has not ended.
    pub finished_at: Option<Time>,
    /// How people call it.
    pub label: String,
    /// What is asked, and how it is answered.
    pub why: String,
    /// What it cost, as far as the vendor says.
    pub credits: Option<f64>,
    /// How many jobs it is about.
    pub jobs: i64,
    /// The row that it may be a duplicate of.
    pub subject: Option<String>,
}

impl Duty {
    /// Its id.
    pub fn id(&self) -> String {
        match self {
            Self::Row(item) => item.id.to_string(),
            Self::Other(duty) => duty.id.clone(),
        }
    }
}

/// One page of what waits for a person.
#[derive(Clone, Debug)]
pub struct DutyPage {
    /// Newest first.
    pub items: Vec<Duty>,
    /// The place of the last of them, if there are more.
    pub next: Option<Id>,
}

#[derive(FromRow)]
struct Row {
    id: String,
    kind: String,
    label: Option<String>,
    why: Option<String>,
    reason: Option<String>,
    remote_id: Option<String>,
    since_ms: Millis,
    credits: Option<f64>,
    jobs: Option<i64>,
    subject: Option<String>,
}

impl Row {
    /// Where it stands in the list. A row's id is its place; what is no row gets one like it, by the
    /// time since when it is asked, so that pages stay where they are.
    fn place(&self) -> Id {
        if let Some(id) = Id::parse(&self.id).filter(|_| self.no_row().is_none()) {
            return id;
        }
        let digest =
            Sha256::digest(format!("{} {}", self.reason.as_deref().unwrap_or(""), self.id));
        let mut bytes = [0; 16];
        let time = self.since_ms.max(0).to_be_bytes();
        for (to, from) in bytes.iter_mut().zip(time.iter().skip(2).chain(digest.iter())) {
            *to = *from;
        }
        Id(uuid::Uuid::from_bytes(bytes))
    }

    /// The word for what it is, if it is no row of ours.
    fn no_row(&self) -> Option<&'static str> {
        NO_ROWS.into_iter().find(|word| *word == self.kind)
    }

    fn duty(self, kind: &'static str) -> OtherDuty {
        let why = self.why.unwrap_or_default();
        OtherDuty {
            id: self.id,
            kind,
            state: "attention",
            remote_id: self.remote_id,
            error: why.clone(),
            error_class: self.reason.unwrap_or_default(),
            created_at: Time(self.since_ms),
            updated_at: Time(self.since_ms),
            due_at: None,
            finished_at: None,
            label: self.label.unwrap_or_default(),
            why,
            credits: self.credits,
            jobs: self.jobs.unwrap_or(1),
            subject: self.subject,
        }
    }
}

impl Store {
    /// Everything that waits for a person, newest first.
    ///
    /// # Errors
    /// A database error.
    pub async fn attention(&self) -> Result<Vec<Duty>> {
        Ok(self.attention_page(u32::MAX, None).await?.items)
    }

    /// Why people are asked, as words, each with how many things it is about.
    ///
    /// # Errors
    /// A database error.
    pub async fn attention_reasons(&self) -> Result<BTreeMap<String, i64>> {
        let sql = "SELECT reason, count(*) FROM attention GROUP BY reason";
        let found: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(self.readers()).await?;
        Ok(found.into_iter().collect())
    }

    /// What a person is asked about a row: about itself, or about jobs that may be its doubles.
    ///
    /// # Errors
    /// A database error.
    pub async fn asked_about(&self, id: Id) -> Result<Vec<String>> {
        let sql = "SELECT why FROM attention WHERE id = $1 OR subject = $1 ORDER BY since_ms";
        Ok(sqlx::query_scalar(sql).bind(id.to_string()).fetch_all(self.readers()).await?)
    }

    /// How many things wait for a person.
    ///
    /// # Errors
    /// A database error.
    pub async fn attention_count(&self) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM attention").fetch_one(self.readers()).await?)
    }

    /// One page of what waits for a person, newest first, across kinds.
    ///
    /// # Errors
    /// A database error.
    pub async fn attention_page(&self, limit: u32, before: Option<Id>) -> Result<DutyPage> {
        let found: Vec<Row> = sqlx::query_as(
            "SELECT id, kind, label, why, reason, remote_id, since_ms, \
             CAST(credits AS REAL) AS credits, jobs, subject FROM attention",
        )
        .fetch_all(self.readers())
        .await?;
        let mut found: Vec<(Id, Row)> = found.into_iter().map(|row| (row.place(), row)).collect();
        found.retain(|(place, _)| before.is_none_or(|before| *place < before));
        found.sort_by_key(|(place, _)| std::cmp::Reverse(*place));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().map(|(place, _)| *place).filter(|_| more);
        let mut items = self.rows_of(&found).await?;
        let mut out = Vec::new();
        for (place, row) in found {
            if let Some(kind) = row.no_row() {
                out.push(Duty::Other(Box::new(row.duty(kind))));
            } else if let Some(item) = items.remove(&place) {
                out.push(Duty::Row(Box::new(item)));
            }
        }
        Ok(DutyPage { items: out, next })
    }

    async fn rows_of(&self, found: &[(Id, Row)]) -> Result<BTreeMap<Id, Item>> {
        let mut out = BTreeMap::new();
        for kind in Kind::ALL {
            let of_kind = found.iter().filter(|(_, row)| row.kind == kind.as_str());
            let ids = of_kind.map(|(_, row)| rows::id(&row.id, table(kind)));
            let ids = ids.collect::<Result<Vec<_>>>()?;
            out.extend(self.items(kind, &ids).await?.into_iter().map(|item| (item.id, item)));
        }
        Ok(out)
    }
}
