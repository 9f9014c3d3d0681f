//! `darkroom model`: list, show, update, delete, and take over a model that the vendor has.

use super::context::TailArgs;
use super::submit::{Faults, Order, open_if_there};
use super::{CliError, Context, exit, ls, out, show};
use crate::domain::request::Identity;
use crate::domain::validate;
use crate::service::finder::Finder;
use crate::service::models::{self, IdentityPatch};
use crate::service::{ServiceError, shown};
use crate::store::lookup::FoundModel;
use serde_json::{Map, json};
use std::io::{IsTerminal as _, Write as _};

/// Models of yours: list, show, update, delete, import.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  darkroom model ls
  darkroom model update Anna --eye-color green --wait
  darkroom model import 018f5f29-7c2b-7b4e-9a8c-4f8b4c2d1e0f --name Anna")]
pub struct ModelArgs {
    #[command(subcommand)]
    command: ModelCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ModelCommand {
    /// List your models.
    #[command(visible_alias = "list")]
    Ls,
    /// Show one model.
    Show {
        /// Its id, the beginning of it, or its name.
        id: String,
    },
    Update(UpdateArgs),
    Delete(DeleteArgs),
    Import(ImportArgs),
}

/// Change what the vendor knows about the person. What is not given stays as it is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  darkroom model update Anna --age 28 --wait")]
struct UpdateArgs {
    /// Its id, the beginning of it, or its name.
    id: String,
    /// A new name.
    #[arg(long)]
    name: Option<String>,
    /// The person's age in years.
    #[arg(long, value_name = "YEARS")]
    age: Option<u32>,
    /// `Female` or `Male`.
    #[arg(long)]
    gender: Option<String>,
    /// Free text, for example "south asian".
    #[arg(long, value_name = "TEXT")]
    ethnicity: Option<String>,
    /// Free text, for example "brown".
    #[arg(long, value_name = "TEXT")]
    eye_color: Option<String>,
    #[command(flatten)]
    tail: TailArgs,
}

/// Delete a model at the vendor. It cannot be brought back; files on disk stay.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  darkroom model delete Anna --yes --wait")]
struct DeleteArgs {
    /// Its id, the beginning of it, or its name.
    id: String,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    tail: TailArgs,
}

/// Take over a trained model that the vendor has and darkroom does not know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  darkroom model import 018f5f29-7c2b-7b4e-9a8c-4f8b4c2d1e0f --name Anna --wait")]
struct ImportArgs {
    /// The vendor's id of the model.
    remote_id: String,
    /// What to call it here; without it, the vendor's id.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    tail: TailArgs,
}

pub(super) async fn run(ctx: &Context, args: ModelArgs) -> Result<u8, CliError> {
    match args.command {
        ModelCommand::Ls => ls::run(ctx, &ls::Ls::models()).await,
        ModelCommand::Show { id } => show(ctx, &id).await,
        ModelCommand::Update(args) => update(ctx, args).await,
        ModelCommand::Delete(args) => delete(ctx, args).await,
        ModelCommand::Import(args) => import(ctx, args).await,
    }
}

async fn show(ctx: &Context, text: &str) -> Result<u8, CliError> {
    let store = open_if_there(ctx).await?;
    let finder = Finder::new(store.as_ref(), &ctx.catalogue);
    let model = finder.need_own_model("model", text).await?;
    let args = show::Show::of(model.id);
    show::show(ctx, &args).await
}

async fn update(ctx: &Context, args: UpdateArgs) -> Result<u8, CliError> {
    let mut order = Order::open(ctx, &args.tail).await?;
    let finder = Finder::new(order.store(), &ctx.catalogue);
    let model = finder.need_own_model("model", &args.id).await?;
    let stored = match order.store() {
        Some(store) => models::identity(store, model.id).await?,
        None => None,
    };
    let identity = merged(stored, &args)?;
    // What the user wrote, not what came of it: the same words again are the same request.
    let request = json!({
        "model": model.id,
        "name": args.name,
        "age": args.age,
        "gender": args.gender,
        "ethnicity": args.ethnicity,
        "eye_color": args.eye_color,
    });
    if let Some(earlier) = order.earlier("model update", &request).await? {
        return order.existing("change", earlier)?.end(Map::new()).await;
    }
    change(order, &model, Some(identity)).await
}

/// The stored identity with the given fields on top.
fn merged(stored: Option<Identity>, args: &UpdateArgs) -> Result<Identity, CliError> {
    let mut faults = Faults::default();
    let gender = match args.gender.as_deref().map(validate::gender) {
        Some(Ok(gender)) => Some(gender),
        Some(Err(problem)) => {
            faults.problem(&problem);
            None
        }
        None => None,
    };
    let patch = IdentityPatch {
        name: args.name.clone(),
        age: args.age,
        gender,
        ethnicity: args.ethnicity.clone(),
        eye_color: args.eye_color.clone(),
    };
    if patch.is_empty() && args.gender.is_none() {
        faults.add(
            "nothing to change is given: name at least one of --name, --age, --gender, \
             --ethnicity and --eye-color",
        );
    }
    let Some(identity) = patch.on(stored) else {
        faults.add(
            "this model was taken over, so nothing is known of the person: give --name, --age and \
             --gender together",
        );
        faults.done()?;
        return Err(CliError::Usage("an identity is missing".to_owned()));
    };
    faults.problems(validate::identity(&identity));
    faults.done()?;
    Ok(identity)
}

async fn delete(ctx: &Context, args: DeleteArgs) -> Result<u8, CliError> {
    let mut order = Order::open(ctx, &args.tail).await?;
    let finder = Finder::new(order.store(), &ctx.catalogue);
    let model = finder.need_own_model("model", &args.id).await?;
    let request = json!({ "model": model.id });
    if let Some(earlier) = order.earlier("model delete", &request).await? {
        return order.existing("change", earlier)?.end(Map::new()).await;
    }
    if model.remote_status.as_deref() == Some("deleted") {
        let said = json!({ "id": model.id, "kind": "model", "status": "already_deleted" });
        let text = if ctx.global.json { said.to_string() } else { "already_deleted".to_owned() };
        out::line(&text)?;
        return Ok(exit::DONE);
    }
    if let Some(store) = order.store() {
        models::refuse_delete(store, &model).await?;
    }
    if !args.yes {
        confirm(&model)?;
    }
    change(order, &model, None).await
}

/// Asks, where there is somebody to ask.
fn confirm(model: &FoundModel) -> Result<(), CliError> {
    let what = format!("model {} ({})", shown(&model.name), model.id);
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Err(CliError::Usage(format!(
            "deleting {what} at the vendor cannot be undone: add --yes"
        )));
    }
    let mut stderr = std::io::stderr();
    let question = format!("Delete {what} at the vendor for ever? [y/N] ");
    let _ = stderr.write_all(question.as_bytes());
    let _ = stderr.flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    match (read, answer.trim().to_ascii_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        _ => Err(CliError::Usage("nothing was deleted".to_owned())),
    }
}

