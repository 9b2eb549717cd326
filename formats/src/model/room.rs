//! Room for a file's bytes: small ones from the heap, large ones from the system in large pages.

use crate::error::{Error, Result};
use memmap2::MmapMut;
use std::ops::{Deref, DerefMut};
use zeroize::Zeroize;

/// From here on room is taken from the system in one piece, with the advice to back it by large pages.
/// A keystore is filled once from end to end: in pages of 4 KiB most of the time would go into the page
/// faults of claiming them one by one (measured: a third of all that a conversion of 7 MB costs).
pub(crate) const LARGE: usize = 512 << 10;
/// The size of a large page on most machines: only regions of whole large pages are aligned to them.
const PAGE: usize = 2 << 20;

/// Zeroed bytes whose number never grows.
pub struct Room {
    body: Body,
    len: usize,
}

enum Body {
    Small(Vec<u8>),
    Large(MmapMut),
}

impl Room {
    /// `len` zeros. `Kind::TooLarge` where memory doesn't suffice.
    pub fn new(len: usize) -> Result<Self> {
        let none = || Error::too_large(format!("{len} bytes don't fit into memory"));
        let body = if len < LARGE {
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(len).map_err(|e| none().caused_by(e))?;
            bytes.resize(len, 0);
            Body::Small(bytes)
        } else {
            let map = match len.checked_next_multiple_of(PAGE) {
                Some(whole) => MmapMut::map_anon(whole).map_err(|e| none().caused_by(e))?,
                None => return Err(none()),
            };
            // Advice: where it isn't taken, things are slower.
            #[cfg(target_os = "linux")]
            let _ = map.advise(memmap2::Advice::HugePage);
            Body::Large(map)
        };
        Ok(Room { body, len })
    }

    /// Keeps the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl Default for Room {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl From<Vec<u8>> for Room {
    fn from(bytes: Vec<u8>) -> Self {
        let len = bytes.len();
        Room { body: Body::Small(bytes), len }
    }
}

impl Deref for Room {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match &self.body {
            Body::Small(bytes) => &bytes[..self.len],
            Body::Large(map) => &map[..self.len],
        }
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.body {
            Body::Small(bytes) => &mut bytes[..self.len],
            Body::Large(map) => &mut map[..self.len],
        }
    }
}

impl Zeroize for Room {
    fn zeroize(&mut self) {
        match &mut self.body {
            Body::Small(bytes) => bytes.zeroize(),
            Body::Large(map) => map[..].zeroize(),
        }
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_alike() {
        for size in [0, 1, LARGE - 1, LARGE, LARGE + 5] {
            let mut room = Room::new(size).expect("room");
            assert!(room.len() == size && room.iter().all(|b| *b == 0));
            room.fill(7);
            room.truncate(size + 1);
            assert_eq!(room.len(), size);
            room.truncate(size / 2);
            assert!(room.len() == size / 2 && room.iter().all(|b| *b == 7));
            room.zeroize();
            assert!(room.is_empty());
        }
        assert!(Room::new(usize::MAX / 4).is_err());
    }
}
