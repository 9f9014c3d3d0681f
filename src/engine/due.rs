//! The loop: ask the database what is due, start it, sleep until the next thing is.

use super::storage::{self, Room};
use super::watch::Watch;
use super::{Engine, Result};
use crate::domain::event::Event;
use crate::domain::ids::Millis;
use crate::domain::quarantine::Quarantine;
use crate::domain::schedule;
use crate::domain::work::{Kind, State, Work};
use crate::store::StoreError;
use crate::store::intents::{ClampDue, PAID_LANE};
use crate::store::queries::Ref;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// More than this is never started in one round; the rest follows as soon as something ends.
const ROUND: u32 = 64;
/// The loop looks at least this often, so that a lost wake-up merely delays.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// A loop that has not looked for this long is stuck.
pub const STALLED: Duration = Duration::from_secs(180);
/// Wall clock and monotonic clock drift apart this far only when somebody sets the wall clock.
const CLOCK_SET: Millis = 5_000;
/// After a round that failed (a locked or broken database).
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// What a row in flight is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// A side-effecting call, or the way to it.
    Send,
    /// Reading: a poll, a download, a look at a call in doubt.
    Look,
}

type InFlight = Arc<Mutex<HashMap<Ref, Role>>>;

/// The running loop's own state.
pub(super) struct Loop {
    engine: Arc<Engine>,
    watch: Arc<Mutex<Watch>>,
    in_flight: InFlight,
    tasks: TaskTracker,
    last_event: i64,
    /// Wall and monotonic time of the last round.
    clocks: (Millis, tokio::time::Instant),
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    /// Works until `stop`, then lets calls in flight end within `grace`.
    ///
    /// # Errors
    /// When the database cannot even be read at the start.
    pub async fn run(self: Arc<Self>, stop: CancellationToken, grace: Duration) -> Result<()> {
        *lock(&self.watch) = Watch::default();
        let mut work = Loop {
            engine: self.clone(),
            watch: self.watch.clone(),
            in_flight: InFlight::default(),
            tasks: TaskTracker::new(),
            last_event: self.store.newest_event().await?,
            clocks: (self.now(), tokio::time::Instant::now()),
        };
        // The file may come from before the clock was set back.
        let newest = self.store.newest_event_at().await?;
        let went_back = newest.is_some_and(|at| at > self.now() + CLOCK_SET);
        work.start_watching(went_back).await?;
        tracing::info!(watching = lock(&work.watch).len(), "the engine starts");
        while !stop.is_cancelled() {
            self.mark_round();
            let pause = match work.round().await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!("looking for due work failed: {error}");
                    AFTER_ERROR
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        work.tasks.close();
        if tokio::time::timeout(grace, work.tasks.wait()).await.is_err() {
            tracing::warn!(
                open = work.tasks.len(),
                "some calls did not end in time; they are looked up at the next start"
            );
        }
        Ok(())
    }
}

impl Loop {
    /// Schedules the next look at everything that runs, by the clock as it is now.
    async fn start_watching(&self, went_back: bool) -> Result<()> {
        let now = self.engine.now();
        let latest = schedule::latest_due(now, went_back);
        let to = if went_back { now } else { latest };
        let clamped = self.engine.store.writer().write(ClampDue { latest, to }).await?;
        if clamped > 0 {
            tracing::warn!(
                clamped,
                "the clock went back: some rows wake now instead of hours later"
            );
        }
        for row in self.engine.store.running().await? {
            self.watch_from_now(row).await?;
        }
        Ok(())
    }

    /// Whether somebody set the wall clock since the last round; a laptop asleep counts too.
    fn clock_was_set(&self, now: (Millis, tokio::time::Instant)) -> Option<Millis> {
        let (wall, monotonic) = self.clocks;
        let passed = super::millis(now.1.duration_since(monotonic));
        let jump = now.0 - wall - passed;
        (jump.abs() > CLOCK_SET).then_some(jump)
    }

