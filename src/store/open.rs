//! Opening the file: pragmas read back, migrations, the lock, readers.

use super::writer::Writer;
use super::{Fault, Result, StoreError};
use crate::clock::Clock;
use crate::domain::schedule::Timing;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a writer waits for another one: a CLI beside the daemon, never a network call.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Readers beside the writer; enough for the engine, the API and a few commands.
const READERS: u32 = 4;
/// Pages that one reader keeps to itself, as SQLite counts: minus KiB.
const READER_CACHE: &str = "-512";
/// A reader that nobody has needed for this long is closed.
/// The engine looks every minute at the latest: its one does not come and go.
const READER_IDLE: Duration = Duration::from_secs(150);
/// What brings the schema up to date.
static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");
/// A command that only looks whether a daemon runs may hold the lock for an instant.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// The database of one data directory.
#[derive(Clone)]
pub struct Store {
    readers: SqlitePool,
    writer: Writer,
    clock: Arc<dyn Clock>,
    timing: Timing,
    data_dir: PathBuf,
    /// Whether the file is read as it lies there, without a log.
    frozen: bool,
}

/// Proof that this process is the only daemon on a data directory; freed by its end, however.
pub struct DaemonLock {
    _files: Vec<File>,
}

/// The file of a data directory.
pub fn db_path(data_dir: &Path) -> PathBuf {
    data_dir.join("darkroom.db")
}

/// A file of SQLite's beside the database: the log (`-wal`) or its index (`-shm`). They are beside the
/// file itself, not beside a link to it.
pub(super) fn companion(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.canonicalize().unwrap_or_else(|_| path.to_owned()).into_os_string();
    path.push(suffix);
    path.into()
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> StoreError + '_ {
    move |source| StoreError::Io { path: path.to_path_buf(), source }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // A commit here guards money: it is on disk when it returns.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .optimize_on_close(false, None)
        .disable_statement_logging()
}

/// A connection that may write, its settings read back.
pub(super) async fn writing_connection(path: &Path) -> Result<SqliteConnection> {
    let mut conn = SqliteConnection::connect_with(&options(path)).await?;
    assert_pragmas(&mut conn).await?;
    Ok(conn)
}

/// Two well-known peers believe they run WAL or FULL and do not: ask.
async fn assert_pragmas(conn: &mut SqliteConnection) -> Result<()> {
    let (journal, synchronous, foreign, version): (String, i64, i64, String) = sqlx::query_as(
        "SELECT journal_mode, synchronous, foreign_keys, sqlite_version() \
         FROM pragma_journal_mode, pragma_synchronous, pragma_foreign_keys",
    )
    .fetch_one(conn)
    .await?;
    if journal != "wal" {
        return Err(StoreError::Pragma(format!("journal_mode = wal (it says {journal})")));
    }
    if synchronous != 2 {
        return Err(StoreError::Pragma(format!("synchronous = FULL (it says {synchronous})")));
    }
    if foreign != 1 {
        return Err(StoreError::Pragma("foreign_keys = on".to_owned()));
    }
    let parts: Vec<u32> = version.split('.').filter_map(|part| part.parse().ok()).collect();
    if parts.as_slice() < [3, 51, 3].as_slice() {
        return Err(StoreError::Pragma(format!(
            "version >= 3.51.3 (this is {version}; older ones can corrupt a WAL)"
        )));
    }
    Ok(())
}

/// Creates the data directory (mode 0700) if it is not there.
///
/// # Errors
/// [`StoreError::Io`] naming the folder.
pub fn create_data_dir(data_dir: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(io(data_dir))
}

/// Takes the data directory for this daemon.
///
/// # Errors
/// [`StoreError::Locked`] when another daemon has it.
pub fn lock_for_daemon(data_dir: &Path) -> Result<DaemonLock> {
    create_data_dir(data_dir)?;
    // The database file too: another data directory may lead to it by a link.
    let files = [data_dir.join("darkroom.lock"), db_path(data_dir)]
        .iter()
        .map(|path| lock_file(path, data_dir))
        .collect::<Result<Vec<_>>>()?;
    Ok(DaemonLock { _files: files })
}

fn lock_file(path: &Path, data_dir: &Path) -> Result<File> {
    let file = open_private(path)?;
    let deadline = std::time::Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if std::time::Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked(data_dir.to_path_buf()));
            }
            Err(TryLockError::Error(source)) => {
                return Err(StoreError::Io { path: path.to_path_buf(), source });
            }
        }
    }
}

fn open_private(path: &Path) -> Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(io(path))
}

