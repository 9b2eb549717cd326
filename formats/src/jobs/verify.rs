//! The read-back: what was staged is opened like any store and compared with what was to be written.
//!
//! Compared is what people rely on: every key with its label, its very bytes and its leaf; every other
//! entry; every certificate somewhere it can be used from; and that nothing else came in. Where a format
//! derives chains from its certificates, a chain may come back longer, and a certificate that stood alone
//! may come back as part of one.

use crate::context::Ctx;
use crate::error::{Error, Kind, Result};
use crate::format::Labels;
use crate::model::{Entry, Item, Secret, Store};
use foldhash::quality::FixedState;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher};

/// 128 bits, not keyed: the two stores differ by accident or not at all.
type Print = (u64, u64);

/// What a store must hold when it is read back.
pub(super) struct Expected {
    keys: HashMap<Print, (usize, String)>,
    /// Everything that is no key: its label, and the certificate where it is one.
    lone: HashMap<Print, (String, Option<Print>)>,
    certificates: HashSet<Print>,
    links: HashSet<Print>,
    labels: Labels,
}

impl Expected {
    /// Remembers `store` as it is handed to a writer whose format labels as `labels` says.
    pub(super) fn of(store: &Store, labels: Labels) -> Self {
        let mut e = Expected {
            keys: HashMap::new(),
            lone: HashMap::with_capacity(store.entries.len()),
            certificates: HashSet::with_capacity(store.entries.len()),
            links: HashSet::new(),
            labels,
        };
        for entry in &store.entries {
            match &entry.item {
                Item::Key { chain, .. } => {
                    e.keys.entry(e.key_print(entry)).or_insert((0, entry.label_text().into_owned())).0 += 1;
                    e.links.extend(chain.iter().map(|l| print(&*l.cert)));
                }
                Item::Cert(c) => {
                    let certificate = print(&**c);
                    e.certificates.insert(certificate);
                    e.lone.insert(e.lone_print(entry), (entry.label_text().into_owned(), Some(certificate)));
                }
                _ => {
                    e.lone.insert(e.lone_print(entry), (entry.label_text().into_owned(), None));
                }
            }
        }
        e.certificates.extend(e.links.iter().copied());
        e
    }

    /// Compares what was read back under `ctx`.
    pub(super) fn check(&self, back: &Store, ctx: &Ctx<'_>) -> Result<()> {
        if let Some(defect) = back.defects.first() {
            return Err(wrong(format!("it can't be read back: {}", defect.message())));
        }
        let mut keys = self.keys.clone();
        let mut lone: HashSet<Print> = HashSet::with_capacity(back.entries.len());
        let mut seen: HashSet<Print> = HashSet::with_capacity(back.entries.len());
        for entry in &back.entries {
            match &entry.item {
                Item::Key { key, chain } => {
                    reopen(key, ctx)?;
                    match keys.get_mut(&self.key_print(entry)) {
                        Some((n, _)) if *n > 0 => *n -= 1,
                        _ => {
                            return Err(wrong(format!(
                                "the key \"{}\" came back different",
                                entry.label_text()
                            )));
                        }
                    }
                    seen.extend(chain.iter().map(|l| print(&*l.cert)));
                }
                Item::Cert(c) => {
                    seen.insert(print(&**c));
                    lone.insert(self.lone_print(entry));
                }
                item => {
                    if let Some(secret) = entry.secret() {
                        reopen(secret, ctx)?;
                    }
                    let p = self.lone_print(entry);
                    if !self.lone.contains_key(&p) {
                        return Err(wrong(format!(
                            "\"{}\" ({}) came back different",
                            entry.label_text(),
                            item.kind().name()
                        )));
                    }
                    lone.insert(p);
                }
            }
        }
        if let Some((_, label)) = keys.values().find(|(n, _)| *n > 0) {
            return Err(wrong(format!("the key \"{label}\" is missing")));
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
            Some((_, (label, _))) => Err(wrong(format!("the entry \"{label}\" came back different"))),
            None => Ok(()),
        }
    }

    fn key_print(&self, entry: &Entry) -> Print {
        let leaf: &[u8] = entry.object().map_or(&[], |d| d);
        print((self.label(entry), leaf, material(entry)))
    }

    fn lone_print(&self, entry: &Entry) -> Print {
        let body: &[u8] = entry.object().map_or(&[], |d| d);
        print((self.label(entry), entry.item.kind(), body, material(entry)))
    }

    /// The label as far as the format keeps it.
    fn label(&self, entry: &Entry) -> String {
        match self.labels {
            Labels::None => String::new(),
            Labels::Optional => entry.label_text().into_owned(),
            Labels::Unique(fold) => fold(&entry.label_text()),
        }
    }
}

/// Opens a key again; one that was copied as it stood, under a password that nobody gave, stays sealed.
fn reopen(key: &Secret, ctx: &Ctx<'_>) -> Result<()> {
    match key.open(ctx) {
        Err(e) if e.kind() == Kind::Password && key.seal().is_some_and(|s| s.raw().is_some()) => Ok(()),
        Err(e) => Err(wrong("a key can't be opened again".to_owned()).caused_by(e)),
        Ok(_) => Ok(()),
    }
}

/// The key's bytes: in the clear where it is open, as they stand in the file where it stayed sealed.
fn material(entry: &Entry) -> (bool, &[u8]) {
    let Some(secret) = entry.secret() else { return (true, &[]) };
    match secret.opened() {
        Some(key) => (true, &key.bytes),
        None => (false, secret.seal().and_then(|s| s.raw()).unwrap_or(&[])),
    }
}

fn print<T: Hash>(what: T) -> Print {
    let half = |seed| {
        let mut h = FixedState::with_seed(seed).build_hasher();
        what.hash(&mut h);
        h.finish()
    };
    (half(1), half(2))
}

fn wrong(message: String) -> Error {
    Error::new(Kind::Write, format!("reading back what was staged: {message}; nothing was moved into place"))
}
