//! Public halves of private keys, and what a public key is called.
//!
//! Keys and certificates are paired by public key and never by name, for labels and localKeyIDs lie.
//! So every private key must yield its `SubjectPublicKeyInfo`, and two of those must compare equal
//! whenever they are the same key in different clothes: RSA under the PSS identifier, NULL or no
//! parameters, a compressed point, a curve spelt out by its parameters.
//!
//! Sources: RFC 5958 (PKCS#8), RFC 8017 appendix A (RSA), RFC 5915 and SEC 1 (EC), RFC 8410
//! (Ed25519, X25519), RFC 3279 (DSA), FIPS 203 to 205 for the names of the newer algorithms.

use crate::asn1::{Reader, Tag, Tlv, oid, tlv, tlv_of};
use crate::error::{Error, Result};
use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};
use p256::elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point};
use p256::elliptic_curve::{AffinePoint, Curve, CurveArithmetic, FieldBytesSize, PublicKey, SecretKey};
use std::borrow::Cow;
use zeroize::Zeroizing;

/// What a public key is, for people and for JSON.
#[derive(serde::Serialize, Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// `RSA`, `RSA-PSS`, `EC`, `Ed25519`, …; a dotted OID where no name is known.
    pub algorithm: Cow<'static, str>,
    /// Size in bits, where the algorithm has sizes: of the modulus, of the curve's field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits: Option<u32>,
    /// The curve's name (`P-256`), or its dotted OID; only for `EC`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curve: Option<Cow<'static, str>>,
}

/// The `SubjectPublicKeyInfo` (DER) that belongs to a PKCS#8 private key in the clear.
///
/// `Ok(None)`: the algorithm is one whose public half isn't computed here, and the key doesn't carry it
/// (`publicKey [1]` of RFC 5958). An error: the key is damaged. EC points come uncompressed and with
/// the curve's name.
pub fn spki_of_pkcs8(pkcs8: &[u8]) -> Result<Option<Vec<u8>>> {
    let key = PrivateKey::parse(pkcs8)?;
    let derived = match key.algorithm.id {
        oid::RSA | oid::RSA_PSS => rsa_spki(&key).map(Some)?,
        oid::EC => ec_spki(&key)?,
        oid::ED25519 => {
            let public = ed25519_dalek::SigningKey::from_bytes(&*seed(&key)?).verifying_key();
            Some(spki(key.algorithm.raw, public.as_bytes()))
        }
        oid::X25519 => {
            let public = x25519_dalek::x25519(*seed(&key)?, x25519_dalek::X25519_BASEPOINT_BYTES);
            Some(spki(key.algorithm.raw, &public))
        }
        oid::DSA => dsa_spki(&key)?,
        id => super::sign::mldsa_spki(id, pkcs8),
    };
    Ok(derived.or_else(|| key.public.map(|public| spki(key.algorithm.raw, public))))
}

/// The OID (content octets) of a PKCS#8 private key's algorithm.
pub fn pkcs8_algorithm(pkcs8: &[u8]) -> Result<&[u8]> {
    Ok(PrivateKey::parse(pkcs8)?.algorithm.id)
}

/// The OID (content octets) of a public key's algorithm.
pub fn spki_algorithm(spki: &[u8]) -> Result<&[u8]> {
    Ok(PublicInfo::parse(spki)?.algorithm.id)
}

/// Name, size and curve of a `SubjectPublicKeyInfo`. Never fails: what can't be read has the algorithm
/// `unknown`.
pub fn spki_key_info(spki: &[u8]) -> KeyInfo {
    PublicInfo::parse(spki).map_or_else(
        |_| KeyInfo { algorithm: "unknown".into(), bits: None, curve: None },
        |public| key_info(&public),
    )
}

/// Whether two `SubjectPublicKeyInfo`s are one and the same key, however each is written.
pub fn same_public_key(a: &[u8], b: &[u8]) -> bool {
    a == b || identity(a) == identity(b)
}

