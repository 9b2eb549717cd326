//! A whole tree of stores listed: every file is looked at by its content, on all cores, and reported in
//! the order of the walk.

use super::Input;
use super::list::{Filter, Listed, list};
use crate::context::{Ctx, Options, Secrets, Session};
use crate::error::{Error, Kind, Result};
use crate::format::{FORMATS, Format, Match, detect};
use crate::place::{Probe, Source};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What to look through and how.
pub struct Tree<'a> {
    /// The folder (or file) to begin at.
    pub root: &'a Path,
    /// Which entries are listed.
    pub filter: &'a Filter,
    /// The passwords for one store. Called from several threads.
    pub secrets: &'a SecretsFor<'a>,
    /// The formats' own options.
    pub options: &'a Options,
    /// Shared by all stores: one budget of derivations for the whole tree.
    pub session: &'a Session,
    /// Look into old generations and what else this program leaves beside stores.
    pub all: bool,
    /// Stay on the file system of `root`.
    pub one_file_system: bool,
    /// Threads; 0: as many as there are cores.
    pub threads: usize,
}

/// Chooses the passwords for a store by its path and format.
pub type SecretsFor<'a> = dyn Fn(&Path, &'static dyn Format) -> Box<dyn Secrets + 'a> + Sync + 'a;

/// What became of one path. A file that is no store is not reported.
#[derive(Debug)]
pub enum Seen {
    /// A store and its rows.
    Store(PathBuf, Listed),
    /// It could not be looked into, and why.
    Failed(PathBuf, Error),
}

/// As many paths wait for the workers; more would only hold memory.
const QUEUE: usize = 256;

/// Lists every store below `tree.root`, handing each to `report` in the order of the walk. An error of
/// `report` ends it.
pub fn list_tree(tree: &Tree<'_>, report: &mut dyn FnMut(Seen) -> Result<()>) -> Result<()> {
    let threads = match tree.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    let (to_workers, paths) = sync_channel::<(usize, Found)>(QUEUE);
    let paths = Mutex::new(paths);
    let stop = AtomicBool::new(false);
    let (results, from_workers) = channel();
    std::thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || walk(tree, to_workers, stop));
        for _ in 0..threads {
            let results = results.clone();
            let paths = &paths;
            scope.spawn(move || work(tree, paths, &results));
        }
        drop(results);
        let outcome = in_order(&from_workers, report);
        // When `report` has failed, the workers end because nobody listens any more; the walk, which may be
        // waiting for room in the queue, is told and let go on.
        drop(from_workers);
        stop.store(true, Ordering::Relaxed);
        while lock(&paths).recv().is_ok() {}
        outcome
    })
}

/// What the walk came upon.
enum Found {
    File(PathBuf),
    Folder(PathBuf),
    Failed(PathBuf, Error),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn walk(tree: &Tree<'_>, out: SyncSender<(usize, Found)>, stop: &AtomicBool) {
    let walker = walkdir::WalkDir::new(tree.root).same_file_system(tree.one_file_system).sort_by_file_name();
    let mut count = 0;
    for item in walker.into_iter().filter_entry(|e| tree.all || e.depth() == 0 || !is_leftover(e.file_name()))
    {
        let found = match item {
            // A link is not followed: what it points to is found where it is, or lies outside the tree.
            Ok(e) if e.file_type().is_file() => Found::File(e.into_path()),
            Ok(e) if e.file_type().is_dir() => Found::Folder(e.into_path()),
            Ok(_) => continue,
            Err(e) => {
                let path = e.path().unwrap_or(tree.root).to_owned();
                let why = e.io_error().map_or_else(
                    || "can't be listed".to_owned(),
                    |e| format!("can't be listed: {}", crate::place::reason(e)),
                );
                Found::Failed(path, Error::new(Kind::Read, why))
            }
        };
        if stop.load(Ordering::Relaxed) || out.send((count, found)).is_err() {
            return;
        }
        count += 1;
    }
}

/// What this program leaves beside stores: old generations, locks, temporary files, records.
fn is_leftover(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    let numbered = name
        .rsplit_once(".old-")
        .is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    numbered || name.ends_with(".lock") || name.ends_with(".tmp") || name.ends_with(".update.json")
}

fn work(tree: &Tree<'_>, paths: &Mutex<Receiver<(usize, Found)>>, out: &Sender<(usize, Option<Seen>)>) {
    loop {
        let next = lock(paths).recv();
        let Ok((at, found)) = next else { return };
        let seen = match found {
            Found::File(path) => look(tree, path, false),
            Found::Folder(path) => look(tree, path, true),
            Found::Failed(path, e) => Some(Seen::Failed(path, e)),
        };
        if out.send((at, seen)).is_err() {
            return;
        }
    }
}

/// Looks at one path. `None`: no store.
fn look(tree: &Tree<'_>, path: PathBuf, folder: bool) -> Option<Seen> {
    match inspect(tree, &path, folder) {
        Ok(Some(listed)) => Some(Seen::Store(path, listed)),
        Ok(None) => None,
        Err(e) => Some(Seen::Failed(path, e)),
    }
}

fn inspect(tree: &Tree<'_>, path: &Path, folder: bool) -> Result<Option<Listed>> {
    if folder {
        // A folder is a store only if it says so itself; its PEM files are found one by one.
        let probe = Probe { head: &[], size: None, path, directory: true };
        let Some(format) = FORMATS.iter().copied().find(|f| f.detect(&probe) == Match::Yes) else {
            return Ok(None);
        };
        return read(tree, path, &Source::open(path)?, format).map(Some);
    }
    let source = Source::open_in_tree(path)?;
    let probe = source.probe()?;
    let format = match detect(&probe) {
        Ok(format) => format,
        Err(e) if e.kind() == Kind::Unsupported => return Err(e.in_file(path)),
        Err(_) => return Ok(None),
    };
    let sure = format.detect(&probe) == Match::Yes;
    match read(tree, path, &source, format) {
        // It only looked like one: a text that mentions PEM, a DER file of another kind.
        Err(e) if !sure && matches!(e.kind(), Kind::Malformed | Kind::Unsupported) => Ok(None),
        other => other.map(Some),
    }
}

fn read(tree: &Tree<'_>, path: &Path, source: &Source, format: &'static dyn Format) -> Result<Listed> {
    let secrets = (tree.secrets)(path, format);
    let ctx = Ctx { secrets: &*secrets, options: tree.options, session: tree.session };
    let input = Input { source, format: Some(format), ctx };
    list(&path.to_string_lossy(), &input, tree.filter)
}

/// Hands results on in the order of the walk, whichever worker was first.
fn in_order(
    results: &Receiver<(usize, Option<Seen>)>,
    report: &mut dyn FnMut(Seen) -> Result<()>,
) -> Result<()> {
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    for (at, seen) in results {
        waiting.insert(at, seen);
        while let Some(seen) = waiting.remove(&next) {
            next += 1;
            if let Some(seen) = seen {
                report(seen)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_by_name() {
        for yes in ["a.jks.old-3", "a.jks.lock", ".a.jks.x1.tmp", "a.jks.update.json"] {
            assert!(is_leftover(yes.as_ref()), "{yes}");
        }
        for no in ["a.jks", "old-3", "a.old-", "a.old-x", "lock"] {
            assert!(!is_leftover(no.as_ref()), "{no}");
        }
    }
}
