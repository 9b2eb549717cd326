//! Files that the program writes besides stores: whole or not at all, by one rename.

use crate::rights::as_owner_of;
use formats::storeset::clear_leftovers;
use formats::{Error, Kind};
use rustix::fs::{FlockOperation, flock};
use std::fs::Permissions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::{NamedTempFile, PersistError};

/// Readable by everybody.
pub const PUBLIC: u32 = 0o644;
/// Readable by their owner.
pub const PRIVATE: u32 = 0o600;

/// Puts `bytes` at `path`, in the place of what is there.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> formats::Result<()> {
    put(path, bytes, mode, &|temp| temp.persist(path).map(drop)).map_err(|e| unwritten(path, e))
}

/// Puts a new file at `path`; refuses where there is something, however late it came.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> formats::Result<()> {
    let put = put(path, bytes, mode, &|temp| temp.persist_noclobber(path).map(drop));
    put.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => Error::refused("is there already").in_file(path),
        _ => unwritten(path, e),
    })
}

/// Writes a temporary file beside `path`, to be moved there by `into_place`.
fn put(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    into_place: &(dyn Fn(NamedTempFile) -> Result<(), PersistError> + Sync),
) -> std::io::Result<()> {
    as_owner_of(path, || put_here(path, bytes, mode, into_place))
}

fn put_here(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    into_place: &dyn Fn(NamedTempFile) -> Result<(), PersistError>,
) -> std::io::Result<()> {
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // What a run that was killed has left. The lock tells others that this one is alive.
    clear_leftovers(path);
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(mode))
        .prefix(&format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy()))
        .suffix(".tmp")
        .tempfile_in(folder)?;
    let _ = flock(file.as_file(), FlockOperation::NonBlockingLockExclusive);
    // Whatever the umask takes away.
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    into_place(file).map_err(|e| e.error)?;
    std::fs::File::open(folder)?.sync_all()
}

fn unwritten(path: &Path, e: std::io::Error) -> Error {
    let e = match e.downcast::<Error>() {
        Ok(own) => return own.in_file(path),
        Err(e) => e,
    };
    Error::io(Kind::Write, format!("can't be written: {}", formats::place::reason(&e)), e).in_file(path)
}

/// What is at `path`, up to `limit` bytes; `None` where there is nothing.
pub fn read(path: &Path, limit: u64) -> formats::Result<Option<Vec<u8>>> {
    use std::io::Read;
    let failed = |e: std::io::Error| {
        Error::io(Kind::Read, format!("can't be read: {}", formats::place::reason(&e)), e).in_file(path)
    };
    let file = match std::fs::File::open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(Error::too_large(format!("is larger than {limit} bytes")).in_file(path));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_takes_no_others_place() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("file");
        assert!(write_new(&path, b"one", PRIVATE).is_ok());
        assert_eq!(write_new(&path, b"two", PRIVATE).map_err(|e| e.kind()), Err(Kind::Refused));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).expect("link");
        assert_eq!(write_new(&link, b"two", PRIVATE).map_err(|e| e.kind()), Err(Kind::Refused));
        assert_eq!(read(&path, 9).ok().flatten().as_deref(), Some(&b"one"[..]));
        assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 2);
    }
}
