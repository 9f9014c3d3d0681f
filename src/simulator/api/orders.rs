//! The three triggers: what a paid request must look like before a job is made of it.

use super::PRESETS;
use super::body::Body;
use crate::simulator::reply::{Outcome, Refusal, Reply};
use crate::simulator::sim::Sim;
use crate::simulator::world::image::{Format, Picture};
use crate::simulator::world::job::{Order, Work};
use crate::simulator::world::{Caller, World};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use serde_json::{Value, json};
use std::sync::Arc;

/// Public image models: id, option group, most `referenceImageURLs` (vendor-api.md section 6.1).
const IMAGE_MODELS: &[(&str, &str, usize)] = &[
    ("nanobanana", "gemini", 3),
    ("nanobanana-pro", "gemini", 14),
    ("nanobanana-2", "gemini", 14),
    ("seedream", "seedream", 10),
    ("seedream-4_5", "seedream", 10),
    ("seedream-5-lite", "seedream", 10),
    ("gpt-image-2", "openai", 10),
];

/// Public video models and their option group (vendor-api.md section 6.2).
const VIDEO_MODELS: &[(&str, &str)] = &[
    ("veo-3.1", "veo"),
    ("veo-3.1-fast", "veo"),
    ("seedance-1.5-pro", "seedance"),
    ("seedance-2.0", "seedance"),
    ("kling-video-standard", "kling"),
    ("kling-video-pro", "kling"),
    ("kling-motion-standard", "kling"),
    ("kling-motion-pro", "kling"),
    ("grok-imagine-1.5", "grok"),
];

/// Outputs of one job, and pixels along one edge. The documentation gives no maxima.
const MOST_IMAGES: u64 = 10;
const MOST_VIDEOS: u64 = 4;
const EDGE: std::ops::RangeInclusive<u64> = 64..=4096;

