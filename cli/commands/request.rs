//! `keyferry request`: keys that wait for a certificate, and the authority that signs for them.

use super::Program;
use super::change::ChangeOptions;
use super::keys::{
    Dn, FileOptions, Outcome, SubjectOptions, Wishes, change, described, digest_parser, dn, instant,
    key_type, profile_parser, request_of, with_store,
};
use super::options::FormatOptions;
use crate::error::{Failure, Result};
use crate::place::StoreArg;
use crate::ui::Table;
use formats::asn1::{armour, oid};
use formats::crypto::public::spki_key_info;
use formats::crypto::sign::{Digest, KeyType};
use formats::error::Printable;
use formats::issue::{Profile, Request};
use formats::jobs::Input;
use formats::jobs::ca::{Authority, Copied, SignRequest, sign_request};
use formats::jobs::list::sha256_hex;
use formats::jobs::request::{
    self, NewRequest, Received, RequestKey, Waiting, certificates, create, describe, find, receive, waiting,
};
use formats::query::dn::rfc4514;
use formats::{Ctx, Error, NoSecrets, Options};
use serde_json::json;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::Path;

/// Ask for certificates, sign requests, take certificates in
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(clap::Subcommand)]
enum Part {
    Create(Create),
    List(List),
    Show(Show),
    Recreate(Recreate),
    Delete(Delete),
    Sign(Sign),
    Receive(Receive),
}

/// Make a key that waits for its certificate, and the request for it
///
/// The key stays in the store, where the format keeps pending ones: in the .rdb beside a kdb, in a PEM file with
/// its request, in Java's stores as a key with a certificate by itself, in PKCS#12 and NSS as a key alone. FILE
/// is for the authority; what it sends back goes to keyferry request receive.
#[derive(clap::Args)]
#[command(after_help = CREATE_EXAMPLES)]
struct Create {
    /// The store
    store: OsString,

    /// The label that the key waits under, and then has
    #[arg(long, short, value_name = "L")]
    label: String,

    /// rsa:BITS, ec:p256, ec:p384, ec:p521, ed25519, ml-dsa-44, ml-dsa-65 or ml-dsa-87
    #[arg(long, visible_alias = "type", value_name = "TYPE", default_value = "rsa:3072", value_parser = key_type)]
    key_type: KeyType,

    #[command(flatten)]
    subject: SubjectOptions,

    /// The digest of the request's signature, for RSA and EC keys
    #[arg(long, value_name = "DIGEST", value_parser = digest_parser())]
    digest: Option<Digest>,

    #[command(flatten)]
    file: FileOptions,

    #[command(flatten)]
    change: ChangeOptions,

    #[command(flatten)]
    options: FormatOptions,
}

/// List the keys that wait for a certificate
///
/// The status is 1 when there are none. In Java's stores and PKCS#12 a key with a certificate by itself counts where
/// that ends after 90 days, as keytool makes it when it isn't told otherwise, and is no authority's.
#[derive(clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
struct List {
    /// The stores
    #[arg(required = true)]
    stores: Vec<OsString>,

    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

/// Show what a request asks for
///
/// FILE is a request in PEM or DER; or a store, and then LABEL says which key of those that wait.
#[derive(clap::Args)]
#[command(after_help = SHOW_EXAMPLES)]
struct Show {
    /// A request, or a store
    file: OsString,

    /// The label of a key that waits
    label: Option<String>,

    /// Print a JSON object
    #[arg(long, conflicts_with = "pem")]
    json: bool,

    /// Print the request itself
    #[arg(long)]
    pem: bool,
}

/// Write the request of a waiting key again
///
/// With a name or usages it is another request for the same key, which then waits for that one.
#[derive(clap::Args)]
#[command(after_help = RECREATE_EXAMPLES)]
struct Recreate {
    /// The store
    store: OsString,

    /// The label of the key
    label: String,

    #[command(flatten)]
    subject: SubjectOptions,

