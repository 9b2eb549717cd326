//! Sets of stores whose switch was interrupted: completed, or taken back.
//!
//! The staged generations of a set are marked while its stores are switched, and go when all are, and what is to follow
//! has run. Where a marked one is found, and not all stores are as they were, a run was cut off.
//!
//! A store that a settings file leads to is the old or the new one by where that leads. It is healed by leading it there,
//! all stores of one file by one rename: the files of a generation are never touched, for a program may have them open.

use super::commit::{Done, Seen, switch, take_back};
use super::located::{base, state};
use super::pointed::{self, Pointed, Prepared};
use super::{Mode, Rebuild};
use crate::error::{Error, Kind, Result};
use crate::format::{Format, by_name};
use crate::place::Source;
use crate::storeset::{self, Lock, Member, Staged, Step};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Which way an interrupted update goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The stores that are still old become the new ones.
    Forward,
    /// Those that are new become the old ones again.
    Back,
}

/// A generation that waits.
pub struct Waiting {
    /// It, and what it was made from.
    pub staged: Staged,
    /// It may become the current store, as far as the store decides that.
    pub fits: bool,
    /// A run was cut off while it switched the set, and the next run goes this way.
    pub interrupted: Option<Way>,
}

/// What waits to take the place of `store` (links resolved).
pub fn waiting(store: &Path) -> Result<Option<Waiting>> {
    let Some(staged) = Staged::read(store)? else { return Ok(None) };
    let set = Set::of(&staged)?;
    let own = set.stores.iter().find(|s| staged.member() == Some(&s.member));
    let fits = own.is_some_and(|s| s.at == At::Before) && staged.check().is_ok();
    let interrupted = set.is_interrupted().then(|| set.way());
    Ok(Some(Waiting { fits, interrupted, staged }))
}

/// Completes or takes back what was interrupted in the sets of the targets. What was done, by target.
pub(super) fn heal_all(job: &Rebuild<'_>, warnings: &mut Vec<String>) -> Result<Vec<Option<Way>>> {
    let mut done: Vec<(PathBuf, Way)> = Vec::new();
    let mut all = Vec::with_capacity(job.targets.len());
    for target in &job.targets {
        let store = storeset::resolve(target.path)?;
        let found =
            |path: &Path| done.iter().find(|(p, _)| Some(p) == std::path::absolute(path).ok().as_ref());
        if let Some((_, way)) = found(&store) {
            all.push(Some(*way));
            continue;
        }
        let healed = heal(&store, job, warnings).map_err(|e| e.in_file(target.path))?;
        if let Some((way, set)) = &healed {
            done.extend(set.stores.iter().map(|s| (s.member.home.clone(), *way)));
        }
        all.push(healed.map(|(way, _)| way));
    }
    Ok(all)
}

fn heal(store: &Path, job: &Rebuild<'_>, warnings: &mut Vec<String>) -> Result<Option<(Way, Set)>> {
    let find = || -> Result<Option<Set>> {
        let Some(staged) = Staged::read(store)? else { return Ok(None) };
        Set::of(&staged).map(|set| Some(set).filter(Set::is_interrupted))
    };
    let Some(set) = find()? else { return Ok(None) };
    if job.mode == Mode::Plan {
        warnings.push(format!(
            "an update of {} was interrupted; the next run {} first",
            set.names(),
            if set.way() == Way::Forward { "completes it" } else { "takes it back" }
        ));
        return Ok(None);
    }
    let mut paths: Vec<_> = set.stores.iter().map(|s| &s.member.home).collect();
    // In one order, so that two runs don't wait for each other.
    paths.sort();
    let _locks = paths.into_iter().map(|p| Lock::take(p)).collect::<Result<Vec<_>>>()?;
    // Another run may have been faster.
    let Some(mut set) = find()? else { return Ok(None) };
    let way = set.way();
    match way {
        Way::Forward => set.complete(job)?,
        Way::Back => set.go_back(job.on_step)?,
    }
    set.finish(way, warnings);
    let what = if way == Way::Forward { "completed" } else { "taken back" };
    warnings.push(format!("an update of {} had been interrupted; it was {what}", set.names()));
    Ok(Some((way, set)))
}

