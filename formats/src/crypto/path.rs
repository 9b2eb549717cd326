//! Whether a certificate's chain leads to a trusted one. Building and judging the path is rustls-webpki's;
//! the signature algorithms that it is handed are RustCrypto's.
//!
//! Weak algorithms are checked like strong ones: that they are weak is said elsewhere, and a store that uses
//! them is not thereby incomplete.

use super::sign::mldsa_verify;
use crate::asn1::{Reader, Tag};
use md5::Md5;
use ml_dsa::{MlDsa44, MlDsa65, MlDsa87};
use rsa::BoxedUint;
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm, TrustAnchor,
    UnixTime, alg_id,
};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use std::time::Duration;
use webpki::{EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter, anchor_from_trusted_cert};

/// What was found out about a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It ends in one of the anchors, and every signature in it is right.
    Complete,
    /// No certificate that was given has issued it, or one above it.
    NoIssuer,
    /// Something in it is wrong, whatever else were given.
    Broken(String),
    /// It has something that the library doesn't check, so nothing is known.
    Unknown(String),
}

/// Looks for a path from `leaf` to one of `anchors` through `others`, at `now` (seconds since 1970). What it
/// may be used for is not asked.
pub fn verify(leaf: &[u8], anchors: &[&[u8]], others: &[&[u8]], now: i64) -> Verdict {
    let der = CertificateDer::from(leaf);
    let end = match EndEntityCert::try_from(&der) {
        Ok(end) => end,
        Err(e) => return Verdict::Unknown(reason(&e)),
    };
    let anchors: Vec<CertificateDer<'_>> = anchors.iter().map(|a| CertificateDer::from(*a)).collect();
    let anchors: Vec<TrustAnchor<'_>> =
        anchors.iter().filter_map(|a| anchor_from_trusted_cert(a).ok()).collect();
    let others: Vec<CertificateDer<'_>> = others.iter().map(|o| CertificateDer::from(*o)).collect();
    let all: Vec<&dyn SignatureVerificationAlgorithm> = ALGORITHMS.iter().map(|a| a as _).collect();
    let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap_or(0)));
    match end.verify_for_usage(&all, &anchors, &others, time, AnyUsage, None, None) {
        // That one has expired is said of that one.
        Ok(_) | Err(Error::CertExpired { .. } | Error::CertNotValidYet { .. }) => Verdict::Complete,
        Err(Error::UnknownIssuer) => Verdict::NoIssuer,
        Err(
            e @ (Error::InvalidSignatureForPublicKey
            | Error::NameConstraintViolation
            | Error::PathLenConstraintViolated
            | Error::EndEntityUsedAsCa
            | Error::InvalidCertValidity),
        ) => Verdict::Broken(reason(&e)),
        Err(e) => Verdict::Unknown(reason(&e)),
    }
}

/// Whether a certificate is signed by its own key; `None` where that can't be checked.
pub fn is_self_signed(certificate: &[u8]) -> Option<bool> {
    let mut fields = Reader::new(certificate, 0).expect(Tag::SEQUENCE, "Certificate").ok()?.reader();
    let tbs = fields.expect(Tag::SEQUENCE, "TBSCertificate").ok()?.raw;
    let algorithm = fields.expect(Tag::SEQUENCE, "signatureAlgorithm").ok()?.content;
    let signature = fields.expect(Tag::BIT_STRING, "signature").ok()?.content.get(1..)?;
    let spki = crate::asn1::cert_fields(certificate).ok()?.spki;
    let mut key = Reader::new(spki, 0).expect(Tag::SEQUENCE, "SubjectPublicKeyInfo").ok()?.reader();
    let key_algorithm = key.expect(Tag::SEQUENCE, "algorithm").ok()?.content;
    let key = key.expect(Tag::BIT_STRING, "key").ok()?.content.get(1..)?;
    let mut fitting = ALGORITHMS
        .iter()
        .filter(|a| a.signature.as_ref() == algorithm && a.key.as_ref() == key_algorithm)
        .peekable();
    fitting.peek()?;
    Some(fitting.any(|a| (a.verify)(key, tbs, signature)))
}

/// webpki's errors in words.
fn reason(error: &Error) -> String {
    let text = match error {
        Error::CaUsedAsEndEntity => "it is a CA's own certificate, whose path the library doesn't build",
        Error::UnsupportedCertVersion => "it is of version 1 or 2, which the library doesn't check",
        Error::InvalidSignatureForPublicKey => "a signature in it is not its issuer's",
        Error::NameConstraintViolation => "it has a name that its issuer may not certify",
        Error::PathLenConstraintViolated => "it has more CAs in a row than one of them allows",
        Error::EndEntityUsedAsCa => "what has issued it is not a CA",
        Error::InvalidCertValidity => "its end is before its begin",
        Error::UnsupportedCriticalExtension => "it has a critical extension that the library doesn't know",
        Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            "it is signed with an algorithm that isn't checked here"
        }
        Error::MaximumPathBuildCallsExceeded
        | Error::MaximumPathDepthExceeded
        | Error::MaximumSignatureChecksExceeded => "it has too many possible paths",
        other => return format!("the library for paths says {other}"),
    };
    text.to_owned()
}

/// What a certificate may be used for is another question.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        Ok(())
    }
}

type Verify = fn(key: &[u8], message: &[u8], signature: &[u8]) -> bool;

/// One pair of key and signature algorithm.
struct Algorithm {
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
    verify: Verify,
}

impl std::fmt::Debug for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Algorithm({:?})", self.signature)
    }
}

impl SignatureVerificationAlgorithm for Algorithm {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        (self.verify)(key, message, signature).then_some(()).ok_or(InvalidSignature)
    }
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }
    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

