//! Staged stores moved into place, all or none.

use super::located::{Located, Next};
use super::pointed::{self, Prepared};
use super::pruning::{self, Prune};
use super::{Rebuild, StoreReport};
use crate::error::{Error, Kind, Result};
use crate::format::Format;
use crate::model::Store;
use crate::place::{Identity, Staging};
use crate::storeset::{self, Step};
use std::path::{Path, PathBuf};

pub(super) type Built<'a> = (Located<'a>, [u8; 32], Option<Next>, StoreReport);

/// Moves every staged store into place. When one fails, those before it are put back. Stores that a settings file leads
/// to come last, together.
///
/// What comes after the swaps (records, pruning) is not worth an error: the stores are the new ones.
pub(super) fn commit_all(
    job: &Rebuild<'_>,
    built: &mut [Built<'_>],
    warnings: &mut Vec<String>,
) -> Result<()> {
    for (_, _, next, _) in built.iter() {
        if let Some(Next::Waiting(staged)) = next {
            staged.begin()?;
        }
    }
    let mut done = Vec::new();
    let mut apart = Vec::new();
    for (place, digest, next, report) in built.iter_mut() {
        let moved = match next.take() {
            // Nothing to write, but the next run need not find that out again.
            Some(Next::Same) => {
                warn(place.record(job, digest, report), warnings);
                Ok(None)
            }
            Some(next) => move_one(place, next, job.on_step, &mut apart),
            None => Ok(None),
        };
        match moved {
            Ok(moved) => {
                report.old = moved.as_ref().and_then(Done::old);
                done.extend(moved);
            }
            Err(e) => return Err(take_back(done, e.in_file(place.target.path))),
        }
    }
    match pointed::switch(&mut apart, job.on_step) {
        Ok(switched) => done.extend(switched),
        Err(e) => return Err(take_back(done, e)),
    }
    if !done.is_empty()
        && let Err(e) = (job.after)()
    {
        let e = take_back(done, e);
        // A hook that fails every night must not fill the disk with generations that were taken back.
        for (place, ..) in built.iter().filter(|b| b.3.changed) {
            if let Some(pointed) = &place.pointed {
                // What can't be deleted goes another time; the hook is what is told of.
                let _ = pruning::taken_back(pointed, &place.path, &how(place));
            }
        }
        return Err(e);
    }
    // Where stores are that no settings file leads to.
    let in_use: Vec<PathBuf> =
        built.iter().filter(|b| b.0.pointed.is_none()).map(|b| b.0.path.clone()).collect();
    for (place, digest, _, report) in built.iter_mut().filter(|(_, _, _, r)| r.changed) {
        if let Some(now) = apart.iter().find(|p| p.from == place.path) {
            report.old = Some(std::mem::replace(&mut place.path, now.to.clone()));
        }
        // What was kept for this store has taken its place, or fits it no more.
        warn(storeset::Staged::discard(place.home()), warnings);
        warn(place.record(job, digest, report), warnings);
        match prune(place, &in_use) {
            Ok(pruned) => report.pruned = pruned,
            Err(e) => warn(Err(e), warnings),
        }
    }
    Ok(())
}

/// Deletes old generations of a store. Those that went.
fn prune(place: &Located<'_>, in_use: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let how = how(place);
    match &place.pointed {
        Some(pointed) => {
            pruning::of_store(pointed, &place.path, in_use, &how, &place.target.ctx).map(|p| p.gone)
        }
        None => storeset::prune(&place.path, how.keep, how.min_age_ms, how.now_ms, false),
    }
}

fn how(place: &Located<'_>) -> Prune {
    Prune {
        keep: place.target.keep,
        min_age_ms: place.target.retention_ms,
        now_ms: place.target.ctx.session.now_ms,
        dry_run: false,
    }
}

/// Moves one store into place; one that a settings file leads to is prepared for that.
fn move_one(
    place: &Located<'_>,
    next: Next,
    on_step: &dyn Fn(Step) -> Result<()>,
    apart: &mut Vec<Prepared>,
) -> Result<Option<Done<'static>>> {
    let staging = match next {
        Next::Same | Next::Refused => return Ok(None),
        Next::InPlace(wanted) => return Ok(change(place, &wanted, on_step)?.map(Done::Changed)),
        Next::Waiting(staged) if place.pointed.is_none() => {
            return switch(&staged, &place.path, &place.seen(), on_step).map(Some);
        }
        Next::Waiting(staged) => staged.open()?,
        Next::Ready(staging) => staging,
    };
    match &place.pointed {
        None => swap(staging, &place.path, &place.seen(), on_step).map(Some),
        Some(pointed) => {
            apart.push(pointed::prepare(&place.path, &place.seen(), pointed, staging, on_step)?);
            Ok(None)
        }
    }
}

