//! `kill -9` at many moments, and orderly restarts: the vendor's ledger shows each effect once.

use crate::support::{World, eventually, photos};

fn submit(world: &World) -> String {
    let photos = photos();
    let model = world.json(
        &[
            "train",
            "--name",
            "Ann",
            "--age",
            "30",
            "--gender",
            "Female",
            "--images",
            photos.to_str().unwrap(),
        ],
        0,
    );
    let id = model["id"].as_str().unwrap().to_owned();
    let image = world.json(&["image", "--model", &id, "--prompt", "a garden"], 0);
    let image = image["id"].as_str().unwrap();
    world.json(&["upscale", "--image", image], 0);
    world.json(&["video", "--model", "veo-3.1", "--prompt", "walking", "--first-frame", image], 0);
    id
}

const OPEN: &str = "select count(*) from work where finished_at is null";

fn assert_each_effect_once(world: &World) {
    let story = "select group_concat(seq || ' ' || substr(subject, -4) || ' ' || cause || ' ' || \
                 substr(detail, 1, 300), char(10)) from events where kind = 'job'";
    let listed = "select group_concat(seq || ' ' || remote_id || ' ' || first_seen_at || ' ' || \
                  coalesce(duplicate_of, '-') || ' ' || coalesce(claimed_by, '-') || ' ' || \
                  coalesce(record, '-'), char(10)) from listed_jobs";
    let told = || (world.sql(story).unwrap(), world.sql(listed).unwrap());
    assert_eq!(world.vendor.counts(), [1, 14, 1, 3], "{:#?}", told());
    let ledger = world.vendor.ledger();
    assert_eq!(ledger["train_calls"], 1, "the training was triggered once");
    let done = "select count(*) from work where state <> 'succeeded'";
    assert_eq!(world.sql(done).as_deref(), Some("0"));
    let lost = "select count(*) from intents where settled_at is null";
    assert_eq!(world.sql(lost).as_deref(), Some("0"));
}

/// The daemon dies after every few events, from the first to the last.
#[test]
fn killed_again_and_again_until_everything_is_done() {
    let mut world = World::new(&[]);
    submit(&world);
    let mut lives = 0;
    let mut reach = 20;
    while world.sql(OPEN).as_deref() != Some("0") {
        world.serve();
        reach += 4;
        let events = format!("select max(seq) >= {reach} from events");
        eventually("some events happen, or nothing is left to do", || {
            let enough = world.sql(&events).as_deref() == Some("1");
            (enough || world.sql(OPEN).as_deref() == Some("0")).then_some(())
        });
        reach = world.sql("select max(seq) from events").unwrap().parse().unwrap();
        world.kill();
        lives += 1;
        assert!(lives < 200, "it never ends");
    }
    assert!(lives > 10, "only {lives} lives: this proves little");
    assert_each_effect_once(&world);
}

/// In the middle of the training: the poll goes on at its own grid, and nothing is repeated.
#[test]
fn a_restart_in_the_middle_of_the_training_changes_nothing() {
    let mut world = World::new(&[]);
    submit(&world);
    world.vendor.post("/_sim/hold", &serde_json::json!({}));
    for round in 0..3 {
        world.serve();
        world.until("select state from trainings", "running");
        if round == 1 {
            assert_eq!(world.stop(), Some(0));
        } else {
            world.kill();
        }
    }
    let before = world.vendor.counts();
    assert_eq!(before, [1, 14, 1, 0]);
    world.vendor.post("/_sim/release", &serde_json::json!({}));
    world.serve();
    world.until(OPEN, "0");
    assert_each_effect_once(&world);
}

#[test]
fn a_second_daemon_on_the_same_folder_is_refused() {
    let mut world = World::new(&[]);
    world.serve();
    let second = world.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(2));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another darkroom daemon is running"), "{said}");
    world.kill();
    world.serve();
}

/// When the vendor was asked about the model, in its own milliseconds.
fn looks(world: &World) -> Vec<i64> {
    let calls = world.vendor.get("/_sim/requests?op=getModel");
    calls["last"].as_array().unwrap().iter().map(|call| call["at"].as_i64().unwrap()).collect()
}

/// Restarts do not make the daemon look more often than the interval allows.
#[test]
fn restarts_neither_poll_early_nor_lose_their_place() {
    let mut world = World::new(&[]);
    let config = world.folder.path().join("darkroom.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replacen("\"500ms\"", "\"3s\"", 1)).unwrap();
    submit(&world);
    world.vendor.post("/_sim/hold", &serde_json::json!({}));
    world.serve();
    world.until("select state from trainings", "running");
    let first = looks(&world).len();
    for _ in 0..3 {
        world.kill();
        world.serve();
    }
    eventually("two looks after the restarts", || (looks(&world).len() >= first + 2).then_some(()));
    let accepted: i64 = world.sql("select accepted_at from trainings").unwrap().parse().unwrap();
    let anchor: i64 = world.sql("select poll_anchor from trainings").unwrap().parse().unwrap();
    for at in looks(&world).into_iter().filter(|at| *at > accepted + 100) {
        let late = (at - anchor).rem_euclid(3_000);
        // A slow machine looks late; nothing makes it look early.
        assert!(at - anchor >= 3_000 && late < 2_000, "a look {late} ms off the grid");
    }
    world.kill();
}

/// A file whose times lie in the future, as after a clock that was set back two hours.
#[test]
fn a_clock_that_went_back_strands_nothing() {
    let mut world = World::new(&[]);
    world.json(&["image", "--model", "nanobanana", "--prompt", "a clock"], 0);
    let later = "update jobs set due_at = due_at + 7200000; \
                 insert into events (at, kind, subject, version, to_state, cause, actor, detail) \
                 select at + 7200000, 'job', 'x', 1, 'queued', 'created', 'test', '{}' \
                 from events limit 1";
    let db = world.data().join("darkroom.db");
    let done = std::process::Command::new("sqlite3").arg(&db).arg(later).status().unwrap();
    assert!(done.success());
    world.serve();
    world.until("select state from jobs", "succeeded");
    assert_eq!(world.vendor.counts(), [0, 0, 0, 1]);
}
