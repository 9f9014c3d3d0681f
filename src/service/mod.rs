//! What every interface can do, once: find what a word means, check it, order work, decide, explain.
//!
//! The command line, the gateway and the API differ in how they are asked and how they answer; what
//! is allowed, and in which words it is refused, must not differ.
//!
//! - [`find`], [`finder`]: from words to rows
//! - [`photos`]: photos looked at, judged and kept
//! - [`jobs`], [`models`]: checks and rows of new work
//! - [`runs`]: recipes on their way into work
//! - [`control`]: cancel, retry, resolve
//! - [`explain`]: one row in plain English
//! - [`keys`]: what makes two requests the same

pub mod control;
pub mod explain;
pub mod find;
pub mod finder;
pub mod jobs;
pub mod keys;
pub mod models;
pub mod photos;
pub mod readiness;
pub mod runs;

use crate::domain::validate::{Problem, Problems};
use crate::store::StoreError;

/// The most characters of a user's text that a sentence repeats.
const SHOWN_CHARS: usize = 60;

/// Why something asked for is not done. Nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Bad input, in the spelling of the interface.
    #[error("{}", sentence(.0))]
    Invalid(Problem),
    /// Several of them.
    #[error("{0}")]
    Several(Problems),
    /// It refers to something that is not there.
    #[error("{}", sentence(.0))]
    Unknown(Problem),
    /// It contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// Something of this machine is in the way.
    #[error("{0}")]
    Broken(String),
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Shorthand of this module.
pub type Result<T, E = ServiceError> = std::result::Result<T, E>;

impl ServiceError {
    /// Bad input in this field.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid(Problem::new(field, message))
    }

    /// Something that this field names is not there.
    pub fn unknown(field: &str, message: impl Into<String>) -> Self {
        Self::Unknown(Problem::new(field, message))
    }
}

impl From<Problems> for ServiceError {
    fn from(problems: Problems) -> Self {
        Self::Several(problems)
    }
}

fn sentence(problem: &Problem) -> String {
    match problem.field.as_str() {
        "" => problem.message.clone(),
        field => format!("{field}: {}", problem.message),
    }
}

/// A user's text inside a sentence: shortened, and safe to print on a terminal.
pub fn shown(text: &str) -> String {
    let visible = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(SHOWN_CHARS).map(visible).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        short.push('…');
    }
    format!("`{short}`")
}

/// Other people's text on one line, without what could steer a terminal.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Runs what blocks beside the runtime.
///
/// # Errors
/// When it panicked or the runtime is ending.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ServiceError::Broken(format!("a file operation ended early: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_wrote_is_shown_safely() {
        assert_eq!(shown("a\u{1b}[31m\n"), "`a\u{fffd}[31m\u{fffd}`");
        assert!(shown(&"x".repeat(1000)).chars().count() < 70);
    }
}
