//! What somebody who orders work over HTTP gets back, from the transaction that stores it.

use super::super::submit::Submission;
use super::super::writer::{Tx, Write};
use super::super::{Result, StoreError};
use super::{Noun, Time};
use crate::domain::ids::{Id, Millis};
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

    fn run<'a>(self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Receipt>> {
        Box::pin(async move {
            let word = self.0.subject.0;
            let id = self.0.run(tx).await?.subject;
            let Some(kind) = Noun::parse(word) else {
                return Err(StoreError::Refused(format!("{word} is no kind of work")));
            };
            let sql = match kind {
                Noun::Work(_) => {
                    format!("SELECT state, created_at FROM {} WHERE id = $1", kind.plural())
                }
                Noun::Run => "SELECT s.state, r.created_at FROM run_status s \
                              JOIN runs r ON r.id = s.id WHERE s.id = $1"
                    .to_owned(),
            };
            let (state, created_at): (String, Millis) = sqlx::query_as(AssertSqlSafe(sql))
                .bind(id.to_string())
                .fetch_one(&mut *tx.conn)
                .await?;
            Ok(Receipt { id, kind, state, created_at: Time(created_at) })
        })
    }
}
