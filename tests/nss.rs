//! NSS databases: every golden one read as its manifest says, every broken one reported; what we write is
//! used by NSS's own tools, and what they change is read by us.

use crate::golden::cases;
use crate::support::{Passwords, World, must, nobody, run, scratch, sha256, testdata};
use formats::asn1::{Reader, Tag, cert_fields};
use formats::model::{Entry, Item, Level, Purpose, Store};
use formats::nss::Words;
use formats::place::{Source, Staging};
use formats::{Error, Kind, Secrets, jobs};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn manifest() -> Value {
    serde_json::from_str(&std::fs::read_to_string(testdata("nss/databases.json")).unwrap()).unwrap()
}

fn folder(name: &str) -> PathBuf {
    testdata("nss").join(name)
}

fn read(name: &str, secrets: &dyn Secrets) -> Result<Store, Error> {
    World::new().load(&Source::open(&folder(name)).unwrap(), secrets).map(|l| l.store)
}

fn password(database: &Value) -> Passwords {
    Passwords::one(database["password"].as_str().unwrap())
}

#[test]
fn every_database_reads_as_its_manifest_says() {
    let manifest = manifest();
    let databases = manifest["databases"].as_array().unwrap();
    let mut failures = Vec::new();
    let mut certificates = 0;
    for database in databases {
        let name = database["name"].as_str().unwrap();
        if let Err(e) = check(name, database) {
            failures.push(format!("{name}: {e}"));
        }
        certificates += database["certs"].as_array().unwrap().len();
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
    assert!(databases.len() >= 22 && certificates > 80, "{} databases", databases.len());
}

fn check(name: &str, database: &Value) -> Result<(), String> {
    for (file, digest) in database["files"].as_object().unwrap() {
        let bytes = std::fs::read(folder(name).join(file)).map_err(|e| format!("{file}: {e}"))?;
        if *digest != sha256(&bytes) {
            return Err(format!("{file} is not the file that the manifest describes"));
        }
    }
    let secrets = password(database);
    let store = read(name, &secrets).map_err(|e| e.to_string())?;
    if let Some(defect) = store.defects.first() {
        return Err(format!("a defect where there is none: {defect}"));
    }
    let world = World::new();
    let ctx = world.ctx(&secrets);
    compare("certificate", &database["certs"], store.entries.iter().filter_map(see_certificate), |c| {
        let words = ["nickname", "trust", "sha256"].map(|k| c[k].as_str().unwrap());
        words.join(" | ")
    })?;
    let mut keys = Vec::new();
    for entry in &store.entries {
        if let Item::Key { key, .. } = &entry.item {
            let key = key.open(&ctx).map_err(|e| e.to_string())?;
            keys.push(see_key(&key.bytes));
        }
    }
    keys.sort();
    keys.dedup(); // two certificates of one key are two entries
    compare("key", &database["keys"], keys.into_iter(), |k| {
        format!("{} | {}", k["spki_sha256"].as_str().unwrap(), k["private_value_sha256"].as_str().unwrap())
    })?;
    let crls = store.entries.iter().filter_map(|e| match &e.item {
        Item::Crl(crl) => Some(sha256(crl)),
        _ => None,
    });
    compare("CRL", &database["crls"], crls, |c| c["sha256"].as_str().unwrap().to_owned())
}

/// The same things, whatever their order.
fn compare(
    what: &str,
    expected: &Value,
    got: impl Iterator<Item = String>,
    line: impl Fn(&Value) -> String,
) -> Result<(), String> {
    let mut expected: Vec<String> = expected.as_array().unwrap().iter().map(line).collect();
    let mut got: Vec<String> = got.collect();
    expected.sort();
    got.sort();
    if expected == got { Ok(()) } else { Err(format!("{what}: expected {expected:#?}, got {got:#?}")) }
}

fn see_certificate(entry: &Entry) -> Option<String> {
    let certificate = entry.certificate()?;
    Some(format!("{} | {} | {}", entry.label_text(), letters(entry), sha256(certificate)))
}

/// As `certutil -L` shows the trust.
fn letters(entry: &Entry) -> String {
    let words = entry.attr("nss", "trust").and_then(Words::of_attr);
    let words = words.unwrap_or_else(|| Words::of_trust(entry.trust.as_ref().unwrap()));
    let has_key = matches!(entry.item, Item::Key { .. });
    words.letters(has_key)
}

/// Fingerprint of the public key, and of d, the scalar, the seed or x.
fn see_key(pkcs8: &[u8]) -> String {
    let spki = formats::crypto::public::spki_of_pkcs8(pkcs8).unwrap().unwrap();
    let mut fields = Reader::new(pkcs8, 0).expect(Tag::SEQUENCE, "key").unwrap().reader();
    fields.any("version").unwrap();
    fields.any("algorithm").unwrap();
    let key = fields.expect(Tag::OCTET_STRING, "key").unwrap().content;
    let inner = Reader::new(key, 0).any("key").unwrap();
    let value = match inner.tag {
        Tag::SEQUENCE => {
            let mut numbers = inner.reader();
            let mut fields = Vec::new();
            while let Some(number) = numbers.next().unwrap() {
                fields.push(number);
            }
            // RSAPrivateKey: version, n, e, d. ECPrivateKey: version, scalar, the point.
            if fields.len() > 4 { fields[3] } else { fields[1] }
        }
        _ => inner,
    };
    let zeros = value.content.iter().take_while(|b| value.tag == Tag::INTEGER && **b == 0).count();
    let digits = &value.content[zeros..];
    format!("{} | {}", sha256(&spki), sha256(digits))
}

#[test]
fn what_is_broken_is_said_and_not_used() {
    let manifest = manifest();
    let damaged = manifest["damaged"].as_array().unwrap();
    let mut seen = 0;
    for database in damaged {
        let name = database["name"].as_str().unwrap();
        let secrets = password(database);
        let (world, outcome) = (World::new(), read(name, &secrets));
        let ctx = world.ctx(&secrets);
        let open_all = |store: &Store| -> Vec<String> {
            let keys = store.entries.iter().filter_map(Entry::secret);
            keys.filter_map(|k| k.open(&ctx).err().map(|e| e.to_string())).collect()
        };
        let says = |e: &Error, kind: Kind, text: &str| {
            assert_eq!(e.kind(), kind, "{name}: {e}");
            assert!(e.to_string().contains(text) && e.to_string().contains(name), "{name}: {e}");
        };
        let defects =
            |store: &Store| store.defects.iter().map(|d| d.to_string()).collect::<Vec<_>>().join("\n");
        let certs = |store: &Store| store.entries.iter().filter(|e| e.certificate().is_some()).count();
        let keys = |store: &Store| store.entries.iter().filter(|e| e.secret().is_some()).count();
        seen += 1;
        match name {
            "bad-truncated-cert9" => says(&outcome.unwrap_err(), Kind::Malformed, "cut off"),
            "bad-not-sqlite" => {
                let defects = outcome.unwrap().defects;
                says(&defects[0], Kind::Malformed, "not an SQLite database");
                assert_eq!(defects.len(), 1);
            }
            "bad-no-table" => says(&outcome.unwrap_err(), Kind::Malformed, "nssPublic is missing"),
            "bad-password-entry-truncated" => {
                says(&outcome.unwrap_err(), Kind::Malformed, "password entry");
                let listed = read(name, nobody()).unwrap();
                assert_eq!(certs(&listed), 3);
            }
            "bad-iterations-huge" => says(&outcome.unwrap_err(), Kind::TooLarge, "rounds"),
            "bad-no-metadata" => {
                let store = outcome.unwrap();
                assert_eq!((certs(&store), keys(&store)), (5, 0));
                assert!(defects(&store).contains("password was never set"), "{}", defects(&store));
            }
            "bad-private-signature" => {
                let errors = open_all(&outcome.unwrap());
                assert!(errors[0].contains("private exponent"), "{errors:?}");
            }
            "bad-private-signature-missing" => {
                let store = outcome.unwrap();
                assert_eq!((store.defects.len(), keys(&store), certs(&store)), (3, 0, 4));
                assert!(defects(&store).contains("integrity record"), "{}", defects(&store));
            }
            "bad-modulus-mismatch" => {
                let store = outcome.unwrap();
                assert_eq!((keys(&store), certs(&store)), (0, 3));
                assert!(defects(&store).contains("modulus"), "{}", defects(&store));
                // Without the password its record can't be verified, but no certificate has such a key.
                let blind = read(name, nobody()).unwrap();
                assert!(blind.entries.iter().all(|e| e.secret().is_none() || e.certificate().is_none()));
            }
            "bad-trust-forged" => {
                let store = outcome.unwrap();
                assert!(!store.defects.is_empty());
                for entry in &store.entries {
                    let forged = defects(&store).contains(&*entry.label_text());
                    assert!(!forged || entry.trust.as_ref().unwrap().levels == [Level::Unset; 4]);
                    assert_ne!(forged, entry.authenticated != Some(false), "{entry:?}");
                }
                assert!(
                    store.entries.iter().any(|e| e.trust.as_ref().unwrap().is_full_anchor())
                        || store.defects.len() == 12
                );
            }
            "bad-trust-hash" => {
                let store = outcome.unwrap();
                assert!(store.entries.iter().all(|e| e.trust.as_ref().unwrap().levels == [Level::Unset; 4]));
                assert!(!store.warnings.is_empty());
            }
            "bad-ulong-8-bytes" | "bad-text-values" => {
                let store = outcome.unwrap();
                assert!(!store.defects.is_empty(), "{name}");
            }
            "bad-cert-garbage" => {
                let store = outcome.unwrap();
                assert_eq!((store.defects.len(), certs(&store)), (1, 2));
                assert!(defects(&store).contains("no certificate"), "{}", defects(&store));
            }
            "bad-legacy-truncated" | "bad-legacy-buckets" => {
                let text = outcome.map_or_else(|e| e.to_string(), |store| defects(&store));
                assert!(text.contains("damaged"), "{name}: {text}");
            }
            other => panic!("nobody says what {other} shall give"),
        }
    }
    assert!(seen >= 16, "only {seen}");
}

#[test]
fn without_a_password_all_is_listed_and_nothing_vouched_for() {
    let store = read("rsa-chain", nobody()).unwrap();
    let labels: Vec<_> = store.entries.iter().map(|e| e.label_text().into_owned()).collect();
    assert_eq!(labels, ["RSA Server", "Lab Intermediate CA - Keystore Lab", "Lab Root CA - Keystore Lab"]);
    let Item::Key { key, chain } = &store.entries[0].item else { panic!("no key") };
    assert_eq!(chain.len(), 3, "the chain is derived");
    assert_eq!(store.entries[0].authenticated, Some(false));
    assert_eq!(store.entries[2].authenticated, Some(false));
    assert_eq!(store.entries[2].trust.as_ref().unwrap().level(Purpose::Server), Level::Anchor);
    let world = World::new();
    assert_eq!(key.open(&world.ctx(nobody())).unwrap_err().kind(), Kind::Password);
    let wrong = read("rsa-chain", &Passwords::one("wrong")).unwrap_err();
    assert_eq!(wrong.kind(), Kind::Password);
    // The empty password needs nobody to give it.
    let store = read("nopw-keys", nobody()).unwrap();
    let keys: Vec<_> = store.entries.iter().filter_map(Entry::secret).collect();
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|k| k.open(&world.ctx(nobody())).is_ok()));
    assert!(cert_fields(store.entries[0].certificate().unwrap()).is_ok());
}

