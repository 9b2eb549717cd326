//! Root in users' homes: a thousand of them at once, users who put links where root will look, users who swap them
//! while it looks, homes that hang. Only root can run these; for others there is nothing to test.

use crate::apply::Machine;
use crate::support::{Passwords, Ran, World, keyferry, must, run, seen};
use formats::place::Source;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Users without an entry in the system's database.
const FIRST: u32 = 20_000;

/// A machine whose stores hold ann's or bob's key, its homes, and a folder of root's that is nobody else's business.
struct Homes {
    machine: Machine,
}

impl Homes {
    /// `None` for those who aren't root.
    fn new() -> Option<Homes> {
        if !rustix::process::geteuid().is_root() {
            crate::support::skipped("only root goes into other users' homes");
            return None;
        }
        let machine = Machine::new(&["ann", "bob"]);
        machine.store("template-ann.p12", "ann");
        machine.store("template-bob.p12", "bob");
        machine.store("victim/client.p12", "root");
        std::fs::write(machine.path("victim/secret"), SECRET).unwrap();
        for name in ["client.p12", "secret"] {
            mode(&machine.path("victim").join(name), 0o600);
        }
        std::fs::create_dir(machine.path("home")).unwrap();
        machine.publish(&["ann", "bob", "root"], &[]);
        Some(Homes { machine })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.machine.path(&format!("home/{name}"))
    }

    /// A folder in the homes, with those above it.
    fn folder(&self, name: &str, uid: u32) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).unwrap();
        for place in path.ancestors().take_while(|p| !p.ends_with("home")) {
            lchown(place, Some(uid), Some(uid)).unwrap();
        }
        path
    }

    /// `home/NAME/client.p12` with a key, and all of it one user's.
    fn client(&self, folder: &str, uid: u32, person: &str) -> PathBuf {
        let store = self.folder(folder, uid).join("client.p12");
        std::fs::copy(self.machine.path(&format!("template-{person}.p12")), &store).unwrap();
        mode(&store, 0o600);
        lchown(&store, Some(uid), Some(uid)).unwrap();
        store
    }

    fn configure(&self, pattern: &str, more: &str, rule: &str) {
        let gates = "gates = { new_cas = false }";
        self.machine.configure(&format!("{gates}\n{more}"), &self.machine.rule(pattern, rule));
    }

    /// That nothing of root's came to harm, since `before`.
    #[track_caller]
    fn victim_is(&self, before: &Snapshot) {
        assert_eq!(&snapshot(&self.machine.path("victim")), before);
    }
}

const SECRET: &str = "nobody else may read this";

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn link(target: impl AsRef<Path>, link: &Path, uid: u32) {
    symlink(target, link).unwrap();
    lchown(link, Some(uid), Some(uid)).unwrap();
}

/// All that can be seen of the files in a folder.
type Snapshot = BTreeMap<String, (u64, u32, u32, u32, i64, i64, Vec<u8>)>;

fn snapshot(folder: &Path) -> Snapshot {
    let list = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    list.map(|path| {
        let m = path.symlink_metadata().unwrap();
        let bytes = std::fs::read(&path).unwrap_or_default();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, (m.ino(), m.mode(), m.uid(), m.gid(), m.mtime(), m.mtime_nsec(), bytes))
    })
    .collect()
}

/// The hash of a store's one key, and how many entries it has; `None` where it can't be read.
fn key_of(store: &Path) -> Option<(String, usize)> {
    let (world, secrets) = (World::new(), Passwords::one("client-password"));
    let source = Source::open(store).ok()?;
    let loaded = world.load(&source, &secrets).ok()?;
    let entries = seen(&loaded.store, &world.ctx(&secrets)).ok()?;
    let key = entries.iter().find_map(|e| e.secret.clone())?;
    Some((key, entries.len()))
}

