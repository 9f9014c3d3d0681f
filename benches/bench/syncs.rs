//! Syncs, counted by strace: what durability costs whatever the disk, and the proof that it is paid.

use crate::burst::{ORDER, PAUSE, orders, paused_site};
use crate::report::Figure;
use crate::seed::{self, Jobs};
use crate::stub::Stub;
use crate::world::{Process, Site, eventually, now_ns};
use crate::{Bench, Result};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// Ends the traced daemon in an orderly way and answers how many syncs it made.
fn count(daemon: Process, file: &Path) -> Result<f64> {
    // strace passes no signal on, so the daemon itself is asked.
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", daemon.pid()))?;
    for child in children.split_whitespace() {
        Command::new("kill").arg(child).status()?;
    }
    daemon.wait()?;
    let text = std::fs::read_to_string(file)?;
    let calls = |line: &str| -> Option<f64> {
        let words: Vec<&str> = line.split_whitespace().collect();
        ["fsync", "fdatasync"].contains(words.last()?).then(|| words.get(3)?.parse().ok())?
    };
    Ok(text.lines().filter_map(calls).sum())
}

/// The first sweep of a daemon comes on the minute and stores what it saw: nothing is counted
/// across one.
fn after_the_minute() {
    let into = now_ns() / 1_000_000_000 % 60;
    if !(1..45).contains(&into) {
        std::thread::sleep(Duration::from_secs(61 - u64::try_from(into).unwrap_or(0)));
    }
}

/// Per order, per paid job, per look that finds nothing new.
pub(crate) fn syncs(bench: &mut Bench) -> Result<()> {
    at_start_and_end(bench).and_then(|base| {
        per_order(bench, base)?;
        per_look(bench)?;
        per_life(bench)
    })
}

/// A start and an end without work between.
fn at_start_and_end(bench: &Bench) -> Result<f64> {
    let site = paused_site(bench, "syncs")?;
    after_the_minute();
    let file = site.data().with_file_name("counts");
    let daemon = site.serve_traced(&file)?;
    site.client(&daemon)?.post(PAUSE.0, PAUSE.1)?.json()?;
    count(daemon, &file)
}

fn per_order(bench: &mut Bench, base: f64) -> Result<()> {
    let jobs = if bench.quick { 640 } else { 3_200 };
    let site = paused_site(bench, "syncs")?;
    after_the_minute();
    let file = site.data().with_file_name("counts");
    let daemon = site.serve_traced(&file)?;
    site.client(&daemon)?.post(PAUSE.0, PAUSE.1)?.json()?;
    orders(&daemon.address, &site.token()?, ORDER, jobs, daemon.pid())?;
    let made = count(daemon, &file)? - base;
    let note = format!("{jobs} orders, start and end ({base}) taken off");
    let figure = Figure::new("syncs per order, 64 callers", "", made / jobs as f64);
    bench.report.add(figure.at_most(0.10).note(note));
    Ok(())
}

fn per_look(bench: &mut Bench) -> Result<()> {
    let config = "[poll]\njob = \"100ms\"\n[limits]\nrequests_per_second = 1000\n";
    let mut made = Vec::new();
    // The same start and end with a few looks and with many: the difference is the looks'.
    for looks in [320, 1_320] {
        let folder = bench.folder("looks")?;
        let stub = Stub::start()?;
        let site = Site::new(&folder, &stub.api, config)?;
        let ids: Vec<String> = (0..20).map(|n| format!("job_{n:08}")).collect();
        seed::jobs(&site.data(), &Jobs { pending: 0, running: &ids, listed: true })?;
        let file = folder.join("counts");
        after_the_minute();
        let daemon = site.serve_traced(&file)?;
        let enough = || Ok((stub.count() >= looks).then_some(()));
        eventually("enough looks", PATIENCE, enough)?;
        made.push(count(daemon, &file)?);
    }
    if let [few, many] = made.as_slice() {
        let per = (many - few) / 1_000.0;
        let note = format!("{few} with 320 looks, {many} with 1320");
        bench.report.add(Figure::new("syncs per unchanged look", "", per).at_most(0.0).note(note));
    }
    Ok(())
}

fn per_life(bench: &mut Bench) -> Result<()> {
    // How late the vendor's list is, the daemon learns by reading it after the first fifty
    // acceptances, which stores what it saw; afterwards one in ten.
    let learnt = ("syncs per paid job with one picture", "[doubt]\nsettle = \"5m\"\n", Some(9.0));
    let learning = ("the same while the lag of the vendor's list is being learnt", "", None);
    for (metric, config, target) in [learnt, learning] {
        let (one, more, jobs) = lives(bench, config)?;
        let mut figure = Figure::new(metric, "", (more - one) / f64::from(jobs)).note(format!(
            "from order to file, one after the other: {one} for the first, {more} for {}",
            jobs + 1
        ));
        if let Some(target) = target {
            figure = figure.at_most(target);
        }
        bench.report.add(figure);
    }
    Ok(())
}

/// The syncs of a life with one job, with more of them, and how many more.
fn lives(bench: &mut Bench, config: &str) -> Result<(f64, f64, u32)> {
    let jobs = 20;
    let mut made = Vec::new();
    for count_of in [1, 1 + jobs] {
        let folder = bench.folder("life")?;
        let vendor = bench.vendor(&folder, &["--speed", "60"])?;
        let config = format!("[poll]\njob = \"200ms\"\n{config}");
        let site = Site::new(&folder, &vendor.address, &config)?;
        let file = folder.join("counts");
        after_the_minute();
        let daemon = site.serve_traced(&file)?;
        let mut client = site.client(&daemon)?;
        for _ in 0..count_of {
            let id = client.post(ORDER.0, ORDER.1)?.json()?["id"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            eventually("the job is done", PATIENCE, || {
                let job = client.get(&format!("/v1/jobs/{id}"))?.json()?;
                Ok((job["state"] == "succeeded").then_some(()))
            })?;
        }
        made.push(count(daemon, &file)?);
    }
    match made.as_slice() {
        [one, more] => Ok((*one, *more, jobs)),
        _ => Err("two lives were to be counted".into()),
    }
}
