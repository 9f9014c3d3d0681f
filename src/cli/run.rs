//! `darkroom run`: a recipe, checked whole before anything is stored.

use super::context::{TailArgs, new_id};
use super::submit::{Faults, Order};
use super::train::new_photos;
use super::{CliError, Context, exit, out, plan};
use crate::domain::ids::Id;
use crate::domain::photo::ChosenPhoto;
use crate::domain::recipe::{MAX_RECIPE_BYTES, Recipe, RecipeModel, StepRequest};
use crate::domain::request::UploadPurpose;
use crate::service::finder::Finder;
use crate::service::{photos, runs, shown};
use crate::store::Store;
use crate::store::lookup::FoundModel;
use crate::store::submit::{NewRun, NewTraining};
use serde_json::{Map, Value, json};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Run a recipe: a pipeline of training, pictures, upscales and videos, declared in TOML.
///
/// The recipe, its photos and everything it refers to are checked before anything is stored.
/// Running a recipe again starts anew, unless --key or --resume says otherwise. Prints the run's id.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  darkroom run config/recipes/ugc-creator.toml --plan     calls, credits, expected finish; free
  darkroom run config/recipes/ugc-creator.toml --wait
  darkroom run --resume 018f5f29 --wait                   watch a run that exists")]
pub struct RunArgs {
    /// The recipe.
    #[arg(value_name = "RECIPE.toml", required_unless_present = "resume")]
    recipe: Option<PathBuf>,
    /// Print what it would take, and store nothing.
    #[arg(long, conflicts_with_all = ["key", "wait", "resume"])]
    plan: bool,
    /// The folder of photos, instead of the one that the recipe names.
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Leave bad photos and exact copies out instead of refusing the folder.
    #[arg(long)]
    skip_bad: bool,
    /// Go on with a run that exists instead of starting one: its id or name.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["recipe", "images", "skip_bad", "key"])]
    resume: Option<String>,
    #[command(flatten)]
    tail: TailArgs,
}

/// A recipe with everything that it needs.
struct Prepared {
    text: String,
    name: String,
    recipe: Recipe,
    /// The model that it names, when it names one.
    model: Option<FoundModel>,
    /// What to train on, when there is something to train.
    photos: Option<Vec<ChosenPhoto>>,
}

impl Prepared {
    /// Refuses a model that cannot do its part.
    fn refuse_state(&self) -> Result<(), CliError> {
        Ok(runs::refuse_state(&self.recipe, self.model.as_ref(), self.photos.is_some())?)
    }
}

pub(super) async fn run(ctx: &Context, args: RunArgs) -> Result<u8, CliError> {
    let mut order = Order::open(ctx, &args.tail).await?;
    if let Some(text) = &args.resume {
        let run = find_run(order.store(), text).await?;
        return order.found("run", run, None)?.end(Map::new()).await;
    }
    let prepared = prepare(ctx, &args, order.store()).await?;
    let model = match (&prepared.model, &prepared.recipe.model) {
        (Some(found), _) => Some(found.id),
        (None, Some(_)) => Some(new_id()),
        (None, None) => None,
    };
    let run = new_id();
    let steps = runs::step_requests(&prepared.recipe, model)?;
    let mut faults = Faults::default();
    for sentence in runs::missing_references(order.store(), &steps).await? {
        faults.add(sentence);
    }
    faults.done()?;
    if args.plan {
        prepared.refuse_state()?;
        let photos = prepared.photos.as_deref();
        plan::print(ctx, &prepared.name, &prepared.recipe.plan(), photos)?;
        return Ok(exit::DONE);
    }
    if let Some(earlier) = order.earlier("run", &canonical(&prepared)).await? {
        return order.existing("run", earlier)?.end(Map::new()).await;
    }
    prepared.refuse_state()?;
    place(order, prepared, run, model, steps).await
}

async fn find_run(store: Option<&Store>, text: &str) -> Result<Id, CliError> {
    let found = match store {
        Some(store) => store.runs_like(text).await?,
        None => Vec::new(),
    };
    match found.as_slice() {
        [(id, _)] => Ok(*id),
        [] => Err(CliError::Usage(format!(
            "--resume: {} is no run known here (`darkroom ls runs` lists them)",
            shown(text)
        ))),
        several => {
            let ids: Vec<String> = several.iter().map(|(id, _)| id.to_string()).collect();
            Err(CliError::Usage(format!(
                "--resume: {} fits several runs: write one of {}",
                shown(text),
                ids.join(", ")
            )))
        }
    }
}