#[test]
fn a_thousand_homes_each_with_its_own_key() {
    let Some(homes) = Homes::new() else { return };
    // What they cost, benches/homes.py measures.
    let count = 1_000u32;
    let people = ["ann", "bob"];
    let person = |n: u32| people[n as usize % 2];
    let keys = people.map(|p| key_of(&homes.machine.path(&format!("template-{p}.p12"))).unwrap().0);
    let damaged = [1, count / 2, count - 2];
    for n in 0..count {
        let store = homes.client(&format!("u{n:04}"), FIRST + n, person(n));
        if damaged.contains(&n) {
            std::fs::write(&store, "damaged").unwrap();
        }
    }
    homes.configure("home/*/client.p12", "", "");
    let done = homes.machine.apply(&[]);
    assert_eq!(done.status, 8, "{}{}", done.out, done.err);
    for n in 0..count {
        let store = homes.path(&format!("u{n:04}/client.p12"));
        if damaged.contains(&n) {
            assert_eq!(std::fs::read(&store).unwrap(), b"damaged");
            assert!(
                done.err.contains(&*store.to_string_lossy()),
                "{} is not named: {}",
                store.display(),
                done.err
            );
            continue;
        }
        assert_eq!(key_of(&store), Some((keys[n as usize % 2].clone(), 3)), "{}", store.display());
        for file in std::fs::read_dir(store.parent().unwrap()).unwrap() {
            let meta = file.unwrap().metadata().unwrap();
            assert_eq!((meta.mode() & 0o777, meta.uid(), meta.gid()), (0o600, FIRST + n, FIRST + n));
        }
    }
    assert_eq!(done.err.matches("keyferry: ").count(), damaged.len(), "{}", done.err);
    let again = homes.machine.apply(&[]);
    assert_eq!(again.status, 8, "{}", again.err);
}

#[test]
fn links_lead_nobody_out_of_his_home() {
    let Some(homes) = Homes::new() else { return };
    let victim = homes.machine.path("victim");
    let at = |name: &str| homes.path(&format!("{name}/mqs/client.p12"));
    let good = ["plain", "store", "folder", "whole", "moved"];
    homes.client("plain/mqs", FIRST, "ann");
    // Links that stay inside are followed, and stay.
    homes.client("store/keep", FIRST + 1, "ann");
    homes.folder("store/mqs", FIRST + 1);
    link("../keep/client.p12", &at("store"), FIRST + 1);
    homes.client("folder/keep", FIRST + 2, "ann");
    link("keep", &homes.path("folder/mqs"), FIRST + 2);
    homes.client("whole/keep", FIRST + 3, "ann");
    link(homes.path("whole/keep"), &homes.path("whole/mqs"), FIRST + 3);
    // So are root's own.
    std::fs::create_dir(homes.machine.path("disk")).unwrap();
    std::fs::rename(
        {
            homes.client("away/mqs", FIRST + 4, "ann");
            homes.path("away")
        },
        homes.machine.path("disk/away"),
    )
    .unwrap();
    symlink("../disk/away", homes.path("moved")).unwrap();
    // A home without a store is none of ours.
    homes.folder("empty", FIRST + 5);
    homes.folder("vacant/mqs", FIRST + 5);

    let bad = ["out", "file", "up", "dangling", "roots", "stray", "pipe", "shared"];
    homes.folder("out", FIRST + 6);
    link(&victim, &homes.path("out/mqs"), FIRST + 6);
    homes.folder("file/mqs", FIRST + 7);
    link(victim.join("client.p12"), &at("file"), FIRST + 7);
    homes.folder("up", FIRST + 8);
    link("../plain/mqs", &homes.path("up/mqs"), FIRST + 8);
    homes.folder("dangling/mqs", FIRST + 9);
    link("nowhere", &at("dangling"), FIRST + 9);
    // Root's file in a user's home is nothing that root works on there.
    homes.client("roots/mqs", FIRST + 10, "ann");
    lchown(at("roots"), Some(0), Some(0)).unwrap();
    link(&victim, &homes.path("stray"), FIRST + 11);
    homes.folder("pipe/mqs", FIRST + 12);
    mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    lchown(at("pipe"), Some(FIRST + 12), Some(FIRST + 12)).unwrap();
    // Where a group can write, anybody of it can put links.
    homes.client("shared/mqs", 0, "ann");
    mode(&homes.path("shared"), 0o775);

    let before = snapshot(&victim);
    let untouched = ["roots", "shared"].map(|n| std::fs::read(at(n)).unwrap());
    homes.configure("home/*/mqs/client.p12", "limit = \"20s\"", "");
    let done = homes.machine.apply(&[]);
    assert_eq!(done.status, 8, "{}{}", done.out, done.err);
    homes.victim_is(&before);
    assert_eq!(["roots", "shared"].map(|n| std::fs::read(at(n)).unwrap()), untouched);
    let named = |ran: &Ran, name: &str| ran.err.contains(&format!("home/{name}"));
    // Nor does who only looks see more than its owner.
    let status = homes.machine.ends(&["status", "--config", "k.toml"]);
    assert_eq!(status.status, 8, "{}{}", status.out, status.err);
    for ran in [&done, &status] {
        bad.iter().for_each(|name| assert!(named(ran, name), "{name} is not named: {}", ran.err));
    }
    for name in &good {
        assert!(status.out.contains(&format!("home/{name}/mqs/client.p12  p12")), "{name}: {}", status.out);
    }
    for name in ["empty", "vacant"] {
        assert!(!named(&done, name), "{}", done.err);
    }
    for name in good {
        assert!(!named(&done, name), "{name}: {}", done.err);
        assert_eq!(key_of(&at(name)).unwrap().1, 3, "{name}: {}{}", done.out, done.err);
    }
    assert!(at("store").symlink_metadata().unwrap().is_symlink());
    assert!(homes.path("folder/mqs").symlink_metadata().unwrap().is_symlink());
    assert!(done.err.contains("leads out of its owner's folder"), "{}", done.err);
}

