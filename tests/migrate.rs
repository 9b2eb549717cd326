//! Stores moved to another format for MQ, parted into key store and trust store, and put together again; each beside
//! the program that has to read it.

use crate::kdb::{TlsServer, gskit, oracle, with_request, without_gskit};
use crate::support::{Passwords, World, keyferry, must, run, scratch};
use formats::jobs::deliver::Target;
use formats::jobs::split::{Split, split};
use formats::jobs::{AllowLoss, Input, Output};
use formats::place::Source;
use formats::storeset::Step;
use formats::{Error, Kind};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const PASSWORD: &str = "Migrate-1 x";

/// What the tests begin with: a root, a client of it and a server, one more root, a partner's certificate.
fn material() -> TempDir {
    let dir = scratch();
    let openssl = |arguments: &[&str]| must(Command::new("openssl").args(arguments).current_dir(dir.path()));
    for name in ["ca", "other"] {
        let (key, pem, subject) = (format!("{name}.key"), format!("{name}.pem"), format!("/CN={name} root"));
        let out = ["-keyout", &key, "-out", &pem, "-subj", &subject, "-days", "100"];
        openssl(&[&["req", "-x509", "-newkey", "rsa:2048", "-nodes"][..], &out].concat());
    }
    for name in ["client", "localhost", "partner"] {
        let (key, csr, pem) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        let subject = format!("/CN={name}");
        openssl(&["req", "-newkey", "rsa:2048", "-nodes", "-subj", &subject, "-keyout", &key, "-out", &csr]);
        let by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "50"];
        openssl(&[&["x509", "-req", "-in", &csr, "-out", &pem][..], &by].concat());
    }
    let text = |f: &str| std::fs::read_to_string(dir.path().join(f)).unwrap();
    let own = ["client.key", "client.pem", "ca.pem"].map(text).concat();
    std::fs::write(dir.path().join("own.pem"), own).unwrap();
    dir
}

/// The program in a folder, with the password of all stores.
fn in_folder(dir: &Path) -> Command {
    let mut command = keyferry();
    command.current_dir(dir).env("KEYFERRY_PASSWORD", PASSWORD);
    command
}

/// A store with all of it.
fn combined(dir: &Path, store: &str) {
    let files = ["own.pem", "ca.pem", "other.pem", "partner.pem"];
    let mut create = in_folder(dir);
    create.arg("create").arg(store).args(files).args(["--password", "none", "--to-password", "env:PW"]);
    create.env("PW", PASSWORD);
    if store.ends_with("kdb") {
        create.arg("--stash");
    }
    must(&mut create);
}

/// Every file of a folder and below, but locks, with its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    for path in std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
        if path.is_dir() {
            out.extend(files(&path));
        } else if path.extension().is_none_or(|e| e != "lock") {
            out.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    out
}

#[track_caller]
fn handshake(store: &Path, label: Option<&str>, server: &TlsServer) -> bool {
    let mut shake = oracle();
    shake.arg("handshake").arg(store).args(["--connect", &server.address]);
    run(shake.args(label.iter().flat_map(|l| ["--label", l]))).status == 0
}

