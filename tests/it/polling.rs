//! How often the vendor is asked about what it works on: the simulator counts the calls.

use crate::support::{World, eventually, http_with_token};
use serde_json::{Value, json};
use std::collections::HashMap;

const NANO: [&str; 5] = ["image", "--model", "nanobanana", "--prompt", "a heron"];
/// The simulator's name for a read of one job.
const JOB: &str = "getJobStatus";
const RUNNING: &str = "select count(*) from jobs where state = 'running'";

/// The configuration with this job interval and room for many jobs.
fn world(interval: &str, vendor: &[&str]) -> World {
    let world = World::new(vendor);
    world.configure("open_jobs = 5000\nopen_trainings = 9\n[sweep]\nevery = \"1h\"\n");
    let config = world.folder.path().join("darkroom.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replacen("job = \"100ms\"", &format!("job = \"{interval}\""), 1);
    std::fs::write(&config, text.replacen("per_second = 200", "per_second = 2000", 1)).unwrap();
    world
}

/// Calls of one operation so far.
fn calls(world: &World, op: &str) -> i64 {
    let report = world.vendor.get("/_sim/requests?since=999999999");
    report["ops"][op]["calls"].as_i64().unwrap_or(0)
}

/// The calls of one operation: path and the vendor's time.
fn each(world: &World, op: &str) -> Vec<(String, i64)> {
    let report = world.vendor.get(&format!("/_sim/requests?op={op}"));
    let call =
        |call: &Value| (call["path"].as_str().unwrap().to_owned(), call["at"].as_i64().unwrap());
    report["last"].as_array().unwrap().iter().map(call).collect()
}

/// The shortest time between two questions about one id.
fn closest(calls: &[(String, i64)]) -> i64 {
    let mut last: HashMap<&str, i64> = HashMap::new();
    let mut closest = i64::MAX;
    for (path, at) in calls {
        if let Some(before) = last.insert(path, *at) {
            closest = closest.min(at - before);
        }
    }
    closest
}

/// No id was asked about sooner than an interval after the last time. The times are those of arrival,
/// so a question that was held up on its way makes the next one look early; one that does not keep the
/// interval comes far too early.
fn kept_apart(calls: &[(String, i64)], interval: i64) {
    let closest = closest(calls);
    assert!(closest >= interval * 4 / 5, "{closest} ms");
}

/// So many jobs that the vendor works on until it is released.
fn open_jobs(world: &World, count: usize) {
    world.vendor.post("/_sim/hold", &json!({}));
    let url = format!("{}/v1/jobs", world.daemon().address);
    let order = json!({ "type": "image", "model": "nanobanana", "prompt": "a heron" });
    for _ in 0..count {
        let token = world.token("admin");
        let reply = http_with_token("POST", &url, Some(&token), Some(&order));
        assert!(reply["id"].is_string(), "{reply}");
    }
    world.until(RUNNING, &count.to_string());
}

/// Waits for at least so many lists in a row with at most so many single reads between them.
fn mostly_listed(world: &World, what: &str, (list, lists): (&str, i64), (read, most): (&str, i64)) {
    let asked = || (calls(world, list), calls(world, read));
    let mut since = asked();
    eventually(what, || {
        let now = asked();
        if now.0 < since.0 + lists {
            return None;
        }
        let reads = now.1 - since.1;
        since = now;
        (reads <= most).then_some(())
    });
}

/// Twenty-four open jobs: the list is asked about all of them, and only an ended one by itself.
#[test]
fn many_open_jobs_are_asked_about_through_the_list() {
    let mut world = world("500ms", &[]);
    world.serve();
    open_jobs(&world, 24);
    eventually("the list is in use", || (calls(&world, "listJobs") > 3).then_some(()));
    let (lists, singles) = (calls(&world, "listJobs"), calls(&world, JOB));
    eventually("ten more rounds", || (calls(&world, "listJobs") >= lists + 10).then_some(()));
    let more = calls(&world, JOB) - singles;
    assert!(more <= 24, "{more} single reads during ten lists of 24 jobs");
    // What is being read while the lists are counted may still come.
    let looks = each(&world, JOB);
    kept_apart(&looks, 500);
    let before = calls(&world, JOB);
    world.vendor.post("/_sim/release", &json!({}));
    world.until("select count(*) from jobs where state = 'succeeded'", "24");
    let ended = calls(&world, JOB) - before;
    assert!((24..60).contains(&ended), "{ended} reads of 24 ended jobs");
    // That all of them ended in one round says nothing against the list.
    open_jobs(&world, 24);
    let what = "five lists of the next ones, and hardly a single read";
    mostly_listed(&world, what, ("listJobs", 5), (JOB, 5));
}

