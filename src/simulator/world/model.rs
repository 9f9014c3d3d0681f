//! Models and their training.

use super::ledger::What;
use super::{Caller, UserId, World};
use crate::simulator::args::Retrain;
use crate::simulator::clock::{Progress, Wall, progress_of};
use crate::simulator::fault::Value as Given;
use crate::simulator::fault_table::Kind;
use crate::simulator::reply::Refusal;
use axum::http::StatusCode;
use serde_json::{Value, json};

/// Pictures that a training needs, and at most takes.
const INPUTS: std::ops::RangeInclusive<usize> = 12..=20;

/// Training time in simulated seconds: the documented 20 to 25 minutes.
const TRAINING_SECONDS: (f64, f64) = (1200.0, 1500.0);

/// One model of one user.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) owner: UserId,
    pub(crate) name: String,
    created_at: Wall,
    updated_at: Wall,
    /// How far off both are shown.
    skew: Wall,
    /// Its image records, oldest first.
    pub(crate) images: Vec<String>,
    training: Option<Training>,
    /// A status set by deletion or by hand; it wins over the training.
    forced: Option<String>,
    /// The status last seen, so that `updatedAt` moves when it changes.
    shown: String,
}

#[derive(Debug)]
struct Training {
    begun: Progress,
    /// Until then the status has not changed yet.
    visible_from: Progress,
    length: Progress,
    /// Never, when the training is stuck.
    done_at: Progress,
    /// Intermediate statuses, evenly spread.
    states: Vec<String>,
    end: String,
    deleted_at: Option<Progress>,
}

impl Model {
    /// The status as a plain word.
    pub(crate) fn status(&self, now: Progress) -> &str {
        if let Some(word) = &self.forced {
            return word;
        }
        self.training.as_ref().map_or("new", |training| training.status(now))
    }

    fn is_training(&self, now: Progress) -> bool {
        let running = |training: &Training| {
            now < training.done_at && training.deleted_at.is_none_or(|at| now < at)
        };
        self.forced.is_none() && self.training.as_ref().is_some_and(running)
    }

    /// Ends a training under way at once, and well.
    pub(crate) fn finish(&mut self, now: Progress) {
        if self.is_training(now)
            && let Some(training) = &mut self.training
        {
            training.done_at = now;
            training.visible_from = now;
            training.deleted_at = None;
        }
    }
}

impl Training {
    fn status(&self, now: Progress) -> &str {
        if self.deleted_at.is_some_and(|at| now >= at) {
            return "deleted";
        }
        if now >= self.done_at {
            return &self.end;
        }
        if now < self.visible_from {
            return "new";
        }
        let share = (now - self.begun) as f64 / self.length.max(1) as f64;
        let last = self.states.len().saturating_sub(1);
        let index = ((share * self.states.len() as f64) as usize).min(last);
        self.states.get(index).map_or("training", String::as_str)
    }
}

impl World {
    /// One model of this caller.
    pub(crate) fn model(&self, caller: &Caller, id: &str) -> Result<&Model, Refusal> {
        let mine = |model: &&Model| model.owner == caller.user;
        self.models.get(id).filter(mine).ok_or_else(|| Refusal::unknown("Model"))
    }

    /// The same, unless it has been deleted.
    pub(crate) fn live_model(&self, caller: &Caller, id: &str) -> Result<&Model, Refusal> {
        let model = self.model(caller, id)?;
        match model.status(self.clock.progress()) {
            "deleted" => Err(Refusal::unknown("Model")),
            _ => Ok(model),
        }
    }

