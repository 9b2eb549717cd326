//! One entry of a store into a file of its own: the certificate, its chain, or the key with both.

use crate::asn1::cert_fields;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::format::{Format, TrustRange};
use crate::jobs::build::same_password;
use crate::jobs::convert::{Converted, Delivery};
use crate::jobs::prepare::prepare;
use crate::jobs::select::by_label;
use crate::jobs::{AllowLoss, Input, Map, Output, load};
use crate::model::{Der, Entry, Item, Store};
use crate::storeset::Step;

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
    pub to: Output<'a>,
    /// Its format.
    pub to_format: &'static dyn Format,
    /// Its password and options.
    pub to_ctx: Ctx<'a>,
    /// Which losses are accepted.
    pub allow: AllowLoss,
    /// Replace a destination that exists.
    pub force: bool,
    /// Called before each step of the swap.
    pub on_step: &'a dyn Fn(Step) -> Result<()>,
}

/// Writes it. The store itself stays as it is.
pub fn extract(job: &Extract<'_>) -> Result<Converted> {
    let loaded = load(&job.from)?;
    let path = job.from.source.path();
    let named = |e: Error| e.in_format(loaded.format.name()).in_file(path);
    let at = by_label(&loaded.store, job.label, loaded.format).map_err(named)?;
    let mut report = Converted {
        from_format: loaded.format.name(),
        warnings: loaded.store.warnings.clone(),
        ..Converted::default()
    };
    let entries = match job.part {
        Part::Certificate => vec![alone(&loaded.store.entries[at])],
        Part::Chain => chain(&loaded.store, at).map_err(named)?,
        Part::Key => vec![key(&loaded.store.entries[at]).map_err(named)?],
    };
    let mut store = Store { entries, ..Store::default() };
    if job.part != Part::Key && job.to_format.carries().trust == TrustRange::None {
        // Certificates are handed out as such; what this store thinks of them is its own.
        store.entries.iter_mut().for_each(|e| e.trust = None);
    }
    let same = || same_password(&job.from.ctx, &job.to_ctx);
    let (store, losses) = prepare(store, &job.from.ctx, job.to_format, &same).map_err(named)?;
    report.losses = losses;
    let to = Delivery {
        to: job.to,
        format: job.to_format,
        ctx: job.to_ctx,
        allow: &job.allow,
        force: job.force,
        dry_run: false,
        on_step: job.on_step,
    };
    to.deliver(store, &mut report)?;
    Ok(report)
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
