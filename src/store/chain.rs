//! A hash chain over calls and their outcomes.
//!
//! Each entry holds a digest of what the intent's row said at that moment, and a head that covers
//! all entries before it. So a row that is edited, removed or replaced by an older copy shows, and
//! the head alone, kept in the high-water file, stands for the whole history.

use super::writer::Tx;
use super::{Result, Store, settings};
use crate::domain::ids::Millis;
use crate::domain::quarantine::{Chain, Mark, Quarantine};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::{FromRow, SqliteConnection};

/// How many of the newest entries are checked before anything is sent.
pub const TAIL: u32 = 1000;
/// Intents in these lanes are harmless repeats and no part of the chain.
const IN_CHAIN: &str = "lane NOT LIKE 'download:%' AND lane NOT LIKE 'changes:%'";

fn is_harmless(lane: &str) -> bool {
    lane.starts_with("download:") || lane.starts_with("changes:")
}

/// What the entry of a call that goes out says about it.
pub(super) struct Opened<'a> {
    pub(super) seq: i64,
    pub(super) kind: &'a str,
    pub(super) subject: &'a str,
    pub(super) lane: &'a str,
    pub(super) attempt: i64,
    pub(super) request_hash: &'a str,
    pub(super) vendor_time: Millis,
    pub(super) listed_seq: i64,
    pub(super) opened_at: Millis,
}

impl Opened<'_> {
    fn said(&self) -> String {
        json!([
            self.seq,
            self.kind,
            self.subject,
            self.lane,
            self.attempt,
            self.request_hash,
            self.vendor_time,
            self.listed_seq,
            self.opened_at,
        ])
        .to_string()
    }
}

/// What the entry of a call's end says.
fn ended(
    seq: i64,
    outcome: Option<&str>,
    settled_at: Option<Millis>,
    evidence: Option<&str>,
) -> String {
    json!([seq, outcome, settled_at, evidence]).to_string()
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
    fn digest(&self, what: &str) -> String {
        sha256(&match what {
            "opened" => Opened {
                seq: self.seq,
                kind: &self.kind,
                subject: &self.subject,
                lane: &self.lane,
                attempt: self.attempt,
                request_hash: &self.request_hash,
                vendor_time: self.vendor_time,
                listed_seq: self.listed_seq,
                opened_at: self.opened_at,
            }
            .said(),
            _ => {
                ended(self.seq, self.outcome.as_deref(), self.settled_at, self.evidence.as_deref())
            }
        })
    }
}

fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

fn next_head(previous: &str, seq: i64, what: &str, digest: &str) -> String {
    sha256(&format!("{previous}\n{seq}\n{what}\n{digest}"))
}

/// Appends the entry of a call that is about to go out, in the transaction that stores it.
pub(super) async fn append_opened(tx: &mut Tx<'_>, intent: &Opened<'_>) -> Result<()> {
    if is_harmless(intent.lane) {
        return Ok(());
    }
    insert(tx, Some(intent.seq), "opened", None, &sha256(&intent.said())).await
}

