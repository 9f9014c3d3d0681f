//! Intents, and what the vendor's lists say about them.

use super::apply::{Facts, apply};
use super::chain;
use super::quarantine;
use super::rows;
use super::settings::{self, Switch};
use super::writer::{Tx, Write};
use super::{Result, Store, StoreError};
use crate::domain::event::Event;
use crate::domain::ids::{Id, Millis};
use crate::domain::schedule::Timing;
use crate::domain::work::{Kind, Work};
use futures_util::future::BoxFuture;
use serde::Serialize;
use sqlx::FromRow;

/// The lane of everything that costs credits: one call at a time per account, because unlike
/// requests in flight together cannot be told apart afterwards.
pub const PAID_LANE: &str = "paid";

/// The record that a side-effecting call is about to go out.
#[derive(Clone, Debug)]
pub struct NewIntent {
    /// Calls in one lane go out one at a time.
    pub lane: String,
    /// The boot it is made in.
    pub boot: i64,
    /// sha256 of the call.
    pub request_hash: String,
    /// The call as JSON, without the key.
    pub request: serde_json::Value,
    /// The vendor's clock now.
    pub vendor_time: Millis,
    /// What the vendor's record of it must look like.
    pub expects: serde_json::Value,
}

/// Stores the intent and moves the row to `submitting`; the call goes out after the commit.
pub struct StartSend {
    /// The row's kind.
    pub kind: Kind,
    /// The row.
    pub id: Id,
    /// The record.
    pub intent: NewIntent,
    /// The configured durations.
    pub timing: Timing,
}

impl Write for StartSend {
    type Output = Work;

    fn run<'a>(self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Work>> {
        Box::pin(async move {
            // The way here may have taken minutes: what was paused meanwhile stays paused.
            if self.kind != Kind::Output && settings::is_paused(tx, Switch::Spending).await? {
                return Err(StoreError::Refused("spending is paused".to_owned()));
            }
            quarantine::refuse(tx, self.kind).await?;
            let attempt = rows::load(tx.conn, self.kind, self.id).await?.work.attempt + 1;
            let intent = &self.intent;
            let stored = sqlx::query(
                "INSERT INTO intents (kind, subject, attempt, lane, boot, request_hash, request, \
                 vendor_time, listed_seq, expects, opened_at) VALUES ($1, $2, $3, $4, $5, $6, $7, \
                 $8, (SELECT coalesce(max(seq), 0) FROM listed_jobs), $9, $10)",
            )
            .bind(self.kind.as_str())
            .bind(self.id.to_string())
            .bind(attempt)
            .bind(&intent.lane)
            .bind(intent.boot)
            .bind(&intent.request_hash)
            .bind(intent.request.to_string())
            .bind(intent.vendor_time)
            .bind(intent.expects.to_string())
            .bind(tx.now)
            .execute(&mut *tx.conn)
            .await
            .map_err(|error| lane_taken(error, &intent.lane))?;
            chain::append(tx, stored.last_insert_rowid(), chain::What::Opened).await?;
            let event = Event::SendStarted { intent: stored.last_insert_rowid() };
            apply(tx, &self.timing, "daemon", self.kind, self.id, event, Facts::default()).await
        })
    }
}

fn lane_taken(error: sqlx::Error, lane: &str) -> StoreError {
    match &error {
        sqlx::Error::Database(database) if database.is_unique_violation() => {
            StoreError::Refused(format!("another call is open in the lane {lane}"))
        }
        _ => error.into(),
    }
}

/// The whole of crash recovery: nobody knows what became of the calls that were out.
pub struct Recover {
    /// The configured durations.
    pub timing: Timing,
}

impl Write for Recover {
    type Output = Vec<(Kind, Id)>;

    fn run<'a>(self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Vec<(Kind, Id)>>> {
        Box::pin(async move {
            let mut out = Vec::new();
            for kind in Kind::ALL {
                let sql =
                    format!("SELECT id FROM {} WHERE state = 'submitting'", super::table(kind));
                let ids: Vec<String> =
                    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&mut *tx.conn).await?;
                for id in ids {
                    let id = rows::id(&id, super::table(kind))?;
                    let note = "the daemon ended while the call was out".to_owned();
                    let event = Event::OutcomeUnknown { note };
                    apply(tx, &self.timing, "daemon", kind, id, event, Facts::default()).await?;
                    out.push((kind, id));
                }
            }
            Ok(out)
        })
    }
}

/// Pulls in due times that only a clock that went back can explain. Answers how many.
///
/// Waking a row early is harmless; leaving it to a time hours away is not.
pub struct ClampDue {
    /// The latest due time that may stand.
    pub latest: Millis,
    /// What a later one becomes.
    pub to: Millis,
}