#[test]
fn many_records_are_verified_where_the_password_fits() {
    let with = |name: &str, secrets: &dyn Secrets, total: u64| {
        let mut world = World::new();
        world.session.budget = formats::Budget::new(10_000, total);
        let read = world.load(&Source::open(&folder(name)).unwrap(), secrets);
        (read.map(|l| l.store), world.session.budget.spent())
    };
    let secrets = Passwords::one("Keystore-1");
    // Thirteen trust objects, each of whose records has a salt of its own: more than such a command may
    // spend on a stranger's file, less than on one whose password it has.
    let (store, spent) = with("trust-matrix", &secrets, 100_000);
    assert!(store.unwrap().defects.is_empty() && spent > 300_000, "{spent} rounds");
    // That has its bound too, and then nothing is said of trust at all.
    let (error, spent) = with("trust-matrix", &secrets, 20_000);
    let error = error.unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge, "{error}");
    assert!(error.hint_text().unwrap().contains("--max-iterations") && spent <= 220_000, "{spent}");
    assert!(with("trust-matrix", nobody(), 20_000).0.is_ok());
}

const PASSWORD: &str = "Keystore-2";

/// A database that we wrote, where NSS's tools can get at it.
struct Written {
    folder: tempfile::TempDir,
    secrets: Passwords,
}

