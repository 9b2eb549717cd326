//! The commit: what was staged becomes the current store by one rename.

use super::files::{self, look};
use super::generations::{Saved, generations, next_number, save};
use super::lock::Current;
use super::set::{self, Exchanged, Names, NewSet};
use super::{Step, attributes, failed, folder, sync_folder};
use crate::error::{Error, Kind, Result};
use crate::place::{Identity, Staging};
use std::ffi::OsStr;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// How a commit goes.
pub struct Commit<'a> {
    /// The store, links resolved (see [`super::resolve`]).
    pub store: &'a Path,
    /// What the current store was when it was read; `None`: there was none.
    pub expected: Option<Identity>,
    /// What was read from it, where the new store is made from that. Times of files are coarse: a store
    /// that was written twice in one tick, and read in between, shows it only here.
    pub content: Option<&'a [u8]>,
    /// Suffixes of what belongs to the store beside it. Where more than the store changes, all change together.
    pub companions: &'static [&'static str],
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
    moved: Vec<(PathBuf, Option<Saved>)>,
    /// The files of a folder that was not there.
    made: Vec<PathBuf>,
    /// The store and its companions together.
    set: Option<Exchanged>,
}

impl Committed {
    /// Whether companions changed with a store that was there.
    pub fn is_set(&self) -> bool {
        self.set.is_some()
    }

    /// Puts everything back as it was before the commit.
    pub fn undo(self) -> Result<()> {
        folder::delete(&self.made)?;
        self.set.as_ref().map_or(Ok(()), Exchanged::undo)?;
        put_back(&self.moved)
    }
}

/// Moves what was staged into place by one rename: the store's own, or where companions change with it, that of
/// a link that the whole set stands behind for a moment. A store that is new comes after its companions.
///
/// Fails with `Kind::Busy` where the store is no longer the one that was read or another program holds a
/// lock on it, with `Kind::Write` where the system refuses; the store then is as it was.
pub fn commit(mut staged: Staging, how: &Commit<'_>) -> Result<Committed> {
    if let Some((new, _lock)) = staged.take_folder() {
        let made = folder::commit(new, how)?;
        return Ok(Committed { old: None, moved: Vec::new(), made, set: None });
    }
    let named = |e: Error| e.in_file(how.store);
    let gone = staged.take_gone();
    let like = staged.take_like();
    let mut staged = staged.into_files().map_err(named)?;
    // The store itself decides what readers see, so it comes last.
    staged.sort_by_key(|(suffix, _)| suffix.is_none());
    let current = match how.expected {
        Some(read) => Some(reopened(how.store, read)?),
        None => None,
    };
    let mut steps = Vec::with_capacity(staged.len());
    for (suffix, temp) in staged {
        let current = current.as_ref().map(|c| &c.file);
        steps.push(Move::prepare(suffix, temp, how, current, like.as_ref()).map_err(named)?);
    }
    let all = generations(how.store)?;
    let number = next_number(&all);
    let guard = || {
        (how.on_step)(Step::Check)?;
        // Until the rename is through.
        current.as_ref().map_or(Ok(()), |c| c.lock(how.store))?;
        check(how, current.as_ref().map(|c| &c.file))
    };
    let mut done = Committed { old: None, moved: Vec::new(), made: Vec::new(), set: None };
    if (steps.len() > 1 || !gone.is_empty()) && Names::new(how.store, how.companions).any()? {
        let new = new_set(steps, &gone, how);
        let newest = all.first().map(|g| g.path.as_path());
        let set = set::commit(new, current.as_ref(), newest, number, &guard, how.on_step).map_err(named)?;
        done.old = current.is_some().then(|| set.old.path.clone());
        done.set = Some(set);
        return Ok(done);
    }
    guard()?;
    match move_all(steps, how, current.as_ref(), number, &mut done) {
        Ok(()) => Ok(done),
        Err(e) => Err(named(match put_back(&done.moved) {
            Ok(()) => e,
            Err(f) => not_put_back(&e, &f),
        })),
    }
}

/// Puts what was staged into a folder `to` of its own, with the companions of the current store that it doesn't replace.
/// Nothing leads there yet, and the current store stays as it is. `home` is the store whose lock is held: what a kill
/// leaves is found by its name.
pub fn commit_apart(mut staged: Staging, how: &Commit<'_>, home: &Path, to: &Path) -> Result<()> {
    let gone = staged.take_gone();
    let like = staged.take_like();
    let current = Current::open(how.store)?.ok_or_else(|| changed(how.store))?;
    let go = || -> Result<()> {
        let mut steps = Vec::new();
        for (suffix, temp) in staged.into_files()? {
            steps.push(Move::prepare(suffix, temp, how, Some(&current.file), like.as_ref())?);
        }
        (how.on_step)(Step::Check)?;
        check(how, Some(&current.file))?;
        set::apart(new_set(steps, &gone, how), Some(&current.file), home, to)
    };
    go().map_err(|e| e.in_file(how.store))
}

fn new_set<'a>(steps: Vec<Move>, gone: &[String], how: &Commit<'a>) -> NewSet<'a> {
    let name = |path: &Path| path.file_name().map(OsStr::to_owned);
    NewSet {
        files: steps.into_iter().filter_map(|s| Some((name(&s.place)?, s.temp))).collect(),
        gone: gone.iter().filter_map(|s| name(&how.store.with_extension(s))).collect(),
        store: how.store,
        companions: how.companions,
    }
}

