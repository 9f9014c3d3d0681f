//! Group commit: one connection writes, and whatever is waiting shares one transaction.
//!
//! Every caller gets its answer only after the commit is on disk. A write that is refused is
//! rolled back to its savepoint and takes nothing of its neighbours with it.

use super::{Result, StoreError, open};
use crate::clock::Clock;
use crate::domain::ids::Millis;
use futures_util::future::BoxFuture;
use sqlx::{Connection, SqliteConnection};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Enough for every waiting caller of a busy moment to share one sync, small enough that the first
/// of them does not wait long.
const BATCH: usize = 256;
/// Callers beyond this wait to get in: back-pressure instead of memory.
const QUEUE: usize = 4096;

/// Where a write works: inside the shared transaction, at one moment.
pub struct Tx<'a> {
    /// The connection, inside `BEGIN IMMEDIATE`.
    pub conn: &'a mut SqliteConnection,
    /// The time of this transaction.
    pub now: Millis,
}

/// Something to write: it either succeeds whole or changes nothing.
pub trait Write: Send + 'static {
    /// What the caller learns after the commit.
    type Output: Send + 'static;
    /// Does the work inside the transaction.
    fn run<'a>(self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Self::Output>>;
}

/// Writes nothing: shows that a transaction can be had.
pub struct Nothing;

impl Write for Nothing {
    type Output = ();

    fn run<'a>(self, _: &'a mut Tx<'_>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

/// A write whose output type is forgotten, so that different ones share a queue.
trait Task: Send {
    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, std::result::Result<(), ()>>;
    fn answer(self: Box<Self>, broken: Option<&Broken>);
}

struct Pending<W: Write> {
    write: Option<W>,
    result: Option<Result<W::Output>>,
    reply: oneshot::Sender<Result<W::Output>>,
}

impl<W: Write + Sync> Task for Pending<W>
where
    W::Output: Sync,
{
    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, std::result::Result<(), ()>> {
        Box::pin(async move {
            let Some(write) = self.write.take() else {
                return Err(());
            };
            let result = write.run(tx).await;
            let kept = result.as_ref().map(|_| ()).map_err(|_| ());
            self.result = Some(result);
            kept
        })
    }

    fn answer(self: Box<Self>, broken: Option<&Broken>) {
        let result = match (broken, self.result) {
            (None, Some(result)) => result,
            // Refused writes were never part of the commit.
            (Some(_), Some(Err(error))) => Err(error),
            (Some(Broken::Batch(why)), _) => Err(StoreError::RolledBack(why.to_string())),
            (Some(Broken::Commit(why)), _) => Err(StoreError::WriterStopped(why.to_string())),
            (None, None) => Err(StoreError::WriterStopped("the write never ran".to_owned())),
        };
        // A caller that went away no longer wants the answer; the write stands.
        let _ = self.reply.send(result);
    }
}

/// Hands writes to the one writing connection.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Box<dyn Task>>,
    task: Arc<Mutex<Option<tokio::task::JoinHandle<()>>>>,
    stop: tokio_util::sync::CancellationToken,
    failed: tokio_util::sync::CancellationToken,
}

impl Writer {
    pub(super) fn start(path: PathBuf, clock: Arc<dyn Clock>) -> Self {
        let (queue, inbox) = mpsc::channel(QUEUE);
        let stop = tokio_util::sync::CancellationToken::new();
        let failed = tokio_util::sync::CancellationToken::new();
        let task = tokio::spawn(run(path, clock, inbox, stop.clone(), failed.clone()));
        Self { queue, task: Arc::new(Mutex::new(Some(task))), stop, failed }
    }

    /// Stores `write` durably and answers what it returned.
    ///
    /// # Errors
    /// The write's own refusal (nothing changed), or [`StoreError::WriterStopped`] when a commit
    /// failed: it may still have happened, so the process has to end and look again.
    pub async fn write<W: Write + Sync>(&self, write: W) -> Result<W::Output>
    where
        W::Output: Sync,
    {
        let (reply, answer) = oneshot::channel();
        let pending = Pending { write: Some(write), result: None, reply };
        let stopped = || StoreError::WriterStopped("it is shutting down".to_owned());
        self.queue.send(Box::new(pending)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Cancelled when a commit failed: nothing may be decided on such a database any more.
    pub fn failed(&self) -> &tokio_util::sync::CancellationToken {
        &self.failed
    }

    pub(super) async fn stop(&self) {
        self.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

async fn run(
    path: PathBuf,
    clock: Arc<dyn Clock>,
    mut inbox: mpsc::Receiver<Box<dyn Task>>,
    stop: tokio_util::sync::CancellationToken,
    failed: tokio_util::sync::CancellationToken,
) {
    let mut conn = None;
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let first = tokio::select! {
            biased;
            received = inbox.recv_many(&mut batch, BATCH) => received,
            // What is queued was accepted by nobody yet; it is answered "stopped" by being dropped.
            () = stop.cancelled() => 0,
        };
        if first == 0 {
            break;
        }
        let outcome = commit_batch(&path, &mut conn, &*clock, &mut batch).await;
        for task in batch.drain(..) {
            task.answer(outcome.as_ref().err());
        }
        match outcome {
            Ok(()) => {}
            // Nothing of it happened, whatever the reason; the next batch gets a new connection.
            Err(Broken::Batch(error)) => {
                tracing::warn!("a batch of writes was rolled back: {error}");
                conn = None;
            }
            Err(Broken::Commit(error)) => {
                tracing::error!("a commit failed, so the writer stops: {error}");
                failed.cancel();
                break;
            }
        }
    }
    if let Some(conn) = conn {
        let _ = Connection::close(conn).await;
    }
}

/// How a batch can go wrong as a whole.
enum Broken {
    /// Before the commit: nothing happened.
    Batch(StoreError),
    /// In the commit: it may have happened all the same. Never branch on it.
    Commit(StoreError),
}

async fn commit_batch(
    path: &std::path::Path,
    slot: &mut Option<SqliteConnection>,
    clock: &dyn Clock,
    batch: &mut [Box<dyn Task>],
) -> std::result::Result<(), Broken> {
    let conn = match slot {
        Some(conn) => conn,
        None => slot.insert(open::writing_connection(path).await.map_err(Broken::Batch)?),
    };
    let kept = run_batch(conn, clock, batch).await.map_err(Broken::Batch)?;
    if kept == 0 {
        let done = sqlx::query("ROLLBACK").execute(conn).await;
        return done.map(drop).map_err(|error| Broken::Batch(error.into()));
    }
    let done = sqlx::query("COMMIT").execute(conn).await;
    done.map(drop).map_err(|error| Broken::Commit(error.into()))
}

/// Runs every write in its own savepoint and counts those that stand.
async fn run_batch(
    conn: &mut SqliteConnection,
    clock: &dyn Clock,
    batch: &mut [Box<dyn Task>],
) -> Result<usize> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *conn).await?;
    let now = clock.now();
    let mut kept = 0usize;
    for task in batch.iter_mut() {
        sqlx::query("SAVEPOINT one").execute(&mut *conn).await?;
        if task.run(&mut Tx { conn: &mut *conn, now }).await.is_ok() {
            kept += 1;
        } else {
            sqlx::query("ROLLBACK TO one").execute(&mut *conn).await?;
        }
        sqlx::query("RELEASE one").execute(&mut *conn).await?;
    }
    Ok(kept)
}
