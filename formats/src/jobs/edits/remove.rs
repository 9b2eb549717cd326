//! Entries taken out of a store.

use super::Line;
use crate::asn1::cert_fields;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::jobs::list::sha256_hex;
use crate::jobs::select::all_by_label;
use crate::jobs::{Map, Set, makes_chains};
use crate::model::{Der, Entry, Item, Store};
use crate::query::dn::Pattern;

/// Which entries are meant.
#[derive(Clone, Debug)]
pub enum Which {
    /// Those with this label, as the format compares them.
    Label(String),
    /// Those whose whole subject is this one (a pattern that is exact).
    Subject(Pattern),
    /// The one with this SHA-256, in hex.
    Sha256(String),
}

/// What to take and what may go with it.
#[derive(Clone, Debug, Default)]
pub struct Taking {
    /// Any of these.
    pub which: Vec<Which>,
    /// Also signers of keys that stay.
    pub break_chains: bool,
    /// Also the last private key.
    pub last_key: bool,
}

/// The places of the entries that are meant; none where nothing fits.
///
/// `Kind::Refused` where a key that stays would lose a signer or the store its last private key, and nobody
/// said that this is wanted; and for what a database in use never loses.
pub fn plan(store: &Store, format: &dyn Format, how: &Taking) -> Result<Vec<usize>> {
    let mut places: Vec<usize> = how.which.iter().flat_map(|w| w.places(store, format)).collect();
    places.sort_unstable();
    places.dedup();
    let gone: Set<usize> = places.iter().copied().collect();
    let taken = || places.iter().filter_map(|at| store.entries.get(*at));
    if format.in_place().is_some()
        && let Some(entry) = taken().find(|e| matches!(e.item, Item::Symmetric(_) | Item::Other { .. }))
    {
        let text = "it is never taken out of a database in use: what other programs saved may hang on it";
        return Err(Error::unsupported(text).in_entry(Line::of(entry).label));
    }
    let is_key = |e: &Entry| matches!(e.item, Item::Key { .. });
    let keys_stay = || store.entries.iter().enumerate().any(|(at, e)| is_key(e) && !gone.contains(&at));
    if !how.last_key
        && let Some(entry) = taken().find(|e| is_key(e)).filter(|_| !keys_stay())
    {
        return Err(Error::refused("it is the last private key of the store")
            .in_entry(Line::of(entry).label)
            .hint("--last-key takes it all the same; a key that is nowhere else is gone with it"));
    }
    if !how.break_chains
        && let Some((key, signer)) = broken(store, format, &gone)
    {
        return Err(Error::refused(format!("the key \"{}\" needs it in its chain", Line::of(key).label))
            .in_entry(Line::of(signer).label)
            .hint("take the key too, or say --break-chains"));
    }
    Ok(places)
}

/// Takes entries out. Chains of keys that stay end where a signer went, in formats that make chains of what is
/// there.
pub fn remove(store: &mut Store, format: &dyn Format, places: &[usize]) -> Vec<Line> {
    let gone: Set<usize> = places.iter().copied().collect();
    let lines = places.iter().filter_map(|at| store.entries.get(*at)).map(Line::of).collect();
    let signers: Set<Der> = if makes_chains(format) {
        places.iter().filter_map(|at| store.entries.get(*at)?.certificate().cloned()).collect()
    } else {
        Set::default()
    };
    let mut at = 0..;
    store.entries.retain(|_| at.next().is_some_and(|at| !gone.contains(&at)));
    for entry in &mut store.entries {
        if let Item::Key { chain, .. } = &mut entry.item
            && let Some(end) = chain.iter().skip(1).position(|l| signers.contains(&l.cert))
        {
            chain.truncate(end + 1);
        }
    }
    lines
}

impl Which {
    fn places(&self, store: &Store, format: &dyn Format) -> Vec<usize> {
        let with = |is: &dyn Fn(&Entry) -> bool| -> Vec<usize> {
            store.entries.iter().enumerate().filter(|(_, e)| is(e)).map(|(at, _)| at).collect()
        };
        match self {
            Which::Label(label) => all_by_label(store, label, format),
            Which::Sha256(hash) => {
                with(&|e| e.object().is_some_and(|o| sha256_hex(o).eq_ignore_ascii_case(hash)))
            }
            Which::Subject(pattern) => with(&|e| {
                let fields = e.certificate().and_then(|c| cert_fields(c).ok());
                fields.is_some_and(|f| pattern.matches(f.subject))
            }),
        }
    }
}

/// A key that stays, and an entry of its chain that goes.
fn broken<'a>(store: &'a Store, format: &dyn Format, gone: &Set<usize>) -> Option<(&'a Entry, &'a Entry)> {
    if !makes_chains(format) {
        return None;
    }
    let going: Map<&Der, &Entry> = gone
        .iter()
        .filter_map(|at| store.entries.get(*at))
        .filter_map(|e| Some((e.certificate()?, e)))
        .collect();
    store.entries.iter().enumerate().filter(|(at, _)| !gone.contains(at)).find_map(|(_, key)| {
        let Item::Key { chain, .. } = &key.item else { return None };
        chain.iter().skip(1).find_map(|l| going.get(&l.cert)).map(|signer| (key, *signer))
    })
}
