//! Every world, seed after seed.

use crate::bugs::Bug;
use crate::daemon::{Limits, run};
use crate::oracle::Check;
use crate::scripts::{gaps, scripts};
use crate::table::{HEAD, Sums};
use crate::trouble::{World, pairs, worlds};

/// Seeds of each world in the suite.
const SEEDS: u64 = 2;
/// Seeds of each script, which differ little.
const SCRIPTS: u64 = 12;
/// So many pairs of troubles are tried at a time.
const DOZEN: usize = 12;
/// Seeds of each world in the table.
const TABLE: u64 = 300;

pub(crate) fn from_env(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

pub(crate) fn chosen(all: Vec<World>) -> Vec<World> {
    let part = std::env::var("DARKROOM_SIM_WORLD").unwrap_or_default();
    let named = |world: &World| part.split('|').any(|part| world.name.contains(part));
    all.into_iter().filter(named).collect()
}

pub(crate) fn sums(world: &World, seeds: u64) -> Sums {
    let first = from_env("DARKROOM_SIM_SEED", 0);
    let mut sums = Sums::default();
    for seed in first..first + seeds {
        sums.add(seed, &run(world, seed, None, Limits::default()));
    }
    sums
}

/// The smallest part of a world that still breaks the promise in this seed.
fn shrink(world: &World, seed: u64, bug: Option<Bug>, check: Check) -> (World, Limits) {
    let breaks = |world: &World, limits| {
        run(world, seed, bug, limits).truth.broken.iter().any(|(broken, _)| *broken == check)
    };
    let (mut world, mut limits) = (world.clone(), Limits::default());
    for at in (0..world.troubles.len()).rev() {
        let mut fewer = world.clone();
        fewer.troubles.remove(at);
        if breaks(&fewer, limits) {
            world = fewer;
        }
    }
    let days = world.usage.lasts() / judging::DAY;
    for day in 1..days {
        let until = day * judging::DAY;
        if breaks(&world, Limits { until, ..limits }) {
            limits.until = until;
            break;
        }
    }
    (world, limits)
}

/// How a seed breaks a promise, and how to see it again.
pub(crate) fn story(world: &World, seed: u64, bug: Option<Bug>, check: Check) -> String {
    let (small, limits) = shrink(world, seed, bug, check);
    let sim = run(&small, seed, bug, Limits { story: true, ..limits });
    let broken = sim.truth.broken.iter().find(|(broken, _)| *broken == check);
    let what = broken.map_or("", |(_, what)| what.as_str());
    let broken = format!("BROKEN {check:?}");
    let end = sim.story().iter().position(|line| line.contains(&broken));
    let lines = &sim.story()[..end.map_or(sim.story().len(), |at| at + 1)];
    let last = lines.len().min(from_env("DARKROOM_SIM_LINES", 80) as usize);
    format!(
        "{check:?} in \"{}\" with {:?}, seed {seed}: {what}\n{}\nreplay: DARKROOM_SIM_WORLD='{}' \
         DARKROOM_SIM_SEED={seed} DARKROOM_SIM_SEEDS=1 cargo test -p judging --test simulation",
        small.name,
        small.troubles,
        lines[lines.len() - last..].join("\n"),
        world.name,
    )
}

fn assert_kept(all: &[World], seeds: u64) {
    let mut stories = Vec::new();
    for world in all {
        let sums = sums(world, seeds);
        for (check, (times, seed)) in &sums.broken {
            stories.push(format!("{times} times: {}", story(world, *seed, None, *check)));
        }
    }
    assert!(stories.is_empty(), "{}", stories.join("\n\n"));
}

#[test]
fn the_promises_hold_in_every_world() {
    assert_kept(&chosen(worlds()), from_env("DARKROOM_SIM_SEEDS", SEEDS));
}

#[test]
fn the_promises_hold_in_scripts() {
    assert_kept(&chosen(scripts()), from_env("DARKROOM_SIM_SEEDS", SCRIPTS));
}

#[test]
fn what_is_neither_prevented_nor_named_is_not_excused() {
    for world in gaps() {
        let sums = sums(&world, SCRIPTS);
        assert!(sums.times(Check::WrongAdoption) > 0, "{} is mended: a script now", world.name);
    }
}

/// A database that is put back, at a vendor whose other clocks hide what came since.
#[test]
fn the_promises_hold_where_a_database_is_put_back() {
    let put_back = |world: &World| world.name.contains("filter -5 h + put back");
    let all: Vec<World> = chosen(pairs()).into_iter().filter(put_back).collect();
    assert_kept(&all, from_env("DARKROOM_SIM_SEEDS", SEEDS));
}

#[test]
fn the_promises_hold_in_pairs_of_troubles() {
    // A different dozen of the pairs is drawn for each first seed, unless a world is named.
    let all = chosen(pairs());
    let first = from_env("DARKROOM_SIM_SEED", 0) as usize;
    let every = if all.len() > DOZEN { all.len() / DOZEN } else { 1 };
    let some: Vec<World> = all.into_iter().skip(first % every).step_by(every).collect();
    assert_kept(&some, from_env("DARKROOM_SIM_SEEDS", 1));
}

#[test]
#[ignore = "a table of many seeds, for people"]
fn table() {
    println!("{HEAD}");
    for world in chosen([worlds(), scripts(), gaps()].concat()) {
        let sums = sums(&world, from_env("DARKROOM_SIM_SEEDS", TABLE));
        println!("{}", sums.line(&world.name));
    }
}

#[test]
#[ignore = "every pair of troubles, for people"]
fn table_of_pairs() {
    println!("{HEAD}");
    for world in chosen(pairs()) {
        let sums = sums(&world, from_env("DARKROOM_SIM_SEEDS", 5));
        println!("{}", sums.line(&world.name));
    }
}

#[test]
#[ignore = "why people are asked, for people"]
fn questions() {
    for world in chosen(worlds()) {
        for seed in 0..from_env("DARKROOM_SIM_SEEDS", SEEDS) {
            let sim = run(&world, seed, None, Limits { story: true, ..Limits::default() });
            let asks = |line: &&String| line.contains("parked") || line.contains("is asked");
            for line in sim.story().iter().filter(asks) {
                println!("{} {seed}: {line}", world.name);
            }
        }
    }
}
