//! Writing DER: lengths first, one buffer, no re-encoding of what is already DER.

/// Bytes that the header of a content of `len` bytes takes.
pub fn header_len(len: usize) -> usize {
    if len < 0x80 { 2 } else { 2 + length_bytes(len) }
}

fn length_bytes(len: usize) -> usize {
    (usize::BITS - len.leading_zeros()).div_ceil(8) as usize
}

/// Appends tag and length.
pub fn put_header(out: &mut Vec<u8>, tag: u8, len: usize) {
    out.push(tag);
    if len < 0x80 {
        out.push(len as u8);
    } else {
        let n = length_bytes(len);
        out.push(0x80 | n as u8);
        out.extend_from_slice(&len.to_be_bytes()[size_of::<usize>() - n..]);
    }
}

/// An element around `content`.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    tlv_of(tag, &[content])
}

/// An element around the `parts`, one after the other.
pub fn tlv_of(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len = parts.iter().map(|p| p.len()).sum();
    let mut out = Vec::with_capacity(header_len(len) + len);
    put_header(&mut out, tag, len);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// An OCTET STRING.
pub fn octet_string(content: &[u8]) -> Vec<u8> {
    tlv(0x04, content)
}

/// A non-negative INTEGER.
pub fn integer(n: u64) -> Vec<u8> {
    let bytes = n.to_be_bytes();
    let skip = bytes.iter().take_while(|b| **b == 0).count().min(7);
    // A leading 1 bit would make it negative.
    let pad: &[u8] = if bytes[skip] & 0x80 != 0 { &[0] } else { &[] };
    tlv_of(0x02, &[pad, &bytes[skip..]])
}

/// An OBJECT IDENTIFIER from its content octets (see [`super::oid`]).
pub fn oid(content: &[u8]) -> Vec<u8> {
    tlv(0x06, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_integers() {
        for n in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let t = tlv(4, &vec![0; n]);
            assert_eq!(t.len(), header_len(n) + n);
        }
        assert_eq!(integer(0), [2, 1, 0]);
        assert_eq!(integer(127), [2, 1, 127]);
        assert_eq!(integer(128), [2, 2, 0, 128]);
        assert_eq!(integer(10_000), [2, 2, 0x27, 0x10]);
    }
}