impl Written {
    /// Of the entries of these golden databases.
    fn of(names: &[&str], password: &str, options: &[(&str, &str)]) -> Self {
        let folder = scratch();
        let secrets = Passwords::one(password);
        let mut world = World::new();
        for (name, value) in options {
            world.options.set(name, *value);
        }
        let mut store = Store::default();
        for name in names {
            let manifest = manifest();
            let database = manifest["databases"].as_array().unwrap().iter().find(|d| d["name"] == *name);
            let from = super::nss::password(database.unwrap());
            let read = read(name, &from).unwrap();
            for secret in read.entries.iter().filter_map(Entry::secret) {
                secret.open(&world.ctx(&from)).unwrap();
            }
            store.entries.extend(read.entries);
        }
        let target = folder.path().join("db");
        let mut staging = Staging::beside(&target);
        let nss = formats::by_name("nss").unwrap();
        nss.write(&store, None, &mut staging, &world.ctx(&secrets)).unwrap();
        let staged = staging.source().unwrap();
        std::fs::rename(staged.path(), &target).unwrap();
        std::fs::write(folder.path().join("password"), password).unwrap();
        Written { folder, secrets }
    }

    fn db(&self) -> PathBuf {
        self.folder.path().join("db")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.arg("-d").arg(format!("sql:{}", self.db().display()));
        command
    }

    /// certutil, which must succeed.
    fn certutil(&self, arguments: &[&str]) -> String {
        let mut command = self.tool("certutil");
        command.args(arguments).arg("-f").arg(self.file("password"));
        must(&mut command).out
    }

    fn store(&self) -> Store {
        World::new().load(&Source::open(&self.db()).unwrap(), &self.secrets).unwrap().store
    }

    /// What `certutil -L` shows: label and trust.
    fn listed(&self) -> Vec<(String, String)> {
        let out = self.certutil(&["-L"]);
        let lines = out.lines().skip_while(|l| !l.contains("SSL,S/MIME")).skip(1);
        let rows = lines.filter_map(|l| l.trim_end().rsplit_once(' '));
        let mut rows: Vec<_> =
            rows.map(|(label, trust)| (label.trim_end().to_owned(), trust.to_owned())).collect();
        rows.sort();
        rows
    }

    /// The same as we read it.
    fn seen(&self) -> Vec<(String, String)> {
        let store = self.store();
        assert!(store.defects.is_empty(), "{:?}", store.defects);
        let certificates = store.entries.iter().filter(|e| e.certificate().is_some());
        // certutil shows a label up to a NUL, and fills it up with blanks.
        let label = |e: &Entry| e.label_text().split('\0').next().unwrap_or_default().trim_end().to_owned();
        let mut rows: Vec<_> = certificates.map(|e| (label(e), letters(e))).collect();
        rows.sort();
        rows
    }
}

/// A certificate of a golden database as a file.
fn certificate_file(folder: &Path, database: &str, label: &str) -> PathBuf {
    let store = read(database, nobody()).unwrap();
    let entry = store.entries.iter().find(|e| e.label_text() == label).unwrap();
    let path = folder.join("certificate.der");
    std::fs::write(&path, entry.certificate().unwrap()).unwrap();
    path
}

#[test]
fn certutil_uses_what_we_wrote() {
    let cases: [(&str, &[(&str, &str)]); 4] = [
        (PASSWORD, &[]),
        ("", &[]),
        (PASSWORD, &[("nss-salt-per-record", "yes")]),
        (PASSWORD, &[("nss-iterations", "600")]),
    ];
    for (password, options) in cases {
        let db = Written::of(&["rsa-chain", "ec", "trust-matrix"], password, options);
        assert_eq!(db.listed(), db.seen(), "{options:?}");
        assert!(db.listed().contains(&("RSA Server".to_owned(), "u,u,u".to_owned())));
        assert!(db.listed().contains(&("Lab Root CA - Keystore Lab".to_owned(), "CT,C,C".to_owned())));
        let keys = db.certutil(&["-K"]);
        for label in ["RSA Server", "EC P-256", "EC P-384", "EC P-521"] {
            assert!(keys.contains(label), "{keys}");
        }
        for (usage, label) in [("V", "RSA Server"), ("C", "RSA Server")] {
            let out = db.certutil(&["-V", "-u", usage, "-n", label]);
            assert!(out.contains("certificate is valid"), "{out}");
        }
        db.certutil(&["-V", "-e", "-u", "V", "-n", "RSA Server"]);
        db.certutil(&["-L", "-h", "all"]);
        exports_equal(&db, &["RSA Server", "EC P-256", "EC P-384", "EC P-521"]);
        changes_are_read(&db);
        changes_password(&db);
    }
}

/// `pk12util -o`, and the key in it is the one that we put in.
fn exports_equal(db: &Written, labels: &[&str]) {
    let ours = db.store();
    let world = World::new();
    for label in labels {
        let file = db.file("export.p12");
        let mut export = db.tool("pk12util");
        export.arg("-o").arg(&file).args(["-n", label, "-W", "export-1"]);
        must(export.arg("-k").arg(db.file("password")));
        let theirs = Passwords::one("export-1");
        let exported = world.load(&Source::open(&file).unwrap(), &theirs).unwrap().store;
        let key = |store: &Store, secrets: &Passwords| {
            let entry = store.entries.iter().find(|e| e.label_text() == *label && e.secret().is_some());
            let secret = entry.unwrap_or_else(|| panic!("{label}")).secret().unwrap();
            see_key(&secret.open(&world.ctx(secrets)).unwrap().bytes)
        };
        assert_eq!(key(&ours, &db.secrets), key(&exported, &theirs), "{label}");
    }
}

/// `-M`, `-A`, `pk12util -i`, `-D`, `-F`, each read by us afterwards.
fn changes_are_read(db: &Written) {
    db.certutil(&["-M", "-n", "Lab Root CA - Keystore Lab", "-t", "C,,p"]);
    let file = certificate_file(db.folder.path(), "utf8-nickname", "Schlüssel Jürgen 証明書");
    db.certutil(&["-A", "-n", "added", "-t", "P,,", "-i", file.to_str().unwrap()]);
    db.certutil(&["-D", "-n", "matrix 03 [c,c,c]"]);
    let seen = db.seen();
    assert_eq!(db.listed(), seen);
    for expected in [("Lab Root CA - Keystore Lab", "C,,p"), ("added", "P,,")] {
        assert!(seen.contains(&(expected.0.to_owned(), expected.1.to_owned())), "{seen:?}");
    }
    assert!(!seen.iter().any(|(label, _)| label == "matrix 03 [c,c,c]"));
    let mut import = db.tool("pk12util");
    import.arg("-i").arg(testdata("java/../p12/ossl-default.p12")).args(["-W", "changeit"]);
    let imported = run(import.arg("-k").arg(db.file("password")));
    assert_eq!(imported.status, 0, "{}", imported.err);
    assert_eq!(db.listed(), db.seen());
    db.certutil(&["-F", "-n", "EC P-521"]);
    assert_eq!(db.listed(), db.seen());
}

