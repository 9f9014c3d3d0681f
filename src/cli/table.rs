//! Tables: aligned for people, tab-separated and whole for programs.

use super::CliError;
use super::out::{self, Look, clean};
use crate::domain::work::Kind;
use crate::store::report::{Detail, Item, Noun};
use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Table, presets};

/// The columns of a list.
pub fn columns(noun: Option<Noun>) -> &'static [&'static str] {
    match noun {
        None => &["id", "kind", "state", "what", "why", "updated"],
        Some(Noun::Run) => &["id", "name", "state", "done", "why", "created"],
        Some(Noun::Work(kind)) => match kind {
            Kind::Model => &["id", "name", "state", "photos", "training", "why", "created"],
            Kind::Upload => &["id", "file", "state", "purpose", "why", "created"],
            Kind::Training => &["id", "model", "state", "why", "created"],
            Kind::Job => &["id", "type", "state", "model", "prompt", "files", "why", "created"],
            Kind::Output => &["id", "job", "state", "media", "bytes", "path", "created"],
            Kind::Change => &["id", "what", "state", "why", "created"],
        },
    }
}

/// One cell of a list.
fn cell(item: &Item, column: &str, look: &Look) -> String {
    let common = match column {
        "id" => item.id.to_string(),
        "kind" => item.kind.to_string(),
        "state" => item.state.clone(),
        "what" => look.text(&item.label, 60),
        "why" => look.text(&item.why, 120),
        "created" => look.time(item.created_at),
        "updated" => look.time(item.updated_at),
        _ => return own_cell(item, column, look),
    };
    clean(&common)
}

fn own_cell(item: &Item, column: &str, look: &Look) -> String {
    let option = |text: &Option<String>| text.clone().unwrap_or_default();
    let text = match (&item.detail, column) {
        (Detail::Model { name, .. } | Detail::Run { name, .. }, "name") => look.text(name, 40),
        (Detail::Model { photos, photos_total, .. }, "photos") => {
            format!("{photos}/{photos_total}")
        }
        (Detail::Model { training, .. }, "training") => {
            training.as_ref().map_or(String::new(), |training| training.state.clone())
        }
        (Detail::Run { done, total, .. }, "done") => format!("{done}/{total}"),
        (Detail::Upload { file_name, .. }, "file") => look.text(file_name, 40),
        (Detail::Upload { purpose, .. }, "purpose") => purpose.clone(),
        (Detail::Training { model, .. } | Detail::Job { model, .. }, "model") => {
            look.text(&option(model), 30)
        }
        (Detail::Job { r#type, .. }, "type") => r#type.clone(),
        (Detail::Job { prompt, .. }, "prompt") => look.text(&option(prompt), 40),
        (Detail::Job { outputs, .. }, "files") => outputs.len().to_string(),
        (Detail::Output { job_id, .. }, "job") => job_id.clone(),
        (Detail::Output { media, .. }, "media") => media.clone(),
        (Detail::Output { bytes, .. }, "bytes") => {
            bytes.map_or(String::new(), |bytes| bytes.to_string())
        }
        (Detail::Output { path, .. }, "path") => {
            path.as_ref().map_or(String::new(), |path| path.display().to_string())
        }
        _ => String::new(),
    };
    clean(&text)
}

/// Prints rows as a table.
///
/// # Errors
/// As [`out::line`].
pub fn print(items: &[Item], columns: &[&str], look: &Look) -> Result<(), CliError> {
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|item| columns.iter().map(|column| cell(item, column, look)).collect())
        .collect();
    grid(columns, &rows, look)
}

/// Prints any rows as a table; the column `state` is coloured.
///
/// # Errors
/// As [`out::line`].
pub fn grid(columns: &[&str], rows: &[Vec<String>], look: &Look) -> Result<(), CliError> {
    if !look.terminal {
        let mut text = Vec::with_capacity(rows.len() + 1);
        if look.header {
            text.push(columns.join("\t"));
        }
        text.extend(rows.iter().map(|row| row.join("\t")));
        return if text.is_empty() { Ok(()) } else { out::line(&text.join("\n")) };
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if look.colour {
        table.enforce_styling();
    }
    if look.header {
        table.set_header(columns.iter().map(|name| name.to_uppercase()));
    }
    for row in rows {
        let cells = columns.iter().zip(row).map(|(column, text)| {
            let cell = Cell::new(text);
            match (look.colour && *column == "state", state_colour(text)) {
                (true, Some(colour)) => cell.fg(colour),
                _ => cell,
            }
        });
        table.add_row(cells);
    }
    // An id broken over two lines cannot be copied.
    for (at, column) in columns.iter().enumerate() {
        if matches!(*column, "id" | "state" | "kind" | "created" | "updated")
            && let Some(column) = table.column_mut(at)
        {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    out::line(&table.trim_fmt())
}

fn state_colour(state: &str) -> Option<Color> {
    Some(match state {
        "succeeded" | "ok" => Color::Green,
        "failed" | "fail" => Color::Red,
        "attention" | "warn" => Color::Yellow,
        "running" | "collecting" | "submitting" => Color::Cyan,
        "in_doubt" => Color::Magenta,
        "cancelled" => Color::DarkGrey,
        _ => return None,
    })
}
