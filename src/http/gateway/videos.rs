//! `/videos` (vendor-api.md 2.16 to 2.20). What a program sees as a video is at home already, so
//! its file needs no preparation.

use super::super::extract::{ApiPath, ApiQuery};
use super::super::{Shared, media};
use super::answer::{Outcome, ok};
use super::models::Paging;
use super::{find, images, records};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use serde_json::json;

/// `GET /videos`, paged like image lists.
pub(super) async fn list(
    State(app): State<Shared>,
    ApiQuery(paging): ApiQuery<Paging>,
    headers: HeaderMap,
) -> Outcome {
    let page = paging.page(20)?;
    let base = media::base(&app, &headers);
    let mut records = Vec::new();
    for row in &app.store.served_videos(page.size, page.offset()).await? {
        records.push(records::media(&app, &base, row).await?);
    }
    Ok(Json(page.envelope(records)).into_response())
}

/// `GET /videos/{videoID}`
pub(super) async fn read(
    State(app): State<Shared>,
    ApiPath(id): ApiPath<String>,
    headers: HeaderMap,
) -> Outcome {
    let (_, _, row) = find::media(&app, "Video", "video", &id).await?;
    Ok(ok(records::media(&app, &media::base(&app, &headers), &row).await?))
}

/// `DELETE /videos/{videoID}`
pub(super) async fn delete(
    State(app): State<Shared>,
    ApiPath(id): ApiPath<String>,
    headers: HeaderMap,
) -> Outcome {
    images::delete_media(&app, &id, &headers, "Video", "video").await
}

/// `GET /videos/{videoID}/create-download`: the file is on its way here without being asked for.
pub(super) async fn create_download(
    State(app): State<Shared>,
    ApiPath(id): ApiPath<String>,
) -> Outcome {
    find::media(&app, "Video", "video", &id).await?;
    Ok(ok(json!("Download requested")))
}

/// `GET /videos/{videoID}/download`
pub(super) async fn download(
    State(app): State<Shared>,
    ApiPath(id): ApiPath<String>,
    headers: HeaderMap,
) -> Outcome {
    let (_, _, row) = find::media(&app, "Video", "video", &id).await?;
    let url = records::url(&app, &media::base(&app, &headers), &row);
    Ok(ok(match url {
        Some(url) => json!({ "percentComplete": 100, "status": "ready", "url": url }),
        None => json!({ "percentComplete": 0, "status": "inprogress" }),
    }))
}
