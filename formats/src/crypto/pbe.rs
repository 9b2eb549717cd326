//! Password-based encryption: the schemes of PKCS#12 (RFC 7292 appendix C) and PKCS#5 (RFC 8018).
//!
//! ```text
//! EncryptedPrivateKeyInfo ::= SEQUENCE { encryptionAlgorithm AlgorithmIdentifier, encryptedData OCTET STRING }
//! AlgorithmIdentifier     ::= SEQUENCE { algorithm OID, parameters ANY }
//! PBEParameter            ::= SEQUENCE { salt OCTET STRING, iterations INTEGER }          PBES1, PKCS#12
//! PBES2-params            ::= SEQUENCE { kdf AlgorithmIdentifier, cipher AlgorithmIdentifier }
//! PBKDF2-params           ::= SEQUENCE { salt OCTET STRING, iterations INTEGER,
//!                                        keyLength INTEGER OPTIONAL, prf AlgorithmIdentifier DEFAULT hmacWithSHA1 }
//! scrypt-params           ::= SEQUENCE { salt OCTET STRING, N INTEGER, r INTEGER, p INTEGER, keyLength INTEGER OPTIONAL }
//! ```

use super::cipher::{Cipher, Enciphering};
use super::hash::Hash;
use super::kdf::{self, Use};
use super::phrase::{Derivation, form};
use crate::asn1::{self, Reader, Tag, Tlv, oid};
use crate::context::{Ctx, Session};
use crate::error::{Error, Result};
use crate::model::{KeyMaterial, Password, Room};
use std::borrow::Cow;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Rounds of derivation in what we write by default: what the JDK writes, and 1.6 ms of one core.
pub const ROUNDS: u64 = 10_000;

/// Deciphers an `EncryptedPrivateKeyInfo` with the first of `passwords` that fits. `base_offset` is where
/// it begins in its file. Errors: `Password` when none fits or none was given, `Unsupported` for a scheme
/// that isn't known, `TooLarge` where it asks for too much work.
pub fn decrypt_pkcs8(
    encrypted_private_key_info: &[u8],
    base_offset: u64,
    passwords: &[Arc<Password>],
    ctx: &Ctx<'_>,
) -> Result<KeyMaterial> {
    let outer = Reader::new(encrypted_private_key_info, base_offset)
        .expect(Tag::SEQUENCE, "EncryptedPrivateKeyInfo")?;
    let mut fields = outer.reader();
    let algorithm = fields.expect(Tag::SEQUENCE, "the encryption algorithm")?;
    let (_, data) = fields.octet_string("the encrypted key")?;
    let plain = decrypt(&algorithm, &data, passwords, is_pkcs8, ctx)?;
    Ok(KeyMaterial::pkcs8(Zeroizing::new(plain.to_vec())))
}

/// Enciphers PKCS#8 into an `EncryptedPrivateKeyInfo`: PBES2 with AES-256-CBC and HMAC-SHA-256, 10,000
/// rounds. Each call makes a salt of its own, so it costs a derivation; [`Keyer`] shares one.
pub fn encrypt_pkcs8(pkcs8: &[u8], password: &Password, ctx: &Ctx<'_>) -> Result<Vec<u8>> {
    Keyer::new(Recipe::AES256_SHA256, password, ROUNDS, ctx.session)?.next(ctx.session)?.seal_pkcs8(pkcs8)
}

/// Whether these bytes are one `PrivateKeyInfo` and nothing else: after a wrong password one time in 256
/// the padding is right by chance.
pub fn is_pkcs8(b: &[u8]) -> bool {
    let mut outer = Reader::new(b, 0);
    outer.expect(Tag::SEQUENCE, "PrivateKeyInfo").is_ok_and(|key| {
        let mut fields = key.reader();
        outer.is_empty()
            && fields.expect(Tag::INTEGER, "version").is_ok()
            && fields.expect(Tag::SEQUENCE, "algorithm").is_ok()
            && fields.octet_string("key").is_ok()
    })
}

