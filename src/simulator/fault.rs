//! Faults: the grammar of `--fault`.

use super::clock::{millis_of, parse_duration, parse_signed_millis};
use super::fault_table::{FAULTS, Kind, Takes};
use super::op::{self, GROUPS, OPERATIONS, Op};
use super::rng::Rng;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What a fault was given after its `=`.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Value {
    /// Nothing.
    None,
    /// A duration in real time.
    Time(Duration),
    /// Milliseconds, of either sign.
    Offset(i64),
    /// A range of either, in milliseconds; each strike draws one of it.
    Between(i64, i64),
    /// A share between 0 and 1.
    Share(f64),
    /// A whole number; an HTTP status is one.
    Number(u64),
    /// A word.
    Text(String),
}

/// One parsed `--fault`, such as `lost-reply@uploadImage,times=1`.
#[derive(Clone, PartialEq, Debug)]
pub struct Fault {
    pub(super) text: String,
    pub(super) kind: Kind,
    pub(super) value: Value,
    pub(super) ops: Vec<Op>,
    pub(super) times: Option<u64>,
    pub(super) skip: u64,
    pub(super) probability: f64,
    /// Counted from when it was added: when it begins, and how long it is in force.
    pub(super) from: Duration,
    pub(super) lasts: Option<Duration>,
}

/// A fault that has struck.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Struck {
    pub(crate) kind: Kind,
    pub(crate) value: Value,
}

impl Value {
    /// The duration, or none at all; of a range the shortest.
    pub(crate) fn time(&self) -> Duration {
        match self {
            Value::Time(time) => *time,
            Value::Between(low, _) => Duration::from_millis(low.unsigned_abs()),
            _ => Duration::ZERO,
        }
    }

    /// The milliseconds, of either sign.
    pub(crate) fn offset(&self) -> i64 {
        match self {
            Value::Offset(offset) => *offset,
            _ => 0,
        }
    }

    /// The share, or nothing of it.
    pub(crate) fn share(&self) -> f64 {
        match self {
            Value::Share(share) => *share,
            _ => 0.0,
        }
    }

    /// The word, or an empty one.
    pub(crate) fn word(&self) -> &str {
        match self {
            Value::Text(word) => word,
            _ => "",
        }
    }

    /// What one strike gets: a range has been drawn from, everything else is as it was given.
    pub(super) fn drawn(&self, takes: Takes, dice: &mut Rng) -> Self {
        let Value::Between(low, high) = *self else {
            return self.clone();
        };
        let millis = dice.between(low as f64, high as f64).round() as i64;
        match takes {
            Takes::Offset => Value::Offset(millis),
            _ => Value::Time(Duration::from_millis(millis.unsigned_abs())),
        }
    }

    /// The number, if there is one.
    pub(crate) fn number(&self) -> Option<u64> {
        match self {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pieces = text.split(',').map(str::trim);
        let head = pieces.next().unwrap_or_default();
        // A value may hold an @ of its own, hence the last one.
        let (head, selector) = match head.rsplit_once('@') {
            Some((head, selector)) => (head, Some(selector)),
            None => (head, None),
        };
        let (name, value) = match head.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (head, None),
        };
        let Some(row) = FAULTS.iter().find(|row| row.name == name) else {
            let known: Vec<_> = FAULTS.iter().map(|row| row.name).collect();
            return Err(format!("unknown fault `{name}`; known faults: {}", known.join(", ")));
        };
        let mut fault = Fault {
            text: text.to_owned(),
            kind: row.kind,
            value: parse_value(row.name, row.takes, value)?,
            ops: parse_ops(selector.unwrap_or(row.scope))?,
            times: None,
            skip: 0,
            probability: 1.0,
            from: Duration::ZERO,
            lasts: None,
        };
        for option in pieces {
            fault.set(option)?;
        }
        Ok(fault)
    }
}

