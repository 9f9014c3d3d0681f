//! Models: made, filled with photos, trained, changed, deleted.

use super::readiness::{Readiness, readiness};
use super::{Result, ServiceError, shown};
use crate::clock::new_id;
use crate::domain::ids::Id;
use crate::domain::photo::{ChosenPhoto, MAX_PHOTOS};
use crate::domain::request::{Gender, Identity, UploadPurpose};
use crate::domain::validate::{self, Problem, Problems};
use crate::store::Store;
use crate::store::lookup::FoundModel;
use crate::store::submit::{NewChange, NewModel, Submission, Target};

/// What to change about a person; what is not given stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityPatch {
    /// A new name.
    pub name: Option<String>,
    /// Years.
    pub age: Option<u32>,
    /// `Female` or `Male`.
    pub gender: Option<Gender>,
    /// Free text.
    pub ethnicity: Option<String>,
    /// Free text.
    pub eye_color: Option<String>,
}

impl IdentityPatch {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The person with these fields on top; none when a field that must be there is missing.
    pub fn on(self, base: Option<Identity>) -> Option<Identity> {
        let mut identity = match base {
            Some(base) => base,
            None => Identity {
                name: self.name.clone()?,
                age: self.age?,
                gender: self.gender?,
                ethnicity: None,
                eye_color: None,
            },
        };
        identity.name = self.name.unwrap_or(identity.name);
        identity.age = self.age.unwrap_or(identity.age);
        identity.gender = self.gender.unwrap_or(identity.gender);
        identity.ethnicity = self.ethnicity.or(identity.ethnicity);
        identity.eye_color = self.eye_color.or(identity.eye_color);
        Some(identity)
    }
}

/// A submission that begins with a new model.
pub fn create(identity: Identity, actor: &str) -> Submission {
    let id = new_id();
    let mut submission = Submission::new(("model", id), actor);
    submission.models.push(NewModel {
        id,
        name: identity.name.clone(),
        identity: Some(identity),
        import: None,
    });
    submission
}

/// A submission that takes over a model that the vendor has.
///
/// # Errors
/// An id or a name that cannot be one.
pub fn import(remote_id: &str, name: Option<&str>, actor: &str) -> Result<Submission> {
    let remote_id = remote_id.trim();
    let name = name.unwrap_or(remote_id);
    let mut problems = Problems::default();
    if remote_id.is_empty()
        || remote_id.len() > 200
        || remote_id.chars().any(|c| c.is_control() || c.is_whitespace())
    {
        problems.0.push(Problem::new(
            "remote_id",
            format!(
                "{} is no model id of the vendor's: copy it as the vendor shows it",
                shown(remote_id)
            ),
        ));
    }
    let long = name.chars().count() > validate::MAX_NAME_CHARS;
    if name.trim().is_empty() || long || name.chars().any(char::is_control) {
        problems.0.push(Problem::new(
            "name",
            "a name is one line of text, up to 200 characters: fill it in, or leave it out",
        ));
    }
    if !problems.0.is_empty() {
        return Err(problems.into());
    }
    let id = new_id();
    let mut submission = Submission::new(("model", id), actor);
    let (name, import) = (name.to_owned(), Some(remote_id.to_owned()));
    submission.models.push(NewModel { id, name, identity: None, import });
    Ok(submission)
}

/// Refuses a second training of a model, which would be a second purchase.
///
/// # Errors
/// A sentence.
pub fn refuse_untrainable(model: &FoundModel) -> Result<()> {
    let (id, name) = (model.id, &model.name);
    let refusal = match readiness(model) {
        Readiness::Untrained | Readiness::TrainingEnded(_) => return Ok(()),
        // Taken over and not looked at yet: the daemon looks before it trains.
        Readiness::Usable if model.training.is_none() && model.remote_status.is_none() => {
            return Ok(());
        }
        Readiness::Usable => format!(
            "model {name} is trained already: use it with `darkroom image --model {id} --prompt …`"
        ),
        Readiness::InTraining(_) => {
            format!("model {name} is in training already: `darkroom wait {id}` waits for it")
        }
        Readiness::Gone(why) => format!("model {name} {why}: train a new one with --name"),
    };
    Err(ServiceError::Conflict(refusal))
}

