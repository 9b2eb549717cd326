//! The commit: what was staged takes the place of the current store by one rename, and whatever fails on
//! the way leaves or puts back what was there.

use super::current::{Current, changed};
use super::generations::{highest, saved_path};
use super::{attributes, failed};
use crate::error::{Error, Kind, Result};
use crate::place::{Identity, Staging, folder_of, link_beside, reason, temporary_beside};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::TempPath;

/// The steps of a commit or rollback, for failure tests and progress. Called before the step is done; those
/// that have nothing to do are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Rollback only: give an old generation a temporary name.
    Link,
    /// Give a staged file the current one's owner and group.
    Owner,
    /// Give it the current one's extended attributes.
    Attributes,
    /// Give it its mode.
    Mode,
    /// `fsync` of a staged file.
    Sync,
    /// Check that the current store is still the one that was read.
    Check,
    /// Give the current store its second name `NAME.old-N`.
    Save,
    /// The file system has no hard links: copy the current store.
    Copy,
    /// Give the copy the name `NAME.old-N`.
    NameCopy,
    /// The one rename (one for each companion, the store last).
    Rename,
    /// `fsync` of the folder.
    SyncFolder,
}

/// How a commit goes.
pub struct Commit<'a> {
    /// The store, links resolved (see [`super::resolve`]).
    pub store: &'a Path,
    /// What the current store was when it was read; `None`: there was none.
    pub expected: Option<Identity>,
    /// SHA-256 of what was read, for writers that leave size and time as they were.
    pub expected_digest: Option<[u8; 32]>,
    /// Called before each step; an error stops there, and the store stays as it was.
    pub on_step: &'a dyn Fn(Step) -> Result<()>,
}

impl<'a> Commit<'a> {
    /// For a store that was not there.
    pub fn new(store: &'a Path, on_step: &'a dyn Fn(Step) -> Result<()>) -> Self {
        Commit { store, expected: None, expected_digest: None, on_step }
    }

    /// For a store that was there, of which `expected` was read.
    #[must_use]
    pub fn replacing(mut self, expected: Option<Identity>) -> Self {
        self.expected = expected;
        self
    }

    /// For a store whose content had this SHA-256.
    #[must_use]
    pub fn with_digest(mut self, digest: [u8; 32]) -> Self {
        self.expected_digest = Some(digest);
        self
    }
}

/// What a commit did, so that it can be taken back.
#[derive(Debug)]
#[must_use]
pub struct Committed {
    /// The saved old generation, where there was a store before.
    pub old: Option<PathBuf>,
    store: PathBuf,
    members: Vec<Member>,
    /// What a folder was made of.
    files: Vec<PathBuf>,
}

impl Committed {
    /// A folder that was not there.
    pub(super) fn of_folder(store: PathBuf, files: Vec<PathBuf>) -> Self {
        Committed { old: None, store, members: Vec::new(), files }
    }

    /// Puts everything back as if the commit had not been; a store that it created is deleted. For what fails
    /// after a commit (`--exec`, or the commit of another store); the caller still holds the lock.
    pub fn undo(mut self) -> Result<()> {
        let mut back = Ok(());
        if !self.files.is_empty() {
            let gone = super::folder::delete(&self.store, &self.files);
            back = gone.map_err(|e| failed(Kind::Write, "can't be deleted", &self.store, e));
        }
        for member in self.members.iter_mut().rev() {
            let one = member.back().map_err(|e| failed(Kind::Write, "can't be put back", &member.place, e));
            back = back.and(one);
        }
        back.and(sync_folder(&open_folder(&self.store)?, &self.store))
    }
}

