//! A reader of BER and DER: headers, contents, byte offsets.

use crate::error::{Error, Result};
use std::borrow::Cow;
use std::ops::Range;

/// Deeper nesting is hostile: real stores need about fifteen levels.
pub(crate) const MAX_DEPTH: u32 = 40;

/// An identifier octet: class, constructed bit and number. Numbers above 30 occur in no store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag(pub u8);

impl Tag {
    /// BOOLEAN
    pub const BOOLEAN: Tag = Tag(0x01);
    /// INTEGER
    pub const INTEGER: Tag = Tag(0x02);
    /// BIT STRING
    pub const BIT_STRING: Tag = Tag(0x03);
    /// OCTET STRING
    pub const OCTET_STRING: Tag = Tag(0x04);
    /// NULL
    pub const NULL: Tag = Tag(0x05);
    /// OBJECT IDENTIFIER
    pub const OID: Tag = Tag(0x06);
    /// UTF8String
    pub const UTF8_STRING: Tag = Tag(0x0c);
    /// SEQUENCE
    pub const SEQUENCE: Tag = Tag(0x30);
    /// SET
    pub const SET: Tag = Tag(0x31);
    /// BMPString
    pub const BMP_STRING: Tag = Tag(0x1e);

    /// `[n]`, constructed, context-specific.
    pub const fn context(n: u8) -> Tag {
        Tag(0xa0 | n)
    }

    /// `[n]`, primitive, context-specific.
    pub const fn context_primitive(n: u8) -> Tag {
        Tag(0x80 | n)
    }

    /// The constructed bit.
    pub const fn is_constructed(self) -> bool {
        self.0 & 0x20 != 0
    }

    /// The same tag with the constructed bit cleared.
    pub const fn primitive(self) -> Tag {
        Tag(self.0 & !0x20)
    }
}

/// One element.
#[derive(Clone, Copy, Debug)]
pub struct Tlv<'a> {
    /// Its tag.
    pub tag: Tag,
    /// Its content, without the end mark of an indefinite length.
    pub content: &'a [u8],
    /// Header, content and end mark as they stand.
    pub raw: &'a [u8],
    /// Where the header begins, from the start of what the reader was told.
    pub at: u64,
    /// Where the content begins.
    pub content_at: u64,
    depth: u32,
}

impl<'a> Tlv<'a> {
    /// A reader of the content. Use for constructed elements.
    pub fn reader(&self) -> Reader<'a> {
        Reader { bytes: self.content, pos: 0, base: self.content_at, depth: self.depth + 1 }
    }

    /// An error at this element.
    pub fn error(&self, message: impl Into<Cow<'static, str>>) -> Error {
        Error::malformed(message).at(self.at)
    }

    /// The content of an OCTET STRING (or an implicitly tagged one), joined where BER split it.
    pub fn octets(&self) -> Result<Cow<'a, [u8]>> {
        if !self.tag.is_constructed() {
            return Ok(Cow::Borrowed(self.content));
        }
        let mut out = Vec::new();
        join(&mut self.reader(), &mut out)?;
        Ok(Cow::Owned(out))
    }

    /// A non-negative INTEGER that fits 64 bits.
    pub fn unsigned(&self) -> Result<u64> {
        let digits = match self.content {
            [] => return Err(self.error("an INTEGER without content")),
            [first, ..] if first & 0x80 != 0 => {
                return Err(self.error("a negative INTEGER where a count is due"));
            }
            digits => digits,
        };
        let significant = &digits[digits.iter().take_while(|d| **d == 0).count()..];
        if significant.len() > 8 {
            return Err(Error::too_large("an INTEGER beyond 64 bits").at(self.at));
        }
        Ok(significant.iter().fold(0, |n, d| n << 8 | u64::from(*d)))
    }
}

/// Appends the pieces of a constructed string.
fn join(pieces: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<()> {
    while let Some(piece) = pieces.next()? {
        if piece.tag.primitive() != Tag::OCTET_STRING {
            return Err(piece.error("a piece of an OCTET STRING has another type"));
        }
        if piece.tag.is_constructed() {
            join(&mut piece.reader(), out)?;
        } else {
            // Bounded by the input: every byte is copied at most once per level.
            out.extend_from_slice(piece.content);
        }
    }
    Ok(())
}

/// Reads elements one after the other.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    pos: usize,
    base: u64,
    depth: u32,
}

