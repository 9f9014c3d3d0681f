//! Whether a job at the vendor could be a call's.

use crate::Millis;
use crate::clocks::{self, Accepted, Clocks, Mistimed, Span};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// So many jobs of trained models must have come back with the id that was sent before another id
/// means another model.
const ECHOES: u32 = 3;

/// What a job produces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    /// Pictures.
    Images,
    /// Videos.
    Videos,
}

/// What a call would have made.
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

/// What a call was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A job.
    Job(Expected),
    /// A training of the model with this id at the vendor. Only the model's status proves that it
    /// began; but an entry of the list may be its.
    Training(String),
}

/// What the vendor's record says of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The model it names.
    pub model: Option<String>,
    /// What it has produced so far.
    pub media: Option<Media>,
    /// How many of these.
    pub outputs: u32,
    /// Whether it has ended.
    pub ended: bool,
    /// Whether it ended without success.
    pub failed: bool,
}

/// A job of the vendor's that no row claims, first listed after a call's intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The vendor's id.
    pub remote_id: String,
    /// Its place in the order of first appearance in a list.
    pub seen: i64,
    /// When the vendor made it (vendor's).
    pub created_at: Option<Millis>,
    /// Its record; none if the vendor lists it but cannot show it.
    pub record: Option<Record>,
    /// A person has said that it is not this call's.
    pub not_this: bool,
}

impl Candidate {
    /// Whether nothing more will be learnt of it by waiting.
    pub fn has_ended(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.ended)
    }

    fn media(&self) -> Option<Media> {
        self.record.as_ref()?.media
    }

    pub(crate) fn model(&self) -> Option<&str> {
        self.record.as_ref()?.model.as_deref()
    }
}

/// What the vendor has shown about the ids of models in its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelIds {
    /// The ids of our models, letter by letter.
    pub ours: BTreeSet<String>,
    /// The ids that jobs of strangers have shown, and possible duplicates, which may be strangers' as
    /// well where others use the account.
    pub strangers: BTreeSet<String>,
    /// How many accepted jobs of trained models came back with the very id that we had sent.
    pub same: u32,
    /// How many came back with another form of it.
    pub other: u32,
}

impl ModelIds {
    /// Whether the id in a record is the id in the order, as far as was ever seen.
    pub fn are_stable(&self) -> bool {
        self.same >= ECHOES && self.other == 0
    }
}

/// How a job fits a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It could be.
    Fits,
    /// It could be, but something is odd: it blocks, and is never taken by itself.
    Odd(&'static str),
    /// It cannot be, by what the vendor has shown to be stable.
    Conflict(&'static str),
}

/// The part of a call that a job is held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The number of its intent: calls are in the order of these.
    pub intent: i64,
    /// What it was for.
    pub effect: Effect,
    /// Calls with the same hash are interchangeable.
    pub request_hash: String,
    /// When it was out (ours).
    pub span: Span,
    /// The newest job that any list had shown then: what appeared later may be this call's.
    pub listed_seq: i64,
    /// From when on (vendor's) the last whole list before it showed everything: what lies before
    /// that is history. Unknown for calls of older databases.
    pub listed_from: Option<Millis>,
}

/// What is known of the vendor for judging fits.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// Jobs that the vendor surely took from us, those of the time around the call.
    pub accepted: &'a [Accepted],
    /// The clocks.
    pub clocks: &'a Clocks,
    /// The ids of models.
    pub models: &'a ModelIds,
}

/// How `job` fits `call`.
pub fn fit(call: &Call, job: &Candidate, ground: &Ground<'_>) -> Fit {
    fit_until(call, job, ground, clocks::LATEST)
}

