//! Photos kept by content: `<data>/blobs/ab/<sha256>`.
//!
//! A training may upload days after it was asked for, so it must not depend on the user's folder
//! still holding the same bytes. Blobs are never changed; storing one twice is harmless.

use super::atomic::{self, AtomicFile, StagedFile};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Bytes copied at a time.
const CHUNK: usize = 128 * 1024;

/// A stored file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// SHA-256 of the content in lower-case hex.
    pub sha256: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Where it is stored.
    pub path: PathBuf,
}

/// A file to store.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it is now.
    pub path: PathBuf,
    /// The hash that an earlier check saw, in lower-case hex; storing anything else is refused.
    pub sha256: Option<String>,
}

/// Why a file was not stored.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The source could not be read.
    #[error("cannot read {path:?}: {source}")]
    Read {
        /// The source.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The source is not what was checked.
    #[error("{path:?} changed after it was checked: check the photos again")]
    Changed {
        /// The source.
        path: PathBuf,
    },
    /// The store could not be written, for example because the disk is full.
    #[error("cannot store photos in {folder:?}: {source}")]
    Write {
        /// The store.
        folder: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// The folder of blobs.
#[derive(Clone, Debug)]
pub struct BlobStore {
    root: PathBuf,
}

impl BlobStore {
    /// A store in `root`, which is created when first written to.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder of the store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the blob with this hash is, or would be; `None` if `sha256` is not 64 lower-case hex
    /// digits (and so might lead anywhere).
    pub fn path_of(&self, sha256: &str) -> Option<PathBuf> {
        let is_hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        let valid = sha256.len() == 64 && sha256.bytes().all(is_hex);
        valid.then(|| self.root.join(&sha256[..2]).join(sha256))
    }

    /// Opens a blob for reading.
    pub fn open(&self, sha256: &str) -> io::Result<File> {
        let path = self.path_of(sha256).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "not a SHA-256 in lower-case hex")
        })?;
        File::open(path)
    }

    /// Copies a file into the store. Durable on return.
    pub fn put_file(&self, path: &Path, sha256: Option<&str>) -> Result<Blob, BlobError> {
        let source = Source { path: path.to_owned(), sha256: sha256.map(str::to_owned) };
        let staged = self.stage(&source)?;
        self.publish_one(staged).map_err(|source| self.write_error(source))
    }

    /// Copies files into the store. Durable on return; if one cannot be stored because of what it
    /// is, none is.
    pub fn put_many(&self, sources: &[Source]) -> Result<Vec<Blob>, BlobError> {
        let staged = sources.iter().map(|source| self.stage(source)).collect::<Result<Vec<_>, _>>();
        self.publish(staged?).map_err(|source| self.write_error(source))
    }

    /// Stores bytes that are already in memory. Durable on return.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Blob, BlobError> {
        let store = || {
            let mut staged = StagedFile::create(&self.root)?;
            staged.write(bytes)?;
            staged.sync()?;
            self.publish_one(staged)
        };
        store().map_err(|source| self.write_error(source))
    }

    /// Starts a blob whose bytes are still arriving; [`BlobStore::keep`] stores it.
    pub async fn receive(&self) -> io::Result<AtomicFile> {
        AtomicFile::create(&self.root).await
    }

    /// Stores what [`BlobStore::receive`] has collected. Durable on return.
    pub async fn keep(&self, mut file: AtomicFile) -> io::Result<Blob> {
        let (staged, store) = (file.take()?, self.clone());
        atomic::blocking(move || {
            staged.sync()?;
            store.publish_one(staged)
        })
        .await
    }

    /// Deletes the temp files that killed processes left in the store. Returns how many.
    pub fn clean_leftovers(&self) -> io::Result<usize> {
        atomic::clean_leftovers(&self.root)
    }

    /// Copies one source to a synced temp file and compares it with what was expected.
    fn stage(&self, source: &Source) -> Result<StagedFile, BlobError> {
        let unreadable = |error| BlobError::Read { path: source.path.clone(), source: error };
        // Asked before opening: opening a pipe would wait for somebody to write into it.
        if !std::fs::metadata(&source.path).map_err(unreadable)?.is_file() {
            return Err(unreadable(io::Error::other("not an ordinary file")));
        }
        let mut from = File::open(&source.path).map_err(unreadable)?;
        let mut staged = StagedFile::create(&self.root).map_err(|e| self.write_error(e))?;
        let mut buffer = vec![0; CHUNK];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => staged.write(&buffer[..n]).map_err(|e| self.write_error(e))?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
        if source.sha256.as_ref().is_some_and(|expected| *expected != staged.sha256()) {
            return Err(BlobError::Changed { path: source.path.clone() });
        }
        staged.sync().map_err(|e| self.write_error(e))?;
        Ok(staged)
    }

    fn publish_one(&self, staged: StagedFile) -> io::Result<Blob> {
        let mut blobs = self.publish(vec![staged])?;
        blobs.pop().ok_or_else(|| io::Error::other("nothing was stored"))
    }

    /// Renames synced temp files to their hashes and syncs each folder once. A blob that is there
    /// already is replaced by the same bytes, which also heals one that the disk has damaged.
    fn publish(&self, staged: Vec<StagedFile>) -> io::Result<Vec<Blob>> {
        let mut blobs = Vec::with_capacity(staged.len());
        let mut folders = BTreeSet::new();
        for file in staged {
            let sha256 = file.sha256();
            let path = self.root.join(&sha256[..2]).join(&sha256);
            let folder = atomic::parent_of(&path)?.to_owned();
            atomic::create_dir_durable(&folder)?;
            let written = file.rename(&path)?;
            folders.insert(folder);
            blobs.push(Blob { sha256, bytes: written.bytes, path });
        }
        for folder in folders {
            atomic::sync_dir(&folder)?;
        }
        Ok(blobs)
    }

    fn write_error(&self, source: io::Error) -> BlobError {
        BlobError::Write { folder: self.root.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn store() -> (tempfile::TempDir, BlobStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::new(dir.path().join("data/blobs"));
        (dir, store)
    }

    fn files_in(dir: &Path) -> usize {
        let entries = std::fs::read_dir(dir).into_iter().flatten().map(Result::unwrap);
        entries.map(|e| if e.path().is_dir() { files_in(&e.path()) } else { 1 }).sum()
    }

    #[test]
    fn a_file_is_found_under_its_hash_and_storing_it_again_changes_nothing() {
        let (dir, store) = store();
        let source = dir.path().join("h\u{e9}llo \"1\"\n.txt");
        std::fs::write(&source, "hello").unwrap();
        let blob = store.put_file(&source, None).unwrap();
        assert_eq!((blob.sha256.as_str(), blob.bytes), (HELLO, 5));
        assert_eq!(blob.path, store.path_of(HELLO).unwrap());
        assert!(blob.path.ends_with(format!("blobs/2c/{HELLO}")));
        assert_eq!(store.put_file(&source, Some(HELLO)).unwrap(), blob);
        assert_eq!(io::read_to_string(store.open(HELLO).unwrap()).unwrap(), "hello");
        assert_eq!(files_in(store.root()), 1);
        std::fs::remove_file(&source).unwrap();
        assert!(blob.path.exists());
    }

    #[test]
    fn a_file_that_changed_after_the_check_is_refused() {
        let (dir, store) = store();
        let source = dir.path().join("x");
        std::fs::write(&source, "other").unwrap();
        let error = store.put_file(&source, Some(HELLO)).unwrap_err();
        assert!(matches!(error, BlobError::Changed { .. }), "{error}");
        assert_eq!(files_in(store.root()), 0);
    }

    #[test]
    fn many_are_stored_or_none() {
        let (dir, store) = store();
        let mut sources: Vec<Source> = (0..14)
            .map(|n| {
                let path = dir.path().join(n.to_string());
                // Two of them are equal.
                std::fs::write(&path, format!("photo {}", n.min(12))).unwrap();
                Source { path, sha256: None }
            })
            .collect();
        sources.push(Source { path: dir.path().join("missing"), sha256: None });
        let error = store.put_many(&sources).unwrap_err();
        assert!(error.to_string().contains("missing"), "{error}");
        assert_eq!(files_in(store.root()), 0);
        sources.pop();
        let blobs = store.put_many(&sources).unwrap();
        assert_eq!((blobs.len(), files_in(store.root())), (14, 13));
        assert_eq!(blobs[12], blobs[13]);
    }

    #[test]
    fn folders_and_bad_hashes_are_refused() {
        let (dir, store) = store();
        assert!(matches!(store.put_file(dir.path(), None), Err(BlobError::Read { .. })));
        let upper = HELLO.to_uppercase();
        for bad in ["", "../../etc/passwd", &HELLO[1..], upper.as_str()] {
            assert!(store.path_of(bad).is_none() && store.open(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn bytes_and_streams_land_in_the_same_place() {
        let (_dir, store) = store();
        let blob = store.put_bytes(b"hello").unwrap();
        let mut file = store.receive().await.unwrap();
        file.write_chunk("hel").await.unwrap();
        file.write_chunk("lo").await.unwrap();
        assert_eq!(store.keep(file).await.unwrap(), blob);
        assert_eq!(blob.sha256, HELLO);
        assert_eq!(store.clean_leftovers().unwrap(), 0);
    }
}
