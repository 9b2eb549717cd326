//! What a writer writes into: temporary files beside the target, or memory.
//!
//! A staged file is its owner's alone until `storeset` gives it the mode and the owner of the file that it
//! replaces, and disappears unless `storeset` moves it into place.

use crate::error::{Error, Kind, Result};
use crate::place::Source;
use crate::place::source::Companion;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, Permissions};
use std::io::{Seek, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::{NamedTempFile, TempDir};
use zeroize::{Zeroize, Zeroizing};

/// Bytes that are handled at once, and gathered before they go to the system in one call. They stay in the processor's
/// cache; more would save few calls, and cost as many pages to claim as there is more of them.
pub(crate) const PIECE: usize = 64 * 1024;

/// Where a writer puts its files. Most formats have one; a set has companions named by suffix.
pub struct Staging {
    target: Option<PathBuf>,
    /// False: one file goes out and nothing beside it.
    set: bool,
    files: Vec<Staged>,
    /// Companions by suffix that are not to stand beside the store any more.
    gone: Vec<String>,
    /// The store, where it is a folder, and the lock by which others see that this run is alive.
    folder: Option<(TempDir, File)>,
    /// A file whose owner, mode and attributes those get that replace nothing.
    like: Option<File>,
}

struct Staged {
    /// `None` is the store itself, `Some("sth")` a companion with that extension.
    suffix: Option<String>,
    body: Body,
}

enum Body {
    Memory(Zeroizing<Vec<u8>>),
    File { temp: NamedTempFile, gathered: Gathered },
}

impl Staging {
    /// Into memory: for dry runs, for tests.
    pub fn memory() -> Self {
        Staging { target: None, set: true, files: Vec::new(), gone: Vec::new(), folder: None, like: None }
    }

    /// Into memory for standard output: one file, without companions.
    pub fn stream() -> Self {
        Staging { set: false, ..Staging::memory() }
    }

    /// Into temporary files beside `target`, 0600 from the first byte.
    pub fn beside(target: &Path) -> Self {
        Staging {
            target: Some(target.to_owned()),
            set: true,
            files: Vec::new(),
            gone: Vec::new(),
            folder: None,
            like: None,
        }
    }

    /// Of files that were written and checked before: for `storeset`.
    pub(crate) fn of_files(
        target: &Path,
        files: Vec<(Option<String>, NamedTempFile)>,
        gone: Vec<String>,
    ) -> Self {
        let staged =
            |(suffix, temp)| Staged { suffix, body: Body::File { temp, gathered: Gathered::default() } };
        let files = files.into_iter().map(staged).collect();
        Staging { files, gone, ..Staging::beside(target) }
    }

    /// The store's own file, to be written from the start. Asking again continues it.
    pub fn file(&mut self) -> Result<StagedFile<'_>> {
        self.open(None)
    }

    /// Whether companions go where the store goes. Not to standard output.
    pub fn takes_companions(&self) -> bool {
        self.set
    }

    /// What stands beside the target now as `NAME.suffix`; nothing for memory.
    pub fn current(&self, suffix: &str) -> Result<Option<Source>> {
        let path = self.target.as_ref().map(|t| t.with_extension(suffix));
        path.filter(|p| Some(p) != self.target.as_ref()).map_or(Ok(None), |p| super::source::if_file(&p))
    }

    /// A companion of the store, `NAME.suffix`.
    pub fn companion(&mut self, suffix: &str) -> Result<StagedFile<'_>> {
        self.open(Some(suffix))
    }

    /// Files that replace nothing get owner, mode and attributes of this one.
    pub fn like(&mut self, file: &Path) -> Result<()> {
        let opened = File::open(file);
        self.like = Some(opened.map_err(|e| super::source::cannot_read(e).in_file(file))?);
        Ok(())
    }

    /// The companion `NAME.suffix` goes with the store that is replaced: it would not fit this one.
    pub fn leave_out(&mut self, suffix: &str) {
        self.gone.push(suffix.to_owned());
    }

    /// The store as a folder, its owner's alone, for the writer to fill: beside the target, or among the
    /// system's temporary files where there is no target. Asking again gives the same folder.
    pub fn folder(&mut self) -> Result<&Path> {
        if self.folder.is_none() {
            self.folder = Some(temporary_folder(self.target.as_deref())?);
        }
        let folder = self.folder.as_ref().map(|(folder, _)| folder.path());
        folder.ok_or_else(|| Error::new(Kind::Write, "no temporary folder"))
    }

    /// Where the store will be; `None` where it is staged in memory.
    pub fn target(&self) -> Option<&Path> {
        self.target.as_deref()
    }

    /// The staged folder, if the store is one: for `storeset`.
    pub(crate) fn take_folder(&mut self) -> Option<(TempDir, File)> {
        self.folder.take()
    }

    /// See [`Staging::like`]: for `storeset`.
    pub(crate) fn take_like(&mut self) -> Option<File> {
        self.like.take()
    }

    /// The suffixes of companions that go: for `storeset`.
    pub(crate) fn take_gone(&mut self) -> Vec<String> {
        std::mem::take(&mut self.gone)
    }

    /// What was staged as the store's own file, to be read back. Flushes what was gathered.
    pub fn source(&mut self) -> Result<Source> {
        if let Some((folder, _)) = &self.folder {
            return Source::open(folder.path());
        }
        let name = self.target.clone().unwrap_or_else(|| PathBuf::from("-"));
        let companions = self.staged_companions().map_err(|e| e.in_file(&name))?;
        let target = self.target.clone();
        let source = match self.files.iter_mut().find(|f| f.suffix.is_none()).map(|f| &mut f.body) {
            None => Err(Error::new(Kind::Write, "nothing was written").in_file(&name)),
            Some(Body::Memory(bytes)) => Ok(Source::memory(name, bytes.to_vec())),
            Some(Body::File { temp, gathered }) => {
                flush(temp, gathered).map_err(|e| e.in_file(&name))?;
                Source::open(temp.path())
            }
        };
        source.map(|s| s.with_staged(companions, target))
    }

    /// Where the staged companions can be read. Flushes what was gathered.
    fn staged_companions(&mut self) -> Result<Vec<(String, Companion)>> {
        let mut out: Vec<_> = self.gone.iter().map(|suffix| (suffix.clone(), Companion::Gone)).collect();
        for staged in &mut self.files {
            let Some(suffix) = &staged.suffix else { continue };
            out.push((
                suffix.clone(),
                match &mut staged.body {
                    Body::Memory(bytes) => Companion::Memory(bytes.to_vec()),
                    Body::File { temp, gathered } => {
                        flush(temp, gathered)?;
                        Companion::File(temp.path().to_owned())
                    }
                },
            ));
        }
        Ok(out)
    }

    /// The bytes of the store's own file when staged in memory.
    pub fn into_memory(self) -> Option<Zeroizing<Vec<u8>>> {
        self.files.into_iter().find(|f| f.suffix.is_none()).and_then(|f| match f.body {
            Body::Memory(bytes) => Some(bytes),
            Body::File { .. } => None,
        })
    }

    /// The staged files with their suffixes, flushed: for `storeset`, which syncs and renames them.
    pub(crate) fn into_files(self) -> Result<Vec<(Option<String>, NamedTempFile)>> {
        let mut out = Vec::new();
        for staged in self.files {
            if let Body::File { mut temp, mut gathered } = staged.body {
                flush(&mut temp, &mut gathered)?;
                out.push((staged.suffix, temp));
            }
        }
        Ok(out)
    }

    fn open(&mut self, suffix: Option<&str>) -> Result<StagedFile<'_>> {
        let at = match self.files.iter().position(|f| f.suffix.as_deref() == suffix) {
            Some(at) => at,
            None => {
                let body = match &self.target {
                    None => Body::Memory(Zeroizing::new(Vec::new())),
                    Some(target) => Body::File { temp: temp_beside(target)?, gathered: Gathered::default() },
                };
                self.files.push(Staged { suffix: suffix.map(str::to_owned), body });
                self.files.len() - 1
            }
        };
        Ok(StagedFile { body: &mut self.files[at].body })
    }
}