/// The photos that the model does not hold yet.
///
/// # Errors
/// When the vendor would not take as many, or a database error.
pub async fn new_photos(
    store: Option<&Store>,
    model: Id,
    chosen: Vec<ChosenPhoto>,
) -> Result<Vec<ChosenPhoto>> {
    let held = match store {
        Some(store) => store.photos_of(model, UploadPurpose::Training).await?,
        None => Vec::new(),
    };
    let new: Vec<ChosenPhoto> =
        chosen.into_iter().filter(|photo| !held.contains(&photo.sha256)).collect();
    let total = held.len() + new.len();
    if total > MAX_PHOTOS {
        return Err(ServiceError::Conflict(format!(
            "the model holds {} training photos and {} more would make {total}, but the vendor \
             takes {MAX_PHOTOS}: leave some out, or train a new model with --name",
            held.len(),
            new.len()
        )));
    }
    Ok(new)
}

/// Refuses what the vendor would refuse, or what would spoil a training.
///
/// # Errors
/// A sentence, or a database error.
pub async fn refuse_upload(
    store: Option<&Store>,
    model: &FoundModel,
    purpose: UploadPurpose,
    photo: &ChosenPhoto,
) -> Result<()> {
    let (id, name) = (model.id, &model.name);
    match (readiness(model), purpose) {
        (Readiness::Gone(why), _) => {
            return Err(ServiceError::Conflict(format!("model {name} {why}")));
        }
        (Readiness::InTraining(_), UploadPurpose::Training) => {
            return Err(ServiceError::Conflict(format!(
                "model {name} is in training and takes no more training photos: \
                 `darkroom wait {id}` waits for it"
            )));
        }
        _ => {}
    }
    let held = match store {
        Some(store) => store.photos_of(id, purpose).await?,
        None => Vec::new(),
    };
    if held.contains(&photo.sha256) {
        return Err(ServiceError::Conflict(format!(
            "model {name} holds exactly this photo already: `darkroom ls uploads` shows it"
        )));
    }
    if held.len() >= MAX_PHOTOS {
        return Err(ServiceError::Conflict(format!(
            "model {name} holds {} photos of this type and the vendor takes {MAX_PHOTOS}",
            held.len()
        )));
    }
    Ok(())
}

/// The person that a model shows, as the last update on its way leaves it; empty for one that was
/// taken over.
///
/// # Errors
/// A database error.
pub async fn identity(store: &Store, model: Id) -> Result<Option<Identity>> {
    // On top of what is on its way already, so that one update does not undo another.
    Ok(match store.pending_identity(model).await? {
        Some(pending) => Some(pending),
        None => store.model(model).await?.identity(),
    })
}

/// Refuses to delete a model that something still works on.
///
/// # Errors
/// A sentence, or a database error.
pub async fn refuse_delete(store: &Store, model: &FoundModel) -> Result<()> {
    let open = store.open_work_of(model.id).await?;
    if open == 0 {
        return Ok(());
    }
    Err(ServiceError::Conflict(format!(
        "model {} has work under way ({open} in all): cancel it first, or wait for it",
        shown(&model.name)
    )))
}

/// An update of a model, or with no fields its deletion.
///
/// # Errors
/// When there is nothing left to change.
pub fn change(model: &FoundModel, fields: Option<Identity>, actor: &str) -> Result<Submission> {
    if let Readiness::Gone(why) = readiness(model) {
        return Err(ServiceError::Conflict(format!(
            "model {} {why}: there is nothing left to change",
            shown(&model.name)
        )));
    }
    Ok(change_of(model.id, fields, actor))
}

/// The same without looking at the model, which may come with the same submission.
pub fn change_of(model: Id, fields: Option<Identity>, actor: &str) -> Submission {
    let id = new_id();
    let mut submission = Submission::new(("change", id), actor);
    submission.changes.push(NewChange { id, target: Target::Model(model), fields });
    submission
}
