//! Changes that people make to stores (`jobs/edit`), in every format: what other tools say of the store
//! afterwards, and that nothing moves that nobody touched.

use crate::kdb::{gskit, oracle, our_view, their_view, with_request, without_gskit};
use crate::nss::rows;
use crate::oracle::{java_list, java_view, openssl_view, system_java, view_of_ours};
use crate::support::{Passwords, Ran, Seen, World, keyferry, must, run, scratch, seen, testdata};
use formats::jobs::random::is_strong;
use formats::model::{Entry, ItemKind, Level, Store};
use formats::place::Source;
use formats::{FORMATS, Labels, Secrets, TrustRange};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

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
    // A key that comes in enciphered does not come to lie in the clear, nor do plain ones get a password by the way.
    let place = Place::of("java/material/rsa.key");
    let add = |password: &str| {
        let from = testdata("p12/jdk17-default.p12");
        let own = format!("{}=env:OLD", from.display());
        let store = format!("{}={password}", place.store.display());
        let mut command = place.command("add", &[&format!("{}#ec", from.display())]);
        run(command.args(["--password", &own, "--password", &store]))
    };
    let before = place.state();
    assert_eq!(add("none").status, 4);
    assert_eq!(place.state(), before);
    must(&mut place.command("add", &[&material("rsa2.key")]));
    let text = || std::fs::read_to_string(&place.store).unwrap();
    assert_eq!(text().matches("BEGIN PRIVATE KEY").count(), 2, "{}", text());
    assert_eq!(add("env:NEW").status, 0);
    assert_eq!(text().matches("BEGIN ENCRYPTED PRIVATE KEY").count(), 3, "{}", text());
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
        // With the empty one NSS is always logged in, and believes no trust whose records don't match.
        if name.starts_with("trust-matrix") || ["rsa-chain", "crl", "same-subject"].contains(&&*name) {
            let place = Place::of(&format!("nss/{name}"));
            let listed = || {
                let mut command = Command::new("certutil");
                must(command.arg("-L").arg("-d").arg(format!("sql:{}", place.store.display()))).out
            };
            let before = listed();
            let mut command = place.command("passwd", &["--password", "env:OLD", "--to-password", "none"]);
            must(command.env("OLD", &old));
            assert_eq!(listed(), before, "{name}");
            let mut command = place.command("passwd", &["--password", "none", "--to-password", "env:NEW"]);
            must(&mut command);
            assert_eq!(listed(), before, "{name}");
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
    let again = if name == "rsa-chain" {
        let mut modutil = Command::new("modutil");
        modutil.args(["-force", "-changepw", "NSS Certificate DB", "-pwfile"]).arg(place.path("new"));
        modutil.arg("-newpwfile").arg(&third).arg("-dbdir").arg(format!("sql:{}", place.store.display()));
        std::fs::write(place.path("new"), NEW).unwrap();
        run(&mut modutil)
    } else {
        certutil(&["-W", "-@", third.to_str().unwrap()], NEW)
    };
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

// ---- What is in a store

/// The CA of the base store that every edit of a certificate is tried on.
const EXTRA: &str = "extra-ca";

/// One change in the table of formats and changes.
struct Change {
    name: &'static str,
    /// What must have happened to the store; false: it can't in this format.
    before: fn(&Base) -> bool,
    /// The arguments, the first is the command's name; `STORE` stands for the store.
    arguments: fn(&Base) -> Vec<String>,
    /// What it does to the list of entries; of what is made by chance the second list says how it came out.
    expected: fn(&mut Vec<Seen>, &Base, &[Seen]),
    /// What our `diff` says besides of entries that stay: label, what, and what it is now.
    said: fn(&Base) -> Vec<[String; 3]>,
    /// The status that it ends with in this format.
    status: fn(&dyn formats::Format) -> i32,
    /// Doing it again is nothing to do.
    again: bool,
    /// The password afterwards.
    password: &'static str,
    /// So many keys go, or take another place.
    moved: usize,
}

/// What most have.
const PLAIN: Change = Change {
    name: "",
    before: |_| true,
    arguments: |_| Vec::new(),
    expected: |_, _, _| {},
    said: |_| Vec::new(),
    status: |_| 0,
    again: false,
    password: OLD,
    moved: 0,
};

fn holds(format: &dyn formats::Format, kind: ItemKind) -> bool {
    format.carries().items.contains(&kind)
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// A store with two keys and two certificates (only these, where the format has no keys).
struct Base {
    format: &'static dyn formats::Format,
    place: Place,
    before: Vec<Seen>,
}

impl Base {
    fn of(format: &'static dyn formats::Format) -> Self {
        let dir = scratch();
        let name =
            if format.in_place().is_some() { "db".into() } else { format!("x.{}", format.suffixes()[0]) };
        let store = dir.path().join(name);
        let place = Place { dir, store, old: OLD };
        let mut convert = keyferry();
        convert.arg("convert").arg(testdata("p12/jdk17-default.p12")).arg(place.named(format));
        if !format.carries().items.contains(&ItemKind::Key) {
            convert.arg("--certs-only");
        }
        must(convert.env("KEYFERRY_PASSWORD", OLD).arg("-q").args(["--allow-loss=label"]));
        let before = place.entries(OLD);
        assert!(before.iter().any(|s| s.objects == [extra_hash()]), "{}", format.name());
        Base { format, place, before }
    }

    /// What the CA is called.
    fn extra(&self) -> String {
        let has_label = self.before.iter().any(|s| s.label.as_deref() == Some(EXTRA));
        if has_label { EXTRA.to_owned() } else { format!("sha256:{}", extra_hash()) }
    }

    /// A label as the format keeps it.
    fn label(&self, text: &str) -> Option<String> {
        match self.format.name() {
            "p7b" => None,
            "jks" | "jceks" => Some(text.to_lowercase()),
            _ => Some(text.to_owned()),
        }
    }
}

fn extra_hash() -> String {
    crate::support::sha256(&der("trust1.crt"))
}

/// A certificate of the Java material.
fn der(name: &str) -> Vec<u8> {
    let bytes = std::fs::read(testdata("java/material").join(name)).unwrap();
    if bytes.starts_with(b"-----") { pem::parse(&bytes).unwrap().into_contents() } else { bytes }
}

impl Place {
    /// `FORMAT:PATH`.
    fn named(&self, format: &dyn formats::Format) -> String {
        format!("{}:{}", format.name(), self.store.display())
    }

    /// Every entry with its key opened, its signers left out: formats that make chains of what they hold may find
    /// more of them.
    fn entries(&self, password: &str) -> Vec<Seen> {
        let mut seen = self.seen(&Passwords::one(password));
        seen.iter_mut().for_each(|s| s.objects.truncate(1));
        seen
    }

    /// The bytes of every enciphered key.
    fn sealed(&self, password: &str) -> Vec<Vec<u8>> {
        let store = self.load(&Passwords::one(password));
        store.entries.iter().filter_map(|e| Some(e.secret()?.seal()?.raw()?.to_vec())).collect()
    }
}

fn remove(seen: &mut Vec<Seen>, is: impl Fn(&Seen) -> bool) {
    let size = seen.len();
    seen.retain(|s| !is(s));
    assert_eq!(seen.len() + 1, size);
}

const CHANGES: &[Change] = &[
    Change {
        name: "add a certificate",
        arguments: |_| {
            vec!["add".into(), "STORE".into(), material("trust2.crt"), "--label".into(), "Added {cn}".into()]
        },
        expected: |seen, base, _| {
            seen.push(Seen {
                kind: "cert",
                label: base.label("Added 信頼 2"),
                secret: None,
                objects: vec![crate::support::sha256(&der("trust2.crt"))],
            });
        },
        again: true,
        ..PLAIN
    },
    Change {
        name: "add a key",
        arguments: |base| {
            let both = base.place.path("rsa2.pem");
            let parts =
                ["rsa2.key", "rsa2.chain"].map(|f| std::fs::read(testdata("java/material").join(f)).unwrap());
            std::fs::write(&both, parts.concat()).unwrap();
            [words("add STORE --label {file}"), vec![both.to_str().unwrap().into()]].concat()
        },
        expected: |seen, base, _| {
            let key = crate::support::sha256(&der_of_key("rsa2.key"));
            seen.push(Seen {
                kind: "key",
                label: base.label("rsa2"),
                secret: Some(key),
                objects: vec![crate::support::sha256(&der("rsa2.crt"))],
            });
        },
        status: |format| if holds(format, ItemKind::Key) { 0 } else { 5 },
        again: true,
        ..PLAIN
    },
    Change {
        name: "add a revocation list",
        arguments: |_| vec!["add".into(), "STORE".into(), authority("list.pem")],
        expected: |seen, base, now| {
            let label = now.iter().find(|s| s.kind == "crl").unwrap().label.clone();
            assert_eq!(label.is_some(), base.format.name() == "p12");
            let list = std::fs::read(authority("list.pem")).unwrap();
            let objects = vec![crate::support::sha256(pem::parse(list).unwrap().contents())];
            seen.push(Seen { kind: "crl", label, secret: None, objects });
        },
        status: |format| if holds(format, ItemKind::Crl) { 0 } else { 5 },
        again: true,
        ..PLAIN
    },
    Change {
        name: "rename a certificate",
        arguments: |base| vec!["rename".into(), "STORE".into(), base.extra(), "Renamed CA".into()],
        expected: |seen, base, _| {
            let entry = seen.iter_mut().find(|s| s.objects == [extra_hash()]).unwrap();
            entry.label = base.label("Renamed CA");
        },
        status: |format| if matches!(format.carries().labels, Labels::None) { 3 } else { 0 },
        ..PLAIN
    },
    Change {
        name: "rename a key",
        arguments: |_| vec!["rename".into(), "STORE".into(), "server".into(), "Server 2".into()],
        expected: |seen, base, _| {
            let entry = seen.iter_mut().find(|s| s.label.as_deref() == Some("server")).unwrap();
            entry.label = base.label("Server 2");
        },
        status: |format| if matches!(format.carries().labels, Labels::None) { 3 } else { 0 },
        ..PLAIN
    },
    Change {
        name: "remove a certificate",
        arguments: |base| vec!["remove".into(), "STORE".into(), base.extra(), "--yes".into()],
        expected: |seen, _, _| remove(seen, |s| s.objects == [extra_hash()]),
        ..PLAIN
    },
    Change {
        name: "remove a key",
        arguments: |_| words("remove STORE ec --yes"),
        expected: |seen, _, _| remove(seen, |s| s.label.as_deref() == Some("ec")),
        status: |format| if holds(format, ItemKind::Key) { 0 } else { 1 },
        moved: 1,
        ..PLAIN
    },
    Change {
        name: "take trust away",
        arguments: |base| vec!["trust".into(), "STORE".into(), base.extra(), "--none".into()],
        said: |_| vec![[EXTRA, "trust", "none"].map(str::to_owned)],
        status: |format| match format.carries().trust {
            // It can only leave it open, which others take for trust.
            _ if format.name() == "p12" => 5,
            TrustRange::OneBit | TrustRange::PerPurpose => 0,
            _ => 3,
        },
        again: true,
        ..PLAIN
    },
    Change {
        name: "trust for a purpose",
        arguments: |base| {
            vec!["trust".into(), "STORE".into(), base.extra(), "--anchor".into(), "email".into()]
        },
        said: |_| vec![[EXTRA, "trust", "anchor: email"].map(str::to_owned)],
        status: |format| match format.carries().trust {
            TrustRange::OneBit => 5,
            TrustRange::PerPurpose => 0,
            _ => 3,
        },
        again: true,
        ..PLAIN
    },
    Change {
        name: "choose the default",
        arguments: |_| words("default STORE ec"),
        said: |_| vec![["ec", "default", "yes"].map(str::to_owned)],
        status: |format| if format.marks_default() { 0 } else { 3 },
        again: true,
        ..PLAIN
    },
    Change {
        name: "another password",
        arguments: |_| words("passwd STORE --password env:OLD --to-password env:NEW"),
        status: |format| if format.carries().password == formats::PasswordUse::Never { 3 } else { 0 },
        password: NEW,
        ..PLAIN
    },
    Change {
        name: "make a key",
        arguments: |_| words("keygen STORE --label made --type ec:p256 --dn CN=made"),
        expected: |seen, _, now| {
            let made = find(now, "made");
            assert_eq!((made.kind, made.objects.len()), ("key", 1));
            seen.push(made.clone());
        },
        status: |format| if holds(format, ItemKind::Key) { 0 } else { 5 },
        ..PLAIN
    },
    Change {
        name: "ask for a certificate",
        arguments: |base| asking(base, "request create STORE --label asked --type ec:p256 --dn CN=asked"),
        expected: |seen, base, now| seen.push(waiting(now, "asked", base).clone()),
        status: |format| if holds(format, ItemKind::Key) { 0 } else { 3 },
        ..PLAIN
    },
    Change {
        name: "receive a certificate",
        before: |base| base.gets("request create STORE --label asked --type ec:p256 --dn CN=asked"),
        arguments: |_| words("request receive STORE asked.pem"),
        expected: |seen, base, _| {
            let waited = waiting(&base.before, "asked", base).clone();
            remove(seen, |s| *s == waited);
            seen.push(Seen { kind: "key", objects: vec![base.signed()], ..waited });
            base.signer_comes(seen);
        },
        moved: 1,
        ..PLAIN
    },
    Change {
        name: "ask for a renewal",
        arguments: |base| asking(base, "renew STORE ec --new-key"),
        expected: |seen, base, now| seen.push(waiting(now, "ec (renewal)", base).clone()),
        status: |format| if holds(format, ItemKind::Key) { 0 } else { 5 },
        ..PLAIN
    },
    Change {
        name: "receive a renewal",
        before: |base| base.gets("renew STORE ec --new-key"),
        arguments: |_| words("request receive STORE asked.pem"),
        expected: |seen, base, now| {
            let waited = waiting(&base.before, "ec (renewal)", base).clone();
            remove(seen, |s| *s == waited);
            base.hands_over(seen, now);
            seen.push(Seen { kind: "key", label: base.label("ec"), objects: vec![base.signed()], ..waited });
            base.signer_comes(seen);
        },
        moved: 1,
        ..PLAIN
    },
    Change {
        name: "let a renewal take over",
        before: |base| {
            // NSS calls all certificates of a subject alike.
            let can = base.format.name() != "nss" && base.gets("renew STORE ec --new-key");
            if can {
                base.does(&words("renew STORE ec --publish asked.pem --file published.pem"));
            }
            can
        },
        arguments: |_| words("renew STORE ec --activate"),
        expected: |seen, base, now| {
            base.hands_over(seen, now);
            let new = seen.iter_mut().find(|s| s.objects == [base.signed()]).unwrap();
            assert_eq!(new.label.as_deref(), Some("ec (renewal)"));
            new.label = base.label("ec");
        },
        ..PLAIN
    },
];

fn find<'a>(seen: &'a [Seen], label: &str) -> &'a Seen {
    let found = seen.iter().find(|s| s.label.as_deref() == Some(label));
    found.unwrap_or_else(|| panic!("no {label} in {seen:?}"))
}

