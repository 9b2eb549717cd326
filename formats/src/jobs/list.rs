//! Entries as rows: what `list`, `show` and scripts see.

pub use crate::hex::hex;

use super::Input;
use crate::asn1::{CertFields, Reader, Tag, cert_fields, oid, request_fields};
use crate::context::Ctx;
use crate::crypto::public::{KeyInfo, spki_key_info, spki_of_pkcs8};
use crate::error::{Error, Result};
use crate::format::Format;
use crate::model::{Entry, Item, ItemKind, Level};
use crate::place::{FileFacts, path_hex};
use crate::query::dn::{self, Grade, Hit, Pattern, Style};
use crate::query::time;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// One entry, in the shape and order of the JSON contract. A field the store can't know is absent.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Row {
    /// The store as the caller named it.
    pub store: String,
    /// The bytes of the path in hex, where it isn't UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_hex: Option<String>,
    /// Its format.
    pub format: &'static str,
    /// The label (lossy where it isn't UTF-8).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The label's bytes in hex, where it isn't UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_hex: Option<String>,
    /// `key`, `cert`, `request`, `secret`, `crl`, `other`.
    pub kind: &'static str,
    /// The default key of its store.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
    /// RFC 4514 text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// RFC 4514 text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Lower-case hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// SHA-256 of the entry's own DER object, lower-case hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// SHA-256 of the SubjectPublicKeyInfo, lower-case hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spki_sha256: Option<String>,
    /// The key's algorithm and size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyInfo>,
    /// Purposes for which it is an anchor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<Vec<&'static str>>,
    /// Purposes for which it is distrusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distrust: Option<Vec<&'static str>>,
    /// Whether the entry's integrity was proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authenticated: Option<bool>,
    /// SHA-256 of a key's chain, leaf first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain: Option<Vec<String>>,
    /// Where names were asked for: how they match.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub grade: Option<&'static str>,
    /// Whether what was asked for is the whole name, without wildcards.
    #[serde(rename = "match_whole", skip_serializing_if = "Option::is_none")]
    pub whole: Option<bool>,
    /// The file, where a tree was gone through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileRow>,
}

/// What the system says of a store's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileRow {
    /// The owner's name where this machine's `/etc/passwd` has it, else the number.
    pub owner: String,
    /// The owner's number.
    pub uid: u32,
    /// Permission bits, octal: `0640`.
    pub mode: String,
    /// Bytes.
    pub size: u64,
    /// Last change, RFC 3339, UTC.
    pub mtime: String,
}

impl FileRow {
    /// In words.
    pub fn of(facts: FileFacts) -> FileRow {
        FileRow {
            owner: OWNERS.get(&facts.uid).cloned().unwrap_or_else(|| facts.uid.to_string()),
            uid: facts.uid,
            mode: format!("{:04o}", facts.mode),
            size: facts.size,
            mtime: time::rfc3339(facts.mtime),
        }
    }
}

/// Names of users by number, of this machine.
static OWNERS: LazyLock<HashMap<u32, String>> = LazyLock::new(|| {
    let text = std::fs::read("/etc/passwd").unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let one = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|n| !n.is_empty())?.to_owned();
        Some((fields.nth(1)?.parse().ok()?, name))
    };
    // The first of several names of a number counts, as for the system.
    text.lines().rev().filter_map(one).collect()
});

/// Which entries a list shows; all conditions must hold, and of several values of one any.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Subject or issuer.
    pub dn: Vec<Pattern>,
    /// Subject.
    pub subject: Vec<Pattern>,
    /// Issuer.
    pub issuer: Vec<Pattern>,
    /// A subject alternative name: DNS name, address, URI, e-mail.
    pub san: Vec<Glob>,
    /// Kinds; empty: any.
    pub kinds: Vec<ItemKind>,
    /// Labels, byte for byte; empty: any.
    pub labels: Vec<String>,
    /// Serial numbers, lower-case hex without leading zeros.
    pub serial: Vec<String>,
    /// SHA-256 of the entry's object in lower-case hex, or the beginning of it.
    pub sha256: Vec<String>,
    /// SHA-256 of the public key, or the beginning of it.
    pub spki: Vec<String>,
    /// Key types: `RSA`, `RSA-2048`, `EC`, `P-256`, in any case of letters.
    pub key_types: Vec<String>,
    /// Ends before this time (seconds since 1970).
    pub ends_before: Option<i64>,
    /// Trusted for something as an anchor.
    pub trusted: bool,
    /// How names are printed.
    pub style: Style,
}

