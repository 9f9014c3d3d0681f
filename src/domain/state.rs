//! The kinds of outside effect and the states each goes through.

use super::ids::Millis;
use super::schedule::Timing;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The six kinds of outside effect, one table each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `POST /models`.
    Model,
    /// `POST /images/upload`.
    Upload,
    /// `GET /models/{id}/train`; paid.
    Training,
    /// An image, upscale or video trigger; paid.
    Job,
    /// The download of one produced file.
    Output,
    /// An update or delete of a model; harmless to repeat.
    Change,
}

impl Kind {
    /// Every kind, parents before children.
    pub const ALL: [Self; 6] =
        [Self::Model, Self::Upload, Self::Training, Self::Job, Self::Output, Self::Change];

    /// The singular word used in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Upload => "upload",
            Self::Training => "training",
            Self::Job => "job",
            Self::Output => "output",
            Self::Change => "change",
        }
    }

    /// Reads the stored word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether the effect costs credits, so that it goes through the paid lane.
    pub fn is_paid(self) -> bool {
        matches!(self, Self::Training | Self::Job)
    }

    /// Whether the vendor's acceptance is the whole effect.
    pub(super) fn ends_when_accepted(self) -> bool {
        matches!(self, Self::Model | Self::Upload | Self::Change)
    }

    /// How often a running one is looked at.
    pub fn poll_interval(self, timing: &Timing) -> Millis {
        match self {
            Self::Training => timing.poll_training,
            Self::Output => timing.poll_download,
            Self::Model | Self::Upload | Self::Job | Self::Change => timing.poll_job,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a piece of work stands, with the facts that only that state has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Waits for other work of ours.
    Waiting {
        /// How many are still missing, at least 1.
        parents: u32,
    },
    /// Ready to be sent.
    Queued {
        /// Not before this time.
        due: Millis,
    },
    /// The call is out, or the process died while it was.
    Submitting {
        /// Row of `intents`.
        intent: i64,
    },
    /// Nobody knows whether the call took effect; only looking is allowed.
    InDoubt {
        /// Row of `intents`.
        intent: i64,
        /// The next look.
        due: Millis,
    },
    /// The vendor works on it.
    Running {
        /// The first look, or the end of a back-off; then the poll grid decides.
        due: Millis,
    },
    /// A job whose outputs are on their way; they wake it.
    Collecting {
        /// How many are still missing, at least 1.
        missing: u32,
    },
    /// An output whose file is being fetched.
    Fetching {
        /// The next try.
        due: Millis,
    },
    /// Waits for a person.
    Attention {
        /// How many outputs are still missing (jobs only).
        missing: u32,
    },
    /// Done, files on disk.
    Succeeded {
        /// When.
        at: Millis,
    },
    /// Over without success.
    Failed {
        /// When.
        at: Millis,
    },
    /// Over because the user said so.
    Cancelled {
        /// When.
        at: Millis,
    },
}

impl State {
    /// The stored words, in the order of the lifecycle.
    pub const WORDS: [&'static str; 10] = [
        "waiting",
        "queued",
        "submitting",
        "in_doubt",
        "running",
        "collecting",
        "attention",
        "succeeded",
        "failed",
        "cancelled",
    ];

    /// The word stored in the database.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting { .. } => "waiting",
            Self::Queued { .. } => "queued",
            Self::Submitting { .. } => "submitting",
            Self::InDoubt { .. } => "in_doubt",
            Self::Running { .. } => "running",
            Self::Collecting { .. } | Self::Fetching { .. } => "collecting",
            Self::Attention { .. } => "attention",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// Whether nothing can happen any more.
    pub fn is_terminal(&self) -> bool {
        self.finished_at().is_some()
    }

    /// When it ended, for the three terminal states.
    pub fn finished_at(&self) -> Option<Millis> {
        match *self {
            Self::Succeeded { at } | Self::Failed { at } | Self::Cancelled { at } => Some(at),
            _ => None,
        }
    }

    /// The stored due time.
    pub fn due(&self) -> Option<Millis> {
        match *self {
            Self::Queued { due }
            | Self::InDoubt { due, .. }
            | Self::Running { due }
            | Self::Fetching { due } => Some(due),
            _ => None,
        }
    }

    /// The open intent, while there is one.
    pub fn intent(&self) -> Option<i64> {
        match *self {
            Self::Submitting { intent } | Self::InDoubt { intent, .. } => Some(intent),
            _ => None,
        }
    }

    /// How many parents (waiting) or outputs (collecting, attention) are missing.
    pub fn waiting_for(&self) -> u32 {
        match *self {
            Self::Waiting { parents } => parents,
            Self::Collecting { missing } | Self::Attention { missing } => missing,
            _ => 0,
        }
    }
}
