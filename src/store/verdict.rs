//! A person's verdict about a row whose call nobody knows the outcome of, and what forbids one.

use super::apply::{Facts, apply};
use super::writer::{Tx, Write};
use super::{Result, StoreError};
use crate::domain::event::Event;
use crate::domain::ids::{Id, Millis};
use crate::domain::schedule::Timing;
use crate::domain::work::{Kind, Work};
use futures_util::future::BoxFuture;
use sqlx::{AssertSqlSafe, FromRow};

/// What the vendor's list shows so soon after a call first may be what the call bought.
const SOON: Millis = judging::HOUR;

/// A verdict on a row that waits for a person, or that a person need not wait for.
pub struct Resolve {
    /// The row's kind.
    pub kind: Kind,
    /// The row.
    pub id: Id,
    /// The verdict.
    pub event: Event,
    /// The version of the row that it was given on, if it says so.
    pub version: Option<i64>,
    /// Who decides.
    pub actor: String,
    /// The configured durations.
    pub timing: Timing,
}

impl Write for Resolve {
    type Output = Work;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Work>> {
        Box::pin(async move {
            refuse_moved(tx, self.kind, self.id, self.version).await?;
            match &self.event {
                Event::Adopt { remote_id, .. } if self.kind == Kind::Job => {
                    let bought_by = self.check_job(tx, remote_id).await?;
                    return adopt(tx, self, bought_by).await;
                }
                Event::Adopt { remote_id, .. } if self.kind == Kind::Training => {
                    self.check_training(tx, remote_id).await?;
                }
                Event::Resubmit { .. } => refuse_candidates(tx, self.kind, self.id).await?,
                _ => {}
            }
            let (event, facts) = (self.event.clone(), Facts::default());
            apply(tx, &self.timing, &self.actor, self.kind, self.id, event, facts).await
        })
    }
}

/// Takes a listed job over for a row.
pub(super) async fn adopt(
    tx: &mut Tx<'_>,
    verdict: &Resolve,
    bought_by: Option<i64>,
) -> Result<Work> {
    let Event::Adopt { remote_id, .. } = &verdict.event else {
        return Err(StoreError::Refused("only a job can be taken over".to_owned()));
    };
    let facts = Facts { bought_by, ..Facts::default() };
    let (kind, id, event) = (verdict.kind, verdict.id, verdict.event.clone());
    let old = tx.load(kind, id).await?.work.remote_id;
    let work = apply(tx, &verdict.timing, &verdict.actor, kind, id, event, facts).await?;
    // What it was taken for before is unclaimed: whose that is has to be found out.
    if let Some(old) = old {
        sqlx::query("UPDATE listed_jobs SET claimed_by = NULL WHERE remote_id = $1")
            .bind(old)
            .execute(tx.conn().await?)
            .await?;
    }
    // What else might have been its job is nobody's candidate any more.
    sqlx::query(
        "UPDATE listed_jobs SET reserved_by = NULL \
         WHERE reserved_by IN (SELECT seq FROM intents WHERE subject = $1)",
    )
    .bind(id.to_string())
    .execute(tx.conn().await?)
    .await?;
    sqlx::query(
        "UPDATE listed_jobs SET claimed_by = $1, duplicate_of = NULL, reserved_by = NULL, \
         foreign_since = NULL, answer = NULL, answered_by = NULL, answered_at = NULL \
         WHERE remote_id = $2",
    )
    .bind(id.to_string())
    .bind(remote_id)
    .execute(tx.conn().await?)
    .await?;
    // The newer word counts.
    sqlx::query("DELETE FROM not_this WHERE subject = $1 AND remote_id = $2")
        .bind(id.to_string())
        .bind(remote_id)
        .execute(tx.conn().await?)
        .await?;
    Ok(work)
}

impl Resolve {
    /// Only a job that the vendor has shown, and that is nobody else's, can be adopted; where its list
    /// lacks jobs, a person may have seen it elsewhere. Answers the call that bought it, if that is
    /// known.
    async fn check_job(&self, tx: &mut Tx<'_>, remote_id: &str) -> Result<Option<i64>> {
        let job = match listed(tx, remote_id).await {
            Err(StoreError::NotFound(..)) if list_lacks_jobs(tx).await? => return Ok(None),
            Err(StoreError::NotFound(..)) => {
                return Err(StoreError::Refused(format!(
                    "the vendor's job list has never shown {remote_id:?}; the sentence in \
                     `darkroom explain {}` names what could be it",
                    self.id
                )));
            }
            job => job?,
        };
        let id = self.id.to_string();
        if job.claimed_by.as_deref() == Some(id.as_str()) {
            return Err(StoreError::Refused(format!(
                "the job {id} has the vendor's {remote_id} already"
            )));
        }
        job.refuse_claimed()?;
        self.refuse_second(tx, &job).await?;
        match &job.subject {
            Some(other) if *other != id => Err(StoreError::Refused(format!(
                "the vendor's {remote_id} is what the {} {other} may have bought; if it is not, \
                 say `darkroom resolve {other} --not-this {remote_id}` first",
                job.kind.as_deref().unwrap_or("row")
            ))),
            _ => Ok(job.call),
        }
    }

