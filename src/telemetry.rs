//! Log output: one line per fact, text for a person, JSON for a machine.
//!
//! Keys and tokens are `SecretString`s, which print as `[REDACTED]`; nothing here adds request
//! headers or bodies. A plain level (`debug`) therefore raises only darkroom's own output: the
//! HTTP libraries beneath stay at `warn` unless a directive names them.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text when the output is a terminal, JSON otherwise.
    Auto,
    /// Readable lines, coloured on a terminal unless `NO_COLOR` is set.
    Text,
    /// One JSON object per line.
    Json,
}

/// Where log lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// For the daemon under a supervisor that collects standard output.
    Stdout,
    /// For commands, whose standard output is data.
    Stderr,
}

impl Output {
    fn is_terminal(self) -> bool {
        match self {
            Self::Stdout => std::io::stdout().is_terminal(),
            Self::Stderr => std::io::stderr().is_terminal(),
        }
    }

    fn writer(self) -> BoxMakeWriter {
        match self {
            Self::Stdout => BoxMakeWriter::new(std::io::stdout),
            Self::Stderr => BoxMakeWriter::new(std::io::stderr),
        }
    }
}

/// Why logging could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level or directive list does not parse; both fields are for people.
    #[error("`{directives}` is not a log level: {reason}")]
    Level {
        /// What was given.
        directives: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A second start in one process.
    #[error("logging has already been started in this process")]
    AlreadyStarted,
}

/// Starts logging for the whole process.
///
/// `level` is `off`, `error`, `warn`, `info`, `debug`, `trace` or a list of directives such as
/// `darkroom=debug,hyper=info`. A set `RUST_LOG` replaces it.
pub fn init(format: Format, level: &str, output: Output) -> Result<(), TelemetryError> {
    let chosen = std::env::var("RUST_LOG").ok().filter(|text| !text.trim().is_empty());
    let filter = filter(chosen.as_deref().unwrap_or(level))?;
    let terminal = output.is_terminal();
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(terminal && !no_color)
        .log_internal_errors(false) // a closed pipe must not stop the daemon
        .with_writer(output.writer());
    let started = if json(format, terminal) {
        lines.json().flatten_event(true).with_span_list(false).finish().try_init()
    } else {
        lines.finish().try_init()
    };
    started.map_err(|_| TelemetryError::AlreadyStarted)
}

/// Checks a level or directive list without starting anything.
pub fn check_level(level: &str) -> Result<(), TelemetryError> {
    filter(level).map(drop)
}

fn json(format: Format, terminal: bool) -> bool {
    match format {
        Format::Auto => !terminal,
        Format::Text => false,
        Format::Json => true,
    }
}

fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let level = level.trim();
    let error = |reason: String| TelemetryError::Level { directives: level.to_owned(), reason };
    let word = level.to_ascii_lowercase();
    let directives = if word == "off" || word == "error" {
        word
    } else if LEVELS.contains(&word.as_str()) {
        format!("warn,darkroom={word}")
    } else if level.contains(['=', ',']) {
        level.to_owned()
    } else {
        // EnvFilter would read a misspelt level as the name of a crate and go silent.
        return Err(error(format!(
            "write one of {}, or directives like darkroom=debug,hyper=info",
            LEVELS.join(", ")
        )));
    };
    EnvFilter::builder().parse(directives).map_err(|failure| error(failure.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_level_is_for_our_own_code() {
        assert_eq!(filter("debug").unwrap().to_string(), "darkroom=debug,warn");
        assert_eq!(filter("OFF").unwrap().to_string(), "off");
        assert_eq!(
            filter("darkroom=trace,hyper=info").unwrap().to_string().matches('=').count(),
            2
        );
    }

    #[test]
    fn a_misspelt_level_is_refused() {
        assert_eq!(
            check_level("inof").unwrap_err().to_string(),
            "`inof` is not a log level: write one of off, error, warn, info, debug, trace, or \
             directives like darkroom=debug,hyper=info"
        );
        assert!(check_level("darkroom=loud").is_err());
    }

    #[test]
    fn auto_is_json_off_a_terminal() {
        assert!(json(Format::Auto, false));
        assert!(!json(Format::Auto, true));
        assert!(json(Format::Json, true));
        assert!(!json(Format::Text, false));
    }

    #[test]
    fn a_second_start_is_an_error() {
        // Another test in this process may have been first: only the repeat is certain.
        let _ = init(Format::Auto, "off", Output::Stderr);
        let again = init(Format::Auto, "off", Output::Stderr);
        assert!(matches!(again, Err(TelemetryError::AlreadyStarted)));
    }
}
