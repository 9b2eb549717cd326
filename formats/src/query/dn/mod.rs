//! Distinguished names: as text (RFC 4514 and the styles of other tools), as patterns to match, compared.
//!
//! A name is DER; text is for people and queries only and never moves between stores. Printing follows
//! RFC 4514: the RDNs in reversed order of the encoding. Control, bidirectional and zero-width characters
//! are printed as escaped hex pairs, which RFC 4514 allows, so that a name can't forge a line.

mod diff;
mod parse;
mod pattern;
mod style;
mod types;

pub use diff::{Comparison, Difference, Name, Pair, compare};
pub(crate) use pattern::pieces_match;
pub use pattern::{Grade, Hit, Pattern};
pub use style::{Style, mq_warnings};

use crate::asn1::{Tag, oid, plain};
use std::borrow::Cow;
use std::fmt::Write;
use types::TYPES;
pub(crate) use types::type_oid;

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

/// The RDNs from the last to the first; inside one, the order of the encoding.
fn rdns_reversed<'l, 'a>(list: &'l [Attribute<'a>]) -> impl Iterator<Item = &'l [Attribute<'a>]> {
    let mut end = list.len();
    std::iter::from_fn(move || {
        let rdn = list.get(end.checked_sub(1)?)?.rdn;
        let start = list[..end].iter().rposition(|a| a.rdn != rdn).map_or(0, |p| p + 1);
        let found = &list[start..end];
        end = start;
        Some(found)
    })
}

/// A name's text as RFC 4514 has it. `name` is a whole `Name` element.
pub fn rfc4514(name: &[u8]) -> String {
    let list: Vec<Attribute<'_>> = attributes(name).collect();
    let mut out = String::with_capacity(name.len());
    for rdn in rdns_reversed(&list) {
        for (i, attribute) in rdn.iter().enumerate() {
            if i > 0 {
                out.push('+');
            } else if !out.is_empty() {
                out.push(',');
            }
            put_attribute(&mut out, attribute);
        }
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
            put_hex(out, attribute.raw);
        }
    }
}

