//! What the password proves and hides: the two values of the header, and the wrapping of private keys.
//!
//! With `P` the password's bytes, `H` the 48 fixed bytes, `A` and `B` the check and the integrity value,
//! `S1…Sn` the slots:
//!
//! ```text
//! format 3:     A = MD5(H ‖ P)      B = MD5(H ‖ A ‖ P) ⊕ MD5(S1 ‖ P) ⊕ … ⊕ MD5(Sn ‖ P)
//! formats 4, 6: A = HMAC(P, H)      B = HMAC(P, H ‖ A ‖ S1 ‖ … ‖ Sn)       HMAC-SHA-1, HMAC-SHA-384
//! ```
//!
//! None is iterated, so a stolen file lets passwords be tried as fast as one hashes. All verified with
//! GSKit 8.0.60.5 in both directions.

use super::layout::{FIXED, Header, Version};
use crate::asn1::{self, Reader, Tag, oid};
use crate::context::{Ctx, Session};
use crate::crypto::kdf::{self, Use};
use crate::crypto::{Cipher, Hash, pbe};
use crate::error::{Error, Kind, Result};
use crate::model::{KeyMaterial, Password};
use hmac::{Hmac, KeyInit, Mac as _};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha384};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Rounds of derivation around a key. GSKit writes 5, and goes back to 5 with its next change of the
/// password; since passwords can be tried on the check value, more would protect nothing.
const ROUNDS: u64 = 5;

/// The check value.
pub fn check_value(version: Version, password: &Password, fixed: &[u8; FIXED]) -> Vec<u8> {
    let p = password.bytes();
    match version {
        Version::V3 => Md5::new_with_prefix(fixed).chain_update(p).finalize().to_vec(),
        Version::V4 => Hash::Sha1.hmac(p, fixed),
        Version::V6 => Hash::Sha384.hmac(p, fixed),
    }
}

/// The integrity value in the making.
pub struct Integrity<'a> {
    slot: usize,
    state: State<'a>,
}

enum State<'a> {
    V3 { password: &'a [u8], sum: [u8; 16] },
    V4(Hmac<Sha1>),
    V6(Box<Hmac<Sha384>>),
}

impl<'a> Integrity<'a> {
    /// Begins with the header and the check value.
    pub fn new(header: &Header, check: &[u8], password: &'a Password) -> Result<Self> {
        let p = password.bytes();
        // HMAC takes keys of any length; the error can't be met.
        let odd = |_| Error::password("the password can't be a key");
        let state = match header.version {
            Version::V3 => {
                let sum = Md5::new_with_prefix(header.raw).chain_update(check).chain_update(p).finalize();
                State::V3 { password: p, sum: sum.into() }
            }
            Version::V4 => {
                let mac = Hmac::new_from_slice(p).map_err(odd)?;
                State::V4(mac.chain_update(header.raw).chain_update(check))
            }
            Version::V6 => {
                let mac = Hmac::new_from_slice(p).map_err(odd)?;
                State::V6(Box::new(mac.chain_update(header.raw).chain_update(check)))
            }
        };
        Ok(Integrity { slot: header.slot, state })
    }

    /// Adds whole slots.
    pub fn update(&mut self, slots: &[u8]) {
        match &mut self.state {
            State::V3 { password, sum } => {
                for slot in slots.chunks(self.slot) {
                    let digest = Md5::new_with_prefix(slot).chain_update(*password).finalize();
                    sum.iter_mut().zip(digest).for_each(|(s, d)| *s ^= d);
                }
            }
            State::V4(mac) => mac.update(slots),
            State::V6(mac) => mac.update(slots),
        }
    }

    /// The integrity value.
    pub fn finish(self) -> Vec<u8> {
        match self.state {
            State::V3 { sum, .. } => sum.to_vec(),
            State::V4(mac) => mac.finalize().into_bytes().to_vec(),
            State::V6(mac) => mac.finalize().into_bytes().to_vec(),
        }
    }
}

/// Deciphers an `EncryptedPrivateKeyInfo` that begins at `at` in the file with the first of `passwords` that
/// fits.
pub fn unwrap(epki: &[u8], at: u64, passwords: &[Arc<Password>], ctx: &Ctx<'_>) -> Result<KeyMaterial> {
    let standard = match plain_bytes(epki, at, passwords, ctx)? {
        Tried::Opened(key) => return Ok(key),
        Tried::Refused(e) => return Err(e),
        Tried::Standard => pbe::decrypt_pkcs8(epki, at, passwords, ctx),
    };
    // Some put the standard's 3DES around the password's plain bytes, and GSKit reads that too.
    match standard {
        Err(e) if e.kind() == Kind::Password => match as_3des(epki, at, oid::PBE_3DES, passwords, ctx)? {
            Some(key) => Ok(key),
            None => Err(e),
        },
        other => other,
    }
}

enum Tried {
    Opened(KeyMaterial),
    Refused(Error),
    /// Not GSKit's own scheme.
    Standard,
}

fn plain_bytes(epki: &[u8], at: u64, passwords: &[Arc<Password>], ctx: &Ctx<'_>) -> Result<Tried> {
    if algorithm(epki, at)? != oid::GSK_3DES {
        return Ok(Tried::Standard);
    }
    Ok(match as_3des(epki, at, oid::GSK_3DES, passwords, ctx)? {
        Some(key) => Tried::Opened(key),
        None if passwords.is_empty() => {
            Tried::Refused(Error::password("is enciphered, and no password was given").at(at))
        }
        None => Tried::Refused(
            Error::password("the private key can't be deciphered: it has another password, or is damaged")
                .at(at),
        ),
    })
}

