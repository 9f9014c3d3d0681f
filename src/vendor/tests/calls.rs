//! Every method against a scripted vendor: path, method, headers, body.

use super::server::{CANARY, NEW_YEAR, Seen, Server, config, reply};
use crate::domain::failure::FailureClass;
use crate::domain::ids::{RemoteImageId, RemoteJobId, RemoteModelId, RemoteVideoId};
use crate::domain::request::{Gender, Identity};
use crate::vendor::*;
use axum::response::Response;
use secrecy::SecretString;
use serde_json::json;
use std::sync::{Arc, Mutex};

/// Answers every endpoint with a plausible success.
fn vendor(seen: &Seen) -> Response {
    let path = seen.target.split('?').next().unwrap_or_default();
    let result = match path.strip_prefix("/api/").unwrap_or_default() {
        "models" if seen.method == "POST" => json!({"id": "m1", "status": "new"}),
        "models" => json!([{"id": "m1"}]),
        "models/m1" => json!({"id": "m1", "status": "ready"}),
        "models/m1/images" => json!([{"id": "i1"}]),
        "images/i1" => json!({"id": "i1"}),
        "jobs" => json!({"jobs": []}),
        "jobs/j1" => json!({"jobId": "j1", "status": "running"}),
        "videos" => json!([{"id": "v1"}]),
        "videos/v1" => json!({"id": "v1", "jobId": "j1"}),
        "videos/v1/download" => json!({"status": "ready", "url": "https://v/f.mp4"}),
        "presets" => json!([{"tag": "editorial"}]),
        path if path.ends_with("generation") || path.ends_with("upscaling") => {
            json!({"jobId": "j1", "status": "queued"})
        }
        _ => json!("done"),
    };
    reply(200, json!({"result": result, "status": "OK"}).to_string())
}

fn identity() -> Identity {
    Identity {
        name: "Ann".into(),
        age: 25,
        gender: Gender::Female,
        ethnicity: None,
        eye_color: None,
    }
}

#[tokio::test]
async fn every_endpoint_is_called_as_documented() {
    let server = Server::start(vendor).await;
    let client = server.client();
    let (model, image) = (RemoteModelId::from("m1"), RemoteImageId::from("i1"));
    let (job, video) = (RemoteJobId::from("j1"), RemoteVideoId::from("v1"));

    client.ping().await.unwrap();
    client.create_model(&identity()).await.unwrap();
    client.update_model(&model, &IdentityPatch::from(&identity())).await.unwrap();
    client.list_models().await.unwrap();
    client.get_model(&model).await.unwrap();
    client.delete_model(&model).await.unwrap();
    client.list_model_images(&model, ImageFilter::Reference, 2, 20).await.unwrap();
    client.train(&model).await.unwrap();
    client.get_image(&image).await.unwrap();
    client.delete_image(&image).await.unwrap();
    client.generate_image(&json!({"modelID": "m1"})).await.unwrap();
    client.upscale_image(&upscale_body(&image)).await.unwrap();
    client.generate_video(&json!({"modelID": "veo-3.1"})).await.unwrap();
    client.get_job(&job).await.unwrap();
    client.list_jobs(NEW_YEAR + 1, Some(NEW_YEAR + 1), Some("t k&=")).await.unwrap();
    client.list_videos().await.unwrap();
    client.get_video(&video).await.unwrap();
    client.delete_video(&video).await.unwrap();
    client.create_download(&video).await.unwrap();
    client.get_download(&video).await.unwrap();
    let last = client.presets().await.unwrap();
    assert_eq!(last.vendor_time, Some(NEW_YEAR + 7_000));
    assert!(client.vendor_now().unwrap() >= NEW_YEAR + 7_000);

    let seen = server.seen();
    let calls: Vec<String> =
        seen.iter().map(|seen| format!("{} {}", seen.method, seen.target)).collect();
    let expected = [
        "GET /api/ping",
        "POST /api/models",
        "POST /api/models",
        "GET /api/models",
        "GET /api/models/m1",
        "DELETE /api/models/m1",
        "GET /api/models/m1/images?imageType=auxiliaryType&pageNum=2&pageSize=20",
        "GET /api/models/m1/train",
        "GET /api/images/i1",
        "DELETE /api/images/i1",
        "POST /api/images/generation",
        "POST /api/images/upscaling",
        "POST /api/videos/generation",
        "GET /api/jobs/j1",
        "GET /api/jobs?start=2026-01-01T00%3A00%3A00Z&end=2026-01-01T00%3A00%3A01Z&pageToken=t+k%26%3D",
        "GET /api/videos",
        "GET /api/videos/v1",
        "DELETE /api/videos/v1",
        "GET /api/videos/v1/create-download",
        "GET /api/videos/v1/download",
        "GET /api/presets",
    ];
    assert_eq!(calls, expected);
    for seen in &seen {
        assert_eq!(seen.header("authorization"), format!("Bearer {CANARY}"), "{}", seen.target);
        assert_eq!(seen.header("api-version"), "1", "{}", seen.target);
        assert!(seen.header("user-agent").starts_with("darkroom/"), "{}", seen.target);
        let json = seen.method == "POST";
        assert_eq!(seen.header("content-type") == "application/json", json, "{}", seen.target);
    }
    assert_eq!(seen[1].json()["name"], "Ann");
    assert_eq!(seen[1].json().get("id"), None);
    assert_eq!(seen[2].json()["id"], "m1");
    assert_eq!(seen[11].json(), json!({"imageID": "i1"}));
}

