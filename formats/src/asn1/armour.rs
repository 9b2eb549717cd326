//! Text armour: PEM blocks cut out of raw bytes, and written.
//!
//! RFC 7468 with the freedoms that files in the field take: any line ends, blanks around lines, blank
//! lines inside a block, blocks joined without a newline, any text in any encoding between them, the
//! headers of RFC 1421. The text is cut into blocks first and each is decoded on its own, so that one
//! bad block spoils nothing but itself. Whatever looks like a block and isn't one is an error with its
//! byte offset, never skipped: it may have been somebody's key.

use crate::error::{Error, Result};
use base64_simd::{AsOut, STANDARD};
use memchr::memmem::Finder;
use memchr::{memchr, memchr2};
use std::sync::LazyLock;
use zeroize::Zeroizing;

/// Characters of base64 on a line that we write (RFC 7468 section 2).
const LINE: usize = 64;
/// Bytes that fill such a line.
const LINE_BYTES: usize = LINE / 4 * 3;
/// A label is a few words; what is longer is prose.
const MAX_LABEL: usize = 80;
const DASHES: &[u8] = b"-----";
/// Built once: that takes longer than a search in a small file.
static FIND_DASHES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(DASHES));
/// What a BEGIN line has even when dashes are missing.
static FIND_TORN: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"-BEGIN "));

/// One block as it stands in the text.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// The words between `BEGIN` and the dashes: `CERTIFICATE`.
    pub label: &'a str,
    /// Where its BEGIN line stands.
    pub at: u64,
    /// The text between the block before and this one.
    pub before: &'a [u8],
    /// The whole block, from the dashes of BEGIN to those of END.
    pub raw: &'a [u8],
    headers: &'a [u8],
    body: &'a [u8],
    body_at: u64,
}

/// Cuts `text` into its blocks. An error stands for something that looks like a block and can't be cut
/// out; the blocks after it still come.
pub fn blocks(text: &[u8]) -> Blocks<'_> {
    Blocks { text, pos: 0, checked: 0 }
}

/// The iterator of [`blocks`].
pub struct Blocks<'a> {
    text: &'a [u8],
    /// Where the text before the next block begins.
    pos: usize,
    /// Up to here the text between blocks was searched for damaged BEGIN lines.
    checked: usize,
}

/// A line of dashes and a word, found in the text.
enum Mark {
    Begin,
    End,
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Result<Block<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mark = self.mark(self.pos);
        let end = mark.as_ref().map_or(self.text.len(), |(_, at, _)| *at);
        if let Some(error) = self.damaged(end) {
            return Some(Err(error));
        }
        let (mark, at, words) = mark?;
        Some(match mark {
            Mark::Begin => self.block(at, words),
            Mark::End => {
                self.pos = words;
                Err(Error::malformed("an END line without its BEGIN line").at(at as u64))
            }
        })
    }
}

impl<'a> Blocks<'a> {
    /// The next BEGIN or END at or after `from`: where its five dashes begin, and where its words do.
    fn mark(&self, from: usize) -> Option<(Mark, usize, usize)> {
        let mut from = from;
        loop {
            let start = from + FIND_DASHES.find(self.text.get(from..)?)?;
            let end = start + self.text[start..].iter().take_while(|b| **b == b'-').count();
            let after = &self.text[end..];
            if after.starts_with(b"BEGIN ") {
                return Some((Mark::Begin, end - DASHES.len(), end + 6));
            }
            if after.starts_with(b"END ") {
                return Some((Mark::End, end - DASHES.len(), end + 4));
            }
            from = end;
        }
    }

    /// A BEGIN line with too few dashes in the text before `end`; told once for each such stretch.
    fn damaged(&mut self, end: usize) -> Option<Error> {
        let from = self.checked.max(self.pos);
        let found = FIND_TORN.find(self.text.get(from..end)?)?;
        self.checked = end;
        Some(
            Error::malformed("a BEGIN line needs five dashes before and after its words")
                .at((from + found) as u64),
        )
    }