/// `command`, which writes a request into a file beside the store.
fn asking(base: &Base, command: &str) -> Vec<String> {
    let file = base.place.path("asked.csr").to_str().unwrap().to_owned();
    [words(command), vec!["--file".into(), file, "--force".into()]].concat()
}

/// A key that waits for its certificate, as its format keeps it.
fn waiting<'a>(seen: &'a [Seen], label: &str, base: &Base) -> &'a Seen {
    let found = find(seen, label);
    assert!(found.secret.is_some());
    let with = match base.format.name() {
        "kdb" | "pem" => ("request", 1),
        "jks" | "jceks" => ("key", 1),
        _ => ("key", 0),
    };
    assert_eq!((found.kind, found.objects.len()), with);
    found
}

impl Base {
    fn does(&self, arguments: &[String]) -> Ran {
        must(&mut self.command(arguments))
    }

    fn command(&self, arguments: &[String]) -> Command {
        let store = self.place.named(self.format);
        let arguments = arguments.iter().map(|a| if a == "STORE" { &store } else { a });
        let mut command = keyferry();
        command.current_dir(self.place.dir.path()).args(arguments);
        command.env("KEYFERRY_PASSWORD", OLD).env("OLD", OLD).env("NEW", NEW);
        command
    }

    /// Asks by `command`, and the authority answers; false: a format without keys.
    fn gets(&self, command: &str) -> bool {
        if !holds(self.format, ItemKind::Key) {
            return false;
        }
        self.does(&asking(self, command));
        let ca = format!("{}#root", authority("ca.p12"));
        let sign = words("request sign asked.csr --file asked.pem --days 300 --ca");
        self.does(&[sign, vec![ca]].concat());
        true
    }

