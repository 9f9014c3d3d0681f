//! Many jobs at the vendor at once: what looking after them costs, and how soon an end is seen.

use crate::http::Client;
use crate::report::Figure;
use crate::seed::{self, Jobs};
use crate::world::{KEY, Process, Site, eventually, num};
use crate::{Bench, Result, proc, share};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const INTERVAL: usize = 5;
/// The request limit of the daemon: enough for one read per job and interval with 5000 open.
const PER_SECOND: usize = 1000;
/// The first sweep comes within a minute after a start, the next one ten minutes later.
const PATIENCE: Duration = Duration::from_secs(120);

/// Jobs at the simulated vendor that take so long, and the vendor.
struct Seeded {
    vendor: Process,
    control: Client,
    ids: Vec<String>,
}

fn seeded(bench: &Bench, folder: &Path, count: usize, time: &str) -> Result<Seeded> {
    let vendor = bench.vendor(folder, &[])?;
    let mut control = Client::connect(&vendor.address, KEY)?;
    let order = json!({ "key": KEY, "count": count, "time": time, "size": 64 });
    let made = control.post("/_sim/foreign", &order.to_string())?.json()?;
    let ids = made["jobs"].as_array().ok_or("no jobs")?;
    let ids = ids.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    Ok(Seeded { vendor, control, ids })
}

fn site(folder: &Path, vendor: &Process) -> Result<Site> {
    let config = format!(
        "[poll]\njob = \"{INTERVAL}s\"\n[limits]\nrequests_per_second = {PER_SECOND}\n\
         [log]\nlevel = \"warn\"\n"
    );
    Site::new(folder, &vendor.address, &config)
}

/// Calls that the vendor has seen so far, by operation.
fn calls(control: &mut Client) -> Result<HashMap<String, f64>> {
    let report = control.get(&format!("/_sim/requests?since={}", u64::MAX))?.json()?;
    let ops = report["ops"].as_object().ok_or("no operations")?;
    Ok(ops.iter().filter_map(|(op, load)| Some((op.clone(), load["calls"].as_f64()?))).collect())
}

fn more(after: &HashMap<String, f64>, before: &HashMap<String, f64>, op: &str) -> f64 {
    after.get(op).unwrap_or(&0.0) - before.get(op).unwrap_or(&0.0)
}

/// All of it.
pub(crate) fn open(bench: &mut Bench) -> Result<()> {
    let sizes: &[usize] = if bench.quick { &[1_000] } else { &[1_000, 5_000, 100_000] };
    for jobs in sizes {
        steady(bench, *jobs)?;
    }
    memory(bench)?;
    detection(bench, if bench.quick { 500 } else { 5_000 })?;
    learned(bench)
}

/// Nothing ends: the cost of looking alone.
fn steady(bench: &mut Bench, jobs: usize) -> Result<()> {
    let window = if bench.quick { 10 } else { 20 };
    let folder = bench.folder("open")?;
    let mut world = seeded(bench, &folder, jobs, "10h")?;
    // At most what one read per job can be made of; the tracker has no list to read.
    let tracked = jobs.min(5_000);
    let file = folder.join("ids");
    std::fs::write(&file, world.ids.get(..tracked).unwrap_or_default().join("\n"))?;
    let db = folder.join("tracker.db");
    let tracker = [
        "track",
        &world.vendor.address,
        &file.to_string_lossy(),
        &db.to_string_lossy(),
        &INTERVAL.to_string(),
        &window.to_string(),
    ]
    .map(str::to_owned);
    let mut tracker: Vec<&str> = tracker.iter().map(String::as_str).collect();
    let peer = bench.limit(&tracker)?;
    tracker.push("together");
    let together = bench.limit(&tracker)?;
    let theirs = num(&peer, "cpu_percent")? * 1000.0 / tracked as f64;
    let least = num(&together, "cpu_percent")? * 1000.0 / tracked as f64;
    let site = site(&folder, &world.vendor)?;
    seed::jobs(&site.data(), &Jobs { pending: 0, running: &world.ids, listed: true })?;
    let daemon = site.serve()?;
    let pid = daemon.pid();
    settle(&site)?;
    let (before, cpu, begun) =
        (calls(&mut world.control)?, proc::cpu_seconds(pid)?, Instant::now());
    // A whole number of the grid's steps, a hundredth longer than the interval: no round is cut.
    std::thread::sleep(Duration::from_secs(window).mul_f64(1.01));
    let (cpu, seconds) = (proc::cpu_seconds(pid)? - cpu, begun.elapsed().as_secs_f64());
    let after = calls(&mut world.control)?;
    let rate = |op: &str| more(&after, &before, op) / seconds;
    let note = format!("one look every {INTERVAL} s, at most {PER_SECOND} requests/s, {window} s");
    // A list page shows a hundred; a job that nobody looked at in an interval costs nothing, and
    // must not make the others look cheap.
    let looked = (rate("getJobStatus") + 100.0 * rate("listJobs")) * INTERVAL as f64;
    let looked = looked.min(jobs as f64);
    let ours = cpu / seconds * 100.0 * 1000.0 / looked.max(1.0);
    bench.report.add(
        Figure::new(format!("{jobs} open jobs, looked at in an interval"), "", looked)
            .at_least(0.95 * jobs as f64)
            .note("by the vendor's count of requests, a page of the list taken for 100"),
    );
    bench.report.add(
        Figure::new(format!("{jobs} open jobs, CPU per 1000"), "% of a core", ours)
            .against("near-limit tracker, per 1000", theirs)
            .at_most(1.5)
            .note(note),
    );
    bench.report.add(
        Figure::new(format!("{jobs} open jobs, CPU per 1000"), "% of a core", ours)
            .against("the same tracker, all looks at one moment", least)
            .at_most(1.5),
    );
    bench.report.add(Figure::new(
        format!("{jobs} open jobs, single reads"),
        "1/s",
        rate("getJobStatus"),
    ));
    bench.report.add(Figure::new(format!("{jobs} open jobs, list pages"), "1/s", rate("listJobs")));
    let memory = proc::memory_kib(pid, "VmRSS")? / 1024.0;
    bench.report.add(Figure::new(format!("{jobs} open jobs, memory"), "MiB", memory));
    daemon.kill()?;
    if jobs == 1_000 {
        documented(bench, &world.vendor, &file, ours)?;
    }
    Ok(())
}

