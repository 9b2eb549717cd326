//! DER: one object, or several one after the other: certificates, revocation lists, requests, private keys
//! (PKCS#8 in the clear or enciphered, PKCS#1, SEC 1, DSA).
//!
//! What an object is, its first headers say ([`crate::asn1::shape`]). Bytes after the last object are a
//! defect with their offset. Written is exactly one object; a key goes as PKCS#8, enciphered when there is
//! a password, without its chain, which DER has no place for.

#[cfg(test)]
mod tests;

use crate::asn1::shape::{Shape, shape};
use crate::context::Ctx;
use crate::crypto::pbe::encrypt_pkcs8;
use crate::error::{Error, Result};
use crate::format::{Carries, Format, Labels, Match, PasswordUse, TrustRange};
use crate::loose::{Note, Pile, trust_losses};
use crate::model::{Der, Item, ItemKind, Loss, Secret, Store};
use crate::place::{Probe, Source, Staging};
use zeroize::Zeroizing;

const NAME: &str = "der";

/// DER.
pub struct DerFile;

impl Format for DerFile {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "DER, one object"
    }

    fn suffixes(&self) -> &'static [&'static str] {
        &["der", "cer", "crl", "csr", "p8", "pk8"]
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

    fn keeps_chains(&self) -> bool {
        false
    }

    fn detect(&self, probe: &Probe<'_>) -> Match {
        match shape(probe.head) {
            None | Some(Shape::Pkcs7 | Shape::Pkcs12) => Match::No,
            Some(_) => Match::Maybe,
        }
    }

    fn read(&self, from: &Source, ctx: &Ctx<'_>) -> Result<Store> {
        let bytes = from.bytes()?;
        let mut pile = Pile::new(NAME);
        let mut rest = Der::slice(bytes, 0..bytes.len()).unwrap_or_else(|| Der::new(Vec::new()));
        while !rest.is_empty() {
            if shape(&rest).is_some_and(Shape::is_clear_key) {
                bytes.wipe_on_drop();
            }
            let at = (bytes.len() - rest.len()) as u64;
            match pile.object(&rest, Some(at), Note::default()).map(|after| rest.part(after)) {
                Ok(Some(after)) => rest = after,
                Ok(None) => break,
                // Where one object can't be read there is no telling where the next begins.
                Err(e) => {
                    pile.defect(e);
                    break;
                }
            }
        }
        if pile.is_empty() && bytes.is_empty() {
            return Err(Error::malformed("the file is empty"));
        }
        pile.into_store(ctx)
    }

    fn write(&self, store: &Store, _: Option<&Source>, to: &mut Staging, ctx: &Ctx<'_>) -> Result<Vec<Loss>> {
        let Some(entry) = store.entries.first() else {
            return Err(Error::refused("there is nothing to write: der holds one object"));
        };
        match &entry.item {
            Item::Key { key, .. } => to.file()?.put(&private_key(key, ctx)?)?,
            Item::Cert(der) | Item::Crl(der) | Item::Request { csr: der, .. } => to.file()?.put(der)?,
            Item::Symmetric(_) | Item::Other { .. } => {
                return Err(Error::unsupported("der has no place for it"));
            }
        }
        Ok(trust_losses(entry, NAME).into_iter().collect())
    }
}

fn private_key(key: &Secret, ctx: &Ctx<'_>) -> Result<Zeroizing<Vec<u8>>> {
    let Some(open) = key.opened() else {
        let raw = key.seal().filter(|s| s.format() == NAME).and_then(|s| s.raw());
        return raw
            .map(|r| Zeroizing::new(r.to_vec()))
            .ok_or_else(|| Error::password("the private key is still sealed"));
    };
    let own = ctx.secrets.key(None)?.into_iter().next();
    let password = match own {
        Some(own) => Some(own),
        None => ctx.secrets.store()?,
    };
    Ok(match password {
        Some(password) => Zeroizing::new(encrypt_pkcs8(&open.bytes, &password, ctx)?),
        None => open.bytes.clone(),
    })
}
