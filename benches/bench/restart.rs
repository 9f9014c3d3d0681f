//! `kill -9`, a start, and the time until the vendor is asked about a running job again.

use crate::report::Figure;
use crate::seed::{self, Jobs};
use crate::stub::Stub;
use crate::world::{Process, Site, eventually, now_ns, num};
use crate::{Bench, Result, median, proc};
use std::time::{Duration, Instant};

const RUNNING: usize = 1_000;
const ROUNDS: usize = 11;
/// So many rounds after a rest: what slept for a while starts slower.
const RESTED: usize = 5;
/// Longer than the interval of the looks, 5 s.
const REST: Duration = Duration::from_secs(6);
const PATIENCE: Duration = Duration::from_secs(60);
/// Of [`many`]: starts, how long each daemon lives, and the interval of looks at a job in seconds.
const RESTARTS: usize = 100;
const UP: Duration = Duration::from_millis(250);
const INTERVAL: f64 = 5.0;

/// A database of one size, and what was measured with it, in ms and KiB.
struct Size {
    rows: usize,
    limit_db: String,
    stub: Stub,
    site: Site,
    limits: Vec<f64>,
    looks: Vec<f64>,
    lists: Vec<f64>,
    rested: Vec<f64>,
    peak: f64,
}

/// With many rows that wait, and a thousand overdue ones at the vendor; both sizes in turn, because
/// the machine's rates change.
pub(crate) fn restart(bench: &mut Bench) -> Result<()> {
    let rows: [usize; 2] = if bench.quick { [10_000, 100_000] } else { [100_000, 1_000_000] };
    let mut sizes = [Size::new(bench, rows[0])?, Size::new(bench, rows[1])?];
    for _ in 0..ROUNDS {
        for size in &mut sizes {
            size.limits.push(num(&bench.limit(&["restart", &size.limit_db])?, "first_ms")?);
            // As after a reboot, because no job is asked about again within its interval.
            size.nobody_has_asked()?;
            let (look, list) = size.start()?;
            size.looks.push(look);
            size.lists.push(list);
        }
    }
    for size in &mut sizes {
        for _ in 0..RESTED {
            std::thread::sleep(REST);
            let (look, _) = size.start()?;
            size.rested.push(look);
        }
    }
    for size in &sizes {
        size.report(bench);
    }
    let [small, large] = sizes.map(|size| median(size.looks));
    bench.report.add(
        Figure::new("first look with ten times the rows", "ms", large)
            .against("with fewer", small)
            .at_most(1.1),
    );
    many(bench)
}

/// One start after the other, and no job is asked about more often than without them.
fn many(bench: &mut Bench) -> Result<()> {
    let folder = bench.folder("restarts")?;
    let stub = Stub::start()?;
    let site = Site::new(&folder, &stub.api, "[log]\nlevel = \"warn\"\n")?;
    // Few enough to be read one by one.
    let ids = ["job_one".to_owned(), "job_two".to_owned()];
    seed::jobs(&site.data(), &Jobs { pending: 0, running: &ids, listed: true })?;
    let begun = Instant::now();
    for _ in 0..RESTARTS {
        let daemon = site.serve()?;
        std::thread::sleep(UP);
        daemon.kill()?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let most = (seconds / INTERVAL).floor() + 1.0;
    let reads = ids.iter().map(|id| stub.reads(id)).max().unwrap_or(0) as f64;
    bench.report.add(
        Figure::new("reads of a job beyond one per interval", "", (reads - most).max(0.0))
            .at_most(0.0)
            .note(format!(
                "{RESTARTS} starts and kills in {seconds:.0} s: {reads} reads, {most} intervals"
            )),
    );
    Ok(())
}

impl Size {
    fn new(bench: &Bench, rows: usize) -> Result<Self> {
        let folder = bench.folder(&format!("restart-{rows}"))?;
        let limit_db = folder.join("limit.db").to_string_lossy().into_owned();
        bench.limit(&["fill", &limit_db, &rows.to_string()])?;
        let stub = Stub::start()?;
        let config = "[limits]\nrequests_per_second = 1000\n[log]\nlevel = \"warn\"\n";
        let site = Site::new(&folder, &stub.api, config)?;
        let ids: Vec<String> = (0..RUNNING).map(|n| format!("job_{n:08}")).collect();
        seed::jobs(&site.data(), &Jobs { pending: rows, running: &ids, listed: true })?;
        let (limits, looks, lists, rested) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut size = Self { rows, limit_db, stub, site, limits, looks, lists, rested, peak: 0.0 };
        size.start()?;
        Ok(size)
    }

    /// No job is asked about again within its interval: the last daemon is made to look as if it had
    /// asked before the machine was started.
    fn nobody_has_asked(&self) -> Result<()> {
        let path = self.site.data().join("asked");
        let marks = std::fs::read_to_string(&path)?.split_whitespace().skip(2).count();
        std::fs::write(&path, format!("asked another{}\n", " 0".repeat(marks)))?;
        Ok(())
    }

    /// Starts a daemon and kills it once it has looked at a job, and at all others through the list;
    /// answers when, in ms since it was launched.
    fn start(&mut self) -> Result<(f64, f64)> {
        self.stub.forget();
        let launched = now_ns();
        let daemon: Process = self.site.serve()?;
        let since = |at: u128| (at - launched) as f64 / 1e6;
        let look = since(eventually("a look", PATIENCE, || Ok(self.stub.first_look()))?);
        let list = since(eventually("a list", PATIENCE, || Ok(self.stub.first_list()))?);
        self.peak = self.peak.max(proc::memory_kib(daemon.pid(), "VmHWM")?);
        daemon.kill()?;
        Ok((look, list))
    }

    fn report(&self, bench: &mut Bench) {
        let name = format!("restart with {}", self.rows);
        let (look, limit) = (median(self.looks.clone()), median(self.limits.clone()));
        let figures = [
            Figure::new(format!("{name}, first look at a job"), "ms", look)
                .at_most(20.0)
                .note(format!("{RUNNING} at the vendor are overdue, median of {ROUNDS}")),
            Figure::new(format!("{name}, first look at a job"), "ms", look)
                .against("limit, first row through the index", limit),
            Figure::new(format!("{name}, after a rest"), "ms", median(self.rested.clone()))
                .note(format!("median of {RESTED}, {} s after the kill", REST.as_secs())),
            Figure::new(format!("{name}, all others"), "ms", median(self.lists.clone()))
                .note("the first page of the list"),
            Figure::new(format!("memory at most, {} rows", self.rows), "MiB", self.peak / 1024.0)
                .at_most(32.0),
        ];
        for figure in figures {
            bench.report.add(figure);
        }
    }
}
