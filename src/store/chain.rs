//! A hash chain over calls and their outcomes.
//!
//! Each entry holds a digest of what the intent's row said at that moment, and a head that covers
//! all entries before it. So a row that is edited, removed or replaced by an older copy shows, and
//! the head alone, kept in the high-water file, stands for the whole history.

use super::writer::Tx;
use super::{Result, Store};
use crate::domain::ids::Millis;
use crate::domain::quarantine::{Chain, Mark};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::FromRow;

/// How many of the newest entries are checked before anything is sent.
pub const TAIL: u32 = 1000;
/// Intents in these lanes are harmless repeats and no part of the chain.
const IN_CHAIN: &str = "lane NOT LIKE 'download:%' AND lane NOT LIKE 'changes:%'";

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A call is about to go out.
    Opened,
    /// What came of it is known.
    Settled,
}

impl What {
    fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Settled => "settled",
        }
    }
}

/// What of an intent's row never changes once it is written: the first part when it opens, the
/// rest when it settles.
#[derive(Clone, Debug, FromRow)]
struct IntentFacts {
    seq: i64,
    kind: String,
    subject: String,
    lane: String,
    attempt: i64,
    request_hash: String,
    vendor_time: Millis,
    listed_seq: i64,
    opened_at: Millis,
    settled_at: Option<Millis>,
    outcome: Option<String>,
    evidence: Option<String>,
}

const INTENT_FACTS: &str = "i.seq, i.kind, i.subject, i.lane, i.attempt, i.request_hash, \
     i.vendor_time, i.listed_seq, i.opened_at, i.settled_at, i.outcome, i.evidence";

impl IntentFacts {
    fn is_harmless(&self) -> bool {
        self.lane.starts_with("download:") || self.lane.starts_with("changes:")
    }

    fn digest(&self, what: &str) -> String {
        let said = match what {
            "opened" => json!([
                self.seq,
                self.kind,
                self.subject,
                self.lane,
                self.attempt,
                self.request_hash,
                self.vendor_time,
                self.listed_seq,
                self.opened_at,
            ]),
            _ => json!([self.seq, self.outcome, self.settled_at, self.evidence]),
        };
        sha256(&said.to_string())
    }
}

fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

fn next_head(previous: &str, seq: i64, what: &str, digest: &str) -> String {
    sha256(&format!("{previous}\n{seq}\n{what}\n{digest}"))
}

/// Appends an entry about an intent, in the transaction that changed it.
pub(super) async fn append(tx: &mut Tx<'_>, intent: i64, what: What) -> Result<()> {
    let sql = format!("SELECT {INTENT_FACTS} FROM intents i WHERE i.seq = $1");
    let facts: IntentFacts =
        sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(intent).fetch_one(&mut *tx.conn).await?;
    if facts.is_harmless() {
        return Ok(());
    }
    let word = what.as_str();
    insert(tx, Some(intent), word, None, &facts.digest(word)).await
}

/// Appends the entry of a release; `note` says who and why, as JSON.
pub(super) async fn append_release(tx: &mut Tx<'_>, note: &str) -> Result<()> {
    insert(tx, None, "released", Some(note), &sha256(note)).await
}

async fn insert(
    tx: &mut Tx<'_>,
    intent: Option<i64>,
    what: &str,
    note: Option<&str>,
    digest: &str,
) -> Result<()> {
    let last: Option<(i64, String)> =
        sqlx::query_as("SELECT seq, head FROM chain ORDER BY seq DESC LIMIT 1")
            .fetch_optional(&mut *tx.conn)
            .await?;
    let (last, previous) = last.unwrap_or_default();
    let seq = last + 1;
    sqlx::query(
        "INSERT INTO chain (seq, at, intent, what, note, digest, head) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(seq)
    .bind(tx.now)
    .bind(intent)
    .bind(what)
    .bind(note)
    .bind(digest)
    .bind(next_head(&previous, seq, what, digest))
    .execute(&mut *tx.conn)
    .await?;
    Ok(())
}

/// An entry and the intent it is about.
#[derive(Debug, FromRow)]
struct Entry {
    number: i64,
    what: String,
    note: Option<String>,
    digest: String,
    head: String,
    intent: Option<i64>,
    /// Whether the intent's end is in the chain, too.
    ended: bool,
    #[sqlx(flatten)]
    facts: MaybeFacts,
}

/// The same columns when the intent may be gone.
#[derive(Debug)]
struct MaybeFacts(Option<IntentFacts>);

impl<'r> FromRow<'r, sqlx::sqlite::SqliteRow> for MaybeFacts {
    fn from_row(row: &'r sqlx::sqlite::SqliteRow) -> sqlx::Result<Self> {
        use sqlx::Row;
        let known: Option<i64> = row.try_get("seq")?;
        Ok(Self(known.map(|_| IntentFacts::from_row(row)).transpose()?))
    }
}

/// Which part of the chain was checked, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The last entry of the part.
    pub upto: i64,
    /// Whether nothing comes after it.
    pub at_end: bool,
    /// What is wrong.
    pub fault: Option<String>,
}

