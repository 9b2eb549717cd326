//! `keyferry random`: a password.

use super::Program;
use crate::error::{Failure, Result};
use formats::jobs::random::password;
use std::io::Write;

/// Print a random password
///
/// Of letters and digits, from the system's randomness. With --strong it obeys the rule that GSKit documents for
/// its own -strong: at least 14 characters, a lower-case letter, an upper-case letter and a digit or special
/// character among them, none more than three times, no three alike in a row.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// So many characters
    #[arg(long, value_name = "N", default_value_t = 24)]
    length: usize,

    /// By GSKit's rule for strong passwords, with special characters
    #[arg(long)]
    strong: bool,
}

const EXAMPLES: &str = "\
Examples:
  keyferry random --length 32 --strong > client.pw
  keyferry passwd client.kdb --to-password file:client.pw";

/// Prints it.
pub fn run(program: &Program, args: &Args) -> Result {
    program.refuse_to_password()?;
    if program.global.reproducible {
        return Err(Failure::usage("--reproducible makes no secrets"));
    }
    let session = program.session()?;
    let made = password(args.length, args.strong, &session.rng)
        .map_err(|e| Failure::usage(format!("--length {}: {}", args.length, e.message())))?;
    let mut out = program.ui.out();
    out.write_all(made.bytes())?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}
