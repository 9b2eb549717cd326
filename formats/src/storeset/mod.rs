//! Generations of a store: how a new one takes the place of the current one, so that a reader that
//! starts at any moment sees one complete store, and how it is put back.

use crate::error::{Error, Result};
use crate::place::{Identity, Staging};
use std::path::{Path, PathBuf};

/// The steps of a commit, for failure tests and progress. Called before the step is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `fsync` of each staged file.
    Sync,
    /// Check that the current store is still the one that was read.
    Check,
    /// Give the current store its second name `NAME.old-N`.
    Save,
    /// The one rename.
    Rename,
    /// `fsync` of the folder.
    SyncFolder,
    /// Delete old generations.
    Prune,
}

/// Holds `NAME.lock`, so that two runs of this program don't work on one store. Released on drop.
#[derive(Debug)]
pub struct Lock;

impl Lock {
    /// Takes it or fails with `Kind::Busy`.
    pub fn take(_store: &Path) -> Result<Lock> {
        Ok(Lock)
    }
}

/// How a commit goes.
pub struct Commit<'a> {
    /// The store, links resolved (see [`resolve`]).
    pub store: &'a Path,
    /// What the current store was when it was read; `None`: there was none.
    pub expected: Option<Identity>,
    /// Called before each step; an error stops there.
    pub on_step: &'a dyn Fn(Step) -> Result<()>,
}

/// Moves what was staged into place; returns the name of the saved old generation, if there was one.
pub fn commit(_staged: Staging, _how: &Commit<'_>) -> Result<Option<PathBuf>> {
    Err(Error::unsupported("not yet"))
}

/// The final path behind symbolic links, so that a rename replaces the file and not the link.
pub fn resolve(store: &Path) -> Result<PathBuf> {
    Ok(store.to_owned())
}

/// The mode a new generation gets: the current store's, 0600 when there is none.
pub fn mode_of(_store: &Path) -> Result<u32> {
    Ok(0o600)
}

/// One old generation.
#[derive(Clone, Debug)]
pub struct Generation {
    /// N of `NAME.old-N`; higher is newer.
    pub number: u64,
    /// Its path.
    pub path: PathBuf,
    /// When it was made a generation (its change time), in milliseconds since 1970.
    pub saved_ms: i64,
}

/// The old generations of a store, newest first.
pub fn generations(_store: &Path) -> Result<Vec<Generation>> {
    Ok(Vec::new())
}

/// Deletes old generations beyond `keep` that are older than `min_age_ms`; returns what was deleted.
/// With `dry_run` only says what would be.
pub fn prune(
    _store: &Path,
    _keep: usize,
    _min_age_ms: i64,
    _now_ms: i64,
    _dry_run: bool,
) -> Result<Vec<PathBuf>> {
    Ok(Vec::new())
}

/// Puts the newest old generation back in place by one rename; the current one becomes a generation
/// that a second rollback does not return to. Returns the generation that is current now.
pub fn rollback(_store: &Path, _on_step: &dyn Fn(Step) -> Result<()>) -> Result<PathBuf> {
    Err(Error::unsupported("not yet"))
}

/// The newest generation back in place after a failed `--exec`, as if the commit had not been.
pub fn undo(_store: &Path, _saved: Option<&Path>) -> Result<()> {
    Err(Error::unsupported("not yet"))
}

/// Stub.
pub struct Record {
    /// Stub.
    pub inputs_sha256: String,
    /// Stub.
    pub store_sha256: String,
}
impl Record {
    /// Stub.
    pub fn read(_: &Path) -> Option<Record> {
        None
    }
    /// Stub.
    pub fn made(inputs_sha256: String, store_sha256: String, _: i64) -> Record {
        Record { inputs_sha256, store_sha256 }
    }
    /// Stub.
    pub fn write(&self, _: &Path) -> Result<()> {
        Ok(())
    }
}
