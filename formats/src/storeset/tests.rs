//! Commits that fail, crash, meet readers, writers and other runs; generations, rollback, records.

use super::current::Current;
use super::*;
use crate::place::{Identity, Source, Staging};
use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Every step that a commit over a store with other mode, owner and attributes takes, in order.
const STEPS: &[Step] = &[
    Step::Owner,
    Step::Attributes,
    Step::Mode,
    Step::Sync,
    Step::Check,
    Step::Save,
    Step::Rename,
    Step::SyncFolder,
];
const OLD: &[u8] = b"the old store";
const NEW: &[u8] = b"the new store, which is longer";
const MINUTE: i64 = 60_000;

fn nothing(_: Step) -> Result<()> {
    Ok(())
}

/// A folder with a store in it that has a mode and an attribute of its own (and, for root, an owner).
struct Place {
    dir: TempDir,
    store: PathBuf,
}

impl Place {
    fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("client.jks");
        Place { dir, store }
    }

    fn new() -> Self {
        let place = Place::empty();
        fs::write(&place.store, OLD).unwrap();
        if is_root() {
            std::os::unix::fs::chown(&place.store, Some(1234), Some(2345)).unwrap();
        }
        fs::set_permissions(&place.store, fs::Permissions::from_mode(0o640)).unwrap();
        rustix::fs::setxattr(&place.store, "user.note", b"kept", rustix::fs::XattrFlags::empty()).unwrap();
        place
    }

    fn identity(&self) -> Option<Identity> {
        fs::metadata(&self.store).ok().map(|m| Identity::of(&m))
    }

    fn stage(&self, content: &[u8]) -> Staging {
        let mut staging = Staging::beside(&self.store, mode_of(&self.store).unwrap());
        staging.file().unwrap().put(content).unwrap();
        staging
    }

    fn commit_with(&self, content: &[u8], on_step: &dyn Fn(Step) -> Result<()>) -> Result<Committed> {
        let how = Commit::new(&self.store, on_step).replacing(self.identity());
        commit(self.stage(content), &how)
    }

    fn commit(&self, content: &[u8]) -> PathBuf {
        let done = self.commit_with(content, &nothing).unwrap();
        assert_eq!(fs::read(&self.store).unwrap(), content);
        done.old.unwrap_or_default()
    }

    fn content(&self) -> Vec<u8> {
        fs::read(&self.store).unwrap()
    }

    /// Every name in the folder except the lock, sorted.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|n| n != "client.jks.lock")
            .collect();
        names.sort();
        names
    }

    fn numbers(&self) -> Vec<u64> {
        generations(&self.store).unwrap().iter().map(|g| g.number).collect()
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What a client cares for besides the content.
fn attributes_of(path: &Path) -> (u32, u32, u32, Vec<u8>) {
    let meta = fs::metadata(path).unwrap();
    let mut note = [0; 16];
    let n = rustix::fs::getxattr(path, "user.note", &mut note[..]).unwrap_or(0);
    (meta.uid(), meta.gid(), meta.mode() & 0o7777, note[..n].to_vec())
}

/// The steps of an undisturbed commit over [`Place::new`].
fn steps_taken() -> Vec<Step> {
    let taken = std::cell::RefCell::new(Vec::new());
    let note = |s| {
        taken.borrow_mut().push(s);
        Ok(())
    };
    let _ = Place::new().commit_with(NEW, &note).unwrap();
    taken.into_inner()
}

#[test]
fn a_commit_takes_the_steps_that_are_tested() {
    let expected: Vec<_> = STEPS.iter().copied().filter(|s| is_root() || *s != Step::Owner).collect();
    assert_eq!(steps_taken(), expected);
}

#[test]
fn a_new_store_appears_alone_and_private() {
    let place = Place::empty();
    assert_eq!(place.commit_with(NEW, &nothing).unwrap().old, None);
    assert_eq!(place.content(), NEW);
    assert_eq!(place.names(), ["client.jks"]);
    assert_eq!(fs::metadata(&place.store).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn the_old_store_becomes_a_generation() {
    let place = Place::new();
    let before = place.identity();
    let saved = place.commit(NEW);
    assert_eq!(saved, place.dir.path().join("client.jks.old-1"));
    assert_eq!(fs::read(&saved).unwrap(), OLD);
    assert_eq!(fs::metadata(&saved).ok().map(|m| Identity::of(&m)), before, "a link, not a copy");
    assert_eq!(place.names(), ["client.jks", "client.jks.old-1"]);
    assert_eq!(place.commit(OLD), place.dir.path().join("client.jks.old-2"));
}

#[test]
fn mode_owner_and_attributes_stay() {
    let place = Place::new();
    let before = attributes_of(&place.store);
    assert_eq!((before.2, &before.3[..]), (0o640, &b"kept"[..]));
    place.commit(NEW);
    assert_eq!(attributes_of(&place.store), before);
}

#[test]
fn a_mode_that_was_tightened_meanwhile_stays_tight() {
    let place = Place::new();
    let staged = place.stage(NEW);
    fs::set_permissions(&place.store, fs::Permissions::from_mode(0o600)).unwrap();
    let how = Commit::new(&place.store, &nothing).replacing(place.identity());
    let _ = commit(staged, &how).unwrap();
    assert_eq!(attributes_of(&place.store).2, 0o600);
}

#[test]
fn access_control_lists_stay_and_the_folders_default_does_not_creep_in() {
    // Version 2; owner rw, user 1000 r, group -, mask r, other -.
    let acl = |user: u32| -> Vec<u8> {
        let entry = |tag: u16, perm: u16, id: u32| {
            [&tag.to_le_bytes()[..], &perm.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        let none = u32::MAX;
        [
            2u32.to_le_bytes().to_vec(),
            entry(1, 6, none),
            entry(2, 4, user),
            entry(4, 0, none),
            entry(16, 4, none),
            entry(32, 0, none),
        ]
        .concat()
    };
    let flags = rustix::fs::XattrFlags::empty();
    let get = |path: &Path| {
        let mut value = [0; 256];
        rustix::fs::getxattr(path, "system.posix_acl_access", &mut value[..]).map(|n| value[..n].to_vec())
    };
    let place = Place::new();
    let own = rustix::fs::setxattr(&place.store, "system.posix_acl_access", &acl(1000), flags);
    if own == Err(rustix::io::Errno::NOTSUP) {
        eprintln!("the file system has no access control lists");
        return;
    }
    own.unwrap();
    rustix::fs::setxattr(place.dir.path(), "system.posix_acl_default", &acl(2000), flags).unwrap();
    place.commit(NEW);
    assert_eq!(get(&place.store).unwrap(), acl(1000));
    assert_eq!(attributes_of(&place.store).2, 0o640);

    // A store without a list, in a folder that would give it one.
    rustix::fs::removexattr(&place.store, "system.posix_acl_access").unwrap();
    let before = attributes_of(&place.store);
    place.commit(OLD);
    assert!(get(&place.store).is_err());
    assert_eq!(attributes_of(&place.store), before);
}

#[test]
fn a_failure_at_any_step_leaves_the_old_store_as_it_was() {
    for fail_at in steps_taken() {
        let place = Place::new();
        let before = (place.identity(), attributes_of(&place.store));
        let stop = |s: Step| if s == fail_at { Err(Error::new(Kind::Write, "stopped")) } else { Ok(()) };
        let e = place.commit_with(NEW, &stop).unwrap_err();
        assert_eq!(e.kind(), Kind::Write, "{fail_at:?}");
        assert_eq!(place.content(), OLD, "{fail_at:?}");
        assert_eq!((place.identity(), attributes_of(&place.store)), before, "{fail_at:?}");
        assert_eq!(place.names(), ["client.jks"], "{fail_at:?}");
        assert_eq!(e.message().contains("put back"), fail_at == Step::SyncFolder, "{e}");
        place.commit(NEW);
    }
}

#[test]
fn a_failure_at_any_step_leaves_nothing_where_nothing_was() {
    for fail_at in [Step::Sync, Step::Check, Step::Rename, Step::SyncFolder] {
        let place = Place::empty();
        let reached = Cell::new(false);
        let stop = |s: Step| {
            reached.set(reached.get() || s == fail_at);
            if s == fail_at { Err(Error::new(Kind::Write, "stopped")) } else { Ok(()) }
        };
        assert!(place.commit_with(NEW, &stop).is_err(), "{fail_at:?}");
        assert!(reached.get());
        assert!(place.names().is_empty(), "{fail_at:?}: {:?}", place.names());
    }
}

/// Not a test of its own: a run that [`a_crash_at_any_step_leaves_a_whole_store`] starts and that aborts.
#[test]
#[ignore = "run by another test"]
fn crashing_run() {
    let Ok(store) = std::env::var("STORESET_TEST_STORE") else {
        return;
    };
    let (store, wanted) = (PathBuf::from(store), std::env::var("STORESET_TEST_STEP").unwrap());
    let crash = |s: Step| {
        if format!("{s:?}") == wanted {
            std::process::abort();
        }
        Ok(())
    };
    let _lock = Lock::take(&store).unwrap();
    if std::env::var_os("STORESET_TEST_ROLLBACK").is_some() {
        rollback(&store, &crash).unwrap();
        return;
    }
    let identity = fs::metadata(&store).ok().map(|m| Identity::of(&m));
    let mut staging = Staging::beside(&store, mode_of(&store).unwrap());
    staging.file().unwrap().put(NEW).unwrap();
    let _ = commit(staging, &Commit::new(&store, &crash).replacing(identity)).unwrap();
}

/// Runs [`crashing_run`] in a process of its own, which must die of its own abort.
fn crash(place: &Place, step: Step, rollback: bool) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "storeset::tests::crashing_run", "--ignored", "--nocapture"]);
    command.env("STORESET_TEST_STORE", &place.store).env("STORESET_TEST_STEP", format!("{step:?}"));
    if rollback {
        command.env("STORESET_TEST_ROLLBACK", "1");
    }
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert_eq!(signal, Some(rustix::process::Signal::ABORT.as_raw()), "{step:?}: {status}");
}

#[test]
fn a_crash_at_any_step_leaves_a_whole_store() {
    for step in steps_taken() {
        let place = Place::new();
        let before = attributes_of(&place.store);
        crash(&place, step, false);
        let expected = if step == Step::SyncFolder { NEW } else { OLD };
        assert_eq!(place.content(), expected, "{step:?}");
        assert_eq!(attributes_of(&place.store), before, "{step:?}");
        let left = place.names().iter().filter(|n| n.ends_with(".tmp")).count();
        assert_eq!(left, usize::from(step != Step::SyncFolder), "{step:?}: {:?}", place.names());

        let _lock = Lock::take(&place.store).unwrap();
        place.commit(b"the next");
        assert_eq!(attributes_of(&place.store), before, "{step:?}");
        // What was saved before the crash is not saved twice.
        let saved = usize::from(step == Step::SyncFolder) + 1;
        assert_eq!(place.numbers().len(), saved, "{step:?}");
        assert_eq!(place.names().len(), 1 + saved, "{step:?}: {:?}", place.names());
    }
}

#[test]
fn a_crash_in_a_rollback_leaves_a_whole_store() {
    for step in [Step::Link, Step::Check, Step::Save, Step::Rename, Step::SyncFolder] {
        let place = Place::new();
        place.commit(NEW);
        crash(&place, step, true);
        let expected = if step == Step::SyncFolder { OLD } else { NEW };
        assert_eq!(place.content(), expected, "{step:?}");
        let _lock = Lock::take(&place.store).unwrap();
        if step != Step::SyncFolder {
            rollback(&place.store, &nothing).unwrap();
            assert_eq!(place.content(), OLD, "{step:?}");
            assert_eq!(place.numbers(), [2, 1]);
        }
        assert!(!place.names().iter().any(|n| n.ends_with(".tmp")), "{:?}", place.names());
    }
}

#[test]
fn readers_see_one_complete_generation() {
    let place = Place::new();
    let done = AtomicBool::new(false);
    // Larger than what one read or write moves.
    let content = |n: usize| vec![n as u8; 100_000 + n];
    place.commit(&content(0));
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut reads = 0;
                    while !done.load(Ordering::Relaxed) {
                        let seen = fs::read(&place.store).unwrap();
                        assert_eq!(seen, content(seen.len() - 100_000));
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        for n in 1..=200 {
            let _lock = Lock::take(&place.store).unwrap();
            place.commit(&content(n));
        }
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap() > 20, "a reader hardly read");
        }
    });
    assert_eq!(place.numbers().len(), 201);
}

