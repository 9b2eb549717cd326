//! What a pattern of paths finds, and whose it is, when nobody may lead root astray.
//!
//! Root goes through folders that are root's alone, by descriptors. The first that belongs to somebody else makes all
//! that is in it his: whatever lies there is looked for with his rights, and worked on with his rights. So a link
//! that he puts somewhere leads no further than he can go himself, at whatever moment he puts it there.

use super::user::{Owner, within};
use formats::{Error, Kind};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::fs::{openat, openat2, readlinkat, statx};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// A home that doesn't answer for so long is left out.
const PATIENCE: Duration = Duration::from_secs(30);
/// As many links as Linux itself follows.
pub(super) const LINKS: u8 = 40;

/// What was found.
pub struct Found {
    pub path: PathBuf,
    /// Whose it is, where that is not who runs the program.
    pub owner: Option<Owner>,
}

/// What matches `pattern`, an absolute path where `*` stands for any name, sorted; and what could not be looked at.
pub fn find(pattern: &str) -> (Vec<Found>, Vec<Error>) {
    let mut walk = Walk::default();
    let parts: Vec<String> =
        pattern.split('/').filter(|p| !p.is_empty() && *p != ".").map(str::to_owned).collect();
    if parts.iter().any(|p| p == "..") {
        walk.fail(Error::malformed("a path with .. in it is not taken").in_file(Path::new(pattern)));
    } else if rustix::process::geteuid().is_root() {
        walk.descend(&parts, LINKS);
    } else {
        walk.with_own_rights(&parts);
    }
    (walk.found, walk.failed)
}

#[derive(Default)]
struct Walk {
    found: Vec<Found>,
    failed: Vec<Error>,
}

/// A folder of root's, on a way that is root's.
struct Folder {
    fd: OwnedFd,
    /// As the pattern has it.
    path: PathBuf,
    /// Without links.
    real: PathBuf,
    /// Others may put things there, but not take root's away.
    shared: bool,
}

impl Walk {
    fn fail(&mut self, e: Error) {
        self.failed.push(e);
    }

    fn descend(&mut self, parts: &[String], links: u8) {
        match top() {
            Ok(fd) => {
                self.go(&Folder { fd, path: "/".into(), real: "/".into(), shared: false }, parts, links)
            }
            Err(e) => self.fail(unseen(e, Path::new("/"))),
        }
    }

    fn with_own_rights(&mut self, parts: &[String]) {
        match top() {
            Ok(fd) => self.look(Realm { fd, path: "/".into(), bounds: ResolveFlags::empty() }, None, parts),
            Err(e) => self.fail(unseen(e, Path::new("/"))),
        }
    }

    fn go(&mut self, at: &Folder, parts: &[String], links: u8) {
        let Some((part, rest)) = parts.split_first() else { return };
        match names(at.fd.as_fd(), Path::new("."), part, ResolveFlags::empty()) {
            Ok(names) => names.iter().for_each(|name| self.enter(at, name, rest, links)),
            Err(e) => self.fail(unseen(e, &at.path)),
        }
    }

    /// One name in a folder of root's.
    fn enter(&mut self, at: &Folder, name: &OsStr, rest: &[String], links: u8) {
        let path = at.path.join(name);
        let seen = open(at.fd.as_fd(), Path::new(name), OFlags::PATH | OFlags::NOFOLLOW, Realm::BOUNDS)
            .and_then(|fd| Ok((stat(fd.as_fd())?, fd)));
        let (stat, fd) = match seen {
            Ok(seen) => seen,
            Err(Errno::NOENT | Errno::NOTDIR) => return,
            Err(e) => return self.fail(unseen(e, &path)),
        };
        let others = stat.uid != 0;
        let folder = stat.kind == FileType::Directory;
        if at.shared && (others || !folder) {
            self.refuse(fd.as_fd(), &path, rest, "is in a folder where others can put things");
        } else if stat.kind == FileType::Symlink {
            self.follow(at, fd.as_fd(), &path, rest, links, others);
        } else if others {
            self.others(fd, path, &stat, rest);
        } else if folder && stat.writable && !stat.sticky {
            self.refuse(fd.as_fd(), &path, rest, "is root's, and others can write into it");
        } else if rest.is_empty() {
            self.found.push(Found { path, owner: None });
        } else if folder {
            let real = at.real.join(name);
            self.go(&Folder { fd, path, real, shared: stat.writable }, rest, links);
        }
    }

