//! Who must be heard in a reading of the vendor's list before its silence counts.

use crate::clocks::Accepted;
use crate::{DAY, HOUR, MINUTE, Millis};
use std::collections::BTreeSet;

/// How far a witness against a cut list lies inside the window (ms): edges are uncertain.
const EDGE: Millis = HOUR;
/// The same for our own jobs, the oldest of which lies an hour inside by how the window was chosen.
const OWN_EDGE: Millis = 30 * MINUTE;
/// The newest of what the list has shown.
pub const NEWEST: usize = 20;
/// And so many spread over the rest.
pub const SPREAD: usize = 80;
/// At least so many of our own accepted jobs from before the call, however old.
const OWN: usize = 3;

/// What a list was asked for (vendor's times).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its beginning.
    pub start: Millis,
    /// Its end; none if it was left open.
    pub end: Option<Millis>,
}

impl Window {
    /// Whether it surely shows what was made then.
    fn holds(&self, created_at: Millis, edge: Millis) -> bool {
        created_at >= self.start.saturating_add(edge)
            && self.end.is_none_or(|end| created_at <= end.saturating_sub(edge))
    }

    /// Whether a job of ours made then lies well inside.
    pub fn shows(&self, created_at: Millis) -> bool {
        self.holds(created_at, OWN_EDGE)
    }

    /// Between which times (vendor's) a job bears witness against a cut list.
    pub fn inner(&self) -> (Millis, Millis) {
        let end = self.end.map_or(Millis::MAX, |end| end.saturating_sub(EDGE));
        (self.start.saturating_add(EDGE), end)
    }
}

/// The points in time between `from` and `to` (vendor's, of the oldest and newest job shown before)
/// whose last job before each is a witness against a list cut anywhere.
pub fn points(from: Millis, to: Millis) -> Vec<Millis> {
    if to <= from {
        return vec![to];
    }
    let slices = SPREAD as Millis;
    let step = ((to - from) / slices).max(1);
    let inside = (0..slices).map(|at| from + step * at).take_while(|at| *at < to);
    let mut points: Vec<Millis> = inside.chain([to]).collect();
    points.reverse();
    points.truncate(SPREAD);
    points
}

/// The witnesses of one reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witnesses {
    /// Against a cut list: jobs, whosever, that earlier whole lists showed.
    pub shown_before: BTreeSet<String>,
    /// Against a late list: jobs of ours accepted before the call.
    pub before: BTreeSet<String>,
    /// And those accepted after it.
    pub since: BTreeSet<String>,
}

impl Witnesses {
    /// Whom a list with this window must show to be believed about a call that went out from
    /// `opened_at` to `ended_at`. `settle` and `now` as everywhere (ours).
    pub fn of(
        window: &Window,
        (opened_at, ended_at): (Millis, Millis),
        accepted: &[Accepted],
        shown_before: impl IntoIterator<Item = String>,
        (settle, now): (Millis, Millis),
    ) -> Self {
        let bears = |job: &&Accepted| match job.created_at {
            _ if job.gone => false,
            Some(at) => window.shows(at),
            // Not shown yet: too young to say anything, or a hole in the list.
            None if job.shown => false,
            None => now - job.accepted_at >= settle,
        };
        let mut before: Vec<&Accepted> =
            accepted.iter().filter(|job| job.accepted_at <= ended_at).filter(bears).collect();
        before.sort_by_key(|job| std::cmp::Reverse(job.accepted_at));
        let recent = before.iter().filter(|job| job.accepted_at >= opened_at - DAY).count();
        before.truncate(recent.max(OWN));
        let id = |job: &Accepted| job.remote_id.clone();
        Self {
            shown_before: shown_before.into_iter().collect(),
            before: before.into_iter().map(id).collect(),
            since: accepted
                .iter()
                .filter(|job| job.accepted_at > ended_at)
                .filter(bears)
                .map(id)
                .collect(),
        }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &String> {
        self.shown_before.iter().chain(&self.before).chain(&self.since)
    }

    /// What a reading says that showed just those jobs.
    pub fn heard(&self, shown: impl Fn(&str) -> bool) -> Heard {
        let missing: BTreeSet<&String> = self.all().filter(|id| !shown(id)).collect();
        let heard = |ids: &BTreeSet<String>| ids.iter().filter(|id| shown(id)).count();
        Heard {
            before: heard(&self.before),
            since: heard(&self.since),
            missing: missing.into_iter().cloned().collect(),
        }
    }
}

/// What the witnesses said in one reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// How many of our jobs accepted before the call it showed.
    pub before: usize,
    /// And how many accepted after it.
    pub since: usize,
    /// Whom it did not show. With one missing, the reading counts for nothing towards absence.
    pub missing: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clocks::tests::accepted;

