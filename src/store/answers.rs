//! A person's answers about jobs at the vendor that no row claims.
//!
//! An answer is an event of the row that the job concerns. A row that has ended takes no event: then
//! who answered and when stands with the job (`listed_jobs`) or the ruling (`not_this`) alone.

use super::apply::{Facts, apply};
use super::listing::{Stranger, note_strangers};
use super::rows;
use super::verdict::{ListedJob, Resolve, adopt, listed, named, refuse_moved};
use super::writer::{Tx, Write};
use super::{Result, StoreError};
use crate::domain::event::Event;
use crate::domain::ids::Id;
use crate::domain::schedule::Timing;
use crate::domain::work::{Kind, State, Work};
use futures_util::future::BoxFuture;

/// Whose a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Ours.
    Ours,
    /// Somebody else's.
    NotOurs,
}

/// A person says whose a listed job is.
pub struct Answer {
    /// The vendor's name for it.
    pub remote_id: String,
    /// Whose it is.
    pub whose: Whose,
    /// Who says so, and why, for the record.
    pub by: String,
    /// Who says so.
    pub actor: String,
    /// The configured durations.
    pub timing: Timing,
}

/// What an answer came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Became {
    /// It was taken over for a row.
    Adopted,
    /// It was bought twice.
    BoughtTwice,
    /// It is somebody else's.
    NotOurs,
    /// It is not the row's.
    NotThis,
}

impl Became {
    /// The word for programs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Adopted => "adopted",
            Self::BoughtTwice => "bought_twice",
            Self::NotOurs => "not_ours",
            Self::NotThis => "not_this",
        }
    }
}

/// Several rows that wait may have bought a candidate: then a person says which one did.
async fn refuse_ambiguous(tx: &mut Tx<'_>, job: &ListedJob, row: &Work) -> Result<()> {
    let others: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT b.subject FROM ledger b JOIN intents i ON i.seq = b.intent \
         JOIN listed_jobs l ON l.remote_id = $1 \
         WHERE b.kind = 'job' AND b.outcome IN ('open','parked') AND b.subject <> $2 \
         AND l.duplicate_of IS NULL AND i.listed_seq < l.seq AND NOT EXISTS \
           (SELECT 1 FROM not_this n WHERE n.subject = b.subject AND n.remote_id = l.remote_id) \
         ORDER BY b.subject",
    )
    .bind(&job.remote_id)
    .bind(row.id.to_string())
    .fetch_all(tx.reading().await?)
    .await?;
    if others.is_empty() {
        return Ok(());
    }
    Err(StoreError::Refused(format!(
        "the vendor's {remote} may be what the job {row} has bought, or {others}: say `darkroom resolve \
         ID --not-this {remote}` for those that have not",
        remote = job.remote_id,
        row = row.id,
        others = others.join(", ")
    )))
}

/// An answer that is stored.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The vendor's name for the job.
    pub remote_id: String,
    /// What it is now.
    pub became: Became,
    /// What it cost, as far as the vendor says.
    pub credits: Option<f64>,
    /// The row that it concerns, if there is one, as it is now.
    pub row: Option<Work>,
    /// Whether the answer is among that row's events; else only with the job.
    pub in_events: bool,
}

impl Write for Answer {
    type Output = Answered;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Answered>> {
        Box::pin(async move {
            let job = listed(tx, &self.remote_id).await?;
            job.refuse_claimed()?;
            if job.history {
                return Err(StoreError::Refused(format!(
                    "the vendor's {} was there before the first call of this database, so it is \
                     history and nothing is asked about it",
                    self.remote_id
                )));
            }
            match self.whose {
                Whose::Ours => self.ours(tx, &job).await,
                Whose::NotOurs => self.not_ours(tx, &job).await,
            }
        })
    }
}

