//! Matching paid calls in doubt with what the vendor's list shows (design section 4).
//!
//! Only looking is allowed while in doubt; this decides what the looks prove. Pure: the evidence is
//! an argument, so that every tricky case can be tested without a vendor. The lane lets one paid
//! call be open at a time; should several be open all the same (an older file), they are judged
//! together.

pub mod lag;
mod matching;

use super::ids::Millis;
use matching::Edges;
use serde::{Deserialize, Serialize};

/// The vendor may round times to whole seconds, and its clock may be read a little late. To this
/// comes the largest contradiction seen ([`lag::Lag::skew`]).
pub const SKEW: Millis = 6_000;

/// What the call would have made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The vendor's id of the trained model, when the job belongs to one.
    pub model: Option<String>,
    /// What it produces.
    pub media: Media,
    /// How many at most, as far as the request says.
    #[serde(default)]
    pub count: Option<u32>,
}

/// What a job produces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    /// Pictures.
    Images,
    /// Videos.
    Videos,
}

/// A job of the vendor's that no row claims, first listed after the intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The vendor's id.
    pub remote_id: String,
    /// The vendor's creation time.
    pub created_at: Option<Millis>,
    /// The model it belongs to, as far as the vendor says.
    pub model: Option<String>,
    /// What it has produced so far.
    pub media: Option<Media>,
    /// How many of these.
    pub outputs: u32,
    /// Whether the vendor says that it failed: no training ends so as a job of ours.
    pub failed: bool,
    /// Whether the vendor lists it but cannot show it: never adopted, never ruled out.
    pub unreadable: bool,
}

/// What kind of call it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A job trigger.
    Job(Expected),
    /// A training: only its model's status proves that it began, so it is never adopted from the
    /// list, but a job that could be its entry forbids "absent".
    Training,
}

/// What is known about one call in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Its intent.
    pub intent: i64,
    /// Calls with the same hash are interchangeable.
    pub request_hash: String,
    /// What it would have made.
    pub effect: Effect,
    /// The vendor's clock when the call went out.
    pub sent_at: Millis,
    /// Whether the vendor had told its time then; otherwise ours stands in, and what was made
    /// "before" the call cannot be told.
    pub dated: bool,
    /// How long the vendor has been looked at and found healthy since the outcome became unknown
    /// (ms, see [`lag::credited`]).
    pub healthy: Millis,
    /// Whether there was a complete look before this one.
    pub looked: bool,
    /// Complete looks before this one that found nothing.
    pub looks: u32,
    /// Vendor time of the first of them after the settle time.
    pub first_look: Option<Millis>,
    /// Whether the list surely reaches back to when the call went out.
    pub reaches_back: bool,
}

/// What is known about the account at the moment of the look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The vendor's clock now.
    pub vendor_now: Millis,
    /// Whether nobody else uses the account.
    pub exclusive: bool,
    /// Accepted trainings of ours that may still show up in the list as a job.
    pub trainings: usize,
    /// How far creation times may lie before the call (ms).
    pub skew: Millis,
    /// How long a call may stay unfound (ms).
    pub settle: Millis,
    /// Between the two listings that must agree (ms).
    pub relist: Millis,
}

/// What the looks prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This job is the one.
    Adopt {
        /// The vendor's id.
        remote_id: String,
        /// The proof.
        why: String,
    },
    /// It is surely not there.
    Absent {
        /// The proof.
        why: String,
    },
    /// Nothing is proven yet; look again later.
    Wait {
        /// What was seen.
        why: String,
        /// Whether nothing at all was found: only such a look counts towards absence.
        empty: bool,
    },
    /// Looking will not settle it.
    Park {
        /// What was seen.
        why: String,
        /// What it could be.
        candidates: Vec<String>,
    },
}

