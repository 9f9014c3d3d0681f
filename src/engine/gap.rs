//! Going back in time: what the vendor has that this database does not explain, at a start, and what
//! that means for orders afterwards.

use super::sweep::{FURTHEST, REMEMBERED};
use super::{Engine, Result};
use crate::domain::ids::{Id, Millis};
use crate::domain::quarantine::{Class, Facts, Quarantine};
use crate::domain::request::{JobRequest, ModelRef};
use crate::domain::schedule::Timing;
use crate::store::gap::{Compared, ParkFitting, Pending};
use crate::store::listing::{LAST, LastListing};
use crate::store::{Store, StoreError};
use judging::clocks::{Clocks, Span};
use judging::fit::{Call, Candidate, Effect, Expected, Ground, Media};
use judging::going_back::{self, Found, Order, Plan};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

/// A file that was written to so shortly before the start was not put back from a copy (ms).
const JUST_WRITTEN: Millis = 3_000;
/// So many ids are named in a sentence.
const NAMED: usize = 5;

/// What the vendor's record of a job must look like.
///
/// # Errors
/// A database error.
pub async fn expected(
    store: &Store,
    request: &JobRequest,
) -> std::result::Result<Expected, StoreError> {
    let model = match request {
        JobRequest::Image(image) => match &image.model {
            ModelRef::Trained(id) => store.model(*id).await?.remote_id,
            ModelRef::Public(_) => None,
        },
        _ => None,
    };
    let media = match request {
        JobRequest::Video(_) => Media::Videos,
        _ => Media::Images,
    };
    Ok(Expected { model, media, count: request.count() })
}

/// An order as the call that it would be now.
pub fn order(id: Id, expected: Expected, settled: Vec<String>, now: Millis) -> Order {
    let call = Call {
        intent: 0,
        effect: Effect::Job(expected),
        request_hash: String::new(),
        span: Span { opened_at: now, ended_at: now },
        listed_seq: 0,
        listed_from: None,
    };
    Order { subject: id.to_string(), call, settled }
}

/// What becomes of the orders if these jobs may be theirs.
///
/// # Errors
/// A database error, or a stored value of another shape.
pub async fn plan(
    store: &Store,
    orders: &[Order],
    jobs: &[Candidate],
) -> std::result::Result<Plan, StoreError> {
    let models = store.model_ids(None).await?;
    let clocks = Clocks::default();
    // Times cannot tell: the call that made them went out from another copy.
    let ground = Ground { accepted: &[], clocks: &clocks, models: &models };
    Ok(going_back::plan(orders, jobs, &ground))
}

/// From when on (vendor's) a job that no list has shown was made since the last one; `None` for a file
/// that never listed, to which everything is history.
///
/// # Errors
/// A database error, or a stored value of another shape.
pub async fn unlisted_from(store: &Store) -> std::result::Result<Option<Millis>, StoreError> {
    let Some(last) = store.setting::<LastListing>(LAST).await? else { return Ok(None) };
    let pending = store.to_compare().await?;
    let covered = pending.map_or(last.covered, |pending| pending.covered);
    let now = store.now();
    let clocks = store.our_jobs(now - REMEMBERED).await?.clocks(now);
    Ok(Some(going_back::from(covered) + clocks.widening()))
}

impl Engine {
    /// Whether the vendor's list has been compared with this database since the start.
    pub(super) fn is_compared(&self) -> bool {
        self.compared.load(Ordering::Acquire)
    }

    /// From when on (vendor's) the list must be asked for that is to be compared; `None` when there
    /// is nothing to compare any more.
    pub(super) async fn compare_from(&self, clocks: &Clocks) -> Result<Option<Millis>> {
        if self.is_compared() {
            return Ok(None);
        }
        let Some(pending) = self.store.to_compare().await? else {
            self.compared.store(true, Ordering::Release);
            return Ok(None);
        };
        let from = going_back::from(pending.covered).max(self.now() - FURTHEST);
        Ok(Some(from + clocks.widening()))
    }

