//! `keyferry split`: a key store and a trust store out of one.

use super::Program;
use super::delivery::{DeliveryOptions, deliver};
use crate::error::{Failure, Result};
use crate::place::{Destination, StoreArg};
use formats::Error;
use formats::jobs::split::{Split, split};
use std::ffi::OsString;

/// Part a store into a key store and a trust store
///
/// Private keys with their chains, pending requests and secret keys go into K; certificates on their own, with their trust,
/// go into T. Where K's format makes chains of what stands beside a key (kdb, NSS) the signers stand in both. STORE stays
/// as it is. Both are written, read back and compared before the first gets its name: there are both, or none.
///
/// A chain's issuers are no trust: where the source has its roots in chains alone (a PKCS#12 of OpenSSL's, a PEM file),
/// --roots puts them into T.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The store
    store: OsString,

    /// Where the keys go: a path or FORMAT:PATH
    #[arg(long, value_name = "K")]
    keys: OsString,

    /// Where the certificates go: a path or FORMAT:PATH
    #[arg(long, value_name = "T")]
    trust: OsString,

    /// Put the roots that the keys' chains end at into T too
    #[arg(long)]
    roots: bool,

    /// Show what would come of it, and write nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    how: DeliveryOptions,
}

const EXAMPLES: &str = "\
Examples:
  keyferry split client.kdb --keys key.jks --trust trust.jks
  keyferry split client.p12 --keys key.p12 --trust trust.p12 --password file:client.pw
  keyferry split client.p12 --keys key.pem --trust ca.pem --roots --to-password none
  keyferry split all.jks --keys key.p12 --trust trust.jks --password trust.jks=env:TRUST_PW --password env:PW";

/// Parts it.
pub fn run(program: &Program, args: &Args) -> Result {
    let from = StoreArg::parse_existing(&program.ui, &args.store);
    let keys = Destination::resolve(&args.keys, args.how.to)?;
    let trust = Destination::resolve(&args.trust, args.how.to)?;
    if [&keys, &trust].iter().any(|d| d.store.is_stdio()) {
        return Err(Failure::usage("--keys and --trust must be files"));
    }
    let place = |d: &Destination| formats::storeset::resolve(&d.store.path);
    if place(&keys)? == place(&trust)? {
        return Err(Failure::usage("--keys and --trust are the same file"));
    }
    let source = from.open()?;
    if let Some(same) = [&keys, &trust].into_iter().find(|d| d.is_file(source.identity())) {
        return Err(Error::refused("is the store itself").in_file(&same.store.path).into());
    }
    deliver(program, &[(from, source)], &[&keys, &trust], &args.how, args.dry_run, &|from, to| {
        let both: Result<[_; 2], _> = to.try_into();
        match (from.into_iter().next(), both) {
            (Some(from), Ok([keys, trust])) => {
                split(&Split { from, keys, trust, roots: args.roots }).map(Vec::from)
            }
            _ => Ok(Vec::new()),
        }
    })
}
