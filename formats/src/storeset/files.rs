//! What the file system is asked for, and what to do where it can't.

use super::{attributes, folder, temp_prefix};
use crate::error::{Error, Kind, Result};
use crate::place::PIECE;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, RenameFlags, flock, openat, readlinkat, renameat_with};
use rustix::io::Errno;
use serde::Serialize;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use tempfile::{NamedTempFile, TempPath};
use zeroize::Zeroizing;

/// The longest note that this program keeps beside a store, in bytes: it has a line for each distrusted certificate.
const NOTE_LIMIT: usize = 64 << 20;

/// A note as JSON. One that would not be read again is refused.
pub(super) fn note(what: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(what)?;
    text.push(b'\n');
    match text.len() <= NOTE_LIMIT {
        true => Ok(text),
        false => Err(ErrorKind::FileTooLarge.into()),
    }
}

/// A note's text.
pub(super) fn read_note(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    open_plain(path)?.take(NOTE_LIMIT as u64).read_to_end(&mut text)?;
    Ok(text)
}

/// What has this name, a link itself included. Not being told is not "nothing".
pub(super) fn look(path: &Path) -> Result<Option<Metadata>> {
    match path.symlink_metadata() {
        Ok(meta) => Ok(Some(meta)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => {
            let what = format!("can't be looked at: {}", crate::place::reason(&e));
            Err(Error::io(Kind::Read, what, e).in_file(path))
        }
    }
}

/// Where a link leads that is at `path`; `None` where there is none. In a folder where everybody can put things, links
/// of others are refused, as Linux does it where it is told to (fs.protected_symlinks): but that it asks only when it
/// follows one itself.
pub(super) fn link(path: &Path) -> Result<Option<PathBuf>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // What can't be looked at is told by who looks for more.
    let Ok(at) = openat(CWD, path, flags, Mode::empty()).map(File::from) else { return Ok(None) };
    let Some(link) = at.metadata().ok().filter(Metadata::is_symlink) else { return Ok(None) };
    if let Ok(around) = folder(path).metadata() {
        let anybody = around.mode() & 0o1002 == 0o1002;
        let trusted = [rustix::process::geteuid().as_raw(), around.uid()];
        if anybody && !trusted.contains(&link.uid()) {
            return Err(Error::refused(
                "is a link of another user's, in a folder where everybody can put things",
            )
            .hint("name what it leads to, where that is meant"));
        }
    }
    let target = readlinkat(&at, "", Vec::new())
        .map_err(|e| Error::io(Kind::Read, "is a link that can't be read", e.into()).in_file(path))?;
    Ok(Some(PathBuf::from(OsString::from_vec(target.into_bytes()))))
}

/// Gives `from` a second name, which must be free: a hard link, or a whole copy where the file system (or
/// its policy on others' files) refuses links. `opened` is `from`, where it is open already: closing another
/// descriptor of it would drop the lock that is held on it. `store` is whose name temporary files bear, by which
/// the next run finds them.
pub(super) fn second_name(from: &Path, opened: Option<&File>, to: &Path, store: &Path) -> io::Result<()> {
    match std::fs::hard_link(from, to) {
        Err(e) if no_links(&e) => {}
        other => return other,
    }
    let copy = match opened {
        Some(file) => copied(file, store)?,
        None => copied(&File::open(from)?, store)?,
    };
    move_to_free(copy, to)
}

/// EACCES: so do some network file systems say that they have no links.
fn no_links(e: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(e),
        Some(
            Errno::PERM
                | Errno::ACCESS
                | Errno::NOTSUP
                | Errno::NOSYS
                | Errno::INVAL
                | Errno::MLINK
                | Errno::XDEV
        )
    )
}

/// A synced temporary copy beside `store`, with all that tells the file from others: owner, mode, attributes,
/// and the time of its last change.
fn copied(source: &File, store: &Path) -> io::Result<TempPath> {
    let temp =
        tempfile::Builder::new().prefix(&temp_prefix(store)).suffix(".tmp").tempfile_in(folder(store))?;
    let mut piece = Zeroizing::new(vec![0; PIECE]);
    let mut at = 0;
    loop {
        let n = source.read_at(&mut piece, at)?;
        let Some(read) = piece.get(..n).filter(|r| !r.is_empty()) else { break };
        temp.as_file().write_all_at(read, at)?;
        at += n as u64;
    }
    attributes::copy(source, temp.as_file()).map_err(io::Error::other)?;
    temp.as_file().set_modified(source.metadata()?.modified()?)?;
    temp.as_file().sync_all()?;
    Ok(temp.into_temp_path())
}

