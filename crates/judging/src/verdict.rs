//! What a whole reading of the vendor's list proves about one paid call that has no job.

use crate::clocks::{self, Accepted, Span};
use crate::fit::{self, Call, Candidate, Effect, Expected, Fit, Ground};
use crate::lag::{Reach, Settle, Why};
use crate::times::Times;
use crate::witness::Heard;
use crate::{Millis, SECOND, TWICE};

/// An accepted job that no list has shown is made so close to its acceptance.
const ABOUT: Millis = 45 * SECOND;

/// A job is made so soon after its call went out, as a rule.
const PROMPT: Millis = 10 * SECOND;

/// An id that is shorter than this is the end of many others.
const LEAST_ID: usize = 8;

/// Where a call stands that has no job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is being clarified.
    Open,
    /// A person was asked.
    Parked,
    /// It was found absent; `fresh`: a job accepted after it bore witness.
    Absent {
        /// Whether a later job of ours bore witness.
        fresh: bool,
    },
    /// A person gave it up.
    GivenUp,
}

/// A call without a job that could have made what another one is looking for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// The call.
    pub call: Call,
    /// Where it stands.
    pub standing: Standing,
}

/// How far the looking for a call has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Whether it is parked.
    pub parked: bool,
    /// Whether it was found absent before: what comes to light now came late, and so may that of
    /// other calls which were found absent.
    pub absent: bool,
    /// How long looking has gone on in which the vendor was healthy, this look included (ms).
    pub looking: Millis,
    /// What `looking` was at the first of the looks that prove absence, if there was one.
    pub ripe_since: Option<Millis>,
    /// How long ago the call went out, by our clock (ms).
    pub age: Millis,
}

/// A whole reading of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Whether it was asked from the start that is stored with the intent, to days ahead.
    pub wide: bool,
    /// What the witnesses said.
    pub heard: Heard,
}

/// What is known beside the list.
#[derive(Clone, Debug)]
pub struct Scene<'a> {
    /// Clocks, accepted jobs, ids of models.
    pub ground: Ground<'a>,
    /// All jobs of ours, also those that were found, which are dated by their calls: any of them may
    /// have a double.
    pub ours: &'a [Accepted],
    /// Other calls without a job: every one that is out or open, however long ago it went out, the
    /// rest for days; and accepted trainings whose entry may still appear (as open calls).
    pub others: &'a [Other],
    /// Whether nobody else uses the account.
    pub exclusive: bool,
    /// How long a call stays unfound at least.
    pub settle: Settle,
    /// How far back the list reaches.
    pub reach: Reach,
    /// A job of ours that the list has never shown, long after its acceptance.
    pub lacks: Option<&'a str>,
    /// The database may have forgotten calls since this one: it is, or was since, in quarantine.
    pub forgetful: bool,
}

/// What a look proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This job is the one.
    Found {
        /// The vendor's id.
        remote_id: String,
        /// The proof.
        why: String,
    },
    /// It is surely not there.
    Absent {
        /// The proof.
        why: String,
        /// Whether a job accepted after the call bore witness.
        fresh: bool,
    },
    /// Nothing is proven yet.
    Wait {
        /// What was seen, and what is waited for.
        why: String,
        /// What could be it so far.
        candidates: Vec<String>,
        /// Whether it would have been absent, had an earlier look said the same.
        ripe: bool,
    },
    /// Looking alone will not settle it.
    Park {
        /// What was seen.
        why: String,
        /// What it could be.
        candidates: Vec<String>,
    },
}

/// Decides about `call`. `candidates`: what no row claims of all that was first listed since its
/// intent.
pub fn judge(
    call: &Call,
    progress: &Progress,
    reading: &Reading,
    candidates: &[Candidate],
    scene: &Scene<'_>,
    times: &Times,
) -> Verdict {
    // Where effects were seen to come late, nothing is odd about one that does.
    let latest = match scene.settle.why {
        Why::LateEffects => times.least_if_late().max(clocks::LATEST),
        Why::Least | Why::Lag { .. } => clocks::LATEST,
    };
    let fits: Vec<(&Candidate, Fit)> = candidates
        .iter()
        .map(|job| (job, fit::fit_until(call, job, &scene.ground, latest)))
        .filter(|(_, fit)| !matches!(fit, Fit::Conflict(_)))
        .collect();
    if fits.is_empty() {
        return nothing_found(call, progress, reading, scene, times);
    }
    let doubtful = match fits.as_slice() {
        [(job, Fit::Fits)] => match obstacle(call, progress, job, scene, times) {
            None => {
                return Verdict::Found {
                    remote_id: job.remote_id.clone(),
                    why: "the only job at the vendor since the call that no row claims".to_owned(),
                };
            }
            Some(Obstacle { why, passes: true }) => {
                let candidates = vec![job.remote_id.clone()];
                return Verdict::Wait { why, candidates, ripe: false };
            }
            Some(Obstacle { why, .. }) => why,
        },
        [(job, Fit::Odd(what))] => {
            format!("the job {} could be this one, but it {what}", job.remote_id)
        }
        many => format!("{} jobs at the vendor could be this one", many.len()),
    };
    let ids: Vec<String> = fits.iter().map(|(job, _)| job.remote_id.clone()).collect();
    let settled = fits.iter().all(|(job, _)| job.has_ended()) || progress.looking >= times.least();
    if progress.parked || progress.looking < times.quiet() || !settled {
        let why = match settled {
            true => doubtful,
            false => format!("{doubtful}; what it produces may tell"),
        };
        return Verdict::Wait { why, candidates: ids, ripe: false };
    }
    Verdict::Park { why: doubtful, candidates: ids }
}