#[test]
fn a_link_to_the_store_stays_a_link() {
    let place = Place::new();
    let inside = place.dir.path().join("sub");
    fs::create_dir(&inside).unwrap();
    symlink("../client.jks", inside.join("two.jks")).unwrap();
    symlink("sub/two.jks", place.dir.path().join("one.jks")).unwrap();
    let resolved = resolve(&place.dir.path().join("one.jks")).unwrap();
    assert_eq!(fs::canonicalize(&resolved).unwrap(), fs::canonicalize(&place.store).unwrap());
    let how = |s: &Path| fs::metadata(s).ok().map(|m| Identity::of(&m));
    let mut staging = Staging::beside(&resolved, 0o600);
    staging.file().unwrap().put(NEW).unwrap();
    let _ = commit(staging, &Commit::new(&resolved, &nothing).replacing(how(&resolved))).unwrap();
    assert!(fs::symlink_metadata(place.dir.path().join("one.jks")).unwrap().is_symlink());
    assert!(fs::symlink_metadata(inside.join("two.jks")).unwrap().is_symlink());
    assert_eq!(fs::read(place.dir.path().join("one.jks")).unwrap(), NEW);

    // A link whose target does not exist yet; a relative one; a ring.
    symlink("new.jks", place.dir.path().join("dangling.jks")).unwrap();
    assert_eq!(resolve(&place.dir.path().join("dangling.jks")).unwrap(), place.dir.path().join("new.jks"));
    assert_eq!(resolve(Path::new("absent.jks")).unwrap(), Path::new("absent.jks"));
    symlink("ring.jks", place.dir.path().join("ring.jks")).unwrap();
    assert_eq!(resolve(&place.dir.path().join("ring.jks")).unwrap_err().kind(), Kind::Read);
}

