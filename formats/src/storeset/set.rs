//! A store and its companions exchanged together: files that open only with each other, as a kdb and the stash
//! that holds its password.
//!
//! ```text
//! old set linked into the folder NAME.old-N, new set written into another
//! .NAME.set → NAME.old-N;  then name by name: NAME → .NAME.set/NAME     what they lead to stays the same
//! .NAME.set → the new folder                                            one rename: all of it is new
//! then name by name: the file itself again; .NAME.set goes              what they lead to stays the same
//! ```
//!
//! So there is no moment, and no crash, at which the names lead to files of both sets. A reader that opens one
//! file before that rename and the next one after it has one of each all the same; no way of changing files
//! under names that stay can help it.

use super::commit::rename_error;
use super::files::{self, look, put_in_place, same_file, second_name};
use super::generations::old_name;
use super::lock::Current;
use super::{Step, failed, folder, not_put_back, sync_folder, temp_prefix};
use crate::error::{Error, Kind, Result};
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use tempfile::{NamedTempFile, TempDir};

/// The names of a set, the store's own last.
pub(super) struct Names<'a> {
    store: &'a Path,
    names: Vec<OsString>,
}

impl<'a> Names<'a> {
    pub fn new(store: &'a Path, companions: &[&str]) -> Self {
        let beside = companions.iter().map(|s| store.with_extension(s)).filter(|p| p != store);
        let all = beside.chain([store.to_owned()]);
        Names { store, names: all.filter_map(|p| p.file_name().map(OsStr::to_owned)).collect() }
    }

    /// Those that a folder has.
    fn in_folder(&self, folder: &Path) -> Result<Vec<&OsString>> {
        let mut there = Vec::with_capacity(self.names.len());
        for name in &self.names {
            match look(&folder.join(name))? {
                None => {}
                Some(meta) if meta.is_file() => there.push(name),
                Some(_) => {
                    return Err(Error::new(Kind::Read, "is no file of its own").in_file(&folder.join(name)));
                }
            }
        }
        Ok(there)
    }

    /// Whether anything of the set is there.
    pub fn any(&self) -> Result<bool> {
        Ok(!self.in_folder(folder(self.store))?.is_empty())
    }

    /// Gives every file that is there a second name in `to`, but those that `except` says.
    fn link(&self, opened: Option<&File>, to: &Path, except: &dyn Fn(&OsStr) -> bool) -> Result<()> {
        for name in self.in_folder(folder(self.store))? {
            let own = opened.filter(|_| self.store.file_name() == Some(name));
            if !except(name) {
                second_name(&folder(self.store).join(name), own, &to.join(name), self.store)
                    .map_err(|e| failed("the current store can't be kept as an old generation", e))?;
            }
        }
        Ok(())
    }

    /// Whether `other` holds these very files, and no other of the set.
    fn are(&self, other: &Path) -> Result<bool> {
        let here = self.in_folder(folder(self.store))?;
        if here != self.in_folder(other)? {
            return Ok(false);
        }
        let same = |name: &&OsString| -> Result<bool> {
            let (a, b) = (look(&folder(self.store).join(name))?, look(&other.join(name))?);
            Ok(a.zip(b).is_some_and(|(a, b)| same_file(&a, &b)))
        };
        here.iter().try_fold(true, |all, name| Ok(all && same(name)?))
    }
}

/// The current set, saved as a generation.
#[derive(Debug)]
pub(super) struct Kept {
    pub path: PathBuf,
    already: bool,
}

impl Kept {
    /// Saves it as the first free `NAME.old-N` from `number` on, unless `newest`, a generation, is it already.
    pub fn make(
        names: &Names<'_>,
        opened: Option<&File>,
        newest: Option<&Path>,
        number: u64,
    ) -> Result<Kept> {
        if let Some(newest) = newest.filter(|n| n.is_dir())
            && names.are(newest)?
        {
            return Ok(Kept { path: newest.to_owned(), already: true });
        }
        let made = new_folder(names.store)?;
        names.link(opened, made.0.path(), &|_| false)?;
        sync(made.0.path())?;
        for number in number..number.saturating_add(1000) {
            let path = old_name(names.store, number);
            match move_folder(made.0.path(), &path) {
                Ok(()) => {
                    let _ = made.0.keep();
                    return Ok(Kept { path, already: false });
                }
                Err(e) if matches!(e.kind(), ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty) => {}
                Err(e) => return Err(failed("the current store can't be kept as an old generation", e)),
            }
        }
        Err(Error::new(Kind::Write, "no number is free for an old generation"))
    }

