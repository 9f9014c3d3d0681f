//! What a whole list should have shown of our own jobs and did not.

use crate::clocks::{Accepted, Clocks};
use crate::times::Times;
use crate::witness::Window;
use crate::{MINUTE, Millis};

/// As long as the two clocks are not known, a job that no list has shown yet is surely inside the
/// window only while it is as young as this: windows begin an hour or more before the jobs that they
/// are about.
const YOUNG: Millis = 90 * MINUTE;

/// A job that was missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The vendor's id.
    pub remote_id: String,
    /// When we knew that the vendor had it (ours).
    pub accepted_at: Millis,
    /// Whether an earlier list has shown it.
    pub ever_shown: bool,
    /// Whether the list showed a job of ours that was accepted later.
    pub newer_shown: bool,
    /// How old it was when the list began (ms).
    pub age: Millis,
}

/// Which accepted jobs a whole list should have shown that began at `began_at` (ours) and was asked
/// for `window`, and did not.
pub fn missed(
    window: &Window,
    began_at: Millis,
    accepted: &[Accepted],
    clocks: &Clocks,
    shown: impl Fn(&str) -> bool,
) -> Vec<Missed> {
    let newest_shown =
        accepted.iter().filter(|job| shown(&job.remote_id)).map(|job| job.accepted_at).max();
    let should = |job: &&Accepted| {
        let inside = match job.created_at {
            Some(at) => window.shows(at),
            None if job.shown => false,
            None => match clocks.offset {
                Some((least, most)) => {
                    window.shows(job.accepted_at + least) && window.shows(job.accepted_at + most)
                }
                None => began_at - job.accepted_at <= YOUNG,
            },
        };
        !job.gone && job.accepted_at <= began_at && inside && !shown(&job.remote_id)
    };
    let missed = accepted.iter().filter(should).map(|job| Missed {
        remote_id: job.remote_id.clone(),
        accepted_at: job.accepted_at,
        ever_shown: job.shown,
        newer_shown: newest_shown.is_some_and(|at| at > job.accepted_at),
        age: began_at - job.accepted_at,
    });
    missed.collect()
}

/// A job of anybody's that earlier lists have shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The vendor's id.
    pub remote_id: String,
    /// When it was made (vendor's).
    pub created_at: Millis,
    /// When a list showed it first (ours).
    pub first_seen_at: Millis,
}

/// Which of the jobs that earlier lists showed inside a window a whole one, that began at `began_at`
/// (ours), does not: the vendor may have taken them off. They are as old as they have been known.
pub fn gone(shown_before: &[Shown], began_at: Millis, shown: impl Fn(&str) -> bool) -> Vec<Missed> {
    let there = || shown_before.iter().filter(|job| shown(&job.remote_id));
    let newest = there().map(|job| job.created_at).max();
    let gone = shown_before.iter().filter(|job| !shown(&job.remote_id)).map(|job| Missed {
        remote_id: job.remote_id.clone(),
        accepted_at: job.first_seen_at,
        ever_shown: true,
        newer_shown: newest.is_some_and(|at| at > job.created_at),
        age: began_at - job.first_seen_at,
    });
    gone.collect()
}

/// Whether a list that shows these still shows something made before: then a job that is gone was
/// deleted by somebody, and says nothing about how far back the list reaches.
pub fn shows_older(gone: &Missed, shown_before: &[Shown], shown: impl Fn(&str) -> bool) -> bool {
    let made = |id: &str| shown_before.iter().find(|job| job.remote_id == id);
    let Some(created_at) = made(&gone.remote_id).map(|job| job.created_at) else { return false };
    shown_before.iter().any(|job| job.created_at < created_at && shown(&job.remote_id))
}

