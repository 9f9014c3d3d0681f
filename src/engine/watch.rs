//! When running rows are looked at next. Only these are in memory: an unchanged look writes
//! nothing, so the database holds where the grid starts and this holds where it is.

use crate::domain::ids::Millis;
use crate::store::queries::Ref;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Running rows by their next look.
#[derive(Debug, Default)]
pub struct Watch {
    heap: BinaryHeap<Reverse<(Millis, Ref)>>,
    at: HashMap<Ref, Millis>,
    /// Looks that were taken and are not done, with the time they were due.
    taken: HashMap<Ref, Millis>,
}

impl Watch {
    /// Sets the next look at a row.
    pub fn set(&mut self, row: Ref, at: Millis) {
        self.taken.remove(&row);
        self.at.insert(row, at);
        self.heap.push(Reverse((at, row)));
    }

    /// Forgets a row that runs no more.
    pub fn forget(&mut self, row: Ref) {
        self.at.remove(&row);
        self.taken.remove(&row);
    }

    /// Takes every row whose look is due.
    pub fn take_due(&mut self, now: Millis) -> Vec<Ref> {
        let mut due = Vec::new();
        while let Some(Reverse((at, row))) = self.heap.peek().copied() {
            if at > now {
                break;
            }
            self.heap.pop();
            // An older entry of a row that was set anew is void.
            if self.at.get(&row) == Some(&at) {
                self.at.remove(&row);
                self.taken.insert(row, at);
                due.push(row);
            }
        }
        due
    }

    /// The earliest look, which may be a void one: waking for nothing is harmless.
    pub fn next(&self) -> Option<Millis> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// When a look that was taken and is not done was due.
    pub fn taken(&self, row: Ref) -> Option<Millis> {
        self.taken.get(&row).copied()
    }

    /// When the most overdue look was or will be due.
    pub fn oldest(&self) -> Option<Millis> {
        self.at.values().chain(self.taken.values()).min().copied()
    }

    /// How many rows are watched.
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// Whether no row is watched.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Id;
    use crate::domain::work::Kind;

    #[test]
    fn a_row_is_due_once_at_its_newest_time() {
        let row = (Kind::Job, Id(uuid::Uuid::from_u128(1)));
        let mut watch = Watch::default();
        watch.set(row, 10);
        watch.set(row, 20);
        assert!(watch.take_due(15).is_empty());
        assert_eq!(watch.take_due(20), vec![row]);
        assert!(watch.take_due(99).is_empty() && watch.is_empty());
        assert_eq!((watch.taken(row), watch.oldest()), (Some(20), Some(20)));
        watch.set(row, 30);
        assert_eq!((watch.taken(row), watch.oldest()), (None, Some(30)));
        watch.forget(row);
        assert_eq!(watch.oldest(), None);
        assert!(watch.take_due(99).is_empty());
    }
}
