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
        // What stands in the way is named: what others ordered meanwhile, or what another row keeps.
        for _ in 0..PATIENCE {
            let answers = answers_to(&ended.stderr, &one.id);
            if answers.is_empty() {
                break;
            }
            for answer in answers {
                world.run(&answer, None).await?;
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

/// What a refusal asks to be said first: that jobs which it names are not this row's, or not another's.
fn answers_to(refusal: &str, id: &str) -> Vec<Vec<String>> {
    let not_this = |row: &str, remote: &str| {
        ["resolve", row, "--not-this", remote].map(str::to_owned).to_vec()
    };
    let said = |command: &str| {
        let words: Vec<&str> = command.split(' ').collect();
        match words.as_slice() {
            ["darkroom", "resolve", row, "--not-this", remote] if remote.starts_with("job_") => {
                Some(not_this(row, remote))
            }
            _ => None,
        }
    };
    let commands: Vec<_> = refusal.split('`').filter_map(said).collect();
    if !commands.is_empty() || !refusal.contains("not bought again") {
        return commands;
    }
    let words = refusal.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let named: BTreeSet<&str> = words.filter(|word| word.starts_with("job_")).collect();
    named.into_iter().map(|remote| not_this(id, remote)).collect()
}

#[cfg(test)]
mod tests {
    use super::answers_to;

    #[test]
    fn the_person_says_what_a_refusal_asks_for() {
        let kept = "the vendor's job_9 is what the job R2 may have bought; if it is not, say `darkroom \
                    resolve R2 --not-this job_9` first";
        assert_eq!(answers_to(kept, "R1"), [["resolve", "R2", "--not-this", "job_9"]]);
        let named = "the job R1 is not bought again while the vendor has what it may have bought already: \
                     job_7 (10 credits), job_8 (1 credits); `darkroom resolve R1 --adopt REMOTE` takes \
                     one over, `darkroom resolve R1 --not-this REMOTE` says that one is not it";
        let each = ["job_7", "job_8"].map(|job| ["resolve", "R1", "--not-this", job]);
        assert_eq!(answers_to(named, "R1"), each);
        assert!(answers_to("error: something else about job_7", "R1").is_empty());
    }
}