    const WINDOW: Window = Window { start: 0, end: Some(10 * DAY) };

    fn ids(set: &BTreeSet<String>) -> Vec<&str> {
        set.iter().map(String::as_str).collect()
    }

    #[test]
    fn our_jobs_of_the_day_before_at_least_three_and_every_one_since() {
        let (opened, ended) = (5 * DAY, 5 * DAY + MINUTE);
        let made = |id: &str, at| accepted(id, at, Some(at));
        let jobs = [
            made("a", DAY),
            made("b", 2 * DAY),
            made("c", 3 * DAY),
            made("d", 5 * DAY - HOUR),
            made("e", ended + 1),
            accepted("young", ended + 2, None),
            Accepted { gone: true, ..made("deleted", ended + 3) },
        ];
        let of = |jobs: &[Accepted], now| {
            Witnesses::of(&WINDOW, (opened, ended), jobs, [], (15 * MINUTE, now))
        };
        let found = of(&jobs, ended + 15 * MINUTE + 1);
        assert_eq!(ids(&found.before), ["b", "c", "d"]);
        assert_eq!(ids(&found.since), ["e"]);
        let later = of(&jobs, ended + 15 * MINUTE + 2);
        assert_eq!(ids(&later.since), ["e", "young"], "by now a list should have shown it");
        let many: Vec<Accepted> =
            (0..9).map(|n| made(&n.to_string(), opened - HOUR * (n + 1))).collect();
        assert_eq!(of(&many, ended).before.len(), 9);
        // Outside of the window nobody is a witness.
        let narrow = Window { start: 5 * DAY - HOUR, end: None };
        let found = Witnesses::of(&narrow, (opened, ended), &jobs, [], (MINUTE, ended));
        assert!(found.before.is_empty());
    }

    #[test]
    fn one_missing_witness_is_named() {
        let jobs = [accepted("a", 5 * DAY, Some(5 * DAY)), accepted("b", 6 * DAY, Some(6 * DAY))];
        let call = (5 * DAY + 1, 5 * DAY + 2);
        let others = ["x".to_owned(), "a".to_owned()];
        let all = Witnesses::of(&WINDOW, call, &jobs, others, (MINUTE, 7 * DAY));
        assert_eq!(all.heard(|_| true), Heard { before: 1, since: 1, missing: Vec::new() });
        let heard = all.heard(|id| id == "b");
        assert_eq!((heard.before, heard.since), (0, 1));
        assert_eq!(heard.missing, ["a", "x"]);
    }

    #[test]
    fn points_spread_over_the_whole_window() {
        assert_eq!(points(5, 5), [5]);
        assert_eq!(points(7, 5), [5]);
        let few = points(0, 3);
        assert_eq!(few, [3, 2, 1, 0]);
        let many = points(0, 8_000);
        assert_eq!(many.len(), SPREAD);
        assert_eq!((many.first(), many.last()), (Some(&8_000), Some(&100)));
        assert!(many.windows(2).all(|pair| pair[0] - pair[1] == 100));
        let (from, to) = WINDOW.inner();
        assert_eq!((from, to), (HOUR, 10 * DAY - HOUR));
    }
}
