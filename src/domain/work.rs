//! One lifecycle for every outside effect, and the one function that moves it.
//!
//! ```text
//! waiting -> queued -> submitting -> running -> collecting -> succeeded
//!    |         ^           |  |         |            |
//!    |         |           |  '-> in_doubt           '-> attention
//!    '-> failed, cancelled |         |  '-> running (found), attention (undecidable)
//!              '-----------'---------'  (refused for now, not sent, surely absent)
//! ```

use super::event::{Event, Reason};
use super::failure::{Failure, FailureClass};
use super::ids::{Id, Millis};
use super::schedule::{self, Timing};

pub use super::state::{Kind, State};

/// Why a row failed or waits for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The class.
    pub reason: Reason,
    /// One sentence for people.
    pub message: String,
}

/// The lifecycle of one outside effect. Loaded from a row, evolved, stored back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Our id.
    pub id: Id,
    /// Which effect.
    pub kind: Kind,
    /// Where it stands.
    pub state: State,
    /// How many calls went out that may have had an effect.
    pub attempt: u32,
    /// Soft failures in a row: drives back-off, zero after any success.
    pub failures: u32,
    /// How often the effect turned out to be surely absent.
    pub absences: u32,
    /// The vendor's name for it, once known.
    pub remote_id: Option<String>,
    /// When the vendor took it, once known.
    pub accepted_at: Option<Millis>,
    /// Where the poll grid starts, once accepted.
    pub poll_anchor: Option<Millis>,
    /// Since when looks have been failing or bringing nothing usable.
    pub trouble_since: Option<Millis>,
    /// When the user asked for an end.
    pub cancel_requested_at: Option<Millis>,
    /// Something noteworthy while it goes on (slow training, unknown status).
    pub flag: Option<String>,
    /// The last soft failure, as a sentence; empty after any success.
    pub note: Option<String>,
    /// Why it failed or waits for a person.
    pub error: Option<Trouble>,
}

/// An event that the state does not accept. Nothing changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {kind} that is {state} does not accept the event {event}")]
pub struct Illegal {
    /// Which kind of work.
    pub kind: Kind,
    /// Where it stood.
    pub state: &'static str,
    /// What happened.
    pub event: &'static str,
}

impl Work {
    /// A new piece of work, ready at once.
    pub fn new(id: Id, kind: Kind, state: State) -> Self {
        Self {
            id,
            kind,
            state,
            attempt: 0,
            failures: 0,
            absences: 0,
            remote_id: None,
            accepted_at: None,
            poll_anchor: None,
            trouble_since: None,
            cancel_requested_at: None,
            flag: None,
            note: None,
            error: None,
        }
    }

    /// When a running row is looked at next: the end of a back-off, else the poll grid.
    ///
    /// `None` when nothing but another row or a person wakes it.
    pub fn next_look(&self, now: Millis, timing: &Timing) -> Option<Millis> {
        match self.state {
            State::Running { due } if due > now => Some(due),
            State::Running { due } => Some(schedule::grid_next(
                self.poll_anchor.unwrap_or(due),
                schedule::step(self.kind.poll_interval(timing)),
                now,
            )),
            _ => self.state.due(),
        }
    }

    /// Whether others that wait for this one may go on.
    pub fn satisfies_dependants(&self) -> bool {
        match self.state {
            State::Succeeded { .. } => true,
            // The vendor has finished it; its outputs have remote ids already.
            State::Collecting { .. } => {
                self.kind == Kind::Job && self.cancel_requested_at.is_none()
            }
            _ => false,
        }
    }

    /// What `event` makes of this at `now`: the only place where a state changes.
    ///
    /// # Errors
    /// [`Illegal`] when the state does not accept the event; terminal states accept none.
    pub fn evolve(&self, event: &Event, now: Millis, timing: &Timing) -> Result<Self, Illegal> {
        let mut next = self.clone();
        let known = match self.state {
            _ if event.is_said() && !self.state.is_terminal() && !self.acts_on_answers() => {
                next.hear_answer(event);
                Some(())
            }
            State::Waiting { parents } => next.on_waiting(parents, event, now),
            State::Queued { .. } => next.on_queued(event, now, timing),
            State::Submitting { intent } => next.on_submitting(intent, event, now, timing),
            State::InDoubt { intent, .. } => next.on_in_doubt(intent, event, now, timing),
            State::Running { .. } => next.on_running(event, now, timing),
            State::Collecting { missing } => next.on_collecting(missing, event, now),
            State::Fetching { .. } => next.on_fetching(event, now),
            State::Attention { missing } => next.on_attention(missing, event, now, timing),
            State::Succeeded { .. } | State::Failed { .. } | State::Cancelled { .. } => None,
        };
        known.map(|()| next).ok_or_else(|| Illegal {
            kind: self.kind,
            state: self.state.as_str(),
            event: event.name(),
        })
    }

