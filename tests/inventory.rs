//! Trees of stores: what `list -r` and `find` see, against what the stores' own tools say of each; trees that
//! somebody laid out to mislead; inventories in other programs.

use crate::kdb::{gskit, without_gskit};
use crate::support::{Ran, keyferry, must, run, scratch, sha256, testdata};
use serde_json::Value;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

const PASSWORD: &str = "Secret-1";

fn ours(arguments: &[&str], dir: &Path) -> Ran {
    run(keyferry().args(arguments).current_dir(dir).env("KEYFERRY_PASSWORD", PASSWORD))
}

fn json(ran: &Ran) -> Vec<Value> {
    serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}{}", ran.out, ran.err))
}

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap_or("")
}

fn tool(dir: &Path, name: &str, arguments: &[&str]) -> String {
    must(Command::new(name).args(arguments).current_dir(dir).env("LC_ALL", "C.UTF-8")).out
}

/// A root, a key with its certificate and request, in PEM.
fn openssl_files(dir: &Path) {
    let ca = ["-subj", "/O=MYORG/CN=Tree root", "-keyout", "ca.key", "-out", "ca.pem", "-days", "100"];
    tool(dir, "openssl", &[&["req", "-x509", "-newkey", "rsa:2048", "-nodes"], &ca[..]].concat());
    let new = ["-nodes", "-subj", "/O=MYORG/CN=PAYROLL", "-keyout", "pay.key", "-out", "pay.csr"];
    tool(dir, "openssl", &[&["req", "-newkey", "rsa:2048"], &new[..]].concat());
    let sign = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "50", "-out", "pay.pem"];
    tool(dir, "openssl", &[&["x509", "-req", "-in", "pay.csr"], &sign[..]].concat());
    let pass = format!("pass:{PASSWORD}");
    let p12 = ["-inkey", "pay.key", "-in", "pay.pem", "-certfile", "ca.pem", "-name", "payroll"];
    tool(dir, "openssl", &[&["pkcs12", "-export", "-out", "pay.p12", "-passout", &pass], &p12[..]].concat());
}

/// SHA-256 of every certificate in PEM text.
fn prints(pem: &str) -> BTreeSet<String> {
    let blocks = pem::parse_many(pem).unwrap();
    blocks.iter().filter(|b| b.tag() == "CERTIFICATE").map(|b| sha256(b.contents())).collect()
}

