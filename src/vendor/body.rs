//! Request bodies in the vendor's exact spelling (vendor-api.md section 2: it differs per call).

use crate::domain::ids::{RemoteImageId, RemoteModelId};
use crate::domain::request::{Gender, Identity, ImageRequest, VideoRequest};
use serde_json::{Map, Value, json};

/// What the references of a request have become, just before sending.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolved {
    /// The vendor's id of the model, trained or public (vendor-api.md section 6).
    pub model_id: String,
    /// The uploaded reference picture (vendor-api.md 2.11, trained models).
    pub input_image_id: Option<RemoteImageId>,
    /// Reference pictures that the vendor can reach.
    pub reference_urls: Vec<String>,
    /// Reference videos that the vendor can reach.
    pub video_urls: Vec<String>,
    /// The first frame of a video, as a URL.
    pub first_frame: Option<String>,
    /// The last frame of a video, as a URL.
    pub last_frame: Option<String>,
}

/// What to change about a model; `None` leaves a field out of the body. Whether the vendor keeps
/// or clears what is left out is undocumented (vendor-api.md 2.2).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IdentityPatch {
    /// Human-readable name.
    pub name: Option<String>,
    /// Age in years.
    pub age: Option<u32>,
    /// `Female` or `Male`.
    pub gender: Option<Gender>,
    /// Free text.
    pub ethnicity: Option<String>,
    /// Free text.
    pub eye_color: Option<String>,
}

impl From<&Identity> for IdentityPatch {
    fn from(identity: &Identity) -> Self {
        Self {
            name: Some(identity.name.clone()),
            age: Some(identity.age),
            gender: Some(identity.gender),
            ethnicity: identity.ethnicity.clone(),
            eye_color: identity.eye_color.clone(),
        }
    }
}

/// The body of `POST /models` that creates a model: no `id` (vendor-api.md 2.2).
pub fn create_model_body(identity: &Identity) -> Value {
    Value::Object(identity_fields(&identity.into()))
}

/// The body of `POST /models` that updates one: the `id` is what makes it an update
/// (vendor-api.md 2.2).
pub fn update_model_body(model: &RemoteModelId, patch: &IdentityPatch) -> Value {
    let mut body = identity_fields(patch);
    put(&mut body, "id", Some(model.as_str()));
    Value::Object(body)
}

fn identity_fields(patch: &IdentityPatch) -> Map<String, Value> {
    let mut body = Map::new();
    put(&mut body, "name", patch.name.as_deref());
    put(&mut body, "age", patch.age);
    let gender = patch.gender.map(|gender| match gender {
        Gender::Female => "Female",
        Gender::Male => "Male",
    });
    put(&mut body, "gender", gender);
    put(&mut body, "ethnicity", patch.ethnicity.as_deref());
    put(&mut body, "eyeColor", patch.eye_color.as_deref());
    body
}

/// The body of `POST /images/generation`, both variants (vendor-api.md 2.11). What the request
/// does not say is left out, and `extra` has the last word.
pub fn image_body(request: &ImageRequest, resolved: &Resolved) -> Value {
    let mut body = Map::new();
    put(&mut body, "modelID", Some(resolved.model_id.as_str()));
    put(&mut body, "prompt", request.prompt.as_deref());
    put(&mut body, "aspectRatio", request.aspect_ratio.as_deref());
    put(&mut body, "numImages", request.num_images);
    put(&mut body, "preset", request.preset.as_deref());
    put(&mut body, "inputImageId", resolved.input_image_id.as_ref().map(RemoteImageId::as_str));
    put(&mut body, "width", request.width);
    put(&mut body, "height", request.height);
    put(&mut body, "seed", request.seed);
    let references = &resolved.reference_urls;
    put(&mut body, "referenceImageURLs", (!references.is_empty()).then(|| json!(references)));
    merge(&mut body, &request.extra);
    Value::Object(body)
}

/// The body of `POST /images/upscaling`: one field (vendor-api.md 2.12).
pub fn upscale_body(image: &RemoteImageId) -> Value {
    json!({ "imageID": image.as_str() })
}

/// The body of `POST /videos/generation` (vendor-api.md 2.13). The item shape and the role words
/// of `referenceImages` come from the field; `last_frame` is inferred, and so is the shape of
/// `referenceVideos`.
pub fn video_body(request: &VideoRequest, resolved: &Resolved) -> Value {
    let mut body = Map::new();
    put(&mut body, "modelID", Some(resolved.model_id.as_str()));
    put(&mut body, "prompt", Some(request.prompt.as_str()));
    put(&mut body, "numVideos", request.num_videos);
    let frames = [("first_frame", &resolved.first_frame), ("last_frame", &resolved.last_frame)];
    let images: Vec<Value> = frames
        .into_iter()
        .filter_map(|(role, url)| Some((role, url.as_ref()?)))
        .chain(resolved.reference_urls.iter().map(|url| ("reference_image", url)))
        .map(|(role, url)| json!({ "url": url, "role": role }))
        .collect();
    put(&mut body, "referenceImages", (!images.is_empty()).then_some(images));
    let videos: Vec<Value> = resolved
        .video_urls
        .iter()
        .map(|url| json!({ "url": url, "role": "reference_video" }))
        .collect();
    put(&mut body, "referenceVideos", (!videos.is_empty()).then_some(videos));
    merge(&mut body, &request.extra);
    Value::Object(body)
}

fn put(body: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body.insert(key.to_owned(), value.into());
    }
}

/// Objects merge field by field; everything else, lists included, is replaced.
fn merge(body: &mut Map<String, Value>, extra: &Map<String, Value>) {
    for (key, value) in extra {
        match (body.get_mut(key), value) {
            (Some(Value::Object(inner)), Value::Object(more)) => merge(inner, more),
            _ => {
                body.insert(key.clone(), value.clone());
            }
        }
    }
}
