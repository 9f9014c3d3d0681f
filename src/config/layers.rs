//! Values on top of each other: default, file, environment, flags.

use super::env::{Env, Flags};
use super::report::{ConfigError, Origin, Problem, Problems, Source};
use super::schema::{Config, KEYS, Key, PREFIX, find};
use super::value::Kind;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// The text of every key, in the order of [`KEYS`], and where each came from.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) values: Vec<Value>,
}

/// Nothing: a text may be a proxy with its password.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

#[derive(Clone)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) origin: Origin,
    /// The bytes of the value in the file.
    span: Option<Range<usize>>,
}

impl Sources {
    pub(super) fn defaults() -> Self {
        let value =
            |key: &Key| Value { text: key.default.to_owned(), origin: Origin::Default, span: None };
        Self { values: KEYS.iter().map(value).collect() }
    }
}

/// Short names for keys that are often set from outside. The long form wins over them.
const SHORT_NAMES: [(&str, &str, &str); 2] =
    [("PHOTOGPT_BASE_URL", "vendor", "base_url"), ("DARKROOM_LISTEN", "daemon", "listen")];

/// Collects values and problems until all layers are in.
pub(super) struct Layers<'a> {
    sources: Sources,
    problems: Problems,
    source: Option<Source<'a>>,
}

impl<'a> Layers<'a> {
    pub(super) fn new(source: Option<Source<'a>>) -> Self {
        Self { sources: Sources::defaults(), problems: Problems::default(), source }
    }

    /// Takes the layers in their order and builds the configuration.
    pub(super) fn load(mut self, flags: &Flags, env: &Env) -> Result<Config, ConfigError> {
        if let Some(source) = self.source {
            self.file(source);
            self.problems.sort();
        }
        self.environment(env);
        for (key, flag, text) in &flags.values {
            let origin = Origin::Flag((*flag).to_owned());
            match key.split_once('.').and_then(|(section, name)| find(section, name)) {
                Some((index, _)) => self.set(index, text.clone(), origin, None),
                None => self.problems.push(Problem::new(origin, format!("sets no key `{key}`"))),
            }
        }
        self.problems.into_result()?;
        let config = Config::parse(self.sources)
            .map_err(|message| Problem::new("configuration", message))?;
        check_together(&config, self.source)?;
        Ok(config)
    }

    fn set(&mut self, index: usize, text: String, origin: Origin, span: Option<Range<usize>>) {
        match (KEYS[index].check)(&text) {
            Ok(()) => self.sources.values[index] = Value { text, origin, span },
            Err(message) => {
                let value = Value { text, origin, span };
                self.problems.push(problem(self.source, &value, message));
            }
        }
    }

    fn environment(&mut self, env: &Env) {
        for (name, section, key) in SHORT_NAMES {
            if let Some((index, _)) = find(section, key) {
                self.variable(env, name, index);
            }
        }
        for name in env.names(PREFIX) {
            match KEYS.iter().position(|key| key.variable() == name) {
                Some(index) => self.variable(env, name, index),
                None => self.problems.push(unknown_variable(name)),
            }
        }
    }

    fn variable(&mut self, env: &Env, name: &str, index: usize) {
        match env.text(name) {
            Ok(Some(text)) => {
                let text = text.trim().to_owned();
                self.set(index, text, Origin::Env(name.to_owned()), None);
            }
            // An empty long form means an empty value, which takes back what the file says.
            Ok(None) if name.starts_with(PREFIX) => {
                self.set(index, String::new(), Origin::Env(name.to_owned()), None);
            }
            Ok(None) => {}
            Err(problem) => self.problems.push(problem),
        }
    }

    fn file(&mut self, source: Source<'_>) {
        let document = match DeTable::parse(source.text) {
            Ok(document) => document,
            Err(error) => {
                let span = error.span().unwrap_or(0..0);
                let message = error.message().to_owned();
                return self.problems.push(Problem::in_file(source, span, message));
            }
        };
        for (name, value) in document.get_ref() {
            let (section, span) = (name.get_ref().as_ref(), name.span());
            match value.get_ref() {
                _ if is_api_key(section) => self.problems.push(api_key_in_file(source, span)),
                DeValue::Table(table) if KEYS.iter().any(|key| key.section == section) => {
                    self.section(source, section, table);
                }
                other => {
                    let problem = unknown_section(source, section, span, other.is_table());
                    self.problems.push(problem);
                }
            }
        }
    }

