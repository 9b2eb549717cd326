//! Keys, requests, certificates and revocation lists, between us and OpenSSL, keytool, certutil and GSKit: each
//! asks for certificates that we sign, and signs what we ask for.

use crate::docs::shown_commands;
use crate::edit::peers_agree;
use crate::kdb::{TlsServer, gskit, oracle, without_gskit};
use crate::support::{Ran, keyferry, must, root, run, scratch};
use formats::asn1::cert_fields;
use formats::jobs::revocation::{OcspRequest, Status, by_crl};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

const PASSWORD: &str = "secret1";

/// A folder with an authority in it: `root`, and `sub` below it, in `ca.p12`; `root.pem` and `sub.pem` are their
/// certificates, `seed.pem` is a stranger's.
struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    fn new() -> Lab {
        let lab = Lab { dir: scratch() };
        lab.write("pw", PASSWORD);
        let seed = ["-keyout", "seed.key", "-out", "seed.pem", "-subj", "/CN=seed", "-days", "3000"];
        lab.tool("openssl", &[&["req", "-x509", "-newkey", "rsa:2048", "-nodes"], &seed[..]].concat());
        lab.does(&["convert", "seed.pem", "ca.p12"]);
        let root = ["--type", "rsa:2048", "--profile", "ca", "--dn", "CN=Root,O=SSS,C=GB", "--days", "3650"];
        lab.does(&[&["keygen", "ca.p12", "--label", "root"], &root[..]].concat());
        lab.does(&["convert", "ca.p12", "root.pem", "--label", "root", "--certs-only"]);
        lab.asks("ca.p12", "sub", &["--key-type", "ec:p384", "--dn", "CN=Sub,O=SSS,C=GB"]);
        lab.signs("sub", &["--profile", "ca", "--path-length", "0", "--days", "2000", "--no-chain"], "root");
        lab.does(&["request", "receive", "ca.p12", "sub.pem"]);
        lab
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.at(name), text).unwrap();
    }

    fn ours(&self, arguments: &[&str]) -> Command {
        let mut command = keyferry();
        command.args(arguments).current_dir(self.dir.path()).env("KEYFERRY_PASSWORD", PASSWORD);
        command
    }

    #[track_caller]
    fn does(&self, arguments: &[&str]) -> Ran {
        must(&mut self.ours(arguments))
    }

    #[track_caller]
    fn refuses(&self, status: i32, arguments: &[&str]) -> String {
        let ran = run(&mut self.ours(arguments));
        assert_eq!(ran.status, status, "{arguments:?}\n{}", ran.err);
        ran.err
    }

    #[track_caller]
    fn tool(&self, name: &str, arguments: &[&str]) -> Ran {
        must(Command::new(name).args(arguments).current_dir(self.dir.path()).env("LC_ALL", "C.UTF-8"))
    }

    /// A request of ours: `LABEL.csr`.
    #[track_caller]
    fn asks(&self, store: &str, label: &str, options: &[&str]) {
        let csr = format!("{label}.csr");
        let all =
            [&["request", "create", store, "--label", label, "--file", &csr, "--force"], options].concat();
        self.does(&all);
    }

    /// `NAME.pem` for `NAME.csr`, by a key of ca.p12.
    #[track_caller]
    fn signs(&self, name: &str, options: &[&str], ca: &str) -> Ran {
        let (csr, pem, ca) = (format!("{name}.csr"), format!("{name}.pem"), format!("ca.p12#{ca}"));
        self.does(&[&["request", "sign", &csr, "--ca", &ca, "--file", &pem, "--force"], options].concat())
    }

    /// A store with a stranger's certificate.
    fn store(&self, format: &str, name: &str) {
        self.does(&["convert", "seed.pem", &format!("{format}:{name}")]);
    }

    fn rows(&self, store: &str) -> Vec<Value> {
        serde_json::from_str(&self.does(&["list", "--json", store]).out).unwrap()
    }

    #[track_caller]
    fn row(&self, store: &str, label: &str) -> Value {
        let rows = self.rows(store);
        let found = rows.iter().find(|r| r["label"] == label);
        found.unwrap_or_else(|| panic!("no {label} in {rows:#?}")).clone()
    }

    /// The format's own tool lists a store as we do.
    fn shows(&self, store: &str, format: &str, what: &str) {
        let format = formats::by_name(format).unwrap();
        peers_agree(&self.at(store), PASSWORD, format, &format!("{}: {what}", format.name()));
    }

    fn openssl_verifies(&self, files: &[&str]) {
        let all =
            [&["verify", "-x509_strict", "-CAfile", "root.pem", "-untrusted", "sub.pem"], files].concat();
        self.tool("openssl", &all);
    }

    fn der(&self, pem: &str) -> Vec<u8> {
        pem::parse_many(std::fs::read(self.at(pem)).unwrap()).unwrap()[0].contents().to_vec()
    }
}

