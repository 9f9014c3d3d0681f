//! When running rows are looked at next, and what a look needs. Only these are in memory: an
//! unchanged look neither reads nor writes the database, which holds where the grid starts while
//! this holds where it is. About 170 bytes a row (`what_a_row_costs` below counts them).

use super::lists::TOGETHER;
use crate::domain::ids::{Id, Millis};
use crate::domain::schedule;
use crate::domain::work::Kind;
use crate::store::queries::Ref;
use crate::store::waking::Watched;
use std::collections::{BTreeSet, HashMap};

/// Not looked at since the daemon started.
const NEVER: Millis = Millis::MIN;

/// A vendor's id: most are UUIDs, which take a third of their text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Remote {
    /// A UUID in its usual spelling.
    Uuid([u8; 16]),
    /// Anything else.
    Text(Box<str>),
}

impl Remote {
    /// Takes an id in.
    pub fn new(text: &str) -> Self {
        match Id::parse(text) {
            Some(id) if id.to_string() == text => Self::Uuid(*id.0.as_bytes()),
            _ => Self::Text(text.into()),
        }
    }

    /// The id as the vendor spelt it.
    pub fn text(&self) -> String {
        match self {
            Self::Uuid(bytes) => uuid::Uuid::from_bytes(*bytes).to_string(),
            Self::Text(text) => text.to_string(),
        }
    }
}

/// A vendor's word for a state, as a number: the documented ones, a hash of any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(u32);

impl Word {
    /// Takes a word in; none is stored before the first look.
    pub fn new(word: Option<&str>) -> Self {
        let Some(word) = word else { return Self(0) };
        // FNV-1a; that two unknown words of one row agree in it is not worth a thought.
        let hash = word
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Self(hash.max(1))
    }
}

/// What is known of a running row.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The next look (Unix ms); of a row being looked at, when that look was due.
    pub at: Millis,
    /// When it was last asked about (ms of the monotonic clock).
    seen: Millis,
    /// When the vendor took it (Unix ms).
    pub accepted: Millis,
    /// Where its grid starts (Unix ms).
    pub anchor: Millis,
    /// The vendor's id.
    pub remote: Remote,
    /// The vendor's word last stored.
    pub word: Word,
    /// The vendor's word last heard.
    heard: Word,
    /// Nothing to clear when it goes on as before.
    pub plain: bool,
    /// It is being looked at.
    busy: bool,
    /// Whether the look at `seen` found it unfinished; before that, whether it is certain that
    /// nobody has looked at it at all.
    sure: bool,
    /// A complete list did not show it, so it is asked about by itself.
    pub missing: bool,
    /// Its look was left to a list, and it has not been asked about since.
    pub left: bool,
}

impl Entry {
    /// When it was last asked about (monotonic ms), by this daemon.
    pub fn seen(&self) -> Option<Millis> {
        (self.seen != NEVER).then_some(self.seen)
    }

    /// Whether the coming look is its first one ever.
    pub fn is_fresh(&self) -> bool {
        self.sure && self.seen == NEVER
    }

    /// The last look that found it unfinished (monotonic ms), none if there has been no look; nothing
    /// if it cannot be told.
    pub fn last_open(&self) -> Option<Option<Millis>> {
        self.sure.then(|| self.seen())
    }

    /// Whether a word is not worth storing: it is stored, or the look before this one still heard the
    /// stored one. What does not last until the next look has cost no commit, and nobody would have
    /// had time to read it.
    pub fn may_ignore(&self, word: Word) -> bool {
        word == self.word || self.heard == self.word
    }

    /// Whether it is being looked at.
    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// The next look: a point of the grid, but never sooner than an interval after it was last
    /// asked about.
    fn next(&self, interval: Millis, at: Moment) -> Millis {
        self.not_too_soon(self.grid(interval, at), interval, at)
    }

    fn grid(&self, interval: Millis, at: Moment) -> Millis {
        schedule::grid_next(self.anchor, schedule::step(interval), at.now)
    }

    /// The same for what is asked about together: one that was so late that it would miss the others at
    /// the next point waits for the one after, or it would be asked about by itself ever after.
    fn next_together(&self, interval: Millis, at: Moment) -> Millis {
        let (grid, look) = (self.grid(interval, at), self.next(interval, at));
        let misses = look > grid + interval / TOGETHER;
        if misses { grid + schedule::step(interval) } else { look }
    }

    fn not_too_soon(&self, look: Millis, interval: Millis, at: Moment) -> Millis {
        let least = self.seen().map(|seen| at.now.saturating_add(seen + interval - at.steady));
        least.map_or(look, |least| look.max(least))
    }
}

/// The two clocks at one moment, in ms: the wall clock, which grids follow, and the monotonic one,
/// by which intervals are kept whatever somebody sets the wall clock to.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Unix ms.
    pub now: Millis,
    /// Monotonic ms.
    pub steady: Millis,
}

