//! Keys and what they belong to.
//!
//! A key in the clear belongs to the certificates and requests with its public key; nothing else counts,
//! for labels and positions lie. A key whose public half can't be had (enciphered, or of an algorithm
//! that isn't computed) goes by its localKeyID, else by being the only one for the only leaf, else by
//! standing beside a leaf; where all that leaves a doubt, it is opened if a password is at hand. Such a
//! guess is checked when the key is opened, before anything is written.
//!
//! A key with one certificate is one entry, with two certificates two that share the key. Certificates
//! that are part of a key's chain are no entries of their own unless the file repeats them.

use super::chain::Index;
use super::{Hint, Piece};
use crate::asn1::{cert_fields, oid, request_fields};
use crate::context::Ctx;
use crate::crypto::public::{distinctive_part, identity, same_public_key, spki_algorithm, spki_of_pkcs8};
use crate::model::{Der, Entry, Item, Label, Link};
use foldhash::fast::RandomState;
use std::collections::{HashMap, HashSet};

/// The localKeyID with which our writers mark an enciphered key that has no certificate.
pub(crate) const NOBODYS: &[u8] = &[0];

/// Keys that are compared byte for byte to find one that repeats another: only a hostile file has more.
const MAX_COMPARED: usize = 16;

/// The entries, each key with what belongs to it.
pub(super) fn entries(pieces: Vec<Piece>, ctx: &Ctx<'_>) -> Vec<Entry> {
    let keys: Vec<usize> = (0..pieces.len()).filter(|at| is_key(&pieces[*at])).collect();
    if keys.is_empty() {
        return pieces.into_iter().map(|p| p.entry).collect();
    }
    let known: Vec<(usize, &[u8])> =
        keys.iter().filter_map(|at| Some((*at, hint(&pieces[*at])?.spki.as_deref()?))).collect();
    let mut planner = Planner { index: index(&pieces), pieces: &pieces, plan: Plan::default() };
    planner.by_public_key(&known);
    let open: Vec<usize> =
        keys.into_iter().filter(|at| known.binary_search_by_key(at, |(k, _)| *k).is_err()).collect();
    let open = planner.by_hints(open);
    let opened = planner.open(&open, ctx);
    planner.by_public_key(&opened.iter().map(|(at, spki)| (*at, &spki[..])).collect::<Vec<_>>());
    planner.chains();
    let plan = planner.plan;
    plan.carry_out(pieces)
}

fn is_key(piece: &Piece) -> bool {
    matches!(piece.entry.item, Item::Key { .. })
}

/// Who belongs to whom, in numbers of pieces.
#[derive(Default)]
struct Plan {
    /// Key and its certificate or request.
    pairs: Vec<(usize, usize)>,
    /// Keys that repeat one which is kept.
    repeated: HashSet<usize>,
    /// The issuers for each pair.
    chains: Vec<Vec<usize>>,
    /// Certificates that are in a chain and no entries of their own.
    consumed: HashSet<usize>,
}

/// Makes a plan.
struct Planner<'a> {
    pieces: &'a [Piece],
    index: Index<'a>,
    plan: Plan,
}

/// A key, or a certificate or request, with what tells its pair.
struct Party<'a> {
    at: usize,
    spki: &'a [u8],
    key_id: Option<&'a [u8]>,
    object: Option<&'a [u8]>,
}

/// The keys with one public key, and what has it too; each in the order of the file.
#[derive(Default)]
struct Group<'a> {
    keys: Vec<Party<'a>>,
    owners: Vec<Party<'a>>,
}

