//! The lock that keeps two runs of this program from working on one store, and what a killed run left.

use super::{beside, failed};
use crate::error::{Error, Kind, Result};
use crate::place::{folder_of, is_temporary, is_temporary_folder};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::{DirEntry, File};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// How long another run may take to finish.
const PATIENCE: Duration = Duration::from_millis(1500);
const PAUSE: Duration = Duration::from_millis(25);

/// Holds `NAME.lock`, so that two runs of this program don't work on one store. Released on drop, and by the
/// system when the process ends in any way. The file stays: were it deleted, two runs could each hold a lock
/// on a different one.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes it or, after a short wait, fails with `Kind::Busy`. `store` is a path that
    /// [`super::resolve`] gave. Temporary files that killed runs left for this store are deleted.
    pub fn take(store: &Path) -> Result<Lock> {
        let path = beside(store, ".lock");
        let give_up = Instant::now() + PATIENCE;
        loop {
            let file = open(&path, store)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_at(&file, &path) => {
                    clean(store);
                    return Ok(Lock { _file: file });
                }
                // Somebody deleted the file meanwhile: another run may hold a lock on a new one.
                Ok(()) | Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) if Instant::now() < give_up => std::thread::sleep(PAUSE),
                Err(Errno::WOULDBLOCK) => {
                    return Err(Error::new(Kind::Busy, "locked by another run that works on this store")
                        .hint("wait until it has finished; the lock ends with its process")
                        .in_file(&path));
                }
                Err(e) => return Err(failed(Kind::Write, "can't be locked", &path, e)),
            }
        }
    }
}

fn open(path: &Path, store: &Path) -> Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = File::options();
    options.read(true).write(true).custom_flags(flags).mode(0o600);
    let made = options.clone().create_new(true).open(path);
    let file = match made {
        Ok(file) => {
            hand_over(&file, store);
            return Ok(file);
        }
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => options.create(true).open(path),
        Err(e) => Err(e),
    };
    match file {
        Ok(file) if file.metadata().is_ok_and(|m| m.is_file()) => Ok(file),
        Ok(_) => Err(Error::refused("not a regular file, so it can't be the store's lock").in_file(path)),
        Err(e) if e.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            Err(Error::refused("a symbolic link, so it can't be the store's lock").in_file(path))
        }
        Err(e) => Err(failed(Kind::Write, "can't be opened", path, e)),
    }
}

/// A run by root must not shut the store's owner out of later ones. That the new lock can't be given away
/// hinders nothing now.
fn hand_over(lock: &File, store: &Path) {
    let owner = store.symlink_metadata().or_else(|_| folder_of(store).metadata());
    if let (Ok(owner), Ok(own)) = (owner, lock.metadata())
        && own.uid() == 0
        && owner.uid() != 0
    {
        let _ = fchown(lock, Some(owner.uid()), Some(owner.gid()));
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.symlink_metadata()) {
        (Ok(a), Ok(b)) => a.dev() == b.dev() && a.ino() == b.ino(),
        _ => false,
    }
}

/// Deletes temporary files and folders of runs that ended before this one took the lock. One that can't be deleted
/// hinders nothing.
fn clean(store: &Path) {
    let now = SystemTime::now();
    let record = super::record::path_of(store);
    let names: Vec<_> = [store, &record].iter().filter_map(|p| p.file_name()).collect();
    let Ok(listing) = std::fs::read_dir(folder_of(store)) else {
        return;
    };
    let is_ours = |of: fn(&OsStr, &OsStr) -> bool, item: &DirEntry| names.iter().any(|n| of(&item.file_name(), n));
    for item in listing.flatten() {
        let Ok(meta) = item.metadata() else { continue };
        if !meta.modified().is_ok_and(|t| t < now) {
            continue;
        }
        if meta.is_file() && is_ours(is_temporary, &item) {
            let _ = std::fs::remove_file(item.path());
        } else if meta.is_dir() && is_ours(is_temporary_folder, &item) {
            let _ = std::fs::remove_dir_all(item.path());
        }
    }
}
