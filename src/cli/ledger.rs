//! `darkroom ledger`: what every paid call came to, and what the vendor has that no row claims.

use super::context::Context;
use super::out::{self, Look};
use super::submit::open_if_there;
use super::{CliError, exit, table};
use crate::store::report::{SpendProof, UnclaimedJob};
use serde_json::json;

/// Show what every paid call came to, and what the vendor lists that no row claims.
///
/// Paid calls (trainings and jobs) are counted twice: from the events, and from the ledger. Both
/// must agree; the exit code is 1 if they do not. Unclaimed jobs are the vendor's: possible
/// duplicates of calls whose reply was lost, or jobs of somebody else on the same account; what you
/// say about one with `darkroom resolve` stands there too.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "The same in SQL: select * from spend_proof; select * from unclaimed;")]
pub struct Ledger {}

/// Shows it.
///
/// # Errors
/// A database error.
pub async fn run(context: &Context, _args: &Ledger) -> Result<u8, CliError> {
    let Some(store) = open_if_there(context).await? else {
        out::talk(&format!("nothing here yet ({})", context.paths.data_dir().display()));
        return Ok(exit::DONE);
    };
    let proof = store.spend_proof().await?;
    let unclaimed = store.unclaimed().await?;
    store.close().await;
    if context.global.json {
        out::json(&json!({
            "spend": proof, "balances": proof.balances(), "unclaimed": unclaimed,
        }))?;
    } else {
        let look = Look::of_stdout(&context.global);
        table::grid(&["paid calls", "number"], &totals(&proof), &look)?;
        if !unclaimed.is_empty() {
            out::talk("\nat the vendor, claimed by no row:");
            let columns = ["remote id", "what", "status", "credits", "may be", "made at"];
            table::grid(&columns, &strangers(&unclaimed), &look)?;
        }
        if !proof.balances() {
            out::talk("the two sides do not agree; keep a copy of the database and report it");
        }
    }
    Ok(if proof.balances() { exit::DONE } else { exit::ERROR })
}

fn totals(proof: &SpendProof) -> Vec<Vec<String>> {
    let rows = [
        ("accepted by the vendor", proof.accepted),
        ("refused by the vendor", proof.refused),
        ("never left this machine", proof.not_sent),
        ("surely not at the vendor", proof.absent),
        ("left to a person", proof.parked),
        ("not settled yet", proof.open),
        ("all", proof.paid_calls),
    ];
    let mut out: Vec<Vec<String>> =
        rows.iter().map(|(name, count)| vec![(*name).to_owned(), count.to_string()]).collect();
    out.push(vec!["credits, as the vendor lists them".to_owned(), proof.credits.to_string()]);
    for (name, jobs, credits) in [
        (
            "perhaps bought twice, nobody has answered",
            proof.possible_duplicates,
            proof.possible_duplicate_credits,
        ),
        ("bought twice", proof.bought_twice, proof.bought_twice_credits),
    ] {
        if jobs > 0 {
            out.push(vec![name.to_owned(), format!("{jobs} ({credits} credits)")]);
        }
    }
    out
}

fn strangers(jobs: &[UnclaimedJob]) -> Vec<Vec<String>> {
    jobs.iter()
        .map(|job| {
            vec![
                out::clean(&job.remote_id),
                job.what.replace('_', " "),
                out::clean(&job.status),
                job.credits.map(|credits| credits.to_string()).unwrap_or_default(),
                job.subject.clone().unwrap_or_default(),
                job.created_at.clone().unwrap_or_default(),
            ]
        })
        .collect()
}
