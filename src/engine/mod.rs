//! The daemon's work: what is due, doing it, and storing what came of it.
//!
//! The database decides what to do; signals only wake. [`due`] is the loop, [`perform`] carries one
//! row one step further through [`send`], [`fetch`] or [`resolve`]. What the vendor works on is looked
//! at beside it, by [`looks`] and [`lists`]; [`poll`] says what a look means.

pub mod account;
pub mod ask;
pub mod change;
mod delay;
pub mod due;
mod failing;
pub mod fetch;
pub mod gap;
pub mod governor;
pub mod guard;
mod key;
pub mod lists;
pub mod looks;
pub mod perform;
mod placing;
pub mod poll;
mod questions;
pub mod recurring;
pub mod references;
pub mod resolve;
pub mod send;
pub mod storage;
pub mod sweep;
mod unclear;
pub mod watch;
mod whose;

#[cfg(test)]
mod bench_tests;
#[cfg(test)]
mod day_tests;
#[cfg(test)]
mod key_tests;
#[cfg(test)]
mod money_tests;
#[cfg(test)]
mod training_tests;
#[cfg(test)]
mod unclear_tests;

use crate::config::Config;
use crate::domain::event::Event;
use crate::domain::failure::{Failure, FailureClass};
use crate::domain::ids::{Id, Millis};
use crate::domain::schedule::Timing;
use crate::domain::work::{Kind, Work};
use crate::store::apply::{Apply, Facts};
use crate::store::settings::PutSetting;
use crate::store::{Store, StoreError};
use crate::vendor::{Client, MediaClient, Reply};
use governor::Governor;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// A database that takes longer than this for a write is not ready for any.
const SLOW_DATABASE: Duration = Duration::from_secs(2);

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

/// The configured durations, as the rules need them.
pub fn timing(config: &Config) -> Timing {
    Timing {
        poll_training: millis(config.poll.training),
        poll_job: millis(config.poll.job),
        poll_download: millis(config.poll.download),
        free_settle: millis(config.doubt.free_settle),
        relist: millis(config.doubt.relist),
        flag_training_after: millis(config.training.flag_after),
        give_up_after: millis(config.outputs.give_up_after),
        ..Timing::default()
    }
}

/// What keeps one row from being carried further right now.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vendor did not answer a question usefully; the row stays as it is.
    #[error("{}", .0.message)]
    Vendor(Failure),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl From<Failure> for EngineError {
    fn from(failure: Failure) -> Self {
        Self::Vendor(failure)
    }
}

/// Shorthand of this module.
pub type Result<T, E = EngineError> = std::result::Result<T, E>;

/// Everything a step of work needs.
pub struct Engine {
    store: Store,
    client: Client,
    media: MediaClient,
    config: Config,
    governor: Governor,
    boot: i64,
    clock: Arc<dyn crate::clock::Clock>,
    /// What the wall clock said when the monotonic one said zero.
    clock_zero: Millis,
    wake: Notify,
    /// The last whole list that counts before a paid call.
    broad: Mutex<Option<sweep::Broad>>,
    /// When the loop last looked for work.
    last_round: Mutex<tokio::time::Instant>,
    /// One listing at a time; whoever waits for it shares it.
    listing: tokio::sync::Mutex<()>,
    /// How far the list was known when a row was looked for before it is sent again.
    last_looks: Mutex<std::collections::HashMap<Id, i64>>,
    /// What has failed for how long.
    failing: Mutex<failing::Failing>,
    /// What the vendor said last of the key.
    key: tokio::sync::Mutex<key::Asked>,
    /// Trainings whose model's status is waited for.
    followed: Mutex<delay::Followed>,
    /// What looks for calls in doubt need not read again.
    ended: Mutex<resolve::ended::EndedJobs>,
    storage: storage::Storage,
    /// When running rows are looked at next.
    watch: Mutex<watch::Watch>,
    looks: looks::Looks,
    /// When they were looked at last, for the next daemon.
    questions: questions::Questions,
    opening: Mutex<questions::Opening>,
    /// How open jobs and trainings are asked about together.
    lists: Mutex<lists::Lists>,
    /// Whether the account is known to be ours.
    account: Mutex<account::Standing>,
    /// The entry of the chain up to which it has been checked since the start.
    scrubbed: Mutex<i64>,
    /// Whether the vendor's list has been compared with this database since the start.
    compared: std::sync::atomic::AtomicBool,
    /// Ids in the spill file that no row has taken over.
    spilled: Mutex<Vec<String>>,
    /// What the vendor says of rows that nobody understands.
    unclear: Mutex<unclear::Unclear>,
}

impl Engine {
    /// Puts the parts together; starts nothing.
    pub fn new(
        store: Store,
        client: Client,
        media: MediaClient,
        config: Config,
        boot: i64,
        clock: Arc<dyn crate::clock::Clock>,
    ) -> Self {
        let governor = Governor::new(config.limits.requests_per_second, clock.clone());
        let clock_zero = clock.now() - millis(clock.monotonic());
        Self {
            store,
            client,
            media,
            config,
            governor,
            boot,
            clock,
            clock_zero,
            wake: Notify::new(),
            broad: Mutex::new(None),
            last_round: Mutex::new(tokio::time::Instant::now()),
            listing: tokio::sync::Mutex::new(()),
            last_looks: Mutex::default(),
            failing: Mutex::default(),
            followed: Mutex::default(),
            key: tokio::sync::Mutex::default(),
            ended: Mutex::default(),
            storage: storage::Storage::default(),
            watch: Mutex::default(),
            looks: looks::Looks::default(),
            questions: questions::Questions::default(),
            opening: Mutex::default(),
            lists: Mutex::default(),
            account: Mutex::default(),
            scrubbed: Mutex::new(0),
            compared: std::sync::atomic::AtomicBool::new(false),
            spilled: Mutex::default(),
            unclear: Mutex::default(),
        }
    }