/// Waits until the first comparison of the vendor's list is over and looks go on as usual.
fn settle(site: &Site) -> Result<()> {
    let listed = "SELECT name, 1 FROM settings WHERE name = 'listing.last'";
    eventually("a sweep", PATIENCE, || Ok(seed::rows(&site.data(), listed)?.pop()))?;
    std::thread::sleep(Duration::from_secs(2 * INTERVAL as u64));
    Ok(())
}

/// The loop of the vendor's documentation on the same jobs, if there is a Python to run it.
fn documented(bench: &mut Bench, vendor: &Process, ids: &Path, ours: f64) -> Result<()> {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/documented_loop.py");
    let has = |python: &str| {
        let mut command = Command::new(python);
        command.args(["-c", "import requests"]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let Some(python) = ["python3", "/usr/bin/python3"].into_iter().find(|python| has(python))
    else {
        println!("  the documented loop is left out: it needs python3-requests");
        return Ok(());
    };
    let mut command = Command::new(python);
    command
        .arg(program)
        .arg(&vendor.address)
        .arg(ids)
        .args([INTERVAL.to_string(), "10".to_owned()]);
    let theirs = num(&crate::world::run(&mut command)?, "cpu_percent")?;
    bench.report.add(
        Figure::new("1000 open jobs, CPU", "% of a core", ours)
            .against("the loop of the vendor's documentation", theirs)
            .at_most(1.0 / 25.0),
    );
    Ok(())
}

/// Memory with 10,000 open jobs, and for each further one.
fn memory(bench: &mut Bench) -> Result<()> {
    let sizes = if bench.quick { [1_000, 2_000] } else { [10_000, 20_000] };
    let (mut kib, mut own) = (Vec::new(), Vec::new());
    // The last one's jobs are all new to the first sweep: the dearest one there is.
    for (jobs, listed) in [(sizes[0], true), (sizes[1], true), (sizes[0], false)] {
        let folder = bench.folder("memory")?;
        let world = seeded(bench, &folder, jobs, "10h")?;
        let site = site(&folder, &world.vendor)?;
        seed::jobs(&site.data(), &Jobs { pending: 0, running: &world.ids, listed })?;
        let daemon = site.serve()?;
        settle(&site)?;
        kib.push(proc::memory_kib(daemon.pid(), "VmRSS")?);
        own.push(proc::memory_kib(daemon.pid(), "RssAnon")? / 1024.0);
        daemon.kill()?;
    }
    if let ([few, many, unseen], [small, large]) = (kib.as_slice(), sizes) {
        bench.report.add(
            Figure::new(format!("memory, {small} open jobs"), "MiB", few / 1024.0).at_most(20.0),
        );
        if let Some(own) = own.first() {
            bench.report.add(
                Figure::new(format!("memory, {small} open jobs, its own"), "MiB", *own)
                    .note("without pages of the program's file"),
            );
        }
        bench.report.add(
            Figure::new(
                format!("memory, {small} open jobs, after a sweep"),
                "MiB",
                unseen / 1024.0,
            )
            .note("that had seen none of them before"),
        );
        let each = (many - few) / (large - small) as f64;
        bench.report.add(
            Figure::new("memory per further open job", "KiB", each)
                .at_most(1.0)
                .note(format!("from {small} to {large}")),
        );
    }
    Ok(())
}

/// Jobs end between 20 and 40 seconds after a start: how soon that is known and stored.
fn detection(bench: &mut Bench, jobs: usize) -> Result<()> {
    let folder = bench.folder("detection")?;
    let mut world = seeded(bench, &folder, jobs, "20s..40s")?;
    let site = site(&folder, &world.vendor)?;
    seed::jobs(&site.data(), &Jobs { pending: 0, running: &world.ids, listed: true })?;
    let daemon = site.serve()?;
    let begun = Instant::now();
    let before = calls(&mut world.control)?;
    let end = Instant::now() + Duration::from_secs(60);
    let mut report = Value::Null;
    while Instant::now() < end {
        std::thread::sleep(Duration::from_secs(2));
        report = world.control.get("/_sim/finished")?.json()?;
        let told = report["jobs"]
            .as_array()
            .is_some_and(|all| all.len() == jobs && all.iter().all(|job| !job["told"].is_null()));
        if told {
            break;
        }
    }
    // What was told last has yet to be stored.
    std::thread::sleep(Duration::from_millis(500));
    let seconds = begun.elapsed().as_secs_f64();
    let after = calls(&mut world.control)?;
    let stored: HashMap<String, i64> = seed::rows(
        &site.data(),
        "SELECT j.remote_id, min(e.at) FROM events e JOIN jobs j ON j.id = e.subject \
         WHERE e.from_state = 'running' GROUP BY j.id",
    )?
    .into_iter()
    .collect();
    let (mut seen, mut durable) = (Vec::new(), Vec::new());
    for job in report["jobs"].as_array().into_iter().flatten() {
        let at = job["id"].as_str().and_then(|id| stored.get(id));
        if let (Some(at), Some(over), Some(read)) = (at, job["at"].as_i64(), job["read"].as_i64()) {
            seen.push((at - over) as f64);
            durable.push((at - read) as f64);
        }
    }
    let interval = INTERVAL as f64 * 1e3;
    let found = seen.len() as f64;
    let note = format!(
        "{jobs} jobs that end after 20 to 40 s, looks every {INTERVAL} s, at most {PER_SECOND} requests/s"
    );
    bench
        .report
        .add(Figure::new("ends that were stored", "", found).at_least(jobs as f64).note(note));
    let p50 = share(&mut seen, 0.5);
    bench.report.add(
        Figure::new("end to stored, p50", "ms", p50)
            .at_most(interval / 2.0 + 50.0)
            .note("to the start of the commit, as its event says"),
    );
    bench.report.add(
        Figure::new("end to stored, p99", "ms", share(&mut seen, 0.99)).at_most(interval + 100.0),
    );
    bench.report.add(
        Figure::new(
            "reply with the result to the start of its commit, p99",
            "ms",
            share(&mut durable, 0.99),
        )
        .at_most(10.0)
        .note("the clock of events; counts whole ms"),
    );
    let reads = |op: &str| more(&after, &before, op) / jobs as f64;
    bench.report.add(
        Figure::new("single reads per finished job, many open", "", reads("getJobStatus"))
            .note(format!("{seconds:.0} s, the read of the result included")),
    );
    bench.report.add(Figure::new("list pages per finished job, many open", "", reads("listJobs")));
    bench.report.add(
        Figure::new(
            "status reads per finished job beyond the one for its result",
            "",
            reads("getJobStatus") + reads("listJobs") - 1.0,
        )
        .at_most(0.5),
    );
    daemon.kill()
}

/// Jobs of about 30 s, one after the other at a vendor that is ten times as fast: single reads once
/// their durations are known.
fn learned(bench: &mut Bench) -> Result<()> {
    let jobs = if bench.quick { 9 } else { 13 };
    let folder = bench.folder("learned")?;
    let vendor = bench.vendor(&folder, &["--job-time", "30s", "--speed", "10"])?;
    // Everything ten times as fast, the interval too.
    let config =
        "[poll]\njob = \"500ms\"\n[limits]\nrequests_per_second = 100\n[log]\nlevel = \"warn\"\n";
    let site = Site::new(&folder, &vendor.address, config)?;
    let daemon = site.serve()?;
    let (mut client, mut control) = (site.client(&daemon)?, Client::connect(&vendor.address, KEY)?);
    let mut one_more = || -> Result<f64> {
        let before = calls(&mut control)?;
        let (path, body) = crate::burst::ORDER;
        let id = client.post(path, body)?.json()?["id"].as_str().unwrap_or_default().to_owned();
        crate::world::eventually("the job is done", Duration::from_secs(60), || {
            let job = client.get(&format!("/v1/jobs/{id}"))?.json()?;
            Ok((job["state"] == "succeeded").then_some(()))
        })?;
        Ok(more(&calls(&mut control)?, &before, "getJobStatus"))
    };
    let first = one_more()?;
    let mut reads = Vec::new();
    for _ in 0..jobs {
        reads.push(one_more()?);
    }
    let learned = reads.split_off(jobs / 2);
    let mean = learned.iter().sum::<f64>() / learned.len() as f64;
    bench.report.add(
        Figure::new("single reads per job of 30 s, its model known", "", mean).at_most(2.5).note(
            format!("the last {} of {}; everything ten times as fast", learned.len(), jobs + 1),
        ),
    );
    bench.report.add(Figure::new("single reads, the first job of a model", "", first));
    Ok(())
}
