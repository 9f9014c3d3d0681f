//! Parameters after the `?`. Which names there are, the routes know ([`crate::http::openapi::Op`]);
//! here are their values.

use super::answer::Problem;
use crate::domain::ids::{Id, Millis};
use crate::http::refusal::Refusal;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::convert::Infallible;

/// The parameters of a request.
pub(super) struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

fn wrong(name: &str, what: String) -> Problem {
    let mut refusal = Refusal::invalid(format!("`{name}` in the query is wrong: {what}"));
    refusal.errors.push((name.to_owned(), what));
    refusal.into()
}

impl Params {
    /// The value of a parameter that may be there once.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut found = self.0.iter().filter(|(given, _)| given == name).map(|(_, value)| value);
        let first = found.next();
        if found.next().is_some() {
            return Err(wrong(name, "it is given more than once".to_owned()));
        }
        match first.map(String::as_str) {
            Some("") => Err(wrong(name, "it is empty; fill it in or leave it out".to_owned())),
            value => Ok(value),
        }
    }

    /// The values of a parameter that may be repeated or hold several, separated by commas.
    pub(super) fn words(&self, name: &str, known: &[&str]) -> Result<Vec<String>, Problem> {
        let given = self.0.iter().filter(|(given, _)| given == name);
        let mut out = Vec::new();
        for word in given.flat_map(|(_, value)| value.split(',')) {
            if !known.contains(&word) {
                let shown = crate::service::shown(word);
                let words = known.join(", ");
                return Err(wrong(name, format!("{shown} is none of {words}")));
            }
            out.push(word.to_owned());
        }
        Ok(out)
    }

    /// One of these words.
    pub(super) fn word(&self, name: &str, known: &[&str]) -> Result<Option<String>, Problem> {
        match self.one(name)? {
            Some(_) => Ok(self.words(name, known)?.pop()),
            None => Ok(None),
        }
    }

    /// A whole number in this range.
    pub(super) fn number(&self, name: &str, min: i64, max: i64) -> Result<Option<i64>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let plain = text.strip_prefix('-').unwrap_or(text).bytes().all(|b| b.is_ascii_digit());
        match text.parse::<i64>() {
            Ok(number) if plain && (min..=max).contains(&number) => Ok(Some(number)),
            _ => {
                let shown = crate::service::shown(text);
                Err(wrong(name, format!("{shown} is no whole number from {min} to {max}")))
            }
        }
    }

    /// How many rows: at most 500.
    pub(super) fn limit(&self) -> Result<u32, Problem> {
        let limit = self.number("limit", 1, i64::from(MOST))?;
        Ok(limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(USUAL))
    }

    /// A time as RFC 3339 has it.
    pub(super) fn time(&self, name: &str) -> Result<Option<Millis>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        match chrono::DateTime::parse_from_rfc3339(text) {
            Ok(time) => Ok(Some(time.timestamp_millis())),
            Err(_) => {
                let shown = crate::service::shown(text);
                let example = "write it as 2026-09-01T12:00:00Z (a `+` is sent as %2B)";
                Err(wrong(name, format!("{shown} is no time: {example}")))
            }
        }
    }

    /// Where the page before ended.
    pub(super) fn cursor(&self) -> Result<Option<Id>, Problem> {
        let Some(text) = self.one("cursor")? else { return Ok(None) };
        let id = if text.len() == CURSOR_DIGITS { Id::parse(text) } else { None };
        let what = "it is no cursor of a list; take `next_cursor` of the page before";
        id.map(Some).ok_or_else(|| wrong("cursor", what.to_owned()))
    }
}

/// Rows of a page, unless it is said otherwise.
pub(super) const USUAL: u32 = 50;
/// The most rows of a page.
pub(super) const MOST: u32 = 500;
/// An id without its dashes.
const CURSOR_DIGITS: usize = 32;

/// The text that stands for the end of a page.
pub(super) fn cursor_of(id: Id) -> String {
    id.0.simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    #[test]
    fn values_are_read_and_refused() {
        let given = params("state=failed,queued&state=running&limit=7&since=2026-09-01T12:00:00Z");
        let states = given.words("state", &["failed", "queued", "running"]).unwrap();
        assert_eq!(states, ["failed", "queued", "running"]);
        assert_eq!(given.limit().unwrap(), 7);
        assert_eq!(given.time("since").unwrap(), Some(1_788_264_000_000));
        assert_eq!(given.time("until").unwrap(), None);
        assert!(given.words("state", &["failed"]).is_err());
        for bad in ["limit=0", "limit=501", "limit=+5", "limit=", "limit=1&limit=2", "limit=x"] {
            assert!(params(bad).limit().is_err(), "{bad}");
        }
        assert!(params("since=yesterday").time("since").is_err());
    }

    #[test]
    fn a_cursor_comes_back() {
        let id = Id::parse("018f5f29-7c2b-7b4e-9a8c-4f8b4c2d1e0f").unwrap();
        assert_eq!(params(&format!("cursor={}", cursor_of(id))).cursor().unwrap(), Some(id));
        assert!(params("cursor=018f5f29-7c2b-7b4e-9a8c-4f8b4c2d1e0f").cursor().is_err());
    }
}
