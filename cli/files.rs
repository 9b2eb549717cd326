//! Files that the program writes besides stores: whole or not at all, by one rename.

use formats::{Error, Kind};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Readable by everybody.
pub const PUBLIC: u32 = 0o644;
/// Readable by their owner.
pub const PRIVATE: u32 = 0o600;

/// Puts `bytes` at `path`, in the place of what is there.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> formats::Result<()> {
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let put = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .permissions(std::fs::Permissions::from_mode(mode))
            .prefix(".keyferry.")
            .suffix(".tmp")
            .tempfile_in(folder)?;
        // Whatever the umask takes away.
        file.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        std::fs::File::open(folder)?.sync_all()
    };
    put().map_err(|e| {
        Error::io(Kind::Write, format!("can't be written: {}", formats::place::reason(&e)), e).in_file(path)
    })
}

/// Puts a new file at `path`; refuses where there is one.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> formats::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Err(Error::refused("is there already").in_file(path));
    }
    write(path, bytes, mode)
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
