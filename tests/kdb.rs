//! Key databases of IBM's GSKit: every golden set in all that its manifest says, broken files, and GSKit
//! itself, which opens and changes what we write while we read what it changes.
//!
//! GSKit is driven through `tests/oracles/gskit.py`; the library comes in a Python package that
//! `scripts/test` installs for the tests alone.

use crate::golden::{Case, cases};
use crate::support::{
    NOW_MS, Passwords, Seen, World, keyferry, must, nobody, root, run, scratch, seen, sha256, skipped,
    testdata,
};
use formats::model::{Item, Level, LossKind, Purpose, Store, Trust};
use formats::place::{Source, Staging};
use formats::{Kind, Secrets, stash};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

/// One golden database for each format.
const ONE_OF_EACH: [&str; 3] = ["rsa-chain.kdb", "fips.kdb", "format6.kdb"];

#[test]
fn every_set_says_what_gskit_says() {
    let mut sets = 0;
    for case in cases().iter().filter(|c| c.name.starts_with("kdb/") && c.is_ok()) {
        sets += 1;
        let store = read(&case.path, &case.passwords());
        check_flags(case, &store);
        assert_eq!(
            fact(&store, "password-expires"),
            case.manifest["password_expires"].to_string(),
            "{}",
            case.name
        );
        assert_eq!(fact(&store, "format"), case.manifest["container"].to_string(), "{}", case.name);
        assert!(store.entries.iter().all(|e| e.authenticated == Some(true)), "{}", case.name);
        check_stash(case);
    }
    assert!(sets >= 34, "only {sets} sets");
}

fn check_flags(case: &Case, store: &Store) {
    for entry in case.manifest["entries"].as_array().unwrap() {
        let label = entry["label"].as_str().unwrap();
        let found: Vec<_> = store.entries.iter().filter(|e| e.label_text() == label).collect();
        assert_eq!(found.len(), 1, "{}: {label}", case.name);
        let Some(trusted) = entry["trusted"].as_bool() else { continue };
        let level = if trusted { Level::Anchor } else { Level::Unset };
        let trust = found[0].trust.as_ref().unwrap();
        assert!(Purpose::ALL.iter().all(|p| trust.level(*p) == level), "{}: {label}", case.name);
        assert_eq!(found[0].default, entry["default"].as_bool().unwrap(), "{}: {label}", case.name);
    }
}

fn check_stash(case: &Case) {
    let form = match case.manifest["stash"].as_str() {
        Some("v1") => stash::Form::One,
        Some("v2") => stash::Form::Two,
        _ => return,
    };
    let bytes = std::fs::read(case.path.with_extension("sth")).unwrap();
    assert_eq!(stash::form_of(&bytes), form, "{}", case.name);
    let password = stash::read(&bytes).unwrap();
    assert_eq!(
        password.bytes(),
        case.manifest["store_password"].as_str().unwrap().as_bytes(),
        "{}",
        case.name
    );
}

#[test]
fn stashes_come_back_whatever_the_password() {
    let world = World::new();
    for len in [1, 2, 14, 127, 128, 129, 192, 300] {
        let password = formats::model::Password::new((0..len).map(|i| (i % 255 + 1) as u8).collect());
        for form in [stash::Form::One, stash::Form::Two] {
            let bytes = stash::write(&password, form, &world.session.rng).unwrap();
            assert_eq!(stash::form_of(&bytes), form);
            assert_eq!(stash::read(&bytes).unwrap().bytes(), password.bytes(), "{len}");
            // A zero in the filler is what GSKit refuses.
            let mut cut = bytes.to_vec();
            cut.truncate(100);
            assert_eq!(stash::read(&cut).err().map(|e| e.kind()), Some(Kind::Password));
        }
    }
    for bad in [&b""[..], &[0; 129], &[0xf5; 129], &[1; 200]] {
        assert_eq!(stash::read(bad).err().map(|e| e.kind()), Some(Kind::Password), "{bad:x?}");
    }
    let empty = formats::model::Password::new(Vec::new());
    assert!(stash::write(&empty, stash::Form::One, &world.session.rng).is_err());
}

/// What a change does, with the right password and without one.
struct Broken {
    name: &'static str,
    change: fn(&mut Vec<u8>),
    proved: Result<(), Kind>,
    unproved: Result<(), Kind>,
    /// Part of the message, of one or the other.
    says: &'static str,
}

#[test]
fn broken_files_say_what_is_wrong() {
    let good = std::fs::read(testdata("kdb/one-ca.kdb")).unwrap();
    let bad = |name, change, proved, unproved, says| Broken {
        name,
        change,
        proved: Err(proved),
        unproved: Err(unproved),
        says,
    };
    let (m, p, u) = (Kind::Malformed, Kind::Password, Kind::Unsupported);
    let all = [
        bad("no bytes", |b| b.clear(), m, m, ""),
        bad("less than a header", |b| b.truncate(30), m, m, "truncated"),
        bad("a slot too short", |b| b.truncate(5079), m, m, "truncated"),
        bad("a byte too many", |b| b.push(0), m, m, "after the last slot"),
        bad("a slot too many", |b| b.extend([0; 5000]), m, m, "after the last slot"),
        bad("another magic", |b| b[1] = 0x49, m, m, "not a key"),
        bad("format 5", |b| b[2] = 5, u, u, "format 5"),
        bad("minor 0", |b| b[3] = 0, m, m, "not a key database"),
        bad("minor 3", |b| b[3] = 3, m, m, "not a key database"),
        bad("an unknown type", |b| b[14] = b'X', m, m, "not a key database"),
        bad("slots of no bytes", |b| b[16..20].fill(0), m, m, "slots of 0 bytes"),
        bad("slots of 31 bytes", |b| b[16..20].copy_from_slice(&[0, 0, 0, 31]), m, m, "slots of 31"),
        bad("huge slots", |b| b[16..20].fill(0xff), m, m, "slots of 4294967295"),
        bad("a huge count", |b| b[20..24].fill(0xff), m, m, "truncated"),
        Broken { unproved: Ok(()), ..bad("an expiry that wasn't", |b| b[5] = 1, p, m, "password") },
        Broken { unproved: Ok(()), ..bad("another salt", |b| b[24] ^= 1, p, m, "password") },
        Broken { unproved: Ok(()), ..bad("another check value", |b| b[48] ^= 1, p, m, "password") },
        Broken { unproved: Ok(()), ..bad("another integrity value", |b| b[64] ^= 1, m, m, "damaged") },
        Broken { unproved: Ok(()), ..bad("padding", |b| b[5079] = 1, m, m, "damaged") },
        bad(
            "a record beyond its slot",
            |b| b[88..92].copy_from_slice(&5000u32.to_be_bytes()),
            m,
            m,
            "record 1",
        ),
        bad("an endless record", |b| b[88..92].fill(0xff), m, m, "record 1"),
        bad("no SEQUENCE", |b| b[92] = 0x31, m, m, "record 1"),
        bad("content of kind 3", |b| b[99] = 0xa3, m, m, "record 1"),
    ];
    for broken in &all {
        let mut bytes = good.clone();
        (broken.change)(&mut bytes);
        let proved = outcome(&bytes, &Passwords::one("secret1"));
        let unproved = outcome(&bytes, nobody());
        let kind = |o: &Result<(), formats::Error>| o.as_ref().map(|_| ()).map_err(|e| e.kind());
        assert_eq!(kind(&proved), broken.proved, "{}: {proved:?}", broken.name);
        assert_eq!(kind(&unproved), broken.unproved, "{}: {unproved:?}", broken.name);
        let said = [&proved, &unproved]
            .iter()
            .filter_map(|o| o.as_ref().err())
            .any(|e| e.to_string().contains(broken.says));
        assert!(said, "{}: {proved:?}, {unproved:?}", broken.name);
    }
    let empty = outcome(&good, &Passwords::one("")).unwrap_err();
    assert!(empty.kind() == Kind::Password && empty.to_string().contains("empty"), "{empty}");
}

