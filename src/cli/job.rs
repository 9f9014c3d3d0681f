//! `darkroom image`, `upscale` and `video`: one paid job each.

use super::context::TailArgs;
use super::submit::{Faults, Order};
use super::{CliError, Context, text_arg};
use crate::domain::request::{ImageRequest, JobRequest, MediaRef, UpscaleRequest, VideoRequest};
use crate::domain::validate;
use crate::service::finder::Finder;
use crate::service::{ServiceError, jobs, shown};
use crate::store::lookup::FoundModel;
use serde_json::{Map, Value};

/// Make pictures with a trained model of yours or a public one.
///
/// A job on a model that is still in training waits for it. Prints the job's id.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  darkroom image --model Anna --prompt 'Portrait in a kitchen' --width 1024 --height 1280 --wait
  darkroom image --model nanobanana --prompt 'The same bottle at dusk' --reference 018f5f29 \\
      --aspect-ratio 9:16 --set options.gemini.imageSize=1K")]
pub struct ImageArgs {
    /// A model of yours (id, its beginning, or name) or a public one such as nanobanana.
    #[arg(long, value_name = "ID")]
    model: String,
    /// What to draw; `-` reads stdin, `@FILE` a file.
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// How many pictures.
    #[arg(long, value_name = "N")]
    num_images: Option<u32>,
    /// Pixels; trained models only.
    #[arg(long, value_name = "PIXELS")]
    width: Option<u32>,
    /// Pixels; trained models only.
    #[arg(long, value_name = "PIXELS")]
    height: Option<u32>,
    /// For repeatable pictures; trained models only.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seed: Option<i64>,
    /// The tag of a preset; `darkroom presets` lists them.
    #[arg(long, value_name = "TAG")]
    preset: Option<String>,
    /// For example 1:1 or 9:16; public models only.
    #[arg(long, value_name = "W:H")]
    aspect_ratio: Option<String>,
    /// An uploaded reference picture; trained models only.
    #[arg(long, value_name = "UPLOAD")]
    input_image: Option<String>,
    /// A picture to go by: an output, a job (its first picture), JOB[n] or a web address; may be
    /// given several times; public models only.
    #[arg(long = "reference", value_name = "OUTPUT|URL")]
    references: Vec<String>,
    /// A further field in the vendor's spelling, for example options.gemini.imageSize=1K.
    #[arg(long, value_name = "PATH=JSON")]
    set: Vec<String>,
    #[command(flatten)]
    tail: TailArgs,
}

/// Enlarge one picture.
///
/// Prints the job's id.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  darkroom upscale --image 018f5f29 --wait       an output of yours, or a job (its first picture)
  darkroom upscale --image 018f5f29[1] --wait    the second picture of a job")]
pub struct UpscaleArgs {
    /// An output, a job (its first picture), JOB[n], or an image id of the vendor's.
    #[arg(long, value_name = "OUTPUT|REMOTE_ID")]
    image: String,
    #[command(flatten)]
    tail: TailArgs,
}

/// Make videos with a public model.
///
/// Prints the job's id.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  darkroom video --model veo-3.1 --prompt 'She laughs and waves' --first-frame 018f5f29 \\
      --set options.veo.aspectRatio=9:16 --set options.veo.duration=8 --wait")]
pub struct VideoArgs {
    /// A public video model such as veo-3.1.
    #[arg(long, value_name = "PUBLIC_ID")]
    model: String,
    /// What to film; `-` reads stdin, `@FILE` a file.
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// How many videos.
    #[arg(long, value_name = "N")]
    num_videos: Option<u32>,
    /// The picture it begins with: an output, a job (its first picture), JOB[n] or a web address.
    #[arg(long, value_name = "OUTPUT|URL")]
    first_frame: Option<String>,
    /// The picture it ends with.
    #[arg(long, value_name = "OUTPUT|URL")]
    last_frame: Option<String>,
    /// A picture to go by; may be given several times.
    #[arg(long = "reference", value_name = "OUTPUT|URL")]
    references: Vec<String>,
    /// A further field in the vendor's spelling, for example options.veo.duration=8.
    #[arg(long, value_name = "PATH=JSON")]
    set: Vec<String>,
    #[command(flatten)]
    tail: TailArgs,
}

