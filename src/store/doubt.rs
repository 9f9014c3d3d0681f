//! What is known about paid calls without a job: the evidence that `judging` decides by.

use super::intents::{OPEN_INTENT, OpenIntent};
use super::listing::{DELAY, LAG, MODEL_IDS, REACH, SHARED};
use super::settings;
use super::writer::{Tx, Write};
use super::{Result, Store, StoreError};
use crate::domain::ids::{Id, Millis};
use crate::domain::work::Kind;
use futures_util::future::BoxFuture;
use judging::clocks::{Accepted, Clocks, Span};
use judging::fit::{Call, Candidate, Effect, Expected, Media, ModelIds, Record};
use judging::lag::{Lag, Reach};
use judging::missing::Shown;
use judging::placing::{Bought, Taken};
use judging::training::Delay;
use judging::verdict::{Other, Standing};
use judging::{DAY, HOUR, MINUTE};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, FromRow};
use std::collections::BTreeSet;

/// So many of the newest accepted jobs are looked through at first.
const FEW: i64 = 200;
/// And so many at most: more than a busy day brings.
const MANY: i64 = 5_000;
/// So many trainings without an entry show that the vendor does not list them.
pub(super) const UNLISTED: i64 = 3;
/// More jobs that show the id of their model as it was sent are not counted.
const ENOUGH_ECHOES: usize = 3;
/// So long a training's entry may still come.
const ENTRY_WITHIN: Millis = DAY;

/// What the vendor's records have shown about the ids of models.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echoes {
    /// Jobs of trained models that came back with the id that was sent: the first few of them.
    pub same: Vec<Id>,
    /// One that came back with another form of it, if there ever was one.
    pub other: Option<Id>,
}

impl Echoes {
    /// Whether a job that shows the very id that was sent, or another one, says anything new.
    pub fn is_news(&self, job: Id, same: bool) -> bool {
        match same {
            true => self.same.len() < ENOUGH_ECHOES && !self.same.contains(&job),
            false => self.other.is_none(),
        }
    }
}

/// Notes what a job's record says of its model, once per job.
pub struct NoteEcho {
    /// The job.
    pub job: Id,
    /// Whether it shows the very id that was sent.
    pub same: bool,
}

impl Write for NoteEcho {
    type Output = ();

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut known: Echoes = settings::read(tx, MODEL_IDS).await?.unwrap_or_default();
            if !known.is_news(self.job, self.same) {
                return Ok(());
            }
            match self.same {
                true => known.same.push(self.job),
                false => known.other = Some(self.job),
            }
            settings::put(tx, MODEL_IDS, &serde_json::json!(known)).await
        })
    }
}

/// Notes how late a model's status followed the accepted trigger of its training.
pub struct NoteDelay {
    /// How late (ms).
    pub delay: Millis,
}

impl Write for NoteDelay {
    type Output = ();

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let known: Delay = settings::read(tx, DELAY).await?.unwrap_or_default();
            settings::put(tx, DELAY, &serde_json::json!(known.and(self.delay))).await
        })
    }
}

/// Accepted jobs of ours.
#[derive(Clone, Debug, Default)]
pub struct OurJobs {
    /// Those whose acceptance we heard: the clocks are measured by them.
    pub heard: Vec<Accepted>,
    /// All of them, also those that were found later: witnesses.
    pub all: Vec<Accepted>,
}

impl OurJobs {
    /// What they say of the two clocks.
    pub fn clocks(&self, now: Millis) -> Clocks {
        Clocks::measure(&self.heard, now)
    }
}

/// What is known about the list and the account, whichever call it is about.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// How late the list is.
    pub lag: Lag,
    /// How far back it reaches.
    pub reach: Reach,
    /// A job that it has never shown, long after its acceptance.
    pub lacks: Option<String>,
    /// Whether no stranger's job has been seen.
    pub nobody_else: bool,
}

