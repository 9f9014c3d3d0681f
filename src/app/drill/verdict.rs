//! The comparison: what was ordered and stored against what really happened. Pure, so that it can
//! be shown to fail.

use super::facts::{Effect, Facts, FileState};
use crate::store::audit::AuditRow;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// Ours or the vendor's id.
    pub(super) id: String,
    /// What is wrong with it.
    pub(super) what: String,
}

/// What the comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Verdict {
    /// Accepted work that is neither done nor explained.
    pub(super) lost: Vec<Finding>,
    /// Effects too many that the database does not report.
    pub(super) duplicated: Vec<Finding>,
    /// Effects too many that the database reports as claimed by no row.
    pub(super) reported: Vec<Finding>,
    /// Those of them that the network made by delivering a request twice, all reported.
    pub(super) doubled: Vec<Finding>,
    /// Trainings whose trigger the network delivered twice. Both have the model's id, and nothing
    /// that the vendor says tells of the second: nobody can report it.
    pub(super) unseen: Vec<Finding>,
    /// Rows that took the network's double of a call that went out less than ten seconds before their
    /// own: nothing tells the two apart.
    pub(super) mistaken: Vec<Finding>,
    /// Rows that hold something of the vendor's that is not theirs.
    pub(super) wrongly_adopted: Vec<Finding>,
}

impl Verdict {
    /// Whether nothing is lost, bought twice in silence, or taken from somebody else.
    pub(super) fn is_good(&self, duplicates_allowed: bool) -> bool {
        self.lost.is_empty()
            && self.duplicated.is_empty()
            && self.wrongly_adopted.is_empty()
            && (duplicates_allowed || self.reported.is_empty())
    }
}

/// A double of a call so long before another one may be taken for the other one's job (ms).
const QUICK: i64 = 10_000;

/// The rows and effects, findable.
pub(super) struct Index<'a> {
    rows: BTreeMap<&'a str, &'a AuditRow>,
    /// By job and place.
    outputs: BTreeMap<(&'a str, i64), &'a AuditRow>,
    /// By kind and the vendor's id.
    effects: BTreeMap<(&'a str, &'a str), &'a Effect>,
}

impl<'a> Index<'a> {
    pub(super) fn new(facts: &'a Facts) -> Self {
        let outputs = facts.rows.iter().filter(|row| row.kind == "output");
        Self {
            rows: facts.rows.iter().map(|row| (row.id.as_str(), row)).collect(),
            outputs: outputs
                .filter_map(|row| Some(((row.parent.as_deref()?, row.position?), row)))
                .collect(),
            effects: facts
                .effects
                .iter()
                .map(|effect| ((effect.kind.as_str(), effect.id.as_str()), effect))
                .collect(),
        }
    }

    /// What a row asks the vendor for, in words that the ledger's entries have too.
    ///
    /// None while that is not known yet: its model or picture is not at the vendor.
    pub(super) fn wanted(&self, row: &AuditRow) -> Option<String> {
        let about = row.about.as_deref();
        match row.kind.as_str() {
            "model" => Some(format!("model {}", about?)),
            "upload" => Some(format!("photo {} of {}", about?, self.model_of(row)?)),
            "training" => Some(format!("training of {}", self.model_of(row)?)),
            "job" => {
                let request: Value = serde_json::from_str(row.request.as_deref()?).ok()?;
                if request.get("type")?.as_str()? == "upscale" {
                    return Some(format!("upscale of {}", self.picture(request.get("image")?)?));
                }
                Some(format!("{} {}", request.get("type")?.as_str()?, about?))
            }
            _ => None,
        }
    }

    fn model_of(&self, row: &AuditRow) -> Option<&str> {
        self.rows.get(row.parent.as_deref()?)?.remote_id.as_deref()
    }

    /// The vendor's id of a picture that a request refers to.
    fn picture(&self, image: &Value) -> Option<&str> {
        let output = if let Some(id) = image.get("output").and_then(Value::as_str) {
            *self.rows.get(id)?
        } else {
            let of = image.get("job_output")?;
            let place = (of.get("job")?.as_str()?, of.get("index")?.as_i64()?);
            *self.outputs.get(&place)?
        };
        output.remote_id.as_deref()
    }

    /// The effect behind a row's vendor id.
    fn effect_of(&self, row: &AuditRow) -> Option<&'a Effect> {
        let kind = match row.kind.as_str() {
            "upload" => "image",
            other => other,
        };
        self.effects.get(&(kind, row.remote_id.as_deref()?)).copied()
    }
}

