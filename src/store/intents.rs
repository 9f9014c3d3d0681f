//! Intents: the record of every side-effecting call, and of the looks at those in doubt.

use super::apply::{Facts, apply};
use super::chain;
use super::ledger;
use super::quarantine;
use super::rows;
use super::settings::Boot;
use super::writer::{Tx, Write};
use super::{Result, Store, StoreError};
use crate::domain::event::Event;
use crate::domain::ids::{Id, Millis};
use crate::domain::reconcile::lag::{self, Moment};
use crate::domain::schedule::Timing;
use crate::domain::work::{Kind, Work};
use futures_util::future::BoxFuture;
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
    /// Whether the vendor has told its time; otherwise ours stands in.
    pub dated: bool,
    /// What the vendor's record of it must look like.
    pub expects: serde_json::Value,
    /// The newest listed job that the last look before sending again rests on.
    pub looked_seq: Option<i64>,
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

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Work>> {
        Box::pin(async move {
            // The way here may have taken minutes: what was paused meanwhile stays paused.
            let (paused, quarantine) = tx.held_back().await?;
            if self.kind != Kind::Output && paused {
                return Err(StoreError::Refused("spending is paused".to_owned()));
            }
            quarantine::refuse(quarantine, self.kind)?;
            if let Some(seen) = self.intent.looked_seq {
                refuse_shown(tx, self.id, seen).await?;
            }
            let seq = self.open_intent(tx).await?;
            let event = Event::SendStarted { intent: seq };
            apply(tx, &self.timing, "daemon", self.kind, self.id, event, Facts::default()).await
        })
    }

    fn rows(&self) -> Vec<(Kind, Id)> {
        vec![(self.kind, self.id)]
    }
}

impl StartSend {
    /// Stores the intent, with its entry in the chain and in the ledger.
    async fn open_intent(&self, tx: &mut Tx<'_>) -> Result<i64> {
        let intent = &self.intent;
        let attempt = i64::from(tx.load(self.kind, self.id).await?.work.attempt) + 1;
        let calls = tx.calls().await?;
        if calls.open.contains(&intent.lane) {
            return Err(StoreError::Refused(format!(
                "another call is open in the lane {}",
                intent.lane
            )));
        }
        calls.last += 1;
        let (seq, listed_seq) = (calls.last, calls.listed);
        tx.note_lane(seq, &intent.lane, true);
        let now = tx.now;
        let opened = chain::Opened {
            seq,
            kind: self.kind.as_str(),
            subject: &self.id.to_string(),
            lane: &intent.lane,
            attempt,
            request_hash: &intent.request_hash,
            vendor_time: intent.vendor_time,
            listed_seq,
            opened_at: now,
        };
        tx.pending().intents.push(&(
            seq,
            opened.kind,
            opened.subject,
            attempt,
            opened.lane,
            intent.boot,
            opened.request_hash,
            intent.request.to_string(),
            intent.vendor_time,
            listed_seq,
            intent.expects.to_string(),
            now,
            intent.dated,
        ))?;
        chain::append_opened(tx, &opened).await?;
        ledger::reserve(tx, seq, opened.lane).await?;
        Ok(seq)
    }
}

/// The whole of crash recovery: nobody knows what became of the calls that were out.
pub struct Recover {
    /// The configured durations.
    pub timing: Timing,
}

