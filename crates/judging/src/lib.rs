//! What decides about money: which job at the vendor is a lost call's, when a call is surely absent,
//! whose a job is that no row claims, when the next paid call may go out, whether the account and the
//! database are still the ones they were.
//!
//! Pure functions: evidence in, verdict with its reasons out. No I/O, no clock, no SQL. The engine
//! fetches the evidence and carries out the verdict; the simulation in `tests/simulation` drives the
//! same functions in worlds whose truth it knows.
//!
//! The principle: silence proves nothing until a witness has been heard. A list may be believed when
//! it says "here is a job". When it says "there is none", it may be believed only if it shows, in the
//! same reading, that it would have shown one.
//!
//! Two clocks occur, and no time of one is ever compared with a time of the other: *ours* (Unix
//! milliseconds of this machine) and the *vendor's* (what its records say of their creation). What
//! joins them is the spacing between accepted jobs ([`clocks`]).
//!
//! Reading order: [`times`], [`clocks`], [`fit`], [`witness`], [`lag`], [`verdict`]; then [`list`]
//! (what to ask for), [`lane`], [`training`], [`placing`], [`account`], [`going_back`].

pub mod account;
pub mod clocks;
pub mod fit;
pub mod going_back;
pub mod lag;
pub mod lane;
pub mod list;
pub mod missing;
pub mod placing;
pub mod times;
pub mod training;
pub mod verdict;
pub mod witness;

/// Milliseconds: a Unix time or a length of time.
pub type Millis = i64;

/// One second.
pub const SECOND: Millis = 1_000;
/// One minute.
pub const MINUTE: Millis = 60 * SECOND;
/// One hour.
pub const HOUR: Millis = 60 * MINUTE;
/// One day.
pub const DAY: Millis = 24 * HOUR;

/// A network may deliver a request a second time so much later (rule 8).
pub(crate) const TWICE: Millis = 2 * MINUTE;