#[test]
fn a_tree_of_the_peers_stores_is_listed_object_by_object() {
    if without_gskit() {
        return;
    }
    let dir = scratch();
    let dir = dir.path();
    openssl_files(dir);
    // Names lie: a PKCS#12 that is called a JKS, a JKS without a suffix.
    for folder in ["java", "nss", "mq/deep", "pem"] {
        std::fs::create_dir_all(dir.join(folder)).unwrap();
    }
    let store = ["-storepass", PASSWORD, "-noprompt"];
    let import = |kind: &str, file: &str| {
        let from = ["-srckeystore", "pay.p12", "-srcstorepass", PASSWORD, "-deststorepass", PASSWORD];
        let to = ["-importkeystore", "-noprompt", "-destkeystore", file, "-deststoretype", kind];
        tool(dir, "keytool", &[&to[..], &from].concat());
        let ca = ["-importcert", "-alias", "Root CA", "-file", "ca.pem", "-keystore", file];
        tool(dir, "keytool", &[&ca[..], &store].concat());
    };
    import("JKS", "java/trust");
    import("PKCS12", "java/misnamed.jks");
    std::fs::write(dir.join("pw"), PASSWORD).unwrap();
    tool(dir, "certutil", &["-N", "-d", "sql:nss", "-f", "pw"]);
    tool(dir, "pk12util", &["-i", "pay.p12", "-d", "sql:nss", "-k", "pw", "-W", PASSWORD]);
    let kdb = dir.join("mq/deep/client.kdb");
    gskit(&["create"], &kdb, &["--pw", PASSWORD, "--stash", "v2"]);
    let p12 = dir.join("pay.p12");
    gskit(&["import-p12"], &kdb, &["--pw", PASSWORD, "--file", p12.to_str().unwrap(), "--file-pw", PASSWORD]);
    std::fs::rename(dir.join("pay.pem"), dir.join("pem/notes.txt")).unwrap();
    // Databases of other programs are no stores.
    std::fs::copy(dir.join("nss/key4.db"), dir.join("pem/places.sqlite")).unwrap();
    std::fs::write(dir.join("pem/README"), "no store, though it says -----BEGIN of something").unwrap();

    let ran = ours(&["list", "-r", ".", "--json"], dir);
    assert_eq!((ran.status, &*ran.err), (0, ""), "{}", ran.out);
    let rows = json(&ran);
    let of = |store: &str| -> Vec<&Value> { rows.iter().filter(|r| text(r, "store") == store).collect() };
    let certificates = |store: &str| -> BTreeSet<String> {
        let all = of(store).into_iter().flat_map(|r| {
            let chain = r["chain"].as_array().cloned().unwrap_or_default();
            chain.into_iter().chain([r["sha256"].clone()]).filter_map(|v| v.as_str().map(str::to_owned))
        });
        all.collect()
    };
    // Java: aliases, kinds and certificates.
    for file in ["java/trust", "java/misnamed.jks"] {
        let said = tool(dir, "keytool", &[&["-list", "-rfc", "-keystore", file], &store[..]].concat());
        let name = format!("./{file}");
        assert_eq!(certificates(&name), prints(&said), "{file}");
        let theirs: BTreeSet<_> = said
            .split("Alias name: ")
            .skip(1)
            .map(|part| {
                let label = part.lines().next().unwrap().to_owned();
                (label.to_lowercase(), part.contains("PrivateKeyEntry"))
            })
            .collect();
        let mine =
            of(&name).into_iter().map(|r| (text(r, "label").to_lowercase(), r["kind"] == "key")).collect();
        assert_eq!(theirs, mine, "{file}");
    }
    assert_eq!(of("./java/misnamed.jks")[0]["format"], "p12");
    // NSS: nicknames, and each certificate by its nickname.
    let said = tool(dir, "certutil", &["-L", "-d", "sql:nss"]);
    for row in of("./nss") {
        let label = text(row, "label");
        assert!(said.contains(label), "{label}: {said}");
        let pem = tool(dir, "certutil", &["-L", "-a", "-n", label, "-d", "sql:nss"]);
        assert!(prints(&pem).contains(text(row, "sha256")), "{label}");
    }
    let flags =
        |line: &&str| line.rsplit(' ').next().is_some_and(|w| w.split(',').count() == 3 && !w.contains('/'));
    let theirs = said.lines().map(str::trim_end).filter(flags).count();
    assert_eq!(of("./nss").len(), theirs, "{said}");
    // GSKit: labels and certificates.
    let said = gskit(&["list"], &kdb, &["--pw", PASSWORD]);
    let listed = serde_json::to_string(&said).unwrap();
    let rows_of_kdb = of("./mq/deep/client.kdb");
    assert!(rows_of_kdb.len() >= 2, "{rows:?}");
    for row in rows_of_kdb {
        assert!(
            listed.contains(text(row, "sha256")) && listed.contains(text(row, "label")),
            "{row} {listed}"
        );
        assert_eq!(row["authenticated"], true);
    }
    // OpenSSL.
    let pass = format!("pass:{PASSWORD}");
    let said = tool(dir, "openssl", &["pkcs12", "-in", "pay.p12", "-nokeys", "-passin", &pass]);
    assert_eq!(certificates("./pay.p12"), prints(&said));
    assert_eq!(
        certificates("./pem/notes.txt"),
        prints(&std::fs::read_to_string(dir.join("pem/notes.txt")).unwrap())
    );
    assert!(of("./pem/README").is_empty());
    // The system's word on each file.
    for row in &rows {
        let path = dir.join(text(row, "store"));
        let path = if path.is_dir() { path.join("cert9.db") } else { path };
        let meta = std::fs::metadata(&path).unwrap();
        assert_eq!(row["file"]["size"], meta.len(), "{row}");
        assert_eq!(row["file"]["mode"], format!("{:04o}", meta.permissions().mode() & 0o7777), "{row}");
        assert!(row["file"]["owner"].is_string() && row["file"]["mtime"].is_string(), "{row}");
    }
}

