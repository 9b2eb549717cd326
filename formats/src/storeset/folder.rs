//! A store that is a folder: built beside its place and renamed into it. Only a new one: what is there is
//! changed where it is, for a program may have it open, or keep other things in it.

use super::commit::{Commit, Committed, Step, appeared, open_folder, rename_to_new, sync_folder};
use super::failed;
use crate::error::{Kind, Result};
use rustix::io::Errno;
use std::fs::File;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Moves `staged` to where no store is; an empty folder there is replaced.
pub(super) fn commit(staged: TempDir, how: &Commit<'_>) -> Result<Committed> {
    let cannot = |e| failed(Kind::Write, "can't be synced", how.store, e);
    (how.on_step)(Step::Sync)?;
    let mut files = Vec::new();
    for item in std::fs::read_dir(staged.path()).map_err(cannot)? {
        let item = item.map_err(cannot)?;
        File::open(item.path()).and_then(|f| f.sync_all()).map_err(cannot)?;
        files.push(how.store.join(item.file_name()));
    }
    File::open(staged.path()).and_then(|f| f.sync_all()).map_err(cannot)?;
    // Opened first: what can't be opened can't be synced after the rename.
    let around = open_folder(how.store)?;
    (how.on_step)(Step::Check)?;
    (how.on_step)(Step::Rename)?;
    let renamed = match rename_to_new(staged.path(), how.store) {
        // The system refuses where the folder that is there isn't empty.
        Err(e) if is(&e, &[Errno::EXIST]) => std::fs::rename(staged.path(), how.store),
        other => other,
    };
    renamed.map_err(|e| {
        if is(&e, &[Errno::EXIST, Errno::NOTEMPTY, Errno::NOTDIR]) {
            appeared(how.store)
        } else {
            failed(Kind::Write, "the new store can't get its name", how.store, e)
        }
    })?;
    // The name is gone; whatever gets it next isn't ours to delete.
    let _ = staged.keep();
    (how.on_step)(Step::SyncFolder)?;
    sync_folder(&around, how.store)?;
    Ok(Committed::of_folder(how.store.to_owned(), files))
}

/// Deletes a folder that a commit made, and only what it put there.
pub(super) fn delete(folder: &Path, files: &[PathBuf]) -> std::io::Result<()> {
    for file in files {
        std::fs::remove_file(file)?;
    }
    std::fs::remove_dir(folder)
}

fn is(e: &std::io::Error, any: &[Errno]) -> bool {
    Errno::from_io_error(e).is_some_and(|e| any.contains(&e))
}