    /// The block whose BEGIN line has its dashes at `at` and its words at `words`.
    fn block(&mut self, at: usize, words: usize) -> Result<Block<'a>> {
        let before = &self.text[self.pos..at];
        let Some((label, body)) = self.label(words) else {
            self.pos = words;
            return Err(Error::malformed("a BEGIN line without its five closing dashes").at(at as u64));
        };
        let Some((mark, end, end_words)) = self.mark(body) else {
            self.pos = self.text.len();
            return Err(no_end(label, at));
        };
        if matches!(mark, Mark::Begin) {
            self.pos = end;
            return Err(no_end(label, at));
        }
        let closing = self.label(end_words);
        self.pos = closing.as_ref().map_or(end_words, |(_, after)| *after);
        let Some((closing, after)) = closing else {
            return Err(Error::malformed("an END line without its five closing dashes").at(end as u64));
        };
        if closing != label {
            let message = format!("a block that begins as {label} and ends as {closing}");
            return Err(Error::malformed(message).at(at as u64));
        }
        let (headers, body_from) = headers(&self.text[body..end]);
        Ok(Block {
            label,
            at: at as u64,
            before,
            raw: &self.text[at..after],
            headers,
            body: &self.text[body + body_from..end],
            body_at: (body + body_from) as u64,
        })
    }

    /// The label whose words begin at `from`, and where the line's closing dashes end.
    fn label(&self, from: usize) -> Option<(&'a str, usize)> {
        let rest = &self.text[from..self.text.len().min(from + MAX_LABEL + DASHES.len())];
        let len = FIND_DASHES.find(rest)?;
        let label = std::str::from_utf8(&rest[..len]).ok()?;
        let printable = label.bytes().all(|b| (b' '..=b'~').contains(&b));
        (printable && !label.is_empty()).then_some((label, from + len + DASHES.len()))
    }
}

fn no_end(label: &str, at: usize) -> Error {
    Error::malformed(format!("a block {label} without its END line")).at(at as u64)
}

/// The header lines of RFC 1421 at the start of a block, and where the rest begins.
fn headers(body: &[u8]) -> (&[u8], usize) {
    let (mut pos, mut end) = (0, 0);
    while pos < body.len() {
        let (line, next) = line_at(body, pos);
        let continues = end > 0 && line.first().is_some_and(u8::is_ascii_whitespace);
        if !line.trim_ascii().is_empty() {
            if memchr(b':', line).is_none() && !continues {
                break;
            }
            end = next;
        } else if end > 0 {
            break;
        }
        pos = next;
    }
    (&body[..end], end)
}

/// The line that begins at `pos`, without its end, and where the next begins.
fn line_at(text: &[u8], pos: usize) -> (&[u8], usize) {
    let rest = &text[pos..];
    let len = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
    let end = if rest[len..].starts_with(b"\r\n") { 2 } else { usize::from(len < rest.len()) };
    (&rest[..len], pos + len + end)
}

/// The lines of a text with any line ends, without them.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut pos = 0;
    std::iter::from_fn(move || {
        (pos < text.len()).then(|| {
            let (line, next) = line_at(text, pos);
            pos = next;
            line
        })
    })
}

impl<'a> Block<'a> {
    /// The value of a header, without blanks around it; headers are named in any case of letters.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        lines(self.headers).find_map(|line| {
            let (key, value) = line.split_at(memchr(b':', line)?);
            let named = key.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
            if named { std::str::from_utf8(&value[1..]).ok().map(str::trim) } else { None }
        })
    }

    /// As many bytes as decoding may yield.
    pub fn decoded_bound(&self) -> usize {
        self.body.len() / 4 * 3 + 3
    }

    /// Decodes to the beginning of `out`, which has [`Block::decoded_bound`] bytes; how many there are.
    /// `scratch` is reused from block to block.
    pub fn decode(&self, scratch: &mut Vec<u8>, out: &mut [u8]) -> Result<usize> {
        let short = || Error::malformed("no room for a block's bytes").at(self.at);
        let out = out.get_mut(..self.decoded_bound()).ok_or_else(short)?;
        let mut into = |text: &[u8]| STANDARD.decode(text, out.as_out()).map(|bytes| bytes.len()).ok();
        join(self.body, scratch);
        let len = into(scratch).or_else(|| {
            // Blanks inside lines, or lines of several lengths: slower, and rare.
            scratch.retain(|b| !is_blank(*b));
            into(scratch)
        });
        match len {
            None => Err(self.not_base64()),
            Some(0) => Err(Error::malformed(format!("an empty {} block", self.label)).at(self.at)),
            Some(len) => Ok(len),
        }
    }

    /// The decoded bytes in a buffer that is wiped, as are all intermediate copies.
    pub fn decode_secret(&self) -> Result<Zeroizing<Vec<u8>>> {
        // Sized once: growing would leave unwiped copies behind.
        let mut scratch = Zeroizing::new(Vec::with_capacity(self.body.len()));
        let mut out = Zeroizing::new(vec![0; self.decoded_bound()]);
        let len = self.decode(&mut scratch, &mut out)?;
        out.truncate(len);
        Ok(out)
    }

    fn not_base64(&self) -> Error {
        let odd = self.body.iter().position(|b| !is_base64(*b) && !is_blank(*b));
        match odd {
            Some(at) => Error::malformed(format!("a character in a {} block that is not base64", self.label))
                .at(self.body_at + at as u64),
            None => Error::malformed(format!(
                "the base64 of a {} block is cut short or padded wrongly",
                self.label
            ))
            .at(self.at),
        }
    }
}

