//! What is printed and kept: a figure, the limit it is held against, and whether that is enough.

use crate::{Result, proc};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What a figure, or its ratio to the limit, has to be.
#[derive(Clone, Copy)]
enum Target {
    AtLeast(f64),
    AtMost(f64),
}

/// One measured value.
pub(crate) struct Figure {
    metric: String,
    unit: &'static str,
    ours: f64,
    limit: Option<(&'static str, f64)>,
    target: Option<Target>,
    note: String,
}

impl Figure {
    pub(crate) fn new(metric: impl Into<String>, unit: &'static str, ours: f64) -> Self {
        let metric = metric.into();
        Self { metric, unit, ours, limit: None, target: None, note: String::new() }
    }

    /// The value that is the best possible, or a peer's, taken in the same run; the target is then
    /// one for the ratio.
    pub(crate) fn against(mut self, name: &'static str, limit: f64) -> Self {
        self.limit = Some((name, limit));
        self
    }

    pub(crate) fn at_least(mut self, value: f64) -> Self {
        self.target = Some(Target::AtLeast(value));
        self
    }

    pub(crate) fn at_most(mut self, value: f64) -> Self {
        self.target = Some(Target::AtMost(value));
        self
    }

    /// Under which conditions it was taken.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    fn ratio(&self) -> Option<f64> {
        self.limit.map(|(_, limit)| self.ours / limit)
    }

    fn json(&self) -> Value {
        let judged = self.ratio().unwrap_or(self.ours);
        let (target, met) = match self.target {
            None => (Value::Null, Value::Null),
            Some(Target::AtLeast(least)) => {
                (format!(">= {}", short(least)).into(), (judged >= least).into())
            }
            Some(Target::AtMost(most)) => {
                (format!("<= {}", short(most)).into(), (judged <= most).into())
            }
        };
        json!({
            "metric": self.metric, "unit": self.unit, "ours": self.ours,
            "against": self.limit.map(|(name, _)| name), "limit": self.limit.map(|(_, value)| value),
            "ratio": self.ratio(), "target": target, "met": met, "note": self.note,
        })
    }
}

/// Collects the figures of one benchmark after the other.
pub(crate) struct Report {
    folder: PathBuf,
    machine: Value,
    quick: bool,
    kept: Vec<Value>,
}

impl Report {
    pub(crate) fn new(folder: &Path, quick: bool) -> Result<Self> {
        Ok(Self { folder: folder.to_owned(), machine: machine(folder)?, quick, kept: Vec::new() })
    }

    /// Prints a figure and remembers it.
    pub(crate) fn add(&mut self, figure: Figure) {
        let line = figure.json();
        println!("  {}", words(&line));
        self.kept.push(line);
    }

    /// Writes what was collected since the last time to `NAME.json`, one figure a line.
    pub(crate) fn close(&mut self, name: &str) -> Result<()> {
        let mut file = std::fs::File::create(self.folder.join(format!("{name}.json")))?;
        let at = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        for mut line in self.kept.drain(..) {
            line["bench"] = name.into();
            line["at"] = at.clone().into();
            line["quick"] = self.quick.into();
            line["machine"] = self.machine.clone();
            writeln!(file, "{line}")?;
        }
        Ok(())
    }
}

/// Cores, kernel and file system: what a figure depends on. Nothing that names the machine.
fn machine(folder: &Path) -> Result<Value> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let numbers: String = kernel.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let cores = std::thread::available_parallelism()?.get();
    Ok(json!({ "cores": cores, "kernel": numbers.trim_end_matches('.'),
        "filesystem": proc::filesystem(folder).unwrap_or_else(|| "unknown".to_owned()) }))
}

/// A number with as many digits as mean something.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn number(value: &Value) -> String {
    value.as_f64().map(short).unwrap_or_default()
}

fn verdict(line: &Value) -> &'static str {
    match line["met"].as_bool() {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "",
    }
}

/// A figure as a sentence for the terminal.
fn words(line: &Value) -> String {
    let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let mut out = format!("{}: {} {}", text("metric"), number(&line["ours"]), text("unit"));
    if !line["limit"].is_null() {
        let (limit, ratio) = (number(&line["limit"]), number(&line["ratio"]));
        out += &format!("; {} {limit}, ratio {ratio}", text("against"));
    }
    if let Some(target) = line["target"].as_str() {
        out += &format!("; target {target}: {}", verdict(line).trim_matches('*'));
    }
    match text("note") {
        note if note.is_empty() => out,
        note => format!("{out} ({note})"),
    }
}

/// Everything that is kept in `folder`, as the tables of docs/performance.md.
pub(crate) fn tables(folder: &Path, order: &[&str]) -> Result<String> {
    let mut out = String::new();
    for name in order {
        let Ok(text) = std::fs::read_to_string(folder.join(format!("{name}.json"))) else {
            continue;
        };
        let lines: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let Some(first) = lines.first() else {
            continue;
        };
        let machine = &first["machine"];
        let quick = if first["quick"] == true { ", quick (smaller sizes)" } else { "" };
        out += &format!(
            "### {name}\n\nTaken {}, {} cores, Linux {}, {}{quick}.\n\n",
            first["at"].as_str().unwrap_or_default().get(..10).unwrap_or_default(),
            machine["cores"],
            machine["kernel"].as_str().unwrap_or_default(),
            machine["filesystem"].as_str().unwrap_or_default(),
        );
        out +=
            "| metric | ours | limit or peer | ratio | target | met |\n|---|---|---|---|---|---|\n";
        for line in &lines {
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            let note = Some(text("note")).filter(|note| !note.is_empty());
            let metric = note.map_or(text("metric"), |note| format!("{} ({note})", text("metric")));
            let limit = format!("{} {}", number(&line["limit"]), text("against"));
            out += &format!(
                "| {metric} | {} {} | {} | {} | {} | {} |\n",
                number(&line["ours"]),
                text("unit"),
                limit.trim(),
                number(&line["ratio"]),
                text("target"),
                verdict(line),
            );
        }
        out += "\n";
    }
    Ok(out)
}
