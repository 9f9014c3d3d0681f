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
//! | `GET /_sim/faults` | all faults, whether each is in force, how many calls it matched and struck |
//! | `POST /_sim/faults` | adds faults: `["lost-reply,times=1"]`, all or none; `from` and `for` count from here |
//! | `DELETE /_sim/faults` | removes all faults; with a body such as `["lost-reply,times=1"]` those of exactly these texts, all or none |
//! | `POST /_sim/foreign` | jobs that no call here ordered: `{"key", "count", "kind": "image" or "video", "time": "20s..40s", "size": 64, "model", "age": "3h", "every": "5m"}`, all optional. `model` is shown as `modelId`; `"same"` repeats the key's newest job. `age` is how long ago the first was made, `every` how much later each next one |
//! | `POST /_sim/foreign-model` | a model that no call here asked for: `{"key", "name", "status"}`, all optional |
//! | `GET /_sim/finished` | jobs in the order in which they ended, when, and when a reply first said so; `?since=NUMBER` |
//! | `POST /_sim/finish` | ends all trainings, jobs and downloads under way, stuck ones included |
//! | `POST /_sim/hold`, `release` | freezes trainings, jobs and downloads where they are, and lets go |
//! | `POST /_sim/down`, `up` | closes the connection of every API call, and stops doing so |
//! | `POST /_sim/model/{id}/status` | shows `{"status"}`; without one, nature takes over again |
//! | `POST /_sim/job/{id}` | `{"status", "error"}`: `success` and `failed` end it, other words are shown |
//! | `POST /_sim/job/{id}/unlist` | takes it off the list; with `{"forget": true}` its id answers 404 too |
//! | `POST /_sim/job/{id}/relist` | lists it and knows it again, whatever kept it out |
//! | `POST /_sim/reset` | forgets everything but the command line |
//!
//! Totals in the ledger count effects, not calls: a refused call is none, and a lost reply is one,
//! with `replied` false. Each effect names what it was for: a job its request, an upload the hash of
//! its bytes, a model its name, a training its model; a job also its state, its outputs, the
//! `created_at` that it shows (`at` is when it really happened), and when it was or will be
//! `listed_at`, `unlisted_at` and `forgotten_at` (null is never). `call` is the number that the call
//! has in `requests`. `double_of` is set on the second effect of a request that was delivered twice
//! and names the first one's `seq`; totals and credits include it, `doubles` and `double_credits`
//! tell how much of them it is. `train_calls`, `train_conflicts` and `train_noops` count calls, a
//! request delivered twice once. Jobs and models of somebody else are counted in `foreign_jobs` and
//! `foreign_models` alone, and their credits not at all; `like` names the job that one repeats.
//!
//! Three times are apart: a job is listed in the order in which it was really made, shows the
//! `createdAt` of whatever clock stamped it at birth, and is found by `start` and `end` of a third.

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