/// Deciphers `data` as `algorithm`, an `AlgorithmIdentifier`, says. The first of `passwords`, in the first
/// of the forms that writers use, whose result pads right and pleases `accept`.
pub fn decrypt(
    algorithm: &Tlv<'_>,
    data: &[u8],
    passwords: &[Arc<Password>],
    accept: impl Fn(&[u8]) -> bool,
    ctx: &Ctx<'_>,
) -> Result<Zeroizing<Room>> {
    let scheme = Scheme::parse(algorithm)?;
    if passwords.is_empty() {
        return Err(Error::password("is enciphered, and no password was given").at(algorithm.at));
    }
    for n in 0.. {
        let forms = passwords.iter().filter_map(|p| form(p, scheme.derivation(), n));
        let mut any = false;
        for form in forms {
            any = true;
            let plain = scheme.decrypt(&form, data, ctx.session).map_err(|e| e.at(algorithm.at))?;
            if let Some(plain) = plain.filter(|p| accept(p)) {
                return Ok(plain);
            }
        }
        if !any {
            break;
        }
    }
    Err(Error::password("the password is wrong, or the enciphered data is damaged").at(algorithm.at))
}

/// What an `AlgorithmIdentifier` says.
enum Scheme<'a> {
    Pkcs12 { cipher: Cipher, salt: Cow<'a, [u8]>, rounds: u64 },
    Pkcs5v1 { hash: Hash, cipher: Cipher, salt: Cow<'a, [u8]>, rounds: u64 },
    Pkcs5v2 { kdf: Kdf<'a>, cipher: Cipher, iv: Cow<'a, [u8]> },
}

impl<'a> Scheme<'a> {
    fn parse(algorithm: &Tlv<'a>) -> Result<Self> {
        let mut fields = algorithm.reader();
        let id = fields.expect(Tag::OID, "the encryption scheme")?;
        if id.content == oid::PBES2 {
            let mut parameters = fields.expect(Tag::SEQUENCE, "PBES2-params")?.reader();
            let kdf = Kdf::parse(&parameters.expect(Tag::SEQUENCE, "the key derivation")?)?;
            let (cipher, iv) = pbes2_cipher(&parameters.expect(Tag::SEQUENCE, "the cipher")?, &kdf)?;
            return Ok(Scheme::Pkcs5v2 { kdf, cipher, iv });
        }
        let v1 = PKCS5_V1.iter().find(|(known, ..)| *known == id.content);
        let v12 = PKCS12.iter().find(|(known, _)| *known == id.content);
        if v1.is_none() && v12.is_none() {
            return Err(unknown("encryption scheme", &id));
        }
        let mut parameters = fields.expect(Tag::SEQUENCE, "the encryption scheme's parameters")?.reader();
        let (_, salt) = parameters.octet_string("the salt")?;
        let rounds = parameters.expect(Tag::INTEGER, "the iteration count")?.unsigned()?;
        match (v1, v12) {
            (Some((_, hash, cipher)), _) => {
                Ok(Scheme::Pkcs5v1 { hash: *hash, cipher: *cipher, salt, rounds })
            }
            (_, Some((_, cipher))) => Ok(Scheme::Pkcs12 { cipher: *cipher, salt, rounds }),
            (None, None) => Err(unknown("encryption scheme", &id)),
        }
    }

    fn derivation(&self) -> Derivation {
        match self {
            Scheme::Pkcs12 { .. } => Derivation::Pkcs12,
            Scheme::Pkcs5v1 { .. } => Derivation::Pkcs5v1,
            Scheme::Pkcs5v2 { .. } => Derivation::Pkcs5v2,
        }
    }

    /// `None`: the padding is wrong.
    fn decrypt(&self, password: &[u8], data: &[u8], session: &Session) -> Result<Option<Zeroizing<Room>>> {
        let mut out = Zeroizing::new(Room::new(data.len())?);
        let len = match self {
            Scheme::Pkcs12 { cipher, salt, rounds } => {
                let (key, iv) = pkcs12_key(*cipher, password, salt, *rounds, session)?;
                cipher.decrypt_to(&key, &iv, data, &mut out)
            }
            Scheme::Pkcs5v1 { hash, cipher, salt, rounds } => {
                let both = kdf::pbkdf1(*hash, password, salt, *rounds, 16, session)?;
                let (key, iv) = both.split_at(8);
                cipher.decrypt_to(key, iv, data, &mut out)
            }
            Scheme::Pkcs5v2 { kdf, cipher, iv } => {
                let key = kdf.derive(password, cipher.key_len(), session)?;
                cipher.decrypt_to(&key, iv, data, &mut out)
            }
        };
        Ok(len.map(|len| {
            out.truncate(len);
            out
        }))
    }
}

type Derived = Zeroizing<Vec<u8>>;

fn pkcs12_key(
    cipher: Cipher,
    password: &[u8],
    salt: &[u8],
    rounds: u64,
    session: &Session,
) -> Result<(Derived, Derived)> {
    let derive = |purpose, len| kdf::pkcs12(Hash::Sha1, purpose, password, salt, rounds, len, session);
    let key = derive(Use::Key, cipher.key_len())?;
    let iv = if cipher.iv_len() == 0 { Zeroizing::default() } else { derive(Use::Iv, cipher.iv_len())? };
    Ok((key, iv))
}

/// A `keyDerivationFunc` of PKCS#5.
pub(crate) enum Kdf<'a> {
    Pbkdf2 { salt: Cow<'a, [u8]>, rounds: u64, key_len: Option<u64>, prf: Hash },
    Scrypt { salt: Cow<'a, [u8]>, n: u64, r: u64, p: u64, key_len: Option<u64> },
}

impl<'a> Kdf<'a> {
    pub(crate) fn parse(algorithm: &Tlv<'a>) -> Result<Self> {
        let mut fields = algorithm.reader();
        let id = fields.expect(Tag::OID, "the key derivation")?;
        let is_scrypt = id.content == oid::SCRYPT;
        if !is_scrypt && id.content != oid::PBKDF2 {
            return Err(unknown("key derivation", &id));
        }
        let mut parameters = fields.expect(Tag::SEQUENCE, "the key derivation's parameters")?.reader();
        let choice = parameters.any("the salt")?;
        if choice.tag.primitive() != Tag::OCTET_STRING {
            return Err(Error::unsupported("a salt from another source").at(choice.at));
        }
        let salt = choice.octets()?;
        let mut number = |what| parameters.expect(Tag::INTEGER, what).and_then(|n| n.unsigned());
        let first = number("the iteration count")?;
        let (r, p) = if is_scrypt { (number("r")?, number("p")?) } else { (0, 0) };
        let key_len = parameters.optional(Tag::INTEGER)?.map(|n| n.unsigned()).transpose()?;
        if is_scrypt {
            return Ok(Kdf::Scrypt { salt, n: first, r, p, key_len });
        }
        let prf = match parameters.optional(Tag::SEQUENCE)? {
            None => Hash::Sha1,
            Some(prf) => hmac(&prf)?,
        };
        Ok(Kdf::Pbkdf2 { salt, rounds: first, key_len, prf })
    }

    pub(crate) fn key_len(&self) -> Option<u64> {
        match self {
            Kdf::Pbkdf2 { key_len, .. } | Kdf::Scrypt { key_len, .. } => *key_len,
        }
    }

    pub(crate) fn derive(&self, password: &[u8], len: usize, s: &Session) -> Result<Zeroizing<Vec<u8>>> {
        match self {
            Kdf::Pbkdf2 { salt, rounds, prf, .. } => kdf::pbkdf2(*prf, password, salt, *rounds, len, s),
            Kdf::Scrypt { salt, n, r, p, .. } => kdf::scrypt(password, salt, (*n, *r, *p), len, s),
        }
    }
}

/// The hash of an HMAC's `AlgorithmIdentifier`.
pub(crate) fn hmac(algorithm: &Tlv<'_>) -> Result<Hash> {
    let id = algorithm.reader().expect(Tag::OID, "the HMAC")?;
    Hash::by_hmac_oid(id.content).ok_or_else(|| unknown("HMAC", &id))
}

/// The cipher of PBES2 with its vector, and its key length checked against the derivation's.
fn pbes2_cipher<'a>(algorithm: &Tlv<'a>, kdf: &Kdf<'_>) -> Result<(Cipher, Cow<'a, [u8]>)> {
    let mut fields = algorithm.reader();
    let id = fields.expect(Tag::OID, "the cipher")?;
    let (cipher, iv) = if id.content == oid::RC2_CBC {
        let mut parameters = fields.expect(Tag::SEQUENCE, "RC2-CBC-Parameter")?.reader();
        let bits = match parameters.optional(Tag::INTEGER)? {
            None => 32,
            Some(version) => rc2_bits(&version)?,
        };
        let key_len = kdf.key_len().unwrap_or(bits.div_ceil(8) as u64);
        let key_len = usize::try_from(key_len).ok().filter(|l| (1..=128).contains(l));
        let key_len = key_len.ok_or_else(|| algorithm.error("RC2 takes keys of 1 to 128 bytes"))?;
        (Cipher::Rc2 { key_len, bits }, parameters.octet_string("the initial vector")?.1)
    } else {
        let known = PBES2.iter().find(|(known, _)| *known == id.content);
        let (_, cipher) = known.ok_or_else(|| unknown("cipher", &id))?;
        (*cipher, fields.octet_string("the initial vector")?.1)
    };
    if iv.len() != cipher.iv_len() {
        return Err(algorithm.error(format!("an initial vector of {} bytes", iv.len())));
    }
    if kdf.key_len().is_some_and(|l| l != cipher.key_len() as u64) {
        return Err(algorithm.error("the derived key's length is not the cipher's"));
    }
    Ok((cipher, iv))
}

/// RFC 8018 appendix B.2.3: small effective lengths stand there in disguise.
fn rc2_bits(version: &Tlv<'_>) -> Result<usize> {
    match version.unsigned()? {
        160 => Ok(40),
        120 => Ok(64),
        58 => Ok(128),
        bits @ 256..=1024 => Ok(bits as usize),
        _ => Err(version.error("an unknown effective key length of RC2")),
    }
}

/// The PKCS#12 cipher that an `AlgorithmIdentifier` names, if it names one, and its rounds as they count
/// in the budget.
pub(crate) fn facts(algorithm: &Tlv<'_>) -> Result<(Option<Cipher>, u64)> {
    Ok(match Scheme::parse(algorithm)? {
        Scheme::Pkcs12 { cipher, rounds, .. } => (Some(cipher), rounds),
        Scheme::Pkcs5v1 { rounds, .. } => (None, rounds),
        Scheme::Pkcs5v2 { kdf: Kdf::Pbkdf2 { rounds, .. }, .. } => (None, rounds),
        Scheme::Pkcs5v2 { kdf: Kdf::Scrypt { n, r, p, .. }, .. } => {
            (None, n.saturating_mul(r).saturating_mul(p).saturating_mul(2))
        }
    })
}

/// How something is enciphered, as far as that stands in the open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    /// For people: `PBES2 with AES-256`.
    pub name: String,
    /// Why it counts as weak today, if it does.
    pub weak: Option<&'static str>,
    /// Rounds of its derivation, where whoever writes the store chooses them.
    pub rounds: Option<u64>,
}

