//! Bursts: how many jobs, and how many orders, are stored durably in a second.

use crate::report::Figure;
use crate::world::{Site, num, run};
use crate::{Bench, Result, median, proc, seed, share};
use darkroom::clock::{SystemClock, millis, new_id};
use darkroom::domain::event::Event;
use darkroom::domain::ids::Id;
use darkroom::domain::request::{Gender, Identity};
use darkroom::domain::schedule::Timing;
use darkroom::domain::work::Kind;
use darkroom::store::Store;
use darkroom::store::apply::{Apply, Facts};
use darkroom::store::intents::{NewIntent, StartSend};
use darkroom::store::settings::Boot;
use darkroom::store::submit::{NewChange, Submission, Target};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Callers at the same time, and jobs under way at the same time.
const AT_ONCE: usize = 64;
const ROUNDS: usize = 3;

/// Accept, claim and finish through the library, beside the queue that does nothing else.
pub(crate) fn burst(bench: &mut Bench) -> Result<()> {
    let jobs = if bench.quick { 4_000 } else { 20_000 };
    let (mut ours, mut limits, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let folder = bench.folder("burst")?;
        let db = folder.join("limit.db");
        let at_once = AT_ONCE.to_string();
        limits.push(bench.limit(&["burst", &db.to_string_lossy(), &jobs.to_string(), &at_once])?);
        rows.push(bench.limit(&["rows", &db.to_string_lossy(), &jobs.to_string(), &at_once])?);
        let mut command = Command::new(std::env::current_exe()?);
        ours.push(run(command.arg("burst-inner").arg(&folder).args([jobs.to_string(), at_once]))?);
    }
    let of = |rounds: &[serde_json::Value], name: &str| -> Result<f64> {
        Ok(median(rounds.iter().map(|round| num(round, name)).collect::<Result<_>>()?))
    };
    let limit = "group-commit limit";
    let note = format!("{jobs} jobs, {AT_ONCE} callers, median of {ROUNDS}");
    let figure = |metric, unit, name| -> Result<Figure> {
        Ok(Figure::new(metric, unit, of(&ours, name)?).against(limit, of(&limits, name)?))
    };
    bench
        .report
        .add(figure("accept, claim and finish", "jobs/s", "jobs_s")?.at_least(0.5).note(note));
    bench.report.add(figure("accept alone", "jobs/s", "accepts_s")?);
    bench.report.add(figure("CPU per job", "us", "cpu_us_per_job")?.at_most(2.0));
    bench.report.add(figure("commits per job", "", "commits_per_job")?);
    let by_hand = "the same rows by hand";
    for (metric, unit, name) in
        [("accept, claim and finish", "jobs/s", "jobs_s"), ("CPU per job", "us", "cpu_us_per_job")]
    {
        let figure = Figure::new(metric, unit, of(&ours, name)?);
        bench.report.add(figure.against(by_hand, of(&rows, name)?));
    }
    Ok(())
}

/// The measured process of [`burst`]: FOLDER JOBS AT_ONCE.
pub(crate) fn inner(args: &[String]) -> Result<()> {
    let [folder, jobs, at_once] = args else {
        return Err("burst-inner FOLDER JOBS AT_ONCE".into());
    };
    let (jobs, at_once) = (jobs.parse::<usize>()?, at_once.parse::<usize>()?);
    // As the daemon's.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(jobs_through_the_store(Path::new(folder), jobs, at_once))
}

