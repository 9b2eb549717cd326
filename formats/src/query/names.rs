//! The names that an entry goes by, without parsing the rest of it.

use crate::asn1::{Reader, Tag, cert_fields};
use crate::error::Result;
use crate::model::{Entry, Item};

/// Whole `Name` elements, as they stand in the entry's object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names<'a> {
    /// A certificate's or request's subject.
    pub subject: Option<&'a [u8]>,
    /// A certificate's or CRL's issuer.
    pub issuer: Option<&'a [u8]>,
}

/// The names of a certificate (of a key: its leaf), a request or a CRL; none where there are none or
/// the object can't be read.
pub fn names(entry: &Entry) -> Names<'_> {
    let found = match &entry.item {
        Item::Cert(_) | Item::Key { .. } => entry.certificate().map(|der| of_certificate(der)),
        Item::Request { csr, .. } => Some(of_request(csr)),
        Item::Crl(crl) => Some(of_crl(crl)),
        Item::Symmetric(_) | Item::Other { .. } => None,
    };
    found.and_then(Result::ok).unwrap_or_default()
}

fn of_certificate(der: &[u8]) -> Result<Names<'_>> {
    cert_fields(der).map(|f| Names { subject: Some(f.subject), issuer: Some(f.issuer) })
}

/// `CertificationRequestInfo ::= SEQUENCE { version INTEGER, subject Name, …` (RFC 2986 section 4.1).
fn of_request(der: &[u8]) -> Result<Names<'_>> {
    let mut info = inner(der, "CertificationRequest")?;
    info.expect(Tag::INTEGER, "version")?;
    Ok(Names { subject: Some(info.expect(Tag::SEQUENCE, "subject")?.raw), issuer: None })
}

/// `TBSCertList ::= SEQUENCE { version INTEGER OPTIONAL, signature, issuer Name, …` (RFC 5280 section 5.1).
fn of_crl(der: &[u8]) -> Result<Names<'_>> {
    let mut list = inner(der, "CertificateList")?;
    list.optional(Tag::INTEGER)?;
    list.expect(Tag::SEQUENCE, "signature algorithm")?;
    Ok(Names { subject: None, issuer: Some(list.expect(Tag::SEQUENCE, "issuer")?.raw) })
}

fn inner<'a>(der: &'a [u8], what: &'static str) -> Result<Reader<'a>> {
    let outer = Reader::new(der, 0).expect(Tag::SEQUENCE, what)?;
    Ok(outer.reader().expect(Tag::SEQUENCE, what)?.reader())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asn1::{integer, tlv, tlv_of};
    use crate::model::Der;

    #[test]
    fn requests_and_crls() {
        let name = tlv(0x30, &[0x31, 0]);
        let signed = |parts: &[&[u8]]| Der::new(tlv(0x30, &tlv_of(0x30, parts)));
        let csr = signed(&[&integer(0), &name, &tlv(0x30, &[])]);
        let request = Entry::new(Item::Request { csr, key: None });
        assert_eq!(names(&request), Names { subject: Some(&name), issuer: None });
        for version in [&integer(1)[..], &[]] {
            let crl = Entry::new(Item::Crl(signed(&[version, &tlv(0x30, &[]), &name])));
            assert_eq!(names(&crl), Names { subject: None, issuer: Some(&name) });
        }
        assert_eq!(names(&Entry::new(Item::Crl(Der::new(vec![0x30, 5])))), Names::default());
    }
}
