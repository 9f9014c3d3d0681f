//! What the engine reads: what is due, and the facts it needs to act.

use super::rows::{self, Loaded};
use super::{Result, Store, StoreError};
use crate::domain::ids::{Id, Millis};
use crate::domain::request::{Gender, Identity, JobRequest};
use crate::domain::work::Kind;
use sqlx::FromRow;

/// A row that something should happen to.
pub type Ref = (Kind, Id);

/// A model's own columns.
#[derive(Clone, Debug, FromRow)]
pub struct ModelRow {
    /// What it is called.
    pub name: String,
    /// The vendor's id.
    pub remote_id: Option<String>,
    /// The vendor's word.
    pub remote_status: Option<String>,
    /// Years.
    pub age: Option<i64>,
    /// `Female` or `Male`.
    pub gender: Option<String>,
    /// Free text.
    pub ethnicity: Option<String>,
    /// Free text.
    pub eye_color: Option<String>,
}

impl ModelRow {
    /// Whom it shows; `None` for an imported model.
    pub fn identity(&self) -> Option<Identity> {
        Some(Identity {
            name: self.name.clone(),
            age: u32::try_from(self.age?).ok()?,
            gender: match self.gender.as_deref()? {
                "Female" => Gender::Female,
                "Male" => Gender::Male,
                _ => return None,
            },
            ethnicity: self.ethnicity.clone(),
            eye_color: self.eye_color.clone(),
        })
    }
}

/// An upload's own columns.
#[derive(Clone, Debug, FromRow)]
pub struct UploadRow {
    /// Whose photo.
    pub model_id: String,
    /// `training` or `reference`.
    pub purpose: String,
    /// The file's own name.
    pub file_name: String,
    /// Names the copy.
    pub sha256: String,
    /// By its first bytes.
    pub media_type: String,
    /// The vendor's id.
    pub remote_id: Option<String>,
}

/// An output's own columns.
#[derive(Clone, Debug, FromRow)]
pub struct OutputRow {
    /// Whose.
    pub job_id: String,
    /// `image` or `video`.
    pub media: String,
    /// The vendor's id.
    pub remote_id: String,
    /// The link last seen.
    pub remote_url: Option<String>,
    /// From 0.
    pub position: i64,
}

/// A change's own columns.
#[derive(Clone, Debug, FromRow)]
pub struct ChangeRow {
    /// `model`, `upload` or `output`.
    pub target_kind: String,
    /// Which row.
    pub target: String,
    /// `update` or `delete`.
    pub action: String,
    /// The fields to set, as JSON.
    pub fields: String,
}

/// A piece of work of a run.
#[derive(Clone, Debug, FromRow)]
pub struct MemberRow {
    /// Its kind's word.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// How people call it.
    pub label: String,
    /// Where it stands.
    pub state: String,
    /// When the vendor took it.
    pub accepted_at: Option<Millis>,
}

/// A produced file on disk.
#[derive(Clone, Debug, FromRow)]
pub struct FileRow {
    /// Below the data directory.
    pub path: String,
    /// Lower-case hex.
    pub sha256: String,
    /// Size.
    pub bytes: i64,
    /// By its first bytes.
    pub media_type: String,
}

impl Store {
    /// Everything that belongs to a run, newest attempts only.
    ///
    /// # Errors
    /// A database error.
    pub async fn run_progress(&self, run: Id) -> Result<Vec<MemberRow>> {
        Ok(sqlx::query_as(
            "SELECT m.kind, m.id, w.label, m.state, w.accepted_at FROM run_members m \
             JOIN work w ON w.kind = m.kind AND w.id = m.id WHERE m.run_id = $1 ORDER BY m.id",
        )
        .bind(run.to_string())
        .fetch_all(self.readers())
        .await?)
    }

    /// Every produced file that is home.
    ///
    /// # Errors
    /// A database error.
    pub async fn home_files(&self) -> Result<Vec<FileRow>> {
        Ok(sqlx::query_as(
            "SELECT path, sha256, bytes, media_type FROM outputs WHERE state = 'succeeded' \
             ORDER BY id",
        )
        .fetch_all(self.readers())
        .await?)
    }

    /// Loads one row's lifecycle.
    ///
    /// # Errors
    /// As [`rows::load`].
    pub async fn load(&self, kind: Kind, id: Id) -> Result<Loaded> {
        let mut conn = self.readers().acquire().await?;
        rows::load(&mut conn, kind, id).await
    }

