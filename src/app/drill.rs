//! `darkroom drill`: the real daemon, killed again and again, compared with what really happened.
//!
//! Everything but the vendor is what a user runs, as child processes; the simulator is a process of
//! its own that outlives them and keeps the ledger.

mod facts;
mod orders;
mod person;
mod plan;
mod profile;
mod report;
mod verdict;
mod world;

#[cfg(test)]
mod tests;

use crate::cli::context::{CliError, GlobalArgs};
use crate::cli::drill::{DrillArgs, Profile};
use crate::cli::exit;
use crate::cli::out::{json, talk};
use crate::store::audit::Audit;
use crate::store::open::db_path;
use chrono::Utc;
use facts::{Diary, Facts, Killed};
use orders::Orders;
use plan::{Aim, Plan};
use report::Report;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use world::World;

/// How often the database is looked at while a drill waits for something.
const LOOK: Duration = Duration::from_millis(10);
/// How long a life waits for its next call at most.
const NEXT_CALL: Duration = Duration::from_millis(1500);
/// How long the work that is left may take after the last kill. Only a hang reaches it.
const DRAIN: Duration = Duration::from_secs(180);
/// Progress is told this often.
const TELL: u32 = 10;

/// Runs a drill, or compares again what one left.
///
/// # Errors
/// A folder that cannot be used (exit 2); a drill that could not be carried out (exit 1).
pub async fn run(args: DrillArgs, global: &GlobalArgs) -> Result<u8, CliError> {
    if let Some(dir) = &args.judge {
        let diary = Diary::load(dir)?;
        let report = Report::new(&diary, &Facts::gather(dir, &diary).await?);
        return tell(&report, global, dir, None);
    }
    if global.data_dir.is_some() || global.config.is_some() {
        return Err(CliError::Usage(
            "the drill makes its own data directory and configuration; --dir says where".to_owned(),
        ));
    }
    let seed = args.seed.unwrap_or_else(|| Utc::now().timestamp_millis().unsigned_abs());
    let folder = Folder::make(&args)?;
    if !global.quiet {
        talk(&format!(
            "drill: {} kills, profile {}, seed {seed}, in {}",
            args.kills,
            args.profile.as_str(),
            folder.dir.display()
        ));
    }
    let drilled = tokio::select! {
        drilled = drill(&args, seed, &folder.dir, global.quiet) => drilled,
        () = interrupted() => {
            talk(&format!("interrupted; {} is left", folder.dir.display()));
            return Err(CliError::Silent(exit::INTERRUPTED));
        }
    };
    let failed = |error: CliError| {
        CliError::Error(format!("{error}\nseed {seed}; see {}", folder.dir.display()))
    };
    let diary = drilled.map_err(failed)?;
    diary.save(&folder.dir)?;
    let facts = Facts::gather(&folder.dir, &diary).await.map_err(failed)?;
    let report = Report::new(&diary, &facts);
    tell(&report, global, &folder.dir, Some(&folder))
}

/// Prints the report, keeps or removes the folder, and answers the exit code.
fn tell(
    report: &Report,
    global: &GlobalArgs,
    dir: &Path,
    folder: Option<&Folder>,
) -> Result<u8, CliError> {
    match global.json {
        true => json(report)?,
        false if global.quiet => {}
        false => report.print()?,
    }
    if let Some(complaint) = report.complaint() {
        return Err(CliError::Error(format!(
            "{complaint}\nseed {}, profile {}; look around in {}, compare again with `darkroom \
             drill --judge {}`",
            report.seed,
            report.profile.as_str(),
            dir.display(),
            dir.display()
        )));
    }
    if let Some(folder) = folder {
        folder.remove_unless_wanted();
    }
    Ok(exit::DONE)
}

/// Where a drill takes place.
struct Folder {
    dir: PathBuf,
    wanted: bool,
}

impl Folder {
    /// Never one that holds somebody's work.
    fn make(args: &DrillArgs) -> Result<Self, CliError> {
        let (dir, wanted) = match &args.dir {
            Some(dir) => (dir.clone(), true),
            None => {
                let made = tempfile::Builder::new().prefix("darkroom-drill-").tempdir();
                let made =
                    made.map_err(|error| CliError::Error(format!("no temporary folder: {error}")))?;
                (made.keep(), args.keep)
            }
        };
        let dir = std::path::absolute(&dir).map_err(|error| CliError::Error(error.to_string()))?;
        if db_path(&dir).exists() || db_path(&world::data(&dir)).exists() {
            return Err(CliError::Usage(format!(
                "{} holds a darkroom database already; the drill wants a folder of its own (--dir)",
                dir.display()
            )));
        }
        crate::store::open::create_data_dir(&dir)?;
        Ok(Self { dir, wanted })
    }

    fn remove_unless_wanted(&self) {
        if !self.wanted
            && let Err(error) = std::fs::remove_dir_all(&self.dir)
        {
            talk(&format!("{} could not be removed: {error}", self.dir.display()));
        }
    }
}