#[test]
fn what_is_no_file_is_refused() {
    let place = Place::empty();
    fs::create_dir(&place.store).unwrap();
    assert_eq!(mode_of(&place.store).unwrap_err().kind(), Kind::Refused);
    assert_eq!(mode_of(Path::new("/dev/null")).unwrap_err().kind(), Kind::Refused);
    let mut staging = Staging::beside(&place.store, 0o600);
    staging.file().unwrap().put(NEW).unwrap();
    let e = commit(staging, &Commit::new(&place.store, &nothing)).unwrap_err();
    assert_eq!(e.kind(), Kind::Refused, "{e}");
    assert_eq!(place.names(), ["client.jks"]);
}

#[test]
fn a_change_by_somebody_else_stops_the_commit() {
    let changes: [(&str, fn(&Path)); 5] = [
        ("longer", |p| fs::write(p, b"edited in place").unwrap()),
        ("touched", |p| {
            fs::File::options()
                .write(true)
                .open(p)
                .unwrap()
                .set_modified(std::time::SystemTime::UNIX_EPOCH)
                .unwrap();
        }),
        ("replaced", |p| {
            fs::write(p.with_extension("x"), OLD).unwrap();
            fs::rename(p.with_extension("x"), p).unwrap();
        }),
        ("deleted", |p| fs::remove_file(p).unwrap()),
        ("same size and time", |p| {
            let time = fs::metadata(p).unwrap().modified().unwrap();
            fs::write(p, b"THE OLD STORE").unwrap();
            fs::File::options().write(true).open(p).unwrap().set_modified(time).unwrap();
        }),
    ];
    for (what, change) in changes {
        let place = Place::new();
        let digest = Current::open(&place.store).unwrap().unwrap().sha256().unwrap();
        let identity = place.identity();
        let staged = place.stage(NEW);
        // At the last moment before the check.
        let on_step = |s: Step| {
            if s == Step::Check {
                change(&place.store);
            }
            Ok(())
        };
        let how = Commit::new(&place.store, &on_step).replacing(identity).with_digest(digest);
        let e = commit(staged, &how).unwrap_err();
        assert_eq!(e.kind(), Kind::Busy, "{what}: {e}");
        assert_ne!(fs::read(&place.store).ok().as_deref(), Some(NEW), "{what}");
        assert!(!place.names().iter().any(|n| n.contains("old-") || n.ends_with("tmp")), "{what}");
    }
}

