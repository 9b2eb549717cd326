//! What proves a store's integrity: the MAC of RFC 7292 and PBMAC1 of RFC 9579.
//!
//! ```text
//! MacData       ::= SEQUENCE { mac DigestInfo, macSalt OCTET STRING, iterations INTEGER DEFAULT 1 }
//! DigestInfo    ::= SEQUENCE { digestAlgorithm AlgorithmIdentifier, digest OCTET STRING }
//! PBMAC1-params ::= SEQUENCE { keyDerivationFunc AlgorithmIdentifier, messageAuthScheme AlgorithmIdentifier }
//! ```
//! The MAC covers the octets of the AuthenticatedSafe as they stand, before any BER is made sense of.

use crate::asn1::{self, Reader, Tag, Tlv, oid};
use crate::context::Session;
use crate::crypto::kdf::{self, Use};
use crate::crypto::pbe::{Kdf, algorithm_with_null, hmac, pbkdf2_algorithm};
use crate::crypto::phrase::{Derivation, form};
use crate::crypto::{Authenticating, Hash};
use crate::error::{Error, Result};
use crate::model::Password;
use std::borrow::Cow;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A MAC as it stands in a file.
pub(super) struct Mac<'a> {
    scheme: Scheme<'a>,
    digest: Cow<'a, [u8]>,
}

enum Scheme<'a> {
    Classic { hash: Hash, salt: Cow<'a, [u8]>, rounds: u64 },
    Pbmac1 { kdf: Kdf<'a>, key_len: usize, hash: Hash },
}

impl<'a> Mac<'a> {
    /// Reads `MacData`.
    pub fn parse(data: &Tlv<'a>) -> Result<Self> {
        let mut fields = data.reader();
        let mut info = fields.expect(Tag::SEQUENCE, "DigestInfo")?.reader();
        let algorithm = info.expect(Tag::SEQUENCE, "the MAC's algorithm")?;
        let (_, digest) = info.octet_string("the MAC")?;
        let mut parts = algorithm.reader();
        let id = parts.expect(Tag::OID, "the MAC's algorithm")?;
        let scheme = if id.content == oid::PBMAC1 {
            pbmac1(parts.expect(Tag::SEQUENCE, "PBMAC1-params")?.reader())?
        } else {
            // NULL parameters may be there or not.
            let hash = Hash::by_digest_oid(id.content).ok_or_else(|| {
                Error::unsupported(format!("the MAC {} is not supported", oid::dotted(id.content))).at(id.at)
            })?;
            let (_, salt) = fields.octet_string("the MAC's salt")?;
            let rounds = fields.optional(Tag::INTEGER)?.map_or(Ok(1), |n| n.unsigned())?;
            Scheme::Classic { hash, salt, rounds }
        };
        Ok(Mac { scheme, digest })
    }

    /// Whether `password`, in one of its forms, and `content` give this MAC.
    pub fn verify(&self, content: &[u8], password: &Password, session: &Session) -> Result<bool> {
        let derivation = match self.scheme {
            Scheme::Classic { .. } => Derivation::Pkcs12,
            Scheme::Pbmac1 { .. } => Derivation::Pkcs5v2,
        };
        for n in 0.. {
            let Some(form) = form(password, derivation, n) else { break };
            if self.compute(content, &form, session)?.ct_eq(&self.digest).into() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn compute(&self, content: &[u8], password: &[u8], session: &Session) -> Result<Vec<u8>> {
        let (hash, key) = match &self.scheme {
            Scheme::Classic { hash, salt, rounds } => {
                (*hash, kdf::pkcs12(*hash, Use::Mac, password, salt, *rounds, hash.size(), session)?)
            }
            Scheme::Pbmac1 { kdf, key_len, hash } => (*hash, kdf.derive(password, *key_len, session)?),
        };
        Ok(hash.hmac(&key, content))
    }

    /// For people: `HMAC-SHA-256`.
    pub fn name(&self) -> String {
        match &self.scheme {
            Scheme::Classic { hash, .. } => format!("HMAC-{}", hash.name()),
            Scheme::Pbmac1 { hash, .. } => format!("PBMAC1 with HMAC-{}", hash.name()),
        }
    }

    /// Why its hash counts as weak, if it does. HMAC stands on less than collisions, so SHA-1 will do.
    pub fn weakness(&self) -> Option<&'static str> {
        let (Scheme::Classic { hash, .. } | Scheme::Pbmac1 { hash, .. }) = &self.scheme;
        (*hash == Hash::Md5).then_some("MD5 is broken")
    }

    /// Whether it is PBMAC1.
    pub fn is_pbmac1(&self) -> bool {
        matches!(self.scheme, Scheme::Pbmac1 { .. })
    }

    /// Rounds of its derivation, if it counts in rounds.
    pub fn rounds(&self) -> Option<u64> {
        match &self.scheme {
            Scheme::Classic { rounds, .. } | Scheme::Pbmac1 { kdf: Kdf::Pbkdf2 { rounds, .. }, .. } => {
                Some(*rounds)
            }
            Scheme::Pbmac1 { .. } => None,
        }
    }
}

fn pbmac1<'a>(mut parameters: Reader<'a>) -> Result<Scheme<'a>> {
    let derivation = parameters.expect(Tag::SEQUENCE, "PBMAC1's key derivation")?;
    let kdf = Kdf::parse(&derivation)?;
    let hash = hmac(&parameters.expect(Tag::SEQUENCE, "PBMAC1's message authentication")?)?;
    // RFC 9579 section 5: without it an attacker may choose a short key.
    let key_len = kdf.key_len().ok_or_else(|| derivation.error("PBMAC1 without the length of its key"))?;
    let key_len = usize::try_from(key_len).unwrap_or(usize::MAX);
    Ok(Scheme::Pbmac1 { kdf, key_len, hash })
}

