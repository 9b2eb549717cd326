//! Generations of a store: how a new one takes the place of the current one, so that a reader that
//! starts at any moment sees one complete store, and how it is put back.
//!
//! ```text
//! Lock::take          NAME.lock: no other run of this program; leftovers of killed ones go
//! Staging::beside     .NAME.XXXXXXXX.tmp, 0600, written and read back by a job
//! commit              attributes → fsync → check → NAME.old-N → rename → fsync of the folder
//! Committed::undo     NAME.old-N back, when what follows a commit fails
//! Record::write       NAME.update.json: what the store was made from (advice only)
//! prune               old generations that are many and old enough
//! rollback            a generation back in place, later, by hand
//! ```
//!
//! The one rename is the commit: before it the old store is there, after it the new one, and whatever
//! fails puts the old one back. A store of several files ([`Staging::companion`]) commits its companions
//! first and the store last; a reader may then see new companions beside the old store for a moment, which
//! only a folder per generation would rule out.

mod attributes;
mod commit;
mod current;
mod folder;
mod generations;
mod lock;
mod record;
#[cfg(test)]
mod tests;

pub use commit::{Commit, Committed, Step, commit};
pub use generations::{Generation, generations, prune, rollback};
pub use lock::Lock;
pub use record::Record;

use crate::error::{Error, Kind, Result};
use crate::place::{folder_of, reason};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;

/// The final path behind symbolic links, so that a rename replaces the file and not the link. What the last
/// link names need not exist.
pub fn resolve(store: &Path) -> Result<PathBuf> {
    let mut path = store.to_owned();
    for _ in 0..=MAX_LINKS {
        match std::fs::read_link(&path) {
            // An absolute target replaces the folder.
            Ok(target) => path = folder_of(&path).join(target),
            // Not a link, or nothing there.
            Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotFound) => {
                return Ok(path);
            }
            Err(e) => return Err(failed(Kind::Read, "can't be resolved", &path, e)),
        }
    }
    Err(Error::new(Kind::Read, "too many symbolic links").in_file(store))
}

/// The mode a new generation gets: the current store's, 0600 when there is none. What is no file is refused.
pub fn mode_of(store: &Path) -> Result<u32> {
    match std::fs::symlink_metadata(store) {
        Ok(meta) if meta.is_file() => Ok(meta.permissions().mode() & 0o7777),
        Ok(_) => Err(not_a_file(store)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0o600),
        Err(e) => Err(failed(Kind::Read, "can't be examined", store, e)),
    }
}

/// `NAME` with `tail` after it.
fn beside(store: &Path, tail: &str) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(tail);
    PathBuf::from(name)
}

fn not_a_file(path: &Path) -> Error {
    Error::refused("not a regular file, so nothing can take its place").in_file(path)
}

fn failed(kind: Kind, what: &str, path: &Path, e: impl Into<io::Error>) -> Error {
    let e = e.into();
    Error::io(kind, format!("{what}: {}", reason(&e)), e).in_file(path)
}
