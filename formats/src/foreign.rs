//! Stores of others that are recognised and named, but not read.

use crate::place::Probe;

/// What it is, in words for an error message, or `None`.
pub fn name(probe: &Probe<'_>) -> Option<&'static str> {
    SIGNATURES.iter().find(|(_, is)| is(probe.head)).map(|(name, _)| *name)
}

type Is = fn(&[u8]) -> bool;

/// Sources: KeePass file signatures (KeePass 1 and 2 documentation), macOS keychain `kych`, the
/// serialized certificate store of Windows (`CERT_STORE_SAVE_AS_STORE` writes 0 then `CERT`).
/// BKS, UBER and BCFKS as Bouncy Castle 1.72 writes them (testdata `bc-basic.*`).
const SIGNATURES: &[(&str, Is)] = &[
    ("KeePass database", |b| b.starts_with(&[0x03, 0xd9, 0xa2, 0x9a])),
    ("macOS keychain", |b| b.starts_with(b"kych")),
    ("serialized certificate store of Windows", |b| b.starts_with(b"\0\0\0\0CERT")),
    ("IBM CMS key database (kdb)", |b| b.starts_with(b"\x84\x4c\x41\x42")),
    ("SQLite database", |b| b.starts_with(b"SQLite format 3\0")),
    ("PuTTY private key", |b| b.starts_with(b"PuTTY-User-Key-File-")),
    ("Bouncy Castle BCFKS store", is_bcfks),
    ("Bouncy Castle BKS or UBER store", is_bks),
];

/// u32 version 1 or 2, u32 salt length 20, the salt, u32 iteration count of a plausible size.
fn is_bks(b: &[u8]) -> bool {
    let word = |at: usize| b.get(at..at + 4).map(|w| u32::from_be_bytes([w[0], w[1], w[2], w[3]]));
    matches!(word(0), Some(1 | 2)) && word(4) == Some(20) && matches!(word(28), Some(1..=10_000_000))
}

/// SEQUENCE { SEQUENCE { OID PBES2 1.2.840.113549.1.5.13 …: the same start as an encrypted PKCS#8 key;
/// BCFKS goes on with an OCTET STRING too, but follows it with its integrity check.
fn is_bcfks(b: &[u8]) -> bool {
    crate::asn1::bcfks_shape(b)
}
