//! Commits that fail at every step, locks, attributes, going back.

use super::*;
use crate::place::{Identity, Staging};
use std::cell::{Cell, RefCell};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

fn staged(store: &Path, text: &[u8]) -> Staging {
    let mut staging = Staging::beside(store);
    staging.file().and_then(|mut f| f.put(text)).expect("staged");
    staging
}

fn identity(store: &Path) -> Option<Identity> {
    fs::metadata(store).ok().map(|m| Identity::of(&m))
}

fn put(store: &Path, text: &[u8]) -> Result<Committed> {
    commit(
        staged(store, text),
        &Commit { store, expected: identity(store), content: None, companions: &[], on_step: &|_| Ok(()) },
    )
}

/// Goes back, with the companions of a kdb.
fn back(store: &Path, on_step: &dyn Fn(Step) -> Result<()>) -> Result<PathBuf> {
    rollback(&Rollback { store, inspect: &|_| Ok(COMPANIONS), on_step })
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .expect("list")
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn new_then_replaced_then_undone() {
    let dir = tempfile::tempdir().expect("dir");
    let store = dir.path().join("a.jks");
    assert!(put(&store, b"one").expect("first").old.is_none());
    assert_eq!(fs::metadata(&store).expect("meta").mode() & 0o777, 0o600);
    fs::set_permissions(&store, fs::Permissions::from_mode(0o640)).expect("mode");
    let done = put(&store, b"two").expect("second");
    assert_eq!(fs::metadata(&store).expect("meta").mode() & 0o777, 0o640);
    assert_eq!(fs::read(done.old.as_ref().expect("old")).expect("read"), b"one");
    done.undo().expect("undo");
    assert_eq!(fs::read(&store).expect("read"), b"one");
    assert_eq!(names(dir.path()), ["a.jks"]);
}

#[test]
fn every_failing_step_leaves_the_store_as_it_was() {
    let dir = tempfile::tempdir().expect("dir");
    let store = dir.path().join("a.jks");
    for existing in [false, true] {
        for step in Step::ALL {
            let _ = fs::remove_file(&store);
            if existing {
                fs::write(&store, b"one").expect("write");
            }
            let reached = Cell::new(false);
            let stop = |s: Step| {
                if s == step {
                    reached.set(true);
                    return Err(Error::new(Kind::Write, "stopped"));
                }
                Ok(())
            };
            let outcome = commit(
                staged(&store, b"two"),
                &Commit {
                    store: &store,
                    expected: identity(&store),
                    content: None,
                    companions: &[],
                    on_step: &stop,
                },
            );
            let skipped = !existing && matches!(step, Step::Attributes | Step::Save);
            assert_eq!(reached.get(), !skipped, "{step:?}");
            assert_eq!(outcome.is_ok(), skipped, "{step:?}");
            if !skipped {
                let content = fs::read(&store).ok();
                assert_eq!(content.as_deref(), existing.then_some(&b"one"[..]), "{step:?}");
                assert!(names(dir.path()).len() <= 1, "{step:?}: {:?}", names(dir.path()));
            }
        }
    }
}

#[test]
fn a_store_that_changed_is_not_replaced() {
    let dir = tempfile::tempdir().expect("dir");
    let store = dir.path().join("a.jks");
    fs::write(&store, b"one").expect("write");
    let expected = identity(&store);
    fs::write(&store, b"another").expect("write");
    let e = commit(
        staged(&store, b"two"),
        &Commit { store: &store, expected, content: None, companions: &[], on_step: &|_| Ok(()) },
    )
    .expect_err("changed");
    assert_eq!(e.kind(), Kind::Busy);
    // One that appeared where there was none: found by the check, or by the rename if it came later.
    let fresh = dir.path().join("b.jks");
    for late in [false, true] {
        let _ = fs::remove_file(&fresh);
        let appear = |s: Step| {
            if s == if late { Step::Rename } else { Step::Sync } {
                fs::write(&fresh, b"theirs").expect("write");
            }
            Ok(())
        };
        let e = commit(
            staged(&fresh, b"two"),
            &Commit { store: &fresh, expected: None, content: None, companions: &[], on_step: &appear },
        )
        .expect_err("appeared");
        assert_eq!(e.kind(), Kind::Busy);
        assert_eq!(fs::read(&fresh).expect("read"), b"theirs");
    }
    assert_eq!(names(dir.path()), ["a.jks", "b.jks"]);
}

#[test]
fn links_stay_and_their_target_is_replaced() {
    let dir = tempfile::tempdir().expect("dir");
    fs::create_dir(dir.path().join("real")).expect("mkdir");
    let (link, real) = (dir.path().join("link.jks"), dir.path().join("real/a.jks"));
    symlink("real/a.jks", &link).expect("link");
    let store = resolve(&link).expect("resolve");
    assert_eq!(
        fs::canonicalize(store.parent().expect("parent")).expect("real"),
        fs::canonicalize(dir.path().join("real")).expect("real")
    );
    put(&store, b"one").expect("put").old.ok_or(()).expect_err("new");
    assert_eq!(fs::read(&real).expect("read"), b"one");
    assert!(link.symlink_metadata().expect("meta").is_symlink());
    symlink("b", dir.path().join("a")).expect("link");
    symlink("a", dir.path().join("b")).expect("link");
    assert!(resolve(&dir.path().join("a")).is_err());
}

#[test]
fn going_back_twice_goes_further_back() {
    let dir = tempfile::tempdir().expect("dir");
    let store = dir.path().join("a.jks");
    for text in [b"one", b"two", b"six"] {
        let _ = put(&store, text).expect("put");
    }
    let steps = RefCell::new(Vec::new());
    let back = || {
        back(&store, &|s| {
            steps.borrow_mut().push(s);
            Ok(())
        })
    };
    assert!(back().expect("first").ends_with("a.jks.old-2"));
    assert_eq!(fs::read(&store).expect("read"), b"two");
    assert_eq!(fs::read(dir.path().join("a.jks.old-3")).expect("saved"), b"six");
    assert_eq!(*steps.borrow(), [Step::Save, Step::Rename, Step::SyncFolder]);
    assert!(back().expect("second").ends_with("a.jks.old-1"));
    assert_eq!(fs::read(&store).expect("read"), b"one");
    assert_eq!(back().expect_err("third").kind(), Kind::Refused);
    // A new one goes on from there, and what was rolled back from is not lost.
    let _ = put(&store, b"ten").expect("put");
    assert_eq!(fs::read(dir.path().join("a.jks.old-4")).expect("saved"), b"one");
    assert!(!names(dir.path()).iter().any(|n| n.ends_with(".tmp")), "{:?}", names(dir.path()));
}

#[test]
fn pruning_needs_number_and_age() {
    let dir = tempfile::tempdir().expect("dir");
    let store = dir.path().join("a.jks");
    for n in 0..5 {
        let _ = put(&store, &[n]).expect("put");
    }
    let newest = generations(&store).expect("list")[0].saved_ms;
    assert!(prune(&store, 2, 60_000, newest + 1000, false).expect("young").is_empty());
    assert_eq!(prune(&store, 2, 60_000, newest + 70_000, true).expect("dry").len(), 2);
    assert_eq!(prune(&store, 2, 60_000, newest + 70_000, false).expect("old").len(), 2);
    let left: Vec<_> = generations(&store).expect("list").iter().map(|g| g.number).collect();
    assert_eq!(left, [4, 3]);
}

#[test]
fn locks_exclude_and_clear_what_killed_runs_left() {
    let dir = tempfile::tempdir().expect("dir");
    let store = dir.path().join("a.jks");
    for (name, stays) in
        [(".a.jks.abc123.tmp", false), (".a.jks.mine.tmp", true), (".b.jks.abc123.tmp", true)]
    {
        fs::write(dir.path().join(name), b"x").expect("write");
        let lock = Lock::take(&store).expect("lock");
        assert_eq!(dir.path().join(name).exists(), stays, "{name}");
        drop(lock);
    }
    let _held = Lock::take(&store).expect("lock");
    assert_eq!(Lock::take(&store).expect_err("busy").kind(), Kind::Busy);
}

#[test]
fn readers_always_see_a_whole_store() {
    let dir = tempfile::tempdir().expect("dir");
    let store = dir.path().join("a.jks");
    let _ = put(&store, &[0; 50_000]).expect("put");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) || seen == 0 {
                let bytes = fs::read(&store).expect("there is always one");
                assert_eq!(bytes.len(), 50_000);
                assert!(bytes.iter().all(|b| *b == bytes[0]));
                seen += 1;
            }
        });
        for n in 1..=50 {
            let _ = put(&store, &[n; 50_000]).expect("put");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        reader.join().expect("reader");
    });
}

