//! What the commands about keys share: names and usages from options, one change of one store, files that
//! are written beside it.

use super::Program;
use super::change::ChangeOptions;
use super::convert::say_losses;
use crate::error::{Failure, Result};
use crate::files;
use crate::place::{StoreArg, shown, to_standard_output};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use formats::asn1::{armour, cert_fields};
use formats::crypto::sign::{Digest, KeyType};
use formats::error::Printable;
use formats::issue::{Extension, Extensions, KeyUsage, Name, Profile, Usage};
use formats::jobs::edit::{Edit, edit};
use formats::jobs::keygen::Subject;
use formats::jobs::{Input, Loaded, load};
use formats::model::{Item, Store};
use formats::query::{dn::rfc4514, dn_build::name_from_text, time};
use formats::{Ctx, Error, Format, NoSecrets, Options};
use std::cell::RefCell;

/// Whom a key is for.
#[derive(clap::Args)]
pub struct SubjectOptions {
    /// The distinguished name, in any dialect: "CN=alice,O=SSS,C=GB", "/C=GB/O=SSS/CN=alice"
    #[arg(long, value_name = "DN", value_parser = dn, help_heading = "Subject")]
    pub dn: Option<Dn>,

    #[command(flatten)]
    pub wishes: Wishes,
}

/// A whole `Name`.
#[derive(Clone)]
pub struct Dn(pub Vec<u8>);

/// What a certificate says besides its name.
#[derive(clap::Args)]
pub struct Wishes {
    /// An alternative name: dns:HOST, ip:ADDRESS, email:ADDRESS, uri:URI or dn:DN; may be given several times
    #[arg(long, value_name = "NAME", value_parser = san, help_heading = "Subject")]
    pub san: Vec<Name>,

    /// Key usages, separated by commas: digitalSignature, keyEncipherment, dataEncipherment, …
    #[arg(long, value_name = "USAGE", value_delimiter = ',', value_parser = usage, help_heading = "Subject")]
    pub ku: Vec<KeyUsage>,

    /// Extended key usages, separated by commas: clientAuth, serverAuth, emailProtection, … or OIDs
    #[arg(long, value_name = "USAGE", value_delimiter = ',', value_parser = extended, help_heading = "Subject")]
    pub eku: Vec<Usage>,
}

impl SubjectOptions {
    /// The subject; an empty name where none was given.
    pub fn subject(&self) -> Subject {
        let name = self.dn.as_ref().map_or_else(|| vec![0x30, 0], |dn| dn.0.clone());
        let nameless = name.len() <= 2;
        Subject { name, extensions: self.wishes.extensions(nameless) }
    }

    /// Whether anything was given.
    pub fn is_empty(&self) -> bool {
        self.dn.is_none() && self.wishes.extensions(false).is_empty()
    }
}

impl Wishes {
    /// As extensions.
    pub fn extensions(&self, nameless: bool) -> Extensions {
        let mut out = Extensions::default();
        if !self.san.is_empty() {
            out.set(Extension::alternative_names(&self.san, nameless));
        }
        if !self.ku.is_empty() {
            out.set(Extension::key_usage(&self.ku));
        }
        if !self.eku.is_empty() {
            out.set(Extension::extended_key_usage(&self.eku));
        }
        out
    }
}

/// Parses a distinguished name.
pub fn dn(text: &str) -> std::result::Result<Dn, String> {
    let name = name_from_text(text).map_err(|e| e.message().to_owned())?;
    if name.len() <= 2 { Err("an empty name".to_owned()) } else { Ok(Dn(name)) }
}

fn san(text: &str) -> std::result::Result<Name, String> {
    Name::parse(text).map_err(|e| e.message().to_owned())
}

fn usage(text: &str) -> std::result::Result<KeyUsage, String> {
    let names: Vec<_> = KeyUsage::ALL.iter().map(|(name, _)| *name).collect();
    KeyUsage::parse(text.trim()).ok_or_else(|| format!("one of {}", names.join(", ")))
}