    /// Gives it up again.
    fn forget(&self, names: &Names<'_>) {
        if !self.already {
            let _ = delete(&self.path, names.store);
        }
    }
}

/// A set that was exchanged, so that it can be taken back.
#[derive(Debug)]
pub(super) struct Exchanged {
    pub old: Kept,
    store: PathBuf,
    companions: Vec<&'static str>,
}

impl Exchanged {
    /// Puts the old set back; its generation goes.
    pub fn undo(&self) -> Result<()> {
        let names = Names::new(&self.store, &self.companions);
        let now = new_folder(&self.store)?;
        names.link(None, now.0.path(), &|_| false)?;
        let now = Loose::new(&self.store, now);
        let way = Way { guard: &|| Ok(()), release: &|| (), on_step: &|_| Ok(()) };
        exchange(&names, &now.path, &self.old.path, &way).map_err(|(e, _)| e)?;
        self.old.forget(&names);
        Ok(())
    }
}

/// What is to become the current set.
pub(super) struct NewSet<'a> {
    /// The staged files by name, synced, with the attributes of those they replace.
    pub files: Vec<(OsString, NamedTempFile)>,
    /// Companions that the new set doesn't have.
    pub gone: Vec<OsString>,
    pub store: &'a Path,
    pub companions: &'static [&'static str],
}

/// Makes the new set the current one. `guard` locks the current store and checks that it is the one that was
/// read; `number` is for its generation.
pub(super) fn commit(
    new: NewSet<'_>,
    current: Option<&Current>,
    newest: Option<&Path>,
    number: u64,
    guard: &dyn Fn() -> Result<()>,
    on_step: &dyn Fn(Step) -> Result<()>,
) -> Result<Exchanged> {
    let names = Names::new(new.store, new.companions);
    let opened = current.map(|c| &c.file);
    let (store, companions) = (new.store, new.companions);
    let made = filled(new, opened, store)?;
    on_step(Step::Save)?;
    let old = Kept::make(&names, opened, newest, number)?;
    let made = Loose::new(store, made);
    let way = Way { guard, release: &|| current.into_iter().for_each(Current::unlock), on_step };
    let old = go(&names, old, &made.path, &way)?;
    Ok(Exchanged { old, store: store.to_owned(), companions: companions.to_vec() })
}

/// The new set in a folder `to`, to which nothing leads. `beside` is the store by whose name what a kill leaves of it is
/// found.
pub(super) fn apart(new: NewSet<'_>, opened: Option<&File>, beside: &Path, to: &Path) -> Result<()> {
    let made = filled(new, opened, beside)?;
    move_folder(made.0.path(), to).map_err(|e| failed("can't be moved into place", e))?;
    let _ = made.0.keep();
    sync_folder(to)
}

/// A folder beside the store `beside` with the new set, what it takes over from the old one included; synced.
fn filled(new: NewSet<'_>, opened: Option<&File>, beside: &Path) -> Result<(TempDir, File)> {
    let made = new_folder(beside)?;
    let staged: Vec<OsString> = new.files.iter().map(|(name, _)| name.clone()).collect();
    for (name, temp) in new.files {
        temp.persist_noclobber(made.0.path().join(name))
            .map_err(|e| failed("can't be moved into its folder", e.error))?;
    }
    let replaced = |name: &OsStr| staged.iter().chain(&new.gone).any(|n| n == name);
    Names::new(new.store, new.companions).link(opened, made.0.path(), &replaced)?;
    sync(made.0.path())?;
    Ok(made)
}

/// What else is done on the way.
pub(super) struct Way<'a> {
    /// Before the first name changes: takes the lock that other programs know, and checks that all is as it was.
    pub guard: &'a dyn Fn() -> Result<()>,
    /// Lets the lock go.
    pub release: &'a dyn Fn(),
    /// Called before each step.
    pub on_step: &'a dyn Fn(Step) -> Result<()>,
}

/// Makes the names stand for what the folder `new` holds. `old` is the current set, and is given up again where
/// that fails.
pub(super) fn go(names: &Names<'_>, old: Kept, new: &Path, way: &Way<'_>) -> Result<Kept> {
    match exchange(names, &old.path, new, way) {
        Ok(()) => Ok(old),
        Err((e, as_before)) => {
            if as_before {
                old.forget(names);
            }
            Err(e)
        }
    }
}

