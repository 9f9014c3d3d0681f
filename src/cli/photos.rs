//! Photos of a command: looked at and judged, faults and warnings said.

use super::submit::Faults;
use super::{CliError, out};
use crate::domain::photo::{ChosenPhoto, PhotoRules, Preflight, preflight};
use crate::files::folder::{inspect_files, inspect_folder};
use crate::service::photos::judge_one;
use crate::service::{blocking, shown};
use std::path::Path;

/// Judges a folder for a training; `None` after faults were noted. Warnings are said at once.
pub(super) async fn from_folder(
    folder: &Path,
    skip_bad: bool,
    faults: &mut Faults,
) -> Result<Option<Vec<ChosenPhoto>>, CliError> {
    let path = folder.to_owned();
    let facts = match blocking(move || inspect_folder(&path)).await? {
        Ok(facts) => facts,
        Err(error) => {
            faults.add(error.to_string());
            return Ok(None);
        }
    };
    let rules = PhotoRules { skip_bad, ..PhotoRules::default() };
    let report = blocking(move || preflight(&facts, &rules)).await?;
    say_warnings(&report);
    if report.ok() {
        return Ok(Some(report.chosen));
    }
    for problem in report.problems {
        faults.add(problem);
    }
    Ok(None)
}

/// Judges one photo.
pub(super) async fn from_file(
    file: &Path,
    faults: &mut Faults,
) -> Result<Option<ChosenPhoto>, CliError> {
    let path = file.to_owned();
    if path.is_dir() {
        faults.add(format!("{} is a folder: name one photo", shown(&path.to_string_lossy())));
        return Ok(None);
    }
    if !path.exists() {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let name = out::clean(&name);
        faults.add(format!("\"{name}\" cannot be read: there is no such file."));
        return Ok(None);
    }
    let facts = blocking(move || inspect_files(&[path])).await?;
    let Some(facts) = facts.first() else { return Ok(None) };
    let mut report = judge_one(facts);
    say_warnings(&report);
    for problem in report.problems.drain(..) {
        faults.add(problem);
    }
    Ok(report.chosen.pop())
}

fn say_warnings(report: &Preflight) {
    for warning in &report.warnings {
        out::talk(&format!("warning: {warning}"));
    }
}
