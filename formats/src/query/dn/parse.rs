//! Names as people write or paste them, in any tool's dialect.

use super::types::type_oid;
use crate::asn1::{Reader, Tag};
use crate::error::{Error, Kind, Result};

/// A name as it was written.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// The RDNs in the order of the text.
    pub(super) rdns: Vec<Vec<WrittenPair>>,
    /// The text is in the order of the encoding, as OpenSSL's is; else in the reversed order.
    pub(super) as_encoded: bool,
}

/// `type=value`.
#[derive(Clone, Debug)]
pub(super) struct WrittenPair {
    /// The type's OID, content octets.
    pub(super) oid: Vec<u8>,
    /// The value.
    pub(super) value: WrittenValue,
}

/// A value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WrittenValue {
    /// The pieces between wildcards; one piece is a value in full.
    Text(Vec<String>),
    /// `#hex` of something that is no text: the whole element.
    Raw(Vec<u8>),
}

/// Parses RFC 4514 text, RFC 1779 quotes, OpenSSL's slashes and `C = GB, O = X`, blanks around separators,
/// trailing commas, `OID.` and dotted types, `#hex` values, with what tools print before a name
/// (`subject=`, `Owner: `) and quotes around the whole. `*` is a wildcard, `\*` a star.
pub(super) fn parse(text: &str) -> Result<Written> {
    let text = bare(text);
    let slashes = text.starts_with('/');
    let mut cursor = Cursor { chars: text.chars().collect(), at: 0, slashes };
    let mut rdns: Vec<Vec<WrittenPair>> = Vec::new();
    let mut joined = false;
    let mut spaced = true;
    loop {
        cursor.skip(|c| c.is_whitespace() || c == if slashes { '/' } else { ',' } || (!slashes && c == ';'));
        if cursor.peek().is_none() {
            break;
        }
        let from = cursor.at;
        cursor.skip(|c| c != '=');
        let word: String = cursor.chars[from..cursor.at].iter().collect();
        if cursor.next().is_none() {
            return Err(bad(format!("\"{}\" has no value", word.trim())));
        }
        let oid = type_oid(word.trim()).ok_or_else(|| {
            bad(format!("\"{}\" is no attribute type (CN, OU, O, 2.5.4.3, …)", word.trim()))
        })?;
        spaced &= word.ends_with(char::is_whitespace);
        let (value, more) = cursor.value()?;
        let pair = WrittenPair { oid, value };
        match rdns.last_mut().filter(|_| joined) {
            Some(rdn) => rdn.push(pair),
            None => rdns.push(vec![pair]),
        }
        joined = more;
    }
    if rdns.is_empty() {
        return Err(bad("an empty pattern".to_owned()));
    }
    Ok(Written { rdns, as_encoded: slashes || spaced })
}

/// Without what tools print around a name.
fn bare(text: &str) -> &str {
    let mut text = text.trim();
    for word in ["subject", "issuer", "owner", "dn"] {
        let rest =
            text.get(..word.len()).filter(|w| w.eq_ignore_ascii_case(word)).map(|_| &text[word.len()..]);
        if let Some(rest) = rest.and_then(|r| r.strip_prefix([':', '='])).filter(|r| r.contains('=')) {
            text = rest.trim();
            break;
        }
    }
    // No type begins with a quote, so these are around all of it.
    match text.strip_prefix('"') {
        Some(inner) => inner.strip_suffix('"').unwrap_or(inner).trim(),
        None => text,
    }
}

struct Cursor {
    chars: Vec<char>,
    at: usize,
    slashes: bool,
}