    /// A link in a folder of root's: root's own are followed.
    fn follow(
        &mut self,
        at: &Folder,
        link: BorrowedFd<'_>,
        path: &Path,
        rest: &[String],
        links: u8,
        others: bool,
    ) {
        if others || links == 0 {
            let why = if others { "is a link of another user's" } else { "too many symbolic links" };
            return self.fail(refused(why, path));
        }
        let target = match readlinkat(link, "", Vec::new()) {
            Ok(target) => PathBuf::from(OsString::from_vec(target.into_bytes())),
            Err(e) => return self.fail(unseen(e, path)),
        };
        let Some(real) = plain(&at.real.join(target)) else {
            return self.fail(refused("leads to no name", path));
        };
        // From the top again. What is found is called by the name that the pattern has for it.
        let mut beyond = Walk::default();
        beyond.descend(&real.iter().chain(rest).cloned().collect::<Vec<_>>(), links - 1);
        let real: PathBuf = std::iter::once("/").chain(real.iter().map(String::as_str)).collect();
        let named = |found: Found| match found.path.strip_prefix(&real) {
            Ok(tail) if tail.as_os_str().is_empty() => Found { path: path.to_owned(), ..found },
            Ok(tail) => Found { path: path.join(tail), ..found },
            Err(_) => found,
        };
        self.found.extend(beyond.found.into_iter().map(named));
        self.failed.extend(beyond.failed);
    }

    /// The first name on the way that belongs to another user. What it holds is his.
    fn others(&mut self, fd: OwnedFd, path: PathBuf, stat: &Stat, rest: &[String]) {
        if !rest.is_empty() && stat.kind != FileType::Directory {
            return;
        }
        let folder = if rest.is_empty() { path.parent().unwrap_or(Path::new("/")) } else { &path };
        match Owner::of(stat.uid, stat.gid, folder) {
            Ok(owner) => self.look(Realm { fd, path, bounds: Realm::BOUNDS }, Some(owner), rest),
            Err(e) => self.fail(e),
        }
    }

    /// Looks for the rest of a pattern with the rights of its owner.
    fn look(&mut self, realm: Realm, owner: Option<Owner>, parts: &[String]) {
        let (path, parts) = (realm.path.clone(), parts.to_vec());
        let look = move || realm.find(&parts);
        let seen = match owner.clone() {
            Some(owner) => owner.does(PATIENCE, look),
            None => within(PATIENCE, look),
        };
        match seen {
            Ok((found, failed)) => {
                self.found.extend(found.into_iter().map(|path| Found { path, owner: owner.clone() }));
                self.failed.extend(failed);
            }
            Err(e) => self.fail(cannot_look(e, &path)),
        }
    }

    /// Names what root doesn't go into, if that is where the rest of the pattern leads.
    fn refuse(&mut self, at: BorrowedFd<'_>, path: &Path, rest: &[String], why: &'static str) {
        let literal = !rest.iter().any(|p| p.contains('*'));
        let whole: PathBuf = rest.iter().collect();
        let there = |whole: &Path| open(at, whole, OFlags::PATH | OFlags::NOFOLLOW, Realm::BOUNDS);
        let gone = |e: Errno| matches!(e, Errno::NOENT | Errno::NOTDIR);
        if !literal || rest.is_empty() || !there(&whole).err().is_some_and(gone) {
            self.fail(refused(why, path));
        }
    }
}

/// A folder and all that is in it, looked at with the rights of whom it belongs to.
struct Realm {
    fd: OwnedFd,
    path: PathBuf,
    bounds: ResolveFlags,
}

impl Realm {
    /// No way leads out of it.
    const BOUNDS: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