#[test]
fn older_systems_let_nobody_out_either() {
    let Some(homes) = Homes::new() else { return };
    homes.client("plain/mqs", FIRST, "ann");
    homes.client("folder/keep", FIRST + 2, "ann");
    link("keep", &homes.path("folder/mqs"), FIRST + 2);
    homes.folder("out", FIRST + 6);
    link(homes.machine.path("victim"), &homes.path("out/mqs"), FIRST + 6);
    homes.configure("home/*/mqs/client.p12", "", "");
    let before = snapshot(&homes.machine.path("victim"));
    let mut traced = Command::new("strace");
    traced.args(["-f", "-o", "/dev/null", "-e", "trace=openat2", "-e", "inject=openat2:error=ENOSYS"]);
    traced.arg(env!("CARGO_BIN_EXE_keyferry")).args(["apply", "--config", "k.toml"]);
    let done = run(traced.current_dir(homes.machine.dir.path()));
    assert_eq!(done.status, 8, "{}{}", done.out, done.err);
    homes.victim_is(&before);
    assert_eq!(key_of(&homes.path("plain/mqs/client.p12")).unwrap().1, 3);
    assert!(done.err.contains("home/out") && !done.err.contains("home/folder"), "{}", done.err);
    assert_eq!(key_of(&homes.path("folder/mqs/client.p12")).unwrap().1, 3);
}

