use super::*;
use crate::clocks::tests::accepted;
use crate::clocks::{Accepted, Clocks};
use crate::fit::tests::{call, images, job, record};
use crate::fit::{Expected, Media, ModelIds, Record};
use crate::{DAY, HOUR, MINUTE};
use std::collections::BTreeSet;

mod properties;

/// When the call of these tests went out.
const SENT: Millis = 10 * DAY;

/// All the evidence of one verdict. As made by [`case`] it proves absence.
#[derive(Clone, Debug)]
struct Case {
    call: Call,
    progress: Progress,
    reading: Reading,
    candidates: Vec<Candidate>,
    accepted: Vec<Accepted>,
    found: Vec<Accepted>,
    clocks: Clocks,
    models: ModelIds,
    others: Vec<Other>,
    exclusive: bool,
    settle: Settle,
    reach: Reach,
    lacks: Option<&'static str>,
    forgetful: bool,
}

fn case() -> Case {
    let accepted = vec![accepted("before", SENT - HOUR, Some(SENT - HOUR))];
    Case {
        call: call(1, images(None), SENT),
        progress: Progress {
            parked: false,
            absent: false,
            looking: 20 * MINUTE,
            ripe_since: Some(19 * MINUTE),
            age: 21 * MINUTE,
        },
        reading: Reading { wide: true, heard: Heard { before: 3, since: 1, missing: Vec::new() } },
        candidates: Vec::new(),
        clocks: Clocks::measure(&accepted, SENT),
        accepted,
        found: Vec::new(),
        models: ModelIds::default(),
        others: Vec::new(),
        exclusive: true,
        settle: Settle { millis: 15 * MINUTE, why: Why::Least },
        reach: Reach::default(),
        lacks: None,
        forgetful: false,
    }
}

/// The same with one job at the vendor that is surely this call's.
fn found() -> Case {
    let candidates = vec![good("j", SENT + 5 * SECOND)];
    Case { candidates, ..case() }
}

fn good(id: &str, created_at: Millis) -> Candidate {
    job(id, created_at, Some(record(None, Some(Media::Images), true)))
}

fn times() -> Times {
    Times::auto(30 * SECOND)
}

impl Case {
    fn verdict(&self) -> Verdict {
        let ground =
            Ground { accepted: &self.accepted, clocks: &self.clocks, models: &self.models };
        let ours: Vec<Accepted> = self.accepted.iter().chain(&self.found).cloned().collect();
        let scene = Scene {
            ground,
            ours: &ours,
            others: &self.others,
            exclusive: self.exclusive,
            settle: self.settle,
            reach: self.reach,
            lacks: self.lacks,
            forgetful: self.forgetful,
        };
        judge(&self.call, &self.progress, &self.reading, &self.candidates, &scene, &times())
    }

    /// Changes the evidence in one point.
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn is_absent(&self) -> bool {
        matches!(self.verdict(), Verdict::Absent { .. })
    }

    fn finds(&self) -> bool {
        matches!(self.verdict(), Verdict::Found { remote_id, .. } if remote_id == "j")
    }

    /// Why it waits, and whether it is ripe.
    fn waits(&self) -> (String, bool) {
        match self.verdict() {
            Verdict::Wait { why, ripe, .. } => (why, ripe),
            other => panic!("{other:?}"),
        }
    }

