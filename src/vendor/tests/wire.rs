//! Every reply that the vendor's documentation shows, and the deviations it leaves room for.

use super::server::NEW_YEAR;
use crate::vendor::lenient::parse_time;
use crate::vendor::wire::Wire;
use crate::vendor::*;
use serde_json::{Value, json};

fn read<T: Wire>(envelope: Value) -> Result<T, String> {
    match envelope {
        Value::Object(fields) => T::from_envelope(fields),
        _ => unreachable!(),
    }
}

fn result<T: Wire>(result: Value) -> Result<T, String> {
    read(json!({ "result": result, "status": "OK" }))
}

#[test]
fn ping_training_and_create_download() {
    let pong: Acknowledged = read(json!({"message": "pong!", "status": "OK"})).unwrap();
    assert_eq!(pong.note.as_deref(), Some("pong!"));
    let trained: Acknowledged = result(json!("Training triggered")).unwrap();
    assert_eq!(trained.note.as_deref(), Some("Training triggered"));
    let deleted: Acknowledged = read(json!({"status": "OK"})).unwrap();
    assert_eq!(deleted.note, None);
    assert!(read::<Acknowledged>(json!({"message": "hello"})).is_err());
}

#[test]
fn models() {
    let model: RemoteModel = result(json!({
        "id": "018f5f29-7c2b-7b4e-9a8c-4f8b4c2d1e0f", "status": "new", "modelType": "string",
        "createdAt": "string", "updatedAt": "2026-01-01T00:00:00Z"
    }))
    .unwrap();
    assert_eq!(model.id.as_str(), "018f5f29-7c2b-7b4e-9a8c-4f8b4c2d1e0f");
    assert_eq!(model.status, ModelStatus::New);
    assert_eq!(model.model_type.as_deref(), Some("string"));
    assert_eq!((model.name, model.created_at), (None, None));
    assert_eq!(model.updated_at, Some(NEW_YEAR));

    let words = [
        ("Training", ModelStatus::Training),
        ("READY", ModelStatus::Ready),
        ("deleted", ModelStatus::Deleted),
        ("failed", ModelStatus::Failed),
        ("Uploading_To_GPU", ModelStatus::Other("uploading_to_gpu".into())),
    ];
    for (word, status) in words {
        let model: RemoteModel = result(json!({"id": 17, "status": word})).unwrap();
        assert_eq!((model.id.as_str(), model.status), ("17", status));
    }
    let bare: RemoteModel = result(json!({"id": "m"})).unwrap();
    assert_eq!(bare.status, ModelStatus::Other(String::new()));

    let list: Vec<RemoteModel> = result(json!([{"id": "a", "name": "Ann"}, {"id": "b"}])).unwrap();
    assert_eq!(list[0].name.as_deref(), Some("Ann"));
    assert_eq!(result::<Vec<RemoteModel>>(Value::Null).unwrap(), []);
    let problem = result::<Vec<RemoteModel>>(json!([{"id": "a"}, {"id": " "}])).unwrap_err();
    assert!(problem.starts_with("result[1].id: "), "{problem}");
    assert!(read::<Vec<RemoteModel>>(json!({"result": null})).is_err(), "no OK, no empty list");
}

#[test]
fn images() {
    let record = json!({
        "id": "string", "url": "string", "type": "modelInput", "modelID": "m",
        "createdAt": "2026-01-01T00:00:00.250Z", "updatedAt": 1_767_225_600,
        "data": {"property1": null, "property2": null}, "folderID": "f", "liked": true,
        "publicMediaID": "p", "upscaledImageID": "u", "upscaledImageURL": "https://v/u.png"
    });
    let image: RemoteImage = result(record.clone()).unwrap();
    assert_eq!(image.image_type.as_deref(), Some("modelInput"));
    assert_eq!(image.model_id.unwrap().as_str(), "m");
    assert_eq!(image.created_at, Some(NEW_YEAR + 250));
    assert_eq!(image.updated_at, Some(NEW_YEAR));
    assert_eq!(image.upscaled_image_id.unwrap().as_str(), "u");
    assert_eq!(image.upscaled_image_url.as_deref(), Some("https://v/u.png"));
    assert_eq!((image.liked, image.public_media_id.as_deref()), (Some(true), Some("p")));

    let page: ImagePage =
        read(json!({"page": 1, "pageSize": 20, "result": [record], "status": "OK"})).unwrap();
    assert_eq!((page.page, page.page_size, page.images.len()), (Some(1), Some(20), 1));

    let odd: RemoteImage =
        result(json!({"id": "i", "url": "", "liked": "yes", "upscaledImageID": "", "new": {}}))
            .unwrap();
    assert_eq!((odd.url, odd.liked, odd.upscaled_image_id), (None, None, None));
    assert!(result::<RemoteImage>(json!({"url": "https://v/x.png"})).is_err());
}