/// What an `AlgorithmIdentifier` (its DER) says of how something is enciphered; `None` where it isn't known.
pub fn protection(algorithm: &[u8]) -> Option<Protection> {
    let algorithm = Reader::new(algorithm, 0).expect(Tag::SEQUENCE, "the encryption algorithm").ok()?;
    let id = algorithm.reader().expect(Tag::OID, "the encryption scheme").ok()?;
    match id.content {
        oid::JKS_KEY_PROTECTOR => {
            let weak = Some("one SHA-1 for each password that is tried");
            return Some(Protection { name: "Sun's own scheme of JKS".to_owned(), weak, rounds: None });
        }
        // GSKit's count can't be chosen.
        oid::GSK_3DES => {
            let name = "GSKit's scheme with triple DES".to_owned();
            return Some(Protection { name, weak: Some(TDES), rounds: None });
        }
        oid::JCEKS_PBE => {
            let mut fields = algorithm.reader();
            fields.next().ok()?;
            let mut parameters = fields.expect(Tag::SEQUENCE, "parameters").ok()?.reader();
            parameters.octet_string("the salt").ok()?;
            let rounds = parameters.expect(Tag::INTEGER, "the iteration count").ok()?.unsigned().ok();
            let name = "Sun's scheme with MD5 and triple DES".to_owned();
            return Some(Protection { name, weak: Some("MD5 and triple DES"), rounds });
        }
        _ => {}
    }
    let scheme = Scheme::parse(&algorithm).ok()?;
    let (_, rounds) = facts(&algorithm).ok()?;
    let (family, cipher, prf) = match &scheme {
        Scheme::Pkcs12 { cipher, .. } => ("PKCS#12's scheme with", *cipher, None),
        Scheme::Pkcs5v1 { cipher, .. } => ("PBES1 with", *cipher, None),
        Scheme::Pkcs5v2 { cipher, kdf: Kdf::Pbkdf2 { prf, .. }, .. } => ("PBES2 with", *cipher, Some(*prf)),
        Scheme::Pkcs5v2 { cipher, .. } => ("PBES2 and scrypt with", *cipher, None),
    };
    let prf = prf.map_or_else(String::new, |h| format!(" and HMAC-{}", h.name()));
    Some(Protection {
        name: format!("{family} {}{prf}", cipher.name()),
        weak: cipher.weakness(),
        rounds: Some(rounds),
    })
}

