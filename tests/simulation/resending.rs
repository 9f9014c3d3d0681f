//! The look before a row is sent again whose call was absent.

use crate::daemon::{Event, Sim};
use crate::looking::LONG_ENOUGH;
use crate::sending::AHEAD;
use judging::verdict::Verdict;
use judging::witness::Window;
use judging::{DAY, Millis};

impl Sim {
    /// The last look before a row that was absent is sent again; from when on it was asked, if
    /// nothing is in sight.
    pub(crate) fn last_look(&mut self, at: usize) -> Option<Millis> {
        let call = &self.book.calls[at].call;
        let before = call.listed_from.unwrap_or(call.span.opened_at - DAY);
        let window = Window { start: before, end: Some(self.now + AHEAD) };
        let shown = self.read_list(&window);
        self.place_all();
        // As at the verdict: only a list that proves it once more lets it go.
        let verdict = shown.map(|shown| {
            self.read_records(at);
            self.verdict(at, &shown, self.heard(at, &shown), true)
        });
        let row = self.book.calls[at].row;
        match verdict {
            Some(Verdict::Absent { .. }) => {
                let number = self.book.calls[at].number;
                self.truth.absent(number, (self.settle().millis, self.now));
                return Some(before);
            }
            Some(verdict @ (Verdict::Found { .. } | Verdict::Park { .. })) => {
                self.carry_out(at, verdict);
            }
            // It is looked for further before it is sent again.
            Some(Verdict::Wait { why, .. }) => {
                self.tell(|| format!("the last look says: {why}"));
                self.book.rows[row].due = self.now + self.times.pause(LONG_ENOUGH, 0);
            }
            None => self.book.rows[row].due = self.now + self.times.relist,
        }
        let due = self.book.rows[row].due.max(self.now);
        self.at(due, Event::Turn { boot: self.boot });
        None
    }
}