/// What is wrong with consecutive entries after (`seq`, `head`).
fn fault_in(mut seq: i64, mut head: String, entries: &[Entry]) -> Option<String> {
    for entry in entries {
        let number = entry.number;
        if number != seq + 1 {
            return Some(format!("entry {} is missing", seq + 1));
        }
        if entry.head != next_head(&head, number, &entry.what, &entry.digest) {
            return Some(format!("entry {number} does not follow from the one before it"));
        }
        let digest = match (&entry.facts.0, &entry.note) {
            (Some(facts), _) => facts.digest(&entry.what),
            (None, Some(note)) => sha256(note),
            (None, None) => {
                let intent = entry.intent.unwrap_or(0);
                return Some(format!("entry {number} is about the call {intent}, which is gone"));
            }
        };
        if digest != entry.digest {
            return Some(format!("what entry {number} is about has been changed since"));
        }
        if let Some(facts) = &entry.facts.0
            && facts.settled_at.is_some()
            && !entry.ended
        {
            return Some(format!("the end of the call {} is not recorded", facts.seq));
        }
        (seq, head) = (number, entry.head.clone());
    }
    None
}

impl Store {
    /// The newest entry of the chain, and the newest intent.
    ///
    /// # Errors
    /// A database error.
    pub async fn chain_tip(&self) -> Result<Mark> {
        let tip: Option<(i64, String, i64)> = sqlx::query_as(
            "SELECT seq, head, (SELECT coalesce(max(seq), 0) FROM intents) FROM chain \
             ORDER BY seq DESC LIMIT 1",
        )
        .fetch_optional(self.readers())
        .await?;
        Ok(tip.map_or_else(Mark::default, |(counter, head, intent)| Mark { counter, intent, head }))
    }

    /// The head of one entry.
    ///
    /// # Errors
    /// A database error.
    pub async fn chain_head(&self, seq: i64) -> Result<Option<String>> {
        Ok(sqlx::query_scalar("SELECT head FROM chain WHERE seq = $1")
            .bind(seq)
            .fetch_optional(self.readers())
            .await?)
    }

    /// What is to be compared with a file whose counter is `file`.
    ///
    /// # Errors
    /// A database error.
    pub async fn chain_facts(&self, file: Option<i64>) -> Result<Chain> {
        let tip = self.chain_tip().await?;
        let head_at_file = match file {
            Some(counter) => self.chain_head(counter).await?,
            None => None,
        };
        // One more, so that the end is seen to be the end.
        let fault = self.check_chain(tip.counter - i64::from(TAIL), TAIL + 1).await?.fault;
        Ok(Chain { tip, head_at_file, fault })
    }

    /// Checks at most `limit` entries after `seq` against each other and against the calls they
    /// are about. What a person has released is not brought up again: the newest release is the
    /// first entry that is ever checked.
    ///
    /// # Errors
    /// A database error.
    pub async fn check_chain(&self, seq: i64, limit: u32) -> Result<Checked> {
        let (released, intents): (i64, i64) = sqlx::query_as(
            "SELECT coalesce(max(seq), 1) - 1, \
             coalesce((SELECT json_extract(note, '$.intent') FROM chain WHERE what = 'released' \
               ORDER BY seq DESC LIMIT 1), 0) \
             FROM chain WHERE what = 'released'",
        )
        .fetch_one(self.readers())
        .await?;
        let from = seq.max(released).max(0);
        let head = match self.chain_head(from).await? {
            Some(head) => head,
            None if from == 0 => String::new(),
            // A release follows from whatever was there, if only a gap.
            None => {
                let before = "SELECT head FROM chain WHERE seq < $1 ORDER BY seq DESC LIMIT 1";
                let before: Option<String> =
                    sqlx::query_scalar(before).bind(from).fetch_optional(self.readers()).await?;
                before.unwrap_or_default()
            }
        };
        let sql = format!(
            "SELECT c.seq AS number, c.what, c.note, c.digest, c.head, c.intent, \
             EXISTS (SELECT 1 FROM chain e WHERE e.intent = c.intent AND e.what = 'settled') \
               AS ended, {INTENT_FACTS} \
             FROM chain c LEFT JOIN intents i ON i.seq = c.intent \
             WHERE c.seq > $1 ORDER BY c.seq LIMIT $2"
        );
        let entries: Vec<Entry> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(from)
            .bind(limit)
            .fetch_all(self.readers())
            .await?;
        let at_end = entries.len() < usize::try_from(limit).unwrap_or(usize::MAX);
        let upto = entries.last().map_or(from, |entry| entry.number);
        let fault = match fault_in(from, head, &entries) {
            Some(fault) => Some(fault),
            None => self.unrecorded(&entries, intents, at_end).await?,
        };
        Ok(Checked { upto, at_end, fault })
    }

    /// A call between those that the entries opened, and newer than `after`, that is not in the
    /// chain.
    async fn unrecorded(
        &self,
        entries: &[Entry],
        after: i64,
        at_end: bool,
    ) -> Result<Option<String>> {
        let opened = entries.iter().filter(|entry| entry.what == "opened");
        let mut numbers: Vec<i64> = opened.filter_map(|entry| entry.intent).collect();
        numbers.sort_unstable();
        let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else {
            return Ok(None);
        };
        let sql = format!(
            "SELECT min(seq) FROM intents i WHERE seq > $1 AND seq BETWEEN $2 AND $3 \
             AND {IN_CHAIN} AND NOT EXISTS \
             (SELECT 1 FROM chain c WHERE c.intent = i.seq AND c.what = 'opened')"
        );
        let missing: Option<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(after)
            .bind(first)
            .bind(if at_end { i64::MAX } else { *last })
            .fetch_one(self.readers())
            .await?;
        Ok(missing.map(|intent| format!("the call {intent} is not recorded")))
    }
}
