//! Request bodies, letter by letter as the vendor's examples show them.

use crate::domain::ids::{RemoteImageId, RemoteModelId};
use crate::domain::request::{Gender, Identity, ImageRequest, ModelRef, VideoRequest};
use crate::vendor::*;
use serde_json::{Map, Value, json};

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => unreachable!(),
    }
}

fn image(extra: Value) -> ImageRequest {
    ImageRequest {
        model: ModelRef::Public("nanobanana".into()),
        prompt: Some("a cat".into()),
        num_images: Some(1),
        width: None,
        height: None,
        seed: None,
        preset: None,
        aspect_ratio: Some("1:1".into()),
        input_image: None,
        references: Vec::new(),
        extra: object(extra),
    }
}

fn on(model: &str) -> Resolved {
    Resolved { model_id: model.into(), ..Resolved::default() }
}

#[test]
fn models() {
    let mut identity = Identity {
        name: "UGC Creator".into(),
        age: 27,
        gender: Gender::Female,
        ethnicity: Some("south asian".into()),
        eye_color: Some("brown".into()),
    };
    assert_eq!(
        create_model_body(&identity),
        json!({"name": "UGC Creator", "age": 27, "gender": "Female",
               "ethnicity": "south asian", "eyeColor": "brown"})
    );
    (identity.ethnicity, identity.eye_color) = (None, None);
    assert_eq!(
        create_model_body(&identity),
        json!({"name": "UGC Creator", "age": 27, "gender": "Female"})
    );
    let patch = IdentityPatch { name: Some("New".into()), ..IdentityPatch::default() };
    let body = update_model_body(&RemoteModelId::from("m1"), &patch);
    assert_eq!(body, json!({"name": "New", "id": "m1"}));
}

#[test]
fn images_on_public_models() {
    let mut request = image(json!({
        "referenceImageURLs": [],
        "options": {"gemini": {"imageSize": "1K", "safetyFilterLevel": "OFF",
                               "sequentialMode": "disabled"}}
    }));
    request.preset = Some("editorial".into());
    assert_eq!(
        image_body(&request, &on("nanobanana")),
        json!({"modelID": "nanobanana", "prompt": "a cat", "aspectRatio": "1:1", "numImages": 1,
               "preset": "editorial", "referenceImageURLs": [],
               "options": {"gemini": {"imageSize": "1K", "safetyFilterLevel": "OFF",
                                      "sequentialMode": "disabled"}}})
    );
    let options = json!({"options": {"openai": {"imageSize": "1K", "outputFormat": "jpeg",
                                                 "quality": "high"}}});
    assert_eq!(
        image_body(&image(options), &on("gpt-image-2")),
        json!({"modelID": "gpt-image-2", "prompt": "a cat", "aspectRatio": "1:1", "numImages": 1,
               "options": {"openai": {"imageSize": "1K", "outputFormat": "jpeg",
                                      "quality": "high"}}})
    );
    let resolved = Resolved { reference_urls: vec!["https://v/a.png".into()], ..on("nanobanana") };
    assert_eq!(
        image_body(&image(json!({})), &resolved)["referenceImageURLs"],
        json!(["https://v/a.png"])
    );
}

#[test]
fn images_on_trained_models() {
    let mut request = image(json!({"enhanceFace": true, "styleStrength": 0.5, "numImages": 4}));
    request.aspect_ratio = None;
    (request.width, request.height, request.seed) = (Some(800), Some(1280), Some(-7));
    let resolved = Resolved { input_image_id: Some(RemoteImageId::from("i1")), ..on("018f") };
    assert_eq!(
        image_body(&request, &resolved),
        json!({"modelID": "018f", "prompt": "a cat", "numImages": 4, "inputImageId": "i1",
               "width": 800, "height": 1280, "seed": -7, "enhanceFace": true,
               "styleStrength": 0.5})
    );
    request.prompt = None;
    assert!(image_body(&request, &on("018f")).get("prompt").is_none());
}

#[test]
fn upscales() {
    let body = upscale_body(&RemoteImageId::from("image_123"));
    assert_eq!(body, json!({"imageID": "image_123"}));
}

#[test]
fn videos() {
    let mut request = VideoRequest {
        model: "grok-imagine-1.5".into(),
        prompt: "waves".into(),
        num_videos: Some(1),
        first_frame: None,
        last_frame: None,
        references: Vec::new(),
        reference_videos: Vec::new(),
        extra: object(json!({"options": {"grok": {"aspectRatio": "16:9", "duration": 8,
                                                   "resolution": "720p"}}})),
    };
    assert_eq!(
        video_body(&request, &on("grok-imagine-1.5")),
        json!({"modelID": "grok-imagine-1.5", "numVideos": 1, "prompt": "waves",
               "options": {"grok": {"aspectRatio": "16:9", "duration": 8,
                                    "resolution": "720p"}}})
    );
    request.extra = Map::new();
    let resolved = Resolved {
        first_frame: Some("https://v/1".into()),
        last_frame: Some("https://v/2".into()),
        reference_urls: vec!["https://v/3".into()],
        ..on("veo-3.1")
    };
    assert_eq!(
        video_body(&request, &resolved)["referenceImages"],
        json!([{"url": "https://v/1", "role": "first_frame"},
               {"url": "https://v/2", "role": "last_frame"},
               {"url": "https://v/3", "role": "reference_image"}])
    );
}
