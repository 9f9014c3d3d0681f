//! Looking for trainings: only the model's status tells, which may follow the trigger late.

use super::paid::{LONG_ENOUGH, Quest};
use super::{Engine, Proof, Result, Seen, expected};
use crate::domain::ids::RemoteModelId;
use crate::engine::poll::{is_past_new, model_word};
use crate::store::doubt::call_of;
use crate::store::intents::OpenIntent;
use crate::vendor::ModelStatus;
use judging::fit;
use judging::training::{self, Reading, Status, Verdict};
use serde_json::json;

impl Engine {
    /// Reads the model, and judges what its status proves.
    pub(super) async fn look_for_training(&self, open: &OpenIntent, quest: Quest) -> Result<Seen> {
        let model = RemoteModelId(expected(open, "model").unwrap_or_default());
        let at = self.moment();
        let status = self.call(self.client.get_model(&model)).await?.value.status;
        // What might be the training's entry keeps it from being sent again, and no list is read for it.
        if let Err(error) = self.place_unclaimed().await {
            tracing::debug!("whose the unclaimed jobs are is found out later: {error}");
        }
        let times = self.times();
        let looking = match quest {
            Quest::Resend => LONG_ENOUGH,
            _ => open.looking_at(&at),
        };
        let hole = open.hole || open.unseen_at(&at) > times.hole();
        let entry = self.possible_entry(open, model.as_str()).await?;
        let delay = self.store.training_delay().await?;
        let word = model_word(&status);
        let reading = Reading {
            status: match &status {
                status if is_past_new(status) => Status::PastNew,
                ModelStatus::Deleted => Status::Deleted,
                _ => Status::New,
            },
            word: &word,
            looking,
            hole,
            entry: entry.as_deref(),
        };
        let none = |why| Proof::None { why, candidates: Vec::new() };
        let (proof, settles) = match training::judge(&reading, &delay, &times) {
            Verdict::Began { why } => (Proof::Found { remote_id: model.0.clone(), why }, true),
            Verdict::Absent { why } => (Proof::Absent { why }, true),
            Verdict::Wait { why, settles } => (none(why), settles),
            Verdict::Person { why } => (Proof::Person { why, candidates: Vec::new() }, true),
        };
        let evidence = json!({
            "model": model.as_str(), "model_status": word, "looking_ms": looking, "hole": hole,
            "possible_entry": entry, "delay": delay,
        });
        Ok(Seen {
            proof,
            evidence,
            at,
            listed_seq: None,
            looking,
            ripe: false,
            fresh: false,
            discredited: false,
            late_effect: None,
            again: times.pause_for_a_training(looking),
            hole,
            settles,
        })
    }

    /// A job that no row claims, and that may be the entry of this training in the list.
    async fn possible_entry(&self, open: &OpenIntent, model: &str) -> Result<Option<String>> {
        let unclaimed = self.store.unclaimed_since(open).await?;
        if unclaimed.is_empty() {
            return Ok(None);
        }
        let effect = call_of(open).effect;
        let models = self.store.model_ids(Some(model)).await?;
        let may_be = unclaimed
            .into_iter()
            .filter(|job| !job.not_this)
            .find(|job| fit::conflict(&effect, &job.candidate(), &models).is_none());
        Ok(may_be.map(|job| job.remote_id))
    }
}