    /// Creates a model and returns its id and effect.
    pub(crate) fn create_model(
        &mut self,
        caller: &Caller,
        name: &str,
    ) -> Result<(String, u64), Refusal> {
        // Looked up only if it matters: the search goes through all models.
        if self.faults.peek(Kind::UniqueNames).is_some()
            && self.name_taken(caller, name)
            && self.strike(Kind::UniqueNames, caller.op).is_some()
        {
            let message = "A model with this name already exists";
            return Err(Refusal::new(StatusCode::CONFLICT, message));
        }
        let id = self.add_model(caller, name);
        let mut effect = self.effect(caller, What::Model, &id);
        effect.name = Some(name.to_owned());
        Ok((id, self.ledger.record(effect)))
    }

    /// Adds a model record to its owner.
    pub(super) fn add_model(&mut self, caller: &Caller, name: &str) -> String {
        let id = self.new_uuid();
        let now = self.clock.wall();
        let model = Model {
            owner: caller.user,
            name: name.to_owned(),
            created_at: now,
            updated_at: now,
            skew: self.birth_skew(caller.op),
            images: Vec::new(),
            training: None,
            forced: None,
            shown: "new".to_owned(),
        };
        self.models.insert(id.clone(), model);
        if let Some(user) = self.users.get_mut(caller.user) {
            user.models.push(id.clone());
        }
        id
    }

    fn name_taken(&self, caller: &Caller, name: &str) -> bool {
        let now = self.clock.progress();
        self.models.values().any(|model| {
            model.owner == caller.user && model.name == name && model.status(now) != "deleted"
        })
    }

    /// Updates a model and returns the effect.
    pub(crate) fn update_model(
        &mut self,
        caller: &Caller,
        id: &str,
        name: Option<&str>,
    ) -> Result<u64, Refusal> {
        self.live_model(caller, id)?;
        let now = self.clock.wall();
        if let Some(model) = self.models.get_mut(id) {
            model.updated_at = now;
            if let Some(name) = name {
                name.clone_into(&mut model.name);
            }
        }
        Ok(self.record(caller, What::ModelUpdate, id))
    }

    /// Deletes a model; its record stays readable.
    pub(crate) fn delete_model(&mut self, caller: &Caller, id: &str) -> Result<u64, Refusal> {
        self.live_model(caller, id)?;
        self.force_model(id, Some("deleted".to_owned()));
        Ok(self.record(caller, What::Delete, id))
    }

    /// Sets a model's status by hand, or frees it; false when there is no such model.
    pub(crate) fn force_model(&mut self, id: &str, status: Option<String>) -> bool {
        let model = self.models.get_mut(id);
        model.map(|model| model.forced = status).is_some()
    }

    /// A model record.
    pub(crate) fn model_json(&mut self, caller: &Caller, id: &str) -> Value {
        let (progress, wall) = (self.clock.progress(), self.clock.wall());
        let with_name = self.args.names || self.strike(Kind::Names, caller.op).is_some();
        let Some(model) = self.models.get_mut(id) else {
            return Value::Null;
        };
        let status = model.status(progress).to_owned();
        if status != model.shown {
            model.shown.clone_from(&status);
            model.updated_at = wall;
        }
        let created = model.created_at.saturating_add(model.skew);
        let updated = model.updated_at.saturating_add(model.skew);
        let name = with_name.then(|| model.name.clone());
        let mut record = json!({
            "id": id, "status": self.spelled(&status, caller.op), "modelType": "lora",
        });
        self.date(&mut record, caller.op, created, Some(updated));
        if let Some(name) = name {
            record["name"] = name.into();
        }
        record
    }

    /// The ids that `GET /models` shows, newest first.
    pub(crate) fn listed_models(&mut self, caller: &Caller) -> Vec<String> {
        let hide = self.strike(Kind::HideDeleted, caller.op).is_some();
        let now = self.clock.progress();
        let Some(user) = self.users.get(caller.user) else {
            return Vec::new();
        };
        let shown = |id: &&String| {
            !hide || self.models.get(*id).is_some_and(|model| model.status(now) != "deleted")
        };
        user.models.iter().rev().filter(shown).cloned().collect()
    }

