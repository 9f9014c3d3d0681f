//! `/jobs` (vendor-api.md 2.14, 2.15).

use super::super::extract::{ApiPath, ApiQuery};
use super::super::refusal::Refusal;
use super::super::{Shared, media};
use super::answer::{Nok, Outcome, ok};
use super::{find, records};
use crate::domain::ids::{Id, Millis};
use crate::store::served::JobWindow;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::json;

const DAY: Millis = 24 * 3600 * 1000;
/// Entries on a page.
const PAGE: usize = 50;

/// `GET /jobs/{id}`
pub(super) async fn read(
    State(app): State<Shared>,
    ApiPath(id): ApiPath<String>,
    headers: HeaderMap,
) -> Outcome {
    let row = find::job(&app, &id).await?;
    Ok(ok(records::job(&app, &media::base(&app, &headers), &row).await?))
}

/// The query of the list, as it came.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asked {
    start: Option<String>,
    end: Option<String>,
    page_token: Option<String>,
}

/// `GET /jobs`: the last 24 hours unless told otherwise, newest first.
pub(super) async fn list(State(app): State<Shared>, ApiQuery(asked): ApiQuery<Asked>) -> Outcome {
    let window = asked.window(app.store.now())?;
    let limit = i64::try_from(PAGE + 1).unwrap_or(i64::MAX);
    let mut rows = app.store.served_jobs(window, limit).await?;
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let next = rows
        .last()
        .filter(|_| more)
        .map_or_else(String::new, |last| token(&window, last.created_at, &last.id));
    let mut jobs = Vec::new();
    for row in &rows {
        jobs.push(records::entry(&app, row).await?);
    }
    Ok(ok(json!({ "jobs": jobs, "nextPageToken": next })))
}

impl Asked {
    /// A token brings its own bounds, so that pages fit together when the default has moved on.
    fn window(&self, now: Millis) -> Result<JobWindow, Nok> {
        if let Some(token) = self.page_token.as_deref().filter(|token| !token.is_empty()) {
            let window = from_token(token);
            let message = "pageToken is not valid: send it as it came, or leave it out";
            return window.ok_or_else(|| Refusal::invalid(message).into());
        }
        let end = instant("end", self.end.as_deref())?.unwrap_or(now);
        let start = instant("start", self.start.as_deref())?.unwrap_or(end - DAY);
        if end < start {
            return Err(Refusal::invalid("end must not be before start").into());
        }
        if end - start > 7 * DAY {
            return Err(
                Refusal::invalid("the time from start to end must be 7 days or less").into()
            );
        }
        Ok(JobWindow { start, end, after: None })
    }
}

fn instant(name: &str, text: Option<&str>) -> Result<Option<Millis>, Nok> {
    let Some(text) = text else { return Ok(None) };
    let time = chrono::DateTime::parse_from_rfc3339(text).map_err(|_| {
        let message = format!("{name} must be a time like 2026-01-01T00:00:00Z (RFC 3339)");
        Nok(Refusal::invalid(message))
    })?;
    Ok(Some(time.timestamp_millis()))
}

fn token(window: &JobWindow, at: Millis, id: &str) -> String {
    hex::encode(format!("{}:{}:{at}:{id}", window.start, window.end))
}

fn from_token(token: &str) -> Option<JobWindow> {
    let text = String::from_utf8(hex::decode(token).ok()?).ok()?;
    let mut parts = text.split(':');
    let mut time = || parts.next()?.parse::<Millis>().ok();
    let (start, end, at) = (time()?, time()?, time()?);
    let id = Id::parse(parts.next()?)?;
    parts.next().is_none().then_some(JobWindow { start, end, after: Some((at, id)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_brings_its_window_back() {
        let id = Id(uuid::Uuid::nil());
        let window = JobWindow { start: 1, end: 9, after: Some((5, id)) };
        assert_eq!(from_token(&token(&window, 5, &id.to_string())), Some(window));
        for bad in ["", "zz", "3a3a3a", &hex::encode("1:2:3"), &hex::encode("1:2:3:4")] {
            assert_eq!(from_token(bad), None);
        }
    }

    #[test]
    fn a_window_is_a_day_and_at_most_a_week() {
        let asked = |start: Option<&str>, end: Option<&str>| {
            let own = |text: Option<&str>| text.map(str::to_owned);
            Asked { start: own(start), end: own(end), page_token: None }.window(100 * DAY)
        };
        let window = asked(None, None).unwrap();
        assert_eq!((window.start, window.end), (99 * DAY, 100 * DAY));
        assert!(asked(Some("1970-01-01T00:00:00Z"), Some("1970-01-08T00:00:00Z")).is_ok());
        assert!(asked(Some("1970-01-01T00:00:00Z"), Some("1970-01-08T00:00:01Z")).is_err());
        assert!(asked(Some("1970-01-02T00:00:00Z"), Some("1970-01-01T00:00:00Z")).is_err());
        assert!(asked(Some("yesterday"), None).is_err());
    }
}
