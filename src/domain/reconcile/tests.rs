use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const SETTLE: Millis = 900_000;

fn image() -> Expected {
    Expected { model: Some("m".into()), media: Media::Images, count: Some(2) }
}

fn doubt() -> Doubt {
    Doubt {
        intent: 1,
        request_hash: "h".into(),
        effect: Effect::Job(image()),
        sent_at: 1_000_000,
        dated: true,
        healthy: 10_000,
        looked: true,
        looks: 0,
        first_look: None,
        reaches_back: true,
    }
}

fn sight() -> Sight {
    Sight {
        vendor_now: 1_010_000,
        exclusive: true,
        trainings: 0,
        skew: SKEW,
        settle: SETTLE,
        relist: 30_000,
    }
}

fn candidate(id: &str) -> Candidate {
    Candidate {
        remote_id: id.into(),
        created_at: None,
        model: None,
        media: None,
        outputs: 0,
        failed: false,
        unreadable: false,
    }
}

fn made(id: &str, media: Media) -> Candidate {
    Candidate { media: Some(media), outputs: 1, ..candidate(id) }
}

fn one(doubt: &Doubt, candidates: &[Candidate], sight: &Sight) -> Verdict {
    judge(std::slice::from_ref(doubt), candidates, sight).remove(0)
}

fn settled() -> (Doubt, Sight) {
    let seen = Sight { vendor_now: 1_000_000 + SETTLE, ..sight() };
    let first_look = Some(seen.vendor_now - seen.relist);
    (Doubt { healthy: SETTLE, looks: 1, first_look, ..doubt() }, seen)
}

#[test]
fn one_unclaimed_job_on_an_exclusive_account_is_ours() {
    let verdict = one(&doubt(), &[candidate("a")], &sight());
    assert!(matches!(verdict, Verdict::Adopt { remote_id, .. } if remote_id == "a"));
}

#[test]
fn hard_conflicts_drop() {
    let other_model = Candidate { model: Some("x".into()), ..candidate("a") };
    let a_video = made("b", Media::Videos);
    let older = Candidate { created_at: Some(900_000), ..candidate("c") };
    let all = [other_model, a_video, older];
    assert!(matches!(one(&doubt(), &all, &sight()), Verdict::Wait { empty: true, .. }));
    let (doubt, sight) = settled();
    assert!(matches!(one(&doubt, &all, &sight), Verdict::Absent { .. }));
}

#[test]
fn without_the_vendors_clock_nothing_is_ruled_out_by_its_time() {
    let older = Candidate { created_at: Some(900_000), ..made("c", Media::Images) };
    let undated = Doubt { dated: false, ..doubt() };
    let verdict = one(&undated, std::slice::from_ref(&older), &sight());
    assert!(matches!(verdict, Verdict::Park { .. }), "{verdict:?}");
    let (late, sight) = settled();
    let late = Doubt { dated: false, ..late };
    assert!(matches!(one(&late, &[older], &sight), Verdict::Park { .. }));
}

#[test]
fn a_shared_account_is_never_a_guess() {
    let shared = Sight { exclusive: false, ..sight() };
    let ended = made("a", Media::Images);
    assert!(matches!(one(&doubt(), &[ended], &shared), Verdict::Park { .. }));
    // A video that is still being made may rule itself out.
    assert!(matches!(one(&doubt(), &[candidate("a")], &shared), Verdict::Wait { .. }));
    let late = Doubt { healthy: SETTLE, ..doubt() };
    assert!(matches!(one(&late, &[candidate("a")], &shared), Verdict::Park { .. }));
}

#[test]
fn more_jobs_than_calls_are_parked_with_all_of_them() {
    let two = [made("b", Media::Images), made("a", Media::Images)];
    let Verdict::Park { candidates, .. } = one(&doubt(), &two, &sight()) else { panic!() };
    assert_eq!(candidates, ["a", "b"]);
    let tells = [made("a", Media::Images), candidate("b")];
    assert!(matches!(one(&doubt(), &tells, &sight()), Verdict::Wait { empty: false, .. }));
    let ruled_out = [made("a", Media::Images), made("b", Media::Videos)];
    assert!(matches!(one(&doubt(), &ruled_out, &sight()), Verdict::Adopt { .. }));
}

