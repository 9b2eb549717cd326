//! What a writer writes into: temporary files beside the target, or memory.
//!
//! A staged file is its owner's alone (0600) from the first byte until `storeset` gives it the target's
//! owner, attributes and mode and moves it into place; unless that happens, it disappears. Only a killed
//! process leaves one behind, and its name says whose it was: [`is_temporary`].

use super::source::reason;
use crate::error::{Error, Kind, Result};
use crate::place::Source;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::{NamedTempFile, TempDir, TempPath};
use zeroize::{Zeroize, Zeroizing};

/// Bytes gathered before they go to the system in one call.
const GATHER: usize = 256 * 1024;
/// Random characters in a temporary name.
const RANDOM: usize = 8;
/// How a temporary name ends.
const SUFFIX: &str = ".tmp";
/// How a temporary folder's name ends: never like a file's, for only what we made is ever deleted.
const FOLDER_SUFFIX: &str = ".new.tmp";

/// Where a writer puts its files. Most formats have one; a set has companions named by suffix.
pub struct Staging {
    target: Option<PathBuf>,
    mode: u32,
    files: Vec<Staged>,
    folder: Option<TempDir>,
}

struct Staged {
    /// `None` is the store itself, `Some("sth")` a companion with that extension.
    suffix: Option<String>,
    body: Body,
}

enum Body {
    Memory(Zeroizing<Vec<u8>>),
    File { temp: NamedTempFile, gathered: Zeroizing<Vec<u8>> },
}

impl Staging {
    /// Into memory: for `-`, for dry runs, for tests.
    pub fn memory() -> Self {
        Staging { target: None, mode: 0o600, files: Vec::new(), folder: None }
    }

    /// Into temporary files beside `target`, which get `mode` when they are moved into place; where they
    /// replace a file, they get that one's mode instead.
    pub fn beside(target: &Path, mode: u32) -> Self {
        Staging { target: Some(target.to_owned()), mode, files: Vec::new(), folder: None }
    }

    /// The store's own file, to be written from the start. Asking again continues it.
    pub fn file(&mut self) -> Result<StagedFile<'_>> {
        self.open(None)
    }

    /// A companion of the store: the store's name with the extension `suffix`.
    pub fn companion(&mut self, suffix: &str) -> Result<StagedFile<'_>> {
        self.open(Some(suffix))
    }

    /// The store as a folder, its owner's alone, for the writer to fill: beside the target, or among the
    /// system's temporary files where there is no target. Asking again gives the same folder.
    pub fn folder(&mut self) -> Result<&Path> {
        if self.folder.is_none() {
            self.folder = Some(temporary_folder(self.target.as_deref())?);
        }
        self.folder
            .as_ref()
            .map(TempDir::path)
            .ok_or_else(|| Error::new(Kind::Write, "no temporary folder"))
    }

    /// Where the store will be; `None` where it is staged in memory.
    pub fn target(&self) -> Option<&Path> {
        self.target.as_deref()
    }

    /// The staged folder, if the store is one: for `storeset`.
    pub(crate) fn take_folder(&mut self) -> Option<TempDir> {
        self.folder.take()
    }

    /// What was staged as the store's own file, to be read back under the target's name. Flushes what was
    /// gathered.
    pub fn source(&mut self) -> Result<Source> {
        if let Some(folder) = &self.folder {
            return Source::open(folder.path());
        }
        let name = self.name().to_owned();
        match self.files.iter_mut().find(|f| f.suffix.is_none()).map(|f| &mut f.body) {
            None => Err(Error::new(Kind::Write, "nothing was written").in_file(&name)),
            Some(Body::Memory(bytes)) => {
                let source = Source::memory(name, bytes.to_vec());
                source.bytes()?.wipe_on_drop();
                Ok(source)
            }
            Some(Body::File { temp, gathered }) => {
                flush(temp, gathered).map_err(|e| cannot_write(e, &name))?;
                Source::from_opened(&name, File::open(temp.path()))
            }
        }
    }

    /// The bytes of the store's own file when staged in memory.
    pub fn into_memory(self) -> Option<Zeroizing<Vec<u8>>> {
        self.files.into_iter().find(|f| f.suffix.is_none()).and_then(|f| match f.body {
            Body::Memory(bytes) => Some(bytes),
            Body::File { .. } => None,
        })
    }

    /// The mode for files that replace none.
    pub(crate) fn mode(&self) -> u32 {
        self.mode
    }

    /// The staged files with their suffixes, flushed: for `storeset`, which syncs and renames them.
    pub(crate) fn into_files(self) -> Result<Vec<(Option<String>, NamedTempFile)>> {
        let name = self.name().to_owned();
        let mut out = Vec::new();
        for staged in self.files {
            if let Body::File { mut temp, mut gathered } = staged.body {
                flush(&mut temp, &mut gathered).map_err(|e| cannot_write(e, &name))?;
                out.push((staged.suffix, temp));
            }
        }
        Ok(out)
    }

    fn name(&self) -> &Path {
        self.target.as_deref().unwrap_or(Path::new("-"))
    }

    fn open(&mut self, suffix: Option<&str>) -> Result<StagedFile<'_>> {
        let at = match self.files.iter().position(|f| f.suffix.as_deref() == suffix) {
            Some(at) => at,
            None => {
                let body = match &self.target {
                    None => Body::Memory(Zeroizing::default()),
                    Some(target) => Body::File {
                        temp: temporary_beside(target)?,
                        // Sized once: growing would leave unwiped copies behind.
                        gathered: Zeroizing::new(Vec::with_capacity(GATHER)),
                    },
                };
                self.files.push(Staged { suffix: suffix.map(str::to_owned), body });
                self.files.len() - 1
            }
        };
        let name = self.target.as_deref().unwrap_or(Path::new("-"));
        Ok(StagedFile { body: &mut self.files[at].body, name })
    }
}

