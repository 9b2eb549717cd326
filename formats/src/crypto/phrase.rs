//! A password as bytes: which forms the writers in the field let into their derivations.
//!
//! RFC 7292 appendix B.1 wants UTF-16BE with two zero bytes; RFC 8018 leaves the form open and everybody
//! takes UTF-8. The others below were met with the named writers.

use crate::model::Password;
use zeroize::Zeroizing;

/// What the password is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Derivation {
    /// The derivation of PKCS#12.
    Pkcs12,
    /// PBKDF1 of PKCS#5.
    Pkcs5v1,
    /// PBKDF2 or scrypt.
    Pkcs5v2,
}

/// The password's form number `n`, most usual first; `None` when there are no more.
pub fn form(password: &Password, derivation: Derivation, n: usize) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = password.bytes();
    match (derivation, n) {
        (Derivation::Pkcs5v1 | Derivation::Pkcs5v2, 0) => Some(Zeroizing::new(bytes.to_vec())),
        // NSS before it turned to UTF-8 here (its option NSS_PKCS12_DECODE_FORCE_UNICODE brings that back).
        (Derivation::Pkcs5v2, 1) => utf16_terminated(password),
        (Derivation::Pkcs12, 0) => utf16_terminated(password).or_else(|| Some(widened(bytes, 0xff))),
        // Some writers let an empty password be no bytes at all.
        (Derivation::Pkcs12, 1) if bytes.is_empty() => Some(Zeroizing::default()),
        // OpenSSL before 1.1.0 took the bytes for Latin-1.
        (Derivation::Pkcs12, 1) if !bytes.is_ascii() => Some(widened(bytes, 0xff)),
        // JDK 25 keeps seven bits of each byte (verified against its files).
        (Derivation::Pkcs12, 2) if !bytes.is_ascii() => Some(widened(bytes, 0x7f)),
        _ => None,
    }
}

/// UTF-16BE and two zero bytes; `None` if it isn't UTF-8 text.
fn utf16_terminated(password: &Password) -> Option<Zeroizing<Vec<u8>>> {
    let text = password.text().ok()?;
    // Sized once: growing would leave unwiped copies behind.
    let mut out = Zeroizing::new(Vec::with_capacity(text.len() * 2 + 2));
    text.encode_utf16().chain([0]).for_each(|unit| out.extend_from_slice(&unit.to_be_bytes()));
    Some(out)
}

/// Each byte as a character of its own, and two zero bytes.
fn widened(bytes: &[u8], mask: u8) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(bytes.len() * 2 + 2));
    bytes.iter().chain(&[0]).for_each(|b| out.extend_from_slice(&[0, b & mask]));
    out
}