    /// A row that has its job does not take what another call of its own may have bought: that was
    /// bought beside it.
    async fn refuse_second(&self, tx: &mut Tx<'_>, job: &ListedJob) -> Result<()> {
        let (Some(call), Some(has)) = (job.call, tx.load(self.kind, self.id).await?.work.remote_id)
        else {
            return Ok(());
        };
        let sql = "SELECT outcome = 'accepted' FROM ledger WHERE intent = $1";
        let bought: Option<bool> =
            sqlx::query_scalar(sql).bind(call).fetch_optional(tx.reading().await?).await?;
        if bought == Some(true) {
            return Ok(());
        }
        let (id, remote_id) = (self.id, &job.remote_id);
        Err(StoreError::Refused(format!(
            "the job {id} has the vendor's {has}, and {remote_id} may be what another call bought: \
             `darkroom resolve --ours {remote_id}` books it as ours"
        )))
    }

    /// A training is watched through its model: no other id can be adopted for it.
    async fn check_training(&self, tx: &mut Tx<'_>, remote_id: &str) -> Result<()> {
        let model: Option<String> = sqlx::query_scalar(
            "SELECT m.remote_id FROM trainings t JOIN models m ON m.id = t.model_id \
             WHERE t.id = $1",
        )
        .bind(self.id.to_string())
        .fetch_optional(tx.conn().await?)
        .await?
        .flatten();
        match model {
            Some(model) if model == *remote_id => Ok(()),
            model => Err(StoreError::Refused(format!(
                "a training is adopted by its model's id at the vendor, {}",
                model.as_deref().unwrap_or("which is not known")
            ))),
        }
    }
}

/// Whether the vendor's list has been seen to lack a job that the vendor has.
async fn list_lacks_jobs(tx: &mut Tx<'_>) -> Result<bool> {
    Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM missing WHERE says = 'lacks')")
        .fetch_one(tx.conn().await?)
        .await?)
}

/// A job of the vendor's list, as far as a person's word needs it.
#[derive(Debug, FromRow)]
pub(super) struct ListedJob {
    pub(super) remote_id: String,
    pub(super) seq: i64,
    pub(super) credits: Option<f64>,
    pub(super) history: bool,
    pub(super) training: Option<String>,
    pub(super) foreign: bool,
    pub(super) answer: Option<String>,
    /// The row that has it.
    pub(super) claimed_by: Option<String>,
    /// The call that it may be of: as possible duplicate, or as candidate.
    pub(super) call: Option<i64>,
    /// That call's row.
    pub(super) subject: Option<String>,
    /// And what that is.
    pub(super) kind: Option<String>,
}

impl ListedJob {
    /// What a row has already is not asked about.
    pub(super) fn refuse_claimed(&self) -> Result<()> {
        let remote_id = &self.remote_id;
        if let Some(row) = &self.claimed_by {
            return Err(claimed(remote_id, row));
        }
        match &self.training {
            Some(training) => Err(StoreError::Refused(format!(
                "the vendor's {remote_id} is the list's own entry of the training {training}: \
                 `darkroom show {training}`"
            ))),
            None => Ok(()),
        }
    }
}

/// Reads a job of the vendor's list.
pub(super) async fn listed(tx: &mut Tx<'_>, remote_id: &str) -> Result<ListedJob> {
    let found: Option<ListedJob> = sqlx::query_as(
        "SELECT l.remote_id, l.seq, l.credits, l.history, l.training, \
           l.foreign_since IS NOT NULL AS \"foreign\", l.answer, \
           (SELECT id FROM jobs j WHERE j.remote_id = l.remote_id ORDER BY id DESC LIMIT 1) \
             AS claimed_by, \
           i.seq AS call, i.subject, i.kind \
         FROM listed_jobs l LEFT JOIN intents i ON i.seq = coalesce(l.duplicate_of, l.reserved_by) \
         WHERE l.remote_id = $1",
    )
    .bind(remote_id)
    .fetch_optional(tx.reading().await?)
    .await?;
    if let Some(job) = found {
        return Ok(job);
    }
    let row: Option<String> = sqlx::query_scalar("SELECT id FROM jobs WHERE remote_id = $1")
        .bind(remote_id)
        .fetch_optional(tx.reading().await?)
        .await?;
    match row {
        // Accepted a moment ago: no list has shown it yet.
        Some(row) => Err(claimed(remote_id, &row)),
        None => {
            let named = "job of the vendor's list (`darkroom ledger` shows those that no row \
                 claims) with the id";
            Err(StoreError::NotFound(named, remote_id.to_owned()))
        }
    }
}

