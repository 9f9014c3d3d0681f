//! Lists, rows and stories: the same as on the command line.

use super::{order, quiet};
use crate::support::World;
use serde_json::{Value, json};

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

/// A world with a row of each kind, all at rest.
fn full() -> World {
    let world = World::started(&[], "");
    let training = world.order_training("Anna");
    let model = training["id"].as_str().unwrap().to_owned();
    world.until("select count(*) from trainings where state = 'succeeded'", "1");
    world.post("/v1/jobs", json!({ "type": "image", "model": "Anna", "prompt": "in a kitchen" }));
    let recipe = "[[step]]\nname = \"hero\"\ntype = \"image\"\nmodel = \"nanobanana\"\n\
                  prompt = \"a bottle\"\n";
    world.post("/v1/runs", json!({ "recipe": recipe })).with(202);
    world.until("select count(*) from jobs where state = 'succeeded'", "2");
    let path = format!("/v1/models/{model}");
    world.ask("PATCH", &path).json(json!({ "age": 31 })).send().with(202);
    world.until("select count(*) from changes where state = 'succeeded'", "1");
    world
}

#[test]
fn rows_and_stories_are_those_of_the_command_line() {
    let world = full();
    for plural in ["models", "uploads", "trainings", "jobs", "outputs", "changes", "runs"] {
        let page = world.read(&format!("/v1/{plural}"));
        assert_eq!(page["items"], world.json(&["ls", plural], 0), "{plural}");
        assert_eq!(page["next_cursor"], Value::Null);
        let id = ids(&page)[0].clone();
        let one = world.read(&format!("/v1/{plural}/{id}"));
        assert_eq!(one, world.json(&["show", &id], 0), "{plural}");
        let story = world.read(&format!("/v1/{plural}/{id}/explain"));
        assert_eq!(story, world.json(&["explain", &id], 0), "{plural}");
        let events = world.read(&format!("/v1/{plural}/{id}/events"));
        assert_eq!(events["items"], world.json(&["events", &id], 0), "{plural}");
    }
    let ledger = world.read("/v1/ledger");
    assert_eq!(ledger, world.json(&["ledger"], 0));
    assert_eq!(ledger["spend"]["paid_calls"], 3);
    assert_eq!(ledger["balances"], true);
}

#[test]
fn filters_choose() {
    let world = full();
    let count = |query: &str| ids(&world.read(&format!("/v1/{query}"))).len();
    assert_eq!(count("jobs"), 2);
    assert_eq!(count("jobs?model=Anna"), 1);
    assert_eq!(count("jobs?state=failed,queued"), 0);
    assert_eq!(count("jobs?state=failed&state=succeeded"), 2);
    assert_eq!(count("jobs?type=video"), 0);
    assert_eq!(count("uploads?model=Anna&limit=20"), 14);
    assert_eq!(count("outputs?model=Anna"), 1);
    let run = ids(&world.read("/v1/runs"))[0].clone();
    for (query, rows) in [("jobs", 1), ("outputs", 1), ("models", 0), ("runs", 1)] {
        assert_eq!(count(&format!("{query}?run={run}")), rows, "{query}");
    }
    assert_eq!(count("jobs?since=2020-01-01T00:00:00Z"), 2);
    assert_eq!(count("jobs?until=2020-01-01T00:00:00Z"), 0);
    let made =
        world.read("/v1/jobs?limit=1")["items"][0]["created_at"].as_str().unwrap().to_owned();
    assert_eq!(count(&format!("jobs?since={made}")), 1);
    assert_eq!(count(&format!("jobs?until={made}")), 1);
}

#[test]
fn pages_stay_where_they_are_while_rows_are_added() {
    let world = quiet();
    let mut ordered: Vec<String> = (0..7).map(|_| order(&world)).collect();
    ordered.reverse();
    let mut seen = Vec::new();
    let mut path = "/v1/jobs?limit=3".to_owned();
    loop {
        let page = world.read(&path);
        seen.extend(ids(&page));
        // What comes now is newer than every page that is left.
        order(&world);
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/jobs?limit=3&cursor={cursor}");
    }
    assert_eq!(seen, ordered);
    assert_eq!(ids(&world.read("/v1/jobs?limit=500")).len(), 10);
}

#[test]
fn what_means_nothing_is_refused() {
    let world = quiet();
    order(&world);
    let refused = |path: &str, status: u16, words: &[&str]| {
        world.ask("GET", path).send().refused(status, words)
    };
    let unknown = refused("/v1/jobs?stat=failed", 400, &["`stat`", "did you mean `state`?"]);
    assert_eq!(unknown.body["errors"][0]["field"], "stat");
    refused("/v1/jobs?state=done", 400, &["`state`", "`done` is none of waiting, queued"]);
    refused("/v1/jobs?limit=0", 400, &["whole number from 1 to 500"]);
    refused("/v1/jobs?limit=1&limit=2", 400, &["more than once"]);
    refused("/v1/jobs?cursor=x", 400, &["no cursor"]);
    refused("/v1/jobs?since=yesterday", 400, &["`since`", "no time"]);
    refused("/v1/models?type=image", 400, &["`type` in the query is not known"]);
    refused("/v1/changes?run=1", 400, &["`run` in the query is not known"]);
    refused("/v1/jobs?model=Nobody", 404, &["there is no model `Nobody`"]);
    refused("/v1/jobs/x?limit=1", 400, &["there are no parameters here"]);
    refused("/v1/jobs/no-such-job", 404, &["there is no job `no-such-job`", "GET /v1/jobs"]);
    refused("/v1/jobs/%ff", 400, &[]);
    refused("/v1/nothing", 404, &["/v1/nothing"]);
    order(&world);
    refused("/v1/jobs/0", 409, &["fits several"]);
}

#[test]
fn the_daemon_says_what_and_how_it_is() {
    let world = quiet();
    order(&world);
    let info = world.read("/v1/info");
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(info["boot"], 1);
    assert_eq!(world.daemon().address, format!("http://{}", info["listen"].as_str().unwrap()));
    assert!(info["sqlite_version"].as_str().unwrap().starts_with('3'));
    let health = world.read("/v1/health");
    assert_eq!(health["ready"], true);
    assert_eq!(health["engine"], "ok");
    assert_eq!(health["counts"]["job"]["queued"], 1);
    assert_eq!(health["pauses"]["spending"]["by"], "api");
    assert_eq!(health["quarantine"], Value::Null);
    assert_eq!(world.read("/v1/pauses"), health["pauses"]);
    assert_eq!(world.read("/v1/presets")["items"], world.json(&["presets"], 0));
}