/// What makes a public key the key it is, the same for every way to write it: to look keys up by. Bytes
/// that are no `SubjectPublicKeyInfo` stand for themselves.
pub fn identity(spki: &[u8]) -> Vec<u8> {
    let known = PublicInfo::parse(spki).ok().and_then(|public| match public.algorithm.id {
        oid::RSA | oid::RSA_PSS => {
            let (n, e) = rsa_numbers(public.key).ok()?;
            Some(labelled(oid::RSA, &[n, e]))
        }
        oid::EC => {
            let (parameters, point) = ec_named(public.algorithm.parameters?.raw, public.key);
            Some(labelled(oid::EC, &[&parameters, &point]))
        }
        // The parameters may be inherited from the issuer (RFC 3279), y alone tells keys apart.
        oid::DSA => {
            let y = Reader::new(public.key, 0).expect(Tag::INTEGER, "DSA public key").ok()?;
            Some(labelled(oid::DSA, &[magnitude(y.content)]))
        }
        id => Some(labelled(id, &[public.key])),
    });
    known.unwrap_or_else(|| spki.to_vec())
}

/// A part of a public key that is the same for every way to write it, found without any computing: to
/// look for candidates by. Equal keys have equal parts; the reverse is for [`same_public_key`] to say.
pub fn distinctive_part(spki: &[u8]) -> &[u8] {
    let part = PublicInfo::parse(spki).ok().and_then(|public| match public.algorithm.id {
        oid::RSA | oid::RSA_PSS => rsa_numbers(public.key).ok().map(|(n, _)| n),
        oid::EC => match public.key {
            [4 | 6 | 7, xy @ ..] => xy.get(..xy.len() / 2),
            [_, x @ ..] => Some(x),
            [] => None,
        },
        oid::DSA => Reader::new(public.key, 0).next().ok()?.map(|y| magnitude(y.content)),
        _ => Some(public.key),
    });
    part.unwrap_or(spki)
}

/// OID and parts, each with its length before it, so that no two lists of parts look alike.
fn labelled(id: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + id.len() + parts.iter().map(|p| p.len() + 4).sum::<usize>());
    for part in std::iter::once(&id).chain(parts) {
        out.extend_from_slice(&(part.len() as u32).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

/// An `AlgorithmIdentifier`.
struct Algorithm<'a> {
    /// The whole element.
    raw: &'a [u8],
    id: &'a [u8],
    parameters: Option<Tlv<'a>>,
}

impl<'a> Algorithm<'a> {
    fn read(from: &mut Reader<'a>) -> Result<Self> {
        let whole = from.expect(Tag::SEQUENCE, "AlgorithmIdentifier")?;
        let mut fields = whole.reader();
        let id = fields.expect(Tag::OID, "algorithm")?.content;
        Ok(Algorithm { raw: whole.raw, id, parameters: fields.next()? })
    }
}

/// The fields of a `PrivateKeyInfo` or `OneAsymmetricKey` (RFC 5958 section 2).
struct PrivateKey<'a> {
    algorithm: Algorithm<'a>,
    key: &'a [u8],
    public: Option<&'a [u8]>,
}

impl<'a> PrivateKey<'a> {
    fn parse(pkcs8: &'a [u8]) -> Result<Self> {
        let mut fields = Reader::new(pkcs8, 0).expect(Tag::SEQUENCE, "PrivateKeyInfo")?.reader();
        fields.expect(Tag::INTEGER, "version")?;
        let algorithm = Algorithm::read(&mut fields)?;
        let key = fields.expect(Tag::OCTET_STRING, "privateKey")?.content;
        fields.optional(Tag::context(0))?;
        let public = match fields.next()? {
            Some(t) if t.tag == Tag::context_primitive(1) => Some(bits(&t)?),
            // Some writers tag it explicitly (seen in ring's first Ed25519 keys).
            Some(t) if t.tag == Tag::context(1) => {
                Some(bits(&t.reader().expect(Tag::BIT_STRING, "publicKey")?)?)
            }
            _ => None,
        };
        Ok(PrivateKey { algorithm, key, public })
    }
}

/// The fields of a `SubjectPublicKeyInfo` (RFC 5280 section 4.1).
struct PublicInfo<'a> {
    algorithm: Algorithm<'a>,
    key: &'a [u8],
}

impl<'a> PublicInfo<'a> {
    fn parse(spki: &'a [u8]) -> Result<Self> {
        let mut fields = Reader::new(spki, 0).expect(Tag::SEQUENCE, "SubjectPublicKeyInfo")?.reader();
        let algorithm = Algorithm::read(&mut fields)?;
        let key = bits(&fields.expect(Tag::BIT_STRING, "subjectPublicKey")?)?;
        Ok(PublicInfo { algorithm, key })
    }
}

