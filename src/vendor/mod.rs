//! vendor: see ARCHITECTURE.md.
