//! Protection: the master key, enciphered attributes, integrity records.
//!
//! ```text
//! K  = SHA-1(global salt || password)            SHA-384 where the salt has 48 bytes (since NSS 3.118)
//! dk = PBKDF2-HMAC-SHA256(K, salt, iterations, 32)
//!
//! EncryptedData ::= SEQUENCE {
//!     SEQUENCE { PBES2, SEQUENCE { SEQUENCE { PBKDF2, … }, SEQUENCE { aes256-CBC, OCTET STRING (14) } } },
//!     OCTET STRING }                             the ciphertext, PKCS#7 padding
//! record        ::= the same shape with PBMAC1 and HMAC-SHA-256:
//!     HMAC-SHA256(dk, BE32(object id) || BE32(attribute type) || value)
//! ```
//!
//! The initial vector is the whole element `04 0E` and its 14 bytes: NSS takes the encoded parameter for
//! the vector. A `04 10` with 16 bytes, as the standard has it, is refused by NSS, and so here.
//!
//! Before NSS 3.49 attributes were enciphered by a triple DES scheme of PKCS#12's early days, without
//! records. Verified against NSS 3.87 and 3.125 in both directions, the old scheme by reading.

use crate::asn1::{Reader, Tag, Tlv, integer, octet_string, oid, oid_tlv, tlv_of};
use crate::context::Session;
use crate::crypto::pbe::{Kdf, Protection, TDES};
use crate::crypto::{Cipher, Hash};
use crate::error::{Error, Result};
use sha1::{Digest, Sha1};
use sha2::Sha384;
use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The rounds that NSS itself uses with a password, since 3.48.
pub const ITERATIONS: u32 = 10_000;
/// Bytes of a salt of PBKDF2.
pub const SALT: usize = 32;
/// What the password entry enciphers.
const CHECK: &[u8] = b"password-check";
/// The length of a global salt before NSS 3.118. With a longer one NSS 3.87 takes any password for a wrong one.
pub const SALT_BEFORE: usize = 20;
/// The length since; it makes SHA-384 hash the password.
pub const SALT_SINCE: usize = 48;

/// What stands in `metaData` under `password`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordEntry {
    /// The global salt.
    pub salt: Vec<u8>,
    /// The enciphered check.
    pub check: Vec<u8>,
}

impl PasswordEntry {
    /// The master key, if `password` is the right one. An error: the entry itself is damaged, or asks for
    /// too much work.
    pub fn open(&self, password: &[u8], session: &Session) -> Result<Option<Master>> {
        let damaged = |e: Error| {
            Error::new(e.kind(), format!("the password entry is malformed or unsupported: {}", e.message()))
        };
        let master = Master::new(&self.salt, password);
        let sealed = Sealed::parse(&self.check).map_err(damaged)?;
        Ok(match sealed.open(&master, session)? {
            Some(plain) if bool::from(plain.ct_eq(CHECK)) => Some(master),
            _ => None,
        })
    }

    /// A new entry.
    pub fn new(salt: Vec<u8>, password: &[u8], rounds: u32, session: &Session) -> Result<(Self, Master)> {
        let master = Master::new(&salt, password);
        let check = master.seal(CHECK, rounds, session)?;
        Ok((PasswordEntry { salt, check }, master))
    }

    /// The rounds that its derivation asks for, if that can be told.
    pub fn rounds(&self) -> Option<u64> {
        Sealed::parse(&self.check).ok().and_then(|s| match s.scheme {
            Scheme::Aes { kdf: Kdf::Pbkdf2 { rounds, .. }, .. } => Some(rounds),
            _ => None,
        })
    }
}

/// The key that all others are derived from.
pub struct Master {
    key: Zeroizing<Vec<u8>>,
    /// The key of the record that was verified last: where records share a salt, it is that of all.
    last: Mutex<Option<Derived>>,
}

struct Derived {
    salt: Vec<u8>,
    rounds: u64,
    hash: Hash,
    key: Zeroizing<Vec<u8>>,
}

impl Master {
    /// From the global salt and a password that nobody has checked.
    pub fn new(salt: &[u8], password: &[u8]) -> Self {
        let mut key = Zeroizing::new(Vec::with_capacity(48));
        if salt.len() == SALT_SINCE {
            key.extend_from_slice(&Sha384::new().chain_update(salt).chain_update(password).finalize());
        } else {
            key.extend_from_slice(&Sha1::new().chain_update(salt).chain_update(password).finalize());
        }
        Master { key, last: Mutex::new(None) }
    }

