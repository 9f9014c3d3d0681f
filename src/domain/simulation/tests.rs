use super::bugs::Bug;
use super::check::{Check, Seen};
use super::plan::{Fault, Limits};
use super::world::run;
use std::collections::BTreeMap;

/// Where the schedules of the suite begin; `DARKROOM_SIM_SEED` begins elsewhere.
const SEED: u64 = 0;
/// Schedules in the suite; `DARKROOM_SIM_SCHEDULES` runs more or fewer.
const SCHEDULES: u64 = 20_000;
/// Schedules within which every planted bug must show.
const ENOUGH: u64 = 20_000;

fn from_env(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().expect("a whole number"))
}

/// The smallest trouble that still breaks the rule: fewer kinds of fault, an earlier calm.
fn shrink(seed: u64, bug: Option<Bug>, check: Check) -> Limits {
    let breaks =
        |limits| run(seed, bug, limits, false).broken.iter().any(|(broken, _)| *broken == check);
    let mut limits = Limits::default();
    for fault in Fault::ALL {
        let fewer = Limits { without: limits.without | (1 << fault as u32), ..limits };
        if breaks(fewer) {
            limits = fewer;
        }
    }
    let steps = run(seed, bug, limits, false).stormy_steps;
    let shortest = (0..steps).find(|&horizon| breaks(Limits { horizon, ..limits }));
    Limits { horizon: shortest.unwrap_or(u32::MAX), ..limits }
}

/// What a failing seed leads to, step by step, and how to see it again.
fn story(seed: u64, bug: Option<Bug>, check: Check) -> String {
    let short = run(seed, bug, shrink(seed, bug, check), true);
    format!(
        "seed {seed} ({:?}) breaks {check:?}\n{}\nreplay: DARKROOM_SIM_SEED={seed} \
         DARKROOM_SIM_SCHEDULES=1 cargo test --lib simulation::tests::the_core",
        short.regime,
        short.trace.join("\n"),
    )
}

#[test]
fn the_core_keeps_its_promises_under_every_schedule() {
    let first = from_env("DARKROOM_SIM_SEED", SEED);
    let count = from_env("DARKROOM_SIM_SCHEDULES", SCHEDULES);
    let mut bad: BTreeMap<Check, Vec<u64>> = BTreeMap::new();
    let mut all = Seen::default();
    for seed in first..first + count {
        let outcome = run(seed, None, Limits::default(), false);
        all.add(&outcome.seen);
        for (check, _) in outcome.broken {
            bad.entry(check).or_default().push(seed);
        }
    }
    println!("{count} schedules from seed {first}: {all:?}");
    let stories: Vec<String> = bad
        .iter()
        .map(|(check, seeds)| format!("{} seeds; {}", seeds.len(), story(seeds[0], None, *check)))
        .collect();
    assert!(stories.is_empty(), "{}", stories.join("\n\n"));
    // A simulation in which nothing happens proves nothing.
    if count >= SCHEDULES {
        assert_eq!(all.faults.count_ones() as usize, Fault::ALL.len(), "a fault never strikes");
        let rare = [all.found, all.absent, all.parked, all.crashes, all.succeeded];
        assert!(rare.iter().all(|times| u64::from(*times) > count / 10), "{all:?}");
        assert!(all.twice > 0, "no list ever lags beyond the settle time: {all:?}");
    }
}

#[test]
fn a_failing_seed_tells_the_same_short_story_again() {
    let bug = Some(Bug::ResendOnUnknown);
    let breaks = |seed: &u64| {
        let broken = run(*seed, bug, Limits::default(), false).broken;
        broken.iter().any(|(check, _)| *check == Check::BoughtTwice)
    };
    let seed = (0..ENOUGH).find(breaks).expect("a planted bug shows");
    let told = story(seed, bug, Check::BoughtTwice);
    assert_eq!(told, story(seed, bug, Check::BoughtTwice));
    assert!(told.contains(&format!("DARKROOM_SIM_SEED={seed} ")), "{told}");
    assert!(told.contains("BROKEN BoughtTwice"), "{told}");
    let whole = run(seed, bug, Limits::default(), true).trace.len();
    assert!(told.lines().count() < whole, "nothing was left out of {whole} lines:\n{told}");
}

