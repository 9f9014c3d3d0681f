//! A vendor that lies in one way, or in two at once: whatever it shows, no order is bought twice by
//! itself, no job is taken that is not the order's own, and in the end every row can be moved.
//!
//! What is true is read from the simulator's ledger. In each world two orders go well, then the
//! vendor begins to lie; one order's reply is lost, another one never arrives, and others go on.

use crate::support::{World, eventually};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One world.
struct Lies {
    /// How the vendor lies.
    faults: &'static [&'static str],
    /// From the very beginning; otherwise after two orders have gone well.
    early: bool,
    config: &'static str,
}

const fn early(faults: &'static [&'static str]) -> Lies {
    Lies { faults, early: true, config: "" }
}

const fn later(faults: &'static [&'static str]) -> Lies {
    Lies { faults, early: false, config: "" }
}

/// The account is known to be shared: the first stranger within minutes of a lost call is beyond
/// what any rule can know.
const fn shared(faults: &'static [&'static str]) -> Lies {
    Lies { faults, early: false, config: "[account]\nexclusive = false\n" }
}

/// What every change is held against; the rest is the deep suite's.
const FEW: &[Lies] = &[
    later(&["date-skew=20s"]),
    early(&["created-skew=9h"]),
    later(&["list-lag=0s..8s"]),
    later(&["list-frozen,for=14s"]),
    later(&["list-cut=1"]),
    early(&["token-number", "list-shuffled"]),
    later(&["list-empty=array"]),
    later(&["list-empty=missing"]),
    later(&["deliver-twice"]),
    later(&["list-lag=4s", "deliver-twice=1s,p=0.5"]),
];

const CLOCKS: &[Lies] = &[
    early(&["date-skew=2h"]),
    later(&["date-skew=-2h"]),
    later(&["date-skew=20s"]),
    early(&["created-skew=-2h"]),
    early(&["created-skew=9h"]),
    later(&["created-skew=-30h"]),
    early(&["filter-skew=-5h"]),
    later(&["filter-skew=3h"]),
    early(&["created-zoneless", "created-whole"]),
    early(&["created-missing"]),
    early(&["created-jitter=2s"]),
];

const LISTS: &[Lies] = &[
    early(&["list-lag=5s"]),
    later(&["list-lag=0s..8s"]),
    later(&["list-frozen,for=14s"]),
    later(&["list-lacks,p=0.4"]),
    later(&["list-drops=0.1"]),
    later(&["list-headless=1"]),
    later(&["list-cut=1"]),
    early(&["list-shuffled", "token-beside"]),
    early(&["token-number"]),
    later(&["token-object"]),
    later(&["list-loops"]),
    early(&["no-future-end"]),
    later(&["off-list=4s"]),
];

const EMPTY: &[Lies] = &[
    later(&["list-empty=array"]),
    later(&["list-empty=null"]),
    later(&["list-empty=missing"]),
    later(&["list-empty=no-result"]),
    later(&["list-empty=null-result"]),
    early(&["empty-as=null"]),
    early(&["empty-as=missing"]),
    early(&["empty-as=null-result"]),
];

const OTHERS: &[Lies] = &[
    shared(&["foreign=2s"]),
    shared(&["foreign-twin"]),
    later(&["deliver-twice"]),
    later(&["deliver-twice=3s"]),
    later(&["unauthorized,times=1@listJobs"]),
    later(&["unauthorized-bare,times=1@paid"]),
    early(&["media-no-ids,p=0.3", "odd-status,p=0.5"]),
];

const PAIRS: &[Lies] = &[
    early(&["created-skew=9h", "date-skew=-1h", "list-lag=2s"]),
    later(&["list-lag=4s", "deliver-twice,p=0.5"]),
    shared(&["list-cut=1", "foreign=3s"]),
    early(&["created-missing", "list-drops=0.1"]),
    early(&["no-future-end", "filter-skew=-5h"]),
    shared(&["list-frozen,for=10s", "foreign-twin,p=0.5"]),
    early(&["empty-as=null", "created-whole", "date-skew=1h"]),
    later(&["list-empty=array,for=8s", "deliver-twice=1s"]),
];

/// What the second imitation of the vendor did, and what else a reply may be; each with kills.
const KILLED_FEW: &[Lies] = &[
    later(&["bare-end=canceled,times=1"]),
    later(&["unauthorized,times=1@any"]),
    later(&["list-empty=no-result", "model-id-form=upper"]),
];

