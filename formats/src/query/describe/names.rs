//! Object identifiers and algorithms in words.

use super::Node;
use crate::asn1::{Reader, Tag, Tlv, oid};
use crate::error::Result;
use crate::jobs::list::hex;

/// The name of a dotted OID with the OID behind it, or the OID alone.
pub fn of(dotted: &str) -> String {
    match known(dotted) {
        Some(name) => format!("{name} ({dotted})"),
        None => dotted.to_owned(),
    }
}

/// The name of a dotted OID, or the OID.
pub fn short(dotted: &str) -> String {
    known(dotted).unwrap_or(dotted).to_owned()
}

fn known(dotted: &str) -> Option<&'static str> {
    NAMES.iter().find(|(id, _)| *id == dotted).map(|(_, name)| *name)
}

/// An `AlgorithmIdentifier`: its name, and its parameters where they say something.
pub fn algorithm(field: &str, identifier: &Tlv<'_>) -> Node {
    read_algorithm(field, identifier).unwrap_or_else(|e| Node::new(field, format!("unreadable: {e}")))
}

fn read_algorithm(field: &str, identifier: &Tlv<'_>) -> Result<Node> {
    let mut fields = identifier.reader();
    let id = oid::dotted(fields.expect(Tag::OID, "algorithm")?.content);
    let mut node = Node::new(field, of(&id));
    match fields.next()? {
        Some(p) if id == "1.2.840.113549.1.1.10" => node.children = pss(&p)?,
        Some(p) if p.tag != Tag::NULL => node.children.push(Node::new("Parameters", parameters(&p))),
        _ => {}
    }
    Ok(node)
}

fn parameters(p: &Tlv<'_>) -> String {
    if p.tag == Tag::OID { of(&oid::dotted(p.content)) } else { hex(p.raw) }
}

/// `RSASSA-PSS-params` (RFC 4055 section 3.1); what is absent has the defaults SHA-1, MGF1, 20.
fn pss(p: &Tlv<'_>) -> Result<Vec<Node>> {
    let (mut hash, mut mask, mut salt) = ("SHA-1".to_owned(), "MGF1 with SHA-1".to_owned(), 20);
    let mut fields = p.reader();
    while let Some(field) = fields.next()? {
        match field.tag.0 & 0x1f {
            0 => hash = first_oid(&field)?,
            1 => {
                let mut inner = field.reader().expect(Tag::SEQUENCE, "maskGenAlgorithm")?.reader();
                let function = oid::dotted(inner.expect(Tag::OID, "function")?.content);
                let with = inner.expect(Tag::SEQUENCE, "hash")?;
                let with = oid::dotted(with.reader().expect(Tag::OID, "hash")?.content);
                mask = format!("{} with {}", short(&function), short(&with));
            }
            2 => salt = field.reader().expect(Tag::INTEGER, "saltLength")?.unsigned()?,
            _ => {}
        }
    }
    Ok(vec![
        Node::new("Hash", hash),
        Node::new("Mask generation", mask),
        Node::new("Salt length", format!("{salt} bytes")),
    ])
}

fn first_oid(explicit: &Tlv<'_>) -> Result<String> {
    let mut inner: Reader<'_> = explicit.reader().expect(Tag::SEQUENCE, "hashAlgorithm")?.reader();
    Ok(short(&oid::dotted(inner.expect(Tag::OID, "hash")?.content)))
}

