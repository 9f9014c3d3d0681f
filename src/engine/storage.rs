//! The disk below the daemon: spending pauses while it is too full, and what the vendor answered is
//! kept in the spill file when the database cannot take it.
//!
//! Below `disk.floor` nothing side-effecting is sent; below a quarter of it nothing is downloaded
//! either, so that the database itself has room to the last. The pause is stored where people look
//! for it and held in memory as well, because on a full disk the setting may not be storable. It is
//! lifted by itself, and only when the disk set it.

use super::{Engine, EngineError, Result};
use crate::domain::event::Event;
use crate::domain::ids::Millis;
use crate::domain::work::{State, Work};
use crate::files::atomic::is_full;
use crate::files::disk::free_bytes;
use crate::files::spill::{Record, Slot, Spill};
use crate::store::settings::{BY_DISK, ClearPause, Pauses, PutSetting, SetPause, Switch};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Asking the system for the free space is cheap, but not free.
const LOOK: Duration = Duration::from_secs(1);
/// While there is too little room, the loop looks again this often.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// How much room there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Room {
    /// Not even for files that are paid for.
    None,
    /// For these only.
    Low,
    /// For new work.
    #[default]
    Enough,
}

/// What the daemon knows about its disk.
#[derive(Default)]
pub(super) struct Storage {
    look: Mutex<Look>,
    spill: Mutex<Option<Arc<Spill>>>,
}

