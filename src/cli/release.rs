//! `darkroom release`: opens a database that is in quarantine, after showing what the vendor has and
//! what becomes of the orders that wait.

mod plan;
mod theirs;

use super::context::Context;
use super::out::{self, Look, clean};
use super::{CliError, exit};
use crate::domain::quarantine::{Class, Quarantine};
use crate::engine::guard;
use crate::store::gap::BelieveList;
use crate::store::quarantine::{Release as ReleaseWrite, SetQuarantine};
use crate::store::report::Time;
use crate::store::{Store, StoreError};
use serde_json::json;
use std::io::{BufRead, IsTerminal};
use theirs::{Theirs, print_theirs, theirs};

/// Who released it, in the chain.
const ACTOR: &str = "cli";
/// What a person types.
const WORD: &str = "release";
/// What a person types if nothing was put back.
const SHARED: &str = "shared";

/// Open a database that is in quarantine, after listing what the vendor has.
///
/// A database that is older than its high-water file, damaged, or of another account sends nothing
/// until somebody has compared it with what the vendor has: an old copy would buy again what it
/// does not know of. The plan says what becomes of each order: what an unclaimed job of the vendor's
/// may be waits for `darkroom resolve`, everything else is sent.
///
/// Also answers whether an account is yours, and that the vendor's list may be believed although it
/// lacks jobs.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  darkroom release                       lists, then asks
  darkroom release --yes --reason \"compared with the vendor's list\"
  darkroom release --shared              the vendor's unclaimed jobs are somebody else's
  darkroom release --json                the lists for a program; releases nothing without --yes")]
pub struct Release {
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
    /// Why it is safe, for the record.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Nothing was put back: somebody else uses the account, and the unclaimed jobs are theirs.
    #[arg(long)]
    shared: bool,
    /// Release although the vendor cannot be asked what it has.
    #[arg(long)]
    without_list: bool,
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
        return believe_list(context, args, store).await;
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
    let jobs = theirs.as_ref().map(|theirs| theirs.jobs.as_slice());
    let mut plan = plan::make(context, store, &quarantine, jobs).await?;
    if args.shared {
        plan.read_as_shared();
    }
    if !context.global.json {
        explain(context, &quarantine, theirs.as_ref(), &plan)?;
    }
    let go = match args.yes {
        true => true,
        false => !context.global.json && confirmed(&mut plan, args.shared)?,
    };
    if go {
        open(args, store, theirs.is_some(), &plan).await?;
    }
    if context.global.json {
        let (models, jobs) = theirs.map_or((None, None), |all| (Some(all.models), Some(all.jobs)));
        out::json(&json!({
            "released": go, "quarantine": quarantine, "models": models, "jobs": jobs,
            "to_send": plan.rows, "reading": plan.reading, "nobodys": plan.nobodys,
        }))?;
    } else if go {
        say_released(context, store).await?;
    }
    if go {
        return Ok(exit::DONE);
    }
    out::talk("nothing was released; add --yes to release without being asked");
    Ok(if context.global.json || !asks() { exit::USAGE } else { exit::ERROR })
}

async fn say_released(context: &Context, store: &Store) -> Result<(), CliError> {
    if let Some(beneath) = store.quarantine().await? {
        out::talk(&format!(
            "There is another quarantine beneath it: {}. Run `darkroom release` again.",
            clean(&beneath.reason)
        ));
    }
    if context.global.quiet { Ok(()) } else { out::line("released") }
}

/// Without a quarantine there may still be a list that lacks jobs.
async fn believe_list(context: &Context, args: &Release, store: &Store) -> Result<u8, CliError> {
    let Some(job) = store.known().await?.lacks else {
        return not_needed(context);
    };
    if !context.global.json {
        out::talk(&format!(
            "The vendor's list has never shown the job {}, which the vendor accepted, so no lost call \
             is found absent by it. If that job is gone for a reason that you know, the list may be \
             believed all the same.",
            clean(&job)
        ));
    }
    let go = match args.yes {
        true => true,
        false => !context.global.json && typed("to believe the list")?.trim() == WORD,
    };
    let jobs = if go { believe(args, store).await? } else { vec![job] };
    if context.global.json {
        out::json(&json!({ "released": go, "quarantine": null, "lacks": jobs }))?;
    } else if go && !context.global.quiet {
        out::line("the list is believed again")?;
    }
    Ok(match go {
        true => exit::DONE,
        false => exit::USAGE,
    })
}

async fn believe(args: &Release, store: &Store) -> Result<Vec<String>, CliError> {
    let write = BelieveList { by: ACTOR.to_owned(), reason: args.reason.clone() };
    Ok(store.writer().write(write).await?)
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
async fn open(
    args: &Release,
    store: &Store,
    listed: bool,
    plan: &plan::Planned,
) -> Result<(), CliError> {
    guard::accept(store).await.map_err(|source| StoreError::Io {
        path: crate::files::highwater::path(store.data_dir()),
        source,
    })?;
    let write = ReleaseWrite {
        by: ACTOR.to_owned(),
        reason: args.reason.clone(),
        listed,
        settling: plan.settling(listed),
        timing: *store.timing(),
    };
    store.writer().write(write).await?;
    believe(args, store).await.map(drop)
}

fn asks() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks a person; nobody there means no.
fn confirmed(plan: &mut plan::Planned, shared: bool) -> Result<bool, CliError> {
    if plan.reading.is_some() && !shared {
        let answer = typed(
            "if something was put back (the plan above), or `shared` if somebody else uses the \
             account and everything is to be sent",
        )?;
        if answer.trim() == SHARED {
            plan.read_as_shared();
            return Ok(true);
        }
        return Ok(answer.trim() == WORD);
    }
    Ok(typed("to let this database send and buy again")?.trim() == WORD)
}

fn typed(what_for: &str) -> Result<String, CliError> {
    if !asks() {
        return Ok(String::new());
    }
    out::talk(&format!("Type `{WORD}` {what_for}:"));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| CliError::Error(format!("stdin cannot be read: {error}")))?;
    Ok(answer)
}

fn explain(
    context: &Context,
    quarantine: &Quarantine,
    theirs: Option<&Theirs>,
    plan: &plan::Planned,
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
    plan.print(&look)
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
        Class::Undecided => {
            "Is this your account? If the key was changed and the account is the same, release. Else \
             put the right key and address in place and restart the daemon: it goes on by itself."
        }
        Class::Unexplained => {
            "Either this database (or the whole data directory) was put back, and what waits here was \
             bought already; or somebody else has begun to use the account. The plan shows what \
             becomes of each order; --shared if the account is shared."
        }
    }
}
