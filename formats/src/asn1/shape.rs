//! What a DER object is, told by its first headers: files and PEM labels say it wrongly often enough.
//!
//! ```text
//! Certificate, CRL, CSR    SEQUENCE { SEQUENCE { … }, SEQUENCE, BIT STRING }
//! PKCS#8                   SEQUENCE { INTEGER 0 or 1, SEQUENCE { OID … }, OCTET STRING … }
//! encrypted PKCS#8         SEQUENCE { SEQUENCE { OID … }, OCTET STRING }
//! public key               SEQUENCE { SEQUENCE { OID … }, BIT STRING }
//! PKCS#1, DSA              SEQUENCE { INTEGER 0 or 1, INTEGER, INTEGER … }
//! SEC1                     SEQUENCE { INTEGER 1, OCTET STRING … }
//! PKCS#7                   SEQUENCE { OID … }
//! PKCS#12                  SEQUENCE { INTEGER 3, SEQUENCE { OID … } }
//! ```

use super::Tag;

/// Kinds of object that keystores and their files hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// X.509 certificate.
    Certificate,
    /// X.509 revocation list.
    Crl,
    /// PKCS#10 request.
    Request,
    /// Private key in PKCS#8, in the clear.
    Pkcs8,
    /// Enciphered PKCS#8.
    EncryptedPkcs8,
    /// RSA private key of PKCS#1.
    Pkcs1,
    /// EC private key of SEC 1.
    Sec1,
    /// DSA private key as OpenSSL writes it.
    Dsa,
    /// PKCS#7 or its successor, whatever its content.
    Pkcs7,
    /// PKCS#12.
    Pkcs12,
    /// `SubjectPublicKeyInfo`.
    PublicKey,
}

impl Shape {
    /// The words for messages.
    pub fn title(self) -> &'static str {
        match self {
            Shape::Certificate => "certificate",
            Shape::Crl => "revocation list",
            Shape::Request => "certificate request",
            Shape::Pkcs8 => "PKCS#8 private key",
            Shape::EncryptedPkcs8 => "encrypted PKCS#8 private key",
            Shape::Pkcs1 => "PKCS#1 private key",
            Shape::Sec1 => "SEC1 private key",
            Shape::Dsa => "DSA private key",
            Shape::Pkcs7 => "PKCS#7 object",
            Shape::Pkcs12 => "PKCS#12 store",
            Shape::PublicKey => "public key",
        }
    }

    /// A private key in the clear.
    pub fn is_clear_key(self) -> bool {
        matches!(self, Shape::Pkcs8 | Shape::Pkcs1 | Shape::Sec1 | Shape::Dsa)
    }
}

/// What begins here. The first bytes of an object are enough, a few hundred for most.
pub fn shape(head: &[u8]) -> Option<Shape> {
    let mut outer = Headers(head).enter(Tag::SEQUENCE)?;
    match outer.tag()? {
        Tag::OID => Some(Shape::Pkcs7),
        Tag::INTEGER => versioned(outer),
        Tag::SEQUENCE => {
            let first = outer.clone().enter(Tag::SEQUENCE)?;
            if first.tag() == Some(Tag::OID) {
                outer.skip()?;
                return match outer.tag()?.primitive() {
                    Tag::OCTET_STRING => Some(Shape::EncryptedPkcs8),
                    Tag::BIT_STRING => Some(Shape::PublicKey),
                    _ => None,
                };
            }
            signed(first)
        }
        _ => None,
    }
}