async fn interrupted() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// The whole drill up to the end of the last daemon.
async fn drill(args: &DrillArgs, seed: u64, dir: &Path, quiet: bool) -> Result<Diary, CliError> {
    let begun = Instant::now();
    let plan = Plan::new(seed);
    let world = Arc::new(World::start(dir, args.profile, seed).await?);
    let orders = Orders::start(world.clone(), plan).await?;
    let mut killed = Vec::new();
    for life in 0..args.kills {
        killed.push(one_life(&world, &orders, plan.aim(u64::from(life))).await?);
        let tenth = (args.kills / TELL).max(1);
        if !quiet && (life + 1) % tenth == 0 {
            let unknown = killed.iter().filter(|kill: &&Killed| !kill.calls.is_empty()).count();
            talk(&format!(
                "{:6.1} s  {} kills, {unknown} of them with a call out",
                begun.elapsed().as_secs_f64(),
                life + 1
            ));
        }
    }
    let drain = Instant::now();
    let mut daemon = world.serve()?;
    let (ordered, commands_killed) = orders.finish().await?;
    drain_work(&world).await?;
    wait_for_sweep(&world, args.profile).await?;
    let exit_code = world::terminate(&mut daemon).await;
    let ledger = world.sim("ledger").await?;
    let diary = Diary {
        seed,
        profile: args.profile,
        kills: args.kills,
        orders: ordered,
        killed,
        commands_killed,
        seconds: begun.elapsed().as_secs_f64(),
        drained: drain.elapsed().as_secs_f64(),
        exit_code,
        ledger,
    };
    if let Some(world) = Arc::into_inner(world) {
        world.stop().await;
    }
    Ok(diary)
}

/// Starts the daemon, kills it, and looks at what it left.
async fn one_life(world: &World, orders: &Orders, aim: Aim) -> Result<Killed, CliError> {
    let before = newest_intent(world).await?;
    let mut daemon = world.serve()?;
    match aim {
        Aim::Clock(share) => tokio::time::sleep(world.span().mul_f64(share as f64 / 1000.0)).await,
        Aim::Call(after) => {
            let deadline = Instant::now() + NEXT_CALL;
            while newest_intent(world).await? == before && Instant::now() < deadline {
                tokio::time::sleep(LOOK).await;
            }
            tokio::time::sleep(Duration::from_millis(after)).await;
        }
    }
    if let Ok(Some(status)) = daemon.try_wait() {
        return Err(CliError::Error(format!("the daemon ended by itself: {status}")));
    }
    daemon.kill().await.map_err(|error| CliError::Error(format!("the daemon: {error}")))?;
    let at = Utc::now().timestamp_millis();
    let mut calls = Vec::new();
    if let Some(mut audit) = Audit::open(&world.data()).await? {
        // A life that ended before it had recovered leaves the calls of the one before.
        calls = audit.open_calls().await?;
        calls.retain(|call| call.intent > before);
        orders.backlog(audit.unsent_jobs().await?);
        let (parked, closed) = (audit.parked().await?, audit.is_quarantined().await?);
        audit.close().await?;
        // Most of the time nobody is there; a person comes by now and then.
        if parked.len() > 2 || closed {
            person::decide(world, &parked).await?;
        }
    }
    Ok(Killed { at, aimed: matches!(aim, Aim::Call(_)), calls })
}

async fn newest_intent(world: &World) -> Result<i64, CliError> {
    let Some(mut audit) = Audit::open(&world.data()).await? else {
        return Ok(0);
    };
    let newest = audit.newest_intent().await?;
    audit.close().await?;
    Ok(newest)
}

/// Waits until nothing is left to do, deciding what waits for a person.
async fn drain_work(world: &World) -> Result<(), CliError> {
    let deadline = Instant::now() + DRAIN;
    while Instant::now() < deadline {
        if let Some(mut audit) = Audit::open(&world.data()).await? {
            let (open, parked) = (audit.open_rows().await?, audit.parked().await?);
            audit.close().await?;
            if open == 0 && parked.is_empty() {
                return Ok(());
            }
            person::decide(world, &parked).await?;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // What is left open is for the verdict to say.
    Ok(())
}

/// Waits until the daemon has read the vendor's list after everything must be in it.
async fn wait_for_sweep(world: &World, profile: Profile) -> Result<(), CliError> {
    tokio::time::sleep(profile::slowest_listing(profile)).await;
    let all = world.sim("requests?op=listJobs").await?;
    let since = all.get("total").and_then(Value::as_u64).unwrap_or(0);
    let deadline = Instant::now() + DRAIN;
    while Instant::now() < deadline {
        let calls = world.sim(&format!("requests?op=listJobs&since={since}")).await?;
        let list = calls.get("last").and_then(Value::as_array);
        let done = |call: &Value| call.get("status").is_some_and(|status| *status == 200);
        if list.is_some_and(|list| list.iter().any(done)) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(CliError::Error("the daemon does not sweep the vendor's list".to_owned()))
}
