//! A recipe's text to a [`Recipe`]: all faults at once.

use super::diagnostic::{Faults, Span};
use super::read::Reader;
use super::reference::quotable;
use super::step::{self, Context};
use super::{
    Declared, MAX_RECIPE_BYTES, MAX_STEPS, Recipe, RecipeError, RecipeModel, Step, StepKind, graph,
    model,
};
use crate::domain::catalogue::{Catalogue, did_you_mean, nearest};
use crate::domain::request::JobRequest;
use crate::domain::validate::MAX_NAME_CHARS;
use std::collections::BTreeSet;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

const KEYS: [&str; 3] = ["name", "model", "step"];

/// The longest name of a step, in characters. Ours: names become parts of file names.
const MAX_STEP_NAME_CHARS: usize = 64;

pub(super) fn recipe(text: &str, file: &str, catalogue: &Catalogue) -> Result<Recipe, RecipeError> {
    let mut faults = Faults::default();
    let recipe = read(text, catalogue, &mut faults);
    match (faults.into_error(text, file), recipe) {
        (Some(error), _) => Err(error),
        (None, Some(recipe)) => Ok(recipe),
        (None, None) => Err(unexplained(text, file)),
    }
}

/// Whoever returned nothing should have said why; an empty error would say even less than this.
fn unexplained(text: &str, file: &str) -> RecipeError {
    let mut faults = Faults::default();
    faults.add(0..0, "the recipe could not be read, and darkroom failed to notice why");
    let nothing = RecipeError { file: file.to_owned(), diagnostics: Vec::new() };
    faults.into_error(text, file).unwrap_or(nothing)
}

/// `None` only after a fault was noted.
fn read(text: &str, catalogue: &Catalogue, faults: &mut Faults) -> Option<Recipe> {
    if text.len() > MAX_RECIPE_BYTES {
        let bytes = text.len();
        faults.add(0..0, format!("{bytes} bytes are no recipe: the limit is {MAX_RECIPE_BYTES}"));
        return None;
    }
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            faults.add(error.span().unwrap_or(0..0), message);
            return None;
        }
    };
    let table = document.get_ref();
    let name = top_level(table, faults);
    let model = read_model(table, faults);
    let steps = read_steps(table, model.is_some(), catalogue, faults);
    let idle = match &model {
        None => true,
        Some(None) => false, // It has faults, which say enough.
        Some(Some(model)) => model.images().is_none(),
    };
    if idle && !table.contains_key("step") {
        faults.add(0..0, "the recipe does nothing: add a [[step]]");
    }
    let model = model.flatten();
    let links: Vec<_> = steps.iter().map(|(_, links)| links.clone()).collect();
    let order = graph::order(&links).unwrap_or_default();
    let steps = steps.into_iter().map(|(step, _)| step).collect::<Option<_>>()?;
    Some(Recipe { name, model, steps, order })
}

fn top_level(table: &DeTable<'_>, faults: &mut Faults) -> Option<String> {
    let mut reader = Reader::new(table, 0..0, "recipe".to_owned(), faults);
    refuse_unknown(&mut reader, &KEYS, |_| None);
    let name = reader.text("name")?;
    let blank = name.trim().is_empty() || name.chars().any(char::is_control);
    if blank || name.chars().count() > MAX_NAME_CHARS {
        reader.fault(
            "name",
            format!("`name` must be one line of 1 to {MAX_NAME_CHARS} characters, or left out"),
        );
    }
    Some(name)
}

/// The outer option says whether there is a section, the inner one whether it could be read.
fn read_model(table: &DeTable<'_>, faults: &mut Faults) -> Option<Option<RecipeModel>> {
    let value = table.get("model")?;
    let Some(section) = value.get_ref().as_table() else {
        faults.add(value.span(), "`model` must be a section: write [model] and its fields below");
        return Some(None);
    };
    let mut reader = Reader::new(section, value.span(), "[model]".to_owned(), faults);
    Some(model::read(&mut reader))
}

/// Every step, with the numbers of those it uses; `None` in place of one that could not be read.
fn read_steps(
    table: &DeTable<'_>,
    has_model: bool,
    catalogue: &Catalogue,
    faults: &mut Faults,
) -> Vec<(Option<Step>, Vec<usize>)> {
    let tables = step_tables(table, faults);
    let declared = declare(&tables, faults);
    let mut steps = Vec::new();
    for (own, (table, span)) in tables.iter().enumerate() {
        let context = Context { steps: &declared, own, has_model, catalogue };
        let label = label(&declared[own].name, own);
        let mut reader = Reader::new(table, span.clone(), label, faults);
        let request = step::read(&mut reader, &context);
        steps.push(finish(request, own, &declared));
    }
    refuse_cycles(&steps, &declared, &tables, faults);
    steps
}

fn finish(
    request: Option<JobRequest>,
    own: usize,
    declared: &[Declared],
) -> (Option<Step>, Vec<usize>) {
    let Some(mut template) = request else {
        return (None, Vec::new());
    };
    let links = step::links(&mut template);
    let step = Step {
        name: declared[own].name.clone(),
        outputs: declared[own].outputs,
        depends_on: links.iter().map(|n| declared[*n].name.clone()).collect(),
        template,
    };
    (Some(step), links)
}

