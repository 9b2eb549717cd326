//! `keyferry extract`: one entry into a file.

use super::Program;
use super::delivery::{DeliveryOptions, deliver};
use crate::error::Result;
use crate::place::{Destination, StoreArg};
use formats::Error;
use formats::jobs::edits::{Extract, Part, extract};
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

    #[command(flatten)]
    how: DeliveryOptions,
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
    let to = Destination::resolve(&file, args.how.to.or_else(|| untold.then(|| formats::by_name("pem"))?))?;
    let source = from.open()?;
    if to.is_file(source.identity()) {
        return Err(Error::refused("is the store itself").in_file(&to.store.path).into());
    }
    let part = match (args.chain, args.key) {
        (_, true) => Part::Key,
        (true, _) => Part::Chain,
        _ => Part::Certificate,
    };
    deliver(program, &[(from, source)], &[&to], &args.how, false, &|from, to| {
        let jobs = from.into_iter().zip(to);
        jobs.map(|(from, to)| extract(&Extract { from, label: &args.label, part, to })).collect()
    })
}