/// Puts `from` in the place of `to` by one rename. `from` stays. `store` as in [`second_name`].
pub(super) fn put_in_place(from: &Path, to: &Path, store: &Path) -> io::Result<()> {
    // A rename of two names of one file does nothing, and would leave the temporary one.
    if let (Ok(a), Ok(b)) = (from.symlink_metadata(), to.symlink_metadata())
        && same_file(&a, &b)
    {
        return Ok(());
    }
    replace(second_temporary_name(from, store)?, to)
}

/// A second name beside `store` for `from`, temporary, or that of a copy.
fn second_temporary_name(from: &Path, store: &Path) -> io::Result<TempPath> {
    let linked = tempfile::Builder::new()
        .prefix(&temp_prefix(store))
        .suffix(".tmp")
        .make_in(folder(store), |path| std::fs::hard_link(from, path));
    match linked {
        Err(e) if no_links(&e) => copied(&File::open(from)?, store),
        linked => Ok(linked?.into_temp_path()),
    }
}

/// The same, opened, with the lock by which others see that this run is alive.
pub(super) fn second_temporary(from: &Path, store: &Path) -> io::Result<NamedTempFile> {
    let path = second_temporary_name(from, store)?;
    let file = File::open(&path)?;
    let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
    Ok(NamedTempFile::from_parts(file, path))
}

/// Opens a file to read it: through no link, and without waiting for who writes into it if it is a pipe.
pub(super) fn open_plain(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    File::options().read(true).custom_flags(flags).open(path)
}

/// The rename over what is there.
pub(super) fn replace(temp: TempPath, place: &Path) -> io::Result<()> {
    std::fs::rename(&temp, place)?;
    gone(temp);
    Ok(())
}

/// The rename to a name that nothing has: `ErrorKind::AlreadyExists` where something has it.
pub(super) fn move_to_free(temp: TempPath, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, &*temp, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        // Not every file system knows the flag. A link says as well when the name is taken.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => match std::fs::hard_link(&temp, to) {
            // One of the two names goes with `temp`.
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => return Err(e),
            Err(_) if to.symlink_metadata().is_err_and(|e| e.kind() == ErrorKind::NotFound) => {
                std::fs::rename(&temp, to)?;
            }
            Err(e) => return Err(e),
        },
        Err(e) => return Err(e.into()),
    }
    gone(temp);
    Ok(())
}

/// The name is another now; nothing is left for its drop to remove.
fn gone(temp: TempPath) {
    let _ = temp.keep();
}

pub(super) fn same_file(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Whether `path` is this file, or the copy of it that [`second_name`] makes where there are no links.
/// Equal bytes alone don't make it one: a store may come to be once more what it was two updates ago.
pub(super) fn is_second_name(file: &File, path: &Path) -> io::Result<bool> {
    let (own, other) = (file.metadata()?, path.symlink_metadata()?);
    if same_file(&own, &other) {
        return Ok(true);
    }
    let time = |m: &Metadata| (m.mtime(), m.mtime_nsec());
    if own.len() != other.len() || time(&own) != time(&other) {
        return Ok(false);
    }
    same_bytes(file, &File::open(path)?)
}

fn same_bytes(a: &File, b: &File) -> io::Result<bool> {
    let (mut x, mut y) = (Zeroizing::new(vec![0; PIECE]), Zeroizing::new(vec![0; PIECE]));
    let mut at = 0;
    loop {
        let n = a.read_at(&mut x, at)?;
        match y.get_mut(..n) {
            Some([]) | None => return Ok(true),
            Some(room) => match b.read_exact_at(room, at) {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(false),
                Err(e) => return Err(e),
            },
        }
        if x.get(..n) != y.get(..n) {
            return Ok(false);
        }
        at += n as u64;
    }
}

/// Whether the file still holds `bytes` and nothing else.
pub(super) fn holds(file: &File, bytes: &[u8]) -> io::Result<bool> {
    if file.metadata()?.len() != bytes.len() as u64 {
        return Ok(false);
    }
    let mut piece = Zeroizing::new(vec![0; PIECE.min(bytes.len())]);
    let mut at = 0;
    for expected in bytes.chunks(PIECE) {
        let Some(room) = piece.get_mut(..expected.len()) else { return Ok(false) };
        match file.read_exact_at(room, at) {
            Ok(()) if room == expected => at += expected.len() as u64,
            Ok(()) => return Ok(false),
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}
