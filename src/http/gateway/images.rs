//! `/images`: upload, read, delete (vendor-api.md 2.8 to 2.10).

use super::super::extract::ApiPath;
use super::super::guard::body::unreadable;
use super::super::guard::queue::admit;
use super::super::media::File;
use super::super::refusal::Refusal;
use super::super::{App, Shared, media};
use super::answer::{
    Done, Nok, Outcome, earlier, earlier_body, key_of, ok, once, replayed, reply, shape,
};
use super::{ACTOR, find, records};
use crate::domain::ids::Id;
use crate::domain::photo::{MAX_PHOTOS, REQUEST_CAP_BYTES};
use crate::domain::request::UploadPurpose;
use crate::domain::work::Kind;
use crate::files::atomic::{AtomicFile, is_full};
use crate::files::blobs::BlobStore;
use crate::service::{ServiceError, photos};
use crate::store::StoreError;
use crate::store::deletion::DeleteMedia;
use crate::store::idempotency::StoredReply;
use crate::store::once::{Held, UploadOnce, Uploaded};
use crate::store::report::Time;
use crate::store::served::ServedMedia;
use crate::store::submit::Target;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::{Json, response::Response};
use serde::Deserialize;
use serde_json::{Value, json};

/// The `data` part is two words.
const DATA_CAP: usize = 16 * 1024;

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "modelID")]
    model: String,
    r#type: String,
}

/// A file and what it is for, as they came in.
struct Parts {
    file: AtomicFile,
    file_name: String,
    data: Value,
}

/// `POST /images/upload`: streamed to disk, judged like a photo of the command line, stored.
pub(super) async fn upload(
    State(app): State<Shared>,
    headers: HeaderMap,
    request: Request,
) -> Outcome {
    let blobs = BlobStore::new(app.store.data_dir().join("blobs"));
    let parts = parts(&blobs, request).await?;
    let sha256 = parts.file.sha256().map_err(storing)?;
    let asked = json!({ "data": parts.data, "sha256": sha256 });
    let key = key_of(&headers, "POST /images/upload", &asked)?;
    let base = media::base(&app, &headers);
    if let Some(body) = earlier_body(&app, key.as_ref()).await? {
        return Ok(replayed(with_link(&app, &base, body)));
    }
    let data: Data = shape(parts.data, &["modelID", "type"])?;
    let purpose = match data.r#type.as_str() {
        "modelInput" => UploadPurpose::Training,
        "auxiliaryType" => UploadPurpose::Reference,
        _ => return Err(Refusal::invalid("type must be modelInput or auxiliaryType").into()),
    };
    let path = parts.file.path().map_err(storing)?;
    let photo = photos::received("file", path, &parts.file_name).await?;
    let model = find::model_for(&app, &data.model).await?;
    admit(&app, 1).await?;
    let mut uploads = photos::uploads(std::slice::from_ref(&photo), model.id, purpose);
    let Some(upload) = uploads.pop() else {
        return Err(Refusal::invalid("the request holds no image").into());
    };
    blobs.keep(parts.file).await.map_err(storing)?;
    let record = records::media(&app, &base, &new_record(&upload, app.store.now())).await?;
    let told = move |done: &Uploaded| match done {
        Uploaded::New(_) => Some(without_link(record.clone())),
        Uploaded::Before(held) => Some(without_link(as_held(&record, held))),
        Uploaded::Full(_) | Uploaded::Closed => None,
    };
    let stored = told.clone();
    let write = UploadOnce { upload, import: model.import, actor: ACTOR.to_owned() };
    match once(&app, key, write, Box::new(stored)).await? {
        Done::Before(reply) => Ok(replayed(with_link(&app, &base, reply))),
        Done::Now(done @ (Uploaded::New(_) | Uploaded::Before(_))) => {
            let reply = told(&done).unwrap_or_else(|| reply(Value::Null));
            Ok(Json(with_link(&app, &base, reply).body).into_response())
        }
        Done::Now(Uploaded::Full(held)) => Err(Refusal::invalid(format!(
            "a model takes {MAX_PHOTOS} images of type {}, and this one has {held}",
            data.r#type
        ))
        .into()),
        Done::Now(Uploaded::Closed) => Err(Refusal::conflict(
            "this model is in training or trained, so it takes no more images of type modelInput",
        )
        .into()),
    }
}

/// The answer as it is stored: a link is a secret of its own, and is made anew each time.
fn without_link(mut record: Value) -> StoredReply {
    record["url"] = Value::Null;
    reply(record)
}

/// The record of the same photo that is there already.
fn as_held(record: &Value, held: &Held) -> Value {
    let mut record = record.clone();
    record["id"] = json!(held.id);
    record["createdAt"] = json!(Time(held.created_at));
    record["updatedAt"] = json!(Time(held.updated_at));
    record["darkroom"]["state"] = json!(held.state);
    record["darkroom"]["remoteID"] = json!(held.remote_id);
    record
}

fn with_link(app: &App, base: &str, mut reply: StoredReply) -> StoredReply {
    let record = &mut reply.body["result"];
    let id = record["id"].as_str().and_then(Id::parse);
    let link = id.and_then(|id| {
        media::link(app, base, File::Upload(id), record["darkroom"]["mediaType"].as_str())
    });
    record["url"] = json!(link);
    reply
}