#[test]
fn odd_ones_are_neither_adopted_nor_ruled_out() {
    let unreadable = Candidate { unreadable: true, ..candidate("a") };
    let too_many = Candidate { outputs: 3, ..made("a", Media::Images) };
    let verdict = one(&doubt(), std::slice::from_ref(&unreadable), &sight());
    assert!(matches!(verdict, Verdict::Wait { empty: false, .. }));
    assert!(matches!(
        one(&doubt(), std::slice::from_ref(&too_many), &sight()),
        Verdict::Park { .. }
    ));
    let (doubt, sight) = settled();
    let first = Doubt { looked: false, ..doubt.clone() };
    let verdict = one(&first, std::slice::from_ref(&unreadable), &sight);
    assert!(matches!(verdict, Verdict::Wait { .. }), "a single unreadable answer");
    for odd in [unreadable, too_many] {
        assert!(matches!(one(&doubt, &[odd], &sight), Verdict::Park { .. }));
    }
}

#[test]
fn a_job_that_may_be_a_trainings_entry_waits_for_its_proof() {
    let training = Sight { trainings: 1, ..sight() };
    assert!(matches!(one(&doubt(), &[candidate("a")], &training), Verdict::Wait { .. }));
    let proven = made("a", Media::Images);
    assert!(matches!(one(&doubt(), &[proven], &training), Verdict::Adopt { .. }));
    let failed = Candidate { failed: true, ..candidate("a") };
    assert!(matches!(one(&doubt(), &[failed], &training), Verdict::Adopt { .. }));
    let Verdict::Adopt { remote_id, .. } =
        one(&doubt(), &[candidate("a"), made("b", Media::Images)], &training)
    else {
        panic!("the other one is the training's")
    };
    assert_eq!(remote_id, "b");
}

#[test]
fn a_training_is_never_adopted_and_not_absent_while_a_job_could_be_it() {
    let training = Doubt { effect: Effect::Training, ..doubt() };
    let verdict = one(&training, &[candidate("a")], &sight());
    assert!(matches!(verdict, Verdict::Wait { empty: false, .. }));
    let (late, sight) = settled();
    let late = Doubt { effect: Effect::Training, ..late };
    assert!(matches!(one(&late, &[candidate("a")], &sight), Verdict::Park { .. }));
    assert!(matches!(one(&late, &[made("a", Media::Images)], &sight), Verdict::Absent { .. }));
}

#[test]
fn absence_needs_the_settle_time_and_two_looks_apart_and_a_list_that_reaches_back() {
    let (late, sight) = settled();
    assert!(matches!(one(&late, &[], &sight), Verdict::Absent { .. }));
    let single = Doubt { looks: 0, first_look: None, ..late.clone() };
    assert!(matches!(one(&single, &[], &sight), Verdict::Wait { .. }));
    let close = Doubt { first_look: Some(sight.vendor_now - 1), ..late.clone() };
    assert!(matches!(one(&close, &[], &sight), Verdict::Wait { .. }));
    let early = Doubt { healthy: SETTLE - 1, ..late.clone() };
    assert!(matches!(one(&early, &[], &sight), Verdict::Wait { .. }));
    let old = Doubt { reaches_back: false, ..late };
    assert!(matches!(one(&old, &[], &sight), Verdict::Park { .. }));
}

