//! A store's surroundings at their worst: every system call killed or failing (`scripts/faults.py`), locks
//! of other programs, folders that can't be written, names and things that are no files.

use crate::support::{keyferry, must, root, run, scratch, testdata};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const PASSWORD: &str = "changeit";

/// A folder with one store in it, and two bundles elsewhere.
struct Place {
    dir: tempfile::TempDir,
    bundles: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Place { dir: scratch(), bundles: scratch() };
        let whole = testdata("java/jks-truststore.jks");
        let mut part = place.command(&["convert"]);
        must(part.arg(&whole).arg(place.bundle("part.jks")).args(["--label", "root-ca"]));
        std::fs::copy(whole, place.bundle("whole.jks")).unwrap();
        place
    }

    fn with_store(name: impl AsRef<OsStr>) -> Self {
        let place = Place::new();
        must(&mut place.create(name));
        place
    }

    fn bundle(&self, name: &str) -> PathBuf {
        self.bundles.path().join(name)
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = keyferry();
        command.current_dir(self.dir.path()).env("KEYFERRY_PASSWORD", PASSWORD).args(args);
        command
    }

    /// The command that makes a store.
    fn create(&self, name: impl AsRef<OsStr>) -> Command {
        let mut command = self.command(&["rebuild"]);
        command.arg(name).arg("--bundle").arg(self.bundle("whole.jks"));
        command.arg("--key").arg(testdata("java/jks-basic.jks"));
        command
    }

    /// The command that would change it.
    fn update(&self, name: impl AsRef<OsStr>) -> Command {
        let mut command = self.command(&["rebuild"]);
        command.arg(name).arg("--bundle").arg(self.bundle("part.jks"));
        command
    }

    /// Every file with its bytes; of what isn't a file, the name.
    fn state(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let list = std::fs::read_dir(self.dir.path()).unwrap();
        list.map(|e| e.unwrap().path())
            .map(|p| {
                let bytes = if p.symlink_metadata().unwrap().is_file() {
                    std::fs::read(&p).unwrap()
                } else {
                    Vec::new()
                };
                (p, bytes)
            })
            .collect()
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn nothing_is_lost_whichever_call_fails() {
    let (out, count) = sampled(&[], "3");
    // A script that finds no calls finds no faults.
    assert!(count("kills") >= 100 && count("errors") >= 500, "{out}");
    assert!(count("swaps") >= 100 && count("reads") >= 50, "{out}");
}

/// Some edits, and of them every fifteenth fault (an even number would choose the kills alone); `scripts/faults.py … edits`
/// tries every call of every edit.
#[test]
fn no_edit_leaves_half_a_store_or_loses_a_key_whichever_call_fails() {
    let (out, count) = sampled(
        &[
            "edit-kdb-receive",
            "edit-kdb-take-over",
            "edit-kdb-request",
            "edit-kdb-delete",
            "edit-jks-keygen",
            "edit-p12-activate",
            "edit-pem-remove",
            "edit-nss-request",
        ],
        "15",
    );
    assert!(count("scenarios") == 8 && count("kills") >= 15 && count("errors") >= 15, "{out}");
}

/// A kdb with its stash, a JKS, a PKCS#12, a PEM and a database, changed together: every 61st fault;
/// `scripts/faults.py … machines` tries every call.
#[test]
fn a_set_of_every_kind_changes_all_or_none_whichever_call_fails() {
    let (out, count) = sampled(&["machine-rebuild", "machine-apply"], "61");
    assert!(count("kills") >= 5 && count("errors") >= 5 && count("mixed") >= 1, "{out}");
}

/// The same where a settings file leads to two of the stores: every 61st fault; `scripts/faults.py … mixed-apply
/// mixed-commit` tries every call.
#[test]
fn a_mixed_set_changes_all_or_none_whichever_call_fails() {
    let (out, count) = sampled(&["mixed-apply"], "61");
    assert!(count("kills") >= 3 && count("errors") >= 3, "{out}");
}

#[test]
fn no_database_is_left_half_changed_whichever_call_fails() {
    let (out, count) = sampled(&["databases"], "3");
    assert!(count("scenarios") == 8 && count("kills") >= 170 && count("errors") >= 170, "{out}");
}

/// Runs the script with every Nth fault, which must find nothing wrong; returns what it says, and how often it counted a
/// thing. FAULTS_EVERY in the environment says another N.
fn sampled(scenarios: &[&str], every: &str) -> (String, impl Fn(&str) -> usize) {
    let mut command = Command::new("python3");
    command.env("FAULTS_EVERY", std::env::var("FAULTS_EVERY").unwrap_or(every.to_owned()));
    command.arg(root().join("scripts/faults.py")).arg(env!("CARGO_BIN_EXE_keyferry")).arg(testdata(""));
    let ran = run(command.args(scenarios));
    assert_eq!(ran.status, 0, "{}\n{}", ran.out, ran.err);
    let out = ran.out.clone();
    let count = move |what: &str| {
        let words: Vec<_> = ran.out.split([' ', ',']).collect();
        words.windows(2).find(|w| w[1] == what).map_or(0, |w| w[0].parse().unwrap_or(0))
    };
    (out, count)
}

/// Another process with a POSIX lock on the first byte of a file; it ends after `seconds`.
fn hold(file: &Path, kind: &str, seconds: f32) -> Child {
    let script = "import fcntl, sys, time; f = open(sys.argv[1], 'r+b'); \
                  fcntl.lockf(f, getattr(fcntl, sys.argv[2]), 1, 0); print('held', flush=True); \
                  time.sleep(float(sys.argv[3]))";
    let mut child = Command::new("python3")
        .args(["-c", script])
        .arg(file)
        .args([kind, &seconds.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    child
}

#[test]
fn a_lock_on_the_first_byte_is_respected() {
    let place = Place::with_store("a.p12");
    let store = place.path("a.p12");
    let before = place.state();
    // A writer, and a reader that doesn't end.
    for kind in ["LOCK_EX", "LOCK_SH"] {
        let mut holder = hold(&store, kind, 60.0);
        let ran = run(&mut place.update("a.p12"));
        assert_eq!(ran.status, 6, "{kind}: {}", ran.err);
        assert!(ran.err.contains("a.p12"), "{kind}: {}", ran.err);
        assert_eq!(place.state(), before, "{kind}");
        if kind == "LOCK_EX" {
            must(place.command(&["prune", "a.p12"]).arg("--dry-run"));
        }
        holder.kill().unwrap();
        holder.wait().unwrap();
    }
    // One that takes a moment is waited for.
    let mut holder = hold(&store, "LOCK_EX", 0.4);
    must(&mut place.update("a.p12"));
    holder.wait().unwrap();
    // Going back is a swap like any other.
    let mut holder = hold(&store, "LOCK_SH", 60.0);
    let ran = run(&mut place.command(&["rollback", "a.p12"]));
    assert_eq!(ran.status, 6, "{}", ran.err);
    holder.kill().unwrap();
    holder.wait().unwrap();
    must(&mut place.command(&["rollback", "a.p12"]));
}

#[test]
fn what_is_no_file_is_left_alone() {
    let place = Place::new();
    std::fs::create_dir(place.path("folder.jks")).unwrap();
    assert!(Command::new("mkfifo").arg(place.path("pipe.jks")).status().unwrap().success());
    std::os::unix::fs::symlink("/dev/null", place.path("device.jks")).unwrap();
    std::os::unix::fs::symlink("round.jks", place.path("round.jks")).unwrap();
    let before = place.state();
    for store in [
        "pipe.jks",
        "device.jks",
        "round.jks",
        "new.jks/",
        "folder.jks",
        "folder.jks/",
        "folder.jks/no/a.jks",
        ".",
        "./",
        "folder.jks/..",
        "/",
    ] {
        for command in [&mut place.create(format!("jks:{store}")), &mut place.create(store)] {
            let ran = run(command);
            assert!([3, 5, 7].contains(&ran.status), "{store}: {} {}", ran.status, ran.err);
        }
        assert_eq!(place.state(), before, "{store}");
    }
    // A folder isn't replaced by a file, nor written into.
    for (store, args) in [("folder.jks", vec![]), ("folder.jks/", vec![]), ("folder.jks", vec!["--force"])] {
        let mut convert = place.command(&["convert"]);
        convert.arg(testdata("java/jks-basic.jks")).arg(format!("jks:{store}")).args(args);
        let ran = run(&mut convert);
        assert!([3, 5].contains(&ran.status), "{store}: {} {}", ran.status, ran.err);
        assert_eq!(place.state(), before, "{store}");
    }
    // A link to nothing yet is a place for a new store.
    std::os::unix::fs::symlink("later.jks", place.path("link.jks")).unwrap();
    must(&mut place.create("link.jks"));
    assert!(place.path("link.jks").symlink_metadata().unwrap().is_symlink());
    assert!(place.path("later.jks").symlink_metadata().unwrap().is_file());
}

#[test]
fn a_store_named_twice_is_refused_at_once() {
    let place = Place::with_store("a.jks");
    let before = place.state();
    let ran = run(place.update("a.jks").arg(place.path("a.jks")));
    assert_eq!(ran.status, 5, "{}", ran.err);
    assert!(ran.err.contains("named twice"), "{}", ran.err);
    assert_eq!(place.state(), before);
}

#[test]
fn names_may_be_anything_that_fits() {
    // Not UTF-8; a newline; the longest that leaves room for what is put beside it; one that looks like ours.
    let long = format!("{}.jks", "n".repeat(239));
    for name in [&b"caf\xe9.jks"[..], b"two\nlines.jks", long.as_bytes(), b"a.old-1.jks", b"-dash.jks"] {
        let name = OsStr::from_bytes(name);
        let place = Place::new();
        let mut argument = std::ffi::OsString::from("jks:");
        argument.push(name);
        must(&mut place.create(&argument));
        must(&mut place.update(&argument));
        let first = place.state().len();
        must(place.command(&["rollback"]).arg(&argument));
        must(place.command(&["prune"]).arg(&argument).args(["--keep", "1", "--older-than", "0s"]));
        must(place.command(&["list"]).arg(&argument));
        assert!(place.path(name).is_file());
        assert!(place.state().len() <= first, "{name:?}");
        assert!(!place.state().keys().any(|p| p.as_os_str().as_bytes().ends_with(b".tmp")), "{name:?}");
    }
    let place = Place::new();
    let ran = run(&mut place.create(format!("{}.jks", "n".repeat(245))));
    assert_eq!(ran.status, 7, "{}", ran.err);
    assert!(ran.err.contains("name too long"), "{}", ran.err);
    let lock_only = place.state();
    assert!(lock_only.values().all(Vec::is_empty), "{lock_only:?}");
}

#[test]
fn the_umask_decides_nothing() {
    for umask in ["000", "077", "777"] {
        let place = Place::new();
        let with_umask = |command: &mut Command| {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")]);
            shell.arg(command.get_program()).args(command.get_args()).current_dir(place.dir.path());
            shell.env("KEYFERRY_PASSWORD", PASSWORD);
            shell
        };
        let mode = |name: &str| std::fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o7777;
        must(&mut with_umask(&mut place.create("a.jks")));
        assert_eq!(mode("a.jks"), 0o600, "{umask}");
        if umask != "777" {
            assert_eq!(mode("a.jks.lock"), 0o600, "{umask}");
        }
        std::fs::set_permissions(place.path("a.jks"), PermissionsExt::from_mode(0o664)).unwrap();
        must(&mut with_umask(&mut place.update("a.jks")));
        assert_eq!([mode("a.jks"), mode("a.jks.old-1")], [0o664, 0o664], "{umask}");
    }
}

#[test]
fn a_folder_that_may_not_be_written_is_said_so() {
    let place = Place::with_store("a.jks");
    // Root may write anywhere, so root becomes nobody for this.
    let program = place.bundle("keyferry");
    std::fs::copy(env!("CARGO_BIN_EXE_keyferry"), &program).unwrap();
    let as_nobody = |command: &Command| {
        let mut other = if is_root() {
            let mut other = Command::new("setpriv");
            other.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
            other
        } else {
            Command::new(&program)
        };
        other.args(command.get_args()).current_dir(place.dir.path()).env("KEYFERRY_PASSWORD", PASSWORD);
        other
    };
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    mode(place.bundles.path(), 0o755);
    for file in ["part.jks", "whole.jks"] {
        mode(&place.bundle(file), 0o644);
    }
    mode(&place.path("a.jks"), 0o644);
    mode(place.dir.path(), 0o555);
    let before = place.state();
    let ran = run(&mut as_nobody(&place.update("a.jks")));
    assert_eq!(ran.status, 7, "{}", ran.err);
    assert!(ran.err.contains("a.jks") && ran.err.contains("permission denied"), "{}", ran.err);
    assert_eq!(place.state(), before);
    if is_root() {
        // A folder that all may write into, and a store whose owner can't be kept.
        mode(place.dir.path(), 0o777);
        std::fs::remove_file(place.path("a.jks.lock")).unwrap();
        let before = std::fs::read(place.path("a.jks")).unwrap();
        let ran = run(&mut as_nobody(&place.update("a.jks")));
        assert!([5, 7].contains(&ran.status), "{}", ran.err);
        assert_eq!(std::fs::read(place.path("a.jks")).unwrap(), before);
        assert!(!place.state().keys().any(|p| p.extension() == Some(OsStr::new("tmp"))), "{}", ran.err);
    }
    mode(place.dir.path(), 0o755);
}

#[test]
fn roots_lock_file_locks_nobody_out() {
    if !is_root() {
        // Only root can make one for somebody else.
        return;
    }
    let place = Place::with_store("a.jks");
    std::fs::remove_file(place.path("a.jks.lock")).unwrap();
    std::os::unix::fs::chown(place.path("a.jks"), Some(65534), Some(65534)).unwrap();
    must(&mut place.update("a.jks"));
    let owner = |name: &str| std::fs::metadata(place.path(name)).unwrap().uid();
    assert_eq!([owner("a.jks"), owner("a.jks.lock"), owner("a.jks.old-1")], [65534; 3]);
}

#[test]
fn a_record_that_can_t_be_written_is_a_warning() {
    let place = Place::with_store("a.jks");
    std::fs::remove_file(place.path("a.jks.update.json")).unwrap();
    std::fs::create_dir(place.path("a.jks.update.json")).unwrap();
    let ran = must(&mut place.update("a.jks"));
    assert!(ran.err.contains("a.jks.update.json"), "{}", ran.err);
    assert!(ran.out.contains("replaced"), "{}", ran.out);
    // Nor is it one where nothing is to be done.
    let ran = must(&mut place.update("a.jks"));
    assert!(ran.out.contains("unchanged"), "{}", ran.out);
}
