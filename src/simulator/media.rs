//! Files outside `/api`: pictures, playlists and videos behind links that expire.

use super::gate::Expired;
use super::reply::{Outcome, Refusal};
use super::sim::Sim;
use super::world::video::video_path;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use std::io::Error;
use std::sync::Arc;
use std::time::Duration;

/// Two seconds of H.264 with its index in front.
const CLIP: &[u8] = include_bytes!("assets/clip.mp4");
/// The same two seconds as a transport stream.
const SEGMENT: &[u8] = include_bytes!("assets/segment.ts");
/// Pieces of a slow body.
const DRIPS: usize = 10;
/// Time for the first half of a broken body to be sent.
const FLUSH: Duration = Duration::from_millis(50);
/// No file here is larger.
const LARGEST: usize = 512 * 1024 * 1024;

/// The query that makes a link valid.
#[derive(Deserialize)]
pub(crate) struct Proof {
    #[serde(default)]
    exp: i64,
    #[serde(default)]
    sig: String,
}

/// `GET /media/...`
pub(crate) async fn fetch(
    State(sim): State<Arc<Sim>>,
    Path(file): Path<String>,
    Query(proof): Query<Proof>,
    request: Request,
) -> Result<Response, Refusal> {
    let path = format!("/media/{file}");
    {
        let mut world = sim.world();
        world.check_link(&path, proof.exp, &proof.sig)?;
        if request.extensions().get::<Expired>().is_some() {
            world.revoke(&path, proof.exp);
            world.check_link(&path, proof.exp, &proof.sig)?;
        }
    }
    match file.split('/').collect::<Vec<_>>().as_slice() {
        ["images", name] => image(&sim, name).await,
        ["videos", id, name] => video(&sim, id, name, proof.exp),
        _ => Err(Refusal::unknown("File")),
    }
}

async fn image(sim: &Sim, name: &str) -> Result<Response, Refusal> {
    let id = name.split('.').next().unwrap_or_default();
    let (picture, format) = match sim.world().images.get(id) {
        Some(image) => (image.picture.clone(), image.format),
        None => return Err(Refusal::unknown("File")),
    };
    let failed = |err: Error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, err.to_string());
    let bytes = sim.gallery.render(picture, format).await.map_err(failed)?;
    Ok(whole(format.media_type(), bytes))
}

fn video(sim: &Sim, id: &str, name: &str, expires: i64) -> Result<Response, Refusal> {
    let world = sim.world();
    let Some(video) = world.videos.get(id) else {
        return Err(Refusal::unknown("File"));
    };
    match name {
        "video.mp4" => Ok(whole("video/mp4", clip_of(&video.job, id))),
        "segment0.ts" => Ok(whole("video/mp2t", SEGMENT.to_vec())),
        "video.m3u8" => {
            let proof = world.signature(&video_path(id, "segment0.ts"), expires);
            let playlist = format!(
                "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n\
                 #EXT-X-PLAYLIST-TYPE:VOD\n#EXTINF:2.0,\nsegment0.ts?{proof}\n#EXT-X-ENDLIST\n"
            );
            Ok(whole("application/vnd.apple.mpegurl", playlist.into_bytes()))
        }
        _ => Err(Refusal::unknown("File")),
    }
}

/// The clip with a `free` box that names its job: every file is unique and still a valid MP4.
fn clip_of(job: &str, id: &str) -> Vec<u8> {
    let mark = format!("{job} {id}");
    let size = u32::try_from(mark.len() + 8).unwrap_or(8);
    let mut file = CLIP.to_vec();
    file.extend_from_slice(&size.to_be_bytes());
    file.extend_from_slice(b"free");
    file.extend_from_slice(mark.as_bytes());
    file
}

fn whole(media_type: &'static str, bytes: Vec<u8>) -> Response {
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(media_type))];
    (headers, bytes).into_response()
}

/// The same headers over half the body: the connection ends in the middle.
pub(crate) async fn truncate(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, LARGEST).await.unwrap_or_default();
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    let half = bytes.slice(..bytes.len() / 2);
    let broken = stream::unfold(Some(half), |half| async move {
        if let Some(half) = half {
            return Some((Ok(half), None));
        }
        // Headers and half a body have to leave before the connection breaks.
        tokio::time::sleep(FLUSH).await;
        Some((Err(Error::other("cut off on purpose")), None))
    });
    Response::from_parts(parts, Body::from_stream(broken))
}

/// The same body in pieces over this time.
pub(crate) async fn dribble(response: Response, time: Duration) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, LARGEST).await.unwrap_or_default();
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    let pause = time / DRIPS as u32;
    let step = bytes.len().div_ceil(DRIPS).max(1);
    let drips = stream::unfold(bytes, move |mut rest: Bytes| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let drip = rest.split_to(step.min(rest.len()));
        Some((Ok::<_, Error>(drip), rest))
    });
    Response::from_parts(parts, Body::from_stream(drips))
}

/// Anything under `/api` that is no operation.
pub(crate) async fn nothing_here() -> Outcome {
    Err(Refusal::new(StatusCode::NOT_FOUND, "No such endpoint"))
}

/// A path with another method than its own.
pub(crate) async fn wrong_method() -> Outcome {
    Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"))
}
