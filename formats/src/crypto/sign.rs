//! New key pairs, signatures by them, and signatures of others checked.
//!
//! The cryptography is the libraries'; here stand the algorithm identifiers of RFC 4055 (RSA), RFC 5758
//! (ECDSA), RFC 8410 (Ed25519) and RFC 9881 (ML-DSA), and which library a key goes to. Keys and everything
//! random beside them come from the system, whatever generator a command has for its salts.

use super::public::spki_of_pkcs8;
use crate::asn1::{Reader, Tag, oid, tlv, tlv_of};
use crate::context::Rng;
use crate::error::{Error, Result};
use ml_dsa::{KeyExport, Keypair as _, MlDsa44, MlDsa65, MlDsa87};
use p256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use p256::elliptic_curve::Generate;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use rsa::Pkcs1v15Sign;
use rsa::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

/// What kind of key pair is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// RSA with a modulus of so many bits.
    Rsa(usize),
    /// EC on P-256.
    P256,
    /// EC on P-384.
    P384,
    /// EC on P-521.
    P521,
    /// Ed25519.
    Ed25519,
    /// ML-DSA-44.
    MlDsa44,
    /// ML-DSA-65.
    MlDsa65,
    /// ML-DSA-87.
    MlDsa87,
}

/// The words for key types that have no size of their own.
const TYPES: &[(&str, KeyType)] = &[
    ("rsa", KeyType::Rsa(3072)),
    ("ec", KeyType::P256),
    ("ec:p256", KeyType::P256),
    ("ec:p384", KeyType::P384),
    ("ec:p521", KeyType::P521),
    ("ed25519", KeyType::Ed25519),
    ("ml-dsa-44", KeyType::MlDsa44),
    ("ml-dsa-65", KeyType::MlDsa65),
    ("ml-dsa-87", KeyType::MlDsa87),
];

impl KeyType {
    /// `rsa:BITS` (2048 to 8192, in steps of 256), `ec:p256`, `ec:p384`, `ec:p521`, `ed25519`, `ml-dsa-44`
    /// and its larger siblings; `rsa` alone has 3072 bits, `ec` is P-256.
    pub fn parse(text: &str) -> Option<KeyType> {
        let text = text.to_ascii_lowercase();
        if let Some(bits) = text.strip_prefix("rsa:") {
            let bits = bits.parse().ok()?;
            return ((2048..=8192).contains(&bits) && bits % 256 == 0).then_some(KeyType::Rsa(bits));
        }
        TYPES.iter().find(|(name, _)| *name == text).map(|(_, t)| *t)
    }

    /// The kind of a public key; `None` where no new pair of it can be made here.
    pub fn of_spki(spki: &[u8]) -> Option<KeyType> {
        let info = super::public::spki_key_info(spki);
        match (&*info.algorithm, info.bits, info.curve.as_deref()) {
            // A short modulus is the one thing that isn't made again.
            ("RSA", Some(bits), _) => {
                Some(KeyType::Rsa((bits as usize).clamp(2048, 8192).next_multiple_of(256)))
            }
            ("EC", _, Some("P-256")) => Some(KeyType::P256),
            ("EC", _, Some("P-384")) => Some(KeyType::P384),
            ("EC", _, Some("P-521")) => Some(KeyType::P521),
            ("Ed25519", ..) => Some(KeyType::Ed25519),
            ("ML-DSA-44", ..) => Some(KeyType::MlDsa44),
            ("ML-DSA-65", ..) => Some(KeyType::MlDsa65),
            ("ML-DSA-87", ..) => Some(KeyType::MlDsa87),
            _ => None,
        }
    }
}

