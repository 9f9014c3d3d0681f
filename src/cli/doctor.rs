//! `darkroom doctor`: one line per check, and for each problem what to do about it.

mod high_water;

use super::context::{Context, GlobalArgs};
use super::out::{self, Look, span};
use super::{CliError, config_show, exit, table};
use crate::clock::{Clock, SystemClock, millis};
use crate::config::Config;
use crate::domain::failure::FailureClass;
use crate::domain::schedule::Timing;
use crate::engine::resolve;
use crate::files::atomic::is_full;
use crate::http::token::Scope;
use crate::store::listing::{SHARED, UNREADABLE, Unreadable};
use crate::store::{Store, open};
use crate::vendor::{Client, ClientConfig};
use judging::times::Times;
use judging::training::Delay;
use serde::Serialize;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// The vendor answers a ping in well under a second; a doctor should not take minutes.
const PING_PATIENCE: Duration = Duration::from_secs(20);
/// Windows in the vendor's lists are widened by what the clocks differ; beyond this it hurts.
const SKEW_WARN: i64 = 30_000;
const SKEW_FAIL: i64 = 10 * 60_000;
/// How a full disk is mended.
const MAKE_ROOM: &str = "make room: below disk.floor nothing is bought; then it goes on by itself";
/// Every accepted request waits for the disk once.
const FSYNC_SLOW: Duration = Duration::from_millis(500);

/// Check key, vendor, disk, database and configuration, and say how to mend what is wrong.
#[derive(Clone, Debug, clap::Args)]
pub struct Doctor {
    /// Leave out everything that talks to the vendor.
    #[arg(long)]
    offline: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ok,
    Warn,
    Fail,
}

#[derive(Clone, Debug, Serialize)]
struct Check {
    check: &'static str,
    state: Status,
    message: String,
    fix: Option<String>,
}

/// The checks so far.
#[derive(Default)]
struct Report(Vec<Check>);

impl Report {
    fn ok(&mut self, check: &'static str, message: impl Into<String>) {
        self.add(check, Status::Ok, message.into(), None);
    }

    fn warn(&mut self, check: &'static str, message: impl Into<String>, fix: &str) {
        self.add(check, Status::Warn, message.into(), Some(fix));
    }

    fn fail(&mut self, check: &'static str, message: impl Into<String>, fix: &str) {
        self.add(check, Status::Fail, message.into(), Some(fix));
    }

    fn add(&mut self, check: &'static str, state: Status, message: String, fix: Option<&str>) {
        self.0.push(Check { check, state, message, fix: fix.map(str::to_owned) });
    }
}

/// Checks everything; exit code 0 when nothing failed.
///
/// # Errors
/// As [`out::line`].
pub async fn run(global: &GlobalArgs, args: &Doctor) -> Result<u8, CliError> {
    let mut report = Report::default();
    match Context::new(global) {
        Err(error) => report.fail(
            "configuration",
            error.to_string(),
            "correct it; `darkroom config path` says which file it is",
        ),
        Ok(context) => {
            configuration(&context, &mut report);
            vendor(&context, args.offline, &mut report).await;
            data_dir(&context, &mut report);
            disk(&context, &mut report);
            database(&context, &mut report).await;
            daemon(&context, &mut report);
        }
    }
    print(global, &report)?;
    let failed = report.0.iter().any(|check| check.state == Status::Fail);
    Ok(if failed { exit::ERROR } else { exit::DONE })
}