    fn on_waiting(&mut self, parents: u32, event: &Event, now: Millis) -> Option<()> {
        match event {
            Event::ParentReady if parents > 1 => {
                self.state = State::Waiting { parents: parents - 1 };
            }
            Event::ParentReady => self.state = State::Queued { due: now },
            Event::ParentFailed { message } => self.fail(Reason::Dependency, message, now),
            Event::ParentCancelled { message } => {
                self.error = Some(Trouble { reason: Reason::Dependency, message: message.clone() });
                self.state = State::Cancelled { at: now };
            }
            Event::CancelRequested => self.cancel(now),
            _ => return None,
        }
        Some(())
    }

    fn on_queued(&mut self, event: &Event, now: Millis, timing: &Timing) -> Option<()> {
        match event {
            Event::SendStarted { intent } => {
                self.attempt = self.attempt.saturating_add(1);
                self.state = State::Submitting { intent: *intent };
            }
            Event::Postponed { until, note } => {
                self.soft_failure(note);
                self.state = State::Queued { due: *until };
            }
            Event::Unsendable { message } => self.fail(Reason::Unsendable, message, now),
            // A look before it is sent again found something that may be it.
            Event::LookAgain { at, note } if self.absences > 0 => {
                self.failures = 0;
                self.note = Some(note.clone());
                self.state = State::Queued { due: *at };
            }
            // It was taken for absent, and came to light before it was sent again.
            Event::Found { remote_id, .. } if self.absences > 0 => {
                self.accepted(remote_id, now, timing);
            }
            // A person knows that the vendor has it already.
            Event::Adopt { remote_id, .. } if self.kind == Kind::Job => {
                self.accepted(remote_id, now, timing);
            }
            // What it was held up by may be out of the way.
            Event::Answered { .. } if self.absences > 0 => self.state = State::Queued { due: now },
            Event::NeedsPerson { reason, message } => self.park(*reason, message, 0),
            Event::CancelRequested => self.cancel(now),
            _ => return None,
        }
        Some(())
    }

    fn on_submitting(
        &mut self,
        intent: i64,
        event: &Event,
        now: Millis,
        timing: &Timing,
    ) -> Option<()> {
        match event {
            Event::Accepted { remote_id } => self.accepted(remote_id, now, timing),
            Event::CallFailed { failure } => self.call_failed(intent, failure, now, timing),
            Event::OutcomeUnknown { note } => self.outcome_unknown(intent, note, now, timing),
            Event::NeedsPerson { reason, message } => self.park(*reason, message, 0),
            Event::CancelRequested => self.wish_cancel(now),
            _ => return None,
        }
        Some(())
    }

    fn on_in_doubt(
        &mut self,
        intent: i64,
        event: &Event,
        now: Millis,
        timing: &Timing,
    ) -> Option<()> {
        match event {
            Event::LookAgain { at, note } => {
                self.failures = 0;
                self.note = Some(note.clone());
                self.state = State::InDoubt { intent, due: *at };
            }
            Event::LookFailed { until, note } => {
                self.soft_failure(note);
                self.state = State::InDoubt { intent, due: *until };
            }
            Event::Found { remote_id, .. } => self.accepted(remote_id, now, timing),
            Event::Absent { note } => self.absent(note, now),
            Event::NeedsPerson { reason, message } => self.park(*reason, message, 0),
            Event::CancelRequested => self.wish_cancel(now),
            // A person need not wait for what the looks will prove.
            Event::Adopt { remote_id, .. } => self.accepted(remote_id, now, timing),
            Event::Resubmit { .. } => self.resubmit(now),
            Event::Abandon { by } => self.abandon(by, now),
            // The next look sees what is left.
            Event::Answered { .. } => self.state = State::InDoubt { intent, due: now },
            _ => return None,
        }
        Some(())
    }