    /// What it signed.
    fn signed(&self) -> String {
        let pem = std::fs::read(self.place.path("asked.pem")).unwrap();
        crate::support::sha256(pem::parse_many(pem).unwrap()[0].contents())
    }

    /// Where every certificate is an entry of its own, the authority's comes with what it signed.
    fn signer_comes(&self, seen: &mut Vec<Seen>) {
        if self.format.flat() || matches!(self.format.carries().labels, Labels::BySubject) {
            let pem = std::fs::read(self.place.path("asked.pem")).unwrap();
            let ca = crate::support::sha256(pem::parse_many(pem).unwrap()[1].contents());
            seen.push(Seen { kind: "cert", label: self.label("Root"), secret: None, objects: vec![ca] });
        }
    }

    /// The key "ec" makes room for its successor.
    fn hands_over(&self, seen: &mut [Seen], now: &[Seen]) {
        let old = seen.iter_mut().find(|s| s.label.as_deref() == Some("ec")).unwrap();
        let label = &now.iter().find(|s| s.objects == old.objects).unwrap().label;
        let text = label.as_deref().unwrap();
        assert!(text.starts_with("ec (old 20") || self.format.name() == "nss", "{text}");
        old.label.clone_from(label);
    }
}

/// A file of an authority: `ca.p12` with its key `root`, `list.pem` with what it revoked.
fn authority(file: &str) -> String {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let dir = scratch();
        let does = |text: &str| {
            must(keyferry().current_dir(dir.path()).args(words(text)).env("KEYFERRY_PASSWORD", OLD));
        };
        does("create ca.p12 --to-password env:KEYFERRY_PASSWORD");
        does("keygen ca.p12 --label root --type ec:p256 --profile ca --dn CN=Root --days 3000");
        does("crl create --ca ca.p12#root --file list.pem");
        dir
    });
    folder.path().join(file).to_str().unwrap().to_owned()
}

fn material(name: &str) -> String {
    testdata("java/material").join(name).to_str().unwrap().to_owned()
}

fn der_of_key(name: &str) -> Vec<u8> {
    let store =
        World::new().load(&Source::open(Path::new(&material(name))).unwrap(), &Passwords::default()).unwrap();
    store.store.entries[0].secret().unwrap().opened().unwrap().bytes.to_vec()
}

#[test]
fn every_change_of_a_java_store_is_what_was_meant() {
    every_change(|name| matches!(name, "jks" | "jceks"));
}

#[test]
fn every_change_of_a_pkcs12_is_what_was_meant() {
    every_change(|name| name == "p12");
}

#[test]
fn every_change_of_a_kdb_is_what_was_meant() {
    every_change(|name| name == "kdb");
}

#[test]
fn every_change_of_every_other_format_is_what_was_meant() {
    every_change(|name| !matches!(name, "jks" | "jceks" | "p12" | "kdb"));
}

fn every_change(of: fn(&str) -> bool) {
    let mut failed = Vec::new();
    let formats: Vec<_> = FORMATS.iter().filter(|f| f.carries().many && of(f.name())).collect();
    assert!(!formats.is_empty());
    for format in formats {
        let base = Base::of(*format);
        for change in CHANGES {
            // All that is wrong, not the first of it.
            let outcome =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| try_change(&base, change)));
            failed.extend(outcome.is_err().then(|| format!("{}: {}", format.name(), change.name)));
        }
        extracts(&base);
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

