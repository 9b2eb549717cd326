//! Names as other tools print them, byte for byte, except that control, bidirectional and zero-width
//! characters are escaped in every style: a line break in a name must not forge a line.
//!
//! Observed with GSKit 8.0.60 (`CERT_DN_PRINTABLE`), OpenSSL 3.0 (`-nameopt RFC2253`), keytool of OpenJDK 17
//! and certutil of NSS 3.87 before it breaks lines.

use super::types::{Type, by_oid};
use super::{Attribute, attributes, rdns_reversed};
use crate::asn1::oid;
use crate::error::is_deceptive;
use std::fmt::Write;

/// Whose text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// RFC 4514, letters outside ASCII as they are.
    #[default]
    Rfc4514,
    /// IBM's GSKit.
    Gskit,
    /// As GSKit, in double quotes: for `setmqspl`.
    Mq,
    /// `openssl x509 -nameopt RFC2253`.
    Openssl,
    /// keytool, and Java's `X500Principal.toString`.
    Java,
    /// certutil; what it shows as dots stays dots.
    Nss,
}

impl Style {
    /// Every style, in the order of help texts.
    pub const ALL: &'static [Style] =
        &[Style::Rfc4514, Style::Gskit, Style::Mq, Style::Openssl, Style::Java, Style::Nss];

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Style::Rfc4514 => "rfc4514",
            Style::Gskit => "gskit",
            Style::Mq => "mq",
            Style::Openssl => "openssl",
            Style::Java => "java",
            Style::Nss => "nss",
        }
    }

    /// The style called `name`.
    pub fn by_name(name: &str) -> Option<Style> {
        Style::ALL.iter().copied().find(|s| s.name() == name)
    }

    /// The text of a whole `Name` element.
    pub fn text(self, name: &[u8]) -> String {
        match self {
            Style::Rfc4514 => super::rfc4514(name),
            Style::Gskit => joined(name, [",", "+"], false, gskit),
            Style::Mq => format!("\"{}\"", joined(name, [",", "+"], false, gskit)),
            Style::Openssl => joined(name, [",", "+"], true, openssl),
            Style::Java => joined(name, [", ", " + "], false, java),
            Style::Nss if attributes(name).next().is_none() => "(empty)".to_owned(),
            Style::Nss => joined(name, [",", "+"], false, nss),
        }
    }
}