/// A new private key as PKCS#8, from the system's randomness.
pub fn generate(kind: KeyType) -> Result<Zeroizing<Vec<u8>>> {
    match kind {
        KeyType::Rsa(bits) => {
            let key = rsa::PrivateKey::new(&mut random()?, bits).map_err(failed)?;
            let der = key.to_pkcs8_der().map_err(failed)?;
            Ok(der.to_bytes())
        }
        KeyType::P256 => {
            ec_key(oid::P256, &scalar(&p256::SecretKey::generate_from_rng(&mut random()?).to_bytes()))
        }
        KeyType::P384 => {
            ec_key(oid::P384, &scalar(&p384::SecretKey::generate_from_rng(&mut random()?).to_bytes()))
        }
        KeyType::P521 => {
            ec_key(oid::P521, &scalar(&p521::SecretKey::generate_from_rng(&mut random()?).to_bytes()))
        }
        // RFC 8410 section 7.
        KeyType::Ed25519 => seeded_key(oid::ED25519, 0x04),
        // The seed alone, [0] IMPLICIT OCTET STRING: RFC 9881 section 6.
        KeyType::MlDsa44 => seeded_key(oid::ML_DSA_44, 0x80),
        KeyType::MlDsa65 => seeded_key(oid::ML_DSA_65, 0x80),
        KeyType::MlDsa87 => seeded_key(oid::ML_DSA_87, 0x80),
    }
}

/// A generator for libraries that want one, seeded by the system.
fn random() -> Result<ChaCha20Rng> {
    Ok(ChaCha20Rng::from_seed(*Zeroizing::new(Rng::system().bytes::<32>()?)))
}

fn scalar(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(bytes.to_vec())
}

/// PKCS#8 around an `ECPrivateKey` with its public point, as OpenSSL and the JDK write it.
fn ec_key(curve: &[u8], secret: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let algorithm = tlv_of(0x30, &[&tlv(0x06, oid::EC), &tlv(0x06, curve)]);
    let octets = Zeroizing::new(tlv(0x04, secret));
    let version: &[u8] = &[2, 1, 1];
    let bare = Zeroizing::new(tlv_of(0x30, &[version, &octets]));
    let spki = spki_of_pkcs8(&pkcs8(&algorithm, &bare))?;
    let point = spki.as_deref().map(public_bits).transpose()?.unwrap_or_default();
    let public = tlv(0xa1, &tlv_of(0x03, &[&[0], point]));
    let whole = Zeroizing::new(tlv_of(0x30, &[version, &octets, &public]));
    Ok(pkcs8(&algorithm, &whole))
}

fn seeded_key(id: &[u8], tag: u8) -> Result<Zeroizing<Vec<u8>>> {
    let seed = Zeroizing::new(Rng::system().bytes::<32>()?);
    Ok(pkcs8(&tlv(0x30, &tlv(0x06, id)), &Zeroizing::new(tlv(tag, &*seed))))
}

fn pkcs8(algorithm: &[u8], key: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(tlv_of(0x30, &[&[2, 1, 0], algorithm, &Zeroizing::new(tlv(0x04, key))]))
}

/// The octets of a `SubjectPublicKeyInfo`'s key.
pub fn public_bits(spki: &[u8]) -> Result<&[u8]> {
    let mut fields = Reader::new(spki, 0).expect(Tag::SEQUENCE, "SubjectPublicKeyInfo")?.reader();
    fields.expect(Tag::SEQUENCE, "AlgorithmIdentifier")?;
    let bits = fields.expect(Tag::BIT_STRING, "subjectPublicKey")?;
    match bits.content {
        [0, octets @ ..] => Ok(octets),
        _ => Err(bits.error("a public key that does not end at an octet")),
    }
}

fn failed(e: impl std::fmt::Display) -> Error {
    Error::unsupported(format!("the key can't be used: {e}"))
}

/// The digest of a signature, where the algorithm leaves a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// Only checked, never made.
    Sha1,
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

impl Digest {
    /// `sha256`, `sha384`, `sha512`.
    pub fn parse(text: &str) -> Option<Digest> {
        match text.to_ascii_lowercase().replace('-', "").as_str() {
            "sha256" => Some(Digest::Sha256),
            "sha384" => Some(Digest::Sha384),
            "sha512" => Some(Digest::Sha512),
            _ => None,
        }
    }

    fn of(self, message: &[u8]) -> Vec<u8> {
        match self {
            Digest::Sha1 => Sha1::digest(message).to_vec(),
            Digest::Sha256 => Sha256::digest(message).to_vec(),
            Digest::Sha384 => Sha384::digest(message).to_vec(),
            Digest::Sha512 => Sha512::digest(message).to_vec(),
        }
    }