/// The OID of the scheme.
fn algorithm(epki: &[u8], at: u64) -> Result<&[u8]> {
    let mut outer = Reader::new(epki, at).expect(Tag::SEQUENCE, "EncryptedPrivateKeyInfo")?.reader();
    let algorithm = outer.expect(Tag::SEQUENCE, "the encryption algorithm")?;
    Ok(algorithm.reader().expect(Tag::OID, "the encryption scheme")?.content)
}

/// 3DES under the derivation of PKCS#12, where the password enters as its plain bytes: no UTF-16, no
/// terminator. `None`: another scheme than `scheme`, or no password fits.
fn as_3des(
    epki: &[u8],
    at: u64,
    scheme: &[u8],
    passwords: &[Arc<Password>],
    ctx: &Ctx<'_>,
) -> Result<Option<KeyMaterial>> {
    let mut outer = Reader::new(epki, at).expect(Tag::SEQUENCE, "EncryptedPrivateKeyInfo")?.reader();
    let mut algorithm = outer.expect(Tag::SEQUENCE, "the encryption algorithm")?.reader();
    if algorithm.expect(Tag::OID, "the encryption scheme")?.content != scheme {
        return Ok(None);
    }
    let mut parameters = algorithm.expect(Tag::SEQUENCE, "the scheme's parameters")?.reader();
    let (_, salt) = parameters.octet_string("the salt")?;
    let rounds = parameters.expect(Tag::INTEGER, "the iteration count")?.unsigned()?;
    let (_, data) = outer.octet_string("the encrypted key")?;
    for password in passwords {
        let (key, iv) = gsk_key(password, &salt, rounds, ctx.session).map_err(|e| e.at(at))?;
        let plain = Cipher::TdesEde3.decrypt(&key, &iv, &data);
        if let Some(plain) = plain.filter(|p| pbe::is_pkcs8(p)) {
            return Ok(Some(KeyMaterial::pkcs8(plain)));
        }
    }
    Ok(None)
}

type Derived = Zeroizing<Vec<u8>>;

fn gsk_key(password: &Password, salt: &[u8], rounds: u64, session: &Session) -> Result<(Derived, Derived)> {
    let derive = |what, len| kdf::pkcs12(Hash::Sha1, what, password.bytes(), salt, rounds, len, session);
    Ok((derive(Use::Key, 24)?, derive(Use::Iv, 8)?))
}

/// Wraps a PKCS#8 key as GSKit does in this format; the result is an `EncryptedPrivateKeyInfo`.
pub fn wrap(version: Version, pkcs8: &[u8], password: &Password, session: &Session) -> Result<Vec<u8>> {
    let salt = session.rng.bytes::<8>()?;
    let (cipher, key, iv, algorithm) = match version {
        Version::V3 | Version::V4 => {
            let (key, iv) = gsk_key(password, &salt, ROUNDS, session)?;
            let parameters = asn1::tlv_of(0x30, &[&asn1::octet_string(&salt), &asn1::integer(ROUNDS)]);
            let algorithm = asn1::tlv_of(0x30, &[&asn1::oid_tlv(oid::GSK_3DES), &parameters]);
            (Cipher::TdesEde3, key, iv, algorithm)
        }
        Version::V6 => {
            let iv = Zeroizing::new(session.rng.bytes::<16>()?.to_vec());
            let cipher = Cipher::Aes256;
            let key = kdf::pbkdf2(Hash::Sha384, password.bytes(), &salt, ROUNDS, cipher.key_len(), session)?;
            let algorithm = pbes2(&salt, &iv);
            (cipher, key, iv, algorithm)
        }
    };
    let mut sealed = vec![0; cipher.sealed_len(pkcs8.len())];
    // Enciphered in place, so that no copy of the key is left behind.
    sealed.iter_mut().zip(pkcs8).for_each(|(s, p)| *s = *p);
    cipher
        .encrypt_in_place(&key, &iv, &mut sealed, pkcs8.len())
        .ok_or_else(|| Error::unsupported("the cipher can't take this"))?;
    Ok(asn1::tlv_of(0x30, &[&algorithm, &asn1::octet_string(&sealed)]))
}

/// PBES2 as GSKit writes it and reads it: HMAC-SHA-384 without a NULL (it refuses SHA-1 and SHA-512 in this
/// place), the key's length given.
fn pbes2(salt: &[u8], iv: &[u8]) -> Vec<u8> {
    let prf = asn1::tlv(0x30, &asn1::oid_tlv(Hash::Sha384.hmac_oid()));
    let parameters = [asn1::octet_string(salt), asn1::integer(ROUNDS), asn1::integer(32), prf].concat();
    let kdf = asn1::tlv_of(0x30, &[&asn1::oid_tlv(oid::PBKDF2), &asn1::tlv(0x30, &parameters)]);
    let cipher = asn1::tlv_of(0x30, &[&asn1::oid_tlv(oid::AES256_CBC), &asn1::octet_string(iv)]);
    asn1::tlv_of(0x30, &[&asn1::oid_tlv(oid::PBES2), &asn1::tlv_of(0x30, &[&kdf, &cipher])])
}
