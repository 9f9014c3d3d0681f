//! Calls in doubt: only looking is allowed. Reads only, so it can be killed anywhere and run again.
//!
//! [`paid`] looks for jobs, [`training`] for trainings, [`free`] for models and uploads; what a look
//! proves is decided in `judging`, and one commit stores the look, its evidence and the verdict.

pub(super) mod ended;
mod free;
mod paid;
mod training;

use super::lists::goes_for_all;
use super::{Engine, EngineError, Result};
use crate::config::{Auto, Config};
use crate::domain::event::{Event, Reason};
use crate::domain::failure::Failure;
use crate::domain::ids::{Id, Millis};
use crate::domain::schedule;
use crate::domain::work::{Kind, State, Work};
use crate::store::StoreError;
use crate::store::apply::Facts;
use crate::store::intents::{Look, Moment, OpenIntent};
use crate::vendor::RemoteJob;
use judging::fit::Record;
use judging::lane::{self, Waited};
use judging::times::Times;
use paid::Quest;
use serde_json::Value;
use std::sync::PoisonError;

/// What a look proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// This is it.
    Found { remote_id: String, why: String },
    /// It is surely not there.
    Absent { why: String },
    /// Nothing yet.
    None { why: String, candidates: Vec<String> },
    /// Only a person can tell.
    Person { why: String, candidates: Vec<String> },
}

/// What one whole look brought.
pub(super) struct Seen {
    pub(super) proof: Proof,
    /// What was seen, for whoever has to judge it later.
    pub(super) evidence: Value,
    /// When the vendor was asked.
    pub(super) at: Moment,
    /// The newest listed job that it rests on, if it rests on the job list.
    pub(super) listed_seq: Option<i64>,
    /// How long the vendor has been looked at with it (ms).
    pub(super) looking: Millis,
    /// Whether it would have proven absence, had an earlier look said the same.
    pub(super) ripe: bool,
    /// Whether a job accepted after the call bore witness.
    pub(super) fresh: bool,
    /// Whether the list does not show what it has to show, which counts like a failed look.
    pub(super) discredited: bool,
    /// The job that was found, if the vendor made it long after the call.
    pub(super) late_effect: Option<String>,
    /// When to look again if nothing is settled (ms from now).
    pub(super) again: Millis,
    /// A training: nobody had read its model for too long.
    pub(super) hole: bool,
    /// A training: whether waiting alone can settle it.
    pub(super) settles: bool,
}

/// The times by which calls in doubt are judged.
pub fn times(config: &Config) -> Times {
    let relist = super::millis(config.doubt.relist);
    match config.doubt.settle {
        Auto::Auto => Times::auto(relist),
        Auto::Set(fixed) => Times::fixed(super::millis(fixed), relist),
    }
}

/// What a vendor's record of a job says.
pub fn record(job: &RemoteJob) -> Record {
    paid::read(job)
}

impl Engine {
    /// The times by which calls in doubt are judged.
    pub(super) fn times(&self) -> Times {
        times(&self.config)
    }

    /// Looks once at what became of a call.
    pub(super) async fn resolve(&self, work: &Work, intent: i64) -> Result<()> {
        let open = self.store.intent(intent).await?;
        let mut again = self.timing().relist;
        let (event, facts) = match self.look(work, &open).await {
            Ok(seen) => {
                again = seen.again;
                let look = Some(self.whole(work, &open, &seen));
                let reserve = match &seen.proof {
                    Proof::Person { candidates, .. } => candidates.clone(),
                    _ => Vec::new(),
                };
                let (evidence, late_effect) =
                    (Some(seen.evidence.clone()), seen.late_effect.clone());
                let about = Some(intent);
                let facts =
                    Facts { look, reserve, evidence, about, late_effect, ..Facts::default() };
                (self.event_of(work, seen.proof, seen.again), facts)
            }
            // A look that failed proves nothing.
            Err(EngineError::Vendor(failure)) => {
                let until = self.now() + schedule::backoff(work.id, work.failures);
                let event = Event::LookFailed { until, note: failure.message.clone() };
                let opens_lane = work.kind.is_paid() && self.lane_opens(&open, 0, 0, false);
                let asked = self.fails_too_long(&open, &failure);
                let (look, about) = (Some(Look::Failed { opens_lane, asked }), Some(intent));
                (event, Facts { look, about, ..Facts::default() })
            }
            Err(error) => return Err(error),
        };
        match self.apply_with(work.kind, work.id, event, facts).await {
            // A newer list came in between: it is looked at in its turn.
            Err(EngineError::Store(StoreError::Refused(why))) => {
                let event = Event::LookAgain { at: self.now() + again, note: why };
                self.apply(work.kind, work.id, event).await.map(drop)
            }
            other => other.map(drop),
        }
    }

