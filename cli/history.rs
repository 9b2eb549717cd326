//! What was done, one line of JSON for each run that changed or refused something. Each line holds the hash of the
//! one before, so that nobody changes or drops one unnoticed who doesn't rewrite all after it; whoever noted the
//! last hash elsewhere notices that, too.

use crate::rebuilt::{Certificate, Report};
use formats::jobs::list::sha256_hex;
use formats::jobs::rebuild::Way;
use formats::{Error, Kind};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The hash before the first line.
pub const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// When: RFC 3339, UTC.
    pub time: String,
    /// The user who ran it, by number, and who became root by sudo, by name.
    pub uid: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sudo_user: Option<String>,
    /// The command.
    pub command: String,
    /// The bundles: name and, where they have one, serial.
    pub bundles: Vec<(String, Option<u64>)>,
    /// What was approved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved: Vec<String>,
    /// What became of each store that changed or could not.
    pub stores: Vec<Change>,
    /// SHA-256 of the line before, lower-case hex.
    pub previous: String,
}

/// What became of one store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Change {
    pub store: String,
    /// `created`, `replaced`, `staged`, `stopped`, `refused`, `failed`; `completed` or `taken back` after an interrupted run.
    pub outcome: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<Certificate>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Certificate>,
    /// Why it stopped or failed, and what the programs that ran after it said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub said: Vec<String>,
}

impl Entry {
    /// Whether it says nothing that `last` doesn't say.
    fn repeats(&self, last: &Entry) -> bool {
        let what = |e: &Entry| serde_json::to_string(&(&e.bundles, &e.approved, &e.stores)).ok();
        let changed =
            self.stores.iter().any(|s| ["created", "replaced", "staged"].contains(&s.outcome.as_str()));
        !changed && what(self) == what(last)
    }
}

impl Change {
    /// Of a store that was worked on.
    pub fn of(report: &Report) -> Option<Change> {
        let outcome = match (report.changed, report.created, report.stops.is_empty()) {
            (true, ..) if report.staged.is_some() => "staged",
            (true, true, _) => "created",
            (true, false, _) => "replaced",
            (false, _, false) => "stopped",
            _ => match report.healed? {
                Way::Forward => "completed",
                Way::Back => "taken back",
            },
        };
        Some(Change {
            store: report.store.clone(),
            outcome: outcome.to_owned(),
            added: report.added.clone(),
            removed: report.removed.clone(),
            said: report.stops.iter().map(|s| s.detail.clone()).collect(),
        })
    }
}

/// Where it is kept.
pub fn place(state: &Path) -> PathBuf {
    state.join("history.jsonl")
}

/// Adds a line. What a timer finds each time, without anything that changed, is noted once.
pub fn add(state: &Path, mut entry: Entry) -> formats::Result<()> {
    let path = place(state);
    let failed = |e: std::io::Error| {
        Error::io(Kind::Write, format!("the history can't be written: {}", formats::place::reason(&e)), e)
            .in_file(&path)
    };
    let mut file = std::fs::File::options()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o640)
        .open(&path)
        .map_err(failed)?;
    flock(&file, FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;
    let (last, whole) = last_line(&mut file).map_err(failed)?;
    if last.as_deref().and_then(|l| serde_json::from_str(l).ok()).is_some_and(|l| entry.repeats(&l)) {
        return Ok(());
    }
    entry.previous = last.as_deref().map_or_else(|| BEGINNING.to_owned(), hash);
    let line = serde_json::to_string(&entry).map_err(|e| failed(e.into()))?;
    // What a crash left of a line is ended first.
    let text = if whole { format!("{line}\n") } else { format!("\n{line}\n") };
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)
}

/// The last line, and whether it has an end.
fn last_line(file: &mut std::fs::File) -> std::io::Result<(Option<String>, bool)> {
    use std::io::Read;
    let length = file.metadata()?.len();
    let mut size = 64 * 1024;
    loop {
        let from = length.saturating_sub(size);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(size).read_to_end(&mut bytes)?;
        let whole = bytes.last().is_none_or(|b| *b == b'\n');
        let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        match text.iter().rposition(|b| *b == b'\n') {
            Some(at) => return Ok((Some(String::from_utf8_lossy(&text[at + 1..]).into_owned()), whole)),
            None if from == 0 && text.is_empty() => return Ok((None, true)),
            None if from == 0 => return Ok((Some(String::from_utf8_lossy(text).into_owned()), whole)),
            None => size *= 8,
        }
    }
}

/// Every line with its hash, checked against the chain; the first that doesn't fit is an error that names its number.
pub fn read(state: &Path) -> formats::Result<Vec<(Entry, String)>> {
    let path = place(state);
    let file = match std::fs::File::open(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => {
            let reason = formats::place::reason(&e);
            return Err(Error::io(Kind::Read, format!("can't be read: {reason}"), e).in_file(&path));
        }
        Ok(file) => file,
    };
    let bad = |at: usize, why: &str| {
        Error::malformed(format!("line {}: {why}", at + 1))
            .hint("somebody has changed it; a copy from before says what was there")
            .in_file(&path)
    };
    let mut previous = BEGINNING.to_owned();
    let mut all = Vec::new();
    for (at, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|_| bad(at, "can't be read"))?;
        let entry: Entry = serde_json::from_str(&line).map_err(|_| bad(at, "is no line of a history"))?;
        if entry.previous != previous {
            return Err(bad(at, "doesn't follow from the one before"));
        }
        previous = hash(&line);
        all.push((entry, previous.clone()));
    }
    Ok(all)
}

fn hash(line: &str) -> String {
    sha256_hex(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(command: &str) -> Entry {
        Entry {
            time: "2026-01-02T03:04:05Z".to_owned(),
            uid: 0,
            sudo_user: None,
            command: command.to_owned(),
            bundles: Vec::new(),
            approved: Vec::new(),
            stores: vec![Change {
                store: command.to_owned(),
                outcome: "stopped".to_owned(),
                added: Vec::new(),
                removed: Vec::new(),
                said: Vec::new(),
            }],
            previous: String::new(),
        }
    }

    #[test]
    fn lines_hang_together() {
        let Ok(dir) = tempfile::tempdir() else { panic!("no folder") };
        for n in 0..3 {
            for _ in 0..2 {
                assert!(add(dir.path(), entry(&format!("run {n}"))).is_ok());
            }
        }
        let lines = read(dir.path()).unwrap_or_default();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines.get(1).map(|(e, _)| e.previous.clone()), lines.first().map(|(_, h)| h.clone()));
        let text = std::fs::read_to_string(place(dir.path())).unwrap_or_default();
        assert!(std::fs::write(place(dir.path()), text.replace("run 1", "run 7")).is_ok());
        assert!(read(dir.path()).is_err_and(|e| e.to_string().contains("line 3")));
        let without: String = text.lines().skip(1).map(|l| format!("{l}\n")).collect();
        assert!(std::fs::write(place(dir.path()), without).is_ok());
        assert!(read(dir.path()).is_err_and(|e| e.to_string().contains("line 1")));
    }
}
