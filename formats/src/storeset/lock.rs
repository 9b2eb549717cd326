//! `NAME.lock`: keeps two runs of this program off one store.

use super::{failed, folder, with_suffix};
use crate::error::{Error, Kind, Result};
use rustix::fs::{FlockOperation, OFlags, flock};
use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// A run that takes longer than this is not about to end.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);

/// Holds the lock of one store until it is dropped. The file stays: unlinking it would let two runs hold
/// locks on two files of one name.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, waiting a moment for another run; `Kind::Busy` if that doesn't end. Then removes what
    /// a killed run has left: `.NAME.*.tmp` files from before.
    pub fn take(store: &Path) -> Result<Lock> {
        let path = with_suffix(store, ".lock");
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(flags.bits().cast_signed())
            .open(&path)
            .map_err(|e| failed("can't be locked", e).in_file(&path))?;
        let start = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR)
                    if start.elapsed() < PATIENCE =>
                {
                    std::thread::sleep(PAUSE);
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(Error::new(Kind::Busy, "another run is at work on this store").in_file(store));
                }
                Err(e) => return Err(failed("can't be locked", e.into()).in_file(&path)),
            }
        }
        clear_leftovers(store, &file);
        Ok(Lock { _file: file })
    }
}

/// Removes temporary files of runs that were killed. What can't be removed does no harm.
fn clear_leftovers(store: &Path, lock: &File) {
    let (Some(name), Ok(list), Ok(own)) =
        (store.file_name(), std::fs::read_dir(folder(store)), lock.metadata())
    else {
        return;
    };
    let mut prefix = b".".to_vec();
    prefix.extend_from_slice(name.as_encoded_bytes());
    prefix.push(b'.');
    for item in list.flatten() {
        let item_name = item.file_name();
        let bytes = item_name.as_encoded_bytes();
        let ours = bytes.strip_prefix(prefix.as_slice()).and_then(|r| r.strip_suffix(b".tmp"));
        // Six characters are what a staged file's name has; a file of somebody else's naming stays.
        let ours = ours.is_some_and(|r| r.len() == 6 && r.iter().all(u8::is_ascii_alphanumeric));
        if ours && item.metadata().is_ok_and(|m| m.is_file() && m.uid() == own.uid()) {
            let _ = std::fs::remove_file(item.path());
        }
    }
}
