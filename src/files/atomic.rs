//! Files that are either complete and durable under their final name, or absent.
//!
//! Bytes go to a temp file in `<folder>/.tmp`; finishing syncs it, renames it and syncs the folder.
//! A temp file is locked while its writer lives, and the kernel drops the lock with the process, so
//! [`clean_leftovers`] can tell a leftover from work in progress without looking at any clock.

use sha2::{Digest as _, Sha256};
use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use tempfile::TempPath;

/// Where temp files live below the folder they are made for: the same filesystem, out of sight.
const TEMP_DIR: &str = ".tmp";

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where the file is now.
    pub path: PathBuf,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the content in lower-case hex.
    pub sha256: String,
}

/// A file on its way to disk, for async callers. Dropped unfinished, it leaves nothing behind.
#[derive(Debug)]
pub struct AtomicFile {
    /// `None` after a write that failed or whose future was dropped: what is on disk is then
    /// unknown, so the file can only be given up.
    staged: Option<StagedFile>,
}

impl AtomicFile {
    /// Starts a file that will end up in `folder` or below it. Creates the folder if needed.
    pub async fn create(folder: &Path) -> io::Result<Self> {
        let folder = folder.to_owned();
        let staged = blocking(move || StagedFile::create(&folder)).await?;
        Ok(Self { staged: Some(staged) })
    }

    /// Appends a chunk. After an error, or if the returned future is dropped before it is done,
    /// the file cannot be finished any more.
    pub async fn write_chunk(
        &mut self,
        chunk: impl AsRef<[u8]> + Send + 'static,
    ) -> io::Result<()> {
        let mut staged = self.take()?;
        let write = move || staged.write(chunk.as_ref()).map(|()| staged);
        self.staged = Some(blocking(write).await?);
        Ok(())
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.staged.as_ref().map_or(0, |staged| staged.bytes)
    }

    /// Where the bytes are for now; the name goes with this value.
    pub fn path(&self) -> io::Result<PathBuf> {
        Ok(self.staged.as_ref().ok_or_else(interrupted)?.path.to_path_buf())
    }

    /// SHA-256 of the bytes written so far, in lower-case hex.
    pub fn sha256(&self) -> io::Result<String> {
        Ok(self.staged.as_ref().ok_or_else(interrupted)?.sha256())
    }

    /// Makes the file appear under `path`, replacing what is there. Returns once it is durable.
    pub async fn finish(mut self, path: &Path) -> io::Result<Written> {
        let (staged, path) = (self.take()?, path.to_owned());
        blocking(move || staged.finish(&path)).await
    }

    pub(super) fn take(&mut self) -> io::Result<StagedFile> {
        self.staged.take().ok_or_else(interrupted)
    }
}

fn interrupted() -> io::Error {
    io::Error::other("an earlier write to this file failed or was interrupted")
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The blocking heart of [`AtomicFile`].
#[derive(Debug)]
pub struct StagedFile {
    /// Declared first: the lock must not be released before the name is gone or final.
    path: TempPath,
    file: File,
    hasher: Sha256,
    bytes: u64,
}

impl StagedFile {
    /// Starts a file that will end up in `folder` or below it. Creates the folder if needed.
    pub fn create(folder: &Path) -> io::Result<Self> {
        let temp_dir = folder.join(TEMP_DIR);
        create_dir_durable(&temp_dir)?;
        loop {
            // Mode 0600 is the default of `tempfile`.
            let (file, path) = tempfile::Builder::new().tempfile_in(&temp_dir)?.into_parts();
            file.lock()?;
            // Between create and lock the cleaner may have taken it for a leftover: start again.
            if file.metadata()?.nlink() > 0 {
                return Ok(Self { path, file, hasher: Sha256::new(), bytes: 0 });
            }
        }
    }

    /// Appends a chunk.
    pub fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.file.write_all(chunk)?;
        self.hasher.update(chunk);
        self.bytes += chunk.len() as u64;
        Ok(())
    }

    /// SHA-256 of the bytes written so far, in lower-case hex.
    pub fn sha256(&self) -> String {
        hex::encode(self.hasher.clone().finalize())
    }

    /// Makes the content durable, still under its temp name.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Gives the file its name. Durable only once the folder of `path` is synced, too.
    pub(super) fn rename(self, path: &Path) -> io::Result<Written> {
        let (bytes, sha256) = (self.bytes, self.sha256());
        self.path.persist(path).map_err(|refused| refused.error)?;
        Ok(Written { path: path.to_owned(), bytes, sha256 })
    }

    /// Makes the file appear under `path`, replacing what is there. Returns once it is durable.
    pub fn finish(self, path: &Path) -> io::Result<Written> {
        let parent = parent_of(path)?;
        create_dir_durable(parent)?;
        self.sync()?;
        let written = self.rename(path)?;
        sync_dir(parent)?;
        Ok(written)
    }
}

