//! A person who is asked looks at the vendor's own pages, half a day later at the earliest, and
//! answers rightly.

use crate::book::{Outcome, State};
use crate::bugs::Bug;
use crate::daemon::{Event, Sim};
use crate::dice::About;
use crate::oracle::Check;
use crate::vendor::Maker;
use judging::HOUR;

impl Sim {
    pub(crate) fn person_soon(&mut self, row: usize) {
        let name = (self.book.rows[row].number as u64, self.calls_made);
        let after = self.dice.between((12 * HOUR, 36 * HOUR), About::Person, name);
        let row = self.book.rows[row].number;
        self.at(self.now + after, Event::Person { row });
    }

    /// What is unclaimed at the vendor of all that this row has ever made.
    fn made_by(&self, row: usize) -> Option<String> {
        let free = |id: &String| !self.book.claims.hold(id);
        let ours = |maker: Maker| matches!(maker, Maker::Ours { row: of, .. } if of == row);
        let made = self.vendor.jobs.iter().filter(|job| job.made_at <= self.now);
        made.filter(|job| ours(job.maker)).map(|job| job.id.clone()).find(free)
    }

    pub(crate) fn person(&mut self, number: usize) {
        let Some(row) = self.book.rows.iter().position(|row| row.number == number) else { return };
        let call = match self.book.rows[row].state {
            State::InDoubt(call) if self.book.calls[call].doubt.asked => Some(call),
            State::Parked(call) | State::AbsentTwice(call) => Some(call),
            State::HeldBack => None,
            _ => return,
        };
        if !self.up {
            return self.person_soon(row);
        }
        let made = self.made_by(number);
        self.tell(|| format!("a person answers row {number}: {made:?}"));
        self.truth.person_spoke(number);
        let refused = self.has(Bug::VerbsRefused) && self.book.rows[row].state.is_in_doubt();
        match (made, call) {
            _ if refused => {}
            (Some(id), Some(call)) => {
                self.adopted(call, &id);
                self.learn_late_effect(call, &id);
            }
            (Some(id), None) => {
                self.book.rows[row].state = State::Running(id.clone());
                self.book.claims.claim(&id, row);
            }
            (None, call) => self.nothing_made(row, call),
        }
        if let Some(call) = call {
            self.free_lane(call);
        }
        let open = self.book.rows[row].state.clone();
        if matches!(open, State::InDoubt(_) | State::Parked(_) | State::HeldBack) {
            self.truth.broke(Check::Stranded, format!("row {number} stays {open:?}"));
        }
        self.turn_soon();
    }

    /// `--resubmit` is refused while candidates of the row exist; then it is abandoned.
    fn nothing_made(&mut self, row: usize, call: Option<usize>) {
        let near = |seen| {
            call.is_some_and(|call: usize| {
                let sent = self.book.calls[call].call.span.opened_at;
                seen - sent <= HOUR
            })
        };
        let candidates = call.map(|call| self.candidates(call)).unwrap_or_default();
        let refused = candidates.iter().any(|job| {
            self.book.listed(&job.remote_id).is_some_and(|listed| near(listed.first_seen))
        });
        let name = (self.book.rows[row].number as u64, 99);
        let again = call.is_none() || self.dice.happens(0.5, About::Person, name);
        if let Some(call) = call {
            self.book.calls[call].outcome = Outcome::GivenUp;
        }
        let about = &mut self.book.rows[row];
        about.absences = 0;
        about.state = match again && !refused {
            true => State::Queued,
            false => State::GivenUp,
        };
        // A held-back row that a person lets go is not held back once more.
        about.cleared = true;
    }
}
