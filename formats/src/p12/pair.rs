//! From bags to entries: which certificate belongs to which key.
//!
//! A localKeyID only claims that a key and a certificate belong together. It is believed without opening
//! the key (a derivation each in Java's files) as long as the claims are unambiguous and leave no
//! certificate over; otherwise every key that can be opened is, and its public half decides. A certificate
//! that is left over speaks against no claim of OpenSSL's, which compares key and certificate before it makes
//! one. Whoever writes a key elsewhere opens it anyway and compares then.

use super::NAME;
use super::bag::{Attributes, Bag, Content};
use super::chain::Certs;
use super::decode::Contents;
use super::seal::{Inside, Shrouded};
use crate::asn1::cert_fields;
use crate::context::Ctx;
use crate::crypto::public::{identity, spki_of_pkcs8};
use crate::model::{Attr, Der, Entry, Item, Label, Link, Secret, Store, Trust};
use foldhash::quality::RandomState;
use sha1::{Digest, Sha1};
use std::collections::HashMap;
use std::collections::hash_map;
use std::sync::Arc;

/// Makes a store of what was found.
pub(super) fn store(contents: Contents, ctx: &Ctx<'_>) -> Store {
    let Contents { bags, authenticated, facts, defects, mut warnings } = contents;
    let mut pool = Pool::default();
    let slots: Vec<Slot> = bags.into_iter().map(|b| pool.slot(b)).collect();
    if pool.odd_names > 0 {
        warnings.push(format!("{} friendlyNames are not proper BMPStrings", pool.odd_names));
    }
    let paired = if pool.keys.is_empty() { Paired::default() } else { pair(&pool, ctx, &mut warnings) };
    let mut entries = Vec::with_capacity(slots.len());
    for slot in slots {
        pool.take(slot, &paired, &mut entries);
    }
    // Where the MAC is missing, or nobody gave a password to check it with, nothing proved anything.
    entries.iter_mut().for_each(|e| e.authenticated = Some(authenticated));
    Store { entries, facts, defects: defects.into_iter().map(Arc::new).collect(), warnings }
}

/// What becomes of a bag, in the order of the file.
enum Slot {
    Key(usize),
    Cert(usize),
    Ready(Box<Entry>),
}

/// Keys and certificates, to be paired.
#[derive(Default)]
struct Pool {
    keys: Vec<KeyBag>,
    certs: Vec<CertBag>,
    odd_names: usize,
}

struct KeyBag {
    secret: Arc<Secret>,
    name: Option<Label>,
    id: Option<Der>,
    attrs: Vec<Attr>,
    written: Option<Der>,
}

/// A certificate with its bag's attributes.
pub(super) struct CertBag {
    pub der: Der,
    pub name: Option<Label>,
    pub id: Option<Der>,
    /// What Java's attribute says, if it is there.
    pub trust: Option<Trust>,
    pub attrs: Vec<Attr>,
    /// The attributes as they stand there.
    pub written: Option<Der>,
    /// The writer would write the same.
    pub usual: bool,
    /// An entry has them.
    pub taken: bool,
}

impl CertBag {
    /// The attributes that are kept; where `always`, with how they are written even if that is nothing.
    fn take_attrs(&mut self, always: bool) -> Vec<Attr> {
        let mut attrs = std::mem::take(&mut self.attrs);
        if !self.taken && (always || (!self.usual && self.written.is_some())) {
            attrs.push(as_written(self.written.as_ref()));
        }
        self.taken = true;
        attrs
    }
}

fn as_written(set: Option<&Der>) -> Attr {
    Attr::as_written(NAME, set.map_or(&[][..], |set| set))
}

impl Pool {
    fn slot(&mut self, bag: Bag) -> Slot {
        let Attributes { name, id, trust, rest: mut attrs, odd_name, written, usual } = bag.attributes;
        self.odd_names += usize::from(odd_name);
        let item = match bag.content {
            Content::Cert(der) => {
                self.certs.push(CertBag { der, name, id, trust, attrs, written, usual, taken: false });
                return Slot::Cert(self.certs.len() - 1);
            }
            Content::Key(key) => return self.key(Secret::clear(key), name, id, attrs, written),
            Content::ShroudedKey(info) => {
                let seal = Shrouded { info, label: name.clone(), inside: Inside::Private };
                return self.key(Secret::sealed(seal), name, id, attrs, written);
            }
            Content::ShroudedSecret(info) => {
                let seal = Shrouded { info, label: name.clone(), inside: Inside::Secret };
                Item::Symmetric(Arc::new(Secret::sealed(seal)))
            }
            Content::Crl(crl) => Item::Crl(crl),
            Content::Other { what, body } => Item::Other { what, body },
        };
        if !usual && written.is_some() {
            attrs.push(as_written(written.as_ref()));
        }
        Slot::Ready(Box::new(entry(item, name, attrs)))
    }

