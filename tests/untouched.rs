//! What an edit of a PKCS#12 (`formats/p12`, `jobs/edit`) doesn't touch, as OpenSSL and Java see it: attributes, names
//! and the lack of them.

use crate::oracle::{java_sees, system_java};
use crate::support::{Passwords, World, keyferry, must, run, scratch, testdata};
use formats::place::Source;
use std::path::Path;
use std::process::Command;

const OLD: &str = "changeit";
const NEW: &str = "Fresh-pw-2";

/// Golden files with something odd about names or ids, and whether a localKeyID of theirs pairs wrongly or is missing,
/// so that a new one is due.
const ODD: &[(&str, bool)] = &[
    ("crl-bag", false),
    ("dup-friendlyname", false),
    ("dup-localkeyid", true),
    ("friendlyname-emoji", false),
    ("friendlyname-empty", false),
    ("friendlyname-odd-length", false),
    ("friendlyname-utf8", false),
    ("java-trust-usages", false),
    ("jdk-alias-case", false),
    ("jdk-alias-unicode", false),
    ("jdk-secrets", false),
    ("jdk17-default", false),
    ("key-without-cert", true),
    ("no-attributes", true),
    ("no-localkeyid", true),
    ("nss-default", false),
    ("orphan-certs", false),
    ("ossl-caname", false),
    ("ossl-certs-only", false),
    ("ossl-noname", false),
    ("ossl-windows-attrs", false),
    ("samedn-two-ca", false),
    ("unknown-bag", false),
    ("wrong-localkeyid", true),
];

/// What is done, one after the other, and the password afterwards.
const EDITS: &[(&str, &str)] = &[
    ("add STORE ADDED --label came", OLD),
    ("passwd STORE --password env:OLD --to-password env:NEW", NEW),
    ("remove STORE came --yes --password env:NEW", NEW),
];

/// What is done besides with these: one without names, one with an empty one, one of Java's, two of one name.
const MORE: &[&str] = &["ossl-noname", "friendlyname-empty", "jdk17-default", "dup-friendlyname"];
const MORE_EDITS: &[(&str, &str)] = &[
    ("add STORE ADDED --label came", OLD),
    ("rename STORE came other", OLD),
    ("trust STORE other --none --allow-loss=trust", OLD),
    ("keygen STORE --label made --type ec:p256 --dn CN=made", OLD),
    ("request create STORE --label asked --type ec:p256 --dn CN=asked --file -", OLD),
    ("remove STORE --label other --label made --label asked --yes", OLD),
];

#[test]
fn an_edit_leaves_all_else_as_it_was() {
    for (name, new_ids) in ODD {
        let dir = scratch();
        let store = dir.path().join("x.p12");
        std::fs::copy(testdata(&format!("p12/{name}.p12")), &store).unwrap();
        let before = Views::of(&store, OLD, *new_ids);
        assert!(before.openssl.is_some() || before.java.is_ok(), "{name}: nobody can read it");
        let more = if MORE.contains(name) { MORE_EDITS } else { &[] };
        for (edit, password) in more.iter().chain(EDITS) {
            must(&mut command(&store, edit));
            let now = Views::of(&store, password, *new_ids);
            let missing = before.missing(&now, OLD == *password);
            assert!(missing.is_empty(), "{name}: {edit}: {missing:#?}\n{now:#?}");
        }
        let now = Views::of(&store, NEW, *new_ids);
        assert_eq!((before.openssl, before.java), (now.openssl, now.java), "{name}");
    }
}

fn command(store: &Path, text: &str) -> Command {
    let added = testdata("java/material/ed448.crt");
    let word = |word: &str| match word {
        "STORE" => store.display().to_string(),
        "ADDED" => added.display().to_string(),
        word => word.to_owned(),
    };
    let mut command = keyferry();
    command.args(text.split(' ').map(word));
    command.env("KEYFERRY_PASSWORD", OLD).env("OLD", OLD).env("NEW", NEW);
    command
}

