//! Whose a path is that a command is about to write to: who could lead root astray there.
//!
//! As [`walk`](super::walk) does it: by descriptors, name by name, for as long as the folders are root's alone. There
//! nobody else can change what a name leads to, neither now nor later.

use super::user::Owner;
use super::walk::{LINKS, open, refused, stat, top, unseen};
use formats::{Error, Kind};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, OFlags, ResolveFlags, readlinkat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// Who could put something else there.
#[derive(Debug)]
pub enum Whose {
    /// Root alone.
    Own,
    /// Others too, for they may write into that folder, which is root's.
    Shared,
    /// This user.
    Other(Owner),
}

/// Whose the name `path` is, whether there is something or not. A link's end counts; a file of another user's in a
/// folder of root's alone is root's affair, as nobody else can replace it.
pub fn whose(path: &Path) -> formats::Result<Whose> {
    let absolute = std::path::absolute(path).map_err(|e| {
        Error::io(Kind::Read, format!("can't be looked at: {}", formats::place::reason(&e)), e).in_file(path)
    })?;
    Way { names: names(&absolute), at: Folder::top()?, links: LINKS }.go()
}

/// A folder of root's, on a way that is root's.
struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    others: Others,
}

/// What others may do in a folder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    Nothing,
    /// Put things there, but not take root's away.
    Add,
    Change,
}

impl Folder {
    fn top() -> formats::Result<Folder> {
        let fd = top().map_err(|e| unseen(e, Path::new("/")))?;
        Ok(Folder { fd, path: "/".into(), others: Others::Nothing })
    }
}

struct Way {
    /// What is to come, the last first.
    names: Vec<OsString>,
    at: Folder,
    links: u8,
}

impl Way {
    fn go(mut self) -> formats::Result<Whose> {
        while let Some(name) = self.names.pop() {
            if self.at.others == Others::Change {
                return match self.names.is_empty() {
                    true => Ok(Whose::Shared),
                    false => Err(refused("is root's, and others can write into it", &self.at.path)),
                };
            }
            if let Some(end) = self.enter(&name)? {
                return Ok(end);
            }
        }
        // It ends with a folder of root's.
        Ok(if self.at.others == Others::Nothing { Whose::Own } else { Whose::Shared })
    }

    /// One name in a folder of root's; `None` where it is another such folder, or a link to go on from.
    fn enter(&mut self, name: &OsStr) -> formats::Result<Option<Whose>> {
        let path = self.at.path.join(name);
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let seen = open(self.at.fd.as_fd(), Path::new(name), flags, ResolveFlags::empty())
            .and_then(|fd| Ok((stat(fd.as_fd())?, fd)));
        let (stat, fd) = match seen {
            Ok(seen) => seen,
            // A new name, or one that can't be.
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Some(Whose::Own)),
            Err(e) => return Err(unseen(e, &path)),
        };
        let folder = stat.kind == FileType::Directory;
        let others =
            stat.uid != 0 && (folder || stat.kind == FileType::Symlink || self.at.others == Others::Add);
        if others {
            let around = if folder { &path } else { &self.at.path };
            return Owner::of(stat.uid, stat.gid, around).map(|o| Some(Whose::Other(o)));
        }
        if stat.kind == FileType::Symlink {
            return self.follow(&fd, &path).map(|()| None);
        }
        if !folder {
            return Ok(Some(Whose::Own));
        }
        let others = match (stat.writable, stat.sticky) {
            (false, _) => Others::Nothing,
            (true, true) => Others::Add,
            (true, false) => Others::Change,
        };
        // The way that led here says nothing of what is above.
        let path =
            if name == ".." { self.at.path.parent().unwrap_or(Path::new("/")).to_owned() } else { path };
        self.at = Folder { fd, path, others };
        Ok(None)
    }

    /// On from the end of a link that only root can have put there.
    fn follow(&mut self, link: &OwnedFd, path: &Path) -> formats::Result<()> {
        self.links = self.links.checked_sub(1).ok_or_else(|| refused("too many symbolic links", path))?;
        let target = readlinkat(link, "", Vec::new()).map_err(|e| unseen(e, path))?;
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        if target.is_absolute() {
            self.at = Folder::top()?;
        }
        self.names.extend(names(&target));
        Ok(())
    }
}

