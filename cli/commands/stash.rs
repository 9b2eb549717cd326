//! `keyferry stash`: a store's password for programs that nobody types to.

use super::Program;
use crate::error::{Failure, Result};
use crate::place::{StoreArg, shown};
use formats::jobs::Input;
use formats::jobs::stash::write_stash;
use formats::stash::Form;
use formats::{Ctx, Options};
use std::ffi::OsString;

/// Write a store's password into the stash beside it
///
/// Programs of IBM MQ take a key database's password from NAME.sth, and from 9.3 on a PKCS#12's. The password must open the store. A
/// stash hides nothing: whoever can read it has the password, so it is made readable for its owner only.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The store
    store: OsString,

    /// The form: 1, which every GSKit reads, or 2, which current ones write [default: as it was, else 2]
    #[arg(long, value_name = "N", value_parser = ["1", "2"])]
    form: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  keyferry stash client.kdb --password prompt
  keyferry stash client.kdb --password file:client.pw --form 1
  keyferry stash client.p12 --password file:client.pw";

/// Writes it.
pub fn run(program: &Program, args: &Args) -> Result {
    program.refuse_to_password()?;
    let arg = StoreArg::parse_existing(&program.ui, &args.store);
    if arg.is_stdio() {
        return Err(Failure::usage("a stash stands beside a file"));
    }
    let source = arg.open()?;
    let session = program.session()?;
    let passwords = program.passwords(&[&arg])?;
    let secrets = passwords.of(&arg);
    let ctx = Ctx { secrets: &secrets, options: &Options::default(), session: &session };
    let form = args.form.as_deref().map(|f| if f == "1" { Form::One } else { Form::Two });
    let place = write_stash(&arg.path, &Input { source: &source, format: arg.format, ctx }, form)?;
    program.ui.note(&format!("{}: written", shown(&place)));
    Ok(())
}
