//! Is this still the account that the database belongs to? Asked once per boot, before anything is
//! sent or looked at: with another account's key, or at another vendor's address, every id of ours
//! would be a 404, and a storm of those would turn the truth into "missing".

use super::{Engine, EngineError, Result};
use crate::domain::failure::{Failure, FailureClass};
use crate::domain::ids::{Millis, RemoteJobId, RemoteModelId};
use crate::domain::quarantine::{Class, Facts, Quarantine};
use crate::domain::reconcile::SKEW;
use crate::domain::work::Kind;
use crate::store::quarantine::{AccountIsOurs, AccountIsUnsettled, KnownId};
use crate::vendor::{self, JobPages};
use serde_json::json;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// First wait after a question that stayed open; doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Longest wait between two questions.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What is known of the account since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing yet; the next question is at the earliest then, after this wait.
    Unknown(Option<Instant>, Duration),
    /// The question is out.
    Asked(Duration),
    /// It is ours, as far as anybody can tell.
    Ours,
    /// It knows nothing of ours.
    Foreign,
}

impl Default for Standing {
    fn default() -> Self {
        Self::Unknown(None, FIRST_WAIT)
    }
}

/// What the vendor's answers mean.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// It knows this id of ours.
    Ours(String),
    /// There is nothing, or too little, that it should know.
    Nothing,
    /// It knows none of these.
    Foreign(Vec<String>),
    /// The same, but they are so new that its lists may lag behind.
    TooEarly,
}

/// Whether these ids, all unknown to the vendor, prove that the account is another one. A single
/// model does not: somebody may have deleted it at the vendor.
fn proves_foreign(unknown: &[KnownId]) -> bool {
    unknown.iter().any(|id| id.kind == "job") || unknown.len() > 1
}

impl Engine {
    /// Whether looking and sending may begin, or go on; asks if nobody has. A released quarantine
    /// settles it too: the person has decided.
    ///
    /// # Errors
    /// A database error.
    pub(super) async fn may_use_account(self: &Arc<Self>) -> Result<bool> {
        match self.standing() {
            Standing::Ours => return Ok(true),
            Standing::Asked(_) => return Ok(false),
            // Read only now: it was stored before this was set.
            Standing::Foreign => {
                let holds = self.store.quarantine().await?;
                let released = !holds.as_ref().is_some_and(Quarantine::stops_watching);
                if released {
                    self.stand(Standing::Ours);
                }
                return Ok(released);
            }
            Standing::Unknown(..) => {}
        }
        self.begin_asking();
        Ok(false)
    }

