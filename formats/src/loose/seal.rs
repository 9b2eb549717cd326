//! An enciphered PKCS#8 key on its own, opened when somebody needs it.

use crate::context::Ctx;
use crate::crypto::pbe;
use crate::error::{Error, Result};
use crate::model::{Der, KeyMaterial, Password, Seal};
use std::sync::Arc;

/// An `EncryptedPrivateKeyInfo` (RFC 5208 section 6) in a file of some format.
pub(crate) struct EncryptedPkcs8 {
    format: &'static str,
    /// What the format's writer may copy.
    raw: Der,
    /// The DER object.
    body: Der,
    /// Where the object begins, if it is in the file as it stands.
    at: Option<u64>,
    /// The offset for errors where it isn't.
    near: Option<u64>,
    label: Option<String>,
}

impl EncryptedPkcs8 {
    /// A key that stands in the file as the DER object that it is.
    pub fn new(format: &'static str, body: Der, at: Option<u64>, label: Option<String>) -> Self {
        EncryptedPkcs8 { format, raw: body.clone(), body, at, near: None, label }
    }

    /// A key in armour: `raw` is its block, which begins at `near`.
    pub fn armoured(format: &'static str, body: Der, raw: Der, near: u64, label: Option<String>) -> Self {
        EncryptedPkcs8 { format, raw, body, at: None, near: Some(near), label }
    }
}

impl Seal for EncryptedPkcs8 {
    fn format(&self) -> &'static str {
        self.format
    }

    fn raw(&self) -> Option<&[u8]> {
        Some(&self.raw)
    }

    fn open(&self, ctx: &Ctx<'_>) -> Result<KeyMaterial> {
        let passwords = passwords(self.label.as_deref(), ctx)?;
        let opened = pbe::decrypt_pkcs8(&self.body, self.at.unwrap_or(0), &passwords, ctx);
        opened.map_err(|e| match self.at {
            Some(_) => e,
            None => e.without_offset().at_if(self.near),
        })
    }
}

/// The passwords to try for a key: those given for it, then the store's. An error when there is none.
pub(crate) fn passwords(label: Option<&str>, ctx: &Ctx<'_>) -> Result<Vec<Arc<Password>>> {
    let mut passwords = ctx.secrets.key(label)?;
    passwords.extend(ctx.secrets.store()?);
    if passwords.is_empty() {
        return Err(Error::password("the private key is enciphered, and no password was given"));
    }
    Ok(passwords)
}