/// By one rename. `old` holds what the names stand for now. With an error: whether they are files of that set
/// again.
fn exchange(names: &Names<'_>, old: &Path, new: &Path, way: &Way<'_>) -> Result<(), (Error, bool)> {
    let store = names.store;
    let not_moved = |e| failed("can't be moved into place", e);
    let links = || -> Result<()> {
        let (before, after) = (names.in_folder(old)?, names.in_folder(new)?);
        symlink(relative(old), pointer(store)).map_err(|e| match e.kind() {
            ErrorKind::PermissionDenied | ErrorKind::Unsupported => {
                failed("files of a set can't be exchanged together on this file system", e)
                    .hint("write the new set under another name, and point the client to that")
            }
            _ => not_moved(e),
        })?;
        sync_folder(store)?;
        (way.guard)()?;
        for name in names.names.iter().filter(|n| before.contains(n) || after.contains(n)) {
            (way.on_step)(Step::Rename)?;
            lead(store, name).map_err(rename_error)?;
        }
        sync_folder(store)?;
        (way.on_step)(Step::Rename)?;
        point(store, new).map_err(not_moved)
    };
    if let Err(e) = links() {
        (way.release)();
        // Where that fails too, the names lead to the old files, and the next run makes them files again.
        return Err((e, settle(store).is_ok()));
    }
    (way.release)();
    let settled =
        (way.on_step)(Step::SyncFolder).and_then(|()| sync_folder(store)).and_then(|()| settle(store));
    settled.map_err(|e| match put_back(names, old) {
        Ok(as_before) => (e, as_before),
        Err(f) => (not_put_back(&e, &f), false),
    })
}

/// Back to `old`, from wherever [`settle`] stopped: what is a file already is led there again. Whether the names
/// are files again.
fn put_back(names: &Names<'_>, old: &Path) -> Result<bool> {
    let back = || -> io::Result<()> {
        // All names lead to the new set while they are made links again, to be changed back at once.
        let new = folder(names.store).join(std::fs::read_link(pointer(names.store))?);
        for name in &names.names {
            if is_led(names.store, name)? {
                continue;
            }
            let there = |at: &Path| at.join(name).symlink_metadata().is_ok();
            if there(&new) || there(old) {
                lead(names.store, name)?;
            }
        }
        point(names.store, old)
    };
    back().map_err(|e| failed("can't be put back", e).in_file(names.store))?;
    Ok(settle(names.store).is_ok())
}

/// Makes the names that lead through the pointer files of their own again, and takes the pointer away: at the end
/// of an exchange, and where one was killed.
pub(super) fn settle(store: &Path) -> Result<()> {
    let not_settled = |e| failed("the files of the set can't be put into their places", e).in_file(store);
    let pointer = pointer(store);
    let target = match std::fs::read_link(&pointer) {
        Ok(target) => target,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        // Somebody else's file of that name.
        Err(e) if e.kind() == ErrorKind::InvalidInput => return Ok(()),
        Err(e) => return Err(not_settled(e)),
    };
    for item in std::fs::read_dir(folder(store)).map_err(not_settled)? {
        let name = item.map_err(not_settled)?.file_name();
        if !is_led(store, &name).map_err(not_settled)? {
            continue;
        }
        let place = folder(store).join(&name);
        let from = folder(store).join(&target).join(&name);
        let settled = match look(&from)? {
            Some(_) => put_in_place(&from, &place, store),
            None => std::fs::remove_file(&place),
        };
        settled.map_err(not_settled)?;
    }
    sync_folder(store)?;
    std::fs::remove_file(&pointer).map_err(not_settled)?;
    if is_temporary(store, &target) {
        let _ = std::fs::remove_dir_all(folder(store).join(&target));
    }
    // What a power cut would bring back of this is settled by the next run.
    let _ = sync_folder(store);
    Ok(())
}

