use super::*;
use crate::clocks::tests::accepted;
use crate::clocks::{Accepted, Clocks};
use crate::fit::tests::{call, images, job, record};
use crate::fit::{Media, ModelIds, Record};
use crate::{HOUR, MINUTE, SECOND};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// When the call of these tests went out, by both clocks.
const SENT: Millis = 10 * DAY;

/// All that [`place`] is asked with.
#[derive(Clone, Debug)]
struct Case {
    job: Candidate,
    read: bool,
    without: Vec<Other>,
    taken: Vec<Taken>,
    bought: Vec<Bought>,
    trainings: Vec<Call>,
    accepted: Vec<Accepted>,
    models: ModelIds,
    now: Millis,
}

/// A job made five seconds after the call, which nobody has made so far.
fn case() -> Case {
    Case {
        job: job("j", SENT + 5 * SECOND, Some(record(None, Some(Media::Images), true))),
        read: true,
        without: Vec::new(),
        taken: Vec::new(),
        bought: Vec::new(),
        trainings: Vec::new(),
        accepted: vec![accepted("before", SENT - HOUR, Some(SENT - HOUR))],
        models: ModelIds::default(),
        now: SENT + HOUR,
    }
}

fn with(standing: Standing) -> Case {
    case().with(|case| case.without = vec![other(7, standing)])
}

fn other(intent: i64, standing: Standing) -> Other {
    Other { call: call(intent, images(None), SENT), standing }
}

/// Another job, made so long after the call, is a possible duplicate already.
fn taken(intent: i64, made: Millis) -> Taken {
    let of = record(None, Some(Media::Images), true);
    Taken { intent, job: job("earlier", SENT + made, Some(of)) }
}

const ABSENT: Standing = Standing::Absent { fresh: true };

impl Case {
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn place(&self) -> Place {
        let makers = Makers {
            without: &self.without,
            taken: &self.taken,
            bought: &self.bought,
            trainings: &self.trainings,
        };
        let clocks = Clocks::measure(&self.accepted, self.now);
        let ground = Ground { accepted: &self.accepted, clocks: &clocks, models: &self.models };
        place(&self.job, self.read, &makers, &ground, self.now)
    }

    /// A job as it is before its record was asked for.
    fn unread(self) -> Self {
        self.with(|case| (case.read, case.job.record) = (false, None))
    }
}

/// A job that conflicts with every call of these tests: it ended as a video.
fn video(case: &mut Case) {
    case.job.record = Some(record(None, Some(Media::Videos), true));
}

#[test]
fn what_nobody_made_is_foreign() {
    assert_eq!(case().place(), Place::Foreign);
    assert_eq!(case().unread().place(), Place::Foreign, "there is nothing to learn from it");
    let models = case().unread().with(|case| {
        case.models.ours = BTreeSet::from(["m".to_owned()]);
    });
    assert_eq!(models.place(), Place::Unread, "it may show a model of ours in strangers' hands");
    let read = models.with(|case| case.read = true);
    assert_eq!(read.place(), Place::Foreign, "it was asked for, and the vendor has no record");
}

#[test]
fn a_call_that_waits_keeps_what_it_may_have_made() {
    for standing in [Standing::Open, Standing::Parked] {
        let waits = with(standing);
        assert_eq!(waits.place(), Place::Candidate, "{standing:?}");
        assert_eq!(waits.clone().unread().place(), Place::Candidate);
        assert_eq!(waits.clone().with(video).place(), Place::Foreign);
        let known = waits.clone().with(|case| case.without[0].call.listed_seq = 1);
        assert_eq!(known.place(), Place::Foreign, "it was listed before the call");
        // A vendor's clock may have stepped: a time before the list proves nothing.
        let history = waits.clone().with(|case| {
            case.without[0].call.listed_from = Some(SENT + 5 * SECOND + 1);
        });
        assert_eq!(history.place(), Place::Candidate);
        let old = waits.clone().with(|case| case.now = SENT + 99 * DAY);
        assert_eq!(old.place(), Place::Candidate, "it waits as long as the call does");
    }
}

#[test]
fn what_was_made_before_a_call_is_only_an_open_ones_candidate() {
    let early = |standing| with(standing).with(|case| case.job.created_at = Some(SENT - MINUTE));
    assert_eq!(early(Standing::Open).place(), Place::Candidate);
    assert_eq!(early(Standing::Parked).place(), Place::Foreign);
    assert_eq!(early(ABSENT).place(), Place::Foreign);
    assert_eq!(early(Standing::GivenUp).place(), Place::Foreign);
    // Long after the call is no reason: effects may be late.
    for standing in [Standing::Parked, ABSENT] {
        let late = with(standing).with(|case| case.job.created_at = Some(SENT + DAY));
        assert_ne!(late.place(), Place::Foreign);
        let undated = with(standing).with(|case| case.job.created_at = None);
        assert_ne!(undated.place(), Place::Foreign);
    }
}