#[test]
fn mq_gets_a_pkcs12_that_the_stash_opens_and_a_server_believes() {
    if without_gskit() {
        return;
    }
    let dir = material();
    let at = |name: &str| dir.path().join(name);
    combined(dir.path(), "client.kdb");
    must(in_folder(dir.path()).args(["default", "client.kdb", "client"]));
    std::fs::set_permissions(at("client.kdb"), std::fs::Permissions::from_mode(0o640)).unwrap();
    let ini = format!(
        "# ours\r\nSSL:\r\n   SSLKeyRepository={}\r\n   OutboundSNI=HOSTNAME\r\nSecurity:\r\n   Other=<MQI>!2!x=!\r\n",
        at("client").display()
    );
    std::fs::write(at("mqclient.ini"), &ini).unwrap();

    let before = files(dir.path());
    let migrate = || {
        let mut command = in_folder(dir.path());
        command.args(["migrate", "client.kdb", "--to", "p12", "--rewrite", "mqclient.ini", "--json"]);
        command
    };
    must(migrate().arg("--dry-run"));
    assert_eq!(files(dir.path()), before, "a dry run writes nothing");

    let rows: serde_json::Value = serde_json::from_str(&must(&mut migrate()).out).unwrap();
    assert_eq!((&rows[0]["default"], &rows[0]["stash"]), (&"client".into(), &"client.sth".into()), "{rows}");
    assert_eq!(std::fs::metadata(at("client.p12")).unwrap().permissions().mode() & 0o777, 0o640);
    let stem = at("client").display().to_string();
    let repository = format!("SSLKeyRepository={stem}");
    let rewritten = ini
        .replace(&repository, &format!("{repository}.p12"))
        .replace("HOSTNAME\r\n", "HOSTNAME\r\n   CertificateLabel=client\r\n");
    let after = files(dir.path());
    assert_eq!(after[&at("mqclient.ini")], rewritten.as_bytes());
    assert_eq!(after[&at("mqclient.ini.old-1")], ini.as_bytes());
    let kept = before.keys().filter(|p| !p.ends_with("mqclient.ini"));
    kept.for_each(|path| assert_eq!(after[path], before[path], "{}", path.display()));
    let mut diff = in_folder(dir.path());
    must(diff.args(["diff", "client.kdb", "client.p12", "--password", "client.p12=stash:client.sth"]));

    gskit(&["open-stashed"], &at("client.p12"), &[]);
    let server = TlsServer::start(dir.path());
    assert!(handshake(&at("client.p12"), Some("client"), &server), "{}", server.said.lock().unwrap());
    assert!(!handshake(&at("client.p12"), Some("nobody"), &server), "the server takes anybody");
    // Why the label becomes a setting.
    assert!(handshake(&at("client.kdb"), None, &server) && !handshake(&at("client.p12"), None, &server));

    // Again: there is nothing to do, but for the settings where a run ended before them. What differs is not replaced.
    std::fs::write(at("mqclient.ini"), &ini).unwrap();
    assert!(must(&mut migrate()).out.contains("\"already\": true"));
    let again = files(dir.path());
    assert_eq!(
        (&again[&at("client.p12")], &again[&at("mqclient.ini")]),
        (&after[&at("client.p12")], &after[&at("mqclient.ini")])
    );
    let mut remove = in_folder(dir.path());
    must(remove.args(["remove", "client.p12", "partner", "--yes", "--password", "stash:client.sth"]));
    let other = run(&mut migrate());
    assert!(other.status == 5 && other.err.contains("something else"), "{}", other.err);
    // And back, in another place.
    must(in_folder(dir.path()).args(["rollback", "client.p12", "--password", "stash:client.sth"]));
    let back = scratch();
    for name in ["client.p12", "client.sth"] {
        std::fs::copy(at(name), back.path().join(name)).unwrap();
    }
    let mut return_home = in_folder(back.path());
    must(return_home.args(["migrate", "client.p12", "--to", "kdb", "--password", "stash:client.sth"]));
    gskit(&["open-stashed"], &back.path().join("client.kdb"), &[]);
    assert!(handshake(&back.path().join("client.kdb"), Some("client"), &server));
    assert_eq!(files(back.path())[&back.path().join("client.sth")], before[&at("client.sth")]);
}

