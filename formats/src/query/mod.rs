//! Distinguished names and times as text; conditions on entries.

pub mod describe;
pub mod dn;
pub mod time;