    fn padding(self) -> Pkcs1v15Sign {
        match self {
            Digest::Sha1 => Pkcs1v15Sign::new::<Sha1>(),
            Digest::Sha256 => Pkcs1v15Sign::new::<Sha256>(),
            Digest::Sha384 => Pkcs1v15Sign::new::<Sha384>(),
            Digest::Sha512 => Pkcs1v15Sign::new::<Sha512>(),
        }
    }
}

/// Signature algorithms: OID, key algorithm, digest where it is the signer's to choose.
const ALGORITHMS: &[(&[u8], &[u8], Option<Digest>)] = &[
    (oid::SHA1_RSA, oid::RSA, Some(Digest::Sha1)),
    (oid::SHA256_RSA, oid::RSA, Some(Digest::Sha256)),
    (oid::SHA384_RSA, oid::RSA, Some(Digest::Sha384)),
    (oid::SHA512_RSA, oid::RSA, Some(Digest::Sha512)),
    (oid::SHA1_ECDSA, oid::EC, Some(Digest::Sha1)),
    (oid::SHA256_ECDSA, oid::EC, Some(Digest::Sha256)),
    (oid::SHA384_ECDSA, oid::EC, Some(Digest::Sha384)),
    (oid::SHA512_ECDSA, oid::EC, Some(Digest::Sha512)),
    (oid::ED25519, oid::ED25519, None),
    (oid::ML_DSA_44, oid::ML_DSA_44, None),
    (oid::ML_DSA_65, oid::ML_DSA_65, None),
    (oid::ML_DSA_87, oid::ML_DSA_87, None),
];

/// A private key, ready to sign.
pub struct Signer {
    key: Private,
    algorithm: Vec<u8>,
    digest: Digest,
    spki: Vec<u8>,
}

enum Private {
    Rsa(Box<rsa::PrivateKey>),
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    P521(p521::ecdsa::SigningKey),
    Ed25519(Box<ed25519_dalek::SigningKey>),
    MlDsa44(Zeroizing<[u8; 32]>),
    MlDsa65(Zeroizing<[u8; 32]>),
    MlDsa87(Zeroizing<[u8; 32]>),
}

impl Signer {
    /// Takes a PKCS#8 key. `digest` counts for RSA and EC; without it SHA-256, or what the curve's size asks for.
    pub fn new(pkcs8: &[u8], digest: Option<Digest>) -> Result<Signer> {
        let id = super::public::pkcs8_algorithm(pkcs8)?;
        let spki = match mldsa_public(id, pkcs8)? {
            Some(spki) => spki,
            None => spki_of_pkcs8(pkcs8)?
                .ok_or_else(|| Error::unsupported("a key of this algorithm can't sign here"))?,
        };
        let (key, usual) = private(id, pkcs8, &spki)?;
        let digest = digest.unwrap_or(usual);
        let signs = match key {
            Private::Rsa(_) => oid::RSA,
            Private::P256(_) | Private::P384(_) | Private::P521(_) => oid::EC,
            _ => id,
        };
        let found = ALGORITHMS.iter().find(|(_, key, d)| *key == signs && d.is_none_or(|d| d == digest));
        let (algorithm, ..) =
            found.ok_or_else(|| Error::unsupported("this key does not sign with that digest"))?;
        // RFC 4055 section 5 wants the NULL for RSA; the others have no parameters.
        let null: &[u8] = if signs == oid::RSA { &[5, 0] } else { &[] };
        Ok(Signer { key, algorithm: tlv_of(0x30, &[&tlv(0x06, algorithm), null]), digest, spki })
    }

    /// The public half.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The `AlgorithmIdentifier` of its signatures.
    pub fn algorithm(&self) -> &[u8] {
        &self.algorithm
    }

