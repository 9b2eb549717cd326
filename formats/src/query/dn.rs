//! Distinguished names: as text (RFC 4514) and as patterns to match.
//!
//! A name is DER; text is for people and queries only and never moves between stores. Printing follows
//! RFC 4514: the RDNs in reversed order of the encoding. Control, bidirectional and zero-width characters
//! are printed as escaped hex pairs, which RFC 4514 allows, so that a name can't forge a line.

use crate::asn1::{Tag, oid, plain};
use crate::error::{Error, Kind, Result};
use std::borrow::Cow;
use std::fmt::Write;

/// One attribute of a name.
#[derive(Clone, Copy, Debug)]
pub struct Attribute<'a> {
    /// The type's OID, content octets.
    pub oid: &'a [u8],
    /// The value's tag.
    pub tag: Tag,
    /// The value's content.
    pub content: &'a [u8],
    /// The value as it stands, header included.
    pub raw: &'a [u8],
    /// Which RDN it belongs to, counted in the order of the encoding.
    pub rdn: usize,
}

impl<'a> Attribute<'a> {
    /// The value's text, if it is of a string type and well-formed. T61String is read as Latin-1, which is
    /// what is found in it.
    pub fn text(&self) -> Option<Cow<'a, str>> {
        let c = self.content;
        match self.tag.0 {
            // UTF8String, NumericString, PrintableString, IA5String, VisibleString
            0x0c | 0x12 | 0x13 | 0x16 | 0x1a => match std::str::from_utf8(c) {
                Ok(text) => Some(Cow::Borrowed(text)),
                // Latin-1 in a type that forbids it: shown as what was meant.
                Err(_) if self.tag.0 != 0x0c => Some(latin1(c)),
                Err(_) => None,
            },
            0x14 => Some(latin1(c)),
            0x1e if c.len().is_multiple_of(2) => {
                let units = c.chunks_exact(2).map(|u| u16::from_be_bytes([u[0], u[1]]));
                char::decode_utf16(units).collect::<Result<String, _>>().ok().map(Cow::Owned)
            }
            0x1c if c.len().is_multiple_of(4) => {
                let points = c.chunks_exact(4).map(|u| u32::from_be_bytes([u[0], u[1], u[2], u[3]]));
                points.map(char::from_u32).collect::<Option<String>>().map(Cow::Owned)
            }
            _ => None,
        }
    }
}

fn latin1(bytes: &[u8]) -> Cow<'_, str> {
    if bytes.is_ascii() {
        return String::from_utf8_lossy(bytes);
    }
    Cow::Owned(bytes.iter().map(|b| char::from(*b)).collect())
}

/// The attributes of a whole `Name` element, in the order of the encoding. Ends early where the name is
/// malformed.
pub fn attributes(name: &[u8]) -> impl Iterator<Item = Attribute<'_>> {
    // Names are walked for every certificate of every list; certificates are DER.
    let (mut pos, end) = plain(name, 0).map_or((0, 0), |(_, start, end)| (start, end));
    let mut set_end = pos;
    let mut count = 0usize;
    std::iter::from_fn(move || {
        while pos >= set_end {
            if pos >= end {
                return None;
            }
            let (_, start, e) = plain(name, pos).filter(|(.., e)| *e <= end)?;
            (pos, set_end) = (start, e);
            count += 1;
        }
        let (_, pair, pair_end) = plain(name, pos).filter(|(.., e)| *e <= set_end)?;
        let (_, id, id_end) = plain(name, pair).filter(|(tag, ..)| *tag == Tag::OID.0)?;
        let (tag, value, value_end) = plain(name, id_end).filter(|(.., e)| *e <= pair_end)?;
        pos = pair_end;
        Some(Attribute {
            oid: &name[id..id_end],
            tag: Tag(tag),
            content: &name[value..value_end],
            raw: &name[id_end..value_end],
            rdn: count - 1,
        })
    })
}

/// The text of the last attribute with this type: the most specific one.
pub fn attribute_text(name: &[u8], id: &[u8]) -> Option<String> {
    attributes(name).filter(|a| a.oid == id).last().and_then(|a| a.text()).map(Cow::into_owned)
}

/// A name's text as RFC 4514 has it. `name` is a whole `Name` element.
pub fn rfc4514(name: &[u8]) -> String {
    let list: Vec<Attribute<'_>> = attributes(name).collect();
    let mut out = String::with_capacity(name.len());
    let mut end = list.len();
    while end > 0 {
        // RDNs from the last to the first; inside one, the order of the encoding.
        let rdn = list[end - 1].rdn;
        let start = list[..end].iter().rposition(|a| a.rdn != rdn).map_or(0, |p| p + 1);
        for (i, attribute) in list[start..end].iter().enumerate() {
            if i > 0 {
                out.push('+');
            } else if !out.is_empty() {
                out.push(',');
            }
            put_attribute(&mut out, attribute);
        }
        end = start;
    }
    out
}

