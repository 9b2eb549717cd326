//! `NAME.staged`: the next form of a store, built and checked, that waits to take its place.
//!
//! ```text
//! NAME.staged/NAME, NAME.staged/…   the files as they will be
//! NAME.staged/keyferry.json         what they were made from, what the store was then, which stores change with it
//! ```
//!
//! Stores that change together are staged before the first is switched, and these folders go after the last, each
//! with a mark while that goes on. So they are what tells the next run of a crash in between, and what it completes the
//! update from.

use super::{Record, failed, files, in_place, sync_folder, with_suffix};
use crate::error::{Error, Kind, Result};
use crate::hex::hex;
use crate::place::{PIECE, Staging};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The file that says what the others are.
const NOTE: &str = "keyferry.json";
/// The file that is there while the stores of the set are switched.
const BEGUN: &str = "keyferry.begun";
const VERSION: u32 = 1;

/// What a staged generation is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    version: u32,
    /// What the store's record is to say: inputs, serial, time.
    pub record: Record,
    /// The stores that are to change together, this one included, in the order in which they are switched.
    pub set: Vec<Member>,
    /// What it doesn't hold as its sources do: whoever switches to it must allow that, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<Lost>,
    /// SHA-256 of each file, by name.
    files: BTreeMap<String, String>,
    /// Companions, by suffix, that are not to stand beside the store any more.
    gone: Vec<String>,
}

/// A loss, as it is noted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The word for its kind.
    pub kind: String,
    /// The entry, where it is one entry's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What, and why.
    pub detail: String,
}

/// One store of a set that is to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The store beside which it is staged; absolute, links resolved.
    pub home: PathBuf,
    /// Where the store is: there, unless a settings file leads to another place.
    pub path: PathBuf,
    /// That settings file; absolute. The store changes by leading it elsewhere, never where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<PathBuf>,
    /// The name of its format.
    pub format: String,
    /// SHA-256 of the store as it was, or what tells a folder's state; absent: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// SHA-256 of the store as it is to be; of a folder nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Note {
    /// For a store that is to change with `set`.
    pub fn new(record: Record, set: Vec<Member>, losses: Vec<Lost>) -> Self {
        Note { version: VERSION, record, set, losses, files: BTreeMap::new(), gone: Vec::new() }
    }
}

/// A staged generation.
#[derive(Debug)]
pub struct Staged {
    store: PathBuf,
    /// What it is.
    pub note: Note,
}

impl Staged {
    /// The one of `store`; `None` where there is none that can be understood. Not being told is not "none".
    pub fn read(store: &Path) -> Result<Option<Staged>> {
        let path = place(store).join(NOTE);
        let text = match files::read_note(&path) {
            Ok(text) => text,
            // A name that is too long for it is one of a store that nothing was ever staged for.
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename
                ) =>
            {
                return Ok(None);
            }
            Err(e) => return Err(Error::io(Kind::Read, "can't be read", e).in_file(&path)),
        };
        let note = serde_json::from_slice::<Note>(&text).ok().filter(|n| n.version == VERSION);
        Ok(note.map(|note| Staged { store: store.to_owned(), note }))
    }

    /// Keeps what was staged for `store`, in the place of what was kept before. All of it is synced.
    pub fn keep(mut staging: Staging, store: &Path, mut note: Note) -> Result<Staged> {
        note.gone = staging.take_gone();
        let keep = || -> Result<()> {
            let (made, _alive) = match staging.take_folder() {
                Some(made) => made,
                None => in_a_folder(staging, store)?,
            };
            // What was read back is not read once more.
            let own = of_store(&note, store).and_then(|m| m.next.as_deref());
            note.files = digests(made.path(), store.file_name().zip(own))?;
            write(&note, made.path()).map_err(|e| failed("its note can't be written", e))?;
            Staged::discard(store)?;
            in_place::move_to_free(made.path(), &place(store))
                .map_err(|e| failed("can't be moved into place", e))?;
            // The name is gone; whatever gets it next isn't ours to delete.
            let _ = made.keep();
            sync_folder(store)
        };
        keep().map_err(|e| e.in_file(&place(store)))?;
        Ok(Staged { store: store.to_owned(), note })
    }

    /// Its folder.
    pub fn path(&self) -> PathBuf {
        place(&self.store)
    }

    /// What is noted of its own store.
    pub fn member(&self) -> Option<&Member> {
        of_store(&self.note, &self.store)
    }

    /// Marks that its set begins to be switched; synced.
    pub fn begin(&self) -> Result<()> {
        let at = self.path();
        let mark = File::create(at.join(BEGUN)).and_then(|_| File::open(&at)?.sync_all());
        mark.map_err(|e| failed("can't be marked", e).in_file(&at))
    }

    /// Whether its set began to be switched.
    pub fn has_begun(&self) -> bool {
        self.path().join(BEGUN).is_file()
    }

    /// That its files are those that were checked. `Kind::Busy` where they are not.
    pub fn check(&self) -> Result<()> {
        match digests(&self.path(), None) {
            Ok(now) if now == self.note.files => Ok(()),
            _ => Err(Error::new(Kind::Busy, "the staged generation was changed since it was checked")
                .in_file(&self.path())),
        }
    }

    /// Its files, to be moved into place; they stay here as well.
    pub fn open(&self) -> Result<Staging> {
        if self.member().is_some_and(|m| m.next.is_none()) {
            return in_place::copied(&self.store, &self.path(), &[NOTE, BEGUN]);
        }
        let taken = || -> std::io::Result<_> {
            let mut taken = Vec::with_capacity(self.note.files.len());
            for path in members(&self.path())? {
                let own = path.file_name() == self.store.file_name();
                let suffix = path.extension().map(|e| e.to_string_lossy().into_owned());
                taken.push((suffix.filter(|_| !own), files::second_temporary(&path, &self.store)?));
            }
            Ok(taken)
        };
        let taken = taken().map_err(|e| failed("can't be taken", e).in_file(&self.path()))?;
        Ok(Staging::of_files(&self.store, taken, self.note.gone.clone()))
    }

    /// Deletes what was put in place from here where nothing was before. A folder stays when there is more in it by now.
    pub fn take_away(&self) -> Result<()> {
        let is_folder = self.store.is_dir();
        let around = if is_folder { Some(&*self.store) } else { self.store.parent() };
        let around = around.unwrap_or(Path::new("/"));
        let take = || {
            // The note may have been tampered with: here and nowhere else.
            let names = self.note.files.keys().filter(|name| !name.contains('/'));
            names.map(|name| around.join(name)).try_for_each(|path| or_gone(std::fs::remove_file(path)))?;
            if !is_folder {
                return Ok(());
            }
            match std::fs::remove_dir(around) {
                Err(e) if e.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
                other => or_gone(other),
            }
        };
        take().map_err(|e| failed("can't be deleted", e).in_file(&self.store))
    }

    /// Deletes the one of `store`, if there is one; first its name.
    pub fn discard(store: &Path) -> Result<()> {
        or_gone(in_place::discard(&place(store), store))
            .map_err(|e| failed("the staged generation can't be deleted", e).in_file(&place(store)))
    }
}

