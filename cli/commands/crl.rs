//! `keyferry crl`: revocation lists of a small authority.

use super::Program;
use super::keys::{FileOptions, digest_parser, public, with_store};
use super::request::certificates_of;
use crate::error::{Failure, Result};
use crate::place::StoreArg;
use crate::ui::Table;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use formats::Error;
use formats::asn1::cert_fields;
use formats::crypto::sign::Digest;
use formats::error::Printable;
use formats::issue::{Crl, Reason};
use formats::jobs::ca::{Authority, SignCrl, sign_crl};
use formats::jobs::revocation::serial;
use formats::model::Item;
use formats::query::{dn::rfc4514, time};
use serde_json::json;
use std::ffi::OsString;
use std::io::Write;

/// Make and show the revocation lists of an authority
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(clap::Subcommand)]
enum Part {
    Create(Create),
    Add(Add),
    Show(Show),
}

/// Sign a list that revokes nothing yet
#[derive(clap::Args)]
#[command(after_help = CREATE_EXAMPLES)]
struct Create {
    #[command(flatten)]
    by: By,
}

/// Sign the list that follows another one, with more on it
///
/// What is on LIST stays, with its date and reason. The new list has the next number. Without a certificate or
/// serial number it is the same list for another while.
#[derive(clap::Args)]
#[command(after_help = ADD_EXAMPLES)]
struct Add {
    /// The list before
    list: OsString,

    /// Files with the certificates that are revoked
    certificates: Vec<OsString>,

    /// A serial number in hex that is revoked; may be given several times
    #[arg(long, value_name = "HEX", value_parser = parse_serial)]
    serial: Vec<Vec<u8>>,

    /// Why; removeFromCRL ends a certificateHold
    #[arg(long, value_name = "REASON", value_parser = reason_parser())]
    reason: Option<Reason>,

    #[command(flatten)]
    by: By,
}

/// Show what a list revokes
#[derive(clap::Args)]
#[command(after_help = SHOW_EXAMPLES)]
struct Show {
    /// The list, PEM or DER
    list: OsString,

    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct By {
    /// The authority: STORE#LABEL, or a store with one key that may sign
    #[arg(long, value_name = "STORE#LABEL")]
    ca: OsString,

    /// In how many days the next list is due
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(i64).range(1..=3650))]
    days: i64,

    /// The digest of the signature, for RSA and EC keys
    #[arg(long, value_name = "DIGEST", value_parser = digest_parser())]
    digest: Option<Digest>,

    #[command(flatten)]
    file: FileOptions,
}

const CREATE_EXAMPLES: &str = "\
Examples:
  keyferry crl create --ca ca.p12#root --file ca.crl";
const ADD_EXAMPLES: &str = "\
Examples:
  keyferry crl add ca.crl alice.pem --reason keyCompromise --ca ca.p12#root --file ca.crl --force
  keyferry crl add ca.crl --serial 0a1b --ca ca.p12#root --file ca.crl --force";
const SHOW_EXAMPLES: &str = "\
Examples:
  keyferry crl show ca.crl";

/// Runs the part that was named.
pub fn run(program: &Program, args: &Args) -> Result {
    program.refuse_to_password()?;
    match &args.part {
        Part::Create(args) => sign(program, &args.by, None, Vec::new()),
        Part::Add(args) => add(program, args),
        Part::Show(args) => show(program, args),
    }
}

fn parse_serial(text: &str) -> std::result::Result<Vec<u8>, String> {
    serial(text).map_err(|e| e.message().to_owned())
}

fn reason_parser() -> impl TypedValueParser<Value = Reason> {
    PossibleValuesParser::new(Reason::ALL.iter().map(|(name, _)| PossibleValue::new(*name)))
        .try_map(|r| Reason::parse(&r).ok_or("no reason"))
}