/// `POST /images/generation`
pub(crate) async fn image(
    State(sim): State<Arc<Sim>>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Outcome {
    let body = Body::parse(&body)?;
    let mut world = sim.world();
    let model = body.required("modelID")?;
    if let Some(preset) = body.text("preset")?.filter(|tag| !tag.is_empty())
        && !PRESETS.iter().any(|(tag, _)| *tag == preset)
    {
        return Err(Refusal::invalid(format!("preset {preset} does not exist")));
    }
    let public = IMAGE_MODELS.iter().find(|(id, _, _)| *id == model);
    let work = match public {
        Some((_, group, most)) => of_public_model(&body, model, group, *most)?,
        None => of_trained_model(&body, model, &world, &caller)?,
    };
    let order = Order {
        work,
        model: model.into(),
        trained: public.is_none(),
        outputs: body.whole("numImages", 1..=MOST_IMAGES)?.unwrap_or(1),
        request: body.to_text().into(),
        time: None,
    };
    accept(&mut world, &caller, order)
}

fn of_public_model(body: &Body, model: &str, group: &str, most: usize) -> Result<Work, Refusal> {
    body.required("prompt")?;
    let references = body.list("referenceImageURLs")?;
    if references.len() > most {
        let message = format!("{model} takes at most {most} referenceImageURLs");
        return Err(Refusal::invalid(message));
    }
    if references.iter().any(|url| !url.as_str().is_some_and(is_url)) {
        return Err(Refusal::invalid("referenceImageURLs must be URLs"));
    }
    let options = body.options(Some(group), model)?;
    let scale = match options.text("imageSize")? {
        None | Some("1K") => 1024.0,
        Some("2K") => 2048.0,
        Some("4K") => 4096.0,
        Some(_) => return Err(Refusal::invalid("imageSize must be 1K, 2K or 4K")),
    };
    let format = match options.text("outputFormat")? {
        None if group == "seedream" => Format::Jpeg,
        None | Some("png") => Format::Png,
        Some("jpeg") => Format::Jpeg,
        Some("webp") => Format::Webp,
        Some(_) => return Err(Refusal::invalid("outputFormat must be jpeg, png or webp")),
    };
    let (width, height) = sides(body.text("aspectRatio")?.unwrap_or("1:1"), scale)?;
    Ok(Work::Images { width, height, format })
}

fn of_trained_model(
    body: &Body,
    id: &str,
    world: &World,
    caller: &Caller,
) -> Result<Work, Refusal> {
    let Ok(model) = world.live_model(caller, id) else {
        return Err(Refusal::invalid(format!("modelID {id} does not exist")));
    };
    let status = model.status(world.clock.progress());
    if status != "ready" {
        return Err(Refusal::invalid(format!("Model is not ready, its status is {status}")));
    }
    body.text("prompt")?;
    body.text("runType")?;
    body.check_bool("enhanceFace")?;
    body.check_number("styleStrength")?;
    body.check_integer("steps")?;
    body.check_integer("seed")?;
    body.options(None, "a trained model")?;
    if let Some(input) = body.text("inputImageId")?
        && world.image(caller, input).is_err()
    {
        return Err(Refusal::invalid(format!("inputImageId {input} does not exist")));
    }
    let edge = |name| body.whole(name, EDGE).map(|edge| edge.unwrap_or(1024) as u32);
    Ok(Work::Images { width: edge("width")?, height: edge("height")?, format: Format::Jpeg })
}

/// Width and height of about `scale` squared pixels in a ratio such as `16:9`.
fn sides(ratio: &str, scale: f64) -> Result<(u32, u32), Refusal> {
    let wrong = || Refusal::invalid("aspectRatio must be like 1:1, 16:9 or 3:4");
    let (wide, high) = ratio.split_once(':').ok_or_else(wrong)?;
    let (wide, high): (f64, f64) =
        (wide.parse().map_err(|_| wrong())?, high.parse().map_err(|_| wrong())?);
    if !(0.2..=5.0).contains(&(wide / high)) {
        return Err(wrong());
    }
    let root = (wide / high).sqrt();
    // Multiples of eight, as these models produce them.
    let snap = |edge: f64| ((edge / 8.0).round() * 8.0).clamp(64.0, 4096.0) as u32;
    Ok((snap(scale * root), snap(scale / root)))
}

/// `POST /images/upscaling`
pub(crate) async fn upscale(
    State(sim): State<Arc<Sim>>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Outcome {
    let body = Body::parse(&body)?;
    let id = body.required("imageID")?;
    let mut world = sim.world();
    let Ok(image) = world.image(&caller, id) else {
        return Err(Refusal::invalid(format!("imageID {id} does not exist")));
    };
    let format = match image.format {
        Format::Heic => Format::Jpeg,
        other => other,
    };
    let picture: Arc<Picture> = image.picture.clone();
    let model = image.model.clone();
    let order = Order {
        work: Work::Upscale { source: id.to_owned(), picture, format },
        trained: world.models.contains_key(&*model),
        model,
        outputs: 1,
        request: body.to_text().into(),
        time: None,
    };
    accept(&mut world, &caller, order)
}

/// `POST /videos/generation`
pub(crate) async fn video(
    State(sim): State<Arc<Sim>>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Outcome {
    let body = Body::parse(&body)?;
    let model = body.required("modelID")?;
    let Some((_, group)) = VIDEO_MODELS.iter().find(|(id, _)| *id == model) else {
        return Err(Refusal::invalid(format!("modelID {model} is not a video model")));
    };
    body.required("prompt")?;
    let roles = ["first_frame", "last_frame", "reference_image"];
    let images = body.list("referenceImages")?;
    let videos = body.list("referenceVideos")?;
    check_references("referenceImages", images, &roles)?;
    check_references("referenceVideos", videos, &["reference_video"])?;
    if body.list("elementIDs")?.iter().any(|id| !id.is_string()) {
        return Err(Refusal::invalid("elementIDs must be strings"));
    }
    let options = body.options(Some(group), model)?;
    if *group == "veo" {
        if !videos.is_empty() {
            return Err(Refusal::invalid(format!("{model} takes no referenceVideos")));
        }
        let referenced = images.iter().any(|image| image["role"] == "reference_image");
        check_veo(&options, referenced)?;
    }
    let order = Order {
        work: Work::Videos,
        model: model.into(),
        trained: false,
        outputs: body.whole("numVideos", 1..=MOST_VIDEOS)?.unwrap_or(1),
        request: body.to_text().into(),
        time: None,
    };
    accept(&mut sim.world(), &caller, order)
}

fn check_references(name: &str, items: &[Value], roles: &[&str]) -> Result<(), Refusal> {
    for item in items {
        if !item["url"].as_str().is_some_and(is_url) {
            return Err(Refusal::invalid(format!("{name} items need a url")));
        }
        if !item["role"].as_str().is_some_and(|role| roles.contains(&role)) {
            let roles = roles.join(", ");
            return Err(Refusal::invalid(format!("{name} items need a role out of {roles}")));
        }
    }
    Ok(())
}

/// The one option table that could be read (vendor-api.md section 6.2).
fn check_veo(options: &Body, referenced: bool) -> Result<(), Refusal> {
    const KNOWN: [&str; 7] = [
        "aspectRatio",
        "duration",
        "resolution",
        "enhancePrompt",
        "generateAudio",
        "negativePrompt",
        "seed",
    ];
    if let Some(other) = options.names().find(|name| !KNOWN.contains(name)) {
        return Err(Refusal::invalid(format!("options.veo.{other} does not exist")));
    }
    if !matches!(options.text("aspectRatio")?, None | Some("16:9" | "9:16")) {
        return Err(Refusal::invalid("aspectRatio must be 16:9 or 9:16"));
    }
    if !matches!(options.text("resolution")?, None | Some("720p" | "1080p")) {
        return Err(Refusal::invalid("resolution must be 720p or 1080p"));
    }
    let duration = options.whole("duration", 4..=8)?.unwrap_or(8);
    if duration % 2 != 0 {
        return Err(Refusal::invalid("duration must be 4, 6 or 8"));
    }
    if referenced && duration != 8 {
        return Err(Refusal::invalid("duration must be 8 when a reference_image is used"));
    }
    options.text("negativePrompt")?;
    options.check_bool("enhancePrompt")?;
    options.check_bool("generateAudio")?;
    options.check_integer("seed")
}

fn is_url(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

fn accept(world: &mut World, caller: &Caller, order: Order) -> Outcome {
    let (id, seq) = world.submit(caller, order)?;
    let id = world.job_id_shown(&id, caller.op);
    Ok(Reply::result(json!({ "jobId": id, "status": "queued" })).of_effect(Some(seq)))
}
