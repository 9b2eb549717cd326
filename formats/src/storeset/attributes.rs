//! What a new file must take over from the one it replaces besides its name: owner, group, mode, access
//! control list, security label and other extended attributes. A rename brings the new file's own.

use super::{Step, failed};
use crate::error::{Error, Kind, Result};
use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};
use rustix::io::Errno;
use std::fs::{File, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

/// The kernel's limit for the list of names, and for one value (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const XATTR_MAX: usize = 65536;
const ACL: &str = "system.posix_acl_access";
/// Digests and signatures of a file's content, which the new one has not: the kernel makes its own.
const OF_CONTENT: &[&str] = &["security.ima", "security.evm"];

/// Gives `to`, which is on its way to `path`, what `from` has. The owner comes first and the mode last, so
/// that at no moment somebody may open `to` who may not open `from`. Does nothing that is so already.
pub(super) fn take_over(
    from: &File,
    to: &File,
    path: &Path,
    on_step: &dyn Fn(Step) -> Result<()>,
) -> Result<()> {
    let examine = |f: &File| f.metadata().map_err(|e| failed(Kind::Write, "can't be examined", path, e));
    let (old, new) = (examine(from)?, examine(to)?);
    take_owner(&old, &new, to, path, on_step)?;
    take_xattrs(from, to, path, on_step)?;
    set_mode(to, old.permissions().mode() & 0o7777, path, on_step)
}

/// Gives `to` its final mode.
pub(super) fn set_mode(
    to: &File,
    mode: u32,
    path: &Path,
    on_step: &dyn Fn(Step) -> Result<()>,
) -> Result<()> {
    let now = to.metadata().map_err(|e| failed(Kind::Write, "can't be examined", path, e))?;
    if now.permissions().mode() & 0o7777 == mode {
        return Ok(());
    }
    on_step(Step::Mode)?;
    to.set_permissions(Permissions::from_mode(mode))
        .map_err(|e| failed(Kind::Write, "the new file's mode can't be set", path, e))
}

fn take_owner(
    old: &Metadata,
    new: &Metadata,
    to: &File,
    path: &Path,
    on_step: &dyn Fn(Step) -> Result<()>,
) -> Result<()> {
    let user = (old.uid() != new.uid()).then_some(old.uid());
    let group = (old.gid() != new.gid()).then_some(old.gid());
    if user.is_none() && group.is_none() {
        return Ok(());
    }
    on_step(Step::Owner)?;
    fchown(to, user, group).map_err(|e| match Errno::from_io_error(&e) {
        Some(Errno::PERM | Errno::ACCESS | Errno::INVAL) => Error::refused(format!(
            "the new store would not belong to user {} and group {} as the current one does",
            old.uid(),
            old.gid()
        ))
        .hint("run as the store's owner or as root")
        .caused_by(e)
        .in_file(path),
        _ => failed(Kind::Write, "the new file's owner can't be set", path, e),
    })
}

fn take_xattrs(from: &File, to: &File, path: &Path, on_step: &dyn Fn(Step) -> Result<()>) -> Result<()> {
    let read_error = |e| failed(Kind::Read, "its extended attributes can't be read", path, e);
    let (old, new) = (all(from).map_err(read_error)?, all(to).map_err(read_error)?);
    let differing: Vec<_> = old.iter().filter(|x| !new.contains(x)).collect();
    // A folder's default list gives new files one of their own, which may let others in.
    let foreign_acl = new.iter().any(|(n, _)| n == ACL) && !old.iter().any(|(n, _)| n == ACL);
    if differing.is_empty() && !foreign_acl {
        return Ok(());
    }
    on_step(Step::Attributes)?;
    for (name, value) in differing {
        set(to, name, value, path)?;
    }
    if foreign_acl {
        fremovexattr(to, ACL).map_err(|e| {
            failed(Kind::Write, "the new file's access control list can't be removed", path, e)
        })?;
    }
    Ok(())
}

fn set(to: &File, name: &str, value: &[u8], path: &Path) -> Result<()> {
    match fsetxattr(to, name, value, XattrFlags::empty()) {
        Ok(()) | Err(Errno::NOTSUP) => Ok(()),
        Err(e @ (Errno::PERM | Errno::ACCESS)) => {
            Err(Error::refused(format!("the new store would lack the current one's attribute {name}"))
                .hint("run as the store's owner or as root")
                .caused_by(std::io::Error::from(e))
                .in_file(path))
        }
        Err(e) => Err(failed(Kind::Write, &format!("the attribute {name} can't be set"), path, e)),
    }
}

/// Every attribute with its value; none where the file system has no such thing.
fn all(file: &File) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut buffer = vec![0; XATTR_MAX];
    let names = match flistxattr(file, &mut buffer[..]) {
        Ok(n) => String::from_utf8_lossy(buffer.get(..n).unwrap_or_default()).into_owned(),
        Err(Errno::NOTSUP | Errno::NOSYS) => return Ok(Vec::new()),
        Err(e) => return Err(e.into()),
    };
    let mut out = Vec::new();
    for name in names.split_terminator('\0').filter(|n| !OF_CONTENT.contains(n)) {
        match fgetxattr(file, name, &mut buffer[..]) {
            Ok(n) => out.push((name.to_owned(), buffer.get(..n).unwrap_or_default().to_vec())),
            // Removed meanwhile, or not for us to see.
            Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(out)
}