fn add(program: &Program, args: &Add) -> Result {
    let before = list_of(program, &StoreArg::parse_existing(&program.ui, &args.list))?;
    let list = Crl::read(&before)?;
    let mut revoke: Vec<_> = args.serial.iter().map(|s| (s.clone(), args.reason)).collect();
    for file in &args.certificates {
        let arg = StoreArg::parse_existing(&program.ui, file);
        let certificates = certificates_of(program, &arg)?;
        let own = certificates.iter().filter_map(|c| cert_fields(c).ok()).filter(|f| f.issuer == list.issuer);
        // A root in a chain is of the authority too, but never what is meant.
        let own: Vec<_> = own.filter(|f| f.issuer != f.subject).map(|f| f.serial.to_vec()).collect();
        if own.is_empty() {
            return Err(Error::refused("holds no certificate of this authority").in_file(&arg.path).into());
        }
        revoke.extend(own.into_iter().map(|s| (s, args.reason)));
    }
    sign(program, &args.by, Some(before), revoke)
}

fn sign(
    program: &Program,
    by: &By,
    before: Option<Vec<u8>>,
    revoke: Vec<(Vec<u8>, Option<Reason>)>,
) -> Result {
    let (store, label) = StoreArg::parse_with_label(&program.ui, &by.ca);
    by.file.check()?;
    let now = program.now()?;
    let crl = with_store(program, &store, |loaded, ctx| {
        let authority = Authority::of(&loaded.store, loaded.format, label.as_deref(), by.digest, ctx)?;
        let next_update = now + by.days * 86_400;
        sign_crl(&authority, &SignCrl { before: before.as_deref(), revoke: revoke.clone(), now, next_update })
    })?;
    by.file.write(program, "X509 CRL", &[&crl])?;
    let list = Crl::read(&crl)?;
    program.ui.note(&format!(
        "{}: list {} with {} entries",
        by.file.name(),
        number(&list),
        list.revoked.len()
    ));
    Ok(())
}

/// The one list of a file.
fn list_of(program: &Program, arg: &StoreArg) -> Result<Vec<u8>> {
    let store = public(program, arg)?;
    let mut lists = store.entries.iter().filter_map(|e| match &e.item {
        Item::Crl(list) => Some(list.to_vec()),
        _ => None,
    });
    match (lists.next(), lists.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Failure::from(Error::malformed("holds no revocation list").in_file(&arg.path))),
        _ => Err(Failure::from(Error::malformed("holds several revocation lists").in_file(&arg.path))),
    }
}

fn show(program: &Program, args: &Show) -> Result {
    let crl = list_of(program, &StoreArg::parse_existing(&program.ui, &args.list))?;
    let list = Crl::read(&crl)?;
    let mut out = program.ui.out();
    if args.json {
        let revoked: Vec<_> = list
            .revoked
            .iter()
            .map(|r| {
                let reason = r.reason.map_or("unspecified", Reason::name);
                json!({ "serial": hex(&r.serial), "since": time::rfc3339(r.since), "reason": reason })
            })
            .collect();
        let mut value = json!({
            "issuer": rfc4514(&list.issuer), "number": number(&list),
            "this_update": time::rfc3339(list.this_update), "revoked": revoked,
        });
        if let (Some(next), Some(map)) = (list.next_update, value.as_object_mut()) {
            map.insert("next_update".to_owned(), time::rfc3339(next).into());
        }
        writeln!(out, "{}", serde_json::to_string_pretty(&value).unwrap_or_default())?;
        return Ok(out.flush()?);
    }
    writeln!(out, "issuer  {}", Printable(&rfc4514(&list.issuer)))?;
    writeln!(out, "number  {}", number(&list))?;
    writeln!(out, "made    {}", time::rfc3339(list.this_update))?;
    if let Some(next) = list.next_update {
        writeln!(out, "next    {}", time::rfc3339(next))?;
    }
    if !list.revoked.is_empty() {
        writeln!(out)?;
        let mut table = Table::new(&["SERIAL", "SINCE", "REASON"]);
        for r in &list.revoked {
            let reason = r.reason.map_or("unspecified", Reason::name);
            table.row(vec![
                (hex(&r.serial), None),
                (time::rfc3339(r.since), None),
                (reason.to_owned(), None),
            ]);
        }
        table.print(&program.ui, &mut out, 0, 2)?;
    }
    Ok(out.flush()?)
}

fn hex(bytes: &[u8]) -> String {
    let digits = if bytes.len() > 1 { bytes.strip_prefix(&[0]).unwrap_or(bytes) } else { bytes };
    digits.iter().map(|b| format!("{b:02x}")).collect()
}

fn number(list: &Crl) -> String {
    list.number.as_deref().map_or_else(|| "none".to_owned(), hex)
}