const KILLED: &[Lies] = &[
    early(&["date-skew=20s"]),
    later(&["date-skew=-2h"]),
    later(&["list-lag=5s"]),
    later(&["list-cut=1"]),
    later(&["token-beside"]),
    later(&["list-empty=null"]),
    later(&["status=500@listJobs"]),
    later(&["html@listJobs"]),
    later(&["odd-end=baked,p=0.5"]),
    later(&["bare-end=timed_out,p=0.3"]),
    later(&["odd-status=simmering"]),
    later(&["unauthorized,times=10@any"]),
    later(&["unauthorized-bare,times=1@paid"]),
    later(&["job-404=3"]),
    later(&["deliver-twice,p=0.5"]),
];

#[test]
fn whatever_the_vendor_shows_nothing_is_bought_twice() {
    all(FEW);
}

#[test]
fn nor_is_it_when_the_daemon_is_killed_in_the_middle() {
    all_with(KILLED_FEW, true);
}

#[test]
#[ignore = "deep suite: more worlds"]
fn killed_in_the_middle_of_any_of_them() {
    all_with(KILLED, true);
}

#[test]
#[ignore = "deep suite: more worlds"]
fn clocks_that_differ_or_step() {
    all(CLOCKS);
}

#[test]
#[ignore = "deep suite: more worlds"]
fn lists_that_are_late_or_lack_or_break() {
    all(LISTS);
}

#[test]
#[ignore = "deep suite: more worlds"]
fn lists_that_come_empty() {
    all(EMPTY);
}

#[test]
#[ignore = "deep suite: more worlds"]
fn others_doubles_and_ids() {
    all(OTHERS);
}

#[test]
#[ignore = "deep suite: more worlds"]
fn two_lies_at_once() {
    all(PAIRS);
}

fn all(worlds: &'static [Lies]) {
    all_with(worlds, false);
}

fn all_with(worlds: &'static [Lies], kills: bool) {
    let threads: Vec<_> =
        worlds.iter().map(|lies| (lies, std::thread::spawn(move || live(lies, kills)))).collect();
    let failed: Vec<String> = threads
        .into_iter()
        .filter_map(|(lies, thread)| thread.join().err().map(|_| lies.faults.join(" ")))
        .collect();
    assert!(failed.is_empty(), "in these worlds: {failed:#?}");
}

fn order(world: &World, prompt: &str) -> String {
    world.order(&["image", "--model", "nanobanana", "--prompt", prompt])
}

/// The row is not on its way to the vendor any more.
fn is_out(world: &World, id: &str) {
    let state = format!("select state from jobs where id = '{id}'");
    eventually(&format!("{id} is sent"), || {
        world.sql(&state).filter(|state| !["queued", "submitting"].contains(&state.as_str()))
    });
}

/// Kills the daemon once so many more things have happened, if it comes to that, and starts it again.
fn killed_after(world: &mut World, events: u32) {
    let count = |world: &World| -> u32 {
        world.sql("select count(*) from events").unwrap().parse().unwrap()
    };
    let until = count(world) + events;
    let rest = "select count(*) from jobs where finished_at is null \
                and state not in ('attention','in_doubt')";
    eventually("something happens, or nothing will", || {
        (count(world) >= until || world.sql(rest).as_deref() == Some("0")).then_some(())
    });
    world.kill();
    world.serve();
}

fn live(lies: &Lies, kills: bool) {
    let begin = if lies.early { lies.faults } else { &[] };
    let args: Vec<&str> = begin.iter().flat_map(|fault| ["--fault", fault]).collect();
    let mut world = World::new(&[&args[..], &["--page-size", "3"]].concat());
    world.configure(lies.config);
    for (name, value) in [("SETTLE", "1500ms"), ("RELIST", "250ms")] {
        world.env.push((format!("DARKROOM__DOUBT__{name}"), value.to_owned()));
    }
    world.env.push(("DARKROOM__SWEEP__EVERY".to_owned(), "1s".to_owned()));
    world.serve();
    for prompt in ["first", "second"] {
        order(&world, prompt);
    }
    world.until("select count(*) from jobs where state = 'succeeded'", "2");
    if !lies.early {
        world.vendor.fault(lies.faults);
    }
    world.vendor.fault(&["lost-reply@triggerImageGenerationJob,times=1"]);
    let arrived = order(&world, "arrived");
    // Where the list cannot be read, nothing is sent, which is right as well.
    let sends = sends_at_all(&world, &arrived);
    // The same points in each run, other ones in each world.
    let mut dice = lies.faults.iter().flat_map(|fault| fault.bytes()).map(u32::from).sum::<u32>();
    let mut kill = |world: &mut World| {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if kills {
            killed_after(world, (dice >> 16) % 6);
        }
    };
    kill(&mut world);
    if sends {
        let _after = order(&world, "third");
        world.vendor.fault(&["lost-request@triggerImageGenerationJob,times=1,skip=1"]);
        order(&world, "never");
        kill(&mut world);
        order(&world, "fourth");
    }
    kill(&mut world);
    kill(&mut world);
    come_to_rest(&world);
    check(&world, lies);
    heal(&world);
    check(&world, lies);
    all_else_is_shown(&world, lies);
}