    fn section(&mut self, source: Source<'_>, section: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let (name, name_span) = (name.get_ref().as_ref(), name.span());
            let Some((index, key)) = find(section, name) else {
                self.problems.push(if is_api_key(name) {
                    api_key_in_file(source, name_span)
                } else {
                    unknown_key(source, section, name, name_span)
                });
                continue;
            };
            let (line, _) = source.position(value.span().start);
            let origin = Origin::File(source.path.to_owned(), line);
            match text_of(key, value.get_ref()) {
                Ok(text) => self.set(index, text, origin, Some(value.span())),
                Err(message) => {
                    self.problems.push(Problem::in_file(source, value.span(), message));
                }
            }
        }
    }
}

/// A problem of a value, at the place where it was set.
fn problem(source: Option<Source<'_>>, value: &Value, message: String) -> Problem {
    match (source, &value.span) {
        (Some(source), Some(span)) => Problem::in_file(source, span.clone(), message),
        _ => Problem::new(&value.origin, message),
    }
}

/// The rules that need more than one value, or that not every value of a type has.
fn check_together(config: &Config, source: Option<Source<'_>>) -> Result<(), ConfigError> {
    let mut problems = Problems::default();
    let mut report = |section: &str, name: &str, message: &str| {
        let value = find(section, name).and_then(|(index, _)| config.sources.values.get(index));
        if let Some(value) = value {
            problems.push(problem(source, value, message.to_owned()));
        }
    };
    if !config.daemon.listen.ip().is_loopback() && !config.daemon.allow_remote {
        let message = "other machines could reach this address; if that is meant, also set \
                       `allow_remote = true` in [daemon] (DARKROOM__DAEMON__ALLOW_REMOTE=true, or \
                       `darkroom serve --allow-remote`)";
        report("daemon", "listen", message);
    }
    let (vendor, poll) = (&config.vendor, &config.poll);
    for (section, name, duration) in [
        ("vendor", "request_timeout", vendor.request_timeout),
        ("vendor", "connect_timeout", vendor.connect_timeout),
        ("poll", "training", poll.training),
        ("poll", "job", poll.job),
        ("poll", "download", poll.download),
        ("sweep", "every", config.sweep.every),
        ("outputs", "give_up_after", config.outputs.give_up_after),
    ] {
        if duration.is_zero() {
            report(section, name, "must be longer than 0");
        }
    }
    problems.into_result()
}

/// A value of the file as the text that the environment would hold.
fn text_of(key: &Key, value: &DeValue<'_>) -> Result<String, String> {
    let found = match (key.kind, value) {
        (Kind::Text | Kind::TextOrSwitch, DeValue::String(text)) => return Ok(text.to_string()),
        (Kind::Switch | Kind::TextOrSwitch, DeValue::Boolean(on)) => return Ok(on.to_string()),
        (Kind::Number, DeValue::Integer(number)) => {
            let wrong = |_| "the number is too large".to_owned();
            let number = i64::from_str_radix(number.as_str(), number.radix()).map_err(wrong)?;
            return Ok(number.to_string());
        }
        (Kind::List, DeValue::Array(items)) => {
            let texts: Option<Vec<&str>> = items
                .iter()
                .map(|item| item.get_ref().as_str().filter(|t| !t.contains(',')))
                .collect();
            match texts {
                Some(texts) => return Ok(texts.join(",")),
                None => "a list with something else in it",
            }
        }
        (_, DeValue::String(_)) => "text in quotes",
        (_, DeValue::Integer(_) | DeValue::Float(_)) => "a number",
        (_, DeValue::Boolean(_)) => "true or false",
        (_, DeValue::Array(_)) => "a list",
        (_, DeValue::Table(_)) => "a section",
        (_, DeValue::Datetime(_)) => "a date",
    };
    let wanted = match key.kind {
        Kind::Text => "text in quotes",
        Kind::Number => "a whole number without quotes",
        Kind::Switch => "true or false, without quotes",
        Kind::TextOrSwitch => "\"auto\", true or false",
        Kind::List => "a list of texts, as in [\"one\", \"two\"]",
    };
    let example = match key.default {
        "" => String::new(),
        _ if key.kind == Kind::Text => format!(", as in \"{}\"", key.default),
        _ => String::new(),
    };
    Err(format!("`{}` must be {wanted}{example}; this is {found}", key.path()))
}

