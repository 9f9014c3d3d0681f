//! Requests that a program may send twice: the same key and the same request bring the stored
//! reply, in one transaction with the work.

use super::Result;
use super::writer::{Tx, Write};
use crate::domain::ids::Id;
use crate::domain::work::Kind;
use futures_util::future::BoxFuture;
use serde_json::Value;

/// What was answered to a request.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredReply {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Value,
}

/// A program's key for one request.
#[derive(Clone, Debug)]
pub struct RequestKey {
    /// Whose keys: `gateway` or `api`; the command line has its own.
    pub scope: &'static str,
    /// The program's text.
    pub key: String,
    /// Hash of what was asked for.
    pub request_hash: String,
}

/// What became of a write under a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Keyed<T> {
    /// It was done now.
    Fresh(T),
    /// The same request came before, with this reply; nothing was done.
    Known(StoredReply),
    /// The key belongs to another request; nothing was done.
    Taken,
}

/// Makes the reply from what the write came to; without one, the key stays free.
pub type Answer<T> = Box<dyn Fn(&T) -> Option<StoredReply> + Send + Sync>;

/// A write that happens once per key. Without a key it is the write alone.
pub struct Once<W: Write> {
    /// The key, if the program gave one.
    pub key: Option<RequestKey>,
    /// The work.
    pub write: W,
    /// What is answered when it is done.
    pub reply: Answer<W::Output>,
}

impl<W> Write for Once<W>
where
    W: Write + Sync,
    W::Output: Sync,
{
    type Output = Keyed<W::Output>;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Self::Output>> {
        Box::pin(async move {
            let Some(key) = &self.key else {
                return Ok(Keyed::Fresh(self.write.run(tx).await?));
            };
            if let Some((hash, status, body)) = known(tx, key).await? {
                if hash != key.request_hash {
                    return Ok(Keyed::Taken);
                }
                let body = serde_json::from_str(&body).unwrap_or(Value::Null);
                return Ok(Keyed::Known(StoredReply { status, body }));
            }
            let done = self.write.run(tx).await?;
            if let Some(reply) = (self.reply)(&done) {
                remember(tx, key, &reply)?;
            }
            Ok(Keyed::Fresh(done))
        })
    }

    fn rows(&self) -> Vec<(Kind, Id)> {
        self.write.rows()
    }
}

async fn known(tx: &mut Tx<'_>, key: &RequestKey) -> Result<Option<(String, u16, String)>> {
    let put_off = tx.batch().replied.contains(&(key.scope, key.key.clone()));
    let conn = if put_off { tx.reading().await? } else { tx.aside() };
    Ok(sqlx::query_as(
        "SELECT request_hash, status, body FROM replies WHERE scope = $1 AND key = $2",
    )
    .bind(key.scope)
    .bind(&key.key)
    .fetch_optional(conn)
    .await?)
}

fn remember(tx: &mut Tx<'_>, key: &RequestKey, reply: &StoredReply) -> Result<()> {
    let (now, body) = (tx.now, reply.body.to_string());
    let row = (key.scope, &key.key, &key.request_hash, reply.status, body, now);
    tx.pending().replies.push(&row)?;
    tx.batch().replied.insert((key.scope, key.key.clone()));
    Ok(())
}

impl super::Store {
    /// What was answered under this key, with the hash of the request.
    ///
    /// # Errors
    /// A database error.
    pub async fn reply_to(&self, scope: &str, key: &str) -> Result<Option<(String, StoredReply)>> {
        let found: Option<(String, u16, String)> = sqlx::query_as(
            "SELECT request_hash, status, body FROM replies WHERE scope = $1 AND key = $2",
        )
        .bind(scope)
        .bind(key)
        .fetch_optional(self.readers())
        .await?;
        Ok(found.map(|(hash, status, body)| {
            let body = serde_json::from_str(&body).unwrap_or(Value::Null);
            (hash, StoredReply { status, body })
        }))
    }
}