/// The first schedule in which the planted bug breaks the rule, which the core keeps there.
fn is_caught(bug: Bug, check: Check) {
    let breaks = |seed, bug| {
        run(seed, bug, Limits::default(), false).broken.iter().any(|(broken, _)| *broken == check)
    };
    let seed = (SEED..SEED + ENOUGH).find(|&seed| breaks(seed, Some(bug)));
    let seed = seed.unwrap_or_else(|| panic!("{bug:?} breaks {check:?} in none of {ENOUGH}"));
    println!("{bug:?} breaks {check:?} first under seed {seed}");
    assert!(!breaks(seed, None), "the core breaks {check:?} under seed {seed} too");
}

macro_rules! caught {
    ($($name:ident: $bug:ident breaks $check:ident;)+) => {$(
        #[test]
        fn $name() {
            is_caught(Bug::$bug, Check::$check);
        }
    )+};
}

caught! {
    a_lost_reply_is_not_a_call_never_sent: ResendOnUnknown breaks BoughtTwice;
    a_settle_time_of_zero_buys_twice: SettleOfZero breaks BoughtTwice;
    an_intent_after_the_send_buys_twice: IntentAfterSend breaks BoughtTwice;
    a_call_needs_its_intent: IntentAfterSend breaks NoIntent;
    what_was_listed_before_the_call_is_not_its_job: KnownIdsIgnored breaks WrongAdoption;
    what_a_row_claims_is_not_anothers: ClaimNotUnique breaks WrongAdoption;
    a_timer_that_restarts_at_boot_never_ends: TimerRestartsAtBoot breaks NeverEnds;
    two_open_calls_are_mixed_up: WidthTwo breaks WrongAdoption;
    one_paid_call_is_open_at_a_time: WidthTwo breaks TwoOpen;
    one_look_is_not_enough: AbsentAfterOneLook breaks EarlyAbsence;
    half_a_list_proves_nothing: HalfAListIsWhole breaks EarlyAbsence;
    our_clock_alone_proves_nothing: AbsenceByLocalClock breaks BoughtTwice;
    an_outage_is_not_healthy_looking: OutageCounts breaks EarlyAbsence;
    the_last_look_before_resending_counts: NoLookBeforeResend breaks SentThoughListed;
    a_parked_calls_candidates_are_reserved: ParkWithoutReserving breaks WrongAdoption;
    strangers_jobs_teach: NobodyElseEver breaks AdoptedShared;
    media_and_model_rule_out: ConflictsIgnored breaks WrongAdoption;
    the_entry_of_a_training_is_no_job: EntriesIgnored breaks WrongAdoption;
    an_entry_is_expected_as_long_as_the_call_is_open: EntriesUntilNow breaks WrongAdoption;
    what_was_submitting_is_in_doubt: SubmittingIsQueued breaks BoughtTwice;
    a_long_death_is_not_sending: DoubtUnclamped breaks NeverEnds;
    a_sweep_reaches_back_over_a_long_death: SweepOfADay breaks Hidden;
    the_vendors_clock_is_asked_for_first: OurClockForTheirs breaks EarlyAbsence;
    a_call_goes_out_promptly_or_not_at_all: SendsAfterSleep breaks BoughtTwice;
    a_look_is_as_old_as_its_list: LookDatedAtItsEnd breaks EarlyAbsence;
    a_newer_list_overtakes_the_verdict: OvertakenVerdict breaks EarlyAbsence;
    what_comes_to_light_on_the_way_is_not_sent_again: ShownOnTheWay breaks SentThoughListed;
    a_list_that_does_not_reach_back_proves_nothing: ReachIgnored breaks BoughtTwice;
}
