//! The high-water file: how far the database beside it has been, kept where no copy of the database
//! takes it along.
//!
//! It is written before each paid call, also on a disk that is full. So it is not replaced, which
//! needs new blocks, but overwritten in place: two slots of a disk block each, allocated when the
//! file is made, written in turn, each with its own checksum. A write that is torn by a crash
//! damages only the slot it was writing, and the other one still says what held before; the paid
//! call that the write was for has not gone out then.

use crate::domain::quarantine::{HighWater, Mark};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A slot never shares a disk block with the other one.
const SLOT: usize = 4096;
/// How many there are.
const SLOTS: usize = 2;

/// One slot, as JSON on one line, filled up with blanks.
#[derive(Debug, Serialize, Deserialize)]
struct Slot {
    /// The newest slot has the highest; a release may lower the counter.
    generation: u64,
    #[serde(flatten)]
    mark: Mark,
    /// sha256 of the three fields above and the generation, in lower-case hex.
    sum: String,
}

impl Slot {
    fn new(generation: u64, mark: Mark) -> Self {
        let sum = sum(generation, &mark);
        Self { generation, mark, sum }
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let slot: Self = serde_json::from_slice(bytes.trim_ascii()).ok()?;
        (slot.sum == sum(slot.generation, &slot.mark)).then_some(slot)
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self).map_err(io::Error::other)?;
        if bytes.len() >= SLOT {
            return Err(io::Error::other("the mark does not fit into its slot"));
        }
        bytes.resize(SLOT - 1, b' ');
        bytes.push(b'\n');
        Ok(bytes)
    }
}

fn sum(generation: u64, mark: &Mark) -> String {
    let text = format!("{generation} {} {} {}", mark.counter, mark.intent, mark.head);
    hex::encode(Sha256::digest(text))
}

/// The file of a data directory.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("highwater")
}

/// No new database is made where one was: it would know nothing of what was bought.
///
/// # Errors
/// A sentence for people: the file is there, and the database beside it is not.
pub fn refuse_to_begin_anew(data_dir: &Path, database: &Path) -> Result<(), String> {
    let holds = |path: &Path| std::fs::metadata(path).is_ok_and(|meta| meta.len() > 0);
    let beside = path(data_dir);
    if holds(database) || !holds(&beside) {
        return Ok(());
    }
    Err(format!(
        "there is no database {}, but {} says that one was here: put it back; to begin anew and forget \
         what was bought, remove {1}",
        database.display(),
        beside.display()
    ))
}

/// What the file of a data directory says.
pub fn read(data_dir: &Path) -> HighWater {
    let read = File::open(path(data_dir)).and_then(|file| {
        // Not in the middle of somebody's write.
        file.lock_shared()?;
        slots(&file)
    });
    match read {
        Ok(slots) => match newest(&slots) {
            Some(slot) => HighWater::At(slot.mark.clone()),
            None => HighWater::Unreadable("it holds no valid entry".to_owned()),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => HighWater::Missing,
        Err(error) => HighWater::Unreadable(error.to_string()),
    }
}

/// Writes a mark over the older slot, making the file where there is none. Returns once it is
/// durable.
///
/// # Errors
/// What the system says; the mark from before stands then.
pub fn write(data_dir: &Path, mark: &Mark) -> io::Result<()> {
    let path = path(data_dir);
    let file = match File::options().read(true).write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return create(data_dir, mark),
        Err(error) => return Err(error),
    };
    file.lock()?;
    overwrite(&file, mark)
}

/// Makes both slots say the mark: what they said before is void from now on.
///
/// # Errors
/// What the system says.
pub fn reset(data_dir: &Path, mark: &Mark) -> io::Result<()> {
    write(data_dir, mark)?;
    write(data_dir, mark)
}

fn overwrite(file: &File, mark: &Mark) -> io::Result<()> {
    let slots = slots(file)?;
    let newest_at = newest_at(&slots);
    let generation = newest_at.and_then(|at| slots.get(at)?.as_ref()).map_or(0, |s| s.generation);
    let target = newest_at.map_or(0, |at| (at + 1) % SLOTS);
    let bytes = Slot::new(generation.saturating_add(1), mark.clone()).bytes()?;
    file.write_all_at(&bytes, (target * SLOT) as u64)?;
    file.sync_all()
}

