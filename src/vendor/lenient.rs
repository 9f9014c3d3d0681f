//! Forgiving readers for fields that the docs leave open. What cannot be understood becomes
//! `None`, except for ids and lists: losing one of those silently would be worse than failing.

use super::reply::parse_http_date;
use crate::domain::ids::Millis;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Numbers below this are seconds since 1970 (up to the year 5138), above it milliseconds.
const SECONDS_BELOW: f64 = 1e11;

/// Numbers from here on are no milliseconds either (the year 5138 again), so they say nothing: a
/// finer unit read as this one would be a date that no comparison survives.
const MILLIS_BELOW: f64 = 1e14;

/// A required id: text or a whole number, never empty (vendor-api.md section 2, id types).
pub(super) fn id<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: for<'a> From<&'a str>,
{
    match Value::deserialize(deserializer)? {
        Value::String(text) if !text.trim().is_empty() => Ok(T::from(&text)),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            Ok(T::from(&number.to_string()))
        }
        other => Err(D::Error::custom(format!("expected a non-empty id, found {}", kind(&other)))),
    }
}

/// An optional id.
pub(super) fn opt_id<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: for<'a> From<&'a str>,
{
    Ok(opt_text(deserializer)?.map(|text| T::from(&text)))
}

/// Optional text; numbers are tolerated, the empty string is absence.
pub(super) fn opt_text<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(d)? {
        Value::String(text) if !text.trim().is_empty() => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// An explanation: text, or an object that holds one.
pub(super) fn opt_reason<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(d)? {
        Value::String(text) if !text.trim().is_empty() => Some(text),
        Value::Object(fields) if !fields.is_empty() => ["message", "err", "reason", "error"]
            .iter()
            .find_map(|key| fields.get(*key).and_then(Value::as_str))
            .map(str::to_owned)
            .or_else(|| Some(Value::Object(fields).to_string())),
        Value::Array(items) if !items.is_empty() => Some(Value::Array(items).to_string()),
        _ => None,
    })
}

/// An optional finite number; numeric text is tolerated.
pub(super) fn opt_number<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
    Ok(number(&Value::deserialize(d)?))
}

/// An optional truth value.
pub(super) fn opt_bool<'de, D: Deserializer<'de>>(d: D) -> Result<Option<bool>, D::Error> {
    Ok(Value::deserialize(d)?.as_bool())
}

/// A status word, compared without case (vendor-api.md 2.4, 3.2); absent and odd ones become "".
pub(super) fn word<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: for<'a> From<&'a str>,
{
    Ok(T::from(opt_text(deserializer)?.unwrap_or_default().trim()))
}

/// An optional time (vendor-api.md U32), Unix milliseconds.
pub(super) fn opt_time<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Millis>, D::Error> {
    let value = Value::deserialize(d)?;
    Ok(match value.as_str() {
        Some(text) => parse_time(text),
        None => number(&value).and_then(from_epoch),
    })
}

/// A list of which the readable entries are kept, with the count of the others.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Salvaged<T> {
    pub(super) items: Vec<T>,
    pub(super) unreadable: usize,
}

impl<T> Default for Salvaged<T> {
    fn default() -> Self {
        Self { items: Vec::new(), unreadable: 0 }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Salvaged<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = match Value::deserialize(deserializer)? {
            Value::Null => Vec::new(),
            Value::Array(entries) => entries,
            other => {
                return Err(D::Error::custom(format!("expected a list, found {}", kind(&other))));
            }
        };
        let found = entries.len();
        let items: Vec<T> =
            entries.into_iter().filter_map(|entry| T::deserialize(entry).ok()).collect();
        Ok(Self { unreadable: found - items.len(), items })
    }
}

/// RFC 3339 with or without fraction and zone (UTC then), a bare date, the form of an HTTP header,
/// or a number. What lies before 1970 is how some languages write "never".
pub(super) fn parse_time(text: &str) -> Option<Millis> {
    let text = text.trim();
    match written(text) {
        Some(time) => (time > 0).then_some(time),
        None => text.parse().ok().and_then(from_epoch),
    }
}

fn written(text: &str) -> Option<Millis> {
    // Go prints a zone's name after its offset, others the name alone.
    let text = text.strip_suffix("UTC").map_or(text, str::trim_end);
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(time) = chrono::NaiveDateTime::parse_from_str(text, format) {
            return Some(time.and_utc().timestamp_millis());
        }
    }
    // Zones without a colon, or after a blank, as some database drivers print them.
    for format in ["%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m-%d %H:%M:%S%.f %z"] {
        if let Ok(time) = chrono::DateTime::parse_from_str(text, format) {
            return Some(time.timestamp_millis());
        }
    }
    if let Ok(day) = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some(day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis());
    }
    parse_http_date(text)
}

fn from_epoch(number: f64) -> Option<Millis> {
    // Zero is how several languages write "never".
    (number > 0.0 && number < MILLIS_BELOW).then_some(if number < SECONDS_BELOW {
        number * 1000.0
    } else {
        number
    } as Millis)
}

fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

/// What a value is, in words for people.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
