//! PEM: base64 blocks between BEGIN and END lines (RFC 7468), in any order, with any text between them.
//!
//! ```text
//! Bag Attributes                          text before a block: its label and localKeyID,
//!     friendlyName: alice                 as `openssl pkcs12` writes them
//! -----BEGIN CERTIFICATE-----
//! MIIB…                                   base64 of a DER object
//! -----END CERTIFICATE-----
//! ```
//! [`decode`] cuts the text into blocks and sorts them by their words; what belongs together (a key, its
//! certificate, its chain) is found in [`crate::loose`], for the text doesn't say. [`legacy`] opens keys
//! enciphered as OpenSSL did before PKCS#8, [`aux`] reads the trust settings of `TRUSTED CERTIFICATE`.
//!
//! A folder of PEM and DER files reads as one store. Base64 of a PKCS#12 store, with or without armour,
//! as RACF exports it, is handed to that format.

mod aux;
mod decode;
mod encode;
mod legacy;
mod note;
#[cfg(test)]
mod tests;

use crate::asn1::armour;
use crate::context::Ctx;
use crate::error::Result;
use crate::format::{Carries, Format, Labels, Match, PasswordUse, TrustRange};
use crate::model::{ItemKind, Loss, Store};
use crate::place::{Probe, Source, Staging};

/// The format's name.
const NAME: &str = "pem";

/// PEM.
pub struct Pem;

impl Format for Pem {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "PEM files, one or a folder of them"
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &["pem", "crt", "cert", "arm", "key"]
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
        if probe.directory {
            return Match::Maybe;
        }
        match armour::first_label(probe.head) {
            Some((label, _)) if decode::is_known(label) => Match::Yes,
            Some(_) => Match::Maybe,
            None if armour::looks_bare(probe.head) => Match::Maybe,
            // The first block may come after pages of text, such as `openssl x509 -text` prints.
            None if is_text(probe.head) && probe.size.is_some_and(|s| s > probe.head.len() as u64) => {
                Match::Maybe
            }
            None => Match::No,
        }
    }

    fn read(&self, from: &Source, ctx: &Ctx<'_>) -> Result<Store> {
        if from.is_directory() { decode::folder(from, ctx) } else { decode::file(from, ctx) }
    }

    fn write(&self, store: &Store, _: Option<&Source>, to: &mut Staging, ctx: &Ctx<'_>) -> Result<Vec<Loss>> {
        encode::encode(store, to, ctx)
    }
}

/// Text in some encoding that extends ASCII.
fn is_text(head: &[u8]) -> bool {
    !head.is_empty() && head.iter().all(|b| *b >= b' ' || matches!(b, b'\n' | b'\r' | b'\t' | 0x0c))
}