/// Jobs that the list never shows are asked about by themselves.
#[test]
fn what_the_list_does_not_show_is_still_watched() {
    let mut world = world("200ms", &["--fault", "list-lag=1h"]);
    world.serve();
    open_jobs(&world, 8);
    eventually("a list is tried", || (calls(&world, "listJobs") > 1).then_some(()));
    world.vendor.post("/_sim/release", &json!({}));
    world.until("select count(*) from jobs where state = 'succeeded'", "8");
}

/// Trainings that are due together are one question.
#[test]
fn trainings_share_one_question() {
    // A look may be late by a hundredth of the interval and keeps its place with the others.
    let mut world = world("2s", &["--max-trainings", "9"]);
    world.serve();
    world.vendor.post("/_sim/hold", &json!({}));
    for name in ["Ada", "Ben", "Cleo"] {
        world.order_training(name);
    }
    world.until("select count(*) from trainings where state = 'running'", "3");
    // One that was held up past its turn is read by itself that time, and is back with the others.
    let what = "four lists of three trainings, and hardly a single read";
    mostly_listed(&world, what, ("listModels", 4), ("getModel", 2));
    world.vendor.post("/_sim/release", &json!({}));
    world.until("select count(*) from trainings where state = 'succeeded'", "3");
}

/// Once it is known how long jobs take, none is asked about before it can have ended.
#[test]
fn learnt_durations_leave_out_looks_that_find_nothing() {
    // A second and a half, in steps of 100 ms.
    let mut world = world("100ms", &["--speed", "10", "--fault", "job-time=15s"]);
    world.serve();
    world.json(&NANO, 0);
    world.until("select count(*) from jobs where state = 'succeeded'", "1");
    let before = calls(&world, JOB);
    assert!(before >= 6, "{before} looks at a job of fifteen intervals");
    assert_eq!(world.sql("select count(*) from durations").as_deref(), Some("1"));
    assert_eq!(world.stop(), Some(0));
    // As if many had taken so long.
    let path = world.data().join("darkroom.db");
    let learnt = "update durations set learnt = '{\"open\":[1300,1300,1300,1300],\"blind\":0}'";
    let done = std::process::Command::new("sqlite3").arg(&path).arg(learnt).status().unwrap();
    assert!(done.success());
    world.serve();
    let id = world.order(&NANO);
    world.until(RUNNING, "1");
    // A restart neither asks early nor forgets the time.
    world.kill();
    world.serve();
    let wait = format!("select due_at - accepted_at >= 1300 from jobs where id = '{id}'");
    assert_eq!(world.sql(&wait).as_deref(), Some("1"));
    let shown = format!("select next_at - accepted_at >= 1300 from work where id = '{id}'");
    assert_eq!(world.sql(&shown).as_deref(), Some("1"), "people see the same");
    world.until("select count(*) from jobs where state = 'succeeded'", "2");
    let accepted = format!("select accepted_at from jobs where id = '{id}'");
    let accepted: i64 = world.sql(&accepted).unwrap().parse().unwrap();
    let remote = world.sql(&format!("select remote_id from jobs where id = '{id}'")).unwrap();
    let looks: Vec<i64> = each(&world, JOB)
        .into_iter()
        .filter(|(path, _)| path.ends_with(&remote))
        .map(|(_, at)| at - accepted)
        .collect();
    assert!(looks.iter().all(|at| *at >= 1_290), "looked at after {looks:?} ms");
}

/// A restart in the middle brings no look before its time and none too many.
#[test]
fn restarts_bring_no_look_of_their_own() {
    let mut world = world("500ms", &[]);
    world.serve();
    open_jobs(&world, 2);
    let running = "select min(accepted_at) from jobs where state = 'running'";
    let accepted: i64 = world.sql(running).unwrap().parse().unwrap();
    for _ in 0..5 {
        world.kill();
        world.serve();
    }
    let before = each(&world, JOB).len();
    eventually("two more looks at each", || (each(&world, JOB).len() >= before + 4).then_some(()));
    let looks = each(&world, JOB);
    let took = looks.iter().map(|(_, at)| at - accepted).max().unwrap();
    let most = 2 * (took / 500 + 1);
    assert!(looks.len() as i64 <= most, "{} looks in {took} ms", looks.len());
    kept_apart(&looks, 500);
    // A start tries the key once: by its first look, where one is due, or by a ping.
    assert!(each(&world, "ping").len() <= 6, "one question a start");
}