/// A store in the eyes of others, sorted.
#[derive(Debug)]
struct Views {
    /// Each bag with its attributes; `None` where OpenSSL 3.0 can't read the file.
    openssl: Option<Vec<String>>,
    /// Each entry by its alias, or why there is none.
    java: Result<Vec<String>, String>,
    /// Keys as they stand enciphered, hex.
    sealed: Vec<String>,
}

impl Views {
    fn of(store: &Path, password: &str, new_ids: bool) -> Views {
        let mut java = java_sees(&system_java(), "PKCS12", store, password, &[]);
        if new_ids {
            // With a localKeyID Java finds the chain too.
            let short = |line: &String| line.split(' ').take(3).collect::<Vec<_>>().join(" ");
            java = java.map(|lines| lines.iter().map(short).collect());
        }
        let secrets = Passwords::one(password);
        let loaded = World::new().load(&Source::open(store).unwrap(), &secrets).unwrap().store;
        let raw = loaded.entries.iter().filter_map(|e| Some(crate::support::hex(e.secret()?.seal()?.raw()?)));
        Views { openssl: bags(store, password, new_ids), java, sealed: raw.collect() }
    }

    /// What of these is not there `now`.
    fn missing(&self, now: &Views, same_password: bool) -> Vec<String> {
        let lost = |before: &[String], now: &[String]| {
            let mut rest = now.to_vec();
            let mut out = before.to_vec();
            out.retain(|line| rest.iter().position(|l| l == line).map(|at| rest.swap_remove(at)).is_none());
            out
        };
        let list = |java: &Result<Vec<String>, String>| java.clone().unwrap_or_else(|e| vec![e]);
        let mut out = lost(&list(&self.java), &list(&now.java));
        if let Some(before) = &self.openssl {
            out.extend(lost(before, now.openssl.as_deref().unwrap_or_default()));
        }
        if same_password {
            out.extend(lost(&self.sealed, &now.sealed));
        }
        out
    }
}

/// `openssl pkcs12 -nodes`: each object with the attributes before it.
fn bags(store: &Path, password: &str, new_ids: bool) -> Option<Vec<String>> {
    let mut command = Command::new("openssl");
    command.args(["pkcs12", "-legacy", "-nodes", "-passin", "env:PW", "-in"]).arg(store);
    let ran = run(command.env("PW", password));
    if ran.status != 0 {
        return None;
    }
    let mut out = Vec::new();
    let mut one = String::new();
    for line in ran.out.lines() {
        // A secret key as it stands enciphered, which Java opens.
        let dump = |line: &str| line.split_whitespace().all(|word| word.len() == 2);
        if line.starts_with(|c: char| c.is_ascii_hexdigit()) && dump(line) {
            continue;
        }
        if !(line.starts_with("subject=")
            || line.starts_with("issuer=")
            || new_ids && line.contains("localKeyID"))
        {
            one.push_str(line.trim());
            one.push('\n');
        }
        if line.starts_with("-----END") {
            // Without the id that it gets such a bag has none at all.
            out.push(std::mem::take(&mut one).replace("Bag Attributes: <No Attributes>", "Bag Attributes"));
        }
    }
    // Java writes a CA again for each key, and for itself where it is trusted too; we write it once.
    let body = |bag: &String| bag.split_once("-----").map(|(_, body)| body.to_owned());
    let says = |bag: &String| bag.contains("localKeyID") || bag.contains("2.16.840.1.113894");
    out.sort_by_key(|bag| (body(bag), !says(bag), bag.clone()));
    out.dedup_by(|bag, before| body(bag) == body(before) && !says(bag));
    Some(out)
}

