//! http: see ARCHITECTURE.md.

pub mod token;