/// `-W`, then everything again under the new password; NSS itself verifies every record while it changes
/// them.
fn changes_password(db: &Written) {
    if db.secrets.store.as_deref() == Some("") {
        return; // certutil -W asks a terminal for the old one, however empty
    }
    let new = "Keystore-3";
    std::fs::write(db.file("new"), new).unwrap();
    let mut change = db.tool("certutil");
    must(change.arg("-W").arg("-f").arg(db.file("password")).arg("-@").arg(db.file("new")));
    std::fs::write(db.file("password"), new).unwrap();
    assert!(db.certutil(&["-K"]).contains("EC P-256"));
    let world = World::new();
    let secrets = Passwords::one(new);
    let store = world.load(&Source::open(&db.db()).unwrap(), &secrets).unwrap().store;
    assert!(store.defects.is_empty(), "{:?}", store.defects);
    let keys: Vec<_> = store.entries.iter().filter_map(Entry::secret).collect();
    assert!(keys.len() >= 3);
    for key in keys {
        key.open(&world.ctx(&secrets)).unwrap();
    }
    let trusted =
        store.entries.iter().filter(|e| e.trust.as_ref().is_some_and(|t| t.levels != [Level::Unset; 4]));
    assert!(trusted.map(|e| assert_eq!(e.authenticated, Some(true), "{e:?}")).count() > 5);
}

