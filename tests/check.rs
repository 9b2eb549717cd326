//! `keyferry check` on real damaged stores, and on clean ones: every code is provoked, and none appears where
//! nothing is wrong. `keyferry explain`, and the page of `keyferry report` in a browser.

use crate::support::{Ran, World, keyferry, must, root, run, scratch, testdata};
use formats::jobs::check::rules::{RULES, Severity};
use formats::model::{Entry, Item, KeyMaterial, Secret, Store};
use formats::place::{Source, Staging};
use formats::{OnePassword, by_name, stash};
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const PASSWORD: &str = "Check-7-pw";
/// A file of what GSKit made.
const KDB_PASSWORD: &str = "secret1";

/// A folder in which stores are made and broken.
struct Lab {
    dir: tempfile::TempDir,
}

/// The extensions of a CA and of a leaf.
const CA: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign\n";
const LEAF: &str = "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n";

impl Lab {
    /// With a root, a CA below it, and a leaf below that.
    fn new() -> Lab {
        let lab = Lab { dir: scratch() };
        std::fs::set_permissions(lab.path("."), std::fs::Permissions::from_mode(0o700)).unwrap();
        lab.issue("root", "/O=Lab/CN=Lab root", None, CA, &[]);
        lab.issue("sub", "/O=Lab/CN=Lab sub", Some("root"), CA, &[]);
        lab.issue("leaf", "/O=Lab/CN=leaf", Some("sub"), LEAF, &[]);
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn openssl(&self, arguments: &[&str]) -> Ran {
        must(Command::new("openssl").args(arguments).current_dir(self.dir.path()))
    }

    /// `NAME.key` and `NAME.pem`; valid for 500 days unless `more` says otherwise.
    fn issue(&self, name: &str, subject: &str, by: Option<&str>, extensions: &str, more: &[&str]) {
        let file = |ending: &str| format!("{name}.{ending}");
        let (key, csr, pem, ext) = (file("key"), file("csr"), file("pem"), file("ext"));
        if !self.path(&key).exists() {
            let new = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &key];
            self.openssl(&new);
        }
        self.openssl(&["req", "-new", "-key", &key, "-subj", subject, "-out", &csr]);
        std::fs::write(self.path(&ext), extensions).unwrap();
        let signer: Vec<String> = match by {
            Some(by) => ["-CA", &format!("{by}.pem"), "-CAkey", &format!("{by}.key"), "-CAcreateserial"]
                .map(str::to_owned)
                .to_vec(),
            None => vec!["-signkey".to_owned(), key.clone()],
        };
        let signer: Vec<&str> = signer.iter().map(String::as_str).collect();
        let days = if more.contains(&"-days") { &[][..] } else { &["-days", "500"] };
        let ext = if extensions.is_empty() { vec![] } else { vec!["-extfile", ext.as_str()] };
        self.openssl(&[&["x509", "-req", "-in", &csr, "-out", &pem], &signer[..], days, &ext, more].concat());
    }

    /// `torn.pem`: the first certificate of a file, with one bit of its signature turned round.
    fn tear(&self, pem: &str) {
        self.openssl(&["x509", "-in", pem, "-outform", "DER", "-out", "torn.der"]);
        let mut der = std::fs::read(self.path("torn.der")).unwrap();
        *der.last_mut().unwrap() ^= 1;
        std::fs::write(self.path("torn.der"), der).unwrap();
        self.openssl(&["x509", "-inform", "DER", "-in", "torn.der", "-out", "torn.pem"]);
    }

    /// A PKCS#12 with the leaf and its chain, and `sub.crl`, on which the leaf is; the CA has no list.
    fn revoked(&self, name: &str) -> PathBuf {
        let serial = self.openssl(&["x509", "-in", "leaf.pem", "-noout", "-serial"]).out;
        let serial = serial.trim().trim_start_matches("serial=");
        self.file(
            "index",
            format!("R\t400101000000Z\t251101000000Z,keyCompromise\t{serial}\tunknown\t/CN=leaf\n")
                .as_bytes(),
        );
        self.file(
            "ca.cnf",
            b"[ca]\ndefault_ca=d\n[d]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\n",
        );
        self.file("number", b"01");
        let by = ["-cert", "sub.pem", "-keyfile", "sub.key", "-crldays", "30", "-out", "sub.crl"];
        self.openssl(&[&["ca", "-config", "ca.cnf", "-gencrl"], &by[..]].concat());
        let chain = self.pem("revoked-chain.pem", &["sub.pem", "root.pem"]);
        self.p12(name, "leaf", &["-certfile", chain.to_str().unwrap()])
    }

    /// The contents of these files, one behind the other, with mode 0600.
    fn pem(&self, name: &str, parts: &[&str]) -> PathBuf {
        let text: String =
            parts.iter().map(|p| std::fs::read_to_string(self.path(p)).unwrap()).collect::<Vec<_>>().concat();
        self.file(name, text.as_bytes())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        self.mode(&path, 0o600)
    }

    fn mode(&self, path: &Path, mode: u32) -> PathBuf {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.to_owned()
    }

    /// A PKCS#12 as openssl makes it.
    fn p12(&self, name: &str, leaf: &str, more: &[&str]) -> PathBuf {
        let (key, pem) = (format!("{leaf}.key"), format!("{leaf}.pem"));
        let pass = format!("pass:{PASSWORD}");
        let fixed = [
            "pkcs12", "-export", "-inkey", &key, "-in", &pem, "-name", leaf, "-out", name, "-passout", &pass,
        ];
        self.openssl(&[&fixed[..], more].concat());
        self.mode(&self.path(name), 0o600)
    }

    /// Files of testdata with one stem, in a folder of their own, with mode 0600.
    fn copy(&self, folder: &str, from: &str) -> PathBuf {
        let from = testdata(from);
        let stem = from.file_stem().unwrap();
        for item in std::fs::read_dir(from.parent().unwrap()).unwrap() {
            let item = item.unwrap().path();
            if item.file_stem() == Some(stem) {
                let name = format!("{folder}/{}", item.file_name().unwrap().to_str().unwrap());
                self.file(&name, &std::fs::read(&item).unwrap());
            }
        }
        self.mode(&self.path(folder), 0o700);
        self.path(folder).join(from.file_name().unwrap())
    }