    /// The digest of the request's signature, for RSA and EC keys
    #[arg(long, value_name = "DIGEST", value_parser = digest_parser())]
    digest: Option<Digest>,

    #[command(flatten)]
    file: FileOptions,

    #[command(flatten)]
    change: ChangeOptions,
}

/// Delete a key that waits, with its request
///
/// A certificate that was made for it is of no use then. The store's old generation still has the key.
#[derive(clap::Args)]
#[command(after_help = DELETE_EXAMPLES)]
struct Delete {
    /// The store
    store: OsString,

    /// The label of the key
    label: String,

    /// Don't ask
    #[arg(long, short)]
    yes: bool,

    #[command(flatten)]
    change: ChangeOptions,
}

/// Sign a request with the key of an authority
///
/// The request must be signed by its own key. Which usages the certificate gets is the profile's to say; of the
/// request's wishes the alternative names go in (see --copy), never that it be an authority. FILE gets the
/// certificate and those above it, so that whoever receives it has the chain.
#[derive(clap::Args)]
#[command(after_help = SIGN_EXAMPLES)]
struct Sign {
    /// The request, PEM or DER
    request: OsString,

    /// The authority: STORE#LABEL, or a store with one key that may sign
    #[arg(long, value_name = "STORE#LABEL")]
    ca: OsString,

    /// What the certificate is for
    #[arg(long, value_name = "PROFILE", default_value = "client", value_parser = profile_parser())]
    profile: Profile,

    /// What of the request's wishes goes in: names, usages (names too), or none
    #[arg(long, value_name = "WHAT", default_value = "names", value_parser = ["names", "usages", "none"])]
    copy: String,

    /// Another name than the request's
    #[arg(long, value_name = "DN", value_parser = dn)]
    dn: Option<Dn>,

    #[command(flatten)]
    wishes: Wishes,

    /// How many authorities may follow an authority
    #[arg(long, value_name = "N")]
    path_length: Option<u64>,

    /// How many days the certificate is valid [default: 365, never longer than the authority]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=36_500))]
    days: Option<i64>,

    /// The last day of the certificate, or its very end, in place of --days
    #[arg(long, value_name = "DAY", value_parser = instant, conflicts_with = "days")]
    not_after: Option<i64>,

    /// The digest of the signature, for RSA and EC keys
    #[arg(long, value_name = "DIGEST", value_parser = digest_parser())]
    digest: Option<Digest>,

    /// Write the certificate alone, without those above it
    #[arg(long)]
    no_chain: bool,

    #[command(flatten)]
    file: FileOptions,
}

/// Take a certificate in for the key that waits for it
///
/// The last argument is the certificate, with its chain where it has one: PEM, DER or PKCS#7. The key is found by
/// its public key, in whichever of the stores it waits. A certificate that renews another one takes its label; the
/// old certificate and key stay as "LABEL (old DATE)" until they are removed, because what was encrypted for them
/// may still come. No certificate of the chain is trusted for having come along: in a kdb, which has one bit for it,
/// those below an anchor that is there get it, for GSKit wants it.
#[derive(clap::Args)]
#[command(after_help = RECEIVE_EXAMPLES)]
struct Receive {
    /// The stores, and the certificate
    #[arg(required = true, num_args = 2.., value_name = "STORE… FILE")]
    paths: Vec<OsString>,