#[test]
fn workers_have_nothing_of_roots() {
    let Some(homes) = Homes::new() else { return };
    homes.client("ann", FIRST, "ann");
    // A folder of a group that its owner is not in gives no rights of that group's.
    homes.client("lent/mqs", FIRST + 1, "ann");
    lchown(homes.path("lent/mqs"), Some(FIRST + 1), Some(4)).unwrap();
    // The system knows this one, and his group.
    homes.client("daemon", 1, "ann");
    lchown(homes.path("daemon"), Some(1), Some(0)).unwrap();
    let look = "cd $(dirname $KEYFERRY_STORES); exec >seen 2>&1; id -u; id -g; id -G; env; ls /proc/self/fd; \
                cat /proc/$PPID/environ; read -r _ _ _ _ _ s _ </proc/$$/stat; echo session $s of $PPID";
    let after = format!("after = [[\"/bin/sh\", \"-c\", '{look}']]");
    let rules = ["home/*/client.p12", "home/*/mqs/client.p12"].map(|p| homes.machine.rule(p, &after));
    homes.machine.configure("gates = { new_cas = false }", &rules.concat());
    let secret = homes.machine.text("victim/secret");
    let open = format!("exec 9<{secret}; exec \"$0\" apply --config k.toml");
    let mut shell = Command::new("bash");
    shell.args(["-c", &open, env!("CARGO_BIN_EXE_keyferry")]).current_dir(homes.machine.dir.path());
    let done = run(shell.env("KEYFERRY_PASSWORD", "wrong").env("SECRET", SECRET).env("USER", "root"));
    assert_eq!(done.status, 0, "{}{}", done.out, done.err);
    for (folder, uid, home) in [
        ("ann", FIRST, homes.path("ann")),
        ("lent/mqs", FIRST + 1, homes.path("lent")),
        ("daemon", 1, PathBuf::from("/usr/sbin")),
    ] {
        let file = homes.path(folder).join("seen");
        assert_eq!(file.metadata().unwrap().uid(), uid);
        let text = std::fs::read_to_string(file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let number = uid.to_string();
        assert_eq!(lines[..3], [&number, &number, &number], "{text}");
        assert!(text.contains(&format!("HOME={}\n", home.display())), "{text}");
        assert!(
            !text.contains("SECRET") && !text.contains(SECRET) && !text.contains("KEYFERRY_PASSWORD"),
            "{text}"
        );
        assert_eq!(text.contains("USER="), uid == 1, "{text}");
        // Its own three, and the folder that ls reads.
        assert!(text.contains("\n0\n1\n2\n3\n") && !text.contains("\n4\n"), "{text}");
        // Neither the worker's environment nor the caller's terminal.
        assert_eq!(text.matches("/environ").count(), 1, "{text}");
        let session: Vec<&str> = lines.last().unwrap().split(' ').collect();
        assert!(session[0] == "session" && session[1] == session[3], "{text}");
    }
}

#[test]
fn a_home_that_hangs_stalls_nobody() {
    let Some(homes) = Homes::new() else { return };
    for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
        let uid = FIRST + n as u32;
        homes.client(name, uid, "ann");
        let password = homes.path(name).join("pw");
        if name == "b" {
            mknodat(CWD, &password, FileType::Fifo, Mode::RUSR, 0).unwrap();
        } else {
            std::fs::write(&password, "client-password\n").unwrap();
        }
        lchown(&password, Some(uid), Some(uid)).unwrap();
    }
    homes.configure("home/*/client.p12", "limit = \"3s\"\njobs = 1", "");
    let text = std::fs::read_to_string(homes.machine.path("k.toml")).unwrap();
    let (all, own) = (homes.machine.text("pw"), homes.machine.text("home/*/pw"));
    std::fs::write(homes.machine.path("k.toml"), text.replace(&all, &own)).unwrap();
    let done = homes.machine.apply(&[]);
    assert_eq!(done.status, 8, "{}{}", done.out, done.err);
    assert!(done.err.contains("home/b/client.p12: took longer than 3 s"), "{}", done.err);
    for name in ["a", "c"] {
        assert_eq!(key_of(&homes.path(name).join("client.p12")).unwrap().1, 3, "{name}");
    }
    assert!(
        !run(Command::new("pgrep").args(["-u", &(FIRST + 1).to_string()]))
            .out
            .contains(|c: char| c.is_ascii_digit())
    );
}

#[test]
fn who_swaps_links_while_root_works_gains_nothing() {
    let Some(homes) = Homes::new() else { return };
    let seconds: u64 = std::env::var("RACE_SECONDS").ok().and_then(|n| n.parse().ok()).unwrap_or(4);
    let evil = FIRST + 66;
    homes.client("evil/mqs", evil, "ann");
    homes.client("good/mqs", FIRST, "bob");
    homes.configure("home/*/mqs/client.p12", "", "keep = 1\nretention = \"0s\"");
    let (victim, home) = (homes.machine.path("victim"), homes.path("evil"));
    let (before, root_key) = (snapshot(&victim), key_of(&victim.join("client.p12")).unwrap().0);
    let done = AtomicBool::new(false);
    let (mut failed, mut worked, mut runs) = (0, 0, 0);
    std::thread::scope(|scope| {
        let swapper = scope.spawn(|| swap(&home, &victim, evil, false, &done));
        let _end = End(&done);
        let (begun, end) = (Instant::now(), Duration::from_secs(seconds));
        let last = end + Duration::from_secs(30);
        // Until both have won, and lost.
        while begun.elapsed() < end || (failed == 0 || worked == 0) && begun.elapsed() < last {
            // New each time, so that there is something to do.
            let people = if runs % 2 == 0 { &["ann", "bob"][..] } else { &["ann", "bob", "root"] };
            homes.machine.publish(people, &[]);
            let ran = homes.machine.apply(&["--approve", "removals"]);
            runs += 1;
            failed += usize::from(ran.status != 0);
            worked += usize::from(ran.out.contains("home/evil/mqs/client.p12: p12: replaced"));
            homes.victim_is(&before);
        }
        done.store(true, Ordering::Relaxed);
        let swaps = swapper.join().unwrap();
        eprintln!("{runs} runs, {swaps} swaps: {failed} failed, {worked} wrote the store");
        assert!(swaps > 5 && failed > 0 && worked > 0, "{swaps} {failed} {worked}");
    });
    homes.victim_is(&before);
    assert!(key_of(&homes.path("good/mqs/client.p12")).is_some());
    holds_his_own(&home, evil, &root_key);
}

