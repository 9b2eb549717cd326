//! A store changed in one point: read, changed, staged, read back, moved into place. Never edited in place,
//! but for a folder that other programs have open: that is changed in one transaction.

use super::build::Build;
use super::prepare::prepare;
use super::rebuild::RETENTION_MS;
use super::{AllowLoss, Input};
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::format::{Format, detect};
use crate::model::{Loss, Store};
use crate::place::{Source, Staging};
use crate::storeset::{self, Step};
use std::path::{Path, PathBuf};

/// What to change and how.
pub struct Edit<'a> {
    /// The store.
    pub path: &'a Path,
    /// Its format where the caller names one; else by content.
    pub format: Option<&'static dyn Format>,
    /// Its password and options.
    pub ctx: Ctx<'a>,
    /// Makes the change; false: there is nothing to change.
    pub change: &'a dyn Fn(&mut Store, &'static dyn Format) -> Result<bool>,
    /// Which losses are accepted.
    pub allow: AllowLoss,
    /// Called before each step of the swap.
    pub on_step: &'a dyn Fn(Step) -> Result<()>,
}

/// What was done, or why not.
#[derive(Debug, Default)]
pub struct Edited {
    /// False: there was nothing to change, or a loss refused it.
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
    let _lock = storeset::Lock::take(&path)?;
    let source = Source::open(&path)?;
    if source.is_directory()
        && let Some(in_place) = job.format.map_or_else(|| detect(&source.probe()?), Ok)?.in_place()
    {
        in_place.recover(&path)?;
    }
    let loaded = super::load(&Input { source: &source, format: job.format, ctx: job.ctx })?;
    let format = loaded.format;
    if !format.carries().swap {
        return Err(Error::unsupported(format!("a {} store can't be swapped in", format.name())));
    }
    let mut store = loaded.store;
    let mut report = Edited { warnings: std::mem::take(&mut store.warnings), ..Edited::default() };
    if !(job.change)(&mut store, format)? {
        return Ok(report);
    }
    let (store, losses) =
        prepare(store, &job.ctx, format, &|| Ok(true)).map_err(|e| e.in_format(format.name()))?;
    report.losses = losses;
    if let (true, Some(in_place)) = (source.is_directory(), format.in_place()) {
        let apply = |before: Option<&dyn Fn() -> Result<()>>| in_place.apply(&path, &store, before, &job.ctx);
        report.losses.extend(apply(None)?);
        report.changed = report.losses.iter().all(|l| job.allow.allows(l));
        if report.changed {
            let done =
                storeset::change(&path, in_place, job.on_step, |before| apply(Some(before)).map(drop))?;
            report.old = done.map(|d| d.old().to_owned());
            report.warnings.extend(in_place.users(&path).iter().map(|u| u.warning(job.path)));
            storeset::prune(&path, KEEP, RETENTION_MS, job.ctx.session.now_ms, false)?;
        }
        return Ok(report);
    }
    let mut staging = Staging::beside(&path);
    let build = Build { store: &store, base: Some(&source), format, ctx: &job.ctx, allow: &job.allow };
    report.changed = build.stage(&mut staging, &mut report.losses)?;
    if report.changed {
        let how = storeset::Commit {
            store: &path,
            expected: source.identity(),
            content: Some(source.bytes()?),
            companions: format.companions(),
            on_step: job.on_step,
        };
        report.old = storeset::commit(staging, &how)?.old;
        storeset::prune(&path, KEEP, RETENTION_MS, job.ctx.session.now_ms, false)?;
    }
    Ok(report)
}
