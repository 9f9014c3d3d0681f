//! The `darkroom` command.

use clap::Parser;
use darkroom::app;
use darkroom::cli::{self, Cli, CliError};
use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;

/// What a command line comes to.
type Running = Pin<Box<dyn Future<Output = Result<u8, CliError>>>>;

fn main() -> ExitCode {
    // Photos, prompts and results are the user's own business.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let cli = Cli::parse();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(workers()).enable_all().build();
    let runtime = match runtime {
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

/// The work is waiting; what computes (SQLite, hashes, pictures) has threads of its own. A thread
/// per core would cost memory on a large machine and gain nothing.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 4))
}

fn report(error: &CliError) -> ExitCode {
    if !matches!(error, CliError::Silent(_)) {
        cli::out::talk(&format!("error: {error}"));
    }
    ExitCode::from(error.code())
}
