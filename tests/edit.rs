//! Changes that people make to stores (`jobs/edit`), in every format: what other tools say of the store
//! afterwards, and that nothing moves that nobody touched.

use crate::kdb::{gskit, with_request, without_gskit};
use crate::nss::rows;
use crate::oracle::{java_list, java_view, system_java};
use crate::support::{Passwords, Ran, Seen, World, keyferry, must, run, scratch, seen, testdata};
use formats::Secrets;
use formats::model::{Level, Store};
use formats::place::Source;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const OLD: &str = "changeit";
const NEW: &str = "Fresh-pw-2";

/// A store in a folder of its own.
struct Place {
    dir: tempfile::TempDir,
    store: PathBuf,
    old: &'static str,
}

impl Place {
    /// A copy of a store of testdata/, with what belongs beside it.
    fn of(from: &str) -> Self {
        let from = testdata(from);
        let dir = scratch();
        let store = dir.path().join(from.file_name().unwrap());
        for suffix in ["rdb", "crl", "sth"] {
            let beside = from.with_extension(suffix);
            if from.extension().is_some_and(|e| e == "kdb") && beside.is_file() {
                std::fs::copy(&beside, store.with_extension(suffix)).unwrap();
            }
        }
        copy(&from, &store);
        // What the golden key databases have.
        let old = if store.extension().is_some_and(|e| e == "kdb") { "secret1" } else { OLD };
        Place { dir, store, old }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A command on the store, which it names last before `arguments`.
    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = keyferry();
        command.current_dir(self.dir.path()).arg(name).arg(&self.store).args(arguments);
        command.env("KEYFERRY_PASSWORD", self.old).env("OLD", self.old).env("NEW", NEW);
        command
    }

    /// Another password: `from` and `to` are the names of variables.
    fn passwd(&self, from: &str, to: &str, arguments: &[&str]) -> Command {
        let (from, to) = (format!("env:{from}"), format!("env:{to}"));
        self.command("passwd", &[&["--password", &from, "--to-password", &to], arguments].concat())
    }

    fn load(&self, secrets: &dyn Secrets) -> Store {
        let store = World::new().load(&Source::open(&self.store).unwrap(), secrets).unwrap().store;
        assert!(store.defects.is_empty(), "{:?}", store.defects);
        store
    }

    /// Every entry with its key opened, sorted.
    fn seen(&self, secrets: &dyn Secrets) -> Vec<Seen> {
        sorted(&self.load(secrets), secrets)
    }

    /// Every file of the folder with inode, time and bytes; lock files aside.
    fn state(&self) -> BTreeMap<PathBuf, (u64, i64, Vec<u8>)> {
        files(self.dir.path())
    }
}

fn sorted(store: &Store, secrets: &dyn Secrets) -> Vec<Seen> {
    let world = World::new();
    let mut seen = seen(store, &world.ctx(secrets)).unwrap();
    seen.sort();
    seen
}

fn files(folder: &Path) -> BTreeMap<PathBuf, (u64, i64, Vec<u8>)> {
    let mut out = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_dir() {
            out.append(&mut files(&entry));
        } else if entry.extension().is_none_or(|e| e != "lock") {
            let meta = entry.metadata().unwrap();
            out.insert(entry.clone(), (meta.ino(), meta.mtime_nsec(), std::fs::read(&entry).unwrap()));
        }
    }
    out
}

fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        std::fs::copy(from, to).unwrap();
        return;
    }
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap().map(|e| e.unwrap().path()) {
        copy(&file, &to.join(file.file_name().unwrap()));
    }
}

