//! What the vendor does not accept, faults apart.

use super::*;
use crate::simulator::Retrain;

#[tokio::test]
async fn keys_and_version_are_checked() {
    let vendor = Vendor::with(Args { api_keys: vec!["good".into()], ..args(FAST, &[]) }).await;
    let ping = |key: &str| {
        let url = format!("{}/ping", vendor.running.api_url());
        vendor.http.get(url).header("Authorization", format!("Bearer {key}"))
    };
    let with_version = |key| ping(key).header("API-Version", "1").send();
    assert_eq!(with_version("good").await.unwrap().status(), 200);
    assert_eq!(refused(with_version("bad").await.unwrap()).await.0, 401);
    assert_eq!(refused(with_version("").await.unwrap()).await.0, 401);
    assert_eq!(refused(ping("good").send().await.unwrap()).await.0, 400);
    let bare = vendor.http.get(format!("{}/ping", vendor.running.api_url()));
    assert_eq!(refused(bare.send().await.unwrap()).await.0, 401);
}

#[tokio::test]
async fn any_key_will_do_but_each_is_a_user() {
    let args = Args { require_version: false, ..args(FAST, &[]) };
    let vendor = Vendor::with(args).await;
    let model = vendor.model().await;
    let job = vendor.image_job().await;
    for path in [format!("/models/{model}"), format!("/jobs/{job}"), "/nonsense".into()] {
        let url = format!("{}{path}", vendor.running.api_url());
        let other = vendor.http.get(url).bearer_auth("other").send().await.unwrap();
        assert_eq!(refused(other).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn unknown_ids_are_404() {
    let vendor = Vendor::new(&[]).await;
    for path in [
        "/models/x",
        "/models/x/images",
        "/models/x/train",
        "/images/x",
        "/jobs/x",
        "/videos/x",
        "/videos/x/create-download",
        "/videos/x/download",
    ] {
        assert_eq!(refused(vendor.try_get(path).await.unwrap()).await.0, 404, "{path}");
    }
    for path in ["/models/x", "/images/x", "/videos/x"] {
        assert_eq!(vendor.delete(path).await, 404, "{path}");
    }
}

#[tokio::test]
async fn bad_models_are_400() {
    let vendor = Vendor::new(&[]).await;
    for body in [
        json!({}),
        json!({ "name": "" }),
        json!({ "name": "Ann", "gender": "female" }),
        json!({ "name": "Ann", "age": "27" }),
        json!([]),
    ] {
        assert_eq!(
            refused(vendor.try_post("/models", &body).await.unwrap()).await.0,
            400,
            "{body}"
        );
    }
    assert_eq!(vendor.count("models").await, 0);
}

#[tokio::test]
async fn bad_uploads_are_400() {
    let vendor = Vendor::new(&[]).await;
    let model = vendor.model().await;
    let gif = vendor.upload(&model, "modelInput", b"GIF89a..............".to_vec()).await;
    assert!(refused(gif).await.1.contains("heic"));
    assert_eq!(refused(vendor.upload(&model, "output", jpeg(0)).await).await.0, 400);
    assert_eq!(refused(vendor.upload("x", "modelInput", jpeg(0)).await).await.0, 404);
    let mut large = jpeg(0);
    large.resize(20_000_001, 0);
    assert!(refused(vendor.upload(&model, "modelInput", large).await).await.1.contains("20 MB"));
    let bare = vendor.try_post("/images/upload", &json!({})).await.unwrap();
    assert_eq!(refused(bare).await.0, 400);
    for number in 0..20 {
        ok(vendor.upload(&model, "modelInput", jpeg(number)).await).await;
    }
    assert_eq!(refused(vendor.upload(&model, "modelInput", jpeg(20)).await).await.0, 400);
    ok(vendor.upload(&model, "auxiliaryType", jpeg(21)).await).await;
    assert_eq!(vendor.count("images").await, 21);
}

#[tokio::test]
async fn training_needs_pictures_and_room() {
    let vendor = Vendor::with(Args { max_trainings: 1, ..args(1.0, &[]) }).await;
    let empty = vendor.model().await;
    let train = |model: String| {
        let path = format!("/models/{model}/train");
        let vendor = &vendor;
        async move { vendor.try_get(&path).await.unwrap() }
    };
    assert!(refused(train(empty).await).await.1.contains("between 12 and 20"));
    let (first, second) = (vendor.trainable().await, vendor.trainable().await);
    ok(train(first.clone()).await).await;
    assert_eq!(refused(train(second.clone()).await).await.0, 429);
    vendor.control("finish", json!({})).await;
    ok(train(second).await).await;
    assert_eq!(refused(train(first).await).await.0, 409);
    let ledger = vendor.report("ledger").await;
    assert_eq!((&ledger["trainings"], &ledger["train_calls"]), (&json!(2), &json!(5)));
    assert_eq!(ledger["train_conflicts"], 1);
}

#[tokio::test]
async fn a_second_trigger_can_be_ignored_or_paid_for() {
    for (retrain, trainings, noops) in [(Retrain::Noop, 1, 1), (Retrain::Double, 2, 0)] {
        let vendor = Vendor::with(Args { retrain, ..args(FAST, &[]) }).await;
        let model = vendor.ready().await;
        vendor.get(&format!("/models/{model}/train")).await;
        assert_eq!(vendor.count("trainings").await, trainings);
        assert_eq!(vendor.count("train_noops").await, noops);
    }
}

#[tokio::test]
async fn bad_orders_are_400() {
    let vendor = Vendor::new(&[]).await;
    let unready = vendor.model().await;
    let urls = |n: usize| vec!["https://example.com/a.jpg"; n];
    let image = "/images/generation";
    let video = "/videos/generation";
    let veo = |options: Value| json!({ "modelID": "veo-3.1", "prompt": "p", "options": { "veo": options } });
    for (path, body) in [
        (image, json!({ "prompt": "p" })),
        (image, json!({ "modelID": "dall-e", "prompt": "p" })),
        (image, json!({ "modelID": "nanobanana" })),
        (image, json!({ "modelID": unready, "prompt": "p" })),
        (image, json!({ "modelID": "nanobanana", "prompt": "p", "options": { "openai": {} } })),
        (image, json!({ "modelID": "nanobanana", "prompt": "p", "referenceImageURLs": urls(4) })),
        (
            image,
            json!({ "modelID": "nanobanana-2", "prompt": "p", "referenceImageURLs": urls(15) }),
        ),
        (image, json!({ "modelID": "seedream", "prompt": "p", "referenceImageURLs": urls(11) })),
        (image, json!({ "modelID": "nanobanana", "prompt": "p", "preset": "nonesuch" })),
        (image, json!({ "modelID": "nanobanana", "prompt": "p", "numImages": 0 })),
        (image, json!({ "modelID": "nanobanana", "prompt": "p", "aspectRatio": "wide" })),
        ("/images/upscaling", json!({ "imageID": "image_x" })),
        ("/images/upscaling", json!({})),
        (video, json!({ "modelID": "grok-imagine-1.5" })),
        (video, json!({ "modelID": "nanobanana", "prompt": "p" })),
        (video, json!({ "modelID": "grok-imagine-1.5", "prompt": "p", "options": { "veo": {} } })),
        (
            video,
            json!({ "modelID": "veo-3.1", "prompt": "p", "referenceVideos": [
            { "url": "https://example.com/v.mp4", "role": "reference_video" } ] }),
        ),
        (
            video,
            json!({ "modelID": "seedance-2.0", "prompt": "p", "referenceImages": [
            { "url": "https://example.com/a.jpg", "role": "middle" } ] }),
        ),
        (video, veo(json!({ "duration": 5 }))),
        (video, veo(json!({ "resolution": "4k" }))),
        (video, veo(json!({ "aspectRatio": "1:1" }))),
        (video, veo(json!({ "ratio": "16:9" }))),
        (
            video,
            json!({ "modelID": "veo-3.1", "prompt": "p", "options": { "veo": { "duration": 4 } },
            "referenceImages": [ { "url": "https://e.com/a", "role": "reference_image" } ] }),
        ),
    ] {
        assert_eq!(refused(vendor.try_post(path, &body).await.unwrap()).await.0, 400, "{body}");
    }
    assert_eq!(vendor.count("jobs").await, 0);
    vendor.post(video, veo(json!({ "duration": 6, "resolution": "1080p", "seed": 1 }))).await;
    let full = json!({ "modelID": "nanobanana", "prompt": "p", "referenceImageURLs": urls(3),
        "preset": "editorial", "aspectRatio": "16:9", "options": { "gemini": { "imageSize": "1K" } } });
    vendor.post(image, full).await;
    assert_eq!(vendor.count("jobs").await, 2);
}

#[tokio::test]
async fn too_many_active_jobs_are_429() {
    let args = Args { max_active_jobs: 1, retry_after: Some(7), ..args(1.0, &[]) };
    let vendor = Vendor::with(args).await;
    vendor.image_job().await;
    let body = json!({ "modelID": "nanobanana", "prompt": "p" });
    let reply = vendor.try_post("/images/generation", &body).await.unwrap();
    assert_eq!(reply.headers()["retry-after"], "7");
    assert_eq!(refused(reply).await.0, 429);
    vendor.control("finish", json!({})).await;
    vendor.image_job().await;
    assert_eq!(vendor.count("jobs").await, 2);
}

#[tokio::test]
async fn bad_windows_and_pages_are_400() {
    let vendor = Vendor::new(&[]).await;
    let model = vendor.model().await;
    for path in [
        "/jobs?start=yesterday".to_owned(),
        "/jobs?start=2026-01-01T00:00:00Z&end=2026-01-09T00:00:00Z".to_owned(),
        "/jobs?start=2026-01-02T00:00:00Z&end=2026-01-01T00:00:00Z".to_owned(),
        "/jobs?pageToken=zz".to_owned(),
        format!("/models/{model}/images?imageType=modelInput"),
        format!("/models/{model}/images?pageNum=0"),
    ] {
        assert_eq!(refused(vendor.try_get(&path).await.unwrap()).await.0, 400, "{path}");
    }
    vendor.get("/jobs?start=2026-01-01T00:00:00Z&end=2026-01-08T00:00:00Z").await;
    let forged = hex::encode("5:9:1:0");
    assert_eq!(vendor.get(&format!("/jobs?pageToken={forged}")).await["jobs"], json!([]));
}