fn try_change(base: &Base, change: &Change) {
    let format = base.format;
    let what = format!("{}: {}", format.name(), change.name);
    let mut work = Base { format, place: base.place.copy(), before: Vec::new() };
    if !(change.before)(&work) {
        return;
    }
    work.before = work.place.entries(OLD);
    let (work, kept) = (&work, work.place.copy());
    let place = &work.place;
    let mut arguments = (change.arguments)(work);
    let (untouched, sealed) = (place.state(), place.sealed(OLD));
    let status = (change.status)(format);
    arguments.push("--dry-run".into());
    let shown = run(&mut work.command(&arguments));
    assert_eq!((shown.status, place.state() == untouched), (status, true), "{what}: {}", shown.err);
    arguments.pop();
    let ran = run(&mut work.command(&arguments));
    assert_eq!(ran.status, status, "{what}: {}", ran.err);
    if status != 0 {
        assert_eq!(place.state(), untouched, "{what}");
        return;
    }
    let now = place.entries(change.password);
    let mut expected = work.before.clone();
    (change.expected)(&mut expected, work, &now);
    expected.sort();
    assert_eq!(now, expected, "{what}");
    if change.password == OLD {
        let after = place.sealed(OLD);
        let moved = sealed.iter().filter(|raw| !after.contains(raw)).count();
        assert!(moved <= change.moved, "{what}: {moved} keys were enciphered anew");
    }
    differs_as_meant(&kept, work, &now, change, &what);
    peers_agree(&place.store, change.password, format, &what);
    if change.again {
        let state = place.state();
        let again = must(&mut work.command(&arguments));
        assert!(again.err.contains("already"), "{what}: {}", again.err);
        assert_eq!(place.state(), state, "{what}: again");
    }
}

/// What is taken out of a store is what stands in it, and the store stays as it is.
fn extracts(base: &Base) {
    let (place, name) = (&base.place, base.format.name());
    let before = place.state();
    let out = scratch();
    let extract = |label: &str, file: &str, more: &[&str]| {
        let mut command = keyferry();
        command.arg("extract").arg(place.named(base.format)).arg(label).arg(out.path().join(file));
        must(command.args(more).env("KEYFERRY_PASSWORD", OLD).env("NEW", NEW));
    };
    extract(&base.extra(), "extra.pem", &[]);
    let text = std::fs::read_to_string(out.path().join("extra.pem")).unwrap();
    assert_eq!(pem::parse(text).unwrap().contents(), der("trust1.crt"), "{name}");
    if base.format.carries().items.contains(&ItemKind::Key) {
        extract("ec", "ec.p12", &["--key", "--to-password", "env:NEW"]);
        let store = out.path().join("ec.p12");
        let own = Place { dir: out, store, old: NEW }.seen(&Passwords::one(NEW));
        let wanted = base.before.iter().find(|s| s.label.as_deref() == Some("ec")).unwrap();
        assert_eq!((own.len(), &own[0].secret), (1, &wanted.secret), "{name}");
    }
    assert_eq!(place.state(), before, "{name}");
}

impl Place {
    /// The same in another folder.
    fn copy(&self) -> Place {
        let dir = scratch();
        for file in std::fs::read_dir(self.dir.path()).unwrap().map(|e| e.unwrap()) {
            copy(&file.path(), &dir.path().join(file.file_name()));
        }
        let store = dir.path().join(self.store.file_name().unwrap());
        Place { dir, store, old: self.old }
    }
}

/// Our `diff` of the store as it was and as it is says what was meant, and nothing else.
fn differs_as_meant(old: &Place, work: &Base, now: &[Seen], change: &Change, what: &str) {
    let mut diff = keyferry();
    diff.args(["diff", "--json"]).args([old, &work.place].map(|p| p.named(work.format)));
    for (place, password) in [(old, OLD), (&work.place, change.password)] {
        diff.arg("--password").arg(format!("{}=pass:{password}", place.store.display()));
    }
    let ran = run(&mut diff);
    let found: serde_json::Value =
        serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{what}: {e} {}", ran.err));
    let text = |v: &serde_json::Value| v.as_str().map(str::to_owned);
    let side = |name: &str| {
        let one = |v: &serde_json::Value| [&v["kind"], &v["label"], &v["sha256"]].map(text);
        let mut all: Vec<_> = found[name].as_array().unwrap().iter().map(one).collect();
        all.sort();
        all
    };
    let mut changed: Vec<[Option<String>; 3]> = Vec::new();
    for entry in found["changed"].as_array().unwrap() {
        let one = |c: &serde_json::Value| [&entry["label"], &c["what"], &c["to"]].map(text);
        changed.extend(entry["changes"].as_array().unwrap().iter().map(one));
    }
    changed.sort();

    let (mut gone, mut came, mut renamed) = (Vec::new(), Vec::new(), Vec::new());
    let object = |s: &Seen| s.objects.first().or(s.secret.as_ref()).cloned();
    let row = |s: &Seen| [Some(s.kind.to_owned()), s.label.clone(), s.objects.first().cloned()];
    let mut rest = now.to_vec();
    for was in &work.before {
        match rest.iter().position(|s| object(s) == object(was)) {
            None => gone.push(row(was)),
            Some(at) => {
                let is = rest.swap_remove(at);
                assert_eq!(is.kind, was.kind, "{what}");
                let by = [was.label.clone(), Some("label".to_owned()), is.label.clone()];
                renamed.extend((is.label != was.label).then_some(by));
            }
        }
    }
    came.extend(rest.iter().map(row));
    let stay = work.before.len() - gone.len() - renamed.len();
    let said = (change.said)(work);
    assert!(said.len() <= stay);
    renamed.extend(said.iter().map(|s| s.clone().map(Some)));
    [&mut gone, &mut came, &mut renamed].into_iter().for_each(|list| list.sort());
    assert_eq!((side("added"), side("removed"), changed), (came, gone, renamed), "{what}");
    assert_eq!(found["same"], serde_json::json!(stay - said.len()), "{what}");
    assert_eq!(ran.status, i32::from(change.password == OLD), "{what}");
}