async fn change(
    order: Order<'_>,
    model: &FoundModel,
    fields: Option<Identity>,
) -> Result<u8, CliError> {
    let submission = models::change(model, fields, "cli")?;
    let mut extra = Map::new();
    extra.insert("model_id".to_owned(), json!(model.id));
    order.place(submission, Vec::new()).await?.end(extra).await
}

async fn import(ctx: &Context, args: ImportArgs) -> Result<u8, CliError> {
    let mut order = Order::open(ctx, &args.tail).await?;
    let remote_id = args.remote_id.trim().to_owned();
    let submission = match models::import(&remote_id, args.name.as_deref(), "cli") {
        Err(ServiceError::Several(problems)) => {
            let mut faults = Faults::default();
            faults.problems(Err(problems));
            return faults.done().map(|()| exit::USAGE);
        }
        other => other?,
    };
    let request = json!({ "remote_id": remote_id, "name": args.name });
    if let Some(earlier) = order.earlier("model import", &request).await? {
        return order.existing("model", earlier)?.end(Map::new()).await;
    }
    let finder = Finder::new(order.store(), &ctx.catalogue);
    let known = finder.own_model("model", &remote_id).await?;
    if let Some(model) = known.filter(|m| m.remote_id.as_deref() == Some(remote_id.as_str())) {
        let note = "already_imported: this model is known, nothing is added";
        let placed = order.found("model", model.id, Some(note))?;
        return placed.end(Map::new()).await;
    }
    order.place(submission, Vec::new()).await?.end(Map::new()).await
}
