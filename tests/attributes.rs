//! What a store has beside its content, in every format that a client's store may have: owner, mode, access list,
//! attributes, links to it and from it.

use crate::support::{keyferry, must, run, scratch, testdata};
use rustix::fs::{XattrFlags, getxattr, setxattr};
use rustix::io::Errno;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const STORES: [&str; 6] =
    ["client.jks", "client.jceks", "client.p12", "client.pem", "client.kdb", "nss:profile"];

/// A folder with a store of alice's, and a bundle that it is rebuilt from.
struct Place {
    dir: tempfile::TempDir,
    store: &'static str,
}

impl Place {
    fn new(store: &'static str) -> Place {
        let place = Place { dir: scratch(), store };
        std::fs::copy(testdata("demo/demo-root.pem"), place.path("bundle.pem")).unwrap();
        must(place.rebuild(store).arg("--key").arg(testdata("demo/alice.p12")));
        let whole = std::fs::read_to_string(testdata("demo/ca-bundle.pem")).unwrap();
        let end = "-----END CERTIFICATE-----\n";
        let some: String = whole.split_inclusive(end).take(5).collect();
        std::fs::write(place.path("bundle.pem"), some).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn rebuild(&self, store: &str) -> Command {
        let mut command = keyferry();
        command.current_dir(self.dir.path()).args([
            "rebuild",
            store,
            "--bundle",
            "bundle.pem",
            "--allow-loss",
        ]);
        command.env("KEYFERRY_PASSWORD", "demo-only");
        command
    }

    /// The files of the store.
    fn files(&self) -> Vec<PathBuf> {
        match self.store.strip_prefix("nss:") {
            Some(folder) => ["cert9.db", "key4.db"].map(|f| self.path(folder).join(f)).to_vec(),
            None => vec![self.path(self.store)],
        }
    }
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = [0u8; 256];
    getxattr(path, name, &mut value[..]).ok().map(|n| value[..n].to_vec())
}

/// Sets it; false where the file system has none of these, or only root may.
fn set(path: &Path, name: &str, value: &[u8]) -> bool {
    match setxattr(path, name, value, XattrFlags::empty()) {
        Ok(()) => true,
        Err(Errno::NOTSUP | Errno::PERM) => false,
        Err(e) => panic!("{name}: {e}"),
    }
}

/// One more user may read (linux/posix_acl_xattr.h): owner rw, user 65534 r, group none, mask r, others none.
fn access_list() -> Vec<u8> {
    let entries =
        [(1u16, 6u16, u32::MAX), (2, 4, 65534), (4, 0, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)];
    let bytes = entries
        .map(|(tag, perm, id)| [&tag.to_le_bytes()[..], &perm.to_le_bytes(), &id.to_le_bytes()].concat());
    [&2u32.to_le_bytes()[..], &bytes.concat()].concat()
}

/// `cap_dac_override` as effective (linux/capability.h, revision 2).
fn capability() -> Vec<u8> {
    [0x0200_0001u32, 2, 0, 0, 0].map(u32::to_le_bytes).concat()
}

#[test]
fn every_format_keeps_what_the_store_has_and_no_rights_of_programs() {
    let root = rustix::process::geteuid().is_root();
    for name in STORES {
        let place = Place::new(name);
        let list = access_list();
        for file in place.files() {
            if root {
                chown(&file, Some(20_001), Some(20_002)).unwrap();
            }
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
            assert!(set(&file, "system.posix_acl_access", &list) || !root, "{name}: no access lists here");
            set(&file, "user.note", b"mine");
            if !name.starts_with("nss:") {
                let before = std::fs::metadata(&file).unwrap().mode();
                std::fs::set_permissions(&file, std::fs::Permissions::from_mode(before | 0o7000)).unwrap();
                assert!(set(&file, "security.capability", &capability()) || !root);
            }
        }
        let seen = |file: &PathBuf| {
            let meta = file.metadata().unwrap();
            let kept = ["system.posix_acl_access", "user.note"].map(|a| attribute(file, a));
            (meta.uid(), meta.gid(), meta.mode() & 0o777, kept)
        };
        let before: Vec<_> = place.files().iter().map(seen).collect();
        let content: Vec<_> = place.files().iter().map(|f| std::fs::read(f).unwrap()).collect();
        let ran = must(&mut place.rebuild(name));
        assert!(ran.out.contains("5 added"), "{name}: {}{}", ran.out, ran.err);
        assert_eq!(place.files().iter().map(seen).collect::<Vec<_>>(), before, "{name}");
        let now: Vec<_> = place.files().iter().map(|f| std::fs::read(f).unwrap()).collect();
        assert_ne!(now, content, "{name}");
        for file in place.files() {
            assert_eq!(file.metadata().unwrap().mode() & 0o7000, 0, "{name}: rights of programs came along");
            assert_eq!(attribute(&file, "security.capability"), None, "{name}");
        }
    }
}

/// Those of NFSv4 are asked for whether they are listed or not. There is no such server here, so the system's answer is
/// made up.
#[test]
fn an_access_list_that_cant_be_kept_stops_the_update() {
    let place = Place::new("client.p12");
    let before = std::fs::read(place.path("client.p12")).unwrap();
    let traced = |error: &str| {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o", "/dev/null", "-e", "trace=fgetxattr", "-e"]);
        strace.arg(format!("inject=fgetxattr:error={error}"));
        let plain = place.rebuild("client.p12");
        strace.arg(plain.get_program()).args(plain.get_args()).current_dir(place.dir.path());
        run(strace.env("KEYFERRY_PASSWORD", "demo-only"))
    };
    let refused = traced("EIO");
    assert_eq!(refused.status, 7, "{}{}", refused.out, refused.err);
    assert!(refused.err.contains("attributes can't be read"), "{}", refused.err);
    assert_eq!(std::fs::read(place.path("client.p12")).unwrap(), before);
    // Where there are none, all is well.
    let done = traced("EOPNOTSUPP");
    assert_eq!(done.status, 0, "{}{}", done.out, done.err);
}

#[test]
fn a_link_stays_a_link_wherever_it_leads() {
    for name in STORES {
        let place = Place::new(name);
        let plain = name.strip_prefix("nss:").unwrap_or(name);
        std::fs::create_dir_all(place.path("far/away")).unwrap();
        std::fs::rename(place.path(plain), place.path("far/away").join(plain)).unwrap();
        let whole = place.path("far/away").join(plain);
        let first = Path::new("far/away").join(plain);
        for target in [first.as_path(), &whole] {
            let _ = std::fs::remove_file(place.path(plain));
            symlink(target, place.path(plain)).unwrap();
            let ran = must(&mut place.rebuild(name));
            assert_eq!(std::fs::read_link(place.path(plain)).unwrap(), target, "{name}: {}", ran.out);
        }
        // The old ones are beside the file and not beside the link.
        let olds = |folder: &Path| {
            let list = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name());
            list.filter(|n| n.to_string_lossy().contains(".old-")).count()
        };
        assert_eq!((olds(place.dir.path()), olds(&place.path("far/away"))), (0, 1), "{name}");
        // One that leads nowhere: its target is made, and the link stays.
        let _ = std::fs::remove_file(place.path(plain));
        symlink("far/new", place.path(plain)).unwrap();
        let format = match plain.rsplit_once('.') {
            Some((_, suffix)) => format!("{suffix}:{plain}"),
            None => name.to_owned(),
        };
        must(place.rebuild(&format).arg("--key").arg(testdata("demo/alice.p12")));
        assert!(
            place.path(plain).symlink_metadata().unwrap().is_symlink() && place.path("far/new").exists(),
            "{name}"
        );
    }
}

/// The other name of a hard link keeps the old store: a rename changes one name.
#[test]
fn the_other_name_of_a_hard_link_keeps_the_old_store() {
    for name in STORES.into_iter().filter(|n| !n.starts_with("nss:")) {
        let place = Place::new(name);
        std::fs::hard_link(place.path(name), place.path("other")).unwrap();
        let before = std::fs::read(place.path("other")).unwrap();
        must(&mut place.rebuild(name));
        assert!(std::fs::read(place.path("other")).unwrap() == before, "{name}");
        assert!(std::fs::read(place.path(name)).unwrap() != before, "{name}");
        let meta = |n: &str| place.path(n).metadata().unwrap();
        assert_eq!(meta(name).nlink(), 1, "{name}");
        assert_eq!(meta(name).mode() & 0o777, meta("other").mode() & 0o777, "{name}");
    }
}
