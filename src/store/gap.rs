//! When a file was put back in time: which jobs at the vendor another copy of it has made, and what
//! becomes of the orders that such a job fits.

use super::apply::{Facts, apply};
use super::doubt::{NOBODYS, UNLISTED, UNPLACED, Unclaimed};
use super::listing::{LAST, LastListing, Listed, Stranger, note_strangers};
use super::quarantine::SetQuarantine;
use super::settings;
use super::writer::{Tx, Write};
use super::{Result, Store, StoreError};
use crate::domain::event::{Event, Reason};
use crate::domain::ids::{Id, Millis};
use crate::domain::quarantine::Quarantine;
use crate::domain::schedule::Timing;
use crate::domain::work::{Kind, State};
use futures_util::future::BoxFuture;
use judging::{DAY, HOUR};
use serde::{Deserialize, Serialize};
use sqlx::AssertSqlSafe;

/// The setting that says what a start has yet to compare; gone once it has.
const PENDING: &str = "going_back";
/// The setting that says until when orders are held against the jobs of a gap.
const GAP: &str = "gap";
/// So long after a release.
const HOLD: Millis = DAY;

/// What a start has to compare with the vendor's list before it may spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The newest job that any list had shown.
    pub seq: i64,
    /// Until when (ours) everything had been listed.
    pub covered: Millis,
    /// When a daemon last wrote to the file before the start (ours).
    pub written: Millis,
}

#[derive(Debug, Serialize, Deserialize)]
struct Hold {
    until: Millis,
}

/// Notes what this start has to compare. What an earlier one has left over stays: its lists may have
/// been stored before they could be compared. A file that never listed has nothing.
pub(super) async fn begin(tx: &mut Tx<'_>) -> Result<()> {
    let last: Option<LastListing> = settings::read(tx, LAST).await?;
    let pending: Option<Pending> = settings::read(tx, PENDING).await?;
    let (Some(last), None) = (last, pending) else { return Ok(()) };
    let seq = sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM listed_jobs")
        .fetch_one(tx.conn().await?)
        .await?;
    let written = sqlx::query_scalar(
        "SELECT coalesce((SELECT at FROM events WHERE actor = 'daemon' ORDER BY seq DESC LIMIT 1), 0)",
    )
    .fetch_one(tx.conn().await?)
    .await?;
    let pending = Pending { seq, covered: last.covered, written };
    settings::put(tx, PENDING, &serde_json::json!(pending)).await
}

/// What was compared: everything is explained, or nothing is sent until a person has decided.
pub struct Compared {
    /// The quarantine, and the jobs that came to light.
    pub unexplained: Option<(Quarantine, Vec<String>)>,
}

impl Write for Compared {
    /// Whether the database is in quarantine by it.
    type Output = bool;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            settings::remove(tx, PENDING).await?;
            let Some((quarantine, jobs)) = &self.unexplained else { return Ok(false) };
            mark(tx, jobs).await?;
            SetQuarantine { quarantine: quarantine.clone() }.run(tx).await?;
            Ok(true)
        })
    }
}

async fn mark(tx: &mut Tx<'_>, jobs: &[String]) -> Result<()> {
    let sql = format!(
        "UPDATE listed_jobs AS l SET gap = 1, history = 0 \
         WHERE l.remote_id IN (SELECT value FROM json_each($1)) AND {NOBODYS}"
    );
    sqlx::query(AssertSqlSafe(sql)).bind(json(&jobs)?).execute(tx.conn().await?).await?;
    Ok(())
}

fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Refused(error.to_string()))
}

/// How a person reads it that the vendor has more than the database knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// The database was put back: what waits may have been bought already.
    PutBack,
    /// Somebody else uses the account: those jobs are theirs.
    Shared,
}

