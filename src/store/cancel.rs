//! The user no longer wants it.

use super::Result;
use super::apply::{Facts, apply};
use super::writer::{Tx, Write};
use crate::domain::event::Event;
use crate::domain::ids::Id;
use crate::domain::schedule::Timing;
use crate::domain::work::{Kind, Work};
use futures_util::future::BoxFuture;

/// Asks for the end of rows; each one that ended already is left as it is.
pub struct Cancel {
    /// Which rows.
    pub rows: Vec<(Kind, Id)>,
    /// Who asks.
    pub actor: String,
    /// The configured durations.
    pub timing: Timing,
}

impl Write for Cancel {
    type Output = Vec<Work>;

    fn run<'a>(&'a self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<Vec<Work>>> {
        Box::pin(async move {
            let mut out = Vec::new();
            for (kind, id) in self.rows.iter().copied() {
                let work = tx.load(kind, id).await?.work;
                // An earlier one of these may have taken this one with it.
                if work.state.is_terminal() || kind == Kind::Output {
                    out.push(work);
                    continue;
                }
                let event = Event::CancelRequested;
                let facts = Facts::default();
                out.push(apply(tx, &self.timing, &self.actor, kind, id, event, facts).await?);
            }
            Ok(out)
        })
    }
}
