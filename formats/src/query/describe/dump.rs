//! The bare structure of a DER or BER object, one line for each element.

use super::{any, names};
use crate::asn1::{Reader, Tag, Tlv, oid};
use crate::jobs::list::hex;
use std::fmt::Write;

/// Deeper than this is hostile. Octet strings that hold structures are looked into, so the reader's own
/// bound, which begins anew in each, is not enough.
const MAX_DEPTH: usize = 64;
/// More of a value than this isn't shown.
const SHOWN: usize = 64;

/// The object as lines of offset, header and content length (in bytes), and the type indented by depth.
/// Octet and bit strings that hold exactly one structure are shown with it. What can't be read ends the
/// dump with a line that says why.
pub fn dump(der: &[u8]) -> String {
    let mut out = String::new();
    walk(Reader::new(der, 0), 0, &mut out);
    out
}

fn walk(mut reader: Reader<'_>, depth: usize, out: &mut String) {
    loop {
        let element = match reader.next() {
            Ok(Some(element)) => element,
            Ok(None) => return,
            Err(e) => {
                let _ = writeln!(out, "{:>6}  {}  {e}", reader.offset(), "  ".repeat(depth));
                return;
            }
        };
        line(&element, depth, out);
        if let Some(inner) = inside(&element).filter(|_| depth < MAX_DEPTH) {
            walk(inner, depth + 1, out);
        }
    }
}

/// What an element holds, if that is elements.
fn inside<'a>(element: &Tlv<'a>) -> Option<Reader<'a>> {
    if element.tag.is_constructed() {
        return Some(element.reader());
    }
    let (content, at) = match element.tag {
        Tag::OCTET_STRING => (element.content, element.content_at),
        Tag::BIT_STRING => (element.content.strip_prefix(&[0])?, element.content_at + 1),
        _ => return None,
    };
    let reader = Reader::new(content, at);
    let mut probe = reader.clone();
    let whole = matches!(probe.next(), Ok(Some(t)) if is_structure(&t)) && probe.is_empty();
    whole.then_some(reader)
}

/// A SEQUENCE or SET whose own elements are sound: random octets rarely are.
fn is_structure(element: &Tlv<'_>) -> bool {
    if !matches!(element.tag, Tag::SEQUENCE | Tag::SET) {
        return false;
    }
    let mut inner = element.reader();
    loop {
        match inner.next() {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

fn line(element: &Tlv<'_>, depth: usize, out: &mut String) {
    let header = element.content_at.saturating_sub(element.at);
    let name = tag_name(element.tag);
    let value = value(element);
    let gap = if value.is_empty() { "" } else { ": " };
    let (at, len, indent) = (element.at, element.content.len(), "  ".repeat(depth));
    let _ = writeln!(out, "{at:>6} {header:>2}+{len:<6} {indent}{name}{gap}{value}");
}

fn value(element: &Tlv<'_>) -> String {
    match element.tag {
        tag if tag.is_constructed() => String::new(),
        Tag::NULL => String::new(),
        Tag::OID => names::of(&oid::dotted(element.content)),
        Tag::INTEGER if element.content.len() > 8 => cut(&hex(element.content)),
        Tag::OCTET_STRING | Tag::BIT_STRING if inside(element).is_some() => String::new(),
        _ => cut(&crate::error::Printable(&any(element)).to_string()),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn tag_name(tag: Tag) -> String {
    const UNIVERSAL: &[(u8, &str)] = &[
        (1, "BOOLEAN"),
        (2, "INTEGER"),
        (3, "BIT STRING"),
        (4, "OCTET STRING"),
        (5, "NULL"),
        (6, "OBJECT IDENTIFIER"),
        (10, "ENUMERATED"),
        (12, "UTF8String"),
        (16, "SEQUENCE"),
        (17, "SET"),
        (18, "NumericString"),
        (19, "PrintableString"),
        (20, "T61String"),
        (22, "IA5String"),
        (23, "UTCTime"),
        (24, "GeneralizedTime"),
        (26, "VisibleString"),
        (28, "UniversalString"),
        (30, "BMPString"),
    ];
    let number = tag.0 & 0x1f;
    match tag.0 >> 6 {
        0 => UNIVERSAL
            .iter()
            .find(|(n, _)| *n == number)
            .map_or_else(|| format!("[UNIVERSAL {number}]"), |(_, name)| (*name).to_owned()),
        1 => format!("[APPLICATION {number}]"),
        2 => format!("[{number}]"),
        _ => format!("[PRIVATE {number}]"),
    }
}