/// The format's own tool lists the same.
pub fn peers_agree(store: &Path, password: &str, format: &dyn formats::Format, what: &str) {
    let seen = || {
        let secrets = Passwords::one(password);
        let read = World::new().load(&Source::open(store).unwrap(), &secrets).unwrap();
        sorted(&read.store, &secrets)
    };
    match format.name() {
        "jks" | "jceks" | "p12" => {
            let kind =
                if format.name() == "p12" { "PKCS12".to_owned() } else { format.name().to_uppercase() };
            // Java knows no revocation lists, and OpenSSL shows none.
            let mut ours = java_view(store, password);
            ours.retain(|line| !line.starts_with("crl "));
            assert_eq!(java_list(&system_java(), &kind, store, password, &[]), ours, "{what}");
            if format.name() == "p12" {
                // A key with two certificates stands there twice.
                let mut theirs = openssl_view(store, password);
                theirs.dedup();
                let lists: Vec<_> = seen().into_iter().filter(|s| s.kind == "crl").collect();
                let mut ours = view_of_ours(store, password);
                ours.retain(|line| !lists.iter().any(|l| *line == format!("cert {}", l.objects[0])));
                assert_eq!(theirs, ours, "{what}");
            }
        }
        "kdb" if !without_gskit() => assert_eq!(their_view(store, password), our_view(store), "{what}"),
        "nss" => {
            let file = scratch();
            let file = file.path().join("password");
            std::fs::write(&file, password).unwrap();
            let certutil = |list: &str| {
                let mut command = Command::new("certutil");
                command.arg(list).arg("-d").arg(format!("sql:{}", store.display()));
                run(command.arg("-f").arg(&file))
            };
            let listed = certutil("-L");
            assert_eq!(listed.status, 0, "{what}: {}", listed.err);
            // Behind four lines of headings a nickname and its flags on each.
            let name =
                |line: &str| line.trim_end().rsplit_once(' ').map(|(name, _)| name.trim_end().to_owned());
            let mut names: Vec<_> = listed.out.lines().skip(4).filter_map(name).collect();
            names.sort();
            let seen = seen();
            let certificates =
                || seen.iter().filter(|s| matches!(s.kind, "key" | "cert") && !s.objects.is_empty());
            let mut ours: Vec<_> = certificates().map(|s| s.label.clone().unwrap()).collect();
            ours.sort();
            assert_eq!(names, ours, "{what}: {}", listed.out);
            let lists = seen.iter().filter(|s| s.kind == "crl").count();
            let listed = certutil_lists(store);
            assert_eq!(listed, lists, "{what}");
            let keys: BTreeSet<_> = seen.iter().filter(|s| s.kind == "key").map(|s| &s.secret).collect();
            let listed = certutil("-K").out;
            assert_eq!(listed.lines().filter(|l| l.starts_with('<')).count(), keys.len(), "{what}: {listed}");
        }
        "pem" => {
            let mut command = Command::new("openssl");
            let pass = format!("pass:{password}");
            let ran = run(command.args(["storeutl", "-passin", &pass]).arg(store));
            let blocks = pem::parse_many(&ran.out).unwrap();
            let keys: BTreeSet<_> =
                blocks.iter().filter(|b| b.tag().ends_with("PRIVATE KEY")).map(|b| b.contents()).collect();
            // It has no word for requests, and says so.
            let seen = seen();
            let requests = seen.iter().any(|s| s.kind == "request");
            assert!(ran.status == 0 || requests, "{what}: {}", ran.err);
            let objects = seen.iter().filter(|s| s.kind != "request").flat_map(|s| s.objects.clone());
            let ours: BTreeSet<_> = objects.collect();
            let theirs = blocks.iter().filter(|b| !b.tag().ends_with("PRIVATE KEY"));
            let theirs: BTreeSet<_> = theirs.map(|b| crate::support::sha256(b.contents())).collect();
            assert_eq!(theirs, ours, "{what}");
            let ours: BTreeSet<_> = seen.iter().filter_map(|s| s.secret.as_ref()).collect();
            assert_eq!(keys.len(), ours.len(), "{what}");
        }
        "p7b" => {
            let mut command = Command::new("openssl");
            let form = if std::fs::read(store).unwrap().starts_with(b"-----") { "PEM" } else { "DER" };
            let ran = must(command.args(["pkcs7", "-print_certs", "-inform", form, "-in"]).arg(store));
            let blocks = pem::parse_many(&ran.out).unwrap();
            let mut theirs: Vec<_> =
                blocks.iter().map(|b| format!("cert {}", crate::support::sha256(b.contents()))).collect();
            theirs.sort();
            assert_eq!(theirs, view_of_ours(store, password), "{what}");
        }
        other => assert_eq!(other, "kdb", "no peer for this format"),
    }
}

/// How many revocation lists NSS finds.
fn certutil_lists(store: &Path) -> usize {
    let mut command = Command::new("crlutil");
    let listed = must(command.arg("-L").arg("-d").arg(format!("sql:{}", store.display()))).out;
    listed.lines().filter(|l| l.trim_end().ends_with("CRL")).count()
}

#[test]
fn what_others_put_into_a_pkcs12_stays() {
    let dir = scratch();
    let material = |name: &str| testdata("java/material").join(name);
    let mut export = Command::new("openssl");
    export
        .args(["pkcs12", "-export", "-inkey"])
        .arg(material("rsa.key"))
        .arg("-in")
        .arg(material("rsa.chain"));
    export.args(["-name", "web", "-caname", "issuer", "-CSP", "Microsoft Software KSP", "-LMK"]);
    export.args(["-passout", "pass:changeit", "-out"]).arg(dir.path().join("x.p12"));
    must(&mut export);
    let place = Place { store: dir.path().join("x.p12"), dir, old: OLD };
    let info = || {
        let mut command = Command::new("openssl");
        command.args(["pkcs12", "-info", "-nodes", "-passin", "pass:changeit", "-in"]).arg(&place.store);
        let ran = must(&mut command);
        let kept = ran.out.lines().filter(|l| l.contains("Microsoft") || l.contains("issuer"));
        let key = ran.err.lines().find(|l| l.starts_with("Shrouded Keybag")).unwrap().to_owned();
        (kept.map(str::to_owned).collect::<Vec<_>>(), key)
    };
    let before = info();
    assert!(before.0.iter().any(|l| l.contains("Microsoft Software KSP")), "{before:?}");
    must(&mut place.command("rename", &["web", "web 2"]));
    must(&mut place.command("add", &[&self::material("trust1.crt"), "--label", "x"]));
    must(&mut place.command("remove", &["x", "--yes"]));
    assert_eq!(info(), before);
    // Java's usages of trusted certificates, which say more than we do.
    let place = Place::of("p12/java-trust-usages.p12");
    let usages = || {
        let store = place.load(&Passwords::one(OLD));
        let of = |e: &Entry| (e.label_text().into_owned(), e.attrs.clone());
        store.entries.iter().map(of).collect::<BTreeMap<_, _>>()
    };
    let before = usages();
    assert!(before.values().any(|a| !a.is_empty()));
    must(&mut place.command("add", &[&self::material("rsa2.crt"), "--label", "x", "--allow-loss=trust"]));
    must(&mut place.command("remove", &["x", "--yes", "--allow-loss=trust"]));
    assert_eq!(usages(), before);
}

/// Java trusts a lone certificate that has its mark, and sees no other.
#[test]
fn a_certificate_is_not_trusted_by_the_way() {
    let place = Place::of("p12/orphan-certs.p12");
    let java = || java_list(&system_java(), "PKCS12", &place.store, OLD, &[]);
    let trusted = || java().iter().filter(|l| l.starts_with("cert ")).count();
    assert_eq!((trusted(), place.load(&Passwords::one(OLD)).entries.len()), (0, 2));
    must(&mut place.command("rename", &["k", "key"]));
    must(&mut place.command("add", &[&material("trust1.crt"), "--label", "ca"]));
    must(&mut place.command("passwd", &["--to-password", "env:OLD"]));
    assert_eq!(trusted(), 1, "{:?}", java());
    let trust = |arguments: &[&str]| run(&mut place.command("trust", &[&["ca"], arguments].concat()));
    // It can be left open only, which others take for trust; said once it is said.
    let ran = trust(&["--none"]);
    assert!(ran.status == 5 && ran.err.contains("GSKit does"), "{}", ran.err);
    assert_eq!(trust(&["--none", "--allow-loss=trust"]).status, 0);
    assert!(trust(&["--none"]).err.contains("already"));
    must(&mut place.command("rename", &["key", "k"]));
    assert_eq!(trusted(), 0, "{:?}", java());
    assert_eq!(trust(&["--anchor", "all"]).status, 0);
    assert_eq!(trusted(), 1, "{:?}", java());
}

