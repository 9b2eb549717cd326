//! PKCS#7 bundles of certificates and revocation lists, as DER, BER or in armour.
//!
//! See [`crate::asn1::pkcs7`] for the bytes. Armoured files have the label `PKCS7` or `CMS`; a block
//! `CERTIFICATE` that holds a bundle is read by the format pem. Labels, keys and trust have no place in
//! a bundle. Written is what `openssl crl2pkcs7` writes: a SignedData without signers, in the order of the
//! store; armoured with the option `p7b-armour`.

#[cfg(test)]
mod tests;

use crate::asn1::shape::{Shape, shape};
use crate::asn1::{armour, pkcs7};
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::format::{Carries, Format, Labels, Match, Opt, PasswordUse, TrustRange};
use crate::loose::{Note, Pile, Place, trust_loss};
use crate::model::{Der, Item, ItemKind, Loss, Store};
use crate::place::{Probe, Source, Staging};

const NAME: &str = "p7b";
const ARMOUR: &str = "p7b-armour";

/// PKCS#7.
pub struct P7b;

impl Format for P7b {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "PKCS#7 bundle"
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &["p7b", "p7c", "spc"]
    }

    fn carries(&self) -> Carries {
        Carries {
            items: &[ItemKind::Cert, ItemKind::Crl],
            labels: Labels::None,
            many: true,
            trust: TrustRange::None,
            password: PasswordUse::Never,
            swap: true,
        }
    }

    fn options(&self) -> &'static [Opt] {
        &[Opt {
            name: ARMOUR,
            values: &[("der", "binary, as Windows and most tools expect"), ("pem", "text, for OpenSSL")],
            value_name: "FORM",
            default: "der",
            help: "How a PKCS#7 bundle is written",
        }]
    }

    fn detect(&self, probe: &Probe<'_>) -> Match {
        let text = armour::without_mark(probe.head).trim_ascii_start();
        match armour::first_label(text) {
            Some(("PKCS7" | "CMS", 0)) => Match::Yes,
            Some(("PKCS7" | "CMS", at)) if !text[..at].contains(&0) => Match::Maybe,
            Some(_) => Match::No,
            None if shape(probe.head) == Some(Shape::Pkcs7) => Match::Yes,
            None => Match::No,
        }
    }

    fn read(&self, from: &Source, ctx: &Ctx<'_>) -> Result<Store> {
        let file = from.bytes()?;
        let mut pile = Pile::new(NAME);
        if shape(file) == Some(Shape::Pkcs7) {
            pile.objects(file);
            return pile.into_store(ctx);
        }
        let (mut scratch, mut any) = (Vec::new(), false);
        for block in armour::blocks(file) {
            let read = block.and_then(|b| {
                let place = Place::Near(b.at);
                if !matches!(b.label, "PKCS7" | "CMS" | "CERTIFICATE" | "X509 CRL") {
                    let text = format!("a {} block has no place in a PKCS#7 file", b.label);
                    return Err(Error::unsupported(text).at(b.at).hint("pem:FILE reads it"));
                }
                let mut bytes = vec![0; b.decoded_bound()];
                let len = b.decode(&mut scratch, &mut bytes)?;
                bytes.truncate(len);
                let der = Der::new(bytes);
                let rest = pile.object(&der, place, Note::default())?.len();
                if rest == 0 { Ok(()) } else { Err(trailing(rest).at(b.at)) }
            });
            match read {
                Ok(()) => any = true,
                Err(e) => pile.defect(e),
            }
        }
        // A bundle may be empty, a file without one is something else.
        if pile.found_nothing() && !any {
            return Err(Error::malformed("neither a PKCS#7 object nor a PKCS7 block"));
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
        let certs = || {
            store.entries.iter().filter_map(|e| match &e.item {
                Item::Cert(der) => Some(der),
                _ => None,
            })
        };
        let crls = || {
            store.entries.iter().filter_map(|e| match &e.item {
                Item::Crl(der) => Some(der),
                _ => None,
            })
        };
        let size = |of: usize, der: &Der| of + der.len();
        let (head, between, tail) = pkcs7::frame(certs().fold(0, size), crls().fold(0, size));
        let parts = std::iter::once(&head[..])
            .chain(certs().map(|d| &**d))
            .chain(std::iter::once(&between[..]))
            .chain(crls().map(|d| &**d))
            .chain(std::iter::once(&tail[..]));
        if ctx.options.get(ARMOUR) == Some("pem") {
            let whole: Vec<u8> = parts.flatten().copied().collect();
            let mut text = Vec::new();
            armour::put_block(&mut text, "PKCS7", &whole);
            to.file()?.put(&text)?;
        } else {
            for part in parts {
                to.file()?.put(part)?;
            }
        }
        Ok(store.entries.iter().filter_map(|e| trust_loss(e, "a PKCS#7 bundle")).collect())
    }
}

fn trailing(bytes: usize) -> Error {
    Error::malformed(format!("{bytes} bytes follow the PKCS#7 object"))
}