#[test]
fn attributes_are_kept() {
    let dir = tempfile::tempdir().expect("dir");
    let store = dir.path().join("a.jks");
    fs::write(&store, b"one").expect("write");
    let file = File::options().write(true).open(&store).expect("open");
    rustix::fs::fsetxattr(&file, "user.note", b"mine", rustix::fs::XattrFlags::empty())
        .expect("this file system has attributes");
    let _ = put(&store, b"two").expect("put");
    let mut value = [0u8; 16];
    let n = rustix::fs::getxattr(&store, "user.note", &mut value[..]).expect("kept");
    assert_eq!(&value[..n], b"mine");
}

#[test]
fn records_are_advice() {
    let dir = tempfile::tempdir().expect("dir");
    let store = dir.path().join("a.jks");
    assert_eq!(Record::read(&store), None);
    let mut record = Record::made("aa".into(), "bb".into(), 1_700_000_000_123);
    record.write(&store).expect("write");
    assert_eq!(Record::read(&store).as_ref(), Some(&record));
    // However many are distrusted.
    record.distrust = (0..50_000).map(|n| format!("{n:064x}")).collect();
    record.write(&store).expect("write");
    assert_eq!(Record::read(&store).as_ref(), Some(&record));
    record.notes = vec!["long".repeat(16 << 20)];
    assert!(record.write(&store).is_err(), "what would not be read again");
    record.notes.clear();
    assert_eq!(Record::read(&store), Some(record));
    fs::write(dir.path().join("a.jks.update.json"), b"{\"version\":9}").expect("write");
    assert_eq!(Record::read(&store), None);
}

