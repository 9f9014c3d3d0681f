//! `darkroom token`: the keys to the daemon's door.

use super::context::Context;
use super::{CliError, exit, out};
use crate::http::token::{self, Scope};
use secrecy::ExposeSecret;
use serde_json::json;

/// Options of `darkroom token`.
#[derive(Clone, Debug, clap::Args)]
pub struct Token {
    /// What the token allows: read (look), submit (also order work), admin (everything).
    #[arg(long, default_value_t = Scope::Admin, value_name = "SCOPE")]
    pub scope: Scope,
    /// Make a new one first; the old one counts no more, also for a running daemon.
    #[arg(long)]
    pub rotate: bool,
}

/// Prints a local token, making it if there is none.
///
/// # Errors
/// The data directory cannot be written, or the file holds something else or is open to others.
pub fn run(context: &Context, args: &Token) -> Result<u8, CliError> {
    crate::store::open::create_data_dir(context.paths.data_dir())?;
    let path = args.scope.token_file(context.paths.data_dir());
    if args.rotate || !path.exists() {
        context.check_owner()?;
    }
    let token = if args.rotate { token::rotate(&path) } else { token::load_or_create(&path) };
    let token = token.map_err(|error| CliError::Error(error.to_string()))?;
    if context.global.json {
        out::json(&json!({ "token": token.expose_secret(), "scope": args.scope, "path": path }))?;
    } else {
        out::line(token.expose_secret())?;
    }
    Ok(exit::DONE)
}
