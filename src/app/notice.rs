//! One thread for what is looked at regularly: commits of other processes, be they the command
//! line's or `sqlite3`'s, the wall clock, and what the metrics have noted.
//!
//! A thread, because one that waits wakes once per look; a timer of the runtime costs two or three
//! wake-ups, as it moves from wheel to wheel.

use crate::engine::Engine;
use crate::engine::recurring::ClockFollower;
use crate::http;
use crate::store::Store;
use crate::store::announce::{self, Announcements};
use crate::store::notice::Commits;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How often what the metrics have noted is folded together.
const FOLD_METRICS: Duration = Duration::from_secs(5);

/// The thread ends when this is dropped.
pub(super) struct Noticing {
    _hangs_up: PipeWriter,
}

/// Wakes the engine when anybody has committed, and follows the wall clock, four times a second while
/// somebody writes to the database and once a second while nobody does.
///
/// # Errors
/// When the thread cannot be started.
pub(super) fn start(
    store: &Store,
    clock: ClockFollower,
    engine: Arc<Engine>,
) -> io::Result<Noticing> {
    let (stop, hangs_up) = io::pipe()?;
    let (announcements, commits) = (store.announcements(), store.commits());
    let looker =
        Looker { announcements, commits, clock, engine, runtime: Handle::current(), said: false };
    std::thread::Builder::new().name("notice".to_owned()).spawn(move || looker.run(&stop))?;
    Ok(Noticing { _hangs_up: hangs_up })
}

struct Looker {
    announcements: Announcements,
    commits: Commits,
    clock: ClockFollower,
    engine: Arc<Engine>,
    runtime: Handle,
    /// That commits cannot be seen has been said.
    said: bool,
}

impl Looker {
    fn run(mut self, stop: &PipeReader) {
        let mut folded = Instant::now();
        loop {
            match self.announcements.wait(stop.as_fd()) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    self.complain(&error);
                    // Without a way to be told of writes, as if there were some all the time.
                    std::thread::sleep(announce::CLOSELY);
                }
            }
            let changed = self.commits.changed();
            match &changed {
                Ok(changed) => self.announcements.looked(*changed),
                Err(error) => self.complain(error),
            }
            if changed.unwrap_or(true) {
                self.engine.wake();
            }
            self.clock.look(&self.runtime);
            if folded.elapsed() >= FOLD_METRICS {
                folded = Instant::now();
                http::ops::recorder::fold();
            }
        }
    }

    fn complain(&mut self, error: &dyn std::fmt::Display) {
        if !std::mem::replace(&mut self.said, true) {
            tracing::warn!("commits of others cannot be seen at once: {error}");
        }
    }
}
