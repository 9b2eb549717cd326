//! A store changed in some points: read, changed, staged, read back, moved into place. Never edited in place,
//! but for a folder that other programs have open: that is changed in one transaction.
//!
//! What nobody touched keeps its bytes: certificates always, keys as they stand enciphered where the format
//! keeps keys as a whole, and what only the format knows.

use super::build::Build;
use super::labels::Untouched;
use super::prepare::prepare;
use super::rebuild::RETENTION_MS;
use super::{AllowLoss, Input};
use crate::context::{Ctx, NoSecrets, Secrets};
use crate::error::{Error, Result};
use crate::format::{Format, InPlace, PasswordUse, detect};
use crate::model::{Entry, Loss, Store};
use crate::place::{Source, Staging};
use crate::storeset::{self, Step};
use std::path::{Path, PathBuf};

/// Makes a change of a store; false: there is nothing to change.
pub type Change<'a> = &'a dyn Fn(&mut Store, &'static dyn Format) -> Result<bool>;

/// What to change and how.
pub struct Edit<'a> {
    /// The store.
    pub path: &'a Path,
    /// Its format where the caller names one; else by content.
    pub format: Option<&'static dyn Format>,
    /// Its password and options.
    pub ctx: Ctx<'a>,
    /// The passwords that it is written with, where those change: then every key is enciphered anew that the
    /// change doesn't tell to stay as it stands.
    pub to: Option<Ctx<'a>>,
    /// Makes the change.
    pub change: Change<'a>,
    /// Which losses are accepted.
    pub allow: AllowLoss,
    /// Plan only: nothing is written.
    pub dry_run: bool,
    /// Called before each step of the swap.
    pub on_step: &'a dyn Fn(Step) -> Result<()>,
}

/// What was done, or why not.
#[derive(Debug, Default)]
pub struct Edited {
    /// The store's format.
    pub format: &'static str,
    /// It was (or would be) changed. False: there was nothing to change, or a loss refused it.
    pub changed: bool,
    /// What the store no longer holds as it did, notes included.
    pub losses: Vec<Loss>,
    /// What the reader had to say.
    pub warnings: Vec<String>,
    /// The saved old generation.
    pub old: Option<PathBuf>,
}

/// So many newer ones must exist before one goes.
const KEEP: usize = 2;

/// Changes a store.
pub fn edit(job: &Edit<'_>) -> Result<Edited> {
    locked(job).map_err(|e| e.in_file(job.path))
}

fn locked(job: &Edit<'_>) -> Result<Edited> {
    let path = storeset::resolve(job.path)?;
    // Before anything is put beside a folder that is no store of ours, or beside nothing.
    let there = storeset::is_there(&path)?;
    let unopened = |e: Error| if there { e } else { e.hint("keyferry create makes a new store") };
    let source = Source::open(&path).map_err(unopened)?;
    let folder = source.is_directory();
    if folder && in_place_of(job, &source)?.is_none() {
        storeset::replaceable(&path)?;
    }
    // A dry run writes nothing, not even a lock file.
    let _lock = if job.dry_run { None } else { Some(storeset::Lock::take(&path)?) };
    let source = Source::open(&path)?;
    let in_place = if folder { in_place_of(job, &source)? } else { None };
    if let Some(in_place) = in_place.filter(|_| !job.dry_run) {
        in_place.recover(&path)?;
    }
    let loaded = super::load(&Input { source: &source, format: job.format, ctx: job.ctx })?;
    let format = loaded.format;
    if !format.carries().swap {
        return Err(Error::unsupported(format!("a {} store can't be swapped in", format.name())));
    }
    let mut store = loaded.store;
    store.entries.iter_mut().for_each(|e| format.keep_unsaid(e));
    proved(&store, &job.ctx)?;
    let mut report =
        Edited { format: format.name(), warnings: std::mem::take(&mut store.warnings), ..Edited::default() };
    if job.to.is_none() {
        store.entries.iter().filter_map(Entry::secret).for_each(|key| key.keep_sealed());
    }
    let before = Untouched::of(&store);
    if !(job.change)(&mut store, format)? {
        return Ok(report);
    }
    let plain = job.to.is_none() && keys_are_plain(&store, format, &job.ctx)?;
    if let (Some(in_place), Some(to)) = (in_place, &job.to) {
        let apply = |before: Option<Before<'_>>| in_place.change_password(&path, before, &job.ctx, to);
        changed_in_place(job, &path, in_place, &apply, &mut report)?;
        return Ok(report);
    }
    let (store, losses) = prepare(store, &job.ctx, format, &|| Ok(true), &|e| before.has(e))
        .map_err(|e| e.in_format(format.name()))?;
    report.losses = losses;
    if let Some(in_place) = in_place {
        let apply = |before: Option<Before<'_>>| in_place.apply(&path, &store, before, &job.ctx);
        changed_in_place(job, &path, in_place, &apply, &mut report)?;
        return Ok(report);
    }
    let ctx = match &job.to {
        Some(to) => *to,
        None if plain => Ctx { secrets: &NoSecrets, ..job.ctx },
        None => job.ctx,
    };
    let mut staging = if job.dry_run { Staging::memory() } else { Staging::beside(&path) };
    let build = Build { store: &store, base: Some(&source), format, ctx: &ctx, allow: &job.allow };
    report.changed = build.stage(&mut staging, &mut report.losses)?;
    if report.changed && !job.dry_run {
        let how = storeset::Commit {
            store: &path,
            expected: source.identity(),
            content: Some(source.bytes()?),
            companions: format.companions(),
            on_step: job.on_step,
        };
        report.old = storeset::commit(staging, &how)?.old;
        prune(&path, job, &mut report);
    }
    Ok(report)
}

