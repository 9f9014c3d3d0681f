//! Wiring: the daemon from its parts, in the order lock, open, migrate, recover, listen.

pub mod demo;
pub mod drill;
mod notice;

use crate::cli::context::{CliError, Context};
use crate::cli::{self, Cli, Command};
use crate::clock::SystemClock;
use crate::config::Auto;
use crate::domain::ids::Id;
use crate::domain::work::Kind;
use crate::engine::{self, Engine, EngineError};
use crate::http;
use crate::simulator;
use crate::store::intents::{Recover, Start};
use crate::store::open::lock_for_daemon;
use crate::store::settings::{Boot, Halt};
use crate::store::writer::Nothing;
use crate::store::{Fault, Store, StoreError};
use crate::telemetry;
use crate::vendor::{BuildError, Client, ClientConfig, MediaClient, MediaConfig};
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// While the disk is full, the start looks again this often.
const WAIT_FOR_ROOM: Duration = Duration::from_secs(2);
/// The key is tried after the question about the account, which must not wait for its turn behind
/// it; unless that takes longer than this.
const ASKED_FIRST: Duration = Duration::from_secs(1);

/// Runs what the command line asks for and answers the exit code.
///
/// # Errors
/// [`CliError`], which knows its own exit code.
pub async fn run(cli: Cli) -> Result<u8, CliError> {
    match cli.command {
        Command::Serve(args) => {
            let mut flags = Context::flags(&cli.global);
            flags.set("daemon.listen", "--listen", args.listen);
            let remote = args.allow_remote.then(|| "true".to_owned());
            flags.set("daemon.allow_remote", "--allow-remote", remote);
            let context = Context::with_flags(&cli.global, flags)?;
            let log = &context.config.log;
            telemetry::init(log.format, log.level.as_str(), telemetry::Output::Stderr)
                .map_err(|error| CliError::Usage(error.to_string()))?;
            serve(&context).await
        }
        Command::Simulate(args) => {
            let stop = CancellationToken::new();
            let signals = tokio::spawn(wait_for_signal(Signals::catch()?, stop.clone()));
            let result = simulator::run(args, stop.cancelled_owned()).await;
            signals.abort();
            result.map_err(|error| CliError::Error(format!("the simulator stopped: {error}")))?;
            Ok(cli::exit::DONE)
        }
        Command::Demo(args) => demo::run(args, cli.global.data_dir).await,
        Command::Drill(args) => drill::run(args, &cli.global).await,
        _ => cli::run(cli).await,
    }
}

