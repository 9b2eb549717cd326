//! Whether a certificate was revoked, by a list or an answer of its issuer (RFC 5280 section 6.3, RFC 6960).
//!
//! Nothing is fetched here: bytes come in, an answer goes out. Where a list or an answer can't be relied upon
//! the answer is `Unknown` with the reason, never `Good`.

use crate::asn1::{Reader, Tag, cert_fields, oid, oid_tlv, tlv, tlv_of};
use crate::context::Rng;
use crate::crypto::sign::{public_bits, verify, verify_signed};
use crate::error::{Error, Result};
use crate::issue::{Crl, Extensions, Name, Reason, Usage};
use crate::query::time;
use sha1::{Digest, Sha1};

/// What is known of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Its issuer does not list it.
    Good,
    /// Since then (seconds since 1970) and why.
    Revoked {
        /// Seconds since 1970.
        since: i64,
        /// Why, if the issuer says.
        reason: Option<Reason>,
    },
    /// Nothing that can be relied upon, and why not.
    Unknown(String),
}

/// The status of `certificate` by a list of its issuer, at `now` (seconds since 1970).
pub fn by_crl(certificate: &[u8], issuer: &[u8], crl: &[u8], now: i64) -> Result<Status> {
    let (own, above) = (cert_fields(certificate)?, cert_fields(issuer)?);
    let unknown = |why: &str| Ok(Status::Unknown(why.to_owned()));
    let list = Crl::read(crl)?;
    if list.issuer != own.issuer || above.subject != own.issuer {
        return unknown("the list is of another issuer");
    }
    if !verify_signed(crl, above.spki)? {
        return unknown("the list is not signed by the certificate's issuer");
    }
    if Extensions::read(above.extensions)?
        .key_usages()
        .is_some_and(|u| !u.contains(&crate::issue::KeyUsage::CrlSign))
    {
        return unknown("the issuer's key usage does not allow it to sign lists");
    }
    // A revocation counts even when the list is old or a part.
    if let Some(entry) = list.entry(own.serial).filter(|e| e.reason != Reason::parse("removeFromCRL")) {
        return Ok(Status::Revoked { since: entry.since, reason: entry.reason });
    }
    if list.partial {
        return unknown("the list knows only a part");
    }
    if list.this_update > now {
        return unknown("the list is from the future");
    }
    if list.next_update.is_some_and(|next| next < now) {
        return unknown("the list is out of date");
    }
    Ok(Status::Good)
}

/// The address of the OCSP responder that a certificate names (authorityInfoAccess).
pub fn ocsp_address(certificate: &[u8]) -> Option<String> {
    let value = cert_fields(certificate).ok()?.extension(oid::AUTHORITY_INFO_ACCESS)?;
    let mut list = Reader::new(value, 0).expect(Tag::SEQUENCE, "AuthorityInfoAccess").ok()?.reader();
    while let Some(access) = list.next().ok()? {
        let mut fields = access.reader();
        let method = fields.expect(Tag::OID, "accessMethod").ok()?;
        let place = fields.any("accessLocation").ok()?;
        if method.content == oid::OCSP {
            return Name(place.raw.to_vec()).text().strip_prefix("uri:").map(str::to_owned);
        }
    }
    None
}

/// A question about one certificate (RFC 6960 section 4.1).
#[derive(Clone, Debug)]
pub struct OcspRequest {
    /// What is sent.
    pub der: Vec<u8>,
    cert_id: Vec<u8>,
    nonce: Vec<u8>,
}

impl OcspRequest {
    /// About `certificate`, with a nonce of the system's randomness. The issuer is named by SHA-1, which every
    /// responder understands; nothing hangs on its strength.
    pub fn new(certificate: &[u8], issuer: &[u8]) -> Result<Self> {
        let (own, above) = (cert_fields(certificate)?, cert_fields(issuer)?);
        let algorithm = tlv_of(0x30, &[&oid_tlv(oid::SHA1), &[5, 0]]);
        let cert_id = tlv_of(
            0x30,
            &[
                &algorithm,
                &tlv(0x04, &Sha1::digest(own.issuer)),
                &tlv(0x04, &Sha1::digest(public_bits(above.spki)?)),
                &tlv(0x02, own.serial),
            ],
        );
        let nonce = tlv(0x04, &Rng::system().bytes::<32>()?);
        let extension = tlv_of(0x30, &[&oid_tlv(oid::OCSP_NONCE), &tlv(0x04, &nonce)]);
        let list = tlv(0x30, &tlv(0x30, &cert_id));
        let extensions = tlv(0xa2, &tlv(0x30, &extension));
        Ok(OcspRequest { der: tlv(0x30, &tlv_of(0x30, &[&list, &extensions])), cert_id, nonce })
    }