    /// Makes the loop look again; it decides by itself whether there is anything to do.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// How the vendor is doing.
    pub fn health(&self) -> governor::Health {
        self.governor.health()
    }

    /// How long ago the loop last looked for work.
    pub fn since_last_round(&self) -> Duration {
        self.last_round.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// When the most overdue look at a running row was due; `None` when none is overdue.
    pub fn oldest_look_due(&self) -> Option<Millis> {
        let oldest = self.watch().oldest();
        oldest.filter(|at| *at < self.now())
    }

    fn mark_round(&self) {
        *self.last_round.lock().unwrap_or_else(PoisonError::into_inner) =
            tokio::time::Instant::now();
    }

    /// Whether the database takes a write.
    ///
    /// # Errors
    /// What it said instead.
    pub async fn check_database(&self) -> std::result::Result<(), StoreError> {
        let written = self.store.writer().write(crate::store::writer::Nothing);
        match tokio::time::timeout(SLOW_DATABASE, written).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::RolledBack(format!(
                "it has not taken a write for {} s",
                SLOW_DATABASE.as_secs()
            ))),
        }
    }

    fn timing(&self) -> &Timing {
        self.store.timing()
    }

    fn now(&self) -> Millis {
        self.store.now()
    }

    fn data_dir(&self) -> &Path {
        self.store.data_dir()
    }

    /// The vendor's clock. Until it tells the time, ours at the start plus the time that has passed:
    /// nobody can set that one.
    fn vendor_now(&self) -> Millis {
        let ours = || self.clock_zero.saturating_add(millis(self.clock.monotonic()));
        self.client.vendor_now().unwrap_or_else(ours)
    }

    /// Makes sure that the vendor's clock is known, by one free question: every window in its lists
    /// rests on it.
    async fn know_the_time(&self) -> Result<()> {
        if self.client.vendor_now().is_none() {
            self.call(self.client.ping()).await?;
        }
        Ok(())
    }

    /// One vendor call: its turn, its result noted, a refused key acted upon.
    async fn call<T, F>(&self, call: F) -> std::result::Result<Reply<T>, Failure>
    where
        F: Future<Output = std::result::Result<Reply<T>, Failure>>,
    {
        self.governor.turn().await;
        self.called(call).await
    }

    /// One vendor call whose turn has come.
    async fn called<T, F>(&self, call: F) -> std::result::Result<Reply<T>, Failure>
    where
        F: Future<Output = std::result::Result<Reply<T>, Failure>>,
    {
        // The last look before it leaves: what it brought could not be stored any more.
        if let Some(why) = self.store.writer().failure() {
            return Err(not_sent(format!("storing failed, so nothing more is asked: {why}")));
        }
        let result = call.await;
        self.note_health(&result).await;
        if let Err(failure) = &result {
            tracing::debug!(
                class = failure.class.as_str(),
                status = failure.http_status,
                "vendor call failed: {}",
                failure.message
            );
        }
        match result {
            Err(failure) if failure.class == FailureClass::Unauthorized => {
                Err(self.ask_about_the_key(failure).await)
            }
            result => result,
        }
    }

    /// Whether the vendor answers, as far as this call tells.
    async fn note_health<T>(&self, result: &std::result::Result<Reply<T>, Failure>) {
        if let Some(health) = self.governor.note(result) {
            match &health.problem {
                Some(problem) => tracing::warn!("the vendor cannot be reached: {problem}"),
                None => tracing::info!("the vendor answers again"),
            }
            let value = serde_json::to_value(&health).unwrap_or_default();
            self.put("vendor.health", value).await;
        }
    }

    async fn put(&self, name: &'static str, value: serde_json::Value) {
        if let Err(error) = self.store.writer().write(PutSetting { name, value }).await {
            tracing::warn!("the setting {name} could not be stored: {error}");
        }
    }

    /// Stores an event of the daemon's.
    async fn apply(&self, kind: Kind, id: Id, event: Event) -> Result<Work> {
        self.apply_with(kind, id, event, Facts::default()).await
    }

    /// Stores an event and what was learnt with it.
    async fn apply_with(&self, kind: Kind, id: Id, event: Event, facts: Facts) -> Result<Work> {
        self.apply_timed(kind, id, event, facts, *self.timing()).await
    }

    /// The same, with the times that are this row's own.
    async fn apply_timed(
        &self,
        kind: Kind,
        id: Id,
        event: Event,
        facts: Facts,
        timing: Timing,
    ) -> Result<Work> {
        let cause = event.name();
        let apply = Apply { kind, id, event, facts, actor: "daemon".to_owned(), timing };
        let work = self.store.writer().write(apply).await?;
        tracing::info!(%kind, %id, cause, state = work.state.as_str(), "{kind} {id}: {cause}");
        self.wake();
        Ok(work)
    }
}

/// A list that is none although something belongs into it.
fn no_list() -> Failure {
    useless_list("the vendor's job list is empty although jobs of ours belong into it")
}

/// A list that was answered and is no use.
fn useless_list(why: &str) -> Failure {
    Failure {
        class: FailureClass::ReadFailed,
        message: why.to_owned(),
        http_status: Some(200),
        reply: None,
        retry_after: None,
    }
}

/// A call that never left.
fn not_sent(message: String) -> Failure {
    let class = FailureClass::NotSent;
    Failure { class, message, http_status: None, reply: None, retry_after: None }
}
