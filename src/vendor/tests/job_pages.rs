//! The windows in which the job list is asked for, and what is asked in them.

use super::listing::{DAY, ok, parameter};
use super::server::{NEW_YEAR, Seen, Server, reply};
use crate::domain::failure::{Failure, FailureClass};
use crate::vendor::{JobPages, ListEnd, PageForm};
use axum::response::Response;
use serde_json::json;

const HOUR: i64 = DAY / 24;
const WINDOW: i64 = 7 * DAY - HOUR;

/// The windows as they are asked for, in seconds since the new year.
async fn asked(pages: &mut JobPages) -> Vec<(i64, Option<i64>)> {
    let server = Server::start(|_| ok(json!({"jobs": []}))).await;
    let client = server.client();
    while !pages.is_over() {
        pages.next(&client).await.unwrap();
    }
    let after = |seen: &Seen, name| {
        let time = parameter(seen, name)?;
        let time = chrono::DateTime::parse_from_rfc3339(&time).unwrap();
        Some(time.timestamp() - NEW_YEAR / 1000)
    };
    server.seen().iter().map(|seen| (after(seen, "start").unwrap(), after(seen, "end"))).collect()
}

async fn hours(from: i64, now: i64, end: ListEnd) -> Vec<(i64, Option<i64>)> {
    let mut pages = JobPages::new(NEW_YEAR + from * HOUR, NEW_YEAR + now * HOUR, end);
    assert_eq!(pages.start(), NEW_YEAR + from * HOUR);
    let covers = pages.covers();
    let asked = asked(&mut pages).await;
    assert_eq!(pages.covers(), covers, "reading changes nothing about what was asked");
    let hour = |seconds: i64| seconds / 3600;
    let asked: Vec<_> = asked.iter().map(|(from, to)| (hour(*from), to.map(hour))).collect();
    let last = asked.last().unwrap().1.map(|hour| NEW_YEAR + hour * HOUR);
    assert_eq!(covers, (NEW_YEAR + asked[0].0 * HOUR, last));
    asked
}

#[tokio::test]
async fn a_list_ahead_ends_days_after_the_present_in_whole_windows() {
    assert_eq!(hours(0, 24, ListEnd::Ahead).await, [(0, Some(167))]);
    // Two days ahead to the hour, and one hour less than that.
    assert_eq!(hours(0, 119, ListEnd::Ahead).await, [(0, Some(167))]);
    let two = [(0, Some(167)), (167, Some(334))];
    assert_eq!(hours(0, 120, ListEnd::Ahead).await, two);
    assert_eq!(hours(0, 286, ListEnd::Ahead).await, two);
    assert_eq!(hours(0, 287, ListEnd::Ahead).await.len(), 3);
    // A start after the present is asked for all the same.
    assert_eq!(hours(10, 0, ListEnd::Ahead).await, [(10, Some(177))]);
    assert_eq!(hours(900, 0, ListEnd::Ahead).await, [(900, Some(1067))]);
}

#[tokio::test]
async fn an_open_list_ends_without_an_end() {
    assert_eq!(hours(0, 24, ListEnd::Open).await, [(0, None)]);
    assert_eq!(hours(0, 154, ListEnd::Open).await, [(0, None)]);
    assert_eq!(hours(0, 155, ListEnd::Open).await, [(0, Some(143)), (143, None)]);
    assert_eq!(hours(0, 200, ListEnd::Open).await, [(0, Some(167)), (167, None)]);
    let three = [(0, Some(167)), (167, Some(318)), (318, None)];
    assert_eq!(hours(0, 330, ListEnd::Open).await, three);
    assert_eq!(hours(900, 0, ListEnd::Open).await, [(900, None)]);
}

