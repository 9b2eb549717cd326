//! A store moved to another format beside itself, with what belongs to it: for IBM MQ from 9.3 on, which takes
//! PKCS#12 where it took key databases alone.
//!
//! The new store has the old one's name with another extension, its owner, mode and attributes, and its password,
//! so that the stash beside the old one opens the new one too. The old store and its companions stay.

use super::deliver::{Converted, Target, counts};
use super::diff::diff;
use super::edit::StorePassword;
use super::labels::shown;
use super::select::folded;
use super::stash::is_for_gskit;
use super::{AllowLoss, Input, Loaded, Output, load};
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::model::{Entry, Item, ItemKind, Loss, LossKind};
use crate::place::Source;
use crate::storeset::Step;
use std::path::{Path, PathBuf};

/// What to move and to what.
pub struct Migrate<'a> {
    /// The store, a file.
    pub from: Input<'a>,
    /// The new format.
    pub to: &'static dyn Format,
    /// Which losses are accepted.
    pub allow: AllowLoss,
    /// All but the writing.
    pub dry_run: bool,
    /// Called before each step.
    pub on_step: &'a dyn Fn(Step) -> Result<()>,
}

/// What was done, or why not.
#[derive(Debug)]
pub struct Migrated {
    /// The new store, if `done.written`.
    pub to: PathBuf,
    /// Counts, losses, warnings.
    pub done: Converted,
    /// It was there, with all that the old store has: nothing was done.
    pub already: bool,
    /// The stash beside both, where it holds their password.
    pub stash: Option<PathBuf>,
    /// The label of the default key, where the new format can't mark it.
    pub default: Option<String>,
    /// The label of the default or only key, as the new store has it.
    pub label: Option<String>,
    /// The labels of pending requests, which stay with the old store.
    pub requests: Vec<String>,
}

/// Where a store of this format goes that is at `from` now.
pub fn destination(from: &Path, to: &dyn Format) -> PathBuf {
    from.with_extension(to.suffixes().first().copied().unwrap_or(to.name()))
}

/// Moves it; a store that was moved before stays as it is. `Kind::Refused` where something else has the new store's
/// name, or the store has that format.
pub fn migrate(job: &Migrate<'_>) -> Result<Migrated> {
    let loaded = load(&job.from)?;
    let path = job.from.source.path();
    if loaded.format.name() == job.to.name() {
        return Err(Error::refused(format!("is {} already", job.to.title())).in_file(path));
    }
    let to = destination(path, job.to);
    if for_gskit(loaded.format, job.to) {
        let password = job.from.ctx.secrets.store()?;
        password.map_or(Ok(()), |p| is_for_gskit(&p)).map_err(|e| e.in_file(path))?;
    }
    let known = Known::of(&loaded, job.to);
    let stash = Stash::beside(path, &loaded, job)?;
    let password = StorePassword(job.from.ctx.secrets);
    let ctx = Ctx { secrets: &password, ..job.from.ctx };
    if to.symlink_metadata().is_ok() {
        let Some(counts) = there(&to, &loaded, job.to, ctx) else {
            return Err(Error::refused("exists already, and holds something else")
                .hint("move it away first; migrate replaces nothing")
                .in_file(&to));
        };
        let done =
            Converted { written: true, from_format: loaded.format.name(), counts, ..Converted::default() };
        let Known { default, label, requests, .. } = known;
        return Ok(Migrated { done, already: true, to, stash: stash.fits(), default, label, requests });
    }
    let target = Target {
        to: Output::File(&to),
        format: job.to,
        ctx,
        // They are weighed below, in other words.
        allow: AllowLoss::All,
        force: false,
        dry_run: job.dry_run,
        like: Some(path),
        on_step: job.on_step,
    };
    let mut staged = target.stage(loaded, &job.from)?;
    let report = &mut staged.report;
    report.losses.iter_mut().for_each(|loss| known.reword(loss));
    report.written &= report.losses.iter().all(|l| job.allow.allows(l));
    report.warnings.extend(stash.warning());
    if report.written {
        staged.commit()?;
    }
    let Known { default, label, requests, .. } = known;
    Ok(Migrated { done: staged.finish(), already: false, to, stash: stash.fits(), default, label, requests })
}

