//! Old copies, damaged files and other accounts: nothing is spent until a person has looked.

use crate::support::{Vendor, World, eventually, photos};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

const NANO: [&str; 5] = ["image", "--model", "nanobanana", "--prompt", "a kite"];
const CLASS: &str = "select json_extract(value, '$.class') from settings where name = 'quarantine'";
const FREE: &str = "select count(*) from settings where name = 'quarantine'";

const PROVED: &str = "select count(*) from settings where name = 'account' \
                      and json_extract(value, '$.proof') is not null";

fn submit(world: &World) -> String {
    world.json(&NANO, 0)["id"].as_str().unwrap().to_owned()
}

fn train(world: &World) {
    let photos = photos();
    let photos = photos.to_str().unwrap();
    let args = ["train", "--name", "Di", "--age", "30", "--gender", "Female", "--images", photos];
    world.json(&args, 0);
}

/// One finished job, and the daemon stopped.
fn world_with_a_past() -> World {
    let mut world = World::new(&[]);
    world.serve();
    let id = submit(&world);
    world.json(&["wait", &id], 0);
    assert_eq!(world.stop(), Some(0));
    world
}

fn file(world: &World) -> PathBuf {
    world.data().join("highwater")
}

fn by_hand(world: &World, sql: &str) {
    let db = world.data().join("darkroom.db");
    let done = Command::new("sqlite3").arg(&db).arg(sql).status().unwrap();
    assert!(done.success(), "{sql}");
}

/// A whole copy of the database as it is now.
fn copy(world: &World) -> PathBuf {
    let copy = world.folder.path().join("yesterday.db");
    by_hand(world, &format!("vacuum into '{}'", copy.display()));
    copy
}

/// What a person does who copies an old database back.
fn put_back(world: &World, copy: &PathBuf) {
    let db = world.data().join("darkroom.db");
    for side in ["darkroom.db-wal", "darkroom.db-shm"] {
        let _ = std::fs::remove_file(world.data().join(side));
    }
    std::fs::copy(copy, db).unwrap();
}

fn jobs(world: &World) -> i64 {
    world.vendor.counts()[3]
}

/// The calls of one operation that the vendor has seen.
fn calls(world: &World, op: &str) -> i64 {
    let report = world.vendor.get("/_sim/requests");
    report["ops"][op]["calls"].as_i64().unwrap_or(0)
}

fn ready(world: &World) -> Value {
    world.get("/readyz")
}

fn doctor(world: &World, code: i32) -> String {
    world.json(&["doctor", "--offline"], code).to_string()
}

fn said(world: &World, args: &[&str], code: i32) -> String {
    let output = world.run(args);
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(code), "darkroom {}: {text}", args.join(" "));
    text
}

/// A quarantine of this class keeps new work from being sent; after a release it is sent, and a
/// restart finds nothing wrong any more.
fn closed_until_released(mut world: World, class: &str) {
    let before = jobs(&world);
    world.serve();
    world.until(CLASS, class);
    let id = submit(&world);
    assert_eq!(world.json(&["wait", &id], 4)["state"], "queued");
    assert!(doctor(&world, 1).contains("quarantine"));
    assert_eq!(world.stop(), Some(0));
    assert_eq!(jobs(&world), before, "nothing was bought");
    world.json(&["release", "--yes"], 0);
    world.serve();
    world.json(&["wait", &id], 0);
    assert_eq!(jobs(&world), before + 1);
    assert_eq!(world.stop(), Some(0));
    world.serve();
    let id = submit(&world);
    world.json(&["wait", &id], 0);
    assert_eq!(world.sql(FREE).as_deref(), Some("0"));
    assert!(!doctor(&world, 0).contains("quarantine"));
}

