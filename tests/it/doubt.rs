//! Lost replies to paid calls: found, surely absent, or left to a person; never bought twice on a
//! guess, and what was bought twice all the same is reported.

use crate::support::{World, eventually};
use serde_json::{Value, json};

const NANO: [&str; 5] = ["image", "--model", "nanobanana", "--prompt", "a lost letter"];

fn order(world: &World) -> String {
    world.order(&NANO)
}

fn events(world: &World, cause: &str) -> String {
    world.sql(&format!("select count(*) from events where cause = '{cause}'")).unwrap()
}

/// A job that the vendor takes and its list shows: a witness.
fn order_well(world: &World) -> String {
    let id = order(world);
    world.until(&format!("select state from jobs where id = '{id}'"), "succeeded");
    id
}

/// All jobs have ended well.
fn until_all_are_home(world: &World) {
    world.until("select count(*) from jobs where state <> 'succeeded'", "0");
}

/// The whole book in one line.
fn book(world: &World) -> String {
    world
        .sql(
            "select paid_calls || ' calls: ' || accepted || ' accepted, ' || absent || \
             ' absent, ' || parked || ' parked, difference ' || difference || ', unclaimed ' || \
             unclaimed from spend_proof",
        )
        .unwrap()
}

#[test]
fn a_lost_reply_is_found_by_the_next_listing() {
    let world = World::started(&["lost-reply@triggerImageGenerationJob,times=1"], "");
    let id = order(&world);
    world.until("select state from jobs", "succeeded");
    assert_eq!(events(&world, "found"), "1");
    assert_eq!(events(&world, "look_again"), "0", "one listing is enough");
    assert_eq!(world.vendor.counts(), [0, 0, 0, 1]);
    assert_eq!(book(&world), "1 calls: 1 accepted, 0 absent, 0 parked, difference 0, unclaimed 0");
    let told = world.run(&["explain", &id]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("found") && told.contains("could be it"), "{told}");
}

#[test]
fn a_call_that_never_arrived_is_sent_again_once_a_later_job_bears_witness() {
    let world = World::started(&[], "");
    order_well(&world);
    world.vendor.fault(&["lost-request@triggerImageGenerationJob,times=1"]);
    let lost = order(&world);
    world.until(&format!("select state from jobs where id = '{lost}'"), "in_doubt");
    // The lane opens for it long before the other one is settled.
    order(&world);
    until_all_are_home(&world);
    assert_eq!(events(&world, "absent"), "1");
    assert_eq!(world.vendor.counts(), [0, 0, 0, 3]);
    let absent = "select looking from intents where outcome = 'absent'";
    let looking: i64 = world.sql(absent).unwrap().parse().unwrap();
    assert!(looking >= 3_000, "{looking}");
    let fresh = "select fresh from intents where outcome = 'absent'";
    assert_eq!(world.sql(fresh).as_deref(), Some("1"));
    assert_eq!(book(&world), "4 calls: 3 accepted, 1 absent, 0 parked, difference 0, unclaimed 0");
}

#[test]
fn without_a_later_job_it_takes_four_times_as_long() {
    let world = World::started(&[], "");
    order_well(&world);
    world.vendor.fault(&["lost-request@triggerImageGenerationJob,times=1"]);
    order(&world);
    until_all_are_home(&world);
    assert_eq!(world.vendor.counts(), [0, 0, 0, 2]);
    let absent = "select looking from intents where outcome = 'absent'";
    let looking: i64 = world.sql(absent).unwrap().parse().unwrap();
    assert!(looking >= 12_000, "{looking}");
}

/// A fresh account has no witness: the call stays in doubt, everything else goes on, and the next
/// job settles it.
#[test]
fn on_a_fresh_account_the_next_accepted_job_settles_it() {
    let world = World::started(&["lost-request@triggerImageGenerationJob,times=1"], "");
    order(&world);
    world.until("select looks >= 8 and looking >= 3000 from intents", "1");
    assert_eq!(world.sql("select state from jobs").as_deref(), Some("in_doubt"));
    let why = world.sql("select why from job_status").unwrap();
    assert!(why.contains("bear witness"), "{why}");
    order(&world);
    until_all_are_home(&world);
    assert_eq!(world.vendor.counts(), [0, 0, 0, 2]);
}

#[test]
fn a_list_that_lags_less_than_the_settle_time_is_waited_for() {
    let world =
        World::started(&["lost-reply@triggerImageGenerationJob,times=1", "list-lag=1500ms"], "");
    order(&world);
    world.until("select state from jobs", "succeeded");
    assert_eq!((events(&world, "found"), events(&world, "absent")), ("1".into(), "0".into()));
    assert_eq!(world.vendor.counts(), [0, 0, 0, 1]);
}

