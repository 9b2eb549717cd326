//! Extensions of certificates, requests and revocation lists.
//!
//! Sources: RFC 5280 section 4.2 and 5.2 unless said otherwise.

use super::{Node, any, names, serial};
use crate::asn1::{Reader, Tag, Tlv, oid};
use crate::error::Result;
use crate::jobs::list::hex;
use crate::query::{dn, time};
use std::net::{Ipv4Addr, Ipv6Addr};

/// `Extensions ::= SEQUENCE OF Extension`, which `around` holds.
pub fn list(field: &str, mut around: Reader<'_>) -> Node {
    match around.expect(Tag::SEQUENCE, "extensions") {
        Ok(sequence) => of_sequence(field, &sequence),
        Err(e) => Node::new(field, format!("unreadable: {}", e.message())),
    }
}

/// The extensions in `sequence`.
pub fn of_sequence(field: &str, sequence: &Tlv<'_>) -> Node {
    let mut children = Vec::new();
    let mut extensions = sequence.reader();
    loop {
        match extensions.next().and_then(|e| e.map(|e| one(&e)).transpose()) {
            Ok(Some(node)) => children.push(node),
            Ok(None) => break,
            Err(e) => {
                children.push(Node::new("Unreadable from here on", e.message()));
                break;
            }
        }
    }
    Node::parent(field, children)
}

/// `Extension ::= SEQUENCE { extnID, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING }`.
fn one(extension: &Tlv<'_>) -> Result<Node> {
    let mut fields = extension.reader();
    let id = oid::dotted(fields.expect(Tag::OID, "extnID")?.content);
    let critical = fields.optional(Tag::BOOLEAN)?.is_some_and(|b| b.content.first().is_some_and(|v| *v != 0));
    let value = fields.expect(Tag::OCTET_STRING, "extnValue")?.content;
    let known = KNOWN.iter().find(|(dotted, ..)| *dotted == id);
    let name = known.map_or_else(|| id.clone(), |(_, name, _)| (*name).to_owned());
    let field = if critical { format!("{name} (critical)") } else { name };
    let body = match known {
        Some((_, _, decode)) => decode(value).unwrap_or_else(|e| Body {
            value: Some(format!("unreadable ({}): {}", e.message(), hex(value))),
            parts: Vec::new(),
        }),
        None => unknown(value),
    };
    Ok(Node { field, value: body.value, children: body.parts })
}

/// What an extension says: in one line, or in parts.
#[derive(Default)]
struct Body {
    value: Option<String>,
    parts: Vec<Node>,
}

impl Body {
    fn text(value: impl Into<String>) -> Self {
        Body { value: Some(value.into()), parts: Vec::new() }
    }
    fn parts(parts: Vec<Node>) -> Self {
        Body { value: None, parts }
    }
}

type Decode = fn(&[u8]) -> Result<Body>;

