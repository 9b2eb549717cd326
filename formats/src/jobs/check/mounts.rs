//! How the place of a store is mounted: where no rename can put a new one.

use super::Findings;
use super::rules::{MOUNTED_FILE, READ_ONLY_MOUNT};
use rustix::fs::{AtFlags, CWD, StatVfsMountFlags, StatxAttributes, StatxFlags, statvfs, statx};
use std::path::Path;

/// Says whether files in `folder` can be replaced. `files` are the store's, which is itself a folder where `inside`.
pub(super) fn look<'a>(
    folder: &Path,
    files: impl Iterator<Item = &'a Path>,
    inside: bool,
    findings: &mut Findings<'_>,
) {
    if is_read_only(folder) {
        findings.store(&READ_ONLY_MOUNT, format!("{} is mounted read-only", folder.display()));
    }
    // A folder's files are changed where they are.
    for file in files.filter(|f| !inside && is_mount_point(f)) {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        findings.store(&MOUNTED_FILE, format!("{name} is a mount point of its own"));
    }
}

fn is_read_only(folder: &Path) -> bool {
    statvfs(folder).is_ok_and(|s| s.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// As far as the kernel says (Linux 5.8).
fn is_mount_point(path: &Path) -> bool {
    let seen = statx(CWD, path, AtFlags::empty(), StatxFlags::empty());
    seen.is_ok_and(|s| s.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_told_from_folders() {
        let dir = tempfile::tempdir().expect("dir");
        assert!(is_mount_point(Path::new("/proc")) && !is_mount_point(dir.path()));
        assert!(!is_read_only(dir.path()) && !is_read_only(Path::new("/absent")));
    }
}
