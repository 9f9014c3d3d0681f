//! What this machine can do at best: raw syncs, a group-commit queue on SQLite, a start from an
//! index, and a tracker that does nothing but poll. Each command prints one line of JSON.
//!
//! None of it is a product: no retries, no back-off, no limits, no interface, one table.

mod queue;
mod rows;
mod tracker;

use std::io::{Seek, SeekFrom, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Anything that went wrong; the process says it and ends.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let text = |n: usize| args.get(n).map(String::as_str).ok_or(format!("argument {n} is missing"));
    let number = |n: usize| -> Result<usize> { Ok(text(n)?.parse()?) };
    match text(0)? {
        "fsync" => fsync(text(1)?, number(2)?, number(3)?),
        "idle" => idle(text(1)?, number(2)?, number(3)?),
        "burst" => queue::burst(text(1)?, number(2)?, number(3)?),
        "rows" => rows::burst(text(1)?, number(2)?, number(3)?),
        "fill" => queue::fill(text(1)?, number(2)?),
        "restart" => queue::restart(text(1)?),
        "track" => {
            let times = (number(4)?, number(5)?);
            tracker::run(text(1)?, text(2)?, text(3)?, times, text(6).is_ok())
        }
        other => Err(format!("no command {other}").into()),
    }
}

/// Sleeps, and regularly looks at a file's first bytes: FILE SECONDS PER_SECOND.
fn idle(path: &str, seconds: usize, rate: usize) -> Result<()> {
    let file = std::fs::File::open(path)?;
    let mut bytes = [0u8; 48];
    // The only thread's time, finer than the hundredths of `cpu_seconds`.
    let cpu = || -> Result<f64> {
        let text = std::fs::read_to_string("/proc/self/schedstat")?;
        Ok(text.split_whitespace().next().ok_or("no schedstat")?.parse::<f64>()? / 1e9)
    };
    let before = cpu()?;
    for _ in 0..seconds * rate {
        std::thread::sleep(Duration::from_secs(1).div_f64(rate as f64));
        file.metadata()?;
        std::os::unix::fs::FileExt::read_at(&file, &mut bytes, 0)?;
    }
    print(&[("cpu_pct", (cpu()? - before) / seconds as f64 * 100.0)]);
    Ok(())
}

/// A write of 4 KiB and its fdatasync, over and over: FILE COUNT PER_SECOND (0: no pause between).
fn fsync(path: &str, count: usize, rate: usize) -> Result<()> {
    let mut file = std::fs::File::create(path)?;
    // Written before, as a log that has been used already is: no block has to be found.
    file.write_all(&vec![1u8; 16 << 20])?;
    file.sync_all()?;
    let page = vec![7u8; 4096];
    let mut micros = Vec::with_capacity(count);
    let begun = Instant::now();
    for n in 0..count {
        if n % 4096 == 0 {
            file.seek(SeekFrom::Start(0))?;
        }
        if rate > 0 {
            let at = begun + Duration::from_secs_f64(n as f64 / rate as f64);
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
        }
        let one = Instant::now();
        file.write_all(&page)?;
        file.sync_data()?;
        micros.push(one.elapsed().as_secs_f64() * 1e6);
    }
    let per_s = count as f64 / begun.elapsed().as_secs_f64();
    drop(file);
    std::fs::remove_file(path)?;
    print(&[
        ("per_s", per_s),
        ("p50_us", share(&mut micros, 0.5)),
        ("p99_us", share(&mut micros, 0.99)),
    ]);
    Ok(())
}

/// One line of JSON.
pub(crate) fn print(values: &[(&str, f64)]) {
    let map: serde_json::Map<_, _> =
        values.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    println!("{}", serde_json::Value::Object(map));
}

/// The value that this share of all does not exceed.
pub(crate) fn share(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len().saturating_sub(1) as f64 * share).round() as usize;
    values.get(at).copied().unwrap_or(f64::NAN)
}

/// User and system time of this process with all its threads, in seconds.
pub(crate) fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(2).flat_map(str::parse).collect();
    // Linux counts in hundredths whatever the kernel's own tick is.
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

/// Resident memory of this process in KiB: `VmRSS` or `VmHWM`.
pub(crate) fn memory_kib(which: &str) -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(which)).ok_or("no such line")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
}

/// Milliseconds since the moment in `T0_NS` (nanoseconds of the Unix clock), set by who starts this.
pub(crate) fn since_launch_ms() -> Result<f64> {
    let launched: u128 = std::env::var("T0_NS")?.parse()?;
    Ok((SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() - launched) as f64 / 1e6)
}