#[test]
fn a_key_lives_from_its_request_to_its_renewal_in_every_format() {
    let lab = Lab::new();
    for format in ["kdb", "jks", "jceks", "p12", "pem", "nss"] {
        let store = format!("life.{format}");
        lab.store(format, &store);
        let kind: &[&str] =
            &["--key-type", "ec:p256", "--dn", "CN=bob,O=SSS,C=GB", "--san", "dns:bob.example"];
        lab.asks(&store, "bob", &[kind, &["--eku", "clientAuth,emailProtection"]].concat());
        let listed = lab.does(&["request", "list", "--json", &store]).out;
        let listed: Value = serde_json::from_str(&listed).unwrap();
        assert_eq!(
            (listed.as_array().map(Vec::len), &listed[0]["label"]),
            (Some(1), &"bob".into()),
            "{format}"
        );
        // NSS alone does not keep the name.
        assert_eq!(
            listed[0]["subject"].as_str(),
            (format != "nss").then_some("CN=bob,O=SSS,C=GB"),
            "{format}"
        );
        lab.tool("openssl", &["req", "-in", "bob.csr", "-verify", "-noout"]);
        lab.signs("bob", &["--copy", "usages", "--days", "300"], "sub");
        lab.openssl_verifies(&["bob.pem"]);
        lab.does(&["request", "receive", &store, "bob.pem"]);
        lab.refuses(1, &["request", "list", &store]);
        lab.shows(&store, format, "received");
        let first = lab.row(&store, "bob");
        assert_eq!(
            (&first["kind"], first["chain"].as_array().map(Vec::len)),
            (&"key".into(), Some(3)),
            "{format}"
        );
        // Nothing of the chain is trusted for having come along.
        for row in lab.rows(&store) {
            let name = row["subject"].as_str().unwrap();
            let anchor = row["kind"] == "cert" && row["trust"].as_array().is_some_and(|t| !t.is_empty());
            assert!(!anchor || name == "CN=seed", "{format}: {row}");
        }

        // A new key takes over at once.
        lab.does(&["renew", &store, "bob", "--new-key", "--file", "new.csr", "--force"]);
        assert_eq!(lab.row(&store, "bob")["sha256"], first["sha256"], "{format}");
        let asked = lab.does(&["request", "show", "--json", "new.csr"]).out;
        let asked: Value = serde_json::from_str(&asked).unwrap();
        assert_eq!(asked["subject"], "CN=bob,O=SSS,C=GB");
        assert_eq!(asked["alternative_names"], serde_json::json!(["dns:bob.example"]));
        assert_eq!(asked["extended_key_usage"], serde_json::json!(["clientAuth", "emailProtection"]));
        lab.signs("new", &["--days", "400"], "sub");
        lab.does(&["request", "receive", &store, "new.pem"]);
        lab.shows(&store, format, "renewed");
        let rows = lab.rows(&store);
        let keys: Vec<&Value> = rows.iter().filter(|r| r["kind"] == "key").collect();
        assert_eq!(keys.len(), 2, "{format}: {rows:#?}");
        let fresh = keys.iter().find(|k| k["sha256"] != first["sha256"]).unwrap();
        assert_ne!(fresh["spki_sha256"], first["spki_sha256"], "{format}");
        assert_eq!(fresh["label"], "bob", "{format}");
        let old = keys.iter().find(|k| k["sha256"] == first["sha256"]).unwrap();
        let label = old["label"].as_str().unwrap();
        assert!(format == "nss" || label.starts_with("bob (old 20"), "{format}: {label}");

        // The same key, published before it is used.
        lab.does(&["renew", &store, "bob", "--file", "same.csr", "--force"]);
        lab.signs("same", &["--days", "500"], "sub");
        let publish = ["renew", &store, "bob", "--publish", "same.pem", "--file", "bundle.pem", "--force"];
        if format == "nss" {
            assert!(lab.refuses(3, &publish).contains("of one subject alike"));
            continue;
        }
        lab.refuses(5, &["renew", &store, "bob", "--activate"]);
        lab.does(&publish);
        // As after a run that was cut off before it wrote the file.
        lab.does(&publish);
        lab.shows(&store, format, "published");
        assert_eq!(lab.row(&store, "bob")["sha256"], fresh["sha256"], "{format}: not before it is told");
        assert_eq!(lab.der("bundle.pem"), lab.der("same.pem"));
        lab.does(&["renew", &store, "bob", "--activate"]);
        lab.shows(&store, format, "activated");
        let now = lab.row(&store, "bob");
        assert_ne!(now["sha256"], fresh["sha256"], "{format}");
        assert_eq!(now["spki_sha256"], fresh["spki_sha256"], "{format}");
        assert_eq!(lab.rows(&store).iter().filter(|r| r["kind"] == "key").count(), 3, "{format}");
        lab.refuses(5, &["renew", &store, "bob", "--activate"]);
    }
}

#[test]
fn a_default_key_hands_its_mark_to_its_successor() {
    let lab = Lab::new();
    lab.store("kdb", "mark.kdb");
    lab.does(&["keygen", "mark.kdb", "--label", "ann", "--type", "ec", "--dn", "CN=ann"]);
    lab.does(&["default", "mark.kdb", "ann"]);
    lab.does(&["renew", "mark.kdb", "ann", "--new-key", "--file", "ann.csr"]);
    lab.signs("ann", &[], "sub");
    lab.does(&["request", "receive", "mark.kdb", "ann.pem"]);
    assert_eq!(lab.does(&["default", "mark.kdb"]).out, "ann\n");
    assert_eq!(lab.row("mark.kdb", "ann")["issuer"], "CN=Sub,O=SSS,C=GB");
}