/// GSKit says of a password what we say.
#[test]
fn strong_passwords_are_those_that_gskit_calls_so() {
    if without_gskit() {
        return;
    }
    let mut passwords: Vec<String> = [
        "Abcdefghijklm1",
        "Abcdefghijkl1",
        "abcdefghijklm1",
        "ABCDEFGHIJKLM1",
        "Abcdefghijklmn",
        "Abcdefghijklm ",
        "Abcdefghijklm_",
        "Abbcdefghijkm1",
        "Abbbcdefghijk1",
        "Aabcadeafghij1",
        "Aabcadeafagij1",
        "a",
    ]
    .map(str::to_owned)
    .into();
    let made = ["14", "20", "128"].map(|length| {
        let mut random = keyferry();
        must(random.args(["random", "--strong", "--length", length])).out.trim_end().to_owned()
    });
    passwords.extend(made.clone());
    let ran = must(oracle().arg("strong").arg("--").args(&passwords));
    let theirs: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let ours: Vec<bool> = passwords.iter().map(|p| is_strong(p.as_bytes())).collect();
    assert_eq!(theirs["strong"], serde_json::json!(ours), "{passwords:?}");
    assert!(ours.ends_with(&[true; 3]) && ours.iter().filter(|s| **s).count() == 8, "{ours:?}");
}

#[test]
fn what_others_put_into_a_database_stays() {
    let place = Place::of("nss/personal");
    std::fs::write(place.path("pw"), "Keystore-1").unwrap();
    // A secret key as Firefox keeps one, a list, and an object of no class that we know.
    let connection = rusqlite::Connection::open(place.store.join("cert9.db")).unwrap();
    let foreign = "INSERT INTO nssPublic (id, a0, a1, a2, a3) VALUES (77, x'CE534352', x'01', x'00', x'41')";
    connection.execute(foreign, []).unwrap();
    drop(connection);
    let before = rows(&place.store);
    let command = |name: &str, arguments: &[&str]| {
        let mut command = place.command(name, arguments);
        must(command.env("KEYFERRY_PASSWORD", "Keystore-1"))
    };
    command("rename", &["alice", "alicia"]);
    let now = rows(&place.store);
    let differ = before.iter().zip(&now).filter(|(a, b)| a != b).count();
    assert_eq!((before.len(), differ), (now.len(), 1));
    command("rename", &["alicia", "alice"]);
    command("add", &[&material("trust1.crt"), "--label", "x"]);
    command("trust", &["x", "--peer", "email"]);
    command("remove", &["x", "--yes"]);
    assert_eq!(rows(&place.store), before);
}

#[test]
fn labels_of_what_comes_in_are_made_and_numbered() {
    let base = Base::of(formats::by_name("kdb").unwrap());
    let place = &base.place;
    let labels = || place.entries(OLD).into_iter().filter_map(|s| s.label).collect::<Vec<_>>();
    let add = |arguments: &[&str]| run(&mut place.command("add", arguments));
    let (a, b) = (material("samedn1.crt"), material("samedn2.crt"));
    // One name for two, and one that is taken.
    assert_eq!(add(&[&a, &b, "--label", "twice"]).status, 5);
    assert_eq!(add(&[&a, "--label", "server"]).status, 5);
    assert_eq!(add(&[&a, "--label", "{nonsense}"]).status, 2);
    let ran = add(&[&a, &b, &a, "--label", "{cn} of {file}"]);
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.err.contains("there already") && ran.err.contains("2 added"), "{}", ran.err);
    let now = labels();
    assert!(now.iter().any(|l| l.ends_with(" of samedn1")) && now.iter().any(|l| l.ends_with(" of samedn2")));
    // Without a word each gets its name, the second a number.
    let other = Base::of(formats::by_name("jks").unwrap());
    must(&mut other.place.command("add", &[&a, &b]));
    let now = other.place.entries(OLD).into_iter().filter_map(|s| s.label).collect::<Vec<_>>();
    assert!(now.iter().any(|l| l.ends_with(" #2")), "{now:?}");
    // One entry of a store; a file that is damaged is not taken by halves.
    let from = format!("{}#extra-ca", testdata("p12/jdk17-default.p12").display());
    must(&mut other.place.command("remove", &["extra-ca", "--yes"]));
    let ran = must(&mut other.place.command("add", &[&from]));
    assert!(ran.err.contains("1 added"), "{}", ran.err);
    // Secret keys are told by what they are.
    let secrets = testdata("p12/jdk-secrets.p12");
    let jceks = Place::of("java/jceks-basic.jceks");
    let into = |status: &str| {
        let ran = must(&mut jceks.command("add", &[secrets.to_str().unwrap()]));
        assert!(ran.err.contains(status), "{}", ran.err);
    };
    into("4 added");
    into("all of it is there already");
    let half = place.path("half.pem");
    let text = std::fs::read_to_string(material("rsa.chain")).unwrap();
    std::fs::write(&half, &text[..text.len() - 100]).unwrap();
    let before = place.state();
    assert_eq!(add(&[half.to_str().unwrap()]).status, 3);
    assert_eq!(place.state(), before);
}

/// A key in one file and its certificates in another are one entry, in whatever order they come.
#[test]
fn a_key_finds_its_certificate_in_another_file() {
    let [key, chain, leaf] = ["rsa2.key", "rsa2.chain", "rsa2.crt"].map(material);
    let is_whole = |place: &Place, links: usize, what: &str| {
        let seen = place.seen(&Passwords::one(OLD));
        let hash = crate::support::sha256(&der("rsa2.crt"));
        let mut with = seen.iter().filter(|s| s.objects.first() == Some(&hash));
        let entry = with.next().unwrap_or_else(|| panic!("{what}: {seen:#?}"));
        assert_eq!((entry.kind, entry.objects.len() >= links, with.next()), ("key", true, None), "{what}");
        entry.label.clone()
    };
    for format in FORMATS.iter().filter(|f| f.carries().many && holds(**f, ItemKind::Key)) {
        let (base, name) = (Base::of(*format), format.name());
        let place = base.place.copy();
        let rows = place.entries(OLD).len();
        base_add(&base, &place, &[&chain, &key, "--label", "joined"]);
        assert_eq!(is_whole(&place, 3, name).as_deref(), Some("joined"));
        assert_eq!(place.entries(OLD).len(), rows + 1, "{name}: the signers came as entries");
        peers_agree(&place.store, OLD, *format, name);
        // One after the other: what is there by itself is the key's then, unless it is an anchor of Java's.
        let place = base.place.copy();
        base_add(&base, &place, &[&leaf]);
        base_add(&base, &place, &[&key, "--label", "later"]);
        let keys = place.entries(OLD).iter().filter(|s| s.kind == "key").count();
        let before = base.before.iter().filter(|s| s.kind == "key").count();
        assert_eq!(keys, before + 1, "{name}");
        assert!(
            place
                .load(&Passwords::one(OLD))
                .entries
                .iter()
                .all(|e| e.secret().is_none() || e.object().is_some())
        );
        peers_agree(&place.store, OLD, *format, name);
    }
    // A key that waits in a PKCS#12.
    let base = Base::of(formats::by_name("p12").unwrap());
    assert!(base.gets("request create STORE --label asked --type ec:p256 --dn CN=asked"));
    base_add(&base, &base.place, &["asked.pem"]);
    let asked = find(&base.place.entries(OLD), "asked").clone();
    assert_eq!((asked.kind, asked.objects), ("key", vec![base.signed()]));
}

