//! Trouble with trainings, jobs, lists and downloads.

use super::*;

/// A vendor with one training under way.
async fn training(faults: &[&str]) -> (Vendor, String) {
    let vendor = Vendor::new(faults).await;
    let model = vendor.trainable().await;
    vendor.get(&format!("/models/{model}/train")).await;
    (vendor, model)
}

/// How one job ends under this fault.
async fn ended(fault: &str, word: &str) -> Value {
    let vendor = Vendor::new(&[fault]).await;
    let job = vendor.image_job().await;
    vendor.job_until(&job, word).await
}

#[tokio::test]
async fn trainings_end_badly() {
    let (vendor, model) = training(&["training-failed"]).await;
    vendor.model_until(&model, "failed").await;
    let (vendor, model) = training(&["training-failed=error"]).await;
    vendor.model_until(&model, "error").await;
    let (vendor, model) = training(&["model-deleted"]).await;
    vendor.model_until(&model, "deleted").await;
    assert_eq!(vendor.try_get(&format!("/models/{model}/train")).await.unwrap().status(), 404);
}

#[tokio::test]
async fn trainings_fall_back_to_new() {
    let (vendor, model) = training(&["training-reset,times=1", "training-time=40ms,times=1"]).await;
    assert_eq!(vendor.model_word(&model).await, "training");
    vendor.model_until(&model, "new").await;
    vendor.get(&format!("/models/{model}/train")).await;
    vendor.model_until(&model, "ready").await;
    assert_eq!(vendor.count("trainings").await, 2);
}

#[tokio::test]
async fn trainings_get_stuck() {
    let (vendor, model) = training(&["training-stuck", "training-time=1ms"]).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(vendor.model_word(&model).await, "training");
    vendor.control("finish", json!({})).await;
    assert_eq!(vendor.model_word(&model).await, "ready");
}

#[tokio::test]
async fn trainings_show_late_and_pass_through_states() {
    let (vendor, model) = training(&["training-lag=60ms", "training-time=10s"]).await;
    assert_eq!(vendor.model_word(&model).await, "new");
    // Under way although it does not show: a second trigger conflicts.
    assert_eq!(vendor.try_get(&format!("/models/{model}/train")).await.unwrap().status(), 409);
    vendor.model_until(&model, "training").await;
    let (vendor, model) =
        training(&["training-states=warming+cooling", "training-time=150ms"]).await;
    assert_eq!(vendor.model_word(&model).await, "warming");
    vendor.model_until(&model, "cooling").await;
    vendor.model_until(&model, "ready").await;
}

#[tokio::test]
async fn a_second_trigger_is_charged_again() {
    // While it shows `new`, and only then.
    let faults = ["training-lag=400ms,times=2", "training-time=10s", "train-again-new"];
    let (vendor, model) = training(&faults).await;
    let train = format!("/models/{model}/train");
    assert_eq!(vendor.model_word(&model).await, "new");
    vendor.get(&train).await;
    assert_eq!(vendor.count("trainings").await, 2);
    vendor.model_until(&model, "training").await;
    assert_eq!(vendor.try_get(&train).await.unwrap().status(), 409);
    assert_eq!(vendor.count("trainings").await, 2);
    // Whatever it shows, once.
    vendor.control("faults", json!(["train-again,times=1"])).await;
    vendor.get(&train).await;
    assert_eq!(vendor.try_get(&train).await.unwrap().status(), 409);
    let ledger = vendor.report("ledger").await;
    let last = ledger["effects"].as_array().unwrap().last().unwrap();
    assert_eq!((&ledger["trainings"], &last["model_id"]), (&json!(3), &json!(model)));
    assert!(last["double_of"].is_null(), "two calls are no double: {last}");
}

#[tokio::test]
async fn a_training_stays_new_for_as_long_as_one_says() {
    let (vendor, model) = training(&["training-lag=10h"]).await;
    assert_eq!(vendor.model_word(&model).await, "new");
    vendor.control("finish", json!({})).await;
    assert_eq!(vendor.model_word(&model).await, "ready");
}