#[test]
fn other_authorities_sign_what_we_ask_for() {
    let lab = Lab::new();
    let name = ["--dn", "/C=GB/O=SSS/CN=us", "--san", "dns:us.example", "--ku", "digitalSignature"];
    // openssl ca, with every kind of key that OpenSSL knows.
    lab.write("index.txt", "");
    lab.write("serial", "01");
    lab.write(
        "ca.cnf",
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\nserial=serial\ndefault_md=sha256\n\
         default_days=50\npolicy=p\ncopy_extensions=copy\nunique_subject=no\nx509_extensions=x\n[x]\n\
         basicConstraints=CA:FALSE\n[p]\ncountryName=match\norganizationName=match\ncommonName=supplied\n",
    );
    let oca = ["-keyout", "oca.key", "-out", "oca.pem", "-subj", "/C=GB/O=SSS/CN=OpenSSL CA", "-days", "90"];
    lab.tool("openssl", &[&["req", "-x509", "-newkey", "rsa:2048", "-nodes"], &oca[..]].concat());
    lab.store("p12", "us.p12");
    for kind in ["rsa:2048", "ec:p256", "ec:p384", "ec:p521", "ed25519"] {
        let label = kind.replace(':', "-");
        let (csr, pem) = (format!("{label}.csr"), format!("{label}.pem"));
        lab.asks("us.p12", &label, &[&name[..], &["--key-type", kind]].concat());
        let ca = ["ca", "-batch", "-config", "ca.cnf", "-cert", "oca.pem", "-keyfile", "oca.key", "-notext"];
        lab.tool("openssl", &[&ca[..], &["-in", &csr, "-out", &pem]].concat());
        lab.does(&["request", "receive", "us.p12", &pem]);
        let text = lab.tool("openssl", &["x509", "-in", &pem, "-noout", "-text"]).out;
        assert!(text.contains("DNS:us.example") && text.contains("Digital Signature"), "{kind}: {text}");
        assert_eq!(lab.row("us.p12", &label)["issuer"], "CN=OpenSSL CA,O=SSS,C=GB");
    }
    // keytool -gencert, for a key in a JKS.
    let ca = ["-keystore", "kca.jks", "-storetype", "JKS", "-storepass", PASSWORD, "-keypass", PASSWORD];
    let new = ["-alias", "ca", "-keyalg", "RSA", "-keysize", "2048", "-dname", "CN=Java CA", "-ext", "bc:c"];
    lab.tool("keytool", &[&["-genkeypair"], &ca[..], &new[..]].concat());
    lab.store("jks", "us.jks");
    lab.asks("us.jks", "us", &[&name[..], &["--key-type", "rsa:2048"]].concat());
    let files = ["-alias", "ca", "-infile", "us.csr", "-outfile", "us.pem", "-rfc", "-ext", "honored=all"];
    lab.tool("keytool", &[&["-gencert"], &ca[..], &files[..]].concat());
    lab.does(&["request", "receive", "us.jks", "us.pem"]);
    let shown =
        lab.tool("keytool", &["-list", "-v", "-alias", "us", "-keystore", "us.jks", "-storepass", PASSWORD]);
    assert!(shown.out.contains("Issuer: CN=Java CA") && shown.out.contains("us.example"), "{}", shown.out);
    // certutil -C, for a key in an NSS database.
    lab.write("noise", [7u8; 1000]);
    std::fs::create_dir(lab.at("nca")).unwrap();
    lab.tool("certutil", &["-N", "-d", "sql:nca", "-f", "pw"]);
    let new = ["-n", "ca", "-s", "CN=NSS CA", "-x", "-t", "CT,C,C", "-v", "12", "-g", "2048", "-z", "noise"];
    lab.tool("certutil", &[&["-S", "-d", "sql:nca", "-f", "pw"], &new[..]].concat());
    lab.store("nss", "us.nss");
    lab.asks("us.nss", "nss-us", &[&name[..], &["--key-type", "rsa:2048"]].concat());
    let files = ["-c", "ca", "-i", "nss-us.csr", "-a", "-o", "nss-us.pem", "-m", "7", "-v", "3"];
    lab.tool("certutil", &[&["-C", "-d", "sql:nca", "-f", "pw"], &files[..]].concat());
    lab.does(&["request", "receive", "us.nss", "nss-us.pem"]);
    let keys = lab.tool("certutil", &["-K", "-d", "sql:us.nss", "-f", "pw"]).out;
    assert!(keys.contains("nss-us"), "{keys}");
}

#[test]
fn what_others_ask_for_we_sign_and_they_receive() {
    let lab = Lab::new();
    // keytool, both ways: received by keytool itself and by us.
    for (store, kind) in [("theirs.jks", "JKS"), ("theirs.p12", "PKCS12")] {
        let keystore = ["-keystore", store, "-storetype", kind, "-storepass", PASSWORD, "-alias", "kt"];
        let new =
            ["-keyalg", "RSA", "-keysize", "2048", "-dname", "CN=kt, O=SSS, C=GB", "-keypass", PASSWORD];
        lab.tool("keytool", &[&["-genkeypair"], &keystore[..], &new[..]].concat());
        lab.tool(
            "keytool",
            &[&["-certreq", "-file", "kt.csr", "-ext", "san=dns:kt.example"], &keystore[..]].concat(),
        );
        lab.signs("kt", &["--profile", "server"], "sub");
        lab.openssl_verifies(&["-purpose", "sslserver", "kt.pem"]);
        std::fs::copy(lab.at(store), lab.at("copy")).unwrap();
        let import = ["-importcert", "-noprompt", "-trustcacerts", "-file", "kt.pem"];
        lab.tool("keytool", &[&import[..], &keystore[..]].concat());
        lab.does(&["request", "receive", "copy", "kt.pem"]);
        let (own, theirs) = (lab.rows("copy"), lab.rows(store));
        assert_eq!((own.len(), &own[0]["chain"]), (1, &theirs[0]["chain"]), "{store}");
        assert_eq!(own[0]["chain"].as_array().map(Vec::len), Some(3));
    }
    // certutil.
    lab.write("noise", [9u8; 1000]);
    std::fs::create_dir(lab.at("theirs")).unwrap();
    lab.tool("certutil", &["-N", "-d", "sql:theirs", "-f", "pw"]);
    lab.tool(
        "certutil",
        &["-A", "-d", "sql:theirs", "-f", "pw", "-n", "root", "-t", "CT,C,C", "-a", "-i", "root.pem"],
    );
    let new = ["-s", "CN=nssreq,O=SSS,C=GB", "-k", "rsa", "-g", "2048", "-z", "noise", "-a", "-o", "nr.csr"];
    lab.tool("certutil", &[&["-R", "-d", "sql:theirs", "-f", "pw"], &new[..]].concat());
    lab.signs("nr", &[], "sub");
    lab.tool("cp", &["-r", "theirs", "ours"]);
    lab.tool(
        "certutil",
        &["-A", "-d", "sql:theirs", "-f", "pw", "-n", "nssreq", "-t", ",,", "-a", "-i", "nr.pem"],
    );
    lab.does(&["request", "receive", "ours", "nr.pem"]);
    for database in ["sql:theirs", "sql:ours"] {
        let keys = lab.tool("certutil", &["-K", "-d", database, "-f", "pw"]).out;
        assert!(keys.contains("nssreq"), "{database}: {keys}");
    }
    let valid = |usage: &str| {
        let mut command = Command::new("certutil");
        command
            .args(["-V", "-d", "sql:ours", "-f", "pw", "-n", "nssreq", "-u", usage])
            .current_dir(lab.dir.path());
        run(&mut command).status == 0
    };
    assert!(valid("C"), "a client's certificate");
    assert!(!valid("V"), "a server's it is not");
}

