//! Private keys of older formats as PKCS#8, which is what the model holds.
//!
//! ```text
//! PrivateKeyInfo  ::= SEQUENCE { version 0, AlgorithmIdentifier, OCTET STRING }          RFC 5208
//! RSAPrivateKey   ::= SEQUENCE { version, n, e, d, p, q, … }                              RFC 8017 A.1.2
//! ECPrivateKey    ::= SEQUENCE { 1, OCTET STRING, [0] curve OPTIONAL, [1] public OPTIONAL }  RFC 5915
//! DSAPrivateKey   ::= SEQUENCE { 0, p, q, g, y, x }                                       OpenSSL's own
//! ```
//!
//! The result has the bytes that OpenSSL 3.0 makes with `pkcs8 -topk8` (verified).

use super::shape::{Shape, shape};
use super::{Reader, Tag, header_len, oid, put_header, tlv, tlv_of};
use crate::error::{Error, Result};
use zeroize::Zeroizing;

const NULL: &[u8] = &[0x05, 0];
const VERSION_0: &[u8] = &[0x02, 1, 0];
const VERSION_1: &[u8] = &[0x02, 1, 1];

/// A private key in the clear as PKCS#8, whichever of the four formats it is in; `None` for anything
/// else. `curve` is an `ECParameters` that stood beside a key which names none itself.
pub fn to_pkcs8(key: &[u8], curve: Option<&[u8]>) -> Result<Option<Zeroizing<Vec<u8>>>> {
    match shape(key) {
        Some(Shape::Pkcs8) => {
            let whole = Reader::new(key, 0).expect(Tag::SEQUENCE, "PrivateKeyInfo")?;
            let mut fields = whole.reader();
            fields.expect(Tag::INTEGER, "version")?;
            fields.expect(Tag::SEQUENCE, "algorithm")?;
            fields.octet_string("privateKey")?;
            Ok(Some(Zeroizing::new(whole.raw.to_vec())))
        }
        Some(Shape::Pkcs1) => rsa(key).map(Some),
        Some(Shape::Sec1) => ec(key, curve).map(Some),
        Some(Shape::Dsa) => dsa(key).map(Some),
        _ => Ok(None),
    }
}

fn rsa(key: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let whole = Reader::new(key, 0).expect(Tag::SEQUENCE, "RSAPrivateKey")?;
    let mut fields = whole.reader();
    for name in ["version", "modulus", "publicExponent", "privateExponent", "prime1", "prime2"] {
        fields.expect(Tag::INTEGER, name)?;
    }
    Ok(private_key_info(&tlv_of(0x30, &[&tlv(0x06, oid::RSA), NULL]), &[whole.raw]))
}

/// The curve moves from the key into the algorithm, as RFC 5915 section 3 has it for PKCS#8.
fn ec(key: &[u8], beside: Option<&[u8]>) -> Result<Zeroizing<Vec<u8>>> {
    let mut fields = Reader::new(key, 0).expect(Tag::SEQUENCE, "ECPrivateKey")?.reader();
    fields.expect(Tag::INTEGER, "version")?;
    let scalar = fields.expect(Tag::OCTET_STRING, "privateKey")?.raw;
    let curve = match fields.optional(Tag::context(0))? {
        Some(own) => Some(own.reader().any("the curve")?.raw),
        None => beside,
    };
    let curve = curve.ok_or_else(|| Error::malformed("an EC key that does not name its curve"))?;
    let public = fields.optional(Tag::context(1))?.map_or(&[][..], |p| p.raw);
    let len = VERSION_1.len() + scalar.len() + public.len();
    let mut inner = Vec::with_capacity(header_len(len));
    put_header(&mut inner, Tag::SEQUENCE.0, len);
    let algorithm = tlv_of(0x30, &[&tlv(0x06, oid::EC), curve]);
    Ok(private_key_info(&algorithm, &[&inner, VERSION_1, scalar, public]))
}

fn dsa(key: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let mut fields = Reader::new(key, 0).expect(Tag::SEQUENCE, "DSAPrivateKey")?.reader();
    fields.expect(Tag::INTEGER, "version")?;
    let mut number = |name| fields.expect(Tag::INTEGER, name).map(|t| t.raw);
    let numbers = tlv_of(0x30, &[number("p")?, number("q")?, number("g")?]);
    number("y")?;
    let x = number("x")?;
    Ok(private_key_info(&tlv_of(0x30, &[&tlv(0x06, oid::DSA), &numbers]), &[x]))
}

/// A `PrivateKeyInfo` whose key is the `parts` one after the other; sized once, so that no copy of the
/// key stays behind.
fn private_key_info(algorithm: &[u8], parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let key: usize = parts.iter().map(|p| p.len()).sum();
    let len = VERSION_0.len() + algorithm.len() + header_len(key) + key;
    let mut out = Zeroizing::new(Vec::with_capacity(header_len(len) + len));
    put_header(&mut out, Tag::SEQUENCE.0, len);
    out.extend_from_slice(VERSION_0);
    out.extend_from_slice(algorithm);
    put_header(&mut out, Tag::OCTET_STRING.0, key);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(key: &[u8]) -> Vec<u8> {
        to_pkcs8(key, None).expect("key").expect("known").to_vec()
    }

    #[test]
    fn the_curve_moves_out_of_the_key() {
        let curve = tlv(6, oid::P256);
        let public = tlv(0xa1, &[3, 2, 0, 4]);
        let scalar: &[u8] = &[4, 1, 9];
        let sec1 = tlv_of(0x30, &[VERSION_1, scalar, &tlv(0xa0, &curve), &public]);
        let inner = tlv_of(0x30, &[VERSION_1, scalar, &public]);
        let algorithm = tlv_of(0x30, &[&tlv(6, oid::EC), &curve]);
        let want = tlv_of(0x30, &[VERSION_0, &algorithm, &tlv(4, &inner)]);
        assert_eq!(made(&sec1), want);
        assert_eq!(made(&want), want, "PKCS#8 stays as it is");
        let nameless = tlv_of(0x30, &[VERSION_1, scalar, &public]);
        assert!(to_pkcs8(&nameless, None).is_err());
        assert_eq!(to_pkcs8(&nameless, Some(&curve)).expect("key").expect("known").to_vec(), want);
    }

    #[test]
    fn numbers_of_rsa_and_dsa() {
        let n = |n: u8| [2, 1, n];
        let rsa = tlv_of(0x30, &[&n(0), &n(1), &n(2), &n(3), &n(4), &n(5), &n(6), &n(7), &n(8)]);
        let algorithm = tlv_of(0x30, &[&tlv(6, oid::RSA), NULL]);
        assert_eq!(made(&rsa), tlv_of(0x30, &[VERSION_0, &algorithm, &tlv(4, &rsa)]));
        let dsa = tlv_of(0x30, &[&n(0), &n(1), &n(2), &n(3), &n(4), &n(5)]);
        let numbers = tlv_of(0x30, &[&n(1), &n(2), &n(3)]);
        let algorithm = tlv_of(0x30, &[&tlv(6, oid::DSA), &numbers]);
        assert_eq!(made(&dsa), tlv_of(0x30, &[VERSION_0, &algorithm, &tlv(4, &n(5))]));
        assert!(to_pkcs8(&algorithm, None).expect("no key").is_none());
    }
}
