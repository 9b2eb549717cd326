//! Who can read and change the store's files, and whether they can be replaced.

use super::access::{AccessList, Who, access_list};
use super::keys::is_open;
use super::rules::{
    ACCESS_LIST, FOLDER_WRITABLE, MOUNTED_FILE, OWNER_NOT_USER, OWNERS_DIFFER, READ_ONLY_MOUNT, Rule,
    SECRET_READABLE, STORE_IS_LINK, STORE_READABLE, WRITABLE_BY_GROUP, WRITABLE_BY_OTHERS,
};
use super::{Check, Findings, Subject, mounts};
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
        &OWNER_NOT_USER,
        &ACCESS_LIST,
        &READ_ONLY_MOUNT,
        &MOUNTED_FILE,
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
    list: Option<AccessList>,
    holds: Holds,
}

fn part(path: PathBuf, holds: Holds) -> Option<Part> {
    let meta = std::fs::metadata(&path).ok()?;
    let list = access_list(&path);
    Some(Part { path, meta, list, holds })
}

impl Part {
    fn name(&self) -> std::borrow::Cow<'_, str> {
        self.path.file_name().unwrap_or_default().to_string_lossy()
    }

    /// What the file's group may do: with an access list the mode has the mask in its place.
    fn group(&self) -> u32 {
        self.list.as_ref().map_or(self.meta.mode() >> 3 & 7, |list| list.group)
    }
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
    for part in parts {
        let mode = part.meta.mode() & 0o7777;
        let read = match part.holds {
            Holds::Secrets if mode & 0o004 != 0 => Some(&SECRET_READABLE),
            Holds::SealedKeys if mode & 0o004 != 0 => Some(&STORE_READABLE),
            _ => None,
        };
        let written = match mode {
            _ if mode & 0o002 != 0 => Some(&WRITABLE_BY_OTHERS),
            _ if part.group() & 2 != 0 => Some(&WRITABLE_BY_GROUP),
            _ => None,
        };
        let text = format!("{} has mode {mode:04o}", part.name());
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
    folder_writable(folder, &meta, findings);
    owners(folder, &meta, parts, findings);
    access(folder, &meta, parts, findings);
    mounts::look(folder, parts.iter().map(|p| &*p.path), inside, findings);
}

fn folder_writable(folder: &Path, meta: &Metadata, findings: &mut Findings<'_>) {
    let list = access_list(folder);
    let group = list.map_or(meta.mode() >> 3 & 7, |list| list.group);
    let rule = match meta.mode() {
        // In a sticky folder only the owner of a file can replace it.
        mode if mode & 0o1000 != 0 => return,
        mode if mode & 0o002 != 0 => &FOLDER_WRITABLE,
        _ if group & 2 != 0 => &WRITABLE_BY_GROUP,
        _ => return,
    };
    let mode = meta.mode() & 0o7777;
    findings.store(rule, format!("the folder {} has mode {mode:04o}", folder.display()));
}

/// Who is let in by access lists, besides root and the store's owner.
fn access(folder: &Path, meta: &Metadata, parts: &[Part], findings: &mut Findings<'_>) {
    let Some(first) = parts.first() else { return };
    let owner = first.meta.uid();
    let mut say = |name: &str, list: &AccessList, counts: u32| {
        let named = list.named.iter().filter(|(who, _)| *who != Who::User(owner) && *who != Who::User(0));
        let granted: Vec<String> = named.filter_map(|(who, rights)| grant(*who, rights & counts)).collect();
        if !granted.is_empty() {
            findings.store(&ACCESS_LIST, format!("{name}: {}", granted.join(", ")));
        }
    };
    for part in parts {
        // Certificates alone are for everybody to read.
        let counts = if part.holds == Holds::Nothing { 2 } else { 6 };
        part.list.iter().for_each(|list| say(&part.name(), list, counts));
    }
    let sticky = meta.mode() & 0o1000 != 0;
    let list = access_list(folder).filter(|_| !sticky);
    list.iter().for_each(|list| say(&format!("the folder {}", folder.display()), list, 2));
}

fn grant(who: Who, rights: u32) -> Option<String> {
    let what = match rights & 6 {
        0 => return None,
        2 => "write",
        4 => "read",
        _ => "read and write",
    };
    Some(match who {
        Who::User(id) => format!("user {id} may {what}"),
        Who::Group(id) => format!("group {id} may {what}"),
    })
}

fn owners(folder: &Path, meta: &Metadata, parts: &[Part], findings: &mut Findings<'_>) {
    let Some(first) = parts.first() else { return };
    let owner = first.meta.uid();
    let sticky = meta.mode() & 0o1000 != 0;
    if meta.uid() != owner && meta.uid() != 0 && !sticky {
        let text =
            format!("the folder {} is user {}'s, the store user {owner}'s", folder.display(), meta.uid());
        findings.store(&OWNERS_DIFFER, text);
    } else if let Some((user, above)) = user_of(folder).filter(|(user, _)| *user != owner) {
        let text =
            format!("it is user {owner}'s, and lies below {}, which is user {user}'s", above.display());
        findings.store(&OWNER_NOT_USER, text);
    }
    for other in parts.iter().skip(1).filter(|p| p.meta.uid() != owner) {
        let text = format!("{} is user {}'s, the store user {owner}'s", other.name(), other.meta.uid());
        findings.store(&OWNERS_DIFFER, text);
    }
}

/// The user whose programs use what is in a folder, as far as folders say so: the one to whom it belongs, or the
/// nearest above it that is not root's, a home for instance.
fn user_of(folder: &Path) -> Option<(u32, PathBuf)> {
    let real = folder.canonicalize().ok()?;
    let above = real.ancestors().filter_map(|a| Some((a, std::fs::metadata(a).ok()?)));
    let (home, meta) = above.into_iter().find(|(_, meta)| meta.uid() != 0)?;
    // What is everybody's says nothing about somebody.
    (meta.mode() & 0o1000 == 0).then(|| (meta.uid(), home.to_owned()))
}
