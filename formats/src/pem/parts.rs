//! A text as it is read, in parts that end where a block ends: a bundle of any size passes through a window.

use crate::error::{Error, Result};
use crate::model::{LARGE, Room};
use crate::place::{PIECE, Source, cannot_read};
use memchr::memmem::{self, Finder, FinderRev};
use std::io::Read;
use std::sync::LazyLock;
use zeroize::Zeroizing;

/// Bytes read at once. What they decode to fits into one large page of 2 MiB.
const WINDOW: usize = 2_700_000;

/// In the armour of every key.
static PRIVATE_KEY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"PRIVATE KEY"));
static END: LazyLock<FinderRev<'static>> = LazyLock::new(|| FinderRev::new(b"-----END "));

/// The parts of one text. It may hold keys in the clear, so the window is wiped.
pub(super) struct Parts<'s> {
    /// The whole text, where it was here already.
    here: Option<&'s [u8]>,
    from: Box<dyn Read + 's>,
    size: usize,
    room: Zeroizing<Room>,
    /// As many bytes of the room are filled.
    filled: usize,
    /// As many of them were handed out.
    used: usize,
    /// Where the room's first byte stands in the text.
    base: u64,
    ended: bool,
    done: bool,
}

/// One part.
pub(super) struct Part<'p> {
    /// Where it begins in the text.
    pub base: u64,
    pub text: &'p [u8],
    /// It is the whole text.
    pub whole: bool,
}

impl<'s> Parts<'s> {
    /// Begins to read.
    pub fn of(source: &'s Source) -> Result<Self> {
        let size = usize::try_from(source.size()?).unwrap_or(usize::MAX);
        // Even if no block can be made of it.
        if PRIVATE_KEY.find(source.probe()?.head).is_some() {
            source.wipe_on_drop();
        }
        let here = source.in_memory();
        let from = source.whole_reader()?;
        // A short text's window is ordinary memory, where claiming a page costs more than filling it.
        let window = if size < LARGE { PIECE } else { WINDOW };
        // One more byte lets the end be seen.
        let window = if here.is_some() { 0 } else { size.saturating_add(1).min(window) };
        let room = Zeroizing::new(Room::new(window)?);
        Ok(Parts { here, from, size, room, filled: 0, used: 0, base: 0, ended: false, done: false })
    }

    /// How many parts of the last one's length the text has, at most.
    pub fn count(&self) -> usize {
        self.size / self.used.max(1) + 1
    }

    /// The next part; the first is there even if it is empty.
    pub fn next(&mut self) -> Result<Option<Part<'_>>> {
        if self.done {
            return Ok(None);
        }
        if let Some(text) = self.here {
            self.done = true;
            return Ok(Some(Part { base: 0, text, whole: true }));
        }
        self.room.copy_within(self.used..self.filled, 0);
        self.base += self.used as u64;
        self.filled -= self.used;
        loop {
            self.fill()?;
            if self.ended {
                self.used = self.filled;
                self.done = true;
                break;
            }
            if let Some(end) = last_block_end(&self.room[..self.filled]) {
                self.used = end;
                break;
            }
            self.grow()?;
        }
        let whole = self.done && self.base == 0;
        Ok(Some(Part { base: self.base, text: &self.room[..self.used], whole }))
    }

    fn fill(&mut self) -> Result<()> {
        while self.filled < self.room.len() && !self.ended {
            match self.from.read(&mut self.room[self.filled..]) {
                Ok(0) => self.ended = true,
                Ok(n) => self.filled += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(cannot_read(e)),
            }
        }
        if self.base + self.filled as u64 > Source::LIMIT {
            return Err(Error::too_large(format!("more than {} bytes are refused", Source::LIMIT)));
        }
        Ok(())
    }

    /// For a block, or a text between blocks, that is larger than the window.
    fn grow(&mut self) -> Result<()> {
        let mut room = Zeroizing::new(Room::new(self.room.len().saturating_mul(2))?);
        room[..self.filled].copy_from_slice(&self.room[..self.filled]);
        self.room = room;
        Ok(())
    }
}

/// Where the last END line that is complete ends, with its five closing dashes.
fn last_block_end(text: &[u8]) -> Option<usize> {
    let words = END.rfind(text)? + b"-----END ".len();
    match memmem::find(&text[words..], b"-----") {
        Some(at) => Some(words + at + 5),
        // It is cut off; the one before it isn't.
        None => last_block_end(&text[..words - b"-----END ".len()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of texts of 30 and 700 blocks of 12,000 bytes, some of them joined.
    #[test]
    fn parts_end_behind_blocks() {
        parts_of(30, PIECE);
        parts_of(700, WINDOW);
    }

    fn parts_of(blocks: usize, window: usize) {
        let mut text = Vec::new();
        for n in 0..blocks {
            text.extend_from_slice(b"-----BEGIN A-----\n");
            text.resize(text.len() + 12_000, b'A');
            text.extend_from_slice(if n % 2 == 0 { b"\n-----END A-----" } else { b"\n-----END A-----\n" });
        }
        let (_file, source) = written(&text);
        let mut parts = Parts::of(&source).expect("parts");
        let (mut all, mut n) = (Vec::new(), 0);
        while let Some(part) = parts.next().expect("part") {
            assert_eq!((part.base as usize, part.whole), (all.len(), false));
            all.extend_from_slice(part.text);
            n += 1;
            assert!(part.text.trim_ascii().ends_with(b"-----END A-----"));
        }
        assert!(
            all == text && (text.len() / window + 1..=text.len() / (window - 12_100) + 1).contains(&n),
            "{n} parts"
        );
    }

    fn written(text: &[u8]) -> (tempfile::NamedTempFile, Source) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        let source = Source::open(file.path()).expect("opened");
        (file, source)
    }

    #[test]
    fn what_has_no_end_comes_whole() {
        for size in [0, 5, PIECE, LARGE - 40, LARGE, WINDOW - 1, WINDOW, 3 * WINDOW] {
            let text = [&b"-----BEGIN A-----\n"[..], &vec![b'x'; size], b"\n-----END A---"].concat();
            let (_file, source) = written(&text);
            for source in [source, Source::memory("x", text.clone())] {
                let mut parts = Parts::of(&source).expect("parts");
                let part = parts.next().expect("read").expect("a part");
                assert!(part.whole && part.text == text);
                assert!(parts.next().expect("read").is_none());
            }
        }
    }
}
