//! The processes of a measurement: the real daemon, the simulated vendor, the programs of the limit.

use crate::http::Client;
use crate::{Bench, Result};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The key that everything here uses at the simulated vendor.
pub(crate) const KEY: &str = "bench";

/// A process that ends with its owner.
pub(crate) struct Process {
    child: Child,
    /// The first address that it printed.
    pub(crate) address: String,
}

impl Process {
    fn start(mut command: Command, log: &Path) -> Result<Self> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()?;
        let mut process = Self { child, address: String::new() };
        let mut line = String::new();
        if let Some(out) = process.child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let at = line.find("http://").ok_or(format!("no address in {line:?}"))?;
        process.address = line.get(at..).unwrap_or_default().trim().to_owned();
        Ok(process)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits until it has ended.
    pub(crate) fn wait(mut self) -> Result<()> {
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program under test, knowing nothing of this shell's settings.
pub(crate) fn darkroom() -> Command {
    clean(Command::new(env!("CARGO_BIN_EXE_darkroom")))
}

fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["DARKROOM", "PHOTOGPT", "XDG_", "RUST_LOG"].iter().any(|of| name.starts_with(of)) {
            command.env_remove(name);
        }
    }
    command
}

/// Nanoseconds of the Unix clock.
pub(crate) fn now_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

/// Looks until there is an answer, for at most so long.
pub(crate) fn eventually<T>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + patience;
    loop {
        if let Some(value) = look()? {
            return Ok(value);
        }
        if Instant::now() > end {
            return Err(format!("it never happened: {what}").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Bench {
    /// An empty folder for one measurement, on the disk that holds `target/`.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.work.join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Runs a program of the limit to its end; answers the line of JSON that it prints.
    pub(crate) fn limit(&self, args: &[&str]) -> Result<Value> {
        run(Command::new(&self.limit).args(args).env("T0_NS", now_ns().to_string()))
    }

    /// Starts the simulated vendor.
    pub(crate) fn vendor(&self, folder: &Path, args: &[&str]) -> Result<Process> {
        let mut command = darkroom();
        command.args(["simulate", "--listen", "127.0.0.1:0", "--max-active-jobs", "10000000"]);
        // Killed, it cannot clean up behind itself.
        command.args(args).env("TMPDIR", folder);
        Process::start(command, &folder.join("simulator.log"))
    }
}

/// Runs a program to its end; answers its last line as JSON.
pub(crate) fn run(command: &mut Command) -> Result<Value> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{command:?} failed").into());
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().last().map(serde_json::from_str).transpose()?.unwrap_or_default())
}

/// A number in an answer.
pub(crate) fn num(value: &Value, name: &str) -> Result<f64> {
    value[name].as_f64().ok_or_else(|| format!("no number {name} in {value}").into())
}

/// A data directory with its configuration.
pub(crate) struct Site {
    folder: PathBuf,
    vendor: String,
}

impl Site {
    /// `vendor` is its base URL, `config` more lines for the configuration.
    pub(crate) fn new(folder: &Path, vendor: &str, config: &str) -> Result<Self> {
        std::fs::write(folder.join("darkroom.toml"), config)?;
        Ok(Self { folder: folder.to_owned(), vendor: vendor.to_owned() })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn with_settings(&self, mut command: Command) -> Command {
        command
            .env("DARKROOM_DATA_DIR", self.data())
            .env("DARKROOM_CONFIG", self.folder.join("darkroom.toml"))
            .env("PHOTOGPT_BASE_URL", &self.vendor)
            .env("PHOTOGPT_API_KEY", KEY);
        command
    }

    /// Starts the daemon and returns when it listens.
    pub(crate) fn serve(&self) -> Result<Process> {
        let mut command = self.with_settings(darkroom());
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        Process::start(command, &self.folder.join("daemon.log"))
    }

    /// The same under `strace`, which counts syncs into the file named here.
    pub(crate) fn serve_traced(&self, counts: &Path) -> Result<Process> {
        let mut command = self.with_settings(clean(Command::new("strace")));
        command.args(["-f", "-c", "-e", "trace=fsync,fdatasync", "-o"]).arg(counts);
        command.arg(env!("CARGO_BIN_EXE_darkroom")).args(["serve", "--listen", "127.0.0.1:0"]);
        Process::start(command, &self.folder.join("daemon.log"))
    }

    /// The daemon's token.
    pub(crate) fn token(&self) -> Result<String> {
        let output = self.with_settings(darkroom()).arg("token").output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// A connection to the daemon.
    pub(crate) fn client(&self, daemon: &Process) -> Result<Client> {
        Client::connect(&daemon.address, &self.token()?)
    }
}
