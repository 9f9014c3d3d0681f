//! The processes of a drill: the simulator, the daemon, submitting commands.

use super::profile;
use crate::cli::CliError;
use crate::cli::drill::Profile;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The key that everything of ours is bought with.
pub(super) const KEY: &str = "drill-key";
/// How long a process that was asked to end may take.
const GRACE: Duration = Duration::from_secs(20);
/// How long a command may take before the drill calls it hung.
const COMMAND: Duration = Duration::from_secs(60);
/// The span of a life beyond what starting takes.
const BUSY: Duration = Duration::from_millis(500);

/// The vendor and the folder, and how to start what works on them.
pub(super) struct World {
    pub(super) dir: PathBuf,
    program: PathBuf,
    simulator: Child,
    api: String,
    http: reqwest::Client,
    /// How long a daemon took to listen when it was last seen to (ms).
    startup: Arc<AtomicU64>,
}

/// How a command ended.
pub(super) struct Ended {
    /// The exit code; none if it was killed.
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

fn failed(what: &str) -> impl FnOnce(std::io::Error) -> CliError + '_ {
    move |error| CliError::Error(format!("{what}: {error}"))
}

impl World {
    /// Starts the vendor and writes the daemon's configuration.
    pub(super) async fn start(dir: &Path, profile: Profile, seed: u64) -> Result<Self, CliError> {
        let program = std::env::current_exe().map_err(failed("the program's own path"))?;
        std::fs::write(dir.join("darkroom.toml"), profile::config(profile))
            .map_err(failed("darkroom.toml"))?;
        let mut command = Command::new(&program);
        without_settings(&mut command);
        command
            .args(["simulate", "--listen", "127.0.0.1:0", "--speed", profile::SPEED])
            .args(["--page-size", "1000", "--max-active-jobs", "10000"])
            .args(["--api-key", KEY, "--seed", &seed.to_string()]);
        for fault in profile::faults(profile) {
            command.args(["--fault", fault]);
        }
        let mut simulator = command
            .stdout(Stdio::piped())
            .stderr(log(dir, "simulator.log")?)
            .spawn()
            .map_err(failed("the simulator"))?;
        let mut first = String::new();
        if let Some(out) = simulator.stdout.take() {
            BufReader::new(out).read_line(&mut first).await.map_err(failed("the simulator"))?;
        }
        let Some(at) = first.find("http://") else {
            return Err(CliError::Error(format!(
                "the simulator did not start; see {}",
                dir.join("simulator.log").display()
            )));
        };
        let api = first.get(at..).unwrap_or_default().trim().to_owned();
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .map_err(|error| CliError::Error(error.to_string()))?;
        Ok(Self { dir: dir.to_owned(), program, simulator, api, http, startup: Arc::default() })
    }

    /// A command of ours on the drill's folder.
    fn command(&self, args: &[String]) -> Command {
        let mut command = Command::new(&self.program);
        without_settings(&mut command);
        command
            .env("PHOTOGPT_API_KEY", KEY)
            .env("PHOTOGPT_BASE_URL", &self.api)
            .env("DARKROOM_DATA_DIR", self.data())
            .env("DARKROOM_CONFIG", self.dir.join("darkroom.toml"))
            .args(args);
        command
    }

    /// The data directory.
    pub(super) fn data(&self) -> PathBuf {
        data(&self.dir)
    }

    /// Starts the daemon and waits for nothing: a kill may come before it listens.
    pub(super) fn serve(&self) -> Result<Child, CliError> {
        let begun = Instant::now();
        let mut daemon = self
            .command(&["serve", "--listen", "127.0.0.1:0"].map(str::to_owned))
            .stdout(Stdio::piped())
            .stderr(log(&self.dir, "daemon.log")?)
            .spawn()
            .map_err(failed("the daemon"))?;
        if let Some(out) = daemon.stdout.take() {
            let startup = self.startup.clone();
            tokio::spawn(async move {
                let mut line = String::new();
                if matches!(BufReader::new(out).read_line(&mut line).await, Ok(read) if read > 0) {
                    let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                    startup.store(took, Ordering::Relaxed);
                }
            });
        }
        Ok(daemon)
    }

    /// The span of a life, so that on a slow machine too most lives come to do something.
    pub(super) fn span(&self) -> Duration {
        BUSY + Duration::from_millis(self.startup.load(Ordering::Relaxed).saturating_mul(2))
    }

    /// Runs a command to its end, or kills it after a while.
    pub(super) async fn run(
        &self,
        args: &[String],
        kill_after: Option<Duration>,
    ) -> Result<Ended, CliError> {
        let mut child = self
            .command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed("a command"))?;
        if let Some(after) = kill_after
            && tokio::time::timeout(after, child.wait()).await.is_err()
        {
            let _ = child.start_kill();
        }
        let ended = tokio::time::timeout(COMMAND, child.wait_with_output())
            .await
            .map_err(|_| CliError::Error(format!("it hangs: darkroom {}", args.join(" "))))?
            .map_err(failed("a command"))?;
        Ok(Ended {
            code: ended.status.code(),
            stdout: String::from_utf8_lossy(&ended.stdout).trim().to_owned(),
            stderr: String::from_utf8_lossy(&ended.stderr).trim().to_owned(),
        })
    }

    /// Reads one of the simulator's control addresses.
    pub(super) async fn sim(&self, path: &str) -> Result<Value, CliError> {
        let bad = |error: reqwest::Error| CliError::Error(format!("the simulator: {error}"));
        let url = format!("{}/_sim/{path}", self.api.trim_end_matches("/api"));
        self.http.get(url).send().await.map_err(bad)?.json().await.map_err(bad)
    }

    /// Ends the simulator as a service manager would.
    pub(super) async fn stop(mut self) {
        terminate(&mut self.simulator).await;
    }
}

/// Where a drill in `dir` keeps its data directory.
pub(super) fn data(dir: &Path) -> PathBuf {
    dir.join("data")
}

/// SIGTERM, then patience, then SIGKILL. Answers the exit code.
pub(super) async fn terminate(child: &mut Child) -> Option<i32> {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok())
        && let Some(pid) = rustix::process::Pid::from_raw(pid)
    {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    match tokio::time::timeout(GRACE, child.wait()).await {
        Ok(Ok(status)) => status.code(),
        _ => {
            let _ = child.kill().await;
            None
        }
    }
}

/// The user's own settings are none of the drill's business, least of all the real key.
fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("DARKROOM") || text.starts_with("PHOTOGPT") || text == "RUST_LOG" {
            command.env_remove(&name);
        }
    }
    // Nothing of a drill outlives it.
    command.stdin(Stdio::null()).kill_on_drop(true);
}

fn log(dir: &Path, name: &str) -> Result<std::fs::File, CliError> {
    let open = std::fs::OpenOptions::new().create(true).append(true).open(dir.join(name));
    open.map_err(failed(name))
}
