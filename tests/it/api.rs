//! The native API by HTTP: what it takes, what it answers, what it refuses.

mod document;
mod events;
mod keys;
mod lists;
mod work;

use crate::support::World;
use crate::support::api::Reply;
use serde_json::{Value, json};

/// A daemon that sends nothing, so that what is ordered stays where it is.
fn quiet() -> World {
    let world = World::started(&[], "");
    world.post("/v1/pause", json!({ "switch": "spending" })).with(200);
    world
}

/// The smallest job.
fn bottle() -> Value {
    json!({ "type": "image", "model": "nanobanana", "prompt": "a green bottle" })
}

/// Orders the smallest job; answers its id.
fn order(world: &World) -> String {
    accepted(world.post("/v1/jobs", bottle()))
}

/// The id of a receipt.
#[track_caller]
fn accepted(reply: Reply) -> String {
    let reply = reply.with(202);
    let (id, href) = (reply.id(), reply.body["href"].as_str().unwrap().to_owned());
    assert_eq!(reply.header("location"), Some(href.as_str()));
    assert!(href.ends_with(&id) && href.starts_with("/v1/"), "{href}");
    assert!(reply.body["state"].is_string() && reply.body["created_at"].is_string());
    id
}
