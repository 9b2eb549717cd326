//! `keyferry create`: a new store.

use super::Program;
use super::add::{AddOptions, parse, read, say};
use super::change::ChangeOptions;
use super::convert::{counted, say_losses};
use super::options::{FormatOptions, format_parser};
use crate::error::{Failure, Result};
use crate::place::{Destination, StoreArg};
use formats::error::Printable;
use formats::jobs::Input;
use formats::jobs::edits::{Create, create};
use formats::jobs::stash::write_stash;
use formats::{Ctx, Error, Format, PasswordUse, Secrets};
use std::ffi::OsString;

/// Create a store, empty or with what files hold
///
/// The store's format is its prefix (kdb:PATH), else --to, else what its extension stands for; a name that is taken
/// is refused. Its password comes by --to-password or is asked for. PEM has no empty store.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The new store
    store: OsString,

    /// What to put into it: see keyferry add
    files: Vec<OsString>,

    /// The format of the store
    #[arg(long, value_name = "FORMAT", value_parser = format_parser())]
    to: Option<&'static dyn Format>,

    /// Write the password into a stash beside the store (kdb, p12), from which programs of IBM MQ take it
    #[arg(long)]
    stash: bool,

    #[command(flatten)]
    adding: AddOptions,

    #[command(flatten)]
    change: ChangeOptions,

    #[command(flatten)]
    options: FormatOptions,
}

const EXAMPLES: &str = "\
Examples:
  keyferry create client.kdb --stash --to-password file:client.pw
  keyferry create client.p12 --stash --to-password file:client.pw
  keyferry create trust.p12 ca-bundle.pem --to-password env:PW
  keyferry create nss:db --to-password none
  keyferry create client.jks key-and-chain.pem --label alice --password env:PEM_PW --to-password env:PW";

/// Creates it.
pub fn run(program: &Program, args: &Args) -> Result {
    let to = Destination::resolve(&args.store, args.to)?;
    if to.store.is_stdio() {
        return Err(Failure::usage("a store that is created must be a file"));
    }
    let stashes = to.format.password_file(&to.store.path).is_some();
    if args.stash && to.format.stash_file(&to.store.path).is_none() {
        return Err(Failure::usage(format!("--stash: {} has no stash", to.format.name())));
    }
    let mut options = args.options.values().clone();
    if stashes && !args.stash && options.get("kdb-stash").is_none() {
        options.set("kdb-stash", "none");
    }
    let files = parse(program, &args.files);
    let how = args.adding.adding()?;
    let session = program.session()?;
    let all: Vec<&StoreArg> = std::iter::once(&to.store).chain(files.iter().map(|(arg, _)| arg)).collect();
    let passwords = program.passwords(&all)?;
    let files = read(program, &files, &passwords, &session)?;
    let secrets = passwords.of_new(&to.store);
    let keys = files.iter().flat_map(|f| &f.entries).any(|e| e.secret().is_some()) && !how.certs_only;
    let protects = match to.format.carries().password {
        PasswordUse::Never => false,
        PasswordUse::KeysByChoice => keys || to.format.in_place().is_some(),
        PasswordUse::WithKeys | PasswordUse::Always => true,
    };
    if protects && secrets.store()?.is_none() && !secrets.is_left_off() {
        return Err(Error::password("a new store needs a password")
            .in_file(&to.store.path)
            .hint("give --to-password SPEC; --to-password none leaves unprotected what the format can")
            .into());
    }
    let allow = args.change.loss.allowed();
    let on_step = crate::failpoint::on_step();
    let (done, added) = create(&Create {
        path: &to.store.path,
        format: to.format,
        ctx: Ctx { secrets: &secrets, options: &options, session: &session },
        files: &files,
        how: &how,
        allow: allow.clone(),
        dry_run: args.change.dry_run,
        on_step: &on_step,
    })?;
    if !done.written {
        return Err(Failure::Losses(done.losses.into_iter().filter(|l| !allow.allows(l)).collect()));
    }
    if args.stash && !stashes && !args.change.dry_run {
        let source = to.store.open()?;
        let ctx = Ctx { secrets: &secrets, options: &options, session: &session };
        write_stash(&to.store.path, &Input { source: &source, format: Some(to.format), ctx }, None)?;
    }
    say_losses(program, &done.losses);
    say(program, &added);
    let outcome = if args.change.dry_run { "would be created" } else { "created" };
    program.ui.note(&format!(
        "{}: {}: {outcome}, {}",
        Printable(&to.store.name()),
        to.format.name(),
        if done.counts.is_empty() { "empty".to_owned() } else { format!("with {}", counted(&done.counts)) }
    ));
    Ok(())
}
