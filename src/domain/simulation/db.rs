//! The database of the simulation: rows, intents, the ledger, in memory.
//!
//! Each public method that changes something is one transaction: it refuses before it has changed
//! anything, and nobody dies inside of it. What each stands for:
//!
//! | here | in `src/store` |
//! |---|---|
//! | [`Db::start_send`] | `intents.rs`: `StartSend` |
//! | [`Db::recover`], [`Db::clamp_due`] | `intents.rs`: `Recover`, `ClampDue` |
//! | [`Db::apply`] | `apply.rs`: `transition`, `settle_intent`; `ledger.rs`: `follow` |
//! | [`Intent::healthy_at`], `note_look` | `intents.rs`: the same names |
//! | `listing.rs` beside this | `listing.rs` |

use super::bugs::Bug;
use crate::domain::event::Event;
use crate::domain::failure::FailureClass;
use crate::domain::ids::{Id, Millis};
use crate::domain::reconcile::Effect;
use crate::domain::reconcile::lag::{self, Lag, Moment};
use crate::domain::schedule::Timing;
use crate::domain::work::{Kind, State, Work};

/// `SENDING` of `src/store/apply.rs`.
pub(super) const SENDING: Millis = 120_000;

/// A row of `jobs` or `trainings`.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) work: Work,
    pub(super) hash: u8,
    pub(super) effect: Effect,
    pub(super) model: u8,
    /// Outputs that are being fetched: when each is due.
    pub(super) outputs: Vec<Millis>,
}

impl Row {
    pub(super) fn is_training(&self) -> bool {
        self.work.kind == Kind::Training
    }
}

/// A row of `intents`; all of them are in the paid lane.
#[derive(Clone, Debug)]
pub(super) struct Intent {
    pub(super) seq: i64,
    pub(super) row: usize,
    pub(super) vendor_time: Millis,
    pub(super) listed_seq: i64,
    pub(super) opened_at: Millis,
    pub(super) doubt_vendor: Option<Millis>,
    pub(super) healthy: Millis,
    pub(super) missed: bool,
    pub(super) looked_vendor: Option<Millis>,
    pub(super) looked_local: Option<Millis>,
    pub(super) looked_boot: Option<i64>,
    pub(super) looks: u32,
    pub(super) first_look: Option<Millis>,
    /// The event that settled it.
    pub(super) outcome: Option<&'static str>,
    /// Its entry in the ledger.
    pub(super) ledger: &'static str,
    pub(super) bought: Option<String>,
}

impl Intent {
    /// `OpenIntent::healthy_at`.
    pub(super) fn healthy_at(&self, now: &Moment, bug: Option<Bug>) -> Millis {
        if bug == Some(Bug::AbsenceByLocalClock) {
            return (now.local - self.opened_at).max(0);
        }
        let (Some(vendor), Some(local)) = (self.looked_vendor, self.looked_local) else {
            return self.healthy;
        };
        if self.missed && bug != Some(Bug::OutageCounts) {
            return self.healthy;
        }
        let last = Moment { vendor, local, boot: self.looked_boot };
        // The engine is stricter (see the head of `simulation`): a few intervals, whatever the boot.
        let same_boot = last.boot.is_some() && last.boot == now.boot;
        let longest = if same_boot { 10 * 60 * 1000 } else { Millis::MAX };
        self.healthy.saturating_add(lag::credited(&last, now, longest))
    }
}

/// A row of `listed_jobs`.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) remote: String,
    /// The vendor may not say.
    pub(super) created_at: Option<Millis>,
    pub(super) history: bool,
    pub(super) reserved_by: Option<i64>,
    pub(super) training: Option<usize>,
}

/// A look, as it is stored with the event that it led to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Look {
    Failed,
    Complete { at: Moment, healthy: Millis, empty: bool },
}

/// What is learnt with an event.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) look: Option<Look>,
    pub(super) reserve: Vec<String>,
}

/// Why a write was refused; nothing was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Illegal,
    /// `jobs_remote_id`: another row holds that id.
    Taken,
    /// `intents_one_open_per_lane`.
    Lane,
    /// What its earlier call made has come to light since the last look.
    Shown,
}

/// The file.
#[derive(Clone, Debug)]
pub(super) struct Db {
    pub(super) rows: Vec<Row>,
    pub(super) intents: Vec<Intent>,
    /// In the order of `seq`, which is the place plus one.
    pub(super) listed: Vec<Listed>,
    pub(super) lag: Lag,
    pub(super) shared: bool,
    /// The last complete listing: when, and how far back.
    pub(super) last: Option<(Millis, Millis)>,
    /// Up to when every job has come by that the list ever showed.
    pub(super) covered: Option<Millis>,
    pub(super) boots: i64,
    /// From the events: calls that were begun, and effects that were acknowledged.
    pub(super) sent: usize,
    pub(super) accepted: usize,
    pub(super) newest_event_at: Millis,
    pub(super) timing: Timing,
    pub(super) bug: Option<Bug>,
}