#[test]
fn yesterdays_database_watches_and_buys_nothing_until_it_is_released() {
    let mut world = World::new(&[]);
    world.vendor.post("/_sim/hold", &Value::Null);
    world.serve();
    let running = submit(&world);
    world.until("select state from jobs", "running");
    assert_eq!(world.stop(), Some(0));
    let queued = submit(&world);
    let yesterday = copy(&world);
    world.vendor.post("/_sim/release", &Value::Null);
    world.serve();
    world.json(&["wait", &running, &queued], 0);
    assert_eq!(world.stop(), Some(0));
    assert_eq!(jobs(&world), 2);

    put_back(&world, &yesterday);
    assert!(doctor(&world, 1).contains("would start in quarantine"), "before any start");
    world.serve();
    world.until(CLASS, "behind");
    // Watching goes on: the job that ran yesterday comes home.
    world.json(&["wait", &running], 0);
    assert_eq!(world.json(&["wait", &queued], 4)["state"], "queued");
    let why = world.sql(&format!("select why from job_status where id = '{queued}'")).unwrap();
    for part in ["nothing is sent", "older than its high-water file", "`darkroom release`"] {
        assert!(why.contains(part), "{why}");
    }
    assert_eq!(ready(&world)["quarantine"]["class"], "behind");
    assert!(said(&world, &["ls", "attention"], 0).contains("in quarantine"));
    assert!(said(&world, &["explain", &queued], 0).contains("darkroom release"));
    let found = doctor(&world, 1);
    assert!(found.contains("since") && found.contains("the high-water file has seen"), "{found}");
    // Neither a pause that is lifted nor a restart opens it.
    world.json(&["pause", "spending"], 0);
    world.json(&["resume", "spending"], 0);
    world.kill();
    world.serve();
    world.until("select count(*) from boots", "3");
    assert_eq!(world.sql(CLASS).as_deref(), Some("behind"));

    // Without a terminal and without --yes it only lists.
    let listed = world.json(&["release"], 2);
    assert_eq!(listed["released"], false);
    let claimed = |wanted: bool| {
        let all = listed["jobs"].as_array().unwrap();
        all.iter().filter(|job| job["claimed"] == wanted).count()
    };
    assert_eq!((claimed(true), claimed(false)), (1, 1), "{listed}");
    assert_eq!(listed["to_send"][0]["id"], queued.as_str());
    assert!(said(&world, &["release"], 2).contains("add --yes"));
    assert_eq!(jobs(&world), 2, "nothing was bought");

    // What was bought since waits for a person instead of being bought again.
    assert_eq!(listed["to_send"][0]["becomes"], "park");
    let bought = listed["to_send"][0]["candidates"][0].as_str().unwrap();
    let released = world.json(&["release", "--yes", "--reason", "compared"], 0);
    assert_eq!(released["released"], true);
    assert_eq!(world.json(&["show", &queued], 0)["state"], "attention");
    world.json(&["resolve", &queued, "--adopt", bought], 0);
    world.json(&["wait", &queued], 0);
    assert_eq!(jobs(&world), 2);
    let note = "select json_extract(note, '$.by') || ' ' || json_extract(note, '$.reason') \
                from chain where what = 'released'";
    assert_eq!(world.sql(note).as_deref(), Some("cli compared"));
    assert_eq!(world.stop(), Some(0));
    world.serve();
    let next = submit(&world);
    world.json(&["wait", &next], 0);
    assert_eq!(world.sql(FREE).as_deref(), Some("0"));
    assert!(doctor(&world, 0).contains("the high-water file has seen"));
}

#[test]
fn a_database_without_its_file_is_closed() {
    let world = world_with_a_past();
    std::fs::remove_file(file(&world)).unwrap();
    closed_until_released(world, "missing");
}

#[test]
fn a_file_that_says_nothing_closes_the_database() {
    for content in [&b""[..], b"rubbish", &[b'x'; 8192]] {
        let world = world_with_a_past();
        std::fs::write(file(&world), content).unwrap();
        closed_until_released(world, "missing");
    }
}