#[test]
fn several_open_calls_share_what_is_certain() {
    let other = Effect::Job(Expected { model: None, media: Media::Videos, count: None });
    let first = doubt();
    let twin = Doubt { intent: 2, ..doubt() };
    let video = Doubt { intent: 3, request_hash: "v".into(), effect: other, ..doubt() };
    let jobs = [made("p", Media::Images), made("q", Media::Videos)];
    let verdicts = judge(&[video, twin, first], &jobs, &sight());
    let adopted: Vec<Option<&str>> = verdicts
        .iter()
        .map(|verdict| match verdict {
            Verdict::Adopt { remote_id, .. } => Some(remote_id.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(adopted, [Some("q"), None, Some("p")], "the oldest of two twins");
    assert!(matches!(verdicts.get(1), Some(Verdict::Wait { empty: true, .. })));
}

/// Small worlds in which everything that matters for matching can differ.
fn a_call() -> impl Strategy<Value = (u8, Option<u8>, bool, bool)> {
    (0u8..3, prop::option::of(0u8..2), any::<bool>(), prop::bool::weighted(0.1))
}

fn a_job() -> impl Strategy<Value = (Option<u8>, Option<bool>, bool, bool)> {
    (
        prop::option::of(0u8..2),
        prop::option::of(any::<bool>()),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
    )
}

fn media(video: bool) -> Media {
    if video { Media::Videos } else { Media::Images }
}

fn calls_of(raw: &[(u8, Option<u8>, bool, bool)]) -> Vec<Doubt> {
    raw.iter()
        .enumerate()
        .map(|(n, (hash, model, video, training))| {
            let expected =
                Expected { model: model.map(|m| m.to_string()), media: media(*video), count: None };
            Doubt {
                intent: n as i64,
                // The same hash means the same request.
                request_hash: format!("{hash}{model:?}{video}{training}"),
                effect: if *training { Effect::Training } else { Effect::Job(expected) },
                ..doubt()
            }
        })
        .collect()
}

fn jobs_of(raw: &[(Option<u8>, Option<bool>, bool, bool)]) -> Vec<Candidate> {
    raw.iter()
        .enumerate()
        .map(|(n, (model, video, unreadable, failed))| Candidate {
            model: model.map(|m| m.to_string()),
            media: video.map(media),
            unreadable: *unreadable && video.is_none() && model.is_none(),
            failed: *failed && video.is_none(),
            ..candidate(&format!("job-{n}"))
        })
        .collect()
}

/// Every way in which each job was made by another call (or is a training's entry): the oracle.
fn worlds(doubts: &[Doubt], jobs: &[&Candidate], sight: &Sight) -> Vec<Vec<usize>> {
    let Some((first, rest)) = jobs.split_first() else {
        return vec![Vec::new()];
    };
    let mut out = Vec::new();
    for tail in worlds(doubts, rest, sight) {
        for call in 0..doubts.len() + sight.trainings {
            let fits = match doubts.get(call) {
                Some(doubt) => could_be(doubt, first, sight),
                None => may_be_a_training(first),
            };
            if fits && !tail.contains(&call) {
                let mut world = vec![call];
                world.extend(&tail);
                out.push(world);
            }
        }
    }
    out
}

fn relevant<'a>(doubts: &[Doubt], jobs: &'a [Candidate], sight: &Sight) -> Vec<&'a Candidate> {
    let fits = |job: &&Candidate| doubts.iter().any(|doubt| could_be(doubt, job, sight));
    jobs.iter().filter(fits).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// What is adopted holds in every world that explains what was seen, and what holds in every
    /// world is adopted.
    #[test]
    fn adoption_is_what_every_world_agrees_on(
        raw_calls in prop::collection::vec(a_call(), 1..5),
        raw_jobs in prop::collection::vec(a_job(), 0..5),
        trainings in 0usize..2,
        exclusive in prop::bool::weighted(0.9),
    ) {
        let (doubts, jobs) = (calls_of(&raw_calls), jobs_of(&raw_jobs));
        let sight = Sight { exclusive, trainings, ..sight() };
        let verdicts = judge(&doubts, &jobs, &sight);
        let open = relevant(&doubts, &jobs, &sight);
        let worlds = worlds(&doubts, &open, &sight);
        let group = |call: usize| doubts.get(call).map(|doubt| doubt.request_hash.clone());
        for (place, job) in open.iter().enumerate() {
            let makers: BTreeSet<Option<String>> =
                worlds.iter().map(|world| group(world[place])).collect();
            let adopters: Vec<usize> = (0..doubts.len())
                .filter(|call| matches!(&verdicts[*call],
                    Verdict::Adopt { remote_id, .. } if *remote_id == job.remote_id))
                .collect();
            prop_assert!(adopters.len() <= 1, "one job, one call");
            let certain = exclusive && makers.len() == 1 && !makers.contains(&None);
            if let [call] = adopters.as_slice() {
                prop_assert!(certain, "guessed");
                prop_assert!(makers.contains(&group(*call)));
                prop_assert_eq!(fit(&doubts[*call], job, sight.skew), Fit::Fits);
            } else if certain {
                let call = worlds[0][place];
                let plain = matches!(doubts[call].effect, Effect::Job(_))
                    && fit(&doubts[call], job, sight.skew) == Fit::Fits;
                prop_assert!(!plain, "certain, and not adopted: {:?}", verdicts);
            }
        }
        let all: Vec<&String> = verdicts.iter().filter_map(|verdict| match verdict {
            Verdict::Adopt { remote_id, .. } => Some(remote_id),
            _ => None,
        }).collect();
        prop_assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "claimed twice");
    }

    /// Never absent while some world gives the call a job; parked and waiting ones say which.
    #[test]
    fn never_absent_while_a_candidate_remains(
        raw_calls in prop::collection::vec(a_call(), 1..5),
        raw_jobs in prop::collection::vec(a_job(), 0..5),
        trainings in 0usize..2,
        exclusive: bool,
        looks in 0u32..3,
        healthy in 0i64..2 * SETTLE,
    ) {
        let mut doubts = calls_of(&raw_calls);
        for doubt in &mut doubts {
            (doubt.looks, doubt.healthy) = (looks, healthy);
            doubt.first_look = (looks > 0).then_some(0);
        }
        let jobs = jobs_of(&raw_jobs);
        let sight = Sight { exclusive, trainings, ..sight() };
        let verdicts = judge(&doubts, &jobs, &sight);
        let open = relevant(&doubts, &jobs, &sight);
        let worlds = worlds(&doubts, &open, &sight);
        for (call, verdict) in verdicts.iter().enumerate() {
            let possible = open.iter().enumerate().any(|(place, job)| {
                could_be(&doubts[call], job, &sight)
                    && (worlds.is_empty() || !exclusive || worlds.iter().any(|w| w[place] == call))
            });
            let twins = doubts.iter().filter(|d| d.request_hash == doubts[call].request_hash);
            match verdict {
                // A twin that took the job leaves nothing for this one.
                Verdict::Absent { .. } => {
                    prop_assert!(!possible || twins.count() > 1, "absent with a candidate left");
                    prop_assert!(healthy >= SETTLE && looks > 0);
                }
                Verdict::Park { candidates, .. } => prop_assert!(!candidates.is_empty()),
                Verdict::Wait { empty, .. } => prop_assert!(!*empty || !possible || twins.count() > 1),
                Verdict::Adopt { .. } => prop_assert!(possible),
            }
        }
    }

    /// The order of the list, and the order in which calls are asked about, change nothing.
    #[test]
    fn order_is_nothing(
        raw_calls in prop::collection::vec(a_call(), 1..5),
        raw_jobs in prop::collection::vec(a_job(), 0..6),
        turn in 0usize..6,
        exclusive in prop::bool::weighted(0.8),
    ) {
        let (mut doubts, mut jobs) = (calls_of(&raw_calls), jobs_of(&raw_jobs));
        let sight = Sight { exclusive, ..sight() };
        let before: Vec<(i64, Verdict)> =
            doubts.iter().map(|d| d.intent).zip(judge(&doubts, &jobs, &sight)).collect();
        jobs.reverse();
        let by = turn.min(jobs.len());
        jobs.rotate_left(by);
        doubts.reverse();
        let mut after: Vec<(i64, Verdict)> =
            doubts.iter().map(|d| d.intent).zip(judge(&doubts, &jobs, &sight)).collect();
        after.sort_by_key(|(intent, _)| *intent);
        prop_assert_eq!(before, after);
    }
}