impl<'a> Planner<'a> {
    /// Pairs keys whose public half is known.
    fn by_public_key(&mut self, keys: &[(usize, &[u8])]) {
        if keys.is_empty() {
            return;
        }
        let mut groups: Vec<Group<'_>> = Vec::new();
        let mut known: HashMap<Vec<u8>, usize> = HashMap::with_capacity(keys.len());
        let mut candidates: HashMap<&[u8], Vec<usize>, RandomState> = HashMap::default();
        for (at, spki) in keys {
            let group = *known.entry(identity(spki)).or_insert_with(|| {
                candidates.entry(distinctive_part(spki)).or_default().push(groups.len());
                groups.push(Group::default());
                groups.len() - 1
            });
            let key_id = key_id(&self.pieces[*at]);
            groups[group].keys.push(Party { at: *at, spki, key_id, object: None });
        }
        let mut offer = |at: usize, object: &'a Der, spki: &'a [u8]| {
            let fits = candidates.get(distinctive_part(spki)).map_or(&[][..], Vec::as_slice);
            let same = |g: &&usize| groups[**g].keys.first().is_some_and(|k| same_public_key(k.spki, spki));
            if let Some(group) = fits.iter().find(same) {
                let key_id = key_id(&self.pieces[at]);
                groups[*group].owners.push(Party { at, spki, key_id, object: Some(object) });
            }
        };
        for (at, der, fields) in self.index.all() {
            offer(*at, der, fields.spki);
        }
        for (at, piece) in self.pieces.iter().enumerate() {
            if let Item::Request { csr, .. } = &piece.entry.item
                && let Ok(fields) = request_fields(csr)
            {
                offer(at, csr, fields.spki);
            }
        }
        for group in &mut groups {
            group.owners.sort_by_key(|o| o.at);
            self.plan.settle(group, self.pieces);
        }
    }

    /// Pairs keys whose public half isn't known, by what stands around them. Returns those in doubt.
    fn by_hints(&mut self, mut open: Vec<usize>) -> Vec<usize> {
        if open.is_empty() {
            return open;
        }
        let free = Free::new(self.pieces, &self.plan.pairs);
        let mut ids: HashMap<&[u8], Vec<usize>> = HashMap::new();
        for at in free.certs.iter().chain(&free.requests) {
            if let Some(id) = key_id(&self.pieces[*at]) {
                ids.entry(id).or_default().push(*at);
            }
        }
        let mut found = Vec::new();
        open.retain(|key| {
            let named = key_id(&self.pieces[*key]).and_then(|id| ids.remove(id));
            let leaf = named.and_then(|certs| one_object(self.pieces, &certs));
            found.extend(leaf.map(|leaf| (*key, leaf)));
            leaf.is_none()
        });
        self.plan.pairs.extend(found);
        // One that is said to belong to nothing isn't guessed at.
        open.retain(|key| key_id(&self.pieces[*key]) != Some(NOBODYS));
        let free = Free::new(self.pieces, &self.plan.pairs);
        let found = match open[..] {
            [] => Vec::new(),
            [key] => {
                let leaf = self.only_leaf(&free, key).or_else(|| free.only_request(self.pieces));
                leaf.map(|leaf| (key, leaf)).into_iter().collect()
            }
            _ => neighbours(self.pieces, &open, &free),
        };
        let done: HashSet<usize> = found.iter().map(|(key, _)| *key).collect();
        open.retain(|key| !done.contains(key));
        self.plan.pairs.extend(found);
        open
    }

    /// The only certificate that this key can belong to: the only one that is no CA, or where there are
    /// only CAs and no request, the only one that issued none of the others.
    fn only_leaf(&self, free: &Free, key: usize) -> Option<usize> {
        let certs: HashSet<usize> = free.certs.iter().copied().collect();
        let fits = |at: &usize| certs.contains(at) && may_belong(&self.pieces[key], &self.pieces[*at]);
        let fitting: Vec<_> = self.index.all().iter().filter(|(at, ..)| fits(at)).collect();
        let leaves: Vec<usize> = fitting.iter().filter(|(.., f)| !f.is_ca()).map(|(at, ..)| *at).collect();
        if !leaves.is_empty() {
            return one_object(self.pieces, &leaves);
        }
        // A request beside CAs is the likelier owner; opening the key tells.
        if !free.requests.is_empty() {
            return None;
        }
        let issuers = self.index.issuer_names();
        let last = fitting.iter().filter(|(.., f)| !issuers.contains(f.subject));
        one_object(self.pieces, &last.map(|(at, ..)| *at).collect::<Vec<_>>())
    }