/// Blocks of 64 bits; NIST disallows it for new data since 2024 (SP 800-131A revision 2).
pub(crate) const TDES: &str = "triple DES is no longer approved";

fn unknown(what: &str, id: &Tlv<'_>) -> Error {
    Error::unsupported(format!("the {what} {} is not supported", oid::dotted(id.content))).at(id.at)
}

/// A scheme to encipher with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// PBES2 with PBKDF2.
    Pbes2 {
        /// The cipher, one of PBES2's.
        cipher: Cipher,
        /// The hash in the derivation's HMAC.
        prf: Hash,
    },
    /// One of PKCS#12's own.
    Pkcs12 {
        /// The cipher, one of PKCS#12's.
        cipher: Cipher,
    },
}

impl Recipe {
    /// What everybody reads today.
    pub const AES256_SHA256: Recipe = Recipe::Pbes2 { cipher: Cipher::Aes256, prf: Hash::Sha256 };
    /// pbeWithSHAAnd3-KeyTripleDES-CBC: what everything old reads.
    pub const TRIPLE_DES: Recipe = Recipe::Pkcs12 { cipher: Cipher::TdesEde3 };
    /// pbeWithSHAAnd40BitRC2-CBC: hides nothing from anybody, but was the default for decades.
    pub const RC2_40: Recipe = Recipe::Pkcs12 { cipher: Cipher::Rc2 { key_len: 5, bits: 40 } };