    fn key(
        &mut self,
        secret: Secret,
        name: Option<Label>,
        id: Option<Der>,
        attrs: Vec<Attr>,
        written: Option<Der>,
    ) -> Slot {
        self.keys.push(KeyBag { secret: Arc::new(secret), name, id, attrs, written });
        Slot::Key(self.keys.len() - 1)
    }

    /// The entries that come of one bag.
    fn take(&mut self, slot: Slot, paired: &Paired, out: &mut Vec<Entry>) {
        match slot {
            Slot::Ready(entry) => out.push(*entry),
            Slot::Key(at) => self.take_key(at, paired, out),
            Slot::Cert(at) if paired.swallows(at, &self.certs) => {}
            Slot::Cert(at) => {
                let Some(cert) = self.certs.get_mut(at) else { return };
                let attrs = cert.take_attrs(false);
                let mut e = entry(Item::Cert(cert.der.clone()), cert.name.clone(), attrs);
                e.trust = cert.trust.take();
                out.push(e);
            }
        }
    }

    fn take_key(&mut self, at: usize, paired: &Paired, out: &mut Vec<Entry>) {
        let (Some(key), Some(chains)) = (self.keys.get_mut(at), paired.chains.get(at)) else { return };
        let (secret, name, mut attrs) =
            (Arc::clone(&key.secret), key.name.take(), std::mem::take(&mut key.attrs));
        attrs.push(as_written(key.written.as_ref()));
        let item = |chain| Item::Key { key: Arc::clone(&secret), chain };
        let first = chains.first().map(|c| self.links(c)).unwrap_or_default();
        let name = name.or_else(|| first.first().and_then(|l| l.label.clone()));
        out.push(entry(item(first), name, attrs));
        // A renewed certificate of the same key is an entry of its own that shares the key.
        for chain in chains.iter().skip(1) {
            let chain = self.links(chain);
            let name = chain.first().and_then(|l| l.label.clone());
            out.push(entry(item(chain), name, Vec::new()));
        }
    }

    /// A chain. What a bag says about its certificate goes with the first chain that shows it, for a
    /// hostile file may show it in thousands; with the entry where it is one of its own.
    fn links(&mut self, chain: &[usize]) -> Vec<Link> {
        let mut out = Vec::with_capacity(chain.len());
        for (at, bag) in chain.iter().enumerate() {
            if let Some(cert) = self.certs.get_mut(*bag) {
                let mut link = Link::from(cert.der.clone());
                if cert.trust.is_none() {
                    (link.label, link.attrs) = (cert.name.take(), cert.take_attrs(at == 0));
                }
                out.push(link);
            }
        }
        out
    }
}

fn entry(item: Item, label: Option<Label>, attrs: Vec<Attr>) -> Entry {
    Entry { label, attrs, ..Entry::new(item) }
}

/// The result of pairing, in numbers of certificate bags.
#[derive(Default)]
struct Paired {
    /// For each key its chains, most often one.
    chains: Vec<Vec<Vec<usize>>>,
    /// For each bag the first one that holds the same certificate.
    first: Vec<usize>,
    /// Which certificates (by their first bag) are part of a chain.
    used: Vec<bool>,
}

impl Paired {
    /// Whether a certificate bag is no entry of its own: it is part of a chain, or says again what an
    /// earlier one said.
    fn swallows(&self, bag: usize, bags: &[CertBag]) -> bool {
        let Some(first) = self.first.get(bag).copied() else { return false };
        let (Some(own), Some(other)) = (bags.get(bag), bags.get(first)) else { return false };
        let repeats = first != bag && own.name == other.name && own.trust == other.trust;
        own.trust.is_none() && (repeats || self.used.get(first).is_some_and(|u| *u))
    }
}

fn pair(pool: &Pool, ctx: &Ctx<'_>, warnings: &mut Vec<String>) -> Paired {
    let certs = Certs::new(&pool.certs);
    let ids = Ids::new(pool, &certs);
    let claims: Vec<Claim<'_>> = pool.keys.iter().map(|k| ids.claim(k)).collect();
    let believed = claims.iter().map(|c| c.single().into_iter().collect()).collect();
    let mut paired = chains(pool, &certs, &ids, believed);
    let left = |(bag, cert): &(usize, &CertBag)| cert.trust.is_none() && !paired.used[certs.first(*bag)];
    let mut left = pool.certs.iter().enumerate().filter(left).map(|(_, c)| c).peekable();
    let unsure = claims.iter().any(|c| matches!(c, Claim::Many(_) | Claim::None))
        || left.peek().is_some() && (!is_vouched_for(pool, &claims) || shares_a_key(left, pool, &claims));
    if unsure && !pool.certs.is_empty() {
        let leaves = by_public_key(pool, &certs, &ids, ctx, warnings);
        paired = chains(pool, &certs, &ids, leaves);
    }
    paired
}

