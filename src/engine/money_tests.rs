//! What the engine does so that nothing is bought twice. Each guard here has a mutant in
//! `tests/mutants` that takes it out, and a test that fails then.

use super::bench_tests::{Bench, Deed, NOW};
use crate::config::Auto;
use crate::domain::ids::Id;
use crate::domain::quarantine::{Class, Facts as Numbers, Quarantine};
use crate::domain::schedule::Timing;
use crate::domain::work::Kind;
use crate::store::apply::Facts;
use crate::store::intents::{Recover, Start};
use crate::store::quarantine::{Release, SetQuarantine};
use crate::store::settings::Boot;
use judging::{DAY, HOUR, MINUTE, SECOND};
use std::sync::Arc;

#[tokio::test]
async fn a_call_that_cannot_be_made_promptly_does_not_leave() {
    let bench = Bench::new().await;
    let (late, back, prompt) =
        (bench.picture().await, bench.picture().await, bench.picture().await);
    // As after a machine's sleep, or a clock that was set back, between the intent and the call.
    for (id, step) in [(late, 20 * SECOND), (back, -SECOND)] {
        bench.clock.step_by(step);
        bench.engine.perform(Kind::Job, id, true).await.unwrap();
        bench.clock.step_by(0);
        assert_eq!((bench.state(id).await, bench.vendor().paid_calls()), ("queued", 0), "{step}");
        assert!(bench.note(id).await.contains("not made promptly"), "{}", bench.note(id).await);
    }
    bench.step(Kind::Job, prompt).await;
    assert_eq!((bench.state(prompt).await, bench.vendor().paid_calls()), ("running", 1));
}

#[tokio::test]
async fn a_paid_call_rests_on_a_whole_list_at_most_five_minutes_old() {
    let bench = Bench::new().await;
    let buy = async || {
        let id = bench.picture().await;
        bench.step(Kind::Job, id).await;
        let state = bench.state(id).await;
        let vendor = bench.vendor();
        (state, vendor.paid_calls(), vendor.starts.len())
    };
    bench.vendor().list_fails = true;
    assert_eq!(buy().await, ("queued", 0, 0), "without a list nothing is bought");
    bench.vendor().list_fails = false;
    let (state, calls, first) = buy().await;
    assert_eq!((state, calls), ("running", 1));
    bench.clock.advance(5 * MINUTE);
    assert_eq!(buy().await, ("running", 2, first), "five minutes are young enough");
    bench.clock.advance(1);
    bench.vendor().list_fails = true;
    assert_eq!(buy().await, ("queued", 2, first), "an older one is none");
    bench.vendor().list_fails = false;
    let (state, calls, second) = buy().await;
    assert_eq!((state, calls), ("running", 3));
    assert!(second > first, "it was read anew");
}

#[tokio::test]
async fn a_conflict_on_a_training_whose_model_is_past_new_is_its_acceptance() {
    let bench = Bench::new().await;
    let id = bench.training().await;
    bench.vendor().conflict_leaves = "training";
    bench.step(Kind::Training, id).await;
    let row = bench.row(Kind::Training, id).await;
    assert_eq!((row.state.as_str(), row.remote_id.as_deref()), ("running", Some("m")));
    assert_eq!(bench.vendor().paid_calls(), 1);
}

#[tokio::test]
async fn a_conflict_on_a_training_whose_model_is_still_new_is_no_acceptance() {
    let bench = Bench::new().await;
    let id = bench.training().await;
    bench.vendor().conflict_leaves = "new";
    bench.step(Kind::Training, id).await;
    let row = bench.row(Kind::Training, id).await;
    assert_eq!((row.state.as_str(), row.remote_id), ("queued", None));
    assert_eq!(bench.vendor().paid_calls(), 1);
}

/// Lets a lost video's job be read until its record lasts, as something that others may have made; then
/// the account is ours alone, and the vendor shows the job as `media`.
async fn a_lasting_record(media: &'static str) -> (Bench, Id) {
    let mut bench = Bench::new().await;
    bench.bought().await;
    let id = bench.video().await;
    bench.lose(id, Deed::LoseReply).await;
    let exclusive = |bench: &mut Bench, is| {
        Arc::get_mut(&mut bench.engine).unwrap().config.account.exclusive = Auto::Set(is);
    };
    exclusive(&mut bench, false);
    bench.look_for(id, 90 * SECOND).await;
    assert_eq!(bench.state(id).await, "in_doubt");
    exclusive(&mut bench, true);
    bench.vendor().job("job_2").media = media;
    (bench, id)
}