    fn find(&self, parts: &[String]) -> (Vec<PathBuf>, Vec<Error>) {
        let mut out = (Vec::new(), Vec::new());
        if parts.is_empty() {
            out.0.push(self.path.clone());
        } else {
            self.go(PathBuf::new(), parts, &mut out);
        }
        out
    }

    fn go(&self, at: PathBuf, parts: &[String], out: &mut (Vec<PathBuf>, Vec<Error>)) {
        let Some((part, rest)) = parts.split_first() else {
            match self.is_there(&at) {
                Ok(true) => out.0.push(self.path.join(at)),
                Ok(false) => {}
                Err(e) => out.1.push(e),
            }
            return;
        };
        let folder = if at.as_os_str().is_empty() { Path::new(".") } else { &at };
        match names(self.fd.as_fd(), folder, part, self.bounds) {
            Ok(names) => names.iter().for_each(|name| self.go(at.join(name), rest, out)),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(e) => out.1.push(self.unseen(e, &at)),
        }
    }

    /// Whether there is something, a link that leads nowhere included.
    fn is_there(&self, at: &Path) -> formats::Result<bool> {
        let open = |flags| open(self.fd.as_fd(), at, OFlags::PATH | flags, self.bounds);
        match open(OFlags::NOFOLLOW).and_then(|fd| stat(fd.as_fd())) {
            Ok(stat) if stat.kind == FileType::Symlink => match open(OFlags::empty()) {
                Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(true),
                Err(e) => self.stays_inside(e, at),
            },
            Ok(_) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(e) => self.stays_inside(e, at),
        }
    }

    /// True where what the system calls a way out is an absolute link that leads back in.
    fn stays_inside(&self, e: Errno, at: &Path) -> formats::Result<bool> {
        let real = |path: &Path| path.canonicalize().ok();
        let way_out = matches!(e, Errno::XDEV | Errno::LOOP);
        match real(&self.path.join(at)).zip(real(&self.path)) {
            Some((end, home)) if way_out && end.starts_with(&home) => Ok(true),
            _ => Err(self.unseen(e, at)),
        }
    }

    fn unseen(&self, e: Errno, at: &Path) -> Error {
        let path = self.path.join(at);
        match e {
            Errno::XDEV | Errno::LOOP => refused("a link leads out of its owner's folder", &path)
                .hint("name the place itself in the configuration"),
            e => unseen(e, &path),
        }
    }
}