/// A list that is late proves nothing, however late it is: it does not show our other jobs either.
#[test]
fn a_list_that_lags_beyond_the_settle_time_buys_nothing_twice() {
    let world = World::started(&[], "[sweep]\nevery = \"1s\"\n");
    order_well(&world);
    world.vendor.fault(&["list-lag=12s", "lost-reply@triggerImageGenerationJob,times=1"]);
    let lost = order(&world);
    world.until(&format!("select state from jobs where id = '{lost}'"), "in_doubt");
    order(&world);
    world.until("select count(*) from jobs where state not in ('succeeded','attention')", "0");
    assert_eq!(world.vendor.counts(), [0, 0, 0, 3]);
    assert_eq!(events(&world, "absent"), "0");
    // Seen when one of the two is listed and the other is not yet, it may be a person's.
    match world.sql("select error from jobs where state = 'attention'") {
        None => assert_eq!(events(&world, "found"), "1"),
        Some(why) => assert!(why.contains("may be the"), "{why}"),
    }
}

/// Nobody can know that the vendor will carry a call out later; but it is said, with what it cost.
#[test]
fn what_the_vendor_carries_out_late_is_bought_twice_and_reported() {
    let world = World::started(&[], "[sweep]\nevery = \"1s\"\n");
    order_well(&world);
    world.vendor.fault(&["late-accept=15s@triggerImageGenerationJob,times=1"]);
    let lost = order(&world);
    world.until(&format!("select state from jobs where id = '{lost}'"), "in_doubt");
    order(&world);
    until_all_are_home(&world);
    let duplicate = "select what from unclaimed where what <> 'open'";
    world.until(duplicate, "possible_duplicate");
    assert_eq!(world.vendor.counts(), [0, 0, 0, 4]);
    assert_eq!(world.sql("select subject from unclaimed"), Some(lost));
    let ledger = world.json(&["ledger"], 0);
    assert_eq!(ledger["spend"]["unclaimed"], json!(1), "{ledger}");
    assert!(ledger["unclaimed"][0]["credits"].as_f64().unwrap() > 0.0, "{ledger}");
    assert_eq!(
        world.sql("select count(*) from settings where name = 'account.shared'").unwrap(),
        "0"
    );
    let doctor = world.run(&["doctor"]);
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.contains("duplicates of ours"), "{doctor}");
    assert!(doctor.contains("carried out a call late before"), "{doctor}");
}

/// The vendor took the call after it had been declared absent, but before it was sent again.
#[test]
fn what_comes_to_light_before_it_is_sent_again_is_taken_over() {
    let world = World::started(&[], "");
    order_well(&world);
    world.vendor.fault(&["late-accept=10s@triggerImageGenerationJob,times=1"]);
    let lost = order(&world);
    world.until(&format!("select state from jobs where id = '{lost}'"), "in_doubt");
    order_well(&world);
    eventually("it is taken for absent", || (events(&world, "absent") == "1").then_some(()));
    world.run(&["pause", "spending", "--reason", "until the late one is there"]);
    // Made so close to the other one it could be that one's double, and a person would be asked.
    world.vendor.fault(&["created-skew=3m,times=1"]);
    eventually("the vendor carries it out", || (world.vendor.counts()[3] == 3).then_some(()));
    world.run(&["resume", "spending"]);
    until_all_are_home(&world);
    assert_eq!(world.vendor.counts(), [0, 0, 0, 3]);
    assert_eq!(events(&world, "found"), "1");
    assert_eq!(book(&world), "3 calls: 3 accepted, 0 absent, 0 parked, difference 0, unclaimed 0");
}

/// Looks that fail, and a list before a call that cannot be read, are a person's after a while; both
/// go on by themselves once the list is one again.
#[test]
fn a_list_that_cannot_be_read_is_told_and_asked_about() {
    let mut world = World::new(&[]);
    world.configure("");
    world.env.push(("DARKROOM__DOUBT__GIVE_UP".to_owned(), "1s".to_owned()));
    world.serve();
    order_well(&world);
    world.vendor.fault(&["lost-reply@triggerImageGenerationJob,times=1", "html@listJobs"]);
    let lost = order(&world);
    let asked = |reason| format!("select count(*) from attention where reason = '{reason}'");
    world.until(&asked("asked"), "1");
    let why = world.sql("select why from attention where reason = 'asked'").unwrap();
    assert!(why.contains("looking for it has failed for"), "{why}");
    assert_eq!(
        world.sql(&format!("select state from jobs where id = '{lost}'")).unwrap(),
        "in_doubt"
    );
    // After a start there is no list from before.
    world.kill();
    world.serve();
    order(&world);
    world.until(&asked("unreadable"), "1");
    let told = world.get("/readyz")["list"].as_str().unwrap().to_owned();
    assert_ne!(told, "ok");
    let doctor = world.json(&["doctor", "--offline"], 0).to_string();
    assert!(doctor.contains("has been unreadable for") && doctor.contains(&told), "{doctor}");
    world.vendor.clear_faults();
    until_all_are_home(&world);
    assert_eq!(world.vendor.counts(), [0, 0, 0, 3]);
    assert_eq!(world.sql("select count(*) from attention").as_deref(), Some("0"));
    assert_eq!(world.get("/readyz")["list"], "ok");
}