/// A daemon that was down for longer than an interval looks at once, at one job or through the list:
/// the last daemon left when it asked, and nobody has asked since the machine was started.
#[test]
fn what_is_overdue_after_a_long_time_down_is_looked_at_at_once() {
    for count in [1, 60] {
        let mut world = world("10m", &[]);
        world.serve();
        open_jobs(&world, count);
        world.kill();
        world.vendor.post("/_sim/release", &json!({}));
        eventually("the vendor is done", || {
            let ended = world.vendor.get("/_sim/finished")["jobs"].as_array().map(Vec::len);
            (ended == Some(count)).then_some(())
        });
        // Each has been looked at before, the next point of its grid is ten minutes away, and this is
        // another boot of the machine.
        let overdue = "update jobs set due_at = accepted_at, poll_anchor = accepted_at";
        let db = world.data().join("darkroom.db");
        let done = std::process::Command::new("sqlite3").arg(&db).arg(overdue).status().unwrap();
        assert!(done.success());
        nobody_has_asked(&world);
        let lists = each(&world, "listJobs").len();
        let before = each(&world, JOB).len();
        world.serve();
        world.until("select count(*) from jobs where state = 'succeeded'", &count.to_string());
        let looks = each(&world, JOB);
        assert_eq!(looks.len(), before + count, "the question about the account was one of them");
        let first = |calls: &[(String, i64)]| calls.iter().map(|(_, at)| *at).min();
        let list = first(&each(&world, "listJobs")[lists..]).unwrap_or(i64::MAX);
        assert!(first(&looks[before..]).unwrap() < list, "and the first of all questions");
    }
}

/// What was looked at right after a long time down was not looked at on its grid: the daemon after
/// that one waits for the interval all the same.
#[test]
fn a_restart_after_a_look_off_the_grid_keeps_the_interval() {
    let mut world = world("2s", &[]);
    world.serve();
    open_jobs(&world, 1);
    for _ in 0..3 {
        let before = each(&world, JOB).len();
        eventually("a look", || (each(&world, JOB).len() > before).then_some(()));
        world.kill();
        let last = each(&world, JOB).iter().map(|(_, at)| *at).max().unwrap();
        let passed = format!("select unixepoch('subsec') * 1000 > {}", last + 2_100);
        world.until(&passed, "1");
        let before = each(&world, JOB).len();
        world.serve();
        eventually("a look at once", || (each(&world, JOB).len() > before).then_some(()));
        world.kill();
        world.serve();
    }
    let before = each(&world, JOB).len();
    eventually("another look", || (each(&world, JOB).len() > before).then_some(()));
    let looks = each(&world, JOB);
    kept_apart(&looks, 2_000);
    world.kill();
}

/// The last daemon is made to look as if it had asked before the machine was started.
fn nobody_has_asked(world: &World) {
    let asked = world.data().join("asked");
    let marks = std::fs::read_to_string(&asked).unwrap().split_whitespace().count() - 2;
    std::fs::write(&asked, format!("asked another{}\n", " 0".repeat(marks))).unwrap();
}

/// Every page of a list is a request like any other, and one that came too soon is asked for again.
#[test]
fn a_long_list_keeps_to_the_request_limit() {
    let mut world =
        World::new(&["--page-size", "10", "--fault", "rate-limit@listJobs,times=1,skip=5"]);
    let config = "[limits]\nrequests_per_second = 50\n[sweep]\nevery = \"1s\"\n";
    std::fs::write(world.config_path(), config).unwrap();
    world.vendor.post("/_sim/foreign", &json!({ "key": "test-key", "count": 500 }));
    world.serve();
    world.until("select count(*) from listed_jobs", "500");
    let pages = each(&world, "listJobs");
    let times: Vec<i64> = pages.iter().map(|(_, at)| *at).take(51).collect();
    let took = times.iter().max().unwrap() - times.iter().min().unwrap();
    // 50 turns of 20 ms, and more after the 429.
    assert!(times.len() == 51 && took >= 750, "{} pages in {took} ms", times.len());
    assert!(!world.daemon().log_text().contains("did not get through"));
}