#[test]
fn find_goes_from_a_name_to_every_place_of_its_key() {
    if without_gskit() {
        return;
    }
    let dir = scratch();
    let dir = dir.path();
    openssl_files(dir);
    let kdb = dir.join("client.kdb");
    let p12 = dir.join("pay.p12");
    let file = p12.to_str().unwrap();
    gskit(&["create"], &kdb, &["--pw", PASSWORD, "--stash", "v2"]);
    gskit(&["import-p12"], &kdb, &["--pw", PASSWORD, "--file", file, "--file-pw", PASSWORD]);
    // A key that people believe gone, and one with a pending request.
    let gone = dir.join("gone.kdb");
    gskit(&["create"], &gone, &["--pw", PASSWORD, "--stash", "v2"]);
    gskit(&["import-p12"], &gone, &["--pw", PASSWORD, "--file", file, "--file-pw", PASSWORD]);
    // GSKit gives the slot away when it closes the database; a program that ends otherwise leaves it.
    gskit(&["delete"], &gone, &["--pw", PASSWORD, "--label", "payroll", "--crash"]);
    let asked = dir.join("asked.arm");
    let request = ["--label", "waiting", "--dn", "CN=WAITING,O=MYORG", "--out", asked.to_str().unwrap()];
    gskit(&["create-req"], &gone, &[&["--pw", PASSWORD], &request[..]].concat());
    std::fs::copy(&p12, dir.join("pay.p12.old-4")).unwrap();

    let find = |arguments: &[&str]| ours(&[&["find"], arguments].concat(), dir);
    let ran = find(&["CN=PAYROLL,O=MYORG", ".", "--json"]);
    assert_eq!((ran.status, &*ran.err), (0, ""), "{}", ran.out);
    let found: BTreeSet<String> = json(&ran)
        .iter()
        .map(|h| {
            let flag = |f: &str| if h[f] == true { format!(" {f}") } else { String::new() };
            let generation = h["generation"].as_u64().map_or(String::new(), |n| format!(" old-{n}"));
            format!(
                "{} {} {}{}{}{generation}",
                text(h, "store"),
                text(h, "kind"),
                text(h, "found_by"),
                flag("private_key"),
                flag("erased")
            )
        })
        .collect();
    let expected = [
        "./client.kdb key pattern private_key",
        "./gone.kdb key pattern private_key erased",
        "./pay.csr request pattern",
        "./pay.key key public-key private_key",
        "./pay.p12 key pattern private_key",
        "./pay.p12.old-4 key pattern private_key old-4",
        "./pay.pem cert pattern",
    ];
    assert_eq!(found, expected.iter().map(|s| (*s).to_owned()).collect(), "{}", ran.out);
    // Three current stores hold the key; the generation and the erased slot are not counted.
    assert!(json(&ran).iter().all(|h| h["private_key"] != true || h["key_in_stores"] == 3), "{}", ran.out);
    let table = find(&["CN=PAYROLL,O=MYORG", "."]).out;
    assert!(table.contains("3 stores hold the same private key"), "{table}");
    assert!(table.contains("deleted but still in the file"), "{table}");

    // The certificate alone leads to the same, by fingerprint and by label.
    let print = json(&ran)[0]["sha256"].as_str().unwrap().to_owned();
    let by_print = json(&find(&["--sha256", &print, ".", "--json"]));
    assert!(by_print.iter().any(|h| text(h, "store") == "./pay.key"), "{by_print:?}");
    let waiting = json(&find(&["--label", "waiting", ".", "--json"]));
    let places: Vec<_> =
        waiting.iter().map(|h| (text(h, "store"), text(h, "kind"), h["private_key"] == true)).collect();
    assert_eq!(places, [("./asked.arm", "request", false), ("./gone.kdb", "request", true)]);
    // A list shows nothing of what was deleted.
    let listed = json(&ours(&["list", "gone.kdb", "--json"], dir));
    assert!(listed.iter().all(|r| text(r, "label") != "payroll"), "{listed:?}");
    for by in ["cert", "key", "store"] {
        let groups = json(&find(&["CN=PAYROLL,O=MYORG", ".", "--json", "--group-by", by]));
        let holdings: usize = groups.iter().map(|g| g["holdings"].as_array().unwrap().len()).sum();
        assert_eq!(
            (holdings, groups.len()),
            (
                7,
                if by == "store" {
                    7
                } else if by == "key" {
                    1
                } else {
                    2
                }
            ),
            "{by}"
        );
    }
    assert_eq!(find(&["CN=NOBODY", "."]).status, 1);
    assert_eq!(find(&["CN=PAYROLL", "./missing"]).status, 8);
    // Without passwords a PKCS#12 can't be looked into, and that is said.
    let ran = find(&["CN=PAYROLL", ".", "--no-secrets"]);
    assert!(ran.status == 8 && ran.err.contains("pay.p12"), "{}", ran.err);
}

#[test]
fn passwords_come_by_rules() {
    let dir = scratch();
    let dir = dir.path();
    for (from, to) in [
        ("java/jks-basic.jks", "a/b/basic.jks"),
        ("p12/jdk17-default.p12", "a/basic.p12"),
        ("java/jks-password-short.jks", "c/short.jks"),
    ] {
        std::fs::create_dir_all(dir.join(to).parent().unwrap()).unwrap();
        std::fs::copy(testdata(from), dir.join(to)).unwrap();
    }
    let rules = dir.join("rules");
    let list =
        |lines: &str, more: &[&str]| {
            std::fs::write(&rules, lines).unwrap();
            let with = ["list", "-r", "a", "c", "--json", "--password-rules", "rules"];
            run(keyferry().args(with).args(more).current_dir(dir).env("RIGHT", "changeit").env(
                "SHORT",
                crate::golden::cases()
                    .iter()
                    .find(|c| c.file() == "jks-password-short.jks")
                    .unwrap()
                    .manifest["store_password"]
                    .as_str()
                    .unwrap(),
            ))
        };
    let proved = |ran: &Ran, store: &str| {
        let rows = json(ran);
        let of: Vec<_> = rows.iter().filter(|r| text(r, "store") == store).collect();
        of.first().map(|r| r["authenticated"] == true)
    };
    let ran = list("# by name, by path\nshort.* = env:SHORT\na/** = env:RIGHT\n", &[]);
    assert_eq!((ran.status, &*ran.err), (0, ""));
    for store in ["a/b/basic.jks", "a/basic.p12", "c/short.jks"] {
        assert_eq!(proved(&ran, store), Some(true), "{store}");
    }
    // The first that fits counts, and one star stays within a folder.
    let ran = list("a/*=env:RIGHT\n", &[]);
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert_eq!(proved(&ran, "a/basic.p12"), Some(true));
    assert_eq!(proved(&ran, "a/b/basic.jks"), Some(false), "listed, but not proved");
    // A wrong password is an error, not a list that nothing proves.
    let ran = list("basic.jks = env:SHORT\n*.p12 = env:RIGHT\n", &[]);
    assert!(
        ran.status == 8 && ran.err.contains("a/b/basic.jks") && ran.err.contains("\"password\""),
        "{}",
        ran.err
    );
    assert_eq!(proved(&ran, "a/b/basic.jks"), None);
    let ran = list("* = env:RIGHT\n", &["--no-secrets"]);
    assert!(ran.status == 8 && ran.err.contains("a/basic.p12"), "{}", ran.err);
    assert_eq!(proved(&ran, "a/b/basic.jks"), Some(false));
    // One budget for all: the PKCS#12 asks for more.
    let ran = list("a/** = env:RIGHT\n", &["--max-work", "1000"]);
    assert!(
        ran.status == 8 && ran.err.contains("1000 rounds") && ran.err.contains("too-large"),
        "{}",
        ran.err
    );
    assert_eq!(proved(&ran, "a/b/basic.jks"), Some(true));
    for bad in ["no specification\n", "[ = env:RIGHT\n"] {
        let ran = list(bad, &[]);
        assert!(ran.status == 2 && ran.err.contains("line 1"), "{}", ran.err);
    }
    let ran = list("* = pass:hunter2 = x\nnonsense pass-hunter2\n", &[]);
    assert!(!ran.err.contains("hunter2"), "{}", ran.err);
}