/// A record that can't be read is an error too.
fn outcome(bytes: &[u8], secrets: &dyn Secrets) -> formats::Result<()> {
    let world = World::new();
    let source = Source::memory("broken.kdb", bytes.to_vec());
    let format = formats::by_name("kdb").unwrap();
    let store = format.read(&source, &world.ctx(secrets))?;
    match store.defects.into_iter().next() {
        Some(defect) => Err(std::sync::Arc::into_inner(defect).unwrap()),
        None => Ok(()),
    }
}

#[test]
fn oddities_are_read_with_a_warning() {
    let good = std::fs::read(testdata("kdb/one-ca.kdb")).unwrap();
    let store = |change: fn(&mut Vec<u8>)| {
        let (world, mut bytes) = (World::new(), good.clone());
        change(&mut bytes);
        let source = Source::memory("odd.kdb", bytes);
        world.load(&source, nobody()).unwrap().store
    };
    assert!(store(|_| {}).warnings.is_empty());
    let unknown = store(|b| b[83] = 3);
    assert_eq!((unknown.entries.len(), unknown.warnings.len()), (1, 1), "{:?}", unknown.warnings);
    let erased = store(|b| b[83] = 2);
    assert_eq!((erased.entries.len(), erased.warnings.len()), (0, 0), "{:?}", erased.warnings);
    let expired = store(|b| b[4..8].copy_from_slice(&((NOW_MS / 1000 - 1) as u32).to_be_bytes()));
    assert_eq!((expired.entries.len(), expired.warnings.len()), (1, 1), "{:?}", expired.warnings);
    let twice = store(|b| {
        b[23] = 2;
        b.extend_from_within(80..5080);
    });
    assert_eq!((twice.entries.len(), twice.warnings.len()), (2, 2), "{:?}", twice.warnings);
    // The record's own label counts, and numbers don't; a label may be no text, and flags have odd tails.
    let label = |b: &[u8], nth: usize| {
        let places = b.windows(11).enumerate().filter(|(_, w)| *w == b"golden root");
        places.map(|(at, _)| at).nth(nth).unwrap()
    };
    let at = [label(&good, 0), label(&good, 1)];
    let plain = |change: &dyn Fn(&mut Vec<u8>)| {
        let (world, mut bytes) = (World::new(), good.clone());
        change(&mut bytes);
        let read = world.load(&Source::memory("odd.kdb", bytes), nobody()).unwrap().store;
        assert!(read.entries.len() == 1 && read.warnings.is_empty(), "{:?}", read.warnings);
        read.entries.into_iter().next().unwrap()
    };
    assert_eq!(plain(&|b| b[at[1]] = b'X').label_text(), "golden root");
    assert_eq!(plain(&|b| b[87] = 9).label_text(), "golden root");
    assert_eq!(plain(&|b| b[at[1] + 11..at[1] + 60].fill(0)).label_text(), "golden root");
    assert_eq!(plain(&|b| b[at[0]] = 0xff).label.unwrap().bytes(), b"\xffolden root");
    assert!(plain(&|b| b[at[0] + 13] = 0).trust.unwrap().is_full_anchor());
    // A PKCS#12 is one whatever it is called.
    let source = Source::memory("really.kdb", std::fs::read(testdata("p12/jdk17-default.p12")).unwrap());
    assert_eq!(World::new().load(&source, &Passwords::one("changeit")).unwrap().format.name(), "p12");
}

#[test]
fn a_key_that_no_password_opens_leaves_the_others_readable() {
    let (world, secrets) = (World::new(), Passwords::one("secret1"));
    let store = read(&testdata("kdb/bad-key.kdb"), &secrets);
    assert_eq!(store.entries.len(), 3);
    let e = seen(&store, &world.ctx(&secrets)).unwrap_err();
    assert!(e.kind() == Kind::Password && e.to_string().contains("client one"), "{e}");
    let listed =
        must(keyferry().arg("list").arg(testdata("kdb/bad-key.kdb")).env("KEYFERRY_PASSWORD", "secret1"));
    assert_eq!(listed.out.lines().count(), 4, "{}", listed.out);
}

#[test]
fn reading_writes_nothing() {
    let dir = scratch();
    for file in ["request-pending.kdb", "request-pending.rdb", "request-pending.crl", "request-pending.sth"] {
        std::fs::copy(testdata("kdb").join(file), dir.path().join(file)).unwrap();
    }
    let empty = dir.path().join("empty.kdb");
    std::fs::write(&empty, b"").unwrap();
    let before = state(dir.path());
    must(keyferry().arg("list").arg(dir.path().join("request-pending.kdb")));
    assert_eq!(run(keyferry().arg("list").arg(&empty)).status, 3);
    assert_eq!(run(keyferry().arg("list").arg(format!("kdb:{}", empty.display()))).status, 3);
    assert_eq!(state(dir.path()), before);
}

/// Names, times and content of a folder's files.
fn state(dir: &Path) -> BTreeMap<PathBuf, (std::time::SystemTime, String)> {
    let files = std::fs::read_dir(dir).unwrap().map(|f| f.unwrap().path());
    files
        .map(|f| {
            let modified = std::fs::metadata(&f).unwrap().modified().unwrap();
            let content = sha256(&std::fs::read(&f).unwrap());
            (f, (modified, content))
        })
        .collect()
}

#[test]
fn a_foreign_request_database_is_left_out_with_a_warning() {
    let dir = scratch();
    let kdb = dir.path().join("x.kdb");
    std::fs::copy(testdata("kdb/one-ca.kdb"), &kdb).unwrap();
    std::fs::copy(testdata("kdb/password-changed.rdb"), dir.path().join("x.rdb")).unwrap();
    let world = World::new();
    let store = world.load(&Source::open(&kdb).unwrap(), &Passwords::one("secret1")).unwrap().store;
    assert_eq!((store.entries.len(), store.warnings.len()), (1, 1), "{:?}", store.warnings);
}

#[test]
fn what_one_bit_cannot_say_is_named() {
    let (world, secrets) = (World::new(), Passwords::one("secret1"));
    let mut store = read(&testdata("kdb/twenty-cas.kdb"), &secrets);
    store.entries.truncate(6);
    let mut server = Trust::all(Level::Unset);
    server.levels[0] = Level::Anchor;
    let given = [
        (Some(Trust::all(Level::Distrusted)), false, Some(LossKind::Trust)),
        (Some(server), true, Some(LossKind::TrustRaised)),
        (Some(Trust::all(Level::Peer)), false, Some(LossKind::Trust)),
        (Some(Trust::all(Level::Unset)), false, None),
        (Some(Trust::all(Level::Anchor)), true, None),
        (None, true, None),
    ];
    for (entry, (trust, ..)) in store.entries.iter_mut().zip(&given) {
        entry.trust = trust.clone();
        entry.default = true;
    }
    let (losses, back) = written(&store, &world, &secrets);
    for (entry, (_, trusted, lost)) in back.entries.iter().zip(&given) {
        let label = entry.label_text();
        assert_eq!(entry.trust.as_ref().unwrap().is_full_anchor(), *trusted, "{label}");
        let found =
            losses.iter().find(|l| l.label.as_deref() == Some(&*label) && l.kind != LossKind::Default);
        assert_eq!(found.map(|l| l.kind), *lost, "{label}");
    }
    // One default, and the others are told.
    assert_eq!(back.entries.iter().filter(|e| e.default).count(), 1);
    assert_eq!(losses.iter().filter(|l| l.kind == LossKind::Default).count(), 5);
}

