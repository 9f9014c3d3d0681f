//! A queue with group commit, `synchronous=FULL`: what accept, claim and finish cost at least.

use crate::{Result, cpu_seconds, memory_kib, print, share, since_launch_ms};
use rusqlite::{Connection, params};
use std::sync::mpsc;
use std::time::Instant;

/// Callers that share one commit at most.
const BATCH: usize = 1000;

fn open(path: &str, synchronous: &str) -> Result<Connection> {
    let conn = Connection::open(path)?;
    conn.execute_batch(&format!(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous}; PRAGMA busy_timeout=5000;
         PRAGMA cache_size=-64000;
         CREATE TABLE IF NOT EXISTS jobs(
           id INTEGER PRIMARY KEY, state INTEGER NOT NULL, due_at INTEGER NOT NULL,
           remote_id TEXT, payload TEXT NOT NULL, outputs TEXT, updated_at INTEGER NOT NULL);
         CREATE INDEX IF NOT EXISTS jobs_due ON jobs(due_at) WHERE state < 2;"
    ))?;
    Ok(conn)
}

pub(crate) fn remove(path: &str) {
    for suffix in ["", "-wal", "-shm"] {
        // What is not there need not go.
        let _ = std::fs::remove_file(format!("{path}{suffix}"));
    }
}

/// About 200 bytes: the size of an order for a picture.
fn payload() -> String {
    format!(
        "{{\"modelID\":\"m_0123456789\",\"prompt\":\"{}\",\"aspect\":\"9:16\"}}",
        "x".repeat(140)
    )
}

const INSERT: &str = "INSERT INTO jobs(state,due_at,payload,updated_at) VALUES(0,?1,?2,?1)";

/// Each of `producers` waits for the durable answer to one order before it gives the next; then all
/// are claimed and finished, `producers` at a time, each step durable before it counts.
pub(crate) fn burst(path: &str, jobs: usize, producers: usize) -> Result<()> {
    remove(path);
    let mut conn = open(path, "FULL")?;
    let payload = payload();
    let (orders, inbox) = mpsc::sync_channel::<mpsc::SyncSender<()>>(4096);
    let cpu = cpu_seconds()?;
    let begun = Instant::now();
    let each = jobs / producers;
    let threads: Vec<_> = (0..producers)
        .map(|_| {
            let orders = orders.clone();
            std::thread::spawn(move || produce(&orders, each))
        })
        .collect();
    drop(orders);
    let (mut accepted, mut commits) = (0usize, 0usize);
    while let Ok(first) = inbox.recv() {
        let mut batch = vec![first];
        batch.extend(inbox.try_iter().take(BATCH - 1));
        let transaction = conn.transaction()?;
        {
            let mut insert = transaction.prepare_cached(INSERT)?;
            for _ in &batch {
                insert.execute(params![accepted as i64, payload])?;
                accepted += 1;
            }
        }
        transaction.commit()?;
        commits += 1;
        batch.iter().for_each(|answer| {
            let _ = answer.send(());
        });
    }
    let accepting = begun.elapsed().as_secs_f64();
    let mut micros: Vec<f64> =
        threads.into_iter().filter_map(|t| t.join().ok()).flatten().collect();
    commits += work(&mut conn, accepted, producers)?;
    let seconds = begun.elapsed().as_secs_f64();
    let jobs = accepted as f64;
    print(&[
        ("jobs_s", jobs / seconds),
        ("accepts_s", jobs / accepting),
        ("cpu_us_per_job", (cpu_seconds()? - cpu) * 1e6 / jobs),
        ("commits_per_job", commits as f64 / jobs),
        ("accept_p50_us", share(&mut micros, 0.5)),
        ("accept_p99_us", share(&mut micros, 0.99)),
    ]);
    drop(conn);
    remove(path);
    Ok(())
}

/// One producer; answers how long each of its orders took, in microseconds.
fn produce(orders: &mpsc::SyncSender<mpsc::SyncSender<()>>, jobs: usize) -> Vec<f64> {
    let (answer, answered) = mpsc::sync_channel(1);
    let mut micros = Vec::with_capacity(jobs);
    for _ in 0..jobs {
        let begun = Instant::now();
        if orders.send(answer.clone()).is_err() || answered.recv().is_err() {
            break;
        }
        micros.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    micros
}

/// Claims and finishes all jobs; answers how many commits it took.
fn work(conn: &mut Connection, jobs: usize, at_once: usize) -> Result<usize> {
    let (mut done, mut commits) = (0usize, 0usize);
    let mut in_flight: Vec<i64> = Vec::new();
    while done < jobs {
        let transaction = conn.transaction()?;
        {
            let mut finish = transaction.prepare_cached(
                "UPDATE jobs SET state=2,outputs='{}',updated_at=1 WHERE id=?1 AND state=1",
            )?;
            for id in in_flight.drain(..) {
                done += finish.execute(params![id])?;
            }
            let mut claim = transaction.prepare_cached(
                "UPDATE jobs SET state=1,due_at=9e15,updated_at=1 WHERE id IN (SELECT id FROM jobs \
                 WHERE state<2 AND due_at<1e12 ORDER BY due_at LIMIT ?1) RETURNING id",
            )?;
            let ids = claim.query_map(params![at_once as i64], |row| row.get::<_, i64>(0))?;
            for id in ids {
                in_flight.push(id?);
            }
        }
        transaction.commit()?;
        commits += 1;
    }
    Ok(commits)
}

/// A file with this many pending rows.
pub(crate) fn fill(path: &str, rows: usize) -> Result<()> {
    remove(path);
    let mut conn = open(path, "OFF")?;
    let payload = payload();
    let transaction = conn.transaction()?;
    {
        let mut insert = transaction.prepare_cached(INSERT)?;
        for n in 0..rows {
            insert.execute(params![n as i64, payload])?;
        }
    }
    transaction.commit()?;
    conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}

/// Opens that file, takes the row that is due first through the index, and says when it had it.
pub(crate) fn restart(path: &str) -> Result<()> {
    let mut conn = open(path, "FULL")?;
    let transaction = conn.transaction()?;
    transaction.query_row(
        "UPDATE jobs SET state=1 WHERE id IN (SELECT id FROM jobs WHERE state<2 ORDER BY due_at \
         LIMIT 1) RETURNING id",
        [],
        |row| row.get::<_, i64>(0),
    )?;
    transaction.commit()?;
    print(&[("first_ms", since_launch_ms()?), ("peak_kib", memory_kib("VmHWM")?)]);
    Ok(())
}
