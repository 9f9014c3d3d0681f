//! Typed reading of TOML tables; every fault is noted with its place and reading goes on.

use super::diagnostic::{Faults, Span};
use serde_json::{Map, Number, Value};
use std::collections::BTreeSet;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

/// One table and what has been found wrong with it.
pub(super) struct Reader<'a, 'i> {
    table: &'a DeTable<'i>,
    span: Span,
    /// Begins every message, for example "step `hero`".
    label: String,
    faulty: BTreeSet<String>,
    faults: &'a mut Faults,
}

impl<'a, 'i> Reader<'a, 'i> {
    pub(super) fn new(
        table: &'a DeTable<'i>,
        span: Span,
        label: String,
        faults: &'a mut Faults,
    ) -> Self {
        Self { table, span, label, faulty: BTreeSet::new(), faults }
    }

    /// The keys of the table with their places, in the order of the file.
    pub(super) fn keys(&self) -> Vec<(&'a str, Span)> {
        let mut keys: Vec<_> =
            self.table.keys().map(|key| (key.get_ref().as_ref(), key.span())).collect();
        keys.sort_by_key(|(_, span)| span.start);
        keys
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Notes a fault of one field; later faults found by other rules in it are then noise.
    pub(super) fn fault(&mut self, field: &str, message: impl AsRef<str>) {
        let root = root_of(field);
        self.faulty.insert(root.to_owned());
        let span = self.locate(field);
        self.fault_at(span, message);
    }

    /// Notes a fault at a place.
    pub(super) fn fault_at(&mut self, span: Span, message: impl AsRef<str>) {
        let message = format!("{}: {}", self.label, message.as_ref());
        self.faults.add(span, message);
    }

    /// Whether the field already has a fault.
    pub(super) fn is_faulty(&self, field: &str) -> bool {
        self.faulty.contains(root_of(field))
    }

    /// The place of `options.veo.duration` or `references[2]`: as deep as the file goes, and the
    /// table's own place when it does not have the field at all.
    pub(super) fn locate(&self, field: &str) -> Span {
        let mut span = self.span.clone();
        let mut level: Option<&Spanned<DeValue<'_>>> = None;
        for part in field.split(['.', '[']) {
            let next = match (level, part.strip_suffix(']')) {
                (None, _) => self.table.get(part),
                (Some(value), Some(index)) => {
                    index.parse::<usize>().ok().and_then(|index| value.get_ref().get(index))
                }
                (Some(value), None) => value.get_ref().get(part),
            };
            let Some(next) = next else { break };
            span = next.span();
            level = Some(next);
        }
        span
    }

    fn wrong_type(&mut self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let got = value.get_ref().type_str();
        self.fault(key, format!("`{key}` must be {wanted}, not of type {got}"));
    }

    /// A text, when given.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let value = self.table.get(key)?;
        let text = value.get_ref().as_str().map(str::to_owned);
        if text.is_none() {
            self.wrong_type(key, value, "a text in quotes");
        }
        text
    }

    /// A text that must be given; `hint` says what to write.
    pub(super) fn required_text(&mut self, key: &str, hint: &str) -> Option<String> {
        self.require(key, hint)?;
        self.text(key)
    }

    fn require(&mut self, key: &str, hint: &str) -> Option<()> {
        if self.has(key) {
            return Some(());
        }
        self.fault(key, format!("`{key}` is missing: {hint}"));
        None
    }

    /// A whole number, when given.
    pub(super) fn integer(&mut self, key: &str) -> Option<i64> {
        let value = self.table.get(key)?;
        let number = value.get_ref().as_integer().map(parse_integer);
        match number {
            None => self.wrong_type(key, value, "a whole number"),
            Some(None) => self.fault(key, format!("`{key}` is too large: write a smaller number")),
            Some(Some(_)) => {}
        }
        number.flatten()
    }

    /// A whole number from 0, when given.
    pub(super) fn count(&mut self, key: &str) -> Option<u32> {
        let number = self.integer(key)?;
        let count = u32::try_from(number).ok();
        if count.is_none() {
            self.fault(key, format!("`{key}` cannot be {number}: write a number from 1"));
        }
        count
    }

    /// A whole number from 0 that must be given.
    pub(super) fn required_count(&mut self, key: &str, hint: &str) -> Option<u32> {
        self.require(key, hint)?;
        self.count(key)
    }

    /// A list of texts with their places, when given.
    pub(super) fn texts(&mut self, key: &str) -> Vec<(String, Span)> {
        let Some(value) = self.table.get(key) else {
            return Vec::new();
        };
        let Some(items) = value.get_ref().as_array() else {
            self.wrong_type(key, value, "a list of texts");
            return Vec::new();
        };
        let mut texts = Vec::new();
        for (n, item) in items.iter().enumerate() {
            match item.get_ref().as_str() {
                Some(text) => texts.push((text.to_owned(), item.span())),
                None => self.fault(&format!("{key}[{n}]"), format!("`{key}` holds texts only")),
            }
        }
        texts
    }

    /// Any value as JSON, when given.
    pub(super) fn json(&mut self, key: &str) -> Option<Value> {
        let value = self.table.get(key)?;
        match to_json(value) {
            Ok(json) => Some(json),
            Err((span, message)) => {
                self.faulty.insert(key.to_owned());
                self.fault_at(span, format!("`{key}`: {message}"));
                None
            }
        }
    }

    /// A table as JSON, when given.
    pub(super) fn json_table(&mut self, key: &str) -> Option<Map<String, Value>> {
        let value = self.table.get(key)?;
        if !value.get_ref().is_table() {
            self.wrong_type(key, value, "a table, such as { name = 1 }");
            return None;
        }
        match self.json(key) {
            Some(Value::Object(map)) => Some(map),
            _ => None,
        }
    }
}

fn root_of(field: &str) -> &str {
    field.split(['.', '[']).next().unwrap_or(field)
}

fn parse_integer(integer: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// TOML to JSON; the parser bounds the depth.
fn to_json(value: &Spanned<DeValue<'_>>) -> Result<Value, (Span, &'static str)> {
    let fault = |message| (value.span(), message);
    Ok(match value.get_ref() {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Boolean(yes) => Value::from(*yes),
        DeValue::Integer(integer) => {
            let number = parse_integer(integer);
            Value::from(number.ok_or(fault("this number is too large: write a smaller one"))?)
        }
        DeValue::Float(float) => {
            let number = float.as_str().parse().ok().and_then(Number::from_f64);
            Value::Number(number.ok_or(fault("the vendor takes finite numbers only"))?)
        }
        DeValue::Datetime(_) => return Err(fault("write a date or time as a text in quotes")),
        DeValue::Array(items) => Value::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        DeValue::Table(table) => {
            let entry = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, _)| {
                Ok((key.get_ref().to_string(), to_json(value)?))
            };
            Value::Object(table.iter().map(entry).collect::<Result<_, _>>()?)
        }
    })
}
