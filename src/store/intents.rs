//! Intents: the record of every side-effecting call, and of the looks at those in doubt.

use super::apply::{Facts, apply};
use super::chain;
use super::gap;
use super::ledger;
use super::quarantine;
use super::rows;
use super::settings::Boot;
use super::writer::{Tx, Write};
use super::{Result, Store, StoreError};
use crate::domain::event::Event;
use crate::domain::ids::{Id, Millis};
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
    /// The time since that boot (ms).
    pub opened_uptime: Millis,
    /// sha256 of the call.
    pub request_hash: String,
    /// The call as JSON, without the key.
    pub request: serde_json::Value,
    /// The vendor's clock now; only free effects are judged by it.
    pub vendor_time: Millis,
    /// From when on (vendor's) the last whole list shows everything; paid calls only.
    pub listed_from: Option<Millis>,
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

    fn needs_the_file(&self) -> bool {
        self.kind.is_paid()
    }

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Work>> {
        Box::pin(async move {
            // The way here may have taken minutes: what was paused meanwhile stays paused.
            let (paused, quarantine) = tx.held_back().await?;
            if self.kind != Kind::Output && paused {
                return Err(StoreError::Refused("spending is paused".to_owned()));
            }
            quarantine::refuse(quarantine, self.kind)?;
            if let Some(seen) = self.intent.looked_seq {
                refuse_shown(tx, seen).await?;
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
            intent.listed_from,
            intent.opened_uptime,
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
        Box::pin(async move {
            let boot = self.boot.run(tx).await?;
            gap::begin(tx).await?;
            Ok((boot, self.recover.run(tx).await?))
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
    /// The row.
    pub subject: String,
    /// Same hash, same request.
    pub request_hash: String,
    /// The vendor's clock when the call went out.
    pub vendor_time: Millis,
    /// The newest listed job then.
    pub listed_seq: i64,
    /// From when on (vendor's) the last whole list before it showed everything.
    pub listed_from: Option<Millis>,
    /// What the vendor's record of it must look like, as JSON.
    pub expects: String,
    /// When it was stored (ours).
    pub opened_at: Millis,
    /// The same by the time since its daemon's start.
    pub opened_uptime: Millis,
    /// The boot in which it was stored.
    pub boot: i64,
    /// When the outcome became unknown (ours).
    pub doubt_at: Option<Millis>,
    /// When it was settled (ours).
    pub settled_at: Option<Millis>,
    /// Whether the lane is open again.
    pub lane_free: bool,
    /// How long the vendor has been looked at and found healthy since (ms).
    pub looking: Millis,
    /// Whether a look has failed since the last whole one.
    pub missed: bool,
    /// The last whole look, or the beginning of the doubt (ours).
    pub looked_at: Option<Millis>,
    /// The same by the time since the daemon's start.
    pub looked_uptime: Option<Millis>,
    /// The boot that looked.
    pub looked_boot: Option<i64>,
    /// Whole looks.
    pub looks: i64,
    /// From the last look to the next (ms).
    pub pause: Millis,
    /// What `looking` was at the first of the looks that prove absence.
    pub ripe_since: Option<Millis>,
    /// What it came to in the book of paid calls, and whether a later job bore witness to absence.
    pub outcome: Option<String>,
    /// See `outcome`.
    pub fresh: bool,
    /// Why a person is asked although the looking goes on.
    pub asked: Option<String>,
    /// A training: nobody read its model for so long that it may have begun and failed meanwhile.
    pub hole: bool,
}

/// When a look at the vendor began: by our wall clock and by the time since this daemon's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By our wall clock.
    pub at: Millis,
    /// Since the daemon's start (ms): nobody can set that one.
    pub uptime: Millis,
    /// The boot.
    pub boot: i64,
}

/// Between two looks so many pauses count at most: in more, nobody looked.
const GAPS: i64 = 3;

impl OpenIntent {
    /// When its call was over at the latest (ours): a daemon that was dead for a day was not sending.
    pub fn ended_at(&self) -> Millis {
        let known = self.doubt_at.or(self.settled_at).unwrap_or(self.opened_at + SENDING);
        known.clamp(self.opened_at, self.opened_at + SENDING)
    }

    /// How long ago it went out (ms), by a clock that nobody can set as long as the daemon runs.
    pub fn age_at(&self, now: &Moment) -> Millis {
        match self.boot == now.boot {
            true => now.uptime - self.opened_uptime,
            false => (now.at - self.opened_at).max(0),
        }
    }

    fn since_look(&self, last: Millis, now: &Moment) -> Millis {
        match self.looked_uptime.filter(|_| self.looked_boot == Some(now.boot)) {
            Some(uptime) => now.uptime - uptime,
            None => now.at - last,
        }
    }

    /// For how long nobody has seen what the vendor says of it (ms): since the last whole look, or since
    /// it went out. Across a clock that went back nobody knows.
    pub fn unseen_at(&self, now: &Moment) -> Millis {
        let passed = match self.looked_at.filter(|_| self.looks > 0) {
            Some(last) => self.since_look(last, now),
            None if self.boot == now.boot => now.uptime - self.opened_uptime,
            None => now.at - self.opened_at,
        };
        if passed < 0 { Millis::MAX } else { passed }
    }

    /// How long the vendor has been looked at with this look (ms). What lies between a failed look
    /// and the next whole one may have been an outage, and in a longer time nobody looked.
    pub fn looking_at(&self, now: &Moment) -> Millis {
        let Some(last) = self.looked_at.filter(|_| !self.missed) else { return self.looking };
        let passed = self.since_look(last, now);
        self.looking.saturating_add(passed.clamp(0, self.pause.saturating_mul(GAPS)))
    }
}

/// The columns of [`OpenIntent`].
pub(super) const OPEN_INTENT: &str = "i.seq, i.kind, i.subject, i.request_hash, i.vendor_time, \
    i.listed_seq, i.listed_from, i.expects, i.opened_at, i.opened_uptime, i.boot, i.doubt_at, i.settled_at, \
    i.lane_free_at IS NOT NULL AS lane_free, i.looking, i.missed, i.looked_at, i.looked_uptime, \
    i.looked_boot, i.looks, i.pause, i.ripe_since, i.fresh, i.asked, i.hole, \
    (SELECT outcome FROM ledger b WHERE b.intent = i.seq) AS outcome";

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
            "SELECT {OPEN_INTENT} FROM intents i WHERE i.subject = $1 AND (i.outcome = 'absent' \
             OR EXISTS (SELECT 1 FROM ledger b WHERE b.intent = i.seq AND b.outcome = 'absent')) \
             ORDER BY i.seq DESC LIMIT 1"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(subject.to_string())
            .fetch_optional(self.readers())
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
    /// It failed: the time since the last whole one does not count.
    Failed {
        /// Whether the lane opens all the same.
        opens_lane: bool,
        /// Why a person is asked although the looking goes on.
        asked: Option<String>,
    },
    /// It was whole.
    Whole {
        /// When it began.
        at: Moment,
        /// How long the vendor has been looked at with it (ms).
        looking: Millis,
        /// From it to the next one (ms).
        pause: Millis,
        /// Whether it would have proven absence, had an earlier look said the same.
        ripe: bool,
        /// Whether a job accepted after the call bore witness.
        fresh: bool,
        /// Whether the lane opens with it.
        opens_lane: bool,
        /// Why a person is asked although the looking goes on; nobody is any more without it.
        asked: Option<String>,
        /// The newest listed job that it knew of, if it rests on the job list.
        listed_seq: Option<i64>,
        /// A training: nobody had read its model for too long before.
        hole: bool,
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

/// A verdict is overtaken when the list has grown since its look: what is new may be the call's, or
/// may make what was found one of several.
pub(super) async fn refuse_overtaken(tx: &mut Tx<'_>, look: &Look) -> Result<()> {
    let Look::Whole { listed_seq: Some(seen), .. } = look else {
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
async fn refuse_shown(tx: &mut Tx<'_>, seen: i64) -> Result<()> {
    let shown: Option<String> = sqlx::query_scalar(
        "SELECT l.remote_id FROM listed_jobs l WHERE l.seq > $1 AND l.history = 0 \
         AND l.training IS NULL AND l.claimed_by IS NULL AND l.foreign_since IS NULL \
         AND l.answer IS NULL \
         AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.remote_id = l.remote_id) LIMIT 1",
    )
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

/// Stores a look about a parked call that settled nothing.
pub struct NoteLook {
    /// The call.
    pub intent: i64,
    /// The look.
    pub look: Look,
    /// What could be the call's by now.
    pub candidates: Vec<String>,
}

impl Write for NoteLook {
    type Output = ();

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let parked: Option<String> =
                sqlx::query_scalar("SELECT outcome FROM ledger WHERE intent = $1")
                    .bind(self.intent)
                    .fetch_optional(tx.conn().await?)
                    .await?;
            // A person has decided meanwhile.
            if parked.as_deref() != Some("parked") {
                return Ok(());
            }
            note_look(tx, self.intent, &self.look).await?;
            reserve(tx, self.intent, &self.candidates).await
        })
    }
}

/// Stores a look with the event that it led to.
pub(super) async fn note_look(tx: &mut Tx<'_>, intent: i64, look: &Look) -> Result<()> {
    let opens = match look {
        Look::Failed { opens_lane, asked } => {
            sqlx::query(
                "UPDATE intents SET missed = 1, ripe_since = NULL, asked = coalesce(asked, $2) \
                 WHERE seq = $1",
            )
            .bind(intent)
            .bind(asked)
            .execute(tx.conn().await?)
            .await?;
            *opens_lane
        }
        Look::Whole { at, looking, pause, ripe, fresh, opens_lane, asked, hole, .. } => {
            sqlx::query(
                "UPDATE intents SET looking = $1, missed = 0, looked_at = $2, looked_uptime = $3, \
                 looked_boot = $4, looks = looks + 1, pause = $5, \
                 ripe_since = CASE WHEN $6 THEN coalesce(ripe_since, $1) END, fresh = $7, \
                 asked = $8, hole = max(hole, $9) WHERE seq = $10",
            )
            .bind(looking)
            .bind(at.at)
            .bind(at.uptime)
            .bind(at.boot)
            .bind(pause)
            .bind(ripe)
            .bind(fresh)
            .bind(asked)
            .bind(hole)
            .bind(intent)
            .execute(tx.conn().await?)
            .await?;
            *opens_lane
        }
    };
    if opens { open_lane(tx, intent).await } else { Ok(()) }
}

/// Lets the next call of the lane go; this one stays in doubt.
async fn open_lane(tx: &mut Tx<'_>, intent: i64) -> Result<()> {
    let lane = tx.lane(intent).await?;
    sqlx::query("UPDATE intents SET lane_free_at = coalesce(lane_free_at, $1) WHERE seq = $2")
        .bind(tx.now)
        .bind(intent)
        .execute(tx.conn().await?)
        .await?;
    tx.note_lane(intent, &lane, false);
    Ok(())
}

/// How long a call can take at most until it has reached the vendor or never will (ms): its own
/// deadline (`send_deadline` of the client).
pub(super) const SENDING: Millis = 120_000;

/// Notes what could be a parked call's, for people: not what a person has ruled out while it was looked
/// for.
pub(super) async fn reserve(tx: &mut Tx<'_>, intent: i64, remote_ids: &[String]) -> Result<()> {
    if remote_ids.is_empty() {
        return Ok(());
    }
    let ids = serde_json::to_string(remote_ids)
        .map_err(|error| StoreError::Refused(error.to_string()))?;
    sqlx::query(
        "UPDATE listed_jobs SET reserved_by = $1 WHERE reserved_by IS NULL AND answer IS NULL \
         AND remote_id IN (SELECT value FROM json_each($2)) \
         AND NOT EXISTS (SELECT 1 FROM not_this n JOIN intents i ON i.subject = n.subject \
           WHERE i.seq = $1 AND n.remote_id = listed_jobs.remote_id)",
    )
    .bind(intent)
    .bind(ids)
    .execute(tx.conn().await?)
    .await?;
    Ok(())
}
