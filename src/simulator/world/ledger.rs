//! What really happened, as opposed to what was asked for: the proof that tests read.

use crate::simulator::clock::Wall;
use crate::simulator::op::Op;
use serde_json::{Value, json};
use std::sync::Arc;

/// What kind of thing an effect made or changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    Model,
    ModelUpdate,
    Image,
    Training,
    Job,
    Download,
    Delete,
    /// A job that no call to this vendor asked for.
    ForeignJob,
    /// A model that no call to this vendor asked for.
    ForeignModel,
}

/// One thing that really happened.
#[derive(Clone, Debug)]
pub(crate) struct Effect {
    pub(crate) what: What,
    pub(crate) id: String,
    pub(crate) model_id: Option<String>,
    pub(crate) at: Wall,
    pub(crate) key: Arc<str>,
    pub(crate) endpoint: Option<Op>,
    pub(crate) content_sha256: Option<String>,
    /// What a model was called when it was created.
    pub(crate) name: Option<String>,
    /// The request body of a job, as JSON text.
    pub(crate) request: Option<Arc<str>>,
    pub(crate) credits: u64,
    /// The call that made it, as `/_sim/requests` numbers them.
    pub(crate) call: Option<u64>,
    /// The first effect of a request that the network delivered twice, if this is the second.
    pub(crate) double_of: Option<u64>,
    /// The job whose order somebody else's job repeats.
    pub(crate) like: Option<String>,
}

/// All effects in order, and the running totals.
#[derive(Default, Debug)]
pub(crate) struct Ledger {
    effects: Vec<(Effect, bool)>,
    counts: [u64; 9],
    credits: u64,
    /// Effects that are the double of another, and what they cost.
    doubles: u64,
    double_credits: u64,
    /// Calls to the training trigger, refused ones included.
    pub(crate) train_calls: u64,
    /// Second triggers answered 409.
    pub(crate) train_conflicts: u64,
    /// Second triggers answered 200 without doing anything.
    pub(crate) train_noops: u64,
}

impl What {
    fn word(self) -> &'static str {
        match self {
            What::Model => "model",
            What::ModelUpdate => "model_update",
            What::Image => "image",
            What::Training => "training",
            What::Job => "job",
            What::Download => "download",
            What::Delete => "delete",
            What::ForeignJob => "foreign_job",
            What::ForeignModel => "foreign_model",
        }
    }
}

impl Ledger {
    /// Records an effect, untold so far, and returns its number.
    pub(crate) fn record(&mut self, effect: Effect) -> u64 {
        if let Some(count) = self.counts.get_mut(effect.what as usize) {
            *count += 1;
        }
        // Somebody else's job is somebody else's money.
        if effect.what != What::ForeignJob {
            self.credits += effect.credits;
        }
        if effect.double_of.is_some() {
            self.doubles += 1;
            self.double_credits += effect.credits;
        }
        self.effects.push((effect, false));
        self.effects.len() as u64
    }

    /// Notes that the caller was sent the good news of this effect.
    pub(crate) fn mark_replied(&mut self, seq: u64) {
        let index = usize::try_from(seq).unwrap_or(0).wrapping_sub(1);
        if let Some((_, replied)) = self.effects.get_mut(index) {
            *replied = true;
        }
    }

    /// The ledger as JSON, with the effects numbered above `since` only.
    pub(crate) fn report(&self, since: u64, with_effects: bool) -> Value {
        let count = |what: What| self.counts.get(what as usize).copied().unwrap_or(0);
        let mut report = json!({
            "models": count(What::Model), "model_updates": count(What::ModelUpdate),
            "images": count(What::Image), "trainings": count(What::Training),
            "jobs": count(What::Job), "downloads": count(What::Download),
            "deletes": count(What::Delete), "foreign_jobs": count(What::ForeignJob),
            "foreign_models": count(What::ForeignModel),
            "doubles": self.doubles, "double_credits": self.double_credits,
            "credits": self.credits, "train_calls": self.train_calls,
            "train_conflicts": self.train_conflicts, "train_noops": self.train_noops,
        });
        if with_effects {
            let skip = usize::try_from(since).unwrap_or(usize::MAX);
            let numbered = self.effects.iter().enumerate().skip(skip);
            report["effects"] = numbered
                .map(|(index, (effect, replied))| effect.json(index + 1, *replied))
                .collect();
        }
        report
    }
}

impl Effect {
    fn json(&self, seq: usize, replied: bool) -> Value {
        let request: Option<Value> =
            self.request.as_deref().and_then(|text| serde_json::from_str(text).ok());
        json!({
            "seq": seq, "kind": self.what.word(), "id": self.id, "model_id": self.model_id,
            "name": self.name, "at": self.at, "key": &*self.key, "endpoint": self.endpoint.map(Op::name),
            "content_sha256": self.content_sha256, "request": request, "credits": self.credits,
            "replied": replied, "call": self.call, "double_of": self.double_of,
            "like": self.like,
        })
    }
}