/// `.NAME.XXXXXX.tmp` in the target's folder, with a lock by which others see that this run is alive.
fn temp_beside(target: &Path) -> Result<NamedTempFile> {
    let folder = match target.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let failed = |e| write_error("can't create a temporary file beside it", e).in_file(target);
    let mut builder = tempfile::Builder::new();
    let prefix = crate::storeset::temp_prefix(target);
    builder.prefix(&prefix).suffix(".tmp");
    loop {
        let temp = builder.tempfile_in(folder).map_err(failed)?;
        // Explicitly, for the umask may have taken away even what its owner needs.
        temp.as_file().set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
        // Where there are no locks, those who clear up ask for the store's own lock.
        let _ = flock(temp.as_file(), FlockOperation::NonBlockingLockExclusive);
        // Somebody who cleared up may have had it between the two calls.
        if temp.as_file().metadata().map_err(failed)?.nlink() > 0 {
            return Ok(temp);
        }
    }
}

/// A new folder `.NAME.XXXXXX.new.tmp` beside the target, 0700, locked as files are.
fn temporary_folder(target: Option<&Path>) -> Result<(TempDir, File)> {
    let name = target.unwrap_or(Path::new("-"));
    let failed = |e| write_error("can't create a temporary folder", e).in_file(name);
    let mut builder = tempfile::Builder::new();
    let prefix = crate::storeset::temp_prefix(name);
    builder.prefix(&prefix).suffix(".new.tmp").permissions(Permissions::from_mode(0o700));
    let made = match target.map(Path::parent) {
        None => builder.tempdir(),
        Some(Some(around)) if !around.as_os_str().is_empty() => builder.tempdir_in(around),
        Some(_) => builder.tempdir_in("."),
    };
    let folder = made.map_err(failed)?;
    let lock = File::open(folder.path()).map_err(failed)?;
    let _ = flock(&lock, FlockOperation::NonBlockingLockExclusive);
    Ok((folder, lock))
}

