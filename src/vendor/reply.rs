//! What an answer means. Pure: the same bytes always give the same verdict.
//!
//! | answer | read | side-effecting call |
//! |---|---|---|
//! | nothing was sent | `ReadFailed` | `NotSent` |
//! | time-out, broken connection, 1xx, 3xx, 5xx | `ReadFailed` | `Unknown` |
//! | 2xx, status `OK`, the expected fields | value | value |
//! | 2xx, no status, the expected fields | value | `Unknown` |
//! | 2xx otherwise (`NOK`, undecodable, no id) | `ReadFailed` | `Unknown` |
//! | 401 with the envelope | `Unauthorized` | `Unauthorized` |
//! | 401 without | `Unauthorized` | `Unknown` |
//! | 402, or a 4xx about insufficient credits, with the envelope | `ReadFailed` | `InsufficientCredits` |
//! | 429 with the envelope | `RefusedForNow` | `RefusedForNow` |
//! | 429 without | `RefusedForNow` | `Unknown` |
//! | 409 with the envelope | `ReadFailed` | `RefusedForNow` |
//! | 408 and 499, envelope or not | `ReadFailed` | `Unknown` |
//! | other 4xx with the envelope | `ReadFailed` | `RefusedForGood` |
//! | other 4xx without | `ReadFailed` | `Unknown` |
//!
//! An edge in front of the vendor also answers 4xx, and most likely before any work was done; but
//! only the vendor's own envelope proves that the vendor itself has refused (design section 4).

use super::wire::Wire;
use crate::domain::failure::{Failure, FailureClass};
use crate::domain::ids::Millis;
use serde_json::{Map, Value};

/// How much of a reply is kept as evidence, in bytes.
const EVIDENCE_BYTES: usize = 4096;
/// How much of the vendor's message is quoted in ours, in characters.
const QUOTED_CHARS: usize = 300;
/// A longer `Retry-After` is a mistake rather than advice: one day, in milliseconds.
const MAX_RETRY_AFTER: Millis = 24 * 60 * 60 * 1000;

/// Whether a call may have changed something at the vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallKind {
    /// Free to repeat.
    Read,
    /// Side-effecting: every POST and DELETE, and the two GETs that start something
    /// (vendor-api.md 2.7 and 2.19).
    Effect,
}

/// One kind of call, with words for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// Which rules apply.
    pub(super) kind: CallKind,
    /// What was attempted, as it reads at the start of a sentence: `Starting the training`.
    pub(super) what: &'static str,
}

impl Call {
    /// A safe read.
    pub(super) const fn read(what: &'static str) -> Self {
        Self { kind: CallKind::Read, what }
    }

    /// A side-effecting call.
    pub(super) const fn effect(what: &'static str) -> Self {
        Self { kind: CallKind::Effect, what }
    }

    /// The failure for a request that never left.
    pub(super) fn not_sent(self, problem: &str) -> Failure {
        let class = match self.kind {
            CallKind::Read => FailureClass::ReadFailed,
            CallKind::Effect => FailureClass::NotSent,
        };
        self.failure(class, &format!("could not be sent: {problem}"), None)
    }

    /// The failure for a reply that was read and makes no sense: somebody did answer.
    pub(super) fn senseless(self, problem: &str) -> Failure {
        Failure { http_status: Some(200), ..self.unusable(problem, None) }
    }

    /// The failure for an answer that settles nothing.
    pub(super) fn unusable(self, problem: &str, reply: Option<&HttpReply>) -> Failure {
        match self.kind {
            CallKind::Read => self.failure(FailureClass::ReadFailed, problem, reply),
            CallKind::Effect => self.failure(
                FailureClass::Unknown,
                &format!("{problem}; it is unknown whether it happened"),
                reply,
            ),
        }
    }

    fn failure(self, class: FailureClass, problem: &str, reply: Option<&HttpReply>) -> Failure {
        Failure {
            class,
            message: format!("{} {problem}", self.what),
            http_status: reply.map(|reply| reply.status),
            reply: reply.map(|reply| evidence(&reply.body)).filter(|text| !text.is_empty()),
            retry_after: reply.and_then(HttpReply::retry_after_millis),
        }
    }
}

/// The part of an HTTP answer that matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HttpReply {
    /// The HTTP status.
    pub(super) status: u16,
    /// The `Date` header, Unix milliseconds.
    pub(super) date: Option<Millis>,
    /// The `Retry-After` header as sent: seconds or an HTTP date (undocumented, vendor-api.md U15).
    pub(super) retry_after: Option<String>,
    /// The body, complete.
    pub(super) body: Vec<u8>,
}

