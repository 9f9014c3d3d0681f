//! Idempotency-Key: the same request twice is one piece of work.

use super::{bottle, quiet};
use crate::support::World;
use crate::support::api::Reply;
use serde_json::json;

fn keyed(world: &World, prompt: &str) -> Reply {
    let mut body = bottle();
    body["prompt"] = json!(prompt);
    world.ask("POST", "/v1/jobs").key("order-17").json(body).send()
}

#[test]
fn the_same_key_brings_the_same_answer_also_after_a_crash() {
    let mut world = quiet();
    let first = keyed(&world, "a bottle").with(202);
    assert_eq!(first.header("idempotency-replayed"), None);
    let again = keyed(&world, "a bottle").with(202);
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.header("location"), first.header("location"));
    keyed(&world, "another bottle").refused(422, &["used before for another request"]);
    let elsewhere = world.ask("POST", "/v1/models").key("order-17").json(bottle()).send();
    elsewhere.refused(422, &["take a new one"]);

    world.kill();
    world.serve();
    let later = keyed(&world, "a bottle").with(202);
    assert_eq!(later.body, first.body);
    assert_eq!(later.header("idempotency-replayed"), Some("true"));
    assert_eq!(world.sql("select count(*) from jobs").as_deref(), Some("1"));
    assert_eq!(world.sql("select count(*) from replies").as_deref(), Some("1"));
}

#[test]
fn a_refusal_uses_no_key_up() {
    let world = quiet();
    let bad = json!({ "type": "image", "model": "nanobanana" });
    world.ask("POST", "/v1/jobs").key("order-17").json(bad).send().refused(400, &["prompt"]);
    keyed(&world, "a bottle").with(202);
    for key in ["", "  ", &"k".repeat(201)] {
        let ask = world.ask("POST", "/v1/jobs").key(key).json(bottle());
        let reply = ask.send().refused(400, &["Idempotency-Key"]);
        assert_eq!(reply.body["errors"][0]["field"], "Idempotency-Key");
    }
}

#[test]
fn every_kind_of_write_takes_one() {
    let world = quiet();
    let person = json!({ "name": "Anna", "age": 27, "gender": "Female" });
    let model = world.post("/v1/models", person).with(202).id();
    let job = keyed(&world, "a bottle").with(202).id();
    let photo = std::fs::read(crate::support::photos().join("portrait-01.jpg")).unwrap();
    let twice = |method: &str, path: &str, body: Option<serde_json::Value>| {
        let send = || {
            let ask = world.ask(method, path).key(&format!("{method}{path}"));
            match &body {
                Some(body) => ask.json(body.clone()),
                None => {
                    let file = reqwest::multipart::Part::bytes(photo.clone()).file_name("a.jpg");
                    let form = reqwest::multipart::Form::new().text("type", "reference");
                    ask.form(form.part("file", file))
                }
            }
            .send()
        };
        let (first, second) = (send(), send());
        assert!((200..300).contains(&first.status), "{path}: {}", first.body);
        assert_eq!(first.status, second.status, "{path}");
        assert_eq!(first.body, second.body, "{path}");
        assert_eq!(second.header("idempotency-replayed"), Some("true"), "{path}");
    };
    twice("PATCH", &format!("/v1/models/{model}"), Some(json!({ "age": 28 })));
    twice("POST", &format!("/v1/models/{model}/uploads"), None);
    twice("POST", &format!("/v1/jobs/{job}/cancel"), Some(json!({})));
    twice("POST", &format!("/v1/jobs/{job}/retry"), Some(json!({})));
    twice("POST", "/v1/pause", Some(json!({ "switch": "watching" })));
    twice("POST", "/v1/resume", Some(json!({ "switch": "watching" })));
    twice("POST", &format!("/v1/models/{model}/cancel"), Some(json!({})));
    let import = json!({ "remote_id": "model_1" });
    twice("POST", "/v1/models/import", Some(import));
    assert_eq!(world.sql("select count(*) from changes").as_deref(), Some("1"));
    assert_eq!(world.sql("select count(*) from uploads").as_deref(), Some("1"));
    assert_eq!(world.sql("select count(*) from jobs").as_deref(), Some("2"));
}
