//! The rows of a change of a model, written by hand in darkroom's own schema: what its tables,
//! indexes, checks and history cost before any program is around them.

use crate::{Result, cpu_seconds, print};
use rusqlite::{Connection, Statement, params};
use std::time::Instant;

const SCHEMA: &str = include_str!("../../../migrations/0001_initial.sql");

const ORDER: &str = "INSERT INTO changes (id, state, due_at, waiting_for, created_at, updated_at, \
    model_id, action, fields, target_kind, target) \
    VALUES (?1, 'queued', ?2, 0, ?2, ?2, ?3, 'update', ?4, 'model', ?3)";
const INTENT: &str = "INSERT INTO intents (seq, kind, subject, attempt, lane, boot, request_hash, \
    request, vendor_time, listed_seq, expects, opened_at, dated) \
    VALUES (?1, 'change', ?2, 1, 'changes:' || ?3, 1, ?4, '{}', 5, 0, '{}', ?5, 1)";
const CLAIM: &str = "UPDATE changes SET state = 'submitting', due_at = NULL, intent = ?2, \
    attempt = 1, version = version + 1, updated_at = ?3 WHERE id = ?1 AND version = 1";
const SETTLE: &str = "UPDATE intents SET settled_at = ?2, outcome = 'accepted', evidence = ?3 \
    WHERE seq = ?1";
const FINISH: &str = "UPDATE changes SET state = 'succeeded', intent = NULL, remote_id = ?2, \
    accepted_at = ?3, finished_at = ?3, version = version + 1, updated_at = ?3 \
    WHERE id = ?1 AND version = 2";
const MODEL: &str = "UPDATE models SET name = 'Ann', age = 31, gender = 'Female', \
    ethnicity = NULL, eye_color = NULL WHERE id = ?1";
const EVENT: &str = "INSERT INTO events (at, kind, subject, version, from_state, to_state, cause, \
    actor, detail) VALUES (?1, 'change', ?2, ?3, ?4, ?5, ?6, 'daemon', ?7)";

const FIELDS: &str = r#"{"name":"Ann","age":31,"gender":"Female","ethnicity":null}"#;
const NOW: i64 = 1_800_000_000_000;

/// Ids in the order of their making, as UUIDv7 are.
fn id(n: usize) -> String {
    let scrambled = (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) & 0xFFFF_FFFF_FFFF;
    format!("019f{:04x}-{:04x}-7000-8000-{scrambled:012x}", n >> 16, n & 0xFFFF)
}

fn event(
    statement: &mut Statement<'_>,
    subject: &str,
    version: i64,
    (from, to, cause): (Option<&str>, &str, &str),
    detail: &str,
) -> Result<()> {
    statement.execute(params![NOW, subject, version, from, to, cause, detail])?;
    Ok(())
}

/// Orders, claims and finishes `jobs` changes, `at_once` of them in each commit.
pub(crate) fn burst(path: &str, jobs: usize, at_once: usize) -> Result<()> {
    crate::queue::remove(path);
    let mut conn = Connection::open(path)?;
    conn.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=on;
         PRAGMA cache_size=-64000;",
    )?;
    conn.execute_batch(SCHEMA)?;
    prepare(&mut conn, jobs)?;
    let (cpu, begun) = (cpu_seconds()?, Instant::now());
    let ids: Vec<usize> = (0..jobs).collect();
    for step in [order, claim, finish] {
        for numbers in ids.chunks(at_once) {
            let transaction = conn.transaction()?;
            step(&transaction, numbers, jobs)?;
            transaction.commit()?;
        }
    }
    let (seconds, count) = (begun.elapsed().as_secs_f64(), jobs as f64);
    print(&[
        ("jobs_s", count / seconds),
        ("cpu_us_per_job", (cpu_seconds()? - cpu) * 1e6 / count),
        ("commits_per_job", 3.0 / at_once as f64),
    ]);
    drop(conn);
    crate::queue::remove(path);
    Ok(())
}

/// The models that the changes are about.
fn prepare(conn: &mut Connection, jobs: usize) -> Result<()> {
    let transaction = conn.transaction()?;
    transaction.execute("INSERT INTO boots (started_at, pid, version) VALUES (1, 1, 'x')", [])?;
    {
        let mut model = transaction.prepare(
            "INSERT INTO models (id, state, created_at, updated_at, finished_at, name, remote_id) \
             VALUES (?1, 'succeeded', 1, 1, 1, 'Ann', 'm' || ?1)",
        )?;
        for n in 0..jobs {
            model.execute([id(n)])?;
        }
    }
    transaction.commit()?;
    conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}

fn order(conn: &Connection, numbers: &[usize], jobs: usize) -> Result<()> {
    let mut row = conn.prepare_cached(ORDER)?;
    let mut history = conn.prepare_cached(EVENT)?;
    for n in numbers {
        let change = id(jobs + n);
        row.execute(params![change, NOW, id(*n), FIELDS])?;
        event(&mut history, &change, 1, (None, "queued", "created"), r#"{"action":"update"}"#)?;
    }
    Ok(())
}

fn claim(conn: &Connection, numbers: &[usize], jobs: usize) -> Result<()> {
    let mut intent = conn.prepare_cached(INTENT)?;
    let mut row = conn.prepare_cached(CLAIM)?;
    let mut history = conn.prepare_cached(EVENT)?;
    for n in numbers {
        let (change, seq) = (id(jobs + n), *n as i64 + 1);
        intent.execute(params![seq, change, id(*n), "ab".repeat(32), NOW])?;
        row.execute(params![change, seq, NOW])?;
        let moved = (Some("queued"), "submitting", "send_started");
        event(&mut history, &change, 2, moved, r#"{"send_started":{"intent":1}}"#)?;
    }
    Ok(())
}

fn finish(conn: &Connection, numbers: &[usize], jobs: usize) -> Result<()> {
    let mut intent = conn.prepare_cached(SETTLE)?;
    let mut row = conn.prepare_cached(FINISH)?;
    let mut model = conn.prepare_cached(MODEL)?;
    let mut history = conn.prepare_cached(EVENT)?;
    for n in numbers {
        let (change, seq) = (id(jobs + n), *n as i64 + 1);
        let told = r#"{"event":{"accepted":{"remote_id":"x"}},"seen":null}"#;
        intent.execute(params![seq, NOW, told])?;
        row.execute(params![change, "x", NOW])?;
        model.execute([id(*n)])?;
        let moved = (Some("submitting"), "succeeded", "accepted");
        event(&mut history, &change, 3, moved, r#"{"accepted":{"remote_id":"x"}}"#)?;
    }
    Ok(())
}