    /// Reads an answer, at `now`. It must be signed by the issuer, or by a certificate of the issuer's that says
    /// that it may.
    pub fn read(&self, answer: &[u8], issuer: &[u8], now: i64) -> Result<Status> {
        let unknown = |why: &str| Ok(Status::Unknown(why.to_owned()));
        let mut outer = Reader::new(answer, 0).expect(Tag::SEQUENCE, "OCSPResponse")?.reader();
        let status = outer.expect(Tag(0x0a), "responseStatus")?;
        match status.content {
            [0] => {}
            [1] => return unknown("the responder found the request malformed"),
            [3] => return unknown("the responder says to try again later"),
            [6] => return unknown("the responder does not answer us"),
            _ => return unknown("the responder has an error"),
        }
        let mut bytes = outer.expect(Tag::context(0), "responseBytes")?.reader();
        let mut bytes = bytes.expect(Tag::SEQUENCE, "ResponseBytes")?.reader();
        if bytes.expect(Tag::OID, "responseType")?.content != oid::OCSP_BASIC {
            return unknown("an answer of another type");
        }
        let basic = bytes.expect(Tag::OCTET_STRING, "response")?.content;
        let mut basic = Reader::new(basic, 0).expect(Tag::SEQUENCE, "BasicOCSPResponse")?.reader();
        let data = basic.expect(Tag::SEQUENCE, "tbsResponseData")?;
        let algorithm = basic.expect(Tag::SEQUENCE, "signatureAlgorithm")?.raw;
        let signature = basic.expect(Tag::BIT_STRING, "signature")?;
        let [0, signature @ ..] = signature.content else {
            return Err(signature.error("a signature that does not end at an octet"));
        };
        let delegates = basic.optional(Tag::context(0))?;
        let delegates = delegates.map(|d| d.reader().expect(Tag::SEQUENCE, "certs")).transpose()?;
        let above = cert_fields(issuer)?;
        let mut proven = verify(above.spki, algorithm, data.raw, signature)?;
        let mut list = delegates.map(|d| d.reader());
        while let (false, Some(certificate)) =
            (proven, list.as_mut().map(Reader::next).transpose()?.flatten())
        {
            proven = may_answer(certificate.raw, issuer, now)?
                && verify(cert_fields(certificate.raw)?.spki, algorithm, data.raw, signature)?;
        }
        if !proven {
            return unknown("the answer is not signed by the issuer or one that it lets answer");
        }
        self.answer(data.content, now)
    }

    fn answer(&self, data: &[u8], now: i64) -> Result<Status> {
        let unknown = |why: &str| Ok(Status::Unknown(why.to_owned()));
        let mut fields = Reader::new(data, 0);
        fields.optional(Tag::context(0))?;
        fields.any("responderID")?;
        fields.any("producedAt")?;
        let mut answers = fields.expect(Tag::SEQUENCE, "responses")?.reader();
        if let Some(extensions) = fields.optional(Tag::context(1))? {
            let list =
                Extensions::read(extensions.reader().expect(Tag::SEQUENCE, "responseExtensions")?.content)?;
            // Responders that answer from a store have none; one that differs is another question's.
            if list.get(oid::OCSP_NONCE).is_some_and(|n| n.value != self.nonce) {
                return unknown("the answer is to another question");
            }
        }
        while let Some(answer) = answers.next()? {
            let mut fields = answer.reader();
            if fields.expect(Tag::SEQUENCE, "certID")?.raw != self.cert_id {
                continue;
            }
            let status = fields.any("certStatus")?;
            let this = fields.any("thisUpdate")?;
            let next = fields.optional(Tag::context(0))?.map(|n| n.reader().any("nextUpdate")).transpose()?;
            // Five minutes for clocks that differ.
            if time::seconds(this.raw).is_none_or(|t| t > now + 300) {
                return unknown("the answer is from the future");
            }
            let at = |t: &[u8]| time::seconds(t);
            if next.and_then(|n| at(n.raw)).is_some_and(|n| n < now - 300) {
                return unknown("the answer is out of date");
            }
            return match status.tag {
                Tag(0x80) => Ok(Status::Good),
                Tag(0xa1) => {
                    let mut fields = status.reader();
                    let since = at(fields.any("revocationTime")?.raw).unwrap_or(0);
                    let reason = fields.optional(Tag::context(0))?.and_then(|r| match r.content {
                        [0x0a, 1, n] => Some(Reason(*n)),
                        _ => None,
                    });
                    Ok(Status::Revoked { since, reason })
                }
                _ => unknown("the responder does not know the certificate"),
            };
        }
        unknown("the answer does not speak of the certificate")
    }
}

/// Whether `certificate` is one by which `issuer` lets somebody answer for it (RFC 6960 section 4.2.2.2).
fn may_answer(certificate: &[u8], issuer: &[u8], now: i64) -> Result<bool> {
    let (own, above) = (cert_fields(certificate)?, cert_fields(issuer)?);
    let usages = Extensions::read(own.extensions)?.extended_key_usages().unwrap_or_default();
    let valid = time::seconds(own.not_before).is_some_and(|t| t <= now)
        && time::seconds(own.not_after).is_some_and(|t| t >= now);
    Ok(own.issuer == above.subject
        && valid
        && usages.contains(&Usage(oid::OCSP_SIGNING.to_vec()))
        && verify_signed(certificate, above.spki)?)
}

/// The content of an INTEGER from hex digits, as serial numbers are shown, colons or not.
pub fn serial(text: &str) -> Result<Vec<u8>> {
    let digits: String = text.trim().trim_start_matches("0x").chars().filter(|c| *c != ':').collect();
    let digits = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits };
    let byte = |at: usize| digits.get(at..at + 2).and_then(|d| u8::from_str_radix(d, 16).ok());
    let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
    let mut bytes = bytes
        .filter(|b| !b.is_empty() && b.len() <= 64 && digits.bytes().all(|d| d.is_ascii_hexdigit()))
        .ok_or_else(|| Error::refused(format!("\"{text}\" is no serial number in hex")))?;
    let zeros = bytes.iter().take_while(|b| **b == 0).count().min(bytes.len() - 1);
    bytes.drain(..zeros);
    if bytes.first().is_some_and(|b| b & 0x80 != 0) {
        bytes.insert(0, 0);
    }
    Ok(bytes)
}
