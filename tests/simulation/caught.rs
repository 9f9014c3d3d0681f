//! Each planted bug trips a check of the oracle.

use crate::bugs::Bug;
use crate::daemon::{Limits, run};
use crate::oracle::Check;
use crate::scripts::scripts;
use crate::table::Sums;
use crate::trouble::{Trouble, Usage, World, worlds};
use crate::worlds::{chosen, from_env, story};
use judging::{HOUR, MINUTE, SECOND};

/// Seeds within which a planted bug must show, from the one on that is named with it.
const ENOUGH: u64 = 12;
/// Seeds over which an everyday account is summed.
const DAYS: u64 = 30;

/// Worlds made for bugs that need more trouble than an honest one has.
fn harder() -> Vec<World> {
    use Trouble as T;
    let world = |name: &str, troubles: &[Trouble]| World {
        name: name.to_owned(),
        usage: Usage::Daily,
        troubles: troubles.to_vec(),
    };
    let half_an_hour = T::EffectLate(30 * MINUTE);
    vec![
        world("harder: many doubles", &[T::Doubled(0.4, 5 * SECOND)]),
        world("harder: many late doubles", &[T::Doubled(0.4, 30 * MINUTE)]),
        world("harder: late effects, often killed", &[half_an_hour, T::Killed(0.2, HOUR)]),
        world("harder: late effects, lists fail", &[half_an_hour, T::ListFails(0.5)]),
        world("harder: late effects, lists down", &[half_an_hour, T::ListDown(3 * HOUR)]),
        world("harder: late lists, lists down", &[T::ListLate(20 * MINUTE), T::ListDown(3 * HOUR)]),
    ]
}

fn named(name: &str) -> World {
    let named =
        [worlds(), harder(), scripts()].concat().into_iter().find(|world| world.name == name);
    named.unwrap_or_else(|| unreachable!("no world is called {name}"))
}

/// Within a few seeds the bug breaks the promise; without it the promise holds there.
fn is_caught(bug: Bug, check: Check, world: &str, first: u64) {
    let world = named(world);
    let breaks = |seed, bug| {
        let sim = run(&world, seed, bug, Limits::default());
        sim.truth.broken.iter().any(|(broken, _)| *broken == check)
    };
    let seed = (first..first + ENOUGH).find(|seed| breaks(*seed, Some(bug)));
    assert!(seed.is_some(), "{bug:?} breaks {check:?} in none of {ENOUGH} seeds from {first}");
    let clean = seed.is_some_and(|seed| !breaks(seed, None));
    assert!(clean, "{check:?} breaks under seed {seed:?} without {bug:?} too");
}

/// Over many days the bug shows in the sums of an everyday account.
fn shows_in_the_sums(bug: Bug, check: Check, world: &str) {
    let world = named(world);
    let sums = |bug| {
        let mut sums = Sums::default();
        (0..DAYS).for_each(|seed| sums.add(seed, &run(&world, seed, bug, Limits::default())));
        sums.check_daily()
    };
    assert_eq!(sums(Some(bug)), Some(check), "{bug:?}");
    assert_eq!(sums(None), None, "{bug:?} is not planted");
}

macro_rules! caught {
    ($($name:ident: $bug:ident breaks $check:ident in $world:literal from $seed:literal;)+) => {
        const CAUGHT: &[Bug] = &[$(Bug::$bug),+];
        $(
        #[test]
        fn $name() {
            is_caught(Bug::$bug, Check::$check, $world, $seed);
        }
        )+
    };
}

macro_rules! summed {
    ($($name:ident: $bug:ident shows as $check:ident in $world:literal;)+) => {
        const SUMMED: &[Bug] = &[$(Bug::$bug),+];
        $(
        #[test]
        fn $name() {
            shows_in_the_sums(Bug::$bug, Check::$check, $world);
        }
        )+
    };
}

