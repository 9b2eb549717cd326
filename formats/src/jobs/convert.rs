//! One store into another format.

use super::build::{Build, same_password};
use super::labels::shown;
use super::prepare::{Kept, loss_of, prepare};
use super::{AllowLoss, Input, Output};
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::format::{Format, Labels};
use crate::model::{Entry, Item, ItemKind, Label, Loss, LossKind, Store};
use crate::place::{Source, Staging};
use crate::storeset::{self, Step};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What to convert and how.
pub struct Convert<'a> {
    /// The source.
    pub from: Input<'a>,
    /// The destination.
    pub to: Output<'a>,
    /// Its format.
    pub to_format: &'static dyn Format,
    /// Its password and options.
    pub to_ctx: Ctx<'a>,
    /// Only entries with these labels; empty: all. A label that isn't there is an error.
    pub labels: Vec<String>,
    /// Leave keys, requests and secret keys out on purpose: the chain of a key becomes certificates, its
    /// issuers without trust.
    pub certs_only: bool,
    /// The label that the one key gets.
    pub key_label: Option<String>,
    /// Which losses are accepted.
    pub allow: AllowLoss,
    /// Replace a destination that exists.
    pub force: bool,
    /// Called before each step of the swap.
    pub on_step: &'a dyn Fn(Step) -> Result<()>,
}

/// What was done, or why not.
#[derive(Debug, Default)]
pub struct Converted {
    /// False: refused, because of losses that nobody allowed; nothing was written.
    pub written: bool,
    /// The source's format.
    pub from_format: &'static str,
    /// Entries in the destination, by kind.
    pub counts: Vec<(ItemKind, usize)>,
    /// What the destination doesn't hold as the source does, notes included.
    pub losses: Vec<Loss>,
    /// What the reader had to say.
    pub warnings: Vec<String>,
    /// The saved old generation, where the destination existed.
    pub old: Option<PathBuf>,
    /// The store, for `Output::Memory`.
    pub bytes: Option<Zeroizing<Vec<u8>>>,
}

/// Converts: reads, prepares, stages, reads back, compares, moves into place.
pub fn convert(job: &Convert<'_>) -> Result<Converted> {
    let loaded = super::load(&job.from)?;
    let mut report = Converted {
        from_format: loaded.format.name(),
        warnings: loaded.store.warnings.clone(),
        ..Converted::default()
    };
    let store = select(loaded.store, job)?;
    let same_password = || same_password(&job.from.ctx, &job.to_ctx);
    let from = job.from.source.path();
    let (store, losses) = prepare(store, &job.from.ctx, job.to_format, &same_password)
        .map_err(|e| e.in_format(loaded.format.name()).in_file(from))?;
    report.losses = losses;
    let to = Delivery {
        to: job.to,
        format: job.to_format,
        ctx: job.to_ctx,
        allow: &job.allow,
        force: job.force,
        dry_run: false,
        on_step: job.on_step,
    };
    to.deliver(store, &mut report)?;
    Ok(report)
}

/// Where a prepared store goes that is new there.
pub(super) struct Delivery<'a> {
    pub to: Output<'a>,
    pub format: &'static dyn Format,
    /// Its password and options.
    pub ctx: Ctx<'a>,
    pub allow: &'a AllowLoss,
    /// Replace what is there.
    pub force: bool,
    /// All but the writing.
    pub dry_run: bool,
    pub on_step: &'a dyn Fn(Step) -> Result<()>,
}

