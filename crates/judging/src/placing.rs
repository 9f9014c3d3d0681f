//! Whose a job is that came to light at the vendor and that no row claims.

use crate::clocks::{self, Mistimed};
use crate::fit::{self, Call, Candidate, Effect, Ground};
use crate::verdict::{Other, Standing};
use crate::{DAY, Millis, TWICE};

/// So long after a call was absent, parked or given up a job may be its duplicate.
const WITHIN: Millis = 7 * DAY;

/// An accepted call, whose request the network may have delivered twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bought {
    /// The call.
    pub call: Call,
    /// When the vendor made its job (vendor's).
    pub created_at: Option<Millis>,
    /// Jobs of which a person has said that they are not this call's.
    pub ruled_out: Vec<String>,
}

/// A possible duplicate that a call has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The call.
    pub intent: i64,
    /// The job.
    pub job: Candidate,
}

/// What a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A call that is in doubt or waits for a person may have made it; its verdict will tell.
    Candidate,
    /// Perhaps bought twice: the other one is this call's (its intent).
    Duplicate(i64),
    /// The list's own entry of this training.
    Entry(i64),
    /// No call of ours can have made it.
    Foreign,
    /// Its record tells, and has not been read.
    Unread,
}

/// What calls of ours could have made a job.
#[derive(Clone, Copy, Debug)]
pub struct Makers<'a> {
    /// Calls without a job: open, parked, absent, given up; of the last seven days.
    pub without: &'a [Other],
    /// The possible duplicates that calls have already.
    pub taken: &'a [Taken],
    /// Accepted calls of around the time.
    pub bought: &'a [Bought],
    /// Accepted trainings that have no entry yet.
    pub trainings: &'a [Call],
}

/// Places a job. `read`: whether its record has been asked for.
pub fn place(
    job: &Candidate,
    read: bool,
    makers: &Makers<'_>,
    ground: &Ground<'_>,
    now: Millis,
) -> Place {
    let seen = |call: &Call| job.seen > call.listed_seq;
    let possible =
        |call: &Call| seen(call) && fit::conflict(&call.effect, job, ground.models).is_none();
    let waits = makers.without.iter().any(|other| {
        matches!(other.standing, Standing::Open) && possible(&other.call)
            || matches!(other.standing, Standing::Parked)
                && possible(&other.call)
                && may_hold(job, &other.call, ground) != Err(Mistimed::Before)
    });
    if waits {
        return Place::Candidate;
    }
    let late = |other: &Other, job: &Candidate| made_late(other, job, ground, now);
    let settled = makers
        .without
        .iter()
        .filter(|other| late(other, job) && has_room(&other.call, job, makers, ground, &late));
    // Late jobs come in the order of their calls, more or less: the oldest call that it may be is the
    // likeliest, before it one whose times hold.
    let oldest =
        settled.map(|other| (times(job, &other.call, ground).is_err(), other.call.intent)).min();
    let late = oldest.map(|(_, intent)| intent);
    let twice = makers.bought.iter().filter(|bought| {
        let near = bought.created_at.zip(job.created_at);
        near.is_some_and(|(ours, theirs)| (ours - theirs).abs() <= TWICE)
            && !makers.taken.iter().any(|taken| taken.intent == bought.call.intent)
            && !bought.ruled_out.contains(&job.remote_id)
            && fit::conflict(&bought.call.effect, job, ground.models).is_none()
    });
    let distance = |bought: &&Bought| {
        bought.created_at.zip(job.created_at).map_or(Millis::MAX, |(a, b)| (a - b).abs())
    };
    let twice = twice.min_by_key(distance).map(|bought| bought.call.intent);
    let entry =
        makers.trainings.iter().find(|training| seen(training) && is_entry(training, job, ground));
    // A stranger's record tells which models strangers use: ours among them are trusted no more.
    let teaches = !ground.models.ours.is_empty();
    if !read && (teaches || late.is_some() || twice.is_some() || entry.is_some()) {
        return Place::Unread;
    }
    // The only kind that proves itself comes first.
    if let Some(training) = entry {
        return Place::Entry(training.intent);
    }
    late.or(twice).map_or(Place::Foreign, Place::Duplicate)
}

/// Whether a job may be shown as this call's duplicate: as its only one; if its times hold, and it is
/// nearer to the call than those before, one of which may have been a stranger's; or beside one that may
/// as well be another call's, which has none.
fn has_room(
    call: &Call,
    job: &Candidate,
    makers: &Makers<'_>,
    ground: &Ground<'_>,
    made_late: &impl Fn(&Other, &Candidate) -> bool,
) -> bool {
    let of = |intent| makers.taken.iter().filter(move |taken| taken.intent == intent);
    let elsewhere = |one: &Taken| {
        makers.without.iter().any(|other| {
            of(other.call.intent).next().is_none()
                && made_late(other, &one.job)
                && !made_late(other, job)
        })
    };
    let taken: Vec<&Taken> = of(call.intent).collect();
    if matches!(taken.as_slice(), [one] if elsewhere(one)) {
        return true;
    }
    let far = |job: &Candidate| {
        clocks::distance(job.created_at, call.span, ground.accepted).unwrap_or(Millis::MAX)
    };
    let holds = times(job, call, ground).is_ok();
    taken.iter().all(|taken| holds && far(job) < far(&taken.job))
}

/// Whether a call that was absent or given up may have made a job after all.
fn made_late(other: &Other, job: &Candidate, ground: &Ground<'_>, now: Millis) -> bool {
    let call = &other.call;
    !matches!(other.standing, Standing::Open | Standing::Parked)
        && now - call.span.ended_at <= WITHIN
        && matches!(call.effect, Effect::Job(_))
        && job.seen > call.listed_seq
        && fit::conflict(&call.effect, job, ground.models).is_none()
        && !matches!(times(job, call, ground), Err(Mistimed::Before))
}

/// By any accepted job.
fn may_hold(job: &Candidate, call: &Call, ground: &Ground<'_>) -> Result<(), Mistimed> {
    let latest = clocks::LATEST;
    clocks::may_hold(job.created_at, call.span, ground.accepted, ground.clocks, latest)
}

fn times(job: &Candidate, call: &Call, ground: &Ground<'_>) -> Result<(), Mistimed> {
    clocks::holds(job.created_at, call.span, ground.accepted, ground.clocks)
}

/// Whether a job is the entry of an accepted training: by its own record, which names the training's
/// model and shows no media; unread, whether it may be.
fn is_entry(training: &Call, job: &Candidate, ground: &Ground<'_>) -> bool {
    let Effect::Training(model) = &training.effect else { return false };
    if times(job, training, ground).is_err() {
        return false;
    }
    match &job.record {
        None => true,
        Some(record) => record.media.is_none() && record.model.as_ref() == Some(model),
    }
}

#[cfg(test)]
mod tests;
