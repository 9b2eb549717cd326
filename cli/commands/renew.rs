//! `keyferry renew`: the successor of a certificate, and when it takes over.

use super::Program;
use super::change::ChangeOptions;
use super::keys::{FileOptions, Outcome, change, digest_parser, key_type, with_store};
use super::request::{REQUEST_BLOCK, WAITS, certificates_of, say, take_in};
use crate::error::{Failure, Result};
use crate::place::StoreArg;
use formats::Options;
use formats::crypto::sign::{Digest, KeyType};
use formats::error::Printable;
use formats::jobs::request::{Renewal, activate, public_key, published, renew};
use std::ffi::OsString;

/// Ask for the successor of a certificate, and let it take over
///
/// Without --publish or --activate: writes a request with the same name, alternative names and usages, for the
/// same key or a new one, which then waits in the store as "LABEL (renewal)". What the authority sends back goes
/// either to keyferry request receive, and takes over at once; or, where others encrypt for this key, first to
/// --publish, which takes it into the store beside the current one and writes it for the bundle that the others
/// use, and when they have it to --activate. So nobody encrypts for a key that is not there yet. Whoever takes
/// over has the label; the forerunner stays as "LABEL (old DATE)" with its key.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The store
    store: OsString,

    /// The label of the key
    label: String,

    /// A new key of the same kind instead of the same key
    #[arg(long)]
    new_key: bool,

    /// A new key of another kind: rsa:BITS, ec:p256 and others
    #[arg(long, value_name = "TYPE", value_parser = key_type)]
    key_type: Option<KeyType>,

    /// The digest of the request's signature, for RSA and EC keys
    #[arg(long, value_name = "DIGEST", value_parser = digest_parser())]
    digest: Option<Digest>,

    /// Take this certificate in beside the current one, and write it to FILE for the bundle
    #[arg(long, value_name = "CERT", conflicts_with_all = ["new_key", "key_type", "digest", "activate"])]
    publish: Option<OsString>,

    /// Let the successor that was published take over
    #[arg(long, conflicts_with_all = ["new_key", "key_type", "digest"])]
    activate: bool,

    /// The file to write: the request, or with --publish the certificate; - for standard output
    #[arg(long, value_name = "FILE", required_unless_present = "activate")]
    file: Option<std::path::PathBuf>,

    /// Write DER instead of PEM
    #[arg(long)]
    der: bool,

    /// Replace FILE if it exists
    #[arg(long, short)]
    force: bool,

    #[command(flatten)]
    change: ChangeOptions,
}

const EXAMPLES: &str = "\
Examples:
  keyferry renew client.kdb alice --file alice.csr
  keyferry renew client.kdb alice --new-key --file alice.csr
  keyferry renew client.kdb alice --publish alice-2027.pem --file bundle/alice-2027.pem
  keyferry renew client.kdb alice --activate";

/// Runs the step that was asked for.
pub fn run(program: &Program, args: &Args) -> Result {
    program.refuse_to_password()?;
    let arg = StoreArg::parse_existing(&program.ui, &args.store);
    let now = program.now()?;
    if args.activate {
        return take_over(program, args, &arg, now);
    }
    let Some(file) = args.file.clone() else { return Err(Failure::usage("--file FILE is wanted")) };
    let file = FileOptions { file, der: args.der, force: args.force };
    file.check()?;
    match &args.publish {
        Some(certificate) => publish(program, args, &arg, certificate, &file),
        None => ask(program, args, &arg, &file, now),
    }
}

fn ask(program: &Program, args: &Args, arg: &StoreArg, file: &FileOptions, now: i64) -> Result {
    let made = Outcome::new();
    change(program, arg, &Options::default(), &args.change, &|store, format, ctx| {
        let new_key = match args.key_type {
            None if args.new_key => {
                let spki = public_key(store, format, &args.label)?;
                let kind = KeyType::of_spki(&spki).ok_or_else(|| {
                    formats::Error::unsupported("no new key of this kind can be made")
                        .hint("choose one with --key-type")
                })?;
                Some(kind)
            }
            kind => kind,
        };
        let job = Renewal { label: &args.label, new_key, digest: args.digest, now };
        let (csr, label) = renew(store, format, &job, ctx)?;
        let changed = label.is_some();
        made.set((csr, label));
        Ok(changed)
    })?;
    let Some((csr, label)) = made.take().filter(|_| !args.change.dry_run) else { return Ok(()) };
    let then = if label.is_some() { WAITS } else { "the store is as it was" };
    file.write_after(program, REQUEST_BLOCK, &csr, then)?;
    let what = match label {
        Some(label) => format!("a new key waits as \"{}\"", Printable(&label)),
        None => format!("for the same key as \"{}\"", Printable(&args.label)),
    };
    program.ui.note(&format!("{}: {what}; the request: {}", Printable(&arg.name()), file.name()));
    Ok(())
}

fn publish(
    program: &Program,
    args: &Args,
    arg: &StoreArg,
    certificate: &OsString,
    file: &FileOptions,
) -> Result {
    let certificates = certificates_of(program, &StoreArg::parse_existing(&program.ui, certificate))?;
    // It is there where a run was cut off before it wrote the file.
    let there = with_store(program, arg, |loaded, _| {
        Ok(published(&loaded.store, loaded.format, &args.label, &certificates))
    })?;
    let certificate = match there {
        Some(certificate) => certificate,
        None => {
            let received = take_in(program, arg, &certificates, &args.change, false)?;
            let received = received.ok_or_else(|| {
                formats::Error::refused("no key of this store is the one that the certificate is for")
                    .in_file(&arg.path)
            })?;
            received.certificate
        }
    };
    if args.change.dry_run {
        return Ok(());
    }
    let then = "the store has the certificate; the same command writes the file";
    file.write_after(program, "CERTIFICATE", &certificate, then)?;
    let label = Printable(&args.label);
    program.ui.note(&format!(
        "for the bundle: {}; \"{label}\" stays the key in use until keyferry renew --activate",
        file.name()
    ));
    Ok(())
}

fn take_over(program: &Program, args: &Args, arg: &StoreArg, now: i64) -> Result {
    let made = Outcome::new();
    change(program, arg, &Options::default(), &args.change, &|store, format, _| {
        made.set(activate(store, format, &args.label, now)?);
        Ok(true)
    })?;
    if let Some(done) = made.take() {
        say(program, arg, &done);
    }
    Ok(())
}
