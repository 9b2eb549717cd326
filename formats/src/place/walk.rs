//! The files below a folder, for commands that look through trees.

use crate::error::{Error, Kind, Result};
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// Every file below `folder`, sorted by name within each folder. Links to folders are not followed, for
/// they may lead round in circles; links to files are. Unless `all`, without what this program and
/// others leave beside stores: old generations, locks, temporary files, and names that begin with two
/// dots (the hidden copies in volumes of Kubernetes).
pub fn walk(folder: &Path, all: bool) -> impl Iterator<Item = Result<PathBuf>> {
    let wanted = move |e: &DirEntry| all || e.depth() == 0 || !is_leftover(e.file_name().as_encoded_bytes());
    let root = folder.to_owned();
    WalkDir::new(folder).sort_by_file_name().into_iter().filter_entry(wanted).filter_map(move |found| {
        match found {
            Ok(e) if e.file_type().is_file() => Some(Ok(e.into_path())),
            Ok(e) if e.file_type().is_symlink() && e.path().is_file() => Some(Ok(e.into_path())),
            Ok(_) => None,
            Err(e) => {
                let path = e.path().unwrap_or(&root).to_owned();
                Some(Err(Error::new(Kind::Read, "can't be looked into").caused_by(e).in_file(&path)))
            }
        }
    })
}

/// `NAME.old-N`, `NAME.lock`, `NAME.tmp`, `..NAME`.
fn is_leftover(name: &[u8]) -> bool {
    let ends = |suffix: &[u8]| name.len() > suffix.len() && name.ends_with(suffix);
    let digits = name.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    name.starts_with(b"..")
        || ends(b".lock")
        || ends(b".tmp")
        || (digits > 0 && name[..name.len() - digits].ends_with(b".old-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_skipped_unless_all() {
        let folder = tempfile::tempdir().expect("folder");
        let inner = folder.path().join("b");
        std::fs::create_dir(&inner).expect("folder");
        for name in ["a.jks", "a.jks.old-12", "a.jks.lock", ".a.jks.Xy.tmp", "..data", ".keystore", "b/old-1"]
        {
            std::fs::write(folder.path().join(name), b"x").expect("file");
        }
        std::os::unix::fs::symlink(folder.path(), inner.join("circle")).expect("link");
        std::os::unix::fs::symlink("../a.jks", inner.join("link")).expect("link");
        let names = |all| {
            let found: Result<Vec<_>> = walk(folder.path(), all).collect();
            let relative = |p: PathBuf| p.strip_prefix(folder.path()).map(|p| p.display().to_string()).ok();
            found.expect("readable").into_iter().filter_map(relative).collect::<Vec<_>>()
        };
        assert_eq!(names(false), [".keystore", "a.jks", "b/link", "b/old-1"]);
        assert_eq!(names(true).len(), 8);
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        let found: Vec<_> = walk(Path::new("/nonexistent/x"), false).collect();
        assert!(matches!(&found[..], [Err(e)] if e.kind() == Kind::Read));
    }
}
