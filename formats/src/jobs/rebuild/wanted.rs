//! What every store shall hold: the bundles' certificates, and the keys.

use super::compare::lone;
use super::located::Located;
use super::{Bundle, KeySource, Rebuild, policy};
use crate::asn1::cert_fields;
use crate::bundle::Role;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::format::TrustRange;
use crate::jobs::labels::shown;
use crate::jobs::list::sha256_hex;
use crate::jobs::{Map, Set};
use crate::model::{Der, Entry, Item, Level, Loss, LossKind, Store, Trust};

/// What every store shall hold: the bundles' certificates and, where it comes from elsewhere, the key.
pub(super) struct Wanted {
    /// Certificates and revocation lists, each once.
    public: Vec<Entry>,
    /// The roles of each of them, where a manifest states them.
    roles: Vec<Option<Vec<Role>>>,
    /// SHA-256 of certificates that must be nowhere, lower-case hex.
    pub(super) distrusted: Set<String>,
    /// The private keys of `--key`.
    keys: Option<Vec<Entry>>,
}

impl Wanted {
    pub(super) fn load(job: &Rebuild<'_>, warnings: &mut Vec<String>) -> Result<Self> {
        let distrusted = policy::distrust(&job.bundles).map(|d| d.sha256.clone()).collect();
        let mut wanted = Wanted { public: Vec::new(), roles: Vec::new(), distrusted, keys: None };
        let mut seen: Set<Der> = Set::default();
        for bundle in &job.bundles {
            let loaded = public(bundle, warnings)?;
            let now = bundle.input.ctx.session.now_ms / 1000;
            let members = bundle.manifest.map(|m| m.members(now));
            for entry in loaded {
                let Some(object) = entry.object() else { continue };
                let stated = match (&members, &entry.item) {
                    (Some(members), Item::Cert(c)) => match members.get(sha256_hex(c).as_str()) {
                        Some(member) => Some(member.roles.clone()),
                        // Its time is over.
                        None => continue,
                    },
                    _ => None,
                };
                // Before it is cloned, so that all clones know their print.
                object.print();
                if !wanted.distrusts(object) && seen.insert(object.clone()) {
                    wanted.public.push(entry);
                    wanted.roles.push(stated);
                }
            }
        }
        wanted.keys = job.key.as_ref().map(|k| private_keys(k, warnings)).transpose()?;
        Ok(wanted)
    }

    /// What the bundles hold.
    pub(super) fn public(&self) -> impl Iterator<Item = &Entry> {
        self.public.iter()
    }

    /// The certificates of the keys that the store will hold, if it is `current` now.
    pub(super) fn all_keys<'a>(&'a self, current: &'a Store) -> impl Iterator<Item = &'a Der> {
        let from = self.keys.as_deref().unwrap_or(&current.entries);
        from.iter().filter(|e| matches!(e.item, Item::Key { .. })).filter_map(Entry::certificate)
    }

    /// Whether this certificate is one of a key's signers, which come with the key.
    pub(super) fn signs_a_key(&self, current: &Store, certificate: &Der) -> bool {
        let from = self.keys.as_deref().unwrap_or(&current.entries);
        from.iter().any(|e| match &e.item {
            Item::Key { chain, .. } => chain.iter().any(|l| l.cert == *certificate),
            _ => false,
        }) && self.public.iter().all(|e| lone(e) != Some(certificate))
    }

    /// What of the bundles has one of these roles.
    fn in_roles<'a>(&'a self, wanted: Option<&'a [Role]>) -> impl Iterator<Item = &'a Entry> {
        self.public.iter().zip(&self.roles).filter_map(move |(entry, stated)| {
            let fits = wanted.is_none_or(|wanted| {
                let roles = stated.as_deref().unwrap_or_else(|| policy::usual_roles(&entry.item));
                roles.iter().any(|r| wanted.contains(r))
            });
            fits.then_some(entry)
        })
    }

