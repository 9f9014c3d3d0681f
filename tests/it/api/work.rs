//! Work ordered, controlled and fetched.

use super::{accepted, bottle, order, quiet};
use crate::support::{World, eventually, photos, sha256};
use serde_json::{Value, json};

fn form(kind: &str, name: &str, bytes: Vec<u8>) -> reqwest::multipart::Form {
    let file = reqwest::multipart::Part::bytes(bytes).file_name(name.to_owned());
    reqwest::multipart::Form::new().text("type", kind.to_owned()).part("file", file)
}

fn files_below(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}

fn all_photos() -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = std::fs::read_dir(photos())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("portrait"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    all.sort();
    all
}

fn person(name: &str) -> Value {
    json!({ "name": name, "age": 27, "gender": "Female" })
}

#[test]
fn from_a_person_to_files() {
    let world = World::started(&[], "");
    let model = accepted(world.post("/v1/models", person("Anna")));
    let path = format!("/v1/models/{model}");
    let few = world.post(&format!("{path}/train"), json!({}));
    few.refused(409, &["holds 0 training photos", "12 to 20"]);
    for (name, bytes) in all_photos() {
        let uploads = format!("{path}/uploads");
        accepted(world.ask("POST", &uploads).form(form("training", &name, bytes)).send());
    }
    let training = accepted(world.ask("POST", &format!("{path}/train")).send());
    let again = world.ask("POST", "/v1/models/Anna/train").send();
    again.refused(409, &["is in training already"]);
    let anna = json!({ "type": "image", "model": "Anna", "prompt": "@Anna in a kitchen" });
    let image = accepted(world.post("/v1/jobs", anna));
    let upscale = accepted(world.post("/v1/jobs", json!({ "type": "upscale", "image": image })));
    let video = json!({ "type": "video", "model": "veo-3.1", "prompt": "she waves",
        "first_frame": format!("{image}[0]"), "set": { "options": { "veo": { "duration": 8 } } } });
    let video = accepted(world.post("/v1/jobs", video));
    for (plural, id) in [("trainings", &training), ("jobs", &upscale), ("jobs", &video)] {
        eventually(&format!("{plural} {id} is done"), || {
            let row = world.read(&format!("/v1/{plural}/{id}"));
            (row["state"] == "succeeded").then_some(())
        });
    }
    assert_eq!(world.vendor.counts(), [1, 14, 1, 3]);
    let actors = "select group_concat(distinct actor) from events where from_state is null and \
                  kind <> 'output'";
    assert_eq!(world.sql(actors).as_deref(), Some("api"));
}

#[test]
fn a_file_is_served_whole_in_ranges_and_not_twice() {
    let world = World::started(&[], "");
    let job = order(&world);
    world.until("select state from jobs", "succeeded");
    let file = world.read(&format!("/v1/jobs/{job}"))["outputs"][0].clone();
    let path = format!("/v1/outputs/{}/content", file["id"].as_str().unwrap());
    let whole = world.ask("GET", &path).scope("read").send().with(200);
    let stored = std::fs::read(file["path"].as_str().unwrap()).unwrap();
    assert_eq!(whole.bytes, stored);
    assert_eq!(whole.header("content-type"), file["media_type"].as_str());
    assert_eq!(whole.header("x-content-type-options"), Some("nosniff"));
    let disposition = whole.header("content-disposition").unwrap();
    assert!(disposition.starts_with("inline; filename=\""), "{disposition}");
    let tag = whole.header("etag").unwrap().to_owned();
    assert_eq!(tag, format!("\"{}\"", sha256(file["path"].as_str().unwrap().as_ref())));

    let part = world.ask("GET", &path).header("Range", "bytes=2-5").send().with(206);
    assert_eq!(part.bytes, &stored[2..6]);
    world.ask("GET", &path).header("Range", "bytes=99999999-").send().refused(416, &["Range"]);
    let same = world.ask("GET", &path).header("If-None-Match", &tag).send().with(304);
    assert!(same.bytes.is_empty());
    let head = world.ask("HEAD", &path).send().with(200);
    assert_eq!(head.header("content-length").unwrap(), stored.len().to_string());

    std::fs::remove_file(file["path"].as_str().unwrap()).unwrap();
    world.ask("GET", &path).send().refused(404, &["no longer where it was stored"]);
    world.ask("GET", "/v1/outputs/none/content").send().refused(404, &["there is no output"]);
}

