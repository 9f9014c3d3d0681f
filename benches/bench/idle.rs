//! What it costs to wait.

use crate::report::Figure;
use crate::seed::{self, Jobs};
use crate::stub::Stub;
use crate::world::{Site, eventually, now_ns, num};
use crate::{Bench, Result, proc};
use std::time::{Duration, Instant};

const ROWS: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(30);
/// Looks for other writers that come on top (performance.md, target 7): four a second would be
/// allowed, one is made while nobody writes.
const LOOKS: f64 = 1.0;
/// Longer than looks follow each other closely after a write.
const REST: Duration = Duration::from_secs(12);
/// A job of another process is to be looked at so soon after its commit (ms).
const DUE_IN: i64 = 50;

/// 10,000 rows that are due in an hour, nothing else.
pub(crate) fn idle(bench: &mut Bench) -> Result<()> {
    let window = Duration::from_secs(if bench.quick { 15 } else { 60 });
    let folder = bench.folder("idle")?;
    let stub = Stub::start()?;
    let site = Site::new(&folder, &stub.api, "[log]\nlevel = \"warn\"\n")?;
    seed::jobs(&site.data(), &Jobs { pending: ROWS, running: &[], listed: false })?;
    let daemon = site.serve()?;
    // Its start is not its idling; the sweep that every start begins with comes on the minute.
    std::thread::sleep(Duration::from_secs(if bench.quick { 5 } else { 65 }));
    let pid = daemon.pid();
    let before = (proc::cpu_seconds_of_threads(pid)?, proc::switches(pid)?, stub.count());
    let begun = Instant::now();
    std::thread::sleep(window);
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = (proc::cpu_seconds_of_threads(pid)? - before.0) / seconds * 100.0;
    let wakes = (proc::switches(pid)? - before.1) / seconds;
    let asked = (stub.count() - before.2) as f64;
    let db = site.data().join("darkroom.db").to_string_lossy().into_owned();
    let least = |rate: &str| -> Result<f64> {
        num(&bench.limit(&["idle", &db, &window.as_secs().to_string(), rate])?, "cpu_pct")
    };
    let (once, closely) = (least("1")?, least("4")?);
    let note = format!("{ROWS} rows due in an hour, {} s", window.as_secs());
    bench.report.add(Figure::new("CPU of one core, idle", "%", cpu).at_most(0.02).note(note));
    bench.report.add(
        Figure::new("CPU of one core, idle", "%", cpu)
            .against("a program that only sleeps and looks at a file once a second", once),
    );
    bench.report.add(
        Figure::new("CPU of one core, idle", "%", cpu)
            .against("the same 4 times a second", closely),
    );
    bench.report.add(
        Figure::new("times a thread woke up, idle", "1/s", wakes)
            .at_most(1.0 + LOOKS)
            .note("1/s of them for outside writers"),
    );
    bench.report.add(Figure::new("requests to the vendor, idle", "", asked));
    let memory = proc::memory_kib(pid, "VmRSS")? / 1024.0;
    bench.report.add(Figure::new("memory, idle", "MiB", memory).at_most(20.0));
    let own = proc::memory_kib(pid, "RssAnon")? / 1024.0;
    bench
        .report
        .add(Figure::new("memory, idle, its own", "MiB", own).note(
            "without pages of the program's file, which the system drops when it needs room",
        ));
    noticed(bench, &site, &stub)
}

/// At rest, another process commits a job whose look is due almost at once. One that is noticed later
/// than that has missed its time, and is looked at an interval later.
fn noticed(bench: &mut Bench, site: &Site, stub: &Stub) -> Result<()> {
    let rounds = if bench.quick { 2 } else { 5 };
    let mut millis = Vec::new();
    for n in 0..rounds {
        std::thread::sleep(REST);
        let id = format!("job_late_{n}");
        let begun = now_ns();
        seed::arrive(&site.data(), &id, DUE_IN)?;
        let at = eventually("a look", PATIENCE, || Ok(stub.first_read(&id)))?;
        millis.push(at.saturating_sub(begun) as f64 / 1e6);
    }
    let note = format!("due {DUE_IN} ms after it was stored; the worst of {rounds}");
    let worst = millis.iter().copied().fold(0.0, f64::max);
    bench.report.add(
        Figure::new("another process's job, from its order to the look at it", "ms", worst)
            .at_most(250.0)
            .note(note),
    );
    Ok(())
}