    /// The signature of `message`, as it stands in a BIT STRING.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let digest = || self.digest.of(message);
        Ok(match &self.key {
            // Blinded: the time it takes says nothing of the key.
            Private::Rsa(key) => {
                key.sign_with_rng(&mut random()?, self.digest.padding(), &digest()).map_err(failed)?
            }
            Private::P256(key) => {
                let s: p256::ecdsa::Signature = key.sign_prehash(&digest()).map_err(failed)?;
                s.to_der().as_bytes().to_vec()
            }
            Private::P384(key) => {
                let s: p384::ecdsa::Signature = key.sign_prehash(&digest()).map_err(failed)?;
                s.to_der().as_bytes().to_vec()
            }
            Private::P521(key) => {
                let s: p521::ecdsa::Signature = key.sign_prehash(&digest()).map_err(failed)?;
                s.to_der().as_bytes().to_vec()
            }
            Private::Ed25519(key) => ed25519_dalek::Signer::sign(&**key, message).to_bytes().to_vec(),
            Private::MlDsa44(seed) => mldsa_sign::<MlDsa44>(seed, message)?,
            Private::MlDsa65(seed) => mldsa_sign::<MlDsa65>(seed, message)?,
            Private::MlDsa87(seed) => mldsa_sign::<MlDsa87>(seed, message)?,
        })
    }

    /// `SEQUENCE { what is signed, algorithm, signature }`: certificates, requests and lists alike.
    pub fn signed(&self, content: &[u8]) -> Result<Vec<u8>> {
        let signature = self.sign(content)?;
        Ok(tlv_of(0x30, &[content, &self.algorithm, &tlv_of(0x03, &[&[0], &signature])]))
    }
}

fn private(id: &[u8], pkcs8: &[u8], spki: &[u8]) -> Result<(Private, Digest)> {
    let secret = || ec_scalar(pkcs8);
    Ok(match id {
        oid::RSA => {
            (Private::Rsa(Box::new(rsa::PrivateKey::from_pkcs8_der(pkcs8).map_err(failed)?)), Digest::Sha256)
        }
        oid::EC => match super::public::spki_key_info(spki).curve.as_deref() {
            Some("P-256") => {
                let key = p256::SecretKey::from_slice(&padded(&secret()?, 32)).map_err(failed)?;
                (Private::P256(key.into()), Digest::Sha256)
            }
            Some("P-384") => {
                let key = p384::SecretKey::from_slice(&padded(&secret()?, 48)).map_err(failed)?;
                (Private::P384(key.into()), Digest::Sha384)
            }
            Some("P-521") => {
                let key = p521::SecretKey::from_slice(&padded(&secret()?, 66)).map_err(failed)?;
                (Private::P521(key.into()), Digest::Sha512)
            }
            _ => return Err(Error::unsupported("a key on this curve can't sign here")),
        },
        oid::ED25519 => {
            let seed = seed(pkcs8, 0x04)?;
            (Private::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(&seed))), Digest::Sha512)
        }
        oid::ML_DSA_44 => (Private::MlDsa44(seed(pkcs8, 0x80)?), Digest::Sha512),
        oid::ML_DSA_65 => (Private::MlDsa65(seed(pkcs8, 0x80)?), Digest::Sha512),
        oid::ML_DSA_87 => (Private::MlDsa87(seed(pkcs8, 0x80)?), Digest::Sha512),
        _ => return Err(Error::unsupported("a key of this algorithm can't sign here")),
    })
}

/// The `privateKey` of a PKCS#8 key.
fn inner(pkcs8: &[u8]) -> Result<&[u8]> {
    let mut fields = Reader::new(pkcs8, 0).expect(Tag::SEQUENCE, "PrivateKeyInfo")?.reader();
    fields.expect(Tag::INTEGER, "version")?;
    fields.expect(Tag::SEQUENCE, "algorithm")?;
    Ok(fields.expect(Tag::OCTET_STRING, "privateKey")?.content)
}

fn ec_scalar(pkcs8: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let mut fields = Reader::new(inner(pkcs8)?, 0).expect(Tag::SEQUENCE, "ECPrivateKey")?.reader();
    fields.expect(Tag::INTEGER, "version")?;
    Ok(scalar(fields.expect(Tag::OCTET_STRING, "privateKey")?.content))
}

/// The scalar at the curve's size: some writers leave leading zeros out, some put more in.
fn padded(scalar: &[u8], size: usize) -> Zeroizing<Vec<u8>> {
    let zeros = scalar.iter().take_while(|b| **b == 0).count();
    let digits = &scalar[zeros..];
    let mut out = Zeroizing::new(vec![0; size.saturating_sub(digits.len())]);
    out.extend_from_slice(digits);
    out
}