/// What an effect was for, in the same words as [`Index::wanted`]; none for what nobody can buy
/// twice, and for what is not ours.
pub(super) fn made(effect: &Effect) -> Option<String> {
    let request = |field: &str| effect.request.as_ref()?.get(field)?.as_str();
    match effect.kind.as_str() {
        "model" => Some(format!("model {}", effect.name.as_deref()?)),
        // A picture that a job made has no bytes of ours.
        "image" => Some(format!(
            "photo {} of {}",
            effect.content_sha256.as_deref()?,
            effect.model_id.as_deref()?
        )),
        "training" => Some(format!("training of {}", effect.id)),
        "job" => match effect.endpoint.as_deref()? {
            "triggerImageUpscalingJob" => Some(format!("upscale of {}", request("imageID")?)),
            "triggerVideoGenerationJob" => Some(format!("video {}", request("prompt")?)),
            _ => Some(format!("image {}", request("prompt")?)),
        },
        _ => None,
    }
}

/// Compares everything.
pub(super) fn judge(facts: &Facts) -> Verdict {
    let index = Index::new(facts);
    let mut verdict = Verdict::default();
    check_orders(facts, &index, &mut verdict);
    check_ends(facts, &index, &mut verdict);
    check_claims(facts, &index, &mut verdict);
    check_effects(facts, &index, &mut verdict);
    verdict
}

fn finding(id: &str, what: impl Into<String>) -> Finding {
    Finding { id: id.to_owned(), what: what.into() }
}

/// Whatever was acknowledged is there, once.
fn check_orders(facts: &Facts, index: &Index<'_>, verdict: &mut Verdict) {
    for order in &facts.orders {
        match (&order.id, &order.refused) {
            (Some(id), _) if index.rows.contains_key(id.as_str()) => {}
            (Some(id), _) => verdict.lost.push(finding(
                id,
                format!("`darkroom {}` answered with it, and it is not there", order.command),
            )),
            (None, Some(_)) => {}
            (None, None) => verdict
                .lost
                .push(finding(&order.key, format!("`darkroom {}` never answered", order.command))),
        }
    }
    // Each order has a text of its own, so that a key that bought twice shows as two rows.
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for row in &facts.rows {
        if let Some(wanted) = index.wanted(row)
            && let Some(other) = seen.insert(format!("{} {wanted}", row.kind), &row.id)
        {
            verdict
                .duplicated
                .push(finding(&row.id, format!("stored twice, as {other} too: {wanted}")));
        }
    }
}

/// Every row has ended well, or for a reason outside of us, or waits for a person.
fn check_ends(facts: &Facts, index: &Index<'_>, verdict: &mut Verdict) {
    for row in &facts.rows {
        let what = match row.state.as_str() {
            "attention" => continue,
            "succeeded" => without_files(facts, row),
            "failed" if explained(facts, index, row) => continue,
            "failed" => Some(format!(
                "failed, and not by the vendor's word ({})",
                row.error_class.as_deref().unwrap_or("no reason")
            )),
            other => Some(format!("is {other} and goes on no further")),
        };
        if let Some(what) = what {
            verdict.lost.push(finding(&row.id, format!("the {} {what}", row.kind)));
        }
    }
}

/// What is wrong with the files of a row that succeeded.
fn without_files(facts: &Facts, row: &AuditRow) -> Option<String> {
    let of_job = |output: &&AuditRow| {
        output.kind == "output" && output.parent.as_deref() == Some(row.id.as_str())
    };
    match row.kind.as_str() {
        "output" => match facts.files.get(&row.id) {
            Some(FileState::Whole) => None,
            Some(FileState::Damaged) => Some("has a file with other bytes".to_owned()),
            _ => Some("has no file".to_owned()),
        },
        "job" if !facts.rows.iter().any(|output| of_job(&output)) => {
            Some("succeeded without an output".to_owned())
        }
        _ => None,
    }
}

/// Whether the vendor failed it, or one that it needs.
fn explained(facts: &Facts, index: &Index<'_>, row: &AuditRow) -> bool {
    match row.error_class.as_deref() {
        Some("vendor_failed") => {
            index.effect_of(row).is_some_and(|effect| effect.status.as_deref() == Some("failed"))
        }
        Some("dependency") => {
            let parents = facts.dependencies.iter().filter(|(child, _)| *child == row.id);
            parents
                .filter_map(|(_, parent)| index.rows.get(parent.as_str()))
                .any(|parent| parent.state == "failed" && explained(facts, index, parent))
        }
        _ => false,
    }
}

