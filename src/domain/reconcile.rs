//! Matching calls in doubt with what the vendor has.