/// Whether every claim is of the kind that OpenSSL makes when it has compared the key with the certificate
/// (3.0, `PKCS12_create`): the localKeyID is the SHA-1 of that certificate.
fn is_vouched_for(pool: &Pool, claims: &[Claim<'_>]) -> bool {
    pool.keys.iter().zip(claims).all(|(key, claim)| {
        let print = claim.single().and_then(|c| pool.certs.get(c)).map(|c| Sha1::digest(&*c.der));
        print.is_some_and(|print| key.id.as_deref().is_some_and(|id| *id == print[..]))
    })
}

/// Whether one of these certificates has the public key of one that is claimed: a renewed one of the same key.
fn shares_a_key<'a>(mut left: impl Iterator<Item = &'a CertBag>, pool: &Pool, claims: &[Claim<'_>]) -> bool {
    let public = |c: &CertBag| cert_fields(&c.der).ok().map(|f| identity(f.spki));
    let claimed: Vec<_> =
        claims.iter().filter_map(Claim::single).filter_map(|c| public(&pool.certs[c])).collect();
    left.any(|c| public(c).is_none_or(|p| claimed.contains(&p)))
}

/// Chains for the leaves of each key, and what they use.
fn chains(pool: &Pool, certs: &Certs<'_>, ids: &Ids<'_>, leaves: Vec<Vec<usize>>) -> Paired {
    let mut used = vec![false; pool.certs.len()];
    let mut builder = certs.builder();
    let chains = leaves.into_iter().zip(&pool.keys).map(|(leaves, key)| {
        let one = |leaf: usize| {
            let mut chain = builder.chain(leaf);
            chain.iter().for_each(|c| used[*c] = true);
            // The leaf as the key knows it: Java repeats a certificate for each key, with its own id.
            if let Some(leaf) = chain.first_mut() {
                *leaf = ids.bag(key, *leaf).unwrap_or(*leaf);
            }
            chain
        };
        leaves.into_iter().map(one).collect()
    });
    let chains = chains.collect();
    Paired { chains, first: certs.firsts().to_vec(), used }
}

/// What a key's localKeyID claims, in first bags.
enum Claim<'a> {
    /// There is none, or nothing has it.
    None,
    /// This key and this certificate alone have it.
    One(usize),
    /// Several keys or several certificates have it.
    Many(&'a [usize]),
}

impl Claim<'_> {
    fn single(&self) -> Option<usize> {
        match self {
            Claim::One(cert) => Some(*cert),
            _ => None,
        }
    }

    fn all(&self) -> &[usize] {
        match self {
            Claim::None => &[],
            Claim::One(cert) => std::slice::from_ref(cert),
            Claim::Many(certs) => certs,
        }
    }
}

/// Who has which localKeyID.
#[derive(Default)]
struct Ids<'a> {
    certs: HashMap<&'a [u8], Vec<usize>, RandomState>,
    keys: HashMap<&'a [u8], usize, RandomState>,
    /// The bag of a certificate (a first bag) that has an id.
    bags: HashMap<(&'a [u8], usize), usize, RandomState>,
}

impl<'a> Ids<'a> {
    fn new(pool: &'a Pool, certs: &Certs<'_>) -> Self {
        let mut ids = Ids::default();
        for (bag, cert) in pool.certs.iter().enumerate() {
            if let (Some(id), None) = (&cert.id, &cert.trust) {
                let first = certs.first(bag);
                if let hash_map::Entry::Vacant(new) = ids.bags.entry((id, first)) {
                    new.insert(bag);
                    ids.certs.entry(id).or_default().push(first);
                }
            }
        }
        for id in pool.keys.iter().filter_map(|k| k.id.as_ref()) {
            *ids.keys.entry(id).or_default() += 1;
        }
        ids
    }

    fn claim(&self, key: &KeyBag) -> Claim<'_> {
        let Some(id) = key.id.as_deref() else { return Claim::None };
        match (self.certs.get(id).map(Vec::as_slice), self.keys.get(id)) {
            (None, _) => Claim::None,
            (Some([one]), Some(1)) => Claim::One(*one),
            (Some(several), _) => Claim::Many(several),
        }
    }

    /// The bag of a certificate that has the key's id.
    fn bag(&self, key: &KeyBag, cert: usize) -> Option<usize> {
        self.bags.get(&(key.id.as_deref()?, cert)).copied()
    }
}