/// A MAC to be written.
pub(super) struct Maker {
    hash: Hash,
    key: Zeroizing<Vec<u8>>,
    /// `AlgorithmIdentifier`, DER.
    algorithm: Vec<u8>,
    /// What follows `DigestInfo`, DER.
    tail: Vec<u8>,
}

impl Maker {
    /// The MAC of RFC 7292.
    pub fn classic(
        hash: Hash,
        salt: &[u8],
        rounds: u64,
        password: &Password,
        session: &Session,
    ) -> Result<Self> {
        let form = form(password, Derivation::Pkcs12, 0).unwrap_or_default();
        let key = kdf::pkcs12(hash, Use::Mac, &form, salt, rounds, hash.size(), session)?;
        // DER leaves a default out.
        let count = if rounds == 1 { Vec::new() } else { asn1::integer(rounds) };
        let tail = [asn1::octet_string(salt), count].concat();
        Ok(Maker { hash, key, algorithm: algorithm_with_null(hash.digest_oid()), tail })
    }

    /// PBMAC1 with PBKDF2.
    pub fn pbmac1(
        hash: Hash,
        salt: &[u8],
        rounds: u64,
        password: &Password,
        session: &Session,
    ) -> Result<Self> {
        let form = form(password, Derivation::Pkcs5v2, 0).unwrap_or_default();
        let key = kdf::pbkdf2(hash, &form, salt, rounds, hash.size(), session)?;
        let kdf = pbkdf2_algorithm(salt, rounds, Some(hash.size() as u64), hash);
        let parameters = asn1::tlv_of(0x30, &[&kdf, &algorithm_with_null(hash.hmac_oid())]);
        let algorithm = asn1::tlv_of(0x30, &[&asn1::oid_tlv(oid::PBMAC1), &parameters]);
        // RFC 9579 section 4: the old fields must be there, and nobody looks at them.
        Ok(Maker { hash, key, algorithm, tail: asn1::octet_string(salt) })
    }

    /// Bytes of `MacData`.
    pub fn len(&self) -> usize {
        self.data(&vec![0; self.hash.size()]).len()
    }

    /// `MacData` over `content`.
    #[cfg(test)]
    pub fn over(&self, content: &[u8]) -> Vec<u8> {
        self.data(&self.hash.hmac(&self.key, content))
    }

    /// Begins the MAC over the contents.
    pub fn start(&self) -> Result<Box<dyn Authenticating>> {
        self.hash.hmac_run(&self.key).ok_or_else(|| Error::unsupported("a MAC with this key"))
    }

    /// `MacData` with this digest.
    pub fn data(&self, digest: &[u8]) -> Vec<u8> {
        let info = asn1::tlv_of(0x30, &[&self.algorithm, &asn1::octet_string(digest)]);
        asn1::tlv_of(0x30, &[&info, &self.tail])
    }
}
