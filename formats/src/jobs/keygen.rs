//! New key pairs in a store: with a certificate of their own, for stores want one.

use super::labels::shown;
use crate::asn1::{CertFields, oid};
use crate::crypto::sign::{Digest, KeyType, Signer, generate};
use crate::error::{Error, Result};
use crate::format::{Format, Labels};
use crate::issue::{Draft, Extension, Extensions, Profile, random_serial};
use crate::model::{Der, Entry, Item, KeyMaterial, Link, Secret, Store};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Whom a key is for.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The whole `Name`; see [`crate::query::dn_build::name_from_text`].
    pub name: Vec<u8>,
    /// What the certificate says besides.
    pub extensions: Extensions,
}

/// A new pair.
pub struct Keygen<'a> {
    /// Its label.
    pub label: &'a str,
    /// Its kind.
    pub kind: KeyType,
    /// Whom it is for.
    pub subject: &'a Subject,
    /// What it is for, and for an authority how many may follow it.
    pub profile: Option<(Profile, Option<u64>)>,
    /// From and until when, seconds since 1970.
    pub validity: (i64, i64),
    /// The digest of the certificate's signature, where the key leaves a choice.
    pub digest: Option<Digest>,
}

/// Adds the pair to `store`, which is of `format`; returns the certificate.
pub fn keygen(store: &mut Store, format: &dyn Format, job: &Keygen<'_>) -> Result<Der> {
    free_label(store, format, job.label)?;
    let key = generate(job.kind)?;
    let mut subject = job.subject.clone();
    if let Some((profile, path)) = job.profile {
        profile.apply(&mut subject.extensions, Signer::new(&key, job.digest)?.spki(), path)?;
    }
    let certificate = Der::new(self_signed(&key, &subject, job.validity, job.digest)?);
    let chain = vec![Link::from(certificate.clone())];
    store.entries.push(Entry::new(Item::Key { key: secret(key), chain }).with_label(job.label));
    Ok(certificate)
}

/// A certificate of a key by itself.
pub(super) fn self_signed(
    pkcs8: &[u8],
    subject: &Subject,
    (not_before, not_after): (i64, i64),
    digest: Option<Digest>,
) -> Result<Vec<u8>> {
    if subject.name.len() <= 2 {
        return Err(Error::refused("a certificate without a name").hint("give the name with --dn"));
    }
    let signer = Signer::new(pkcs8, digest)?;
    let mut extensions = subject.extensions.clone();
    if extensions.get(oid::BASIC_CONSTRAINTS).is_none() {
        extensions.set(Extension::basic_constraints(false, None));
    }
    extensions.set(Extension::subject_key_id(signer.spki())?);
    let draft = Draft {
        serial: random_serial()?,
        issuer: subject.name.clone(),
        subject: subject.name.clone(),
        not_before,
        not_after,
        spki: signer.spki().to_vec(),
        extensions,
    };
    draft.sign(&signer)
}

/// The extensions of a certificate that its successor asks for again: names and usages.
pub(super) fn wishes(fields: &CertFields<'_>) -> Result<Extensions> {
    let mut out = Extensions::read(fields.extensions)?;
    out.0.retain(|e| [oid::SUBJECT_ALT_NAME, oid::KEY_USAGE, oid::EXTENDED_KEY_USAGE].contains(&&*e.id));
    Ok(out)
}

pub(super) fn secret(pkcs8: Zeroizing<Vec<u8>>) -> Arc<Secret> {
    Arc::new(Secret::clear(KeyMaterial::pkcs8(pkcs8)))
}

/// Whether two labels are one in this format.
pub(super) fn same_label(format: &dyn Format, a: &str, b: &str) -> bool {
    match format.carries().labels {
        Labels::Unique(fold) => fold(a) == fold(b),
        _ => a == b,
    }
}

/// A label that no entry of the store has.
pub(super) fn free_label(store: &Store, format: &dyn Format, label: &str) -> Result<()> {
    if label.trim().is_empty() {
        return Err(Error::refused("an empty label"));
    }
    if !store.entries.iter().any(|e| same_label(format, &shown(e), label)) {
        return Ok(());
    }
    Err(Error::refused(format!("an entry has the label \"{label}\" already")).hint(
        "choose another --label; of a key that waits keyferry request recreate writes the request again, and \
             of another keyferry renew makes a successor",
    ))
}