/// The leaves of each key by its public half; by what ids claim where it can't be had.
fn by_public_key(
    pool: &Pool,
    certs: &Certs<'_>,
    ids: &Ids<'_>,
    ctx: &Ctx<'_>,
    warnings: &mut Vec<String>,
) -> Vec<Vec<usize>> {
    let publics: Vec<Option<Vec<u8>>> = pool.keys.iter().map(|k| public_half(&k.secret, ctx)).collect();
    let mut of_public: HashMap<Vec<u8>, Vec<usize>, RandomState> = HashMap::default();
    for cert in certs.distinct() {
        if let Ok(fields) = cert_fields(&pool.certs[cert].der) {
            of_public.entry(identity(fields.spki)).or_default().push(cert);
        }
    }
    let mut taken = Taken(vec![false; pool.certs.len()]);
    let mut leaves: Vec<Vec<usize>> = Vec::with_capacity(pool.keys.len());
    for (key, public) in pool.keys.iter().zip(&publics) {
        let fitting = public.as_ref().and_then(|p| of_public.get(p)).map_or(&[][..], Vec::as_slice);
        let leaf = best(fitting, key, ids, pool, &taken);
        if public.is_some() && leaf.is_none() && !ids.claim(key).all().is_empty() {
            let text = "its localKeyID points at a certificate of another key; it stays without one";
            warnings.push(about(key, text));
        }
        leaves.push(leaf.into_iter().map(|l| taken.take(l)).collect());
    }
    let mut unclear = 0;
    for ((key, public), leaves) in pool.keys.iter().zip(&publics).zip(&mut leaves) {
        let Some(public) = public else {
            let leaf = guess(&ids.claim(key), key, pool, &taken);
            unclear += usize::from(leaf.is_none());
            leaves.extend(leaf.map(|l| taken.take(l)));
            continue;
        };
        // Renewed certificates of the same key; the first of several equal keys takes them.
        for cert in of_public.remove(public).unwrap_or_default() {
            if !taken.0[cert] && pool.certs[cert].trust.is_none() {
                leaves.push(taken.take(cert));
            }
        }
    }
    if unclear > 0 && certs.distinct().any(|c| !taken.0[c] && pool.certs[c].trust.is_none()) {
        warnings.push(format!(
            "nothing tells which certificate belongs to {unclear} of the keys, whose public halves are not known"
        ));
    }
    leaves
}

/// Certificates that a key has already.
struct Taken(Vec<bool>);

impl Taken {
    fn take(&mut self, cert: usize) -> usize {
        self.0[cert] = true;
        cert
    }
}

/// The identity of a key's public half; `None` where the key can't be opened or its half isn't known.
fn public_half(key: &Secret, ctx: &Ctx<'_>) -> Option<Vec<u8>> {
    // What keeps it closed will be said to whoever needs it open.
    let opened = key.open(ctx).ok()?;
    spki_of_pkcs8(&opened.bytes).ok().flatten().map(|spki| identity(&spki))
}

/// More certificates of one key, or with one id, are not looked at: a hostile file may have thousands of
/// both.
const CANDIDATES: usize = 100;

/// Among certificates of the key: the one with its id, with its name, the first that nobody has, the
/// first.
fn best(fitting: &[usize], key: &KeyBag, ids: &Ids<'_>, pool: &Pool, taken: &Taken) -> Option<usize> {
    let fitting = fitting.get(..CANDIDATES).unwrap_or(fitting);
    let named = |c: &&usize| key.name.is_some() && pool.certs[**c].name == key.name;
    let own = |c: &&usize| pool.certs[**c].trust.is_none();
    let find = |is: &dyn Fn(&&usize) -> bool| fitting.iter().find(is);
    find(&|c| ids.bag(key, **c).is_some())
        .or_else(|| find(&|c| own(c) && named(c)))
        .or_else(|| find(&|c| own(c) && !taken.0[**c]))
        .or_else(|| find(&own))
        .or_else(|| fitting.first())
        .copied()
}

/// For a key whose public half isn't known: what its id claims, if no other key proved to own it, and
/// the name where several have the id.
fn guess(claim: &Claim<'_>, key: &KeyBag, pool: &Pool, taken: &Taken) -> Option<usize> {
    if claim.all().len() > CANDIDATES {
        return None;
    }
    let free: Vec<usize> = claim.all().iter().copied().filter(|c| !taken.0[*c]).collect();
    if let [one] = free[..] {
        return Some(one);
    }
    let mut named = free.into_iter().filter(|c| key.name.is_some() && pool.certs[*c].name == key.name);
    named.next().filter(|_| named.next().is_none())
}

fn about(key: &KeyBag, text: &str) -> String {
    match &key.name {
        Some(name) => format!("key \"{}\": {text}", name.text()),
        None => format!("a key without a label: {text}"),
    }
}
