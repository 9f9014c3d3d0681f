//! Videos: read, delete, download.

use super::images::Paging;
use crate::simulator::reply::{Outcome, Reply};
use crate::simulator::sim::Sim;
use crate::simulator::world::Caller;
use axum::Extension;
use axum::extract::{Path, Query, State};
use serde_json::json;
use std::sync::Arc;

/// `GET /videos`: undocumented; newest first, with the paging of image lists.
pub(crate) async fn list(
    State(sim): State<Arc<Sim>>,
    Extension(caller): Extension<Caller>,
    Query(paging): Query<Paging>,
) -> Outcome {
    let page = paging.check()?;
    let mut world = sim.world();
    let ids = world.users.get(caller.user).map(|user| page.of(user.videos.iter().rev()));
    let ids: Vec<String> = ids.unwrap_or_default();
    let records: Vec<_> = ids.iter().map(|id| world.video_json(&caller, id)).collect();
    Ok(Reply::bare(page.envelope(records)))
}

/// `GET /videos/{videoID}`
pub(crate) async fn read(
    State(sim): State<Arc<Sim>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Outcome {
    let mut world = sim.world();
    world.video(&caller, &id)?;
    Ok(Reply::result(world.video_json(&caller, &id)))
}

/// `DELETE /videos/{videoID}`
pub(crate) async fn delete(
    State(sim): State<Arc<Sim>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Outcome {
    let seq = sim.world().delete_video(&caller, &id)?;
    Ok(Reply::result(json!("Video deleted")).of_effect(Some(seq)))
}

/// `GET /videos/{videoID}/create-download`: a GET that does something.
pub(crate) async fn create_download(
    State(sim): State<Arc<Sim>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Outcome {
    let seq = sim.world().create_download(&caller, &id)?;
    Ok(Reply::result(json!("Download requested")).of_effect(seq))
}

/// `GET /videos/{videoID}/download`
pub(crate) async fn download(
    State(sim): State<Arc<Sim>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Outcome {
    Ok(Reply::result(sim.world().download_json(&caller, &id)?))
}
