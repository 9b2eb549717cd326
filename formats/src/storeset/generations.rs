//! The old generations of a store: `NAME.old-N`, where a higher N is newer. A companion that changed with
//! the store is saved as `NAME.old-N.SUFFIX`.

use super::commit::{Member, Swap, copy_beside, is_link_refusal};
use super::current::Current;
use super::record::Record;
use super::{Step, beside, failed};
use crate::error::{Error, Kind, Result};
use crate::place::{Identity, folder_of, link_beside};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempPath;

/// One old generation.
#[derive(Clone, Debug)]
pub struct Generation {
    /// N of `NAME.old-N`; higher is newer.
    pub number: u64,
    /// Its path.
    pub path: PathBuf,
    /// When it became an old generation, in milliseconds since 1970: its change time, which the system sets
    /// when the rename takes its former name away. A later change of its mode makes it seem younger, never
    /// older.
    pub saved_ms: i64,
}

/// The old generations of a store, newest first. Links and folders with such a name are none.
pub fn generations(store: &Path) -> Result<Vec<Generation>> {
    let mut out = Vec::new();
    for (number, suffix, path) in saved_names(store)? {
        let meta = path.symlink_metadata();
        if let (None, Ok(meta)) = (suffix, meta)
            && meta.is_file()
        {
            let saved_ms = meta.ctime().saturating_mul(1000).saturating_add(meta.ctime_nsec() / 1_000_000);
            out.push(Generation { number, path, saved_ms });
        }
    }
    out.sort_by_key(|g| std::cmp::Reverse(g.number));
    Ok(out)
}

/// Deletes old generations that have more than `keep` newer ones (the current store is one of them) and
/// became old at least `min_age_ms` before `now_ms`; returns what was deleted. With `dry_run` only says what
/// would be. The caller holds the store's [`super::Lock`].
pub fn prune(store: &Path, keep: usize, min_age_ms: i64, now_ms: i64, dry_run: bool) -> Result<Vec<PathBuf>> {
    let mut deleted = Vec::new();
    for old in generations(store)?.into_iter().skip(keep) {
        if now_ms.saturating_sub(old.saved_ms) < min_age_ms {
            continue;
        }
        if !dry_run {
            for (path, _) in companions(store, old.number)? {
                delete(&path)?;
            }
            delete(&old.path)?;
        }
        deleted.push(old.path);
    }
    Ok(deleted)
}

/// Puts the newest old generation back in place by one rename; the current store becomes a generation that
/// a second rollback does not return to: that one goes further back. Returns the generation that is current
/// now. The caller holds the store's [`super::Lock`].
///
/// Where the current store came from is seen in the files, not in a record: it is the oldest generation that
/// is the same file or has the same content, and only older ones are candidates.
pub fn rollback(store: &Path, on_step: &dyn Fn(Step) -> Result<()>) -> Result<PathBuf> {
    let all = generations(store)?;
    let current = Current::open(store)?;
    let origin = current.as_ref().map(|c| origin(&all, c)).transpose()?.flatten();
    let older = |g: &&Generation| origin.is_none_or(|o| g.number < o);
    let back_to = all.iter().find(older).ok_or_else(|| {
        let message = if all.is_empty() { "has no old generation" } else { "has no older generation" };
        Error::refused(message).hint("keyferry status shows the generations").in_file(store)
    })?;
    if saved_names(store)?.iter().any(|(n, suffix, _)| *n >= back_to.number && suffix.is_some()) {
        return Err(Error::unsupported("its companion files have changed since").in_file(store).hint(
            "put the set back by hand: each file of the generation is NAME.old-N or NAME.old-N.SUFFIX",
        ));
    }
    on_step(Step::Link)?;
    let temp = name_again(back_to, store, on_step)?;
    // Closed before the swap opens and locks the same file.
    let digest = current.as_ref().map(Current::sha256).transpose()?;
    drop(current);
    let member = Member::new(store, None, temp)?.with_digest(digest);
    let _ = Swap { store, members: vec![member], on_step }.run()?;
    note(store, back_to.number);
    Ok(back_to.path.clone())
}