    /// Deciphers an attribute's value.
    pub fn open(&self, blob: &[u8], session: &Session) -> Result<Zeroizing<Vec<u8>>> {
        // The password was found right, so this is no wrong password.
        let damaged = || Error::malformed("the enciphered value is damaged");
        Sealed::parse(blob)?.open(self, session)?.ok_or_else(damaged)
    }

    /// Enciphers a value with a salt and a vector of its own.
    pub fn seal(&self, plain: &[u8], rounds: u32, session: &Session) -> Result<Vec<u8>> {
        self.seal_with(&session.rng.bytes()?, plain, rounds, session)
    }

    /// The same under a salt that was drawn before.
    pub fn seal_with(
        &self,
        salt: &[u8; SALT],
        plain: &[u8],
        rounds: u32,
        session: &Session,
    ) -> Result<Vec<u8>> {
        let cipher = Cipher::Aes256;
        let mut iv = [0; 16];
        iv[..2].copy_from_slice(&[4, 14]);
        session.rng.fill(&mut iv[2..])?;
        let key = self.derive(salt, rounds, session)?;
        let mut body = Zeroizing::new(vec![0; cipher.sealed_len(plain.len())]);
        if let Some(head) = body.get_mut(..plain.len()) {
            head.copy_from_slice(plain);
        }
        cipher
            .encrypt_in_place(&key, &iv, &mut body, plain.len())
            .ok_or_else(|| Error::unsupported("the value can't be enciphered"))?;
        let aes = tlv_of(0x30, &[&oid_tlv(oid::AES256_CBC), &iv]);
        Ok(envelope(oid::PBES2, salt, rounds, &aes, &body))
    }

    /// An integrity record over `value`, the attribute `attribute` of the object `id` (0 for enciphered
    /// attributes).
    pub fn sign(
        &self,
        salt: &[u8; SALT],
        rounds: u32,
        (id, attribute, value): (u32, u32, &[u8]),
        session: &Session,
    ) -> Result<Vec<u8>> {
        let key = self.derive(salt, rounds, session)?;
        let hmac = tlv_of(0x30, &[&oid_tlv(oid::HMAC_SHA256)]);
        Ok(envelope(oid::PBMAC1, salt, rounds, &hmac, &mac(Hash::Sha256, &key, id, attribute, value)))
    }

    /// Whether `record` vouches for `value`. An error: the record is no record, or too much work.
    pub fn verify(
        &self,
        record: &[u8],
        (id, attribute, value): (u32, u32, &[u8]),
        session: &Session,
    ) -> Result<bool> {
        let record = Record::parse(record)?;
        let made = match &record.kdf {
            Kdf::Pbkdf2 { salt, rounds, prf, .. } => {
                let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                let fits = |d: &Derived| (&*d.salt, d.rounds, d.hash) == (&**salt, *rounds, *prf);
                let known = match last.take().filter(fits) {
                    Some(known) => known,
                    None => {
                        let key = record.kdf.derive(&self.key, 32, session)?;
                        Derived { salt: salt.to_vec(), rounds: *rounds, hash: *prf, key }
                    }
                };
                mac(record.hash, &last.insert(known).key, id, attribute, value)
            }
            other => mac(record.hash, &other.derive(&self.key, 32, session)?, id, attribute, value),
        };
        Ok(bool::from(made.ct_eq(record.mac)))
    }

    /// The key of a salt, as [`Master::seal_with`] and [`Master::sign`] derive it. Known afterwards to the
    /// session, so that many can be derived on all cores beforehand.
    pub fn derive(&self, salt: &[u8], rounds: u32, session: &Session) -> Result<Zeroizing<Vec<u8>>> {
        crate::crypto::kdf::pbkdf2(Hash::Sha256, &self.key, salt, u64::from(rounds), 32, session)
    }
}

fn mac(hash: Hash, key: &[u8], id: u32, attribute: u32, value: &[u8]) -> Vec<u8> {
    let mut input = Zeroizing::new(Vec::with_capacity(8 + value.len()));
    input.extend_from_slice(&id.to_be_bytes());
    input.extend_from_slice(&attribute.to_be_bytes());
    input.extend_from_slice(value);
    hash.hmac(key, &input)
}

