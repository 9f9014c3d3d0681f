//! Looking at running rows: a timer of its own, a few looks at a time, no database as long as
//! nothing changes.
//!
//! [`super::due`] says whether anything may be looked at and keeps the watch up to date; this takes
//! what is due from it. A look that finds nothing new ends here, and only one that does loads the
//! row ([`super::poll`]). Many jobs, and trainings that are due together, are asked about through
//! lists ([`super::lists`]).

use super::watch::{Entry, Moment, Watch, Word};
use super::{Engine, Result};
use crate::domain::duration::Took;
use crate::domain::failure::Failure;
use crate::domain::ids::{Millis, RemoteJobId, RemoteModelId, RemoteVideoId};
use crate::domain::work::{Kind, State, Work};
use crate::store::queries::Ref;
use crate::store::waking::{WATCHED, Watched};
use crate::vendor::{DownloadState, DownloadStatus, RemoteJob, RemoteModel};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Looks at the same time, each of them one request on its way.
const AT_ONCE: u32 = 32;
/// Rows read from the database at a time when the watch is filled.
const PAGE: u32 = 250;
/// The timer goes off at least this often, so that a lost signal merely delays.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// After a look that could not be carried out (a locked database).
const AFTER_ERROR: Millis = 1_000;

/// What the looks share with the loop.
pub(super) struct Looks {
    /// Whether anything may be looked at.
    allowed: AtomicBool,
    /// There may be something to look at sooner than the timer knows.
    news: Notify,
    /// Looks under way at the same time, lists aside.
    slots: Arc<Semaphore>,
    /// Held from reading rows in the database until the watch has taken them in: what was read
    /// earlier must not replace what was read later.
    reading: tokio::sync::Mutex<()>,
}

impl Default for Looks {
    fn default() -> Self {
        Self {
            allowed: AtomicBool::new(false),
            news: Notify::new(),
            slots: Arc::new(Semaphore::new(AT_ONCE as usize)),
            reading: tokio::sync::Mutex::default(),
        }
    }
}

/// What the vendor said of a row.
#[derive(Debug)]
pub(super) enum Sighting {
    /// A job, read by itself.
    Job(RemoteJob),
    /// A training's or an imported model.
    Model(RemoteModel),
    /// The preparation of a video's file.
    Download(DownloadStatus),
    /// Nothing usable.
    Failed(Failure),
}

impl Sighting {
    /// The vendor's word, if it means that the work goes on.
    fn unfinished(&self) -> Option<Word> {
        let word = match self {
            Self::Job(job) if super::poll::job_goes_on(&job.status) => {
                super::poll::job_word(&job.status)
            }
            Self::Model(model) if super::poll::training_goes_on(&model.status) => {
                super::poll::model_word(&model.status)
            }
            _ => return None,
        };
        Some(Word::new(Some(&word)))
    }
}

impl Engine {
    pub(super) fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn both_clocks(&self) -> Moment {
        Moment { now: self.now(), steady: super::millis(self.clock.monotonic()) }
    }

    /// Whether running rows may be looked at: told by the loop, which asks the database.
    pub(super) fn allow_looks(&self, allowed: bool) {
        if self.looks.allowed.swap(allowed, Ordering::Relaxed) != allowed {
            self.looks.news.notify_one();
        }
    }

    /// Whether anything may be asked about running rows right now.
    pub(super) fn may_look(&self) -> bool {
        self.looks.allowed.load(Ordering::Relaxed) && self.governor.closed_until().is_none()
    }

    pub(super) fn look_sooner(&self) {
        self.looks.news.notify_one();
    }

    /// Fills the watch with every running row, page by page; looking begins with the first page.
    pub(super) async fn fill_watch(&self) -> Result<()> {
        for kind in WATCHED {
            let mut after = None;
            loop {
                let _turn = self.looks.reading.lock().await;
                let (rows, next) = self.store.running_page(kind, after, PAGE).await?;
                self.put_in_watch(rows);
                after = next;
                if after.is_none() {
                    break;
                }
            }
        }
        self.watch().set_complete(true);
        Ok(())
    }

