//! DER: objects as they are, without armour.
//!
//! One file holds one object as a rule, and several one after the other where somebody joined files.
//! Read are certificates, revocation lists, PKCS#10 requests, private keys in PKCS#8 (in the clear or
//! enciphered), PKCS#1, SEC1 and OpenSSL's DSA form, and PKCS#7 bundles. Keys and certificates are paired
//! as [`crate::loose`] says. What follows the last object is a defect with its byte offset.
//!
//! Written is exactly one object: a certificate, revocation list or request, or a private key as PKCS#8
//! (enciphered if a password is given). A key has no room for its chain, which is told as a loss.

#[cfg(test)]
mod tests;

use crate::asn1::shape::{Shape, shape};
use crate::context::Ctx;
use crate::crypto::pbe;
use crate::error::{Error, Result};
use crate::format::{Carries, Format, Labels, Match, PasswordUse, TrustRange};
use crate::loose::{Pile, trust_loss};
use crate::model::{Item, ItemKind, Loss, LossKind, Secret, Store};
use crate::place::{Probe, Source, Staging};

const NAME: &str = "der";

/// DER.
pub struct DerFile;

impl Format for DerFile {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "DER"
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &["der", "cer"]
    }

    fn carries(&self) -> Carries {
        Carries {
            items: &[ItemKind::Key, ItemKind::Cert, ItemKind::Request, ItemKind::Crl],
            labels: Labels::None,
            many: false,
            trust: TrustRange::None,
            password: PasswordUse::KeysByChoice,
            swap: true,
        }
    }

    fn detect(&self, probe: &Probe<'_>) -> Match {
        match shape(probe.head) {
            Some(Shape::Pkcs7 | Shape::Pkcs12) | None => Match::No,
            // BCFKS begins like an enciphered key, and an object of one level might be anything.
            Some(Shape::EncryptedPkcs8 | Shape::PublicKey) => Match::Maybe,
            Some(_) => Match::Yes,
        }
    }

    fn read(&self, from: &Source, ctx: &Ctx<'_>) -> Result<Store> {
        let mut pile = Pile::new(NAME);
        pile.objects(from.bytes()?);
        if pile.found_nothing() {
            return Err(Error::malformed("the file is empty"));
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
        let [entry] = &store.entries[..] else {
            return Err(Error::refused(format!("a DER file holds one object, not {}", store.entries.len()))
                .hint("choose one with convert --label, or write pem, which holds all"));
        };
        let lose = |kind, detail: &str| Loss::new(kind, entry.label_text(), detail);
        let mut losses = Vec::new();
        match &entry.item {
            Item::Cert(der) => {
                losses.extend(trust_loss(entry, "DER"));
                to.file()?.put(der)?;
            }
            Item::Crl(der) => to.file()?.put(der)?,
            Item::Request { csr, key } => {
                to.file()?.put(csr)?;
                if key.is_some() {
                    losses.push(lose(LossKind::Key, "a DER file holds the request or its key, not both"));
                }
            }
            Item::Key { key, chain } => {
                put_key(key, to, ctx)?;
                if !chain.is_empty() {
                    let text =
                        format!("a DER file holds the key alone; {} certificates are left out", chain.len());
                    losses.push(lose(LossKind::Chain, &text));
                }
            }
            Item::Symmetric(_) | Item::Other { .. } => {
                return Err(Error::refused("no object that a DER file can hold"));
            }
        }
        Ok(losses)
    }
}

fn put_key(key: &Secret, to: &mut Staging, ctx: &Ctx<'_>) -> Result<()> {
    let Some(open) = key.opened() else {
        let raw = key.seal().filter(|s| s.format() == NAME).and_then(|s| s.raw());
        return to.file()?.put(raw.ok_or_else(|| Error::password("the private key is still sealed"))?);
    };
    match ctx.secrets.store()? {
        Some(password) => to.file()?.put(&pbe::encrypt_pkcs8(&open.bytes, &password, ctx)?),
        None => to.file()?.put(&open.bytes),
    }
}