#[test]
fn on_a_shared_account_nothing_is_guessed_and_a_person_decides_by_the_evidence() {
    let world = World::started(
        &["lost-reply@triggerImageGenerationJob,times=1"],
        "[account]\nexclusive = false\n",
    );
    let id = order(&world);
    world.until("select state from jobs", "attention");
    assert_eq!(world.vendor.counts(), [0, 0, 0, 1], "nothing is sent again by itself");
    assert_eq!(world.sql("select what from unclaimed").as_deref(), Some("candidate"));
    let explained = world.json(&["explain", &id], 0);
    let seen = &explained["intent"]["evidence"]["seen"];
    assert_eq!(seen["exclusive"], json!(false), "{explained}");
    assert_eq!(seen["candidates"][0]["fit"], json!("could be it"), "{explained}");
    let told = String::from_utf8_lossy(&world.run(&["explain", &id]).stdout).into_owned();
    assert!(told.contains("credits; could be it") && told.contains("--adopt"), "{told}");

    // The lane is open meanwhile, and nobody else takes the candidate.
    let other = order(&world);
    world.until(&format!("select state from jobs where id = '{other}'"), "succeeded");
    let remote = seen["candidates"][0]["remote_id"].as_str().unwrap().to_owned();
    let wrong = world.run(&["resolve", &id, "--adopt", "no-such-job"]);
    assert_eq!(wrong.status.code(), Some(3), "{}", String::from_utf8_lossy(&wrong.stderr));
    world.json(&["resolve", &id, "--adopt", &remote, "--why", "same prompt"], 0);
    world.until(&format!("select state from jobs where id = '{id}'"), "succeeded");
    assert_eq!(world.vendor.counts(), [0, 0, 0, 2]);
    let by = world.sql("select json_extract(detail, '$.by') from events where cause = 'adopt'");
    assert!(by.unwrap().ends_with("same prompt"));
    assert_eq!(book(&world), "2 calls: 2 accepted, 0 absent, 0 parked, difference 0, unclaimed 0");
}

#[test]
fn a_foreign_job_makes_the_account_shared_and_is_listed_with_its_credits() {
    let world = World::started(&[], "[sweep]\nevery = \"1s\"\n");
    order(&world);
    world.until("select state from jobs", "succeeded");
    // A picture so soon after ours could be the double of our request.
    world.vendor.post("/_sim/foreign", &json!({ "kind": "video" }));
    world.until("select count(*) from settings where name = 'account.shared'", "1");
    assert_eq!(world.sql("select what from unclaimed").as_deref(), Some("foreign"));
    world.vendor.fault(&["lost-reply@triggerImageGenerationJob,times=1"]);
    let id = order(&world);
    world.until(&format!("select state from jobs where id = '{id}'"), "attention");
    assert_eq!(world.vendor.counts(), [0, 0, 0, 2]);
}

/// An outage after the lost reply does not count as "the vendor was looked at and had nothing".
#[test]
fn an_outage_stops_the_settle_time() {
    let world = World::started(&[], "");
    order_well(&world);
    world.vendor.fault(&["lost-request@triggerImageGenerationJob,times=1"]);
    let lost = order(&world);
    world.until(&format!("select state from jobs where id = '{lost}'"), "in_doubt");
    world.vendor.fault(&["status=503@listJobs"]);
    let of = |column: &str| {
        world.sql(&format!("select {column} from intents where subject = '{lost}'")).unwrap()
    };
    eventually("a look fails", || (of("missed") == "1").then_some(()));
    let before = of("looking");
    // Failing looks back off; a few of them pass before the vendor is well again.
    let failed = "select count(*) from events where cause = 'look_failed'";
    eventually("several looks failed", || {
        world.sql(failed)?.parse::<i64>().ok().filter(|count| *count >= 3)
    });
    assert_eq!(of("looking"), before, "time in which looks failed does not count");
    world.vendor.clear_faults();
    order(&world);
    until_all_are_home(&world);
    assert_eq!(world.vendor.counts(), [0, 0, 0, 3]);
}

