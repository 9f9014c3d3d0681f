//! The cases that the rules were written for, one by one, from the evidence that a daemon had then.
//! Each test also takes the rule away, and shows what would come of it.

use crate::bugs::Bug;
use crate::daemon::{Limits, run};
use crate::trouble::{Trouble, Usage, World};
use judging::clocks::{Accepted, Clocks, Span};
use judging::fit::{Call, Candidate, Effect, Expected, Fit, Ground, Media, ModelIds, Record, fit};
use judging::going_back::{Found, unexplained};
use judging::lag::{Lag, Reach, Settle, Why};
use judging::times::Times;
use judging::verdict::{Other, Progress, Reading, Scene, Standing, Verdict, judge};
use judging::witness::Heard;
use judging::{DAY, HOUR, MINUTE, Millis, SECOND};

const NOON: Millis = 10 * DAY + 12 * HOUR;

fn times() -> Times {
    Times::auto(30 * SECOND)
}

fn call(intent: i64, opened_at: Millis) -> Call {
    Call {
        intent,
        effect: Effect::Job(Expected { model: None, media: Media::Images, count: None }),
        request_hash: format!("request {intent}"),
        span: Span { opened_at, ended_at: opened_at + 30 * SECOND },
        listed_seq: 0,
        listed_from: Some(opened_at - 2 * HOUR),
    }
}

fn job(id: &str, created_at: Millis) -> Candidate {
    let media = Some(Media::Images);
    Candidate {
        remote_id: id.to_owned(),
        seen: 1,
        created_at: Some(created_at),
        record: Some(Record { model: None, media, outputs: 1, ended: true, failed: false }),
        not_this: false,
    }
}

fn accepted(id: &str, at: Millis) -> Accepted {
    let created_at = Some(at - SECOND);
    let remote_id = id.to_owned();
    Accepted { remote_id, accepted_at: at, created_at, shown: true, gone: false }
}

/// What a daemon knows when it looks at a call.
struct Known {
    accepted: Vec<Accepted>,
    others: Vec<Other>,
    progress: Progress,
    heard: Heard,
    reach: Reach,
}

/// Three witnesses from before the call and one from after it, an hour of looking.
fn known() -> Known {
    Known {
        accepted: vec![accepted("witness", NOON - 3 * HOUR)],
        others: Vec::new(),
        progress: Progress {
            absent: false,
            parked: false,
            looking: HOUR - MINUTE,
            ripe_since: Some(HOUR - 2 * MINUTE),
            age: HOUR,
        },
        heard: Heard { before: 3, since: 1, missing: Vec::new() },
        reach: Reach::default(),
    }
}

impl Known {
    fn verdict(&self, call: &Call, jobs: &[Candidate]) -> Verdict {
        let clocks = Clocks::measure(&self.accepted, NOON);
        let models = ModelIds::default();
        let scene = Scene {
            ground: Ground { accepted: &self.accepted, clocks: &clocks, models: &models },
            ours: &self.accepted,
            others: &self.others,
            exclusive: true,
            settle: Settle { millis: 15 * MINUTE, why: Why::Least },
            reach: self.reach,
            lacks: None,
            forgetful: false,
        };
        let reading = Reading { wide: true, heard: self.heard.clone() };
        judge(call, &self.progress, &reading, jobs, &scene, &times())
    }

    fn finds(&self, call: &Call, jobs: &[Candidate]) -> bool {
        matches!(self.verdict(call, jobs), Verdict::Found { .. })
    }

    fn is_absent(&self, call: &Call) -> bool {
        matches!(self.verdict(call, &[]), Verdict::Absent { .. })
    }
}

#[test]
fn one_two_calls_without_a_job() {
    // Row 4 never arrived and is parked; the job is row 6's, whose reply was lost.
    let (four, six) = (call(4, NOON), call(6, NOON + 5 * MINUTE));
    let made = [job("of row 6", NOON + 5 * MINUTE + SECOND)];
    let mut row_4 = known();
    row_4.progress.parked = true;
    assert!(row_4.finds(&four, &made), "without the rule it is row 4's");
    row_4.others = vec![Other { call: six.clone(), standing: Standing::Open }];
    assert!(!row_4.finds(&four, &made));
    // For row 6 the job is too early to block, and row 4 could have made it as well.
    let mut row_6 = known();
    row_6.others = vec![Other { call: four, standing: Standing::Parked }];
    assert!(!row_6.finds(&six, &made) && !row_6.is_absent_with(&six, &made));
}

impl Known {
    fn is_absent_with(&self, call: &Call, jobs: &[Candidate]) -> bool {
        matches!(self.verdict(call, jobs), Verdict::Absent { .. })
    }
}