/// A text with wildcards, compared without regard to case.
#[derive(Clone, Debug)]
pub struct Glob(Vec<String>);

impl Glob {
    /// `*` stands for anything.
    pub fn new(pattern: &str) -> Glob {
        Glob(pattern.split('*').map(str::to_lowercase).collect())
    }

    /// Whether all of `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        dn::pieces_match(&self.0, &text.to_lowercase())
    }
}

impl Filter {
    /// Whether `entry` is shown. Looks at no more of a certificate than the conditions need.
    pub fn matches(&self, entry: &Entry) -> bool {
        self.outside(entry) && self.names(entry) && (!self.needs_fields() || self.inside(entry))
    }

    /// How the names of an entry that matches fit, where names were asked for.
    pub fn hit(&self, entry: &Entry) -> Option<Hit> {
        let names = names(entry)?;
        let best = |patterns: &[Pattern], names: &[Option<&[u8]>]| {
            patterns.iter().flat_map(|p| names.iter().flatten().filter_map(|n| p.hit(n))).min_by_key(order)
        };
        // Of several conditions the worst tells.
        [best(&self.dn, &names), best(&self.subject, &names[..1]), best(&self.issuer, &names[1..])]
            .into_iter()
            .flatten()
            .max_by_key(order)
    }

    fn outside(&self, entry: &Entry) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&entry.item.kind()))
            && (self.labels.is_empty() || self.labels.iter().any(|l| entry.label_text() == l.as_str()))
            && (!self.trusted
                || entry.trust.as_ref().is_some_and(|t| t.purposes_at(Level::Anchor).next().is_some()))
    }

    fn names(&self, entry: &Entry) -> bool {
        if self.dn.is_empty() && self.subject.is_empty() && self.issuer.is_empty() {
            return true;
        }
        let Some(names) = names(entry) else { return false };
        let any = |patterns: &[Pattern], names: &[Option<&[u8]>]| {
            patterns.is_empty() || patterns.iter().any(|p| names.iter().flatten().any(|n| p.matches(n)))
        };
        any(&self.dn, &names) && any(&self.subject, &names[..1]) && any(&self.issuer, &names[1..])
    }

    fn needs_fields(&self) -> bool {
        let lists = [&self.serial, &self.sha256, &self.spki, &self.key_types];
        self.ends_before.is_some() || !self.san.is_empty() || lists.iter().any(|l| !l.is_empty())
    }

    fn inside(&self, entry: &Entry) -> bool {
        let fields = entry.certificate().and_then(|c| cert_fields(c).ok());
        let begins = |digits: &[String], hex: &dyn Fn() -> Option<String>| {
            digits.is_empty() || hex().is_some_and(|h| digits.iter().any(|d| h.starts_with(d.as_str())))
        };
        let serial = || fields.map(|f| hex(f.serial));
        let zeroless = |h: &str| h.trim_start_matches('0').to_owned();
        self.ends_before.is_none_or(|bound| {
            fields.and_then(|f| time::seconds(f.not_after)).is_some_and(|end| end < bound)
        }) && (self.serial.is_empty()
            || serial().is_some_and(|h| self.serial.iter().any(|s| *s == zeroless(&h))))
            && begins(&self.sha256, &|| entry.object().map(|d| sha256_hex(d)))
            && begins(&self.spki, &|| public_key_of(entry).map(sha256_hex))
            && (self.key_types.is_empty() || public_key_of(entry).is_some_and(|k| self.is_of_type(k)))
            && (self.san.is_empty()
                || fields.is_some_and(|f| {
                    alternative_names(&f).iter().any(|name| self.san.iter().any(|g| g.matches(name)))
                }))
    }

    fn is_of_type(&self, spki: &[u8]) -> bool {
        let info = spki_key_info(spki);
        let mut names = vec![info.algorithm.to_string()];
        names.extend(info.bits.map(|bits| format!("{}-{bits}", info.algorithm)));
        names.extend(info.bits.map(|bits| format!("{}{bits}", info.algorithm)));
        names.extend(info.curve.map(|c| c.to_string()));
        self.key_types.iter().any(|t| names.iter().any(|n| n.eq_ignore_ascii_case(t)))
    }
}

