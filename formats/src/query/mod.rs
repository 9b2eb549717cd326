//! Distinguished names and conditions on entries: parsing, printing, matching.

pub mod dn;
mod names;

pub use names::{Names, names};
