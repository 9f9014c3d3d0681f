//! Trouble with single calls.

use super::*;
use std::time::Instant;

const TRIGGER: &str = "/images/generation";

fn order() -> Value {
    json!({ "modelID": "nanobanana", "prompt": "a hat" })
}

async fn effects(vendor: &Vendor) -> Vec<Value> {
    vendor.report("ledger").await["effects"].as_array().unwrap().clone()
}

#[tokio::test]
async fn lost_replies_leave_their_effect() {
    let vendor = Vendor::new(&["lost-reply"]).await;
    assert!(vendor.try_post("/models", &json!({ "name": "Ann" })).await.is_err());
    assert!(vendor.try_post(TRIGGER, &order()).await.is_err());
    let model = text(&vendor.get("/models").await[0]["id"]);
    for number in 0..12 {
        let data = json!({ "modelID": model, "type": "modelInput" }).to_string();
        let file = reqwest::multipart::Part::bytes(jpeg(number)).file_name("a.jpg");
        let form = Form::new().text("data", data).part("file", file);
        let call = vendor.call(Method::POST, "/images/upload").multipart(form);
        assert!(call.send().await.is_err());
    }
    assert!(vendor.try_get(&format!("/models/{model}/train")).await.is_err());
    let effects = effects(&vendor).await;
    assert_eq!(effects.len(), 15);
    assert!(effects.iter().all(|effect| effect["replied"] == false));
    vendor.model_until(&model, "ready").await;
    // A refusal is no effect, so it gets through.
    assert_eq!(refused(vendor.try_post(TRIGGER, &json!({})).await.unwrap()).await.0, 400);
}

