//! Distinguished names and times as text; conditions on entries.

pub mod describe;
pub mod dn;
pub mod dn_build;
pub mod time;
