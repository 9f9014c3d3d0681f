//! One photo for a model, streamed to disk and checked as the command line checks it.

use super::answer::{Answer, Problem};
use super::asked::{key_name, key_of, operation, replay};
use super::models::model;
use super::receipt::{Accepted, order_as};
use crate::domain::request::UploadPurpose;
use crate::files::atomic::{AtomicFile, is_full};
use crate::files::blobs::BlobStore;
use crate::http::extract::ApiPath;
use crate::http::guard::Caller;
use crate::http::guard::body::unreadable;
use crate::http::openapi::{Op, Routes, word};
use crate::http::refusal::Refusal;
use crate::http::{App, Shared};
use crate::service::{ServiceError, keys, models, photos, shown};
use crate::store::StoreError;
use crate::store::idempotency::RequestKey;
use crate::store::lookup::FoundModel;
use crate::store::once::UploadOnce;
use crate::store::report::ReceiptedUpload;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::json;
use utoipa::openapi::HttpMethod;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

/// The longest text part.
const MAX_WORD: usize = 100;

/// A photo that came in.
struct Received {
    purpose: UploadPurpose,
    name: String,
    /// Removed when it is dropped before it is kept.
    file: AtomicFile,
}

async fn upload(
    State(app): State<Shared>,
    ApiPath(text): ApiPath<String>,
    caller: Caller,
    request: Request,
) -> Result<Response, Response> {
    let key = key_name(request.headers()).map_err(IntoResponse::into_response)?;
    let asked = operation(request.method(), request.uri());
    let model = model(&app, &text).await.map_err(IntoResponse::into_response)?;
    let received = receive(&app, request).await.map_err(IntoResponse::into_response)?;
    let key = match key {
        Some(name) => {
            let sha256 = received.file.sha256().map_err(storing);
            let sha256 = sha256.map_err(IntoResponse::into_response)?;
            let same = json!({ "photo": sha256, "name": received.name,
                "type": word_of(received.purpose) });
            let key = key_of(name, keys::hash(&asked, &same));
            replay(&app, &key).await?;
            Some(key)
        }
        None => None,
    };
    store(&app, &model, received, key, caller).await.map_err(IntoResponse::into_response)
}

async fn store(
    app: &App,
    model: &FoundModel,
    received: Received,
    key: Option<RequestKey>,
    caller: Caller,
) -> Answer {
    let path = received.file.path().map_err(storing)?;
    let photo = photos::received("file", path, &received.name).await?;
    models::refuse_upload(Some(&app.store), model, received.purpose, &photo).await?;
    let uploads = photos::uploads(std::slice::from_ref(&photo), model.id, received.purpose);
    let Some(upload) = uploads.into_iter().next() else {
        return Err(wrong("file", "it holds no photo".to_owned()));
    };
    blobs(app).keep(received.file).await.map_err(storing)?;
    let write = UploadOnce { upload, import: None, actor: caller.actor };
    order_as(app, key, 1, ReceiptedUpload(write)).await
}

fn blobs(app: &App) -> BlobStore {
    BlobStore::new(app.store.data_dir().join("blobs"))
}

fn storing(error: std::io::Error) -> Problem {
    if is_full(&error) {
        return StoreError::Full(error.to_string()).into();
    }
    ServiceError::Broken(format!("the photo could not be stored: {error}")).into()
}

fn word_of(purpose: UploadPurpose) -> &'static str {
    match purpose {
        UploadPurpose::Training => "training",
        UploadPurpose::Reference => "reference",
    }
}

fn purpose_of(text: &str) -> Result<UploadPurpose, Problem> {
    match text {
        "training" | "modelInput" => Ok(UploadPurpose::Training),
        "reference" | "auxiliaryType" => Ok(UploadPurpose::Reference),
        other => {
            let what = format!("{} is none of training, reference", shown(other));
            Err(wrong("type", what))
        }
    }
}

fn wrong(field: &str, what: String) -> Problem {
    let mut refusal = Refusal::invalid(format!("the part `{field}` is wrong: {what}"));
    refusal.errors.push((field.to_owned(), what));
    refusal.into()
}

/// A body that broke off, is too long, or is no multipart body at all.
fn broken(error: &MultipartError) -> Problem {
    match error.status() {
        StatusCode::BAD_REQUEST => {
            let refusal = unreadable(error);
            if refusal.status != StatusCode::BAD_REQUEST {
                return refusal.into();
            }
            let said = error.body_text();
            Refusal::invalid(format!("the multipart body cannot be read: {said}")).into()
        }
        _ => unreadable(error).into(),
    }
}

async fn receive(app: &App, request: Request) -> Result<Received, Problem> {
    let mut parts = Multipart::from_request(request, app).await.map_err(|_| {
        let message = "send the photo as multipart/form-data with the parts `type` and `file`";
        Problem::from(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
    })?;
    let (mut purpose, mut photo) = (None, None);
    while let Some(part) = parts.next_field().await.map_err(|error| broken(&error))? {
        let name = part.name().unwrap_or_default().to_owned();
        match name.as_str() {
            "type" if purpose.is_none() => purpose = Some(purpose_of(&text(part).await?)?),
            "file" if photo.is_none() => {
                let name = part.file_name().unwrap_or("photo").to_owned();
                photo = Some((name, save(app, part).await?));
            }
            "type" | "file" => return Err(wrong(&name, "it is there twice".to_owned())),
            other => {
                let what = "there is no such part; there are `type` and `file`".to_owned();
                return Err(wrong(&other.chars().take(60).collect::<String>(), what));
            }
        }
    }
    let purpose = purpose
        .ok_or_else(|| wrong("type", "it is missing; send training or reference".to_owned()))?;
    let (name, file) = photo.ok_or_else(|| wrong("file", "it is missing".to_owned()))?;
    Ok(Received { purpose, name, file })
}

async fn text(mut part: Field<'_>) -> Result<String, Problem> {
    let mut out = Vec::new();
    while let Some(bytes) = part.chunk().await.map_err(|error| broken(&error))? {
        out.extend_from_slice(&bytes);
        if out.len() > MAX_WORD {
            return Err(wrong("type", "it is too long".to_owned()));
        }
    }
    String::from_utf8(out).map_err(|_| wrong("type", "it is not UTF-8".to_owned()))
}

/// Writes the part to a file of its own, piece by piece.
async fn save(app: &App, mut part: Field<'_>) -> Result<AtomicFile, Problem> {
    let mut file = blobs(app).receive().await.map_err(storing)?;
    while let Some(bytes) = part.chunk().await.map_err(|error| broken(&error))? {
        file.write_chunk(bytes).await.map_err(storing)?;
    }
    Ok(file)
}

fn body() -> Schema {
    let file = ObjectBuilder::new()
        .schema_type(Type::String)
        .content_media_type("application/octet-stream")
        .description(Some("The photo: JPEG, PNG, WebP or HEIC."));
    ObjectBuilder::new()
        .property("type", word(["training", "reference"]))
        .property("file", file)
        .required("type")
        .required("file")
        .into()
}

/// The route.
pub(super) fn ordering(into: Routes) -> Routes {
    let brought =
        Op::new("upload_photo", "models", "Bring a photo: for its training, or to go by.")
            .of_row("model")
            .writes()
            .body_of(body(), "multipart/form-data", None, true)
            .answers::<Accepted>(202, "The photo is kept.");
    // The guard has its own cap.
    let handler = post(upload).layer(DefaultBodyLimit::disable());
    let path = "/v1/models/{id}/uploads";
    into.route(brought.at(HttpMethod::Post, path, handler))
}
