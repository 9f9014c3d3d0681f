//! Jobs and models of others, identical ones too, and a history.

use super::*;
use chrono::DateTime;

#[tokio::test]
async fn foreign_jobs_of_a_model() {
    let vendor = Vendor::new(&[]).await;
    let made = vendor.control("foreign", json!({ "key": "key", "model": "somebodys" })).await;
    let job = vendor.job_until(&text(&made["jobs"][0]), "success").await;
    assert_eq!(job["modelId"], "somebodys");
    let effect = vendor.report("ledger").await["effects"][0].clone();
    assert_eq!((&effect["model_id"], &effect["like"]), (&json!("somebodys"), &Value::Null));
}

#[tokio::test]
async fn identical_foreign_jobs() {
    let vendor = Vendor::new(&[]).await;
    let nothing = vendor.control("foreign", json!({ "key": "key", "model": "same" })).await;
    assert_eq!(nothing["status"], "NOK");
    let model = vendor.ready().await;
    let body = json!({ "modelID": model, "prompt": "a hat", "numImages": 3 });
    let ours = text(&vendor.post("/images/generation", body.clone()).await["jobId"]);
    let made = vendor.control("foreign", json!({ "model": "same", "count": 2 })).await;
    for id in made["jobs"].as_array().unwrap() {
        let job = vendor.job_until(&text(id), "success").await;
        assert_eq!(job["modelId"], json!(model));
        assert_eq!(job["images"].as_array().unwrap().len(), 3);
    }
    let effects = vendor.report("ledger").await["effects"].clone();
    let last = effects.as_array().unwrap().last().unwrap();
    assert_eq!((&last["kind"], &last["like"]), (&json!("foreign_job"), &json!(ours)));
    assert_eq!((&last["request"], &last["credits"]), (&body, &json!(30)));
    assert_eq!(vendor.count("credits").await, 30);
}

#[tokio::test]
async fn a_twin_beside_an_order() {
    let vendor = Vendor::new(&["foreign-twin,times=1"]).await;
    let ours = vendor.video_job().await;
    vendor.video_job().await;
    assert_eq!(vendor.get("/jobs").await["jobs"].as_array().unwrap().len(), 3);
    let twin = vendor.report("ledger").await["effects"][1].clone();
    assert_eq!((&twin["kind"], &twin["like"]), (&json!("foreign_job"), &json!(ours)));
    assert!(twin["call"].is_null() && twin["double_of"].is_null());
    let job = vendor.job_until(&text(&twin["id"]), "success").await;
    assert_eq!(job["videos"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn faults_reach_foreign_jobs_when_they_are_named() {
    let vendor = Vendor::new(&["list-lacks@foreign", "list-lag=1h@any"]).await;
    vendor.control("foreign", json!({ "key": "key", "age": "2h" })).await;
    assert_eq!(vendor.get("/jobs").await["jobs"], json!([]));
    let faults = vendor.report("faults").await;
    assert_eq!((&faults[0]["struck"], &faults[1]["struck"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn a_history() {
    let vendor = Vendor::with(args(1.0, &[])).await;
    let asked = json!({ "key": "key", "count": 3, "age": "3h", "every": "1h", "size": 8 });
    let made = vendor.control("foreign", asked).await["jobs"].clone();
    for (number, id) in made.as_array().unwrap().iter().enumerate() {
        let job = vendor.job(&text(id)).await;
        let created = DateTime::parse_from_rfc3339(job["createdAt"].as_str().unwrap()).unwrap();
        let age = chrono::Utc::now().signed_duration_since(created).num_seconds();
        let hours = 3 - i64::try_from(number).unwrap();
        assert!((0..20).contains(&(age - hours * 3600)), "{age} {job}");
        assert_eq!(job["status"], "success", "old jobs have ended");
    }
    let entry = vendor.get("/jobs").await["jobs"][2].clone();
    let at = |field: &str| DateTime::parse_from_rfc3339(entry[field].as_str().unwrap()).unwrap();
    let took = at("updatedAt").signed_duration_since(at("createdAt")).num_seconds();
    assert!((29..=91).contains(&took), "it ended when it would have: {entry}");
    vendor.control("foreign", json!({ "age": "25h" })).await;
    assert_eq!(vendor.get("/jobs").await["jobs"].as_array().unwrap().len(), 3);
    let wrong = vendor.control("foreign", json!({ "age": "long" })).await;
    assert!(text(&wrong["message"]).contains("duration"));
}

#[tokio::test]
async fn models_of_others() {
    let vendor = Vendor::with(Args { names: true, ..args(FAST, &[]) }).await;
    let asked = json!({ "key": "key", "name": "Eve", "status": "ready" });
    let ready = text(&vendor.control("foreign-model", asked).await["id"]);
    let plain = text(&vendor.control("foreign-model", json!({})).await["id"]);
    let listed = vendor.get("/models").await;
    assert_eq!((&listed[0]["id"], &listed[0]["status"]), (&json!(plain), &json!("new")));
    assert_eq!((&listed[1]["id"], &listed[1]["name"]), (&json!(ready), &json!("Eve")));
    assert_eq!(vendor.model_word(&ready).await, "ready");
    assert_eq!((vendor.count("models").await, vendor.count("foreign_models").await), (0, 2));
    // Its owner's key may use it, and that is a call like any other.
    vendor.post("/images/generation", json!({ "modelID": ready, "prompt": "p" })).await;
    for number in 0..12 {
        ok(vendor.upload(&plain, "modelInput", jpeg(number)).await).await;
    }
    vendor.get(&format!("/models/{plain}/train")).await;
    vendor.model_until(&plain, "ready").await;
}