/// The name of generation `number` of the store or of its companion.
pub(super) fn saved_path(store: &Path, number: u64, suffix: Option<&str>) -> PathBuf {
    match suffix {
        None => beside(store, &format!(".old-{number}")),
        Some(suffix) => beside(store, &format!(".old-{number}.{suffix}")),
    }
}

/// The highest number that is taken, by whatever; 0 when none is.
pub(super) fn highest(store: &Path) -> Result<u64> {
    Ok(saved_names(store)?.iter().map(|(n, ..)| *n).max().unwrap_or(0))
}

/// The companions that were saved with generation `number`, with their suffixes.
pub(super) fn companions(store: &Path, number: u64) -> Result<Vec<(PathBuf, String)>> {
    let all = saved_names(store)?.into_iter().filter(|(n, ..)| *n == number);
    Ok(all.filter_map(|(_, suffix, path)| suffix.map(|s| (path, s))).collect())
}

/// Everything named `NAME.old-N` or `NAME.old-N.SUFFIX`: number, suffix, path.
fn saved_names(store: &Path) -> Result<Vec<(u64, Option<String>, PathBuf)>> {
    let folder = folder_of(store);
    let cannot = |e| failed(Kind::Read, "the folder can't be listed", folder, e);
    let prefix = beside(Path::new(store.file_name().unwrap_or_default()), ".old-");
    let mut out = Vec::new();
    for item in std::fs::read_dir(folder).map_err(cannot)? {
        let name = item.map_err(cannot)?.file_name();
        let tail = name.as_encoded_bytes().strip_prefix(prefix.as_os_str().as_encoded_bytes());
        if let Some((number, suffix)) = tail.and_then(|t| std::str::from_utf8(t).ok()).and_then(parse_tail) {
            out.push((number, suffix, folder.join(name)));
        }
    }
    Ok(out)
}

/// `N` or `N.SUFFIX`, where N is written as this program writes it.
fn parse_tail(tail: &str) -> Option<(u64, Option<String>)> {
    let (digits, suffix) = tail.split_once('.').map_or((tail, None), |(d, s)| (d, Some(s.to_owned())));
    let number: u64 = digits.parse().ok()?;
    // One that leaves no room for the next was not given by us.
    let ours = number.to_string() == digits && number < u64::MAX / 2;
    (ours && suffix.as_deref() != Some("")).then_some((number, suffix))
}

/// The oldest generation that is what the current store is.
fn origin(all: &[Generation], current: &Current) -> Result<Option<u64>> {
    let mut digest = None;
    for old in all.iter().rev() {
        let Ok(meta) = old.path.symlink_metadata() else {
            continue;
        };
        let id = Identity::of(&meta);
        if (id.device, id.inode) == (current.identity.device, current.identity.inode) {
            return Ok(Some(old.number));
        }
        if id.size != current.identity.size {
            continue;
        }
        let own = match digest {
            Some(d) => d,
            None => *digest.insert(current.sha256()?),
        };
        if Current::open(&old.path)?.map(|c| c.sha256()).transpose()? == Some(own) {
            return Ok(Some(old.number));
        }
    }
    Ok(None)
}

/// A temporary second name for an old generation; a copy where the file system has no hard links.
fn name_again(old: &Generation, store: &Path, on_step: &dyn Fn(Step) -> Result<()>) -> Result<TempPath> {
    match link_beside(&old.path, store) {
        Ok(temp) => Ok(temp),
        Err(e) if is_link_refusal(&e) => {
            let gone = || Error::new(Kind::Busy, "deleted by somebody else").in_file(&old.path);
            copy_beside(&Current::open(&old.path)?.ok_or_else(gone)?, store, on_step)
        }
        Err(e) => Err(failed(Kind::Write, "can't be linked", &old.path, e)),
    }
}

/// Records a rollback. The store is in place whether that succeeds or not.
fn note(store: &Path, number: u64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    if let Ok(Some(Ok(digest))) = Current::open(store).map(|c| c.map(|c| c.sha256())) {
        let _ = Record::rolled_back(number, crate::jobs::list::hex(&digest), now_ms).write(store);
    }
}

fn delete(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(failed(Kind::Write, "can't be deleted", path, e))
        }
        _ => Ok(()),
    }
}