#[test]
fn other_objects_survive() {
    let db = Written::of(&["crl", "personal", "same-subject", "ed25519-newer", "csr-key"], PASSWORD, &[]);
    let out = must(db.tool("crlutil").arg("-L")).out;
    assert!(out.contains("Lab Root CA"), "{out}");
    exports_equal(&db, &["alice", "bob", "DSA"]);
    assert_eq!(db.listed(), db.seen());
    let store = db.store();
    let count = |kind: &str| store.entries.iter().filter(|e| e.item.kind().name() == kind).count();
    assert_eq!((count("crl"), count("key"), count("cert")), (1, 9, 2));
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(db.db().join(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(["cert9.db", "key4.db", "pkcs11.txt"].map(mode), [0o600; 3]);
}

/// What an editor must not touch: a column and objects that nobody here knows.
fn plant_the_unknown(db: &Written) -> impl Fn() -> Vec<i64> {
    let open = |name: &str| rusqlite::Connection::open(db.db().join(name)).unwrap();
    let (cert, key) = (open("cert9.db"), open("key4.db"));
    cert.execute_batch(
        "ALTER TABLE nssPublic ADD COLUMN a77777;
         UPDATE nssPublic SET a77777 = x'01' WHERE a0 = x'00000001' OR a0 = x'ce534353';
         INSERT INTO nssPublic (id, a0, a1, a101, ace534352) VALUES (7, x'ce534352', x'01', x'3000', x'61');
         INSERT INTO nssPublic (id, a0, a1, a3) VALUES (8, x'0badcafe', x'01', x'61');
         CREATE TABLE others (a);",
    )
    .unwrap();
    key.execute_batch("INSERT INTO metaData (id, item1) VALUES ('foreign', x'61')").unwrap();
    let (cert, key) = (db.db().join("cert9.db"), db.db().join("key4.db"));
    move || {
        let count = |path: &Path, sql: &str| {
            let connection = rusqlite::Connection::open(path).unwrap();
            connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
        };
        vec![
            count(&cert, "SELECT count(*) FROM nssPublic WHERE a77777 = x'01'"),
            count(&cert, "SELECT count(*) FROM nssPublic WHERE a0 IN (x'ce534352', x'0badcafe')"),
            count(&cert, "SELECT count(*) FROM sqlite_master WHERE name = 'others'"),
            count(&key, "SELECT count(*) FROM metaData WHERE id = 'foreign'"),
            count(&key, "SELECT count(*) FROM metaData WHERE id LIKE 'sig_%'"),
        ]
    }
}

#[test]
fn a_database_is_changed_in_place() {
    let db = Written::of(&["rsa-chain", "trust-matrix", "crl"], PASSWORD, &[]);
    let unknown = plant_the_unknown(&db);
    let before = unknown();
    // 17 certificates and 13 trust objects; two records of each RSA key row in each table.
    assert_eq!(before[..4], [27, 2, 1, 1]);
    let world = World::new();
    let ctx = world.ctx(&db.secrets);
    let in_place = formats::by_name("nss").unwrap().in_place().unwrap();
    let mut store = db.store();
    let at = |store: &Store, label: &str| {
        store.entries.iter().position(|e| e.label_text() == label).unwrap_or_else(|| panic!("{label}"))
    };
    let gone = at(&store, "matrix 05 [p,p,p]");
    store.entries.remove(gone);
    let raised = at(&store, "matrix 06 [,,]");
    store.entries[raised].trust = Some(formats::model::Trust::all(Level::Anchor));
    let lowered = at(&store, "matrix 00 [CT,C,C]");
    store.entries[lowered].trust = Some(formats::model::Trust::default());
    let renamed = at(&store, "matrix 01 [C,,]");
    store.entries[renamed].label = Some("renamed".into());
    let more = read("ec", &Passwords::one("Keystore-1")).unwrap();
    for entry in more.entries {
        if let Some(secret) = entry.secret() {
            secret.open(&world.ctx(&Passwords::one("Keystore-1"))).unwrap();
        }
        store.entries.push(entry);
    }
    let losses = in_place.apply(&db.db(), &store, Some(&|| Ok(())), &ctx).unwrap();
    assert!(losses.iter().all(|l| l.kind == formats::model::LossKind::Note), "{losses:?}");
    let seen = db.seen();
    assert_eq!(db.listed(), seen);
    let trust = |label: &str| seen.iter().find(|(l, _)| l == label).map(|(_, t)| t.as_str());
    assert_eq!(trust("matrix 05 [p,p,p]"), None);
    assert_eq!(trust("matrix 06 [,,]"), Some("CT,C,C"));
    assert_eq!(trust("matrix 00 [CT,C,C]"), Some(",,"));
    assert_eq!(trust("renamed"), Some("C,,"));
    assert_eq!(trust("EC P-521"), Some("u,u,u"));
    assert_eq!(trust("matrix 11 [TP,p,c]"), Some("TP,p,c"));
    let after = unknown();
    // One certificate went with its trust object; what came has no such column.
    assert_eq!(after[..4], [before[0] - 2, 2, 1, 1]);
    // One trust object went, another came where none was, and three keys of one record each.
    assert_eq!(after[4], before[4] - 7 + 7 + 3);
    exports_equal(&db, &["RSA Server", "EC P-256"]);
    nothing_to_do_writes_nothing(&db, in_place);
    held_by_another(&db, in_place, &store);
    keys_go_when_they_are_to(&db, in_place);
    chains_bring_no_trust(&db, in_place);
    changes_password(&db);
}

/// NSS 3.114 and later believe an object of their own class before the older one, which both must not contradict.
#[test]
fn both_classes_of_trust_say_the_same_after_a_change() {
    for golden in ["mixed-trust", "trust-matrix-p11", "newer-salt48"] {
        let dir = scratch();
        let db = dir.path().join("db");
        std::fs::create_dir(&db).unwrap();
        for file in ["cert9.db", "key4.db", "pkcs11.txt"] {
            std::fs::copy(folder(golden).join(file), db.join(file)).unwrap();
        }
        let secrets = Passwords::one("Keystore-1");
        let (world, source) = (World::new(), Source::open(&db).unwrap());
        let mut store = world.load(&source, &secrets).unwrap().store;
        let ctx = world.ctx(&secrets);
        for secret in store.entries.iter().filter_map(Entry::secret) {
            secret.open(&ctx).unwrap();
        }
        let count = |class: &str| {
            let connection = rusqlite::Connection::open(db.join("cert9.db")).unwrap();
            let sql = format!("SELECT count(*) FROM nssPublic WHERE a0 = x'{class}'");
            connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap()
        };
        let newer = count("0000000b");
        assert!(newer > 0 || golden == "newer-salt48", "{golden}");
        // What was distrusted or nothing becomes an anchor, and the other way round.
        for entry in store.entries.iter_mut().filter(|e| matches!(e.item, Item::Cert(_))) {
            let anchor = entry.trust.as_ref().is_some_and(|t| t.level(Purpose::Server) == Level::Anchor);
            let level = if anchor { Level::Distrusted } else { Level::Anchor };
            entry.trust = Some(formats::model::Trust::all(level));
            entry.attrs.clear();
        }
        let in_place = formats::by_name("nss").unwrap().in_place().unwrap();
        in_place.apply(&db, &store, Some(&|| Ok(())), &ctx).unwrap();
        let after = World::new().load(&source, &secrets).unwrap().store;
        assert!(after.defects.is_empty(), "{golden}: {:?}", after.defects);
        let trust = |s: &Store| {
            let certs = s.entries.iter().filter(|e| matches!(e.item, Item::Cert(_)));
            let mut all: Vec<_> =
                certs.map(|e| (e.label_text().into_owned(), e.trust.as_ref().unwrap().levels)).collect();
            all.sort_by(|a, b| a.0.cmp(&b.0));
            all
        };
        assert_eq!(trust(&after), trust(&store), "{golden}");
        assert_eq!(count("0000000b"), 0, "{golden}: the newer class still says what was");
        assert!(count("ce534353") >= newer, "{golden}");
    }
}

fn nothing_to_do_writes_nothing(db: &Written, in_place: &dyn formats::InPlace) {
    let bytes = || ["cert9.db", "key4.db"].map(|f| std::fs::read(db.db().join(f)).unwrap());
    let before = bytes();
    in_place.apply(&db.db(), &opened(db), Some(&|| Ok(())), &World::new().ctx(&db.secrets)).unwrap();
    assert!(before == bytes(), "a change where there is none");
}

/// The store with every key open, as a job hands it on.
fn opened(db: &Written) -> Store {
    let store = db.store();
    for secret in store.entries.iter().filter_map(Entry::secret) {
        secret.open(&World::new().ctx(&db.secrets)).unwrap();
    }
    store
}

fn held_by_another(db: &Written, in_place: &dyn formats::InPlace, store: &Store) {
    let mut wanted = store.clone();
    wanted.entries.retain(|e| e.label_text() != "renamed");
    let other = rusqlite::Connection::open(db.db().join("cert9.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused =
        in_place.apply(&db.db(), &wanted, Some(&|| Ok(())), &World::new().ctx(&db.secrets)).unwrap_err();
    assert_eq!(refused.kind(), Kind::Busy, "{refused}");
    assert!(db.seen().iter().any(|(l, _)| l == "renamed"), "readers are not disturbed");
    other.execute_batch("ROLLBACK").unwrap();
    let wrong =
        in_place.apply(&db.db(), &wanted, Some(&|| Ok(())), &World::new().ctx(&Passwords::one("wrong")));
    assert_eq!(wrong.unwrap_err().kind(), Kind::Password);
    let unknown = in_place.apply(&db.db(), &wanted, Some(&|| Ok(())), &World::new().ctx(nobody()));
    assert_eq!(unknown.unwrap_err().kind(), Kind::Password);
}

/// A CA that is only wanted in a key's chain stays, but not as an anchor.
fn chains_bring_no_trust(db: &Written, in_place: &dyn formats::InPlace) {
    let root = "Lab Root CA - Keystore Lab";
    let mut wanted = opened(db);
    wanted.entries.retain(|e| e.label_text() != root);
    in_place.apply(&db.db(), &wanted, Some(&|| Ok(())), &World::new().ctx(&db.secrets)).unwrap();
    assert!(db.seen().contains(&(root.to_owned(), ",,".to_owned())), "{:?}", db.seen());
    assert_eq!(db.listed(), db.seen());
}

fn keys_go_when_they_are_to(db: &Written, in_place: &dyn formats::InPlace) {
    let mut wanted = opened(db);
    wanted.entries.retain(|e| e.label_text() != "EC P-384");
    in_place.apply(&db.db(), &wanted, Some(&|| Ok(())), &World::new().ctx(&db.secrets)).unwrap();
    let keys = db.certutil(&["-K"]);
    assert!(!keys.contains("EC P-384") && keys.contains("EC P-256"), "{keys}");
    assert!(!db.seen().iter().any(|(l, _)| l == "EC P-384"));
}

/// Every sound store of other formats, written, read back by the job, and listed by certutil.
#[test]
fn every_store_fits_into_a_database() {
    let mut failures = Vec::new();
    let mut written = 0;
    for case in cases().iter().filter(|c| c.is_ok()) {
        let folder = scratch();
        let world = World::new();
        let (from, to) = (case.passwords(), Passwords::one(PASSWORD));
        let source = Source::open(&case.path).unwrap();
        let db = folder.path().join("db");
        let outcome = jobs::convert::convert(&jobs::convert::Convert {
            from: jobs::Input { source: &source, format: None, ctx: world.ctx(&from) },
            to: jobs::deliver::Target {
                to: jobs::Output::File(&db),
                format: formats::by_name("sql").unwrap(),
                ctx: world.ctx(&to),
                allow: jobs::AllowLoss::All,
                force: false,
                dry_run: false,
                like: None,
                on_step: &|_| Ok(()),
            },
            labels: Vec::new(),
            certs_only: false,
            key_label: None,
        });
        match outcome {
            Ok(done) => {
                written += 1;
                assert!(done.written, "{}", case.name);
                std::fs::write(folder.path().join("password"), PASSWORD).unwrap();
                let secrets = Passwords::one(PASSWORD);
                let database = Written { folder, secrets };
                if database.listed() != database.seen() {
                    failures.push(format!(
                        "{}: {:?} is listed, {:?} is read",
                        case.name,
                        database.listed(),
                        database.seen()
                    ));
                }
            }
            Err(e) => failures.push(format!("{}: {:?}: {e}", case.name, e.kind())),
        }
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
    assert!(written > 100, "only {written}");
}

#[test]
fn a_store_becomes_a_folder_and_is_rebuilt_where_it_is() {
    let work = scratch();
    let path = |name: &str| work.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("password"), PASSWORD).unwrap();
    let keyferry = |arguments: &[&str]| {
        let mut command = crate::support::keyferry();
        run(command.args(arguments).env("KEYFERRY_PASSWORD", PASSWORD))
    };
    let source = testdata("p12/ossl-default.p12").to_str().unwrap().to_owned();
    let (db, spec) = (format!("nss:{}", path("db")), format!("file:{}", path("password")));
    let convert =
        |to: &str| keyferry(&["convert", &source, to, "--password", "pass:changeit", "--to-password", &spec]);
    let made = convert(&db);
    assert_eq!(made.status, 0, "{}{}", made.out, made.err);
    assert_eq!(convert(&db).status, 5, "a folder is never exchanged");
    // An empty folder is where people put a new database.
    std::fs::create_dir(path("empty")).unwrap();
    assert_eq!(convert(&format!("sql:{}", path("empty"))).status, 0);
    let bundle = testdata("demo/ca-bundle.pem");
    let rebuild = || keyferry(&["rebuild", &path("db"), "--bundle", bundle.to_str().unwrap()]);
    let inode = || {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(work.path().join("db/cert9.db")).unwrap().ino()
    };
    let before = inode();
    let first = rebuild();
    assert_eq!(first.status, 0, "{}{}", first.out, first.err);
    assert_eq!(inode(), before, "changed in place");
    let listed = keyferry(&["list", &path("db"), "--json"]);
    let rows: Value = serde_json::from_str(&listed.out).unwrap();
    let rows = rows.as_array().unwrap();
    assert!(rows.iter().filter(|r| r["kind"] == "cert").count() > 100);
    assert_eq!(rows.iter().filter(|r| r["kind"] == "key").count(), 1);
    // What the bundle brought is vouched for; what came for the chain has nothing to vouch for.
    assert!(rows.iter().all(|r| r["authenticated"] != false), "{rows:#?}");
    let proven = rows.iter().filter(|r| r["authenticated"] == true).count();
    assert!(proven > 100, "{proven}");
    let time = || std::fs::metadata(work.path().join("db/cert9.db")).unwrap().modified().unwrap();
    let written = time();
    let again = rebuild();
    assert_eq!((again.status, time()), (0, written), "{}", again.out);
}

/// A database made by `keyferry convert`, and the program run on it.
struct Client {
    work: tempfile::TempDir,
}

impl Client {
    /// With the key and certificate of one PKCS#12, and bundles of all and of a hundred CAs.
    fn new(password: &str) -> Self {
        let client = Client { work: scratch() };
        std::fs::write(client.path("password"), password).unwrap();
        let whole = std::fs::read_to_string(testdata("demo/ca-bundle.pem")).unwrap();
        let end = "-----END CERTIFICATE-----\n";
        std::fs::write(client.path("part.pem"), whole.split_inclusive(end).take(100).collect::<String>())
            .unwrap();
        std::fs::write(client.path("few.pem"), whole.split_inclusive(end).take(3).collect::<String>())
            .unwrap();
        std::fs::write(client.path("whole.pem"), whole).unwrap();
        let mut convert = client.keyferry(&["convert"]);
        convert.arg(testdata("p12/ossl-default.p12")).args(["nss:db", "--password", "pass:changeit"]);
        must(convert.arg("--to-password").arg(format!("file:{}", client.path("password").display())));
        client
    }

    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    fn keyferry(&self, arguments: &[&str]) -> Command {
        let mut command = crate::support::keyferry();
        command.current_dir(self.work.path()).args(arguments);
        command.env("KEYFERRY_PASSWORD", std::fs::read_to_string(self.path("password")).unwrap());
        command
    }

    fn rebuild(&self, bundle: &str) -> Command {
        self.keyferry(&["rebuild", "nss:db", "--bundle", bundle])
    }

    /// What certutil lists, and the keys.
    fn listed(&self, folder: &str) -> String {
        let db = format!("sql:{}", self.path(folder).display());
        let run = |what: &str| {
            let mut command = Command::new("certutil");
            must(command.args([what, "-d", &db, "-f"]).arg(self.path("password"))).out
        };
        run("-L") + &run("-K")
    }

    fn names(&self) -> Vec<String> {
        let list = std::fs::read_dir(self.work.path()).unwrap();
        let names = list.map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names.filter(|n| n.starts_with("db") || n.starts_with('.')).collect();
        names.sort();
        names
    }
}

/// Every row of both databases, as text.
pub fn rows(folder: &Path) -> Vec<String> {
    let mut out = Vec::new();
    for (file, tables) in [("cert9.db", &["nssPublic"][..]), ("key4.db", &["nssPrivate", "metaData"])] {
        let connection = rusqlite::Connection::open(folder.join(file)).unwrap();
        for table in tables {
            let mut statement =
                connection.prepare(&format!("SELECT rowid, * FROM {table} ORDER BY rowid")).unwrap();
            let columns = statement.column_count();
            let mut rows = statement.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let values = (0..columns).map(|c| format!("{:?}", row.get_ref(c).unwrap()));
                out.push(values.filter(|v| v != "Null").collect::<Vec<_>>().join(" "));
            }
        }
    }
    out
}

#[test]
fn a_change_in_place_can_be_taken_back() {
    let client = Client::new(PASSWORD);
    let db = client.path("db");
    let mut states = vec![rows(&db)];
    let mut listings = vec![client.listed("db")];
    for bundle in ["few.pem", "part.pem", "whole.pem"] {
        let done = must(&mut client.rebuild(bundle));
        assert!(done.out.contains(&format!("(old: db.old-{})", states.len())), "{}", done.out);
        states.push(rows(&db));
        listings.push(client.listed("db"));
    }
    let saved = |n: usize| client.path(&format!("db.old-{n}"));
    for n in 1..=3 {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(rows(&saved(n)), states[n - 1], "{n}");
        // It is a database that NSS opens.
        assert_eq!(client.listed(&format!("db.old-{n}")), listings[n - 1]);
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&saved(n)), 0o700);
        assert_eq!(["cert9.db", "key4.db", "pkcs11.txt"].map(|f| mode(&saved(n).join(f))), [0o600; 3]);
    }
    let status = must(&mut client.keyferry(&["status", "nss:db"])).out;
    assert!((1..=3).all(|n| status.contains(&format!("db.old-{n}"))), "{status}");
    let inode = |name: &str| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(db.join(name)).unwrap().ino()
    };
    let before = [inode("cert9.db"), inode("key4.db")];
    let back = || run(client.keyferry(&["rollback", "nss:db"]).env_remove("KEYFERRY_PASSWORD"));
    for n in (0..3).rev() {
        let ran = back();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert!(ran.err.contains(&format!("back to db.old-{}", n + 1)), "{}", ran.err);
        assert_eq!(rows(&db), states[n]);
        assert_eq!(client.listed("db"), listings[n]);
    }
    assert_eq!([inode("cert9.db"), inode("key4.db")], before, "in place");
    assert_eq!(back().status, 5);
    // What was rolled back from is not lost, and a new change goes on from there.
    assert_eq!(rows(&saved(4)), states[3]);
    must(&mut client.rebuild("few.pem"));
    assert_eq!(rows(&saved(5)), states[0]);
    must(client.keyferry(&["prune", "nss:db", "--keep", "0", "--older-than", "0s"]).arg("-q"));
    assert_eq!(client.names(), ["db", "db.lock", "db.update.json"]);
}