/// Moves what was staged into place: companions first, the store itself last, each by one rename.
///
/// The caller holds the store's [`super::Lock`], unless the store is new. Errors: `Kind::Busy` when somebody
/// else holds the store or changed it, `Kind::Refused` when the new one would belong to somebody else,
/// `Kind::Write` when the system refuses. After any error the store is what it was.
pub fn commit(mut staged: Staging, how: &Commit<'_>) -> Result<Committed> {
    if let Some(folder) = staged.take_folder() {
        return super::folder::commit(folder, how);
    }
    let (mode, on_step) = (staged.mode(), how.on_step);
    let mut files = staged.into_files()?;
    // The companions, then the store: its rename is the commit.
    files.sort_by_key(|(suffix, _)| suffix.is_none());
    if files.last().is_none_or(|(suffix, _)| suffix.is_some()) {
        return Err(Error::new(Kind::Write, "nothing was written").in_file(how.store));
    }
    let mut members = Vec::with_capacity(files.len());
    for (suffix, temp) in files {
        let (file, temp) = temp.into_parts();
        let mut member = Member::new(how.store, suffix, temp)?;
        if member.suffix.is_none() {
            (member.expected, member.digest) = (how.expected, how.expected_digest);
        } else if member.is_same(&file)? {
            continue;
        }
        match &member.current {
            Some(current) => attributes::take_over(&current.file, &file, &member.place, on_step)?,
            None => attributes::set_mode(&file, mode, &member.place, on_step)?,
        }
        on_step(Step::Sync)?;
        file.sync_all().map_err(|e| failed(Kind::Write, "can't be synced", &member.place, e))?;
        members.push(member);
    }
    Swap { store: how.store, members, on_step }.run()
}

/// One file on its way into its place, or there.
#[derive(Debug)]
pub(super) struct Member {
    place: PathBuf,
    suffix: Option<String>,
    /// `None` once it is in its place.
    temp: Option<TempPath>,
    current: Option<Current>,
    expected: Option<Identity>,
    digest: Option<[u8; 32]>,
    saved: Option<Saved>,
}

/// A second name of the current file.
#[derive(Debug)]
struct Saved {
    path: PathBuf,
    /// Made by this commit, not found.
    ours: bool,
}

impl Member {
    /// `temp` on its way to the store or its companion; what is there now is expected to stay so.
    pub fn new(store: &Path, suffix: Option<String>, temp: TempPath) -> Result<Self> {
        let place = suffix.as_ref().map_or_else(|| store.to_owned(), |s| store.with_extension(s));
        let current = Current::open(&place)?;
        let expected = current.as_ref().map(|c| c.identity);
        Ok(Member { place, suffix, temp: Some(temp), current, expected, digest: None, saved: None })
    }

    /// Expects the file that is there to have this SHA-256 as well.
    pub fn with_digest(mut self, digest: Option<[u8; 32]>) -> Self {
        self.digest = digest;
        self
    }

    fn is_same(&self, staged: &File) -> Result<bool> {
        let Some(current) = &self.current else {
            return Ok(false);
        };
        let size = staged.metadata().map_err(|e| failed(Kind::Write, "can't be examined", &self.place, e))?;
        if size.len() != current.identity.size {
            return Ok(false);
        }
        let mut same = true;
        let mut at = 0;
        let mut buffer = zeroize::Zeroizing::new(Vec::new());
        current.each_part(|part| {
            buffer.resize(part.len(), 0);
            let read = std::os::unix::fs::FileExt::read_exact_at(staged, &mut buffer, at);
            same &= read.is_ok() && buffer.as_slice() == part;
            at += part.len() as u64;
            Ok(())
        })?;
        Ok(same)
    }

    fn check(&self) -> Result<()> {
        match (&self.current, self.expected) {
            (Some(current), Some(expected)) => {
                current.hold()?;
                current.check(expected, self.digest)
            }
            (None, None) => Ok(()),
            (Some(_), None) => Err(appeared(&self.place)),
            (None, Some(_)) => Err(changed(&self.place)),
        }
    }