/// The same, where a call's effect may come as late as `latest` after its end.
pub fn fit_until(call: &Call, job: &Candidate, ground: &Ground<'_>, latest: Millis) -> Fit {
    if job.not_this {
        return Fit::Conflict("a person has said that it is not this one");
    }
    if let Some(what) = conflict(&call.effect, job, ground.models) {
        return Fit::Conflict(what);
    }
    if let (Some(from), Some(created_at)) = (call.listed_from, job.created_at)
        && created_at < from
    {
        return Fit::Odd("seems to lie before everything that was listed for this call");
    }
    let times =
        clocks::holds_until(job.created_at, call.span, ground.accepted, ground.clocks, latest);
    match times {
        Err(Mistimed::Before) => return Fit::Odd("seems to be made before the call"),
        Err(Mistimed::After) => return Fit::Odd("seems to be made long after the call"),
        Err(Mistimed::Unknown) => return Fit::Odd("does not say when it was made"),
        Ok(()) => {}
    }
    let Some(record) = &job.record else {
        return Fit::Odd("is listed by the vendor, which cannot show it");
    };
    match &call.effect {
        Effect::Job(expected) if expected.count.is_some_and(|most| record.outputs > most) => {
            Fit::Odd("has made more than was ordered")
        }
        _ => Fit::Fits,
    }
}

/// What rules a job out for a call, whatever else is true.
pub fn conflict(effect: &Effect, job: &Candidate, models: &ModelIds) -> Option<&'static str> {
    let ours = match effect {
        Effect::Training(_) if job.media().is_some() => {
            return Some("has produced something, which no training does");
        }
        Effect::Training(model) => model.as_str(),
        Effect::Job(expected) => {
            let media = job.media().filter(|_| job.has_ended());
            if media.is_some_and(|media| media != expected.media) {
                return Some("makes something else");
            }
            // Without a trained model in the order nothing was sent that could come back: what is
            // made from a trained model's picture may well name that model.
            expected.model.as_deref()?
        }
    };
    let theirs = job.model().filter(|theirs| *theirs != ours)?;
    (models.are_stable() || models.ours.contains(theirs)).then_some("belongs to another model")
}

