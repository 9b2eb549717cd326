//! Algorithms of secret keys: Java's names and the object identifiers that stand for them in a secretBag.

use crate::asn1::oid;

/// Java's name for the OID (content octets), the dotted OID where Java has none.
pub(super) fn of_oid(content: &[u8]) -> String {
    let dotted = oid::dotted(content);
    let known = NAMES.iter().find(|(_, id)| *id == dotted);
    known.map_or(dotted, |(name, _)| (*name).to_owned())
}

/// The OID (content octets) for a name as Java spells it, in any case of letters, or for a dotted OID.
pub(super) fn to_oid(name: &str) -> Option<Vec<u8>> {
    let known = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    oid::from_dotted(known.map_or(name, |(_, id)| id))
}

/// As JDK 17 maps them (asked of `sun.security.x509.AlgorithmId`), and a few that it knows no OID for.
/// The first of several names or OIDs is the one given back.
const NAMES: &[(&str, &str)] = &[
    ("AES", "2.16.840.1.101.3.4.1"),
    ("DESede", "1.3.14.3.2.17"),
    ("DESede", "1.2.840.113549.3.7"),
    ("TripleDES", "1.3.14.3.2.17"),
    ("DES", "1.3.14.3.2.7"),
    ("ARCFOUR", "1.2.840.113549.3.4"),
    ("RC4", "1.2.840.113549.3.4"),
    ("RC2", "1.2.840.113549.3.2"),
    ("Blowfish", "1.3.6.1.4.1.3029.1.2"),
    ("HmacMD5", "1.2.840.113549.2.6"),
    ("HmacSHA1", "1.2.840.113549.2.7"),
    ("HmacSHA224", "1.2.840.113549.2.8"),
    ("HmacSHA256", "1.2.840.113549.2.9"),
    ("HmacSHA384", "1.2.840.113549.2.10"),
    ("HmacSHA512", "1.2.840.113549.2.11"),
    ("HmacSHA512/224", "1.2.840.113549.2.12"),
    ("HmacSHA512/256", "1.2.840.113549.2.13"),
    ("HmacSHA3-224", "2.16.840.1.101.3.4.2.13"),
    ("HmacSHA3-256", "2.16.840.1.101.3.4.2.14"),
    ("HmacSHA3-384", "2.16.840.1.101.3.4.2.15"),
    ("HmacSHA3-512", "2.16.840.1.101.3.4.2.16"),
    ("ChaCha20-Poly1305", "1.2.840.113549.1.9.16.3.18"),
    ("PBEWithMD5AndDES", "1.2.840.113549.1.5.3"),
    ("PBEWithSHA1AndDESede", "1.2.840.113549.1.12.1.3"),
];
