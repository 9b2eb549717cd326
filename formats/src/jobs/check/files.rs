//! Who can read and change the store's files.

use super::keys::is_open;
use super::rules::{
    FOLDER_WRITABLE, OWNERS_DIFFER, Rule, SECRET_READABLE, STORE_IS_LINK, STORE_READABLE, WRITABLE_BY_GROUP,
    WRITABLE_BY_OTHERS,
};
use super::{Check, Findings, Subject};
use crate::format::FORMATS;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub(super) const FILES: Check = Check {
    rules: &[
        &SECRET_READABLE,
        &STORE_READABLE,
        &WRITABLE_BY_OTHERS,
        &WRITABLE_BY_GROUP,
        &FOLDER_WRITABLE,
        &OWNERS_DIFFER,
        &STORE_IS_LINK,
    ],
    run: look,
};

/// How bad it is when others can read a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Holds {
    Nothing,
    SealedKeys,
    Secrets,
}

/// A file that belongs to a store.
struct Part {
    path: PathBuf,
    meta: Metadata,
    holds: Holds,
}

fn part(path: PathBuf, holds: Holds) -> Option<Part> {
    let meta = std::fs::metadata(&path).ok()?;
    Some(Part { path, meta, holds })
}

fn look(subject: &Subject<'_>, findings: &mut Findings<'_>) {
    let Some(path) = subject.path else { return };
    let format = subject.loaded.format;
    let secrets = || subject.loaded.store.entries.iter().filter_map(|e| e.secret());
    let holds = match (secrets().next().is_some(), secrets().any(|s| is_open(s, subject.ctx))) {
        (_, true) => Holds::Secrets,
        (true, false) => Holds::SealedKeys,
        (false, _) => Holds::Nothing,
    };
    let mut parts: Vec<Part> = if format.folder_files().is_empty() {
        part(path.to_owned(), holds).into_iter().collect()
    } else {
        format.folder_files().iter().filter_map(|f| part(path.join(f), holds)).collect()
    };
    let stash = format.password_file(path);
    // Beside a store stand its pending requests, with their keys.
    let entries = &subject.loaded.store.entries;
    let requests = entries.iter().any(|e| e.secret().is_some() && format.beside().contains(&e.item.kind()));
    let pending = if requests { Holds::SealedKeys } else { Holds::Nothing };
    for suffix in format.companions() {
        let companion = path.with_extension(suffix);
        let holds = if stash.as_ref() == Some(&companion) { Holds::Secrets } else { pending };
        parts.extend(part(companion, holds));
    }
    if path.symlink_metadata().is_ok_and(|m| m.is_symlink()) {
        let to = std::fs::read_link(path).unwrap_or_default();
        findings.store(&STORE_IS_LINK, format!("it points to {}", to.display()));
    }
    judge(path, &parts, findings);
}

/// Of a store that can't be opened, what the system says of its files still counts, a stash's above all.
pub(super) fn of_unreadable(path: &Path, findings: &mut Findings<'_>) {
    let mut parts: Vec<Part> = part(path.to_owned(), Holds::Nothing).into_iter().collect();
    let stashes = FORMATS.iter().filter_map(|f| f.password_file(path)).filter(|p| p != path);
    parts.extend(stashes.filter(|p| p.is_file()).filter_map(|p| part(p, Holds::Secrets)));
    judge(path, &parts, findings);
}

fn judge(path: &Path, parts: &[Part], findings: &mut Findings<'_>) {
    let mut by_rule: Vec<(&'static Rule, Vec<String>)> = Vec::new();
    for Part { path, meta, holds } in parts {
        let mode = meta.mode() & 0o7777;
        let read = match holds {
            Holds::Secrets if mode & 0o004 != 0 => Some(&SECRET_READABLE),
            Holds::SealedKeys if mode & 0o004 != 0 => Some(&STORE_READABLE),
            _ => None,
        };
        let written = match mode {
            _ if mode & 0o002 != 0 => Some(&WRITABLE_BY_OTHERS),
            _ if mode & 0o020 != 0 => Some(&WRITABLE_BY_GROUP),
            _ => None,
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let text = format!("{name} has mode {mode:04o}");
        for rule in read.into_iter().chain(written) {
            match by_rule.iter_mut().find(|(known, _)| known.code == rule.code) {
                Some((_, texts)) => texts.push(text.clone()),
                None => by_rule.push((rule, vec![text.clone()])),
            }
        }
    }
    for (rule, texts) in by_rule {
        findings.store(rule, texts.join(", "));
    }
    // A store that is a folder can have its files replaced by whoever writes to it.
    let inside = path.is_dir();
    let folder = match path.parent() {
        _ if inside => path,
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let Ok(meta) = std::fs::metadata(folder) else { return };
    // In a sticky folder only the owner of a file can replace it.
    if meta.mode() & 0o1002 == 0o002 {
        let mode = meta.mode() & 0o7777;
        findings.store(&FOLDER_WRITABLE, format!("the folder {} has mode {mode:04o}", folder.display()));
    }
    owners(folder, &meta, parts, findings);
}

fn owners(folder: &Path, meta: &Metadata, parts: &[Part], findings: &mut Findings<'_>) {
    let Some(first) = parts.first() else { return };
    let owner = first.meta.uid();
    let sticky = meta.mode() & 0o1000 != 0;
    if meta.uid() != owner && meta.uid() != 0 && !sticky {
        let text =
            format!("the folder {} is user {}'s, the store user {owner}'s", folder.display(), meta.uid());
        findings.store(&OWNERS_DIFFER, text);
    }
    for other in parts.iter().skip(1).filter(|p| p.meta.uid() != owner) {
        let name = other.path.file_name().unwrap_or_default().to_string_lossy();
        let text = format!("{name} is user {}'s, the store user {owner}'s", other.meta.uid());
        findings.store(&OWNERS_DIFFER, text);
    }
}