fn put_attribute(out: &mut String, attribute: &Attribute<'_>) {
    match TYPES.iter().find(|t| t.oid == attribute.oid) {
        Some(t) => out.push_str(t.name),
        None => out.push_str(&oid::dotted(attribute.oid)),
    }
    out.push('=');
    match attribute.text() {
        Some(text) => put_escaped(out, &text),
        None => {
            out.push('#');
            for b in attribute.raw {
                let _ = write!(out, "{b:02x}");
            }
        }
    }
}

fn put_escaped(out: &mut String, text: &str) {
    let plain =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'-' | b'.' | b'/' | b'(' | b')' | b'@');
    if text.bytes().all(plain) && !text.starts_with(' ') && !text.ends_with(' ') {
        out.push_str(text);
        return;
    }
    let last = text.len().saturating_sub(1);
    for (at, c) in text.char_indices() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            ' ' if at == 0 || at == last => out.push_str("\\ "),
            '#' if at == 0 => out.push_str("\\#"),
            _ if crate::error::is_deceptive(c) => {
                for b in c.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(out, "\\{b:02X}");
                }
            }
            _ => out.push(c),
        }
    }
}

/// An attribute type: its OID, the name we print, and what else people write for it.
struct Type {
    oid: &'static [u8],
    name: &'static str,
    others: &'static [&'static str],
}

macro_rules! types {
    ($($dotted:literal $name:literal $([$($other:literal),*])?;)*) => {
        &[$(Type {
            oid: const { der::asn1::ObjectIdentifier::new_unwrap($dotted) }.as_bytes(),
            name: $name,
            others: &[$($($other),*)?],
        }),*]
    };
}

/// Names as RFC 4519 and the X.520 registry have them; the others are those that OpenSSL, Java, NSS, GSKit
/// and MQ print or accept. `SN` is the surname, as in OpenSSL and NSS.
const TYPES: &[Type] = types! {
    "2.5.4.3" "CN" ["commonName"];
    "2.5.4.11" "OU" ["organizationalUnitName"];
    "2.5.4.10" "O" ["organizationName"];
    "2.5.4.6" "C" ["countryName"];
    "2.5.4.7" "L" ["localityName"];
    "2.5.4.8" "ST" ["S", "SP", "stateOrProvinceName"];
    "0.9.2342.19200300.100.1.25" "DC" ["domainComponent"];
    "1.2.840.113549.1.9.1" "emailAddress" ["E", "MAIL", "email"];
    "0.9.2342.19200300.100.1.1" "UID" ["userId"];
    "2.5.4.5" "serialNumber" [];
    "2.5.4.4" "SN" ["surname"];
    "2.5.4.42" "givenName" ["GN", "G"];
    "2.5.4.43" "initials";
    "2.5.4.44" "generationQualifier" ["generation"];
    "2.5.4.12" "title" ["T"];
    "2.5.4.9" "STREET" ["streetAddress"];
    "2.5.4.17" "postalCode" ["PC"];
    "2.5.4.46" "dnQualifier" ["DNQ"];
    "2.5.4.65" "pseudonym";
    "2.5.4.97" "organizationIdentifier";
    "2.5.4.15" "businessCategory";
    "2.5.4.13" "description";
    "2.5.4.20" "telephoneNumber";
    "2.5.4.41" "name";
    "2.5.4.45" "x500UniqueIdentifier";
    "1.3.6.1.4.1.311.60.2.1.1" "jurisdictionL" ["jurisdictionLocalityName"];
    "1.3.6.1.4.1.311.60.2.1.2" "jurisdictionST" ["jurisdictionStateOrProvinceName"];
    "1.3.6.1.4.1.311.60.2.1.3" "jurisdictionC" ["jurisdictionCountryName"];
    "1.2.840.113549.1.9.2" "unstructuredName";
    "1.2.840.113549.1.9.8" "unstructuredAddress";
};

