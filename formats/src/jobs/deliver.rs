//! A store that is new where it goes: made fit for its format, staged, read back, and then moved into place.

use super::build::{Build, same_password};
use super::labels::shown;
use super::prepare::{loss_of, prepare};
use super::{AllowLoss, Input, Loaded, Output};
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::model::{Entry, ItemKind, Loss, LossKind, Store};
use crate::place::{Identity, Source, Staging};
use crate::storeset::{self, Committed, Lock, Step};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Where a store goes, and how.
pub struct Target<'a> {
    /// The destination.
    pub to: Output<'a>,
    /// Its format.
    pub format: &'static dyn Format,
    /// Its password and options.
    pub ctx: Ctx<'a>,
    /// Which losses are accepted.
    pub allow: AllowLoss,
    /// Replace what is there.
    pub force: bool,
    /// All but the writing.
    pub dry_run: bool,
    /// A file whose owner, mode and attributes a new one gets; else it is the caller's alone.
    pub like: Option<&'a Path>,
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

impl Target<'_> {
    /// What was read from `from`, moved into place.
    pub(super) fn deliver(&self, loaded: Loaded, from: &Input<'_>) -> Result<Converted> {
        let mut staged = self.stage(loaded, from)?;
        staged.commit()?;
        Ok(staged.finish())
    }

    /// What was read from `from`, staged and read back.
    pub(super) fn stage(&self, loaded: Loaded, from: &Input<'_>) -> Result<Staged<'_>> {
        let Loaded { format, store } = loaded;
        let mut report = Converted {
            from_format: format.name(),
            warnings: store.warnings.clone(),
            ..Converted::default()
        };
        let same = || same_password(&from.ctx, &self.ctx);
        // An entry without a label has none in the same format either: Java, which numbers it, calls it what it did.
        let same_format = format.name() == self.format.name();
        let unnamed = |e: &Entry| same_format && e.label_text().is_empty();
        let (store, losses) = prepare(store, &from.ctx, self.format, &same, &unnamed)
            .map_err(|e| e.in_format(format.name()).in_file(from.source.path()))?;
        report.losses = losses;
        self.stage_fit(store, report)
    }

    /// A store that was prepared; `report` holds the losses so far.
    pub(super) fn stage_fit(&self, mut store: Store, mut report: Converted) -> Result<Staged<'_>> {
        if matches!(self.to, Output::Memory) {
            without_companions(&mut store, self.format, &mut report.losses);
        }
        report.counts = counts(&store);
        let build =
            Build { store: &store, base: None, format: self.format, ctx: &self.ctx, allow: &self.allow };
        let mut staged = Staged { target: self, report, ready: None, done: None };
        match self.to {
            Output::Memory if !self.format.folder_files().is_empty() => {
                return Err(Error::refused(format!(
                    "a {} store is a folder, which can't go to standard output",
                    self.format.name()
                )));
            }
            Output::Memory => {
                let mut staging = Staging::stream();
                let report = &mut staged.report;
                report.written = build.stage(&mut staging, &mut report.losses)?;
                report.bytes = if report.written { staging.into_memory() } else { None };
            }
            Output::File(path) => {
                staged.ready = self.file(&build, path, &mut staged.report).map_err(|e| e.in_file(path))?
            }
        }
        Ok(staged)
    }

    fn file(&self, build: &Build<'_>, path: &Path, report: &mut Converted) -> Result<Option<Ready>> {
        let place = storeset::resolve(path)?;
        let folder = !self.format.folder_files().is_empty();
        if folder && storeset::is_there(&place)? && !is_empty_folder(&place) {
            return Err(Error::refused("exists already, and a folder is never exchanged")
                .hint("name a new folder; keyferry rebuild changes an existing database where it is"));
        }
        let exists = !folder && storeset::is_there(&place)?;
        if exists && !self.force {
            return Err(
                Error::refused("exists already").hint("--force replaces it and keeps one old generation")
            );
        }
        // Nobody but us can be at work on a store that isn't there; a lock file beside each new one is litter.
        if !folder {
            storeset::replaceable(&place)?;
        }
        if self.dry_run && !folder {
            report.written = build.stage(&mut Staging::memory(), &mut report.losses)?;
            return Ok(None);
        }
        let lock = exists.then(|| Lock::take(&place)).transpose()?;
        if !exists {
            storeset::clear_leftovers(&place);
        }
        let expected = if exists { Source::open(&place)?.identity() } else { None };
        let mut staging = Staging::beside(&place);
        if let Some(like) = self.like {
            staging.like(like)?;
        }
        report.written = build.stage(&mut staging, &mut report.losses)?;
        let wanted = report.written && !self.dry_run;
        Ok(wanted.then_some(Ready { staging, place, expected, _lock: lock }))
    }
}

/// A store that is staged, and was read back. Nothing has changed yet; when it is dropped, nothing will.
pub(super) struct Staged<'a> {
    target: &'a Target<'a>,
    /// What there is to say; `written` says whether it may be moved into place.
    pub report: Converted,
    ready: Option<Ready>,
    done: Option<(PathBuf, Committed, bool)>,
}

struct Ready {
    staging: Staging,
    place: PathBuf,
    /// What is there now.
    expected: Option<Identity>,
    _lock: Option<Lock>,
}

impl Staged<'_> {
    /// Moves it into place; nothing where it was refused, or is a dry run.
    pub fn commit(&mut self) -> Result<()> {
        let Some(Ready { staging, place, expected, _lock }) = self.ready.take() else { return Ok(()) };
        let how = storeset::Commit {
            store: &place,
            expected,
            content: None,
            companions: self.target.format.companions(),
            on_step: self.target.on_step,
        };
        let committed = storeset::commit(staging, &how).map_err(|e| e.in_file(&place))?;
        self.done = Some((place, committed, expected.is_some()));
        Ok(())
    }

    /// Takes the commit back.
    pub fn undo(self) -> Result<()> {
        self.done.map_or(Ok(()), |(_, committed, _)| committed.undo())
    }

    /// What was done. Old generations that are too many go.
    pub fn finish(self) -> Converted {
        let mut report = self.report;
        let Some((place, committed, existed)) = self.done else { return report };
        if committed.is_set() {
            let detail = "its companions changed with it; a program that was just opening them may have to start again";
            report.losses.push(Loss::new(LossKind::Note, "", detail));
        }
        report.old.clone_from(&committed.old);
        // The store is the new one whatever becomes of the old.
        let now = self.target.ctx.session.now_ms;
        if existed && let Err(e) = storeset::prune(&place, 1, 0, now, false) {
            report.warnings.push(e.to_string());
        }
        report
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

pub(super) fn counts(store: &Store) -> Vec<(ItemKind, usize)> {
    let count = |k: &ItemKind| store.entries.iter().filter(|e| e.item.kind() == *k).count();
    ItemKind::ALL.iter().map(|k| (*k, count(k))).filter(|(_, n)| *n > 0).collect()
}