#[test]
fn what_pkcs12_cannot_hold_is_said_before_anything_is_written() {
    if without_gskit() {
        return;
    }
    let dir = material();
    let at = |name: &str| dir.path().join(name);
    with_request(&at("pending.kdb"), PASSWORD);
    let before = files(dir.path());
    let migrate = |store: &str| {
        let mut command = in_folder(dir.path());
        command.args(["migrate", store, "--to", "p12"]);
        command
    };
    let refused = run(&mut migrate("pending.kdb"));
    assert!(refused.status == 5 && refused.err.contains("request: \"pending\""), "{}", refused.err);
    assert_eq!(files(dir.path()), before);
    let done = must(migrate("pending.kdb").arg("--allow-loss=request"));
    assert!(done.out.contains("\"pending\" stays pending in pending.kdb"), "{}", done.out);
    gskit(&["open-stashed"], &at("pending.p12"), &[]);
    before.keys().for_each(|path| assert_eq!(files(dir.path())[path], before[path]));

    with_request(&at("umlaut.kdb"), "Migrate-1 ü");
    let refused = run(&mut migrate("umlaut.kdb"));
    assert!(refused.status == 5 && refused.err.contains("ASCII"), "{}", refused.err);

    // A CA that the key database doesn't trust: GSKit refuses its server there, and takes it with the PKCS#12.
    combined(dir.path(), "client.kdb");
    must(in_folder(dir.path()).args(["trust", "client.kdb", "ca root", "--none"]));
    let refused = run(&mut migrate("client.kdb"));
    assert!(refused.status == 5 && refused.err.contains("trust-raised: \"ca root\""), "{}", refused.err);
    assert!(!at("client.p12").exists());
    must(migrate("client.kdb").arg("--allow-loss=trust-raised"));
    let server = TlsServer::start(dir.path());
    assert!(!handshake(&at("client.kdb"), Some("client"), &server), "then there is nothing to warn of");
    assert!(handshake(&at("client.p12"), Some("client"), &server), "then there is nothing to warn of");
}

#[test]
fn a_tree_moves_store_by_store_and_settings_that_cannot_follow_stop_it() {
    let dir = material();
    let at = |name: &str| dir.path().join(name);
    for home in ["a", "b", "c"] {
        std::fs::create_dir_all(at("tree").join(home)).unwrap();
    }
    combined(dir.path(), "tree/a/client.kdb");
    for home in ["b", "c"] {
        for suffix in ["kdb", "sth"] {
            let name = format!("client.{suffix}");
            std::fs::copy(at("tree/a").join(&name), at("tree").join(home).join(&name)).unwrap();
        }
    }
    let conf = format!("cms.keystore = {}\ncms.certificate = client\n", at("tree/a/client").display());
    std::fs::write(at("keystore.conf"), &conf).unwrap();
    let migrate = || {
        let mut command = in_folder(dir.path());
        command.args(["migrate", "tree", "--to", "p12"]);
        command
    };
    let before = files(dir.path());
    let refused = run(migrate().args(["--rewrite", "keystore.conf"]));
    assert!(refused.status == 5 && refused.err.contains("cms.keystore takes a kdb"), "{}", refused.err);
    std::fs::write(at("mqclient.ini"), "SSL:\n  SSLKeyRepository=/elsewhere/client\n").unwrap();
    let refused = run(migrate().args(["--rewrite", "mqclient.ini"]));
    assert!(refused.status == 5 && refused.err.contains("names none of the stores"), "{}", refused.err);
    std::fs::remove_file(at("mqclient.ini")).unwrap();
    assert_eq!(files(dir.path()), before);

    let whole = std::fs::read(at("tree/b/client.kdb")).unwrap();
    std::fs::write(at("tree/b/client.kdb"), &whole[..whole.len() / 2]).unwrap();
    let done = run(&mut migrate());
    assert_eq!(done.status, 8, "{}", done.err);
    assert!(done.err.contains("tree/b/client.kdb"), "{}", done.err);
    assert!(at("tree/a/client.p12").exists() && at("tree/c/client.p12").exists());
    assert!(!at("tree/b/client.p12").exists());
    let none = run(in_folder(dir.path()).args(["migrate", "tree/b", "--to", "kdb"]));
    assert_eq!(none.status, 3, "{}", none.err);
}

