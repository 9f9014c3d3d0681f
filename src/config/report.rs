//! What is wrong with a configuration, and where.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file and the line, counted from 1.
    File(PathBuf, usize),
    /// The environment variable of this name.
    Env(String),
    /// The command-line flag of this name, dashes included.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Env(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Everything that is wrong with a configuration, in the order in which it was found.
///
/// It displays as one paragraph per problem: place and message, then (for a file) the line with a
/// caret, then `help:` where there is something to suggest. Values that could be a key are left
/// out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.problems.join("\n\n"))]
pub struct ConfigError {
    problems: Vec<String>,
}

impl ConfigError {
    /// The problems, each ready to print.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem.to_string()] }
    }
}

/// One problem: a message, perhaps a place, perhaps a suggestion.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    place: String,
    /// Where in the file, in bytes.
    offset: usize,
    message: String,
    snippet: String,
    help: Option<String>,
}

impl Problem {
    /// A problem of a flag, a variable or a path, which `place` names.
    pub(super) fn new(place: impl fmt::Display, message: impl Into<String>) -> Self {
        Self {
            place: place.to_string(),
            offset: 0,
            message: message.into(),
            snippet: String::new(),
            help: None,
        }
    }

    /// A problem of the bytes `span` of a file.
    pub(super) fn in_file(source: Source<'_>, span: Range<usize>, message: String) -> Self {
        let (line, column) = source.position(span.start);
        Self {
            place: format!("{}:{line}:{column}", source.path.display()),
            offset: span.start,
            message,
            snippet: source.snippet(span),
            help: None,
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}{}", self.place, self.message, self.snippet)?;
        match &self.help {
            Some(help) => write!(f, "\nhelp: {help}"),
            None => Ok(()),
        }
    }
}

/// Problems as they are found.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Puts the problems of a file into the order of its lines.
    pub(super) fn sort(&mut self) {
        self.0.sort_by_key(|problem| problem.offset);
    }

    pub(super) fn into_result(self) -> Result<(), ConfigError> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(ConfigError { problems: self.0.iter().map(Problem::to_string).collect() })
    }
}

/// A configuration file's path and text.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// Line and column of a byte offset, both counted from 1, the column in characters.
    pub(super) fn position(self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
    }

    /// The first line of `span` with carets under it; a value that may be secret is cut off.
    fn snippet(self, span: Range<usize>) -> String {
        let (number, column) = self.position(span.start);
        let line = self.text.lines().nth(number - 1).unwrap_or_default();
        let shown = shown(line);
        let marked = self.text.get(span).unwrap_or_default().lines().next().unwrap_or_default();
        let room = shown.chars().count().saturating_sub(column - 1);
        let carets = "^".repeat(marked.chars().count().min(room).max(1));
        // Tabs are kept so that the carets stand under what they mark.
        let indent: String =
            line.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let gutter = " ".repeat(number.to_string().len());
        format!("\n {number} | {shown}\n {gutter} | {indent}{carets}")
    }
}

/// The line, cut off where a value begins whose key's name says that it may be secret.
fn shown(line: &str) -> String {
    let equals = |(index, _): &(usize, &str)| may_be_secret(&line[..*index]);
    match line.match_indices('=').find(equals) {
        Some((index, _)) => format!("{}= ...", &line[..index]),
        None if !line.contains('=') && may_be_secret(line) => "...".to_owned(),
        None => line.trim_end().to_owned(),
    }
}

/// Whether a value under this name must not be repeated in a message.
fn may_be_secret(key: &str) -> bool {
    let letters: String =
        key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    let secret = ["key", "token", "secret", "password", "proxy"];
    secret.iter().any(|word| letters.contains(word))
}
