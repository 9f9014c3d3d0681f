//! Faults: the grammar of `--fault`, and which of them strike a given call.

use super::clock::parse_duration;
use super::fault_table::{FAULTS, Kind, Phase, Takes};
use super::op::{self, GROUPS, OPERATIONS, Op};
use super::rng::Rng;
use serde_json::{Value as Json, json};
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
    /// A whole number; an HTTP status is one.
    Number(u64),
    /// A word.
    Text(String),
}

/// One parsed `--fault`, such as `lost-reply@uploadImage,times=1`.
#[derive(Clone, PartialEq, Debug)]
pub struct Fault {
    text: String,
    kind: Kind,
    value: Value,
    ops: Vec<Op>,
    times: Option<u64>,
    skip: u64,
    probability: f64,
}

/// A fault that has struck.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Struck {
    pub(crate) kind: Kind,
    pub(crate) value: Value,
}

impl Value {
    /// The duration, or none at all.
    pub(crate) fn time(&self) -> Duration {
        match self {
            Value::Time(time) => *time,
            _ => Duration::ZERO,
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
        };
        for option in pieces {
            fault.set(option)?;
        }
        Ok(fault)
    }
}

impl Fault {
    fn set(&mut self, option: &str) -> Result<(), String> {
        let bad =
            || format!("`{option}` in fault `{}`: expected times=N, skip=N or p=0..1", self.text);
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
        (Takes::Nothing, None) | (Takes::Count, None) => Ok(Value::None),
        (Takes::Nothing, Some(_)) => Err(format!("fault `{name}` takes no value")),
        (Takes::Time, Some(text)) => match parse_duration(text) {
            Ok(time) => Ok(Value::Time(time)),
            Err(why) => Err(format!("fault `{name}`: {why}")),
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

/// The faults in force, with how often each has struck.
#[derive(Debug)]
pub(crate) struct Faults {
    active: Vec<Active>,
    rng: Rng,
}

#[derive(Debug)]
struct Active {
    fault: Fault,
    seen: u64,
    struck: u64,
}

impl Faults {
    /// These faults, with dice of their own so that other randomness cannot disturb them.
    pub(crate) fn new(faults: &[Fault], seed: u64) -> Self {
        let mut all = Self { active: Vec::new(), rng: Rng::new(seed ^ 0xFA17) };
        faults.iter().cloned().for_each(|fault| all.add(fault));
        all
    }

    /// Adds one.
    pub(crate) fn add(&mut self, fault: Fault) {
        self.active.push(Active { fault, seen: 0, struck: 0 });
    }

    /// Removes all.
    pub(crate) fn clear(&mut self) {
        self.active.clear();
    }

    /// Whether a fault of this kind strikes now; the first that does is used up once.
    pub(crate) fn strike(&mut self, kind: Kind, op: Op) -> Option<Value> {
        let Self { active, rng } = self;
        let mut matching = active.iter_mut().filter(|each| each.fault.kind == kind);
        matching.find_map(|each| each.strikes(op, rng).then(|| each.fault.value.clone()))
    }

    /// The faults of this phase that strike this call, in the order they were given. The first one
    /// that settles the call is the last: what comes after it is kept for another call.
    pub(crate) fn strike_all(&mut self, phase: Phase, op: Op) -> Vec<Struck> {
        let Self { active, rng } = self;
        let mut struck = Vec::new();
        for each in active.iter_mut().filter(|each| each.fault.kind.row().phase == phase) {
            if each.strikes(op, rng) {
                struck.push(Struck { kind: each.fault.kind, value: each.fault.value.clone() });
                if each.fault.kind.settles() {
                    break;
                }
            }
        }
        struck
    }

    /// The value of the first fault of this kind, wherever it applies, without using it up.
    pub(crate) fn peek(&self, kind: Kind) -> Option<&Value> {
        self.active.iter().find(|each| each.fault.kind == kind).map(|each| &each.fault.value)
    }

    /// For `/_sim/faults`: each with how many calls it matched and how many it struck.
    pub(crate) fn report(&self) -> Json {
        let each = |active: &Active| json!({ "fault": active.fault.text, "matched": active.seen, "struck": active.struck });
        self.active.iter().map(each).collect()
    }
}

impl Active {
    fn strikes(&mut self, op: Op, rng: &mut Rng) -> bool {
        if !self.fault.ops.contains(&op) || self.fault.times.is_some_and(|n| self.struck >= n) {
            return false;
        }
        self.seen += 1;
        if self.seen <= self.fault.skip {
            return false;
        }
        // Certain faults must not consume dice: adding one would reshuffle the others.
        let strikes = self.fault.probability >= 1.0 || rng.unit() < self.fault.probability;
        self.struck += u64::from(strikes);
        strikes
    }
}
