//! Distinguished names, held to what openssl, keytool, certutil and GSKit print of the same certificates.

use crate::kdb::{gskit, oracle, without_gskit};
use crate::support::{World, hex, keyferry, must, nobody, root, run, scratch};
use formats::asn1::cert_fields;
use formats::place::Source;
use formats::query::dn::{Grade, Pattern, Style};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The certificates of tests/oracles/names.py: the file, and the subject as it is encoded.
fn certificates(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    must(python().arg(root().join("tests/oracles/names.py")).arg(dir));
    let is_case = |p: &PathBuf| p.file_stem().unwrap().to_str().unwrap().parse::<u8>().is_ok();
    let mut files: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).filter(is_case).collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), subject(&file))).collect()
}

fn subject(file: &Path) -> Vec<u8> {
    let store = World::new().load(&Source::open(file).unwrap(), nobody()).unwrap().store;
    let certificate = store.entries.iter().find_map(|e| e.certificate()).unwrap();
    cert_fields(certificate).unwrap().subject.to_vec()
}

fn python() -> Command {
    let mut python = Command::new(root().join(".venv/bin/python"));
    python.env("PYTHONUTF8", "1").env("LC_ALL", "C.UTF-8");
    python
}

/// Ours must be theirs, byte for byte; where theirs has characters that deceive, ours has none, and is the
/// same name all the same.
fn compare(style: Style, cases: &[(PathBuf, Vec<u8>)], theirs: &[String]) {
    assert_eq!(cases.len(), theirs.len(), "{}", style.name());
    assert!(cases.len() >= 22);
    let deceives = |c: char| c.is_control() || matches!(c, '\u{200b}' | '\u{202e}');
    for ((file, name), theirs) in cases.iter().zip(theirs) {
        let ours = style.text(name);
        assert!(!ours.contains(deceives), "{}: {ours}", style.name());
        if !theirs.contains(deceives) {
            assert_eq!(ours, *theirs, "{} of {} ({})", style.name(), file.display(), hex(name));
        }
        // What was copied from any tool is found again; certutil's dots have lost something.
        for text in [&ours, theirs].into_iter().filter(|t| t.contains('=') && style != Style::Nss) {
            let pattern = Pattern::parse(text, false).unwrap_or_else(|e| panic!("{text}: {e}"));
            let hit = pattern.hit(name).unwrap_or_else(|| panic!("{text} is not found"));
            // Tabs and line breaks in the open are blanks to whoever pastes them.
            let exact = if theirs.contains(deceives) { Grade::Folded } else { Grade::Exact };
            assert!(hit.grade <= exact && hit.whole, "{text}: {hit:?}");
        }
    }
}

#[test]
fn names_are_printed_as_openssl_keytool_and_certutil_print_them() {
    let dir = scratch();
    let cases = certificates(dir.path());
    let theirs: Vec<_> = cases.iter().map(|(file, _)| of_openssl(file)).collect();
    compare(Style::Openssl, &cases, &theirs);
    compare(Style::Java, &cases, &of_keytool(dir.path(), &cases));
    compare(Style::Nss, &cases, &of_certutil(dir.path(), &cases));
}

fn of_openssl(file: &Path) -> String {
    let mut command = Command::new("openssl");
    let out = must(command.args(["x509", "-noout", "-subject", "-nameopt", "RFC2253", "-in"]).arg(file)).out;
    out.strip_prefix("subject=").unwrap().strip_suffix('\n').unwrap().to_owned()
}

fn of_keytool(dir: &Path, cases: &[(PathBuf, Vec<u8>)]) -> Vec<String> {
    let all = dir.join("all.txt");
    let only_certificate = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        text[text.find("-----BEGIN CERT").unwrap()..].to_owned()
    };
    std::fs::write(&all, cases.iter().map(|(file, _)| only_certificate(file)).collect::<String>()).unwrap();
    let mut command = Command::new("keytool");
    command.args(["-J-Dfile.encoding=UTF-8", "-J-Dstdout.encoding=UTF-8", "-J-Duser.language=en"]);
    let out = must(command.env("LC_ALL", "C.UTF-8").arg("-printcert").arg("-file").arg(all)).out;
    let owners = out.split("\nOwner: ").skip(1);
    owners.map(|rest| rest.split("\nIssuer: ").next().unwrap().to_owned()).collect()
}

/// Lines are joined again: certutil breaks long names, and indents what follows.
fn of_certutil(dir: &Path, cases: &[(PathBuf, Vec<u8>)]) -> Vec<String> {
    let db = format!("sql:{}", dir.join("db").display());
    std::fs::create_dir(dir.join("db")).unwrap();
    let certutil = |arguments: &[&str]| must(Command::new("certutil").args(["-d", &db]).args(arguments)).out;
    certutil(&["-N", "--empty-password"]);
    let one = |(number, (file, _)): (usize, &(PathBuf, Vec<u8>))| {
        let label = number.to_string();
        certutil(&["-A", "-n", &label, "-t", ",,", "-i", file.to_str().unwrap()]);
        let out = certutil(&["-L", "-n", &label]);
        let from = out.find("Subject: ").unwrap() + "Subject: ".len();
        let text = &out[from..out.find("Subject Public Key Info").unwrap()];
        let text: String = text.trim_end().split('\n').map(str::trim_start).collect();
        text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).map_or(text.clone(), str::to_owned)
    };
    cases.iter().enumerate().map(one).collect()
}

