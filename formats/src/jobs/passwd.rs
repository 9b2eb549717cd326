//! Another password for a store and the keys under it, or for one key.

use super::AllowLoss;
use super::edit::{Edit, Edited, StorePassword, edit};
use super::select::by_label;
use crate::context::{Ctx, OnePassword, Secrets};
use crate::error::{Error, Kind, Result};
use crate::format::{Format, PasswordUse};
use crate::model::{Entry, Loss, LossKind, Password, Store};
use crate::storeset::Step;
use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

/// Which password to change, and into which.
pub struct Passwd<'a> {
    /// The store.
    pub path: &'a Path,
    /// Its format where the caller names one; else by content.
    pub format: Option<&'static dyn Format>,
    /// Its present password and options.
    pub ctx: Ctx<'a>,
    /// The new one; `None`: what the format can leave unprotected.
    pub new: Option<Arc<Password>>,
    /// Only this key's, in a format whose keys have passwords of their own.
    pub label: Option<&'a str>,
    /// Which losses are accepted.
    pub allow: AllowLoss,
    /// Plan only: nothing is written.
    pub dry_run: bool,
    /// Called before each step of the swap.
    pub on_step: &'a dyn Fn(Step) -> Result<()>,
}

/// Changes it. Keys that the store's present password doesn't open have one of their own and keep it.
///
/// `Kind::Password` where the present one is wrong; then nothing was written.
pub fn passwd(job: &Passwd<'_>) -> Result<Edited> {
    match job.label {
        Some(label) => of_key(job, label),
        None => of_store(job),
    }
}

fn of_store(job: &Passwd<'_>) -> Result<Edited> {
    let (old, new) = (StorePassword(job.ctx.secrets), New { store: job.new.clone(), key: None });
    let (ctx, to) = (Ctx { secrets: &old, ..job.ctx }, Ctx { secrets: &new, ..job.ctx });
    let notes = RefCell::new(Vec::new());
    let change = |store: &mut Store, format: &'static dyn Format| {
        if format.carries().password == PasswordUse::Never {
            return Err(Error::unsupported(format!("a {} has no password", format.name())));
        }
        if is_current(store, job.new.as_deref(), &ctx)? {
            return Ok(false);
        }
        let keys: Vec<&Entry> = store.entries.iter().filter(|e| e.secret().is_some()).collect();
        let by_choice = format.carries().password == PasswordUse::KeysByChoice;
        if keys.is_empty() && by_choice && format.in_place().is_none() {
            return Err(Error::unsupported(format!("a {} without keys has no password", format.name())));
        }
        notes.borrow_mut().extend(keep_others(&keys, &ctx)?);
        Ok(true)
    };
    let mut done = run(job, ctx, to, &change)?;
    done.losses.extend(notes.into_inner());
    Ok(done)
}

/// Whether the password is what it shall be.
fn is_current(store: &Store, new: Option<&Password>, ctx: &Ctx<'_>) -> Result<bool> {
    let old = ctx.secrets.store()?;
    let same = old.as_ref().map_or(&[][..], |p| p.bytes()) == new.map_or(&[][..], |p| p.bytes());
    // Keys in the clear have none, whatever was given.
    let mut keys = store.entries.iter().filter_map(Entry::secret).map(|s| s.seal().is_some()).peekable();
    Ok(match new {
        Some(_) => same && keys.all(|sealed| sealed),
        None if keys.peek().is_some() && keys.clone().all(|sealed| !sealed) => true,
        None => same && !keys.any(|sealed| !sealed),
    })
}

/// Opens every key under the store's password; others stay as they stand.
fn keep_others(keys: &[&Entry], ctx: &Ctx<'_>) -> Result<Vec<Loss>> {
    let (mut notes, mut refused, mut opened) = (Vec::new(), None, false);
    for entry in keys {
        let Some(secret) = entry.secret() else { continue };
        match secret.open(ctx) {
            Ok(_) => opened = true,
            Err(e) if e.kind() == Kind::Password && secret.seal().is_some_and(|s| s.raw().is_some()) => {
                secret.keep_sealed();
                notes.push(Loss::new(LossKind::Note, entry.label_text(), "it keeps a password of its own"));
                refused.get_or_insert(e.in_entry(entry.label_text()));
            }
            Err(e) => return Err(e.in_entry(entry.label_text())),
        }
    }
    let proven = opened || keys.iter().any(|e| e.authenticated == Some(true));
    match refused {
        Some(e) if !proven => Err(e),
        _ => Ok(notes),
    }
}

fn of_key(job: &Passwd<'_>, label: &str) -> Result<Edited> {
    let new = New { store: job.ctx.secrets.store()?, key: Some((label.to_lowercase(), job.new.clone())) };
    let to = Ctx { secrets: &new, ..job.ctx };
    let change = |store: &mut Store, format: &'static dyn Format| {
        if !format.own_key_passwords() {
            let what = format!("the keys of a {} have no passwords of their own", format.name());
            return Err(Error::unsupported(what).hint("without --label the password of all of it changes"));
        }
        let entry = &store.entries[by_label(store, label, format)?];
        let secret = entry
            .secret()
            .filter(|s| s.seal().is_some())
            .ok_or_else(|| Error::refused("is no key that has a password").in_entry(entry.label_text()))?;
        let new = job.new.clone().ok_or_else(|| {
            Error::password(format!("a key of a {} can't be without a password", format.name()))
        })?;
        let alone = Ctx { secrets: &OnePassword(new), ..job.ctx };
        if secret.seal().is_some_and(|s| s.open(&alone).is_ok()) {
            return Ok(false);
        }
        secret.open(&job.ctx).map_err(|e| e.in_entry(entry.label_text()))?;
        let others = store.entries.iter().filter_map(Entry::secret).filter(|s| !Arc::ptr_eq(s, secret));
        others.for_each(|s| s.keep_sealed());
        Ok(true)
    };
    run(job, job.ctx, to, &change)
}

fn run(job: &Passwd<'_>, ctx: Ctx<'_>, to: Ctx<'_>, change: super::edit::Change<'_>) -> Result<Edited> {
    edit(&Edit {
        path: job.path,
        format: job.format,
        ctx,
        to: Some(to),
        change,
        allow: job.allow.clone(),
        dry_run: job.dry_run,
        on_step: job.on_step,
    })
}

/// The passwords to write with.
struct New {
    store: Option<Arc<Password>>,
    /// A key's own, under its label in lower case.
    key: Option<(String, Option<Arc<Password>>)>,
}

impl Secrets for New {
    fn store(&self) -> Result<Option<Arc<Password>>> {
        Ok(self.store.clone())
    }

    fn key(&self, label: Option<&str>) -> Result<Vec<Arc<Password>>> {
        let own = self.key.as_ref().filter(|(l, _)| label.is_some_and(|label| label.to_lowercase() == *l));
        Ok(own.and_then(|(_, p)| p.clone()).into_iter().collect())
    }
}
