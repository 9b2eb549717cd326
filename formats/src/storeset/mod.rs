//! Generations of a store: how a new one takes the place of the current one, so that a reader that starts
//! at any moment sees one complete store, and how it is put back.
//!
//! ```text
//! lock → staged files synced → current checked → saved as NAME.old-N → one rename → folder synced
//! ```
//!
//! Where companions change with the store, as with the password of a kdb, all of it goes by one rename (`set`).
//! A store that is a folder is changed where it is (`in_place`), and its generations are copies.
//!
//! Until the rename nothing that a reader can see has changed; after it everything has. A crash leaves at
//! most a temporary file or one more name for the current store, which the next run clears or keeps.
//! Correctness hangs on file names alone; the [`Record`] beside a store is advice.

mod attributes;
mod commit;
mod files;
mod folder;
mod generations;
mod in_place;
mod lock;
mod record;
mod set;
mod staged;
#[cfg(test)]
mod tests;

pub use commit::{Commit, Committed, commit, commit_apart, not_put_back};
pub(crate) use generations::number;
pub use generations::{Generation, Rollback, generation_of, generations, prune, rollback};
pub(crate) use in_place::discard as discard_folder;
pub use in_place::{Changed, change, roll_back};
pub use lock::{Lock, ReadLock, clear_leftovers};
pub use record::{Hold, Record};
pub use staged::{Lost, Member, Note, Staged, digest, place as staged_place};

use crate::error::{Error, Kind, Result};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The steps of a commit, for failure tests and progress. Reported before each is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Owner, mode and extended attributes of the current store are given to the staged file.
    Attributes,
    /// `fsync` of a staged file.
    Sync,
    /// Check that the current store is still the one that was read.
    Check,
    /// The current store gets its second name `NAME.old-N`.
    Save,
    /// The rename.
    Rename,
    /// `fsync` of the folder.
    SyncFolder,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Step; 6] =
        [Step::Attributes, Step::Sync, Step::Check, Step::Save, Step::Rename, Step::SyncFolder];
}

/// The final path behind symbolic links, so that a rename replaces the file and not the link, with a name of
/// its own as its last part. The file need not exist.
///
/// `Kind::Read` where it is neither a file nor a folder, or can't be either.
pub fn resolve(store: &Path) -> Result<PathBuf> {
    let no = |what: &'static str| Error::new(Kind::Read, what).in_file(store);
    if store.as_os_str().as_encoded_bytes().ends_with(b"/") && !store.is_dir() {
        return Err(no("ends like a folder's name, and is none"));
    }
    let mut path = store.to_owned();
    // As many links as Linux itself follows.
    for _ in 0..40 {
        // One of ours for a moment, or until the next run after a kill: the store's name is this one.
        if path.file_name().is_some_and(|name| set::is_led(&path, name).unwrap_or(false)) {
            return Ok(path);
        }
        path = match path.file_name() {
            // A slash at the end would follow the link, and the names beside it would be names inside it.
            Some(name) => path.with_file_name(name),
            None => path.canonicalize().map_err(|_| no("names no file"))?,
        };
        match files::link(&path)? {
            Some(target) => path = folder(&path).join(target),
            // No link, or nothing there.
            None => {
                let kind = files::look(&path)?.map(|m| m.file_type());
                return match kind {
                    Some(k) if !k.is_file() && !k.is_dir() => Err(no("is not a file")),
                    _ if path.file_name().is_none() => Err(no("names no file")),
                    _ => Ok(path),
                };
            }
        }
    }
    Err(no("too many symbolic links"))
}

/// Whether there is something at `path`. Not being told is an error, not "no".
pub fn is_there(path: &Path) -> Result<bool> {
    Ok(files::look(path)?.is_some())
}

/// That what is at `path`, if anything, is a file that a rename can replace.
pub fn replaceable(path: &Path) -> Result<()> {
    match files::look(path)? {
        Some(_) if path.file_name().is_some_and(|name| set::is_led(path, name).unwrap_or(false)) => Ok(()),
        Some(meta) if !meta.is_file() => Err(Error::new(Kind::Read, "is a folder").in_file(path)),
        _ => Ok(()),
    }
}

/// Whether a name is of what this program leaves beside stores: old and staged generations, locks, temporary files,
/// records.
pub fn is_leftover(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    let numbered = name
        .rsplit_once(".old-")
        .is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    numbered || [".lock", ".tmp", ".update.json", ".staged"].iter().any(|end| name.ends_with(end))
}

/// What the names of temporary files of `store` begin with: `.NAME.`.
pub(crate) fn temp_prefix(store: &Path) -> std::ffi::OsString {
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(store.file_name().unwrap_or_default());
    prefix.push(".");
    prefix
}

/// The folder that a file is in.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// `PATH` with `suffix` after its whole name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn sync_folder(path: &Path) -> Result<()> {
    File::open(folder(path))
        .and_then(|f| f.sync_all())
        .map_err(|e| failed("the folder can't be synced", e).in_file(path))
}

fn failed(what: &str, e: std::io::Error) -> Error {
    Error::io(Kind::Write, format!("{what}: {}", crate::place::reason(&e)), e)
}