/// The octets of a BIT STRING without unused bits.
fn bits<'a>(string: &Tlv<'a>) -> Result<&'a [u8]> {
    match string.content {
        [0, octets @ ..] => Ok(octets),
        _ => Err(string.error("a public key that does not end at an octet")),
    }
}

/// A `SubjectPublicKeyInfo` from a whole `AlgorithmIdentifier` and the key's octets.
fn spki(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    tlv_of(0x30, &[algorithm, &tlv_of(0x03, &[&[0], key])])
}

/// The octets of an INTEGER without leading zeros.
fn magnitude(content: &[u8]) -> &[u8] {
    let zeros = content.iter().take_while(|b| **b == 0).count();
    &content[zeros..]
}

fn bit_len(content: &[u8]) -> u32 {
    let digits = magnitude(content);
    digits.first().map_or(0, |first| digits.len() as u32 * 8 - first.leading_zeros())
}

// RSA

fn rsa_spki(key: &PrivateKey<'_>) -> Result<Vec<u8>> {
    let mut fields = Reader::new(key.key, 0).expect(Tag::SEQUENCE, "RSAPrivateKey")?.reader();
    fields.expect(Tag::INTEGER, "version")?;
    let n = fields.expect(Tag::INTEGER, "modulus")?.raw;
    let e = fields.expect(Tag::INTEGER, "publicExponent")?.raw;
    Ok(spki(key.algorithm.raw, &tlv_of(0x30, &[n, e])))
}

/// Modulus and exponent, without leading zeros.
fn rsa_numbers(key: &[u8]) -> Result<(&[u8], &[u8])> {
    let mut fields = Reader::new(key, 0).expect(Tag::SEQUENCE, "RSAPublicKey")?.reader();
    let n = fields.expect(Tag::INTEGER, "modulus")?.content;
    let e = fields.expect(Tag::INTEGER, "publicExponent")?.content;
    Ok((magnitude(n), magnitude(e)))
}

// EC

/// A curve that can be computed with.
struct KnownCurve {
    oid: &'static [u8],
    name: &'static str,
    bits: u32,
    /// The field's prime, to recognise a curve that is spelt out.
    prime: &'static [u8],
    /// The coefficient a is the prime less this.
    minus_a: u8,
    /// The order of the generator, big-endian.
    order: fn() -> Vec<u8>,
    /// The uncompressed point of a scalar; `None` if it is out of range.
    public: fn(&[u8]) -> Option<Vec<u8>>,
    /// A point in any form, uncompressed; `None` if it isn't on the curve.
    expand: fn(&[u8]) -> Option<Vec<u8>>,
}

macro_rules! curve {
    ($oid:ident, $name:literal, $bits:literal, $curve:ty, $minus_a:literal, $prime:expr) => {
        KnownCurve {
            oid: oid::$oid,
            name: $name,
            bits: $bits,
            prime: $prime,
            minus_a: $minus_a,
            order: || AsRef::<[u8]>::as_ref(&<$curve as Curve>::ORDER.as_ref().to_be_bytes()).to_vec(),
            public: public_point::<$curve>,
            expand: expanded::<$curve>,
        }
    };
}

/// SEC 2 version 2.
const CURVES: &[KnownCurve] = &[
    curve!(
        P256,
        "P-256",
        256,
        p256::NistP256,
        3,
        &prime(&[(0, 0xff, 4), (7, 1, 1), (20, 0xff, 12)], [0; 32])
    ),
    curve!(
        P384,
        "P-384",
        384,
        p384::NistP384,
        3,
        &prime(&[(0, 0xff, 31), (31, 0xfe, 1), (32, 0xff, 4), (44, 0xff, 4)], [0; 48])
    ),
    curve!(P521, "P-521", 521, p521::NistP521, 3, &prime(&[(0, 1, 1), (1, 0xff, 65)], [0; 66])),
    curve!(
        K256,
        "secp256k1",
        256,
        k256::Secp256k1,
        0,
        &prime(&[(0, 0xff, 27), (27, 0xfe, 1), (28, 0xff, 2), (30, 0xfc, 1), (31, 0x2f, 1)], [0; 32])
    ),
];

