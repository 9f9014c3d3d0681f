//! Group commit: one connection writes, and whatever is waiting shares one transaction.
//!
//! Every caller gets its answer only after the commit is on disk. The writes of a batch run as one
//! piece of work, whose statements are shared ([`Tx`]). One that is refused before it has done
//! anything is left out; if one is refused later than that, the batch is rolled back and run again
//! one by one, each in a savepoint, so that it takes nothing of its neighbours with it.
//!
//! What a disk can do to it:
//!
//! - *Full* (SQLITE_FULL, from a statement or from the commit): the batch is rolled back and the
//!   writer goes on with a new connection. That is a decision on a failed commit, and it is safe:
//!   the frame that would have made the transaction valid is the last one written, and it was not;
//!   no process can see the transaction, and the next one writes over it. Should a crash bring
//!   frames back all the same, nothing has been sent on the strength of them: a row whose
//!   `StartSend` was refused is `queued`, or comes back as `submitting` and is then in doubt.
//! - *Anything else* in a commit, and any I/O error in a statement: nobody knows what the file
//!   holds, so the writer stops, and the process has to end and look again.
//! - *A failed sync in an automatic checkpoint* is not reported by SQLite, and need not be: what it
//!   was to copy stays in the log, and the next checkpoint writes all of it anew.

use super::tx::{Batch, Ref};
use super::{Fault, Result, StoreError, fault_of, open};
use crate::clock::Clock;
use crate::domain::ids::{Id, Millis};
use crate::domain::work::Kind;
use futures_util::future::BoxFuture;
use sqlx::{Connection, SqliteConnection};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::same_file::SameFile;
pub use super::tx::Tx;

/// Enough for every waiting caller of a busy moment to share one sync, small enough that the first
/// of them does not wait long.
const BATCH: usize = 256;
/// Callers beyond this wait to get in: back-pressure instead of memory.
const QUEUE: usize = 4096;

/// Something to write: it either succeeds whole or changes nothing.
pub trait Write: Send + 'static {
    /// What the caller learns after the commit.
    type Output: Send + 'static;
    /// Does the work inside the transaction; perhaps again, after a rollback of what it did before.
    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Self::Output>>;

    /// Rows that it is about, as far as it knows: those of a whole batch are read together.
    fn rows(&self) -> Vec<(Kind, Id)> {
        Vec::new()
    }

    /// Whether the database has to be the one at its path at this very moment, and not a second ago.
    fn needs_the_file(&self) -> bool {
        false
    }
}

/// Writes nothing: shows that a transaction can be had.
pub struct Nothing;

impl Write for Nothing {
    type Output = ();

    fn run<'a>(&'a self, _: &'a mut Tx<'_>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn needs_the_file(&self) -> bool {
        true
    }
}

/// A write whose output type is forgotten, so that different ones share a queue.
trait Task: Send {
    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Ran>;
    fn rows(&self) -> Vec<Ref>;
    fn needs_the_file(&self) -> bool;
    fn refuse(&mut self, error: StoreError);
    fn answer(self: Box<Self>, broken: Option<&Broken>);
}

/// How one write of a batch went.
enum Ran {
    /// It stands, if the commit does.
    Kept,
    /// It takes nothing with it.
    Refused,
    /// It takes the whole batch with it.
    Broken(Broken),
}

struct Pending<W: Write> {
    write: W,
    result: Option<Result<W::Output>>,
    reply: oneshot::Sender<Result<W::Output>>,
}

impl<W: Write + Sync> Task for Pending<W>
where
    W::Output: Sync,
{
    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Ran> {
        Box::pin(async move {
            let result = self.write.run(tx).await;
            if let Err(error) = &result
                && let Some(fault) = error.fault()
            {
                // Its own answer is that of the batch.
                return Ran::Broken(Broken::of(fault, error.to_string()));
            }
            let kept = result.is_ok();
            self.result = Some(result);
            if kept { Ran::Kept } else { Ran::Refused }
        })
    }

    fn rows(&self) -> Vec<Ref> {
        self.write.rows()
    }

    fn needs_the_file(&self) -> bool {
        self.write.needs_the_file()
    }

    fn refuse(&mut self, error: StoreError) {
        self.result = Some(Err(error));
    }

    fn answer(self: Box<Self>, broken: Option<&Broken>) {
        let result = match (broken, self.result) {
            (None, Some(result)) => result,
            // A refusal too: it may rest on what another write of the batch had done.
            (Some(Broken::Batch(why)), _) => Err(StoreError::RolledBack(why.clone())),
            (Some(Broken::Full(why)), _) => Err(StoreError::Full(why.clone())),
            (Some(Broken::Disk(why)), _) => Err(StoreError::Failed(why.clone())),
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
    stop: CancellationToken,
    disk: Arc<Disk>,
}

/// What the writer has seen of the disk.
#[derive(Default)]
struct Disk {
    /// How many batches found no room.
    times_full: AtomicU64,
    /// Cancelled, and the reason set, when storing failed.
    failed: CancellationToken,
    why: OnceLock<String>,
}

impl Disk {
    fn fail(&self, why: &str) {
        if self.why.set(why.to_owned()).is_ok() {
            tracing::error!("storing failed, so nothing more is decided: {why}");
        }
        self.failed.cancel();
    }
}

/// A writer that panics is one that cannot store: the daemon ends, and the next one recovers.
struct Panicked(Arc<Disk>);

impl Drop for Panicked {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("the writer panicked");
        }
    }
}