/// What the vendor made for an order of ours, and no row has, is shown with what it may be.
fn all_else_is_shown(world: &World, lies: &Lies) {
    let rest = |world: &World| {
        let known = "select json_group_array(id) from (select lower(remote_id) as id from jobs \
             union select lower(remote_id) from unclaimed \
             where what in ('possible_duplicate','candidate','bought_twice'))";
        let known: Vec<String> = serde_json::from_str(&world.sql(known).unwrap()).unwrap();
        let rest: Vec<_> = made(world).into_iter().filter(|(id, _)| !known.contains(id)).collect();
        rest
    };
    eventually(&format!("{}: all is shown but {:?}", lies.faults.join(" "), rest(world)), || {
        rest(world).is_empty().then_some(())
    });
}

/// Whether an order goes out: after some refusals to look for it there is no hurry.
fn sends_at_all(world: &World, id: &str) -> bool {
    let state = format!("select state from jobs where id = '{id}'");
    let tries = format!("select failures from jobs where id = '{id}'");
    eventually("it goes out, or cannot", || {
        let state = world.sql(&state)?;
        let tries: i64 = world.sql(&tries)?.parse().ok()?;
        match state.as_str() {
            "submitting" => None,
            "queued" => (tries >= 3).then_some(false),
            _ => Some(true),
        }
    })
}

/// Nothing is left that moves by itself soon: each row has ended, waits for a person, has been
/// looked for longer than any absence takes, or could not be looked for several times.
fn come_to_rest(world: &World) {
    let moving = "select count(*) from jobs w where state in ('running','collecting','submitting') \
         or state = 'queued' and failures < 3 and not exists \
           (select 1 from intents i where i.lane_free_at is null) \
         or state = 'in_doubt' and failures < 4 and not exists (select 1 from intents i \
           where i.subject = w.id and i.settled_at is null and i.looking >= 7000)";
    world.until(moving, "0");
}

/// What the vendor really has, against what the rows say.
fn check(world: &World, lies: &Lies) {
    let name = lies.faults.join(" ");
    let ledger = world.vendor.ledger();
    let effects = ledger["effects"].as_array().unwrap();
    let prompts = made(world);
    let mut bought: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    let firsts = |effect: &&Value| effect["kind"] == "job" && effect["double_of"].is_null();
    for effect in effects.iter().filter(firsts) {
        bought.entry(effect["request"]["prompt"].as_str().unwrap()).or_default().push(effect);
    }
    for (prompt, effects) in &bought {
        assert_eq!(effects.len(), 1, "{name}: {prompt:?} was bought twice: {effects:?}");
    }
    all_are_their_own(world, &name, &prompts);
}

/// No row has a job that another order made, and no job belongs to two.
fn all_are_their_own(world: &World, name: &str, prompts: &BTreeMap<String, (String, bool)>) {
    let rows = "select json_group_array(json_object('prompt', prompt, 'remote', remote_id, \
                'state', state)) from jobs where remote_id is not null";
    let rows: Value = serde_json::from_str(&world.sql(rows).unwrap()).unwrap();
    for row in rows.as_array().unwrap() {
        let remote = row["remote"].as_str().unwrap().to_lowercase();
        let made = prompts.get(&remote).map(|(prompt, _)| json!(prompt));
        assert_eq!(made.as_ref(), Some(&row["prompt"]), "{name}: {row} is not its own");
    }
    let doubled = "select count(*) from (select lower(remote_id) as r from jobs \
                   where remote_id is not null group by r having count(*) > 1)";
    assert_eq!(world.sql(doubled).as_deref(), Some("0"), "{name}: two rows have one job");
}