    /// Opens the keys that are still without a pair, where a certificate may be theirs: their numbers and
    /// public halves.
    fn open(&self, keys: &[usize], ctx: &Ctx<'_>) -> Vec<(usize, Vec<u8>)> {
        if keys.is_empty() || Free::new(self.pieces, &self.plan.pairs).certs.is_empty() {
            return Vec::new();
        }
        let spki = |at: usize| {
            let key = self.pieces[at].entry.secret()?.open(ctx).ok()?;
            spki_of_pkcs8(&key.bytes).ok()?
        };
        keys.iter().filter_map(|at| Some((*at, spki(*at)?))).collect()
    }

    /// The chain of each pair, and which certificates are thereby spoken for.
    fn chains(&mut self) {
        let object = |at: usize| self.pieces[at].entry.object().map(|d| &**d);
        let plan = &mut self.plan;
        plan.chains = plan
            .pairs
            .iter()
            .map(|(_, owner)| match &self.pieces[*owner].entry.item {
                Item::Cert(leaf) => self.index.issuers(leaf),
                _ => Vec::new(),
            })
            .collect();
        let leaves: HashSet<&[u8]> = plan.pairs.iter().filter_map(|(_, owner)| object(*owner)).collect();
        let issuers = plan.chains.iter().flatten().filter_map(|at| object(*at));
        let copies = self.index.copies(leaves.iter().copied().chain(issuers));
        // Where each chain was written with copies of its own, each takes its own.
        let mut used: HashMap<&[u8], usize> = HashMap::new();
        for issuer in plan.chains.iter_mut().flatten() {
            let Some(der) = object(*issuer) else { continue };
            let uses = used.entry(der).or_default();
            *issuer = copies.get(der).and_then(|c| c.get(*uses)).copied().unwrap_or(*issuer);
            *uses += 1;
        }
        let owned: HashSet<usize> = plan.pairs.iter().map(|(_, owner)| *owner).collect();
        for (der, copies) in &copies {
            let label = |at: usize| self.pieces[at].entry.label.as_ref();
            let first = copies.first().and_then(|at| label(*at));
            let adds_nothing = |at: &usize| owned.contains(at) || label(*at).is_none_or(|l| Some(l) == first);
            let plain = copies.iter().copied().filter(|at| self.pieces[*at].entry.trust.is_none());
            if leaves.contains(der) {
                plan.consumed.extend(plain.filter(adds_nothing));
            } else {
                // A CA that the file repeats beyond its chains stands on its own too.
                plan.consumed.extend(plain.take(used.get(der).copied().unwrap_or(0)));
            }
        }
        // A leaf with trust settings is in its pair all the same.
        plan.consumed.extend(plan.pairs.iter().map(|(_, owner)| *owner));
    }
}

