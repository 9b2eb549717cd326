//! GSKit's locks: a POSIX lock on the first byte, shared while a program reads the file, exclusive for as
//! long as a key management tool has it open.

use crate::place::Source;
use rustix::fs::{FlockOperation, fcntl_lock};
use std::fs::File;
use std::time::Duration;

/// The shared lock of one file; released on drop.
pub struct Shared<'a> {
    held: Option<&'a File>,
    /// It was not had: somebody has the file open for changes.
    pub refused: bool,
}

/// A program that just starts holds the lock for a moment; a tool that has the store open holds it on.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);

/// Takes the shared lock that GSKit takes to read. Where a tool has the store open it is not had: what is
/// read then proves itself by its integrity value or not at all. Not every file system has locks.
pub fn shared(source: &Source) -> Shared<'_> {
    let Some(file) = source.file() else { return Shared { held: None, refused: false } };
    for attempt in 0..TRIES {
        match fcntl_lock(file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => return Shared { held: Some(file), refused: false },
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => {}
            Err(_) => return Shared { held: None, refused: false },
        }
        if attempt + 1 < TRIES {
            std::thread::sleep(PAUSE);
        }
    }
    Shared { held: None, refused: true }
}

impl Drop for Shared<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.held {
            let _ = fcntl_lock(file, FlockOperation::NonBlockingUnlock);
        }
    }
}