/// The shape of both: `SEQUENCE { SEQUENCE { scheme, SEQUENCE { PBKDF2, inner } }, OCTET STRING }`.
fn envelope(scheme: &[u8], salt: &[u8], rounds: u32, inner: &[u8], body: &[u8]) -> Vec<u8> {
    let prf = tlv_of(0x30, &[&oid_tlv(oid::HMAC_SHA256)]);
    let parameters = tlv_of(0x30, &[&octet_string(salt), &integer(u64::from(rounds)), &integer(32), &prf]);
    let kdf = tlv_of(0x30, &[&oid_tlv(oid::PBKDF2), &parameters]);
    let algorithm = tlv_of(0x30, &[&oid_tlv(scheme), &tlv_of(0x30, &[&kdf, inner])]);
    tlv_of(0x30, &[&algorithm, &octet_string(body)])
}

/// Salt and rounds that the derivation of an envelope asks for, if it is PBKDF2 as NSS writes it.
pub fn derivation(blob: &[u8]) -> Option<(Cow<'_, [u8]>, u32)> {
    let (algorithm, _) = split(blob).ok()?;
    let mut fields = algorithm.reader();
    fields.expect(Tag::OID, "scheme").ok()?;
    let parameters = fields.expect(Tag::SEQUENCE, "parameters").ok()?;
    match Kdf::parse(&parameters.reader().expect(Tag::SEQUENCE, "the key derivation").ok()?).ok()? {
        Kdf::Pbkdf2 { salt, rounds, prf: Hash::Sha256, .. } => Some((salt, u32::try_from(rounds).ok()?)),
        _ => None,
    }
}

/// Algorithm and body of an envelope. Offsets are forgotten: they would count from the start of a value
/// somewhere inside a database.
fn split(blob: &[u8]) -> Result<(Tlv<'_>, &[u8])> {
    let go = || {
        let mut fields = Reader::new(blob, 0).expect(Tag::SEQUENCE, "EncryptedData")?.reader();
        let algorithm = fields.expect(Tag::SEQUENCE, "the algorithm")?;
        Ok((algorithm, fields.expect(Tag::OCTET_STRING, "the enciphered data")?.content))
    };
    go().map_err(Error::without_offset)
}

/// An enciphered value.
struct Sealed<'a> {
    scheme: Scheme<'a>,
    body: &'a [u8],
}

/// How a value is enciphered, for who judges it.
pub fn protection(blob: &[u8]) -> Option<Protection> {
    let (name, weak, rounds) = match Sealed::parse(blob).ok()?.scheme {
        Scheme::Aes { kdf: Kdf::Pbkdf2 { rounds, .. }, .. } => ("PBES2 with AES-256", None, rounds),
        Scheme::Aes { .. } => return None,
        Scheme::TripleDes { rounds, .. } => ("NSS's old scheme with triple DES", Some(TDES), rounds),
    };
    Some(Protection { name: name.to_owned(), weak, rounds: Some(rounds) })
}

enum Scheme<'a> {
    Aes { kdf: Kdf<'a>, iv: &'a [u8] },
    TripleDes { salt: &'a [u8], rounds: u64 },
}

/// `pbeWithSha1AndTripleDESCBC` of the drafts of PKCS#12, 1.2.840.113549.1.12.5.1.3.
const OLD_3DES: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x05, 0x01, 0x03];

impl<'a> Sealed<'a> {
    fn parse(blob: &'a [u8]) -> Result<Self> {
        let (algorithm, body) = split(blob)?;
        let scheme = Scheme::parse(&algorithm).map_err(Error::without_offset)?;
        Ok(Sealed { scheme, body })
    }

    /// `None`: the padding is wrong.
    fn open(&self, master: &Master, session: &Session) -> Result<Option<Zeroizing<Vec<u8>>>> {
        Ok(match &self.scheme {
            Scheme::Aes { kdf, iv } => {
                let key = kdf.derive(&master.key, 32, session)?;
                Cipher::Aes256.decrypt(&key, iv, self.body)
            }
            Scheme::TripleDes { salt, rounds } => {
                let keys = old_3des(&master.key, salt, *rounds, session)?;
                let (key, iv) = (keys.get(..24).unwrap_or_default(), keys.get(32..).unwrap_or_default());
                Cipher::TdesEde3.decrypt(key, iv, self.body)
            }
        })
    }
}

