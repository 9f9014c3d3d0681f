//! Lists are complete or they are failures.

use super::server::{NEW_YEAR, Seen, Server, reply};
use crate::domain::failure::FailureClass;
use crate::domain::ids::RemoteModelId;
use crate::vendor::listing::windows;
use axum::response::Response;
use serde_json::{Value, json};

pub(super) const DAY: i64 = 86_400_000;

pub(super) fn parameter(seen: &Seen, name: &str) -> Option<String> {
    let url = url::Url::parse("http://x").unwrap().join(&seen.target).unwrap();
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

pub(super) fn ok(result: Value) -> Response {
    reply(200, json!({"result": result, "status": "OK"}).to_string())
}

#[test]
fn windows_cover_everything_and_share_borders() {
    for length in [0, 1, 1_000, 6 * DAY, 7 * DAY, 8 * DAY, 100 * DAY] {
        let all: Vec<(i64, i64)> = windows(5, 5 + length).collect();
        assert_eq!((all[0].0, all[all.len() - 1].1), (5, 5 + length));
        assert!(all.windows(2).all(|pair| pair[0].1 == pair[1].0));
        assert!(all.iter().all(|(from, to)| to - from < 7 * DAY && from <= to));
    }
    assert_eq!(windows(9, 5).collect::<Vec<_>>(), [(9, 9)]);
}

#[tokio::test]
async fn jobs_are_read_over_pages_and_windows() {
    let server = Server::start(|seen| {
        let start = parameter(seen, "start").unwrap();
        let (jobs, next) = match (start.as_str(), parameter(seen, "pageToken").as_deref()) {
            ("2026-01-01T00:00:00Z", None) => (json!([{"jobId": "a", "status": "queued"}]), "t1"),
            ("2026-01-01T00:00:00Z", Some("t1")) => (json!([{"jobId": "b"}]), ""),
            (_, None) => (json!([{"jobId": "a", "status": "success"}, {"jobId": "c"}]), ""),
            other => panic!("{other:?}"),
        };
        ok(json!({"jobs": jobs, "nextPageToken": next}))
    })
    .await;
    let reply = server.client().all_jobs(NEW_YEAR, NEW_YEAR + 8 * DAY).await.unwrap();
    let ids: Vec<&str> = reply.value.iter().map(|job| job.job_id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    assert_eq!(reply.value[0].status, crate::vendor::JobStatus::Success, "the latest version");
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_job_list_that_loops_or_breaks_is_no_list() {
    let looping = Server::start(|_| ok(json!({"jobs": [], "nextPageToken": "t"}))).await;
    let failure = looping.client().all_jobs(0, 1).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::ReadFailed);
    assert_eq!(looping.seen().len(), 2);

    let breaking = Server::start(|seen| match parameter(seen, "pageToken") {
        None => ok(json!({"jobs": [{"jobId": "a"}], "nextPageToken": "t"})),
        Some(_) => reply(500, "oops"),
    })
    .await;
    assert!(breaking.client().all_jobs(0, 1).await.is_err());
}

/// Forty images, a page at a time as `serve` likes.
async fn images(serve: impl Fn(u64, u64) -> Response + Send + Sync + 'static) -> (usize, usize) {
    let server = Server::start(move |seen| {
        assert_eq!(parameter(seen, "imageType").as_deref(), Some("input"));
        let number = |name| parameter(seen, name).unwrap().parse().unwrap();
        serve(number("pageNum"), number("pageSize"))
    })
    .await;
    let reply = server.client().all_input_images(&RemoteModelId::from("m")).await.unwrap();
    (reply.value.len(), server.seen().len())
}

fn slice(from: u64, to: u64) -> Value {
    (from..to.min(40)).map(|number| json!({"id": format!("i{number}")})).collect()
}

#[tokio::test]
async fn images_are_read_to_an_end_that_is_one() {
    // A vendor that says nothing about its pages: an empty page is the end.
    assert_eq!(images(|n, size| ok(slice((n - 1) * size, n * size))).await, (40, 3));
    // One that allows fewer per page than asked for.
    assert_eq!(images(|n, _| ok(slice((n - 1) * 15, n * 15))).await, (40, 4));
    // One that says how large its pages are: a shorter one is the end.
    let echo = |n: u64, _| {
        let page = slice((n - 1) * 15, n * 15);
        reply(200, json!({"result": page, "pageSize": 15, "status": "OK"}).to_string())
    };
    assert_eq!(images(echo).await, (40, 3));
    // One that ignores the page number.
    assert_eq!(images(|_, _| ok(slice(0, 12))).await, (12, 2));
    assert_eq!(images(|_, _| ok(json!([]))).await, (0, 1));
}
