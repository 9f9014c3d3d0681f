//! A few ids kept where there is always room: a file whose blocks are allocated beforehand.
//!
//! What the vendor answered to an accepted call is worth money. When the database cannot take it
//! (the disk is full, a commit failed), it is written into a slot of this file in place, which needs
//! no space, and synced. The next start adopts it. A slot holds one line,
//! `<sha256 of the rest> <JSON>`, and zeros behind it; one that is free is all zeros.
//!
//! On file systems that never write in place (btrfs, ZFS) the slot may still need a little room.

use super::atomic;
use crate::domain::ids::{Id, Millis};
use crate::domain::work::Kind;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// One slot: a power of two, so that no slot lies across two blocks of the disk.
const SLOT: usize = 1024;
/// More than the calls that can be out at once.
const SLOTS: usize = 64;
/// Hex digits of the checksum.
const SUM: usize = 64;

/// One accepted call whose answer is not in the database yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The row's kind, as [`Kind::as_str`] spells it.
    pub kind: String,
    /// The row.
    pub id: Id,
    /// The intent of the call.
    pub intent: i64,
    /// What the vendor named it.
    pub remote_id: String,
    /// When it was written.
    pub at: Millis,
}

impl Record {
    /// The row's kind, if it is one of ours.
    pub fn kind(&self) -> Option<Kind> {
        Kind::parse(&self.kind)
    }
}

/// A record's place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(usize);

/// What the file held when it was opened.
#[derive(Debug, Default)]
pub struct Found {
    /// Whole records.
    pub records: Vec<(Slot, Record)>,
    /// How many slots were neither free nor whole: written when the power went. They are free now.
    pub torn: usize,
}

/// The open file.
#[derive(Debug)]
pub struct Spill {
    file: File,
    path: PathBuf,
    taken: Mutex<[bool; SLOTS]>,
}

/// Where the file of a data directory is.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("spill")
}

impl Spill {
    /// Opens the file of a data directory; makes it when it is missing or of the wrong size, then
    /// with the records that the old one held.
    pub fn open(data_dir: &Path) -> io::Result<(Self, Found)> {
        let path = path(data_dir);
        let content = match std::fs::read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let found = read(&content);
        if content.len() != SLOT * SLOTS {
            make(data_dir, &path, &found)?;
        }
        let file = File::options().read(true).write(true).open(&path)?;
        let mut taken = [false; SLOTS];
        for (slot, _) in &found.records {
            if let Some(place) = taken.get_mut(slot.0) {
                *place = true;
            }
        }
        Ok((Self { file, path, taken: Mutex::new(taken) }, found))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a record. Durable on return.
    ///
    /// After an error of the sync nothing more may be kept here: what a second sync says about
    /// pages that failed once is worth nothing.
    pub fn keep(&self, record: &Record) -> io::Result<Slot> {
        let bytes = encode(record)?;
        let slot = self.take().ok_or_else(|| io::Error::other("every slot is taken"))?;
        self.file.write_all_at(&bytes, slot.offset())?;
        self.file.sync_data()?;
        Ok(slot)
    }

    /// Frees a slot; only after what it held is in the database. Should the old content come back
    /// after a crash, it is recognised by its intent, which is settled.
    pub fn free(&self, slot: Slot) -> io::Result<()> {
        self.file.write_all_at(&[0; SLOT], slot.offset())?;
        self.file.sync_data()?;
        if let Some(place) = self.places().get_mut(slot.0) {
            *place = false;
        }
        Ok(())
    }

    fn take(&self) -> Option<Slot> {
        let mut taken = self.places();
        let free = taken.iter().position(|taken| !taken)?;
        *taken.get_mut(free)? = true;
        Some(Slot(free))
    }

    fn places(&self) -> std::sync::MutexGuard<'_, [bool; SLOTS]> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn offset(self) -> u64 {
        (self.0 * SLOT) as u64
    }
}

/// Writes the whole file beside the old one and puts it in its place: real blocks, not a hole.
fn make(data_dir: &Path, path: &Path, found: &Found) -> io::Result<()> {
    let new = path.with_extension("new");
    let written = (|| {
        let mut content = vec![0; SLOT * SLOTS];
        for ((_, record), place) in found.records.iter().zip(content.chunks_exact_mut(SLOT)) {
            place.copy_from_slice(&encode(record)?);
        }
        let mut file =
            File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&content)?;
        file.sync_all()
    })();
    // A half-made one would hold space just when there is none.
    written.inspect_err(|_| drop(std::fs::remove_file(&new)))?;
    std::fs::rename(&new, path)?;
    atomic::sync_dir(data_dir)
}

