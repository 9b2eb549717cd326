//! Who can read and change the store's files, and whether they can be replaced.

use super::access::{AccessList, READ, WRITE, access_list};
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
    modes(parts, findings);
    let (Some(folder), Some(first)) = (Folder::of(path), parts.first()) else { return };
    let owner = first.meta.uid();
    folder.writable(findings);
    // What root gives everybody to read is nobody's by mistake.
    let for_all = owner == 0 && first.meta.mode() & 0o004 != 0;
    folder.owner(owner, for_all, findings);
    for other in parts.iter().skip(1).filter(|p| p.meta.uid() != owner) {
        let text = format!("{} is user {}'s, the store user {owner}'s", other.name(), other.meta.uid());
        findings.store(&OWNERS_DIFFER, text);
    }
    access(&folder, owner, parts, findings);
    mounts::look(folder.path, parts.iter().map(|p| &*p.path), folder.inside, findings);
}

/// What the modes of the files allow.
fn modes(parts: &[Part], findings: &mut Findings<'_>) {
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
            _ if group_may(&part.meta, part.list.as_ref()) & WRITE != 0 => Some(&WRITABLE_BY_GROUP),
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
}

/// What the group may do: with an access list the mode has the mask in its place.
fn group_may(meta: &Metadata, list: Option<&AccessList>) -> u32 {
    list.map_or(meta.mode() >> 3 & 7, |list| list.group)
}

/// Who is let in by access lists.
fn access(folder: &Folder<'_>, owner: u32, parts: &[Part], findings: &mut Findings<'_>) {
    let mut say = |name: &str, list: &AccessList, counts: u32| {
        if let Some(granted) = list.granted(owner, counts) {
            findings.store(&ACCESS_LIST, format!("{name}: {granted}"));
        }
    };
    for part in parts {
        // Certificates alone are for everybody to read.
        let counts = if part.holds == Holds::Nothing { WRITE } else { READ | WRITE };
        part.list.iter().for_each(|list| say(&part.name(), list, counts));
    }
    folder.list.iter().filter(|_| !folder.sticky()).for_each(|list| say(&folder.name(), list, WRITE));
}

/// Where a store lies; of a store that is a folder, that one, for whoever writes to it can replace its files.
struct Folder<'a> {
    path: &'a Path,
    meta: Metadata,
    list: Option<AccessList>,
    inside: bool,
}

impl<'a> Folder<'a> {
    fn of(store: &'a Path) -> Option<Folder<'a>> {
        let inside = store.is_dir();
        let path = match store.parent() {
            _ if inside => store,
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let meta = std::fs::metadata(path).ok()?;
        Some(Folder { path, meta, list: access_list(path), inside })
    }

    fn name(&self) -> String {
        format!("the folder {}", self.path.display())
    }

    /// Only the owner of a file can replace it.
    fn sticky(&self) -> bool {
        self.meta.mode() & 0o1000 != 0
    }

    fn writable(&self, findings: &mut Findings<'_>) {
        let rule = match self.meta.mode() {
            _ if self.sticky() => return,
            mode if mode & 0o002 != 0 => &FOLDER_WRITABLE,
            _ if group_may(&self.meta, self.list.as_ref()) & WRITE != 0 => &WRITABLE_BY_GROUP,
            _ => return,
        };
        findings.store(rule, format!("{} has mode {:04o}", self.name(), self.meta.mode() & 0o7777));
    }

    /// Whether it, or the user's folder that it is in, belongs to another than the store.
    fn owner(&self, owner: u32, for_all: bool, findings: &mut Findings<'_>) {
        let own = self.meta.uid();
        if own != owner && own != 0 && !self.sticky() {
            let text = format!("{} is user {own}'s, the store user {owner}'s", self.name());
            findings.store(&OWNERS_DIFFER, text);
        } else if let Some((user, above)) = self.user().filter(|(user, _)| *user != owner && !for_all) {
            let above = above.display();
            let text = format!("it is user {owner}'s, and lies below {above}, which is user {user}'s");
            findings.store(&OWNER_NOT_USER, text);
        }
    }

    /// The user whose programs use what is in it, as far as folders say so: the one to whom it belongs, or the
    /// nearest above it that is not root's, a home for instance.
    fn user(&self) -> Option<(u32, PathBuf)> {
        let real = self.path.canonicalize().ok()?;
        let mut above = real.ancestors().filter_map(|a| Some((a, std::fs::metadata(a).ok()?)));
        let (home, meta) = above.find(|(_, meta)| meta.uid() != 0)?;
        // What is everybody's says nothing about somebody.
        (meta.mode() & 0o1000 == 0).then(|| (meta.uid(), home.to_owned()))
    }
}
