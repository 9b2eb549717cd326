//! `keyferry prune`: old generations that are no longer needed.

use super::Program;
use super::rollback::file;
use crate::error::Result;
use crate::place::{StoreArg, shown};
use crate::time::span;
use formats::jobs::rebuild::prune;
use formats::storeset::Lock;
use std::ffi::OsString;
use std::io::Write;

/// Delete old generations that are no longer needed
///
/// One goes when more than --keep newer ones exist and it is older than --older-than. What went is printed.
/// An old generation holds the same private keys as its store. A staged generation stays, unless the store has
/// changed since it was built: then nothing can switch to it any more.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The store
    store: OsString,

    /// So many newer ones must exist
    #[arg(long, value_name = "N", default_value_t = 2)]
    keep: usize,

    /// How old one must be (7d, 12h, 6w)
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = span)]
    older_than: i64,

    /// Say what would go, and delete nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
}

const EXAMPLES: &str = "\
Examples:
  keyferry prune client.jks --dry-run
  keyferry prune client.jks --keep 1 --older-than 30d";

/// Prunes.
pub fn run(program: &Program, args: &Args) -> Result {
    let path = file(&StoreArg::parse_existing(&program.ui, &args.store))?;
    let now = program.session()?.now_ms;
    // A dry run writes nothing, not even a lock file.
    let _lock = if args.dry_run { None } else { Some(Lock::take(&path)?) };
    let gone = prune(&path, args.keep, args.older_than, now, args.dry_run).map_err(|e| e.in_file(&path))?;
    let mut out = program.ui.out();
    for generation in &gone {
        writeln!(out, "{}", shown(generation))?;
    }
    if gone.is_empty() {
        program.ui.note("nothing to delete");
    }
    Ok(out.flush()?)
}
