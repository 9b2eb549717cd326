//! Keys: NSS keeps their numbers as attributes, everybody else a PKCS#8.
//!
//! What comes out is the one canonical PKCS#8 of a key (RFC 8017, RFC 5915 with the point and without the
//! curve inside, RFC 8410, RFC 5958), whatever shape went in: the bytes of a PKCS#8 have no place in an
//! NSS database.
//!
//! NSS verifies each private number by itself, with a record that doesn't say whose it is. So the numbers
//! are compared here: those of one key must belong together, and to its public half.

use super::layout::*;
use super::sql::Object;
use crate::asn1::{Reader, Tag, octet_string, oid, oid_tlv, tlv, tlv_of};
use crate::crypto::public::{identity, spki_of_pkcs8};
use crate::error::{Error, Result};
use crypto_bigint::{BoxedUint, ConcatenatingMul, NonZero};
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

/// A longer number is no key of anybody's, and computing with it takes long.
const MAX_NUMBER: usize = 2048;

/// The public half of a key, in NSS's terms.
#[derive(Clone, Debug)]
pub enum Public {
    /// Modulus and exponent, without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// The curve's parameters as an element, and the bare point.
    Ec { curve: Vec<u8>, point: Vec<u8> },
    /// The public value.
    Ed25519 { value: Vec<u8> },
    /// The numbers of the group, and y.
    Dsa { p: Vec<u8>, q: Vec<u8>, g: Vec<u8>, y: Vec<u8> },
}

impl Public {
    /// From a key's row: a private key's (`NSS_DB` holds the point or y), or a public key's.
    pub fn of_object(object: &Object) -> Option<Self> {
        let own = |t| object.get(t).map(magnitude).map(<[u8]>::to_vec);
        let private = object.class == class::PRIVATE_KEY;
        Some(match object.word(KEY_TYPE)? {
            key::RSA => Public::Rsa { n: own(MODULUS)?, e: own(PUBLIC_EXPONENT)? },
            key::DSA => {
                let y = if private { own(NSS_DB)? } else { own(VALUE)? };
                Public::Dsa { p: own(PRIME)?, q: own(SUBPRIME)?, g: own(BASE)?, y }
            }
            key::EC => {
                let curve = object.get(EC_PARAMS)?.to_vec();
                let point = if private { object.get(NSS_DB)? } else { object.get(EC_POINT)? };
                Public::Ec { curve, point: bare_point(point)?.to_vec() }
            }
            key::EC_EDWARDS if object.get(EC_PARAMS)? == ed25519() => {
                let value = if private { object.get(NSS_DB)? } else { object.get(EC_POINT)? };
                let value = if value.len() == 32 { value } else { unwrapped(value)? };
                Public::Ed25519 { value: value.to_vec() }
            }
            _ => return None,
        })
    }

    /// From a `SubjectPublicKeyInfo`; `None` for algorithms that NSS has no rows for.
    pub fn of_spki(spki: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(spki, 0).expect(Tag::SEQUENCE, "SubjectPublicKeyInfo").ok()?.reader();
        let mut algorithm = fields.expect(Tag::SEQUENCE, "algorithm").ok()?.reader();
        let id = algorithm.expect(Tag::OID, "algorithm").ok()?.content;
        let bits = match fields.expect(Tag::BIT_STRING, "subjectPublicKey").ok()?.content {
            [0, bits @ ..] => bits,
            _ => return None,
        };
        let number =
            |r: &mut Reader<'_>| r.expect(Tag::INTEGER, "number").ok().map(|n| magnitude(n.content).to_vec());
        match id {
            oid::RSA | oid::RSA_PSS => {
                let mut key = Reader::new(bits, 0).expect(Tag::SEQUENCE, "RSAPublicKey").ok()?.reader();
                Some(Public::Rsa { n: number(&mut key)?, e: number(&mut key)? })
            }
            oid::EC => {
                let curve = algorithm.next().ok()??.raw.to_vec();
                Some(Public::Ec { curve, point: bits.to_vec() })
            }
            oid::ED25519 => Some(Public::Ed25519 { value: bits.to_vec() }),
            oid::DSA => {
                let mut group = algorithm.expect(Tag::SEQUENCE, "Dss-Parms").ok()?.reader();
                let (p, q, g) = (number(&mut group)?, number(&mut group)?, number(&mut group)?);
                Some(Public::Dsa { p, q, g, y: number(&mut Reader::new(bits, 0))? })
            }
            _ => None,
        }
    }

