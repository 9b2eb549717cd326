//! A new store: empty, or with what files hold.

use super::add::{Added, Adding, Incoming, add};
use crate::context::{Ctx, OnePassword};
use crate::error::{Error, Result};
use crate::format::Format;
use crate::jobs::deliver::{Converted, Target};
use crate::jobs::prepare::prepare;
use crate::jobs::{AllowLoss, Output};
use crate::model::Store;
use crate::storeset::{self, Step};
use std::path::Path;

/// What to make and where.
pub struct Create<'a> {
    /// Where; nothing may be there.
    pub path: &'a Path,
    /// Its format.
    pub format: &'static dyn Format,
    /// Its password and options.
    pub ctx: Ctx<'a>,
    /// What comes in.
    pub files: &'a [Incoming],
    /// How.
    pub how: &'a Adding,
    /// Which losses are accepted.
    pub allow: AllowLoss,
    /// Plan only: nothing is written.
    pub dry_run: bool,
    /// Called before each step.
    pub on_step: &'a dyn Fn(Step) -> Result<()>,
}

/// Makes it. `Kind::Refused` where something is there.
pub fn create(job: &Create<'_>) -> Result<(Converted, Added)> {
    let named = |e: Error| e.in_file(job.path);
    if storeset::is_there(&storeset::resolve(job.path)?)? && !is_empty_folder(job) {
        return Err(named(
            Error::refused("exists already").hint("keyferry add puts files into a store that exists"),
        ));
    }
    let mut store = Store::default();
    let added = add(&mut store, job.format, job.files, job.how, &job.ctx).map_err(named)?;
    let to = Target {
        to: Output::File(job.path),
        format: job.format,
        ctx: job.ctx,
        allow: job.allow.clone(),
        force: false,
        dry_run: job.dry_run,
        like: None,
        on_step: job.on_step,
    };
    // Every key is open, so nothing is asked for.
    let nobody = OnePassword::new("");
    let from = Ctx { secrets: &nobody, ..job.ctx };
    let (store, losses) = prepare(store, &from, job.format, &|| Ok(false), &|_| false).map_err(named)?;
    let mut staged = to.stage_fit(store, Converted { losses, ..Converted::default() })?;
    staged.commit()?;
    Ok((staged.finish(), added))
}

/// A folder that is to be filled is as good as none.
fn is_empty_folder(job: &Create<'_>) -> bool {
    let is_empty = || std::fs::read_dir(job.path).is_ok_and(|mut items| items.next().is_none());
    !job.format.folder_files().is_empty() && is_empty()
}
