//! IBM MQ's own settings files, as far as they name stores: AMS's `keystore.conf` and the `mqclient.ini` of
//! clients. Read, and rewritten line for line.
//!
//! ```text
//! keystore.conf                          mqclient.ini
//!   cms.keystore = /home/ann/.mqs/ann      SSL:
//!   cms.certificate = ann                     SSLKeyRepository=/home/ann/tls/client
//!   jks.keystore_pass = <AMS>!2!…!…        Security:
//! ```
//!
//! Only the value that is asked for changes, or one line is added; everything else stays byte for byte, what isn't
//! understood too: protected passwords can't be made again. Shapes as IBM documents them (MQ 9.1 to 9.4, "Structure
//! of the keystore configuration file", "Client configuration file stanzas"). Setting names are compared without
//! regard to case, for people write `JKS.keystore`.

mod lines;
mod stores;
#[cfg(test)]
mod tests;

pub use stores::{Named, Pointed};

use crate::error::{Error, Kind, Result};
use crate::place::{Source, Staging};
use crate::storeset::{self, Committed, Step};
use lines::Line;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A larger file is none of MQ's.
pub(crate) const LIMIT: u64 = 1 << 20;

/// Which of the files it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `keystore.conf`: lines `key = value`. Settings are called by their keys: `cms.keystore`.
    KeystoreConf,
    /// `mqclient.ini`: stanzas. Settings are called `STANZA:KEY`: `SSL:SSLKeyRepository`.
    Ini,
}

/// The settings in one file.
pub struct Settings {
    shape: Shape,
    /// May hold passwords.
    bytes: Zeroizing<Vec<u8>>,
}

impl Settings {
    /// Takes any bytes; what isn't understood is kept. The name decides which file it is, else its lines do.
    pub fn parse(path: &Path, bytes: Vec<u8>) -> Settings {
        let named_ini = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("ini"));
        let shape = if named_ini || lines::has_stanza(&bytes) { Shape::Ini } else { Shape::KeystoreConf };
        Settings { shape, bytes: Zeroizing::new(bytes) }
    }

    /// Reads a settings file `path` as it is in `state`: the file itself, or an old generation of it.
    pub fn read(path: &Path, state: &Path) -> Result<Settings> {
        Settings::of(path, &Source::open(state)?)
    }

    /// What was read of the file is wiped, for it may hold passwords.
    fn of(path: &Path, source: &Source) -> Result<Settings> {
        let settings = Settings::parse(path, source.bytes()?.to_vec());
        source.wipe_on_drop();
        Ok(settings)
    }

    /// Which of the files it is.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The file as it is now.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The value of a setting. Where it stands there more than once, the last: so Java takes it.
    pub fn get(&self, name: &str) -> Option<OsString> {
        let lines = self.lines();
        let line = lines.iter().rev().find(|l| l.is(name))?;
        Some(OsString::from_vec(line.value(&self.bytes)))
    }

    /// Gives a setting another value wherever it stands, or adds it after its kin; false: it has that value.
    ///
    /// `Kind::Refused` for a value that can't stand in a line, `Kind::Unsupported` for a file that isn't text.
    pub fn set(&mut self, name: &str, value: &OsStr) -> Result<bool> {
        if self.bytes.contains(&0) {
            return Err(Error::unsupported("is not plain text (UTF-16?), so it is not changed"));
        }
        let raw = lines::encode(self.shape, name, value)?;
        let lines = self.lines();
        let found: Vec<&Line> = lines.iter().filter(|l| l.is(name)).collect();
        if found.is_empty() {
            let (at, text) = lines::addition(&self.bytes, self.shape, &lines, name, &raw);
            self.replace(at..at, &text);
            return Ok(true);
        }
        let other: Vec<_> = found
            .iter()
            .filter(|l| l.value(&self.bytes) != value.as_encoded_bytes())
            .map(|l| l.value.clone())
            .collect();
        // From the end, so that the places before stay right.
        other.iter().rev().for_each(|place| self.replace(place.clone(), &raw));
        Ok(!other.is_empty())
    }

    fn lines(&self) -> Vec<Line> {
        lines::lines(&self.bytes, self.shape)
    }

    /// Into new room, so that nothing is left of the old when that is wiped.
    fn replace(&mut self, place: std::ops::Range<usize>, with: &[u8]) {
        let (before, after) = (self.bytes.get(..place.start), self.bytes.get(place.end..));
        let parts = [before.unwrap_or_default(), with, after.unwrap_or_default()];
        self.bytes = Zeroizing::new(parts.concat());
    }
}

/// A settings file that was read, and can be written back.
pub struct SettingsFile {
    /// Its place, links resolved.
    path: PathBuf,
    source: Source,
    /// What it says; change this.
    pub settings: Settings,
}

impl SettingsFile {
    /// Reads it. `Kind::Read` where there is none.
    pub fn open(path: &Path) -> Result<SettingsFile> {
        let read = || {
            // Whole, for relative paths in it are compared with those of stores.
            let resolved = storeset::resolve(path)?;
            let resolved = std::path::absolute(&resolved).unwrap_or(resolved);
            let source = Source::open(path)?;
            if source.size()? > LIMIT {
                return Err(Error::too_large(format!("is larger than {LIMIT} bytes, so no file of MQ's")));
            }
            let settings = Settings::of(path, &source)?;
            Ok(SettingsFile { path: resolved, source, settings })
        };
        read().map_err(|e: Error| e.in_file(path))
    }

    /// Where it is, links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that relative paths in it count from.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// The stores that it names.
    pub fn stores(&self) -> Vec<Named> {
        self.settings.stores(self.folder())
    }

    /// Whether a setting leads to this store.
    pub fn leads_to(&self, store: &Path) -> bool {
        self.settings.leads_to(self.folder(), store)
    }

    /// Makes every setting that leads to the store `from` lead to the store `to`; see [`Settings::point`].
    pub fn point(&mut self, from: &Path, to: &Path) -> Result<Vec<Pointed>> {
        let folder = self.folder().to_owned();
        self.settings.point(&folder, from, to)
    }

    /// Writes it back by one rename, with the owner, mode and attributes that it had; the file as it was is kept
    /// as `NAME.old-N`. `None`: nothing was changed, so nothing is written.
    ///
    /// `Kind::Busy` where somebody changed it since it was read, or another run is at work on it.
    pub fn save(&self, on_step: &dyn Fn(Step) -> Result<()>) -> Result<Option<Committed>> {
        let before = self.source.bytes()?;
        if before[..] == *self.settings.bytes() {
            return Ok(None);
        }
        let write = || {
            let _lock = storeset::Lock::take(&self.path)?;
            let mut staging = Staging::beside(&self.path);
            staging.file()?.put(self.settings.bytes())?;
            let identity = self.source.identity();
            let how = storeset::Commit {
                store: &self.path,
                expected: Some(identity.ok_or_else(|| Error::new(Kind::Read, "is no file"))?),
                content: Some(before),
                companions: &[],
                on_step,
            };
            storeset::commit(staging, &how).map(Some)
        };
        write().map_err(|e: Error| e.in_file(&self.path))
    }
}
