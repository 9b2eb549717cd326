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
    ("SQLite database", |b| b.starts_with(b"SQLite format 3\0")),
    ("PuTTY private key", |b| b.starts_with(b"PuTTY-User-Key-File-")),
    ("Bouncy Castle BCFKS store", is_bcfks),
    ("Bouncy Castle BKS store", is_bks),
    ("Bouncy Castle UBER store", has_bouncy_header),
];

/// Both BKS and UBER begin with: u32 version 1 or 2, u32 salt length 20, the salt, u32 iteration count
/// (1024 and a little in what Bouncy Castle writes).
fn has_bouncy_header(b: &[u8]) -> bool {
    matches!(word(b, 0), Some(1 | 2)) && word(b, 4) == Some(20) && matches!(word(b, 28), Some(1..=1_000_000))
}

/// BKS goes on in the clear: an entry's kind (1 to 4), its label after a u16 length, and an i64 date
/// whose first two bytes are zero in any year that matters; an empty store has a 0 and the 20 bytes of
/// its digest. UBER goes on enciphered.
fn is_bks(b: &[u8]) -> bool {
    let Some(&kind) = b.get(HEADER) else { return false };
    let date = word(b, HEADER - 1).map(|w| HEADER + 3 + (w & 0xffff) as usize);
    // A label may be longer than what was probed.
    let dated = date.is_some_and(|at| b.get(at..at + 2).is_none_or(|d| d == [0, 0]));
    has_bouncy_header(b) && (matches!(kind, 1..=4) && dated || kind == 0 && b.len() == HEADER + 21)
}

/// Where the content of BKS and UBER begins.
const HEADER: usize = 32;

fn word(b: &[u8], at: usize) -> Option<u32> {
    b.get(at..)?.first_chunk().map(|w| u32::from_be_bytes(*w))
}

/// `ObjectStore ::= SEQUENCE { SEQUENCE { SEQUENCE { PBES2 …`, encrypted contents first. An encrypted
/// PKCS#8 has the OID one level higher, a certificate an INTEGER or `[0]` in the place of the third
/// SEQUENCE, an old CRL another OID.
fn is_bcfks(b: &[u8]) -> bool {
    let rest = (0..3).try_fold(b, |b, _| match *b {
        [0x30, 0..=0x7f, ref rest @ ..] => Some(rest),
        // Headers only: the file may be longer than what was probed.
        [0x30, n @ 0x81..=0x84, ref rest @ ..] => rest.get(usize::from(n & 0x7f)..),
        _ => None,
    });
    rest.is_some_and(|b| b.starts_with(PBES2))
}

/// The OID 1.2.840.113549.1.5.13 as an element.
const PBES2: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d";

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn named(head: &[u8]) -> Option<&'static str> {
        name(&Probe { head, size: Some(head.len() as u64), path: Path::new("x"), directory: false })
    }

    /// What stands before the content of BKS and UBER.
    fn bouncy(version: u8) -> Vec<u8> {
        let count = [0, 0, 4, 0x7e];
        [&[0, 0, 0, version, 0, 0, 0, 20][..], &[0xa5; 20], &count].concat()
    }

    #[test]
    fn bouncy_castle_stores_are_told_apart() {
        let entry = b"\x01\0\x04root\0\0\x01\xa2\x09\xf8\x44\xdb";
        assert_eq!(named(&[&bouncy(2)[..], entry].concat()), Some("Bouncy Castle BKS store"));
        assert_eq!(named(&[&bouncy(1)[..], &[0; 21]].concat()), Some("Bouncy Castle BKS store"));
        assert_eq!(named(&[&bouncy(1)[..], &[0xb8; 64]].concat()), Some("Bouncy Castle UBER store"));
        // By chance a 1 first, but no date where a label would end.
        assert_eq!(
            named(&[&bouncy(1)[..], b"\x01\0\x02zz\x9c\x01padding"].concat()),
            Some("Bouncy Castle UBER store")
        );
        assert_eq!(named(&bouncy(3)), None);
        assert_eq!(named(&bouncy(2)[..30]), None);
    }

    #[test]
    fn only_nested_pbes2_is_a_bcfks() {
        let nested = |levels: &[u8], inner: &[u8]| [levels, inner].concat();
        let bcfks = nested(&[0x30, 0x82, 0x11, 0x90, 0x30, 0x82, 0x10, 0xd2, 0x30, 0x81, 0x95], PBES2);
        assert_eq!(named(&bcfks), Some("Bouncy Castle BCFKS store"));
        let pkcs8 = nested(&[0x30, 0x82, 0x01, 0x90, 0x30, 0x51], PBES2);
        let certificate = nested(&[0x30, 0x82, 2, 0, 0x30, 0x82, 1, 0], &[0xa0, 3, 2, 1, 2]);
        let old_crl = nested(&[0x30, 0x81, 0x90, 0x30, 0x70, 0x30, 0x0d], &[0x06, 9, 0x2a, 0x86, 0x48, 0x86]);
        for other in [pkcs8, certificate, old_crl, bcfks[..15].to_vec(), vec![0x30, 0x84]] {
            assert_eq!(named(&other), None, "{other:x?}");
        }
    }

    #[test]
    fn others_by_their_first_bytes() {
        assert_eq!(named(b"\x03\xd9\xa2\x9a\x67\xfb\x4b\xb5"), Some("KeePass database"));
        assert_eq!(named(b"kych\0\x01\0\0"), Some("macOS keychain"));
        assert_eq!(named(b"\0\0\0\0CERT"), Some("serialized certificate store of Windows"));
        assert_eq!(named(b""), None);
    }
}