impl Writer {
    pub(super) fn start(path: PathBuf, clock: Arc<dyn Clock>) -> Self {
        let (queue, inbox) = mpsc::channel(QUEUE);
        let stop = CancellationToken::new();
        let disk = Arc::<Disk>::default();
        let task = tokio::spawn(run(path, clock, inbox, stop.clone(), disk.clone()));
        Self { queue, task: Arc::new(Mutex::new(Some(task))), stop, disk }
    }

    /// Stores `write` durably and answers what it returned.
    ///
    /// # Errors
    /// The write's own refusal (nothing changed), [`StoreError::Full`] when there was no room
    /// (nothing changed), or [`StoreError::Failed`] when the disk failed: it may still have
    /// happened, so the process has to end and look again.
    pub async fn write<W: Write + Sync>(&self, write: W) -> Result<W::Output>
    where
        W::Output: Sync,
    {
        let (reply, answer) = oneshot::channel();
        let pending = Pending { write, result: None, reply };
        let stopped = || match self.disk.why.get() {
            Some(why) => StoreError::Failed(why.clone()),
            None => StoreError::WriterStopped("it is shutting down".to_owned()),
        };
        self.queue.send(Box::new(pending)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Cancelled when storing failed: nothing may be decided on such a disk any more.
    pub fn failed(&self) -> &CancellationToken {
        &self.disk.failed
    }

    /// Why storing failed, if it has.
    pub fn failure(&self) -> Option<&str> {
        self.disk.why.get().map(String::as_str)
    }

    /// Ends all writing: something else that must be durable could not be made so.
    pub fn fail(&self, why: &str) {
        self.disk.fail(why);
    }

    /// How often there was no room so far.
    pub fn times_full(&self) -> u64 {
        self.disk.times_full.load(Ordering::Relaxed)
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
    stop: CancellationToken,
    disk: Arc<Disk>,
) {
    let _panicked = Panicked(disk.clone());
    let mut file = SameFile::at(&path);
    let mut conn = None;
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let first = tokio::select! {
            biased;
            () = disk.failed.cancelled() => 0,
            received = inbox.recv_many(&mut batch, BATCH) => received,
            // What is queued was accepted by nobody yet; it is answered "stopped" by being dropped.
            () = stop.cancelled() => 0,
        };
        if first == 0 {
            break;
        }
        let begun = Instant::now();
        let urgent = batch.iter().any(|task| task.needs_the_file());
        let outcome = match file.check(urgent) {
            Ok(()) => commit_batch(&path, &mut conn, &*clock, &mut batch).await,
            Err(why) => Err(Broken::Disk(why)),
        };
        if outcome.is_ok() {
            metrics::histogram!("darkroom_commit_duration_seconds")
                .record(begun.elapsed().as_secs_f64());
            let writes = u32::try_from(batch.len()).unwrap_or(u32::MAX);
            metrics::histogram!("darkroom_commit_writes").record(f64::from(writes));
        }
        // Before any answer: who hears of the failure must find it told to everybody.
        if let Err(broken) = &outcome {
            give_up(broken, &disk, &mut conn).await;
        }
        for task in batch.drain(..) {
            task.answer(outcome.as_ref().err());
        }
    }
    // Whoever still waits, or comes later, is answered at once.
    drop(inbox);
    if disk.failed.is_cancelled() {
        // The readers go first: see `close`.
        stop.cancelled().await;
    }
    close(conn).await;
}

/// A batch that went wrong takes its connection with it.
async fn give_up(broken: &Broken, disk: &Disk, slot: &mut Option<SqliteConnection>) {
    match broken {
        Broken::Batch(why) => tracing::warn!("a batch of writes was rolled back: {why}"),
        Broken::Full(why) => {
            disk.times_full.fetch_add(1, Ordering::Relaxed);
            tracing::warn!("there is no room, so a batch of writes was rolled back: {why}");
        }
        Broken::Disk(why) => disk.fail(why),
    }
    if let Some(mut conn) = slot.take() {
        // SQLite may have done it already; then this fails, harmlessly.
        let _ = sqlx::query("ROLLBACK").execute(&mut conn).await;
        match broken {
            Broken::Disk(_) => *slot = Some(conn),
            Broken::Batch(_) | Broken::Full(_) => close(Some(conn)).await,
        }
    }
}

/// Closing in an orderly way folds the log back if this is the last connection. After a failed sync
/// that is wanted: what was to be synced was rolled back and goes with the log, and the rest is
/// written anew elsewhere. A second sync of the same pages would prove nothing.
async fn close(conn: Option<SqliteConnection>) {
    if let Some(conn) = conn {
        let _ = Connection::close(conn).await;
    }
}

/// How a batch can go wrong as a whole, and why.
enum Broken {
    /// Before the commit: nothing happened.
    Batch(String),
    /// There was no room: nothing happened (the module's head says why that is certain enough).
    Full(String),
    /// The disk failed, or the commit for a reason of its own: it may have happened all the same.
    /// Never branch on it.
    Disk(String),
}

impl Broken {
    fn of(fault: Fault, why: String) -> Self {
        match fault {
            Fault::Full => Self::Full(why),
            Fault::Broken => Self::Disk(why),
        }
    }

    fn before_commit(error: &StoreError) -> Self {
        match error.fault() {
            Some(fault) => Self::of(fault, error.to_string()),
            None => Self::Batch(error.to_string()),
        }
    }

    fn in_commit(error: &sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code());
        let code: Option<i32> = code.and_then(|code| code.parse().ok());
        // Only a log that could not grow is "full" here. Its index grows after the commit frame
        // was written, so an error from there (IOERR_SHMSIZE) is one of those nobody can tell.
        match code.map(|code| code & 0xff) {
            Some(super::code::FULL) => Self::Full(error.to_string()),
            _ => Self::Disk(format!("a commit failed: {error}")),
        }
    }
}

impl From<sqlx::Error> for Broken {
    fn from(error: sqlx::Error) -> Self {
        match fault_of(&error) {
            Some(fault) => Self::of(fault, error.to_string()),
            None => Self::Batch(error.to_string()),
        }
    }
}

async fn commit_batch(
    path: &std::path::Path,
    slot: &mut Option<SqliteConnection>,
    clock: &dyn Clock,
    batch: &mut [Box<dyn Task>],
) -> std::result::Result<(), Broken> {
    let conn = match slot {
        Some(conn) => conn,
        None => {
            let opened = open::writing_connection(path).await;
            slot.insert(opened.map_err(|error| Broken::before_commit(&error))?)
        }
    };
    let kept = run_batch(conn, clock, batch).await?;
    if kept == 0 {
        sqlx::query("ROLLBACK").execute(conn).await?;
        return Ok(());
    }
    let done = sqlx::query("COMMIT").execute(conn).await;
    done.map(drop).map_err(|error| Broken::in_commit(&error))
}

/// Runs every write and counts those that stand.
async fn run_batch(
    conn: &mut SqliteConnection,
    clock: &dyn Clock,
    batch: &mut [Box<dyn Task>],
) -> std::result::Result<usize, Broken> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *conn).await?;
    let now = clock.now();
    if let Some(kept) = together(conn, now, batch).await? {
        return Ok(kept);
    }
    sqlx::query("ROLLBACK").execute(&mut *conn).await?;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *conn).await?;
    one_by_one(conn, clock.now(), batch).await
}

