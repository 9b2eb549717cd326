//! A store made fit for a format before its writer sees it: what the format can't hold is taken out and
//! listed, keys are opened, labels are made unique.

use super::labels::{self, Stays, shown};
use super::{Map, Set};
use crate::asn1::cert_fields;
use crate::context::Ctx;
use crate::crypto::public::{same_public_key, spki_of_pkcs8};
use crate::error::{Error, Kind, Result};
use crate::format::{Format, Labels, TrustRange};
use crate::model::{Der, Entry, Item, ItemKind, Label, Loss, LossKind, Store, Trust};
use std::collections::BTreeMap;

/// Makes `store`, read under `from`, fit for `to`. Where `same_password` says so, keys of `to`'s own format
/// that can't be opened stay sealed and are copied as they are; it is asked only then, for it may prompt. What
/// `stays` was there before, and keeps its label or stays without.
pub(super) fn prepare(
    store: Store,
    from: &Ctx<'_>,
    to: &'static dyn Format,
    same_password: &dyn Fn() -> Result<bool>,
    stays: Stays<'_>,
) -> Result<(Store, Vec<Loss>)> {
    let carries = to.carries();
    let mut losses: Vec<Loss> = store.defects.iter().map(|e| unreadable(e)).collect();
    let outcomes = open_all(&store.entries, from, to)?;
    let all_fit =
        outcomes.iter().all(Result::is_ok) && store.entries.iter().all(|e| refusal(e, to).is_none());
    let mut entries = if all_fit {
        store.entries
    } else {
        let mut kept = Kept::new(to, store.entries.len());
        for (entry, outcome) in store.entries.into_iter().zip(outcomes) {
            match outcome {
                Ok(()) => keep(entry, to, &mut kept, &mut losses),
                Err(e) if e.kind() == Kind::Password && is_own(&entry, to) && same_password()? => {
                    kept.entries.push(entry)
                }
                Err(e) if e.kind() == Kind::Password || e.kind() == Kind::Unsupported => {
                    losses.push(Loss::new(LossKind::Key, shown(&entry), e.message().to_owned()));
                    kept.certificates_of(entry);
                }
                Err(e) => return Err(e.in_entry(shown(&entry))),
            }
        }
        kept.into_entries()
    };
    entries.iter_mut().for_each(|e| to.fit_trust(e));
    if to.flat() {
        entries = super::flat::flatten(entries, to, &mut losses);
    }
    if !carries.many && entries.len() > 1 {
        return Err(Error::refused(format!(
            "{} holds one object, the source has {}",
            to.name(),
            entries.len()
        ))
        .hint("choose one with --label, or write pem, which holds all"));
    }
    if !carries.many {
        entries.iter_mut().for_each(|e| one_object(e, to.name(), &mut losses));
    }
    foreign_facts(&entries, to, &mut losses);
    default_mark(&entries, to, &mut losses);
    match carries.labels {
        Labels::None if entries.iter().any(|e| e.label.is_some()) => {
            losses.push(Loss::new(
                LossKind::Note,
                "",
                format!("{} has no labels; they are left out", to.name()),
            ));
        }
        _ => labels::fit(&mut entries, to, stays, &mut losses),
    }
    Ok((Store { entries, facts: store.facts, ..Store::default() }, losses))
}

/// Opens every key that `to` can hold; one outcome an entry.
///
/// A key that no password opens is one whose own password wasn't given, *if* something shows that those
/// that were given are right: the store's integrity, or another key that they opened. Otherwise they are
/// wrong, or missing, and that is an error.
pub(super) fn open_all(entries: &[Entry], from: &Ctx<'_>, to: &dyn Format) -> Result<Vec<Result<()>>> {
    let outcomes: Vec<Result<()>> = entries.iter().map(|e| open(e, from, to)).collect();
    let wrong = |o: &Result<()>| o.as_ref().is_err_and(|e| e.kind() == Kind::Password);
    let Some(first) = outcomes.iter().position(wrong) else { return Ok(outcomes) };
    let opened = |e: &Entry| e.secret().is_some_and(|s| s.seal().is_some() && s.opened().is_some());
    let proven = entries.iter().any(|e| e.authenticated == Some(true) || opened(e));
    let given =
        || -> Result<bool> { Ok(from.secrets.store()?.is_some() || !from.secrets.key(None)?.is_empty()) };
    // A store of the same format may be rewritten around keys that nobody can open.
    let untouched = entries.iter().zip(&outcomes).all(|(e, o)| !wrong(o) || is_own(e, to));
    if proven || (untouched && !given()?) {
        return Ok(outcomes);
    }
    match outcomes.into_iter().nth(first) {
        Some(Err(e)) => Err(e.in_entry(shown(&entries[first]))),
        _ => Err(Error::password("a private key can't be opened")),
    }
}

/// Sealed by the very format that is to be written, so that it can be copied as it stands.
fn is_own(entry: &Entry, to: &dyn Format) -> bool {
    entry.secret().and_then(|s| s.seal()).is_some_and(|s| s.format() == to.name() && s.raw().is_some())
}