#[test]
fn a_store_that_appears_meanwhile_is_not_overwritten() {
    for appears_at in [Step::Sync, Step::Check, Step::Rename] {
        let place = Place::empty();
        let on_step = |s: Step| {
            if s == appears_at {
                fs::write(&place.store, OLD).unwrap();
            }
            Ok(())
        };
        let e = commit(place.stage(NEW), &Commit::new(&place.store, &on_step)).unwrap_err();
        assert_eq!(e.kind(), Kind::Busy, "{appears_at:?}: {e}");
        assert_eq!(place.content(), OLD);
        assert_eq!(place.names(), ["client.jks"]);
    }
    // There before, though the caller thinks otherwise.
    let place = Place::new();
    let e = commit(place.stage(NEW), &Commit::new(&place.store, &nothing)).unwrap_err();
    assert_eq!(e.kind(), Kind::Busy);
    assert_eq!(place.content(), OLD);
}

#[test]
fn one_lock_at_a_time() {
    let place = Place::new();
    let lock = Lock::take(&place.store).unwrap();
    let started = Instant::now();
    let e = Lock::take(&place.store).unwrap_err();
    assert_eq!(e.kind(), Kind::Busy);
    assert!(e.to_string().contains("client.jks.lock"), "{e}");
    assert!(started.elapsed() < Duration::from_secs(2), "waited {:?}", started.elapsed());
    drop(lock);
    Lock::take(&place.store).unwrap();
    let meta = fs::metadata(place.dir.path().join("client.jks.lock")).unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o600);
    if is_root() {
        // The store's owner can run it, too.
        assert_eq!((meta.uid(), meta.gid()), (1234, 2345));
    }
    // One that is soon released is waited for.
    let lock = Lock::take(&place.store).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            drop(lock);
        });
        Lock::take(&place.store).unwrap();
    });
}

