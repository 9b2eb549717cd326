//! `keyferry prune`: old generations that are no longer needed.

use super::Program;
use super::rollback::file;
use crate::error::Result;
use crate::place::{StoreArg, shown};
use crate::time::span;
use formats::error::Printable;
use formats::jobs::rebuild::{Prune, prune};
use formats::{Ctx, Options};
use std::ffi::OsString;
use std::io::Write;

/// Delete old generations that are no longer needed
///
/// One goes when more than --keep newer ones exist and it is older than --older-than. What went is printed.
/// An old generation holds the same private keys as its store. A staged generation stays, unless the store has
/// changed since it was built: then nothing can switch to it any more.
///
/// Of a keystore.conf or mqclient.ini that leads to generations in folders (`pointer` in the configuration): the file's
/// own old generations, the folders that neither it nor those lead to, and the store as it was found first. That one
/// goes when nothing else that is known leads to it, and never while it holds a private key that the current store
/// does not; a store without a stash is read with --password for that.
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
  keyferry prune client.jks --keep 1 --older-than 30d
  keyferry prune ~/.mqs/keystore.conf --dry-run";

/// Prunes.
pub fn run(program: &Program, args: &Args) -> Result {
    let arg = StoreArg::parse_existing(&program.ui, &args.store);
    let path = file(&arg)?;
    let session = program.session()?;
    let passwords = program.passwords(&[&arg])?;
    let secrets = passwords.of(&arg);
    let ctx = Ctx { secrets: &secrets, options: &Options::default(), session: &session };
    let how =
        Prune { keep: args.keep, min_age_ms: args.older_than, now_ms: session.now_ms, dry_run: args.dry_run };
    let pruned = prune(&path, &how, &ctx).map_err(|e| e.in_file(&path))?;
    let mut out = program.ui.out();
    for generation in &pruned.gone {
        writeln!(out, "{}", shown(generation))?;
    }
    for (generation, why) in &pruned.stays {
        program.ui.note(&format!("{}: stays, for {}", shown(generation), Printable(why)));
    }
    if pruned.gone.is_empty() {
        program.ui.note("nothing to delete");
    }
    Ok(out.flush()?)
}