/// Runs the daemon until SIGTERM or Ctrl-C.
///
/// # Errors
/// Bad configuration or a second daemon (exit 2), anything else (exit 1).
async fn serve(context: &Context) -> Result<u8, CliError> {
    let listen = checked_address(context)?;
    let vendor = vendor(context)?;
    let data_dir = context.paths.data_dir();
    context.check_owner()?;
    context.check_not_gone()?;
    let _lock = lock_for_daemon(data_dir)?;
    warn_if_readable(data_dir);
    let clock = Arc::new(SystemClock::new());
    let open = || Store::open(data_dir, clock.clone(), context.timing());
    let store = patiently(open).await?;
    let writer = store.writer().clone();
    // Beside the comparison the writer opens its connection; an error shows at the next write.
    tokio::spawn(async move { writer.write(Nothing).await });
    let found = patiently(|| engine::guard::at_boot(&store)).await?;
    let (started, ()) = tokio::try_join!(
        patiently(|| record_start(context, &store)),
        patiently(|| engine::guard::raise_at_boot(&store, found.as_ref())),
    )?;
    let (boot, recovered) = started;
    for (kind, id) in &recovered {
        tracing::info!(%kind, %id, "{kind} {id}: the last daemon ended while its call was out");
    }
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        CliError::Error(format!(
            "cannot listen on {listen}: {error}; choose another address with --listen"
        ))
    })?;
    let address = listener.local_addr().map_err(|error| CliError::Error(error.to_string()))?;
    let (client, media) = vendor
        .await
        .map_err(|error| CliError::Error(error.to_string()))?
        .map_err(|error| CliError::Usage(error.to_string()))?;
    let engine =
        Arc::new(Engine::new(store.clone(), client, media, context.config.clone(), boot, clock));
    patiently(|| adopt_kept(&engine)).await?;
    engine.hear_of_last_questions().await;
    patiently(|| ask_first(&engine)).await?;
    // Everything else waits for that answer, so the rest of the start runs beside it.
    let (tokens, ..) = tokio::try_join!(
        load_tokens(data_dir),
        patiently(|| prepare_folders(context)),
        sync_anew(&store),
    )?;
    let signals = Signals::catch()?;
    patiently(|| std::future::ready(announce(data_dir, address, boot))).await?;
    crate::cli::out::line(&format!("darkroom listening on http://{address}"))?;
    let result = work(context, &store, engine, listener, tokens, signals).await;
    let _ = std::fs::remove_file(data_dir.join("daemon.json"));
    if result.is_ok() {
        match store.writer().write(Halt { boot }).await {
            // Everything else is stored; the next start sees an end like that of a crash.
            Err(error) if error.fault() == Some(Fault::Full) => tracing::warn!("{error}"),
            other => other.map_err(of_daemon)?,
        }
        // Free calls since the last paid one count too, as soon as there is time for it.
        if store.quarantine().await?.is_none()
            && let Err(error) = engine::guard::raise(&store).await
        {
            tracing::warn!("the high-water file could not be written: {error}");
        }
    }
    store.close().await;
    result
}

/// A step of the start. A full disk heals by itself, so the daemon waits for room.
async fn patiently<T, F>(mut step: impl FnMut() -> F) -> Result<T, CliError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut said = false;
    loop {
        match step().await {
            Err(error) if error.fault() == Some(Fault::Full) => {
                if !said {
                    tracing::error!("the start waits for room on the disk: {error}");
                    said = true;
                }
                tokio::time::sleep(WAIT_FOR_ROOM).await;
            }
            other => return other.map_err(of_daemon),
        }
    }
}

/// What an error of the store means to the daemon.
fn of_daemon(error: StoreError) -> CliError {
    match error.fault() {
        Some(Fault::Broken) => CliError::Storage(storing_failed(&error.to_string())),
        _ => error.into(),
    }
}

/// The sentence that the daemon ends with when the disk fails it.
fn storing_failed(why: &str) -> String {
    format!(
        "{why}; nothing more was decided and no call left after it, and starting the daemon again \
         recovers"
    )
}

/// What the last daemon could not sync is in the log at best as far as the kernel remembers it:
/// copied into the database, it is written and synced anew. Before that nothing with an effect goes
/// out, and nothing is looked at but the account.
async fn sync_anew(store: &Store) -> Result<(), CliError> {
    match store.checkpoint().await {
        Err(error) if error.fault() == Some(Fault::Broken) => Err(of_daemon(error)),
        _ => Ok(()),
    }
}

async fn load_tokens(data_dir: &Path) -> Result<http::token::Tokens, CliError> {
    http::token::Tokens::load(data_dir).map_err(|error| CliError::Error(error.to_string()))
}

/// Takes over the ids that the last daemon could not store.
async fn adopt_kept(engine: &Engine) -> Result<(), StoreError> {
    engine.adopt_kept().await.map_err(of_start)
}

/// Sends the question that every other one waits for. It tries the key as well, unless there is
/// nothing to ask about.
async fn ask_first(engine: &Arc<Engine>) -> Result<(), StoreError> {
    let asked = engine.ask_account_first(ASKED_FIRST).await.map_err(of_start)?;
    let engine = engine.clone();
    tokio::spawn(async move {
        match asked.await {
            true => engine.key_works().await,
            false => engine.probe_key().await,
        }
    });
    Ok(())
}

