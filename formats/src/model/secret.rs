//! Keys and passwords: sealed until needed, wiped afterwards, never printed.

use crate::asn1::{Reader, Tag};
use crate::context::Ctx;
use crate::crypto::pbe::{self, Protection};
use crate::error::{Error, Result};
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use zeroize::Zeroizing;

/// A password. No `Clone`, no value in `Debug`; wiped on drop.
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Password(Zeroizing::new(bytes))
    }

    /// The bytes as given (UTF-8 for all but some kdb passwords).
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text; an error if it isn't UTF-8, for Java and PKCS#12 derive from characters.
    pub fn text(&self) -> Result<&str> {
        std::str::from_utf8(&self.0).map_err(|_| {
            Error::password("the password is not UTF-8 text")
                .hint("this format derives its keys from characters")
        })
    }

    /// UTF-16, big-endian, without a terminator: what JKS hashes and the PKCS#12 derivation begins with.
    pub fn utf16_be(&self) -> Result<Zeroizing<Vec<u8>>> {
        let text = self.text()?;
        // Sized once: growing would leave unwiped copies behind.
        let mut out = Zeroizing::new(Vec::with_capacity(text.len() * 2));
        for unit in text.encode_utf16() {
            out.extend_from_slice(&unit.to_be_bytes());
        }
        Ok(out)
    }

    /// An explicit copy.
    pub fn copy(&self) -> Self {
        Password(self.0.clone())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// A key in the clear: a PKCS#8 `PrivateKeyInfo` for private keys, raw octets for secret keys.
pub struct KeyMaterial {
    /// PKCS#8 DER, or the raw octets of a secret key.
    pub bytes: Zeroizing<Vec<u8>>,
    /// For secret keys: the algorithm's name as Java spells it ("AES", "HmacSHA256") or a dotted OID.
    pub algorithm: Option<String>,
}

impl KeyMaterial {
    /// A private key as PKCS#8.
    pub fn pkcs8(bytes: Zeroizing<Vec<u8>>) -> Self {
        KeyMaterial { bytes, algorithm: None }
    }
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyMaterial({:?}, ..)", self.algorithm)
    }
}

/// A key as its format keeps it: enciphered, or behind a token's door.
pub trait Seal: Send + Sync {
    /// The format's name.
    fn format(&self) -> &'static str;

    /// The enciphered bytes as they stand in the file. A writer of the same format may copy them when
    /// the key can't be opened and the password stays.
    fn raw(&self) -> Option<&[u8]> {
        None
    }

    /// How it is enciphered, as far as that stands in the open.
    fn protection(&self) -> Option<Protection> {
        let mut fields =
            Reader::new(self.raw()?, 0).expect(Tag::SEQUENCE, "EncryptedPrivateKeyInfo").ok()?.reader();
        pbe::protection(fields.expect(Tag::SEQUENCE, "the encryption algorithm").ok()?.raw)
    }

    /// Deciphers. `Kind::Password` when no password that `ctx` has fits.
    fn open(&self, ctx: &Ctx<'_>) -> Result<KeyMaterial>;
}

/// A private or secret key, sealed or in the clear.
pub struct Secret {
    seal: Option<Box<dyn Seal>>,
    clear: OnceLock<KeyMaterial>,
    kept: AtomicBool,
}

impl Secret {
    /// A key in the clear.
    pub fn clear(key: KeyMaterial) -> Self {
        Secret { seal: None, clear: OnceLock::from(key), kept: AtomicBool::new(false) }
    }

    /// A key that opens when it is needed.
    pub fn sealed(seal: impl Seal + 'static) -> Self {
        Secret { seal: Some(Box::new(seal)), clear: OnceLock::new(), kept: AtomicBool::new(false) }
    }

    /// The key in the clear; opened once, then kept until the store is dropped.
    pub fn open(&self, ctx: &Ctx<'_>) -> Result<&KeyMaterial> {
        if let Some(key) = self.clear.get() {
            return Ok(key);
        }
        match &self.seal {
            Some(seal) => {
                let key = seal.open(ctx)?;
                Ok(self.clear.get_or_init(|| key))
            }
            // `clear` is set by the only constructor without a seal.
            None => Err(Error::unsupported("the key has no content")),
        }
    }

    /// The key in the clear, if it is already open and is not to be kept as it stands.
    pub fn opened(&self) -> Option<&KeyMaterial> {
        self.clear.get().filter(|_| !self.is_kept())
    }

    /// From now on writers of its format put it back as it stands in its file, opened or not: a change beside
    /// it need not encipher it anew. Nothing where there are no such bytes.
    pub fn keep_sealed(&self) {
        if self.seal().is_some_and(|s| s.raw().is_some()) {
            self.kept.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it goes back as it stands in its file.
    pub fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    /// How it is sealed, if it is.
    pub fn seal(&self) -> Option<&dyn Seal> {
        self.seal.as_deref()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.clear.get(), &self.seal) {
            (Some(_), _) => "Secret(open, ..)",
            (None, Some(_)) => "Secret(sealed, ..)",
            (None, None) => "Secret(empty)",
        })
    }
}