    /// An NSS database of testdata, with the modes that NSS gives it.
    fn copy_nss(&self, from: &str) -> PathBuf {
        for item in std::fs::read_dir(testdata("nss").join(from)).unwrap() {
            let item = item.unwrap().path();
            let name = format!("nss-{from}/{}", item.file_name().unwrap().to_str().unwrap());
            self.file(&name, &std::fs::read(&item).unwrap());
        }
        self.mode(&self.path(&format!("nss-{from}")), 0o700)
    }

    /// A store of these entries, which our writers do not look into.
    fn written(&self, format: &str, name: &str, entries: Vec<Entry>) -> PathBuf {
        let (world, password) = (World::new(), OnePassword::new(PASSWORD));
        let mut to = Staging::memory();
        let store = Store { entries, ..Store::default() };
        by_name(format).unwrap().write(&store, None, &mut to, &world.ctx(&password)).unwrap();
        self.file(name, &to.into_memory().unwrap())
    }

    /// The key of one PEM and the chain of another.
    fn crossed(&self, key: &str, chain: &str) -> Entry {
        let load = |name: &str| {
            let world = World::new();
            let source = Source::open(
                &self.pem(&format!("{name}-both.pem"), &[&format!("{name}.key"), &format!("{name}.pem")]),
            )
            .unwrap();
            let loaded = world.load(&source, crate::support::nobody()).unwrap();
            loaded.store.entries.into_iter().find(|e| matches!(e.item, Item::Key { .. })).unwrap()
        };
        let (Item::Key { key, .. }, Item::Key { chain, .. }) = (load(key).item, load(chain).item) else {
            panic!("no key")
        };
        Entry::new(Item::Key { key, chain }).with_label("crossed")
    }
}

/// How a code is provoked.
struct Case {
    code: &'static str,
    store: PathBuf,
    more: Vec<String>,
    /// The time that it is said to be.
    epoch: Option<i64>,
}

fn case(code: &'static str, store: PathBuf) -> Case {
    Case { code, store, more: Vec::new(), epoch: None }
}

impl Case {
    fn with(mut self, more: &[&str]) -> Case {
        self.more.extend(more.iter().map(|m| (*m).to_owned()));
        self
    }

    fn at(mut self, epoch: i64) -> Case {
        self.epoch = Some(epoch);
        self
    }
}

const DAY: i64 = 86_400;

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_secs().try_into().unwrap()
}

fn check(case: &Case) -> (i32, Vec<Value>) {
    let mut command = keyferry();
    command.args(["check", "--json"]).arg(&case.store).args(&case.more);
    if !case.more.iter().any(|m| m == "--password") {
        command.env("KEYFERRY_PASSWORD", PASSWORD);
    }
    if let Some(epoch) = case.epoch {
        command.arg("--reproducible").env("SOURCE_DATE_EPOCH", epoch.to_string());
    }
    let ran = run(&mut command);
    let found = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}{}", ran.out, ran.err));
    (ran.status, found)
}

fn codes(found: &[Value]) -> Vec<&str> {
    found.iter().map(|f| f["code"].as_str().unwrap()).collect()
}