#[test]
fn gskit_and_we_receive_what_the_other_asked_for() {
    if without_gskit() {
        return;
    }
    let lab = Lab::new();
    let kdb = lab.at("both.kdb");
    lab.does(&["convert", "root.pem", "both.kdb"]);
    let pw = ["--pw", PASSWORD];
    let asks = |label: &str| {
        let (dn, csr) = (format!("CN={label},O=SSS,C=GB"), lab.at(&format!("{label}.csr")));
        let more = ["--label", label, "--dn", &dn, "--out", csr.to_str().unwrap()];
        gskit(&["create-req"], &kdb, &[&pw[..], &more[..]].concat());
    };
    let receives = |label: &str| {
        let pem = lab.at(&format!("{label}.pem"));
        gskit(&["receive"], &kdb, &[&pw[..], &["--file", pem.to_str().unwrap()]].concat());
    };
    // GSKit wants the signers there before it receives; with ours they come along.
    for (label, profile) in [("gskit-ours", "client"), ("gskit-ams", "ams")] {
        asks(label);
        lab.signs(label, &["--profile", profile], "sub");
        lab.does(&["request", "receive", "both.kdb", &format!("{label}.pem")]);
    }
    lab.asks("both.kdb", "ours-gskit", &["--key-type", "rsa:2048", "--dn", "CN=ours-gskit,O=SSS,C=GB"]);
    let listed = gskit(&["list"], &kdb, &pw);
    assert_eq!(listed["requests"], serde_json::json!(["ours-gskit"]));
    lab.signs("ours-gskit", &[], "sub");
    receives("ours-gskit");
    asks("gskit-gskit");
    lab.signs("gskit-gskit", &[], "sub");
    receives("gskit-gskit");
    for label in ["gskit-ours", "gskit-ams", "ours-gskit", "gskit-gskit"] {
        let row = lab.row("both.kdb", label);
        assert_eq!(
            (&row["kind"], row["chain"].as_array().map(Vec::len)),
            (&"key".into(), Some(3)),
            "{label}"
        );
        gskit(&["validate"], &kdb, &[&pw[..], &["--label", label]].concat());
    }
    lab.refuses(1, &["request", "list", "both.kdb"]);
    // The signer that came along is below an anchor; in a store that trusts neither it stays without trust.
    let trust = |store: &str| {
        lab.rows(store).iter().find(|r| r["subject"] == "CN=Sub,O=SSS,C=GB").unwrap()["trust"].clone()
    };
    assert_eq!(trust("both.kdb").as_array().map(Vec::len), Some(4));
    lab.store("kdb", "apart.kdb");
    lab.asks("apart.kdb", "apart", &["--key-type", "ec", "--dn", "CN=apart"]);
    lab.signs("apart", &[], "sub");
    lab.does(&["request", "receive", "apart.kdb", "apart.pem"]);
    assert!(trust("apart.kdb").as_array().is_none_or(|t| t.is_empty()));

    // All of them, and a successor of one, prove themselves to a server that knows the root alone.
    lab.store("p12", "server.p12");
    let server = ["--key-type", "rsa:2048", "--dn", "CN=localhost", "--san", "dns:localhost"];
    lab.asks("server.p12", "localhost", &server);
    lab.signs("localhost", &["--profile", "server", "--no-chain"], "root");
    lab.does(&["request", "receive", "server.p12", "localhost.pem"]);
    let key = ["server.p12", "pem:server.pem", "--label", "localhost", "--to-password", "none"];
    lab.does(&[&["convert"], &key[..]].concat());
    lab.tool("openssl", &["pkey", "-in", "server.pem", "-out", "localhost.key"]);
    std::fs::copy(lab.at("root.pem"), lab.at("ca.pem")).unwrap();
    lab.does(&["renew", "both.kdb", "gskit-ours", "--new-key", "--file", "next.csr"]);
    lab.signs("next", &["--profile", "client"], "sub");
    lab.does(&["request", "receive", "both.kdb", "next.pem"]);
    let server = TlsServer::start(lab.dir.path());
    // The key that GSKit made and whose certificate we took in has moved aside.
    let rows = lab.rows("both.kdb");
    let old = rows.iter().filter_map(|r| r["label"].as_str()).find(|l| l.starts_with("gskit-ours (old "));
    for (label, enters) in [
        ("ours-gskit", true),
        ("gskit-gskit", true),
        (old.unwrap(), true),
        ("gskit-ours", true),
        ("nobody", false),
    ] {
        let mut shake = oracle();
        shake.arg("handshake").arg(&kdb).args(pw).args(["--label", label, "--connect", &server.address]);
        let ran = run(&mut shake);
        let said = server.said.lock().unwrap().clone();
        assert_eq!(ran.status == 0, enters, "{label}: {}{}\n{said}", ran.out, ran.err);
    }
}

