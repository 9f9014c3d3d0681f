//! What no rule can know (rule 5, and what the page of the worlds calls open by nature), told from the
//! truth. Each excuse is as narrow as its sentence there.

use crate::book::Book;
use crate::oracle::Truth;
use crate::vendor::{Job, Maker, Vendor};
use judging::{HOUR, MINUTE, Millis, SECOND};

/// A call stays unfound for so long at least, by the rules (rule 5); what a planted bug makes of the
/// settle time excuses nothing.
const LEAST: Millis = 15 * MINUTE;

/// What no rule can know; counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unknowable {
    /// The effect came later than the settle time in force.
    LateEffect,
    /// The list had stood still for more than an hour.
    LongFreeze,
    /// The first job that the list lacks.
    FirstLack,
    /// The double of a call less than ten seconds before.
    QuickDouble,
    /// The first stranger there ever was, within a quarter of an hour of a lost call.
    FirstStranger,
    /// On a shared account, the first stranger who ever used this model of ours.
    FirstOfModel,
    /// A database put back on a shared account.
    PutBackShared,
    /// A database put back, at a vendor whose clock went back by more than the twelve hours within which
    /// anything is believed.
    PutBackFar,
}

impl Truth {
    fn went_out(&self, call: u64) -> Option<Millis> {
        self.sent_at.get(&call).copied()
    }

    /// Why nobody could know that this job of a row exists, which is sent again at `now`.
    pub(crate) fn excuse(
        &self,
        vendor: &Vendor,
        book: &Book,
        (job, call): (&Job, u64),
        now: Millis,
    ) -> Option<Unknowable> {
        if self.forgotten.contains(&call) {
            let strangers =
                vendor.jobs.iter().any(|job| job.maker == Maker::Stranger && job.made_at <= now);
            // What the database has forgotten and no list shows any more, nobody can know.
            let gone = job.listed_at.is_none() || vendor.is_beyond_reach(job, now);
            if job.filtered_at < job.made_at - 12 * HOUR {
                return Some(Unknowable::PutBackFar);
            }
            return match (strangers, gone) {
                (true, _) => Some(Unknowable::PutBackShared),
                (false, true) => Some(Unknowable::FirstLack),
                (false, false) => None,
            };
        }
        let (settle, absent_at) = *self.absences.get(&call)?;
        let settle = settle.max(self.least(vendor, book, job, absent_at));
        if job.made_at - self.went_out(call)? > settle {
            return Some(Unknowable::LateEffect);
        }
        if vendor.frozen_since(absent_at).is_some_and(|since| {
            absent_at - since > HOUR && job.listed_at.is_some_and(|listed| listed > since)
        }) {
            return Some(Unknowable::LongFreeze);
        }
        self.is_first_lack(vendor, book, job, absent_at).then_some(Unknowable::FirstLack)
    }

    /// Whether the list lacked this job, and nobody could know that it lacks any.
    fn is_first_lack(&self, vendor: &Vendor, book: &Book, job: &Job, absent_at: Millis) -> bool {
        let on_page = |job: &Job| vendor.is_on_the_lost_page(job, absent_at);
        if on_page(job) {
            // A lost page on which no job was known to be is lost without a sign.
            return !vendor.jobs.iter().any(|other| {
                let shown = book.listed(&other.id).is_some_and(|seen| seen.first_seen < absent_at);
                on_page(other) && (shown || book.was_accepted(&other.id))
            });
        }
        let known = |other: &Job| book.claims.hold(&other.id) || book.was_accepted(&other.id);
        let warned = vendor.jobs.iter().any(|other| match other.listed_at {
            // Noticed after more than an hour, and a sweep.
            None => known(other) && other.made_at < absent_at - HOUR - 15 * MINUTE,
            // One that came late by itself was seen to.
            Some(listed) => {
                job.listed_at.is_some()
                    && other.id != job.id
                    && known(other)
                    && listed < absent_at
                    && listed - other.made_at > MINUTE
            }
        });
        let lacked = match job.listed_at {
            None => true,
            // While others come at once.
            Some(listed) => listed - job.made_at > LEAST && listed > absent_at,
        };
        lacked && !warned
    }

    /// Why another call's job could not be told from this call's.
    pub(crate) fn excuse_of_ours(
        &self,
        job: &Job,
        (number, maker): (u64, u64),
        (settle, plainly_another): (Millis, bool),
    ) -> Option<Unknowable> {
        // Another model of ours is another model, letter by letter.
        if plainly_another {
            return None;
        }
        let (sent, theirs) = (self.went_out(number)?, self.went_out(maker)?);
        let late = job.made_at - theirs;
        let in_time = job.made_at >= sent - 10 * SECOND;
        match job.double {
            true if (0..10 * SECOND).contains(&(sent - theirs)) => Some(Unknowable::QuickDouble),
            false if late > settle.max(LEAST) && in_time => Some(Unknowable::LateEffect),
            _ => None,
        }
    }

    /// Why a stranger's job could not be told from this call's.
    pub(crate) fn excuse_of_a_stranger(
        &self,
        vendor: &Vendor,
        book: &Book,
        (job, number): (&Job, u64),
        now: Millis,
    ) -> Option<Unknowable> {
        let least = self.least(vendor, book, job, now);
        // The reply is missed a minute after the call at the latest.
        let near = (0..=least + 2 * MINUTE).contains(&(job.made_at - self.went_out(number)?));
        // What was there before us says nothing about strangers.
        let seen = |other: &&Job| {
            other.maker == Maker::Stranger
                && other.id != job.id
                && book.listed(&other.id).is_some_and(|seen| !seen.history && seen.first_seen < now)
        };
        let earlier: Vec<&Job> = vendor.jobs.iter().filter(seen).collect();
        let model = job.request.model.as_ref()?;
        let new = earlier.iter().all(|other| other.request.model.as_ref() != Some(model));
        match earlier.is_empty() {
            true if near => Some(Unknowable::FirstStranger),
            // Rule 7 trusts a trained model of ours until a stranger's job has shown it.
            false if new && book.models.ours.contains(model) => Some(Unknowable::FirstOfModel),
            _ => None,
        }
    }

    /// The least settle time: twice as long once an effect is known to have come late.
    fn least(&self, vendor: &Vendor, book: &Book, of: &Job, now: Millis) -> Millis {
        let late = vendor.jobs.iter().any(|job| {
            let Maker::Ours { call, .. } = job.maker else { return false };
            let Some(sent) = self.went_out(call) else { return false };
            let settled = book.claims.hold(&job.id)
                && book.listed(&job.id).is_some_and(|seen| seen.first_seen < now - LEAST);
            job.id != of.id && !job.double && settled && job.made_at > sent + LEAST + MINUTE
        });
        if late { 2 * LEAST } else { LEAST }
    }
}
