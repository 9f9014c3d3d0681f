//! How late a model's status follows the accepted trigger of its training: what absence of one whose
//! reply was lost is told by.

use super::{Engine, Result};
use crate::domain::ids::{Id, Millis, RemoteModelId};
use crate::store::doubt::NoteDelay;
use judging::training::READS;
use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

/// Once enough is known, one training in so many is measured still.
const ONE_IN: u128 = 10;

/// Trainings whose acceptance this daemon heard and whose model is followed, with the time of that (ms
/// since the start). A restart interrupts it, and what is interrupted is no measurement.
pub(super) type Followed = HashMap<Id, Millis>;

impl Engine {
    fn followed(&self) -> MutexGuard<'_, Followed> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After an acceptance: reads the model more often than trainings are looked at, until its status
    /// has followed. If that takes longer than these reads, the ordinary looks see it.
    pub(super) async fn measure_delay(self: Arc<Self>, training: Id, model: String) {
        let known = self.store.training_delay().await;
        let worth_it = known.is_ok_and(|delay| delay.is_untried() || one_in(training));
        if !worth_it {
            return;
        }
        let (begun, model) = (self.uptime(), RemoteModelId(model));
        self.followed().insert(training, begun);
        let usual = self.timing().poll_training;
        for at in READS.into_iter().take_while(|at| *at < usual) {
            let rest = (begun + at - self.uptime()).max(0);
            tokio::time::sleep(Duration::from_millis(u64::try_from(rest).unwrap_or(0))).await;
            if !self.followed().contains_key(&training) || !self.may_look() {
                return;
            }
            match self.called(self.client.get_model(&model)).await {
                Ok(reply) if super::poll::is_past_new(&reply.value.status) => {
                    return self.status_followed(training).await;
                }
                Ok(_) => {}
                Err(failure) => tracing::debug!("a model is not read now: {}", failure.message),
            }
        }
    }

    /// A training's model is past `new`: if it was followed since the acceptance, that is a measurement.
    pub(super) async fn status_followed(&self, training: Id) {
        let begun = self.followed().remove(&training);
        let Some(begun) = begun else { return };
        let delay = (self.uptime() - begun).max(0);
        let noted: Result<()> =
            self.store.writer().write(NoteDelay { delay }).await.map_err(Into::into);
        if let Err(error) = noted {
            tracing::debug!("how late a model's status is could not be noted: {error}");
        }
    }
}

/// A share of all ids, spread evenly.
fn one_in(id: Id) -> bool {
    id.0.as_u128().is_multiple_of(ONE_IN)
}