impl<'a> Reader<'a> {
    /// A reader of `bytes`, whose first byte is at `base` in the file.
    pub fn new(bytes: &'a [u8], base: u64) -> Self {
        Reader { bytes, pos: 0, base, depth: 0 }
    }

    /// Where the next element begins.
    pub fn offset(&self) -> u64 {
        self.base + self.pos as u64
    }

    /// Nothing is left.
    pub fn is_empty(&self) -> bool {
        self.pos >= self.bytes.len()
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.pos..]
    }

    /// The next element's tag.
    pub fn peek(&self) -> Option<Tag> {
        self.bytes.get(self.pos).map(|b| Tag(*b))
    }

    /// The next element, `None` at the end.
    #[allow(clippy::should_implement_trait)] // fallible, and an iterator of results reads worse
    pub fn next(&mut self) -> Result<Option<Tlv<'a>>> {
        if self.is_empty() {
            return Ok(None);
        }
        let tlv = self.element()?;
        Ok(Some(tlv))
    }

    /// The next element, which must be there; `what` names it in the error.
    pub fn any(&mut self, what: &'static str) -> Result<Tlv<'a>> {
        let at = self.offset();
        self.next()?.ok_or_else(|| Error::malformed(format!("{what} is missing")).at(at))
    }

    /// The next element, which must have `tag`.
    pub fn expect(&mut self, tag: Tag, what: &'static str) -> Result<Tlv<'a>> {
        let tlv = self.any(what)?;
        if tlv.tag == tag {
            Ok(tlv)
        } else {
            Err(tlv.error(format!("{what} expected, found tag {:#04x}", tlv.tag.0)))
        }
    }

    /// The next element if it has `tag`, else nothing is consumed.
    pub fn optional(&mut self, tag: Tag) -> Result<Option<Tlv<'a>>> {
        if self.peek() == Some(tag) { self.next() } else { Ok(None) }
    }

    /// An OCTET STRING or a constructed one, joined.
    pub fn octet_string(&mut self, what: &'static str) -> Result<(Tlv<'a>, Cow<'a, [u8]>)> {
        let tlv = self.any(what)?;
        if tlv.tag.primitive() != Tag::OCTET_STRING {
            return Err(tlv.error(format!("{what} expected, found tag {:#04x}", tlv.tag.0)));
        }
        let joined = tlv.octets()?;
        Ok((tlv, joined))
    }

    fn element(&mut self) -> Result<Tlv<'a>> {
        let start = self.pos;
        let at = self.offset();
        if self.depth > MAX_DEPTH {
            return Err(Error::too_large(format!("nested deeper than {MAX_DEPTH} levels")).at(at));
        }
        // Nearly all elements. Of the others it is said what is wrong with them, if anything is.
        if let Some((tag, content, end)) = plain(self.bytes, start) {
            self.pos = end;
            return Ok(self.tlv(Tag(tag), start, content..end, end));
        }
        let (tag, header, length) = header(&self.bytes[start..], at)?;
        let content_start = start + header;
        let (content_end, end) = match length {
            Some(length) => {
                let end = content_start
                    .checked_add(length)
                    .filter(|end| *end <= self.bytes.len())
                    .ok_or_else(|| {
                        Error::malformed(format!(
                            "a length of {length} where {} bytes are left",
                            self.bytes.len() - content_start
                        ))
                        .at(at)
                    })?;
                (end, end)
            }
            None => {
                if !tag.is_constructed() {
                    return Err(Error::malformed("an indefinite length on a primitive element").at(at));
                }
                let length = indefinite_len(
                    &self.bytes[content_start..],
                    self.base + content_start as u64,
                    self.depth,
                )?;
                (content_start + length, content_start + length + 2)
            }
        };
        self.pos = end;
        Ok(self.tlv(tag, start, content_start..content_end, end))
    }

    fn tlv(&self, tag: Tag, start: usize, content: Range<usize>, end: usize) -> Tlv<'a> {
        Tlv {
            tag,
            raw: &self.bytes[start..end],
            at: self.base + start as u64,
            content_at: self.base + content.start as u64,
            content: &self.bytes[content],
            depth: self.depth,
        }
    }
}

/// An element in the plain form that DER has: tag, where the content begins, where it ends.
pub(crate) type Plain = (u8, usize, usize);