/// Two calls lose their replies, their jobs are listed later than the settle time while others are at
/// once, and a third order is listed: what nobody can know may be bought twice, but the job that then
/// comes to light is not taken for the next order's.
#[test]
fn what_comes_to_light_late_is_not_taken_for_another_order() {
    let world = World::started(&[], "[sweep]\nevery = \"1s\"\n");
    for prompt in ["first", "second"] {
        order(&world, prompt);
    }
    world.until("select count(*) from jobs where state = 'succeeded'", "2");
    world.vendor.fault(&["lost-reply@triggerImageGenerationJob,times=2", "list-lag=8s,times=2"]);
    for prompt in ["third", "fourth", "fifth"] {
        order(&world, prompt);
    }
    let ended = "select count(*) from jobs where state not in ('succeeded','attention')";
    world.until(ended, "0");
    let late = "select count(*) from unclaimed where what in ('candidate','possible_duplicate')";
    let prompts = made(&world);
    all_are_their_own(&world, "listed late", &prompts);
    // Whatever no row has is shown.
    let rest = prompts.len()
        - world.sql("select count(remote_id) from jobs").unwrap().parse::<usize>().unwrap();
    world.until(late, &rest.to_string());
}

/// What the vendor has really made: by its id in lower case the prompt, and whether the network
/// delivered that request twice.
fn made(world: &World) -> BTreeMap<String, (String, bool)> {
    let ledger = world.vendor.ledger();
    let effects = ledger["effects"].as_array().unwrap().iter();
    let ours = effects.filter(|effect| effect["kind"] == "job" && effect["foreign"].is_null());
    let jobs = ours.map(|effect| {
        let prompt = effect["request"]["prompt"].as_str().unwrap().to_owned();
        let id = effect["id"].as_str().unwrap().to_lowercase();
        (id, (prompt, !effect["double_of"].is_null()))
    });
    jobs.collect()
}

/// The vendor tells the truth again, one more order goes well, and a person who knows the vendor's
/// own books decides what is left.
fn heal(world: &World) {
    world.vendor.clear_faults();
    world.vendor.post("/_sim/up", &json!({}));
    order(world, "last");
    let open = "select count(*) from jobs where finished_at is null \
                and state not in ('attention','in_doubt')";
    world.until(open, "0");
    come_to_rest(world);
    let waiting = "select json_group_array(json_array(id, prompt)) from jobs \
                   where state in ('attention','in_doubt') and remote_id is null";
    let mut said = String::new();
    for _ in 0..20 {
        let rows: Value = serde_json::from_str(&world.sql(waiting).unwrap()).unwrap();
        let Some(row) = rows.as_array().unwrap().first() else { break };
        let (id, prompt) = (row[0].as_str().unwrap(), row[1].as_str().unwrap());
        let ledger = world.vendor.ledger();
        let made = ledger["effects"]
            .as_array()
            .unwrap()
            .iter()
            .find(|effect| effect["kind"] == "job" && effect["request"]["prompt"] == prompt);
        let verdict = match made {
            Some(effect) => vec!["--adopt", effect["id"].as_str().unwrap()],
            None => vec!["--resubmit"],
        };
        // Refused when a later list was faster, or a sweep has not shown the job yet; or because of
        // what could be this row's or another's, which the refusal names: that is ruled out then.
        let told = world.run(&[&["resolve", id][..], &verdict].concat());
        let told = String::from_utf8_lossy(&told.stderr).into_owned();
        said.push_str(&format!("{prompt}: {verdict:?}: {told}\n"));
        let owner = told.split("darkroom resolve ").nth(1).and_then(|rest| rest.split(' ').next());
        let words = told.split([' ', ',', '`', '\'', '\n']);
        for named in words.filter(|word| word.starts_with("job_")) {
            world.run(&["resolve", owner.unwrap_or(id), "--not-this", named]);
        }
        is_out(world, id);
    }
    // What the vendor has said to have failed has ended as well.
    let left = "select group_concat(s.prompt || ' is ' || s.state || ': ' || s.why, char(10)) \
                from job_status s join jobs j using (id) \
                where s.state <> 'succeeded' and j.error_class is not 'vendor_failed'";
    let mut last = None;
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while std::time::Instant::now() < deadline {
        last = world.sql(left);
        if last.is_none() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("never ended: {}\na person said: {said}", last.unwrap_or_default());
}
