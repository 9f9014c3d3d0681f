//! The vendor's API as the daemon serves it: ids, refusals, keys, links, lists, deletes.

use crate::support::{World, eventually, photos};
use reqwest::header::HeaderMap;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// A program that talks to the gateway, or to the vendor itself.
struct Client {
    runtime: Runtime,
    http: reqwest::Client,
    base: String,
    token: String,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.bytes);
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("not JSON: {text}"))
    }

    /// The result of a good answer.
    fn ok(&self) -> Value {
        let body = self.json();
        assert_eq!((self.status, &body["status"]), (200, &json!("OK")), "{body}");
        body["result"].clone()
    }

    /// The sentence of a refusal, which must be in the vendor's envelope.
    fn nok(&self, status: u16) -> String {
        let body = self.json();
        assert_eq!(self.status, status, "{body}");
        assert_eq!(body["status"], "NOK", "{body}");
        assert_eq!(body["result"], Value::Null, "{body}");
        assert!(body["err"].is_string(), "{body}");
        body["message"].as_str().unwrap().to_owned()
    }
}

impl Client {
    fn of(world: &World) -> Self {
        Self::at(&format!("{}/api", world.daemon().address), &world.token("admin"))
    }

    fn of_vendor(world: &World) -> Self {
        Self::at(world.vendor.api(), &world.key)
    }

    fn at(base: &str, token: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { runtime, http, base: base.to_owned(), token: token.to_owned() }
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url =
            if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        let request = self.http.request(method.parse().unwrap(), url);
        request.bearer_auth(&self.token).header("API-Version", "1")
    }

    fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            Answer { status, headers, bytes: answer.bytes().await.unwrap().to_vec() }
        })
    }

    fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path))
    }

    fn delete(&self, path: &str) -> Answer {
        self.send(self.request("DELETE", path))
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request("POST", path).json(body))
    }

    fn post_with_key(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.send(self.request("POST", path).header("Idempotency-Key", key).json(body))
    }

    fn create(&self) -> String {
        let answer = self.post("/models", &person());
        answer.ok()["id"].as_str().unwrap().to_owned()
    }

    fn upload(&self, data: &Value, file: Vec<u8>, key: Option<&str>) -> Answer {
        let form = Form::new()
            .part("file", Part::bytes(file).file_name("photo.jpg"))
            .text("data", data.to_string());
        let request = self.request("POST", "/images/upload").multipart(form);
        self.send(match key {
            Some(key) => request.header("Idempotency-Key", key),
            None => request,
        })
    }

    /// Uploads this many training photos.
    fn upload_photos(&self, model: &str, count: usize) -> Vec<String> {
        let data = json!({ "modelID": model, "type": "modelInput" });
        let files = files().into_iter().take(count);
        files
            .map(|file| self.upload(&data, file, None).ok()["id"].as_str().unwrap().into())
            .collect()
    }

    /// Looks at a job until it has ended.
    fn wait(&self, job: &str) -> Value {
        eventually(&format!("job {job} ends"), || {
            let record = self.get(&format!("/jobs/{job}")).ok();
            let over = ["success", "failed"].contains(&record["status"].as_str().unwrap());
            over.then_some(record)
        })
    }

    /// A finished picture of a public model.
    fn picture(&self) -> Value {
        let job = self.post("/images/generation", &bottle()).ok();
        self.wait(job["jobId"].as_str().unwrap())["images"][0].clone()
    }
}

fn person() -> Value {
    json!({ "name": "UGC Creator", "age": 27, "gender": "Female", "ethnicity": "south asian",
            "eyeColor": "brown" })
}

fn bottle() -> Value {
    json!({ "modelID": "nanobanana", "prompt": "a bottle", "aspectRatio": "1:1" })
}

