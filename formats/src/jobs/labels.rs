//! Labels for entries that have none, and for formats that allow no two alike.

use super::{Map, Set};
use crate::asn1::{cert_fields, oid, request_fields};
use crate::format::{Format, Labels};
use crate::model::{Der, Entry, Item, ItemKind, Label, Loss, LossKind, Store};
use crate::query::dn;
use foldhash::quality::FixedState;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::hash::BuildHasher;

/// Makes the labels of `entries` fit what a format demands.
///
/// An entry without a label gets one from CN, else O, OU; where that is taken, ` #2` and so on in the
/// order of the certificates' fingerprints: never an index, so that the same certificate keeps its label
/// whatever else is in the store. Labels that were given and collide are changed too, which is a loss.
///
/// What `stays` says was there before and has the label that it had keeps it, even if others have it too. Without
/// one it stays only where the format knows entries without.
pub(super) fn fit(entries: &mut Vec<Entry>, to: &dyn Format, stays: Stays<'_>, losses: &mut Vec<Loss>) {
    let fold = match to.carries().labels {
        Labels::None | Labels::Optional => return,
        Labels::BySubject => return super::nicknames::fit(entries, stays, losses),
        Labels::Unique(fold) => fold,
    };
    let mut taken: Map<String, usize> = Map::with_capacity_and_hasher(entries.len(), Default::default());
    let stays: Vec<bool> = entries.iter().map(|e| (to.holds_unnamed() || has_label(e)) && stays(e)).collect();
    for (entry, _) in entries.iter().zip(&stays).filter(|(e, stays)| **stays && has_label(e)) {
        taken.entry(fold(&entry.label_text()).into_owned()).or_insert(2);
    }
    let mut unnamed = Vec::new();
    for ((at, entry), _) in entries.iter_mut().enumerate().zip(stays).filter(|(_, stays)| !stays) {
        let Some(label) = entry.label.as_ref().filter(|l| !l.bytes().is_empty()) else {
            let text = made_from(entry);
            unnamed.push((at, fold(&text).into_owned(), text));
            continue;
        };
        let text = label.text();
        if label.as_str().is_none() {
            losses.push(Loss::new(LossKind::Label, &*text, "the label is not UTF-8 text"));
        }
        let free = first_free(&mut taken, &text, fold(&text).into_owned(), fold);
        if let Some(free) = &free {
            let detail = format!("another entry has this label; this one becomes \"{free}\"");
            losses.push(Loss::new(LossKind::Label, &*text, detail));
        }
        if free.is_some() || label.as_str().is_none() {
            entry.label = Some(Label::from(free.unwrap_or_else(|| text.into_owned())));
        }
    }
    name(entries, unnamed, &mut taken, fold);
}

/// Tells which entries were there before, with the labels that they have.
pub(super) type Stays<'a> = &'a dyn Fn(&Entry) -> bool;

fn has_label(entry: &Entry) -> bool {
    entry.label.as_ref().is_some_and(|l| !l.bytes().is_empty())
}

/// The entries of a store before it is changed.
pub(super) struct Untouched(Set<(ItemKind, u64, Option<Label>)>);

impl Untouched {
    pub(super) fn of(store: &Store) -> Self {
        Untouched(store.entries.iter().filter_map(Untouched::key).collect())
    }

    /// Whether the same was there under this label.
    pub(super) fn has(&self, entry: &Entry) -> bool {
        Untouched::key(entry).is_some_and(|key| self.0.contains(&key))
    }

    /// `None` for what can't be told from others.
    fn key(entry: &Entry) -> Option<(ItemKind, u64, Option<Label>)> {
        let sealed = || entry.secret()?.seal()?.raw().map(|raw| FixedState::default().hash_one(raw));
        let print = entry.object().map(Der::print).or_else(sealed)?;
        Some((entry.item.kind(), print, entry.label.clone()))
    }
}

