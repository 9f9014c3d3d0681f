//! The real binary, the real database and the simulator over real HTTP.
//!
//! Tests wait on conditions, never on sleeps: [`eventually`] looks until it holds or a generous
//! deadline passes.
#![allow(dead_code, reason = "helpers stay even when the last test that used one goes")]

pub(crate) mod api;

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Far beyond what anything here takes: only a hang reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test, in an environment that knows nothing of the developer's own.
pub(crate) fn darkroom() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_darkroom"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("DARKROOM")
            || name.starts_with("PHOTOGPT")
            || name.starts_with("XDG_")
            || name.ends_with("_DIRECTORY")
            || name == "RUST_LOG"
        {
            command.env_remove(name);
        }
    }
    command.env("HOME", "/nonexistent").stdin(Stdio::null());
    command
}

/// Looks until `condition` answers something.
pub(crate) fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a command to its end; one that hangs is killed and fails the test.
pub(crate) fn finish(mut command: Command, what: &str) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id().to_string();
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        let hangs = ended.recv_timeout(PATIENCE).is_err();
        if hangs {
            let _ = Command::new("kill").args(["-9", &pid]).status();
        }
        hangs
    });
    child.stdin.take();
    let output = child.wait_with_output().unwrap();
    let _ = done.send(());
    assert!(
        !watchdog.join().unwrap(),
        "it hangs: darkroom {what}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A child process that dies with the test.
pub(crate) struct Process {
    child: Child,
    /// The address from its first line on stdout.
    pub(crate) address: String,
    /// What it says on stderr.
    pub(crate) log: PathBuf,
}

impl Process {
    fn start(mut command: Command, log: PathBuf) -> Self {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(file).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(at) = line.find("http://") else {
            let _ = child.wait();
            panic!("no address; it said: {line}{}", std::fs::read_to_string(&log).unwrap());
        };
        let address = line[at..].trim().to_owned();
        Self { child, address, log }
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; answers the exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.ended()
    }

    /// Waits until it has ended by itself; answers the exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        eventually("the process ends", || self.child.try_wait().unwrap()).code()
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has logged.
    pub(crate) fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), self.log_text());
        }
    }
}

/// The simulated vendor.
pub(crate) struct Vendor {
    process: Process,
    root: String,
}

impl Vendor {
    /// Starts it at a speed where a training takes about two seconds.
    pub(crate) fn start(folder: &Path, args: &[&str]) -> Self {
        let mut command = darkroom();
        command.args(["simulate", "--listen", "127.0.0.1:0"]);
        if !args.contains(&"--speed") {
            command.args(["--speed", "600"]);
        }
        // Killed, it cannot clean up behind itself.
        command.args(args).env("TMPDIR", folder);
        let process = Process::start(command, folder.join("simulator.log"));
        let root = process.address.trim_end_matches("/api").to_owned();
        Self { process, root }
    }

    /// The base URL for `PHOTOGPT_BASE_URL`.
    pub(crate) fn api(&self) -> &str {
        &self.process.address
    }

    /// Reads one of its control addresses.
    pub(crate) fn get(&self, path: &str) -> Value {
        http("GET", &format!("{}{path}", self.root), None)
    }

    /// Posts to one of its control addresses.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        http("POST", &format!("{}{path}", self.root), Some(body))
    }

    /// What really happened.
    pub(crate) fn ledger(&self) -> Value {
        self.get("/_sim/ledger")
    }

    /// Models, images, trainings and jobs that really happened.
    pub(crate) fn counts(&self) -> [i64; 4] {
        let ledger = self.ledger();
        ["models", "images", "trainings", "jobs"].map(|name| ledger[name].as_i64().unwrap())
    }

    /// Adds faults.
    pub(crate) fn fault(&self, specs: &[&str]) {
        self.post("/_sim/faults", &serde_json::json!(specs));
    }

    /// Takes all faults back.
    pub(crate) fn clear_faults(&self) {
        http("DELETE", &format!("{}/_sim/faults", self.root), None);
    }
}

/// One request; answers the JSON, or the text as a string.
pub(crate) fn http(method: &str, url: &str, body: Option<&Value>) -> Value {
    http_with_token(method, url, None, body)
}

/// The same with a token.
pub(crate) fn http_with_token(
    method: &str,
    url: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client.request(method.parse().unwrap(), url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let text = request.send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    })
}

/// A data directory with its configuration, a vendor, and perhaps a daemon.
pub(crate) struct World {
    daemon: Option<Process>,
    /// The vendor.
    pub(crate) vendor: Vendor,
    /// Everything below it goes when the test ends, after the processes.
    pub(crate) folder: tempfile::TempDir,
    /// The key that daemon and commands use.
    pub(crate) key: String,
    /// More environment for daemon and commands.
    pub(crate) env: Vec<(String, String)>,
}

impl World {
    /// A vendor and an empty data directory; no daemon yet.
    pub(crate) fn new(vendor_args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let vendor = Vendor::start(folder.path(), vendor_args);
        let key = "test-key".to_owned();
        let world = Self { folder, vendor, daemon: None, key, env: Vec::new() };
        world.configure("");
        world
    }

    /// Writes the configuration: fast polls, and `more`.
    pub(crate) fn configure(&self, more: &str) {
        let text = format!(
            "[poll]\ntraining = \"500ms\"\njob = \"100ms\"\ndownload = \"100ms\"\n\
             [doubt]\nfree_settle = \"1s\"\nsettle = \"3s\"\nrelist = \"500ms\"\n\
             [limits]\nrequests_per_second = 200\n{more}"
        );
        std::fs::write(self.config_path(), text).unwrap();
    }

