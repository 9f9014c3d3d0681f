//! The read model against a real file.
