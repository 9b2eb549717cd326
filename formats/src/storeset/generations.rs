//! Old generations: listing, saving, pruning, going back.

use super::commit::{not_put_back, rename_error};
use super::files::{self, is_second_name, look, put_in_place, second_name};
use super::in_place;
use super::lock::Current;
use super::set::{self, Kept, Names, Way};
use super::{Step, failed, folder, sync_folder, with_suffix};
use crate::error::{Error, Kind, Result};
use std::ffi::OsStr;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// One old generation: the store's file, or a folder that has the store with its companions, where these changed
/// with it; of a store that is a folder itself, a copy.
#[derive(Clone, Debug)]
pub struct Generation {
    /// N of `NAME.old-N`; higher is newer.
    pub number: u64,
    /// Its path.
    pub path: PathBuf,
    /// The store in it: the same path, unless it is a folder with the store's file.
    pub file: PathBuf,
    /// When it became one, in milliseconds since 1970: the time its inode last changed, which giving it its
    /// second name does; of a copy, the time its files were made.
    pub saved_ms: i64,
}

impl Generation {
    /// Whether it is the store as it was when this was noted of it (see [`super::Member::base`]).
    pub fn is(&self, base: &str) -> bool {
        match self.file.is_dir() {
            true => in_place::is_of_state(&self.file, base),
            false => super::digest(&self.file).is_ok_and(|d| d == base),
        }
    }
}

/// The old generations of a store, newest first.
pub fn generations(store: &Path) -> Result<Vec<Generation>> {
    let Some(name) = store.file_name() else { return Ok(Vec::new()) };
    let mut prefix = name.as_encoded_bytes().to_vec();
    prefix.extend_from_slice(b".old-");
    let unlisted = |e: std::io::Error| {
        let what = format!("the folder can't be listed: {}", crate::place::reason(&e));
        Error::io(Kind::Read, what, e).in_file(store)
    };
    let now = store.symlink_metadata();
    let (folders, gone) = (now.as_ref().is_ok_and(std::fs::Metadata::is_dir), now.is_err());
    let mut found = Vec::new();
    for item in std::fs::read_dir(folder(store)).map_err(unlisted)? {
        let item = item.map_err(unlisted)?;
        let item_name = item.file_name();
        let digits = item_name.as_encoded_bytes().strip_prefix(prefix.as_slice());
        let Some(number) = digits.and_then(number) else { continue };
        let meta = match item.metadata() {
            Ok(meta) => meta,
            // Pruned by somebody else meanwhile.
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => return Err(unlisted(e)),
        };
        let path = old_name(store, number);
        // As the caller names the folder: `./a` is not what somebody means who says `a`.
        if meta.is_dir()
            && (folders || gone)
            && let Some(saved_ms) = in_place::saved_ms(&path)
        {
            found.push(Generation { number, file: path.clone(), path, saved_ms });
            continue;
        }
        let file = if meta.is_dir() { path.join(name) } else { path.clone() };
        let held = meta.is_file() || meta.is_dir() && look(&file)?.is_some_and(|m| m.is_file());
        if held && !folders {
            let saved_ms = meta.ctime().saturating_mul(1000).saturating_add(meta.ctime_nsec() / 1_000_000);
            found.push(Generation { number, path, file, saved_ms });
        }
    }
    found.sort_by_key(|g| std::cmp::Reverse(g.number));
    Ok(found)
}

/// N as this program writes it; what others call their files is not ours to delete.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    text.parse().ok().filter(|n: &u64| *n > 0 && n.to_string() == text)
}

/// The store of which a file is an old generation, and its number, going by the name: `NAME.old-N`, or `NAME` in a
/// folder `NAME.old-N`.
pub fn generation_of(path: &Path) -> Option<(PathBuf, u64)> {
    let named = |path: &Path| {
        let name = path.file_name()?.as_encoded_bytes();
        let at = name.windows(5).rposition(|w| w == b".old-")?;
        let (store, digits) = (name.get(..at)?, name.get(at + 5..)?);
        Some((path.with_file_name(OsStr::from_bytes(store)), number(digits)?))
    };
    named(path).or_else(|| named(path.parent()?).filter(|(store, _)| store.file_name() == path.file_name()))
}