#[test]
fn an_empty_database_beside_an_old_file_is_closed() {
    let world = world_with_a_past();
    std::fs::remove_file(world.data().join("darkroom.db")).unwrap();
    assert!(doctor(&world, 1).contains("it was lost"));
    // One that was made where nothing was, and put here.
    let other = World::new(&[]);
    other.run(&NANO);
    put_back(&world, &copy(&other));
    by_hand(&world, "delete from jobs");
    closed_until_released(world, "behind");
}

#[test]
fn a_record_that_was_edited_by_hand_closes_the_database() {
    for edit in [
        "drop trigger chain_append_only_update; update chain set digest = 'x' where seq = 1",
        "drop trigger chain_append_only_delete; delete from chain where seq = 1",
        "update intents set request_hash = 'x'",
        "update intents set evidence = 'x'",
    ] {
        let world = world_with_a_past();
        by_hand(&world, edit);
        closed_until_released(world, "broken");
    }
}

#[test]
fn another_history_of_the_same_length_is_closed() {
    let mut world = world_with_a_past();
    // Else the list, which shows what the other history bought, closes it before the file can.
    world.configure("[account]\nexclusive = false\n");
    let (yesterday, mark) = (copy(&world), std::fs::read(file(&world)).unwrap());
    let one_more = |world: &mut World| {
        world.serve();
        let id = submit(world);
        world.json(&["wait", &id], 0);
        assert_eq!(world.stop(), Some(0));
        std::fs::read(file(world)).unwrap()
    };
    let first = one_more(&mut world);
    // Both put back, so that nothing is noticed, and then the file of the other history.
    put_back(&world, &yesterday);
    std::fs::write(file(&world), mark).unwrap();
    let second = one_more(&mut world);
    assert_ne!(first, second);
    std::fs::write(file(&world), first).unwrap();
    closed_until_released(world, "forked");
}

#[test]
fn damage_is_found_while_the_daemon_runs() {
    let mut world = World::new(&[]);
    world.configure("[sweep]\nevery = \"1s\"\n");
    world.serve();
    let id = submit(&world);
    world.json(&["wait", &id], 0);
    by_hand(&world, "update intents set request_hash = 'x'");
    world.until(CLASS, "broken");
    let id = submit(&world);
    world.json(&["wait", &id], 4);
    assert_eq!(jobs(&world), 1);
    // Released beside the running daemon, which notices and does not find the same thing again.
    world.json(&["release", "--yes"], 0);
    world.json(&["wait", &id], 0);
    let listed = calls(&world, "listJobs");
    eventually("two more sweeps", || (calls(&world, "listJobs") >= listed + 2).then_some(()));
    assert_eq!(world.sql(FREE).as_deref(), Some("0"));
}

#[test]
fn a_file_that_is_behind_is_normal() {
    let mut world = world_with_a_past();
    let before = std::fs::read(file(&world)).unwrap();
    world.serve();
    let id = submit(&world);
    world.json(&["wait", &id], 0);
    world.kill();
    // As if the daemon had been killed between the commit and the file.
    std::fs::write(file(&world), before).unwrap();
    world.serve();
    let id = submit(&world);
    world.json(&["wait", &id], 0);
    assert_eq!(world.sql(FREE).as_deref(), Some("0"));
    assert_eq!(jobs(&world), 3);
}

#[test]
fn without_a_mark_in_the_file_no_paid_call_goes_out() {
    let mut world = World::new(&[]);
    world.serve();
    world.until("select count(*) from boots", "1");
    std::fs::remove_file(file(&world)).unwrap();
    std::fs::create_dir(file(&world)).unwrap();
    let id = submit(&world);
    let why = eventually("the row says why", || {
        world.sql("select why from job_status where why like '%could not be written%'")
    });
    assert!(why.contains("a paid call does not go out"), "{why}");
    assert_eq!(jobs(&world), 0);
    let open = "select count(*) from intents where settled_at is null";
    assert_eq!(world.sql(open).as_deref(), Some("0"), "the lane is free again");
    std::fs::remove_dir(file(&world)).unwrap();
    world.json(&["wait", &id], 0);
    assert_eq!(jobs(&world), 1);
}

