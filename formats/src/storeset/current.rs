//! The store that is in place now: opened once, held against other programs, compared with what was read.

use super::{failed, not_a_file};
use crate::error::{Error, Kind, Result};
use crate::place::Identity;
use rustix::fs::{FlockOperation, OFlags, fcntl_lock};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a client that is just loading the store may hold its lock (GSKit loads in milliseconds).
const PATIENCE: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(10);

/// The current store. While a value lives, nothing else in this process may close a descriptor of the same
/// file: that would drop the POSIX lock.
#[derive(Debug)]
pub(super) struct Current {
    pub file: File,
    pub identity: Identity,
    path: PathBuf,
    /// Opened for writing, as a write lock needs it; nothing is ever written.
    writable: bool,
}

impl Current {
    /// Opens what is at `path`; `None` when nothing is. A link or folder there is refused.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let open = |write| File::options().read(true).write(write).custom_flags(flags).open(path);
        let mut opened = open(true);
        let writable = opened.is_ok();
        if !writable {
            opened = open(false);
        }
        let file = match opened {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) if Errno::from_io_error(&e) == Some(Errno::LOOP) => return Err(not_a_file(path)),
            Err(e) => return Err(failed(Kind::Read, "can't be opened", path, e)),
        };
        let meta = file.metadata().map_err(|e| failed(Kind::Read, "can't be examined", path, e))?;
        if !meta.is_file() {
            return Err(not_a_file(path));
        }
        Ok(Some(Current { file, identity: Identity::of(&meta), path: path.to_owned(), writable }))
    }

    /// Takes the lock that GSKit and its tools respect: a POSIX lock that covers byte 0. A write lock, which
    /// also waits for readers; a read lock where the file may not be opened for writing. Ends with the value.
    pub fn hold(&self) -> Result<()> {
        let kind = if self.writable {
            FlockOperation::NonBlockingLockExclusive
        } else {
            FlockOperation::NonBlockingLockShared
        };
        let give_up = Instant::now() + PATIENCE;
        loop {
            match fcntl_lock(&self.file, kind) {
                Ok(()) => return Ok(()),
                Err(Errno::AGAIN | Errno::ACCESS) if Instant::now() < give_up => std::thread::sleep(PAUSE),
                Err(Errno::AGAIN | Errno::ACCESS) => {
                    return Err(Error::new(Kind::Busy, "another program holds a lock on it")
                        .hint("try again when that program has finished")
                        .in_file(&self.path));
                }
                Err(Errno::INTR) => {}
                // A file system without locks: nobody can hold one.
                Err(Errno::NOLCK | Errno::NOTSUP | Errno::NOSYS | Errno::INVAL) => return Ok(()),
                Err(e) => return Err(failed(Kind::Read, "can't be locked", &self.path, e)),
            }
        }
    }

    /// `Kind::Busy` unless the file is still in place, unchanged since it was `expected`, and holds the
    /// content that has `digest` (SHA-256).
    pub fn check(&self, expected: Identity, digest: Option<[u8; 32]>) -> Result<()> {
        let opened = self.file.metadata().map(|m| Identity::of(&m));
        let in_place = self.path.symlink_metadata().map(|m| Identity::of(&m));
        if opened.ok() != Some(expected) || in_place.ok() != Some(expected) {
            return Err(changed(&self.path));
        }
        match digest {
            Some(digest) if self.sha256()? != digest => Err(changed(&self.path)),
            _ => Ok(()),
        }
    }

    /// SHA-256 of the content.
    pub fn sha256(&self) -> Result<[u8; 32]> {
        let mut hash = Sha256::new();
        self.each_part(|part| {
            hash.update(part);
            Ok(())
        })?;
        Ok(hash.finalize().into())
    }

    /// Hands the content to `f` piece by piece. Through the one descriptor, for closing another would drop
    /// the lock.
    pub fn each_part(&self, mut f: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut buffer = zeroize::Zeroizing::new(vec![0; 64 * 1024]);
        let mut at = 0;
        loop {
            match self.file.read_at(&mut buffer, at) {
                Ok(0) => return Ok(()),
                Ok(n) => {
                    f(buffer.get(..n).unwrap_or_default())?;
                    at += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(failed(Kind::Read, "can't be read", &self.path, e)),
            }
        }
    }
}

/// Somebody else was at the store.
pub(super) fn changed(path: &Path) -> Error {
    Error::new(Kind::Busy, "changed by another program while this one worked")
        .hint("run again, so that the change is taken into account")
        .in_file(path)
}