/// Runs the writes as one piece of work. `None` when one of them was refused after it had done
/// something, or when what was put off is refused: then nothing of it may stay.
async fn together(
    conn: &mut SqliteConnection,
    now: Millis,
    batch: &mut [Box<dyn Task>],
) -> std::result::Result<Option<usize>, Broken> {
    let mut known = Batch::default();
    let mut tx = Tx::new(conn, now, &mut known);
    if batch.len() > 1 {
        let rows: Vec<Ref> = batch.iter().flat_map(|task| task.rows()).collect();
        if let Err(error) = tx.prefetch(&rows).await {
            // A row that cannot be read is no concern of the others.
            return match error.fault() {
                Some(fault) => Err(Broken::of(fault, error.to_string())),
                None => Ok(None),
            };
        }
    }
    let mut kept = 0usize;
    for task in batch.iter_mut() {
        tx.begin_write();
        match task.run(&mut tx).await {
            Ran::Kept => kept += 1,
            Ran::Refused if tx.is_touched() => return Ok(None),
            Ran::Refused => {}
            Ran::Broken(broken) => return Err(broken),
        }
    }
    match tx.flush().await {
        Ok(()) => Ok(Some(kept)),
        Err(error) => match error.fault() {
            Some(fault) => Err(Broken::of(fault, error.to_string())),
            None => Ok(None),
        },
    }
}

/// Runs every write in its own savepoint, so that one that is refused takes nothing with it.
async fn one_by_one(
    conn: &mut SqliteConnection,
    now: Millis,
    batch: &mut [Box<dyn Task>],
) -> std::result::Result<usize, Broken> {
    let mut kept = 0usize;
    for task in batch.iter_mut() {
        sqlx::query("SAVEPOINT one").execute(&mut *conn).await?;
        let mut known = Batch::default();
        let mut tx = Tx::new(&mut *conn, now, &mut known);
        let stands = match task.run(&mut tx).await {
            Ran::Broken(broken) => return Err(broken),
            Ran::Refused => false,
            Ran::Kept => match tx.flush().await {
                Ok(()) => true,
                Err(error) => match error.fault() {
                    Some(fault) => return Err(Broken::of(fault, error.to_string())),
                    None => {
                        task.refuse(error);
                        false
                    }
                },
            },
        };
        if stands {
            kept += 1;
        } else {
            sqlx::query("ROLLBACK TO one").execute(&mut *conn).await?;
        }
        sqlx::query("RELEASE one").execute(&mut *conn).await?;
    }
    Ok(kept)
}
