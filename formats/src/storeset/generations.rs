//! Old generations: listing, pruning, going back.

use super::commit::{rename_new, save};
use super::{Step, failed, folder, sync_folder, with_suffix};
use crate::error::{Error, Kind, Result};
use crate::place::Source;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// One old generation.
#[derive(Clone, Debug)]
pub struct Generation {
    /// N of `NAME.old-N`; higher is newer.
    pub number: u64,
    /// Its path.
    pub path: PathBuf,
    /// When it became one, in milliseconds since 1970: the time its inode last changed, which giving it its
    /// second name does.
    pub saved_ms: i64,
}

/// The old generations of a store, newest first.
pub fn generations(store: &Path) -> Result<Vec<Generation>> {
    let Some(name) = store.file_name() else { return Ok(Vec::new()) };
    let mut prefix = name.as_encoded_bytes().to_vec();
    prefix.extend_from_slice(b".old-");
    let list = match std::fs::read_dir(folder(store)) {
        Ok(list) => list,
        Err(e) => {
            let what = format!("the folder can't be listed: {}", crate::place::reason(&e));
            return Err(Error::io(Kind::Read, what, e).in_file(store));
        }
    };
    let mut found = Vec::new();
    for item in list.flatten() {
        let item_name = item.file_name();
        let digits = item_name.as_encoded_bytes().strip_prefix(prefix.as_slice());
        let number = digits
            .filter(|d| d.iter().all(u8::is_ascii_digit))
            .and_then(|d| std::str::from_utf8(d).ok()?.parse().ok());
        let (Some(number), Ok(meta)) = (number, item.metadata()) else { continue };
        if meta.is_file() {
            let saved_ms = meta.ctime().saturating_mul(1000).saturating_add(meta.ctime_nsec() / 1_000_000);
            found.push(Generation { number, path: item.path(), saved_ms });
        }
    }
    found.sort_by_key(|g| std::cmp::Reverse(g.number));
    Ok(found)
}

/// Deletes old generations: those that have more than `keep - 1` newer ones *and* were saved more than
/// `min_age_ms` before `now_ms`. Returns them; with `dry_run` they stay.
pub fn prune(store: &Path, keep: usize, min_age_ms: i64, now_ms: i64, dry_run: bool) -> Result<Vec<PathBuf>> {
    let old = generations(store)?.into_iter().skip(keep);
    let mut gone = Vec::new();
    for generation in old.filter(|g| now_ms.saturating_sub(g.saved_ms) >= min_age_ms) {
        if !dry_run {
            std::fs::remove_file(&generation.path)
                .map_err(|e| failed("an old generation can't be deleted", e).in_file(&generation.path))?;
        }
        gone.push(generation.path);
    }
    Ok(gone)
}

/// Puts an old generation back in place by one rename and returns it. The current store is saved as a
/// generation first, unless it is one already.
///
/// Going back twice goes further back, never forward again: a current store that is itself a generation
/// (the same file, or the same bytes) counts as that generation, and the one before it is taken.
pub fn rollback(store: &Path, on_step: &dyn Fn(Step) -> Result<()>) -> Result<PathBuf> {
    let all = generations(store)?;
    let now = current(store, &all)?;
    let before = |g: &&Generation| now.is_none_or(|n| g.number < n);
    let target = all
        .iter()
        .find(before)
        .ok_or_else(|| Error::refused("there is no older generation to go back to").in_file(store))?;
    if now.is_none() && store.symlink_metadata().is_ok() {
        on_step(Step::Save)?;
        save(store, all.first().map_or(1, |g| g.number + 1))?;
    }
    let temp = tempfile::Builder::new()
        .prefix(&temp_prefix(store))
        .suffix(".tmp")
        .make_in(folder(store), |path| super::commit::link_or_copy(&target.path, path))
        .map_err(|e| failed("can't be put back", e).in_file(store))?
        .into_temp_path();
    on_step(Step::Rename)?;
    let same =
        store.symlink_metadata().ok().zip(temp.metadata().ok()).is_some_and(|(a, b)| same_file(&a, &b));
    if !same {
        std::fs::rename(&temp, store).map_err(|e| rename_new(e).in_file(store))?;
        // The name is gone; nothing is left for its drop to remove.
        let _ = temp.keep();
    }
    on_step(Step::SyncFolder)?;
    sync_folder(store)?;
    Ok(target.path.clone())
}

fn temp_prefix(store: &Path) -> std::ffi::OsString {
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(store.file_name().unwrap_or_default());
    prefix.push(".");
    prefix
}

/// Which generation the current store is, if it is one.
fn current(store: &Path, all: &[Generation]) -> Result<Option<u64>> {
    let Ok(own) = store.metadata() else { return Ok(None) };
    let by_inode = all.iter().find(|g| g.path.metadata().is_ok_and(|m| same_file(&own, &m)));
    if let Some(g) = by_inode {
        return Ok(Some(g.number));
    }
    // Where hard links are refused a generation is a copy.
    let source = Source::open(store)?;
    for g in all.iter().filter(|g| g.path.metadata().is_ok_and(|m| m.len() == own.len())) {
        if source.bytes()?[..] == Source::open(&g.path)?.bytes()?[..] {
            return Ok(Some(g.number));
        }
    }
    Ok(None)
}

fn same_file(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// `NAME.old-N`.
pub(super) fn old_name(store: &Path, number: u64) -> PathBuf {
    with_suffix(store, &format!(".old-{number}"))
}
