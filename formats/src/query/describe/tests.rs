//! Objects built here, and the words they are shown in.

use super::*;
use crate::asn1::{integer, octet_string, oid_tlv, tlv, tlv_of};

fn oid_of(dotted: &str) -> Vec<u8> {
    oid_tlv(&oid::from_dotted(dotted).expect("an OID"))
}

fn extension(id: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    tlv_of(0x30, &[&oid_of(id), critical, &octet_string(value)])
}

fn find<'a>(node: &'a Node, field: &str) -> Option<&'a Node> {
    if node.field == field { Some(node) } else { node.children.iter().find_map(|c| find(c, field)) }
}

fn value(node: &Node, field: &str) -> Option<String> {
    find(node, field).and_then(|n| n.value.clone())
}

fn a_certificate(extensions: &[&[u8]]) -> Vec<u8> {
    let algorithm = tlv_of(0x30, &[&oid_of("1.2.840.113549.1.1.11"), &[5, 0]]);
    let name = tlv(0x30, &tlv(0x31, &tlv_of(0x30, &[&oid_of("2.5.4.3"), &tlv(0x0c, b"alice")])));
    let validity = tlv_of(0x30, &[&tlv(0x17, b"260101000000Z"), &tlv(0x18, b"20510101000000Z")]);
    let key = tlv_of(0x30, &[&tlv(2, &[[0].as_slice(), &[0x80; 256]].concat()), &integer(65_537)]);
    let spki = tlv_of(
        0x30,
        &[&tlv_of(0x30, &[&oid_of("1.2.840.113549.1.1.1"), &[5, 0]]), &tlv(3, &[&[0], &key[..]].concat())],
    );
    let extensions = tlv(0xa3, &tlv_of(0x30, extensions));
    let version = tlv(0xa0, &integer(2));
    let tbs =
        tlv_of(0x30, &[&version, &integer(0x0a1b), &algorithm, &name, &validity, &name, &spki, &extensions]);
    tlv_of(0x30, &[&tbs, &algorithm, &tlv(3, &[0, 1, 2])])
}