/// A listed job that no row claims.
#[derive(Clone, Debug, FromRow)]
pub struct Unclaimed {
    /// The vendor's id.
    pub remote_id: String,
    /// Its place in the order of first appearance.
    pub seq: i64,
    /// When it was listed first (ours).
    pub first_seen_at: Millis,
    /// The vendor's creation time.
    pub created_at: Option<Millis>,
    /// The vendor's word for its state.
    pub status: String,
    /// What it cost.
    pub credits: Option<f64>,
    /// Its record as last read, JSON; `null` when the vendor could not show it.
    pub record: Option<String>,
    /// A person has said that it is not the row's that is asked about.
    pub not_this: bool,
}

impl Unclaimed {
    /// Whether its record has been asked for.
    pub fn is_read(&self) -> bool {
        self.record.is_some()
    }

    /// As evidence.
    pub fn candidate(&self) -> Candidate {
        let record = self.record.as_deref().and_then(|text| serde_json::from_str(text).ok());
        Candidate {
            remote_id: self.remote_id.clone(),
            seen: self.seq,
            created_at: self.created_at,
            record: record.flatten(),
            not_this: self.not_this,
        }
    }
}

#[derive(FromRow)]
struct OurJob {
    remote_id: String,
    opened_at: Millis,
    accepted_at: Millis,
    created_at: Option<Millis>,
    shown: bool,
    gone: bool,
    heard: bool,
}

#[derive(FromRow)]
struct OtherRow {
    #[sqlx(flatten)]
    intent: OpenIntent,
    state: Option<String>,
}

/// What of a call its effect is.
pub fn call_of(intent: &OpenIntent) -> Call {
    let effect = if intent.kind == Kind::Training.as_str() {
        #[derive(Deserialize)]
        struct Trains {
            model: String,
        }
        let trains = serde_json::from_str(&intent.expects).map(|trains: Trains| trains.model);
        Effect::Training(trains.unwrap_or_default())
    } else {
        let unknown = Expected { model: None, media: Media::Images, count: None };
        Effect::Job(serde_json::from_str(&intent.expects).unwrap_or(unknown))
    };
    Call {
        intent: intent.seq,
        effect,
        request_hash: intent.request_hash.clone(),
        span: Span { opened_at: intent.opened_at, ended_at: intent.ended_at() },
        listed_seq: intent.listed_seq,
        listed_from: intent.listed_from,
    }
}

fn standing(intent: &OpenIntent, state: Option<&str>) -> Standing {
    match intent.outcome.as_deref() {
        Some("open") => Standing::Open,
        // Not sent again yet, and looked for once more before it is: what comes to light now may
        // still be taken for it.
        Some("absent") if state == Some("looked_for") => Standing::Open,
        Some("absent") => Standing::Absent { fresh: intent.fresh },
        _ if state == Some("attention") => Standing::Parked,
        _ => Standing::GivenUp,
    }
}

/// Where a row stands; what a person has ordered to be sent again is not looked for any more.
const STANDS: &str = "CASE WHEN state = 'queued' AND absences > 0 THEN 'looked_for' ELSE state END";

macro_rules! nobodys {
    () => {
        "l.duplicate_of IS NULL AND l.training IS NULL AND l.claimed_by IS NULL \
         AND l.foreign_since IS NULL AND l.answer IS NULL \
         AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.remote_id = l.remote_id)"
    };
}

/// Not anybody's yet, whenever it was made.
pub(super) const NOBODYS: &str = nobodys!();
/// No row claims it, and nobody has found out what it is.
pub(super) const UNPLACED: &str = concat!("l.history = 0 AND ", nobodys!());
/// The columns of [`Unclaimed`], but for the last one.
const UNCLAIMED: &str =
    "l.remote_id, l.seq, l.first_seen_at, l.created_at, l.status, l.credits, l.record";

