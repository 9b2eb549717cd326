//! Entries as rows: what `list`, `show` and scripts see.

use super::Input;
use crate::asn1::{Reader, Tag, cert_fields, request_fields};
use crate::crypto::public::{KeyInfo, spki_key_info};
use crate::error::{Error, Result};
use crate::format::Format;
use crate::model::{Entry, Item, ItemKind, Level};
use crate::query::dn::{self, Pattern};
use crate::query::time;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// One entry, in the shape and order of the JSON contract. A field the store can't know is absent.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Row {
    /// The store as the caller named it.
    pub store: String,
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
}

/// Which entries a list shows; all conditions must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Subject or issuer matches one of these.
    pub dn: Vec<Pattern>,
    /// One of these kinds; empty: any.
    pub kinds: Vec<ItemKind>,
    /// One of these labels, byte for byte; empty: any.
    pub labels: Vec<String>,
    /// Ends before this time (seconds since 1970).
    pub ends_before: Option<i64>,
}

impl Filter {
    /// Whether `entry` is shown. Looks at no more of a certificate than the conditions need.
    pub fn matches(&self, entry: &Entry) -> bool {
        if !self.kinds.is_empty() && !self.kinds.contains(&entry.item.kind()) {
            return false;
        }
        if !self.labels.is_empty() && !self.labels.iter().any(|l| entry.label_text() == l.as_str()) {
            return false;
        }
        if self.dn.is_empty() && self.ends_before.is_none() {
            return true;
        }
        let Some(names) = names(entry) else { return false };
        let by_name =
            self.dn.is_empty() || self.dn.iter().any(|p| names.iter().flatten().any(|n| p.matches(n)));
        by_name
            && self.ends_before.is_none_or(|bound| {
                let ends = entry
                    .certificate()
                    .and_then(|c| cert_fields(c).ok())
                    .and_then(|f| time::seconds(f.not_after));
                ends.is_some_and(|end| end < bound)
            })
    }
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
    let rows = entries.iter().filter(|e| filter.matches(e)).map(|e| row(name, format.name(), e)).collect();
    Ok(Listed {
        format,
        rows,
        total: entries.len(),
        defects: loaded.store.defects,
        warnings: loaded.store.warnings,
    })
}

/// Subject and issuer of what stands for the entry, where it has them: whole `Name` elements.
fn names(entry: &Entry) -> Option<[Option<&[u8]>; 2]> {
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

/// The row of one entry.
pub fn row(store: &str, format: &'static str, entry: &Entry) -> Row {
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
        row.subject = subject.map(dn::rfc4514);
        row.issuer = issuer.map(dn::rfc4514);
    }
    let spki = match &entry.item {
        Item::Request { csr, .. } => request_fields(csr).ok().map(|f| f.spki),
        _ => None,
    };
    if let Some(f) = entry.certificate().and_then(|c| cert_fields(c).ok()) {
        row.serial = Some(hex(f.serial));
        row.not_before = time::seconds(f.not_before).map(time::rfc3339);
        row.not_after = time::seconds(f.not_after).map(time::rfc3339);
        public_key(&mut row, f.spki);
    } else if let Some(spki) = spki {
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

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}

/// SHA-256 as lower-case hex: the fingerprint of the JSON contract.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