    fn on_running(&mut self, event: &Event, now: Millis, timing: &Timing) -> Option<()> {
        match event {
            Event::LookFailed { until, note } => {
                self.soft_failure(note);
                self.trouble_since = self.trouble_since.or(Some(now));
                self.state = State::Running { due: *until };
            }
            Event::Recovered => {
                self.clear_trouble();
                self.flag = None;
                // Already past: from here on the poll grid decides.
                self.state = State::Running { due: now };
            }
            Event::Flagged { flag } => self.flag = Some(flag.clone()),
            Event::VendorDone { outputs } => return self.vendor_done(*outputs, now),
            Event::VendorFailed { message, no_output, .. } => {
                self.vendor_failed(message, *no_output, now);
            }
            Event::PrepareAgain { note } if self.kind == Kind::Output => {
                self.prepare_again(note, now);
            }
            Event::NeedsPerson { reason, message } => self.park(*reason, message, 0),
            Event::CancelRequested => self.wish_cancel(now),
            // What it was bought as has another id than the reply said.
            Event::Adopt { remote_id, .. } if self.kind == Kind::Job => {
                self.accepted(remote_id, now, timing);
            }
            // It stays at the vendor; `retry` fetches what becomes of it. An output ends with its job.
            Event::Abandon { by } if self.kind != Kind::Output => self.abandon(by, now),
            _ => return None,
        }
        Some(())
    }

    fn on_collecting(&mut self, missing: u32, event: &Event, now: Millis) -> Option<()> {
        match event {
            Event::OutputHome if missing > 1 => {
                self.state = State::Collecting { missing: missing - 1 };
            }
            Event::OutputHome => self.finish(now),
            Event::OutputLost { message } => self.park(Reason::Unfetched, message, missing),
            // Another output brought it back already.
            Event::OutputResumed => {}
            Event::Abandon { by } => self.abandon(by, now),
            Event::CancelRequested => self.wish_cancel(now),
            _ => return None,
        }
        Some(())
    }

    fn on_fetching(&mut self, event: &Event, now: Millis) -> Option<()> {
        match event {
            Event::Fetched => self.finish(now),
            // No room for it here: that says nothing about whether it can be fetched.
            Event::LookAgain { at, note } => {
                self.note = Some(note.clone());
                self.state = State::Fetching { due: *at };
            }
            Event::LookFailed { until, note } => {
                self.soft_failure(note);
                self.trouble_since = self.trouble_since.or(Some(now));
                self.state = State::Fetching { due: *until };
            }
            Event::PrepareAgain { note } => self.prepare_again(note, now),
            Event::NeedsPerson { reason, message } => self.park(*reason, message, 0),
            _ => return None,
        }
        Some(())
    }

    fn on_attention(
        &mut self,
        missing: u32,
        event: &Event,
        now: Millis,
        timing: &Timing,
    ) -> Option<()> {
        match event {
            // A job that the vendor has may turn out to be another one there, as long as none of its
            // files is known.
            Event::Adopt { remote_id, .. }
                if self.remote_id.is_none() || (self.kind == Kind::Job && missing == 0) =>
            {
                self.error = None;
                self.accepted(remote_id, now, timing);
            }
            // It is still watched, and the vendor has said what became of it.
            Event::VendorDone { outputs } if self.is_stalled() => {
                self.error = None;
                return self.vendor_done(*outputs, now);
            }
            Event::VendorFailed { message, no_output, .. } if self.is_stalled() => {
                self.vendor_failed(message, *no_output, now);
            }
            Event::Recovered if self.is_stalled() => {
                self.error = None;
                self.clear_trouble();
                self.flag = None;
                self.state = State::Running { due: now };
            }
            // A later list settles what was left to a person, until that person decides.
            Event::Found { remote_id, .. } if self.is_undecided() => {
                self.error = None;
                self.accepted(remote_id, now, timing);
            }
            Event::Absent { note } if self.is_undecided() && self.absences == 0 => {
                self.error = None;
                self.absent(note, now);
            }
            // Once the vendor has it, sending again is a new purchase: a new row (`retry`).
            Event::Resubmit { .. } if self.remote_id.is_none() => self.resubmit(now),
            Event::Abandon { by } => self.abandon(by, now),
            Event::Rewatch { .. } if self.remote_id.is_some() => {
                self.error = None;
                self.clear_trouble();
                self.poll_anchor = Some(now);
                self.state = match self.kind {
                    Kind::Output => State::Fetching { due: now },
                    Kind::Job if missing > 0 => State::Collecting { missing },
                    _ => State::Running { due: now },
                };
            }
            Event::OutputResumed if missing > 0 => {
                self.error = None;
                self.state = State::Collecting { missing };
            }
            // A second lost output changes nothing; the first one already asked for a person.
            Event::OutputLost { .. } if missing > 0 => {}
            // Another output may still arrive while one waits for a person.
            Event::OutputHome if missing > 1 => {
                self.state = State::Attention { missing: missing - 1 }
            }
            Event::CancelRequested => self.cancel(now),
            _ => return None,
        }
        Some(())
    }