    /// Starts a training and returns the effect; none when a second trigger is ignored.
    pub(crate) fn train(&mut self, caller: &Caller, id: &str) -> Result<Option<u64>, Refusal> {
        let now = self.clock.progress();
        let model = self.live_model(caller, id)?;
        let under_way = model.is_training(now);
        let status = model.status(now).to_owned();
        if under_way || status == "ready" {
            match self.retrain(caller, &status) {
                Retrain::Conflict => {
                    self.ledger.train_conflicts += 1;
                    let message = "Model is already training or trained";
                    return Err(Refusal::new(StatusCode::CONFLICT, message));
                }
                Retrain::Noop => {
                    self.ledger.train_noops += 1;
                    return Ok(None);
                }
                Retrain::Double => {}
            }
        }
        let inputs = self.count_uploads(id, "modelInput");
        if !INPUTS.contains(&inputs) {
            return Err(Refusal::invalid(format!(
                "Training needs between 12 and 20 modelInput images, this model has {inputs}"
            )));
        }
        let mine = |model: &&Model| model.owner == caller.user && model.is_training(now);
        let others = self.models.values().filter(mine).count() - usize::from(under_way);
        if others >= self.args.max_trainings {
            let message = "Too many trainings are already running";
            return Err(Refusal::too_many(message, self.args.retry_after));
        }
        self.begin_training(caller, id);
        let mut effect = self.effect(caller, What::Training, id);
        effect.model_id = Some(id.to_owned());
        Ok(Some(self.ledger.record(effect)))
    }

    /// What a second trigger does to a model that shows this status.
    fn retrain(&mut self, caller: &Caller, status: &str) -> Retrain {
        // The double of a request comes before the vendor has noticed the first one.
        let again = caller.double_of.is_some()
            || (status == "new" && self.strike(Kind::TrainAgainNew, caller.op).is_some())
            || self.strike(Kind::TrainAgain, caller.op).is_some();
        if again { Retrain::Double } else { self.args.retrain }
    }

    fn begin_training(&mut self, caller: &Caller, id: &str) {
        let begun = self.clock.progress();
        let (low, high) = TRAINING_SECONDS;
        let seconds = self.dice().between(low, high);
        let mut training = Training {
            begun,
            visible_from: begun,
            length: self.clock.scaled(seconds),
            done_at: 0,
            states: vec!["training".to_owned()],
            end: "ready".to_owned(),
            deleted_at: None,
        };
        let mut strike = |kind| self.faults.strike(kind, caller.op);
        if let Some(time) = strike(Kind::TrainingTime) {
            training.length = progress_of(time.time());
        }
        training.done_at = begun.saturating_add(training.length);
        if let Some(lag) = strike(Kind::TrainingLag) {
            training.visible_from = begun.saturating_add(progress_of(lag.time()));
            training.done_at = training.done_at.saturating_add(progress_of(lag.time()));
        }
        if let Some(Given::Text(states)) = strike(Kind::TrainingStates) {
            training.states = states.split('+').map(str::to_owned).collect();
        }
        if let Some(Given::Text(end)) = strike(Kind::TrainingFailed) {
            training.end = end;
        }
        if strike(Kind::TrainingReset).is_some() {
            "new".clone_into(&mut training.end);
        }
        if strike(Kind::ModelDeleted).is_some() {
            training.deleted_at = Some(begun.saturating_add(training.length / 2));
        }
        if strike(Kind::TrainingStuck).is_some() {
            training.done_at = Progress::MAX;
        }
        let listed = self.args.list_trainings || strike(Kind::TrainingListed).is_some();
        let (done_at, length) = (training.done_at, training.length);
        let succeeds = training.end == "ready" && training.deleted_at.is_none();
        if listed {
            self.list_training(caller, id, length, done_at, succeeds);
        }
        if let Some(model) = self.models.get_mut(id) {
            model.training = Some(training);
            model.forced = None;
        }
    }
}
