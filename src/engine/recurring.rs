//! Tasks by the clock, on tokio-cron-scheduler: in UTC, idempotent, never two of one at once.

use super::Engine;
use crate::domain::ids::Millis;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::runtime::Handle;
use tokio::sync::OwnedRwLockWriteGuard;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError, MetaDataStorage};

/// Every minute: the cron expression of tasks whose own interval is a minute or longer.
const EVERY_MINUTE: &str = "0 * * * * *";
/// Every second: the same for shorter intervals, as tests use.
const EVERY_SECOND: &str = "* * * * * *";
/// A refused key is tried again this often, in case the vendor's side was at fault.
const KEY_PROBE: Millis = 5 * 60 * 1000;
/// How often the write-ahead log is folded back into the database.
const CHECKPOINT: Millis = 60 * 60 * 1000;
/// A shorter time to the next task is left to the scheduler.
const WORTH_RESTING: Millis = 2_000;

/// A task that runs when its interval has passed, however often it is asked.
struct Every {
    interval: Millis,
    last: AtomicI64,
}

impl Every {
    fn new(interval: Millis, now: Millis) -> Arc<Self> {
        Arc::new(Self { interval, last: AtomicI64::new(now) })
    }

    /// Whether it is time; if so, the time is taken.
    fn due(&self, now: Millis) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        // A clock that went back must not silence the task until it has caught up.
        let due = now - last >= self.interval || now < last;
        due && self.last.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// Starts the recurring tasks; they end with the scheduler. The second value wants to look at the
/// clock every second or more often.
///
/// # Errors
/// When the scheduler cannot be set up.
pub async fn start(
    engine: Arc<Engine>,
) -> Result<(JobScheduler, ClockFollower), JobSchedulerError> {
    let scheduler = JobScheduler::new().await?;
    let first = engine.clone();
    tokio::spawn(async move { first.scrub().await });
    let now = engine.now();
    // The first one comes right after the start: much may have happened meanwhile.
    let every = super::millis(engine.config.sweep.every);
    let sweep = Every::new(every, now.saturating_sub(every));
    let probe = Every::new(KEY_PROBE, now);
    let checkpoint = Every::new(CHECKPOINT, now);
    let tick = if sweep.interval < 60_000 { EVERY_SECOND } else { EVERY_MINUTE };
    let asking = engine.clone();
    let job = Job::new_async(tick, move |_, _| {
        let engine = engine.clone();
        let (sweep, probe, checkpoint) = (sweep.clone(), probe.clone(), checkpoint.clone());
        Box::pin(async move {
            let now = engine.now();
            if sweep.due(now) {
                engine.scrub().await;
                if engine.may_watch().await {
                    engine.sweep().await;
                }
            }
            if probe.due(now) {
                engine.probe_key().await;
            }
            if checkpoint.due(now)
                && let Err(error) = engine.store.checkpoint().await
            {
                tracing::warn!("the write-ahead log could not be folded back: {error}");
                if error.fault() == Some(crate::store::Fault::Broken) {
                    engine.store.writer().fail(&error.to_string());
                }
            }
        })
    })?;
    let id = scheduler.add(job).await?;
    scheduler.start().await?;
    let before = Millis::MIN;
    let follower =
        ClockFollower { engine: asking, scheduler: scheduler.clone(), job: id, before, rest: None };
    Ok((scheduler, follower))
}

/// Keeps the scheduler in step with the wall clock. Left alone it looks at the time twice a second,
/// and when the clock has gone back two hours, its job's next time is two hours away. So it is kept
/// from looking while nothing is due, and after a step back the job is due at once, and every
/// minute after that.
pub struct ClockFollower {
    engine: Arc<Engine>,
    scheduler: JobScheduler,
    job: uuid::Uuid,
    before: Millis,
    rest: Option<Rest>,
}

/// While it exists, the scheduler waits for the list of its jobs and looks at nothing.
struct Rest {
    jobs: OwnedRwLockWriteGuard<Box<dyn MetaDataStorage + Send + Sync>>,
    until: Millis,
}

impl ClockFollower {
    /// Looks at the wall clock; wants to be asked every second or more often.
    pub fn look(&mut self, runtime: &Handle) {
        let now = self.engine.now();
        // One that went back by less than the time between two looks silences nothing for long.
        let back = now < self.before;
        self.before = now;
        match self.rest.take() {
            rest if back => runtime.block_on(self.catch_up(rest)),
            Some(rest) if now < rest.until => self.rest = Some(rest),
            // The scheduler finds its job due, and the next look when it is due again.
            Some(_) => {}
            None => self.rest = runtime.block_on(self.rest(now)),
        }
    }

    /// Makes the tasks due at once.
    async fn catch_up(&self, rest: Option<Rest>) {
        let mut jobs = match rest {
            Some(rest) => rest.jobs,
            None => self.scheduler.context().metadata_storage.clone().write_owned().await,
        };
        let due = chrono::DateTime::from_timestamp_millis(self.engine.now());
        if let Err(error) = jobs.set_next_and_last_tick(self.job, due, None).await {
            tracing::warn!("the recurring tasks could not follow the clock: {error}");
        }
    }

    /// Lets the scheduler rest if its job is far enough away.
    async fn rest(&self, now: Millis) -> Option<Rest> {
        let mut jobs = self.scheduler.context().metadata_storage.clone().write_owned().await;
        // Whole seconds; nothing for a job that is due and has not been found yet.
        let left = super::millis(jobs.time_till_next_job().await.ok().flatten()?);
        (left >= WORTH_RESTING).then_some(Rest { jobs, until: now + left })
    }
}

impl Engine {
    async fn may_watch(&self) -> bool {
        // Another account's list would be taken for news about ours.
        self.account_is_ours()
            && matches!(self.store.pauses().await, Ok(pauses) if pauses.watching.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_due_once_per_interval_and_survives_a_clock_that_jumps() {
        let task = Every::new(100, 1_000);
        assert!(!task.due(1_050));
        assert!(task.due(1_100) && !task.due(1_100));
        assert!(task.due(9_000), "a jump forward runs it once");
        assert!(!task.due(9_050));
        assert!(task.due(500), "a jump back does not silence it");
        assert!(!task.due(550));
    }
}
