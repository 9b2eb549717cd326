//! Which stores there are, and which of them change together.

use super::user::Owner;
use super::walk::{Found, find};
use crate::config::{Config, Store};
use formats::storeset::is_leftover;
use formats::{Error, Format, Kind};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A store of the machine.
pub struct Planned<'a> {
    /// What the configuration says of it.
    pub rule: &'a Store,
    /// Its format where that is said.
    pub format: Option<&'static dyn Format>,
    /// Its path.
    pub path: PathBuf,
    /// The settings file that leads to its generations.
    pub pointer: Option<PathBuf>,
    /// What the stars of the pattern stand for.
    pub stars: Vec<String>,
}

/// Stores that are built together and change together.
pub struct Set<'a> {
    /// The stores, in the order of the configuration.
    pub stores: Vec<Planned<'a>>,
    /// Whose they are: user and group, where that is not who runs the program.
    pub owner: Option<Owner>,
}

impl Set<'_> {
    /// What it is called in messages: its first store.
    pub fn name(&self) -> &Path {
        self.stores.first().map_or(Path::new(""), |s| &s.path)
    }
}

/// Every set, in the order of their names, and what could not be looked at.
pub fn sets(config: &Config) -> formats::Result<(Vec<Set<'_>>, Vec<Error>)> {
    let mut sets: BTreeMap<(Vec<String>, Option<u32>), Set<'_>> = BTreeMap::new();
    let mut failed = Vec::new();
    for rule in &config.store {
        let (found, errors) = stores(rule);
        failed.extend(errors);
        for (store, owner) in found {
            let key = (store.stars.clone(), owner.as_ref().map(|o| o.uid));
            sets.entry(key).or_insert_with(|| Set { stores: Vec::new(), owner }).stores.push(store);
        }
    }
    for set in sets.values() {
        let mut keys = set.stores.iter().map(|s| (&s.rule.key, &s.rule.key_password));
        let first = keys.next();
        if keys.any(|k| Some(k) != first) {
            return Err(Error::malformed("stores of one set have different values of key")
                .hint("stores that change together have the same private key")
                .in_file(set.name()));
        }
    }
    Ok((sets.into_values().collect(), failed))
}

/// The stores that one rule means, and whose they are.
fn stores(rule: &Store) -> (Vec<(Planned<'_>, Option<Owner>)>, Vec<Error>) {
    let path = rule.path().1;
    // The settings file stays where it is; the store may be in a generation's folder.
    let pattern = rule.pointer.as_deref().map_or(path, Path::new);
    let text = pattern.to_string_lossy();
    let (mut found, mut failed) = find(&text);
    if text.contains('*') {
        // What this program leaves beside stores is no store.
        found.retain(|f| !f.path.file_name().is_some_and(is_leftover));
    } else if found.is_empty() && failed.is_empty() {
        // Its folder says whose a new store is.
        if rule.create {
            (found, failed) = find(&folder(pattern));
        }
        found.iter_mut().for_each(|f| f.path = pattern.to_owned());
        if found.is_empty() && failed.is_empty() {
            failed
                .push(Error::new(Kind::Read, "is not there").hint("create = true makes it").in_file(pattern));
        }
    }
    let mut all = Vec::new();
    for Found { path, owner } in found {
        let stars = stars(&text, &path.to_string_lossy());
        let planned = planned(rule, &path, stars);
        match one_owner(&planned, owner.as_ref()) {
            Ok(()) => all.push((planned, owner)),
            Err(e) => failed.push(e),
        }
    }
    (all, failed)
}

/// The folder that a path is in, as a pattern.
fn folder(path: &Path) -> Cow<'_, str> {
    path.parent().unwrap_or(Path::new("/")).to_string_lossy()
}

/// That a store whose settings file is `owner`'s is in a folder of `owner`'s, too: whoever works on it has the rights
/// of the one.
fn one_owner(planned: &Planned<'_>, owner: Option<&Owner>) -> formats::Result<()> {
    let Some(pointer) = &planned.pointer else { return Ok(()) };
    let (found, mut failed) = find(&folder(&planned.path));
    match (found.first(), failed.pop()) {
        (_, Some(e)) => Err(e),
        (Some(found), None) if found.owner.as_ref().map(|o| o.uid) != owner.map(|o| o.uid) => {
            let what = format!("is not in a folder of the same user's as {}", pointer.display());
            Err(Error::refused(what).in_file(&planned.path))
        }
        _ => Ok(()),
    }
}

/// The store that was found by the name `found`: its own, or that of the settings file that leads to it.
fn planned<'a>(rule: &'a Store, found: &Path, stars: Vec<String>) -> Planned<'a> {
    let (format, path) = rule.path();
    let (path, pointer) = match rule.pointer {
        Some(_) => (PathBuf::from(filled(&path.to_string_lossy(), &stars)), Some(found.to_owned())),
        None => (found.to_owned(), None),
    };
    Planned { rule, format, path, pointer, stars }
}

/// What each star of `pattern` stands for in `path`, which matches it: part by part of the path, the shortest text.
fn stars(pattern: &str, path: &str) -> Vec<String> {
    let mut stars = Vec::new();
    for (pattern, mut part) in pattern.split('/').zip(path.split('/')) {
        let mut pieces = pattern.split('*');
        part = part.strip_prefix(pieces.next().unwrap_or_default()).unwrap_or(part);
        let pieces: Vec<_> = pieces.collect();
        for (at, piece) in pieces.iter().enumerate() {
            let last = at + 1 == pieces.len();
            let end = if last { part.len().checked_sub(piece.len()) } else { part.find(piece) };
            let end = end.unwrap_or(part.len());
            stars.push(part.get(..end).unwrap_or_default().to_owned());
            part = part.get(end + piece.len()..).unwrap_or_default();
        }
    }
    stars
}

/// `template` with its stars replaced, in their order.
pub fn filled(template: &str, stars: &[String]) -> String {
    let mut stars = stars.iter();
    let mut pieces = template.split('*');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        out.push_str(stars.next().map_or("*", String::as_str));
        out.push_str(piece);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_names() {
        assert_eq!(stars("/home/*/client.kdb", "/home/ann/client.kdb"), ["ann"]);
        assert_eq!(stars("/srv/*/k-*.p12", "/srv/a.b/k-7.p12"), ["a.b", "7"]);
        assert_eq!(stars("/x/*a*b", "/x/1a2ab"), ["1", "2a"]);
        assert_eq!(filled("file:/home/*/pw", &["ann".to_owned()]), "file:/home/ann/pw");
        assert_eq!(filled("env:PW", &["ann".to_owned()]), "env:PW");
    }
}
