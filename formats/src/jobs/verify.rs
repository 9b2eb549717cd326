//! The read-back: what was staged is opened like any store and compared with what was to be written.
//!
//! Compared is what people rely on: every key with its label, its very bytes and its leaf; every other
//! entry; every certificate somewhere it can be used from; and that nothing else came in. Where a format
//! derives chains from its certificates, a chain may come back longer, and a certificate that stood alone
//! may come back as part of one.

use crate::context::Ctx;
use crate::error::{Error, Kind, Result};
use crate::format::{Format, Labels};
use crate::model::{Der, Entry, Item, Secret, Store};
use foldhash::quality::FixedState;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash};

// Keyed by prints, which are hashes already; for the rest see `Print`.
type Map<K, V> = HashMap<K, V, FixedState>;
type Set<K> = HashSet<K, FixedState>;

/// 64 bits, not keyed: the two stores differ by accident or not at all.
type Print = u64;

/// What a store must hold when it is read back.
pub(super) struct Expected<'a> {
    store: &'a Store,
    format: &'static dyn Format,
}

impl<'a> Expected<'a> {
    /// Takes `store` as it is handed to the writer of `format`.
    pub(super) fn of(store: &'a Store, format: &'static dyn Format) -> Self {
        Expected { store, format }
    }

    /// Compares what was read back under `ctx`.
    pub(super) fn check(&self, back: &Store, ctx: &Ctx<'_>) -> Result<()> {
        if let Some(defect) = back.defects.first() {
            return Err(wrong(format!("it can't be read back: {}", defect.message())));
        }
        // What was copied as it stood is compared so, and need not be opened.
        let raw = |s: &Secret| s.seal().and_then(|s| s.raw()).map(print);
        let secrets = || self.store.entries.iter().filter_map(Entry::secret);
        let kept: Set<Print> = secrets().filter(|s| s.is_kept()).filter_map(|s| raw(s)).collect();
        for secret in back.entries.iter().filter_map(Entry::secret) {
            if raw(secret).is_some_and(|r| kept.contains(&r)) {
                secret.keep_sealed();
            } else {
                reopen(secret, ctx)?;
            }
        }
        // Most formats keep the order, and then a look at each pair is enough.
        let pairs = || self.store.entries.iter().zip(&back.entries);
        if self.store.entries.len() == back.entries.len() && pairs().all(|(a, b)| self.alike(a, b)) {
            return Ok(());
        }
        Parts::of(self.store, self.format).check(back)
    }

    /// The same entry, byte for byte.
    fn alike(&self, a: &Entry, b: &Entry) -> bool {
        let chains = match (&a.item, &b.item) {
            (Item::Key { chain: a, .. }, Item::Key { chain: b, .. }) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.cert == b.cert)
            }
            _ => true,
        };
        let bare = a.secret().is_none() && b.secret().is_none();
        chains
            && a.item.kind() == b.item.kind()
            && a.object() == b.object()
            && label(a, self.format) == label(b, self.format)
            && (bare || key_print(a, self.format) == key_print(b, self.format))
    }
}

