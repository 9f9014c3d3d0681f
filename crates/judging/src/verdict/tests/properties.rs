use super::*;
use proptest::prelude::*;

fn any_case() -> impl Strategy<Value = Case> {
    let standing = (any::<bool>(), any::<bool>());
    let progress = (standing, 0..2 * HOUR, proptest::option::of(0..2 * HOUR), 0..2 * DAY);
    let heard = (0_usize..3, 0_usize..3, 0_usize..2, any::<bool>());
    let jobs = proptest::collection::vec(
        (-HOUR..HOUR, any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()),
        0..3,
    );
    let world = (any::<bool>(), any::<bool>(), any::<bool>(), 0_u32..5, 0_u32..2);
    (progress, heard, jobs, world).prop_map(|(progress, heard, jobs, world)| {
        let mut case = case();
        let ((parked, absent), looking, ripe_since, age) = progress;
        case.progress = Progress { parked, absent, looking, ripe_since, age };
        let (before, since, missing, wide) = heard;
        let missing = vec!["w".to_owned(); missing];
        case.reading = Reading { wide, heard: Heard { before, since, missing } };
        type Drawn = (i32, (Millis, bool, bool, bool, bool));
        let candidate = |(at, (after, known, ended, video, not_this)): Drawn| {
            let media = if video { Media::Videos } else { Media::Images };
            let record = known.then(|| record(None, Some(media), ended));
            let id = format!("j{at}");
            Candidate { not_this, ..job(&id, SENT + after, record) }
        };
        case.candidates = (0..).zip(jobs).map(candidate).collect();
        let (exclusive, forgetful, lacks, same, other) = world;
        (case.exclusive, case.forgetful) = (exclusive, forgetful);
        case.lacks = lacks.then_some("l");
        (case.models.same, case.models.other) = (same, other);
        case
    })
}

proptest! {
    /// Absence needs silence, and witnesses who are heard; what is found was the only one.
    #[test]
    fn no_evidence_proves_what_it_must_not(case in any_case()) {
        let open = |job: &&Candidate| !job.not_this;
        match case.verdict() {
            Verdict::Absent { fresh, .. } => {
                let heard = &case.reading.heard;
                prop_assert!(heard.missing.is_empty() && heard.before + heard.since > 0);
                prop_assert!(case.reading.wide && !case.forgetful && case.lacks.is_none());
                prop_assert!(case.progress.looking >= 15 * MINUTE);
                prop_assert!(fresh || case.progress.looking >= HOUR);
                prop_assert_eq!(fresh, heard.since > 0);
                prop_assert!(case.progress.age <= 20 * HOUR);
                // Whatever is left conflicts: a person's word, or a video that has ended.
                let media = |job: &Candidate| {
                    job.record.as_ref().is_some_and(|record| {
                        record.ended && record.media == Some(Media::Videos)
                    })
                };
                prop_assert!(case.candidates.iter().filter(open).all(media));
            }
            Verdict::Found { remote_id, .. } => {
                prop_assert!(!case.forgetful && case.exclusive);
                let taken = case.candidates.iter().find(|job| job.remote_id == remote_id);
                prop_assert!(taken.is_some_and(|job| !job.not_this && job.record.is_some()));
            }
            Verdict::Park { candidates, .. } => {
                prop_assert!(!case.progress.parked && case.progress.looking >= 2 * MINUTE);
                prop_assert!(!candidates.is_empty());
            }
            Verdict::Wait { ripe, candidates, .. } => {
                prop_assert!(!ripe || candidates.is_empty());
            }
        }
    }

    /// What was proven absent stays so however much longer one looks.
    #[test]
    fn more_looking_never_undoes_absence(case in any_case(), more in 0..DAY) {
        if case.is_absent() {
            let longer = case.with(|case| case.progress.looking += more);
            prop_assert!(longer.is_absent());
        }
    }

    /// One more call without a job never makes a job more surely ours.
    #[test]
    fn another_maker_never_helps(case in any_case(), sent in -DAY..DAY) {
        let maker = Other { call: call(9, images(None), SENT + sent), standing: Standing::Open };
        let with = case.clone().with(|case| case.others.push(maker));
        if matches!(with.verdict(), Verdict::Found { .. }) {
            let found = matches!(case.verdict(), Verdict::Found { .. });
            prop_assert!(found);
        }
        prop_assert_eq!(with.is_absent(), case.is_absent());
    }
}
