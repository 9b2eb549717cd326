//! A stretch of bytes on the way inwards: it shares the buffer it lies in, and knows where it stands in
//! the file as long as it does stand there.

use crate::asn1::{self, MAX_DEPTH, Reader, Tag, Tlv, plain};
use crate::error::{Error, Result};
use crate::model::{Buffer, Der, Room};
use std::borrow::Cow;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Bytes that were found inside others. Joined or deciphered bytes have a buffer of their own and no
/// place in the file.
#[derive(Clone)]
pub(super) struct Piece {
    pub bytes: Der,
    buffer: Arc<Buffer>,
    at: Option<u64>,
}

impl Piece {
    /// A whole file.
    pub fn file(buffer: &Arc<Buffer>) -> Result<Self> {
        let bytes = Der::slice(buffer, 0..buffer.len()).ok_or_else(|| Error::malformed("is empty"))?;
        Ok(Piece { bytes, buffer: Arc::clone(buffer), at: Some(0) })
    }

    /// Deciphered bytes.
    pub fn plain(mut bytes: Zeroizing<Room>) -> Result<Self> {
        Piece::own(std::mem::take(&mut *bytes))
    }

    fn own(bytes: impl Into<Room>) -> Result<Self> {
        let buffer = Buffer::new(bytes);
        Ok(Piece { at: None, ..Piece::file(&buffer)? })
    }

    /// Reads it from the start.
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(&self.bytes, self.at.unwrap_or(0))
    }

    /// The content of an OCTET STRING in here, shared where it is in one part, joined where BER split it.
    pub fn octets(&self, string: &Tlv<'_>) -> Result<Piece> {
        match string.octets()? {
            Cow::Borrowed(content) => self.part(content, string.content_at),
            Cow::Owned(joined) => Piece::own(joined),
        }
    }

    /// An element in here with its header. With definite lengths throughout, for it may be written
    /// again into a file that is DER.
    pub fn element(&self, tlv: &Tlv<'_>) -> Result<Piece> {
        if is_plain(tlv.raw, MAX_DEPTH).is_some() || is_definite(tlv)? {
            self.part(tlv.raw, tlv.at)
        } else {
            Piece::own(definite(tlv)?)
        }
    }

    fn part(&self, bytes: &[u8], at: u64) -> Result<Piece> {
        let bytes = self.bytes.part(bytes).ok_or_else(|| Error::malformed("lies outside").at(at))?;
        Ok(Piece { bytes, buffer: Arc::clone(&self.buffer), at: self.at.map(|_| at) })
    }

    /// Where it begins in the file, if it stands there.
    pub fn at(&self) -> Option<u64> {
        self.at
    }

    /// An error inside it, with its offset if that means something.
    pub fn placed(&self, e: Error) -> Error {
        if self.at.is_some() { e } else { e.without_offset() }
    }

    /// It holds a key in the clear.
    pub fn wipe_on_drop(&self) {
        self.buffer.wipe_on_drop();
    }
}

/// `Some` where all elements have the plain form that DER has; quicker than [`is_definite`], and no word on what is
/// wrong.
fn is_plain(bytes: &[u8], depth: u32) -> Option<()> {
    let mut pos = 0;
    while pos < bytes.len() {
        let (tag, start, end) = plain(bytes, pos)?;
        if Tag(tag).is_constructed() {
            is_plain(bytes.get(start..end)?, depth.checked_sub(1)?)?;
        }
        pos = end;
    }
    Some(())
}

/// Whether no length inside is indefinite.
fn is_definite(tlv: &Tlv<'_>) -> Result<bool> {
    if tlv.raw.get(1) == Some(&0x80) {
        return Ok(false);
    }
    if tlv.tag.is_constructed() {
        let mut children = tlv.reader();
        while let Some(child) = children.next()? {
            if !is_definite(&child)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The same element with definite lengths throughout.
fn definite(tlv: &Tlv<'_>) -> Result<Vec<u8>> {
    if tlv.tag.primitive() == Tag::OCTET_STRING {
        return Ok(asn1::octet_string(&tlv.octets()?));
    }
    if !tlv.tag.is_constructed() {
        return Ok(asn1::tlv(tlv.tag.0, tlv.content));
    }
    let mut children = tlv.reader();
    let mut content = Vec::new();
    while let Some(child) = children.next()? {
        content.extend(definite(&child)?);
    }
    Ok(asn1::tlv(tlv.tag.0, &content))
}