    /// Whether a person's answer about a listed job changes what happens next; elsewhere it is only
    /// for the record.
    fn acts_on_answers(&self) -> bool {
        match self.state {
            State::InDoubt { .. } => true,
            State::Queued { .. } => self.absences > 0,
            _ => false,
        }
    }

    /// What waits for a person says what that person has said already.
    fn hear_answer(&mut self, event: &Event) {
        if let (State::Attention { .. }, Event::Answered { note, .. }, Some(error)) =
            (self.state, event, self.error.as_mut())
            && !error.message.contains(note)
        {
            error.message = format!("{}; since then: {note}", error.message);
        }
    }

    /// A person's word that it is not at the vendor: nothing is looked for any more, and two more
    /// absences are needed before it is asked about again.
    fn resubmit(&mut self, now: Millis) {
        self.error = None;
        self.absences = 0;
        // Whoever wants it sent again wants it.
        self.cancel_requested_at = None;
        self.clear_trouble();
        self.state = State::Queued { due: now };
    }

    /// Whether it waits for a person because nobody knows whether the vendor has it.
    pub fn is_undecided(&self) -> bool {
        let reason = self.error.as_ref().map(|error| error.reason);
        let lost = matches!(reason, Some(Reason::Undecidable | Reason::AbsentTwice));
        lost && self.kind == Kind::Job && self.remote_id.is_none()
    }

    /// Whether a person is asked although it is still watched: the vendor has it and does not say
    /// what becomes of it.
    pub fn is_stalled(&self) -> bool {
        let reason = self.error.as_ref().map(|error| error.reason);
        matches!(self.state, State::Attention { .. }) && reason == Some(Reason::Stalled)
    }

    /// The vendor has it: the end for synchronous effects, the start of watching for others.
    fn accepted(&mut self, remote_id: &str, now: Millis, timing: &Timing) {
        self.remote_id = Some(remote_id.to_owned());
        self.accepted_at = Some(now);
        // A prepared video file is no success yet: only the fetched one ends the count.
        if self.kind != Kind::Output {
            self.clear_trouble();
        }
        if self.kind.ends_when_accepted() {
            return self.finish(now);
        }
        let interval = self.kind.poll_interval(timing);
        let (anchor, due) = schedule::first_look(self.id, now, interval, timing);
        self.poll_anchor = Some(anchor);
        self.state = State::Running { due };
    }

    fn call_failed(&mut self, intent: i64, failure: &Failure, now: Millis, timing: &Timing) {
        match failure.class {
            // Asking for a file again is harmless, and it is paid for: not lost to one "no".
            FailureClass::RefusedForGood
            | FailureClass::RefusedForNow
            | FailureClass::InsufficientCredits
                if self.kind == Kind::Output =>
            {
                self.prepare_again(&failure.message, now);
            }
            FailureClass::NotSent | FailureClass::RefusedForNow => {
                let delay = schedule::backoff(self.id, self.failures);
                let delay = delay.max(failure.retry_after.unwrap_or(0).min(schedule::HOURLY));
                self.back_to_queue(now.saturating_add(delay), &failure.message, now);
            }
            // A pause is set beside this; the row is ready as soon as it is lifted.
            FailureClass::Unauthorized | FailureClass::InsufficientCredits => {
                self.back_to_queue(now, &failure.message, now);
            }
            FailureClass::RefusedForGood => self.fail(Reason::Refused, &failure.message, now),
            // A read's class on an effect would be a bug of ours: never treat it as "not sent".
            FailureClass::Unknown | FailureClass::ReadFailed => {
                self.outcome_unknown(intent, &failure.message, now, timing);
            }
        }
    }