impl Cursor {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    fn skip(&mut self, what: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&what) {
            self.at += 1;
        }
    }

    /// Whether `TYPE=` begins behind the separator at the cursor, or nothing more: in OpenSSL's form,
    /// which escapes nothing, values may hold separators.
    fn type_follows(&self) -> bool {
        let rest = self.chars.get(self.at + 1..).unwrap_or_default();
        let word: Option<String> =
            rest.iter().position(|c| *c == '=').map(|end| rest[..end].iter().collect());
        rest.iter().all(|c| c.is_whitespace()) || word.is_some_and(|w| type_oid(w.trim()).is_some())
    }

    /// A value, and whether another pair of the same RDN follows.
    fn value(&mut self) -> Result<(WrittenValue, bool)> {
        self.skip(char::is_whitespace);
        if let Some(found) = self.hex_value() {
            return Ok(found);
        }
        let quoted = self.peek() == Some('"');
        self.at += usize::from(quoted);
        let (mut pieces, mut piece) = (Vec::new(), Vec::new());
        // Blanks written with a backslash belong to the value; others at its end don't.
        let mut keep = 0;
        let mut joined = false;
        loop {
            match self.peek() {
                None if quoted => return Err(bad("a quote that isn't closed".to_owned())),
                None => break,
                Some('"') if quoted => {
                    self.at += 1;
                    keep = piece.len();
                    joined = self.separator()?;
                    break;
                }
                Some(c) if !quoted && self.separates(c) => {
                    joined = c == '+';
                    self.at += 1;
                    break;
                }
                Some('\\') => {
                    self.at += 1;
                    self.escaped(&mut piece)?;
                    keep = piece.len();
                }
                Some('*') => {
                    self.at += 1;
                    pieces.push(std::mem::take(&mut piece));
                    keep = 0;
                }
                Some(c) => {
                    self.at += 1;
                    put(&mut piece, c);
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
        Ok((WrittenValue::Text(pieces.into_iter().map(text).collect::<Result<_>>()?), joined))
    }

    fn separates(&self, c: char) -> bool {
        match c {
            '/' => self.slashes && self.type_follows(),
            '+' => !self.slashes || self.type_follows(),
            ',' | ';' => !self.slashes,
            _ => false,
        }
    }

    /// What stands behind a value that says itself where it ends; true for `+`.
    fn separator(&mut self) -> Result<bool> {
        self.skip(char::is_whitespace);
        match self.next() {
            None => Ok(false),
            Some(c) if ",;+/".contains(c) => Ok(c == '+'),
            Some(c) => Err(bad(format!("\"{c}\" after the end of a value"))),
        }
    }

    /// What follows a backslash: two hex digits (OpenSSL puts an x before them), else a character.
    fn escaped(&mut self, piece: &mut Vec<u8>) -> Result<()> {
        let digit = |cursor: &Self, ahead: usize| {
            cursor.chars.get(cursor.at + ahead).and_then(|c| c.to_digit(16)).map(|d| d as u8)
        };
        let skip = usize::from(self.peek() == Some('x'));
        if let (Some(high), Some(low)) = (digit(self, skip), digit(self, skip + 1)) {
            self.at += skip + 2;
            piece.push(high * 16 + low);
            return Ok(());
        }
        let c = self.next().ok_or_else(|| bad("a backslash at the end".to_owned()))?;
        put(piece, c);
        Ok(())
    }

    /// `#0c027a7a` up to the next separator, if it is the hex of one whole element.
    fn hex_value(&mut self) -> Option<(WrittenValue, bool)> {
        let rest = self.chars.get(self.at..)?.strip_prefix(&['#'])?;
        let len = rest.iter().take_while(|c| c.is_ascii_hexdigit()).count();
        let digits: Vec<u8> = rest[..len].iter().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|d| d[0] * 16 + d[1]).collect();
        let element = Reader::new(&bytes, 0).next().ok().flatten();
        let element = element.filter(|e| len.is_multiple_of(2) && e.raw.len() == bytes.len())?;
        let attribute = super::Attribute {
            oid: &[],
            tag: element.tag,
            content: element.content,
            raw: element.raw,
            rdn: 0,
        };
        // As a text where it is one, for strings compare as text whatever their type.
        let value = match attribute.text() {
            Some(text) if element.tag != Tag::OCTET_STRING => WrittenValue::Text(vec![text.into_owned()]),
            _ => WrittenValue::Raw(element.raw.to_vec()),
        };
        let mut behind = Cursor { chars: rest[len..].to_vec(), at: 0, slashes: self.slashes };
        let joined = behind.separator().ok()?;
        self.at += 1 + len + behind.at;
        Some((value, joined))
    }
}

fn put(piece: &mut Vec<u8>, c: char) {
    piece.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn bad(message: String) -> Error {
    Error::new(Kind::Refused, format!("not a name pattern: {message}"))
}