/// Running rows by their next look.
#[derive(Debug, Default)]
pub struct Watch {
    rows: HashMap<Ref, Entry>,
    queue: BTreeSet<(Millis, Ref)>,
    /// Looks that were taken and are not done, with the time they were due.
    taken: HashMap<Ref, Millis>,
    counts: [u32; Kind::ALL.len()],
    /// From when on rows of a kind may be asked about that this daemon has not asked about
    /// (monotonic ms), where that is known.
    free: [Option<Millis>; Kind::ALL.len()],
    /// Every row that runs has been read from the database.
    complete: bool,
}

impl Watch {
    /// Puts a row in, or brings what is known of it up to date.
    pub fn put(&mut self, row: Watched, interval: Millis, at: Moment) {
        let known = self.rows.get(&row.row);
        let (busy, seen) = known.map_or((false, NEVER), |known| (known.busy, known.seen));
        let word = Word::new(row.word.as_deref());
        let untouched = row.plain && row.due > at.now && row.accepted_at.is_some();
        let mut entry = Entry {
            at: 0,
            seen,
            accepted: row.accepted_at.unwrap_or(row.anchor),
            anchor: row.anchor,
            remote: Remote::new(row.remote_id.as_deref().unwrap_or_default()),
            word,
            heard: known.map_or(word, |known| known.heard),
            plain: row.plain,
            busy,
            sure: known.map_or(untouched, |known| known.sure),
            missing: false,
            left: false,
        };
        entry.at = match known {
            Some(known) if busy => known.at,
            _ if row.due > at.now => entry.not_too_soon(row.due, interval, at),
            // Only what the last daemon left: what comes later may be known from elsewhere.
            _ if seen == NEVER && !self.complete => {
                self.unasked(row.row.0, entry.next(interval, at), at)
            }
            _ => entry.next(interval, at),
        };
        match known {
            Some(known) => {
                self.queue.remove(&(known.at, row.row));
            }
            None => self.count(row.row.0, 1),
        }
        if !busy {
            self.queue.insert((entry.at, row.row));
        }
        self.rows.insert(row.row, entry);
    }

    /// Forgets a row that runs no more.
    pub fn forget(&mut self, row: Ref) {
        if let Some(entry) = self.rows.remove(&row) {
            self.queue.remove(&(entry.at, row));
            self.count(row.0, -1);
        }
        self.taken.remove(&row);
    }

    fn count(&mut self, kind: Kind, by: i32) {
        if let Some(count) = self.counts.get_mut(kind as usize) {
            *count = count.saturating_add_signed(by);
        }
    }

    /// The row whose look is due first, if it is due.
    pub fn first_due(&self, now: Millis) -> Option<Ref> {
        self.queue.first().filter(|(at, _)| *at <= now).map(|(_, row)| *row)
    }

    /// Takes a row for a look; none when it is unknown or being looked at.
    pub fn take(&mut self, row: Ref) -> Option<Entry> {
        let entry = self.rows.get_mut(&row).filter(|entry| !entry.busy)?;
        entry.busy = true;
        self.queue.remove(&(entry.at, row));
        self.taken.insert(row, entry.at);
        Some(entry.clone())
    }

    /// The rows of these kinds that are due, nobody looking at them, and those due by `until` that
    /// were asked about an interval ago or earlier.
    pub fn due_by(&self, kinds: &[Kind], until: Millis, interval: Millis, at: Moment) -> Vec<Ref> {
        let rested = |row: &Ref| {
            let seen = self.rows.get(row).and_then(Entry::seen);
            seen.is_some_and(|seen| seen + interval <= at.steady)
        };
        let due = self.queue.iter().take_while(|(due, _)| *due <= until);
        due.filter(|(due, row)| kinds.contains(&row.0) && (*due <= at.now || rested(row)))
            .map(|(_, row)| *row)
            .collect()
    }

    /// The row was asked about at this moment (monotonic ms).
    pub fn asked(&mut self, row: Ref, steady: Millis) {
        if let Some(entry) = self.rows.get_mut(&row) {
            entry.seen = entry.seen.max(steady);
            (entry.sure, entry.left) = (false, false);
        }
    }

    /// What was asked last found the row unfinished.
    pub fn found_open(&mut self, row: Ref, word: Word) {
        if let Some(entry) = self.rows.get_mut(&row) {
            (entry.sure, entry.missing, entry.heard) = (true, false, word);
        }
    }

    /// The word that was heard last is stored now.
    pub fn stored_word(&mut self, row: Ref) {
        if let Some(entry) = self.rows.get_mut(&row) {
            entry.word = entry.heard;
        }
    }

