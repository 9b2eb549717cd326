//! Another label for an entry.

use super::Line;
use crate::error::{Error, Result};
use crate::format::{Format, Labels};
use crate::jobs::select::{by_label, folded};
use crate::model::{Entry, Item, Label, Store};

/// Gives the entry `old` the label `new`; false: it has it. `Kind::Refused` where another entry has it and the
/// format allows no two.
pub fn rename(store: &mut Store, format: &dyn Format, old: &str, new: &str) -> Result<bool> {
    if matches!(format.carries().labels, Labels::None) {
        return Err(Error::unsupported(format!("{} has no labels", format.name())));
    }
    if new.is_empty() {
        return Err(Error::refused("a label can't be empty"));
    }
    let at = by_label(store, old, format)?;
    let by_subject = matches!(format.carries().labels, Labels::BySubject);
    let subject = |e: &Entry| Line::of(e).subject;
    let is_taken = |(other, entry): (usize, &Entry)| {
        let same_name = folded(&entry.label_text(), format) == folded(new, format);
        other != at && same_name && !(by_subject && subject(entry) == subject(&store.entries[at]))
    };
    if store.entries.iter().enumerate().any(is_taken) {
        return Err(Error::refused(format!("another entry has the label \"{new}\"")));
    }
    // As it would come back from the store.
    let new = if format.folds_labels() { folded(new, format).into_owned() } else { new.to_owned() };
    let Some(entry) = store.entries.get_mut(at) else { return Ok(false) };
    if entry.label_text() == new {
        return Ok(false);
    }
    entry.label = Some(Label::from(new));
    // PEM has a label for each half of a pair.
    if let Item::Key { chain, .. } = &mut entry.item
        && let Some(leaf) = chain.first_mut()
    {
        leaf.label = None;
    }
    Ok(true)
}