/// The number after the newest generation's.
pub(super) fn next_number(all: &[Generation]) -> u64 {
    all.first().map_or(1, |g| g.number.saturating_add(1))
}

/// `NAME.old-N`.
pub(super) fn old_name(store: &Path, number: u64) -> PathBuf {
    with_suffix(store, &format!(".old-{number}"))
}

/// A current store that has a second name.
#[derive(Debug)]
pub(super) struct Saved {
    pub path: PathBuf,
    /// It had that name before: a run that was killed gave it, or went back to it.
    already: bool,
}

impl Saved {
    /// Gives the name up again; the store is still in its place.
    pub fn forget(self) {
        if !self.already {
            let _ = std::fs::remove_file(self.path);
        }
    }

    /// Puts the file back in `place`. Where it got its name from us, by the one call that needs no space.
    pub fn put_back(&self, place: &Path) -> std::io::Result<()> {
        if self.already {
            return put_in_place(&self.path, place, place);
        }
        std::fs::rename(&self.path, place)
    }
}

/// Gives `place` its second name, the first free `NAME.old-N` from `number` on, unless the newest generation
/// is the same file already. `opened` is the file, where it is open.
pub(super) fn save(place: &Path, opened: Option<&File>, number: u64) -> Result<Saved> {
    let failed = |e| failed("the current store can't be kept as an old generation", e);
    let mut newest = old_name(place, number.saturating_sub(1));
    if newest.is_dir() {
        newest.push(place.file_name().unwrap_or_default());
    }
    if let Some(file) = opened
        && look(&newest)?.is_some_and(|m| m.is_file())
        && is_second_name(file, &newest).map_err(failed)?
    {
        return Ok(Saved { path: newest, already: true });
    }
    for number in number..number.saturating_add(1000) {
        let path = old_name(place, number);
        match second_name(place, opened, &path, place) {
            Ok(()) => return Ok(Saved { path, already: false }),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(failed(e)),
        }
    }
    Err(Error::new(Kind::Write, "no number is free for an old generation"))
}

/// Deletes old generations: those that have `keep` newer ones *and* were saved `min_age_ms` or more before
/// `now_ms`. Returns them; with `dry_run` they stay. Refuses where the store itself is gone, for then they
/// are all that is left of its keys.
pub fn prune(store: &Path, keep: usize, min_age_ms: i64, now_ms: i64, dry_run: bool) -> Result<Vec<PathBuf>> {
    let old = generations(store)?;
    if look(store)?.is_none() && !old.is_empty() {
        return Err(Error::refused("the store is gone, and its old generations are all that is left")
            .hint("keyferry rollback brings the newest back")
            .in_file(store));
    }
    let mut gone = Vec::new();
    // The oldest first, so that a failure leaves no gap.
    for generation in
        old.into_iter().skip(keep).rev().filter(|g| now_ms.saturating_sub(g.saved_ms) >= min_age_ms)
    {
        if !dry_run {
            let deleted = match generation.file == generation.path {
                true if generation.path.is_dir() => in_place::delete(&generation.path),
                true => std::fs::remove_file(&generation.path),
                false => set::delete(&generation.path, store),
            };
            deleted.map_err(|e| failed("an old generation can't be deleted", e).in_file(&generation.path))?;
        }
        gone.push(generation.path);
    }
    Ok(gone)
}

/// How a store goes back.
pub struct Rollback<'a> {
    /// The store, links resolved. The caller holds its [`super::Lock`].
    pub store: &'a Path,
    /// Looks at the generation that is to come back, and says which companions its format has; an error stops
    /// there.
    pub inspect: &'a dyn Fn(&Generation) -> Result<&'static [&'static str]>,
    /// Called before each step.
    pub on_step: &'a dyn Fn(Step) -> Result<()>,
}