#[test]
fn a_settled_call_without_a_job_may_have_been_bought_twice() {
    for standing in [ABSENT, Standing::Absent { fresh: false }, Standing::GivenUp] {
        let late = with(standing);
        assert_eq!(late.place(), Place::Duplicate(7));
        assert_eq!(late.clone().unread().place(), Place::Unread);
        let read = late.clone().unread().with(|case| case.read = true);
        assert_eq!(read.place(), Place::Duplicate(7), "the vendor cannot show it");
        let taken = late.clone().with(|case| case.taken = vec![taken(7, 5 * SECOND)]);
        assert_eq!(taken.place(), Place::Foreign, "one each");
        assert_eq!(late.clone().with(video).place(), Place::Foreign);
        let known = late.clone().with(|case| case.without[0].call.listed_seq = 1);
        assert_eq!(known.place(), Place::Foreign);
        let ended = SENT + 10 * SECOND;
        let at = |now| late.clone().with(|case| case.now = now).place();
        assert_eq!(at(ended + 7 * DAY), Place::Duplicate(7));
        assert_eq!(at(ended + 7 * DAY + 1), Place::Foreign);
        let training = late.with(|case| {
            case.without[0].call.effect = Effect::Training("m".to_owned());
            case.job.record = Some(record(None, None, true));
        });
        assert_eq!(training.place(), Place::Foreign, "no job proves a training");
    }
}

#[test]
fn a_job_that_is_nearer_to_the_call_is_shown_beside_the_one_before() {
    let with = |had: &[Taken]| with(ABSENT).with(|case| case.taken = had.to_vec()).place();
    let undated = Candidate { created_at: None, ..taken(7, HOUR).job };
    let undated = Taken { intent: 7, job: undated };
    // What had come to light was made an hour later, perhaps by a stranger.
    assert_eq!(with(&[taken(7, HOUR)]), Place::Duplicate(7));
    assert_eq!(with(&[undated]), Place::Duplicate(7));
    assert_eq!(with(&[taken(7, HOUR), taken(7, 5 * SECOND)]), Place::Foreign);
    assert_eq!(with(&[taken(7, HOUR), taken(8, 5 * SECOND)]), Place::Duplicate(7));
    // Its own times have to hold for that.
    let late = self::with(ABSENT).with(|case| {
        (case.taken, case.job.created_at) = (vec![taken(7, 2 * HOUR)], Some(SENT + HOUR));
    });
    assert_eq!(late.place(), Place::Foreign);
}

#[test]
fn a_job_that_only_one_call_can_have_made_is_not_lost_to_one_that_two_can() {
    // The one before came longer after both calls, and could be either one's.
    let had = |made| {
        with(ABSENT).with(|case| {
            case.without.push(other(8, ABSENT));
            case.models.ours = ["m1".to_owned(), "m2".to_owned()].into();
            case.without[0].call.effect = images(Some("m1"));
            case.without[1].call.effect = images(Some("m2"));
            case.job.created_at = Some(SENT + 2 * HOUR);
            case.job.record = Some(record(Some("m1"), Some(Media::Images), true));
            case.taken = vec![taken(7, made)];
        })
    };
    assert_eq!(had(HOUR).place(), Place::Duplicate(7));
    let both = had(HOUR).with(|case| case.taken.push(taken(7, HOUR)));
    assert_eq!(both.place(), Place::Foreign, "a third one is too many");
    let neither = had(HOUR).with(|case| case.taken.push(taken(8, HOUR)));
    assert_eq!(neither.place(), Place::Foreign, "the other call has one");
    let own = record(Some("m1"), Some(Media::Images), true);
    let own = had(HOUR).with(|case| case.taken[0].job.record = Some(own));
    assert_eq!(own.place(), Place::Foreign, "the one before is this call's only");
}

#[test]
fn the_oldest_settled_call_explains_it_and_a_waiting_one_comes_first() {
    let two = case().with(|case| {
        case.without = vec![other(9, ABSENT), other(8, Standing::GivenUp)];
    });
    assert_eq!(two.place(), Place::Duplicate(8));
    assert_eq!(
        two.clone().with(|case| case.taken = vec![taken(8, 5 * SECOND)]).place(),
        Place::Duplicate(9)
    );
    // One whose times hold comes before an older one that would have made it late.
    let late = two.clone().with(|case| {
        case.job.created_at = Some(SENT + DAY);
        let span = &mut case.without[0].call.span;
        (span.opened_at, span.ended_at) = (SENT + DAY, SENT + DAY);
    });
    assert_eq!(late.place(), Place::Duplicate(9));
    let open = two.with(|case| case.without.push(other(3, Standing::Open)));
    assert_eq!(open.place(), Place::Candidate);
}

fn bought(intent: i64, created_at: Option<Millis>) -> Bought {
    Bought { call: call(intent, images(None), SENT - 9 * DAY), created_at, ruled_out: Vec::new() }
}

