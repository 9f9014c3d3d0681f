//! The command line: one file per group of commands.
//!
//! Data goes to stdout, talk to stderr. Every command works on the database file, daemon running or
//! not; `serve` and `demo` are the only ones that start anything.

pub mod context;
pub mod out;

// Reading and controlling.
pub mod config_show;
pub mod control;
pub mod doctor;
pub mod explain;
pub mod find;
pub mod health;
pub mod help;
pub mod ls;
pub mod progress;
pub mod reading;
pub mod shape;
pub mod show;
pub mod table;
pub mod wait;
pub mod waiting;

use clap::{Parser, Subcommand};
pub use context::CliError;
use context::GlobalArgs;

/// Exit codes (design section 6): part of the interface, listed by `darkroom help exit-codes`.
pub mod exit {
    /// Done.
    pub const DONE: u8 = 0;
    /// Something went wrong.
    pub const ERROR: u8 = 1;
    /// The command line or its input was not usable; nothing was stored.
    pub const USAGE: u8 = 2;
    /// The work failed or was cancelled.
    pub const FAILED: u8 = 3;
    /// A person has to decide or to mend something.
    pub const PERSON: u8 = 4;
    /// Still running when the time was up.
    pub const RUNNING: u8 = 5;
    /// Ctrl-C.
    pub const INTERRUPTED: u8 = 130;
}

/// Gets paid AI media work done through the PhotoGPT API, and never loses it or buys it twice.
#[derive(Debug, Parser)]
#[command(
    name = "darkroom",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// Where things are and how output looks.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The commands that read and control.
    #[command(flatten)]
    Reading(reading::Reading),
}

/// Runs one command and answers its exit code.
///
/// # Errors
/// [`CliError`], which knows its own exit code.
pub async fn run(cli: Cli) -> Result<u8, CliError> {
    match cli.command {
        Command::Reading(command) => command.run(&cli.global).await,
    }
}