/// A finished job, a model and a running job; then the daemon is stopped.
fn world_of_an_account() -> World {
    let mut world = World::new(&[]);
    world.serve();
    train(&world);
    world.until("select state from trainings", "succeeded");
    let done = submit(&world);
    world.json(&["wait", &done], 0);
    world.vendor.post("/_sim/hold", &Value::Null);
    submit(&world);
    world.until("select count(*) from jobs where state = 'running'", "1");
    submit(&world);
    world.until("select count(*) from jobs where state = 'running'", "2");
    assert_eq!(world.stop(), Some(0));
    world
}

/// In quarantine for the account: no looks, no sends, nothing turned into "missing".
fn assert_left_alone(world: &World) {
    world.until(CLASS, "account");
    let ops = ["getJobStatus", "getModel", "listModels", "listJobs", "triggerImageGenerationJob"];
    let before: Vec<i64> = ops.iter().map(|op| calls(world, op)).collect();
    assert!(before.iter().sum::<i64>() < 60, "a storm: {before:?}");
    let why =
        "select count(*) from job_status where why like 'nothing is looked at: %another account%'";
    assert_eq!(world.sql(why).as_deref(), Some("2"));
    let id = submit(world);
    // Each of these takes longer than the poll interval.
    world.json(&["wait", &id], 4);
    assert!(doctor(world, 1).contains("another account"));
    assert!(said(world, &["ls"], 0).contains("in quarantine"));
    assert_eq!(ready(world)["account"], "another");
    let after: Vec<i64> = ops.iter().map(|op| calls(world, op)).collect();
    assert_eq!(after, before, "the vendor is left alone: {ops:?}");
    let touched = "select count(*) from jobs where state = 'running' and trouble_since is null";
    assert_eq!(world.sql(touched).as_deref(), Some("2"));
    world.json(&["cancel", &id], 0);
}

#[test]
fn another_accounts_key_is_noticed_and_the_right_one_mends_it() {
    let mut world = world_of_an_account();
    world.key = "another-account".to_owned();
    let polled = calls(&world, "getJobStatus");
    world.serve();
    assert_left_alone(&world);
    assert!(calls(&world, "getJobStatus") - polled <= 15);
    let bought = jobs(&world);
    assert_eq!(world.stop(), Some(0));
    world.key = "test-key".to_owned();
    world.vendor.post("/_sim/release", &Value::Null);
    world.serve();
    world.until("select count(*) from jobs where state = 'succeeded'", "3");
    assert_eq!(world.sql(FREE).as_deref(), Some("0"), "the right key lifts it");
    assert_eq!(jobs(&world), bought);
}

#[test]
fn another_vendor_is_noticed_and_a_release_lets_it_be() {
    let mut world = world_of_an_account();
    let elsewhere = world.folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let ours = std::mem::replace(&mut world.vendor, Vendor::start(&elsewhere, &[]));
    world.serve();
    assert_left_alone(&world);
    let reason = "select json_extract(value, '$.reason') from settings where name = 'quarantine'";
    let reason = world.sql(reason).unwrap();
    assert!(reason.contains(ours.api()) && reason.contains(world.vendor.api()), "{reason}");
    world.json(&["release", "--yes", "--reason", "moved"], 0);
    let id = submit(&world);
    world.json(&["wait", &id], 0);
    world.kill();
    world.serve();
    let id = submit(&world);
    world.json(&["wait", &id], 0);
    assert_eq!(world.sql(FREE).as_deref(), Some("0"), "what is unknown stays accepted");
    assert_eq!(jobs(&world), 2);
}

