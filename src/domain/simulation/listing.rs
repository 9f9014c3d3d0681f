//! The vendor's job list, remembered: `src/store/listing.rs`, function by function.

use super::bugs::Bug;
use super::db::{Db, Intent};
use super::plan::HOUR;
use crate::domain::ids::Millis;
use crate::domain::reconcile::SKEW;
use crate::domain::reconcile::lag::Appearance;
use crate::domain::work::State;

/// `ENTRY_WITHIN` of `src/store/listing.rs`.
const ENTRY_WITHIN: Millis = 150_000;
/// `UNLISTED` of the same.
const UNLISTED: usize = 3;

impl Db {
    /// `SaveListing`. `jobs`: id and creation time of each entry.
    pub(super) fn save_listing(
        &mut self,
        jobs: &[(String, Option<Millis>)],
        start: Millis,
        at: Millis,
        settle: Millis,
        now: Millis,
    ) {
        let before = self.listed.len();
        let history = self.intents.is_empty();
        for (remote, created_at) in jobs {
            if self.listed.iter().all(|known| known.remote != *remote) {
                self.listed.push(super::db::Listed {
                    remote: remote.clone(),
                    created_at: *created_at,
                    history,
                    reserved_by: None,
                    training: None,
                });
            }
        }
        if !history {
            self.learn_lag(before, at);
            for fresh in before..self.listed.len() {
                if self.holder(&self.listed[fresh].remote).is_none() {
                    self.place(fresh, settle, now);
                }
            }
        }
        self.last = Some((at, start));
        if self.covered.is_none_or(|covered| start <= covered - HOUR) {
            self.covered = Some(at);
        }
    }

    fn learn_lag(&mut self, before: usize, at: Millis) {
        for fresh in before..self.listed.len() {
            let Some(created_at) = self.listed[fresh].created_at else { continue };
            let Some(row) = self.holder(&self.listed[fresh].remote) else { continue };
            let accepted = |one: &&Intent| one.row == row && one.outcome == Some("accepted");
            let Some(call) = self.intents.iter().rev().find(accepted) else { continue };
            let missed_at = self.last.filter(|last| last.1 <= created_at).map(|last| last.0);
            let sent_at = call.vendor_time;
            self.lag.learn(&Appearance { created_at, listed_at: at, missed_at, sent_at });
        }
    }

    /// What a job is that no row claims: a late one of ours, a candidate, a training's entry, or
    /// somebody else's.
    fn place(&mut self, fresh: usize, settle: Millis, now: Millis) {
        let skew = SKEW + self.lag.skew;
        let created_at = self.listed[fresh].created_at;
        let late = created_at.and_then(|at| self.late(at, skew, settle));
        if let Some(intent) = late {
            let remote = self.listed[fresh].remote.clone();
            return self.reserve(intent, &[remote]);
        }
        if self.open_intents().next().is_some() {
            return;
        }
        if !self.is_an_entry(fresh, skew, settle, now) && !self.has(Bug::NobodyElseEver) {
            self.shared = true;
        }
    }

    fn late(&self, created_at: Millis, skew: Millis, settle: Millis) -> Option<i64> {
        let in_time = |one: &Intent| {
            let until = one.doubt_vendor.unwrap_or(one.vendor_time) + settle;
            let queued = matches!(self.work(one.row).state, State::Queued { .. });
            created_at >= one.vendor_time - skew && (created_at <= until || queued)
        };
        if self.open_intents().any(|open| open.vendor_time - skew <= created_at) {
            return None;
        }
        let given_up = |one: &&Intent| {
            matches!(one.ledger, "absent" | "parked") && !self.rows[one.row].is_training()
        };
        self.intents.iter().rev().filter(given_up).find(|one| in_time(one)).map(|one| one.seq)
    }

    fn is_an_entry(&mut self, fresh: usize, skew: Millis, settle: Millis, now: Millis) -> bool {
        if self.has(Bug::EntriesIgnored) {
            return false;
        }
        let created_at = self.listed[fresh].created_at;
        let of = self.intents.iter().rev().find(|one| {
            let row = &self.rows[one.row];
            let accepted = row.work.accepted_at;
            let created_at = created_at.unwrap_or(one.vendor_time);
            row.is_training()
                && (one.vendor_time - skew..=one.vendor_time + ENTRY_WITHIN).contains(&created_at)
                && accepted.is_some_and(|at| at > now - settle.max(ENTRY_WITHIN))
                && self.listed.iter().all(|job| job.training != Some(one.row))
        });
        let row = of.map(|one| one.row);
        self.listed[fresh].training = row;
        row.is_some()
    }

    /// `Store::unclaimed_jobs`.
    pub(super) fn unclaimed(&self, intent: &Intent) -> Vec<(String, Option<Millis>)> {
        let known = self.has(Bug::KnownIdsIgnored);
        let claims_matter = !self.has(Bug::ClaimNotUnique);
        self.listed
            .iter()
            .enumerate()
            .filter(|(place, job)| known || (*place as i64 >= intent.listed_seq && !job.history))
            .filter(|(_, job)| job.training.is_none())
            .filter(|(_, job)| job.reserved_by.is_none_or(|by| by == intent.seq))
            .filter(|(_, job)| !claims_matter || self.holder(&job.remote).is_none())
            .map(|(_, job)| (job.remote.clone(), job.created_at))
            .collect()
    }

    /// `Store::trainings_that_may_show`: those that were sent so late before the call that their
    /// entry may have come after it.
    pub(super) fn trainings_that_may_show(
        &self,
        open: &Intent,
        settle: Millis,
        now: Millis,
    ) -> usize {
        if self.has(Bug::EntriesIgnored) {
            return 0;
        }
        let shown = |row: usize| self.listed.iter().any(|job| job.training == Some(row));
        let by_the_clock = self.has(Bug::EntriesUntilNow);
        let may_show =
            |row: usize, accepted_at: Millis| match by_the_clock {
                true => accepted_at > now - settle,
                false => self.intents.iter().rev().find(|one| one.row == row).is_some_and(|call| {
                    call.vendor_time + ENTRY_WITHIN > open.vendor_time - settle
                }),
            };
        let accepted = || {
            let each = self.rows.iter().enumerate().filter(|(_, row)| row.is_training());
            each.filter_map(|(at, row)| Some((at, row.work.accepted_at?)))
        };
        let ever = self.listed.iter().any(|job| job.training.is_some());
        if !ever && accepted().filter(|(row, at)| !may_show(*row, *at)).count() >= UNLISTED {
            return 0;
        }
        accepted().filter(|(row, at)| may_show(*row, *at) && !shown(*row)).count()
    }

    /// `Store::known_before`.
    pub(super) fn known_before(&self, at: Millis) -> Option<(String, Millis)> {
        let dated = self.listed.iter().filter_map(|job| Some((&job.remote, job.created_at?)));
        let older = dated.filter(|(_, created_at)| *created_at < at);
        older.max_by_key(|(_, at)| *at).map(|(remote, at)| (remote.clone(), at))
    }

    /// The view `unclaimed`, for a job that no row claims: whether anybody is told of it.
    pub(super) fn is_reported(&self, remote: &str) -> bool {
        self.listed.iter().any(|job| job.remote == remote && !job.history)
    }
}