/// The row of a photo that is being stored.
fn new_record(upload: &crate::store::submit::NewUpload, now: i64) -> ServedMedia {
    let purpose = match upload.purpose {
        UploadPurpose::Training => "training",
        UploadPurpose::Reference => "reference",
    };
    ServedMedia {
        id: upload.id.to_string(),
        origin: "upload".to_owned(),
        media: "image".to_owned(),
        purpose: Some(purpose.to_owned()),
        model_id: Some(upload.model.to_string()),
        model_name: None,
        job_id: None,
        state: "queued".to_owned(),
        error: None,
        remote_id: None,
        created_at: now,
        updated_at: now,
        sha256: Some(upload.sha256.clone()),
        path: None,
        media_type: Some(upload.media_type.clone()),
        enlarged: None,
        deleted: false,
        retry_of: None,
    }
}

fn storing(error: std::io::Error) -> Nok {
    if is_full(&error) {
        return StoreError::Full(error.to_string()).into();
    }
    ServiceError::Broken(format!("the image could not be stored: {error}")).into()
}

/// The parts `file` and `data`, in either order. `data` comes as a plain field or as a part of its
/// own type; both are documented (vendor-api.md 2.8).
async fn parts(blobs: &BlobStore, request: Request) -> Result<Parts, Nok> {
    let mut form = Multipart::from_request(request, &()).await.map_err(|_| {
        let message = "send multipart/form-data with the parts `file` and `data`";
        Nok(Refusal::invalid(message))
    })?;
    let (mut file, mut data) = (None, None);
    while let Some(field) = form.next_field().await.map_err(broken)? {
        match field.name().unwrap_or_default() {
            "file" if file.is_none() => file = Some(receive(blobs, field).await?),
            "data" if data.is_none() => data = Some(short(field).await?),
            name @ ("file" | "data") => {
                let message =
                    format!("there are several parts named {name}: send one image a time");
                return Err(Refusal::invalid(message).into());
            }
            name => {
                let name = crate::service::shown(name);
                let message = format!("there is no part {name}: send `file` and `data`");
                return Err(Refusal::invalid(message).into());
            }
        }
    }
    let missing = |name: &str| Nok(Refusal::invalid(format!("the part `{name}` is missing")));
    let (file, file_name) = file.ok_or_else(|| missing("file"))?;
    let data: Vec<u8> = data.ok_or_else(|| missing("data"))?;
    let data = serde_json::from_slice(&data).map_err(|error| {
        Nok(Refusal::invalid(format!("the part `data` is not valid JSON: {error}")))
    })?;
    Ok(Parts { file, file_name, data })
}

fn broken(error: MultipartError) -> Nok {
    let refusal = unreadable(&error);
    match refusal.status {
        StatusCode::BAD_REQUEST => {
            let why = error.body_text();
            Refusal::invalid(format!("the form breaks off or is damaged: {why}")).into()
        }
        _ => refusal.into(),
    }
}

fn too_large() -> Nok {
    let megabytes = REQUEST_CAP_BYTES / 1_000_000;
    let message = format!("a request holds at most {megabytes} MB: send a smaller image");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message).into()
}

async fn receive(blobs: &BlobStore, mut field: Field<'_>) -> Result<(AtomicFile, String), Nok> {
    let name = field.file_name().unwrap_or("image").to_owned();
    let mut file = blobs.receive().await.map_err(storing)?;
    while let Some(chunk) = field.chunk().await.map_err(broken)? {
        if file.bytes() + chunk.len() as u64 > REQUEST_CAP_BYTES {
            return Err(too_large());
        }
        file.write_chunk(chunk).await.map_err(storing)?;
    }
    Ok((file, name))
}

async fn short(mut field: Field<'_>) -> Result<Vec<u8>, Nok> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(broken)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > DATA_CAP {
            return Err(Refusal::invalid("the part `data` is too long for what it is").into());
        }
    }
    Ok(bytes)
}

/// `GET /images/{imageID}`
pub(super) async fn read(
    State(app): State<Shared>,
    ApiPath(id): ApiPath<String>,
    headers: HeaderMap,
) -> Outcome {
    let (_, _, row) = find::media(&app, "Image", "image", &id).await?;
    Ok(ok(records::media(&app, &media::base(&app, &headers), &row).await?))
}

/// `DELETE /images/{imageID}`
pub(super) async fn delete(
    State(app): State<Shared>,
    ApiPath(id): ApiPath<String>,
    headers: HeaderMap,
) -> Outcome {
    delete_media(&app, &id, &headers, "Image", "image").await
}

/// Deletes a picture or a video at the vendor; the file here stays.
pub(super) async fn delete_media(
    app: &App,
    id: &str,
    headers: &HeaderMap,
    what: &str,
    media: &str,
) -> Result<Response, Nok> {
    let key = key_of(headers, &format!("DELETE {media}"), &json!(id))?;
    if let Some(answer) = earlier(app, key.as_ref()).await? {
        return Ok(answer);
    }
    let (kind, row_id, row) = find::media(app, what, media, id).await?;
    let told = reply(json!(format!("{what} deleted")));
    let stored = told.clone();
    let model = row.model_id.as_deref().and_then(Id::parse);
    let target = match (kind, model) {
        (Kind::Upload, Some(model)) => Target::Upload(row_id, model),
        (_, model) => Target::Output(row_id, model),
    };
    let write = DeleteMedia { target, actor: ACTOR.to_owned(), timing: *app.store.timing() };
    match once(app, key, write, Box::new(move |there| there.then(|| stored.clone()))).await? {
        Done::Now(true) => Ok(Json(told.body).into_response()),
        Done::Now(false) => Err(find::no_such(what, id)),
        Done::Before(reply) => Ok(replayed(reply)),
    }
}