    /// Why it parks.
    fn parks(&self) -> String {
        match self.verdict() {
            Verdict::Park { why, .. } => why,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn two_witnessed_lists_after_the_settle_time_prove_absence() {
    let Verdict::Absent { why, fresh } = case().verdict() else { panic!("not absent") };
    assert!(fresh && why.contains("after 1200 s") && why.contains("accepted after it"), "{why}");
    let alone = case().with(|case| {
        case.reading.heard.since = 0;
        case.progress.looking = HOUR;
    });
    let Verdict::Absent { why, fresh } = alone.verdict() else { panic!("not absent") };
    assert!(!fresh && why.contains("accepted before it"), "{why}");
}

#[test]
fn the_first_list_is_ripe_and_the_second_comes_a_relist_later() {
    let since = |ago: Option<Millis>| {
        case().with(|case| case.progress.ripe_since = ago.map(|ago| 20 * MINUTE - ago))
    };
    assert!(since(None).waits().1);
    assert!(since(Some(30 * SECOND - 1)).waits().1);
    assert!(since(Some(30 * SECOND)).is_absent());
}

#[test]
fn the_settle_time_passes_in_looking() {
    let looking = |looking| {
        case().with(|case| {
            case.progress.looking = looking;
            case.progress.ripe_since = Some(0);
        })
    };
    assert!(looking(15 * MINUTE).is_absent());
    let (why, ripe) = looking(15 * MINUTE - 1).waits();
    assert!(!ripe && why.contains("899 s of 900 s (the least there is)"), "{why}");
    // Without a later order an hour passes, or the settle time if it is longer.
    let alone = |at, settle| {
        looking(at).with(|case| {
            case.reading.heard.since = 0;
            case.settle.millis = settle;
        })
    };
    assert!(alone(HOUR, 15 * MINUTE).is_absent());
    let (why, ripe) = alone(HOUR - 1, 15 * MINUTE).waits();
    assert!(!ripe && why.contains("3600 s have to pass"), "{why}");
    assert!(!alone(2 * HOUR - 1, 2 * HOUR).is_absent());
    assert!(alone(2 * HOUR, 2 * HOUR).is_absent());
}

#[test]
fn each_barrier_keeps_silence_from_proving_anything() {
    type Change = fn(&mut Case);
    let barriers: [(&str, Change); 7] = [
        ("in quarantine", |case| case.forgetful = true),
        ("never shown the job l", |case| case.lacks = Some("l")),
        ("more than twelve hours", |case| case.clocks.offset = Some((0, 12 * HOUR + 1))),
        ("does not show a job", |case| case.reading.heard.missing = vec!["w".to_owned()]),
        ("does not show 2 jobs", |case| {
            case.reading.heard.missing = ["w", "x"].map(str::to_owned).to_vec();
        }),
        ("bear witness", |case| case.reading.heard = Heard::default()),
        ("the whole of it", |case| case.reading.wide = false),
    ];
    for (says, change) in barriers {
        let (why, ripe) = case().with(change).waits();
        assert!(why.contains(says) && !ripe, "{why}");
    }
    let witness = |before, since| {
        case().with(|case| {
            case.reading.heard = Heard { before, since, missing: Vec::new() };
            case.progress.looking = HOUR;
        })
    };
    assert!(witness(1, 0).is_absent() && witness(0, 1).is_absent());
}

#[test]
fn a_list_proves_nothing_about_calls_older_than_it_reaches() {
    let aged = |age, reach| case().with(|case| (case.progress.age, case.reach) = (age, reach));
    assert!(aged(20 * HOUR, Reach::default()).is_absent());
    assert!(aged(20 * HOUR + 1, Reach::default()).waits().0.contains("reaches back"));
    let taken_off = Reach { shown: 3 * DAY, taken_off: Some(HOUR) };
    assert!(aged(HOUR, taken_off).is_absent() && !aged(HOUR + 1, taken_off).is_absent());
}

#[test]
fn the_only_job_that_fits_is_taken() {
    assert!(found().finds());
    // Neither missing witnesses nor a young doubt matter: what a list shows counts.
    let early = found().with(|case| {
        case.progress.looking = 0;
        case.reading = Reading { wide: false, heard: Heard::default() };
        case.reading.heard.missing = vec!["w".to_owned()];
    });
    assert!(early.finds());
    assert!(found().with(|case| case.progress.parked = true).finds());
    // A job that cannot be it is no job at all.
    let said = found().with(|case| case.candidates[0].not_this = true);
    assert!(said.is_absent());
    let both = found().with(|case| {
        case.candidates.push(Candidate { not_this: true, ..good("k", SENT) });
    });
    assert!(both.finds());
}

#[test]
fn what_is_odd_or_not_alone_is_a_persons_once_it_has_ended() {
    let odd = found().with(|case| case.candidates = vec![good("j", SENT - MINUTE)]);
    assert!(odd.parks().contains("the job j could be this one, but it seems to be made before"));
    let two = found().with(|case| case.candidates.push(good("k", SENT)));
    let Verdict::Park { why, candidates } = two.verdict() else { panic!("not parked") };
    assert!(why.contains("2 jobs"), "{why}");
    assert_eq!(candidates, ["j", "k"]);
    let waits = |change: fn(&mut Case)| {
        let (why, ripe) = two.clone().with(change).waits();
        assert!(!ripe);
        why
    };
    waits(|case| case.progress.parked = true);
    waits(|case| case.progress.looking = 2 * MINUTE - 1);
    assert!(two.clone().with(|case| case.progress.looking = 2 * MINUTE).parks().contains("2 jobs"));
    // A job that is still running may yet tell what it is, for a settle time.
    let running = |looking| {
        two.clone().with(move |case| {
            case.candidates[1].record = Some(record(None, None, false));
            case.progress.looking = looking;
        })
    };
    assert!(running(15 * MINUTE - 1).waits().0.contains("may tell"));
    assert!(running(15 * MINUTE).parks().contains("2 jobs"));
    let settled = waits(|case| case.progress.parked = true);
    assert!(!settled.contains("may tell"), "{settled}");
}

fn other(intent: i64, standing: Standing) -> Other {
    Other { call: call(intent, images(None), SENT), standing }
}

#[test]
fn another_call_that_could_have_made_it_blocks() {
    let with = |other: Other| found().with(|case| case.others = vec![other]);
    for standing in
        [Standing::Open, Standing::Parked, Standing::GivenUp, Standing::Absent { fresh: false }]
    {
        let why = with(other(7, standing)).parks();
        assert!(why.contains("either this one or that of call 7"), "{why}");
    }
    let absent = with(other(7, Standing::Absent { fresh: true }));
    assert!(absent.clone().finds());
    let both = absent.with(|case| case.progress.absent = true);
    assert!(both.parks().contains("that of call 7"), "what came late may be either's");
    let same = Call { request_hash: "hash 1".to_owned(), ..call(7, images(None), SENT) };
    assert!(with(Other { call: same, standing: Standing::Open }).finds(), "the same request");
    let later = Call { listed_seq: 1, ..call(7, images(None), SENT) };
    assert!(with(Other { call: later, standing: Standing::Open }).finds(), "it was listed before");
    let training =
        Other { call: call(7, Effect::Training("m".to_owned()), SENT), standing: Standing::Open };
    let entry = with(training).with(|case| {
        case.candidates[0].record = Some(Record { media: None, outputs: 0, ..ended() });
    });
    assert!(entry.parks().contains("a training's entry"));
}

fn ended() -> Record {
    record(None, Some(Media::Images), true)
}

#[test]
fn another_call_is_a_maker_for_as_long_as_effects_may_come() {
    // The other call went out 20 minutes before, and both jobs' times hold for this one.
    let early = Other { call: call(7, images(None), SENT - 20 * MINUTE), standing: Standing::Open };
    let late = found().with(|case| case.others = vec![early]);
    assert!(late.finds(), "its effect would be later than the settle time");
    let slow = late.with(|case| case.settle.millis = 30 * MINUTE);
    assert!(slow.parks().contains("that of call 7"));
}

#[test]
fn where_effects_come_late_a_late_job_is_not_odd() {
    let late = found().with(|case| {
        case.candidates = vec![good("j", SENT + 25 * MINUTE)];
    });
    assert!(late.parks().contains("long after the call"));
    let why = Why::LateEffects;
    let known = late.with(|case| case.settle = Settle { millis: 30 * MINUTE, why });
    assert!(known.finds());
    let later = known.with(|case| case.candidates = vec![good("j", SENT + 31 * MINUTE)]);
    assert!(later.parks().contains("long after the call"));
}

#[test]
fn the_list_never_proves_that_a_training_is_absent() {
    let training = case().with(|case| {
        case.call = call(1, Effect::Training("m".to_owned()), SENT);
    });
    let (why, ripe) = training.waits();
    assert!(!ripe && why.contains("proves nothing"), "{why}");
}

#[test]
fn a_training_and_a_forgetful_database_take_nothing() {
    let training = found().with(|case| {
        case.call = call(1, Effect::Training("m".to_owned()), SENT);
        case.candidates[0].record = Some(Record { media: None, outputs: 0, ..ended() });
    });
    assert!(training.parks().contains("could be this training"));
    let forgetful = found().with(|case| case.forgetful = true);
    assert!(forgetful.parks().contains("this database has forgotten"));
}

#[test]
fn a_parked_call_takes_no_double_of_an_accepted_one() {
    let near = |apart: Millis| {
        found().with(|case| {
            case.progress.parked = true;
            let at = SENT + 5 * SECOND + apart;
            case.accepted.push(accepted("near", SENT + 1, Some(at)));
        })
    };
    for apart in [2 * MINUTE, -2 * MINUTE, 0] {
        assert!(near(apart).waits().0.contains("may be the double"), "{apart}");
    }
    assert!(near(2 * MINUTE + 1).finds() && near(-2 * MINUTE - 1).finds());
    let open = near(0).with(|case| case.progress.parked = false);
    assert!(open.clone().finds(), "an open one does");
    assert!(
        open.clone().with(|case| case.progress.absent = true).parks().contains("may be the double")
    );
    // What a later call made is no job of an open one's either, however the first one is taken.
    let later = |ours: Millis| open.clone().with(move |case| case.accepted[1].accepted_at = ours);
    assert!(later(SENT + 10 * SECOND).finds(), "it was accepted by the end of the call");
    assert!(later(SENT + 10 * SECOND + 1).parks().contains("may be the double"));
    // Nor that of a later call which was found itself.
    let found = open.clone().with(|case| {
        let at = SENT + 5 * SECOND;
        case.accepted.truncate(1);
        case.found = vec![accepted("found", SENT + 2 * MINUTE, Some(at))];
    });
    assert!(found.parks().contains("may be the double"));
    let itself = near(0).with(|case| case.accepted[1].remote_id = "j".to_owned());
    assert!(itself.finds());
    let undated = near(0).with(|case| case.accepted[1].created_at = None);
    assert!(undated.finds());
}

#[test]
fn a_job_made_late_and_soon_after_an_accepted_one_may_be_that_ones_double() {
    let made = |after: Millis| {
        found().with(|case| {
            case.accepted.push(accepted("near", SENT - MINUTE, Some(SENT - MINUTE)));
            case.candidates = vec![good("j", SENT + after)];
        })
    };
    // Ten seconds, and five of tolerance.
    assert!(made(5 * SECOND).finds() && made(15 * SECOND).finds());
    assert!(made(15 * SECOND + 1).parks().contains("may be the double"));
    assert!(made(MINUTE).parks().contains("may be the double"));
    assert!(made(MINUTE + 1).finds(), "more than two minutes after that one");
}

#[test]
fn on_a_shared_account_only_a_trained_model_of_ours_is_proof() {
    let shared = found().with(|case| {
        case.exclusive = false;
        case.call = call(1, images(Some("m")), SENT);
        case.candidates[0].record = Some(record(Some("m"), Some(Media::Images), true));
        case.models.same = 3;
    });
    assert!(shared.finds());
    let parks = |change: fn(&mut Case)| {
        let why = shared.clone().with(change).parks();
        assert!(why.contains("others use this account"), "{why}");
    };
    parks(|case| case.models.same = 2);
    parks(|case| case.models.other = 1);
    parks(|case| case.models.strangers = BTreeSet::from(["m".to_owned()]));
    parks(|case| case.candidates[0].record = Some(ended()));
    parks(|case| {
        case.call = call(1, images(None), SENT);
        case.candidates[0].record = Some(ended());
    });
    let ours_alone = shared.with(|case| (case.exclusive, case.models.same) = (true, 0));
    assert!(ours_alone.finds());
}

#[test]
fn wide_are_the_first_look_and_those_that_may_prove_absence() {
    assert!(wants_wide(true, 0, HOUR));
    assert!(!wants_wide(false, HOUR - 1, HOUR));
    assert!(wants_wide(false, HOUR, HOUR) && wants_wide(false, Millis::MAX, HOUR));
}

#[test]
fn a_video_conflicts_by_its_count_and_kind() {
    let video = found().with(|case| {
        let expected = Expected { model: None, media: Media::Videos, count: Some(1) };
        case.call = call(1, Effect::Job(expected), SENT);
    });
    assert!(video.is_absent(), "pictures that have ended are no video");
    let many = found().with(|case| {
        case.candidates[0].record = Some(Record { outputs: 3, ..ended() });
    });
    assert!(many.parks().contains("more than was ordered"));
}

#[test]
fn our_own_job_under_another_spelling_of_its_id_is_not_taken() {
    let spelled = |ours: &str, theirs: &str| {
        found().with(|case| {
            case.candidates[0].remote_id = theirs.to_owned();
            case.accepted.push(accepted(ours, SENT - MINUTE, Some(SENT - MINUTE)));
        })
    };
    for theirs in ["JOB_1A22FA2B", "1a22fa2b", "urn:job_1a22fa2b"] {
        let why = spelled("job_1a22fa2b", theirs).parks();
        assert!(why.contains("under another spelling"), "{why}");
    }
    for (ours, theirs) in [("job_1a22fa2b", "job_1a22fa2c"), ("j", "aj"), ("job_1a22", "1a22")] {
        let verdict = spelled(ours, theirs).verdict();
        assert!(matches!(verdict, Verdict::Found { .. }), "{ours} {theirs}");
    }
}

/// An accepted job that no list has shown may be the candidate under another id.
#[test]
fn a_job_made_with_an_accepted_one_that_no_list_shows_is_not_taken() {
    let twin = |accepted_at| {
        found().with(|case| case.accepted.push(accepted("unshown", accepted_at, None)))
    };
    let made = SENT + 5 * SECOND;
    let near = 45 * SECOND;
    for at in [made, made - near, made + near] {
        assert!(!twin(at).finds(), "{at}");
    }
    assert!(twin(made + near + 1).finds() && twin(made - near - 1).finds());
    // Shown, or gone, it is another job.
    let shown = twin(made).with(|case| case.accepted[1].shown = true);
    assert!(shown.finds());
    let gone = twin(made).with(|case| case.accepted[1].gone = true);
    assert!(gone.finds());
    // Young, it is waited for; later it is a person's.
    let at = |age: Millis| twin(made).with(|case| case.progress.age = age);
    let young = at(5 * SECOND + 15 * MINUTE - 1);
    assert!(young.waits().0.contains("which no list has shown"));
    assert!(at(5 * SECOND + 15 * MINUTE).parks().contains("which no list has shown"));
    // Without any measure of the clocks, every one since the call may be it.
    let blind = |accepted_at| {
        found().with(|case| {
            case.accepted = vec![accepted("unshown", accepted_at, None)];
            case.clocks = Clocks::default();
        })
    };
    assert!(!blind(SENT + 1).finds() && blind(SENT).finds());
}