/// That all in a home is its user's, and nothing of it root's secret.
fn holds_his_own(home: &Path, uid: u32, root_key: &str) {
    for item in walkdir(home) {
        let meta = item.symlink_metadata().unwrap();
        assert_eq!(meta.uid(), uid, "{} is another's", item.display());
        if meta.is_file() {
            let bytes = std::fs::read(&item).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains(SECRET), "{}", item.display());
            assert_ne!(key_of(&item).map(|k| k.0).as_deref(), Some(root_key), "{}", item.display());
        }
    }
}

/// Ends the swapper where the test fails, too.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// All that is in a folder, links not followed.
fn walkdir(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for item in std::fs::read_dir(folder).unwrap().map(|i| i.unwrap().path()) {
        if item.symlink_metadata().unwrap().is_dir() {
            all.extend(walkdir(&item));
        }
        all.push(item);
    }
    all
}

/// As the user `uid`: waits until somebody is at work in the folder of the store, then swaps the folder, the store, or
/// what was put beside it, for links to root's files, for a moment. How often.
fn swap(home: &Path, victim: &Path, uid: u32, removes: bool, done: &AtomicBool) -> usize {
    let (id, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
    set_thread_groups(&[]).unwrap();
    set_thread_res_gid(group, group, group).unwrap();
    set_thread_res_uid(id, id, id).unwrap();
    assert!(std::fs::read(victim.join("secret")).is_err(), "the swapper is root");
    let mqs = home.join("mqs");
    let store = mqs.join("client.p12");
    // As long as a worker takes, and longer; in an order that meets all attacks with all delays.
    let delays = [0, 50, 200, 700, 2000, 5000, 12_000].map(Duration::from_micros);
    let mut swaps = 0;
    while !done.load(Ordering::Relaxed) {
        let at_work = if swaps % 8 == 7 { None } else { wait_for_work(&mqs, done) };
        std::thread::sleep(delays[swaps % 7]);
        let (hold, lock) = (delays[(swaps / 5) % 7], mqs.join("client.p12.lock"));
        match (swaps % 5, at_work) {
            (0, _) => exchange(&mqs, victim, hold),
            (1, _) => exchange(&store, &victim.join("client.p12"), hold),
            (2, Some(temporary)) => exchange(&temporary, &victim.join("client.p12"), hold),
            (3, _) => exchange(&mqs.join("client.p12.old-1"), &victim.join("secret"), hold),
            _ => exchange(&lock, &victim.join("secret"), hold),
        }
        // Its coming is the sign of the next worker.
        let _ = std::fs::remove_file(&lock);
        if removes && swaps % 3 == 0 {
            let _ = std::fs::remove_file(&store);
        }
        swaps += 1;
    }
    swaps
}

/// The file that a worker has just put into the folder.
fn wait_for_work(folder: &Path, done: &AtomicBool) -> Option<PathBuf> {
    while !done.load(Ordering::Relaxed) {
        let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|i| i.path());
        let sign = |p: &PathBuf| [".tmp", ".lock"].iter().any(|s| p.to_string_lossy().ends_with(s));
        if let Some(found) = names.into_iter().find(sign) {
            return Some(found);
        }
        std::thread::yield_now();
    }
    None
}

/// A link in the place of what is at `place`, for as long as `hold`. What fails here is a race that was lost.
fn exchange(place: &Path, target: &Path, hold: Duration) {
    let aside = place.with_file_name("aside");
    let moved = std::fs::rename(place, &aside).is_ok();
    let _ = symlink(target, place);
    std::thread::sleep(hold);
    if place.symlink_metadata().is_ok_and(|m| m.is_symlink()) {
        let _ = std::fs::remove_file(place);
    }
    if moved {
        let _ = std::fs::rename(&aside, place);
    }
}