fn written(store: &Store, world: &World, secrets: &Passwords) -> (Vec<formats::model::Loss>, Store) {
    let (format, ctx) = (formats::by_name("kdb").unwrap(), world.ctx(secrets));
    let mut staging = Staging::memory();
    let losses = format.write(store, None, &mut staging, &ctx).unwrap();
    let back = format.read(&staging.source().unwrap(), &ctx).unwrap();
    (losses, back)
}

#[test]
fn a_chain_that_will_not_be_found_again_is_named() {
    let (world, secrets) = (World::new(), Passwords::one("secret1"));
    let mut store = read(&testdata("kdb/rsa-chain.kdb"), &secrets);
    let chain = |store: &Store| match &store.entries[2].item {
        Item::Key { chain, .. } => chain.len(),
        _ => 0,
    };
    assert_eq!(chain(&store), 3);
    // As the jobs hand stores over: every key open.
    let opened = |store: &Store| seen(store, &world.ctx(&secrets)).map(drop).unwrap();
    opened(&store);
    let (losses, back) = written(&store, &world, &secrets);
    assert!(losses.is_empty() && chain(&back) == 3, "{losses:?}");
    let Item::Key { chain, .. } = &mut store.entries[2].item else { panic!("no key") };
    chain.swap(1, 2);
    let (losses, _) = written(&store, &world, &secrets);
    assert_eq!(losses.iter().map(|l| l.kind).collect::<Vec<_>>(), [LossKind::Chain]);
}

#[test]
fn a_certificate_is_held_once() {
    let dir = scratch();
    let chain = std::fs::read_to_string(testdata("java/material/ec.chain")).unwrap();
    let once = chain.matches("BEGIN CERTIFICATE").count();
    let (twice, kdb) = (dir.path().join("twice.pem"), dir.path().join("once.kdb"));
    std::fs::write(&twice, chain.repeat(2)).unwrap();
    convert(&twice, "unused", &kdb, &[]);
    assert!(once >= 2);
    assert_eq!(read(&kdb, &Passwords::one(PASSWORD)).entries.len(), once);
}

// ---- GSKit

#[test]
fn gskit_reads_our_databases_in_every_format_with_either_stash() {
    if without_gskit() {
        return;
    }
    let dir = scratch();
    for format in ["3", "4", "6"] {
        for form in ["1", "2"] {
            let kdb = dir.path().join(format!("out-{format}-{form}.kdb"));
            convert(
                &testdata("p12/jdk17-default.p12"),
                "changeit",
                &kdb,
                &["--kdb-format", format, "--kdb-stash", form],
            );
            assert_eq!(std::fs::read(&kdb).unwrap()[2], format.as_bytes()[0] - b'0');
            let length = std::fs::metadata(kdb.with_extension("sth")).unwrap().len();
            assert_eq!(length, if form == "1" { 129 } else { 193 });
            gskit(&["open-stashed"], &kdb, &[]);
            assert_eq!(their_view(&kdb, PASSWORD), our_view(&kdb), "{format} {form}");
        }
    }
    // A password that is longer than a stash usually is.
    let long = "Kdb-é".repeat(50);
    for form in ["1", "2"] {
        let kdb = dir.path().join(format!("long-{form}.kdb"));
        let mut command = keyferry();
        command.arg("convert").arg(testdata("demo/alice.p12")).arg(&kdb).args(["--kdb-stash", form]);
        command.args(["--to-password", "env:NEW"]);
        must(command.env("KEYFERRY_PASSWORD", "demo-only").env("NEW", &long));
        gskit(&["open-stashed"], &kdb, &[]);
        assert_eq!(their_view(&kdb, &long), our_view(&kdb), "{form}");
    }
    // A companion is made only where there is something for it.
    assert!(!dir.path().join("out-6-2.rdb").exists());
}

#[test]
fn the_marks_of_a_list_are_those_that_gskit_gives() {
    if without_gskit() {
        return;
    }
    for file in
        ["several-personal.kdb", "rsa-chain-default.kdb", "secret-key.kdb", "untrusted-ca.kdb", "labels.kdb"]
    {
        let dir = scratch();
        let kdb = dir.path().join("x.kdb");
        std::fs::copy(testdata("kdb").join(file), &kdb).unwrap();
        let theirs = gskit(&["list"], &kdb, &["--pw", "secret1"]);
        let expected: BTreeSet<String> = theirs["entries"].as_array().unwrap().iter().map(marked).collect();
        let ours =
            must(keyferry().args(["list", "--gskit"]).arg(&kdb).env("KEYFERRY_PASSWORD", "secret1")).out;
        let lines = ours.lines().skip_while(|l| !l.starts_with("* default"));
        let seen: BTreeSet<String> = lines.skip(1).map(str::to_owned).collect();
        assert_eq!(seen, expected, "{file}");
    }
}

/// The line of one entry as IBM's command prints it.
fn marked(entry: &Value) -> String {
    let is = |name: &str| entry[name] == true;
    let mark = match () {
        () if is("secret_key") => "#",
        () if is("private_key") && is("default") => "*-",
        () if is("private_key") => "-",
        () if is("trusted") => "!",
        () => "",
    };
    // What a terminal might take for a command is not printed as it is.
    let label = entry["label"].as_str().unwrap();
    format!("{mark}\t{}", formats::error::Printable(label))
}

#[test]
fn gskit_gives_back_every_key_bit_for_bit() {
    if without_gskit() {
        return;
    }
    let dir = scratch();
    for format in ["3", "4", "6"] {
        // What it exports.
        let kdb = dir.path().join(format!("export-{format}.kdb"));
        convert(&testdata("p12/jdk17-default.p12"), "changeit", &kdb, &["--kdb-format", format]);
        let ours = keys(&read(&kdb, &Passwords::one(PASSWORD)), &Passwords::one(PASSWORD));
        assert_eq!(ours.len(), 2, "{ours:?}");
        let p12 = kdb.with_extension("p12");
        let labels: Vec<_> = ours.keys().flat_map(|l| ["--label", l]).collect();
        let out = ["--pw", PASSWORD, "--out-pw", "x1", "--out", p12.to_str().unwrap()];
        gskit(&["export-p12"], &kdb, &[&out[..], &labels].concat());
        assert_eq!(keys(&read(&p12, &Passwords::one("x1")), &Passwords::one("x1")), ours, "format {format}");
        // What it has deciphered and enciphered again, of every algorithm.
        let kdb = dir.path().join(format!("all-{format}.kdb"));
        convert(&testdata("java/jks-algorithms.jks"), "changeit", &kdb, &["--kdb-format", format]);
        let ours = keys(&read(&kdb, &Passwords::one(PASSWORD)), &Passwords::one(PASSWORD));
        assert!(ours.len() >= 6, "{ours:?}");
        gskit(&["chpw"], &kdb, &["--pw", PASSWORD, "--new-pw", "Other-2"]);
        let theirs = keys(&read(&kdb, &Passwords::one("Other-2")), &Passwords::one("Other-2"));
        assert_eq!(theirs, ours, "format {format}");
    }
}

