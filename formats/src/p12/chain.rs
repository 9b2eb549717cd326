//! Chains: which certificates follow a leaf.
//!
//! PKCS#12 does not say which certificate belongs to which chain, nor in which order, so chains are built
//! by issuer and key identifier (RFC 5280 section 4.2.1) among all certificates of the file.

use super::pair::CertBag;
use crate::asn1::{CertFields, Reader, Tag, cert_fields, oid};
use foldhash::quality::RandomState;
use std::cell::OnceCell;
use std::collections::HashMap;

/// A longer chain is no chain; what doesn't fit stays an entry of its own.
const LONGEST: usize = 20;

type Map<'a, V> = HashMap<&'a [u8], V, RandomState>;

/// The certificates of a file, equal ones as one. A certificate is named by the number of its first bag;
/// a bag of an untrusted one goes before, for what Java marks as trusted is an entry of its own.
pub(super) struct Certs<'a> {
    bags: &'a [CertBag],
    first: Vec<usize>,
    by_subject: OnceCell<Map<'a, Vec<usize>>>,
}

impl<'a> Certs<'a> {
    pub fn new(bags: &'a [CertBag]) -> Self {
        let mut seen: Map<'_, usize> = Map::with_capacity_and_hasher(bags.len(), RandomState::default());
        for (at, bag) in bags.iter().enumerate() {
            let first = seen.entry(&bag.der).or_insert(at);
            if bags[*first].trust.is_some() && bag.trust.is_none() {
                *first = at;
            }
        }
        let first = bags.iter().map(|b| seen.get(&*b.der).copied().unwrap_or_default()).collect();
        Certs { bags, first, by_subject: OnceCell::new() }
    }

    /// The first bag with the same certificate.
    pub fn first(&self, bag: usize) -> usize {
        self.first[bag]
    }

    /// The first bag for each bag.
    pub fn firsts(&self) -> &[usize] {
        &self.first
    }

    /// Every certificate once.
    pub fn distinct(&self) -> impl Iterator<Item = usize> + '_ {
        self.first.iter().enumerate().filter(|(at, first)| at == *first).map(|(at, _)| at)
    }

    /// Builds chains, one after the other.
    pub fn builder(&self) -> Builder<'_, 'a> {
        Builder {
            certs: self,
            issuers: vec![None; self.bags.len()],
            visited: vec![0; self.bags.len()],
            round: 0,
        }
    }

    fn fields(&self, cert: usize) -> Option<CertFields<'a>> {
        cert_fields(&self.bags[cert].der).ok()
    }

    fn by_subject(&self) -> &Map<'a, Vec<usize>> {
        self.by_subject.get_or_init(|| {
            let mut map: Map<'_, Vec<usize>> = Map::default();
            for cert in self.distinct() {
                if let Some(fields) = self.fields(cert) {
                    map.entry(fields.subject).or_default().push(cert);
                }
            }
            map
        })
    }

    /// The certificate that issued `cert`, if one of the file did.
    fn issuer(&self, cert: usize, fields: &CertFields<'_>) -> Option<usize> {
        let authority = Authority::of(fields);
        if fields.issuer == fields.subject && authority.names(fields) != Some(false) {
            return None; // self-signed, the end
        }
        let named = self.by_subject().get(fields.issuer)?;
        // Most often one; of several, the one whose identifier fits, the one that stands next (writers put
        // them in order), the first.
        let rank = |c: &usize| {
            let own = self.fields(*c)?;
            let fits = authority.names(&own);
            (fits != Some(false) && *c != cert).then_some((fits == Some(true), own.is_ca(), *c == cert + 1))
        };
        let mut best = None;
        for candidate in named.iter().take(CANDIDATES) {
            if let Some(rank) = rank(candidate)
                && best.is_none_or(|(known, _)| rank > known)
            {
                best = Some((rank, *candidate));
            }
        }
        best.map(|(_, c)| c)
    }
}

/// More CAs of one name are not looked at, so that a hostile file costs no more than its size.
const CANDIDATES: usize = 100;

/// Builds chains, remembering what a chain has visited.
pub(super) struct Builder<'b, 'a> {
    certs: &'b Certs<'a>,
    /// What was found so far: thousands of keys may share a chain.
    issuers: Vec<Option<Option<usize>>>,
    visited: Vec<usize>,
    round: usize,
}

impl Builder<'_, '_> {
    /// The chain that begins with `leaf`, in first bags.
    pub fn chain(&mut self, leaf: usize) -> Vec<usize> {
        self.round += 1;
        let mut chain = Vec::with_capacity(4);
        let mut next = Some(leaf);
        while let Some(cert) = next {
            // Cross-signed CAs may issue each other.
            if chain.len() == LONGEST || std::mem::replace(&mut self.visited[cert], self.round) == self.round
            {
                break;
            }
            chain.push(cert);
            let find = || self.certs.fields(cert).and_then(|f| self.certs.issuer(cert, &f));
            next = *self.issuers[cert].get_or_insert_with(find);
        }
        chain
    }
}

/// What a certificate's authorityKeyIdentifier says of its issuer.
#[derive(Default)]
struct Authority<'a> {
    key_id: Option<&'a [u8]>,
    serial: Option<&'a [u8]>,
}

impl<'a> Authority<'a> {
    fn of(fields: &CertFields<'a>) -> Self {
        let mut out = Authority::default();
        let value = fields.extension(oid::AUTHORITY_KEY_ID);
        let inner = value.and_then(|v| Reader::new(v, 0).expect(Tag::SEQUENCE, "identifier").ok());
        let Some(mut parts) = inner.map(|s| s.reader()) else { return out };
        while let Ok(Some(part)) = parts.next() {
            match part.tag {
                t if t == Tag::context_primitive(0) => out.key_id = Some(part.content),
                t if t == Tag::context_primitive(2) => out.serial = Some(part.content),
                _ => {}
            }
        }
        out
    }

    /// Whether the certificate with these fields is meant: it is, it isn't, it can't be told.
    fn names(&self, fields: &CertFields<'_>) -> Option<bool> {
        if let (Some(key_id), Some(own)) = (self.key_id, fields.subject_key_id()) {
            return Some(key_id == own);
        }
        self.serial.map(|s| s == fields.serial)
    }
}
