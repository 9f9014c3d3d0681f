//! What the next daemon is told of this one's questions about running rows, and what this one was
//! told: [`crate::files::asked`].

use super::account::is_unknown;
use super::looks::{Look, Sighting};
use super::watch::Moment;
use super::{Engine, Result};
use crate::domain::ids::{Millis, RemoteJobId};
use crate::domain::work::Kind;
use crate::files::asked::Asked;
use crate::store::queries::Ref;
use crate::store::waking::Holds;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// Each mark covers the questions of this share of the interval, so that a thousand of them a second
/// write twenty times. No more than what the grid's step is longer than the interval, so that a
/// restart keeps a row's place.
const COVERED: Millis = 100;

/// The file that says when rows were asked about last; none where there can be none.
pub(super) type Questions = tokio::sync::Mutex<Option<Arc<Mutex<Asked>>>>;

/// The question whose answer says whose account this is, where it was a look as well.
#[derive(Debug, Default)]
pub(super) enum Opening {
    /// Nobody has asked yet.
    #[default]
    Open,
    /// What was seen, to be stored once looks are allowed.
    Seen(Box<(Ref, Sighting, Millis)>),
    /// It was no look, or all of it is stored.
    Over,
}

impl Engine {
    fn opening(&self) -> MutexGuard<'_, Opening> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks about an overdue job, if there is one that may be asked about: whoever knows it has the
    /// account that it is of, so no other question is needed. Answers its id, and whether the vendor
    /// knows it.
    ///
    /// # Errors
    /// A database error, or no usable answer.
    pub(super) async fn opening_look(&self) -> Result<Option<(String, bool)>> {
        let Moment { now, steady } = self.both_clocks();
        let open = matches!(std::mem::replace(&mut *self.opening(), Opening::Over), Opening::Open);
        if !open || !self.watch().may_ask(Kind::Job, steady) {
            return Ok(None);
        }
        let Holds { pauses, quarantine } = self.store.holds().await?;
        if pauses.watching.is_some() || quarantine.is_some_and(|holds| holds.stops_watching()) {
            return Ok(None);
        }
        let Some(row) = self.store.overdue_job(now).await? else { return Ok(None) };
        let Some(id) = row.remote_id else { return Ok(None) };
        self.note_question(Kind::Job).await;
        let Moment { steady, .. } = self.both_clocks();
        let answer = self.call(self.client.get_job(&RemoteJobId(id.clone()))).await;
        let (seen, known) = match answer {
            Ok(reply) => (Sighting::Job(reply.value), Ok(true)),
            Err(failure) if is_unknown(&failure) => (Sighting::Failed(failure), Ok(false)),
            Err(failure) => (Sighting::Failed(failure.clone()), Err(failure)),
        };
        // Whatever came of it, it has been asked about.
        *self.opening() = Opening::Seen(Box::new((row.row, seen, steady)));
        Ok(Some((id, known?)))
    }

    /// Waits until rows of a kind may be asked about that this daemon has not asked about, and takes
    /// that turn: all of them wait for another interval then.
    pub(super) async fn turn_of_unasked(&self, kind: Kind) {
        loop {
            let Moment { steady, .. } = self.both_clocks();
            let wait = self.watch().not_yet(kind, steady).unwrap_or(0);
            let Some(wait) = u64::try_from(wait).ok().filter(|wait| *wait > 0) else { break };
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
        self.note_question(kind).await;
        let Moment { steady, .. } = self.both_clocks();
        self.watch().may_ask_from(kind, steady + kind.poll_interval(self.timing()));
    }

    /// What was seen belongs to another account.
    pub(super) fn forget_opening_look(&self) {
        *self.opening() = Opening::Over;
    }

    /// Stores what the first look saw. To be called before others are allowed: it counts as one.
    ///
    /// # Errors
    /// A database error; it is to be called again then.
    pub(super) async fn end_opening_look(self: &Arc<Self>, tasks: &TaskTracker) -> Result<()> {
        let Opening::Seen(opening) = std::mem::replace(&mut *self.opening(), Opening::Over) else {
            return Ok(());
        };
        if let Err(error) = self.rewatch(&[opening.0]).await {
            *self.opening() = Opening::Seen(opening);
            return Err(error);
        }
        let (row, seen, steady) = *opening;
        self.watch().asked(row, steady);
        let Some(entry) = self.watch().take(row) else { return Ok(()) };
        let look = Look::new(self.clone(), row, entry);
        tasks.spawn(look.end(seen));
        Ok(())
    }

    /// Opens the file, and tells the watch from when on rows may be asked about although this
    /// daemon does not know when the last one did.
    pub async fn hear_of_last_questions(&self) {
        let data_dir = self.data_dir().to_owned();
        let opened = tokio::task::spawn_blocking(move || Asked::open(&data_dir)).await;
        let (asked, quiet) = match opened.map_err(std::io::Error::other).flatten() {
            Ok(opened) => opened,
            Err(error) => {
                tracing::debug!("when rows were asked about last is not known: {error}");
                return;
            }
        };
        *self.questions.lock().await = Some(Arc::new(Mutex::new(asked)));
        let Moment { steady, .. } = self.both_clocks();
        let mut watch = self.watch();
        for kind in Kind::ALL {
            if let Some(quiet) = quiet.get(kind as usize).copied().flatten() {
                watch.may_ask_from(kind, steady + kind.poll_interval(self.timing()) - quiet);
            }
        }
    }

    /// Notes that rows of a kind are about to be asked about. To be awaited before the question.
    pub(super) async fn note_question(&self, kind: Kind) {
        // Held until the mark is written: nobody may ask on the strength of one that is not.
        let questions = self.questions.lock().await;
        let Some(asked) = questions.as_ref() else { return };
        if asked.lock().unwrap_or_else(PoisonError::into_inner).is_noted(kind) {
            return;
        }
        let (asked, covered) = (asked.clone(), kind.poll_interval(self.timing()) / COVERED);
        let noted = tokio::task::spawn_blocking(move || {
            asked.lock().unwrap_or_else(PoisonError::into_inner).note(kind, covered)
        });
        if let Err(error) = noted.await.map_err(std::io::Error::other).flatten() {
            tracing::debug!("when rows were asked about is not noted: {error}");
        }
    }
}
