//! What the two clocks say of each other. Only spacing is believed: the time between two accepted
//! jobs by our clock against the time between their creations by the vendor's.

use crate::{DAY, HOUR, MINUTE, Millis, SECOND};

/// A difference in spacing beyond this is a step of a clock, and measures nothing.
const STEP: Millis = MINUTE;
/// The least tolerance of creation times.
const TOLERANCE: Millis = 5 * SECOND;
/// So late after a call's end its job may still be made.
pub const LATEST: Millis = 15 * MINUTE;
/// With a larger offset between the clocks nothing is called absent.
const FAR: Millis = 12 * HOUR;

/// A job that the vendor surely took from us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The vendor's id.
    pub remote_id: String,
    /// When we knew (ours).
    pub accepted_at: Millis,
    /// When the vendor made it (vendor's); unknown until a list has shown it.
    pub created_at: Option<Millis>,
    /// Whether any list has ever shown it.
    pub shown: bool,
    /// Whether it bears no witness any more: we deleted it, or the vendor has taken it off its list.
    pub gone: bool,
}

/// What is known of the two clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// The largest difference in spacing that is no step (ms).
    pub spread: Millis,
    /// Creation by the vendor's clock less acceptance by ours: the smallest and largest of the last
    /// day, or of the newest three (ms).
    pub offset: Option<(Millis, Millis)>,
}

impl Clocks {
    /// Measures; `accepted` in any order, `now` ours.
    pub fn measure(accepted: &[Accepted], now: Millis) -> Self {
        let mut known: Vec<(Millis, Millis)> =
            accepted.iter().filter_map(|job| Some((job.accepted_at, job.created_at?))).collect();
        known.sort_unstable();
        let spacings = known.windows(2).filter_map(|pair| match pair {
            [(ours, theirs), (ours_next, theirs_next)] => {
                Some(((theirs_next - theirs) - (ours_next - ours)).abs())
            }
            _ => None,
        });
        let spread = spacings.filter(|difference| *difference <= STEP).max().unwrap_or(0);
        let newest = known.len().saturating_sub(3);
        let offsets = || {
            let of_the_day = known
                .iter()
                .enumerate()
                .filter(move |(at, (ours, _))| *at >= newest || *ours >= now - DAY);
            of_the_day.map(|(_, (ours, theirs))| theirs - ours)
        };
        let offset = offsets().min().zip(offsets().max());
        Self { spread, offset }
    }

    /// How far creation times may be off (ms).
    pub fn tolerance(&self) -> Millis {
        TOLERANCE + 2 * self.spread
    }

    /// How much further back a window has to begin (ms, at most zero). Unknown: as far as any offset
    /// that still allows absence.
    pub fn widening(&self) -> Millis {
        self.offset.map_or(-FAR, |(least, _)| least.clamp(-FAR, 0))
    }

    /// Whether the clocks are too far apart for any absence.
    pub fn are_far_apart(&self) -> bool {
        self.offset.is_some_and(|(least, most)| least < -FAR || most > FAR)
    }
}

/// Why a creation time does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistimed {
    /// Made before the call went out.
    Before,
    /// Made long after it.
    After,
    /// The vendor does not say when.
    Unknown,
}

/// A call, as far as its times go (ours).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// When its intent was stored.
    pub opened_at: Millis,
    /// When it was over, or its outcome became unknown.
    pub ended_at: Millis,
}

/// Whether a job made at `created_at` (vendor's) can be the call's, measured from the newest job
/// accepted before the call. Without such a job nothing can be said against it.
pub fn holds(
    created_at: Option<Millis>,
    call: Span,
    accepted: &[Accepted],
    clocks: &Clocks,
) -> Result<(), Mistimed> {
    holds_until(created_at, call, accepted, clocks, LATEST)
}

/// The same, where a call's effect may come as late as `latest` after its end.
pub fn holds_until(
    created_at: Option<Millis>,
    call: Span,
    accepted: &[Accepted],
    clocks: &Clocks,
    latest: Millis,
) -> Result<(), Mistimed> {
    let Some(reference) = reference(call, accepted) else {
        // A vendor that shows jobs and never says when it made them: nothing holds by time.
        let mut before = accepted.iter().filter(|job| job.accepted_at <= call.opened_at);
        let never_says = created_at.is_none() && before.any(|job| job.shown);
        return if never_says { Err(Mistimed::Unknown) } else { Ok(()) };
    };
    holds_by(reference, created_at.ok_or(Mistimed::Unknown)?, call, clocks.tolerance(), latest)
}

