//! Private keys enciphered inside the armour, as OpenSSL did before PKCS#8.
//!
//! ```text
//! Proc-Type: 4,ENCRYPTED
//! DEK-Info: AES-256-CBC,<vector in hex>
//! ```
//! Key = D1‖D2‖…, D1 = MD5(password ‖ first 8 bytes of the vector), Dn = MD5(Dn-1 ‖ password ‖ those 8
//! bytes): `EVP_BytesToKey` with one round (checked against OpenSSL 3.0). There is no integrity check, so a
//! wrong password shows only in what comes out.

use crate::asn1::armour::Block;
use crate::asn1::pkcs8;
use crate::context::Ctx;
use crate::crypto::Cipher;
use crate::error::{Error, Result};
use crate::loose::passwords;
use crate::model::{Der, KeyMaterial, Password, Seal};
use md5::{Digest, Md5};
use zeroize::Zeroizing;

const CIPHERS: &[(&str, Cipher)] = &[
    ("DES-EDE3-CBC", Cipher::TdesEde3),
    ("AES-128-CBC", Cipher::Aes128),
    ("AES-192-CBC", Cipher::Aes192),
    ("AES-256-CBC", Cipher::Aes256),
    ("DES-CBC", Cipher::Des),
];

/// A key in such a block.
pub(super) struct LegacyKey {
    /// The enciphered octets.
    pub body: Vec<u8>,
    /// The block as it stands, for copying.
    pub raw: Der,
    /// Where the block begins.
    pub at: u64,
    pub label: Option<String>,
    pub curve: Option<Vec<u8>>,
    cipher: Cipher,
    iv: Vec<u8>,
}

impl LegacyKey {
    /// From a block whose headers say that it is enciphered.
    pub fn new(
        block: &Block<'_>,
        body: Vec<u8>,
        raw: Der,
        label: Option<String>,
        curve: Option<Vec<u8>>,
    ) -> Result<Self> {
        let at = block.at;
        let info = block
            .header("DEK-Info")
            .ok_or_else(|| Error::malformed("an enciphered key without DEK-Info").at(at))?;
        let (name, iv) = info.split_once(',').unwrap_or((info, ""));
        let cipher = CIPHERS.iter().find(|(n, _)| n.eq_ignore_ascii_case(name.trim())).map(|(_, c)| *c);
        let cipher = cipher.ok_or_else(|| {
            Error::unsupported(format!("a key enciphered with {}", name.trim()))
                .hint("convert it with openssl pkey first")
                .at(at)
        })?;
        let iv = from_hex(iv.trim()).filter(|iv| iv.len() == cipher.iv_len());
        let iv =
            iv.ok_or_else(|| Error::malformed("a vector in DEK-Info that does not fit its cipher").at(at))?;
        Ok(LegacyKey { body, raw, at, label, curve, cipher, iv })
    }

    fn try_open(&self, password: &Password) -> Option<Zeroizing<Vec<u8>>> {
        let plain = self.cipher.decrypt(&self.key(password), &self.iv, &self.body)?;
        // Padding fits by chance one time in 256; a key does not.
        pkcs8::to_pkcs8(&plain, self.curve.as_deref()).ok().flatten()
    }

    fn key(&self, password: &Password) -> Zeroizing<Vec<u8>> {
        let len = self.cipher.key_len();
        let mut key = Zeroizing::new(Vec::with_capacity(len + 16));
        let mut last = Zeroizing::new([0u8; 16]);
        while key.len() < len {
            let mut hash = Md5::new();
            if !key.is_empty() {
                hash.update(*last);
            }
            hash.update(password.bytes());
            hash.update(self.iv.get(..8).unwrap_or(&self.iv));
            last.copy_from_slice(&hash.finalize());
            key.extend_from_slice(&*last);
        }
        key.truncate(len);
        key
    }
}

impl Seal for LegacyKey {
    fn format(&self) -> &'static str {
        super::NAME
    }

    fn raw(&self) -> Option<&[u8]> {
        Some(&self.raw)
    }

    fn open(&self, ctx: &Ctx<'_>) -> Result<KeyMaterial> {
        let passwords = passwords(self.label.as_deref(), ctx)?;
        passwords
            .iter()
            .find_map(|p| self.try_open(p))
            .map(KeyMaterial::pkcs8)
            .ok_or_else(|| Error::password("no password that was given opens the private key").at(self.at))
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    (digits.len() % 2 == 0).then(|| digits.chunks_exact(2).map(|d| d[0] << 4 | d[1]).collect())
}
