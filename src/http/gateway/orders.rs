//! The three paid triggers (vendor-api.md 2.11 to 2.13).

use super::super::extract::ApiJson;
use super::super::guard::queue::admit;
use super::super::media::{Link, recognise};
use super::super::refusal::Refusal;
use super::super::{App, Shared, media};
use super::ACTOR;
use super::answer::{Nok, Outcome, earlier, key_of, once_told, reply, shape};
use super::find;
use crate::domain::catalogue::Makes;
use crate::domain::request::{
    ImageRequest, JobRequest, MediaRef, ModelRef, UpscaleRequest, VideoRequest,
};
use crate::domain::validate::{Problem, Problems};
use crate::service::{ServiceError, jobs};
use crate::store::lookup::FoundModel;
use crate::store::submit::NewModel;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Fields of a generation that are named; both variants together.
const IMAGE_FIELDS: &[&str] = &[
    "modelID",
    "prompt",
    "preset",
    "inputImageId",
    "width",
    "height",
    "numImages",
    "seed",
    "aspectRatio",
    "referenceImageURLs",
    "steps",
    "runType",
    "enhanceFace",
    "styleStrength",
    "options",
];
const VIDEO_FIELDS: &[&str] = &[
    "modelID",
    "prompt",
    "numVideos",
    "referenceImages",
    "referenceVideos",
    "elementIDs",
    "options",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImageBody {
    #[serde(rename = "modelID")]
    model: String,
    prompt: Option<String>,
    preset: Option<String>,
    input_image_id: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    num_images: Option<u32>,
    seed: Option<i64>,
    aspect_ratio: Option<String>,
    #[serde(default, rename = "referenceImageURLs")]
    references: Vec<String>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpscaleBody {
    #[serde(rename = "imageID")]
    image: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VideoBody {
    #[serde(rename = "modelID")]
    model: String,
    prompt: String,
    num_videos: Option<u32>,
    #[serde(default)]
    reference_images: Vec<Reference>,
    #[serde(default)]
    reference_videos: Vec<Reference>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// A picture or video with its role (vendor-api.md 2.13).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    url: String,
    role: Option<String>,
}

/// A request in our words, with the rows that it needs.
struct Order {
    request: JobRequest,
    own: Option<FoundModel>,
    import: Option<NewModel>,
}

impl Order {
    fn plain(request: JobRequest) -> Self {
        Self { request, own: None, import: None }
    }
}

/// `POST /images/generation`
pub(super) async fn generate_image(
    State(app): State<Shared>,
    headers: HeaderMap,
    ApiJson(body): ApiJson<Value>,
) -> Outcome {
    place(&app, &headers, "POST /images/generation", body, async |body| {
        image_order(&app, &headers, shape(body, IMAGE_FIELDS)?).await
    })
    .await
}

/// `POST /images/upscaling`
pub(super) async fn upscale(
    State(app): State<Shared>,
    headers: HeaderMap,
    ApiJson(body): ApiJson<Value>,
) -> Outcome {
    place(&app, &headers, "POST /images/upscaling", body, async |body| {
        let body: UpscaleBody = shape(body, &["imageID"])?;
        let image = find::picture(&app, &body.image).await?.reference();
        Ok(Order::plain(JobRequest::Upscale(UpscaleRequest { image })))
    })
    .await
}

/// `POST /videos/generation`
pub(super) async fn generate_video(
    State(app): State<Shared>,
    headers: HeaderMap,
    ApiJson(body): ApiJson<Value>,
) -> Outcome {
    place(&app, &headers, "POST /videos/generation", body, async |body| {
        video_order(&app, &headers, shape(body, VIDEO_FIELDS)?).await
    })
    .await
}

/// Checks an order, stores it once per key, answers with its id.
async fn place(
    app: &App,
    headers: &HeaderMap,
    what: &str,
    body: Value,
    read: impl AsyncFnOnce(Value) -> Result<Order, Nok>,
) -> Outcome {
    let key = key_of(headers, what, &media::canonical(&body))?;
    if let Some(answer) = earlier(app, key.as_ref()).await? {
        return Ok(answer);
    }
    let order = read(body).await?;
    let (store, catalogue) = (Some(&app.store), &app.catalogue);
    let mut submission = jobs::order(store, catalogue, order.request, order.own.as_ref(), ACTOR)
        .await
        .map_err(in_vendors_words)?;
    submission.models.extend(order.import);
    admit(app, 1).await?;
    let told = reply(json!({ "jobId": submission.subject.1, "status": "queued" }));
    once_told(app, key, submission, told).await
}

/// Faults of a request with the fields as the vendor spells them.
fn in_vendors_words(error: ServiceError) -> Nok {
    let ServiceError::Several(mut problems) = error else { return error.into() };
    for problem in &mut problems.0 {
        problem.field = vendors_field(&problem.field);
    }
    ServiceError::Several(problems).into()
}

fn vendors_field(field: &str) -> String {
    let field = field.strip_prefix("extra.").unwrap_or(field);
    let end = field.find(['[', '.']).unwrap_or(field.len());
    let (name, rest) = field.split_at(end);
    let name = match name {
        "model" => "modelID",
        "num_images" => "numImages",
        "num_videos" => "numVideos",
        "aspect_ratio" => "aspectRatio",
        "input_image" => "inputImageId",
        "references" => "referenceImageURLs",
        "first_frame" | "last_frame" => "referenceImages",
        "reference_videos" => "referenceVideos",
        other => other,
    };
    format!("{name}{rest}")
}

async fn image_order(app: &App, headers: &HeaderMap, body: ImageBody) -> Result<Order, Nok> {
    let public = [Makes::Images, Makes::Videos]
        .into_iter()
        .any(|makes| app.catalogue.find(&body.model, makes).is_some());
    let (model, own, import) = if public {
        (ModelRef::Public(body.model), None, None)
    } else {
        let model = find::model_for(app, &body.model).await?;
        (ModelRef::Trained(model.id), model.found, model.import)
    };
    let mut problems = Problems::default();
    let mut references = Vec::new();
    for (n, address) in body.references.iter().enumerate() {
        let field = format!("referenceImageURLs[{n}]");
        references.extend(reference(app, headers, &mut problems, &field, address, "image").await?);
    }
    refuse(problems)?;
    let input_image = match &body.input_image_id {
        Some(text) => Some(find::picture(app, text).await?.reference()),
        None => None,
    };
    let request = JobRequest::Image(ImageRequest {
        model,
        prompt: body.prompt,
        num_images: body.num_images,
        width: body.width,
        height: body.height,
        seed: body.seed,
        preset: body.preset,
        aspect_ratio: body.aspect_ratio,
        input_image,
        references,
        extra: body.extra,
    });
    Ok(Order { request, own, import })
}

async fn video_order(app: &App, headers: &HeaderMap, body: VideoBody) -> Result<Order, Nok> {
    let mut problems = Problems::default();
    let mut request = VideoRequest {
        model: body.model,
        prompt: body.prompt,
        num_videos: body.num_videos,
        first_frame: None,
        last_frame: None,
        references: Vec::new(),
        reference_videos: Vec::new(),
        extra: body.extra,
    };
    for (n, item) in body.reference_images.iter().enumerate() {
        let field = format!("referenceImages[{n}]");
        let found = reference(app, headers, &mut problems, &field, &item.url, "image").await?;
        let Some(media) = found else { continue };
        let slot = match item.role.as_deref() {
            Some("first_frame") => &mut request.first_frame,
            Some("last_frame") => &mut request.last_frame,
            Some("reference_image") => {
                request.references.push(media);
                continue;
            }
            _ => {
                let message = "its role must be first_frame, last_frame or reference_image";
                problems.0.push(Problem::new(field, message));
                continue;
            }
        };
        if slot.replace(media).is_some() {
            problems.0.push(Problem::new(field, "there is one with this role already"));
        }
    }
    for (n, item) in body.reference_videos.iter().enumerate() {
        let field = format!("referenceVideos[{n}]");
        if item.role.as_deref().is_some_and(|role| role != "reference_video") {
            problems.0.push(Problem::new(field.as_str(), "its role must be reference_video"));
        }
        let media = reference(app, headers, &mut problems, &field, &item.url, "video").await?;
        request.reference_videos.extend(media);
    }
    refuse(problems)?;
    Ok(Order::plain(JobRequest::Video(request)))
}

/// A picture or video given by its address. One of ours becomes a reference to the row, so that
/// the vendor gets a fresh address of its own just before the call.
async fn reference(
    app: &App,
    headers: &HeaderMap,
    problems: &mut Problems,
    field: &str,
    address: &str,
    wanted: &str,
) -> Result<Option<MediaRef>, Nok> {
    let mut wrong = |message: &str| problems.0.push(Problem::new(field, message));
    let file = match recognise(app, &[media::base(app, headers)], address) {
        Link::Foreign => return Ok(Some(MediaRef::Url(address.to_owned()))),
        Link::Forged => {
            wrong(
                "this address leads here, but to no file, or its signature is not that file's: \
                 use a url as a record gives it",
            );
            return Ok(None);
        }
        Link::Ours(file) => file,
    };
    let (kind, id) = file.row();
    // What was retried is meant in its newest attempt.
    let id = app.store.served(kind, &id.to_string()).await?.unwrap_or(id);
    match app.store.served_media(kind, id).await? {
        None => wrong("there is no such file any more"),
        Some(row) if row.deleted => wrong("what this leads to was deleted"),
        Some(row) if matches!(row.state.as_str(), "failed" | "cancelled") => {
            wrong("what this leads to never reached the vendor");
        }
        Some(row) if row.media != wanted => wrong(match wanted {
            "video" => "a video is wanted here, and this is a picture",
            _ => "a picture is wanted here, and this is a video",
        }),
        Some(_) => return Ok(Some(file.reference_to(id))),
    }
    Ok(None)
}

fn refuse(problems: Problems) -> Result<(), Nok> {
    if problems.0.is_empty() {
        return Ok(());
    }
    Err(Refusal::of_problems(problems.0).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_name_the_fields_of_the_request() {
        assert_eq!(vendors_field("references[3]"), "referenceImageURLs[3]");
        assert_eq!(vendors_field("options.veo.duration"), "options.veo.duration");
        assert_eq!(vendors_field("extra.steps"), "steps");
        assert_eq!(vendors_field("num_images"), "numImages");
    }
}
