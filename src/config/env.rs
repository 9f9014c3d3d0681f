//! What surrounds the process: its environment, its flags and its folders.

use super::report::{ConfigError, Problem};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// A copy of the environment, so that loading reads nothing else and tests need no process.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Env(BTreeMap<String, OsString>);

impl Env {
    /// The process's environment. Without `HOME`, the home folder comes from the user database.
    pub fn from_process() -> Self {
        let named = std::env::vars_os()
            .filter_map(|(name, value)| name.into_string().ok().map(|name| (name, value)));
        let mut env = Self(named.collect());
        if env.path("HOME").is_none()
            && let Ok(home) = etcetera::home_dir()
        {
            env.0.insert("HOME".to_owned(), home.into_os_string());
        }
        env
    }

    /// The folder that a variable names; an empty variable counts as unset.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.0.get(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    /// The first of the folders that systemd lists in a variable, separated by colons.
    fn systemd_folder(&self, name: &str) -> Option<PathBuf> {
        let folders = self.path(name)?;
        std::env::split_paths(&folders).find(|folder| !folder.as_os_str().is_empty())
    }

    /// An XDG base folder: the variable if it is absolute, as the specification demands, else
    /// below `HOME`.
    fn xdg_folder(&self, name: &str, below_home: &str) -> Option<PathBuf> {
        let named = self.path(name).filter(|folder| folder.is_absolute());
        named.or_else(|| self.path("HOME").map(|home| home.join(below_home)))
    }

    /// A variable's text; an empty variable counts as unset.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        match self.0.get(name).filter(|value| !value.is_empty()) {
            None => Ok(None),
            Some(value) => match value.to_str() {
                Some(text) => Ok(Some(text)),
                None => Err(Problem::new(name, "the value is not UTF-8")),
            },
        }
    }

    /// The names that begin with `prefix`.
    pub(super) fn names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.keys().map(String::as_str).filter(move |name| name.starts_with(prefix))
    }
}

/// Names only: the environment holds the API key.
impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<K: Into<String>, V: Into<OsString>> FromIterator<(K, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// What the command line says about the configuration.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--config`: the configuration file, which must exist.
    pub config: Option<PathBuf>,
    /// `--data-dir`: the folder for everything that darkroom stores.
    pub data_dir: Option<PathBuf>,
    pub(super) values: Vec<(&'static str, &'static str, String)>,
}

impl Flags {
    /// Records that the flag `flag` (`--listen`) sets the key `key` (`daemon.listen`); `None`
    /// leaves it unset.
    pub fn set(&mut self, key: &'static str, flag: &'static str, value: Option<String>) {
        self.values.extend(value.map(|text| (key, flag, text)));
    }
}

/// Where things are stored: all below the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    data_dir: PathBuf,
}

impl Paths {
    /// The files below `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: data_dir.into() }
    }

    /// Finds the data directory: `--data-dir`, `DARKROOM_DATA_DIR`, systemd's `STATE_DIRECTORY`,
    /// else `darkroom` in the XDG data folder. Nothing is created.
    pub fn locate(flags: &Flags, env: &Env) -> Result<Self, ConfigError> {
        let found = flags
            .data_dir
            .clone()
            .or_else(|| env.path("DARKROOM_DATA_DIR"))
            .or_else(|| env.systemd_folder("STATE_DIRECTORY"))
            .or_else(|| Some(env.xdg_folder("XDG_DATA_HOME", ".local/share")?.join("darkroom")));
        found.map(Self::new).ok_or_else(|| {
            Problem::new("data directory", "there is no home folder to put it in")
                .help("name one with --data-dir or DARKROOM_DATA_DIR")
                .into()
        })
    }

    /// The data directory itself.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The database.
    pub fn db(&self) -> PathBuf {
        self.data_dir.join("darkroom.db")
    }

    /// The folder of finished pictures and videos.
    pub fn outputs(&self) -> PathBuf {
        self.data_dir.join("outputs")
    }

    /// The folder of photos waiting to be uploaded, named by their hashes.
    pub fn blobs(&self) -> PathBuf {
        self.data_dir.join("blobs")
    }

    /// The file whose lock keeps a second daemon out.
    pub fn lock(&self) -> PathBuf {
        self.data_dir.join("darkroom.lock")
    }
}

/// The configuration file to read, and who named it; a file that nobody named need not exist.
pub(super) fn config_file(flags: &Flags, env: &Env) -> Option<(PathBuf, Option<&'static str>)> {
    const NAME: &str = "darkroom.toml";
    if let Some(path) = &flags.config {
        return Some((path.clone(), Some("--config")));
    }
    if let Some(path) = env.path("DARKROOM_CONFIG") {
        return Some((path, Some("DARKROOM_CONFIG")));
    }
    if let Some(folder) = env.systemd_folder("CONFIGURATION_DIRECTORY") {
        return Some((folder.join(NAME), None));
    }
    let folder = env.xdg_folder("XDG_CONFIG_HOME", ".config")?;
    Some((folder.join("darkroom").join(NAME), None))
}