/// A whole file appears under its name, or none.
fn create(data_dir: &Path, mark: &Mark) -> io::Result<()> {
    let staged = data_dir.join(".highwater.new");
    let mut file =
        File::options().create(true).truncate(true).write(true).mode(0o600).open(&staged)?;
    for generation in [1, 2] {
        file.write_all(&Slot::new(generation, mark.clone()).bytes()?)?;
    }
    file.sync_all()?;
    std::fs::rename(&staged, path(data_dir))?;
    File::open(data_dir)?.sync_all()
}

fn slots(file: &File) -> io::Result<Vec<Option<Slot>>> {
    let mut found = Vec::with_capacity(SLOTS);
    for number in 0..SLOTS {
        let mut bytes = vec![0; SLOT];
        let slot = match file.read_exact_at(&mut bytes, (number * SLOT) as u64) {
            Ok(()) => Slot::parse(&bytes),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(error),
        };
        found.push(slot);
    }
    Ok(found)
}

fn newest_at(slots: &[Option<Slot>]) -> Option<usize> {
    let valid = slots.iter().enumerate().filter_map(|(at, slot)| Some((slot.as_ref()?, at)));
    valid.max_by_key(|(slot, _)| slot.generation).map(|(_, at)| at)
}

fn newest(slots: &[Option<Slot>]) -> Option<&Slot> {
    slots.get(newest_at(slots)?)?.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn mark(counter: i64) -> Mark {
        Mark { counter, intent: counter / 2, head: "ab".repeat(32) }
    }

    fn damage(dir: &Path, at: u64, bytes: &[u8]) {
        let file = File::options().write(true).open(path(dir)).unwrap();
        file.write_all_at(bytes, at).unwrap();
    }

    #[test]
    fn it_says_what_was_written_last_and_only_to_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()), HighWater::Missing);
        for counter in [0, 3, 7, 5] {
            write(dir.path(), &mark(counter)).unwrap();
            assert_eq!(read(dir.path()), HighWater::At(mark(counter)));
        }
        let meta = std::fs::metadata(path(dir.path())).unwrap();
        assert_eq!((meta.len(), meta.permissions().mode() & 0o777), (2 * SLOT as u64, 0o600));
        let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "nothing else is left");
    }

    #[test]
    fn a_torn_write_leaves_the_mark_from_before() {
        for torn_at in [0, 40, 120, SLOT - 1] {
            let dir = tempfile::tempdir().unwrap();
            write(dir.path(), &mark(1)).unwrap();
            write(dir.path(), &mark(2)).unwrap();
            // The next write goes to the slot of the older mark; cut it off half-way.
            let older = match newest_at(&slots(&File::open(path(dir.path())).unwrap()).unwrap()) {
                Some(0) => SLOT,
                _ => 0,
            };
            let bytes = Slot::new(99, mark(3)).bytes().unwrap();
            damage(dir.path(), older as u64, &bytes[..torn_at]);
            // The rest of a slot is blanks, so that losing them loses nothing.
            let expected = if torn_at == SLOT - 1 { 3 } else { 2 };
            assert_eq!(read(dir.path()), HighWater::At(mark(expected)), "torn at {torn_at}");
            write(dir.path(), &mark(4)).unwrap();
            assert_eq!(read(dir.path()), HighWater::At(mark(4)));
        }
    }

    #[test]
    fn a_file_without_any_valid_slot_says_so() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &mark(9)).unwrap();
        for slot in 0..SLOTS {
            damage(dir.path(), (slot * SLOT + 15) as u64, b"7");
        }
        assert!(matches!(read(dir.path()), HighWater::Unreadable(_)));
        reset(dir.path(), &mark(4)).unwrap();
        for slot in 0..SLOTS {
            let all = slots(&File::open(path(dir.path())).unwrap()).unwrap();
            assert_eq!(all[slot].as_ref().map(|slot| slot.mark.counter), Some(4));
        }
        std::fs::write(path(dir.path()), "").unwrap();
        assert!(matches!(read(dir.path()), HighWater::Unreadable(_)));
    }
}
