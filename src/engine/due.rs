//! The loop: ask the database what is due, start it, sleep until the next thing is.
//!
//! A round is three statements: what became of running rows, what forbids work, what is due. It comes
//! when something was committed, by us or by others, when a task ended, or when a due time has come;
//! running rows are looked at beside it ([`super::looks`]) and bring none.

use super::account::Allowed;
use super::storage::{self, Room};
use super::{Engine, Result};
use crate::domain::event::Event;
use crate::domain::ids::Millis;
use crate::domain::quarantine::Quarantine;
use crate::domain::schedule;
use crate::domain::work::{Kind, State, Work};
use crate::store::StoreError;
use crate::store::intents::ClampDue;
use crate::store::queries::Ref;
use crate::store::waking;
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
    /// Reading: a download, a look at a call in doubt.
    Look,
}

type InFlight = Arc<Mutex<HashMap<Ref, Role>>>;

/// The running loop's own state.
pub(super) struct Loop {
    engine: Arc<Engine>,
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
        self.count_lists_from(self.store.first_boot().await?);
        let mut work = Loop {
            engine: self.clone(),
            in_flight: InFlight::default(),
            tasks: TaskTracker::new(),
            last_event: self.store.newest_event().await?,
            clocks: (self.now(), tokio::time::Instant::now()),
        };
        // The file may come from before the clock was set back.
        let newest = self.store.newest_event_at().await?;
        let went_back = newest.is_some_and(|at| at > self.now() + CLOCK_SET);
        work.start_watching(went_back).await?;
        tracing::info!("the engine starts");
        work.tasks.spawn(self.clone().look_around(work.tasks.clone(), stop.clone()));
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
        let engine = self.engine.clone();
        engine.watch().set_complete(false);
        self.tasks.spawn(async move {
            while let Err(error) = engine.fill_watch().await {
                tracing::warn!("the running rows could not be read: {error}");
                tokio::time::sleep(AFTER_ERROR).await;
            }
        });
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
            *lock(&self.engine.broad) = None;
        }
        self.clocks = clocks;
        self.follow_events().await?;
        let engine = self.engine.clone();
        if let Some(until) = engine.governor.closed_until() {
            return Ok(until.saturating_duration_since(tokio::time::Instant::now()));
        }
        let waking::Holds { pauses, quarantine } = engine.store.holds().await?;
        let room = engine.look_at_disk(&pauses).await;
        // Read before the look, the pause may be the disk's own, which the look has lifted.
        let paused = pauses.spending.is_some_and(|pause| !pause.heals_by_itself());
        let (may_look, may_send) = (pauses.watching.is_none(), !paused && room == Room::Enough);
        let account = match may_look || may_send {
            true => engine.may_use_account().await?,
            false => Allowed::Nothing,
        };
        if (may_look || may_send) && account == Allowed::Nothing {
            engine.allow_looks(false);
            let pause = engine.until_account_question();
            return Ok(pause.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP));
        }
        let may_look = may_look && !quarantine.as_ref().is_some_and(Quarantine::stops_watching);
        let may_send = may_send && quarantine.is_none();
        if may_look {
            engine.end_opening_look(&self.tasks).await?;
        }
        engine.allow_looks(may_look);
        let now = engine.now();
        // A file needs room: its rows wait as they are, nothing is stored for it.
        let files = may_look && room != Room::None;
        let mut wanted = self.room(may_look, may_send, files).await?;
        if account != Allowed::All {
            // What another account does not have proves nothing about ours.
            (wanted.looks, wanted.prepares) = (0, 0);
        }
        let due = engine.store.due(now, &wanted).await?;
        self.end_orphans(&due.submitting).await?;
        self.start_due(due.looks, due.sends);
        let most = if room == Room::Enough { LONGEST_SLEEP } else { storage::LOOK_AGAIN };
        Ok(due.next.map_or(most, |at| until(at, engine.now()).min(most)))
    }

    /// How many rows of each sort may be started.
    async fn room(&self, may_look: bool, may_send: bool, files: bool) -> Result<waking::Room> {
        let upto = |most: u32, wanted: bool| if wanted { most } else { 0 };
        let mut room = waking::Room {
            looks: upto(ROUND, may_look),
            downloads: upto(ROUND, files),
            prepares: upto(ROUND, files),
            ..waking::Room::default()
        };
        if !may_send {
            return Ok(room);
        }
        room.models = upto(1, self.sending(Kind::Model) == 0);
        room.uploads = upto(ROUND, self.sending(Kind::Upload) < self.uploads());
        room.changes = ROUND;
        if self.sending(Kind::Job) + self.sending(Kind::Training) == 0 {
            let limits = &self.engine.config.limits;
            room.trainings = upto(1, self.has_room(Kind::Training, limits.open_trainings).await?);
            room.jobs = upto(1, self.has_room(Kind::Job, limits.open_jobs).await?);
        }
        Ok(room)
    }

    /// Whether the vendor may be given one more of a kind.
    async fn has_room(&self, kind: Kind, most: u32) -> Result<bool> {
        let running = self.engine.watch().running(kind);
        match running {
            Some(running) => Ok(running < most),
            None => Ok(self.engine.store.runs_fewer_than(kind, most).await?),
        }
    }

    /// Starts what is due, as far as there is room for it now.
    fn start_due(&self, looks: Vec<Ref>, sends: Vec<Ref>) {
        for row in looks {
            if row.0 != Kind::Output || self.busy(Kind::Output) < self.downloads() {
                self.start(row, Role::Look);
            }
        }
        let mut uploads = self.uploads().saturating_sub(self.sending(Kind::Upload));
        // Of trainings and jobs, the oldest.
        let paid = sends.iter().filter(|row| row.0.is_paid()).min_by_key(|(_, id)| *id).copied();
        for row in sends.into_iter().filter(|row| !self.is_busy(*row)) {
            match row.0 {
                Kind::Upload if uploads == 0 => continue,
                Kind::Upload => uploads -= 1,
                Kind::Training | Kind::Job if Some(row) != paid => continue,
                _ => {}
            }
            self.start(row, Role::Send);
        }
    }

    /// Rows that began or ceased to run since the last round, whoever moved them, and those that
    /// somebody touched.
    async fn follow_events(&mut self) -> Result<()> {
        let tail = self.engine.store.tail(self.last_event).await?;
        let running = self.engine.rewatch(&tail.touched).await?;
        for row in running.into_iter().filter(|row| tail.accepted.contains(&row.row)) {
            let engine = self.engine.clone();
            match (row.row, row.remote_id) {
                ((Kind::Job, _), Some(remote_id)) => {
                    drop(tokio::spawn(engine.measure_lag(remote_id)))
                }
                ((Kind::Training, id), Some(model)) => {
                    drop(tokio::spawn(engine.measure_delay(id, model)));
                }
                _ => {}
            }
        }
        // Only now: a row that could not be read is found again in the next round.
        self.last_event = tail.newest;
        Ok(())
    }

    /// A call that no task waits for any more (it panicked, or its result could not be stored) is
    /// in doubt, as after a crash.
    async fn end_orphans(&self, submitting: &[Ref]) -> Result<()> {
        for (kind, id) in submitting.iter().copied() {
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

    /// Carries a row one step further in a task of its own, unless it is in flight already.
    fn start(&self, row: Ref, role: Role) {
        match lock(&self.in_flight).entry(row) {
            Entry::Occupied(_) => return,
            Entry::Vacant(free) => free.insert(role),
        };
        let landing =
            Landing { row, in_flight: self.in_flight.clone(), engine: self.engine.clone() };
        let engine = self.engine.clone();
        self.tasks.spawn(async move {
            let (kind, id) = row;
            if let Err(error) = engine.perform(kind, id, role == Role::Send).await {
                tracing::warn!(%kind, %id, "{kind} {id}: {error}");
                // The row is still due; trying again at once would be a busy loop.
                tokio::time::sleep(AFTER_ERROR).await;
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

/// Takes the row out of flight when its task ends, however it ends, and wakes the loop.
struct Landing {
    row: Ref,
    in_flight: InFlight,
    engine: Arc<Engine>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        lock(&self.in_flight).remove(&self.row);
        self.engine.wake();
    }
}

fn until(at: Millis, now: Millis) -> Duration {
    Duration::from_millis(u64::try_from(at.saturating_sub(now)).unwrap_or(0).max(1))
}