#[test]
fn hostile_trees_neither_stall_nor_forge() {
    let dir = scratch();
    let tree = dir.path().join("tree");
    let outside = dir.path().join("outside");
    for folder in [&tree.join("many"), &tree.join("a/b"), &outside] {
        std::fs::create_dir_all(folder).unwrap();
    }
    let good = testdata("java/jks-basic.jks");
    std::fs::copy(&good, outside.join("secret.jks")).unwrap();
    // Loops of links, and a link out of the tree.
    symlink("..", tree.join("a/b/up")).unwrap();
    symlink("self", tree.join("self")).unwrap();
    symlink(&outside, tree.join("out")).unwrap();
    symlink(outside.join("secret.jks"), tree.join("out.jks")).unwrap();
    // Things that are no files.
    must(Command::new("mkfifo").arg(tree.join("fifo.jks")));
    let _socket = std::os::unix::net::UnixListener::bind(tree.join("socket.p12")).unwrap();
    let sparse = std::fs::File::create(tree.join("sparse.p12")).unwrap();
    sparse.set_len(4 << 30).unwrap();
    for n in 0..100_000 {
        std::fs::File::create(tree.join("many").join(n.to_string())).unwrap();
    }
    // Names that are not text, or text of somebody's choice.
    for name in
        [&b"bad\xff\xfe.jks"[..], b"bad\xff\xff.jks", b"line\n2026-01-01 forged.jks", b"\x1b[31mred.jks"]
    {
        std::fs::copy(&good, tree.join(OsStr::from_bytes(name))).unwrap();
    }
    std::fs::write(tree.join("broken.jks"), &std::fs::read(&good).unwrap()[..200]).unwrap();

    let ours = |arguments: &[&str]| {
        let program = keyferry();
        let mut command = Command::new("prlimit");
        command.arg(format!("--as={}", 96 << 20)).arg("--cpu=20").arg(program.get_program());
        // The C library reserves 64 MiB of addresses for each thread, used or not, and some runs would count that.
        command.env("MALLOC_ARENA_MAX", "1").env("KEYFERRY_PASSWORD", "changeit");
        run(command.args(arguments).current_dir(&tree))
    };
    let ran = ours(&["list", "-r", ".", "--jsonl"]);
    assert_eq!(ran.status, 8, "{}{}", ran.out, ran.err);
    let rows: Vec<Value> = ran.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let stores: BTreeSet<_> = rows.iter().map(|r| text(r, "store").to_owned()).collect();
    let expected =
        [r"./bad\xff\xfe.jks", r"./bad\xff\xff.jks", "./line\n2026-01-01 forged.jks", "./\u{1b}[31mred.jks"];
    assert_eq!(stores, expected.iter().map(|s| (*s).to_owned()).collect());
    let hex = rows.iter().find(|r| r["store"] == r"./bad\xff\xfe.jks").unwrap();
    assert_eq!(hex["store_hex"], "2e2f626164fffe2e6a6b73");
    assert!(rows.iter().all(|r| r.get("store_hex").is_some() == text(r, "store").contains("/bad")));
    // What could not be looked into is named, once, with the reason.
    let errors: Vec<Value> = ran.err.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(errors.len(), 1, "{}", ran.err);
    assert_eq!((text(&errors[0], "store"), text(&errors[0]["error"], "kind")), ("./broken.jks", "malformed"));
    let forms: [&[&str]; 6] = [
        &["list", "-r", ".", "--csv"],
        &["list", "-r", ".", "--gskit"],
        &["list", "-r", "."],
        &["find", "CN=*", "."],
        &["find", "CN=*", ".", "--group-by", "store"],
        &["check", "-r", "."],
    ];
    for form in forms {
        let ran = ours(form);
        assert_eq!(ran.status, 8, "{form:?}: {}", ran.err);
        let all = ran.out + &ran.err;
        assert!(!all.contains('\u{1b}') && all.contains("broken.jks"), "{form:?}");
        assert!(!all.lines().any(|l| l.starts_with("2026-01-01 forged")), "{form:?}: {all}");
    }
}