/// A new folder `.NAME.XXXXXXXX.new.tmp` beside the target, 0700.
fn temporary_folder(target: Option<&Path>) -> Result<TempDir> {
    let prefix = prefix(target.and_then(Path::file_name).unwrap_or_default());
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(FOLDER_SUFFIX).rand_bytes(RANDOM);
    builder.permissions(Permissions::from_mode(0o700));
    let made = match target {
        None => builder.tempdir(),
        Some(target) => builder.tempdir_in(folder_of(target)),
    };
    made.map_err(|e| {
        let e = plain(e);
        let what = format!("can't make a temporary folder: {}", reason(&e));
        Error::io(Kind::Write, what, e).in_file(target.unwrap_or(Path::new("-")))
    })
}

/// One staged file. Gathers small pieces.
pub struct StagedFile<'a> {
    body: &'a mut Body,
    name: &'a Path,
}

impl StagedFile<'_> {
    /// Appends `bytes`.
    pub fn put(&mut self, bytes: &[u8]) -> Result<()> {
        match self.body {
            Body::Memory(out) => {
                reserve_wiping(out, bytes.len());
                out.extend_from_slice(bytes);
                Ok(())
            }
            Body::File { temp, gathered } => {
                put(temp, gathered, bytes).map_err(|e| cannot_write(e, self.name))
            }
        }
    }
}

/// A new file `.NAME.XXXXXXXX.tmp` in the target's folder, open for reading and writing, 0600.
pub(crate) fn temporary_beside(target: &Path) -> Result<NamedTempFile> {
    named_beside(target, |builder, folder| builder.tempfile_in(folder)).map_err(|e| {
        let what = format!("can't make a temporary file in its folder: {}", reason(&e));
        Error::io(Kind::Write, what, e).in_file(target)
    })
}

/// The same name for a hard link to `existing`.
pub(crate) fn link_beside(existing: &Path, target: &Path) -> std::io::Result<TempPath> {
    let link = |path: &Path| std::fs::hard_link(existing, path);
    named_beside(target, |builder, folder| builder.make_in(folder, link)).map(NamedTempFile::into_temp_path)
}

/// Whether `name` is one that [`temporary_beside`] gives to files on their way to `target`.
pub(crate) fn is_temporary(name: &OsStr, target: &OsStr) -> bool {
    is_between(name, target, SUFFIX)
}

/// The same for the names of staged folders.
pub(crate) fn is_temporary_folder(name: &OsStr, target: &OsStr) -> bool {
    is_between(name, target, FOLDER_SUFFIX)
}

fn is_between(name: &OsStr, target: &OsStr, suffix: &str) -> bool {
    let inside = name.as_encoded_bytes().strip_prefix(prefix(target).as_encoded_bytes());
    let random = inside.and_then(|rest| rest.strip_suffix(suffix.as_bytes()));
    random.is_some_and(|r| r.len() == RANDOM && r.iter().all(u8::is_ascii_alphanumeric))
}

/// The folder that a file is in.
pub(crate) fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

fn named_beside<T>(
    target: &Path,
    make: impl Fn(&tempfile::Builder<'_, '_>, &Path) -> std::io::Result<T>,
) -> std::io::Result<T> {
    let prefix = prefix(target.file_name().unwrap_or_default());
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(SUFFIX).rand_bytes(RANDOM).permissions(Permissions::from_mode(0o600));
    make(&builder, folder_of(target)).map_err(plain)
}

fn prefix(target: &OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(target);
    prefix.push(".");
    prefix
}

/// `tempfile` wraps the system's error to add a path; ours have their own.
fn plain(e: std::io::Error) -> std::io::Error {
    let cause = e.get_ref().and_then(|inner| inner.source());
    let code = cause.and_then(|c| c.downcast_ref::<std::io::Error>()).and_then(|c| c.raw_os_error());
    code.map_or(e, std::io::Error::from_raw_os_error)
}

fn put(temp: &mut NamedTempFile, gathered: &mut Vec<u8>, bytes: &[u8]) -> std::io::Result<()> {
    if gathered.len() + bytes.len() > GATHER {
        flush(temp, gathered)?;
    }
    if bytes.len() >= GATHER {
        return temp.as_file_mut().write_all(bytes);
    }
    gathered.extend_from_slice(bytes);
    Ok(())
}

fn flush(temp: &mut NamedTempFile, gathered: &mut Vec<u8>) -> std::io::Result<()> {
    if !gathered.is_empty() {
        temp.as_file_mut().write_all(gathered)?;
        gathered.zeroize();
    }
    Ok(())
}

fn cannot_write(e: std::io::Error, name: &Path) -> Error {
    Error::io(Kind::Write, format!("can't be written: {}", reason(&e)), e).in_file(name)
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
