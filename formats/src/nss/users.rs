//! Programs that have a database open, as far as the system shows them: they go on with what they have read.
//!
//! | sign | left by |
//! |---|---|
//! | an open file in `/proc/PID/fd` | everybody; of other users only root sees them |
//! | a lock on `.parentlock` in `/proc/locks` | Firefox and its kin, in the profile |
//! | the links `lock` (`IP:+PID`) and `SingletonLock` (`HOST-PID`) | Firefox; Chromium, in its own folder |

use super::layout::{CERT_DB, KEY_DB};
use crate::format::User;
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const FIREFOX_LOCK: &str = ".parentlock";
const FIREFOX_LINK: &str = "lock";
const CHROMIUM_LINK: &str = "SingletonLock";

/// Who has the database in `folder` open, by process id.
pub fn users(folder: &Path) -> Vec<User> {
    let mut found = BTreeMap::new();
    let meta = |name: &str| folder.join(name).metadata().ok();
    let files: Vec<Metadata> = [CERT_DB, KEY_DB].into_iter().filter_map(meta).collect();
    for pid in processes().filter(|pid| *pid != std::process::id() && has_open(*pid, &files)) {
        found.insert(pid, name(pid));
    }
    if let Some(lock) = meta(FIREFOX_LOCK) {
        for pid in lockers(&std::fs::read_to_string("/proc/locks").unwrap_or_default(), &lock) {
            found.entry(pid).or_insert_with(|| name(pid));
        }
    }
    let mut links = vec![folder.join(FIREFOX_LINK), folder.join(CHROMIUM_LINK)];
    links.extend(chromium_folders(folder));
    for pid in links.iter().filter_map(|link| linked(link)).filter(|pid| is_alive(*pid)) {
        found.entry(pid).or_insert_with(|| name(pid));
    }
    found.into_iter().map(|(pid, program)| User { program, pid }).collect()
}

fn processes() -> impl Iterator<Item = u32> {
    let list = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    list.filter_map(|item| item.file_name().to_str()?.parse().ok())
}

fn has_open(pid: u32, files: &[Metadata]) -> bool {
    let list = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    list.map(|item| item.path()).any(|link| {
        // By name first: what other files a program has open is not to be touched.
        let named = std::fs::read_link(&link)
            .is_ok_and(|to| to.file_name().is_some_and(|n| n == CERT_DB || n == KEY_DB));
        named && link.metadata().is_ok_and(|m| files.iter().any(|f| (f.dev(), f.ino()) == (m.dev(), m.ino())))
    })
}

/// The program's own name for itself, which the kernel cuts at 15 bytes.
fn name(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let name = name.trim_end();
    if name.is_empty() { "a program".to_owned() } else { name.to_owned() }
}

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Holders of POSIX locks on a file, from lines like
/// `1: POSIX  ADVISORY  WRITE 3568 fd:00:2531452 0 EOF` (proc_locks(5)).
fn lockers(locks: &str, file: &Metadata) -> Vec<u32> {
    let inode = file.ino().to_string();
    let pid = |line: &str| {
        let mut words = line.split_whitespace().skip_while(|w| *w != "POSIX").skip(3);
        let (pid, place) = (words.next()?, words.next()?);
        // The device is not always the one that a file shows (overlay, btrfs).
        (place.rsplit(':').next() == Some(&inode)).then(|| pid.parse().ok())?
    };
    locks.lines().filter_map(pid).filter(|pid| *pid > 0).collect()
}

/// The process that a link names.
fn linked(link: &Path) -> Option<u32> {
    let target = std::fs::read_link(link).ok()?;
    let text = target.to_str()?;
    text.rsplit(['+', '-']).next()?.parse().ok()
}

/// Where Chromium and its kin keep the lock of a user's data, for the database that all of them share,
/// `~/.pki/nssdb`.
fn chromium_folders(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(folder) = folder.canonicalize() else { return Vec::new() };
    let Some(home) = folder.ends_with(".pki/nssdb").then(|| folder.ancestors().nth(2)).flatten() else {
        return Vec::new();
    };
    let list = std::fs::read_dir(home.join(".config")).into_iter().flatten().flatten();
    list.map(|item| item.path().join(CHROMIUM_LINK)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_found_by_inode() {
        let file = tempfile::NamedTempFile::new().expect("file");
        let meta = file.as_file().metadata().expect("meta");
        let inode = meta.ino();
        let text = format!(
            "1: POSIX  ADVISORY  WRITE 3568 fd:00:{inode} 0 EOF\n2: FLOCK  ADVISORY  WRITE 7 fd:00:{inode} 0 EOF\n\
             3: POSIX  ADVISORY  READ 9 fd:00:1{inode} 0 EOF\n3: -> POSIX  ADVISORY  READ 11 fd:00:{inode} 0 EOF\n\
             4: POSIX ADVISORY WRITE -1 fd:00:{inode} 0 EOF\n5: POSIX"
        );
        assert_eq!(lockers(&text, &meta), [3568, 11]);
    }

    #[test]
    fn links_name_processes() {
        let dir = tempfile::tempdir().expect("dir");
        for (target, pid) in [
            ("127.0.1.1:+4321", Some(4321)),
            ("some-host-17", Some(17)),
            ("elsewhere", None),
            ("host-", None),
        ] {
            let link = dir.path().join("lock");
            let _ = std::fs::remove_file(&link);
            std::os::unix::fs::symlink(target, &link).expect("link");
            assert_eq!(linked(&link), pid, "{target}");
        }
    }
}
