//! `keyferry keygen`: a new key pair into a store.

use super::Program;
use super::change::ChangeOptions;
use super::keys::{
    Outcome, SubjectOptions, change, described, digest_parser, instant, key_type, profile_parser,
};
use super::options::FormatOptions;
use crate::error::{Failure, Result};
use crate::place::StoreArg;
use formats::crypto::sign::{Digest, KeyType};
use formats::error::Printable;
use formats::issue::Profile;
use formats::jobs::keygen::{Keygen, keygen};
use std::ffi::OsString;

/// Make a new key pair in a store
///
/// The pair gets a certificate by itself, which stores need. It goes into the store at once: there is no file
/// with the key anywhere else. For a certificate of an authority use keyferry request create.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The store
    store: OsString,

    /// The label of the new key
    #[arg(long, short, value_name = "L")]
    label: String,

    /// rsa:BITS, ec:p256, ec:p384, ec:p521, ed25519, ml-dsa-44, ml-dsa-65 or ml-dsa-87
    #[arg(long = "type", visible_alias = "key-type", value_name = "TYPE", default_value = "rsa:3072", value_parser = key_type)]
    kind: KeyType,

    #[command(flatten)]
    subject: SubjectOptions,

    /// What the certificate is for; --ku and --eku stand against it
    #[arg(long, value_name = "PROFILE", value_parser = profile_parser())]
    profile: Option<Profile>,

    /// How many authorities may follow an authority
    #[arg(long, value_name = "N")]
    path_length: Option<u64>,

    /// How many days the certificate is valid
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(i64).range(1..=36_500))]
    days: i64,

    /// The last day of the certificate, in place of --days
    #[arg(long, value_name = "DAY", value_parser = instant, conflicts_with = "days")]
    not_after: Option<i64>,

    /// The digest of the signature, for RSA and EC keys [default: as long as the key deserves]
    #[arg(long, value_name = "DIGEST", value_parser = digest_parser())]
    digest: Option<Digest>,

    #[command(flatten)]
    change: ChangeOptions,

    #[command(flatten)]
    options: FormatOptions,
}

const EXAMPLES: &str = "\
Examples:
  keyferry keygen client.p12 --label alice --dn \"CN=alice,O=SSS,C=GB\"
  keyferry keygen ams.kdb --label alice --type rsa:4096 --profile ams --dn \"CN=alice,O=SSS,C=GB\" --days 730
  keyferry keygen ca.p12 --label root --type ec:p384 --profile ca --dn \"CN=Our CA,O=SSS,C=GB\" --not-after 2036-12-31";

/// Makes it.
pub fn run(program: &Program, args: &Args) -> Result {
    program.refuse_to_password()?;
    let arg = StoreArg::parse_existing(&program.ui, &args.store);
    if args.path_length.is_some() && args.profile != Some(Profile::Ca) {
        return Err(Failure::usage("--path-length is for --profile ca"));
    }
    if args.subject.dn.is_none() {
        return Err(Failure::usage_hint("a certificate needs a name", "give it with --dn \"CN=…,O=…\""));
    }
    let now = program.now()?;
    let until = args.not_after.unwrap_or(now + args.days * 86_400);
    if until <= now {
        return Err(Failure::usage("--not-after lies in the past"));
    }
    let made = Outcome::new();
    change(program, &arg, args.options.values(), &args.change, &|store, format, _| {
        let job = Keygen {
            label: &args.label,
            kind: args.kind,
            subject: &args.subject.subject(),
            profile: args.profile.map(|p| (p, args.path_length)),
            validity: (now, until),
            digest: args.digest,
        };
        made.set(keygen(store, format, &job)?);
        Ok(true)
    })?;
    if let Some(certificate) = made.take() {
        let label = Printable(&args.label);
        program.ui.note(&format!("{}: \"{label}\": {}", Printable(&arg.name()), described(&certificate)));
    }
    Ok(())
}
