//! Killed before the Nth system call of a short life, for many N.
//!
//! One life: the daemon starts on a data directory with queued work, does it, and is asked to stop.
//! `tests/deep/killat.c` kills it right before the Nth call that others can see the outcome of;
//! then a daemon that nobody kills must finish the work, bought once, nothing damaged. With a single
//! worker thread the count of calls hardly differs from run to run.
//!
//! Which points: `KILLPOINTS=8` (the default), another number, or `every`, as a sample seeded by
//! `KILLPOINTS_SEED`; `KILLPOINTS_CALLS=all` counts every system call instead of those with an
//! outcome, `KILLPOINTS_WORKERS` is how many points run side by side.

use crate::support::{World, eventually, photos, sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// The exit code of `killat` when it killed.
const KILLED: i32 = 137;
/// Everything that is not finished.
const OPEN: &str = "select count(*) from work where finished_at is null";

/// What is queued before the daemon starts, and what must be true when all is done.
struct Story {
    name: &'static str,
    submit: fn() -> Vec<String>,
    /// Models, images, trainings and jobs at the vendor.
    effects: [i64; 4],
    /// Files brought home.
    outputs: &'static str,
}

const JOB: Story = Story {
    name: "job",
    submit: || words(&["image", "--model", "nanobanana", "--prompt", "a lighthouse"]),
    effects: [0, 0, 0, 1],
    outputs: "1",
};

const TRAINING: Story = Story {
    name: "training",
    submit: || {
        let mut all = words(&["train", "--name", "Ada", "--age", "27", "--gender", "Female"]);
        all.extend(["--images".to_owned(), photos().to_str().unwrap().to_owned()]);
        all
    },
    effects: [1, 14, 1, 0],
    outputs: "0",
};

fn words(all: &[&str]) -> Vec<String> {
    all.iter().map(|&word| word.to_owned()).collect()
}

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

#[test]
fn killed_before_any_system_call_a_job_is_done_once() {
    prove(&JOB, &setting("KILLPOINTS", "8"));
}

/// `scripts/deep` runs this one; a life is some ten times as long.
#[test]
#[ignore = "long: KILLPOINTS_TRAINING points, 200 without it"]
fn killed_before_any_system_call_a_training_is_done_once() {
    prove(&TRAINING, &setting("KILLPOINTS_TRAINING", "200"));
}

/// Runs the sample, side by side, and reports all violations at once.
fn prove(story: &Story, points: &str) {
    let begin = Instant::now();
    let tools = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let killat = build(tools.path());
    let template = Bench::new(&killat).prepare(story);
    let calls = Bench::new(&killat).count(template.path());
    let seed: u64 = setting("KILLPOINTS_SEED", "1").parse().unwrap();
    let points = match points {
        "every" => (1..=calls).collect(),
        number => sample(seed, number.parse().unwrap(), calls),
    };
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<BTreeMap<u64, Outcome>> = Mutex::default();
    let workers: usize = setting("KILLPOINTS_WORKERS", "2").parse().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..workers.min(points.len()) {
            scope.spawn(|| {
                let mut bench = Bench::new(&killat);
                while let Some(&point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = bench.point(story, template.path(), point);
                    outcomes.lock().unwrap().insert(point, outcome);
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap();
    let killed = outcomes.values().filter(|outcome| outcome.killed_at.is_some()).count();
    let doubted = outcomes.values().filter(|outcome| outcome.doubted).count();
    let wrong: Vec<String> = outcomes
        .iter()
        .flat_map(|(point, outcome)| {
            let at = outcome.killed_at.as_deref().unwrap_or("not reached");
            outcome.wrong.iter().map(move |what| format!("point {point} ({at}): {what}"))
        })
        .collect();
    eprintln!(
        "kill points of one {}: {calls} calls in a life; {} points (seed {seed}), {killed} killed, \
         {} not reached; {doubted} with a call in doubt; {} violations; {} s",
        story.name,
        points.len(),
        points.len() - killed,
        wrong.len(),
        begin.elapsed().as_secs()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The last calls of a life may be missed when it is a few calls shorter than the counted one.
    assert!(killed * 4 >= points.len() * 3, "only {killed} of {} were killed", points.len());
}

/// `count` different points of `1..=calls`, one from each stretch, by a small generator of its own.
fn sample(seed: u64, count: u64, calls: u64) -> Vec<u64> {
    let count = count.min(calls);
    let mut state = seed;
    let mut random = move || {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..count)
        .map(|part| {
            let (from, to) = (part * calls / count, (part + 1) * calls / count);
            from + 1 + random() % (to - from)
        })
        .collect()
}

/// Builds `killat`; the C compiler is there, SQLite needs it too.
fn build(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deep/killat.c");
    let target = folder.join("killat");
    let built = Command::new("cc").args(["-O1", "-Wall", "-o"]).arg(&target).arg(&source).status();
    assert!(built.unwrap().success(), "cc cannot build {}", source.display());
    target
}

/// What came of one point.
struct Outcome {
    /// Before which call, if the life was long enough.
    killed_at: Option<String>,
    /// Whether a call was in doubt after the kill.
    doubted: bool,
    wrong: Vec<String>,
}

/// One vendor and one data directory, used for one point after the other.
struct Bench {
    world: World,
    killat: PathBuf,
}

/// A tracer whose daemon dies with it.
struct Life(Child);

impl Drop for Life {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Says which point it was when a test gives up in the middle of it.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("at kill point {}", self.0);
        }
    }
}

impl Bench {
    fn new(killat: &Path) -> Self {
        // A job takes some milliseconds.
        let world = World::new(&["--speed", "60000"]);
        let text = "[poll]\ntraining = \"100ms\"\njob = \"50ms\"\ndownload = \"50ms\"\n\
                    [doubt]\nfree_settle = \"300ms\"\nsettle = \"300ms\"\nrelist = \"100ms\"\n\
                    [limits]\nrequests_per_second = 500\n";
        std::fs::write(world.folder.path().join("darkroom.toml"), text).unwrap();
        Self { world, killat: killat.to_owned() }
    }

    /// A data directory with the work queued, made by the command line without a daemon.
    fn prepare(&self, story: &Story) -> tempfile::TempDir {
        let args = (story.submit)();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.world.json(&args, 0);
        let template = tempfile::tempdir().unwrap();
        copy(&self.world.data(), template.path());
        template
    }

    fn begin(&self, template: &Path) {
        self.world.vendor.post("/_sim/reset", &serde_json::json!({}));
        let _ = std::fs::remove_dir_all(self.world.data());
        copy(template, &self.world.data());
    }

    /// Starts the daemon below `killat`.
    fn live(&self, point: u64) -> Life {
        let daemon = self.world.command(&["serve", "--listen", "127.0.0.1:0"]);
        let mut command = Command::new(&self.killat);
        command.arg(point.to_string()).arg(setting("KILLPOINTS_CALLS", "effects"));
        command.arg(daemon.get_program()).args(daemon.get_args());
        for (name, value) in daemon.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let log = std::fs::File::create(self.log()).unwrap();
        command.env("TOKIO_WORKER_THREADS", "1").stdin(Stdio::null()).stdout(Stdio::null());
        Life(command.stderr(log).spawn().unwrap())
    }

    fn log(&self) -> PathBuf {
        self.world.folder.path().join("life.log")
    }

    /// What `killat` said last.
    fn last_word(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap();
        let word = text.lines().rev().find_map(|line| line.strip_prefix("killat: "));
        word.unwrap_or_else(|| panic!("killat said nothing:\n{text}")).to_owned()
    }

    /// Waits for the kill, or until all is done; then the daemon is asked to stop, which is part of
    /// its life.
    fn watch(&self, mut life: Life) -> Option<i32> {
        let mut asked = false;
        let status = eventually("the life ends", || {
            if !asked && self.world.sql(OPEN).as_deref() == Some("0") {
                let pid = life.0.id().to_string();
                asked = Command::new("kill").args(["-TERM", &pid]).status().unwrap().success();
            }
            life.0.try_wait().unwrap()
        });
        status.code()
    }

    /// How many calls the life has when nobody kills it.
    fn count(&self, template: &Path) -> u64 {
        self.begin(template);
        let code = self.watch(self.live(0));
        let word = self.last_word();
        assert_eq!(code, Some(0), "{word}");
        word.strip_prefix("ended after ").unwrap().parse().unwrap()
    }

    fn point(&mut self, story: &Story, template: &Path, point: u64) -> Outcome {
        let _named = Named(point);
        self.begin(template);
        let killed_at = match self.watch(self.live(point)) {
            Some(KILLED) => Some(self.last_word()),
            Some(0) => None,
            other => panic!("the daemon ended with {other:?}: {}", self.last_word()),
        };
        let open = "select count(*) from intents where settled_at is null";
        let doubted = !matches!(self.world.sql(open).as_deref(), Some("0") | None);
        self.world.serve();
        let witnesses = self.settle(story);
        self.world.until(OPEN, "0");
        self.world.kill();
        Outcome { killed_at, doubted, wrong: self.violations(story, witnesses) }
    }

    /// What nothing on a fresh account can settle by itself: a job that never arrived needs a later
    /// one as witness, a training a person. Answers how many witnesses were ordered.
    fn settle(&self, story: &Story) -> i64 {
        let stuck = match story.name {
            "job" => {
                "select id from jobs where state = 'in_doubt' and exists \
                      (select 1 from intents i where i.subject = jobs.id and looking >= 300)"
            }
            _ => {
                "select t.id from trainings t join intents i on i.subject = t.id \
                  where t.state = 'in_doubt' and i.asked is not null"
            }
        };
        let id = eventually("all is done, or waits", || {
            if self.world.sql(OPEN).as_deref() == Some("0") {
                return Some(None);
            }
            self.world.sql(stuck).map(Some)
        });
        let Some(id) = id else { return 0 };
        if story.name != "job" {
            self.world.json(&["resolve", &id, "--resubmit"], 0);
            return 0;
        }
        self.world.json(&["image", "--model", "nanobanana", "--prompt", "the witness"], 0);
        1
    }

    /// Everything that is not as if nobody had killed it.
    fn violations(&self, story: &Story, witnesses: i64) -> Vec<String> {
        let mut wrong = Vec::new();
        let counts = self.world.vendor.counts();
        let mut effects = story.effects;
        effects[3] += witnesses;
        if counts != effects {
            wrong.push(format!("the vendor did {counts:?} instead of {effects:?}"));
        }
        let outputs: i64 = story.outputs.parse().unwrap();
        let outputs = (outputs + witnesses).to_string();
        for (query, expected) in [
            ("pragma integrity_check", "ok"),
            ("select count(*) from pragma_foreign_key_check", "0"),
            ("select count(*) from work where state <> 'succeeded'", "0"),
            ("select count(*) from intents where settled_at is null", "0"),
            ("select count(*) from outputs", outputs.as_str()),
            // Each effect was accepted or found, once.
            (
                "select count(*) from (select w.id from work w left join events e on e.subject = w.id \
                 and e.cause in ('accepted', 'found') where w.kind <> 'output' group by w.id \
                 having count(e.seq) <> 1)",
                "0",
            ),
        ] {
            let answer = self.world.sql(query);
            if answer.as_deref() != Some(expected) {
                wrong.push(format!("{query}: {answer:?} instead of {expected}"));
            }
        }
        let folder = self.world.data().join("outputs");
        let mut files: Vec<String> = std::fs::read_dir(&folder)
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| sha256(&path))
            .collect();
        files.sort();
        let hashes = self.world.sql(
            "select coalesce(group_concat(sha256), '') from \
             (select sha256 from outputs order by sha256)",
        );
        if hashes.as_deref() != Some(files.join(",").as_str()) {
            wrong.push(format!("the files are {files:?}, the rows say {hashes:?}"));
        }
        let temporary = std::fs::read_dir(folder.join(".tmp")).into_iter().flatten().count();
        if temporary > 0 {
            wrong.push(format!("{temporary} temporary files are left"));
        }
        wrong
    }
}

/// Copies a folder with everything below it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
