//! `darkroom demo`: the whole flow offline, with a `kill -9` in the middle of the training.
//!
//! The vendor is the simulator in this process; the daemon and the submitting command are real
//! child processes, so that what is shown is what a user gets.

use crate::cli::context::CliError;
use crate::cli::out::{line, talk};
use crate::cli::{DemoArgs, exit};
use crate::clock::SystemClock;
use crate::domain::ids::Id;
use crate::domain::schedule::Timing;
use crate::files::samples;
use crate::simulator;
use crate::store::Store;
use crate::store::open::db_path;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The recipe that is shown; the same file that users start from.
const RECIPE: &str = include_str!("../../config/recipes/ugc-creator.toml");
/// The vendor's 20 to 25 minutes of training become about ten seconds.
const SPEED: f64 = 130.0;
/// Polls as fast as the sped-up vendor needs them; a slow machine still gets through.
const CONFIG: &str = "# Made by `darkroom demo`: everything is fast here. See config/darkroom.toml for a real one.\n\
    [poll]\ntraining = \"500ms\"\njob = \"100ms\"\ndownload = \"100ms\"\n\n\
    [doubt]\nsettle = \"5s\"\nrelist = \"1s\"\nfree_settle = \"2s\"\n\n\
    [limits]\nrequests_per_second = 50\n\n[log]\nformat = \"text\"\n";
/// Nothing in the demo takes this long; it ends with an error instead of hanging.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often the database is read for news.
const LOOK: Duration = Duration::from_millis(100);
/// When the daemon is killed: this long after the training was accepted (of about ten seconds).
const KILL_AFTER: Duration = Duration::from_secs(4);

struct Demo {
    dir: PathBuf,
    program: PathBuf,
    api: String,
    started: Instant,
    seen: BTreeMap<String, String>,
}

/// Runs the demo.
///
/// # Errors
/// A database that is there already (exit 2); anything that does not go as it should (exit 1).
pub async fn run(args: DemoArgs, data_dir: Option<PathBuf>) -> Result<u8, CliError> {
    let dir = folder(args, data_dir)?;
    let vendor = simulator::start(simulator::Args {
        listen: ([127, 0, 0, 1], 0).into(),
        speed: SPEED,
        ..simulator::Args::default()
    })
    .await
    .map_err(|error| CliError::Error(format!("the simulator cannot start: {error}")))?;
    let mut demo = Demo {
        dir,
        program: std::env::current_exe().map_err(|error| CliError::Error(error.to_string()))?,
        api: vendor.api_url(),
        started: Instant::now(),
        seen: BTreeMap::new(),
    };
    let shown = tokio::time::timeout(PATIENCE, demo.show(&vendor)).await;
    vendor.stop().await;
    shown.map_err(|_| CliError::Error("the demo took too long and was ended".to_owned()))?
}

/// The demo's folder: never one that holds somebody's work.
fn folder(args: DemoArgs, data_dir: Option<PathBuf>) -> Result<PathBuf, CliError> {
    let env = std::env::var_os("DARKROOM_DATA_DIR").filter(|dir| !dir.is_empty());
    let dir = match args.dir.or(data_dir).or(env.map(PathBuf::from)) {
        Some(dir) => dir,
        None => tempfile::Builder::new()
            .prefix("darkroom-demo-")
            .tempdir()
            .map_err(|error| CliError::Error(format!("no temporary folder: {error}")))?
            .keep(),
    };
    if db_path(&dir).exists() {
        return Err(CliError::Usage(format!(
            "{} holds a darkroom database already; the demo wants a folder of its own (--dir)",
            dir.display()
        )));
    }
    std::path::absolute(&dir).map_err(|error| CliError::Error(error.to_string()))
}

