//! The commit: what was staged becomes the current store by one rename.

use super::generations::{generations, old_name};
use super::{Step, attributes, failed, sync_folder};
use crate::error::{Error, Kind, Result};
use crate::place::{Identity, Staging};
use rustix::fs::{CWD, FlockOperation, OFlags, RenameFlags, fcntl_lock, renameat_with};
use rustix::io::Errno;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// How a commit goes.
pub struct Commit<'a> {
    /// The store, links resolved (see [`super::resolve`]).
    pub store: &'a Path,
    /// What the current store was when it was read; `None`: there was none.
    pub expected: Option<Identity>,
    /// Called before each step; an error stops there.
    pub on_step: &'a dyn Fn(Step) -> Result<()>,
}

/// What a commit did, so that it can be taken back.
#[derive(Debug)]
#[must_use]
pub struct Committed {
    /// The saved old generation, where there was a store before.
    pub old: Option<PathBuf>,
    /// Every file that was put in place, with the name under which the one before is saved.
    moved: Vec<(PathBuf, Option<PathBuf>)>,
}

impl Committed {
    /// Puts everything back as it was before the commit.
    pub fn undo(self) -> Result<()> {
        put_back(&self.moved)
    }
}

/// Moves what was staged into place: companions first, the store itself last, each by one rename.
///
/// Fails with `Kind::Busy` where the store is no longer the one that was read or another program holds a
/// lock on it, with `Kind::Write` where the system refuses; the store then is as it was.
pub fn commit(staged: Staging, how: &Commit<'_>) -> Result<Committed> {
    let named = |e: Error| e.in_file(how.store);
    let mut files = staged.into_files().map_err(named)?;
    // The store itself decides what readers see, so it comes last.
    files.sort_by_key(|(suffix, _)| suffix.is_none());
    for (_, temp) in &files {
        (how.on_step)(Step::Sync)?;
        temp.as_file().sync_all().map_err(|e| named(failed("can't be synced", e)))?;
    }
    let current = open_current(how)?;
    if let Some(current) = &current {
        (how.on_step)(Step::Attributes)?;
        for (_, temp) in &files {
            attributes::copy(current, temp.as_file()).map_err(named)?;
        }
    }
    (how.on_step)(Step::Check)?;
    check(how, current.as_ref())?;
    let mut done = Committed { old: None, moved: Vec::new() };
    match move_all(files, how, &mut done) {
        // The lock on the current store is held until the rename is through.
        Ok(()) => {
            drop(current);
            Ok(done)
        }
        Err(e) => {
            let restored = put_back(&done.moved);
            Err(named(match restored {
                Ok(()) => e,
                Err(f) => {
                    Error::new(Kind::Write, format!("{}; and it could not be put back: {f}", e.message()))
                        .caused_by(e)
                }
            }))
        }
    }
}

fn move_all(
    files: Vec<(Option<String>, NamedTempFile)>,
    how: &Commit<'_>,
    done: &mut Committed,
) -> Result<()> {
    let number = generations(how.store)?.first().map_or(1, |g| g.number + 1);
    for (suffix, temp) in files {
        let main = suffix.is_none();
        let place = suffix.map_or_else(|| how.store.to_owned(), |s| how.store.with_extension(s));
        let exists = place.symlink_metadata().is_ok();
        let mut saved = None;
        if exists {
            (how.on_step)(Step::Save)?;
            saved = Some(save(&place, number)?);
        }
        let renamed = (how.on_step)(Step::Rename).and_then(|()| rename(temp, &place, exists));
        if let Err(e) = renamed {
            // Only a second name of what is still in place.
            if let Some(saved) = saved {
                let _ = std::fs::remove_file(saved);
            }
            return Err(e);
        }
        done.moved.push((place, saved.clone()));
        if main {
            done.old = saved;
        }
    }
    (how.on_step)(Step::SyncFolder)?;
    sync_folder(how.store)
}

