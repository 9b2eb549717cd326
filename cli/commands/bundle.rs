//! `keyferry bundle`: trust bundles made, signed, verified, compared.

use super::Program;
use crate::error::{Failure, Result};
use crate::files::{PRIVATE, PUBLIC, read, write, write_new};
use crate::place::{StoreArg, shown};
use crate::secrets::StorePasswords;
use crate::time::{now_ms, span};
use crate::ui::{DIM, GREEN, RED, YELLOW};
use formats::bundle::{self, Distrusted, MANIFEST_SUFFIX, Manifest, PublicKey, Role, SIGNATURE_SUFFIX};
use formats::error::Printable;
use formats::jobs::Input;
use formats::jobs::bundle::{Base, Changed, Part, Recipe, create, diff};
use formats::place::Source;
use formats::query::time::{parse, rfc3339};
use formats::{Ctx, Error, Options, Session};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// No manifest is larger.
const LIMIT: u64 = 256 << 20;

/// Make, sign, verify and compare trust bundles
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    part: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Create(Create),
    Keygen(Keygen),
    Sign(Sign),
    Verify(Verify),
    Diff(Diff),
}

/// Make a bundle and its manifest
///
/// The bundle is a PEM file of certificates, ordered by subject; beside it comes BUNDLE.manifest.json, with a serial
/// number, dates, roles, and the bundle's digest. A private key never comes in: of a store with keys only the
/// certificates count. The same input makes the same bytes, but for the date (--date). Where --base has the same
/// content already, nothing is written.
#[derive(clap::Args)]
#[command(after_help = CREATE_EXAMPLES)]
struct Create {
    /// The bundle to write
    bundle: PathBuf,

    /// Certificates to take in: a store of any format, or a folder of PEM files; ROLE=SRC gives roles (ca,
    /// recipient, signer, several with commas), else a CA is ca, anybody else recipient and signer
    #[arg(long, value_name = "[ROLE=]SRC")]
    add: Vec<OsString>,

    /// The bundle before: what it holds stays, with its roles, and the serial goes on from it
    #[arg(long, value_name = "BUNDLE")]
    base: Option<OsString>,

    /// Take out the certificates with this subject, or sha256:HEX
    #[arg(long, value_name = "PATTERN")]
    remove: Vec<String>,

    /// What --remove names stays until this day
    #[arg(long, value_name = "DATE", requires = "remove", value_parser = date)]
    keep_until: Option<String>,

    /// A certificate that must be nowhere (SHA-256, hex), with a reason after a colon
    #[arg(long, value_name = "SHA256[:REASON]")]
    distrust: Vec<String>,

    /// The serial number [default: one more than the base's]
    #[arg(long, value_name = "N")]
    serial: Option<u64>,

    /// When it was made [default: now]
    #[arg(long, value_name = "DATE", value_parser = date)]
    date: Option<String>,

    /// For how long it is believed, from its date
    #[arg(long, value_name = "TIME", value_parser = span)]
    expires: Option<i64>,

    /// For whom it is; others refuse it
    #[arg(long, value_name = "NAME")]
    audience: Vec<String>,
}

/// Make a pair of signing keys
///
/// Files of minisign: NAME.pub is for everybody, NAME.key signs. Its password comes from --to-password.
#[derive(clap::Args)]
#[command(after_help = KEYGEN_EXAMPLES)]
struct Keygen {
    /// What the files are called, before .key and .pub
    name: PathBuf,
}

/// Sign a bundle's manifest
///
/// Writes BUNDLE.manifest.json.minisig. minisign -V verifies it as well.
#[derive(clap::Args)]
#[command(after_help = SIGN_EXAMPLES)]
struct Sign {
    /// The bundle
    bundle: PathBuf,

    /// The secret key: a file of minisign's; its password is that of --password
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

/// Verify a bundle
///
/// The signature over the manifest, the manifest's dates and audience, and that the bundle is the one it speaks of.
#[derive(clap::Args)]
#[command(after_help = VERIFY_EXAMPLES)]
struct Verify {
    /// The bundle
    bundle: PathBuf,

    /// Who may sign: a public key of minisign's (RW…), or a file with it
    #[arg(long, value_name = "KEY|FILE")]
    public_key: String,

    /// The audience that this machine belongs to
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,

