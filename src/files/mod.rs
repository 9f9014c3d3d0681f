//! Files on disk: looking at photos, storing them by content, writing without half-done files.
//!
//! Everything here blocks unless it says `async`; callers in async code use `spawn_blocking`.

pub mod asked;
pub mod atomic;
pub mod blobs;
pub mod disk;
pub mod folder;
pub mod highwater;
pub mod samples;
pub mod sniff;
pub mod spill;
mod structure;
