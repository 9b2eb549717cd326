//! The text before a block: its label and localKeyID.
//!
//! `openssl pkcs12` prints bag attributes there (`    friendlyName: alice`, `    localKeyID: 01 02`), and
//! conversions of Mozilla's bundle a `# Label: "…"`. A label that such a line can't hold (line ends, blanks
//! at its ends) we write in hex, in a line of our own that others pass over.

use crate::loose::Note;
use crate::model::Label;
use memchr::memmem;

const NAME: &str = "friendlyName:";
const NAME_HEX: &str = "friendlyName (hex):";
const KEY_ID: &str = "localKeyID:";
const MOZILLA: &str = "# Label:";

/// What the text before a block says of it. The last word counts.
pub(super) fn read(before: &[u8]) -> Note {
    let mut note = Note::default();
    // Nearly always nothing but a line end: not worth a look at lines.
    if memmem::find(before, b"friendlyName").is_none()
        && memmem::find(before, KEY_ID.as_bytes()).is_none()
        && memmem::find(before, MOZILLA.as_bytes()).is_none()
    {
        return note;
    }
    for line in crate::asn1::armour::lines(before) {
        let line = line.trim_ascii();
        if let Some(value) = after(line, NAME) {
            note.label = (!value.is_empty()).then(|| Label::from(value));
        } else if let Some(value) = after(line, NAME_HEX) {
            note.label = bytes(value).map(|b| Label::from(&b[..]));
        } else if let Some(value) = after(line, KEY_ID) {
            note.key_id = bytes(value).filter(|b| !b.is_empty());
        } else if let Some(value) = after(line, MOZILLA) {
            let value = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
            note.label = (!value.is_empty()).then(|| Label::from(value));
        }
    }
    note
}

fn after<'a>(line: &'a [u8], word: &str) -> Option<&'a [u8]> {
    line.strip_prefix(word.as_bytes()).map(<[u8]>::trim_ascii)
}

/// Hex digits, with blanks between them or not.
fn bytes(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .iter()
        .filter(|b| !b.is_ascii_whitespace())
        .map(|b| char::from(*b).to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect::<Option<_>>()?;
    (digits.len() % 2 == 0).then(|| digits.chunks_exact(2).map(|d| d[0] << 4 | d[1]).collect())
}

/// Appends the lines for a label and a localKeyID; nothing where there is neither.
pub(super) fn put(out: &mut Vec<u8>, label: Option<&Label>, key_id: Option<&[u8]>) {
    if label.is_none() && key_id.is_none() {
        return;
    }
    out.extend_from_slice(b"Bag Attributes\n");
    if let Some(label) = label {
        let plain = label.as_str().filter(|t| {
            !t.is_empty()
                && t.trim() == *t
                && !t.chars().any(crate::error::is_deceptive)
                && !t.contains("-----")
        });
        match plain {
            Some(text) => put_line(out, NAME, text.as_bytes()),
            None => put_line(out, NAME_HEX, hex(label.bytes()).as_bytes()),
        }
    }
    if let Some(id) = key_id {
        put_line(out, KEY_ID, hex(id).as_bytes());
    }
}

fn put_line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [b"    ", name.as_bytes(), b" ", value, b"\n"] {
        out.extend_from_slice(part);
    }
}

/// As OpenSSL prints it: upper case, blanks between bytes.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(" ")
}