fn encode(record: &Record) -> io::Result<[u8; SLOT]> {
    let json = serde_json::to_vec(record).map_err(io::Error::other)?;
    let mut line = hex::encode(Sha256::digest(&json)).into_bytes();
    line.push(b' ');
    line.extend_from_slice(&json);
    line.push(b'\n');
    let mut slot = [0; SLOT];
    let place = slot.get_mut(..line.len());
    place.ok_or_else(|| io::Error::other("the id is too long to be kept"))?.copy_from_slice(&line);
    Ok(slot)
}

fn read(content: &[u8]) -> Found {
    let mut found = Found::default();
    for (number, slot) in content.chunks(SLOT).take(SLOTS).enumerate() {
        match decode(slot) {
            Some(record) => found.records.push((Slot(number), record)),
            None if slot.iter().all(|byte| *byte == 0) => {}
            None => found.torn += 1,
        }
    }
    found
}

fn decode(slot: &[u8]) -> Option<Record> {
    let (sum, rest) = slot.split_at_checked(SUM)?;
    let json = rest.strip_prefix(b" ")?.split(|byte| *byte == b'\n').next()?;
    if hex::encode(Sha256::digest(json)).as_bytes() != sum {
        return None;
    }
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u128) -> Record {
        Record {
            kind: "job".to_owned(),
            id: Id(uuid::Uuid::from_u128(number)),
            intent: 7,
            remote_id: format!("job_{number}"),
            at: 1_800_000_000_000,
        }
    }

    #[test]
    fn what_is_kept_is_found_by_the_next_one_until_it_is_freed() {
        let dir = tempfile::tempdir().unwrap();
        let (spill, found) = Spill::open(dir.path()).unwrap();
        assert!(found.records.is_empty() && found.torn == 0);
        let first = spill.keep(&record(1)).unwrap();
        let second = spill.keep(&record(2)).unwrap();
        assert_ne!(first, second);
        spill.free(first).unwrap();
        drop(spill);
        let (spill, found) = Spill::open(dir.path()).unwrap();
        assert_eq!(found.records, vec![(second, record(2))]);
        // The slot that is still taken is not written over.
        assert_eq!(spill.keep(&record(3)).unwrap(), first);
        assert_eq!(Spill::open(dir.path()).unwrap().1.records.len(), 2);
    }

    #[test]
    fn it_is_allocated_whole_and_never_grows() {
        use std::os::unix::fs::MetadataExt as _;
        let dir = tempfile::tempdir().unwrap();
        let (spill, _) = Spill::open(dir.path()).unwrap();
        let size = || std::fs::metadata(path(dir.path())).unwrap();
        assert_eq!(size().len(), (SLOT * SLOTS) as u64);
        assert!(size().blocks() * 512 >= size().len(), "it is a hole");
        for number in 0..SLOTS {
            spill.keep(&record(number as u128)).unwrap();
        }
        assert!(spill.keep(&record(99)).is_err(), "every slot is taken");
        assert_eq!(size().len(), (SLOT * SLOTS) as u64);
    }

    #[test]
    fn a_torn_record_is_no_record_and_its_slot_is_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let (spill, _) = Spill::open(dir.path()).unwrap();
        let slot = spill.keep(&record(1)).unwrap();
        spill.file.write_all_at(b"x", slot.offset() + 80).unwrap();
        let (spill, found) = Spill::open(dir.path()).unwrap();
        assert!(found.records.is_empty());
        assert_eq!(found.torn, 1);
        assert_eq!(spill.keep(&record(2)).unwrap(), slot);
        assert_eq!(Spill::open(dir.path()).unwrap().1.records, vec![(slot, record(2))]);
    }

    #[test]
    fn one_of_the_wrong_size_is_made_anew_with_what_it_held() {
        let dir = tempfile::tempdir().unwrap();
        let (spill, _) = Spill::open(dir.path()).unwrap();
        spill.keep(&record(1)).unwrap();
        spill.keep(&record(2)).unwrap();
        spill.file.set_len(2 * SLOT as u64).unwrap();
        let (_, found) = Spill::open(dir.path()).unwrap();
        assert_eq!(found.records.len(), 2);
        let size = std::fs::metadata(path(dir.path())).unwrap().len();
        assert_eq!(size, (SLOT * SLOTS) as u64);
        assert_eq!(Spill::open(dir.path()).unwrap().1.records, found.records);
    }

    #[test]
    fn an_id_that_does_not_fit_is_refused_and_takes_no_slot() {
        let dir = tempfile::tempdir().unwrap();
        let (spill, _) = Spill::open(dir.path()).unwrap();
        let long = Record { remote_id: "x".repeat(SLOT), ..record(1) };
        assert!(spill.keep(&long).is_err());
        assert_eq!(spill.keep(&record(2)).unwrap(), Slot(0));
    }
}