    fn lane_opens(&self, open: &OpenIntent, looking: Millis, looks: i64, quiet: bool) -> bool {
        let waited = Waited {
            looking,
            looks: u32::try_from(looks).unwrap_or(u32::MAX),
            quiet,
            age: open.age_at(&self.moment()),
        };
        lane::opens(&waited, &self.times())
    }

    /// Why a person is asked about a call for which looks have failed for hours. A vendor that answers
    /// nothing at all is down, and comes back.
    fn fails_too_long(&self, open: &OpenIntent, failure: &Failure) -> Option<String> {
        let lasts = self.fails(open.seq, !goes_for_all(failure));
        (lasts >= self.give_up()).then(|| {
            format!("looking for it has failed for {} min: {}", lasts / 60_000, failure.message)
        })
    }

    /// A whole look, as it is stored.
    fn whole(&self, work: &Work, open: &OpenIntent, seen: &Seen) -> Look {
        let times = self.times();
        // Of a training no look shows anything so soon.
        let quiet = work.kind != Kind::Training
            && matches!(&seen.proof, Proof::None { candidates, .. } if candidates.is_empty());
        // A list without its witnesses counts like a failed look.
        let failing = match seen.discredited {
            true => self.fails(open.seq, true),
            false => {
                self.heals(open.seq);
                0
            }
        };
        let stuck = match work.kind {
            Kind::Training => judging::training::asks(seen.settles, seen.looking, &times),
            Kind::Job => seen.looking >= times.stuck() || failing >= self.give_up(),
            _ => false,
        };
        let asked = match &seen.proof {
            // What the newest look says.
            Proof::None { why, .. } if stuck => Some(why.clone()),
            // Not yet healed.
            _ if seen.discredited => open.asked.clone(),
            _ => None,
        };
        Look::Whole {
            at: seen.at,
            looking: seen.looking,
            pause: seen.again,
            ripe: seen.ripe,
            fresh: seen.fresh,
            opens_lane: work.kind.is_paid()
                && self.lane_opens(open, seen.looking, open.looks.saturating_add(1), quiet),
            asked,
            listed_seq: seen.listed_seq,
            hole: seen.hole,
        }
    }

    /// A call that was taken for absent is looked for once more before it is sent again: the vendor
    /// may have been later than anybody expected. Answers what to do instead of sending.
    ///
    /// # Errors
    /// When the look fails; then nothing is sent.
    pub(super) async fn look_before_resending(
        &self,
        work: &Work,
    ) -> Result<Option<(Event, Facts)>> {
        if work.absences == 0 {
            return Ok(None);
        }
        let Some(intent) = self.store.absent_intent(work.id).await? else {
            return Ok(None);
        };
        let looked = self.look(work, &intent).await;
        if let Some(stuck) = self.stuck(work, &intent, &looked) {
            return Ok(Some(stuck));
        }
        let seen = looked?;
        let reserve = match &seen.proof {
            Proof::Absent { .. } => {
                self.note_last_look(work.id, seen.listed_seq);
                return Ok(None);
            }
            Proof::None { why, candidates } => {
                let at = self.now() + seen.again;
                let note = match candidates.is_empty() {
                    true => format!("looked for once more before it is sent again: {why}"),
                    false => format!("it came to light late: {why}"),
                };
                return Ok(Some((Event::LookAgain { at, note }, Facts::default())));
            }
            Proof::Person { candidates, .. } => candidates.clone(),
            Proof::Found { .. } => Vec::new(),
        };
        let facts = Facts {
            look: Some(self.whole(work, &intent, &seen)),
            late_of: Some(intent.seq),
            reserve,
            evidence: Some(seen.evidence.clone()),
            late_effect: seen.late_effect.clone(),
            ..Facts::default()
        };
        Ok(Some((self.event_of(work, seen.proof, seen.again), facts)))
    }

