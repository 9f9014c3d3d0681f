//! Requests with the same Idempotency-Key go one after the other, so that the second finds the
//! reply of the first instead of what the first has made of the world.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::OwnedMutexGuard;

/// Beyond this many names, those that nobody holds are forgotten.
const MANY: usize = 1024;

type Turn = tokio::sync::Mutex<()>;

/// Who is at work under which key.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<String, Weak<Turn>>>);

impl Turns {
    /// Waits until nobody is at work under this key; the turn ends when the answer is dropped.
    pub(super) async fn take(&self, key: String) -> OwnedMutexGuard<()> {
        self.turn(key).lock_owned().await
    }

    fn turn(&self, key: String) -> Arc<Turn> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() > MANY {
            turns.retain(|_, turn| turn.strong_count() > 0);
        }
        if let Some(turn) = turns.get(&key).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(Turn::default());
        turns.insert(key, Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn one_after_the_other_under_one_key_and_side_by_side_under_two() {
        let turns = Turns::default();
        let first = turns.take("a".to_owned()).await;
        assert!(turns.take("a".to_owned()).now_or_never().is_none());
        assert!(turns.take("b".to_owned()).now_or_never().is_some());
        drop(first);
        assert!(turns.take("a".to_owned()).now_or_never().is_some());
        for n in 0..2 * MANY {
            turns.take(n.to_string()).await;
        }
        assert!(turns.0.lock().unwrap().len() <= MANY + 1);
    }
}
