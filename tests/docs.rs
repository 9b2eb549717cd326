//! The documentation, held to the code: tables made from `FORMATS`, the command reference, the commands
//! that the README shows, and links.
//!
//! `UPDATE=1 cargo test docs` writes the generated parts anew.

use crate::support::{keyferry, must, root, run, scratch, testdata};
use formats::model::ItemKind;
use formats::{FORMATS, Format, Labels, PasswordUse, TrustRange};
use std::path::{Path, PathBuf};
use std::process::Command;

const BEGIN: &str = "<!-- formats: written by tests/docs.rs -->\n";
const END: &str = "<!-- end -->";

#[test]
fn the_table_of_formats_is_that_of_the_program() {
    let path = root().join("README.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("README.md has the mark of the table");
    let (table, after) = rest.split_once(END).expect("README.md has the table's end");
    let fresh = table_of_formats();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{fresh}{END}{after}")).unwrap();
    } else {
        assert_eq!(table, fresh, "UPDATE=1 cargo test docs writes it");
    }
}

#[test]
fn the_command_reference_is_that_of_the_program() {
    let path = root().join("docs/cli.md");
    let fresh = must(keyferry().arg("help-page")).out;
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    assert!(std::fs::read_to_string(&path).unwrap() == fresh, "UPDATE=1 cargo test docs writes it");
}

#[test]
fn every_format_has_its_page() {
    for format in FORMATS {
        let page = root().join(format!("docs/formats/{}.md", format.name()));
        let text = std::fs::read_to_string(&page).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
        let parts = [
            "## Recognised by",
            "## Files",
            "## Layout",
            "## Protection",
            "## In the model",
            "## What it can't carry",
            "## Producers tested",
        ];
        for part in parts {
            assert!(text.contains(part), "{}: no {part:?}", page.display());
        }
        for option in format.options() {
            let words = option.values.iter().map(|(value, _)| (*value).to_owned());
            for word in words.chain([format!("--{}", option.name)]) {
                assert!(text.contains(&word), "{}: no {word}", page.display());
            }
        }
    }
}

#[test]
fn the_commands_of_the_readme_run() {
    let commands = shown_commands(&std::fs::read_to_string(root().join("README.md")).unwrap());
    let dir = scratch();
    std::os::unix::fs::symlink(testdata(""), dir.path().join("testdata")).unwrap();
    let mut ran = 0;
    for command in commands.iter().filter(|c| c.contains("cargo run --release --")) {
        let program = keyferry();
        let ours = command.replace("cargo run --release --", program.get_program().to_str().unwrap());
        let out = run(Command::new("sh").args(["-ec", &ours]).current_dir(dir.path()));
        assert_eq!(out.status, 0, "{command}\n{}\n{}", out.out, out.err);
        ran += 1;
    }
    assert!(ran >= 1, "the README shows no command of the program");
    assert!(commands.iter().any(|c| c.starts_with("scripts/test")), "the README doesn't show the tests");
    // What the first command promises is there.
    for store in ["client.jks", "client.p12", "client.pem"] {
        let made = dir.path().join("target/demo").join(store);
        assert!(made.is_file(), "{} was not made", made.display());
    }
}

#[test]
fn links_lead_somewhere() {
    let mut links = 0;
    let pages: Vec<_> =
        walk(root()).into_iter().filter(|p| p.extension().is_some_and(|e| e == "md")).collect();
    for page in &pages {
        let text = std::fs::read_to_string(page).unwrap();
        for target in text.split("](").skip(1).filter_map(|t| t.split_once(')')).map(|(t, _)| t) {
            if target.contains("://") || target.starts_with('#') || target.starts_with("mailto:") {
                continue;
            }
            let file = target.split('#').next().unwrap();
            let full = page.parent().unwrap().join(file);
            assert!(full.exists(), "{}: {target} leads nowhere", page.display());
            links += 1;
        }
    }
    assert!(links >= 10 && pages.len() >= 12, "{links} links on {} pages", pages.len());
}

/// Commands in the shell blocks of a page, continued lines joined.
pub fn shown_commands(page: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut inside = false;
    let mut line = String::new();
    for text in page.lines() {
        if text.starts_with("```") {
            inside = text == "```sh";
            continue;
        }
        if inside {
            line.push_str(text.trim_end_matches('\\'));
            if !text.ends_with('\\') {
                out.push(std::mem::take(&mut line).trim().to_owned());
            }
        }
    }
    out.retain(|l| !l.is_empty() && !l.starts_with('#'));
    out
}

/// Every path of the source tree, but for what is built or installed there.
fn walk(top: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(top).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let skipped = name.starts_with('.') || name == "target" || path.is_symlink();
        if !skipped && path.is_dir() {
            out.extend(walk(&path));
        } else if !skipped {
            out.push(path);
        }
    }
    out
}

fn table_of_formats() -> String {
    let mut out = String::from(
        "| format | is | file names | keys | certificates | CRLs, requests | secret keys | labels | trust | password |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for format in FORMATS {
        out.push_str(&row(*format));
    }
    out
}

fn row(format: &dyn Format) -> String {
    let carries = format.carries();
    let tick = |kind| if carries.items.contains(&kind) { "yes" } else { "–" };
    let names: Vec<_> = format.suffixes().iter().map(|s| format!("`.{s}`")).collect();
    let others = match (carries.items.contains(&ItemKind::Crl), carries.items.contains(&ItemKind::Request)) {
        (true, true) => "both",
        (true, false) => "CRLs",
        (false, true) => "requests",
        (false, false) => "–",
    };
    let labels = match carries.labels {
        Labels::None => "–",
        Labels::Optional => "optional",
        Labels::Unique(_) => "unique",
        Labels::BySubject => "one subject each",
    };
    let trust = match carries.trust {
        TrustRange::None => "–",
        TrustRange::AlwaysAnchor => "every lone certificate",
        TrustRange::OneBit => "yes or no",
        TrustRange::PerPurpose => "per purpose",
    };
    let password = match carries.password {
        PasswordUse::Never => "never",
        PasswordUse::KeysByChoice => "keys, by choice",
        PasswordUse::WithKeys => "with keys",
        PasswordUse::Always => "always",
    };
    format!(
        "| [`{name}`](docs/formats/{name}.md) | {title} | {names} | {key} | {cert} | {others} | {secret} | {labels} | {trust} | {password} |\n",
        name = format.name(),
        title = format.title(),
        names = names.join(" "),
        key = tick(ItemKind::Key),
        cert = if carries.many { tick(ItemKind::Cert) } else { "one object" },
        secret = tick(ItemKind::Secret),
    )
}
