//! `darkroom release`: opens a database that is in quarantine, after showing what the vendor has.

use super::context::Context;
use super::out::{self, Look, clean};
use super::{CliError, exit, presets, table};
use crate::clock::{Clock, SystemClock};
use crate::domain::failure::{Failure, FailureClass};
use crate::domain::ids::Millis;
use crate::domain::quarantine::{Class, Quarantine};
use crate::domain::work::Kind;
use crate::engine::guard;
use crate::store::quarantine::{Release as ReleaseWrite, SetQuarantine, Unsent};
use crate::store::report::Time;
use crate::store::{Store, StoreError};
use crate::vendor::{Client, JobStatus, ListedJob, ModelStatus, RemoteModel};
use serde::Serialize;
use serde_json::json;
use std::io::{BufRead, IsTerminal};

/// Who released it, in the chain.
const ACTOR: &str = "cli";
/// How far back the vendor's jobs are listed.
const DAYS: Millis = 7;
const DAY: Millis = 24 * 60 * 60 * 1000;
/// The vendor's clock may be ahead of ours.
const AHEAD: Millis = 60 * 60 * 1000;
/// What a person types.
const WORD: &str = "release";

/// Open a database that is in quarantine, after listing what the vendor has.
///
/// A database that is older than its high-water file, damaged, or of another account sends nothing
/// until somebody has compared it with what the vendor has: an old copy would buy again what it
/// does not know of. Settle what is listed as nobody's first (`darkroom cancel`, `darkroom resolve`).
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  darkroom release                       lists, then asks
  darkroom release --yes --reason \"compared with the vendor's list\"
  darkroom release --json                the lists for a program; releases nothing without --yes")]
pub struct Release {
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
    /// Why it is safe, for the record.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Release although the vendor cannot be asked what it has.
    #[arg(long)]
    without_list: bool,
}

/// A model at the vendor.
#[derive(Debug, Serialize)]
struct TheirModel {
    id: String,
    name: Option<String>,
    created_at: Option<Time>,
    status: String,
    /// Whether a row of this database claims it.
    claimed: bool,
}

/// A job at the vendor.
#[derive(Debug, Serialize)]
struct TheirJob {
    id: String,
    created_at: Option<Time>,
    status: String,
    credits: Option<f64>,
    /// Whether a row of this database claims it.
    claimed: bool,
}

/// What the vendor has.
#[derive(Debug, Serialize)]
struct Theirs {
    models: Vec<TheirModel>,
    jobs: Vec<TheirJob>,
}

/// Explains, lists, asks, releases.
///
/// # Errors
/// No database (exit 2), neither a terminal nor `--yes` (exit 2), a vendor that cannot be asked
/// (exit 1), or a database error.
pub async fn run(context: &Context, args: &Release) -> Result<u8, CliError> {
    context.check_owner()?;
    let store = context.existing_store().await?;
    let done = release(context, args, &store).await;
    store.close().await;
    done
}

async fn release(context: &Context, args: &Release, store: &Store) -> Result<u8, CliError> {
    let Some(quarantine) = quarantine(store).await? else {
        return not_needed(context);
    };
    let theirs = match theirs(context, store).await {
        Ok(theirs) => Some(theirs),
        Err(why) if args.without_list => {
            out::talk(&format!("what the vendor has is not known: {}", clean(&why)));
            None
        }
        Err(why) => {
            return Err(CliError::Error(format!(
                "not released: what the vendor has cannot be listed ({why}); try again when it \
                 answers, or use --without-list"
            )));
        }
    };
    let unsent = store.unsent_paid().await?;
    if !context.global.json {
        explain(context, &quarantine, theirs.as_ref(), &unsent)?;
    }
    let go = args.yes || !context.global.json && confirmed()?;
    if go {
        open(args, store, theirs.is_some()).await?;
    }
    if context.global.json {
        let (models, jobs) = theirs.map_or((None, None), |all| (Some(all.models), Some(all.jobs)));
        out::json(&json!({
            "released": go, "quarantine": quarantine, "models": models, "jobs": jobs,
            "to_send": unsent,
        }))?;
    } else if go && !context.global.quiet {
        out::line("released")?;
    }
    if go {
        return Ok(exit::DONE);
    }
    let again = "nothing was released; add --yes to release without being asked";
    out::talk(again);
    Ok(if context.global.json || !asks() { exit::USAGE } else { exit::ERROR })
}

/// The quarantine that holds, or that the next start of the daemon would find.
async fn quarantine(store: &Store) -> Result<Option<Quarantine>, StoreError> {
    if let Some(quarantine) = store.quarantine().await? {
        return Ok(Some(quarantine));
    }
    let Some(quarantine) = guard::assess(store).await?.verdict else {
        return Ok(None);
    };
    // Stored first, so that a release that is cut off half-way leaves it closed.
    Ok(Some(store.writer().write(SetQuarantine { quarantine }).await?.0))
}

fn not_needed(context: &Context) -> Result<u8, CliError> {
    if context.global.json {
        out::json(&json!({ "released": false, "quarantine": null }))?;
    } else if !context.global.quiet {
        out::line("there is nothing to release: the database is not in quarantine")?;
    }
    Ok(exit::DONE)
}

/// The file first: until the database says so too, it stays in quarantine, whatever happens.
async fn open(args: &Release, store: &Store, listed: bool) -> Result<(), CliError> {
    guard::accept(store).await.map_err(|source| StoreError::Io {
        path: crate::files::highwater::path(store.data_dir()),
        source,
    })?;
    let write = ReleaseWrite { by: ACTOR.to_owned(), reason: args.reason.clone(), listed };
    store.writer().write(write).await?;
    Ok(())
}

