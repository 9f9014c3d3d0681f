//! What a whole list should have shown of our own jobs and did not.

use crate::clocks::Accepted;
use crate::witness::Window;
use crate::{MINUTE, Millis};

/// A job that no list has shown yet is surely inside the window only while it is as young as this:
/// windows begin an hour or more before the jobs that they are about.
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
    shown: impl Fn(&str) -> bool,
) -> Vec<Missed> {
    let newest_shown =
        accepted.iter().filter(|job| shown(&job.remote_id)).map(|job| job.accepted_at).max();
    let should = |job: &&Accepted| {
        let inside = match job.created_at {
            Some(at) => window.shows(at),
            None => !job.shown && began_at - job.accepted_at <= YOUNG,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HOUR;
    use crate::clocks::tests::accepted;

    const WINDOW: Window = Window { start: 0, end: None };

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
        let of = |shown: &[&str]| {
            missed(&WINDOW, now, &jobs, |id| shown.contains(&id))
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
    }
}
