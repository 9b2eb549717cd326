//! `keyferry default`: which key a store offers when nobody names one.

use super::Program;
use super::change::{ChangeOptions, Target};
use crate::error::{Failure, Result};
use crate::place::StoreArg;
use formats::error::Printable;
use formats::jobs::edits::set_default;
use formats::jobs::{Input, load};
use formats::{Ctx, Options};
use std::ffi::OsString;
use std::io::Write;

/// Show or set a store's default key
///
/// Programs that name no label use the default key. Without LABEL its label is printed, and the status is 1
/// when the store has none.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The store
    store: OsString,

    /// The key that is to be the default
    label: Option<String>,

    #[command(flatten)]
    change: ChangeOptions,
}

const EXAMPLES: &str = "\
Examples:
  keyferry default client.kdb
  keyferry default client.kdb alice";

/// Shows or sets it.
pub fn run(program: &Program, args: &Args) -> Result {
    program.refuse_to_password()?;
    let Some(label) = &args.label else {
        return show(program, &StoreArg::parse_existing(&program.ui, &args.store));
    };
    let target = Target::new(program, &args.store, &[], &args.change)?;
    let done = target.edit(&|store, format| set_default(store, format, label))?;
    let outcome = match (done.changed, args.change.dry_run) {
        (true, false) => "is the default now",
        (true, true) => "would be the default",
        (false, _) => "is the default already",
    };
    target.say(&format!("\"{}\" {outcome}", Printable(label)), &done);
    Ok(())
}

fn show(program: &Program, arg: &StoreArg) -> Result {
    let source = arg.open()?;
    let session = program.session()?;
    let passwords = program.passwords(&[arg])?;
    let secrets = passwords.of(arg);
    let ctx = Ctx { secrets: &secrets, options: &Options::default(), session: &session };
    let loaded = load(&Input { source: &source, format: arg.format, ctx })?;
    let mut out = program.ui.out();
    let defaults: Vec<_> = loaded.store.entries.iter().filter(|e| e.default).collect();
    for entry in &defaults {
        writeln!(out, "{}", Printable(&entry.label_text()))?;
    }
    out.flush()?;
    if defaults.is_empty() { Err(Failure::No) } else { Ok(()) }
}
