//! Entries into text.

use super::{notes, settings};
use crate::asn1::armour;
use crate::context::Ctx;
use crate::crypto::pbe::{Keyer, ROUNDS, Recipe};
use crate::error::{Error, Result};
use crate::loose::{NOBODYS, trust_loss};
use crate::model::{Der, Entry, Item, Label, Link, Loss, LossKind, Secret, Store, Trust};
use crate::place::{PIECE, Staging};
use sha1::{Digest, Sha1};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Writes the entries: keys with their chains, then certificates, revocation lists and requests.
pub(super) fn store(store: &Store, to: &mut Staging, ctx: &Ctx<'_>) -> Result<Vec<Loss>> {
    if store.entries.is_empty() {
        // It would be an empty file, which no reader takes for a store.
        return Err(Error::refused("there is nothing to write, and PEM has no empty store"));
    }
    let mut out = Writer { to, text: Vec::with_capacity(PIECE + PIECE / 8), keyer: None, asked: false, ctx };
    let mut losses = Vec::new();
    let keys = store.entries.iter().filter(|e| matches!(e.item, Item::Key { .. })).count();
    for kind in 0..4 {
        for entry in store.entries.iter().filter(|e| order(&e.item) == kind) {
            out.entry(entry, &mut losses)?;
            if entry.default {
                let kind = if keys == 1 { LossKind::Note } else { LossKind::Default };
                losses.push(Loss::new(kind, entry.label_text(), "PEM marks no key as the default"));
            }
        }
    }
    out.flush()?;
    Ok(losses)
}

fn order(item: &Item) -> u8 {
    match item {
        Item::Key { .. } => 0,
        Item::Cert(_) => 1,
        Item::Crl(_) => 2,
        _ => 3,
    }
}

struct Writer<'w, 'c> {
    to: &'w mut Staging,
    /// Nothing secret stands in it.
    text: Vec<u8>,
    /// Enciphers keys; made when the first is written, so that all share one derivation.
    keyer: Option<Keyer>,
    asked: bool,
    ctx: &'w Ctx<'c>,
}

impl Writer<'_, '_> {
    fn entry(&mut self, entry: &Entry, losses: &mut Vec<Loss>) -> Result<()> {
        let label = entry.label.as_ref();
        let lose = |kind, detail: &str| Loss::new(kind, entry.label_text(), detail);
        match &entry.item {
            Item::Key { key, chain } => {
                if entry.trust.as_ref().is_some_and(Trust::distrusts) {
                    losses
                        .push(lose(LossKind::Trust, "PEM can't say that a key's certificate is distrusted"));
                }
                self.key(key, label, chain)
            }
            Item::Cert(cert) => {
                if !self.certificate(entry, cert)? {
                    losses.extend(trust_loss(entry, "PEM"));
                }
                Ok(())
            }
            Item::Crl(crl) => self.object(armour_label::CRL, crl, label, None),
            Item::Request { csr, key } => {
                let mut id = None;
                if let Some(key) = key {
                    id = self.hides(key)?.then(|| Sha1::digest(&**csr));
                    self.secret(key, label, id.as_deref())?;
                }
                self.object(armour_label::REQUEST, csr, label, id.as_deref())
            }
            // Not carried, so none comes; told all the same rather than dropped.
            Item::Symmetric(_) => {
                losses.push(lose(LossKind::Secret, "PEM holds no secret keys"));
                Ok(())
            }
            Item::Other { what, .. } => {
                losses.push(lose(LossKind::Other, &format!("PEM holds no {what}")));
                Ok(())
            }
        }
    }

    /// A key, its leaf, the rest of its chain.
    fn key(&mut self, key: &Arc<Secret>, label: Option<&Label>, chain: &[Link]) -> Result<()> {
        // A localKeyID pairs keys that a reader can't look into; a plain key with no label needs no ornament.
        let hidden = self.hides(key)?;
        let Some((leaf, issuers)) = chain.split_first() else {
            return self.secret(key, label, hidden.then_some(NOBODYS));
        };
        // OpenSSL's own choice.
        let id = Sha1::digest(&*leaf.cert);
        let id = (label.is_some() || hidden).then_some(&id[..]);
        self.secret(key, label, id)?;
        let leaf_label = label.map(|own| leaf.label.as_ref().unwrap_or(own));
        self.object(armour_label::CERTIFICATE, &leaf.cert, leaf_label, id)?;
        for issuer in issuers {
            self.object(armour_label::CERTIFICATE, &issuer.cert, issuer.label.as_ref(), None)?;
        }
        Ok(())
    }

