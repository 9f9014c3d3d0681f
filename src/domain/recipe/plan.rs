//! What a recipe takes, as far as that is known before it runs.

use super::{Recipe, RecipeModel, Step, StepKind};
use crate::domain::request::JobRequest;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How long each kind of work usually takes. The vendor promises nothing.
pub mod typical {
    use std::time::Duration;

    /// The middle of the vendor's 20 to 25 minutes (vendor-api.md section 4).
    pub const TRAINING: Duration = Duration::from_secs(22 * 60 + 30);
    /// The middle of 30 to 90 seconds that a third party observed (section 4).
    pub const IMAGE: Duration = Duration::from_secs(60);
    /// A guess of ours: nobody has written one down.
    pub const UPSCALE: Duration = Duration::from_secs(45);
    /// A third party gives up after this long (section 4), so it is a ceiling.
    pub const VIDEO: Duration = Duration::from_secs(6 * 60);
}

/// The vendor's number of photos for one training (vendor-api.md section 5).
const TRAINING_PHOTOS: RangeInclusive<u32> = 12..=20;

/// Credits of one picture from a trained model: the only price anybody has reported (U16).
const TRAINED_IMAGE_CREDITS: u64 = 10;

/// The name of the training in [`Plan::critical_path`].
const TRAINING: &str = "training";

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedStep {
    /// The step's name.
    pub name: String,
    /// Its type.
    pub kind: StepKind,
    /// How many outputs it is expected to have.
    pub outputs: u32,
    /// What it costs; `None` when no price is known.
    pub credits: Option<u64>,
    /// When it can start, counted from the start of the run.
    pub starts: Duration,
    /// How long it usually takes.
    pub takes: Duration,
}

/// What a recipe takes. Free calls (polls, downloads) are not counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whether a model is created (not known to cost anything).
    pub creates_model: bool,
    /// Whether a model is trained (paid; the price is not known).
    pub trains: bool,
    /// How many photos are uploaded: the vendor's bounds, as the folder is not looked at here.
    pub uploads: Option<RangeInclusive<u32>>,
    /// Paid calls of type image.
    pub image_calls: u32,
    /// Paid calls of type upscale.
    pub upscale_calls: u32,
    /// Paid calls of type video.
    pub video_calls: u32,
    /// The steps in the order they run.
    pub steps: Vec<PlannedStep>,
    /// The sum of all known prices, in credits: a lower bound when `unpriced_calls` is not 0.
    pub known_credits: u64,
    /// Paid calls, the training included, whose price is not known.
    pub unpriced_calls: u32,
    /// The longest chain of work: `training` and step names.
    pub critical_path: Vec<String>,
    /// How long the longest chain usually takes, so when the run is expected to be finished.
    pub expected: Duration,
}

impl Plan {
    /// All paid calls, the training included.
    pub fn paid_calls(&self) -> u32 {
        self.image_calls + self.upscale_calls + self.video_calls + u32::from(self.trains)
    }
}

pub(super) fn plan(recipe: &Recipe) -> Plan {
    let trains = recipe.model.as_ref().is_some_and(|model| model.images().is_some());
    let trained_at = if trains { typical::TRAINING } else { Duration::ZERO };
    let timeline = Timeline::new(recipe, trains, trained_at);
    let steps: Vec<PlannedStep> =
        recipe.order().map(|step| planned(step, timeline.starts(&step.name))).collect();
    let calls = |kind| {
        let count = steps.iter().filter(|step| step.kind == kind).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    };
    let unpriced = steps.iter().filter(|step| step.credits.is_none()).count();
    Plan {
        creates_model: matches!(recipe.model, Some(RecipeModel::New { .. })),
        trains,
        uploads: trains.then_some(TRAINING_PHOTOS),
        image_calls: calls(StepKind::Image),
        upscale_calls: calls(StepKind::Upscale),
        video_calls: calls(StepKind::Video),
        known_credits: steps.iter().filter_map(|step| step.credits).sum(),
        unpriced_calls: u32::try_from(unpriced).unwrap_or(u32::MAX) + u32::from(trains),
        critical_path: timeline.critical_path(),
        expected: timeline.end(),
        steps,
    }
}

fn planned(step: &Step, starts: Duration) -> PlannedStep {
    PlannedStep {
        name: step.name.clone(),
        kind: step.kind(),
        outputs: step.outputs,
        credits: step.is_trained().then(|| u64::from(step.outputs) * TRAINED_IMAGE_CREDITS),
        starts,
        takes: takes(step),
    }
}

fn takes(step: &Step) -> Duration {
    match step.template {
        JobRequest::Image(_) => typical::IMAGE,
        JobRequest::Upscale(_) => typical::UPSCALE,
        JobRequest::Video(_) => typical::VIDEO,
    }
}

/// When each step starts and ends if every piece of work starts as soon as it can, and what it
/// waits for last.
struct Timeline {
    trains: bool,
    trained_at: Duration,
    steps: BTreeMap<String, Slot>,
}

struct Slot {
    starts: Duration,
    ends: Duration,
    waits_for: Option<String>,
}

impl Timeline {
    fn new(recipe: &Recipe, trains: bool, trained_at: Duration) -> Self {
        let mut steps: BTreeMap<String, Slot> = BTreeMap::new();
        for step in recipe.order() {
            let (mut starts, mut waits_for) = (Duration::ZERO, None);
            if trains && step.is_trained() {
                (starts, waits_for) = (trained_at, Some(TRAINING.to_owned()));
            }
            for name in &step.depends_on {
                if let Some(slot) = steps.get(name)
                    && slot.ends > starts
                {
                    (starts, waits_for) = (slot.ends, Some(name.clone()));
                }
            }
            let ends = starts + takes(step);
            steps.insert(step.name.clone(), Slot { starts, ends, waits_for });
        }
        Self { trains, trained_at, steps }
    }

    fn starts(&self, name: &str) -> Duration {
        self.steps.get(name).map_or(Duration::ZERO, |slot| slot.starts)
    }

    fn end(&self) -> Duration {
        self.steps.values().map(|slot| slot.ends).fold(self.trained_at, Duration::max)
    }

    fn critical_path(&self) -> Vec<String> {
        let end = self.end();
        let last = self.steps.iter().find(|(_, slot)| slot.ends == end);
        let mut path = Vec::new();
        let mut at = last.map(|(name, _)| name.clone());
        while let Some(name) = at {
            at = self.steps.get(&name).and_then(|slot| slot.waits_for.clone());
            path.push(name);
        }
        if path.is_empty() && self.trains {
            path.push(TRAINING.to_owned());
        }
        path.reverse();
        path
    }
}
