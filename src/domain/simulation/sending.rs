//! Sending one paid call: `src/engine/send.rs`, cut into steps between which the daemon may die.
//! Each method has the name of its counterpart there; [`World::call`] is the vendor's side of it.

use super::bugs::Bug;
use super::check::Check;
use super::daemon::{AFTER_ERROR, Step, Task};
use super::db::{Facts, Refused, SENDING, call_failed, not_sent};
use super::looking::Look;
use super::plan::{Fault, HOUR, MINUTE, SECOND};
use super::vendor::{Answer, Call, JobToBe, ModelStatus, model_id};
use super::world::World;
use crate::domain::event::{Event, Reason};
use crate::domain::failure::FailureClass;
use crate::domain::ids::Millis;
use crate::domain::reconcile::{Effect, Media};
use crate::domain::schedule;
use crate::domain::work::State;

/// `LISTING_AT_MOST` of `src/engine/send.rs`.
const LISTING_AT_MOST: Millis = 5 * MINUTE;

/// Between the intent and its call.
const PROMPTLY: Millis = 15 * SECOND;

impl World {
    pub(super) fn send_step(&mut self, task: &Task, row: usize, step: Step) {
        match step {
            Step::Send => self.send(task, row),
            Step::Obstacle => self.obstacle(task, row),
            Step::Fresh => self.fresh(task),
            Step::Listed(page) => match self.save(page) {
                Some(_) => self.go_on(task, Step::Start),
                None => self.postpone(row, "the list could not be read"),
            },
            Step::Start => self.start(task, row),
            // A machine that slept since the intent was stored: its time is no time of the call's.
            Step::Go if !self.is_timely(row) && !self.plan.has(Bug::SendsAfterSleep) => {
                self.go_on(task, Step::Settle(not_sent()));
            }
            Step::Go => {
                let (call, event, at) = self.call(task, row);
                self.go_on_at(task, Step::Reply(call, event), at);
            }
            Step::Late(call, event) => match self.store_intent(row) {
                Ok(_) => self.go_on(task, Step::Reply(call, event)),
                Err(why) => self.say(|_| format!("row {row}: the intent is refused: {why:?}")),
            },
            Step::Reply(call, event) => self.reply(task, row, call, event),
            Step::Conflict(event) => {
                let past = self.vendor.model_status(self.db.rows[row].model) != ModelStatus::New;
                let taken = self.answers(Fault::ReadFails) && past;
                let remote_id = model_id(self.db.rows[row].model);
                let event = if taken { Event::Accepted { remote_id } } else { event };
                self.go_on(task, Step::Settle(event));
            }
            Step::Settle(event) => self.settle(row, &event),
            _ => {}
        }
    }

    /// Whether the row's intent has just been stored, by our clock.
    fn is_timely(&self, row: usize) -> bool {
        let opened_at = self.open_intent(row).map_or(0, |intent| intent.opened_at);
        (0..=PROMPTLY).contains(&(self.now() - opened_at))
    }

    fn send(&mut self, task: &Task, row: usize) {
        let work = self.db.work(row);
        if !matches!(work.state, State::Queued { due } if due <= self.now()) {
            return;
        }
        let looks = work.absences > 0 && !self.plan.has(Bug::NoLookBeforeResend);
        match self.db.absent_intent(row).filter(|_| looks) {
            Some(intent) => {
                let look = Look::before_resending(intent);
                self.go_on(task, Step::Look(Box::new(look)));
            }
            None => self.send_at_last(task, row),
        }
    }

    /// Nothing is in the way of sending as far as earlier calls go.
    pub(super) fn send_at_last(&mut self, task: &Task, row: usize) {
        let training = self.db.rows[row].is_training();
        self.go_on(task, if training { Step::Obstacle } else { Step::Fresh });
    }

    pub(super) fn postpone(&mut self, row: usize, note: &str) {
        let work = self.db.work(row);
        let until = self.now() + schedule::backoff(work.id, work.failures);
        let event = Event::Postponed { until, note: note.to_owned() };
        self.apply(row, &event, &Facts::default());
    }

    /// `training_obstacle`, without the photos.
    fn obstacle(&mut self, task: &Task, row: usize) {
        if !self.answers(Fault::ReadFails) {
            return self.postpone(row, "the model could not be read");
        }
        if self.vendor.model_status(self.db.rows[row].model) == ModelStatus::New {
            return self.go_on(task, Step::Fresh);
        }
        let message = "the model is in training already".to_owned();
        let event = Event::NeedsPerson { reason: Reason::Mismatch, message };
        self.apply(row, &event, &Facts::default());
    }

    /// `spending_obstacle`: `listing_not_older_than`.
    fn fresh(&mut self, task: &Task) {
        let listed_at = self.daemon.as_ref().and_then(|daemon| daemon.listed_at);
        if listed_at.is_some_and(|at| self.vendor_now() - at <= LISTING_AT_MOST) {
            return self.go_on(task, Step::Start);
        }
        if self.list_is_busy() {
            return self.go_on(task, Step::Fresh);
        }
        let page = self.list_window();
        self.go_on(task, Step::Listed(page));
    }

    fn start(&mut self, task: &Task, row: usize) {
        if !self.is_dated() && !self.answers(Fault::ReadFails) {
            return self.postpone(row, "the vendor's clock is not known");
        }
        if self.plan.has(Bug::IntentAfterSend) {
            let (call, event, at) = self.call(task, row);
            return self.go_on_at(task, Step::Late(call, event), at);
        }
        match self.store_intent(row) {
            Ok(_) => self.go_on(task, Step::Go),
            Err(Refused::Shown) => self.postpone(row, "its job may have come to light"),
            Err(why) => self.say(|_| format!("row {row}: the intent is refused: {why:?}")),
        }
    }

