//! Events as pages and as a stream that misses nothing.

use super::{order, quiet};
use crate::support::World;
use crate::support::api::Streamed;
use serde_json::{Value, json};

fn newest(world: &World) -> i64 {
    world.sql("select coalesce(max(seq), 0) from events").unwrap().parse().unwrap()
}

/// Everything that has happened, by the pages.
fn all(world: &World) -> Vec<Value> {
    let mut out = Vec::new();
    let mut after = 0;
    loop {
        let page = world.read(&format!("/v1/events?after={after}&limit=7"));
        out.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next_after"].as_i64() else { return out };
        after = next;
    }
}

fn numbers(events: &[Streamed]) -> Vec<i64> {
    events.iter().map(|event| event.id).collect()
}

#[test]
fn pages_go_on_where_they_ended() {
    let world = World::started(&[], "");
    let job = order(&world);
    world.until("select state from jobs", "succeeded");
    let events = all(&world);
    let seqs: Vec<i64> = events.iter().map(|event| event["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, (1..=newest(&world)).collect::<Vec<_>>());
    let of = |query: &str| world.read(&format!("/v1/events?{query}"))["items"].clone();
    assert_eq!(of(&format!("subject={job}")), world.json(&["events", &job], 0));
    let outputs = of("kind=output");
    assert!(!outputs.as_array().unwrap().is_empty());
    assert!(outputs.as_array().unwrap().iter().all(|event| event["kind"] == "output"));
    let ask = |query: &str| world.ask("GET", &format!("/v1/events?{query}")).send();
    ask("kind=picture").refused(400, &["`kind`", "none of model, upload"]);
    ask("after=-1").refused(400, &["`after`"]);
    ask("subject=nothing").refused(404, &["there is no row `nothing`"]);
}

#[test]
fn a_stream_misses_nothing_across_a_restart() {
    let mut world = quiet();
    order(&world);
    let mut stream = world.ask("GET", "/v1/events?after=0").scope("read").stream();
    assert_eq!(stream.block().unwrap(), "retry: 2000");
    let mut seen = stream.until(newest(&world));
    assert_eq!(seen[0].event, "job.created");

    // Another process writes while the daemon runs.
    world.order(&["image", "--model", "nanobanana", "--prompt", "by a command"]);
    seen.extend(stream.until(newest(&world)));
    world.stop();
    assert!(stream.next().is_none(), "the daemon ends its streams when it stops");

    // And while it is down.
    world.order(&["image", "--model", "nanobanana", "--prompt", "while it is down"]);
    world.json(&["resume", "spending"], 0);
    world.serve();
    let last = seen.last().unwrap().id.to_string();
    let mut stream = world.ask("GET", "/v1/events?after=0").header("Last-Event-ID", &last).stream();
    world.until("select count(*) from jobs where state = 'succeeded'", "3");
    seen.extend(stream.until(newest(&world)));

    // Killed in mid-stream, with work going on.
    order(&world);
    world.kill();
    while let Some(event) = stream.next() {
        seen.push(event);
    }
    world.serve();
    let last = seen.last().unwrap().id.to_string();
    let mut stream = world.ask("GET", "/v1/events").header("Last-Event-ID", &last).stream();
    world.until("select count(*) from jobs where state = 'succeeded'", "4");
    seen.extend(stream.until(newest(&world)));

    assert_eq!(numbers(&seen), (1..=newest(&world)).collect::<Vec<_>>(), "each once, in order");
    let data: Vec<Value> = seen.iter().map(|event| event.data.clone()).collect();
    assert_eq!(data, all(&world));
    for event in &seen {
        let (kind, cause) = (event.data["kind"].as_str(), event.data["cause"].as_str());
        assert_eq!(event.event, format!("{}.{}", kind.unwrap(), cause.unwrap()));
    }
}

#[test]
fn a_stream_begins_now_and_may_choose() {
    let world = quiet();
    let first = order(&world);
    let mut now = world.ask("GET", "/v1/events").stream();
    let mut of_first = world.ask("GET", &format!("/v1/events?after=0&subject={first}")).stream();
    let mut models = world.ask("GET", "/v1/events?kind=model").stream();
    let second = order(&world);
    assert_eq!(now.next().unwrap().data["subject"], second);
    assert_eq!(of_first.next().unwrap().data["subject"], first);
    world.post(&format!("/v1/jobs/{first}/cancel"), json!({})).with(200);
    let cancelled = of_first.next().unwrap();
    assert_eq!(cancelled.data["subject"], first);
    assert_eq!(cancelled.data["to_state"], "cancelled");
    let person = json!({ "name": "Anna", "age": 27, "gender": "Female" });
    let model = world.post("/v1/models", person).with(202).id();
    assert_eq!(models.next().unwrap().data["subject"], model);
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    let world = quiet();
    order(&world);
    let with = |id: &str| {
        let ask = world.ask("GET", "/v1/events").header("Accept", "text/event-stream");
        ask.header("Last-Event-ID", id).send()
    };
    with("x").refused(400, &["Last-Event-ID is no number"]);
    with("-1").refused(400, &["Last-Event-ID is no number"]);
    with("99999999999999999999").refused(400, &["Last-Event-ID is no number"]);
    with("4711").refused(400, &["event 4711 has not happened yet, the newest is 1"]);
}

#[test]
fn streams_have_an_end_to_their_number() {
    let world = quiet();
    let open: Vec<_> = (0..64).map(|_| world.ask("GET", "/v1/events").stream()).collect();
    let ask = || world.ask("GET", "/v1/events").header("Accept", "text/event-stream").send();
    let refused = ask().refused(429, &["64 streams are open already"]);
    assert!(refused.header("retry-after").is_some());
    drop(open);
    crate::support::eventually("a stream can be opened", || {
        world.ask("GET", "/v1/events").try_stream().then_some(())
    });
}
