//! A certificate's outer fields by walking headers: a hundred times cheaper than parsing it.
//!
//! RFC 5280 section 4.1. What is shown to people is parsed by `x509-parser`; moving, matching and
//! pairing certificates needs only these ranges.

use super::reader::{Reader, Tag};
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
