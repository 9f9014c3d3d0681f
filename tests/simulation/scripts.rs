//! Orders whose fate is written down, where chance would take too long to find it.

use crate::trouble::{Trouble, Usage, World};
use crate::vendor::Request;
use judging::fit::Media;
use judging::{HOUR, MINUTE, Millis, SECOND};

/// What becomes of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// When it is placed, after the beginning of the script.
    pub(crate) at: Millis,
    /// Which of our models it is for.
    model: &'static str,
    /// Whether the reply to its first call is lost.
    pub(crate) lost: bool,
    /// How much later than usual the first call makes its job; it never arrives without.
    pub(crate) made: Option<Millis>,
    /// How long after that the list shows it.
    pub(crate) listed: Millis,
    /// The request is delivered once more, so long after the first time.
    pub(crate) again: Option<Millis>,
    /// It is not ours: somebody else orders it.
    pub(crate) stranger: bool,
    /// The reply to its second call is lost as well, which never arrives.
    pub(crate) lost_again: bool,
}

/// An order as one hopes.
const GOOD: Step = Step {
    at: 0,
    model: "m1",
    lost: false,
    made: Some(0),
    listed: 0,
    again: None,
    stranger: false,
    lost_again: false,
};
/// One whose reply is lost.
const LOST: Step = Step { lost: true, ..GOOD };

/// Two calls lose their replies, and the list shows the jobs of both later than the settle time,
/// while it shows a third at once. The first row is sent again, in vain. Its first job comes to light
/// when both calls have been found absent, and the second row is about to be sent again.
const LATE_ENTRIES: [Step; 3] = [
    Step { listed: 18 * MINUTE + 10 * SECOND, lost_again: true, ..LOST },
    Step { at: SECOND, listed: 45 * MINUTE, ..LOST },
    Step { at: 6 * MINUTE, ..GOOD },
];

/// The same, but that the first job comes to light while the second call is still in doubt, which
/// takes it: a call found absent with a fresh witness is no other maker (rule 7).
const LATE_ENTRY_EARLIER: [Step; 3] = [
    Step { listed: 16 * MINUTE + 40 * SECOND, ..LOST },
    Step { at: SECOND, listed: 45 * MINUTE, ..LOST },
    Step { at: 6 * MINUTE, ..GOOD },
];

/// A request is delivered twice, and the second time falls into the next call, which is lost.
const fn twice(next: Millis, again: Millis) -> [Step; 2] {
    [Step { again: Some(again), ..GOOD }, Step { at: next, made: None, ..LOST }]
}

/// At once, in the queue behind the first.
const TWICE_AT_ONCE: [Step; 2] = twice(SECOND, 6 * SECOND);
/// Half a minute later: the second row gets the first one's double.
const TWICE_LATER: [Step; 2] = twice(30 * SECOND, 33 * SECOND);

/// A call is found absent while another one holds the lane, and has its effect before it is sent
/// again.
const LATE_BEHIND_THE_LANE: [Step; 3] = [
    Step { made: Some(16 * MINUTE), ..LOST },
    Step { at: 5 * MINUTE, ..GOOD },
    Step { at: 15 * MINUTE, model: "m2", made: None, ..LOST },
];

/// From two o'clock on the list lacks a page on which a stranger's job is that it has shown before, and
/// a call of ours that was lost.
const LOST_PAGE: [Step; 3] = [
    Step { at: HOUR + 50 * MINUTE, model: "s1", stranger: true, ..GOOD },
    Step { at: 2 * HOUR + 30 * SECOND, ..LOST },
    Step { at: 2 * HOUR + 20 * MINUTE, ..GOOD },
];

/// How the scripts are called, and what they are.
pub(crate) fn scripts() -> Vec<World> {
    let script = |name: &str, known, steps| World {
        name: name.to_owned(),
        usage: Usage::Scripted { known, steps },
        troubles: Vec::new(),
    };
    let page = script("script: a page is lost", true, &LOST_PAGE);
    vec![
        World { troubles: vec![Trouble::Hole(3 * HOUR)], ..page },
        script("script: late entries, fresh account", false, &LATE_ENTRIES),
        script("script: late entries, known account", true, &LATE_ENTRIES),
        script("script: twice at once", true, &TWICE_AT_ONCE),
        script("script: twice at once, fresh account", false, &TWICE_AT_ONCE),
        script("script: late behind the lane", true, &LATE_BEHIND_THE_LANE),
    ]
}

/// What no rule prevents, and evidence.md does not name: each breaks a promise.
pub(crate) fn gaps() -> Vec<World> {
    let gap = |name: &str, known, steps| World {
        name: name.to_owned(),
        usage: Usage::Scripted { known, steps },
        troubles: Vec::new(),
    };
    vec![
        gap("gap: twice, later", true, &TWICE_LATER),
        gap("gap: late entry, earlier", false, &LATE_ENTRY_EARLIER),
    ]
}

/// When a script begins.
pub(crate) fn begins(known: bool) -> Millis {
    if known { 4 * judging::DAY + 12 * HOUR } else { 12 * HOUR }
}

impl Step {
    /// What is ordered: nothing but the model tells one order from another.
    pub(crate) fn request(&self, nth: usize) -> Request {
        Request {
            hash: format!("step {nth}"),
            model: Some(self.model.to_owned()),
            media: Media::Images,
            count: 2,
        }
    }
}
