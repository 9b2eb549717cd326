//! Keys under a password of their own, opened when somebody needs them.

use super::names;
use super::piece::Piece;
use crate::asn1::{Reader, Tag};
use crate::context::Ctx;
use crate::crypto::pbe;
use crate::error::{Error, Result};
use crate::model::{KeyMaterial, Label, Password, Seal};
use std::sync::Arc;
use zeroize::Zeroizing;

/// What the `EncryptedPrivateKeyInfo` holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Inside {
    /// A private key.
    Private,
    /// A secret key in the shape of a private one, as Java does it.
    Secret,
}

/// An `EncryptedPrivateKeyInfo` out of a bag.
pub(super) struct Shrouded {
    pub info: Piece,
    pub label: Option<Label>,
    pub inside: Inside,
}

impl Seal for Shrouded {
    fn format(&self) -> &'static str {
        super::NAME
    }

    fn raw(&self) -> Option<&[u8]> {
        Some(&self.info.bytes)
    }

    fn open(&self, ctx: &Ctx<'_>) -> Result<KeyMaterial> {
        let label = self.label.as_ref().map(|l| l.text());
        let open = || {
            let passwords = candidates(label.as_deref(), ctx)?;
            let key = pbe::decrypt_pkcs8(&self.info.bytes, self.info.at().unwrap_or(0), &passwords, ctx)?;
            match self.inside {
                Inside::Private => Ok(key),
                Inside::Secret => secret_of_pkcs8(&key.bytes),
            }
        };
        open().map_err(|e: Error| match &label {
            Some(label) => self.info.placed(e).in_entry(label.as_ref()),
            None => self.info.placed(e),
        })
    }
}

/// Passwords to try, most specific first: the key's own, the store's, those for contents in general.
fn candidates(label: Option<&str>, ctx: &Ctx<'_>) -> Result<Vec<Arc<Password>>> {
    let mut out = ctx.secrets.key(label)?;
    out.extend(ctx.secrets.store()?);
    if label.is_some() {
        out.extend(ctx.secrets.key(None)?);
    }
    without_repeats(&mut out);
    Ok(out)
}

/// Each wrong password costs a derivation, so none is tried twice.
pub(super) fn without_repeats(passwords: &mut Vec<Arc<Password>>) {
    let mut kept: Vec<Arc<Password>> = Vec::with_capacity(passwords.len());
    for p in passwords.drain(..) {
        if !kept.iter().any(|k| k.bytes() == p.bytes()) {
            kept.push(p);
        }
    }
    *passwords = kept;
}

/// The raw key and its algorithm out of Java's PKCS#8 shape: the algorithm's OID names the cipher, the
/// private key is the key's octets.
fn secret_of_pkcs8(pkcs8: &[u8]) -> Result<KeyMaterial> {
    let mut fields = Reader::new(pkcs8, 0).expect(Tag::SEQUENCE, "PrivateKeyInfo")?.reader();
    fields.expect(Tag::INTEGER, "version")?;
    let algorithm = fields.expect(Tag::SEQUENCE, "algorithm")?;
    let id = algorithm.reader().expect(Tag::OID, "algorithm")?;
    let (_, octets) = fields.octet_string("the secret key")?;
    Ok(KeyMaterial { bytes: Zeroizing::new(octets.into_owned()), algorithm: Some(names::of_oid(id.content)) })
}