/// Opens an entry's key and checks that it belongs to its certificate: what is written as a pair must be
/// one, whatever the source's hints said.
fn open(entry: &Entry, from: &Ctx<'_>, to: &dyn Format) -> Result<()> {
    let Some(secret) = entry.secret() else { return Ok(()) };
    if secret.is_kept() && is_own(entry, to) {
        return Ok(()); // as it stood, with the certificate that it stood with
    }
    if !to.carries().items.contains(&entry.item.kind()) {
        return Ok(()); // taken out later, so not opened for nothing
    }
    let key = secret.open(from)?;
    match (&entry.item, entry.certificate()) {
        (Item::Key { .. }, Some(leaf)) => pair(&key.bytes, leaf),
        _ => Ok(()),
    }
}

/// Where a file holds one object: a key stands without its chain, a request without its key.
fn one_object(entry: &mut Entry, to: &str, losses: &mut Vec<Loss>) {
    let label = shown(entry).into_owned();
    match &mut entry.item {
        Item::Key { chain, .. } if !chain.is_empty() => {
            let text = format!("{to} holds the key alone; the {} certificates are left out", chain.len());
            losses.push(Loss::new(LossKind::Chain, label, text));
            chain.clear();
        }
        Item::Request { key: key @ Some(_), .. } => {
            losses.push(Loss::new(LossKind::Key, label, format!("{to} holds the request without its key")));
            *key = None;
        }
        _ => {}
    }
}

fn pair(pkcs8: &[u8], leaf: &[u8]) -> Result<()> {
    let (Some(of_key), Ok(of_cert)) = (spki_of_pkcs8(pkcs8)?, cert_fields(leaf)) else {
        return Ok(()); // an algorithm we don't know moves unharmed
    };
    if same_public_key(&of_key, of_cert.spki) {
        return Ok(());
    }
    Err(Error::malformed("the private key does not belong to the first certificate of its chain")
        .hint("leave the entry out with --label for the others, and look at the store with its own tool"))
}

/// Keeps an entry if the format can hold it, else what of it can be held.
fn keep(entry: Entry, to: &dyn Format, kept: &mut Kept, losses: &mut Vec<Loss>) {
    let Some(why) = refusal(&entry, to) else { return kept.entries.push(entry) };
    losses.push(Loss::new(loss_of(entry.item.kind()), shown(&entry), why));
    kept.certificates_of(entry);
}

/// Why the format can't hold an entry; `None` where it can.
fn refusal(entry: &Entry, to: &dyn Format) -> Option<String> {
    let kind = entry.item.kind();
    if to.carries().items.contains(&kind) {
        return to.cannot_hold(entry);
    }
    let word = match kind {
        ItemKind::Key => "private keys",
        ItemKind::Secret => "secret keys",
        ItemKind::Cert => "certificates",
        ItemKind::Request => "requests",
        ItemKind::Crl => "revocation lists",
        ItemKind::Other => "objects of this type",
    };
    Some(format!("{} holds no {word}", to.name()))
}

/// The kind of loss when an entry of this kind can't be held.
pub(super) fn loss_of(kind: ItemKind) -> LossKind {
    match kind {
        ItemKind::Key => LossKind::Key,
        ItemKind::Secret => LossKind::Secret,
        ItemKind::Cert => LossKind::Cert,
        ItemKind::Request => LossKind::Request,
        ItemKind::Crl => LossKind::Crl,
        ItemKind::Other => LossKind::Other,
    }
}

/// The entries that stay, among them the certificates of keys that don't.
pub(super) struct Kept {
    pub(super) entries: Vec<Entry>,
    /// The places of the certificates that came from a key, and which of them are its leaf.
    from_keys: Vec<(usize, bool)>,
    certificates: bool,
    /// The format says of each certificate how far it is trusted.
    trust: bool,
}

impl Kept {
    pub(super) fn new(to: &dyn Format, size: usize) -> Self {
        let carries = to.carries();
        Kept {
            entries: Vec::with_capacity(size),
            from_keys: Vec::new(),
            certificates: carries.items.contains(&ItemKind::Cert),
            trust: carries.trust != TrustRange::None,
        }
    }

    /// The certificates of a key entry as entries of their own: the key is lost, they need not be.
    ///
    /// An issuer in a chain is there to lead to an anchor, not as one. Where the format would make a CA on
    /// its own an anchor, it goes without trust, which the writer keeps or reports.
    pub(super) fn certificates_of(&mut self, entry: Entry) {
        let Item::Key { chain, .. } = entry.item else { return };
        if !self.certificates {
            return;
        }
        for (at, link) in chain.into_iter().enumerate() {
            let leaf = at == 0;
            let mut cert = Entry::new(Item::Cert(link.cert));
            cert.label = if leaf { entry.label.clone() } else { link.label };
            cert.trust = if leaf { entry.trust.clone() } else { self.trust.then(Trust::default) };
            cert.authenticated = entry.authenticated;
            self.from_keys.push((self.entries.len(), leaf));
            self.entries.push(cert);
        }
    }

