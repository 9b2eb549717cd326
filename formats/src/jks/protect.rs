//! Integrity and key protection: the store's digest, JKS's key protector, JCEKS's PBE.
//!
//! None of the three is strong. The digest and JKS's protector cost an attacker one SHA-1 a guess;
//! JCEKS's iterates MD5. They are what Java reads.
//!
//! ```text
//! EncryptedPrivateKeyInfo ::= SEQUENCE { SEQUENCE { OID, parameters }, OCTET STRING }      RFC 5208
//! JKS    1.3.6.1.4.1.42.2.17.1.1  NULL; salt (20) ‖ PKCS#8 XOR keystream ‖ SHA-1(password ‖ PKCS#8)
//! JCEKS  1.3.6.1.4.1.42.2.19.1    SEQUENCE { OCTET STRING salt (8), INTEGER count }; 3DES-CBC
//! ```
//!
//! Sources: `sun.security.provider.KeyProtector`, `com.sun.crypto.provider.KeyProtector` and
//! `PBES1Core` as JDK 11, 17 and 25 behave (their files open here, files made here open there).

use super::layout::JCEKS;
use super::serial::{self, Sealed};
use crate::asn1::{Reader, Tag, Tlv, integer, octet_string, oid, oid_tlv, tlv_of};
use crate::context::{Ctx, Rng};
use crate::error::{Error, Result};
use crate::model::{KeyMaterial, Password};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use des::TdesEde3;
use md5::Md5;
use sha1::{Digest, Sha1};
use std::borrow::Cow;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The JDK's count since 2018.
pub const ITERATIONS: u32 = 200_000;
/// What the JDK's `jdk.jceks.iterationCount` admits (JDK 17: anything else falls back to the default).
pub const ITERATION_RANGE: std::ops::RangeInclusive<u32> = 10_000..=5_000_000;

/// The constant between password and content of the store's digest.
const WHITENER: &[u8] = b"Mighty Aphrodite";
const SHA1_LEN: usize = 20;
const PBE_SALT_LEN: usize = 8;

/// The store's digest, ready for the bytes before it: SHA-1(password in UTF-16 ‖ whitener ‖ …).
pub fn store_digest(password: &Password) -> Result<Sha1> {
    let mut digest = Sha1::new();
    digest.update(password.utf16_be()?.as_slice());
    digest.update(WHITENER);
    Ok(digest)
}

/// Deciphers the protected private key `body`, which begins at `at` in the file.
/// `Kind::Password` when the password doesn't fit.
pub fn open_private(body: &[u8], at: u64, password: &Password, ctx: &Ctx<'_>) -> Result<KeyMaterial> {
    let envelope = Envelope::parse(body, at)?;
    let key = match envelope.algorithm {
        oid::JKS_KEY_PROTECTOR => unmask(&envelope, password)?,
        oid::JCEKS_PBE => {
            let cipher = envelope.parameters.ok_or_else(|| no_parameters(at))?;
            let key = Pbe::parse(cipher)?.decipher(&envelope.data, password, ctx)?;
            if !is_pkcs8(&key) {
                return Err(wrong());
            }
            key
        }
        other => {
            return Err(Error::unsupported(format!("a key protected with {}", oid::dotted(other))).at(at));
        }
    };
    Ok(KeyMaterial::pkcs8(key))
}

/// Deciphers a secret key's sealed object, which begins at `at` in the file.
pub fn open_secret(sealed: &Sealed<'_>, at: u64, password: &Password, ctx: &Ctx<'_>) -> Result<KeyMaterial> {
    if sealed.algorithm != serial::ALGORITHM.as_bytes() {
        let name = String::from_utf8_lossy(sealed.algorithm);
        return Err(Error::unsupported(format!("a secret key sealed with {name}")).at(at));
    }
    let parameters = Reader::new(sealed.parameters, 0)
        .any("PBE parameters")
        .and_then(Pbe::parse)
        // They lie somewhere inside the stream.
        .map_err(|e| e.without_offset().at(at))?;
    let stream = parameters.decipher(sealed.content, password, ctx)?;
    if !serial::is_stream(&stream) {
        return Err(wrong());
    }
    let key = serial::secret_key(&stream).map_err(|e| e.at(at))?;
    Ok(KeyMaterial { bytes: Zeroizing::new(key.octets.to_vec()), algorithm: Some(key.algorithm) })
}

