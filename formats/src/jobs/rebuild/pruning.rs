//! Generations that are no longer needed. Where a settings file leads to the stores, these are the folders that nothing
//! leads to any more, and at last the store as it was found first.
//!
//! What leads to a generation keeps it: the settings file, its own old generations that stay, other settings files beside
//! it or the store, links. The first store is more than that, for it may be where it is for programs that nobody knows
//! of here, and the only one with some key: it stays while it holds one that the current store doesn't.

use super::healing::waiting;
use super::pointed::{self, Pointed, folders, is_same, store_in};
use crate::context::Ctx;
use crate::error::{Error, Kind, Result};
use crate::format::Format;
use crate::jobs::Set;
use crate::jobs::list::spki_of;
use crate::jobs::stash::stashed;
use crate::jobs::{Input, load};
use crate::mq::{LIMIT, Settings, SettingsFile};
use crate::place::Source;
use crate::storeset::{self, Lock, Staged, generations};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Which generations are old enough.
#[derive(Clone, Copy, Debug)]
pub struct Prune {
    /// So many newer ones must exist.
    pub keep: usize,
    /// So old one must be, in milliseconds.
    pub min_age_ms: i64,
    /// The time that this counts from, in milliseconds since 1970.
    pub now_ms: i64,
    /// Nothing is deleted.
    pub dry_run: bool,
}

/// What became of old generations.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Those that went.
    pub gone: Vec<PathBuf>,
    /// One that nothing leads to and that stays all the same, and why.
    pub stays: Vec<(PathBuf, String)>,
}

/// Deletes old generations of a store as [`storeset::prune`] does, and a staged one that can't become the current store
/// any more. Of a settings file of IBM MQ: its own, and those of the stores that it leads to; these are read with `ctx`,
/// or the stash beside them. `store`: links resolved. Takes the locks, but for a dry run.
pub fn prune(store: &Path, how: &Prune, ctx: &Ctx<'_>) -> Result<Pruned> {
    let lock = |path: &Path| if how.dry_run { Ok(None) } else { Lock::take(path).map(Some) };
    if let Some(led) = led_by(store)? {
        let mut homes: Vec<_> = led.iter().map(|(home, _)| home).collect();
        homes.sort();
        let _locks = homes.into_iter().map(|h| lock(h)).collect::<Result<Vec<_>>>()?;
        let _own = lock(store)?;
        let mut pruned = Pruned { gone: own(store, how)?, stays: Vec::new() };
        for (home, current) in &led {
            let pointed = Pointed { settings: store.to_owned(), home: home.clone() };
            let next = of_store(&pointed, current, &[], how, ctx)?;
            pruned.gone.extend(next.gone);
            pruned.stays.extend(next.stays);
        }
        let mut seen = Set::default();
        pruned.gone.retain(|path| seen.insert(path.clone()));
        return Ok(pruned);
    }
    let _lock = lock(store)?;
    let mut gone = own(store, how)?;
    if let Some(waiting) = waiting(store)?.filter(|w| !w.fits && w.interrupted.is_none()) {
        if !how.dry_run {
            Staged::discard(store)?;
        }
        gone.push(waiting.staged.path());
    }
    Ok(Pruned { gone, stays: Vec::new() })
}

fn own(store: &Path, how: &Prune) -> Result<Vec<PathBuf>> {
    storeset::prune(store, how.keep, how.min_age_ms, how.now_ms, how.dry_run)
}

/// The stores that have generations in folders and that a settings file leads to: where each was first, and where it is.
/// `None`: it is no settings file.
fn led_by(settings: &Path) -> Result<Option<Vec<(PathBuf, PathBuf)>>> {
    if !is_settings(settings) {
        return Ok(None);
    }
    let named = SettingsFile::open(settings)?.stores().into_iter();
    Ok(Some(named.filter_map(|n| Some((pointed::home_of(&n.path)?, n.path))).collect()))
}

fn is_settings(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("conf") || e.eq_ignore_ascii_case("ini"))
}