#[test]
fn a_lock_that_is_a_link_or_pipe_is_refused() {
    let place = Place::new();
    let path = place.dir.path().join("client.jks.lock");
    symlink("elsewhere", &path).unwrap();
    assert_eq!(Lock::take(&place.store).unwrap_err().kind(), Kind::Refused);
    assert!(!place.dir.path().join("elsewhere").exists());
    fs::remove_file(&path).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert_eq!(Lock::take(&place.store).unwrap_err().kind(), Kind::Refused);
}

#[test]
fn the_lock_clears_what_killed_runs_left_and_nothing_else() {
    let place = Place::new();
    let gone = [".client.jks.aB3dE6gH.tmp", ".client.jks.update.json.aB3dE6gH.tmp"];
    let stay = [
        ".client.jks.aB3dE6g.tmp",
        ".client.jks.aB3-E6gH.tmp",
        ".client.jks.aB3dE6gH.tmp.x",
        ".other.jks.aB3dE6gH.tmp",
        "client.jks.aB3dE6gH.tmp",
        ".client.jks.p12.aB3dE6gH.tmp",
    ];
    for name in gone.iter().chain(&stay) {
        fs::write(place.dir.path().join(name), b"x").unwrap();
    }
    // A link or folder with such a name was not made by us.
    symlink("client.jks", place.dir.path().join(".client.jks.aaaaaaaa.tmp")).unwrap();
    fs::create_dir(place.dir.path().join(".client.jks.bbbbbbbb.tmp")).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    let _lock = Lock::take(&place.store).unwrap();
    let names = place.names();
    assert!(gone.iter().all(|n| !names.contains(&n.to_string())), "{names:?}");
    assert!(stay.iter().all(|n| names.contains(&n.to_string())), "{names:?}");
    assert!(names.contains(&".client.jks.aaaaaaaa.tmp".to_owned()));
    assert!(names.contains(&".client.jks.bbbbbbbb.tmp".to_owned()));
}

/// Another process that holds a lock on the first byte of the store until it is dropped.
struct Holder(std::process::Child);

impl Holder {
    fn new(store: &Path, kind: &str) -> Self {
        let script = format!(
            "import fcntl,sys\nf=open(sys.argv[1],'r+b')\nfcntl.lockf(f,fcntl.{kind},1,0)\n\
             print('held',flush=True)\nsys.stdin.read()"
        );
        let mut child = Command::new("python3")
            .args(["-c", &script])
            .arg(store)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).unwrap();
        assert_eq!(line, "held\n");
        Holder(child)
    }

    fn release(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

#[test]
fn a_lock_on_the_store_itself_is_respected() {
    for kind in ["LOCK_EX", "LOCK_SH"] {
        let place = Place::new();
        let holder = Holder::new(&place.store, kind);
        let started = Instant::now();
        let e = place.commit_with(NEW, &nothing).unwrap_err();
        assert_eq!(e.kind(), Kind::Busy, "{e}");
        assert!(started.elapsed() < Duration::from_secs(2));
        assert_eq!(place.content(), OLD);
        assert_eq!(place.names(), ["client.jks"]);
        holder.release();
        place.commit(NEW);
    }
}

#[test]
fn a_client_that_is_just_loading_does_not_stop_a_commit() {
    let place = Place::new();
    let holder = Holder::new(&place.store, "LOCK_SH");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            holder.release();
        });
        place.commit(NEW);
    });
}

#[test]
fn the_store_is_held_until_it_is_replaced() {
    // Whether another process can get the lock, seen just before the rename.
    let place = Place::new();
    let try_lock =
        "import fcntl,sys\nf=open(sys.argv[1],'r+b')\nfcntl.lockf(f,fcntl.LOCK_EX|fcntl.LOCK_NB,1,0)";
    let locked_out = |s: Step| -> Result<()> {
        if matches!(s, Step::Save | Step::Rename) {
            let mut child = Command::new("python3");
            child.args(["-c", try_lock]).arg(&place.store).stderr(Stdio::null());
            assert!(!child.status().unwrap().success(), "{s:?}");
        }
        Ok(())
    };
    let digest = Current::open(&place.store).unwrap().unwrap().sha256().unwrap();
    let how = Commit::new(&place.store, &locked_out).replacing(place.identity()).with_digest(digest);
    let _ = commit(place.stage(NEW), &how).unwrap();
    assert_eq!(place.content(), NEW);
}

