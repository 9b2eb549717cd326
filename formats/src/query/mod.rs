//! Distinguished names and conditions on entries: parsing, printing, matching.

pub mod dn;
