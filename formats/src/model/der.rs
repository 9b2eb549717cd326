//! Bytes as they came: a DER object is a range in the buffer it was read into.

use super::room::Room;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use zeroize::Zeroize;

/// The bytes of a file (or of a decrypted part of one), shared by everything that was found in it.
#[derive(Default)]
pub struct Buffer {
    bytes: Room,
    wipe: AtomicBool,
}

impl Buffer {
    /// Takes the bytes over without copying them.
    pub fn new(bytes: impl Into<Room>) -> Arc<Self> {
        Arc::new(Buffer { bytes: bytes.into(), wipe: AtomicBool::new(false) })
    }

    /// The same, wiped when the last user is gone: for buffers that hold keys in the clear.
    pub fn secret(bytes: impl Into<Room>) -> Arc<Self> {
        Arc::new(Buffer { bytes: bytes.into(), wipe: AtomicBool::new(true) })
    }

    /// From now on these bytes are wiped when the last user is gone. Called by a decoder that meets a
    /// key in the clear; wiping every buffer would cost a pass over files that hold no secret.
    pub fn wipe_on_drop(&self) {
        self.wipe.store(true, Ordering::Relaxed);
    }

    /// Whether they will be.
    pub fn is_wiped_on_drop(&self) -> bool {
        self.wipe.load(Ordering::Relaxed)
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if *self.wipe.get_mut() {
            self.bytes.zeroize();
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.bytes.len())
    }
}

/// One DER object: a range of a shared buffer. Cloning shares; equality compares the bytes.
pub struct Der {
    buffer: Arc<Buffer>,
    start: usize,
    end: usize,
    /// See [`Der::print`]; 0 until somebody asks.
    print: AtomicU64,
}

/// Another key in each process: nobody can make objects whose prints collide.
static PRINTS: LazyLock<foldhash::quality::RandomState> = LazyLock::new(Default::default);

impl Der {
    /// The bytes `at` in `buffer`; `None` if the range is not inside it.
    pub fn slice(buffer: &Arc<Buffer>, at: Range<usize>) -> Option<Self> {
        (at.start <= at.end && at.end <= buffer.len()).then(|| Der {
            buffer: Arc::clone(buffer),
            start: at.start,
            end: at.end,
            print: AtomicU64::new(0),
        })
    }

    /// An object with a buffer of its own.
    pub fn new(bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        Der { buffer: Buffer::new(bytes), start: 0, end, print: AtomicU64::new(0) }
    }

    /// `part`, which must lie inside `self`, as an object that shares the buffer.
    pub fn part(&self, part: &[u8]) -> Option<Self> {
        let own = self.as_ref().as_ptr_range();
        let other = part.as_ptr_range();
        (own.start <= other.start && other.end <= own.end).then(|| {
            let start = self.start + (other.start as usize - own.start as usize);
            Der { buffer: Arc::clone(&self.buffer), start, end: start + part.len(), print: AtomicU64::new(0) }
        })
    }

    /// 64 bits of the bytes, for maps of this process. The bytes are gone through once, however many maps
    /// the object and its clones stand in.
    pub fn print(&self) -> u64 {
        match self.print.load(Ordering::Relaxed) {
            0 => {
                let print = PRINTS.hash_one(&**self).max(1);
                self.print.store(print, Ordering::Relaxed);
                print
            }
            known => known,
        }
    }
}

impl Clone for Der {
    fn clone(&self) -> Self {
        let print = AtomicU64::new(self.print.load(Ordering::Relaxed));
        Der { buffer: Arc::clone(&self.buffer), start: self.start, end: self.end, print }
    }
}

impl Deref for Der {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // The constructors hold 0 <= start <= end <= len.
        &self.buffer[self.start..self.end]
    }
}

impl AsRef<[u8]> for Der {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Der {
    fn eq(&self, other: &Self) -> bool {
        let here = Arc::ptr_eq(&self.buffer, &other.buffer) && self.start == other.start;
        (here && self.end == other.end) || **self == **other
    }
}

impl Eq for Der {}

impl Hash for Der {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.print());
    }
}

impl fmt::Debug for Der {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Der({} bytes)", self.len())
    }
}
