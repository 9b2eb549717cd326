//! `docs/coming-from.md`: every line of it is run, ours and, where the tool is at hand, the other's on a copy of
//! the same files; what came out is compared.
//!
//! A block ```` ```sh ```` is one job: the other tool's lines, then ours. A line `# not compared: REASON` says why the
//! outcome differs. IBM's command-line tools are not at hand, so their lines are only read.

use crate::support::{Ran, keyferry, must, root, run, scratch, testdata};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const PW: &str = "changeit";
const NEW: &str = "Fresh-pw-2";

/// The tools whose lines are run.
const AT_HAND: &[&str] = &["openssl", "keytool", "certutil", "pk12util"];
/// What else a line may begin with to prepare for those.
const PREPARES: &[&str] = &["mkdir", "rm", "printf", "cat"];

/// One block of the page.
struct Job {
    line: usize,
    theirs: Vec<String>,
    ours: Vec<String>,
    compared: bool,
}

fn jobs() -> Vec<Job> {
    let page = std::fs::read_to_string(root().join("docs/coming-from.md")).unwrap();
    let mut out = Vec::new();
    let mut job: Option<Job> = None;
    for (at, line) in page.lines().enumerate() {
        match (&mut job, line) {
            (None, "```sh") => {
                job = Some(Job { line: at + 1, theirs: vec![], ours: vec![], compared: true });
            }
            (Some(_), "```") => out.extend(job.take()),
            (Some(job), line) if line.starts_with("keyferry ") => job.ours.push(line.to_owned()),
            (Some(job), line) if line.starts_with("# not compared: ") => job.compared = false,
            (Some(job), line) if line.starts_with('#') => panic!("{}: {line}", job.line),
            (Some(job), line) => {
                assert!(job.ours.is_empty(), "line {}: theirs come first", at + 1);
                job.theirs.push(line.to_owned());
            }
            _ => {}
        }
    }
    assert!(job.is_none(), "a block is not closed");
    out
}

/// The files that the page speaks of. Made once, copied for each block.
fn template() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let dir = scratch().keep();
        let material = |name: &str| testdata("java/material").join(name);
        let read = |name: &str| std::fs::read_to_string(material(name)).unwrap();
        std::fs::copy(material("root.crt"), dir.join("root.pem")).unwrap();
        std::fs::copy(material("rsa.crt"), dir.join("partner.pem")).unwrap();
        std::fs::copy(material("rsa2.key"), dir.join("bob.key")).unwrap();
        std::fs::write(dir.join("bob.chain.pem"), read("rsa2.chain")).unwrap();
        std::fs::write(dir.join("bob.pem"), [read("rsa2.key"), read("rsa2.chain")].concat()).unwrap();
        std::fs::write(dir.join("pw.txt"), format!("{PW}\n")).unwrap();
        std::fs::create_dir(dir.join("stores")).unwrap();
        let keyferry = |arguments: &str| {
            let ran = shell(&format!("keyferry -q {arguments}"), &dir);
            assert_eq!(ran.status, 0, "{arguments}: {}", ran.err);
        };
        keyferry("create bob.p12 bob.pem --label bob");
        let alice = testdata("demo/alice.p12");
        let alice = format!("{} --password {}=env:DEMO", alice.display(), alice.display());
        for store in ["client.kdb --stash", "client.jks", "client.p12", "nss:db", "stores/other.p12"] {
            let name = store.split(' ').next().unwrap();
            keyferry(&format!("create {store} {alice} --to-password env:PW"));
            keyferry(&format!("add {name} {} --label 'old root'", material("trust1.crt").display()));
        }
        for litter in std::fs::read_dir(&dir).unwrap().chain(std::fs::read_dir(dir.join("stores")).unwrap()) {
            let path = litter.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.ends_with(".lock") {
                std::fs::remove_file(&path).unwrap();
            } else if name.contains(".old-") {
                let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path));
            }
        }
        dir
    })
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().map(|e| e.unwrap()) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), &to).unwrap();
        }
    }
}

fn shell(line: &str, folder: &Path) -> Ran {
    let program = keyferry();
    let path = Path::new(program.get_program()).parent().unwrap();
    let mut command = Command::new("sh");
    command.args(["-e", "-c", line]).current_dir(folder).env_clear().env("LC_ALL", "C.UTF-8");
    command.env("PATH", format!("{}:{}", path.display(), std::env::var("PATH").unwrap()));
    command.env("PW", PW).env("KEYFERRY_PASSWORD", PW).env("NEW", NEW).env("DEMO", "demo-only");
    run(command.stdin(std::process::Stdio::null()))
}

fn is_at_hand(line: &str) -> bool {
    line.split(' ').next().is_some_and(|tool| AT_HAND.contains(&tool))
}

#[test]
fn every_line_of_coming_from_works_and_does_the_same() {
    let (mut ran, mut compared, mut failed) = (0, 0, Vec::new());
    for job in jobs() {
        // All that is wrong, not the first of it.
        match std::panic::catch_unwind(|| try_job(&job)) {
            Ok(differ) => compared += differ,
            Err(_) => failed.push(job.line),
        }
        ran += job.ours.len();
    }
    assert!(failed.is_empty(), "the blocks at {failed:?}");
    assert!(ran >= 50 && compared >= 15, "{ran} run, {compared} compared");
}