    fn store_intent(&mut self, row: usize) -> Result<i64, Refused> {
        let (vendor_time, now) = (self.vendor_now(), self.now());
        let looks = self.daemon.as_ref().map(|daemon| &daemon.last_looks);
        let known = looks.and_then(|looks| looks.get(&row)).copied().unwrap_or(usize::MAX);
        let seq = self.db.start_send(row, known, vendor_time, now)?;
        self.call_begins(seq);
        self.say(|_| format!("row {row}: intent {seq} is stored"));
        Ok(seq)
    }

    /// The request goes out. Answers the call, what is known to come of it already, and when.
    fn call(&mut self, task: &Task, row: usize) -> (usize, Option<Event>, Millis) {
        let now = self.vendor.now;
        self.check_call(row, task.began);
        let soon = now + self.plan.order.between(50, 3 * SECOND);
        let timeout = now + SENDING;
        let never = |event| (None, Some(event), soon);
        let unknown = || call_failed(FailureClass::Unknown, None);
        let job = self.job_to_be(row);
        let (effect_at, event, at) = if self.vendor.is_down() || self.strikes(Fault::NotSent) {
            match self.plan.order.one_in(2) {
                true => never(not_sent()),
                false => (None, Some(unknown()), timeout),
            }
        } else if self.strikes(Fault::Refused) {
            never(match self.plan.order.one_in(3) {
                true => call_failed(FailureClass::RefusedForGood, Some(400)),
                false => call_failed(FailureClass::RefusedForNow, Some(429)),
            })
        } else if self.strikes(Fault::LostRequest) {
            (None, Some(unknown()), if self.plan.order.one_in(2) { soon } else { timeout })
        } else if self.strikes(Fault::LateAccept) {
            let late = self.plan.order.between(0, 150 * SECOND - job.lag.min(150 * SECOND));
            (Some(now + late), Some(unknown()), if late > SENDING { timeout } else { soon })
        } else if self.strikes(Fault::LostReply) {
            (Some(now), Some(unknown()), if self.plan.order.one_in(2) { soon } else { timeout })
        } else {
            (Some(now + self.plan.order.between(0, 50)), None, soon)
        };
        let call = self.vendor.calls.len();
        self.say(|w| {
            let after = effect_at.map(|at| at - now);
            format!(
                "row {row}: call {call} goes out: effect after {after:?} ms, lag {} ms, {}",
                job.lag,
                if event.is_some() { "no answer" } else { "answered" }
            )
            .replace(
                "no answer",
                if w.vendor.is_down() { "the vendor is down" } else { "no answer" },
            )
        });
        self.vendor.calls.push(Call { row, effect_at, answer: None, job });
        self.vendor.advance(now, true);
        (call, event, at)
    }

    fn job_to_be(&mut self, row: usize) -> JobToBe {
        let slow = self.strikes(Fault::Lag);
        let odd = self.strikes(Fault::Odd);
        let unreadable = self.strikes(Fault::Unreadable);
        let fails = self.strikes(Fault::VendorFails);
        let of = &self.db.rows[row];
        let (hash, model) = (of.hash, of.model);
        let (trains, named, media) = match &of.effect {
            Effect::Training => (Some(model), None, Media::Images),
            Effect::Job(expected) => (None, expected.model.clone(), expected.media),
        };
        let latest = self.plan.latest;
        let order = &mut self.plan.order;
        JobToBe {
            hash,
            trains,
            model: named,
            media,
            outputs: if odd { 3 } else { 1 + u32::from(order.one_in(2)) },
            lag: if slow { order.between(0, latest) } else { order.between(0, 3 * SECOND) },
            skew: order.between(0, 2 * SECOND),
            lasts: if trains.is_some() {
                100_000 * HOUR
            } else {
                order.between(SECOND, 2 * MINUTE)
            },
            fails,
            unreadable_for: if unreadable { order.between(SECOND, 20 * MINUTE) } else { 0 },
        }
    }

    fn reply(&mut self, task: &Task, row: usize, call: usize, event: Option<Event>) {
        let event = match (event, self.vendor.calls[call].answer.clone()) {
            (Some(event), _) => event,
            (None, Some(Answer::Accepted(remote_id))) => Event::Accepted { remote_id },
            (None, Some(Answer::Failed(class, status))) => call_failed(class, status),
            (None, None) => call_failed(FailureClass::Unknown, None),
        };
        let lost = matches!(&event, Event::CallFailed { failure } if failure.class == FailureClass::Unknown);
        if !lost {
            self.note_date();
        }
        let conflict =
            matches!(&event, Event::CallFailed { failure } if failure.http_status == Some(409));
        if conflict && self.db.rows[row].is_training() {
            return self.go_on(task, Step::Conflict(event));
        }
        let event = match lost && self.plan.has(Bug::ResendOnUnknown) {
            true => not_sent(),
            false => event,
        };
        self.go_on(task, Step::Settle(event));
    }

    /// Stores how the call went.
    fn settle(&mut self, row: usize, event: &Event) {
        if self.apply(row, event, &Facts::default()) {
            return;
        }
        let holder = event.remote_id().and_then(|remote| self.db.holder(remote));
        if holder.is_none_or(|holder| holder == row) {
            return self.broke(Check::Lost, format!("row {row}: a reply could not be stored"));
        }
        let message = "the vendor answered with an id that another row holds".to_owned();
        let event = Event::NeedsPerson { reason: Reason::Undecidable, message };
        self.apply(row, &event, &Facts::default());
    }

    /// What an error of the database leaves behind: the row rests for a moment.
    pub(super) fn rest(&mut self, task: &Task) {
        self.go_on_at(task, Step::Rest, self.vendor.now + AFTER_ERROR);
    }
}