    /// All of them. Of those from keys, an issuer that is there already adds nothing, nor does a leaf that is
    /// there under the same label.
    pub(super) fn into_entries(self) -> Vec<Entry> {
        if self.from_keys.is_empty() {
            return self.entries;
        }
        let from_keys: Map<usize, bool> = self.from_keys.into_iter().collect();
        let own = |(at, e): (usize, &Entry)| match &e.item {
            Item::Cert(c) if !from_keys.contains_key(&at) => Some((c.clone(), e.label.clone())),
            _ => None,
        };
        let mut labelled: Set<(Der, Option<Label>)> =
            self.entries.iter().enumerate().filter_map(own).collect();
        let mut there: Set<Der> = labelled.iter().map(|(c, _)| c.clone()).collect();
        let mut places = 0..;
        let mut entries = self.entries;
        entries.retain(|e| {
            let leaf = places.next().and_then(|at| from_keys.get(&at));
            match (leaf, &e.item) {
                (Some(true), Item::Cert(c)) => {
                    there.insert(c.clone());
                    labelled.insert((c.clone(), e.label.clone()))
                }
                (Some(false), Item::Cert(c)) => there.insert(c.clone()),
                _ => true,
            }
        });
        entries
    }
}

fn unreadable(e: &Error) -> Loss {
    let label = e.place().label.clone().unwrap_or_default();
    let at = e.place().offset.map(|o| format!(" at byte {o:#x}")).unwrap_or_default();
    Loss::new(LossKind::Unreadable, label, format!("{}{at}", e.message()))
}

/// The mark of the default key: a loss where there are several to choose from.
fn default_mark(entries: &[Entry], to: &dyn Format, losses: &mut Vec<Loss>) {
    let Some(marked) = entries.iter().find(|e| e.default && !to.marks_default()) else { return };
    let keys = entries.iter().filter(|e| matches!(e.item, Item::Key { .. })).count();
    let kind = if keys > 1 { LossKind::Default } else { LossKind::Note };
    losses.push(Loss::new(kind, shown(marked), format!("{} can't mark it as the default key", to.name())));
}

/// Facts that only the source's format knows: noted once for each, with how many entries have it.
fn foreign_facts(entries: &[Entry], to: &dyn Format, losses: &mut Vec<Loss>) {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for attr in entries.iter().flat_map(|e| &e.attrs).filter(|a| !a.is_as_written()) {
        if !to.keeps(attr.format) {
            *counts.entry((attr.format, &attr.id)).or_default() += 1;
        }
    }
    losses.extend(counts.into_iter().map(|((format, id), n)| {
        Loss::new(
            LossKind::Note,
            "",
            format!(
                "{} has no place for {format}'s \"{id}\" ({n} {})",
                to.name(),
                if n == 1 { "entry" } else { "entries" }
            ),
        )
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{KeyMaterial, Level, Link, Secret};
    use std::sync::Arc;

    fn cert(n: u8) -> Der {
        Der::new(vec![0x30, 1, n])
    }

    fn lone(n: u8, label: &str) -> Entry {
        let mut entry = Entry::new(Item::Cert(cert(n))).with_label(label);
        entry.trust = Some(Trust::all(Level::Anchor));
        entry
    }

    fn key(label: &str, chain: &[u8]) -> Entry {
        let key = Arc::new(Secret::clear(KeyMaterial::pkcs8(Default::default())));
        let chain = chain.iter().map(|n| Link::from(cert(*n))).collect();
        Entry::new(Item::Key { key, chain }).with_label(label)
    }

    /// Last byte, label and trust of every entry.
    fn shown(entries: &[Entry]) -> Vec<(u8, String, Option<Trust>)> {
        let byte = |e: &Entry| e.object().and_then(|d| d.last().copied()).unwrap_or(0);
        entries.iter().map(|e| (byte(e), e.label_text().into_owned(), e.trust.clone())).collect()
    }

    #[test]
    fn issuers_of_a_lost_key_are_no_anchors() {
        let (unset, anchor) = (Some(Trust::default()), Some(Trust::all(Level::Anchor)));
        let of = |format: &str| {
            let mut kept = Kept::new(crate::by_name(format).expect("a format"), 0);
            kept.certificates_of(key("a", &[1, 2, 3]));
            kept.certificates_of(key("b", &[4, 2, 3]));
            kept.entries.push(lone(3, "root"));
            kept.certificates_of(key("b", &[4]));
            shown(&kept.into_entries())
        };
        let (a, b) = ((1, "a".to_owned(), None), (4, "b".to_owned(), None));
        let root = (3, "root".to_owned(), anchor);
        for format in ["jks", "p12"] {
            assert_eq!(
                of(format),
                [a.clone(), (2, String::new(), unset.clone()), b.clone(), root.clone()],
                "{format}"
            );
        }
        // PEM says nothing of trust, so there is nothing to say.
        assert_eq!(of("pem"), [a, (2, String::new(), None), b, root]);
    }
}