/// Both sides of a block; how many stores were changed, and alike.
fn try_job(job: &Job) -> usize {
    let at = format!("docs/coming-from.md, line {}", job.line);
    assert!(!job.ours.is_empty() && !job.theirs.is_empty(), "{at}: two sides");
    let (ours, theirs) = (scratch(), scratch());
    copy(template(), ours.path());
    for line in &job.ours {
        let done = shell(line, ours.path());
        assert_eq!(done.status, 0, "{at}: {line}\n{}{}", done.out, done.err);
    }
    let at_hand = job.theirs.iter().any(|l| is_at_hand(l));
    let known = |l: &String| is_at_hand(l) || PREPARES.iter().any(|p| l.split(' ').next() == Some(p));
    if !at_hand {
        assert!(job.theirs.iter().all(|l| l.starts_with("runmqakm ")), "{at}: {:?}", job.theirs);
        return 0;
    }
    assert!(job.theirs.iter().all(known), "{at}: {:?}", job.theirs);
    copy(template(), theirs.path());
    let done = shell(&job.theirs.join("\n"), theirs.path());
    assert_eq!(done.status, 0, "{at}: theirs\n{}{}", done.out, done.err);
    if job.compared { same(ours.path(), theirs.path(), &at) } else { 0 }
}

/// What both folders have hold the same, whatever the password is now. How many differ from what they were.
fn same(ours: &Path, theirs: &Path, at: &str) -> usize {
    let mut changed = 0;
    for entry in std::fs::read_dir(theirs).unwrap().map(|e| e.unwrap().path()) {
        let name = entry.file_name().unwrap().to_str().unwrap();
        let own = ours.join(name);
        let store = name.ends_with(".p12")
            || [".kdb", ".jks", ".pem", ".der", ".key", ".arm"].iter().any(|s| name.ends_with(s))
            || entry.join("cert9.db").exists();
        if !store {
            continue;
        }
        assert!(own.exists(), "{at}: {name} is theirs alone");
        let before = template().join(name);
        let bytes = |p: &Path| std::fs::read(if p.is_dir() { p.join("cert9.db") } else { p.to_owned() }).ok();
        changed += usize::from(bytes(&before) != bytes(&entry));
        let diff = |password: &str| {
            let mut diff = keyferry();
            run(diff.arg("diff").arg(&own).arg(&entry).env("KEYFERRY_PASSWORD", password))
        };
        let mut found = diff(PW);
        if found.status == 4 {
            found = diff(NEW);
        }
        assert_eq!(found.status, 0, "{at}: {name}\n{}{}", found.out, found.err);
    }
    changed
}

/// What people know must be found.
#[test]
fn coming_from_speaks_of_every_command() {
    let jobs = jobs();
    let all: Vec<&String> = jobs.iter().flat_map(|j| &j.theirs).collect();
    for command in [
        "runmqakm -keydb -create",
        "runmqakm -keydb -stashpw",
        "runmqakm -keydb -changepw",
        "runmqakm -keydb -convert",
        "runmqakm -cert -list",
        "runmqakm -cert -details",
        "runmqakm -cert -add",
        "runmqakm -cert -import",
        "runmqakm -cert -export",
        "runmqakm -cert -extract",
        "runmqakm -cert -delete",
        "runmqakm -cert -rename",
        "runmqakm -cert -setdefault",
        "runmqakm -cert -modify",
        "runmqakm -random",
        "runmqakm -cert -create",
        "runmqakm -cert -sign",
        "runmqakm -cert -receive",
        "runmqakm -certreq -create",
        "runmqakm -certreq -list",
        "runmqakm -certreq -details",
        "runmqakm -certreq -recreate",
        "runmqakm -certreq -extract",
        "runmqakm -certreq -delete",
        "keytool -genkeypair",
        "keytool -certreq",
        "keytool -gencert",
        "openssl req -x509",
        "openssl req -new",
        "openssl req -in",
        "openssl x509 -req",
        "openssl ca",
        "openssl crl",
        "certutil -S",
        "certutil -R",
        "certutil -C",
        "keytool -storepasswd",
        "keytool -keypasswd",
        "keytool -importkeystore",
        "keytool -list",
        "keytool -importcert",
        "keytool -exportcert",
        "keytool -delete",
        "keytool -changealias",
        "openssl pkcs12 -export",
        "openssl pkcs12 -in",
        "openssl x509 -in",
        "certutil -N",
        "certutil -W",
        "certutil -L",
        "certutil -K",
        "certutil -A",
        "certutil -M",
        "certutil -D",
        "certutil --rename",
        "pk12util -i",
        "pk12util -o",
    ] {
        assert!(all.iter().any(|l| l.starts_with(command)), "{command} is missing");
    }
    // And what is shown is a command of this program.
    let help = must(keyferry().arg("--help")).out;
    for line in jobs.iter().flat_map(|j| &j.ours) {
        let name = line.split(' ').nth(1).unwrap();
        assert!(help.contains(&format!("\n  {name} ")), "{line}");
    }
}
