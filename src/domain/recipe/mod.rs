//! Recipes: a pipeline declared in TOML, validated whole before anything is spent.
//!
//! A recipe has an optional `[model]`, trained first when it has photos, and named `[[step]]`s,
//! each an image, upscale or video request that may refer to outputs of other steps
//! (`hero.images[0]`). Steps are ordered by what they refer to, not by where they stand.

mod diagnostic;
mod graph;
mod model;
mod parse;
mod plan;
mod read;
mod reference;
mod step;

#[cfg(test)]
mod tests;

pub use diagnostic::{Diagnostic, RecipeError};
pub use plan::{Plan, PlannedStep, typical};

use super::catalogue::Catalogue;
use super::ids::Id;
use super::request::{Identity, JobRequest, MediaRef, ModelRef};
use std::collections::BTreeMap;
use std::fmt;

/// The longest recipe, in bytes. Ours: a longer file is not a recipe.
pub const MAX_RECIPE_BYTES: usize = 1024 * 1024;

/// The most steps of one recipe. Ours: each is a paid call.
pub const MAX_STEPS: usize = 500;

/// A recipe without faults.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Its name for people.
    pub name: Option<String>,
    /// The model that steps call `trained`.
    pub model: Option<RecipeModel>,
    steps: Vec<Step>,
    order: Vec<usize>,
}

/// The `[model]` of a recipe.
#[derive(Clone, Debug, PartialEq)]
pub enum RecipeModel {
    /// A model to create and train.
    New {
        /// The person.
        identity: Identity,
        /// The folder of photos as written; relative to the recipe's file.
        images: String,
    },
    /// A model that darkroom has.
    Existing {
        /// Its id or an unambiguous beginning of it, as written.
        id: String,
        /// The folder of photos to train it on as written, when it is not trained yet; relative
        /// to the recipe's file.
        images: Option<String>,
    },
}

impl RecipeModel {
    /// The folder of training photos as written; `None` when nothing is trained.
    pub fn images(&self) -> Option<&str> {
        match self {
            Self::New { images, .. } => Some(images),
            Self::Existing { images, .. } => images.as_deref(),
        }
    }
}

/// The three types of step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StepKind {
    /// Makes pictures.
    Image,
    /// Enlarges one picture.
    Upscale,
    /// Makes videos.
    Video,
}

impl StepKind {
    const ALL: [Self; 3] = [Self::Image, Self::Upscale, Self::Video];

    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Upscale => "upscale",
            Self::Video => "video",
        }
    }

    /// The list that holds its outputs in a reference.
    fn makes(self) -> &'static str {
        match self {
            Self::Image | Self::Upscale => "images",
            Self::Video => "videos",
        }
    }
}

/// One step of a recipe.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its name, unique in the recipe.
    pub name: String,
    /// How many outputs it is expected to have: what it asks for, or 1 (a client's observation,
    /// the vendor documents no default).
    pub outputs: u32,
    /// The steps whose outputs it uses, in the order of the file.
    pub depends_on: Vec<String>,
    /// The request with stand-ins for ids that do not exist yet.
    template: JobRequest,
}

impl Step {
    /// Its type.
    pub fn kind(&self) -> StepKind {
        match self.template {
            JobRequest::Image(_) => StepKind::Image,
            JobRequest::Upscale(_) => StepKind::Upscale,
            JobRequest::Video(_) => StepKind::Video,
        }
    }

    /// Whether it runs on the recipe's own `[model]`.
    pub fn is_trained(&self) -> bool {
        matches!(&self.template, JobRequest::Image(image)
            if matches!(image.model, ModelRef::Trained(_)))
    }

    /// The public model it runs on; `None` for an upscale or the recipe's own model.
    pub fn public_model(&self) -> Option<&str> {
        match &self.template {
            JobRequest::Image(image) => match &image.model {
                ModelRef::Public(name) => Some(name),
                ModelRef::Trained(_) => None,
            },
            JobRequest::Video(video) => Some(&video.model),
            JobRequest::Upscale(_) => None,
        }
    }
}

/// What a step is known as while the rest of the file is read.
struct Declared {
    name: String,
    /// `None` when the file does not say, which is a fault already.
    kind: Option<StepKind>,
    outputs: u32,
}

/// An id that [`Recipe::requests`] needs and was not given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissingId {
    /// A step runs on the recipe's model.
    Model {
        /// The step.
        step: String,
    },
    /// A step has no job.
    Job {
        /// The step.
        step: String,
    },
}

impl fmt::Display for MissingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model { step } => {
                write!(f, "step `{step}` runs on the recipe's model, which has no id yet")
            }
            Self::Job { step } => write!(f, "step `{step}` has no job id"),
        }
    }
}

impl std::error::Error for MissingId {}

/// One step as work for the store.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRequest {
    /// The step's name.
    pub step: String,
    /// Its job.
    pub job: Id,
    /// What to ask the vendor for; references to steps are [`MediaRef::JobOutput`].
    pub request: JobRequest,
    /// The jobs that must have produced their outputs first. The training of a
    /// [`ModelRef::Trained`] is not among them.
    pub depends_on: Vec<Id>,
}

impl Recipe {
    /// Reads and checks a recipe against the documented models. `file` is the name that errors
    /// show.
    pub fn parse(text: &str, file: &str) -> Result<Self, RecipeError> {
        Self::parse_with(text, file, &Catalogue::default())
    }

    /// The same, with models that a user added to the catalogue.
    pub fn parse_with(text: &str, file: &str, catalogue: &Catalogue) -> Result<Self, RecipeError> {
        parse::recipe(text, file, catalogue)
    }

    /// The steps in the order of the file.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The steps so that each comes after those it depends on, otherwise in the order of the file.
    pub fn order(&self) -> impl Iterator<Item = &Step> {
        self.order.iter().filter_map(|n| self.steps.get(*n))
    }

    /// The steps as requests in [`Recipe::order`], with the ids that the caller has given out:
    /// one for the recipe's model when a step uses it, one job per step.
    pub fn requests(
        &self,
        model: Option<Id>,
        job_ids: &BTreeMap<String, Id>,
    ) -> Result<Vec<StepRequest>, MissingId> {
        self.order().map(|step| self.request(step, model, job_ids)).collect()
    }

    fn request(
        &self,
        step: &Step,
        model: Option<Id>,
        job_ids: &BTreeMap<String, Id>,
    ) -> Result<StepRequest, MissingId> {
        let job_of = |name: &str| {
            let missing = || MissingId::Job { step: name.to_owned() };
            job_ids.get(name).copied().ok_or_else(missing)
        };
        let mut request = step.template.clone();
        for media in reference::media_mut(&mut request) {
            if let MediaRef::JobOutput { job, .. } = media
                && let Some(target) = reference::step_of(*job).and_then(|n| self.steps.get(n))
            {
                *job = job_of(&target.name)?;
            }
        }
        if let JobRequest::Image(image) = &mut request
            && let ModelRef::Trained(id) = &mut image.model
        {
            *id = model.ok_or_else(|| MissingId::Model { step: step.name.clone() })?;
        }
        Ok(StepRequest {
            step: step.name.clone(),
            job: job_of(&step.name)?,
            request,
            depends_on: step.depends_on.iter().map(|n| job_of(n)).collect::<Result<_, _>>()?,
        })
    }

    /// What running it takes, as far as that is known beforehand.
    pub fn plan(&self) -> Plan {
        plan::plan(self)
    }
}