/// What the system's tools don't know yet, a newer OpenSSL does.
#[test]
fn keys_of_ml_dsa_are_signed_for_and_by_others() {
    let lab = Lab::new();
    let peer = |arguments: &[&str]| {
        let mut python = Command::new(root().join(".venv/bin/python"));
        python.arg(root().join("tests/oracles/mldsa.py")).args(arguments).current_dir(lab.dir.path());
        must(&mut python).out
    };
    let ca = ["--type", "ml-dsa-65", "--profile", "ca", "--dn", "CN=PQ Root", "--days", "900"];
    lab.does(&[&["keygen", "ca.p12", "--label", "pq"], &ca[..]].concat());
    lab.does(&["convert", "ca.p12", "pq.pem", "--label", "pq", "--certs-only"]);
    for (kind, bits) in [("ml-dsa-44", "44"), ("ml-dsa-65", "65"), ("ml-dsa-87", "87")] {
        // Ours, signed by us and by them.
        let store = format!("p12:{kind}.p12");
        lab.does(&["create", &store, "--to-password", "env:KEYFERRY_PASSWORD"]);
        lab.asks(&store, kind, &["--key-type", kind, "--dn", "CN=us"]);
        assert_eq!(peer(&["request", &format!("{kind}.csr")]), "CN=us\n");
        lab.signs(kind, &[], "pq");
        peer(&["verify", "pq.pem", &format!("{kind}.pem")]);
        lab.does(&["request", "receive", &store, &format!("{kind}.pem")]);
        peer(&["make", "theirs", bits]);
        let by_them = format!("{kind}-them.pem");
        peer(&["sign", "theirs", &format!("{kind}.csr"), &by_them]);
        lab.does(&["request", "receive", &store, &by_them]);
        assert_eq!(lab.row(&store, kind)["chain"].as_array().map(Vec::len), Some(2));
        lab.does(&["convert", &store, "pem:plain.key", "--label", kind, "--to-password", "none", "--force"]);
        peer(&["same", "plain.key", &by_them]);
        // Theirs: the request signed by us, the key and the certificate read.
        lab.signs("theirs", &[], "pq");
        let shown = lab.does(&["request", "show", "theirs.csr"]).out;
        assert!(shown.contains("CN=theirs"), "{shown}");
    }
    peer(&["make", "theirs", "65"]);
    lab.does(&["add", "ml-dsa-65.p12", "theirs.key", "--label", "theirs"]);
    lab.does(&["request", "recreate", "ml-dsa-65.p12", "theirs", "--dn", "CN=again", "--file", "again.csr"]);
    assert_eq!(peer(&["request", "again.csr"]), "CN=again\n");
    // A signature that is none.
    let mut forged = lab.der("theirs.csr");
    let at = forged.len() - 5;
    forged[at] ^= 1;
    lab.write("forged.csr", &forged);
    lab.refuses(3, &["request", "sign", "forged.csr", "--ca", "ca.p12#pq", "--file", "no.pem"]);
}

/// GSKit goes on opening a kdb with keys that it doesn't know, and whoever makes one is told.
#[test]
fn a_kdb_with_keys_of_ml_dsa_opens_in_gskit() {
    if without_gskit() {
        return;
    }
    let lab = Lab::new();
    lab.store("kdb", "pq.kdb");
    lab.does(&["keygen", "pq.kdb", "--label", "ec", "--type", "ec", "--dn", "CN=ec"]);
    let ran = lab.does(&["keygen", "pq.kdb", "--label", "pq", "--type", "ml-dsa-65", "--dn", "CN=pq"]);
    assert!(ran.err.contains("does not see this key"), "{}", ran.err);
    let listed = gskit(&["list"], &lab.at("pq.kdb"), &["--pw", PASSWORD]);
    let labels: Vec<_> = listed["entries"].as_array().unwrap().iter().map(|e| &e["label"]).collect();
    assert!(labels.iter().any(|l| *l == "ec") && !labels.iter().any(|l| *l == "pq"), "{listed}");
}