#[test]
fn a_copy_serves_where_links_are_refused() {
    let place = Place::new();
    let current = Current::open(&place.store).unwrap().unwrap();
    let saved = place.dir.path().join("client.jks.old-1");
    commit::save_copy(&current, &place.store, &saved, &nothing).unwrap();
    assert_eq!(fs::read(&saved).unwrap(), OLD);
    assert_eq!(attributes_of(&saved), attributes_of(&place.store));
    assert_eq!(place.names(), ["client.jks", "client.jks.old-1"]);
    // Never over another generation.
    let e = commit::save_copy(&current, &place.store, &saved, &nothing).unwrap_err();
    assert_eq!(e.kind(), Kind::Write);
    assert_eq!(place.names(), ["client.jks", "client.jks.old-1"]);
    // A rollback knows a copy by its content: there is nothing older than what is there.
    drop(current);
    assert_eq!(rollback(&place.store, &nothing).unwrap_err().kind(), Kind::Refused);
    for code in [rustix::io::Errno::PERM, rustix::io::Errno::MLINK, rustix::io::Errno::XDEV] {
        assert!(commit::is_link_refusal(&code.into()));
    }
    assert!(!commit::is_link_refusal(&rustix::io::Errno::NOSPC.into()));
}

#[test]
fn generations_are_the_files_with_the_right_names() {
    let place = Place::new();
    let yes = ["client.jks.old-2", "client.jks.old-10", "client.jks.old-1"];
    let no = [
        "client.jks.old-01",
        "client.jks.old-",
        "client.jks.old-x",
        "client.jks.old-3.sth",
        "client.jks.old--1",
        "client.jks.old-+1",
        "client.jks.old-18446744073709551615",
        "client.p12.old-5",
    ];
    for name in yes.iter().chain(&no) {
        fs::write(place.dir.path().join(name), b"x").unwrap();
    }
    symlink("client.jks", place.dir.path().join("client.jks.old-7")).unwrap();
    fs::create_dir(place.dir.path().join("client.jks.old-11")).unwrap();
    assert_eq!(place.numbers(), [10, 2, 1]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    for old in generations(&place.store).unwrap() {
        assert!((now - old.saved_ms).abs() < MINUTE, "{old:?}");
        assert_eq!(old.path, place.dir.path().join(format!("client.jks.old-{}", old.number)));
    }
    // A number that anything has is not given again.
    assert_eq!(place.commit(NEW), place.dir.path().join("client.jks.old-12"));
}

#[test]
fn prune_needs_both_number_and_age() {
    let place = Place::new();
    for n in 0..4u8 {
        place.commit(&[n; 9]);
    }
    assert_eq!(place.numbers(), [4, 3, 2, 1]);
    let now = generations(&place.store).unwrap()[0].saved_ms;
    let run = |keep, age, now, dry| -> Vec<String> {
        let deleted = prune(&place.store, keep, age, now, dry).unwrap();
        deleted.iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect()
    };
    assert!(run(2, 2 * MINUTE, now + MINUTE, false).is_empty(), "young ones stay");
    assert!(run(4, 0, now + MINUTE, false).is_empty(), "few stay");
    assert_eq!(run(2, MINUTE, now + 2 * MINUTE, true), ["client.jks.old-2", "client.jks.old-1"]);
    assert_eq!(place.numbers(), [4, 3, 2, 1]);
    fs::write(place.dir.path().join("client.jks.old-1.sth"), b"x").unwrap();
    assert_eq!(run(2, MINUTE, now + 2 * MINUTE, false), ["client.jks.old-2", "client.jks.old-1"]);
    assert_eq!(place.numbers(), [4, 3]);
    assert_eq!(place.names(), ["client.jks", "client.jks.old-3", "client.jks.old-4"]);
    assert_eq!(place.content(), [3; 9]);
}

#[test]
fn a_rollback_goes_back_and_further_back() {
    let place = Place::new();
    let contents: [&[u8]; 3] = [b"first", b"second", b"third"];
    for content in contents {
        place.commit(content);
    }
    let before = attributes_of(&place.store);
    let back = |n: u64| {
        assert_eq!(
            rollback(&place.store, &nothing).unwrap(),
            place.dir.path().join(format!("client.jks.old-{n}"))
        );
        assert_eq!(attributes_of(&place.store), before);
        let record = Record::read(&place.store).unwrap();
        assert_eq!((record.state.as_str(), record.generation), ("rolled-back", n));
        place.content()
    };
    assert_eq!(back(3), b"second");
    assert_eq!(fs::read(place.dir.path().join("client.jks.old-4")).unwrap(), b"third");
    assert_eq!(back(2), b"first");
    assert_eq!(back(1), OLD);
    let e = rollback(&place.store, &nothing).unwrap_err();
    assert_eq!(e.kind(), Kind::Refused, "{e}");
    assert_eq!(place.content(), OLD);
    // After a new commit, back to what was there before it.
    place.commit(b"fourth");
    rollback(&place.store, &nothing).unwrap();
    assert_eq!(place.content(), OLD);
    assert_eq!(rollback(&place.store, &nothing).unwrap_err().kind(), Kind::Refused);
}

#[test]
fn a_rollback_brings_a_deleted_store_back() {
    let place = Place::new();
    place.commit(NEW);
    fs::remove_file(&place.store).unwrap();
    rollback(&place.store, &nothing).unwrap();
    assert_eq!(place.content(), OLD);
    let place = Place::new();
    assert_eq!(rollback(&place.store, &nothing).unwrap_err().kind(), Kind::Refused);
}

#[test]
fn a_rollback_that_fails_leaves_the_store() {
    for fail_at in [Step::Link, Step::Check, Step::Save, Step::Rename, Step::SyncFolder] {
        let place = Place::new();
        place.commit(NEW);
        let before = place.identity();
        let stop = |s: Step| if s == fail_at { Err(Error::new(Kind::Write, "stopped")) } else { Ok(()) };
        assert!(rollback(&place.store, &stop).is_err(), "{fail_at:?}");
        assert_eq!(place.content(), NEW);
        assert_eq!(place.identity(), before);
        assert_eq!(place.names(), ["client.jks", "client.jks.old-1"], "{fail_at:?}");
    }
}

#[test]
fn a_rollback_respects_a_lock_on_the_store_itself() {
    let place = Place::new();
    place.commit(NEW);
    let holder = Holder::new(&place.store, "LOCK_EX");
    assert_eq!(rollback(&place.store, &nothing).unwrap_err().kind(), Kind::Busy);
    assert_eq!(place.content(), NEW);
    holder.release();
    rollback(&place.store, &nothing).unwrap();
}

#[test]
fn undo_is_as_if_the_commit_had_not_been() {
    let place = Place::new();
    let before = place.identity();
    place.commit_with(NEW, &nothing).unwrap().undo().unwrap();
    assert_eq!((place.content().as_slice(), place.identity()), (OLD, before));
    assert_eq!(place.names(), ["client.jks"]);

    let done = place.commit_with(NEW, &nothing).unwrap();
    fs::remove_file(place.dir.path().join("client.jks.old-1")).unwrap();
    let e = done.undo().unwrap_err();
    assert_eq!(e.kind(), Kind::Write);
    assert_eq!(place.content(), NEW);

    let place = Place::empty();
    place.commit_with(NEW, &nothing).unwrap().undo().unwrap();
    assert!(place.names().is_empty());
}

#[test]
fn companions_go_with_their_store() {
    let place = Place::new();
    let (sth, rdb) = (place.dir.path().join("client.sth"), place.dir.path().join("client.rdb"));
    fs::write(&sth, b"old stash").unwrap();
    fs::write(&rdb, b"requests").unwrap();
    let stage = || {
        let mut staging = place.stage(NEW);
        staging.companion("sth").unwrap().put(b"new stash").unwrap();
        staging.companion("rdb").unwrap().put(b"requests").unwrap();
        staging
    };
    let state =
        || (place.content(), fs::read(&sth).unwrap(), fs::metadata(&rdb).unwrap().ino(), place.names());
    let before = state();
    // Any failure, also between the two renames, leaves the old set.
    let steps = Cell::new(0);
    let count = |_: Step| -> Result<()> {
        steps.set(steps.get() + 1);
        Ok(())
    };
    let done = commit(stage(), &Commit::new(&place.store, &count).replacing(place.identity())).unwrap();
    assert_eq!(place.content(), NEW);
    assert_eq!(fs::read(&sth).unwrap(), b"new stash");
    assert_eq!(fs::metadata(&rdb).unwrap().ino(), before.2, "what is the same stays");
    assert_eq!(
        place.names(),
        ["client.jks", "client.jks.old-1", "client.jks.old-1.sth", "client.rdb", "client.sth"]
    );
    assert_eq!(rollback(&place.store, &nothing).unwrap_err().kind(), Kind::Unsupported);
    done.undo().unwrap();
    assert_eq!(state(), before);
    for fail_at in 0..steps.get() {
        let left = Cell::new(fail_at);
        let stop = |_: Step| match left.get() {
            0 => Err(Error::new(Kind::Write, "stopped")),
            n => {
                left.set(n - 1);
                Ok(())
            }
        };
        let how = Commit::new(&place.store, &stop).replacing(place.identity());
        assert!(commit(stage(), &how).is_err(), "{fail_at}");
        assert_eq!(state(), before, "{fail_at}");
    }
}

#[test]
fn records_come_back_and_foreign_ones_do_not() {
    let place = Place::new();
    assert_eq!(Record::read(&place.store), None);
    let record = Record::made("aa".repeat(32), "bb".repeat(32), 1_700_000_000_123);
    place.commit(NEW);
    record.write(&place.store).unwrap();
    let path = place.dir.path().join("client.jks.update.json");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    let back = Record::read(&place.store).unwrap();
    assert_eq!(back.generation, 2, "what the store will be when it is old");
    assert_eq!(Record { generation: 0, ..back.clone() }, record);
    assert_eq!(back.time, "2023-11-14T22:13:20Z");
    assert!(!place.names().iter().any(|n| n.ends_with(".tmp")));
    let text = fs::read_to_string(&path).unwrap();
    for foreign in [
        String::new(),
        "[]".to_owned(),
        text[..text.len() / 2].to_owned(),
        text.replace("\"version\": 1", "\"version\": 2"),
        text.clone() + &" ".repeat(100_000),
    ] {
        fs::write(&path, foreign).unwrap();
        assert_eq!(Record::read(&place.store), None);
    }
    fs::remove_file(&path).unwrap();
    fs::write(place.dir.path().join("x"), text).unwrap();
    symlink("x", &path).unwrap();
    assert_eq!(Record::read(&place.store), None);
    // A new one replaces the link, not what it names.
    record.write(&place.store).unwrap();
    assert!(Record::read(&place.store).is_some());
}

#[test]
fn staged_files_are_private_and_go_away() {
    let place = Place::new();
    let mut staging = place.stage(b"one ");
    let big = vec![7; 600_000];
    staging.file().unwrap().put(&big).unwrap();
    staging.file().unwrap().put(b" end").unwrap();
    let temp = place.names().into_iter().find(|n| n.ends_with(".tmp")).unwrap();
    assert!(temp.starts_with(".client.jks.") && temp.len() == ".client.jks.12345678.tmp".len(), "{temp}");
    let meta = fs::metadata(place.dir.path().join(&temp)).unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o600);
    let source = staging.source().unwrap();
    assert_eq!(source.path(), place.store, "messages name the target");
    assert_eq!(source.bytes().unwrap()[..], [b"one ", &big[..], b" end"].concat()[..]);
    drop(staging);
    assert_eq!(place.names(), ["client.jks"]);
    assert_eq!(Staging::beside(&place.store, 0o600).source().err().map(|e| e.kind()), Some(Kind::Write));

    let mut memory = Staging::memory();
    memory.file().unwrap().put(b"in ").unwrap();
    memory.file().unwrap().put(b"memory").unwrap();
    assert_eq!(memory.source().unwrap().bytes().unwrap()[..], b"in memory"[..]);
    assert_eq!(memory.into_memory().unwrap().as_slice(), b"in memory");
}

#[test]
fn write_errors_name_the_store() {
    let place = Place::empty();
    let nowhere = place.dir.path().join("absent").join("client.jks");
    let e = Staging::beside(&nowhere, 0o600).file().err().unwrap();
    assert_eq!(e.kind(), Kind::Write);
    let text = e.to_string();
    assert!(text.contains("absent/client.jks: ") && text.ends_with("no such file"), "{text}");
    let e = Lock::take(&nowhere).unwrap_err();
    assert_eq!(e.kind(), Kind::Write);
    let long = place.dir.path().join("x".repeat(250));
    let e = Staging::beside(&long, 0o600).file().err().unwrap();
    assert!(e.to_string().ends_with("file name too long"), "{e}");
    assert_eq!(Source::open(&place.store).err().map(|e| e.kind()), Some(Kind::Read));
}

#[test]
fn nothing_staged_is_nothing_committed() {
    let place = Place::new();
    let mut staging = Staging::beside(&place.store, 0o600);
    staging.companion("sth").unwrap().put(b"alone").unwrap();
    let e = commit(staging, &Commit::new(&place.store, &nothing).replacing(place.identity())).unwrap_err();
    assert_eq!(e.kind(), Kind::Write);
    assert_eq!(place.names(), ["client.jks"]);
}