impl Delivery<'_> {
    /// Stages it, reads it back, moves it into place. `report` holds the losses so far.
    pub(super) fn deliver(&self, mut store: Store, report: &mut Converted) -> Result<()> {
        if matches!(self.to, Output::Memory) {
            without_companions(&mut store, self.format, &mut report.losses);
        }
        report.counts = counts(&store);
        let build =
            Build { store: &store, base: None, format: self.format, ctx: &self.ctx, allow: self.allow };
        match self.to {
            Output::Memory if !self.format.folder_files().is_empty() => {
                return Err(Error::refused(format!(
                    "a {} store is a folder, which can't go to standard output",
                    self.format.name()
                )));
            }
            Output::Memory => {
                let mut staging = Staging::stream();
                report.written = build.stage(&mut staging, &mut report.losses)?;
                report.bytes = if report.written { staging.into_memory() } else { None };
            }
            Output::File(path) => self.to_file(&build, path, report).map_err(|e| e.in_file(path))?,
        }
        Ok(())
    }

    fn to_file(&self, build: &Build<'_>, path: &Path, report: &mut Converted) -> Result<()> {
        let target = storeset::resolve(path)?;
        let folder = !self.format.folder_files().is_empty();
        if folder && storeset::is_there(&target)? && !is_empty_folder(&target) {
            return Err(Error::refused("exists already, and a folder is never exchanged")
                .hint("name a new folder; keyferry rebuild changes an existing database where it is"));
        }
        let exists = !folder && storeset::is_there(&target)?;
        if exists && !self.force {
            return Err(
                Error::refused("exists already").hint("--force replaces it and keeps one old generation")
            );
        }
        // Nobody but us can be at work on a store that isn't there; a lock file beside each new one is litter.
        if !folder {
            storeset::replaceable(&target)?;
        }
        if self.dry_run && !folder {
            report.written = build.stage(&mut Staging::memory(), &mut report.losses)?;
            return Ok(());
        }
        let _lock = exists.then(|| storeset::Lock::take(&target)).transpose()?;
        if !exists {
            storeset::clear_leftovers(&target);
        }
        let expected = if exists { Source::open(&target)?.identity() } else { None };
        let mut staging = Staging::beside(&target);
        report.written = build.stage(&mut staging, &mut report.losses)?;
        if report.written && !self.dry_run {
            let how = storeset::Commit {
                store: &target,
                expected,
                content: None,
                companions: self.format.companions(),
                on_step: self.on_step,
            };
            let committed = storeset::commit(staging, &how)?;
            if committed.is_set() {
                let detail = "its companions changed with it; a program that was just opening them may have to start again";
                report.losses.push(Loss::new(LossKind::Note, "", detail));
            }
            report.old.clone_from(&committed.old);
            // The store is the new one whatever becomes of the old.
            if exists && let Err(e) = storeset::prune(&target, 1, 0, self.ctx.session.now_ms, false) {
                report.warnings.push(e.to_string());
            }
        }
        Ok(())
    }
}

fn is_empty_folder(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut items| items.next().is_none())
}

/// Standard output takes one file: what stands in another one beside the store is lost.
fn without_companions(store: &mut Store, to: &dyn Format, losses: &mut Vec<Loss>) {
    store.entries.retain(|entry| {
        let kind = entry.item.kind();
        let lost = to.beside().contains(&kind);
        if lost {
            let detail = format!("{} holds {}s in a file of their own beside it", to.name(), kind.name());
            losses.push(Loss::new(loss_of(kind), shown(entry), detail));
        }
        !lost
    });
}

/// The entries that were asked for.
fn select(mut store: Store, job: &Convert<'_>) -> Result<Store> {
    if !job.labels.is_empty() {
        for label in &job.labels {
            if !store.entries.iter().any(|e| e.label_text() == label.as_str()) {
                return Err(Error::refused(format!("no entry has the label \"{label}\""))
                    .hint("keyferry list shows the labels")
                    .in_file(job.from.source.path()));
            }
        }
        store.entries.retain(|e| job.labels.iter().any(|l| e.label_text() == l.as_str()));
        // What can't be read wasn't asked for, unless its label was.
        store.defects.retain(|d| d.place().label.as_ref().is_some_and(|l| job.labels.contains(l)));
    }
    if job.certs_only {
        let mut public = Kept::new(job.to_format, store.entries.len());
        for entry in store.entries {
            match entry.item {
                Item::Cert(_) | Item::Crl(_) => public.entries.push(entry),
                // What isn't known may be a secret.
                _ => public.certificates_of(entry),
            }
        }
        store.entries = public.into_entries();
    }
    if let Some(label) = &job.key_label {
        relabel(&mut store, label, job.to_format.carries().labels)
            .map_err(|e| e.in_file(job.from.source.path()))?;
    }
    Ok(store)
}

/// Gives the one key its label.
fn relabel(store: &mut Store, label: &str, labels: Labels) -> Result<()> {
    let folded = |text: &str| match labels {
        Labels::Unique(fold) => fold(text).into_owned(),
        _ => text.to_owned(),
    };
    let is_key = |e: &Entry| matches!(e.item, Item::Key { .. });
    if store.entries.iter().any(|e| !is_key(e) && folded(&e.label_text()) == folded(label)) {
        return Err(Error::refused(format!("an entry that is no key has the label \"{label}\" already")));
    }
    let mut keys = store.entries.iter_mut().filter(|e| is_key(e));
    match (keys.next(), keys.next()) {
        (Some(key), None) => {
            key.label = Some(Label::from(label.to_owned()));
            Ok(())
        }
        (None, _) => Err(Error::refused(format!("there is no key to be labelled \"{label}\""))),
        (Some(_), Some(_)) => {
            let many = keys.count() + 2;
            Err(Error::refused(format!("one of {many} keys can be labelled \"{label}\", not all of them"))
                .hint("choose it with --label; keyferry list --kind key shows them"))
        }
    }
}

fn counts(store: &Store) -> Vec<(ItemKind, usize)> {
    let count = |k: &ItemKind| store.entries.iter().filter(|e| e.item.kind() == *k).count();
    ItemKind::ALL.iter().map(|k| (*k, count(k))).filter(|(_, n)| *n > 0).collect()
}