/// Whether a name is one of our links, for the moment of an exchange or after a kill in it. Not being told is not
/// "no": the pointer would be taken from under it.
pub(super) fn is_led(store: &Path, name: &OsStr) -> io::Result<bool> {
    match std::fs::read_link(folder(store).join(name)) {
        Ok(text) => Ok(text == Path::new(&pointer_name(store)).join(name)),
        Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Whether the current set stands in `folder`, so that it must stay.
pub(super) fn is_pointed_to(store: &Path, folder: &Path) -> bool {
    std::fs::read_link(pointer(store)).is_ok_and(|t| Some(t.as_os_str()) == folder.file_name())
}

/// Deletes a generation that is a folder: the files of the set in it. What others put there stays, and keeps the
/// folder.
pub(super) fn delete(generation: &Path, store: &Path) -> io::Result<()> {
    let stem = store.file_stem();
    for item in std::fs::read_dir(generation)? {
        let path = item?.path();
        if path.file_stem() == stem && path.symlink_metadata()?.is_file() {
            std::fs::remove_file(&path)?;
        }
    }
    std::fs::remove_dir(generation)
}

fn pointer_name(store: &Path) -> OsString {
    let mut name = temp_prefix(store);
    name.push("set");
    name
}

fn pointer(store: &Path) -> PathBuf {
    folder(store).join(pointer_name(store))
}

fn relative(folder: &Path) -> &Path {
    folder.file_name().map_or(folder, Path::new)
}

/// Makes `name` lead through the pointer.
fn lead(store: &Path, name: &OsStr) -> io::Result<()> {
    let place = folder(store).join(name);
    let link = temporary_link(store, &Path::new(&pointer_name(store)).join(name))?;
    match place.symlink_metadata() {
        Ok(_) => files::replace(link, &place),
        Err(e) if e.kind() == ErrorKind::NotFound => files::move_to_free(link, &place),
        Err(e) => Err(e),
    }
}

/// Makes the pointer lead to `target`.
fn point(store: &Path, target: &Path) -> io::Result<()> {
    files::replace(temporary_link(store, relative(target))?, &pointer(store))
}

fn temporary_link(store: &Path, target: &Path) -> io::Result<tempfile::TempPath> {
    let made = tempfile::Builder::new()
        .prefix(&temp_prefix(store))
        .suffix(".tmp")
        .make_in(folder(store), |path| symlink(target, path))?;
    Ok(made.into_temp_path())
}

/// A new folder beside the store, and the lock by which others see that this run is alive. Whoever may reach the
/// store may reach what is in it, for programs open the set through it.
fn new_folder(store: &Path) -> Result<(TempDir, File)> {
    let make = || -> io::Result<(TempDir, File)> {
        let made = tempfile::Builder::new()
            .prefix(&temp_prefix(store))
            .suffix(".new.tmp")
            .permissions(Permissions::from_mode(0o711))
            .tempdir_in(folder(store))?;
        // Explicitly, for the umask may have taken something away.
        std::fs::set_permissions(made.path(), Permissions::from_mode(0o711))?;
        let lock = File::open(made.path())?;
        let _ = flock(&lock, FlockOperation::NonBlockingLockExclusive);
        if let (Ok(own), Ok(store)) = (lock.metadata(), store.symlink_metadata())
            && (own.uid(), own.gid()) != (store.uid(), store.gid())
        {
            chown(made.path(), Some(store.uid()), Some(store.gid()))?;
        }
        Ok((made, lock))
    };
    make().map_err(|e| failed("can't create a folder beside it", e))
}

/// A folder that is deleted at the end, but never while the names lead there.
struct Loose<'a> {
    path: PathBuf,
    store: &'a Path,
    _lock: File,
}

impl<'a> Loose<'a> {
    fn new(store: &'a Path, (made, lock): (TempDir, File)) -> Self {
        Loose { path: made.keep(), store, _lock: lock }
    }
}

impl Drop for Loose<'_> {
    fn drop(&mut self) {
        if !is_pointed_to(self.store, &self.path) {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Whether `name` is a folder of [`new_folder`].
fn is_temporary(store: &Path, name: &Path) -> bool {
    let bytes = name.as_os_str().as_encoded_bytes();
    bytes.starts_with(temp_prefix(store).as_encoded_bytes())
        && bytes.ends_with(b".new.tmp")
        && !bytes.contains(&b'/')
}

fn move_folder(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => match to.symlink_metadata() {
            Ok(_) => Err(ErrorKind::AlreadyExists.into()),
            Err(e) if e.kind() == ErrorKind::NotFound => std::fs::rename(from, to),
            Err(e) => Err(e),
        },
        Err(e) => Err(e.into()),
    }
}

fn sync(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| failed("the folder can't be synced", e))
}