impl Demo {
    async fn show(&mut self, vendor: &simulator::Running) -> Result<u8, CliError> {
        crate::store::open::create_data_dir(&self.dir)?;
        self.say("the vendor is simulated, 130 times faster than the real one; nothing is spent");
        let photos = self.dir.join("photos");
        let write = |path: PathBuf, text: &str| {
            std::fs::write(&path, text)
                .map_err(|error| CliError::Error(format!("{}: {error}", path.display())))
        };
        samples::write_samples(&photos, 14)
            .map_err(|error| CliError::Error(format!("sample photos: {error}")))?;
        write(self.dir.join("darkroom.toml"), CONFIG)?;
        write(self.dir.join("recipe.toml"), RECIPE)?;
        let mut daemon = self.serve().await?;
        let run = self.submit().await?;
        let clock = Arc::new(SystemClock::new());
        let store = Store::open(&self.dir, clock, Timing::default()).await?;

        self.watch_until(&store, run, |news| news.training_for >= Some(KILL_AFTER)).await?;
        daemon.kill().await.map_err(|error| CliError::Error(error.to_string()))?;
        self.say("kill -9: the daemon is dead, in the middle of the training");
        tokio::time::sleep(Duration::from_millis(500)).await;
        daemon = self.serve().await?;
        self.say("the daemon is back and goes on where it was");
        let news = self.watch_until(&store, run, |news| news.open == 0).await?;
        let verdict = self.verdict(&store, vendor, &news).await;
        store.close().await;
        stop(&mut daemon).await;
        verdict
    }