#[test]
fn what_fails_after_a_change_in_place_takes_it_back() {
    let client = Client::new(PASSWORD);
    let db = client.path("db");
    must(&mut client.rebuild("whole.pem"));
    let before = rows(&db);
    let failed = run(client.rebuild("few.pem").args(["--exec", "exit 3"]));
    assert_eq!(failed.status, 7, "{}", failed.err);
    assert_eq!(rows(&db), before);
    assert_eq!(client.names(), ["db", "db.lock", "db.old-1", "db.update.json"]);
    // What another program wrote in between is kept as a generation.
    let script = format!(
        "certutil -M -d sql:{} -f {} -n server -t P,, && exit 3",
        db.display(),
        client.path("password").display()
    );
    let failed = run(client.rebuild("few.pem").args(["--exec", &script]));
    assert_eq!(failed.status, 7, "{}", failed.err);
    assert_eq!(rows(&db), before);
    assert!(client.listed("db.old-3").contains("Pu,u,u"), "{}", client.listed("db.old-3"));
    // A store after it fails: the database is put back, and so is everything else.
    std::fs::copy(testdata("java/jks-basic.jks"), client.path("a.jks")).unwrap();
    let mut two = client.keyferry(&["rebuild", "nss:db", "a.jks", "--bundle", "few.pem", "--allow-loss"]);
    two.args(["--password", "a.jks=pass:changeit"]).env("KEYFERRY_FAILPOINT", "rename:2");
    assert_eq!(run(&mut two).status, -1);
    // It was killed, so the database is new and the other store old; the next run ends it.
    assert_ne!(rows(&db), before);
    must(two.env_remove("KEYFERRY_FAILPOINT"));
    must(&mut client.keyferry(&["rollback", "nss:db"]));
    assert_eq!(rows(&db), before);
}

