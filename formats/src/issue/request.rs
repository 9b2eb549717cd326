//! PKCS#10 requests (RFC 2986): made, read, checked.

use super::extension::Extensions;
use crate::asn1::{Reader, Tag, oid, oid_tlv, tlv, tlv_of};
use crate::crypto::sign::{Signer, verify_signed};
use crate::error::{Error, Result};

/// What a request says.
#[derive(Clone, Debug)]
pub struct Request {
    /// The whole `Name`.
    pub subject: Vec<u8>,
    /// The public key.
    pub spki: Vec<u8>,
    /// The extensions that are asked for.
    pub extensions: Extensions,
}

impl Request {
    /// A new request, signed by the key that it is for.
    pub fn make(subject: &[u8], extensions: &Extensions, signer: &Signer) -> Result<Vec<u8>> {
        let attribute = || tlv_of(0x30, &[&oid_tlv(oid::EXTENSION_REQUEST), &tlv(0x31, &extensions.der())]);
        // The field is there even when it is empty (section 4.1).
        let attributes = tlv(0xa0, &if extensions.is_empty() { Vec::new() } else { attribute() });
        signer.signed(&tlv_of(0x30, &[&[2, 1, 0], subject, signer.spki(), &attributes]))
    }

    /// Reads a request and checks that it is signed by its own key.
    pub fn read(csr: &[u8]) -> Result<Request> {
        let request = Request::read_unproven(csr)?;
        match verify_signed(csr, &request.spki)? {
            true => Ok(request),
            false => Err(Error::malformed("the request's signature is not by the key that it asks for")),
        }
    }

    /// The same without a look at the signature.
    pub fn read_unproven(csr: &[u8]) -> Result<Request> {
        let outer = Reader::new(csr, 0).expect(Tag::SEQUENCE, "CertificationRequest")?;
        let mut info = outer.reader().expect(Tag::SEQUENCE, "CertificationRequestInfo")?.reader();
        info.expect(Tag::INTEGER, "version")?;
        let subject = info.expect(Tag::SEQUENCE, "subject")?.raw.to_vec();
        let spki = info.expect(Tag::SEQUENCE, "subjectPKInfo")?.raw.to_vec();
        let mut extensions = Extensions::default();
        if let Some(attributes) = info.optional(Tag::context(0))? {
            let mut list = attributes.reader();
            while let Some(attribute) = list.next()? {
                let mut fields = attribute.reader();
                let id = fields.expect(Tag::OID, "attribute type")?.content;
                let values = fields.expect(Tag::SET, "attribute values")?;
                if id == oid::EXTENSION_REQUEST || id == oid::MS_EXTENSION_REQUEST {
                    let list = values.reader().expect(Tag::SEQUENCE, "Extensions")?;
                    Extensions::read(list.content)?.0.into_iter().for_each(|e| extensions.set(e));
                }
            }
        }
        Ok(Request { subject, spki, extensions })
    }
}
