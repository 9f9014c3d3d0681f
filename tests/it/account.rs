//! Whose account it is: another key, a vendor that forgets, and what a person says about it.

use crate::support::{World, eventually};
use serde_json::{Value, json};

const NANO: [&str; 5] = ["image", "--model", "nanobanana", "--prompt", "a kite"];
const CLASS: &str = "select json_extract(value, '$.class') from settings where name = 'quarantine'";
const FREE: &str = "select count(*) from settings where name = 'quarantine'";
const DIGEST: &str = "select json_extract(value, '$.digest') from settings where name = 'account'";
const OVER: &str = "select count(*) from work where state in ('failed', 'attention')";

fn jobs(world: &World) -> i64 {
    world.vendor.counts()[3]
}

fn calls(world: &World, op: &str) -> i64 {
    let report = world.vendor.get("/_sim/requests");
    report["ops"][op]["calls"].as_i64().unwrap_or(0)
}

#[test]
fn another_key_and_one_model_known_is_undecided_until_somebody_says_so() {
    let mut world = World::new(&[]);
    world.serve();
    world.order_training("Di");
    world.until("select state from trainings", "succeeded");
    assert_eq!(world.stop(), Some(0));
    let before = world.sql(DIGEST).unwrap();
    let counts = world.vendor.counts();
    world.key = "another-account".to_owned();
    world.serve();
    world.until(CLASS, "undecided");
    let id = world.order(&NANO);
    let photo = world.order_training("Dora");
    assert_eq!(world.json(&["wait", &id], 4)["state"], "queued");
    let why = world.sql(&format!("select why from job_status where id = '{id}'")).unwrap();
    for part in ["nothing is sent", "the key is another one", "`darkroom release`"] {
        assert!(why.contains(part), "{why}");
    }
    assert_eq!(world.get("/readyz")["account"], "undecided");
    assert_eq!(world.get("/readyz")["quarantine"]["class"], "undecided");
    let doctor = world.json(&["doctor", "--offline"], 1).to_string();
    assert!(doctor.contains("Is this your account?"), "{doctor}");
    assert_eq!(world.vendor.counts(), counts, "nothing was made, free or not: {photo}");
    assert_eq!(world.sql(OVER).as_deref(), Some("0"), "nothing was failed");
    assert_eq!(world.sql(DIGEST).as_ref(), Some(&before), "no digest of what is not ours");
    // Neither does a restart open it.
    world.kill();
    world.serve();
    world.until("select count(*) from boots", "3");
    assert_eq!(world.sql(CLASS).as_deref(), Some("undecided"));

    world.json(&["release", "--yes", "--reason", "a new key"], 0);
    world.json(&["wait", &id], 0);
    assert_eq!(jobs(&world), 1);
    let now = world.sql(DIGEST).unwrap();
    assert_ne!(now, before);
    world.kill();
    world.serve();
    let id = world.order(&NANO);
    world.json(&["wait", &id], 0);
    assert_eq!(world.sql(FREE).as_deref(), Some("0"), "it was said once");
    assert_eq!(world.sql(DIGEST), Some(now));
}

#[test]
fn what_an_undecided_account_does_not_know_is_not_lost() {
    let mut world = World::new(&[]);
    world.vendor.post("/_sim/hold", &Value::Null);
    world.serve();
    let id = world.order(&NANO);
    world.until("select state from jobs", "running");
    assert_eq!(world.stop(), Some(0));
    world.key = "another-account".to_owned();
    world.serve();
    world.until(CLASS, "undecided");
    let polled = calls(&world, "getJobStatus");
    eventually("it is looked at", || (calls(&world, "getJobStatus") > polled + 1).then_some(()));
    assert_eq!(world.sql("select state from jobs").as_deref(), Some("running"));
    assert_eq!(world.sql(OVER).as_deref(), Some("0"));
    assert_eq!(world.stop(), Some(0));
    world.key = "test-key".to_owned();
    world.vendor.post("/_sim/release", &Value::Null);
    world.serve();
    world.json(&["wait", &id], 0);
    assert_eq!(world.sql(FREE).as_deref(), Some("0"), "the right key lifts it");
    assert_eq!(jobs(&world), 1);
}

#[test]
fn the_same_key_is_the_same_account_whatever_the_vendor_forgets() {
    let mut world = World::new(&[]);
    world.serve();
    world.order_training("Di");
    world.until("select state from trainings", "succeeded");
    let id = world.order(&NANO);
    world.json(&["wait", &id], 0);
    assert_eq!(world.stop(), Some(0));
    world.vendor.post("/_sim/reset", &json!(null));
    world.serve();
    let id = world.order(&NANO);
    world.json(&["wait", &id], 0);
    assert_eq!(world.sql(FREE).as_deref(), Some("0"));
    assert_eq!(jobs(&world), 1, "the vendor has forgotten the first one");
    let noted = "select json_extract(value, '$.forgotten') is not null from settings \
                 where name = 'account'";
    assert_eq!(world.sql(noted).as_deref(), Some("1"));
}
