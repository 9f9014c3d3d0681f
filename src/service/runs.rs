//! Executions of recipes: what a checked recipe becomes.

use super::models::refuse_untrainable;
use super::readiness::{Readiness, readiness, refuse_unusable};
use super::{Result, ServiceError};
use crate::clock::new_id;
use crate::domain::ids::Id;
use crate::domain::recipe::{Recipe, RecipeModel, StepRequest};
use crate::domain::request::MediaRef;
use crate::store::Store;
use crate::store::lookup::FoundModel;
use crate::store::submit::{NewJob, NewModel, NewRun, Submission};
use std::collections::BTreeMap;

/// The steps as requests, each with a job of its own; `model` is the recipe's.
///
/// # Errors
/// A step that needs a model where the recipe has none.
pub fn step_requests(recipe: &Recipe, model: Option<Id>) -> Result<Vec<StepRequest>> {
    let jobs: BTreeMap<String, Id> =
        recipe.order().map(|step| (step.name.clone(), new_id())).collect();
    recipe.requests(model, &jobs).map_err(|missing| ServiceError::invalid("", missing.to_string()))
}

/// Sentences about outputs and uploads that steps name by id and that are not there.
///
/// # Errors
/// A database error.
pub async fn missing_references(
    store: Option<&Store>,
    steps: &[StepRequest],
) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for step in steps {
        let name = &step.step;
        for media in step.request.media() {
            if let MediaRef::Output(id) = media
                && !is_image_output(store, *id).await?
            {
                missing.push(format!(
                    "step `{name}`: there is no picture {id} among the outputs \
                     (`darkroom ls outputs` lists them)"
                ));
            }
        }
        for upload in step.request.uploads_referred_to() {
            if !is_upload(store, upload).await? {
                missing.push(format!(
                    "step `{name}`: there is no upload {upload} (`darkroom ls uploads` lists them)"
                ));
            }
        }
    }
    Ok(missing)
}

async fn is_image_output(store: Option<&Store>, id: Id) -> Result<bool> {
    let Some(store) = store else {
        return Ok(false);
    };
    let found = store.outputs_like(&id.to_string()).await?;
    Ok(found.iter().any(|output| output.media == "image"))
}

async fn is_upload(store: Option<&Store>, id: Id) -> Result<bool> {
    match store {
        Some(store) => Ok(!store.uploads_like(&id.to_string()).await?.is_empty()),
        None => Ok(false),
    }
}

/// Whether a model that a recipe names is trained, or on the way to it.
pub fn needs_no_training(model: &FoundModel) -> bool {
    match readiness(model) {
        Readiness::InTraining(_) => true,
        Readiness::Usable => model.training.is_some() || model.remote_status.is_some(),
        _ => false,
    }
}

/// Refuses a model that cannot do its part; `trains` says that the run is to train it.
///
/// # Errors
/// A sentence.
pub fn refuse_state(recipe: &Recipe, model: Option<&FoundModel>, trains: bool) -> Result<()> {
    let Some(model) = model else {
        return Ok(());
    };
    if trains {
        refuse_untrainable(model)
    } else if recipe.steps().iter().any(|step| step.is_trained()) {
        refuse_unusable(model)
    } else {
        Ok(())
    }
}

/// The run with its new model, if the recipe has one, and its jobs; photos and their training are
/// the caller's to add.
pub fn submission(
    run: NewRun,
    recipe: &Recipe,
    model: Option<Id>,
    steps: Vec<StepRequest>,
    actor: &str,
) -> Submission {
    let mut submission = Submission::new(("run", run.id), actor);
    submission.run = Some(run);
    if let (Some(RecipeModel::New { identity, .. }), Some(id)) = (&recipe.model, model) {
        submission.models.push(NewModel {
            id,
            name: identity.name.clone(),
            identity: Some(identity.clone()),
            import: None,
        });
    }
    let jobs = steps.into_iter().map(|step| NewJob {
        id: step.job,
        request: step.request,
        step: Some(step.step),
    });
    submission.jobs.extend(jobs);
    submission
}