fn is_api_key(name: &str) -> bool {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    letters.to_ascii_lowercase().ends_with("apikey")
}

const WHERE_THE_KEY_GOES: &str = "set PHOTOGPT_API_KEY, or let `api_key_file` in [vendor] name a \
                                  file that holds it, or use the systemd credential \
                                  photogpt_api_key";

fn api_key_in_file(source: Source<'_>, span: Range<usize>) -> Problem {
    let message = "the API key does not belong in the configuration file";
    Problem::in_file(source, span, message.to_owned()).help(WHERE_THE_KEY_GOES)
}

fn unknown_variable(name: &str) -> Problem {
    if is_api_key(name) {
        return Problem::new(name, "the API key is not a configuration value")
            .help(WHERE_THE_KEY_GOES);
    }
    let known: Vec<String> = KEYS.iter().map(Key::variable).collect();
    let problem = Problem::new(name, "no key has this variable");
    match nearest(name, known.iter().map(String::as_str)) {
        Some((near, _)) => problem.help(format!("did you mean {near}?")),
        None => problem,
    }
}

fn unknown_section(source: Source<'_>, name: &str, span: Range<usize>, is_table: bool) -> Problem {
    let mut sections: Vec<&str> = KEYS.iter().map(|key| key.section).collect();
    sections.dedup();
    let (message, help) = if sections.contains(&name) {
        (format!("`{name}` is a section"), format!("write [{name}] and its keys below it"))
    } else if let (false, Some(key)) = (is_table, KEYS.iter().find(|key| key.name == name)) {
        (
            format!("`{name}` stands outside of a section"),
            format!("move it below [{}]", key.section),
        )
    } else {
        let kind = if is_table { "section" } else { "key" };
        let help = match nearest(name, sections.iter().copied()) {
            Some((near, true)) if is_table => format!("did you mean [{near}]?"),
            _ => format!("the sections are {}", sections.join(", ")),
        };
        (format!("there is no {kind} `{name}`"), help)
    };
    Problem::in_file(source, span, message).help(help)
}

fn unknown_key(source: Source<'_>, section: &str, name: &str, span: Range<usize>) -> Problem {
    let own: Vec<&str> =
        KEYS.iter().filter(|key| key.section == section).map(|key| key.name).collect();
    let help = if let Some(key) = KEYS.iter().find(|key| key.name == name) {
        format!("`{name}` belongs below [{}]", key.section)
    } else if let Some((near, true)) = nearest(name, own.iter().copied()) {
        format!("did you mean `{near}`?")
    } else if let Some((near, true)) = nearest(name, KEYS.iter().map(|key| key.name)) {
        let home = KEYS.iter().find(|key| key.name == near).map_or("", |key| key.section);
        format!("did you mean `{near}` below [{home}]?")
    } else {
        format!("the keys are {}", own.join(", "))
    };
    Problem::in_file(source, span, format!("[{section}] has no key `{name}`")).help(help)
}

/// The known name that is most like `name`, and whether it is so alike that it must be meant.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<(&'a str, bool)> {
    known
        .map(|candidate| (candidate, strsim::jaro_winkler(name, candidate)))
        .max_by(|one, other| one.1.total_cmp(&other.1))
        .map(|(candidate, likeness)| (candidate, likeness > 0.75))
}

/// Reads the file at `path`; `None` when it does not exist and `named_by` nobody.
pub(super) fn read_file(
    path: &Path,
    named_by: Option<&str>,
) -> Result<Option<String>, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named_by.is_none() => {
            Ok(None)
        }
        Err(error) => {
            let place = named_by.unwrap_or("configuration file");
            let message = format!("`{}` cannot be read: {error}", path.display());
            Err(Problem::new(place, message).into())
        }
    }
}
