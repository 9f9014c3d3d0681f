//! Rules for training photos.
