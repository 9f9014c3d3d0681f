//! A person's word about calls in doubt, and about jobs at the vendor that no row claims.

use crate::support::World;
use serde_json::{Value, json};

const NANO: [&str; 5] = ["image", "--model", "nanobanana", "--prompt", "a lost letter"];
const LOST_REPLY: [&str; 1] = ["lost-reply@triggerImageGenerationJob,times=1"];
const LOST_REQUEST: [&str; 1] = ["lost-request@triggerImageGenerationJob,times=1"];
const SHARED: &str = "[account]\nexclusive = false\n[sweep]\nevery = \"1s\"\n";

fn state(world: &World, id: &str, state: &str) {
    world.until(&format!("select state from jobs where id = '{id}'"), state);
}

fn book(world: &World) -> String {
    let book = "select paid_calls || ' calls: ' || accepted || ' accepted, ' || absent || \
                ' absent, ' || parked || ' parked' from spend_proof";
    world.sql(book).unwrap()
}

/// A parked row and its candidate.
fn parked(world: &World) -> (String, String) {
    let id = world.order(&NANO);
    state(world, &id, "attention");
    let candidate = "select remote_id from unclaimed where what = 'candidate'";
    (id, world.sql(candidate).unwrap())
}

/// Runs a command that is refused with this code; its sentence must hold these words.
#[track_caller]
fn refused(world: &World, args: &[&str], code: i32, words: &[&str]) {
    let output = world.run(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

#[test]
fn a_person_need_not_wait_for_a_call_in_doubt() {
    let world = World::started(&LOST_REQUEST, "");
    let id = world.order(&NANO);
    state(&world, &id, "in_doubt");
    let told = String::from_utf8_lossy(&world.run(&["explain", &id]).stdout).into_owned();
    assert!(told.contains("need not wait") && told.contains("version  "), "{told}");
    refused(&world, &["resolve", &id, "--abandon", "--version", "1"], 3, &["has moved"]);
    let done = world.json(&["resolve", &id, "--resubmit", "--why", "I saw the console"], 0);
    assert!(done["version"].as_i64().unwrap() > 2, "{done}");
    state(&world, &id, "succeeded");
    assert_eq!(world.vendor.counts(), [0, 0, 0, 1]);
    assert_eq!(book(&world), "2 calls: 1 accepted, 1 absent, 0 parked");
    let by = world.sql("select detail ->> '$.by' from events where cause = 'resubmit'").unwrap();
    assert!(by.ends_with("I saw the console"), "{by}");

    world.vendor.fault(&LOST_REQUEST);
    let id = world.order(&NANO);
    state(&world, &id, "in_doubt");
    world.json(&["resolve", &id, "--abandon"], 0);
    assert_eq!(book(&world), "3 calls: 1 accepted, 1 absent, 1 parked");
    refused(&world, &["resolve", &id, "--abandon"], 3, &["waits for a decision: it is failed"]);
}

#[test]
fn a_candidate_that_was_ruled_out_wrongly_is_booked_as_bought_twice() {
    let world = World::started(&LOST_REPLY, SHARED);
    let (id, remote) = parked(&world);
    refused(&world, &["resolve", &id, "--resubmit"], 3, &[&remote, "--adopt", "--not-this"]);
    refused(&world, &["resolve", &id, "--not-this", "nosuch"], 2, &["`darkroom ledger`", "nosuch"]);
    refused(&world, &["resolve", "--ours", "nosuch"], 2, &["nosuch"]);
    refused(&world, &["resolve", "--not-this", &remote], 2, &["<ID>"]);
    refused(&world, &["resolve", &id, "--ours", &remote], 2, &["cannot be used with"]);
    refused(&world, &["resolve", &id, "--not-this", " "], 2, &["needs the vendor's id"]);
    let other = world.order(&NANO);
    state(&world, &other, "succeeded");
    let done = world.sql(&format!("select remote_id from jobs where id = '{other}'")).unwrap();
    refused(&world, &["resolve", &id, "--not-this", &done], 3, &["belongs to another row", &other]);
    refused(&world, &["resolve", "--not-ours", &done], 3, &["belongs to another row", &other]);

    let said = world.json(&["resolve", &id, "--not-this", &remote, "--why", "another prompt"], 0);
    assert_eq!((&said["became"], &said["in_events"]), (&json!("not_this"), &json!(true)), "{said}");
    // Nothing stands in the way any more: the later job bears witness that the first never arrived.
    state(&world, &id, "succeeded");
    assert_eq!(world.vendor.counts(), [0, 0, 0, 3]);

    let said =
        String::from_utf8_lossy(&world.run(&["resolve", "--ours", &remote]).stdout).into_owned();
    assert!(said.contains("booked as bought twice"), "{said}");
    let ledger = world.json(&["ledger"], 0);
    assert_eq!(ledger["spend"]["bought_twice"], 1, "{ledger}");
    assert_eq!(ledger["unclaimed"][0]["what"], "bought_twice", "{ledger}");
    let shown = String::from_utf8_lossy(&world.run(&["ledger"]).stdout).into_owned();
    assert!(shown.contains("bought twice\t1 ("), "{shown}");
    assert_eq!(book(&world), "3 calls: 2 accepted, 1 absent, 0 parked");
}

#[test]
fn the_candidate_of_another_row_is_refused_and_ours_takes_it_over_for_its_own() {
    let world = World::started(&LOST_REPLY, SHARED);
    let (id, remote) = parked(&world);
    world.vendor.fault(&LOST_REQUEST);
    let other = world.order(&NANO);
    state(&world, &other, "in_doubt");
    let verb = format!("darkroom resolve {id} --not-this {remote}");
    refused(&world, &["resolve", &other, "--adopt", &remote], 3, &[&verb]);
    let said = world.json(&["resolve", "--ours", &remote], 0);
    assert_eq!((&said["became"], &said["row"]["id"]), (&json!("adopted"), &json!(id)), "{said}");
    state(&world, &id, "succeeded");
    world.json(&["resolve", &other, "--abandon"], 0);
    assert_eq!(world.vendor.counts(), [0, 0, 0, 1]);
    assert_eq!(book(&world), "2 calls: 1 accepted, 0 absent, 1 parked");
}

#[test]
fn jobs_of_others_are_asked_about_once() {
    let world = World::started(&[], "[sweep]\nevery = \"1s\"\n");
    let id = world.order(&NANO);
    state(&world, &id, "succeeded");
    world.vendor.post("/_sim/foreign", &json!({ "count": 2, "kind": "video", "time": "1ms" }));
    world.until("select count(*) from unclaimed where what = 'foreign'", "2");
    let asked = world.json(&["ls", "attention"], 0);
    let one = &asked[0];
    assert_eq!(
        (&one["id"], &one["kind"], &one["jobs"]),
        (&json!("foreign"), &json!("listed"), &json!(2))
    );
    assert_eq!(world.read("/v1/attention")["items"], asked);
    assert_eq!(world.read("/v1/health")["attention"], 1);
    assert_eq!(world.get("/readyz")["attention"], 1);
    let shown = String::from_utf8_lossy(&world.run(&["ls", "attention"]).stdout).into_owned();
    assert!(shown.contains("foreign\tlisted\tattention\t2 jobs of others"), "{shown}");
    let doctor = String::from_utf8_lossy(&world.run(&["doctor"]).stdout).into_owned();
    assert!(doctor.contains("1 thing needs a person: "), "{doctor}");
    let remote = world.sql("select remote_id from unclaimed where what = 'foreign'").unwrap();
    let path = format!("/v1/listed/{remote}/resolve");
    world.post(&path, json!({ "not_ours": true, "why": "my colleague" })).with(200);
    assert_eq!(world.json(&["ls", "attention"], 0), json!([]));
    let by = format!("select answered_by from unclaimed where remote_id = '{remote}'");
    assert_eq!(world.sql(&by).as_deref(), Some("api: my colleague"));
}

#[test]
fn the_verbs_over_http_are_those_of_the_command_line() {
    let world = World::started(&LOST_REPLY, SHARED);
    let (id, remote) = parked(&world);
    let path = format!("/v1/jobs/{id}/resolve");
    let resolve = |body: Value| world.post(&path, body);
    let version = world.read(&format!("/v1/jobs/{id}"))["version"].as_i64().unwrap();
    resolve(json!({ "not_this": remote, "resubmit": true })).refused(400, &["exactly one of"]);
    resolve(json!({ "not_this": "" })).refused(400, &["`not_this`", "no id of the vendor's"]);
    resolve(json!({ "not_this": "nosuch" })).refused(404, &["nosuch"]);
    resolve(json!({ "resubmit": true })).refused(409, &[&remote, "--not-this"]);
    let old = json!({ "not_this": remote, "version": version - 1 });
    resolve(old).refused(409, &["has moved", "look again"]);
    resolve(json!({ "abandon": true, "version": "1" })).refused(400, &["`version`"]);

    let listed =
        |remote: &str, body: Value| world.post(&format!("/v1/listed/{remote}/resolve"), body);
    listed(&remote, json!({})).refused(400, &["exactly one of `ours`"]);
    listed(&remote, json!({ "ours": true, "not_ours": true })).refused(400, &["exactly one of"]);
    listed("nosuch", json!({ "ours": true })).refused(404, &["nosuch"]);
    let submit = world.ask("POST", &format!("/v1/listed/{remote}/resolve")).scope("submit");
    submit.json(json!({ "ours": true })).send().refused(403, &["scope admin"]);

    let answer = || {
        let ask = world.ask("POST", &path).key("said once");
        ask.json(json!({ "not_this": remote, "version": version })).send().with(200)
    };
    let first = answer();
    assert_eq!((&first.body["became"], &first.body["row"]["id"]), (&json!("not_this"), &json!(id)));
    let again = answer();
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.body, first.body);
    world.until("select count(*) from not_this", "1");
    let done = listed(&remote, json!({ "not_ours": true })).with(200);
    assert_eq!(done.body["became"], "not_ours");
    assert_eq!(resolve(json!({ "resubmit": true })).with(200).body["state"], "queued");
    state(&world, &id, "succeeded");
    assert_eq!(book(&world), "2 calls: 1 accepted, 1 absent, 0 parked");
}