#[test]
fn a_new_password_opens_all_that_the_old_one_did() {
    for from in [
        "java/jks-basic.jks",
        "java/jceks-basic.jceks",
        "p12/jdk17-default.p12",
        "p12/ossl-default.p12",
        "kdb/request-pending.kdb",
    ] {
        let place = Place::of(from);
        let before = place.seen(&Passwords::one(place.old));
        let untouched = place.state();
        // Nothing happens where the present one is wrong, for show, or where it is the new one.
        assert_eq!(run(&mut place.passwd("NEW", "OLD", &[])).status, 4, "{from}");
        must(&mut place.passwd("OLD", "NEW", &["--dry-run"]));
        must(&mut place.passwd("OLD", "OLD", &[]));
        assert_eq!(place.state(), untouched, "{from}");

        let done = must(&mut place.passwd("OLD", "NEW", &[]));
        assert!(done.err.contains("password changed (old: "), "{from}: {}", done.err);
        assert_eq!(place.seen(&Passwords::one(NEW)), before, "{from}");
        assert_eq!(run(&mut place.passwd("OLD", "NEW", &[])).status, 4, "{from}");
        let kind = place.store.extension().unwrap().to_str().unwrap();
        if matches!(kind, "jks" | "jceks" | "p12") {
            let kind = if kind == "p12" { "PKCS12".to_owned() } else { kind.to_uppercase() };
            assert_eq!(
                java_list(&system_java(), &kind, &place.store, NEW, &[]),
                java_view(&place.store, NEW),
                "{from}"
            );
        }
        must(&mut place.command("rollback", &[]));
        assert_eq!(place.seen(&Passwords::one(place.old)), before, "{from}");
    }
}

#[test]
fn a_pem_gets_and_loses_its_password() {
    let place = Place::of("java/material/rsa.key");
    let state = || openssl(&place.store, &[]).err;
    // In the clear: whatever is in the environment is no password of this file.
    must(&mut place.command("passwd", &["--to-password", "env:NEW"]));
    assert!(std::fs::read_to_string(&place.store).unwrap().contains("-----BEGIN ENCRYPTED PRIVATE KEY"));
    assert_eq!(openssl(&place.store, &["-passin", "pass:Fresh-pw-2"]).status, 0, "{}", state());
    assert_ne!(openssl(&place.store, &["-passin", "pass:changeit"]).status, 0);
    assert_eq!(run(&mut place.passwd("OLD", "NEW", &[])).status, 4);
    must(&mut place.command("passwd", &["--password", "env:NEW", "--to-password", "none"]));
    assert_eq!(openssl(&place.store, &[]).status, 0, "{}", state());
    // What can't be without one.
    for from in ["java/jks-basic.jks", "p12/jdk17-default.p12", "kdb/rsa-chain.kdb"] {
        let place = Place::of(from);
        let before = place.state();
        let ran = run(&mut place.command("passwd", &["--password", "env:OLD", "--to-password", "none"]));
        assert_eq!((ran.status, place.state()), (4, before), "{from}: {}", ran.err);
    }
    // Without a terminal nobody can be asked for the new one.
    assert_eq!(run(&mut place.command("passwd", &[])).status, 4);
}

fn openssl(key: &Path, arguments: &[&str]) -> Ran {
    run(Command::new("openssl").args(["pkey", "-noout", "-in"]).arg(key).args(arguments))
}

#[test]
fn keys_with_passwords_of_their_own_keep_them() {
    // Of its three keys one has the store's.
    let place = Place::of("java/jks-key-passwords.jks");
    let manifest = std::fs::read_to_string(testdata("java/MANIFEST.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let files = manifest["files"].as_array().unwrap();
    let entries = files.iter().find(|f| f["file"] == "jks-key-passwords.jks").unwrap()["entries"].clone();
    let own: Vec<(String, String)> = entries
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["alias"].as_str().unwrap().to_owned(), e["key_password"].as_str().unwrap().to_owned()))
        .collect();
    let secrets = |store: &str, own: &[(String, String)]| Passwords {
        store: Some(store.to_owned()),
        keys: own.iter().map(|(l, p)| (Some(l.clone()), p.clone())).collect(),
    };
    let before = place.seen(&secrets(OLD, &own));
    let done = must(&mut place.passwd("OLD", "NEW", &[]));
    let kept = own.iter().filter(|(_, p)| p != OLD).count();
    assert_eq!(done.err.matches("keeps a password of its own").count(), kept, "{}", done.err);
    let mut now: Vec<_> = own.clone();
    now.iter_mut().filter(|(_, p)| p == OLD).for_each(|(_, p)| NEW.clone_into(p));
    assert_eq!(place.seen(&secrets(NEW, &now)), before);

    // One of those that have their own, by Java's rule for labels.
    let (label, password) = now.iter_mut().find(|(_, p)| p != NEW).unwrap();
    let change = |old: &str| {
        let key = format!("{}=env:KEY", label.to_uppercase());
        let mut command =
            place.command("passwd", &["--label", label, "--password", "env:NEW", "--key-password", &key]);
        command.args(["--to-password", "env:OWN"]).env("KEY", old).env("OWN", "Own-pw-3");
        command
    };
    let untouched = place.state();
    assert_eq!(run(&mut change("wrong")).status, 4);
    assert_eq!(place.state(), untouched);
    let bytes = |place: &Place| std::fs::read(&place.store).unwrap();
    must(&mut change(password));
    let changed = bytes(&place);
    must(&mut change(password));
    assert_eq!(bytes(&place), changed, "done already");
    "Own-pw-3".clone_into(password);
    assert_eq!(place.seen(&secrets(NEW, &now)), before);
    let ran = run(&mut Place::of("p12/jdk17-default.p12").passwd("OLD", "NEW", &["--label", "server"]));
    assert!(ran.status == 3 && ran.err.contains("have no passwords of their own"), "{}", ran.err);
}

