//! Which stores there are, and which of them change together.

use crate::config::{Config, Store};
use formats::storeset::is_leftover;
use formats::{Error, Format, Kind};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
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

/// A user, by numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
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
    let own = rustix::process::geteuid();
    for rule in &config.store {
        let (found, errors) = stores(rule)?;
        failed.extend(errors);
        for store in found {
            // Whose the store is, else whose the folder is that it will be in. The worker that opens it is that
            // user, so a link that is put there afterwards leads it nowhere that its owner can't go.
            let place = store.pointer.as_ref().unwrap_or(&store.path);
            let meta = place.symlink_metadata().or_else(|_| match place.parent() {
                Some(folder) => folder.metadata(),
                None => Err(std::io::ErrorKind::NotFound.into()),
            });
            let owner = match meta {
                Ok(meta) if own.is_root() && meta.uid() != 0 => {
                    Some(Owner { uid: meta.uid(), gid: meta.gid() })
                }
                Ok(_) => None,
                Err(e) => {
                    let reason = formats::place::reason(&e);
                    failed.push(
                        Error::io(Kind::Read, format!("can't be looked at: {reason}"), e)
                            .in_file(&store.path),
                    );
                    continue;
                }
            };
            let key = (store.stars.clone(), owner.map(|o| o.uid));
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

/// The stores that one rule means.
fn stores(rule: &Store) -> formats::Result<(Vec<Planned<'_>>, Vec<Error>)> {
    let path = rule.path().1;
    // The settings file stays where it is; the store may be in a generation's folder.
    let pattern = rule.pointer.as_deref().map_or(path, Path::new);
    let text = pattern.to_string_lossy();
    if !text.contains('*') {
        let there = rule.create || pattern.symlink_metadata().is_ok();
        let gone = Error::new(Kind::Read, "is not there").hint("create = true makes it").in_file(pattern);
        let planned = planned(rule, pattern, Vec::new());
        return Ok(if there { (vec![planned], Vec::new()) } else { (Vec::new(), vec![gone]) });
    }
    let options = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    // Only the star is special here.
    let escaped: Vec<String> = text.split('*').map(glob::Pattern::escape).collect();
    let found = glob::glob_with(&escaped.join("*"), options)
        .map_err(|e| Error::malformed(format!("not a pattern: {e}")).in_file(pattern))?;
    let (mut all, mut failed) = (Vec::new(), Vec::new());
    for path in found {
        match path {
            // What this program leaves beside stores is no store.
            Ok(path) if path.file_name().is_some_and(is_leftover) => {}
            Ok(path) => {
                let stars = stars(&text, &path.to_string_lossy());
                all.push(planned(rule, &path, stars));
            }
            Err(e) => {
                let path = e.path().to_owned();
                failed.push(
                    Error::io(Kind::Read, "can't be looked into", std::io::Error::from(e)).in_file(&path),
                );
            }
        }
    }
    Ok((all, failed))
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