#[derive(Default)]
struct Look {
    at: Option<Instant>,
    room: Room,
    /// Why there is not enough, as a sentence.
    why: String,
    /// How many of the writer's reports are known.
    times_full: u64,
    /// Whether the writer found no room, whatever the system says: only a write that succeeds ends
    /// this.
    refused: bool,
    /// When there was enough again after there had not been (Unix ms).
    enough_since: Millis,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Below this nothing is downloaded: what is left is for the database.
fn reserve(floor: u64) -> u64 {
    floor / 4
}

/// How much room `free` bytes are. What was too little is enough again only a little above the
/// floor, so that the pause does not come and go with every file.
fn judge(free: u64, floor: u64, was: Room) -> Room {
    let enough = if was == Room::Enough { floor } else { floor.saturating_add(floor / 100) };
    if free < reserve(floor) {
        Room::None
    } else if free < enough {
        Room::Low
    } else {
        Room::Enough
    }
}

/// Bytes for people.
fn readable(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

impl Engine {
    /// When the disk was last found to have room again (Unix ms); troubles before that may have
    /// been its own.
    pub(super) fn room_since(&self) -> Millis {
        lock(&self.storage.look).enough_since
    }

    /// Below how many free bytes a download has to stop.
    pub(super) fn download_reserve(&self) -> u64 {
        reserve(self.config.disk.floor.0)
    }

    /// Looks at the free space, at most once a second unless `now`; answers how much room there is.
    pub(super) fn measure(&self, now: bool) -> Room {
        let mut look = lock(&self.storage.look);
        let reports = self.store.writer().times_full();
        if reports > look.times_full {
            look.times_full = reports;
            look.refused = true;
        } else if !now && look.at.is_some_and(|at| at.elapsed() < LOOK) {
            return look.room;
        }
        look.at = Some(Instant::now());
        let floor = self.config.disk.floor.0;
        let was = look.room;
        match free_bytes(self.data_dir()) {
            Ok(free) => {
                look.room = judge(free, floor, was);
                if look.room != Room::Enough {
                    look.why = format!(
                        "only {} are free on the disk of the data directory and {} are wanted \
                         (disk.floor); it goes on by itself when there is room",
                        readable(free),
                        readable(floor)
                    );
                }
            }
            Err(error) => tracing::warn!("the free space is not known: {error}"),
        }
        if look.refused {
            if look.room == Room::Enough {
                "the disk of the data directory takes nothing more; it goes on by itself when there \
                 is room"
                    .clone_into(&mut look.why);
            }
            look.room = Room::None;
        }
        match (was, look.room) {
            (Room::Enough, Room::Low | Room::None) => {
                tracing::warn!("nothing new is sent: {}", look.why);
            }
            (Room::Low | Room::None, Room::Enough) => {
                look.enough_since = self.now();
                tracing::info!("there is room on the disk again");
            }
            _ => {}
        }
        look.room
    }

    /// Looks at the disk and brings the pause for it up to date; answers how much room there is.
    pub(super) async fn look_at_disk(&self, pauses: &Pauses) -> Room {
        let mut room = self.measure(false);
        if room != Room::Enough && self.takes_writes_again().await {
            room = self.measure(true);
        }
        let ours = pauses.spending.as_ref().is_some_and(|pause| pause.by == BY_DISK);
        let writer = self.store.writer();
        if room != Room::Enough && pauses.spending.is_none() {
            let reason = lock(&self.storage.look).why.clone();
            let pause = SetPause { switch: Switch::Spending, reason, by: BY_DISK.to_owned() };
            // Where there is no room for it, the one in memory serves.
            let _ = writer.write(pause).await;
        } else if room == Room::Enough && ours {
            let lift = ClearPause { switch: Switch::Spending, only_by: Some(BY_DISK) };
            if let Err(error) = writer.write(lift).await {
                tracing::warn!("the pause for the full disk could not be lifted: {error}");
                return Room::Low;
            }
        }
        room
    }

    /// After the writer found no room: once the system says that there is, a write that succeeds is
    /// the proof.
    async fn takes_writes_again(&self) -> bool {
        let floor = self.config.disk.floor.0;
        let free = |free| judge(free, floor, Room::Low) == Room::Enough;
        if !lock(&self.storage.look).refused || !free_bytes(self.data_dir()).is_ok_and(free) {
            return false;
        }
        let value = serde_json::json!({ "since": self.now() });
        let proof = PutSetting { name: "disk.room", value };
        let taken = self.store.writer().write(proof).await.is_ok();
        if taken {
            lock(&self.storage.look).refused = false;
        }
        taken
    }

    /// The sentence that says why nothing can be sent right now, by a look at this moment.
    pub(super) fn disk_obstacle(&self) -> Option<String> {
        let room = self.measure(true);
        (room != Room::Enough).then(|| lock(&self.storage.look).why.clone())
    }

    /// Opens the spill file, and adopts what the last daemon kept there.
    ///
    /// To be called after the recovery of the rows and before any work begins.
    ///
    /// # Errors
    /// When the file or the database cannot be used.
    pub async fn adopt_kept(&self) -> Result<()> {
        let data_dir = self.data_dir().to_path_buf();
        let opened = tokio::task::spawn_blocking(move || Spill::open(&data_dir)).await;
        let path = crate::files::spill::path(self.data_dir());
        let (spill, found) = opened
            .map_err(std::io::Error::other)
            .flatten()
            .map_err(|source| EngineError::Io { path: path.clone(), source })?;
        if found.torn > 0 {
            tracing::warn!(
                torn = found.torn,
                "{} holds what was being written when the last daemon ended; it is left out, and \
                 the call is looked up",
                path.display()
            );
        }
        let spill = Arc::new(spill);
        for (slot, record) in found.records {
            // Only then: until the commit this is the only place that knows.
            if self.adopt(&record).await? {
                self.free(&spill, slot).await;
            } else {
                lock(&self.spilled).push(record.remote_id);
            }
        }
        *lock(&self.storage.spill) = Some(spill);
        Ok(())
    }

    /// Answers whether the record is needed no longer.
    async fn adopt(&self, record: &Record) -> Result<bool> {
        let Some(kind) = record.kind() else { return Ok(true) };
        let row = match self.store.load(kind, record.id).await {
            Ok(loaded) => loaded.work,
            // A database that went back does not know it: nothing is thrown away then.
            Err(error) => {
                tracing::error!(
                    "the spill file keeps the vendor's {} of {kind} {}, which this database does \
                     not know: {error}",
                    record.remote_id,
                    record.id
                );
                return Ok(false);
            }
        };
        if matches!(row.state, State::Waiting { .. } | State::Queued { .. }) && row.attempt == 0 {
            tracing::error!(
                "{kind} {}: the vendor has it as {}, says the spill file, but this database says \
                 that it was never sent",
                record.id,
                record.remote_id
            );
            return Ok(false);
        }
        if !matches!(row.state, State::InDoubt { intent, .. } if intent == record.intent) {
            tracing::info!(
                "{kind} {}: what the spill file kept is stored already or needless",
                record.id
            );
            return Ok(true);
        }
        let remote_id = record.remote_id.clone();
        let note = format!(
            "the vendor's answer was kept in the spill file at {}, while it could not be stored",
            record.at
        );
        let found = Event::Found { remote_id: remote_id.clone(), note };
        match self.apply(kind, record.id, found).await {
            Err(EngineError::Store(error)) if error.is_taken() => {
                let event = super::send::id_is_taken(&remote_id);
                self.apply(kind, record.id, event).await.map(|_| true)
            }
            other => other.map(|_| true),
        }
    }

    /// Keeps the id of an accepted call that the database does not take. `work` is in `submitting`.
    pub(super) async fn keep(&self, work: &Work, event: &Event) -> Option<(Arc<Spill>, Slot)> {
        let Event::Accepted { remote_id } = event else { return None };
        let intent = work.state.intent()?;
        let record = Record {
            kind: work.kind.as_str().to_owned(),
            id: work.id,
            intent,
            remote_id: remote_id.clone(),
            at: self.now(),
        };
        let spill = lock(&self.storage.spill).clone();
        let kept = match spill.clone() {
            Some(spill) => tokio::task::spawn_blocking(move || spill.keep(&record))
                .await
                .map_err(std::io::Error::other)
                .flatten(),
            None => Err(std::io::Error::other("there is no spill file")),
        };
        let (kind, id) = (work.kind, work.id);
        match kept {
            Ok(slot) => {
                tracing::warn!(%kind, %id, "{kind} {id}: accepted as {remote_id}; kept in the spill file");
                spill.map(|spill| (spill, slot))
            }
            Err(error) => {
                // The log is the last place that can hold it.
                tracing::error!(%kind, %id, "{kind} {id}: accepted as {remote_id}; the spill file failed: {error}");
                if !is_full(&error) {
                    self.store.writer().fail(&format!("the spill file: {error}"));
                }
                None
            }
        }
    }

    /// Frees a slot whose content is stored now.
    pub(super) async fn free(&self, spill: &Arc<Spill>, slot: Slot) {
        let spill = spill.clone();
        let freed = tokio::task::spawn_blocking(move || spill.free(slot)).await;
        if let Err(error) = freed.map_err(std::io::Error::other).flatten() {
            // The next start finds its intent settled and drops it.
            tracing::warn!("a slot of the spill file could not be freed: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_pauses_and_a_little_more_is_needed_to_go_on() {
        let floor = 200_000_000;
        assert_eq!(judge(floor, floor, Room::Enough), Room::Enough);
        assert_eq!(judge(floor - 1, floor, Room::Enough), Room::Low);
        assert_eq!(judge(floor, floor, Room::Low), Room::Low);
        assert_eq!(judge(floor + floor / 100, floor, Room::Low), Room::Enough);
        assert_eq!(judge(floor / 4, floor, Room::Low), Room::Low);
        assert_eq!(judge(floor / 4 - 1, floor, Room::Low), Room::None);
        assert_eq!(judge(floor * 2, floor, Room::None), Room::Enough);
    }

    #[test]
    fn no_floor_means_no_pause() {
        assert_eq!(judge(0, 0, Room::Enough), Room::Enough);
        assert_eq!(judge(0, 0, Room::None), Room::Enough);
    }
}
