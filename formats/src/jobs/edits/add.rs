//! Entries of other files put into a store.

use super::{Line, Template};
use crate::asn1::cert_fields;
use crate::context::Ctx;
use crate::crypto::public::{identity, spki_of_pkcs8};
use crate::error::{Error, Result};
use crate::format::{Format, Labels};
use crate::jobs::labels::{made_from, shown};
use crate::jobs::request::chain_of;
use crate::jobs::select::{by_label, folded};
use crate::jobs::{Input, Map, Set, load};
use crate::model::{Der, Entry, Item, KeyMaterial, Label, Link, Store, Trust};
use std::path::PathBuf;

/// What a file holds, read and with its keys open: their passwords are that file's.
#[derive(Clone)]
pub struct Incoming {
    /// The file.
    pub path: PathBuf,
    /// Its entries.
    pub entries: Vec<Entry>,
    /// What the reader had to say.
    pub warnings: Vec<String>,
}

/// Reads a file whole, or the one entry with this label; what can't be read of it is an error, for nobody would
/// miss it later.
pub fn incoming(input: &Input<'_>, label: Option<&str>) -> Result<Incoming> {
    let path = input.source.path();
    let mut loaded = load(input)?;
    let format = loaded.format.name();
    let named = |e: Error| e.in_format(format).in_file(path);
    if let Some(defect) = loaded.store.defects.first() {
        return Err(named(
            Error::malformed(format!("it is damaged: {}", defect.message())).at_if(defect.place().offset),
        ));
    }
    if let Some(label) = label {
        let at = by_label(&loaded.store, label, loaded.format).map_err(named)?;
        loaded.store.entries = vec![loaded.store.entries.swap_remove(at)];
    }
    for entry in &loaded.store.entries {
        if let Some(secret) = entry.secret() {
            secret.open(&input.ctx).map_err(|e| named(e.in_entry(entry.label_text())))?;
        }
    }
    Ok(Incoming { path: path.to_owned(), entries: loaded.store.entries, warnings: loaded.store.warnings })
}

/// How entries are put in.
#[derive(Clone, Debug, Default)]
pub struct Adding {
    /// The labels they get; `None`: as their file has them, else by their subject.
    pub label: Option<Template>,
    /// Trust of certificates on their own; `None`: what their file says, else the format's usual.
    pub trust: Option<Trust>,
    /// Leave private and secret keys out; of a key its certificates come.
    pub certs_only: bool,
}

/// What came in.
#[derive(Clone, Debug, Default)]
pub struct Added {
    /// New entries, under the labels that they got.
    pub came: Vec<Line>,
    /// Entries of the files that the store had, under its own labels.
    pub there: Vec<Line>,
}

/// Puts every entry in that the store does not hold, which the bytes of its certificate tell, or those
/// of a key that has none. `ctx` has the store's passwords.
///
/// A key without a certificate goes together with one of its own, whichever of the files or the store holds it.
///
/// A label that is taken gets a number, unless it was asked for in so many words: that is `Kind::Refused`.
pub fn add(
    store: &mut Store,
    format: &dyn Format,
    files: &[Incoming],
    how: &Adding,
    ctx: &Ctx<'_>,
) -> Result<Added> {
    let united = unite(files);
    let files = united.as_deref().unwrap_or(files);
    let orphans = orphans(store, ctx);
    let mut known = Known::of(store);
    let mut names = Names::of(store, format);
    let mut out = Added::default();
    for file in files {
        for entry in file.entries.iter().flat_map(|e| wanted(e, how)) {
            if let Some(at) = known.place(&entry, store).or_else(|| same_secret(&entry, store, ctx)) {
                out.there.push(Line::of(&store.entries[at]));
                continue;
            }
            if let Some(at) = waits_for(&entry, &orphans, store) {
                let leaf = entry.object().cloned();
                let pool: Vec<_> = certificates(&file.entries).chain(certificates(&store.entries)).collect();
                if let (Item::Key { chain, .. }, Some(leaf)) = (&mut store.entries[at].item, leaf) {
                    *chain = links(&leaf, &pool);
                }
                out.came.push(Line::of(&store.entries[at]));
                known = Known::of(store);
                continue;
            }
            let mut entry = entry;
            let own = own_certificate(&entry, store);
            if let (Some(leaf), Item::Key { chain, .. }) = (&own, &mut entry.item) {
                let pool: Vec<_> = certificates(&store.entries).collect();
                *chain = links(leaf, &pool);
            }
            if let (Some(trust), Item::Cert(_)) = (&how.trust, &entry.item) {
                entry.trust = Some(trust.clone());
            }
            entry.label = match &how.label {
                Some(template) => {
                    let label = template.apply(&entry, &file.path);
                    if template.is_plain() && names.has(&label, &entry) {
                        return Err(Error::refused(format!("the label \"{label}\" is taken"))
                            .hint("a label of fields, such as {cn}, gives each entry one of its own"));
                    }
                    Some(Label::from(label))
                }
                None => entry.label.take().filter(|l| !l.bytes().is_empty()),
            };
            names.give(&mut entry);
            let replaces = known.lone(&entry, format).or_else(|| known.unmarked(&entry, store));
            out.came.push(Line::of(&entry));
            match replaces {
                // Where a certificate is there once, it goes over to its key, with the name that it has.
                Some(at) => {
                    entry.label = store.entries[at].label.clone().or(entry.label.take());
                    store.entries[at] = entry;
                }
                None => store.entries.push(entry),
            }
            known.note(store);
        }
    }
    Ok(out)
}