    /// Brings the watch up to date on these rows, and forgets those that run no more.
    pub(super) async fn rewatch(&self, rows: &[Ref]) -> Result<Vec<Watched>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let _turn = self.looks.reading.lock().await;
        let running = self.store.watched(rows).await?;
        {
            let mut watch = self.watch();
            for row in rows.iter().filter(|row| !running.iter().any(|run| run.row == **row)) {
                watch.forget(*row);
            }
        }
        self.put_in_watch(running.clone());
        Ok(running)
    }

    fn put_in_watch(&self, rows: Vec<Watched>) {
        let at = self.both_clocks();
        let mut watch = self.watch();
        let before = watch.next();
        for row in rows {
            let interval = row.row.0.poll_interval(self.timing());
            watch.put(row, interval, at);
        }
        if watch.next() != before {
            self.look_sooner();
        }
    }

    /// Looks at running rows until `stop`.
    pub(super) async fn look_around(self: Arc<Self>, tasks: TaskTracker, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pause = self.start_looks(&tasks, &stop).await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.looks.news.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Starts every look that is due; answers how long there is none.
    async fn start_looks(
        self: &Arc<Self>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Duration {
        loop {
            if !self.looks.allowed.load(Ordering::Relaxed) {
                return LONGEST_SLEEP;
            }
            if let Some(until) = self.governor.closed_until() {
                return until.saturating_duration_since(tokio::time::Instant::now());
            }
            let listing = self.keep_listing(tasks, stop);
            let now = self.now();
            let due = self.watch().first_due(now);
            let Some(row) = due else {
                let next = [self.watch().next(), listing].into_iter().flatten().min();
                return next.map_or(LONGEST_SLEEP, |at| {
                    Duration::from_millis(u64::try_from(at - now).unwrap_or(0).max(1))
                        .min(LONGEST_SLEEP)
                });
            };
            // While nobody answers, one look is enough to find out when that ends.
            let wanted = if self.governor.is_unsure() { AT_ONCE } else { 1 };
            let slot = tokio::select! {
                () = stop.cancelled() => return Duration::ZERO,
                slot = self.looks.slots.clone().acquire_many_owned(wanted) => slot,
            };
            let Ok(slot) = slot else { return LONGEST_SLEEP };
            self.start_look(row, slot, tasks);
        }
    }

    /// Starts one look, if it is still wanted once there was room for it.
    fn start_look(self: &Arc<Self>, row: Ref, slot: OwnedSemaphorePermit, tasks: &TaskTracker) {
        if self.watch().first_due(self.now()) != Some(row) || !self.may_look() {
            return;
        }
        match row.0 {
            Kind::Job if self.leave_to_the_list(row) => {}
            Kind::Training | Kind::Model => self.look_together(row, slot, tasks),
            _ => self.look_at(row, slot, tasks),
        }
    }

    /// Asks about one row by itself, in a task of its own.
    pub(super) fn look_at(
        self: &Arc<Self>,
        row: Ref,
        slot: OwnedSemaphorePermit,
        tasks: &TaskTracker,
    ) {
        let Some(entry) = self.watch().take(row) else { return };
        let look = Look::new(self.clone(), row, entry);
        tasks.spawn(async move {
            let seen = look.ask().await;
            look.end(seen).await;
            drop(slot);
        });
    }

    /// How long the vendor took, if looks so far tell: `entry` as it was before the one that found
    /// it done.
    pub(super) fn took(&self, kind: Kind, entry: &Entry) -> Option<Took> {
        let Moment { now, steady } = self.both_clocks();
        // Of a row from before the start nobody knows when it was last looked at.
        let seen = entry.last_open()?;
        let unfinished = seen.map(|seen| now - (steady - seen) - entry.accepted);
        let interval = kind.poll_interval(self.timing());
        Some(Took { unfinished, done: now - entry.accepted, interval })
    }
}

/// A look under way; the row has a next one however this ends.
pub(super) struct Look {
    engine: Arc<Engine>,
    pub(super) row: Ref,
    /// What was known of it before.
    pub(super) entry: Entry,
    not_before: Option<Millis>,
}

impl Look {
    pub(super) fn new(engine: Arc<Engine>, row: Ref, entry: Entry) -> Self {
        let soon = engine.now() + AFTER_ERROR;
        Self { engine, row, entry, not_before: Some(soon) }
    }

    /// Asks the vendor about the row alone, when its turn has come.
    pub(super) async fn ask(&self) -> Sighting {
        self.engine.governor.patient_turn().await;
        self.ask_now().await
    }

    /// Asks the vendor about the row alone.
    pub(super) async fn ask_now(&self) -> Sighting {
        let (engine, id) = (&self.engine, self.entry.remote.text());
        engine.note_question(self.row.0).await;
        let steady = engine.both_clocks().steady;
        engine.watch().asked(self.row, steady);
        let client = &engine.client;
        let seen = match self.row.0 {
            Kind::Job => {
                let job = engine.called(client.get_job(&RemoteJobId(id))).await;
                job.map(|reply| Sighting::Job(reply.value))
            }
            Kind::Output => {
                let download = engine.called(client.get_download(&RemoteVideoId(id))).await;
                download.map(|reply| Sighting::Download(reply.value))
            }
            _ => {
                let model = engine.called(client.get_model(&RemoteModelId(id))).await;
                model.map(|reply| Sighting::Model(reply.value))
            }
        };
        seen.unwrap_or_else(Sighting::Failed)
    }

    /// Reads a job that a list shows as ended: that is no poll, and somebody waits for the result.
    pub(super) async fn read_ended(self) {
        self.engine.governor.early_turn().await;
        let seen = self.ask_now().await;
        self.end(seen).await;
    }

    /// Stores another word that a list showed for a job that goes on.
    pub(super) async fn note_word(mut self, word: &str) {
        let (kind, id) = self.row;
        match self.engine.observe_job(id, word).await {
            Ok(()) => {
                let mut watch = self.engine.watch();
                watch.found_open(self.row, Word::new(Some(word)));
                watch.stored_word(self.row);
                self.not_before = None;
            }
            Err(error) => tracing::warn!(%kind, %id, "{kind} {id}: {error}"),
        }
    }

    /// Stores what is new, if anything is, and schedules the next look.
    pub(super) async fn end(mut self, seen: Sighting) {
        let engine = self.engine.clone();
        let (kind, id) = self.row;
        if let Some(word) = seen.unfinished() {
            engine.watch().found_open(self.row, word);
        }
        if engine.is_unchanged(self.row, &self.entry, &seen) {
            self.not_before = None;
            return;
        }
        match engine.take_in(self.row, &self.entry, seen).await {
            Ok(()) => self.not_before = None,
            Err(error) => tracing::warn!(%kind, %id, "{kind} {id}: {error}"),
        }
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        let (engine, row) = (&self.engine, self.row);
        let at = engine.both_clocks();
        let late = u64::try_from(at.now.saturating_sub(self.entry.at)).unwrap_or(0);
        metrics::histogram!("darkroom_poll_lag_seconds")
            .record(Duration::from_millis(late).as_secs_f64());
        let interval = row.0.poll_interval(engine.timing());
        engine.watch().done(row, interval, at, self.not_before);
        engine.look_sooner();
    }
}

impl Engine {
    /// Whether what was seen leaves the row as it is: then nothing is read and nothing written.
    fn is_unchanged(&self, row: Ref, entry: &Entry, seen: &Sighting) -> bool {
        let now = self.now();
        let timing = self.timing();
        match seen {
            // Nobody answered, or everything slows down or pauses: the next point of the grid.
            Sighting::Failed(failure) => {
                matches!(failure.http_status, None | Some(401 | 429))
            }
            Sighting::Job(_) => {
                entry.plain && seen.unfinished().is_some_and(|word| entry.may_ignore(word))
            }
            Sighting::Model(_) => {
                let slow = now - entry.accepted > timing.flag_training_after;
                row.0 == Kind::Training
                    && !slow
                    && entry.plain
                    && seen.unfinished() == Some(entry.word)
            }
            Sighting::Download(download) => {
                let stalled = super::poll::prepare_stalls(now - entry.anchor, timing);
                let ended = match &download.status {
                    DownloadState::Ready => true,
                    DownloadState::Other(word) => super::poll::is_prepare_error(word),
                };
                entry.plain && !stalled && !ended
            }
        }
    }

    /// Loads the row and stores what is new. It may have moved since it was last read: then only
    /// the watch is brought up to date.
    pub(super) async fn take_in(&self, row: Ref, entry: &Entry, seen: Sighting) -> Result<()> {
        let work: Work = self.store.load(row.0, row.1).await?.work;
        if matches!(work.state, State::Running { .. }) {
            let took = self.took(row.0, entry);
            match seen {
                Sighting::Job(job) => self.job_seen(&work, &job, took).await?,
                Sighting::Model(model) if row.0 == Kind::Training => {
                    self.training_seen(&work, &model, took).await?;
                }
                Sighting::Model(model) => self.import_seen(&work, &model).await?,
                Sighting::Download(download) => self.download_seen(&work, download).await?,
                Sighting::Failed(failure) => self.look_failed(&work, &failure).await?,
            }
        }
        self.rewatch(&[row]).await.map(drop)
    }
}
