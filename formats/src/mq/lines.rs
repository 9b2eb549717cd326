//! The lines of a settings file: where each setting's key and value stand, and how values are written.

use super::Shape;
use crate::error::{Error, Result};
use std::ffi::OsStr;
use std::ops::Range;

/// A setting that stands in the file.
pub(super) struct Line {
    /// From its first byte to the end of its line end; a value that goes on in further lines included.
    pub whole: Range<usize>,
    key: Range<usize>,
    /// Without the blanks around it.
    pub value: Range<usize>,
    /// Its name in small letters.
    name: String,
    java: bool,
}

impl Line {
    /// Whether it is this setting.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Whether its name begins so.
    fn is_kin(&self, prefix: &str) -> bool {
        self.name.get(..prefix.len()).is_some_and(|p| p.eq_ignore_ascii_case(prefix))
    }

    /// The value as its reader has it.
    pub fn value(&self, bytes: &[u8]) -> Vec<u8> {
        let raw = bytes.get(self.value.clone()).unwrap_or_default();
        if self.java { unescaped(raw) } else { raw.to_vec() }
    }
}

/// Whether settings of this name are read by Java, as a properties file: IBM's examples have doubled backslashes
/// there, and plain ones for the C client.
fn is_java(shape: Shape, name: &str) -> bool {
    let prefix = name.split('.').next().unwrap_or_default();
    let known = ["jks", "jceks", "jceracfks", "pkcs11"];
    shape == Shape::KeystoreConf && known.iter().any(|k| prefix.eq_ignore_ascii_case(k))
}

/// Whether a line names a stanza, as they do in `mqclient.ini` alone.
pub(super) fn has_stanza(bytes: &[u8]) -> bool {
    pieces(bytes).any(|p| bytes.get(p).is_some_and(|line| stanza(line).is_some()))
}

/// The settings, in the order of the file. Comments, stanzas and what isn't understood are not among them.
pub(super) fn lines(bytes: &[u8], shape: Shape) -> Vec<Line> {
    let mut out: Vec<Line> = Vec::new();
    let mut within: Option<String> = None;
    let mut goes_on = false;
    for piece in pieces(bytes) {
        let text = bytes.get(piece.clone()).unwrap_or_default();
        if goes_on && let Some(last) = out.last_mut() {
            last.value.end = trimmed(bytes, piece.clone()).end.max(last.value.end);
            last.whole.end = piece.end;
            goes_on = is_open(text);
            continue;
        }
        match stanza(text) {
            Some(name) if shape == Shape::Ini => within = Some(name),
            _ => {
                let Some(line) = setting(bytes, piece, shape, within.as_deref()) else { continue };
                goes_on = line.java && is_open(text);
                out.push(line);
            }
        }
    }
    out
}

/// Where a setting that isn't there goes, and its line: after the last one of the same kind (`cms.`, the stanza),
/// in the manner of that; else at the end.
pub(super) fn addition(
    bytes: &[u8],
    shape: Shape,
    lines: &[Line],
    name: &str,
    raw: &[u8],
) -> (usize, Vec<u8>) {
    let mark = if shape == Shape::Ini { ':' } else { '.' };
    let (prefix, key) = name.split_at(name.find(mark).map_or(0, |at| at + 1));
    let kin = lines.iter().rev().find(|l| l.is_kin(prefix));
    let part = |range: Range<usize>| bytes.get(range).unwrap_or_default();
    let end = end_of_line(bytes);
    let mut text = Vec::new();
    let at = match (kin, shape) {
        (Some(kin), _) => {
            let own = kin.key.start..kin.key.start + prefix.len();
            text.extend_from_slice(part(kin.whole.start..kin.key.start).trim_prefix_bom());
            text.extend_from_slice(if shape == Shape::Ini { b"" } else { part(own) });
            text.extend_from_slice(key.as_bytes());
            text.extend_from_slice(part(kin.key.end..kin.value.start));
            kin.whole.end
        }
        (None, Shape::KeystoreConf) => {
            text.extend_from_slice(format!("{name} = ").as_bytes());
            bytes.len()
        }
        (None, Shape::Ini) => {
            let wanted = prefix.trim_end_matches(mark);
            let header = pieces(bytes)
                .filter(|p| stanza(part(p.clone())).is_some_and(|s| s.eq_ignore_ascii_case(wanted)));
            let header = header.last();
            if header.is_none() {
                text.extend_from_slice(format!("{wanted}:{end}").as_bytes());
            }
            text.extend_from_slice(format!("   {key}=").as_bytes());
            header.map_or(bytes.len(), |h| h.end)
        }
    };
    text.extend_from_slice(raw);
    let before = pieces(part(0..at)).last().unwrap_or_default();
    if is_open(part(before.clone())) {
        // Nothing follows it there; now something would be taken for the rest of its value.
        text.splice(0..0, end.bytes());
    }
    // A last line without an end stays one.
    if before.is_empty() || part(before).ends_with(b"\n") {
        text.extend_from_slice(end.as_bytes());
    } else {
        text.splice(0..0, end.bytes());
    }
    (at, text)
}

