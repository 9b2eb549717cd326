//! Java's modified UTF-8: how JKS and Java object streams spell text.
//!
//! Source: Java SE API, `java.io.DataInput`, "Modified UTF-8". U+0000 is `C0 80`, and a character above
//! U+FFFF is its two surrogates in three bytes each, so neither is valid UTF-8.

use std::borrow::Cow;

/// The text, or `None` where the bytes are none (or hold half of a surrogate pair). Ordinary four-byte
/// UTF-8, which Java itself refuses, is read too.
pub fn decode(bytes: &[u8]) -> Option<Cow<'_, str>> {
    match std::str::from_utf8(bytes) {
        // What is valid as both means the same in both.
        Ok(text) => Some(Cow::Borrowed(text)),
        Err(_) => String::from_utf16(&units(bytes)?).ok().map(Cow::Owned),
    }
}

/// The bytes of `text`.
pub fn encode(text: &str) -> Cow<'_, [u8]> {
    let plain = text.bytes().all(|b| b != 0 && b < 0xf0);
    if plain {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut out = Vec::with_capacity(text.len() + text.len() / 2 + 1);
    for unit in text.encode_utf16() {
        match unit {
            1..=0x7f => out.push(unit as u8),
            0 | 0x80..=0x7ff => out.extend([0xc0 | (unit >> 6) as u8, tail(unit)]),
            _ => out.extend([0xe0 | (unit >> 12) as u8, tail(unit >> 6), tail(unit)]),
        }
    }
    Cow::Owned(out)
}

/// Whether Java reads these bytes as text, halves of surrogate pairs included.
pub fn is_java(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| *b < 0xf0) && units(bytes).is_some()
}

/// The last six bits, as the tail of a longer sequence.
fn tail(unit: u16) -> u8 {
    0x80 | (unit & 0x3f) as u8
}

/// UTF-16 units. As lenient as Java: an over-long sequence of two or three bytes counts.
fn units(mut bytes: &[u8]) -> Option<Vec<u16>> {
    let mut out = Vec::with_capacity(bytes.len());
    let low = |b: u8| (b & 0xc0 == 0x80).then_some(u32::from(b & 0x3f));
    loop {
        let (point, rest) = match *bytes {
            [] => return Some(out),
            [a @ 0..=0x7f, ref rest @ ..] => (u32::from(a), rest),
            [a @ 0xc0..=0xdf, b, ref rest @ ..] => (u32::from(a & 0x1f) << 6 | low(b)?, rest),
            [a @ 0xe0..=0xef, b, c, ref rest @ ..] => {
                (u32::from(a & 0x0f) << 12 | low(b)? << 6 | low(c)?, rest)
            }
            [a @ 0xf0..=0xf4, b, c, d, ref rest @ ..] => {
                (u32::from(a & 0x07) << 18 | low(b)? << 12 | low(c)? << 6 | low(d)?, rest)
            }
            _ => return None,
        };
        match u16::try_from(point) {
            Ok(unit) => out.push(unit),
            Err(_) => out.extend_from_slice(char::from_u32(point)?.encode_utf16(&mut [0; 2])),
        }
        bytes = rest;
    }
}
