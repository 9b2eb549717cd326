//! A store in the shape of formats that hold each certificate once, as an entry of its own: a key's signers
//! come out of its chain, and what is there twice goes.

use super::labels::shown;
use crate::format::Format;
use crate::model::{Der, Entry, Item, Label, Loss, LossKind};
use foldhash::quality::RandomState;
use std::collections::HashMap;

/// Where each certificate stands: the place of its entry.
type Places = HashMap<Der, usize, RandomState>;

/// Makes `entries` flat. Signers get the labels that their links have, else one later; trust that nobody
/// states is the format's default.
pub(super) fn flatten(entries: Vec<Entry>, to: &dyn Format, losses: &mut Vec<Loss>) -> Vec<Entry> {
    let mut flat: Vec<Entry> = Vec::with_capacity(entries.len());
    let mut places = Places::with_capacity_and_hasher(entries.len(), RandomState::default());
    // Keys first: a certificate that belongs to one stands with it.
    let leaves: Vec<usize> = entries
        .iter()
        .enumerate()
        .filter(|(_, e)| matches!(e.item, Item::Key { .. }))
        .map(|(at, _)| at)
        .collect();
    let mut with_key: HashMap<Der, Option<Label>, RandomState> = HashMap::default();
    for at in leaves {
        if let Some(leaf) = entries[at].object() {
            with_key.entry(leaf.clone()).or_insert_with(|| entries[at].label.clone());
        }
    }
    let mut chains = Vec::new();
    for entry in entries {
        let Some(certificate) = entry.certificate().cloned() else {
            flat.push(entry);
            continue;
        };
        if let Item::Key { chain, .. } = &entry.item {
            chains.push(chain.iter().skip(1).cloned().collect::<Vec<_>>());
        } else if let Some(label) = with_key.get(&certificate) {
            losses.extend(repeated(&entry, label.as_ref(), "stands with its private key"));
            continue;
        }
        match places.get(&certificate) {
            Some(first) => drop_repeat(&mut flat[*first], &entry, losses),
            None => {
                places.insert(certificate, flat.len());
                flat.push(entry);
            }
        }
    }
    let mut added = 0;
    for link in chains.into_iter().flatten() {
        if places.contains_key(&link.cert) {
            continue;
        }
        let mut signer = Entry::new(Item::Cert(link.cert.clone()));
        signer.label = link.label;
        signer.attrs = link.attrs;
        if let Some(why) = to.cannot_hold(&signer) {
            losses.push(Loss::new(LossKind::Chain, shown(&signer), why));
            continue;
        }
        places.insert(link.cert, flat.len());
        flat.push(signer);
        added += 1;
    }
    if added > 0 {
        let detail = format!(
            "{added} signers of keys were added as entries of their own, as {} holds chains",
            to.name()
        );
        losses.push(Loss::new(LossKind::Note, "", detail));
    }
    flat
}

/// Drops `entry`, whose certificate is that of `first`.
fn drop_repeat(first: &mut Entry, entry: &Entry, losses: &mut Vec<Loss>) {
    let opened = |e: &Entry| e.secret().and_then(|s| s.opened()).map(|k| k.bytes.clone());
    if matches!(entry.item, Item::Key { .. }) && (opened(entry).is_none() || opened(entry) != opened(first)) {
        losses.push(Loss::new(LossKind::Key, shown(entry), "another key has the same certificate"));
        return;
    }
    losses.extend(repeated(entry, first.label.as_ref(), "is there already"));
    let anchor = |e: &Entry| e.trust.as_ref().is_none_or(|t| t.is_full_anchor());
    if anchor(first) && !anchor(entry) {
        let detail = "the same certificate is there twice with different trust; the lower counts";
        losses.push(Loss::new(LossKind::Trust, shown(first), detail));
        first.trust = entry.trust.clone();
    }
}

/// A label that goes is a loss; a repetition that nobody labelled is none.
fn repeated(entry: &Entry, kept: Option<&Label>, what: &str) -> Option<Loss> {
    let kind = match &entry.label {
        None => return None,
        label if label.as_ref() == kept => LossKind::Note,
        _ => LossKind::Label,
    };
    let kept = kept.map_or_else(String::new, |l| format!(" as \"{}\"", l.text()));
    Some(Loss::new(kind, shown(entry), format!("its certificate {what}{kept}")))
}