fn base_add(base: &Base, place: &Place, arguments: &[&str]) {
    let mut command = keyferry();
    command.current_dir(place.dir.path()).arg("add").arg(place.named(base.format)).args(arguments);
    must(command.env("KEYFERRY_PASSWORD", OLD));
}

#[test]
fn keys_and_their_signers_are_not_taken_by_the_way() {
    for format in ["kdb", "nss"] {
        let base = Base::of(formats::by_name(format).unwrap());
        let place = &base.place;
        let remove = |arguments: &[&str]| {
            let mut command = keyferry();
            command.current_dir(place.dir.path()).arg("remove").arg(place.named(base.format));
            run(command.args(arguments).env("KEYFERRY_PASSWORD", OLD))
        };
        let before = place.state();
        let refused = |arguments: &[&str], status: i32, words: &str| {
            let ran = remove(arguments);
            assert_eq!((ran.status, ran.err.contains(words)), (status, true), "{format}: {}", ran.err);
            assert_eq!(place.state(), before, "{format}: {arguments:?}");
        };
        refused(&["root-ca", "--yes"], 5, "needs it in its chain");
        refused(&["--label", "ec", "--label", "server", "--yes"], 5, "last private key");
        refused(&["extra-ca"], 2, "--yes");
        refused(&["nobody", "--yes"], 1, "nothing matches");
        refused(&["--subject", "CN=*", "--yes"], 2, "\\*");
        refused(&["--sha256", "12", "--yes"], 2, "64 digits");
        // The whole subject, byte for byte.
        refused(&["--subject", "CN=Example Test Root CA", "--yes"], 1, "nothing matches");
        let chain = || {
            let seen = place.seen(&Passwords::one(OLD));
            seen.iter().filter(|s| s.kind == "key").map(|s| s.objects.len()).collect::<Vec<_>>()
        };
        let long = chain();
        let ran =
            remove(&["--subject", "CN=Example Test Root CA,O=Example Test,C=CH", "--yes", "--break-chains"]);
        assert_eq!(ran.status, 0, "{format}: {}", ran.err);
        assert!(chain().iter().zip(&long).all(|(now, then)| now + 1 == *then), "{format}: {:?}", chain());
        let ran = remove(&["--label", "ec", "--label", "server", "--yes", "--last-key"]);
        assert_eq!(ran.status, 0, "{format}: {}", ran.err);
        assert!(chain().is_empty());
    }
}

/// Runs a command at a terminal, and types a password and an answer when it is asked for them.
const PERSON: &str = r#"
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp('sh', ['sh', '-c', sys.argv[1]])
said = b''
for question, answer in (b'Password for', 'changeit'), (b'[y/N]', sys.argv[2]):
    while question not in said:
        said += os.read(terminal, 1000)
    os.write(terminal, answer.encode() + b'\n')
try:
    while True:
        said += os.read(terminal, 1000)