    fn cipher(self) -> Cipher {
        match self {
            Recipe::Pbes2 { cipher, .. } | Recipe::Pkcs12 { cipher } => cipher,
        }
    }
}

/// A recipe and a password, from which each part of a file gets its key. PBES2 derives one key for all
/// and gives each part a vector of its own; the schemes of PKCS#12 derive the vector too, so there each
/// part needs a salt of its own.
pub struct Keyer {
    recipe: Recipe,
    rounds: u64,
    password: Zeroizing<Vec<u8>>,
    shared: Option<([u8; 20], Zeroizing<Vec<u8>>)>,
}

impl Keyer {
    /// Derives what can be shared. `Password` where the password isn't text.
    pub fn new(recipe: Recipe, password: &Password, rounds: u64, session: &Session) -> Result<Self> {
        password.text()?;
        let derivation = match recipe {
            Recipe::Pbes2 { .. } => Derivation::Pkcs5v2,
            Recipe::Pkcs12 { .. } => Derivation::Pkcs12,
        };
        // Every password has a first form.
        let password = form(password, derivation, 0).unwrap_or_default();
        let shared = match recipe {
            Recipe::Pbes2 { cipher, prf } => {
                let salt = session.rng.bytes::<20>()?;
                Some((salt, kdf::pbkdf2(prf, &password, &salt, rounds, cipher.key_len(), session)?))
            }
            Recipe::Pkcs12 { .. } => None,
        };
        Ok(Keyer { recipe, rounds, password, shared })
    }