/// Whether a job may be the call's by the spacing from any accepted job at all: when the vendor's clock
/// has stepped, the one before the call says nothing any more, and what rules a maker out must be sure.
///
/// # Errors
/// `Before` if every one says so; `After` if none lets it hold, and not every one says `Before`.
pub fn may_hold(
    created_at: Option<Millis>,
    call: Span,
    accepted: &[Accepted],
    clocks: &Clocks,
    latest: Millis,
) -> Result<(), Mistimed> {
    let Some(created_at) = created_at else { return Ok(()) };
    let known = accepted.iter().filter_map(|job| Some((job.accepted_at, job.created_at?)));
    let mut said = None;
    for reference in known {
        match holds_by(reference, created_at, call, clocks.tolerance(), latest) {
            Ok(()) => return Ok(()),
            Err(Mistimed::Before) if said.is_none() => said = Some(Mistimed::Before),
            Err(Mistimed::Before) => {}
            Err(_) => said = Some(Mistimed::After),
        }
    }
    said.map_or(Ok(()), Err)
}

/// The newest job accepted before the call of which both times are known: ours, and the vendor's.
fn reference(call: Span, accepted: &[Accepted]) -> Option<(Millis, Millis)> {
    let before = accepted.iter().filter(|job| job.accepted_at <= call.opened_at);
    before.filter_map(|job| Some((job.accepted_at, job.created_at?))).max()
}

/// By one accepted job, of which both times are known.
fn holds_by(
    (accepted_at, reference): (Millis, Millis),
    created_at: Millis,
    call: Span,
    tolerance: Millis,
    latest: Millis,
) -> Result<(), Mistimed> {
    if created_at < reference + (call.opened_at - accepted_at) - tolerance {
        return Err(Mistimed::Before);
    }
    if created_at > reference + (call.ended_at - accepted_at) + latest + tolerance {
        return Err(Mistimed::After);
    }
    Ok(())
}

/// How far from its call a job was made (ms), before or after, told like [`holds`] by the spacing from
/// the newest job accepted before the call. Nothing without such a job.
pub fn distance(created_at: Option<Millis>, call: Span, accepted: &[Accepted]) -> Option<Millis> {
    let (accepted_at, reference) = reference(call, accepted)?;
    // When it was made, by our clock.
    let made = created_at? - reference + accepted_at;
    Some((call.opened_at - made).max(made - call.ended_at).max(0))
}