caught! {
    a_lost_reply_is_not_a_call_never_sent:
        ResendOnUnknown breaks BoughtTwice in "honest, used daily" from 0;
    what_was_out_at_a_death_is_in_doubt:
        OutIsQueued breaks BoughtTwice in "killed at 5 % of calls" from 0;
    a_settle_time_of_nothing_buys_twice:
        SettleOfNothing breaks BoughtTwice in "list 10 min late, known account" from 0;
    a_missing_witness_discredits_a_list:
        WitnessesIgnored breaks BoughtTwice in "script: a page is lost" from 0;
    what_lists_showed_before_bears_witness:
        CutListBelieved breaks BoughtTwice in "script: a page is lost" from 0;
    an_empty_list_proves_nothing:
        EmptyListBelieved breaks BoughtTwice in "list 3 h late, fresh account" from 0;
    old_witnesses_do_not_suffice:
        OldWitnessesSuffice breaks BoughtTwice in "createdAt steps -30 h" from 3;
    a_late_list_prolongs_the_settle_time:
        LagIgnored breaks BoughtTwice in "list late at random, by more" from 0;
    a_list_proves_nothing_beyond_its_reach:
        ReachIgnored breaks BoughtTwice in "list of 24 h, away 5 days" from 13;
    a_list_that_lacks_jobs_proves_nothing:
        LacksIgnored breaks BoughtTwice in "createdAt steps -30 h" from 3;
    two_clocks_are_never_compared:
        ClocksCompared breaks BoughtTwice in "createdAt -2 h" from 0;
    ids_are_trusted_when_they_were_seen_to_be_stable:
        IdsTrusted breaks BoughtTwice in "ids in another form" from 0;
    a_still_is_no_proof_of_pictures:
        StillsTrusted breaks BoughtTwice in "honest, used daily" from 0;
    another_model_rules_a_job_out:
        ConflictsIgnored breaks WrongAdoption in "harder: many doubles" from 1;
    another_call_may_have_made_it:
        OthersIgnored breaks WrongAdoption in "honest, used daily" from 4;
    what_a_row_claims_is_not_anothers:
        ClaimNotUnique breaks WrongAdoption in "honest, used daily" from 10;
    claims_and_calls_agree:
        ClaimNotUnique breaks Book in "honest, used daily" from 10;
    strangers_jobs_teach:
        NobodyElseEver breaks WrongAdoption in "shared, our models" from 8;
    one_look_is_not_enough:
        OneLookIsEnough breaks BoughtTwice in "list late at random" from 0;
    an_absent_call_is_looked_for_before_it_is_sent_again:
        NoLookBeforeResend breaks SentThoughShown in "script: late behind the lane" from 0;
    what_comes_late_may_be_another_absent_ones:
        AbsenceForgotten breaks WrongAdoption in "script: late entries, fresh account" from 0;
    a_row_is_sent_again_once:
        ResendForEver breaks SentTooOften in "honest, used daily" from 19;
    what_was_bought_twice_comes_to_light:
        DuplicatesAreForeign breaks Hidden in "effect up to 3 h late" from 0;
    a_late_effect_teaches:
        LateEffectsForgotten breaks BoughtTwice in "effect up to 30 min late" from 4;
    a_database_put_back_sends_nothing:
        GoingBackIgnored breaks BoughtTwice in "put back by 6 h" from 0;
    the_list_is_asked_before_anything_is_sent:
        GoingBackIgnored breaks SentThoughShown in "put back by 6 h" from 0;
    every_doubt_ends_or_a_person_knows:
        NobodyAsked breaks NeverEnds in "2 % never listed" from 0;
    a_persons_answer_moves_the_row:
        VerbsRefused breaks Stranded in "2 % never listed" from 0;
    whatever_comes_to_light_is_shown:
        NothingPlaced breaks Book in "2 % delivered twice" from 0;
}

summed! {
    how_unsteady_times_are_is_learnt: SpreadIgnored shows as AskedTooOften in "disorder 30 s";
    what_was_listed_before_is_no_candidate:
        KnownIdsIgnored shows as AskedTooOften in "2 % delivered twice";
    doubts_are_looked_at_often: LooksSeldom shows as SettledLate in "honest, used daily";
    the_lane_opens_before_the_doubt_ends: LaneWaits shows as LaneTooSlow in "honest, used daily";
}

#[test]
fn every_bug_is_caught() {
    let escapes = |bug: &Bug| !CAUGHT.contains(bug) && !SUMMED.contains(bug);
    let escaped: Vec<Bug> = Bug::ALL.into_iter().filter(escapes).collect();
    assert!(escaped.is_empty(), "{escaped:?}");
}

#[test]
#[ignore = "which world trips over which bug, for people"]
fn hunt() {
    let seeds = from_env("DARKROOM_SIM_SEEDS", 20);
    let wanted = std::env::var("DARKROOM_SIM_BUG").unwrap_or_default();
    for bug in Bug::ALL.into_iter().filter(|bug| format!("{bug:?}").contains(&wanted)) {
        let mut found = Vec::new();
        for world in chosen([worlds(), harder(), scripts()].concat()) {
            let mut sums = Sums::default();
            for seed in 0..seeds {
                sums.add(seed, &run(&world, seed, Some(bug), Limits::default()));
            }
            for (check, (times, seed)) in &sums.broken {
                if std::env::var("DARKROOM_SIM_LINES").is_ok() {
                    println!("{}", story(&world, *seed, Some(bug), *check));
                }
                found.push(format!("{check:?} in \"{}\" {times}, seed {seed}", world.name));
            }
            let asked = sums.asked_of_a_thousand();
            if world.usage == Usage::Daily {
                let daily = sums.check_daily();
                found.push(format!("({asked} asked, {daily:?} in \"{}\")", world.name));
            }
        }
        println!("{bug:?}: {}", found.join("; "));
    }
}
