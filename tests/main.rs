//! Black-box tests of the library and of the program. One test program, so that it links once.
//!
//! Where to look: `apply` keeps whole machines up to date, against servers that lie; `attributes` looks at owners, modes
//! and links; `homes` lets root work in users' homes, against users that swap links; `browsers` opens pages in Chromium
//! and Firefox and TLS connections in NSS; `certificates` asks a second parser; `check` breaks stores in every way that
//! keyferry check knows; `cli` holds the program to its contract, `docs` and `coming_from` the documentation to the
//! code; `edit` changes stores in every format; `keys` has certificates asked for and signed, here and elsewhere; `faults` fails
//! every system call that a change makes; `golden` reads every file of testdata/; `hostile` feeds broken files; `kdb`,
//! `nss` and `oracle` let GSKit, NSS, Java and OpenSSL read what we write and the other way round; `migrate` moves stores
//! for MQ, parts them and puts them together; `names` and `inventory` hold what is listed to what the stores' own tools
//! say; `swap` interrupts rebuilds; `stage` builds now and switches later, is cut off between the stores of a set, and lets
//! other programs look all the while; `untouched` holds edits of PKCS#12 to what they were not told to change.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(missing_docs, reason = "nobody uses a test program as a library")]

mod apply;
mod attributes;
mod browsers;
mod certificates;
mod check;
mod cli;
mod coming_from;
mod docs;
mod edit;
mod faults;
mod golden;
mod homes;
mod hostile;
mod inventory;
mod kdb;
mod keys;
mod migrate;
mod names;
mod nss;
mod oracle;
mod stage;
mod support;
mod swap;
mod untouched;