    /// As a `SubjectPublicKeyInfo`.
    pub fn spki(&self) -> Vec<u8> {
        let key = match self {
            Public::Rsa { n, e } => tlv_of(0x30, &[&unsigned(n), &unsigned(e)]),
            Public::Ec { point, .. } => point.clone(),
            Public::Ed25519 { value } => value.clone(),
            Public::Dsa { y, .. } => unsigned(y),
        };
        tlv_of(0x30, &[&self.algorithm(), &tlv_of(0x03, &[&[0], &key])])
    }

    /// What NSS joins certificates and keys by (CKA_ID): the SHA-1 of the bare public value.
    pub fn id(&self) -> Vec<u8> {
        let value = self.bare();
        if value.len() <= 20 { value.to_vec() } else { Sha1::digest(value).to_vec() }
    }

    /// Modulus, point, public value or y.
    pub fn bare(&self) -> &[u8] {
        match self {
            Public::Rsa { n, .. } => n,
            Public::Ec { point, .. } => point,
            Public::Ed25519 { value } => value,
            Public::Dsa { y, .. } => y,
        }
    }

    /// The CKA_KEY_TYPE.
    pub fn key_type(&self) -> u32 {
        match self {
            Public::Rsa { .. } => key::RSA,
            Public::Ec { .. } => key::EC,
            Public::Ed25519 { .. } => key::EC_EDWARDS,
            Public::Dsa { .. } => key::DSA,
        }
    }

    fn algorithm(&self) -> Vec<u8> {
        match self {
            Public::Rsa { .. } => tlv_of(0x30, &[&oid_tlv(oid::RSA), &[5, 0]]),
            Public::Ec { curve, .. } => tlv_of(0x30, &[&oid_tlv(oid::EC), curve]),
            Public::Ed25519 { .. } => tlv_of(0x30, &[&oid_tlv(oid::ED25519)]),
            Public::Dsa { p, q, g, .. } => {
                let group = tlv_of(0x30, &[&unsigned(p), &unsigned(q), &unsigned(g)]);
                tlv_of(0x30, &[&oid_tlv(oid::DSA), &group])
            }
        }
    }
}

/// The private numbers of a key.
pub enum Numbers {
    /// d, p, q, d mod p-1, d mod q-1, 1/q mod p.
    Rsa([Zeroizing<Vec<u8>>; 6]),
    /// The scalar, the seed, or x.
    One(Zeroizing<Vec<u8>>),
}

/// A private key.
pub struct Private {
    /// Its public half.
    pub public: Public,
    /// Its secret half.
    pub numbers: Numbers,
}

/// Where the numbers of an RSA key stand, in the order of [`Numbers::Rsa`] and of PKCS#1.
pub const RSA_NUMBERS: [Type; 6] = [PRIVATE_EXPONENT, PRIME_1, PRIME_2, EXPONENT_1, EXPONENT_2, COEFFICIENT];

impl Private {
    /// From a PKCS#8 of any shape.
    pub fn of_pkcs8(pkcs8: &[u8]) -> Result<Self> {
        let spki = spki_of_pkcs8(pkcs8)?;
        let unknown = || Error::unsupported("NSS has no private keys of this algorithm");
        let public = spki.as_deref().and_then(Public::of_spki).ok_or_else(unknown)?;
        let mut fields = Reader::new(pkcs8, 0).expect(Tag::SEQUENCE, "PrivateKeyInfo")?.reader();
        fields.expect(Tag::INTEGER, "version")?;
        fields.expect(Tag::SEQUENCE, "privateKeyAlgorithm")?;
        let key = fields.expect(Tag::OCTET_STRING, "privateKey")?.content;
        let mut inner = Reader::new(key, 0);
        let numbers = match &public {
            Public::Rsa { .. } => Numbers::Rsa(rsa_numbers(&mut inner)?),
            Public::Ec { curve, point } => {
                let mut key = inner.expect(Tag::SEQUENCE, "ECPrivateKey")?.reader();
                key.expect(Tag::INTEGER, "version")?;
                let scalar = key.expect(Tag::OCTET_STRING, "privateKey")?.content;
                Numbers::One(sized(scalar, field_size(curve, point)))
            }
            Public::Ed25519 { .. } => Numbers::One(copy(inner.expect(Tag::OCTET_STRING, "seed")?.content)),
            Public::Dsa { .. } => Numbers::One(copy(magnitude(inner.expect(Tag::INTEGER, "x")?.content))),
        };
        Ok(Private { public, numbers })
    }