impl<'a> Scheme<'a> {
    fn parse(algorithm: &Tlv<'a>) -> Result<Self> {
        let mut fields = algorithm.reader();
        let id = fields.expect(Tag::OID, "the algorithm's identifier")?.content;
        let parameters = fields.expect(Tag::SEQUENCE, "the algorithm's parameters")?;
        let mut fields = parameters.reader();
        match id {
            oid::PBES2 => {
                let kdf = pbkdf2(&fields.expect(Tag::SEQUENCE, "the key derivation")?)?;
                let mut cipher = fields.expect(Tag::SEQUENCE, "the cipher")?.reader();
                let id = cipher.expect(Tag::OID, "the cipher's identifier")?;
                if id.content != oid::AES256_CBC {
                    return Err(unknown("cipher", id.content));
                }
                let iv = cipher.expect(Tag::OCTET_STRING, "the initial vector")?;
                if iv.raw.len() != 16 {
                    return Err(iv.error("the initial vector is not of 14 bytes, as NSS writes it"));
                }
                Ok(Scheme::Aes { kdf, iv: iv.raw })
            }
            OLD_3DES => {
                let salt = fields.expect(Tag::OCTET_STRING, "the salt")?.content;
                if salt.len() > 20 {
                    return Err(Error::malformed(format!("a salt of {} bytes", salt.len())));
                }
                Ok(Scheme::TripleDes { salt, rounds: fields.expect(Tag::INTEGER, "iterations")?.unsigned()? })
            }
            other => Err(unknown("protection", other)),
        }
    }
}

fn pbkdf2<'a>(algorithm: &Tlv<'a>) -> Result<Kdf<'a>> {
    let kdf = Kdf::parse(algorithm)?;
    match &kdf {
        Kdf::Pbkdf2 { key_len: None | Some(32), .. } => Ok(kdf),
        Kdf::Pbkdf2 { .. } => Err(algorithm.error("a derived key that is not of 32 bytes")),
        Kdf::Scrypt { .. } => Err(Error::unsupported("scrypt in an NSS database")),
    }
}

fn unknown(what: &str, id: &[u8]) -> Error {
    Error::unsupported(format!("unknown {what} {}", oid::dotted(id)))
}

/// The 40 bytes of the old scheme: the first 24 are the key, the last 8 the vector.
fn old_3des(master: &[u8], salt: &[u8], rounds: u64, session: &Session) -> Result<Zeroizing<Vec<u8>>> {
    if rounds == 0 {
        return Err(Error::malformed("a key derivation of no rounds"));
    }
    session.keys.get(&[b"nss 3des", master, salt, &rounds.to_be_bytes()], || {
        session.budget.spend(rounds)?;
        let mut hash =
            Zeroizing::new(Sha1::new().chain_update(master).chain_update(salt).finalize().to_vec());
        for _ in 1..rounds {
            *hash = Sha1::digest(&*hash).to_vec();
        }
        let mut padded = salt.to_vec();
        padded.resize(20, 0);
        let first = Hash::Sha1.hmac(&hash, &[&padded, salt].concat());
        let tag = Hash::Sha1.hmac(&hash, &padded);
        let second = Hash::Sha1.hmac(&hash, &[&tag[..], salt].concat());
        Ok(Zeroizing::new([first, second].concat()))
    })
}

/// An integrity record.
struct Record<'a> {
    kdf: Kdf<'a>,
    hash: Hash,
    mac: &'a [u8],
}

impl<'a> Record<'a> {
    fn parse(blob: &'a [u8]) -> Result<Self> {
        let (algorithm, mac) = split(blob)?;
        let go = || {
            let mut fields = algorithm.reader();
            let id = fields.expect(Tag::OID, "the algorithm's identifier")?.content;
            if id != oid::PBMAC1 {
                return Err(unknown("integrity scheme", id));
            }
            let mut fields = fields.expect(Tag::SEQUENCE, "the algorithm's parameters")?.reader();
            let kdf = pbkdf2(&fields.expect(Tag::SEQUENCE, "the key derivation")?)?;
            let hash = crate::crypto::pbe::hmac(&fields.expect(Tag::SEQUENCE, "the HMAC")?)?;
            Ok(Record { kdf, hash, mac })
        };
        go().map_err(Error::without_offset)
    }
}
