//! `keyferry rename`: another label.

use super::Program;
use super::change::{ChangeOptions, Target};
use crate::error::Result;
use formats::error::Printable;
use formats::jobs::edits::rename;
use std::ffi::OsString;

/// Give an entry another label
///
/// Nothing else of the store changes. Java's stores fold labels to lower case; in an NSS database certificates of
/// one subject may share one.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The store
    store: OsString,

    /// The label that it has, or sha256:HEX of its certificate
    old: String,

    /// The label that it gets
    new: String,

    #[command(flatten)]
    change: ChangeOptions,
}

const EXAMPLES: &str = "\
Examples:
  keyferry rename client.kdb alice ibmwebspheremqalice
  keyferry rename trust.jks sha256:e9d2b8db… root";

/// Renames.
pub fn run(program: &Program, args: &Args) -> Result {
    program.refuse_to_password()?;
    let target = Target::new(program, &args.store, &[], &args.change)?;
    let done = target.edit(&|store, format| rename(store, format, &args.old, &args.new))?;
    let (old, new) = (Printable(&args.old), Printable(&args.new));
    let line = match (done.changed, args.change.dry_run) {
        (true, false) => format!("\"{old}\" is \"{new}\" now"),
        (true, true) => format!("\"{old}\" would become \"{new}\""),
        (false, _) => format!("\"{old}\" has that label already"),
    };
    target.say(&line, &done);
    Ok(())
}