#[test]
fn who_has_no_name_is_called_by_the_subject() {
    let dir = scratch();
    let at = |name: &str| dir.path().join(name);
    let java = |store: &Path| java_sees(&system_java(), "PKCS12", store, OLD, &[]).unwrap();
    // What Java calls "1" it does so in a copy, and not when it has a name.
    let store = at("x.p12");
    let convert = |from: &Path, to: &Path| {
        let ran = must(keyferry().arg("convert").args([from, to]).env("KEYFERRY_PASSWORD", OLD));
        ran.err
    };
    let said = convert(&testdata("p12/ossl-noname.p12"), &store);
    assert!(said.contains("GSKit can't look them up"), "{said}");
    assert_eq!(java(&store), java(&testdata("p12/ossl-noname.p12")));
    assert!(java(&store)[0].starts_with("key 31 "), "{:?}", java(&store));
    let jks = at("x.jks");
    convert(&store, &jks);
    let listed = must(keyferry().arg("list").arg("--json").arg(&jks).env("KEYFERRY_PASSWORD", OLD)).out;
    assert!(
        listed.contains("\"label\":\"rsa.example.test\"")
            || listed.contains("\"label\": \"rsa.example.test\"")
    );
    for text in
        ["show STORE rsa.example.test", "extract STORE rsa.example.test", "extract STORE rsa.example.test -"]
    {
        must(&mut command(&store, text));
    }
    must(&mut command(&store, "rename STORE rsa.example.test rsa.example.test"));
    assert!(java(&store)[0].starts_with(&format!("key {} ", crate::support::hex(b"rsa.example.test"))));

    // Two of one subject: nobody guesses, and a label of that text comes first.
    let both = at("both.pem");
    let files = ["samedn1.crt", "samedn2.crt"].map(|f| testdata("java/material").join(f));
    let pem = |file: &std::path::PathBuf| must(Command::new("openssl").args(["x509", "-in"]).arg(file)).out;
    std::fs::write(&both, files.iter().map(pem).collect::<String>()).unwrap();
    let twins = at("twins.p12");
    let mut export = Command::new("openssl");
    export.args(["pkcs12", "-export", "-nokeys", "-passout", "pass:changeit", "-in"]).arg(&both);
    must(export.arg("-out").arg(&twins));
    let rows = || -> Vec<serde_json::Value> {
        let listed = must(&mut command(&twins, "list --json STORE")).out;
        serde_json::from_str(&listed).unwrap()
    };
    let before = rows();
    assert!(before.len() == 2 && before.iter().all(|r| r.get("label").is_none()), "{before:#?}");
    let subject = before[0]["subject"].as_str().unwrap();
    let name = subject.split(',').next().unwrap().strip_prefix("CN=").unwrap();
    let with = |verb: &str, label: &str, more: &[&str]| {
        let mut command = command(&twins, verb);
        run(command.arg(&twins).arg(label).args(more))
    };
    let refused = with("extract", name, &["-"]);
    assert!(refused.status == 5 && refused.err.contains("sha256:HEX"), "{}", refused.err);
    let [first, second] = [0, 1].map(|at| format!("sha256:{}", before[at]["sha256"].as_str().unwrap()));
    let labelled = with("rename", &first, &[name]);
    assert_eq!(labelled.status, 0, "{}", labelled.err);
    let found = with("extract", name, &["-"]);
    assert_eq!(found.status, 0, "{}", found.err);
    assert_eq!(crate::support::sha256(pem::parse(&found.out).unwrap().contents()), first[7..]);
    assert_eq!(rows()[1].get("label"), None);
    let gone = with("remove", name, &["--yes"]);
    assert_eq!(gone.status, 0, "{}", gone.err);
    assert_eq!(rows().len(), 1);
    assert_eq!(format!("sha256:{}", rows()[0]["sha256"].as_str().unwrap()), second);
    // What comes later gets another name than the one that it goes by.
    let added = run(command(&twins, "add").arg(&twins).arg(&files[0]));
    assert_eq!(added.status, 0, "{}", added.err);
    assert_eq!(rows()[1]["label"], format!("{name} #2"));
}