/// How late the list is by what it missed (ms), as far as this daemon, started at `started` (ours), has
/// seen. Only what no list has shown yet tells: what was shown and is missing again was cut off or
/// taken off, against which there are witnesses, and however old it is the list is no later for it.
/// What it has not shown after an hour it lacks; six times an hour is the longest settle time anyhow.
pub fn lateness(missed: &[Missed], started: Millis, times: &Times) -> Option<Millis> {
    let tells =
        |job: &&Missed| !job.ever_shown && job.accepted_at >= started && job.age <= times.an_hour();
    missed.iter().filter(tells).map(|job| job.age).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HOUR;
    use crate::clocks::tests::accepted;

    const WINDOW: Window = Window { start: 0, end: None };

    #[test]
    fn what_was_shown_before_and_is_not_is_gone_once_newer_ones_are_shown() {
        let before = [("a", 1), ("b", 2), ("c", 3)].map(|(id, created_at)| Shown {
            remote_id: id.to_owned(),
            created_at,
            first_seen_at: 10 * created_at,
        });
        let of = |shown: &[&str]| {
            gone(&before, 90, |id| shown.contains(&id))
                .into_iter()
                .map(|job| {
                    let older = shows_older(&job, &before, |id| shown.contains(&id));
                    (job.remote_id, job.newer_shown, older, job.age)
                })
                .collect::<Vec<_>>()
        };
        let job = |id: &str, newer, older, age| (id.to_owned(), newer, older, age);
        assert_eq!(of(&["a", "b", "c"]), []);
        assert_eq!(of(&["b"]), [job("a", true, false, 80), job("c", false, true, 60)]);
        assert_eq!(of(&["c"]), [job("a", true, false, 80), job("b", true, false, 70)]);
        assert_eq!(of(&["a", "c"]), [job("b", true, true, 70)]);
        assert!(of(&[]).iter().all(|(_, newer, ..)| !newer));
    }

    #[test]
    fn what_lies_inside_and_is_not_shown() {
        let now = 10 * HOUR;
        let jobs = [
            accepted("outside", HOUR, Some(-HOUR)),
            accepted("old", HOUR, Some(HOUR)),
            accepted("newer", 2 * HOUR, Some(2 * HOUR)),
            accepted("young", now - MINUTE, None),
            accepted("not young", now - 2 * HOUR, None),
            accepted("later", now + 1, None),
            Accepted { gone: true, ..accepted("gone", HOUR, Some(HOUR)) },
        ];
        let unknown = Clocks::default();
        let of = |shown: &[&str]| {
            missed(&WINDOW, now, &jobs, &unknown, |id| shown.contains(&id))
                .into_iter()
                .map(|job| (job.remote_id, job.ever_shown, job.newer_shown, job.age))
                .collect::<Vec<_>>()
        };
        let old = |newer| ("old".to_owned(), true, newer, 9 * HOUR);
        let young = ("young".to_owned(), false, false, MINUTE);
        assert_eq!(of(&["newer"]), [old(true), young.clone()]);
        assert_eq!(of(&["newer", "young"]), [old(true)]);
        let newer = ("newer".to_owned(), true, false, 8 * HOUR);
        assert_eq!(of(&[]), [old(false), newer, young]);
        // With known clocks a job that no list has shown is missed however old it is.
        let known = Clocks { spread: 0, offset: Some((-MINUTE, MINUTE)) };
        let ids = |window: &Window| {
            let missed = missed(window, now, &jobs, &known, |id| id == "old" || id == "newer");
            missed.into_iter().map(|job| job.remote_id).collect::<Vec<_>>()
        };
        assert_eq!(ids(&WINDOW), ["young", "not young"]);
        let from = |start| Window { start, end: None };
        assert_eq!(ids(&from(8 * HOUR - 31 * MINUTE)), ["young", "not young"]);
        assert_eq!(ids(&from(8 * HOUR - 31 * MINUTE + 1)), ["young"]);
    }

    #[test]
    fn only_what_was_never_shown_tells_how_late_the_list_is() {
        let times = Times::auto(30_000);
        let missed = |age, ever_shown| Missed {
            remote_id: "j".to_owned(),
            accepted_at: 10 * HOUR - age,
            ever_shown,
            newer_shown: false,
            age,
        };
        let jobs = [missed(MINUTE, false), missed(2 * MINUTE, false), missed(5 * HOUR, true)];
        assert_eq!(lateness(&jobs, 0, &times), Some(2 * MINUTE));
        let started = 10 * HOUR - MINUTE;
        assert_eq!(lateness(&jobs, started, &times), Some(MINUTE), "our own sleep");
        assert_eq!(lateness(&jobs[2..], 0, &times), None, "cut off or taken off");
        assert_eq!(lateness(&[missed(HOUR + 1, false)], 0, &times), None, "that one is lacking");
    }
}