impl Db {
    pub(super) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    pub(super) fn work(&self, row: usize) -> &Work {
        &self.rows[row].work
    }

    pub(super) fn intent(&self, seq: i64) -> &Intent {
        &self.intents[seq as usize - 1]
    }

    fn intent_mut(&mut self, seq: i64) -> &mut Intent {
        &mut self.intents[seq as usize - 1]
    }

    pub(super) fn open_intents(&self) -> impl Iterator<Item = &Intent> {
        self.intents.iter().filter(|intent| intent.outcome.is_none())
    }

    pub(super) fn lane_is_free(&self) -> bool {
        let width = if self.has(Bug::WidthTwo) { 2 } else { 1 };
        self.open_intents().count() < width
    }

    /// The other paid calls in doubt: `Store::other_paid_doubts`.
    pub(super) fn other_doubts(&self, seq: i64) -> Vec<Intent> {
        let doubtful = |one: &&Intent| one.seq != seq && one.doubt_vendor.is_some();
        self.open_intents().filter(doubtful).cloned().collect()
    }

    /// `Store::absent_intent`.
    pub(super) fn absent_intent(&self, row: usize) -> Option<Intent> {
        let absent = |one: &&Intent| one.row == row && one.outcome == Some("absent");
        self.intents.iter().rev().find(absent).cloned()
    }

    pub(super) fn start_send(
        &mut self,
        row: usize,
        known: usize,
        vendor_time: Millis,
        now: Millis,
    ) -> Result<i64, Refused> {
        if !self.lane_is_free() {
            return Err(Refused::Lane);
        }
        if self.has_come_to_light(row, known) && !self.has(Bug::ShownOnTheWay) {
            return Err(Refused::Shown);
        }
        let seq = self.intents.len() as i64 + 1;
        self.rows[row]
            .work
            .evolve(&Event::SendStarted { intent: seq }, now, &self.timing)
            .map_err(|_| Refused::Illegal)?;
        self.intents.push(Intent {
            seq,
            row,
            vendor_time,
            listed_seq: self.listed.len() as i64,
            opened_at: now,
            doubt_vendor: None,
            healthy: 0,
            missed: false,
            looked_vendor: None,
            looked_local: None,
            looked_boot: None,
            looks: 0,
            first_look: None,
            outcome: None,
            ledger: "open",
            bought: None,
        });
        self.apply(row, &Event::SendStarted { intent: seq }, &Facts::default(), now)?;
        Ok(seq)
    }

    /// Whether a listing since the last look, which knew `known` jobs, has reserved one for the row's
    /// call that was taken for absent.
    fn has_come_to_light(&self, row: usize, known: usize) -> bool {
        let absent = self.absent_intent(row).filter(|_| self.work(row).absences > 0);
        absent.is_some_and(|call| {
            let newer = self.listed.iter().skip(known);
            let mut late = newer.filter(|job| job.reserved_by == Some(call.seq));
            late.any(|job| self.holder(&job.remote).is_none())
        })
    }

    /// Answers the rows whose calls were out.
    pub(super) fn recover(&mut self, now: Millis) -> Vec<usize> {
        let out: Vec<usize> = (0..self.rows.len())
            .filter(|&row| matches!(self.work(row).state, State::Submitting { .. }))
            .collect();
        for &row in &out {
            let event = match self.has(Bug::SubmittingIsQueued) {
                true => not_sent(),
                false => Event::OutcomeUnknown { note: "the daemon ended".to_owned() },
            };
            let recovered = self.apply(row, &event, &Facts::default(), now);
            assert_eq!(recovered, Ok(()), "recovery is refused");
        }
        if self.has(Bug::TimerRestartsAtBoot) {
            for intent in self.intents.iter_mut().filter(|one| one.doubt_vendor.is_some()) {
                (intent.healthy, intent.missed) = (0, true);
            }
        }
        out
    }

    pub(super) fn clamp_due(&mut self, latest: Millis, to: Millis) {
        for row in &mut self.rows {
            let state = &mut row.work.state;
            if let State::Queued { due } | State::InDoubt { due, .. } | State::Running { due } =
                state
                && *due > latest
            {
                *due = to;
            }
            for due in row.outputs.iter_mut().filter(|due| **due > latest) {
                *due = to;
            }
        }
    }