    #[command(flatten)]
    change: ChangeOptions,
}

const CREATE_EXAMPLES: &str = "\
Examples:
  keyferry request create client.kdb --label alice --dn \"CN=alice,O=SSS,C=GB\" --file alice.csr
  keyferry request create web.p12 --label web --key-type ec:p256 --dn CN=web.example --san dns:web.example \\
      --san ip:10.0.0.7 --eku serverAuth --file web.csr";
const LIST_EXAMPLES: &str = "\
Examples:
  keyferry request list client.kdb
  keyferry request list *.jks --json";
const SHOW_EXAMPLES: &str = "\
Examples:
  keyferry request show alice.csr
  keyferry request show client.kdb alice --pem";
const RECREATE_EXAMPLES: &str = "\
Examples:
  keyferry request recreate client.kdb alice --file alice.csr
  keyferry request recreate client.p12 alice --dn \"CN=alice,OU=Ops,O=SSS,C=GB\" --file alice.csr --force";
const DELETE_EXAMPLES: &str = "\
Examples:
  keyferry request delete client.kdb alice --yes";
const SIGN_EXAMPLES: &str = "\
Examples:
  keyferry request sign alice.csr --ca ca.p12#root --profile ams --days 365 --file alice.pem
  keyferry request sign sub.csr --ca ca.p12 --profile ca --path-length 0 --not-after 2030-12-31 --file sub.pem";
const RECEIVE_EXAMPLES: &str = "\
Examples:
  keyferry request receive client.kdb alice.pem
  keyferry request receive client.kdb client.jks web.p12 reply.p7b";

/// Runs the part that was named.
pub fn run(program: &Program, args: &Args) -> Result {
    program.refuse_to_password()?;
    match &args.part {
        Part::Create(args) => run_create(program, args),
        Part::List(args) => run_list(program, args),
        Part::Show(args) => run_show(program, args),
        Part::Recreate(args) => run_recreate(program, args),
        Part::Delete(args) => run_delete(program, args),
        Part::Sign(args) => run_sign(program, args),
        Part::Receive(args) => run_receive(program, args),
    }
}

/// What to do where a key was made and its request could not be written.
pub const WAITS: &str = "the key waits in the store; keyferry request recreate writes its request";
/// The label of PEM blocks that hold requests.
pub const REQUEST_BLOCK: &str = "CERTIFICATE REQUEST";

fn run_create(program: &Program, args: &Create) -> Result {
    let arg = StoreArg::parse_existing(&program.ui, &args.store);
    let subject = args.subject.subject();
    args.file.check()?;
    let now = program.now()?;
    let made = Outcome::new();
    change(program, &arg, args.options.values(), &args.change, &|store, format, _| {
        let job = NewRequest {
            label: &args.label,
            subject: &subject,
            key: RequestKey::New(args.key_type),
            digest: args.digest,
            now,
        };
        made.set(create(store, format, &job)?);
        Ok(true)
    })?;
    let Some(csr) = made.take().filter(|_| !args.change.dry_run) else { return Ok(()) };
    args.file.write_after(program, REQUEST_BLOCK, &csr, WAITS)?;
    program.ui.note(&format!(
        "{}: \"{}\" waits for {}; the request: {}",
        Printable(&arg.name()),
        Printable(&args.label),
        Printable(&rfc4514(&subject.name)),
        args.file.name()
    ));
    Ok(())
}

fn run_list(program: &Program, args: &List) -> Result {
    let mut rows = Vec::new();
    let mut failed = false;
    if args.json {
        program.ui.errors_as_json();
    }
    for text in &args.stores {
        let arg = StoreArg::parse_existing(&program.ui, text);
        match with_store(program, &arg, |loaded, ctx| waiting(&loaded.store, loaded.format, ctx)) {
            Ok(list) => rows.extend(list.into_iter().map(|w| (arg.name(), w))),
            Err(Failure::Failed(e)) if args.stores.len() > 1 => {
                program.ui.store_error(&arg.name(), &e);
                failed = true;
            }
            Err(e) => return Err(e),
        }
    }
    let mut out = program.ui.out();
    if args.json {
        let all: Vec<_> = rows.iter().map(|(store, w)| waiting_json(store, w)).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&all).unwrap_or_default())?;
    } else if !rows.is_empty() {
        let mut table = Table::new(&["STORE", "LABEL", "KEPT AS", "KEY", "SUBJECT"]);
        for (store, w) in &rows {
            table.row(vec![
                (Printable(store).to_string(), None),
                (Printable(&w.label).to_string(), None),
                (w.keeping.name().to_owned(), None),
                (key_text(&w.spki), None),
                (w.subject_text().map(|s| Printable(&s).to_string()).unwrap_or_default(), None),
            ]);
        }
        table.print(&program.ui, &mut out, 0, 4)?;
    }
    out.flush()?;
    match (failed, rows.is_empty()) {
        (true, _) => Err(Failure::Incomplete),
        (_, true) => Err(Failure::No),
        _ => Ok(()),
    }
}