/// The names of a path, the last first. What is `..` stays: it counts from where links have led.
fn names(path: &Path) -> Vec<OsString> {
    let wanted = |c: Component<'_>| match c {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::from_bytes(b"..").to_owned()),
        _ => None,
    };
    path.components().rev().filter_map(wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, lchown, symlink};

    /// Leaves the mark that `scripts/test` counts, as the tests in `tests/` do.
    fn skipped(name: &str, why: &str) {
        eprintln!("SKIPPED {name}: {why}");
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        let marks = Path::new(&target).join("tmp/skipped");
        std::fs::create_dir_all(&marks).expect("folder");
        std::fs::write(marks.join(name), "").expect("mark");
    }

    #[test]
    fn names_are_whose_the_folders_say() {
        if !rustix::process::geteuid().is_root() {
            return skipped("names_are_whose_the_folders_say", "only root can give files to others");
        }
        let folder = tempfile::tempdir().expect("folder");
        let path = |name: &str| folder.path().join(name);
        for (name, mode, uid) in [
            ("own", 0o755, 0),
            ("home", 0o755, 4711),
            ("home/deep", 0o755, 0),
            ("open", 0o777, 0),
            ("open/deep", 0o755, 0),
            ("sticky", 0o1777, 0),
            ("sticky/deep", 0o700, 0),
            ("sticky/his", 0o700, 4711),
        ] {
            std::fs::create_dir(path(name)).expect("folder");
            std::fs::set_permissions(path(name), PermissionsExt::from_mode(mode)).expect("mode");
            lchown(path(name), Some(uid), Some(uid)).expect("owner");
        }
        for (name, uid) in [("own/lent", 4711), ("sticky/lent", 4711), ("sticky/kept", 0)] {
            std::fs::write(path(name), "x").expect("file");
            lchown(path(name), Some(uid), Some(uid)).expect("owner");
        }
        for (name, target, uid) in [
            ("own/link", "../home/file", 0),
            ("own/up", "../own/../open/file", 0),
            ("own/round", "round", 0),
            ("own/odd", "lent", 4711),
            ("sticky/trap", "/etc/passwd", 4711),
        ] {
            symlink(target, path(name)).expect("link");
            lchown(path(name), Some(uid), Some(uid)).expect("owner");
        }
        let said = |name: &str| match whose(&path(name)) {
            Ok(Whose::Own) => "own".to_owned(),
            Ok(Whose::Shared) => "shared".to_owned(),
            Ok(Whose::Other(owner)) => owner.uid.to_string(),
            Err(e) => e.message().to_owned(),
        };
        for (name, wanted) in [
            ("own", "own"),
            ("own/new", "own"),
            ("own/new/newer", "own"),
            ("own/lent", "own"),
            ("own/link", "4711"),
            ("own/odd", "4711"),
            ("own/up", "shared"),
            ("own/round", "too many symbolic links"),
            ("own/../home/new", "4711"),
            ("home", "4711"),
            ("home/new", "4711"),
            ("home/deep/new", "4711"),
            ("open", "shared"),
            ("open/new", "shared"),
            ("open/deep", "shared"),
            ("open/deep/new", "is root's, and others can write into it"),
            ("sticky", "shared"),
            ("sticky/new", "own"),
            ("sticky/kept", "own"),
            ("sticky/lent", "4711"),
            ("sticky/trap", "4711"),
            ("sticky/deep/new", "own"),
            ("sticky/his/new", "4711"),
        ] {
            assert_eq!(said(name), wanted, "{name}");
        }
    }
}
