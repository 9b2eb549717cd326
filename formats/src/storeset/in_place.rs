//! Stores that are folders and are changed where they are: their generations are copies, and going back is
//! a change like any other.
//!
//! ```text
//! copied into a temporary folder, synced → NAME.old-N by one rename → one transaction in the store
//! ```
//!
//! A file in each copy says which state of the store it is equal to: the one that it was made of, or the one
//! that a rollback to it gave. It is believed only together with the contents.

use super::generations::{Generation, generations, next_number, old_name};
use super::{Step, commit, failed, files, folder, sync_folder};
use crate::error::{Error, Kind, Result};
use crate::format::InPlace;
use crate::place::Staging;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::cell::RefCell;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

/// The file in a copy that makes it one of ours.
pub(super) const MARK: &str = "keyferry.state";
/// A longer mark is none.
const LONGEST_MARK: u64 = 4096;

/// A store that was changed where it is, so that the change can be taken back.
#[must_use]
pub struct Changed<'a> {
    store: PathBuf,
    in_place: &'a dyn InPlace,
    saved: Copied,
    /// What the change gave.
    after: String,
}

impl Changed<'_> {
    /// The saved old generation.
    pub fn old(&self) -> &Path {
        &self.saved.path
    }

    /// Makes the store hold what it held before. What somebody else has written since stays as a generation.
    pub fn undo(self) -> Result<()> {
        if self.in_place.state(&self.store)? != self.after {
            let _ = save(&self.store, self.in_place)?;
        }
        put_back(&self.store, self.in_place, &self.saved.path)?;
        self.saved.forget();
        Ok(())
    }
}

/// A copy of a store as it is now.
#[derive(Debug)]
struct Copied {
    path: PathBuf,
    /// It was there before.
    already: bool,
}

impl Copied {
    /// The store is what it was; a copy that was made for nothing goes.
    fn forget(&self) {
        if !self.already {
            let _ = delete(&self.path);
        }
    }
}

/// Lets `apply` change a store where it is. It is handed what to call before it changes anything, which saves
/// the store as an old generation. `None`: it had nothing to change.
pub fn change<'a>(
    store: &Path,
    in_place: &'a dyn InPlace,
    on_step: &dyn Fn(Step) -> Result<()>,
    apply: impl FnOnce(&dyn Fn() -> Result<()>) -> Result<()>,
) -> Result<Option<Changed<'a>>> {
    let saved = RefCell::new(None);
    let before = || {
        on_step(Step::Save)?;
        saved.replace(Some(save(store, in_place)?));
        on_step(Step::Rename)
    };
    let outcome = apply(&before);
    let Some(saved) = saved.into_inner() else { return outcome.map(|()| None) };
    if let Err(e) = outcome {
        return Err(taken_back(store, in_place, &saved, e));
    }
    // Where it can't be had, taking the change back keeps what is there then.
    let after = in_place.state(store).unwrap_or_default();
    Ok(Some(Changed { store: store.to_owned(), in_place, saved, after }))
}

/// After a change that failed. SQLite can say so of one that was made: when it was, but its name's being gone
/// could not be synced. Then it is taken back.
fn taken_back(store: &Path, in_place: &dyn InPlace, saved: &Copied, cause: Error) -> Error {
    let back = || {
        in_place.recover(store)?;
        // Where the store was found changed by somebody else, nothing of ours was written.
        if cause.kind() == Kind::Write && !in_place.is_same(store, &saved.path)? {
            let _ = save(store, in_place)?;
            put_back(store, in_place, &saved.path)?;
        }
        Ok(())
    };
    match back() {
        Ok(()) => {
            saved.forget();
            cause
        }
        Err(e) => commit::not_put_back(&cause, &e),
    }
}

