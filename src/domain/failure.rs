//! What can go wrong with one vendor call, as classes with one rule each (design section 3.1).

use super::ids::Millis;
use serde::{Deserialize, Serialize};

/// What a failed call means for the work behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The request provably never left (connect error, DNS, TLS): free to retry.
    NotSent,
    /// A 4xx with the vendor's envelope that will not change (400, 404 on create, unknown 4xx).
    RefusedForGood,
    /// 429 or 409 with the vendor's envelope: nothing happened, later. Consumes no attempt.
    RefusedForNow,
    /// 401: the key is not accepted. Everything pauses, nothing fails.
    Unauthorized,
    /// The account has no credits left. Spending pauses, nothing fails.
    InsufficientCredits,
    /// A side-effecting call whose outcome nobody knows: 5xx, no answer, a proxy's page.
    Unknown,
    /// A safe read that brought nothing usable: back off, keep the state.
    ReadFailed,
}

impl FailureClass {
    /// The word stored in the database and shown to people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::RefusedForGood => "refused_for_good",
            Self::RefusedForNow => "refused_for_now",
            Self::Unauthorized => "unauthorized",
            Self::InsufficientCredits => "insufficient_credits",
            Self::Unknown => "unknown",
            Self::ReadFailed => "read_failed",
        }
    }
}

/// One failed vendor call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which rule applies.
    pub class: FailureClass,
    /// One sentence for people; never holds the key.
    pub message: String,
    /// The HTTP status, when an answer came.
    pub http_status: Option<u16>,
    /// The start of the reply's body, when an answer came (at most 4 KiB, for the evidence).
    pub reply: Option<String>,
    /// `Retry-After` in milliseconds, when the vendor sent one.
    pub retry_after: Option<Millis>,
}

impl Failure {
    /// Whether the vendor says that the thing asked for does not exist (404).
    pub fn is_not_found(&self) -> bool {
        self.http_status == Some(404)
    }
}
