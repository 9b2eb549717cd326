//! crypto.
pub mod public;
