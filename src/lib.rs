//! darkroom: durable, effectively-once orchestration of the PhotoGPT API.
//!
//! Imports point one way: `domain` <- `files`, `store`, `vendor` <- `engine` <- `service` <- `http`,
//! `cli` <- `app`. `store` and `vendor` never meet, `http` never sees `vendor`, and `simulator` imports
//! nothing of the rest. `tests/architecture.rs` checks it.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod engine;
pub mod files;
pub mod http;
pub mod service;
pub mod simulator;
pub mod store;
pub mod telemetry;
pub mod vendor;
