//! `keyferry extract`: one entry into a file.

use super::Program;
use super::convert::finish;
use super::options::{FormatOptions, LossOptions, format_parser};
use crate::error::Result;
use crate::place::{Destination, StoreArg};
use crate::secrets::DestinationPasswords;
use formats::jobs::edits::{Extract, Part, extract};
use formats::jobs::{Input, Output};
use formats::{Ctx, Error, Format};
use std::ffi::OsString;

/// Write one entry into a file
///
/// The certificate alone, unless --chain or --key say more. Without FILE it goes to standard output; its format is
/// PEM unless FILE's prefix or extension or --to says another. A key is put under --to-password, else under the
/// store's.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The store
    store: OsString,

    /// The entry: its label, or sha256:HEX
    label: String,

    /// Where to
    file: Option<OsString>,

    /// The certificate and its signers
    #[arg(long, conflicts_with = "key")]
    chain: bool,

    /// The private key with its certificate and signers
    #[arg(long)]
    key: bool,

    /// The format of FILE
    #[arg(long, value_name = "FORMAT", value_parser = format_parser())]
    to: Option<&'static dyn Format>,

    /// Replace FILE if it exists; one old generation is kept
    #[arg(long, short)]
    force: bool,

    #[command(flatten)]
    loss: LossOptions,

    #[command(flatten)]
    options: FormatOptions,
}

const EXAMPLES: &str = "\
Examples:
  keyferry extract client.kdb alice
  keyferry extract client.kdb alice alice.der
  keyferry extract client.kdb alice alice-chain.p7b --chain
  keyferry extract client.kdb alice alice.p12 --key --to-password env:P12_PW
  keyferry extract client.jks alice - --key --to-password none | openssl pkey -noout -text";

/// Writes it.
pub fn run(program: &Program, args: &Args) -> Result {
    let from = StoreArg::parse_existing(&program.ui, &args.store);
    let file = args.file.clone().unwrap_or_else(|| "-".into());
    let named = StoreArg::parse(&file);
    let untold = named.format.is_none() && formats::by_suffix(&named.path).is_none();
    let to = Destination::resolve(&file, args.to.or_else(|| untold.then(|| formats::by_name("pem"))?))?;
    let source = from.open()?;
    if to.is_file(source.identity()) {
        return Err(Error::refused("is the store itself").in_file(&to.store.path).into());
    }
    let session = program.session()?;
    let passwords = program.passwords(&[&from, &to.store])?;
    let from_secrets = passwords.of(&from);
    let to_secrets = DestinationPasswords::new(&from_secrets, &to)?;
    let options = args.options.values();
    let allow = args.loss.allowed();
    let on_step = crate::failpoint::on_step();
    let done = extract(&Extract {
        from: Input {
            source: &source,
            format: from.format,
            ctx: Ctx { secrets: &from_secrets, options, session: &session },
        },
        label: &args.label,
        part: match (args.chain, args.key) {
            (_, true) => Part::Key,
            (true, _) => Part::Chain,
            _ => Part::Certificate,
        },
        to: if to.store.is_stdio() { Output::Memory } else { Output::File(&to.store.path) },
        to_format: to.format,
        to_ctx: Ctx { secrets: &to_secrets, options, session: &session },
        allow: allow.clone(),
        force: args.force,
        on_step: &on_step,
    })?;
    finish(program, &to, &allow, done)
}
