//! A store that is a folder: built beside its place and renamed into it. Only a new one: what is there is
//! changed where it is, for a program may have it open, or keep other things in it.

use super::commit::{Commit, changed};
use super::{Step, failed, sync_folder};
use crate::error::Result;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::fs::File;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Moves `staged` to where no store is; an empty folder there is replaced. Returns the files in it.
pub(super) fn commit(staged: TempDir, how: &Commit<'_>) -> Result<Vec<PathBuf>> {
    let unsynced = |e| failed("can't be synced", e).in_file(how.store);
    (how.on_step)(Step::Sync)?;
    let mut files = Vec::new();
    for item in std::fs::read_dir(staged.path()).map_err(unsynced)? {
        let item = item.map_err(unsynced)?;
        File::open(item.path()).and_then(|f| f.sync_all()).map_err(unsynced)?;
        files.push(how.store.join(item.file_name()));
    }
    File::open(staged.path()).and_then(|f| f.sync_all()).map_err(unsynced)?;
    (how.on_step)(Step::Check)?;
    (how.on_step)(Step::Rename)?;
    rename(staged.path(), how.store).map_err(|e| match Errno::from_io_error(&e) {
        Some(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => changed(how.store),
        _ => failed("can't be moved into place", e).in_file(how.store),
    })?;
    // The name is gone; whatever gets it next isn't ours to delete.
    let _ = staged.keep();
    (how.on_step)(Step::SyncFolder).and_then(|()| sync_folder(how.store)).or_else(|e| {
        delete(&files).map_err(|f| super::not_put_back(&e, &f))?;
        Err(e)
    })?;
    Ok(files)
}

/// Over nothing, or over an empty folder; the system refuses all else.
fn rename(from: &Path, to: &Path) -> std::io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // An empty folder, or a file system that doesn't know the flag.
        Err(Errno::EXIST | Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => std::fs::rename(from, to),
        Err(e) => Err(e.into()),
    }
}

/// Deletes a folder that a commit made, and only what it put there.
pub(super) fn delete(files: &[PathBuf]) -> Result<()> {
    let Some(folder) = files.first().and_then(|f| f.parent()) else { return Ok(()) };
    let gone = files.iter().try_for_each(std::fs::remove_file).and_then(|()| std::fs::remove_dir(folder));
    gone.map_err(|e| failed("can't be deleted", e).in_file(folder))
}
