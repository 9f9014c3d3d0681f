//! `kill -9`, a start, and the time until the vendor is asked again.

use crate::report::Figure;
use crate::seed::{self, Jobs};
use crate::stub::Stub;
use crate::world::{Site, eventually, now_ns, num};
use crate::{Bench, Result, median, proc};
use std::time::Duration;

const RUNNING: usize = 1_000;
const ROUNDS: usize = 11;
/// Longer than the interval of the looks, 5 s.
const DOWN: Duration = Duration::from_secs(6);
const PATIENCE: Duration = Duration::from_secs(60);

/// With many rows that wait, and a thousand at the vendor, one of which is asked for at once.
pub(crate) fn restart(bench: &mut Bench) -> Result<()> {
    let sizes: [usize; 2] = if bench.quick { [10_000, 100_000] } else { [100_000, 1_000_000] };
    let mut ours = Vec::new();
    for rows in sizes {
        let folder = bench.folder("restart")?;
        let db = folder.join("limit.db").to_string_lossy().into_owned();
        bench.limit(&["fill", &db, &rows.to_string()])?;
        let mut limits = Vec::new();
        for _ in 0..ROUNDS {
            limits.push(num(&bench.limit(&["restart", &db])?, "first_ms")?);
        }
        let stub = Stub::start()?;
        let config = "[limits]\nrequests_per_second = 1000\n[log]\nlevel = \"warn\"\n";
        let site = Site::new(&folder, &stub.api, config)?;
        let ids: Vec<String> = (0..RUNNING).map(|n| format!("job_{n:08}")).collect();
        seed::jobs(&site.data(), &Jobs { pending: rows, running: &ids })?;
        let mut daemon = site.serve()?;
        eventually("a first request", PATIENCE, || Ok(stub.first_look()))?;
        let (mut firsts, mut polls, mut peak) = (Vec::new(), Vec::new(), 0f64);
        for _ in 0..ROUNDS {
            daemon.kill()?;
            // No job is asked about again within its interval; down for longer, they are overdue.
            std::thread::sleep(DOWN);
            stub.forget();
            let launched = now_ns();
            daemon = site.serve()?;
            let first = eventually("a request", PATIENCE, || Ok(stub.first()))?;
            let poll = eventually("a poll", PATIENCE, || Ok(stub.first_look()))?;
            firsts.push((first - launched) as f64 / 1e6);
            polls.push((poll - launched) as f64 / 1e6);
            peak = peak.max(proc::memory_kib(daemon.pid(), "VmHWM")?);
        }
        daemon.kill()?;
        let (first, poll) = (median(firsts), median(polls));
        ours.push(poll);
        let note = format!(
            "{rows} rows wait, {RUNNING} at the vendor, median of {ROUNDS}, down for {} s",
            DOWN.as_secs()
        );
        bench.report.add(
            Figure::new(format!("restart with {rows}, first look at a job"), "ms", poll)
                .at_most(20.0)
                .note(note),
        );
        bench.report.add(
            Figure::new(
                format!("restart with {rows}, first request, whether the account is the same"),
                "ms",
                first,
            )
            .against("limit, first row through the index", median(limits)),
        );
        bench.report.add(
            Figure::new(format!("memory at most, {rows} rows"), "MiB", peak / 1024.0).at_most(32.0),
        );
    }
    if let [small, large] = ours.as_slice() {
        bench.report.add(
            Figure::new("first look with ten times the rows", "ms", *large)
                .against("with fewer", *small)
                .at_most(1.1),
        );
    }
    Ok(())
}
