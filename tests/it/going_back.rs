//! A whole data directory that is put back: what the vendor has and nothing here explains is not
//! bought again before a person has said what it is.

use crate::support::World;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const KITE: [&str; 5] = ["image", "--model", "nanobanana", "--prompt", "a kite"];
const MOVIE: [&str; 5] = ["video", "--model", "grok-imagine-1.5", "--prompt", "a kite"];
const CLASS: &str = "select json_extract(value, '$.class') from settings where name = 'quarantine'";
const FREE: &str = "select count(*) from settings where name = 'quarantine'";
const UNCLAIMED: &str = "select what from unclaimed";

fn jobs(world: &World) -> i64 {
    world.vendor.counts()[3]
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

/// A daemon that has listed and bought, with an order that waits; the whole directory is copied,
/// the order is bought, and the copy is put back. Answers the order.
fn put_back() -> (World, String) {
    put_back_by(World::new(&[]), 0)
}

/// The same; the copy is put back no sooner than so long after it was made (ms).
fn put_back_by(mut world: World, after: i64) -> (World, String) {
    world.serve();
    let first = world.order(&KITE);
    world.json(&["wait", &first], 0);
    world.until("select count(*) from listed_jobs", "1");
    assert_eq!(world.stop(), Some(0));
    let waits = world.order(&KITE);
    let written: i64 = world.sql("select max(at) from events").unwrap().parse().unwrap();
    let saved: PathBuf = world.folder.path().join("saved");
    copy(&world.data(), &saved);
    world.serve();
    world.json(&["wait", &waits], 0);
    world.until(&format!("select unixepoch('subsec') * 1000 > {}", written + after), "1");
    assert_eq!(world.stop(), Some(0));
    assert_eq!(jobs(&world), 2);
    std::fs::remove_dir_all(world.data()).unwrap();
    std::fs::rename(saved, world.data()).unwrap();
    (world, waits)
}

fn becomes(plan: &Value, id: &str) -> String {
    let rows = plan["to_send"].as_array().unwrap();
    rows.iter().find(|row| row["id"] == id).unwrap()["becomes"].as_str().unwrap().to_owned()
}

/// A list that is late does not show yet what was bought last: nothing is bought before it can have.
#[test]
fn what_the_list_does_not_show_yet_is_waited_for() {
    let world = World::new(&["--fault", "list-lag=5s"]);
    world.configure("[sweep]\nevery = \"500ms\"\n");
    let (mut world, waits) = put_back_by(world, 3_500);
    world.serve();
    world.until(CLASS, "unexplained");
    assert_eq!(world.json(&["wait", &waits], 4)["state"], "queued");
    assert_eq!(jobs(&world), 2);
}

#[test]
fn what_was_bought_before_is_not_bought_again() {
    let (mut world, waits) = put_back();
    world.serve();
    world.until(CLASS, "unexplained");
    let movie = world.order(&MOVIE);
    assert_eq!(world.json(&["wait", &waits], 4)["state"], "queued");
    assert_eq!(world.get("/readyz")["quarantine"]["class"], "unexplained");
    let doctor = world.json(&["doctor", "--offline"], 1).to_string();
    assert!(doctor.contains("no earlier list showed"), "{doctor}");
    assert_eq!(world.sql(UNCLAIMED).as_deref(), Some("gap"));
    // Neither does a restart open it, nor make a stranger of what came to light.
    world.kill();
    world.serve();
    world.until("select count(*) from boots", "3");
    assert_eq!(world.sql(CLASS).as_deref(), Some("unexplained"));
    assert_eq!(jobs(&world), 2);

    let plan = world.json(&["release"], 2);
    assert_eq!(plan["released"], false);
    assert_eq!(plan["reading"], "put_back");
    assert_eq!(
        (becomes(&plan, &waits).as_str(), becomes(&plan, &movie).as_str()),
        ("park", "send")
    );
    let candidate = plan["to_send"][0]["candidates"][0].as_str().unwrap().to_owned();
    let shown = world.run(&["release"]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("may be") && text.contains("is sent"), "{text}");

    world.json(&["release", "--yes"], 0);
    world.json(&["wait", &movie], 0);
    assert_eq!(jobs(&world), 3, "only what fits nothing was bought");
    let parked = world.json(&["show", &waits], 0);
    assert_eq!(parked["state"], "attention", "{parked}");
    let why = world.sql(&format!("select why from attention where id = '{waits}'")).unwrap();
    assert!(why.contains(&candidate) && why.contains("--adopt"), "{why}");
    assert_eq!(world.sql(UNCLAIMED).as_deref(), Some("candidate"));
    // A program that asks again, with a key that the copy has never seen, buys nothing either.
    let again = world.order(&KITE);
    world.until(&format!("select state from jobs where id = '{again}'"), "attention");
    assert_eq!(jobs(&world), 3);
    world.json(&["resolve", &waits, "--adopt", &candidate], 0);
    world.json(&["wait", &waits], 0);
    // Whoever says so buys, and is not asked a second time.
    world.json(&["resolve", &again, "--resubmit"], 0);
    world.json(&["wait", &again], 0);
    assert_eq!(jobs(&world), 4);
    assert_eq!(world.stop(), Some(0));
    world.serve();
    let last = world.order(&KITE);
    world.json(&["wait", &last], 0);
    assert_eq!((world.sql(FREE).as_deref(), jobs(&world)), (Some("0"), 5));
}

#[test]
fn somebody_else_uses_the_account() {
    let (mut world, waits) = put_back();
    world.serve();
    world.until(CLASS, "unexplained");
    let released = world.json(&["release", "--yes", "--shared"], 0);
    assert_eq!(becomes(&released, &waits), "send");
    world.json(&["wait", &waits], 0);
    assert_eq!(jobs(&world), 3);
    assert_eq!(world.sql(UNCLAIMED).as_deref(), Some("foreign"));
    let shared = "select count(*) from settings where name = 'account.shared'";
    assert_eq!(world.sql(shared).as_deref(), Some("1"));
    world.kill();
    // A shared account cannot be protected so.
    world.vendor.post("/_sim/foreign", &serde_json::json!({}));
    world.serve();
    let next = world.order(&KITE);
    world.json(&["wait", &next], 0);
    assert_eq!(world.sql(FREE).as_deref(), Some("0"));
}

#[test]
fn while_the_list_cannot_be_read_nothing_is_bought() {
    let (mut world, waits) = put_back();
    world.vendor.fault(&["html=404@listJobs,times=3"]);
    world.serve();
    world.until(CLASS, "unexplained");
    assert_eq!(world.json(&["wait", &waits], 4)["state"], "queued");
    assert_eq!(jobs(&world), 2);
}

#[test]
fn a_kill_in_mid_call_with_much_queued_is_no_such_thing() {
    let mut world = World::new(&[]);
    world.serve();
    let first = world.order(&KITE);
    world.json(&["wait", &first], 0);
    world.vendor.fault(&["delay=600s@jobs,times=1"]);
    let ids: Vec<String> = (0..5).map(|_| world.order(&KITE)).collect();
    world.until("select count(*) from jobs where state = 'submitting'", "1");
    world.kill();
    world.vendor.clear_faults();
    world.serve();
    for id in &ids {
        world.json(&["wait", id], 0);
    }
    assert_eq!(world.sql(FREE).as_deref(), Some("0"));
    assert_eq!(jobs(&world), 6);
}

#[test]
fn without_any_start_a_copy_is_planned_for_by_the_list_alone() {
    let (world, waits) = put_back();
    // The file that would tell is gone too: the next start would close it, and release does.
    std::fs::remove_file(world.data().join("highwater")).unwrap();
    let plan = world.json(&["release"], 2);
    assert_eq!(becomes(&plan, &waits), "park", "{plan}");
    // A vendor that cannot be asked plans nothing, and the next start compares.
    world.vendor.post("/_sim/down", &Value::Null);
    assert!(!world.run(&["release", "--yes"]).status.success());
    world.json(&["release", "--yes", "--without-list"], 0);
    world.vendor.post("/_sim/up", &Value::Null);
    let mut world = world;
    world.serve();
    world.until(CLASS, "unexplained");
    assert_eq!(jobs(&world), 2);
    world.json(&["release", "--yes"], 0);
    world.until(&format!("select state from jobs where id = '{waits}'"), "attention");
    assert_eq!(jobs(&world), 2);
}

#[test]
fn a_list_that_lacks_jobs_is_believed_when_somebody_says_so() {
    let mut world = World::new(&[]);
    world.serve();
    let first = world.order(&KITE);
    world.json(&["wait", &first], 0);
    let db = world.data().join("darkroom.db");
    let sql = "insert into missing values ('job_x', 1, 0, 1, 3, 'lacks', null)";
    assert!(Command::new("sqlite3").arg(&db).arg(sql).status().unwrap().success());
    let lacks = || world.json(&["doctor", "--offline"], 0).to_string().contains("never shown");
    assert!(lacks());
    let shown = world.json(&["release"], 2);
    assert_eq!((&shown["released"], &shown["lacks"][0]), (&false.into(), &"job_x".into()));
    assert!(lacks());
    assert_eq!(world.json(&["release", "--yes", "--reason", "deleted there"], 0)["released"], true);
    assert!(!lacks());
    let said =
        "select json_extract(value, '$.reason') from settings where name = 'listing.believed'";
    assert_eq!(world.sql(said).as_deref(), Some("deleted there"));
    assert_eq!(world.json(&["release", "--yes"], 0)["released"], false, "there is nothing more");
}