    /// The key for the next part.
    pub fn next(&self, session: &Session) -> Result<Keyed> {
        let cipher = self.recipe.cipher();
        match (self.recipe, &self.shared) {
            (Recipe::Pbes2 { prf, .. }, Some((salt, key))) => {
                let mut iv = Zeroizing::new(vec![0; cipher.iv_len()]);
                session.rng.fill(&mut iv)?;
                let algorithm = pbes2_algorithm(cipher, prf, salt, self.rounds, &iv)?;
                Ok(Keyed { cipher, key: key.clone(), iv, algorithm })
            }
            _ => {
                let salt = session.rng.bytes::<8>()?;
                let (key, iv) = pkcs12_key(cipher, &self.password, &salt, self.rounds, session)?;
                let algorithm = pkcs12_algorithm(cipher, &salt, self.rounds)?;
                Ok(Keyed { cipher, key, iv, algorithm })
            }
        }
    }
}

/// A cipher with its key, for one part of one file.
pub struct Keyed {
    cipher: Cipher,
    key: Zeroizing<Vec<u8>>,
    iv: Zeroizing<Vec<u8>>,
    algorithm: Vec<u8>,
}

impl Keyed {
    /// The `AlgorithmIdentifier`, in DER.
    pub fn algorithm(&self) -> &[u8] {
        &self.algorithm
    }

    /// Bytes that `plain` bytes become.
    pub fn sealed_len(&self, plain: usize) -> usize {
        self.cipher.sealed_len(plain)
    }

    /// Begins to encipher something that comes in parts.
    pub fn start(&self) -> Result<Box<dyn Enciphering>> {
        let odd = || Error::unsupported("the cipher can't take this");
        self.cipher.start(&self.key, &self.iv).ok_or_else(odd)
    }

    /// Enciphers what `out` holds from `from` on, in place; `out` grows by the padding.
    fn seal_tail(&self, out: &mut Vec<u8>, from: usize) -> Result<()> {
        let odd = || Error::unsupported("the cipher can't take this");
        let plain = out.len().checked_sub(from).ok_or_else(odd)?;
        out.resize(from + self.sealed_len(plain), 0);
        let tail = out.get_mut(from..).ok_or_else(odd)?;
        self.cipher.encrypt_in_place(&self.key, &self.iv, tail, plain).ok_or_else(odd)
    }

    /// Bytes of the `EncryptedPrivateKeyInfo` around a key of `plain` bytes.
    pub fn pkcs8_len(&self, plain: usize) -> usize {
        let content = self.pkcs8_content_len(plain);
        asn1::header_len(content) + content
    }

    fn pkcs8_content_len(&self, plain: usize) -> usize {
        let sealed = self.sealed_len(plain);
        self.algorithm.len() + asn1::header_len(sealed) + sealed
    }

    /// Appends the `EncryptedPrivateKeyInfo` of a key. `out` must have room, or growing it would leave
    /// a copy of the key behind.
    pub fn put_pkcs8(&self, pkcs8: &[u8], out: &mut Vec<u8>) -> Result<()> {
        out.reserve(self.pkcs8_len(pkcs8.len()));
        asn1::put_header(out, Tag::SEQUENCE.0, self.pkcs8_content_len(pkcs8.len()));
        out.extend_from_slice(&self.algorithm);
        asn1::put_header(out, Tag::OCTET_STRING.0, self.sealed_len(pkcs8.len()));
        let from = out.len();
        out.extend_from_slice(pkcs8);
        self.seal_tail(out, from)
    }

    /// The `EncryptedPrivateKeyInfo` of a key.
    pub fn seal_pkcs8(&self, pkcs8: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(self.pkcs8_len(pkcs8.len()));
        self.put_pkcs8(pkcs8, &mut out)?;
        Ok(out)
    }
}