/// Whether another call, which has no job either, could have made the job as well, if its effect may
/// come as late as `latest` after its end. A job without a time may be anybody's, and only times that
/// no accepted job explains rule a call out.
pub fn could_have_made(other: &Call, job: &Candidate, ground: &Ground<'_>, latest: Millis) -> bool {
    if conflict(&other.effect, job, ground.models).is_some() {
        return false;
    }
    let before = other.listed_from.zip(job.created_at).is_some_and(|(from, at)| at < from);
    let times =
        clocks::may_hold(job.created_at, other.span, ground.accepted, ground.clocks, latest);
    !before && job.seen > other.listed_seq && times.is_ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::MINUTE;
    use crate::clocks::tests::accepted;

    pub(crate) fn images(model: Option<&str>) -> Effect {
        let model = model.map(str::to_owned);
        Effect::Job(Expected { model, media: Media::Images, count: Some(2) })
    }

    pub(crate) fn call(intent: i64, effect: Effect, opened_at: Millis) -> Call {
        let span = Span { opened_at, ended_at: opened_at + 10_000 };
        let request_hash = format!("hash {intent}");
        Call { intent, effect, request_hash, span, listed_seq: 0, listed_from: None }
    }

    pub(crate) fn record(model: Option<&str>, media: Option<Media>, ended: bool) -> Record {
        let outputs = u32::from(media.is_some());
        Record { model: model.map(str::to_owned), media, outputs, ended, failed: false }
    }

    pub(crate) fn job(id: &str, created_at: Millis, record: Option<Record>) -> Candidate {
        let (remote_id, created_at) = (id.to_owned(), Some(created_at));
        Candidate { remote_id, seen: 1, created_at, record, not_this: false }
    }

    fn ids(ours: &[&str], same: u32, other: u32) -> ModelIds {
        let ours = ours.iter().map(|id| (*id).to_owned()).collect();
        ModelIds { ours, strangers: BTreeSet::new(), same, other }
    }

    #[test]
    fn another_model_is_a_conflict_only_where_ids_are_stable_or_ours() {
        let effect = images(Some("m1"));
        let of = |model| job("j", 0, Some(record(model, None, false)));
        let conflicts = |model, ids: &ModelIds| conflict(&effect, &of(model), ids).is_some();
        let young = ids(&["m1", "m2"], 2, 0);
        assert!(!conflicts(Some("m1"), &young) && !conflicts(None, &young));
        assert!(conflicts(Some("m2"), &young), "letter by letter another one of ours");
        assert!(!conflicts(Some("M1"), &young), "perhaps another form of it");
        let stable = ids(&["m1"], 3, 0);
        assert!(conflicts(Some("x"), &stable) && !conflicts(Some("m1"), &stable));
        assert!(!conflicts(Some("x"), &ids(&["m1"], 30, 1)), "it has come back otherwise");
        let public = images(None);
        assert!(conflict(&public, &of(Some("x")), &stable).is_none());
        assert!(conflict(&public, &of(Some("m1")), &stable).is_none(), "an upscale of its picture");
        let training = Effect::Training("m1".to_owned());
        assert!(conflict(&training, &of(Some("m1")), &stable).is_none());
        assert!(conflict(&training, &of(Some("m2")), &stable).is_some());
    }

    #[test]
    fn another_kind_of_media_is_a_conflict_once_the_job_has_ended() {
        let none = ModelIds::default();
        let of = |media, ended| job("j", 0, Some(record(None, media, ended)));
        let video = Effect::Job(Expected { model: None, media: Media::Videos, count: None });
        assert!(conflict(&video, &of(Some(Media::Images), false), &none).is_none(), "a still");
        assert!(conflict(&video, &of(Some(Media::Images), true), &none).is_some());
        assert!(conflict(&video, &of(Some(Media::Videos), true), &none).is_none());
        assert!(conflict(&video, &of(None, true), &none).is_none(), "it failed");
        let training = Effect::Training("m".to_owned());
        assert!(conflict(&training, &of(Some(Media::Images), false), &none).is_some());
        assert!(conflict(&training, &of(None, true), &none).is_none());
    }

    #[test]
    fn oddness_history_and_a_persons_word() {
        let jobs = [accepted("a", 0, Some(0))];
        let clocks = Clocks::measure(&jobs, 0);
        let models = ModelIds::default();
        let ground = Ground { accepted: &jobs, clocks: &clocks, models: &models };
        let mut one = call(1, images(None), MINUTE);
        one.listed_from = Some(-MINUTE);
        let good = || Some(record(None, Some(Media::Images), true));
        assert_eq!(fit(&one, &job("j", MINUTE, good()), &ground), Fit::Fits);
        assert!(matches!(fit(&one, &job("j", 0, good()), &ground), Fit::Odd(_)));
        assert!(matches!(fit(&one, &job("j", -2 * MINUTE, good()), &ground), Fit::Odd(_)));
        assert!(matches!(fit(&one, &job("j", 60 * MINUTE, good()), &ground), Fit::Odd(_)));
        let late = job("j", 20 * MINUTE, good());
        assert!(matches!(fit(&one, &late, &ground), Fit::Odd(_)));
        assert_eq!(fit_until(&one, &late, &ground, 30 * MINUTE), Fit::Fits, "effects come late");
        assert!(matches!(fit(&one, &job("j", MINUTE, None), &ground), Fit::Odd(_)));
        let many = Record { outputs: 3, ..record(None, Some(Media::Images), true) };
        assert!(matches!(fit(&one, &job("j", MINUTE, Some(many)), &ground), Fit::Odd(_)));
        let undated = Candidate { created_at: None, ..job("j", 0, good()) };
        assert!(matches!(fit(&one, &undated, &ground), Fit::Odd(_)));
        let said = Candidate { not_this: true, ..job("j", MINUTE, good()) };
        assert!(matches!(fit(&one, &said, &ground), Fit::Conflict(_)));
        let made =
            |call: &Call, job: &Candidate, latest| could_have_made(call, job, &ground, latest);
        assert!(made(&one, &said, clocks::LATEST), "a person spoke of one call only");
        assert!(!made(&one, &job("j", 0, good()), clocks::LATEST), "its times do not hold");
        assert!(!made(&one, &job("j", -2 * MINUTE, good()), clocks::LATEST));
        assert!(made(&one, &undated, clocks::LATEST), "a job without a time is anybody's");
        assert!(!made(&one, &late, clocks::LATEST));
        assert!(made(&one, &late, 30 * MINUTE), "effects come late");
        let listed = Call { listed_from: Some(MINUTE + 1), ..one.clone() };
        assert!(!made(&listed, &job("j", MINUTE, good()), clocks::LATEST), "history");
        let seen_before = Candidate { seen: 0, ..job("j", MINUTE, good()) };
        assert!(!made(&one, &seen_before, clocks::LATEST));
    }
}