except OSError:
    print(said.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

/// At a terminal: what is typed answers one question for the password and one for the consent.
#[test]
fn a_person_is_asked_once_for_each_thing() {
    let place = Place::of("java/jks-basic.jks");
    let remove = |typed: &str| {
        let program = keyferry();
        let line = format!("{} remove {} root-ca", program.get_program().display(), place.store.display());
        let mut python = Command::new("timeout");
        python.args(["20", "python3", "-c", PERSON]).arg(line).arg(typed).env_remove("KEYFERRY_PASSWORD");
        run(&mut python)
    };
    let before = place.state();
    let no = remove("n");
    assert_eq!((no.status, place.state() == before), (5, true), "{}", no.out);
    let yes = remove("y");
    assert_eq!(yes.status, 0, "{}{}", yes.out, yes.err);
    assert_eq!(yes.out.matches("Password for").count(), 1, "{}", yes.out);
    assert!(yes.out.contains("- cert \"root-ca\"") && yes.out.contains("1 removed"), "{}", yes.out);
}

#[test]
fn a_certificate_goes_from_every_store_of_a_tree() {
    let dir = scratch();
    let stores = ["a/x.jks", "a/b/x.p12", "a/b/x.kdb", "a/other.jks"];
    for store in stores {
        let path = dir.path().join(store);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let from =
            if store == "a/other.jks" { "java/jks-key-passwords.jks" } else { "p12/jdk17-default.p12" };
        let mut convert = keyferry();
        convert.arg("convert").arg(testdata(from)).arg(&path).args(["-q", "--allow-loss"]);
        must(convert.env("KEYFERRY_PASSWORD", OLD));
    }
    let remove = |more: &[&str]| {
        let mut command = keyferry();
        command.current_dir(dir.path()).args(["remove", "-r", "a", "--sha256", &extra_hash()]).args(more);
        run(command.env("KEYFERRY_PASSWORD", OLD))
    };
    let before = files(dir.path());
    let shown = remove(&["--dry-run"]);
    assert_eq!((shown.status, files(dir.path()) == before), (0, true), "{}", shown.err);
    assert_eq!(shown.out.matches("- cert \"extra-ca\"").count(), 3, "{}", shown.out);
    assert_eq!(remove(&[]).status, 2);
    assert_eq!(files(dir.path()), before);
    let ran = remove(&["--yes"]);
    assert_eq!((ran.status, ran.err.matches("1 removed").count()), (0, 3), "{}", ran.err);
    assert_eq!(remove(&["--yes"]).status, 1);
    let now = files(dir.path());
    let untouched = dir.path().join("a/other.jks");
    assert_eq!(now[&untouched], before[&untouched]);
}

#[test]
fn an_entry_comes_out_in_any_form() {
    let base = Base::of(formats::by_name("kdb").unwrap());
    let place = &base.place;
    let extract = |arguments: &[&str]| run(&mut place.command("extract", arguments));
    let pem = extract(&["server"]);
    assert_eq!(pem.status, 0, "{}", pem.err);
    let leaf = pem::parse(&pem.out).unwrap();
    assert_eq!((leaf.tag(), leaf.contents()), ("CERTIFICATE", &der("rsa.crt")[..]));
    let chain = extract(&["server", "--chain"]);
    assert_eq!(pem::parse_many(&chain.out).unwrap().len(), 3, "{}", chain.out);
    // A certificate on its own has a chain too.
    assert_eq!(pem::parse_many(extract(&["ec", "--chain"]).out).unwrap().len(), 3);
    assert_eq!(extract(&["extra-ca", "extra.der"]).status, 0);
    assert_eq!(std::fs::read(place.path("extra.der")).unwrap(), der("trust1.crt"));
    assert_eq!(extract(&["extra-ca", "extra.der"]).status, 5, "it is there");
    assert_eq!(extract(&["extra-ca", "extra.der", "--force"]).status, 0);
    assert_eq!(extract(&["extra-ca", "extra.arm"]).status, 0);
    assert!(std::fs::read_to_string(place.path("extra.arm")).unwrap().contains("BEGIN CERTIFICATE"));
    assert_eq!(extract(&["extra-ca", "--key"]).status, 5);
    assert_eq!(extract(&["server", "x.p12", "--key", "--to-password", "env:NEW"]).status, 0);
    let own = Place { dir: scratch(), store: place.path("x.p12"), old: NEW };
    assert_eq!(
        own.seen(&Passwords::one(NEW))[0].secret,
        base.before.iter().find(|s| s.label.as_deref() == Some("server")).unwrap().secret
    );
    // A file that holds one object gets no second.
    let der = Place { dir: scratch(), store: place.path("extra.der"), old: OLD };
    let before = std::fs::read(&der.store).unwrap();
    assert_eq!(run(&mut der.command("add", &[&material("trust2.crt")])).status, 5);
    assert_eq!(run(&mut der.command("rename", &["extra-ca", "x"])).status, 3);
    assert_eq!(std::fs::read(&der.store).unwrap(), before);
    // The store itself stays, and is no place for it.
    assert_eq!(extract(&["server", "x.kdb", "--force"]).status, 5);
    assert_eq!(place.entries(OLD), base.before);
}

#[test]
fn trust_is_what_nss_shows() {
    let base = Base::of(formats::by_name("nss").unwrap());
    let place = &base.place;
    std::fs::write(place.path("pw"), OLD).unwrap();
    let shown = || {
        let mut command = Command::new("certutil");
        command
            .arg("-L")
            .arg("-d")
            .arg(format!("sql:{}", place.store.display()))
            .arg("-f")
            .arg(place.path("pw"));
        let out = must(&mut command).out;
        let line = out.lines().find(|l| l.starts_with("extra-ca ")).unwrap().to_owned();
        line.rsplit_once(' ').map(|(_, flags)| flags.to_owned()).filter(|f| !f.is_empty()).unwrap_or(line)
    };
    let trust = |arguments: &[&str]| run(&mut place.command("trust", &[&["extra-ca"], arguments].concat()));
    for (arguments, letters) in [
        (&["--anchor", "server,client"][..], "CT,,"),
        (&["--anchor", "server", "--distrust", "email"], "C,p,"),
        (&["--anchor", "all"], "CT,C,C"),
        (&["--peer", "email", "--anchor", "code"], ",P,C"),
        (&["Cw,c,p"], "C,c,p"),
        (&["--none"], ",,"),
    ] {
        let ran = trust(arguments);
        assert_eq!(ran.status, 0, "{arguments:?}: {}", ran.err);
        let now = shown();
        assert!(now.trim().ends_with(letters), "{arguments:?}: {now}");
        assert!(trust(arguments).err.contains("already"), "{arguments:?}");
    }
    assert_eq!(trust(&["--anchor", "server", "--distrust", "all"]).status, 2);
    assert_eq!(trust(&["CT,C"]).status, 2);
    assert_eq!(trust(&[]).status, 2);
    // What may not issue is no anchor.
    assert_eq!(run(&mut place.command("trust", &["server", "--anchor", "server"])).status, 5);
}

#[test]
fn a_new_store_is_never_one_that_is_there() {
    for format in FORMATS.iter().filter(|f| f.carries().many) {
        let dir = scratch();
        let name =
            if format.in_place().is_some() { "db".into() } else { format!("x.{}", format.suffixes()[0]) };
        let place = Place { store: dir.path().join(name), dir, old: OLD };
        let create = |files: &[&str]| {
            let mut command = keyferry();
            command.current_dir(place.dir.path()).arg("create").arg(place.named(*format)).args(files);
            if format.carries().password != formats::PasswordUse::Never {
                command.args(["--to-password", "env:PW"]);
            }
            run(command.env("PW", OLD))
        };
        let empty = create(&[]);
        let holds_none = format.name() == "pem";
        assert_eq!(empty.status, if holds_none { 5 } else { 0 }, "{}: {}", format.name(), empty.err);
        if holds_none {
            assert_eq!(create(&[&material("trust1.crt")]).status, 0);
        }
        let before = place.state();
        assert_eq!(create(&[&material("trust2.crt")]).status, 5, "{}", format.name());
        assert_eq!(place.state(), before, "{}", format.name());
        assert_eq!(place.load(&Passwords::one(OLD)).entries.len(), usize::from(holds_none));
        peers_open_empty(&place, *format);
    }
    // A stash only where it is wanted, and where there can be one.
    let dir = scratch();
    let create = |arguments: &[&str]| {
        run(keyferry().current_dir(dir.path()).arg("create").args(arguments).env("PW", OLD))
    };
    assert_eq!(create(&["a.kdb", "--to-password", "env:PW"]).status, 0);
    assert_eq!(create(&["b.kdb", "--to-password", "env:PW", "--stash"]).status, 0);
    assert_eq!(["a.sth", "b.sth"].map(|f| dir.path().join(f).exists()), [false, true]);
    assert_eq!(create(&["c.jks", "--to-password", "env:PW", "--stash"]).status, 2);
    assert_eq!(create(&["c.jks"]).status, 4, "nobody said a password");
    assert_eq!(create(&["nss:db"]).status, 4);
    assert_eq!(create(&["nss:db", "--to-password", "none"]).status, 0);
    assert_eq!(create(&["c.kdb", "--to-password", "none"]).status, 4);
    if !without_gskit() {
        gskit(&["open-stashed"], &dir.path().join("b.kdb"), &[]);
    }
}

/// Its own tool opens a store in which there is nothing.
fn peers_open_empty(place: &Place, format: &dyn formats::Format) {
    match format.name() {
        "jks" | "jceks" | "p12" => {
            let mut list = Command::new("keytool");
            let ran = must(list.args(["-list", "-storepass", OLD, "-keystore"]).arg(&place.store));
            assert!(ran.out.contains("contains 0 entries"), "{}", ran.out);
        }
        "nss" => {
            std::fs::write(place.path("pw"), OLD).unwrap();
            let mut list = Command::new("certutil");
            list.arg("-L")
                .arg("-d")
                .arg(format!("sql:{}", place.store.display()))
                .arg("-f")
                .arg(place.path("pw"));
            must(&mut list);
        }
        "kdb" if !without_gskit() => drop(gskit(&["list"], &place.store, &["--pw", OLD])),
        _ => {}
    }
}
