//! The core under a seeded scheduler: `Work::evolve`, `reconcile::judge`, `reconcile::lag` and
//! `schedule` as they are, around them a model of the vendor, the database and the engine's steps.
//!
//! A schedule is drawn from a seed ([`plan`]) and run to its end ([`world`]). Between any two steps
//! of the daemon ([`daemon`], [`sending`], [`looking`]) it may die, time may pass, our clock may be
//! set, the vendor may go down, list late or accept late, somebody else may order, a row may be
//! cancelled, a person may decide. What must be true is told from the vendor's own truth
//! ([`check`]). [`bugs`] can be planted; [`tests`] shows that each is caught.
//!
//! The model follows `src/engine` and `src/store` by hand, for the domain knows neither. The top of
//! each file says which function stands for which: whoever changes one changes both.
//!
//! Where it found a fault, the engine has been mended, and the fault can be planted here:
//! `EntriesUntilNow`, `OurClockForTheirs`, `SendsAfterSleep`, `LookDatedAtItsEnd`, `SweepOfADay`,
//! `OvertakenVerdict` and `ShownOnTheWay` in [`bugs`] are how the engine was when the simulation
//! was written.
//!
//! In two points the engine is stricter than the model: time in which nobody looked does not count
//! at all (here the beginning of the doubt is a look, and only gaps of one boot are cut), and both
//! looks that prove absence come after the settle time. Behind these, several planted bugs would
//! never show.
//!
//! `cargo test --lib simulation` runs all of it. `DARKROOM_SIM_SEED` and `DARKROOM_SIM_SCHEDULES`
//! choose other schedules; a failing seed is printed with its shortened story and how to see it
//! again.

mod bugs;
mod check;
mod daemon;
mod db;
mod listing;
mod looking;
mod plan;
mod sending;
mod tests;
mod vendor;
mod world;