fn seed(pkcs8: &[u8], tag: u8) -> Result<Zeroizing<[u8; 32]>> {
    let element = Reader::new(inner(pkcs8)?, 0).any("the key's seed")?;
    // ML-DSA's other form has the expanded key beside the seed (RFC 9881 section 6).
    let octets = match element.tag {
        Tag::SEQUENCE => element.reader().expect(Tag::OCTET_STRING, "the key's seed")?.content,
        t if t == Tag(tag) => element.content,
        _ => return Err(Error::unsupported("a key without its seed can't sign here")),
    };
    let seed: [u8; 32] = octets.try_into().map_err(|_| element.error("a seed of another length than 32"))?;
    Ok(Zeroizing::new(seed))
}

fn mldsa_public(id: &[u8], pkcs8: &[u8]) -> Result<Option<Vec<u8>>> {
    let spki = |key: Vec<u8>| Some(tlv_of(0x30, &[&tlv(0x30, &tlv(0x06, id)), &tlv_of(0x03, &[&[0], &key])]));
    Ok(match id {
        oid::ML_DSA_44 => spki(mldsa_key::<MlDsa44>(&*seed(pkcs8, 0x80)?)),
        oid::ML_DSA_65 => spki(mldsa_key::<MlDsa65>(&*seed(pkcs8, 0x80)?)),
        oid::ML_DSA_87 => spki(mldsa_key::<MlDsa87>(&*seed(pkcs8, 0x80)?)),
        _ => None,
    })
}

/// The `SubjectPublicKeyInfo` of a PKCS#8 key of ML-DSA that holds its seed; `None` for other keys.
pub(super) fn mldsa_spki(id: &[u8], pkcs8: &[u8]) -> Option<Vec<u8>> {
    mldsa_public(id, pkcs8).ok().flatten()
}

fn mldsa_key<P: ml_dsa::MlDsaParams>(seed: &[u8; 32]) -> Vec<u8> {
    let key = ml_dsa::SigningKey::<P>::from_seed(&(*seed).into());
    key.verifying_key().to_bytes().to_vec()
}

fn mldsa_sign<P: ml_dsa::MlDsaParams>(seed: &[u8; 32], message: &[u8]) -> Result<Vec<u8>> {
    use ml_dsa::signature::{SignatureEncoding, Signer as _};
    let key = ml_dsa::SigningKey::<P>::from_seed(&(*seed).into());
    Ok(key.try_sign(message).map_err(failed)?.to_vec())
}

/// Whether `signature` (octets of the BIT STRING) of `message` was made by the key `spki`. `algorithm` is the
/// whole `AlgorithmIdentifier`. `Kind::Unsupported` where the algorithm is none that is checked here.
pub fn verify(spki: &[u8], algorithm: &[u8], message: &[u8], signature: &[u8]) -> Result<bool> {
    let id = Reader::new(algorithm, 0).expect(Tag::SEQUENCE, "AlgorithmIdentifier")?;
    let id = id.reader().expect(Tag::OID, "algorithm")?.content;
    let known = ALGORITHMS.iter().find(|(algorithm, ..)| *algorithm == id);
    let Some((_, key, digest)) = known else {
        return Err(Error::unsupported(format!("signatures of {} can't be checked here", oid::dotted(id))));
    };
    if super::public::spki_algorithm(spki)? != *key {
        return Ok(false);
    }
    let hashed = || digest.unwrap_or(Digest::Sha512).of(message);
    Ok(match (*key, digest) {
        (oid::RSA, Some(digest)) => {
            let key = rsa::PublicKey::from_public_key_der(spki).map_err(failed)?;
            key.verify(digest.padding(), &hashed(), signature).is_ok()
        }
        (oid::EC, _) => ec_verify(spki, &hashed(), signature)?,
        (oid::ED25519, _) => {
            let key: [u8; 32] = public_bits(spki)?
                .try_into()
                .map_err(|_| Error::malformed("an Ed25519 key of another length"))?;
            let key = ed25519_dalek::VerifyingKey::from_bytes(&key).map_err(failed)?;
            let made = ed25519_dalek::Signature::from_slice(signature);
            made.is_ok_and(|s| key.verify_strict(message, &s).is_ok())
        }
        (oid::ML_DSA_44, _) => mldsa_verify::<MlDsa44>(public_bits(spki)?, message, signature),
        (oid::ML_DSA_65, _) => mldsa_verify::<MlDsa65>(public_bits(spki)?, message, signature),
        _ => mldsa_verify::<MlDsa87>(public_bits(spki)?, message, signature),
    })
}