impl HttpReply {
    /// `Retry-After` in milliseconds from now. A date is measured against the reply's own `Date`,
    /// so that the difference between the two clocks does not matter.
    fn retry_after_millis(&self) -> Option<Millis> {
        let text = self.retry_after.as_deref()?.trim();
        let millis = match text.parse::<f64>() {
            // A float cast saturates; the clamp below makes it sane.
            Ok(seconds) if seconds.is_finite() => (seconds * 1000.0) as Millis,
            Ok(_) => return None,
            Err(_) => parse_http_date(text)?.saturating_sub(self.date?),
        };
        Some(millis.clamp(0, MAX_RETRY_AFTER))
    }
}

/// How an exchange with the vendor ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// A complete answer came.
    Answered(HttpReply),
    /// Provably nothing was sent: no address, no connection, no TLS session.
    NotSent(String),
    /// The deadline passed; the request may have arrived.
    TimedOut(String),
    /// The connection ended before a complete answer; the request may have arrived.
    Broken {
        /// What happened, for people.
        problem: String,
        /// Status and headers, when they came before it broke.
        partial: Option<HttpReply>,
    },
}

impl Transport {
    /// The vendor's clock, when an answer began to arrive.
    pub(super) fn vendor_time(&self) -> Option<Millis> {
        match self {
            Self::Answered(reply) | Self::Broken { partial: Some(reply), .. } => reply.date,
            _ => None,
        }
    }
}

/// The verdict on one exchange: the vendor's envelope when it says yes, else the failure.
///
/// A yes is not the end of it: [`settle`] also wants the fields that the call must bring.
pub(super) fn classify(call: Call, transport: &Transport) -> Result<Map<String, Value>, Failure> {
    let reply = match transport {
        Transport::Answered(reply) => reply,
        Transport::NotSent(problem) => return Err(call.not_sent(problem)),
        Transport::TimedOut(problem) => {
            return Err(call.unusable(&format!("got no answer in time ({problem})"), None));
        }
        Transport::Broken { problem, partial } => {
            let problem = format!("got no complete answer ({problem})");
            return Err(call.unusable(&problem, partial.as_ref()));
        }
    };
    let envelope = match serde_json::from_slice(&reply.body) {
        Ok(Value::Object(envelope)) => Some(envelope),
        _ => None,
    };
    match reply.status {
        200..=299 => accepted(call, reply, envelope),
        400..=499 => Err(refused(call, reply, envelope.as_ref())),
        status => Err(call.unusable(
            &format!("got HTTP {status}{}", quoted(envelope.as_ref().and_then(vendor_message))),
            Some(reply),
        )),
    }
}

/// The verdict on one exchange, with the value decoded. A yes without the expected fields is no
/// yes: `Unknown` for an effect, `ReadFailed` for a read.
pub(super) fn settle<T: Wire>(call: Call, transport: &Transport) -> Result<T, Failure> {
    let envelope = classify(call, transport)?;
    T::from_envelope(envelope).map_err(|problem| {
        let reply = match transport {
            Transport::Answered(reply) => Some(reply),
            _ => None,
        };
        call.unusable(&format!("got an answer that cannot be read: {problem}"), reply)
    })
}

fn accepted(
    call: Call,
    reply: &HttpReply,
    envelope: Option<Map<String, Value>>,
) -> Result<Map<String, Value>, Failure> {
    let Some(envelope) = envelope else {
        let problem = format!("got HTTP {} without the vendor's JSON", reply.status);
        return Err(call.unusable(&problem, Some(reply)));
    };
    let says_yes = match (status_word(&envelope), call.kind) {
        (Some(word), _) => word.eq_ignore_ascii_case("OK"),
        (None, CallKind::Read) => !envelope.contains_key("status"),
        (None, CallKind::Effect) => false,
    };
    if says_yes {
        return Ok(envelope);
    }
    let status = status_word(&envelope).unwrap_or("missing");
    let message = quoted(vendor_message(&envelope));
    let problem = format!("got HTTP {} with status {}{message}", reply.status, clip(status));
    Err(call.unusable(&problem, Some(reply)))
}

