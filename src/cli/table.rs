//! Tables: aligned for people, tab-separated and whole for programs.

use super::CliError;
use super::out::{self, Look, clean};
use crate::domain::ids::Id;
use crate::domain::work::Kind;
use crate::store::Store;
use crate::store::report::{Detail, Duty, Item, Noun, OtherDuty};
use comfy_table::{Cell, Color, ContentArrangement, Table, presets};

/// Columns of prose, which may be shortened.
const PROSE: [&str; 13] = [
    "what",
    "why",
    "name",
    "file",
    "model",
    "prompt",
    "path",
    "note",
    "value",
    "origin",
    "finding",
    "what to do",
    "cause",
];
/// What is left out first on a narrow terminal.
const DISPENSABLE: [&str; 14] = [
    "created", "updated", "actor", "from", "bytes", "media", "training", "purpose", "type",
    "files", "model", "photos", "kind", "job",
];
/// The least that a column of prose keeps.
const NARROW: usize = 12;
/// Blanks between columns.
const GAP: u16 = 2;
/// Where a terminal does not tell its width, nothing is shortened.
const NO_WIDTH: usize = 10_000;

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

/// Prints rows as a table; on a terminal with ids as short as they can be typed.
///
/// # Errors
/// As [`out::line`], or a database error.
pub async fn print(
    store: &Store,
    items: &[Item],
    columns: &[&str],
    look: &Look,
) -> Result<(), CliError> {
    let mut rows: Vec<Vec<String>> = items
        .iter()
        .map(|item| columns.iter().map(|column| cell(item, column, look)).collect())
        .collect();
    shorten_ids(store, columns, &mut rows, look).await?;
    grid(columns, &rows, look)
}

/// Prints what waits for a person; a job at the vendor under the vendor's id.
///
/// # Errors
/// As [`out::line`], or a database error.
pub async fn print_duties(store: &Store, duties: &[Duty], look: &Look) -> Result<(), CliError> {
    let columns = columns(None);
    let of_listed = |duty: &OtherDuty, column: &str| match column {
        "id" => clean(&duty.id),
        "kind" => duty.kind.to_owned(),
        "state" => duty.state.to_owned(),
        "what" => clean(&look.text(&duty.label, 60)),
        "why" => clean(&look.text(&duty.why, 120)),
        _ => look.time(duty.updated_at),
    };
    let mut rows: Vec<Vec<String>> = duties
        .iter()
        .map(|duty| {
            let cells = columns.iter().map(|column| match duty {
                Duty::Row(item) => cell(item, column, look),
                Duty::Other(duty) => of_listed(duty, column),
            });
            cells.collect()
        })
        .collect();
    shorten_ids(store, columns, &mut rows, look).await?;
    grid(columns, &rows, look)
}

/// Shortens ids for a person, as far as they stay the beginning of one row only.
///
/// # Errors
/// A database error.
pub async fn shorten_ids(
    store: &Store,
    columns: &[&str],
    rows: &mut [Vec<String>],
    look: &Look,
) -> Result<(), CliError> {
    if !look.terminal {
        return Ok(());
    }
    let with_ids = |at: &usize| matches!(columns.get(*at), Some(&("id" | "job")));
    let places: Vec<usize> = (0..columns.len()).filter(with_ids).collect();
    let cells = rows.iter().flat_map(|row| places.iter().filter_map(|at| row.get(*at)));
    let mut ids: Vec<Id> = cells.filter_map(|text| Id::parse(text)).collect();
    ids.sort_unstable();
    ids.dedup();
    let short = store.short_ids(&ids).await?;
    for row in rows {
        for at in &places {
            if let Some(cell) = row.get_mut(*at)
                && let Some(short) = Id::parse(cell).and_then(|id| short.get(&id))
            {
                cell.clone_from(short);
            }
        }
    }
    Ok(())
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
    let width = Table::new().width().map_or(NO_WIDTH, usize::from);
    out::line(&aligned(columns, rows, look, width))
}