impl Write for ClampDue {
    type Output = u64;

    fn run<'a>(self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let mut clamped = 0;
            for kind in Kind::ALL {
                let sql = format!(
                    "UPDATE {} SET due_at = $1 WHERE due_at > $2 \
                     AND state IN ('queued','in_doubt','running','collecting')",
                    super::table(kind)
                );
                let done = sqlx::query(sqlx::AssertSqlSafe(sql))
                    .bind(self.to)
                    .bind(self.latest)
                    .execute(&mut *tx.conn)
                    .await?;
                clamped += done.rows_affected();
            }
            Ok(clamped)
        })
    }
}

/// One entry of the vendor's job list.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// The vendor's id.
    pub remote_id: String,
    /// The vendor's creation time.
    pub created_at: Option<Millis>,
    /// The vendor's word.
    pub status: String,
    /// What it cost.
    pub credits: Option<f64>,
}

/// Remembers a complete listing.
pub struct SaveListing {
    /// Its entries.
    pub jobs: Vec<Listed>,
    /// How long after its acceptance a training may show up in the list (ms).
    pub settle: Millis,
}

/// What a listing brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListingNews {
    /// How many entries had never been seen.
    pub new: u64,
    /// Never seen, claimed by no row, and no paid call of ours was open: somebody else's.
    pub foreign: Vec<String>,
}

impl Write for SaveListing {
    type Output = ListingNews;

    fn run<'a>(self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<ListingNews>> {
        Box::pin(async move {
            let before: i64 = sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM listed_jobs")
                .fetch_one(&mut *tx.conn)
                .await?;
            // What was there before our first paid call is history: no candidate, no proof.
            let first: bool =
                sqlx::query_scalar("SELECT NOT EXISTS (SELECT 1 FROM intents WHERE lane = 'paid')")
                    .fetch_one(&mut *tx.conn)
                    .await?;
            let entries = serde_json::to_string(&self.jobs)
                .map_err(|error| StoreError::Refused(error.to_string()))?;
            upsert_listing(tx, &entries, first).await?;
            settle_credits(tx, &entries).await?;
            let (new, mut foreign) = news(tx, before, tx.now - self.settle).await?;
            if first {
                foreign.clear();
            }
            if !foreign.is_empty() {
                let value = serde_json::json!({ "because_of": foreign });
                settings::put(tx, "account.shared", &value).await?;
            }
            Ok(ListingNews { new, foreign })
        })
    }
}

async fn upsert_listing(tx: &mut Tx<'_>, entries: &str, history: bool) -> Result<()> {
    sqlx::query(
        "INSERT INTO listed_jobs (remote_id, first_seen_at, created_at, status, credits, history) \
         SELECT json_extract(value, '$.remote_id'), $1, json_extract(value, '$.created_at'), \
         json_extract(value, '$.status'), json_extract(value, '$.credits'), $2 \
         FROM json_each($3) WHERE true \
         ON CONFLICT (remote_id) DO UPDATE SET status = excluded.status, \
         credits = excluded.credits \
         WHERE status IS NOT excluded.status OR credits IS NOT excluded.credits",
    )
    .bind(tx.now)
    .bind(history)
    .bind(entries)
    .execute(&mut *tx.conn)
    .await?;
    Ok(())
}

/// Credits come from the vendor's list only (vendor-api.md 2.15).
async fn settle_credits(tx: &mut Tx<'_>, entries: &str) -> Result<()> {
    sqlx::query(
        "UPDATE jobs SET credits = \
           (SELECT l.credits FROM listed_jobs l WHERE l.remote_id = jobs.remote_id) \
         WHERE remote_id IN (SELECT json_extract(value, '$.remote_id') FROM json_each($1)) \
         AND credits IS NOT \
           (SELECT l.credits FROM listed_jobs l WHERE l.remote_id = jobs.remote_id)",
    )
    .bind(entries)
    .execute(&mut *tx.conn)
    .await?;
    Ok(())
}

async fn news(tx: &mut Tx<'_>, before: i64, trained: Millis) -> Result<(u64, Vec<String>)> {
    let fresh: Vec<(String, bool)> = sqlx::query_as(
        "SELECT remote_id, EXISTS (SELECT 1 FROM jobs j WHERE j.remote_id = l.remote_id) \
         FROM listed_jobs l WHERE seq > $1",
    )
    .bind(before)
    .fetch_all(&mut *tx.conn)
    .await?;
    let busy: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM intents WHERE lane = 'paid' AND settled_at IS NULL) \
         OR EXISTS (SELECT 1 FROM trainings WHERE accepted_at > $1)",
    )
    .bind(trained)
    .fetch_one(&mut *tx.conn)
    .await?;
    let count = u64::try_from(fresh.len()).unwrap_or(u64::MAX);
    let foreign = fresh
        .into_iter()
        .filter(|(_, claimed)| !claimed && !busy)
        .map(|(remote_id, _)| remote_id)
        .collect();
    Ok((count, foreign))
}