async fn jobs_through_the_store(folder: &Path, jobs: usize, at_once: usize) -> Result<()> {
    let data = folder.join("data");
    // The writer notes each commit here, as in the daemon.
    let notes = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder()?;
    let commits = || commits(&notes.render());
    let store = Store::open(&data, Arc::new(SystemClock::new()), Timing::default()).await?;
    let boot = store.writer().write(Boot { version: "bench", settings: Vec::new() }).await?;
    let models = seed::models(&store, jobs).await?;
    let pid = std::process::id();
    let before = commits();
    let (cpu, begun) = (proc::cpu_seconds(pid)?, Instant::now());
    // Work that is under way at the same time was ordered at about the same time.
    let shares = (0..at_once).map(|n| models.iter().skip(n).step_by(at_once).copied().collect());
    let shares: Vec<Vec<Id>> = shares.collect();
    let mut tasks = tokio::task::JoinSet::new();
    for models in shares {
        let store = store.clone();
        tasks.spawn(async move { accept_each(&store, models).await });
    }
    let mut accepted = Vec::new();
    while let Some(done) = tasks.join_next().await {
        accepted.push(done??);
    }
    let accepting = begun.elapsed().as_secs_f64();
    let mut tasks = tokio::task::JoinSet::new();
    for changes in accepted {
        let store = store.clone();
        tasks.spawn(async move { finish_each(&store, boot, changes).await });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), proc::cpu_seconds(pid)? - cpu);
    let commits = commits() - before;
    let count = jobs as f64;
    let line = json!({
        "jobs_s": count / seconds, "accepts_s": count / accepting,
        "cpu_us_per_job": cpu * 1e6 / count, "commits_per_job": commits / count,
    });
    store.close().await;
    println!("{line}");
    Ok(())
}

/// How many commits the metrics count.
fn commits(text: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix("darkroom_commit_writes_count "));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0.0)
}

/// Orders one change after the other, each for a model of its own.
async fn accept_each(store: &Store, models: Vec<Id>) -> Result<Vec<(Id, Id)>> {
    let mut changes = Vec::with_capacity(models.len());
    for model in models {
        let id = new_id();
        let mut order = Submission::new(("change", id), "bench");
        let fields = Some(Identity {
            name: "Ada".to_owned(),
            age: 30,
            gender: Gender::Female,
            ethnicity: None,
            eye_color: None,
        });
        order.changes.push(NewChange { id, target: Target::Model(model), fields });
        store.writer().write(order).await?;
        changes.push((id, model));
    }
    Ok(changes)
}

/// Claims and finishes one change after the other, as the engine does around a call.
async fn finish_each(store: &Store, boot: i64, changes: Vec<(Id, Id)>) -> Result<()> {
    let timing = Timing::default();
    let kind = Kind::Change;
    for (id, model) in changes {
        let intent = NewIntent {
            lane: format!("changes:{model}"),
            boot,
            request_hash: "0".repeat(64),
            request: json!({ "path": "/models", "fields": { "name": "Ada", "age": 30 } }),
            vendor_time: millis(Duration::ZERO),
            listed_from: None,
            opened_uptime: 0,
            expects: json!({}),
            looked_seq: None,
        };
        store.writer().write(StartSend { kind, id, intent, timing }).await?;
        let event = Event::Accepted { remote_id: format!("r_{id}") };
        let (facts, actor) = (Facts::default(), "daemon".to_owned());
        store.writer().write(Apply { kind, id, event, facts, actor, timing }).await?;
    }
    Ok(())
}

/// A request that orders a picture.
const NATIVE: (&str, &str) = (
    "/v1/jobs",
    r#"{"type":"image","model":"nanobanana","prompt":"a lighthouse at dusk, long exposure, calm sea, soft light, wide angle, no people, film grain, muted colours, 35 mm, from the cliff"}"#,
);
const GATEWAY: (&str, &str) = (
    "/api/images/generation",
    r#"{"modelID":"nanobanana","prompt":"a lighthouse at dusk, long exposure, calm sea, soft light, wide angle, no people, film grain, muted colours, 35 mm, from the cliff"}"#,
);

/// A daemon that takes orders and sends nothing: spending is paused.
pub(crate) fn paused_site(bench: &Bench, name: &str) -> Result<Site> {
    let folder = bench.folder(name)?;
    // Nobody listens there; a paused daemon need not reach its vendor.
    let vendor = "http://127.0.0.1:9/api";
    Site::new(&folder, vendor, "[limits]\nqueue = 1000000\n[log]\nlevel = \"warn\"\n")
}

