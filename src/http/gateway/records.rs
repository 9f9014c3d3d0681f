//! Rows as the vendor's records, in the vendor's spelling (vendor-api.md 2.2, 2.6, 2.14, 2.17).
//!
//! Ids are ours. `darkroom` is an extra that the vendor's own clients pass over: our state, the
//! vendor's id, and why something failed or waits for a person.

use super::super::App;
use super::super::media::{self, File};
use super::answer::Nok;
use super::status;
use crate::domain::ids::{Id, Millis};
use crate::domain::work::Kind;
use crate::store::report::Time;
use crate::store::served::{ServedJob, ServedMedia, ServedModel};
use serde_json::{Value, json};

/// What the documents leave open (vendor-api.md 2.2).
pub(super) const MODEL_TYPE: &str = "trained";

fn stamp(at: Millis) -> String {
    Time(at).to_string()
}

/// A model (vendor-api.md 2.2). The person is an extra: the vendor does not repeat it.
pub(super) async fn model(app: &App, row: &ServedModel) -> Result<Value, Nok> {
    let id = app.store.first_id(Kind::Model, &row.id, row.retry_of.as_deref()).await?;
    let mut record = json!({
        "id": id, "status": status::of_model(row), "modelType": MODEL_TYPE, "name": row.name,
        "age": row.age, "gender": row.gender, "ethnicity": row.ethnicity,
        "eyeColor": row.eye_color,
        "createdAt": stamp(row.created_at), "updatedAt": stamp(row.updated_at),
        "darkroom": {
            "state": row.state, "training": row.training, "remoteID": row.remote_id,
            "error": status::model_error(row),
        },
    });
    if let Some(error) = status::model_error(row).filter(|_| status::of_model(row) == "failed") {
        record["error"] = json!(error);
    }
    Ok(record)
}

/// A picture (vendor-api.md 2.6) or a video (2.17).
pub(super) async fn media(app: &App, base: &str, row: &ServedMedia) -> Result<Value, Nok> {
    let kind = kind_of(row);
    let id = app.store.first_id(kind, &row.id, row.retry_of.as_deref()).await?;
    let word = match row.purpose.as_deref() {
        Some("training") => "modelInput",
        Some(_) => "auxiliaryType",
        None => "output",
    };
    let model = model_named(app, row.model_id.as_deref(), row.model_name.as_deref()).await?;
    let mut record = json!({
        "id": id, "url": url(app, base, row), "type": word, "modelID": model,
        "createdAt": stamp(row.created_at), "updatedAt": stamp(row.updated_at), "data": {},
        "folderID": null, "liked": false, "publicMediaID": null,
        "darkroom": {
            "state": row.state, "remoteID": row.remote_id, "sha256": row.sha256,
            "mediaType": row.media_type, "error": row.error,
        },
    });
    if row.media == "video" {
        record["jobId"] = match &row.job_id {
            Some(job) => json!(app.store.first_of(Kind::Job, job).await?),
            None => Value::Null,
        };
        return Ok(record);
    }
    let enlarged = match row.enlarged.as_deref().and_then(Id::parse) {
        Some(id) => app.store.served_media(Kind::Output, id).await?,
        None => None,
    };
    let enlarged = enlarged.filter(|row| !row.deleted);
    record["upscaledImageID"] = json!(enlarged.as_ref().map(|row| &row.id));
    record["upscaledImageURL"] = json!(enlarged.as_ref().and_then(|row| url(app, base, row)));
    Ok(record)
}

/// The model of a record: ours under the id that was handed out, or a public one.
async fn model_named(
    app: &App,
    ours: Option<&str>,
    public: Option<&str>,
) -> Result<Option<String>, Nok> {
    Ok(match ours {
        Some(id) => Some(app.store.first_of(Kind::Model, id).await?),
        None => public.map(str::to_owned),
    })
}

fn kind_of(row: &ServedMedia) -> Kind {
    if row.origin == "upload" { Kind::Upload } else { Kind::Output }
}

/// A link to the file here; none before it is here.
pub(super) fn url(app: &App, base: &str, row: &ServedMedia) -> Option<String> {
    let id = Id::parse(&row.id)?;
    let file = match kind_of(row) {
        Kind::Upload => File::Upload(id),
        _ => File::Output(row.path.as_ref().map(|_| id)?),
    };
    media::link(app, base, file, row.media_type.as_deref())
}

/// A job (vendor-api.md 2.14).
pub(super) async fn job(app: &App, base: &str, row: &ServedJob) -> Result<Value, Nok> {
    let id = app.store.first_id(Kind::Job, &row.id, row.retry_of.as_deref()).await?;
    let mut record = json!({
        "jobId": id, "status": status::of_job(row), "createdAt": stamp(row.created_at),
        "darkroom": { "state": row.state, "remoteID": row.remote_id, "error": row.error },
    });
    let model = model_named(app, row.model_id.as_deref(), row.model_name.as_deref()).await?;
    if let Some(model) = model {
        record["modelId"] = json!(model);
    }
    if let Some(error) = status::job_error(row) {
        record["error"] = json!(error);
    }
    if row.state != "succeeded" {
        return Ok(record);
    }
    let (mut images, mut videos) = (Vec::new(), Vec::new());
    for output in app.store.served_outputs(&row.id).await? {
        let list = if output.media == "video" { &mut videos } else { &mut images };
        list.push(media(app, base, &output).await?);
    }
    for (name, list) in [("images", images), ("videos", videos)] {
        if !list.is_empty() {
            record[name] = Value::Array(list);
        }
    }
    Ok(record)
}

/// A job's entry in the list (vendor-api.md 2.15): another spelling of its error, no media.
pub(super) async fn entry(app: &App, row: &ServedJob) -> Result<Value, Nok> {
    let id = app.store.first_id(Kind::Job, &row.id, row.retry_of.as_deref()).await?;
    let mut entry = json!({
        "jobId": id, "status": status::of_job(row), "credits": row.credits.unwrap_or(0.0),
        "createdAt": stamp(row.created_at), "updatedAt": stamp(row.updated_at),
    });
    if let Some(error) = status::job_error(row) {
        entry["errorMessage"] = json!(error);
    }
    Ok(entry)
}