/// Puts an old generation back in place by one rename and returns it. The current store is saved as a
/// generation first, unless it is one already. A generation with companions brings them back, and the current
/// ones are saved with the store.
///
/// Going back twice goes further back, never forward again: a current store that is itself a generation
/// counts as that generation, and the one before it is taken.
pub fn rollback(how: &Rollback<'_>) -> Result<PathBuf> {
    let store = how.store;
    let named = |e: Error| e.in_file(store);
    let all = generations(store)?;
    let opened = Current::open(store)?;
    let file = opened.as_ref().map(|c| &c.file);
    let now = match file {
        Some(file) => current(file, &all).map_err(|e| named(failed("can't be compared", e)))?,
        None => None,
    };
    let target = all
        .iter()
        .find(|g| now.is_none_or(|n| g.number < n.number))
        .ok_or_else(|| named(Error::refused("there is no older generation to go back to")))?;
    let companions = (how.inspect)(target)?;
    // Other programs' lock, held until the rename is through.
    let lock = || opened.as_ref().map_or(Ok(()), |c| c.lock(store));
    let unlock = || opened.iter().for_each(Current::unlock);
    if target.file != target.path {
        let names = Names::new(store, companions);
        (how.on_step)(Step::Save)?;
        let newest = now.or(all.first()).map(|g| g.path.as_path());
        let old = Kept::make(&names, file, newest, next_number(&all)).map_err(named)?;
        let way = Way { guard: &lock, release: &unlock, on_step: how.on_step };
        set::go(&names, old, &target.path, &way).map_err(named)?;
        return Ok(target.path.clone());
    }
    if file.is_none() && target.path.is_dir() {
        in_place::bring_back(store, &target.path, how.on_step)?;
        return Ok(target.path.clone());
    }
    lock()?;
    one_file(how, target, file, now, next_number(&all), &unlock)?;
    Ok(target.path.clone())
}

/// Goes back to a generation that is one file.
fn one_file(
    how: &Rollback<'_>,
    target: &Generation,
    file: Option<&File>,
    now: Option<&Generation>,
    number: u64,
    unlock: &dyn Fn(),
) -> Result<()> {
    let store = how.store;
    let named = |e: Error| e.in_file(store);
    let saved = match (file, now) {
        (None, _) => None,
        (Some(_), Some(now)) => Some(Saved { path: now.file.clone(), already: true }),
        (Some(file), None) => {
            (how.on_step)(Step::Save)?;
            Some(save(store, Some(file), number).map_err(named)?)
        }
    };
    let renamed = (how.on_step)(Step::Rename)
        .and_then(|()| put_in_place(&target.path, store, store).map_err(|e| named(rename_error(e))));
    unlock();
    if let Err(e) = renamed {
        if let Some(saved) = saved {
            saved.forget();
        }
        return Err(e);
    }
    if let Err(e) = (how.on_step)(Step::SyncFolder).and_then(|()| sync_folder(store)) {
        let back = match &saved {
            Some(saved) => saved.put_back(store),
            None => std::fs::remove_file(store),
        };
        return Err(match back {
            Ok(()) => e,
            Err(f) => named(not_put_back(&e, &failed("can't be put back", f))),
        });
    }
    Ok(())
}

/// Which generation the current store is, if it is one.
fn current<'a>(store: &File, all: &'a [Generation]) -> std::io::Result<Option<&'a Generation>> {
    let own = store.metadata()?;
    // A link is told without reading.
    let linked = |g: &&Generation| g.file.symlink_metadata().is_ok_and(|m| files::same_file(&own, &m));
    if let Some(generation) = all.iter().find(linked) {
        return Ok(Some(generation));
    }
    for generation in all {
        if is_second_name(store, &generation.file)? {
            return Ok(Some(generation));
        }
    }
    Ok(None)
}