#[test]
fn a_database_that_is_gone_comes_back() {
    let client = Client::new(PASSWORD);
    let db = client.path("db");
    let before = rows(&db);
    must(&mut client.rebuild("few.pem"));
    std::fs::remove_dir_all(&db).unwrap();
    assert_eq!(run(&mut client.keyferry(&["prune", "db", "--keep", "0", "--older-than", "0s"])).status, 5);
    must(&mut client.keyferry(&["rollback", "db"]));
    assert_eq!(rows(&db), before);
    assert!(client.listed("db").contains("server"));
}

/// Another process that runs a script with these arguments until it is killed; it says when it is ready.
struct Other(std::process::Child);

impl Other {
    fn python(script: &str, arguments: &[&Path]) -> Self {
        use std::io::BufRead;
        let script = format!(
            "import fcntl, sqlite3, sys, time\n{script}\nprint('ready', flush=True)\ntime.sleep(600)"
        );
        let mut command = Command::new("python3");
        command.args(["-c", &script]).args(arguments).stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Other(child)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn programs_that_have_it_open_are_named() {
    let client = Client::new(PASSWORD);
    let db = client.path("db");
    let says = |other: &Other, how: &str| {
        for command in [client.rebuild("few.pem").arg("--dry-run"), &mut client.rebuild("few.pem")] {
            let ran = must(command);
            let expected = format!("db: python3 (process {}) has it open; restart python3", other.0.id());
            assert!(ran.err.contains(&expected), "{how}: {}", ran.err);
        }
        let ran = must(&mut client.keyferry(&["rollback", "db"]));
        assert!(ran.err.contains(&format!("(process {}) has it open", other.0.id())), "{how}: {}", ran.err);
    };
    // What NSS does: the file is open, and not locked.
    says(&Other::python("f = open(sys.argv[1], 'rb')", &[&db.join("key4.db")]), "open");
    std::fs::write(db.join(".parentlock"), "").unwrap();
    let lock = "f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX)";
    says(&Other::python(lock, &[&db.join(".parentlock")]), ".parentlock");
    for (name, target) in [("lock", "127.0.1.1:+"), ("SingletonLock", "host-")] {
        let other = Other::python("", &[]);
        std::os::unix::fs::symlink(format!("{target}{}", other.0.id()), db.join(name)).unwrap();
        says(&other, name);
        // It is gone, and its link is not.
    }
    let ran = must(&mut client.rebuild("few.pem"));
    assert!(!ran.err.contains("has it open"), "{}", ran.err);
}

#[test]
fn write_ahead_logs_are_put_away_for_a_change() {
    let client = Client::new(PASSWORD);
    let db = client.path("db");
    let mode = |name: &str| {
        let head = std::fs::read(db.join(name)).unwrap();
        (head[18], head[19])
    };
    let set = "for f in sys.argv[1:]: sqlite3.connect(f).execute('PRAGMA journal_mode = wal').fetchall()";
    drop(Other::python(set, &[&db.join("cert9.db"), &db.join("key4.db")]));
    assert_eq!(["cert9.db", "key4.db"].map(mode), [(2, 2); 2]);
    let before = rows(&db);
    let listed = client.listed("db");
    let files = || {
        let mut names: Vec<_> = std::fs::read_dir(&db).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let kept = files();
    must(client.rebuild("few.pem").arg("--dry-run"));
    assert_eq!(files(), kept, "a dry run writes nothing");
    must(&mut client.rebuild("few.pem"));
    assert_ne!(rows(&db), before);
    assert!(client.listed("db").contains("server"));
    assert_eq!(["cert9.db", "key4.db"].map(mode), [(2, 2); 2], "as it was");
    must(&mut client.keyferry(&["rollback", "db"]));
    assert_eq!((rows(&db), client.listed("db")), (before.clone(), listed.clone()));
    assert_eq!(["cert9.db", "key4.db"].map(mode), [(2, 2); 2]);
    // Going back once more does not go forward.
    assert_eq!(run(&mut client.keyferry(&["rollback", "db"])).status, 5);
    // Somebody has it open: SQLite can't take both files to rollback journals then.
    let reads = "c = sqlite3.connect(sys.argv[1]); c.execute('SELECT count(*) FROM nssPublic').fetchall()";
    let other = Other::python(reads, &[&db.join("cert9.db")]);
    let ran = run(&mut client.rebuild("few.pem"));
    assert_eq!(ran.status, 6, "{}", ran.err);
    assert!(ran.err.contains("write-ahead log") && ran.err.contains("close the browser"), "{}", ran.err);
    drop(other);
    // A program that was killed leaves a log, which the next change takes in.
    let writes = "c = sqlite3.connect(sys.argv[1]); c.execute(\"UPDATE nssPublic SET a3 = x'6162' WHERE a0 = x'00000001'\"); c.commit()";
    drop(Other::python(writes, &[&db.join("cert9.db")]));
    assert!(std::fs::metadata(db.join("cert9.db-wal")).unwrap().len() > 0);
    let ran = run(&mut client.keyferry(&["list", "db"]));
    assert_eq!(ran.status, 6, "{}", ran.err);
    must(&mut client.rebuild("few.pem"));
    assert!(client.listed("db").contains("ab "), "{}", client.listed("db"));
}

/// A PKCS #11 module of NSS's own packages.
fn real_module() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().map(|e| e.unwrap().path());
    let places = folders.flat_map(|f| ["nss/libnssckbi.so", "libnssckbi.so"].map(|name| f.join(name)));
    places.into_iter().find(|p| p.is_file()).expect("libnss3 has a module with the web's CAs")
}

#[test]
fn modules_are_listed_and_added() {
    let client = Client::new(PASSWORD);
    let list = client.path("db/pkcs11.txt");
    let golden = std::fs::read(testdata("nss/module/pkcs11.txt")).unwrap();
    std::fs::write(&list, &golden).unwrap();
    let listed = must(&mut client.keyferry(&["nss", "module", "list", "nss:db", "--json"])).out;
    assert_eq!(
        serde_json::from_str::<Value>(&listed).unwrap(),
        serde_json::json!([
            {"name": "NSS Internal PKCS #11 Module"},
            {"name": "SoftHSM 2", "library": "/opt/example/lib/libexample-pkcs11.so"},
        ])
    );
    let library = real_module();
    let add = |name: &str, library: &Path| {
        let mut command = client.keyferry(&["nss", "module", "add", "db", "--name", name, "--library"]);
        run(command.arg(library))
    };
    let added = add("The web's CAs", &library);
    assert_eq!(added.status, 0, "{}", added.err);
    assert!(added.err.contains("(old: db/pkcs11.txt.old-1)"), "{}", added.err);
    let now = std::fs::read(&list).unwrap();
    let stanza = format!("library={}\nname=The web's CAs\n\n", library.display());
    assert_eq!(now, [&golden[..], stanza.as_bytes()].concat());
    // What NSS makes of it: it loads the module, and certutil lists what its token holds.
    let db = format!("sql:{}", client.path("db").display());
    let modutil =
        |arguments: &[&str]| must(Command::new("modutil").args(["-dbdir", &db]).args(arguments)).out;
    let shown = modutil(&["-list"]);
    assert!(shown.contains(". SoftHSM 2") && shown.contains(". The web's CAs"), "{shown}");
    assert!(shown.contains(&format!("library name: {}", library.display())), "{shown}");
    assert!(modutil(&["-list", "The web's CAs"]).contains("Token Name: Builtin Object Token"));
    let mut all = Command::new("certutil");
    let all = must(all.args(["-L", "-h", "all", "-d", &db, "-f"]).arg(client.path("password"))).out;
    assert!(all.lines().count() > 50, "{all}");
    // Twice is once; a name or a library is taken once.
    assert_eq!(add("The web's CAs", &library).status, 0);
    assert_eq!(std::fs::read(&list).unwrap(), now);
    assert_eq!(add("SoftHSM 2", &library).status, 5);
    assert_eq!(add("Another", &library).status, 5);
    assert_eq!(add("Another", Path::new("/nowhere/lib.so")).status, 5);
    assert_eq!(add("two\nlines", Path::new("lib.so")).status, 5);
    assert_eq!(std::fs::read(&list).unwrap(), now);
    // modutil changes the list, and we read that; then back to the list before.
    modutil(&["-force", "-delete", "SoftHSM 2"]);
    let listed = must(&mut client.keyferry(&["nss", "module", "list", "db"])).out;
    assert!(listed.contains("The web's CAs  /") && !listed.contains("SoftHSM"), "{listed}");
    must(&mut client.keyferry(&["rollback", "db/pkcs11.txt"]));
    assert_eq!(std::fs::read(&list).unwrap(), golden);
    // Without a list there is one module, and a list is made.
    std::fs::remove_file(&list).unwrap();
    let listed = must(&mut client.keyferry(&["nss", "module", "list", "db"])).out;
    assert_eq!(listed, "NSS Internal PKCS #11 Module  (NSS itself)\n");
    assert_eq!(add("The web's CAs", &library).status, 0);
    assert!(modutil(&["-list"]).contains("2. The web's CAs"));
    // A rebuild leaves the list alone.
    let now = std::fs::read(&list).unwrap();
    must(&mut client.rebuild("few.pem"));
    assert_eq!(std::fs::read(&list).unwrap(), now);
}