#[test]
fn a_store_that_comes_to_be_what_it_was_is_no_generation() {
    let dir = tempfile::tempdir().expect("dir");
    let store = dir.path().join("a.jks");
    for text in [b"one", b"two", b"one"] {
        let _ = put(&store, text).expect("put");
    }
    // Made long ago, not in the same tick of the clock.
    let first = File::options().write(true).open(dir.path().join("a.jks.old-1")).expect("open");
    first.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("time");
    // Going back from the second "one" is to "two", though the first "one" has the same bytes.
    assert!(back(&store, &|_| Ok(())).expect("back").ends_with("a.jks.old-2"));
    assert_eq!(fs::read(&store).expect("read"), b"two");
}

#[test]
fn a_second_name_that_a_killed_run_left_is_used() {
    let dir = tempfile::tempdir().expect("dir");
    let store = dir.path().join("a.jks");
    let _ = put(&store, b"one").expect("put");
    fs::hard_link(&store, dir.path().join("a.jks.old-1")).expect("link");
    let done = put(&store, b"two").expect("put");
    assert_eq!(names(dir.path()), ["a.jks", "a.jks.old-1"]);
    // It was there before, so it stays when the commit is taken back.
    done.undo().expect("undo");
    assert_eq!(fs::read(&store).expect("read"), b"one");
    assert_eq!(names(dir.path()), ["a.jks", "a.jks.old-1"]);
}

#[test]
fn the_last_copies_of_a_store_are_not_pruned() {
    let dir = tempfile::tempdir().expect("dir");
    let store = dir.path().join("a.jks");
    for text in [b"one", b"two", b"six"] {
        let _ = put(&store, text).expect("put");
    }
    fs::remove_file(&store).expect("remove");
    assert_eq!(prune(&store, 0, 0, i64::MAX, false).expect_err("refused").kind(), Kind::Refused);
    assert!(back(&store, &|_| Ok(())).expect("back").ends_with("a.jks.old-2"));
    assert_eq!(prune(&store, 0, 0, i64::MAX, false).expect("now").len(), 2);
    assert_eq!(fs::read(&store).expect("read"), b"two");
}

