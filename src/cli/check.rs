//! `darkroom check`: looks at a folder of photos as a training would. Needs no database.

use super::{CliError, Context, exit, out};
use crate::domain::photo::{Integrity, PhotoFacts, PhotoRules, Preflight, preflight};
use crate::files::folder::inspect_folder;
use crate::service::blocking;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Check a folder of photos as `darkroom train` would, for free.
///
/// Looks at the number of photos, their format by content, size and pixels, exact copies and
/// look-alikes. HEIC gets no pixel checks. Exit code 0: usable; 2: not.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  darkroom check ./photos && darkroom train --name Anna --age 27 --gender Female --images ./photos")]
pub struct CheckArgs {
    /// The folder of photos.
    dir: PathBuf,
    /// Judge as `train --skip-bad` does: bad files and exact copies are left out.
    #[arg(long)]
    skip_bad: bool,
}

pub(super) async fn run(ctx: &Context, args: CheckArgs) -> Result<u8, CliError> {
    let folder = args.dir.clone();
    let facts = blocking(move || inspect_folder(&folder))
        .await?
        .map_err(|error| CliError::Usage(error.to_string()))?;
    let rules = PhotoRules { skip_bad: args.skip_bad, ..PhotoRules::default() };
    let report = preflight(&facts, &rules);
    if ctx.global.json {
        out::line(&as_json(&args.dir, &facts, &report).to_string())?;
    } else {
        print(&facts, &report, ctx.global.quiet)?;
    }
    Ok(if report.ok() { exit::DONE } else { exit::USAGE })
}

fn print(facts: &[PhotoFacts], report: &Preflight, quiet: bool) -> Result<(), CliError> {
    if !quiet {
        for fact in facts {
            out::line(&line(fact, report))?;
        }
    }
    for warning in &report.warnings {
        out::talk(&format!("warning: {warning}"));
    }
    for problem in &report.problems {
        out::talk(&format!("error: {problem}"));
    }
    if report.ok() {
        out::talk(&format!("{} photos can be used for a training", report.chosen.len()));
    }
    Ok(())
}

/// Name, format, pixels, size and verdict, separated by tabs as `ls` in a pipe does.
fn line(fact: &PhotoFacts, report: &Preflight) -> String {
    let media = fact.media.map_or("-", |media| media.label());
    let pixels =
        fact.pixels.map_or_else(|| "-".to_owned(), |(width, height)| format!("{width}x{height}"));
    let (verdict, _) = verdict(fact, report);
    format!("{}\t{media}\t{pixels}\t{}\t{verdict}", fact.name, size(fact.bytes))
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", bytes.div_ceil(1_000)),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

/// `used`, `bad` or `left out`, and why when not used.
fn verdict<'a>(fact: &PhotoFacts, report: &'a Preflight) -> (&'static str, Option<&'a str>) {
    let left_out = report.left_out.iter().find(|file| file.path == fact.path);
    match left_out {
        None => ("used", None),
        Some(file) => {
            let bad = fact.ignored().is_none()
                && (fact.integrity != Integrity::Ok || report.problems.contains(&file.reason));
            (if bad { "bad" } else { "left out" }, Some(&file.reason))
        }
    }
}

fn as_json(dir: &Path, facts: &[PhotoFacts], report: &Preflight) -> Value {
    let photo = |fact: &PhotoFacts| {
        let (verdict, reason) = verdict(fact, report);
        json!({
            "name": fact.name,
            "path": fact.path.to_string_lossy(),
            "media_type": fact.media.map(|media| media.mime()),
            "width": fact.pixels.map(|(width, _)| width),
            "height": fact.pixels.map(|(_, height)| height),
            "bytes": fact.bytes,
            "sha256": fact.sha256,
            "verdict": verdict,
            "reason": reason,
        })
    };
    json!({
        "folder": dir.to_string_lossy(),
        "usable": report.ok(),
        "chosen": report.chosen.len(),
        "photos": facts.iter().map(photo).collect::<Vec<_>>(),
        "problems": report.problems,
        "warnings": report.warnings,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1_001), "2 kB");
        assert_eq!(size(20_990_000), "20.9 MB");
    }
}