pub(crate) const PAUSE: (&str, &str) =
    ("/v1/pause", r#"{"switch":"spending","reason":"a benchmark"}"#);

/// Orders over HTTP by 64 callers at once, each waiting for its answer.
pub(crate) fn accept(bench: &mut Bench) -> Result<()> {
    let jobs = if bench.quick { 2_000 } else { 10_000 };
    let limit_jobs = if bench.quick { 4_000 } else { 20_000 };
    let (mut limits, mut alone) = (Vec::new(), Vec::new());
    let mut rounds: [Vec<Round>; 2] = Default::default();
    for _ in 0..ROUNDS {
        let folder = bench.folder("limit")?;
        let db = folder.join("limit.db");
        let (count, at_once) = (limit_jobs.to_string(), AT_ONCE.to_string());
        let limit = bench.limit(&["burst", &db.to_string_lossy(), &count, &at_once])?;
        limits.push(num(&limit, "jobs_s")?);
        alone.push(num(&limit, "accepts_s")?);
        for (which, order) in [NATIVE, GATEWAY].into_iter().enumerate() {
            let site = paused_site(bench, "accept")?;
            let daemon = site.serve()?;
            site.client(&daemon)?.post(PAUSE.0, PAUSE.1)?.json()?;
            let token = site.token()?;
            let round = orders(&daemon.address, &token, order, jobs, daemon.pid())?;
            rounds.get_mut(which).ok_or("two kinds")?.push(round);
            daemon.kill()?;
        }
    }
    let (limit, alone) = (median(limits), median(alone));
    for (rounds, name) in rounds.iter().zip(["POST /v1/jobs", "POST /api/images/generation"]) {
        let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value).collect());
        let note = format!("{jobs} orders, {AT_ONCE} connections, median of {ROUNDS}");
        bench.report.add(
            Figure::new(format!("{name}, accepted"), "orders/s", of(|round| round.per_s))
                .against("group-commit limit, whole jobs", limit)
                .at_least(0.15)
                .note(note),
        );
        bench.report.add(
            Figure::new(format!("{name}, accepted"), "orders/s", of(|round| round.per_s))
                .against("group-commit limit, accepting alone", alone),
        );
        bench.report.add(Figure::new(
            format!("{name}, CPU of the daemon"),
            "us",
            of(|round| round.cpu_us),
        ));
        bench.report.add(
            Figure::new(format!("{name}, worst of all"), "ms", of(|round| round.worst_ms))
                .against("their p50", of(|round| round.p50_ms))
                .at_most(20.0),
        );
        let errors: f64 = rounds.iter().map(|round| round.errors).sum();
        bench.report.add(
            Figure::new(format!("{name}, answers that were not 2xx"), "", errors).at_most(0.0),
        );
    }
    Ok(())
}

/// What a burst of orders over HTTP came to.
pub(crate) struct Round {
    pub(crate) per_s: f64,
    pub(crate) cpu_us: f64,
    pub(crate) p50_ms: f64,
    pub(crate) worst_ms: f64,
    pub(crate) errors: f64,
}

/// Sends `jobs` orders over 64 connections.
pub(crate) fn orders(
    address: &str,
    token: &str,
    (path, body): (&'static str, &'static str),
    jobs: usize,
    pid: u32,
) -> Result<Round> {
    let mut clients = Vec::new();
    for _ in 0..AT_ONCE {
        let mut client = crate::http::Client::connect(address, token)?;
        // The connection is there and known before the clock starts.
        client.get("/v1/info")?.json()?;
        clients.push(client);
    }
    let (cpu, begun) = (proc::cpu_seconds(pid)?, Instant::now());
    let each = jobs / AT_ONCE;
    let threads: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            std::thread::spawn(move || -> Result<(Vec<f64>, f64)> {
                let (mut millis, mut errors) = (Vec::with_capacity(each), 0.0);
                for _ in 0..each {
                    let one = Instant::now();
                    let status = client.post(path, body)?.status;
                    millis.push(one.elapsed().as_secs_f64() * 1e3);
                    errors += f64::from(u8::from(!(200..300).contains(&status)));
                }
                Ok((millis, errors))
            })
        })
        .collect();
    let (mut millis, mut errors) = (Vec::new(), 0.0);
    for thread in threads {
        let (more, wrong) = thread.join().map_err(|_| "a caller panicked")??;
        millis.extend(more);
        errors += wrong;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let count = millis.len() as f64;
    Ok(Round {
        per_s: count / seconds,
        cpu_us: (proc::cpu_seconds(pid)? - cpu) * 1e6 / count,
        p50_ms: share(&mut millis, 0.5),
        worst_ms: share(&mut millis, 1.0),
        errors,
    })
}

/// An order for the latency measurement.
pub(crate) const ORDER: (&str, &str) = NATIVE;