/// Deletes generations of a store that is at `current` and that nothing leads to. `others` are further stores that
/// somebody uses where they are. The caller holds the store's lock.
pub(super) fn of_store(
    pointed: &Pointed,
    current: &Path,
    others: &[PathBuf],
    how: &Prune,
    ctx: &Ctx<'_>,
) -> Result<Pruned> {
    let settings = storeset::resolve(&pointed.settings)?;
    let gone = own(&settings, how)?;
    let mut led = Led { paths: others.to_vec(), unread: None };
    led.add_states(&settings, &gone)?;
    led.paths.push(current.to_owned());
    let mut pruned = Pruned { gone, stays: Vec::new() };
    let mut newer = 0;
    for (_, folder) in folders(&pointed.home)? {
        match discard(&folder, pointed, &led, how) {
            true => pruned.gone.push(folder),
            false => newer += 1,
        }
    }
    if is_same(&pointed.home, current) {
        return Ok(pruned);
    }
    // Those of the time when the store was changed where it is are older than any folder.
    if storeset::is_there(&pointed.home)? {
        newer += 1;
        let how = Prune { keep: how.keep.saturating_sub(newer), ..*how };
        pruned.gone.extend(own(&pointed.home, &how)?);
    }
    for folder in [settings.parent(), pointed.home.parent()].into_iter().flatten() {
        led.add_neighbours(folder, &settings)?;
    }
    first(&pointed.home, current, &led, how, ctx, &mut pruned)?;
    Ok(pruned)
}

/// Deletes generations of a store that are newer than the one at `current`, and old enough: those that were taken back.
/// The caller holds the store's lock.
pub(super) fn taken_back(pointed: &Pointed, current: &Path, how: &Prune) -> Result<()> {
    let settings = storeset::resolve(&pointed.settings)?;
    let mut led = Led { paths: vec![current.to_owned()], unread: None };
    led.add_states(&settings, &[])?;
    for (_, folder) in folders(&pointed.home)? {
        if is_same(&store_in(&folder, &pointed.home), current) {
            break;
        }
        discard(&folder, pointed, &led, how);
    }
    Ok(())
}

/// Deletes a generation that nothing leads to and that is old enough. Whether it is gone, or would be.
fn discard(folder: &Path, pointed: &Pointed, led: &Led, how: &Prune) -> bool {
    let age = folder.metadata().map_or(0, |m| how.now_ms.saturating_sub(m.ctime().saturating_mul(1000)));
    let goes = age >= how.min_age_ms && !led.has(&store_in(folder, &pointed.home));
    if goes && !how.dry_run {
        pointed::discard(folder);
    }
    goes
}

/// What somebody is led to.
struct Led {
    paths: Vec<PathBuf>,
    /// A settings file that can't be read, or a link that can't be followed.
    unread: Option<PathBuf>,
}

impl Led {
    fn has(&self, store: &Path) -> bool {
        self.paths.iter().any(|l| is_same(l, store))
    }

    /// By a settings file and those of its old generations that are not `gone`.
    fn add_states(&mut self, settings: &Path, gone: &[PathBuf]) -> Result<()> {
        let around = settings.parent().unwrap_or(Path::new("/"));
        let old = generations(settings)?.into_iter().filter(|g| !gone.contains(&g.path)).map(|g| g.file);
        for state in std::iter::once(settings.to_owned()).chain(old) {
            let named = Settings::read(settings, &state)?.stores(around);
            self.paths.extend(named.into_iter().map(|n| n.path));
        }
        Ok(())
    }

    /// By other settings files in a folder, and by links there.
    fn add_neighbours(&mut self, folder: &Path, settings: &Path) -> Result<()> {
        let unlisted = |e| Error::io(Kind::Read, "the folder can't be listed", e).in_file(folder);
        for item in std::fs::read_dir(folder).map_err(unlisted)? {
            let item = item.map_err(unlisted)?;
            let (path, kind) = (item.path(), item.file_type().map_err(unlisted)?);
            if kind.is_symlink() {
                self.paths.extend(path.canonicalize());
            } else if kind.is_file()
                && is_settings(&path)
                && !is_same(&path, settings)
                && item.metadata().is_ok_and(|m| m.len() <= LIMIT)
                && self.add_states(&path, &[]).is_err()
            {
                self.unread = Some(path);
            }
        }
        Ok(())
    }
}