#[test]
fn gskit_opens_a_set_by_its_new_password() {
    if without_gskit() {
        return;
    }
    let dir = scratch();
    let kdb = dir.path().join("x.kdb");
    let place = Place { dir, store: kdb.clone(), old: OLD };
    with_request(&kdb, OLD);
    let before = place.seen(&Passwords::one(OLD));
    // By the stash, which holds the present one.
    must(&mut place.command("passwd", &["--to-password", "env:NEW"]));
    assert_eq!(place.seen(&Passwords::one(NEW)), before);
    gskit(&["open-stashed"], &kdb, &[]);
    let listed = gskit(&["list"], &kdb, &["--pw", NEW]);
    assert_eq!(listed["requests"], serde_json::json!(["pending"]));
    // Where there is none, none comes.
    std::fs::remove_file(kdb.with_extension("sth")).unwrap();
    must(&mut place.passwd("NEW", "OLD", &[]));
    assert!(!kdb.with_extension("sth").exists());
    gskit(&["list"], &kdb, &["--pw", OLD]);
}

/// The golden NSS databases that can be written, with their passwords.
fn databases() -> Vec<(String, String)> {
    let list = std::fs::read_to_string(testdata("nss/databases.json")).unwrap();
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let written = list["databases"].as_array().unwrap().iter().filter(|d| d["format"] == "sql");
    written.map(|d| (d["name"].as_str().unwrap().into(), d["password"].as_str().unwrap().into())).collect()
}

/// Every attribute that no password protects, of every row.
fn clear_rows(db: &Path) -> Vec<String> {
    let secret = ["a11", "a123", "a124", "a125", "a126", "a127", "a128"];
    let mut out = Vec::new();
    for (file, table) in [("cert9.db", "nssPublic"), ("key4.db", "nssPrivate")] {
        let connection = rusqlite::Connection::open(db.join(file)).unwrap();
        let mut statement = connection.prepare(&format!("SELECT * FROM {table} ORDER BY id")).unwrap();
        let names: Vec<String> = statement.column_names().map(|n| (*n).to_owned()).collect();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values = names.iter().enumerate().map(|(at, name)| {
                let hidden = table == "nssPrivate" && secret.contains(&&**name);
                if hidden { String::new() } else { format!("{:?}", row.get_ref(at).unwrap()) }
            });
            out.push(values.collect::<Vec<_>>().join(" "));
        }
    }
    out
}

#[test]
fn a_database_gets_a_new_password_in_place() {
    for (name, old) in databases() {
        let place = Place::of(&format!("nss/{name}"));
        let secrets = Passwords::one(&old);
        let before = place.load(&secrets);
        let entries = sorted(&before, &secrets);
        let clear = clear_rows(&place.store);
        let passwd = |new: &str| {
            let mut command = place.command("passwd", &["--password", "env:OLD", "--to-password", "env:NEW"]);
            command.env("OLD", &old).env("NEW", new);
            command
        };
        must(&mut passwd(NEW));
        let now = place.load(&Passwords::one(NEW));
        assert_eq!(place.seen(&Passwords::one(NEW)), entries, "{name}");
        assert_eq!(clear_rows(&place.store), clear, "{name}");
        let trust = |s: &Store| s.entries.iter().map(|e| e.trust.clone()).collect::<Vec<_>>();
        assert_eq!(trust(&now), trust(&before), "{name}");
        for (a, b) in before.entries.iter().zip(&now.entries) {
            let better = a.authenticated.is_none() && b.authenticated == Some(true);
            assert!(a.authenticated == b.authenticated || better, "{name}: {}", b.label_text());
        }
        if !["newer-salt48", "trust-matrix-p11"].contains(&&*name) {
            nss_agrees(&place, &old, &name);
        }
        // A password that nobody has opens nothing.
        assert_eq!(run(&mut passwd(NEW)).status, 4, "{name}");
    }
}

