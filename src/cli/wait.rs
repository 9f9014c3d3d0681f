//! Waiting until work is done: `darkroom wait`, and the end of every submitting command.

use super::context::{Context, TailArgs};
use super::out::{self, clean};
use super::progress::Progress;
use super::waiting::{Snapshot, Target, Verdict};
use super::{CliError, exit, shape};
use crate::domain::ids::Id;
use crate::domain::work::Kind;
use crate::service::find;
use crate::store::Store;
use crate::store::report::{Item, Noun};
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::time::Instant;

/// How often a person's progress display is redrawn between changes.
const REDRAW: Duration = Duration::from_secs(1);

/// Wait until rows are done. A run means everything in it, a model its training and photos.
#[derive(Clone, Debug, clap::Args)]
pub struct Wait {
    /// Ids or unique beginnings of them.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// How long to wait at most (`90s`, `30m`, `2h`); exit code 5 when it still runs then.
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
}

/// Waits.
///
/// # Errors
/// No database, a bad id or duration, or a database error.
pub async fn run(context: &Context, args: &Wait) -> Result<u8, CliError> {
    let timeout = timeout(args.timeout.as_deref())?;
    let store = context.existing_store().await?;
    let mut target = Target::new(find::subjects(&store, &args.ids).await?);
    let Some(snapshot) = wait(context, &store, &mut target, timeout).await? else {
        return Ok(exit::INTERRUPTED);
    };
    let mut values = Vec::new();
    for (noun, id) in target.subjects() {
        let item = store.item(*noun, *id).await?;
        if context.global.json {
            values.push(shape::object(&item, Map::new())?);
        } else if context.global.quiet {
            out::line(&item.id.to_string())?;
        } else {
            say_item(&item, &snapshot);
        }
    }
    if context.global.json {
        out::json(&shape::one_or_many(values, args.ids.len() > 1))?;
    }
    Ok(finish(&snapshot))
}

/// The end of every submitting command: prints the id, then waits if asked to.
///
/// Text: the id on stdout, the next useful command on stderr. `--json` prints the row's object with
/// the fields `extra`: at once without `--wait`, else once, at the end.
///
/// # Errors
/// A bad duration, or a database error.
pub async fn tail(
    context: &Context,
    store: &Store,
    (subject_kind, id): (&str, Id),
    extra: Map<String, Value>,
    tail: &TailArgs,
    is_new: bool,
) -> Result<u8, CliError> {
    let noun = Noun::parse(subject_kind)
        .ok_or_else(|| CliError::Error(format!("nothing is called a {subject_kind}")))?;
    let timeout = timeout(tail.timeout.as_deref())?;
    if !context.global.json {
        out::line(&id.to_string())?;
    } else if !tail.wait {
        out::json(&shape::object(&store.item(noun, id).await?, extra.clone())?)?;
    }
    if !tail.wait {
        say_next(context, id, is_new);
        return Ok(exit::DONE);
    }
    let mut target = Target::new(vec![(noun, id)]);
    let Some(snapshot) = wait(context, store, &mut target, timeout).await? else {
        return Ok(exit::INTERRUPTED);
    };
    // Retried meanwhile: the row that took its place is what was waited for.
    let (noun, id) = target.subjects().first().copied().unwrap_or((noun, id));
    let item = store.item(noun, id).await?;
    if context.global.json {
        out::json(&shape::object(&item, extra)?)?;
    } else if !context.global.quiet {
        say_item(&item, &snapshot);
    }
    Ok(finish(&snapshot))
}

/// Reads `--timeout`: before anything is stored, a submitting command should call this.
///
/// # Errors
/// A sentence that says how durations read (exit 2).
pub fn timeout(text: Option<&str>) -> Result<Option<Duration>, CliError> {
    text.map(crate::config::parse_duration)
        .transpose()
        .map_err(|error| CliError::Usage(format!("--timeout: {error}")))
}

fn say_next(context: &Context, id: Id, is_new: bool) {
    if context.global.quiet {
        return;
    }
    let accepted = if is_new { "accepted; " } else { "" };
    if context.daemon_is_running() {
        out::talk(&format!("{accepted}`darkroom wait {id}` waits for it"));
    } else {
        out::talk(&format!(
            "{accepted}no daemon is running: work starts once `darkroom serve` runs"
        ));
    }
}

/// Waits until the verdict is in, the time is up (a snapshot that still runs) or Ctrl-C (`None`).
async fn wait(
    context: &Context,
    store: &Store,
    target: &mut Target,
    timeout: Option<Duration>,
) -> Result<Option<Snapshot>, CliError> {
    // A time beyond what the clock can hold is no limit.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut watcher = store.watcher().await?;
    let mut progress = Progress::new(&context.global, store).await?;
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    let mut said_no_daemon = false;
    loop {
        let snapshot = target.look(store).await?;
        progress.show(&snapshot);
        if snapshot.verdict() != Verdict::Running {
            progress.clear();
            return Ok(Some(snapshot));
        }
        if !said_no_daemon && !context.daemon_is_running() {
            said_no_daemon = true;
            progress.say(&format!(
                "no daemon is running on {}; start it with `darkroom serve`; waiting",
                context.paths.data_dir().display()
            ));
        }
        loop {
            tokio::select! {
                changed = watcher.changed() => {
                    changed?;
                    break;
                }
                () = until(deadline) => {
                    progress.clear();
                    return Ok(Some(snapshot));
                }
                _ = &mut interrupt => {
                    progress.clear();
                    out::talk(&detached(target));
                    return Ok(None);
                }
                () = tokio::time::sleep(REDRAW), if progress.is_live() => progress.redraw(&snapshot),
            }
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn detached(target: &Target) -> String {
    let ids: Vec<String> = target.subjects().iter().map(|(_, id)| id.to_string()).collect();
    format!("detached, the work goes on; `darkroom wait {}` comes back", ids.join(" "))
}

/// Says why it did not end well and answers the exit code.
fn finish(snapshot: &Snapshot) -> u8 {
    let verdict = snapshot.verdict();
    for reason in snapshot.reasons() {
        out::talk(&clean(&reason));
    }
    match verdict {
        Verdict::Running => out::talk("still running; the work goes on"),
        Verdict::Person => {
            let parked = snapshot.items.iter().any(|item| {
                item.state == "attention" || (item.state == "waiting" && !snapshot.is_paused())
            });
            out::talk(if parked {
                "a person is needed; `darkroom ls attention` and `darkroom explain ID` help"
            } else {
                "a person is needed; `darkroom doctor` says how to mend it"
            });
        }
        Verdict::Done | Verdict::Failed => {}
    }
    verdict.code()
}

/// One line about a row that was waited for, and its files.
fn say_item(item: &Item, snapshot: &Snapshot) {
    // A model whose training failed did not succeed in any way that people mean.
    if item.kind == Noun::Work(Kind::Model)
        && item.state == "succeeded"
        && snapshot.items.iter().any(|other| other.state == "failed" && item.id != other.id)
        && snapshot.verdict() != Verdict::Running
    {
        return;
    }
    let what = match item.kind {
        Noun::Run | Noun::Work(Kind::Model) => clean(&item.label),
        Noun::Work(_) => format!("{} {}", clean(&item.label), item.id),
    };
    out::talk(&format!("{what}: {}", item.state));
    for file in item.files() {
        out::talk(&format!("  {}", clean(&file.display().to_string())));
    }
}

#[cfg(test)]
#[path = "wait_tests.rs"]
mod tests;
