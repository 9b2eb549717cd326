//! Chains: from a leaf to its issuers, as far up as they are present.
//!
//! An issuer is found by its name, byte for byte, and confirmed by the key identifiers where both
//! certificates have them (RFC 5280 section 4.2.1.1), for CAs are renewed and cross-signed under one name.

use crate::asn1::{CertFields, cert_fields};
use crate::model::Der;
use foldhash::fast::RandomState;
use std::collections::{HashMap, HashSet};

/// More different certificates of one name than this are not tried as issuers, and no chain is longer:
/// only a hostile file has them.
const MAX_NAMESAKES: usize = 64;
const MAX_CHAIN: usize = 64;

/// The end of a list in [`Index::next`].
const END: u32 = u32::MAX;

/// A certificate of the file: the number that the caller knows it by, its bytes, its fields.
pub(super) type Cert<'a> = (usize, &'a Der, CertFields<'a>);

/// The certificates of a file, by subject.
pub(super) struct Index<'a> {
    certs: Vec<Cert<'a>>,
    /// The first and last certificate of a name; `next` leads from each to the next of its name.
    by_subject: HashMap<&'a [u8], (u32, u32), RandomState>,
    next: Vec<u32>,
}

impl<'a> Index<'a> {
    /// Indexes certificates, each with the number that the caller knows it by.
    pub fn new(certs: impl Iterator<Item = (usize, &'a Der)>) -> Self {
        let certs: Vec<Cert<'_>> =
            certs.filter_map(|(at, der)| cert_fields(der).ok().map(|fields| (at, der, fields))).collect();
        let mut by_subject: HashMap<&[u8], (u32, u32), _> = HashMap::default();
        let mut next = vec![END; certs.len()];
        for (n, (_, der, fields)) in certs.iter().enumerate() {
            let n = n as u32;
            let (first, last) = by_subject.entry(fields.subject).or_insert((n, n));
            // A copy of the first adds nothing: a CA that stands below each of many keys.
            let copy = certs.get(*first as usize).is_some_and(|(_, d, _)| d == der);
            if *last != n && !copy {
                if let Some(link) = next.get_mut(*last as usize) {
                    *link = n;
                }
                *last = n;
            }
        }
        Index { certs, by_subject, next }
    }

    /// Every certificate, in the order of the file.
    pub fn all(&self) -> &[Cert<'a>] {
        &self.certs
    }

    /// For each of these certificates, the numbers of all that have the same bytes, in the order of the
    /// file.
    pub fn copies<'d>(&self, of: impl Iterator<Item = &'d [u8]>) -> HashMap<&'d [u8], Vec<usize>> {
        let mut copies: HashMap<&[u8], Vec<usize>> = of.map(|der| (der, Vec::new())).collect();
        // Signatures differ where certificates do, so nearly all are told apart without hashing them.
        let tail = |der: &[u8]| der.last_chunk::<8>().copied();
        let tails: HashSet<_> = copies.keys().map(|der| tail(der)).collect();
        for (at, der, _) in self.certs.iter().filter(|(_, der, _)| tails.contains(&tail(der))) {
            if let Some(places) = copies.get_mut(&***der) {
                places.push(*at);
            }
        }
        copies
    }

    /// The names that stand as issuer in certificates of others.
    pub fn issuer_names(&self) -> HashSet<&'a [u8]> {
        self.certs.iter().filter(|(.., f)| f.issuer != f.subject).map(|(.., f)| f.issuer).collect()
    }

    /// The issuers above `leaf`, nearest first; ends at a root, at an issuer that isn't there, or where a
    /// circle would close.
    pub fn issuers(&self, leaf: &'a Der) -> Vec<usize> {
        let mut chain = Vec::new();
        let mut seen: Vec<&Der> = vec![leaf];
        let Ok(mut below) = cert_fields(leaf) else { return chain };
        while below.issuer != below.subject && chain.len() < MAX_CHAIN {
            let mut above = self
                .named(below.issuer)
                .take(MAX_NAMESAKES)
                .filter(|(_, d, f)| !seen.contains(d) && may_issue(f, &below));
            // One whose key identifier is confirmed goes before one that says nothing.
            let first = above.next();
            let sure = first.into_iter().chain(above).find(|(.., f)| confirmed(f, &below)).or(first);
            let Some((at, der, fields)) = sure else { break };
            seen.push(der);
            chain.push(*at);
            below = *fields;
        }
        chain
    }

    /// The different certificates of a name.
    fn named(&self, subject: &[u8]) -> impl Iterator<Item = &Cert<'a>> {
        let mut at = self.by_subject.get(subject).map_or(END, |(first, _)| *first);
        std::iter::from_fn(move || {
            let cert = self.certs.get(at as usize)?;
            at = self.next.get(at as usize).copied().unwrap_or(END);
            Some(cert)
        })
    }
}

/// The names fit already; whether the key identifiers do not contradict.
fn may_issue(issuer: &CertFields<'_>, below: &CertFields<'_>) -> bool {
    match (issuer.subject_key_id(), below.authority_key_id()) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    }
}

fn confirmed(issuer: &CertFields<'_>, below: &CertFields<'_>) -> bool {
    below.authority_key_id().is_some_and(|id| issuer.subject_key_id() == Some(id))
}
