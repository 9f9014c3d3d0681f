//! `darkroom config`: what is configured, and where that comes from.

use super::context::{Context, GlobalArgs};
use super::out::{self, Look};
use super::{CliError, table};
use crate::config::{ApiKeySource, Config, Env};
use serde_json::{Map, json};

/// Show the configuration or where its file is.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum ConfigCommand {
    /// Print every key and its value; secrets are masked.
    Show {
        /// Also print where each value came from.
        #[arg(long)]
        origin: bool,
        /// Leave out the line of column names.
        #[arg(long)]
        no_header: bool,
    },
    /// Print the path of the configuration file, whether or not it exists.
    Path,
}

/// Runs `config path`, which works with a broken file too.
///
/// # Errors
/// There is no folder for it.
pub fn path(global: &GlobalArgs) -> Result<u8, CliError> {
    let file = Config::file(&Context::flags(global), &Env::from_process()).ok_or_else(|| {
        CliError::Error(
            "there is no home folder, so no configuration file; name one with --config".to_owned(),
        )
    })?;
    if global.json {
        out::json(&json!({ "path": file, "exists": file.is_file() }))?;
    } else {
        out::line(&file.display().to_string())?;
        if !file.is_file() {
            out::talk("it does not exist; the defaults apply");
        }
    }
    Ok(super::exit::DONE)
}

/// Where the API key comes from, without the key.
pub fn key_source(context: &Context) -> String {
    match context.config.api_key_source(&context.env) {
        None => "not set".to_owned(),
        Some(ApiKeySource::Env) => "set by PHOTOGPT_API_KEY".to_owned(),
        Some(ApiKeySource::File(path)) => format!("in {}", path.display()),
        Some(ApiKeySource::Credential(path)) => format!("in the credential {}", path.display()),
    }
}

/// Runs `config show`.
///
/// # Errors
/// As [`out::line`].
pub fn show(context: &Context, origin: bool, header: bool) -> Result<u8, CliError> {
    let mut rows: Vec<Vec<String>> = context
        .config
        .origins()
        .map(|setting| vec![setting.key.path(), setting.value.clone(), setting.origin.to_string()])
        .collect();
    rows.push(vec!["api key".to_owned(), key_source(context), String::new()]);
    let folder = context.paths.data_dir().display().to_string();
    rows.push(vec!["data directory".to_owned(), folder, String::new()]);
    if context.global.json {
        let object: Map<String, serde_json::Value> = rows
            .into_iter()
            .map(|mut row| {
                let (from, value) = (row.pop(), row.pop());
                let name = row.pop().unwrap_or_default();
                (name, json!({ "value": value, "origin": from }))
            })
            .collect();
        out::json(&object)?;
        return Ok(super::exit::DONE);
    }
    if context.global.quiet {
        return rows
            .iter()
            .filter_map(|row| row.first())
            .try_for_each(|key| out::line(key))
            .map(|()| super::exit::DONE);
    }
    let columns: &[&str] = if origin {
        &["key", "value", "origin"]
    } else {
        rows.iter_mut().for_each(|row| row.truncate(2));
        &["key", "value"]
    };
    let mut look = Look::of_stdout(&context.global);
    look.header = header;
    table::grid(columns, &rows, &look)?;
    Ok(super::exit::DONE)
}
