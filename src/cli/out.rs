//! Printing: data on stdout, talk on stderr, and a closed pipe is nobody's fault.

use super::CliError;
use super::context::GlobalArgs;
use crate::clock::{Clock, SystemClock};
use crate::domain::ids::Millis;
pub use crate::service::clean;
use crate::store::report::Time;
use serde::Serialize;
use std::io::{ErrorKind, IsTerminal, Write};

/// Prints one line of talk on stderr.
pub fn talk(text: &str) {
    // Nobody listens: nothing to do about it.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Prints one line of data on stdout.
///
/// # Errors
/// [`CliError::Silent`] with code 0 when the reader has gone (`darkroom ls | head`).
pub fn line(text: &str) -> Result<(), CliError> {
    let mut out = anstream::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            Err(CliError::Silent(super::exit::DONE))
        }
        Err(error) => Err(CliError::Error(format!("stdout cannot be written: {error}"))),
    }
}

/// Prints one JSON value on stdout: indented for a person, on one line for a program.
///
/// # Errors
/// As [`line()`].
pub fn json<T: Serialize>(value: &T) -> Result<(), CliError> {
    let text = if std::io::stdout().is_terminal() {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    line(&text.map_err(|error| CliError::Error(format!("a result is not JSON: {error}")))?)
}

/// Prints one JSON value on one line: for streams, whose reader counts on one value per line.
///
/// # Errors
/// As [`line()`].
pub fn json_line<T: Serialize>(value: &T) -> Result<(), CliError> {
    let text = serde_json::to_string(value);
    line(&text.map_err(|error| CliError::Error(format!("a result is not JSON: {error}")))?)
}

/// How output looks.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Whether a person reads along: aligned tables, relative times, shortened texts.
    pub terminal: bool,
    /// Whether states are coloured; they are words all the same.
    pub colour: bool,
    /// Exact times instead of relative ones.
    pub exact: bool,
    /// Whether tables have a header.
    pub header: bool,
    /// The current time.
    pub now: Millis,
}

impl Look {
    /// What fits the process's stdout.
    pub fn of_stdout(global: &GlobalArgs) -> Self {
        let stdout = std::io::stdout();
        let choice = anstream::AutoStream::choice(&stdout);
        Self {
            terminal: stdout.is_terminal(),
            colour: choice != anstream::ColorChoice::Never,
            exact: global.verbose > 0,
            header: true,
            now: SystemClock::new().now(),
        }
    }

    /// A time: relative for a person, exact otherwise.
    pub fn time(&self, time: Time) -> String {
        if self.terminal && !self.exact { relative(time.0 - self.now) } else { time.to_string() }
    }

    /// A text on one line, shortened for a person.
    pub fn text(&self, text: &str, width: usize) -> String {
        let clean = clean(text);
        if self.terminal { shorten(&clean, width) } else { clean }
    }
}

/// The columns of a terminal that a text takes.
pub fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// East Asian characters and pictures take two columns.
fn char_width(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0x200b..=0x200d | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0x1f300..=0x1faff
        | 0x20000..=0x3ffff => 2,
        _ => 1,
    }
}

/// A text of at most this many columns, with `…` where it was cut.
pub fn shorten(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut used = 1;
    let fits = |c: &char| {
        used += char_width(*c);
        used <= most
    };
    let mut short: String = text.chars().take_while(fits).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// "3 min ago", "in 2 h".
pub fn relative(delta: Millis) -> String {
    let span = span(delta.abs());
    match delta {
        -999..=999 => "now".to_owned(),
        1000.. => format!("in {span}"),
        _ => format!("{span} ago"),
    }
}

/// "3 min", "2 h", "4 days".
pub fn span(millis: Millis) -> String {
    const MINUTE: Millis = 60;
    const HOUR: Millis = 60 * MINUTE;
    const DAY: Millis = 24 * HOUR;
    let seconds = millis / 1000;
    match seconds {
        DAY.. => format!("{} days", seconds / DAY),
        HOUR..DAY => format!("{} h {} min", seconds / HOUR, seconds % HOUR / MINUTE),
        MINUTE..HOUR => format!("{} min", seconds / MINUTE),
        _ => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        assert_eq!(relative(0), "now");
        assert_eq!(relative(-59_000), "59 s ago");
        assert_eq!(relative(-61_000), "1 min ago");
        assert_eq!(relative(2 * 3_600_000 + 5 * 60_000), "in 2 h 5 min");
        assert_eq!(relative(-3 * 86_400_000), "3 days ago");
    }

    #[test]
    fn foreign_text_cannot_drive_the_terminal() {
        assert_eq!(clean("a\x1b[31mb\nc\td"), "a [31mb c d");
    }
}