impl Store {
    /// Jobs of ours that the vendor has: those accepted after `since` (ours), and at least the
    /// newest ones before. One that was found, and not heard of, bears witness as one of the time of
    /// its call: it may be older than what came after.
    ///
    /// # Errors
    /// A database error.
    pub async fn our_jobs(&self, since: Millis) -> Result<OurJobs> {
        let mut rows = self.our_newest_jobs(FEW).await?;
        let full = i64::try_from(rows.len()).is_ok_and(|count| count == FEW);
        if full && rows.last().is_some_and(|oldest| oldest.opened_at > since) {
            rows = self.our_newest_jobs(MANY).await?;
        }
        let mut out = OurJobs::default();
        for row in rows {
            let job = Accepted {
                remote_id: row.remote_id,
                accepted_at: row.accepted_at,
                created_at: row.created_at,
                shown: row.shown,
                gone: row.gone,
            };
            if row.heard {
                out.heard.push(job.clone());
            }
            out.all.push(job);
        }
        Ok(out)
    }

    async fn our_newest_jobs(&self, most: i64) -> Result<Vec<OurJob>> {
        Ok(sqlx::query_as(
            "SELECT b.remote_id, b.opened_at, i.outcome = 'accepted' AS heard, \
               CASE i.outcome WHEN 'accepted' THEN i.settled_at ELSE b.opened_at END AS accepted_at, \
               l.created_at, l.seq IS NOT NULL AS shown, \
               coalesce(m.says = 'taken_off' OR m.answered_at IS NOT NULL, 0) AS gone \
             FROM (SELECT intent, remote_id, opened_at FROM ledger \
                   WHERE kind = 'job' AND outcome = 'accepted' ORDER BY intent DESC LIMIT $1) b \
             JOIN intents i ON i.seq = b.intent \
             LEFT JOIN listed_jobs l ON l.remote_id = b.remote_id \
             LEFT JOIN missing m ON m.remote_id = b.remote_id ORDER BY b.intent DESC",
        )
        .bind(most)
        .fetch_all(self.readers())
        .await?)
    }

    /// Other paid calls without a job: open ones, and those parked, absent or given up that went out
    /// after `since` (ours).
    ///
    /// # Errors
    /// A database error.
    pub async fn calls_without_a_job(&self, but: Option<i64>, since: Millis) -> Result<Vec<Other>> {
        let rows = self.rows_without_a_job(since).await?;
        let others = rows.iter().filter(|row| Some(row.intent.seq) != but);
        let other = |row: &OtherRow| {
            let mut call = call_of(&row.intent);
            // While it is out its reply may still come, with the very job: then it is no twin.
            if !row.intent.lane_free {
                call.request_hash.push_str(" out");
            }
            Other { call, standing: standing(&row.intent, row.state.as_deref()) }
        };
        Ok(others.map(other).collect())
    }

    /// Parked calls for jobs, still waiting for a person, that went out after `since` (ours).
    ///
    /// # Errors
    /// A database error.
    pub async fn parked_calls(&self, since: Millis) -> Result<Vec<OpenIntent>> {
        let rows = self.rows_without_a_job(since).await?;
        let parked = rows.into_iter().filter(|row| {
            row.intent.kind == Kind::Job.as_str()
                && standing(&row.intent, row.state.as_deref()) == Standing::Parked
        });
        Ok(parked.map(|row| row.intent).collect())
    }

    async fn rows_without_a_job(&self, since: Millis) -> Result<Vec<OtherRow>> {
        let sql = format!(
            "SELECT {OPEN_INTENT}, CASE i.kind \
               WHEN 'job' THEN (SELECT {STANDS} FROM jobs w WHERE w.id = i.subject) \
               ELSE (SELECT {STANDS} FROM trainings w WHERE w.id = i.subject) END AS state \
             FROM ledger b JOIN intents i ON i.seq = b.intent \
             WHERE b.outcome IN ('open','parked','absent') \
             AND (b.outcome = 'open' OR i.opened_at > $1) ORDER BY i.seq"
        );
        Ok(sqlx::query_as(AssertSqlSafe(sql)).bind(since).fetch_all(self.readers()).await?)
    }

