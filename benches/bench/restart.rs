//! `kill -9`, a start, and the time until the vendor is asked again.

use crate::report::Figure;
use crate::seed::{self, Jobs};
use crate::stub::Stub;
use crate::world::{Site, eventually, now_ns, num};
use crate::{Bench, Result, median, proc};
use anyhow::Context as _;
use std::time::Duration;

const RUNNING: usize = 1_000;
const ROUNDS: usize = 11;
/// So many rounds after a rest: what slept for a while starts slower.
const RESTED: usize = 5;
/// Longer than the interval of the looks, 5 s.
const REST: Duration = Duration::from_secs(6);
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
        let (mut looks, mut lists, mut rested, mut peak) =
            (Vec::new(), Vec::new(), Vec::new(), 0f64);
        for round in 0..ROUNDS + RESTED {
            daemon.kill()?;
            if round < ROUNDS {
                as_after_a_reboot(&site)?;
            } else {
                std::thread::sleep(REST);
            }
            stub.forget();
            let launched = now_ns();
            daemon = site.serve()?;
            let since = |at: u128| (at - launched) as f64 / 1e6;
            let look = since(eventually("a look", PATIENCE, || Ok(stub.first_look()))?);
            let list = since(eventually("a list", PATIENCE, || Ok(stub.first_list()))?);
            if round < ROUNDS {
                looks.push(look);
                lists.push(list);
            } else {
                rested.push(look);
            }
            peak = peak.max(proc::memory_kib(daemon.pid(), "VmHWM")?);
        }
        daemon.kill()?;
        let look = median(looks);
        ours.push(look);
        let note =
            format!("{rows} rows wait, {RUNNING} at the vendor are overdue, median of {ROUNDS}");
        bench.report.add(
            Figure::new(format!("restart with {rows}, first look at a job"), "ms", look)
                .against("limit, first row through the index", median(limits))
                .at_most(20.0)
                .note(note),
        );
        let figure =
            format!("restart with {rows}, first look at a job, the machine at rest before");
        let note = format!("median of {RESTED}, {} s after the kill", REST.as_secs());
        bench.report.add(Figure::new(figure, "ms", median(rested)).note(note));
        let figure = format!("restart with {rows}, first look at all others, through the list");
        bench.report.add(Figure::new(figure, "ms", median(lists)));
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

/// No job is asked about again within its interval: the last daemon is made to look as if it had
/// asked before the machine was started.
fn as_after_a_reboot(site: &Site) -> Result<()> {
    let path = site.data().join("asked");
    let mark = std::fs::read_to_string(&path)?;
    let boot = mark.split(' ').nth(1).context("the file `asked` names no boot")?;
    std::fs::write(&path, mark.replace(boot, "00000000-0000-0000-0000-000000000000"))?;
    Ok(())
}