#[test]
fn jobs() {
    let triggered: Triggered = result(json!({"jobId": "job_123", "status": "queued"})).unwrap();
    assert_eq!((triggered.job_id.as_str(), triggered.status), ("job_123", JobStatus::Queued));

    let job: RemoteJob = result(json!({
        "jobId": "job_123", "status": "success", "createdAt": "2026-01-01T00:00:00Z",
        "videos": [{"id": "video_123", "url": ".../video.m3u8"}]
    }))
    .unwrap();
    assert_eq!(job.status, JobStatus::Success);
    assert_eq!(job.videos[0].id.as_str(), "video_123");
    assert_eq!((job.images.len(), job.created_at), (0, Some(NEW_YEAR)));

    let job: RemoteJob = result(json!({
        "jobId": "job_123", "status": "COMPLETED", "modelId": "018f", "videos": null,
        "images": [{"id": "image_123", "url": "https://v/i.jpg"}, {"url": "https://v/lost.jpg"}]
    }))
    .unwrap();
    assert_eq!((job.status, job.images.len(), job.unreadable_media), (JobStatus::Success, 1, 1));
    assert_eq!(job.model_id.unwrap().as_str(), "018f");

    let reasons = [
        (json!("nsfw"), Some("nsfw")),
        (json!({"code": 3, "message": "nsfw"}), Some("nsfw")),
        (json!(""), None),
        (Value::Null, None),
    ];
    for (error, expected) in reasons {
        let job: RemoteJob =
            result(json!({"jobId": "j", "status": "failed", "error": error})).unwrap();
        assert_eq!((job.status, job.error.as_deref()), (JobStatus::Failed, expected));
    }
    let strange: RemoteJob = result(json!({"jobId": "j", "status": "Paused"})).unwrap();
    assert_eq!(strange.status, JobStatus::Other("paused".into()));
}

#[test]
fn the_job_list() {
    let page: JobPage = result(json!({
        "jobs": [{"jobId": "string", "status": "queued", "credits": 0, "errorMessage": "string",
                  "createdAt": "string", "updatedAt": "2026-01-01T01:00:00+01:00"}],
        "nextPageToken": "string"
    }))
    .unwrap();
    let job = &page.jobs[0];
    assert_eq!((job.credits, job.error_message.as_deref()), (Some(0.0), Some("string")));
    assert_eq!((job.created_at, job.updated_at), (None, Some(NEW_YEAR)));
    assert_eq!(page.next_page_token.as_deref(), Some("string"));

    assert_eq!(page.form, PageForm::Array);
}

#[test]
fn videos_downloads_presets() {
    let record = json!({
        "id": "v", "jobId": "j", "url": "string", "type": "string", "modelID": "veo-3.1",
        "createdAt": "string", "updatedAt": "string", "data": {"property1": null},
        "folderID": "string", "liked": true, "publicMediaID": "string"
    });
    let video: RemoteVideo = result(record.clone()).unwrap();
    assert_eq!(video.job_id.unwrap().as_str(), "j");
    assert_eq!(video.model_id.unwrap().as_str(), "veo-3.1");
    assert_eq!(result::<Vec<RemoteVideo>>(json!([record])).unwrap().len(), 1);
    assert_eq!(result::<Vec<RemoteVideo>>(json!({"videos": [record]})).unwrap().len(), 1);

    let ready: DownloadStatus =
        result(json!({"percentComplete": 100, "status": "Ready", "url": "https://v/f.mp4"}))
            .unwrap();
    assert_eq!((ready.status, ready.percent_complete), (DownloadState::Ready, Some(100.0)));
    let early: DownloadStatus = result(json!({"percentComplete": "12.5"})).unwrap();
    assert_eq!((early.url, early.percent_complete), (None, Some(12.5)));
    assert_eq!(result::<DownloadStatus>(Value::Null).unwrap(), DownloadStatus::default());

    let presets: Vec<Preset> =
        result(json!([{"tag": "editorial", "title": "x"}, "retro", {"name": "y"}])).unwrap();
    let tags: Vec<Option<&str>> = presets.iter().map(|preset| preset.tag.as_deref()).collect();
    assert_eq!(tags, [Some("editorial"), Some("retro"), None]);
    assert_eq!(presets[0].raw["title"], "x");
}

#[test]
fn times_are_understood_in_many_spellings() {
    let same = [
        "2026-01-01T00:00:00Z",
        "2026-01-01T01:00:00+01:00",
        "2026-01-01T00:00:00",
        "2026-01-01 00:00:00",
        "2026-01-01 00:00:00.000",
        "2026-01-01T00:00:00.000000000Z",
        "2026-01-01T00:00:00+0000",
        "2026-01-01",
        "1767225600",
        "1767225600000",
        " 1767225600 ",
        "2026-01-01T00:00:00.0004",
        "2026-01-01T00:00",
        "2025-12-31T19:00:00-0500",
        "2026-01-01 01:00:00+0100",
        "2026-01-01 00:00:00 +0000 UTC",
        "2026-01-01 00:00:00 UTC",
        "Thu, 01 Jan 2026 00:00:00 GMT",
    ];
    for text in same {
        assert_eq!(parse_time(text), Some(NEW_YEAR), "{text}");
    }
    for text in ["", "string", "yesterday", "0", "-1", "NaN", "inf", "99999-99-99", "UTC", "1e14"] {
        assert_eq!(parse_time(text), None, "{text}");
    }
    // How some languages write "never", and units that no comparison would survive.
    let never = ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1969-12-31", "1767225600000000"];
    for text in never {
        assert_eq!(parse_time(text), None, "{text}");
    }
    assert_eq!(parse_time("1767225600.25"), Some(NEW_YEAR + 250));
    assert_eq!(parse_time("99999999999999"), Some(99_999_999_999_999));
}
