//! Cases that a reviewer or a user once met: each would have lost, hidden or bought something.

use crate::support::{World, eventually};
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

const NANO: [&str; 5] = ["image", "--model", "nanobanana", "--prompt", "a bridge"];

#[test]
fn a_reply_that_cannot_be_stored_at_once_is_stored_later() {
    let world = World::started(&["delay=2s@triggerImageGenerationJob,times=1"], "");
    world.order(&NANO);
    world.until("select state from jobs", "submitting");
    // Another program holds the database for longer than anybody waits for it (ten seconds).
    world.hold_database(Duration::from_secs(13));
    world.until("select state from jobs", "succeeded");
    assert_eq!(world.vendor.counts(), [0, 0, 0, 1]);
    let doubted = "select count(*) from events where to_state = 'in_doubt'";
    assert_eq!(world.sql(doubted).as_deref(), Some("0"), "the reply was kept, not looked for");
}

#[test]
fn a_training_in_doubt_on_a_busy_account_ends_with_a_person_and_frees_the_lane() {
    let world = World::started(
        &["lost-request@triggerModelTraining,times=1", "foreign=500ms", "job-time=600s"],
        "",
    );
    let training = world.order_training("Cy")["training_id"].as_str().unwrap().to_owned();
    // The looking goes on, the lane is open, and a person may end it.
    world.until("select count(*) from intents where asked is not null", "1");
    assert_eq!(world.sql("select state from trainings").as_deref(), Some("in_doubt"));
    world.until("select count(*) from intents where lane_free_at is null", "0");
    let wrong = world.run(&["resolve", &training, "--adopt", "nosuch"]);
    assert_eq!(wrong.status.code(), Some(3), "a training is adopted by its model only");
    // A stranger's job that shows no media yet could be its entry, so for that long it is refused.
    eventually("it may be sent again", || {
        world.run(&["resolve", &training, "--resubmit"]).status.success().then_some(())
    });
    world.until("select state from trainings", "succeeded");
    assert_eq!(world.vendor.ledger()["trainings"], 1);
}

#[test]
fn a_video_file_that_is_refused_for_a_moment_comes_home() {
    let world = World::started(&["hls-only,times=1"], "");
    let args = ["video", "--model", "grok-imagine-1.5", "--prompt", "waves", "--wait"];
    assert_eq!(world.json(&args, 0)["outputs"][0]["media_type"], "video/mp4");
}

#[test]
fn a_persons_pause_outlives_the_daemons_own() {
    let mut world = World::new(&["--api-key", "right"]);
    world.serve();
    world.order(&NANO);
    world.until("select count(*) from settings where name = 'pause.spending'", "1");
    world.json(&["pause", "spending", "--reason", "budget"], 0);
    world.stop();
    world.key = "right".to_owned();
    world.serve();
    world.until("select count(*) from settings where name = 'pause.watching'", "0");
    let reason =
        "select json_extract(value, '$.reason') from settings where name = 'pause.spending'";
    assert_eq!(world.sql(reason).as_deref(), Some("budget"));
    assert_eq!(world.vendor.counts(), [0, 0, 0, 0]);
}

#[test]
fn what_is_paid_for_comes_home_while_spending_is_paused() {
    let world = World::started(&[], "");
    world.vendor.post("/_sim/hold", &Value::Null);
    let id = world.order(&["video", "--model", "grok-imagine-1.5", "--prompt", "waves"]);
    world.until("select state from jobs", "running");
    world.json(&["pause", "spending", "--reason", "enough"], 0);
    world.vendor.post("/_sim/release", &Value::Null);
    world.json(&["wait", &id], 0);
}

#[test]
fn cancelling_a_running_job_buys_nothing_that_waits_for_it() {
    let world = World::started(&[], "");
    world.vendor.post("/_sim/hold", &Value::Null);
    let image = world.order(&NANO);
    world.order(&["upscale", "--image", &image]);
    world.until("select state from jobs where type = 'image'", "running");
    world.json(&["cancel", &image], 0);
    world.vendor.post("/_sim/release", &Value::Null);
    world.until("select count(*) from jobs where state = 'cancelled'", "2");
    assert_eq!(world.vendor.counts(), [0, 0, 0, 1]);
}

#[test]
fn reads_that_keep_failing_are_told() {
    let world = World::started(&["status=500@getJobStatus"], "");
    world.order(&NANO);
    eventually("the row says so", || {
        world.sql("select note from jobs where note like '%500%' and trouble_since is not null")
    });
    world.vendor.post("/_sim/reset", &Value::Null);
}

#[test]
fn a_job_that_stays_unknown_asks_a_person_in_the_end() {
    let mut world = World::new(&["--fault", "job-404"]);
    world.configure("[outputs]\ngive_up_after = \"1s\"\n");
    world.serve();
    let id = world.order(&NANO);
    world.json(&["wait", &id], 4);
    assert_eq!(world.sql("select error_class from jobs").as_deref(), Some("missing"));
    assert_eq!(world.vendor.counts(), [0, 0, 0, 1]);
}

#[test]
fn one_update_of_a_model_does_not_undo_another() {
    let world = World::started(&[], "");
    let model = world.order_training("Cy")["id"].as_str().unwrap().to_owned();
    world.json(&["model", "update", &model, "--name", "Cyd"], 0);
    world.json(&["model", "update", &model, "--age", "31", "--wait"], 0);
    world.until("select name || age from models", "Cyd31");
    let last = "select json_extract(fields, '$.name') from changes order by id desc limit 1";
    assert_eq!(world.sql(last).as_deref(), Some("Cyd"));
}

#[test]
fn a_job_the_vendor_failed_is_bought_again_only_on_demand() {
    let world = World::started(&["job-failed,times=1"], "");
    let id = world.order(&NANO);
    world.json(&["wait", &id], 3);
    let said = world.run(&["retry", &id]);
    assert_eq!(said.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&said.stderr).contains("--resubmit"));
    world.json(&["retry", &id, "--resubmit"], 0);
    world.until("select count(*) from jobs where state = 'succeeded'", "1");
    assert_eq!(world.vendor.counts(), [0, 0, 0, 2]);
}

#[test]
fn another_programs_database_is_left_alone() {
    let world = World::new(&[]);
    std::fs::create_dir(world.data()).unwrap();
    let db = world.data().join("darkroom.db");
    let made = Command::new("sqlite3").arg(&db).arg("create table x(a)").status().unwrap();
    assert!(made.success());
    let before = std::fs::read(&db).unwrap();
    for args in [&["ls"][..], &["serve", "--listen", "127.0.0.1:0"], &NANO] {
        let said = world.run(args);
        assert_ne!(said.status.code(), Some(0), "{args:?}");
        assert!(String::from_utf8_lossy(&said.stderr).contains("another program"), "{args:?}");
    }
    assert_eq!(std::fs::read(&db).unwrap(), before);
}

#[test]
fn an_orderly_stop_leaves_one_whole_file() {
    let mut world = World::new(&[]);
    world.serve();
    let id = world.order(&NANO);
    world.json(&["wait", &id], 0);
    assert_eq!(world.stop(), Some(0));
    let log = world.data().join("darkroom.db-wal");
    assert!(std::fs::metadata(&log).map_or(0, |file| file.len()) == 0, "the log is folded back");
}
