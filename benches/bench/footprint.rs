//! What the program weighs: its size, what it is made of, how long it takes to build.

use crate::report::Figure;
use crate::{Bench, Result};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

fn mib(path: impl AsRef<Path>) -> Result<f64> {
    Ok(std::fs::metadata(path)?.len() as f64 / f64::from(1 << 20))
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// Sizes and counts; with `--full` also two builds from nothing.
pub(crate) fn footprint(bench: &mut Bench) -> Result<()> {
    let size = mib(env!("CARGO_BIN_EXE_darkroom"))?;
    bench.report.add(Figure::new("program, release profile", "MiB", size));
    let tree = ["tree", "--locked", "--edges", "normal,build", "--prefix", "none", "--no-dedupe"];
    let output = cargo().args(tree).args(["--format", "{p}"]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let crates: std::collections::BTreeSet<&str> =
        text.lines().filter(|line| !line.is_empty()).collect();
    bench.report.add(Figure::new("crates it is made of, itself included", "", crates.len() as f64));
    if bench.full {
        for (profile, name) in
            [("release", "build from nothing, release"), ("dist", "build from nothing, dist")]
        {
            let folder = bench.folder("build")?;
            let begun = Instant::now();
            let mut build = cargo();
            build.args(["build", "--locked", "--quiet", "--bin", "darkroom", "--profile", profile]);
            if !build.arg("--target-dir").arg(&folder).status()?.success() {
                return Err("the build failed".into());
            }
            bench.report.add(Figure::new(name, "s", begun.elapsed().as_secs_f64()));
            if profile == "dist" {
                let size = mib(folder.join("dist/darkroom"))?;
                bench.report.add(Figure::new("program, dist profile", "MiB", size));
            }
        }
    }
    Ok(())
}