    /// What becomes of a row when hours of last looks have failed, or could not prove again what an
    /// earlier one did: a list that lacks jobs by now, or reaches no further, never will.
    fn stuck(
        &self,
        work: &Work,
        intent: &OpenIntent,
        looked: &Result<Seen>,
    ) -> Option<(Event, Facts)> {
        let (why, evidence, answered) = match looked {
            Ok(Seen { proof: Proof::None { why, candidates }, evidence, .. })
                if candidates.is_empty() =>
            {
                (why.clone(), Some(evidence.clone()), true)
            }
            Err(EngineError::Vendor(failure)) => {
                (failure.message.clone(), None, !goes_for_all(failure))
            }
            _ => {
                self.heals(intent.seq);
                return None;
            }
        };
        let lasts = self.fails(intent.seq, answered);
        let never = matches!(looked, Ok(Seen { settles: false, .. }));
        if !never && lasts < self.times().stuck() {
            return None;
        }
        let proof = Proof::Person { why, candidates: Vec::new() };
        let facts = Facts { late_of: Some(intent.seq), evidence, ..Facts::default() };
        Some((self.event_of(work, proof, 0), facts))
    }

    /// Remembers how far the list was known at the last look, until the call's intent is stored.
    fn note_last_look(&self, id: Id, listed_seq: Option<i64>) {
        let mut looks = self.last_looks.lock().unwrap_or_else(PoisonError::into_inner);
        match listed_seq {
            Some(seq) => looks.insert(id, seq),
            None => looks.remove(&id),
        };
    }

    /// Takes what [`Self::note_last_look`] remembered.
    pub(super) fn take_last_look(&self, id: Id) -> Option<i64> {
        self.last_looks.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }

    async fn look(&self, work: &Work, open: &OpenIntent) -> Result<Seen> {
        let quest = match work.state {
            State::Queued { .. } => Quest::Resend,
            _ => Quest::Doubt,
        };
        match work.kind {
            Kind::Model => self.look_for_model(open).await,
            Kind::Upload => self.look_for_upload(work, open).await,
            Kind::Training => self.look_for_training(open, quest).await,
            Kind::Job => self.look_for_job(open, quest).await,
            // These two are never in doubt.
            Kind::Output | Kind::Change => Ok(Seen {
                proof: Proof::None {
                    why: "repeating it is harmless".to_owned(),
                    candidates: Vec::new(),
                },
                evidence: Value::Null,
                at: self.moment(),
                listed_seq: None,
                looking: 0,
                ripe: false,
                fresh: false,
                discredited: false,
                late_effect: None,
                again: 0,
                hole: false,
                settles: true,
            }),
        }
    }

    fn event_of(&self, work: &Work, proof: Proof, again: Millis) -> Event {
        match proof {
            Proof::Found { remote_id, why } => Event::Found { remote_id, note: why },
            Proof::Absent { why } => Event::Absent { note: why },
            Proof::None { why, .. } => Event::LookAgain { at: self.now() + again, note: why },
            Proof::Person { why, candidates } => {
                let named = match candidates.as_slice() {
                    [] => String::new(),
                    ids => format!(": {}", ids.join(", ")),
                };
                Event::NeedsPerson {
                    reason: Reason::Undecidable,
                    message: format!(
                        "the reply was lost and {why}{named}; decide with `darkroom resolve {}` \
                         and --adopt, --resubmit or --abandon",
                        work.id
                    ),
                }
            }
        }
    }

    /// When it is now, as looks are dated.
    pub(super) fn moment(&self) -> Moment {
        Moment { at: self.now(), uptime: self.uptime(), boot: self.boot }
    }

    /// The time since this daemon's start, asleep or not (ms): nobody can set that one.
    pub(super) fn uptime(&self) -> Millis {
        super::millis(self.clock.uptime())
    }
}

fn expected(open: &OpenIntent, field: &str) -> Option<String> {
    let expects: Value = serde_json::from_str(&open.expects).ok()?;
    Some(expects.get(field)?.as_str()?.to_owned())
}