pub(super) fn top() -> rustix::io::Result<OwnedFd> {
    openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// What the system says of a descriptor.
pub(super) struct Stat {
    pub uid: u32,
    pub gid: u32,
    pub kind: FileType,
    /// By its group or by everybody.
    pub writable: bool,
    pub sticky: bool,
}

/// Of a mount whose server is gone: what is known of it already.
pub(super) fn stat(fd: BorrowedFd<'_>) -> rustix::io::Result<Stat> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    let wanted = StatxFlags::UID | StatxFlags::GID | StatxFlags::MODE | StatxFlags::TYPE;
    let (uid, gid, mode) = match statx(fd, "", flags, wanted) {
        Ok(stat) => (stat.stx_uid, stat.stx_gid, u32::from(stat.stx_mode)),
        Err(Errno::NOSYS) => {
            let stat = rustix::fs::fstat(fd)?;
            (stat.st_uid, stat.st_gid, stat.st_mode)
        }
        Err(e) => return Err(e),
    };
    let kind = FileType::from_raw_mode(mode);
    Ok(Stat { uid, gid, kind, writable: mode & 0o022 != 0, sticky: mode & 0o1000 != 0 })
}

/// The names that `part` stands for in the folder `at` below `fd`, sorted.
fn names(
    fd: BorrowedFd<'_>,
    at: &Path,
    part: &str,
    bounds: ResolveFlags,
) -> rustix::io::Result<Vec<OsString>> {
    if !part.contains('*') {
        return Ok(vec![part.into()]);
    }
    let folder = open(fd, at, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK, bounds)?;
    let mut names = Vec::new();
    for entry in Dir::new(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." && is_match(part, &String::from_utf8_lossy(name)) {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Whether a name matches a part of a pattern. Names that begin with a dot are meant only by parts that do.
fn is_match(part: &str, name: &str) -> bool {
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    // Only the star is special here, and two are one.
    let escaped: Vec<String> = part.split('*').filter(|p| !p.is_empty()).map(glob::Pattern::escape).collect();
    let (first, last) = (part.starts_with('*'), part.ends_with('*'));
    let star = |on: bool| if on { "*" } else { "" };
    let text = format!("{}{}{}", star(first), escaped.join("*"), star(last));
    glob::Pattern::new(&text).is_ok_and(|p| p.matches_with(name, options))
}

/// Opens what is at `path` below `fd`, within `bounds` if there are any.
pub(super) fn open(
    fd: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    bounds: ResolveFlags,
) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    if bounds.is_empty() {
        return openat(fd, path, flags, Mode::empty());
    }
    loop {
        match openat2(fd, path, flags, Mode::empty(), bounds) {
            // Somebody moves folders about meanwhile.
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Before Linux 5.6, and where a sandbox doesn't know the call.
            Err(Errno::NOSYS | Errno::PERM) => return open_without_links(fd, path, flags),
            other => return other,
        }
    }
}

/// The same for systems that can't be told about bounds: name by name, and no link at all.
fn open_without_links(fd: BorrowedFd<'_>, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let open = |fd: BorrowedFd<'_>, name: &OsStr, flags| {
        openat(fd, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
    };
    let (parent, name) = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => (parent, name),
        _ => return open(fd, path.as_os_str(), flags),
    };
    let mut at: Option<OwnedFd> = None;
    for part in parent {
        let next = open(at.as_ref().map_or(fd, AsFd::as_fd), part, OFlags::PATH)?;
        if stat(next.as_fd())?.kind == FileType::Symlink {
            return Err(Errno::LOOP);
        }
        at = Some(next);
    }
    open(at.as_ref().map_or(fd, AsFd::as_fd), name, flags)
}

/// The parts of an absolute path without `.` and `..`, which was reached without links.
fn plain(path: &Path) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::Normal(name) => parts.push(name.to_str().filter(|n| !n.contains('*'))?.to_owned()),
            _ => {}
        }
    }
    Some(parts)
}

pub(super) fn refused(why: &'static str, path: &Path) -> Error {
    Error::refused(why).in_file(path)
}

pub(super) fn unseen(e: Errno, path: &Path) -> Error {
    cannot_look(e.into(), path)
}

fn cannot_look(e: std::io::Error, path: &Path) -> Error {
    Error::io(Kind::Read, format!("can't be looked at: {}", formats::place::reason(&e)), e).in_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_names() {
        for (part, name, fits) in [
            ("*", "ann", true),
            ("*", ".mqs", false),
            (".*", ".mqs", true),
            ("k-*.p12", "k-7.p12", true),
            ("k-*.p12", "k-7.p12.old-1", false),
            ("**", "ann", true),
            ("[a]*", "[a]b", true),
            ("[a]*", "ab", false),
            ("a?*", "ab", false),
        ] {
            assert_eq!(is_match(part, name), fits, "{part} {name}");
        }
    }

    #[test]
    fn links_of_roots_are_made_plain() {
        let parts = |path: &str| plain(Path::new(path)).map(|p| p.join("/"));
        assert_eq!(parts("/home/../usr/./home").as_deref(), Some("usr/home"));
        assert_eq!(parts("/../a").as_deref(), Some("a"));
        assert_eq!(parts("/a/*"), None);
    }

    #[test]
    fn without_the_call_no_link_is_followed() {
        let folder = tempfile::tempdir().expect("folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("a")).expect("folder");
        std::fs::write(path("a/file"), "x").expect("file");
        std::os::unix::fs::symlink("a", path("link")).expect("link");
        let top = std::fs::File::open(folder.path()).expect("top");
        let open = |name: &str| open_without_links(top.as_fd(), Path::new(name), OFlags::PATH).map(drop);
        assert_eq!(open("a/file"), Ok(()));
        assert_eq!(open("."), Ok(()));
        assert_eq!(open("link/file"), Err(Errno::LOOP));
        assert_eq!(open("a/none"), Err(Errno::NOENT));
    }
}
