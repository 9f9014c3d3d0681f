//! Configuration: flag over environment over file over default.
//!
//! The keys are declared once, in `schema`. Every problem is reported with its place, and unknown
//! keys are problems. The API key is not a configuration value: [`Config::api_key`] fetches it
//! separately, so that no configuration, printed or stored, can hold it.

mod env;
mod layers;
mod report;
mod schema;
#[cfg(test)]
mod tests;
mod value;

pub use env::{Env, Flags, Paths};
pub use report::{ConfigError, Origin};
pub use schema::{
    Account, Catalogue, Config, Daemon, Disk, Doubt, KEYS, Key, Limits, Log, Outputs, Poll, Sweep,
    Training, Vendor,
};
pub use value::{Auto, BaseUrl, ByteSize, Hosts, Kind, LogLevel, Proxy, PublicUrl, parse_duration};

use layers::{Layers, Sources};
use report::{Problem, Source};
use secrecy::SecretString;
use std::path::{Path, PathBuf};

/// `config/darkroom.toml`: every key with its default and what it is for.
pub const DOCUMENTED_FILE: &str = include_str!("../config/darkroom.toml");

/// The file name of the systemd credential that holds the API key.
const CREDENTIAL: &str = "photogpt_api_key";

/// One line of `config show --origin`.
#[derive(Clone, Debug)]
pub struct Setting<'a> {
    /// The key.
    pub key: &'static Key,
    /// Its value as text, without quotes; a list's items are separated by commas. Passwords are
    /// masked.
    pub value: String,
    /// Where the value came from.
    pub origin: &'a Origin,
}

/// Where the API key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiKeySource {
    /// The variable `PHOTOGPT_API_KEY`.
    Env,
    /// The file that `vendor.api_key_file` names.
    File(PathBuf),
    /// The systemd credential `photogpt_api_key`.
    Credential(PathBuf),
}

impl Config {
    /// Reads the file that flags and environment lead to, and puts environment and flags on top.
    pub fn load(flags: &Flags, env: &Env) -> Result<Self, ConfigError> {
        let Some((path, named_by)) = env::config_file(flags, env) else {
            return Layers::new(None).load(flags, env);
        };
        match layers::read_file(&path, named_by)? {
            Some(text) => Self::from_text(&path, &text, flags, env),
            None => Layers::new(None).load(flags, env),
        }
    }

    /// The same with the file's text at hand; `path` is for messages and relative paths.
    pub fn from_text(
        path: &Path,
        text: &str,
        flags: &Flags,
        env: &Env,
    ) -> Result<Self, ConfigError> {
        let mut config = Layers::new(Some(Source { path, text })).load(flags, env)?;
        let from_file = matches!(config.origin("vendor.api_key_file"), Some(Origin::File(..)));
        if let (true, Some(folder)) = (from_file, path.parent()) {
            let key_file = config.vendor.api_key_file.take();
            config.vendor.api_key_file = key_file.map(|file| folder.join(file));
        }
        Ok(config)
    }

    /// The configuration file that flags and environment lead to, whether or not it exists.
    pub fn file(flags: &Flags, env: &Env) -> Option<PathBuf> {
        env::config_file(flags, env).map(|(path, _)| path)
    }

    /// Every key with its value as loaded and where that came from, in the order of [`KEYS`].
    pub fn origins(&self) -> impl Iterator<Item = Setting<'_>> {
        KEYS.iter().zip(&self.sources.values).map(|(key, value)| Setting {
            key,
            value: match key.name {
                "proxy" => value::mask_proxy(&value.text),
                _ => value.text.clone(),
            },
            origin: &value.origin,
        })
    }

    /// Where the value of `section.name` came from; `None` when there is no such key.
    pub fn origin(&self, path: &str) -> Option<&Origin> {
        let (section, name) = path.split_once('.')?;
        let (index, _) = schema::find(section, name)?;
        self.sources.values.get(index).map(|value| &value.origin)
    }

    /// Where the API key would be read from, in the order variable, file, systemd credential.
    pub fn api_key_source(&self, env: &Env) -> Option<ApiKeySource> {
        if env.path("PHOTOGPT_API_KEY").is_some() {
            return Some(ApiKeySource::Env);
        }
        if let Some(path) = &self.vendor.api_key_file {
            return Some(ApiKeySource::File(path.clone()));
        }
        let path = env.path("CREDENTIALS_DIRECTORY")?.join(CREDENTIAL);
        path.exists().then_some(ApiKeySource::Credential(path))
    }

    /// The vendor's API key, without the white space around it; `None` when there is none.
    pub fn api_key(&self, env: &Env) -> Result<Option<SecretString>, ConfigError> {
        let Some(source) = self.api_key_source(env) else {
            return Ok(None);
        };
        let (place, text) = match &source {
            ApiKeySource::Env => {
                let text = env.text("PHOTOGPT_API_KEY")?.unwrap_or_default();
                ("PHOTOGPT_API_KEY", text.to_owned())
            }
            ApiKeySource::File(path) => {
                ("vendor.api_key_file", read_key("vendor.api_key_file", path)?)
            }
            ApiKeySource::Credential(path) => (CREDENTIAL, read_key(CREDENTIAL, path)?),
        };
        let key = text.trim();
        if key.is_empty() {
            return Err(Problem::new(place, "the API key is empty").into());
        }
        if !key.chars().all(|c| c.is_ascii_graphic()) {
            let message = "the API key has a space, a line break or another character in it that \
                           no key has: copy it again, alone and on one line";
            return Err(Problem::new(place, message).into());
        }
        Ok(Some(SecretString::from(key)))
    }
}

/// What is written in `config/darkroom.toml`.
impl Default for Config {
    fn default() -> Self {
        match Self::parse(Sources::defaults()) {
            Ok(config) => config,
            // A test parses every default.
            Err(error) => unreachable!("a default does not parse: {error}"),
        }
    }
}

/// Reads a key file. The path is not repeated, since it may be the key itself.
fn read_key(place: &str, path: &Path) -> Result<String, Problem> {
    std::fs::read_to_string(path).map_err(|error| {
        Problem::new(place, format!("the file that holds the API key cannot be read: {error}"))
            .help("it must be a path, not the key; `darkroom config show` prints it")
    })
}
