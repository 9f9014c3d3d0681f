//! The submitting commands, as the real binary without a daemon: what is refused and how, that
//! nothing is left behind then, and that a key brings its work once.

// Clippy knows test functions, but not what they share.
#![allow(clippy::unwrap_used, clippy::panic)]

mod jobs;
mod models;
mod place;
mod recipes;
mod train;
