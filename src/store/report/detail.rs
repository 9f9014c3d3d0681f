//! What only one kind has: its columns, its fields, and the way from one to the other.

use super::super::Result;
use super::items::Item;
use crate::domain::work::Kind;
use serde::Serialize;
use serde_json::Value;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use std::path::{Path, PathBuf};

/// The fields that only one kind has.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Detail {
    /// A trained person.
    Model {
        /// What it is called.
        name: String,
        /// Years.
        age: Option<i64>,
        /// `Female` or `Male`.
        gender: Option<String>,
        /// Free text.
        ethnicity: Option<String>,
        /// Free text.
        eye_color: Option<String>,
        /// Whether it was at the vendor before us.
        imported: bool,
        /// The vendor's word.
        remote_status: Option<String>,
        /// Training photos that arrived.
        photos: i64,
        /// Training photos in all.
        photos_total: i64,
        /// Its newest training.
        training_id: Option<String>,
        /// The same, with its state.
        training: Option<TrainingBrief>,
        /// The run it belongs to.
        run_id: Option<String>,
    },
    /// A photo on its way to a model.
    Upload {
        /// Whose photo.
        model_id: String,
        /// `training` or `reference`.
        purpose: String,
        /// The file's own name.
        file_name: String,
        /// Lower-case hex of the content.
        sha256: String,
        /// Size.
        bytes: i64,
        /// By its first bytes.
        media_type: String,
    },
    /// A training.
    Training {
        /// Which model.
        model_id: String,
        /// The model's name.
        model: Option<String>,
        /// The vendor's word for the model.
        remote_status: Option<String>,
        /// The run it belongs to.
        run_id: Option<String>,
    },
    /// An image, upscale or video job.
    Job {
        /// `image`, `upscale` or `video`.
        r#type: String,
        /// A trained model's row.
        model_id: Option<String>,
        /// The model's name, or the public model's id.
        model: Option<String>,
        /// What to draw.
        prompt: Option<String>,
        /// What was asked for, whole.
        request: Value,
        /// The run it belongs to.
        run_id: Option<String>,
        /// The recipe's step.
        step: Option<String>,
        /// The vendor's word.
        remote_status: Option<String>,
        /// What it cost, as the vendor's list says.
        credits: Option<f64>,
        /// Files still on their way.
        outputs_missing: i64,
        /// Files at home.
        outputs: Vec<OutputFile>,
    },
    /// A produced file.
    Output {
        /// Whose.
        job_id: String,
        /// From 1.
        number: i64,
        /// `image` or `video`.
        media: String,
        /// Where it is; absolute. Empty until it is home.
        #[schema(value_type = Option<String>)]
        path: Option<PathBuf>,
        /// Lower-case hex.
        sha256: Option<String>,
        /// Size.
        bytes: Option<i64>,
        /// By its first bytes.
        media_type: Option<String>,
    },
    /// An update or delete of something at the vendor.
    Change {
        /// Whose it is, if it is a model's.
        model_id: Option<String>,
        /// `model`, `upload` or `output`.
        target_kind: String,
        /// Which row.
        target: String,
        /// `update` or `delete`.
        action: String,
        /// The fields to set.
        fields: Value,
    },
    /// An execution of a recipe.
    Run {
        /// The recipe's name.
        name: String,
        /// Members that succeeded.
        done: i64,
        /// Members in all.
        total: i64,
        /// Everything in it; left out of lists.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(no_recursion)]
        members: Option<Vec<Item>>,
        /// Every file at home.
        outputs: Vec<OutputFile>,
    },
}

/// A model's newest training.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TrainingBrief {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub state: String,
    /// Why it failed or waits for a person.
    pub error: Option<String>,
}

/// A file at home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct OutputFile {
    /// Our id.
    pub id: String,
    /// The vendor's id.
    pub remote_id: Option<String>,
    /// Absolute.
    #[schema(value_type = String)]
    pub path: PathBuf,
    /// Lower-case hex.
    pub sha256: String,
    /// Size.
    pub bytes: i64,
    /// By its first bytes.
    pub media_type: String,
    /// The job that made it.
    pub job_id: String,
}