/// Appends the entry of a call whose outcome is known, in the transaction that settles it.
pub(super) async fn append_settled(
    tx: &mut Tx<'_>,
    intent: i64,
    lane: &str,
    outcome: &str,
    evidence: &str,
) -> Result<()> {
    if is_harmless(lane) {
        return Ok(());
    }
    let digest = sha256(&ended(intent, Some(outcome), Some(tx.now), Some(evidence)));
    insert(tx, Some(intent), "settled", None, &digest).await
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
    let (last, previous) = match tx.batch().chain_tip.take() {
        Some(tip) => tip,
        None => sqlx::query_as("SELECT seq, head FROM chain ORDER BY seq DESC LIMIT 1")
            .fetch_optional(tx.aside())
            .await?
            .unwrap_or_default(),
    };
    let seq = last + 1;
    let head = next_head(&previous, seq, what, digest);
    let now = tx.now;
    tx.pending().chain.push(&(seq, now, intent, what, note, digest, &head))?;
    tx.batch().chain_tip = Some((seq, head));
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
        tip(&mut *self.readers().acquire().await?).await
    }

    /// What is to be compared with a file whose counter is `file`, and the quarantine that is
    /// stored. Asked through one connection: each one that a start opens reads the whole schema.
    ///
    /// # Errors
    /// A database error, or a stored value of another shape.
    pub async fn chain_facts(&self, file: Option<i64>) -> Result<(Chain, Option<Quarantine>)> {
        let conn = &mut *self.readers().acquire().await?;
        let tip = tip(conn).await?;
        let head_at_file = match file {
            Some(counter) => head_of(conn, counter).await?,
            None => None,
        };
        // One more, so that the end is seen to be the end.
        let fault = checked(conn, tip.counter - i64::from(TAIL), TAIL + 1).await?.fault;
        let quarantine = settings::stored(conn, super::quarantine::NAME).await?;
        Ok((Chain { tip, head_at_file, fault }, quarantine))
    }

    /// Checks at most `limit` entries after `seq` against each other and against the calls they
    /// are about. What a person has released is not brought up again: the newest release is the
    /// first entry that is ever checked.
    ///
    /// # Errors
    /// A database error.
    pub async fn check_chain(&self, seq: i64, limit: u32) -> Result<Checked> {
        checked(&mut *self.readers().acquire().await?, seq, limit).await
    }
}

async fn tip(conn: &mut SqliteConnection) -> Result<Mark> {
    let tip: Option<(i64, String, i64)> = sqlx::query_as(
        "SELECT seq, head, (SELECT coalesce(max(seq), 0) FROM intents) FROM chain \
         ORDER BY seq DESC LIMIT 1",
    )
    .fetch_optional(conn)
    .await?;
    Ok(tip.map_or_else(Mark::default, |(counter, head, intent)| Mark { counter, intent, head }))
}

/// The head of one entry.
async fn head_of(conn: &mut SqliteConnection, seq: i64) -> Result<Option<String>> {
    Ok(sqlx::query_scalar("SELECT head FROM chain WHERE seq = $1")
        .bind(seq)
        .fetch_optional(conn)
        .await?)
}

async fn checked(conn: &mut SqliteConnection, seq: i64, limit: u32) -> Result<Checked> {
    let (released, intents): (i64, i64) = sqlx::query_as(
        "SELECT coalesce(max(seq), 1) - 1, \
         coalesce((SELECT json_extract(note, '$.intent') FROM chain WHERE what = 'released' \
           ORDER BY seq DESC LIMIT 1), 0) \
         FROM chain WHERE what = 'released'",
    )
    .fetch_one(&mut *conn)
    .await?;
    let from = seq.max(released).max(0);
    let head = match head_of(conn, from).await? {
        Some(head) => head,
        None if from == 0 => String::new(),
        // A release follows from whatever was there, if only a gap.
        None => {
            let before = "SELECT head FROM chain WHERE seq < $1 ORDER BY seq DESC LIMIT 1";
            let before: Option<String> =
                sqlx::query_scalar(before).bind(from).fetch_optional(&mut *conn).await?;
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
        .fetch_all(&mut *conn)
        .await?;
    let at_end = entries.len() < usize::try_from(limit).unwrap_or(usize::MAX);
    let upto = entries.last().map_or(from, |entry| entry.number);
    let fault = match fault_in(from, head, &entries) {
        Some(fault) => Some(fault),
        None => unrecorded(conn, &entries, intents, at_end).await?,
    };
    Ok(Checked { upto, at_end, fault })
}

/// A call between those that the entries opened, and newer than `after`, that is not in the
/// chain.
async fn unrecorded(
    conn: &mut SqliteConnection,
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
        .fetch_one(conn)
        .await?;
    Ok(missing.map(|intent| format!("the call {intent} is not recorded")))
}
