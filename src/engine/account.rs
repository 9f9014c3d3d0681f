//! Is this still the account that the database belongs to? Asked once per boot, before anything is
//! sent or looked at: with another account's key, or at another vendor's address, every id of ours
//! would be a 404, and a storm of those would turn the truth into "missing".

use super::{Engine, EngineError, Result};
use crate::domain::failure::{Failure, FailureClass};
use crate::domain::quarantine::{Class, Facts, Quarantine};
use crate::store::quarantine::{AccountIsOurs, AccountIsUnsettled, KnownAccount};
use crate::vendor;
use judging::account::Account;
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
    /// It knows too little of ours; a person has to say.
    Undecided,
    /// It knows nothing of ours.
    Foreign,
}

impl Default for Standing {
    fn default() -> Self {
        Self::Unknown(None, FIRST_WAIT)
    }
}

/// What may be done with the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Nothing, until more is known.
    Nothing,
    /// Looking at what runs, and fetching files.
    Looking,
    /// Everything.
    All,
}

/// What the vendor's answers mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Whose account it is.
    Is(Account),
    /// It seems to be another one, but the ids are so new that its lists may lag behind.
    TooEarly,
}

/// What was found out, and with which key and address.
pub(super) struct Found {
    pub(super) answer: Answer,
    pub(super) digest: Option<String>,
    pub(super) before: Option<KnownAccount>,
}

impl Engine {
    /// What may begin, or go on; asks if nobody has. A released quarantine settles it too: the person
    /// has decided.
    ///
    /// # Errors
    /// A database error.
    pub(super) async fn may_use_account(self: &Arc<Self>) -> Result<Allowed> {
        match self.standing() {
            Standing::Ours => return Ok(Allowed::All),
            Standing::Asked(_) => return Ok(Allowed::Nothing),
            // Read only now: it was stored before this was set.
            Standing::Foreign | Standing::Undecided => {
                let holds = self.store.quarantine().await?;
                return Ok(match holds.map(|holds| holds.class) {
                    Some(Class::Account) => Allowed::Nothing,
                    Some(Class::Undecided) => Allowed::Looking,
                    _ => {
                        self.stand(Standing::Ours);
                        Allowed::All
                    }
                });
            }
            Standing::Unknown(..) => {}
        }
        self.begin_asking();
        Ok(Allowed::Nothing)
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

    /// Whether a person has to say whose it is: what the vendor does not know proves nothing then.
    pub(super) fn account_is_undecided(&self) -> bool {
        self.standing() == Standing::Undecided
    }

    /// What is known of the account, as a word.
    pub fn account_word(&self) -> &'static str {
        match self.standing() {
            Standing::Ours => "ok",
            Standing::Foreign => "another",
            Standing::Undecided => "undecided",
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
    /// A quarantine about the account lifts by itself when a later boot, with the right key or
    /// address, finds a known id again; only a person lifts it otherwise.
    async fn ask_account(&self) -> bool {
        let (standing, known) = match self.find_out().await {
            Ok(found) => {
                let known = matches!(found.answer, Answer::Is(Account::Ours { proof: Some(_) }));
                (self.found_out(found).await, known)
            }
            Err(error) => {
                // A refused key pauses everything, which says it better.
                if !is_refused_key(&error) {
                    self.not_settled(&error.to_string()).await;
                }
                (self.ask_later(), false)
            }
        };
        self.stand(standing);
        known
    }

    async fn found_out(&self, found: Found) -> Standing {
        match &found.answer {
            Answer::Is(Account::Another(ids)) => {
                self.forget_opening_look();
                self.close(Class::Account, Standing::Foreign, ids.clone(), &found).await
            }
            Answer::Is(Account::Undecided(ids)) => {
                self.close(Class::Undecided, Standing::Undecided, ids.clone(), &found).await
            }
            Answer::Is(Account::Ours { proof }) => {
                match self.account_found(proof.clone(), found).await {
                    true => Standing::Ours,
                    false => self.ask_later(),
                }
            }
            Answer::TooEarly => {
                self.not_settled("it does not know what it gave us a moment ago").await;
                self.ask_later()
            }
        }
    }

    /// Stores that it is another account, or perhaps one.
    async fn close(
        &self,
        class: Class,
        standing: Standing,
        ids: Vec<String>,
        found: &Found,
    ) -> Standing {
        match self.enter(self.not_ours(class, ids, found).await).await {
            true => standing,
            false => self.ask_later(),
        }
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

    async fn account_found(&self, proof: Option<String>, found: Found) -> bool {
        let Found { digest, before, .. } = found;
        let same = before.filter(|before| digest.is_some() && before.digest == digest);
        let forgotten = match &proof {
            None => self.forgotten(same.as_ref()).await,
            Some(_) => None,
        };
        let proof = proof.or_else(|| same.and_then(|before| before.proof));
        let account =
            KnownAccount { base_url: self.base_url().to_owned(), proof, digest, forgotten };
        match self.store.writer().write(AccountIsOurs { account }).await {
            Ok(true) => tracing::info!("the vendor knows this database's account again"),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!("what the vendor says of the account is not stored: {error}");
                return false;
            }
        }
        true
    }

    /// What the vendor should know and does not, although key and address are the same; said once.
    async fn forgotten(&self, same: Option<&KnownAccount>) -> Option<String> {
        let id = self.store.known_ids().await.ok()?.into_iter().find(|id| !id.watched)?;
        if same?.forgotten.as_ref() != Some(&id.remote_id) {
            tracing::info!(
                "the vendor does not know our {} {} any more; key and address are the same, so the \
                 account is",
                id.kind,
                id.remote_id
            );
        }
        Some(id.remote_id)
    }

    fn base_url(&self) -> &str {
        self.config.vendor.base_url.as_str()
    }

    async fn not_ours(&self, class: Class, unknown_ids: Vec<String>, found: &Found) -> Quarantine {
        let moved = found.before.as_ref().filter(|known| known.base_url != self.base_url());
        let moved = moved.map(|known| format!("; it was last known at {}", known.base_url));
        let so = match class {
            Class::Account => "the key or the address belongs to another account",
            _ => "the key is another one, and that is too little to tell whether the account is",
        };
        let reason = format!(
            "the vendor at {} knows none of this database's newest ids ({}){}: {so}",
            self.base_url(),
            unknown_ids.join(", "),
            moved.unwrap_or_default()
        );
        let base_url = Some(self.base_url().to_owned());
        let tip = self.store.chain_tip().await.unwrap_or_default();
        let digest = found.digest.clone();
        let facts =
            Facts { database: tip.counter, unknown_ids, base_url, digest, ..Facts::default() };
        Quarantine { reason, class, at: self.now(), facts, beneath: None }
    }
}

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