/// A value as it stands in the file. `Kind::Refused` where it can't.
pub(super) fn encode(shape: Shape, name: &str, value: &OsStr) -> Result<Vec<u8>> {
    let raw = value.as_encoded_bytes();
    let no = |why: &str| Err(Error::refused(format!("a value with {why} can't stand in a settings file")));
    if raw.iter().any(u8::is_ascii_control) {
        return no("control characters");
    }
    if raw.trim_ascii() != raw {
        return no("blanks at its ends");
    }
    if !is_java(shape, name) {
        return Ok(raw.to_vec());
    }
    match value.to_str() {
        Some(text) => Ok(escaped(text)),
        None => no("bytes that are no text"),
    }
}

trait Bom {
    /// Without the byte order mark that a file may begin with.
    fn trim_prefix_bom(&self) -> &[u8];
}

const BOM: &[u8] = b"\xef\xbb\xbf";

impl Bom for [u8] {
    fn trim_prefix_bom(&self) -> &[u8] {
        self.strip_prefix(BOM).unwrap_or(self)
    }
}

/// The lines with their ends.
fn pieces(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|r| !r.is_empty())?;
        let len = rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |n| n + 1);
        at += len;
        Some(at - len..at)
    })
}

/// How the file ends its lines.
fn end_of_line(bytes: &[u8]) -> &'static str {
    let first = bytes.iter().position(|b| *b == b'\n');
    match first.and_then(|n| n.checked_sub(1)).and_then(|n| bytes.get(n)) {
        Some(b'\r') => "\r\n",
        _ => "\n",
    }
}

/// The name of the stanza that a line begins.
fn stanza(line: &[u8]) -> Option<String> {
    let name = line.trim_prefix_bom().trim_ascii().strip_suffix(b":")?;
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_".contains(b);
    (!name.is_empty() && name.iter().all(plain)).then(|| String::from_utf8_lossy(name).into_owned())
}

fn setting(bytes: &[u8], whole: Range<usize>, shape: Shape, stanza: Option<&str>) -> Option<Line> {
    let text = bytes.get(whole.clone())?;
    let equals = whole.start + text.iter().position(|b| *b == b'=')?;
    let bom = if whole.start == 0 && text.starts_with(BOM) { BOM.len() } else { 0 };
    let key = trimmed(bytes, whole.start + bom..equals);
    let own = std::str::from_utf8(bytes.get(key.clone())?).ok()?;
    let name = match (shape, stanza) {
        (Shape::KeystoreConf, _) => own.to_ascii_lowercase(),
        (Shape::Ini, stanza) => format!("{}:{own}", stanza.unwrap_or_default()).to_ascii_lowercase(),
    };
    let value = trimmed(bytes, equals + 1..whole.end);
    Some(Line { java: is_java(shape, &name), whole, key, value, name })
}

/// Without blanks and the line end around; of blanks alone, the place after them.
fn trimmed(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let text = without_end(bytes.get(range.clone()).unwrap_or_default());
    let start = text.len() - text.trim_ascii_start().len();
    range.start + start..range.start + start.max(text.trim_ascii_end().len())
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Whether a line of a properties file goes on in the next one: an odd number of backslashes ends it.
fn is_open(line: &[u8]) -> bool {
    line.ends_with(b"\n") && without_end(line).iter().rev().take_while(|b| **b == b'\\').count() % 2 == 1
}

/// As `java.util.Properties` writes a value, in ASCII.
fn escaped(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.extend_from_slice(b"\\\\"),
            c if c.is_ascii() => out.push(c as u8),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.extend_from_slice(format!("\\u{unit:04X}").as_bytes());
                }
            }
        }
    }
    out
}

/// As `java.util.Properties` reads a value. Bytes that aren't ASCII stay as they are: Java would take them for
/// Latin-1, and whoever wrote a path that way meant the file of these bytes.
fn unescaped(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut units: Vec<u16> = Vec::new();
    let mut at = 0;
    while let Some(byte) = raw.get(at) {
        at += 1;
        let next = raw.get(at).filter(|_| *byte == b'\\');
        if next == Some(&b'u')
            && let Some(unit) = unit(raw.get(at + 1..at + 5))
        {
            units.push(unit);
            at += 5;
            continue;
        }
        flush(&mut units, &mut out);
        match next {
            // At the end of the file Java drops it.
            None if *byte == b'\\' => {}
            None => out.push(*byte),
            Some(b'\r' | b'\n') => {
                let rest = raw.get(at..).unwrap_or_default();
                at += rest.len() - rest.trim_ascii_start().len();
            }
            Some(next) => {
                out.push(match next {
                    b't' => b'\t',
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b'f' => 0x0c,
                    other => *other,
                });
                at += 1;
            }
        }
    }
    flush(&mut units, &mut out);
    out
}

fn unit(hex: Option<&[u8]>) -> Option<u16> {
    let text = std::str::from_utf8(hex?).ok().filter(|t| t.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u16::from_str_radix(text, 16).ok()
}

fn flush(units: &mut Vec<u16>, out: &mut Vec<u8>) {
    out.extend_from_slice(String::from_utf16_lossy(units).as_bytes());
    units.clear();
}
