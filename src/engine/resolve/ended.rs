//! Jobs that have ended and change no more, so that not every look reads all of them again.
//!
//! On an account that others use too, the jobs that no row claims add up. Reading each of them at
//! every look would cost more with each, and one failed read among them fails the look.

use judging::fit::{Media, Record};
use std::collections::HashMap;
use std::time::Duration;

/// Records that are kept at most; with more, all are forgotten and read anew.
const KEPT: usize = 4_096;

/// What the looks of this process have read of ended jobs.
#[derive(Default)]
pub(in crate::engine) struct EndedJobs(HashMap<String, Kept>);

struct Kept {
    record: Record,
    /// When the vendor had answered like this first, by a clock that never runs backwards.
    since: Duration,
    /// It answered like this again after the time within which it could still change.
    lasting: bool,
}

impl EndedJobs {
    /// What is known of a job that need not be read again.
    ///
    /// `videos`: a video is being looked for. Then a job that shows stills alone is read again: its
    /// video may come later than anybody expects, and ruled out it would be bought a second time.
    pub(super) fn lasting(&self, remote_id: &str, videos: bool) -> Option<&Record> {
        let kept = self.0.get(remote_id).filter(|kept| kept.lasting)?;
        let whole = match kept.record.media {
            Some(Media::Videos) => true,
            Some(Media::Images) => !videos,
            None => false,
        };
        whole.then_some(&kept.record)
    }

    /// Has the job read again at the next look.
    pub(super) fn forget(&mut self, remote_id: &str) {
        self.0.remove(remote_id);
    }

    /// Takes note of an ended job that the vendor was asked about at `asked` and that it had
    /// answered at `answered`; it lasts if it was the same more than `lag` before.
    pub(super) fn note(
        &mut self,
        remote_id: &str,
        record: &Record,
        (asked, answered): (Duration, Duration),
        lag: Duration,
    ) {
        if let Some(kept) = self.0.get_mut(remote_id)
            && kept.record == *record
        {
            kept.lasting |= asked.saturating_sub(kept.since) >= lag;
            return;
        }
        if self.0.len() >= KEPT {
            self.0.clear();
        }
        let kept = Kept { record: record.clone(), since: answered, lasting: false };
        self.0.insert(remote_id.to_owned(), kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAG: Duration = Duration::from_secs(60);

    fn job(outputs: u32, media: Option<Media>) -> Record {
        Record { model: None, media, outputs, ended: true, failed: false }
    }

    /// Asked and answered, in seconds.
    fn at(asked: u64, answered: u64) -> (Duration, Duration) {
        (Duration::from_secs(asked), Duration::from_secs(answered))
    }

    #[test]
    fn a_record_lasts_when_it_has_stayed_the_same_for_long_enough() {
        let video = job(1, Some(Media::Videos));
        let mut ended = EndedJobs::default();
        ended.note("job_1", &video, at(10, 100), LAG);
        ended.note("job_1", &video, at(159, 300), LAG);
        assert_eq!(ended.lasting("job_1", true), None, "the answer was late, not the question");
        ended.note("job_1", &video, at(160, 161), LAG);
        assert_eq!(ended.lasting("job_1", true), Some(&video));
    }

    #[test]
    fn a_record_that_changes_starts_again() {
        let (one, two) = (job(1, Some(Media::Videos)), job(2, Some(Media::Videos)));
        let mut ended = EndedJobs::default();
        ended.note("job_1", &one, at(0, 0), LAG);
        ended.note("job_1", &two, at(100, 100), LAG);
        ended.note("job_1", &two, at(159, 159), LAG);
        assert_eq!(ended.lasting("job_1", false), None);
        ended.note("job_1", &two, at(160, 160), LAG);
        assert_eq!(ended.lasting("job_1", false), Some(&two));
    }

    #[test]
    fn what_could_still_become_the_video_that_is_looked_for_is_read_again() {
        let mut ended = EndedJobs::default();
        for (id, media) in [(1, Some(Media::Images)), (2, None), (3, Some(Media::Videos))] {
            let id = format!("job_{id}");
            ended.note(&id, &job(1, media), at(0, 0), LAG);
            ended.note(&id, &job(1, media), at(60, 60), LAG);
        }
        let known =
            |videos| ["job_1", "job_2", "job_3"].map(|id| ended.lasting(id, videos).is_some());
        assert_eq!(known(true), [false, false, true]);
        assert_eq!(known(false), [true, false, true]);
    }

    #[test]
    fn it_stays_small() {
        let mut ended = EndedJobs::default();
        for id in 0..3 * KEPT {
            let (id, video) = (format!("job_{id}"), job(1, Some(Media::Videos)));
            ended.note(&id, &video, at(0, 0), Duration::ZERO);
            ended.note(&id, &video, at(0, 0), Duration::ZERO);
            assert!(ended.0.len() <= KEPT);
        }
        assert!(ended.lasting(&format!("job_{}", 3 * KEPT - 1), true).is_some());
    }
}