async fn prepare(
    ctx: &Context,
    args: &RunArgs,
    store: Option<&Store>,
) -> Result<Prepared, CliError> {
    let Some(path) = &args.recipe else {
        return Err(CliError::Usage("name a recipe".to_owned()));
    };
    let text = read_recipe(path)?;
    let mut recipe = Recipe::parse_with(&text, &path.to_string_lossy(), &ctx.catalogue)
        .map_err(|error| CliError::Usage(error.to_string()))?;
    let mut faults = Faults::default();
    let mut folder = photo_folder(path, &recipe, args.images.as_deref(), &mut faults);
    let model = match &recipe.model {
        Some(RecipeModel::Existing { id, .. }) => {
            let finder = Finder::new(store, &ctx.catalogue);
            faults.keep(finder.need_own_model("[model] id", id).await)?
        }
        _ => None,
    };
    if let Some(RecipeModel::Existing { images, .. }) = &mut recipe.model {
        let trained = model.as_ref().is_some_and(runs::needs_no_training);
        if trained && folder.take().is_some() {
            out::talk(
                "note: the model is trained or in training already, so its photos are not used",
            );
        }
        // The plan goes by what the recipe says.
        *images = folder.as_ref().map(|folder| folder.to_string_lossy().into_owned());
    }
    let photos = match &folder {
        Some(folder) => super::photos::from_folder(folder, args.skip_bad, &mut faults).await?,
        None => None,
    };
    faults.done()?;
    let stem = path.file_stem().unwrap_or(path.as_os_str());
    let stem = stem.to_string_lossy().replace(char::is_control, " ");
    let name = recipe.name.clone();
    Ok(Prepared { text, name: name.unwrap_or(stem), recipe, model, photos })
}

fn read_recipe(path: &Path) -> Result<String, CliError> {
    let unreadable = |error: std::io::Error| {
        CliError::Usage(format!(
            "the recipe {} cannot be read: {error}",
            shown(&path.to_string_lossy())
        ))
    };
    let mut text = String::new();
    // One byte more than allowed, so that the rule about length does the talking.
    let limit = u64::try_from(MAX_RECIPE_BYTES).unwrap_or(u64::MAX) + 1;
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(limit).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

/// Where the photos are: `--images`, else what the recipe says, counted from its own folder.
fn photo_folder(
    recipe_file: &Path,
    recipe: &Recipe,
    images: Option<&Path>,
    faults: &mut Faults,
) -> Option<PathBuf> {
    match (images, &recipe.model) {
        (Some(_), None) => {
            faults.add("--images: the recipe has no [model] section, so it trains nothing");
            None
        }
        (Some(folder), Some(_)) => Some(folder.to_owned()),
        (None, Some(model)) => {
            let written = model.images()?;
            let home = recipe_file.parent().unwrap_or(Path::new(""));
            Some(home.join(written))
        }
        (None, None) => None,
    }
}

/// What a key stands for. The photos of a model that exists are no part of it: the second time
/// it is trained, and its folder may be gone.
fn canonical(prepared: &Prepared) -> Value {
    let photos = match prepared.model {
        Some(_) => None,
        None => prepared.photos.as_deref().map(photos::canonical),
    };
    json!({
        "recipe": prepared.text,
        "model": prepared.model.as_ref().map(|model| model.id),
        "photos": photos,
    })
}

async fn place(
    order: Order<'_>,
    prepared: Prepared,
    run: Id,
    model: Option<Id>,
    steps: Vec<StepRequest>,
) -> Result<u8, CliError> {
    let new = NewRun { id: run, name: prepared.name, recipe: prepared.text };
    let mut submission = runs::submission(new, &prepared.recipe, model, steps, "cli");
    let mut sources = Vec::new();
    if let (Some(chosen), Some(model)) = (prepared.photos, model) {
        let new = new_photos(order.store(), model, chosen).await?;
        submission.uploads = photos::uploads(&new, model, UploadPurpose::Training);
        submission.training = Some(NewTraining { id: new_id(), model });
        sources = photos::sources(&new);
    }
    order.place(submission, sources).await?.end(Map::new()).await
}
