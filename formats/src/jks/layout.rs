//! The constants of the container, and a cursor that walks it.

use crate::error::{Error, Result};
use std::ops::Range;

/// One of the two kinds of store that share the container.
#[derive(Debug)]
pub struct Variant {
    /// The format's name.
    pub name: &'static str,
    /// The first four bytes.
    pub magic: [u8; 4],
    /// Whether it may hold secret keys.
    pub secrets: bool,
}

/// The JDK's own store (`sun.security.provider.JavaKeyStore`).
pub const JKS: Variant = Variant { name: "jks", magic: [0xfe, 0xed, 0xfe, 0xed], secrets: false };
/// The store of the JDK's cryptography extension (`com.sun.crypto.provider.JceKeyStore`).
pub const JCEKS: Variant = Variant { name: "jceks", magic: [0xce, 0xce, 0xce, 0xce], secrets: true };

/// Version 1 has no type before each certificate; every JDK in use writes version 2.
pub const VERSION: u32 = 2;

/// A private key with its chain.
pub const KEY: u32 = 1;
/// A certificate on its own.
pub const CERT: u32 = 2;
/// A secret key.
pub const SECRET: u32 = 3;

/// The type that version 2 puts before each certificate.
pub const X509: &[u8] = b"X.509";
/// The SHA-1 at the end.
pub const DIGEST_LEN: usize = 20;
/// The least bytes that a certificate of a chain can take: its length.
pub const MIN_CERT: usize = 4;

/// Under which format an entry's own facts travel: both stores know the same ones.
pub const FACTS: &str = "jks";
/// When the entry was made: decimal milliseconds since 1970, UTC, may be negative.
pub const DATE: &str = "date";
/// The container's version, as a fact of the store.
pub const VERSION_FACT: &str = "version";

/// Walks big-endian fields; every failure knows the byte and the field.
pub struct Cursor<'a> {
    bytes: &'a [u8],
    pos: usize,
}

impl<'a> Cursor<'a> {
    /// From the first byte on.
    pub fn new(bytes: &'a [u8]) -> Self {
        Cursor { bytes, pos: 0 }
    }

    /// Where the next field begins.
    pub fn pos(&self) -> usize {
        self.pos
    }

    /// The bytes that are left.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.pos..).unwrap_or_default()
    }

    /// The next `len` bytes, as a range of the whole.
    pub fn range(&mut self, len: usize, what: &str) -> Result<Range<usize>> {
        let left = self.rest().len();
        if len > left {
            return Err(Error::malformed(format!("{what} takes {len} bytes where {left} are left"))
                .at(self.pos as u64));
        }
        let start = self.pos;
        self.pos += len;
        Ok(start..self.pos)
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize, what: &str) -> Result<&'a [u8]> {
        self.range(len, what).map(|r| &self.bytes[r])
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N, what)?);
        Ok(out)
    }

    /// A `u32`.
    pub fn u32(&mut self, what: &str) -> Result<u32> {
        self.array(what).map(u32::from_be_bytes)
    }

    /// An `i64`.
    pub fn i64(&mut self, what: &str) -> Result<i64> {
        self.array(what).map(i64::from_be_bytes)
    }

    /// Bytes after their `u32` length.
    pub fn body(&mut self, what: &str) -> Result<Range<usize>> {
        let len = self.u32(what)?;
        self.range(len as usize, what)
    }

    /// Text after its `u16` length, undecoded.
    pub fn text(&mut self, what: &str) -> Result<&'a [u8]> {
        let len = u16::from_be_bytes(self.array(what)?);
        self.take(usize::from(len), what)
    }
}
