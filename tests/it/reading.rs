//! The reading commands as a shell sees them: stdout, stderr and exit codes of the real binary.

use darkroom::clock::SystemClock;
use darkroom::domain::ids::Id;
use darkroom::domain::schedule::Timing;
use darkroom::store::Store;
use darkroom::store::submit::{NewModel, Submission};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

struct Shell {
    dir: tempfile::TempDir,
}

impl Shell {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_darkroom"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.dir.path())
            .env("DARKROOM_DATA_DIR", self.dir.path().join("data"))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        (
            status.code().unwrap(),
            String::from_utf8(stdout).unwrap(),
            String::from_utf8(stderr).unwrap(),
        )
    }

    /// Takes over two models, so that there is something to read.
    async fn two_models(&self) -> [Id; 2] {
        let clock = Arc::new(SystemClock::new());
        let store =
            Store::open(&self.dir.path().join("data"), clock, Timing::default()).await.unwrap();
        let ids = [Id(uuid::Uuid::now_v7()), Id(uuid::Uuid::now_v7())];
        for (n, id) in ids.iter().enumerate() {
            let mut new = Submission::new(("model", *id), "cli");
            new.models.push(NewModel {
                id: *id,
                name: format!("Anna\t{n}"),
                identity: None,
                import: Some(format!("model_{n}")),
            });
            store.writer().write(new).await.unwrap();
        }
        store.close().await;
        ids
    }
}

#[tokio::test]
async fn lists_are_tabs_ids_or_json() {
    let shell = Shell::new();
    let [first, second] = shell.two_models().await;
    let (code, out, _) = shell.run(&["ls", "models"]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((code, lines.len()), (0, 3));
    assert_eq!(lines[0], "id\tname\tstate\tphotos\ttraining\twhy\tcreated");
    // A tab in a name does not become a column.
    assert!(lines[1].starts_with(&format!("{second}\tAnna 1\trunning\t0/0\t\t")));
    let (_, out, _) = shell.run(&["ls", "models", "--no-header", "--limit", "1"]);
    assert_eq!(out.lines().count(), 1);
    let (_, out, _) = shell.run(&["ls", "-q"]);
    assert_eq!(out, format!("{second}\n{first}\n"));
    let (_, out, _) = shell.run(&["ls", "models", "--json"]);
    let rows: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(rows[1]["id"], first.to_string());
    let (_, out, _) = shell.run(&["show", "model_0", "--json"]);
    let row: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(row, rows[1]);
}

#[tokio::test]
async fn bad_ids_are_told_apart() {
    let shell = Shell::new();
    let (code, _, err) = shell.run(&["show", "abc"]);
    assert_eq!(code, 2);
    assert!(err.contains("there is no darkroom database"), "{err}");
    let [first, second] = shell.two_models().await;
    let (code, out, err) = shell.run(&["show", "nobody"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("there is no id nobody; `darkroom ls`"), "{err}");
    let (code, _, err) = shell.run(&["explain", &first.to_string()[..6]]);
    assert_eq!(code, 2);
    assert!(err.contains(&first.to_string()) && err.contains(&second.to_string()));
    let (code, _, err) = shell.run(&["wait", "model_0", "--timeout", "soon"]);
    assert_eq!(code, 2);
    assert!(err.contains("--timeout"), "{err}");
}

#[tokio::test]
async fn waiting_stops_at_the_deadline_and_cancelling_says_what_it_did() {
    let shell = Shell::new();
    let [first, _] = shell.two_models().await;
    let (code, out, err) = shell.run(&["wait", "model_0", "--timeout", "10ms", "--json"]);
    assert_eq!(code, 5);
    assert!(err.contains("no daemon is running"), "{err}");
    let row: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(row["state"], "running");
    let (code, out, _) = shell.run(&["cancel", "model_0"]);
    assert_eq!(code, 0);
    assert!(out.starts_with(&format!("model {first}: running; ")), "{out}");
    let (_, out, _) = shell.run(&["events", "model_0", "--json"]);
    let events: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(events[1]["cause"], "cancel_requested");
    let (code, _, err) = shell.run(&["retry", "model_0"]);
    assert_eq!(code, 3);
    assert!(err.contains("goes on by itself"), "{err}");
}

#[test]
fn pauses_are_told_and_lifted() {
    let shell = Shell::new();
    let (code, out, _) = shell.run(&["pause", "spending", "--reason", "lunch"]);
    assert_eq!((code, out.as_str()), (0, "spending: paused\n"));
    let (_, out, err) = shell.run(&["pause", "spending"]);
    assert_eq!(out, "spending: already paused\n");
    assert!(err.contains("lunch"), "{err}");
    let (_, out, _) = shell.run(&["resume", "spending", "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["status"], "resumed");
    let (_, out, _) = shell.run(&["resume", "spending"]);
    assert_eq!(out, "spending: already running\n");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let shell = Shell::new();
    let mut child = shell.command(&["help", "formatting"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    child.wait().unwrap();
    let mut child = shell
        .command(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}

#[test]
fn the_doctor_finds_what_is_missing_even_with_a_broken_file() {
    let shell = Shell::new();
    let (code, out, _) = shell.run(&["doctor", "--json"]);
    assert_eq!(code, 1);
    let checks: serde_json::Value = serde_json::from_str(&out).unwrap();
    let state = |name: &str| {
        let found = checks.as_array().unwrap().iter();
        let mut found = found.filter(|check| check["check"] == name);
        found.next().map(|check| check["state"].clone())
    };
    assert_eq!(state("api key").unwrap(), "fail");
    assert_eq!(state("configuration").unwrap(), "ok");
    assert_eq!(state("daemon").unwrap(), "warn");
    let file = shell.dir.path().join("bad.toml");
    std::fs::write(&file, "[pol]\n").unwrap();
    let file = file.to_str().unwrap();
    let (code, out, _) = shell.run(&["doctor", "--config", file]);
    assert_eq!(code, 1);
    assert!(out.contains("fail\tconfiguration"), "{out}");
    let (code, out, _) = shell.run(&["config", "path", "--config", file]);
    assert_eq!((code, out.trim()), (0, file));
}

#[test]
fn health_token_and_topics() {
    let shell = Shell::new();
    let (code, _, err) = shell.run(&["health"]);
    assert_eq!(code, 1);
    assert!(err.contains("no daemon is running"), "{err}");
    let (_, token, _) = shell.run(&["token"]);
    assert_eq!(token.trim().len(), 64);
    assert_eq!(shell.run(&["token"]).1, token);
    for topic in ["exit-codes", "environment", "formatting"] {
        let (code, out, _) = shell.run(&["help", topic]);
        assert_eq!(code, 0);
        assert!(out.lines().count() > 5, "{out}");
        assert_eq!(shell.run(&[topic]).1.trim(), out.trim());
    }
}

#[test]
fn nothing_yet_is_no_fault() {
    let shell = Shell::new();
    let (code, out, err) = shell.run(&["ls"]);
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(err.contains("nothing here yet"), "{err}");
    assert_eq!(shell.run(&["ls", "models", "--json"]).1, "[]\n");
    assert_eq!(shell.run(&["model", "ls", "--json"]).1, "[]\n");
}

#[tokio::test]
async fn quiet_prints_ids_and_keys_only() {
    let shell = Shell::new();
    let [first, _] = shell.two_models().await;
    assert_eq!(shell.run(&["events", "model_0", "-q"]).1, format!("{first}\n"));
    let (_, out, _) = shell.run(&["config", "show", "-q"]);
    assert!(out.lines().all(|line| !line.contains('\t')) && out.contains("data directory\n"));
}
