//! The wall clock jumps while the daemon works, as NTP, an administrator or a laptop's sleep make
//! it. libfaketime turns the wall clock of daemon and commands and leaves the monotonic clock
//! alone; the vendor is another process and keeps the true time.

use crate::support::{World, eventually, photos};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const OPEN: &str = "select count(*) from work where finished_at is null";
const ENDED_BADLY: &str = "select count(*) from work where state in ('failed', 'attention')";
const NANO: [&str; 5] = ["image", "--model", "nanobanana", "--prompt", "a sundial"];
/// Far above what the tests' intervals lead to, far below the request limit of 200.
const STORM: usize = 60;

/// A world whose daemon and commands live by a wall clock that the test turns.
struct Clocked {
    world: World,
    daemons: Vec<u32>,
}

impl Clocked {
    fn new(vendor_args: &[&str], config: &str) -> Self {
        let mut world = World::new(vendor_args);
        world.configure(config);
        let library = glob("/usr/lib", "faketime/libfaketimeMT.so.1");
        let offset = world.folder.path().join("clock");
        for (name, value) in [
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ] {
            world.env.push((name.to_owned(), value.to_owned()));
        }
        let clocked = Self { world, daemons: Vec::new() };
        clocked.set(0);
        clocked
    }

    /// From now on the wall clock is `seconds` ahead of the true time.
    fn set(&self, seconds: i64) {
        let file = self.world.folder.path().join("clock");
        let new = file.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}")).unwrap();
        std::fs::rename(new, file).unwrap();
    }

    fn serve(&mut self) {
        self.world.serve();
        self.daemons.push(self.world.daemon().pid());
    }

    /// Waits until the daemon has noticed that its clock was set.
    fn noticed(&self, times: usize) {
        eventually("the daemon notices its clock", || {
            (self.world.daemon().log_text().matches("the clock was set").count() >= times)
                .then_some(())
        });
    }

    fn signal(&self, name: &str) {
        let pid = self.world.daemon().pid().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// The vendor's records of the calls after number `since`.
    fn calls(&self, since: u64, op: &str) -> Vec<Value> {
        let only = if op.is_empty() { String::new() } else { format!("&op={op}") };
        let report = self.world.vendor.get(&format!("/_sim/requests?since={since}{only}"));
        report["last"].as_array().unwrap().clone()
    }

    fn count(&self) -> u64 {
        self.world.vendor.get("/_sim/requests?since=999999999")["total"].as_u64().unwrap()
    }

    /// At no time more calls within a second, by the vendor's clock, than the intervals explain.
    fn assert_no_storm(&self, since: u64) {
        let at: Vec<i64> =
            self.calls(since, "").iter().map(|call| call["at"].as_i64().unwrap()).collect();
        let busiest = at
            .iter()
            .map(|from| at.iter().filter(|at| (*from..from + 1_000).contains(*at)).count());
        let busiest = busiest.max().unwrap_or(0);
        assert!(busiest <= STORM, "{busiest} calls within a second");
    }

    /// A training and an image job that the vendor works on until it is released.
    fn two_running(&self) {
        self.training();
        self.world.json(&NANO, 0);
        self.world.until("select count(*) from jobs where state = 'running'", "1");
    }

    /// A training that the vendor works on until it is released.
    fn training(&self) {
        self.world.vendor.post("/_sim/hold", &json!({}));
        let photos = photos();
        let mut train = vec!["train", "--name", "Ada", "--age", "27", "--gender", "Female"];
        train.extend(["--images", photos.to_str().unwrap()]);
        self.world.json(&train, 0);
        self.world.until("select state from trainings", "running");
    }
}

impl Drop for Clocked {
    fn drop(&mut self) {
        // What libfaketime leaves behind when its process is killed.
        for pid in &self.daemons {
            for name in ["faketime_shm", "sem.faketime_sem"] {
                let _ = std::fs::remove_file(format!("/dev/shm/{name}_{pid}"));
            }
        }
    }
}