    fn say(&self, text: &str) {
        talk(&format!("{:6.1} s  {text}", self.started.elapsed().as_secs_f64()));
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        // The user's own settings are none of the demo's business, least of all the real key.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("DARKROOM") || text.starts_with("PHOTOGPT") {
                command.env_remove(&name);
            }
        }
        command
            .env("PHOTOGPT_API_KEY", "demo-key")
            .env("PHOTOGPT_BASE_URL", &self.api)
            .env("DARKROOM_DATA_DIR", &self.dir)
            .env("DARKROOM_CONFIG", self.dir.join("darkroom.toml"))
            .args(args)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Starts the daemon and waits for its address.
    async fn serve(&self) -> Result<Child, CliError> {
        let failed = |error: std::io::Error| CliError::Error(format!("the daemon: {error}"));
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join("daemon.log"))
            .map_err(failed)?;
        let mut daemon = self
            .command(&["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(failed)?;
        let mut first = String::new();
        if let Some(out) = daemon.stdout.take() {
            BufReader::new(out).read_line(&mut first).await.map_err(failed)?;
        }
        if first.trim().is_empty() {
            return Err(CliError::Error(format!(
                "the daemon did not start; see {}",
                self.dir.join("daemon.log").display()
            )));
        }
        self.say(first.trim());
        Ok(daemon)
    }

    /// Submits the recipe as a user would and answers the run's id.
    async fn submit(&self) -> Result<Id, CliError> {
        let recipe = self.dir.join("recipe.toml");
        let recipe = recipe.to_string_lossy();
        let output = self
            .command(&["run", &recipe, "--quiet"])
            .stderr(Stdio::inherit())
            .output()
            .await
            .map_err(|error| CliError::Error(format!("the recipe: {error}")))?;
        let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let run = Id::parse(&id).filter(|_| output.status.success());
        let run = run.ok_or_else(|| CliError::Error("the recipe was not accepted".to_owned()))?;
        self.say("submitted: 14 photos, a training, two pictures, an upscale and a video");
        Ok(run)
    }

    /// Prints every change until `done`.
    async fn watch_until(
        &mut self,
        store: &Store,
        run: Id,
        done: impl Fn(&News) -> bool,
    ) -> Result<News, CliError> {
        loop {
            let news = self.look(store, run).await?;
            if done(&news) {
                return Ok(news);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn look(&mut self, store: &Store, run: Id) -> Result<News, CliError> {
        let members = store.run_progress(run).await?;
        let mut news = News::default();
        let uploads = members.iter().filter(|member| member.kind == "upload");
        let done = uploads.clone().filter(|member| member.state == "succeeded").count();
        self.note("photos", format!("{done} of {} photos uploaded", uploads.count()));
        for member in members {
            if !["succeeded", "failed", "cancelled", "attention"].contains(&member.state.as_str()) {
                news.open += 1;
            } else if member.state != "succeeded" {
                news.bad += 1;
            }
            if member.kind == "training" && member.state == "running" {
                let accepted = member.accepted_at.unwrap_or_else(|| store.now());
                let age = u64::try_from(store.now() - accepted).unwrap_or(0);
                news.training_for = Some(Duration::from_millis(age));
            }
            if member.kind != "upload" {
                self.note(&member.id, format!("{}: {}", member.label, member.state));
            }
        }
        Ok(news)
    }

    /// Says something when it has changed since it was said last.
    fn note(&mut self, about: &str, text: String) {
        if self.seen.get(about) != Some(&text) {
            self.say(&text);
            self.seen.insert(about.to_owned(), text);
        }
    }

    /// Holds the vendor's ledger and the files against the database.
    async fn verdict(
        &self,
        store: &Store,
        vendor: &simulator::Running,
        news: &News,
    ) -> Result<u8, CliError> {
        let effects = ledger(vendor).await?;
        let files = store.home_files().await?;
        let mut damaged = 0;
        for file in &files {
            let bytes = std::fs::read(self.dir.join(&file.path))
                .map_err(|error| CliError::Error(format!("{}: {error}", file.path)))?;
            if hex::encode(Sha256::digest(&bytes)) != file.sha256 {
                damaged += 1;
            }
        }
        let bought = effects.iter().map(|(name, count)| format!("{count} {name}"));
        self.say(&format!(
            "the vendor's ledger: {}; nothing was bought twice",
            bought.collect::<Vec<_>>().join(", ")
        ));
        let expected = [("models", 1), ("images", 14), ("trainings", 1), ("jobs", 4)];
        let exact = expected
            .iter()
            .all(|(name, count)| effects.iter().any(|(n, c)| n == name && c == count));
        if news.bad > 0 || damaged > 0 || !exact || files.is_empty() {
            return Err(CliError::Error(format!(
                "this is not as it should be: {} pieces of work without success, {damaged} damaged \
                 files, ledger {effects:?}; see {}",
                news.bad,
                self.dir.join("daemon.log").display()
            )));
        }
        for file in &files {
            line(&format!(
                "{}\t{}\t{} bytes",
                self.dir.join(&file.path).display(),
                file.media_type,
                file.bytes
            ))?;
        }
        let db = db_path(&self.dir);
        talk(&format!(
            "\nLook around:\n  sqlite3 -box {db} 'select * from job_status'\n  \
             sqlite3 -box {db} 'select * from timeline'\n  \
             darkroom ls --data-dir {dir}\n",
            db = shell(&db),
            dir = shell(&self.dir),
        ));
        Ok(exit::DONE)
    }
}

/// What a look at the run showed.
#[derive(Debug, Default)]
struct News {
    open: usize,
    bad: usize,
    training_for: Option<Duration>,
}

/// The effects that really happened at the simulated vendor.
async fn ledger(vendor: &simulator::Running) -> Result<Vec<(&'static str, i64)>, CliError> {
    let bad = |error: reqwest::Error| CliError::Error(format!("the ledger: {error}"));
    let client = reqwest::Client::builder().no_proxy().build().map_err(bad)?;
    let reply = client.get(vendor.control_url("ledger")).send().await.map_err(bad)?;
    let ledger: serde_json::Value = reply.json().await.map_err(bad)?;
    let count = |name: &'static str| (name, ledger.get(name).and_then(|n| n.as_i64()).unwrap_or(0));
    Ok(["models", "images", "trainings", "jobs"].map(count).to_vec())
}

/// SIGTERM, as a service manager would.
async fn stop(daemon: &mut Child) {
    if let Some(pid) = daemon.id().and_then(|pid| i32::try_from(pid).ok())
        && let Some(pid) = rustix::process::Pid::from_raw(pid)
    {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let _ = tokio::time::timeout(Duration::from_secs(15), daemon.wait()).await;
}

/// A path that can be pasted into a shell.
fn shell(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