impl Plan {
    /// Pairs within a group. Where a key is written once for each of its certificates, each takes the
    /// certificate that follows it; what is left goes to the key before it.
    fn settle(&mut self, group: &Group<'_>, pieces: &[Piece]) {
        let mut taken: HashSet<&[u8]> = HashSet::new();
        let mut pairs: Vec<(usize, usize)> = Vec::new();
        let ids: HashSet<&[u8]> = group.owners.iter().filter_map(|o| o.key_id).collect();
        let allowed = |key: &Party<'_>, owner: &Party<'_>| {
            // A localKeyID that names a certificate of this key leaves the others alone.
            let named = key.key_id.is_some_and(|id| ids.contains(id));
            !named
                || owner.key_id == key.key_id
                || matches!(pieces[owner.at].entry.item, Item::Request { .. })
        };
        let mut owners = group.owners.iter().peekable();
        for (n, key) in group.keys.iter().enumerate() {
            let next_key = group.keys.get(n + 1).map_or(usize::MAX, |k| k.at);
            while owners.next_if(|o| o.at < key.at || (o.at < next_key && !allowed(key, o))).is_some() {}
            if let Some(owner) = owners.next_if(|o| o.at < next_key) {
                pairs.push((key.at, owner.at));
                taken.extend(owner.object);
            }
        }
        for owner in &group.owners {
            let before = group.keys.partition_point(|k| k.at < owner.at).saturating_sub(1);
            let Some(key) = group.keys.get(before) else { continue };
            if owner.object.is_some_and(|o| !taken.contains(o)) && allowed(key, owner) {
                pairs.push((key.at, owner.at));
                taken.extend(owner.object);
            }
        }
        let paired: HashSet<usize> = pairs.iter().map(|(key, _)| *key).collect();
        let first = group.owners.first();
        for key in group.keys.iter().filter(|k| !paired.contains(&k.at)) {
            let others = group.keys.iter().filter(|k| paired.contains(&k.at)).take(MAX_COMPARED);
            if others.into_iter().any(|other| repeats(pieces, key.at, other.at)) {
                self.repeated.insert(key.at);
            } else if let Some(owner) = first {
                pairs.push((key.at, owner.at));
            }
        }
        self.pairs.extend(pairs);
    }

    fn carry_out(self, pieces: Vec<Piece>) -> Vec<Entry> {
        let mut of_key: HashMap<usize, Vec<(usize, &[usize])>> = HashMap::with_capacity(self.pairs.len());
        for ((key, owner), chain) in self.pairs.iter().zip(&self.chains) {
            of_key.entry(*key).or_default().push((*owner, chain));
        }
        let mut paired: HashMap<usize, Vec<Entry>> = HashMap::with_capacity(of_key.len());
        for (key, mut owners) in of_key {
            owners.sort_unstable();
            let only = owners.len() == 1;
            let entries = owners.iter().map(|(owner, chain)| pair(&pieces, key, *owner, chain, only));
            paired.insert(key, entries.collect());
        }
        let mut out = Vec::with_capacity(pieces.len());
        for (at, piece) in pieces.into_iter().enumerate() {
            match paired.remove(&at) {
                Some(entries) => out.extend(entries),
                None if self.consumed.contains(&at) || self.repeated.contains(&at) => {}
                None => out.push(piece.entry),
            }
        }
        out
    }
}

/// The entry of a key and a certificate or request. `only`: the key has no other.
fn pair(pieces: &[Piece], key: usize, owner: usize, issuers: &[usize], only: bool) -> Entry {
    let (key, owner) = (&pieces[key].entry, &pieces[owner].entry);
    let label = if only {
        key.label.as_ref().or(owner.label.as_ref())
    } else {
        owner.label.as_ref().or(key.label.as_ref())
    };
    let mut entry = key.clone();
    entry.label = label.cloned();
    if let Item::Request { csr, .. } = &owner.item {
        entry.item = Item::Request { csr: csr.clone(), key: key.secret().cloned() };
        entry.attrs.extend(owner.attrs.iter().cloned());
    } else if let Item::Key { chain, .. } = &mut entry.item {
        chain.extend(link(owner, label));
        chain.extend(issuers.iter().filter_map(|at| link(&pieces[*at].entry, None)));
        entry.trust = owner.trust.clone();
    }
    entry
}

/// A certificate as a link of a chain. A leaf's label is its entry's unless it has another.
fn link(entry: &Entry, entry_label: Option<&Label>) -> Option<Link> {
    let cert = entry.object()?.clone();
    let label = entry.label.clone().filter(|l| Some(l) != entry_label);
    Some(Link { cert, label, attrs: entry.attrs.clone() })
}

/// Certificates and requests that no key has yet.
struct Free {
    certs: Vec<usize>,
    requests: Vec<usize>,
}

