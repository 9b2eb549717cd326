//! Entries as rows: what `list`, `show` and scripts see.

use crate::model::Entry;
use serde::Serialize;

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

/// Algorithm and size of a public key.
#[derive(Clone, Debug, Serialize)]
pub struct KeyInfo {
    /// `RSA`, `EC`, `Ed25519`, …; a dotted OID where no name is known.
    pub algorithm: String,
    /// Size in bits, where the algorithm has sizes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits: Option<u32>,
    /// The curve's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curve: Option<String>,
}

/// The row of one entry.
pub fn row(store: &str, format: &'static str, entry: &Entry) -> Row {
    Row {
        store: store.to_owned(),
        format,
        label: entry.label.as_ref().map(|l| l.text().into_owned()),
        kind: entry.item.kind().name(),
        ..Row::default()
    }
}