    /// A vendor with these faults, and a daemon with `more` in its configuration.
    pub(crate) fn started(faults: &[&str], more: &str) -> Self {
        let args: Vec<&str> = faults.iter().flat_map(|fault| ["--fault", fault]).collect();
        let mut world = Self::new(&args);
        world.configure(more);
        world.serve();
        world
    }

    /// Runs a command that orders something and answers the new id.
    pub(crate) fn order(&self, args: &[&str]) -> String {
        self.json(args, 0)["id"].as_str().unwrap().to_owned()
    }

    /// Orders a training of the 14 photos; answers the command's JSON.
    pub(crate) fn order_training(&self, name: &str) -> Value {
        let photos = photos();
        let photos = photos.to_str().unwrap();
        let person = ["--name", name, "--age", "30", "--gender", "Male"];
        self.json(&[&["train", "--images", photos][..], &person].concat(), 0)
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.folder.path().join("darkroom.toml")
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A command with this world's environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = darkroom();
        command
            .env("DARKROOM_DATA_DIR", self.data())
            .env("DARKROOM_CONFIG", self.config_path())
            .env("PHOTOGPT_BASE_URL", self.vendor.api())
            .env("PHOTOGPT_API_KEY", &self.key)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .args(args);
        command
    }

    /// Starts the daemon.
    pub(crate) fn serve(&mut self) {
        self.serve_with(&["--listen", "127.0.0.1:0"]);
    }

    /// Starts the daemon with these options.
    pub(crate) fn serve_with(&mut self, options: &[&str]) {
        assert!(self.daemon.is_none(), "one daemon at a time");
        let command = self.command(&[&["serve"], options].concat());
        self.daemon = Some(Process::start(command, self.folder.path().join("daemon.log")));
    }

    /// The running daemon.
    pub(crate) fn daemon(&self) -> &Process {
        self.daemon.as_ref().unwrap()
    }

    /// The token of a scope: `read`, `submit` or `admin`.
    pub(crate) fn token(&self, scope: &str) -> String {
        let name = if scope == "admin" { "token".to_owned() } else { format!("token.{scope}") };
        std::fs::read_to_string(self.data().join(name)).unwrap().trim().to_owned()
    }

    /// Asks the daemon, with the admin token.
    pub(crate) fn get(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.daemon().address);
        http_with_token("GET", &url, Some(&self.token("admin")), None)
    }

    /// `kill -9` of the daemon.
    pub(crate) fn kill(&mut self) {
        self.daemon.take().unwrap().kill();
    }

    /// Waits until the daemon has ended by itself; answers the exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.daemon.take().unwrap().ended()
    }

    /// Stops the daemon in an orderly way.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.daemon.take().unwrap().terminate()
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        finish(self.command(args), &args.join(" "))
    }

    /// Runs a command that must exit with `code`, and reads its JSON.
    pub(crate) fn json(&self, args: &[&str], code: i32) -> Value {
        let mut all = args.to_vec();
        all.push("--json");
        let output = self.run(&all);
        assert_eq!(
            output.status.code(),
            Some(code),
            "darkroom {}\nstdout: {}\nstderr: {}",
            all.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    /// One value from the database, by a connection of its own.
    pub(crate) fn sql(&self, query: &str) -> Option<String> {
        use sqlx::{Connection, Row, TypeInfo, ValueRef};
        let path = self.data().join("darkroom.db");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let options = sqlx::sqlite::SqliteConnectOptions::new()
                .filename(path)
                .read_only(true)
                .busy_timeout(Duration::from_secs(10));
            let mut conn = sqlx::SqliteConnection::connect_with(&options).await.ok()?;
            let query = sqlx::AssertSqlSafe(query.to_owned());
            let row = sqlx::query(query).fetch_optional(&mut conn).await.ok()??;
            let value = row.try_get_raw(0).ok()?;
            if value.is_null() {
                return None;
            }
            Some(match value.type_info().name() {
                "INTEGER" | "BOOLEAN" => row.get::<i64, _>(0).to_string(),
                "REAL" => row.get::<f64, _>(0).to_string(),
                _ => row.get::<String, _>(0),
            })
        })
    }

    /// Keeps every other writer out for a while, as a careless program would.
    pub(crate) fn hold_database(&self, time: Duration) {
        use sqlx::Connection;
        let path = self.data().join("darkroom.db");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let options = sqlx::sqlite::SqliteConnectOptions::new()
                .filename(path)
                .busy_timeout(Duration::from_secs(10));
            let mut conn = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
            sqlx::query("BEGIN IMMEDIATE").execute(&mut conn).await.unwrap();
            tokio::time::sleep(time).await;
            sqlx::query("ROLLBACK").execute(&mut conn).await.unwrap();
        });
    }

    /// Waits until the query answers `value`.
    pub(crate) fn until(&self, query: &str, value: &str) {
        eventually(&format!("{query} = {value}"), || {
            (self.sql(query).as_deref() == Some(value)).then_some(())
        });
    }
}

/// After every test the book must balance: what went out is what is accounted for.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() || !self.data().join("darkroom.db").is_file() {
            return;
        }
        let balances = "select difference = 0 and accepted = accepted_events from spend_proof";
        let Some(balances) = self.sql(balances) else { return };
        let book = "select json_object('calls', paid_calls, 'accepted', accepted, 'refused', refused, \
                    'not_sent', not_sent, 'absent', absent, 'parked', parked, 'open', open, \
                    'accepted_events', accepted_events) from spend_proof";
        assert_eq!(balances, "1", "the book does not balance: {:?}", self.sql(book));
    }
}

/// The mixed folder of 14 photos.
pub(crate) fn photos() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/photos")
}

/// Lower-case hex of a file's content.
pub(crate) fn sha256(path: &Path) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(std::fs::read(path).unwrap()))
}