/// How late the vendor's list is: measured by itself while the settle time is automatic.
#[test]
fn the_lag_of_the_list_is_measured_and_kept() {
    let mut world = World::new(&["--fault", "list-lag=4s"]);
    let text = std::fs::read_to_string(world.folder.path().join("darkroom.toml")).unwrap();
    let text = text.replace("settle = \"3s\"", "settle = \"auto\"");
    std::fs::write(world.folder.path().join("darkroom.toml"), text).unwrap();
    world.serve();
    order(&world);
    let samples =
        "select json_extract(value, '$.samples') from settings where name = 'listing.lag'";
    world.until(samples, "1");
    let longest = samples.replace("samples", "longest[0]");
    let lag = world.sql(&longest).unwrap().parse::<i64>().unwrap();
    assert!((500..30_000).contains(&lag), "the last list that missed it: {lag}");
    // A second daemon knows it still.
    world.kill();
    world.serve();
    assert_eq!(world.sql(samples).as_deref(), Some("1"));
}

/// No rule compares a time of the vendor's with one of ours.
#[test]
fn a_vendor_without_a_date_and_with_another_clock_is_not_paid_twice() {
    for skew in ["-9h", "-30s", "9h"] {
        let mut world = World::new(&[
            "--no-date",
            "--clock-skew",
            skew,
            "--fault",
            "lost-reply@triggerImageGenerationJob,times=1",
        ]);
        world.serve();
        order(&world);
        world.until("select state from jobs", "succeeded");
        assert_eq!(world.vendor.counts(), [0, 0, 0, 1], "{skew}");
        assert_eq!(events(&world, "look_again"), "0", "{skew}: one list is enough");
    }
}

/// Parked on the way to being sent again: its money is held, and a retry does not buy blindly.
#[test]
fn what_comes_to_light_late_on_a_shared_account_is_held_and_not_bought_by_a_retry() {
    let world = World::started(&[], "[account]\nexclusive = false\n");
    order_well(&world);
    world.vendor.fault(&["late-accept=10s@triggerImageGenerationJob,times=1"]);
    let id = order(&world);
    world.until(&format!("select state from jobs where id = '{id}'"), "in_doubt");
    order_well(&world);
    eventually("it is taken for absent", || (events(&world, "absent") == "1").then_some(()));
    world.run(&["pause", "spending", "--reason", "until the late one is there"]);
    eventually("the vendor carries it out", || (world.vendor.counts()[3] == 3).then_some(()));
    world.run(&["resume", "spending"]);
    world.until(&format!("select state from jobs where id = '{id}'"), "attention");
    let outcome = format!("select outcome from ledger where subject = '{id}'");
    assert_eq!(world.sql(&outcome).as_deref(), Some("parked"));
    assert_eq!(world.sql("select what from unclaimed").as_deref(), Some("candidate"));
    world.json(&["resolve", &id, "--abandon"], 0);
    let again = world.run(&["retry", &id]);
    assert_eq!(again.status.code(), Some(3), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(world.vendor.counts(), [0, 0, 0, 3]);
}

/// What others make on the account adds up: each of it is read until it is sure to stay as it is,
/// not at every look.
#[test]
fn the_ended_jobs_of_others_are_not_read_at_every_look() {
    let mut world = World::new(&[]);
    let config = "[poll]\njob = \"20ms\"\n\
                  [doubt]\nsettle = \"2s\"\nrelist = \"100ms\"\n\
                  [limits]\nrequests_per_second = 200\n[account]\nexclusive = false\n";
    std::fs::write(world.config_path(), config).unwrap();
    world.serve();
    order_well(&world);
    world.vendor.fault(&["lost-request@triggerImageGenerationJob,times=1"]);
    let lost = order(&world);
    world.until(&format!("select state from jobs where id = '{lost}'"), "in_doubt");
    let asked = json!({ "count": 8, "kind": "video", "time": "1ms" });
    let foreign = world.vendor.post("/_sim/foreign", &asked)["jobs"].clone();
    until_all_are_home(&world);
    assert_eq!(events(&world, "absent"), "1");
    let looks = world.sql("select looks from intents where outcome = 'absent'").unwrap();
    assert!(
        looks.parse::<i64>().unwrap() >= 7,
        "2 s, and at most 300 ms count between two: {looks}"
    );
    let reads = world.vendor.get("/_sim/requests?op=getJobStatus")["last"].clone();
    for id in foreign.as_array().unwrap() {
        let path = format!("/{}", id.as_str().unwrap());
        let ours = |read: &&Value| read["path"].as_str().unwrap().ends_with(&path);
        let count = reads.as_array().unwrap().iter().filter(ours).count();
        // At 0, 100 and 200 ms, and once more after 12 poll intervals.
        assert!((1..=4).contains(&count), "{path} was read {count} times in {looks} looks");
    }
}
