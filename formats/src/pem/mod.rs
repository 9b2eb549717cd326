//! PEM: any number of armoured objects in a text, or in the texts of a folder.
//!
//! ```text
//! -----BEGIN CERTIFICATE-----      X.509 certificate            also X509 CERTIFICATE
//! -----BEGIN TRUSTED CERTIFICATE   the same, then OpenSSL's trust settings
//! -----BEGIN X509 CRL              revocation list
//! -----BEGIN CERTIFICATE REQUEST   PKCS#10                      also NEW CERTIFICATE REQUEST
//! -----BEGIN PRIVATE KEY           PKCS#8                       also RSA, EC, DSA PRIVATE KEY
//! -----BEGIN ENCRYPTED PRIVATE KEY enciphered PKCS#8            also RSA … with DEK-Info
//! -----BEGIN PKCS7                 bundle of certificates       also CMS, and CERTIFICATE seen in the field
//! ```
//!
//! RFC 7468 and RFC 1421; OpenSSL 3.0 for what stands between blocks. What a block holds is told by its
//! content, the label is only a hint. Keys and certificates are paired as [`crate::loose`] says. Written
//! are, for each key, the key, its leaf and its chain; then certificates, lists and requests. A label
//! goes into a line `friendlyName:` before the block, as `openssl pkcs12` writes it.

mod decode;
mod encode;
mod folder;
mod legacy;
mod notes;
mod parts;
mod settings;
#[cfg(test)]
mod tests;

use crate::asn1::armour;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::format::{Carries, Format, Labels, Match, PasswordUse, TrustRange};
use crate::loose::Pile;
use crate::model::{ItemKind, Loss, Store};
use crate::place::{Probe, Source, Staging};

/// The format's name, as attributes and seals carry it.
const NAME: &str = "pem";

/// PEM.
pub struct Pem;

impl Format for Pem {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "PEM"
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &["pem", "arm", "crt", "key", "csr", "crl"]
    }

    fn carries(&self) -> Carries {
        Carries {
            items: &[ItemKind::Key, ItemKind::Cert, ItemKind::Request, ItemKind::Crl],
            labels: Labels::Optional,
            many: true,
            trust: TrustRange::None,
            password: PasswordUse::KeysByChoice,
            swap: true,
        }
    }

    fn detect(&self, probe: &Probe<'_>) -> Match {
        if probe.directory { Match::Maybe } else { looks_like(probe.head) }
    }

    fn read(&self, from: &Source, ctx: &Ctx<'_>) -> Result<Store> {
        let mut pile = Pile::new(NAME);
        if from.is_directory() {
            folder::read(from, &mut pile, ctx)?;
        } else {
            decode::file(from, &mut pile, ctx)?;
            if pile.found_nothing() {
                return Err(no_block(from.probe()?.head));
            }
        }
        pile.into_store(ctx)
    }

    fn write(
        &self,
        store: &Store,
        _base: Option<&Source>,
        to: &mut Staging,
        ctx: &Ctx<'_>,
    ) -> Result<Vec<Loss>> {
        encode::store(store, to, ctx)
    }
}

/// Labels of blocks that are read as more than an unknown object.
const LABELS: &[&str] = &[
    "CERTIFICATE",
    "X509 CERTIFICATE",
    "TRUSTED CERTIFICATE",
    "X509 CRL",
    "CERTIFICATE REQUEST",
    "NEW CERTIFICATE REQUEST",
    "PRIVATE KEY",
    "ENCRYPTED PRIVATE KEY",
    "RSA PRIVATE KEY",
    "EC PRIVATE KEY",
    "DSA PRIVATE KEY",
    "EC PARAMETERS",
];

/// How tools that print a certificate or a bag before its block begin (OpenSSL 1.0 to 3.0).
const PRELUDES: &[&str] =
    &["Certificate:\n", "Certificate Request:\n", "Certificate Revocation List (CRL):\n", "Bag Attributes"];

fn looks_like(head: &[u8]) -> Match {
    let text = armour::without_mark(head).trim_ascii_start();
    match armour::first_label(text) {
        Some((_, at)) if !is_text(&text[..at]) => Match::No,
        Some((label, _)) if LABELS.contains(&label) => Match::Yes,
        Some((label, _)) if label.starts_with("PGP ") => Match::No,
        Some(_) => Match::Maybe,
        None => {
            let prelude = PRELUDES.iter().any(|p| text.starts_with(p.as_bytes()));
            if (prelude && is_text(text)) || armour::looks_bare(text) { Match::Maybe } else { Match::No }
        }
    }
}

/// No control characters but those of texts; the encoding is anybody's guess.
fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| *b >= b' ' || matches!(b, b'\t' | b'\n' | b'\r' | 0x0c))
}

fn no_block(text: &[u8]) -> Error {
    let e = Error::malformed("no PEM block in it");
    if text.iter().take(64).filter(|b| **b == 0).count() > 8 {
        return e.hint("the text is UTF-16; save it as UTF-8 or ASCII");
    }
    e.hint("a block begins with -----BEGIN, five dashes on each side")
}
