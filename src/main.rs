//! The `darkroom` command.

use clap::Parser;
use darkroom::app;
use darkroom::cli::{self, Cli, CliError};
use std::process::ExitCode;

fn main() -> ExitCode {
    // Photos, prompts and results are the user's own business.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return report(&CliError::Error(format!("the runtime cannot start: {error}")));
        }
    };
    let result = runtime.block_on(app::run(cli));
    // A blocked file operation must not hold up the exit; nothing depends on it any more.
    runtime.shutdown_timeout(std::time::Duration::from_millis(100));
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => report(&error),
    }
}

fn report(error: &CliError) -> ExitCode {
    if !matches!(error, CliError::Silent(_)) {
        cli::out::talk(&format!("error: {error}"));
    }
    ExitCode::from(error.code())
}