const KNOWN: &[(&str, &str, Decode)] = &[
    ("2.5.29.9", "Subject directory attributes", generic),
    ("2.5.29.14", "Subject key identifier", key_identifier),
    ("2.5.29.15", "Key usage", |v| bits(v, KEY_USAGE)),
    ("2.5.29.16", "Private key usage period", usage_period),
    ("2.5.29.17", "Subject alternative name", alternative_name),
    ("2.5.29.18", "Issuer alternative name", alternative_name),
    ("2.5.29.19", "Basic constraints", basic_constraints),
    ("2.5.29.20", "CRL number", number),
    ("2.5.29.21", "Reason", reason),
    ("2.5.29.24", "Invalid since", generic),
    ("2.5.29.27", "Delta CRL, base", number),
    ("2.5.29.28", "Issuing distribution point", issuing_point),
    ("2.5.29.29", "Certificate issuer", alternative_name),
    ("2.5.29.30", "Name constraints", name_constraints),
    ("2.5.29.31", "CRL distribution points", distribution_points),
    ("2.5.29.32", "Certificate policies", policies),
    ("2.5.29.33", "Policy mappings", policy_mappings),
    ("2.5.29.35", "Authority key identifier", authority_key),
    ("2.5.29.36", "Policy constraints", policy_constraints),
    ("2.5.29.37", "Extended key usage", extended_usage),
    ("2.5.29.46", "Freshest CRL", distribution_points),
    ("2.5.29.54", "Inhibit any policy", number),
    ("1.3.6.1.5.5.7.1.1", "Authority information access", access),
    ("1.3.6.1.5.5.7.1.3", "Qualified certificate statements", generic),
    ("1.3.6.1.5.5.7.1.11", "Subject information access", access),
    ("1.3.6.1.5.5.7.1.24", "TLS feature", tls_feature),
    ("1.3.6.1.5.5.7.48.1.5", "OCSP no check", |_| Ok(Body::text("yes"))),
    ("1.3.6.1.4.1.11129.2.4.2", "Signed certificate timestamps", timestamps),
    ("1.3.6.1.4.1.11129.2.4.3", "Certificate transparency poison", |_| Ok(Body::text("yes"))),
    ("1.3.6.1.4.1.311.20.2", "Microsoft certificate template", generic),
    ("1.3.6.1.4.1.311.21.1", "Microsoft CA version", generic),
    ("1.3.6.1.4.1.311.21.7", "Microsoft certificate template", generic),
    ("1.3.6.1.4.1.311.21.10", "Microsoft application policies", generic),
    ("2.16.840.1.113730.1.1", "Netscape certificate type", |v| bits(v, NETSCAPE_TYPE)),
    ("2.16.840.1.113730.1.13", "Netscape comment", generic),
];

const KEY_USAGE: &[&str] = &[
    "digital signature",
    "non-repudiation",
    "key encipherment",
    "data encipherment",
    "key agreement",
    "certificate signing",
    "CRL signing",
    "encipher only",
    "decipher only",
];
const NETSCAPE_TYPE: &[&str] =
    &["SSL client", "SSL server", "S/MIME", "object signing", "reserved", "SSL CA", "S/MIME CA", "object CA"];
const REASONS: &[&str] = &[
    "unused",
    "key compromise",
    "CA compromise",
    "affiliation changed",
    "superseded",
    "cessation of operation",
    "certificate hold",
    "privilege withdrawn",
    "AA compromise",
];
/// `CRLReason` numbers 7 isn't used, so this isn't [`REASONS`].
const REASON_CODES: &[&str] = &[
    "unspecified",
    "key compromise",
    "CA compromise",
    "affiliation changed",
    "superseded",
    "cessation of operation",
    "certificate hold",
    "7",
    "remove from CRL",
    "privilege withdrawn",
    "AA compromise",
];

/// The one element that a value is.
fn element(value: &[u8]) -> Result<Tlv<'_>> {
    Reader::new(value, 0).any("the extension's value").map_err(|e| e.without_offset())
}

fn unknown(value: &[u8]) -> Body {
    generic(value).unwrap_or_else(|_| Body::text(hex(value)))
}

/// Plain values as such, structures as lists of what is in them.
fn generic(value: &[u8]) -> Result<Body> {
    let whole = element(value)?;
    if !whole.tag.is_constructed() {
        return Ok(Body::text(any(&whole)));
    }
    let (mut items, mut all) = (whole.reader(), Vec::new());
    while let Some(item) = items.next()? {
        all.push(flat(&item, 0)?);
    }
    Ok(Body::text(all.join(", ")))
}

/// Nested values in brackets. The reader bounds the depth of one buffer, which recursion follows.
fn flat(item: &Tlv<'_>, depth: usize) -> Result<String> {
    if !item.tag.is_constructed() || depth > 8 {
        return Ok(any(item));
    }
    let (mut inner, mut all) = (item.reader(), Vec::new());
    while let Some(part) = inner.next()? {
        all.push(flat(&part, depth + 1)?);
    }
    Ok(format!("{{{}}}", all.join(", ")))
}

