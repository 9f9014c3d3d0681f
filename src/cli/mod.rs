//! The command line: one file per group of commands.
//!
//! Data goes to stdout, talk to stderr. Every command works on the database file, daemon running or
//! not; `serve`, `demo`, `drill` and `simulate` are the only ones that start anything.

pub mod context;
pub mod drill;
pub mod out;

// Commands that submit, and what they share.
pub mod check;
pub mod job;
pub mod model;
mod photos;
mod plan;
pub mod presets;
pub mod run;
mod submit;
mod text_arg;
pub mod train;
pub mod upload;

// Reading and controlling.
pub mod config_show;
pub mod control;
pub mod doctor;
pub mod explain;
pub mod health;
pub mod help;
pub mod ledger;
pub mod ls;
pub mod progress;
pub mod reading;
pub mod release;
pub mod resolve;
pub mod shape;
pub mod show;
pub mod table;
pub mod token;
pub mod wait;
pub mod waiting;

use clap::{Parser, Subcommand};
pub use context::CliError;
use context::{Context, GlobalArgs};

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
    /// Storing failed (a commit, a sync): start again, or look before running a command again.
    pub const STORAGE: u8 = 6;
    /// Ctrl-C.
    pub const INTERRUPTED: u8 = 130;
}

/// Gets paid AI media work done through the PhotoGPT API, and never loses it or buys it twice.
#[derive(Debug, Parser)]
#[command(name = "darkroom", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// Where things are and how output looks.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command. What the help says stands at the arguments of each.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
pub enum Command {
    // --- commands that start something; `app` runs them ---
    /// Run the daemon: the service that does the work.
    Serve(ServeArgs),
    /// Show the whole flow offline, with a `kill -9` in the middle of the training.
    Demo(DemoArgs),
    Drill(drill::DrillArgs),
    /// Run the vendor's API offline, for trying things out and for tests.
    Simulate(crate::simulator::Args),
    // --- commands that submit ---
    Train(train::TrainArgs),
    Image(job::ImageArgs),
    Upscale(job::UpscaleArgs),
    Video(job::VideoArgs),
    Run(run::RunArgs),
    Upload(upload::UploadArgs),
    Model(model::ModelArgs),
    Presets(presets::PresetsArgs),
    Check(check::CheckArgs),
    /// The commands that read and control.
    #[command(flatten)]
    Reading(reading::Reading),
}

/// Options of `darkroom serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Address to listen on; port 0 takes a free one [env: DARKROOM_LISTEN].
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Let `--listen` be an address that other machines can reach; put TLS in front of it.
    #[arg(long)]
    pub allow_remote: bool,
}

/// Options of `darkroom demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// The folder for everything the demo makes; must not hold a database yet [default:
    /// DARKROOM_DATA_DIR, else a temporary folder].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<std::path::PathBuf>,
}

/// Runs one command and answers its exit code.
///
/// # Errors
/// [`CliError`], which knows its own exit code.
pub async fn run(cli: Cli) -> Result<u8, CliError> {
    if let Command::Reading(command) = cli.command {
        return command.run(&cli.global).await;
    }
    let ctx = &Context::new(&cli.global)?;
    match cli.command {
        // These start processes; `app` runs them before it comes here.
        Command::Serve(_)
        | Command::Demo(_)
        | Command::Drill(_)
        | Command::Simulate(_)
        | Command::Reading(_) => Ok(exit::DONE),
        // --- commands that submit ---
        Command::Train(args) => train::run(ctx, args).await,
        Command::Image(args) => job::image(ctx, args).await,
        Command::Upscale(args) => job::upscale(ctx, args).await,
        Command::Video(args) => job::video(ctx, args).await,
        Command::Run(args) => run::run(ctx, args).await,
        Command::Upload(args) => upload::run(ctx, args).await,
        Command::Model(args) => model::run(ctx, args).await,
        Command::Presets(args) => presets::run(ctx, args).await,
        Command::Check(args) => check::run(ctx, args).await,
    }
}
