//! Everything that can happen to one piece of work.

use super::failure::Failure;
use super::ids::Millis;
use serde::{Deserialize, Serialize};

/// One fact about one piece of work; [`super::work::Work::evolve`] says what it leads to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// One thing this waited for is there.
    ParentReady,
    /// A thing this waited for failed for good.
    ParentFailed {
        /// Which one and why, as a sentence.
        message: String,
    },
    /// A thing this waited for was cancelled.
    ParentCancelled {
        /// Which one, as a sentence.
        message: String,
    },
    /// The intent is stored; the call goes out next.
    SendStarted {
        /// Row of `intents`.
        intent: i64,
    },
    /// It cannot be sent yet (a read it needs failed): try again at `until`.
    Postponed {
        /// When to try again.
        until: Millis,
        /// Why, as a sentence.
        note: String,
    },
    /// It can never be sent (it refers to something that does not exist).
    Unsendable {
        /// Why, as a sentence.
        message: String,
    },
    /// The vendor took the call.
    Accepted {
        /// What the vendor named it.
        remote_id: String,
    },
    /// The call did not end well.
    CallFailed {
        /// What is known about it.
        failure: Failure,
    },
    /// The daemon died, or the reply was lost: nobody knows whether the call took effect.
    OutcomeUnknown {
        /// How it came to this, as a sentence.
        note: String,
    },
    /// A look at the vendor settled nothing yet.
    LookAgain {
        /// When to look next.
        at: Millis,
        /// What was seen, as a sentence.
        note: String,
    },
    /// The vendor has it after all.
    Found {
        /// What the vendor named it.
        remote_id: String,
        /// The proof, as a sentence.
        note: String,
    },
    /// The vendor surely does not have it.
    Absent {
        /// The proof, as a sentence.
        note: String,
    },
    /// The last look failed; the next one is at `until`.
    LookFailed {
        /// When to look next.
        until: Millis,
        /// What went wrong, as a sentence.
        note: String,
    },
    /// The vendor answers normally again.
    Recovered,
    /// Something a person may want to know; watching goes on.
    Flagged {
        /// What, as a sentence.
        flag: String,
    },
    /// The vendor finished its part.
    VendorDone {
        /// How many outputs there are to fetch (jobs only).
        outputs: u32,
    },
    /// The vendor says that it failed.
    VendorFailed {
        /// The vendor's reason, as a sentence.
        message: String,
        /// Whether the vendor said success and delivered nothing.
        no_output: bool,
        /// The vendor's record as it was understood, for the evidence.
        reply: String,
    },
    /// One output of this job is on disk.
    OutputHome,
    /// One output of this job could not be fetched; a person has to look.
    OutputLost {
        /// Which one and why, as a sentence.
        message: String,
    },
    /// An output that was given up is being fetched again.
    OutputResumed,
    /// The file is on disk, whole.
    Fetched,
    /// The prepared video file went stale: ask for it again.
    PrepareAgain {
        /// Why, as a sentence.
        note: String,
    },
    /// Only a person can decide how this goes on.
    NeedsPerson {
        /// Short word for the case.
        reason: Reason,
        /// Why, as a sentence.
        message: String,
    },
    /// The user no longer wants it.
    CancelRequested,
    /// A person says: this thing at the vendor is it.
    Adopt {
        /// What the vendor named it.
        remote_id: String,
        /// Who decided, and why.
        by: String,
    },
    /// A person says: it is not there, send it again.
    Resubmit {
        /// Who decided, and why.
        by: String,
    },
    /// A person says: forget it.
    Abandon {
        /// Who decided, and why.
        by: String,
    },
    /// A person says: it is there, look again.
    Rewatch {
        /// Who decided, and why.
        by: String,
    },
    /// A person says what a job is that the vendor lists and that concerns this row.
    Answered {
        /// The vendor's name for that job.
        remote_id: String,
        /// What it is, as a sentence.
        note: String,
        /// Who decided, and why.
        by: String,
    },
}

