//! What the text before a block says of it: labels and key identifiers.
//!
//! Three writers are understood: `openssl pkcs12` (`Bag Attributes` with `friendlyName:` and
//! `localKeyID:`; verified with 3.0.19, which prints the low bytes of characters beyond Latin-1 in
//! names), conversions of Mozilla's list (`# Label: "…"`), and curl's `mk-ca-bundle` (a name underlined
//! with equals signs). We write as the first does. A label that can't stand there as it is, because it
//! has control characters or blanks at its ends, is written escaped and named so, in a line of our own.

use crate::asn1::armour;
use crate::loose::Note;
use crate::model::Label;
use std::fmt::Write;

const NAME: &[u8] = b"friendlyName:";
const ESCAPED: &[u8] = b"friendlyName (escaped):";
const KEY_ID: &[u8] = b"localKeyID:";
const MOZILLA: &[u8] = b"# Label: \"";

/// What is said in the text between two blocks of the second one.
pub(super) fn read(before: &[u8]) -> Note {
    let mut note = Note::default();
    // Most blocks have nothing but a line end before them.
    if before.len() < KEY_ID.len() {
        return note;
    }
    let mut above: &[u8] = &[];
    for line in armour::lines(before) {
        let line = line.trim_ascii();
        if line.starts_with(b"Bag Attributes") {
            note = Note::default();
        } else if let Some(name) = line.strip_prefix(NAME) {
            note.label = Some(Label::from(name.trim_ascii()));
        } else if let Some(name) = line.strip_prefix(ESCAPED) {
            note.label = unescaped(name.trim_ascii()).map(|l| Label::from(&l[..]));
        } else if let Some(id) = line.strip_prefix(KEY_ID) {
            note.key_id = hex(id);
        } else if let Some(name) = line.strip_prefix(MOZILLA) {
            note.label = name.strip_suffix(b"\"").map(Label::from);
        } else if underlines(line, above) {
            note.label = Some(Label::from(above));
        }
        above = line;
    }
    note
}

/// Appends the lines for a label and a key identifier; nothing if there is neither.
pub(super) fn put(out: &mut Vec<u8>, label: Option<&Label>, key_id: Option<&[u8]>) {
    if label.is_none() && key_id.is_none() {
        return;
    }
    out.extend_from_slice(b"Bag Attributes\n");
    if let Some(label) = label {
        let (key, text) = match label.as_str().filter(|t| is_plain(t)) {
            Some(text) => (NAME, text.to_owned()),
            None => (ESCAPED, escaped(label.bytes())),
        };
        for part in [b"    ", key, b" ", text.as_bytes(), b"\n"] {
            out.extend_from_slice(part);
        }
    }
    if let Some(id) = key_id {
        out.extend_from_slice(b"    localKeyID:");
        let digits: String = id.iter().fold(String::new(), |mut text, b| {
            let _ = write!(text, " {b:02X}");
            text
        });
        out.extend_from_slice(digits.as_bytes());
        out.push(b'\n');
    }
}

/// Whether a label can stand in a line as it is.
fn is_plain(label: &str) -> bool {
    !label.is_empty()
        && label.trim() == label
        && !label.chars().any(char::is_control)
        // Nothing that could be taken for a block.
        && !label.contains("-BEGIN ")
        && !label.contains("-----")
}

/// Characters that can't stand in a line as `\u{hex}`, bytes that are no UTF-8 as `\x{hex}`.
fn escaped(label: &[u8]) -> String {
    let mut out = String::with_capacity(label.len() + 16);
    for chunk in label.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || c.is_whitespace() || matches!(c, '\\' | '-') {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            } else {
                out.push(c);
            }
        }
        for b in chunk.invalid() {
            let _ = write!(out, "\\x{{{b:x}}}");
        }
    }
    out
}

/// The reverse; `None` for what [`escaped`] doesn't write.
fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = std::str::from_utf8(text).ok()?;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.extend_from_slice(plain.as_bytes());
        let (digits, after) = escape.get(2..)?.split_once('}')?;
        let value = u32::from_str_radix(digits, 16).ok()?;
        match escape.get(..2)? {
            "u{" => out.extend_from_slice(char::from_u32(value)?.encode_utf8(&mut [0; 4]).as_bytes()),
            "x{" => out.push(u8::try_from(value).ok()?),
            _ => return None,
        }
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
    Some(out)
}

/// Pairs of hex digits with blanks between them.
pub(super) fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let whole =
        !digits.is_empty() && digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit);
    whole.then(|| digits.chunks(2).filter_map(byte).collect())
}

/// A line of as many equals signs as the name above has characters or bytes.
fn underlines(line: &[u8], above: &[u8]) -> bool {
    line.len() > 2
        && line.iter().all(|b| *b == b'=')
        && (above.len() == line.len()
            || std::str::from_utf8(above).is_ok_and(|t| t.chars().count() == line.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn label(text: &[u8]) -> Option<String> {
        read(text).label.map(|l| l.text().into_owned())
    }

    #[test]
    fn writers_of_the_field() {
        let openssl = b"Bag Attributes\n    friendlyName: My key \\ 1\n    localKeyID: 01 aB \nKey Attributes: <No Attributes>\n";
        assert_eq!(label(openssl).as_deref(), Some("My key \\ 1"));
        assert_eq!(read(openssl).key_id, Some(vec![1, 0xab]));
        let two = [&openssl[..], b"Bag Attributes: <No Attributes>\nsubject=CN = x\n"].concat();
        assert_eq!(read(&two).label, None, "the attributes of another bag");
        assert_eq!(
            label(b"# Issuer: CN=x\n# Label: \"A \"b\" C\"\n# Serial: 1\n").as_deref(),
            Some("A \"b\" C")
        );
        assert_eq!(label("x\n\nRoot \u{e9}\n======\n".as_bytes()).as_deref(), Some("Root \u{e9}"));
        assert_eq!(label(b"Root\n===\n"), None);
        assert_eq!(label(b"friendlyName: caf\xe9\r\n").as_deref(), Some("caf\u{fffd}"));
        assert_eq!(read(b"localKeyID: 0g\nfriendlyName (escaped): \\u{110000}\n").label, None);
    }

    proptest! {
        #[test]
        fn labels_survive(label in prop_oneof![
            any::<String>().prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..20),
            "[-a \\\\BEGIN\n\t]{0,24}".prop_map(String::into_bytes),
        ], id in proptest::option::of(proptest::collection::vec(any::<u8>(), 1..20))) {
            let label = Label::from(&label[..]);
            let mut text = Vec::new();
            put(&mut text, Some(&label), id.as_deref());
            let note = read(&text);
            prop_assert_eq!(note.label, Some(label));
            prop_assert_eq!(note.key_id, id);
            prop_assert_eq!(armour::blocks(&text).count(), 0);
        }
    }
}