/// RDNs from the last to the first; `inner_reversed`: those of one RDN too.
fn joined(
    name: &[u8],
    [between, inside]: [&str; 2],
    inner_reversed: bool,
    put: fn(&mut String, &Attribute<'_>),
) -> String {
    let mut out = String::with_capacity(name.len());
    let list: Vec<_> = attributes(name).collect();
    for rdn in rdns_reversed(&list) {
        if !out.is_empty() {
            out.push_str(between);
        }
        for at in 0..rdn.len() {
            if at > 0 {
                out.push_str(inside);
            }
            let at = if inner_reversed { rdn.len() - 1 - at } else { at };
            if let Some(attribute) = rdn.get(at) {
                put(&mut out, attribute);
            }
        }
    }
    out
}

fn put_type(out: &mut String, attribute: &Attribute<'_>, name: fn(&Type) -> &'static str, prefix: &str) {
    match by_oid(attribute.oid).map(name).filter(|n| !n.is_empty()) {
        Some(name) => out.push_str(name),
        None => {
            out.push_str(prefix);
            out.push_str(&oid::dotted(attribute.oid));
        }
    }
    out.push('=');
}

fn put_hex(out: &mut String, bytes: &[u8], upper: bool) {
    for b in bytes {
        let _ = if upper { write!(out, "{b:02X}") } else { write!(out, "{b:02x}") };
    }
}

/// A character as hex pairs of its UTF-8.
fn put_pairs(out: &mut String, c: char, upper: bool) {
    for b in c.encode_utf8(&mut [0; 4]).bytes() {
        out.push('\\');
        put_hex(out, &[b], upper);
    }
}

/// With backslashes before what `special` names, blanks at the ends and a hash at the beginning.
fn put_escaped(out: &mut String, text: &str, special: &str, upper: bool) {
    let last = text.len().saturating_sub(1);
    for (at, c) in text.char_indices() {
        if !c.is_ascii() || c.is_ascii_control() {
            put_pairs(out, c, upper);
            continue;
        }
        if special.contains(c) || (c == ' ' && (at == 0 || at == last)) || (c == '#' && at == 0) {
            out.push('\\');
        }
        out.push(c);
    }
}

fn gskit(out: &mut String, attribute: &Attribute<'_>) {
    put_type(out, attribute, |t| t.gskit, "");
    match attribute.text() {
        Some(text) => put_escaped(out, &text, ",+=;<>\"\\", false),
        None => {
            out.push('#');
            put_hex(out, attribute.raw, false);
        }
    }
}

fn openssl(out: &mut String, attribute: &Attribute<'_>) {
    put_type(out, attribute, Type::openssl, "");
    match attribute.text().filter(|_| by_oid(attribute.oid).is_some()) {
        Some(text) => put_escaped(out, &text, ",+;<>\"\\", true),
        None => {
            out.push('#');
            put_hex(out, attribute.raw, true);
        }
    }
}

fn java(out: &mut String, attribute: &Attribute<'_>) {
    put_type(out, attribute, |t| t.java, "OID.");
    let Some(text) = attribute.text() else {
        out.push('#');
        put_hex(out, attribute.raw, false);
        return;
    };
    let blank = |c: char| c == ' ' || c == '\n';
    let was_quoted = text.len() > 1 && text.starts_with('"') && text.ends_with('"');
    let twice = text.as_bytes().windows(2).any(|w| w.iter().all(|b| blank(char::from(*b))));
    let quotes = !was_quoted
        && (text.contains(|c| ",+=\n<>#;\\\"".contains(c))
            || text.starts_with(blank)
            || text.ends_with(blank)
            || twice);
    if quotes {
        out.push('"');
    }
    let last = text.len().saturating_sub(1);
    for (at, c) in text.char_indices() {
        match c {
            '"' if was_quoted && (at == 0 || at == last) => out.push(c),
            '"' | '\\' => out.extend(['\\', c]),
            c if is_deceptive(c) => put_pairs(out, c, true),
            c => out.push(c),
        }
    }
    if quotes {
        out.push('"');
    }
}

fn nss(out: &mut String, attribute: &Attribute<'_>) {
    put_type(out, attribute, |t| t.nss, "OID.");
    // Strings of one byte a character are taken as they are, others are made UTF-8.
    let text = attribute.text();
    let bytes = match (&text, attribute.tag.0) {
        (Some(text), 0x0c | 0x1c | 0x1e) => text.as_bytes(),
        (Some(_), _) => attribute.content,
        (None, _) => {
            out.push('#');
            put_hex(out, attribute.raw, true);
            return;
        }
    };
    let blank = |b: u8| b == b' ' || b == b'\r' || b == b'\n';
    let twice = bytes.windows(2).any(|w| blank(w[0]) && blank(w[1]));
    let quotes = bytes.iter().any(|b| b",=+<>#;".contains(b))
        || twice
        || bytes.first().is_some_and(|b| blank(*b))
        || bytes.last().is_some_and(|b| blank(*b));
    if quotes {
        out.push('"');
    }
    for b in bytes {
        match *b {
            b'"' | b'\\' => out.extend(['\\', char::from(*b)]),
            0..0x20 | 0x7f => {
                out.push('\\');
                put_hex(out, &[*b], false);
            }
            0x80.. => out.push('.'),
            b => out.push(char::from(b)),
        }
    }
    if quotes {
        out.push('"');
    }
}

/// Why IBM MQ may not take a name as it is printed, for `setmqspl` and SSLPEER: one line each.
pub fn mq_warnings(name: &[u8]) -> Vec<String> {
    /// As MQ AMS wants the attributes to stand.
    const ORDER: [&str; 6] = ["CN", "OU", "O", "L", "ST", "C"];
    /// What SSLPEER knows besides.
    const KNOWN: [&str; 10] = [
        "SERIALNUMBER",
        "MAIL",
        "UID",
        "T",
        "DC",
        "STREET",
        "PC",
        "DNQ",
        "UNSTRUCTUREDNAME",
        "UNSTRUCTUREDADDRESS",
    ];
    let list: Vec<_> = attributes(name).collect();
    let mut out = Vec::new();
    let mut add = |text: String| {
        if !out.contains(&text) {
            out.push(text);
        }
    };
    let mut last = 0;
    for rdn in rdns_reversed(&list) {
        if rdn.len() > 1 {
            add("an RDN has several attributes (joined by +)".to_owned());
        }
        for attribute in rdn {
            let known = by_oid(attribute.oid);
            let word = known.map_or("", |t| if t.gskit.is_empty() { t.name } else { t.gskit });
            match ORDER.iter().position(|t| *t == word) {
                Some(at) if at < last => {
                    add("the attributes do not stand in the order CN, OU, O, L, ST, C".to_owned());
                }
                Some(at) => last = at,
                None if KNOWN.iter().any(|k| k.eq_ignore_ascii_case(word)) => {}
                None => add(format!(
                    "IBM MQ knows no attribute {}",
                    known.map_or_else(|| oid::dotted(attribute.oid), |t| t.name.to_owned())
                )),
            }
            if attribute.text().is_none_or(|t| t.chars().any(|c| u32::from(c) > 0xff)) {
                add("a value has characters outside Latin-1".to_owned());
            }
        }
    }
    out
}