/// Names the entries at the given places. Only where two want the same name are fingerprints compared.
fn name(
    entries: &mut [Entry],
    unnamed: Vec<(usize, String, String)>,
    taken: &mut Map<String, usize>,
    fold: fn(&str) -> Cow<'_, str>,
) {
    let mut wanted: Map<&str, usize> = Map::with_capacity_and_hasher(unnamed.len(), Default::default());
    for (_, folded, _) in &unnamed {
        *wanted.entry(folded).or_default() += 1;
    }
    let several: Vec<bool> =
        unnamed.iter().map(|(_, f, _)| wanted.get(&**f).is_some_and(|n| *n > 1)).collect();
    let mut contested = Vec::new();
    for ((at, folded, text), several) in unnamed.into_iter().zip(several) {
        if several {
            contested.push((at, folded, text));
        } else {
            let free = first_free(taken, &text, folded, fold);
            entries[at].label = Some(Label::from(free.unwrap_or(text)));
        }
    }
    contested.sort_by_cached_key(|(at, ..)| fingerprint(&entries[*at]));
    for (at, folded, text) in contested {
        let free = first_free(taken, &text, folded, fold);
        entries[at].label = Some(Label::from(free.unwrap_or(text)));
    }
}

/// `None` where `text`, which folds to `key`, is free; else the first of `text #2`, `text #3` … that is. It
/// is taken from then on.
fn first_free(
    taken: &mut Map<String, usize>,
    text: &str,
    key: String,
    fold: fn(&str) -> Cow<'_, str>,
) -> Option<String> {
    let Some(mut n) = taken.get(&key).copied() else {
        taken.insert(key, 2);
        return None;
    };
    loop {
        let candidate = format!("{text} #{n}");
        n += 1;
        let folded = fold(&candidate).into_owned();
        if !taken.contains_key(&folded) {
            taken.insert(folded, 2);
            // The next one with this text starts counting here: no quadratic search.
            taken.insert(key, n);
            return Some(candidate);
        }
    }
}

/// What an entry is called in reports and errors: its label, else what its subject suggests; empty if nothing does.
pub(super) fn shown(entry: &Entry) -> Cow<'_, str> {
    match entry.label_text() {
        text if text.is_empty() => Cow::Owned(of_subject(entry).unwrap_or_default()),
        text => text,
    }
}

/// The label that an entry without one gets.
pub(super) fn made_from(entry: &Entry) -> String {
    of_subject(entry).unwrap_or_else(|| entry.item.kind().name().to_owned())
}

fn of_subject(entry: &Entry) -> Option<String> {
    let of_name = |name: &[u8]| {
        [oid::CN, oid::O, oid::OU]
            .iter()
            .find_map(|t| dn::attribute_text(name, t).filter(|v| !v.trim().is_empty()))
            .or_else(|| Some(dn::rfc4514(name)).filter(|t| !t.is_empty()))
    };
    match &entry.item {
        Item::Request { csr, .. } => of_name(request_fields(csr).ok()?.subject),
        _ => of_name(cert_fields(entry.certificate()?).ok()?.subject),
    }
}

fn fingerprint(entry: &Entry) -> [u8; 32] {
    let mut hash = Sha256::new();
    if let Some(object) = entry.object() {
        hash.update(object);
    }
    if let Item::Key { .. } = entry.item {
        hash.update(b"key");
    }
    if let Some(key) = entry.secret().and_then(|s| s.opened()) {
        // Never shown: it only decides an order, and is dropped.
        hash.update(&*key.bytes);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Der;

    fn other(label: &str) -> Entry {
        let e = Entry::new(Item::Other { what: "x".into(), body: Der::new(vec![0]) });
        if label.is_empty() { e } else { e.with_label(label) }
    }

    #[test]
    fn collisions_are_numbered_and_told() {
        let mut e = vec![other("a"), other("A"), other("a #2"), other(""), other("a")];
        let mut losses = Vec::new();
        fit(&mut e, &crate::jks::Jks, &|_| false, &mut losses);
        let got: Vec<_> = e.iter().map(|e| e.label_text().into_owned()).collect();
        assert_eq!(got, ["a", "A #2", "a #2 #2", "other", "a #3"]);
        assert_eq!(losses.len(), 3);
    }
}
