//! `keyferry passwd`: another password for a store.

use super::Program;
use super::change::{ChangeOptions, Target};
use super::options::FormatOptions;
use crate::error::Result;
use crate::place::{StoreArg, shown};
use formats::Ctx;
use formats::error::Printable;
use formats::jobs::passwd::{Passwd, passwd};
use std::ffi::OsString;

/// Change the password of a store and its keys, or of one key
///
/// The present password comes by --password, the new one by --to-password, or both are asked for. All that the
/// present one protects goes under the new one: keys, pending requests, and a stash where there is one; an NSS
/// database is enciphered and signed anew in one transaction. A key that the store's password doesn't open keeps
/// its own; --label changes that. A wrong present password changes nothing.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The store
    store: OsString,
    /// Change the password of this key alone (JKS, JCEKS); its present one comes by --key-password, if it has
    /// one of its own
    #[arg(long, short, value_name = "L")]
    label: Option<String>,
    #[command(flatten)]
    change: ChangeOptions,
    #[command(flatten)]
    options: FormatOptions,
}

const EXAMPLES: &str = "\
Examples:
  keyferry passwd client.kdb --to-password file:new.pw
  keyferry passwd ~/.pki/nssdb --password none --to-password prompt
  keyferry passwd server.p12 --password env:OLD --to-password env:NEW
  keyferry passwd client.jks --label alice --key-password env:OLD --to-password env:NEW";

/// Changes it.
pub fn run(program: &Program, args: &Args) -> Result {
    let target = Target::new(program, &args.store, &[], &args.change)?;
    let secrets = target.secrets();
    let on_step = crate::failpoint::on_step();
    let done = passwd(&Passwd {
        path: &target.arg.path,
        format: target.arg.format,
        ctx: Ctx { secrets: &secrets, options: args.options.values(), session: &target.session },
        new: target.passwords.instead(&target.arg)?,
        label: args.label.as_deref(),
        allow: args.change.loss.allowed(),
        dry_run: args.change.dry_run,
        on_step: &on_step,
    })?;
    let done = target.weigh(done)?;
    let what = args.label.as_ref().map_or_else(String::new, |l| format!(" of \"{l}\""));
    let line = match (done.changed, args.change.dry_run) {
        (true, false) => format!("password{what} changed"),
        (true, true) => format!("the password{what} would change"),
        (false, _) => format!("that is the password{what} already"),
    };
    target.say(&line, &done);
    if done.changed && !args.change.dry_run {
        warn_of_stash(program, &target.arg, done.format);
    }
    Ok(())
}

/// A stash that is no part of the store has the old password still.
fn warn_of_stash(program: &Program, store: &StoreArg, format: &str) {
    let Some(format) = formats::by_name(format).filter(|f| f.password_file(&store.path).is_none()) else {
        return;
    };
    if let Some(stash) = format.stash_file(&store.path).filter(|s| s.is_file()) {
        let (stash, store) = (shown(&stash), Printable(&store.name()).to_string());
        program.ui.warn(&format!(
            "{stash}: if {store} is opened by it, it needs the new password too: keyferry stash {store}"
        ));
    }
}