/// The columns that only one kind has, in SQL.
pub(super) fn own_columns(kind: Kind) -> &'static str {
    match kind {
        Kind::Model => {
            "t.name, t.age, t.gender, t.ethnicity, t.eye_color, t.imported, t.remote_status, \
             t.run_id, (SELECT count(*) FROM uploads u WHERE u.model_id = t.id \
               AND u.purpose = 'training' AND u.retried_by IS NULL) AS photos_total, \
             (SELECT count(*) FROM uploads u WHERE u.model_id = t.id AND u.purpose = 'training' \
               AND u.retried_by IS NULL AND u.state = 'succeeded') AS photos, \
             (SELECT json_array(r.id, r.state, r.error) FROM trainings r \
               WHERE r.model_id = t.id ORDER BY r.id DESC LIMIT 1) AS training"
        }
        Kind::Upload => "t.model_id, t.purpose, t.file_name, t.sha256, t.bytes, t.media_type",
        Kind::Training => {
            "t.model_id, (SELECT name FROM models m WHERE m.id = t.model_id) AS model, \
             t.remote_status, t.run_id"
        }
        Kind::Job => {
            "t.type, t.model_id, coalesce((SELECT name FROM models m WHERE m.id = t.model_id), \
             t.model_name) AS model, t.prompt, t.request, t.run_id, t.step, t.remote_status, \
             t.credits, t.waiting_for"
        }
        Kind::Output => {
            "t.job_id, t.position + 1 AS number, t.media, t.path, t.sha256, t.bytes, t.media_type"
        }
        Kind::Change => "t.model_id, t.target_kind, t.target, t.action, t.fields",
    }
}

/// Stored paths count from the data directory, so that it can be moved; shown ones are absolute.
pub(super) fn absolute(data_dir: &Path, below: &str) -> PathBuf {
    let path = data_dir.join(below);
    std::path::absolute(&path).unwrap_or(path)
}

/// Reads a row's own columns.
pub(super) fn detail(
    kind: Kind,
    row: &SqliteRow,
    outputs: Vec<OutputFile>,
    data_dir: &Path,
) -> Result<Detail> {
    Ok(match kind {
        Kind::Model => model_detail(row)?,
        Kind::Upload => Detail::Upload {
            model_id: row.try_get("model_id")?,
            purpose: row.try_get("purpose")?,
            file_name: row.try_get("file_name")?,
            sha256: row.try_get("sha256")?,
            bytes: row.try_get("bytes")?,
            media_type: row.try_get("media_type")?,
        },
        Kind::Training => Detail::Training {
            model_id: row.try_get("model_id")?,
            model: row.try_get("model")?,
            remote_status: row.try_get("remote_status")?,
            run_id: row.try_get("run_id")?,
        },
        Kind::Job => {
            let missing: i64 = row.try_get("waiting_for")?;
            let state: String = row.try_get("state")?;
            Detail::Job {
                r#type: row.try_get("type")?,
                model_id: row.try_get("model_id")?,
                model: row.try_get("model")?,
                prompt: row.try_get("prompt")?,
                request: json_column(row, "request")?,
                run_id: row.try_get("run_id")?,
                step: row.try_get("step")?,
                remote_status: row.try_get("remote_status")?,
                credits: row.try_get("credits")?,
                // While it is `waiting`, the column counts parents.
                outputs_missing: if state == "waiting" { 0 } else { missing },
                outputs,
            }
        }
        Kind::Output => Detail::Output {
            job_id: row.try_get("job_id")?,
            number: row.try_get("number")?,
            media: row.try_get("media")?,
            path: row.try_get::<Option<String>, _>("path")?.map(|path| absolute(data_dir, &path)),
            sha256: row.try_get("sha256")?,
            bytes: row.try_get("bytes")?,
            media_type: row.try_get("media_type")?,
        },
        Kind::Change => Detail::Change {
            model_id: row.try_get("model_id")?,
            target_kind: row.try_get("target_kind")?,
            target: row.try_get("target")?,
            action: row.try_get("action")?,
            fields: json_column(row, "fields")?,
        },
    })
}

fn model_detail(row: &SqliteRow) -> Result<Detail> {
    let training: Option<String> = row.try_get("training")?;
    let training = training
        .and_then(|text| serde_json::from_str::<(String, String, Option<String>)>(&text).ok())
        .map(|(id, state, error)| TrainingBrief { id, state, error });
    Ok(Detail::Model {
        name: row.try_get("name")?,
        age: row.try_get("age")?,
        gender: row.try_get("gender")?,
        ethnicity: row.try_get("ethnicity")?,
        eye_color: row.try_get("eye_color")?,
        imported: row.try_get("imported")?,
        remote_status: row.try_get("remote_status")?,
        photos: row.try_get("photos")?,
        photos_total: row.try_get("photos_total")?,
        training_id: training.as_ref().map(|training| training.id.clone()),
        training,
        run_id: row.try_get("run_id")?,
    })
}

/// A column that a CHECK keeps valid JSON.
fn json_column(row: &SqliteRow, name: &str) -> Result<Value> {
    let text: String = row.try_get(name)?;
    Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