/// Deletes the temp files in `folder` that no living process is writing. Returns how many.
pub fn clean_leftovers(folder: &Path) -> io::Result<usize> {
    let entries = match std::fs::read_dir(folder.join(TEMP_DIR)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        match remove_unless_locked(&entry.path()) {
            Ok(gone) => removed += usize::from(gone),
            // Finished or removed by its owner since we read the folder.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

fn remove_unless_locked(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // The lock is held until after the removal, so a writer that is just starting waits and sees.
    std::fs::remove_file(path)?;
    Ok(true)
}

/// Whether an error means that there is no room.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Creates a folder and its missing parents with mode 0700, each durable in its parent.
pub fn create_dir_durable(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = parent_of(dir)?;
    create_dir_durable(parent)?;
    match DirBuilder::new().mode(0o700).create(dir) {
        // One that may not last is not left behind: the next call would take it for a durable one.
        Ok(()) => sync_dir(parent).inspect_err(|_| drop(std::fs::remove_dir(dir))),
        // Somebody else was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes the names in a folder durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The folder a path is in; `.` for a bare name.
pub(super) fn parent_of(path: &Path) -> io::Result<&Path> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Ok(Path::new(".")),
        Some(parent) => Ok(parent),
        None => Err(io::Error::new(io::ErrorKind::InvalidInput, "a path without a folder")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn temp_count(folder: &Path) -> usize {
        std::fs::read_dir(folder.join(TEMP_DIR)).unwrap().count()
    }

    #[tokio::test]
    async fn chunks_become_one_private_file() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("outputs");
        let mut file = AtomicFile::create(&folder).await.unwrap();
        file.write_chunk(&b"hello "[..]).await.unwrap();
        file.write_chunk(b"world".to_vec()).await.unwrap();
        assert_eq!(file.bytes(), 11);
        let target = folder.join("deep/er/x.png");
        assert!(!target.exists());
        let written = file.finish(&target).await.unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"hello world");
        assert_eq!(
            written.sha256,
            "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
        );
        assert_eq!((written.bytes, written.path.as_path()), (11, target.as_path()));
        assert_eq!(mode(&target), 0o600);
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(target.parent().unwrap()), 0o700);
        assert_eq!(temp_count(&folder), 0);
    }

    #[tokio::test]
    async fn dropping_leaves_nothing_and_finishing_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x");
        std::fs::write(&target, "old").unwrap();
        let mut file = AtomicFile::create(dir.path()).await.unwrap();
        file.write_chunk("half").await.unwrap();
        drop(file);
        assert_eq!((std::fs::read(&target).unwrap(), temp_count(dir.path())), (b"old".to_vec(), 0));
        let mut file = AtomicFile::create(dir.path()).await.unwrap();
        file.write_chunk("new").await.unwrap();
        file.finish(&target).await.unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"new");
    }

    #[tokio::test]
    async fn an_interrupted_write_can_only_be_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = AtomicFile::create(dir.path()).await.unwrap();
        let mut write = Box::pin(file.write_chunk("x"));
        // Polled once, so that the chunk is on its way, then dropped.
        let _ = futures_util::poll!(&mut write);
        drop(write);
        if file.sha256().is_err() {
            assert!(file.write_chunk("y").await.is_err());
            assert!(file.finish(&dir.path().join("x")).await.is_err());
            assert!(!dir.path().join("x").exists());
        }
    }

    #[test]
    fn only_leftovers_are_cleaned() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(clean_leftovers(dir.path()).unwrap(), 0);
        let mut alive = StagedFile::create(dir.path()).unwrap();
        alive.write(b"still here").unwrap();
        // What `kill -9` leaves: a file that nobody has locked.
        std::fs::write(dir.path().join(TEMP_DIR).join("dead"), "half").unwrap();
        std::fs::write(dir.path().join("finished"), "whole").unwrap();
        assert_eq!(clean_leftovers(dir.path()).unwrap(), 1);
        assert_eq!(temp_count(dir.path()), 1);
        alive.finish(&dir.path().join("x")).unwrap();
        assert_eq!(std::fs::read(dir.path().join("x")).unwrap(), b"still here");
        assert!(dir.path().join("finished").exists());
    }

    #[test]
    fn a_target_that_is_a_folder_is_an_error_and_leaves_no_temp_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("taken")).unwrap();
        let file = StagedFile::create(dir.path()).unwrap();
        assert!(file.finish(&dir.path().join("taken")).is_err());
        assert_eq!(temp_count(dir.path()), 0);
    }

    #[test]
    fn cleaner_and_writers_get_along() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let dir = dir.path();
                scope.spawn(move || {
                    for n in 0..50 {
                        let mut file = StagedFile::create(dir).unwrap();
                        file.write(b"x").unwrap();
                        file.rename(&dir.join(format!("{writer}-{n}"))).unwrap();
                    }
                });
            }
            for _ in 0..200 {
                clean_leftovers(dir.path()).unwrap();
            }
        });
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4 * 50 + 1);
    }
}