/// A private key as JKS protects it.
pub fn mask_private(pkcs8: &[u8], password: &Password, rng: &Rng) -> Result<Vec<u8>> {
    let password = password.utf16_be()?;
    let salt: [u8; SHA1_LEN] = rng.bytes()?;
    let mut masked = pkcs8.to_vec();
    keystream(&password, salt, &mut masked);
    let data = [&salt[..], &masked, &check(&password, pkcs8)].concat();
    Ok(envelope(oid::JKS_KEY_PROTECTOR, &[0x05, 0x00], &data))
}

/// A private key as JCEKS protects it.
pub fn seal_private(pkcs8: &[u8], password: &Password, iterations: u32, ctx: &Ctx<'_>) -> Result<Vec<u8>> {
    let cipher = Pbe::fresh(iterations, &ctx.session.rng)?;
    let data = cipher.encipher(pkcs8, password, ctx)?;
    Ok(envelope(oid::JCEKS_PBE, &cipher.parameters(), &data))
}

/// A secret key as JCEKS seals it: a Java object stream.
pub fn seal_secret(
    algorithm: &str,
    octets: &[u8],
    password: &Password,
    iterations: u32,
    ctx: &Ctx<'_>,
) -> Result<Vec<u8>> {
    let cipher = Pbe::fresh(iterations, &ctx.session.rng)?;
    let data = cipher.encipher(&serial::put_secret_key(algorithm, octets), password, ctx)?;
    Ok(serial::put_sealed_object(&cipher.parameters(), &data))
}

fn wrong() -> Error {
    Error::password("the key's password is wrong, or the key is damaged")
}

fn no_parameters(at: u64) -> Error {
    Error::malformed("the key's protection has no parameters").at(at)
}

/// A parsed `EncryptedPrivateKeyInfo`.
struct Envelope<'a> {
    algorithm: &'a [u8],
    parameters: Option<Tlv<'a>>,
    data: Cow<'a, [u8]>,
    data_at: u64,
}

impl<'a> Envelope<'a> {
    fn parse(body: &'a [u8], at: u64) -> Result<Self> {
        let mut fields = Reader::new(body, at).expect(Tag::SEQUENCE, "EncryptedPrivateKeyInfo")?.reader();
        let mut algorithm = fields.expect(Tag::SEQUENCE, "encryptionAlgorithm")?.reader();
        let id = algorithm.expect(Tag::OID, "algorithm")?.content;
        let parameters = algorithm.next()?;
        let (tlv, data) = fields.octet_string("encryptedData")?;
        Ok(Envelope { algorithm: id, parameters, data, data_at: tlv.content_at })
    }
}

fn envelope(algorithm: &[u8], parameters: &[u8], data: &[u8]) -> Vec<u8> {
    let algorithm = tlv_of(0x30, &[&oid_tlv(algorithm), parameters]);
    tlv_of(0x30, &[&algorithm, &octet_string(data)])
}

/// JKS's key protector, backwards.
fn unmask(envelope: &Envelope<'_>, password: &Password) -> Result<Zeroizing<Vec<u8>>> {
    let parts = envelope.data.split_first_chunk::<SHA1_LEN>();
    let parts = parts.and_then(|(salt, rest)| rest.split_last_chunk::<SHA1_LEN>().map(|(m, c)| (salt, m, c)));
    let Some((salt, masked, sum)) = parts else {
        return Err(Error::malformed("the protected key is shorter than salt and check").at(envelope.data_at));
    };
    let password = password.utf16_be()?;
    let mut plain = Zeroizing::new(masked.to_vec());
    keystream(&password, *salt, &mut plain);
    if bool::from(check(&password, &plain).ct_eq(sum)) { Ok(plain) } else { Err(wrong()) }
}

/// XORs with SHA-1(password ‖ salt), SHA-1(password ‖ the block before), …
fn keystream(password: &[u8], salt: [u8; SHA1_LEN], data: &mut [u8]) {
    let mut block = Zeroizing::new(salt);
    for chunk in data.chunks_mut(SHA1_LEN) {
        *block = Sha1::new().chain_update(password).chain_update(*block).finalize().into();
        chunk.iter_mut().zip(block.iter()).for_each(|(d, k)| *d ^= k);
    }
}

/// SHA-1(password ‖ plain key), by which a right password is known.
fn check(password: &[u8], plain: &[u8]) -> [u8; SHA1_LEN] {
    Sha1::new().chain_update(password).chain_update(plain).finalize().into()
}

/// The parameters of `PBEWithMD5AndTripleDES`.
#[derive(Debug)]
pub struct Pbe {
    salt: [u8; PBE_SALT_LEN],
    count: u64,
}