#[test]
fn a_certificate_in_words() {
    let names = tlv_of(
        0x30,
        &[
            &tlv(0x82, b"mq.example"),
            &tlv(0x87, &[192, 0, 2, 1]),
            &tlv(0x87, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        ],
    );
    let der = a_certificate(&[
        &extension("2.5.29.19", true, &tlv_of(0x30, &[&[1, 1, 0xff], &integer(3)])),
        &extension("2.5.29.15", true, &[3, 2, 1, 0x06]),
        &extension("2.5.29.37", false, &tlv(0x30, &oid_of("1.3.6.1.5.5.7.3.4"))),
        &extension("2.5.29.17", false, &names),
        &extension("1.2.3.4", false, &tlv(0x0c, b"hello")),
    ]);
    let node = certificate(&der);
    let of = |field: &str| value(&node, field);
    assert_eq!(of("Version").as_deref(), Some("3"));
    assert_eq!(of("Serial number").as_deref(), Some("0a1b (decimal 2587)"));
    assert_eq!(of("Subject").as_deref(), Some("CN=alice"));
    assert_eq!(of("Valid from").as_deref(), Some("2026-01-01T00:00:00Z"));
    assert_eq!(of("Valid to").as_deref(), Some("2051-01-01T00:00:00Z"));
    assert_eq!(of("Public key").as_deref(), Some("RSA, 2048 bits"));
    assert_eq!(of("Exponent").as_deref(), Some("65537"));
    assert_eq!(of("Signature algorithm").as_deref(), Some("sha256WithRSAEncryption (1.2.840.113549.1.1.11)"));
    assert_eq!(of("Basic constraints (critical)").as_deref(), Some("CA, at most 3 CAs below it"));
    assert_eq!(of("Key usage (critical)").as_deref(), Some("certificate signing, CRL signing"));
    assert_eq!(of("Extended key usage").as_deref(), Some("email protection"));
    assert_eq!(of("DNS").as_deref(), Some("mq.example"));
    let addresses = &find(&node, "Subject alternative name").expect("names").children[1..];
    assert_eq!(addresses, [Node::new("IP", "192.0.2.1"), Node::new("IP", "2001:db8::1")]);
    assert_eq!(of("1.2.3.4").as_deref(), Some("hello"));
    assert_eq!(of("Value").as_deref(), Some("0102"));
}

#[test]
fn every_prefix_of_a_certificate_is_shown_without_panic() {
    let point = tlv(0x30, &tlv(0xa0, &tlv(0xa0, &tlv(0x86, b"http://x/"))));
    let der = a_certificate(&[
        &extension("2.5.29.31", false, &tlv(0x30, &point)),
        &extension("2.5.29.35", false, &tlv(0x30, &tlv(0x80, &[1, 2]))),
        &extension("1.3.6.1.4.1.11129.2.4.2", false, &octet_string(&[0, 3, 0, 9, 1])),
    ]);
    for end in 0..der.len() {
        let node = certificate(&der[..end]);
        assert!(find(&node, "Unreadable from here on").is_some());
        assert!(!dump(&der[..end]).is_empty() || end == 0);
    }
    assert_eq!(value(&certificate(&der), "URI").as_deref(), Some("http://x/"));
}

#[test]
fn broken_extensions_keep_their_bytes() {
    let der = a_certificate(&[&extension("2.5.29.35", false, &[0x30, 9, 1])]);
    let text = value(&certificate(&der), "Authority key identifier").expect("shown");
    assert!(text.starts_with("unreadable") && text.ends_with("300901"), "{text}");
}

#[test]
fn challenge_passwords_are_not_shown() {
    let spki = tlv_of(0x30, &[&tlv(0x30, &oid_of("1.3.101.112")), &tlv(3, &[0, 7])]);
    let secret = tlv_of(0x30, &[&oid_of("1.2.840.113549.1.9.7"), &tlv(0x31, &tlv(0x0c, b"hunter2"))]);
    let info = tlv_of(0x30, &[&integer(0), &tlv(0x30, &[]), &spki, &tlv(0xa0, &secret)]);
    let der = tlv_of(0x30, &[&info, &tlv(0x30, &oid_of("1.3.101.112")), &tlv(3, &[0, 1])]);
    let node = request(&der);
    assert_eq!(value(&node, "challengePassword (1.2.840.113549.1.9.7)").as_deref(), Some("(not shown)"));
    assert_eq!(value(&node, "Public key").as_deref(), Some("Ed25519"));
    assert!(!format!("{node:?}").contains("hunter2"));
}

#[test]
fn revocation_lists() {
    let algorithm = tlv(0x30, &oid_of("1.3.101.112"));
    let time = tlv(0x17, b"260101000000Z");
    let entry =
        tlv_of(0x30, &[&integer(7), &time, &tlv(0x30, &extension("2.5.29.21", false, &[0x0a, 1, 1]))]);
    let tbs = tlv_of(0x30, &[&integer(1), &algorithm, &tlv(0x30, &[]), &time, &time, &tlv(0x30, &entry)]);
    let node = crl(&tlv_of(0x30, &[&tbs, &algorithm, &tlv(3, &[0, 1])]));
    assert_eq!(value(&node, "Revoked certificates").as_deref(), Some("1"));
    assert_eq!(value(&node, "Reason").as_deref(), Some("key compromise"));
    assert_eq!(value(&node, "Next update").as_deref(), Some("2026-01-01T00:00:00Z"));
}

#[test]
fn dumps_have_offsets_and_look_into_strings() {
    let der = tlv_of(0x30, &[&integer(5), &octet_string(&tlv(0x30, &[5, 0])), &octet_string(b"\x30\x05")]);
    assert_eq!(
        dump(&der),
        "     0  2+13     SEQUENCE\n     2  2+1        INTEGER: 5\n     5  2+4        OCTET STRING\n     \
         7  2+2          SEQUENCE\n     9  2+0            NULL\n    11  2+2        OCTET STRING: 3005\n"
    );
    // Strings within strings: bounded, whatever the input.
    let mut deep = tlv(0x30, &[]);
    for _ in 0..2000 {
        deep = tlv(0x30, &octet_string(&deep));
    }
    assert!(dump(&deep).lines().count() < 100);
}

#[test]
fn armour() {
    assert_eq!(pem("X", &[0; 3]), "-----BEGIN X-----\nAAAA\n-----END X-----\n");
    let long = pem("X", &[0; 96]);
    assert_eq!(long.lines().map(str::len).collect::<Vec<_>>(), [17, 64, 64, 15]);
}