#[test]
fn every_code_is_found_where_it_is_wrong() {
    let lab = Lab::new();
    let mut cases = broken_keys(&lab);
    cases.extend(broken_containers(&lab));
    cases.extend(broken_certificates(&lab));
    cases.extend(broken_files(&lab));
    for case in &cases {
        let (status, found) = check(case);
        assert!(codes(&found).contains(&case.code), "{}: {} {found:#?}", case.code, case.store.display());
        for finding in &found {
            let rule = RULES.iter().find(|r| r.code == finding["code"]).unwrap();
            assert_eq!(finding["severity"], rule.severity.name());
            assert_eq!(finding["advice"], rule.advice);
            assert_eq!(finding["store"], case.store.to_str().unwrap());
        }
        let worst = found.iter().any(|f| f["severity"] == "error");
        match case.code {
            "wrong-password" => assert_eq!(status, 4),
            "does-not-open" => assert_eq!(status, 3),
            "parts-unreadable" => assert_eq!(status, 8),
            _ => assert_eq!(status, i32::from(worst), "{}", case.code),
        }
    }
    let provoked: BTreeSet<_> = cases.iter().map(|c| c.code).collect();
    // Only root can give files away; a unit test has the judgement.
    let by_root = |code: &str| code.starts_with("owner") && !is_root();
    // These have a test of their own.
    let mounts = ["read-only-mount", "mounted-file"];
    for rule in RULES {
        let elsewhere = by_root(rule.code) || mounts.contains(&rule.code);
        assert!(provoked.contains(rule.code) || elsewhere, "nothing provokes {}", rule.code);
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

fn broken_containers(lab: &Lab) -> Vec<Case> {
    let expiring = 1_803_240_191; // of expire-90.kdb, see its manifest
    let stale = lab.copy("stale", "kdb/rsa-chain.kdb");
    let world = World::new();
    let other = formats::model::Password::new(b"not-that-one".to_vec());
    let stashed = stash::write(&other, stash::Form::Two, &world.session.rng).unwrap();
    std::fs::write(stale.with_extension("sth"), &*stashed).unwrap();
    let cut = lab.copy("cut", "kdb/rsa-chain.kdb");
    std::fs::write(cut.with_extension("sth"), &stashed[..100]).unwrap();
    let rdb = lab.copy("rdb", "kdb/rsa-chain.kdb");
    std::fs::write(rdb.with_extension("rdb"), "garbage").unwrap();
    let foreign = lab.copy("foreign", "kdb/rsa-chain.kdb");
    std::fs::copy(testdata("kdb/password-changed.rdb"), foreign.with_extension("rdb")).unwrap();
    let crl = lab.copy("crl", "kdb/rsa-chain.kdb");
    std::fs::write(crl.with_extension("crl"), "garbage").unwrap();
    let pem = std::fs::read_to_string(lab.path("root.pem")).unwrap();
    let torn = pem.replacen("\nM", "\n!!!!", 1) + &pem;
    let clear = format!("pass:{KDB_PASSWORD}");
    let right = ["--password", clear.as_str()];
    let mut erased = std::fs::read(testdata("kdb/several-personal.kdb")).unwrap();
    erase_first_key(&mut erased);
    vec![
        case(
            "does-not-open",
            lab.file("cut.p12", &std::fs::read(testdata("p12/bad-truncated.p12")).unwrap()),
        ),
        case("wrong-password", lab.copy("wrong", "kdb/rsa-chain.kdb")).with(&["--password", "pass:no"]),
        case("parts-unreadable", lab.file("torn.pem", torn.as_bytes())),
        case("not-authenticated", lab.copy("bare", "java/jks-basic.jks")).with(&["--password", "none"]),
        case("stash-differs", stale.clone()).with(&right),
        case("stash-unreadable", cut).with(&right),
        case("companion-blocks", rdb),
        case("companion-blocks", foreign),
        case("companion-stale", crl),
        case("password-expired", lab.copy("expired", "kdb/expire-90.kdb")).at(expiring + 1),
        case("password-expiring", lab.copy("expiring", "kdb/expire-90.kdb")).at(expiring - 5 * DAY),
        case("weak-protection", lab.copy("tdes", "kdb/rsa-chain.kdb")),
        case("weak-protection", lab.p12("legacy.p12", "leaf", &["-keypbe", "PBE-SHA1-3DES"])),
        case("weak-protection", lab.copy_nss("early-3des")).with(&["--password", "pass:Keystore-1"]),
        case("few-rounds", lab.path("nss-early-3des")).with(&["--password", "pass:Keystore-1"]),
        case("few-rounds", lab.p12("iter.p12", "leaf", &["-iter", "1000"])),
        case("few-rounds", lab.p12("mac.p12", "leaf", &["-nomaciter"])),
        case("hidden-from-java", lab.p12("orphan.p12", "leaf", &["-certfile", "other.pem"])),
        case("empty-to-java", empty_to_java(lab)),
        case("erased-key", lab.file("erased.kdb", &erased)).with(&["--password", "none"]),
        case(
            "note",
            lab.file(
                "note.jks",
                &[std::fs::read(testdata("java/jks-basic.jks")).unwrap(), b"more".to_vec()].concat(),
            ),
        )
        .with(&["--password", "pass:changeit"]),
        case("old-generations", old_generations(lab)).at(now() + 9 * DAY),
        case("key-in-old-generation", old_key(lab)),
    ]
}

/// Marks the first slot with a key pair as free, as GSKit does.
fn erase_first_key(kdb: &mut [u8]) {
    let word = |b: &[u8], at: usize| u32::from_be_bytes(b[at..at + 4].try_into().unwrap()) as usize;
    let (slot, count) = (word(kdb, 16), word(kdb, 20));
    let header = kdb.len() - slot * count;
    let key = (0..count).map(|n| header + n * slot).find(|at| {
        // The record's content has the context tag 2.
        kdb[*at + 12..*at + slot].windows(2).take(24).any(|w| w == [0xa2, 0x82])
    });
    kdb[key.unwrap() + 3] = 2;
}

fn empty_to_java(lab: &Lab) -> PathBuf {
    let pass = format!("pass:{PASSWORD}");
    lab.openssl(&["pkcs12", "-export", "-nokeys", "-in", "root.pem", "-out", "trust.p12", "-passout", &pass]);
    let seen = must(
        Command::new("keytool")
            .args(["-list", "-keystore", "trust.p12", "-storepass", PASSWORD])
            .current_dir(lab.path(".")),
    );
    assert!(seen.out.contains("contains 0 entries"), "{}", seen.out);
    lab.mode(&lab.path("trust.p12"), 0o600)
}

fn old_generations(lab: &Lab) -> PathBuf {
    let to = lab.path("generations/client.p12");
    std::fs::create_dir(to.parent().unwrap()).unwrap();
    lab.mode(to.parent().unwrap(), 0o700);
    std::fs::copy(lab.p12("generation.p12", "leaf", &[]), &to).unwrap();
    let parts = ["root.pem", "sub.pem", "other.pem", "leaf.pem"];
    for n in 1..=parts.len() {
        let bundle = lab.pem("generation.pem", &parts[..n]);
        let mut command = keyferry();
        command.arg("rebuild").arg(&to).arg("--bundle").arg(bundle).args(["--keep", "9"]);
        must(command.env("KEYFERRY_PASSWORD", PASSWORD));
    }
    to
}

/// A store whose key was replaced; the one before has mode 0644.
fn old_key(lab: &Lab) -> PathBuf {
    let to = lab.path("old-key/client.p12");
    std::fs::create_dir(to.parent().unwrap()).unwrap();
    lab.mode(to.parent().unwrap(), 0o700);
    std::fs::copy(lab.p12("old-key.p12", "leaf", &[]), &to).unwrap();
    lab.issue("next", "/O=Lab/CN=leaf", Some("sub"), LEAF, &["-days", "900"]);
    let key = lab.pem("next-key.pem", &["next.key", "next.pem"]);
    let mut command = keyferry();
    command.arg("rebuild").arg(&to).arg("--bundle").arg(lab.path("root.pem")).arg("--key").arg(key);
    command.arg("--allow-loss=key");
    must(command.env("KEYFERRY_PASSWORD", PASSWORD));
    lab.mode(&lab.path("old-key/client.p12.old-1"), 0o644);
    to
}

#[test]
fn old_generations_are_looked_into() {
    let lab = Lab::new();
    let store = old_key(&lab);
    let print = |key: &str| lab.openssl(&["x509", "-in", key, "-noout", "-fingerprint", "-sha256"]).out;
    let print = print("leaf.pem").trim().rsplit('=').next().unwrap().replace(':', "").to_lowercase();
    let tree = |more: &[&str]| {
        // The old certificate has ended then, and the new one has not.
        let (_, found) =
            check(&case("", store.parent().unwrap().to_owned()).with(more).at(now() + 501 * DAY));
        let of = |name: &str| {
            let of = |f: &&Value| f["store"].as_str().unwrap().ends_with(name);
            found.iter().filter(of).cloned().collect::<Vec<_>>()
        };
        (of("client.p12"), of(".old-1"))
    };
    let (now, old) = tree(&["-r"]);
    let gone: Vec<_> = now.iter().filter(|f| f["code"] == "key-in-old-generation").collect();
    assert_eq!(gone.len(), 1, "{now:#?}");
    assert_eq!((&gone[0]["entry"], &gone[0]["sha256"]), (&"leaf".into(), &print.into()));
    assert!(gone[0]["message"].as_str().unwrap().starts_with("client.p12.old-1 "), "{}", gone[0]);
    assert_eq!(codes(&old), ["store-readable"], "{old:#?}");
    let (_, old) = tree(&["-r", "--all"]);
    assert!(codes(&old).contains(&"key-expired"), "{old:#?}");
    // When the store is gone, the old generation is all that there is.
    std::fs::remove_file(&store).unwrap();
    let (_, old) = tree(&["-r"]);
    assert!(codes(&old).contains(&"key-expired"), "{old:#?}");
}

/// A kdb whose password changed has its companions with it in an old generation, its own stash too.
#[test]
fn an_old_generation_with_companions_is_opened_by_its_own_stash() {
    let lab = Lab::new();
    let kdb = lab.copy("changed", "kdb/rsa-chain.kdb");
    lab.mode(&kdb, 0o644);
    let clear = format!("pass:{KDB_PASSWORD}");
    must(keyferry().arg("passwd").arg(&kdb).args(["--password", &clear, "--to-password", "pass:An0ther-pw"]));
    let old = lab.path("changed/rsa-chain.kdb.old-1/rsa-chain.kdb");
    let found = must(keyferry().args(["find", "--json", "CN=client one"]).arg(lab.path("changed")));
    let found: Vec<Value> = serde_json::from_str(&found.out).unwrap();
    let of_old: Vec<_> = found.iter().filter(|f| f["generation"] == 1).collect();
    assert!(!of_old.is_empty() && of_old.iter().all(|f| f["store"] == old.to_str().unwrap()), "{found:#?}");
    let ran = run(keyferry().args(["check", "-r", "--json"]).arg(lab.path("changed")));
    assert!(ran.status < 2, "{} {}", ran.status, ran.err);
    let found: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    assert!(found.iter().any(|f| f["store"] == old.to_str().unwrap()), "{found:#?}");
}

fn broken_keys(lab: &Lab) -> Vec<Case> {
    lab.issue("other", "/O=Lab/CN=other", Some("sub"), LEAF, &[]);
    let broken = KeyMaterial::pkcs8(
        b"\x30\x15\x02\x01\x00\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x04\x01\x00"
            .to_vec()
            .into(),
    );
    let Item::Key { chain, .. } = lab.crossed("leaf", "leaf").item else { panic!() };
    let damaged = Entry::new(Item::Key { key: Arc::new(Secret::clear(broken)), chain }).with_label("damaged");
    let two = ["--password", "pass:changeit", "--key-password", "pass:k3y-Secret"];
    vec![
        case("key-mismatch", lab.written("jks", "mismatch.jks", vec![lab.crossed("leaf", "other")])),
        case("key-damaged", lab.written("jks", "damaged.jks", vec![damaged])),
        case("key-closed", lab.copy("closed", "java/jks-key-passwords.jks"))
            .with(&["--password", "pass:changeit"]),
        case("key-without-certificate", lab.copy("alone", "p12/key-without-cert.p12"))
            .with(&["--password", "pass:changeit"]),
        case("key-password-differs", lab.copy("multi", "p12/jdk-multi-keypass.p12")).with(&two),
        case("key-in-clear", lab.pem("clear.pem", &["leaf.key", "leaf.pem"])),
        case("key-in-clear", lab.copy_nss("nopw-keys")).with(&["--password", "none"]),
        case("key-twice", key_twice(lab)),
    ]
}

/// By keytool, from one alias to another.
fn key_twice(lab: &Lab) -> PathBuf {
    let store = lab.p12("twice.p12", "leaf", &[]);
    let at = [
        "-keystore",
        "twice.p12",
        "-srckeystore",
        "leaf-again.p12",
        "-srcalias",
        "leaf",
        "-destalias",
        "again",
    ];
    lab.p12("leaf-again.p12", "leaf", &[]);
    let passwords = ["-srcstorepass", PASSWORD, "-storepass", PASSWORD, "-noprompt"];
    let into = ["-importkeystore"].iter().chain(&at[2..]).chain(&["-destkeystore", "twice.p12"]);
    let passwords = passwords.iter().map(|p| if *p == "-storepass" { &"-deststorepass" } else { p });
    must(Command::new("keytool").args(into).args(passwords).current_dir(lab.path(".")));
    store
}

fn broken_certificates(lab: &Lab) -> Vec<Case> {
    lab.issue("first", "/O=Lab/CN=twin", Some("sub"), LEAF, &[]);
    lab.issue("second", "/O=Lab/CN=twin", Some("sub"), LEAF, &[]);
    // Another CA of the same name, as after a loss of its key.
    lab.issue("sub-2", "/O=Lab/CN=Lab sub", Some("root"), CA, &[]);
    lab.issue("v1", "/O=Lab/CN=version one", Some("sub"), "", &[]);
    lab.issue("sha1", "/O=Lab/CN=weak", Some("sub"), LEAF, &["-sha1"]);
    lab.openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024", "-out", "short.key"]);
    lab.issue("short", "/O=Lab/CN=short", Some("sub"), LEAF, &[]);
    let chain = lab.pem("chain.pem", &["sub.pem", "root.pem"]);
    let with_chain = ["-certfile", chain.to_str().unwrap()];
    let garbage =
        Entry::new(Item::Cert(formats::model::Der::new(b"\x30\x03\x02\x01\x00".to_vec()))).with_label("g");
    let cas = lab.pem("cas.pem", &["sub.pem", "root.pem"]);
    let expired = now() + 501 * DAY;
    vec![
        case("key-expired", lab.p12("old.p12", "leaf", &with_chain)).at(expired),
        case("key-expiring", lab.p12("ending.p12", "leaf", &with_chain)).at(expired - 5 * DAY),
        case("key-expiring", lab.path("ending.p12")).with(&["--within", "501d"]),
        case("certificate-expired", cas.clone()).at(expired),
        case("certificate-expiring", cas).at(expired - 5 * DAY),
        case("not-yet-valid", lab.pem("future.pem", &["root.pem"])).at(now() - 2 * DAY),
        case("certificate-unreadable", lab.written("jks", "garbage.jks", vec![garbage])),
        case("chain-incomplete", lab.p12("alone.p12", "leaf", &[])),
        case("chain-incomplete", lab.pem("gap.pem", &["leaf.key", "leaf.pem", "root.pem"])),
        case("chain-broken", lab.pem("broken.pem", &["leaf.key", "leaf.pem", "sub-2.pem", "root.pem"])),
        case("chain-unchecked", lab.pem("v1-all.pem", &["v1.key", "v1.pem", "sub.pem", "root.pem"])),
        case("root-not-trusted", lab.p12("chain.p12", "leaf", &with_chain)),
        case("revoked", lab.revoked("taken-back.p12"))
            .with(&["--crl", lab.path("sub.crl").to_str().unwrap()]),
        // A list that the store has itself counts too.
        case("revoked", lab.pem("with-list.pem", &["leaf.pem", "sub.pem", "root.pem", "sub.crl"])),
        case("revocation-unknown", lab.path("taken-back.p12"))
            .with(&["--crl", lab.path("sub.crl").to_str().unwrap()]),
        case("weak-signature", lab.pem("sha1-all.pem", &["sha1.pem"])),
        case("weak-key", lab.pem("short-all.pem", &["short.pem"])),
        case("same-name", lab.pem("twins.pem", &["first.pem", "second.pem"])),
        case("same-name-ca", lab.pem("twin-cas.pem", &["sub.pem", "sub-2.pem"])),
        case("label-twice", lab.copy("double", "p12/dup-friendlyname.p12"))
            .with(&["--password", "pass:changeit"]),
        case("label-case", label_case(lab)),
    ]
}

fn label_case(lab: &Lab) -> PathBuf {
    let entry = |file: &str, label: &str| {
        let der = lab.openssl(&["x509", "-in", file, "-outform", "DER", "-out", "one.der"]);
        drop(der);
        let der = std::fs::read(lab.path("one.der")).unwrap();
        Entry::new(Item::Cert(formats::model::Der::new(der))).with_label(label)
    };
    lab.written("kdb", "case.kdb", vec![entry("root.pem", "Lab"), entry("sub.pem", "lab")])
}

fn broken_files(lab: &Lab) -> Vec<Case> {
    let kdb = |folder: &str| lab.copy(folder, "kdb/rsa-chain.kdb");
    let stash = kdb("open-stash");
    lab.mode(&stash.with_extension("sth"), 0o644);
    let open = lab.p12("open.p12", "leaf", &[]);
    let group = lab.p12("group.p12", "leaf", &[]);
    let others = lab.p12("others.p12", "leaf", &[]);
    let folder = kdb("open-folder");
    lab.mode(folder.parent().unwrap(), 0o777);
    let group_folder = kdb("group-folder");
    lab.mode(group_folder.parent().unwrap(), 0o770);
    let lists = kdb("lists");
    let read = access_list(&[(1, 6, u32::MAX), (2, 4, 12_345), (4, 0, u32::MAX), (16, 4, 0), (32, 0, 0)]);
    set_access_list(&lists.with_extension("sth"), &read);
    let link = lab.path("link.p12");
    std::os::unix::fs::symlink("leaf-again.p12", &link).unwrap();
    let mut cases = vec![
        case("secret-readable", stash),
        case("secret-readable", lab.mode(&lab.pem("seen.pem", &["leaf.key", "leaf.pem"]), 0o604)),
        case("store-readable", lab.mode(&open, 0o644)),
        case("writable-by-others", lab.mode(&others, 0o602)),
        case("writable-by-group", lab.mode(&group, 0o620)),
        case("writable-by-group", group_folder),
        case("folder-writable", folder),
        case("access-list", lists),
        case("store-is-link", link),
    ];
    if is_root() {
        let below = kdb("home/etc");
        std::os::unix::fs::chown(lab.path("home"), Some(12_345), None).unwrap();
        cases.push(case("owner-not-user", below));
        let kdb = kdb("given-away");
        std::os::unix::fs::chown(kdb.with_extension("sth"), Some(12_345), None).unwrap();
        cases.push(case("owners-differ", kdb));
    }
    cases
}

/// Entries of tag, rights and number (`linux/posix_acl_xattr.h`).
fn access_list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let bytes = entries.iter().flat_map(|(tag, rights, id)| {
        [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
    });
    2u32.to_le_bytes().into_iter().chain(bytes).collect()
}

fn set_access_list(path: &Path, list: &[u8]) {
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(path, "system.posix_acl_access", list, flags).unwrap();
}

#[test]
fn access_lists_say_more_than_the_mode() {
    let lab = Lab::new();
    let found_in = |store: &Path| {
        let (_, found) = check(&case("", store.to_owned()));
        let of = found.iter().filter(|f| f["code"] == "access-list" || f["code"] == "writable-by-group");
        of.map(|f| f["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let p12 = lab.p12("listed.p12", "leaf", &[]);
    let owner = rustix::process::geteuid().as_raw();
    // The mode of this one is 0660: its group bits are the mask. The group itself has nothing.
    let users = [(2, 6, owner), (2, 6, 0), (2, 7, 12_345), (2, 1, 12_346)];
    let own = [(1, 6, u32::MAX)].into_iter().chain(users).chain([
        (4, 0, u32::MAX),
        (8, 2, 777),
        (16, 6, 0),
        (32, 0, 0),
    ]);
    set_access_list(&p12, &access_list(&own.collect::<Vec<_>>()));
    let meta = std::fs::metadata(&p12).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o660);
    assert_eq!(found_in(&p12), ["listed.p12: user 12345 may read and write, group 777 may write"]);
    // Certificates are for everybody to read; and a mask that lets nothing through grants nothing.
    let pem = lab.pem("listed.pem", &["root.pem"]);
    let reader = [(1, 6, u32::MAX), (2, 4, 12_345), (4, 4, u32::MAX), (16, 4, 0), (32, 4, 0)];
    set_access_list(&pem, &access_list(&reader));
    let masked = [(1, 6, u32::MAX), (2, 6, 12_345), (4, 6, u32::MAX), (16, 0, 0), (32, 0, 0)];
    set_access_list(&p12, &access_list(&masked));
    assert_eq!((found_in(&pem), found_in(&p12)), (vec![], vec![]));
    // Who can write to the folder can put another store in its place.
    let folder = [(1, 7, u32::MAX), (2, 7, 12_345), (4, 0, u32::MAX), (16, 7, 0), (32, 0, 0)];
    set_access_list(&lab.path("."), &access_list(&folder));
    assert!(found_in(&p12)[0].ends_with(": user 12345 may write"), "{:?}", found_in(&p12));
}

#[test]
fn mounts_in_the_way_of_an_update_are_named() {
    let lab = Lab::new();
    let store = lab.copy("mounted", "kdb/rsa-chain.kdb");
    let folder = store.parent().unwrap();
    let within = |how: &str, script: &str| {
        let mut command = Command::new("unshare");
        command
            .args([how, "sh", "-ec", script, "sh"])
            .args([folder, &store])
            .arg(env!("CARGO_BIN_EXE_keyferry"));
        run(&mut command)
    };
    let Some(how) = ["-m", "-rm"].into_iter().find(|how| within(how, "mount --bind $1 $1").status == 0)
    else {
        return crate::support::skipped("no mount namespace is to be had");
    };
    let found = |script: &str| {
        let ran = within(how, &format!("{script}; $3 check --json $2 || test $? = 1"));
        assert_eq!(ran.status, 0, "{}", ran.err);
        let found: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
        let of = |f: &&Value| f["code"] == "read-only-mount" || f["code"] == "mounted-file";
        found.iter().filter(of).map(|f| format!("{}: {}", f["code"], f["message"])).collect::<Vec<_>>()
    };
    assert_eq!(found("true"), [""; 0]);
    assert_eq!(
        found("mount --bind $2 $2"),
        ["\"mounted-file\": \"rsa-chain.kdb is a mount point of its own\""]
    );
    let read_only = format!("\"read-only-mount\": \"{} is mounted read-only\"", folder.display());
    assert_eq!(found("mount --bind $1 $1; mount -o remount,bind,ro $1"), [read_only]);
}

#[test]
fn nothing_is_found_in_clean_stores() {
    let lab = Lab::new();
    let keytool = |arguments: &[&str]| {
        must(
            Command::new("keytool").args(arguments).args(["-storepass", PASSWORD]).current_dir(lab.path(".")),
        );
    };
    let chain = lab.pem("chain.pem", &["sub.pem", "root.pem"]);
    let p12 = lab.p12("clean.p12", "leaf", &["-certfile", chain.to_str().unwrap()]);
    // keytool writes its store anew, with the attribute that it knows trusted certificates by.
    keytool(&["-importcert", "-noprompt", "-alias", "root", "-file", "root.pem", "-keystore", "clean.p12"]);
    lab.mode(&p12, 0o600);
    let kdb = lab.path("clean.kdb");
    let pass = format!("pass:{PASSWORD}");
    must(keyferry().arg("convert").args([&p12, &kdb]).args(["--password", &pass, "--kdb-format", "6"]));
    let nss = lab.path("nss");
    std::fs::create_dir(&nss).unwrap();
    lab.mode(&nss, 0o700);
    std::fs::write(lab.path("pw"), PASSWORD).unwrap();
    let certutil = |arguments: &[&str]| {
        must(
            Command::new("certutil")
                .args(["-d", "sql:nss", "-f", "pw"])
                .args(arguments)
                .current_dir(lab.path(".")),
        );
    };
    certutil(&["-N"]);
    let import = ["-i", "clean.p12", "-d", "sql:nss", "-k", "pw", "-w", "pw"];
    must(Command::new("pk12util").args(import).current_dir(lab.path(".")));
    certutil(&["-A", "-n", "root", "-t", "CT,C,C", "-i", "root.pem"]);
    let pem = lab.pem("clean.pem", &["root.pem", "sub.pem", "leaf.pem"]);
    for store in [p12, kdb, nss, pem] {
        let (status, found) = check(&case("", store.clone()).with(&["--fail-on", "info"]));
        assert_eq!((status, codes(&found)), (0, vec![]), "{}: {found:#?}", store.display());
    }
}

#[test]
fn signatures_of_every_usual_algorithm_are_checked() {
    let lab = Lab::new();
    let algorithms: &[(&str, &[&str], &[&str])] = &[
        ("rsa", &["RSA"], &["-sha256"]),
        ("rsa-sha1", &["RSA"], &["-sha1"]),
        ("rsa-sha384", &["RSA"], &["-sha384"]),
        ("pss", &["RSA"], &["-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"]),
        ("p384", &["EC", "-pkeyopt", "ec_paramgen_curve:P-384"], &["-sha384"]),
        ("p521", &["EC", "-pkeyopt", "ec_paramgen_curve:P-521"], &["-sha512"]),
        ("ed25519", &["ED25519"], &[]),
    ];
    for (name, kind, how) in algorithms {
        let (ca, leaf) = (format!("{name}-ca"), format!("{name}-leaf"));
        lab.openssl(&[&["genpkey", "-out", &format!("{ca}.key"), "-algorithm"], *kind].concat());
        lab.issue(&ca, &format!("/CN={name} CA"), None, CA, how);
        lab.issue(&leaf, &format!("/CN={name} leaf"), Some(&ca), LEAF, how);
        let parts = [format!("{leaf}.key"), format!("{leaf}.pem"), format!("{ca}.pem")];
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let store = lab.pem(&format!("{name}-all.pem"), &parts);
        assert_eq!(about_chains(&store), [""; 0], "{name}");
        // Its own chain, where it is signed by itself.
        let alone = lab.pem(&format!("{name}-self.pem"), &[&format!("{ca}.key"), &format!("{ca}.pem")]);
        assert_eq!(about_chains(&alone), [""; 0], "{name}");
        lab.tear(&format!("{leaf}.pem"));
        let torn = lab.pem("torn-all.pem", &[&format!("{leaf}.key"), "torn.pem", &format!("{ca}.pem")]);
        let found = about_chains(&torn);
        assert!(found.len() == 1 && found[0].contains("chain-broken"), "{name}: {found:?}");
    }
}

/// What is said of the chains in a store.
fn about_chains(store: &Path) -> Vec<String> {
    let (_, found) = check(&case("", store.to_owned()));
    let chains = found.iter().filter(|f| f["code"].as_str().unwrap().starts_with("chain-"));
    chains.map(|f| format!("{}: {}", f["code"], f["message"])).collect()
}

#[test]
fn post_quantum_signatures_of_java_are_checked() {
    let lab = Lab::new();
    let keytool = |arguments: &[&str]| {
        let mut java = Command::new(crate::oracle::newest_java());
        java.args(["-XX:TieredStopAtLevel=1", "-m", "java.base/sun.security.tools.keytool.Main"]);
        let store = ["-keystore", "java.p12", "-storepass", PASSWORD, "-validity", "500"];
        must(java.args(arguments).args(store).current_dir(lab.path(".")));
    };
    for (ca, leaf, level) in [("ca44", "leaf44", "44"), ("ca65", "leaf65", "65"), ("ca87", "leaf87", "87")] {
        let (algorithm, by) = (format!("ML-DSA-{level}"), format!("CN={ca}"));
        let root = ["-genkeypair", "-alias", ca, "-dname", &by, "-ext", "bc:c=ca:true"];
        keytool(&[&root[..], &["-keyalg", &algorithm]].concat());
        let below = ["-genkeypair", "-alias", leaf, "-dname", "CN=leaf", "-signer", ca];
        keytool(&[&below[..], &["-keyalg", &algorithm]].concat());
    }
    assert_eq!(about_chains(&lab.path("java.p12")), [""; 0]);
    for leaf in ["leaf44", "leaf65", "leaf87"] {
        let pem = lab.path("one.pem");
        let mut extract = keyferry();
        extract.arg("extract").arg(lab.path("java.p12")).arg(leaf).arg(&pem).args(["--key", "--force"]);
        must(extract.args(["--to-password", "none"]).env("KEYFERRY_PASSWORD", PASSWORD));
        assert_eq!(about_chains(&pem), [""; 0], "{leaf}");
        lab.tear("one.pem");
        let whole = std::fs::read_to_string(&pem).unwrap();
        let first = whole.find("-----BEGIN CERT").unwrap();
        let end = first + whole[first..].find("-----END CERTIFICATE-----\n").unwrap() + 26;
        let torn = std::fs::read_to_string(lab.path("torn.pem")).unwrap();
        std::fs::write(&pem, format!("{}{torn}{}", &whole[..first], &whole[end..])).unwrap();
        let found = about_chains(&pem);
        assert!(found.len() == 1 && found[0].contains("chain-broken"), "{leaf}: {found:?}");
    }
}

#[test]
fn no_golden_file_is_too_odd_to_be_checked() {
    let (mut checked, mut failed) = (0, 0);
    for case in crate::golden::cases() {
        for secrets in [&case.passwords() as &dyn formats::Secrets, crate::support::nobody()] {
            let mut world = World::new();
            world.session.budget = formats::Budget::new(200_000, 400_000);
            let ctx = world.ctx(secrets);
            let outcome = Source::open(&case.path).and_then(|source| {
                let input = formats::jobs::Input { source: &source, format: None, ctx };
                formats::jobs::check::check("x", &input, &formats::jobs::check::Asked::default())
            });
            match outcome {
                Ok(found) => {
                    checked += 1;
                    // A good store's keys are those of its certificates.
                    let broken = ["key-mismatch", "chain-broken", "certificate-unreadable"];
                    let wrong = found.findings.iter().find(|f| broken.contains(&f.code));
                    assert!(wrong.is_none() || !case.is_ok(), "{}: {wrong:?}", case.name);
                }
                Err(e) => {
                    failed += 1;
                    assert!(!formats::jobs::check::failed("x", &case.path, &e, &ctx).is_empty());
                }
            }
        }
    }
    assert!(checked > 150 && failed > 20, "{checked} checked, {failed} failed");
}

#[test]
fn what_gskit_leaves_behind_is_found() {
    if crate::kdb::without_gskit() {
        return;
    }
    let lab = Lab::new();
    let kdb = lab.path("gskit.kdb");
    let gskit = |command: &str, more: &[&str]| {
        crate::kdb::gskit(&[command], &kdb, &[&["--pw", PASSWORD], more].concat())
    };
    gskit("create", &["--stash"]);
    for label in ["goes", "stays"] {
        gskit("self-signed", &["--label", label, "--dn", &format!("CN={label},O=Lab")]);
    }
    gskit("add-ca", &["--label", "Stays", "--file", lab.path("root.pem").to_str().unwrap()]);
    let case = case("", kdb.clone());
    // What it deletes is gone: it moves the other records together.
    gskit("delete", &["--label", "goes"]);
    let (_, found) = check(&case);
    assert!(!codes(&found).contains(&"erased-key"), "{found:#?}");
    assert!(codes(&found).contains(&"label-case"), "{found:#?}");
    // A stash out of a backup.
    let before = std::fs::read(kdb.with_extension("sth")).unwrap();
    gskit("chpw", &["--new-pw", "Other-8-pw"]);
    std::fs::write(kdb.with_extension("sth"), before).unwrap();
    let (status, found) = check(
        &Case { code: "", store: kdb, more: Vec::new(), epoch: None }
            .with(&["--password", "pass:Other-8-pw"]),
    );
    assert_eq!(status, 1, "{found:#?}");
    assert!(codes(&found).contains(&"stash-differs"), "{found:#?}");
}

#[test]
fn trees_are_checked_and_name_what_they_could_not_see() {
    let lab = Lab::new();
    lab.copy("tree/a", "kdb/rsa-chain.kdb");
    lab.copy("tree/b", "p12/bad-truncated.p12");
    lab.file("tree/readme.txt", b"no store");
    let ran = run(keyferry().args(["check", "-r", "--json"]).arg(lab.path("tree")));
    assert_eq!(ran.status, 8, "{}", ran.err);
    let found: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    let of = |code: &str| found.iter().filter(|f| f["code"] == code).count();
    assert_eq!((of("does-not-open"), of("weak-protection")), (1, 1), "{found:#?}");
    assert!(ran.err.contains("bad-truncated.p12"), "{}", ran.err);
    // A folder without -r is no store, and a missing one is an error of reading.
    assert_eq!(run(keyferry().arg("check").arg(lab.path("missing.p12"))).status, 3);
    for (severity, status) in [("error", 0), ("warning", 1), ("info", 1)] {
        let store = lab.path("tree/a/rsa-chain.kdb");
        let ran = run(keyferry().args(["check", "--fail-on", severity]).arg(store));
        assert_eq!(ran.status, status, "{severity}: {}", ran.out);
    }
}

#[test]
fn every_code_is_documented_and_explained() {
    let page = std::fs::read_to_string(root().join("docs/findings.md")).unwrap();
    let table: String = Severity::ALL
        .iter()
        .flat_map(|severity| {
            let title = match severity {
                Severity::Error => "Errors",
                Severity::Warning => "Warnings",
                Severity::Info => "For information",
            };
            let rows = RULES.iter().filter(|r| r.severity == *severity);
            let head = format!("\n### {title}\n\n| code | what it means | what to do |\n|---|---|---|\n");
            std::iter::once(head)
                .chain(rows.map(|r| format!("| `{}` | {} | {} |\n", r.code, r.meaning, r.advice)))
        })
        .collect();
    const MARKS: (&str, &str) = ("<!-- codes -->\n", "<!-- end of codes -->\n");
    let (before, rest) = page.split_once(MARKS.0).unwrap();
    let (found, after) = rest.split_once(MARKS.1).unwrap();
    if std::env::var_os("UPDATE").is_some() {
        let new = format!("{before}{}{table}\n{}{after}", MARKS.0, MARKS.1);
        std::fs::write(root().join("docs/findings.md"), new).unwrap();
    } else {
        assert!(found == format!("{table}\n"), "UPDATE=1 cargo test writes docs/findings.md anew");
    }
    for rule in RULES {
        let ran = must(keyferry().args(["explain", "--json", rule.code]));
        let topics: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(topics[0]["code"], rule.code);
    }
}

#[test]
fn what_other_programs_say_is_explained() {
    let lab = Lab::new();
    lab.p12("lab.p12", "leaf", &[]);
    let jks = testdata("java/jks-basic.jks");
    let said = |program: &str, arguments: &[&str]| {
        let ran = run(Command::new(program).args(arguments).current_dir(lab.path(".")).env("LC_ALL", "C"));
        assert_ne!(ran.status, 0, "{program} {arguments:?}: {}{}", ran.out, ran.err);
        ran.out + &ran.err
    };
    let cases = [
        (
            said("keytool", &["-list", "-keystore", "lab.p12", "-storepass", "wrong-1"]),
            "keystore password was incorrect",
        ),
        (
            said("keytool", &["-list", "-keystore", jks.to_str().unwrap(), "-storepass", "wrong-1"]),
            "Keystore was tampered with, or password was incorrect",
        ),
        (
            said("openssl", &["pkcs12", "-in", "lab.p12", "-passin", "pass:no", "-nokeys"]),
            "Mac verify error: invalid password?",
        ),
        (
            said("openssl", &["verify", "-CAfile", "root.pem", "leaf.pem"]),
            "unable to get local issuer certificate",
        ),
        (said("certutil", &["-L", "-d", "sql:absent"]), "SEC_ERROR_BAD_DATABASE"),
    ];
    for (said, code) in &cases {
        let ran = must(keyferry().args(["explain", "--json"]).arg(said));
        let topics: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(topics[0]["code"], *code, "{said}");
    }
}

#[test]
fn numbers_of_gskit_have_its_own_names() {
    if crate::kdb::without_gskit() {
        return;
    }
    let topics: Vec<_> = formats::explain::topics().into_iter().filter(|t| t.source == "GSKit").collect();
    let numbers: Vec<_> = topics.iter().map(|t| t.number.unwrap().to_string()).collect();
    let ran = must(crate::kdb::oracle().args(["strerror", "--numbers", &numbers.join(",")]));
    let names: Value = serde_json::from_str(&ran.out).unwrap();
    for topic in &topics {
        assert_eq!(names["names"][topic.number.unwrap().to_string()], topic.code);
    }
    assert!(topics.len() > 40);
}

#[test]
fn a_report_is_safe_sorted_and_searched_in_a_browser() {
    let lab = Lab::new();
    let hostile = r#"/O=Evil/OU="><img src=x onerror=alert(1)>/CN=<script>document.title="owned"<\/script>"#;
    lab.issue("hostile", hostile, None, LEAF, &[]);
    std::fs::create_dir(lab.path("tree")).unwrap();
    let store = lab.pem("tree/<b>bold.pem", &["hostile.pem", "root.pem", "sub.pem", "leaf.key", "leaf.pem"]);
    let page = lab.path("report.html");
    must(keyferry().arg("report").arg(lab.path("tree")).arg("--html").arg(&page));
    assert_eq!(std::fs::metadata(&page).unwrap().permissions().mode() & 0o777, 0o600);
    // Again over its own page, but over nothing else.
    must(keyferry().arg("report").arg(lab.path("tree")).arg("--html").arg(&page));
    let refused = run(keyferry().arg("report").arg(lab.path("tree")).arg("--html").arg(&store));
    assert_eq!(refused.status, 5, "{}", refused.err);
    assert!(std::fs::read_to_string(&store).unwrap().starts_with("-----BEGIN"));

    let text = std::fs::read_to_string(&page).unwrap();
    assert_eq!(text.matches("<script").count(), 1, "a name became a script");
    assert!(!text.contains("<img") && !text.contains("<b>bold"), "a name became an element");
    for outside in ["http:", "https:", "//cdn", "url(", "@import", " src="] {
        let own = text.replace(" src=x onerror", "");
        assert!(!own.contains(outside), "{outside} loads something");
    }
    let seen = browse(&lab, &page, "#q=nowhere-at-all");
    assert!(seen.contains("data-ready=\"yes\""), "the script did not run: {}", &seen[..400]);
    assert!(seen.contains("<title>Keystores on"), "a name ran as a script");
    assert!(seen.contains("0 of "), "the search hid nothing");
    let sorted = browse(&lab, &page, "#sort=certificates:5:down");
    assert!(sorted.contains("aria-sort=\"descending\""), "the table was not sorted");
    assert!(!sorted.contains("<img"), "a name became an element");
}

/// The page as Chromium has it after its script ran, which must not complain.
fn browse(lab: &Lab, page: &Path, hash: &str) -> String {
    let mut chromium =
        Command::new(crate::browsers::program(&["chromium", "google-chrome", "chromium-browser"]));
    chromium.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
    chromium.args([
        "--no-first-run",
        "--disable-background-networking",
        "--enable-logging=stderr",
        "--dump-dom",
    ]);
    chromium.arg(format!("--user-data-dir={}", lab.path("profile").display()));
    chromium.arg(format!("file://{}{hash}", page.display())).env("HOME", lab.path("."));
    let ran = must(&mut chromium);
    let complaint = ran.err.lines().find(|l| l.contains("CONSOLE") || l.contains("Content Security Policy"));
    assert_eq!(complaint, None, "{}", ran.err);
    ran.out
}
