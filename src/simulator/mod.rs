//! The vendor, offline: `darkroom simulate`.
//!
//! PhotoGPT's developer API as documented, with a clock that can be sped up, every kind of trouble
//! that the documentation leaves room for, and a ledger of what really happened. It imports nothing
//! of the rest of the crate, so that a misreading of the documentation on one side shows on the
//! other.
//!
//! Where the documentation is silent the stricter reading is the default: model records without
//! names, timestamps in whole seconds, no public model ids on jobs. [`Args`] holds the switches;
//! `--help` lists the faults. Prices other than the 10 credits of an image are ours, too.
//!
//! # Control plane
//!
//! Outside `/api`, without a key, JSON in and out:
//!
//! | call | what it does |
//! |---|---|
//! | `GET /_sim/ledger` | effects that really happened, with totals; `?since=SEQ`, `?effects=false` |
//! | `GET /_sim/requests` | calls and peak concurrency per operation, the last 10,000 calls; `?op=`, `?since=` |
//! | `GET /_sim/faults` | faults in force, how many calls each matched and struck |
//! | `POST /_sim/faults` | adds faults: `["lost-reply,times=1"]`, all or none |
//! | `DELETE /_sim/faults` | removes all faults |
//! | `POST /_sim/foreign` | jobs that no call here ordered: `{"key", "count", "kind": "image" or "video", "time": "20s..40s", "size": 64}`, all optional |
//! | `GET /_sim/finished` | jobs in the order in which they ended, when, and when a reply first said so; `?since=NUMBER` |
//! | `POST /_sim/finish` | ends all trainings, jobs and downloads under way, stuck ones included |
//! | `POST /_sim/hold`, `release` | freezes trainings, jobs and downloads where they are, and lets go |
//! | `POST /_sim/down`, `up` | closes the connection of every API call, and stops doing so |
//! | `POST /_sim/model/{id}/status` | shows `{"status"}`; without one, nature takes over again |
//! | `POST /_sim/job/{id}` | `{"status", "error"}`: `success` and `failed` end it, other words are shown |
//! | `POST /_sim/reset` | forgets everything but the command line |
//!
//! Totals in the ledger count effects, not calls: a refused call is none, and a lost reply is one,
//! with `replied` false. Each effect names what it was for: a job its request, an upload the hash of
//! its bytes, a model its name; a job also its state and its outputs. `train_calls`, `train_conflicts` and `train_noops` count calls. Jobs of
//! somebody else are counted in `foreign_jobs` alone, and their credits not at all.

mod api;
mod args;
mod clock;
mod control;
mod draw;
mod fault;
mod fault_table;
mod faults;
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
pub use clock::Span;
pub use fault::Fault;
pub(crate) use rng::Rng;
pub use serve::{Running, run, start};
