//! What the vendor's job list is asked for.

use crate::clocks::{Accepted, Clocks};
use crate::{DAY, HOUR, Millis};

/// A list before a call reaches back at least this far.
const NEAREST: Millis = 2 * HOUR;
/// And at most this far.
const FURTHEST: Millis = 25 * HOUR;
/// So many of the newest accepted jobs it is to show.
const SHOWS: usize = 3;

/// From when on (vendor's) the list before a paid call is asked for: an hour before the third newest
/// accepted job of the day. `hidden`: some accepted job has never been shown, so that the list's own
/// clock may be another one, and it is asked as far back as possible.
pub fn before_a_call(now: Millis, accepted: &[Accepted], clocks: &Clocks, hidden: bool) -> Millis {
    let mut today: Vec<Millis> =
        accepted.iter().map(|job| job.accepted_at).filter(|at| *at > now - DAY).collect();
    today.sort_unstable_by(|a, b| b.cmp(a));
    let back = match today.get(SHOWS - 1) {
        Some(third) if !hidden => (now - third + HOUR).clamp(NEAREST, FURTHEST),
        _ => FURTHEST,
    };
    now - back + clocks.widening()
}

/// From when on (vendor's) a list about a call is asked for that is not to prove absence: from an
/// hour before the call, and never from before what was listed for it.
pub fn narrow(opened_at: Millis, listed_from: Option<Millis>, clocks: &Clocks) -> Millis {
    let start = opened_at - HOUR + clocks.widening();
    listed_from.map_or(start, |from| start.max(from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MINUTE;
    use crate::clocks::tests::accepted;

    const NOW: Millis = 100 * DAY;
    const EVEN: Clocks = Clocks { spread: 0, offset: Some((0, 0)) };

    #[test]
    fn it_shows_the_three_newest_accepted_jobs_of_the_day() {
        let ago = |hours| accepted("j", NOW - hours * HOUR, None);
        let start = |jobs: &[Accepted]| NOW - before_a_call(NOW, jobs, &EVEN, false);
        assert_eq!(start(&[]), 25 * HOUR);
        assert_eq!(start(&[ago(1), ago(2)]), 25 * HOUR);
        assert_eq!(start(&[ago(7), ago(1), ago(5), ago(9)]), 8 * HOUR);
        assert_eq!(start(&[ago(0), ago(0), ago(0)]), 2 * HOUR);
        assert_eq!(start(&[ago(1), ago(2), ago(24)]), 25 * HOUR, "the third is not of the day");
        let jobs = [ago(0), ago(0), ago(0)];
        assert_eq!(NOW - before_a_call(NOW, &jobs, &EVEN, true), 25 * HOUR);
        let behind = Clocks { spread: 0, offset: Some((-HOUR, MINUTE)) };
        assert_eq!(NOW - before_a_call(NOW, &jobs, &behind, false), 3 * HOUR);
        let unknown = Clocks::default();
        assert_eq!(NOW - before_a_call(NOW, &[], &unknown, false), 37 * HOUR);
    }

    #[test]
    fn a_narrow_one_never_begins_before_the_list_before_the_call() {
        assert_eq!(narrow(NOW, None, &EVEN), NOW - HOUR);
        assert_eq!(narrow(NOW, Some(NOW - 9 * HOUR), &EVEN), NOW - HOUR);
        assert_eq!(narrow(NOW, Some(NOW - MINUTE), &EVEN), NOW - MINUTE);
    }

    #[test]
    fn a_narrow_one_begins_earlier_by_what_the_vendors_clock_is_behind() {
        let behind = Clocks { spread: 0, offset: Some((-3 * HOUR, 0)) };
        assert_eq!(narrow(NOW, None, &behind), NOW - 4 * HOUR);
        assert_eq!(narrow(NOW, Some(NOW - 2 * HOUR), &behind), NOW - 2 * HOUR);
        assert_eq!(narrow(NOW, None, &Clocks::default()), NOW - 13 * HOUR, "nothing is known");
    }
}