/// What is in the store at `to`, where it holds all that the old one has and nothing else. Requests aside, which stay
/// with the old one.
fn there(
    to: &Path,
    old: &Loaded,
    format: &'static dyn Format,
    ctx: Ctx<'_>,
) -> Option<Vec<(ItemKind, usize)>> {
    let source = Source::open(to).ok()?;
    let new = load(&Input { source: &source, format: None, ctx }).ok()?;
    let found = diff(old, &new);
    let same = found.added.is_empty()
        && found.changed.iter().all(|c| c.changes.iter().all(|c| c.what == "default"))
        && found.removed.iter().all(|side| side.kind == ItemKind::Request.name());
    (same && new.format.name() == format.name()).then(|| counts(&new.store))
}

/// Whether GSKit reads the old store, which has its stash, and is to read the new one, which may have one.
fn for_gskit(from: &dyn Format, to: &dyn Format) -> bool {
    let store = Path::new("store");
    from.password_file(store).is_some() && to.password_file(store).is_none() && to.stash_file(store).is_some()
}

/// What the old store has that the new one may not have, by labels.
struct Known {
    default: Option<String>,
    label: Option<String>,
    requests: Vec<String>,
    /// Certificates that GSKit doesn't trust now, and will.
    raised: Vec<String>,
}

impl Known {
    fn of(loaded: &Loaded, to: &dyn Format) -> Self {
        let labels = |is: &dyn Fn(&Entry) -> bool| -> Vec<String> {
            loaded.store.entries.iter().filter(|e| is(e)).map(|e| shown(e).into_owned()).collect()
        };
        // A key database has one bit that GSKit heeds. In PKCS#12 it heeds none: whatever stands there is trusted
        // (GSKit 8.0.60.5, handshake with a server whose CA was not trusted in the kdb).
        let raises = for_gskit(loaded.format, to);
        let untrusted = |e: &Entry| {
            raises && matches!(e.item, Item::Cert(_)) && e.trust.as_ref().is_some_and(|t| !t.is_full_anchor())
        };
        let marked = labels(&|e| e.default).pop();
        let mut keys = labels(&|e| matches!(e.item, Item::Key { .. }));
        let only = if keys.len() == 1 { keys.pop() } else { None };
        let here =
            |label: &String| if to.folds_labels() { folded(label, to).into_owned() } else { label.clone() };
        Known {
            label: marked.as_ref().or(only.as_ref()).map(here),
            default: marked.filter(|_| !to.marks_default()),
            requests: labels(&|e| matches!(e.item, Item::Request { .. })),
            raised: labels(&untrusted),
        }
    }

    /// Says of a loss what it means here.
    fn reword(&self, loss: &mut Loss) {
        let is_in = |labels: &[String]| loss.label.as_ref().is_some_and(|l| labels.contains(l));
        match loss.kind {
            LossKind::Trust if is_in(&self.raised) => {
                loss.kind = LossKind::TrustRaised;
                "it is not trusted in the key database, and GSKit trusts every certificate in a PKCS#12; \
                 keyferry remove takes it out first"
                    .clone_into(&mut loss.detail);
            }
            LossKind::Request if is_in(&self.requests) => {
                "this pending request and its private key stay with the old store; to bring its certificate along, \
                 take it in there first: keyferry request receive"
                    .clone_into(&mut loss.detail);
            }
            // Nothing is lost where the settings name the key.
            LossKind::Default => loss.kind = LossKind::Note,
            _ => {}
        }
    }
}

/// The password file that both stores have beside them.
struct Stash {
    path: Option<PathBuf>,
    /// It is there and holds the password.
    fits: bool,
    is_there: bool,
}

impl Stash {
    fn beside(store: &Path, loaded: &Loaded, job: &Migrate<'_>) -> Result<Self> {
        let path = [loaded.format, job.to].iter().find_map(|f| f.stash_file(store));
        let there = path.as_deref().filter(|p| p.is_file());
        let password = job.from.ctx.secrets.store()?;
        let held = there.map(|p| Source::open(p).and_then(|s| crate::stash::read_from(&s))).transpose();
        let fits = match (held, password) {
            (Ok(Some(held)), Some(password)) => held.bytes() == password.bytes(),
            _ => false,
        };
        Ok(Stash { fits, is_there: there.is_some(), path })
    }

    fn fits(self) -> Option<PathBuf> {
        self.path.filter(|_| self.fits)
    }

    fn warning(&self) -> Option<String> {
        let path = self.path.as_ref().filter(|_| self.is_there && !self.fits)?;
        Some(format!("{}: holds another password than the store, so it opens neither", path.display()))
    }
}