/// Deletes the store as it was found first, with its requests, lists and record, where that is safe.
fn first(
    home: &Path,
    current: &Path,
    led: &Led,
    how: &Prune,
    ctx: &Ctx<'_>,
    pruned: &mut Pruned,
) -> Result<()> {
    let Ok(meta) = home.symlink_metadata() else { return Ok(()) };
    let age = how.now_ms.saturating_sub(meta.ctime().saturating_mul(1000));
    if !meta.is_file() || age < how.min_age_ms || led.has(home) {
        return Ok(());
    }
    let older = generations(home)?.into_iter().any(|g| !pruned.gone.contains(&g.path));
    if older {
        return Ok(());
    }
    let why = if meta.nlink() > 1 {
        Some("it has a second name somewhere".to_owned())
    } else if let Some(unread) = &led.unread {
        Some(format!("{} can't be read, and may lead to it", unread.display()))
    } else {
        only_here(home, current, ctx)
    };
    if let Some(why) = why {
        pruned.stays.push((home.to_owned(), why));
        return Ok(());
    }
    if !how.dry_run {
        let format = format_of(home)?;
        // The stash stays: it may be another store's, too, or what a configuration takes the password from.
        let stash = format.password_file(home);
        let own =
            format.companions().iter().map(|c| home.with_extension(c)).filter(|c| Some(c) != stash.as_ref());
        let record = storeset::with_suffix(home, ".update.json");
        for path in std::iter::once(home.to_owned()).chain(own).chain([record]) {
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != ErrorKind::NotFound => {
                    return Err(Error::io(Kind::Write, "can't be deleted", e).in_file(&path));
                }
                _ => {}
            }
        }
    }
    pruned.gone.push(home.to_owned());
    Ok(())
}

/// Why a store can't go: a private key that the current one doesn't hold, or that can't be told.
fn only_here(store: &Path, current: &Path, ctx: &Ctx<'_>) -> Option<String> {
    let untold = |e: Error| format!("what it holds can't be told: {e}");
    let now = match keys(current, ctx) {
        Ok(keys) => keys,
        Err(e) => return Some(untold(e)),
    };
    match keys(store, ctx) {
        Ok(keys) if keys.is_subset(&now) => None,
        Ok(_) => Some("it holds a private key that the current store does not".to_owned()),
        Err(e) => Some(untold(e)),
    }
}

/// The public halves of all keys in a store, those that wait for a certificate included.
fn keys(store: &Path, ctx: &Ctx<'_>) -> Result<Set<Vec<u8>>> {
    let format = format_of(store)?;
    let secrets = stashed(format.stash_file(store));
    let ctx = match &secrets {
        Some(secrets) => Ctx { secrets, ..*ctx },
        None => *ctx,
    };
    let source = Source::open(store)?;
    let loaded = load(&Input { source: &source, format: Some(format), ctx })?.store;
    let unread = || Error::malformed("not all of it can be read").in_file(store);
    let waits = format.companions().contains(&"rdb") && store.with_extension("rdb").is_file();
    if !loaded.defects.is_empty() || waits && !loaded.warnings.is_empty() {
        return Err(unread());
    }
    let mut keys = Set::default();
    for entry in loaded.entries.iter().filter(|e| e.secret().is_some()) {
        keys.insert(spki_of(entry, &ctx)?.0.ok_or_else(unread)?);
    }
    Ok(keys)
}

fn format_of(store: &Path) -> Result<&'static dyn Format> {
    crate::format::detect(&Source::open(store)?.probe()?).map_err(|e| e.in_file(store))
}