#[tokio::test]
async fn nothing_is_adopted_by_a_record_that_was_read_a_while_ago() {
    for (media, becomes) in [("videos", "running"), ("images", "in_doubt")] {
        let (bench, id) = a_lasting_record(media).await;
        let reads = || bench.vendor().asked.iter().filter(|a| a.ends_with("job_2")).count();
        let before = reads();
        bench.step(Kind::Job, id).await;
        assert_eq!((bench.state(id).await, reads()), ("in_doubt", before), "not read again yet");
        assert!(bench.note(id).await.contains("read once more"), "{}", bench.note(id).await);
        bench.step(Kind::Job, id).await;
        assert_eq!((bench.state(id).await, reads()), (becomes, before + 1));
    }
}

async fn closed_and_released(bench: &Bench) {
    let (reason, facts, class) = ("an old copy".to_owned(), Numbers::default(), Class::Behind);
    let quarantine = Quarantine { reason, class, at: NOW, facts, beneath: None };
    bench.engine.store.writer().write(SetQuarantine { quarantine }).await.unwrap();
    let (by, timing) = ("me".to_owned(), Timing::default());
    let release = Release { by, reason: None, listed: true, settling: None, timing };
    bench.engine.store.writer().write(release).await.unwrap();
}

#[tokio::test]
async fn a_call_from_before_a_release_is_never_absent_by_itself() {
    for released in [false, true] {
        let bench = Bench::new().await;
        bench.bought().await;
        let id = bench.lost(Deed::LoseRequest).await;
        if released {
            closed_and_released(&bench).await;
        }
        bench.look_for(id, 2 * HOUR).await;
        assert_eq!(bench.state(id).await, if released { "in_doubt" } else { "queued" });
        if released {
            assert!(bench.note(id).await.contains("forgotten"), "{}", bench.note(id).await);
        }
    }
}

#[tokio::test]
async fn a_call_from_before_a_release_adopts_nothing_by_itself() {
    for released in [false, true] {
        let bench = Bench::new().await;
        bench.bought().await;
        let id = bench.lost(Deed::LoseReply).await;
        if released {
            closed_and_released(&bench).await;
        }
        bench.look_for(id, HOUR).await;
        assert_eq!(bench.state(id).await, if released { "attention" } else { "running" });
    }
}

#[tokio::test]
async fn windows_begin_earlier_by_what_the_vendors_clock_is_behind() {
    let bench = Bench::new().await;
    bench.vendor().ahead = -3 * HOUR;
    bench.bought().await;
    let known = |bench: &Bench| bench.vendor().starts.clone();
    let asked = known(&bench).len();
    bench.engine.sweep().await;
    let starts = known(&bench);
    assert_eq!(starts[asked..].iter().min(), Some(&(NOW - DAY - 3 * HOUR)), "the sweep's");
    let last: crate::store::listing::LastListing =
        bench.engine.store.setting(crate::store::listing::LAST).await.unwrap().unwrap();
    assert_eq!((last.start, last.since), (NOW - DAY - 3 * HOUR, NOW - DAY), "by our clock");
    // The next start compares from thirteen hours before what was covered, by the vendor's clock.
    let boot = Boot { version: "test", settings: vec![] };
    let recover = Recover { timing: Timing::default() };
    bench.engine.store.writer().write(Start { boot, recover }).await.unwrap();
    bench.engine.compared.store(false, std::sync::atomic::Ordering::Release);
    let from = super::gap::unlisted_from(&bench.engine.store).await.unwrap();
    assert_eq!(from, Some(NOW - 13 * HOUR - 3 * HOUR), "what came to light");
    let clocks = bench.engine.before_a_list().await.unwrap().clocks;
    assert_eq!(bench.engine.compare_from(&clocks).await.unwrap(), from, "what is compared");
}

#[tokio::test]
async fn how_late_the_list_was_decides_when_a_call_is_absent() {
    let bench = Bench::new().await;
    let order = bench.picture().await;
    bench.step(Kind::Job, order).await;
    let late = bench.row(Kind::Job, order).await.remote_id.unwrap();
    bench.vendor().job(&late).listed = false;
    bench.clock.advance(10 * MINUTE);
    bench.engine.sweep().await;
    bench.vendor().job(&late).listed = true;
    bench.bought().await;
    let id = bench.lost(Deed::LoseRequest).await;
    // Twelve times ten minutes; without that lag an hour would do.
    bench.look_for(id, 110 * MINUTE).await;
    assert_eq!(bench.state(id).await, "in_doubt");
    let note = bench.note(id).await;
    assert!(note.contains("of 7200 s (12 times the 600 s"), "{note}");
    bench.look_for(id, 40 * MINUTE).await;
    assert_eq!(bench.state(id).await, "queued");
}