/// A prime of these curves is mostly runs: (from, value, count).
const fn prime<const N: usize>(runs: &[(usize, u8, usize)], mut out: [u8; N]) -> [u8; N] {
    let mut run = 0;
    while run < runs.len() {
        let (from, value, count) = runs[run];
        let mut at = from;
        while at < from + count {
            out[at] = value;
            at += 1;
        }
        run += 1;
    }
    out
}

/// Names of curves that are only shown.
const OTHER_CURVES: &[(&str, &str, u32)] = &[
    ("1.2.840.10045.3.1.1", "P-192", 192),
    ("1.3.132.0.33", "P-224", 224),
    ("1.3.36.3.3.2.8.1.1.3", "brainpoolP192r1", 192),
    ("1.3.36.3.3.2.8.1.1.5", "brainpoolP224r1", 224),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1", 256),
    ("1.3.36.3.3.2.8.1.1.9", "brainpoolP320r1", 320),
    ("1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1", 384),
    ("1.3.36.3.3.2.8.1.1.13", "brainpoolP512r1", 512),
    ("1.2.156.10197.1.301", "SM2", 256),
];

fn ec_spki(key: &PrivateKey<'_>) -> Result<Option<Vec<u8>>> {
    let mut fields = Reader::new(key.key, 0).expect(Tag::SEQUENCE, "ECPrivateKey")?.reader();
    fields.expect(Tag::INTEGER, "version")?;
    let scalar = fields.expect(Tag::OCTET_STRING, "privateKey")?;
    let mut parameters = key.algorithm.parameters.filter(|p| p.tag != Tag::NULL);
    if let Some(own) = fields.optional(Tag::context(0))? {
        parameters = parameters.or(own.reader().next()?);
    }
    let embedded = match fields.optional(Tag::context(1))? {
        Some(public) => Some(bits(&public.reader().expect(Tag::BIT_STRING, "publicKey")?)?),
        None => key.public,
    };
    let Some(parameters) = parameters else {
        return Err(Error::malformed("an EC key that does not name its curve"));
    };
    let point = match (embedded, known_curve(parameters.raw)) {
        (Some(point), _) => Some(point.to_vec()),
        (None, Some(curve)) => {
            let scalar = field_sized(scalar.content, curve.prime.len());
            let point = scalar.as_ref().and_then(|s| (curve.public)(s));
            Some(point.ok_or_else(|| Error::malformed("an EC private key out of its curve's range"))?)
        }
        (None, None) => None,
    };
    Ok(point.map(|point| {
        let (parameters, point) = ec_named(parameters.raw, &point);
        spki(&tlv_of(0x30, &[&tlv(0x06, oid::EC), &parameters]), &point)
    }))
}

/// Curve parameters (a whole element) and point in their one normal form: the curve's name and an
/// uncompressed point for curves that are known, as they stand for others.
fn ec_named<'a>(parameters: &'a [u8], point: &'a [u8]) -> (Cow<'a, [u8]>, Cow<'a, [u8]>) {
    match known_curve(parameters) {
        None => (parameters.into(), point.into()),
        Some(curve) => {
            let point = match point {
                [4, ..] => point.into(),
                // X9.62's hybrid form: both coordinates after another first octet.
                [6 | 7, xy @ ..] if xy.len() == 2 * curve.prime.len() => [&[4], xy].concat().into(),
                _ => (curve.expand)(point).map_or(point.into(), Cow::Owned),
            };
            (tlv(0x06, curve.oid).into(), point)
        }
    }
}

/// The curve that an `ECParameters` CHOICE means: named, or spelt out with the very numbers of a
/// standard curve, its generator included.
fn known_curve(parameters: &[u8]) -> Option<&'static KnownCurve> {
    let parameters = Reader::new(parameters, 0).next().ok()??;
    match parameters.tag {
        Tag::OID => CURVES.iter().find(|c| c.oid == parameters.content),
        Tag::SEQUENCE => spelt_out(&parameters).ok()?,
        _ => None,
    }
}

