//! `darkroom show` and `darkroom events`: one row, and how it came to where it is.

use super::context::Context;
use super::out::{self, Look, clean};
use super::{CliError, shape, table};
use crate::domain::ids::Id;
use crate::service::find;
use crate::store::Store;
use crate::store::report::{Detail, EventRow, Item, Noun};
use serde_json::{Map, Value};

/// Show everything that is known about rows.
#[derive(Clone, Debug, clap::Args)]
pub struct Show {
    /// Ids or unique beginnings of them, vendor ids, model names.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

impl Show {
    /// For this row.
    pub fn of(id: Id) -> Self {
        Self { ids: vec![id.to_string()] }
    }
}

/// Shows.
///
/// # Errors
/// No database, a bad id, or a database error.
pub async fn show(context: &Context, args: &Show) -> Result<u8, CliError> {
    let store = context.existing_store().await?;
    let mut items = Vec::new();
    for (noun, id) in find::subjects(&store, &args.ids).await? {
        items.push(store.item(noun, id).await?);
    }
    if context.global.json {
        let values = items
            .iter()
            .map(|item| shape::object(item, Map::new()))
            .collect::<Result<Vec<_>, _>>()?;
        out::json(&shape::one_or_many(values, args.ids.len() > 1))?;
        return Ok(super::exit::DONE);
    }
    let look = Look::of_stdout(&context.global);
    for (at, item) in items.iter().enumerate() {
        if context.global.quiet {
            out::line(&item.id.to_string())?;
            continue;
        }
        if at > 0 {
            out::line("")?;
        }
        print(&store, item, &look).await?;
    }
    Ok(super::exit::DONE)
}

/// Every field that has a value, one per line; lists below.
async fn print(store: &Store, item: &Item, look: &Look) -> Result<(), CliError> {
    let Value::Object(object) = shape::object(item, Map::new())? else {
        return Ok(());
    };
    for (name, value) in &object {
        let text = match value {
            Value::Null | Value::Array(_) => continue,
            Value::String(text) if name.ends_with("_at") && look.terminal => relative(text, look),
            Value::String(text) => clean(text),
            other => clean(&other.to_string()),
        };
        out::line(&format!("{name:<20} {text}"))?;
    }
    for file in item.files() {
        out::line(&format!("{:<20} {}", "file", clean(&file.display().to_string())))?;
    }
    if let Detail::Run { members: Some(members), .. } = &item.detail {
        out::line("")?;
        table::print(store, members, table::columns(None), look).await?;
    }
    Ok(())
}

fn relative(text: &str, look: &Look) -> String {
    match chrono::DateTime::parse_from_rfc3339(text) {
        Ok(time) => format!("{text} ({})", out::relative(time.timestamp_millis() - look.now)),
        Err(_) => clean(text),
    }
}

/// Show what happened to a row, oldest first.
#[derive(Clone, Debug, clap::Args)]
pub struct Events {
    /// An id or a unique beginning of it; a run's events are those of everything in it.
    #[arg(value_name = "ID")]
    id: String,
    /// Keep going until everything has ended; with --json, one object per line.
    #[arg(short, long)]
    follow: bool,
    /// Leave out the line of column names.
    #[arg(long)]
    no_header: bool,
}

/// Shows events.
///
/// # Errors
/// No database, a bad id, or a database error.
pub async fn events(context: &Context, args: &Events) -> Result<u8, CliError> {
    let store = context.existing_store().await?;
    let (noun, id) = find::subject(&store, &args.id).await?;
    let mut look = Look::of_stdout(&context.global);
    look.header = !args.no_header;
    if args.follow {
        return follow(context, &store, noun, id).await;
    }
    let events = store.events(&event_subjects(&store, noun, id).await?, 0).await?;
    if context.global.quiet {
        let mut told = Vec::new();
        return events
            .iter()
            .try_for_each(|event| once(event, &mut told))
            .map(|()| super::exit::DONE);
    }
    if context.global.json {
        out::json(&events)?;
        return Ok(super::exit::DONE);
    }
    let mut rows: Vec<Vec<String>> = events.iter().map(|event| row(event, &look)).collect();
    let columns = ["at", "kind", "from", "state", "cause", "actor", "note", "id"];
    table::shorten_ids(&store, &columns, &mut rows, &look).await?;
    table::grid(&columns, &rows, &look)?;
    Ok(super::exit::DONE)
}

/// The row of an event, unless it was told already.
fn once(event: &EventRow, told: &mut Vec<String>) -> Result<(), CliError> {
    if told.contains(&event.subject) {
        return Ok(());
    }
    told.push(event.subject.clone());
    out::line(&event.subject)
}

async fn event_subjects(store: &Store, noun: Noun, id: Id) -> Result<Vec<Id>, CliError> {
    Ok(match noun {
        Noun::Run => {
            let members = store.run_members(id).await?;
            members.into_iter().map(|(_, id)| id).collect()
        }
        Noun::Work(_) => vec![id],
    })
}

fn row(event: &EventRow, look: &Look) -> Vec<String> {
    vec![
        look.time(event.at),
        event.kind.clone(),
        event.from_state.clone().unwrap_or_default(),
        event.to_state.clone(),
        event.cause.clone(),
        clean(&event.actor),
        look.text(&event.note, 80),
        event.subject.clone(),
    ]
}

async fn follow(context: &Context, store: &Store, noun: Noun, id: Id) -> Result<u8, CliError> {
    let mut watcher = store.watcher().await?;
    let mut last = 0;
    let mut told = Vec::new();
    loop {
        // Asked before the events are read: what ends in between is told in the next round.
        let ended = store.item(noun, id).await?.is_finished();
        let subjects = event_subjects(store, noun, id).await?;
        for event in store.events(&subjects, last).await? {
            last = event.seq;
            if context.global.json {
                out::json_line(&event)?;
            } else if context.global.quiet {
                once(&event, &mut told)?;
            } else {
                out::line(&sentence(&event))?;
            }
        }
        if ended {
            return Ok(super::exit::DONE);
        }
        watcher.changed().await?;
    }
}

/// One event on one line.
pub fn sentence(event: &EventRow) -> String {
    let from = event
        .from_state
        .as_ref()
        .filter(|from| **from != event.to_state)
        .map_or(String::new(), |from| format!("{from} -> "));
    let note = match event.note.as_str() {
        "" => String::new(),
        note => format!(": {}", clean(note)),
    };
    format!(
        "{}  {} {}  {from}{}  {} by {}{note}",
        event.at,
        event.kind,
        event.subject,
        event.to_state,
        event.cause.replace('_', " "),
        clean(&event.actor)
    )
}