#[test]
fn only_our_own_numbers_are_generations() {
    let dir = tempfile::tempdir().expect("dir");
    let store = dir.path().join("a.jks");
    let _ = put(&store, b"one").expect("put");
    for strange in ["0", "007", "1x", "", "-1", "+1", "99999999999999999999999"] {
        fs::write(dir.path().join(format!("a.jks.old-{strange}")), b"theirs").expect("write");
    }
    assert!(generations(&store).expect("list").is_empty());
    // The highest number there is leaves none for the next.
    fs::write(dir.path().join(format!("a.jks.old-{}", u64::MAX)), b"full").expect("write");
    assert_eq!(put(&store, b"two").expect_err("full").kind(), Kind::Write);
    assert_eq!(fs::read(&store).expect("read"), b"one");
}

#[test]
fn a_change_within_one_tick_is_noticed() {
    let dir = tempfile::tempdir().expect("dir");
    let store = dir.path().join("a.jks");
    fs::write(&store, b"one").expect("write");
    let (expected, time) = (identity(&store), fs::metadata(&store).expect("meta").modified().expect("time"));
    let file = File::options().write(true).open(&store).expect("open");
    std::io::Write::write_all(&mut &file, b"two").expect("write");
    file.set_modified(time).expect("time");
    assert_eq!(identity(&store), expected);
    let commit = |content| {
        commit(
            staged(&store, b"six"),
            &Commit { store: &store, expected, content, companions: &[], on_step: &|_| Ok(()) },
        )
    };
    assert_eq!(commit(Some(b"one")).expect_err("changed").kind(), Kind::Busy);
    assert_eq!(commit(Some(b"twofold")).expect_err("changed").kind(), Kind::Busy);
    let _ = commit(Some(b"two")).expect("the same");
}

