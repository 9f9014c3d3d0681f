//! What every paid call came to: one row per call, moved in the transaction that moves its work.
//!
//! The other side of the book is `events`; the view `spend_proof` holds the two together.

use super::Result;
use super::intents::PAID_LANE;
use super::writer::Tx;
use crate::domain::event::Event;
use crate::domain::failure::FailureClass;
use crate::domain::ids::Id;
use crate::domain::work::Work;

/// Opens the account of a call that is about to go out, if it is a paid one.
pub(super) async fn reserve(tx: &mut Tx<'_>, intent: i64, lane: &str) -> Result<()> {
    if lane != PAID_LANE {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO ledger (intent, kind, subject, state, outcome, opened_at, updated_at) \
         SELECT seq, kind, subject, 'reserved', 'open', opened_at, opened_at FROM intents \
         WHERE seq = $1 AND lane = $2",
    )
    .bind(intent)
    .bind(PAID_LANE)
    .execute(tx.conn().await?)
    .await?;
    Ok(())
}

/// What an event means for the newest paid call of its row.
pub(super) async fn follow(
    tx: &mut Tx<'_>,
    before: &Work,
    after: &Work,
    event: &Event,
    late: bool,
) -> Result<()> {
    if !after.kind.is_paid() {
        return Ok(());
    }
    match entry(before, after, event, late) {
        Some((state, outcome)) => {
            put(tx, after.id, state, outcome, after.remote_id.as_deref()).await
        }
        None => Ok(()),
    }
}

fn entry(
    before: &Work,
    after: &Work,
    event: &Event,
    late: bool,
) -> Option<(&'static str, &'static str)> {
    match event {
        Event::Accepted { .. } | Event::Found { .. } | Event::Adopt { .. } => {
            Some(("settled", "accepted"))
        }
        Event::Absent { .. } => Some(("released", "absent")),
        Event::Resubmit { .. } if before.remote_id.is_none() => Some(("released", "absent")),
        // Its money may be gone, and nobody knows.
        Event::NeedsPerson { .. } if late || before.state.intent().is_some() => {
            Some(("held", "parked"))
        }
        Event::CallFailed { failure } if after.state.intent().is_none() => {
            Some(match failure.class {
                FailureClass::NotSent => ("released", "not_sent"),
                _ => ("released", "refused"),
            })
        }
        // Given up: nobody will ever know whether it was bought, so its money stays held.
        _ => None,
    }
}

async fn put(
    tx: &mut Tx<'_>,
    subject: Id,
    state: &str,
    outcome: &str,
    remote_id: Option<&str>,
) -> Result<()> {
    sqlx::query(
        "UPDATE ledger SET state = $1, outcome = $2, remote_id = $3, updated_at = $4, \
         credits = (SELECT credits FROM listed_jobs l WHERE l.remote_id = $3) \
         WHERE intent = (SELECT max(intent) FROM ledger WHERE subject = $5 \
           AND outcome IN ('open','parked','absent'))",
    )
    .bind(state)
    .bind(outcome)
    .bind(remote_id.filter(|_| outcome == "accepted"))
    .bind(tx.now)
    .bind(subject.to_string())
    .execute(tx.conn().await?)
    .await?;
    Ok(())
}

/// Credits come from the vendor's list only (vendor-api.md 2.15): entries of `listed` (a JSON array
/// of listed jobs) that changed.
pub(super) async fn settle_credits(tx: &mut Tx<'_>, listed: &str) -> Result<()> {
    for table in ["jobs", "ledger"] {
        let sql = format!(
            "UPDATE {table} SET credits = \
               (SELECT l.credits FROM listed_jobs l WHERE l.remote_id = {table}.remote_id) \
             WHERE remote_id IN (SELECT json_extract(value, '$.remote_id') FROM json_each($1)) \
             AND credits IS NOT \
               (SELECT l.credits FROM listed_jobs l WHERE l.remote_id = {table}.remote_id)"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql)).bind(listed).execute(tx.conn().await?).await?;
    }
    // A training that has an entry of its own in the list.
    sqlx::query(
        "UPDATE ledger SET credits = l.credits FROM listed_jobs l \
         WHERE l.training = ledger.subject AND ledger.outcome = 'accepted' \
         AND ledger.credits IS NOT l.credits",
    )
    .execute(tx.conn().await?)
    .await?;
    Ok(())
}