/// Why the only job that fits is not taken by itself.
struct Obstacle {
    why: String,
    /// It is one only as long as the list may just be late.
    passes: bool,
}

fn obstacle(
    call: &Call,
    progress: &Progress,
    job: &Candidate,
    scene: &Scene<'_>,
    times: &Times,
) -> Option<Obstacle> {
    let id = &job.remote_id;
    let lasts = |why| Obstacle { why, passes: false };
    let Effect::Job(expected) = &call.effect else {
        return Some(lasts(format!("the job {id} at the vendor could be this training")));
    };
    if let Some(why) = another_maker(call, progress, job, scene) {
        return Some(lasts(why));
    }
    if let Some(ours) = unshown_twin(call, job, &scene.ground) {
        let ours_age = call.span.opened_at + progress.age - ours.accepted_at;
        return Some(Obstacle {
            why: format!(
                "the job {id} may be the accepted job {}, which no list has shown under that id",
                ours.remote_id
            ),
            passes: ours_age < scene.settle.millis,
        });
    }
    let double = double_of_ours(call, progress, job, scene, times);
    double.or_else(|| perhaps_a_strangers(expected, job, scene)).map(lasts)
}

/// What else could have made it.
fn another_maker(
    call: &Call,
    progress: &Progress,
    job: &Candidate,
    scene: &Scene<'_>,
) -> Option<String> {
    let id = &job.remote_id;
    if scene.forgetful {
        return Some(format!(
            "the job {id} could be this one, or that of a call which this database has forgotten"
        ));
    }
    // An effect may come as late as the settle time in force: so long another call is a maker.
    let latest = scene.settle.millis.max(clocks::LATEST);
    let maker = scene.others.iter().find(|other| {
        other.call.request_hash != call.request_hash
            && (progress.absent || other.standing != (Standing::Absent { fresh: true }))
            && fit::could_have_made(&other.call, job, &scene.ground, latest)
    });
    maker.map(|other| match other.call.effect {
        Effect::Training(_) => format!("the job {id} is this one, or a training's entry"),
        Effect::Job(_) => {
            format!("the job {id} is either this one or that of call {}", other.call.intent)
        }
    })
}

/// Whether it may be a job that a row has: under another spelling, or delivered twice. No call takes a
/// job made so close to one that was accepted after it. One that is parked, or was found absent before,
/// takes none made so close to any that was accepted; to an open one that was sent soon after another
/// it is nothing odd, as long as the job was made promptly.
fn double_of_ours(
    call: &Call,
    progress: &Progress,
    job: &Candidate,
    scene: &Scene<'_>,
    times: &Times,
) -> Option<String> {
    let id = &job.remote_id;
    let spelled = |ours: &&Accepted| ours.remote_id != *id && same_id(&ours.remote_id, id);
    if let Some(ours) = scene.ours.iter().find(spelled) {
        return Some(format!(
            "the job {id} may be our job {} under another spelling of its id",
            ours.remote_id
        ));
    }
    let late = progress.parked || progress.absent;
    let begin = Span { ended_at: call.span.opened_at, ..call.span };
    let tardy = clocks::distance(job.created_at, begin, scene.ground.accepted)
        .is_some_and(|distance| distance > times.scaled(PROMPT) + scene.ground.clocks.tolerance());
    let near = |at: Millis| {
        scene.ours.iter().any(|ours| {
            let within = match late {
                true => TWICE,
                false if ours.accepted_at > call.span.ended_at => times.scaled(TWICE),
                false if tardy => times.scaled(TWICE),
                false => return false,
            };
            ours.remote_id != *id
                && ours.created_at.is_some_and(|theirs| (theirs - at).abs() <= within)
        })
    };
    let double = job.created_at.is_some_and(near);
    double.then(|| format!("the job {id} may be the double of one that was accepted"))
}

