//! Our states in the vendor's words (vendor-api.md section 3).
//!
//! What is live is always in progress to a program; only the truth is `ready`, `success`, `failed`.

use crate::store::served::{ServedJob, ServedModel};

/// The vendor's word for a model.
pub(super) fn of_model(model: &ServedModel) -> &str {
    let told = model.remote_status.as_deref();
    if model.deleted || told == Some("deleted") {
        return "deleted";
    }
    match (model.state.as_str(), model.training.as_deref()) {
        ("failed" | "cancelled", _) | (_, Some("failed")) => "failed",
        (_, Some("succeeded")) => "ready",
        // Never sent, or seen to its end without being wanted: what the vendor says of it counts.
        (_, None | Some("cancelled")) => told.unwrap_or("new"),
        _ => "training",
    }
}

/// Why a model failed.
pub(super) fn model_error(model: &ServedModel) -> Option<&str> {
    model.error.as_deref().or(model.training_error.as_deref())
}

/// The vendor's word for a job.
pub(super) fn of_job(job: &ServedJob) -> &'static str {
    match job.state.as_str() {
        "waiting" => "created",
        "queued" => "queued",
        "succeeded" => "success",
        "failed" | "cancelled" => "failed",
        // In doubt, in need of a person, or its files on the way: it is bought, or may be.
        _ => "running",
    }
}

/// Why a job failed.
pub(super) fn job_error(job: &ServedJob) -> Option<String> {
    match job.state.as_str() {
        "failed" => Some(job.error.clone().unwrap_or_else(|| "it failed".to_owned())),
        "cancelled" => Some(job.error.clone().unwrap_or_else(|| "it was cancelled".to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(state: &str, told: Option<&str>, training: Option<&str>) -> ServedModel {
        ServedModel {
            id: String::new(),
            state: state.to_owned(),
            error: None,
            remote_id: None,
            remote_status: told.map(str::to_owned),
            name: String::new(),
            age: None,
            gender: None,
            ethnicity: None,
            eye_color: None,
            created_at: 0,
            updated_at: 0,
            training: training.map(str::to_owned),
            training_error: None,
            deleted: false,
            retry_of: None,
        }
    }

    #[test]
    fn a_model_is_ready_only_when_it_is() {
        for state in ["queued", "submitting", "in_doubt", "succeeded", "attention"] {
            assert_eq!(of_model(&model(state, None, None)), "new");
            for training in ["waiting", "queued", "submitting", "in_doubt", "running", "attention"]
            {
                assert_eq!(of_model(&model(state, Some("new"), Some(training))), "training");
            }
        }
        assert_eq!(of_model(&model("succeeded", Some("training"), Some("succeeded"))), "ready");
        assert_eq!(of_model(&model("succeeded", Some("ready"), None)), "ready");
        assert_eq!(of_model(&model("succeeded", Some("training"), Some("failed"))), "failed");
        assert_eq!(of_model(&model("failed", None, Some("failed"))), "failed");
        assert_eq!(of_model(&model("succeeded", Some("new"), Some("cancelled"))), "new");
        assert_eq!(of_model(&model("succeeded", Some("deleted"), Some("succeeded"))), "deleted");
        assert_eq!(
            of_model(&ServedModel { deleted: true, ..model("succeeded", None, None) }),
            "deleted"
        );
    }

    #[test]
    fn a_job_succeeds_only_with_its_files() {
        let word = |state: &str| {
            of_job(&ServedJob {
                id: String::new(),
                state: state.to_owned(),
                error: None,
                remote_id: None,
                model_id: None,
                model_name: None,
                credits: None,
                created_at: 0,
                updated_at: 0,
                retry_of: None,
            })
        };
        assert_eq!(word("waiting"), "created");
        assert_eq!(word("queued"), "queued");
        for state in ["submitting", "in_doubt", "running", "collecting", "attention"] {
            assert_eq!(word(state), "running");
        }
        assert_eq!(word("succeeded"), "success");
        assert_eq!(word("failed"), "failed");
        assert_eq!(word("cancelled"), "failed");
    }
}
