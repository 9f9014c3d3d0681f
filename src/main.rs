//! The `darkroom` command.

use clap::Parser;
use darkroom::app;
use darkroom::cli::{self, Cli, CliError, Command};
use std::future::Future;
use std::num::NonZero;
use std::pin::Pin;
use std::process::ExitCode;
use tokio::runtime::{Builder, Runtime};

/// What a command line comes to.
type Running = Pin<Box<dyn Future<Output = Result<u8, CliError>>>>;

fn main() -> ExitCode {
    // Photos, prompts and results are the user's own business.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let cli = Cli::parse();
    let runtime = match runtime(&cli.command) {
        Ok(runtime) => runtime,
        Err(error) => {
            return report(&CliError::Error(format!("the runtime cannot start: {error}")));
        }
    };
    // Boxed: the runtime would make one copy of all this code per way of running a future.
    let result = runtime.block_on(Box::pin(app::run(cli)) as Running);
    // A blocked file operation must not hold up the exit; nothing depends on it any more.
    runtime.shutdown_timeout(std::time::Duration::from_millis(100));
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => report(&error),
    }
}

/// The daemon waits, for the vendor, the disk and its callers, and what computes (SQLite, pictures,
/// file operations) has threads of its own: with one thread for the rest, nothing is ever handed
/// from one to another, which costs more than the work itself. The simulator draws pictures, and a
/// demonstration runs everything in one process: those take a few threads.
fn runtime(command: &Command) -> std::io::Result<Runtime> {
    match command {
        Command::Serve(_) => Builder::new_current_thread().enable_all().build(),
        _ => {
            let cores = std::thread::available_parallelism().map_or(2, NonZero::get);
            Builder::new_multi_thread().worker_threads(cores.clamp(2, 4)).enable_all().build()
        }
    }
}

fn report(error: &CliError) -> ExitCode {
    if !matches!(error, CliError::Silent(_)) {
        cli::out::talk(&format!("error: {error}"));
    }
    ExitCode::from(error.code())
}
