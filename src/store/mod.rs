//! The database: the only SQL. One file, one writer in the daemon, readers beside it.
//!
//! - [`open`]: connections, pragmas read back, the lock that keeps a second daemon out
//! - [`apply`]: the one place that moves a row, appends its event and carries out the consequences
//! - [`submit`]: new work, all or nothing
//! - [`idempotency`]: the same request twice, over HTTP
//! - [`writer`]: group commit; `tx`, `pending`: what a batch knows and puts off
//! - [`intents`], [`listing`]: calls, looks, and the vendor's job list; [`doubt`]: what of it is
//!   evidence about calls without a job; `ledger`: what calls came to
//! - [`verdict`], [`answers`]: a person's word about rows, and about jobs that no row claims
//! - [`quarantine`], [`gap`]: what keeps a database closed, and what becomes of its orders then
//! - [`queries`]: what the engine reads
//! - [`notice`], [`announce`]: that anybody has committed, and when to look for it
//! - [`lookup`]: what a command line refers to
//! - [`deletion`]: what may be deleted at the vendor
//! - [`once`]: work that must not be stored twice, however often it is asked for
//! - [`served`]: what the gateway shows
//! - [`report`]: what the interfaces read
//! - [`audit`]: what a check from outside reads

pub mod announce;
pub mod answers;
pub mod apply;
pub mod audit;
pub mod cancel;
pub mod chain;
pub mod deletion;
pub mod doubt;
mod durations;
pub mod gap;
pub mod idempotency;
pub mod intents;
mod ledger;
pub mod listing;
pub mod lookup;
pub mod notice;
pub mod once;
pub mod open;
mod parents;
mod pending;
pub mod quarantine;
pub mod queries;
pub mod report;
pub mod retry;
pub mod rows;
mod same_file;
pub mod served;
pub mod settings;
pub mod submit;
mod tx;
pub mod verdict;
pub mod waking;
pub mod writer;

#[cfg(test)]
mod attention_tests;
#[cfg(test)]
mod batch_tests;
#[cfg(test)]
mod book_tests;
#[cfg(test)]
mod chain_tests;
#[cfg(test)]
mod money_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod verdict_tests;

use crate::domain::work::{Illegal, Kind};
use std::io::ErrorKind;
use std::path::PathBuf;

pub use open::Store;

/// What Linux says when a device cannot do what it was asked.
const EIO: i32 = 5;

/// What can go wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite or the driver refused.
    #[error("database: {0}")]
    Sqlite(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("database schema: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The event does not fit the row's state any more; nothing was written.
    #[error(transparent)]
    Illegal(#[from] Illegal),
    /// No such row.
    #[error("there is no {0} {1}")]
    NotFound(&'static str, String),
    /// The request contradicts what is stored; nothing was written.
    #[error("{0}")]
    Refused(String),
    /// A row that the code cannot read: the file was changed by something else.
    #[error("table {table}, row {row}: {problem}")]
    Corrupt {
        /// Which table.
        table: &'static str,
        /// Which row.
        row: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Another daemon holds the data directory.
    #[error(
        "another darkroom daemon is running on {0}; stop it first, or give this one another \
         --data-dir"
    )]
    Locked(PathBuf),
    /// Reading or writing beside the database failed.
    #[error("{path}: {source}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A setting of the connection did not take.
    #[error("SQLite did not take the setting {0}; the daemon does not run without it")]
    Pragma(String),
    /// The transaction could not be had or was rolled back: nothing was stored, trying again may
    /// succeed.
    #[error("the database is busy or cannot be written: {0}")]
    RolledBack(String),
    /// There is no room for it: nothing was stored, trying again succeeds once there is.
    #[error("the disk of the data directory is full: {0}")]
    Full(String),
    /// The writer has stopped; what was asked is not stored.
    #[error("the database writer has stopped: {0}")]
    WriterStopped(String),
    /// A commit or a sync failed: whether it is stored, only the next start can tell.
    #[error("storing failed: {0}")]
    Failed(String),
}

/// What an error says about the disk below the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No room: nothing was stored, and it heals by itself.
    Full,
    /// Reading, writing or syncing failed: nothing may be decided on such a disk any more.
    Broken,
}

/// SQLite's primary and extended result codes that matter here (sqlite.org/rescode.html).
mod code {
    pub(super) const FULL: i32 = 13;
    pub(super) const IOERR: i32 = 10;
    /// The index of the log could not grow: the same as full, as it is tried by writing to it.
    pub(super) const IOERR_SHMSIZE: i32 = 4874;
}

/// What a driver's error says about the disk; see [`Fault`].
pub(crate) fn fault_of(error: &sqlx::Error) -> Option<Fault> {
    let code = error.as_database_error()?.code()?.parse::<i32>().ok()?;
    match (code, code & 0xff) {
        (code::IOERR_SHMSIZE, _) | (_, code::FULL) => Some(Fault::Full),
        (_, code::IOERR) => Some(Fault::Broken),
        _ => None,
    }
}

impl StoreError {
    /// Whether the same write may succeed a little later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::RolledBack(_) | Self::Full(_) => true,
            Self::Sqlite(error) => error
                .as_database_error()
                .is_none_or(|error| !error.is_unique_violation() && !error.is_check_violation()),
            _ => false,
        }
    }

    /// What it says about the disk, if it says anything.
    pub fn fault(&self) -> Option<Fault> {
        use sqlx::migrate::MigrateError::{Execute, ExecuteMigration};
        match self {
            Self::Full(_) => Some(Fault::Full),
            Self::Failed(_) => Some(Fault::Broken),
            Self::Sqlite(error) | Self::Migrate(Execute(error) | ExecuteMigration(error, _)) => {
                fault_of(error)
            }
            Self::Io { source, .. } => match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some(Fault::Full),
                _ => (source.raw_os_error() == Some(EIO)).then_some(Fault::Broken),
            },
            _ => None,
        }
    }

    /// Whether this process stores nothing any more.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::WriterStopped(_))
    }

    /// Whether another row holds what this one was to get.
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Sqlite(error)
            if error.as_database_error().is_some_and(|error| error.is_unique_violation()))
    }
}

/// Shorthand of this module.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// The table of a kind.
pub(crate) fn table(kind: Kind) -> &'static str {
    match kind {
        Kind::Model => "models",
        Kind::Upload => "uploads",
        Kind::Training => "trainings",
        Kind::Job => "jobs",
        Kind::Output => "outputs",
        Kind::Change => "changes",
    }
}