/// An open intent, as the resolver needs it.
#[derive(Clone, Debug, FromRow)]
pub struct OpenIntent {
    /// Its row.
    pub seq: i64,
    /// The vendor's clock when the call went out.
    pub vendor_time: Millis,
    /// The newest listed job then.
    pub listed_seq: i64,
    /// What the vendor's record of it must look like, as JSON.
    pub expects: String,
    /// The vendor's clock when the outcome became unknown.
    pub doubt_vendor: Option<Millis>,
    /// Complete looks that found nothing.
    pub looks: i64,
    /// Vendor time of the first of them.
    pub first_look: Option<Millis>,
}

/// A listed job that no row claims.
#[derive(Clone, Debug, FromRow)]
pub struct Unclaimed {
    /// The vendor's id.
    pub remote_id: String,
    /// The vendor's creation time.
    pub created_at: Option<Millis>,
}

impl Store {
    /// Reads an intent.
    ///
    /// # Errors
    /// A database error, or none of that number.
    pub async fn intent(&self, seq: i64) -> Result<OpenIntent> {
        sqlx::query_as(
            "SELECT seq, vendor_time, listed_seq, expects, doubt_vendor, looks, first_look \
             FROM intents WHERE seq = $1",
        )
        .bind(seq)
        .fetch_optional(self.readers())
        .await?
        .ok_or_else(|| StoreError::NotFound("intent", seq.to_string()))
    }

    /// Jobs first listed after the intent that nobody claims and no other intent reserved.
    ///
    /// # Errors
    /// A database error.
    pub async fn unclaimed_jobs(&self, intent: &OpenIntent) -> Result<Vec<Unclaimed>> {
        Ok(sqlx::query_as(
            "SELECT remote_id, created_at FROM listed_jobs l WHERE seq > $1 AND history = 0 \
             AND (reserved_by IS NULL OR reserved_by = $2) \
             AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.remote_id = l.remote_id)",
        )
        .bind(intent.listed_seq)
        .bind(intent.seq)
        .fetch_all(self.readers())
        .await?)
    }

    /// Whether a training was accepted after `since` (Unix ms).
    ///
    /// # Errors
    /// A database error.
    pub async fn a_training_was_accepted_since(&self, since: Millis) -> Result<bool> {
        Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM trainings WHERE accepted_at > $1)")
            .bind(since)
            .fetch_one(self.readers())
            .await?)
    }

    /// Which of these vendor ids belongs to a row of ours.
    ///
    /// # Errors
    /// A database error.
    pub async fn claimed(&self, kind: Kind, remote_ids: &[String]) -> Result<Vec<String>> {
        let ids = serde_json::to_string(remote_ids)
            .map_err(|error| StoreError::Refused(error.to_string()))?;
        let sql = format!(
            "SELECT remote_id FROM {} WHERE remote_id IN (SELECT value FROM json_each($1))",
            super::table(kind)
        );
        Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(ids).fetch_all(self.readers()).await?)
    }
}

/// Notes a complete look that found nothing.
pub struct NoteLook {
    /// The intent.
    pub intent: i64,
    /// The vendor's clock at the look.
    pub vendor_now: Millis,
}

impl Write for NoteLook {
    type Output = ();

    fn run<'a>(self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            sqlx::query(
                "UPDATE intents SET looks = looks + 1, \
                 first_look = coalesce(first_look, $1), last_look = $1 WHERE seq = $2",
            )
            .bind(self.vendor_now)
            .bind(self.intent)
            .execute(&mut *tx.conn)
            .await?;
            Ok(())
        })
    }
}

/// Keeps what could be a parked call's from being taken for another call's.
pub struct Reserve {
    /// The intent.
    pub intent: i64,
    /// The candidates.
    pub remote_ids: Vec<String>,
}

impl Write for Reserve {
    type Output = ();

    fn run<'a>(self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            for remote_id in &self.remote_ids {
                sqlx::query(
                    "UPDATE listed_jobs SET reserved_by = $1 \
                     WHERE remote_id = $2 AND reserved_by IS NULL",
                )
                .bind(self.intent)
                .bind(remote_id)
                .execute(&mut *tx.conn)
                .await?;
            }
            Ok(())
        })
    }
}
