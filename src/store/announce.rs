//! When to look for commits of others: the kernel says when somebody writes to the log (inotify), and
//! only then is looking worth it.
//!
//! A commit is a write to the log, a sync, and last the header in the log's index, which
//! [`super::notice::Commits`] reads. What is announced is the write, so for a while after it looks
//! follow each other closely: the sync takes as long as it takes. When nobody writes there is one
//! look a second, for the case that an announcement is missing (a file system that has none): the
//! second commit found so ends all trust in announcements, and looks follow each other closely for
//! good. (The first may have another reason: an index that was recovered, a very slow sync.)

use super::Store;
use super::open::{companion, db_path};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::io::Errno;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often commits are looked for while somebody writes (design section 3.3).
pub const CLOSELY: Duration = Duration::from_millis(250);
/// The same while nobody does.
const AT_REST: Duration = Duration::from_secs(1);
/// From the first write to the look for its commit: most syncs are shorter.
const SYNC: Duration = Duration::from_millis(20);
/// Looks follow each other closely for so long after a write.
const ALERT: Duration = Duration::from_secs(10);
/// So many commits without an announcement, and announcements are not relied on any more.
const TOO_MANY: u32 = 2;

/// Waits for the next look.
#[derive(Debug)]
pub struct Announcements {
    /// The log.
    path: PathBuf,
    /// None: the system has no announcements for us.
    events: Option<OwnedFd>,
    /// The log is being watched: it has a new one when it was removed and made anew.
    watched: bool,
    /// Looks follow each other closely until then.
    alert: Option<Instant>,
    /// Commits that were not announced.
    missed: u32,
}

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waited {
    /// `stop` was hung up.
    Stopped,
    /// A write was announced.
    Written,
    /// The time was over.
    Over,
}

impl Store {
    /// Announces writes to the log from now on.
    pub fn announcements(&self) -> Announcements {
        Announcements::new(companion(&db_path(self.data_dir()), "-wal"))
    }
}

impl Announcements {
    fn new(path: PathBuf) -> Self {
        let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        let events = inotify::init(flags).ok();
        let mut new = Self { path, events, watched: false, alert: None, missed: 0 };
        new.look_closely();
        new.watch();
        if !new.watched {
            tracing::info!(
                "the system does not announce commits, so they are looked for all the time"
            );
        }
        new
    }

    /// Waits until it is time to look for commits; `false` when `stop` has been hung up.
    ///
    /// # Errors
    /// What the system says about waiting.
    pub fn wait(&mut self, stop: BorrowedFd<'_>) -> io::Result<bool> {
        Ok(self.wait_for_one(stop)? != Waited::Stopped)
    }

    fn wait_for_one(&mut self, stop: BorrowedFd<'_>) -> io::Result<Waited> {
        let resting = self.is_resting();
        let events = self.events.as_ref().filter(|_| resting).map(AsFd::as_fd);
        let longest = if resting { AT_REST } else { CLOSELY };
        let (stopped, written) = wait_for(stop, events, longest)?;
        if stopped || (written && wait_for(stop, None, SYNC)?.0) {
            return Ok(Waited::Stopped);
        }
        if self.take_events() {
            self.look_closely();
        }
        self.watch();
        Ok(if written { Waited::Written } else { Waited::Over })
    }

    /// Takes note of what the look after [`Self::wait`] has found.
    pub fn looked(&mut self, found: bool) {
        if !found || !self.is_resting() {
            return;
        }
        // Its write came before it, perhaps after the events were taken.
        if !self.take_events() {
            self.missed = self.missed.saturating_add(1);
            if self.missed == TOO_MANY {
                tracing::info!("commits are not announced, so they are looked for all the time");
            }
        }
        self.look_closely();
    }

    /// From now on for a while looks follow each other closely.
    fn look_closely(&mut self) {
        self.alert = Instant::now().checked_add(ALERT);
    }

    /// Whether nobody has written for a while, and a write would be announced.
    fn is_resting(&self) -> bool {
        let alert = self.alert.is_some_and(|until| Instant::now() < until);
        self.watched && self.missed < TOO_MANY && !alert
    }

    /// Watches the log if it is not being watched.
    fn watch(&mut self) {
        if self.watched {
            return;
        }
        let wanted = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::DELETE_SELF
            | inotify::WatchFlags::MOVE_SELF;
        let Some(events) = &self.events else { return };
        // Not there yet, or no watches left for this user: looks follow each other closely.
        self.watched = inotify::add_watch(events, &self.path, wanted).is_ok();
    }