#[test]
fn an_authority_keeps_to_its_limits() {
    let lab = Lab::new();
    lab.store("p12", "x.p12");
    lab.asks("x.p12", "ec", &["--key-type", "ec", "--dn", "CN=x"]);
    let sign = |csr: &str, options: &[&str]| {
        let mut all = vec!["request", "sign", csr, "--file", "no.pem"];
        all.extend_from_slice(options);
        lab.refuses(5, &all)
    };
    assert!(sign("ec.csr", &["--ca", "ca.p12#sub", "--profile", "ca"]).contains("path length"));
    assert!(sign("ec.csr", &["--ca", "ca.p12#root", "--not-after", "2099-01-01"]).contains("ends before"));
    assert!(sign("ec.csr", &["--ca", "ca.p12#root", "--not-after", "2001-01-01"]).contains("ended"));
    assert!(sign("ec.csr", &["--ca", "ca.p12#root", "--profile", "ams"]).contains("RSA"));
    assert!(sign("ec.csr", &["--ca", "ca.p12"]).contains("STORE#LABEL"));
    assert!(sign("ec.csr", &["--ca", "ca.p12#nobody"]).contains("nobody"));
    lab.does(&["keygen", "ca.p12", "--label", "leaf", "--type", "ec", "--dn", "CN=leaf"]);
    assert!(sign("ec.csr", &["--ca", "ca.p12#leaf"]).contains("authority"));
    // A weak key, and a request that somebody else's key signed.
    let weak =
        ["-newkey", "rsa:1024", "-nodes", "-subj", "/CN=weak", "-keyout", "weak.key", "-out", "weak.csr"];
    lab.tool("openssl", &[&["req"], &weak[..]].concat());
    assert!(sign("weak.csr", &["--ca", "ca.p12#root"]).contains("1024"));
    let mut forged = lab.der("ec.csr");
    let at = forged.len() - 5;
    forged[at] ^= 1;
    lab.write("forged.csr", &forged);
    lab.refuses(3, &["request", "sign", "forged.csr", "--ca", "ca.p12#root", "--file", "no.pem"]);
    assert!(!lab.at("no.pem").exists());
    // A request can't make itself an authority.
    lab.write("greedy.cnf", "[req]\ndistinguished_name=d\nreq_extensions=e\n[d]\n[e]\nbasicConstraints=CA:TRUE\nkeyUsage=keyCertSign\n");
    let greedy =
        ["-newkey", "rsa:2048", "-nodes", "-subj", "/CN=greedy", "-keyout", "g.key", "-out", "greedy.csr"];
    lab.tool("openssl", &[&["req", "-config", "greedy.cnf"], &greedy[..]].concat());
    let said = lab.signs("greedy", &["--copy", "usages"], "root").err;
    assert!(said.contains("basicConstraints") && said.contains("keyUsage"), "{said}");
    assert!(!cert_fields(&lab.der("greedy.pem")).unwrap().is_ca());
    // Certificates of one name have serial numbers of twenty octets, no two alike.
    lab.signs("ec", &[], "root");
    let first = lab.der("ec.pem");
    lab.signs("ec", &[], "root");
    let second = lab.der("ec.pem");
    let serial = |c: &[u8]| cert_fields(c).unwrap().serial.to_vec();
    assert!(serial(&first).len() == 20 && serial(&first) != serial(&second));
}

#[test]
fn a_certificate_that_nobody_waits_for_names_those_who_do() {
    let lab = Lab::new();
    lab.store("kdb", "a.kdb");
    lab.store("jks", "b.jks");
    lab.store("pem", "c.pem");
    lab.asks("a.kdb", "ann", &["--key-type", "ec", "--dn", "CN=ann,O=SSS"]);
    lab.asks("b.jks", "ben", &["--key-type", "ec", "--dn", "CN=ben,O=SSS"]);
    lab.asks("c.pem", "cat", &["--key-type", "ec", "--dn", "CN=cat,O=SSS"]);
    let before = std::fs::read(lab.at("a.kdb")).unwrap();
    let said = lab.refuses(5, &["request", "receive", "a.kdb", "b.jks", "seed.pem"]);
    assert!(
        said.contains("a.kdb: \"ann\" for CN=ann,O=SSS") && said.contains("\"ben\" for CN=ben,O=SSS"),
        "{said}"
    );
    // The right store of several, whichever it is; the others are not touched.
    lab.signs("cat", &[], "sub");
    lab.does(&["request", "receive", "a.kdb", "b.jks", "c.pem", "cat.pem"]);
    assert_eq!(lab.row("c.pem", "cat")["issuer"], "CN=Sub,O=SSS,C=GB");
    assert_eq!(std::fs::read(lab.at("a.kdb")).unwrap(), before);
    // A second time there is nothing to do; the key is not lost by it.
    assert!(lab.refuses(5, &["request", "receive", "c.pem", "cat.pem"]).contains("already"));
    // A request made again is the same one; with another name it asks for that.
    lab.does(&["request", "recreate", "a.kdb", "ann", "--file", "again.csr"]);
    assert_eq!(lab.der("again.csr"), lab.der("ann.csr"));
    lab.does(&["request", "recreate", "a.kdb", "ann", "--dn", "CN=anna", "--file", "again.csr", "--force"]);
    let shown = lab.does(&["request", "show", "a.kdb", "ann"]).out;
    assert!(shown.contains("CN=anna"), "{shown}");
    lab.refuses(5, &["request", "delete", "a.kdb", "ann"]);
    lab.does(&["request", "delete", "a.kdb", "ann", "--yes"]);
    lab.refuses(1, &["request", "list", "a.kdb"]);
}

