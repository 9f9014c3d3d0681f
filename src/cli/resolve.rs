//! `resolve`: a person's verdict about a row, or about a job at the vendor that no row claims.

use super::context::Context;
use super::control::actor;
use super::{CliError, exit, out, shape};
use crate::service::control::{self, Said, Verdict};
use crate::service::find;
use crate::store::Store;
use crate::store::answers::{Answered, Became, Whose};
use crate::store::report::Noun;
use serde_json::{Map, Value, json};

/// What `resolve` is told; what its help says stands at its command.
#[derive(Clone, Debug, clap::Args)]
#[command(disable_version_flag = true, group(clap::ArgGroup::new("verdict").required(true)))]
pub struct Resolve {
    /// An id or a unique beginning of it.
    #[arg(value_name = "ID", required_unless_present_any = ["ours", "not_ours"])]
    id: Option<String>,
    /// This thing at the vendor is it: take it over.
    #[arg(long, value_name = "REMOTE", group = "verdict")]
    adopt: Option<String>,
    /// It is not at the vendor: send it again. If you are wrong, it is bought twice; refused while
    /// the vendor shows what may be it.
    #[arg(long, group = "verdict")]
    resubmit: bool,
    /// Give it up.
    #[arg(long, group = "verdict")]
    abandon: bool,
    /// This job at the vendor is not this row's, whosever it is.
    #[arg(long, value_name = "REMOTE", group = "verdict")]
    not_this: Option<String>,
    /// This job at the vendor is ours: it is taken over for the call that made it, or booked as
    /// bought twice if that call has its job already.
    #[arg(long, value_name = "REMOTE", group = "verdict", conflicts_with_all = ["id", "version"])]
    ours: Option<String>,
    /// This job at the vendor is somebody else's, so others use the account.
    #[arg(long, value_name = "REMOTE", group = "verdict", conflicts_with_all = ["id", "version"])]
    not_ours: Option<String>,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// Only if the row is still at this version (`darkroom explain` shows it).
    #[arg(long, value_name = "N")]
    version: Option<i64>,
}

/// Resolves.
///
/// # Errors
/// No database, a bad id, a row about which nothing is to be decided or a verdict that contradicts
/// what is known (exit 3), or a database error.
pub async fn run(context: &Context, args: &Resolve) -> Result<u8, CliError> {
    let store = context.existing_store().await?;
    let actor = actor();
    let said = Said { why: args.why.as_deref(), version: args.version, actor: &actor };
    let listed = match (&args.ours, &args.not_ours) {
        (Some(remote), _) => Some((remote, Whose::Ours)),
        (_, Some(remote)) => Some((remote, Whose::NotOurs)),
        _ => None,
    };
    if let Some((remote, whose)) = listed {
        let write = control::answering(&store, remote, whose, said)?;
        return say(context, &store, &store.writer().write(write).await?).await;
    }
    let (noun, id) = find::subject(&store, args.id.as_deref().unwrap_or_default()).await?;
    if let Some(remote) = &args.not_this {
        let write = control::ruling_out(&store, noun, id, remote, said)?;
        return say(context, &store, &store.writer().write(write).await?).await;
    }
    let verdict = match &args.adopt {
        Some(remote) => Verdict::Adopt(remote.clone()),
        None if args.resubmit => Verdict::Resubmit,
        None => Verdict::Abandon,
    };
    control::resolve(&store, noun, id, verdict, said).await?;
    let item = store.item(noun, id).await?;
    if context.global.json {
        out::json(&shape::object(&item, Map::new())?)?;
    } else if context.global.quiet {
        out::line(&id.to_string())?;
    } else {
        out::line(&format!("{noun} {id}: {}", item.state))?;
    }
    Ok(exit::DONE)
}

/// What an answer about a listed job came to.
async fn say(context: &Context, store: &Store, done: &Answered) -> Result<u8, CliError> {
    if context.global.json {
        let row = match &done.row {
            Some(row) => {
                shape::object(&store.item(Noun::Work(row.kind), row.id).await?, Map::new())?
            }
            None => Value::Null,
        };
        out::json(&json!({
            "remote_id": done.remote_id, "became": done.became.as_str(), "credits": done.credits,
            "row": row, "in_events": done.in_events,
        }))?;
    } else if context.global.quiet {
        out::line(&done.remote_id)?;
    } else {
        out::line(&sentence(done))?;
    }
    Ok(exit::DONE)
}

fn sentence(done: &Answered) -> String {
    let remote = out::clean(&done.remote_id);
    let row = done.row.as_ref().map(|row| (row.kind, row.id, row.state.as_str()));
    let said = match (&done.became, row) {
        (Became::Adopted, Some((kind, id, state))) => {
            format!("{remote}: taken over for the {kind} {id}, which is {state}")
        }
        (Became::Adopted, None) => format!("{remote}: taken over"),
        (Became::BoughtTwice, Some((kind, id, _))) => {
            format!("{remote}: booked as bought twice, beside the {kind} {id}")
        }
        (Became::BoughtTwice, None) => format!("{remote}: booked as bought twice"),
        (Became::NotOurs, _) => format!("{remote}: somebody else's, so others use the account"),
        (Became::NotThis, Some((kind, id, state))) => {
            format!("{remote}: not of the {kind} {id}, which is {state}")
        }
        (Became::NotThis, None) => format!("{remote}: not of this row"),
    };
    match (row, done.in_events) {
        (Some(_), false) => {
            format!("{said}; that row has ended, so the answer stands with the job alone")
        }
        _ => said,
    }
}