/// Where a store of a set is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// As it was.
    Before,
    /// The new one.
    After,
    /// Somebody has changed it.
    Elsewhere,
}

/// The stores that were staged together.
struct Set {
    stores: Vec<InSet>,
}

struct InSet {
    member: Member,
    format: &'static dyn Format,
    staged: Option<Staged>,
    at: At,
    /// Where the store is now. `None`: its settings file leads to no generation of it.
    now: Option<PathBuf>,
}

impl Set {
    fn of(staged: &Staged) -> Result<Set> {
        let stores = staged.note.set.iter().map(|m| InSet::look(m, staged)).collect::<Result<_>>()?;
        Ok(Set { stores })
    }

    fn is_interrupted(&self) -> bool {
        let begun = |s: &InSet| s.staged.as_ref().is_some_and(Staged::has_begun);
        self.stores.iter().any(begun) && self.stores.iter().any(|s| s.at != At::Before)
    }

    fn way(&self) -> Way {
        let good = |s: &InSet| match s.at {
            At::After => true,
            At::Before => s.staged.as_ref().is_some_and(|s| s.check().is_ok()),
            At::Elsewhere => false,
        };
        if self.stores.iter().all(good) { Way::Forward } else { Way::Back }
    }

    fn names(&self) -> String {
        let names: Vec<_> = self.stores.iter().map(|s| s.member.path.display().to_string()).collect();
        names.join(", ")
    }

    /// Switches what is left to be switched, then runs what is to follow. Where that fails, all of it goes back.
    fn complete(&mut self, job: &Rebuild<'_>) -> Result<()> {
        let mut done: Vec<Done<'_>> = Vec::new();
        let mut apart: Vec<Prepared> = Vec::new();
        for store in self.stores.iter().filter(|s| s.at == At::Before) {
            match store.switch(job.on_step, &mut apart) {
                Ok(switched) => done.extend(switched),
                Err(e) => return Err(take_back(done, e)),
            }
        }
        match pointed::switch(&mut apart, job.on_step) {
            Ok(switched) => done.extend(switched),
            Err(e) => return Err(take_back(done, e)),
        }
        if let Err(e) = (job.after)() {
            let e = take_back(done, e);
            return Err(match self.go_back(job.on_step) {
                Ok(()) => e,
                Err(f) => storeset::not_put_back(&e, &f),
            });
        }
        for prepared in &apart {
            let own = self.stores.iter_mut().find(|s| s.member.path == prepared.from);
            own.into_iter().for_each(|s| s.now = Some(prepared.to.clone()));
        }
        Ok(())
    }

    /// Puts back every store that was switched; those of one settings file together.
    fn go_back(&self, on_step: &dyn Fn(Step) -> Result<()>) -> Result<()> {
        let new = || self.stores.iter().filter(|s| s.at == At::After);
        let mut files: Vec<_> = new().filter_map(|s| s.member.pointer.as_deref()).collect();
        files.sort();
        files.dedup();
        for settings in files {
            let own = new().filter(|s| s.member.pointer.as_deref() == Some(settings));
            let back: Vec<_> = own.filter_map(|s| Some((s.now.as_deref()?, &*s.member.path))).collect();
            let _ = pointed::point(settings, &back, on_step)?;
        }
        new().filter(|s| s.member.pointer.is_none()).try_for_each(|s| s.go_back(on_step))
    }

    /// Nothing waits any more.
    fn finish(&self, way: Way, warnings: &mut Vec<String>) {
        for InSet { member, format, staged, now, .. } in &self.stores {
            let Some(staged) = staged else { continue };
            super::commit::warn(Staged::discard(&member.home), warnings);
            if let (Way::Forward, Some(now)) = (way, now) {
                let noted = state(now, *format).and_then(|state| {
                    let mut record = staged.note.record.clone();
                    record.store_state = state;
                    record.write(now)
                });
                super::commit::warn(noted, warnings);
            }
        }
    }
}