impl Event {
    /// What the vendor named it, in the events that bring that.
    pub fn remote_id(&self) -> Option<&str> {
        match self {
            Self::Accepted { remote_id }
            | Self::Found { remote_id, .. }
            | Self::Adopt { remote_id, .. } => Some(remote_id),
            _ => None,
        }
    }

    /// Whether it is for the record even where it moves nothing.
    pub fn is_said(&self) -> bool {
        matches!(self, Self::Answered { .. })
    }

    /// The word stored in `events.cause`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ParentReady => "parent_ready",
            Self::ParentFailed { .. } => "parent_failed",
            Self::ParentCancelled { .. } => "parent_cancelled",
            Self::SendStarted { .. } => "send_started",
            Self::Postponed { .. } => "postponed",
            Self::Unsendable { .. } => "unsendable",
            Self::Accepted { .. } => "accepted",
            Self::CallFailed { .. } => "call_failed",
            Self::OutcomeUnknown { .. } => "outcome_unknown",
            Self::LookAgain { .. } => "look_again",
            Self::Found { .. } => "found",
            Self::Absent { .. } => "absent",
            Self::LookFailed { .. } => "look_failed",
            Self::Recovered => "recovered",
            Self::Flagged { .. } => "flagged",
            Self::VendorDone { .. } => "vendor_done",
            Self::VendorFailed { .. } => "vendor_failed",
            Self::OutputHome => "output_home",
            Self::OutputLost { .. } => "output_lost",
            Self::OutputResumed => "output_resumed",
            Self::Fetched => "fetched",
            Self::PrepareAgain { .. } => "prepare_again",
            Self::NeedsPerson { .. } => "needs_person",
            Self::CancelRequested => "cancel_requested",
            Self::Adopt { .. } => "adopt",
            Self::Resubmit { .. } => "resubmit",
            Self::Abandon { .. } => "abandon",
            Self::Rewatch { .. } => "rewatch",
            Self::Answered { .. } => "answered",
        }
    }
}

/// Why a row failed or waits for a person: the word in `error_class`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The vendor refused the call for good.
    Refused,
    /// Something it depended on failed or was cancelled.
    Dependency,
    /// It refers to something that does not exist.
    Unsendable,
    /// The vendor tried and failed.
    VendorFailed,
    /// The vendor said success and delivered nothing.
    NoOutput,
    /// A person gave it up.
    Abandoned,
    /// The reply was lost and looking cannot settle it.
    Undecidable,
    /// The vendor answered with an id that another row holds.
    IdTaken,
    /// It was surely absent twice; something swallows it.
    AbsentTwice,
    /// The training fell back to `new`.
    FellBack,
    /// The vendor no longer knows an id it gave us.
    Missing,
    /// An output could not be fetched in time.
    Unfetched,
    /// The vendor's model is not as we left it (inputs, status).
    Mismatch,
    /// The vendor neither finishes it nor says that it failed; watching goes on, slowly.
    Stalled,
}

impl Reason {
    /// Every reason, for the door between rows and types.
    pub const ALL: [Self; 14] = [
        Self::Refused,
        Self::Dependency,
        Self::Unsendable,
        Self::VendorFailed,
        Self::NoOutput,
        Self::Abandoned,
        Self::Undecidable,
        Self::IdTaken,
        Self::AbsentTwice,
        Self::FellBack,
        Self::Missing,
        Self::Unfetched,
        Self::Mismatch,
        Self::Stalled,
    ];

    /// The word stored in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Dependency => "dependency",
            Self::Unsendable => "unsendable",
            Self::VendorFailed => "vendor_failed",
            Self::NoOutput => "no_output",
            Self::Abandoned => "abandoned",
            Self::Undecidable => "undecidable",
            Self::IdTaken => "id_taken",
            Self::AbsentTwice => "absent_twice",
            Self::FellBack => "fell_back",
            Self::Missing => "missing",
            Self::Unfetched => "unfetched",
            Self::Mismatch => "mismatch",
            Self::Stalled => "stalled",
        }
    }

    /// Reads the stored word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}
