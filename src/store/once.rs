//! Work that must not be stored twice, however often a program asks for it: a model's training, and
//! the same photo of the same model. Looking and storing are one transaction.

use super::rows;
use super::submit::{NewModel, NewTraining, NewUpload, Submission};
use super::writer::{Tx, Write};
use super::{Result, StoreError};
use crate::clock::new_id;
use crate::domain::ids::{Id, Millis};
use crate::domain::photo::{MAX_PHOTOS, MIN_PHOTOS};
use crate::domain::request::UploadPurpose;
use futures_util::future::BoxFuture;
use sqlx::FromRow;

/// Trains a model, unless that has been asked for before.
#[derive(Clone, Debug)]
pub struct TrainOnce {
    /// Which model.
    pub model: Id,
    /// The model itself, when it is taken over with this request.
    pub import: Option<NewModel>,
    /// Who asks.
    pub actor: String,
}

/// What asking for a training came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trained {
    /// It is stored.
    Begun(Id),
    /// It was asked for before, and has not failed.
    Before(Id),
    /// An earlier one reached the vendor and ended without success: another one costs again, so
    /// only a person begins it.
    EndedBadly(Id),
    /// The model does not have 12 to 20 photos, but this many.
    Photos(usize),
}

#[derive(FromRow)]
struct Newest {
    id: String,
    state: String,
    accepted_at: Option<i64>,
}

impl Write for TrainOnce {
    type Output = Trained;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Trained>> {
        Box::pin(async move {
            let newest: Option<Newest> = sqlx::query_as(
                "SELECT id, state, accepted_at FROM trainings WHERE model_id = $1 \
                 AND retried_by IS NULL ORDER BY id DESC LIMIT 1",
            )
            .bind(self.model.to_string())
            .fetch_optional(tx.conn().await?)
            .await?;
            if let Some(newest) = newest {
                let id = rows::id(&newest.id, "trainings")?;
                match newest.state.as_str() {
                    "failed" | "cancelled" if newest.accepted_at.is_some() => {
                        return Ok(Trained::EndedBadly(id));
                    }
                    "failed" | "cancelled" => {}
                    _ => return Ok(Trained::Before(id)),
                }
            }
            let (imported, photos) = self.photos(tx).await?;
            // What an imported model holds, only the vendor knows.
            if !imported && !(MIN_PHOTOS..=MAX_PHOTOS).contains(&photos) {
                return Ok(Trained::Photos(photos));
            }
            let id = new_id();
            let mut submission = Submission::new(("training", id), &self.actor);
            submission.models.extend(self.import.clone());
            submission.training = Some(NewTraining { id, model: self.model });
            submission.run(tx).await?;
            Ok(Trained::Begun(id))
        })
    }
}

impl TrainOnce {
    /// Whether the model was taken over, and how many training photos it has or will have.
    async fn photos(&self, tx: &mut Tx<'_>) -> Result<(bool, usize)> {
        if self.import.is_some() {
            return Ok((true, 0));
        }
        let imported: Option<bool> =
            sqlx::query_scalar("SELECT imported FROM models WHERE id = $1")
                .bind(self.model.to_string())
                .fetch_optional(tx.conn().await?)
                .await?;
        let imported =
            imported.ok_or_else(|| StoreError::NotFound("model", self.model.to_string()))?;
        let held = held(tx, self.model, UploadPurpose::Training).await?;
        Ok((imported, held.len()))
    }
}

/// Stores a photo, unless the model holds it already.
#[derive(Clone, Debug)]
pub struct UploadOnce {
    /// The photo; its copy is kept already.
    pub upload: NewUpload,
    /// The model, when it is taken over with this request.
    pub import: Option<NewModel>,
    /// Who asks.
    pub actor: String,
}

/// What handing in a photo came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uploaded {
    /// It is stored.
    New(Id),
    /// The model holds exactly this photo for this purpose already.
    Before(Held),
    /// The model holds as many of this purpose as the vendor takes.
    Full(usize),
    /// The model is in training or trained: its set of photos is closed.
    Closed,
}

impl Write for UploadOnce {
    type Output = Uploaded;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Uploaded>> {
        Box::pin(async move {
            let held = held(tx, self.upload.model, self.upload.purpose).await?;
            let held_count = held.len();
            let same = held.iter().position(|photo| photo.sha256 == self.upload.sha256);
            if let Some(photo) = same.and_then(|at| held.into_iter().nth(at)) {
                return Ok(Uploaded::Before(photo));
            }
            let held = held_count;
            let training = self.upload.purpose == UploadPurpose::Training;
            if training && is_closed(tx, self.upload.model).await? {
                return Ok(Uploaded::Closed);
            }
            if held >= MAX_PHOTOS {
                return Ok(Uploaded::Full(held));
            }
            let id = self.upload.id;
            let mut submission = Submission::new(("upload", id), &self.actor);
            submission.models.extend(self.import.clone());
            submission.uploads.push(self.upload.clone());
            submission.run(tx).await?;
            Ok(Uploaded::New(id))
        })
    }
}

/// A photo of a model that is there or on its way.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Held {
    /// Its row.
    pub id: String,
    /// Hash of its content.
    pub sha256: String,
    /// Of the row.
    pub state: String,
    /// The vendor's id, once it has arrived.
    pub remote_id: Option<String>,
    /// Unix milliseconds.
    pub created_at: Millis,
    /// Unix milliseconds.
    pub updated_at: Millis,
}

async fn held(tx: &mut Tx<'_>, model: Id, purpose: UploadPurpose) -> Result<Vec<Held>> {
    Ok(sqlx::query_as(
        "SELECT id, sha256, state, remote_id, created_at, updated_at FROM uploads \
         WHERE model_id = $1 AND purpose = $2 \
         AND state NOT IN ('failed','cancelled') AND retried_by IS NULL \
         AND NOT EXISTS (SELECT 1 FROM changes c WHERE c.target = uploads.id \
           AND c.state NOT IN ('failed','cancelled')) ORDER BY id",
    )
    .bind(model.to_string())
    .bind(super::submit::purpose_word(purpose))
    .fetch_all(tx.conn().await?)
    .await?)
}

/// Whether a training that has not failed took the photos as they were.
async fn is_closed(tx: &mut Tx<'_>, model: Id) -> Result<bool> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM trainings WHERE model_id = $1 \
         AND state NOT IN ('failed','cancelled'))",
    )
    .bind(model.to_string())
    .fetch_one(tx.conn().await?)
    .await?)
}
