//! Whether the database at its path is still the file that is open. One that was moved, removed or
//! replaced meanwhile takes writes all the same, and whatever goes into it is lost to everybody else.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What says that a write may go into the open file is at most so old.
const FRESH: Duration = Duration::from_secs(1);

/// A database file as it was when it was opened.
pub(super) struct SameFile {
    path: PathBuf,
    /// Device and inode.
    opened: Option<(u64, u64)>,
    checked: Instant,
}

impl SameFile {
    /// The file that is at this path now.
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), opened: identity(path).ok(), checked: Instant::now() }
    }

    /// Whether it is there still, unless that was looked at a moment ago and is not `urgent`.
    ///
    /// # Errors
    /// A sentence for people.
    pub(super) fn check(&mut self, urgent: bool) -> Result<(), String> {
        if !urgent && self.checked.elapsed() < FRESH {
            return Ok(());
        }
        let is = identity(&self.path);
        if is.as_ref().ok() == self.opened.as_ref() {
            self.checked = Instant::now();
            return Ok(());
        }
        let what = match is {
            Ok(_) => "another file is there now".to_owned(),
            Err(error) => error.to_string(),
        };
        Err(format!(
            "{} is no longer the database that is open ({what}), so nothing more is accepted; stop what \
             replaces it, put the right file there, and start again",
            self.path.display()
        ))
    }
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Bench, one_job};
    use super::super::verdict_tests::PAID;
    use super::super::writer::Nothing;
    use super::super::{StoreError, open};
    use super::*;
    use crate::domain::work::Kind;

    #[track_caller]
    fn failed<T: std::fmt::Debug>(result: Result<T, StoreError>, words: &str) {
        match result {
            Err(StoreError::Failed(said)) if said.contains(words) => {}
            other => panic!("not failed with {words:?}: {other:?}"),
        }
    }

    #[tokio::test]
    async fn no_call_leaves_from_a_database_that_is_not_the_one_at_its_path() {
        let bench = Bench::new().await;
        let id = one_job(&bench).await;
        let path = open::db_path(bench.store.data_dir());
        let aside = path.with_extension("aside");
        std::fs::rename(&path, &aside).unwrap();
        std::fs::copy(&aside, &path).unwrap();
        failed(bench.send(Kind::Job, id, PAID).await, "another file is there now");
        // And nothing else is stored from then on.
        failed(bench.store.writer().write(Nothing).await, "no longer the database that is open");
    }

    #[tokio::test]
    async fn whether_the_database_takes_writes_says_that_it_is_gone() {
        let bench = Bench::new().await;
        bench.store.writer().write(Nothing).await.unwrap();
        std::fs::remove_file(open::db_path(bench.store.data_dir())).unwrap();
        failed(bench.store.writer().write(Nothing).await, "No such file");
    }

    #[test]
    fn what_was_looked_at_a_moment_ago_is_not_looked_at_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("darkroom.db");
        std::fs::write(&path, "one").unwrap();
        let mut same = SameFile::at(&path);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(same.check(false), Ok(()));
        same.checked -= FRESH;
        assert!(same.check(false).is_err(), "a second ago");
        assert!(same.check(true).is_err());
    }
}
