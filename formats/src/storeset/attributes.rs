//! What a rename would lose: owner, mode and extended attributes of the current file.

use super::failed;
use crate::error::{Error, Result};
use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};
use rustix::io::Errno;
use std::fs::{File, Metadata, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

/// The kernel's own bound on a list of names and on one value.
const XATTR_LIMIT: usize = 64 * 1024;
/// Bound to the content of the file that had them, or rights that a store has no use for.
const NOT_KEPT: [&[u8]; 3] = [b"security.capability", b"security.ima", b"security.evm"];
/// An access list. A new file may have got one from its folder.
const ACCESS_LIST: &[u8] = b"system.posix_acl_access";

/// The access list of a file on NFSv4, which servers translate into their own. Clients list it only where the server
/// says that it has such lists.
const NFS_LIST: &[u8] = b"system.nfs4_acl";
/// What is to be audited there: for the system's own policy, and for those alone who may read it.
const NFS_AUDIT: &[u8] = b"system.nfs4_sacl";

/// Gives `new` the owner, the extended attributes (access lists and security labels among them) and the
/// mode of `current`; not its setuid, setgid and sticky bits, nor its capabilities. Refuses where the owner would change and can't be kept.
///
/// In this order, so that nobody may read `new`, made for its owner alone, who may not read `current`.
pub(super) fn copy(current: &File, new: &File) -> Result<()> {
    let (have, want) = (meta(new)?, meta(current)?);
    if (have.uid(), have.gid()) != (want.uid(), want.gid()) {
        fchown(new, Some(want.uid()), Some(want.gid())).map_err(|e| owner_error(&want, e))?;
    }
    copy_xattrs(current, new)?;
    // On NFSv4 an access list has brought the mode along, and setting it once more would change that list.
    if meta(new)?.mode() & 0o777 == want.mode() & 0o777 {
        return Ok(());
    }
    new.set_permissions(Permissions::from_mode(want.mode() & 0o777))
        .map_err(|e| failed("the mode can't be set", e))
}

fn owner_error(want: &Metadata, e: std::io::Error) -> Error {
    let what = format!("belongs to user {} and group {}, which can't be kept", want.uid(), want.gid());
    match e.kind() {
        ErrorKind::PermissionDenied => Error::refused(what).hint("run as that user or as root").caused_by(e),
        _ => failed(&what, e),
    }
}

fn copy_xattrs(current: &File, new: &File) -> Result<()> {
    let unreadable = |e: Errno| failed("the extended attributes can't be read", e.into());
    let mut names = vec![0; XATTR_LIMIT];
    let len = match flistxattr(current, names.as_mut_slice()) {
        Ok(len) => len,
        Err(Errno::NOTSUP | Errno::NOSYS) => return Ok(()),
        Err(e) => return Err(unreadable(e)),
    };
    let names = || {
        names[..len.min(XATTR_LIMIT)].split(|b| *b == 0).filter(|n| !n.is_empty() && !NOT_KEPT.contains(n))
    };
    if !names().any(|n| n == ACCESS_LIST) {
        match fremovexattr(new, ACCESS_LIST) {
            Ok(()) | Err(Errno::NODATA | Errno::NOTSUP | Errno::NOSYS) => {}
            Err(e) => return Err(failed("the access list can't be taken off", e.into())),
        }
    }
    let mut value = vec![0; XATTR_LIMIT];
    let unlisted = Some(NFS_LIST).filter(|list| !names().any(|n| n == *list));
    for name in names().chain(unlisted) {
        // Labels of the system's own policy are the system's to give.
        let policy = name.starts_with(b"security.") || name == NFS_AUDIT;
        let size = match fgetxattr(current, name, value.as_mut_slice()) {
            Ok(size) => size.min(XATTR_LIMIT),
            Err(Errno::NODATA) => continue,
            Err(_) if policy => continue,
            // Another file system.
            Err(Errno::NOTSUP | Errno::NOSYS | Errno::INVAL) if Some(name) == unlisted => continue,
            Err(e) => return Err(unreadable(e)),
        };
        match fsetxattr(new, name, &value[..size], XattrFlags::empty()) {
            Err(e) if !policy => {
                let what = format!("the attribute {} can't be kept", String::from_utf8_lossy(name));
                return Err(failed(&what, e.into()));
            }
            _ => {}
        }
    }
    Ok(())
}

fn meta(file: &File) -> Result<Metadata> {
    file.metadata().map_err(|e| failed("can't be looked at", e))
}