impl Fault {
    fn set(&mut self, option: &str) -> Result<(), String> {
        let expected = "expected times=N, skip=N, p=0..1, from=TIME or for=TIME";
        let bad = || format!("`{option}` in fault `{}`: {expected}", self.text);
        let (name, value) = option.split_once('=').ok_or_else(bad)?;
        match name {
            "times" => self.times = Some(value.parse().map_err(|_| bad())?),
            "skip" => self.skip = value.parse().map_err(|_| bad())?,
            "p" => {
                self.probability = value.parse().map_err(|_| bad())?;
                if !(0.0..=1.0).contains(&self.probability) {
                    return Err(bad());
                }
            }
            "from" => self.from = parse_duration(value).map_err(|_| bad())?,
            "for" => self.lasts = Some(parse_duration(value).map_err(|_| bad())?),
            _ => return Err(bad()),
        }
        Ok(())
    }
}

fn parse_value(name: &str, takes: Takes, given: Option<&str>) -> Result<Value, String> {
    let code = |text: &str| match text.parse::<u16>() {
        Ok(code) if (200..600).contains(&code) => Ok(Value::Number(u64::from(code))),
        _ => Err(format!("fault `{name}`: `{text}` is not an HTTP status between 200 and 599")),
    };
    match (takes, given) {
        (Takes::Nothing | Takes::Count | Takes::MaybeTime, None) => Ok(Value::None),
        (Takes::Nothing, Some(_)) => Err(format!("fault `{name}` takes no value")),
        (Takes::Time | Takes::MaybeTime | Takes::Offset, Some(text)) => {
            parse_time(takes, text).map_err(|why| format!("fault `{name}`: {why}"))
        }
        (Takes::Offset, None) => Err(format!("fault `{name}` needs an offset, like {name}=-30m")),
        (Takes::Share, None) => Err(format!("fault `{name}` needs a share, like {name}=0.3")),
        (Takes::Share, Some(text)) => match text.parse() {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(Value::Share(share)),
            _ => Err(format!("fault `{name}`: `{text}` is not a share between 0 and 1")),
        },
        (Takes::Time, None) => Err(format!("fault `{name}` needs a duration, like {name}=500ms")),
        (Takes::Code(default), None) => Ok(Value::Number(u64::from(default))),
        (Takes::AnyCode, None) => Err(format!("fault `{name}` needs a status, like {name}=503")),
        (Takes::Code(_) | Takes::AnyCode, Some(text)) => code(text),
        (Takes::Count, Some(text)) => match text.parse() {
            Ok(number) => Ok(Value::Number(number)),
            Err(_) => Err(format!("fault `{name}`: `{text}` is not a whole number")),
        },
        (Takes::Word(default), None) => Ok(Value::Text(default.to_owned())),
        (Takes::Word(_), Some(text)) => Ok(Value::Text(text.to_owned())),
        (Takes::OneOf(words), given) => {
            let word = given.or(words.first().copied()).unwrap_or_default();
            match words.contains(&word) {
                true => Ok(Value::Text(word.to_owned())),
                false => {
                    let words = words.join(", ");
                    Err(format!("fault `{name}`: `{word}` is not one of {words}"))
                }
            }
        }
    }
}

/// A duration, an offset, or a range of them.
fn parse_time(takes: Takes, text: &str) -> Result<Value, String> {
    let millis = |text: &str| match takes {
        Takes::Offset => parse_signed_millis(text),
        _ => parse_duration(text).map(millis_of),
    };
    if let Some((low, high)) = text.split_once("..") {
        let (low, high) = (millis(low)?, millis(high)?);
        return match low <= high {
            true => Ok(Value::Between(low, high)),
            false => Err(format!("`{text}` ends before it begins")),
        };
    }
    match takes {
        Takes::Offset => millis(text).map(Value::Offset),
        _ => parse_duration(text).map(Value::Time),
    }
}

fn parse_ops(selector: &str) -> Result<Vec<Op>, String> {
    let mut ops = Vec::new();
    for word in selector.split('+') {
        let Some(found) = op::select(word.trim()) else {
            let known: Vec<_> = OPERATIONS.iter().map(|row| row.name).collect();
            return Err(format!(
                "unknown endpoint `{word}`; known endpoints: {}, {}",
                GROUPS.join(", "),
                known.join(", ")
            ));
        };
        ops.extend(found);
    }
    Ok(ops)
}