fn each<'a>(list: &Tlv<'a>, mut read: impl FnMut(&Tlv<'a>) -> Result<Node>) -> Result<Vec<Node>> {
    let (mut items, mut out) = (list.reader(), Vec::new());
    while let Some(item) = items.next()? {
        out.push(read(&item)?);
    }
    Ok(out)
}

/// The number of an implicit or explicit tag.
fn tag_number(element: &Tlv<'_>) -> u8 {
    element.tag.0 & 0x1f
}

fn key_identifier(value: &[u8]) -> Result<Body> {
    Ok(Body::text(hex(element(value)?.content)))
}

fn number(value: &[u8]) -> Result<Body> {
    Ok(Body::text(any(&element(value)?)))
}

fn bits(value: &[u8], names: &[&str]) -> Result<Body> {
    Ok(Body::text(flags(element(value)?.content, names)))
}

/// The names of the bits that are set in a BIT STRING's content, whose first octet counts unused bits.
fn flags(content: &[u8], names: &[&str]) -> String {
    let octets = content.get(1..).unwrap_or_default();
    let set = |n: usize| octets.get(n / 8).is_some_and(|o| o & (0x80 >> (n % 8)) != 0);
    let named = names.iter().enumerate().filter(|(n, _)| set(*n)).map(|(_, name)| *name);
    named.collect::<Vec<_>>().join(", ")
}

fn usage_period(value: &[u8]) -> Result<Body> {
    each(&element(value)?, |t| {
        // Implicitly tagged GeneralizedTime.
        let text = String::from_utf8_lossy(t.content).into_owned();
        Ok(Node::new(if tag_number(t) == 0 { "From" } else { "To" }, text))
    })
    .map(Body::parts)
}

fn basic_constraints(value: &[u8]) -> Result<Body> {
    let mut fields = element(value)?.reader();
    let ca = fields.optional(Tag::BOOLEAN)?.is_some_and(|b| b.content.first().is_some_and(|v| *v != 0));
    let mut text = if ca { "CA" } else { "not a CA" }.to_owned();
    if let Some(length) = fields.optional(Tag::INTEGER)? {
        text.push_str(&format!(", at most {} CAs below it", any(&length)));
    }
    Ok(Body::text(text))
}

fn extended_usage(value: &[u8]) -> Result<Body> {
    let mut list = element(value)?.reader();
    let mut all = Vec::new();
    while let Some(usage) = list.next()? {
        all.push(names::short(&oid::dotted(usage.content)));
    }
    Ok(Body::text(all.join(", ")))
}

fn alternative_name(value: &[u8]) -> Result<Body> {
    each(&element(value)?, |n| Ok(general_name(n))).map(Body::parts)
}

/// `GeneralName`, by its tag.
fn general_name(name: &Tlv<'_>) -> Node {
    let text = || String::from_utf8_lossy(name.content).into_owned();
    match tag_number(name) {
        0 => other_name(name).unwrap_or_else(|_| Node::new("Other name", hex(name.content))),
        1 => Node::new("Email", text()),
        2 => Node::new("DNS", text()),
        4 => Node::new("Directory name", directory_name(name.content)),
        6 => Node::new("URI", text()),
        7 => Node::new("IP", ip(name.content)),
        8 => Node::new("Registered id", names::of(&oid::dotted(name.content))),
        3 => Node::new("X.400 address", hex(name.content)),
        n => Node::new(if n == 5 { "EDI party name" } else { "Unknown name" }, hex(name.content)),
    }
}

/// `OtherName ::= SEQUENCE { type-id OBJECT IDENTIFIER, value [0] EXPLICIT ANY }`.
fn other_name(name: &Tlv<'_>) -> Result<Node> {
    let mut fields = name.reader();
    let id = oid::dotted(fields.expect(Tag::OID, "type-id")?.content);
    let value = fields.any("value")?.reader().any("value")?;
    Ok(Node::new(names::short(&id), flat(&value, 0)?))
}

fn directory_name(name: &[u8]) -> String {
    dn::rfc4514(name)
}