    /// The look at a row is done: the next one is on its grid, or at `not_before`.
    pub fn done(&mut self, row: Ref, interval: Millis, at: Moment, not_before: Option<Millis>) {
        self.taken.remove(&row);
        let Some(entry) = self.rows.get_mut(&row) else { return };
        entry.busy = false;
        let next = match row.0 {
            Kind::Training => entry.next_together(interval, at),
            _ => entry.next(interval, at),
        };
        let next = not_before.map_or(next, |least| next.max(least));
        // It may have been brought up to date meanwhile.
        self.queue.remove(&(entry.at, row));
        entry.at = next;
        self.queue.insert((next, row));
    }

    /// Moves the next look of a row that nobody looks at.
    pub fn put_off(&mut self, row: Ref, to: Millis) {
        if let Some(entry) = self.rows.get_mut(&row).filter(|entry| !entry.busy) {
            self.queue.remove(&(entry.at, row));
            entry.at = to;
            self.queue.insert((to, row));
        }
    }

    /// Leaves the look of a row to a list; if none shows it by then, it is looked at by itself.
    pub fn leave(&mut self, row: Ref, until: Millis) {
        if let Some(entry) = self.rows.get_mut(&row) {
            entry.left = true;
        }
        self.put_off(row, until);
    }

    /// What is known of a row.
    pub fn get(&self, row: Ref) -> Option<&Entry> {
        self.rows.get(&row)
    }

    /// A complete list did not show the row: it is looked at by itself, as soon as it may be.
    pub fn miss(&mut self, row: Ref, interval: Millis, at: Moment) {
        if let Some(entry) = self.rows.get_mut(&row).filter(|entry| !entry.busy) {
            entry.missing = true;
            let soon = entry.not_too_soon(at.now, interval, at);
            self.put_off(row, soon);
        }
    }

    /// Every row of a kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = (Ref, &Entry)> {
        self.rows.iter().filter(move |(row, _)| row.0 == kind).map(|(row, entry)| (*row, entry))
    }

    /// Rows of a kind that were left to a list are looked at by themselves again: an interval after
    /// they were last seen, or at the next point of their grid.
    pub fn back_to_single(&mut self, kind: Kind, interval: Millis, at: Moment) {
        let single = |entry: &Entry| match entry.seen() {
            Some(_) => entry.not_too_soon(at.now, interval, at),
            None => entry.next(interval, at),
        };
        let sooner: Vec<(Ref, Millis)> = self
            .of(kind)
            .filter(|(_, entry)| !entry.busy && entry.plain && !entry.is_fresh())
            .map(|(row, entry)| (row, entry.at, single(entry)))
            .filter_map(|(row, old, new)| (new < old).then_some((row, new)))
            .collect();
        for (row, new) in sooner {
            self.put_off(row, new);
        }
    }

    /// The earliest look.
    pub fn next(&self) -> Option<Millis> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// When the most overdue look was or will be due.
    pub fn oldest(&self) -> Option<Millis> {
        self.next().into_iter().chain(self.taken.values().copied()).min()
    }

    /// How many rows are watched.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no row is watched.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many rows of a kind run; unknown until all of them have been read.
    pub fn running(&self, kind: Kind) -> Option<u32> {
        self.counts.get(kind as usize).copied().filter(|_| self.complete)
    }

    /// Says whether every row that runs has been read from the database.
    pub fn set_complete(&mut self, complete: bool) {
        self.complete = complete;
    }

    /// Rows of a kind that are overdue and that this daemon has not asked about may be asked about
    /// from this moment on (monotonic ms): the last daemon did not within an interval before it.
    pub fn may_ask_from(&mut self, kind: Kind, steady: Millis) {
        if let Some(free) = self.free.get_mut(kind as usize) {
            *free = Some(steady);
        }
    }

    /// Whether what is overdue may be asked about, although the watch is not filled yet.
    pub fn may_ask(&self, kind: Kind, steady: Millis) -> bool {
        !self.complete && self.not_yet(kind, steady) == Some(0)
    }

    /// For how long (ms) rows of a kind must not be asked about that this daemon has not asked about,
    /// where that is known.
    pub fn not_yet(&self, kind: Kind, steady: Millis) -> Option<Millis> {
        let free = self.free.get(kind as usize).copied().flatten()?;
        Some(free.saturating_sub(steady).max(0))
    }

    /// The next question about what this daemon has not asked about: at once if nobody has asked for
    /// an interval, or else a point of the grid, but not before that: who asked last may have been
    /// off the grid.
    pub fn unasked(&self, kind: Kind, grid: Millis, at: Moment) -> Millis {
        match self.not_yet(kind, at.steady) {
            Some(0) => at.now,
            Some(wait) => grid.max(at.now.saturating_add(wait)),
            None => grid,
        }
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