impl Pbe {
    /// From their DER.
    pub fn parse(parameters: Tlv<'_>) -> Result<Self> {
        if parameters.tag != Tag::SEQUENCE {
            return Err(parameters.error("PBE parameters expected, found something else"));
        }
        let mut fields = parameters.reader();
        let (tlv, salt) = fields.octet_string("salt")?;
        let salt = salt[..].try_into().map_err(|_| tlv.error("a salt that hasn't eight bytes"))?;
        let tlv = fields.expect(Tag::INTEGER, "iteration count")?;
        match tlv.unsigned()? {
            0 => Err(tlv.error("an iteration count of zero")),
            count => Ok(Pbe { salt, count }),
        }
    }

    fn fresh(iterations: u32, rng: &Rng) -> Result<Self> {
        Ok(Pbe { salt: rng.bytes()?, count: iterations.into() })
    }

    fn parameters(&self) -> Vec<u8> {
        tlv_of(0x30, &[&octet_string(&self.salt), &integer(self.count)])
    }

    /// Deciphers; `Kind::Password` when the padding comes out wrong.
    pub fn decipher(&self, data: &[u8], password: &Password, ctx: &Ctx<'_>) -> Result<Zeroizing<Vec<u8>>> {
        let derived = self.derive(password, ctx)?;
        let cipher = new_cipher::<cbc::Decryptor<TdesEde3>>(&derived)?;
        let mut plain = Zeroizing::new(data.to_vec());
        let len = cipher.decrypt_padded::<Pkcs7>(&mut plain).map_err(|_| wrong())?.len();
        plain.truncate(len);
        Ok(plain)
    }

    fn encipher(&self, plain: &[u8], password: &Password, ctx: &Ctx<'_>) -> Result<Vec<u8>> {
        must_be_ascii(password)?;
        let derived = self.derive(password, ctx)?;
        Ok(new_cipher::<cbc::Encryptor<TdesEde3>>(&derived)?.encrypt_padded_vec::<Pkcs7>(plain))
    }

    /// Key (24 bytes) and vector (8). Each half of the salt is hashed on its own, `count` times with the
    /// password after it.
    ///
    /// The password's bytes are UTF-8: JDK 25 takes any (`sun.security.util.PBEUtil`), those before it
    /// printable ASCII alone.
    fn derive(&self, password: &Password, ctx: &Ctx<'_>) -> Result<Zeroizing<Vec<u8>>> {
        let password = password.text()?.as_bytes();
        let name = serial::ALGORITHM.as_bytes();
        ctx.session.keys.get(&[name, password, &self.salt, &self.count.to_be_bytes()], || {
            ctx.session.budget.spend(self.count)?;
            let mut derived = Zeroizing::new(Vec::with_capacity(32));
            for half in self.halves() {
                let mut block = Zeroizing::new([0; 16]);
                *block = Md5::new().chain_update(half).chain_update(password).finalize().into();
                for _ in 1..self.count {
                    *block = Md5::new().chain_update(*block).chain_update(password).finalize().into();
                }
                derived.extend_from_slice(&*block);
            }
            Ok(derived)
        })
    }

    /// The halves of the salt; where they are equal, the first is turned round, or key and vector would
    /// repeat themselves.
    fn halves(&self) -> [[u8; 4]; 2] {
        let [a, b, c, d, e, f, g, h] = self.salt;
        let (first, second) = ([a, b, c, d], [e, f, g, h]);
        [if first == second { [d, c, b, a] } else { first }, second]
    }
}

fn new_cipher<C: KeyIvInit>(derived: &[u8]) -> Result<C> {
    let (key, vector) = derived.split_at_checked(24).unwrap_or_default();
    // `derive` makes 32 bytes.
    C::new_from_slices(key, vector).map_err(|_| Error::unsupported("a derived key of the wrong length"))
}

/// JDKs before 25 refuse any other password, so a store written with one would be lost to them.
fn must_be_ascii(password: &Password) -> Result<()> {
    if password.bytes().iter().all(|b| matches!(b, 0x20..=0x7e)) {
        return Ok(());
    }
    Err(Error::password(format!("{} protects keys with passwords of printable ASCII only", JCEKS.name))
        .hint("give the keys an ASCII password of their own, or write jks or p12"))
}

/// Whether a deciphered key looks like one, for a wrong password passes the padding once in 256 times.
fn is_pkcs8(plain: &[u8]) -> bool {
    Reader::new(plain, 0)
        .expect(Tag::SEQUENCE, "PrivateKeyInfo")
        .is_ok_and(|key| key.raw.len() == plain.len() && key.reader().peek() == Some(Tag::INTEGER))
}