#[tokio::test]
async fn a_lost_reply_is_used_up_by_effects_only() {
    let vendor = Vendor::new(&["lost-reply@triggerImageGenerationJob,times=1"]).await;
    refused(vendor.try_post(TRIGGER, &json!({})).await.unwrap()).await;
    assert!(vendor.try_post(TRIGGER, &order()).await.is_err());
    vendor.image_job().await;
    let replied: Vec<Value> = effects(&vendor).await.iter().map(|e| e["replied"].clone()).collect();
    assert_eq!(replied, [json!(false), json!(true)]);
    let faults = vendor.report("faults").await;
    assert_eq!((&faults[0]["matched"], &faults[0]["struck"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn lost_requests_leave_nothing() {
    let vendor = Vendor::new(&["lost-request,times=1"]).await;
    assert!(vendor.try_post(TRIGGER, &order()).await.is_err());
    assert_eq!(vendor.count("jobs").await, 0);
    vendor.image_job().await;
}

#[tokio::test]
async fn late_jobs_appear_after_the_reply_was_lost() {
    let vendor = Vendor::new(&["late-accept=80ms,times=1"]).await;
    let begun = Instant::now();
    assert!(vendor.try_post(TRIGGER, &order()).await.is_err());
    let at_first = vendor.get("/jobs").await["jobs"].as_array().unwrap().len();
    assert!(at_first == 0 || begun.elapsed() > Duration::from_millis(80));
    while vendor.get("/jobs").await["jobs"] == json!([]) {}
    assert!(begun.elapsed() >= Duration::from_millis(80));
    assert_eq!(effects(&vendor).await[0]["replied"], false);
}

#[tokio::test]
async fn late_jobs_can_be_late_at_random() {
    let vendor = Vendor::new(&["late-accept=0s..200ms"]).await;
    for _ in 0..6 {
        assert!(vendor.try_post(TRIGGER, &order()).await.is_err());
    }
    let begun = Instant::now();
    while vendor.count("jobs").await < 6 {
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
    // Sent one after another, they happened in an order of their own.
    let calls: Vec<u64> =
        effects(&vendor).await.iter().map(|effect| effect["call"].as_u64().unwrap()).collect();
    assert!(!calls.is_sorted(), "{calls:?}");
}

#[tokio::test]
async fn a_request_delivered_twice() {
    let vendor = Vendor::new(&["deliver-twice,times=1"]).await;
    let reply = vendor.post(TRIGGER, order()).await;
    vendor.image_job().await;
    let effects = effects(&vendor).await;
    assert_eq!(effects.len(), 3);
    let (first, second, third) = (&effects[0], &effects[1], &effects[2]);
    assert_eq!(first["id"], reply["jobId"]);
    assert_eq!((&first["replied"], &second["replied"]), (&json!(true), &json!(false)));
    assert_eq!((&first["double_of"], &second["double_of"]), (&Value::Null, &first["seq"]));
    assert_eq!((&second["request"], &second["call"]), (&order(), &first["call"]));
    assert!(third["double_of"].is_null() && third["call"] != first["call"]);
    let ledger = vendor.report("ledger").await;
    assert_eq!((&ledger["jobs"], &ledger["credits"]), (&json!(3), &json!(30)));
    assert_eq!((&ledger["doubles"], &ledger["double_credits"]), (&json!(1), &json!(10)));
    // A refused request has no effect to be doubled.
    vendor.control("faults", json!(["deliver-twice"])).await;
    refused(vendor.try_post(TRIGGER, &json!({})).await.unwrap()).await;
    assert_eq!(vendor.count("jobs").await, 3);
}

#[tokio::test]
async fn the_second_delivery_may_be_late_and_the_reply_lost() {
    let vendor = Vendor::new(&["deliver-twice=80ms", "lost-reply"]).await;
    let begun = Instant::now();
    assert!(vendor.try_post(TRIGGER, &order()).await.is_err());
    let at_first = vendor.count("jobs").await;
    assert!(at_first == 1 || begun.elapsed() > Duration::from_millis(80));
    while vendor.count("jobs").await < 2 {}
    assert!(begun.elapsed() >= Duration::from_millis(80));
    let effects = effects(&vendor).await;
    assert!(effects.iter().all(|effect| effect["replied"] == false));
    assert_eq!(effects[1]["double_of"], effects[0]["seq"]);
    let late = Vendor::new(&["deliver-twice", "late-accept=20ms"]).await;
    assert!(late.try_post(TRIGGER, &order()).await.is_err());
    while late.count("doubles").await == 0 {}
    assert_eq!(late.count("jobs").await, 2);
}

#[tokio::test]
async fn a_training_trigger_delivered_twice() {
    let faults = ["deliver-twice,times=1", "training-lag=10h"];
    let vendor = Vendor::with(Args { max_trainings: 1, ..args(FAST, &faults) }).await;
    let model = vendor.trainable().await;
    let train = format!("/models/{model}/train");
    vendor.get(&train).await;
    assert_eq!(vendor.model_word(&model).await, "new");
    let ledger = vendor.report("ledger").await;
    assert_eq!((&ledger["trainings"], &ledger["doubles"]), (&json!(2), &json!(1)));
    let effects = ledger["effects"].as_array().unwrap();
    let [first, second] = &effects[effects.len() - 2..] else { panic!("{effects:?}") };
    assert_eq!(second["double_of"], first["seq"]);
    assert_eq!((&second["model_id"], &second["replied"]), (&json!(model), &json!(false)));
    assert_eq!(vendor.try_get(&train).await.unwrap().status(), 409);
}

#[tokio::test]
async fn one_401_with_and_without_the_envelope() {
    for (fault, envelope) in [("unauthorized", true), ("unauthorized-bare", false)] {
        let vendor = Vendor::new(&[&format!("{fault}@reads,times=1")]).await;
        vendor.image_job().await;
        let reply = vendor.try_get("/jobs").await.unwrap();
        assert_eq!(reply.status(), 401, "{fault}");
        let body = reply.text().await.unwrap();
        assert_eq!(serde_json::from_str::<Value>(&body).is_ok(), envelope, "{body}");
        vendor.get("/jobs").await;
        vendor.control("faults", json!([format!("{fault}@effects,times=1")])).await;
        vendor.get("/jobs").await;
        assert_eq!(vendor.try_post(TRIGGER, &order()).await.unwrap().status(), 401, "{fault}");
        assert_eq!(vendor.count("jobs").await, 1, "no effect");
        vendor.image_job().await;
    }
}

#[tokio::test]
async fn delays_hold_the_reply_or_the_effect() {
    for (fault, jobs) in [("delay=10s", 1), ("delay-before=10s", 0)] {
        let vendor = Vendor::new(&[&format!("{fault}@triggerImageGenerationJob")]).await;
        let call = vendor.call(Method::POST, TRIGGER).json(&order());
        let timeout = call.timeout(Duration::from_millis(150)).send().await.unwrap_err();
        assert!(timeout.is_timeout());
        assert_eq!(vendor.count("jobs").await, jobs, "{fault}");
        assert!(effects(&vendor).await.iter().all(|effect| effect["replied"] == false));
        // The client's leaving is noticed, and logged as a call without a status.
        let path = "requests?op=triggerImageGenerationJob";
        while vendor.report(path).await["last"] == json!([]) {}
        assert_eq!(vendor.report(path).await["last"][0]["status"], Value::Null);
    }
}

#[tokio::test]
async fn a_call_may_go_on_without_its_client() {
    let slow = ["goes-on@jobs", "delay-before=300ms@jobs"];
    let vendor = Vendor::new(&slow).await;
    let call = vendor.call(Method::POST, TRIGGER).json(&order());
    let left = call.timeout(Duration::from_millis(100)).send().await.unwrap_err();
    assert!(left.is_timeout());
    while vendor.count("jobs").await == 0 {}
    assert_eq!(effects(&vendor).await[0]["replied"], false);
    let again = vendor.try_post(TRIGGER, &order()).await.unwrap();
    assert_eq!(again.status(), 200, "who stays gets the reply");
    assert_eq!(effects(&vendor).await[1]["replied"], true);
}

#[tokio::test]
async fn statuses_before_and_after_the_effect() {
    for (fault, status, jobs) in [
        ("status=503@jobs", 503, 0),
        ("status=404@jobs", 404, 0),
        ("status-after@jobs", 500, 1),
        ("status-after=504@jobs", 504, 1),
        ("unauthorized@jobs", 401, 0),
        ("nok@jobs", 200, 0),
        ("nok-after=201@jobs", 201, 1),
        ("no-credits", 402, 0),
        ("no-credits=403", 403, 0),
    ] {
        let vendor = Vendor::new(&[fault]).await;
        let (got, message) = refused(vendor.try_post(TRIGGER, &order()).await.unwrap()).await;
        assert_eq!((got, vendor.count("jobs").await), (status, jobs), "{fault}");
        assert_eq!(message.contains("insufficient credits"), fault.starts_with("no-credits"));
        assert!(effects(&vendor).await.iter().all(|effect| effect["replied"] == false));
    }
}

#[tokio::test]
async fn bodies_that_are_not_the_envelope() {
    for (fault, status, body, jobs) in [
        ("html@jobs", 502, "<html>", 0),
        ("html-after=504@jobs", 504, "<html>", 1),
        ("blocked@jobs", 403, "error code: 1010", 0),
        ("bad-json@jobs", 200, "{\"result\":{\"jobId\"", 1),
    ] {
        let vendor = Vendor::new(&[fault]).await;
        let reply = vendor.try_post(TRIGGER, &order()).await.unwrap();
        assert_eq!(reply.status(), status, "{fault}");
        let text = reply.text().await.unwrap();
        assert!(text.starts_with(body), "{fault}: {text}");
        assert!(serde_json::from_str::<Value>(&text).is_err());
        assert_eq!(vendor.count("jobs").await, jobs, "{fault}");
    }
}

#[tokio::test]
async fn rate_limits_with_and_without_retry_after() {
    let vendor = Vendor::new(&["rate-limit@ping,times=1", "rate-limit=9@ping,times=1"]).await;
    let first = vendor.try_get("/ping").await.unwrap();
    assert_eq!((first.status().as_u16(), first.headers().get("retry-after")), (429, None));
    let second = vendor.try_get("/ping").await.unwrap();
    assert_eq!(
        (second.status().as_u16(), &second.headers()["retry-after"]),
        (429, &"9".parse().unwrap())
    );
    assert_eq!(vendor.try_get("/ping").await.unwrap().status(), 200);
}

#[tokio::test]
async fn dates_can_be_missing_or_wrong() {
    let vendor = Vendor::new(&["no-date,times=1"]).await;
    assert!(vendor.try_get("/ping").await.unwrap().headers().get("date").is_none());
    assert!(vendor.try_get("/ping").await.unwrap().headers().get("date").is_some());
    let vendor = Vendor::with(Args { no_date: true, ..args(FAST, &[]) }).await;
    assert!(vendor.try_get("/ping").await.unwrap().headers().get("date").is_none());
    let vendor = Vendor::with(Args { clock_skew: -3_600_000, ..args(FAST, &[]) }).await;
    let date =
        vendor.try_get("/ping").await.unwrap().headers()["date"].to_str().unwrap().to_owned();
    let date = chrono::DateTime::parse_from_rfc2822(&date).unwrap();
    let behind = chrono::Utc::now().signed_duration_since(date).num_seconds();
    assert!((3595..3700).contains(&behind), "{behind}");
    let job = vendor.image_job().await;
    assert_eq!(vendor.get("/jobs").await["jobs"][0]["jobId"], json!(job));
}

#[tokio::test]
async fn links_expire_until_the_record_is_read_again() {
    let vendor = Vendor::new(&["expired-url,times=1"]).await;
    let job = vendor.image_job().await;
    let url = vendor.job_until(&job, "success").await["images"][0]["url"].clone();
    assert_eq!(vendor.fetch(&url).await.unwrap().status(), 403);
    assert_eq!(vendor.fetch(&url).await.unwrap().status(), 403);
    let fresh = vendor.job(&job).await["images"][0]["url"].clone();
    assert_eq!(vendor.fetch(&fresh).await.unwrap().status(), 200);
    let forged = json!(text(&fresh).replace("exp=", "exp=9"));
    assert_eq!(vendor.fetch(&forged).await.unwrap().status(), 403);
}

#[tokio::test]
async fn links_expire_by_time() {
    let ttl = Duration::from_millis(1);
    let vendor = Vendor::with(Args { url_ttl: ttl, ..args(FAST, &[]) }).await;
    let job = vendor.image_job().await;
    let url = vendor.job_until(&job, "success").await["images"][0]["url"].clone();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(vendor.fetch(&url).await.unwrap().status(), 403);
}

#[tokio::test]
async fn media_can_break_off_or_dribble() {
    let vendor = Vendor::new(&["truncated,times=1", "slow-media=60ms,skip=1"]).await;
    let job = vendor.image_job().await;
    let url = vendor.job_until(&job, "success").await["images"][0]["url"].clone();
    assert!(vendor.fetch(&url).await.unwrap().bytes().await.is_err());
    let begun = Instant::now();
    let whole = vendor.fetch(&url).await.unwrap();
    let length: usize = whole.headers()["content-length"].to_str().unwrap().parse().unwrap();
    assert_eq!(whole.bytes().await.unwrap().len(), length);
    assert!(begun.elapsed() >= Duration::from_millis(60));
}