/// Names as the standards that assign them write them: PKCS#1, RFC 3279, 5280, 5480, 5758, 6960, 7633,
/// 8410, 9881, 9882; Microsoft's and Netscape's own; CA/Browser Forum policies.
const NAMES: &[(&str, &str)] = &[
    ("1.2.840.113549.1.1.1", "rsaEncryption"),
    ("1.2.840.113549.1.1.2", "md2WithRSAEncryption"),
    ("1.2.840.113549.1.1.4", "md5WithRSAEncryption"),
    ("1.2.840.113549.1.1.5", "sha1WithRSAEncryption"),
    ("1.2.840.113549.1.1.8", "MGF1"),
    ("1.2.840.113549.1.1.10", "RSASSA-PSS"),
    ("1.2.840.113549.1.1.11", "sha256WithRSAEncryption"),
    ("1.2.840.113549.1.1.12", "sha384WithRSAEncryption"),
    ("1.2.840.113549.1.1.13", "sha512WithRSAEncryption"),
    ("1.2.840.113549.1.1.14", "sha224WithRSAEncryption"),
    ("1.2.840.10040.4.1", "DSA"),
    ("1.2.840.10040.4.3", "dsa-with-sha1"),
    ("2.16.840.1.101.3.4.3.1", "dsa-with-sha224"),
    ("2.16.840.1.101.3.4.3.2", "dsa-with-sha256"),
    ("1.2.840.10045.2.1", "EC"),
    ("1.2.840.10045.4.1", "ecdsa-with-SHA1"),
    ("1.2.840.10045.4.3.1", "ecdsa-with-SHA224"),
    ("1.2.840.10045.4.3.2", "ecdsa-with-SHA256"),
    ("1.2.840.10045.4.3.3", "ecdsa-with-SHA384"),
    ("1.2.840.10045.4.3.4", "ecdsa-with-SHA512"),
    ("1.2.840.10046.2.1", "DH"),
    ("1.3.101.110", "X25519"),
    ("1.3.101.111", "X448"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
    ("2.16.840.1.101.3.4.3.17", "ML-DSA-44"),
    ("2.16.840.1.101.3.4.3.18", "ML-DSA-65"),
    ("2.16.840.1.101.3.4.3.19", "ML-DSA-87"),
    ("1.2.840.113549.2.5", "MD5"),
    ("1.3.14.3.2.26", "SHA-1"),
    ("2.16.840.1.101.3.4.2.1", "SHA-256"),
    ("2.16.840.1.101.3.4.2.2", "SHA-384"),
    ("2.16.840.1.101.3.4.2.3", "SHA-512"),
    ("2.16.840.1.101.3.4.2.4", "SHA-224"),
    ("1.2.840.10045.3.1.1", "P-192"),
    ("1.3.132.0.33", "P-224"),
    ("1.2.840.10045.3.1.7", "P-256"),
    ("1.3.132.0.34", "P-384"),
    ("1.3.132.0.35", "P-521"),
    ("1.3.132.0.10", "secp256k1"),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1"),
    ("1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1"),
    ("1.3.36.3.3.2.8.1.1.13", "brainpoolP512r1"),
    ("2.5.29.37.0", "any"),
    ("1.3.6.1.5.5.7.3.1", "server authentication"),
    ("1.3.6.1.5.5.7.3.2", "client authentication"),
    ("1.3.6.1.5.5.7.3.3", "code signing"),
    ("1.3.6.1.5.5.7.3.4", "email protection"),
    ("1.3.6.1.5.5.7.3.5", "IPsec end system"),
    ("1.3.6.1.5.5.7.3.6", "IPsec tunnel"),
    ("1.3.6.1.5.5.7.3.7", "IPsec user"),
    ("1.3.6.1.5.5.7.3.8", "time stamping"),
    ("1.3.6.1.5.5.7.3.9", "OCSP signing"),
    ("1.3.6.1.5.5.7.3.17", "IKE"),
    ("1.3.6.1.5.5.7.3.36", "document signing"),
    ("1.3.6.1.5.2.3.4", "PKINIT client"),
    ("1.3.6.1.5.2.3.5", "PKINIT KDC"),
    ("1.3.6.1.4.1.311.10.3.4", "Microsoft encrypting file system"),
    ("1.3.6.1.4.1.311.10.3.12", "Microsoft document signing"),
    ("1.3.6.1.4.1.311.20.2.2", "Microsoft smart card logon"),
    ("2.16.840.1.113730.4.1", "Netscape server gated crypto"),
    ("1.3.6.1.5.5.7.48.1", "OCSP"),
    ("1.3.6.1.5.5.7.48.2", "CA issuers"),
    ("1.3.6.1.5.5.7.48.3", "time stamping service"),
    ("1.3.6.1.5.5.7.48.5", "CA repository"),
    ("1.3.6.1.5.5.7.2.1", "CPS"),
    ("1.3.6.1.5.5.7.2.2", "user notice"),
    ("2.5.29.32.0", "any policy"),
    ("2.23.140.1.1", "extended validation"),
    ("2.23.140.1.2.1", "domain validated"),
    ("2.23.140.1.2.2", "organization validated"),
    ("2.23.140.1.2.3", "individual validated"),
    ("1.3.6.1.5.5.7.8.9", "SmtpUTF8Mailbox"),
    ("1.3.6.1.4.1.311.20.2.3", "user principal name"),
    ("1.2.840.113549.1.9.2", "unstructuredName"),
    ("1.2.840.113549.1.9.7", "challengePassword"),
    ("1.2.840.113549.1.9.8", "unstructuredAddress"),
    ("1.3.6.1.4.1.311.13.2.3", "Microsoft OS version"),
];
