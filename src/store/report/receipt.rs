//! What somebody who orders work over HTTP gets back, from the transaction that stores it.

use super::super::once::{TrainOnce, Trained, UploadOnce, Uploaded};
use super::super::submit::Submission;
use super::super::writer::{Tx, Write};
use super::super::{Result, StoreError};
use super::{Noun, Time};
use crate::domain::ids::{Id, Millis};
use crate::domain::photo::{MAX_PHOTOS, MIN_PHOTOS};
use crate::domain::work::Kind;
use futures_util::future::BoxFuture;
use sqlx::AssertSqlSafe;

/// New work, and how it begins.
pub struct Receipted(pub Submission);

/// How new work begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Our id.
    pub id: Id,
    /// What it is.
    pub kind: Noun,
    /// Where it stands.
    pub state: String,
    /// When it was stored.
    pub created_at: Time,
}

impl Write for Receipted {
    type Output = Receipt;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Receipt>> {
        Box::pin(async move {
            let word = self.0.subject.0;
            let id = self.0.run(tx).await?.subject;
            let Some(kind) = Noun::parse(word) else {
                return Err(StoreError::Refused(format!("{word} is no kind of work")));
            };
            receipt(tx, kind, id).await
        })
    }

    fn rows(&self) -> Vec<(Kind, Id)> {
        self.0.rows()
    }
}

/// A photo that the model does not hold yet, and how it begins; anything else is refused.
pub struct ReceiptedUpload(pub UploadOnce);

impl Write for ReceiptedUpload {
    type Output = Receipt;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Receipt>> {
        Box::pin(async move {
            let refusal = match self.0.run(tx).await? {
                Uploaded::New(id) => return receipt(tx, Noun::Work(Kind::Upload), id).await,
                Uploaded::Before(held) => {
                    format!("the model holds exactly this photo already, as upload {}", held.id)
                }
                Uploaded::Full(held) => format!(
                    "the model holds {held} photos of this type and the vendor takes {MAX_PHOTOS}"
                ),
                Uploaded::Closed => {
                    "the model is in training or trained and takes no more training photos"
                        .to_owned()
                }
            };
            Err(StoreError::Refused(refusal))
        })
    }
}

/// The one training of a model, and how it begins; another one is refused.
pub struct ReceiptedTraining(pub TrainOnce);

impl Write for ReceiptedTraining {
    type Output = Receipt;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Receipt>> {
        Box::pin(async move {
            let refusal = match self.0.run(tx).await? {
                Trained::Begun(id) => return receipt(tx, Noun::Work(Kind::Training), id).await,
                Trained::Before(id) => {
                    format!("the model is in training or trained already: training {id}")
                }
                Trained::EndedBadly(id) => format!(
                    "training {id} of the model reached the vendor and ended without success; \
                     another one costs again: `darkroom retry {id}` or POST \
                     /v1/trainings/{id}/retry begins it"
                ),
                Trained::Photos(held) => format!(
                    "the model holds {held} training photos and the vendor trains on {MIN_PHOTOS} \
                     to {MAX_PHOTOS}"
                ),
            };
            Err(StoreError::Refused(refusal))
        })
    }
}

/// How a row begins, inside the transaction that stores it.
async fn receipt(tx: &mut Tx<'_>, kind: Noun, id: Id) -> Result<Receipt> {
    if let Noun::Work(work) = kind
        && let Some(new) = tx.new_row((work, id))
    {
        let state = new.state.as_str().to_owned();
        return Ok(Receipt { id, kind, state, created_at: Time(tx.now) });
    }
    let sql = match kind {
        Noun::Work(_) => format!("SELECT state, created_at FROM {} WHERE id = $1", kind.plural()),
        Noun::Run => "SELECT s.state, r.created_at FROM run_status s JOIN runs r ON r.id = s.id \
                      WHERE s.id = $1"
            .to_owned(),
    };
    let (state, created_at): (String, Millis) = sqlx::query_as(AssertSqlSafe(sql))
        .bind(id.to_string())
        .fetch_one(tx.reading().await?)
        .await?;
    Ok(Receipt { id, kind, state, created_at: Time(created_at) })
}
