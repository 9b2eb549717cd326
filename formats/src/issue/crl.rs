//! Revocation lists (RFC 5280 section 5): made, read, added to.

use super::certificate::time_element;
use super::extension::{Extension, Extensions};
use crate::asn1::{CertFields, Reader, Tag, oid, tlv, tlv_of};
use crate::crypto::sign::Signer;
use crate::error::{Error, Result};
use crate::query::time;

/// What a revocation list says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crl {
    /// The issuer's whole `Name`.
    pub issuer: Vec<u8>,
    /// Seconds since 1970.
    pub this_update: i64,
    /// Seconds since 1970; a list without it never grows stale.
    pub next_update: Option<i64>,
    /// The list's number, the content of its INTEGER.
    pub number: Option<Vec<u8>>,
    /// What is revoked.
    pub revoked: Vec<Revoked>,
    /// It says that it knows only a part, or holds critical extensions that aren't understood here.
    pub partial: bool,
}

/// One revoked certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The content of its `serialNumber`.
    pub serial: Vec<u8>,
    /// Since when, seconds since 1970.
    pub since: i64,
    /// Why.
    pub reason: Option<Reason>,
}

/// Why a certificate is revoked (RFC 5280 section 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason(pub u8);

impl Reason {
    /// Every reason: name and number.
    pub const ALL: &'static [(&'static str, u8)] = &[
        ("unspecified", 0),
        ("keyCompromise", 1),
        ("cACompromise", 2),
        ("affiliationChanged", 3),
        ("superseded", 4),
        ("cessationOfOperation", 5),
        ("certificateHold", 6),
        ("removeFromCRL", 8),
        ("privilegeWithdrawn", 9),
        ("aACompromise", 10),
    ];

    /// By name, in any case of letters.
    pub fn parse(text: &str) -> Option<Reason> {
        Self::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, n)| Reason(*n))
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, n)| *n == self.0).map_or("unknown", |(name, _)| name)
    }
}

impl Crl {
    /// The list, signed by the issuer whose certificate has `fields`.
    pub fn sign(&self, fields: &CertFields<'_>, signer: &Signer) -> Result<Vec<u8>> {
        let entries = self.revoked.iter().map(entry).collect::<Result<Vec<_>>>()?.concat();
        // The field must not be there when it is empty (section 5.1.2.6).
        let entries = if entries.is_empty() { entries } else { tlv(0x30, &entries) };
        let mut extensions = Extensions::default();
        extensions.set(Extension::authority_key_id(fields)?);
        if let Some(number) = &self.number {
            extensions.set(Extension::new(oid::CRL_NUMBER, false, tlv(0x02, number)));
        }
        let next = self.next_update.map(time_element).transpose()?.unwrap_or_default();
        let content = [
            &[2, 1, 1][..],
            signer.algorithm(),
            fields.subject,
            &time_element(self.this_update)?,
            &next,
            &entries,
            &tlv(0xa0, &extensions.der()),
        ];
        signer.signed(&tlv_of(0x30, &content))
    }

