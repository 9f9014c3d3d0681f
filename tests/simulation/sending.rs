//! Orders, the lane, calls and their replies.

use crate::book::{CallRow, Doubt, Outcome, Row, State};
use crate::bugs::Bug;
use crate::daemon::{Event, Reply, Sim};
use crate::dice::About;
use crate::vendor::Maker;
use judging::clocks::{Accepted, Span};
use judging::fit::{Call, Effect, Expected};
use judging::witness::Window;
use judging::{DAY, MINUTE, Millis, SECOND, list};
use std::collections::BTreeSet;

/// The list before a call is no older than this.
const FRESH: Millis = 5 * MINUTE;
/// Lists are asked for up to so far ahead.
pub(crate) const AHEAD: Millis = 3 * DAY;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    lost: bool,
    refused: bool,
    /// The reply is missed only after a minute.
    slow: bool,
    /// The daemon dies in it.
    dies: bool,
    /// How much later than usual it makes its job; it never arrives without.
    made: Option<Millis>,
    /// How long after that the list shows it.
    listed: Millis,
    /// The request is delivered once more, so long after the first time.
    again: Option<Millis>,
}

impl Sim {
    pub(crate) fn order(&mut self, nth: usize) {
        let order = &self.orders[nth];
        if order.step.is_some_and(|step| step.stranger) {
            let request = order.request.clone();
            self.vendor.make(Maker::Stranger, request, self.now, false);
            return;
        }
        self.book.rows.push(Row {
            number: nth,
            request: order.request.clone(),
            state: State::Queued,
            absences: 0,
            last_call: None,
            cleared: false,
            due: self.now,
            ordered_at: self.now,
        });
        self.turn_soon();
    }

    pub(crate) fn turn_soon(&mut self) {
        self.at(self.now, Event::Turn { boot: self.boot });
    }

    /// The next row goes out, if the lane is free.
    pub(crate) fn turn(&mut self) {
        if self.lane.is_some() || self.paused || self.unchecked {
            return;
        }
        let queued = |row: &Row| row.state == State::Queued && row.due <= self.now;
        let Some(row) = self.book.rows.iter().position(queued) else { return };
        if self.book.rows[row].absences == 0 && self.holds_back(row) {
            self.book.rows[row].state = State::HeldBack;
            self.truth.held_back += 1;
            self.person_soon(row);
            return self.turn_soon();
        }
        let last = self.book.rows[row].last_call;
        let again = last.filter(|call| {
            matches!(self.book.calls[*call].outcome, Outcome::Absent { .. })
                && self.book.rows[row].absences > 0
        });
        let listed_from = match again {
            Some(call) if !self.has(Bug::NoLookBeforeResend) => match self.last_look(call) {
                Some(from) => from,
                None => return,
            },
            _ => match self.list_before_a_call() {
                Some(from) => from,
                None => return self.at(self.now + 30 * SECOND, Event::Turn { boot: self.boot }),
            },
        };
        self.send(row, listed_from);
    }

    /// From when on the fresh list was asked; none if it cannot be read.
    fn list_before_a_call(&mut self) -> Option<Millis> {
        let accepted = self.book.accepted_lately(self.now);
        let missing = |job: &Accepted| self.book.missing.contains_key(&job.remote_id);
        let hidden = accepted.iter().any(|job| !job.shown && !job.gone && missing(job));
        let start = list::before_a_call(self.now, accepted, &self.clocks(), hidden);
        if let Some((at, from)) = self.book.last_list
            && self.now - at <= FRESH
            && from <= start
        {
            return Some(from);
        }
        let window = Window { start, end: Some(self.now + AHEAD) };
        self.read_list(&window)?;
        self.place_all();
        Some(start)
    }

    /// An order as the call that it would be now.
    pub(crate) fn call_for(&self, row: usize) -> Call {
        let request = &self.book.rows[row].request;
        let expected = Expected {
            model: request.model.clone(),
            media: request.media,
            count: Some(request.count),
        };
        Call {
            intent: 0,
            effect: Effect::Job(expected),
            request_hash: request.hash.clone(),
            span: Span { opened_at: self.now, ended_at: self.now },
            listed_seq: 0,
            listed_from: None,
        }
    }

    fn send(&mut self, row: usize, listed_from: Millis) {
        let call = self.book.calls.len();
        let number = self.calls_made;
        self.calls_made += 1;
        let known = self.has(Bug::KnownIdsIgnored);
        let call_out = Call {
            intent: call as i64 + 1,
            listed_seq: if known { 0 } else { self.book.newest_seen() },
            listed_from: (!known).then_some(listed_from),
            ..self.call_for(row)
        };
        let about = &self.book.rows[row];
        let (first, waited) = (about.last_call.is_none(), self.now - about.ordered_at);
        let truly = about.number;
        self.tell(|| format!("row {truly}: call {number} goes out"));
        self.truth.check_send(&self.vendor, &self.book, (truly, number, self.now));
        self.truth.sent(first.then_some(waited));
        self.book.calls.push(CallRow {
            number,
            row,
            call: call_out,
            outcome: Outcome::Out,
            was_absent: false,
            doubt: Doubt::default(),
            not_this: BTreeSet::new(),
            remote: None,
        });
        let about = &mut self.book.rows[row];
        (about.state, about.last_call) = (State::Out(call), Some(call));
        self.lane = Some(call);
        self.fate(call, truly, number);
    }

