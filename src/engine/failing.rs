//! For how long the vendor's list has been no use: as a list before a paid call, or to a call in doubt.
//! What fails for hours is a person's, and goes on failing or heals by itself.

use super::lists::goes_for_all;
use super::{Engine, EngineError, Result};
use crate::domain::ids::Millis;
use crate::store::listing::{Readable, UNREADABLE, Unreadable};
use std::collections::HashMap;
use std::sync::PoisonError;

/// More time than this between two failures was not spent on trying (ms).
const LONGEST_GAP: Millis = 20 * 60 * 1000;
/// The place of the list before paid calls; that of a call in doubt is its intent.
const BEFORE_CALLS: i64 = 0;

/// How long things have failed, by the intents that they are about; forgotten at a restart.
pub(super) type Failing = HashMap<i64, Failures>;

/// Failures in a row.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// How long (ms), as far as the vendor answered.
    lasts: Millis,
    /// The last one that it answered (ms since the start).
    last: Option<Millis>,
}

impl Failures {
    fn add(&mut self, uptime: Millis, answered: bool) -> Millis {
        if let Some(last) = self.last.filter(|_| answered) {
            self.lasts += (uptime - last).min(LONGEST_GAP);
        }
        self.last = answered.then_some(uptime);
        self.lasts
    }
}

impl Engine {
    /// One more failure about an intent; answers how long it has failed (ms).
    pub(super) fn fails(&self, intent: i64, answered: bool) -> Millis {
        let uptime = self.uptime();
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.entry(intent).or_default().add(uptime, answered)
    }

    /// It is over.
    pub(super) fn heals(&self, intent: i64) {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).remove(&intent);
    }

    /// After how long without an answer that counts a person is asked (ms).
    pub(super) fn give_up(&self) -> Millis {
        super::millis(self.config.doubt.give_up)
    }

    /// The list before a paid call could be read.
    pub(super) async fn list_is_readable(&self) -> Result<()> {
        self.heals(BEFORE_CALLS);
        // A daemon before this one may have noted it.
        if self.store.setting::<Unreadable>(UNREADABLE).await?.is_some() {
            self.store.writer().write(Readable(None)).await?;
        }
        Ok(())
    }

    /// Notes that the list before a paid call could not be read.
    pub(super) async fn note_unreadable(&self, error: &EngineError) -> Result<()> {
        let EngineError::Vendor(failure) = error else { return Ok(()) };
        let answered = !goes_for_all(failure);
        let lasts = self.fails(BEFORE_CALLS, answered);
        let asked = lasts >= self.give_up();
        let noted = self.store.setting::<Unreadable>(UNREADABLE).await?;
        if !answered || noted.as_ref().is_some_and(|noted| noted.asked || !asked) {
            return Ok(());
        }
        let since = noted.map_or(self.now() - lasts, |noted| noted.since);
        let note = Unreadable { since, why: failure.message.clone(), asked };
        self.store.writer().write(Readable(Some(note))).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_counts_in_which_the_vendor_answered_and_somebody_asked() {
        const MINUTE: Millis = 60 * 1000;
        let mut failures = Failures::default();
        assert_eq!(failures.add(7, true), 0);
        assert_eq!(failures.add(7 + MINUTE, true), MINUTE);
        assert_eq!(failures.add(7 + 2 * MINUTE, false), MINUTE, "nobody answered");
        assert_eq!(failures.add(7 + 90 * MINUTE, true), MINUTE, "nor had before");
        assert_eq!(failures.add(7 + 91 * MINUTE, true), 2 * MINUTE);
        assert_eq!(failures.add(7 + 991 * MINUTE, true), 22 * MINUTE, "nobody asked for hours");
    }
}
