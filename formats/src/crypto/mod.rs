//! crypto.

pub mod public;
