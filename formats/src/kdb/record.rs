//! One record: its DER, the values that GSKit looks it up by, and the slot around both.
//!
//! ```text
//! slot   ::= state u32 | id u32 | length u32 | Record | { length u32 | value }… | padding
//! Record ::= SEQUENCE {
//!     id       INTEGER,
//!     content  CHOICE {
//!         request     [0] EXPLICIT SEQUENCE { CertificationRequest, EncryptedPrivateKeyInfo },   -- .rdb
//!         certificate [1] EXPLICIT Certificate,                                                  -- .kdb
//!         keyPair     [2] EXPLICIT SEQUENCE { Certificate, EncryptedPrivateKeyInfo } },          -- .kdb
//!     label    VisibleString,      -- its bytes are UTF-8 all the same
//!     flags    BIT STRING }        -- bit 0: trusted, bit 1: default
//! ```

use super::layout::{IN_USE, SLOT_HEAD};
use crate::asn1::{self, Reader, Tag, cert_fields, plain, request_fields};
use crate::error::Result;
use sha1::{Digest, Sha1};

/// What a record holds. The number is that of its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A request and its key.
    Request = 0,
    /// A certificate.
    Certificate = 1,
    /// A certificate and its key.
    KeyPair = 2,
}

/// A record, to be written or as it was read.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// What it holds.
    pub content: Content,
    /// The certificate or request.
    pub object: &'a [u8],
    /// The `EncryptedPrivateKeyInfo`; empty where there is none.
    pub key: &'a [u8],
    /// The label's bytes.
    pub label: &'a [u8],
    /// The trusted bit.
    pub trusted: bool,
    /// The default bit.
    pub default: bool,
}

const VISIBLE_STRING: Tag = Tag(0x1a);
/// GSKit reads this one too, and no other.
const PRINTABLE_STRING: Tag = Tag(0x13);

impl<'a> Record<'a> {
    /// Reads a record whose first byte is at `at` in the file.
    pub fn parse(der: &'a [u8], at: u64) -> Result<Record<'a>> {
        let mut fields = Reader::new(der, at).expect(Tag::SEQUENCE, "the record")?.reader();
        fields.expect(Tag::INTEGER, "the record's number")?;
        let choice = fields.any("the record's content")?;
        let mut inner = choice.reader();
        let (content, object, key) = match choice.tag {
            t if t == Tag::context(1) => {
                (Content::Certificate, inner.expect(Tag::SEQUENCE, "Certificate")?, None)
            }
            t if t == Tag::context(0) || t == Tag::context(2) => {
                let request = t == Tag::context(0);
                let mut pair = inner.expect(Tag::SEQUENCE, "the pair of object and key")?.reader();
                let object =
                    pair.expect(Tag::SEQUENCE, if request { "CertificationRequest" } else { "Certificate" })?;
                let key = pair.expect(Tag::SEQUENCE, "EncryptedPrivateKeyInfo")?;
                (if request { Content::Request } else { Content::KeyPair }, object, Some(key))
            }
            t => return Err(choice.error(format!("content of the unknown kind {:#04x}", t.0))),
        };
        let label = fields.any("the label")?;
        if label.tag != VISIBLE_STRING && label.tag != PRINTABLE_STRING {
            return Err(label.error(format!("a label of the type {:#04x}", label.tag.0)));
        }
        let flags = fields.expect(Tag::BIT_STRING, "the flags")?;
        if let Some(more) = fields.next()? {
            return Err(more.error("a fifth element"));
        }
        if content != Content::Request {
            cert_fields(object.raw).map_err(|e| e.shifted(object.at))?;
        }
        // The count of unused bits is not looked at, as GSKit doesn't.
        let bits = flags.content.get(1).copied().unwrap_or(0);
        Ok(Record {
            content,
            object: object.raw,
            key: key.map_or(&[], |k| k.raw),
            label: label.content,
            trusted: bits & 0x80 != 0,
            default: bits & 0x40 != 0,
        })
    }

    /// Bytes of the slot that it takes, padding apart.
    pub fn slot_len(&self, id: u32) -> usize {
        let record = self.lens(id).record;
        SLOT_HEAD + asn1::header_len(record) + record + 4 + self.label.len() + self.values_len()
    }

    /// Appends the slot's content without padding.
    pub fn put(&self, id: u32, out: &mut Vec<u8>) -> Result<()> {
        let lens = self.lens(id);
        out.extend_from_slice(&IN_USE.to_be_bytes());
        out.extend_from_slice(&id.to_be_bytes());
        put_u32(out, asn1::header_len(lens.record) + lens.record);
        asn1::put_header(out, 0x30, lens.record);
        out.extend_from_slice(&asn1::integer(u64::from(id)));
        asn1::put_header(out, 0xa0 | self.content as u8, lens.content);
        if !self.key.is_empty() {
            asn1::put_header(out, 0x30, lens.pair);
        }
        out.extend_from_slice(self.object);
        out.extend_from_slice(self.key);
        asn1::put_header(out, VISIBLE_STRING.0, self.label.len());
        out.extend_from_slice(self.label);
        out.extend_from_slice(self.flags());
        put_u32(out, self.label.len());
        out.extend_from_slice(self.label);
        self.put_values(out)
    }

    /// DER's shortest form: trailing zeros are no bits.
    fn flags(&self) -> &'static [u8] {
        match (self.trusted, self.default) {
            (false, false) => &[0x03, 0x01, 0x00],
            (true, false) => &[0x03, 0x02, 0x07, 0x80],
            (false, true) => &[0x03, 0x02, 0x06, 0x40],
            (true, true) => &[0x03, 0x02, 0x06, 0xc0],
        }
    }

