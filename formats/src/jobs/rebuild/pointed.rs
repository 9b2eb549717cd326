//! Stores that a settings file leads to (`keystore.conf`, `mqclient.ini`): each generation is a folder of its own, with
//! the store and its companions, and the file is rewritten to lead there.
//!
//! ```text
//! client.kdb            the first generation, as it was found
//! client.kdb.gen-1/     client.kdb, client.sth …
//! keystore.conf         cms.keystore = …/client.kdb.gen-1/client
//! ```
//!
//! A program that reads the file once has all stores of one generation, with their companions: one rename switches them.

use super::commit::{Done, Seen, take_back};
use crate::error::{Error, Kind, Result};
use crate::format::Format;
use crate::mq::SettingsFile;
use crate::place::Staging;
use crate::storeset::{self, Step};
use std::path::{Path, PathBuf};

/// Between the store's name and the number of a generation.
const FOLDER: &str = ".gen-";

/// Where a store is that a settings file leads to.
pub(super) struct Pointed {
    /// The settings file.
    pub settings: PathBuf,
    /// The store's place before it had generations; they are beside it.
    pub home: PathBuf,
}

/// The generation of the store `home` that the settings file leads to: the store itself, or one in a folder beside it.
pub fn current(settings: &Path, home: &Path) -> Result<PathBuf> {
    let file = SettingsFile::open(settings)?;
    let all = folders(home)?;
    let named = file.stores();
    let leads = |path: &Path| named.iter().any(|n| is_same(&n.path, path));
    let own = std::iter::once(home.to_owned());
    let mut generations = all.iter().map(|(_, folder)| store_in(folder, home)).chain(own);
    generations.find(|p| leads(p)).ok_or_else(|| {
        Error::refused(format!("leads to no generation of {}", home.display())).in_file(settings)
    })
}

/// The folders with generations of the store `home`, with their numbers, newest first.
pub fn folders(home: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let around = home.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unlisted = |e| Error::io(Kind::Read, "the folder can't be listed", e).in_file(home);
    let mut prefix = home.file_name().unwrap_or_default().to_owned();
    prefix.push(FOLDER);
    let mut found = Vec::new();
    for item in std::fs::read_dir(around).map_err(unlisted)? {
        let item = item.map_err(unlisted)?;
        let name = item.file_name();
        let digits = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes());
        let number = digits.and_then(storeset::number);
        let folder = number.filter(|_| item.file_type().is_ok_and(|t| t.is_dir()));
        found.extend(folder.map(|n| (n, around.join(name))));
    }
    found.sort_by_key(|(n, _)| std::cmp::Reverse(*n));
    Ok(found)
}

pub(super) fn store_in(folder: &Path, home: &Path) -> PathBuf {
    folder.join(home.file_name().unwrap_or_default())
}

/// Where a store was before it had generations, if it is in the folder of one.
pub(super) fn home_of(store: &Path) -> Option<PathBuf> {
    let (name, folder) = (store.file_name()?, store.parent()?);
    let digits = folder.file_name()?.as_encoded_bytes().strip_prefix(name.as_encoded_bytes())?;
    storeset::number(digits.strip_prefix(FOLDER.as_bytes())?)?;
    Some(folder.with_file_name(name))
}

pub(super) fn is_same(a: &Path, b: &Path) -> bool {
    a.canonicalize().ok().zip(b.canonicalize().ok()).is_some_and(|(a, b)| a == b)
}

/// A generation in its folder, to which nothing leads yet. Deleted unless it is switched to.
pub(super) struct Prepared {
    settings: PathBuf,
    pub from: PathBuf,
    /// The store in its folder.
    pub to: PathBuf,
    stays: bool,
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if !self.stays {
            self.to.parent().into_iter().for_each(discard);
        }
    }
}

/// Deletes a generation that nothing leads to. What can't be deleted does no harm, and goes another time.
pub(super) fn discard(folder: &Path) {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let home = name.rsplit_once(FOLDER).map_or(&*name, |(home, _)| home);
    let _ = storeset::discard_folder(folder, &folder.with_file_name(home));
}

/// Puts what was staged for the store, which is at `from`, into a folder of its own.
pub(super) fn prepare(
    from: &Path,
    seen: &Seen<'_>,
    pointed: &Pointed,
    staging: Staging,
    on_step: &dyn Fn(Step) -> Result<()>,
) -> Result<Prepared> {
    let newest = folders(&pointed.home)?.first().map_or(0, |(n, _)| *n);
    let folder = storeset::with_suffix(&pointed.home, &format!("{FOLDER}{}", newest.saturating_add(1)));
    let how = storeset::Commit {
        store: from,
        expected: seen.identity,
        content: seen.content,
        companions: along(seen.format, from),
        on_step,
    };
    storeset::commit_apart(staging, &how, &pointed.home, &folder)?;
    let to = store_in(&folder, &pointed.home);
    Ok(Prepared { settings: pointed.settings.clone(), from: from.to_owned(), to, stays: false })
}

/// What goes along into the folder of the next generation: its companions, and the stash that programs look for beside
/// it, even where that is no part of the store.
fn along(format: &dyn Format, store: &Path) -> &'static [&'static str] {
    let stash = format.stash_file(store).filter(|s| *s == store.with_extension("sth") && s.is_file());
    match (format.companions(), stash) {
        ([], Some(_)) => &["sth"],
        (companions, _) => companions,
    }
}

/// Makes each settings file lead to all that was prepared for it.
pub(super) fn switch(
    prepared: &mut [Prepared],
    on_step: &dyn Fn(Step) -> Result<()>,
) -> Result<Vec<Done<'static>>> {
    let mut files: Vec<_> = prepared.iter().map(|p| p.settings.clone()).collect();
    files.sort();
    files.dedup();
    let mut done = Vec::new();
    for settings in files {
        let own = || prepared.iter().filter(|p| p.settings == settings);
        match lead(&settings, own(), on_step) {
            Ok(committed) => done.push(Done::Pointed(committed)),
            Err(e) => return Err(take_back(done, e)),
        }
    }
    prepared.iter_mut().for_each(|p| p.stays = true);
    Ok(done)
}

fn lead<'a>(
    settings: &Path,
    to: impl Iterator<Item = &'a Prepared>,
    on_step: &dyn Fn(Step) -> Result<()>,
) -> Result<storeset::Committed> {
    let stores: Vec<_> = to.map(|p| (&*p.from, &*p.to)).collect();
    point(settings, &stores, on_step)
}

/// Makes a settings file that leads to the first of each two lead to the second, by one rename.
pub(super) fn point(
    settings: &Path,
    stores: &[(&Path, &Path)],
    on_step: &dyn Fn(Step) -> Result<()>,
) -> Result<storeset::Committed> {
    let elsewhere = || Error::new(Kind::Busy, "leads elsewhere by now").in_file(settings);
    let mut file = SettingsFile::open(settings)?;
    for (from, to) in stores {
        if file.point(from, to)?.is_empty() {
            return Err(elsewhere());
        }
    }
    file.save(on_step)?.ok_or_else(elsewhere)
}