/// The OID that a written type stands for: a name in any case of letters, `OID.1.2.3` or `1.2.3`.
pub(crate) fn type_oid(word: &str) -> Option<Vec<u8>> {
    let known = TYPES
        .iter()
        .find(|t| t.name.eq_ignore_ascii_case(word) || t.others.iter().any(|o| o.eq_ignore_ascii_case(word)));
    known.map(|t| t.oid.to_vec()).or_else(|| {
        let dotted = word.get(..4).filter(|p| p.eq_ignore_ascii_case("OID.")).map_or(word, |_| &word[4..]);
        oid::from_dotted(dotted)
    })
}

/// A pattern for subjects or issuers, parsed once.
#[derive(Clone, Debug)]
pub struct Pattern {
    wanted: Wanted,
    exact: bool,
}

#[derive(Clone, Debug)]
enum Wanted {
    /// Occurs in a value.
    Substring(String),
    /// These attributes, in the order of the text.
    Attributes(Vec<(Vec<u8>, Value)>),
}

/// A value to compare: the pieces between wildcards.
#[derive(Clone, Debug)]
struct Value {
    pieces: Vec<String>,
}

impl Pattern {
    /// Parses `CN=colin,O=SSS` in any usual dialect (RFC 4514, RFC 1779 quotes, OpenSSL's slashes, blanks
    /// and semicolons), or takes the whole text as a substring when there is no `=`. `*` in a value stands
    /// for anything, `\*` for itself.
    ///
    /// Without `exact`, the attributes may stand in any order, others may stand between them, and values
    /// compare without regard to case and to repeated blanks (RFC 5280 section 7.1). With `exact`
    /// (`--dn-exact`), the whole name must consist of just these, in this order or in the order of the
    /// encoding, and values compare byte for byte, as MQ AMS does.
    pub fn parse(text: &str, exact: bool) -> Result<Pattern> {
        let wanted = if text.contains('=') {
            Wanted::Attributes(parse(text, exact)?)
        } else {
            Wanted::Substring(if exact { text.to_owned() } else { fold(text).into_owned() })
        };
        Ok(Pattern { wanted, exact })
    }

    /// Whether a whole `Name` element matches.
    pub fn matches(&self, name: &[u8]) -> bool {
        match &self.wanted {
            Wanted::Substring(needle) => attributes(name).any(|a| self.value_contains(&a, needle)),
            Wanted::Attributes(wanted) if self.exact => {
                let have: Vec<_> = attributes(name).collect();
                have.len() == wanted.len()
                    && (have.iter().rev().zip(wanted).all(|(a, w)| self.fits(a, w))
                        || have.iter().zip(wanted).all(|(a, w)| self.fits(a, w)))
            }
            Wanted::Attributes(wanted) => {
                let mut free: Vec<_> = attributes(name).map(Some).collect();
                // Greedy is enough: two patterns for one attribute that differ only by wildcards are rare,
                // and the narrower one is written first or matches another value.
                wanted.iter().all(|w| {
                    let slot = free.iter_mut().find(|a| a.as_ref().is_some_and(|a| self.fits(a, w)));
                    slot.map(|s| *s = None).is_some()
                })
            }
        }
    }

    fn value_contains(&self, attribute: &Attribute<'_>, needle: &str) -> bool {
        let c = attribute.content;
        // UTF8String, PrintableString, IA5String hold nearly all names: no text is built for them.
        if !self.exact && needle.is_ascii() && matches!(attribute.tag.0, 0x0c | 0x13 | 0x16) {
            if contains_ascii(c, needle.as_bytes()) {
                return true;
            }
            // Folding could still bring a match about: repeated blanks, and the two letters outside ASCII
            // whose lower case begins with one of it (the Kelvin sign, the dotted capital I).
            let folds = |w: &[u8]| w == b"  " || w == b"\xc4\xb0" || w == b"\xe2\x84";
            if !c.windows(2).any(folds) {
                return false;
            }
        }
        attribute
            .text()
            .is_some_and(|t| if self.exact { t.contains(needle) } else { fold(&t).contains(needle) })
    }

    fn fits(&self, attribute: &Attribute<'_>, (oid, value): &(Vec<u8>, Value)) -> bool {
        attribute.oid == oid
            && attribute.text().is_some_and(|t| value.matches(&if self.exact { t } else { fold_owned(t) }))
    }
}

/// Whether ASCII `needle`, in lower case, occurs in `text` in any case.
fn contains_ascii(text: &[u8], needle: &[u8]) -> bool {
    let Some((first, rest)) = needle.split_first() else { return true };
    memchr::memchr2_iter(*first, first.to_ascii_uppercase(), text)
        .any(|at| text[at + 1..].get(..rest.len()).is_some_and(|t| t.eq_ignore_ascii_case(rest)))
}