impl Answer {
    /// Its call's job, if that call's row has none; else bought twice.
    async fn ours(&self, tx: &mut Tx<'_>, job: &ListedJob) -> Result<Answered> {
        let row = row_of(tx, job).await?;
        if let (Some(row), Some(call)) = (&row, job.call)
            && row.kind == Kind::Job
            && row.remote_id.is_none()
        {
            match row.state {
                State::Attention { .. } | State::InDoubt { .. } | State::Queued { .. } => {
                    refuse_ambiguous(tx, job, row).await?;
                    return self.adopted(tx, job, row, call).await;
                }
                State::Submitting { .. } => {
                    return Err(StoreError::Refused(format!(
                        "the job {} is being sent again right now; say it once its outcome is known",
                        row.id
                    )));
                }
                _ => {}
            }
        }
        if job.call.is_none() && !job.foreign {
            refuse_unplaced(tx, job).await?;
        }
        sqlx::query(
            "UPDATE listed_jobs SET answer = 'bought_twice', answered_by = $1, answered_at = $2, \
             duplicate_of = coalesce(duplicate_of, reserved_by), reserved_by = NULL, \
             foreign_since = NULL WHERE remote_id = $3",
        )
        .bind(&self.by)
        .bind(tx.now)
        .bind(&self.remote_id)
        .execute(tx.conn().await?)
        .await?;
        let note = format!("{} was bought twice", named(&job.remote_id, job.credits));
        self.told(tx, job, row, note, Became::BoughtTwice).await
    }

    async fn adopted(
        &self,
        tx: &mut Tx<'_>,
        job: &ListedJob,
        row: &Work,
        call: i64,
    ) -> Result<Answered> {
        let verdict = Resolve {
            kind: row.kind,
            id: row.id,
            event: Event::Adopt { remote_id: self.remote_id.clone(), by: self.by.clone() },
            version: None,
            actor: self.actor.clone(),
            timing: self.timing,
        };
        let row = Some(adopt(tx, &verdict, Some(call)).await?);
        let (remote_id, credits) = (self.remote_id.clone(), job.credits);
        Ok(Answered { remote_id, became: Became::Adopted, credits, row, in_events: true })
    }

    /// Somebody else uses the account.
    async fn not_ours(&self, tx: &mut Tx<'_>, job: &ListedJob) -> Result<Answered> {
        let row = row_of(tx, job).await?;
        sqlx::query(
            "UPDATE listed_jobs SET answer = 'not_ours', answered_by = $1, answered_at = $2, \
             duplicate_of = NULL, reserved_by = NULL, \
             foreign_since = coalesce(foreign_since, $2) WHERE remote_id = $3",
        )
        .bind(&self.by)
        .bind(tx.now)
        .bind(&self.remote_id)
        .execute(tx.conn().await?)
        .await?;
        let (remote_id, credits) = (self.remote_id.clone(), job.credits);
        note_strangers(tx, &[Stranger { remote_id, credits, subject: None }]).await?;
        let note = format!("{} is somebody else's", self.remote_id);
        self.told(tx, job, row, note, Became::NotOurs).await
    }

    async fn told(
        &self,
        tx: &mut Tx<'_>,
        job: &ListedJob,
        row: Option<Work>,
        note: String,
        became: Became,
    ) -> Result<Answered> {
        let (row, in_events) = match row {
            Some(row) => {
                let event =
                    Event::Answered { remote_id: job.remote_id.clone(), note, by: self.by.clone() };
                let (row, in_events) = say(tx, &self.timing, &self.actor, row, event).await?;
                (Some(row), in_events)
            }
            None => (None, false),
        };
        let (remote_id, credits) = (self.remote_id.clone(), job.credits);
        Ok(Answered { remote_id, became, credits, row, in_events })
    }
}

/// A person says that a listed job is not this row's.
pub struct NotThis {
    /// The row's kind.
    pub kind: Kind,
    /// The row.
    pub id: Id,
    /// The vendor's name for the job.
    pub remote_id: String,
    /// The version of the row that it was said on, if it says so.
    pub version: Option<i64>,
    /// Who says so, and why, for the record.
    pub by: String,
    /// Who says so.
    pub actor: String,
    /// The configured durations.
    pub timing: Timing,
}

