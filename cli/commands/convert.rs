//! `keyferry convert`: one store into another format.

use super::Program;
use super::delivery::{DeliveryOptions, deliver};
use crate::error::Result;
use crate::place::{Destination, StoreArg};
use formats::Error;
use formats::jobs::convert::{Convert, convert};
use formats::model::{ItemKind, Loss, LossKind};
use std::ffi::OsString;

/// Convert a store into another format
///
/// SRC is recognised by its content. DST's format is its prefix (jks:PATH), else --to, else what its
/// extension stands for. The new store is written beside DST, read back and compared before it takes its
/// place. What DST's format can't hold is never dropped in silence: it is listed, and nothing is written
/// unless --allow-loss permits it.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The store to read: a path, FORMAT:PATH, or - for standard input
    src: OsString,

    /// The store to write: a path, FORMAT:PATH, or - for standard output
    dst: OsString,

    /// Only the entry with this label; may be given several times
    #[arg(long, short, value_name = "L")]
    label: Vec<String>,

    /// Leave private keys, requests and secret keys out; of a key its certificates stay, the issuers among
    /// them not as anchors
    #[arg(long)]
    certs_only: bool,

    /// Label the one key as IBM MQ looks for it: ibmwebspheremq and USER, in lower case. USER is the user that the
    /// client runs as, or a queue manager
    #[arg(long, value_name = "USER", value_parser = mq_label, conflicts_with = "certs_only")]
    mq_label: Option<String>,

    #[command(flatten)]
    how: DeliveryOptions,
}

const EXAMPLES: &str = "\
Examples:
  keyferry convert ca-bundle.pem trust.jks --to-password env:TRUST_PW
  keyferry convert client.p12 client.jks --password file:client.pw
  keyferry convert client.p12 client.kdb --label alice --mq-label alice
  keyferry convert client.jks - --to pem --label alice --to-password none";

/// The label by which MQ finds the key of a user.
fn mq_label(user: &str) -> std::result::Result<String, &'static str> {
    match user.trim() {
        "" => Err("the name of a user is wanted"),
        user => Ok(format!("ibmwebspheremq{}", user.to_lowercase())),
    }
}

/// Converts.
pub fn run(program: &Program, args: &Args) -> Result {
    let from = StoreArg::parse_existing(&program.ui, &args.src);
    let to = Destination::resolve(&args.dst, args.how.to)?;
    let source = from.open()?;
    if to.is_file(source.identity()) && !args.how.force {
        return Err(Error::refused("source and destination are the same file")
            .in_file(&to.store.path)
            .hint("--force replaces it; one old generation is kept")
            .into());
    }
    deliver(program, &[(from, source)], &[&to], &args.how, false, &|from, to| {
        let jobs = from.into_iter().zip(to).map(|(from, to)| Convert {
            from,
            to,
            labels: args.label.clone(),
            certs_only: args.certs_only,
            key_label: args.mq_label.clone(),
        });
        jobs.map(|job| convert(&job)).collect()
    })
}

/// What was lost with permission, and notes.
pub fn say_losses(program: &Program, losses: &[Loss]) {
    for loss in losses {
        match loss.kind {
            LossKind::Note => program.ui.note(&loss.to_string()),
            _ => program.ui.warn(&format!("lost: {loss}")),
        }
    }
}

/// `1 key, 150 certificates`.
pub fn counted(counts: &[(ItemKind, usize)]) -> String {
    let some = counts.iter().filter(|(_, n)| *n > 0);
    let words: Vec<String> = some.map(|(kind, n)| format!("{n} {}", plural(*kind, *n))).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

fn plural(kind: ItemKind, n: usize) -> String {
    let word = match kind {
        ItemKind::Cert => "certificate",
        ItemKind::Secret => "secret key",
        ItemKind::Crl => "CRL",
        ItemKind::Other => "other object",
        kind => kind.name(),
    };
    if n == 1 { word.to_owned() } else { format!("{word}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_read_well() {
        assert_eq!(counted(&[(ItemKind::Key, 1), (ItemKind::Cert, 150)]), "1 key, 150 certificates");
        assert_eq!(counted(&[(ItemKind::Key, 0)]), "nothing");
    }
}