/// Bytes on their way. What was used of the room is wiped, and nothing else: wiping all of it would cost a
/// small store more than writing it.
#[derive(Default)]
struct Gathered(Vec<u8>);

impl Gathered {
    fn wipe(&mut self) {
        self.0.as_mut_slice().zeroize();
        self.0.clear();
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        self.wipe();
    }
}

fn flush(temp: &mut NamedTempFile, gathered: &mut Gathered) -> Result<()> {
    temp.as_file_mut().write_all(&gathered.0).map_err(|e| write_error("can't be written", e))?;
    gathered.wipe();
    Ok(())
}

fn write_error(what: &str, e: std::io::Error) -> Error {
    Error::io(Kind::Write, format!("{what}: {}", super::source::reason(&e)), e)
}

/// One staged file. Gathers small pieces.
pub struct StagedFile<'a> {
    body: &'a mut Body,
}

impl StagedFile<'_> {
    /// Appends `bytes`.
    pub fn put(&mut self, bytes: &[u8]) -> Result<()> {
        match self.body {
            Body::Memory(out) => {
                reserve_wiping(out, bytes.len());
                out.extend_from_slice(bytes);
            }
            Body::File { temp, gathered } => {
                if gathered.0.capacity() == 0 {
                    gathered.0.reserve_exact(PIECE);
                }
                if gathered.0.len() + bytes.len() > PIECE {
                    flush(temp, gathered)?;
                }
                if bytes.len() >= PIECE {
                    temp.as_file_mut().write_all(bytes).map_err(|e| write_error("can't be written", e))?;
                } else {
                    gathered.0.extend_from_slice(bytes);
                }
            }
        }
        Ok(())
    }
}

impl StagedFile<'_> {
    /// Overwrites bytes that were put already: a header that is known last.
    pub fn patch(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        let outside = || Error::new(Kind::Write, "what is to be changed was not written");
        let fits =
            |room: &mut [u8], at: usize| match room.get_mut(at..).and_then(|r| r.get_mut(..bytes.len())) {
                Some(room) => {
                    room.copy_from_slice(bytes);
                    Ok(())
                }
                None => Err(outside()),
            };
        match self.body {
            Body::Memory(out) => fits(out, at),
            Body::File { temp, gathered } => {
                let failed = |e| write_error("can't be written", e);
                let flushed = temp.as_file_mut().stream_position().map_err(failed)? as usize;
                match at.checked_sub(flushed) {
                    Some(at) => fits(&mut gathered.0, at),
                    None if at + bytes.len() <= flushed => {
                        temp.as_file().write_all_at(bytes, at as u64).map_err(failed)
                    }
                    None => Err(outside()),
                }
            }
        }
    }
}

/// Grows without leaving an unwiped copy of the old content behind.
fn reserve_wiping(out: &mut Zeroizing<Vec<u8>>, more: usize) {
    if out.capacity() - out.len() < more {
        let mut grown = Vec::with_capacity((out.len() + more).max(out.capacity() * 2));
        grown.extend_from_slice(out);
        **out = {
            out.zeroize();
            grown
        };
    }
}