    /// Whether anything was announced since the last time.
    fn take_events(&mut self) -> bool {
        let Some(events) = &self.events else { return false };
        // Without a file's name an event is 16 bytes; writes that nobody has taken yet are one.
        let mut buffer = [MaybeUninit::uninit(); 512];
        let mut reader = inotify::Reader::new(events, &mut buffer);
        let gone = inotify::ReadFlags::IGNORED
            | inotify::ReadFlags::DELETE_SELF
            | inotify::ReadFlags::MOVE_SELF;
        let mut any = false;
        loop {
            match reader.next() {
                Ok(event) => {
                    any = true;
                    if event.events().intersects(gone) {
                        self.watched = false;
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => return any,
            }
        }
    }
}

/// Waits for one of the two, at most so long: whether `stop` was hung up, whether there are events.
fn wait_for(
    stop: BorrowedFd<'_>,
    events: Option<BorrowedFd<'_>>,
    longest: Duration,
) -> io::Result<(bool, bool)> {
    let mut fds = vec![PollFd::from_borrowed_fd(stop, PollFlags::IN)];
    fds.extend(events.map(|events| PollFd::from_borrowed_fd(events, PollFlags::IN)));
    let end = Instant::now() + longest;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut fds, Some(&left)) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut came = fds.iter().map(|fd| !fd.revents().is_empty());
    Ok((came.next().unwrap_or(false), came.next().unwrap_or(false)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schedule::Timing;
    use crate::store::open::writing_connection;
    use sqlx::Connection as _;
    use std::fs::File;
    use std::io::Write as _;

    /// A log that is watched, after the time in which every start looks closely.
    fn at_rest(dir: &tempfile::TempDir) -> (Announcements, File) {
        let path = dir.path().join("darkroom.db-wal");
        let log = File::create(&path).unwrap();
        let mut announcements = Announcements::new(path);
        announcements.alert = None;
        assert!(announcements.is_resting());
        (announcements, log)
    }

    #[test]
    fn a_write_is_announced_and_looks_are_close_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let (stop, _stopper) = io::pipe().unwrap();
        let (mut announcements, mut log) = at_rest(&dir);
        log.write_all(b"frame").unwrap();
        assert_eq!(announcements.wait_for_one(stop.as_fd()).unwrap(), Waited::Written);
        assert!(!announcements.is_resting(), "its commit is still to come");
        announcements.looked(true);
        assert_eq!(announcements.missed, 0, "it was announced");
        announcements.alert = None;
        assert!(announcements.is_resting(), "the event was taken");
    }

    #[tokio::test]
    async fn commits_of_another_connection_are_announced() {
        let dir = tempfile::tempdir().unwrap();
        let clock = std::sync::Arc::new(crate::clock::ManualClock::new(7));
        let store = Store::open(dir.path(), clock, Timing::default()).await.unwrap();
        let mut other = writing_connection(&db_path(dir.path())).await.unwrap();
        let (stop, _stopper) = io::pipe().unwrap();
        let (mut commits, mut announcements) = (store.commits(), store.announcements());
        for n in 0..20 {
            let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
            if n == 10 {
                sqlx::query(checkpoint).execute(&mut other).await.unwrap();
                // Whether a log that begins anew counts as a commit is not ours to say.
                announcements.wait(stop.as_fd()).unwrap();
                commits.changed().unwrap();
            }
            announcements.alert = None;
            assert!(announcements.is_resting());
            sqlx::query("INSERT INTO boots (started_at, pid, version) VALUES ($1, 1, 'x')")
                .bind(n)
                .execute(&mut other)
                .await
                .unwrap();
            let waited = announcements.wait_for_one(stop.as_fd()).unwrap();
            assert_eq!(waited, Waited::Written, "commit {n}");
            assert!(commits.changed().unwrap(), "commit {n}");
            announcements.looked(true);
        }
        assert_eq!(announcements.missed, 0);
        other.close().await.unwrap();
        store.close().await;
    }

    #[test]
    fn commits_that_nobody_announced_end_the_trust() {
        let dir = tempfile::tempdir().unwrap();
        let (mut announcements, _log) = at_rest(&dir);
        announcements.looked(false);
        assert!(announcements.is_resting());
        for resting_after in [true, false] {
            announcements.looked(true);
            assert!(!announcements.is_resting(), "for a while");
            announcements.alert = None;
            assert_eq!(announcements.is_resting(), resting_after);
        }
    }

    #[test]
    fn a_commit_in_the_moment_of_the_look_was_announced_too() {
        let dir = tempfile::tempdir().unwrap();
        let (mut announcements, mut log) = at_rest(&dir);
        log.write_all(b"frame").unwrap();
        announcements.looked(true);
        assert!(announcements.missed == 0 && !announcements.is_resting());
    }

    #[test]
    fn a_log_that_is_made_anew_is_watched_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (stop, _stopper) = io::pipe().unwrap();
        let (mut announcements, log) = at_rest(&dir);
        drop(log);
        std::fs::remove_file(&announcements.path).unwrap();
        assert!(announcements.wait(stop.as_fd()).unwrap());
        assert!(!announcements.watched, "there is none");
        let mut log = File::create(&announcements.path).unwrap();
        assert!(announcements.wait(stop.as_fd()).unwrap());
        announcements.alert = None;
        assert!(announcements.is_resting());
        log.write_all(b"frame").unwrap();
        assert!(announcements.wait(stop.as_fd()).unwrap());
        assert!(!announcements.is_resting(), "the new one's writes are announced");
    }

    #[test]
    fn it_ends_when_it_is_told_to() {
        let dir = tempfile::tempdir().unwrap();
        let (stop, stopper) = io::pipe().unwrap();
        let (mut announcements, _log) = at_rest(&dir);
        drop(stopper);
        assert!(!announcements.wait(stop.as_fd()).unwrap());
    }

    #[test]
    fn without_announcements_looks_are_close() {
        let mut announcements = Announcements::new("/nowhere/darkroom.db-wal".into());
        announcements.alert = None;
        assert!(!announcements.is_resting());
    }
}