#[test]
fn a_vendor_that_forgets_single_jobs_is_no_other_account() {
    let mut world = World::new(&["--fault", "job-404"]);
    world.serve();
    submit(&world);
    world.until("select note like '%does not know it%' from jobs", "1");
    world.kill();
    world.serve();
    world.until("select count(*) from boots", "2");
    submit(&world);
    eventually("the next one is sent", || (jobs(&world) == 2).then_some(()));
    assert_eq!(world.sql(FREE).as_deref(), Some("0"), "the key is the same");
}

#[test]
fn a_restart_asks_for_one_known_id() {
    let mut world = world_with_a_past();
    let reads = ["getJobStatus", "listModels", "getModel"];
    let before: Vec<i64> = reads.iter().map(|op| calls(&world, op)).collect();
    world.serve();
    world.until(PROVED, "1");
    let after: Vec<i64> = reads.iter().map(|op| calls(&world, op)).collect();
    assert_eq!(after, [before[0] + 1, before[1], before[2]]);
}

#[test]
fn nothing_is_looked_at_while_the_account_is_not_known() {
    let mut world = world_with_a_past();
    world.vendor.fault(&["html=404@getJobStatus,times=3"]);
    let id = submit(&world);
    world.serve();
    let why = eventually("the row says so", || {
        world.sql("select why from job_status where why like '%is not clear yet%'")
    });
    assert!(why.starts_with("nothing is sent"), "{why}");
    assert_eq!(world.sql(FREE).as_deref(), Some("0"), "a stranger's 404 proves nothing");
    world.json(&["wait", &id], 0);
    let entered = "select count(*) from chain where what = 'released'";
    assert_eq!(world.sql(entered).as_deref(), Some("0"), "it opened by itself");
}

#[test]
fn release_is_refused_where_it_makes_no_sense() {
    let mut world = World::new(&[]);
    assert!(said(&world, &["release"], 2).contains("no darkroom database"));
    said(&world, &["release", "--nope"], 2);
    world.serve();
    let id = submit(&world);
    world.json(&["wait", &id], 0);
    assert!(said(&world, &["release"], 0).contains("nothing to release"));
    assert_eq!(world.json(&["release", "--yes"], 0)["quarantine"], Value::Null);
    let released = "select count(*) from chain where what = 'released'";
    assert_eq!(world.sql(released).as_deref(), Some("0"));
    assert_eq!(world.stop(), Some(0));

    std::fs::remove_file(file(&world)).unwrap();
    world.vendor.post("/_sim/down", &Value::Null);
    assert!(said(&world, &["release", "--yes"], 1).contains("--without-list"));
    assert_eq!(world.sql(released).as_deref(), Some("0"));
    assert_eq!(world.json(&["release", "--yes", "--without-list"], 0)["released"], true);
    assert_eq!(world.sql(released).as_deref(), Some("1"));
    assert!(said(&world, &["release"], 0).contains("nothing to release"));
}

/// What is bought goes into the file that everybody sees, or nothing is.
#[test]
fn a_database_that_is_replaced_under_the_daemon_ends_it() {
    let mut world = World::started(&[], "");
    world.json(&["wait", &world.order(&NANO)], 0);
    let path = world.data().join("darkroom.db");
    let aside = path.with_extension("aside");
    std::fs::rename(&path, &aside).unwrap();
    std::fs::copy(&aside, &path).unwrap();
    let ready = world.get("/readyz");
    assert_eq!(ready["ready"], false, "{ready}");
    let said = ready["database"].as_str().unwrap();
    assert!(said.contains("no longer the database that is open"), "{said}");
    assert_eq!(world.ended(), Some(6));
}

#[test]
fn no_new_database_is_made_where_one_was() {
    let mut world = World::started(&[], "");
    world.json(&["wait", &world.order(&NANO)], 0);
    world.stop();
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(world.data().join(format!("darkroom.db{suffix}")));
    }
    for args in [&["serve"][..], &NANO] {
        let out = world.run(args);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains("one was here") && said.contains("highwater"), "{said}");
    }
    assert!(!world.data().join("darkroom.db").exists());
}
