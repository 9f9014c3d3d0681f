//! Help topics (`darkroom help exit-codes`) and shell completions.

use super::{Cli, CliError, out};
use clap::CommandFactory;

/// `darkroom help exit-codes`.
pub const EXIT_CODES: &str = "\
Exit codes

    0  done; everything waited for succeeded
    1  something went wrong: the message says what
    2  the command line or its input is not usable; nothing was stored
    3  the work failed or was cancelled, or the request was refused
    4  a person has to decide or to mend something (`darkroom ls attention`, a refused
       key, no credits left, a database in quarantine)
    5  still running when --timeout was over; the work goes on
    6  the disk failed while something was being stored: the daemon decided nothing more,
       starting it again recovers; what a command was to store may or may not be stored
  130  Ctrl-C; the work goes on, `darkroom wait ID` comes back to it";

/// `darkroom help environment`.
pub const ENVIRONMENT: &str = "\
Environment

  PHOTOGPT_API_KEY        the vendor's API key
  PHOTOGPT_BASE_URL       another address of the vendor, for example a simulator's
  DARKROOM_DATA_DIR       the folder for database, photos and outputs
  DARKROOM_CONFIG         the configuration file
  DARKROOM_LISTEN         where the daemon listens
  DARKROOM__SECTION__KEY  any key of the configuration, for example DARKROOM__POLL__JOB=10s
  RUST_LOG                log level, instead of log.level
  NO_COLOR                no colour, if it is set to anything
  CLICOLOR_FORCE          colour even off a terminal

A flag beats the environment, the environment beats the file, the file beats the default;
`darkroom config show --origin` prints which one it was.";

/// `darkroom help formatting`.
pub const FORMATTING: &str = "\
Formatting

Data goes to stdout, talk to stderr.

On a terminal lists are aligned, times are relative and long texts are shortened; -v shows
exact times. Off a terminal lists are separated by tabs, with a header (--no-header leaves
it out), nothing is shortened, and times are RFC 3339.

-q prints ids only, one per line. --json prints one object, or one array for a list:
every row has at least

  id, kind, state, remote_id, error, error_class, label, why,
  created_at, updated_at, due_at, finished_at

and a job has outputs: [{id, remote_id, path, sha256, bytes, media_type, job_id}]. Times are
RFC 3339 in UTC with milliseconds, paths are absolute, sha256 is lower-case hex. New fields
may appear; ignore what you do not know. `events --follow --json` prints one object per line.

States: waiting, queued, submitting, in_doubt, running, collecting, attention, succeeded,
failed, cancelled.";

/// Print a completion script for a shell.
#[derive(Clone, Debug, clap::Args)]
pub struct Completions {
    /// Which shell.
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

/// Prints the script.
///
/// # Errors
/// As [`out::line`].
pub fn completions(args: &Completions) -> Result<u8, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "darkroom", &mut script);
    out::line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(super::exit::DONE)
}