/// What to say when a failure could not be undone either.
pub fn not_put_back(cause: &Error, failure: &Error) -> Error {
    Error::new(Kind::Write, format!("{}; and {failure}", cause.message())).hint(
        "that store is the new one now, whole; keyferry rollback goes back to the old one once the cause is gone",
    )
}

/// One staged file, ready to be renamed.
struct Move {
    temp: NamedTempFile,
    place: PathBuf,
    /// Something is there that must be saved.
    exists: bool,
    /// The store itself, not a companion.
    main: bool,
}

impl Move {
    /// Gives the file what the one before has, and syncs it.
    fn prepare(
        suffix: Option<String>,
        temp: NamedTempFile,
        how: &Commit<'_>,
        current: Option<&File>,
        like: Option<&File>,
    ) -> Result<Self> {
        let main = suffix.is_none();
        let place = suffix.map_or_else(|| how.store.to_owned(), |s| how.store.with_extension(s));
        let companion = if main { None } else { open_companion(&place)? };
        // A companion that is new may be read by those who may read the store.
        if let Some(before) = companion.as_ref().or(current).or(like) {
            (how.on_step)(Step::Attributes)?;
            attributes::copy(before, temp.as_file())?;
        }
        (how.on_step)(Step::Sync)?;
        temp.as_file().sync_all().map_err(|e| failed("can't be synced", e))?;
        let exists = if main { current.is_some() } else { companion.is_some() };
        Ok(Move { temp, place, exists, main })
    }
}

fn open_companion(place: &Path) -> Result<Option<File>> {
    match files::open_plain(place) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed("can't be opened", e).in_file(place)),
    }
}

fn move_all(
    steps: Vec<Move>,
    how: &Commit<'_>,
    current: Option<&Current>,
    number: u64,
    done: &mut Committed,
) -> Result<()> {
    for Move { temp, place, exists, main } in steps {
        let mut saved = None;
        if exists {
            (how.on_step)(Step::Save)?;
            let opened = current.map(|c| &c.file).filter(|_| main);
            saved = Some(save(&place, opened, number)?);
        }
        let renamed = (how.on_step)(Step::Rename).and_then(|()| {
            let temp = temp.into_temp_path();
            let renamed =
                if exists { files::replace(temp, &place) } else { files::move_to_free(temp, &place) };
            renamed.map_err(|e| match e.kind() {
                ErrorKind::AlreadyExists => changed(&place),
                _ => rename_error(e),
            })
        });
        if let Err(e) = renamed {
            if let Some(saved) = saved {
                saved.forget();
            }
            return Err(e);
        }
        if main {
            done.old = saved.as_ref().map(|s| s.path.clone());
        }
        done.moved.push((place, saved));
    }
    current.into_iter().for_each(Current::unlock);
    (how.on_step)(Step::SyncFolder)?;
    sync_folder(how.store)
}

/// The current store, if it is the file that was read: another's owner and mode are nothing to give to the new one.
fn reopened(store: &Path, read: Identity) -> Result<Current> {
    let current = Current::open(store)?.ok_or_else(|| changed(store))?;
    let now = current.file.metadata().map_err(|e| failed("can't be looked at", e).in_file(store))?;
    if Identity::of(&now) == read { Ok(current) } else { Err(changed(store)) }
}

/// Whether the store is still the one that the new one was made from.
fn check(how: &Commit<'_>, current: Option<&File>) -> Result<()> {
    let Some(file) = current else {
        return if look(how.store)?.is_none() { Ok(()) } else { Err(changed(how.store)) };
    };
    let unseen = |e| failed("can't be looked at", e).in_file(how.store);
    let now = Identity::of(&file.metadata().map_err(unseen)?);
    let same = how.expected == Some(now)
        && match how.content {
            Some(bytes) => files::holds(file, bytes).map_err(unseen)?,
            None => true,
        };
    if same { Ok(()) } else { Err(changed(how.store)) }
}

pub(super) fn changed(store: &Path) -> Error {
    Error::new(Kind::Busy, "was changed by another program meanwhile; nothing was written")
        .hint("run again")
        .in_file(store)
}

/// What a failed rename is called.
pub(super) fn rename_error(e: std::io::Error) -> Error {
    if e.kind() == ErrorKind::ResourceBusy {
        return failed("can't be replaced: it is mounted into this place on its own", e)
            .hint("mount its folder instead, or point the client to another path");
    }
    failed("can't be moved into place", e)
}

/// Puts files back from their saved names, or removes them where there was none, the last first.
fn put_back(moved: &[(PathBuf, Option<Saved>)]) -> Result<()> {
    let mut first = Ok(());
    for (place, saved) in moved.iter().rev() {
        let back = match saved {
            Some(saved) => saved.put_back(place),
            None => std::fs::remove_file(place),
        };
        let back = back.map_err(|e| failed("can't be put back", e).in_file(place));
        // It is back; that this outlives a power cut is more than can be had where syncing fails.
        let _ = sync_folder(place);
        if first.is_ok() {
            first = back;
        }
    }
    first
}
