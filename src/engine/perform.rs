//! One step of one row: which one depends on its state alone. Rows that the vendor works on are
//! looked at by [`super::looks`].

use super::{Engine, Result};
use crate::domain::ids::Id;
use crate::domain::work::{Kind, State};

impl Engine {
    /// Carries a row one step further, if there is one to take; sends only when the loop has
    /// looked at lanes and limits for it.
    ///
    /// # Errors
    /// When a question to the vendor or the database stayed unanswered; the row is as it was and
    /// will be due again.
    pub(super) async fn perform(&self, kind: Kind, id: Id, may_send: bool) -> Result<()> {
        // The row may have moved since it was found due (a cancel from the command line).
        let work = self.store.load(kind, id).await?.work;
        match work.state {
            State::Queued { due } if may_send && due <= self.now() => self.send(&work).await,
            State::Fetching { due } if due <= self.now() => self.fetch(&work).await,
            State::InDoubt { intent, due } if due <= self.now() => {
                self.resolve(&work, intent).await
            }
            _ => Ok(()),
        }
    }
}