const fn alg(key: AlgorithmIdentifier, signature: AlgorithmIdentifier, verify: Verify) -> Algorithm {
    Algorithm { key, signature, verify }
}

const RSA: AlgorithmIdentifier = alg_id::RSA_ENCRYPTION;
/// RFC 8017 appendix A.2.4: PKCS#1's arc, and a NULL.
const MD5_RSA: AlgorithmIdentifier =
    AlgorithmIdentifier::from_slice(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04\x05\x00");
const SHA1_RSA: AlgorithmIdentifier =
    AlgorithmIdentifier::from_slice(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05\x05\x00");
const SHA224_RSA: AlgorithmIdentifier =
    AlgorithmIdentifier::from_slice(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0e\x05\x00");
/// RFC 3279 section 2.2.3.
const ECDSA_SHA1: AlgorithmIdentifier =
    AlgorithmIdentifier::from_slice(b"\x06\x07\x2a\x86\x48\xce\x3d\x04\x01");

macro_rules! rsa {
    ($verify:ident, $hash:ty) => {
        |key, message, signature| rsa_key(key).is_some_and(|k| k.$verify::<$hash>(message, signature).is_ok())
    };
}

macro_rules! ecdsa {
    ($curve:ident, $hash:ty) => {
        |key, message, signature| {
            use $curve::ecdsa::signature::hazmat::PrehashVerifier;
            let key = $curve::ecdsa::VerifyingKey::from_sec1_bytes(key);
            let made = $curve::ecdsa::Signature::from_der(signature);
            key.is_ok_and(|k| made.is_ok_and(|s| k.verify_prehash(&<$hash>::digest(message), &s).is_ok()))
        }
    };
}

const ALGORITHMS: &[Algorithm] = &[
    alg(RSA, alg_id::RSA_PKCS1_SHA256, rsa!(pkcs1v15_verify, Sha256)),
    alg(RSA, alg_id::RSA_PKCS1_SHA384, rsa!(pkcs1v15_verify, Sha384)),
    alg(RSA, alg_id::RSA_PKCS1_SHA512, rsa!(pkcs1v15_verify, Sha512)),
    alg(RSA, SHA224_RSA, rsa!(pkcs1v15_verify, Sha224)),
    alg(RSA, SHA1_RSA, rsa!(pkcs1v15_verify, Sha1)),
    alg(RSA, MD5_RSA, rsa!(pkcs1v15_verify, Md5)),
    alg(RSA, alg_id::RSA_PSS_SHA256, rsa!(pss_verify, Sha256)),
    alg(RSA, alg_id::RSA_PSS_SHA384, rsa!(pss_verify, Sha384)),
    alg(RSA, alg_id::RSA_PSS_SHA512, rsa!(pss_verify, Sha512)),
    alg(alg_id::ECDSA_P256, alg_id::ECDSA_SHA256, ecdsa!(p256, Sha256)),
    alg(alg_id::ECDSA_P256, alg_id::ECDSA_SHA384, ecdsa!(p256, Sha384)),
    alg(alg_id::ECDSA_P256, alg_id::ECDSA_SHA512, ecdsa!(p256, Sha512)),
    alg(alg_id::ECDSA_P256, ECDSA_SHA1, ecdsa!(p256, Sha1)),
    alg(alg_id::ECDSA_P384, alg_id::ECDSA_SHA256, ecdsa!(p384, Sha256)),
    alg(alg_id::ECDSA_P384, alg_id::ECDSA_SHA384, ecdsa!(p384, Sha384)),
    alg(alg_id::ECDSA_P384, alg_id::ECDSA_SHA512, ecdsa!(p384, Sha512)),
    alg(alg_id::ECDSA_P521, alg_id::ECDSA_SHA256, ecdsa!(p521, Sha256)),
    alg(alg_id::ECDSA_P521, alg_id::ECDSA_SHA384, ecdsa!(p521, Sha384)),
    alg(alg_id::ECDSA_P521, alg_id::ECDSA_SHA512, ecdsa!(p521, Sha512)),
    alg(alg_id::ED25519, alg_id::ED25519, |key, message, signature| {
        let key = key.try_into().ok().and_then(|k| ed25519_dalek::VerifyingKey::from_bytes(k).ok());
        let made = ed25519_dalek::Signature::from_slice(signature).ok();
        key.zip(made).is_some_and(|(k, s)| k.verify_strict(message, &s).is_ok())
    }),
    alg(alg_id::ML_DSA_44, alg_id::ML_DSA_44, mldsa_verify::<MlDsa44>),
    alg(alg_id::ML_DSA_65, alg_id::ML_DSA_65, mldsa_verify::<MlDsa65>),
    alg(alg_id::ML_DSA_87, alg_id::ML_DSA_87, mldsa_verify::<MlDsa87>),
];

/// Larger keys are met nowhere; checking one signature of this size takes milliseconds.
const MOST_BITS: usize = 16_384;

/// An `RSAPublicKey`.
fn rsa_key(key: &[u8]) -> Option<rsa::PublicKey> {
    let mut fields = Reader::new(key, 0).expect(Tag::SEQUENCE, "RSAPublicKey").ok()?.reader();
    let mut number = || {
        let content = fields.expect(Tag::INTEGER, "number").ok()?.content;
        let digits = content.strip_prefix(&[0]).unwrap_or(content);
        let bits = digits.len().checked_mul(8).filter(|b| *b <= MOST_BITS)?;
        BoxedUint::from_be_slice(digits, u32::try_from(bits).ok()?).ok()
    };
    let (n, e) = (number()?, number()?);
    rsa::PublicKey::new_with_size_limits(n, e, 512..=MOST_BITS).ok()
}