#[test]
fn a_settings_file_of_roots_leads_into_no_home() {
    let Some(homes) = Homes::new() else { return };
    let store = homes.client("ann", FIRST, "ann");
    std::fs::create_dir_all(homes.machine.path("etc/ann")).unwrap();
    let settings = format!("jks.keystore = {}\n", store.display());
    std::fs::write(homes.machine.path("etc/ann/keystore.conf"), settings).unwrap();
    let pointer = format!("pointer = \"{}\"", homes.machine.text("etc/*/keystore.conf"));
    homes.configure("home/*/client.p12", "", &pointer);
    let before = snapshot(store.parent().unwrap());
    let refused = homes.machine.apply(&[]);
    assert!(refused.status == 5 && refused.err.contains("same user"), "{} {}", refused.status, refused.err);
    assert_eq!(snapshot(store.parent().unwrap()), before);
}

#[test]
fn a_password_of_the_environment_reaches_its_store_alone() {
    let Some(homes) = Homes::new() else { return };
    homes.client("ann", FIRST, "ann");
    homes.configure("home/*/client.p12", "", "");
    let text = std::fs::read_to_string(homes.machine.path("k.toml")).unwrap();
    let spec = format!("file:{}", homes.machine.text("pw"));
    std::fs::write(homes.machine.path("k.toml"), text.replace(&spec, "env:CLIENT_PW")).unwrap();
    let mut apply = keyferry();
    apply.args(["apply", "--config", "k.toml"]).current_dir(homes.machine.dir.path());
    must(apply.env("CLIENT_PW", "client-password"));
    assert_eq!(key_of(&homes.path("ann/client.p12")).unwrap().1, 3);
}

/// Users of the tests below: those above look for processes of theirs.
const OTHERS: u32 = FIRST + 10_000;

/// Commands that write the store `%/client.p12`, or others beside it, or a file.
const WRITERS: [&str; 17] = [
    "add %/client.p12 root.crt --label new",
    "remove %/client.p12 ann --last-key --yes",
    "rename %/client.p12 ann anna",
    "passwd %/client.p12 --to-password pass:other",
    "rebuild %/client.p12 --bundle bundle.pem --keep 1",
    "rollback %/client.p12",
    "prune %/client.p12 --keep 0 --older-than 0d",
    "convert template-ann.p12 %/client.p12 --force",
    "convert template-ann.p12 %/new.p12",
    "create %/new.p12 root.crt",
    "keygen %/client.p12 --label more --type ec:p256 --dn CN=more",
    "migrate %/client.kdb --to p12",
    "stash %/client.kdb",
    "split split.p12 --keys %/k.p12 --trust %/t.p12",
    "merge template-ann.p12 template-bob.p12 --output %/new.p12",
    "extract template-ann.p12 ann %/ann.pem --to-password none --key",
    "bundle create %/new.pem --add root.crt",
];

impl Homes {
    fn writes(&self, line: &str, folder: &str) -> crate::support::Ran {
        let line = line.replace('%', folder);
        let words: Vec<&str> = line.split(' ').collect();
        let password = if words[0] == "bundle" { &[][..] } else { &["--password", "file:own.pw"] };
        self.machine.ends(&[&words[..], password].concat())
    }

    /// `home/NAME` with `mqs/client.p12`, an old generation of it, and `mqs/client.kdb` unless it is to be moved there.
    fn stores(&self, name: &str, uid: u32) {
        self.machine.ours(&["convert", "template-ann.p12", "x.kdb", "--password", "file:pw", "--force"]);
        let store = self.client(&format!("{name}/mqs"), uid, "ann");
        for (from, to) in [("template-bob.p12", "client.p12.old-1"), ("x.kdb", "client.kdb")] {
            let to = store.with_file_name(to);
            std::fs::copy(self.machine.path(from), &to).unwrap();
            mode(&to, 0o600);
            lchown(&to, Some(uid), Some(uid)).unwrap();
        }
    }
}

/// A password that root alone can read, and stores that all can.
fn own_password(homes: &Homes) {
    std::fs::write(homes.machine.path("own.pw"), "client-password\n").unwrap();
    mode(&homes.machine.path("own.pw"), 0o600);
    std::fs::copy(homes.machine.path("template-ann.p12"), homes.machine.path("split.p12")).unwrap();
    homes.machine.ours(&["add", "split.p12", "root.crt", "--password", "file:own.pw"]);
    // What a user's commands are to read, the user must be able to read.
    ["template-ann.p12", "template-bob.p12", "split.p12"]
        .iter()
        .for_each(|t| mode(&homes.machine.path(t), 0o644));
}