    /// Gives the current file the name of generation `number`.
    fn save(&mut self, store: &Path, number: u64, on_step: &dyn Fn(Step) -> Result<()>) -> Result<()> {
        let Some(current) = &self.current else {
            return Ok(());
        };
        let path = saved_path(store, number, self.suffix.as_deref());
        if same_file(&path, current) {
            self.saved = Some(Saved { path, ours: false });
            return Ok(());
        }
        on_step(Step::Save)?;
        let right = match std::fs::hard_link(&self.place, &path) {
            // By its name, so it may be another by now.
            Ok(()) => same_file(&path, current),
            // Of a generation that a killed run began: the companion that belongs to it.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && self.suffix.is_some() => {
                self.saved = Some(Saved { path, ours: false });
                return Ok(());
            }
            Err(e) if is_link_refusal(&e) => {
                save_copy(current, &self.place, &path, on_step)?;
                current.check(current.identity, None).is_ok()
            }
            Err(e) => return Err(failed(Kind::Write, "can't get the name of an old generation", &path, e)),
        };
        self.saved = Some(Saved { path, ours: true });
        if right { Ok(()) } else { Err(changed(&self.place)) }
    }

    fn rename(&mut self) -> Result<()> {
        let Some(temp) = &self.temp else {
            return Ok(());
        };
        let renamed = if self.current.is_some() {
            std::fs::rename(temp, &self.place)
        } else {
            rename_to_new(temp, &self.place)
        };
        renamed.map_err(|e| match Errno::from_io_error(&e) {
            Some(Errno::EXIST) => appeared(&self.place),
            Some(Errno::BUSY) => {
                failed(Kind::Write, "mounted as a single file, which can't be replaced", &self.place, e)
                    .hint("mount its folder instead, as containers can")
            }
            _ => failed(Kind::Write, "can't be replaced by the new store", &self.place, e),
        })?;
        // The name is gone; whatever gets it next isn't ours to delete.
        self.temp.take().map(TempPath::keep);
        Ok(())
    }

    /// Undoes `rename` and `save`, as far as they were done.
    fn back(&mut self) -> io::Result<()> {
        let renamed = self.temp.is_none();
        match self.saved.take() {
            Some(saved) if renamed && saved.ours => std::fs::rename(&saved.path, &self.place),
            // It had that name before.
            Some(saved) if renamed => {
                let temp = link_beside(&saved.path, &self.place)?;
                std::fs::rename(&temp, &self.place)?;
                let _ = temp.keep();
                Ok(())
            }
            Some(saved) if saved.ours => std::fs::remove_file(&saved.path),
            None if renamed => std::fs::remove_file(&self.place),
            _ => Ok(()),
        }
    }
}

/// All files of a store on their way into their places, the store itself last.
pub(super) struct Swap<'a> {
    pub store: &'a Path,
    pub members: Vec<Member>,
    pub on_step: &'a dyn Fn(Step) -> Result<()>,
}

impl Swap<'_> {
    /// Moves all or none.
    pub fn run(mut self) -> Result<Committed> {
        // Opened first: what can't be opened can't be synced after the rename.
        let folder = open_folder(self.store)?;
        match self.forward(&folder) {
            Ok(()) => {
                // Ends the locks on what was current.
                self.members.iter_mut().for_each(|m| m.current = None);
                let old = self.members.last().and_then(|m| m.saved.as_ref()).map(|s| s.path.clone());
                Ok(Committed { old, store: self.store.to_owned(), members: self.members, files: Vec::new() })
            }
            Err(e) => Err(self.back(e, &folder)),
        }
    }

    fn forward(&mut self, folder: &File) -> Result<()> {
        (self.on_step)(Step::Check)?;
        self.members.iter().try_for_each(Member::check)?;
        let number = self.next_number()?;
        for member in &mut self.members {
            member.save(self.store, number, self.on_step)?;
        }
        for member in &mut self.members {
            (self.on_step)(Step::Rename)?;
            member.rename()?;
        }
        (self.on_step)(Step::SyncFolder)?;
        sync_folder(folder, self.store)
    }

    /// The number of the generation that the current store becomes. A killed run may have given it one.
    fn next_number(&self) -> Result<u64> {
        let highest = highest(self.store)?;
        let current = self.members.last().and_then(|m| m.current.as_ref());
        let begun = current.is_some_and(|c| same_file(&saved_path(self.store, highest, None), c));
        Ok(if begun { highest } else { highest + 1 })
    }

    fn back(&mut self, e: Error, folder: &File) -> Error {
        let renamed = self.members.iter().any(|m| m.temp.is_none());
        let saved = self.members.last().and_then(|m| m.saved.as_ref()).map(|s| s.path.display().to_string());
        let mut back: io::Result<()> = Ok(());
        for member in self.members.iter_mut().rev() {
            back = back.and(member.back());
        }
        let message = match (back, saved) {
            (Ok(()), _) if !renamed => return e,
            (Ok(()), _) => match sync_folder(folder, self.store) {
                Ok(()) => "the old state was put back".to_owned(),
                Err(_) => "the old state was put back, but a power cut may undo that".to_owned(),
            },
            (Err(b), Some(saved)) => format!("putting {saved} back failed: {}", reason(&b)),
            (Err(b), None) => format!("undoing it failed: {}", reason(&b)),
        };
        let path = e.place().path.as_deref().unwrap_or(self.store);
        let told = Error::new(e.kind(), format!("{}; {message}", e.message())).in_file(path);
        match e.hint_text() {
            Some(hint) => told.hint(hint.to_owned()),
            None => told,
        }
    }
}

