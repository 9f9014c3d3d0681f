//! What paid calls came to, for people: the views `spend_proof` and `unclaimed` as types.

use super::super::{Result, Store};
use serde::Serialize;
use sqlx::FromRow;

/// The two sides of the book, as in the view `spend_proof`.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, utoipa::ToSchema)]
pub struct SpendProof {
    /// Paid calls that went out, counted from the events.
    pub paid_calls: i64,
    /// Of these: taken by the vendor.
    pub accepted: i64,
    /// Refused by the vendor.
    pub refused: i64,
    /// Never left this machine.
    pub not_sent: i64,
    /// Surely not at the vendor.
    pub absent: i64,
    /// Nobody knows; left to a person, or given up by one.
    pub parked: i64,
    /// Not settled yet.
    pub open: i64,
    /// Calls that the ledger does not explain: 0, or something is wrong.
    pub difference: i64,
    /// Acceptances, counted from the events: equal to `accepted`.
    pub accepted_events: i64,
    /// What was spent, as far as the vendor's list says.
    pub credits: f64,
    /// Jobs at the vendor that no row claims and no open question explains.
    pub unclaimed: i64,
    /// What these cost, as far as the vendor's list says.
    pub unclaimed_credits: f64,
    /// Of these, jobs that may have been bought twice and about which nobody has answered.
    pub possible_duplicates: i64,
    /// What these cost.
    pub possible_duplicate_credits: f64,
    /// Jobs of which a person has said that they were bought twice.
    pub bought_twice: i64,
    /// What these cost.
    pub bought_twice_credits: f64,
}

impl SpendProof {
    /// Whether both sides agree.
    pub fn balances(&self) -> bool {
        self.difference == 0 && self.accepted == self.accepted_events
    }
}

/// A job at the vendor that no row claims.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, utoipa::ToSchema)]
pub struct UnclaimedJob {
    /// The vendor's id.
    pub remote_id: String,
    /// `candidate`, `possible_duplicate`, `training`, `open` or `foreign`; or what a person has
    /// said: `bought_twice`, `not_ours`.
    pub what: String,
    /// The vendor's word for its state.
    pub status: String,
    /// What it cost, as far as the vendor says.
    pub credits: Option<f64>,
    /// The row whose call may have made it.
    pub subject: Option<String>,
    /// When the vendor made it.
    pub created_at: Option<String>,
    /// When it was listed first.
    pub first_seen_at: String,
    /// Who has said what it is.
    pub answered_by: Option<String>,
    /// When.
    pub answered_at: Option<String>,
}

impl Store {
    /// What paid calls came to.
    ///
    /// # Errors
    /// A database error.
    pub async fn spend_proof(&self) -> Result<SpendProof> {
        Ok(sqlx::query_as(
            "SELECT paid_calls, accepted, refused, not_sent, absent, parked, open, difference, \
             accepted_events, CAST(credits AS REAL) AS credits, unclaimed, \
             CAST(unclaimed_credits AS REAL) AS unclaimed_credits, possible_duplicates, \
             CAST(possible_duplicate_credits AS REAL) AS possible_duplicate_credits, bought_twice, \
             CAST(bought_twice_credits AS REAL) AS bought_twice_credits FROM spend_proof",
        )
        .fetch_one(self.readers())
        .await?)
    }

    /// Jobs at the vendor that no row claims, newest first.
    ///
    /// # Errors
    /// A database error.
    pub async fn unclaimed(&self) -> Result<Vec<UnclaimedJob>> {
        Ok(sqlx::query_as(
            "SELECT remote_id, what, status, credits, subject, created_at, first_seen_at, \
             answered_by, answered_at FROM unclaimed ORDER BY first_seen_at DESC, remote_id",
        )
        .fetch_all(self.readers())
        .await?)
    }
}