fn put_hex(out: &mut String, bytes: &[u8]) {
    for b in bytes {
        let _ = write!(out, "{b:02x}");
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
            "*",
            "col*n p*",
        ] {
            assert!(Pattern::parse(yes, false).expect(yes).matches(&n), "{yes}");
        }
        for no in
            ["CN=colin", "CN=SSS", "O=SSS,O=SSS", "CN=\\*", "sss paice", "CN=paice*", "paice*colin", "gb*s"]
        {
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
        for yes in [
            "CN=COLIN  PAICE,O=SSS,C=GB",
            "/C=GB/O=SSS/CN=COLIN  PAICE",
            "subject=C = GB, O = SSS, CN = COLIN  PAICE",
            "\"CN=COLIN  PAICE,O=SSS,C=GB\"",
            "CN=COLIN*,O=SSS,C=GB",
        ] {
            assert!(Pattern::parse(yes, true).expect(yes).matches(&n), "{yes}");
        }
        for no in [
            "CN=COLIN PAICE,O=SSS,C=GB",
            "CN=COLIN  PAICE,C=GB,O=SSS",
            "C=GB,O=SSS,CN=COLIN  PAICE",
            "O=SSS",
            "cn=colin  paice,o=sss,c=gb",
        ] {
            assert!(!Pattern::parse(no, true).expect(no).matches(&n), "{no}");
        }
    }

    fn hit(pattern: &str, name: &[u8]) -> Option<(&'static str, bool)> {
        Pattern::parse(pattern, false).expect(pattern).hit(name).map(|h| (h.grade.name(), h.whole))
    }

    #[test]
    fn grades() {
        let n = colin();
        for (pattern, grade, whole) in [
            ("CN=COLIN  PAICE,O=SSS,C=GB", "exact", true),
            ("C = GB, O = SSS, CN = COLIN  PAICE", "exact", true),
            ("C=GB,O=SSS,CN=COLIN  PAICE", "reordered", true),
            ("CN=COLIN  PAICE,C=GB,O=SSS", "reordered", true),
            ("CN=COLIN PAICE,O=SSS,C=GB", "folded", true),
            ("O=sss,CN=COLIN  PAICE,C=GB", "folded", true),
            ("CN=COLIN  PAICE,C=GB", "exact", false),
            ("C=GB,CN=COLIN  PAICE", "reordered", false),
            ("C=gb", "folded", false),
            ("CN=COLIN*,O=*,C=*", "exact", false),
            ("COLIN", "exact", false),
            ("colin paice", "folded", false),
        ] {
            assert_eq!(hit(pattern, &n), Some((grade, whole)), "{pattern}");
        }
        assert_eq!(hit("CN=COLIN", &n), None);
    }

    #[test]
    fn rdns_of_several_attributes() {
        let uid = "0.9.2342.19200300.100.1.1";
        let n = name(&[&[("2.5.4.10", 0x0c, b"O")], &[("2.5.4.3", 0x0c, b"X"), (uid, 0x0c, b"u1")]]);
        for yes in ["CN=X+UID=u1,O=O", "UID=u1 + CN=X, O=O", "/O=O/UID=u1+CN=X"] {
            assert_eq!(hit(yes, &n), Some(("exact", true)), "{yes}");
        }
        assert_eq!(hit("UID=u1,CN=X,O=O", &n), Some(("reordered", true)));
        // One attribute can't stand for two.
        assert_eq!(hit("CN=*,CN=X", &n), None);
        let two = name(&[&[("2.5.4.11", 0x0c, b"AB")], &[("2.5.4.11", 0x0c, b"A")]]);
        assert_eq!(hit("OU=A*,OU=AB", &two), Some(("exact", false)), "a wildcard gives way");
    }

    #[test]
    fn every_tools_own_text_is_understood() {
        let n = name(&[
            &[("1.3.6.1.4.1.99999.1", 0x0c, b"zz")],
            &[("2.5.4.7", 0x0c, "M\u{fc}nchen".as_bytes())],
            &[("1.2.840.113549.1.9.1", 0x16, b"a@b.example")],
            &[("2.5.4.4", 0x0c, b"Sur")],
            &[("2.5.4.3", 0x0c, b"a+b=c;d<e>f\"g\\h/i#j, k")],
        ]);
        for style in Style::ALL {
            // certutil's dots can't be told from dots.
            if *style != Style::Nss {
                assert_eq!(hit(&style.text(&n), &n), Some(("exact", true)), "{}", style.text(&n));
            }
        }
        let cn = r#"CN="a+b=c;d<e>f\"g\\h/i#j, k""#;
        for text in [
            format!("{cn}, SURNAME=Sur, E=a@b.example, L=M\\c3\\bcnchen, OID.1.3.6.1.4.1.99999.1=#0c027a7a,"),
            "/1.3.6.1.4.1.99999.1=zz/L=M\\xC3\\xBCnchen/MAIL=a@b.example/SN=Sur/CN=a+b=c;d<e>f\"g\\\\h/i#j, k".to_owned(),
        ] {
            assert_eq!(hit(&text, &n), Some(("exact", true)), "{text}");
        }
        let odd = name(&[&[("2.5.4.45", 0x03, b"\0x")], &[("2.5.4.3", 0x0c, b"#hash")]]);
        assert_eq!(hit("CN=#hash,x500UniqueIdentifier=#03020078", &odd), Some(("exact", true)));
    }

    #[test]
    fn control_and_invisible_characters_are_escaped_in_every_style() {
        let n = name(&[&[("2.5.4.3", 0x0c, "a\nb\u{202e}c\u{200b}d\u{7f}\u{85}".as_bytes())]]);
        for style in Style::ALL {
            let text = style.text(&n);
            assert!(!text.chars().any(crate::error::is_deceptive), "{}: {text}", style.name());
        }
        assert_eq!(Style::Gskit.text(&n), r"CN=a\0ab\e2\80\aec\e2\80\8bd\7f\c2\85");
    }

    #[test]
    fn what_mq_may_not_take() {
        assert!(mq_warnings(&colin()).is_empty());
        let n = name(&[
            &[("2.5.4.3", 0x0c, "\u{416}".as_bytes()), ("2.5.4.4", 0x0c, b"s")],
            &[("2.5.4.6", 0x13, b"GB")],
        ]);
        let all = mq_warnings(&n).join("; ");
        for part in ["several attributes", "order", "no attribute SN", "Latin-1"] {
            assert!(all.contains(part), "{part}: {all}");
        }
    }

    #[test]
    fn differences_down_to_the_character() {
        let a = Name::of_text("CN=COLIN PAICE,O=SSS,C=GB").expect("a");
        let same = compare(
            &a,
            &Name::of_der(&name(&[
                &[("2.5.4.6", 0x13, b"GB")],
                &[("2.5.4.10", 0x0c, b"SSS")],
                &[("2.5.4.3", 0x0c, b"COLIN PAICE")],
            ])),
        );
        assert!(same.equal && same.rdns.iter().all(|r| r.equal));
        let b = Name::of_text("CN=COLIN\u{a0}PAIC\u{415},OU=X,O=SSS,C=GB").expect("b");
        let found = compare(&a, &b);
        assert!(!found.equal && found.grade.is_none());
        let rdns: Vec<_> = found.rdns.iter().map(|r| (r.a.as_deref(), r.b.as_deref(), r.equal)).collect();
        assert!(!rdns[0].2);
        assert_eq!(rdns[1], (None, Some("OU=X"), false));
        assert_eq!(rdns[2..], [(Some("O=SSS"), Some("O=SSS"), true), (Some("C=GB"), Some("C=GB"), true)]);
        let d: Vec<_> = found.rdns[0].differences.iter().map(|d| (d.at, &d.a[..], &d.b[..])).collect();
        assert_eq!(
            d,
            [
                (6, "U+0020 blank", "U+00A0 no-break blank"),
                (11, "U+0045 \"E\" Latin", "U+0415 \"\u{415}\" Cyrillic")
            ]
        );
        let grade = |b: &str| compare(&a, &Name::of_text(b).expect(b)).grade;
        assert_eq!(grade("C=GB,O=SSS,CN=COLIN PAICE"), Some("reordered"));
        assert_eq!(grade("C = GB, O = SSS, CN = COLIN PAICE"), Some("exact"));
        assert_eq!(grade("cn=colin  paice,o=sss,c=gb"), Some("folded"));
        assert_eq!(grade("CN=COLIN,O=SSS,C=GB"), None);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]

        /// Whatever a name holds, its text in any style is one line and finds it again.
        #[test]
        fn printed_names_find_themselves(
            values in proptest::collection::vec("[ a-c\"\\\\,;+=<>#/.é\u{202e}\n\u{1f511}]{0,6}", 1..4),
            together in proptest::prelude::any::<bool>(),
        ) {
            let types = ["2.5.4.10", "2.5.4.3", "1.3.6.1.4.1.99999.1"];
            let pairs: Vec<_> = types.iter().zip(&values).map(|(t, v)| (*t, 0x0c, v.as_bytes())).collect();
            let n = match together {
                true => name(&[&pairs]),
                false => name(&pairs.chunks(1).collect::<Vec<_>>()),
            };
            // Java prints a value in quotes as if it had none; certutil loses letters.
            let quoted = values.iter().any(|v| v.len() > 1 && v.starts_with('"') && v.ends_with('"'));
            for style in Style::ALL.iter().filter(|s| **s != Style::Nss && !(**s == Style::Java && quoted)) {
                let text = style.text(&n);
                proptest::prop_assert!(!text.contains(char::is_control), "{}", text);
                proptest::prop_assert_eq!(hit(&text, &n), Some(("exact", true)), "{}: {}", style.name(), text);
                let compared = compare(&Name::of_text(&text).expect("a name"), &Name::of_der(&n));
                proptest::prop_assert!(compared.equal, "{}: {}", style.name(), text);
            }
        }

        /// The quick looks at a name's bytes find what a search in each folded value finds.
        #[test]
        fn substrings_are_found_in_values(
            values in proptest::collection::vec(("[ a-cK\u{212a}İéñ\t\u{a0}\u{2003}-]{0,6}", 0..4usize), 1..4),
            long in 0..3usize,
            needle in "[ a-cKkéi-]{1,3}",
        ) {
            let filler = "z".repeat(long * 70);
            let types = ["2.5.4.10", "2.5.4.3", "1.2.840.113549.1.9.1"];
            let bytes = |(text, tag): &(String, usize)| match tag {
                0 => (0x0c, text.as_bytes().to_vec()),
                1 => (0x13, text.as_bytes().to_vec()),
                2 => (0x1e, text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
                _ => (0x14, text.bytes().filter(u8::is_ascii).collect()),
            };
            let mut values: Vec<(u8, Vec<u8>)> = values.iter().map(bytes).collect();
            values.push((0x0c, filler.into_bytes()));
            let pairs: Vec<_> =
                types.iter().cycle().zip(&values).map(|(t, (tag, v))| (*t, *tag, v.as_slice())).collect();
            let n = name(&pairs.chunks(1).collect::<Vec<_>>());
            let wanted = fold(&needle).into_owned();
            let found = attributes(&n).any(|a| a.text().is_some_and(|t| fold(&t).contains(&wanted)));
            let pattern = Pattern::parse(&needle, false).expect("a substring");
            proptest::prop_assert_eq!(pattern.matches(&n), found);
        }

        /// Nothing that is pasted makes it fall over, and both ways to ask agree.
        #[test]
        fn any_text_against_any_name(
            text in "[CNO=,;+/\\\\\"#* a-f0-9é.\n]{0,30}",
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40),
        ) {
            let names = [bytes, colin()];
            for exact in [false, true] {
                let Ok(pattern) = Pattern::parse(&text, exact) else { continue };
                for n in &names {
                    proptest::prop_assert_eq!(pattern.matches(n), pattern.hit(n).is_some());
                }
            }
            for n in &names {
                Style::ALL.iter().for_each(|style| drop(style.text(n)));
                if let Ok(other) = Name::of_text(&text) {
                    compare(&other, &Name::of_der(n));
                }
            }
        }
    }
}
