//! simulator: see ARCHITECTURE.md.
