//! Public keys: algorithm, size, parameters, fingerprint and pin.

use super::{Node, names, pin};
use crate::asn1::{Reader, Tag, Tlv, oid};
use crate::error::Result;
use crate::jobs::list::hex;
use sha2::{Digest, Sha256};

/// Sizes of curves in bits, by OID.
const CURVES: &[(&str, u32)] = &[
    ("1.2.840.10045.3.1.1", 192),
    ("1.3.132.0.33", 224),
    ("1.2.840.10045.3.1.7", 256),
    ("1.3.132.0.34", 384),
    ("1.3.132.0.35", 521),
    ("1.3.132.0.10", 256),
    ("1.3.36.3.3.2.8.1.1.7", 256),
    ("1.3.36.3.3.2.8.1.1.11", 384),
    ("1.3.36.3.3.2.8.1.1.13", 512),
];

/// `SubjectPublicKeyInfo ::= SEQUENCE { algorithm AlgorithmIdentifier, subjectPublicKey BIT STRING }`.
pub fn public_key(spki: &Tlv<'_>) -> Node {
    let mut node =
        read(spki).unwrap_or_else(|e| Node::new("Public key", format!("unreadable: {}", e.message())));
    node.children.push(Node::new("SHA-256", hex(&Sha256::digest(spki.raw))));
    node.children.push(Node::new("Pin (SHA-256, Base64)", pin(spki.raw)));
    node
}

fn read(spki: &Tlv<'_>) -> Result<Node> {
    let mut fields = spki.reader();
    let mut algorithm = fields.expect(Tag::SEQUENCE, "algorithm")?.reader();
    let id = oid::dotted(algorithm.expect(Tag::OID, "algorithm")?.content);
    let parameters = algorithm.next()?;
    let bits = fields.expect(Tag::BIT_STRING, "subjectPublicKey")?.content.get(1..).unwrap_or_default();
    match id.as_str() {
        "1.2.840.113549.1.1.1" | "1.2.840.113549.1.1.10" => rsa(&id, bits),
        "1.2.840.10045.2.1" => Ok(elliptic(parameters.as_ref(), bits)),
        "1.2.840.10040.4.1" => dsa(parameters.as_ref(), bits),
        _ => {
            let mut node = Node::new("Public key", names::short(&id));
            node.children.push(Node::new("Value", hex(bits)));
            Ok(node)
        }
    }
}

/// `RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }` (RFC 8017 section A.1.1).
fn rsa(id: &str, bits: &[u8]) -> Result<Node> {
    let mut key = Reader::new(bits, 0).expect(Tag::SEQUENCE, "RSAPublicKey")?.reader();
    let modulus = key.expect(Tag::INTEGER, "modulus")?.content;
    let exponent = key.expect(Tag::INTEGER, "publicExponent")?;
    let name = if id.ends_with(".10") { "RSASSA-PSS" } else { "RSA" };
    let mut node = Node::new("Public key", format!("{name}, {} bits", bit_length(modulus)));
    node.children.push(Node::new("Modulus", hex(significant(modulus))));
    node.children.push(Node::new("Exponent", super::any(&exponent)));
    Ok(node)
}

fn elliptic(parameters: Option<&Tlv<'_>>, point: &[u8]) -> Node {
    let curve = parameters.filter(|p| p.tag == Tag::OID).map(|p| oid::dotted(p.content));
    let size = curve.as_ref().and_then(|c| CURVES.iter().find(|(id, _)| id == c)).map(|(_, bits)| *bits);
    let name = curve.map_or_else(|| "explicit parameters".to_owned(), |c| names::short(&c));
    let size = size.map_or_else(String::new, |s| format!(", {s} bits"));
    let mut node = Node::new("Public key", format!("EC, {name}{size}"));
    node.children.push(Node::new("Point", hex(point)));
    node
}

/// `Dss-Parms ::= SEQUENCE { p INTEGER, q INTEGER, g INTEGER }` (RFC 3279 section 2.3.2).
fn dsa(parameters: Option<&Tlv<'_>>, bits: &[u8]) -> Result<Node> {
    let size = match parameters {
        Some(p) if p.tag == Tag::SEQUENCE => {
            format!(", {} bits", bit_length(p.reader().expect(Tag::INTEGER, "p")?.content))
        }
        _ => String::new(),
    };
    let mut node = Node::new("Public key", format!("DSA{size}"));
    node.children
        .push(Node::new("Value", hex(Reader::new(bits, 0).expect(Tag::INTEGER, "public key")?.content)));
    Ok(node)
}

fn significant(integer: &[u8]) -> &[u8] {
    let zeros = integer.iter().take_while(|b| **b == 0).count();
    integer.get(zeros..).unwrap_or_default()
}

fn bit_length(integer: &[u8]) -> usize {
    let digits = significant(integer);
    digits.first().map_or(0, |first| digits.len() * 8 - first.leading_zeros() as usize)
}
