//! The plain programs through the gateway: they run to the end, and their polls cost the vendor
//! nothing.

use super::program::{Language, Program};
use super::{assert_all_once, assert_report_is_complete};
use crate::support::World;
use std::collections::BTreeMap;

/// How often the daemon looks at a job here, in milliseconds; the client looks every 50.
const GRID: i64 = 300;

/// When the vendor was asked for each path of this operation, in its own milliseconds.
fn looks(world: &World, op: &str) -> BTreeMap<String, Vec<i64>> {
    let mut looks: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for call in world.vendor.get(&format!("/_sim/requests?op={op}"))["last"].as_array().unwrap() {
        let path = call["path"].as_str().unwrap().to_owned();
        looks.entry(path).or_default().push(call["at"].as_i64().unwrap());
    }
    looks
}

/// No path was asked for more often than a grid of this interval allows.
fn assert_on_a_grid(looks: &BTreeMap<String, Vec<i64>>, interval: i64) {
    for (path, times) in looks {
        let span = times.iter().max().unwrap() - times.iter().min().unwrap();
        // One at each end, and one for what follows an end: the fresh address of a file.
        let most = span / interval + 3;
        let count = i64::try_from(times.len()).unwrap();
        assert!(count <= most, "{path} was asked for {count} times in {span} ms");
    }
}

fn runs_to_the_end(language: Language) {
    // A job takes long enough for the client to look at it twenty times.
    let mut world = World::new(&["--fault", "job-time=1s"]);
    world.env.push(("DARKROOM__POLL__JOB".to_owned(), format!("{GRID}ms")));
    world.serve();
    let mut program = Program::through(&world, language, &[]);
    let report = program.report();
    assert_report_is_complete(&program, &report);
    assert_all_once(&world);

    let jobs = looks(&world, "getJobStatus");
    assert_on_a_grid(&jobs, GRID);
    assert_on_a_grid(&looks(&world, "getModel"), 500);
    let of_client = report["polls"]["job"].as_u64().unwrap();
    let of_daemon: usize = jobs.values().map(Vec::len).sum();
    assert!(of_client > 40, "the client looked {of_client} times only: this proves little");
    assert!(of_client > 2 * of_daemon as u64, "{of_client} looks became {of_daemon}");
    // Files come from here: each of the four was fetched from the vendor once.
    let files: usize = looks(&world, "media").values().map(Vec::len).sum();
    assert_eq!(files, 4);
}

#[test]
fn the_python_program_runs_to_the_end() {
    runs_to_the_end(Language::Python);
}

#[test]
fn the_node_program_runs_to_the_end() {
    runs_to_the_end(Language::Node);
}
