//! One thing to read: a file, a folder, or bytes in memory.

use crate::error::{Error, Kind, Result};
use crate::model::{Buffer, Room};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use zeroize::Zeroize;

/// As much as detection may look at.
const HEAD: usize = 4096;

/// One thing to read. The bytes are fetched once, when somebody asks for them.
pub struct Source {
    path: PathBuf,
    origin: Origin,
    facts: Option<FileFacts>,
    head: OnceLock<Arc<Buffer>>,
    bytes: OnceLock<Arc<Buffer>>,
    companions: Companions,
}

/// Where the other files of a set are (`NAME.rdb` beside `NAME.kdb`).
enum Companions {
    /// Beside the file, if it is one.
    Siblings,
    /// Staged by suffix; what isn't staged stands beside the target.
    Staged { files: Vec<(String, Companion)>, target: Option<PathBuf> },
}

/// One staged companion.
pub(super) enum Companion {
    File(PathBuf),
    Memory(Vec<u8>),
    /// It is not to be there any more.
    Gone,
}

enum Origin {
    File(File, Identity),
    /// A pipe or device: no size, no second reading.
    Stream(File),
    Directory,
    Memory,
}

/// Which file it was and in which state, so that a change by somebody else is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change of content, in nanoseconds since 1970.
    pub modified_ns: i128,
}

impl Identity {
    /// From what the system says of a file.
    pub fn of(meta: &Metadata) -> Self {
        Identity {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.len(),
            modified_ns: i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()),
        }
    }
}

/// What the system says of a file beside its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// The owner's number.
    pub uid: u32,
    /// Permission bits, without the kind of file.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// Last change of content, seconds since 1970.
    pub mtime: i64,
}

impl FileFacts {
    /// From what the system says.
    pub fn of(meta: &Metadata) -> Self {
        FileFacts { uid: meta.uid(), mode: meta.mode() & 0o7777, size: meta.len(), mtime: meta.mtime() }
    }
}

/// What detection sees: the first bytes (up to 4 KiB), the whole size where known, and the name.
pub struct Probe<'a> {
    /// The first bytes.
    pub head: &'a [u8],
    /// The size of the file in bytes, if it has one.
    pub size: Option<u64>,
    /// The name, as the caller gave it.
    pub path: &'a Path,
    /// It is a folder.
    pub directory: bool,
}

/// Opens what is at `path`, if it is a file. Not being told is an error: a companion that is taken for none would
/// be left behind, or lost.
pub(super) fn if_file(path: &Path) -> Result<Option<Source>> {
    match path.metadata() {
        Ok(meta) if meta.is_file() => Source::open(path).map(Some),
        Ok(_) => Ok(None),
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(e) => Err(cannot_read(e).in_file(path)),
    }
}

impl Source {
    /// A larger file is no keystore; refusing it bounds memory.
    pub(crate) const LIMIT: u64 = 2 << 30;

    /// Opens a file or folder. Links are followed: the caller named this very path.
    pub fn open(path: &Path) -> Result<Self> {
        Self::from_opened(path, File::open(path))
    }