impl Write for Recover {
    type Output = Vec<(Kind, Id)>;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Vec<(Kind, Id)>>> {
        Box::pin(async move {
            let mut out = Vec::new();
            for kind in Kind::ALL {
                let sql =
                    format!("SELECT id FROM {} WHERE state = 'submitting'", super::table(kind));
                let ids: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
                    .fetch_all(tx.conn().await?)
                    .await?;
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

/// All that a start has to store, in one commit: the boot, and what the last daemon left open.
pub struct Start {
    /// The boot.
    pub boot: Boot,
    /// What is to be recovered.
    pub recover: Recover,
}

impl Write for Start {
    type Output = (i64, Vec<(Kind, Id)>);

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Self::Output>> {
        Box::pin(async move { Ok((self.boot.run(tx).await?, self.recover.run(tx).await?)) })
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

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let mut clamped = 0;
            for kind in Kind::ALL {
                // One statement per partial index: a million rows that are due cost nothing here.
                for which in
                    ["state = 'queued'", "state IN ('in_doubt','collecting')", "state = 'running'"]
                {
                    let sql = format!(
                        "UPDATE {} SET due_at = $1 WHERE due_at IS NOT NULL AND due_at > $2 \
                         AND {which}",
                        super::table(kind)
                    );
                    let done = sqlx::query(sqlx::AssertSqlSafe(sql))
                        .bind(self.to)
                        .bind(self.latest)
                        .execute(tx.conn().await?)
                        .await?;
                    clamped += done.rows_affected();
                }
            }
            Ok(clamped)
        })
    }
}

/// An intent, as the resolver needs it.
#[derive(Clone, Debug, FromRow)]
pub struct OpenIntent {
    /// Its row.
    pub seq: i64,
    /// What kind of row it is for.
    pub kind: String,
    /// Same hash, same request.
    pub request_hash: String,
    /// The vendor's clock when the call went out.
    pub vendor_time: Millis,
    /// Whether the vendor had told its time then; otherwise ours stood in.
    pub dated: bool,
    /// The newest listed job then.
    pub listed_seq: i64,
    /// What the vendor's record of it must look like, as JSON.
    pub expects: String,
    /// The vendor's clock when the outcome became unknown.
    pub doubt_vendor: Option<Millis>,
    /// How long the vendor has been looked at and found healthy since (ms).
    pub healthy: Millis,
    /// Whether a look has failed since the last complete one.
    pub missed: bool,
    /// The last complete look, or the beginning of the doubt: by the vendor's clock.
    pub looked_vendor: Option<Millis>,
    /// The same by ours.
    pub looked_local: Option<Millis>,
    /// The boot that looked.
    pub looked_boot: Option<i64>,
    /// Complete looks that found nothing.
    pub looks: i64,
    /// Vendor time of the first of them after the settle time.
    pub first_look: Option<Millis>,
}

impl OpenIntent {
    /// The settle time that has passed with this look, as far as it counts (ms).
    ///
    /// `longest`: more than this between two looks is time in which nobody looked.
    pub fn healthy_at(&self, now: &Moment, longest: Millis) -> Millis {
        let (Some(vendor), Some(local)) = (self.looked_vendor, self.looked_local) else {
            return self.healthy;
        };
        // What lies between a failed look and the next complete one may have been an outage.
        if self.missed {
            return self.healthy;
        }
        let last = Moment { vendor, local, boot: self.looked_boot };
        self.healthy.saturating_add(lag::credited(&last, now, longest))
    }
}

/// The columns of [`OpenIntent`].
const OPEN_INTENT: &str = "i.seq, i.kind, i.request_hash, i.vendor_time, i.dated, i.listed_seq, i.expects, \
    i.doubt_vendor, i.healthy, i.missed, i.looked_vendor, i.looked_local, i.looked_boot, i.looks, \
    i.first_look";

impl Store {
    /// Reads an intent.
    ///
    /// # Errors
    /// A database error, or none of that number.
    pub async fn intent(&self, seq: i64) -> Result<OpenIntent> {
        let sql = format!("SELECT {OPEN_INTENT} FROM intents i WHERE seq = $1");
        sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(seq)
            .fetch_optional(self.readers())
            .await?
            .ok_or_else(|| StoreError::NotFound("intent", seq.to_string()))
    }

    /// The newest call of a row that was taken for absent.
    ///
    /// # Errors
    /// A database error.
    pub async fn absent_intent(&self, subject: Id) -> Result<Option<OpenIntent>> {
        let sql = format!(
            "SELECT {OPEN_INTENT} FROM intents i WHERE subject = $1 AND outcome = 'absent' \
             ORDER BY seq DESC LIMIT 1"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(subject.to_string())
            .fetch_optional(self.readers())
            .await?)
    }

    /// The other paid calls in doubt. The lane allows none; an older file may hold some.
    ///
    /// # Errors
    /// A database error.
    pub async fn other_paid_doubts(&self, seq: i64) -> Result<Vec<OpenIntent>> {
        let sql = format!(
            "SELECT {OPEN_INTENT} FROM intents i WHERE lane = $1 AND settled_at IS NULL \
             AND doubt_at IS NOT NULL AND seq <> $2 ORDER BY seq"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(PAID_LANE)
            .bind(seq)
            .fetch_all(self.readers())
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

/// A look at the vendor for a call in doubt.
#[derive(Clone, Debug)]
pub enum Look {
    /// It failed: the time since the last complete one does not count.
    Failed,
    /// It was complete.
    Complete {
        /// When.
        at: Moment,
        /// The settle time that has passed with it (ms).
        healthy: Millis,
        /// Whether it found nothing: only such looks count towards absence.
        empty: bool,
        /// Whether the settle time had passed: absence is what two such looks agree on.
        settled: bool,
        /// The newest listed job that it knew of, if it rests on the job list.
        listed_seq: Option<i64>,
    },
}

/// Adds what came to light late to the evidence of a call that had been taken for absent.
pub(super) async fn note_late(
    tx: &mut Tx<'_>,
    intent: i64,
    seen: Option<&serde_json::Value>,
) -> Result<()> {
    let seen = seen.map(serde_json::Value::to_string);
    sqlx::query("UPDATE intents SET late_evidence = $1 WHERE seq = $2")
        .bind(seen)
        .bind(intent)
        .execute(tx.conn().await?)
        .await?;
    Ok(())
}

/// A verdict of absence is overtaken when the list has grown since its look.
pub(super) async fn refuse_overtaken(tx: &mut Tx<'_>, look: &Look) -> Result<()> {
    let Look::Complete { listed_seq: Some(seen), .. } = look else {
        return Ok(());
    };
    let newest: i64 = sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM listed_jobs")
        .fetch_one(tx.conn().await?)
        .await?;
    if newest > *seen {
        return Err(StoreError::Refused(
            "the vendor's list has grown since the look, so it is looked again".to_owned(),
        ));
    }
    Ok(())
}

/// What was taken for absent may have come to light on the way to sending it again.
async fn refuse_shown(tx: &mut Tx<'_>, id: Id, seen: i64) -> Result<()> {
    let shown: Option<String> = sqlx::query_scalar(
        "SELECT l.remote_id FROM intents i JOIN listed_jobs l ON l.reserved_by = i.seq \
         WHERE i.subject = $1 AND i.outcome = 'absent' AND l.seq > $2 \
         AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.remote_id = l.remote_id) LIMIT 1",
    )
    .bind(id.to_string())
    .bind(seen)
    .fetch_optional(tx.conn().await?)
    .await?;
    match shown {
        Some(remote) => Err(StoreError::Refused(format!(
            "the vendor's list shows {remote} meanwhile, which may be it"
        ))),
        None => Ok(()),
    }
}

/// Stores a look with the event that it led to.
pub(super) async fn note_look(tx: &mut Tx<'_>, intent: i64, look: &Look) -> Result<()> {
    let Look::Complete { at, healthy, empty, settled, .. } = look else {
        sqlx::query("UPDATE intents SET missed = 1, first_look = NULL WHERE seq = $1")
            .bind(intent)
            .execute(tx.conn().await?)
            .await?;
        return Ok(());
    };
    sqlx::query(
        "UPDATE intents SET healthy = $1, missed = 0, looked_vendor = $2, looked_local = $3, \
         looked_boot = $4, looks = looks + $5, \
         first_look = CASE WHEN $5 AND $7 THEN coalesce(first_look, $2) END WHERE seq = $6",
    )
    .bind(healthy)
    .bind(at.vendor)
    .bind(at.local)
    .bind(at.boot)
    .bind(empty)
    .bind(intent)
    .bind(settled)
    .execute(tx.conn().await?)
    .await?;
    Ok(())
}

/// Keeps what could be a parked call's from being taken for another call's.
pub(super) async fn reserve(tx: &mut Tx<'_>, intent: i64, remote_ids: &[String]) -> Result<()> {
    if remote_ids.is_empty() {
        return Ok(());
    }
    let ids = serde_json::to_string(remote_ids)
        .map_err(|error| StoreError::Refused(error.to_string()))?;
    sqlx::query(
        "UPDATE listed_jobs SET reserved_by = $1 WHERE reserved_by IS NULL \
         AND remote_id IN (SELECT value FROM json_each($2))",
    )
    .bind(intent)
    .bind(ids)
    .execute(tx.conn().await?)
    .await?;
    Ok(())
}