impl Value {
    fn matches(&self, text: &str) -> bool {
        match self.pieces.as_slice() {
            [] => true,
            [only] => text == only,
            [first, middle @ .., last] => {
                let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
                for piece in middle {
                    match rest.find(piece.as_str()) {
                        Some(at) => rest = &rest[at + piece.len()..],
                        None => return false,
                    }
                }
                rest.ends_with(last.as_str())
            }
        }
    }
}

/// As RFC 5280 compares: lower case, runs of blanks as one, none at the ends.
pub fn fold(text: &str) -> Cow<'_, str> {
    let plain = text
        .bytes()
        .all(|b| b.is_ascii() && !b.is_ascii_uppercase() && (b == b' ' || !b.is_ascii_whitespace()))
        && !text.contains("  ")
        && !text.starts_with(' ')
        && !text.ends_with(' ');
    if plain {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().flat_map(char::to_lowercase));
    }
    Cow::Owned(out)
}

fn fold_owned(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(t) => fold(t),
        Cow::Owned(t) => Cow::Owned(fold(&t).into_owned()),
    }
}

/// `type=value` pairs in the order of the text.
fn parse(text: &str, exact: bool) -> Result<Vec<(Vec<u8>, Value)>> {
    let text = text.trim();
    // OpenSSL's form has a slash before each pair; a slash inside a value then needs a backslash.
    let (text, slashes) = match text.strip_prefix('/') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let mut pairs = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars
            .next_if(|c| c.is_whitespace() || matches!(c, ',' | ';') || (slashes && *c == '/'))
            .is_some()
        {}
        if chars.peek().is_none() {
            break;
        }
        let mut word = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=') {
            word.push(c);
        }
        if chars.next().is_none() {
            return Err(bad(format!("\"{}\" has no value", word.trim())));
        }
        let oid = type_oid(word.trim()).ok_or_else(|| {
            bad(format!("\"{}\" is no attribute type (CN, OU, O, 2.5.4.3, …)", word.trim()))
        })?;
        let value = parse_value(&mut chars, slashes, exact)?;
        pairs.push((oid, value));
    }
    if pairs.is_empty() { Err(bad("an empty pattern".to_owned())) } else { Ok(pairs) }
}

fn parse_value(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    slashes: bool,
    exact: bool,
) -> Result<Value> {
    while chars.next_if(|c| c.is_whitespace()).is_some() {}
    let quoted = chars.next_if_eq(&'"').is_some();
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    // Blanks written with a backslash belong to the value; others at its end don't.
    let mut keep = 0;
    loop {
        match chars.peek().copied() {
            None if quoted => return Err(bad("a quote that isn't closed".to_owned())),
            None => break,
            Some('"') if quoted => {
                chars.next();
                keep = piece.len();
                while chars.next_if(|c| c.is_whitespace()).is_some() {}
                break;
            }
            Some('/') if slashes && !quoted => break,
            Some(',' | ';' | '+') if !slashes && !quoted => {
                // A plus joins the pairs of one RDN; for matching that is a pair like any other.
                chars.next();
                break;
            }
            Some('\\') => {
                chars.next();
                let c = chars.next().ok_or_else(|| bad("a backslash at the end".to_owned()))?;
                match (c.to_digit(16), chars.peek().and_then(|d| d.to_digit(16))) {
                    (Some(high), Some(low)) => {
                        chars.next();
                        piece.push((high * 16 + low) as u8);
                    }
                    _ => piece.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                }
                keep = piece.len();
            }
            Some('*') => {
                chars.next();
                pieces.push(std::mem::take(&mut piece));
                keep = 0;
            }
            Some(c) => {
                chars.next();
                piece.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                if !c.is_whitespace() {
                    keep = piece.len();
                }
            }
        }
    }
    piece.truncate(keep);
    pieces.push(piece);
    let text =
        |p: Vec<u8>| String::from_utf8(p).map_err(|_| bad("escaped bytes that are no UTF-8".to_owned()));
    let pieces = pieces.into_iter().map(text).collect::<Result<Vec<_>>>()?;
    if exact {
        return Ok(Value { pieces });
    }
    // Folding one piece must keep the blanks beside a wildcard.
    let last = pieces.len() - 1;
    let folded = pieces.iter().enumerate().map(|(i, p)| {
        let mut f = fold(p).into_owned();
        if !f.is_empty() && i > 0 && p.starts_with(' ') {
            f.insert(0, ' ');
        }
        if !f.is_empty() && i < last && p.ends_with(' ') {
            f.push(' ');
        }
        f
    });
    Ok(Value { pieces: folded.collect() })
}