fn extended(text: &str) -> std::result::Result<Usage, String> {
    let names: Vec<_> = Usage::NAMED.iter().map(|(name, _)| *name).collect();
    Usage::parse(text.trim()).ok_or_else(|| format!("one of {}, or a dotted OID", names.join(", ")))
}

/// Parses a key type.
pub fn key_type(text: &str) -> std::result::Result<KeyType, &'static str> {
    KeyType::parse(text)
        .ok_or("rsa:2048 to rsa:8192, ec:p256, ec:p384, ec:p521, ed25519, ml-dsa-44, ml-dsa-65 or ml-dsa-87")
}

/// Parses a digest.
pub fn digest_parser() -> impl TypedValueParser<Value = Digest> {
    PossibleValuesParser::new(["sha256", "sha384", "sha512"])
        .try_map(|d| Digest::parse(&d).ok_or("no digest"))
}

/// Parses a profile; help shows what each is.
pub fn profile_parser() -> impl TypedValueParser<Value = Profile> {
    PossibleValuesParser::new(
        Profile::ALL.iter().map(|(name, _, help)| PossibleValue::new(*name).help(*help)),
    )
    .try_map(|p| Profile::parse(&p).ok_or("no profile"))
}

/// A day (`2027-01-31`, its end) or a time (`2027-01-31T12:00:00Z`) as seconds since 1970.
pub fn instant(text: &str) -> std::result::Result<i64, &'static str> {
    let whole = match text.len() {
        10 => format!("{text}T23:59:59Z"),
        _ => text.to_owned(),
    };
    let digits: String = whole.chars().filter(char::is_ascii_digit).collect();
    let element = formats::asn1::tlv(0x18, format!("{digits}Z").as_bytes());
    let seconds = time::seconds(&element).filter(|s| time::rfc3339(*s) == whole);
    seconds.ok_or("a day such as 2027-01-31 or a time such as 2027-01-31T12:00:00Z is wanted")
}

/// Changes one store by `change`, and says what there is to say. True: it was changed.
pub fn change(
    program: &Program,
    arg: &StoreArg,
    options: &Options,
    how: &ChangeOptions,
    change: &dyn Fn(&mut Store, &'static dyn Format, &Ctx<'_>) -> formats::Result<bool>,
) -> Result<bool> {
    if arg.is_stdio() {
        return Err(Failure::usage("a store that is changed must be a file"));
    }
    let session = program.session()?;
    let passwords = program.passwords(&[arg])?;
    let secrets = passwords.of(arg);
    let ctx = Ctx { secrets: &secrets, options, session: &session };
    let on_step = crate::failpoint::on_step();
    let allow = how.loss.allowed();
    let done = edit(&Edit {
        path: &arg.path,
        format: arg.format,
        ctx,
        to: None,
        dry_run: how.dry_run,
        change: &|store, format| change(store, format, &ctx),
        allow: allow.clone(),
        on_step: &on_step,
    })?;
    for warning in &done.warnings {
        program.ui.warn(&Printable(warning).to_string());
    }
    if !done.changed && !done.losses.is_empty() {
        return Err(Failure::Losses(done.losses.into_iter().filter(|l| !allow.allows(l)).collect()));
    }
    say_losses(program, &done.losses);
    if how.dry_run {
        program.ui.note("nothing was written");
    }
    Ok(done.changed)
}