impl Write for NotThis {
    type Output = Answered;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Answered>> {
        Box::pin(async move {
            refuse_moved(tx, self.kind, self.id, self.version).await?;
            let job = listed(tx, &self.remote_id).await?;
            job.refuse_claimed()?;
            if let Some(answer) = &job.answer {
                return Err(StoreError::Refused(format!(
                    "what the vendor's {} is has been answered already: {}",
                    self.remote_id,
                    answer.replace('_', " ")
                )));
            }
            self.rule_out(tx).await?;
            let row = tx.load(self.kind, self.id).await?.work;
            let note = format!("{} is not this one's", self.remote_id);
            let (remote_id, by) = (self.remote_id.clone(), self.by.clone());
            let event = Event::Answered { remote_id, note, by };
            let (row, in_events) = say(tx, &self.timing, &self.actor, row, event).await?;
            let (remote_id, credits) = (self.remote_id.clone(), job.credits);
            let became = Became::NotThis;
            Ok(Answered { remote_id, became, credits, row: Some(row), in_events })
        })
    }
}

impl NotThis {
    /// It is this row's neither as candidate nor as duplicate; whose else it is, is found out anew.
    async fn rule_out(&self, tx: &mut Tx<'_>) -> Result<()> {
        sqlx::query(
            "INSERT INTO not_this (subject, remote_id, by, at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT DO NOTHING",
        )
        .bind(self.id.to_string())
        .bind(&self.remote_id)
        .bind(&self.by)
        .bind(tx.now)
        .execute(tx.conn().await?)
        .await?;
        for column in ["reserved_by", "duplicate_of"] {
            let sql = format!(
                "UPDATE listed_jobs SET {column} = NULL WHERE remote_id = $1 \
                 AND {column} IN (SELECT seq FROM intents WHERE subject = $2)"
            );
            sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind(&self.remote_id)
                .bind(self.id.to_string())
                .execute(tx.conn().await?)
                .await?;
        }
        Ok(())
    }
}

/// The row of the call that a job may be of.
async fn row_of(tx: &mut Tx<'_>, job: &ListedJob) -> Result<Option<Work>> {
    let (Some(subject), Some(kind)) = (&job.subject, job.kind.as_deref().and_then(Kind::parse))
    else {
        return Ok(None);
    };
    let id = rows::id(subject, super::table(kind))?;
    Ok(Some(tx.load(kind, id).await?.work))
}

/// Appends what was said to the row's events, unless it has ended; answers whether it did.
async fn say(
    tx: &mut Tx<'_>,
    timing: &Timing,
    actor: &str,
    row: Work,
    event: Event,
) -> Result<(Work, bool)> {
    if row.state.is_terminal() {
        return Ok((row, false));
    }
    let row = apply(tx, timing, actor, row.kind, row.id, event, Facts::default()).await?;
    Ok((row, true))
}

/// A job that calls without a job may have made is one of theirs; which one, the person says.
async fn refuse_unplaced(tx: &mut Tx<'_>, job: &ListedJob) -> Result<()> {
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT b.subject FROM ledger b JOIN intents i ON i.seq = b.intent \
         JOIN jobs j ON j.id = b.subject \
         WHERE b.outcome IN ('open','parked','absent') AND i.listed_seq < $1 \
         AND j.remote_id IS NULL AND j.state IN ('queued','submitting','in_doubt','attention') \
         AND NOT EXISTS (SELECT 1 FROM not_this n WHERE n.subject = j.id AND n.remote_id = $2) \
         ORDER BY b.subject LIMIT 5",
    )
    .bind(job.seq)
    .bind(&job.remote_id)
    .fetch_all(tx.reading().await?)
    .await?;
    match rows.as_slice() {
        [] => Ok(()),
        rows => Err(StoreError::Refused(format!(
            "whose the vendor's {} is has not been found out yet, and jobs of ours wait for theirs: \
             {}; name its row with `darkroom resolve ID --adopt {}`",
            job.remote_id,
            rows.join(", "),
            job.remote_id
        ))),
    }
}