#[test]
fn what_may_not_be_read_is_named_with_the_reason() {
    let dir = scratch();
    let dir = dir.path();
    let mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    mode(dir, 0o755);
    std::fs::create_dir_all(dir.join("tree/shut")).unwrap();
    for name in ["open.jks", "shut.jks", "shut/inside.jks"] {
        std::fs::copy(testdata("java/jks-basic.jks"), dir.join("tree").join(name)).unwrap();
    }
    mode(&dir.join("tree/shut.jks"), 0);
    mode(&dir.join("tree/shut"), 0);
    let program = dir.join("program");
    std::fs::copy(keyferry().get_program(), &program).unwrap();
    // Nothing is shut to root.
    let root = tool(dir, "id", &["-u"]).trim() == "0";
    let mut command = Command::new(if root { "setpriv" } else { "env" });
    if root {
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    }
    command.arg(&program).args(["list", "-r", "tree", "--jsonl"]).current_dir(dir);
    let ran = run(command.env("KEYFERRY_PASSWORD", "changeit"));
    mode(&dir.join("tree/shut"), 0o755);
    assert_eq!((ran.status, ran.out.lines().count()), (8, 3), "{}{}", ran.out, ran.err);
    let named: Vec<Value> = ran.err.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let named: Vec<_> = named.iter().map(|e| (text(e, "store"), text(&e["error"], "kind"))).collect();
    assert_eq!(named, [("tree/shut", "read"), ("tree/shut.jks", "read")]);
    assert_eq!(ran.err.matches("permission denied").count(), 2, "{}", ran.err);
}

#[test]
fn a_mount_is_entered_only_when_it_is_asked_for() {
    // /dev/shm is another file system wherever there is one.
    let dir = scratch();
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else { return };
    let device = |p: &Path| std::os::unix::fs::MetadataExt::dev(&std::fs::metadata(p).unwrap());
    if device(dir.path()) == device(other.path()) {
        return;
    }
    std::fs::copy(testdata("java/jks-basic.jks"), other.path().join("a.jks")).unwrap();
    // From /dev the folder lies on another one.
    let list = |more: &[&str]| {
        let name = other.path().file_name().unwrap().to_str().unwrap();
        let ran = run(keyferry().args(["list", "-r", "/dev", "--jsonl"]).args(more));
        ran.out.contains(name)
    };
    assert!(!list(&[]));
    assert!(list(&["--cross-file-systems"]));
}

#[test]
fn listing_an_nss_database_replays_no_journal_and_loads_no_module() {
    let dir = scratch();
    let db = dir.path().join("db");
    std::fs::create_dir(&db).unwrap();
    for name in ["cert9.db", "key4.db"] {
        std::fs::copy(testdata("nss/rsa-chain").join(name), db.join(name)).unwrap();
    }
    // The journal of a change that was interrupted: whoever may write puts the old pages back.
    let page = std::fs::read(db.join("cert9.db")).unwrap()[..4096].to_vec();
    let mut journal =
        b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7\0\0\0\x01\0\0\0\x07\0\0\0\x01\0\0\x02\0\0\0\x10\0".to_vec();
    journal.resize(512, 0);
    journal.extend_from_slice(&[0, 0, 0, 1]);
    journal.extend_from_slice(&page);
    journal.extend_from_slice(&[0, 0, 0, 0]);
    std::fs::write(db.join("cert9.db-journal"), &journal).unwrap();
    // A module that would leave a trace.
    let trace = dir.path().join("loaded");
    let module = dir.path().join("module.so");
    std::fs::write(&module, format!("#!/bin/sh\ntouch {}\n", trace.display())).unwrap();
    let text = format!("library={}\nname=Trace\nNSS=flags=critical\n", module.display());
    std::fs::write(db.join("pkcs11.txt"), text).unwrap();
    let state = || -> Vec<(String, Vec<u8>)> {
        let mut all: Vec<_> = std::fs::read_dir(&db)
            .unwrap()
            .map(|e| e.unwrap())
            .map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap()))
            .collect();
        all.sort();
        all
    };
    let before = state();
    let traced = dir.path().join("calls");
    let program = keyferry();
    let ran = run(Command::new("strace")
        .args(["-f", "-o", traced.to_str().unwrap(), "-e", "trace=openat,execve"])
        .arg(program.get_program())
        .args(["list", "-r", db.to_str().unwrap(), "--no-secrets"]));
    assert!(matches!(ran.status, 0 | 8), "{}", ran.err);
    assert!(state() == before, "a list changed the database");
    let calls = std::fs::read_to_string(&traced).unwrap();
    assert!(calls.contains("cert9.db") && !calls.contains("module.so"), "{calls}");
    assert!(!trace.exists());
}