/// An object whose first field is an INTEGER.
fn versioned(mut fields: Headers<'_>) -> Option<Shape> {
    let version = fields.small_integer();
    fields.skip()?;
    match (version, fields.tag()?) {
        (Some(3), Tag::SEQUENCE) => {
            (fields.enter(Tag::SEQUENCE)?.tag() == Some(Tag::OID)).then_some(Shape::Pkcs12)
        }
        (Some(0 | 1), Tag::SEQUENCE) => {
            (fields.enter(Tag::SEQUENCE)?.tag() == Some(Tag::OID)).then_some(Shape::Pkcs8)
        }
        (Some(1), Tag::OCTET_STRING) => Some(Shape::Sec1),
        (Some(0 | 1), Tag::INTEGER) => {
            let mut count = 1;
            while fields.tag() == Some(Tag::INTEGER) {
                count += 1;
                if fields.skip().is_none() {
                    break;
                }
            }
            // RSA has nine numbers, DSA six; a head that ends early shows more than six.
            match count {
                6 => Some(Shape::Dsa),
                7.. => Some(Shape::Pkcs1),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A certificate, CRL or CSR by the first fields of what is signed.
fn signed(mut fields: Headers<'_>) -> Option<Shape> {
    if fields.tag()? == Tag::context(0) {
        return Some(Shape::Certificate);
    }
    let versioned = fields.tag()? == Tag::INTEGER;
    if versioned {
        fields.skip()?;
    }
    // The signature's algorithm begins with an OID; a CSR has its subject here.
    if fields.clone().enter(Tag::SEQUENCE)?.tag() != Some(Tag::OID) {
        return versioned.then_some(Shape::Request);
    }
    fields.skip()?;
    fields.skip()?;
    match fields.tag()? {
        Tag(0x17 | 0x18) => Some(Shape::Crl),
        Tag::SEQUENCE if versioned => Some(Shape::Certificate),
        _ => None,
    }
}

/// Walks headers whose contents may end before their time.
#[derive(Clone)]
struct Headers<'a>(&'a [u8]);

impl<'a> Headers<'a> {
    fn tag(&self) -> Option<Tag> {
        self.0.first().map(|b| Tag(*b))
    }

    /// Length of the header and of the content; `None` for the latter where BER leaves it open.
    fn lengths(&self) -> Option<(usize, Option<usize>)> {
        match *self.0.get(1)? {
            short @ 0..=0x7f => Some((2, Some(short.into()))),
            0x80 => Some((2, None)),
            long => {
                let digits = self.0.get(2..2 + usize::from(long & 0x7f))?;
                let length =
                    digits.iter().try_fold(0usize, |n, d| n.checked_mul(256).map(|n| n + usize::from(*d)))?;
                Some((2 + digits.len(), Some(length)))
            }
        }
    }

    /// The headers inside, if the element has this tag.
    fn enter(self, tag: Tag) -> Option<Headers<'a>> {
        let (header, length) = self.lengths()?;
        let content = self.0.get(header..)?;
        let end = length.map_or(content.len(), |l| l.min(content.len()));
        (self.tag() == Some(tag)).then(|| Headers(&content[..end]))
    }

    /// Goes past the element; `None` where its end isn't known or not in sight.
    fn skip(&mut self) -> Option<()> {
        let (header, length) = self.lengths()?;
        self.0 = self.0.get(header.checked_add(length?)?..)?;
        Some(())
    }

    /// The value of an INTEGER of one octet.
    fn small_integer(&self) -> Option<u8> {
        match self.0 {
            [0x02, 1, value, ..] => Some(*value),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asn1::tlv_of;

    fn seq(parts: &[&[u8]]) -> Vec<u8> {
        tlv_of(0x30, parts)
    }

    #[test]
    fn each_shape() {
        let alg = seq(&[&[6, 1, 42]]);
        let name = seq(&[&[0x31, 0]]);
        let time: &[u8] = &[0x17, 1, 0];
        let int: &[u8] = &[2, 1, 0];
        let one: &[u8] = &[2, 1, 1];
        let bits: &[u8] = &[3, 1, 0];
        let octets: &[u8] = &[4, 1, 0];
        let outer = |tbs: Vec<u8>| seq(&[&tbs, &alg, bits]);
        for (der, want) in [
            (outer(seq(&[&[0xa0, 3, 2, 1, 2], one])), Some(Shape::Certificate)),
            (outer(seq(&[one, &alg, &name, &seq(&[time, time])])), Some(Shape::Certificate)),
            (outer(seq(&[one, &alg, &name, time])), Some(Shape::Crl)),
            (outer(seq(&[&alg, &name, time])), Some(Shape::Crl)),
            (outer(seq(&[int, &name, &alg])), Some(Shape::Request)),
            (outer(seq(&[int, &[0x30, 0], &alg])), Some(Shape::Request)),
            (seq(&[int, &alg, octets]), Some(Shape::Pkcs8)),
            (seq(&[&alg, octets]), Some(Shape::EncryptedPkcs8)),
            (seq(&[&alg, bits]), Some(Shape::PublicKey)),
            (seq(&[int; 9]), Some(Shape::Pkcs1)),
            (seq(&[int; 6]), Some(Shape::Dsa)),
            (seq(&[one, octets]), Some(Shape::Sec1)),
            (seq(&[&[6, 1, 42]]), Some(Shape::Pkcs7)),
            (vec![0x30, 0x80, 6, 1, 42], Some(Shape::Pkcs7)),
            (seq(&[&[2, 1, 3], &alg]), Some(Shape::Pkcs12)),
            (seq(&[int; 2]), None),
            (seq(&[&[2, 1, 9], &alg, octets]), None),
            (vec![0x30, 0x85, 1, 1, 1, 1, 1], None),
            (b"text".to_vec(), None),
        ] {
            assert_eq!(shape(&der), want, "{der:x?}");
            for end in 0..der.len() {
                assert!(shape(&der[..end]).is_none_or(|s| Some(s) == want || end < 40));
            }
        }
    }
}
