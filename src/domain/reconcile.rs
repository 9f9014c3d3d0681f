//! Matching a paid call in doubt with what the vendor's list shows (design section 4).
//!
//! Only looking is allowed while in doubt; this decides what the looks prove. Pure: the evidence is
//! an argument, so that every tricky case can be tested without a vendor.

use super::ids::Millis;
use super::schedule::Timing;
use serde::{Deserialize, Serialize};

/// The vendor may round times to whole seconds, and its clock may be read a little late.
pub const SKEW: Millis = 6_000;

/// What the call would have made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The vendor's id of the trained model, when the job belongs to one.
    pub model: Option<String>,
    /// What it produces.
    pub media: Media,
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
    /// Whether the vendor lists it but cannot show it: never adopted, never ruled out.
    pub unreadable: bool,
}

/// What is known about the call.
#[derive(Clone, Debug)]
pub struct Doubt {
    /// What it would have made.
    pub expected: Expected,
    /// The vendor's clock when the call went out.
    pub sent_at: Millis,
    /// The vendor's clock when the outcome became unknown.
    pub doubt_since: Millis,
    /// The vendor's clock now.
    pub vendor_now: Millis,
    /// Complete looks before this one that found nothing.
    pub looks: u32,
    /// Vendor time of the first of them.
    pub first_look: Option<Millis>,
    /// Whether nobody else uses the account.
    pub exclusive: bool,
    /// Whether a training of ours may still show up in the list as a job.
    pub training_may_show: bool,
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

impl Candidate {
    /// Whether it cannot be the call's, whatever else is true.
    fn conflicts(&self, doubt: &Doubt) -> bool {
        let expected = &doubt.expected;
        let other_media = self.media.is_some_and(|media| media != expected.media);
        let other_model = match (&self.model, &expected.model) {
            (Some(theirs), Some(ours)) => theirs != ours,
            _ => false,
        };
        let before = self.created_at.is_some_and(|at| at < doubt.sent_at - SKEW);
        other_media || other_model || before
    }
}

/// Decides what a complete look at the vendor's list proves.
pub fn judge(doubt: &Doubt, candidates: &[Candidate], timing: &Timing) -> Verdict {
    let mut open: Vec<&Candidate> =
        candidates.iter().filter(|candidate| !candidate.conflicts(doubt)).collect();
    open.sort_by(|a, b| a.remote_id.cmp(&b.remote_id));
    match open.as_slice() {
        [] => nothing_found(doubt, timing),
        [one] => one_found(doubt, one, timing),
        many => Verdict::Park {
            why: format!("{} jobs at the vendor could be this one", many.len()),
            candidates: many.iter().map(|candidate| candidate.remote_id.clone()).collect(),
        },
    }
}

/// The same for a training: its model's status is the only proof that it began, so a job in the
/// list that could be it (the docs contradict themselves on whether trainings are listed) forbids
/// "absent", and is left to a person once the settle time has passed.
pub fn judge_training(doubt: &Doubt, candidates: &[Candidate], timing: &Timing) -> Verdict {
    // A job that has produced something is no training.
    let open: Vec<&Candidate> = candidates
        .iter()
        .filter(|candidate| candidate.media.is_none() && !candidate.conflicts(doubt))
        .collect();
    let settled = doubt.vendor_now - doubt.doubt_since >= timing.settle;
    if open.is_empty() {
        return nothing_found(doubt, timing);
    }
    let candidates: Vec<String> = open.iter().map(|one| one.remote_id.clone()).collect();
    if settled {
        let why = "a job at the vendor could be this training".to_owned();
        return Verdict::Park { why, candidates };
    }
    let why = "a job at the vendor could be this training; what it produces will tell".to_owned();
    Verdict::Wait { why, empty: false }
}

fn one_found(doubt: &Doubt, one: &Candidate, timing: &Timing) -> Verdict {
    if !doubt.exclusive {
        return Verdict::Park {
            why: format!(
                "the job {} could be this one, but others use this account too",
                one.remote_id
            ),
            candidates: vec![one.remote_id.clone()],
        };
    }
    if one.unreadable {
        let why = format!("the vendor lists the job {} and cannot show it", one.remote_id);
        if doubt.vendor_now - doubt.doubt_since < timing.settle {
            return Verdict::Wait { why, empty: false };
        }
        return Verdict::Park { why, candidates: vec![one.remote_id.clone()] };
    }
    if doubt.training_may_show && one.media.is_none() {
        return Verdict::Wait {
            why: format!(
                "the job {} is either this one or a training's; what it produces will tell",
                one.remote_id
            ),
            empty: false,
        };
    }
    Verdict::Adopt {
        remote_id: one.remote_id.clone(),
        why: "the only job at the vendor since the call that no row claims".to_owned(),
    }
}

fn nothing_found(doubt: &Doubt, timing: &Timing) -> Verdict {
    let settled = doubt.vendor_now - doubt.doubt_since >= timing.settle;
    let apart = doubt.first_look.is_some_and(|first| doubt.vendor_now - first >= timing.relist);
    if settled && apart && doubt.looks > 0 {
        return Verdict::Absent {
            why: format!(
                "{} complete listings over {} s show no job of this call",
                doubt.looks + 1,
                (doubt.vendor_now - doubt.doubt_since) / 1000
            ),
        };
    }
    Verdict::Wait { why: "not in the vendor's list so far".to_owned(), empty: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn doubt() -> Doubt {
        Doubt {
            expected: Expected { model: Some("m".into()), media: Media::Images },
            sent_at: 1_000_000,
            doubt_since: 1_000_000,
            vendor_now: 1_010_000,
            looks: 0,
            first_look: None,
            exclusive: true,
            training_may_show: false,
        }
    }

    fn candidate(id: &str) -> Candidate {
        Candidate {
            remote_id: id.into(),
            created_at: None,
            model: None,
            media: None,
            unreadable: false,
        }
    }

    #[test]
    fn one_unclaimed_job_on_an_exclusive_account_is_ours() {
        let verdict = judge(&doubt(), &[candidate("a")], &Timing::default());
        assert!(matches!(verdict, Verdict::Adopt { remote_id, .. } if remote_id == "a"));
    }

    #[test]
    fn hard_conflicts_drop_and_a_shared_account_parks() {
        let timing = Timing::default();
        let other_model = Candidate { model: Some("x".into()), ..candidate("a") };
        let a_video = Candidate { media: Some(Media::Videos), ..candidate("b") };
        let older = Candidate { created_at: Some(900_000), ..candidate("c") };
        let verdict = judge(&doubt(), &[other_model, a_video, older], &timing);
        assert!(matches!(verdict, Verdict::Wait { .. }));
        let shared = Doubt { exclusive: false, ..doubt() };
        assert!(matches!(judge(&shared, &[candidate("a")], &timing), Verdict::Park { .. }));
        let two = [candidate("a"), candidate("b")];
        assert!(matches!(judge(&doubt(), &two, &timing), Verdict::Park { .. }));
    }

    #[test]
    fn a_job_that_cannot_be_read_is_neither_adopted_nor_ruled_out() {
        let timing = Timing::default();
        let unreadable = Candidate { unreadable: true, ..candidate("a") };
        let verdict = judge(&doubt(), std::slice::from_ref(&unreadable), &timing);
        assert!(matches!(verdict, Verdict::Wait { empty: false, .. }));
        let late = Doubt { vendor_now: 1_000_000 + timing.settle, looks: 9, ..doubt() };
        assert!(matches!(judge(&late, &[unreadable], &timing), Verdict::Park { .. }));
    }

    #[test]
    fn a_training_is_never_adopted_and_not_absent_while_a_job_could_be_it() {
        let timing = Timing::default();
        let early = judge_training(&doubt(), &[candidate("a")], &timing);
        assert!(matches!(early, Verdict::Wait { empty: false, .. }));
        let late = Doubt {
            vendor_now: 1_000_000 + timing.settle,
            looks: 3,
            first_look: Some(1_000_000),
            ..doubt()
        };
        assert!(matches!(judge_training(&late, &[candidate("a")], &timing), Verdict::Park { .. }));
        let made = Candidate { media: Some(Media::Images), ..candidate("a") };
        assert!(matches!(judge_training(&late, &[made], &timing), Verdict::Absent { .. }));
    }

    #[test]
    fn absence_needs_the_settle_time_and_two_looks_apart() {
        let timing = Timing::default();
        let late = Doubt { vendor_now: 1_000_000 + timing.settle, ..doubt() };
        assert!(matches!(judge(&late, &[], &timing), Verdict::Wait { .. }), "a single look");
        let twice = Doubt { looks: 1, first_look: Some(late.vendor_now - timing.relist), ..late };
        assert!(matches!(judge(&twice, &[], &timing), Verdict::Absent { .. }));
        let early = Doubt { vendor_now: twice.vendor_now - 1, ..twice };
        assert!(matches!(judge(&early, &[], &timing), Verdict::Wait { .. }));
    }

    proptest! {
        #[test]
        fn never_absent_while_a_candidate_remains_and_order_is_nothing(
            ids in prop::collection::btree_set("[a-e]", 0..5),
            media in prop::collection::vec(prop::option::of(any::<bool>()), 5),
            now in 1_000_000i64..9_000_000, looks in 0u32..4, exclusive: bool, may: bool,
        ) {
            let mut all: Vec<Candidate> = ids.iter().zip(&media).map(|(id, media)| Candidate {
                media: media.map(|video| if video { Media::Videos } else { Media::Images }),
                ..candidate(id)
            }).collect();
            let doubt = Doubt {
                vendor_now: now, looks, first_look: (looks > 0).then_some(1_000_000),
                exclusive, training_may_show: may, ..doubt()
            };
            let verdict = judge(&doubt, &all, &Timing::default());
            let open: Vec<_> = all.iter().filter(|c| c.media != Some(Media::Videos)).collect();
            match &verdict {
                Verdict::Absent { .. } => prop_assert!(open.is_empty()),
                Verdict::Adopt { remote_id, .. } => {
                    prop_assert!(exclusive && open.len() == 1);
                    prop_assert_eq!(&open[0].remote_id, remote_id);
                }
                Verdict::Park { .. } => prop_assert!(!open.is_empty()),
                Verdict::Wait { .. } => {}
            }
            all.reverse();
            prop_assert_eq!(judge(&doubt, &all, &Timing::default()), verdict);
        }
    }
}
