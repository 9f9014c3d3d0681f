//! Images: upload, read, delete, list.

use crate::simulator::reply::{Outcome, Refusal, Reply};
use crate::simulator::sim::Sim;
use crate::simulator::world::Caller;
use crate::simulator::world::image::Format;
use axum::Extension;
use axum::extract::{FromRequest, Multipart, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The documented limit of a whole request. Megabytes are read as millions: the strict reading.
const REQUEST_LIMIT: u64 = 20_000_000;

/// What is read of a request that is too large, so that its sender gets to see the refusal.
const DRAIN_LIMIT: usize = 200_000_000;

/// The largest page of a list; undocumented.
const PAGE_LIMIT: usize = 100;

/// `pageNum` and `pageSize`, as they came.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Paging {
    image_type: Option<String>,
    page_num: Option<String>,
    page_size: Option<String>,
}

/// One page of a list.
#[derive(Clone, Copy)]
pub(crate) struct Page {
    number: usize,
    size: usize,
}

impl Paging {
    /// The page asked for: the first one of 20 unless told otherwise.
    pub(crate) fn check(&self) -> Result<Page, Refusal> {
        let read = |name: &str, given: &Option<String>, default: usize, most: usize| {
            let number = given.as_deref().map_or(Ok(default), str::parse);
            number.ok().filter(|number| (1..=most).contains(number)).ok_or_else(|| {
                Refusal::invalid(format!("{name} must be an integer between 1 and {most}"))
            })
        };
        Ok(Page {
            number: read("pageNum", &self.page_num, 1, 1_000_000)?,
            size: read("pageSize", &self.page_size, 20, PAGE_LIMIT)?,
        })
    }
}

impl Page {
    /// The ids on this page.
    pub(crate) fn of<'a>(self, ids: impl Iterator<Item = &'a String>) -> Vec<String> {
        ids.skip((self.number - 1) * self.size).take(self.size).cloned().collect()
    }

    /// The envelope with `page` and `pageSize` beside the result.
    pub(crate) fn envelope(self, records: Vec<Value>) -> Value {
        json!({ "page": self.number, "pageSize": self.size, "result": records, "status": "OK" })
    }
}

/// `GET /models/{modelID}/images`, newest first.
pub(crate) async fn list(
    State(sim): State<Arc<Sim>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Query(paging): Query<Paging>,
) -> Outcome {
    let page = paging.check()?;
    let wanted = match paging.image_type.as_deref() {
        None | Some("all") => None,
        Some("input") => Some("modelInput"),
        Some("output") => Some("output"),
        Some("auxiliaryType") => Some("auxiliaryType"),
        Some(other) => {
            let message = format!("imageType {other} is not all, input, output or auxiliaryType");
            return Err(Refusal::invalid(message));
        }
    };
    let world = sim.world();
    let model = world.live_model(&caller, &id)?;
    let fits = |id: &&String| {
        wanted.is_none_or(|kind| world.images.get(*id).is_some_and(|image| image.kind == kind))
    };
    let ids = page.of(model.images.iter().rev().filter(fits));
    Ok(Reply::bare(page.envelope(ids.iter().map(|id| world.image_json(&caller, id)).collect())))
}

/// `GET /images/{imageID}`
pub(crate) async fn read(
    State(sim): State<Arc<Sim>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Outcome {
    let world = sim.world();
    world.image(&caller, &id)?;
    Ok(Reply::result(world.image_json(&caller, &id)))
}

/// `DELETE /images/{imageID}`
pub(crate) async fn delete(
    State(sim): State<Arc<Sim>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Outcome {
    let seq = sim.world().delete_image(&caller, &id)?;
    Ok(Reply::result(json!("Image deleted")).of_effect(Some(seq)))
}

/// The `data` part of an upload.
#[derive(Deserialize)]
struct Target {
    #[serde(rename = "modelID")]
    model: String,
    #[serde(rename = "type")]
    kind: String,
}

/// `POST /images/upload`
pub(crate) async fn upload(
    State(sim): State<Arc<Sim>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Outcome {
    let (file, data) = parts(request).await?;
    let target: Target = serde_json::from_slice(&data)
        .map_err(|why| Refusal::invalid(format!("data is not valid: {why}")))?;
    let kind = match target.kind.as_str() {
        "modelInput" => "modelInput",
        "auxiliaryType" => "auxiliaryType",
        _ => return Err(Refusal::invalid("type must be modelInput or auxiliaryType")),
    };
    let Some(format) = Format::sniff(&file) else {
        return Err(Refusal::invalid("file must be a jpg, jpeg, png, webp or heic image"));
    };
    // Asked before the bytes are stored, and again when the record is made.
    sim.world().check_upload(&caller, &target.model, kind)?;
    let sha256 = hex::encode(Sha256::digest(&file));
    let failed = |err: std::io::Error| {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("Image could not be stored: {err}"))
    };
    sim.gallery.keep(&sha256, &file).await.map_err(failed)?;
    let mut world = sim.world();
    let (id, seq) = world.add_upload(&caller, &target.model, kind, format, &sha256)?;
    Ok(Reply::result(world.image_json(&caller, &id)).of_effect(Some(seq)))
}

/// The parts `file` and `data` of a multipart request.
async fn parts(request: Request) -> Result<(Vec<u8>, Vec<u8>), Refusal> {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > REQUEST_LIMIT) {
        drain(request).await;
        return Err(too_large());
    }
    let broken = |why: &dyn std::fmt::Display| {
        Refusal::invalid(format!("Request body is not valid multipart/form-data: {why}"))
    };
    let mut form = Multipart::from_request(request, &()).await.map_err(|why| broken(&why))?;
    let (mut file, mut data, mut total) = (None, None, 0u64);
    while let Some(mut field) = form.next_field().await.map_err(|why| broken(&why))? {
        let name = field.name().unwrap_or_default().to_owned();
        let mut bytes = Vec::new();
        while let Some(chunk) = field.chunk().await.map_err(|why| broken(&why))? {
            total += chunk.len() as u64;
            if total > REQUEST_LIMIT {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        match name.as_str() {
            "file" => file = Some(bytes),
            "data" => data = Some(bytes),
            _ => {}
        }
    }
    let missing = |name: &str| Refusal::invalid(format!("{name} is required"));
    Ok((file.ok_or_else(|| missing("file"))?, data.ok_or_else(|| missing("data"))?))
}

async fn drain(request: Request) {
    let mut body = request.into_body().into_data_stream();
    let mut read = 0;
    while let Some(Ok(chunk)) = body.next().await {
        read += chunk.len();
        if read > DRAIN_LIMIT {
            return;
        }
    }
}

fn too_large() -> Refusal {
    Refusal::invalid("Request must not be larger than 20 MB")
}