#[cfg(feature = "parquet")]
#[test]
fn duckdb_queries_the_inventories_of_three_machines() {
    let dir = scratch();
    let dir = dir.path();
    for (machine, files) in [
        ("alpha", &["java/jks-basic.jks", "p12/jdk17-default.p12"][..]),
        ("beta", &["java/jks-basic.jks"]),
        ("gamma", &["p12/jdk17-default.p12", "java/jceks-basic.jceks"]),
    ] {
        let folder = dir.join(machine);
        std::fs::create_dir(&folder).unwrap();
        for file in files {
            std::fs::copy(testdata(file), folder.join(file.rsplit('/').next().unwrap())).unwrap();
        }
        let name = format!("{machine}.parquet");
        let list = ["list", "-r", machine, "--parquet", &name];
        must(keyferry().args(list).current_dir(dir).env("KEYFERRY_PASSWORD", "changeit"));
    }
    let rows = |arguments: &[&str]| {
        must(keyferry().args(arguments).current_dir(dir).env("KEYFERRY_PASSWORD", "changeit")).out
    };
    let expected: Vec<Value> = rows(&["list", "-r", "alpha", "beta", "gamma", "--jsonl"])
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let mut python = Command::new(crate::support::root().join(".venv/bin/python"));
    let out =
        must(python.arg(crate::support::root().join("tests/oracles/inventory.py")).current_dir(dir)).out;
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(said["rows"], expected.len());
    // Every field of every row.
    let theirs = said["all"].as_array().unwrap();
    for (theirs, ours) in theirs.iter().zip(&expected) {
        for field in [
            "store",
            "label",
            "kind",
            "subject",
            "sha256",
            "spki_sha256",
            "serial",
            "authenticated",
            "trust",
            "chain",
            "not_after",
        ] {
            assert_eq!(theirs[field], ours[field], "{field} of {ours}");
        }
        assert_eq!(theirs["key_bits"], ours["key"]["bits"]);
        assert_eq!(theirs["file_size"], ours["file"]["size"]);
        assert_eq!(theirs["file_mode"], ours["file"]["mode"]);
    }
    // Private keys that several machines hold: the question that the documentation asks.
    let by_key: BTreeSet<_> =
        expected.iter().filter(|r| r["kind"] == "key").map(|r| text(r, "spki_sha256")).collect();
    let shared: Vec<_> = said["shared"].as_array().unwrap().iter().map(|r| text(r, "key")).collect();
    assert!(!shared.is_empty() && shared.iter().all(|k| by_key.contains(k)), "{out}");
    // Nothing is left of the writing.
    assert!(
        std::fs::read_dir(dir).unwrap().all(|e| !e.unwrap().file_name().to_string_lossy().ends_with(".tmp"))
    );
}

#[test]
fn stores_differ_by_what_they_hold() {
    let dir = scratch();
    let dir = dir.path();
    openssl_files(dir);
    tool(dir, "openssl", &["pkey", "-in", "pay.key", "-traditional", "-out", "same.key"]);
    let diff = |a: &str, b: &str| ours(&["diff", a, b, "--json"], dir);
    // Keys without certificates: the same key in other clothes, and another key.
    assert_eq!(diff("pay.key", "same.key").status, 0);
    let ran = diff("pay.key", "ca.key");
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.status, found["added"].as_array().unwrap().len()), (1, 1), "{}", ran.out);
    assert_eq!(found["removed"].as_array().unwrap().len(), 1);
    // Two formats of the same content, and the mark of the default key where both have one.
    for to in ["pay.kdb", "other.kdb", "pay.jks"] {
        must(
            keyferry()
                .args(["convert", "pay.p12", to, "--allow-loss"])
                .current_dir(dir)
                .env("KEYFERRY_PASSWORD", PASSWORD),
        );
    }
    must(
        keyferry()
            .args(["default", "pay.kdb", "payroll"])
            .current_dir(dir)
            .env("KEYFERRY_PASSWORD", PASSWORD),
    );
    assert_eq!(diff("pay.p12", "pay.jks").status, 0, "{}", diff("pay.p12", "pay.jks").out);
    let found: Value = serde_json::from_str(&diff("pay.kdb", "other.kdb").out).unwrap();
    let changes: Vec<_> =
        found["changed"].as_array().unwrap().iter().flat_map(|c| c["changes"].as_array().unwrap()).collect();
    assert!(changes.iter().any(|c| c["what"] == "default" && c["from"] == "yes"), "{found}");
}

