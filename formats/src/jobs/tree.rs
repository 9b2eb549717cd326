//! A whole tree of stores gone through: every file is looked at by its content, on all cores, and what was
//! made of each is reported in the order of the walk.

use super::Input;
use super::list::{FileRow, Filter, Listed, list};
use crate::context::{Ctx, Options, Secrets, Session};
use crate::error::{Error, Kind, Result};
use crate::format::{FORMATS, Format, Match, detect};
use crate::place::{FileFacts, Probe, Source, path_text};
use crate::storeset::is_leftover;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What to look through and how.
pub struct Tree<'a> {
    /// The folder (or file) to begin at.
    pub root: &'a Path,
    /// The passwords for one store. Called from several threads.
    pub secrets: &'a SecretsFor<'a>,
    /// The formats' own options.
    pub options: &'a Options,
    /// What all stores share; each may spend its part of the budget.
    pub session: &'a Session,
    /// Look into old generations and what else this program leaves beside stores.
    pub all: bool,
    /// Go on into other file systems that are mounted below `root`.
    pub cross_file_systems: bool,
    /// Threads; 0: as many as there are cores.
    pub threads: usize,
}

/// Chooses the passwords for a store by its path and format.
pub type SecretsFor<'a> = dyn Fn(&Path, &'static dyn Format) -> Box<dyn Secrets + 'a> + Sync + 'a;

/// A store that was recognised and is about to be read.
pub struct Found<'a> {
    /// Where it is: `root` and the names below it.
    pub path: &'a Path,
    /// Its source, format and passwords, as [`super::load`] takes them.
    pub input: Input<'a>,
    /// The store's format.
    pub format: &'static dyn Format,
    /// What the system says of the file; of a store that is a folder, of the first of its files.
    pub file: Option<FileFacts>,
}

/// What became of one path. A file that is no store is not reported.
#[derive(Debug)]
pub enum Seen<T> {
    /// A store and what was made of it.
    Store(PathBuf, T),
    /// It could not be looked into, and why.
    Failed(PathBuf, Error),
}

/// As many paths wait for the workers; more would only hold memory.
const QUEUE: usize = 128;
/// The walk is at most so many paths ahead of the report, however long one store takes: what was made of those
/// behind it waits in memory.
const AHEAD: usize = 512;

/// Lists a store that was found, with what the system says of its file.
pub fn list_found(found: &Found<'_>, filter: &Filter) -> Result<Listed> {
    let mut listed = list(&path_text(found.path), &found.input, filter)?;
    if let Some(facts) = found.file
        && !listed.rows.is_empty()
    {
        let file = FileRow::of(facts);
        listed.rows.iter_mut().for_each(|row| row.file = Some(file.clone()));
    }
    Ok(listed)
}