/// Reads one store for `look`.
pub fn with_store<T>(
    program: &Program,
    arg: &StoreArg,
    look: impl FnOnce(&Loaded, &Ctx<'_>) -> formats::Result<T>,
) -> Result<T> {
    let source = arg.open()?;
    let session = program.session()?;
    let passwords = program.passwords(&[arg])?;
    let secrets = passwords.of(arg);
    let ctx = Ctx { secrets: &secrets, options: &Options::default(), session: &session };
    let loaded = load(&Input { source: &source, format: arg.format, ctx })?;
    Ok(look(&loaded, &ctx).map_err(|e| e.in_file(&arg.path))?)
}

/// Reads a file of public things: no password is asked for.
pub fn public(program: &Program, arg: &StoreArg) -> Result<Store> {
    let source = arg.open()?;
    let session = program.session()?;
    let ctx = Ctx { secrets: &NoSecrets, options: &Options::default(), session: &session };
    Ok(load(&Input { source: &source, format: arg.format, ctx })?.store)
}

/// The one request of a file.
pub fn request_of(program: &Program, arg: &StoreArg) -> Result<Vec<u8>> {
    let store = public(program, arg)?;
    let mut found = store.entries.iter().filter_map(|e| match &e.item {
        Item::Request { csr, .. } => Some(csr.to_vec()),
        _ => None,
    });
    let wrong = |message: &'static str| Error::malformed(message).in_file(&arg.path);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(wrong("holds no certificate request").into()),
        _ => Err(wrong("holds several certificate requests").into()),
    }
}

/// Where a command's result goes, and how.
#[derive(clap::Args)]
pub struct FileOptions {
    /// The file to write; - for standard output
    #[arg(long, value_name = "FILE")]
    pub file: std::path::PathBuf,

    /// Write DER instead of PEM
    #[arg(long)]
    pub der: bool,

    /// Replace FILE if it exists
    #[arg(long, short)]
    pub force: bool,
}

impl FileOptions {
    /// Fails before anything is done where the file can't be written.
    pub fn check(&self) -> Result {
        let there = self.file.as_os_str() != "-" && std::fs::symlink_metadata(&self.file).is_ok();
        if there && !self.force {
            return Err(Error::refused("exists already")
                .hint("--force replaces it")
                .in_file(&self.file)
                .into());
        }
        Ok(())
    }

    /// The same beside a store that has changed already; `then` says how the file comes about where it can't be
    /// written.
    pub fn write_after(&self, program: &Program, label: &str, object: &[u8], then: &'static str) -> Result {
        self.write(program, label, &[object]).map_err(|failure| match failure {
            Failure::Failed(e) => e.hint(then).into(),
            other => other,
        })
    }

    /// Writes objects: PEM blocks of this label, or one DER object.
    pub fn write(&self, program: &Program, label: &str, objects: &[&[u8]]) -> Result {
        let mut bytes = Vec::new();
        match objects {
            [first, ..] if self.der => bytes.extend_from_slice(first),
            _ => objects.iter().for_each(|o| armour::put_block(&mut bytes, label, o)),
        }
        if self.file.as_os_str() == "-" {
            return to_standard_output(&program.ui, &bytes);
        }
        let write = if self.force { files::write } else { files::write_new };
        Ok(write(&self.file, &bytes, files::PUBLIC)?)
    }

    /// For messages.
    pub fn name(&self) -> String {
        if self.file.as_os_str() == "-" { "standard output".to_owned() } else { shown(&self.file) }
    }
}

/// Keeps what a change of a store came to, for after it.
pub struct Outcome<T>(RefCell<Option<T>>);

impl<T> Outcome<T> {
    /// Nothing yet.
    pub fn new() -> Self {
        Outcome(RefCell::new(None))
    }

    /// Sets it.
    pub fn set(&self, value: T) {
        *self.0.borrow_mut() = Some(value);
    }

    /// What was set.
    pub fn take(self) -> Option<T> {
        self.0.into_inner()
    }
}

/// `CN=… until DATE`, for a certificate.
pub fn described(certificate: &[u8]) -> String {
    let Ok(fields) = cert_fields(certificate) else { return "?".to_owned() };
    let until = time::seconds(fields.not_after).map(time::rfc3339).unwrap_or_default();
    format!("{} until {}", Printable(&rfc4514(fields.subject)), until.get(..10).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times() {
        assert_eq!(instant("1970-01-01"), Ok(86_399));
        assert_eq!(instant("1970-01-02T00:00:00Z"), Ok(86_400));
        for bad in ["", "1970-13-01", "1970-02-30", "70-01-01", "1970-01-01T00:00", "1970/01/01"] {
            assert!(instant(bad).is_err(), "{bad}");
        }
    }
}
