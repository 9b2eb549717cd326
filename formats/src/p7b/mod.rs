//! PKCS#7 bundles (`.p7b`, `.p7c`): certificates and revocation lists in a `SignedData` that nobody signed
//! (RFC 2315 section 9, RFC 5652 section 5), as DER or BER, in armour or not.

#[cfg(test)]
mod tests;

use crate::asn1::armour;
use crate::asn1::pkcs7;
use crate::asn1::shape::{Shape, shape};
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::format::{Carries, Format, Labels, Match, Opt, PasswordUse, TrustRange};
use crate::loose::{Note, Pile, trust_losses};
use crate::model::{Der, Item, ItemKind, Loss, Store};
use crate::place::{Probe, Source, Staging};

const NAME: &str = "p7b";
const ARMOUR: &str = "p7b-armour";
/// The words that stand for a bundle.
const WORDS: &[&str] = &["PKCS7", "PKCS #7 SIGNED DATA", "CMS"];

/// PKCS#7 bundles.
pub struct P7b;

impl Format for P7b {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "PKCS#7 bundle of certificates"
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &["p7b", "p7c"]
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
            values: &[("der", "binary"), ("pem", "base64 in a PKCS7 block")],
            value_name: "FORM",
            default: "der",
            help: "How a PKCS#7 bundle is written",
        }]
    }

    fn detect(&self, probe: &Probe<'_>) -> Match {
        let armoured = armour::first_label(probe.head).is_some_and(|(label, _)| WORDS.contains(&label));
        if armoured || shape(probe.head) == Some(Shape::Pkcs7) { Match::Yes } else { Match::No }
    }

    fn read(&self, from: &Source, ctx: &Ctx<'_>) -> Result<Store> {
        let bytes = from.bytes()?;
        let mut pile = Pile::new(NAME);
        if shape(bytes) == Some(Shape::Pkcs7) {
            let der = Der::slice(bytes, 0..bytes.len()).unwrap_or_else(|| Der::new(Vec::new()));
            pile.bundle(&der, 0, &Note::default())?;
        } else {
            let mut scratch = Vec::new();
            for block in armour::blocks(bytes) {
                let block = block?;
                let mut der = Vec::with_capacity(block.decoded_bound());
                block.decode(&mut scratch, &mut der)?;
                if !WORDS.contains(&block.label) {
                    return Err(Error::unsupported(format!("a {} block beside a PKCS7 block", block.label))
                        .at(block.at)
                        .hint("pem:PATH reads a mixture"));
                }
                pile.bundle(&Der::new(der), 0, &Note::default())
                    .map_err(|e| e.without_offset().at(block.at))?;
            }
        }
        pile.into_store(ctx)
    }

    fn write(&self, store: &Store, _: Option<&Source>, to: &mut Staging, ctx: &Ctx<'_>) -> Result<Vec<Loss>> {
        let of = |crl: bool| {
            store.entries.iter().filter_map(move |e| match &e.item {
                Item::Cert(der) if !crl => Some(der),
                Item::Crl(der) if crl => Some(der),
                _ => None,
            })
        };
        let size = |crl| of(crl).map(|d| d.len()).sum();
        let (head, between, tail) = pkcs7::frame(size(false), size(true));
        let certificates = of(false).map(|d| &**d);
        let lists = of(true).map(|d| &**d);
        let parts = std::iter::once(&head[..])
            .chain(certificates)
            .chain([&between[..]])
            .chain(lists)
            .chain([&tail[..]]);
        if ctx.options.get(ARMOUR) == Some("pem") {
            let der: Vec<u8> = parts.flatten().copied().collect();
            to.file()?.put(&armour::block("PKCS7", &der))?;
        } else {
            for part in parts {
                to.file()?.put(part)?;
            }
        }
        Ok(store.entries.iter().filter_map(|e| trust_losses(e, NAME)).collect())
    }
}
