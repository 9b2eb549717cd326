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
use std::sync::mpsc::{Receiver, channel};
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

/// Goes through every store below `tree.root`: `look` is called for each, on several threads, and what it returns is
/// handed to `report` on this one, in the order of the walk. An error of `look` is reported as [`Seen::Failed`]; one
/// of `report` ends it all.
pub fn walk_tree<T: Send>(
    tree: &Tree<'_>,
    look: &(dyn Fn(&Found<'_>) -> Result<T> + Sync),
    report: &mut dyn FnMut(Seen<T>) -> Result<()>,
) -> Result<()> {
    let threads = match tree.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    let walk = Walk::new(tree);
    let (results, from_others) = channel();
    std::thread::scope(|scope| {
        for _ in 1..threads {
            let (results, walk) = (results.clone(), &walk);
            scope.spawn(move || {
                while let Some(paths) = walk.wait_for_next() {
                    if results.send(made(tree, look, paths)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(results);
        let outcome = work_and_report(&walk, &from_others, &|paths| made(tree, look, paths), report);
        // When `report` has failed, nobody listens any more; those that wait are told.
        walk.stop();
        outcome
    })
}

/// This thread's part: it looks as the others do, and between two looks reports what has come from them. Were it
/// only to report, it would have to be woken for every few files.
fn work_and_report<T>(
    walk: &Walk<'_>,
    from_others: &Receiver<Made<T>>,
    made: &dyn Fn(Paths) -> Made<T>,
    report: &mut dyn FnMut(Seen<T>) -> Result<()>,
) -> Result<()> {
    let mut order = InOrder { waiting: BTreeMap::new(), next: 0, report };
    loop {
        match walk.next() {
            Next::Paths(paths) => order.take(made(paths))?,
            Next::Later => match from_others.recv() {
                Ok(made) => order.take(made)?,
                // The others have ended, though something of theirs is awaited: the scope tells why.
                Err(_) => break,
            },
            Next::End => break,
        }
        from_others.try_iter().try_for_each(|made| order.take(made))?;
        walk.reached(order.next);
    }
    from_others.iter().try_for_each(|made| {
        order.take(made)?;
        walk.reached(order.next);
        Ok(())
    })
}

/// What the walk came upon.
enum Step {
    File(PathBuf),
    Folder(PathBuf),
    Failed(PathBuf, Error),
}

/// Some paths that one thread takes together, after the number of the first: for most files a turn at the walk costs
/// as much as the look.
struct Paths(usize, Vec<Step>);

/// What became of them.
struct Made<T>(usize, Vec<Option<Seen<T>>>);

/// How many are taken together. The first ones go alone, so that a few large stores find all threads.
fn batch(taken: usize) -> usize {
    if taken < 64 { 1 } else { 8 }
}

/// The walk, from which each thread takes its next paths, and how far it is.
struct Walk<'a> {
    root: &'a Path,
    all: bool,
    at: Mutex<At>,
    reported: Condvar,
}

struct At {
    items: walkdir::IntoIter,
    taken: usize,
    /// `None`: nobody wants more.
    reported: Option<usize>,
}

impl At {
    fn is_ahead(&self) -> bool {
        self.reported.is_some_and(|r| self.taken >= r + AHEAD)
    }
}

enum Next {
    Paths(Paths),
    /// When more is reported.
    Later,
    End,
}

impl<'a> Walk<'a> {
    fn new(tree: &Tree<'a>) -> Self {
        let items = walkdir::WalkDir::new(tree.root)
            .same_file_system(!tree.cross_file_systems)
            // By name; the names of one folder have the same way before them, which is not taken apart each time.
            .sort_by(|a, b| a.path().as_os_str().cmp(b.path().as_os_str()))
            .into_iter();
        let at = Mutex::new(At { items, taken: 0, reported: Some(0) });
        Walk { root: tree.root, all: tree.all, at, reported: Condvar::new() }
    }

    /// The next paths, unless the report is too far behind.
    fn next(&self) -> Next {
        let mut at = lock(&self.at);
        if at.is_ahead() {
            return Next::Later;
        }
        self.take(&mut at).map_or(Next::End, Next::Paths)
    }

    /// The next paths, however long the report takes; nothing at the end.
    fn wait_for_next(&self) -> Option<Paths> {
        let at = self.reported.wait_while(lock(&self.at), |at| at.is_ahead());
        self.take(&mut at.unwrap_or_else(PoisonError::into_inner))
    }

    fn take(&self, at: &mut At) -> Option<Paths> {
        at.reported?;
        let first = at.taken;
        let steps: Vec<Step> = (0..batch(first)).map_while(|_| self.step(&mut at.items)).collect();
        at.taken += steps.len();
        (!steps.is_empty()).then_some(Paths(first, steps))
    }

    /// So many paths are reported.
    fn reached(&self, count: usize) {
        let mut at = lock(&self.at);
        let awaited = at.is_ahead();
        at.reported = at.reported.map(|_| count);
        if awaited {
            self.reported.notify_all();
        }
    }

    fn stop(&self) {
        lock(&self.at).reported = None;
        self.reported.notify_all();
    }

    fn step(&self, items: &mut walkdir::IntoIter) -> Option<Step> {
        loop {
            match items.next()? {
                Ok(e) if !self.all && e.depth() != 0 && is_leftover(e.file_name()) => {
                    if e.file_type().is_dir() {
                        items.skip_current_dir();
                    }
                }
                // A link is not followed: what it points to is found where it is, or lies outside the tree.
                Ok(e) if e.file_type().is_file() => return Some(Step::File(e.into_path())),
                Ok(e) if e.file_type().is_dir() => return Some(Step::Folder(e.into_path())),
                Ok(_) => {}
                Err(e) => {
                    let path = e.path().unwrap_or(self.root).to_owned();
                    let why = e.io_error().map_or_else(
                        || "can't be listed".to_owned(),
                        |e| format!("can't be listed: {}", crate::place::reason(e)),
                    );
                    let error = Error::new(Kind::Read, why).in_file(&path);
                    return Some(Step::Failed(path, error));
                }
            }
        }
    }
}

/// Hands results on in the order of the walk, whichever thread was first.
struct InOrder<'a, T> {
    waiting: BTreeMap<usize, Vec<Option<Seen<T>>>>,
    /// As many paths are reported.
    next: usize,
    report: &'a mut dyn FnMut(Seen<T>) -> Result<()>,
}

impl<T> InOrder<'_, T> {
    fn take(&mut self, Made(first, made): Made<T>) -> Result<()> {
        self.waiting.insert(first, made);
        while let Some(made) = self.waiting.remove(&self.next) {
            self.next += made.len();
            made.into_iter().flatten().try_for_each(&mut *self.report)?;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is done with each store.
type Look<'a, T> = &'a (dyn Fn(&Found<'_>) -> Result<T> + Sync);

fn made<T>(tree: &Tree<'_>, look: Look<'_, T>, Paths(first, steps): Paths) -> Made<T> {
    let made = steps.into_iter().map(|step| match step {
        Step::File(path) => seen(file(tree, look, &path), path),
        Step::Folder(path) => seen(folder(tree, look, &path), path),
        Step::Failed(path, e) => Some(Seen::Failed(path, e)),
    });
    Made(first, made.collect())
}

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
    let opened = if path.as_os_str() == tree.root.as_os_str() {
        Source::open(path)
    } else {
        Source::open_in_tree(path)
    };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::NoSecrets;

    #[test]
    fn the_walk_waits_for_the_report_and_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        for name in 0..2 * AHEAD {
            std::fs::write(folder.path().join(name.to_string()), "").unwrap();
        }
        let session = Session::new(0);
        let (secrets, options) = (
            &|_: &Path, _: &'static dyn Format| Box::new(NoSecrets) as Box<dyn Secrets>,
            &Options::default(),
        );
        let tree = Tree {
            root: folder.path(),
            secrets,
            options,
            session: &session,
            all: false,
            cross_file_systems: false,
            threads: 1,
        };
        let walk = Walk::new(&tree);
        let mut taken = 0;
        while let Next::Paths(Paths(first, steps)) = walk.next() {
            assert_eq!(first, taken);
            taken += steps.len();
        }
        assert!((AHEAD..AHEAD + 8).contains(&taken), "{taken}");
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| walk.wait_for_next().map(|Paths(first, _)| first));
            walk.reached(8);
            assert_eq!(waits.join().unwrap(), Some(taken));
            let waits = scope.spawn(|| walk.wait_for_next().is_none());
            walk.stop();
            assert!(waits.join().unwrap());
        });
    }
}
