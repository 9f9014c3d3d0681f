//! What new work has to wait for.

use super::rows;
use super::writer::Tx;
use super::{Result, StoreError};
use crate::domain::ids::Id;
use crate::domain::request::{JobRequest, ModelRef};
use crate::domain::work::{Kind, State};

/// Notes the parents that are not there yet and counts them.
///
/// # Errors
/// [`StoreError::Refused`] when a parent has ended without success: nothing would ever come.
pub(super) async fn link_parents(
    tx: &mut Tx<'_>,
    child: Id,
    kind: Kind,
    parents: &[(Kind, Id)],
) -> Result<u32> {
    let mut open = 0;
    for (parent_kind, parent) in parents {
        let work = tx.load(*parent_kind, *parent).await?.work;
        if work.satisfies_dependants() {
            continue;
        }
        if work.state.is_terminal() {
            return Err(StoreError::Refused(format!(
                "the {parent_kind} {parent} that this needs has {}; `darkroom retry {parent}` \
                 starts it anew",
                match work.state {
                    State::Cancelled { .. } => "been cancelled",
                    _ => "failed",
                }
            )));
        }
        let added = sqlx::query(
            "INSERT INTO dependencies (child, child_kind, parent, parent_kind) \
             VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(child.to_string())
        .bind(kind.as_str())
        .bind(parent.to_string())
        .bind(parent_kind.as_str())
        .execute(tx.conn().await?)
        .await?;
        open += u32::try_from(added.rows_affected()).unwrap_or(u32::MAX);
    }
    Ok(open)
}

/// What a job's request refers to, as rows that have to be there first.
pub(super) async fn job_parents(tx: &mut Tx<'_>, request: &JobRequest) -> Result<Vec<(Kind, Id)>> {
    let mut parents: Vec<(Kind, Id)> =
        request.jobs_referred_to().into_iter().map(|job| (Kind::Job, job)).collect();
    parents.extend(request.uploads_referred_to().into_iter().map(|upload| (Kind::Upload, upload)));
    if let JobRequest::Image(image) = request
        && let ModelRef::Trained(model) = image.model
    {
        parents.push(trained_parent(tx, model).await?);
    }
    Ok(parents)
}

/// What makes a trained model usable: its newest training, else the model itself.
async fn trained_parent(tx: &mut Tx<'_>, model: Id) -> Result<(Kind, Id)> {
    if let Some(known) = tx.batch().usable.get(&model) {
        return Ok(*known);
    }
    let found: Option<(Option<String>, bool, Option<String>)> = sqlx::query_as(
        "SELECT remote_status, imported, (SELECT id FROM trainings WHERE model_id = models.id \
         AND retried_by IS NULL ORDER BY id DESC LIMIT 1) FROM models WHERE id = $1",
    )
    .bind(model.to_string())
    .fetch_optional(tx.reading().await?)
    .await?;
    let Some((status, imported, training)) = found else {
        return Err(StoreError::NotFound("model", model.to_string()));
    };
    let usable = match training {
        _ if status.as_deref() == Some("ready") => (Kind::Model, model),
        Some(training) => (Kind::Training, rows::id(&training, "trainings")?),
        None if imported && status.is_none() => (Kind::Model, model),
        None => {
            return Err(StoreError::Refused(format!(
                "model {model} is not trained; `darkroom train --model {model} --images DIR` \
                 trains it"
            )));
        }
    };
    tx.batch().usable.insert(model, usable);
    Ok(usable)
}