/// An address, or an address with its mask in name constraints.
fn ip(octets: &[u8]) -> String {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Ipv4Addr::from(v4).to_string();
    }
    if let Ok(v6) = <[u8; 16]>::try_from(octets) {
        return Ipv6Addr::from(v6).to_string();
    }
    match (octets.len(), octets.split_at(octets.len() / 2)) {
        (8 | 32, (address, mask)) => format!("{}/{}", ip(address), ip(mask)),
        _ => hex(octets),
    }
}

fn authority_key(value: &[u8]) -> Result<Body> {
    let mut parts = Vec::new();
    let mut fields = element(value)?.reader();
    while let Some(field) = fields.next()? {
        match tag_number(&field) {
            0 => parts.push(Node::new("Key identifier", hex(field.content))),
            1 => parts.push(Node::parent("Issuer", each(&field, |n| Ok(general_name(n)))?)),
            _ => parts.push(serial("Serial number", field.content)),
        }
    }
    Ok(Body::parts(parts))
}

fn distribution_points(value: &[u8]) -> Result<Body> {
    each(&element(value)?, |point| Ok(Node::parent("Point", point_fields(point)?))).map(Body::parts)
}

/// `DistributionPoint ::= SEQUENCE { [0] name, [1] reasons, [2] cRLIssuer }`.
fn point_fields(point: &Tlv<'_>) -> Result<Vec<Node>> {
    let mut parts = Vec::new();
    let mut fields = point.reader();
    while let Some(field) = fields.next()? {
        match tag_number(&field) {
            0 => parts.extend(point_name(&field)?),
            1 => parts.push(Node::new("Reasons", flags(field.content, REASONS))),
            _ => parts.push(Node::parent("CRL issuer", each(&field, |n| Ok(general_name(n)))?)),
        }
    }
    Ok(parts)
}

/// `DistributionPointName ::= CHOICE { [0] fullName, [1] nameRelativeToCRLIssuer }`, explicitly tagged.
fn point_name(explicit: &Tlv<'_>) -> Result<Vec<Node>> {
    let choice = explicit.reader().any("distributionPoint")?;
    if tag_number(&choice) == 0 {
        return each(&choice, |n| Ok(general_name(n)));
    }
    // A bare RDN, under an implicit tag: made a Name again to be printed.
    let rdn = crate::asn1::tlv(0x30, &crate::asn1::tlv(0x31, choice.content));
    Ok(vec![Node::new("Relative name", directory_name(&rdn))])
}

fn issuing_point(value: &[u8]) -> Result<Body> {
    let mut parts = Vec::new();
    let mut fields = element(value)?.reader();
    while let Some(field) = fields.next()? {
        match tag_number(&field) {
            0 => parts.extend(point_name(&field)?),
            1 => parts.push(Node::new("Only user certificates", "yes")),
            2 => parts.push(Node::new("Only CA certificates", "yes")),
            3 => parts.push(Node::new("Only for reasons", flags(field.content, REASONS))),
            4 => parts.push(Node::new("Indirect", "yes")),
            _ => parts.push(Node::new("Only attribute certificates", "yes")),
        }
    }
    Ok(Body::parts(parts))
}

fn name_constraints(value: &[u8]) -> Result<Body> {
    each(&element(value)?, |side| {
        let word = if tag_number(side) == 0 { "Permitted" } else { "Excluded" };
        // `GeneralSubtree ::= SEQUENCE { base GeneralName, … }`; the rest is never used.
        let trees = each(side, |tree| Ok(general_name(&tree.reader().any("base")?)))?;
        Ok(Node::parent(word, trees))
    })
    .map(Body::parts)
}

fn policies(value: &[u8]) -> Result<Body> {
    each(&element(value)?, |policy| {
        let mut fields = policy.reader();
        let id = oid::dotted(fields.expect(Tag::OID, "policyIdentifier")?.content);
        let mut node = Node::new("Policy", names::of(&id));
        if let Some(qualifiers) = fields.next()? {
            node.children = each(&qualifiers, qualifier)?;
        }
        Ok(node)
    })
    .map(Body::parts)
}