    /// Print the manifest
    #[arg(long)]
    json: bool,
}

/// Compare two bundles
///
/// By certificate; the same subject with another certificate counts as renewed. The status is 1 where they differ.
#[derive(clap::Args)]
#[command(after_help = DIFF_EXAMPLES)]
struct Diff {
    /// The bundle before
    a: OsString,

    /// The bundle after
    b: OsString,

    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

const CREATE_EXAMPLES: &str = "\
Examples:
  keyferry bundle create partners.pem --add ca=roots.pem --add people/ --expires 90d
  keyferry bundle create new.pem --base partners.pem --add alice.pem --remove CN=bob,O=SSS --keep-until 2026-12-31";

const KEYGEN_EXAMPLES: &str = "\
Examples:
  keyferry bundle keygen trust --to-password prompt";

const SIGN_EXAMPLES: &str = "\
Examples:
  keyferry bundle sign partners.pem --key trust.key --password file:trust.pw";

const VERIFY_EXAMPLES: &str = "\
Examples:
  keyferry bundle verify partners.pem --public-key trust.pub";

const DIFF_EXAMPLES: &str = "\
Examples:
  keyferry bundle diff partners.pem new.pem";

/// A day or a time, for clap.
fn date(text: &str) -> Result<String, String> {
    parse(text)
        .map(rfc3339)
        .ok_or_else(|| "a date is wanted, such as 2026-12-31 or 2026-12-31T12:00:00Z".to_owned())
}

/// Does it.
pub fn run(program: &Program, args: &Args) -> Result {
    match &args.part {
        Command::Create(args) => make(program, args),
        Command::Keygen(args) => keygen(program, args),
        Command::Sign(args) => sign(program, args),
        Command::Verify(args) => verify(program, args),
        Command::Diff(args) => compare(program, args),
    }
}

/// `PATH` and a suffix.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The manifest beside a bundle, where there is one.
fn manifest_of(bundle: &Path) -> Result<Option<Manifest>> {
    let path = beside(bundle, MANIFEST_SUFFIX);
    let Some(json) = read(&path, LIMIT)? else { return Ok(None) };
    Ok(Some(Manifest::parse(&json).map_err(|e| e.in_file(&path))?))
}

/// A source with its roles: `ROLE,ROLE=SRC`, where all words before the `=` are roles.
fn with_roles(text: &OsStr) -> (Option<Vec<Role>>, &OsStr) {
    let bytes = text.as_bytes();
    let split = bytes.iter().position(|b| *b == b'=').and_then(|at| {
        let words = std::str::from_utf8(&bytes[..at]).ok()?;
        let roles = words.split(',').map(Role::by_name).collect::<Option<Vec<_>>>()?;
        Some((roles, OsStr::from_bytes(&bytes[at + 1..])))
    });
    split.map_or((None, text), |(roles, rest)| (Some(roles), rest))
}

struct Opened<'a> {
    source: Source,
    secrets: StorePasswords<'a>,
    format: Option<&'static dyn formats::Format>,
}

impl Opened<'_> {
    fn input<'b>(&'b self, options: &'b Options, session: &'b Session) -> Input<'b> {
        Input {
            source: &self.source,
            format: self.format,
            ctx: Ctx { secrets: &self.secrets, options, session },
        }
    }
}

fn make(program: &Program, args: &Create) -> Result {
    program.refuse_to_password()?;
    let parts: Vec<_> = args.add.iter().map(|a| with_roles(a)).collect();
    let mut named: Vec<StoreArg> =
        parts.iter().map(|(_, s)| StoreArg::parse_existing(&program.ui, s)).collect();
    named.extend(args.base.as_ref().map(|b| StoreArg::parse_existing(&program.ui, b)));
    let sources = named.iter().map(StoreArg::open).collect::<Result<Vec<_>>>()?;
    let session = program.session()?;
    let options = Options::default();
    let passwords = program.passwords(&named.iter().collect::<Vec<_>>())?;
    let mut opened: Vec<_> = named
        .iter()
        .zip(sources)
        .map(|(s, source)| Opened { source, secrets: passwords.of(s), format: s.format })
        .collect();
    let base = args.base.as_ref().and_then(|_| opened.pop());
    let manifest = match &base {
        Some(base) => manifest_of(base.source.path())?,
        None => None,
    };
    let date = args.date.clone().unwrap_or_else(|| rfc3339(session.now_ms.div_euclid(1000)));
    let expires = args.expires.map(|ms| rfc3339(parse(&date).unwrap_or(0).saturating_add(ms / 1000)));
    let distrust = args.distrust.iter().map(|d| distrusted(d)).collect::<Result<Vec<_>>>()?;
    let made = create(&Recipe {
        base: base.as_ref().map(|b| Base { input: b.input(&options, &session), manifest: manifest.as_ref() }),
        parts: opened
            .iter()
            .zip(parts)
            .map(|(o, (roles, _))| Part { input: o.input(&options, &session), roles })
            .collect(),
        remove: args.remove.clone(),
        keep_until: args.keep_until.clone(),
        serial: args.serial,
        date,
        expires,
        audience: args.audience.clone(),
        distrust,
        ctx: Ctx { secrets: &formats::NoSecrets, options: &options, session: &session },
    })?;
    let place = Printable(&args.bundle.to_string_lossy()).to_string();
    if made.same_as_base && args.serial.is_none() {
        program.ui.note(&format!("{place}: nothing is new, so nothing was written"));
        return Ok(());
    }
    // The manifest goes last: until it is there, the bundle is not what any manifest speaks of.
    write(&args.bundle, &made.bundle, PUBLIC)?;
    write(&beside(&args.bundle, MANIFEST_SUFFIX), &made.manifest.to_json()?, PUBLIC)?;
    let (count, serial) = (made.manifest.count, made.manifest.serial);
    program.ui.note(&format!("{place}: {count} certificates, serial {serial}"));
    Ok(())
}