/// Whether a daemon runs on this data directory right now.
pub fn daemon_is_running(data_dir: &Path) -> bool {
    let Ok(file) = File::open(data_dir.join("darkroom.lock")) else {
        return false;
    };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

impl Store {
    /// Opens (and creates or migrates) the database of `data_dir`.
    ///
    /// # Errors
    /// Any of [`StoreError`]; nothing is half-migrated.
    pub async fn open(data_dir: &Path, clock: Arc<dyn Clock>, timing: Timing) -> Result<Self> {
        create_data_dir(data_dir)?;
        let path = db_path(data_dir);
        // Nothing is written where nothing is to be changed: reading works on a full disk too.
        let (readers, frozen) = match look_at(&path).await? {
            Found::Current(readers) => (readers, false),
            Found::Frozen(readers) => (readers, true),
            Found::Old => {
                migrate(data_dir, &path).await?;
                (readers_of(&path, false), false)
            }
        };
        let writer = Writer::start(path, clock.clone());
        Ok(Self { readers, writer, clock, timing, data_dir: data_dir.to_path_buf(), frozen })
    }

    /// Opens the database only if there is one.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_existing(
        data_dir: &Path,
        clock: Arc<dyn Clock>,
        timing: Timing,
    ) -> Result<Option<Self>> {
        if !db_path(data_dir).is_file() {
            return Ok(None);
        }
        Self::open(data_dir, clock, timing).await.map(Some)
    }

    /// The same database with readers of its own: whoever asks much over HTTP must not keep the
    /// engine from reading.
    pub fn with_own_readers(&self) -> Self {
        Self { readers: readers_of(&db_path(&self.data_dir), self.frozen), ..self.clone() }
    }

    /// Closes the readers only.
    pub async fn close_readers(&self) {
        self.readers.close().await;
    }

    /// Read-only connections.
    pub fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// The group-commit writer.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// The clock that every stored time comes from.
    pub fn now(&self) -> i64 {
        self.clock.now()
    }

    /// The configured durations.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// The folder that everything lives in.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Folds the write-ahead log back into the database, as far as readers allow.
    ///
    /// # Errors
    /// A database error.
    pub async fn checkpoint(&self) -> Result<()> {
        let mut conn = writing_connection(&db_path(&self.data_dir)).await?;
        sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut conn).await?;
        conn.close().await?;
        Ok(())
    }

    /// Closes the readers, and the writer after what is queued.
    pub async fn close(&self) {
        // The writer last: the last connection of all folds the log back into the database.
        self.readers.close().await;
        self.writer.stop().await;
    }
}

/// Connections for reading; each is opened when it is first needed.
fn readers_of(path: &Path, frozen: bool) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(frozen)
        .busy_timeout(BUSY_TIMEOUT)
        .optimize_on_close(false, None)
        .disable_statement_logging()
        // Many short questions: the kernel keeps the file's pages, once for all connections.
        .pragma("cache_size", READER_CACHE);
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .min_connections(0)
        .idle_timeout(READER_IDLE)
        // Whoever asks all the time keeps its connection.
        .max_lifetime(None)
        // A file does not hang up.
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

/// Brings the schema up to date.
async fn migrate(data_dir: &Path, path: &Path) -> Result<()> {
    // Created by us, so that nobody else can read it from the first byte on.
    create_private_file(path)?;
    // Two processes that meet an empty folder must not both migrate it.
    let turn = open_private(&data_dir.join("darkroom.migrate.lock"))?;
    turn.lock().map_err(io(data_dir))?;
    let mut conn = writing_connection(path).await?;
    MIGRATIONS.run(&mut conn).await?;
    conn.close().await?;
    drop(turn);
    Ok(())
}

/// What there is before anything is changed. Each connection reads the whole schema, which takes
/// milliseconds: the one that looked stays, as the first reader.
enum Found {
    /// In WAL mode, with just our migrations.
    Current(SqlitePool),
    /// The same, but there is no room for the log's index, which every reader needs. With nobody
    /// writing and no log left, the file alone is the database.
    Frozen(SqlitePool),
    /// Nothing yet, or something for the migrator.
    Old,
}

/// Looks at the file. Somebody else's database is neither migrated nor changed in any other way.
async fn look_at(path: &Path) -> Result<Found> {
    if std::fs::metadata(path).map_or(0, |file| file.len()) == 0 {
        return Ok(Found::Old);
    }
    let readers = readers_of(path, false);
    let error = match is_current(path, &readers, false).await {
        Ok(true) => return Ok(Found::Current(readers)),
        Ok(false) => {
            readers.close().await;
            return Ok(Found::Old);
        }
        Err(error) => error,
    };
    readers.close().await;
    if error.fault() == Some(Fault::Full) && nobody_writes(path) {
        let frozen = readers_of(path, true);
        // A log that went on after all brings back the first error.
        if let Ok(true) = is_current(path, &frozen, true).await {
            return Ok(Found::Frozen(frozen));
        }
        frozen.close().await;
    }
    Err(error)
}

/// Whether there is no log to read and no daemon that could begin one.
fn nobody_writes(path: &Path) -> bool {
    std::fs::metadata(companion(path, "-wal")).map_or(0, |log| log.len()) == 0
        && path.parent().is_some_and(|data_dir| !daemon_is_running(data_dir))
}

async fn is_current(path: &Path, readers: &SqlitePool, frozen: bool) -> Result<bool> {
    let mut conn = readers.acquire().await?;
    let (ours, journal): (bool, String) = sqlx::query_as(
        "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations') \
         OR NOT EXISTS (SELECT 1 FROM sqlite_master), journal_mode FROM pragma_journal_mode",
    )
    .fetch_one(&mut *conn)
    .await?;
    if !ours {
        return Err(StoreError::Refused(format!(
            "{} is a database of another program; name another folder with --data-dir",
            path.display()
        )));
    }
    // Anything but a plain yes is left to the migrator, which knows what to say.
    let applied: Result<Vec<(i64, Vec<u8>, bool)>, _> =
        sqlx::query_as("SELECT version, checksum, success FROM _sqlx_migrations ORDER BY version")
            .fetch_all(&mut *conn)
            .await;
    let ours = MIGRATIONS.iter().map(|ours| (ours.version, ours.checksum.to_vec(), true));
    // Without its log a file does not know its mode.
    Ok((frozen || journal == "wal") && applied.is_ok_and(|applied| ours.eq(applied)))
}

/// Makes an empty private file where there is none; an existing one is left as it is.
///
/// The file must not be opened and closed here once SQLite has it open: closing any descriptor of
/// it would drop the process's POSIX locks.
fn create_private_file(path: &Path) -> Result<()> {
    if path.exists() { Ok(()) } else { open_private(path).map(drop) }
}