/// How long after the end of its call a job was made (ms), told like [`holds`] by the spacing from the
/// newest job accepted before the call, and less the tolerance. Nothing without such a job.
pub fn late_by(
    created_at: Option<Millis>,
    call: Span,
    accepted: &[Accepted],
    clocks: &Clocks,
) -> Option<Millis> {
    let (accepted_at, reference) = reference(call, accepted)?;
    Some(created_at? - reference - (call.ended_at - accepted_at) - clocks.tolerance())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn accepted(id: &str, ours: Millis, theirs: Option<Millis>) -> Accepted {
        Accepted {
            remote_id: id.to_owned(),
            accepted_at: ours,
            created_at: theirs,
            shown: theirs.is_some(),
            gone: false,
        }
    }

    #[test]
    fn spacing_not_clocks() {
        // The vendor's clock is nine hours ahead and two seconds unsteady.
        let ahead = 9 * HOUR;
        let jobs = [
            accepted("a", 0, Some(ahead)),
            accepted("b", 100_000, Some(ahead + 102_000)),
            accepted("c", 200_000, Some(ahead + 200_000)),
            accepted("never listed", 300_000, None),
        ];
        let clocks = Clocks::measure(&jobs, 300_000);
        assert_eq!(clocks, Clocks { spread: 2_000, offset: Some((ahead, ahead + 2_000)) });
        assert_eq!(clocks.tolerance(), 9_000);
        assert_eq!((clocks.widening(), clocks.are_far_apart()), (0, false));
        let call = Span { opened_at: 400_000, ended_at: 430_000 };
        let at = |theirs| holds(Some(theirs), call, &jobs, &clocks);
        assert_eq!(at(ahead + 391_000), Ok(()));
        assert_eq!(at(ahead + 390_999), Err(Mistimed::Before));
        assert_eq!(at(ahead + 430_000 + 15 * MINUTE + 9_000), Ok(()));
        assert_eq!(at(ahead + 430_000 + 15 * MINUTE + 9_001), Err(Mistimed::After));
        assert_eq!(holds(None, call, &jobs, &clocks), Err(Mistimed::Unknown));
        // A vendor whose effects come late makes the job later, too.
        let late = |theirs| holds_until(Some(theirs), call, &jobs, &clocks, 30 * MINUTE);
        assert_eq!(late(ahead + 430_000 + 30 * MINUTE + 9_000), Ok(()));
        assert_eq!(late(ahead + 430_000 + 30 * MINUTE + 9_001), Err(Mistimed::After));
        assert_eq!(late(ahead + 390_999), Err(Mistimed::Before));
        let by = |theirs| late_by(Some(theirs), call, &jobs, &clocks);
        assert_eq!(by(ahead + 430_000 + 9_000 + 7), Some(7));
        assert_eq!(by(ahead + 400_000), Some(-39_000));
        assert_eq!(late_by(None, call, &jobs, &clocks), None);
        let far = |theirs| distance(Some(ahead + theirs), call, &jobs);
        assert_eq!(far(400_000 - 7), Some(7));
        assert_eq!((far(400_000), far(415_000), far(430_000)), (Some(0), Some(0), Some(0)));
        assert_eq!(far(430_007), Some(7));
        assert_eq!(distance(None, call, &jobs).or(distance(Some(1), call, &[])), None);
        assert_eq!(late_by(Some(ahead), call, &[], &clocks), None);
        // A vendor that never says when it made a job leaves every time unknown.
        let silent = [Accepted { shown: true, ..accepted("a", 0, None) }];
        assert_eq!(holds(None, call, &silent, &clocks), Err(Mistimed::Unknown));
        assert_eq!(holds(Some(1), call, &silent, &clocks), Ok(()));
        assert_eq!(holds(None, call, &[accepted("not shown yet", 0, None)], &clocks), Ok(()));
        // For whether it may be another call's every accepted job is asked, later ones too.
        let may = |theirs, jobs: &[Accepted]| may_hold(Some(theirs), call, jobs, &clocks, LATEST);
        assert_eq!(may(ahead + 391_000, &jobs), Ok(()));
        assert_eq!(may(ahead + 380_000, &jobs), Err(Mistimed::Before));
        assert_eq!(may(ahead + 400_000 + HOUR, &jobs), Err(Mistimed::After));
        let stepped = accepted("after the step", 500_000, Some(ahead + 500_000 + HOUR));
        let with = [&jobs[..], &[stepped]].concat();
        assert_eq!(may(ahead + 400_000 + HOUR, &with), Ok(()), "the vendor's clock has stepped");
        assert_eq!(may(ahead + 380_000, &with), Err(Mistimed::Before));
        assert_eq!(may(ahead + 2 * HOUR, &with), Err(Mistimed::After));
        assert_eq!((may(0, &[]), may_hold(None, call, &jobs, &clocks, 0)), (Ok(()), Ok(())));
        // What was accepted after the call is no reference for it.
        let early = Span { opened_at: -1, ended_at: 0 };
        assert_eq!(holds(Some(7), early, &jobs, &clocks), Ok(()));
        assert_eq!(holds(None, early, &[], &clocks), Ok(()), "a fresh account");
    }

    #[test]
    fn a_step_is_not_counted_and_too_large_an_offset_is_said() {
        let jobs = [
            accepted("a", 0, Some(-30 * HOUR)),
            accepted("b", 60_000, Some(60_000)),
            accepted("c", 120_000, Some(181_000)),
        ];
        let clocks = Clocks::measure(&jobs, 120_000);
        assert_eq!(clocks.spread, 0, "a day and a minute more than our spacing are steps");
        assert!(clocks.are_far_apart());
        assert_eq!(clocks.widening(), -12 * HOUR);
        let newest = Clocks::measure(&jobs[1..], 120_000);
        assert_eq!(newest.offset, Some((0, 61_000)));
        assert!(!newest.are_far_apart());
        assert_eq!(Clocks::default().widening(), -12 * HOUR, "nothing is known");
        // Only the day counts, but for the newest three.
        let old = [
            accepted("a", -3 * DAY, Some(-3 * DAY - HOUR)),
            accepted("b", -2 * DAY, Some(-2 * DAY)),
            accepted("c", 0, Some(0)),
            accepted("d", 1, Some(1)),
        ];
        assert_eq!(Clocks::measure(&old, 2).offset, Some((0, 0)));
        assert_eq!(Clocks::measure(&old[..3], 2).offset, Some((-HOUR, 0)));
        let edge =
            |hours: Millis| Clocks { spread: 0, offset: Some((-hours, hours)) }.are_far_apart();
        assert!(!edge(12 * HOUR) && edge(12 * HOUR + 1));
    }
}