fn of_start(error: EngineError) -> StoreError {
    match error {
        EngineError::Store(error) => error,
        EngineError::Io { path, source } => StoreError::Io { path, source },
        // No step of the start waits for the vendor.
        EngineError::Vendor(failure) => StoreError::Refused(failure.message),
    }
}

/// Everything that runs side by side, until it is told to stop.
async fn work(
    context: &Context,
    store: &Store,
    engine: Arc<Engine>,
    listener: TcpListener,
    tokens: http::token::Tokens,
    signals: Signals,
) -> Result<u8, CliError> {
    let stop = CancellationToken::new();
    let asked = store.with_own_readers();
    let served = Arc::new(http::App {
        engine: engine.clone(),
        store: asked.clone(),
        config: context.config.clone(),
        catalogue: context.catalogue.clone(),
        tokens,
        queue: http::guard::queue::Queue::default(),
        listen: listener.local_addr().map_err(|error| CliError::Error(error.to_string()))?,
        stop: stop.clone(),
    });
    let server = tokio::spawn(async move {
        note_metrics().await;
        http::server::serve(listener, served).await
    });
    let (mut tasks, clock) = engine::recurring::start(engine.clone())
        .await
        .map_err(|error| CliError::Error(format!("recurring tasks cannot start: {error}")))?;
    let noticing = notice::start(store, clock, engine.clone())
        .map_err(|error| CliError::Error(format!("no thread can be started: {error}")))?;
    let signals = tokio::spawn(wait_for_signal(signals, stop.clone()));
    let failed = store.writer().failed().clone();
    let broken = stop.clone();
    let watchdog = tokio::spawn(async move {
        failed.cancelled().await;
        broken.cancel();
    });
    let worked = engine.run(stop.clone(), context.config.daemon.grace).await;
    stop.cancel();
    let _ = tasks.shutdown().await;
    for task in [signals, watchdog] {
        task.abort();
    }
    drop(noticing);
    // Health requests are short; one that hangs must not hold up the exit.
    let _ = tokio::time::timeout(Duration::from_secs(1), server).await;
    let _ = tokio::time::timeout(Duration::from_secs(1), asked.close_readers()).await;
    if let Some(why) = store.writer().failure() {
        return Err(CliError::Storage(storing_failed(&format!("storing failed: {why}"))));
    }
    worked.map_err(|error| CliError::Error(error.to_string()))?;
    tracing::info!("stopped");
    Ok(crate::cli::exit::DONE)
}