fn asks() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks a person; nobody there means no.
fn confirmed() -> Result<bool, CliError> {
    if !asks() {
        return Ok(false);
    }
    out::talk(&format!("Type `{WORD}` to let this database send and buy again:"));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| CliError::Error(format!("stdin cannot be read: {error}")))?;
    Ok(answer.trim() == WORD)
}

async fn theirs(context: &Context, store: &Store) -> Result<Theirs, String> {
    let client = presets::client(context).map_err(|error| error.to_string())?;
    let said = |failure: Failure| match failure.class {
        FailureClass::Unauthorized => {
            format!("{}; put the right key in place first", failure.message)
        }
        _ => failure.message,
    };
    let models = client.list_models().await.map_err(said)?.value;
    let jobs = recent_jobs(&client).await.map_err(said)?;
    let ids = models.iter().map(|model| model.id.0.clone()).collect::<Vec<_>>();
    let our_models = store.claimed(Kind::Model, &ids).await.map_err(|e| e.to_string())?;
    let ids = jobs.iter().map(|job| job.job_id.0.clone()).collect::<Vec<_>>();
    let our_jobs = store.claimed(Kind::Job, &ids).await.map_err(|e| e.to_string())?;
    Ok(Theirs {
        models: models.into_iter().map(|model| their_model(model, &our_models)).collect(),
        jobs: jobs.into_iter().map(|job| their_job(job, &our_jobs)).collect(),
    })
}

async fn recent_jobs(client: &Client) -> Result<Vec<ListedJob>, Failure> {
    let now = client.vendor_now().unwrap_or_else(|| SystemClock::new().now());
    Ok(client.all_jobs(now - DAYS * DAY, now + AHEAD).await?.value)
}

fn their_model(model: RemoteModel, ours: &[String]) -> TheirModel {
    let status = match model.status {
        ModelStatus::Other(word) => word,
        known => format!("{known:?}").to_lowercase(),
    };
    TheirModel {
        claimed: ours.contains(&model.id.0),
        id: model.id.0,
        name: model.name,
        created_at: model.created_at.map(Time),
        status,
    }
}

fn their_job(job: ListedJob, ours: &[String]) -> TheirJob {
    let status = match job.status {
        JobStatus::Other(word) => word,
        known => format!("{known:?}").to_lowercase(),
    };
    TheirJob {
        claimed: ours.contains(&job.job_id.0),
        id: job.job_id.0,
        created_at: job.created_at.map(Time),
        status,
        credits: job.credits,
    }
}

fn explain(
    context: &Context,
    quarantine: &Quarantine,
    theirs: Option<&Theirs>,
    unsent: &[Unsent],
) -> Result<(), CliError> {
    out::talk(&format!(
        "In quarantine since {}: {}.",
        Time(quarantine.at),
        clean(&quarantine.reason)
    ));
    out::talk(advice(quarantine.class));
    let look = Look::of_stdout(&context.global);
    if let Some(theirs) = theirs {
        print_theirs(theirs, &look)?;
    }
    if unsent.is_empty() {
        out::talk("\nNo paid work waits to be sent.");
        return Ok(());
    }
    out::talk(&format!("\nPaid work that goes on after a release ({}):", unsent.len()));
    let rows = unsent
        .iter()
        .map(|row| vec![row.id.clone(), row.kind.clone(), row.state.clone(), clean(&row.label)]);
    table::grid(&["id", "kind", "state", "what"], &rows.collect::<Vec<_>>(), &look)
}

/// What a person should do before releasing.
pub(in crate::cli) fn advice(class: Class) -> &'static str {
    match class {
        Class::Behind | Class::Forked | Class::Missing => {
            "If the newer database still exists, stop the daemon and put that one back instead. \
             Else compare the lists: what the vendor has and no row claims may be work that waits \
             here to be bought again; cancel that work first."
        }
        Class::Broken => {
            "If there is a sound backup, stop the daemon and go back to it. Else compare the \
             lists, and cancel work that the vendor has already."
        }
        Class::Account => {
            "Put the right key and address in place and restart the daemon: it goes on by itself. \
             Release only if this database is to work with the new account from now on."
        }
    }
}

fn print_theirs(theirs: &Theirs, look: &Look) -> Result<(), CliError> {
    let time = |at: Option<Time>| at.map_or(String::new(), |at| look.time(at));
    let claimed = |ours: bool| if ours { "yes" } else { "no" }.to_owned();
    out::talk(&format!("\nModels at the vendor ({}):", theirs.models.len()));
    let rows = theirs.models.iter().map(|model| {
        let name = model.name.as_deref().unwrap_or_default();
        vec![
            clean(&model.id),
            clean(name),
            time(model.created_at),
            clean(&model.status),
            claimed(model.claimed),
        ]
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        table::grid(&["remote id", "name", "created", "status", "claimed"], &rows, look)?;
    }
    out::talk(&format!("\nJobs at the vendor in the last {DAYS} days ({}):", theirs.jobs.len()));
    let rows = theirs.jobs.iter().map(|job| {
        vec![
            clean(&job.id),
            time(job.created_at),
            clean(&job.status),
            job.credits.map_or(String::new(), |credits| credits.to_string()),
            claimed(job.claimed),
        ]
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        table::grid(&["remote id", "created", "status", "credits", "claimed"], &rows, look)?;
    }
    Ok(())
}