    /// Asks about the account before the loop is there: until the answer is in, nothing else may be
    /// asked, so the first thing that a start waits for is this. Answers once the question is over,
    /// or after `patience`, whether the vendor said that it knows something of ours, which it does
    /// for a key that works only.
    ///
    /// # Errors
    /// A database error.
    pub async fn ask_account_first(
        self: &Arc<Self>,
        patience: Duration,
    ) -> Result<impl Future<Output = bool> + Send + 'static> {
        let pauses = self.store.holds().await?.pauses;
        let both = pauses.watching.is_some() && pauses.spending.is_some();
        let asked = if both { None } else { self.begin_asking() };
        Ok(async move {
            let Some(asked) = asked else { return false };
            let answered = tokio::time::timeout(patience, asked).await;
            answered.is_ok_and(|answer| answer.unwrap_or(false))
        })
    }

    /// Sends the question; `None` when it need not be, or is out.
    fn begin_asking(self: &Arc<Self>) -> Option<tokio::task::JoinHandle<bool>> {
        match self.standing() {
            Standing::Unknown(at, wait) if at.is_none_or(|at| at <= Instant::now()) => {
                self.stand(Standing::Asked(wait));
            }
            _ => return None,
        }
        let asking = Asking { engine: self.clone() };
        Some(tokio::spawn(async move { asking.engine.ask_account().await }))
    }

    fn standing(&self) -> Standing {
        *self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stand(&self, standing: Standing) {
        *self.account.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }

    /// Whether the account has been found to be ours.
    pub(super) fn account_is_ours(&self) -> bool {
        self.standing() == Standing::Ours
    }

    /// What is known of the account, as a word.
    pub fn account_word(&self) -> &'static str {
        match self.standing() {
            Standing::Ours => "ok",
            Standing::Foreign => "another",
            Standing::Unknown(..) | Standing::Asked(_) => "not checked yet",
        }
    }

    /// How long there is nothing to do until the next question; `None` when an event ends that.
    pub(super) fn until_account_question(&self) -> Option<Duration> {
        match self.standing() {
            Standing::Unknown(Some(at), _) => Some(at.saturating_duration_since(Instant::now())),
            _ => None,
        }
    }

    /// Asks, and stores what follows; answers whether the vendor knows something of ours.
    ///
    /// A quarantine for another account lifts by itself when a later boot, with the right key or
    /// address, finds a known id again; only a person lifts it otherwise.
    async fn ask_account(&self) -> bool {
        let answer = self.known_to_vendor().await;
        let known = matches!(answer, Ok(Answer::Ours(_)));
        let standing = match answer {
            Ok(Answer::Foreign(ids)) => {
                self.forget_opening_look();
                match self.enter(self.foreign(ids).await).await {
                    true => Standing::Foreign,
                    false => self.ask_later(),
                }
            }
            Ok(Answer::TooEarly) => {
                self.not_settled("it does not know what it gave us a moment ago").await;
                self.ask_later()
            }
            Ok(answer) => match self.account_found(&answer).await {
                true => Standing::Ours,
                false => self.ask_later(),
            },
            Err(error) => {
                // A refused key pauses everything, which says it better.
                if !is_refused_key(&error) {
                    self.not_settled(&error.to_string()).await;
                }
                self.ask_later()
            }
        };
        self.stand(standing);
        known
    }

    async fn not_settled(&self, why: &str) {
        let reason = format!(
            "whether the vendor still knows this database's account is not clear yet: {why}"
        );
        tracing::warn!("nothing is sent or looked at: {reason}");
        let note = AccountIsUnsettled { reason };
        if let Err(error) = self.store.writer().write(note).await {
            tracing::warn!("a note could not be stored: {error}");
        }
    }

    fn ask_later(&self) -> Standing {
        let wait = match self.standing() {
            Standing::Asked(wait) | Standing::Unknown(_, wait) => wait,
            _ => FIRST_WAIT,
        };
        Standing::Unknown(Some(Instant::now() + wait), (wait * 2).min(LONGEST_WAIT))
    }

    async fn account_found(&self, answer: &Answer) -> bool {
        let proof = match answer {
            Answer::Ours(id) => Some(id),
            _ => None,
        };
        let proof = json!({ "base_url": self.base_url(), "proof": proof });
        match self.store.writer().write(AccountIsOurs { proof }).await {
            Ok(true) => tracing::info!("the vendor knows this database's account again"),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!("what the vendor says of the account is not stored: {error}");
                return false;
            }
        }
        true
    }

    fn base_url(&self) -> &str {
        self.config.vendor.base_url.as_str()
    }

    async fn foreign(&self, unknown_ids: Vec<String>) -> Quarantine {
        let before = self.store.known_account().await.ok().flatten();
        let moved = before.filter(|known| known.base_url != self.base_url());
        let moved = moved.map(|known| format!("; it was last known at {}", known.base_url));
        let reason = format!(
            "the vendor at {} knows none of this database's newest ids ({}){}: the key or the \
             address belongs to another account",
            self.base_url(),
            unknown_ids.join(", "),
            moved.unwrap_or_default()
        );
        let base_url = Some(self.base_url().to_owned());
        let tip = self.store.chain_tip().await.unwrap_or_default();
        let facts = Facts { database: tip.counter, unknown_ids, base_url, ..Facts::default() };
        Quarantine { reason, class: Class::Account, at: self.now(), facts, beneath: None }
    }

    /// One read, as a rule: of a job that is overdue, or of what no grid is for. Only when that fails are lists and further ids asked for.
    async fn known_to_vendor(&self) -> Result<Answer> {
        let opening = self.opening_look().await?;
        if let Some((id, true)) = opening {
            return Ok(Answer::Ours(id));
        }
        let asked = opening.map(|(id, _)| id);
        let known = self.store.known_ids().await?;
        // What runs is looked at on its own grid only: the lists tell as much.
        let direct = known.first().filter(|id| !id.watched);
        if let Some(id) = direct
            && self.vendor_knows(id).await?
        {
            return Ok(Answer::Ours(id.remote_id.clone()));
        }
        if let Some(id) = self.listed_of_ours(&known).await? {
            return Ok(Answer::Ours(id));
        }
        let unread = |id: &&KnownId| Some(*id) != direct && asked.as_ref() != Some(&id.remote_id);
        let unread: Vec<&KnownId> = known.iter().filter(unread).collect();
        for (kind, word) in [(Kind::Job, "job"), (Kind::Training, "model")] {
            if unread.iter().any(|id| id.watched && id.kind == word) {
                self.turn_of_unasked(kind).await;
            }
        }
        for id in unread {
            if self.vendor_knows(id).await? {
                return Ok(Answer::Ours(id.remote_id.clone()));
            }
        }
        let settled = self.now() - self.settle_time().await?;
        let (old, new): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|id| id.accepted_at < settled);
        if proves_foreign(&old) {
            return Ok(Answer::Foreign(old.into_iter().map(|id| id.remote_id).collect()));
        }
        let all = [old, new].concat();
        Ok(if proves_foreign(&all) { Answer::TooEarly } else { Answer::Nothing })
    }

    /// Whether the vendor knows the id; anything but its own yes and its own 404 is an error.
    async fn vendor_knows(&self, id: &KnownId) -> Result<bool> {
        let remote_id = id.remote_id.clone();
        let answered = if id.kind == "job" {
            self.call(self.client.get_job(&RemoteJobId(remote_id))).await.map(drop)
        } else {
            self.call(self.client.get_model(&RemoteModelId(remote_id))).await.map(drop)
        };
        match answered {
            Ok(()) => Ok(true),
            Err(failure) if is_unknown(&failure) => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Something in the vendor's own lists that a row of ours claims.
    async fn listed_of_ours(&self, known: &[KnownId]) -> Result<Option<String>> {
        if known.iter().any(|id| id.kind == "model") {
            let models = self.call(self.client.list_models()).await?.value;
            let ids: Vec<String> = models.into_iter().map(|model| model.id.0).collect();
            if let Some(ours) = self.store.claimed(Kind::Model, &ids).await?.into_iter().next() {
                return Ok(Some(ours));
            }
        }
        let jobs = known.iter().filter(|id| id.kind == "job");
        let Some(oldest) = jobs.map(|id| id.accepted_at).min() else {
            return Ok(None);
        };
        // Our clock wrote that, the vendor's clock counts: an hour covers what they differ.
        let mut pages = JobPages::closed(oldest - SKEW - HOUR, self.vendor_now() + HOUR);
        while !pages.is_over() {
            let page = self.call(pages.next(&self.client)).await?.value;
            let ids: Vec<String> = page.jobs.into_iter().map(|job| job.job_id.0).collect();
            if let Some(ours) = self.store.claimed(Kind::Job, &ids).await?.into_iter().next() {
                return Ok(Some(ours));
            }
        }
        Ok(None)
    }
}

const HOUR: Millis = 60 * 60 * 1000;

fn is_refused_key(error: &EngineError) -> bool {
    matches!(error, EngineError::Vendor(failure) if failure.class == FailureClass::Unauthorized)
}

pub(super) fn is_unknown(failure: &Failure) -> bool {
    failure.class != FailureClass::Unauthorized
        && failure.is_not_found()
        && vendor::is_the_vendors_no(failure)
}

/// A question that is out. However it ends, it is over, and the loop looks again.
struct Asking {
    engine: Arc<Engine>,
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Standing::Asked(wait) = self.engine.standing() {
            self.engine.stand(Standing::Unknown(Some(Instant::now() + wait), wait));
        }
        self.engine.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_deleted_model_proves_nothing() {
        let id = |kind: &str| KnownId {
            kind: kind.to_owned(),
            remote_id: "r".to_owned(),
            accepted_at: 0,
            watched: false,
        };
        assert!(!proves_foreign(&[]) && !proves_foreign(&[id("model")]));
        assert!(proves_foreign(&[id("model"), id("model")]));
        assert!(proves_foreign(&[id("job")]) && proves_foreign(&[id("job"), id("model")]));
    }
}
