//! GSKit's locks: a POSIX lock on the first byte, shared while a program reads the file, exclusive for as
//! long as a key management tool has it open.

use crate::place::Source;
use rustix::fs::{FlockOperation, fcntl_lock};
use std::fs::File;
use std::time::Duration;

/// How asking for the shared lock ended.
pub enum Shared<'a> {
    /// Held; released when this is dropped.
    Held(Held<'a>),
    /// Somebody has the file open for changes.
    Refused,
    /// No file, or a file system without locks.
    Impossible,
}

/// A lock that is held.
pub struct Held<'a>(&'a File);

/// A program that just starts holds the lock for a moment; a tool that has the store open holds it on.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);

/// Takes the shared lock that GSKit takes to read. Where a tool has the store open it is not had: what is
/// read then proves itself by its integrity value or not at all.
pub fn shared(source: &Source) -> Shared<'_> {
    let Some(file) = source.file() else { return Shared::Impossible };
    for attempt in 0..TRIES {
        match fcntl_lock(file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => return Shared::Held(Held(file)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => {}
            Err(_) => return Shared::Impossible,
        }
        if attempt + 1 < TRIES {
            std::thread::sleep(PAUSE);
        }
    }
    Shared::Refused
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let _ = fcntl_lock(self.0, FlockOperation::NonBlockingUnlock);
    }
}