#[tokio::test]
async fn a_call_older_than_the_list_reaches_back_is_not_absent() {
    for taken_off in [false, true] {
        let bench = Bench::new().await;
        let old = bench.bought().await;
        bench.clock.advance(MINUTE);
        bench.bought().await;
        bench.clock.advance(HOUR);
        bench.vendor().job(&old).listed = !taken_off;
        for _ in 0..7 {
            bench.engine.sweep().await;
            bench.clock.advance(10 * MINUTE);
        }
        bench.bought().await;
        let id = bench.lost(Deed::LoseRequest).await;
        // The machine slept; then the looking went on for longer than the longest settle time.
        bench.clock.advance(3 * HOUR);
        bench.look_for(id, 7 * HOUR).await;
        assert_eq!(bench.state(id).await, if taken_off { "in_doubt" } else { "queued" });
        if taken_off {
            let note = bench.note(id).await;
            assert!(note.contains("older than the vendor's list"), "{note}");
        }
    }
}

#[tokio::test]
async fn the_list_reaches_as_far_back_as_it_was_seen_to() {
    for shown in [false, true] {
        let bench = Bench::new().await;
        let old = bench.bought().await;
        bench.clock.advance(30 * HOUR);
        bench.vendor().job(&old).listed = shown;
        bench.engine.sweep().await;
        bench.bought().await;
        let id = bench.lost(Deed::LoseRequest).await;
        bench.clock.advance(22 * HOUR);
        bench.look_for(id, 2 * HOUR).await;
        assert_eq!(bench.state(id).await, if shown { "queued" } else { "in_doubt" });
    }
}

#[tokio::test]
async fn what_came_to_light_before_it_is_sent_again_is_adopted_and_not_sent() {
    let bench = Bench::new().await;
    bench.bought().await;
    // Made closer to the other one it could be that one's double.
    bench.clock.advance(3 * MINUTE);
    let id = bench.lost(Deed::LoseReply).await;
    bench.vendor().job("job_2").listed = false;
    bench.look_for(id, 2 * HOUR).await;
    assert_eq!((bench.state(id).await, bench.vendor().paid_calls()), ("queued", 2), "absent");
    bench.vendor().job("job_2").listed = true;
    bench.step(Kind::Job, id).await;
    assert_eq!((bench.state(id).await, bench.vendor().paid_calls()), ("running", 2));
    assert_eq!(bench.row(Kind::Job, id).await.remote_id.as_deref(), Some("job_2"));
}

#[tokio::test]
async fn what_comes_to_light_after_the_last_look_stops_sending_again() {
    let bench = Bench::new().await;
    bench.bought().await;
    let id = bench.lost(Deed::LoseReply).await;
    bench.vendor().job("job_2").listed = false;
    bench.look_for(id, 2 * HOUR).await;
    assert_eq!((bench.state(id).await, bench.vendor().paid_calls()), ("queued", 2), "absent");
    // The last look shows a stranger's video, which cannot be it. While that is read time passes, so
    // the call needs a new list, and that one shows the job.
    let now = bench.engine.now();
    bench.vendor().make("stranger", now, "videos");
    bench.when_asked("/jobs/stranger", |vendor, clock| {
        clock.advance(6 * MINUTE);
        vendor.job("job_2").listed = true;
    });
    bench.step(Kind::Job, id).await;
    assert_eq!((bench.state(id).await, bench.vendor().paid_calls()), ("queued", 2));
    assert!(bench.vendor().hook.is_none(), "the stranger's job was read");
    bench.step(Kind::Job, id).await;
    assert_eq!(bench.vendor().paid_calls(), 2, "the next look finds it");
}

#[tokio::test]
async fn a_row_whose_job_another_row_holds_is_never_taken_for_absent() {
    let bench = Bench::new().await;
    let first = bench.bought().await;
    let id = bench.lost(Deed::LoseRequest).await;
    // The vendor gives one id twice: whichever job it made, it has taken the money.
    let intent = bench.row(Kind::Job, id).await.state.intent();
    let facts = Facts { about: intent, ..Facts::default() };
    let taken = super::send::id_is_taken(&first);
    bench.engine.apply_with(Kind::Job, id, taken, facts).await.unwrap();
    bench.clock.advance(2 * MINUTE);
    bench.bought().await;
    for _ in 0..12 {
        bench.clock.advance(HOUR);
        bench.engine.sweep().await;
    }
    assert_eq!((bench.state(id).await, bench.vendor().paid_calls()), ("attention", 3));
}