#[test]
fn gskit_proves_itself_to_a_tls_server_with_our_key() {
    if without_gskit() {
        return;
    }
    let dir = scratch();
    let ca = ["-subj", "/CN=TLS root", "-keyout", "ca.key", "-out", "ca.pem", "-days", "100"];
    openssl(dir.path(), &[&["req", "-x509", "-newkey", "rsa:2048", "-nodes"], &ca[..]].concat());
    for (name, kind) in [("localhost", "rsa:2048"), ("client", "rsa:2048")] {
        let file = |ending: &str| format!("{name}.{ending}");
        let (subject, key, csr, pem) = (format!("/CN={name}"), file("key"), file("csr"), file("pem"));
        let new = ["-newkey", kind, "-nodes", "-subj", &subject, "-keyout", &key, "-out", &csr];
        openssl(dir.path(), &[&["req"], &new[..]].concat());
        let from =
            ["-req", "-in", &csr, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", &pem];
        openssl(dir.path(), &[&["x509", "-days", "50"], &from[..]].concat());
    }
    let pem: String = ["client.key", "client.pem", "ca.pem"]
        .iter()
        .map(|f| std::fs::read_to_string(dir.path().join(f)).unwrap())
        .collect();
    let client = dir.path().join("bundle.pem");
    std::fs::write(&client, pem).unwrap();
    let server = TlsServer::start(dir.path());
    for format in ["3", "4", "6"] {
        let kdb = dir.path().join(format!("tls-{format}.kdb"));
        convert(&client, "unused", &kdb, &["--kdb-format", format]);
        let secrets = Passwords::one(PASSWORD);
        let label = keys(&read(&kdb, &secrets), &secrets).into_keys().next().unwrap();
        // One that isn't there must fail, or the server would take anybody.
        for (label, enters) in [(&*label, true), ("nobody", false)] {
            let mut shake = oracle();
            shake.arg("handshake").arg(&kdb).args(["--label", label, "--connect", &server.address]);
            let ran = run(&mut shake);
            let said = || server.said.lock().unwrap().clone();
            assert_eq!(ran.status == 0, enters, "{format} {label}: {}{}\n{}", ran.out, ran.err, said());
        }
    }
}

/// The signers of a key that are in no bundle stay, and GSKit sends them, so that a server which knows only the root
/// lets the client in. They keep their trust, for without it GSKit doesn't offer the key.
#[test]
fn signers_that_left_the_bundle_stay_and_are_sent() {
    if without_gskit() {
        return;
    }
    let dir = scratch();
    let new = ["req", "-newkey", "rsa:2048", "-nodes"];
    std::fs::write(dir.path().join("ca.ext"), "basicConstraints=critical,CA:TRUE\n").unwrap();
    for (name, is_root) in
        [("ca", true), ("own", true), ("middle", false), ("localhost", false), ("client", false)]
    {
        let (subject, key) = (format!("/CN={name}"), format!("{name}.key"));
        let (csr, pem) = (format!("{name}.csr"), format!("{name}.pem"));
        let out = if is_root { ["-x509", "-out", &pem] } else { ["-new", "-out", &csr] };
        openssl(dir.path(), &[&new[..], &["-subj", &subject, "-keyout", &key], &out].concat());
    }
    for (name, by, extensions) in
        [("localhost", "own", None), ("middle", "ca", Some("ca.ext")), ("client", "middle", None)]
    {
        let (csr, pem) = (format!("{name}.csr"), format!("{name}.pem"));
        let (ca, key) = (format!("{by}.pem"), format!("{by}.key"));
        let sign = ["x509", "-req", "-in", &csr, "-out", &pem, "-CA", &ca, "-CAkey", &key, "-CAcreateserial"];
        let ext = extensions.map_or_else(Vec::new, |e| vec!["-extfile", e]);
        openssl(dir.path(), &[&sign[..], &ext].concat());
    }
    let text = |f: &&str| std::fs::read_to_string(dir.path().join(f)).unwrap();
    let all = ["client.key", "client.pem", "middle.pem", "ca.pem"].iter().map(text).collect::<String>();
    let client = dir.path().join("all.pem");
    std::fs::write(&client, all).unwrap();
    let kdb = dir.path().join("client.kdb");
    convert(&client, "unused", &kdb, &[]);
    let mut rebuild = keyferry();
    rebuild.arg("rebuild").arg(&kdb).arg("--bundle").arg(dir.path().join("own.pem"));
    must(rebuild.env("KEYFERRY_PASSWORD", PASSWORD));
    let store = read(&kdb, &Passwords::one(PASSWORD));
    assert_eq!(store.entries.len(), 4);
    // The server knows the client's root alone: without the one in the middle it would not find it.
    let server = TlsServer::start(dir.path());
    let secrets = Passwords::one(PASSWORD);
    let label = keys(&store, &secrets).into_keys().next().unwrap();
    let mut shake = oracle();
    shake.arg("handshake").arg(&kdb).args(["--label", &label, "--connect", &server.address]);
    let ran = run(&mut shake);
    assert_eq!(ran.status, 0, "{}{}\n{}", ran.out, ran.err, server.said.lock().unwrap());
    let subject = |c: &[u8]| formats::query::dn::rfc4514(formats::asn1::cert_fields(c).unwrap().subject);
    let is_middle = |e: &&formats::model::Entry| e.certificate().is_some_and(|c| subject(c) == "CN=middle");
    let signer = store.entries.iter().find(is_middle).unwrap().label_text().into_owned();
    gskit(&["set-trust"], &kdb, &["off", "--pw", PASSWORD, "--label", &signer]);
    let mut shake = oracle();
    shake.arg("handshake").arg(&kdb).args(["--label", &label, "--connect", &server.address]);
    assert_ne!(run(&mut shake).status, 0, "then the trust could go, too");
}

/// A server that takes only clients of `ca.pem`.
pub struct TlsServer {
    process: std::process::Child,
    pub address: String,
    pub said: Arc<Mutex<String>>,
}

impl TlsServer {
    pub fn start(dir: &Path) -> Self {
        let piped = std::process::Stdio::piped;
        // It looks for a port itself: one that was found for it may be somebody else's by then.
        let mut process = Command::new("openssl")
            .args(["s_server", "-verify_return_error", "-Verify", "3", "-accept", "127.0.0.1:0"])
            .args(["-cert", "localhost.pem", "-key", "localhost.key", "-CAfile", "ca.pem"])
            .current_dir(dir)
            .stdin(piped())
            .stdout(piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut out = std::io::BufReader::new(process.stdout.take().unwrap()).lines();
        let accepts =
            out.by_ref().map(|l| l.unwrap()).find_map(|l| l.strip_prefix("ACCEPT ").map(str::to_owned));
        let said = Arc::new(Mutex::new(String::new()));
        let keep = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in out.map_while(Result::ok) {
                let mut said = keep.lock().unwrap();
                said.push_str(&line);
                said.push('\n');
            }
        });
        TlsServer { process, address: accepts.expect("a port"), said }
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn secret_keys_travel_between_gskit_and_us() {
    if without_gskit() {
        return;
    }
    let dir = scratch();
    let kdb = dir.path().join("secrets.kdb");
    convert(&testdata("p12/jdk-secrets.p12"), "changeit", &kdb, &["--allow-loss=attribute"]);
    let theirs = gskit(&["get-secret"], &kdb, &["--pw", PASSWORD, "--label", "aeskey"]);
    assert_eq!(theirs["hex"], "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20");
    gskit(&["add-secret"], &kdb, &["--pw", PASSWORD, "--label", "theirs", "--hex", "00112233445566"]);
    let secrets = Passwords::one(PASSWORD);
    let world = World::new();
    let store = read(&kdb, &secrets);
    let seen = seen(&store, &world.ctx(&secrets)).unwrap();
    let one = seen.iter().find(|s| s.label.as_deref() == Some("theirs")).unwrap();
    assert_eq!((one.kind, one.secret.as_deref()), ("secret", Some("?:00112233445566")));
    // Rewritten, both are still there.
    let again = dir.path().join("again.kdb");
    must(keyferry().arg("convert").arg(&kdb).arg(&again));
    for (label, value) in [("theirs", "00112233445566"), ("aeskey", theirs["hex"].as_str().unwrap())] {
        assert_eq!(gskit(&["get-secret"], &again, &["--pw", PASSWORD, "--label", label])["hex"], value);
    }
}

#[test]
fn a_pending_request_survives_and_is_received() {
    if without_gskit() {
        return;
    }
    let dir = scratch();
    let source = testdata("kdb/request-pending.kdb");
    let before = requests(&read(&source, &Passwords::one("secret1")), "secret1");
    assert_eq!(before.len(), 1);
    for format in ["3", "4", "6"] {
        let kdb = dir.path().join(format!("pending-{format}.kdb"));
        convert(&source, "secret1", &kdb, &["--kdb-format", format]);
        assert_eq!(requests(&read(&kdb, &Passwords::one(PASSWORD)), PASSWORD), before, "{format}");
        let listed = gskit(&["list"], &kdb, &["--pw", PASSWORD]);
        assert_eq!(listed["requests"], serde_json::json!(["pending one"]), "{format}");
        let certificate = issue(dir.path(), &kdb);
        gskit(&["receive"], &kdb, &["--pw", PASSWORD, "--file", certificate.to_str().unwrap()]);
        let after = read(&kdb, &Passwords::one(PASSWORD));
        assert!(requests(&after, PASSWORD).is_empty(), "{format}");
        let key = keys(&after, &Passwords::one(PASSWORD));
        assert_eq!(key["pending one"].secret, before[0].secret, "{format}");
    }
}

/// A certificate for the one request of `kdb`, from a CA made for it that the database then has.
fn issue(dir: &Path, kdb: &Path) -> PathBuf {
    let store = read(kdb, &Passwords::one(PASSWORD));
    let csr = store.entries.iter().find_map(|e| match &e.item {
        Item::Request { csr, .. } => Some(csr.to_vec()),
        _ => None,
    });
    let at = |name: &str| dir.join(name);
    std::fs::write(at("req.der"), csr.unwrap()).unwrap();
    let ca = ["-subj", "/CN=Issuer of a test", "-keyout", "ca.key", "-out", "ca.pem", "-days", "100"];
    openssl(
        dir,
        &[&["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"], &ca[..]]
            .concat(),
    );
    let from = ["-inform", "DER", "-in", "req.der", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
    openssl(
        dir,
        &[&["x509", "-req", "-days", "50", "-out", "issued.pem", "-outform", "DER"], &from[..]].concat(),
    );
    gskit(
        &["add-ca"],
        kdb,
        &["--pw", PASSWORD, "--label", "issuer", "--file", at("ca.pem").to_str().unwrap()],
    );
    at("issued.pem")
}

#[test]
fn gskit_changes_what_we_wrote_and_we_read_what_it_changed() {
    if without_gskit() {
        return;
    }
    let dir = scratch();
    let extra = dir.path().join("extra.pem");
    let subject = ["-subj", "/CN=Extra CA", "-keyout", "extra.key", "-out", "extra.pem", "-days", "100"];
    openssl(dir.path(), &[&["req", "-x509", "-newkey", "rsa:2048", "-nodes"], &subject[..]].concat());
    for format in ["3", "4", "6"] {
        let kdb = dir.path().join(format!("edit-{format}.kdb"));
        convert(&testdata("p12/jdk17-default.p12"), "changeit", &kdb, &["--kdb-format", format]);
        let before = keys(&read(&kdb, &Passwords::one(PASSWORD)), &Passwords::one(PASSWORD));
        let pw = ["--pw", PASSWORD];
        let change = |command: &[&str], args: &[&str]| gskit(command, &kdb, &[&pw[..], args].concat());
        change(&["add-ca"], &["--label", "extra", "--file", extra.to_str().unwrap()]);
        change(&["delete"], &["--label", "extra-ca"]);
        change(&["rename"], &["--label", "ec", "--to", "Élan €"]);
        change(&["set-default"], &["--label", "server"]);
        change(&["set-trust"], &["--label", "root-ca", "off"]);
        change(&["chpw"], &["--new-pw", "Other-2", "--expire", "30"]);
        // Its own stash was renewed with it.
        gskit(&["open-stashed"], &kdb, &[]);
        let secrets = Passwords::one("Other-2");
        let store = read(&kdb, &secrets);
        assert_eq!(their_view(&kdb, "Other-2"), our_view(&kdb), "{format}");
        let labels: BTreeSet<_> = store.entries.iter().map(|e| e.label_text().into_owned()).collect();
        assert!(
            labels.contains("extra") && labels.contains("Élan €") && !labels.contains("extra-ca"),
            "{labels:?}"
        );
        let after: BTreeSet<_> = keys(&store, &secrets).into_values().map(|s| s.secret).collect();
        assert_eq!(after, before.into_values().map(|s| s.secret).collect(), "{format}");
        assert_ne!(fact(&store, "password-expires"), "0");
        assert_eq!(fact(&store, "format"), format);
    }
}

#[test]
fn a_rebuild_keeps_key_default_trust_expiry_and_stash() {
    if without_gskit() {
        return;
    }
    let dir = scratch();
    let kdb = dir.path().join("client.kdb");
    let options = ["--password-expires", "2033-05-18"];
    convert(&testdata("p12/jdk17-default.p12"), "changeit", &kdb, &options);
    gskit(&["set-default"], &kdb, &["--pw", PASSWORD, "--label", "server"]);
    gskit(&["create-req"], &kdb, &request_arguments(&dir.path().join("r.csr")));
    let (before, sth) =
        (read(&kdb, &Passwords::one(PASSWORD)), std::fs::read(kdb.with_extension("sth")).unwrap());
    let rdb = std::fs::read(kdb.with_extension("rdb")).unwrap();
    let bundle = testdata("java/material/ec.chain");
    must(keyferry().arg("rebuild").arg(&kdb).arg("--bundle").arg(&bundle));
    let after = read(&kdb, &Passwords::one(PASSWORD));
    let secrets = Passwords::one(PASSWORD);
    assert_eq!(keys(&after, &secrets), keys(&before, &secrets));
    assert_eq!(requests(&after, PASSWORD), requests(&before, PASSWORD));
    assert_eq!(fact(&after, "password-expires"), fact(&before, "password-expires"));
    assert!(after.entries.iter().any(|e| e.default && e.label_text() == "server"));
    assert_eq!(std::fs::read(kdb.with_extension("sth")).unwrap(), sth);
    assert_eq!(std::fs::read(kdb.with_extension("rdb")).unwrap(), rdb);
    gskit(&["open-stashed"], &kdb, &[]);
    assert_eq!(their_view(&kdb, PASSWORD), our_view(&kdb));
    // A second run finds nothing to do.
    let again = must(keyferry().arg("rebuild").arg(&kdb).arg("--bundle").arg(&bundle));
    assert!(again.out.contains("unchanged"), "{}", again.out);
}

fn request_arguments(csr: &Path) -> [&str; 10] {
    let dn = ["--dn", "CN=pending,O=Example Test,C=GB", "--size", "2048"];
    ["--pw", PASSWORD, "--label", "pending", dn[0], dn[1], dn[2], dn[3], "--out", csr.to_str().unwrap()]
}

#[test]
fn replacing_a_store_never_leaves_a_companion_of_another_password() {
    if without_gskit() {
        return;
    }
    let dir = scratch();
    let kdb = dir.path().join("x.kdb");
    for suffix in ["kdb", "rdb", "crl", "sth"] {
        let from = testdata("kdb/request-pending.kdb").with_extension(suffix);
        std::fs::copy(from, kdb.with_extension(suffix)).unwrap();
    }
    let mut command = keyferry();
    command
        .args(["convert", "--force", "--to-password", "env:NEW"])
        .env("NEW", PASSWORD)
        .env("KEYFERRY_PASSWORD", "changeit");
    command.arg(testdata("p12/jdk17-default.p12")).arg(&kdb);
    // The pending request of the old store would go with it.
    let refused = run(&mut command);
    assert_eq!(refused.status, 5, "{}", refused.err);
    assert!(refused.err.contains("request: \"pending one\""), "{}", refused.err);
    must(command.arg("--allow-loss=request"));
    let listed = gskit(&["list"], &kdb, &["--pw", PASSWORD]);
    assert_eq!((listed["count"].as_u64(), &listed["requests"]), (Some(5), &serde_json::json!([])));
    gskit(&["open-stashed"], &kdb, &[]);
}

/// A database of `password` with a stash and, by GSKit, a pending request.
pub fn with_request(kdb: &Path, password: &str) {
    let mut make = keyferry();
    make.arg("convert").arg(testdata("demo/alice.p12")).arg(kdb).args(["--to-password", "env:NEW"]);
    must(make.env("KEYFERRY_PASSWORD", "demo-only").env("NEW", password));
    let csr = kdb.with_extension("csr");
    let mut request = request_arguments(&csr);
    request[1] = password;
    gskit(&["create-req"], kdb, &request);
    std::fs::remove_file(csr).unwrap();
}

/// The command that gives a database of `password` the one in the variable NEW.
fn change_password(kdb: &Path, password: &str) -> Command {
    let mut change = keyferry();
    change.args(["--quiet", "convert", "--force"]).arg(kdb).arg(kdb);
    change.args(["--password", "env:OLD", "--to-password", "env:NEW"]);
    change.env("OLD", password);
    change
}

/// The password in the stash, which must open the whole set; what the set holds.
fn set_by_stash(kdb: &Path) -> (String, usize) {
    let password = stash::read(&std::fs::read(kdb.with_extension("sth")).unwrap()).unwrap();
    let password = String::from_utf8(password.bytes().to_vec()).unwrap();
    let store = read(kdb, &Passwords::one(&password));
    assert!(store.warnings.is_empty(), "{:?}", store.warnings);
    let keys = keys(&store, &Passwords::one(&password));
    assert!(keys.contains_key("alice"), "{keys:?}");
    let requests = requests(&store, &password).len();
    (password, requests)
}

#[test]
fn a_password_changes_with_stash_and_requests_at_once_or_not_at_all() {
    if without_gskit() {
        return;
    }
    let (template, dir) = (scratch(), scratch());
    with_request(&template.path().join("x.kdb"), PASSWORD);
    let kdb = dir.path().join("x.kdb");
    // Three names become links before the one rename that counts.
    let steps =
        ["sync", "sync:3", "save", "check", "rename", "rename:2", "rename:3", "rename:4", "syncfolder"];
    for step in &steps {
        copy_into(template.path(), dir.path());
        let mut change = change_password(&kdb, PASSWORD);
        change.env("NEW", "Other-2");
        let killed = run(change.env("KEYFERRY_FAILPOINT", step));
        assert_eq!(killed.status, -1, "{step}: {}", killed.err);
        let expected = if *step == "syncfolder" { "Other-2" } else { PASSWORD };
        assert_eq!(set_by_stash(&kdb), (expected.to_owned(), 1), "{step}");
        gskit(&["open-stashed"], &kdb, &[]);
        if *step != "syncfolder" {
            must(change.env_remove("KEYFERRY_FAILPOINT"));
        }
        // The next run makes files of the links that one that was killed may leave.
        must(keyferry().arg("rebuild").arg(&kdb).arg("--bundle").arg(testdata("java/material/ec.chain")));
        assert_eq!(set_by_stash(&kdb), ("Other-2".to_owned(), 1), "{step}");
        let names = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap());
        for entry in names {
            let name = entry.file_name().into_string().unwrap();
            assert!(!name.starts_with('.') && !entry.file_type().unwrap().is_symlink(), "{step}: {name}");
        }
    }
    let listed = gskit(&["list"], &kdb, &["--pw", "Other-2"]);
    assert_eq!(listed["requests"], serde_json::json!(["pending"]));
}

/// Makes `to` hold the files of `from` and nothing else.
fn copy_into(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to).unwrap();
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap().map(|f| f.unwrap()) {
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn going_back_over_a_change_of_the_password_brings_stash_and_requests_back() {
    if without_gskit() {
        return;
    }
    let dir = scratch();
    let kdb = dir.path().join("x.kdb");
    with_request(&kdb, PASSWORD);
    let content = |suffix: &str| std::fs::read(kdb.with_extension(suffix)).unwrap();
    let before = ["kdb", "sth", "rdb"].map(content);
    must(change_password(&kdb, PASSWORD).env("NEW", "Other-2"));
    assert_ne!(["kdb", "sth", "rdb"].map(content), before);
    let back = || run(keyferry().arg("rollback").arg(&kdb));
    let ran = back();
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert_eq!(["kdb", "sth", "rdb"].map(content), before);
    gskit(&["open-stashed"], &kdb, &[]);
    assert_eq!(back().status, 5);
    // What GSKit itself changed in place has no generation with its stash.
    must(keyferry().arg("rebuild").arg(&kdb).arg("--bundle").arg(testdata("java/material/ec.chain")));
    gskit(&["chpw"], &kdb, &["--pw", PASSWORD, "--new-pw", "Third-3"]);
    must(keyferry().arg("rebuild").arg(&kdb).arg("--bundle").arg(testdata("demo/demo-root.pem")));
    let ran = back();
    assert_eq!(ran.status, 0, "{}", ran.err);
    let refused = back();
    assert!(refused.status == 5 && refused.err.contains("another password"), "{}", refused.err);
    assert_eq!(set_by_stash(&kdb).0, "Third-3");
}

#[test]
fn a_companion_of_another_password_goes_with_the_old_store() {
    if without_gskit() {
        return;
    }
    let dir = scratch();
    let kdb = dir.path().join("x.kdb");
    convert(&testdata("p12/jdk17-default.p12"), "changeit", &kdb, &[]);
    // No new stash is wanted: the old one would keep everybody out.
    let mut change = keyferry();
    change.args(["convert", "--force", "--kdb-stash", "none", "--to-password", "env:NEW"]);
    change.arg(testdata("p12/jdk17-default.p12")).arg(&kdb);
    must(change.env("NEW", "Other-2").env("KEYFERRY_PASSWORD", "changeit"));
    assert!(!kdb.with_extension("sth").exists() && dir.path().join("x.kdb.old-1/x.sth").is_file());
    // Somebody else's requests, whose password nobody has, are not taken away without a word.
    std::fs::copy(testdata("kdb/request-pending.rdb"), kdb.with_extension("rdb")).unwrap();
    let mut rebuild = keyferry();
    rebuild.arg("rebuild").arg(&kdb).arg("--bundle").arg(testdata("java/material/ec.chain"));
    rebuild.env("KEYFERRY_PASSWORD", "Other-2");
    let refused = run(&mut rebuild);
    assert!(refused.status == 5 && refused.err.contains("request: \"pending one\""), "{}", refused.err);
    must(rebuild.arg("--allow-loss=request"));
    let listed = gskit(&["list"], &kdb, &["--pw", "Other-2"]);
    assert_eq!(listed["requests"], serde_json::json!([]));
    let kept = std::fs::read(dir.path().join("x.kdb.old-2/x.rdb")).unwrap();
    assert!(kept == std::fs::read(testdata("kdb/request-pending.rdb")).unwrap());
}

#[test]
fn a_trusted_leaf_vouches_for_nobody_in_another_format() {
    let dir = scratch();
    let letters = |options: &[&str], name: &str| {
        let (kdb, nss) = (dir.path().join(format!("{name}.kdb")), dir.path().join(name));
        let mut to_kdb = keyferry();
        to_kdb.arg("convert").arg(testdata("demo/alice.p12")).arg(&kdb).args(options);
        must(to_kdb.env("KEYFERRY_PASSWORD", "demo-only"));
        must(keyferry().arg("convert").arg(&kdb).arg(format!("nss:{}", nss.display())));
        let listed = must(Command::new("certutil").args(["-L", "-d"]).arg(format!("sql:{}", nss.display())));
        let lines = listed.out.lines().filter(|l| l.contains(','));
        let split =
            lines.filter_map(|l| l.rsplit_once(' ')).map(|(l, t)| (l.trim().to_owned(), t.to_owned()));
        split.collect::<BTreeMap<_, _>>()
    };
    // GSKit marks all three as trusted. With C a certificate vouches for others, whatever it is.
    let own = letters(&[], "own");
    assert_eq!((&*own["alice"], &*own["SSS Demo Root CA"]), ("u,u,u", "CT,C,C"), "{own:?}");
    let peer = letters(&["--certs-only"], "peer");
    assert_eq!(peer["alice"], "P,P,P", "{peer:?}");
}

#[test]
fn the_extension_may_be_left_out_as_mq_does() {
    let dir = scratch();
    let kdb = dir.path().join("client.kdb");
    convert(&testdata("p12/jdk17-default.p12"), "changeit", &kdb, &[]);
    let ferry = |args: &[&str]| {
        must(keyferry().current_dir(dir.path()).args(args).env("KEYFERRY_PASSWORD", "changeit"))
    };
    let bundle = testdata("java/material/ec.chain");
    let bundle = bundle.to_str().unwrap();
    for args in [
        &["list", "client"][..],
        &["show", "client", "server"],
        &["rebuild", "kdb:client", "--bundle", bundle],
        &["status", "client"],
        &["default", "client", "server"],
        &["diff", "client", "client.kdb"],
        &["convert", "client", "out.jks", "--label", "server"],
        &["rebuild", "new.jks", "--bundle", bundle, "--key", "client#server"],
        &["stash", "client"],
        &["rollback", "client"],
        &["prune", "client"],
    ] {
        assert!(ferry(args).err.contains("client is taken for client.kdb"), "{args:?}");
    }
    let mut names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|n| n.starts_with("client") && !n.starts_with("client.kdb") && n != "client.sth");
    assert!(names.is_empty(), "{names:?}");
    // A file of that very name is meant by it.
    std::fs::copy(testdata("p12/jdk17-default.p12"), dir.path().join("client")).unwrap();
    let p12 = must(
        keyferry().current_dir(dir.path()).args(["list", "client"]).env("KEYFERRY_PASSWORD", "changeit"),
    );
    assert!(!p12.err.contains("taken"), "{}", p12.err);
    assert_eq!(run(keyferry().current_dir(dir.path()).args(["list", "jks:other"])).status, 3);
}

#[test]
fn the_label_that_mq_looks_for_is_given_to_one_key() {
    if without_gskit() {
        return;
    }
    let dir = scratch();
    let source = testdata("p12/jdk17-default.p12");
    let label = |to: &str, more: &[&str]| {
        let mut command = keyferry();
        command.args(["convert", "--mq-label", "MqAdmin"]).args(more).arg(&source).arg(dir.path().join(to));
        run(command.env("KEYFERRY_PASSWORD", "changeit"))
    };
    let refused = label("several.kdb", &[]);
    assert!(refused.status == 5 && refused.err.contains("--label"), "{}", refused.err);
    for to in ["x.kdb", "x.jks", "x.p12", "x.pem"] {
        let ran = label(to, &["--label", "server"]);
        assert_eq!(ran.status, 0, "{}", ran.err);
        let path = dir.path().join(to);
        let secrets = Passwords::one("changeit");
        let key = keys(&read(&path, &secrets), &secrets);
        assert_eq!(key.keys().collect::<Vec<_>>(), ["ibmwebspheremqmqadmin"], "{to}");
    }
    let seen = their_view(&dir.path().join("x.kdb"), "changeit");
    assert!(seen.iter().any(|e| e.starts_with("ibmwebspheremqmqadmin key")), "{seen:?}");
    assert_eq!(label("none.kdb", &["--label", "root-ca"]).status, 5);
    assert_eq!(label("none.kdb", &["--certs-only"]).status, 2);
}

#[test]
fn a_store_that_gskit_has_open_is_left_alone() {
    let dir = scratch();
    let kdb = dir.path().join("x.kdb");
    convert(&testdata("p12/jdk17-default.p12"), "changeit", &kdb, &[]);
    let before = std::fs::read(&kdb).unwrap();
    // What a key management session holds for as long as it lasts.
    let hold = "import fcntl,sys; f=open(sys.argv[1],'r+b'); fcntl.lockf(f,fcntl.LOCK_EX,1); print('held',flush=True); sys.stdin.read()";
    let mut holder = Command::new("python3")
        .args(["-c", hold])
        .arg(&kdb)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(holder.stdout.take().unwrap()), &mut line)
        .unwrap();
    assert_eq!(line, "held\n");
    must(keyferry().arg("list").arg(&kdb));
    let mut rebuild = keyferry();
    rebuild.arg("rebuild").arg(&kdb).arg("--bundle").arg(testdata("java/material/ec.chain"));
    let refused = run(&mut rebuild);
    drop(holder.stdin.take());
    holder.wait().unwrap();
    assert_eq!(refused.status, 6, "{}", refused.err);
    assert!(std::fs::read(&kdb).unwrap() == before);
    must(&mut rebuild);
}

/// Programs that start and an administrator who looks, all the while.
#[test]
fn gskit_opens_a_whole_store_at_every_moment_of_two_hundred_rebuilds() {
    if without_gskit() {
        return;
    }
    let dir = scratch();
    let kdb = dir.path().join("client.kdb");
    convert(&testdata("demo/alice.p12"), "demo-only", &kdb, &[]);
    let whole = std::fs::read_to_string(testdata("demo/ca-bundle.pem")).unwrap();
    let part: String = whole.split_inclusive("-----END CERTIFICATE-----\n").take(100).collect();
    let bundles = [part, whole].map(|bundle| {
        let path = dir.path().join(format!("{}.pem", bundle.len()));
        std::fs::write(&path, bundle).unwrap();
        path
    });
    let rebuild = |bundle: &Path| {
        must(keyferry().args(["--quiet", "rebuild"]).arg(&kdb).arg("--bundle").arg(bundle)).out
    };
    let counts = bundles.each_ref().map(|bundle| {
        rebuild(bundle);
        their_view(&kdb, PASSWORD).len()
    });
    // Each reads for longer than it pauses, and holds a lock meanwhile that a rebuild must wait for.
    let clients = Watch::start(&kdb, &["--pause", "20"]);
    let administrator = Watch::start(&kdb, &["--pw", PASSWORD, "--pause", "20"]);
    for n in 0..200 {
        let out = rebuild(&bundles[n % 2]);
        assert!(out.contains(": replaced"), "{out}");
    }
    let (clients, administrator) = (clients.end(), administrator.end());
    for seen in [&clients, &administrator] {
        assert_eq!(seen["failures"], serde_json::json!([]), "{seen}");
        assert!(seen["opens"].as_u64().unwrap() >= 20, "{seen}");
    }
    let seen: BTreeSet<_> = administrator["counts"].as_array().unwrap().iter().map(Value::as_u64).collect();
    assert!(seen.is_subset(&counts.iter().map(|n| Some(*n as u64)).collect()), "{seen:?} {counts:?}");
    assert_ne!(counts[0], counts[1]);
}

/// GSKit opening a database over and over.
struct Watch(std::process::Child, std::io::BufReader<std::process::ChildStdout>);

impl Watch {
    /// Returns once it has opened the database for the first time.
    fn start(kdb: &Path, arguments: &[&str]) -> Self {
        let mut python = oracle();
        python.arg("watch").arg(kdb).args(arguments);
        let piped = std::process::Stdio::piped;
        let mut child = python.stdin(piped()).stdout(piped()).spawn().unwrap();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Watch(child, out)
    }

    fn end(mut self) -> Value {
        drop(self.0.stdin.take());
        let told = serde_json::from_reader(&mut self.1).unwrap();
        self.0.wait().unwrap();
        told
    }
}

#[test]
fn one_of_each_format_goes_through_every_other() {
    if without_gskit() {
        return;
    }
    let dir = scratch();
    for file in ONE_OF_EACH {
        let source = testdata("kdb").join(file);
        let password = if file == "format6.kdb" { "Kdb-Spec-1" } else { "secret1" };
        let before = keys(&read(&source, &Passwords::one(password)), &Passwords::one(password));
        for format in ["3", "4", "6"] {
            let kdb = dir.path().join(format!("{format}-{file}"));
            convert(&source, password, &kdb, &["--kdb-format", format]);
            let secrets = Passwords::one(PASSWORD);
            assert_eq!(keys(&read(&kdb, &secrets), &secrets), before, "{file} → {format}");
            gskit(&["open-stashed"], &kdb, &[]);
        }
    }
}

/// The password of the databases that these tests write.
const PASSWORD: &str = "Kdb-Test-1 ü";

fn convert(source: &Path, password: &str, kdb: &Path, options: &[&str]) {
    let mut command = keyferry();
    command.arg("convert").arg(source).arg(kdb).args(["--to-password", "env:NEW"]).args(options);
    must(
        command
            .env("KEYFERRY_PASSWORD", password)
            .env("NEW", PASSWORD)
            .args(["--password", "env:KEYFERRY_PASSWORD"]),
    );
}

fn read(path: &Path, secrets: &Passwords) -> Store {
    let world = World::new();
    let store = world.load(&Source::open(path).unwrap(), secrets).unwrap().store;
    assert!(store.defects.is_empty(), "{:?}", store.defects);
    store
}

fn fact(store: &Store, id: &str) -> String {
    let fact = store.facts.iter().find(|f| f.format == "kdb" && f.id == id).unwrap();
    String::from_utf8(fact.value.to_vec()).unwrap()
}

/// The keys by label; only the leaf of each chain.
fn keys(store: &Store, secrets: &Passwords) -> BTreeMap<String, Seen> {
    let world = World::new();
    let seen = seen(store, &world.ctx(secrets)).unwrap();
    let keys = seen.into_iter().filter(|s| s.kind == "key").map(|mut s| {
        s.objects.truncate(1);
        (s.label.clone().unwrap(), s)
    });
    keys.collect()
}

fn requests(store: &Store, password: &str) -> Vec<Seen> {
    let (world, secrets) = (World::new(), Passwords::one(password));
    let seen = seen(store, &world.ctx(&secrets)).unwrap();
    seen.into_iter().filter(|s| s.kind == "request").collect()
}

/// Label, kind, trusted, default, fingerprint: as GSKit sees them.
pub fn their_view(kdb: &Path, password: &str) -> BTreeSet<String> {
    let listed = gskit(&["list"], kdb, &["--pw", password]);
    let entries = listed["entries"].as_array().unwrap().iter();
    let view: BTreeSet<_> = entries
        .map(|e| {
            let kind = if e["private_key"] == true { "key" } else { "cert" };
            let text = |name: &str| e[name].as_str().unwrap().to_owned();
            format!("{} {kind} {} {} {}", text("label"), e["trusted"], e["default"], text("sha256"))
        })
        .collect();
    assert!(!view.is_empty());
    let requests = listed["requests"].as_array().into_iter().flatten();
    view.into_iter().chain(requests.map(|l| format!("{} request", l.as_str().unwrap()))).collect()
}

/// The same as `keyferry list` sees them, with the stash.
pub fn our_view(kdb: &Path) -> BTreeSet<String> {
    let listed = must(keyferry().arg("list").arg("--jsonl").arg(kdb));
    let rows = listed.out.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
    rows.map(|row| {
        assert_eq!(row["authenticated"], true);
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        if row["kind"] == "request" {
            return format!("{} request", text("label"));
        }
        let trusted = row["trust"].as_array().is_some_and(|t| t.len() == 4);
        let default = row["default"] == true;
        format!("{} {} {trusted} {default} {}", text("label"), text("kind"), text("sha256"))
    })
    .collect()
}

#[track_caller]
pub fn gskit(command: &[&str], kdb: &Path, arguments: &[&str]) -> Value {
    let ran = must(oracle().args(command).arg(kdb).args(arguments));
    serde_json::from_str(&ran.out).unwrap()
}

/// Says loudly that GSKit is not here, which no run of continuous integration may pass over; elsewhere
/// `scripts/test` counts the tests that are skipped for it.
pub fn without_gskit() -> bool {
    static REASON: OnceLock<Option<String>> = OnceLock::new();
    let reason = REASON.get_or_init(|| match oracle().arg("version").output() {
        Ok(out) if out.status.success() => None,
        Ok(out) => Some(String::from_utf8_lossy(&out.stdout).into_owned()),
        Err(e) => Some(e.to_string()),
    });
    let Some(reason) = reason else { return false };
    assert!(std::env::var_os("CI").is_none(), "GSKit is not here: {reason}");
    skipped(&format!("GSKit is not here; scripts/test installs it: {reason}"));
    true
}

/// The program that drives GSKit.
pub fn oracle() -> Command {
    let mut python = Command::new(root().join(".venv/bin/python"));
    python.arg(root().join("tests/oracles/gskit.py")).env("PYTHONUTF8", "1").env("LC_ALL", "C.UTF-8");
    python
}

#[track_caller]
fn openssl(dir: &Path, arguments: &[&str]) {
    must(Command::new("openssl").args(arguments).current_dir(dir));
}
