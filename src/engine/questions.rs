//! What the next daemon is told of this one's questions about running rows, and what this one was
//! told: [`crate::files::asked`].

use super::Engine;
use super::watch::Moment;
use crate::domain::ids::Millis;
use crate::domain::work::Kind;
use crate::files::asked::Asked;
use std::sync::{Arc, Mutex, PoisonError};

/// Each mark covers the questions of this share of the interval, so that a thousand of them a second
/// write four times.
const COVERED: Millis = 20;

/// The file that says when rows were asked about last; none where there can be none.
pub(super) type Questions = tokio::sync::Mutex<Option<Arc<Mutex<Asked>>>>;

impl Engine {
    /// Opens the file, and tells the watch from when on rows may be asked about although this
    /// daemon does not know when the last one did.
    pub(super) async fn hear_of_last_questions(&self) {
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
