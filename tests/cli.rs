//! The program, by transcripts: every file of `tests/cmd` is a session that must repeat itself.
//!
//! A line `$ COMMAND` is run by the shell in a new folder where `testdata` is this project's and `keyferry`
//! is the program; below it stands what it prints (`! ` before lines of standard error), and `? N` where
//! the status isn't 0. `UPDATE=1 cargo test cli` writes the files anew; read the difference then.

use crate::support::{keyferry, root, scratch, testdata};
use formats::model::LossKind;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn sessions_repeat_themselves() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut failures = Vec::new();
    for path in sessions() {
        let expected = std::fs::read_to_string(&path).unwrap();
        let actual = replay(&expected);
        if update {
            std::fs::write(&path, actual).unwrap();
        } else if actual != expected {
            failures.push(format!("{}:\n{}", path.display(), difference(&expected, &actual)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_status_occurs() {
    let all = everything();
    for status in 1..=8 {
        assert!(all.lines().any(|l| l == format!("? {status}")), "no session ends with status {status}");
    }
}

#[test]
fn every_loss_occurs() {
    let all = everything();
    for kind in LossKind::ALL {
        // No format of the table makes the first, for all hold certificates; and a file with unreadable
        // parts is beyond these few.
        let unmade = [LossKind::Cert, LossKind::Unreadable];
        if unmade.contains(kind) {
            continue;
        }
        let word = format!("{}: ", kind.name());
        assert!(all.lines().any(|l| l.starts_with("! ") && l.contains(&word)), "no session loses {word}");
    }
}

#[test]
fn no_session_prints_a_password() {
    let mut outputs = 0;
    for path in sessions() {
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|l| !l.starts_with(['$', '#'])) {
            outputs += 1;
            for password in ["changeit", "demo-only", "k3y-Secret", "second-pass", "hunter2"] {
                assert!(!line.contains(password), "{}: {line}", path.display());
            }
        }
    }
    assert!(outputs > 100, "only {outputs} lines");
}

fn sessions() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(root().join("tests/cmd")).unwrap();
    let mut out: Vec<_> = folder.map(|e| e.unwrap().path()).collect();
    out.sort();
    assert!(out.len() >= 5, "only {} sessions", out.len());
    out
}

fn everything() -> String {
    sessions().iter().map(|p| std::fs::read_to_string(p).unwrap()).collect()
}

/// The session with what its commands print now.
fn replay(session: &str) -> String {
    let dir = scratch();
    std::os::unix::fs::symlink(testdata(""), dir.path().join("testdata")).unwrap();
    let mut out = String::new();
    for line in session.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => {
                let _ = writeln!(out, "{line}");
                out.push_str(&answer(command, dir.path()));
            }
            // Comments and blank lines stay; outputs are made anew.
            None if line.starts_with('#') || line.is_empty() => {
                let _ = writeln!(out, "{line}");
            }
            None => {}
        }
    }
    out
}

fn answer(command: &str, dir: &Path) -> String {
    let program = keyferry();
    let folder = Path::new(program.get_program()).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(dir)
        .env_clear()
        .env("PATH", path)
        .env("LC_ALL", "C.UTF-8")
        .env("COLUMNS", "100")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let mut out = String::new();
    // An empty line of an answer would end it for a reader of the session.
    let mut put = |mark: &str, bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).replace(&*dir.to_string_lossy(), "[DIR]");
        for line in text.lines() {
            let _ = match (mark, line.trim_end()) {
                ("", "") => writeln!(out, "|"),
                (mark, line) => writeln!(out, "{}", format!("{mark}{line}").trim_end()),
            };
        }
    };
    put("", &output.stdout);
    put("! ", &output.stderr);
    match output.status.code() {
        Some(0) => {}
        Some(code) => drop(writeln!(out, "? {code}")),
        None => drop(writeln!(out, "? killed")),
    }
    out
}

fn difference(expected: &str, actual: &str) -> String {
    let (expected, actual): (Vec<_>, Vec<_>) = (expected.lines().collect(), actual.lines().collect());
    let same = expected.iter().zip(&actual).take_while(|(e, a)| e == a).count();
    let show =
        |lines: &[&str]| lines.iter().skip(same).take(12).map(|l| format!("    {l}\n")).collect::<String>();
    format!("line {}, expected:\n{}  but got:\n{}", same + 1, show(&expected), show(&actual))
}
