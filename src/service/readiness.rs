//! How far a model is, and what that forbids.

use super::{Result, ServiceError, shown};
use crate::domain::ids::Id;
use crate::store::lookup::FoundModel;

/// How far a model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Trained, or taken over and not looked at yet.
    Usable,
    /// A training has not ended.
    InTraining(Id),
    /// It may be trained.
    Untrained,
    /// Its training ended without success.
    TrainingEnded(Id),
    /// Nothing can be done with it any more; says why.
    Gone(&'static str),
}

/// How far a model is.
pub fn readiness(model: &FoundModel) -> Readiness {
    let status = model.remote_status.as_deref().map(str::to_ascii_lowercase);
    match (model.state.as_str(), status.as_deref()) {
        ("failed", _) => return Readiness::Gone("could not be created"),
        ("cancelled", _) => return Readiness::Gone("was cancelled"),
        (_, Some("deleted")) => return Readiness::Gone("is deleted at the vendor"),
        (_, Some("ready")) => return Readiness::Usable,
        _ => {}
    }
    match &model.training {
        Some((_, state)) if state == "succeeded" => Readiness::Usable,
        Some((id, state)) if matches!(state.as_str(), "failed" | "cancelled") => {
            Readiness::TrainingEnded(*id)
        }
        Some((id, _)) => Readiness::InTraining(*id),
        None if model.imported && status.is_none() => Readiness::Usable,
        None => Readiness::Untrained,
    }
}

/// Refuses a model that a job would wait for in vain.
///
/// # Errors
/// A sentence.
pub fn refuse_unusable(model: &FoundModel) -> Result<()> {
    let (id, name) = (model.id, shown(&model.name));
    match readiness(model) {
        Readiness::Usable | Readiness::InTraining(_) => Ok(()),
        Readiness::Untrained => Err(ServiceError::Conflict(format!(
            "model {name} is not trained: `darkroom train --model {id} --images DIR` trains it"
        ))),
        Readiness::TrainingEnded(training) => Err(ServiceError::Conflict(format!(
            "the training of model {name} ended without success: `darkroom explain {training}` \
             says why, `darkroom retry {training}` starts it anew"
        ))),
        Readiness::Gone(why) => Err(ServiceError::Conflict(format!(
            "model {name} {why}: use another one (`darkroom model ls` lists them)"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(state: &str, status: Option<&str>, training: Option<&str>) -> FoundModel {
        let id = Id(uuid::Uuid::nil());
        FoundModel {
            id,
            name: "Anna".to_owned(),
            state: state.to_owned(),
            remote_id: None,
            remote_status: status.map(str::to_owned),
            imported: false,
            training: training.map(|state| (id, state.to_owned())),
        }
    }

    #[test]
    fn a_model_is_as_far_as_its_status_and_training_say() {
        let of = |state, status, training| readiness(&model(state, status, training));
        let id = Id(uuid::Uuid::nil());
        assert_eq!(of("queued", None, None), Readiness::Untrained);
        assert_eq!(of("succeeded", Some("new"), None), Readiness::Untrained);
        assert_eq!(of("succeeded", Some("Ready"), None), Readiness::Usable);
        assert_eq!(of("queued", None, Some("waiting")), Readiness::InTraining(id));
        assert_eq!(of("succeeded", Some("new"), Some("failed")), Readiness::TrainingEnded(id));
        assert!(matches!(of("succeeded", Some("deleted"), None), Readiness::Gone(_)));
        assert!(matches!(of("failed", None, None), Readiness::Gone(_)));
    }
}