    /// Starts everything that is due and answers how long there is nothing to do.
    async fn round(&mut self) -> Result<Duration> {
        let clocks = (self.engine.now(), tokio::time::Instant::now());
        if let Some(jump) = self.clock_was_set(clocks) {
            tracing::warn!(jump_ms = jump, "the clock was set; every look is scheduled anew");
            self.start_watching(jump < 0).await?;
            // After a sleep, which no monotonic clock counts, the job list may be hours old.
            *lock(&self.engine.listed_at) = None;
        }
        self.clocks = clocks;
        self.find_orphans().await?;
        self.follow_events().await?;
        let engine = self.engine.clone();
        if let Some(until) = engine.governor.closed_until() {
            return Ok(until.saturating_duration_since(tokio::time::Instant::now()));
        }
        let pauses = engine.store.pauses().await?;
        let room = engine.look_at_disk(&pauses).await;
        // Read before the look, the pause may be the disk's own, which the look has lifted.
        let paused = pauses.spending.is_some_and(|pause| !pause.heals_by_itself());
        let now = engine.now();
        let (may_look, may_send) = (pauses.watching.is_none(), !paused && room == Room::Enough);
        if (may_look || may_send) && !engine.may_use_account().await? {
            let pause = engine.until_account_question();
            return Ok(pause.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP));
        }
        let quarantine = engine.store.quarantine().await?;
        let may_look = may_look && !quarantine.as_ref().is_some_and(Quarantine::stops_watching);
        if may_look {
            self.start_looks(now, room).await?;
        }
        if may_send && quarantine.is_none() {
            self.start_sends(now).await?;
        }
        let stored = engine.store.next_due(now).await?;
        let watched = lock(&self.watch).next().filter(|_| may_look);
        let next = [stored, watched].into_iter().flatten().min();
        let most = if room == Room::Enough { LONGEST_SLEEP } else { storage::LOOK_AGAIN };
        Ok(next.map_or(most, |at| until(at, engine.now()).min(most)))
    }

    /// Rows that began to run since the last round, whoever moved them.
    async fn follow_events(&mut self) -> Result<()> {
        let (started, newest) = self.engine.store.started_since(self.last_event).await?;
        for row in started {
            self.watch_from_now(row).await?;
        }
        // Only now: a row that could not be read is found again in the next round.
        self.last_event = newest;
        Ok(())
    }

    /// A call that no task waits for any more (it panicked, or its result could not be stored) is
    /// in doubt, as after a crash.
    async fn find_orphans(&self) -> Result<()> {
        for (kind, id) in self.engine.store.submitting().await? {
            if self.is_busy((kind, id)) {
                continue;
            }
            // The task may have stored its result between the query and the look at what is busy.
            let work = self.readable((kind, id)).await?;
            if work.is_some_and(|work| matches!(work.state, State::Submitting { .. })) {
                let note = "the result of the call could not be stored".to_owned();
                self.engine.apply(kind, id, Event::OutcomeUnknown { note }).await?;
            }
        }
        Ok(())
    }

