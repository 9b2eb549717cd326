//! Several stores put into one: a key store and its trust store again, or those of several clients.
//!
//! Nothing is dropped but what is there twice: the same object under the same label in two stores. Labels that
//! collide get numbers; of two trust settings the lower counts, which is a loss that somebody has to accept.

use super::deliver::{Converted, Target};
use super::edits::{Line, Names};
use super::prepare::{open_all, prepare};
use super::{Input, Map, load, makes_chains};
use crate::context::{Ctx, NoSecrets};
use crate::error::Result;
use crate::model::{Der, Entry, Item, Label, Level, Loss, LossKind, Store, Trust};

/// What to put together.
pub struct Merge<'a> {
    /// The stores, in the order of their say: the first one's default key stays the default.
    pub from: &'a [Input<'a>],
    /// Where they go.
    pub to: Target<'a>,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Merged {
    /// Counts, losses, warnings.
    pub done: Converted,
    /// Entries whose label was taken, under the labels that they had, and the new ones.
    pub renamed: Vec<(Line, String)>,
    /// How many stood in several stores.
    pub same: usize,
}

/// Puts them together.
pub fn merge(job: &Merge<'_>) -> Result<Merged> {
    let mut out = Merged::default();
    let mut whole = Whole {
        store: Store::default(),
        places: Map::default(),
        origins: Vec::new(),
        names: Names::of(&Store::default(), job.to.format),
        target: &job.to,
        losses: Vec::new(),
    };
    for (at, input) in job.from.iter().enumerate() {
        let loaded = load(input)?;
        let named = |e: crate::Error| e.in_format(loaded.format.name()).in_file(input.source.path());
        // With the passwords of that very store; a key that stays closed is listed as a loss later.
        drop(open_all(&loaded.store.entries, &input.ctx, job.to.format).map_err(named)?);
        let Store { entries, facts, defects, warnings } = loaded.store;
        if at == 0 {
            whole.store.facts = facts;
        }
        whole.store.defects.extend(defects);
        out.done.warnings.extend(warnings);
        entries.into_iter().for_each(|entry| whole.put(entry, at, &mut out));
    }
    let Whole { store, losses, .. } = whole;
    let opened = Ctx { secrets: &NoSecrets, ..job.to.ctx };
    let (store, more) = prepare(store, &opened, job.to.format, &|| Ok(false), &|_| false)?;
    out.done.losses.extend(losses.into_iter().chain(more));
    let mut staged = job.to.stage_fit(store, std::mem::take(&mut out.done))?;
    staged.commit()?;
    out.done = staged.finish();
    Ok(out)
}

struct Whole<'a> {
    store: Store,
    /// Where entries of this object are.
    places: Map<Der, Vec<usize>>,
    /// Which store each came from first.
    origins: Vec<usize>,
    names: Names<'a>,
    target: &'a Target<'a>,
    losses: Vec<Loss>,
}

impl Whole<'_> {
    fn put(&mut self, mut entry: Entry, origin: usize, out: &mut Merged) {
        if entry.default && self.store.entries.iter().any(|e| e.default) {
            entry.default = false;
            if self.target.format.marks_default() {
                let detail = "it is the default of its store, and the first store's stays the default";
                self.losses.push(Loss::new(LossKind::Default, entry.label_text(), detail));
            }
        }
        if let Some(at) = self.twin(&entry, origin) {
            out.same += 1;
            unite(&mut self.store.entries[at], entry, &mut self.losses);
            return;
        }
        // Such a format has one entry for each certificate, whatever it is called: that is told when it is made fit.
        let repeats = entry.certificate().is_some_and(|c| self.places.contains_key(c));
        if !(repeats && makes_chains(self.target.format)) && entry.label.is_some() {
            let before = Line::of(&entry);
            self.names.give(&mut entry);
            if entry.label_text() != before.label {
                out.renamed.push((before, entry.label_text().into_owned()));
            }
        }
        if let Some(object) = entry.object() {
            self.places.entry(object.clone()).or_default().push(self.store.entries.len());
        }
        self.origins.push(origin);
        self.store.entries.push(entry);
    }

    /// The same entry of a store before.
    fn twin(&self, entry: &Entry, origin: usize) -> Option<usize> {
        let is_twin = |at: &usize| {
            let there = &self.store.entries[*at];
            let labels = [&there.label, &entry.label].map(|l| l.as_ref().map(Label::bytes));
            self.origins[*at] != origin
                && there.item.kind() == entry.item.kind()
                && (labels[0] == labels[1] || labels.contains(&None))
                && same_secret(there, entry)
        };
        match entry.object() {
            Some(object) => self.places.get(object)?.iter().copied().find(is_twin),
            None => (0..self.store.entries.len())
                .filter(|at| self.store.entries[*at].object().is_none())
                .find(is_twin),
        }
    }
}

