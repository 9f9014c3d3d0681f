//! Benchmarks of darkroom beside the limit of the machine; see docs/performance.md.
//!
//! `scripts/bench` builds what this needs and runs it. Each measurement starts the real program
//! (or, for the burst, the real library in a process of its own) and the program that shows the
//! limit in turn, on the same disk, and prints both.
#![allow(clippy::print_stdout, reason = "figures are what this is for")]

mod burst;
mod footprint;
mod http;
mod idle;
mod latency;
mod open;
mod proc;
mod report;
mod restart;
mod seed;
mod stub;
mod syncs;
mod world;

use report::Report;
use std::path::PathBuf;

/// Anything that went wrong; the process says it and ends.
pub(crate) type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// What all measurements share.
pub(crate) struct Bench {
    /// Smaller sizes, fewer rounds.
    quick: bool,
    /// Also what takes minutes to build.
    full: bool,
    /// A folder for data on the disk that is measured.
    work: PathBuf,
    /// The program that shows the limit.
    limit: PathBuf,
    report: Report,
}

type Measure = fn(&mut Bench) -> Result<()>;

/// All measurements, in the order in which they run and stand in the tables.
const ALL: &[(&str, Measure)] = &[
    ("burst", burst::burst),
    ("accept", burst::accept),
    ("latency", latency::latency),
    ("syncs", syncs::syncs),
    ("restart", restart::restart),
    ("idle", idle::idle),
    ("open", open::open),
    ("footprint", footprint::footprint),
];

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("burst-inner", rest)) =
        args.split_first().map(|(first, rest)| (first.as_str(), rest))
    {
        return burst::inner(rest);
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    std::fs::create_dir_all(&folder)?;
    let names: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    if has("--table") {
        print!("{}", report::tables(&folder, &names)?);
        return Ok(());
    }
    // `cargo bench` adds `--bench`.
    let known = |arg: &&String| ["--quick", "--full", "--bench"].contains(&arg.as_str());
    let wanted: Vec<&String> = args.iter().filter(|arg| !known(arg)).collect();
    if let Some(odd) = wanted.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(format!("no benchmark {odd}; there are: {}", names.join(", ")).into());
    }
    let limit = std::env::var_os("BENCH_LIMIT").map(PathBuf::from);
    let mut bench = Bench {
        quick: has("--quick"),
        full: has("--full"),
        work: folder.join("work"),
        limit: limit.unwrap_or_else(|| folder.join("limit-build/release/limit")),
        report: Report::new(&folder, has("--quick"))?,
    };
    for (name, measure) in ALL {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        println!("{name}");
        measure(&mut bench)?;
        bench.report.close(name)?;
    }
    if bench.work.exists() {
        std::fs::remove_dir_all(&bench.work)?;
    }
    Ok(())
}

/// The value that this share of all does not exceed.
pub(crate) fn share(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len().saturating_sub(1) as f64 * share).round() as usize;
    values.get(at).copied().unwrap_or(f64::NAN)
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    share(&mut values, 0.5)
}