/// What a program writes to its standard error where that is a terminal, and to its standard output, a pipe unless
/// `both`. Its standard input says `late`, later than progress is shown.
fn on_a_terminal(mut command: Command, both: bool, late: &str) -> (String, String) {
    use std::io::{Read, Write};
    let mut screen = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY)
        .map(std::fs::File::from)
        .unwrap();
    rustix::pty::grantpt(&screen).unwrap();
    rustix::pty::unlockpt(&screen).unwrap();
    let name = rustix::pty::ptsname(&screen, Vec::new()).unwrap();
    let terminal =
        std::fs::File::options().read(true).write(true).open(OsStr::from_bytes(name.as_bytes())).unwrap();
    let out = if both { terminal.try_clone().unwrap().into() } else { Stdio::piped() };
    let mut child = command.stdin(Stdio::piped()).stdout(out).stderr(terminal).spawn().unwrap();
    drop(command);
    std::thread::sleep(std::time::Duration::from_millis(1300));
    child.stdin.take().unwrap().write_all(late.as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let mut shown = Vec::new();
    // Linux says EIO where the last terminal was closed.
    let _ = screen.read_to_end(&mut shown);
    (String::from_utf8(shown).unwrap(), String::from_utf8(ended.stdout).unwrap())
}

#[test]
fn progress_is_shown_on_a_terminal_and_nowhere_else() {
    let dir = scratch();
    let dir = dir.path();
    std::fs::create_dir(dir.join("tree")).unwrap();
    std::fs::copy(testdata("p12/jdk17-default.p12"), dir.join("tree/a.p12")).unwrap();
    std::fs::copy(testdata("java/jks-basic.jks"), dir.join("tree/b.jks")).unwrap();
    let list = |more: &[&str]| {
        let mut command = keyferry();
        command.args(["list", "-r", "tree", "--password", "stdin"]).args(more).current_dir(dir);
        command
    };
    // The password comes late, and the first store with it.
    let (shown, out) = on_a_terminal(list(&["--jsonl"]), false, "changeit\n");
    assert!(shown.starts_with("\r\u{1b}[K1 store\r") && shown.ends_with("\r\u{1b}[K"), "{shown:?}");
    assert_eq!(shown.matches("store").count(), 1, "{shown:?}");
    assert!(out.lines().count() > 1 && out.lines().all(|l| l.starts_with('{')), "{out}");
    // What is printed on the same terminal stands on lines of its own.
    let (shown, _) = on_a_terminal(list(&["--csv"]), true, "changeit\n");
    assert!(shown.starts_with("\r\u{1b}[K1 store\r\r\u{1b}[Kstore,format,"), "{shown:?}");
    let (shown, _) = on_a_terminal(list(&["--jsonl", "--quiet"]), false, "changeit\n");
    assert_eq!(shown, "");
    let slow = ["-c", "sleep 1.3; echo changeit"];
    let late = Command::new("sh").args(slow).stdout(Stdio::piped()).spawn().unwrap().stdout.take().unwrap();
    let ran = must(list(&["--jsonl"]).stdin(late));
    assert_eq!((ran.err.as_str(), ran.out), ("", out));
}