/// Keys that can't be opened are different ones.
fn same_secret(a: &Entry, b: &Entry) -> bool {
    match (a.secret(), b.secret()) {
        (Some(a), Some(b)) => {
            a.opened().zip(b.opened()).is_some_and(|(a, b)| a.bytes == b.bytes && a.algorithm == b.algorithm)
        }
        _ => true,
    }
}

/// Takes over what `there` lacks of `entry`, the same in another store.
fn unite(there: &mut Entry, entry: Entry, losses: &mut Vec<Loss>) {
    there.default |= entry.default;
    there.label = there.label.take().or(entry.label);
    match (&there.trust, entry.trust) {
        (None, trust) => there.trust = trust,
        (Some(one), Some(other)) if *one != other => {
            let detail = "two stores trust it differently; the lower trust counts";
            losses.push(Loss::new(LossKind::Trust, there.label_text(), detail));
            there.trust = Some(lower(one, &other));
        }
        _ => {}
    }
    match (&mut there.item, entry.item) {
        (Item::Key { chain, .. }, Item::Key { chain: other, .. }) if other.len() > chain.len() => {
            *chain = other
        }
        (Item::Request { key, .. }, Item::Request { key: other, .. }) => *key = key.take().or(other),
        _ => {}
    }
    for attr in entry.attrs {
        if !there.attrs.iter().any(|a| (a.format, &a.id) == (attr.format, &attr.id)) {
            there.attrs.push(attr);
        }
    }
}

/// What both allow.
fn lower(a: &Trust, b: &Trust) -> Trust {
    let rank = |l: Level| match l {
        Level::Distrusted => 0,
        Level::Unset => 1,
        Level::Peer => 2,
        Level::Anchor => 3,
    };
    let least = |a: Level, b: Level| if rank(a) <= rank(b) { a } else { b };
    let mut out = Trust::default();
    for ((to, a), b) in out.levels.iter_mut().zip(a.levels).zip(b.levels) {
        *to = least(a, b);
    }
    let of = |t: &Trust, id: &str| t.usages.iter().find(|(i, _)| i == id).map_or(Level::Unset, |(_, l)| *l);
    for (id, _) in a.usages.iter().chain(&b.usages) {
        if !out.usages.iter().any(|(i, _)| i == id) {
            out.usages.push((id.clone(), least(of(a, id), of(b, id))));
        }
    }
    out.usages.retain(|(_, l)| *l != Level::Unset);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_trust_counts() {
        let anchor = Trust::all(Level::Anchor);
        assert_eq!(lower(&anchor, &Trust::default()), Trust::default());
        assert_eq!(lower(&anchor, &Trust::all(Level::Distrusted)), Trust::all(Level::Distrusted));
        let one = Trust { usages: vec![("1.2".into(), Level::Anchor)], ..anchor.clone() };
        let two = Trust { usages: vec![("1.2".into(), Level::Distrusted)], ..anchor.clone() };
        assert_eq!((lower(&one, &anchor), lower(&one, &two)), (anchor, two));
    }
}
