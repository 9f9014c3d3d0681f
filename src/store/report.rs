//! What the interfaces read: the command line, the API and the dashboard show the same rows.
//!
//! Lifecycles and sentences come from the views (`work`, `why`, `run_members`, `run_status`),
//! which are the file's own interface; here they only become types.
//!
//! JSON contract: every object has `id, kind, state, remote_id, error, created_at, updated_at,
//! due_at, finished_at, label, why`. Times are RFC 3339 in UTC with milliseconds. Fields may be
//! added, never renamed.

mod attention;
mod detail;
mod find;
mod items;
mod ledger;
mod metrics;
mod pages;
mod receipt;
mod run;
mod schemas;
mod story;
mod watch;

pub use attention::{Duty, DutyPage, OtherDuty};
pub use detail::{Detail, OutputFile, TrainingBrief};
pub use find::{Candidate, Found};
pub use items::{Filter, Item};
pub use ledger::{SpendProof, UnclaimedJob};
pub use metrics::{Gauges, Spent};
pub use pages::{BootRow, Page, Wanted, WantedEvents};
pub use receipt::{Receipt, Receipted, ReceiptedTraining, ReceiptedUpload};
pub use story::{EventRow, IntentRow, Parent};
pub use watch::Watcher;

use crate::domain::ids::Millis;
use crate::domain::work::Kind;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use std::fmt;

/// What an id can stand for: a piece of work, or a run of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Noun {
    /// A row of one of the six tables of work.
    Work(Kind),
    /// A row of `runs`.
    Run,
}

impl Noun {
    /// Every noun, parents before children, runs last.
    pub const ALL: [Self; 7] = [
        Self::Work(Kind::Model),
        Self::Work(Kind::Upload),
        Self::Work(Kind::Training),
        Self::Work(Kind::Job),
        Self::Work(Kind::Output),
        Self::Work(Kind::Change),
        Self::Run,
    ];

    /// The word used in JSON and sentences.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Work(kind) => kind.as_str(),
            Self::Run => "run",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|noun| noun.as_str() == word)
    }

    /// The table it lives in, which is also its plural.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Work(kind) => super::table(kind),
            Self::Run => "runs",
        }
    }
}

impl fmt::Display for Noun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Noun {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

/// A stored time, shown as RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Millis);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_millis(self.0) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            // Beyond the calendar: the number says more than an error would.
            None => self.0.fmt(f),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// How many rows of each kind are in each state: kind, state, number.
pub type Counts = Vec<(Kind, String, i64)>;

#[cfg(test)]
pub(crate) mod tests;