#[test]
fn two_the_list_before_the_call_is_minutes_old() {
    // Delivered twice at 12:00:00; the next call at 12:00:47 never arrived, and the list before it
    // is older than both.
    let double = job("double", NOON + 2 * SECOND);
    let next = call(2, NOON + 47 * SECOND);
    let (clocks, models) = (Clocks::default(), ModelIds::default());
    let first = [accepted("first", NOON + SECOND)];
    let ground = |accepted| Ground { accepted, clocks: &clocks, models: &models };
    assert!(matches!(fit(&next, &double, &ground(&first)), Fit::Odd(_)));
    assert_eq!(fit(&next, &double, &ground(&[])), Fit::Fits, "without spacing it fits");
    let mut known = known();
    known.accepted.extend(first);
    assert!(!known.finds(&next, &[double]));
}

#[test]
fn three_old_witnesses() {
    // The list froze after it had shown every witness; the job was made later.
    let lost = call(2, NOON);
    let mut frozen = known();
    assert!(frozen.is_absent(&lost), "with a witness from after the call");
    frozen.heard.since = 0;
    assert!(!frozen.is_absent(&lost));
    (frozen.progress.looking, frozen.progress.ripe_since) = (HOUR, Some(HOUR - MINUTE));
    assert!(frozen.is_absent(&lost), "or after an hour");
}

#[test]
fn four_a_lag_that_includes_our_own_sleep() {
    // Accepted at 10:00, listed at once, next looked at 10:10: no list missed it.
    let mut lag = Lag::default();
    lag.shown();
    assert_eq!(lag.settle(&times(), NOON).millis, 15 * MINUTE);
    let mut asleep = lag.clone();
    asleep.missed(10 * MINUTE, NOON);
    assert_eq!(asleep.settle(&times(), NOON).millis, 2 * HOUR, "what such a lag would cost");
    // The daemon of the simulation learns none from an honest list.
    let honest = World { name: "honest".to_owned(), usage: Usage::Daily, troubles: Vec::new() };
    let sim = run(&honest, 0, None, Limits::default());
    assert_eq!(sim.book.lag.longest(sim.now), 0);
    assert!(!sim.book.lag.is_untried(), "and it has learnt");
    let late = World { troubles: vec![Trouble::ListLate(10 * MINUTE)], ..honest };
    let sim = run(&late, 0, None, Limits { until: 3 * DAY, story: false });
    let known = sim.book.lag.longest(3 * DAY);
    assert!((5 * MINUTE..=10 * MINUTE).contains(&known), "{known}");
}

#[test]
fn five_down_for_days_with_a_list_of_a_day() {
    let lost = call(2, NOON);
    let mut back = known();
    back.progress.age = 5 * DAY;
    back.reach = Reach { shown: DAY, taken_off: Some(2 * DAY) };
    assert!(!back.is_absent(&lost));
    back.reach = Reach { shown: Millis::MAX, taken_off: None };
    assert!(back.is_absent(&lost), "had the list reached back");
}

#[test]
fn six_the_answer_concerns_one_row_only() {
    let (one, other) = (call(1, NOON), call(2, NOON + MINUTE));
    let said = Candidate { not_this: true, ..job("j", NOON + MINUTE + SECOND) };
    let known = known();
    assert!(
        known.is_absent_with(&one, std::slice::from_ref(&said)),
        "the person spoke of this one"
    );
    let unsaid = Candidate { not_this: false, ..said.clone() };
    assert!(known.finds(&other, &[unsaid]), "the other row still finds it");
    assert!(known.is_absent_with(&other, &[said]), "had it been said of both, it would be bought");
}

#[test]
fn seven_a_training_that_started_and_failed_unseen() {
    // Whatever proves that a job is absent: the status of the model may have come and gone unseen.
    assert!(known().is_absent(&call(1, NOON)), "a job");
    let training = Call { effect: Effect::Training("m".to_owned()), ..call(1, NOON) };
    let days = [HOUR, DAY, 30 * DAY].map(|looking| {
        let mut later = Known { reach: Reach { shown: Millis::MAX, taken_off: None }, ..known() };
        (later.progress.looking, later.progress.age) = (looking, looking);
        later.verdict(&training, &[])
    });
    assert!(days.iter().all(|verdict| matches!(verdict, Verdict::Wait { ripe: false, .. })));
}

#[test]
fn eight_put_back_with_nothing_queued() {
    // What is queued is no part of the question.
    let new = vec!["a".to_owned(), "b".to_owned()];
    let found = Found { new, exclusive: true, calls: vec![HOUR], ..Found::default() };
    assert_eq!(unexplained(&found), Some(1));
    let put_back = World {
        name: "put back".to_owned(),
        usage: Usage::Daily,
        troubles: vec![Trouble::PutBack(6 * HOUR)],
    };
    for seed in 0..4 {
        let alarms = |bug| run(&put_back, seed, bug, Limits::default()).truth.alarms;
        assert!(alarms(None) > 0, "seed {seed}");
        assert_eq!(alarms(Some(Bug::GoingBackIgnored)), 0, "seed {seed}");
    }
}