    /// The store to be: its keys (their chains with them), what else it holds that no bundle speaks of, and
    /// the bundles' certificates, those it has already as they stand in it.
    pub(super) fn merge(
        &self,
        current: &Store,
        place: &Located<'_>,
        losses: &mut Vec<Loss>,
    ) -> Result<Store> {
        let ctx = &place.target.ctx;
        let mut entries = Vec::with_capacity(self.public.len() + 1);
        let known: Map<&Der, &Entry> = current.entries.iter().filter_map(|e| Some((lone(e)?, e))).collect();
        let crls = self.public.iter().any(|e| matches!(e.item, Item::Crl(_)));
        for entry in &current.entries {
            match &entry.item {
                Item::Cert(_) => {}
                Item::Crl(_) if crls => {}
                Item::Key { chain, .. } if self.keys.is_some() => {
                    let leaf = chain.first().map(|l| &l.cert);
                    let stays = self.keys.iter().flatten().any(|k| k.object() == leaf && leaf.is_some());
                    if !stays {
                        losses.push(Loss::new(
                            LossKind::Key,
                            shown(entry),
                            "the current store holds this private key, the source of --key does not",
                        ));
                    }
                }
                _ => entries.push(entry.clone()),
            }
        }
        for key in self.keys.iter().flatten() {
            let mut key = key.clone();
            // The label that the same certificate has now: programs look it up by that.
            let now = current
                .entries
                .iter()
                .find(|e| matches!(e.item, Item::Key { .. }) && e.object() == key.object());
            if let Some(now) = now {
                key.label = now.label.clone();
                key.default = now.default;
                if same_key(now, &key, ctx) {
                    key.attrs = now.attrs.clone();
                }
            }
            entries.push(key);
        }
        // A key's own certificate is there with the key; a second entry would only be another label for it.
        let leaves: Set<Der> =
            entries.iter().filter(|e| e.secret().is_some()).filter_map(|e| e.object().cloned()).collect();
        for new in self.in_roles(place.target.roles) {
            let Item::Cert(der) = &new.item else {
                entries.push(new.clone());
                continue;
            };
            if leaves.contains(der) {
                continue;
            }
            let mut entry = known.get(der).map_or_else(|| new.clone(), |e| (*e).clone());
            if new.trust.is_some() {
                entry.trust.clone_from(&new.trust);
            }
            entries.push(entry);
        }
        if place.format.flat() && place.format.carries().trust == TrustRange::PerPurpose {
            self.keep_signers(&mut entries, &known);
        }
        Ok(Store { entries, facts: current.facts.clone(), ..Store::default() })
    }
}

impl Wanted {
    /// The signers of a key that no bundle holds stay as entries without trust, where a format has chains in that
    /// shape: the key goes on showing its chain, and nobody else is believed for it.
    ///
    /// Not where trust is one bit: GSKit (8.0.60.5) doesn't offer a key to a server where a signer lacks it, so in a
    /// kdb they stay as they are.
    fn keep_signers(&self, entries: &mut Vec<Entry>, known: &Map<&Der, &Entry>) {
        let there: Set<Der> = entries.iter().filter_map(Entry::certificate).cloned().collect();
        let mut signers: Vec<Entry> = Vec::new();
        for entry in entries.iter() {
            let Item::Key { chain, .. } = &entry.item else { continue };
            for link in chain.iter().skip(1) {
                if there.contains(&link.cert) || signers.iter().any(|s| s.object() == Some(&link.cert)) {
                    continue;
                }
                let mut signer = known.get(&link.cert).map_or_else(
                    || {
                        let mut signer = Entry::new(Item::Cert(link.cert.clone()));
                        signer.label.clone_from(&link.label);
                        signer.attrs.clone_from(&link.attrs);
                        signer
                    },
                    |e| (*e).clone(),
                );
                signer.trust = Some(Trust::all(Level::Unset));
                signers.push(signer);
            }
        }
        entries.extend(signers);
    }
}