/// How a job fits a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It could be.
    Fits,
    /// It could be, but something is odd: it is not adopted without a person.
    Odd(&'static str),
    /// It cannot be, whatever else is true.
    Conflict(&'static str),
}

/// How `candidate` fits the call in doubt; `skew` is how far creation times may lie before it.
pub fn fit(doubt: &Doubt, candidate: &Candidate, skew: Millis) -> Fit {
    let before = candidate.created_at.is_some_and(|at| at < doubt.sent_at - skew);
    if before && doubt.dated {
        return Fit::Conflict("made before the call went out");
    }
    let expected = match &doubt.effect {
        Effect::Training if candidate.media.is_some() => {
            return Fit::Conflict("has produced something, which no training does");
        }
        Effect::Training => return Fit::Fits,
        Effect::Job(expected) => expected,
    };
    if candidate.media.is_some_and(|media| media != expected.media) {
        return Fit::Conflict("makes something else");
    }
    if let (Some(theirs), Some(ours)) = (&candidate.model, &expected.model)
        && theirs != ours
    {
        return Fit::Conflict("belongs to another model");
    }
    if expected.count.is_some_and(|most| candidate.outputs > most) {
        return Fit::Odd("has made more than was ordered");
    }
    if before {
        return Fit::Odd("seems to be made before the call, by a clock that cannot be compared");
    }
    if candidate.unreadable {
        return Fit::Odd("is listed by the vendor, which cannot show it");
    }
    Fit::Fits
}

/// Decides what a complete look at the vendor's list proves, for every call in doubt, in the order
/// of `doubts`.
///
/// On an exclusive account each of the jobs was made by one of the calls (or is the entry of a
/// training), and each call made at most one. So what every maximum matching agrees on is proven;
/// identical requests count as one, since any assignment among them is equally right.
pub fn judge(doubts: &[Doubt], candidates: &[Candidate], sight: &Sight) -> Vec<Verdict> {
    let mut open: Vec<&Candidate> = candidates
        .iter()
        .filter(|job| doubts.iter().any(|doubt| could_be(doubt, job, sight)))
        .collect();
    open.sort_by(|a, b| a.remote_id.cmp(&b.remote_id));
    open.dedup_by(|a, b| a.remote_id == b.remote_id);
    let calls = doubts.len() + sight.trainings;
    let edges: Edges = open
        .iter()
        .map(|job| {
            let fitting = (0..doubts.len())
                .filter(|&call| doubts.get(call).is_some_and(|one| could_be(one, job, sight)));
            let entry = may_be_a_training(job);
            fitting.chain((doubts.len()..calls).filter(|_| entry)).collect()
        })
        .collect();
    let explained = sight.exclusive && matching::maximum(&edges, calls) == open.len();
    let mut verdicts: Vec<Option<Verdict>> = vec![None; doubts.len()];
    let mut proven: Vec<Option<usize>> = vec![None; open.len()];
    if explained {
        adopt_proven(doubts, &open, &edges, calls, sight, &mut verdicts, &mut proven);
    }
    verdicts
        .into_iter()
        .zip(doubts)
        .enumerate()
        .map(|(call, (verdict, doubt))| {
            verdict.unwrap_or_else(|| {
                let left: Vec<&Candidate> = open
                    .iter()
                    .enumerate()
                    .filter(|(job, _)| {
                        proven.get(*job).copied().flatten().is_none_or(|c| c == call)
                    })
                    .filter(|(_, job)| could_be(doubt, job, sight))
                    .map(|(_, job)| *job)
                    .collect();
                match left.as_slice() {
                    [] => nothing_found(doubt, sight),
                    left => unproven(doubt, left, explained, sight),
                }
            })
        })
        .collect()
}

fn could_be(doubt: &Doubt, job: &Candidate, sight: &Sight) -> bool {
    !matches!(fit(doubt, job, sight.skew), Fit::Conflict(_))
}

/// The docs contradict themselves on whether trainings are listed as jobs (vendor-api.md C3).
fn may_be_a_training(job: &Candidate) -> bool {
    job.media.is_none() && !job.failed
}

/// Gives each job that every maximum matching gives to one group of identical calls to the oldest
/// call of it that has none yet.
fn adopt_proven(
    doubts: &[Doubt],
    open: &[&Candidate],
    edges: &Edges,
    calls: usize,
    sight: &Sight,
    verdicts: &mut [Option<Verdict>],
    proven: &mut [Option<usize>],
) {
    let mut order: Vec<usize> = (0..doubts.len()).collect();
    order.sort_by_key(|&call| doubts.get(call).map(|doubt| doubt.intent));
    let hash = |call: usize| doubts.get(call).map(|doubt| doubt.request_hash.as_str());
    let mut done: Vec<&str> = Vec::new();
    for &first in &order {
        let Some(group) = hash(first).filter(|group| !done.contains(group)) else { continue };
        done.push(group);
        let mut free = order.iter().copied().filter(|&call| hash(call) == Some(group));
        for job in matching::forced(edges, calls, |call| hash(call) == Some(group)) {
            let Some(candidate) = open.get(job) else { continue };
            let fitting = |call: &usize| {
                doubts.get(*call).is_some_and(|doubt| could_be(doubt, candidate, sight))
            };
            let Some(call) = free.find(fitting) else { continue };
            if let Some(slot) = proven.get_mut(job) {
                *slot = Some(call);
            }
            let Some(doubt) = doubts.get(call) else { continue };
            let adoptable = matches!(doubt.effect, Effect::Job(_))
                && fit(doubt, candidate, sight.skew) == Fit::Fits;
            if adoptable && let Some(verdict) = verdicts.get_mut(call) {
                *verdict = Some(Verdict::Adopt {
                    remote_id: candidate.remote_id.clone(),
                    why: match open.len() {
                        1 => "the only job at the vendor since the call that no row claims",
                        _ => "no other call can have made this job",
                    }
                    .to_owned(),
                });
            }
        }
    }
}

/// Something could be this call's, and nothing says for sure that it is.
fn unproven(doubt: &Doubt, left: &[&Candidate], explained: bool, sight: &Sight) -> Verdict {
    let ids: Vec<String> = left.iter().map(|job| job.remote_id.clone()).collect();
    let odd = left.iter().find_map(|job| match fit(doubt, job, sight.skew) {
        Fit::Odd(what) => {
            Some(format!("the job {} could be this one, but it {what}", job.remote_id))
        }
        _ => None,
    });
    let why = match (&doubt.effect, left) {
        (Effect::Training, _) => "a job at the vendor could be this training".to_owned(),
        (_, [one]) if !sight.exclusive => {
            format!("the job {} could be this one, but others use this account too", one.remote_id)
        }
        (_, [one]) => odd.unwrap_or_else(|| {
            format!("the job {} is either this one or another call's", one.remote_id)
        }),
        (_, many) if explained => format!("{} jobs at the vendor could be this one", many.len()),
        (_, many) => format!(
            "{} jobs at the vendor could be this one, more than this daemon has ordered",
            many.len()
        ),
    };
    // A job that has made nothing yet, or cannot be read, may still rule itself out.
    let may_tell = left.iter().any(|job| job.unreadable || (job.media.is_none() && !job.failed));
    // Not at the first look either: one answer that cannot be read is no reason to ask a person.
    if may_tell && (doubt.healthy < sight.settle || !doubt.looked) {
        return Verdict::Wait { why: format!("{why}; what it produces will tell"), empty: false };
    }
    Verdict::Park { why, candidates: ids }
}

fn nothing_found(doubt: &Doubt, sight: &Sight) -> Verdict {
    let settled = doubt.healthy >= sight.settle;
    let apart = doubt.first_look.is_some_and(|first| sight.vendor_now - first >= sight.relist);
    if !(settled && apart && doubt.looks > 0) {
        return Verdict::Wait { why: "not in the vendor's list so far".to_owned(), empty: true };
    }
    let looked = format!(
        "{} complete listings over {} s show no job of this call",
        doubt.looks.saturating_add(1),
        doubt.healthy / 1000
    );
    if !doubt.reaches_back {
        return Verdict::Park {
            why: format!(
                "{looked}, but it went out so long ago that the vendor's list may no longer reach \
                 back to it"
            ),
            candidates: Vec::new(),
        };
    }
    Verdict::Absent { why: looked }
}

#[cfg(test)]
mod tests;
