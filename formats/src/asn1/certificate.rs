//! The outer fields of certificates and requests by walking headers: a hundred times cheaper than parsing.
//!
//! RFC 5280 section 4.1, RFC 2986 section 4.1. Moving, matching and pairing them needs only these ranges.

use super::reader::{Reader, Tag, plain};
use crate::error::Result;

/// The fields of a `TBSCertificate`, each as it stands (with its header, except the serial's content).
#[derive(Clone, Copy, Debug)]
pub struct CertFields<'a> {
    /// The content octets of `serialNumber`.
    pub serial: &'a [u8],
    /// `issuer`, a whole `Name`.
    pub issuer: &'a [u8],
    /// `notBefore`, a whole time element.
    pub not_before: &'a [u8],
    /// `notAfter`, a whole time element.
    pub not_after: &'a [u8],
    /// `subject`, a whole `Name`.
    pub subject: &'a [u8],
    /// `subjectPublicKeyInfo`.
    pub spki: &'a [u8],
    /// The `Extensions` SEQUENCE's content, empty if there are none.
    pub extensions: &'a [u8],
}

/// Walks a certificate. Checks only what it passes: headers and the order of fields.
pub fn cert_fields(certificate: &[u8]) -> Result<CertFields<'_>> {
    match walk(certificate) {
        Some(fields) => Ok(fields),
        // Either BER or wrong: the reader knows which, and where.
        None => read(certificate),
    }
}

/// The walk over a certificate in plain DER, as nearly all are.
fn walk(b: &[u8]) -> Option<CertFields<'_>> {
    const INTEGER: u8 = Tag::INTEGER.0;
    const SEQUENCE: u8 = Tag::SEQUENCE.0;
    let at = |tag: u8, pos: usize| plain(b, pos).filter(|(t, ..)| *t == tag);
    let (_, outer, outer_end) = at(SEQUENCE, 0)?;
    let (_, tbs, end) = at(SEQUENCE, outer)?;
    if end > outer_end {
        return None;
    }
    let mut pos = tbs;
    if let (0xa0, _, e) = plain(b, pos)? {
        pos = e;
    }
    let (_, serial, serial_end) = at(INTEGER, pos)?;
    let (_, _, issuer) = at(SEQUENCE, serial_end)?;
    let (_, _, validity) = at(SEQUENCE, issuer)?;
    let (_, not_before, subject) = at(SEQUENCE, validity)?;
    let (_, _, not_after) = plain(b, not_before)?;
    let (_, _, validity_end) = plain(b, not_after)?;
    let (_, _, spki) = at(SEQUENCE, subject)?;
    let (_, _, mut pos) = at(SEQUENCE, spki)?;
    if validity_end > subject || pos > end {
        return None;
    }
    let spki_end = pos;
    let mut extensions = &[][..];
    while pos < end {
        let (tag, start, e) = plain(b, pos)?;
        if tag == 0xa3 {
            let (_, start, list_end) = at(SEQUENCE, start)?;
            extensions = b.get(start..list_end.min(e))?;
        }
        pos = e;
    }
    (pos == end).then(|| CertFields {
        serial: &b[serial..serial_end],
        issuer: &b[issuer..validity],
        not_before: &b[not_before..not_after],
        not_after: &b[not_after..validity_end],
        subject: &b[subject..spki],
        spki: &b[spki..spki_end],
        extensions,
    })
}