/// The element at `pos` if it is in plain form (a tag of one byte, a definite length that fits). For walks
/// over what is parsed ten times in its life: a tenth of [`Reader`]'s cost, and no word on what is wrong.
#[inline]
pub(crate) fn plain(b: &[u8], pos: usize) -> Option<Plain> {
    let (tag, first) = (*b.get(pos)?, *b.get(pos + 1)?);
    if tag & 0x1f == 0x1f {
        return None;
    }
    let (start, len) = if first < 0x80 {
        (pos + 2, usize::from(first))
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 {
            return None;
        }
        let digits = b.get(pos + 2..pos + 2 + count)?;
        (pos + 2 + count, digits.iter().fold(0usize, |n, d| n << 8 | usize::from(*d)))
    };
    let end = start.checked_add(len)?;
    (end <= b.len()).then_some((tag, start, end))
}

/// Tag, header length, content length (`None`: indefinite).
fn header(b: &[u8], at: u64) -> Result<(Tag, usize, Option<usize>)> {
    let truncated = || Error::malformed("the data ends inside an element's header").at(at);
    let tag = *b.first().ok_or_else(truncated)?;
    if tag & 0x1f == 0x1f {
        return Err(Error::malformed("a tag number above 30").at(at));
    }
    let first = *b.get(1).ok_or_else(truncated)?;
    match first {
        0..=0x7f => Ok((Tag(tag), 2, Some(first as usize))),
        0x80 => Ok((Tag(tag), 2, None)),
        _ => {
            let count = (first & 0x7f) as usize;
            let digits = b.get(2..2 + count).ok_or_else(truncated)?;
            let mut length = 0usize;
            for d in digits {
                // Leading zeros are legal BER; what doesn't fit can't be there anyway.
                if length >> (usize::BITS - 8) != 0 {
                    return Err(Error::malformed("a length beyond any file").at(at));
                }
                length = length << 8 | *d as usize;
            }
            Ok((Tag(tag), 2 + count, Some(length)))
        }
    }
}

/// The length of a content that ends with an end mark `00 00`. Looks at each header once, whatever the
/// nesting, by counting the open indefinite elements.
fn indefinite_len(b: &[u8], at: u64, depth: u32) -> Result<usize> {
    let mut pos = 0;
    let mut open = 1u32;
    loop {
        let here = at + pos as u64;
        if b[pos.min(b.len())..].starts_with(&[0, 0]) {
            open -= 1;
            if open == 0 {
                return Ok(pos);
            }
            pos += 2;
            continue;
        }
        let (tag, head, length) = header(&b[pos.min(b.len())..], here)?;
        match length {
            Some(length) => {
                pos = pos
                    .checked_add(head)
                    .and_then(|p| p.checked_add(length))
                    .filter(|p| *p <= b.len())
                    .ok_or_else(|| Error::malformed("a length beyond the end of the data").at(here))?;
            }
            None if tag.is_constructed() => {
                open += 1;
                if depth + open > MAX_DEPTH {
                    return Err(Error::too_large(format!("nested deeper than {MAX_DEPTH} levels")).at(here));
                }
                pos += head;
            }
            None => return Err(Error::malformed("an indefinite length on a primitive element").at(here)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn indefinite_and_nested() {
        // 30 80 { 24 80 { 04 01 61, 04 01 62 } 02 01 05 }
        let b = [0x30, 0x80, 0x24, 0x80, 4, 1, b'a', 4, 1, b'b', 0, 0, 2, 1, 5, 0, 0, 0xff];
        let mut r = Reader::new(&b, 100);
        let outer = r.expect(Tag::SEQUENCE, "outer").expect("outer");
        assert_eq!(r.rest(), [0xff]);
        let mut inner = outer.reader();
        let (tlv, joined) = inner.octet_string("string").expect("string");
        assert_eq!(&joined[..], b"ab");
        assert_eq!(tlv.at, 102);
        assert_eq!(inner.any("count").and_then(|t| t.unsigned()).ok(), Some(5));
        assert!(inner.is_empty());
    }

    #[test]
    fn errors_know_the_byte() {
        let e = Reader::new(&[0x30, 5, 2, 1], 0x10).next().expect_err("too short");
        assert_eq!((e.kind(), e.place().offset), (Kind::Malformed, Some(0x10)));
        let deep = [0x30u8, 0x80].repeat(5000);
        let e = Reader::new(&deep, 0).next().expect_err("too deep");
        assert_eq!(e.kind(), Kind::TooLarge);
        for bad in [&[0x30][..], &[0x3f, 1, 0], &[0x04, 0x80, 0, 0], &[0x30, 0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0]]
        {
            assert!(Reader::new(bad, 0).next().is_err(), "{bad:x?}");
        }
    }
}
