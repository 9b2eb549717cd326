//! Black-box tests of the library and of the program. One test program, so that it links once.
//!
//! Where to look: `browsers` opens pages in Chromium and Firefox and TLS connections in NSS, `certificates` asks a
//! second parser, `golden` reads every file of testdata/, `oracle` lets other tools read what we write and the other
//! way round, `kdb` and `nss` do so for key databases of IBM's GSKit and of NSS, `keys` has certificates asked for and
//! signed here and elsewhere, `edit` changes stores in every format, `coming_from` runs that page, `names` and
//! `inventory` hold what is listed to what the stores' own tools say, `check` breaks stores in every way that keyferry
//! check knows, `swap` interrupts rebuilds, `faults` fails every system call that they make, `hostile` feeds broken
//! files, `cli` holds the program to its contract, `docs` holds the documentation to the code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(missing_docs, reason = "nobody uses a test program as a library")]

mod browsers;
mod certificates;
mod check;
mod cli;
mod coming_from;
mod docs;
mod edit;
mod faults;
mod golden;
mod hostile;
mod inventory;
mod kdb;
mod keys;
mod names;
mod nss;
mod oracle;
mod support;
mod swap;
