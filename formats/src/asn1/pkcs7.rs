//! PKCS#7 `SignedData` as a bag of certificates and revocation lists.
//!
//! ```text
//! ContentInfo ::= SEQUENCE { OID signedData, [0] EXPLICIT SignedData }       RFC 2315, RFC 5652
//! SignedData  ::= SEQUENCE { version INTEGER, digestAlgorithms SET, encapContentInfo SEQUENCE,
//!                            certificates [0] IMPLICIT SET OPTIONAL,
//!                            crls [1] IMPLICIT SET OPTIONAL, signerInfos SET }
//! ```
//!
//! Read as BER, for some CAs write indefinite lengths; written as DER in the order that was given, as
//! OpenSSL's `crl2pkcs7` does it (a SET would be sorted, but readers show the order they find).

use super::{Reader, Tag, header_len, oid, put_header};
use crate::error::{Error, Result};

/// What a `SignedData` holds; each object as it stands, with its byte offset.
#[derive(Debug, Default)]
pub struct SignedData<'a> {
    /// X.509 certificates.
    pub certificates: Vec<(&'a [u8], u64)>,
    /// Revocation lists.
    pub crls: Vec<(&'a [u8], u64)>,
    /// Where other objects stand: attribute certificates, other revocation formats.
    pub others: Vec<u64>,
    /// Somebody signed something: this is more than a bag of certificates.
    pub signed: bool,
    /// Bytes of the whole object.
    pub len: usize,
}

/// Reads the object that `bytes` begin with; its first byte is at `base` in the file.
pub fn signed_data(bytes: &[u8], base: u64) -> Result<SignedData<'_>> {
    let outer = Reader::new(bytes, base).expect(Tag::SEQUENCE, "ContentInfo")?;
    let mut info = outer.reader();
    let kind = info.expect(Tag::OID, "contentType")?;
    if kind.content != oid::SIGNED_DATA {
        let message = match kind.content {
            oid::ENVELOPED_DATA | oid::ENCRYPTED_DATA => "an enciphered PKCS#7 object".to_owned(),
            other => format!("a PKCS#7 object of type {}", oid::dotted(other)),
        };
        return Err(Error::unsupported(message)
            .hint("only bundles of certificates (SignedData) are read")
            .at(kind.at));
    }
    let content = info.expect(Tag::context(0), "content")?;
    let mut fields = content.reader().expect(Tag::SEQUENCE, "SignedData")?.reader();
    fields.expect(Tag::INTEGER, "version")?;
    fields.expect(Tag::SET, "digestAlgorithms")?;
    fields.expect(Tag::SEQUENCE, "contentInfo")?;
    let mut found = SignedData { len: outer.raw.len(), ..SignedData::default() };
    while let Some(field) = fields.next()? {
        let mut members = field.reader();
        match field.tag {
            Tag::SET => found.signed |= !members.is_empty(),
            Tag(0xa0 | 0xa1) => {
                let to = if field.tag == Tag::context(0) { &mut found.certificates } else { &mut found.crls };
                while let Some(member) = members.next()? {
                    match member.tag {
                        Tag::SEQUENCE => to.push((member.raw, member.at)),
                        _ => found.others.push(member.at),
                    }
                }
            }
            _ => return Err(field.error("a field that SignedData has not")),
        }
    }
    Ok(found)
}

/// The parts of a bundle before and after its certificates and lists, so that the caller can write them
/// one by one: (head, between, tail) for `certificates` bytes and `crls` bytes.
pub fn frame(certificates: usize, crls: usize) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    const VERSION: &[u8] = &[0x02, 1, 1];
    const NO_DIGESTS: &[u8] = &[0x31, 0];
    let field = |len: usize| if len == 0 { 0 } else { header_len(len) + len };
    let data = super::tlv(0x30, &super::oid_tlv(oid::DATA));
    let inner = VERSION.len() + 2 * NO_DIGESTS.len() + data.len() + field(certificates) + field(crls);
    let explicit = header_len(inner) + inner;
    let kind = super::oid_tlv(oid::SIGNED_DATA);
    let mut head = Vec::new();
    put_header(&mut head, 0x30, kind.len() + header_len(explicit) + explicit);
    head.extend_from_slice(&kind);
    put_header(&mut head, 0xa0, explicit);
    put_header(&mut head, 0x30, inner);
    for part in [VERSION, NO_DIGESTS, &data] {
        head.extend_from_slice(part);
    }
    let mut between = Vec::new();
    if certificates > 0 {
        put_header(&mut head, 0xa0, certificates);
    }
    if crls > 0 {
        put_header(&mut between, 0xa1, crls);
    }
    (head, between, NO_DIGESTS.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    const CERT: &[u8] = &[0x30, 3, 2, 1, 7];

    fn written(certificates: &[&[u8]], crls: &[&[u8]]) -> Vec<u8> {
        let (c, r) = (certificates.concat(), crls.concat());
        let (head, between, tail) = frame(c.len(), r.len());
        [head, c, between, r, tail].concat()
    }

    #[test]
    fn written_bundles_are_read() {
        for (c, r) in [(3, 0), (0, 2), (1, 1), (0, 0), (200, 100)] {
            let bytes = written(&vec![CERT; c], &vec![CERT; r]);
            let mut whole = Reader::new(&bytes, 0);
            whole.expect(Tag::SEQUENCE, "one").expect("one element");
            assert!(whole.is_empty());
            let read = signed_data(&bytes, 5).expect("bundle");
            assert_eq!((read.certificates.len(), read.crls.len(), read.signed), (c, r, false));
            let all = read.certificates.iter().chain(&read.crls);
            for (raw, at) in all {
                assert_eq!((*raw, &bytes[*at as usize - 5..][..5]), (CERT, CERT));
            }
        }
    }

    #[test]
    fn indefinite_lengths_and_other_members() {
        let body = [
            &[0x30, 0x80, 6, 9][..],
            oid::SIGNED_DATA,
            &[0xa0, 0x80, 0x30, 0x80, 2, 1, 1, 0x31, 0, 0x30, 0x80, 6, 9],
            oid::DATA,
            &[0, 0, 0xa0, 0x80],
            CERT,
            &[0xa1, 1, 0, 0, 0, 0x31, 2, 0x30, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        let read = signed_data(&body, 0).expect("bundle");
        assert_eq!((read.certificates.len(), read.others.len(), read.signed), (1, 1, true));
        assert_eq!((read.certificates[0].0, read.len), (CERT, body.len()));
    }

    #[test]
    fn other_types_are_named() {
        let enveloped = crate::asn1::tlv_of(0x30, &[&crate::asn1::oid_tlv(oid::ENVELOPED_DATA), &[0xa0, 0]]);
        let e = signed_data(&enveloped, 0).expect_err("enveloped");
        assert_eq!(e.kind(), Kind::Unsupported);
    }
}