/// `<folder>/<any>/<rest>`: Debian names the folder in between by the architecture.
fn glob(folder: &str, rest: &str) -> PathBuf {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path().join(rest));
    paths.find(|path| path.exists()).unwrap_or_else(|| panic!("no {rest}: install libfaketime"))
}

/// Two hours back while a training and a job run, a file cannot be fetched and the vendor is down.
#[test]
fn two_hours_back_strands_nothing_and_silences_no_task() {
    let mut clocked =
        Clocked::new(&["--fault", "status=503@media,times=3"], "[sweep]\nevery = \"1s\"\n");
    clocked.serve();
    let world = &clocked.world;
    world.json(&NANO, 0);
    world.until("select state from jobs", "collecting");
    clocked.two_running();
    // A back-off of seconds is stored, by the clock as it is now.
    world.until("select failures from outputs", "3");
    world.vendor.post("/_sim/down", &json!({}));
    let health = "select json_extract(value, '$.state') from settings where name = 'vendor.health'";
    world.until(health, "unreachable");
    let since = clocked.count();
    clocked.set(-2 * HOUR);
    clocked.noticed(1);
    world.vendor.post("/_sim/up", &json!({}));
    world.vendor.post("/_sim/release", &json!({}));
    world.until(OPEN, "0");
    assert_eq!(world.sql(ENDED_BADLY).as_deref(), Some("0"));
    assert_eq!(world.vendor.counts(), [1, 14, 1, 2]);
    let swept = clocked.calls(0, "listJobs").len();
    eventually("the sweep goes on", || {
        (clocked.calls(0, "listJobs").len() >= swept + 3).then_some(())
    });
    clocked.assert_no_storm(since);
}

/// Tasks that run by the minute: the scheduler rests in between, and a clock that is set ends that.
#[test]
fn a_clock_that_is_set_brings_the_tasks_of_the_minute_at_once() {
    // A job takes a second and a half: by then the scheduler rests.
    let faults = ["--fault", "job-time=1500ms"];
    let mut clocked = Clocked::new(&faults, "[sweep]\nevery = \"60s\"\n");
    clocked.serve();
    let sweeps = |what: &str, at_least: usize| {
        eventually(what, || {
            let swept = clocked.calls(0, "listJobs").len();
            (swept >= at_least).then_some(swept)
        })
    };
    for (what, offset) in [
        ("the first minute", 60),
        ("a minute later", 130),
        ("two hours back", -2 * HOUR),
        ("a minute later then", 70 - 2 * HOUR),
        ("another one", 140 - 2 * HOUR),
    ] {
        clocked.world.json(&NANO, 0);
        clocked.world.until(OPEN, "0");
        let swept = sweeps("what went before", 0);
        clocked.set(offset);
        sweeps(what, swept + 1);
    }
}

/// A day passes on the wall clock in the middle of everything that a day could end.
#[test]
fn a_day_forward_fails_and_parks_nothing() {
    let mut clocked = Clocked::new(
        &[
            "--fault",
            "job-stuck,times=1",
            "--fault",
            "empty-success=9,times=1,skip=2",
            "--fault",
            "job-404=2,times=1,skip=3",
            "--fault",
            "status=503@media,times=3,skip=3",
            "--fault",
            "lost-request@triggerImageGenerationJob,times=1,skip=1",
        ],
        "[sweep]\nevery = \"1s\"\n",
    );
    clocked.serve();
    let world = &clocked.world;
    let mut days = 0;
    let mut another_day = || {
        days += 1;
        clocked.set(days * (DAY + HOUR));
    };
    let open = |what: &str| {
        eventually(what, || world.sql(&format!("select 1 from jobs where {what}")));
    };
    let submit = || world.json(&NANO, 0)["id"].as_str().unwrap().to_owned();
    let succeeds =
        |id: &str| world.until(&format!("select state from jobs where id = '{id}'"), "succeeded");

    // Looked at all the time, so that the loop notices the clock before a back-off is over.
    let stuck = submit();
    world.until("select state from jobs", "running");
    let stuck = world.sql(&format!("select remote_id from jobs where id = '{stuck}'")).unwrap();

    // A lost call is absent only when the settle time has passed, whatever our clock says.
    let id = submit();
    open("state = 'in_doubt'");
    another_day();
    succeeds(&id);
    assert_settled(&clocked, 1);

    // Success without a picture is read again for a minute, by default.
    let id = submit();
    open("note like '%lists no image%'");
    another_day();
    succeeds(&id);
    // A job that the vendor does not know is waited for for a day.
    let id = submit();
    open("failures = 1");
    another_day();
    open("failures = 2");
    another_day();
    succeeds(&id);
    // So is a file that cannot be fetched.
    let id = submit();
    for failures in 1..=3 {
        let failed = format!("select count(*) from outputs where failures = {failures}");
        world.until(&failed, "1");
        another_day();
    }
    succeeds(&id);
    clocked.training();
    another_day();
    clocked.noticed(days as usize);
    world.vendor.post(&format!("/_sim/job/{stuck}"), &json!({ "status": "success" }));
    world.vendor.post("/_sim/release", &json!({}));
    world.until(OPEN, "0");
    let badly = "select count(*) from events where to_state in ('failed', 'attention')";
    assert_eq!(world.sql(badly).as_deref(), Some("0"));
    assert_eq!(world.vendor.counts(), [1, 14, 1, 5]);
    clocked.assert_no_storm(0);
}