#[test]
fn lists_and_answers_say_who_was_revoked() {
    let lab = Lab::new();
    lab.store("p12", "r.p12");
    for name in ["good", "bad", "held"] {
        lab.asks("r.p12", name, &["--key-type", "ec", "--dn", &format!("CN={name}")]);
        lab.signs(name, &["--no-chain"], "root");
    }
    let by = ["--ca", "ca.p12#root", "--file", "root.crl", "--force"];
    lab.does(&[&["crl", "create"], &by[..]].concat());
    lab.does(&[&["crl", "add", "root.crl", "bad.pem", "--reason", "keyCompromise"], &by[..]].concat());
    lab.does(&[&["crl", "add", "root.crl", "held.pem", "--reason", "certificateHold"], &by[..]].concat());
    let shown = |lab: &Lab| -> Value {
        serde_json::from_str(&lab.does(&["crl", "show", "--json", "root.crl"]).out).unwrap()
    };
    let list = shown(&lab);
    assert_eq!((&list["number"], list["revoked"].as_array().map(Vec::len)), (&"03".into(), Some(2)));
    assert_eq!(list["revoked"][0]["reason"], "keyCompromise");
    lab.tool("openssl", &["crl", "-in", "root.crl", "-CAfile", "root.pem", "-noout"]);
    let checks = |name: &str| {
        let pem = format!("{name}.pem");
        let mut command = Command::new("openssl");
        command.args(["verify", "-crl_check", "-CRLfile", "root.crl", "-CAfile", "root.pem", &pem]);
        run(command.current_dir(lab.dir.path())).status == 0
    };
    assert_eq!(["good", "bad", "held"].map(checks), [true, false, false]);
    // By ourselves, with the reasons for which a list is not relied upon.
    let (root, crl) = (lab.der("root.pem"), lab.der("root.crl"));
    let now = seconds();
    let status =
        |name: &str, crl: &[u8], at: i64| by_crl(&lab.der(&format!("{name}.pem")), &root, crl, at).unwrap();
    assert_eq!(status("good", &crl, now), Status::Good);
    let Status::Revoked { reason: Some(reason), .. } = status("bad", &crl, now) else {
        panic!("not revoked")
    };
    assert_eq!(reason.name(), "keyCompromise");
    assert!(
        matches!(status("good", &crl, now + 40 * 86_400), Status::Unknown(w) if w.contains("out of date"))
    );
    assert!(matches!(status("good", &crl, now - 86_400), Status::Unknown(w) if w.contains("future")));
    let mut forged = crl.clone();
    let at = forged.len() - 5;
    forged[at] ^= 1;
    assert!(matches!(status("good", &forged, now), Status::Unknown(w) if w.contains("signed")));
    // The hold ends; what was compromised stays so.
    lab.does(&[&["crl", "add", "root.crl", "held.pem", "--reason", "removeFromCRL"], &by[..]].concat());
    lab.refuses(5, &[&["crl", "add", "root.crl", "bad.pem", "--reason", "removeFromCRL"], &by[..]].concat());
    assert_eq!(["good", "bad", "held"].map(checks), [true, false, true]);
    // A list of somebody else is not gone on with.
    let other = ["--ca", "ca.p12#sub", "--file", "sub.crl"];
    lab.refuses(5, &[&["crl", "add", "root.crl"], &other[..]].concat());
    // Stores that have room carry the list.
    lab.does(&["convert", "root.crl", "nss:crl.nss"]);
    assert_eq!(lab.rows("crl.nss")[0]["kind"], "crl");

    // OpenSSL's responder answers for the root, itself and by a certificate that may.
    let serial = |name: &str| {
        let der = lab.der(&format!("{name}.pem"));
        cert_fields(&der).unwrap().serial.iter().map(|b| format!("{b:02X}")).collect::<String>()
    };
    let line = |state: &str, since: &str, name: &str| {
        format!("{state}\t400101000000Z\t{since}\t{}\tunknown\t/CN={name}\n", serial(name))
    };
    lab.write("index", line("V", "", "good") + &line("R", "251101000000Z,keyCompromise", "bad"));
    lab.does(&["convert", "ca.p12", "pem:root-key.pem", "--label", "root", "--to-password", "none"]);
    lab.asks("r.p12", "answers", &["--key-type", "ec", "--dn", "CN=answers"]);
    lab.signs("answers", &["--eku", "OCSPSigning", "--no-chain"], "root");
    lab.does(&["request", "receive", "r.p12", "answers.pem"]);
    lab.does(&["convert", "r.p12", "pem:answers-key.pem", "--label", "answers", "--to-password", "none"]);
    let answer = |name: &str, signer: &str| {
        let request = OcspRequest::new(&lab.der(&format!("{name}.pem")), &root).unwrap();
        lab.write("ocsp.req", &request.der);
        let by = format!("{signer}.pem");
        let key = format!("{signer}-key.pem");
        let files = [
            "-CA",
            "root.pem",
            "-rsigner",
            &by,
            "-rkey",
            &key,
            "-reqin",
            "ocsp.req",
            "-respout",
            "ocsp.resp",
        ];
        lab.tool("openssl", &[&["ocsp", "-index", "index", "-ndays", "1"], &files[..]].concat());
        (request, std::fs::read(lab.at("ocsp.resp")).unwrap())
    };
    let now = seconds();
    for signer in ["root", "answers"] {
        let (request, bytes) = answer("good", signer);
        assert_eq!(request.read(&bytes, &root, now).unwrap(), Status::Good, "{signer}");
        assert!(
            matches!(request.read(&bytes, &root, now + 3 * 86_400).unwrap(), Status::Unknown(_)),
            "{signer}"
        );
        let another = OcspRequest::new(&lab.der("good.pem"), &root).unwrap();
        assert!(
            matches!(another.read(&bytes, &root, now).unwrap(), Status::Unknown(w) if w.contains("another question"))
        );
        let (request, bytes) = answer("bad", signer);
        assert!(matches!(request.read(&bytes, &root, now).unwrap(), Status::Revoked { .. }), "{signer}");
    }
    // A certificate of the root's that may not answer: its "good" counts for nothing.
    lab.does(&["request", "receive", "r.p12", "good.pem"]);
    lab.does(&["convert", "r.p12", "pem:good-key.pem", "--label", "good", "--to-password", "none"]);
    let (request, bytes) = answer("good", "good");
    assert!(
        matches!(request.read(&bytes, &root, now).unwrap(), Status::Unknown(w) if w.contains("lets answer"))
    );
}