fn qualifier(info: &Tlv<'_>) -> Result<Node> {
    let mut fields = info.reader();
    let id = oid::dotted(fields.expect(Tag::OID, "policyQualifierId")?.content);
    Ok(Node::new(names::short(&id), flat(&fields.any("qualifier")?, 0)?))
}

fn policy_mappings(value: &[u8]) -> Result<Body> {
    each(&element(value)?, |mapping| {
        let mut fields = mapping.reader();
        let issuer = oid::dotted(fields.expect(Tag::OID, "issuerDomainPolicy")?.content);
        let subject = oid::dotted(fields.expect(Tag::OID, "subjectDomainPolicy")?.content);
        Ok(Node::new(names::of(&issuer), names::of(&subject)))
    })
    .map(Body::parts)
}

fn policy_constraints(value: &[u8]) -> Result<Body> {
    each(&element(value)?, |field| {
        let word = if tag_number(field) == 0 { "Explicit policy after" } else { "No policy mapping after" };
        let n = field.content.iter().take(8).fold(0u64, |n, b| n << 8 | u64::from(*b));
        Ok(Node::new(word, format!("{n} certificates")))
    })
    .map(Body::parts)
}

fn access(value: &[u8]) -> Result<Body> {
    each(&element(value)?, |description| {
        let mut fields = description.reader();
        let method = oid::dotted(fields.expect(Tag::OID, "accessMethod")?.content);
        let location = general_name(&fields.any("accessLocation")?);
        let value = location.value.unwrap_or_default();
        Ok(Node::new(names::short(&method), format!("{}: {value}", location.field)))
    })
    .map(Body::parts)
}

/// RFC 7633: numbers of TLS extensions.
fn tls_feature(value: &[u8]) -> Result<Body> {
    let mut list = element(value)?.reader();
    let mut all = Vec::new();
    while let Some(feature) = list.next()? {
        all.push(match any(&feature).as_str() {
            "5" => "OCSP stapling required".to_owned(),
            "17" => "OCSP stapling (multiple) required".to_owned(),
            n => n.to_owned(),
        });
    }
    Ok(Body::text(all.join(", ")))
}

fn reason(value: &[u8]) -> Result<Body> {
    let code = element(value)?.content.first().copied().unwrap_or_default();
    let name = REASON_CODES.get(code as usize);
    Ok(Body::text(name.map_or_else(|| code.to_string(), |n| (*n).to_owned())))
}

/// RFC 6962 section 3.3: an OCTET STRING around a list of timestamps in TLS encoding.
fn timestamps(value: &[u8]) -> Result<Body> {
    let octets = element(value)?.content;
    let mut rest = octets.get(2..).unwrap_or_default();
    let mut parts = Vec::new();
    while let Some((one, more)) = prefixed(rest) {
        parts.push(timestamp(one).unwrap_or_else(|| Node::new("Timestamp", hex(one))));
        rest = more;
    }
    Ok(Body::parts(parts))
}

/// What a length of two octets stands before, and what follows.
fn prefixed(b: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(u16::from_be_bytes(b.get(..2)?.try_into().ok()?));
    Some((b.get(2..2 + length)?, b.get(2 + length..)?))
}

/// Version, log id (32 octets), time in milliseconds, extensions, hash and signature algorithm, signature.
fn timestamp(b: &[u8]) -> Option<Node> {
    let ms = u64::from_be_bytes(b.get(33..41)?.try_into().ok()?);
    let seconds = i64::try_from(ms / 1000).ok()?;
    let mut node = Node::new("Timestamp", time::rfc3339(seconds));
    node.children.push(Node::new("Log", hex(b.get(1..33)?)));
    let (extensions, signature) = prefixed(b.get(41..)?)?;
    if !extensions.is_empty() {
        node.children.push(Node::new("Extensions", hex(extensions)));
    }
    node.children.push(Node::new("Signature", hex(signature.get(4..)?)));
    Some(node)
}