#[test]
fn names_are_printed_as_gskit_prints_them() {
    if without_gskit() {
        return;
    }
    let dir = scratch();
    let cases = certificates(dir.path());
    let kdb = dir.path().join("k.kdb");
    gskit(&["create"], &kdb, &["--pw", "Secret-1", "--stash", "v2"]);
    let ca = dir.path().join("ca.pem");
    gskit(&["add-ca"], &kdb, &["--pw", "Secret-1", "--label", "ca", "--file", ca.to_str().unwrap()]);
    let mut shake = oracle();
    shake.arg("peer-names").arg(&kdb);
    for (file, _) in &cases {
        shake.arg("--cert").arg(file);
    }
    let said: serde_json::Value = serde_json::from_str(&must(&mut shake).out).unwrap();
    let theirs: Vec<_> =
        said["names"].as_array().unwrap().iter().map(|n| n.as_str().unwrap().to_owned()).collect();
    compare(Style::Gskit, &cases, &theirs);
    for ((_, name), theirs) in cases.iter().zip(&theirs).filter(|(_, t)| !t.contains(char::is_control)) {
        assert_eq!(Style::Mq.text(name), format!("\"{theirs}\""));
    }
}

#[test]
fn a_lists_names_have_the_style_that_is_asked_for() {
    let dir = scratch();
    let cases = certificates(dir.path());
    let list = |file: &Path, style: &str| {
        must(keyferry().arg("list").arg(file).args(["--kind", "key,cert", "--json", "--dn-style", style]))
    };
    for style in Style::ALL {
        let (file, name) = &cases[3];
        let rows: serde_json::Value = serde_json::from_str(&list(file, style.name()).out).unwrap();
        assert_eq!(rows[0]["subject"], style.text(name), "{}", style.name());
    }
    // In the order that AMS wants, in another, with what it does not know.
    assert_eq!(list(&cases[0].0, "mq").err, "");
    assert!(list(&cases[1].0, "mq").err.contains("order"));
    assert!(list(&cases[7].0, "mq").err.contains("several attributes"));
    assert!(list(&cases[8].0, "mq").err.contains("Latin-1"));
    assert!(list(&cases[13].0, "mq").err.contains("1.3.6.1.4.1.99999.1"));
}

#[test]
fn grades_are_shown_and_ams_takes_only_the_exact_name() {
    let dir = scratch();
    let file = certificates(dir.path())[0].0.clone();
    let list = |pattern: &str, more: &[&str]| {
        run(keyferry().arg("list").arg(&file).args(["--dn", pattern]).args(more))
    };
    let grade = |pattern: &str| {
        let rows: serde_json::Value = serde_json::from_str(&list(pattern, &["--json"]).out).unwrap();
        (rows[0]["match"].as_str().unwrap().to_owned(), rows[0]["match_whole"].as_bool().unwrap())
    };
    for (pattern, expected, takes) in [
        ("CN=COLIN PAICE,O=SSS,C=GB", ("exact", true), true),
        ("C = GB, O = SSS, CN = COLIN PAICE", ("exact", true), true),
        ("C=GB,O=SSS,CN=COLIN PAICE", ("reordered", true), false),
        ("CN=Colin  Paice,O=sss,C=GB", ("folded", true), false),
        ("O=SSS", ("exact", false), false),
    ] {
        let (word, whole) = grade(pattern);
        assert_eq!((&*word, whole), expected, "{pattern}");
        assert_eq!(list(pattern, &["--dn-exact"]).status == 0, takes, "{pattern}");
        // People see a grade that is not the best.
        let table = list(pattern, &[]).out;
        assert_eq!(table.contains("MATCH"), word != "exact", "{table}");
    }
    assert_eq!(list("O=TTT", &[]).status, 1);
}

#[test]
fn names_are_compared_down_to_the_character() {
    let dir = scratch();
    let file = certificates(dir.path())[0].0.clone();
    let entry = format!("{}#sha256:", file.display());
    let fingerprint = |file: &Path| {
        let rows: serde_json::Value =
            serde_json::from_str(&must(keyferry().arg("list").arg(file).arg("--json")).out).unwrap();
        rows[0]["sha256"].as_str().unwrap().to_owned()
    };
    let entry = entry + &fingerprint(&file);
    let diff = |a: &str, b: &str, more: &[&str]| run(keyferry().args(["dn", "diff", a, b]).args(more));
    assert_eq!(diff("/C=GB/O=SSS/CN=COLIN PAICE", &entry, &[]).status, 0);
    let ran = diff("CN=COLIN\u{a0}PAICE,O=SSS,C=GB", &entry, &["--json"]);
    assert_eq!(ran.status, 1, "{}{}", ran.out, ran.err);
    let found: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(found["rdns"][0]["differences"][0]["a"], "U+00A0 no-break blank");
    assert_eq!(found["rdns"][0]["differences"][0]["b"], "U+0020 blank");
    assert_eq!(found["rdns"][1]["equal"], true);
    // A line break in a name forges no line.
    let forged = diff("CN=a\n  O=SSS", "CN=a", &[]);
    assert_eq!((forged.status, forged.out.lines().filter(|l| l.starts_with("  O=")).count()), (1, 0));
    assert_eq!(diff("nonsense", "CN=a", &[]).status, 2);
    assert_eq!(diff("XX=1", "CN=a", &[]).status, 2);
}