    /// What becomes of a call.
    fn fate(&mut self, call: usize, row: usize, number: u64) {
        let (now, boot) = (self.now, self.boot);
        let away = self.vendor.ways.away > 0 && !self.been_away && now >= 4 * DAY;
        let fate = match self.written(call, row) {
            Some(fate) => fate,
            None => self.drawn(number, away),
        };
        let wait =
            |least, most, what| self.dice.between((least, most), About::Latency, (number, what));
        let on_the_way = wait(200, 2_000, 0);
        let back = on_the_way + wait(300, 2_500, 1);
        let gives_up = if fate.slow { MINUTE } else { back };
        let mut remote = None;
        if let Some(late) = fate.made {
            let request = self.book.rows[self.book.calls[call].row].request.clone();
            let maker = Maker::Ours { row, call: number };
            let made_at = now + on_the_way + late;
            let id = self.vendor.make(maker, request.clone(), made_at, false);
            self.vendor.list_later(&id, fate.listed);
            self.tell(|| format!("  the vendor makes {id}, after {} s", (made_at - now) / SECOND));
            if let Some(after) = fate.again {
                self.vendor.make(maker, request, made_at + after, true);
                self.tell(|| format!("  and once more, {} s later", after / SECOND));
            }
            remote = Some(id);
        }
        if fate.dies {
            self.been_away |= away;
            let ways = &self.vendor.ways;
            return self.die(if away { ways.away } else { ways.down });
        }
        let (reply, at) = match remote {
            _ if fate.refused => (Reply::Refused, now + back),
            Some(id) if !fate.lost => (Reply::Accepted(id), now + back),
            _ => (Reply::Lost, now + gives_up),
        };
        self.at(at, Event::Reply { boot, call, reply });
    }

    /// What is written of the first two calls of a row.
    fn written(&self, call: usize, row: usize) -> Option<Fate> {
        let step = self.orders.get(row)?.step?;
        let (earlier, of) = (self.book.calls[..call].iter(), self.book.calls[call].row);
        let good = Fate { made: Some(0), ..Fate::default() };
        Some(match earlier.filter(|call| call.row == of).count() {
            0 => Fate {
                lost: step.lost,
                made: step.made,
                listed: step.listed,
                again: step.again,
                ..good
            },
            1 if step.lost_again => Fate { lost: true, slow: true, made: None, ..good },
            _ => good,
        })
    }

    /// What chance has in store.
    fn drawn(&self, number: u64, away: bool) -> Fate {
        let quiet = self.now < self.usage.quiet();
        let throw = |share, about, what| !quiet && self.dice.happens(share, about, (number, what));
        let ways = &self.vendor.ways;
        let dies = away || throw(ways.killed, About::Killed, 0);
        let refused = throw(0.01, About::Fate, 0);
        let lost = dies || throw(self.usage.lost(), About::Fate, 1);
        let arrives = !refused && (!lost || self.dice.happens(0.65, About::Fate, (number, 2)));
        let late = |most| self.dice.between((0, most), About::Latency, (number, 2));
        let made = arrives.then(|| if lost { late(ways.effect_late) } else { 0 });
        let most = ways.double_late.max(100);
        let after = self.dice.between((100, most), About::Doubled, (number, 1));
        let again = throw(ways.doubled, About::Doubled, 0).then_some(after);
        let slow = self.dice.between((0, 1), About::Latency, (number, 3)) == 0;
        Fate { lost, refused, slow, dies, made, listed: 0, again }
    }

    pub(crate) fn reply(&mut self, call: usize, reply: Reply) {
        let row = self.book.calls[call].row;
        self.book.calls[call].call.span.ended_at = self.now;
        match reply {
            Reply::Accepted(id) => {
                self.accepted(call, &id);
                self.book.accepted.push(self.book.ours_now(&id, self.now));
                self.after_acceptance();
                self.free_lane(call);
            }
            Reply::Refused => {
                self.book.calls[call].outcome = Outcome::Refused;
                self.book.rows[row].state = State::Refused;
                self.free_lane(call);
            }
            Reply::Lost if self.has(Bug::ResendOnUnknown) => {
                self.book.calls[call].outcome = Outcome::GivenUp;
                self.book.rows[row].state = State::Queued;
                self.free_lane(call);
            }
            Reply::Lost => self.begin_doubt(call, self.now),
        }
    }

    /// While little is known of its lag, the list is read soon after an acceptance.
    fn after_acceptance(&mut self) {
        if self.book.lag.is_untried() {
            for after in [30 * SECOND, 2 * MINUTE] {
                let again = false;
                self.at(self.now + after, Event::Sweep { boot: self.boot, again });
            }
        }
    }

    /// The row gets a job that the vendor's reply did not name.
    pub(crate) fn adopted(&mut self, call: usize, id: &str) {
        self.book.adopted.push(self.book.ours_now(id, self.now));
        self.accepted(call, id);
    }

    /// The row has its job.
    pub(crate) fn accepted(&mut self, call: usize, id: &str) {
        let row = self.book.calls[call].row;
        self.book.calls[call].outcome = Outcome::Accepted;
        self.book.calls[call].remote = Some(id.to_owned());
        self.book.rows[row].state = State::Running(id.to_owned());
        self.book.claims.claim(id, row);
    }

    pub(crate) fn free_lane(&mut self, call: usize) {
        if self.lane == Some(call) {
            self.lane = None;
            self.turn_soon();
        }
    }
}