#[test]
fn bad_orders_are_refused_and_nothing_is_stored() {
    let world = quiet();
    let refused = |body: Value, field: &str, words: &[&str]| {
        let reply = world.post("/v1/jobs", body).refused(400, words);
        assert_eq!(reply.body["errors"][0]["field"], field, "{}", reply.body);
    };
    let with = |field: &str, value: Value| {
        let mut body = bottle();
        body[field] = value;
        body
    };
    refused(with("numImages", json!(2)), "numImages", &["did you mean `num_images`?"]);
    refused(with("type", json!("picture")), "type", &["none of image, upscale, video"]);
    refused(json!({ "prompt": "x" }), "type", &["say which"]);
    refused(json!({ "type": "image", "prompt": "x" }), "model", &["it is missing"]);
    refused(with("num_images", json!("2")), "num_images", &["invalid type"]);
    refused(with("num_images", json!(0)), "num_images", &["num_images is 0"]);
    refused(with("model", json!("nano-banana")), "model", &["did you mean `nanobanana`?"]);
    refused(with("references", json!(["nothing"])), "references[0]", &["no output, job or web"]);
    let own = ["`/etc/passwd` is no output, job or web address"];
    refused(with("references", json!(["/etc/passwd"])), "references[0]", &own);
    refused(with("width", json!(8)), "width", &["trained models only"]);
    refused(with("set", json!({ "options": { "veo": {} } })), "options.veo", &[]);
    let several = with("references", json!(["x", "y"]));
    let several = world.post("/v1/jobs", several).refused(400, &["2 things are wrong"]);
    assert_eq!(several.body["errors"][1]["field"], "references[1]");

    world.ask("POST", "/v1/jobs").send().refused(400, &["`type`"]);
    world.post("/v1/jobs", json!([])).refused(400, &["no JSON object"]);
    world.post("/v1/jobs", json!("x")).refused(400, &["no JSON object"]);
    let person = json!({ "name": "Anna", "age": 0, "gender": "Female" });
    world.post("/v1/models", person).refused(400, &["age of 0 years"]);
    let person = json!({ "name": "Anna", "age": 20, "gender": "female" });
    world.post("/v1/models", person).refused(400, &["`gender`"]);
    world.post("/v1/models/import", json!({ "remote_id": "a b" })).refused(400, &["no model id"]);
    world.post("/v1/runs", json!({ "recipe": "steps = 1" })).refused(400, &["recipe"]);
    let folder = "[model]\nname = \"A\"\nage = 20\ngender = \"Female\"\nimages = \"/etc\"\n\
                  [[step]]\nname = \"a\"\ntype = \"image\"\nprompt = \"x\"\n";
    let words = ["does not read the daemon's disk"];
    world.post("/v1/runs", json!({ "recipe": folder })).refused(400, &words);
    assert_eq!(world.sql("select count(*) from events").as_deref(), Some("0"));
}

#[test]
fn bad_photos_are_refused_and_leave_nothing_behind() {
    let world = quiet();
    let model = accepted(world.post("/v1/models", person("Anna")));
    let path = format!("/v1/models/{model}/uploads");
    let ask = |form| world.ask("POST", &path).form(form).send();
    let (name, bytes) = all_photos().remove(0);
    ask(form("photo", &name, bytes.clone())).refused(400, &["`type`", "none of training"]);
    ask(form("training", "a.txt", b"hello".to_vec())).refused(400, &["a.txt"]);
    let missing = reqwest::multipart::Form::new().text("type", "training");
    ask(missing).refused(400, &["`file`", "it is missing"]);
    let strange = reqwest::multipart::Form::new().text("colour", "red");
    ask(strange).refused(400, &["`colour`", "no such part"]);
    world.post(&path, json!({})).refused(415, &["multipart/form-data"]);
    let big = ask(form("training", "big.jpg", vec![0; 21_000_000]));
    big.refused(413, &["longer than"]);
    assert_eq!(world.sql("select count(*) from uploads").as_deref(), Some("0"));
    assert_eq!(files_below(&world.data().join("blobs")), 0, "nothing is left in blobs");

    accepted(ask(form("reference", &name, bytes.clone())));
    ask(form("reference", &name, bytes)).refused(409, &["holds exactly this photo already"]);
}

#[test]
fn a_person_decides_over_http_as_on_the_command_line() {
    let world = World::started(
        &["lost-reply@triggerImageGenerationJob,times=1"],
        "[account]\nexclusive = false\n",
    );
    let id = order(&world);
    let path = format!("/v1/jobs/{id}");
    world.until("select state from jobs", "attention");
    let waiting = world.read("/v1/attention");
    assert_eq!(waiting["items"], world.json(&["ls", "attention"], 0));
    let resolve = |body: Value| world.post(&format!("{path}/resolve"), body);
    resolve(json!({})).refused(400, &["exactly one of `adopt`"]);
    resolve(json!({ "abandon": true, "resubmit": true })).refused(400, &["exactly one of"]);
    resolve(json!({ "adopt": "no-such-job" })).refused(409, &["job list has never shown"]);
    let retry = world.post(&format!("{path}/retry"), json!({}));
    retry.refused(409, &["is not sent again without your word"]);
    let story = world.read(&format!("{path}/explain"));
    let remote = &story["intent"]["evidence"]["seen"]["candidates"][0]["remote_id"];
    let adopted = resolve(json!({ "adopt": remote, "why": "it is the only one" })).with(200);
    assert_eq!(adopted.body["state"], "running");
    world.until("select state from jobs", "succeeded");
    resolve(json!({ "abandon": true })).refused(409, &["waits for a decision: it is succeeded"]);
    let detail = world.sql("select detail from events where cause = 'adopt'").unwrap();
    assert!(detail.contains("api: it is the only one"), "{detail}");
    assert_eq!(world.vendor.counts(), [0, 0, 0, 1]);
}