    /// Reads a list; its signature is for the caller to check.
    pub fn read(crl: &[u8]) -> Result<Crl> {
        let outer = Reader::new(crl, 0).expect(Tag::SEQUENCE, "CertificateList")?;
        let mut fields = outer.reader().expect(Tag::SEQUENCE, "TBSCertList")?.reader();
        fields.optional(Tag::INTEGER)?;
        fields.expect(Tag::SEQUENCE, "signature")?;
        let mut out = Crl { issuer: fields.expect(Tag::SEQUENCE, "issuer")?.raw.to_vec(), ..Crl::default() };
        let this = fields.any("thisUpdate")?;
        out.this_update = time::seconds(this.raw).ok_or_else(|| this.error("thisUpdate is no time"))?;
        if matches!(fields.peek(), Some(Tag(0x17 | 0x18))) {
            out.next_update = fields.next()?.and_then(|t| time::seconds(t.raw));
        }
        if let Some(list) = fields.optional(Tag::SEQUENCE)? {
            let mut list = list.reader();
            while let Some(one) = list.next()? {
                out.partial |= out.add_read(&mut one.reader())?;
            }
        }
        if let Some(extensions) = fields.optional(Tag::context(0))? {
            let list = extensions.reader().expect(Tag::SEQUENCE, "crlExtensions")?;
            let list = Extensions::read(list.content)?;
            out.number = list.get(oid::CRL_NUMBER).and_then(|n| {
                Reader::new(&n.value, 0).expect(Tag::INTEGER, "CRLNumber").ok().map(|n| n.content.to_vec())
            });
            let known = |e: &Extension| e.id == oid::CRL_NUMBER || e.id == oid::AUTHORITY_KEY_ID;
            out.partial |= list.0.iter().any(|e| e.critical && !known(e));
        }
        Ok(out)
    }

    /// One entry; true where it says something critical that isn't understood.
    fn add_read(&mut self, fields: &mut Reader<'_>) -> Result<bool> {
        let serial = fields.expect(Tag::INTEGER, "userCertificate")?.content.to_vec();
        let at = fields.any("revocationDate")?;
        let since = time::seconds(at.raw).ok_or_else(|| at.error("revocationDate is no time"))?;
        let list = fields.optional(Tag::SEQUENCE)?.map(|l| Extensions::read(l.content)).transpose()?;
        let list = list.unwrap_or_default();
        let reason = list.get(oid::CRL_REASON).and_then(|r| match r.value.as_slice() {
            [0x0a, 1, n] => Some(Reason(*n)),
            _ => None,
        });
        self.revoked.push(Revoked { serial, since, reason });
        Ok(list.0.iter().any(|e| e.critical && e.id != oid::CRL_REASON && e.id != oid::INVALIDITY_DATE))
    }

    /// The number that the next list gets.
    pub fn next_number(&self) -> Vec<u8> {
        let mut digits = self.number.clone().unwrap_or_else(|| vec![0]);
        for digit in digits.iter_mut().rev() {
            *digit = digit.wrapping_add(1);
            if *digit != 0 {
                break;
            }
        }
        // It must stay positive, and never become shorter.
        if digits.first().is_none_or(|d| *d & 0x80 != 0 || digits.iter().all(|d| *d == 0)) {
            let carried = u8::from(digits.iter().all(|d| *d == 0));
            digits.insert(0, carried);
        }
        digits
    }

    /// The entry of a serial number.
    pub fn entry(&self, serial: &[u8]) -> Option<&Revoked> {
        self.revoked.iter().find(|r| r.serial == serial)
    }
}

fn entry(revoked: &Revoked) -> Result<Vec<u8>> {
    if revoked.serial.is_empty() {
        return Err(Error::malformed("a serial number without content"));
    }
    // "unspecified" is said by saying nothing (section 5.3.1).
    let reason = revoked.reason.filter(|r| r.0 != 0).map(|r| {
        let mut list = Extensions::default();
        list.set(Extension::new(oid::CRL_REASON, false, vec![0x0a, 1, r.0]));
        list.der()
    });
    let (serial, since) = (tlv(0x02, &revoked.serial), time_element(revoked.since)?);
    Ok(tlv_of(0x30, &[&serial, &since, reason.as_deref().unwrap_or_default()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow() {
        let next = |n: &[u8]| Crl { number: Some(n.to_vec()), ..Crl::default() }.next_number();
        assert_eq!(next(&[0]), [1]);
        assert_eq!(next(&[0x7e]), [0x7f]);
        assert_eq!(next(&[0x7f]), [0, 0x80]);
        assert_eq!(next(&[0, 0xff]), [1, 0]);
        assert_eq!(next(&[0x7f, 0xff]), [0, 0x80, 0]);
        assert_eq!(Crl::default().next_number(), [1]);
    }
}