fn claimed(remote_id: &str, row: &str) -> StoreError {
    StoreError::Refused(format!(
        "the vendor's {remote_id} belongs to another row already, the job {row}: `darkroom show \
         {row}`"
    ))
}

/// A verdict on what somebody has seen is none on what it has become since.
pub(super) async fn refuse_moved(
    tx: &mut Tx<'_>,
    kind: Kind,
    id: Id,
    seen: Option<i64>,
) -> Result<()> {
    let version = tx.load(kind, id).await?.version;
    match seen {
        Some(seen) if seen != version => Err(StoreError::Refused(format!(
            "the {kind} {id} has moved: it is at version {version}, and the verdict was given on \
             {seen}; look again (`darkroom explain {id}`) and decide on what you see then"
        ))),
        _ => Ok(()),
    }
}

/// What an older look has found is not taken over against a person's word.
pub(super) async fn refuse_answered(tx: &mut Tx<'_>, id: Id, remote_id: &str) -> Result<()> {
    let answered: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM not_this WHERE subject = $1 AND remote_id = $2) \
         OR EXISTS (SELECT 1 FROM listed_jobs WHERE remote_id = $2 AND answer IS NOT NULL)",
    )
    .bind(id.to_string())
    .bind(remote_id)
    .fetch_one(tx.aside())
    .await?;
    match answered {
        true => Err(StoreError::Refused(format!("a person has said that {remote_id} is not it"))),
        false => Ok(()),
    }
}

/// What no row claims, no person has answered, and nobody has said not to be row $1's.
const UNANSWERED: &str = "l.history = 0 AND l.training IS NULL AND l.claimed_by IS NULL \
     AND l.answer IS NULL AND l.seq > i.listed_seq \
     AND l.first_seen_at BETWEEN i.opened_at AND i.opened_at + $2 \
     AND NOT EXISTS (SELECT 1 FROM not_this n WHERE n.subject = $1 AND n.remote_id = l.remote_id) \
     AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.remote_id = l.remote_id)";

/// Nothing is bought again while the vendor shows what may be the first purchase: candidates and
/// possible duplicates of the row's calls, and, for calls whose outcome nobody knows, whatever has
/// not been placed yet.
pub(super) async fn refuse_candidates(tx: &mut Tx<'_>, kind: Kind, id: Id) -> Result<()> {
    if !kind.is_paid() {
        return Ok(());
    }
    let sql = format!(
        "SELECT l.remote_id, l.credits FROM intents i JOIN listed_jobs l ON l.reserved_by = i.seq \
         WHERE i.subject = $1 AND {UNANSWERED} UNION \
         SELECT l.remote_id, l.credits FROM intents i JOIN listed_jobs l ON l.duplicate_of = i.seq \
         WHERE i.subject = $1 AND {UNANSWERED} UNION \
         SELECT l.remote_id, l.credits FROM ledger b JOIN intents i ON i.seq = b.intent \
         JOIN listed_jobs l ON l.seq > i.listed_seq \
         WHERE b.subject = $1 AND b.outcome IN ('open','parked') \
         AND l.duplicate_of IS NULL AND l.foreign_since IS NULL AND {UNANSWERED}"
    );
    let found: Vec<(String, Option<f64>)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(id.to_string())
        .bind(SOON)
        .fetch_all(tx.reading().await?)
        .await?;
    if found.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = found.iter().map(|(id, credits)| named(id, *credits)).collect();
    let over = tx.load(kind, id).await?.work.state.is_terminal();
    let taken = match (kind, over) {
        (Kind::Job, false) => format!("`darkroom resolve {id} --adopt REMOTE` takes one over"),
        _ => "`darkroom resolve --ours REMOTE` books one as ours".to_owned(),
    };
    Err(StoreError::Refused(format!(
        "the {kind} {id} is not bought again while the vendor has what it may have bought already: \
         {}; {taken}, `darkroom resolve {id} --not-this REMOTE` says that one is not it",
        named.join(", ")
    )))
}

/// A job with what it cost.
pub(super) fn named(remote_id: &str, credits: Option<f64>) -> String {
    match credits {
        Some(credits) => format!("{remote_id} ({credits} credits)"),
        None => remote_id.to_owned(),
    }
}
