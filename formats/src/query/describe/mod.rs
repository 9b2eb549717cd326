//! Certificates, requests and revocation lists as a tree of fields, for people and for JSON.
//!
//! The decoder is ours and lenient: what can't be read says so in its place, and the rest is shown all
//! the same. It is used where something is shown, never to move or to judge a certificate.
//!
//! Structures are those of RFC 5280 (certificates and lists) and RFC 2986 (requests).

mod dump;
mod extensions;
mod keys;
mod names;

pub use dump::dump;

use super::{dn, time};
use crate::asn1::{Reader, Tag, Tlv, oid};
use crate::error::Result;
use crate::jobs::list::hex;
use serde::Serialize;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// One field, with what it consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Its name, for people.
    pub field: String,
    /// Its value. Text from the file is not made printable yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Its parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Node>,
}

impl Node {
    /// A field with a value.
    pub fn new(field: impl Into<String>, value: impl Into<String>) -> Node {
        Node { field: field.into(), value: Some(value.into()), children: Vec::new() }
    }

    /// A field with parts.
    pub fn parent(field: impl Into<String>, children: Vec<Node>) -> Node {
        Node { field: field.into(), value: None, children }
    }
}

/// A certificate.
pub fn certificate(der: &[u8]) -> Node {
    shown("Certificate", der, read_certificate)
}

/// A PKCS#10 request.
pub fn request(der: &[u8]) -> Node {
    shown("Certificate request", der, read_request)
}

/// A revocation list. At most a thousand of its entries are shown.
pub fn crl(der: &[u8]) -> Node {
    shown("Revocation list", der, read_crl)
}

/// SHA-256 of a SubjectPublicKeyInfo in Base64: the pin of RFC 7469.
pub fn pin(spki: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(Sha256::digest(spki))
}