#[test]
fn options_combine_over_what_openssl_prints() {
    let dir = scratch();
    let dir = dir.path();
    let openssl = |arguments: &[&str]| tool(dir, "openssl", arguments);
    for ca in ["one", "two"] {
        let subject = format!("/O=MYORG/CN=CA {ca}");
        let to = ["-keyout", &format!("{ca}.key"), "-out", &format!("{ca}.pem"), "-subj", &subject];
        openssl(&[&["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "100"], &to[..]].concat());
    }
    // Each has one thing in common with each other.
    let leaves = [
        ("a", "one", "0x00c0ffee01", "DNS:a.example,IP:2001:db8::1"),
        ("b", "one", "0x00c0ffee02", "DNS:b.example,email:pay@b.example"),
        ("c", "two", "0x00c0ffee01", "DNS:a.example,DNS:*.c.example"),
    ];
    let mut all = String::new();
    for (name, ca, serial, san) in leaves {
        std::fs::write(dir.join("ext"), format!("subjectAltName={san}\n")).unwrap();
        let key = format!("{}.leaf", if name == "c" { "b" } else { name });
        if !dir.join(&key).exists() {
            openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &key]);
        }
        openssl(&["req", "-new", "-key", &key, "-subj", "/O=MYORG/CN=leaf", "-out", "csr"]);
        let (ca, ca_key, pem) = (format!("{ca}.pem"), format!("{ca}.key"), format!("{name}.pem"));
        let by = ["-CA", &ca, "-CAkey", &ca_key, "-set_serial", serial, "-extfile", "ext", "-out", &pem];
        openssl(&[&["x509", "-req", "-in", "csr", "-days", "50"], &by[..]].concat());
        all += &std::fs::read_to_string(dir.join(pem)).unwrap();
    }
    std::fs::write(dir.join("all.pem"), all).unwrap();
    let printed = |name: &str| {
        let pem = format!("{name}.pem");
        let of = |what: &str| {
            let line = openssl(&["x509", "-noout", "-sha256", what, "-in", &pem]);
            line.trim().split_once('=').unwrap().1.to_owned()
        };
        openssl(&["x509", "-noout", "-pubkey", "-in", &pem, "-out", "public"]);
        openssl(&["pkey", "-pubin", "-in", "public", "-outform", "DER", "-out", "public.der"]);
        let spki = openssl(&["dgst", "-sha256", "-c", "public.der"]);
        let sans = openssl(&["x509", "-noout", "-ext", "subjectAltName", "-in", &pem]);
        let san = sans.lines().last().unwrap().trim().split(", ").next().unwrap();
        let value = san.split_once(':').unwrap().1.to_owned();
        [
            ("--san", value),
            ("--serial", of("-serial")),
            ("--spki", spki.trim().rsplit_once("= ").unwrap().1.to_owned()),
            ("--issuer", of("-issuer")),
            ("--sha256", of("-fingerprint")),
        ]
    };
    let found = |options: &[(&str, String)]| {
        let mut command = keyferry();
        command
            .args(["list", "--json", "all.pem"])
            .args(options.iter().flat_map(|(option, value)| [*option, value]));
        let ran = run(command.current_dir(dir));
        let rows = json(&ran);
        assert_eq!(ran.status, i32::from(rows.is_empty()), "{options:?}: {}", ran.err);
        rows.iter().map(|r| text(r, "sha256").to_owned()).collect::<BTreeSet<_>>()
    };
    let print = |name: &str| prints(&std::fs::read_to_string(dir.join(format!("{name}.pem"))).unwrap());
    let both = |a: &str, b: &str| print(a).union(&print(b)).cloned().collect::<BTreeSet<_>>();
    let (a, b, c) = (printed("a"), printed("b"), printed("c"));
    for (name, all) in [("a", &a), ("b", &b), ("c", &c)] {
        assert_eq!(found(all), print(name));
        assert_eq!(found(&all[..4]), print(name));
    }
    // What one option alone chooses, and that each of several counts.
    assert_eq!(found(&a[..1]), both("a", "c"));
    assert_eq!(found(&a[1..2]), both("a", "c"));
    assert_eq!(found(&b[2..3]), both("b", "c"));
    assert_eq!(found(&a[3..4]), both("a", "b"));
    for at in 0..4 {
        let mut mixed = a.clone();
        mixed[at] = if a[at].1 == b[at].1 { c[at].clone() } else { b[at].clone() };
        assert_eq!(found(&mixed[..4]), BTreeSet::new(), "{mixed:?}");
    }
    let one = |option: &'static str, value: &str| found(&[(option, value.to_owned())]);
    assert_eq!(one("--san", "2001:db8::1"), print("a"));
    assert_eq!(one("--san", "2001:DB8:0:0:0:0:0:1"), print("a"));
    assert_eq!(one("--san", "*@B.example"), print("b"));
    assert_eq!(one("--san", "x.c.example"), BTreeSet::new());
    assert_eq!(one("--serial", "c0:ff:ee:02"), print("b"));
}

/// Runs a program, and prints the largest memory (KiB) and the processor's time (seconds) that it took, the lines that
/// it wrote, and how it ended.
const MEASURED: &str = "
import resource, subprocess, sys
ran = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE)
took = resource.getrusage(resource.RUSAGE_CHILDREN)
print(took.ru_maxrss, took.ru_utime + took.ru_stime, ran.stdout.count(b'\\n'), ran.returncode)
";

#[test]
fn ten_thousand_stores_take_ten_times_as_long_and_no_more_memory() {
    let dir = scratch();
    let dir = dir.path();
    let kinds = ["java/jks-basic.jks", "p12/jdk17-default.p12", "java/jceks-basic.jceks"];
    let name = |kind: &str| kind.rsplit('/').next().unwrap().to_owned();
    for kind in kinds {
        std::fs::copy(testdata(kind), dir.join(name(kind))).unwrap();
    }
    std::fs::write(dir.join("readme.txt"), "no store").unwrap();
    for n in 0..10_000 {
        let tree = if n < 1_000 { "small" } else { "large" };
        let folder = dir.join(tree).join((n / 100).to_string());
        if n % 100 == 0 {
            std::fs::create_dir_all(&folder).unwrap();
        }
        let kind = kinds.get(n % 4).map_or("readme.txt".to_owned(), |kind| name(kind));
        std::fs::hard_link(dir.join(&kind), folder.join(format!("{n}-{kind}"))).unwrap();
    }
    let measured = |trees: &[&str]| {
        let mut python = Command::new(crate::support::root().join(".venv/bin/python"));
        python
            .args(["-c", MEASURED])
            .arg(keyferry().get_program())
            .args(["list", "-r", "--jsonl"])
            .args(trees);
        let ran = must(python.current_dir(dir).env("KEYFERRY_PASSWORD", "changeit"));
        let said: Vec<f64> = ran.out.split_whitespace().map(|n| n.parse().unwrap()).collect();
        let [memory, time, lines, status] = said[..] else { panic!("{}{}", ran.out, ran.err) };
        assert_eq!(status, 0.0, "{}", ran.err);
        (memory, time, lines)
    };
    let (small, large) = (measured(&["small"]), measured(&["small", "large"]));
    assert!(small.2 > 1_000.0);
    assert_eq!(large.2, 10.0 * small.2);
    // In KiB, with the launcher's own and what the unoptimised program takes by itself.
    assert!(large.0 < 1.25 * small.0 + 4096.0 && large.0 < 49_152.0, "{small:?} {large:?}");
    assert!(large.1 < 15.0 * small.1 + 0.5, "{small:?} {large:?}");
}
