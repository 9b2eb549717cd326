//! Certificates (RFC 5280 section 4.1), framed here and signed by the libraries.

use super::extension::Extensions;
use crate::asn1::{tlv, tlv_of};
use crate::context::Rng;
use crate::crypto::sign::Signer;
use crate::error::{Error, Result};
use crate::query::time::rfc3339;

/// What a new certificate says.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The content of `serialNumber`, see [`random_serial`].
    pub serial: Vec<u8>,
    /// The issuer's whole `Name`, as it stands in its own certificate.
    pub issuer: Vec<u8>,
    /// The subject's whole `Name`.
    pub subject: Vec<u8>,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
    /// The public key.
    pub spki: Vec<u8>,
    /// The extensions.
    pub extensions: Extensions,
}

impl Draft {
    /// The certificate, signed.
    pub fn sign(&self, signer: &Signer) -> Result<Vec<u8>> {
        let validity = tlv_of(0x30, &[&time_element(self.not_before)?, &time_element(self.not_after)?]);
        let extensions = match self.extensions.is_empty() {
            true => Vec::new(),
            false => tlv(0xa3, &self.extensions.der()),
        };
        let version: &[u8] = &[0xa0, 3, 2, 1, 2];
        let content = [
            version,
            &tlv(0x02, &self.serial),
            signer.algorithm(),
            &self.issuer,
            &validity,
            &self.subject,
            &self.spki,
            &extensions,
        ];
        signer.signed(&tlv_of(0x30, &content))
    }
}

/// 20 random octets of the system (less two bits, so that all have one length and are positive): the longest that RFC 5280 section
/// 4.1.2.2 allows.
pub fn random_serial() -> Result<Vec<u8>> {
    let mut serial: [u8; 20] = Rng::system().bytes()?;
    let [first, ..] = &mut serial;
    *first = *first & 0x7f | 0x40;
    Ok(serial.to_vec())
}

/// A UTCTime until 2049, a GeneralizedTime from 2050 on (RFC 5280 section 4.1.2.5).
pub fn time_element(seconds: i64) -> Result<Vec<u8>> {
    // 0000-01-01 to 9999-12-31.
    if !(-62_167_219_200..=253_402_300_799).contains(&seconds) {
        return Err(Error::refused("a time beyond the year 9999"));
    }
    let digits: String = rfc3339(seconds).chars().filter(char::is_ascii_digit).collect();
    let short = ("1950".."2050").contains(&digits.get(..4).unwrap_or_default());
    let text = if short { format!("{}Z", digits.get(2..).unwrap_or_default()) } else { format!("{digits}Z") };
    Ok(tlv(if short { 0x17 } else { 0x18 }, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::time;

    #[test]
    fn times_come_back() {
        for seconds in [0, -631_152_000, -631_152_001, 2_524_607_999, 2_524_608_000, 253_402_300_799] {
            assert_eq!(time::seconds(&time_element(seconds).expect("time")), Some(seconds));
        }
        assert_eq!(time_element(2_524_608_000).expect("time")[0], 0x18);
        assert_eq!(time_element(2_524_607_999).expect("time")[0], 0x17);
        assert!(time_element(253_402_300_800).is_err());
    }

    #[test]
    fn serials_have_twenty_octets() {
        let (a, b) = (random_serial().expect("serial"), random_serial().expect("serial"));
        assert!(a.len() == 20 && a[0] & 0x80 == 0 && a[0] != 0 && a != b);
    }
}