/// What a note says of its own store.
fn of_store<'n>(note: &'n Note, store: &Path) -> Option<&'n Member> {
    let own = std::path::absolute(store).ok()?;
    note.set.iter().find(|m| m.home == own)
}

/// What is to be deleted may be gone already.
fn or_gone(deleted: std::io::Result<()>) -> std::io::Result<()> {
    match deleted {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The staged files moved into a folder under the names that they will have, synced.
fn in_a_folder(staging: Staging, store: &Path) -> Result<(TempDir, File)> {
    let mut around = Staging::beside(store);
    around.folder()?;
    let made = around.take_folder().ok_or_else(|| Error::new(Kind::Write, "there is no folder for it"))?;
    for (suffix, temp) in staging.into_files()? {
        let named = suffix.map_or_else(|| store.to_owned(), |s| store.with_extension(s));
        temp.as_file().sync_all().map_err(|e| failed("can't be synced", e))?;
        temp.persist_noclobber(made.0.path().join(named.file_name().unwrap_or_default()))
            .map_err(|e| failed("can't be moved into its folder", e.error))?;
    }
    Ok(made)
}

/// Writes the note, and syncs all.
fn write(note: &Note, at: &Path) -> std::io::Result<()> {
    File::create_new(at.join(NOTE))?.write_all(&files::note(note)?)?;
    in_place::sync_all(at)
}

/// Where the staged generation of `store` is.
pub fn place(store: &Path) -> PathBuf {
    with_suffix(store, ".staged")
}

/// SHA-256 of a file, lower-case hex.
pub fn digest(path: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut file = files::open_plain(path)?;
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            n => hash.update(piece.get(..n).unwrap_or_default()),
        }
    }
    Ok(hex(&hash.finalize()))
}

/// The files of the store in the folder of a staged generation.
fn members(at: &Path) -> std::io::Result<Vec<PathBuf>> {
    let all =
        std::fs::read_dir(at)?.map(|item| item.map(|i| i.path())).collect::<std::io::Result<Vec<_>>>()?;
    let is_own = |p: &PathBuf| [NOTE, BEGUN].iter().any(|own| p.file_name() == Some(own.as_ref()));
    Ok(all.into_iter().filter(|p| !is_own(p)).collect())
}

/// The digest of each; of one it may be known.
fn digests(at: &Path, known: Option<(&OsStr, &str)>) -> Result<BTreeMap<String, String>> {
    let of = |path: PathBuf| {
        let name = path.file_name().unwrap_or_default();
        let digest = match known.filter(|(own, _)| *own == name) {
            Some((_, known)) => known.to_owned(),
            None => digest(&path)?,
        };
        Ok((name.to_string_lossy().into_owned(), digest))
    };
    let all = || members(at)?.into_iter().map(of).collect::<std::io::Result<_>>();
    all().map_err(|e| failed("can't be read", e).in_file(at))
}