/// Makes a store hold what an old generation holds and returns that one. See [`super::rollback`], which this
/// is for stores that are changed where they are. An error of `inspect` stops it before anything is done.
pub fn roll_back(
    store: &Path,
    in_place: &dyn InPlace,
    inspect: &dyn Fn(&Generation) -> Result<()>,
    on_step: &dyn Fn(Step) -> Result<()>,
) -> Result<PathBuf> {
    in_place.recover(store)?;
    let all = generations(store)?;
    let state = in_place.state(store)?;
    let mut now = None;
    for generation in &all {
        if is_copy(store, in_place, &state, &generation.path)? {
            now = Some(generation);
            break;
        }
    }
    let target = all
        .iter()
        .find(|g| now.is_none_or(|n| g.number < n.number))
        .ok_or_else(|| Error::refused("there is no older generation to go back to").in_file(store))?;
    inspect(target)?;
    let saved = match now {
        Some(now) => Copied { path: now.path.clone(), already: true },
        None => {
            on_step(Step::Save)?;
            save(store, in_place)?
        }
    };
    let back = on_step(Step::Rename).and_then(|()| put_back(store, in_place, &target.path));
    back.map_err(|e| taken_back(store, in_place, &saved, e))?;
    Ok(target.path.clone())
}

fn put_back(store: &Path, in_place: &dyn InPlace, copy: &Path) -> Result<()> {
    let marked = |state: &str| mark(copy, state).map_err(|e| failed("the generation can't be marked", e));
    in_place.restore(store, copy, &|state| marked(state).map_err(|e| e.in_file(copy)))?;
    // Where it came out otherwise (a log was put away, say).
    let state = in_place.state(store)?;
    if read_mark(copy).as_deref() != Some(&*state) {
        let _ = marked(&state);
    }
    Ok(())
}

/// Brings a store back that is gone, from a copy of it.
pub(super) fn bring_back(store: &Path, copy: &Path, on_step: &dyn Fn(Step) -> Result<()>) -> Result<()> {
    let how = commit::Commit { store, expected: None, content: None, companions: &[], on_step };
    commit::commit(copied(store, copy, &[MARK])?, &how).map(drop)
}

/// A store staged with the files of the folder `copy`, without those called `except`.
pub(super) fn copied(store: &Path, copy: &Path, except: &[&str]) -> Result<Staging> {
    let unread = |e| failed("can't be copied", e).in_file(copy);
    let mut staging = Staging::beside(store);
    let to = staging.folder()?;
    for item in std::fs::read_dir(copy).map_err(unread)? {
        let item = item.map_err(unread)?;
        if except.iter().any(|e| item.file_name() == *e) || !item.file_type().map_err(unread)?.is_file() {
            continue;
        }
        let mut from = File::open(item.path()).map_err(unread)?;
        let mut new = new_file(&to.join(item.file_name())).map_err(unread)?;
        std::io::copy(&mut from, &mut new).map_err(unread)?;
    }
    give(to, copy);
    Ok(staging)
}

/// Whether a generation holds what the store held in that state (see [`InPlace::state`]).
pub(super) fn is_of_state(copy: &Path, state: &str) -> bool {
    read_mark(copy).as_deref() == Some(state)
}

/// Whether `copy` is what the store holds now, by its mark and by its contents.
fn is_copy(store: &Path, in_place: &dyn InPlace, state: &str, copy: &Path) -> Result<bool> {
    Ok(read_mark(copy).as_deref() == Some(state) && in_place.is_same(store, copy)?)
}

/// Copies the store into the first free `NAME.old-N`, unless the newest generation is what it holds already.
fn save(store: &Path, in_place: &dyn InPlace) -> Result<Copied> {
    let all = generations(store)?;
    let state = in_place.state(store)?;
    if let Some(Generation { path, .. }) = all.first()
        && is_copy(store, in_place, &state, path)?
    {
        return Ok(Copied { path: path.clone(), already: true });
    }
    let unsaved = |e| failed("the current store can't be kept as an old generation", e).in_file(store);
    let mut staging = Staging::beside(store);
    let temp = staging.folder()?.to_owned();
    in_place.copy(store, &temp)?;
    mark(&temp, &state).map_err(unsaved)?;
    give(&temp, store);
    sync_all(&temp).map_err(unsaved)?;
    for number in next_number(&all)..=next_number(&all).saturating_add(1000) {
        let path = old_name(store, number);
        match move_to_free(&temp, &path) {
            Ok(()) => {
                // The name is gone; whatever gets it next isn't ours to delete.
                let _ = staging.take_folder().map(|(folder, _)| folder.keep());
                sync_folder(store).inspect_err(|_| drop(delete(&path)))?;
                return Ok(Copied { path, already: false });
            }
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(unsaved(e)),
        }
    }
    Err(Error::new(Kind::Write, "no number is free for an old generation").in_file(store))
}