    pub(super) fn apply(
        &mut self,
        row: usize,
        event: &Event,
        facts: &Facts,
        now: Millis,
    ) -> Result<(), Refused> {
        let before = self.work(row).clone();
        let after = before.evolve(event, now, &self.timing).map_err(|_| Refused::Illegal)?;
        if after == before {
            return Ok(());
        }
        if let Some(remote) = event.remote_id()
            && before.kind == Kind::Job
            && !self.has(Bug::ClaimNotUnique)
            && self.holder(remote).is_some_and(|holder| holder != row)
        {
            return Err(Refused::Taken);
        }
        if let Event::VendorDone { outputs } = event
            && before.kind == Kind::Job
        {
            self.rows[row].outputs = vec![now; *outputs as usize];
        }
        self.count(&before, event, now);
        self.settle_intent(&before, &after, event, facts, now);
        self.follow(row, &before, &after, event);
        self.rows[row].work = after;
        Ok(())
    }

    /// The job that holds a vendor id.
    pub(super) fn holder(&self, remote: &str) -> Option<usize> {
        let holds = |row: &Row| !row.is_training() && row.work.remote_id.as_deref() == Some(remote);
        self.rows.iter().position(holds)
    }

    /// The other side of the book: `spend_proof` counts these from the events.
    fn count(&mut self, before: &Work, event: &Event, now: Millis) {
        self.newest_event_at = now;
        match event {
            Event::SendStarted { .. } => self.sent += 1,
            Event::Accepted { .. } | Event::Found { .. } | Event::Adopt { .. }
                if before.kind.is_paid() =>
            {
                self.accepted += 1;
            }
            _ => {}
        }
    }

    fn settle_intent(
        &mut self,
        before: &Work,
        after: &Work,
        event: &Event,
        facts: &Facts,
        now: Millis,
    ) {
        let Some(seq) = before.state.intent() else { return };
        let unclamped = self.has(Bug::DoubtUnclamped);
        let intent = self.intent_mut(seq);
        let doubted = matches!(after.state, State::InDoubt { .. });
        if doubted && !matches!(before.state, State::InDoubt { .. }) {
            let most = if unclamped { Millis::MAX } else { SENDING };
            let out = (now - intent.opened_at).max(0).min(most);
            intent.doubt_vendor = Some(intent.vendor_time + out);
            intent.looked_vendor = Some(intent.vendor_time + out);
            intent.looked_local = Some(intent.opened_at + out);
        }
        match facts.look {
            Some(Look::Failed) => intent.missed = true,
            Some(Look::Complete { at, healthy, empty }) => {
                (intent.healthy, intent.missed) = (healthy, false);
                intent.looked_vendor = Some(at.vendor);
                intent.looked_local = Some(at.local);
                intent.looked_boot = at.boot;
                if empty {
                    intent.looks += 1;
                    intent.first_look = intent.first_look.or(Some(at.vendor));
                }
            }
            None => {}
        }
        if after.state.intent() != Some(seq) {
            intent.outcome = Some(event.name());
        }
        self.reserve(seq, &facts.reserve);
    }

    pub(super) fn reserve(&mut self, seq: i64, remotes: &[String]) {
        if self.has(Bug::ParkWithoutReserving) {
            return;
        }
        for job in self.listed.iter_mut().filter(|job| remotes.contains(&job.remote)) {
            job.reserved_by = job.reserved_by.or(Some(seq));
        }
    }

    /// `ledger::follow`.
    fn follow(&mut self, row: usize, before: &Work, after: &Work, event: &Event) {
        let outcome = match event {
            Event::Accepted { .. } | Event::Found { .. } | Event::Adopt { .. } => "accepted",
            Event::Absent { .. } => "absent",
            Event::Resubmit { .. } if before.remote_id.is_none() => "absent",
            Event::NeedsPerson { .. } if before.state.intent().is_some() => "parked",
            Event::CallFailed { failure } if after.state.intent().is_none() => {
                match failure.class {
                    FailureClass::NotSent => "not_sent",
                    _ => "refused",
                }
            }
            _ => return,
        };
        if let Some(newest) = self.intents.iter_mut().rev().find(|intent| intent.row == row) {
            newest.ledger = outcome;
            newest.bought = after.remote_id.clone().filter(|_| outcome == "accepted");
        }
    }
}

/// What a call that never left leads to.
pub(super) fn not_sent() -> Event {
    call_failed(FailureClass::NotSent, None)
}

/// A call that failed.
pub(super) fn call_failed(class: FailureClass, http_status: Option<u16>) -> Event {
    let message = class.as_str().to_owned();
    Event::CallFailed {
        failure: crate::domain::failure::Failure {
            class,
            message,
            http_status,
            reply: None,
            retry_after: None,
        },
    }
}

/// The id of a row: later rows sort later, jitter differs.
pub(super) fn row_id(row: usize) -> Id {
    let low = (row as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) & u128::from(u64::MAX);
    Id(uuid::Uuid::from_u128(((row as u128 + 1) << 64) | low))
}