    fn secret(&mut self, key: &Secret, label: Option<&Label>, key_id: Option<&[u8]>) -> Result<()> {
        notes::put(&mut self.text, label, key_id);
        if let Some(open) = key.opened() {
            if self.enciphers()?
                && let Some(keyer) = &self.keyer
            {
                let keyed = keyer.next(self.ctx.session)?;
                // The key is enciphered in place, so it stands in here for a moment.
                let mut sealed = Zeroizing::new(Vec::with_capacity(keyed.pkcs8_len(open.bytes.len())));
                keyed.put_pkcs8(&open.bytes, &mut sealed)?;
                return self.put(armour_label::ENCRYPTED, &sealed);
            }
            self.flush()?;
            return self.to.file()?.put(&armour::block(armour_label::KEY, &open.bytes));
        }
        let raw = key.seal().filter(|s| s.format() == super::NAME).and_then(|s| s.raw());
        match raw {
            Some(block) if block.starts_with(b"-----") => {
                self.text.extend_from_slice(block);
                self.text.push(b'\n');
                self.flush_if_full()
            }
            Some(der) => self.put(armour_label::ENCRYPTED, der),
            None => Err(Error::password("the private key is still sealed")),
        }
    }

    /// True: its trust was written too.
    fn certificate(&mut self, entry: &Entry, cert: &Der) -> Result<bool> {
        let label = entry.label.as_ref();
        // Settings that nobody touched go back as they came.
        let kept = entry.attr(super::NAME, settings::ATTR).and_then(|raw| {
            let said = settings::read(raw, cert).ok()?;
            (said.trust == entry.trust).then_some((raw, said.label))
        });
        match kept {
            Some((raw, alias)) => {
                let label = label.filter(|l| Some(*l) != alias.as_ref());
                self.object(armour_label::TRUSTED, &[cert, raw].concat(), label, None)?;
                Ok(true)
            }
            None => self.object(armour_label::CERTIFICATE, cert, label, None).map(|()| false),
        }
    }

    fn object(&mut self, name: &str, der: &[u8], label: Option<&Label>, key_id: Option<&[u8]>) -> Result<()> {
        notes::put(&mut self.text, label, key_id);
        self.put(name, der)
    }

    fn put(&mut self, name: &str, der: &[u8]) -> Result<()> {
        armour::put_block(&mut self.text, name, der);
        self.flush_if_full()
    }

    /// Whether a key will stand enciphered in the text.
    fn hides(&mut self, key: &Secret) -> Result<bool> {
        Ok(self.enciphers()? || key.opened().is_none())
    }

    /// Whether keys are enciphered: by choice of whoever gives the password.
    fn enciphers(&mut self) -> Result<bool> {
        if !self.asked {
            self.asked = true;
            if let Some(password) = self.ctx.secrets.store()? {
                self.keyer = Some(Keyer::new(Recipe::AES256_SHA256, &password, ROUNDS, self.ctx.session)?);
            }
        }
        Ok(self.keyer.is_some())
    }

    fn flush_if_full(&mut self) -> Result<()> {
        if self.text.len() < PIECE { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<()> {
        self.to.file()?.put(&self.text)?;
        self.text.clear();
        Ok(())
    }
}

/// Labels that we write.
mod armour_label {
    pub const CERTIFICATE: &str = "CERTIFICATE";
    pub const TRUSTED: &str = "TRUSTED CERTIFICATE";
    pub const CRL: &str = "X509 CRL";
    pub const REQUEST: &str = "CERTIFICATE REQUEST";
    pub const KEY: &str = "PRIVATE KEY";
    pub const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
}