#[test]
fn a_network_can_deliver_an_accepted_request_twice() {
    let made = SENT + 5 * SECOND;
    let apart = |by| case().with(|case| case.bought = vec![bought(4, Some(made + by))]);
    for by in [0, 2 * MINUTE, -2 * MINUTE] {
        assert_eq!(apart(by).place(), Place::Duplicate(4), "{by}");
    }
    for by in [2 * MINUTE + 1, -2 * MINUTE - 1] {
        assert_eq!(apart(by).place(), Place::Foreign, "{by}");
    }
    assert_eq!(apart(0).unread().place(), Place::Unread);
    assert_eq!(apart(0).with(video).place(), Place::Foreign);
    assert_eq!(apart(0).with(|case| case.taken = vec![taken(4, 0)]).place(), Place::Foreign);
    let undated = case().with(|case| case.bought = vec![bought(4, None)]);
    assert_eq!(undated.place(), Place::Foreign);
    let undated = apart(0).with(|case| case.job.created_at = None);
    assert_eq!(undated.place(), Place::Foreign);
    let nearest = case().with(|case| {
        case.bought = [(4, 9), (5, -3), (6, 4)]
            .map(|(intent, by)| bought(intent, Some(made + by * SECOND)))
            .to_vec();
    });
    assert_eq!(nearest.place(), Place::Duplicate(5));
    // A call without a job explains it better than one that has its own.
    let absent = apart(0).with(|case| case.without = vec![other(7, ABSENT)]);
    assert_eq!(absent.place(), Place::Duplicate(7));
}

fn entry() -> Case {
    case().with(|case| {
        case.trainings = vec![call(3, Effect::Training("m".to_owned()), SENT)];
        case.job.record = Some(record(Some("m"), None, true));
    })
}

#[test]
fn an_entry_is_a_trainings_by_its_own_record() {
    assert_eq!(entry().place(), Place::Entry(3));
    assert_eq!(entry().unread().place(), Place::Unread);
    let read = |record: Option<Record>| entry().with(|case| case.job.record = record).place();
    assert_eq!(read(Some(record(Some("n"), None, true))), Place::Foreign, "another model");
    assert_eq!(read(Some(record(None, None, true))), Place::Foreign, "no model");
    let media = Some(record(Some("m"), Some(Media::Images), true));
    assert_eq!(read(media), Place::Foreign, "a job with media never is");
    assert_eq!(read(None), Place::Entry(3), "the vendor lists it and cannot show it");
    let known = entry().with(|case| case.trainings[0].listed_seq = 1);
    assert_eq!(known.place(), Place::Foreign);
    let early = entry().with(|case| case.job.created_at = Some(SENT - MINUTE));
    assert_eq!(early.place(), Place::Foreign);
    let late = entry().with(|case| case.job.created_at = Some(SENT + HOUR));
    assert_eq!(late.place(), Place::Foreign);
    let no_training = entry().with(|case| case.trainings[0].effect = images(Some("m")));
    assert_eq!(no_training.place(), Place::Foreign);
    // The only kind that proves itself comes before a duplicate, and after what waits.
    let absent = entry().with(|case| case.without = vec![other(7, ABSENT)]);
    assert_eq!(absent.place(), Place::Entry(3));
    let open = entry().with(|case| case.without = vec![other(7, Standing::Open)]);
    assert_eq!(open.place(), Place::Candidate);
}

proptest! {
    /// Every job has exactly one place, a reading settles what was unread, and nobody is told of two
    /// duplicates of one call.
    #[test]
    fn every_job_has_a_place(
        made in -HOUR..2 * DAY,
        standings in proptest::collection::vec(0..5_u8, 0..4),
        apart in proptest::option::of(-5 * MINUTE..5 * MINUTE),
        taken in proptest::collection::vec(0..5_i64, 0..3),
        media in 0..3_u8,
        days in 0..9_i64,
    ) {
        let standing = |at: &u8| match at {
            0 => Standing::Open,
            1 => Standing::Parked,
            2 => Standing::GivenUp,
            fresh => Standing::Absent { fresh: *fresh == 3 },
        };
        let media = [None, Some(Media::Images), Some(Media::Videos)][usize::from(media)];
        let drawn = case().with(|case| {
            case.job = job("j", SENT + made, Some(record(None, media, true)));
            case.without = (0..)
                .zip(&standings)
                .map(|(intent, at)| other(intent, standing(at)))
                .collect();
            case.bought = apart.map(|by| bought(4, Some(SENT + made + by))).into_iter().collect();
            case.taken = taken.iter().map(|intent| self::taken(*intent, made)).collect();
            case.now = SENT + days * DAY;
        });
        let place = drawn.place();
        prop_assert_ne!(&place, &Place::Unread);
        if let Place::Duplicate(intent) = place {
            prop_assert!(drawn.taken.iter().all(|taken| taken.intent != intent));
            let open = drawn.without.iter().any(|other| other.standing == Standing::Open);
            prop_assert!(!open);
        }
        let waits = drawn.without.iter().any(|other| {
            matches!(other.standing, Standing::Open | Standing::Parked)
        });
        prop_assert!(waits || place != Place::Candidate);
        // What its record would tell is asked for, and changes nothing that needs no record.
        let unread = drawn.clone().unread().place();
        prop_assert!(unread == place || matches!(unread, Place::Unread | Place::Candidate));
    }
}
