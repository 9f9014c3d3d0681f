//! Each endpoint on a good day.

use super::*;

#[tokio::test]
async fn ping_and_presets() {
    let vendor = Vendor::new(&[]).await;
    let reply = vendor.try_get("/ping").await.unwrap();
    assert!(reply.headers().contains_key("date"));
    let body: Value = reply.json().await.unwrap();
    assert_eq!(body, json!({ "message": "pong!", "status": "OK" }));
    let presets = vendor.get("/presets").await;
    assert!(presets.as_array().unwrap().iter().any(|preset| preset["tag"] == "editorial"));
}

#[tokio::test]
async fn a_model_from_birth_to_death() {
    let vendor = Vendor::new(&[]).await;
    let body = json!({ "name": "Ann", "age": 27, "gender": "Female", "ethnicity": "white" });
    let model = vendor.post("/models", body).await;
    assert_eq!(model["status"], "new");
    assert!(model.get("name").is_none(), "{model}");
    let id = text(&model["id"]);
    assert_eq!((id.len(), &id[14..15]), (36, "7"));
    vendor.post("/models", json!({ "id": id, "name": "Bea" })).await;
    assert_eq!(vendor.get("/models").await.as_array().unwrap().len(), 1);
    assert_eq!(vendor.delete(&format!("/models/{id}")).await, 200);
    assert_eq!(vendor.delete(&format!("/models/{id}")).await, 404);
    assert_eq!(vendor.model_word(&id).await, "deleted");
    let ledger = vendor.report("ledger").await;
    assert_eq!((&ledger["models"], &ledger["model_updates"]), (&json!(1), &json!(1)));
    assert_eq!(ledger["deletes"], 1);
}

#[tokio::test]
async fn names_can_be_shown() {
    let vendor = Vendor::with(Args { names: true, ..args(FAST, &[]) }).await;
    let model = vendor.model().await;
    assert_eq!(vendor.get(&format!("/models/{model}")).await["name"], "Ann");
}

#[tokio::test]
async fn uploads_come_back_byte_for_byte() {
    let vendor = Vendor::new(&[]).await;
    let model = vendor.model().await;
    let image = ok(vendor.upload(&model, "modelInput", jpeg(1)).await).await;
    assert_eq!((&image["type"], &image["modelID"]), (&json!("modelInput"), &json!(model)));
    let file = vendor.fetch(&image["url"]).await.unwrap();
    assert_eq!(file.headers()["content-type"], "image/jpeg");
    assert_eq!(file.bytes().await.unwrap(), jpeg(1));
    let effect = vendor.report("ledger").await["effects"][1].clone();
    assert_eq!(effect["content_sha256"].as_str().unwrap().len(), 64);
    assert_eq!((&effect["model_id"], &effect["replied"]), (&json!(model), &json!(true)));
}