macro_rules! ec_check {
    ($curve:ident, $point:expr, $hashed:expr, $signature:expr) => {{
        let key = $curve::ecdsa::VerifyingKey::from_sec1_bytes($point).map_err(failed)?;
        let made = $curve::ecdsa::Signature::from_der($signature);
        Ok(made.is_ok_and(|s| key.verify_prehash($hashed, &s).is_ok()))
    }};
}

fn ec_verify(spki: &[u8], hashed: &[u8], signature: &[u8]) -> Result<bool> {
    let point = public_bits(spki)?;
    match super::public::spki_key_info(spki).curve.as_deref() {
        Some("P-256") => ec_check!(p256, point, hashed, signature),
        Some("P-384") => ec_check!(p384, point, hashed, signature),
        Some("P-521") => ec_check!(p521, point, hashed, signature),
        _ => Err(Error::unsupported("signatures on this curve can't be checked here")),
    }
}

/// Whether it is the signature (FIPS 204, no context) of the message by a raw public key.
pub(super) fn mldsa_verify<P: ml_dsa::MlDsaParams>(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    use ml_dsa::signature::Verifier as _;
    let key =
        ml_dsa::EncodedVerifyingKey::<P>::try_from(key).ok().map(|k| ml_dsa::VerifyingKey::<P>::decode(&k));
    let made = ml_dsa::Signature::<P>::try_from(signature).ok();
    key.zip(made).is_some_and(|(key, made)| key.verify(message, &made).is_ok())
}

/// Checks the signature of a whole certificate, request or list by the key `spki`.
pub fn verify_signed(whole: &[u8], spki: &[u8]) -> Result<bool> {
    let mut fields = Reader::new(whole, 0).expect(Tag::SEQUENCE, "what is signed")?.reader();
    let content = fields.expect(Tag::SEQUENCE, "what is signed")?.raw;
    let algorithm = fields.expect(Tag::SEQUENCE, "signatureAlgorithm")?.raw;
    let signature = fields.expect(Tag::BIT_STRING, "signature")?;
    match signature.content {
        [0, octets @ ..] => verify(spki, algorithm, content, octets),
        _ => Err(signature.error("a signature that does not end at an octet")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_signs_and_is_checked() {
        for kind in TYPES
            .iter()
            .map(|(_, t)| *t)
            .filter(|t| !matches!(t, KeyType::Rsa(_)))
            .chain([KeyType::Rsa(2048)])
        {
            let key = generate(kind).expect("a key");
            let signer = Signer::new(&key, None).expect("a signer");
            assert_eq!(KeyType::of_spki(signer.spki()), Some(kind));
            assert_eq!(spki_of_pkcs8(&key).expect("a key").as_deref(), Some(signer.spki()));
            let whole = signer.signed(&tlv(0x30, b"content")).expect("a signature");
            assert!(verify_signed(&whole, signer.spki()).expect("a check"), "{kind:?}");
            let mut other = whole.clone();
            other[6] ^= 1;
            assert!(!verify_signed(&other, signer.spki()).expect("a check"), "{kind:?}");
            let stranger = Signer::new(&generate(KeyType::P256).expect("key"), None).expect("signer");
            assert!(!verify_signed(&whole, stranger.spki()).unwrap_or(false), "{kind:?}");
        }
    }

    #[test]
    fn words_for_types() {
        for (text, want) in [
            ("rsa:2048", Some(KeyType::Rsa(2048))),
            ("RSA:8192", Some(KeyType::Rsa(8192))),
            ("rsa:1024", None),
            ("rsa:8448", None),
            ("rsa:2049", None),
            ("ec:P384", Some(KeyType::P384)),
            ("dsa", None),
        ] {
            assert_eq!(KeyType::parse(text), want, "{text}");
        }
    }
}
