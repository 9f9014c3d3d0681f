//! What every command has: configuration, paths, the database, and errors with exit codes.

use super::exit;
use crate::clock::SystemClock;
pub use crate::clock::new_id;
use crate::config::{Config, ConfigError, Env, Flags, Paths};
use crate::domain::catalogue::Catalogue;
use crate::domain::schedule::Timing;
use crate::domain::validate::Problems;
use crate::engine::timing;
use crate::files::highwater;
use crate::service::ServiceError;
use crate::store::open::db_path;
use crate::store::{Fault, Store, StoreError};
use std::path::PathBuf;
use std::sync::Arc;

/// Options that every command takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct GlobalArgs {
    /// The folder for database, photos and outputs [env: DARKROOM_DATA_DIR].
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub data_dir: Option<PathBuf>,
    /// The configuration file [env: DARKROOM_CONFIG].
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub config: Option<PathBuf>,
    /// Print one JSON object or array on stdout instead of text.
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// Print ids only, one per line.
    #[arg(short, long, global = true, conflicts_with = "json", help_heading = "Global options")]
    pub quiet: bool,
    /// Say more; twice for even more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub verbose: u8,
}

/// What every submitting command takes besides its request.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TailArgs {
    /// Same key, same work: running the command again with it buys nothing more.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Wait until it is done, showing progress on a terminal.
    #[arg(long)]
    pub wait: bool,
    /// How long to wait at most (`90s`, `30m`, `2h`); exit code 5 when it still runs then.
    #[arg(long, value_name = "DURATION", requires = "wait")]
    pub timeout: Option<String>,
}

/// A failed command: what to print and how to exit.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Bad input; nothing was stored (exit 2).
    #[error("{0}")]
    Usage(String),
    /// The request is well-formed but cannot be done (exit 3).
    #[error("{0}")]
    Refused(String),
    /// Anything else (exit 1).
    #[error("{0}")]
    Error(String),
    /// The disk failed while something was being stored (exit 6).
    #[error("{0}")]
    Storage(String),
    /// Said already; only the code is left.
    #[error("")]
    Silent(u8),
}

impl CliError {
    /// The process's exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => exit::USAGE,
            Self::Refused(_) => exit::FAILED,
            Self::Error(_) => exit::ERROR,
            Self::Storage(_) => exit::STORAGE,
            Self::Silent(code) => *code,
        }
    }
}

/// What a full disk means to a command, as one sentence.
pub fn nothing_stored(problem: &str) -> String {
    format!("the disk is full, so nothing was stored; make room and run it again ({problem})")
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<Problems> for CliError {
    fn from(problems: Problems) -> Self {
        Self::Usage(problems.to_string())
    }
}

impl From<ServiceError> for CliError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Invalid(_) | ServiceError::Unknown(_) => Self::Usage(error.to_string()),
            ServiceError::Several(problems) => problems.into(),
            ServiceError::Conflict(sentence) => Self::Refused(sentence),
            ServiceError::Broken(sentence) => Self::Error(sentence),
            ServiceError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        match error.fault() {
            Some(Fault::Full) => return Self::Error(nothing_stored(&error.to_string())),
            Some(Fault::Broken) => {
                return Self::Storage(format!(
                    "{error}; it may or may not be stored: look with `darkroom ls` before you run \
                     this again, or run it again with the same --key"
                ));
            }
            None => {}
        }
        match error {
            StoreError::Refused(_) => Self::Refused(error.to_string()),
            StoreError::NotFound(..) => Self::Usage(error.to_string()),
            StoreError::Locked(_) => Self::Usage(error.to_string()),
            _ => Self::Error(error.to_string()),
        }
    }
}

/// What every command works with.
pub struct Context {
    /// As loaded from file, environment and flags.
    pub config: Config,
    /// Where things are.
    pub paths: Paths,
    /// The environment the command was started in.
    pub env: Env,
    /// Options that every command takes.
    pub global: GlobalArgs,
    /// The public models, with the user's own additions.
    pub catalogue: Catalogue,
}

impl Context {
    /// Loads the configuration and finds the data directory; opens and creates nothing.
    ///
    /// # Errors
    /// Bad configuration (exit 2).
    pub fn new(global: &GlobalArgs) -> Result<Self, CliError> {
        Self::with_flags(global, Self::flags(global))
    }

    /// The flags that concern the configuration.
    pub fn flags(global: &GlobalArgs) -> Flags {
        let mut flags = Flags::default();
        flags.config.clone_from(&global.config);
        flags.data_dir.clone_from(&global.data_dir);
        flags
    }

    /// The same with further flags of a command (`--listen`).
    ///
    /// # Errors
    /// Bad configuration (exit 2).
    pub fn with_flags(global: &GlobalArgs, flags: Flags) -> Result<Self, CliError> {
        let env = Env::from_process();
        let config = Config::load(&flags, &env)?;
        let paths = Paths::locate(&flags, &env)?;
        let catalogue = Catalogue {
            extra_image_models: config.catalogue.image_models.clone(),
            extra_video_models: config.catalogue.video_models.clone(),
        };
        Ok(Self { config, paths, env, global: global.clone(), catalogue })
    }

    /// The configured durations, as the rules need them.
    pub fn timing(&self) -> Timing {
        timing(&self.config)
    }

    /// Opens the database, creating it if need be: for commands that submit.
    ///
    /// # Errors
    /// A database error.
    pub async fn store(&self) -> Result<Store, CliError> {
        self.check_owner()?;
        self.check_not_gone()?;
        let clock = Arc::new(SystemClock::new());
        Ok(Store::open(self.paths.data_dir(), clock, self.timing()).await?)
    }

    /// A new database beside the traces of an old one would forget what was bought.
    ///
    /// # Errors
    /// When the database is gone.
    pub fn check_not_gone(&self) -> Result<(), CliError> {
        let data_dir = self.paths.data_dir();
        highwater::refuse_to_begin_anew(data_dir, &db_path(data_dir)).map_err(CliError::Usage)
    }

    /// Files that another user (root, most likely) puts here could not be read by the daemon.
    ///
    /// # Errors
    /// A sentence that names both users (exit 2).
    pub fn check_owner(&self) -> Result<(), CliError> {
        use std::os::unix::fs::MetadataExt;
        let dir = self.paths.data_dir();
        let Ok(folder) = std::fs::metadata(dir) else { return Ok(()) };
        let me = rustix::process::geteuid().as_raw();
        if folder.uid() == me {
            return Ok(());
        }
        Err(CliError::Usage(format!(
            "{} belongs to the user with id {}, and this runs as {me}; what it stored there, the \
             daemon could not read. Run it as that user: `sudo -u '#{}' darkroom ...`",
            dir.display(),
            folder.uid(),
            folder.uid()
        )))
    }

    /// Opens the database only if there is one: for commands that read.
    ///
    /// # Errors
    /// A sentence that says that there is nothing yet (exit 2), or a database error.
    pub async fn existing_store(&self) -> Result<Store, CliError> {
        let clock = Arc::new(SystemClock::new());
        Store::open_existing(self.paths.data_dir(), clock, self.timing()).await?.ok_or_else(|| {
            CliError::Usage(format!(
                "there is no darkroom database in {}; submit something first, or name another \
                 folder with --data-dir",
                self.paths.data_dir().display()
            ))
        })
    }

    /// Whether a daemon works on this data directory right now.
    pub fn daemon_is_running(&self) -> bool {
        crate::store::open::daemon_is_running(self.paths.data_dir())
    }
}
