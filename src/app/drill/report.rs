//! What a drill says at its end: a table for people, an object for programs.

use super::facts::{Diary, Effect, Facts, FileState};
use super::verdict::{Index, Verdict, judge, made};
use crate::cli::CliError;
use crate::cli::drill::Profile;
use crate::cli::out::line;
use crate::store::audit::Doubts;
use serde::Serialize;
use std::collections::BTreeMap;

/// Fewer kills than this may hit what they like.
const ENOUGH_KILLS: u32 = 25;
/// Findings of one sort that are printed; the JSON has them all.
const SHOWN: usize = 10;

/// The calls that were out when the daemon was killed.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct OpenCalls {
    /// Kills that hit at least one.
    pub(super) kills: usize,
    /// Of these, kills whose instant was counted from a call's begin.
    pub(super) kills_aimed: usize,
    /// All of them: several uploads may be out at once.
    pub(super) calls: usize,
    /// The vendor had done it, and nobody here knew.
    pub(super) happened: usize,
    /// The vendor did it when the daemon was dead.
    pub(super) happened_after: usize,
    /// The vendor never did it.
    pub(super) never: usize,
}

/// Everything a drill has to tell.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    pub(super) ok: bool,
    pub(super) seed: u64,
    pub(super) profile: Profile,
    pub(super) kills: u32,
    pub(super) kills_aimed: usize,
    pub(super) commands_killed: u32,
    pub(super) open_calls: OpenCalls,
    pub(super) unknown_share: f64,
    pub(super) enough_unknown: bool,
    pub(super) doubts: Doubts,
    /// Orders that were acknowledged, and that were refused.
    pub(super) submitted: usize,
    pub(super) refused: Vec<String>,
    /// Rows by state, outputs left out.
    pub(super) rows: BTreeMap<String, usize>,
    /// Effects by kind.
    pub(super) effects: BTreeMap<String, usize>,
    pub(super) files_checked: usize,
    pub(super) files_whole: usize,
    /// Jobs at the vendor that the database reports as claimed by no row.
    pub(super) unclaimed_reported: usize,
    pub(super) verdict: Verdict,
    pub(super) exit_code: Option<i32>,
    pub(super) seconds: f64,
    pub(super) drained_in: f64,
    pub(super) lives_per_second: f64,
}

impl Report {
    pub(super) fn new(diary: &Diary, facts: &Facts) -> Self {
        let verdict = judge(facts);
        let open_calls = open_calls(diary, facts);
        let share = open_calls.kills as f64 / f64::from(diary.kills.max(1));
        let enough = diary.kills < ENOUGH_KILLS || share >= 0.1;
        // Refused is only what refers to a picture that the vendor failed to make.
        let refused: Vec<String> = facts
            .orders
            .iter()
            .filter_map(|order| {
                Some(format!("darkroom {}: {}", order.command, order.refused.as_ref()?))
            })
            .collect();
        let unexpected =
            facts.orders.iter().any(|order| order.refused.is_some() && order.command != "upscale");
        let good = verdict.is_good(diary.profile == Profile::Hostile);
        let mut rows = BTreeMap::new();
        for row in facts.rows.iter().filter(|row| row.kind != "output") {
            *rows.entry(row.state.clone()).or_default() += 1;
        }
        let mut effects = BTreeMap::new();
        for effect in &facts.effects {
            *effects.entry(effect.kind.clone()).or_default() += 1;
        }
        let lived = (diary.seconds - diary.drained).max(0.001);
        Self {
            ok: good && enough && !unexpected && diary.exit_code == Some(0),
            seed: diary.seed,
            profile: diary.profile,
            kills: diary.kills,
            kills_aimed: diary.killed.iter().filter(|kill| kill.aimed).count(),
            commands_killed: diary.commands_killed,
            open_calls,
            unknown_share: share,
            enough_unknown: enough,
            doubts: facts.doubts,
            submitted: facts.orders.iter().filter(|order| order.id.is_some()).count(),
            refused,
            rows,
            effects,
            files_checked: facts.files.len(),
            files_whole: facts.files.values().filter(|file| **file == FileState::Whole).count(),
            unclaimed_reported: facts.unclaimed.len(),
            verdict,
            exit_code: diary.exit_code,
            seconds: diary.seconds,
            drained_in: diary.drained,
            lives_per_second: f64::from(diary.kills) / lived,
        }
    }

