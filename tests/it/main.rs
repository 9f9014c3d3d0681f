//! One test binary, so that everything is linked once. Each file is one subject.
//!
//! The tests talk to the real binary and the real database against the simulator over real HTTP;
//! crashes are real `kill -9`s; they wait on conditions, never on sleeps.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod account;
mod api;
mod architecture;
mod clients;
mod clock;
mod doubt;
mod drill;
mod gateway;
mod going_back;
mod guard;
mod killpoints;
mod lies;
mod main_job;
mod mended;
mod ops;
mod polling;
mod quarantine;
mod reading;
mod restart;
mod storage;
mod submit;
mod support;
mod vendor_moods;
mod verdicts;
mod views;