fn label(name: &str, number: usize) -> String {
    if name.is_empty() {
        format!("step {}", number + 1)
    } else {
        format!("step `{}`", quotable(name))
    }
}

type Tables<'a, 'i> = Vec<(&'a DeTable<'i>, Span)>;

fn step_tables<'a, 'i>(table: &'a DeTable<'i>, faults: &mut Faults) -> Tables<'a, 'i> {
    let Some(value) = table.get("step") else {
        return Vec::new();
    };
    let items = match value.get_ref() {
        DeValue::Array(items) => items,
        _ => {
            faults.add(value.span(), "steps are a list: write [[step]] with two brackets");
            return Vec::new();
        }
    };
    if items.len() > MAX_STEPS {
        let count = items.len();
        faults.add(value.span(), format!("{count} steps are too many: split at {MAX_STEPS}"));
        return Vec::new();
    }
    let mut tables = Vec::new();
    for item in items.iter() {
        match item.get_ref().as_table() {
            Some(table) => tables.push((table, item.span())),
            None => faults.add(item.span(), "a step must be a table: write [[step]]"),
        }
    }
    if items.is_empty() {
        faults.add(value.span(), "the list of steps is empty: add a [[step]]");
    }
    tables
}

/// The names and types of all steps, so that steps may refer to later ones.
fn declare(tables: &Tables<'_, '_>, faults: &mut Faults) -> Vec<Declared> {
    let mut seen = BTreeSet::new();
    let mut declared = Vec::new();
    for (n, (table, span)) in tables.iter().enumerate() {
        let written = table.get("name").and_then(|name| name.get_ref().as_str());
        let label = label(written.unwrap_or_default(), n);
        let mut reader = Reader::new(table, span.clone(), label, faults);
        let name = reader.required_text("name", "give the step a name, such as \"hero\"");
        if let Some(name) = &name {
            check_name(&mut reader, name, &mut seen);
        }
        let kind = step_kind(&mut reader);
        // Looked at here without a complaint: reading the step makes it.
        let asked = table.get(match kind {
            Some(StepKind::Video) => "num_videos",
            _ => "num_images",
        });
        let outputs = match kind {
            Some(StepKind::Upscale) => 1,
            _ => asked.and_then(small_number).unwrap_or(1),
        };
        declared.push(Declared { name: name.unwrap_or_default(), kind, outputs });
    }
    declared
}

fn small_number(value: &Spanned<DeValue<'_>>) -> Option<u32> {
    let integer = value.get_ref().as_integer()?;
    u32::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn check_name(reader: &mut Reader<'_, '_>, name: &str, seen: &mut BTreeSet<String>) {
    let mut chars = name.chars();
    let starts = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let goes_on = chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if !starts || !goes_on || name.len() > MAX_STEP_NAME_CHARS {
        reader.fault(
            "name",
            format!(
                "a step's name starts with a letter and has up to {MAX_STEP_NAME_CHARS} letters, \
                 digits, `_` and `-`"
            ),
        );
    } else if !seen.insert(name.to_owned()) {
        reader.fault("name", "another step has the same name: choose a different one");
    }
}

fn step_kind(reader: &mut Reader<'_, '_>) -> Option<StepKind> {
    let hint = "write \"image\", \"upscale\" or \"video\"";
    let word = reader.required_text("type", hint)?;
    let kind = StepKind::ALL.into_iter().find(|kind| kind.as_str() == word);
    if kind.is_none() {
        let meant = did_you_mean(nearest(&word, StepKind::ALL.map(StepKind::as_str)));
        let word = quotable(&word);
        reader.fault("type", format!("`{word}` is not a type of step: {hint}{meant}"));
    }
    kind
}

fn refuse_cycles(
    steps: &[(Option<Step>, Vec<usize>)],
    declared: &[Declared],
    tables: &Tables<'_, '_>,
    faults: &mut Faults,
) {
    let links: Vec<_> = steps.iter().map(|(_, links)| links.clone()).collect();
    let Err(cycles) = graph::order(&links) else {
        return;
    };
    for cycle in cycles {
        let names = cycle.iter().chain(cycle.first()).filter_map(|n| declared.get(*n));
        let path: Vec<_> = names.map(|step| format!("`{}`", step.name)).collect();
        let span = cycle.first().and_then(|n| tables.get(*n)).map_or(0..0, |(_, s)| s.clone());
        let path = path.join(" needs ");
        faults.add(span, format!("these steps wait for each other: {path}; remove one reference"));
    }
}

/// Refuses keys that are not `known`. `explain` may know better than the nearest known one.
pub(super) fn refuse_unknown(
    reader: &mut Reader<'_, '_>,
    known: &[&str],
    explain: impl Fn(&str) -> Option<String>,
) {
    for (key, span) in reader.keys() {
        if known.contains(&key) {
            continue;
        }
        let message = explain(key).unwrap_or_else(|| {
            let meant = did_you_mean(nearest(key, known.iter().copied()));
            format!("unknown key `{}`{meant}", quotable(key))
        });
        reader.fault_at(span, message);
    }
}