fn read(certificate: &[u8]) -> Result<CertFields<'_>> {
    let outer = Reader::new(certificate, 0).expect(Tag::SEQUENCE, "Certificate")?;
    let mut tbs = outer.reader().expect(Tag::SEQUENCE, "TBSCertificate")?.reader();
    tbs.optional(Tag::context(0))?;
    let serial = tbs.expect(Tag::INTEGER, "serialNumber")?.content;
    tbs.expect(Tag::SEQUENCE, "signature algorithm")?;
    let issuer = tbs.expect(Tag::SEQUENCE, "issuer")?.raw;
    let mut validity = tbs.expect(Tag::SEQUENCE, "validity")?.reader();
    let not_before = validity.any("notBefore")?.raw;
    let not_after = validity.any("notAfter")?.raw;
    let subject = tbs.expect(Tag::SEQUENCE, "subject")?.raw;
    let spki = tbs.expect(Tag::SEQUENCE, "subjectPublicKeyInfo")?.raw;
    let mut extensions = &[][..];
    while let Some(field) = tbs.next()? {
        if field.tag == Tag::context(3) {
            extensions = field.reader().expect(Tag::SEQUENCE, "extensions")?.content;
        }
    }
    Ok(CertFields { serial, issuer, not_before, not_after, subject, spki, extensions })
}

impl<'a> CertFields<'a> {
    /// The content of one extension's `extnValue`, by OID.
    pub fn extension(&self, id: &[u8]) -> Option<&'a [u8]> {
        let mut list = Reader::new(self.extensions, 0);
        while let Ok(Some(extension)) = list.next() {
            let mut fields = extension.reader();
            if fields.expect(Tag::OID, "extnID").is_ok_and(|o| o.content == id) {
                let _critical = fields.optional(Tag::BOOLEAN).ok()?;
                return fields.expect(Tag::OCTET_STRING, "extnValue").ok().map(|v| v.content);
            }
        }
        None
    }

    /// The content of its subjectKeyIdentifier (RFC 5280 section 4.2.1.2).
    pub fn subject_key_id(&self) -> Option<&'a [u8]> {
        let value = self.extension(super::oid::SUBJECT_KEY_ID)?;
        Reader::new(value, 0).expect(Tag::OCTET_STRING, "SubjectKeyIdentifier").ok().map(|id| id.content)
    }

    /// The keyIdentifier of its authorityKeyIdentifier (RFC 5280 section 4.2.1.1).
    pub fn authority_key_id(&self) -> Option<&'a [u8]> {
        let value = self.extension(super::oid::AUTHORITY_KEY_ID)?;
        let mut parts = Reader::new(value, 0).expect(Tag::SEQUENCE, "AuthorityKeyIdentifier").ok()?.reader();
        parts.optional(Tag::context_primitive(0)).ok()?.map(|id| id.content)
    }

    /// Whether it may issue certificates: the CA flag of basic constraints, or a self-issued
    /// certificate that has no extensions at all (version 1 roots have none).
    pub fn is_ca(&self) -> bool {
        match self.extension(super::oid::BASIC_CONSTRAINTS) {
            Some(value) => Reader::new(value, 0)
                .expect(Tag::SEQUENCE, "BasicConstraints")
                .ok()
                .and_then(|s| s.reader().optional(Tag::BOOLEAN).ok().flatten())
                .is_some_and(|b| b.content.first().is_some_and(|v| *v != 0)),
            None => self.extensions.is_empty() && self.issuer == self.subject,
        }
    }
}

/// The fields of a PKCS#10 request that others look at, each as it stands.
#[derive(Clone, Copy, Debug)]
pub struct RequestFields<'a> {
    /// `subject`, a whole `Name`.
    pub subject: &'a [u8],
    /// `subjectPKInfo`.
    pub spki: &'a [u8],
}

/// Walks a request (RFC 2986 section 4.1).
pub fn request_fields(request: &[u8]) -> Result<RequestFields<'_>> {
    let outer = Reader::new(request, 0).expect(Tag::SEQUENCE, "CertificationRequest")?;
    let mut info = outer.reader().expect(Tag::SEQUENCE, "CertificationRequestInfo")?.reader();
    info.expect(Tag::INTEGER, "version")?;
    let subject = info.expect(Tag::SEQUENCE, "subject")?.raw;
    Ok(RequestFields { subject, spki: info.expect(Tag::SEQUENCE, "subjectPKInfo")?.raw })
}
