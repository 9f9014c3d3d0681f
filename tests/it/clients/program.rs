//! One run of a client program, followed line by line.

use crate::support::{PATIENCE, World, photos};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

/// What a program is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Python,
    Node,
}

impl Language {
    fn command(self) -> Command {
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
        let (interpreter, program) = match self {
            Self::Python => (python(), "python/vendor_script.py"),
            Self::Node => (Path::new("node"), "node/vendor-script.mjs"),
        };
        let mut command = Command::new(interpreter);
        command.arg(clients.join(program));
        command
    }
}

/// The first Python that has `requests`: the one in the path may be somebody's own build.
fn python() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let candidates = ["python3", "/usr/bin/python3"].map(PathBuf::from);
        let has_requests = |python: &PathBuf| {
            let mut command = Command::new(python);
            command.args(["-c", "import requests"]).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        let found = candidates.into_iter().find(has_requests);
        found.unwrap_or_else(|| panic!("no Python has requests; scripts/test installs it"))
    })
}

/// A client program at work; it dies with the test.
pub(super) struct Program {
    child: Child,
    lines: Receiver<String>,
    /// What it has said so far.
    pub(super) said: Vec<String>,
    ids: BTreeMap<String, String>,
}

impl Program {
    /// Starts the program, unchanged: address and key are all that it is told, and to look often.
    pub(super) fn start(language: Language, base: &str, key: &str, more: &[(&str, &str)]) -> Self {
        let mut command = language.command();
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().to_ascii_lowercase();
            if text.ends_with("_proxy") {
                command.env_remove(&name);
            }
        }
        command
            .arg(photos())
            .env("PHOTOGPT_BASE_URL", base)
            .env("PHOTOGPT_API_KEY", key)
            .env("POLL_SECONDS", "0.05")
            .env("JOB_POLL_SECONDS", "0.05")
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("{language:?} cannot be started ({error}); scripts/test installs it")
        });
        let errors = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            errors.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        Self { child, lines, said: Vec::new(), ids: BTreeMap::new() }
    }

    /// The same, to the gateway of this world, with a local token for a key.
    pub(super) fn through(world: &World, language: Language, more: &[(&str, &str)]) -> Self {
        let base = format!("{}/api", world.daemon().address);
        Self::start(language, &base, &world.token("submit"), more)
    }

    /// Its next line of progress; none when it has ended.
    pub(super) fn line(&mut self) -> Option<String> {
        self.line_with_help(|| ())
    }

    /// The same, where somebody looks after the daemon whenever the program has been silent for a
    /// while.
    pub(super) fn line_with_help(&mut self, help: impl Fn()) -> Option<String> {
        // It may wait for a vendor that is down for a minute.
        let deadline = Instant::now() + 3 * PATIENCE;
        loop {
            match self.lines.recv_timeout(PATIENCE / 12) {
                Ok(line) => {
                    let words: Vec<&str> = line.split_whitespace().collect();
                    if let ["id", step, id] = words.as_slice() {
                        self.ids.insert((*step).to_owned(), (*id).to_owned());
                    }
                    self.said.push(line.clone());
                    return Some(line);
                }
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    assert!(Instant::now() < deadline, "it says nothing any more");
                    help();
                }
            }
        }
    }

    /// Waits until it has said this.
    pub(super) fn until(&mut self, wanted: &str) {
        while self.line().unwrap_or_else(|| panic!("it ended before it said {wanted}")) != wanted {}
    }

    /// What it calls the thing that this step made.
    pub(super) fn id(&self, step: &str) -> &str {
        &self.ids[step]
    }

    /// Everything it has been given a name for, by step.
    pub(super) fn ids(&self) -> &BTreeMap<String, String> {
        &self.ids
    }

    /// Waits for a good end; answers its report.
    pub(super) fn report(&mut self) -> Value {
        while self.line().is_some() {}
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "it ended with {status}");
        serde_json::from_str(&text).unwrap()
    }

    /// `kill -9`, and waits until it is gone.
    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            self.said.extend(self.lines.try_iter());
            eprintln!("--- the client said\n{}", self.said.join("\n"));
        }
    }
}
