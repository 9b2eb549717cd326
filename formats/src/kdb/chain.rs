//! Chains. A record holds a key's own certificate only; its signers are records of their own, found by
//! name and key identifier (RFC 5280 section 4.2.1).

use crate::asn1::cert_fields;
use foldhash::quality::RandomState;
use std::cell::OnceCell;
use std::collections::HashMap;

/// A longer chain is no chain.
const LONGEST: usize = 50;
/// More certificates of one name are not looked at, so that a hostile file costs no more than its size.
const CANDIDATES: usize = 100;

/// The certificates of one store by subject.
pub struct Signers<'a> {
    certificates: Vec<&'a [u8]>,
    by_subject: HashMap<&'a [u8], Vec<usize>, RandomState>,
    /// Each certificate's signer is looked for once, however many chains lead through it.
    issuers: Vec<OnceCell<Option<usize>>>,
}

impl<'a> Signers<'a> {
    /// From all certificates of the store.
    pub fn new(certificates: Vec<&'a [u8]>) -> Self {
        let mut by_subject: HashMap<_, Vec<usize>, _> =
            HashMap::with_capacity_and_hasher(certificates.len(), RandomState::default());
        for (at, certificate) in certificates.iter().enumerate() {
            if let Ok(fields) = cert_fields(certificate) {
                by_subject.entry(fields.subject).or_default().push(at);
            }
        }
        let issuers = vec![OnceCell::new(); certificates.len()];
        Signers { certificates, by_subject, issuers }
    }

    /// The signers of `leaf`, nearest first, as places in what this was made from.
    pub fn chain(&self, leaf: &'a [u8]) -> Vec<usize> {
        let mut chain = Vec::new();
        let mut next = self.issuer(leaf);
        while let Some(at) = next {
            // Certificates that signed each other end where the circle closes.
            if chain.len() == LONGEST || chain.contains(&at) || self.certificates[at] == leaf {
                break;
            }
            chain.push(at);
            next = *self.issuers[at].get_or_init(|| self.issuer(self.certificates[at]));
        }
        chain
    }

    fn issuer(&self, certificate: &[u8]) -> Option<usize> {
        let fields = cert_fields(certificate).ok()?;
        let wanted = fields.authority_key_id();
        let own = fields.subject_key_id();
        if fields.issuer == fields.subject && (wanted.is_none() || own.is_none() || wanted == own) {
            return None; // it signed itself
        }
        // Of several with the name: the one with the key that is named, a CA, the one that ends last.
        let rank = |at: usize| {
            let signer = cert_fields(self.certificates[at]).ok()?;
            let key = match (wanted, signer.subject_key_id()) {
                (Some(w), Some(k)) if w != k => return None,
                (Some(_), Some(_)) => true,
                _ => false,
            };
            Some((key, signer.is_ca(), crate::query::time::seconds(signer.not_after)))
        };
        let named = self.by_subject.get(fields.issuer)?;
        let ranked = named.iter().take(CANDIDATES).filter_map(|at| rank(*at).map(|r| (r, *at)));
        // The first among equals.
        ranked.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, at)| at)
    }
}