fn order(hit: &Hit) -> (Grade, bool) {
    (hit.grade, !hit.whole)
}

/// The public key of what stands for the entry.
pub(super) fn public_key_of(entry: &Entry) -> Option<&[u8]> {
    match &entry.item {
        Item::Request { csr, .. } => request_fields(csr).ok().map(|f| f.spki),
        _ => cert_fields(entry.certificate()?).ok().map(|f| f.spki),
    }
}

/// The public key of an entry, and whether its private key had to be opened for it: nothing else stands for a
/// bare key.
pub(super) fn spki_of(entry: &Entry, ctx: &Ctx<'_>) -> Result<(Option<Vec<u8>>, bool)> {
    let known = public_key_of(entry);
    match &entry.item {
        Item::Key { key, .. } if known.is_none() => Ok((spki_of_pkcs8(&key.open(ctx)?.bytes)?, true)),
        _ => Ok((known.map(<[u8]>::to_vec), false)),
    }
}

/// DNS names, e-mail addresses, URIs and IP addresses of the subject (RFC 5280 section 4.2.1.6).
fn alternative_names(fields: &CertFields<'_>) -> Vec<String> {
    let Some(value) = fields.extension(oid::SUBJECT_ALT_NAME) else { return Vec::new() };
    let Ok(list) = Reader::new(value, 0).expect(Tag::SEQUENCE, "SubjectAltName") else { return Vec::new() };
    let (mut names, mut out) = (list.reader(), Vec::new());
    while let Ok(Some(name)) = names.next() {
        match (name.tag.0, name.content) {
            (0x81 | 0x82 | 0x86, text) => out.push(String::from_utf8_lossy(text).into_owned()),
            (0x87, octets) => {
                let v4 = <[u8; 4]>::try_from(octets).map(|a| std::net::Ipv4Addr::from(a).to_string());
                let v6 = <[u8; 16]>::try_from(octets).map(|a| std::net::Ipv6Addr::from(a).to_string());
                out.extend(v4.or(v6));
            }
            _ => {}
        }
    }
    out
}

/// What a list found in one store.
#[derive(Debug)]
pub struct Listed {
    /// The store's format.
    pub format: &'static dyn Format,
    /// The rows, in file order.
    pub rows: Vec<Row>,
    /// Entries in the store, shown or not.
    pub total: usize,
    /// Objects that could not be read.
    pub defects: Vec<Arc<Error>>,
    /// What the reader had to say.
    pub warnings: Vec<String>,
}

/// Lists one store. `name` is the store as the caller named it.
pub fn list(name: &str, input: &Input<'_>, filter: &Filter) -> Result<Listed> {
    let loaded = super::load(input)?;
    let format = loaded.format;
    let entries = &loaded.store.entries;
    let asked = !(filter.dn.is_empty() && filter.subject.is_empty() && filter.issuer.is_empty());
    let store_hex = path_hex(input.source.path());
    let one = |entry: &Entry| {
        let mut row = row_in(name, format.name(), entry, filter.style);
        row.store_hex.clone_from(&store_hex);
        if let Some(hit) = asked.then(|| filter.hit(entry)).flatten() {
            (row.grade, row.whole) = (Some(hit.grade.name()), Some(hit.whole));
        }
        row
    };
    let shown = || entries.iter().filter(|e| filter.matches(e));
    let rows = shown().map(one).collect();
    let mut warnings = loaded.store.warnings;
    if filter.style == Style::Mq {
        warnings.extend(shown().flat_map(mq_warnings));
    }
    Ok(Listed { format, rows, total: entries.len(), defects: loaded.store.defects, warnings })
}