pub(super) fn move_to_free(from: &Path, to: &Path) -> std::io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // A file system that doesn't know the flag.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if to.symlink_metadata().is_err() => {
            std::fs::rename(from, to)
        }
        Err(e) => Err(e.into()),
    }
}

/// A folder and what is in it belong to whom the store does, as far as that is allowed.
fn give(to: &Path, like: &Path) {
    let (Ok(want), Ok(have)) = (like.metadata(), to.metadata()) else { return };
    if (want.uid(), want.gid()) == (have.uid(), have.gid()) {
        return;
    }
    let owner = |path: &Path| drop(chown(path, Some(want.uid()), Some(want.gid())));
    for item in std::fs::read_dir(to).into_iter().flatten().flatten() {
        owner(&item.path());
    }
    owner(to);
}

pub(super) fn sync_all(folder: &Path) -> std::io::Result<()> {
    for item in std::fs::read_dir(folder)? {
        File::open(item?.path())?.sync_all()?;
    }
    File::open(folder)?.sync_all()
}

fn new_file(path: &Path) -> std::io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

/// Writes the mark by one rename.
fn mark(copy: &Path, state: &str) -> std::io::Result<()> {
    let mut temp = tempfile::Builder::new().prefix(".keyferry.").suffix(".tmp").tempfile_in(copy)?;
    writeln!(temp, "{state}")?;
    temp.persist(copy.join(MARK))?;
    Ok(())
}

fn read_mark(copy: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(copy.join(MARK)).ok()?.take(LONGEST_MARK).read_to_string(&mut text).ok()?;
    Some(text.trim_end().to_owned())
}

/// Whether a folder is a generation of ours, and since when, in milliseconds since 1970: nothing in it but
/// its mark ever changes.
pub(super) fn saved_ms(path: &Path) -> Option<i64> {
    if !files::look(&path.join(MARK)).ok()?.is_some_and(|m| m.is_file()) {
        return None;
    }
    let items = std::fs::read_dir(path).ok()?.flatten();
    let times = items.filter(|i| i.file_name() != MARK).filter_map(|i| i.metadata().ok());
    times.map(|m| m.ctime().saturating_mul(1000).saturating_add(m.ctime_nsec() / 1_000_000)).min()
}

/// Deletes a copy; first its name, so that what is left of it when that is interrupted is no generation.
pub(super) fn delete(path: &Path) -> std::io::Result<()> {
    // The name that the next run clears away: of the store that it is a generation of.
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    discard(path, &path.with_file_name(name.rsplit_once(".old-").map_or(&*name, |(store, _)| store)))
}

/// Deletes a folder of files that belongs to `store`, first its name. One with a folder in it isn't ours.
pub(crate) fn discard(path: &Path, store: &Path) -> std::io::Result<()> {
    let items = std::fs::read_dir(path)?.collect::<std::io::Result<Vec<_>>>()?;
    if items.iter().any(|i| i.file_type().is_ok_and(|t| t.is_dir())) {
        return Err(std::io::Error::new(ErrorKind::DirectoryNotEmpty, "there is a folder in it"));
    }
    let gone = tempfile::Builder::new()
        .prefix(&super::temp_prefix(store))
        .suffix(".new.tmp")
        .make_in(folder(path), |to| move_to_free(path, to))?;
    // Dropping it would take it for a file.
    let gone = gone.into_temp_path().keep().map_err(|e| e.error)?;
    std::fs::remove_dir_all(gone)
}
