//! When a paid call that is in doubt lets the next one go.

use crate::Millis;
use crate::times::Times;

/// What is known of the doubt after a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waited {
    /// How long whole looks have gone on (ms of looking).
    pub looking: Millis,
    /// Whole looks so far, this one included.
    pub looks: u32,
    /// Whether the last of them was whole and showed nothing that could be the call's.
    pub quiet: bool,
    /// How long ago the call went out (ms).
    pub age: Millis,
}

/// Whether the lane opens; the call stays in doubt.
pub fn opens(waited: &Waited, times: &Times) -> bool {
    let quiet = waited.quiet && waited.looks > 0 && waited.looking >= times.quiet();
    quiet || waited.age >= times.lane()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MINUTE;

    #[test]
    fn after_two_quiet_minutes_or_fifteen_whatever_there_is() {
        let times = Times::auto(30_000);
        let at = |looking, looks, quiet, age| opens(&Waited { looking, looks, quiet, age }, &times);
        assert!(at(2 * MINUTE, 1, true, 2 * MINUTE));
        assert!(!at(2 * MINUTE - 1, 9, true, 14 * MINUTE));
        assert!(!at(9 * MINUTE, 0, true, 9 * MINUTE));
        assert!(!at(9 * MINUTE, 9, false, 15 * MINUTE - 1));
        assert!(at(0, 0, false, 15 * MINUTE));
    }
}
