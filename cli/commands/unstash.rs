//! `keyferry unstash`: the password in a stash, in the clear.

use super::Program;
use crate::error::Result;
use formats::{Error, Kind, stash};
use std::io::{Read, Write};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Print the password in a stash
///
/// It goes to standard output in the clear, with a line end. Where a command needs it, --password stash:PATH
/// takes it without showing it.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The stash
    #[arg(value_name = "STH")]
    stash: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  keyferry unstash client.sth
  keyferry list client.p12 --password stash:client.sth";

/// A stash is 129 or 193 bytes, or a little more.
const LIMIT: u64 = 1 << 20;

/// Prints it.
pub fn run(program: &Program, args: &Args) -> Result {
    let unreadable = |e| Error::new(Kind::Read, "can't be read").caused_by(e).in_file(&args.stash);
    let mut bytes = Zeroizing::new(Vec::with_capacity(256));
    let file = std::fs::File::open(&args.stash).map_err(unreadable)?;
    file.take(LIMIT).read_to_end(&mut bytes).map_err(unreadable)?;
    let password =
        stash::read(&bytes).map_err(|e| e.in_file(&args.stash).hint("is it a .sth file, and all of it?"))?;
    let mut out = program.ui.out();
    out.write_all(password.bytes())?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}
