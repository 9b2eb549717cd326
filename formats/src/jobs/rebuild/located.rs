//! A store to rebuild, as it is now, and its next form beside it.

use super::commit::Seen;
use super::compare::{compare, is_same};
use super::pointed::{self, Pointed};
use super::policy;
use super::wanted::Wanted;
use super::{Mode, Rebuild, StoreReport, Target};
use crate::error::{Error, Kind, Result};
use crate::format::{Format, detect};
use crate::jobs::build::Build;
use crate::jobs::labels::Untouched;
use crate::jobs::list::hex;
use crate::jobs::prepare::prepare;
use crate::model::Store;
use crate::place::{Source, Staging};
use crate::storeset;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A target with what is there now. Holds its lock.
pub(super) struct Located<'a> {
    pub(super) target: &'a Target<'a>,
    /// Links resolved.
    pub(super) path: PathBuf,
    /// Where a settings file leads to it.
    pub(super) pointed: Option<Pointed>,
    pub(super) current: Option<Source>,
    pub(super) identity: Option<crate::place::Identity>,
    pub(super) format: &'static dyn Format,
    _locks: [Option<storeset::Lock>; 2],
}

/// What is to be done with one store.
pub(super) enum Next {
    /// The current store is already what it should be.
    Same,
    /// Written and read back.
    Ready(Staging),
    /// To be changed where it is, so that it holds this.
    InPlace(Box<Store>),
    /// Built and kept: to be switched to.
    Waiting(Box<storeset::Staged>),
    /// A loss that nobody allowed.
    Refused,
}

impl Next {
    pub(super) fn allowed(&self) -> bool {
        !matches!(self, Next::Refused)
    }

    /// Whether the store is to change, by what was built just now.
    pub(super) fn is_new(&self) -> bool {
        matches!(self, Next::Ready(_) | Next::InPlace(_))
    }
}

impl<'a> Located<'a> {
    pub(super) fn find(target: &'a Target<'a>, dry_run: bool) -> Result<Self> {
        let home = storeset::resolve(target.path)?;
        let pointed =
            target.pointer.map(|settings| Pointed { settings: settings.to_owned(), home: home.clone() });
        // A dry run writes nothing, not even a lock file.
        let lock = |path: &Path| if dry_run { Ok(None) } else { storeset::Lock::take(path).map(Some) };
        let first = if pointed.is_some() { lock(&home)? } else { None };
        let path = match &pointed {
            Some(p) => pointed::current(&p.settings, &p.home)?,
            None => home.clone(),
        };
        // Before anything is put beside a folder that is no store of ours.
        if path.is_dir() && !target.may_be_folder(&path)? {
            storeset::replaceable(&path)?;
        }
        let own = if first.is_some() && path == home { None } else { lock(&path)? };
        let current = if storeset::is_there(&path)? { Some(open(&path)?) } else { None };
        let found = current.as_ref().map(|c| c.probe().and_then(|p| detect(&p))).transpose()?;
        let format = match (target.format, found) {
            (Some(want), Some(have)) if want.name() != have.name() => {
                return Err(Error::refused(format!("the store is {}, not {}", have.name(), want.name()))
                    .hint("a rebuild keeps a store's format; keyferry convert --force changes it"));
            }
            (Some(format), _) | (None, Some(format)) => format,
            (None, None) => crate::format::by_suffix(target.path).ok_or_else(|| {
                Error::refused("a new store's format is not told by its name")
                    .hint(format!("write FORMAT:PATH; the formats are {}", crate::format::names()))
            })?,
        };
        if !format.carries().swap {
            return Err(Error::unsupported(format!("a {} store can't be swapped in", format.name())));
        }
        if let (Some(in_place), Some(true), false) =
            (format.in_place(), current.as_ref().map(Source::is_directory), dry_run)
        {
            in_place.recover(&path)?;
        }
        let identity = current.as_ref().and_then(Source::identity);
        Ok(Located { target, path, pointed, current, identity, format, _locks: [first, own] })
    }

    /// Whether the last run had the same inputs and nobody has touched the store since.
    pub(super) fn is_current(&self, digest: &[u8; 32]) -> Result<bool> {
        let (Some(_), Some(record)) = (&self.current, storeset::Record::read(&self.path)) else {
            return Ok(false);
        };
        Ok(record.inputs == hex(digest) && record.store_state == self.state()?)
    }

    /// Whether somebody went back from what these inputs made of the store, or from a bundle that was no older.
    pub(super) fn is_held(&self, digest: &[u8; 32], serial: Option<u64>) -> bool {
        let hold = || storeset::Record::read(&self.path)?.hold;
        self.target.heeds_hold
            && self.current.is_some()
            && hold().is_some_and(|h| {
                h.inputs == hex(digest) || h.serial.is_some_and(|s| serial.is_some_and(|n| n <= s))
            })
    }

    /// Notes what this store was made from, for [`Located::is_current`] and for who goes back.
    pub(super) fn record(&self, job: &Rebuild<'_>, digest: &[u8; 32], report: &StoreReport) -> Result<()> {
        self.made_from(job, digest, report, self.state()?).write(&self.path)
    }