pub(super) async fn image(ctx: &Context, args: ImageArgs) -> Result<u8, CliError> {
    let order = Order::open(ctx, &args.tail).await?;
    let finder = Finder::new(order.store(), &ctx.catalogue);
    let mut faults = Faults::default();
    let model = faults.keep(finder.image_model("--model", &args.model).await)?;
    let prompt = prompt(&mut faults, args.prompt.as_deref())?;
    let input_image = match &args.input_image {
        Some(text) => {
            faults.keep(finder.upload("--input-image", text).await)?.map(MediaRef::Upload)
        }
        None => None,
    };
    let references = pictures(&finder, &mut faults, "--reference", &args.references).await?;
    let extra = extra(&mut faults, &args.set);
    let Some((model, own)) = model else {
        faults.done()?;
        return Err(CliError::Usage("--model is missing".to_owned()));
    };
    let request = JobRequest::Image(ImageRequest {
        model,
        prompt,
        num_images: args.num_images,
        width: args.width,
        height: args.height,
        seed: args.seed,
        preset: args.preset.clone(),
        aspect_ratio: args.aspect_ratio.clone(),
        input_image,
        references,
        extra,
    });
    place(order, faults, request, own).await
}

pub(super) async fn upscale(ctx: &Context, args: UpscaleArgs) -> Result<u8, CliError> {
    let order = Order::open(ctx, &args.tail).await?;
    let finder = Finder::new(order.store(), &ctx.catalogue);
    let image = picture(&finder, "--image", &args.image, true).await?;
    let request = JobRequest::Upscale(UpscaleRequest { image });
    place(order, Faults::default(), request, None).await
}

pub(super) async fn video(ctx: &Context, args: VideoArgs) -> Result<u8, CliError> {
    let order = Order::open(ctx, &args.tail).await?;
    let finder = Finder::new(order.store(), &ctx.catalogue);
    let mut faults = Faults::default();
    let prompt = prompt(&mut faults, Some(&args.prompt))?.unwrap_or_default();
    let first_frame = one(&finder, &mut faults, "--first-frame", &args.first_frame).await?;
    let last_frame = one(&finder, &mut faults, "--last-frame", &args.last_frame).await?;
    let references = pictures(&finder, &mut faults, "--reference", &args.references).await?;
    let extra = extra(&mut faults, &args.set);
    let request = JobRequest::Video(VideoRequest {
        model: args.model.clone(),
        prompt,
        num_videos: args.num_videos,
        first_frame,
        last_frame,
        references,
        reference_videos: Vec::new(),
        extra,
    });
    place(order, faults, request, None).await
}

/// Checks the request as a whole and stores it.
async fn place(
    mut order: Order<'_>,
    mut faults: Faults,
    request: JobRequest,
    own: Option<FoundModel>,
) -> Result<u8, CliError> {
    faults.problems(validate::job(&request, order.catalogue()));
    faults.done()?;
    let asked = serde_json::to_value(&request)
        .map_err(|error| CliError::Error(format!("the request cannot be written: {error}")))?;
    if let Some(earlier) = order.earlier(request.type_word(), &asked).await? {
        return order.existing("job", earlier)?.end(Map::new()).await;
    }
    let submission =
        jobs::order(order.store(), order.catalogue(), request, own.as_ref(), "cli").await?;
    order.place(submission, Vec::new()).await?.end(Map::new()).await
}

fn prompt(faults: &mut Faults, text: Option<&str>) -> Result<Option<String>, CliError> {
    match text {
        Some(text) => faults.keep(text_arg::resolve("--prompt", text)),
        None => Ok(None),
    }
}

/// What a word means; a file of this machine is told apart from what is simply unknown.
async fn picture(
    finder: &Finder<'_>,
    flag: &str,
    text: &str,
    at_vendor: bool,
) -> Result<MediaRef, CliError> {
    let found = finder.picture(flag, text, at_vendor).await;
    let unknown = matches!(found, Err(ServiceError::Unknown(_)) | Ok(MediaRef::Remote(_)));
    if unknown && std::path::Path::new(text).is_file() {
        return Err(CliError::Usage(format!(
            "{flag}: {} is a file on this machine, which the vendor cannot fetch: give an output, \
             a job or a web address",
            shown(text)
        )));
    }
    Ok(found?)
}

async fn one(
    finder: &Finder<'_>,
    faults: &mut Faults,
    flag: &str,
    text: &Option<String>,
) -> Result<Option<MediaRef>, CliError> {
    match text {
        Some(text) => faults.keep(picture(finder, flag, text, false).await),
        None => Ok(None),
    }
}

async fn pictures(
    finder: &Finder<'_>,
    faults: &mut Faults,
    flag: &str,
    texts: &[String],
) -> Result<Vec<MediaRef>, CliError> {
    let mut found = Vec::new();
    for text in texts {
        found.extend(faults.keep(picture(finder, flag, text, false).await)?);
    }
    Ok(found)
}

fn extra(faults: &mut Faults, assignments: &[String]) -> Map<String, Value> {
    let mut extra = Map::new();
    for assignment in assignments {
        if let Err(problem) = validate::set_path(&mut extra, assignment) {
            faults.problem(&problem);
        }
    }
    extra
}