/// The base64 text without its line ends. Lines as long as the first are taken without a look inside:
/// if that was wrong, decoding fails and the caller takes all blanks out.
fn join(body: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.reserve(body.len());
    let body = body.trim_ascii();
    let (first, mut pos) = line_at(body, 0);
    put_trimmed(out, first);
    let step = pos;
    if let (Some(end), true) = (body[first.len()..pos].last(), step > 0) {
        // The last byte of a line's end stands for it; a stray blank is found by the decoder.
        while let Some(line) = body.get(pos..pos + step).filter(|line| line.last() == Some(end)) {
            put_trimmed(out, &line[..first.len()]);
            pos += step;
        }
    }
    for line in lines(&body[pos..]) {
        put_trimmed(out, line);
    }
}

fn put_trimmed(out: &mut Vec<u8>, line: &[u8]) {
    let blank = |b: Option<&u8>| b.is_some_and(|b| *b <= b' ');
    let line = if blank(line.first()) || blank(line.last()) { line.trim_ascii() } else { line };
    out.extend_from_slice(line);
}

fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn is_base64(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=')
}

/// The label of the first block in the beginning of a text, and where the block begins.
pub fn first_label(head: &[u8]) -> Option<(&str, usize)> {
    let cut = blocks(head);
    match cut.mark(0)? {
        (Mark::Begin, at, words) => Some((cut.label(words)?.0, at)),
        (Mark::End, ..) => None,
    }
}

/// Whether a text is base64 and blanks alone, as far as `head` shows, and begins like a DER SEQUENCE of
/// more than 127 bytes (`MI`): an object without its armour.
pub fn looks_bare(head: &[u8]) -> bool {
    let text = without_mark(head).trim_ascii_start();
    text.starts_with(b"MI") && text.len() >= LINE && text.iter().all(|b| is_base64(*b) || is_blank(*b))
}

/// The bytes of a text that is base64 without armour, in a buffer that is wiped.
pub fn decode_bare(text: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let body = without_mark(text);
    let body_at = (text.len() - body.len()) as u64;
    Block { label: "base64", at: body_at, before: &[], raw: body, headers: &[], body, body_at }
        .decode_secret()
}

/// The text without a byte order mark of UTF-8.
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Bytes of a block with this label around `len` bytes.
pub fn block_len(label: &str, len: usize) -> usize {
    let base64 = len.div_ceil(3) * 4;
    2 * (label.len() + 2 * DASHES.len() + 1) + "BEGIN ".len() + "END ".len() + base64 + base64.div_ceil(LINE)
}

/// Appends a block. The room is reserved first; for a secret, `out` must have it already, or growing it
/// would leave a copy of what it holds.
pub fn put_block(out: &mut Vec<u8>, label: &str, content: &[u8]) {
    out.reserve(block_len(label, content.len()));
    put_line(out, "BEGIN ", label);
    for line in content.chunks(LINE_BYTES) {
        let from = out.len();
        out.resize(from + line.len().div_ceil(3) * 4, 0);
        let _ = STANDARD.encode(line, out[from..].as_out());
        out.push(b'\n');
    }
    put_line(out, "END ", label);
}

fn put_line(out: &mut Vec<u8>, word: &str, label: &str) {
    for part in [DASHES, word.as_bytes(), label.as_bytes(), DASHES, b"\n"] {
        out.extend_from_slice(part);
    }
}