impl InSet {
    fn look(member: &Member, found: &Staged) -> Result<InSet> {
        let unknown =
            || Error::unsupported(format!("a staged store is of the unknown format {}", member.format));
        let format = by_name(&member.format).ok_or_else(unknown)?;
        let staged = Staged::read(&member.home)?.filter(|s| s.note.set == found.note.set);
        let now = match &member.pointer {
            None => Some(member.path.clone()),
            Some(settings) => match pointed::current(settings, &member.home) {
                Ok(now) => Some(now),
                Err(e) if e.kind() == Kind::Refused => None,
                Err(e) => return Err(e),
            },
        };
        let at = match &now {
            None => At::Elsewhere,
            Some(now) if is_base(member, now, format)? => At::Before,
            // What waited for it is gone already: it is one of those that are done with.
            Some(now) if staged.is_none() || is_next(member, now, format)? => At::After,
            Some(_) => At::Elsewhere,
        };
        Ok(InSet { member: member.clone(), format, staged, at, now })
    }

    /// One that a settings file leads to is prepared for that.
    fn switch(
        &self,
        on_step: &dyn Fn(Step) -> Result<()>,
        apart: &mut Vec<Prepared>,
    ) -> Result<Option<Done<'static>>> {
        let store = &self.member.path;
        let staged = self.staged.as_ref().ok_or_else(|| Error::refused("nothing is staged for it"))?;
        let current = if self.member.base.is_some() { Some(Source::open(store)?) } else { None };
        let seen = Seen {
            format: self.format,
            identity: current.as_ref().and_then(Source::identity),
            content: None,
        };
        let Some(settings) = &self.member.pointer else {
            return switch(staged, store, &seen, on_step).map(Some).map_err(|e| e.in_file(store));
        };
        let pointed = Pointed { settings: settings.clone(), home: self.member.home.clone() };
        apart.push(pointed::prepare(store, &seen, &pointed, staged.open()?, on_step)?);
        Ok(None)
    }

    /// By the generation that it was.
    fn go_back(&self, on_step: &dyn Fn(Step) -> Result<()>) -> Result<()> {
        let store = &self.member.path;
        let lost = || {
            Error::refused("can't be taken back: the generation that it was is not its newest").in_file(store)
        };
        let Some(base) = &self.member.base else {
            // It was not there; its key came from elsewhere.
            return self.staged.as_ref().ok_or_else(lost)?.take_away();
        };
        if let Some(in_place) = self.format.in_place().filter(|_| store.is_dir()) {
            let inspect = |g: &storeset::Generation| if g.is(base) { Ok(()) } else { Err(lost()) };
            return storeset::roll_back(store, in_place, &inspect, on_step).map(drop);
        }
        let companions = self.format.companions();
        let inspect = |g: &storeset::Generation| if g.is(base) { Ok(companions) } else { Err(lost()) };
        storeset::rollback(&storeset::Rollback { store, inspect: &inspect, on_step }).map(drop)
    }
}

/// Whether the store, which is at `now`, is as it was when its set was staged.
fn is_base(member: &Member, now: &Path, format: &dyn Format) -> Result<bool> {
    let there = member.pointer.is_none() || pointed::is_same(now, &member.path);
    Ok(there && base(now, format)? == member.base)
}

/// Whether it is what was staged for it.
fn is_next(member: &Member, now: &Path, format: &dyn Format) -> Result<bool> {
    match (&member.next, format.in_place().filter(|_| now.is_dir())) {
        (Some(next), _) => Ok(now.is_file() && storeset::digest(now).is_ok_and(|d| d == *next)),
        (None, Some(in_place)) => in_place.is_same(now, &storeset::staged_place(&member.home)),
        (None, None) => Ok(false),
    }
}
