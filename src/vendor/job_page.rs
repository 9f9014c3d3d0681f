//! One page of the job list (vendor-api.md 2.15), and in which form it came. "There is no such job"
//! rests on it, so whatever is neither a list of entries nor plainly nothing is a failed read.

use super::lenient::kind;
use super::wire::{ListedJob, Wire, decode, result_of};
use serde_json::{Map, Number, Value};

/// Where the vendor says how the list goes on.
const TOKEN: &str = "nextPageToken";

/// Above this, the text of a number that is no integer of ours is not the one that was sent.
const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;

/// One page of the job list. One unreadable entry fails the page: "no such job" may only be said
/// of a list that was read completely.
#[derive(Clone, Debug, PartialEq)]
pub struct JobPage {
    /// The entries; order undocumented.
    pub jobs: Vec<ListedJob>,
    /// Absent on the last page.
    pub next_page_token: Option<String>,
    /// Whether there was a list at all.
    pub form: PageForm,
}

/// In which form a page of the job list came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageForm {
    /// A list where the reference has one, empty or not.
    Array,
    /// An `OK` with nothing in the place of the list: `result` is `{}`, `[]`, null or missing, or
    /// `result.jobs` is null or missing. Some vendors write an empty list so, and a broken one
    /// looks the same: whether it may be believed depends on what was ever listed.
    Blank,
}

impl JobPage {
    /// A page that nobody was asked for, after the last one.
    pub(super) fn none() -> Self {
        Self { jobs: Vec::new(), next_page_token: None, form: PageForm::Array }
    }
}

impl Wire for JobPage {
    fn from_envelope(mut envelope: Map<String, Value>) -> Result<Self, String> {
        let beside = token(envelope.remove(TOKEN), TOKEN)?;
        let mut result = match result_of(&mut envelope) {
            Value::Object(result) => result,
            Value::Null => Map::new(),
            Value::Array(entries) if entries.is_empty() => Map::new(),
            Value::Array(_) => return Err(misplaced("result")),
            other => return Err(format!("result: expected an object, found {}", kind(&other))),
        };
        let within = token(result.remove(TOKEN), "result.nextPageToken")?;
        let next_page_token = match (within, beside) {
            (Some(within), Some(beside)) if within != beside => {
                return Err("nextPageToken: not the same as the one in result".to_owned());
            }
            (within, beside) => within.or(beside),
        };
        match result.remove("jobs") {
            Some(entries @ Value::Array(_)) => {
                let jobs = decode(entries, "result.jobs")?;
                Ok(Self { jobs, next_page_token, form: PageForm::Array })
            }
            None | Some(Value::Null) => {
                must_be_blank(&envelope, &result, next_page_token.as_deref())?;
                Ok(Self { jobs: Vec::new(), next_page_token: None, form: PageForm::Blank })
            }
            Some(other) => {
                Err(format!("result.jobs: expected a list of entries, found {}", kind(&other)))
            }
        }
    }
}

/// Nothing in the place of the list is a blank page only beside an explicit `OK`, and only if
/// nothing else says that there are jobs: entries in another place, or a further page.
fn must_be_blank(
    envelope: &Map<String, Value>,
    result: &Map<String, Value>,
    next: Option<&str>,
) -> Result<(), String> {
    if !envelope.contains_key("status") {
        return Err("result.jobs: missing, and so is the status".to_owned());
    }
    if next.is_some() {
        return Err("result.jobs: missing, although the list goes on".to_owned());
    }
    for (place, fields) in [("result.", result), ("", envelope)] {
        if let Some((name, _)) = fields.iter().find(|(_, value)| holds_entries(value)) {
            return Err(misplaced(&format!("{place}{name}")));
        }
    }
    Ok(())
}

/// Whether there is a list with something in it, however deep.
fn holds_entries(value: &Value) -> bool {
    match value {
        Value::Array(entries) => !entries.is_empty(),
        Value::Object(fields) => fields.values().any(holds_entries),
        _ => false,
    }
}

fn misplaced(place: &str) -> String {
    format!("{place}: a list of entries, which belongs into result.jobs")
}

/// A token as the text that is sent back. What cannot be sent back as it came must not look like
/// the end of the list.
fn token(value: Option<Value>, place: &str) -> Result<Option<String>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok((!text.trim().is_empty()).then_some(text)),
        Some(Value::Number(number)) if is_exact(&number) => Ok(Some(number.to_string())),
        Some(Value::Number(_)) => {
            Err(format!("{place}: the number is too large to be passed on exactly"))
        }
        Some(other) => Err(format!("{place}: expected text, found {}", kind(&other))),
    }
}

/// Integers of up to 64 bits are kept exactly; a longer one has become a float, with other digits.
fn is_exact(number: &Number) -> bool {
    !number.is_f64() || number.as_f64().is_some_and(|float| float.abs() < EXACT_BELOW)
}