/// A block of its own, in a buffer that is wiped.
pub fn block(label: &str, content: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(block_len(label, content.len())));
    put_block(&mut out, label, content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Labels, texts between and contents; errors as their offsets.
    fn cut(text: &[u8]) -> Vec<std::result::Result<(String, Vec<u8>), u64>> {
        blocks(text)
            .map(|b| {
                let b = b.map_err(|e| e.place().offset.unwrap_or(u64::MAX))?;
                let content = b.decode_secret().map_err(|e| e.place().offset.unwrap_or(u64::MAX))?;
                Ok((b.label.to_owned(), content.to_vec()))
            })
            .collect()
    }

    fn one(label: &str, content: &[u8]) -> Vec<std::result::Result<(String, Vec<u8>), u64>> {
        vec![Ok((label.to_owned(), content.to_vec()))]
    }

    const PARTS: &[&str] = &[
        "-----BEGIN A-----",
        "-----END A-----",
        "-",
        "\n",
        "AQID",
        ": ",
        "\r",
        "\u{e9}",
        "BEGIN ",
        " ",
        "=",
    ];

    #[test]
    fn freedoms_of_the_field() {
        for text in [
            &b"-----BEGIN X Y-----\nAQID\n-----END X Y-----\n"[..],
            b"\xef\xbb\xbf-----BEGIN X Y-----\r\nAQID\r\n-----END X Y-----",
            b"-----BEGIN X Y-----\rAQ\rID\r-----END X Y-----\r",
            b"   -----BEGIN X Y-----  \n   AQID \n \t -----END X Y-----",
            b"-----BEGIN X Y-----\n\nAQ\n\n\nID\n\n-----END X Y-----",
            b"-----BEGIN X Y-----AQID-----END X Y-----",
            b"caf\xe9 -- dashes --- and -------- more\n-----BEGIN X Y-----\nA QI\tD\n-----END X Y-----\ntail",
            b"-----BEGIN X Y-----\nAQ\nI\nD\n-----END X Y-----",
            b"--------BEGIN X Y-----\nAQID\n-----END X Y-------",
        ] {
            assert_eq!(cut(text), one("X Y", &[1, 2, 3]), "{}", String::from_utf8_lossy(text));
        }
        let joined = b"-----BEGIN A-----\nAQ==\n-----END A----------BEGIN B-----\nAg==\n-----END B-----";
        assert_eq!(cut(joined), [one("A", &[1]), one("B", &[2])].concat());
    }

    #[test]
    fn headers_are_found_and_left_out() {
        let text = b"-----BEGIN K-----\r\nProc-Type: 4,ENCRYPTED\r\nDEK-Info: DES-CBC,00\r\n  11\r\n\r\nAQID\r\n-----END K-----";
        let block = blocks(text).next().expect("one").expect("good");
        assert_eq!(block.header("proc-type"), Some("4,ENCRYPTED"));
        assert_eq!(block.header("DEK-Info"), Some("DES-CBC,00"));
        assert_eq!(block.header("X"), None);
        assert_eq!(&*block.decode_secret().expect("body"), &[1, 2, 3]);
        assert_eq!(block.raw, text);
    }

    #[test]
    fn a_bad_block_spoils_only_itself() {
        let good = "-----BEGIN A-----\nAQ==\n-----END A-----\n";
        for (bad, offset) in [
            ("-----BEGIN A-----\nAQ=\n-----END A-----\n", 0),
            ("-----BEGIN A-----\nA!==\n-----END A-----\n", 19),
            ("-----BEGIN A-----\nAQ==\n-----END B-----\n", 0),
            ("-----BEGIN A-----\nAQ==\n", 0),
            ("-----BEGIN A-----\n-----END A-----\n", 0),
            ("-----BEGIN A----\nAQ==\n", 0),
            ("AQ==\n-----END A-----\n", 5),
            ("----BEGIN A----\nAQ==\n", 3),
            ("-----BEGIN \x07-----\n", 0),
        ] {
            let text = [good, bad, good].concat();
            let offset = (good.len() + offset) as u64;
            let got = cut(text.as_bytes());
            let want = [one("A", &[1]), vec![Err(offset)], one("A", &[1])].concat();
            // A BEGIN line that can't be read leaves its END line alone.
            let got: Vec<_> = got.into_iter().collect();
            assert_eq!(got, want, "{bad:?}");
        }
        let last = format!("{good}-----BEGIN A-----\nAQ==");
        assert_eq!(cut(last.as_bytes()), [one("A", &[1]), vec![Err(good.len() as u64)]].concat());
    }

    #[test]
    fn no_block_in_other_texts() {
        let utf16: Vec<u8> = "-----BEGIN A-----".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(cut(&utf16).is_empty() && cut(b"").is_empty() && cut(b"---------- -----").is_empty());
    }

    #[test]
    fn bare_base64_is_seen() {
        let text = STANDARD.encode_to_string([&[0x30, 0x82, 1, 0][..], &[7; 80]].concat());
        assert!(looks_bare(text.as_bytes()) && !looks_bare(b"MIIB") && !looks_bare(b"-----BEGIN A-----"));
        assert_eq!(decode_bare(text.as_bytes()).expect("bytes").len(), 84);
    }

    proptest! {
        #[test]
        fn written_blocks_are_read(content in proptest::collection::vec(any::<u8>(), 1..400)) {
            let text = block("SOME LABEL", &content);
            prop_assert_eq!(text.len(), block_len("SOME LABEL", content.len()));
            prop_assert_eq!(cut(&text), one("SOME LABEL", &content));
        }

        #[test]
        fn no_text_panics(parts in proptest::collection::vec(prop::sample::select(PARTS), 0..60)) {
            let text = parts.concat().into_bytes();
            for block in blocks(&text).flatten() {
                let _ = block.decode_secret();
                let _ = block.header("a");
            }
        }
    }
}