fn distrusted(text: &str) -> Result<Distrusted> {
    let (hash, reason) = text.split_once(':').map_or((text, None), |(h, r)| (h, Some(r.trim().to_owned())));
    let sha256 = hash.to_ascii_lowercase();
    if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Failure::usage(format!("--distrust {text}: 64 hex digits are wanted, a SHA-256")));
    }
    Ok(Distrusted { sha256, reason })
}

fn keygen(program: &Program, args: &Keygen) -> Result {
    let arg = StoreArg::parse(args.name.as_os_str());
    let passwords = program.passwords(&[])?;
    let password = formats::Secrets::store(&passwords.of_new(&arg))?;
    let (public, secret) = bundle::generate(password.as_deref())?;
    let (key, open) = (beside(&args.name, ".key"), beside(&args.name, ".pub"));
    write_new(&key, secret.as_bytes(), PRIVATE)?;
    write_new(&open, public.as_bytes(), PUBLIC)?;
    if password.is_none() {
        program.ui.warn(&format!("{}: is not protected by a password", shown(&key)));
    }
    program.ui.note(&format!("{}: signs; {}: for everybody who verifies", shown(&key), shown(&open)));
    Ok(())
}

fn sign(program: &Program, args: &Sign) -> Result {
    program.refuse_to_password()?;
    let manifest_path = beside(&args.bundle, MANIFEST_SUFFIX);
    let missing = || {
        Error::refused("there is no manifest to sign")
            .hint("keyferry bundle create makes the bundle and its manifest")
            .in_file(&manifest_path)
    };
    let json = read(&manifest_path, LIMIT)?.ok_or_else(missing)?;
    let manifest = Manifest::parse(&json).map_err(|e| e.in_file(&manifest_path))?;
    let bundle = read(&args.bundle, 2 << 30)?
        .ok_or_else(|| Error::new(formats::Kind::Read, "is not there").in_file(&args.bundle))?;
    manifest.covers(&bundle).map_err(|e| e.in_file(&args.bundle))?;
    let key = read(&args.key, 64 * 1024)?
        .map(zeroize::Zeroizing::new)
        .ok_or_else(|| Error::new(formats::Kind::Read, "is not there").in_file(&args.key))?;
    let text = std::str::from_utf8(&key).unwrap_or_default();
    let arg = StoreArg::parse(args.key.as_os_str());
    let passwords = program.passwords(&[&arg])?;
    let password = formats::Secrets::store(&passwords.of(&arg))?;
    let comment = format!("keyferry bundle serial:{} date:{}", manifest.serial, manifest.date);
    let signature =
        bundle::sign(&json, text, password.as_deref(), &comment).map_err(|e| e.in_file(&args.key))?;
    let place = beside(&manifest_path, SIGNATURE_SUFFIX);
    write(&place, signature.as_bytes(), PUBLIC)?;
    program.ui.note(&format!("{}: written, serial {}", shown(&place), manifest.serial));
    Ok(())
}