#[tokio::test]
async fn an_id_is_one_path_segment_or_nothing_is_sent() {
    let server = Server::start(vendor).await;
    let client = server.client();
    client.delete_model(&RemoteModelId::from("a/b?c#d%2e")).await.unwrap();
    assert_eq!(server.seen()[0].target, "/api/models/a%2Fb%3Fc%23d%252e");
    for id in ["", " ", ".", ".."] {
        let failure = client.train(&RemoteModelId::from(id)).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::NotSent, "{id:?}");
        let failure = client.get_job(&RemoteJobId::from(id)).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::ReadFailed, "{id:?}");
    }
    let patch = IdentityPatch::default();
    let failure = client.update_model(&RemoteModelId::from(""), &patch).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::NotSent);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn an_answer_about_another_job_is_no_answer() {
    let server =
        Server::start(|_| reply(200, r#"{"result":{"jobId":"other"},"status":"OK"}"#)).await;
    let failure = server.client().get_job(&RemoteJobId::from("j1")).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::ReadFailed);
}

#[tokio::test]
async fn the_key_is_nowhere_even_when_the_server_echoes_it() {
    let told = Arc::new(Mutex::new((0, 0)));
    let script = told.clone();
    let server = Server::start(move |seen| {
        let (status, padding) = *script.lock().unwrap();
        let text = format!("{}{}", "x".repeat(padding), seen.header("authorization"));
        let body = json!({"message": text, "status": "NOK"}).to_string();
        let escaped = body.replace('/', "\\/");
        reply(status, if padding % 2 == 0 { body } else { escaped })
    })
    .await;
    let client = server.client();
    // Padding moves the key across the places where messages and replies are cut.
    for padding in [0, 1, 290, 295, 4_050, 4_055, 4_080, 4_081] {
        for status in [200, 400, 401, 403, 500] {
            *told.lock().unwrap() = (status, padding);
            let read = client.ping().await.unwrap_err();
            let effect = client.train(&RemoteModelId::from("m1")).await.unwrap_err();
            for failure in [read, effect] {
                let shown = format!("{failure:?} {failure:#?}").to_lowercase();
                assert!(!shown.contains("pk_"), "{status} {padding} {shown}");
                assert!(!shown.contains("canary"), "{status} {padding} {shown}");
            }
        }
    }
    let server = Server::start(vendor).await;
    let config = config(server.address);
    let shown = format!("{config:?} {:?}", Client::new(&config).unwrap());
    assert!(!shown.contains("CANARY"), "{shown}");
}

#[tokio::test]
async fn a_key_that_is_a_common_word_changes_no_verdict() {
    for key in ["NOK", "OK", "status", "m1"] {
        let server = Server::start(|seen| match seen.method.as_str() {
            "GET" => reply(200, r#"{"result":{"id":"m1","status":"new"},"status":"OK"}"#),
            _ => reply(400, r#"{"message":"no","status":"NOK"}"#),
        })
        .await;
        let mut config = config(server.address);
        config.api_key = SecretString::from(key);
        let client = Client::new(&config).unwrap();
        let model = client.get_model(&RemoteModelId::from("m1")).await.unwrap();
        assert_eq!(model.value.id.as_str(), "m1");
        let refused = client.create_model(&identity()).await.unwrap_err();
        assert_eq!(refused.class, FailureClass::RefusedForGood, "{key}");
    }
}

#[test]
fn unsafe_settings_are_refused() {
    let build = |url: &str, key: &str| {
        Client::new(&ClientConfig::new(url.parse().unwrap(), SecretString::from(key)))
    };
    assert!(build("https://developer.photogptai.com/api", "k").is_ok());
    assert!(build("https://developer.photogptai.com/api/", "k").is_ok());
    assert!(build("http://localhost:9/api", "k").is_ok());
    let insecure = build("http://developer.photogptai.com/api", "k");
    assert!(matches!(insecure, Err(BuildError::InsecureBaseUrl)));
    for url in ["https://u:p@h/api", "https://h/api?x=1", "https://h/#f", "data:x", "unix:/x"] {
        assert!(matches!(build(url, "k"), Err(BuildError::BaseUrl)), "{url}");
    }
    for key in ["", "  ", "line\nbreak"] {
        assert!(matches!(build("https://h/api", key), Err(BuildError::ApiKey)), "{key:?}");
    }
}