/// The table for a terminal of this width: one line per row whatever it takes.
fn aligned(columns: &[&str], rows: &[Vec<String>], look: &Look, width: usize) -> String {
    let names: Vec<usize> = columns.iter().map(|name| out::width(name)).collect();
    let natural = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|text| out::width(text));
        let name = if look.header { names.get(at).copied().unwrap_or(0) } else { 0 };
        cells.max().unwrap_or(0).max(name)
    };
    let mut shown: Vec<(usize, usize)> = (0..columns.len()).map(|at| (at, natural(at))).collect();
    fit(columns, &mut shown, width);
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if look.colour {
        table.enforce_styling();
    }
    let name = |at: usize| columns.get(at).copied().unwrap_or("");
    if look.header {
        table.set_header(shown.iter().map(|(at, _)| name(*at).to_uppercase()));
    }
    for row in rows {
        let cells = shown.iter().map(|(at, width)| {
            let text = out::shorten(row.get(*at).map_or("", String::as_str), *width);
            let colour = state_colour(&text).filter(|_| look.colour && name(*at) == "state");
            let cell = Cell::new(text);
            match colour {
                Some(colour) => cell.fg(colour),
                None => cell,
            }
        });
        table.add_row(cells);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    table.trim_fmt()
}

/// Narrows the columns of prose, the widest first; where that is not enough, leaves out columns
/// that `show` has too.
fn fit(columns: &[&str], shown: &mut Vec<(usize, usize)>, width: usize) {
    let name = |at: usize| columns.get(at).copied().unwrap_or("");
    let total = |shown: &[(usize, usize)]| {
        let cells: usize = shown.iter().map(|(_, width)| width + usize::from(GAP)).sum();
        cells.saturating_sub(usize::from(GAP))
    };
    let mut spare = DISPENSABLE.iter();
    loop {
        let least: usize = shown
            .iter()
            .map(
                |(at, width)| {
                    if PROSE.contains(&name(*at)) { (*width).min(NARROW) } else { *width }
                },
            )
            .sum::<usize>()
            + shown.len().saturating_sub(1) * usize::from(GAP);
        if least <= width {
            break;
        }
        let Some(column) = spare.next() else { break };
        shown.retain(|(at, _)| name(*at) != *column);
    }
    while total(shown) > width {
        let widest = shown
            .iter_mut()
            .filter(|(at, width)| PROSE.contains(&name(*at)) && *width > NARROW)
            .max_by_key(|(_, width)| *width);
        match widest {
            Some((_, width)) => *width -= 1,
            None => break,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_one_line_of_the_terminal() {
        let look = Look { terminal: true, colour: false, exact: false, header: true, now: 0 };
        let long = "waits for the model, which needs a person: ".repeat(3);
        for (columns, count) in [
            (columns(None), 6),
            (columns(Some(Noun::Work(Kind::Job))), 8),
            (columns(Some(Noun::Work(Kind::Output))), 7),
        ] {
            assert_eq!(columns.len(), count);
            let cell = |name: &&str| match *name {
                "id" | "job" => "0199abcd-ef01-7123-8".to_owned(),
                "state" => "attention".to_owned(),
                "created" | "updated" => "3 h 12 min ago".to_owned(),
                name if PROSE.contains(&name) => long.clone(),
                name => name.to_owned(),
            };
            let row: Vec<String> = columns.iter().map(cell).collect();
            for width in [60, 80, 120, 200] {
                let text = aligned(columns, &[row.clone(), row.clone()], &look, width);
                let lines: Vec<&str> = text.lines().collect();
                assert_eq!(lines.len(), 3, "{text}");
                assert!(lines.iter().all(|line| out::width(line) <= width), "{width}\n{text}");
                assert!(text.contains('…') && text.contains("0199abcd-ef01-7123-8"), "{text}");
            }
        }
    }
}