/// One object in PEM armour (RFC 7468), lines of 64 characters.
pub fn pem(label: &str, der: &[u8]) -> String {
    let base64 = base64_simd::STANDARD.encode_to_string(der);
    let mut out = String::with_capacity(base64.len() + base64.len() / 64 + 64 + 2 * label.len());
    out.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

type Read = fn(&[u8], &mut Vec<Node>) -> Result<()>;

/// What could be read, and where it ended.
fn shown(what: &str, der: &[u8], read: Read) -> Node {
    let mut children = Vec::new();
    if let Err(e) = read(der, &mut children) {
        children.push(Node::new("Unreadable from here on", e.to_string()));
    }
    children.push(Node::parent(
        "Fingerprints",
        vec![Node::new("SHA-1", hex(&Sha1::digest(der))), Node::new("SHA-256", hex(&Sha256::digest(der)))],
    ));
    Node::parent(what, children)
}

fn read_certificate(der: &[u8], out: &mut Vec<Node>) -> Result<()> {
    let mut outer = Reader::new(der, 0).expect(Tag::SEQUENCE, "Certificate")?.reader();
    let mut tbs = outer.expect(Tag::SEQUENCE, "TBSCertificate")?.reader();
    let version = match tbs.optional(Tag::context(0))? {
        Some(explicit) => explicit.reader().expect(Tag::INTEGER, "version")?.unsigned()?,
        None => 0,
    };
    out.push(Node::new("Version", version.saturating_add(1).to_string()));
    out.push(serial("Serial number", tbs.expect(Tag::INTEGER, "serialNumber")?.content));
    out.push(names::algorithm("Signature algorithm", &tbs.expect(Tag::SEQUENCE, "signature")?));
    out.push(name("Issuer", &tbs.expect(Tag::SEQUENCE, "issuer")?));
    let mut validity = tbs.expect(Tag::SEQUENCE, "validity")?.reader();
    out.push(Node::new("Valid from", when(&validity.any("notBefore")?)));
    out.push(Node::new("Valid to", when(&validity.any("notAfter")?)));
    out.push(name("Subject", &tbs.expect(Tag::SEQUENCE, "subject")?));
    out.push(keys::public_key(&tbs.expect(Tag::SEQUENCE, "subjectPublicKeyInfo")?));
    while let Some(field) = tbs.next()? {
        match field.tag.0 & 0x1f {
            1 => out.push(Node::new("Issuer unique id", hex(field.content))),
            2 => out.push(Node::new("Subject unique id", hex(field.content))),
            _ => out.push(extensions::list("Extensions", field.reader())),
        }
    }
    signature(&mut outer, out)
}

fn read_request(der: &[u8], out: &mut Vec<Node>) -> Result<()> {
    let mut outer = Reader::new(der, 0).expect(Tag::SEQUENCE, "CertificationRequest")?.reader();
    let mut info = outer.expect(Tag::SEQUENCE, "CertificationRequestInfo")?.reader();
    let version = info.expect(Tag::INTEGER, "version")?.unsigned()?;
    out.push(Node::new("Version", version.saturating_add(1).to_string()));
    out.push(name("Subject", &info.expect(Tag::SEQUENCE, "subject")?));
    out.push(keys::public_key(&info.expect(Tag::SEQUENCE, "subjectPKInfo")?));
    if let Some(attributes) = info.optional(Tag::context(0))? {
        let mut list = attributes.reader();
        while let Some(attribute) = list.next()? {
            out.push(request_attribute(&attribute)?);
        }
    }
    signature(&mut outer, out)
}

/// `Attribute ::= SEQUENCE { type OBJECT IDENTIFIER, values SET OF ANY }`.
fn request_attribute(attribute: &Tlv<'_>) -> Result<Node> {
    let mut fields = attribute.reader();
    let id = oid::dotted(fields.expect(Tag::OID, "attribute type")?.content);
    let mut values = fields.expect(Tag::SET, "attribute values")?.reader();
    if id == "1.2.840.113549.1.9.14" {
        return Ok(extensions::list("Requested extensions", values));
    }
    let mut parts = Vec::new();
    while let Some(value) = values.next()? {
        // A challenge password is a secret between requester and CA (RFC 2985 section 5.4.1).
        let hidden = id == "1.2.840.113549.1.9.7";
        parts.push(if hidden { "(not shown)".to_owned() } else { any(&value) });
    }
    Ok(Node::new(names::of(&id), parts.join(", ")))
}

/// More entries than anybody reads.
const REVOKED_SHOWN: usize = 1000;

fn read_crl(der: &[u8], out: &mut Vec<Node>) -> Result<()> {
    let mut outer = Reader::new(der, 0).expect(Tag::SEQUENCE, "CertificateList")?.reader();
    let mut tbs = outer.expect(Tag::SEQUENCE, "TBSCertList")?.reader();
    let version = tbs.optional(Tag::INTEGER)?.map_or(Ok(0), |v| v.unsigned())?;
    out.push(Node::new("Version", version.saturating_add(1).to_string()));
    out.push(names::algorithm("Signature algorithm", &tbs.expect(Tag::SEQUENCE, "signature")?));
    out.push(name("Issuer", &tbs.expect(Tag::SEQUENCE, "issuer")?));
    out.push(Node::new("This update", when(&tbs.any("thisUpdate")?)));
    while let Some(field) = tbs.next()? {
        match field.tag {
            Tag::SEQUENCE => out.push(revoked(&field)?),
            tag if tag == Tag::context(0) => out.push(extensions::list("Extensions", field.reader())),
            _ => out.push(Node::new("Next update", when(&field))),
        }
    }
    signature(&mut outer, out)
}

fn revoked(list: &Tlv<'_>) -> Result<Node> {
    let mut entries = list.reader();
    let (mut shown, mut count) = (Vec::new(), 0usize);
    while let Some(entry) = entries.next()? {
        count += 1;
        if count > REVOKED_SHOWN {
            continue;
        }
        let mut fields = entry.reader();
        let mut node = serial("Serial number", fields.expect(Tag::INTEGER, "userCertificate")?.content);
        node.children.push(Node::new("Revoked", when(&fields.any("revocationDate")?)));
        if let Some(extensions) = fields.next()? {
            let Node { children, .. } = extensions::of_sequence("", &extensions);
            node.children.extend(children);
        }
        shown.push(node);
    }
    let value = Some(count.to_string());
    Ok(Node { field: "Revoked certificates".to_owned(), value, children: shown })
}

/// The algorithm and the bits after what is signed.
fn signature(outer: &mut Reader<'_>, out: &mut Vec<Node>) -> Result<()> {
    let mut node = names::algorithm("Signature", &outer.expect(Tag::SEQUENCE, "signatureAlgorithm")?);
    let bits = outer.expect(Tag::BIT_STRING, "signature value")?;
    node.children.push(Node::new("Value", hex(bits.content.get(1..).unwrap_or_default())));
    out.push(node);
    Ok(())
}

/// Lower-case hex, and decimal where a person would use that.
fn serial(field: &str, content: &[u8]) -> Node {
    let decimal = (content.len() <= 8 && content.first().is_some_and(|b| b & 0x80 == 0))
        .then(|| content.iter().fold(0u64, |n, b| n << 8 | u64::from(*b)));
    let text = decimal.map_or_else(|| hex(content), |d| format!("{} (decimal {d})", hex(content)));
    Node::new(field, text)
}

/// A name in RFC 4514 text, and its parts in the order of the file.
fn name(field: &str, name: &Tlv<'_>) -> Node {
    let text = dn::rfc4514(name.raw);
    Node::new(field, if text.is_empty() { "(empty)".to_owned() } else { text })
}

fn when(time: &Tlv<'_>) -> String {
    time::seconds(time.raw).map_or_else(|| String::from_utf8_lossy(time.content).into_owned(), time::rfc3339)
}

/// Text, numbers and identifiers as such, everything else in hex.
fn any(value: &Tlv<'_>) -> String {
    match (value.tag.0, value.content) {
        (0x0c | 0x12 | 0x13 | 0x16 | 0x1a, text) => String::from_utf8_lossy(text).into_owned(),
        (0x14, text) => text.iter().map(|b| char::from(*b)).collect(),
        (0x1e, text) => utf16(text),
        (0x17 | 0x18, _) => when(value),
        (0x01, [b]) => if *b == 0 { "no" } else { "yes" }.to_owned(),
        (0x05, _) => "NULL".to_owned(),
        (0x06, id) => names::of(&oid::dotted(id)),
        (0x02 | 0x0a, n) if n.len() <= 8 => value.unsigned().map_or_else(|_| hex(n), |n| n.to_string()),
        (_, content) => hex(content),
    }
}

fn utf16(text: &[u8]) -> String {
    let units = text.chunks_exact(2).map(|u| u16::from_be_bytes([u[0], u[1]]));
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

#[cfg(test)]
mod tests;
