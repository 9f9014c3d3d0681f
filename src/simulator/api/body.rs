//! Reading JSON bodies the way a strict vendor does: a wrong type is a 400 that names the field.

use crate::simulator::reply::Refusal;
use axum::body::Bytes;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// The object in a request's body.
pub(crate) struct Body(Map<String, Value>);

impl Body {
    /// Parses a request's body.
    pub(crate) fn parse(bytes: &Bytes) -> Result<Self, Refusal> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(map)) => Ok(Self(map)),
            Ok(_) => Err(Refusal::invalid("Request body must be a JSON object")),
            Err(why) => Err(Refusal::invalid(format!("Request body is not valid JSON: {why}"))),
        }
    }

    /// The object inside a field of another body.
    fn object(map: &Map<String, Value>) -> Self {
        Self(map.clone())
    }

    /// A field's value; null counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// The names of all fields.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// An optional string.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let wrong = || Refusal::invalid(format!("{name} must be a string"));
        self.get(name).map(|value| value.as_str().ok_or_else(wrong)).transpose()
    }

    /// A string that has to be there and not blank.
    pub(crate) fn required(&self, name: &str) -> Result<&str, Refusal> {
        match self.text(name)? {
            Some(text) if !text.trim().is_empty() => Ok(text),
            _ => Err(Refusal::invalid(format!("{name} is required"))),
        }
    }

    /// An optional whole number within bounds.
    pub(crate) fn whole(
        &self,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match value.as_u64() {
            Some(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(Refusal::invalid(format!(
                "{name} must be an integer between {} and {}",
                range.start(),
                range.end()
            ))),
        }
    }

    /// Checks an optional integer of any size.
    pub(crate) fn check_integer(&self, name: &str) -> Result<(), Refusal> {
        self.check(name, "an integer", |value| value.is_i64() || value.is_u64())
    }

    /// Checks an optional number.
    pub(crate) fn check_number(&self, name: &str) -> Result<(), Refusal> {
        self.check(name, "a number", Value::is_number)
    }

    /// Checks an optional truth value.
    pub(crate) fn check_bool(&self, name: &str) -> Result<(), Refusal> {
        self.check(name, "a boolean", Value::is_boolean)
    }

    fn check(&self, name: &str, what: &str, good: fn(&Value) -> bool) -> Result<(), Refusal> {
        match self.get(name) {
            Some(value) if !good(value) => Err(Refusal::invalid(format!("{name} must be {what}"))),
            _ => Ok(()),
        }
    }

    /// An optional array; empty when absent.
    pub(crate) fn list(&self, name: &str) -> Result<&[Value], Refusal> {
        let wrong = || Refusal::invalid(format!("{name} must be an array"));
        let list = self.get(name).map(|value| value.as_array().ok_or_else(wrong)).transpose()?;
        Ok(list.map_or(&[], Vec::as_slice))
    }

    /// The one option group that belongs to a model; empty when no options were sent.
    pub(crate) fn options(&self, group: Option<&str>, model: &str) -> Result<Self, Refusal> {
        let Some(options) = self.get("options") else {
            return Ok(Self(Map::new()));
        };
        let Some(options) = options.as_object() else {
            return Err(Refusal::invalid("options must be an object"));
        };
        if let Some(other) = options.keys().find(|name| Some(name.as_str()) != group) {
            return Err(Refusal::invalid(format!("options.{other} does not belong to {model}")));
        }
        match options.values().next() {
            None => Ok(Self(Map::new())),
            Some(Value::Object(map)) => Ok(Self::object(map)),
            Some(_) => Err(Refusal::invalid("options must hold objects")),
        }
    }

    /// The body as compact JSON text.
    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }
}
