//! Orders, the lane, calls and their replies.

use crate::book::{Acceptance, CallRow, Doubt, Outcome, Row, State};
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

impl Sim {
    pub(crate) fn order(&mut self, nth: usize) {
        let order = &self.orders[nth];
        self.book.rows.push(Row {
            number: nth,
            request: order.request.clone(),
            state: State::Queued,
            absences: 0,
            last_call: None,
            cleared: false,
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
        let queued = |row: &Row| row.state == State::Queued;
        let Some(row) = self.book.rows.iter().position(queued) else { return };
        if self.holds_back(row) {
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
        let hidden = accepted.iter().any(|job| !job.shown && !job.gone);
        let start = list::before_a_call(self.now, accepted, &self.clocks(), hidden);
        if let Some((at, from)) = self.book.last_list
            && self.now - at <= FRESH
            && from <= start
        {
            return Some(from);
        }
        let window = Window { start, end: Some(self.now + AHEAD) };
        self.read_list(&window).map(|_| start)
    }

    fn send(&mut self, row: usize, listed_from: Millis) {
        let call = self.book.calls.len();
        let number = self.calls_made;
        self.calls_made += 1;
        let about = &self.book.rows[row];
        let request = about.request.clone();
        let expected = Expected {
            model: request.model.clone(),
            media: request.media,
            count: Some(request.count),
        };
        let known = self.has(Bug::KnownIdsIgnored);
        let call_out = Call {
            intent: call as i64 + 1,
            effect: Effect::Job(expected),
            request_hash: request.hash.clone(),
            span: Span { opened_at: self.now, ended_at: self.now },
            listed_seq: if known { 0 } else { self.book.newest_seen() },
            listed_from: (!known).then_some(listed_from),
        };
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
        let quiet = now < self.usage.quiet();
        let throw = |share, about, what| !quiet && self.dice.happens(share, about, (number, what));
        let away = self.vendor.ways.away > 0 && !self.been_away && now >= 4 * DAY;
        let dies = away || throw(self.vendor.ways.killed, About::Killed, 0);
        let refused = throw(0.01, About::Fate, 0);
        let lost = dies || throw(self.usage.lost(), About::Fate, 1);
        let arrives = !refused && (!lost || self.dice.happens(0.65, About::Fate, (number, 2)));
        let wait =
            |least, most, what| self.dice.between((least, most), About::Latency, (number, what));
        let on_the_way = wait(200, 2_000, 0);
        let back = on_the_way + wait(300, 2_500, 1);
        let late = if lost { wait(0, self.vendor.ways.effect_late, 2) } else { 0 };
        let gives_up = if wait(0, 1, 3) == 0 { MINUTE } else { back };
        let down = if away { self.vendor.ways.away } else { self.vendor.ways.down };
        let twice = throw(self.vendor.ways.doubled, About::Doubled, 0);
        let after = self.dice.between(
            (100, self.vendor.ways.double_late.max(100)),
            About::Doubled,
            (number, 1),
        );
        let mut remote = None;
        if arrives {
            let request = self.book.calls[call].row;
            let request = self.book.rows[request].request.clone();
            let maker = Maker::Ours { row, call: number };
            let made_at = now + on_the_way + late;
            let id = self.vendor.make(maker, request.clone(), made_at, false);
            self.tell(|| format!("  the vendor makes {id}, after {} s", (made_at - now) / SECOND));
            if twice {
                self.vendor.make(maker, request, made_at + after, true);
                self.tell(|| format!("  and once more, {} s later", after / SECOND));
            }
            remote = Some(id);
        }
        if dies {
            self.been_away |= away;
            return self.die(down);
        }
        let (reply, at) = match remote {
            _ if refused => (Reply::Refused, now + back),
            Some(id) if !lost => (Reply::Accepted(id), now + back),
            _ => (Reply::Lost, now + gives_up),
        };
        self.at(at, Event::Reply { boot, call, reply });
    }

    pub(crate) fn reply(&mut self, call: usize, reply: Reply) {
        let row = self.book.calls[call].row;
        self.book.calls[call].call.span.ended_at = self.now;
        match reply {
            Reply::Accepted(id) => {
                self.accepted(call, &id);
                self.book.accepted.push(Accepted {
                    remote_id: id.clone(),
                    accepted_at: self.now,
                    created_at: self.book.listed(&id).and_then(|job| job.created_at),
                    shown: self.book.listed(&id).is_some(),
                    gone: false,
                });
                self.book.acceptances.push(Acceptance::new(self.boot));
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
