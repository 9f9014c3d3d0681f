//! `cancel`, `retry`, `pause`, `resume`: a person's word.

use super::context::Context;
use super::out;
use super::{CliError, exit, shape};
use crate::service::control::{self, Cancelled};
use crate::service::find;
use crate::store::Store;
use crate::store::report::Noun;
use crate::store::settings::{ClearPause, SetPause, Switch};
use serde_json::{Map, Value, json};

/// Who acts, in events: the program, and the person as far as the system knows.
pub(super) fn actor() -> String {
    let person =
        ["SUDO_USER", "USER", "LOGNAME"].iter().filter_map(|name| std::env::var(name).ok());
    match person.map(|name| name.trim().to_owned()).find(|name| !name.is_empty()) {
        Some(name) => format!("cli ({name})"),
        None => "cli".to_owned(),
    }
}

/// Ask for the end of work. What the vendor already works on is watched to its end.
#[derive(Clone, Debug, clap::Args)]
pub struct Cancel {
    /// Ids or unique beginnings of them; a run means everything in it, a model its training and
    /// the photos that are still on their way.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

/// Cancels.
///
/// # Errors
/// No database, a bad id, or a database error.
pub async fn cancel(context: &Context, args: &Cancel) -> Result<u8, CliError> {
    let store = context.existing_store().await?;
    let subjects = find::subjects(&store, &args.ids).await?;
    let rows = control::cancel(&store, &subjects, &actor()).await?;
    let mut values = Vec::new();
    for Cancelled { kind, id, was_over } in &rows {
        let item = store.item(Noun::Work(*kind), *id).await?;
        if context.global.json {
            values.push(shape::object(&item, Map::new())?);
        } else if context.global.quiet {
            out::line(&id.to_string())?;
        } else {
            let word = match (*was_over, item.state.as_str()) {
                (true, state) => format!("already {state}"),
                (false, "cancelled") => "cancelled".to_owned(),
                (false, state) => format!(
                    "{state}; the vendor cannot be stopped, so it is watched to its end and what \
                     it brings is kept"
                ),
            };
            out::line(&format!("{kind} {id}: {word}"))?;
        }
    }
    if context.global.json {
        let several = rows.len() > 1 || args.ids.len() > 1;
        out::json(&shape::one_or_many(values, several))?;
    }
    Ok(exit::DONE)
}

/// Try again what failed, was cancelled or waits for a person.
#[derive(Clone, Debug, clap::Args)]
pub struct Retry {
    /// An id or a unique beginning of it; a run means everything in it that did not succeed.
    #[arg(value_name = "ID")]
    id: String,
    /// Buy again what was paid already, instead of fetching its result.
    #[arg(long)]
    resubmit: bool,
}

/// Retries.
///
/// # Errors
/// No database, a bad id, nothing to retry (exit 3), or a database error.
pub async fn retry(context: &Context, args: &Retry) -> Result<u8, CliError> {
    let store = context.existing_store().await?;
    let (noun, id) = find::subject(&store, &args.id).await?;
    let done = control::retry(&store, noun, id, args.resubmit, &actor()).await?;
    for (kind, row) in &done.resumed {
        out::talk(&format!("the {kind} {row} goes on"));
    }
    for (kind, row, newer) in done.retried.iter().filter(|(_, old, _)| done.earlier.contains(old)) {
        out::talk(&format!("the {kind} {row} was already retried as {newer}"));
    }
    if context.global.json {
        let list: Vec<Value> = done
            .retried
            .iter()
            .map(|(kind, old, new)| json!({ "kind": kind, "old": old, "new": new }))
            .collect();
        let mut extra = Map::new();
        extra.insert("retried".to_owned(), Value::Array(list));
        out::json(&shape::object(&store.item(noun, done.subject).await?, extra)?)?;
    } else {
        let new = done.retried.iter().filter(|(_, old, _)| !done.earlier.contains(old));
        for (kind, old, new) in new {
            out::talk(&format!("the {kind} {old} is tried again as {new}"));
        }
        out::line(&done.subject.to_string())?;
    }
    Ok(exit::DONE)
}

/// What can be paused.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum What {
    /// New submissions to the vendor.
    Spending,
    /// Polls, downloads and looks at calls in doubt.
    Watching,
}

impl What {
    fn switch(self) -> Switch {
        match self {
            Self::Spending => Switch::Spending,
            Self::Watching => Switch::Watching,
        }
    }
}

/// Stop spending or watching until `resume`; survives restarts.
#[derive(Clone, Debug, clap::Args)]
pub struct Pause {
    /// What to stop.
    #[arg(value_enum)]
    what: What,
    /// Why, for whoever wonders.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Pauses.
///
/// # Errors
/// A database error.
pub async fn pause(context: &Context, args: &Pause) -> Result<u8, CliError> {
    let store = context.store().await?;
    let switch = args.what.switch();
    let was = is_paused(&store, switch).await?;
    let write = SetPause {
        switch,
        reason: args.reason.clone().unwrap_or_else(|| "asked for on the command line".to_owned()),
        by: actor(),
    };
    store.writer().write(write).await?;
    let status = if was { "already_paused" } else { "paused" };
    say_switch(context, &store, switch, status).await
}

/// Go on with spending or watching.
#[derive(Clone, Debug, clap::Args)]
pub struct Resume {
    /// What to go on with.
    #[arg(value_enum)]
    what: What,
}

/// Resumes.
///
/// # Errors
/// A database error.
pub async fn resume(context: &Context, args: &Resume) -> Result<u8, CliError> {
    let store = context.store().await?;
    let switch = args.what.switch();
    let write = ClearPause { switch, only_by: None };
    let status = match store.writer().write(write).await? {
        true => "resumed",
        false => "already_running",
    };
    say_switch(context, &store, switch, status).await
}

async fn is_paused(store: &Store, switch: Switch) -> Result<bool, CliError> {
    let pauses = store.pauses().await?;
    Ok(match switch {
        Switch::Spending => pauses.spending,
        Switch::Watching => pauses.watching,
    }
    .is_some())
}

async fn say_switch(
    context: &Context,
    store: &Store,
    switch: Switch,
    status: &str,
) -> Result<u8, CliError> {
    let word = switch.as_str();
    if context.global.json {
        let pauses = store.pauses().await?;
        let pauses = json!({ "spending": pauses.spending, "watching": pauses.watching });
        out::json(&json!({ "switch": word, "status": status, "pauses": pauses }))?;
    } else if !context.global.quiet {
        out::line(&format!("{word}: {}", status.replace('_', " ")))?;
        super::ls::say_pauses(store).await?;
    }
    Ok(exit::DONE)
}
