//! Jobs that have ended and change no more, so that not every look reads all of them again.
//!
//! On an account that others use too, the jobs that no row claims add up. Reading each of them at
//! every look would cost more with each, and one failed read among them fails the look.

use crate::domain::reconcile::Candidate;
use std::collections::HashMap;
use std::time::Duration;

/// Records that are kept at most; with more, all are forgotten and read anew.
const KEPT: usize = 4_096;

/// What the looks of this process have read of ended jobs.
#[derive(Default)]
pub(in crate::engine) struct EndedJobs(HashMap<String, Record>);

struct Record {
    candidate: Candidate,
    /// When it was first read like this, by a clock that never runs backwards.
    since: Duration,
    /// It was read like this again after the time within which it could still change.
    lasting: bool,
}

impl EndedJobs {
    /// What is known of a job that need not be read again.
    pub(super) fn lasting(&self, remote_id: &str) -> Option<&Candidate> {
        self.0.get(remote_id).filter(|record| record.lasting).map(|record| &record.candidate)
    }

    /// Takes note of an ended job as it was read at `now`; it lasts if it was the same more than
    /// `lag` ago.
    pub(super) fn note(&mut self, candidate: &Candidate, now: Duration, lag: Duration) {
        if let Some(record) = self.0.get_mut(&candidate.remote_id)
            && record.candidate == *candidate
        {
            record.lasting |= now.saturating_sub(record.since) >= lag;
            return;
        }
        if self.0.len() >= KEPT {
            self.0.clear();
        }
        let record = Record { candidate: candidate.clone(), since: now, lasting: false };
        self.0.insert(candidate.remote_id.clone(), record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reconcile::Media;

    const LAG: Duration = Duration::from_secs(60);

    fn job(id: usize, outputs: u32) -> Candidate {
        Candidate {
            remote_id: format!("job_{id}"),
            created_at: Some(5),
            model: None,
            media: Some(Media::Images),
            outputs,
            failed: false,
            unreadable: false,
        }
    }

    #[test]
    fn a_record_lasts_when_it_has_stayed_the_same_for_long_enough() {
        let at = Duration::from_secs;
        let mut ended = EndedJobs::default();
        ended.note(&job(1, 1), at(100), LAG);
        ended.note(&job(1, 1), at(159), LAG);
        assert_eq!(ended.lasting("job_1"), None);
        ended.note(&job(1, 1), at(160), LAG);
        assert_eq!(ended.lasting("job_1"), Some(&job(1, 1)));
    }

    #[test]
    fn a_record_that_changes_starts_again() {
        let at = Duration::from_secs;
        let mut ended = EndedJobs::default();
        ended.note(&job(1, 1), at(0), LAG);
        ended.note(&job(1, 2), at(100), LAG);
        ended.note(&job(1, 2), at(159), LAG);
        assert_eq!(ended.lasting("job_1"), None);
        ended.note(&job(1, 2), at(160), LAG);
        assert_eq!(ended.lasting("job_1"), Some(&job(1, 2)));
    }

    #[test]
    fn it_stays_small() {
        let mut ended = EndedJobs::default();
        for id in 0..3 * KEPT {
            ended.note(&job(id, 1), Duration::ZERO, Duration::ZERO);
            ended.note(&job(id, 1), Duration::ZERO, Duration::ZERO);
            assert!(ended.0.len() <= KEPT);
        }
        assert!(ended.lasting(&format!("job_{}", 3 * KEPT - 1)).is_some());
    }
}