    fn lens(&self, id: u32) -> Lens {
        let wrapped = |len: usize| asn1::header_len(len) + len;
        let pair = self.object.len() + self.key.len();
        let content = if self.key.is_empty() { pair } else { wrapped(pair) };
        let number = asn1::integer(u64::from(id)).len();
        let record = number + wrapped(content) + wrapped(self.label.len()) + self.flags().len();
        Lens { pair, content, record }
    }

    fn values_len(&self) -> usize {
        match self.content {
            Content::Request => 4 + 20,
            _ => 4 + 5 * (4 + 20),
        }
    }

    /// What GSKit 8 makes anew when it opens a file; older levels may rely on it.
    fn put_values(&self, out: &mut Vec<u8>) -> Result<()> {
        if self.content == Content::Request {
            put_digest(out, Sha1::new_with_prefix(request_fields(self.object)?.spki));
            return Ok(());
        }
        let parts = CertParts::of(self.object)?;
        // The second value is of no length in every file seen.
        put_u32(out, 0);
        for part in [parts.signature, parts.tbs, parts.subject, parts.spki] {
            put_digest(out, Sha1::new_with_prefix(part));
        }
        let mut head = Vec::with_capacity(8);
        asn1::put_header(&mut head, 0x30, parts.issuer.len() + parts.serial.len());
        put_digest(out, Sha1::new_with_prefix(&head).chain_update(parts.issuer).chain_update(parts.serial));
        Ok(())
    }
}

fn put_digest(out: &mut Vec<u8>, digest: Sha1) {
    put_u32(out, 20);
    out.extend_from_slice(&digest.finalize());
}

struct Lens {
    pair: usize,
    content: usize,
    record: usize,
}

/// The parts of a certificate that are looked up by, each as it stands.
struct CertParts<'a> {
    tbs: &'a [u8],
    serial: &'a [u8],
    issuer: &'a [u8],
    subject: &'a [u8],
    spki: &'a [u8],
    signature: &'a [u8],
}

impl<'a> CertParts<'a> {
    fn of(certificate: &'a [u8]) -> Result<Self> {
        match Self::walk(certificate) {
            Some(parts) => Ok(parts),
            // Either BER or wrong: the reader knows which, and where.
            None => Self::read(certificate),
        }
    }

    /// Of a certificate in plain DER, as nearly all are.
    fn walk(b: &'a [u8]) -> Option<Self> {
        let at = |tag: Tag, pos: usize| plain(b, pos).filter(|(t, ..)| *t == tag.0);
        let (_, tbs, _) = at(Tag::SEQUENCE, 0)?;
        let (_, first, tbs_end) = at(Tag::SEQUENCE, tbs)?;
        let (_, _, signature) = at(Tag::SEQUENCE, tbs_end)?;
        let (_, _, end) = at(Tag::BIT_STRING, signature)?;
        let version = plain(b, first)?;
        let serial = if version.0 == Tag::context(0).0 { version.2 } else { first };
        let (_, _, algorithm) = at(Tag::INTEGER, serial)?;
        let (_, _, issuer) = at(Tag::SEQUENCE, algorithm)?;
        let (_, _, validity) = at(Tag::SEQUENCE, issuer)?;
        let (_, _, subject) = at(Tag::SEQUENCE, validity)?;
        let (_, _, spki) = at(Tag::SEQUENCE, subject)?;
        let (_, _, spki_end) = at(Tag::SEQUENCE, spki)?;
        (spki_end <= tbs_end).then_some(())?;
        Some(CertParts {
            tbs: b.get(tbs..tbs_end)?,
            serial: b.get(serial..algorithm)?,
            issuer: b.get(issuer..validity)?,
            subject: b.get(subject..spki)?,
            spki: b.get(spki..spki_end)?,
            signature: b.get(signature..end)?,
        })
    }

    fn read(certificate: &'a [u8]) -> Result<Self> {
        let mut outer = Reader::new(certificate, 0).expect(Tag::SEQUENCE, "Certificate")?.reader();
        let tbs = outer.expect(Tag::SEQUENCE, "TBSCertificate")?;
        outer.expect(Tag::SEQUENCE, "signatureAlgorithm")?;
        let signature = outer.expect(Tag::BIT_STRING, "signatureValue")?.raw;
        let mut fields = tbs.reader();
        fields.optional(Tag::context(0))?;
        let serial = fields.expect(Tag::INTEGER, "serialNumber")?.raw;
        fields.expect(Tag::SEQUENCE, "signature algorithm")?;
        let issuer = fields.expect(Tag::SEQUENCE, "issuer")?.raw;
        fields.expect(Tag::SEQUENCE, "validity")?;
        let subject = fields.expect(Tag::SEQUENCE, "subject")?.raw;
        let spki = fields.expect(Tag::SEQUENCE, "subjectPublicKeyInfo")?.raw;
        Ok(CertParts { tbs: tbs.raw, serial, issuer, subject, spki, signature })
    }
}

/// Checks that a certificate has all the parts that a record is made from.
pub fn check_certificate(certificate: &[u8]) -> Result<()> {
    CertParts::of(certificate).map(drop)
}

/// Lengths in a slot are bounded by its size, which fits 32 bits.
fn put_u32(out: &mut Vec<u8>, n: usize) {
    out.extend_from_slice(&(n as u32).to_be_bytes());
}