    /// Compares what lists have shown since the start, the last one from `from` on (vendor's), with
    /// what this database explains. More than that closes it. Nothing is compared for good by a list
    /// that came too soon.
    pub(super) async fn compare(&self, from: Option<Millis>) -> Result<()> {
        let Some(from) = from else { return Ok(()) };
        // Released meanwhile: a person has compared.
        if let Some(pending) = self.store.to_compare().await? {
            let unexplained = self.unexplained(&pending, from).await?;
            if unexplained.is_none() && self.list_may_hide(&pending).await? {
                return Ok(());
            }
            let reason = unexplained.as_ref().map(|(found, _)| found.reason.clone());
            if self.store.writer().write(Compared { unexplained }).await? {
                tracing::error!(
                    "in quarantine, so nothing is sent: {}",
                    reason.unwrap_or_default()
                );
                self.wake();
            }
        }
        self.compared.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether the list that was read last came too soon after the start: as late as lists have been,
    /// it may not show yet what another copy of this file bought last.
    async fn list_may_hide(&self, pending: &Pending) -> Result<bool> {
        let started = self.now() - self.uptime();
        if (0..JUST_WRITTEN).contains(&(started - pending.written)) {
            return Ok(false);
        }
        // It was late by more than the last list that missed something tells; and one that once stood
        // still for hours holds nobody up for longer than an hour.
        let late = (2 * self.store.lag().await?.longest(self.now())).min(self.times().alone());
        let broad = *self.broad.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(broad.is_none_or(|list| list.uptime() < late))
    }

    async fn unexplained(
        &self,
        pending: &Pending,
        from: Millis,
    ) -> Result<Option<(Quarantine, Vec<String>)>> {
        let new = self.store.come_to_light(pending, from).await?;
        if new.is_empty() {
            return Ok(None);
        }
        let since = going_back::calls_since(pending.covered);
        let mut calls = self.store.calls_without_a_job(None, since).await?;
        // What has come to light of a call explains nothing more.
        let known = self.store.duplicates().await?;
        calls.retain(|other| known.iter().all(|taken| taken.intent != other.call.intent));
        let age = |opened_at: Millis| (pending.covered - opened_at).max(0);
        let spilled = self.spilled.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let found = Found {
            new: new.clone(),
            calls: calls.iter().map(|other| age(other.call.span.opened_at)).collect(),
            spilled,
            trainings: self.store.trainings_unlisted(pending.covered).await?,
            exclusive: self.account_is_exclusive().await?,
        };
        let Some(surplus) = going_back::unexplained(&found) else { return Ok(None) };
        let reason = surplus_sentence(&new, surplus);
        let database = self.store.chain_tip().await?.counter;
        let facts = Facts { database, unexplained: Some(surplus), ..Facts::default() };
        let class = Class::Unexplained;
        let quarantine = Quarantine { reason, class, at: self.now(), facts, beneath: None };
        Ok(Some((quarantine, new)))
    }

    /// For a day after a release an order that a job of the gap fits waits for a person instead of
    /// being sent. Answers whether this one does.
    pub(super) async fn parked_as_fitting(&self, id: Id, expected: &Expected) -> Result<bool> {
        let mut jobs = self.store.held_against().await?;
        if jobs.is_empty() {
            return Ok(false);
        }
        for job in jobs.iter_mut().filter(|job| !job.is_read()) {
            self.read_record(job).await?;
        }
        let jobs: Vec<Candidate> = jobs.iter().map(|job| job.candidate()).collect();
        let settled = self.store.shown_for(id).await?;
        let order = order(id, expected.clone(), settled, self.now());
        let plan = plan(&self.store, &[order], &jobs).await?;
        let Some((_, candidates)) = plan.park.into_iter().next() else { return Ok(false) };
        tracing::warn!(
            "job {id} is not sent: it may have been bought before the database was put back ({})",
            candidates.join(", ")
        );
        let timing: Timing = *self.timing();
        self.store.writer().write(ParkFitting { id, candidates, timing }).await?;
        self.wake();
        Ok(true)
    }
}

fn surplus_sentence(new: &[String], surplus: usize) -> String {
    let named: Vec<&str> = new.iter().take(NAMED).map(String::as_str).collect();
    let named = named.join(", ");
    let more = match new.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (what, explained) = match (new.len(), surplus) {
        (1, _) => ("a job".to_owned(), "it".to_owned()),
        (all, some) if all == some => (format!("{all} jobs"), "them".to_owned()),
        (all, some) => (format!("{all} jobs"), format!("{some} of them")),
    };
    format!(
        "the vendor has {what} that no earlier list showed ({named}{more}), and nothing in this \
         database explains {explained}: it was put back and what waits was bought already, or \
         somebody else has begun to use the account"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_names_a_few() {
        let ids = |count: usize| (0..count).map(|n| format!("j{n}")).collect::<Vec<_>>();
        let of = |count, surplus| surplus_sentence(&ids(count), surplus);
        assert!(of(1, 1).starts_with("the vendor has a job that no earlier list showed (j0), and"));
        assert!(of(1, 1).contains("explains it: ") && of(2, 2).contains("explains them: "));
        let many = of(7, 3);
        assert!(many.contains("7 jobs") && many.contains("j4 and 2 more)"), "{many}");
        assert!(many.contains("explains 3 of them: "), "{many}");
    }
}