fn bad(message: String) -> Error {
    Error::new(Kind::Refused, format!("not a name pattern: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asn1::{oid_tlv, tlv, tlv_of};

    /// `(dotted type, tag, value)` per RDN, in the order of the encoding.
    fn name(rdns: &[&[(&str, u8, &[u8])]]) -> Vec<u8> {
        let sets: Vec<Vec<u8>> = rdns
            .iter()
            .map(|r| {
                let pairs: Vec<Vec<u8>> = r
                    .iter()
                    .map(|(t, tag, v)| {
                        tlv_of(0x30, &[&oid_tlv(&oid::from_dotted(t).expect("oid")), &tlv(*tag, v)])
                    })
                    .collect();
                tlv(0x31, &pairs.concat())
            })
            .collect();
        tlv(0x30, &sets.concat())
    }

    fn colin() -> Vec<u8> {
        name(&[
            &[("2.5.4.6", 0x13, b"GB")],
            &[("2.5.4.10", 0x0c, b"SSS")],
            &[("2.5.4.3", 0x0c, b"COLIN  PAICE")],
        ])
    }

    #[test]
    fn prints_reversed_and_escaped() {
        assert_eq!(rfc4514(&colin()), "CN=COLIN  PAICE,O=SSS,C=GB");
        let odd = name(&[
            &[("2.5.4.10", 0x0c, b"Acme, Ltd")],
            &[("2.5.4.3", 0x0c, b" a+b\n\xe2\x80\xae "), ("0.9.2342.19200300.100.1.1", 0x0c, b"u1")],
            &[("1.3.6.1.4.1.99999.1", 0x0c, b"zz")],
            &[("2.5.4.7", 0x1e, b"\0M\0\xfc")],
            &[("2.5.4.8", 0x14, b"M\xfc")],
            &[("2.5.4.12", 0x03, b"\0x")],
        ]);
        assert_eq!(
            rfc4514(&odd),
            "title=#03020078,ST=Mü,L=Mü,1.3.6.1.4.1.99999.1=zz,CN=\\ a\\+b\\0A\\E2\\80\\AE\\ +UID=u1,O=Acme\\, Ltd"
        );
        assert_eq!(rfc4514(&[0x30, 0]), "");
        assert_eq!(rfc4514(b"\x30\x05\x31\x03ab"), "");
    }

    #[test]
    fn matches_in_any_dialect() {
        let n = colin();
        for yes in [
            "CN=colin paice,O=sss",
            "O = SSS ; cn = \"Colin Paice\"",
            "/C=GB/O=SSS/CN=COLIN PAICE",
            "C=GB, O=SSS, CN=COLIN PAICE,",
            "OID.2.5.4.3=colin*",
            "2.5.4.3=*paice",
            "CN=*LIN P*",
            "CN=c*n p*e",
            "commonName=colin\\20paice",
            "lin pai",
            "gb",
            "N",
            "",
        ] {
            assert!(Pattern::parse(yes, false).expect(yes).matches(&n), "{yes}");
        }
        for no in ["CN=colin", "CN=SSS", "O=SSS,O=SSS", "CN=\\*", "sss paice", "CN=paice*"] {
            assert!(!Pattern::parse(no, false).expect(no).matches(&n), "{no}");
        }
        for bad in ["XX=1", "=", "CN=\"a", "CN=a\\", ",="] {
            assert!(Pattern::parse(bad, false).is_err(), "{bad}");
        }
    }

    #[test]
    fn letters_that_fold_into_ascii() {
        let n = name(&[&[("2.5.4.3", 0x0c, "\u{212a}elvin \u{130}x".as_bytes())]]);
        for yes in ["kelvin", "elvin i", "KELVIN"] {
            assert!(Pattern::parse(yes, false).expect(yes).matches(&n), "{yes}");
        }
    }

    #[test]
    fn exact_is_the_whole_name() {
        let n = colin();
        for yes in ["CN=COLIN  PAICE,O=SSS,C=GB", "/C=GB/O=SSS/CN=COLIN  PAICE", "CN=COLIN*,O=SSS,C=GB"] {
            assert!(Pattern::parse(yes, true).expect(yes).matches(&n), "{yes}");
        }
        for no in
            ["CN=COLIN PAICE,O=SSS,C=GB", "CN=COLIN  PAICE,C=GB,O=SSS", "O=SSS", "cn=colin  paice,o=sss,c=gb"]
        {
            assert!(!Pattern::parse(no, true).expect(no).matches(&n), "{no}");
        }
    }
}