#[tokio::test]
async fn one_training_can_be_listed() {
    let (vendor, _) = training(&["training-listed,times=1"]).await;
    assert_eq!(vendor.get("/jobs").await["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(vendor.count("jobs").await, 0);
    let (vendor, model) = training(&["training-listed", "training-failed"]).await;
    vendor.model_until(&model, "failed").await;
    let listed = vendor.get("/jobs").await["jobs"][0].clone();
    assert_eq!(vendor.job(listed["jobId"].as_str().unwrap()).await["status"], "failed");
}

#[tokio::test]
async fn words_in_mixed_case() {
    let vendor = Vendor::new(&["mixed-case"]).await;
    let model = vendor.model().await;
    assert_eq!(vendor.model_word(&model).await, "NeW");
    let job = vendor.image_job().await;
    vendor.job_until(&job, "SuCcEsS").await;
    assert_eq!(vendor.get("/jobs").await["jobs"][0]["status"], "SuCcEsS");
}

#[tokio::test]
async fn names_deleted_models_and_duplicates() {
    let vendor = Vendor::new(&["names@listModels", "hide-deleted", "unique-names"]).await;
    let model = vendor.model().await;
    let again = vendor.try_post("/models", &json!({ "name": "Ann" })).await.unwrap();
    assert_eq!(refused(again).await.0, 409);
    assert_eq!(vendor.get("/models").await[0]["name"], "Ann");
    assert!(vendor.get(&format!("/models/{model}")).await.get("name").is_none());
    vendor.delete(&format!("/models/{model}")).await;
    assert_eq!(vendor.get("/models").await, json!([]));
    let vendor = Vendor::new(&[]).await;
    assert_ne!(vendor.model().await, vendor.model().await);
}

#[tokio::test]
async fn jobs_get_stuck_or_speak_in_tongues() {
    let vendor =
        Vendor::new(&["job-stuck,times=1", "odd-status,times=1", "job-time=1ms,times=1"]).await;
    let stuck = vendor.image_job().await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(vendor.job_word(&stuck).await, "queued");
    vendor.control("finish", json!({})).await;
    assert_eq!(vendor.job_word(&stuck).await, "success");
    let vendor = Vendor::new(&["odd-status=thinking", "job-time=100ms"]).await;
    let odd = vendor.image_job().await;
    vendor.job_until(&odd, "thinking").await;
    vendor.job_until(&odd, "success").await;
    let done = ended("odd-end", "completed").await;
    assert_eq!(done["images"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn jobs_fail_with_and_without_a_reason() {
    let failed = ended("job-failed=Too blue", "failed").await;
    assert_eq!((&failed["error"], failed.get("images")), (&json!("Too blue"), None));
    assert!(ended("job-failed-silent", "failed").await.get("error").is_none());
    let vendor = Vendor::new(&["job-failed"]).await;
    let job = vendor.image_job().await;
    vendor.job_until(&job, "failed").await;
    assert_eq!(vendor.get("/jobs").await["jobs"][0]["errorMessage"], "The generation failed");
}

#[tokio::test]
async fn success_without_or_with_fewer_images() {
    let vendor = Vendor::new(&["empty-success=2,times=1", "empty-success,times=1"]).await;
    let (some, never) = (vendor.image_job().await, vendor.image_job().await);
    let count = |job: &Value| job["images"].as_array().unwrap().len();
    assert_eq!(count(&vendor.job_until(&some, "success").await), 0);
    assert_eq!(count(&vendor.job(&some).await), 0);
    assert_eq!(count(&vendor.job(&some).await), 1);
    vendor.job_until(&never, "success").await;
    assert_eq!(count(&vendor.job(&never).await), 0);
    let vendor = Vendor::new(&["fewer"]).await;
    let body = json!({ "modelID": "nanobanana", "prompt": "p", "numImages": 3 });
    let job = text(&vendor.post("/images/generation", body).await["jobId"]);
    assert_eq!(count(&vendor.job_until(&job, "success").await), 2);
    assert_eq!(vendor.count("credits").await, 30);
}

#[tokio::test]
async fn ends_without_media_under_odd_words() {
    let ended_as = ended("bare-end", "canceled").await;
    assert!(ended_as.get("images").is_none() && ended_as.get("error").is_none(), "{ended_as}");
    for word in ["cancelled", "expired", "aborted", "rejected"] {
        let ended_as = ended(&format!("bare-end={word}"), word).await;
        assert!(ended_as.get("images").is_none(), "{ended_as}");
    }
}

/// A finished job of three images.
async fn three_images(faults: &[&str]) -> (Vendor, String) {
    let vendor = Vendor::new(faults).await;
    let body = json!({ "modelID": "nanobanana", "prompt": "p", "numImages": 3 });
    let job = text(&vendor.post("/images/generation", body).await["jobId"]);
    vendor.control("finish", json!({})).await;
    (vendor, job)
}

fn ids(job: &Value) -> Vec<Option<&str>> {
    job["images"].as_array().unwrap().iter().map(|image| image["id"].as_str()).collect()
}

#[tokio::test]
async fn some_media_come_late() {
    let (vendor, job) = three_images(&["media-late=150ms"]).await;
    let begun = std::time::Instant::now();
    let first = vendor.job(&job).await;
    assert!(ids(&first).len() == 1 || begun.elapsed() > Duration::from_millis(140), "{first}");
    assert_eq!(first["status"], "success");
    while ids(&vendor.job(&job).await).len() < 3 {}
    let vendor = Vendor::new(&["media-late=1h"]).await;
    let job = vendor.image_job().await;
    assert_eq!(vendor.job_until(&job, "success").await["images"], json!([]));
}

#[tokio::test]
async fn media_without_ids_and_media_twice() {
    let (vendor, job) = three_images(&["media-no-ids,times=1"]).await;
    let bare = vendor.job(&job).await;
    assert_eq!(ids(&bare), [None, None, None]);
    assert!(bare["images"][0]["url"].is_string());
    let whole = vendor.job(&job).await;
    vendor.control("faults", json!(["media-twice,times=1", "media-twice=instead"])).await;
    let (extra, instead) = (vendor.job(&job).await, vendor.job(&job).await);
    let [one, two, three] = ids(&whole)[..] else { panic!("{whole}") };
    assert_eq!(ids(&extra), [one, two, three, one]);
    assert_eq!(ids(&instead), [one, two, one]);
    let video = Vendor::new(&["media-no-ids"]).await;
    let job = video.video_job().await;
    video.control("finish", json!({})).await;
    assert!(video.job(&job).await["videos"][0].get("id").is_none());
}

#[tokio::test]
async fn ids_in_another_form() {
    let vendor = Vendor::new(&[]).await;
    let model = vendor.ready().await;
    let body = json!({ "modelID": model, "prompt": "p" });
    let job = text(&vendor.post("/images/generation", body.clone()).await["jobId"]);
    for (form, model_shown, job_shown) in [
        ("upper", model.to_uppercase(), job.to_uppercase()),
        ("prefix", format!("mdl_{model}"), format!("api_{job}")),
        ("bare", model.replace('-', ""), job.replace("job_", "")),
    ] {
        let faults = [format!("model-id-form={form}"), format!("job-id-form={form}")];
        vendor.control("faults", json!(faults)).await;
        let record = vendor.job(&job).await;
        assert_eq!(
            (&record["modelId"], &record["jobId"]),
            (&json!(model_shown), &json!(job_shown))
        );
        assert_eq!(vendor.get("/jobs").await["jobs"][0]["jobId"], json!(job_shown));
        vendor.http.delete(vendor.running.control_url("faults")).send().await.unwrap();
        assert_eq!(vendor.job(&job_shown).await["jobId"], json!(job), "either form is known");
    }
    vendor.control("faults", json!(["job-id-form@jobs"])).await;
    let shown = text(&vendor.post("/images/generation", body).await["jobId"]);
    assert_eq!(vendor.job(&shown).await["jobId"], json!(shown.to_lowercase()));
}

#[tokio::test]
async fn a_known_job_answers_404() {
    let vendor = Vendor::new(&["job-404=2,times=1", "job-404,times=1"]).await;
    let (some, never) = (vendor.image_job().await, vendor.image_job().await);
    for _ in 0..2 {
        let path = format!("/jobs/{some}");
        assert_eq!(refused(vendor.try_get(&path).await.unwrap()).await.0, 404);
    }
    vendor.job_until(&some, "success").await;
    for _ in 0..4 {
        let path = format!("/jobs/{never}");
        assert_eq!(refused(vendor.try_get(&path).await.unwrap()).await.0, 404);
    }
}

#[tokio::test]
async fn the_list_lags_behind() {
    let vendor = Vendor::new(&["list-lag=100ms,times=1"]).await;
    let begun = std::time::Instant::now();
    let late = vendor.image_job().await;
    let prompt = vendor.image_job().await;
    vendor.job(&late).await;
    let listed = vendor.get("/jobs").await["jobs"].clone();
    assert!(listed.as_array().unwrap().len() == 1 || begun.elapsed() > Duration::from_millis(100));
    assert_eq!(listed[0]["jobId"], json!(prompt));
    while vendor.get("/jobs").await["jobs"].as_array().unwrap().len() < 2 {}
    assert!(begun.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn foreign_jobs_appear_by_themselves() {
    let vendor = Vendor::new(&["foreign=5ms"]).await;
    vendor.get("/ping").await;
    while vendor.get("/jobs").await["jobs"].as_array().unwrap().len() < 3 {}
    let ledger = vendor.report("ledger").await;
    assert_eq!((&ledger["jobs"], &ledger["credits"]), (&json!(0), &json!(0)));
    assert_eq!(ledger["effects"][0]["kind"], "foreign_job");
}

#[tokio::test]
async fn downloads_fail_in_three_ways() {
    let vendor = Vendor::new(&["hls-only,times=1", "mp4-url@listVideos"]).await;
    let video = vendor.video().await;
    let create = format!("/videos/{video}/create-download");
    assert_eq!(refused(vendor.try_get(&create).await.unwrap()).await.0, 400);
    let url = vendor.get("/videos").await[0]["url"].clone();
    assert_eq!(vendor.fetch(&url).await.unwrap().headers()["content-type"], "video/mp4");
    for (fault, word, percent) in [
        ("download-stuck", "inprogress", 40),
        ("download-stuck=7", "inprogress", 7),
        ("download-error", "error", 100),
    ] {
        let vendor = Vendor::new(&[fault]).await;
        let video = vendor.video().await;
        vendor.get(&format!("/videos/{video}/create-download")).await;
        let path = format!("/videos/{video}/download");
        while vendor.get(&path).await["percentComplete"] != percent {}
        let state = vendor.get(&path).await;
        assert_eq!((&state["status"], state.get("url")), (&json!(word), None), "{fault}");
    }
}
