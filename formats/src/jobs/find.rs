//! Who holds a certificate and, by its public key, who holds the private key: as a store's entry, as a bare
//! key, with a request, in an old generation, in an erased slot.

use super::list::{Filter, Row, names, public_key_of, row_in, sha256_hex, spki_of};
use super::{Input, Map, Set, load};
use crate::crypto::public::{identity, spki_key_info};
use crate::error::{Error, Result};
use crate::model::{Entry, Item};
use crate::place::path_hex;
use crate::storeset::generation_of;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Something that was found, in the shape of the JSON output.
#[derive(Clone, Debug, Serialize)]
pub struct Holding {
    /// As `list` shows it.
    #[serde(flatten)]
    pub row: Row,
    /// `pattern`: it is what was asked for; `public-key`: it has the key of something that was.
    pub found_by: &'static str,
    /// The private key is here too.
    pub private_key: bool,
    /// The label of the key whose chain it stands in, where it is no entry of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_chain_of: Option<String>,
    /// The number of the old generation that the file is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// It was deleted, and still stands in the file.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub erased: bool,
    /// In so many stores (old generations and erased slots apart) the same private key stands; absent
    /// where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_in_stores: Option<usize>,
    /// What makes the key that key.
    #[serde(skip)]
    key: Option<[u8; 32]>,
}

/// What one store has that may count: what matches, and every key and request.
#[derive(Debug)]
pub struct Searched {
    /// Those that match, and those that may turn out to have the key of one that does.
    candidates: Vec<Holding>,
    /// Objects and keys that could not be read, any of which may be what is looked for.
    pub defects: Vec<Arc<Error>>,
    /// What the reader had to say.
    pub warnings: Vec<String>,
}

/// Looks through one store. `name` is the store as the caller names it.
pub fn search(name: &str, input: &Input<'_>, filter: &Filter) -> Result<Searched> {
    let loaded = load(input)?;
    let (format, store) = (loaded.format, loaded.store);
    let mut search = Search {
        name,
        format: format.name(),
        flat: format.flat(),
        generation: generation_of(input.source.path()).map(|(_, number)| number),
        input,
        filter,
        found: Searched { candidates: Vec::new(), defects: store.defects, warnings: store.warnings },
    };
    store.entries.iter().for_each(|e| search.entry(e, false));
    format.erased(input.source)?.iter().for_each(|e| search.entry(e, true));
    Ok(search.found)
}

struct Search<'a> {
    name: &'a str,
    format: &'static str,
    /// Chains are made of the store's own entries.
    flat: bool,
    generation: Option<u64>,
    input: &'a Input<'a>,
    filter: &'a Filter,
    found: Searched,
}

impl Search<'_> {
    fn entry(&mut self, entry: &Entry, erased: bool) {
        let matches = self.filter.matches(entry);
        let private_key = entry.secret().is_some() && !matches!(entry.item, Item::Symmetric(_));
        if matches || private_key || matches!(entry.item, Item::Request { .. }) {
            let (spki, computed) = self.public_key(entry);
            let mut holding = self.holding(entry, matches, spki.as_deref());
            holding.private_key = private_key;
            holding.erased = erased;
            if let (Some(spki), true) = (spki, computed) {
                holding.row.spki_sha256 = Some(sha256_hex(&spki));
                holding.row.key = Some(spki_key_info(&spki));
            }
            self.found.candidates.push(holding);
        }
        let Item::Key { chain, .. } = &entry.item else { return };
        for link in chain.iter().skip(1).filter(|_| !self.flat) {
            let signer = Entry { label: link.label.clone(), ..Entry::new(Item::Cert(link.cert.clone())) };
            if self.filter.matches(&signer) {
                let mut holding = self.holding(&signer, true, public_key_of(&signer));
                holding.in_chain_of = Some(entry.label_text().into_owned());
                self.found.candidates.push(holding);
            }
        }
    }

    fn holding(&self, entry: &Entry, matches: bool, spki: Option<&[u8]>) -> Holding {
        let mut row = row_in(self.name, self.format, entry, self.filter.style);
        row.store_hex = path_hex(self.input.source.path());
        if let Some(hit) = names(entry).and_then(|_| self.filter.hit(entry)).filter(|_| matches) {
            (row.grade, row.whole) = (Some(hit.grade.name()), Some(hit.whole));
        }
        Holding {
            row,
            found_by: if matches { "pattern" } else { "public-key" },
            private_key: false,
            in_chain_of: None,
            generation: self.generation,
            erased: false,
            key_in_stores: None,
            key: spki.map(|k| Sha256::digest(identity(k)).into()),
        }
    }

    /// The public key, and whether the private one had to be opened for it: nothing else stands for it.
    fn public_key(&mut self, entry: &Entry) -> (Option<Vec<u8>>, bool) {
        match spki_of(entry, &self.input.ctx) {
            Ok(known) => known,
            Err(e) => {
                let e =
                    e.in_entry(entry.label_text()).in_format(self.format).in_file(self.input.source.path());
                self.found.defects.push(Arc::new(e));
                (None, false)
            }
        }
    }
}