#[test]
fn what_root_writes_in_a_home_is_written_by_its_user() {
    let Some(homes) = Homes::new() else { return };
    own_password(&homes);
    homes.stores("template", 0);
    let template = homes.path("template/mqs");
    for name in ["client.p12.old-1", "client.kdb"] {
        std::fs::copy(template.join(name), homes.machine.path("victim").join(name)).unwrap();
    }
    let before = snapshot(&homes.machine.path("victim"));
    // Both a link to root's folder, and links to root's stores in a folder of the user's.
    homes.folder("evil", OTHERS + 1);
    link(homes.machine.path("victim"), &homes.path("evil/mqs"), OTHERS + 1);
    homes.folder("sly/mqs", OTHERS + 2);
    for name in ["client.p12", "client.kdb", "new.p12", "k.p12", "ann.pem", "new.pem"] {
        let target = if name == "client.kdb" { name } else { "client.p12" };
        link(homes.machine.path("victim").join(target), &homes.path("sly/mqs").join(name), OTHERS + 2);
    }
    for (n, line) in WRITERS.iter().enumerate() {
        for home in ["evil", "sly"] {
            let done = homes.writes(line, &homes.machine.text(&format!("home/{home}/mqs")));
            homes.victim_is(&before);
            // A public file takes the place of a link; nothing else is written at all.
            assert!(done.status != 0 || line.starts_with("bundle") && home == "sly", "{line}: {}", done.err);
        }
        // And in a folder that is as it should be.
        let (name, uid) = (format!("u{n}"), OTHERS + 10 + n as u32);
        homes.stores(&name, uid);
        if line.starts_with("migrate") {
            std::fs::remove_file(homes.path(&name).join("mqs/client.p12")).unwrap();
        }
        let done = homes.writes(line, &homes.machine.text(&format!("home/{name}/mqs")));
        assert_eq!(done.status, 0, "{line}: {}", done.err);
        for item in walkdir(&homes.path(&name)) {
            let meta = item.symlink_metadata().unwrap();
            assert_eq!((meta.uid(), meta.gid()), (uid, uid), "{line}: {} is another's", item.display());
            assert!(
                meta.is_dir() || line.starts_with("bundle") || meta.mode() & 0o077 == 0,
                "{line}: {}",
                item.display()
            );
        }
    }
    // A store that root alone can read comes by standard input.
    homes.stores("fed", OTHERS + 3);
    mode(&homes.machine.path("template-ann.p12"), 0o600);
    let from = std::fs::File::open(homes.machine.path("template-ann.p12")).unwrap();
    let mut fed = keyferry();
    fed.args(["convert", "-", "home/fed/mqs/new.p12", "--password", "file:own.pw"]).stdin(from);
    must(fed.current_dir(homes.machine.dir.path()));
    assert_eq!(homes.path("fed/mqs/new.p12").metadata().unwrap().uid(), OTHERS + 3);
    // Files of root's alone stay root's affair, whoever owns them.
    let lent = homes.machine.path("lent.p12");
    std::fs::copy(homes.machine.path("template-ann.p12"), &lent).unwrap();
    lchown(&lent, Some(OTHERS), Some(OTHERS)).unwrap();
    homes.machine.ours(&["add", "lent.p12", "root.crt", "--password", "file:own.pw"]);
    assert_eq!(lent.metadata().unwrap().uid(), OTHERS);
}