/// A public key, as text or in a file.
pub fn public_key(text: &str) -> formats::Result<PublicKey> {
    if let Ok(key) = PublicKey::parse(text) {
        return Ok(key);
    }
    let path = Path::new(text);
    let bytes = read(path, 64 * 1024)?.ok_or_else(|| {
        Error::malformed("neither a public key of minisign nor a file with one").in_file(path)
    })?;
    PublicKey::parse(&String::from_utf8_lossy(&bytes)).map_err(|e| e.in_file(path))
}

fn verify(program: &Program, args: &Verify) -> Result {
    program.refuse_to_password()?;
    let key = public_key(&args.public_key)?;
    let there = |path: &Path, limit| {
        read(path, limit)
            .and_then(|b| b.ok_or_else(|| Error::new(formats::Kind::Read, "is not there").in_file(path)))
    };
    let manifest_path = beside(&args.bundle, MANIFEST_SUFFIX);
    let signature_path = beside(&manifest_path, SIGNATURE_SUFFIX);
    let json = there(&manifest_path, LIMIT)?;
    let signature = there(&signature_path, 64 * 1024)?;
    let comment =
        key.verify(&json, &String::from_utf8_lossy(&signature)).map_err(|e| e.in_file(&signature_path))?;
    let manifest = Manifest::parse(&json).map_err(|e| e.in_file(&manifest_path))?;
    manifest
        .is_for(now_ms() / 1000, None, args.audience.as_deref())
        .map_err(|e| e.in_file(&manifest_path))?;
    manifest.covers(&there(&args.bundle, 2 << 30)?).map_err(|e| e.in_file(&args.bundle))?;
    let mut out = program.ui.out();
    if args.json {
        out.write_all(&json)?;
    } else {
        let place = Printable(&args.bundle.to_string_lossy()).to_string();
        writeln!(out, "{place}: good, {} certificates, serial {}", manifest.count, manifest.serial)?;
        writeln!(out, "  signed: {}", Printable(&comment))?;
        for (word, time) in [("made", Some(&manifest.date)), ("expires", manifest.expires.as_ref())] {
            if let Some(time) = time {
                writeln!(out, "  {word}: {time}")?;
            }
        }
        if !manifest.audience.is_empty() {
            writeln!(out, "  for: {}", Printable(&manifest.audience.join(", ")))?;
        }
        if !manifest.distrust.is_empty() {
            writeln!(out, "  distrusts: {}", manifest.distrust.len())?;
        }
    }
    Ok(out.flush()?)
}

fn compare(program: &Program, args: &Diff) -> Result {
    program.refuse_to_password()?;
    let named = [&args.a, &args.b].map(|s| StoreArg::parse_existing(&program.ui, s));
    let sources = named.iter().map(StoreArg::open).collect::<Result<Vec<_>>>()?;
    let session = program.session()?;
    let options = Options::default();
    let passwords = program.passwords(&named.iter().collect::<Vec<_>>())?;
    let opened: Vec<_> = named
        .iter()
        .zip(sources)
        .map(|(s, source)| Opened { source, secrets: passwords.of(s), format: s.format })
        .collect();
    let inputs: Vec<_> = opened.iter().map(|o| o.input(&options, &session)).collect();
    let [a, b] = inputs.as_slice() else { return Ok(()) };
    let found = diff(a, b)?;
    let mut out = program.ui.out();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &found)?;
        writeln!(out)?;
    } else {
        let ui = &program.ui;
        for (mark, style, list) in [("-", RED, &found.removed), ("+", GREEN, &found.added)] {
            for one in list {
                writeln!(out, "{}", ui.paint(style, &format!("{mark} {}", described(one))))?;
            }
        }
        for (before, after) in &found.renewed {
            let text = format!("~ {} (was until {})", described(after), day(before));
            writeln!(out, "{}", ui.paint(YELLOW, &text))?;
        }
        let summary = format!(
            "{} added, {} removed, {} renewed, {} the same",
            found.added.len(),
            found.removed.len(),
            found.renewed.len(),
            found.same
        );
        writeln!(out, "{}", ui.paint(DIM, &summary))?;
    }
    out.flush()?;
    if found.is_none() { Ok(()) } else { Err(Failure::No) }
}

fn day(certificate: &Changed) -> &str {
    certificate.not_after.as_deref().and_then(|t| t.get(..10)).unwrap_or("-")
}

fn described(certificate: &Changed) -> String {
    let subject = Printable(&certificate.subject).to_string();
    format!("{subject}  until {}  {}", day(certificate), certificate.sha256.get(..16).unwrap_or_default())
}