/// Between the call that was lost and the next one, at least the settle time of 3 s, as the vendor
/// saw it.
fn assert_settled(clocked: &Clocked, lost: usize) {
    let calls = clocked.calls(0, "triggerImageGenerationJob");
    let at = |index: usize| calls[index]["at"].as_i64().unwrap();
    assert!(at(lost + 1) - at(lost) >= 3_000, "sent again after {} ms", at(lost + 1) - at(lost));
}

/// Without a `Date` header there is only our own time; then the one that nobody can set.
#[test]
fn a_day_forward_proves_no_absence_when_the_vendor_tells_no_time() {
    let lost = "lost-request@triggerImageGenerationJob,times=1,skip=1";
    let mut clocked = Clocked::new(&["--no-date", "--fault", lost], "");
    clocked.serve();
    // The witness.
    clocked.world.json(&NANO, 0);
    clocked.world.until("select state from jobs", "succeeded");
    clocked.world.json(&NANO, 0);
    clocked.world.until("select count(*) from jobs where state = 'in_doubt'", "1");
    clocked.set(DAY);
    clocked.world.until("select count(*) from jobs where state = 'succeeded'", "2");
    assert_settled(&clocked, 1);
    assert_eq!(clocked.world.vendor.counts(), [0, 0, 0, 2]);
}

/// An hour passes while the daemon does not run, and its connections die.
#[test]
fn a_laptop_asleep_for_an_hour_wakes_without_a_storm() {
    let mut clocked = Clocked::new(&[], "");
    let text = "[poll]\ntraining = \"2s\"\njob = \"1s\"\n[limits]\nrequests_per_second = 200\n";
    std::fs::write(clocked.world.folder.path().join("darkroom.toml"), text).unwrap();
    clocked.serve();
    clocked.two_running();
    let world = &clocked.world;
    clocked.signal("-STOP");
    world.vendor.post("/_sim/down", &json!({}));
    clocked.set(HOUR);
    let since = clocked.count();
    clocked.signal("-CONT");
    clocked.noticed(1);
    eventually("it meets dead connections", || (clocked.count() > since).then_some(()));
    world.vendor.post("/_sim/up", &json!({}));
    world.vendor.post("/_sim/release", &json!({}));
    world.until(OPEN, "0");
    assert_eq!(world.sql(ENDED_BADLY).as_deref(), Some("0"));
    assert_eq!(world.vendor.counts(), [1, 14, 1, 1]);
    // Of the 3600 looks at the job that the hour would have brought, 1800 at the training and 6
    // sweeps, none is made up for. (The lists that measure the lag after an acceptance go on.)
    let calls = clocked.calls(since, "").len();
    assert!(calls <= STORM, "{calls} calls after an hour asleep");
    let sweeps = clocked.calls(since, "listJobs").len();
    assert!(sweeps < 6, "{sweeps} sweeps after an hour asleep");
}
