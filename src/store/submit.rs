//! New work: everything of one request or nothing of it.

use super::apply::append_created;
use super::parents::{job_parents, link_parents};
use super::rows;
use super::writer::{Tx, Write};
use super::{Result, StoreError};
use crate::domain::ids::Id;
use crate::domain::request::{Gender, Identity, JobRequest, ModelRef, UploadPurpose};
use crate::domain::work::{Kind, State, Work};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

/// A model to create at the vendor, or one that exists there and is taken over.
#[derive(Clone, Debug)]
pub struct NewModel {
    /// Our id for it.
    pub id: Id,
    /// What it is called.
    pub name: String,
    /// Whom it shows; empty for an imported one.
    pub identity: Option<Identity>,
    /// The vendor's id of an existing one to take over.
    pub import: Option<String>,
}

/// A photo whose copy is in the blob store already.
#[derive(Clone, Debug)]
pub struct NewUpload {
    /// Our id for it.
    pub id: Id,
    /// Whose photo.
    pub model: Id,
    /// What for.
    pub purpose: UploadPurpose,
    /// The file's own name.
    pub file_name: String,
    /// Lower-case hex of the content.
    pub sha256: String,
    /// Size.
    pub bytes: u64,
    /// By its first bytes.
    pub media_type: String,
}

/// A training of a model, after these uploads.
#[derive(Clone, Debug)]
pub struct NewTraining {
    /// Our id for it.
    pub id: Id,
    /// Which model.
    pub model: Id,
}

/// A job, after whatever its request refers to.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Our id for it.
    pub id: Id,
    /// What is asked for.
    pub request: JobRequest,
    /// The recipe's step, in a run.
    pub step: Option<String>,
}

/// What a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A model.
    Model(Id),
    /// A photo, and whose.
    Upload(Id, Id),
    /// A produced picture or video, and of which model of ours, if of one.
    Output(Id, Option<Id>),
}

impl Target {
    /// Its row.
    pub fn row(self) -> (Kind, Id) {
        match self {
            Self::Model(id) => (Kind::Model, id),
            Self::Upload(id, _) => (Kind::Upload, id),
            Self::Output(id, _) => (Kind::Output, id),
        }
    }

    fn model(self) -> Option<Id> {
        match self {
            Self::Model(id) | Self::Upload(_, id) => Some(id),
            Self::Output(_, model) => model,
        }
    }
}

/// An update or delete of something at the vendor.
#[derive(Clone, Debug)]
pub struct NewChange {
    /// Our id for it.
    pub id: Id,
    /// Of what.
    pub target: Target,
    /// The fields to set, of a model; `None` deletes.
    pub fields: Option<Identity>,
}

/// The execution of a recipe.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Our id for it.
    pub id: Id,
    /// The recipe's name.
    pub name: String,
    /// Its text.
    pub recipe: String,
}

/// A user's key for "the same work".
#[derive(Clone, Debug)]
pub struct Key {
    /// The user's text.
    pub key: String,
    /// Hash of what is asked for: the same key with another request is refused.
    pub request_hash: String,
}

/// Everything one request brings.
#[derive(Clone, Debug)]
pub struct Submission {
    /// What the caller gets back: `model`, `job`, `run` ...
    pub subject: (&'static str, Id),
    /// Same key, same work.
    pub key: Option<Key>,
    /// Who asks: `cli`, `gateway` ...
    pub actor: String,
    /// The run that all of it belongs to.
    pub run: Option<NewRun>,
    /// New models.
    pub models: Vec<NewModel>,
    /// New uploads.
    pub uploads: Vec<NewUpload>,
    /// A training.
    pub training: Option<NewTraining>,
    /// Jobs, parents before children.
    pub jobs: Vec<NewJob>,
    /// Changes.
    pub changes: Vec<NewChange>,
}

impl Submission {
    /// A request with nothing in it yet.
    pub fn new(subject: (&'static str, Id), actor: &str) -> Self {
        Self {
            subject,
            key: None,
            actor: actor.to_owned(),
            run: None,
            models: Vec::new(),
            uploads: Vec::new(),
            training: None,
            jobs: Vec::new(),
            changes: Vec::new(),
        }
    }
}

/// What became of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The row the caller asked for.
    pub subject: Id,
    /// Whether the key had been used for it before: nothing new was stored.
    pub existed: bool,
}

impl Write for Submission {
    type Output = Submitted;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Submitted>> {
        Box::pin(async move {
            if let Some(key) = &self.key
                && let Some(subject) = claim_key(tx, key, self.subject).await?
            {
                return Ok(Submitted { subject, existed: true });
            }
            self.insert(tx).await?;
            Ok(Submitted { subject: self.subject.1, existed: false })
        })
    }