/// What a release makes of the jobs that nobody claims, and of the orders that they fit.
#[derive(Clone, Debug, Serialize)]
pub struct Settling {
    /// How it is read.
    pub reading: Reading,
    /// Jobs that only the person's own list has shown.
    #[serde(skip)]
    pub found: Vec<Listed>,
    /// Orders that wait for a person from now on, with what may be theirs.
    pub park: Vec<(Id, Vec<String>)>,
    /// Whether the vendor's list was read for it; else the next start still compares.
    pub listed: bool,
}

/// Carries it out, in the transaction of the release.
pub(super) async fn settle(
    tx: &mut Tx<'_>,
    settling: &Settling,
    actor: &str,
    timing: &Timing,
) -> Result<()> {
    take_in(tx, &settling.found).await?;
    if settling.listed {
        settings::remove(tx, PENDING).await?;
    }
    let sql = format!("UPDATE listed_jobs AS l SET gap = 1 WHERE {UNPLACED}");
    sqlx::query(AssertSqlSafe(sql)).execute(tx.conn().await?).await?;
    if settling.reading == Reading::Shared {
        return give_away(tx).await;
    }
    for (id, candidates) in &settling.park {
        // Nothing was sent meanwhile; but somebody may have cancelled it.
        if matches!(tx.load(Kind::Job, *id).await?.work.state, State::Queued { .. }) {
            park(tx, *id, candidates, actor, timing).await?;
        }
    }
    let hold = Hold { until: tx.now + HOLD };
    settings::put(tx, GAP, &serde_json::json!(hold)).await
}

/// What only the person's own list has shown.
async fn take_in(tx: &mut Tx<'_>, found: &[Listed]) -> Result<()> {
    sqlx::query(
        "INSERT INTO listed_jobs (remote_id, first_seen_at, created_at, status, credits, gap) \
         SELECT json_extract(value, '$.remote_id'), $1, json_extract(value, '$.created_at'), \
         json_extract(value, '$.status'), json_extract(value, '$.credits'), 1 \
         FROM json_each($2) WHERE true ON CONFLICT (remote_id) DO NOTHING",
    )
    .bind(tx.now)
    .bind(json(&found)?)
    .execute(tx.conn().await?)
    .await?;
    Ok(())
}

/// All that nobody claims is somebody else's.
async fn give_away(tx: &mut Tx<'_>) -> Result<()> {
    let sql = format!(
        "UPDATE listed_jobs AS l SET foreign_since = $1, gap = 0 WHERE l.gap = 1 AND {UNPLACED} \
         RETURNING remote_id, credits, NULL AS subject"
    );
    let strangers: Vec<Stranger> =
        sqlx::query_as(AssertSqlSafe(sql)).bind(tx.now).fetch_all(tx.conn().await?).await?;
    settings::remove(tx, GAP).await?;
    note_strangers(tx, &strangers).await
}

/// An order that may have been bought by another copy of the file waits for a person.
async fn park(
    tx: &mut Tx<'_>,
    id: Id,
    candidates: &[String],
    actor: &str,
    timing: &Timing,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO fitting (subject, remote_id, at) SELECT $1, value, $2 FROM json_each($3) \
         WHERE true ON CONFLICT DO NOTHING",
    )
    .bind(id.to_string())
    .bind(tx.now)
    .bind(json(&candidates)?)
    .execute(tx.conn().await?)
    .await?;
    let message = format!(
        "the database was put back, and the vendor has jobs that nothing here explains and that \
         may be this one: {}; decide with `darkroom resolve {id}` and --adopt, --resubmit or \
         --abandon",
        candidates.join(", ")
    );
    let event = Event::NeedsPerson { reason: Reason::Undecidable, message };
    apply(tx, timing, actor, Kind::Job, id, event, Facts::default()).await?;
    Ok(())
}

/// Parks an order that is about to be sent.
pub struct ParkFitting {
    /// The job.
    pub id: Id,
    /// What may be it.
    pub candidates: Vec<String>,
    /// The configured durations.
    pub timing: Timing,
}

impl Write for ParkFitting {
    type Output = ();

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { park(tx, self.id, &self.candidates, "daemon", &self.timing).await })
    }
}