#[test]
fn a_pkcs12_has_a_stash_for_mq_and_none_that_is_anothers() {
    let dir = material();
    let at = |name: &str| dir.path().join(name);
    let with = |arguments: &[&str], password: &str| {
        let mut command = in_folder(dir.path());
        run(command.args(arguments).env("NEW", password).env("KEYFERRY_PASSWORD", password))
    };
    let created = with(&["create", "a.p12", "ca.pem", "--stash", "--to-password", "env:NEW"], PASSWORD);
    assert_eq!(created.status, 0, "{}", created.err);
    assert_eq!(std::fs::metadata(at("a.sth")).unwrap().permissions().mode() & 0o777, 0o600);
    let changed =
        with(&["passwd", "a.p12", "--to-password", "env:NEW", "--password", "stash:a.sth"], "Other-1 y");
    assert!(changed.status == 0 && changed.err.contains("keyferry stash a.p12"), "{}", changed.err);
    assert_eq!(with(&["stash", "a.p12"], "Other-1 y").status, 0);
    if !without_gskit() {
        gskit(&["open-stashed"], &at("a.p12"), &[]);
    }
    assert_eq!(with(&["create", "b.p12", "ca.pem", "--to-password", "env:NEW"], "Ü").status, 0);
    let refused = with(&["stash", "b.p12"], "Ü");
    assert!(refused.status == 5 && refused.err.contains("ASCII"), "{}", refused.err);
    // The stash of a key database stays its own.
    assert_eq!(
        with(&["create", "c.kdb", "ca.pem", "--stash", "--to-password", "env:NEW"], PASSWORD).status,
        0
    );
    assert_eq!(with(&["create", "c.p12", "ca.pem", "--to-password", "env:NEW"], "Other-1 y").status, 0);
    let before = files(dir.path());
    let refused = with(&["stash", "c.p12"], "Other-1 y");
    assert!(refused.status == 5 && refused.err.contains("c.kdb"), "{}", refused.err);
    assert_eq!(files(dir.path()), before);
}

#[test]
fn a_configuration_opens_mqs_pkcs12_by_its_stash() {
    let dir = scratch();
    let at = |name: &str| dir.path().join(name);
    for name in ["x.kdb", "x.sth", "y.p12", "y.sth", "z.jks"] {
        std::fs::write(at(name), "").unwrap();
    }
    let init = |name: &str, text: &str| {
        std::fs::write(at(name), text).unwrap();
        let mut init = in_folder(dir.path());
        must(init.args(["init", name, "--bundle", "/b.pem", "--verify", "none", "-o", "-"])).out
    };
    let said = init("mqclient.ini", "SSL:\n  SSLKeyRepository=y.p12\nX:\n  SSLKeyRepository=/no\n");
    let stash = format!("path = {:?}\npassword = \"stash:{}\"\n", at("y.p12"), at("y.sth").display());
    assert!(said.ends_with(&stash) && !said.contains("/no"), "{said}");
    let said = init("keystore.conf", "cms.keystore = x\nJKS.keystore = z\n");
    // One rename of the file changes both.
    let pointer = format!("pointer = {:?}\n", at("keystore.conf"));
    let kdb = format!("path = {:?}\n{pointer}\n", at("x.kdb"));
    let jks = format!("path = {:?}\n{pointer}#", at("z.jks"));
    assert!(said.contains(&kdb) && said.contains(&jks), "{said}");
}

/// The combined store of a format, and what its key store and trust store are called.
const SHAPES: [(&str, &str, &str, &str); 5] = [
    ("all.jks", "key.jks", "trust.jks", "back.jks"),
    ("all.p12", "key.p12", "trust.p12", "back.p12"),
    ("all.kdb", "key.kdb", "trust.kdb", "back.kdb"),
    ("nss:all", "nss:key", "nss:trust", "nss:back"),
    ("all.pem", "key.pem", "trust.pem", "back.pem"),
];