#[tokio::test]
async fn windows_share_their_borders_and_are_never_too_long() {
    for length in (0..1_000).step_by(7) {
        for end in [ListEnd::Ahead, ListEnd::Open] {
            let mut pages = JobPages::new(NEW_YEAR, NEW_YEAR + length * HOUR, end);
            let asked = asked(&mut pages).await;
            assert_eq!(asked[0].0, 0);
            assert!(asked.windows(2).all(|pair| pair[0].1 == Some(pair[1].0)));
            for (from, to) in asked {
                let to = to.map_or(length * HOUR / 1000, |to| to);
                assert!((to - from) * 1000 <= WINDOW && (to > from || length == 0), "{length}");
            }
            let (start, last) = pages.covers();
            match (end, last) {
                (ListEnd::Ahead, Some(last)) => {
                    assert_eq!((last - start) % WINDOW, 0);
                    assert!(last >= start + length * HOUR + 2 * DAY);
                    assert!(last < start + length * HOUR + 2 * DAY + WINDOW);
                }
                (ListEnd::Open, None) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn the_extremes_of_time_are_no_trouble() {
    for end in [ListEnd::Ahead, ListEnd::Open] {
        for (start, now) in [(i64::MAX, i64::MIN), (i64::MAX, i64::MAX), (0, i64::MIN)] {
            let pages = JobPages::new(start, now, end);
            assert_eq!(pages.start(), start);
            assert!(!pages.is_over(), "there is always a window");
        }
    }
}

#[test]
fn a_closed_range_covers_itself() {
    let pages = JobPages::closed(NEW_YEAR, NEW_YEAR + 30 * DAY);
    assert_eq!(pages.covers(), (NEW_YEAR, Some(NEW_YEAR + 30 * DAY)));
    assert_eq!(pages.start(), NEW_YEAR);
}

#[test]
fn what_works_can_be_remembered() {
    for (end, word) in [(ListEnd::Ahead, "\"ahead\""), (ListEnd::Open, "\"open\"")] {
        assert_eq!(serde_json::to_string(&end).unwrap(), word);
        assert_eq!(serde_json::from_str::<ListEnd>(word).unwrap(), end);
    }
    assert_eq!(ListEnd::default(), ListEnd::Ahead);
}

#[tokio::test]
async fn a_page_says_whether_it_was_blank() {
    let server = Server::start(|seen| match parameter(seen, "pageToken") {
        None => reply(
            200,
            json!({"result": {"jobs": [{"jobId": "a"}]}, "nextPageToken": 2, "status": "OK"})
                .to_string(),
        ),
        Some(token) => {
            assert_eq!(token, "2");
            ok(json!({"jobs": null}))
        }
    })
    .await;
    let client = server.client();
    let mut pages = JobPages::new(NEW_YEAR, NEW_YEAR, ListEnd::Ahead);
    let first = pages.next(&client).await.unwrap().value;
    assert_eq!((first.jobs.len(), first.form), (1, PageForm::Array));
    assert!(!pages.is_over());
    let second = pages.next(&client).await.unwrap().value;
    assert_eq!((second.jobs.len(), second.form), (0, PageForm::Blank));
    assert!(pages.is_over());
    let after = pages.next(&client).await.unwrap();
    assert_eq!((after.value.jobs.len(), after.value.form), (0, PageForm::Array));
    assert_eq!((after.vendor_time, server.seen().len()), (None, 2), "asked by no request");
}

#[tokio::test]
async fn a_blank_page_that_goes_on_is_no_list() {
    let server = Server::start(|_| ok(json!({"jobs": null, "nextPageToken": "t"}))).await;
    let mut pages = JobPages::new(NEW_YEAR, NEW_YEAR, ListEnd::Ahead);
    let failure = pages.next(&server.client()).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::ReadFailed);
    assert!(!pages.is_over());
}

fn no(status: u16) -> Response {
    reply(status, json!({"err": "end", "result": null, "status": "NOK"}).to_string())
}

/// Reads until a page fails; says whether that looks like a refused end, and how many windows
/// there were to ask about.
async fn refusal(
    mut pages: JobPages,
    script: impl Fn(&Seen) -> Response + Send + Sync + 'static,
) -> (bool, usize) {
    let server = Server::start(script).await;
    let client = server.client();
    loop {
        assert!(!pages.is_over(), "nothing failed");
        if let Err(failure) = pages.next(&client).await {
            return (pages.refuses_end(&failure), server.seen().len());
        }
    }
}

fn starts_later(seen: &Seen) -> bool {
    parameter(seen, "start").unwrap() != "2026-01-01T00:00:00Z"
}

#[tokio::test]
async fn a_refused_end_in_the_future_is_recognised() {
    let ahead = |days: i64| JobPages::new(NEW_YEAR, NEW_YEAR + days * DAY, ListEnd::Ahead);
    assert_eq!(refusal(ahead(1), |_| no(400)).await, (true, 1));
    assert_eq!(refusal(ahead(1), |_| no(422)).await, (true, 1));
    // Another status, or not the vendor's own word.
    for status in [401, 403, 404, 409, 429, 500, 502] {
        assert_eq!(refusal(ahead(1), move |_| no(status)).await, (false, 1), "{status}");
    }
    assert_eq!(refusal(ahead(1), |_| reply(400, "<html>")).await, (false, 1));
    assert_eq!(refusal(ahead(1), |_| reply(400, "{}")).await, (false, 1));
    assert_eq!(refusal(ahead(1), |_| reply(200, "oops")).await, (false, 1));
    let only_later = |seen: &Seen| match starts_later(seen) {
        true => no(400),
        false => ok(json!({"jobs": []})),
    };
    // The first of these windows ends in the past, the second in the future.
    assert_eq!(refusal(ahead(8), |_| no(400)).await, (false, 1));
    assert_eq!(refusal(ahead(8), only_later).await, (true, 2));
    // Here already the first one ends in the future.
    assert_eq!(refusal(ahead(6), |_| no(400)).await, (true, 1));
    // Without an end there is none to refuse, nor where nobody said what the present is.
    let open = JobPages::new(NEW_YEAR, NEW_YEAR + DAY, ListEnd::Open);
    assert_eq!(refusal(open, |_| no(400)).await, (false, 1));
    let closed = JobPages::closed(NEW_YEAR, i64::from(u32::MAX) * 1000);
    assert_eq!(refusal(closed, |_| no(400)).await, (false, 1));
    // The first page has shown that the end is accepted.
    let second = |seen: &Seen| match parameter(seen, "pageToken") {
        None => ok(json!({"jobs": [], "nextPageToken": "t"})),
        Some(_) => no(400),
    };
    assert_eq!(refusal(ahead(1), second).await, (false, 2));
}

#[test]
fn an_end_that_is_the_present_is_not_in_the_future() {
    let failure = Failure {
        class: FailureClass::ReadFailed,
        message: String::new(),
        http_status: Some(400),
        reply: Some(json!({"status": "NOK"}).to_string()),
        retry_after: None,
    };
    let ahead = |now| JobPages::new(NEW_YEAR, now, ListEnd::Ahead).refuses_end(&failure);
    assert!(!ahead(NEW_YEAR + WINDOW));
    assert!(ahead(NEW_YEAR + WINDOW - 1));
}