/// Everything that all stores have of what was asked for.
#[derive(Debug, Default)]
pub struct Findings(Vec<Holding>);

impl Findings {
    /// Takes what one store has.
    pub fn add(&mut self, searched: &mut Searched) {
        self.0.append(&mut searched.candidates);
    }

    /// What matches, and what has the key of something that does; in the order of the stores.
    pub fn holdings(self) -> Vec<Holding> {
        let wanted: Set<[u8; 32]> =
            self.0.iter().filter(|h| h.found_by == "pattern").filter_map(|h| h.key).collect();
        let counts = |h: &Holding| h.found_by == "pattern" || h.key.is_some_and(|k| wanted.contains(&k));
        let mut out: Vec<Holding> = self.0.into_iter().filter(counts).collect();
        let mut stores: Map<[u8; 32], Set<&str>> = Map::default();
        for h in out.iter().filter(|h| h.private_key && !h.erased && h.generation.is_none()) {
            if let Some(key) = h.key {
                stores.entry(key).or_default().insert(&h.row.store);
            }
        }
        let counts: Vec<_> = out.iter().map(|h| h.key.and_then(|k| stores.get(&k)).map(Set::len)).collect();
        for (holding, count) in out.iter_mut().zip(counts) {
            holding.key_in_stores = count.filter(|n| *n > 1 && holding.private_key);
        }
        out
    }
}

/// How findings are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupBy {
    /// By certificate (or request); keys go with the first that has theirs.
    #[default]
    Cert,
    /// By public key.
    Key,
    /// By store.
    Store,
}

impl GroupBy {
    /// Every way.
    pub const ALL: &'static [GroupBy] = &[GroupBy::Cert, GroupBy::Key, GroupBy::Store];

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            GroupBy::Cert => "cert",
            GroupBy::Key => "key",
            GroupBy::Store => "store",
        }
    }
}

/// Findings that belong together.
#[derive(Debug, Serialize)]
pub struct Group {
    /// SHA-256 of the certificate or of the public key, or the store's name; empty where there is none.
    pub id: String,
    /// The subject of the first that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// What it holds.
    pub holdings: Vec<Holding>,
}

/// Puts findings together, groups in the order of their first.
pub fn group(holdings: Vec<Holding>, by: GroupBy) -> Vec<Group> {
    // The certificate that a key goes with.
    let mut of_key: Map<[u8; 32], String> = Map::default();
    for h in holdings.iter().filter(|h| h.found_by == "pattern") {
        if let (Some(key), Some(print)) = (h.key, &h.row.sha256) {
            of_key.entry(key).or_insert_with(|| print.clone());
        }
    }
    let id = |h: &Holding| match by {
        GroupBy::Store => h.row.store.clone(),
        GroupBy::Key => h.key.map(|k| super::list::hex(&k)).unwrap_or_default(),
        GroupBy::Cert if h.found_by == "pattern" => h.row.sha256.clone().unwrap_or_default(),
        GroupBy::Cert => h.key.and_then(|k| of_key.get(&k).cloned()).unwrap_or_default(),
    };
    let mut places: Map<String, usize> = Map::default();
    let mut out: Vec<Group> = Vec::new();
    for holding in holdings {
        let id = id(&holding);
        let at = *places.entry(id.clone()).or_insert_with(|| {
            out.push(Group { id, subject: None, not_after: None, holdings: Vec::new() });
            out.len() - 1
        });
        let group = &mut out[at];
        if by != GroupBy::Store && group.subject.is_none() {
            group.subject.clone_from(&holding.row.subject);
            group.not_after.clone_from(&holding.row.not_after);
        }
        group.holdings.push(holding);
    }
    // The hash of the key's identity is nobody's business; its usual fingerprint is.
    if by == GroupBy::Key {
        for group in &mut out {
            let print = group.holdings.iter().find_map(|h| h.row.spki_sha256.clone());
            group.id = print.unwrap_or_default();
        }
    }
    out
}