    /// The store as it was found.
    pub(super) fn seen(&self) -> Seen<'_> {
        Seen {
            format: self.format,
            identity: self.identity,
            content: self.current.as_ref().and_then(|c| c.bytes().ok()).map(|b| &b[..]),
        }
    }

    /// What tells this state of the store from others: of a file its digest. `None`: there is no store.
    pub(super) fn base(&self) -> Result<Option<String>> {
        base(&self.path, self.format)
    }

    /// The store beside which the next generation is kept.
    pub(super) fn home(&self) -> &Path {
        self.pointed.as_ref().map_or(&self.path, |p| &p.home)
    }

    /// What there is to be noted of this store in that state.
    pub(super) fn made_from(
        &self,
        job: &Rebuild<'_>,
        digest: &[u8; 32],
        report: &StoreReport,
        state: String,
    ) -> storeset::Record {
        let mut record = storeset::Record::made(hex(digest), state, self.target.ctx.session.now_ms);
        record.serial = policy::serial(&job.bundles);
        record.notes.clone_from(&report.notes);
        record.distrust = policy::distrust(&job.bundles).map(|d| d.sha256.clone()).collect();
        record
    }

    fn state(&self) -> Result<String> {
        state(&self.path, self.format)
    }

    pub(super) fn build(&self, job: &Rebuild<'_>, wanted: &Wanted, report: &mut StoreReport) -> Result<Next> {
        let ctx = &self.target.ctx;
        let current = match &self.current {
            Some(source) => {
                fetch(source, &self.path)?;
                self.format.read(source, ctx).map_err(|e| e.in_format(self.format.name()))?
            }
            None => Store::default(),
        };
        report.created = self.current.is_none();
        let mut merged = wanted.merge(&current, self, &mut report.losses)?;
        let in_place =
            self.format.in_place().filter(|_| self.current.as_ref().is_some_and(Source::is_directory));
        if in_place.is_none() {
            // What can't be read of the current store may be a key. Changed in place, it stays.
            merged.defects.clone_from(&current.defects);
        }
        // A key that comes from elsewhere was opened there, so what is left sealed is this store's own.
        let before = Untouched::of(&current);
        let (store, losses) = prepare(merged, ctx, self.format, &|| Ok(true), &|e| before.has(e))?;
        report.losses.extend(losses);
        compare(&current, &store, report);
        report.notes = wanted.ahead(&current);
        report.stops = wanted.distrusted_keys(&current).collect();
        if !report.stops.is_empty() {
            return Ok(Next::Refused);
        }
        report.stops = policy::stops(job, wanted, &current, report);
        if self.current.is_some() && is_same(&current, &store, self.format, ctx) {
            // Nothing is lost by leaving a store as it is.
            report.losses.clear();
            report.stops.clear();
            return Ok(Next::Same);
        }
        if !report.stops.is_empty() {
            return Ok(Next::Refused);
        }
        if let Some(in_place) = in_place {
            let named = |e: Error| e.in_format(self.format.name());
            report.losses.extend(in_place.apply(&self.path, &store, None, ctx).map_err(named)?);
            report.changed = report.losses.iter().all(|l| self.target.allow.allows(l));
            let ready = Next::InPlace(Box::new(store));
            return Ok(if report.changed { ready } else { Next::Refused });
        }
        let mut staging =
            if job.mode == Mode::Plan { Staging::memory() } else { Staging::beside(&self.path) };
        let build = Build {
            store: &store,
            base: self.current.as_ref(),
            format: self.format,
            ctx,
            allow: &self.target.allow,
        };
        report.changed = build.stage(&mut staging, &mut report.losses)?;
        Ok(if report.changed { Next::Ready(staging) } else { Next::Refused })
    }
}

/// What tells a state of a store from others: SHA-256 of a file, what the format says of a folder. `None`: there is no
/// store.
pub(super) fn base(store: &Path, format: &dyn Format) -> Result<Option<String>> {
    if !storeset::is_there(store)? {
        return Ok(None);
    }
    match format.in_place().filter(|_| store.is_dir()) {
        Some(in_place) => in_place.state(store).map(Some),
        None => {
            let read = |e| Error::io(Kind::Read, "can't be read", e).in_file(store);
            storeset::digest(store).map(Some).map_err(read)
        }
    }
}

/// What changes when anybody touches the store: which files they are, and when their content and their inodes were
/// last changed, which nobody can set back.
pub(super) fn state(store: &Path, format: &dyn Format) -> Result<String> {
    let one = |path: &Path| -> Result<String> {
        let meta =
            path.metadata().map_err(|e| Error::io(Kind::Read, "can't be looked at", e).in_file(path))?;
        let (s, ns) = (meta.ctime(), meta.ctime_nsec());
        Ok(format!("{}:{}:{}:{s}.{ns:09}", meta.dev(), meta.ino(), meta.len()))
    };
    let files = format.folder_files();
    if files.is_empty() {
        return one(store);
    }
    let states = files.iter().map(|f| one(&store.join(f)).unwrap_or_default());
    Ok(states.collect::<Vec<_>>().join(" "))
}

/// The current store, looked at while no program that knows of locks writes to it.
fn open(path: &Path) -> Result<Source> {
    let lock = storeset::ReadLock::take(path)?;
    let source = Source::open(path)?;
    source.probe()?;
    drop(lock);
    Ok(source)
}

/// Fetches all of it, with the same care. Only a store that is to change is worth the time.
fn fetch(source: &Source, path: &Path) -> Result<()> {
    let lock = storeset::ReadLock::take(path)?;
    if !source.is_directory() {
        source.bytes()?;
    }
    drop(lock);
    Ok(())
}
