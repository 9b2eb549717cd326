//! What a rebuild changes in a store.

use super::{Named, StoreReport};
use crate::context::Ctx;
use crate::format::Format;
use crate::jobs::labels::shown;
use crate::jobs::verify::Expected;
use crate::jobs::{Map, Set};
use crate::model::{Der, Entry, Item, Store, Trust};

/// What comes in, what goes, what stays.
pub(super) fn compare(current: &Store, new: &Store, report: &mut StoreReport) {
    fn all(store: &Store) -> Set<&Der> {
        store.entries.iter().filter_map(lone).collect()
    }
    let (before, after) = (all(current), all(new));
    let mut kept = 0;
    for entry in &new.entries {
        match (&entry.item, entry.certificate()) {
            (Item::Cert(c), _) if before.contains(c) => kept += 1,
            (Item::Cert(c), _) => report.added.push(named(entry, c)),
            (Item::Key { .. }, Some(c)) => report.keys.push(named(entry, c)),
            _ => {}
        }
    }
    let gone = current.entries.iter().filter_map(|e| match &e.item {
        Item::Cert(c) if !after.contains(c) => Some(named(e, c)),
        _ => None,
    });
    report.removed.extend(gone);
    report.kept = Some(kept);
}

pub(super) fn named(entry: &Entry, certificate: &Der) -> Named {
    Named { label: shown(entry).into_owned(), certificate: certificate.clone() }
}

/// Whether the current store already is what was to be written: the same entries under the same labels,
/// keys and chains included, in any order.
pub(super) fn is_same(current: &Store, new: &Store, format: &'static dyn Format, ctx: &Ctx<'_>) -> bool {
    let same_size = current.entries.len() == new.entries.len();
    fn trust(s: &Store) -> impl Iterator<Item = (&Der, &Trust)> {
        s.entries.iter().filter_map(|e| lone(e).zip(e.trust.as_ref()))
    }
    // Trust that a source can't state is no change; what it states and the store has otherwise, is.
    let trust_differs = || {
        let now: Map<&Der, &Trust> = trust(current).collect();
        trust(new).any(|(d, t)| now.get(d).is_some_and(|n| *n != t))
    };
    same_size
        && current.defects.is_empty()
        && !trust_differs()
        && Expected::of(new, format).check(current, ctx).is_ok()
}

/// A certificate that stands on its own.
pub(super) fn lone(entry: &Entry) -> Option<&Der> {
    match &entry.item {
        Item::Cert(c) => Some(c),
        _ => None,
    }
}