    /// Accepted trainings whose own entry may still appear in the list: none once several have come
    /// and gone without one.
    ///
    /// # Errors
    /// A database error.
    pub async fn trainings_without_an_entry(&self) -> Result<Vec<Call>> {
        let listed: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM listed_jobs WHERE training IS NOT NULL) OR \
             (SELECT count(*) FROM ledger b JOIN intents i ON i.seq = b.intent \
              WHERE b.kind = 'training' AND b.outcome = 'accepted' AND i.settled_at < $1) < $2",
        )
        .bind(self.now() - HOUR)
        .bind(UNLISTED)
        .fetch_one(self.readers())
        .await?;
        if !listed {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT {OPEN_INTENT} FROM trainings t JOIN intents i ON i.subject = t.id \
             JOIN ledger b ON b.intent = i.seq \
             WHERE t.accepted_at > $1 AND b.outcome = 'accepted' \
             AND NOT EXISTS (SELECT 1 FROM listed_jobs l WHERE l.training = t.id)"
        );
        let found: Vec<OpenIntent> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(self.now() - ENTRY_WITHIN)
            .fetch_all(self.readers())
            .await?;
        Ok(found.iter().map(call_of).collect())
    }

    /// What is known about list and account.
    ///
    /// # Errors
    /// A database error, or a stored value of another shape.
    pub async fn known(&self) -> Result<Known> {
        Ok(Known {
            lag: self.lag().await?,
            reach: self.setting(REACH).await?.unwrap_or_default(),
            lacks: sqlx::query_scalar(
                "SELECT remote_id FROM missing WHERE says = 'lacks' AND answered_at IS NULL LIMIT 1",
            )
            .fetch_optional(self.readers())
            .await?,
            nobody_else: self.setting::<serde_json::Value>(SHARED).await?.is_none(),
        })
    }

    /// What is known about how late the vendor's list is.
    ///
    /// # Errors
    /// A database error, or a stored value of another shape.
    pub async fn lag(&self) -> Result<Lag> {
        Ok(self.setting(LAG).await?.unwrap_or_default())
    }

    /// What records have shown about the ids of models.
    ///
    /// # Errors
    /// A database error, or a stored value of another shape.
    pub async fn echoes(&self) -> Result<Echoes> {
        Ok(self.setting(MODEL_IDS).await?.unwrap_or_default())
    }

    /// How late a model's status follows an accepted trigger, as measured.
    ///
    /// # Errors
    /// A database error, or a stored value of another shape.
    pub async fn training_delay(&self) -> Result<Delay> {
        Ok(self.setting(DELAY).await?.unwrap_or_default())
    }

    /// The id of the trained model that a job's accepted call had sent.
    ///
    /// # Errors
    /// A database error.
    pub async fn sent_model(&self, job: Id) -> Result<Option<String>> {
        Ok(sqlx::query_scalar(
            "SELECT i.expects ->> '$.model' FROM ledger b JOIN intents i ON i.seq = b.intent \
             WHERE b.subject = $1 AND b.outcome = 'accepted' AND i.outcome = 'accepted'",
        )
        .bind(job.to_string())
        .fetch_optional(self.readers())
        .await?
        .flatten())
    }

    /// What is known about ids of models, as far as a call for `model` needs it.
    ///
    /// # Errors
    /// A database error, or a stored value of another shape.
    pub async fn model_ids(&self, model: Option<&str>) -> Result<ModelIds> {
        let ours: Vec<String> =
            sqlx::query_scalar("SELECT remote_id FROM models WHERE remote_id IS NOT NULL")
                .fetch_all(self.readers())
                .await?;
        let echoes = self.echoes().await?;
        let same = u32::try_from(echoes.same.len()).unwrap_or(u32::MAX);
        let other = u32::from(echoes.other.is_some());
        let shown: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM listed_jobs WHERE foreign_since IS NOT NULL \
             AND record IS NOT NULL AND record ->> '$.model' = $1) \
             OR EXISTS (SELECT 1 FROM listed_jobs WHERE duplicate_of IS NOT NULL \
             AND record ->> '$.model' = $1)",
        )
        .bind(model)
        .fetch_one(self.readers())
        .await?;
        let strangers: BTreeSet<String> =
            model.filter(|_| shown).map(str::to_owned).into_iter().collect();
        Ok(ModelIds { ours: ours.into_iter().collect(), strangers, same, other })
    }

    /// What no row claims of all that was first listed since the call's intent.
    ///
    /// # Errors
    /// A database error.
    pub async fn unclaimed_since(&self, intent: &OpenIntent) -> Result<Vec<Unclaimed>> {
        let sql = format!(
            "SELECT {UNCLAIMED}, EXISTS (SELECT 1 FROM not_this n \
               WHERE n.subject = $2 AND n.remote_id = l.remote_id) AS not_this \
             FROM listed_jobs l WHERE l.seq > $1 AND {UNPLACED} ORDER BY l.seq"
        );
        Ok(sqlx::query_as(AssertSqlSafe(sql))
            .bind(intent.listed_seq)
            .bind(&intent.subject)
            .fetch_all(self.readers())
            .await?)
    }

    /// Jobs of which nobody knows yet whose they are.
    ///
    /// # Errors
    /// A database error.
    pub async fn unplaced(&self) -> Result<Vec<Unclaimed>> {
        self.unplaced_where("l.gap = 0").await
    }

    /// Those of them that meet a condition.
    pub(super) async fn unplaced_where(&self, which: &str) -> Result<Vec<Unclaimed>> {
        let sql = format!(
            "SELECT {UNCLAIMED}, 0 AS not_this FROM listed_jobs l INDEXED BY listed_jobs_unplaced \
             WHERE {which} AND {UNPLACED} ORDER BY l.seq"
        );
        Ok(sqlx::query_as(AssertSqlSafe(sql)).fetch_all(self.readers()).await?)
    }

    /// What a person has said not to be this or that call's: the call's intent, the vendor's id.
    ///
    /// # Errors
    /// A database error.
    pub async fn ruled_out(&self) -> Result<Vec<(i64, String)>> {
        Ok(sqlx::query_as(
            "SELECT i.seq, n.remote_id FROM not_this n JOIN intents i ON i.subject = n.subject",
        )
        .fetch_all(self.readers())
        .await?)
    }

    /// What lists are known to miss.
    ///
    /// # Errors
    /// A database error.
    pub async fn missing_jobs(&self) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar("SELECT remote_id FROM missing WHERE says <> 'taken_off'")
            .fetch_all(self.readers())
            .await?)
    }

    /// Accepted calls whose jobs were made around `created_at` (vendor's).
    ///
    /// # Errors
    /// A database error.
    pub async fn bought_around(&self, created_at: Millis) -> Result<Vec<Bought>> {
        #[derive(FromRow)]
        struct Row {
            #[sqlx(flatten)]
            intent: OpenIntent,
            created_at: Option<Millis>,
            ruled_out: String,
        }
        let sql = format!(
            "SELECT {OPEN_INTENT}, l.created_at, (SELECT json_group_array(n.remote_id) \
               FROM not_this n WHERE n.subject = i.subject) AS ruled_out FROM listed_jobs l \
             JOIN ledger b ON b.remote_id = l.remote_id JOIN intents i ON i.seq = b.intent \
             WHERE l.created_at BETWEEN $1 AND $2 AND b.outcome = 'accepted' AND b.kind = 'job'"
        );
        let around = 5 * MINUTE;
        let rows: Vec<Row> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(created_at - around)
            .bind(created_at + around)
            .fetch_all(self.readers())
            .await?;
        let bought = |row: &Row| Bought {
            call: call_of(&row.intent),
            created_at: row.created_at,
            ruled_out: serde_json::from_str(&row.ruled_out).unwrap_or_default(),
        };
        Ok(rows.iter().map(bought).collect())
    }

    /// The possible duplicates that calls have already.
    ///
    /// # Errors
    /// A database error.
    pub async fn duplicates(&self) -> Result<Vec<Taken>> {
        #[derive(FromRow)]
        struct Row {
            intent: i64,
            #[sqlx(flatten)]
            job: Unclaimed,
        }
        let sql = format!(
            "SELECT l.duplicate_of AS intent, {UNCLAIMED}, 0 AS not_this FROM listed_jobs l \
             WHERE l.duplicate_of IS NOT NULL"
        );
        let taken: Vec<Row> = sqlx::query_as(AssertSqlSafe(sql)).fetch_all(self.readers()).await?;
        let taken = taken.into_iter();
        Ok(taken.map(|row| Taken { intent: row.intent, job: row.job.candidate() }).collect())
    }

    /// Witnesses against a cut list: of the jobs that lists have shown with creation times between
    /// `from` and `to` (vendor's), the newest and some spread over the rest.
    ///
    /// # Errors
    /// A database error.
    pub async fn shown_before(&self, (from, to): (Millis, Millis)) -> Result<Vec<Shown>> {
        const COLUMNS: &str = "l.remote_id, l.created_at, l.first_seen_at";
        const SHOWN: &str = "FROM listed_jobs l WHERE l.created_at BETWEEN $1 AND $2 \
             AND NOT EXISTS (SELECT 1 FROM missing m WHERE m.remote_id = l.remote_id \
               AND (m.says = 'taken_off' OR m.answered_at IS NOT NULL))";
        type Row = (String, Millis, Millis);
        let of = |rows: Vec<Row>| {
            rows.into_iter().map(|(remote_id, created_at, first_seen_at)| Shown {
                remote_id,
                created_at,
                first_seen_at,
            })
        };
        let sql = format!("SELECT {COLUMNS} {SHOWN} ORDER BY l.created_at DESC LIMIT $3");
        let newest: Vec<Row> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(from)
            .bind(to)
            .bind(i64::try_from(judging::witness::NEWEST).unwrap_or(i64::MAX))
            .fetch_all(self.readers())
            .await?;
        let Some((_, before, _)) =
            newest.last().filter(|_| newest.len() >= judging::witness::NEWEST)
        else {
            return Ok(of(newest).collect());
        };
        let oldest: Option<Millis> =
            sqlx::query_scalar("SELECT min(created_at) FROM listed_jobs WHERE created_at >= $1")
                .bind(from)
                .fetch_one(self.readers())
                .await?;
        let points = judging::witness::points(oldest.unwrap_or(from), *before);
        let points = serde_json::to_string(&points)
            .map_err(|error| StoreError::Refused(error.to_string()))?;
        let sql = format!(
            "SELECT {COLUMNS} FROM listed_jobs l WHERE l.remote_id IN \
               (SELECT (SELECT l.remote_id {SHOWN} AND l.created_at <= p.value \
                  ORDER BY l.created_at DESC LIMIT 1) FROM json_each($3) p)"
        );
        let mut spread: Vec<Row> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(from)
            .bind(before)
            .bind(points)
            .fetch_all(self.readers())
            .await?;
        spread.retain(|job| newest.iter().all(|known| known.0 != job.0));
        Ok(of(newest).chain(of(spread)).collect())
    }

    /// Whether anything that was ever listed or accepted belongs into the window asked for: then an
    /// answer that shows nothing at all is a failed read.
    ///
    /// # Errors
    /// A database error.
    pub async fn something_belongs(
        &self,
        (start, end): (Millis, Option<Millis>),
        ours: &[Accepted],
    ) -> Result<bool> {
        // Our own jobs that no list has shown yet have no time of the vendor's.
        if ours.iter().any(|job| !job.shown && !job.gone && self.now() - job.accepted_at < HOUR) {
            return Ok(true);
        }
        Ok(sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM listed_jobs WHERE created_at BETWEEN $1 AND $2)",
        )
        .bind(start)
        .bind(end.unwrap_or(Millis::MAX))
        .fetch_one(self.readers())
        .await?)
    }

    /// Whether the database may not know all calls since this one: it is in quarantine, or was
    /// released from one after the call.
    ///
    /// # Errors
    /// A database error.
    pub async fn may_have_forgotten(&self, intent: i64) -> Result<bool> {
        if self.quarantine().await?.is_some() {
            return Ok(true);
        }
        Ok(sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM chain WHERE what = 'released' AND seq > \
             coalesce((SELECT min(seq) FROM chain WHERE intent = $1), 0))",
        )
        .bind(intent)
        .fetch_one(self.readers())
        .await?)
    }
}

/// The record of a job, as it is stored.
pub(super) fn record_text(record: Option<&Record>) -> Result<String> {
    serde_json::to_string(&record).map_err(|error| StoreError::Refused(error.to_string()))
}
