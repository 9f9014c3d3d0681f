//! The vendor, offline: `darkroom simulate`.

mod api;
mod args;
mod clock;
mod control;
mod draw;
mod fault;
mod fault_table;
mod gate;
mod media;
mod op;
mod reply;
mod rng;
mod serve;
mod sim;
mod world;

#[cfg(test)]
mod tests;

pub use args::{Args, Retrain};
pub use fault::Fault;
pub use serve::{Running, run, start};
