//! Noticing that anybody has committed, without a connection: the first bytes of the log's index
//! (`-shm`, "WAL-Index header" in SQLite's `walformat`) hold a counter, sizes and checksums, and
//! every commit of every process changes them as its last step. Reading them is two system calls on
//! pages that are in memory.

use super::open::{companion, db_path};
use super::{Result, Store, StoreError};
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;

/// One copy of the header.
type Header = [u8; 48];

/// Sees commits, one's own included.
#[derive(Debug)]
pub struct Commits {
    path: PathBuf,
    /// Never closed while the file has its name: closing any descriptor of it would drop the locks
    /// that this process's connections hold on it.
    file: Option<ManuallyDrop<File>>,
    seen: Option<Header>,
}

impl Store {
    /// Sees every commit from now on.
    pub fn commits(&self) -> Commits {
        let path = companion(&db_path(self.data_dir()), "-shm");
        let mut commits = Commits { path, file: None, seen: None };
        // What cannot be read now counts as a change at the first look.
        let _ = commits.changed();
        commits
    }
}

impl Commits {
    /// Whether something may have been committed since the last look. A header that is being
    /// written, or a file that is not there, counts as a change: looking for nothing is harmless.
    ///
    /// # Errors
    /// What the system says; the next look counts as a change.
    pub fn changed(&mut self) -> Result<bool> {
        match self.header() {
            Ok(header) => {
                let changed = header.is_none() || header != self.seen;
                self.seen = header;
                Ok(changed)
            }
            Err(source) => {
                self.seen = None;
                Err(StoreError::Io { path: self.path.clone(), source })
            }
        }
    }

    /// The header; `None` when no connection is open, and the file therefore gone.
    fn header(&mut self) -> io::Result<Option<Header>> {
        // The last connection to close removes it, the next one makes a new one.
        if let Some(file) = &self.file
            && file.metadata()?.nlink() == 0
            && let Some(old) = self.file.take()
        {
            drop(ManuallyDrop::into_inner(old));
            self.seen = None;
        }
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(file) => self.file = Some(ManuallyDrop::new(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let Some(file) = &self.file else { return Ok(None) };
        let mut header = [0; size_of::<Header>()];
        match file.read_exact_at(&mut header, 0) {
            Ok(()) => Ok(Some(header)),
            // It is just being made.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::schedule::Timing;
    use crate::store::open::writing_connection;
    use crate::store::writer::Nothing;
    use sqlx::Connection as _;
    use std::sync::Arc;

    #[tokio::test]
    async fn every_commit_is_seen_once_also_when_the_index_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(7));
        let store = Store::open(dir.path(), clock, Timing::default()).await.unwrap();
        let mut other = writing_connection(&db_path(dir.path())).await.unwrap();
        let mut commits = store.commits();
        assert!(!commits.changed().unwrap());
        for n in 0..500 {
            sqlx::query("INSERT INTO boots (started_at, pid, version) VALUES ($1, 1, 'x')")
                .bind(n)
                .execute(&mut other)
                .await
                .unwrap();
            assert!(commits.changed().unwrap(), "commit {n}");
            assert!(!commits.changed().unwrap(), "nothing after commit {n}");
            if n % 100 == 50 {
                sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut other).await.unwrap();
                // Whether a log that begins anew counts is not ours to say.
                commits.changed().unwrap();
            }
        }
        store.newest_event().await.unwrap();
        store.writer().write(Nothing).await.unwrap();
        assert!(!commits.changed().unwrap(), "reading and an empty write are no commits");
        // Locks outlive the looks: the log is not reset under a reader, nor the index removed.
        other.close().await.unwrap();
        assert!(!commits.changed().unwrap());
        store.close().await;
        assert!(commits.changed().unwrap(), "no connection, no index");
        let other = writing_connection(&db_path(dir.path())).await.unwrap();
        assert!(commits.changed().unwrap(), "a new index is a change");
        assert!(!commits.changed().unwrap());
        other.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_database_behind_a_link_is_quiet_too() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = other.path().join("elsewhere.db");
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, db_path(dir.path())).unwrap();
        let clock = Arc::new(ManualClock::new(7));
        let store = Store::open(dir.path(), clock, Timing::default()).await.unwrap();
        let mut writer = writing_connection(&db_path(dir.path())).await.unwrap();
        let mut commits = store.commits();
        assert!(!commits.changed().unwrap(), "nothing was committed");
        let boot = "INSERT INTO boots (started_at, pid, version) VALUES (1, 1, 'x')";
        sqlx::query(boot).execute(&mut writer).await.unwrap();
        assert!(commits.changed().unwrap());
        writer.close().await.unwrap();
        store.close().await;
    }
}
