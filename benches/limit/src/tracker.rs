//! A tracker near the limit: one request per job and interval, a heap of due times, one client that
//! keeps its connections, 64 requests in flight at most. A job that has ended is stored durably.

use crate::{Result, cpu_seconds, memory_kib, print};
use rusqlite::{Connection, params};
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};

/// Due time, and the vendor's id.
type Heap = Arc<Mutex<BinaryHeap<Reverse<(Instant, Arc<str>)>>>>;

/// Polls the jobs named in a file (one id a line) every `interval` seconds and prints what it cost
/// over `window` seconds, after one interval to get going: BASE IDS DATABASE INTERVAL WINDOW.
///
/// The looks are spread evenly over the interval, as jobs are that were ordered one after the other;
/// `together` has all of them at once, which costs least.
pub(crate) fn run(
    base: &str,
    ids: &str,
    db: &str,
    (interval, window): (usize, usize),
    together: bool,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(track(base, ids, db, (interval, window), together))
}

async fn track(
    base: &str,
    ids: &str,
    db: &str,
    (interval, window): (usize, usize),
    together: bool,
) -> Result<()> {
    let bare = memory_kib("VmRSS")?;
    let interval = Duration::from_secs(interval as u64);
    let heap = Heap::default();
    let ids: Vec<Arc<str>> = std::fs::read_to_string(ids)?.lines().map(Into::into).collect();
    let count = ids.len() as f64;
    let start = Instant::now();
    let spread = if together { Duration::ZERO } else { interval };
    for (n, id) in ids.into_iter().enumerate() {
        lock(&heap).push(Reverse((start + spread.mul_f64(n as f64 / count), id)));
    }
    let (ended, inbox) = mpsc::unbounded_channel();
    let path = db.to_owned();
    let writer = std::thread::spawn(move || write(&path, inbox));
    let (opens, closes) = (start + interval, start + interval + Duration::from_secs(window as u64));
    let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(64).build()?;
    let slots = Arc::new(Semaphore::new(64));
    let (mut requests, mut opened) = (0u64, None);
    while Instant::now() < closes {
        if opened.is_none() && Instant::now() >= opens {
            opened = Some((cpu_seconds()?, Instant::now(), requests));
        }
        let now = Instant::now();
        let due: Vec<Arc<str>> = {
            let mut heap = lock(&heap);
            let mut due = Vec::new();
            while due.len() < 256 && heap.peek().is_some_and(|Reverse((at, _))| *at <= now) {
                due.extend(heap.pop().map(|Reverse((_, id))| id));
            }
            due
        };
        if due.is_empty() {
            let next = lock(&heap).peek().map(|Reverse((at, _))| at.saturating_duration_since(now));
            let pause = next.unwrap_or(interval);
            tokio::time::sleep(pause.clamp(Duration::from_millis(2), Duration::from_millis(250)))
                .await;
            continue;
        }
        for id in due {
            requests += 1;
            let slot = slots.clone().acquire_owned().await?;
            let request = http.get(format!("{base}/jobs/{id}"));
            let (heap, ended) = (heap.clone(), ended.clone());
            tokio::spawn(async move {
                let over = poll(request).await.unwrap_or(false);
                drop(slot);
                match over {
                    true => drop(ended.send(id)),
                    false => lock(&heap).push(Reverse((Instant::now() + interval, id))),
                }
            });
        }
    }
    let (cpu, since, before) = opened.ok_or("the window never opened")?;
    let seconds = since.elapsed().as_secs_f64();
    let used = cpu_seconds()? - cpu;
    print(&[
        ("cpu_percent", used / seconds * 100.0),
        ("requests_s", (requests - before) as f64 / seconds),
        ("cpu_us_per_request", used * 1e6 / (requests - before).max(1) as f64),
        ("rss_kib", memory_kib("VmRSS")?),
        ("bare_rss_kib", bare),
    ]);
    drop(ended);
    // Tasks in flight hold a sender until the runtime ends with this function.
    drop(writer);
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a job is over.
async fn poll(request: reqwest::RequestBuilder) -> Result<bool> {
    let request = request.header("authorization", "Bearer bench").header("api-version", "1");
    let reply: Value = request.send().await?.json().await?;
    Ok(matches!(reply["result"]["status"].as_str(), Some("success" | "failed")))
}

/// Stores what ended, whatever waits in one commit.
fn write(path: &str, mut inbox: mpsc::UnboundedReceiver<Arc<str>>) -> Result<()> {
    let mut conn = Connection::open(path)?;
    conn.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
         CREATE TABLE IF NOT EXISTS ended(id TEXT PRIMARY KEY);",
    )?;
    while let Some(first) = inbox.blocking_recv() {
        let transaction = conn.transaction()?;
        {
            let mut insert =
                transaction.prepare_cached("INSERT OR IGNORE INTO ended VALUES(?1)")?;
            insert.execute(params![&*first])?;
            while let Ok(next) = inbox.try_recv() {
                insert.execute(params![&*next])?;
            }
        }
        transaction.commit()?;
    }
    Ok(())
}