/// The current store, with the lock that other programs respect: GSKit holds a read lock on its first byte
/// while reading and a write lock while writing.
fn open_current(how: &Commit<'_>) -> Result<Option<File>> {
    if how.expected.is_none() {
        return Ok(None);
    }
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let open = |write| File::options().read(true).write(write).custom_flags(flags).open(how.store);
    // A write lock needs a writable descriptor; a store that we may replace but not write gets a read lock,
    // which also finds another's write lock.
    let (file, operation) = match open(true) {
        Ok(f) => (f, FlockOperation::NonBlockingLockExclusive),
        Err(_) => match open(false) {
            Ok(f) => (f, FlockOperation::NonBlockingLockShared),
            Err(e) if e.kind() == ErrorKind::NotFound => return Err(changed(how.store)),
            Err(e) => return Err(failed("can't be opened again", e).in_file(how.store)),
        },
    };
    match fcntl_lock(&file, operation) {
        // File systems without locks have no programs that hold one.
        Ok(()) | Err(Errno::NOLCK | Errno::NOSYS | Errno::NOTSUP | Errno::INVAL) => Ok(Some(file)),
        Err(Errno::ACCESS | Errno::AGAIN) => {
            Err(Error::new(Kind::Busy, "another program holds a lock on it")
                .hint("try again when it is done")
                .in_file(how.store))
        }
        Err(e) => Err(failed("can't be locked", e.into()).in_file(how.store)),
    }
}

/// Whether the store is still the one that the new one was made from.
fn check(how: &Commit<'_>, current: Option<&File>) -> Result<()> {
    let now = match current {
        Some(file) => Some(Identity::of(
            &file.metadata().map_err(|e| failed("can't be looked at", e).in_file(how.store))?,
        )),
        None => how.store.symlink_metadata().ok().map(|m| Identity::of(&m)),
    };
    if now == how.expected { Ok(()) } else { Err(changed(how.store)) }
}

fn changed(store: &Path) -> Error {
    Error::new(Kind::Busy, "was changed by another program meanwhile; nothing was written")
        .hint("run again")
        .in_file(store)
}

/// Gives `place` its second name, the first free `NAME.old-N` from `number` on.
pub(super) fn save(place: &Path, number: u64) -> Result<PathBuf> {
    for number in number..number.saturating_add(1000) {
        let old = old_name(place, number);
        match link_or_copy(place, &old) {
            Ok(()) => return Ok(old),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(failed("the current store can't be kept as an old generation", e)),
        }
    }
    Err(Error::new(Kind::Write, "too many old generations"))
}

/// A hard link, or a synced copy with the same mode where the file system refuses links.
pub(super) fn link_or_copy(from: &Path, to: &Path) -> std::io::Result<()> {
    match std::fs::hard_link(from, to) {
        Err(e)
            if matches!(
                e.kind(),
                ErrorKind::AlreadyExists | ErrorKind::NotFound | ErrorKind::StorageFull
            ) =>
        {
            Err(e)
        }
        Err(_) => copy(from, to).inspect_err(|e| {
            if e.kind() != ErrorKind::AlreadyExists {
                let _ = std::fs::remove_file(to);
            }
        }),
        Ok(()) => Ok(()),
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut source = File::open(from)?;
    let meta = source.metadata()?;
    // Private from the first byte; then as the original is.
    let mut target = File::options().write(true).create_new(true).mode(0o600).open(to)?;
    target.set_permissions(meta.permissions())?;
    std::io::copy(&mut source, &mut target)?;
    target.sync_all()
}

/// The rename. Where nothing was, nothing may have appeared.
fn rename(temp: NamedTempFile, place: &Path, exists: bool) -> Result<()> {
    let temp = temp.into_temp_path();
    let outcome = if exists {
        std::fs::rename(&temp, place)
    } else {
        match renameat_with(CWD, &*temp, CWD, place, RenameFlags::NOREPLACE) {
            // Not every file system knows the flag.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => std::fs::rename(&temp, place),
            other => other.map_err(Into::into),
        }
    };
    match outcome {
        Ok(()) => {
            // The name is gone, so nothing must be removed on drop.
            let _ = temp.keep();
            Ok(())
        }
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Err(changed(place)),
        Err(e) => Err(rename_new(e)),
    }
}

/// What a failed rename is called.
pub(super) fn rename_new(e: std::io::Error) -> Error {
    if e.kind() == ErrorKind::ResourceBusy {
        return failed("can't be replaced: it is mounted into this place on its own", e)
            .hint("mount its folder instead, or point the client to another path");
    }
    failed("can't be moved into place", e)
}

/// Puts files back from their saved names, or removes them where there was none, the last first.
fn put_back(moved: &[(PathBuf, Option<PathBuf>)]) -> Result<()> {
    let mut first = Ok(());
    for (place, saved) in moved.iter().rev() {
        let back = match saved {
            Some(saved) => std::fs::rename(saved, place),
            None => std::fs::remove_file(place),
        };
        let back =
            back.map_err(|e| failed("can't be put back", e).in_file(place)).and_then(|()| sync_folder(place));
        if first.is_ok() {
            first = back;
        }
    }
    first
}
