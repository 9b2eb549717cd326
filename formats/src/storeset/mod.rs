//! Generations of a store: how a new one takes the place of the current one, so that a reader that starts
//! at any moment sees one complete store, and how it is put back.
//!
//! ```text
//! lock → staged files synced → current checked → saved as NAME.old-N → one rename → folder synced
//! ```
//!
//! Until the rename nothing that a reader can see has changed; after it everything has. A crash leaves at
//! most a temporary file or one more name for the current store, which the next run clears or keeps.
//! Correctness hangs on file names alone; the [`Record`] beside a store is advice.

mod attributes;
mod commit;
mod generations;
mod lock;
mod record;
#[cfg(test)]
mod tests;

pub use attributes::mode_of;
pub use commit::{Commit, Committed, commit};
pub use generations::{Generation, generations, prune, rollback};
pub use lock::Lock;
pub use record::Record;

use crate::error::{Error, Kind, Result};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The steps of a commit, for failure tests and progress. Reported before each is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `fsync` of a staged file.
    Sync,
    /// Owner and extended attributes of the current store are given to the staged file.
    Attributes,
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
        [Step::Sync, Step::Attributes, Step::Check, Step::Save, Step::Rename, Step::SyncFolder];
}

/// The final path behind symbolic links, so that a rename replaces the file and not the link. The file
/// need not exist.
pub fn resolve(store: &Path) -> Result<PathBuf> {
    let mut path = store.to_owned();
    // As many links as Linux itself follows.
    for _ in 0..40 {
        match std::fs::read_link(&path) {
            Ok(target) => path = folder(&path).join(target),
            // No link, or nothing there.
            Err(_) => return Ok(path),
        }
    }
    Err(Error::new(Kind::Read, "too many symbolic links").in_file(store))
}

/// The folder that a file is in.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// `PATH` with `suffix` after its whole name.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
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
