//! How a rebuilt store takes the place of the current one: interrupted at every step, watched by readers,
//! locked by others, refused, rolled back.

use crate::support::{Passwords, Ran, World, keyferry, must, run, scratch, seen, testdata};
use formats::place::Source;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

const PASSWORD: &str = "demo-only";
/// The formats that a client's store may have, by file name.
const STORES: &[&str] = &["client.jks", "client.jceks", "client.p12", "client.pem"];
/// Every step of a commit, as failpoints name them.
const STEPS: &[&str] = &["sync", "check", "save", "rename", "syncfolder"];

/// A folder with two bundles, of 142 and of 100 certificates.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = scratch();
        let whole = std::fs::read_to_string(testdata("demo/ca-bundle.pem")).unwrap();
        let end = "-----END CERTIFICATE-----\n";
        let part: String = whole.split_inclusive(end).take(100).collect();
        std::fs::write(dir.path().join("whole.bundle"), &whole).unwrap();
        std::fs::write(dir.path().join("part.bundle"), part).unwrap();
        // Made where the tests can't count on its being the same for two releases of a distribution.
        assert_eq!(whole.matches(end).count(), 142);
        Place { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `keyferry rebuild STORE… --bundle BUNDLE`, to be completed.
    fn rebuild(&self, stores: &[&str], bundle: &str) -> Command {
        let mut command = keyferry();
        command.current_dir(self.dir.path()).arg("rebuild").args(stores).args(["--bundle", bundle]);
        command.env("KEYFERRY_PASSWORD", PASSWORD);
        command
    }

    /// Makes the stores, with alice's key and the whole bundle.
    fn fresh(&self, stores: &[&str]) {
        let key = testdata("demo/alice.p12");
        must(self.rebuild(stores, "whole.bundle").arg("--key").arg(key));
        for store in stores {
            assert_eq!(self.content(store), Content { keys: 1, certs: 142 }, "{store}");
        }
    }

    fn content(&self, store: &str) -> Content {
        content(&self.path(store))
    }

    /// Every name in the folder, sorted.
    fn names(&self) -> Vec<String> {
        let list = std::fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<_> = list.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// What a complete store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Content {
    keys: usize,
    certs: usize,
}

const OLD: Content = Content { keys: 1, certs: 142 };
const NEW: Content = Content { keys: 1, certs: 100 };

/// Reads the store, opens its key; panics when that can't be done.
fn content(path: &Path) -> Content {
    try_content(path).unwrap_or_else(|e| panic!("{e}"))
}

fn try_content(path: &Path) -> formats::Result<Content> {
    let (world, secrets) = (World::new(), Passwords::one(PASSWORD));
    let loaded = world.load(&Source::open(path)?, &secrets)?;
    let entries = seen(&loaded.store, &world.ctx(&secrets))?;
    let keys = entries.iter().filter(|e| e.kind == "key").count();
    Ok(Content { keys, certs: entries.iter().filter(|e| e.kind == "cert").count() })
}

#[test]
fn a_crash_at_any_step_leaves_a_whole_store() {
    for store in STORES {
        for step in STEPS {
            let place = Place::new();
            place.fresh(&[store]);
            let ran = run(place.rebuild(&[store], "part.bundle").env("KEYFERRY_FAILPOINT", step));
            // Killed by its own abort, not ended by any status.
            assert_eq!(ran.status, -1, "{store} {step}: not interrupted: {}", ran.err);
            let now = place.content(store);
            let expected = if *step == "syncfolder" { NEW } else { OLD };
            assert_eq!(now, expected, "{store} {step}");
            must(&mut place.rebuild(&[store], "part.bundle"));
            assert_eq!(place.content(store), NEW, "{store} {step}");
            let litter: Vec<_> = place.names().into_iter().filter(|n| n.ends_with(".tmp")).collect();
            assert!(litter.is_empty(), "{store} {step}: {litter:?}");
        }
    }
}

#[test]
fn a_crash_between_two_stores_leaves_both_whole() {
    for n in 1..=2 {
        let place = Place::new();
        place.fresh(&STORES[..2]);
        let mut command = place.rebuild(&STORES[..2], "part.bundle");
        assert_eq!(run(command.env("KEYFERRY_FAILPOINT", format!("rename:{n}"))).status, -1);
        for store in &STORES[..2] {
            let now = place.content(store);
            assert!(now == OLD || now == NEW, "{store}: {now:?}");
        }
        must(&mut place.rebuild(&STORES[..2], "part.bundle"));
        assert!(STORES[..2].iter().all(|s| place.content(s) == NEW));
    }
}

#[test]
fn a_rebuild_that_changes_nothing_writes_nothing() {
    let place = Place::new();
    place.fresh(STORES);
    let state = |store: &&str| {
        let meta = std::fs::metadata(place.path(store)).unwrap();
        (meta.ino(), meta.mtime(), meta.mtime_nsec(), std::fs::read(place.path(store)).unwrap())
    };
    let before: Vec<_> = STORES.iter().map(state).collect();
    let names = place.names();
    must(&mut place.rebuild(STORES, "whole.bundle"));
    assert_eq!(STORES.iter().map(state).collect::<Vec<_>>(), before);
    assert_eq!(place.names(), names);
}

#[test]
fn a_dry_run_writes_nothing() {
    let place = Place::new();
    place.fresh(STORES);
    let before: Vec<_> = STORES.iter().map(|s| std::fs::read(place.path(s)).unwrap()).collect();
    let names = place.names();
    let ran = must(place.rebuild(STORES, "part.bundle").arg("--dry-run"));
    assert!(ran.out.contains("42") || ran.err.contains("42"), "no word of 42 certificates: {}", ran.out);
    assert_eq!(STORES.iter().map(|s| std::fs::read(place.path(s)).unwrap()).collect::<Vec<_>>(), before);
    assert_eq!(place.names(), names);
    // Not even a store that isn't there yet.
    let key = testdata("demo/alice.p12");
    must(place.rebuild(&["absent.jks"], "whole.bundle").args(["--dry-run", "--key"]).arg(key));
    assert_eq!(place.names(), names);
}

#[test]
fn readers_see_one_generation_or_the_other() {
    let place = Place::new();
    let stores = &STORES[..3];
    place.fresh(stores);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = stores
            .iter()
            .map(|store| {
                let (path, done) = (place.path(store), &done);
                scope.spawn(move || {
                    let mut reads = 0;
                    while !done.load(Ordering::Relaxed) {
                        let now = content(&path);
                        assert!(now == OLD || now == NEW, "{}: {now:?}", path.display());
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        for n in 0..12 {
            let bundle = if n % 2 == 0 { "part.bundle" } else { "whole.bundle" };
            must(&mut place.rebuild(stores, bundle));
        }
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap() > 5, "a reader hardly read");
        }
    });
}

#[test]
fn a_locked_store_is_left_alone() {
    let place = Place::new();
    place.fresh(&["client.jks"]);
    // Another run of the program is one that holds the lock file.
    let lock = place.path("client.jks.lock");
    let mut holder = Command::new("flock")
        .arg(&lock)
        .args(["sh", "-c", "echo held; read line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(holder.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let ran = run(&mut place.rebuild(&["client.jks"], "part.bundle"));
    drop(holder.stdin.take());
    holder.wait().unwrap();
    assert_eq!(ran.status, 6, "{}", ran.err);
    assert_eq!(place.content("client.jks"), OLD);
    must(&mut place.rebuild(&["client.jks"], "part.bundle"));
}

#[test]
fn a_failing_command_brings_the_old_stores_back() {
    let place = Place::new();
    place.fresh(&STORES[..2]);
    let before: Vec<_> = STORES[..2].iter().map(|s| std::fs::read(place.path(s)).unwrap()).collect();
    let ran = run(place.rebuild(&STORES[..2], "part.bundle").args(["--exec", "exit 3"]));
    assert_eq!(ran.status, 7, "{}", ran.err);
    let after: Vec<_> = STORES[..2].iter().map(|s| std::fs::read(place.path(s)).unwrap()).collect();
    assert!(before == after);
    // The command sees the new stores, and runs only when something changed.
    let seen = place.path("seen");
    let exec = format!("cp client.jks {}", seen.display());
    must(place.rebuild(&STORES[..2], "part.bundle").args(["--exec", &exec]));
    assert_eq!(content(&seen), NEW);
    std::fs::remove_file(&seen).unwrap();
    must(place.rebuild(&STORES[..2], "part.bundle").args(["--exec", &exec]));
    assert!(!seen.exists());
}

#[test]
fn the_key_stays_unless_somebody_gives_another() {
    let place = Place::new();
    place.fresh(STORES);
    must(&mut place.rebuild(STORES, "part.bundle"));
    for store in STORES {
        assert_eq!(place.content(store), NEW, "{store}");
    }
    // A source that lacks the current key would lose it.
    let other = testdata("java/material/ec.key");
    let chain = testdata("java/material/ec.chain");
    let both = place.path("other.pem");
    std::fs::write(&both, [std::fs::read(other).unwrap(), std::fs::read(chain).unwrap()].concat()).unwrap();
    let refused = run(place.rebuild(&["client.jks"], "whole.bundle").arg("--key").arg(&both));
    assert_eq!(refused.status, 5, "{}", refused.err);
    assert_eq!(place.content("client.jks"), NEW);
    must(place.rebuild(&["client.jks"], "whole.bundle").args(["--allow-loss", "--key"]).arg(&both));
    assert_eq!(place.content("client.jks"), OLD);
}

#[test]
fn a_bundle_that_is_no_bundle_is_refused() {
    let place = Place::new();
    place.fresh(&["client.jks"]);
    std::fs::write(place.path("empty.bundle"), "nothing here\n").unwrap();
    let ran = run(&mut place.rebuild(&["client.jks"], "empty.bundle"));
    assert_eq!(ran.status, 3, "{}", ran.err);
    // A private key has no business in what everybody downloads.
    std::fs::copy(testdata("demo/alice.p12"), place.path("key.bundle")).unwrap();
    let ran = run(&mut place.rebuild(&["client.jks"], "key.bundle"));
    assert_eq!(ran.status, 5, "{}", ran.err);
    let ran = run(&mut place.rebuild(&["client.jks"], "absent.bundle"));
    assert_eq!(ran.status, 3, "{}", ran.err);
    assert_eq!(place.content("client.jks"), OLD);
}

#[test]
fn a_wrong_password_changes_nothing() {
    let place = Place::new();
    place.fresh(STORES);
    for store in STORES {
        let ran = run(place.rebuild(&[store], "part.bundle").env("KEYFERRY_PASSWORD", "wrong"));
        assert_eq!(ran.status, 4, "{store}: {}", ran.err);
        assert_eq!(place.content(store), OLD, "{store}");
    }
}

#[test]
fn rollback_goes_back_and_not_to_and_fro() {
    let place = Place::new();
    place.fresh(&["client.p12"]);
    let first = std::fs::read(place.path("client.p12")).unwrap();
    must(&mut place.rebuild(&["client.p12"], "part.bundle"));
    let rollback =
        || -> Ran { run(keyferry().current_dir(place.dir.path()).args(["rollback", "client.p12"])) };
    assert_eq!(rollback().status, 0);
    assert!(std::fs::read(place.path("client.p12")).unwrap() == first);
    // There is nothing older: a second one must not go forward again.
    let second = rollback();
    assert_ne!(second.status, 0, "{}", second.out);
    assert!(std::fs::read(place.path("client.p12")).unwrap() == first);
}

#[test]
fn links_and_modes_stay() {
    let place = Place::new();
    place.fresh(&["client.jks"]);
    let mode = |name: &str| std::fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("client.jks"), 0o600);
    std::fs::set_permissions(place.path("client.jks"), std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("client.jks", place.path("link.jks")).unwrap();
    must(&mut place.rebuild(&["link.jks"], "part.bundle"));
    assert!(std::fs::symlink_metadata(place.path("link.jks")).unwrap().is_symlink());
    assert_eq!(place.content("client.jks"), NEW);
    assert_eq!(mode("client.jks"), 0o640);
}

#[test]
fn old_generations_are_kept_and_counted() {
    let place = Place::new();
    place.fresh(&["client.jks"]);
    for n in 0..4 {
        let bundle = if n % 2 == 0 { "part.bundle" } else { "whole.bundle" };
        must(&mut place.rebuild(&["client.jks"], bundle));
    }
    let old: Vec<_> = place.names().into_iter().filter(|n| n.starts_with("client.jks.old-")).collect();
    // None is over seven days old, so none may go yet.
    assert_eq!(old.len(), 4, "{old:?}");
    for name in &old {
        let now = place.content(name);
        assert!(now == OLD || now == NEW, "{name}: {now:?}");
    }
}