/// The files with keys that have no certificate joined to those that are in another file; `None` where nothing is to be
/// joined. Signers that stand in the file of a key's certificate go with it, as within one file.
fn unite(files: &[Incoming]) -> Option<Vec<Incoming>> {
    let bare = |e: &Entry| matches!(&e.item, Item::Key { chain, .. } if chain.is_empty());
    if !files.iter().flat_map(|f| &f.entries).any(bare) {
        return None;
    }
    let mut all: Map<Vec<u8>, (usize, &Entry)> = Map::default();
    for (at, file) in files.iter().enumerate() {
        for entry in file.entries.iter().filter(|e| matches!(e.item, Item::Cert(_))) {
            if let Some(fields) = entry.certificate().and_then(|c| cert_fields(c).ok()) {
                all.entry(identity(fields.spki)).or_insert((at, entry));
            }
        }
    }
    let mut out = files.to_vec();
    let mut gone: Set<(usize, Der)> = Set::default();
    for entry in out.iter_mut().flat_map(|f| &mut f.entries).filter(|e| bare(e)) {
        let leaf = entry.secret().and_then(|s| public_half(s.opened()?)).and_then(|p| all.get(&p));
        let (Some((from, own)), Item::Key { chain, .. }) = (leaf, &mut entry.item) else { continue };
        let Some(leaf) = own.certificate() else { continue };
        let others = files.iter().flat_map(|f| certificates(&f.entries));
        let pool: Vec<_> = certificates(&files[*from].entries).chain(others).collect();
        *chain = links(leaf, &pool);
        gone.extend(chain.iter().map(|l| (*from, l.cert.clone())));
        entry.label = entry.label.take().or_else(|| own.label.clone());
    }
    for (at, file) in out.iter_mut().enumerate() {
        let stays = |e: &Entry| match &e.item {
            Item::Cert(der) => !gone.contains(&(at, der.clone())),
            _ => true,
        };
        file.entries.retain(stays);
    }
    Some(out)
}

fn certificates(entries: &[Entry]) -> impl Iterator<Item = Der> + '_ {
    entries.iter().filter_map(|e| match &e.item {
        Item::Cert(der) => Some(der.clone()),
        _ => None,
    })
}

fn links(leaf: &Der, pool: &[Der]) -> Vec<Link> {
    chain_of(leaf, pool).into_iter().map(Link::from).collect()
}

/// What tells the public key of a private one.
fn public_half(key: &KeyMaterial) -> Option<Vec<u8>> {
    spki_of_pkcs8(&key.bytes).ok()?.map(|spki| identity(&spki))
}

/// The keys of the store that have no certificate, by what tells their public keys.
fn orphans(store: &Store, ctx: &Ctx<'_>) -> Map<Vec<u8>, usize> {
    let mut out = Map::default();
    for (at, entry) in store.entries.iter().enumerate() {
        if let Item::Key { key, chain } = &entry.item
            && chain.is_empty()
            && let Some(public) = key.open(ctx).ok().and_then(public_half)
        {
            out.entry(public).or_insert(at);
        }
    }
    out
}

/// The key of the store for which a certificate comes that it had not.
fn waits_for(entry: &Entry, orphans: &Map<Vec<u8>, usize>, store: &Store) -> Option<usize> {
    let Item::Cert(der) = &entry.item else { return None };
    let at = if orphans.is_empty() { None } else { orphans.get(&identity(cert_fields(der).ok()?.spki)) };
    let bare = |at: &usize| matches!(&store.entries[*at].item, Item::Key { chain, .. } if chain.is_empty());
    at.copied().filter(bare)
}

/// The certificate of a key that comes without one, if it stands in the store by itself.
fn own_certificate(entry: &Entry, store: &Store) -> Option<Der> {
    let Item::Key { key, chain } = &entry.item else { return None };
    let public = if chain.is_empty() { public_half(key.opened()?)? } else { return None };
    let is_it = |der: &Der| cert_fields(der).is_ok_and(|f| identity(f.spki) == public);
    certificates(&store.entries).find(is_it)
}