/// Starts noting metrics, which computes for a while: beside the first calls, before the first
/// request is answered.
async fn note_metrics() {
    let installed = tokio::task::spawn_blocking(http::ops::recorder::install).await;
    let problem = match installed {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::warn!("metrics cannot be noted: {problem}");
}

fn checked_address(context: &Context) -> Result<SocketAddr, CliError> {
    let listen = context.config.daemon.listen;
    if listen.ip().is_loopback() || context.config.daemon.allow_remote {
        return Ok(listen);
    }
    Err(CliError::Usage(format!(
        "{listen} can be reached by other machines; if that is wanted, set daemon.allow_remote = \
         true as well"
    )))
}

/// The clients that a start has begun to make.
type Making = tokio::task::JoinHandle<Result<(Client, MediaClient), BuildError>>;

/// Begins to make the vendor's clients: reading the certificates goes on beside the database.
fn vendor(context: &Context) -> Result<Making, CliError> {
    let config = &context.config.vendor;
    let key = context.config.api_key(&context.env)?.ok_or_else(|| {
        CliError::Usage(
            "there is no PhotoGPT API key: set PHOTOGPT_API_KEY, or vendor.api_key_file in the \
             configuration, or the systemd credential photogpt_api_key"
                .to_owned(),
        )
    })?;
    let base_url = config.base_url.url().clone();
    let client = ClientConfig {
        request_timeout: config.request_timeout,
        connect_timeout: config.connect_timeout,
        proxy: config.proxy.url().cloned(),
        ..ClientConfig::new(base_url.clone(), key)
    };
    let media = MediaConfig {
        connect_timeout: config.connect_timeout,
        proxy: config.proxy.url().cloned(),
        ..MediaConfig::new(base_url)
    };
    Ok(tokio::task::spawn_blocking(move || Ok((Client::new(&client)?, MediaClient::new(&media)?))))
}

/// A folder that was there before keeps its mode; it may not be ours alone.
fn warn_if_readable(data_dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(data_dir).map_or(0, |folder| folder.permissions().mode());
    if mode & 0o077 != 0 {
        tracing::warn!(
            "other users can look into {}; `chmod 700` it if it holds nothing else",
            data_dir.display()
        );
    }
}

/// Makes the folders and removes what a killed download or copy left behind.
async fn prepare_folders(context: &Context) -> Result<(), StoreError> {
    for folder in [context.paths.outputs(), context.paths.blobs()] {
        let made = folder.clone();
        let done = tokio::task::spawn_blocking(move || {
            crate::files::atomic::create_dir_durable(&made)?;
            crate::files::atomic::clean_leftovers(&made)
        });
        match done.await {
            Ok(Ok(0)) => {}
            Ok(Ok(count)) => {
                tracing::info!(count, "removed unfinished files from {}", folder.display());
            }
            Ok(Err(source)) => return Err(StoreError::Io { path: folder, source }),
            Err(error) => {
                let source = std::io::Error::other(error);
                return Err(StoreError::Io { path: folder, source });
            }
        }
    }
    Ok(())
}

/// One commit for all that a start has to store.
async fn record_start(
    context: &Context,
    store: &Store,
) -> Result<(i64, Vec<(Kind, Id)>), StoreError> {
    let timing = context.timing();
    // The views show when a row is looked at next; they read the intervals from here.
    let poll = json!({
        "training": timing.poll_training, "job": timing.poll_job,
        "download": timing.poll_download,
    });
    // What an earlier daemon saw of the vendor is no longer known.
    let health = json!({ "state": "ok", "since": store.now(), "problem": null });
    let limits = &context.config.limits;
    let limits = json!({
        "open_jobs": limits.open_jobs, "open_trainings": limits.open_trainings,
    });
    // Who has said whose the account is need not be asked about jobs of others.
    let exclusive = match context.config.account.exclusive {
        Auto::Auto => json!("auto"),
        Auto::Set(exclusive) => json!(exclusive),
    };
    let settings = vec![
        ("poll", poll),
        ("vendor.health", health),
        ("limits", limits),
        ("account.exclusive", exclusive),
    ];
    let boot = Boot { version: env!("CARGO_PKG_VERSION"), settings };
    store.writer().write(Start { boot, recover: Recover { timing } }).await
}

/// Says in a file for `darkroom health` where the daemon listens.
fn announce(data_dir: &Path, address: SocketAddr, boot: i64) -> Result<(), StoreError> {
    let path = data_dir.join("daemon.json");
    let content = json!({ "pid": std::process::id(), "listen": address.to_string(), "boot": boot });
    std::fs::write(&path, content.to_string()).map_err(|source| StoreError::Io { path, source })
}

/// The signals that end a process in an orderly way. They are caught from the moment this exists:
/// whoever reads that the daemon listens may end it right away.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn catch() -> Result<Self, CliError> {
        let catch = |kind| {
            signal(kind)
                .map_err(|error| CliError::Error(format!("signals cannot be received: {error}")))
        };
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn wait_for_signal(mut signals: Signals, stop: CancellationToken) {
    signals.next().await;
    tracing::info!("asked to stop: no new work, calls in flight may end");
    stop.cancel();
    signals.next().await;
    tracing::warn!("asked twice: ending at once");
    std::process::exit(i32::from(crate::cli::exit::INTERRUPTED));
}
