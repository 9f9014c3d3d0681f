//! What the interfaces read.
