//! `keyferry convert`: one store into another format.

use super::Program;
use super::options::{FormatOptions, LossOptions, format_parser};
use crate::error::{Failure, Result};
use crate::place::{Destination, StoreArg, shown, to_standard_output};
use crate::secrets::DestinationPasswords;
use formats::error::Printable;
use formats::jobs::convert::{Convert, Converted, convert};
use formats::jobs::{AllowLoss, Input, Output};
use formats::model::{ItemKind, Loss, LossKind};
use formats::{Ctx, Error, Format};
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

    /// The format of DST
    #[arg(long, value_name = "FORMAT", value_parser = format_parser())]
    to: Option<&'static dyn Format>,

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
    loss: LossOptions,

    /// Replace DST if it exists; one old generation is kept
    #[arg(long, short)]
    force: bool,

    #[command(flatten)]
    options: FormatOptions,
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
    let to = Destination::resolve(&args.dst, args.to)?;
    let source = from.open()?;
    if to.is_file(source.identity()) && !args.force {
        return Err(Error::refused("source and destination are the same file")
            .in_file(&to.store.path)
            .hint("--force replaces it; one old generation is kept")
            .into());
    }
    let session = program.session()?;
    let passwords = program.passwords(&[&from, &to.store])?;
    let from_secrets = passwords.of(&from);
    let to_secrets = DestinationPasswords::new(&from_secrets, &to)?;
    let options = args.options.values();
    let allow = args.loss.allowed();
    let on_step = crate::failpoint::on_step();
    let done = convert(&Convert {
        from: Input {
            source: &source,
            format: from.format,
            ctx: Ctx { secrets: &from_secrets, options, session: &session },
        },
        to: if to.store.is_stdio() { Output::Memory } else { Output::File(&to.store.path) },
        to_format: to.format,
        to_ctx: Ctx { secrets: &to_secrets, options, session: &session },
        labels: args.label.clone(),
        certs_only: args.certs_only,
        key_label: args.mq_label.clone(),
        allow: allow.clone(),
        force: args.force,
        on_step: &on_step,
    })?;
    finish(program, &to, &allow, done)
}

/// Says how it ended, and writes what goes to standard output.
pub fn finish(program: &Program, to: &Destination, allow: &AllowLoss, done: Converted) -> Result {
    let ui = &program.ui;
    for warning in &done.warnings {
        ui.warn(&Printable(warning).to_string());
    }
    if !done.written {
        return Err(Failure::Losses(done.losses.into_iter().filter(|l| !allow.allows(l)).collect()));
    }
    if let Some(bytes) = &done.bytes {
        to_standard_output(ui, bytes)?;
    }
    say_losses(program, &done.losses);
    let place = if to.store.is_stdio() { "standard output".to_owned() } else { to.store.name() };
    let saved = done.old.map_or_else(String::new, |o| format!(", old: {}", shown(&o)));
    ui.note(&format!("{}: {}: {}{saved}", Printable(&place), to.format.name(), counted(&done.counts)));
    Ok(())
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