/// The content of a bundle, public and whole.
fn public(bundle: &Bundle<'_>, warnings: &mut Vec<String>) -> Result<Vec<Entry>> {
    let source = bundle.input.source;
    let loaded = crate::jobs::load(&bundle.input)?;
    let named = |e: Error| e.in_format(loaded.format.name()).in_file(source.path());
    warnings.extend(loaded.store.warnings.iter().cloned());
    if let Some(defect) = loaded.store.defects.first() {
        return Err(named(
            Error::malformed(format!("the bundle is damaged: {}", defect.message()))
                .at_if(defect.place().offset)
                .hint("a bundle is taken whole or not at all; fetch it again"),
        ));
    }
    if let Some(secret) = loaded.store.entries.iter().find(|e| e.secret().is_some()) {
        return Err(named(
            Error::refused("the bundle holds a private or secret key")
                .in_entry(shown(secret))
                .hint("bundles are public; a key goes in with --key"),
        ));
    }
    let mut certificates = loaded.store.entries.iter().filter_map(|e| Some((e, lone(e)?))).peekable();
    if certificates.peek().is_none() {
        return Err(named(
            Error::refused("the bundle holds no certificates")
                .hint("nothing was changed: an empty bundle would empty the stores"),
        ));
    }
    if let Some((_, bounds)) = &bundle.only_under {
        let outside = |c: &Der| !cert_fields(c).is_ok_and(|f| bounds.matches(f.subject));
        if let Some((entry, _)) = certificates.find(|(_, c)| outside(c)) {
            return Err(named(
                Error::refused("the bundle may not bring this subject")
                    .in_entry(shown(entry))
                    .hint("only_under says which subjects it may bring"),
            ));
        }
    }
    Ok(loaded.store.entries)
}

/// Whether a certificate says that it is an authority's, or is so old that it can't say it and signs itself.
pub(super) fn is_ca(certificate: &Der) -> bool {
    cert_fields(certificate).is_ok_and(|f| f.is_ca())
}

/// The same private key, so that what the current store says about it still holds.
fn same_key(now: &Entry, new: &Entry, ctx: &Ctx<'_>) -> bool {
    let open = |e: &Entry| e.secret().and_then(|s| s.open(ctx).ok().map(|k| k.bytes.clone()));
    matches!((open(now), open(new)), (Some(a), Some(b)) if a == b)
}

/// The keys of `--key`, opened: their passwords are that store's, not the target's.
fn private_keys(source: &KeySource<'_>, warnings: &mut Vec<String>) -> Result<Vec<Entry>> {
    let path = source.input.source.path();
    let loaded = crate::jobs::load(&source.input)?;
    let named = |e: Error| e.in_format(loaded.format.name()).in_file(path);
    warnings.extend(loaded.store.warnings.iter().cloned());
    let mut keys = Vec::new();
    for entry in loaded.store.entries {
        let wanted = source.label.as_ref().is_none_or(|l| selects(l, &entry));
        if !wanted || !matches!(entry.item, Item::Key { .. }) {
            continue;
        }
        if let Some(secret) = entry.secret() {
            secret.open(&source.input.ctx).map_err(|e| named(e.in_entry(shown(&entry))))?;
        }
        if entry.certificate().is_none() {
            return Err(named(
                Error::refused("the private key has no certificate")
                    .in_entry(shown(&entry))
                    .hint("put the key and its certificate chain into one file"),
            ));
        }
        // What only that format knows has no place in the client's store.
        keys.push(Entry { attrs: Vec::new(), trust: None, ..entry });
    }
    if keys.is_empty() {
        let message = match &source.label {
            Some(label) => format!("no private key has the label \"{label}\""),
            None => "no private key in it".to_owned(),
        };
        return Err(named(Error::refused(message).hint("keyferry list shows what a store holds")));
    }
    Ok(keys)
}

/// `LABEL` or `sha256:HEX` of the certificate, where labels repeat.
fn selects(label: &str, entry: &Entry) -> bool {
    match label.strip_prefix("sha256:") {
        Some(hash) => entry.certificate().is_some_and(|c| sha256_hex(c).eq_ignore_ascii_case(hash)),
        None => entry.label_text() == label,
    }
}
