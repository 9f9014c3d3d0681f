//! Numbers for operators, counted when somebody asks.

use super::super::{Result, Store, table};
use super::Counts;
use crate::domain::ids::Millis;
use crate::domain::work::Kind;
use sqlx::{AssertSqlSafe, FromRow};

/// What the database says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Gauges {
    /// How many rows of each kind are in each state.
    pub rows: Counts,
    /// Since when the outcome of the oldest call in doubt is unknown.
    pub oldest_in_doubt: Option<Millis>,
    /// Rows that are due to be sent, by kind.
    pub due: Vec<(Kind, i64)>,
    /// What paid calls came to.
    pub credits: Vec<Spent>,
    /// How many things wait for a person.
    pub attention: i64,
}

/// Paid calls of one outcome.
#[derive(Clone, Debug, PartialEq, FromRow)]
pub struct Spent {
    /// `reserved`, `settled`, `released` or `held`.
    pub state: String,
    /// How many.
    pub calls: i64,
    /// Their credits, as far as the vendor's list says.
    pub credits: f64,
}

impl Store {
    /// How many rows are not finished, counted up to a little more than `most`. Rows that wait for
    /// others are counted by what they wait for.
    ///
    /// # Errors
    /// A database error.
    pub async fn unfinished(&self, most: u32) -> Result<u64> {
        let limit = i64::from(most) + 1;
        let mut parts: Vec<String> = Vec::new();
        for kind in Kind::ALL {
            // Each condition is that of a partial index, so nothing finished is read.
            for state in [
                "state = 'queued'",
                "state = 'running'",
                "state = 'submitting'",
                "state IN ('in_doubt','collecting') AND due_at IS NOT NULL",
            ] {
                parts.push(format!("SELECT 1 FROM {} WHERE {state}", table(kind)));
            }
        }
        parts.push("SELECT 1 FROM dependencies WHERE satisfied_at IS NULL".to_owned());
        let rows = parts.join(" UNION ALL ");
        let sql = format!("SELECT count(*) FROM (SELECT 1 FROM ({rows}) LIMIT {limit})");
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(self.readers()).await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// The numbers for operators.
    ///
    /// # Errors
    /// A database error.
    pub async fn gauges(&self) -> Result<Gauges> {
        let now = self.now();
        // A call whose outcome nobody knows is open, and few are: the index holds only those.
        let oldest: Option<Millis> =
            sqlx::query_scalar("SELECT min(doubt_at) FROM intents WHERE settled_at IS NULL")
                .fetch_one(self.readers())
                .await?;
        let mut due = Vec::new();
        for kind in Kind::ALL {
            let table = table(kind);
            let waiting = format!(
                "SELECT count(*) FROM {table} WHERE state = 'queued' AND (due_at IS NULL OR \
                 due_at <= $1)"
            );
            let count: i64 = sqlx::query_scalar(AssertSqlSafe(waiting))
                .bind(now)
                .fetch_one(self.readers())
                .await?;
            due.push((kind, count));
        }
        let credits = sqlx::query_as(
            "SELECT state, count(*) AS calls, CAST(coalesce(sum(credits), 0) AS REAL) AS credits \
             FROM ledger GROUP BY state ORDER BY state",
        )
        .fetch_all(self.readers())
        .await?;
        let (rows, attention) = (self.counts().await?, self.attention_count().await?);
        Ok(Gauges { rows, oldest_in_doubt: oldest, due, credits, attention })
    }
}
