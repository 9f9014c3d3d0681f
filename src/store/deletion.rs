//! Deleting at the vendor: what may go, and what something still needs.

use super::apply::{Facts, apply};
use super::submit::{NewChange, Submission, Target};
use super::writer::{Tx, Write};
use super::{Result, StoreError};
use crate::clock::new_id;
use crate::domain::event::Event;
use crate::domain::ids::Id;
use crate::domain::schedule::Timing;
use crate::domain::work::{Kind, State};
use futures_util::future::BoxFuture;

/// How many trainings, jobs and uploads that belong to a model have not ended.
pub(super) const OPEN_WORK: &str = "SELECT (SELECT count(*) FROM trainings WHERE model_id = $1 AND finished_at IS NULL) \
     + (SELECT count(*) FROM jobs WHERE model_id = $1 AND finished_at IS NULL) \
     + (SELECT count(*) FROM uploads WHERE model_id = $1 AND finished_at IS NULL)";

/// Deletes a photo or an output: one that never left ends here, the others at the vendor.
#[derive(Clone, Debug)]
pub struct DeleteMedia {
    /// Which one.
    pub target: Target,
    /// Who asks.
    pub actor: String,
    /// The configured durations.
    pub timing: Timing,
}

impl Write for DeleteMedia {
    /// Whether there was anything to delete.
    type Output = bool;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let (kind, id) = self.target.row();
            let work = tx.load(kind, id).await?.work;
            match work.state {
                State::Failed { .. } | State::Cancelled { .. } => return Ok(false),
                State::Waiting { .. } | State::Queued { .. } if kind == Kind::Upload => {
                    refuse_needed(tx, self.target).await?;
                    let event = Event::CancelRequested;
                    let facts = Facts::default();
                    apply(tx, &self.timing, &self.actor, kind, id, event, facts).await?;
                    return Ok(true);
                }
                _ => {}
            }
            if is_going(tx, id).await? {
                return Ok(true);
            }
            let change = new_id();
            let mut submission = Submission::new(("change", change), &self.actor);
            submission.changes.push(NewChange { id: change, target: self.target, fields: None });
            submission.run(tx).await?;
            Ok(true)
        })
    }
}

/// Whether its deletion is asked for or done already.
async fn is_going(tx: &mut Tx<'_>, id: Id) -> Result<bool> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM changes WHERE target = $1 AND action = 'delete' \
         AND state NOT IN ('failed','cancelled'))",
    )
    .bind(id.to_string())
    .fetch_one(tx.conn().await?)
    .await?)
}

/// Refuses to delete what accepted work still needs.
///
/// # Errors
/// [`StoreError::Refused`] with what needs it.
pub(super) async fn refuse_needed(tx: &mut Tx<'_>, target: Target) -> Result<()> {
    let (kind, id) = target.row();
    if kind == Kind::Model {
        return refuse_busy_model(tx, id).await;
    }
    // A request names rows by their ids. What the vendor works on has been sent already.
    let job: Option<String> = sqlx::query_scalar(
        "SELECT id FROM jobs WHERE finished_at IS NULL \
         AND state IN ('waiting','queued','submitting','in_doubt') \
         AND instr(request, $1) > 0 LIMIT 1",
    )
    .bind(id.to_string())
    .fetch_optional(tx.conn().await?)
    .await?;
    if let Some(job) = job {
        return Err(StoreError::Refused(format!(
            "the job {job} still needs it: wait for that job or cancel it first"
        )));
    }
    let training: Option<String> = sqlx::query_scalar(
        "SELECT t.id FROM uploads u JOIN trainings t ON t.model_id = u.model_id \
         WHERE u.id = $1 AND u.purpose = 'training' AND t.finished_at IS NULL LIMIT 1",
    )
    .bind(id.to_string())
    .fetch_optional(tx.conn().await?)
    .await?;
    match training {
        Some(training) => Err(StoreError::Refused(format!(
            "the training {training} still needs it: wait for that training"
        ))),
        None => Ok(()),
    }
}

async fn refuse_busy_model(tx: &mut Tx<'_>, model: Id) -> Result<()> {
    let open: i64 =
        sqlx::query_scalar(OPEN_WORK).bind(model.to_string()).fetch_one(tx.conn().await?).await?;
    if open == 0 {
        return Ok(());
    }
    Err(StoreError::Refused(format!(
        "the model has work under way ({open} in all): cancel it first, or wait for it"
    )))
}
