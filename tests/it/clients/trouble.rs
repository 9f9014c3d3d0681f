//! The same programs while the daemon dies, the vendor is away, or they die themselves.

use super::program::{Language, Program};
use super::{assert_all_once, assert_report_is_complete};
use crate::support::World;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What lets a program outlive the daemon: it tries again, and names what it orders.
const RESILIENT: [(&str, &str); 2] =
    [("RETRY_CONNECTION_ERRORS", "1"), ("IDEMPOTENCY_PREFIX", "one-run")];

/// Lines of progress that every run has: fewer are said only when a state was never seen.
const LINES: u64 = 48;

/// Different lines of progress, drawn by a small generator from the seed.
fn points(seed: u64, count: usize) -> BTreeSet<usize> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut points = BTreeSet::new();
    while points.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        points.insert(usize::try_from(state % LINES).unwrap() + 1);
    }
    points
}

/// A port that nobody is given by the system, so that it is still free after each kill.
fn quiet_port() -> u16 {
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let start = u16::try_from(uuid::Uuid::now_v7().as_u128() % 11_000).unwrap() + 20_000;
    (start..32_000).find(free).unwrap()
}

/// What a kill cut off before it left cannot be known on a fresh account without a later job: a
/// person looks at the vendor, and has it sent.
fn decide(world: &World) {
    let [_, _, trainings, jobs] = world.vendor.counts();
    let asked = "select t.id from trainings t join intents i on i.subject = t.id \
                 where t.state = 'in_doubt' and i.asked is not null";
    let unfound = "select j.id from jobs j join intents i on i.subject = j.id \
                   where j.state = 'in_doubt' and i.looking >= 12000";
    let known = world.sql("select count(*) from jobs where remote_id is not null");
    let lost = if trainings == 0 {
        world.sql(asked)
    } else if known == Some(jobs.to_string()) {
        world.sql(unfound)
    } else {
        None
    };
    if let Some(id) = lost {
        world.json(&["resolve", &id, "--resubmit", "--why", "the vendor has none"], 0);
    }
    // The one that was lost before it may have made it too, for all that the daemon knows.
    let held = "select id from jobs where state = 'attention'";
    let only = "select min(remote_id) from unclaimed where what = 'candidate' having count(*) = 1";
    if let (Some(id), Some(remote)) = (world.sql(held), world.sql(only)) {
        world.json(&["resolve", &id, "--adopt", &remote, "--why", "there is no other"], 0);
    }
}

fn outlives_the_daemon(language: Language, seed: u64) {
    let points = points(seed, 10);
    eprintln!("seed {seed}: the daemon dies at the lines {points:?}");
    let address = format!("127.0.0.1:{}", quiet_port());
    let mut world = World::new(&[]);
    world.serve_with(&["--listen", &address]);
    let mut program = Program::through(&world, language, &RESILIENT);
    let mut kills = 0;
    while program.line_with_help(|| decide(&world)).is_some() {
        if points.contains(&program.said.len()) {
            world.kill();
            world.serve_with(&["--listen", &address]);
            kills += 1;
        }
    }
    let report = program.report();
    assert_report_is_complete(&program, &report);
    assert_eq!(kills, 10);
    assert_all_once(&world);
}

#[test]
fn the_daemon_is_killed_ten_times_under_the_python_program() {
    outlives_the_daemon(Language::Python, 1);
}

#[test]
fn the_daemon_is_killed_ten_times_under_the_node_program() {
    outlives_the_daemon(Language::Node, 2);
}

#[test]
#[ignore = "deep suite: the same at many other moments"]
fn the_daemon_is_killed_at_many_moments() {
    for seed in 100..110 {
        outlives_the_daemon(Language::Python, seed);
        outlives_the_daemon(Language::Node, seed);
    }
}

/// The vendor comes back `outage` after the program has handed in all it can.
fn outlives_an_outage(language: Language, outage: Duration) {
    let mut world = World::new(&[]);
    world.vendor.post("/_sim/down", &json!({}));
    world.serve();
    let mut program = Program::through(&world, language, &[]);
    program.until("training accepted");
    assert_eq!(world.vendor.counts(), [0, 0, 0, 0]);
    std::thread::sleep(outage);
    world.vendor.post("/_sim/up", &json!({}));
    let report = program.report();
    assert_report_is_complete(&program, &report);
    assert_all_once(&world);
}

#[test]
fn model_photos_and_training_are_accepted_while_the_vendor_is_down() {
    outlives_an_outage(Language::Python, Duration::ZERO);
}

#[test]
fn the_node_program_starts_while_the_vendor_is_down() {
    outlives_an_outage(Language::Node, Duration::ZERO);
}

#[test]
#[ignore = "deep suite: a minute is a minute"]
fn the_vendor_is_down_for_a_whole_minute() {
    outlives_an_outage(Language::Python, Duration::from_secs(60));
    outlives_an_outage(Language::Node, Duration::from_secs(60));
}

/// Every name that a program is given must be the one it was given before.
fn assert_same_ids(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) {
    for (step, id) in now {
        if let Some(known) = before.get(step) {
            assert_eq!(known, id, "{step} has another id");
        }
    }
}

fn outlives_itself(language: Language, seed: u64) {
    let points = points(seed, 6);
    eprintln!("seed {seed}: the program dies at the lines {points:?}");
    let mut world = World::new(&[]);
    world.serve();
    let mut known = BTreeMap::new();
    for point in points {
        let mut program = Program::through(&world, language, &RESILIENT);
        while program.said.len() < point {
            program.line().unwrap();
        }
        assert_same_ids(&known, program.ids());
        known.extend(program.ids().clone());
        program.kill();
    }
    let mut program = Program::through(&world, language, &RESILIENT);
    let report = program.report();
    assert_report_is_complete(&program, &report);
    assert_same_ids(&known, program.ids());
    assert_all_once(&world);

    // Once more from start to end: nothing new, and the same answers.
    let mut again = Program::through(&world, language, &RESILIENT);
    let same = again.report();
    assert_eq!(again.ids(), program.ids());
    for field in ["model", "uploads", "image", "upscale", "adapt", "video"] {
        assert_eq!(same[field], report[field]);
    }
    assert_all_once(&world);
}

#[test]
fn the_python_program_is_killed_and_started_again() {
    outlives_itself(Language::Python, 3);
}

#[test]
fn the_node_program_is_killed_and_started_again() {
    outlives_itself(Language::Node, 4);
}
