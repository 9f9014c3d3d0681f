//! Printing: data on stdout, talk on stderr, and a closed pipe is nobody's fault.

use super::CliError;
use std::io::{ErrorKind, Write};

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
        Err(error) => Err(CliError::Error(format!(
            "stdout cannot be written: {error}"
        ))),
    }
}