    /// Prints it for people.
    ///
    /// # Errors
    /// A closed stdout.
    pub(super) fn print(&self) -> Result<(), CliError> {
        let list = |counts: &BTreeMap<String, usize>| {
            let parts: Vec<String> =
                counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
            parts.join(", ")
        };
        let (calls, doubts, verdict) = (self.open_calls, self.doubts, &self.verdict);
        let rows = [
            ("seed", format!("{} ({} profile)", self.seed, self.profile.as_str())),
            (
                "kills",
                format!(
                    "{}: {} at a random instant of a life, {} some time after a call began",
                    self.kills,
                    self.kills as usize - self.kills_aimed.min(self.kills as usize),
                    self.kills_aimed
                ),
            ),
            ("commands killed", format!("{} in the middle of submitting", self.commands_killed)),
            (
                "outcome unknown",
                format!(
                    "{} kills ({:.0} %), {} of them at a random instant, with {} calls out",
                    calls.kills,
                    self.unknown_share * 100.0,
                    calls.kills - calls.kills_aimed,
                    calls.calls
                ),
            ),
            (
                "  at the vendor",
                format!(
                    "{} had happened, {} happened afterwards, {} never did",
                    calls.happened, calls.happened_after, calls.never
                ),
            ),
            (
                "in doubt",
                format!(
                    "{} of {} calls, by a kill or a lost reply: {} adopted, {} absent and sent \
                     again, {} parked (a person: {} adopted, {} sent again)",
                    doubts.in_doubt,
                    doubts.calls,
                    doubts.adopted,
                    doubts.absent,
                    doubts.parked,
                    doubts.person_adopted,
                    doubts.person_resubmitted
                ),
            ),
            ("submitted", format!("{} ({} refused)", self.submitted, self.refused.len())),
            ("rows", list(&self.rows)),
            ("vendor's ledger", list(&self.effects)),
            ("files", format!("{} of {} whole", self.files_whole, self.files_checked)),
            ("unclaimed, reported", self.unclaimed_reported.to_string()),
            ("lost", verdict.lost.len().to_string()),
            (
                "duplicated",
                format!(
                    "{} ({} more reported; by the network: {} reported, {} trainings that nothing \
                     shows)",
                    verdict.duplicated.len(),
                    verdict.reported.len(),
                    verdict.doubled.len(),
                    verdict.unseen.len()
                ),
            ),
            (
                "wrongly adopted",
                format!(
                    "{} ({} took the network's double of a call seconds before)",
                    verdict.wrongly_adopted.len(),
                    verdict.mistaken.len()
                ),
            ),
            (
                "time",
                format!(
                    "{:.1} s, {:.1} lives per second, {:.1} s to finish after the last kill",
                    self.seconds, self.lives_per_second, self.drained_in
                ),
            ),
        ];
        for (name, value) in rows {
            line(&format!("{name:<20} {value}"))?;
        }
        for (sort, findings) in [
            ("lost", &verdict.lost),
            ("duplicated", &verdict.duplicated),
            ("wrongly adopted", &verdict.wrongly_adopted),
        ] {
            for finding in findings.iter().take(SHOWN) {
                line(&format!("{sort}: {}: {}", finding.id, finding.what))?;
            }
            if findings.len() > SHOWN {
                line(&format!("{sort}: and {} more", findings.len() - SHOWN))?;
            }
        }
        Ok(())
    }

    /// Why the drill failed, as a sentence.
    pub(super) fn complaint(&self) -> Option<String> {
        if self.ok {
            return None;
        }
        let verdict = &self.verdict;
        let duplicates = match self.profile {
            Profile::Hostile => verdict.duplicated.len(),
            _ => verdict.duplicated.len() + verdict.reported.len(),
        };
        let mut wrong = Vec::new();
        let sorts = [
            (verdict.lost.len(), "lost"),
            (duplicates, "duplicated"),
            (verdict.wrongly_adopted.len(), "wrongly adopted"),
        ];
        wrong.extend(sorts.iter().filter(|(n, _)| *n > 0).map(|(n, sort)| format!("{n} {sort}")));
        if !self.enough_unknown {
            wrong.push(format!(
                "it proved too little: {} of {} kills hit a call whose outcome was unknown, fewer \
                 than a tenth",
                self.open_calls.kills, self.kills
            ));
        }
        if self.exit_code != Some(0) {
            wrong.push(format!("the last daemon ended with {:?}", self.exit_code));
        }
        wrong.extend(
            self.refused.iter().filter(|text| !text.starts_with("darkroom upscale")).cloned(),
        );
        Some(wrong.join("; "))
    }
}

/// What had become of the calls that were out at each kill.
fn open_calls(diary: &Diary, facts: &Facts) -> OpenCalls {
    let index = Index::new(facts);
    let rows: BTreeMap<&str, _> = facts.rows.iter().map(|row| (row.id.as_str(), row)).collect();
    let mut by_piece: BTreeMap<String, Vec<&Effect>> = BTreeMap::new();
    for effect in &facts.effects {
        if let Some(piece) = made(effect) {
            by_piece.entry(piece).or_default().push(effect);
        }
    }
    let mut out = OpenCalls::default();
    for kill in &diary.killed {
        out.kills += usize::from(!kill.calls.is_empty());
        out.kills_aimed += usize::from(!kill.calls.is_empty() && kill.aimed);
        for call in &kill.calls {
            out.calls += 1;
            // A later effect belongs to the row's next call.
            let mut calls = facts.calls.iter().filter(|other| other.subject == call.subject);
            let begun = calls.clone().find(|other| other.seq == call.intent);
            let next = calls.find(|other| other.seq > call.intent);
            let begun = begun.map_or(i64::MIN, |call| call.opened_at);
            let next = next.map_or(i64::MAX, |call| call.opened_at);
            let effects = rows
                .get(call.subject.as_str())
                .and_then(|row| index.wanted(row))
                .and_then(|wanted| by_piece.get(&wanted));
            let effect =
                effects.into_iter().flatten().find(|effect| (begun..next).contains(&effect.at));
            match effect {
                Some(effect) if effect.at <= kill.at => out.happened += 1,
                Some(_) => out.happened_after += 1,
                None => out.never += 1,
            }
        }
    }
    out
}