pub(super) fn warn(outcome: Result<()>, warnings: &mut Vec<String>) {
    warnings.extend(outcome.err().map(|e| e.to_string()));
}

/// Something that can be taken back.
pub(super) enum Done<'a> {
    Swapped(storeset::Committed),
    /// A store that was changed where it is.
    Changed(storeset::Changed<'a>),
    /// A settings file that leads to other generations now.
    Pointed(storeset::Committed),
}

impl Done<'_> {
    /// The saved old generation.
    fn old(&self) -> Option<PathBuf> {
        match self {
            Done::Swapped(committed) => committed.old.clone(),
            Done::Changed(changed) => Some(changed.old().to_owned()),
            Done::Pointed(_) => None,
        }
    }

    fn undo(self) -> Result<()> {
        match self {
            // The generations stay until they are old enough: a program that was just started may be on its way there.
            Done::Swapped(committed) | Done::Pointed(committed) => committed.undo(),
            Done::Changed(changed) => changed.undo(),
        }
    }
}

/// A store as it was seen, so that nobody's change is lost.
pub(super) struct Seen<'a> {
    pub format: &'static dyn Format,
    pub identity: Option<Identity>,
    pub content: Option<&'a [u8]>,
}

/// Moves what was staged into the place of a store.
fn swap(
    staging: Staging,
    store: &Path,
    seen: &Seen<'_>,
    on_step: &dyn Fn(Step) -> Result<()>,
) -> Result<Done<'static>> {
    let how = storeset::Commit {
        store,
        expected: seen.identity,
        content: seen.content,
        companions: seen.format.companions(),
        on_step,
    };
    storeset::commit(staging, &how).map(Done::Swapped)
}

/// Makes what was kept the current store. The folder that keeps it stays.
pub(super) fn switch(
    staged: &storeset::Staged,
    store: &Path,
    seen: &Seen<'_>,
    on_step: &dyn Fn(Step) -> Result<()>,
) -> Result<Done<'static>> {
    let Some(in_place) = seen.format.in_place().filter(|_| store.is_dir() && seen.identity.is_none()) else {
        return swap(staged.open()?, store, seen, on_step);
    };
    let base = staged.member().and_then(|m| m.base.as_deref());
    let changed = storeset::change(store, in_place, on_step, |before| {
        if base != Some(&*in_place.state(store)?) {
            return Err(Error::new(Kind::Busy, "was changed by another program meanwhile").in_file(store));
        }
        before()?;
        in_place.restore(store, &staged.path(), &|_| Ok(()))
    })?;
    changed.map(Done::Changed).ok_or_else(|| Error::new(Kind::Write, "nothing was changed"))
}

/// Changes a store where it is.
fn change(
    place: &Located<'_>,
    wanted: &Store,
    on_step: &dyn Fn(Step) -> Result<()>,
) -> Result<Option<storeset::Changed<'static>>> {
    let Some(in_place) = place.format.in_place() else {
        return Err(Error::unsupported("a store of this format can't be changed in place"));
    };
    storeset::change(&place.path, in_place, on_step, |before| {
        in_place.apply(&place.path, wanted, Some(before), &place.target.ctx).map(drop)
    })
}

/// Takes commits back, the last first. The failure that led to it is reported; what can't be put back is
/// said with it.
pub(super) fn take_back(done: Vec<Done<'_>>, cause: Error) -> Error {
    let failed = done.into_iter().rev().filter_map(|c| c.undo().err());
    failed.fold(cause, |cause, e| {
        let place = cause.place().path.clone();
        let both = storeset::not_put_back(&cause, &e);
        place.iter().fold(both, |e, path| e.in_file(path))
    })
}
