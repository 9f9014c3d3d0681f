//! The judging under a vendor that keeps the truth and shows it badly.
//!
//! A world ([`trouble`]) is a kind of use and the troubles of one vendor; a seed draws a run of it.
//! The daemon ([`daemon`], [`sending`], [`looking`], [`sweeping`], [`learning`],
//! [`book`]) decides nothing about
//! money by itself: it fetches evidence and carries out verdicts, as the engine does, and the crate
//! `judging` decides. The vendor ([`vendor`]) knows what it has made and for whom. The oracle
//! ([`oracle`]) asks only the vendor's truth, and never a predicate of the code under test.
//!
//! [`bugs`] can be planted; `caught` shows that each trips a check. `counterexamples` are the cases
//! that the rules were written for, one by one.
//!
//! `cargo test -p judging --test simulation` runs a few seeds of every world.
//! `DARKROOM_SIM_SEEDS` runs more, `DARKROOM_SIM_SEED` begins elsewhere, `DARKROOM_SIM_WORLD` keeps
//! only the worlds whose names contain it, or one of several parted by `|`. `-- --ignored --nocapture
//! table` prints the tables. Trainings, which no list proves, have vendors of their own ([`trainings`]).

mod book;
mod bugs;
mod caught;
mod cost;
mod counterexamples;
mod daemon;
mod dice;
mod excuses;
mod learning;
mod looking;
mod numbered;
mod oracle;
mod orders;
mod person;
mod resending;
mod scripts;
mod sending;
mod sweeping;
mod table;
mod trainings;
mod trouble;
mod vendor;
mod worlds;