impl Free {
    fn new(pieces: &[Piece], pairs: &[(usize, usize)]) -> Self {
        let objects = pairs.iter().filter_map(|(_, owner)| pieces[*owner].entry.object());
        let taken: HashSet<&[u8]> = objects.map(|d| &**d).collect();
        let mut free = Free { certs: Vec::new(), requests: Vec::new() };
        for (at, piece) in pieces.iter().enumerate() {
            match &piece.entry.item {
                Item::Cert(der) if !taken.contains(&**der) => free.certs.push(at),
                Item::Request { csr, .. } if !taken.contains(&**csr) => free.requests.push(at),
                _ => {}
            }
        }
        free
    }

    /// The only request, where there is no certificate at all.
    fn only_request(&self, pieces: &[Piece]) -> Option<usize> {
        if self.certs.is_empty() { one_object(pieces, &self.requests) } else { None }
    }
}

/// Pairs several keys with the leaf after each, or before each if the first of all stands before its key.
/// Where one of them has none there, that isn't how the file was laid out, and nothing is guessed.
fn neighbours(pieces: &[Piece], keys: &[usize], free: &Free) -> Vec<(usize, usize)> {
    let free: HashSet<usize> = free.certs.iter().copied().collect();
    let leaf = |key: usize, at: usize| {
        let is_leaf = free.contains(&at)
            && pieces[at].entry.certificate().and_then(|c| cert_fields(c).ok()).is_some_and(|f| !f.is_ca());
        (is_leaf && may_belong(&pieces[key], &pieces[at])).then_some(at)
    };
    let before = |key: usize| key.checked_sub(1).and_then(|at| leaf(key, at));
    let after = |key: usize| leaf(key, key + 1);
    let backwards = keys.first().is_some_and(|key| before(*key).is_some());
    let neighbour = |key: usize| if backwards { before(key) } else { after(key) };
    let pairs: Option<Vec<_>> = keys.iter().map(|key| neighbour(*key).map(|leaf| (*key, leaf))).collect();
    pairs.unwrap_or_default()
}

/// The first of these pieces, if all are the same object.
fn one_object(pieces: &[Piece], at: &[usize]) -> Option<usize> {
    let first = *at.first()?;
    at.iter().all(|a| pieces[*a].entry.object() == pieces[first].entry.object()).then_some(first)
}

/// Whether what is known of a key's algorithm allows it to belong to this certificate.
fn may_belong(key: &Piece, cert: &Piece) -> bool {
    let Some(algorithm) = hint(key).and_then(|h| h.algorithm.as_deref()) else { return true };
    let of_cert = cert.entry.certificate().and_then(|c| spki_algorithm(cert_fields(c).ok()?.spki).ok());
    let family = |id| if id == oid::RSA_PSS { oid::RSA } else { id };
    of_cert.is_some_and(|id| family(id) == family(algorithm))
}

/// Whether the key at `a` adds nothing to the one at `b`: the same bytes, and no label of its own.
fn repeats(pieces: &[Piece], a: usize, b: usize) -> bool {
    let opened = |at: usize| pieces[at].entry.secret().and_then(|s| s.opened());
    let labelled = pieces[a].entry.label.is_some() && pieces[a].entry.label != pieces[b].entry.label;
    match (opened(a), opened(b)) {
        (Some(a), Some(b)) => {
            !labelled && bool::from(subtle::ConstantTimeEq::ct_eq(&a.bytes[..], &b.bytes[..]))
        }
        _ => false,
    }
}

fn index(pieces: &[Piece]) -> Index<'_> {
    Index::new(pieces.iter().enumerate().filter_map(|(at, p)| match &p.entry.item {
        Item::Cert(der) => Some((at, der)),
        _ => None,
    }))
}

fn hint(piece: &Piece) -> Option<&Hint> {
    piece.hint.as_deref()
}

fn key_id(piece: &Piece) -> Option<&[u8]> {
    hint(piece)?.key_id.as_deref()
}
