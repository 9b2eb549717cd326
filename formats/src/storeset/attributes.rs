//! What a rename would lose: mode, owner and extended attributes of the current file.

use super::failed;
use crate::error::{Error, Kind, Result};
use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};
use rustix::io::Errno;
use std::fs::{File, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

/// The kernel's own bound on a list of names and on one value.
const XATTR_LIMIT: usize = 64 * 1024;

/// The mode that a new generation gets: the current store's, 0600 when there is none.
pub fn mode_of(store: &Path) -> Result<u32> {
    match store.metadata() {
        Ok(meta) if meta.is_file() => Ok(meta.mode() & 0o777),
        Ok(_) => Err(Error::new(Kind::Read, "is not a file").in_file(store)),
        Err(_) => Ok(0o600),
    }
}

/// Gives `new` the owner and the extended attributes (access lists and security labels among them) of
/// `current`. Refuses where the owner would change and can't be kept.
pub(super) fn copy(current: &File, new: &File) -> Result<()> {
    let (have, want) = (meta(new)?, meta(current)?);
    if (have.uid(), have.gid()) != (want.uid(), want.gid()) {
        fchown(new, Some(want.uid()), Some(want.gid())).map_err(|e| {
            Error::refused(format!(
                "belongs to user {} and group {}, which can't be kept",
                want.uid(),
                want.gid()
            ))
            .hint("run as that user or as root")
            .caused_by(e)
        })?;
        // A change of owner may clear bits.
        new.set_permissions(Permissions::from_mode(want.mode() & 0o777))
            .map_err(|e| failed("the mode can't be set", e))?;
    }
    copy_xattrs(current, new)
}

fn copy_xattrs(current: &File, new: &File) -> Result<()> {
    let mut names = vec![0; XATTR_LIMIT];
    let len = match flistxattr(current, names.as_mut_slice()) {
        Ok(len) => len,
        Err(Errno::NOTSUP | Errno::NOSYS) => return Ok(()),
        Err(e) => return Err(failed("the extended attributes can't be read", e.into())),
    };
    let mut value = vec![0; XATTR_LIMIT];
    for name in names[..len.min(XATTR_LIMIT)].split(|b| *b == 0).filter(|n| !n.is_empty()) {
        let Ok(size) = fgetxattr(current, name, value.as_mut_slice()) else { continue };
        let set = fsetxattr(new, name, &value[..size.min(XATTR_LIMIT)], XattrFlags::empty());
        let text = String::from_utf8_lossy(name);
        match set {
            Ok(()) => {}
            // Labels of the system's own policy are the system's to give.
            Err(_) if text.starts_with("security.") => {}
            Err(e) => return Err(failed(&format!("the attribute {text} can't be kept"), e.into())),
        }
    }
    Ok(())
}

fn meta(file: &File) -> Result<Metadata> {
    file.metadata().map_err(|e| failed("can't be looked at", e))
}
