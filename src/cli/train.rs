//! `darkroom train`: a folder of photos becomes a trained model.

use super::context::{TailArgs, new_id};
use super::submit::{Faults, Order, Placed};
use super::{CliError, Context, out};
use crate::domain::ids::Id;
use crate::domain::photo::ChosenPhoto;
use crate::domain::request::{Gender, Identity, UploadPurpose};
use crate::domain::validate;
use crate::service::finder::Finder;
use crate::service::{models, photos};
use crate::store::Store;
use crate::store::submit::{NewTraining, Submission};
use serde_json::{Map, json};
use std::path::PathBuf;

/// Train a model on a folder of 12 to 20 photos of one person.
///
/// The photos are checked first (`darkroom check DIR` does only that) and copied into the data
/// directory, so that the folder may vanish afterwards. Prints the model's id.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  darkroom train --name Anna --age 27 --gender Female --images ./photos --wait
  darkroom train --model Anna --images ./more-photos    a model that is not trained yet")]
pub struct TrainArgs {
    /// A model of yours that exists and is not trained: its id or name.
    #[arg(long, value_name = "ID", conflicts_with_all = ["name", "age", "gender", "ethnicity", "eye_color"])]
    model: Option<String>,
    /// What to call the new model.
    #[arg(long, required_unless_present = "model")]
    name: Option<String>,
    /// The person's age in years.
    #[arg(long, value_name = "YEARS", required_unless_present = "model")]
    age: Option<u32>,
    /// `Female` or `Male`, as the vendor writes them.
    #[arg(long, required_unless_present = "model")]
    gender: Option<String>,
    /// Free text, for example "south asian".
    #[arg(long, value_name = "TEXT")]
    ethnicity: Option<String>,
    /// Free text, for example "brown".
    #[arg(long, value_name = "TEXT")]
    eye_color: Option<String>,
    /// The folder of photos.
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// Leave bad files and exact copies out instead of refusing the folder.
    #[arg(long)]
    skip_bad: bool,
    #[command(flatten)]
    tail: TailArgs,
}

pub(super) async fn run(ctx: &Context, args: TrainArgs) -> Result<u8, CliError> {
    let mut order = Order::open(ctx, &args.tail).await?;
    let mut faults = Faults::default();
    let identity = identity(&args, &mut faults);
    let model = match &args.model {
        Some(text) => {
            let finder = Finder::new(order.store(), &ctx.catalogue);
            faults.keep(finder.need_own_model("--model", text).await)?
        }
        None => None,
    };
    let chosen = super::photos::from_folder(&args.images, args.skip_bad, &mut faults).await?;
    faults.done()?;
    let chosen = chosen.unwrap_or_default();

    let request = json!({
        "identity": identity,
        "model": model.as_ref().map(|model| model.id),
        "photos": photos::canonical(&chosen),
    });
    if let Some(earlier) = order.earlier("train", &request).await? {
        return end(order.existing("model", earlier)?).await;
    }
    let (mut submission, new_photos) = match (&model, identity) {
        (Some(model), _) => {
            models::refuse_untrainable(model)?;
            let new = new_photos(order.store(), model.id, chosen).await?;
            (Submission::new(("model", model.id), "cli"), new)
        }
        (None, Some(identity)) => (models::create(identity, "cli"), chosen),
        (None, None) => return Err(CliError::Usage("say whom to train".to_owned())),
    };
    let id = submission.subject.1;
    submission.uploads = photos::uploads(&new_photos, id, UploadPurpose::Training);
    submission.training = Some(NewTraining { id: new_id(), model: id });
    let sources = photos::sources(&new_photos);
    end(order.place(submission, sources).await?).await
}

async fn end(placed: Placed<'_>) -> Result<u8, CliError> {
    let mut extra = Map::new();
    let training = placed.store.training_of(placed.id).await?;
    extra.insert("training_id".to_owned(), json!(training));
    placed.end(extra).await
}

fn identity(args: &TrainArgs, faults: &mut Faults) -> Option<Identity> {
    let (name, age, gender) = (args.name.clone()?, args.age?, args.gender.as_deref()?);
    let gender = match validate::gender(gender) {
        Ok(gender) => Some(gender),
        Err(problem) => {
            faults.problem(&problem);
            None
        }
    };
    let identity = Identity {
        name,
        age,
        // A stand-in, so that the rest is checked all the same.
        gender: gender.unwrap_or(Gender::Female),
        ethnicity: args.ethnicity.clone(),
        eye_color: args.eye_color.clone(),
    };
    faults.problems(validate::identity(&identity));
    Some(identity)
}

/// The photos that the model does not hold yet; the others are said.
pub(super) async fn new_photos(
    store: Option<&Store>,
    model: Id,
    chosen: Vec<ChosenPhoto>,
) -> Result<Vec<ChosenPhoto>, CliError> {
    let all = chosen.len();
    let new = models::new_photos(store, model, chosen).await?;
    if new.len() < all {
        out::talk(&format!(
            "note: {} of the photos are at the model already and not uploaded again",
            all - new.len()
        ));
    }
    Ok(new)
}