/// Whether somebody else may have made it.
fn perhaps_a_strangers(expected: &Expected, job: &Candidate, scene: &Scene<'_>) -> Option<String> {
    let models = scene.ground.models;
    let sure = expected.model.as_ref().is_some_and(|model| {
        job.model() == Some(model) && models.are_stable() && !models.strangers.contains(model)
    });
    let perhaps = !scene.exclusive && !sure;
    perhaps.then(|| {
        format!("the job {} could be this one, but others use this account too", job.remote_id)
    })
}

/// Whether two ids may be one that is spelled differently: in capitals, or without what stands before it.
fn same_id(one: &str, other: &str) -> bool {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    let (short, long) = if one.len() < other.len() { (&one, &other) } else { (&other, &one) };
    short.len() >= LEAST_ID && long.ends_with(short.as_str())
}

/// An accepted job that no list has shown, and that was made when this one was: it may be the same
/// one under another id.
fn unshown_twin<'a>(call: &Call, job: &Candidate, ground: &Ground<'a>) -> Option<&'a Accepted> {
    ground.accepted.iter().find(|ours| {
        let unshown = !ours.shown && !ours.gone && ours.created_at.is_none();
        let about = match (ground.clocks.offset, job.created_at) {
            (Some((least, most)), Some(at)) => {
                let from = ours.accepted_at + least - ABOUT;
                (from..=ours.accepted_at + most + ABOUT).contains(&at)
            }
            _ => ours.accepted_at > call.span.opened_at,
        };
        unshown && about
    })
}

fn nothing_found(
    call: &Call,
    progress: &Progress,
    reading: &Reading,
    scene: &Scene<'_>,
    times: &Times,
) -> Verdict {
    let fresh = reading.heard.since > 0;
    if matches!(call.effect, Effect::Training(_)) {
        let why = "the list shows no entry of this training, which proves nothing".to_owned();
        return Verdict::Wait { why, candidates: Vec::new(), ripe: false };
    }
    if let Some(why) = barrier(progress, reading, scene, times) {
        return Verdict::Wait { why, candidates: Vec::new(), ripe: false };
    }
    let apart = progress.ripe_since.is_some_and(|since| progress.looking - since >= times.relist);
    if !apart {
        let why = "a whole list shows no job of this call; a second one has to agree".to_owned();
        return Verdict::Wait { why, candidates: Vec::new(), ripe: true };
    }
    let witness = match fresh {
        true => "with a job that was accepted after it",
        false => "with the jobs that were accepted before it",
    };
    let why = format!(
        "two whole lists after {} s show no job of this call, {witness}",
        progress.looking / 1000
    );
    Verdict::Absent { why, fresh }
}

/// What keeps a list that shows nothing from proving absence.
fn barrier(
    progress: &Progress,
    reading: &Reading,
    scene: &Scene<'_>,
    times: &Times,
) -> Option<String> {
    let Heard { before, since, missing } = &reading.heard;
    let seconds = |millis: Millis| millis / 1000;
    if scene.forgetful {
        return Some(
            "this database has been in quarantine since, and may have forgotten calls".into(),
        );
    }
    if let Some(job) = scene.lacks {
        return Some(format!(
            "the vendor's list has never shown the job {job}, which the vendor accepted: a list that \
             lacks jobs proves nothing"
        ));
    }
    if scene.ground.clocks.are_far_apart() {
        return Some("the vendor's times are more than twelve hours from ours".to_owned());
    }
    if let [first, ..] = missing.as_slice() {
        return Some(format!(
            "the list does not show {} that it has to show, among them {first}",
            match missing.len() {
                1 => "a job".to_owned(),
                many => format!("{many} jobs"),
            }
        ));
    }
    if *before == 0 && *since == 0 {
        return Some(
            "the list shows no job of ours that could bear witness; the next one will".into(),
        );
    }
    if progress.age > scene.reach.within() {
        return Some("the call is older than the vendor's list surely reaches back".to_owned());
    }
    let Settle { millis: settle, why } = scene.settle;
    if progress.looking < settle {
        return Some(format!(
            "not in the vendor's list after {} s of {} s ({why})",
            seconds(progress.looking),
            seconds(settle)
        ));
    }
    let alone = times.alone();
    if *since == 0 && progress.looking < alone {
        return Some(format!(
            "not in the vendor's list after {} s; the next job that is accepted bears witness, or {} \
             s have to pass",
            seconds(progress.looking),
            seconds(alone)
        ));
    }
    (!reading.wide).then(|| "not in the vendor's list; the whole of it is read next".to_owned())
}

/// Whether the next look has to be wide: the first one, and those that may prove absence.
pub fn wants_wide(first: bool, looking: Millis, settle: Millis) -> bool {
    first || looking >= settle
}

#[cfg(test)]
mod tests;
