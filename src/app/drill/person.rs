//! The person whom the daemon asks: knows the truth from the vendor's ledger, and says it with the
//! same commands that anybody would use.

use super::facts::effects;
use super::verdict::{Index, made};
use super::world::World;
use crate::cli::CliError;
use crate::cli::exit;
use crate::store::audit::{Audit, Parked};
use std::collections::BTreeSet;

/// How often the person takes a refusal for an answer and says what it asks for.
const PATIENCE: usize = 5;

/// Releases a database in quarantine, and decides about each row that waits.
pub(super) async fn decide(world: &World, parked: &[Parked]) -> Result<(), CliError> {
    let Some(mut audit) = Audit::open(&world.data()).await? else {
        return Ok(());
    };
    if audit.is_quarantined().await? {
        // What the network delivered twice may look like a database that was put back. The vendor's
        // list may fail; then the next round says it again.
        let release = ["release", "--yes", "--reason", "the vendor's ledger"];
        world.run(&release.map(str::to_owned), None).await?;
    }
    if parked.is_empty() {
        return audit.close().await.map_err(Into::into);
    }
    let rows = audit.rows().await?;
    let mut candidates = Vec::new();
    for one in parked {
        candidates.push(audit.candidates(&one.id).await?);
    }
    audit.close().await?;
    let facts = super::Facts {
        rows,
        effects: effects(&world.sim("ledger").await?)?,
        ..super::Facts::default()
    };
    let index = Index::new(&facts);
    let taken: BTreeSet<(&str, &str)> = facts
        .rows
        .iter()
        .filter_map(|row| Some((row.kind.as_str(), row.remote_id.as_deref()?)))
        .collect();
    for (one, candidates) in parked.iter().zip(candidates) {
        let Some(row) = facts.rows.iter().find(|row| row.id == one.id) else {
            continue;
        };
        let mismatch = one.error_class.as_deref() == Some("mismatch");
        let args = if one.remote_id.is_some() || mismatch {
            // The vendor has it: looking again is all there is to say.
            vec!["retry".to_owned(), one.id.clone()]
        } else {
            let wanted = index.wanted(row);
            let there = facts.effects.iter().find(|effect| {
                made(effect) == wanted && !taken.contains(&(one.kind.as_str(), effect.id.as_str()))
            });
            let mut args = vec!["resolve".to_owned(), one.id.clone()];
            match there.filter(|_| wanted.is_some()) {
                Some(effect) => args.extend(["--adopt".to_owned(), effect.id.clone()]),
                None => {
                    // What could be it is not, or it would not have to be sent again.
                    for other in candidates {
                        let not_this = ["resolve", &one.id, "--not-this", &other];
                        world.run(&not_this.map(str::to_owned), None).await?;
                    }
                    args.push("--resubmit".to_owned());
                }
            }
            args.extend(["--why".to_owned(), "the vendor's ledger".to_owned()]);
            args
        };
        let mut ended = world.run(&args, None).await?;
        // Others go on ordering, and what they made is named when it stands in the way.
        for _ in 0..PATIENCE {
            let named = named_in(&ended.stderr);
            if !args.contains(&"--resubmit".to_owned()) || named.is_empty() {
                break;
            }
            for other in named {
                let not_this = ["resolve", &one.id, "--not-this", &other];
                world.run(&not_this.map(str::to_owned), None).await?;
            }
            ended = world.run(&args, None).await?;
        }
        // Refused: the daemon was faster, or it is another row's by now; the next round sees.
        let fine = [Some(i32::from(exit::DONE)), Some(i32::from(exit::FAILED))];
        if !fine.contains(&ended.code) {
            let said = format!("darkroom {}: {}", args.join(" "), ended.stderr);
            return Err(CliError::Error(said));
        }
    }
    Ok(())
}

/// The vendor's jobs that a sentence names.
fn named_in(sentence: &str) -> BTreeSet<String> {
    let words = sentence.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("job_")).map(str::to_owned).collect()
}