    fn outcome_unknown(&mut self, intent: i64, note: &str, now: Millis, timing: &Timing) {
        match self.kind {
            // Looking at the prepared file is polling it.
            Kind::Output => {
                self.poll_anchor = Some(now);
                self.note = Some(note.to_owned());
                self.state = State::Running { due: now.saturating_add(timing.poll_download) };
            }
            // Setting the same fields or deleting again changes nothing more.
            Kind::Change if self.cancel_requested_at.is_some() => self.cancel(now),
            Kind::Change => {
                let delay = schedule::backoff(self.id, self.failures);
                self.soft_failure(note);
                self.state = State::Queued { due: now.saturating_add(delay) };
            }
            Kind::Model | Kind::Upload | Kind::Training | Kind::Job => {
                self.note = Some(note.to_owned());
                self.state = State::InDoubt { intent, due: now };
            }
        }
    }

    fn absent(&mut self, note: &str, now: Millis) {
        if self.cancel_requested_at.is_some() {
            return self.cancel(now);
        }
        self.absences = self.absences.saturating_add(1);
        if self.kind.is_paid() && self.absences > 1 {
            let message = format!(
                "it was sent twice and twice the vendor did not have it ({note}); \
                 it is not sent a third time without a person"
            );
            return self.park(Reason::AbsentTwice, &message, 0);
        }
        let delay = schedule::backoff(self.id, self.absences);
        // The looks that proved it got through.
        self.failures = 0;
        self.note = Some(note.to_owned());
        self.state = State::Queued { due: now.saturating_add(delay) };
    }

    fn vendor_done(&mut self, outputs: u32, now: Millis) -> Option<()> {
        match (self.kind, outputs) {
            (Kind::Job, 1..) => {
                self.clear_trouble();
                self.flag = None;
                self.state = State::Collecting { missing: outputs };
            }
            (Kind::Model | Kind::Training, 0) => self.finish(now),
            (Kind::Output, 0) => {
                self.state = State::Fetching { due: now };
            }
            _ => return None,
        }
        Some(())
    }

    fn vendor_failed(&mut self, message: &str, no_output: bool, now: Millis) {
        let reason = if no_output { Reason::NoOutput } else { Reason::VendorFailed };
        self.fail(reason, message, now);
    }

    fn prepare_again(&mut self, note: &str, now: Millis) {
        let delay = schedule::backoff(self.id, self.failures);
        self.soft_failure(note);
        self.trouble_since = self.trouble_since.or(Some(now));
        self.state = State::Queued { due: now.saturating_add(delay) };
    }

    /// Nothing happened at the vendor: the attempt does not count.
    fn back_to_queue(&mut self, due: Millis, note: &str, now: Millis) {
        if self.cancel_requested_at.is_some() {
            return self.cancel(now);
        }
        self.attempt = self.attempt.saturating_sub(1);
        self.soft_failure(note);
        self.state = State::Queued { due };
    }

    fn soft_failure(&mut self, note: &str) {
        self.failures = self.failures.saturating_add(1);
        self.note = Some(note.to_owned());
    }

    fn clear_trouble(&mut self) {
        self.failures = 0;
        self.trouble_since = None;
        self.note = None;
    }

    fn wish_cancel(&mut self, now: Millis) {
        self.cancel_requested_at = self.cancel_requested_at.or(Some(now));
    }

    fn cancel(&mut self, now: Millis) {
        self.wish_cancel(now);
        self.note = None;
        self.state = State::Cancelled { at: now };
    }

    /// The effect is there and everything it brought is home.
    fn finish(&mut self, now: Millis) {
        self.clear_trouble();
        self.flag = None;
        self.state = if self.cancel_requested_at.is_some() {
            State::Cancelled { at: now }
        } else {
            State::Succeeded { at: now }
        };
    }

    fn fail(&mut self, reason: Reason, message: &str, now: Millis) {
        self.note = None;
        self.error = Some(Trouble { reason, message: message.to_owned() });
        self.state = State::Failed { at: now };
    }

    fn abandon(&mut self, by: &str, now: Millis) {
        self.fail(Reason::Abandoned, &format!("given up by a person: {by}"), now);
    }

    fn park(&mut self, reason: Reason, message: &str, missing: u32) {
        self.note = None;
        self.error = Some(Trouble { reason, message: message.to_owned() });
        self.state = State::Attention { missing };
    }
}

#[cfg(test)]
#[path = "work_tests.rs"]
mod tests;