    /// Loads a row; one that somebody has damaged by hand must not stop all others.
    async fn readable(&self, (kind, id): Ref) -> Result<Option<Work>> {
        match self.engine.store.load(kind, id).await {
            Ok(loaded) => Ok(Some(loaded.work)),
            Err(error @ (StoreError::Corrupt { .. } | StoreError::NotFound(..))) => {
                tracing::error!(%kind, %id, "left alone: {error}");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn watch_from_now(&self, (kind, id): Ref) -> Result<()> {
        if let Some(work) = self.readable((kind, id)).await? {
            schedule_look(&self.engine, &self.watch, &work);
        }
        Ok(())
    }

    async fn start_looks(&self, now: Millis, room: Room) -> Result<()> {
        // A file needs room: its rows wait as they are, nothing is stored for it.
        let files = room != Room::None;
        for kind in Kind::ALL {
            if kind == Kind::Output && !files {
                continue;
            }
            for row in self.engine.store.due_to_look(kind, now, ROUND).await? {
                if kind == Kind::Output && self.busy(Kind::Output) >= self.downloads() {
                    break;
                }
                self.start(row, Role::Look);
            }
        }
        let due = lock(&self.watch).take_due(now);
        for row in due {
            self.start(row, Role::Look);
        }
        // Preparing a video's file brings home what is paid for: it belongs to watching.
        if files {
            self.start_all(self.engine.store.due_to_send(Kind::Output, now, ROUND).await?);
        }
        Ok(())
    }

    async fn start_sends(&self, now: Millis) -> Result<()> {
        let store = &self.engine.store;
        let lanes = store.open_lanes().await?;
        let free = |lane: &str| !lanes.iter().any(|open| open == lane);
        if free("models") && self.sending(Kind::Model) == 0 {
            self.start_all(store.due_to_send(Kind::Model, now, 1).await?);
        }
        let room = self.uploads().saturating_sub(self.sending(Kind::Upload));
        if room > 0 {
            let due = store.due_uploads(now, ROUND).await?;
            let due: Vec<Ref> = due.into_iter().filter(|row| !self.is_busy(*row)).collect();
            self.start_all(due.into_iter().take(room).collect());
        }
        if free(PAID_LANE) && self.sending(Kind::Job) + self.sending(Kind::Training) == 0 {
            self.start_paid(now).await?;
        }
        self.start_all(store.due_changes(now, ROUND).await?);
        Ok(())
    }

    /// The oldest paid call whose kind has room at the vendor.
    async fn start_paid(&self, now: Millis) -> Result<()> {
        let store = &self.engine.store;
        let limits = &self.engine.config.limits;
        let mut heads = Vec::new();
        for (kind, most) in [(Kind::Training, limits.open_trainings), (Kind::Job, limits.open_jobs)]
        {
            if store.count_running(kind).await? < most {
                heads.extend(store.due_to_send(kind, now, 1).await?);
            }
        }
        if let Some(row) = heads.into_iter().min_by_key(|(_, id)| *id) {
            self.start(row, Role::Send);
        }
        Ok(())
    }

    fn start_all(&self, rows: Vec<Ref>) {
        for row in rows {
            self.start(row, Role::Send);
        }
    }

    /// Carries a row one step further in a task of its own, unless it is in flight already.
    fn start(&self, row: Ref, role: Role) {
        match lock(&self.in_flight).entry(row) {
            Entry::Occupied(_) => return,
            Entry::Vacant(free) => free.insert(role),
        };
        let mut landing = Landing {
            row,
            in_flight: self.in_flight.clone(),
            engine: self.engine.clone(),
            watch: self.watch.clone(),
            looked: false,
        };
        let (engine, watch) = (self.engine.clone(), self.watch.clone());
        self.tasks.spawn(async move {
            let (kind, id) = row;
            let performed = engine.perform(kind, id, role == Role::Send).await;
            note_lag(&engine, &watch, row);
            if let Err(error) = performed {
                tracing::warn!(%kind, %id, "{kind} {id}: {error}");
                // The row is still due; trying again at once would be a busy loop.
                tokio::time::sleep(AFTER_ERROR).await;
            }
            // Whatever came of it: a row that runs has a next look.
            match engine.store.load(kind, id).await {
                Ok(loaded) => {
                    schedule_look(&engine, &watch, &loaded.work);
                    if let (Role::Send, Kind::Job, Some(remote_id)) =
                        (role, kind, loaded.work.remote_id)
                    {
                        tokio::spawn(engine.clone().measure_lag(remote_id));
                    }
                    landing.looked = true;
                }
                Err(error) => tracing::warn!(%kind, %id, "{kind} {id}: {error}"),
            }
            drop(landing);
        });
    }

    fn is_busy(&self, row: Ref) -> bool {
        lock(&self.in_flight).contains_key(&row)
    }

    fn busy(&self, kind: Kind) -> usize {
        lock(&self.in_flight).keys().filter(|row| row.0 == kind).count()
    }

    fn sending(&self, kind: Kind) -> usize {
        let in_flight = lock(&self.in_flight);
        in_flight.iter().filter(|(row, role)| row.0 == kind && **role == Role::Send).count()
    }

    fn uploads(&self) -> usize {
        usize::try_from(self.engine.config.limits.uploads).unwrap_or(usize::MAX)
    }

    fn downloads(&self) -> usize {
        usize::try_from(self.engine.config.limits.downloads).unwrap_or(usize::MAX)
    }
}

/// How late a look at a running row was done; one that failed is over, too.
fn note_lag(engine: &Engine, watch: &Mutex<Watch>, row: Ref) {
    if let Some(due) = lock(watch).taken(row) {
        let late = u64::try_from(engine.now().saturating_sub(due)).unwrap_or(0);
        let late = Duration::from_millis(late);
        metrics::histogram!("darkroom_poll_lag_seconds").record(late.as_secs_f64());
    }
}

fn schedule_look(engine: &Engine, watch: &Mutex<Watch>, work: &crate::domain::work::Work) {
    let row = (work.kind, work.id);
    let mut watch = lock(watch);
    match (work.state, work.next_look(engine.now(), engine.timing())) {
        (State::Running { .. }, Some(at)) => watch.set(row, at),
        _ => watch.forget(row),
    }
}

/// Takes the row out of flight when its task ends, however it ends, and wakes the loop.
struct Landing {
    row: Ref,
    in_flight: InFlight,
    engine: Arc<Engine>,
    watch: Arc<Mutex<Watch>>,
    /// Whether its next look is known; if not (a panic, an unreadable row), it is soon.
    looked: bool,
}

impl Drop for Landing {
    fn drop(&mut self) {
        if !self.looked {
            let soon = self.engine.now() + super::millis(AFTER_ERROR);
            lock(&self.watch).set(self.row, soon);
        }
        lock(&self.in_flight).remove(&self.row);
        self.engine.wake();
    }
}

fn until(at: Millis, now: Millis) -> Duration {
    Duration::from_millis(u64::try_from(at.saturating_sub(now)).unwrap_or(0).max(1))
}
