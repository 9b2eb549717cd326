//! Old generations: which are beyond their time, and which hold keys that the store has no more.

use super::rules::{KEY_IN_OLD_GENERATION, OLD_GENERATIONS};
use super::{Check, Findings, Subject, label};
use crate::context::{Ctx, NoSecrets};
use crate::crypto::public::identity;
use crate::error::{Kind, Result};
use crate::jobs::list::spki_of;
use crate::jobs::{Input, Loaded, Set, load};
use crate::model::{Entry, Item};
use crate::place::Source;
use crate::storeset::{self, Generation};
use std::path::Path;

pub(super) const GENERATIONS: Check = Check { rules: &[&OLD_GENERATIONS, &KEY_IN_OLD_GENERATION], run };

fn run(subject: &Subject<'_>, findings: &mut Findings<'_>) {
    let Some(path) = subject.path else { return };
    let now = subject.ctx.session.now_ms;
    let old = storeset::prune(path, subject.asked.keep, subject.asked.retention_ms, now, true);
    for path in old.unwrap_or_default() {
        findings.store(&OLD_GENERATIONS, format!("{} is no longer needed", name(&path)));
    }
    let all = storeset::generations(path).unwrap_or_default();
    if all.is_empty() {
        return;
    }
    let mut known = keys(subject.loaded, subject.ctx).map(|(key, _)| key).collect();
    for generation in &all {
        gone_keys(subject, generation, &mut known, findings);
    }
}

/// Says which private keys a generation has that nobody newer has.
fn gone_keys(
    subject: &Subject<'_>,
    generation: &Generation,
    known: &mut Set<Vec<u8>>,
    findings: &mut Findings<'_>,
) {
    // One that does not open is reported where somebody goes through the folder.
    let Ok(loaded) = open(subject, &generation.file) else { return };
    for (key, entry) in keys(&loaded, subject.ctx) {
        if known.insert(key) {
            let text =
                format!("{} holds this private key, which the store has no more", name(&generation.path));
            match entry.certificate() {
                Some(der) => findings.certificate(&KEY_IN_OLD_GENERATION, &label(entry), der, text),
                None => findings.entry(&KEY_IN_OLD_GENERATION, &label(entry), text),
            }
        }
    }
}

/// With the store's password, or where that changed since, as much as is shown without one.
fn open(subject: &Subject<'_>, file: &Path) -> Result<Loaded> {
    let source = Source::open(file)?;
    let format = Some(subject.loaded.format);
    load(&Input { source: &source, format, ctx: *subject.ctx }).or_else(|e| match e.kind() {
        Kind::Password => {
            load(&Input { source: &source, format, ctx: Ctx { secrets: &NoSecrets, ..*subject.ctx } })
        }
        _ => Err(e),
    })
}

/// What makes each private key that key, where that can be known.
fn keys<'a>(loaded: &'a Loaded, ctx: &'a Ctx<'a>) -> impl Iterator<Item = (Vec<u8>, &'a Entry)> {
    let private = |e: &&Entry| e.secret().is_some() && !matches!(e.item, Item::Symmetric(_));
    loaded.store.entries.iter().filter(private).filter_map(|entry| {
        let (spki, _) = spki_of(entry, ctx).ok()?;
        Some((identity(&spki?), entry))
    })
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