    fn rows(&self) -> Vec<(Kind, Id)> {
        self.changes.iter().map(|change| change.target.row()).collect()
    }
}

/// Takes the key, or answers what it was used for.
async fn claim_key(tx: &mut Tx<'_>, key: &Key, subject: (&str, Id)) -> Result<Option<Id>> {
    let known: Option<(String, String)> =
        sqlx::query_as("SELECT request_hash, subject FROM idempotency_keys WHERE key = $1")
            .bind(&key.key)
            .fetch_optional(tx.conn().await?)
            .await?;
    match known {
        Some((hash, subject)) if hash == key.request_hash => {
            Ok(Some(rows::id(&subject, "idempotency_keys")?))
        }
        Some((_, subject)) => Err(StoreError::Refused(format!(
            "the key {:?} was used before for something else ({subject}); take another key",
            key.key
        ))),
        None => {
            sqlx::query(
                "INSERT INTO idempotency_keys (key, request_hash, kind, subject, created_at) \
                 VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(&key.key)
            .bind(&key.request_hash)
            .bind(subject.0)
            .bind(subject.1.to_string())
            .bind(tx.now)
            .execute(tx.conn().await?)
            .await?;
            Ok(None)
        }
    }
}

impl Submission {
    async fn insert(&self, tx: &mut Tx<'_>) -> Result<()> {
        let run = self.run.as_ref().map(|run| run.id.to_string());
        if let Some(run) = &self.run {
            sqlx::query("INSERT INTO runs (id, name, recipe, created_at) VALUES ($1, $2, $3, $4)")
                .bind(run.id.to_string())
                .bind(&run.name)
                .bind(&run.recipe)
                .bind(tx.now)
                .execute(tx.conn().await?)
                .await?;
        }
        for model in &self.models {
            self.insert_model(tx, model, run.as_deref()).await?;
        }
        for upload in &self.uploads {
            self.insert_upload(tx, upload).await?;
        }
        if let Some(training) = &self.training {
            self.insert_training(tx, training, run.as_deref()).await?;
        }
        for job in &self.jobs {
            self.insert_job(tx, job, run.as_deref()).await?;
        }
        for change in &self.changes {
            self.insert_change(tx, change).await?;
        }
        Ok(())
    }

    async fn insert_model(&self, tx: &mut Tx<'_>, new: &NewModel, run: Option<&str>) -> Result<()> {
        let mut work = Work::new(new.id, Kind::Model, State::Queued { due: tx.now });
        if let Some(remote_id) = &new.import {
            // The daemon looks it up, as it would any model the vendor has accepted.
            work.remote_id = Some(remote_id.clone());
            work.accepted_at = Some(tx.now);
            work.poll_anchor = Some(tx.now);
            work.state = State::Running { due: tx.now };
        }
        let identity = new.identity.as_ref();
        sqlx::query(
            "INSERT INTO models (id, state, due_at, remote_id, accepted_at, poll_anchor, \
             created_at, updated_at, run_id, name, age, gender, ethnicity, eye_color, imported) \
             VALUES ($1, $2, $3, $4, $5, $5, $6, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(new.id.to_string())
        .bind(work.state.as_str())
        .bind(work.state.due())
        .bind(&new.import)
        .bind(work.accepted_at)
        .bind(tx.now)
        .bind(run)
        .bind(&new.name)
        .bind(identity.map(|person| person.age))
        .bind(identity.map(|person| gender_word(person.gender)))
        .bind(identity.and_then(|person| person.ethnicity.as_deref()))
        .bind(identity.and_then(|person| person.eye_color.as_deref()))
        .bind(new.import.is_some())
        .execute(tx.conn().await?)
        .await
        .map_err(|error| {
            unique(error, || {
                format!(
                    "the vendor's model {} is known already",
                    new.import.as_deref().unwrap_or("")
                )
            })
        })?;
        append_created(tx, &work, &json!({ "name": new.name }), &self.actor)
    }

    async fn insert_upload(&self, tx: &mut Tx<'_>, new: &NewUpload) -> Result<()> {
        let work = self.start(tx, new.id, Kind::Upload, &[(Kind::Model, new.model)]).await?;
        sqlx::query(
            "INSERT INTO uploads (id, state, due_at, waiting_for, created_at, updated_at, \
             model_id, purpose, file_name, sha256, bytes, media_type) \
             VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(new.id.to_string())
        .bind(work.state.as_str())
        .bind(work.state.due())
        .bind(work.state.waiting_for())
        .bind(tx.now)
        .bind(new.model.to_string())
        .bind(purpose_word(new.purpose))
        .bind(&new.file_name)
        .bind(&new.sha256)
        .bind(i64::try_from(new.bytes).unwrap_or(i64::MAX))
        .bind(&new.media_type)
        .execute(tx.conn().await?)
        .await?;
        let detail = json!({ "file_name": new.file_name, "sha256": new.sha256 });
        append_created(tx, &work, &detail, &self.actor)
    }

    async fn insert_training(
        &self,
        tx: &mut Tx<'_>,
        new: &NewTraining,
        run: Option<&str>,
    ) -> Result<()> {
        refuse_second_purchase(tx, new.model).await?;
        let mut parents = vec![(Kind::Model, new.model)];
        // Every photo of the model, also those of an earlier request that are still on their way.
        let uploads: Vec<String> = sqlx::query_scalar(
            "SELECT id FROM uploads WHERE model_id = $1 AND purpose = 'training' \
             AND state NOT IN ('succeeded','failed','cancelled')",
        )
        .bind(new.model.to_string())
        .fetch_all(tx.conn().await?)
        .await?;
        for upload in &uploads {
            parents.push((Kind::Upload, rows::id(upload, "uploads")?));
        }
        // Photos that are being deleted must be gone before the vendor's set is compared.
        let deletions: Vec<String> = sqlx::query_scalar(
            "SELECT id FROM changes WHERE model_id = $1 AND target_kind = 'upload' \
             AND finished_at IS NULL",
        )
        .bind(new.model.to_string())
        .fetch_all(tx.conn().await?)
        .await?;
        for change in &deletions {
            parents.push((Kind::Change, rows::id(change, "changes")?));
        }
        let work = self.start(tx, new.id, Kind::Training, &parents).await?;
        sqlx::query(
            "INSERT INTO trainings (id, state, due_at, waiting_for, created_at, updated_at, \
             model_id, run_id) VALUES ($1, $2, $3, $4, $5, $5, $6, $7)",
        )
        .bind(new.id.to_string())
        .bind(work.state.as_str())
        .bind(work.state.due())
        .bind(work.state.waiting_for())
        .bind(tx.now)
        .bind(new.model.to_string())
        .bind(run)
        .execute(tx.conn().await?)
        .await
        .map_err(|error| {
            unique(error, || {
                format!(
                    "model {} is in training already; `darkroom wait {}` waits for it",
                    new.model, new.model
                )
            })
        })?;
        append_created(tx, &work, &json!({ "model": new.model }), &self.actor)
    }

    async fn insert_job(&self, tx: &mut Tx<'_>, new: &NewJob, run: Option<&str>) -> Result<()> {
        let parents = job_parents(tx, &new.request).await?;
        let work = self.start(tx, new.id, Kind::Job, &parents).await?;
        let columns = JobColumns::of(&new.request);
        let request = serde_json::to_string(&new.request)
            .map_err(|error| StoreError::Refused(format!("a request cannot be stored: {error}")))?;
        let row = (
            work.id,
            work.state.as_str(),
            work.state.due(),
            work.state.waiting_for(),
            tx.now,
            columns.kind,
            columns.model_id,
            columns.model_name,
            request,
            columns.prompt,
            run,
            &new.step,
        );
        tx.pending().jobs.push(&row)?;
        tx.is_new(&work);
        append_created(tx, &work, &json!({ "type": columns.kind }), &self.actor)
    }

    async fn insert_change(&self, tx: &mut Tx<'_>, new: &NewChange) -> Result<()> {
        if new.fields.is_none() {
            super::deletion::refuse_needed(tx, new.target).await?;
        }
        let work = self.start(tx, new.id, Kind::Change, &[new.target.row()]).await?;
        let (kind, target) = new.target.row();
        let action = if new.fields.is_some() { "update" } else { "delete" };
        let fields = serde_json::to_value(&new.fields).unwrap_or(Value::Null);
        let fields = if fields.is_null() { json!({}) } else { fields };
        let row = (
            work.id,
            work.state.as_str(),
            work.state.due(),
            work.state.waiting_for(),
            tx.now,
            new.target.model(),
            action,
            fields.to_string(),
            kind.as_str(),
            target,
        );
        tx.pending().changes.push(&row)?;
        tx.is_new(&work);
        append_created(tx, &work, &json!({ "action": action }), &self.actor)
    }

    /// The first state of a row with these parents, whose open ones are noted.
    async fn start(
        &self,
        tx: &mut Tx<'_>,
        child: Id,
        kind: Kind,
        parents: &[(Kind, Id)],
    ) -> Result<Work> {
        let open = link_parents(tx, child, kind, parents).await?;
        let state = match open {
            0 => State::Queued { due: tx.now },
            parents => State::Waiting { parents },
        };
        Ok(Work::new(child, kind, state))
    }
}

/// A training that was given up without knowing whether the vendor has it must not be bought again
/// by way of a new one.
async fn refuse_second_purchase(tx: &mut Tx<'_>, model: Id) -> Result<()> {
    let ended: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM trainings WHERE model_id = $1 AND retried_by IS NULL \
         AND accepted_at IS NULL AND state IN ('failed','cancelled')",
    )
    .bind(model.to_string())
    .fetch_all(tx.conn().await?)
    .await?;
    for id in ended {
        if super::retry::never_found_out(tx, rows::id(&id, "trainings")?).await? {
            return Err(StoreError::Refused(format!(
                "whether the vendor has the training {id} of this model was never found out, so \
                 another one may buy it a second time; `darkroom retry {id} --resubmit` does it \
                 all the same"
            )));
        }
    }
    Ok(())
}

/// The columns of `jobs` that repeat something of the request for readers of the file.
struct JobColumns<'a> {
    kind: &'static str,
    model_id: Option<Id>,
    model_name: Option<&'a str>,
    prompt: Option<&'a str>,
}

impl<'a> JobColumns<'a> {
    fn of(request: &'a JobRequest) -> Self {
        let (model_id, model_name) = match request {
            JobRequest::Image(image) => match &image.model {
                ModelRef::Trained(id) => (Some(*id), None),
                ModelRef::Public(name) => (None, Some(name.as_str())),
            },
            JobRequest::Video(video) => (None, Some(video.model.as_str())),
            JobRequest::Upscale(_) => (None, None),
        };
        let prompt = match request {
            JobRequest::Image(image) => image.prompt.as_deref(),
            JobRequest::Video(video) => Some(video.prompt.as_str()),
            JobRequest::Upscale(_) => None,
        };
        Self { kind: request.type_word(), model_id, model_name, prompt }
    }
}

fn gender_word(gender: Gender) -> &'static str {
    match gender {
        Gender::Female => "Female",
        Gender::Male => "Male",
    }
}

pub(super) fn purpose_word(purpose: UploadPurpose) -> &'static str {
    match purpose {
        UploadPurpose::Training => "training",
        UploadPurpose::Reference => "reference",
    }
}

/// Turns the violation of a unique index into a sentence, right beside its statement.
fn unique(error: sqlx::Error, sentence: impl FnOnce() -> String) -> StoreError {
    match &error {
        sqlx::Error::Database(database) if database.is_unique_violation() => {
            StoreError::Refused(sentence())
        }
        _ => error.into(),
    }
}
