//! Locks: `NAME.lock`, which keeps two runs of this program off one store, and the lock on the store's own
//! first byte, which other programs know.

use super::files::look;
use super::{failed, folder, set, temp_prefix, with_suffix};
use crate::error::{Error, Kind, Result};
use rustix::fs::{FlockOperation, OFlags, fcntl_lock, flock};
use rustix::io::Errno;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;
use std::time::{Duration, Instant};

/// A run, or a reader, that takes longer than this is not about to end. As long as GSKit waits.
const PATIENCE: Duration = Duration::from_secs(2);
/// Programs that start one after the other leave gaps of a few milliseconds.
const PAUSE: Duration = Duration::from_millis(2);

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
        let file = open_lock(&path, store).map_err(|e| failed("can't be locked", e).in_file(&path))?;
        match patiently(|| flock(&file, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(Error::new(Kind::Busy, "another run is at work on this store").in_file(store));
            }
            Err(e) => return Err(failed("can't be locked", e.into()).in_file(&path)),
        }
        // Before anything is cleared: the store may stand in a temporary folder.
        set::settle(store)?;
        clear(store, true);
        Ok(Lock { _file: file })
    }
}

/// Opens the lock file, or makes it: for the owner of the store, lest a run of root's lock everybody else
/// out for good.
fn open_lock(path: &Path, store: &Path) -> std::io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = File::options();
    options.read(true).write(true).mode(0o600).custom_flags(flags.bits().cast_signed());
    loop {
        match options.open(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            other => return other,
        }
        match options.clone().create_new(true).open(path) {
            // Another run was faster.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
            Ok(file) => {
                if let (Ok(own), Ok(store)) = (file.metadata(), store.symlink_metadata())
                    && own.uid() != store.uid()
                {
                    let _ = fchown(&file, Some(store.uid()), Some(store.gid()));
                }
                return Ok(file);
            }
        }
    }
}

/// Removes temporary files that killed runs have left beside `store`, where no [`Lock`] is taken: those that
/// no living run holds.
pub fn clear_leftovers(store: &Path) {
    clear(store, false);
}

fn clear(store: &Path, locked: bool) {
    let (prefix, Ok(list)) = (temp_prefix(store), std::fs::read_dir(folder(store))) else { return };
    for item in list.flatten() {
        let item_name = item.file_name();
        let bytes = item_name.as_encoded_bytes();
        let ours = bytes.strip_prefix(prefix.as_encoded_bytes()).and_then(|r| r.strip_suffix(b".tmp"));
        // Six characters are what a staged file's name has; a file of somebody else's naming stays.
        let ours = ours.is_some_and(|r| r.len() == 6 && r.iter().all(u8::is_ascii_alphanumeric));
        // A link of a set's exchange has no lock of its own: it is made by who holds the store's.
        let dead_link = locked && item.file_type().is_ok_and(|t| t.is_symlink());
        let dead_file = || item.file_type().is_ok_and(|t| t.is_file()) && is_abandoned(&item.path(), locked);
        if ours && (dead_link || dead_file()) {
            // What can't be removed does no harm.
            let _ = std::fs::remove_file(item.path());
        }
        let folder = bytes.strip_prefix(prefix.as_encoded_bytes()).and_then(|r| r.strip_suffix(b".new.tmp"));
        let ours = folder.is_some_and(|r| r.len() == 6 && r.iter().all(u8::is_ascii_alphanumeric));
        let ours = ours && !set::is_pointed_to(store, &item.path());
        if ours && item.file_type().is_ok_and(|t| t.is_dir()) && is_abandoned(&item.path(), locked) {
            let _ = std::fs::remove_dir_all(item.path());
        }
    }
}

/// Whether no run has the temporary file in its hands (see `Staging`). Where that can't be told, whoever
/// holds the store's lock may say so.
fn is_abandoned(path: &Path, locked: bool) -> bool {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    match File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path) {
        Ok(file) => match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => true,
            Err(Errno::WOULDBLOCK) => false,
            Err(_) => locked,
        },
        Err(_) => locked,
    }
}

/// The current store, opened for the lock that other programs respect: GSKit holds a read lock on its first
/// byte while reading, and a write lock while writing.
pub(super) struct Current {
    pub file: File,
    operation: FlockOperation,
}

impl Current {
    /// Opens it; `None`: there is no store.
    pub fn open(store: &Path) -> Result<Option<Current>> {
        // It may have become a pipe: don't wait for that.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let open = |write| File::options().read(true).write(write).custom_flags(flags).open(store);
        // A write lock needs a writable descriptor; a store that we may replace but not write gets a read lock,
        // which also finds another's write lock.
        let (file, operation) = match open(true) {
            Ok(file) => (file, FlockOperation::NonBlockingLockExclusive),
            Err(_) => match open(false) {
                Ok(file) => (file, FlockOperation::NonBlockingLockShared),
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
                Err(e) => return Err(failed("can't be opened again", e).in_file(store)),
            },
        };
        Ok(Some(Current { file, operation }))
    }

    /// Takes the lock; `Kind::Busy` where another program doesn't let go of its own.
    ///
    /// To be held for as short as can be: a GSKit that finds it taken looks once more, a second later, and then
    /// gives up (seen with 8.0.60.5).
    pub fn lock(&self, store: &Path) -> Result<()> {
        lock_first_byte(&self.file, self.operation).map_err(|e| e.in_file(store))
    }

    /// Lets it go.
    pub fn unlock(&self) {
        let _ = fcntl_lock(&self.file, FlockOperation::NonBlockingUnlock);
    }
}

/// Held while a store is read, so that no program that knows of locks writes to it meanwhile.
#[derive(Debug)]
pub struct ReadLock {
    _file: File,
}

impl ReadLock {
    /// Waits a moment for a writer, then fails with `Kind::Busy`. `None` where there is nothing to lock.
    ///
    /// Such locks are the process's: closing any descriptor of the store drops them all.
    pub fn take(store: &Path) -> Result<Option<ReadLock>> {
        if !look(store)?.is_some_and(|m| m.is_file()) {
            return Ok(None);
        }
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(store);
        // Whoever reads it says why it can't be opened.
        let Ok(file) = opened else { return Ok(None) };
        lock_first_byte(&file, FlockOperation::NonBlockingLockShared).map_err(|e| e.in_file(store))?;
        Ok(Some(ReadLock { _file: file }))
    }
}

fn lock_first_byte(file: &File, operation: FlockOperation) -> Result<()> {
    match patiently(|| fcntl_lock(file, operation)) {
        // File systems without locks have no programs that hold one.
        Ok(()) | Err(Errno::NOLCK | Errno::NOSYS | Errno::NOTSUP | Errno::INVAL) => Ok(()),
        Err(Errno::ACCESS | Errno::AGAIN) => {
            Err(Error::new(Kind::Busy, "another program holds a lock on it")
                .hint("nothing was written; try again when that program is done"))
        }
        Err(e) => Err(failed("can't be locked", e.into())),
    }
}

/// Tries for as long as somebody else has it, up to [`PATIENCE`].
fn patiently(mut attempt: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(Errno::AGAIN | Errno::ACCESS | Errno::INTR) if start.elapsed() < PATIENCE => {
                std::thread::sleep(PAUSE);
            }
            other => return other,
        }
    }
}
