//! Private keys enciphered the old way, by headers of RFC 1421 instead of PKCS#8.
//!
//! ```text
//! Proc-Type: 4,ENCRYPTED
//! DEK-Info: AES-256-CBC,<the initial vector in hex>
//!
//! D1 = MD5(password ‖ salt), Dn = MD5(D(n-1) ‖ password ‖ salt); key = D1 ‖ D2 …; salt = first 8 bytes of the vector
//! ```
//!
//! OpenSSL's `EVP_BytesToKey` with one round (verified on files of 3.0.19). There is no integrity: a wrong
//! password may give bytes that are padded right, so only what reads as a key is accepted.

use crate::asn1::armour::Block;
use crate::asn1::{oid, pkcs8};
use crate::context::{Ctx, Session};
use crate::crypto::Cipher;
use crate::error::{Error, Result};
use crate::loose::{Note, passwords};
use crate::model::{Der, KeyMaterial, Password, Seal};
use md5::{Digest, Md5};
use zeroize::Zeroizing;

/// Names in `DEK-Info`, as OpenSSL spells ciphers.
const CIPHERS: &[(&str, Cipher)] = &[
    ("DES-CBC", Cipher::Des),
    ("DES-EDE-CBC", Cipher::TdesEde2),
    ("DES-EDE3-CBC", Cipher::TdesEde3),
    ("AES-128-CBC", Cipher::Aes128),
    ("AES-192-CBC", Cipher::Aes192),
    ("AES-256-CBC", Cipher::Aes256),
    ("CAMELLIA-128-CBC", Cipher::Camellia128),
    ("CAMELLIA-192-CBC", Cipher::Camellia192),
    ("CAMELLIA-256-CBC", Cipher::Camellia256),
    ("RC2-40-CBC", Cipher::Rc2 { key_len: 5, bits: 40 }),
    ("RC2-64-CBC", Cipher::Rc2 { key_len: 8, bits: 64 }),
    ("RC2-CBC", Cipher::Rc2 { key_len: 16, bits: 128 }),
];

/// A key enciphered by headers. Its raw bytes are the whole block.
pub(super) struct LegacyKey {
    block: Der,
    body: Der,
    /// `Err` holds what the headers said that isn't known: told when the key is opened, for the block can
    /// be moved without that.
    cipher: Result<(Cipher, Vec<u8>), String>,
    at: u64,
    label: Option<String>,
    curve: Option<Vec<u8>>,
}

/// Whether a block's headers say that it is enciphered.
pub(super) fn is_enciphered(block: &Block<'_>) -> bool {
    block.header("Proc-Type").is_some_and(|v| v.contains("ENCRYPTED")) || block.header("DEK-Info").is_some()
}

/// The algorithm that the block's label names.
pub(super) fn algorithm(label: &str) -> Option<&'static [u8]> {
    match label {
        "RSA PRIVATE KEY" => Some(oid::RSA),
        "EC PRIVATE KEY" => Some(oid::EC),
        "DSA PRIVATE KEY" => Some(oid::DSA),
        _ => None,
    }
}

/// The cipher and initial vector that the headers name.
pub(super) fn cipher(block: &Block<'_>) -> Result<(Cipher, Vec<u8>), String> {
    let info = block.header("DEK-Info").ok_or("no DEK-Info header names the cipher")?;
    let (name, vector) = info.split_once(',').ok_or("the DEK-Info header has no initial vector")?;
    let name = name.trim();
    let known = CIPHERS.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
    let (_, cipher) = known.ok_or_else(|| format!("the cipher {name} is not supported"))?;
    let vector = super::notes::hex(vector.as_bytes()).filter(|v| v.len() == cipher.iv_len());
    Ok((*cipher, vector.ok_or("the initial vector in the DEK-Info header does not fit its cipher")?))
}

impl LegacyKey {
    /// A key from its parts: the whole block, what it decodes to, and what its headers said.
    pub fn new(
        block: Der,
        body: Der,
        cipher: Result<(Cipher, Vec<u8>), String>,
        at: u64,
        note: &Note,
    ) -> Self {
        let label = note.label.as_ref().map(|l| l.text().into_owned());
        LegacyKey { block, body, cipher, at, label, curve: note.curve.clone() }
    }

    fn try_password(&self, password: &Password, session: &Session) -> Result<Option<KeyMaterial>> {
        let (cipher, vector) = self.cipher.as_ref().map_err(|e| Error::unsupported(e.clone()))?;
        let key = key(*cipher, vector, password, session)?;
        let plain = cipher.decrypt(&key, vector, &self.body);
        let pkcs8 = plain.and_then(|p| pkcs8::to_pkcs8(&p, self.curve.as_deref()).ok().flatten());
        Ok(pkcs8.map(KeyMaterial::pkcs8))
    }
}

impl Seal for LegacyKey {
    fn format(&self) -> &'static str {
        super::NAME
    }

    fn raw(&self) -> Option<&[u8]> {
        Some(&self.block)
    }

    fn open(&self, ctx: &Ctx<'_>) -> Result<KeyMaterial> {
        let passwords = passwords(self.label.as_deref(), ctx).map_err(|e| e.at(self.at))?;
        for password in passwords {
            if let Some(key) = self.try_password(&password, ctx.session).map_err(|e| e.at(self.at))? {
                return Ok(key);
            }
        }
        Err(Error::password("the password is wrong, or the enciphered key is damaged").at(self.at))
    }
}

fn key(cipher: Cipher, vector: &[u8], password: &Password, session: &Session) -> Result<Zeroizing<Vec<u8>>> {
    let salt = vector.get(..8).unwrap_or(vector);
    let len = cipher.key_len();
    session.budget.spend(len.div_ceil(16) as u64)?;
    // Room for a whole digest beyond, so that it never grows.
    let mut key = Zeroizing::new(Vec::with_capacity(len + 16));
    while key.len() < len {
        let last = key.len().saturating_sub(16);
        let mut hash = Md5::new();
        hash.update(&key[last..]);
        hash.update(password.bytes());
        hash.update(salt);
        key.extend_from_slice(&hash.finalize());
    }
    key.truncate(len);
    Ok(key)
}
