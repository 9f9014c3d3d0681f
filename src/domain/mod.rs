//! The rules, pure: no I/O, no clock, no randomness, no async.

pub mod catalogue;
pub mod duration;
pub mod event;
pub mod failure;
pub mod ids;
pub mod photo;
pub mod polling;
pub mod quarantine;
pub mod recipe;
pub mod request;
pub mod schedule;
pub mod state;
pub mod validate;
pub mod word;
pub mod work;