fn files() -> Vec<Vec<u8>> {
    let mut paths: Vec<_> =
        std::fs::read_dir(photos()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Everything that was ever stored, as one number.
const ROWS: &str = "select (select count(*) from models) + (select count(*) from uploads) + \
                    (select count(*) from trainings) + (select count(*) from jobs) + \
                    (select count(*) from changes) + (select count(*) from replies)";

#[test]
fn ids_are_ours_from_the_first_answer_and_the_vendors_are_understood() {
    let world = World::started(&[], "");
    let api = Client::of(&world);
    let model = api.create();
    let record = api.get(&format!("/models/{model}")).ok();
    assert_eq!((&record["status"], &record["modelType"]), (&json!("new"), &json!("trained")));
    let photo = api.upload_photos(&model, 1).remove(0);
    world.until("select state from uploads", "succeeded");
    let remote_model = world.sql("select remote_id from models").unwrap();
    let remote_photo = world.sql("select remote_id from uploads").unwrap();
    assert_ne!(remote_model, model);
    assert_eq!(api.get(&format!("/models/{remote_model}")).ok()["id"], json!(model));
    let record = api.get(&format!("/images/{remote_photo}")).ok();
    assert_eq!((&record["id"], &record["type"]), (&json!(photo), &json!("modelInput")));
    assert_eq!(record["modelID"], json!(model));
    let job = api.post("/images/generation", &bottle()).ok()["jobId"].clone();
    let job = job.as_str().unwrap();
    assert_eq!(api.wait(job)["status"], "success");
    let remote_job = world.sql("select remote_id from jobs").unwrap();
    assert_eq!(api.get(&format!("/jobs/{remote_job}")).ok()["jobId"], json!(job));
    // Somebody else's, or nobody's.
    for path in ["/models/x", "/images/x", "/jobs/job_123", "/videos/x", "/videos/x/download"] {
        assert!(api.get(path).nok(404).contains("not found"), "{path}");
    }
    let upscaled = api.post("/images/upscaling", &json!({ "imageID": remote_photo })).ok();
    let record = api.wait(upscaled["jobId"].as_str().unwrap());
    let after = api.get(&format!("/images/{photo}")).ok();
    assert_eq!(after["upscaledImageID"], record["images"][0]["id"]);
}

#[test]
fn a_retried_job_answers_under_its_first_id() {
    let world = World::started(&["job-failed,times=1"], "");
    let api = Client::of(&world);
    let job = api.post("/images/generation", &bottle()).ok()["jobId"].clone();
    let job = job.as_str().unwrap();
    let record = api.wait(job);
    assert_eq!(record["status"], "failed");
    assert!(record["error"].is_string(), "{record}");
    world.json(&["retry", job, "--resubmit"], 0);
    eventually("the second try succeeds", || {
        (api.get(&format!("/jobs/{job}")).ok()["status"] == "success").then_some(())
    });
    assert_eq!(api.get(&format!("/jobs/{job}")).ok()["jobId"], json!(job));
    let listed = api.get("/jobs").ok()["jobs"].clone();
    let ids: Vec<&Value> = listed.as_array().unwrap().iter().map(|job| &job["jobId"]).collect();
    assert_eq!(ids, [&json!(job)]);
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_stored() {
    let world = World::started(&[], "");
    let api = Client::of(&world);
    let with = |field: &str, value: Value| {
        let mut body = bottle();
        body[field] = value;
        body
    };
    let cases: Vec<(&str, Value, u16, &str)> = vec![
        ("/models", json!({}), 400, "name"),
        ("/models", json!([1]), 400, "object"),
        ("/models", json!({ "name": "A", "age": "27", "gender": "Male" }), 400, "age"),
        ("/models", json!({ "name": "A", "age": 2.5, "gender": "Male" }), 400, "age"),
        ("/models", json!({ "name": "A", "age": 27, "gender": "male" }), 400, "Male"),
        ("/models", json!({ "nam": "A", "age": 27, "gender": "Male" }), 400, "name"),
        ("/models", json!({ "id": "x", "name": "B" }), 404, "not found"),
        ("/images/generation", json!({ "prompt": "x" }), 400, "modelID"),
        ("/images/generation", json!({ "modelID": "nanobanana" }), 400, "prompt"),
        ("/images/generation", with("promt", json!("x")), 400, "prompt"),
        ("/images/generation", with("numImages", json!("two")), 400, "numImages"),
        ("/images/generation", with("numImages", json!(-1)), 400, "numImages"),
        ("/images/generation", with("referenceImageURLs", json!(["x"])), 400, "referenceImageURLs"),
        ("/images/generation", with("options", json!({ "openai": {} })), 400, "options"),
        ("/images/generation", with("modelID", json!("018f5f29-0000")), 404, "not found"),
        ("/images/upscaling", json!({ "imageID": "image_x" }), 404, "not found"),
        ("/images/upscaling", json!({ "image": "image_x" }), 400, "imageID"),
        ("/videos/generation", json!({ "modelID": "veo-3.1" }), 400, "prompt"),
        ("/videos/generation", json!({ "modelID": "veo-9", "prompt": "x" }), 400, "modelID"),
        (
            "/videos/generation",
            json!({ "modelID": "veo-3.1", "prompt": "x",
                    "referenceImages": [{ "url": "https://a.example/x", "role": "hero" }] }),
            400,
            "first_frame",
        ),
    ];
    for (path, body, status, word) in cases {
        let message = api.post(path, &body).nok(status);
        assert!(message.contains(word), "{path} {body}: {message}");
    }
    let broken = api.request("POST", "/models").header("content-type", "application/json");
    assert!(api.send(broken.body("{\"name\": ")).nok(400).contains("JSON"));
    let data = json!({ "modelID": "x", "type": "modelInput" });
    assert!(api.upload(&data, b"no picture at all".to_vec(), None).nok(400).contains("photo.jpg"));
    assert!(api.upload(&data, files().remove(0), None).nok(404).contains("not found"));
    let wrong = json!({ "modelID": "x", "type": "training" });
    assert!(api.upload(&wrong, files().remove(0), None).nok(400).contains("auxiliaryType"));
    let form = Form::new().text("data", data.to_string());
    let request = api.request("POST", "/images/upload").multipart(form);
    assert!(api.send(request).nok(400).contains("file"));
    for path in ["/jobs?start=yesterday", "/jobs?pageToken=zz", "/videos?pageNum=0"] {
        api.get(path).nok(400);
    }
    let old = api.request("GET", "/ping").header("API-Version", "2");
    assert!(api.send(old).nok(400).contains("API-Version"));
    let none = api.http.get(format!("{}/ping", api.base)).bearer_auth(&api.token);
    assert!(api.send(none).nok(400).contains("API-Version"));
    assert_eq!(api.get("/ping").json(), json!({ "message": "pong!", "status": "OK" }));
    assert_eq!(world.sql(ROWS).unwrap(), "0");
    let left = std::fs::read_dir(world.data().join("blobs")).unwrap().count();
    assert!(left <= 1, "files were kept: {left}");
}

#[test]
fn the_same_key_brings_the_same_reply_and_buys_once() {
    let mut world = World::started(&[], "");
    let api = Client::of(&world);
    let first = api.post_with_key("/models", "m", &person()).json();
    let model = first["result"]["id"].as_str().unwrap().to_owned();
    let again = api.post_with_key("/models", "m", &person());
    assert_eq!((again.status, again.json()), (200, first.clone()));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let other = json!({ "name": "Other", "age": 30, "gender": "Male" });
    assert!(api.post_with_key("/models", "m", &other).nok(422).contains("Idempotency-Key"));
    let data = json!({ "modelID": model, "type": "auxiliaryType" });
    let file = files().remove(0);
    let photo = api.upload(&data, file.clone(), Some("u")).json();
    assert_eq!(api.upload(&data, file.clone(), Some("u")).json(), photo);
    api.upload(&data, files().remove(1), Some("u")).nok(422);
    let job = api.post_with_key("/images/generation", "j", &bottle()).json();
    // Both ends may die in between.
    world.kill();
    world.serve();
    let api = Client::of(&world);
    assert_eq!(api.post_with_key("/images/generation", "j", &bottle()).json(), job);
    assert_eq!(api.post_with_key("/models", "m", &person()).json(), first);
    let after = api.upload(&data, file, Some("u")).json();
    assert_eq!(after["result"]["id"], photo["result"]["id"]);
    // The port is another one now, and the link follows it.
    assert_eq!(api.get(after["result"]["url"].as_str().unwrap()).status, 200);
    api.wait(job["result"]["jobId"].as_str().unwrap());
    world.until("select state from uploads", "succeeded");
    assert_eq!(world.vendor.counts(), [1, 1, 0, 1]);
    // A refusal leaves the key free.
    let train = |key: &str| {
        let request = api.request("GET", &format!("/models/{model}/train"));
        api.send(request.header("Idempotency-Key", key))
    };
    assert!(train("t").nok(400).contains("12 to 20"));
    api.upload_photos(&model, 12);
    assert_eq!(train("t").ok(), "Training triggered");
    assert_eq!(train("t").ok(), "Training triggered");
    let bad = api.request("POST", "/models").header("Idempotency-Key", "").json(&person());
    api.send(bad).nok(400);
    assert_eq!(
        world.sql("select count(*) from replies where body like '%sig=%'").as_deref(),
        Some("0")
    );
}

#[test]
fn the_same_key_at_the_same_time_brings_everybody_the_same_reply() {
    let world = World::started(&[], "");
    let api = Client::of(&world);
    let model = api.create();
    world.until("select state from models", "succeeded");
    let together = |make: &dyn Fn() -> reqwest::RequestBuilder| {
        let all = (0..16).map(|_| make().header("Idempotency-Key", "all").send());
        let all = api.runtime.block_on(futures_util::future::join_all(all));
        let texts = all.into_iter().map(|answer| api.runtime.block_on(answer.unwrap().text()));
        let texts: std::collections::BTreeSet<String> = texts.map(Result::unwrap).collect();
        assert_eq!(texts.len(), 1, "{texts:?}");
        texts.into_iter().next().unwrap()
    };
    assert!(together(&|| api.request("POST", "/images/generation").json(&bottle())).contains("OK"));
    // Whoever comes second finds the world changed, and the reply all the same.
    let path = format!("{}/v1/models/import", world.daemon().address);
    let body = json!({ "remote_id": "vendors-own" });
    let told = together(&|| api.request("POST", &path).json(&body));
    assert!(told.contains("\"kind\":\"model\""), "{told}");
    assert_eq!(world.sql("select count(*) from jobs").as_deref(), Some("1"));
    assert_eq!(world.sql("select count(*) from models").as_deref(), Some("2"));
    let gone = api.request("DELETE", &format!("/models/{model}"));
    let gone = api.send(gone.header("Idempotency-Key", "gone")).ok();
    let again = api.request("DELETE", &format!("/models/{model}"));
    assert_eq!(api.send(again.header("Idempotency-Key", "gone")).ok(), gone);
}

#[test]
fn a_training_is_ordered_at_most_once_however_often_it_is_called() {
    let world = World::started(&[], "");
    let api = Client::of(&world);
    let model = api.create();
    let train = format!("/models/{model}/train");
    api.upload_photos(&model, 11);
    assert!(api.get(&train).nok(400).contains("has 11"));
    let photos = api.upload_photos(&model, 14);
    // The same photo again is the same photo.
    assert_eq!(world.sql("select count(*) from uploads").unwrap(), "14");
    let head = api.send(api.request("HEAD", &train));
    assert_eq!(head.status, 405);
    assert_eq!(world.sql("select count(*) from trainings").unwrap(), "0");
    let all = (0..8).map(|_| api.request("GET", &train).send());
    let all = api.runtime.block_on(futures_util::future::join_all(all));
    assert!(all.iter().all(|answer| answer.as_ref().unwrap().status() == 200));
    assert_eq!(api.get(&format!("/models/{model}")).ok()["status"], "training");
    assert!(api.delete(&format!("/images/{}", photos[0])).nok(409).contains("training"));
    assert!(api.delete(&format!("/models/{model}")).nok(409).contains("under way"));
    eventually("the model is ready", || {
        (api.get(&format!("/models/{model}")).ok()["status"] == "ready").then_some(())
    });
    assert_eq!(api.get(&train).ok(), "Training triggered");
    let more = json!({ "modelID": model, "type": "modelInput" });
    let other = std::fs::read(photos_folder_extra()).unwrap();
    assert!(api.upload(&more, other, None).nok(409).contains("trained"));
    assert_eq!(world.vendor.ledger()["train_calls"], 1);
    assert_eq!(world.vendor.counts(), [1, 14, 1, 0]);
}

/// A picture that is none of the fourteen: a produced one of the simulator's size, drawn here.
fn photos_folder_extra() -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("darkroom-extra-{}.png", std::process::id()));
    let picture = image::RgbImage::from_fn(640, 640, |x, y| image::Rgb([x as u8, y as u8, 7]));
    picture.save(&path).unwrap();
    path
}

#[test]
fn a_link_opens_one_file_and_comes_back_as_the_vendors_own() {
    let world = World::started(&[], "");
    let api = Client::of(&world);
    let (one, two) = (api.picture(), api.picture());
    let link = one["url"].as_str().unwrap();
    let plain = |request: reqwest::RequestBuilder| api.send(request);
    let whole = plain(api.http.get(link));
    assert_eq!(whole.status, 200);
    assert!(whole.headers["content-type"].to_str().unwrap().starts_with("image/"));
    assert_eq!(whole.headers["x-content-type-options"], "nosniff");
    let part = plain(api.http.get(link).header("Range", "bytes=10-19"));
    assert_eq!((part.status, &part.bytes[..]), (206, &whole.bytes[10..20]));
    let head = plain(api.http.head(link));
    assert_eq!((head.status, head.bytes.len()), (200, 0));
    let beyond = plain(api.http.get(link).header("Range", "bytes=99999999-"));
    assert_eq!(beyond.status, 416);
    let signature = link.split("sig=").nth(1).unwrap();
    let other = two["url"].as_str().unwrap().split("sig=").next().unwrap().to_owned() + signature;
    for bad in [other, link.split('?').next().unwrap().to_owned(), format!("{link}0")] {
        assert_eq!(plain(api.http.get(&bad)).status, 404, "{bad}");
    }
    // Back inside a request, it is the picture and no address of ours.
    let mut order = bottle();
    order["referenceImageURLs"] = json!([link, "https://a.example/mine.jpg"]);
    let job = api.post("/images/generation", &order).ok();
    assert_eq!(api.wait(job["jobId"].as_str().unwrap())["status"], "success");
    let film = json!({ "modelID": "veo-3.1", "prompt": "she waves",
                       "referenceImages": [{ "url": link, "role": "first_frame" }] });
    let job = api.post("/videos/generation", &film).ok();
    let video = api.wait(job["jobId"].as_str().unwrap())["videos"][0].clone();
    assert_eq!(video["jobId"], job["jobId"]);
    let download = api.get(&format!("/videos/{}/download", video["id"].as_str().unwrap())).ok();
    assert_eq!((&download["status"], &download["url"]), (&json!("ready"), &video["url"]));
    let effects = world.vendor.ledger()["effects"].to_string();
    assert!(!effects.contains(&world.daemon().address), "{effects}");
    assert!(effects.contains("https://a.example/mine.jpg"), "{effects}");
    assert!(effects.contains("first_frame") && effects.contains("/media/images/"), "{effects}");
    // A forged one is refused before anything is stored.
    let before = world.sql(ROWS);
    order["referenceImageURLs"] = json!([format!("{link}0")]);
    assert!(api.post("/images/generation", &order).nok(400).contains("signature"));
    assert_eq!(world.sql(ROWS), before);
    // A new token makes old links void.
    world.run(&["token", "--rotate"]);
    eventually("the old link is void", || (plain(api.http.get(link)).status == 404).then_some(()));
}

#[test]
fn updates_and_deletes_go_through_even_if_the_vendor_is_away() {
    let world = World::started(&[], "");
    let api = Client::of(&world);
    let model = api.create();
    let photo = api.upload_photos(&model, 2).remove(0);
    let image = api.picture();
    let film = json!({ "modelID": "veo-3.1", "prompt": "she waves" });
    let job = api.post("/videos/generation", &film).ok();
    let video = api.wait(job["jobId"].as_str().unwrap())["videos"][0].clone();
    let by_link = |link: &Value| {
        let mut order = bottle();
        order["referenceImageURLs"] = json!([link]);
        api.post("/images/generation", &order)
    };
    assert!(by_link(&video["url"]).nok(400).contains("this is a video"));
    world.until("select count(*) from uploads where state = 'succeeded'", "2");
    world.vendor.post("/_sim/down", &Value::Null);
    let update = json!({ "id": model, "name": "Renamed" });
    let updated = api.post("/models", &update).ok();
    assert_eq!((&updated["id"], &updated["name"]), (&json!(model), &json!("Renamed")));
    let id = |record: &Value| record["id"].as_str().unwrap().to_owned();
    for path in [
        format!("/images/{photo}"),
        format!("/images/{}", id(&image)),
        format!("/videos/{}", id(&video)),
    ] {
        api.delete(&path).ok();
        // What was deleted is gone for whoever deleted it.
        api.get(&path).nok(404);
    }
    assert_eq!(api.get(image["url"].as_str().unwrap()).status, 404);
    assert!(by_link(&image["url"]).nok(400).contains("deleted"));
    let left = api.get(&format!("/models/{model}/images?imageType=input")).json();
    assert_eq!(left["result"].as_array().unwrap().len(), 1);
    world.vendor.post("/_sim/up", &Value::Null);
    world.until("select count(*) from changes where state = 'succeeded'", "4");
    let ledger = world.vendor.ledger();
    assert_eq!((&ledger["model_updates"], &ledger["deletes"]), (&json!(1), &json!(3)));
    assert_eq!(api.get(&format!("/models/{model}")).ok()["name"], "Renamed");
    api.delete(&format!("/models/{model}")).ok();
    assert_eq!(api.get(&format!("/models/{model}")).ok()["status"], "deleted");
    world.until("select count(*) from changes where state = 'succeeded'", "5");
    assert_eq!(api.get("/models").ok(), json!([]));
    let data = json!({ "modelID": model, "type": "modelInput" });
    api.upload(&data, files().remove(3), None).nok(404);
}

#[test]
fn a_deleted_photo_does_not_count_for_the_training() {
    let world = World::started(&[], "");
    let api = Client::of(&world);
    let model = api.create();
    let photos = api.upload_photos(&model, 13);
    world.until("select count(*) from uploads where state = 'succeeded'", "13");
    api.delete(&format!("/images/{}", photos[0])).ok();
    assert_eq!(api.get(&format!("/models/{model}/train")).ok(), "Training triggered");
    world.until("select state from trainings", "succeeded");
    assert_eq!(world.vendor.ledger()["deletes"], 1);
}

#[test]
fn a_model_that_only_the_vendor_has_is_taken_over_with_its_first_job() {
    let world = World::started(&[], "");
    let vendor = Client::of_vendor(&world);
    let model = vendor.create();
    vendor.upload_photos(&model, 12);
    vendor.get(&format!("/models/{model}/train")).ok();
    eventually("the vendor has trained it", || {
        (vendor.get(&format!("/models/{model}")).ok()["status"] == "ready").then_some(())
    });
    let api = Client::of(&world);
    let order = json!({ "modelID": model, "prompt": "a portrait" });
    let job = api.post("/images/generation", &order).ok();
    let record = api.wait(job["jobId"].as_str().unwrap());
    assert_eq!(record["status"], "success", "{record}");
    let ours = record["modelId"].as_str().unwrap();
    assert_ne!(ours, model);
    assert_eq!(api.get(&format!("/models/{model}")).ok()["id"], json!(ours));
    // The next job finds the row.
    let job = api.post("/images/generation", &order).ok();
    assert_eq!(api.wait(job["jobId"].as_str().unwrap())["modelId"], json!(ours));
    assert_eq!(world.sql("select count(*) from models").unwrap(), "1");
    // While nobody can be asked, an unknown id is neither refused nor believed.
    world.vendor.post("/_sim/down", &Value::Null);
    let order = json!({ "modelID": "018f5f29-7c2b-7b4e-9a8c-4f8b4c2d1e0f", "prompt": "x" });
    let answer = api.post("/images/generation", &order);
    assert!(answer.nok(503).contains("cannot be asked"));
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(world.sql("select count(*) from models").unwrap(), "1");
}

#[test]
fn work_is_accepted_while_the_vendor_is_down() {
    let mut world = World::new(&[]);
    world.vendor.post("/_sim/down", &Value::Null);
    world.serve();
    let api = Client::of(&world);
    let model = api.create();
    api.upload_photos(&model, 14);
    api.get(&format!("/models/{model}/train")).ok();
    let portrait = json!({ "modelID": model, "prompt": "a portrait" });
    let job = api.post("/images/generation", &portrait).ok()["jobId"].clone();
    let job = job.as_str().unwrap();
    assert_eq!(api.get(&format!("/jobs/{job}")).ok()["status"], "created");
    assert!(api.get("/presets").headers.contains_key("retry-after"));
    world.vendor.post("/_sim/up", &Value::Null);
    assert_eq!(api.wait(job)["status"], "success");
    assert_eq!(world.vendor.counts(), [1, 14, 1, 1]);
    let presets = eventually("the presets are there", || {
        let answer = api.get("/presets");
        (answer.status == 200).then_some(answer)
    });
    assert!(!presets.ok().as_array().unwrap().is_empty());
    // From now on they are known here.
    world.vendor.post("/_sim/down", &Value::Null);
    let kept = api.get("/presets");
    assert_eq!(kept.ok(), presets.ok());
    assert!(kept.headers.contains_key("age"));
}

#[test]
fn lists_come_in_pages_that_fit_together() {
    let world = World::started(&[], "");
    world.json(&["pause", "spending"], 0);
    let api = Client::of(&world);
    let mut made: Vec<String> = (0..53)
        .map(|_| api.post("/images/generation", &bottle()).ok()["jobId"].as_str().unwrap().into())
        .collect();
    made.reverse();
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let page = api.get(&format!("/jobs?pageToken={token}")).ok();
        for job in page["jobs"].as_array().unwrap() {
            assert_eq!(job["status"], "queued");
            assert!(job["credits"].is_number() && job["createdAt"].is_string());
            seen.push(job["jobId"].as_str().unwrap().to_owned());
        }
        // New ones do not push old ones onto the next page.
        api.post("/images/generation", &bottle()).ok();
        token = page["nextPageToken"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, made);
    let early = api.get("/jobs?start=2020-01-01T00:00:00Z&end=2020-01-02T00:00:00Z").ok();
    assert_eq!(early["jobs"], json!([]));
    assert!(
        api.get("/jobs?start=2020-01-01T00:00:00Z&end=2020-02-01T00:00:00Z").nok(400).contains("7")
    );
}

#[test]
fn what_accepted_work_needs_is_not_deleted() {
    let world = World::started(&[], "");
    let api = Client::of(&world);
    let image = api.picture();
    let id = image["id"].as_str().unwrap();
    world.json(&["pause", "spending"], 0);
    let job = api.post("/images/upscaling", &json!({ "imageID": id })).ok();
    let delete = format!("/images/{id}");
    assert!(api.delete(&delete).nok(409).contains(job["jobId"].as_str().unwrap()));
    let mut order = bottle();
    order["referenceImageURLs"] = json!([image["url"]]);
    api.post("/images/generation", &order).ok();
    world.json(&["resume", "spending"], 0);
    world.until("select count(*) from jobs where state = 'succeeded'", "3");
    api.delete(&delete).ok();
    // Asking again is no second deletion, and no error of the database.
    api.delete(&delete).nok(404);
    world.until("select state from changes", "succeeded");
    assert_eq!(world.vendor.ledger()["deletes"], 1);
}

#[test]
fn addresses_of_ours_never_reach_the_vendor_however_they_are_spelt() {
    let world = World::started(&[], "");
    let api = Client::of(&world);
    let image = api.picture();
    let link = image["url"].as_str().unwrap();
    let port = link.split(':').nth(2).unwrap().split('/').next().unwrap();
    let before = world.sql(ROWS);
    for host in ["localhost", "x@127.0.0.1", "[::1]", "2130706433", "127.1"] {
        for path in ["/media/outputs/x?sig=bad", "/v1/x", "/api/ping", ""] {
            let mut order = bottle();
            order["referenceImageURLs"] = json!([format!("http://{host}:{port}{path}")]);
            let message = api.post("/images/generation", &order).nok(400);
            assert!(message.contains("leads here"), "{host}{path}: {message}");
        }
    }
    assert_eq!(world.sql(ROWS), before);
    // The signature is the proof, whatever the daemon is called in it.
    let mut order = bottle();
    order["referenceImageURLs"] = json!([link.replace("127.0.0.1", "LocalHost")]);
    api.post("/images/generation", &order).ok();
}

#[test]
fn ids_inside_records_stay_too_when_something_was_retried() {
    let world = World::started(&["status=400@createOrUpdateModel,times=1"], "");
    let api = Client::of(&world);
    let model = api.create();
    eventually("the first try is refused", || {
        (api.get(&format!("/models/{model}")).ok()["status"] == "failed").then_some(())
    });
    let message = api.get(&format!("/models/{model}/train")).nok(409);
    assert!(message.contains("could not be created"), "{message}");
    world.json(&["retry", &model], 0);
    eventually("the second try is taken", || {
        (api.get(&format!("/models/{model}")).ok()["status"] == "new").then_some(())
    });
    let data = json!({ "modelID": model, "type": "modelInput" });
    let photo = api.upload(&data, files().remove(0), None).ok();
    assert_eq!(photo["modelID"], json!(model));
    let record = api.get(&format!("/images/{}", photo["id"].as_str().unwrap())).ok();
    assert_eq!(record["modelID"], json!(model));
    api.upload_photos(&model, 12);
    api.get(&format!("/models/{model}/train")).ok();
    let portrait = json!({ "modelID": model, "prompt": "a portrait" });
    let job = api.post("/images/generation", &portrait).ok();
    let record = api.wait(job["jobId"].as_str().unwrap());
    assert_eq!(record["modelId"], json!(model));
    assert_eq!(record["images"][0]["modelID"], json!(model));
    let all = api.get(&format!("/models/{model}/images?pageSize=500")).json();
    assert_eq!((&all["pageSize"], all["result"].as_array().unwrap().len()), (&json!(100), 13));
}

#[test]
fn a_training_that_was_given_up_unknown_is_not_bought_by_calling_train_again() {
    // The call is lost on its way back, and the vendor shows nothing of it for long.
    let world = World::started(&["lost-reply@triggerModelTraining,times=1", "training-lag=1h"], "");
    let api = Client::of(&world);
    let model = api.create();
    api.upload_photos(&model, 12);
    api.get(&format!("/models/{model}/train")).ok();
    world.until("select state from trainings", "in_doubt");
    let training = world.sql("select id from trainings").unwrap();
    world.json(&["resolve", &training, "--abandon"], 0);
    assert_eq!(api.get(&format!("/models/{model}")).ok()["status"], "failed");
    let message = api.get(&format!("/models/{model}/train")).nok(409);
    assert!(message.contains("never found out"), "{message}");
    let photos = photos();
    let again = world.run(&["train", "--model", &model, "--images", photos.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(3));
    assert_eq!(world.vendor.ledger()["train_calls"], 1);
}

#[test]
fn programs_may_be_careless_in_small_things() {
    let world = World::started(&[], "");
    let api = Client::of(&world);
    let order = json!({
        "modelID": "nanobanana", "prompt": "a bottle", "numImages": 1.0, "preset": "",
        "aspectRatio": null, "options": {}, "referenceImageURLs": [], "inputImageId": "",
    });
    let job = api.post("/images/generation/", &order).ok();
    assert_eq!(api.wait(job["jobId"].as_str().unwrap())["status"], "success");
    assert_eq!(api.get("//jobs//").ok()["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(api.get("/videos?pageNum=&pageSize=").json()["pageSize"], 20);
    let model = api.create();
    assert_eq!(api.get(&format!("/models/{model}/images?imageType=")).json()["result"], json!([]));
    // What is said about a link does not repeat it.
    let mut order = bottle();
    order["referenceImageURLs"] = json!([{ "url": "http://a.example/?sig=secret" }]);
    let answer = api.post("/images/generation", &order);
    assert!(!String::from_utf8_lossy(&answer.bytes).contains("secret"));
    answer.nok(400);
    // The same photo again is told as it is.
    let data = json!({ "modelID": model, "type": "auxiliaryType" });
    let first = api.upload(&data, files().remove(0), None).ok();
    world.until("select state from uploads", "succeeded");
    let again = api.upload(&data, files().remove(0), None).ok();
    assert_eq!(again["id"], first["id"]);
    assert_eq!(
        again["createdAt"],
        api.get(&format!("/images/{}", first["id"].as_str().unwrap())).ok()["createdAt"]
    );
    assert_eq!(again["darkroom"]["state"], "succeeded");
}

#[tokio::test]
async fn what_the_gateway_reads_is_found_by_indexes() {
    use darkroom::clock::SystemClock;
    use darkroom::domain::schedule::Timing;
    use darkroom::store::{Store, served};
    let dir = tempfile::tempdir().unwrap();
    let clock = std::sync::Arc::new(SystemClock::new());
    let store = Store::open(dir.path(), clock, Timing::default()).await.unwrap();
    for (what, sql) in served::plans() {
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
                .fetch_all(store.readers())
                .await
                .unwrap();
        for (.., step) in plan {
            // A walk along the index that gives the order is no scan.
            let walk = ["jobs_created", "outputs_videos"].iter().any(|name| step.contains(name));
            assert!(!step.starts_with("SCAN ") || walk, "{what}: {step}");
            assert!(!step.contains("AUTOMATIC"), "{what}: {step}");
        }
    }
}
