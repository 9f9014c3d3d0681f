//! What the kernel says about a process.

use crate::Result;
use std::path::Path;

/// User and system time of a process with all threads it ever had, in seconds; counts hundredths.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(2).flat_map(str::parse).collect();
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

/// The same to the nanosecond, of the threads that are alive now.
pub(crate) fn cpu_seconds_of_threads(pid: u32) -> Result<f64> {
    let mut nanos = 0.0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may have ended since it was listed.
        let text = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        nanos += text.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0.0);
    }
    Ok(nanos / 1e9)
}

/// How often the threads that are alive now were given a core: at least once per wake-up.
pub(crate) fn switches(pid: u32) -> Result<f64> {
    let mut count = 0.0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("status")).unwrap_or_default();
        let lines = text.lines().filter(|line| line.starts_with("voluntary_ctxt_switches"));
        count += lines
            .filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok())
            .sum::<f64>();
    }
    Ok(count)
}

/// Memory of a process in KiB: `VmRSS` (now) or `VmHWM` (at most so far).
pub(crate) fn memory_kib(pid: u32, which: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(which));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(number.ok_or("no such line in the status")?.parse()?)
}

/// The type of the file system that holds a folder.
pub(crate) fn filesystem(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let holds = fields.filter(|f| f.get(1).is_some_and(|at| folder.starts_with(at)));
    let nearest = holds.max_by_key(|f| f.get(1).map_or(0, |at| at.len()))?;
    nearest.get(2).map(|kind| (*kind).to_owned())
}
