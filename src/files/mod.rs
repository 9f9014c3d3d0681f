//! files: see ARCHITECTURE.md.