/// NSS 3.87 opens the database by the new password and not by the old one; changing it again it verifies every
/// record.
fn nss_agrees(place: &Place, old: &str, name: &str) {
    let certutil = |arguments: &[&str], password: &str| {
        let file = place.path("password");
        std::fs::write(&file, password).unwrap();
        let mut command = Command::new("certutil");
        command.arg("-d").arg(format!("sql:{}", place.store.display())).args(arguments).arg("-f").arg(file);
        run(&mut command)
    };
    let listed = certutil(&["-K"], NEW);
    let keys = listed.out.lines().filter(|l| l.starts_with('<')).count();
    let own = place.load(&Passwords::one(NEW));
    let distinct: std::collections::BTreeSet<_> = own
        .entries
        .iter()
        .filter(|e| e.item.kind().name() == "key")
        .filter_map(|e| e.secret())
        .map(std::sync::Arc::as_ptr)
        .collect();
    assert_eq!(keys, distinct.len(), "{name}: {}{}", listed.out, listed.err);
    assert_ne!(certutil(&["-K"], old).status, 0, "{name}");
    std::fs::write(place.path("third"), "aB3-cD4-eF5").unwrap();
    let third = place.path("third");
    let again = certutil(&["-W", "-@", third.to_str().unwrap()], NEW);
    assert_eq!(again.status, 0, "{name}: {}", again.err);
    if name == "mixed-trust" {
        // NSS 3.87 doesn't sign anew what it doesn't know.
        return;
    }
    let own = place.load(&Passwords::one("aB3-cD4-eF5"));
    assert!(own.entries.iter().all(|e| e.authenticated != Some(false)), "{name}");
    for secret in own.entries.iter().filter_map(|e| e.secret()) {
        secret.open(&World::new().ctx(&Passwords::one("aB3-cD4-eF5"))).unwrap();
    }
}

#[test]
fn what_a_database_does_not_prove_is_not_signed_anew() {
    let passwd = |place: &Place, more: &[&str]| {
        let mut command = place.passwd("OLD", "NEW", more);
        run(command.env("OLD", "Keystore-1"))
    };
    // A key whose record is wrong or missing.
    for (name, what) in
        [("bad-private-signature", "does not match"), ("bad-private-signature-missing", "is missing")]
    {
        let place = Place::of(&format!("nss/{name}"));
        let before = rows(&place.store);
        let ran = passwd(&place, &["--allow-loss"]);
        assert!(ran.status == 3 && ran.err.contains(what), "{name}: {} {}", ran.status, ran.err);
        assert_eq!(rows(&place.store), before, "{name}");
    }
    // Trust that somebody forged stays forged.
    let place = Place::of("nss/bad-trust-forged");
    let before = rows(&place.store);
    let ran = passwd(&place, &[]);
    assert!(ran.status == 5 && ran.err.contains("does not match the old password"), "{}", ran.err);
    assert_eq!(rows(&place.store), before);
    let forged = |password: &str| {
        let store =
            World::new().load(&Source::open(&place.store).unwrap(), &Passwords::one(password)).unwrap();
        let trusted = |s: &Store| {
            s.entries
                .iter()
                .filter(|e| e.trust.as_ref().is_some_and(|t| t.levels.contains(&Level::Anchor)))
                .count()
        };
        (store.store.defects.len(), trusted(&store.store))
    };
    let unproved = forged("Keystore-1");
    assert!(unproved.0 > 0);
    assert_eq!(passwd(&place, &["--allow-loss=unreadable"]).status, 0);
    assert_eq!(forged(NEW), unproved);
}