fn pbes2_algorithm(cipher: Cipher, prf: Hash, salt: &[u8], rounds: u64, iv: &[u8]) -> Result<Vec<u8>> {
    let known = PBES2.iter().find(|(_, c)| *c == cipher);
    let (id, _) = known.ok_or_else(|| Error::unsupported("no such cipher in PBES2"))?;
    let kdf = pbkdf2_algorithm(salt, rounds, None, prf);
    let cipher = asn1::tlv_of(0x30, &[&asn1::oid_tlv(id), &asn1::octet_string(iv)]);
    Ok(asn1::tlv_of(0x30, &[&asn1::oid_tlv(oid::PBES2), &asn1::tlv_of(0x30, &[&kdf, &cipher])]))
}

/// The `AlgorithmIdentifier` of PBKDF2.
pub(crate) fn pbkdf2_algorithm(salt: &[u8], rounds: u64, key_len: Option<u64>, prf: Hash) -> Vec<u8> {
    let parameters = [
        asn1::octet_string(salt),
        asn1::integer(rounds),
        key_len.map(asn1::integer).unwrap_or_default(),
        algorithm_with_null(prf.hmac_oid()),
    ];
    let parameters = asn1::tlv(0x30, &parameters.concat());
    asn1::tlv_of(0x30, &[&asn1::oid_tlv(oid::PBKDF2), &parameters])
}

/// An `AlgorithmIdentifier` whose parameters are NULL.
pub(crate) fn algorithm_with_null(id: &[u8]) -> Vec<u8> {
    asn1::tlv_of(0x30, &[&asn1::oid_tlv(id), &[0x05, 0x00]])
}

fn pkcs12_algorithm(cipher: Cipher, salt: &[u8], rounds: u64) -> Result<Vec<u8>> {
    let known = PKCS12.iter().find(|(_, c)| *c == cipher);
    let (id, _) = known.ok_or_else(|| Error::unsupported("no such cipher in PKCS#12"))?;
    let parameters = asn1::tlv_of(0x30, &[&asn1::octet_string(salt), &asn1::integer(rounds)]);
    Ok(asn1::tlv_of(0x30, &[&asn1::oid_tlv(id), &parameters]))
}

/// RFC 7292 appendix C.
const PKCS12: &[(&[u8], Cipher)] = &[
    (oid::PBE_3DES, Cipher::TdesEde3),
    (oid::PBE_RC2_40, Cipher::Rc2 { key_len: 5, bits: 40 }),
    (oid::PBE_RC2_128, Cipher::Rc2 { key_len: 16, bits: 128 }),
    (oid::PBE_2DES, Cipher::TdesEde2),
    (oid::PBE_RC4_128, Cipher::Rc4 { key_len: 16 }),
    (oid::PBE_RC4_40, Cipher::Rc4 { key_len: 5 }),
];

/// RFC 8018 appendix A.3.
const PKCS5_V1: &[(&[u8], Hash, Cipher)] = &[
    (oid::PBE_SHA1_DES, Hash::Sha1, Cipher::Des),
    (oid::PBE_MD5_DES, Hash::Md5, Cipher::Des),
    (oid::PBE_SHA1_RC2, Hash::Sha1, Cipher::Rc2 { key_len: 8, bits: 64 }),
    (oid::PBE_MD5_RC2, Hash::Md5, Cipher::Rc2 { key_len: 8, bits: 64 }),
];

/// RFC 8018 appendix B.2, RFC 3657 (Camellia).
const PBES2: &[(&[u8], Cipher)] = &[
    (oid::AES256_CBC, Cipher::Aes256),
    (oid::AES128_CBC, Cipher::Aes128),
    (oid::AES192_CBC, Cipher::Aes192),
    (oid::DES_EDE3_CBC, Cipher::TdesEde3),
    (oid::DES_CBC, Cipher::Des),
    (oid::CAMELLIA128_CBC, Cipher::Camellia128),
    (oid::CAMELLIA192_CBC, Cipher::Camellia192),
    (oid::CAMELLIA256_CBC, Cipher::Camellia256),
];