/// `SpecifiedECDomain` (SEC 1 appendix C.2). The coefficient b isn't looked at: prime, a and one point
/// leave no choice for it.
fn spelt_out(parameters: &Tlv<'_>) -> Result<Option<&'static KnownCurve>> {
    let mut fields = parameters.reader();
    fields.expect(Tag::INTEGER, "version")?;
    let mut field = fields.expect(Tag::SEQUENCE, "fieldID")?.reader();
    field.expect(Tag::OID, "fieldType")?;
    let Some(prime) = field.optional(Tag::INTEGER)? else {
        return Ok(None); // a binary field
    };
    let a = fields.expect(Tag::SEQUENCE, "curve")?.reader().expect(Tag::OCTET_STRING, "a")?.content;
    let base = fields.expect(Tag::OCTET_STRING, "base")?.content;
    let order = fields.expect(Tag::INTEGER, "order")?.content;
    let one = |size: usize| Some([vec![0; size - 1], vec![1]].concat());
    Ok(CURVES.iter().find(|c| {
        magnitude(prime.content) == c.prime
            && magnitude(a) == magnitude(&coefficient_a(c))
            && magnitude(order) == magnitude(&(c.order)())
            && (c.expand)(base) == one(c.prime.len()).and_then(|s| (c.public)(&s))
    }))
}

/// p - 3, or 0.
fn coefficient_a(curve: &KnownCurve) -> Vec<u8> {
    if curve.minus_a == 0 {
        return Vec::new();
    }
    let mut a = curve.prime.to_vec();
    // The last octet of each prime is 0xff, so nothing is borrowed.
    if let Some(last) = a.last_mut() {
        *last = last.wrapping_sub(curve.minus_a);
    }
    a
}

/// A scalar at the size of the field: some writers drop leading zeros, some add one.
fn field_sized(scalar: &[u8], size: usize) -> Option<Zeroizing<Vec<u8>>> {
    let digits = magnitude(scalar);
    let mut out = Zeroizing::new(vec![0; size]);
    let from = size.checked_sub(digits.len())?;
    out[from..].copy_from_slice(digits);
    Some(out)
}

fn public_point<C>(scalar: &[u8]) -> Option<Vec<u8>>
where
    C: CurveArithmetic,
    FieldBytesSize<C>: ModulusSize,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
{
    let key = SecretKey::<C>::from_slice(scalar).ok()?;
    Some(key.public_key().to_sec1_point(false).as_bytes().to_vec())
}

fn expanded<C>(point: &[u8]) -> Option<Vec<u8>>
where
    C: CurveArithmetic,
    FieldBytesSize<C>: ModulusSize,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
{
    let key = PublicKey::<C>::from_sec1_bytes(point).ok()?;
    Some(key.to_sec1_point(false).as_bytes().to_vec())
}

// Ed25519 and X25519

/// `CurvePrivateKey ::= OCTET STRING` of 32 octets (RFC 8410 section 7).
fn seed(key: &PrivateKey<'_>) -> Result<Zeroizing<[u8; 32]>> {
    let octets = Reader::new(key.key, 0).expect(Tag::OCTET_STRING, "CurvePrivateKey")?;
    let seed = <[u8; 32]>::try_from(octets.content);
    seed.map(Zeroizing::new).map_err(|_| octets.error("a key of this curve has 32 octets"))
}

// DSA

/// Beyond this (FIPS 186-4 knows 3072) a key is hostile or a toy, and the power costs real time.
const MAX_DSA_BYTES: usize = 512;

/// y = g^x mod p.
fn dsa_spki(key: &PrivateKey<'_>) -> Result<Option<Vec<u8>>> {
    let Some(parameters) = key.algorithm.parameters.filter(|p| p.tag == Tag::SEQUENCE) else {
        return Ok(None);
    };
    let mut fields = parameters.reader();
    let p = magnitude(fields.expect(Tag::INTEGER, "p")?.content);
    fields.expect(Tag::INTEGER, "q")?;
    let g = magnitude(fields.expect(Tag::INTEGER, "g")?.content);
    let x = Reader::new(key.key, 0).expect(Tag::INTEGER, "DSA private key")?.content;
    let x = magnitude(x);
    if p.len() > MAX_DSA_BYTES || g.len() > p.len() || x.len() > p.len() {
        return Ok(None);
    }
    Ok(power(g, x, p).map(|y| {
        // A leading zero octet keeps it positive.
        let y = magnitude(&y);
        let sign: &[u8] = if y.first().is_none_or(|b| b & 0x80 != 0) { &[0] } else { &[] };
        spki(key.algorithm.raw, &tlv_of(0x02, &[sign, y]))
    }))
}

/// g^x mod p; `None` for an even or trivial p.
fn power(g: &[u8], x: &[u8], p: &[u8]) -> Option<Box<[u8]>> {
    let bits = u32::try_from(p.len() * 8).ok().filter(|bits| *bits >= 8 && p != [1])?;
    let modulus = BoxedUint::from_be_slice(p, bits).ok()?;
    let modulus = Odd::new(modulus).into_option()?;
    let parameters = BoxedMontyParams::new_vartime(modulus);
    let precision = parameters.bits_precision();
    let base = BoxedUint::from_be_slice(g, precision).ok()?;
    let exponent = Zeroizing::new(BoxedUint::from_be_slice(x, precision).ok()?);
    Some(BoxedMontyForm::new(base, &parameters).pow(&exponent).retrieve().to_be_bytes())
}

// Names

/// NIST's arc for signatures and key encapsulation, and RFC 8410.
const NAMES: &[(&str, &str)] = &[
    ("1.3.101.110", "X25519"),
    ("1.3.101.111", "X448"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
    ("1.2.840.113549.1.3.1", "DH"),
    ("1.2.840.10046.2.1", "DH"),
    ("2.16.840.1.101.3.4.3.17", "ML-DSA-44"),
    ("2.16.840.1.101.3.4.3.18", "ML-DSA-65"),
    ("2.16.840.1.101.3.4.3.19", "ML-DSA-87"),
    ("2.16.840.1.101.3.4.3.20", "SLH-DSA-SHA2-128s"),
    ("2.16.840.1.101.3.4.3.21", "SLH-DSA-SHA2-128f"),
    ("2.16.840.1.101.3.4.3.22", "SLH-DSA-SHA2-192s"),
    ("2.16.840.1.101.3.4.3.23", "SLH-DSA-SHA2-192f"),
    ("2.16.840.1.101.3.4.3.24", "SLH-DSA-SHA2-256s"),
    ("2.16.840.1.101.3.4.3.25", "SLH-DSA-SHA2-256f"),
    ("2.16.840.1.101.3.4.3.26", "SLH-DSA-SHAKE-128s"),
    ("2.16.840.1.101.3.4.3.27", "SLH-DSA-SHAKE-128f"),
    ("2.16.840.1.101.3.4.3.28", "SLH-DSA-SHAKE-192s"),
    ("2.16.840.1.101.3.4.3.29", "SLH-DSA-SHAKE-192f"),
    ("2.16.840.1.101.3.4.3.30", "SLH-DSA-SHAKE-256s"),
    ("2.16.840.1.101.3.4.3.31", "SLH-DSA-SHAKE-256f"),
    ("2.16.840.1.101.3.4.4.1", "ML-KEM-512"),
    ("2.16.840.1.101.3.4.4.2", "ML-KEM-768"),
    ("2.16.840.1.101.3.4.4.3", "ML-KEM-1024"),
];

fn key_info(public: &PublicInfo<'_>) -> KeyInfo {
    let named = |name: &'static str, bits| KeyInfo { algorithm: name.into(), bits, curve: None };
    match public.algorithm.id {
        oid::RSA => named("RSA", rsa_numbers(public.key).ok().map(|(n, _)| bit_len(n))),
        oid::RSA_PSS => named("RSA-PSS", rsa_numbers(public.key).ok().map(|(n, _)| bit_len(n))),
        oid::DSA => named("DSA", public.algorithm.parameters.and_then(|p| dsa_bits(&p))),
        oid::EC => {
            let (curve, bits) = curve_name(public.algorithm.parameters.as_ref());
            KeyInfo { algorithm: "EC".into(), bits, curve }
        }
        id => {
            let dotted = oid::dotted(id);
            match NAMES.iter().find(|(known, _)| *known == dotted) {
                Some((_, name)) => named(name, None),
                None => KeyInfo { algorithm: dotted.into(), bits: None, curve: None },
            }
        }
    }
}

fn dsa_bits(parameters: &Tlv<'_>) -> Option<u32> {
    let p = parameters.tag.is_constructed().then(|| parameters.reader().next().ok()).flatten()??;
    Some(bit_len(p.content))
}

fn curve_name(parameters: Option<&Tlv<'_>>) -> (Option<Cow<'static, str>>, Option<u32>) {
    let Some(parameters) = parameters else { return (None, None) };
    if let Some(curve) = known_curve(parameters.raw) {
        return (Some(curve.name.into()), Some(curve.bits));
    }
    if parameters.tag != Tag::OID {
        return (Some("explicit".into()), None);
    }
    let dotted = oid::dotted(parameters.content);
    match OTHER_CURVES.iter().find(|(known, ..)| *known == dotted) {
        Some((_, name, bits)) => (Some((*name).into()), Some(*bits)),
        None => (Some(dotted.into()), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(algorithm: &[u8], content: &[u8], rest: &[u8]) -> Vec<u8> {
        tlv_of(0x30, &[&[2, 1, 0], algorithm, &tlv(4, content), rest])
    }

    fn ec_algorithm(curve: &[u8]) -> Vec<u8> {
        tlv_of(0x30, &[&tlv(6, oid::EC), curve])
    }

    /// The scalar 1 has the generator as its public point, which SEC 2 prints.
    #[test]
    fn ec_points_are_derived() {
        for (curve, x_begins) in CURVES.iter().zip([[0x6b, 0x17], [0xaa, 0x87], [0x00, 0xc6], [0x79, 0xbe]]) {
            let named = tlv(6, curve.oid);
            let sec1 = tlv_of(0x30, &[&[2, 1, 1], &tlv(4, &[1])]);
            let spki = spki_of_pkcs8(&key(&ec_algorithm(&named), &sec1, &[])).expect("key").expect("known");
            let info = PublicInfo::parse(&spki).expect("spki");
            assert_eq!(info.key.len(), 1 + 2 * curve.prime.len());
            assert_eq!(info.key[..3], [4, x_begins[0], x_begins[1]], "{}", curve.name);
            assert_eq!(spki_key_info(&spki).curve.as_deref(), Some(curve.name));
            let zero = tlv_of(0x30, &[&[2, 1, 1], &tlv(4, &[0])]);
            assert!(spki_of_pkcs8(&key(&ec_algorithm(&named), &zero, &[])).is_err());
            every_form_is_one_key(curve, &spki, info.key);
        }
    }

    fn every_form_is_one_key(curve: &KnownCurve, whole: &[u8], point: &[u8]) {
        let named = ec_algorithm(&tlv(6, curve.oid));
        let (x, y) = point[1..].split_at(curve.prime.len());
        let odd = y[y.len() - 1] & 1;
        let compressed = spki(&named, &[&[2 + odd][..], x].concat());
        let hybrid = spki(&named, &[&[6 + odd][..], x, y].concat());
        let mirrored = spki(&named, &[&[3 - odd][..], x].concat());
        assert!(same_public_key(whole, &compressed) && same_public_key(&hybrid, &compressed));
        for form in [&compressed, &hybrid, &mirrored] {
            assert_eq!(distinctive_part(form), x);
        }
        assert!(!same_public_key(whole, &mirrored));
        let unsigned = |b: &[u8]| tlv_of(2, &[&[0], magnitude(b)]);
        let explicit = |order: &[u8]| {
            let field = tlv_of(0x30, &[&tlv(6, &[0x2a]), &unsigned(curve.prime)]);
            let ab = tlv_of(0x30, &[&tlv(4, &coefficient_a(curve)), &tlv(4, &[7])]);
            let spelt = tlv_of(0x30, &[&[2, 1, 1], &field, &ab, &tlv(4, point), &unsigned(order)]);
            spki(&ec_algorithm(&spelt), point)
        };
        let mut order = (curve.order)();
        assert!(same_public_key(whole, &explicit(&order)), "{}", curve.name);
        *order.last_mut().expect("order") ^= 2;
        assert!(!same_public_key(whole, &explicit(&order)), "another order is another group");
    }

    /// RFC 8410 section 10.3; the X25519 pair as OpenSSL 3.0.19 prints it.
    #[test]
    fn curve25519() {
        let seed = hex("d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842");
        let public = hex("19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1");
        let algorithm = tlv_of(0x30, &[&tlv(6, oid::ED25519)]);
        let got = spki_of_pkcs8(&key(&algorithm, &tlv(4, &seed), &[]));
        assert_eq!(got.expect("key"), Some(spki(&algorithm, &public)));
        let scalar = hex("77076d0a7318a57d3c16c17251b26645df4c7f92ebc0992ac177fba51db92c2a");
        let algorithm = tlv_of(0x30, &[&tlv(6, oid::X25519)]);
        let public = hex("099f86f91c818e4a9c7811dfcc9795c456bfe748a9b1b4ec51cdeadde081ab60");
        let got = spki_of_pkcs8(&key(&algorithm, &tlv(4, &scalar), &[]));
        assert_eq!(got.expect("key"), Some(spki(&algorithm, &public)));
        assert!(spki_of_pkcs8(&key(&algorithm, &tlv(4, &scalar[1..]), &[])).is_err());
    }

    #[test]
    fn unknown_algorithms_use_what_the_key_carries() {
        let algorithm = tlv_of(0x30, &[&tlv(6, oid::ED448)]);
        let bare = key(&algorithm, &tlv(4, &[7; 57]), &[]);
        assert_eq!(spki_of_pkcs8(&bare).expect("key"), None);
        for public in [tlv(0x81, &[0, 9, 9]), tlv(0xa1, &tlv(3, &[0, 9, 9]))] {
            let whole = key(&algorithm, &tlv(4, &[7; 57]), &public);
            assert_eq!(spki_of_pkcs8(&whole).expect("key"), Some(spki(&algorithm, &[9, 9])));
        }
        assert_eq!(spki_key_info(&spki(&algorithm, &[9])).algorithm, "Ed448");
    }

    /// 5^6 mod 23 = 8.
    #[test]
    fn dsa_power() {
        let numbers = tlv_of(0x30, &[&[2, 1, 23], &[2, 1, 11], &[2, 1, 5]]);
        let algorithm = tlv_of(0x30, &[&tlv(6, oid::DSA), &numbers]);
        let got = spki_of_pkcs8(&key(&algorithm, &[2, 1, 6], &[])).expect("key").expect("known");
        assert_eq!(got, spki(&algorithm, &[2, 1, 8]));
        let inherited = spki(&tlv_of(0x30, &[&tlv(6, oid::DSA)]), &[2, 1, 8]);
        assert!(same_public_key(&got, &inherited));
        let even = tlv_of(0x30, &[&tlv(6, oid::DSA), &tlv_of(0x30, &[&[2, 1, 22], &[2, 1, 1], &[2, 1, 5]])]);
        assert_eq!(spki_of_pkcs8(&key(&even, &[2, 1, 6], &[])).expect("key"), None);
    }

    #[test]
    fn rsa_in_three_dresses() {
        let numbers = tlv_of(0x30, &[&[2, 3, 0, 0x80, 1], &[2, 1, 3]]);
        let with = |id: &[u8], parameters: &[u8]| spki(&tlv_of(0x30, &[&tlv(6, id), parameters]), &numbers);
        let plain = with(oid::RSA, &[5, 0]);
        assert!(same_public_key(&plain, &with(oid::RSA, &[])));
        assert!(same_public_key(&plain, &with(oid::RSA_PSS, &[0x30, 0])));
        assert_eq!(distinctive_part(&plain), [0x80, 1]);
        assert!(!same_public_key(&plain, &with(oid::ED25519, &[])));
        let info = KeyInfo { algorithm: "RSA".into(), bits: Some(16), curve: None };
        assert_eq!(spki_key_info(&plain), info);
        let private = tlv_of(0x30, &[&[2, 1, 0], &[2, 3, 0, 0x80, 1], &[2, 1, 3], &[2, 1, 7]]);
        let algorithm = tlv_of(0x30, &[&tlv(6, oid::RSA), &[5, 0]]);
        assert_eq!(spki_of_pkcs8(&key(&algorithm, &private, &[])).expect("key"), Some(plain));
    }

    #[test]
    fn junk_is_an_error_and_only_like_itself() {
        assert!(spki_of_pkcs8(&[0x30, 0]).is_err());
        assert!(same_public_key(b"a", b"a") && !same_public_key(b"a", b"b"));
        assert_eq!(spki_key_info(b"a").algorithm, "unknown");
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex")).collect()
    }
}