#[test]
fn what_was_parted_comes_together_again() {
    let dir = material();
    for (all, key, trust, back) in SHAPES {
        combined(dir.path(), all);
        match all {
            "all.kdb" => {
                must(in_folder(dir.path()).args(["default", all, "client"]));
                must(in_folder(dir.path()).args(["trust", all, "other root", "--none"]));
            }
            "nss:all" => drop(must(in_folder(dir.path()).args(["trust", all, "other root", "C,,"]))),
            _ => {}
        }
        let parting = ["split", all, "--keys", key, "--trust", trust];
        let planned = must(in_folder(dir.path()).args(parting).arg("--dry-run"));
        assert!(planned.err.contains("nothing was written"), "{all}: {}", planned.err);
        must(in_folder(dir.path()).args(parting));
        let held = |store: &str| -> Vec<(String, String)> {
            let listed = must(in_folder(dir.path()).args(["list", "--jsonl", store]));
            let rows = listed.out.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
            let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
            rows.map(|r| (text(&r["kind"]), text(&r["subject"]))).collect()
        };
        let (keys, certs) = (held(key), held(trust));
        assert!(keys.contains(&("key".into(), "CN=client".into())), "{key}: {keys:?}");
        assert!(certs.iter().all(|(kind, _)| kind == "cert"), "{trust}: {certs:?}");
        for subject in ["CN=ca root", "CN=other root", "CN=partner"] {
            assert!(certs.iter().any(|(_, s)| s == subject), "{trust}: {certs:?}");
            let is_signer = subject == "CN=ca root" && ["key.kdb", "nss:key"].contains(&key);
            assert_eq!(keys.iter().any(|(_, s)| s == subject), is_signer, "{key} {subject}: {keys:?}");
        }
        must(in_folder(dir.path()).args(["merge", key, trust, "-o", back]));
        let same = run(in_folder(dir.path()).args(["diff", all, back]));
        assert_eq!(same.status, 0, "{all}: {}{}", same.out, same.err);
    }
    their_programs_read_the_parts(dir.path());
}

fn their_programs_read_the_parts(dir: &Path) {
    let reads = |program: &str, arguments: &[&str], wanted: &str| {
        let ran = must(Command::new(program).args(arguments).current_dir(dir).env("PW", PASSWORD));
        let count = ran.out.matches(wanted).count();
        (count, format!("{program} {arguments:?}: {}", ran.out))
    };
    let list = |store| ["-list", "-keystore", store, "-storepass:env", "PW"];
    for (store, wanted, times) in [
        ("key.jks", "PrivateKeyEntry", 1),
        ("trust.jks", "trustedCertEntry", 3),
        ("trust.p12", "trustedCertEntry", 3),
    ] {
        let (count, said) = reads("keytool", &list(store), wanted);
        assert_eq!(count, times, "{said}");
    }
    let p12 = ["pkcs12", "-in", "key.p12", "-passin", "env:PW", "-noenc"];
    assert_eq!(reads("openssl", &p12, "PRIVATE KEY").0, 2);
    assert_eq!(reads("openssl", &["crl2pkcs7", "-nocrl", "-certfile", "trust.pem"], "BEGIN PKCS7").0, 1);
    std::fs::write(dir.join("pw"), PASSWORD).unwrap();
    let (keys, said) = reads("certutil", &["-K", "-d", "sql:key", "-f", "pw"], "client");
    assert_eq!(keys, 1, "{said}");
    let (flags, said) = reads("certutil", &["-L", "-d", "sql:trust"], "C,,");
    assert!(flags >= 1, "{said}");
    if !without_gskit() {
        ["key.kdb", "trust.kdb"]
            .iter()
            .for_each(|store| drop(gskit(&["open-stashed"], &dir.join(store), &[])));
        let trust = gskit(&["list"], &dir.join("trust.kdb"), &["--pw", PASSWORD]);
        let trusted = |label: &str| {
            let entries = trust["entries"].as_array().unwrap();
            entries.iter().find(|e| e["label"] == label).unwrap()["trusted"].clone()
        };
        assert_eq!((trusted("ca root"), trusted("other root")), (true.into(), false.into()));
    }
}