#[test]
fn the_network_is_asked_only_when_told_and_not_for_long() {
    let lab = Lab::new();
    lab.does(&["convert", "ca.p12", "pem:root-key.pem", "--label", "root", "--to-password", "none"]);
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", server.local_addr().unwrap());
    lab.write("aia", format!("authorityInfoAccess=OCSP;URI:{address}/ocsp\n"));
    lab.store("p12", "net.p12");
    for name in ["good", "bad"] {
        lab.asks("net.p12", name, &["--key-type", "ec", "--dn", &format!("CN={name}")]);
        let by =
            ["-CA", "root.pem", "-CAkey", "root-key.pem", "-CAcreateserial", "-extfile", "aia", "-days", "9"];
        let (csr, pem) = (format!("{name}.csr"), format!("{name}.pem"));
        lab.tool("openssl", &[&["x509", "-req", "-in", &csr, "-out", &pem], &by[..]].concat());
        lab.does(&["request", "receive", "net.p12", &pem]);
    }
    lab.does(&["add", "net.p12", "root.pem"]);
    let serial = |name: &str| {
        let der = lab.der(&format!("{name}.pem"));
        cert_fields(&der).unwrap().serial.iter().map(|b| format!("{b:02X}")).collect::<String>()
    };
    let line = |state: &str, name: &str| {
        format!(
            "{state}\t400101000000Z\t{}\t{}\tunknown\t/CN={name}\n",
            if state == "R" { "251101000000Z" } else { "" },
            serial(name)
        )
    };
    lab.write("index", line("V", "good") + &line("R", "bad"));
    let by = ["--ca", "ca.p12#root", "--file", "root.crl", "--der"];
    lab.does(&[&["crl", "create"], &by[..]].concat());
    // Counts what it was asked; answers questions by OpenSSL's responder, all else with the list.
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (count, dir) = (asked.clone(), lab.dir.path().to_owned());
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let (head, body) = question(&mut stream);
            if head.starts_with("GET /slow") {
                std::thread::spawn(move || (std::thread::sleep(std::time::Duration::from_secs(30)), stream));
                continue;
            }
            let mut answer = dir.join("root.crl");
            if head.starts_with("POST /ocsp") {
                std::fs::write(dir.join("net.req"), body).unwrap();
                answer = dir.join("net.resp");
                let files = [
                    "-rsigner",
                    "root.pem",
                    "-rkey",
                    "root-key.pem",
                    "-reqin",
                    "net.req",
                    "-respout",
                    "net.resp",
                ];
                let ca = ["ocsp", "-index", "index", "-CA", "root.pem", "-ndays", "1"];
                must(Command::new("openssl").args(ca).args(files).current_dir(&dir));
            }
            let bytes = std::fs::read(answer).unwrap();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", bytes.len());
            use std::io::Write;
            stream.write_all(&[head.as_bytes(), &bytes].concat()).unwrap();
        }
    });
    let times = || asked.load(std::sync::atomic::Ordering::SeqCst);
    let codes = |options: &[&str]| {
        let ran = run(&mut lab.ours(&[&["check", "net.p12", "--json"], options].concat()));
        let found: Vec<Value> = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}", ran.err));
        let about = |f: &&Value| f["code"].as_str().unwrap().starts_with("revo");
        let line = |f: &Value| format!("{} {}", f["entry"].as_str().unwrap(), f["code"].as_str().unwrap());
        (found.iter().filter(about).map(line).collect::<Vec<_>>(), ran.status)
    };
    assert_eq!(codes(&[]).0, [""; 0]);
    assert_eq!(times(), 0);
    assert_eq!(codes(&["--ocsp"]), (vec!["bad revoked".to_owned()], 1));
    assert_eq!(times(), 2);
    assert_eq!(codes(&["--crl", &format!("{address}/root.crl")]).0, [""; 0]);
    assert_eq!(times(), 3);
    let begun = std::time::Instant::now();
    let slow = format!("{address}/slow");
    let said = lab.refuses(3, &["check", "net.p12", "--crl", &slow, "--net-timeout", "1s"]);
    assert!(begun.elapsed().as_secs() < 15 && said.contains("no answer"), "{said}");
    lab.refuses(3, &["check", "net.p12", "--crl", "https://127.0.0.1/x.crl"]);
}

/// Head and body of a request over HTTP.
fn question(stream: &mut std::net::TcpStream) -> (String, Vec<u8>) {
    use std::io::Read;
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&all).to_lowercase();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if all.len() >= head.len() + 4 + length {
                let body = all.split_off(head.len() + 4);
                return (String::from_utf8_lossy(&all).into_owned(), body);
            }
        }
        let n = stream.read(&mut buffer).unwrap();
        all.extend_from_slice(&buffer[..n]);
        if n == 0 {
            return (String::from_utf8_lossy(&all).into_owned(), Vec::new());
        }
    }
}

/// Now, in seconds since 1970.
fn seconds() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
}

#[test]
fn the_page_about_requests_runs() {
    let page = std::fs::read_to_string(root().join("docs/requests.md")).unwrap();
    let lab = scratch();
    let folder = PathBuf::from(keyferry().get_program()).parent().unwrap().to_owned();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let commands = shown_commands(&page);
    for command in &commands {
        let mut shell = Command::new("sh");
        shell
            .args(["-ec", command])
            .current_dir(lab.path())
            .env("PATH", &path)
            .env("KEYFERRY_PASSWORD", PASSWORD);
        must(&mut shell);
    }
    assert!(commands.len() >= 18, "only {} commands", commands.len());
    // What the page says has come about.
    let list = must(
        keyferry()
            .args(["list", "--json"])
            .arg(lab.path().join("alice.kdb"))
            .env("KEYFERRY_PASSWORD", PASSWORD),
    );
    let rows: Vec<Value> = serde_json::from_str(&list.out).unwrap();
    let keys: Vec<&str> =
        rows.iter().filter(|r| r["kind"] == "key").map(|r| r["label"].as_str().unwrap()).collect();
    assert!(keys.contains(&"alice") && keys.iter().any(|k| k.starts_with("alice (old ")), "{keys:?}");
}
