//! The database: the only SQL. One file, one writer in the daemon, readers beside it.
//!
//! - [`open`]: connections, pragmas read back, the lock that keeps a second daemon out
//! - [`apply`]: the one place that moves a row, appends its event and carries out the consequences
//! - [`submit`]: new work, all or nothing
//! - [`writer`]: group commit
//! - [`queries`]: what the engine reads
//! - [`lookup`]: what a command line refers to
//! - [`report`]: what the interfaces read
//! - [`audit`]: what a check from outside reads

pub mod apply;
pub mod audit;
pub mod cancel;
pub mod intents;
pub mod lookup;
pub mod open;
mod parents;
pub mod queries;
pub mod report;
pub mod retry;
pub mod rows;
pub mod settings;
pub mod submit;
pub mod writer;

#[cfg(test)]
mod tests;

use crate::domain::work::{Illegal, Kind};
use std::path::PathBuf;

pub use open::Store;

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
    /// The writer has stopped; what was asked is not stored.
    #[error("the database writer has stopped: {0}")]
    WriterStopped(String),
}

impl StoreError {
    /// Whether the same write may succeed a little later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::RolledBack(_) => true,
            Self::Sqlite(error) => error
                .as_database_error()
                .is_none_or(|error| !error.is_unique_violation() && !error.is_check_violation()),
            _ => false,
        }
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