/// A person says that the list may be believed although it lacks jobs. Answers which it lacks.
pub struct BelieveList {
    /// Who.
    pub by: String,
    /// Why, in the person's words.
    pub reason: Option<String>,
}

impl Write for BelieveList {
    type Output = Vec<String>;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move {
            let jobs: Vec<String> = sqlx::query_scalar(
                "UPDATE missing SET answered_at = $1 WHERE says = 'lacks' AND answered_at IS NULL \
                 RETURNING remote_id",
            )
            .bind(tx.now)
            .fetch_all(tx.conn().await?)
            .await?;
            if !jobs.is_empty() {
                let note = serde_json::json!({
                    "by": self.by, "reason": self.reason, "at": tx.now, "jobs": jobs,
                });
                settings::put(tx, "listing.believed", &note).await?;
            }
            Ok(jobs)
        })
    }
}

impl Store {
    /// What this start has yet to compare.
    ///
    /// # Errors
    /// A database error, or a stored value of another shape.
    pub async fn to_compare(&self) -> Result<Option<Pending>> {
        self.setting(PENDING).await
    }

    /// Jobs that lists have shown since, made after `from` (vendor's), and that nobody claims.
    ///
    /// # Errors
    /// A database error.
    pub async fn come_to_light(&self, pending: &Pending, from: Millis) -> Result<Vec<String>> {
        let sql = format!(
            "SELECT l.remote_id FROM listed_jobs l WHERE l.seq > $1 \
             AND (l.created_at IS NULL OR l.created_at >= $2) AND {NOBODYS} ORDER BY l.seq"
        );
        Ok(sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(pending.seq)
            .bind(from)
            .fetch_all(self.readers())
            .await?)
    }

    /// Trainings whose own entry a list that covers (ours) everything until then may not have shown
    /// yet; none once several have come and gone without one.
    ///
    /// # Errors
    /// A database error.
    pub async fn trainings_unlisted(&self, covered: Millis) -> Result<usize> {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM ledger b WHERE b.kind = 'training' AND b.outcome = 'accepted' \
             AND b.updated_at > $1 \
             AND NOT EXISTS (SELECT 1 FROM listed_jobs l WHERE l.training = b.subject) \
             AND (EXISTS (SELECT 1 FROM listed_jobs WHERE training IS NOT NULL) OR \
               (SELECT count(*) FROM ledger WHERE kind = 'training' AND outcome = 'accepted' \
                AND updated_at < $2) < $3)",
        )
        .bind(covered - DAY)
        .bind(covered - HOUR)
        .bind(UNLISTED)
        .fetch_one(self.readers())
        .await?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// Everything at the vendor that nobody claims and that may be anybody's.
    ///
    /// # Errors
    /// A database error.
    pub async fn nobodys(&self) -> Result<Vec<Unclaimed>> {
        self.unplaced_where("true").await
    }

    /// The jobs that an order is held against before it is sent; none once the hold is over.
    ///
    /// # Errors
    /// A database error, or a stored value of another shape.
    pub async fn held_against(&self) -> Result<Vec<Unclaimed>> {
        match self.setting::<Hold>(GAP).await? {
            Some(hold) if hold.until > self.now() => self.unplaced_where("l.gap = 1").await,
            _ => Ok(Vec::new()),
        }
    }

    /// The jobs that a person was shown for this row, or has ruled out.
    ///
    /// # Errors
    /// A database error.
    pub async fn shown_for(&self, id: Id) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar(
            "SELECT remote_id FROM fitting WHERE subject = $1 \
             UNION SELECT remote_id FROM not_this WHERE subject = $1",
        )
        .bind(id.to_string())
        .fetch_all(self.readers())
        .await?)
    }

    /// Which of these ids no list has shown.
    ///
    /// # Errors
    /// A database error.
    pub async fn never_listed(&self, ids: &[String]) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar(
            "SELECT value FROM json_each($1) \
             WHERE value NOT IN (SELECT remote_id FROM listed_jobs)",
        )
        .bind(json(&ids)?)
        .fetch_all(self.readers())
        .await?)
    }
}