    /// The number of the newest event.
    ///
    /// # Errors
    /// A database error.
    pub async fn newest_event(&self) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM events")
            .fetch_one(self.readers())
            .await?)
    }

    /// When the newest event happened (Unix ms).
    ///
    /// # Errors
    /// A database error.
    pub async fn newest_event_at(&self) -> Result<Option<Millis>> {
        Ok(sqlx::query_scalar("SELECT at FROM events ORDER BY seq DESC LIMIT 1")
            .fetch_optional(self.readers())
            .await?)
    }

    /// The lanes with an open call.
    ///
    /// # Errors
    /// A database error.
    pub async fn open_lanes(&self) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar("SELECT lane FROM intents WHERE lane_free_at IS NULL")
            .fetch_all(self.readers())
            .await?)
    }

    /// Reads a model's own columns.
    ///
    /// # Errors
    /// A database error, or no such row.
    pub async fn model(&self, id: Id) -> Result<ModelRow> {
        sqlx::query_as(
            "SELECT name, remote_id, remote_status, age, gender, ethnicity, eye_color \
             FROM models WHERE id = $1",
        )
        .bind(id.to_string())
        .fetch_optional(self.readers())
        .await?
        .ok_or_else(|| StoreError::NotFound("model", id.to_string()))
    }

    /// What the newest update of a model that is still on its way will make of it.
    ///
    /// # Errors
    /// A database error.
    pub async fn pending_identity(&self, model: Id) -> Result<Option<Identity>> {
        let fields: Option<String> = sqlx::query_scalar(
            "SELECT fields FROM changes WHERE target = $1 AND action = 'update' \
             AND finished_at IS NULL ORDER BY id DESC LIMIT 1",
        )
        .bind(model.to_string())
        .fetch_optional(self.readers())
        .await?;
        Ok(fields.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Reads an upload's own columns.
    ///
    /// # Errors
    /// A database error, or no such row.
    pub async fn upload(&self, id: Id) -> Result<UploadRow> {
        sqlx::query_as(
            "SELECT model_id, purpose, file_name, sha256, media_type, remote_id \
             FROM uploads WHERE id = $1",
        )
        .bind(id.to_string())
        .fetch_optional(self.readers())
        .await?
        .ok_or_else(|| StoreError::NotFound("upload", id.to_string()))
    }

    /// The vendor's ids of a model's training photos that we know arrived.
    ///
    /// # Errors
    /// A database error.
    pub async fn training_photos(&self, model: Id) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar(
            "SELECT remote_id FROM uploads WHERE model_id = $1 AND purpose = 'training' \
             AND state = 'succeeded' AND remote_id IS NOT NULL AND retried_by IS NULL \
             AND NOT EXISTS (SELECT 1 FROM changes c WHERE c.target = uploads.id \
               AND c.state = 'succeeded')",
        )
        .bind(model.to_string())
        .fetch_all(self.readers())
        .await?)
    }

    /// The model of a training.
    ///
    /// # Errors
    /// A database error, or no such row.
    pub async fn training_model(&self, id: Id) -> Result<Id> {
        let model: Option<String> =
            sqlx::query_scalar("SELECT model_id FROM trainings WHERE id = $1")
                .bind(id.to_string())
                .fetch_optional(self.readers())
                .await?;
        let model = model.ok_or_else(|| StoreError::NotFound("training", id.to_string()))?;
        rows::id(&model, "trainings")
    }

    /// The vendor's last word for a training.
    ///
    /// # Errors
    /// A database error.
    pub async fn training_status(&self, id: Id) -> Result<Option<String>> {
        Ok(sqlx::query_scalar("SELECT remote_status FROM trainings WHERE id = $1")
            .bind(id.to_string())
            .fetch_one(self.readers())
            .await?)
    }

    /// The vendor's last word for a job.
    ///
    /// # Errors
    /// A database error.
    pub async fn job_status(&self, id: Id) -> Result<Option<String>> {
        Ok(sqlx::query_scalar("SELECT remote_status FROM jobs WHERE id = $1")
            .bind(id.to_string())
            .fetch_one(self.readers())
            .await?)
    }

    /// What a job asks for.
    ///
    /// # Errors
    /// A database error, no such row, or a stored request of another shape.
    pub async fn job_request(&self, id: Id) -> Result<JobRequest> {
        let text: Option<String> = sqlx::query_scalar("SELECT request FROM jobs WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.readers())
            .await?;
        let text = text.ok_or_else(|| StoreError::NotFound("job", id.to_string()))?;
        serde_json::from_str(&text).map_err(|error| StoreError::Corrupt {
            table: "jobs",
            row: id.to_string(),
            problem: error.to_string(),
        })
    }

    /// Reads an output's own columns.
    ///
    /// # Errors
    /// A database error, or no such row.
    pub async fn output(&self, id: Id) -> Result<OutputRow> {
        sqlx::query_as(
            "SELECT job_id, media, remote_id, remote_url, position FROM outputs WHERE id = $1",
        )
        .bind(id.to_string())
        .fetch_optional(self.readers())
        .await?
        .ok_or_else(|| StoreError::NotFound("output", id.to_string()))
    }

    /// The n-th output of a job.
    ///
    /// # Errors
    /// A database error.
    pub async fn job_output(&self, job: Id, index: u32) -> Result<Option<OutputRow>> {
        Ok(sqlx::query_as(
            "SELECT job_id, media, remote_id, remote_url, position FROM outputs \
             WHERE job_id = $1 AND position = $2",
        )
        .bind(job.to_string())
        .bind(index)
        .fetch_optional(self.readers())
        .await?)
    }

    /// Reads a change's own columns.
    ///
    /// # Errors
    /// A database error, or no such row.
    pub async fn change(&self, id: Id) -> Result<ChangeRow> {
        sqlx::query_as("SELECT target_kind, target, action, fields FROM changes WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.readers())
            .await?
            .ok_or_else(|| StoreError::NotFound("change", id.to_string()))
    }
}
