//! What every paid call came to: one row per call, moved in the transaction that moves its work.
//!
//! The other side of the book is `events`; the view `spend_proof` holds the two together.

use super::Result;
use super::apply::Facts;
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

/// What an event means for a paid call of its row: the one that it is about, else the newest that
/// has no job.
pub(super) async fn follow(
    tx: &mut Tx<'_>,
    before: &Work,
    after: &Work,
    event: &Event,
    facts: &Facts,
) -> Result<()> {
    if !after.kind.is_paid() {
        return Ok(());
    }
    if let (Event::Adopt { remote_id, .. }, Some(old)) = (event, &before.remote_id) {
        return other_job(tx, old, remote_id).await;
    }
    let of = facts.bought_by.or(facts.late_of).or(facts.parked_of);
    let Some(outcome) = entry(before, after, event, facts.late_of.is_some()) else {
        return Ok(());
    };
    put(tx, after.id, of, outcome, after.remote_id.as_deref()).await?;
    // What is adopted is an earlier call's: whether the one in doubt bought too, nobody knows.
    if let (Some(open), Some(of), Event::Adopt { .. }) = (before.state.intent(), of, event)
        && open != of
    {
        put(tx, after.id, Some(open), PARKED, None).await?;
    }
    Ok(())
}

/// What an accepted call bought is another job than was thought.
async fn other_job(tx: &mut Tx<'_>, old: &str, new: &str) -> Result<()> {
    sqlx::query(
        "UPDATE ledger SET remote_id = $2, updated_at = $3, \
         credits = (SELECT credits FROM listed_jobs l WHERE l.remote_id = $2) \
         WHERE remote_id = $1 AND outcome = 'accepted'",
    )
    .bind(old)
    .bind(new)
    .bind(tx.now)
    .execute(tx.conn().await?)
    .await?;
    Ok(())
}

/// State and outcome of a call.
type Entry = (&'static str, &'static str);

const ACCEPTED: Entry = ("settled", "accepted");
const ABSENT: Entry = ("released", "absent");
const PARKED: Entry = ("held", "parked");

fn entry(before: &Work, after: &Work, event: &Event, late: bool) -> Option<Entry> {
    match event {
        Event::Accepted { .. } | Event::Found { .. } | Event::Adopt { .. } => Some(ACCEPTED),
        Event::Absent { .. } => Some(ABSENT),
        Event::Resubmit { .. } if before.remote_id.is_none() => Some(ABSENT),
        // Its money may be gone, and nobody knows.
        Event::NeedsPerson { .. } if late || before.state.intent().is_some() => Some(PARKED),
        Event::Abandon { .. } if before.state.intent().is_some() => Some(PARKED),
        Event::CallFailed { failure } if after.state.intent().is_none() => {
            Some(match failure.class {
                FailureClass::NotSent => ("released", "not_sent"),
                _ => ("released", "refused"),
            })
        }
        // Given up after it was parked: nobody will ever know whether it was bought, so its money
        // stays held.
        _ => None,
    }
}

async fn put(
    tx: &mut Tx<'_>,
    subject: Id,
    of: Option<i64>,
    (state, outcome): Entry,
    remote_id: Option<&str>,
) -> Result<()> {
    sqlx::query(
        "UPDATE ledger SET state = $1, outcome = $2, remote_id = $3, updated_at = $4, \
         credits = (SELECT credits FROM listed_jobs l WHERE l.remote_id = $3) \
         WHERE intent = coalesce((SELECT intent FROM ledger WHERE intent = $6 AND subject = $5 \
             AND outcome IN ('open','parked','absent')), \
           (SELECT max(intent) FROM ledger WHERE subject = $5 \
             AND outcome IN ('open','parked','absent')))",
    )
    .bind(state)
    .bind(outcome)
    .bind(remote_id.filter(|_| outcome == "accepted"))
    .bind(tx.now)
    .bind(subject.to_string())
    .bind(of)
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