/// What a row took over is its own.
fn check_claims(facts: &Facts, index: &Index<'_>, verdict: &mut Verdict) {
    for row in &facts.rows {
        let Some(remote) = row.remote_id.as_deref() else {
            continue;
        };
        let what = match row.kind.as_str() {
            "change" => continue,
            "output" => {
                let job = row.parent.as_deref().and_then(|job| index.rows.get(job));
                let effect = job.and_then(|job| index.effect_of(job));
                let made = |effect: &Effect| effect.outputs.iter().any(|made| made == remote);
                match effect.is_none_or(made) {
                    true => continue,
                    false => format!("holds {remote}, which its job did not make"),
                }
            }
            kind => match index.effect_of(row) {
                None => format!("holds {remote}, which no call of ours made"),
                Some(effect) => match (index.wanted(row), made(effect)) {
                    (Some(wanted), Some(made)) if wanted == made => continue,
                    (wanted, made) => format!(
                        "holds {remote}, which is {}; the {kind} wanted {}",
                        made.unwrap_or_else(|| "nothing of ours".to_owned()),
                        wanted.unwrap_or_else(|| "something else".to_owned())
                    ),
                },
            },
        };
        let finding = finding(&row.id, format!("the {} {what}", row.kind));
        match took_a_double(facts, index, row) {
            true => verdict.mistaken.push(finding),
            false => verdict.wrongly_adopted.push(finding),
        }
    }
}

/// Whether a row holds the network's double of a call that went out a moment before its own.
fn took_a_double(facts: &Facts, index: &Index<'_>, row: &AuditRow) -> bool {
    let Some(double) = index.effect_of(row) else { return false };
    let first = facts.effects.iter().find(|effect| Some(effect.seq) == double.double_of);
    let own = facts.calls.iter().filter(|call| call.subject == row.id);
    first.is_some_and(|first| {
        own.map(|call| call.opened_at - first.at).any(|after| (0..QUICK).contains(&after))
    })
}

/// One effect for one piece of work, and a row that knows of it.
fn check_effects(facts: &Facts, index: &Index<'_>, verdict: &mut Verdict) {
    let mut by_piece: BTreeMap<String, Vec<&Effect>> = BTreeMap::new();
    for effect in &facts.effects {
        if let Some(piece) = made(effect) {
            by_piece.entry(piece).or_default().push(effect);
        }
    }
    let mut rows: BTreeMap<String, &AuditRow> = BTreeMap::new();
    for row in &facts.rows {
        if let Some(wanted) = index.wanted(row) {
            rows.insert(wanted, row);
        }
    }
    for (piece, effects) in by_piece {
        let row = rows.get(&piece).copied();
        let claimed =
            |effect: &&&Effect| row.is_some_and(|row| row.remote_id.as_deref() == Some(&effect.id));
        let claims = effects.iter().filter(claimed).count();
        // One effect is what was wanted, whoever knows of it; all others are too many.
        let too_many = effects.len() - 1;
        let mut doubles = effects.iter().filter(|effect| effect.double_of.is_some()).count();
        let delivered_twice =
            effects.iter().filter(|effect| effect.double_of.is_some() && claimed(effect)).count();
        let unclaimed = effects.iter().filter(|effect| !claimed(effect));
        for effect in unclaimed.rev().take(too_many) {
            let about = finding(&effect.id, format!("a second time: {piece}"));
            // Told already, beside the row that took it.
            let holder =
                |row: &&AuditRow| row.kind == "job" && row.remote_id.as_deref() == Some(&effect.id);
            if facts.rows.iter().filter(holder).any(|row| took_a_double(facts, index, row)) {
                continue;
            }
            match facts.unclaimed.contains(&effect.id) {
                // Whichever of the two the row has, the other one is the double.
                true if doubles > 0 => {
                    doubles -= 1;
                    verdict.doubled.push(about);
                }
                true => verdict.reported.push(about),
                false => verdict.duplicated.push(about),
            }
        }
        // A training has its model's id, so that two of them look the same.
        if claims > 1 {
            let what = finding(&effects[0].id, format!("{claims} times: {piece}"));
            match claims - delivered_twice {
                0 | 1 => verdict.unseen.push(what),
                _ => verdict.duplicated.push(what),
            }
        }
        match row {
            Some(row) if claims > 0 || ["attention", "succeeded"].contains(&&*row.state) => {}
            Some(row) => verdict.lost.push(finding(
                &row.id,
                format!(
                    "the vendor has it as {}, and the row does not know: {piece}",
                    effects[0].id
                ),
            )),
            None => verdict
                .lost
                .push(finding(&effects[0].id, format!("no row has ever asked for it: {piece}"))),
        }
    }
}