fn refused(call: Call, reply: &HttpReply, envelope: Option<&Map<String, Value>>) -> Failure {
    use FailureClass::{
        InsufficientCredits, ReadFailed, RefusedForGood, RefusedForNow, Unauthorized,
    };
    let by_vendor = envelope.is_some_and(is_refusal);
    let message = envelope.and_then(vendor_message);
    let class = match (call.kind, reply.status) {
        (CallKind::Read, 401) => Unauthorized,
        (CallKind::Read, 429) => RefusedForNow,
        (CallKind::Read, _) => ReadFailed,
        // Both say that somebody stopped waiting, not that nothing was done.
        (CallKind::Effect, 408 | 499) => FailureClass::Unknown,
        (CallKind::Effect, _) if !by_vendor => FailureClass::Unknown,
        (CallKind::Effect, 401) => Unauthorized,
        (CallKind::Effect, 402) => InsufficientCredits,
        (CallKind::Effect, _) if envelope.is_some_and(is_about_credits) => InsufficientCredits,
        (CallKind::Effect, 409 | 429) => RefusedForNow,
        (CallKind::Effect, _) => RefusedForGood,
    };
    let status = reply.status;
    let message = quoted(message);
    match class {
        FailureClass::Unknown | ReadFailed => {
            call.unusable(&format!("got HTTP {status}{message}"), Some(reply))
        }
        Unauthorized => {
            let problem = format!("failed: the key was not accepted (HTTP {status}){message}");
            call.failure(class, &problem, Some(reply))
        }
        InsufficientCredits => {
            let problem = format!("was refused for lack of credits (HTTP {status}){message}");
            call.failure(class, &problem, Some(reply))
        }
        RefusedForNow => call.failure(
            class,
            &format!("was refused for now (HTTP {status}){message}"),
            Some(reply),
        ),
        _ => call.failure(class, &format!("was refused (HTTP {status}){message}"), Some(reply)),
    }
}

/// Whether a 4xx body is the vendor's "no" (vendor-api.md 1.2): status `NOK`, or an error text and
/// no status that says otherwise. A "no" that also carries a result contradicts itself.
fn is_refusal(envelope: &Map<String, Value>) -> bool {
    let says_no = match status_word(envelope) {
        Some(word) => word.eq_ignore_ascii_case("NOK"),
        None => !envelope.contains_key("status") && vendor_message(envelope).is_some(),
    };
    let empty = match envelope.get("result") {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(fields)) => fields.is_empty(),
        Some(_) => false,
    };
    says_no && empty
}

/// Whether a failed call was answered with the vendor's own "no": a page of a proxy, or of another
/// server altogether, says nothing about what the vendor knows.
pub fn is_the_vendors_no(failure: &Failure) -> bool {
    let reply = failure.reply.as_deref().unwrap_or_default();
    matches!(serde_json::from_str(reply), Ok(Value::Object(envelope)) if is_refusal(&envelope))
}

fn status_word(envelope: &Map<String, Value>) -> Option<&str> {
    envelope.get("status").and_then(Value::as_str).map(str::trim)
}

/// The texts in which the vendor may explain itself: `message` is for people, `err` for logs,
/// `reason` was seen in the field (vendor-api.md 1.2).
fn explanations(envelope: &Map<String, Value>) -> impl Iterator<Item = &str> {
    ["message", "err", "reason"]
        .into_iter()
        .filter_map(|key| envelope.get(key).and_then(Value::as_str))
        .map(str::trim)
        .filter(|text| !text.is_empty())
}

fn vendor_message(envelope: &Map<String, Value>) -> Option<&str> {
    explanations(envelope).next()
}

/// The only wording known from the field (vendor-api.md U16, U17).
fn is_about_credits(envelope: &Map<String, Value>) -> bool {
    explanations(envelope).any(|text| text.to_lowercase().contains("insufficient credit"))
}

fn quoted(message: Option<&str>) -> String {
    message.map(|text| format!(": {}", clip(text))).unwrap_or_default()
}

/// One line of bounded length, without control characters.
fn clip(text: &str) -> String {
    let mut out: String =
        text.chars().take(QUOTED_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(QUOTED_CHARS).is_some() {
        out.push('…');
    }
    out
}

/// The start of a body as text. Cut by bytes, before the conversion, so that the result is bounded.
fn evidence(body: &[u8]) -> String {
    let start = body.get(..EVIDENCE_BYTES).unwrap_or(body);
    let mut text = String::from_utf8_lossy(start).into_owned();
    while text.len() > EVIDENCE_BYTES {
        // Replacement characters are longer than the bytes they stand for.
        text.pop();
    }
    text
}

/// An HTTP date (`Sun, 06 Nov 1994 08:49:37 GMT`) as Unix milliseconds.
pub(super) fn parse_http_date(text: &str) -> Option<Millis> {
    chrono::DateTime::parse_from_rfc2822(text.trim()).ok().map(|time| time.timestamp_millis())
}
