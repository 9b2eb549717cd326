//! Secret keys. GSKit has no record for them: it makes a throw-away RSA key and a certificate of it, and
//! keeps the secret, enciphered to that key, in an extension of the certificate.
//!
//! ```text
//! Certificate: C=US, O=IBM, OU=GSKIT, CN=label; version 3, sha1WithRSAEncryption, ten years
//! extension 1.3.6.1.4.999999999.999999999.999999999.718375.55524.2.5001:
//!     its value is the secret under PKCS#1 v1.5 (RFC 8017 section 7.2)
//! ```
//!
//! Verified with GSKit 8.0.60.5: it gives back secrets written here, and the other way round.

use crate::asn1::{self, cert_fields, oid, tlv, tlv_of};
use crate::context::Session;
use crate::error::{Error, Result};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey};
use rsa::{Pkcs1v15Encrypt, Pkcs1v15Sign, PrivateKey, PublicKey};
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

/// What 2048 bits hold beside the padding.
pub const MOST: usize = 256 - 11;
const BITS: usize = 2048;
/// Bytes of PKCS#8; RSA of 4096 bits takes 2400.
const LARGEST_KEY: usize = 4096;
const YEARS: i64 = 10;

/// Whether a certificate carries a secret key.
pub fn is_carrier(certificate: &[u8]) -> bool {
    cert_fields(certificate).is_ok_and(|f| f.extension(oid::GSK_SECRET_KEY).is_some())
}

/// The secret that `certificate` carries; `pkcs8` is its private key.
pub fn open(certificate: &[u8], pkcs8: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let damaged = || Error::malformed("the secret key can't be taken out of the certificate that carries it");
    let sealed = cert_fields(certificate)?.extension(oid::GSK_SECRET_KEY).ok_or_else(damaged)?;
    // GSKit's have 2048 bits; a hostile one may take minutes.
    if pkcs8.len() > LARGEST_KEY {
        return Err(Error::too_large("the key pair that carries the secret key is too large"));
    }
    let key = PrivateKey::from_pkcs8_der(pkcs8).map_err(|e| damaged().caused_by(e))?;
    let secret = key.decrypt(Pkcs1v15Encrypt, sealed).map_err(|e| damaged().caused_by(e))?;
    Ok(Zeroizing::new(secret))
}

/// A certificate that carries `secret`, and its private key as PKCS#8.
pub fn make(secret: &[u8], label: &[u8], session: &Session) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>)> {
    let failed =
        |e: rsa::Error| Error::unsupported("no key pair can be made to carry the secret key").caused_by(e);
    let mut rng = ChaCha20Rng::from_seed(*Zeroizing::new(session.rng.bytes::<32>()?));
    let key = PrivateKey::new(&mut rng, BITS).map_err(failed)?;
    let public = PublicKey::from(&key);
    let sealed = public.encrypt(&mut rng, Pkcs1v15Encrypt, secret).map_err(failed)?;
    let odd = || Error::unsupported("the key pair that carries a secret key can't be encoded");
    let spki = public.to_public_key_der().map_err(|e| odd().caused_by(e))?;
    let pkcs8 = key.to_pkcs8_der().map_err(|e| odd().caused_by(e))?;

    let signed_with = tlv_of(0x30, &[&asn1::oid_tlv(oid::SHA1_RSA), &[0x05, 0x00]]);
    let mut serial = session.rng.bytes::<8>()?;
    serial[0] = serial[0] & 0x7f | 0x40;
    let name = name(label);
    let now = session.now_ms / 1000;
    let validity = tlv_of(0x30, &[&time(now - 86_400), &time(now + YEARS * 365 * 86_400)]);
    let extension = tlv_of(0x30, &[&asn1::oid_tlv(oid::GSK_SECRET_KEY), &asn1::octet_string(&sealed)]);
    let tbs = tlv_of(
        0x30,
        &[
            &[0xa0, 3, 2, 1, 2],
            &tlv(0x02, &serial),
            &signed_with,
            &name,
            &validity,
            &name,
            spki.as_bytes(),
            &tlv(0xa3, &tlv(0x30, &extension)),
        ],
    );
    let digest = Sha1::digest(&tbs);
    let info = tlv_of(
        0x30,
        &[&tlv_of(0x30, &[&asn1::oid_tlv(oid::SHA1), &[0x05, 0x00]]), &asn1::octet_string(&digest)],
    );
    let signature = key.sign(Pkcs1v15Sign::new_unprefixed(), &info).map_err(failed)?;
    let certificate = tlv_of(0x30, &[&tbs, &signed_with, &tlv_of(0x03, &[&[0], &signature])]);
    Ok((certificate, Zeroizing::new(pkcs8.as_bytes().to_vec())))
}

fn name(label: &[u8]) -> Vec<u8> {
    let part =
        |id: &[u8], tag: u8, text: &[u8]| tlv(0x31, &tlv_of(0x30, &[&asn1::oid_tlv(id), &tlv(tag, text)]));
    const PRINTABLE: u8 = 0x13;
    const UTF8: u8 = 0x0c;
    tlv_of(
        0x30,
        &[
            &part(oid::COUNTRY, PRINTABLE, b"US"),
            &part(oid::O, PRINTABLE, b"IBM"),
            &part(oid::OU, PRINTABLE, b"GSKIT"),
            &part(oid::CN, UTF8, label),
        ],
    )
}

/// UTCTime, or GeneralizedTime from 2050 on (RFC 5280 section 4.1.2.5).
fn time(seconds: i64) -> Vec<u8> {
    let digits: String = crate::query::time::rfc3339(seconds).chars().filter(char::is_ascii_digit).collect();
    match digits.get(..4).and_then(|y| y.parse::<u32>().ok()) {
        Some(1950..=2049) => tlv(0x17, format!("{}Z", &digits[2..]).as_bytes()),
        _ => tlv(0x18, format!("{digits}Z").as_bytes()),
    }
}