fn waiting_json(store: &str, w: &Waiting) -> serde_json::Value {
    let mut value = json!({
        "store": store, "label": w.label, "kept_as": w.keeping.name(),
        "spki_sha256": sha256_hex(&w.spki), "key": spki_key_info(&w.spki),
    });
    if let (Some(subject), Some(map)) = (w.subject_text(), value.as_object_mut()) {
        map.insert("subject".to_owned(), subject.into());
    }
    value
}

/// `RSA 3072`, `EC P-256`.
fn key_text(spki: &[u8]) -> String {
    let info = spki_key_info(spki);
    match (&info.curve, info.bits) {
        (Some(curve), _) => format!("{} {curve}", info.algorithm),
        (None, Some(bits)) => format!("{} {bits}", info.algorithm),
        _ => info.algorithm.into_owned(),
    }
}

fn run_show(program: &Program, args: &Show) -> Result {
    let arg = StoreArg::parse_existing(&program.ui, &args.file);
    let (request, csr) = match &args.label {
        None => {
            let csr = request_of(program, &arg)?;
            (Request::read(&csr).map_err(|e| e.in_file(&arg.path))?, Some(csr))
        }
        Some(label) => {
            let found = with_store(program, &arg, |loaded, ctx| {
                let list = waiting(&loaded.store, loaded.format, ctx)?;
                find(&list, loaded.format, label).cloned()
            })?;
            let subject = found.subject.unwrap_or_else(|| vec![0x30, 0]);
            let request = Request { subject, spki: found.spki, extensions: found.extensions };
            (request, found.csr.map(|c| c.to_vec()))
        }
    };
    let mut out = program.ui.out();
    if args.pem {
        let csr = csr.ok_or_else(|| {
            Error::refused("the store keeps the key alone, not its request")
                .hint("keyferry request recreate makes it again")
        })?;
        out.write_all(&armour::block(REQUEST_BLOCK, &csr))?;
        return Ok(out.flush()?);
    }
    let names: Vec<String> = request.extensions.alternative_names().iter().map(|n| n.text()).collect();
    let usages: Vec<&str> =
        request.extensions.key_usages().unwrap_or_default().iter().map(|u| u.name()).collect();
    let extended: Vec<String> =
        request.extensions.extended_key_usages().unwrap_or_default().iter().map(|u| u.name()).collect();
    let known = [oid::SUBJECT_ALT_NAME, oid::KEY_USAGE, oid::EXTENDED_KEY_USAGE];
    let others: Vec<String> = request
        .extensions
        .0
        .iter()
        .filter(|e| !known.contains(&&*e.id))
        .map(|e| oid::dotted(&e.id))
        .collect();
    if args.json {
        let value = json!({
            "subject": rfc4514(&request.subject), "key": spki_key_info(&request.spki),
            "spki_sha256": sha256_hex(&request.spki), "alternative_names": names, "key_usage": usages,
            "extended_key_usage": extended, "other_extensions": others,
        });
        writeln!(out, "{}", serde_json::to_string_pretty(&value).unwrap_or_default())?;
        return Ok(out.flush()?);
    }
    let lines = [
        ("subject", rfc4514(&request.subject)),
        ("key", key_text(&request.spki)),
        ("key SHA-256", sha256_hex(&request.spki)),
        ("names", names.join(", ")),
        ("key usage", usages.join(", ")),
        ("extended", extended.join(", ")),
        ("other", others.join(", ")),
    ];
    for (name, value) in lines.iter().filter(|(_, v)| !v.is_empty()) {
        writeln!(out, "{name:<12} {}", Printable(value))?;
    }
    Ok(out.flush()?)
}

