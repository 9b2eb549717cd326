//! Chains: from a leaf to its issuers, as far up as they are present.
//!
//! An issuer is found by its name, byte for byte, and confirmed by the key identifiers where both
//! certificates have them (RFC 5280 section 4.2.1.1), for CAs are renewed and cross-signed under one name.

use crate::asn1::{CertFields, Reader, Tag, cert_fields, oid};
use crate::model::Der;
use foldhash::fast::RandomState;
use std::collections::{HashMap, HashSet};

/// More certificates of one name than this are not tried as issuers: only a hostile file has them.
const MAX_NAMESAKES: usize = 1000;

/// A certificate of the file: the number that the caller knows it by, its bytes, its fields.
pub(crate) type Cert<'a> = (usize, &'a Der, CertFields<'a>);

/// The certificates of a file, by subject and by their bytes.
pub(crate) struct Index<'a> {
    certs: Vec<Cert<'a>>,
    by_subject: HashMap<&'a [u8], Vec<u32>, RandomState>,
    by_bytes: HashMap<&'a [u8], Vec<u32>, RandomState>,
    /// The names that stand as issuer in certificates of others.
    issuers: HashSet<&'a [u8], RandomState>,
}

impl<'a> Index<'a> {
    /// Indexes certificates, each with the number that the caller knows it by.
    pub fn new(certs: impl Iterator<Item = (usize, &'a Der)>) -> Self {
        let certs: Vec<_> =
            certs.filter_map(|(at, der)| cert_fields(der).ok().map(|fields| (at, der, fields))).collect();
        let mut by_subject: HashMap<&[u8], Vec<u32>, _> = HashMap::default();
        let mut by_bytes: HashMap<&[u8], Vec<u32>, _> = HashMap::default();
        let mut issuers = HashSet::default();
        for (n, (_, der, fields)) in certs.iter().enumerate() {
            by_subject.entry(fields.subject).or_default().push(n as u32);
            by_bytes.entry(der).or_default().push(n as u32);
            if fields.issuer != fields.subject {
                issuers.insert(fields.issuer);
            }
        }
        Index { certs, by_subject, by_bytes, issuers }
    }

    /// Every certificate.
    pub fn all(&self) -> &[Cert<'a>] {
        &self.certs
    }

    /// The numbers of all certificates with these very bytes, in the order of the file.
    pub fn copies(&self, der: &[u8]) -> Vec<usize> {
        self.at(self.by_bytes.get(der)).map(|(at, ..)| *at).collect()
    }

    /// Whether a certificate of another name says that this one's subject issued it.
    pub fn issued_others(&self, fields: &CertFields<'_>) -> bool {
        self.issuers.contains(fields.subject)
    }

    /// The issuers above `leaf`, nearest first; ends at a root, at an issuer that isn't there, or where a
    /// circle would close.
    pub fn issuers(&self, leaf: &Der) -> Vec<usize> {
        let mut chain = Vec::new();
        let mut seen: HashSet<&[u8]> = HashSet::new();
        seen.insert(leaf);
        let Ok(mut below) = cert_fields(leaf) else { return chain };
        while below.issuer != below.subject {
            let mut above = self
                .at(self.by_subject.get(below.issuer))
                .take(MAX_NAMESAKES)
                .filter(|(_, d, f)| !seen.contains(&***d) && may_issue(f, &below));
            // One whose key identifier is confirmed goes before one that says nothing.
            let first = above.next();
            let sure = first.into_iter().chain(above).find(|(.., f)| confirmed(f, &below)).or(first);
            let Some((at, der, fields)) = sure else { break };
            seen.insert(der);
            chain.push(*at);
            below = *fields;
        }
        chain
    }

    fn at(&self, places: Option<&'_ Vec<u32>>) -> impl Iterator<Item = &Cert<'a>> {
        places.map_or(&[][..], Vec::as_slice).iter().filter_map(|n| self.certs.get(*n as usize))
    }
}

/// The names fit already; whether the key identifiers do not contradict.
fn may_issue(issuer: &CertFields<'_>, below: &CertFields<'_>) -> bool {
    match (subject_key_id(issuer), authority_key_id(below)) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    }
}

fn confirmed(issuer: &CertFields<'_>, below: &CertFields<'_>) -> bool {
    authority_key_id(below).is_some_and(|id| subject_key_id(issuer) == Some(id))
}

fn subject_key_id<'a>(cert: &CertFields<'a>) -> Option<&'a [u8]> {
    let value = cert.extension(oid::SUBJECT_KEY_ID)?;
    Reader::new(value, 0).expect(Tag::OCTET_STRING, "keyIdentifier").ok().map(|t| t.content)
}

fn authority_key_id<'a>(cert: &CertFields<'a>) -> Option<&'a [u8]> {
    let value = cert.extension(oid::AUTHORITY_KEY_ID)?;
    let mut fields = Reader::new(value, 0).expect(Tag::SEQUENCE, "AuthorityKeyIdentifier").ok()?.reader();
    fields.optional(Tag::context_primitive(0)).ok()?.map(|t| t.content)
}