    /// Opens a file that a walk came upon: no link is followed and no pipe waited for, even if one has
    /// taken the file's place meanwhile.
    pub fn open_in_tree(path: &Path) -> Result<Self> {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        Self::from_opened(
            path,
            File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path),
        )
    }

    fn from_opened(path: &Path, opened: std::io::Result<File>) -> Result<Self> {
        let opened = opened.and_then(|f| f.metadata().map(|m| (f, m)));
        let (file, meta) = opened.map_err(|e| {
            Error::io(Kind::Read, format!("can't be opened: {}", reason(&e)), e).in_file(path)
        })?;
        let kind = meta.file_type();
        let origin = if kind.is_dir() {
            Origin::Directory
        } else if kind.is_file() {
            Origin::File(file, Identity::of(&meta))
        } else if kind.is_fifo() || kind.is_char_device() || kind.is_socket() {
            Origin::Stream(file)
        } else {
            return Err(Error::new(Kind::Read, "neither a file nor a folder").in_file(path));
        };
        Ok(Source {
            path: path.to_owned(),
            facts: matches!(origin, Origin::File(..) | Origin::Directory).then(|| FileFacts::of(&meta)),
            origin,
            head: OnceLock::new(),
            bytes: OnceLock::new(),
            companions: Companions::Siblings,
        })
    }

    /// Bytes that are already here; `name` stands for them in messages.
    pub fn memory(name: impl Into<PathBuf>, bytes: Vec<u8>) -> Self {
        Source {
            path: name.into(),
            origin: Origin::Memory,
            facts: None,
            head: OnceLock::new(),
            bytes: OnceLock::from(Buffer::new(bytes)),
            companions: Companions::Siblings,
        }
    }

    /// The same with companions that were staged with it.
    pub(super) fn with_staged(mut self, files: Vec<(String, Companion)>, target: Option<PathBuf>) -> Self {
        self.companions = Companions::Staged { files, target };
        self
    }

    /// Another file of the set, `NAME.suffix` beside `NAME.ext`, if it is there. Bytes in memory and pipes
    /// have none.
    pub fn companion(&self, suffix: &str) -> Result<Option<Source>> {
        let beside = match (&self.companions, &self.origin) {
            (Companions::Staged { files, target }, _) => match files.iter().find(|(s, _)| s == suffix) {
                Some((_, Companion::File(path))) => return Source::open(path).map(Some),
                Some((_, Companion::Memory(bytes))) => {
                    return Ok(Some(Source::memory(self.path.with_extension(suffix), bytes.clone())));
                }
                Some((_, Companion::Gone)) => return Ok(None),
                None => target.as_deref(),
            },
            (Companions::Siblings, Origin::File(..)) => Some(self.path.as_path()),
            (Companions::Siblings, _) => None,
        };
        let path = beside.map(|p| p.with_extension(suffix));
        path.filter(|p| *p != self.path).map_or(Ok(None), |path| if_file(&path))
    }

    /// The size in bytes. A pipe is read to its end for it.
    pub fn size(&self) -> Result<u64> {
        match (&self.origin, self.bytes.get()) {
            (Origin::File(_, id), None) => Ok(id.size),
            _ => Ok(self.bytes()?.len() as u64),
        }
    }

    /// Reads from the first byte on, for formats that need not hold the whole file. Each reader has a
    /// position of its own; a file whose bytes are here already is not read again.
    pub fn reader(&self) -> Result<Box<dyn Read + '_>> {
        match (&self.origin, self.in_memory()) {
            (_, Some(bytes)) => Ok(Box::new(bytes)),
            (Origin::File(file, _), None) => Ok(Box::new(Positioned { file, at: 0 })),
            _ => Ok(Box::new(&self.bytes()?[..])),
        }
    }

    /// All of it, where that is here already.
    pub(crate) fn in_memory(&self) -> Option<&[u8]> {
        self.bytes.get().or_else(|| self.whole_head()).map(|bytes| &bytes[..])
    }

    /// The same, for formats and jobs that go through all of it: what is larger than any keystore is refused
    /// before a byte is read, and what grows beyond that ends there.
    pub(crate) fn whole_reader(&self) -> Result<Box<dyn Read + '_>> {
        within_limit(self.size()?).map_err(|e| e.in_file(&self.path))?;
        Ok(Box::new(self.reader()?.take(Self::LIMIT + 1)))
    }

    /// The open file, for the locks that other programs look at.
    pub(crate) fn file(&self) -> Option<&File> {
        match &self.origin {
            Origin::File(file, _) => Some(file),
            _ => None,
        }
    }

    /// The name, as the caller gave it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// It is a folder.
    pub fn is_directory(&self) -> bool {
        matches!(self.origin, Origin::Directory)
    }

    /// Which file it was when it was opened; `None` for folders, pipes and memory.
    pub fn identity(&self) -> Option<Identity> {
        match &self.origin {
            Origin::File(_, id) => Some(*id),
            _ => None,
        }
    }

    /// Owner, mode, size and time when it was opened; `None` for pipes and memory.
    pub fn facts(&self) -> Option<FileFacts> {
        self.facts
    }

    /// Everything, read once. A folder has no bytes: `Kind::Read`.
    pub fn bytes(&self) -> Result<&Arc<Buffer>> {
        if let Some(bytes) = self.bytes.get() {
            return Ok(bytes);
        }
        let bytes = match self.whole_head() {
            Some(head) => Arc::clone(head),
            None => Buffer::new(self.fetch().map_err(|e| e.in_file(&self.path))?),
        };
        Ok(self.bytes.get_or_init(|| bytes))
    }

    /// What of it is in memory is wiped when it goes: it was found to hold a key in the clear.
    pub fn wipe_on_drop(&self) {
        [&self.bytes, &self.head].into_iter().filter_map(OnceLock::get).for_each(|b| b.wipe_on_drop());
    }

    /// An error where somebody wrote to the file since it was opened: what was read of it may be of two minds.
    pub fn unchanged(&self) -> Result<()> {
        let Origin::File(file, before) = &self.origin else { return Ok(()) };
        match file.metadata() {
            Ok(now) if Identity::of(&now) == *before => Ok(()),
            Ok(_) => Err(Error::new(Kind::Busy, "was written to while it was read")
                .hint("run it again when the file is complete")
                .in_file(&self.path)),
            Err(e) => Err(cannot_read(e).in_file(&self.path)),
        }
    }

    /// What detection looks at; reads no more than it needs.
    pub fn probe(&self) -> Result<Probe<'_>> {
        let directory = self.is_directory();
        let (head, size) = match (&self.origin, self.bytes.get()) {
            (Origin::Directory, _) => (&[][..], None),
            (Origin::File(file, id), None) => {
                let head = self.file_head(file, id).map_err(|e| e.in_file(&self.path))?;
                (head, Some(id.size))
            }
            _ => {
                let bytes = self.bytes()?;
                (&bytes[..bytes.len().min(HEAD)], Some(bytes.len() as u64))
            }
        };
        Ok(Probe { head, size, path: &self.path, directory })
    }

    /// The plain files of a folder, sorted by name. Not those whose name begins with a dot, nor anything
    /// below a folder inside it.
    pub fn members(&self) -> Result<Vec<PathBuf>> {
        let listing = walkdir::WalkDir::new(&self.path).min_depth(1).max_depth(1).sort_by_file_name();
        let mut out = Vec::new();
        for item in listing {
            let item = item.map_err(|e| {
                Error::new(Kind::Read, "the folder can't be listed").caused_by(e).in_file(&self.path)
            })?;
            let hidden = item.file_name().as_encoded_bytes().starts_with(b".");
            // A link to a file counts: folders of CA certificates are full of them.
            if !hidden && item.path().is_file() {
                out.push(item.into_path());
            }
        }
        Ok(out)
    }

    fn file_head(&self, file: &File, id: &Identity) -> Result<&[u8]> {
        if let Some(head) = self.head.get() {
            return Ok(head);
        }
        let mut head = vec![0; HEAD.min(usize::try_from(id.size).unwrap_or(HEAD))];
        let mut have = 0;
        while have < head.len() {
            match file.read_at(&mut head[have..], have as u64) {
                Ok(0) => {
                    self.unchanged()?;
                    break;
                }
                Ok(n) => have += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(cannot_read(e)),
            }
        }
        head.truncate(have);
        Ok(self.head.get_or_init(|| Buffer::new(head)))
    }

    /// What detection has seen of a file, where that is all of it, as of most files in a tree: that is not read again.
    fn whole_head(&self) -> Option<&Arc<Buffer>> {
        let Origin::File(_, id) = &self.origin else { return None };
        self.head.get().filter(|h| !h.is_empty() && h.len() as u64 == id.size)
    }

    fn fetch(&self) -> Result<Room> {
        let head = self.head.get().map_or(&[][..], |head| head);
        let (file, size): (Box<dyn Read>, u64) = match &self.origin {
            Origin::File(file, id) => (Box::new(Positioned { file, at: head.len() as u64 }), id.size),
            Origin::Stream(file) => (Box::new(file), 0),
            Origin::Directory => return Err(Error::new(Kind::Read, "is a folder")),
            Origin::Memory => return Err(Error::new(Kind::Read, "has no bytes")),
        };
        within_limit(size)?;
        let mut from = file.take(Self::LIMIT + 1);
        // The size is the file system's word, not the file's: what is reserved is at most what is there.
        // One more byte lets the end be seen without growing.
        let mut room = Room::new(size as usize + 1)?;
        let (start, rest) = room.split_at_mut(head.len());
        start.copy_from_slice(head);
        let have = head.len() + fill(&mut from, rest).map_err(cannot_read)?;
        if have < room.len() {
            room.truncate(have);
            return Ok(room);
        }
        // A pipe, or a file that grew meanwhile.
        let mut bytes = room.to_vec();
        room.zeroize();
        from.read_to_end(&mut bytes).map_err(cannot_read)?;
        if bytes.len() as u64 > Self::LIMIT {
            return Err(Error::too_large(format!("more than {} bytes are refused", Self::LIMIT)));
        }
        Ok(bytes.into())
    }
}

