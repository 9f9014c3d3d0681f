//! Calls in doubt: only looking is allowed. Reads only, so it can be killed anywhere and run again.
//!
//! [`paid`] looks for jobs and trainings, [`free`] for models and uploads; what a look proves is
//! decided in `domain::reconcile`, and one commit stores the look, its evidence and the verdict.

pub(super) mod ended;
mod free;
mod paid;

use super::{Engine, EngineError, Result};
use crate::domain::event::{Event, Reason};
use crate::domain::ids::Id;
use crate::domain::reconcile::Verdict;
use crate::domain::reconcile::lag::Moment;
use crate::domain::schedule;
use crate::domain::work::{Kind, State, Work};
use crate::store::StoreError;
use crate::store::apply::Facts;
use crate::store::intents::{Look, OpenIntent};
use serde_json::Value;
use std::sync::PoisonError;

/// What one complete look brought.
struct Seen {
    verdict: Verdict,
    /// What was seen, for whoever has to judge it later.
    evidence: Value,
    /// When the vendor was asked.
    at: Moment,
    /// The newest listed job that it rests on, if it rests on the job list.
    listed_seq: Option<i64>,
    /// The settle time that has passed with it, as far as it counts (ms).
    healthy: i64,
    /// Whether that is all of it.
    settled: bool,
    /// When to look again if nothing is settled (ms from now).
    again: i64,
}

impl Engine {
    /// Looks once at what became of a call.
    pub(super) async fn resolve(&self, work: &Work, intent: i64) -> Result<()> {
        let open = self.store.intent(intent).await?;
        let mut again = self.timing().relist;
        let (event, facts) = match self.look(work, &open).await {
            Ok(seen) => {
                again = seen.again;
                let look = Some(Look::Complete {
                    at: seen.at,
                    listed_seq: seen.listed_seq,
                    healthy: seen.healthy,
                    settled: seen.settled,
                    empty: matches!(
                        seen.verdict,
                        Verdict::Wait { empty: true, .. } | Verdict::Absent { .. }
                    ),
                });
                let reserve = match &seen.verdict {
                    Verdict::Park { candidates, .. } => candidates.clone(),
                    _ => Vec::new(),
                };
                let evidence = Some(seen.evidence.clone());
                (self.event_of(work, seen), Facts { look, reserve, evidence, ..Facts::default() })
            }
            // A look that failed proves nothing.
            Err(EngineError::Vendor(failure)) => {
                let until = self.now() + schedule::backoff(work.id, work.failures);
                let event = Event::LookFailed { until, note: failure.message };
                (event, Facts { look: Some(Look::Failed), ..Facts::default() })
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
        let seen = self.look(work, &intent).await?;
        let nothing = match &seen.verdict {
            Verdict::Absent { .. } | Verdict::Wait { empty: true, .. } => true,
            Verdict::Park { candidates, .. } => candidates.is_empty(),
            _ => false,
        };
        if nothing {
            self.note_last_look(work.id, seen.listed_seq);
            return Ok(None);
        }
        let facts = Facts {
            late_of: Some(intent.seq),
            reserve: match &seen.verdict {
                Verdict::Park { candidates, .. } => candidates.clone(),
                _ => Vec::new(),
            },
            evidence: Some(seen.evidence.clone()),
            ..Facts::default()
        };
        let event = match seen.verdict {
            Verdict::Wait { why, .. } => {
                let at = self.now() + seen.again;
                let note = format!("it came to light late: {why}");
                return Ok(Some((Event::LookAgain { at, note }, Facts::default())));
            }
            _ => self.event_of(work, seen),
        };
        Ok(Some((event, facts)))
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
        let judged = matches!(work.state, State::Queued { .. });
        match work.kind {
            Kind::Model => self.look_for_model(open).await,
            Kind::Upload => self.look_for_upload(work, open).await,
            Kind::Training => self.look_for_training(open, judged).await,
            Kind::Job => self.look_for_job(open, judged).await,
            // These two are never in doubt.
            Kind::Output | Kind::Change => Ok(Seen {
                verdict: Verdict::Wait { why: "repeating it is harmless".to_owned(), empty: false },
                evidence: Value::Null,
                at: self.moment(),
                listed_seq: None,
                healthy: 0,
                settled: false,
                again: 0,
            }),
        }
    }

    fn event_of(&self, work: &Work, seen: Seen) -> Event {
        match seen.verdict {
            Verdict::Adopt { remote_id, why } => Event::Found { remote_id, note: why },
            Verdict::Absent { why } => Event::Absent { note: why },
            Verdict::Wait { why, .. } => {
                Event::LookAgain { at: self.now() + seen.again, note: why }
            }
            Verdict::Park { why, candidates } => {
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

    /// Two looks further apart than this leave a time in which nobody looked. One that took long, or
    /// was late, still counts in part.
    fn longest_gap(&self, interval: i64) -> i64 {
        interval.saturating_mul(3)
    }

    fn moment(&self) -> Moment {
        Moment { vendor: self.vendor_now(), local: self.now(), boot: Some(self.boot) }
    }
}

fn expected(open: &OpenIntent, field: &str) -> Option<String> {
    let expects: Value = serde_json::from_str(&open.expects).ok()?;
    Some(expects.get(field)?.as_str()?.to_owned())
}