/// The current store as a copy under the name `saved`: content and attributes, synced.
pub(super) fn save_copy(
    current: &Current,
    place: &Path,
    saved: &Path,
    on_step: &dyn Fn(Step) -> Result<()>,
) -> Result<()> {
    on_step(Step::Copy)?;
    let temp = copy_beside(current, place, on_step)?;
    on_step(Step::NameCopy)?;
    rename_to_new(&temp, saved)
        .map_err(|e| failed(Kind::Write, "can't get the name of an old generation", saved, e))?;
    let _ = temp.keep();
    Ok(())
}

/// A synced copy, with all attributes, under a temporary name beside `place`.
pub(super) fn copy_beside(
    from: &Current,
    place: &Path,
    on_step: &dyn Fn(Step) -> Result<()>,
) -> Result<TempPath> {
    let cannot = |e| failed(Kind::Write, "can't be copied", place, e);
    let (mut file, temp) = temporary_beside(place)?.into_parts();
    from.each_part(|part| file.write_all(part).map_err(cannot))?;
    attributes::take_over(&from.file, &file, place, on_step)?;
    on_step(Step::Sync)?;
    file.sync_all().map_err(cannot)?;
    Ok(temp)
}

/// The file system has no hard links, or no more of them.
pub(super) fn is_link_refusal(e: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(e),
        Some(Errno::PERM | Errno::XDEV | Errno::MLINK | Errno::NOTSUP | Errno::NOSYS | Errno::ACCESS)
    )
}

/// Renames unless something has the name already.
pub(super) fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => return Ok(()),
        // NFS, FUSE and old kernels can't.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        Err(e) => return Err(e.into()),
    }
    match std::fs::hard_link(from, to) {
        Ok(()) => {
            // Its name is temporary, so the next run would delete it.
            let _ = std::fs::remove_file(from);
            Ok(())
        }
        Err(e) if is_link_refusal(&e) => {
            // Neither can be had; only other programs could come between the two.
            if to.symlink_metadata().is_ok() {
                return Err(Errno::EXIST.into());
            }
            std::fs::rename(from, to)
        }
        Err(e) => Err(e),
    }
}

fn same_file(path: &Path, current: &Current) -> bool {
    path.symlink_metadata().is_ok_and(|m| {
        let id = Identity::of(&m);
        (id.device, id.inode) == (current.identity.device, current.identity.inode)
    })
}

pub(super) fn open_folder(store: &Path) -> Result<File> {
    File::open(folder_of(store)).map_err(|e| failed(Kind::Write, "its folder can't be opened", store, e))
}

pub(super) fn sync_folder(folder: &File, store: &Path) -> Result<()> {
    match folder.sync_all() {
        // File systems that have no such thing as a folder's sync (SMB, some FUSE).
        Err(e) if matches!(Errno::from_io_error(&e), Some(Errno::INVAL | Errno::NOTSUP)) => Ok(()),
        Err(e) => Err(failed(Kind::Write, "its folder can't be synced", store, e)),
        Ok(()) => Ok(()),
    }
}

pub(super) fn appeared(path: &Path) -> Error {
    Error::new(Kind::Busy, "appeared while this program worked").in_file(path)
}
