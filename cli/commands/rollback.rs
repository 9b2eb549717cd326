//! `keyferry rollback`: a store's newest old generation back in its place.

use super::Program;
use crate::error::{Failure, Result};
use crate::place::{StoreArg, shown};
use formats::error::Printable;
use formats::jobs::rollback::rollback;
use formats::storeset;
use formats::{Ctx, Options};
use std::ffi::OsString;

/// Put a store's newest old generation back
///
/// By one rename, as an update does it; an NSS database gets its rows back where it is, in one transaction. The
/// store that was current becomes a generation that a second rollback does not return to: that one goes further
/// back. An old generation that is a folder holds a key database with its stash and requests, and all of them
/// come back together. What the bundle of the last update distrusts does not come back. keyferry apply leaves
/// the store as it is from then on, until a bundle with a higher serial comes.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The store
    store: OsString,
}

const EXAMPLES: &str = "\
Examples:
  keyferry status client.jks
  keyferry rollback client.jks";

/// Rolls back.
pub fn run(program: &Program, args: &Args) -> Result {
    let arg = StoreArg::parse_existing(&program.ui, &args.store);
    let path = file(&arg)?;
    let on_step = crate::failpoint::on_step();
    let session = program.session()?;
    let passwords = program.passwords(&[&arg])?;
    let secrets = passwords.of(&arg);
    let ctx = Ctx { secrets: &secrets, options: &Options::default(), session: &session };
    let done = rollback(&path, &ctx, &on_step)?;
    for warning in &done.warnings {
        program.ui.warn(&Printable(warning).to_string());
    }
    program.ui.note(&format!("{}: back to {}", shown(&path), shown(&done.to)));
    Ok(())
}

/// The file that a STORE argument means, links resolved.
pub fn file(store: &StoreArg) -> Result<std::path::PathBuf> {
    if store.is_stdio() {
        return Err(Failure::usage("standard input has no generations"));
    }
    Ok(storeset::resolve(&store.path).map_err(|e| e.in_file(&store.path))?)
}
