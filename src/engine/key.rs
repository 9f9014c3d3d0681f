//! Whether the vendor takes the key. One 401 does not say that it is refused: the free ping is asked at
//! once, and only what that says pauses anything. A pause lifts itself when the key is taken again.

use super::Engine;
use crate::domain::failure::{Failure, FailureClass};
use crate::domain::ids::Millis;
use crate::store::settings::{BY_KEY_CHECK, ClearPause, SetPause, Switch};

/// What the ping said so short a time ago is not asked again: many calls may fail at once (ms).
const FRESH: Millis = 2_000;
/// A refused key is tried again after a minute, then after twice as long, and so on.
const AGAIN: Millis = 60_000;
/// At the latest after this.
const AGAIN_AT_MOST: Millis = 5 * 60_000;

/// What the vendor said last of the key.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// When (ms since the start), and whether it took the key.
    last: Option<(Millis, bool)>,
    /// How often in a row it did not.
    refused: u32,
}

impl Asked {
    fn note(&mut self, at: Millis, taken: bool) {
        self.last = Some((at, taken));
        self.refused = if taken { 0 } else { self.refused.saturating_add(1) };
    }

    fn known(&self, at: Millis) -> Option<bool> {
        let (last, taken) = self.last?;
        (at - last < FRESH).then_some(taken)
    }

    fn is_due(&self, at: Millis) -> bool {
        let wait = (AGAIN << (self.refused.clamp(1, 8) - 1)).min(AGAIN_AT_MOST);
        matches!(self.last, Some((last, false)) if at - last >= wait)
    }
}

/// The sentence that a pause for a refused key carries.
pub(crate) fn key_refused(message: &str) -> String {
    format!(
        "the vendor refuses the API key ({message}); put the right one in place and restart the \
         daemon; if the vendor takes this one again, it goes on by itself, and with `darkroom resume` \
         at once"
    )
}

impl Engine {
    /// A call got a 401. If the ping does not get one too, the vendor refused that call and no more;
    /// otherwise both switches pause, and nothing fails.
    pub(super) async fn ask_about_the_key(&self, failure: Failure) -> Failure {
        let mut asked = self.key.lock().await;
        let taken = match asked.known(self.uptime()) {
            Some(taken) => taken,
            None => {
                let taken = self.ping().await.err().is_none_or(|failure| !is_no(&failure));
                asked.note(self.uptime(), taken);
                if !taken {
                    self.pause_both(&failure.message).await;
                }
                taken
            }
        };
        match taken {
            true => Failure {
                class: FailureClass::RefusedForNow,
                message: format!("{}, once: the vendor takes the key", failure.message),
                ..failure
            },
            false => failure,
        }
    }

    async fn ping(&self) -> Result<(), Failure> {
        self.governor.turn().await;
        let result = self.client.ping().await;
        self.note_health(&result).await;
        result.map(drop)
    }

    /// A refused key stops everything and fails nothing.
    async fn pause_both(&self, message: &str) {
        let reason = key_refused(message);
        for switch in Switch::ALL {
            let pause = SetPause { switch, reason: reason.clone(), by: BY_KEY_CHECK.to_owned() };
            if let Err(error) = self.store.writer().write(pause).await {
                tracing::warn!("the pause could not be stored: {error}");
            }
        }
        tracing::error!("{reason}");
    }

    /// Whether a refused key is to be tried again.
    pub(super) async fn key_is_due(&self) -> bool {
        self.key.lock().await.is_due(self.uptime())
    }

    /// Asks the vendor whether it takes the key; if so, pauses for a refused one are lifted.
    ///
    /// Also learns the vendor's clock before the first intent needs it.
    pub async fn probe_key(&self) {
        let answer = self.ping().await;
        match &answer {
            Ok(()) => {
                self.key.lock().await.note(self.uptime(), true);
                self.key_works().await;
            }
            Err(failure) if is_no(failure) => {
                self.key.lock().await.note(self.uptime(), false);
                self.pause_both(&failure.message).await;
            }
            Err(failure) => tracing::debug!("the ping failed: {}", failure.message),
        }
    }

    /// Lifts pauses for a refused key: the vendor has just taken it.
    pub async fn key_works(&self) {
        for switch in Switch::ALL {
            let lift = ClearPause { switch, only_by: Some(BY_KEY_CHECK) };
            match self.store.writer().write(lift).await {
                Ok(true) => {
                    tracing::info!("the key works: {} goes on", switch.as_str());
                    self.wake();
                }
                Ok(false) => {}
                Err(error) => tracing::warn!("a pause could not be lifted: {error}"),
            }
        }
    }
}

fn is_no(failure: &Failure) -> bool {
    failure.class == FailureClass::Unauthorized
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_key_is_tried_again_less_and_less_often() {
        let mut asked = Asked::default();
        assert!(!asked.is_due(Millis::MAX) && asked.known(0).is_none(), "nobody has asked");
        let mut at = 0;
        for wait in [1, 2, 4, 5, 5] {
            asked.note(at, false);
            let wait = wait * 60_000;
            assert!(!asked.is_due(at + wait - 1) && asked.is_due(at + wait), "{wait}");
            at += wait;
        }
        assert_eq!((asked.known(at - 1), asked.refused), (None, 5));
        asked.note(at, true);
        assert!(!asked.is_due(Millis::MAX));
        assert_eq!((asked.known(at + FRESH - 1), asked.known(at + FRESH)), (Some(true), None));
        asked.note(at, false);
        assert!(asked.is_due(at + AGAIN), "it begins anew");
    }
}