#[test]
fn there_are_both_parts_or_none() {
    let dir = material();
    let at = |name: &str| dir.path().join(name);
    combined(dir.path(), "all.p12");
    std::fs::write(at("trust.jks"), "in the way").unwrap();
    let refused =
        run(in_folder(dir.path()).args(["split", "all.p12", "--keys", "key.jks", "--trust", "trust.jks"]));
    assert_eq!(refused.status, 5, "{}", refused.err);
    assert!(!at("key.jks").exists());
    // A leaf that is trusted there would vouch for others: nothing is written on either side.
    std::fs::remove_file(at("trust.jks")).unwrap();
    let before = files(dir.path());
    let (world, secrets) = (World::new(), Passwords::one(PASSWORD));
    let source = Source::open(&at("all.p12")).unwrap();
    let renames = Cell::new(0);
    let fails = |step: Step| {
        renames.set(renames.get() + usize::from(step == Step::Rename));
        if renames.get() == 2 { Err(Error::new(Kind::Write, "no room")) } else { Ok(()) }
    };
    let (keys, trust) = (at("key.jks"), at("trust.jks"));
    let target = |path| Target {
        to: Output::File(path),
        format: formats::by_name("jks").unwrap(),
        ctx: world.ctx(&secrets),
        allow: AllowLoss::All,
        force: false,
        dry_run: false,
        like: None,
        on_step: &fails,
    };
    let from = Input { source: &source, format: None, ctx: world.ctx(&secrets) };
    let job = Split { from, keys: target(&keys), trust: target(&trust), roots: false };
    assert_eq!(split(&job).map_err(|e| e.kind()).err(), Some(Kind::Write));
    assert_eq!((renames.get(), files(dir.path()) == before), (2, true), "the first was not taken back");
}

#[test]
fn a_chain_is_no_trust_unless_somebody_says_so() {
    let dir = material();
    let split = |roots: &[&str]| {
        let parts = ["split", "own.pem", "--keys", "key.p12", "--trust", "trust.p12"];
        let mut command = in_folder(dir.path());
        run(command
            .args(parts)
            .args(["--password", "none", "--to-password", "env:KEYFERRY_PASSWORD"])
            .args(roots))
    };
    let refused = split(&[]);
    assert!(refused.status == 5 && refused.err.contains("--roots"), "{}", refused.err);
    assert_eq!(split(&["--roots"]).status, 0);
    let listed = must(in_folder(dir.path()).args(["list", "--jsonl", "trust.p12"]));
    assert!(listed.out.contains("CN=ca root") && listed.out.lines().count() == 1, "{}", listed.out);
}

#[test]
fn labels_that_collide_get_numbers_and_the_lower_trust_counts() {
    let dir = material();
    combined(dir.path(), "a.kdb");
    let mut one = in_folder(dir.path());
    one.args([
        "create",
        "b.kdb",
        "other.pem",
        "--label",
        "ca root",
        "--to-password",
        "env:KEYFERRY_PASSWORD",
    ]);
    must(one.arg("--stash"));
    let merged = must(in_folder(dir.path()).args(["merge", "a.kdb", "b.kdb", "-o", "ab.jks"]));
    assert!(merged.err.contains("\"ca root #2\""), "{}", merged.err);
    let listed = must(in_folder(dir.path()).args(["list", "ab.jks"]));
    assert!(listed.out.contains("ca root #2") && listed.out.contains("other root"), "{}", listed.out);

    must(in_folder(dir.path()).args(["create", "c.kdb", "ca.pem", "--to-password", "env:KEYFERRY_PASSWORD"]));
    must(in_folder(dir.path()).args(["trust", "c.kdb", "ca root", "--none"]));
    let merge = || {
        let mut command = in_folder(dir.path());
        command.args(["merge", "a.kdb", "c.kdb", "-o", "ac.kdb"]);
        command
    };
    let refused = run(&mut merge());
    assert!(refused.status == 5 && refused.err.contains("trust: \"ca root\""), "{}", refused.err);
    assert!(!dir.path().join("ac.kdb").exists());
    must(merge().arg("--allow-loss=trust"));
    let shown = must(in_folder(dir.path()).args(["list", "--jsonl", "ac.kdb"]));
    let root = shown.out.lines().find(|l| l.contains("\"label\":\"ca root\"")).unwrap();
    assert!(root.contains("\"trust\":[]"), "{root}");
}