/// Goes through every store below `tree.root`: `look` is called for each on the worker threads, and what it
/// returns is handed to `report` on this one, in the order of the walk. An error of `look` is reported as
/// [`Seen::Failed`]; one of `report` ends it all.
pub fn walk_tree<T: Send>(
    tree: &Tree<'_>,
    look: &(dyn Fn(&Found<'_>) -> Result<T> + Sync),
    report: &mut dyn FnMut(Seen<T>) -> Result<()>,
) -> Result<()> {
    let threads = match tree.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    let (to_workers, paths) = sync_channel::<Batch>(QUEUE);
    let paths = Mutex::new(paths);
    let pace = Pace::default();
    let (results, from_workers) = channel();
    std::thread::scope(|scope| {
        let pace = &pace;
        scope.spawn(move || walk(tree, to_workers, pace));
        for _ in 0..threads {
            let results = results.clone();
            let paths = &paths;
            scope.spawn(move || work(tree, look, paths, &results));
        }
        drop(results);
        let outcome = in_order(&from_workers, pace, report);
        // When `report` has failed, the workers end because nobody listens any more; the walk, which may be
        // waiting, is told and let go on.
        drop(from_workers);
        pace.stop();
        while lock(&paths).recv().is_ok() {}
        outcome
    })
}

/// What the walk came upon.
enum Step {
    File(PathBuf),
    Folder(PathBuf),
    Failed(PathBuf, Error),
}

/// Paths with their numbers, handed over together: for most files the hand-over costs as much as the look.
type Batch = Vec<(usize, Step)>;

/// How many paths go to a worker at once. The first ones go alone, so that a few large stores find all workers.
fn batch(count: usize) -> usize {
    if count < 64 { 1 } else { 8 }
}

/// How far the report is; `None`: nobody wants more.
struct Pace {
    reported: Mutex<Option<usize>>,
    changed: Condvar,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { reported: Mutex::new(Some(0)), changed: Condvar::new() }
    }
}

impl Pace {
    /// Waits until path number `at` is not too far ahead; false: stop.
    fn may_go_on(&self, at: usize) -> bool {
        let too_far = |reported: &mut Option<usize>| reported.is_some_and(|r| at >= r + AHEAD);
        let guard = self.changed.wait_while(lock(&self.reported), too_far);
        guard.unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn reached(&self, count: usize) {
        // Not at every path: the walk would be woken for each.
        if count.is_multiple_of(AHEAD / 4) {
            *lock(&self.reported) = Some(count);
            self.changed.notify_one();
        }
    }

    fn stop(&self) {
        *lock(&self.reported) = None;
        self.changed.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn walk(tree: &Tree<'_>, out: SyncSender<Batch>, pace: &Pace) {
    let walker =
        walkdir::WalkDir::new(tree.root).same_file_system(!tree.cross_file_systems).sort_by_file_name();
    let mut count = 0;
    let mut together = Batch::new();
    for item in walker.into_iter().filter_entry(|e| tree.all || e.depth() == 0 || !is_leftover(e.file_name()))
    {
        let found = match item {
            // A link is not followed: what it points to is found where it is, or lies outside the tree.
            Ok(e) if e.file_type().is_file() => Step::File(e.into_path()),
            Ok(e) if e.file_type().is_dir() => Step::Folder(e.into_path()),
            Ok(_) => continue,
            Err(e) => {
                let path = e.path().unwrap_or(tree.root).to_owned();
                let why = e.io_error().map_or_else(
                    || "can't be listed".to_owned(),
                    |e| format!("can't be listed: {}", crate::place::reason(e)),
                );
                let error = Error::new(Kind::Read, why).in_file(&path);
                Step::Failed(path, error)
            }
        };
        together.push((count, found));
        count += 1;
        // What is held back here is far less than the report may lag behind, so neither waits for the other.
        if together.len() >= batch(count)
            && (!pace.may_go_on(count) || out.send(std::mem::take(&mut together)).is_err())
        {
            return;
        }
    }
    // Nobody listens any more, or these are the last.
    let _ = out.send(together);
}

/// What is done with each store.
type Look<'a, T> = &'a (dyn Fn(&Found<'_>) -> Result<T> + Sync);

fn work<T>(tree: &Tree<'_>, look: Look<'_, T>, paths: &Mutex<Receiver<Batch>>, out: &Sender<Results<T>>) {
    loop {
        let next = lock(paths).recv();
        let Ok(together) = next else { return };
        let results = together.into_iter().map(|(at, found)| {
            let seen = match found {
                Step::File(path) => seen(file(tree, look, &path), path),
                Step::Folder(path) => seen(folder(tree, look, &path), path),
                Step::Failed(path, e) => Some(Seen::Failed(path, e)),
            };
            (at, seen)
        });
        if out.send(results.collect()).is_err() {
            return;
        }
    }
}

/// What became of the paths of a batch.
type Results<T> = Vec<(usize, Option<Seen<T>>)>;

fn seen<T>(result: Result<Option<T>>, path: PathBuf) -> Option<Seen<T>> {
    match result {
        Ok(made) => made.map(|made| Seen::Store(path, made)),
        Err(e) => Some(Seen::Failed(path, e)),
    }
}

/// A folder is a store only if it says so itself; its PEM files are found one by one.
fn folder<T>(tree: &Tree<'_>, look: Look<'_, T>, path: &Path) -> Result<Option<T>> {
    let probe = Probe { head: &[], size: None, path, directory: true };
    let Some(format) = FORMATS.iter().copied().find(|f| f.detect(&probe) == Match::Yes) else {
        return Ok(None);
    };
    let first = format.folder_files().first().and_then(|name| path.join(name).symlink_metadata().ok());
    let facts = first.map(|meta| FileFacts::of(&meta));
    read(tree, look, path, &Source::open(path)?, format, facts).map(Some)
}

fn file<T>(tree: &Tree<'_>, look: Look<'_, T>, path: &Path) -> Result<Option<T>> {
    // The caller named the root, so that one may be a link.
    let opened = if path == tree.root { Source::open(path) } else { Source::open_in_tree(path) };
    let source = match opened {
        // It was there when the folder was listed: somebody's temporary file.
        Err(_) if matches!(path.symlink_metadata(), Err(e) if e.kind() == std::io::ErrorKind::NotFound) => {
            return Ok(None);
        }
        opened => opened?,
    };
    let probe = source.probe()?;
    if probe.head.is_empty() {
        return Ok(None);
    }
    let format = match detect(&probe) {
        Ok(format) => format,
        Err(_) if is_no_store_by_itself(path, probe.head) => return Ok(None),
        Err(e) if e.kind() == Kind::Unsupported => return Err(e.in_file(path)),
        Err(_) => return Ok(None),
    };
    let sure = format.detect(&probe) == Match::Yes;
    match read(tree, look, path, &source, format, source.facts()) {
        // It only looked like one: a text that mentions PEM, a DER file of another kind.
        Err(e) if !sure && matches!(e.kind(), Kind::Malformed | Kind::Unsupported) => Ok(None),
        other => other.map(Some),
    }
}

/// A database of some program; where its folder is a store, that was seen by itself. What is named like a
/// part of a store that isn't there is not passed over.
fn is_no_store_by_itself(path: &Path, head: &[u8]) -> bool {
    let part = |f: &&dyn Format| f.folder_files().iter().any(|name| path.file_name() == Some(name.as_ref()));
    let in_store = |f: &dyn Format| {
        let probe = Probe { head: &[], size: None, path: path.parent()?, directory: true };
        Some(f.detect(&probe) == Match::Yes)
    };
    let owner = FORMATS.iter().copied().find(part);
    head.starts_with(b"SQLite format 3\0") && owner.is_none_or(|f| in_store(f) == Some(true))
}

fn read<T>(
    tree: &Tree<'_>,
    look: Look<'_, T>,
    path: &Path,
    source: &Source,
    format: &'static dyn Format,
    file: Option<FileFacts>,
) -> Result<T> {
    let secrets = (tree.secrets)(path, format);
    let session = tree.session.part();
    let ctx = Ctx { secrets: &*secrets, options: tree.options, session: &session };
    look(&Found { path, input: Input { source, format: Some(format), ctx }, format, file })
}

/// Hands results on in the order of the walk, whichever worker was first.
fn in_order<T>(
    results: &Receiver<Results<T>>,
    pace: &Pace,
    report: &mut dyn FnMut(Seen<T>) -> Result<()>,
) -> Result<()> {
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    for (at, seen) in results.iter().flatten() {
        waiting.insert(at, seen);
        while let Some(seen) = waiting.remove(&next) {
            next += 1;
            pace.reached(next);
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
    fn the_walk_waits_for_the_report_and_ends_with_it() {
        let pace = Pace::default();
        assert!(pace.may_go_on(AHEAD - 1));
        pace.reached(AHEAD / 4);
        assert!(pace.may_go_on(AHEAD + AHEAD / 4 - 1));
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| pace.may_go_on(10 * AHEAD));
            pace.stop();
            assert_eq!(waits.join().ok(), Some(false));
        });
    }
}
