//! Chains: NSS keeps certificates side by side; a key's chain is found by following names.

use crate::asn1::CertFields;
use std::collections::HashMap;

/// Longer chains exist only in loops and jokes.
const LONGEST: usize = 16;

/// The certificates of a store by subject.
pub struct Chains<'a> {
    certificates: Vec<CertFields<'a>>,
    by_subject: HashMap<&'a [u8], Vec<usize>>,
}

impl<'a> Chains<'a> {
    /// All certificates that a chain may go through.
    pub fn new(certificates: Vec<CertFields<'a>>) -> Self {
        let mut by_subject: HashMap<&[u8], Vec<usize>> = HashMap::with_capacity(certificates.len());
        for (at, fields) in certificates.iter().enumerate() {
            by_subject.entry(fields.subject).or_default().push(at);
        }
        Chains { certificates, by_subject }
    }

    /// The chain of the certificate at `leaf`, itself first, as far as its issuers are here. Names and key
    /// identifiers decide; signatures aren't verified, for a chain is what is handed on, not trust.
    pub fn of(&self, leaf: usize) -> Vec<usize> {
        let mut chain = vec![leaf];
        while let Some(fields) = chain.last().and_then(|at| self.certificates.get(*at)) {
            if fields.issuer == fields.subject || chain.len() >= LONGEST {
                break;
            }
            match self.issuer(fields) {
                Some(next) if !chain.contains(&next) => chain.push(next),
                _ => break,
            }
        }
        chain
    }

    fn issuer(&self, fields: &CertFields<'_>) -> Option<usize> {
        let candidates = self.by_subject.get(fields.issuer)?;
        let wanted = fields.authority_key_id();
        let fits = |at: &&usize| {
            let own = self.certificates.get(**at).and_then(CertFields::subject_key_id);
            wanted.is_some() && own == wanted
        };
        // A renewed CA has the same name and often the same key: then the newest one is the one to show.
        let fitting: Vec<&usize> = candidates.iter().filter(fits).collect();
        let pool = if fitting.is_empty() { candidates.iter().collect() } else { fitting };
        let ends =
            |at: &usize| self.certificates.get(*at).and_then(|f| crate::query::time::seconds(f.not_after));
        pool.into_iter()
            .filter(|at| self.certificates.get(**at).is_some_and(CertFields::is_ca))
            .copied()
            .max_by_key(|at| (ends(at), std::cmp::Reverse(*at)))
    }
}
