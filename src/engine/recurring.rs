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
/// The next task is never further away than this, unless the clock has gone back.
const FURTHEST: Millis = 60_000;
/// A task of minutes comes with one of the scheduler's ticks, and these are up to so much late: a second
/// until the clock is looked at, half of one until the scheduler does, and some for a busy machine.
const LATENESS: Millis = 3_000;

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
        // A late tick must not make the next one come too early for its minute.
        let interval =
            if self.interval < FURTHEST { self.interval } else { self.interval - LATENESS };
        // A clock that went back must not silence the task until it has caught up.
        let due = now - last >= interval || now < last;
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
            if probe.due(now) || engine.key_is_due().await {
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
    let follower =
        ClockFollower { engine: asking, scheduler: scheduler.clone(), job: id, rest: None };
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
    rest: Option<Rest>,
}

/// While it exists, the scheduler waits for the list of its jobs and looks at nothing.
struct Rest {
    jobs: OwnedRwLockWriteGuard<Box<dyn MetaDataStorage + Send + Sync>>,
    until: Millis,
}

impl ClockFollower {
    /// Looks at the wall clock; wants to be asked about every second or more often.
    pub fn look(&mut self, runtime: &Handle) {
        let now = self.engine.now();
        match self.rest.take() {
            Some(rest) if now < rest.until && rest.until - now <= FURTHEST => {
                self.rest = Some(rest);
            }
            // The scheduler, which took the time before it began to wait, finds nothing due by that,
            // looks at the clock again, and then finds its job due if it is.
            Some(Rest { jobs, .. }) => drop(jobs),
            None => self.rest = runtime.block_on(self.rest(now)),
        }
    }

    /// Lets the scheduler rest if its job is far enough away, and makes the job due if it is too far
    /// away. Only asked when the scheduler has not rested for a while: one that has would take its
    /// old time for now, and place the job by it.
    async fn rest(&self, now: Millis) -> Option<Rest> {
        let mut jobs = self.scheduler.context().metadata_storage.clone().write_owned().await;
        // In whole seconds, from the second that now is in; nothing for a job that is due and has
        // not been found yet.
        let left = super::millis(jobs.time_till_next_job().await.ok().flatten()?);
        if left > FURTHEST {
            let due = chrono::DateTime::from_timestamp_millis(now);
            if let Err(error) = jobs.set_next_and_last_tick(self.job, due, None).await {
                tracing::warn!("the recurring tasks could not follow the clock: {error}");
            }
            return None;
        }
        let until = now - now.rem_euclid(1_000) + left;
        (left >= WORTH_RESTING).then_some(Rest { jobs, until })
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

    #[test]
    fn a_late_tick_does_not_cost_the_next_one_its_minute() {
        let task = Every::new(60_000, 0);
        for (minute, late) in (1..).zip([1_900, 400, 1_300, 0, 700]) {
            assert!(task.due(minute * 60_000 + late), "minute {minute}");
            assert!(!task.due(minute * 60_000 + late + 1_000));
        }
    }
}