/// Why IBM MQ may not take an entry's subject as it is printed.
fn mq_warnings(entry: &Entry) -> Vec<String> {
    let Some([Some(subject), _]) = names(entry) else { return Vec::new() };
    let one = |why| format!("\"{}\": IBM MQ may not match its subject: {why}", entry.label_text());
    dn::mq_warnings(subject).into_iter().map(one).collect()
}

/// Subject and issuer of what stands for the entry, where it has them: whole `Name` elements.
pub(super) fn names(entry: &Entry) -> Option<[Option<&[u8]>; 2]> {
    match &entry.item {
        Item::Cert(_) | Item::Key { .. } => {
            let f = cert_fields(entry.certificate()?).ok()?;
            Some([Some(f.subject), Some(f.issuer)])
        }
        Item::Request { csr, .. } => Some([request_fields(csr).ok().map(|f| f.subject), None]),
        Item::Crl(crl) => Some([None, crl_issuer(crl)]),
        Item::Symmetric(_) | Item::Other { .. } => None,
    }
}

/// The issuer of a CRL (RFC 5280 section 5.1).
fn crl_issuer(crl: &[u8]) -> Option<&[u8]> {
    let outer = Reader::new(crl, 0).expect(Tag::SEQUENCE, "CertificateList").ok()?;
    let mut tbs = outer.reader().expect(Tag::SEQUENCE, "TBSCertList").ok()?.reader();
    tbs.optional(Tag::INTEGER).ok()?;
    tbs.expect(Tag::SEQUENCE, "signature").ok()?;
    tbs.expect(Tag::SEQUENCE, "issuer").ok().map(|i| i.raw)
}

/// The row of one entry, names as RFC 4514 has them.
pub fn row(store: &str, format: &'static str, entry: &Entry) -> Row {
    row_in(store, format, entry, Style::default())
}

/// The row of one entry.
pub fn row_in(store: &str, format: &'static str, entry: &Entry, style: Style) -> Row {
    let mut row = Row {
        store: store.to_owned(),
        format,
        label: entry.label.as_ref().map(|l| l.text().into_owned()),
        label_hex: entry.label.as_ref().filter(|l| l.as_str().is_none()).map(|l| hex(l.bytes())),
        kind: entry.item.kind().name(),
        default: entry.default,
        sha256: entry.object().map(|d| sha256_hex(d)),
        trust: entry.trust.as_ref().map(|t| t.purposes_at(Level::Anchor).collect()),
        distrust: entry.trust.as_ref().map(|t| t.purposes_at(Level::Distrusted).collect()),
        authenticated: entry.authenticated,
        ..Row::default()
    };
    if let Some([subject, issuer]) = names(entry) {
        row.subject = subject.map(|n| style.text(n));
        row.issuer = issuer.map(|n| style.text(n));
    }
    if let Some(f) = entry.certificate().and_then(|c| cert_fields(c).ok()) {
        row.serial = Some(hex(f.serial));
        row.not_before = time::seconds(f.not_before).map(time::rfc3339);
        row.not_after = time::seconds(f.not_after).map(time::rfc3339);
        public_key(&mut row, f.spki);
    } else if let Some(spki) = public_key_of(entry) {
        public_key(&mut row, spki);
    }
    if let Item::Key { chain, .. } = &entry.item {
        row.chain = Some(chain.iter().map(|l| sha256_hex(&l.cert)).collect());
    }
    row
}

fn public_key(row: &mut Row, spki: &[u8]) {
    row.spki_sha256 = Some(sha256_hex(spki));
    row.key = Some(spki_key_info(spki));
}

/// SHA-256 as lower-case hex: the fingerprint of the JSON contract.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
