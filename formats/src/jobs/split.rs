//! One combined store parted into a key store and a trust store, as Java and MQIPT want them.
//!
//! Private keys go with their chains, and with them requests, secret keys and what isn't known, for it may be a
//! secret. Certificates and revocation lists on their own make the trust store. Where the key store's format makes
//! chains from what stands beside a key, the signers stand in both.

use super::deliver::{Converted, Target};
use super::labels::shown;
use super::{Input, Loaded, Set, load, makes_chains};
use crate::asn1::cert_fields;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::model::{Der, Entry, Item, Label, Link, Store};

/// What to part, and where to.
pub struct Split<'a> {
    /// The combined store.
    pub from: Input<'a>,
    /// Where the keys go.
    pub keys: Target<'a>,
    /// Where the certificates go.
    pub trust: Target<'a>,
    /// Put the roots at the ends of the keys' chains into the trust store too.
    pub roots: bool,
}

/// What became of both, key store first. Either both are written or none.
pub fn split(job: &Split<'_>) -> Result<[Converted; 2]> {
    let Loaded { format, store } = load(&job.from)?;
    let named = |e: Error| e.in_format(format.name()).in_file(job.from.source.path());
    let (keys, mut trust) = parts(store, job.keys.format);
    if !keys.entries.iter().any(|e| e.secret().is_some()) {
        return Err(named(Error::refused("holds no private key, so there is nothing to part")));
    }
    if job.roots {
        trust.entries.extend(roots(&keys, &trust));
    }
    if trust.entries.is_empty() {
        return Err(named(
            Error::refused("no certificate stands on its own, so the trust store would be empty")
                .hint("--roots takes the roots that the chains of its keys end at; keyferry create makes one of files"),
        ));
    }
    let mut keys = job.keys.stage(Loaded { format, store: keys }, &job.from)?;
    let mut trust = job.trust.stage(Loaded { format, store: trust }, &job.from)?;
    if keys.report.written && trust.report.written {
        keys.commit()?;
        if let Err(e) = trust.commit() {
            return Err(match keys.undo() {
                Ok(()) => e,
                Err(failure) => crate::storeset::not_put_back(&e, &failure),
            });
        }
    } else {
        (keys.report.written, trust.report.written) = (false, false);
    }
    Ok([keys.finish(), trust.finish()])
}

fn parts(store: Store, keys_format: &dyn Format) -> (Store, Store) {
    let links = |e: &Entry| -> Vec<Der> {
        match &e.item {
            Item::Key { chain, .. } => chain.iter().skip(1).map(|l| l.cert.clone()).collect(),
            _ => Vec::new(),
        }
    };
    let signers: Set<Der> = match makes_chains(keys_format) {
        true => store.entries.iter().flat_map(links).collect(),
        false => Set::default(),
    };
    let mut trust = Store { facts: store.facts.clone(), ..Store::default() };
    let mut keys = Store { entries: Vec::new(), ..store };
    for entry in store.entries {
        match &entry.item {
            Item::Cert(certificate) => {
                if signers.contains(certificate) {
                    keys.entries.push(entry.clone());
                }
                trust.entries.push(entry);
            }
            Item::Crl(_) => trust.entries.push(entry),
            _ => keys.entries.push(entry),
        }
    }
    (keys, trust)
}

/// The roots of the keys' chains that the trust store doesn't hold.
fn roots(keys: &Store, trust: &Store) -> Vec<Entry> {
    let mut there: Set<Der> = trust.entries.iter().filter_map(|e| e.certificate().cloned()).collect();
    let is_root = |l: &&Link| cert_fields(&l.cert).is_ok_and(|f| f.subject == f.issuer && f.is_ca());
    let mut out = Vec::new();
    for entry in &keys.entries {
        let Item::Key { chain, .. } = &entry.item else { continue };
        let Some(root) = chain.last().filter(is_root).filter(|l| there.insert(l.cert.clone())) else {
            continue;
        };
        let mut root_entry = Entry::new(Item::Cert(root.cert.clone()));
        root_entry.label.clone_from(&root.label);
        if root_entry.label.is_none() {
            root_entry.label = Some(Label::from(shown(&root_entry).into_owned()));
        }
        out.push(root_entry);
    }
    out
}
