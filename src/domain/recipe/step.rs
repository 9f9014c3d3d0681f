//! One `[[step]]`: its fields, read into a request.

use super::read::Reader;
use super::reference::{self, quotable};
use super::{Declared, StepKind};
use crate::domain::catalogue::Catalogue;
use crate::domain::ids::Id;
use crate::domain::request::{
    ImageRequest, JobRequest, MediaRef, ModelRef, UpscaleRequest, VideoRequest,
};
use crate::domain::validate;
use serde_json::{Map, Value};

/// The word for the recipe's own model.
const TRAINED: &str = "trained";

const IMAGE_KEYS: &[&str] = &[
    "name",
    "type",
    "model",
    "prompt",
    "num_images",
    "width",
    "height",
    "seed",
    "preset",
    "aspect_ratio",
    "input_image",
    "references",
    "options",
    "extra",
];
const UPSCALE_KEYS: &[&str] = &["name", "type", "image"];
const VIDEO_KEYS: &[&str] = &[
    "name",
    "type",
    "model",
    "prompt",
    "num_videos",
    "first_frame",
    "last_frame",
    "references",
    "options",
    "extra",
];
/// Fields of the vendor's that have no field of ours (vendor-api.md 2.11, 2.13).
const EXTRA_KEYS: &[&str] =
    &["steps", "runType", "enhanceFace", "styleStrength", "referenceVideos", "elementIDs"];

fn keys(kind: StepKind) -> &'static [&'static str] {
    match kind {
        StepKind::Image => IMAGE_KEYS,
        StepKind::Upscale => UPSCALE_KEYS,
        StepKind::Video => VIDEO_KEYS,
    }
}

/// What a step needs to know of the rest of the recipe.
pub(super) struct Context<'a> {
    pub(super) steps: &'a [Declared],
    pub(super) own: usize,
    pub(super) has_model: bool,
    pub(super) catalogue: &'a Catalogue,
}

/// The steps whose outputs a request uses, in the order of the file.
pub(super) fn links(request: &mut JobRequest) -> Vec<usize> {
    let mut links: Vec<usize> = reference::media_mut(request)
        .into_iter()
        .filter_map(|media| match media {
            MediaRef::JobOutput { job, .. } => reference::step_of(*job),
            _ => None,
        })
        .collect();
    links.sort_unstable();
    links.dedup();
    links
}

/// Reads and checks the request of a step; `None` when too little of it is there, which is noted.
pub(super) fn read(reader: &mut Reader<'_, '_>, context: &Context<'_>) -> Option<JobRequest> {
    let kind = context.steps.get(context.own)?.kind?;
    super::parse::refuse_unknown(reader, keys(kind), |key| foreign_key(key, kind));
    let request = match kind {
        StepKind::Image => JobRequest::Image(image(reader, context)),
        StepKind::Upscale => JobRequest::Upscale(upscale(reader, context)?),
        StepKind::Video => JobRequest::Video(video(reader, context)),
    };
    if let Err(problems) = validate::job(&request, context.catalogue) {
        for problem in problems.0 {
            if !reader.is_faulty(&problem.field) {
                let span = reader.locate(&problem.field);
                reader.fault_at(span, problem.to_string());
            }
        }
    }
    Some(request)
}

/// Why a key that no step of this type has is not unknown either.
fn foreign_key(key: &str, kind: StepKind) -> Option<String> {
    if EXTRA_KEYS.contains(&key) && kind != StepKind::Upscale {
        return Some(format!("`{key}` is a field of the vendor's: write extra = {{ {key} = … }}"));
    }
    let other = StepKind::ALL.into_iter().find(|other| keys(*other).contains(&key))?;
    let (other, kind) = (other.as_str(), kind.as_str());
    Some(format!("`{key}` belongs to steps of type {other} and this one is of type {kind}"))
}