fn run_recreate(program: &Program, args: &Recreate) -> Result {
    let arg = StoreArg::parse_existing(&program.ui, &args.store);
    args.file.check()?;
    let made = Outcome::new();
    change(program, &arg, &Options::default(), &args.change, &|store, format, ctx| {
        // A name or wishes alone stand against those that wait.
        let subject = if args.subject.is_empty() {
            None
        } else {
            let list = waiting(store, format, ctx)?;
            let found = find(&list, format, &args.label)?;
            let mut subject = args.subject.subject();
            if args.subject.dn.is_none() {
                subject.name = found.subject.clone().unwrap_or(subject.name);
            }
            let mut extensions = found.extensions.clone();
            subject.extensions.0.into_iter().for_each(|e| extensions.set(e));
            subject.extensions = extensions;
            Some(subject)
        };
        let (csr, changed) =
            request::recreate(store, format, &args.label, subject.as_ref(), args.digest, ctx)?;
        made.set(csr);
        Ok(changed)
    })?;
    let Some(csr) = made.take().filter(|_| !args.change.dry_run) else { return Ok(()) };
    args.file.write_after(program, REQUEST_BLOCK, &csr, "the same command writes it again")?;
    let subject = Request::read_unproven(&csr).map(|r| rfc4514(&r.subject)).unwrap_or_default();
    program.ui.note(&format!("request for {}: {}", Printable(&subject), args.file.name()));
    Ok(())
}

fn run_delete(program: &Program, args: &Delete) -> Result {
    let arg = StoreArg::parse_existing(&program.ui, &args.store);
    let found = with_store(program, &arg, |loaded, ctx| {
        let list = waiting(&loaded.store, loaded.format, ctx)?;
        find(&list, loaded.format, &args.label).cloned()
    })?;
    let what = Printable(&describe(&found)).to_string();
    if !args.yes && !args.change.dry_run {
        confirm(&format!("{}: delete the private key {what}, which waits for its certificate?", arg.name()))?;
    }
    let label = found.label.clone();
    change(program, &arg, &Options::default(), &args.change, &|store, format, ctx| {
        let gone = request::delete(store, format, &label, ctx)?;
        match gone.spki == found.spki {
            true => Ok(true),
            false => Err(Error::new(formats::Kind::Busy, "the store changed meanwhile")),
        }
    })?;
    let done = if args.change.dry_run { "would delete" } else { "deleted" };
    program.ui.note(&format!("{}: {done} {what}", Printable(&arg.name())));
    Ok(())
}

/// Asks at the terminal; without one the answer is no.
fn confirm(question: &str) -> Result {
    if std::io::stdin().is_terminal() {
        eprint!("{question} [y/N] ");
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
    }
    Err(Error::refused("a private key would be deleted").hint("--yes says that this is meant").into())
}

fn run_sign(program: &Program, args: &Sign) -> Result {
    if args.path_length.is_some() && args.profile != Profile::Ca {
        return Err(Failure::usage("--path-length is for --profile ca"));
    }
    let request = StoreArg::parse_existing(&program.ui, &args.request);
    let (store, label) = StoreArg::parse_with_label(&program.ui, &args.ca);
    args.file.check()?;
    let csr = request_of(program, &request)?;
    let now = program.now()?;
    let (signed, chain) = with_store(program, &store, |loaded, ctx| {
        let authority = Authority::of(&loaded.store, loaded.format, label.as_deref(), args.digest, ctx)?;
        let job = SignRequest {
            csr: &csr,
            profile: args.profile,
            copied: match args.copy.as_str() {
                "usages" => Copied::Usages,
                "none" => Copied::Nothing,
                _ => Copied::Names,
            },
            subject: args.dn.as_ref().map(|dn| dn.0.clone()),
            extensions: args.wishes.extensions(false),
            path: args.path_length,
            now,
            not_after: args.not_after.or(args.days.map(|d| now + d * 86_400)),
        };
        Ok((sign_request(&authority, &job)?, authority.chain))
    })?;
    for extension in &signed.refused {
        program.ui.note(&format!("not copied from the request: {extension} (see --copy, --profile)"));
    }
    let above = if args.no_chain { &[][..] } else { &chain[..] };
    let objects: Vec<&[u8]> = std::iter::once(&signed.certificate).chain(above).map(|c| &**c).collect();
    args.file.write(program, "CERTIFICATE", &objects)?;
    program.ui.note(&format!("{}: {}", args.file.name(), described(&signed.certificate)));
    Ok(())
}