fn print(global: &GlobalArgs, report: &Report) -> Result<(), CliError> {
    if global.json {
        return out::json(&report.0);
    }
    let shown = report.0.iter().filter(|check| !global.quiet || check.state != Status::Ok);
    let rows: Vec<Vec<String>> = shown
        .map(|check| {
            let state = match check.state {
                Status::Ok => "ok",
                Status::Warn => "warn",
                Status::Fail => "fail",
            };
            let fix = check.fix.as_deref().unwrap_or("");
            vec![
                state.to_owned(),
                check.check.to_owned(),
                out::clean(&check.message),
                out::clean(fix),
            ]
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    table::grid(&["state", "check", "finding", "what to do"], &rows, &Look::of_stdout(global))
}

fn configuration(context: &Context, report: &mut Report) {
    let file = Config::file(&Context::flags(&context.global), &context.env);
    match file.filter(|file| file.is_file()) {
        Some(file) => report.ok("configuration", file.display().to_string()),
        None => report.ok("configuration", "no file; defaults, environment and flags"),
    }
    let config = &context.config;
    let usual = Timing::default();
    let eager = millis(config.poll.training) < usual.poll_training
        || millis(config.poll.job) < usual.poll_job;
    if eager && !config.vendor.base_url.is_loopback() {
        report.warn(
            "poll intervals",
            "shorter than the vendor asks for (trainings 5m, jobs 5s)",
            "raise [poll] training and job; short ones are for the simulator",
        );
    }
}

async fn vendor(context: &Context, offline: bool, report: &mut Report) {
    let key = match context.config.api_key(&context.env) {
        Err(error) => return report.fail("api key", error.to_string(), "see the message"),
        Ok(None) => {
            return report.fail(
                "api key",
                "there is none, so nothing can be sent to the vendor",
                "set PHOTOGPT_API_KEY, or vendor.api_key_file in the configuration",
            );
        }
        Ok(Some(key)) => key,
    };
    let source = config_show::key_source(context);
    if offline {
        return report.ok("api key", format!("{source}; not tried"));
    }
    let settings = &context.config.vendor;
    let base = settings.base_url.as_str().to_owned();
    let mut client = ClientConfig::new(settings.base_url.url().clone(), key);
    client.request_timeout = settings.request_timeout.min(PING_PATIENCE);
    client.connect_timeout = settings.connect_timeout;
    client.proxy = settings.proxy.url().cloned();
    let client = match Client::new(&client) {
        Ok(client) => client,
        Err(error) => {
            return report.fail("vendor", format!("{base}: {error}"), "correct vendor.base_url");
        }
    };
    match client.ping().await {
        Ok(_) => {
            report.ok("api key", format!("{source}; accepted"));
            report.ok("vendor", format!("{base} answers"));
        }
        Err(failure) if failure.class == FailureClass::Unauthorized => {
            report.fail(
                "api key",
                format!("{source}; the vendor does not accept it"),
                "put the right key there, then `darkroom resume spending` and `darkroom resume \
                 watching`",
            );
            report.ok("vendor", format!("{base} answers"));
        }
        Err(failure) => report.fail(
            "vendor",
            format!("{base}: {}", failure.message),
            "check vendor.base_url, the network and vendor.proxy; work waits meanwhile",
        ),
    }
    clock_skew(client.vendor_now(), report);
}

fn clock_skew(vendor_now: Option<i64>, report: &mut Report) {
    // Nothing answered: said already.
    let Some(vendor_now) = vendor_now else { return };
    let skew = SystemClock::new().now() - vendor_now;
    let text = format!(
        "this machine is {} {} the vendor",
        span(skew.abs()),
        if skew < 0 { "behind" } else { "ahead of" }
    );
    let fix = "let the system keep its time by NTP";
    match skew.abs() {
        ..SKEW_WARN => report.ok("clock", text),
        SKEW_WARN..SKEW_FAIL => report.warn("clock", text, fix),
        _ => report.fail("clock", text, fix),
    }
}

/// The mode bits that let others in.
fn open_to_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
}

fn data_dir(context: &Context, report: &mut Report) {
    let dir = context.paths.data_dir();
    let name = dir.display().to_string();
    if !dir.exists() {
        return report.ok("data directory", format!("{name} is made when it is first needed"));
    }
    if open_to_others(dir) {
        let fix = format!("chmod 700 '{name}'");
        report.warn("data directory", format!("{name} is open to other users"), &fix);
    } else {
        report.ok("data directory", name.clone());
    }
    for scope in Scope::ALL {
        let token = scope.token_file(dir);
        if open_to_others(&token) {
            report.fail(
                "token",
                format!("{} can be read by other users", token.display()),
                &format!("`darkroom token --scope {scope} --rotate` makes a new one"),
            );
        }
    }
    match fsync_time(dir) {
        Err(error) if is_full(&error) => {
            report.fail("writing", format!("the disk of {name} is full"), MAKE_ROOM);
        }
        Err(error) => report.fail(
            "writing",
            format!("{name} cannot be written: {error}"),
            "give this user the right to write there, or name another folder with --data-dir",
        ),
        Ok(time) if time > FSYNC_SLOW => report.warn(
            "writing",
            format!("the disk takes {time:.0?} to store something safely"),
            "put the data directory on a faster or less busy disk",
        ),
        Ok(time) => report.ok("writing", format!("the disk stores safely in {time:.1?}")),
    }
}

fn fsync_time(dir: &Path) -> std::io::Result<Duration> {
    use std::io::Write;
    let begin = Instant::now();
    let mut file = tempfile::Builder::new().prefix(".doctor-").tempfile_in(dir)?;
    file.write_all(b"darkroom doctor\n")?;
    file.as_file().sync_all()?;
    Ok(begin.elapsed())
}

fn disk(context: &Context, report: &mut Report) {
    let dir = context.paths.data_dir();
    let floor = context.config.disk.floor.0;
    match crate::files::disk::free_bytes(dir) {
        Ok(free) => {
            let text = format!("{} MB free", free / 1_000_000);
            let below = format!("{text}; disk.floor is {} MB", floor / 1_000_000);
            if free < floor {
                report.fail("disk", below, MAKE_ROOM);
            } else if free < floor.saturating_mul(2) {
                report.warn("disk", below, MAKE_ROOM);
            } else {
                report.ok("disk", text);
            }
        }
        Err(_) => report.warn("disk", "the free space is not known", "look at it with `df`"),
    }
}

async fn database(context: &Context, report: &mut Report) {
    let clock = std::sync::Arc::new(SystemClock::new());
    let dir = context.paths.data_dir();
    match Store::open_existing(dir, clock, context.timing()).await {
        Ok(None) => high_water::no_database(dir, report),
        Err(error) => report.fail(
            "database",
            error.to_string(),
            "see the message; a damaged file is best replaced by a backup",
        ),
        Ok(Some(store)) => {
            if let Err(error) = rows(&store, &resolve::times(&context.config), report).await {
                let fix = "see the message; a damaged file is best replaced by a backup";
                report.fail("database", error.to_string(), fix);
            }
            if let Err(error) = high_water::check(&store, report).await {
                report.fail("high water", error.to_string(), "see the message");
            }
            store.close().await;
        }
    }
}

async fn rows(
    store: &Store,
    times: &Times,
    report: &mut Report,
) -> Result<(), crate::store::StoreError> {
    let version = store.sqlite_version().await?;
    let problems = store.check_integrity().await?;
    if problems.is_empty() {
        let path = open::db_path(store.data_dir());
        report.ok("database", format!("{} is sound (SQLite {version})", path.display()));
    } else {
        report.fail(
            "database",
            problems.join("; "),
            "stop the daemon, keep a copy of the file, and go back to a backup",
        );
    }
    let pauses = store.pauses().await?;
    for (word, pause) in [("spending", pauses.spending), ("watching", pauses.watching)] {
        if let Some(pause) = pause {
            let fix = match pause.heals_by_itself() {
                true => MAKE_ROOM.to_owned(),
                false => format!("`darkroom resume {word}` once the reason is gone"),
            };
            let paused = format!("{word} is paused by {}: {}", pause.by, pause.reason);
            report.warn("pause", paused, &fix);
        }
    }
    let reasons = store.attention_reasons().await?;
    if !reasons.is_empty() {
        let waiting: i64 = reasons.values().sum();
        let what: Vec<String> =
            reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let things = if waiting == 1 { "thing needs" } else { "things need" };
        report.warn(
            "attention",
            format!("{waiting} {things} a person: {}", what.join(", ")),
            "`darkroom ls attention`",
        );
    }
    spending(store, times, report).await
}

/// Does the book balance, who uses the account, how late is the vendor's list?
async fn spending(
    store: &Store,
    times: &Times,
    report: &mut Report,
) -> Result<(), crate::store::StoreError> {
    let proof = store.spend_proof().await?;
    let book = format!(
        "{} paid calls: {} accepted, {} refused, {} not sent, {} absent, {} parked, {} open",
        proof.paid_calls,
        proof.accepted,
        proof.refused,
        proof.not_sent,
        proof.absent,
        proof.parked,
        proof.open
    );
    if proof.balances() {
        report.ok("ledger", book);
    } else {
        let fix = "keep a copy of the database and report it: `darkroom ledger`";
        report.fail("ledger", format!("{book}; the events say otherwise"), fix);
    }
    let totals = store.unclaimed_totals().await?;
    if totals.jobs > 0 {
        report.warn(
            "unclaimed",
            format!(
                "the vendor has {} jobs that no row claims ({} credits); {} of them may be \
                 duplicates of ours",
                totals.jobs, totals.credits, totals.duplicates
            ),
            "`darkroom ledger` lists them",
        );
    }
    if store.setting::<serde_json::Value>(SHARED).await?.is_some() {
        report.warn(
            "account",
            "others use this account too, so fewer lost replies can be settled without you",
            "if that is over, set account.exclusive = true",
        );
    }
    vendors_list(store, times, report).await
}

/// When a training whose trigger's reply was lost counts as absent, and why then.
fn trainings(delay: &Delay, times: &Times) -> String {
    let Delay { samples, longest } = *delay;
    let known = match samples {
        0 => {
            "how late a model's status follows its training's trigger was never measured".to_owned()
        }
        _ => format!(
            "a model's status follows its training's trigger within {} ({samples} measured)",
            span(longest)
        ),
    };
    match delay.settle(times) {
        Some(settle) => format!("{known}; a lost trigger counts as absent after {}", span(settle)),
        None => format!("{known}; until that says enough, a lost trigger never counts as absent"),
    }
}

/// What is known of the list that verdicts on lost calls rest on.
async fn vendors_list(
    store: &Store,
    times: &Times,
    report: &mut Report,
) -> Result<(), crate::store::StoreError> {
    let known = store.known().await?;
    let settle = known.lag.settle(times, store.now());
    report.ok(
        "vendor's list",
        format!(
            "late by at most {} in two days ({} jobs measured); a lost call counts as absent after \
             {} at the earliest: {}",
            span(known.lag.longest(store.now())),
            known.lag.samples,
            span(settle.millis),
            settle.why
        ),
    );
    report.ok("trainings", trainings(&store.training_delay().await?, times));
    if let Some(job) = known.lacks {
        report.warn(
            "vendor's list",
            format!(
                "has never shown the job {job}, which the vendor accepted, so nothing is found \
                 absent by it"
            ),
            "`darkroom release` says that it may be believed all the same",
        );
    }
    if let Some(list) = store.setting::<Unreadable>(UNREADABLE).await? {
        let lasts = span(store.now() - list.since);
        report.warn(
            "vendor's list",
            format!("has been unreadable for {lasts}, so nothing is bought: {}", list.why),
            "it is asked for again by itself; if it stays so, tell the vendor",
        );
    }
    Ok(())
}

fn daemon(context: &Context, report: &mut Report) {
    if context.daemon_is_running() {
        report.ok("daemon", "running");
    } else {
        report.warn(
            "daemon",
            "not running, so nothing is sent or watched",
            "`darkroom serve` starts it",
        );
    }
}
