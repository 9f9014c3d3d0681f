//! The commands that read and control; those that submit are in [`super::Command`].

use super::config_show::{self, ConfigCommand};
use super::context::{Context, GlobalArgs};
use super::{
    CliError, control, doctor, explain, health, help, ledger, ls, out, release, resolve, show,
    token, wait,
};

/// Reading and controlling.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Reading {
    /// List work: without a kind, what is live and what ended last.
    Ls(ls::Ls),
    /// Show everything that is known about rows.
    Show(show::Show),
    /// Show what happened to a row, oldest first.
    Events(show::Events),
    /// Say in plain English what a row is, where it stands and why, and what happens next.
    Explain(explain::Explain),
    /// Wait until rows are done.
    Wait(wait::Wait),
    /// Ask for the end of work.
    Cancel(control::Cancel),
    /// Try again what failed, was cancelled or waits for a person.
    Retry(control::Retry),
    /// Decide about a row that waits for a person or is in doubt, or about a job at the vendor.
    ///
    /// About a row that waits for a person or is in doubt (`darkroom ls attention`): --adopt,
    /// --resubmit, --abandon, --not-this. About a job that the vendor lists and no row claims
    /// (`darkroom ledger`), without an ID: --ours, --not-ours. Who said what is kept.
    Resolve(resolve::Resolve),
    /// Show what every paid call came to, and what the vendor lists that no row claims.
    Ledger(ledger::Ledger),
    /// Stop spending or watching until `resume`; survives restarts.
    Pause(control::Pause),
    /// Go on with spending or watching.
    Resume(control::Resume),
    /// Open a database that is in quarantine, after listing what the vendor has.
    Release(release::Release),
    /// Print the local token that requests to the daemon need.
    Token(token::Token),
    /// Ask the running daemon how it is: exit code 0 or 1.
    Health,
    /// Check key, vendor, disk, database and configuration, and say how to mend what is wrong.
    Doctor(doctor::Doctor),
    /// Show the configuration or where its file is.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a completion script for a shell.
    Completions(help::Completions),
    /// Exit codes and what they mean.
    #[command(name = "exit-codes", hide = true, long_about = help::EXIT_CODES,
        help_template = "{about}\n")]
    ExitCodes,
    /// Environment variables.
    #[command(hide = true, long_about = help::ENVIRONMENT, help_template = "{about}\n")]
    Environment,
    /// How output looks, for people and for programs.
    #[command(hide = true, long_about = help::FORMATTING, help_template = "{about}\n")]
    Formatting,
}

impl Reading {
    /// Runs the command and answers its exit code.
    ///
    /// # Errors
    /// [`CliError`], which knows its own exit code.
    pub async fn run(&self, global: &GlobalArgs) -> Result<u8, CliError> {
        // These work with a broken configuration too.
        match self {
            Self::Completions(args) => return help::completions(args),
            Self::ExitCodes => return topic(help::EXIT_CODES),
            Self::Environment => return topic(help::ENVIRONMENT),
            Self::Formatting => return topic(help::FORMATTING),
            Self::Config(ConfigCommand::Path) => return config_show::path(global),
            Self::Doctor(args) => return doctor::run(global, args).await,
            _ => {}
        }
        let context = Context::new(global)?;
        match self {
            Self::Ls(args) => ls::run(&context, args).await,
            Self::Show(args) => show::show(&context, args).await,
            Self::Events(args) => show::events(&context, args).await,
            Self::Explain(args) => explain::run(&context, args).await,
            Self::Wait(args) => wait::run(&context, args).await,
            Self::Cancel(args) => control::cancel(&context, args).await,
            Self::Retry(args) => control::retry(&context, args).await,
            Self::Resolve(args) => resolve::run(&context, args).await,
            Self::Ledger(args) => ledger::run(&context, args).await,
            Self::Pause(args) => control::pause(&context, args).await,
            Self::Resume(args) => control::resume(&context, args).await,
            Self::Release(args) => release::run(&context, args).await,
            Self::Token(args) => token::run(&context, args),
            Self::Health => health::run(&context).await,
            Self::Config(ConfigCommand::Show { origin, no_header }) => {
                config_show::show(&context, *origin, !no_header)
            }
            Self::Config(ConfigCommand::Path)
            | Self::Doctor(_)
            | Self::Completions(_)
            | Self::ExitCodes
            | Self::Environment
            | Self::Formatting => Ok(super::exit::DONE),
        }
    }
}

fn topic(text: &str) -> Result<u8, CliError> {
    out::line(text)?;
    Ok(super::exit::DONE)
}