#[test]
fn where_nobody_can_be_taken_for_the_owner_nothing_is_written() {
    let Some(homes) = Homes::new() else { return };
    own_password(&homes);
    let [ann, bob] = [("ann", OTHERS), ("bob", OTHERS + 1)].map(|(name, uid)| {
        homes.stores(name, uid);
        homes.machine.text(&format!("home/{name}/mqs"))
    });
    let before = [&ann, &bob].map(|f| snapshot(Path::new(f)));
    let shared = homes.machine.path("shared");
    std::fs::create_dir(&shared).unwrap();
    mode(&shared, 0o775);
    std::fs::copy(homes.machine.path("template-ann.p12"), shared.join("client.p12")).unwrap();
    let anybody = homes.machine.path("anybody");
    std::fs::create_dir(&anybody).unwrap();
    mode(&anybody, 0o1777);
    link(homes.machine.path("victim/client.p12"), &anybody.join("client.p12"), OTHERS);
    let run = |line: &str, more: &[&str]| {
        let words: Vec<&str> = line.split(' ').collect();
        homes.machine.ends(&[&words[..], &["--password", "file:own.pw"], more].concat())
    };
    let victim = snapshot(&homes.machine.path("victim"));
    for (line, said) in [
        (format!("rebuild {ann}/client.p12 {bob}/client.p12 --bundle bundle.pem"), "several users"),
        (format!("rebuild {ann}/client.p12 template-ann.p12 --bundle bundle.pem"), "several users"),
        (format!("split template-ann.p12 --keys {ann}/k.p12 --trust t.p12"), "several users"),
        (format!("rebuild {ann}/client.p12 --bundle bundle.pem --exec true"), "--exec"),
        ("add shared/client.p12 root.crt".to_owned(), "others can write"),
    ] {
        let done = run(&line, &[]);
        assert!(done.status == 5 && done.err.contains(said), "{line}: {} {}", done.status, done.err);
    }
    // A link that somebody has put where everybody can leads root nowhere, whatever root says.
    for more in [&[][..], &["--as-root"]] {
        assert_ne!(run("add anybody/client.p12 root.crt", more).status, 0);
        homes.victim_is(&victim);
    }
    // Stores that are found are left to a command of their own.
    for line in ["migrate home --to p12", "remove home --recursive --label ann --last-key --yes"] {
        let done = run(line, &[]);
        assert!(done.status == 8 && done.err.matches("belongs to user").count() >= 2, "{line}: {}", done.err);
    }
    assert_eq!([&ann, &bob].map(|f| snapshot(Path::new(f))), before);
    // Told to, root goes on.
    for line in ["add shared/client.p12 root.crt".to_owned(), format!("add {ann}/client.p12 root.crt")] {
        let done = run(&line, &["--as-root"]);
        assert_eq!(done.status, 0, "{line}: {}", done.err);
    }
    // One folder of a user's is gone through with that user's rights.
    std::fs::remove_file(homes.path("ann/mqs/client.p12")).unwrap();
    let done = run("migrate home/ann --to p12", &[]);
    assert_eq!(done.status, 0, "{}", done.err);
    assert_eq!(homes.path("ann/mqs/client.p12").metadata().unwrap().uid(), OTHERS);
}

#[test]
fn who_swaps_links_under_a_single_command_gains_nothing() {
    let Some(homes) = Homes::new() else { return };
    own_password(&homes);
    let seconds: u64 = std::env::var("RACE_SECONDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let evil = OTHERS + 66;
    homes.stores("evil", evil);
    let (victim, home) = (homes.machine.path("victim"), homes.path("evil"));
    std::fs::copy(homes.path("evil/mqs/client.kdb"), victim.join("client.kdb")).unwrap();
    let (before, root_key) = (snapshot(&victim), key_of(&victim.join("client.p12")).unwrap().0);
    let lines = [
        "convert template-ann.p12 %/client.p12 --force",
        "add %/client.p12 root.crt --label new",
        "migrate %/client.kdb --to p12",
        "passwd %/client.p12 --to-password file:own.pw",
        "rollback %/client.p12",
    ];
    let done = AtomicBool::new(false);
    let mut ended = [[0_usize; 2]; 5];
    std::thread::scope(|scope| {
        let swapper = scope.spawn(|| swap(&home, &victim, evil, true, &done));
        let _end = End(&done);
        let (begun, end) = (Instant::now(), Duration::from_secs(seconds));
        let last = end + Duration::from_secs(30);
        // Until each has won, and lost.
        while begun.elapsed() < end || ended.iter().flatten().any(|n| *n == 0) && begun.elapsed() < last {
            for (line, ended) in lines.iter().zip(&mut ended) {
                let ran = homes.writes(line, &homes.machine.text("home/evil/mqs"));
                ended[usize::from(ran.status == 0)] += 1;
                homes.victim_is(&before);
            }
        }
        done.store(true, Ordering::Relaxed);
        let swaps = swapper.join().unwrap();
        eprintln!("{swaps} swaps; failed and done: {ended:?}");
        assert!(
            swaps > 5 && ended[0].iter().all(|n| *n > 0) && ended[1][1] + ended[2][1] > 0,
            "{swaps} {ended:?}"
        );
    });
    holds_his_own(&home, evil, &root_key);
}