    /// The canonical PKCS#8.
    pub fn pkcs8(&self) -> Zeroizing<Vec<u8>> {
        self.encode(true)
    }

    fn encode(&self, with_point: bool) -> Zeroizing<Vec<u8>> {
        let key = Zeroizing::new(match (&self.public, &self.numbers) {
            (Public::Rsa { n, e }, Numbers::Rsa(numbers)) => {
                let mut content = Zeroizing::new(Vec::with_capacity(8 * n.len() + 64));
                content.extend_from_slice(&[2, 1, 0]);
                let all = [&n[..], &e[..]].into_iter().chain(numbers.iter().map(|n| &n[..]));
                for number in all {
                    content.extend_from_slice(&Zeroizing::new(unsigned(number)));
                }
                tlv(0x30, &content)
            }
            (Public::Ec { point, .. }, Numbers::One(scalar)) => {
                let point = tlv(0xa1, &tlv_of(0x03, &[&[0], point]));
                let rest: &[u8] = if with_point { &point } else { &[] };
                tlv_of(0x30, &[&[2, 1, 1], &Zeroizing::new(octet_string(scalar)), rest])
            }
            (Public::Ed25519 { .. }, Numbers::One(seed)) => octet_string(seed),
            (_, Numbers::One(x)) => unsigned(x),
            // The two halves are made together.
            (_, Numbers::Rsa(_)) => Vec::new(),
        });
        let algorithm = self.public.algorithm();
        let key = Zeroizing::new(octet_string(&key));
        Zeroizing::new(tlv_of(0x30, &[&[2, 1, 0], &algorithm, &key]))
    }

    /// Whether the numbers belong to each other and to the public half.
    pub fn check(&self) -> Result<()> {
        let fits = match (&self.public, &self.numbers) {
            (Public::Rsa { n, e }, Numbers::Rsa(numbers)) => rsa_fits(n, e, numbers)?,
            // Without the point in it, for that would be believed.
            _ => match spki_of_pkcs8(&self.encode(false))? {
                Some(computed) => identity(&computed) == identity(&self.public.spki()),
                None => true,
            },
        };
        if fits { Ok(()) } else { Err(Error::malformed("the private key does not fit its public half")) }
    }
}

/// The numbers of an `RSAPrivateKey` of two primes after its public ones.
fn rsa_numbers(inner: &mut Reader<'_>) -> Result<[Zeroizing<Vec<u8>>; 6]> {
    let mut key = inner.expect(Tag::SEQUENCE, "RSAPrivateKey")?.reader();
    if key.expect(Tag::INTEGER, "version")?.unsigned()? != 0 {
        return Err(Error::unsupported("NSS has no RSA keys of more than two primes"));
    }
    key.expect(Tag::INTEGER, "modulus")?;
    key.expect(Tag::INTEGER, "publicExponent")?;
    let mut next =
        || Ok::<_, Error>(copy(magnitude(key.expect(Tag::INTEGER, "a number of the key")?.content)));
    let numbers = [next()?, next()?, next()?, next()?, next()?, next()?];
    if numbers.iter().any(|n| n.is_empty()) {
        return Err(Error::unsupported("NSS has no use for an RSA key without its primes"));
    }
    Ok(numbers)
}