/// What a store holds, in any order.
struct Parts<'a> {
    format: &'static dyn Format,
    /// How often each key, and one entry that has it.
    keys: Map<Print, (usize, &'a Entry)>,
    /// Everything that is no key, and its certificate where it is one.
    lone: Map<Print, (&'a Entry, Option<Print>)>,
    /// Every certificate, alone or in a chain.
    certificates: Set<Print>,
    links: Set<Print>,
}

impl<'a> Parts<'a> {
    fn of(store: &'a Store, format: &'static dyn Format) -> Self {
        let size = store.entries.len();
        let mut e = Parts {
            format,
            keys: Map::default(),
            lone: Map::with_capacity_and_hasher(size, FixedState::default()),
            certificates: Set::with_capacity_and_hasher(size, FixedState::default()),
            links: Set::default(),
        };
        for entry in &store.entries {
            match &entry.item {
                Item::Key { chain, .. } => {
                    e.keys.entry(key_print(entry, format)).or_insert((0, entry)).0 += 1;
                    e.links.extend(chain.iter().map(|l| l.cert.print()));
                }
                item => {
                    let body = body_print(entry);
                    let certificate = matches!(item, Item::Cert(_)).then_some(body);
                    e.certificates.extend(certificate);
                    e.lone.insert(lone_print(entry, body, format), (entry, certificate));
                }
            }
        }
        e.certificates.extend(e.links.iter().copied());
        e
    }

    fn check(&self, back: &Store) -> Result<()> {
        let size = back.entries.len();
        let mut keys = self.keys.clone();
        let mut lone: Set<Print> = Set::with_capacity_and_hasher(size, FixedState::default());
        let mut seen: Set<Print> = Set::with_capacity_and_hasher(size, FixedState::default());
        for entry in &back.entries {
            match &entry.item {
                Item::Key { chain, .. } => {
                    match keys.get_mut(&key_print(entry, self.format)) {
                        Some((n, _)) if *n > 0 => *n -= 1,
                        _ => return Err(different(entry)),
                    }
                    seen.extend(chain.iter().map(|l| l.cert.print()));
                }
                Item::Cert(_) => {
                    let body = body_print(entry);
                    seen.insert(body);
                    lone.insert(lone_print(entry, body, self.format));
                }
                _ => {
                    let p = lone_print(entry, body_print(entry), self.format);
                    if !self.lone.contains_key(&p) {
                        return Err(different(entry));
                    }
                    lone.insert(p);
                }
            }
        }
        if let Some((_, entry)) = keys.values().find(|(n, _)| *n > 0) {
            return Err(wrong(format!("the key \"{}\" is missing", entry.label_text())));
        }
        if seen.iter().any(|p| !self.certificates.contains(p)) {
            return Err(wrong("it holds a certificate that nobody put there".to_owned()));
        }
        if self.certificates.iter().any(|p| !seen.contains(p)) {
            return Err(wrong("a certificate is missing".to_owned()));
        }
        // A certificate that also belongs to a chain may be found there alone; anything else must stand as
        // it stood.
        let in_chain = |c: &Option<Print>| c.is_some_and(|c| self.links.contains(&c));
        match self.lone.iter().find(|(p, (_, c))| !lone.contains(*p) && !in_chain(c)) {
            Some((_, (entry, _))) => Err(different(entry)),
            None => Ok(()),
        }
    }
}

fn key_print(entry: &Entry, format: &dyn Format) -> Print {
    let leaf = body_print(entry);
    with_material(entry, format, |m| print((label(entry, format), leaf, m)))
}

/// Of the object itself, as chains have it too.
fn body_print(entry: &Entry) -> Print {
    entry.object().map_or(0, Der::print)
}

fn lone_print(entry: &Entry, body: Print, format: &dyn Format) -> Print {
    with_material(entry, format, |m| print((label(entry, format), entry.item.kind(), body, m)))
}

/// The key's bytes: in the clear where it is open (in the format's own form, if it has one), as they stand
/// in the file where it stayed sealed.
fn with_material(entry: &Entry, format: &dyn Format, print: impl Fn((bool, &[u8])) -> Print) -> Print {
    let Some(secret) = entry.secret() else { return print((true, &[])) };
    match secret.opened() {
        Some(key) if matches!(entry.item, Item::Symmetric(_)) => print((true, &key.bytes)),
        Some(key) => match format.canonical_key(&key.bytes) {
            Some(canonical) => print((true, &canonical)),
            None => print((true, &key.bytes)),
        },
        None => print((false, secret.seal().and_then(|s| s.raw()).unwrap_or(&[]))),
    }
}

/// The label as far as the format keeps it.
fn label<'a>(entry: &'a Entry, format: &dyn Format) -> Cow<'a, str> {
    match format.carries().labels {
        Labels::None => Cow::Borrowed(""),
        Labels::Optional | Labels::BySubject => entry.label_text(),
        Labels::Unique(fold) => match entry.label_text() {
            Cow::Borrowed(text) => fold(text),
            Cow::Owned(text) => Cow::Owned(fold(&text).into_owned()),
        },
    }
}

fn different(entry: &Entry) -> Error {
    wrong(format!("\"{}\" ({}) came back different", entry.label_text(), entry.item.kind().name()))
}

/// Opens a key again; one that was copied as it stood, under a password that nobody gave, stays sealed.
fn reopen(key: &Secret, ctx: &Ctx<'_>) -> Result<()> {
    match key.open(ctx) {
        Err(e) if e.kind() == Kind::Password && key.seal().is_some_and(|s| s.raw().is_some()) => Ok(()),
        Err(e) => Err(wrong("a key can't be opened again".to_owned()).caused_by(e)),
        Ok(_) => Ok(()),
    }
}

fn print<T: Hash>(what: T) -> Print {
    FixedState::default().hash_one(what)
}

fn wrong(message: String) -> Error {
    Error::new(Kind::Write, format!("reading back what was staged: {message}; nothing was moved into place"))
}
