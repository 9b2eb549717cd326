//! One entry of a store into a file of its own: the certificate, its chain, or the key with both.

use crate::asn1::cert_fields;
use crate::error::{Error, Result};
use crate::format::TrustRange;
use crate::jobs::deliver::{Converted, Target};
use crate::jobs::select::by_label;
use crate::jobs::{Input, Map, load};
use crate::model::{Der, Entry, Item, Store};

/// Which part of the entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// The certificate (or request, or revocation list) alone.
    #[default]
    Certificate,
    /// The certificate and its signers, as far as the store has them.
    Chain,
    /// The private or secret key, with its chain.
    Key,
}

/// What to take out and where to.
pub struct Extract<'a> {
    /// The store.
    pub from: Input<'a>,
    /// The entry.
    pub label: &'a str,
    /// What of it.
    pub part: Part,
    /// The destination.
    pub to: Target<'a>,
}

/// Writes it. The store itself stays as it is.
pub fn extract(job: &Extract<'_>) -> Result<Converted> {
    let mut loaded = load(&job.from)?;
    let format = loaded.format;
    let named = |e: Error| e.in_format(format.name()).in_file(job.from.source.path());
    let at = by_label(&loaded.store, job.label, format).map_err(named)?;
    let mut entries = match job.part {
        Part::Certificate => vec![alone(&loaded.store.entries[at])],
        Part::Chain => chain(&loaded.store, at).map_err(named)?,
        Part::Key => vec![key(&loaded.store.entries[at]).map_err(named)?],
    };
    if job.part != Part::Key && job.to.format.carries().trust == TrustRange::None {
        // Certificates are handed out as such; what this store thinks of them is its own.
        entries.iter_mut().for_each(|e| e.trust = None);
    }
    loaded.store = Store { entries, warnings: loaded.store.warnings, ..Store::default() };
    job.to.deliver(loaded, &job.from)
}

/// The entry without its key.
fn alone(entry: &Entry) -> Entry {
    let item = match (&entry.item, entry.certificate()) {
        (Item::Request { csr, .. }, _) => Item::Request { csr: csr.clone(), key: None },
        (_, Some(certificate)) => Item::Cert(certificate.clone()),
        (item, None) => item.clone(),
    };
    Entry { item, default: false, attrs: Vec::new(), ..entry.clone() }
}

fn key(entry: &Entry) -> Result<Entry> {
    match entry.secret() {
        Some(_) => Ok(Entry { default: false, ..entry.clone() }),
        None => Err(Error::refused("has no private key").in_entry(entry.label_text())),
    }
}

/// The certificate and its signers, leaf first.
fn chain(store: &Store, at: usize) -> Result<Vec<Entry>> {
    let entry = &store.entries[at];
    let own = |cert: &Der| {
        let there = store.entries.iter().find(|e| e.certificate() == Some(cert));
        there.map_or_else(|| Entry::new(Item::Cert(cert.clone())), alone)
    };
    if let Item::Key { chain, .. } = &entry.item {
        return Ok(chain.iter().map(|l| own(&l.cert)).collect());
    }
    let Some(leaf) = entry.certificate() else {
        return Err(Error::refused("it is no certificate").in_entry(entry.label_text()));
    };
    let mut by_subject: Map<&[u8], &Der> = Map::default();
    for cert in store.entries.iter().filter_map(Entry::certificate) {
        if let Ok(fields) = cert_fields(cert) {
            by_subject.entry(fields.subject).or_insert(cert);
        }
    }
    let mut out = vec![alone(entry)];
    let mut last = leaf;
    // A circle of signers ends it, as does the longest chain that anybody uses.
    while let Some(signer) = cert_fields(last).ok().and_then(|f| by_subject.get(f.issuer)).copied()
        && signer != last
        && out.len() < 20
        && !out.iter().any(|e| e.certificate() == Some(signer))
    {
        out.push(own(signer));
        last = signer;
    }
    Ok(out)
}
