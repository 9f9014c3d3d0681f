//! `darkroom upload`: one photo for a model.

use super::context::{TailArgs, new_id};
use super::submit::{Faults, Order};
use super::{CliError, Context};
use crate::domain::request::UploadPurpose;
use crate::service::finder::Finder;
use crate::service::{models, photos};
use crate::store::submit::Submission;
use clap::ValueEnum;
use serde_json::{Map, json};
use std::path::PathBuf;

/// Upload one photo to a model: a reference picture for prompts, or a training photo.
///
/// Training photos usually come with `darkroom train --images DIR`. Prints the upload's id, which
/// `darkroom image --input-image` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  darkroom upload ./bottle.jpg --model Anna --type auxiliaryType --wait")]
pub struct UploadArgs {
    /// The photo: JPEG, PNG, WebP or HEIC.
    file: PathBuf,
    /// A model of yours: its id, its beginning, or its name.
    #[arg(long, value_name = "ID")]
    model: String,
    /// What it is for.
    #[arg(long = "type", value_name = "TYPE", value_enum)]
    purpose: PurposeWord,
    #[command(flatten)]
    tail: TailArgs,
}

/// The vendor's words, and ours.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum PurposeWord {
    /// A reference picture for prompts (also: reference).
    #[value(name = "auxiliaryType", alias = "reference")]
    Auxiliary,
    /// A training photo (also: training).
    #[value(name = "modelInput", alias = "training")]
    Input,
}

impl From<PurposeWord> for UploadPurpose {
    fn from(word: PurposeWord) -> Self {
        match word {
            PurposeWord::Auxiliary => Self::Reference,
            PurposeWord::Input => Self::Training,
        }
    }
}

pub(super) async fn run(ctx: &Context, args: UploadArgs) -> Result<u8, CliError> {
    let purpose = UploadPurpose::from(args.purpose);
    let mut order = Order::open(ctx, &args.tail).await?;
    let mut faults = Faults::default();
    let finder = Finder::new(order.store(), &ctx.catalogue);
    let model = faults.keep(finder.need_own_model("--model", &args.model).await)?;
    let photo = super::photos::from_file(&args.file, &mut faults).await?;
    faults.done()?;
    let (Some(model), Some(photo)) = (model, photo) else {
        return Err(CliError::Error("nothing to upload was found".to_owned()));
    };
    let chosen = [photo];
    let request = json!({
        "model": model.id,
        "purpose": purpose,
        "photo": photos::canonical(&chosen),
    });
    if let Some(earlier) = order.earlier("upload", &request).await? {
        return order.existing("upload", earlier)?.end(Map::new()).await;
    }
    let [photo] = &chosen;
    models::refuse_upload(order.store(), &model, purpose, photo).await?;
    let uploads = photos::uploads(&chosen, model.id, purpose);
    let id = uploads.first().map_or_else(new_id, |upload| upload.id);
    let mut submission = Submission::new(("upload", id), "cli");
    submission.uploads = uploads;
    let placed = order.place(submission, photos::sources(&chosen)).await?;
    placed.end(Map::new()).await
}
