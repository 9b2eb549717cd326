//! `keyferry merge`: several stores into one.

use super::Program;
use super::change::said;
use super::delivery::{DeliveryOptions, Opened, deliver};
use crate::error::Result;
use crate::place::{Destination, StoreArg};
use formats::Error;
use formats::error::Printable;
use formats::jobs::merge::{Merge, merge};
use std::ffi::OsString;

/// Put several stores into one
///
/// The stores stay as they are; everything in them comes: keys with their chains, certificates with their trust, requests,
/// and the mark of the default key of the first store that has one. What stands in two stores under one label comes once.
/// A label that is taken by something else gets a number, which is said. Where two stores trust a certificate differently
/// the lower trust counts, which is a loss to be allowed.
///
/// OUT takes the password of the first store unless --to-password says another.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The stores, of any formats
    #[arg(required = true, num_args = 2.., value_name = "STORE")]
    stores: Vec<OsString>,

    /// The store to write: a path, FORMAT:PATH, or - for standard output
    #[arg(long, short, value_name = "OUT")]
    output: OsString,

    /// Show what would come of it, and write nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    how: DeliveryOptions,
}

const EXAMPLES: &str = "\
Examples:
  keyferry merge key.jks trust.jks -o client.jks
  keyferry merge key.p12 trust.jks -o client.kdb --password trust.jks=env:TRUST_PW --password env:PW
  keyferry merge ann.p12 ben.p12 partners.pem -o pem:all.pem --to-password none --dry-run";

/// Puts them together.
pub fn run(program: &Program, args: &Args) -> Result {
    let to = Destination::resolve(&args.output, args.how.to)?;
    let open = |text: &OsString| -> Result<Opened> {
        let arg = StoreArg::parse_existing(&program.ui, text);
        let source = arg.open()?;
        if to.is_file(source.identity()) {
            return Err(Error::refused("is one of the stores that are put together")
                .hint("name another file; keyferry add puts entries into a store that exists")
                .in_file(&to.store.path)
                .into());
        }
        Ok((arg, source))
    };
    let from: Vec<Opened> = args.stores.iter().map(open).collect::<Result<_>>()?;
    deliver(program, &from, &[&to], &args.how, args.dry_run, &|from, to| {
        let jobs = to.into_iter().map(|to| merge(&Merge { from: &from, to }));
        let done = jobs.map(|merged| {
            let merged = merged?;
            for (line, now) in merged.renamed.iter().filter(|_| merged.done.written) {
                program.ui.warn(&format!(
                    "{}: its label is taken, it is \"{}\" now",
                    said(line),
                    Printable(now)
                ));
            }
            if merged.same > 0 {
                program.ui.note(&format!("{} stood in several stores and came once", merged.same));
            }
            Ok(merged.done)
        });
        done.collect()
    })
}