/// How a folder is changed where it is.
fn in_place_of(job: &Edit<'_>, source: &Source) -> Result<Option<&'static dyn InPlace>> {
    Ok(job.format.map_or_else(|| detect(&source.probe()?), Ok)?.in_place())
}

/// Does the change, or with no callback only finds out what it would lose (see [`InPlace::apply`]).
type Apply<'a> = &'a dyn Fn(Option<Before<'_>>) -> Result<Vec<Loss>>;
type Before<'a> = &'a dyn Fn() -> Result<()>;

fn changed_in_place(
    job: &Edit<'_>,
    path: &Path,
    in_place: &dyn InPlace,
    apply: Apply<'_>,
    report: &mut Edited,
) -> Result<()> {
    report.losses.extend(apply(None)?);
    report.changed = report.losses.iter().all(|l| job.allow.allows(l));
    if report.changed && !job.dry_run {
        let done = storeset::change(path, in_place, job.on_step, |before| apply(Some(before)).map(drop))?;
        report.old = done.map(|d| d.old().to_owned());
        report.warnings.extend(in_place.users(path).iter().map(|u| u.warning(job.path)));
        prune(path, job, report);
    }
    Ok(())
}

/// The store is the new one whatever becomes of the old.
fn prune(path: &Path, job: &Edit<'_>, report: &mut Edited) {
    let pruned = storeset::prune(path, KEEP, RETENTION_MS, job.ctx.session.now_ms, false);
    report.warnings.extend(pruned.err().map(|e| e.to_string()));
}

/// A store that has a proof of its content is changed only by who can make one: else the change would vouch
/// for what somebody else may have put there, or leave the proof off.
fn proved(store: &Store, ctx: &Ctx<'_>) -> Result<()> {
    if ctx.secrets.store()?.is_none() && store.entries.iter().any(|e| e.authenticated == Some(false)) {
        return Err(Error::password("the store's password is needed to change it"));
    }
    Ok(())
}

/// Whether the store's keys are there without a password, where that is a matter of choice. A password that was
/// given for other stores is none for this one. `Kind::Password` where a key that was enciphered elsewhere would
/// come to lie there in the clear.
fn keys_are_plain(store: &Store, format: &dyn Format, ctx: &Ctx<'_>) -> Result<bool> {
    if format.carries().password != PasswordUse::KeysByChoice || format.in_place().is_some() {
        return Ok(false);
    }
    let mut keys = store.entries.iter().filter_map(Entry::secret).peekable();
    let any = keys.peek().is_some();
    let mut sealed = keys.filter(|k| k.seal().is_some()).peekable();
    if sealed.peek().is_some() && sealed.any(|k| !k.is_kept()) && ctx.secrets.store()?.is_none() {
        let what = "a password is needed: a key that was enciphered would come to lie in the clear";
        return Err(Error::password(what));
    }
    Ok(any && store.entries.iter().filter_map(Entry::secret).all(|k| k.seal().is_none()))
}

/// The store's own password alone: what it opens is under it.
pub(super) struct StorePassword<'a>(pub &'a dyn Secrets);

impl Secrets for StorePassword<'_> {
    fn store(&self) -> Result<Option<std::sync::Arc<crate::model::Password>>> {
        self.0.store()
    }
    fn key(&self, _: Option<&str>) -> Result<Vec<std::sync::Arc<crate::model::Password>>> {
        Ok(Vec::new())
    }
}