/// RFC 8017 section 3.2: n = pq, e·dP = 1 mod p-1, e·dQ = 1 mod q-1, q·qInv = 1 mod p, and d that agrees.
fn rsa_fits(n: &[u8], e: &[u8], numbers: &[Zeroizing<Vec<u8>>; 6]) -> Result<bool> {
    if numbers.iter().any(|x| x.len() > MAX_NUMBER) || n.len() > MAX_NUMBER || e.len() > MAX_NUMBER {
        return Err(Error::too_large(format!("an RSA key of {} bits is refused", n.len() * 8)));
    }
    let [d, p, q, dp, dq, qi] = numbers.each_ref().map(|x| Zeroizing::new(big(x)));
    let (n, e, one) = (big(n), big(e), BoxedUint::one());
    let less_one = |x: &BoxedUint| nonzero(x.wrapping_sub(&one));
    let (Some(p1), Some(q1), Some(p_mod)) = (less_one(&p), less_one(&q), nonzero((*p).clone())) else {
        return Ok(false);
    };
    let same = |a: BoxedUint, b: &BoxedUint| {
        let (a, b) = (Zeroizing::new(a.to_be_bytes().to_vec()), Zeroizing::new(b.to_be_bytes().to_vec()));
        magnitude(&a) == magnitude(&b)
    };
    Ok(same(p.concatenating_mul(&*q), &n)
        && same(d.rem(&p1), &dp)
        && same(d.rem(&q1), &dq)
        && same(dp.concatenating_mul(&e).rem(&p1), &one)
        && same(dq.concatenating_mul(&e).rem(&q1), &one)
        && same(qi.concatenating_mul(&*q).rem(&p_mod), &one))
}

fn big(bytes: &[u8]) -> BoxedUint {
    BoxedUint::from_be_slice_truncated(bytes, (bytes.len().max(8) as u32) * 8)
}

fn nonzero(x: BoxedUint) -> Option<NonZero<BoxedUint>> {
    Option::from(NonZero::new(x))
}

/// The bytes of a scalar on this curve: half of an uncompressed point's coordinates, or as the curve says.
fn field_size(curve: &[u8], point: &[u8]) -> usize {
    let known = [(oid::P256, 32), (oid::P384, 48), (oid::P521, 66), (oid::K256, 32)];
    let named = known.iter().find(|(id, _)| curve.get(2..) == Some(*id)).map(|(_, size)| *size);
    named.unwrap_or(point.len().saturating_sub(1) / 2)
}

/// A scalar at exactly `size` bytes, whatever zeros it came with.
fn sized(scalar: &[u8], size: usize) -> Zeroizing<Vec<u8>> {
    let digits = magnitude(scalar);
    let mut out = Zeroizing::new(vec![0; size.saturating_sub(digits.len())]);
    out.reserve_exact(digits.len());
    out.extend_from_slice(digits);
    out
}

/// A key's numbers as deciphered: the canonical form of each.
pub fn numbers(public: &Public, values: Vec<Zeroizing<Vec<u8>>>) -> Result<Numbers> {
    match (public, <[_; 6]>::try_from(values)) {
        (Public::Rsa { .. }, Ok(six)) => Ok(Numbers::Rsa(six.map(|n| copy(magnitude(&n))))),
        (Public::Rsa { .. }, Err(_)) => Err(Error::malformed("an RSA key that lacks numbers")),
        (_, Err(mut one)) if one.len() == 1 => {
            let one = one.pop().unwrap_or_default();
            Ok(Numbers::One(match public {
                Public::Ec { curve, point } => sized(&one, field_size(curve, point)),
                Public::Dsa { .. } => copy(magnitude(&one)),
                _ => one,
            }))
        }
        _ => Err(Error::malformed("a key that lacks its private value")),
    }
}

/// The parameters of Ed25519 as a key's row has them.
pub fn ed25519() -> Vec<u8> {
    oid_tlv(oid::ED25519)
}

/// An OCTET STRING's content, if it is one and nothing else.
fn unwrapped(value: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(value, 0);
    let string = reader.expect(Tag::OCTET_STRING, "point").ok()?;
    reader.is_empty().then_some(string.content)
}

/// A point with or without the OCTET STRING around it. The first octet of a bare one may look like that
/// tag; then the lengths decide.
fn bare_point(value: &[u8]) -> Option<&[u8]> {
    match unwrapped(value) {
        Some(inner) if matches!(inner.first(), Some(2..=4 | 6 | 7)) => Some(inner),
        _ => matches!(value.first(), Some(2..=4 | 6 | 7)).then_some(value),
    }
}

/// Without leading zeros.
pub fn magnitude(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

/// An INTEGER that is not negative.
fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let digits = magnitude(bytes);
    let pad: &[u8] = if digits.first().is_none_or(|b| b & 0x80 != 0) { &[0] } else { &[] };
    tlv_of(0x02, &[pad, digits])
}

fn copy(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(bytes.to_vec())
}