#[tokio::test]
async fn images_are_listed_read_and_deleted() {
    let vendor = Vendor::new(&[]).await;
    let model = vendor.model().await;
    for number in 0..3 {
        ok(vendor.upload(&model, "modelInput", jpeg(number)).await).await;
    }
    let aux = text(&ok(vendor.upload(&model, "auxiliaryType", jpeg(9)).await).await["id"]);
    let path = format!("/models/{model}/images?imageType=input&pageSize=2&pageNum=2");
    let page: Value = vendor.try_get(&path).await.unwrap().json().await.unwrap();
    assert_eq!((&page["page"], &page["pageSize"]), (&json!(2), &json!(2)));
    assert_eq!(page["result"].as_array().unwrap().len(), 1);
    assert_eq!(vendor.get(&format!("/images/{aux}")).await["type"], "auxiliaryType");
    assert_eq!(vendor.delete(&format!("/images/{aux}")).await, 200);
    assert_eq!(vendor.try_get(&format!("/images/{aux}")).await.unwrap().status(), 404);
    let all = vendor.get(&format!("/models/{model}/images?imageType=all")).await;
    assert_eq!(all.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_training_becomes_ready_by_itself() {
    let vendor = Vendor::new(&[]).await;
    let model = vendor.trainable().await;
    let reply = vendor.get(&format!("/models/{model}/train")).await;
    assert_eq!(reply, "Training triggered");
    vendor.model_until(&model, "ready").await;
    let ledger = vendor.report("ledger").await;
    assert_eq!((&ledger["trainings"], &ledger["train_calls"]), (&json!(1), &json!(1)));
    assert_eq!((&ledger["images"], &ledger["jobs"]), (&json!(12), &json!(0)));
}

#[tokio::test]
async fn a_trained_model_makes_pictures_of_the_size_asked_for() {
    let vendor = Vendor::new(&[]).await;
    let model = vendor.ready().await;
    let body = json!({
        "modelID": model, "prompt": "on a horse", "width": 320, "height": 200, "numImages": 2,
    });
    let reply = vendor.post("/images/generation", body.clone()).await;
    assert_eq!(reply["status"], "queued");
    let job = vendor.job_until(reply["jobId"].as_str().unwrap(), "success").await;
    assert_eq!(job["modelId"], json!(model));
    let mut files = Vec::new();
    for image in job["images"].as_array().unwrap() {
        let file = vendor.fetch(&image["url"]).await.unwrap();
        let length: usize = file.headers()["content-length"].to_str().unwrap().parse().unwrap();
        let bytes = file.bytes().await.unwrap();
        assert_eq!(bytes.len(), length);
        let picture = image::load_from_memory(&bytes).unwrap();
        assert_eq!((picture.width(), picture.height()), (320, 200));
        files.push(bytes);
    }
    assert_ne!(files[0], files[1]);
    let effect = vendor.report("ledger?since=14").await["effects"][0].clone();
    assert_eq!((&effect["request"], &effect["credits"]), (&body, &json!(20)));
    let outputs = vendor.get(&format!("/models/{model}/images?imageType=output")).await;
    assert_eq!(outputs.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn upscaling_doubles_and_is_noted_on_the_source() {
    let vendor = Vendor::new(&[]).await;
    let job = vendor.image_job().await;
    let source = vendor.job_until(&job, "success").await["images"][0].clone();
    let small = image::load_from_memory(
        &vendor.fetch(&source["url"]).await.unwrap().bytes().await.unwrap(),
    );
    let reply = vendor.post("/images/upscaling", json!({ "imageID": source["id"] })).await;
    let done = vendor.job_until(reply["jobId"].as_str().unwrap(), "success").await;
    let large = vendor.fetch(&done["images"][0]["url"]).await.unwrap();
    let large = image::load_from_memory(&large.bytes().await.unwrap()).unwrap();
    assert_eq!((small.unwrap().width(), large.width()), (1024, 2048));
    let source = vendor.get(&format!("/images/{}", text(&source["id"]))).await;
    assert_eq!(source["upscaledImageID"], done["images"][0]["id"]);
    assert_eq!(vendor.count("credits").await, 15);
}

#[tokio::test]
async fn a_video_from_playlist_to_download() {
    let vendor = Vendor::with(args(100.0, &["job-time=1ms"])).await;
    let job = vendor.video_job().await;
    let video = vendor.job_until(&job, "success").await["videos"][0].clone();
    assert!(text(&video["url"]).contains(".m3u8"));
    let playlist = vendor.fetch(&video["url"]).await.unwrap().text().await.unwrap();
    let segment = playlist.lines().find(|line| line.starts_with("segment")).unwrap();
    let segment = reqwest::Url::parse(video["url"].as_str().unwrap()).unwrap().join(segment);
    let segment = vendor.fetch(&json!(segment.unwrap().as_str())).await.unwrap();
    assert_eq!(segment.bytes().await.unwrap()[0], 0x47);
    let id = text(&video["id"]);
    let record = vendor.get(&format!("/videos/{id}")).await;
    assert_eq!(record["jobId"], json!(job));
    assert_eq!(vendor.get("/videos").await.as_array().unwrap().len(), 1);
    let path = format!("/videos/{id}/download");
    assert_eq!(vendor.try_get(&path).await.unwrap().status(), 404);
    vendor.get(&format!("/videos/{id}/create-download")).await;
    let early = vendor.get(&path).await;
    assert!(early["percentComplete"].as_u64().unwrap() < 100 && early.get("url").is_none());
    vendor.get(&format!("/videos/{id}/create-download")).await;
    vendor.control("finish", json!({})).await;
    let ready = vendor.get(&path).await;
    assert_eq!((&ready["percentComplete"], &ready["status"]), (&json!(100), &json!("ready")));
    let file = vendor.fetch(&ready["url"]).await.unwrap().bytes().await.unwrap();
    assert_eq!(&file[4..8], b"ftyp");
    assert!(file.windows(job.len()).any(|window| window == job.as_bytes()));
    assert_eq!(vendor.count("downloads").await, 1);
    assert_eq!(vendor.delete(&format!("/videos/{id}")).await, 200);
    assert_eq!(vendor.try_get(&format!("/videos/{id}")).await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_job_passes_through_the_documented_states() {
    let vendor = Vendor::with(args(1.0, &["job-time=200ms"])).await;
    let job = vendor.image_job().await;
    let mut seen = Vec::new();
    while seen.last().map(String::as_str) != Some("success") {
        let word = vendor.job_word(&job).await;
        if seen.last() != Some(&word) {
            seen.push(word);
        }
    }
    let all = ["created", "queued", "running", "success"];
    // A slow machine may miss a short one, but the order holds.
    let mut rest = all.iter();
    assert!(seen.iter().all(|word| rest.any(|known| known == word)), "{seen:?}");
}

#[tokio::test]
async fn the_job_list_pages_from_new_to_old() {
    let vendor = Vendor::with(Args { page_size: 2, ..args(FAST, &[]) }).await;
    let mut jobs = Vec::new();
    for _ in 0..5 {
        jobs.push(vendor.image_job().await);
    }
    let (mut listed, mut token) = (Vec::new(), String::new());
    loop {
        let page = vendor.get(&format!("/jobs?pageToken={token}")).await;
        listed.extend(page["jobs"].as_array().unwrap().iter().map(|job| text(&job["jobId"])));
        token = text(&page["nextPageToken"]);
        if token.is_empty() {
            break;
        }
    }
    jobs.reverse();
    assert_eq!(listed, jobs);
    let entry = &vendor.get("/jobs").await["jobs"][0];
    assert_eq!(entry["credits"], 10);
    assert!(text(&entry["createdAt"]).ends_with('Z') && !text(&entry["createdAt"]).contains('.'));
    let past = "/jobs?start=2020-01-01T00:00:00Z&end=2020-01-02T00:00:00Z";
    assert_eq!(vendor.get(past).await["jobs"], json!([]));
}

#[tokio::test]
async fn trainings_can_be_listed() {
    let vendor = Vendor::with(Args { list_trainings: true, ..args(FAST, &[]) }).await;
    let model = vendor.ready().await;
    let jobs = vendor.get("/jobs").await["jobs"].clone();
    assert_eq!((jobs.as_array().unwrap().len(), &jobs[0]["credits"]), (1, &json!(0)));
    let job = vendor.job(jobs[0]["jobId"].as_str().unwrap()).await;
    assert_eq!((&job["modelId"], &job["status"]), (&json!(model), &json!("success")));
    assert!(job.get("images").is_none());
}
