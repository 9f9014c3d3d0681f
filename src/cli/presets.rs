//! `darkroom presets`: what the vendor offers for `--preset`. A free read; needs no daemon.

use super::{CliError, Context, exit, out};
use crate::config::ConfigError;
use crate::domain::failure::{Failure, FailureClass};
use crate::vendor::{Client, ClientConfig, Preset};
use serde_json::Value;

/// List the vendor's presets, whose tags `darkroom image --preset` takes.
///
/// Asks the vendor directly; costs nothing and needs no daemon.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  darkroom presets
  darkroom presets --json     every field the vendor shows")]
pub struct PresetsArgs {}

pub(super) async fn run(ctx: &Context, _args: PresetsArgs) -> Result<u8, CliError> {
    let client = client(ctx)?;
    let presets = client.presets().await.map_err(|failure| said(&failure))?;
    print(ctx, &presets.value)?;
    Ok(exit::DONE)
}

fn print(ctx: &Context, presets: &[Preset]) -> Result<(), CliError> {
    if ctx.global.json {
        let raw: Vec<Value> = presets.iter().map(|preset| preset.raw.clone()).collect();
        return out::line(&Value::Array(raw).to_string());
    }
    if presets.is_empty() {
        out::talk("the vendor lists no presets");
    }
    for preset in presets {
        let tag = preset.tag.clone();
        let line = tag.unwrap_or_else(|| preset.raw.to_string());
        out::line(&line.replace(char::is_control, " "))?;
    }
    Ok(())
}

/// The vendor, for a free read from the command line.
pub(super) fn client(ctx: &Context) -> Result<Client, CliError> {
    let key = ctx
        .config
        .api_key(&ctx.env)
        .map_err(|error: ConfigError| CliError::Usage(error.to_string()))?;
    let Some(key) = key else {
        return Err(CliError::Usage(
            "there is no API key: set PHOTOGPT_API_KEY, or vendor.api_key_file in the \
             configuration"
                .to_owned(),
        ));
    };
    let vendor = &ctx.config.vendor;
    let mut config = ClientConfig::new(vendor.base_url.url().clone(), key);
    config.request_timeout = vendor.request_timeout;
    config.connect_timeout = vendor.connect_timeout;
    config.proxy = vendor.proxy.url().cloned();
    Client::new(&config).map_err(|error| CliError::Usage(format!("vendor: {error}")))
}

fn said(failure: &Failure) -> CliError {
    if failure.class == FailureClass::Unauthorized {
        out::talk(&format!(
            "error: {} (check PHOTOGPT_API_KEY, or the file that vendor.api_key_file names)",
            failure.message
        ));
        return CliError::Silent(exit::PERSON);
    }
    CliError::Error(failure.message.clone())
}