fn image(reader: &mut Reader<'_, '_>, context: &Context<'_>) -> ImageRequest {
    ImageRequest {
        model: image_model(reader, context),
        prompt: reader.text("prompt"),
        num_images: reader.count("num_images"),
        width: reader.count("width"),
        height: reader.count("height"),
        seed: reader.integer("seed"),
        preset: reader.text("preset"),
        aspect_ratio: reader.text("aspect_ratio"),
        input_image: input_image(reader),
        references: references(reader, context),
        extra: extra(reader),
    }
}

fn image_model(reader: &mut Reader<'_, '_>, context: &Context<'_>) -> ModelRef {
    let trained = ModelRef::Trained(reference::placeholder(0));
    match reader.text("model").as_deref() {
        None if reader.has("model") => trained,
        None if context.has_model => trained,
        None => {
            reader.fault(
                "model",
                "`model` is missing: name a public model such as \"nanobanana\", \
                 or add a [model] section",
            );
            trained
        }
        Some(TRAINED) => {
            if !context.has_model {
                reader.fault(
                    "model",
                    "model = \"trained\" means the recipe's [model], which is missing: add it",
                );
            }
            trained
        }
        Some(name) => {
            if Id::parse(name).is_some() {
                reader.fault(
                    "model",
                    "a trained model goes into the [model] section as `id`: \
                     write model = \"trained\" here",
                );
            }
            ModelRef::Public(name.to_owned())
        }
    }
}

fn upscale(reader: &mut Reader<'_, '_>, context: &Context<'_>) -> Option<UpscaleRequest> {
    if !reader.has("image") {
        reader.fault(
            "image",
            "`image` is missing: name the picture to enlarge, such as \"hero.images[0]\"",
        );
    }
    let image = media(reader, "image", context)?;
    Some(UpscaleRequest { image })
}

fn video(reader: &mut Reader<'_, '_>, context: &Context<'_>) -> VideoRequest {
    let model = reader.required_text("model", "name a video model such as \"veo-3.1\"");
    if model.as_deref() == Some(TRAINED) {
        reader.fault(
            "model",
            "trained models make images only: make an image with it, \
             then use a video model such as \"veo-3.1\"",
        );
    }
    VideoRequest {
        model: model.unwrap_or_default(),
        prompt: reader.required_text("prompt", "say what to film").unwrap_or_default(),
        num_videos: reader.count("num_videos"),
        first_frame: media(reader, "first_frame", context),
        last_frame: media(reader, "last_frame", context),
        references: references(reader, context),
        reference_videos: Vec::new(),
        extra: extra(reader),
    }
}

fn media(reader: &mut Reader<'_, '_>, key: &str, context: &Context<'_>) -> Option<MediaRef> {
    let text = reader.text(key)?;
    match reference::parse(&text, context.own, context.steps) {
        Ok(media) => Some(media),
        Err(message) => {
            reader.fault(key, message);
            None
        }
    }
}

fn references(reader: &mut Reader<'_, '_>, context: &Context<'_>) -> Vec<MediaRef> {
    let mut found = Vec::new();
    for (text, span) in reader.texts("references") {
        match reference::parse(&text, context.own, context.steps) {
            Ok(media) => found.push(media),
            // Marks no field as faulty: the rest of the list is still worth checking.
            Err(message) => reader.fault_at(span, message),
        }
    }
    found
}

fn input_image(reader: &mut Reader<'_, '_>) -> Option<MediaRef> {
    let text = reader.text("input_image")?;
    let id = Id::parse(&text);
    if id.is_none() {
        let quoted = quotable(&text);
        reader.fault(
            "input_image",
            format!("`{quoted}` is not the full id of an upload, as `darkroom upload` prints it"),
        );
    }
    id.map(MediaRef::Upload)
}

/// `options` and `extra`, which are one table for the vendor.
fn extra(reader: &mut Reader<'_, '_>) -> Map<String, Value> {
    let mut extra = reader.json_table("extra").unwrap_or_default();
    if extra.remove("options").is_some() {
        reader.fault("extra.options", "options stand in the step itself: write options.GROUP = …");
    }
    if let Some(options) = reader.json("options") {
        extra.insert("options".to_owned(), options);
    }
    extra
}