#[test]
fn cancel_and_retry() {
    let world = quiet();
    let id = order(&world);
    let path = format!("/v1/jobs/{id}");
    let cancelled = world.ask("POST", &format!("{path}/cancel")).scope("submit").send().with(200);
    assert_eq!(cancelled.body["items"][0]["state"], "cancelled");
    assert_eq!(cancelled.body["items"][0]["id"], id);
    let again = world.post(&format!("{path}/cancel"), json!({})).with(200);
    assert_eq!(again.body["items"][0]["state"], "cancelled");
    world.post(&format!("{path}/cancel"), json!({ "x": 1 })).refused(400, &["`x`", "no fields"]);

    let retry = format!("{path}/retry");
    let dear = world.ask("POST", &retry).scope("submit").json(json!({ "resubmit": true })).send();
    dear.refused(403, &["scope admin"]);
    let retried = world.ask("POST", &retry).scope("submit").send().with(202);
    let newer = retried.id();
    assert_ne!(newer, id);
    assert_eq!(retried.body["retried"][0], json!({ "kind": "job", "old": id, "new": newer }));
    let once_more = world.post(&retry, json!({})).with(202);
    assert_eq!(once_more.id(), newer, "it was tried again already");
    world.post(&format!("/v1/jobs/{newer}/retry"), json!({})).refused(409, &["goes on by itself"]);
    world.ask("POST", &retry).scope("read").send().refused(403, &["scope submit"]);
}

#[test]
fn models_are_changed_and_deleted() {
    let world = World::started(&[], "");
    let model = accepted(world.post("/v1/models", person("Anna")));
    let path = format!("/v1/models/{model}");
    world.until("select state from models", "succeeded");
    let change = |body: Value| world.ask("PATCH", &path).json(body).send();
    change(json!({})).refused(400, &["changes nothing"]);
    change(json!({ "eyeColor": "green" })).refused(400, &["did you mean `eye_color`?"]);
    let update = accepted(change(json!({ "eye_color": "green" })));
    eventually("the change is done", || {
        let row = world.read(&format!("/v1/changes/{update}"));
        (row["state"] == "succeeded" && row["fields"]["age"] == 27).then_some(())
    });
    world.ask("DELETE", &path).scope("submit").send().refused(403, &["scope admin"]);
    accepted(world.ask("DELETE", &path).send());
    world.until("select remote_status from models", "deleted");
    let gone = world.ask("DELETE", &path).send();
    gone.refused(409, &["is deleted at the vendor"]);

    let remote = "018f5f29-7c2b-7b4e-9a8c-4f8b4c2d1e0f";
    let import = || world.post("/v1/models/import", json!({ "remote_id": remote, "name": "Carl" }));
    let carl = accepted(import());
    import().refused(409, &["is known already", &carl]);
}

#[test]
fn a_model_with_open_work_is_not_deleted() {
    let world = quiet();
    let training = world.order_training("Anna");
    let path = format!("/v1/models/{}", training["id"].as_str().unwrap());
    world.ask("DELETE", &path).send().refused(409, &["has work under way"]);
}

#[test]
fn pauses_are_set_and_lifted() {
    let world = World::started(&[], "");
    let pause = |body: Value| world.post("/v1/pause", body);
    let body = json!({ "switch": "spending", "reason": "lunch" });
    assert_eq!(pause(body.clone()).with(200).body["status"], "paused");
    assert_eq!(pause(body).with(200).body["status"], "already_paused");
    assert_eq!(world.read("/v1/pauses")["spending"]["reason"], "lunch");
    pause(json!({ "switch": "eating" })).refused(400, &["`switch`"]);
    let resume = || world.post("/v1/resume", json!({ "switch": "spending" })).with(200).body;
    assert_eq!(resume()["status"], "resumed");
    assert_eq!(resume()["status"], "already_running");
    let read = world.ask("POST", "/v1/pause").scope("submit").json(json!({ "switch": "spending" }));
    read.send().refused(403, &["scope admin"]);
}

#[test]
fn a_full_queue_is_said() {
    let world = World::started(&[], "");
    world.post("/v1/pause", json!({ "switch": "spending" })).with(200);
    let mut world = world;
    world.stop();
    world.env.push(("DARKROOM__LIMITS__QUEUE".to_owned(), "1".to_owned()));
    world.serve();
    order(&world);
    let full = world.post("/v1/jobs", bottle()).refused(429, &["limits.queue"]);
    assert!(full.header("retry-after").is_some());
    assert_eq!(world.sql("select count(*) from jobs").as_deref(), Some("1"));
}
