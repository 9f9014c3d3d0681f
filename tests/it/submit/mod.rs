//! The submitting commands, as the real binary without a daemon: what is refused and how, that
//! nothing is left behind then, and that a key brings its work once.

mod jobs;
mod models;
mod place;
mod recipes;
mod train;