#[test]
fn access_lists_are_the_store_s_own_and_not_the_folder_s() {
    let dir = tempfile::tempdir().expect("dir");
    let (plain, listed) = (dir.path().join("a.jks"), dir.path().join("b.jks"));
    // Owner rw, one more user rw, group none, mask rw, others none (linux/posix_acl_xattr.h).
    let entry = |tag: u16, perm: u16, id: u32| {
        [&tag.to_le_bytes()[..], &perm.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let list = [
        2u32.to_le_bytes().to_vec(),
        entry(1, 6, u32::MAX),
        entry(2, 6, 65534),
        entry(4, 0, u32::MAX),
        entry(16, 6, u32::MAX),
        entry(32, 0, u32::MAX),
    ]
    .concat();
    let set = |path: &Path, name: &str| {
        rustix::fs::setxattr(path, name, &list, rustix::fs::XattrFlags::empty()).expect("access lists")
    };
    for store in [&plain, &listed] {
        fs::write(store, b"one").expect("write");
        fs::set_permissions(store, fs::Permissions::from_mode(0o640)).expect("mode");
    }
    set(&listed, "system.posix_acl_access");
    set(dir.path(), "system.posix_acl_default");
    for store in [&plain, &listed] {
        let _ = put(store, b"two").expect("put");
    }
    let get = |path: &Path| {
        let mut value = [0u8; 256];
        rustix::fs::getxattr(path, "system.posix_acl_access", &mut value[..]).map(|n| value[..n].to_vec())
    };
    assert!(get(&plain).is_err(), "the folder's list got onto the store");
    assert_eq!(fs::metadata(&plain).expect("meta").mode() & 0o777, 0o640);
    assert_eq!(get(&listed).expect("kept"), list);
}

#[test]
fn leftovers_of_the_living_stay() {
    let dir = tempfile::tempdir().expect("dir");
    let store = dir.path().join("a.jks");
    let living = staged(&store, b"one");
    fs::write(dir.path().join(".a.jks.abc123.tmp"), b"dead").expect("write");
    clear_leftovers(&store);
    drop(Lock::take(&store).expect("lock"));
    let left: Vec<_> = names(dir.path()).into_iter().filter(|n| n.ends_with(".tmp")).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_ne!(left[0], ".a.jks.abc123.tmp");
    drop(living);
    assert_eq!(names(dir.path()), ["a.jks.lock"]);
}

const COMPANIONS: &[&str] = &["sth", "rdb", "crl"];

/// A kdb `old` with a stash and requests.
fn old_set(dir: &Path) -> PathBuf {
    for name in ["a.kdb", "a.sth", "a.rdb"] {
        fs::write(dir.join(name), "old").expect("write");
    }
    dir.join("a.kdb")
}

/// Its place is taken by a kdb `new` with a stash, a list of revocations, and no requests.
fn put_set(store: &Path, on_step: &dyn Fn(Step) -> Result<()>) -> Result<Committed> {
    let mut staging = staged(store, b"new");
    for suffix in ["sth", "crl"] {
        staging.companion(suffix).and_then(|mut f| f.put(b"new")).expect("staged");
    }
    staging.leave_out("rdb");
    let how =
        Commit { store, expected: identity(store), content: Some(b"old"), companions: COMPANIONS, on_step };
    commit(staging, &how)
}

/// What the set holds, as a reader finds it; panics where it is of two generations.
fn seen_set(dir: &Path) -> String {
    let read = |suffix: &str| fs::read_to_string(dir.join("a.kdb").with_extension(suffix)).ok();
    let all = ["kdb", "sth", "rdb", "crl"].map(read);
    match all.each_ref().map(|t| t.as_deref()) {
        [Some("old"), Some("old"), Some("old"), None] => "old".to_owned(),
        [Some("new"), Some("new"), None, Some("new")] => "new".to_owned(),
        mixed => panic!("{mixed:?}"),
    }
}

#[test]
fn a_set_changes_as_one() {
    let dir = tempfile::tempdir().expect("dir");
    let store = old_set(dir.path());
    let steps = RefCell::new(Vec::new());
    let done = put_set(&store, &|s| {
        steps.borrow_mut().push((s, seen_set(dir.path())));
        Ok(())
    });
    let done = done.expect("committed");
    let renames: Vec<_> = steps.take().into_iter().filter(|(s, _)| *s == Step::Rename).collect();
    assert!(renames.len() == 5 && renames.iter().all(|(_, seen)| seen == "old"), "{renames:?}");
    assert_eq!(seen_set(dir.path()), "new");
    assert_eq!(names(dir.path()), ["a.crl", "a.kdb", "a.kdb.old-1", "a.sth"]);
    assert_eq!(names(&dir.path().join("a.kdb.old-1")), ["a.kdb", "a.rdb", "a.sth"]);
    assert!(fs::symlink_metadata(&store).expect("meta").is_file());
    assert_eq!(generations(&store).expect("listed").len(), 1);
    done.undo().expect("undo");
    assert_eq!(seen_set(dir.path()), "old");
    assert_eq!(names(dir.path()), ["a.kdb", "a.rdb", "a.sth"]);
}

#[test]
fn a_set_stays_as_it_was_whichever_step_fails() {
    for nth in 0.. {
        let dir = tempfile::tempdir().expect("dir");
        let store = old_set(dir.path());
        let left = Cell::new(nth);
        let stop = |_: Step| match left.replace(left.get() - 1) {
            0 => Err(Error::new(Kind::Write, "stopped")),
            _ => Ok(()),
        };
        let outcome = put_set(&store, &stop);
        if outcome.is_ok() {
            assert!(nth > 10, "{nth}");
            return;
        }
        assert_eq!(seen_set(dir.path()), "old", "{nth}");
        assert_eq!(names(dir.path()), ["a.kdb", "a.rdb", "a.sth"], "{nth}");
    }
}

#[test]
fn a_set_comes_back_as_one() {
    let dir = tempfile::tempdir().expect("dir");
    let store = old_set(dir.path());
    let _ = put_set(&store, &|_| Ok(())).expect("committed");
    // A change of the store alone, then back over both.
    let how = Commit {
        store: &store,
        expected: identity(&store),
        content: None,
        companions: COMPANIONS,
        on_step: &|_| Ok(()),
    };
    let _ = commit(staged(&store, b"newer"), &how).expect("committed");
    assert!(back(&store, &|_| Ok(())).expect("back").ends_with("a.kdb.old-2"));
    assert_eq!(seen_set(dir.path()), "new");
    let watched = back(&store, &|_| {
        seen_set(dir.path());
        Ok(())
    });
    assert!(watched.expect("back").ends_with("a.kdb.old-1"));
    assert_eq!(seen_set(dir.path()), "old");
    // What was there before is kept whole, and not gone back to.
    assert_eq!(names(&dir.path().join("a.kdb.old-4")), ["a.crl", "a.kdb", "a.sth"]);
    assert!(back(&store, &|_| Ok(())).is_err());
    let gone = prune(&store, 0, 0, i64::MAX, false).expect("pruned");
    assert_eq!(gone.len(), 4, "{gone:?}");
    assert_eq!(names(dir.path()), ["a.kdb", "a.rdb", "a.sth"]);
}

#[test]
fn old_generations_by_name() {
    let of = |path: &str| generation_of(Path::new(path));
    let is = |store: &str, number| Some((Path::new(store).to_owned(), number));
    assert_eq!(of("/a/b.jks.old-12"), is("/a/b.jks", 12));
    assert_eq!(of("/a/db.old-3/"), is("/a/db", 3));
    assert_eq!(of("a.kdb.old-1.old-2"), is("a.kdb.old-1", 2));
    assert_eq!(of("/a/b.kdb.old-3/b.kdb"), is("/a/b.kdb", 3));
    for none in ["/a.old-3/b.jks", "b.jks", "b.jks.old-", "b.jks.old-x", "b.jks.old-01", "/"] {
        assert_eq!(of(none), None, "{none}");
    }
}

#[test]
fn names_that_a_killed_run_left_as_links_are_files_again() {
    for flipped in [false, true] {
        let dir = tempfile::tempdir().expect("dir");
        let store = old_set(dir.path());
        let new = dir.path().join(".a.kdb.abcdef.new.tmp");
        for folder in [&dir.path().join("a.kdb.old-1"), &new] {
            fs::create_dir(folder).expect("folder");
        }
        for name in ["a.kdb", "a.sth", "a.rdb"] {
            fs::rename(dir.path().join(name), dir.path().join("a.kdb.old-1").join(name)).expect("moved");
        }
        for name in ["a.kdb", "a.sth", "a.crl"] {
            fs::write(new.join(name), "new").expect("write");
        }
        for name in ["a.kdb", "a.sth", "a.rdb", "a.crl"] {
            symlink(Path::new(".a.kdb.set").join(name), dir.path().join(name)).expect("link");
        }
        let target = if flipped { ".a.kdb.abcdef.new.tmp" } else { "a.kdb.old-1" };
        symlink(target, dir.path().join(".a.kdb.set")).expect("link");
        let seen = if flipped { "new" } else { "old" };
        assert_eq!(seen_set(dir.path()), seen);
        // Nobody clears away what the names lead to.
        clear_leftovers(&store);
        assert_eq!(seen_set(dir.path()), seen);
        assert_eq!(resolve(&store).expect("resolved"), store);
        drop(Lock::take(&store).expect("lock"));
        assert_eq!(seen_set(dir.path()), seen);
        let others: &[&str] = if flipped { &["a.crl", "a.kdb"] } else { &["a.kdb"] };
        let after: &[&str] = if flipped { &["a.sth"] } else { &["a.rdb", "a.sth"] };
        let lock = &["a.kdb.lock", "a.kdb.old-1"];
        assert_eq!(names(dir.path()), [others, lock, after].concat(), "{flipped}");
    }
}

#[test]
fn leftovers_by_name() {
    for yes in ["a.jks.old-3", "a.jks.lock", ".a.jks.x1.tmp", "a.jks.update.json", "a.jks.staged"] {
        assert!(is_leftover(yes.as_ref()), "{yes}");
    }
    for no in ["a.jks", "old-3", "a.old-", "a.old-x", "lock"] {
        assert!(!is_leftover(no.as_ref()), "{no}");
    }
}