impl Drop for Source {
    /// What detection saw goes as the rest does, if that was found to hold a key in the clear.
    fn drop(&mut self) {
        if self.bytes.get().is_some_and(|bytes| bytes.is_wiped_on_drop()) {
            self.wipe_on_drop();
        }
    }
}

fn within_limit(size: u64) -> Result<()> {
    if size > Source::LIMIT {
        return Err(Error::too_large(format!(
            "the file has {size} bytes, more than {} are refused",
            Source::LIMIT
        )));
    }
    Ok(())
}

/// Reads until `room` is full or the end is seen; how much came.
fn fill(from: &mut impl Read, room: &mut [u8]) -> std::io::Result<usize> {
    let mut have = 0;
    while have < room.len() {
        match from.read(&mut room[have..]) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(have)
}

/// A file read by position, so that readers don't disturb each other.
struct Positioned<'a> {
    file: &'a File,
    at: u64,
}

impl Read for Positioned<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let n = self.file.read_at(out, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

pub(crate) fn cannot_read(e: std::io::Error) -> Error {
    Error::io(Kind::Read, format!("can't be read: {}", reason(&e)), e)
}

/// The system's words, without Rust's "(os error 2)".
pub fn reason(e: &std::io::Error) -> String {
    match e.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => {
            let text = e.to_string();
            text.split(" (os error").next().unwrap_or_default().to_lowercase()
        }
    }
}