fn run_receive(program: &Program, args: &Receive) -> Result {
    let Some((file, stores)) = args.paths.split_last() else { return Ok(()) };
    let certificates = certificates_of(program, &StoreArg::parse_existing(&program.ui, file))?;
    let stores: Vec<StoreArg> = stores.iter().map(|s| StoreArg::parse_existing(&program.ui, s)).collect();
    let now = program.now()?;
    let mut others = Vec::new();
    for arg in &stores {
        // A look first: a store that the certificate isn't for needs no lock and no writing.
        let fits = with_store(program, arg, |loaded, ctx| {
            let mut copy = loaded.store.clone();
            let fits = receive(&mut copy, loaded.format, &certificates, true, now, ctx)?.is_some();
            if !fits {
                others.extend(
                    waiting(&loaded.store, loaded.format, ctx)?.iter().map(|w| (arg.name(), describe(w))),
                );
            }
            Ok(fits)
        })?;
        if fits {
            return take_in(program, arg, &certificates, &args.change, true).map(drop);
        }
    }
    Err(nobody_waits(Path::new(file), &others).into())
}

/// The certificates of a file, the passwords of which nobody is asked for.
pub fn certificates_of(program: &Program, arg: &StoreArg) -> Result<Vec<formats::model::Der>> {
    let source = arg.open()?;
    let session = program.session()?;
    let ctx = Ctx { secrets: &NoSecrets, options: &Options::default(), session: &session };
    Ok(certificates(&Input { source: &source, format: arg.format, ctx })?)
}

/// Joins a certificate with its key, and says so.
pub fn take_in(
    program: &Program,
    arg: &StoreArg,
    certificates: &[formats::model::Der],
    options: &ChangeOptions,
    activate: bool,
) -> Result<Option<Received>> {
    let now = program.now()?;
    let outcome = Outcome::new();
    change(program, arg, &Options::default(), options, &|store, format, ctx| {
        let received = receive(store, format, certificates, activate, now, ctx)?;
        let found = received.is_some();
        outcome.set(received);
        Ok(found)
    })?;
    let received = outcome.take().flatten();
    if let Some(done) = &received {
        say(program, arg, done);
    }
    Ok(received)
}

/// What a certificate that came has changed.
pub fn say(program: &Program, arg: &StoreArg, done: &Received) {
    let label = Printable(&done.label);
    program.ui.note(&format!(
        "{}: \"{label}\": {}, chain of {}",
        Printable(&arg.name()),
        described(&done.certificate),
        done.chain
    ));
    if let Some(old) = &done.old {
        program.ui.note(&format!("its forerunner stays as \"{}\"", Printable(old)));
    }
    if let Some(top) = &done.untrusted {
        program.ui.warn(&format!(
            "the store trusts no issuer of \"{label}\": the chain ends at {}",
            Printable(top)
        ));
    }
}

fn nobody_waits(file: &Path, others: &[(String, String)]) -> Error {
    let error = Error::refused("no key of these stores is the one that the certificate is for").in_file(file);
    let list: Vec<String> = others.iter().map(|(store, what)| format!("{store}: {what}")).collect();
    match list.as_slice() {
        [] => error.hint("no key waits in them; keyferry request list shows those of other stores"),
        list => error.hint(format!("waiting: {}", Printable(&list.join("; ")))),
    }
}
