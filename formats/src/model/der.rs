//! Bytes as they came: a DER object is a range in the buffer it was read into.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use zeroize::Zeroize;

/// The bytes of a file (or of a decrypted part of one), shared by everything that was found in it.
#[derive(Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    wipe: AtomicBool,
}

impl Buffer {
    /// Takes the bytes over without copying them.
    pub fn new(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Buffer { bytes, wipe: AtomicBool::new(false) })
    }

    /// The same, wiped when the last user is gone: for buffers that hold keys in the clear.
    pub fn secret(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Buffer { bytes, wipe: AtomicBool::new(true) })
    }

    /// From now on these bytes are wiped when the last user is gone. Called by a decoder that meets a
    /// key in the clear; wiping every buffer would cost a pass over files that hold no secret.
    pub fn wipe_on_drop(&self) {
        self.wipe.store(true, Ordering::Relaxed);
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
#[derive(Clone)]
pub struct Der {
    buffer: Arc<Buffer>,
    start: usize,
    end: usize,
}

impl Der {
    /// The bytes `at` in `buffer`; `None` if the range is not inside it.
    pub fn slice(buffer: &Arc<Buffer>, at: Range<usize>) -> Option<Self> {
        (at.start <= at.end && at.end <= buffer.len()).then(|| Der {
            buffer: Arc::clone(buffer),
            start: at.start,
            end: at.end,
        })
    }

    /// An object with a buffer of its own.
    pub fn new(bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        Der { buffer: Buffer::new(bytes), start: 0, end }
    }

    /// `part`, which must lie inside `self`, as an object that shares the buffer.
    pub fn part(&self, part: &[u8]) -> Option<Self> {
        let own = self.as_ref().as_ptr_range();
        let other = part.as_ptr_range();
        (own.start <= other.start && other.end <= own.end).then(|| {
            let start = self.start + (other.start as usize - own.start as usize);
            Der { buffer: Arc::clone(&self.buffer), start, end: start + part.len() }
        })
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
        **self == **other
    }
}

impl Eq for Der {}

impl std::hash::Hash for Der {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for Der {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Der({} bytes)", self.len())
    }
}
