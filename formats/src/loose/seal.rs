//! An enciphered PKCS#8 key on its own, opened when somebody needs it.

use crate::context::Ctx;
use crate::crypto::pbe;
use crate::error::{Error, Result};
use crate::model::{Der, KeyMaterial, Password, Seal};
use std::sync::Arc;

/// An `EncryptedPrivateKeyInfo` (RFC 5208 section 6) in a file of some format. Its raw bytes are that
/// object, whatever armour it had.
pub(crate) struct EncryptedPkcs8 {
    format: &'static str,
    body: Der,
    place: Place,
    label: Option<String>,
}

/// Where an object is, for errors.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// It stands in the file as it is, from this byte.
    At(u64),
    /// It is enciphered or armoured in the file, from this byte: places inside it can't be named.
    Near(u64),
}

impl Place {
    /// The error of something inside the object, whose offset counts from the object's begin.
    pub fn locate(self, e: Error) -> Error {
        match self {
            Place::At(at) => e.shifted(at).at(at),
            Place::Near(at) => e.without_offset().at(at),
        }
    }

    /// Where the object begins.
    pub fn start(self) -> u64 {
        match self {
            Place::At(at) | Place::Near(at) => at,
        }
    }
}

impl EncryptedPkcs8 {
    /// A key that opens with a password for `label` or for the store.
    pub fn new(format: &'static str, body: Der, place: Place, label: Option<String>) -> Self {
        EncryptedPkcs8 { format, body, place, label }
    }
}

impl Seal for EncryptedPkcs8 {
    fn format(&self) -> &'static str {
        self.format
    }

    fn raw(&self) -> Option<&[u8]> {
        Some(&self.body)
    }

    fn open(&self, ctx: &Ctx<'_>) -> Result<KeyMaterial> {
        let passwords = passwords(self.label.as_deref(), ctx)?;
        pbe::decrypt_pkcs8(&self.body, 0, &passwords, ctx).map_err(|e| self.place.locate(e))
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