/// What of an entry is to come.
fn wanted(entry: &Entry, how: &Adding) -> Vec<Entry> {
    match &entry.item {
        Item::Key { chain, .. } if how.certs_only => {
            let links = chain.iter().enumerate().map(|(at, link)| {
                let label = if at == 0 { entry.label.clone() } else { link.label.clone() };
                Entry { label, ..Entry::new(Item::Cert(link.cert.clone())) }
            });
            links.collect()
        }
        Item::Symmetric(_) | Item::Request { .. } if how.certs_only => Vec::new(),
        _ => vec![Entry { default: false, authenticated: None, ..entry.clone() }],
    }
}

/// Where the store has the same key, of those that have no certificate. One that can't be opened is another.
fn same_secret(entry: &Entry, store: &Store, ctx: &Ctx<'_>) -> Option<usize> {
    if entry.object().is_some() {
        return None;
    }
    let wanted = entry.secret()?.opened()?;
    store.entries.iter().position(|e| {
        let same = |key: &KeyMaterial| key.bytes == wanted.bytes && key.algorithm == wanted.algorithm;
        e.object().is_none()
            && e.item.kind() == entry.item.kind()
            && e.secret().and_then(|s| s.open(ctx).ok()).is_some_and(same)
    })
}

/// The objects that a store holds.
struct Known {
    places: Map<Der, usize>,
    seen: usize,
}

impl Known {
    fn of(store: &Store) -> Self {
        let mut out = Known { places: Map::default(), seen: 0 };
        out.note(store);
        out
    }

    /// Takes note of what came since. A key stands for its certificate before a certificate alone.
    fn note(&mut self, store: &Store) {
        for (at, entry) in store.entries.iter().enumerate().skip(self.seen.saturating_sub(1)) {
            if let Some(object) = entry.object() {
                let is_key = matches!(entry.item, Item::Key { .. });
                let place = self.places.entry(object.clone()).or_insert(at);
                if is_key {
                    *place = at;
                }
            }
        }
        self.seen = store.entries.len();
    }

    /// Where the store has the same: a key's certificate counts for a certificate, not the other way round.
    fn place(&self, entry: &Entry, store: &Store) -> Option<usize> {
        let at = *self.places.get(entry.object()?)?;
        let there = store.entries.get(at)?;
        let brings_key = matches!(entry.item, Item::Key { .. }) && !matches!(there.item, Item::Key { .. });
        (!brings_key).then_some(at)
    }

    /// The same where nothing is said of its trust: alone it was there for its key.
    fn unmarked(&self, entry: &Entry, store: &Store) -> Option<usize> {
        let at = *self.places.get(entry.object()?)?;
        let there = store.entries.get(at)?;
        let open = matches!(there.item, Item::Cert(_)) && there.trust.is_none();
        (open && matches!(entry.item, Item::Key { .. })).then_some(at)
    }

    /// The certificate alone that a key's entry takes the place of, in a format that has each once.
    fn lone(&self, entry: &Entry, format: &dyn Format) -> Option<usize> {
        let once = format.flat() || matches!(format.carries().labels, Labels::BySubject);
        let is_key = matches!(entry.item, Item::Key { .. });
        self.places.get(entry.object()?).copied().filter(|_| once && is_key)
    }
}

/// The labels that are taken, and by which subjects.
pub(in crate::jobs) struct Names<'a> {
    format: &'a dyn Format,
    taken: Map<String, Vec<Vec<u8>>>,
}

impl<'a> Names<'a> {
    pub fn of(store: &Store, format: &'a dyn Format) -> Self {
        let mut out = Names { format, taken: Map::default() };
        // What goes by its subject keeps that name for itself.
        for entry in &store.entries {
            out.take(&shown(entry), entry);
        }
        out
    }

    fn take(&mut self, label: &str, entry: &Entry) {
        let key = folded(label, self.format).into_owned();
        self.taken.entry(key).or_default().push(subject(entry));
    }

    fn has(&self, label: &str, entry: &Entry) -> bool {
        let by = self.taken.get(&*folded(label, self.format));
        by.is_some_and(|by| match self.format.carries().labels {
            Labels::BySubject => by.iter().any(|s| *s != subject(entry)),
            _ => true,
        })
    }

    /// Makes the entry's label one that is free, where the format has labels.
    pub fn give(&mut self, entry: &mut Entry) {
        let text = match (self.format.carries().labels, &entry.label) {
            (Labels::None, _) | (Labels::Optional, None) => return,
            (_, Some(label)) => label.text().into_owned(),
            (_, None) => made_from(entry),
        };
        let mut free = text.clone();
        let mut n = 2;
        while self.has(&free, entry) {
            free = format!("{text} #{n}");
            n += 1;
        }
        self.take(&free, entry);
        // One that isn't text stays as it is.
        if free != text || entry.label.as_ref().is_none_or(|l| l.as_str().is_some()) {
            entry.label = Some(Label::from(free));
        }
    }
}

fn subject(entry: &Entry) -> Vec<u8> {
    entry.certificate().and_then(|c| cert_fields(c).ok()).map(|f| f.subject.to_vec()).unwrap_or_default()
}
